/*
 * frame_runs: which frames are free, so that neighbours can be had together. A binary buddy in bitmaps alone, with runs
 * of 1, 2, 4 .. 512 frames; a run is given out whole and comes back frame by frame.
 *
 * Units      frames.
 * Ownership  caller owns the struct, frame_runs its bitmaps; a frame is the caller's from take to give.
 * Threads    one zone thread.
 * Errors     -ENOMEM at init.
 * Cost       take, give: O(orders); 2.1 bits of book-keeping per frame, touched where used.
 */
#ifndef FH_ALLOC_FRAME_RUNS_H
#define FH_ALLOC_FRAME_RUNS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "bitset.h"
#include "mem.h"

enum { FH_FRAME_ORDERS = 10, FH_FRAME_RUN_MAX = 1 << (FH_FRAME_ORDERS - 1) };

struct fh_frame_runs {
    struct fh_mem *mem;
    uint64_t *words; /* of all the sets below */
    uint64_t words_size;
    struct fh_bitset
        free[FH_FRAME_ORDERS]; /* item i of order k: frames i << k and on are a free run [I1] */
    uint64_t runs[FH_FRAME_ORDERS]; /* items in each set [I2] */
    uint32_t span;                  /* no frame from here on */
};

struct fh_frame_runs_stats {
    uint64_t free_runs[FH_FRAME_ORDERS]; /* by order */
    uint64_t free_frames;
};

/* For frames 0 .. span - 1, none of which is free yet. */
FH_CHECKED int fh_frame_runs_init(struct fh_frame_runs *, struct fh_mem *, uint32_t span);
void fh_frame_runs_fini(struct fh_frame_runs *);

/*
 * Takes a run of 2^order frames, the lowest of the smallest that serve; where there is none that long, the longest
 * there is. Returns how many frames, from *first on; 0: none is free.
 */
uint32_t fh_frame_runs_take(struct fh_frame_runs *, uint32_t order, uint32_t *first);
/* A frame is free; it joins its free neighbours. */
void fh_frame_runs_give(struct fh_frame_runs *, uint32_t frame);
/* Frames that were not, are free. O(count / FH_FRAME_RUN_MAX * orders). */
void fh_frame_runs_add(struct fh_frame_runs *, uint32_t first, uint32_t count);
/* Those of the frames that are free are so no longer; how many. O(count * orders) at worst. */
uint32_t fh_frame_runs_remove(struct fh_frame_runs *, uint32_t first, uint32_t count);

void fh_frame_runs_stats(const struct fh_frame_runs *, struct fh_frame_runs_stats *out);
bool fh_frame_runs_check(const struct fh_frame_runs *, FILE *why);
void fh_frame_runs_dump(const struct fh_frame_runs *, FILE *out);

#endif
