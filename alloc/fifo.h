/*
 * fifo: which frame to evict, by S3-FIFO. Pure policy over frame records: no I/O, no page table.
 *
 * New pages enter a small queue of 10 % of the frames; one touch there promotes to main at the end
 * of the queue, none evicts. Main gives a second round to what was touched. A page read back soon
 * after its eviction enters main at once: how soon is told by the eviction epoch kept in its
 * page-table entry. A frame that is pinned is set aside, where no victim is looked for.
 *
 * Threads    one zone thread.
 * Source     Yang et al., FIFO queues are all you need for cache eviction, SOSP 2023.
 */
#ifndef FH_ALLOC_FIFO_H
#define FH_ALLOC_FIFO_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "frames.h"

enum { FH_FIFO_FREQ_MAX = 3 };

struct fh_fifo_queue {
    uint32_t head, tail; /* newest, oldest; UINT32_MAX = empty */
    uint32_t count;
};

struct fh_fifo {
    struct fh_frames *frames;
    struct fh_fifo_queue small, main;
    uint32_t epoch;              /* evictions so far, modulo 2^28 */
    uint32_t stuck;              /* victims put back since a frame was evicted [I4] */
    uint32_t aside, aside_clean; /* frames set aside, and those of them that are not dirty [I5] */
    uint64_t refaults;           /* pages that came back soon after their eviction, so far */
};

void fh_fifo_init(struct fh_fifo *, struct fh_frames *);

/* A frame that begins to hold a page. `epoch_known`: it was evicted at that epoch and read back. */
void fh_fifo_insert(struct fh_fifo *, struct fh_frame, bool epoch_known, uint32_t epoch);
/* Back at the newest end of main: it may not go now. */
void fh_fifo_insert_main(struct fh_fifo *, struct fh_frame);
/* A victim that cannot go: at the newest end of main too, and counted, so that small is looked at when all of main
 * came back. */
void fh_fifo_put_back(struct fh_fifo *, struct fh_frame);
/* At the end of a queue where victims come from, with the touches it has. */
void fh_fifo_insert_last(struct fh_fifo *, struct fh_frame, enum fh_queue);
/* Where the next victim comes from, as if never touched. */
void fh_fifo_insert_next(struct fh_fifo *, struct fh_frame);
/* No victim until it is removed. */
void fh_fifo_set_aside(struct fh_fifo *, struct fh_frame);
/* The first victim of a queue, and the one after it; FH_FRAME_NONE at the end. */
struct fh_frame fh_fifo_oldest(const struct fh_fifo *, enum fh_queue);
struct fh_frame fh_fifo_younger(const struct fh_fifo *, struct fh_frame after);
/* Takes a frame out of its queue, if it is in one, or back from aside. */
void fh_fifo_remove(struct fh_fifo *, struct fh_frame);
/* `to`, whose record is a copy of that of `from`, takes its place in the queue. */
void fh_fifo_replace(struct fh_fifo *, struct fh_frame from, struct fh_frame to);
/* Notes a touch: no list is changed. */
static inline void fh_fifo_touch(struct fh_fifo *f, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(f->frames, frame);
    if (r->freq < FH_FIFO_FREQ_MAX)
        r->freq = (r->freq + 1u) & 3u;
}
/*
 * The next victim, taken out of its queue; FH_FRAME_NONE when `*budget` frames were looked at or
 * both queues are empty. The caller evicts it or inserts it again.
 */
struct fh_frame fh_fifo_pick(struct fh_fifo *, uint32_t *budget);
/* Counts an eviction and returns its epoch. */
uint32_t fh_fifo_evicted(struct fh_fifo *);

struct fh_fifo_stats {
    uint32_t small, main; /* frames in each queue */
    uint32_t aside;       /* in neither: pinned */
    uint32_t evictions;   /* so far, modulo 2^28 */
};
void fh_fifo_stats(const struct fh_fifo *, struct fh_fifo_stats *out);
bool fh_fifo_check(const struct fh_fifo *, FILE *why);
void fh_fifo_dump(const struct fh_fifo *, FILE *out);

#endif
