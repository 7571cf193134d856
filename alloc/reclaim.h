/*
 * reclaim: makes frames free again, in slices between events. Clean pages are dropped, zero pages
 * become nothing, dirty ones are written to swap or back to their file, in runs, and dropped when
 * the write is complete.
 *
 * Threads    one zone thread; never blocks.
 */
#ifndef FH_ALLOC_RECLAIM_H
#define FH_ALLOC_RECLAIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "pager.h"

enum fh_pressure { FH_PRESSURE_OK, FH_PRESSURE_RECLAIMING, FH_PRESSURE_PARKING, FH_PRESSURE_FULL };

struct fh_reclaim_stats {
    uint64_t clean, dirty, zero;     /* pages that left memory, by kind */
    uint64_t file_clean, file_dirty; /* and those of files: dropped, written back */
    uint64_t cleaned;                /* pages written ahead of their eviction */
    uint64_t write_errors;           /* pages whose write to swap or file failed */
    enum fh_pressure pressure;
};

struct fh_reclaim {
    struct fh_pager *pager;
    uint32_t low, high;    /* frames: begin below low, end at high */
    bool running;          /* between low and high */
    uint32_t writing;      /* frames whose write is in flight */
    uint32_t failures;     /* writes that failed since one succeeded */
    uint64_t failed_ms;    /* when a write failed last; 0 = never, or pardoned */
    uint64_t resume_at_ms; /* after a failed write: not before */
    uint32_t room_hand;    /* frame to look at next when room is wanted */
    uint64_t room_vain;    /* frames looked at since one was found that could be written */
    uint64_t files_at_ms;  /* the same for files: dirty pages of theirs go to swap meanwhile */
    uint64_t now_ms;
    /* Writing ahead: a pass from the oldest frame of a queue over at most `clean_goal` frames. */
    enum fh_queue clean_queue;  /* where the pass is; NONE = none runs */
    struct fh_frame clean_hand; /* the next frame to look at */
    uint32_t clean_left;        /* frames it is to look at still */
    uint64_t clean_at_ms;       /* the next pass begins then */
    struct fh_reclaim_stats stats;
};

void fh_reclaim_init(struct fh_reclaim *, struct fh_pager *, uint32_t low, uint32_t high);
/* Other watermarks, from the next turn on. */
void fh_reclaim_set_marks(struct fh_reclaim *, uint32_t low, uint32_t high);
/* One slice; true when another would find work at once. */
bool fh_reclaim_turn(struct fh_reclaim *, uint64_t now_ms);
/* Pages from *next to `end` leave memory, without a byte lost; at most *looks are looked at, each taken
 * off. *next is where to go on; false: not before a write has ended. */
bool fh_reclaim_let_go(struct fh_reclaim *, struct fh_page *next, struct fh_page end,
                       uint32_t *looks);
bool fh_reclaim_check(const struct fh_reclaim *, FILE *why);
void fh_reclaim_stats(const struct fh_reclaim *, struct fh_reclaim_stats *out);
void fh_reclaim_dump(const struct fh_reclaim *, FILE *out);

#endif
