/*
 * compact: empties sparse slabs, by moving what lives in them to fuller ones, so that their pages,
 * addresses and books can serve objects of any size.
 *
 * It decides which object goes to which slab, and when; who owns the objects moves them.
 *
 * Threads    one zone thread; never blocks, reads no page in.
 * Errors     none: what cannot be moved stays.
 * Cost       a turn: nothing while there is nothing to do, else at most FH_COMPACT_MOVES moves and
 *            FH_COMPACT_LOOKS slabs looked at.
 */
#ifndef FH_ALLOC_COMPACT_H
#define FH_ALLOC_COMPACT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "heap.h"

enum {
    FH_COMPACT_IDLE_MS = 1000,
    FH_COMPACT_MOVES = 64,
    FH_COMPACT_LOOKS = 1024,
    FH_COMPACT_SIZE_MAX = 12 * 1024, /* bytes of the largest objects that are moved */
};

#define FH_COMPACT_AWAY      UINT32_MAX
#define FH_COMPACT_PAGES_MAX (UINT64_C(1) << FH_SPACE_PAGE_SHIFT)

/* What a turn is for: the more is wanted, the less a page may cost. */
enum fh_compact_need {
    FH_COMPACT_QUIET,  /* nobody needs memory: only in a zone that is idle */
    FH_COMPACT_SHORT,  /* free frames are few */
    FH_COMPACT_REFUSE, /* a request waits that would be refused */
};

struct fh_compact_opts {
    struct fh_heap *heap;
    /* How many of these pages are in frames; FH_COMPACT_AWAY: one is neither there nor NOTHING. */
    uint32_t (*frames)(void *ctx, struct fh_page first, uint32_t pages);
    /* Moves an object to a slab of its cache that has room; not 0: it stays where it is. */
    int (*move)(void *ctx, struct fh_slab_run *from, uint32_t index, struct fh_slab_run *to);
    void *ctx;
};

struct fh_compact_stats {
    uint64_t moves, refused; /* objects moved, and those that could not be */
    uint64_t slabs;          /* emptied */
    uint64_t pages;          /* given back by moves */
    uint64_t sweeps;
};

struct fh_compact {
    struct fh_compact_opts opts;
    uint32_t hand;                  /* number of the slab to look at next */
    bool running;                   /* a sweep is under way */
    enum fh_compact_need need;      /* of that sweep */
    uint64_t moved;                 /* by it so far */
    bool vain;                      /* the last sweep moved nothing ... */
    enum fh_compact_need vain_need; /* ... though so much was wanted */
    uint64_t vain_calls;            /* allocs and frees then [I1] */
    uint64_t vain_ms;
    uint64_t own;     /* allocs that its moves caused */
    uint64_t allocs;  /* of the heap but for these, as of the last turn [I1] */
    uint64_t busy_ms; /* when that had last grown */
    uint64_t now_ms;
    struct fh_compact_stats stats;
};

void fh_compact_init(struct fh_compact *, const struct fh_compact_opts *, uint64_t now_ms);
/* One slice, if the need is there or the zone is idle. True when another would find work at once. */
bool fh_compact_turn(struct fh_compact *, enum fh_compact_need, uint64_t now_ms);
/* How many pages turns with this need may give back, at most; FH_COMPACT_PAGES_MAX: it is not known. */
uint64_t fh_compact_pages(const struct fh_compact *, enum fh_compact_need);

void fh_compact_stats(const struct fh_compact *, struct fh_compact_stats *out);
bool fh_compact_check(const struct fh_compact *, FILE *why);
void fh_compact_dump(const struct fh_compact *, FILE *out);

#endif
