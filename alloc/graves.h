/*
 * graves: blocks of pages that nobody can name any more, given back a slice per turn. A huge object
 * has millions of entries; dropping them in one turn would stall the zone.
 *
 * Units      entries of the page table, unless a name says blocks. A stretch of up to
 *            FH_GRAVES_STRETCH pages without an entry counts as one.
 * Ownership  a block given to `take`, and the view given to `take_view`, are the graves' from then on.
 * Threads    one zone thread.
 * Errors     none: where there is no memory to remember a block it is emptied at once.
 */
#ifndef FH_ALLOC_GRAVES_H
#define FH_ALLOC_GRAVES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "heap.h"
#include "list.h"
#include "pager.h"

enum {
    FH_GRAVES_SLICE = 4096, /* entries per turn */
    FH_GRAVES_STRETCH = 64 * FH_LEAF_PAGES,
};

struct fh_graves_stats {
    uint64_t blocks;    /* waiting now */
    uint64_t entries;   /* given back so far, those at once included */
    uint64_t turn_most; /* entries in one turn, at most so far */
};

struct fh_graves {
    struct fh_mem *mem;
    struct fh_heap *heap;
    struct fh_pager *pager;
    /* Takes back what an ended view leaves of a block that is not the heap's; false: it is the
     * heap's. NULL: all are. */
    bool (*elsewhere)(void *ctx, struct fh_page);
    void *ctx;
    struct fh_list blocks; /* struct grave, in order of arrival */
    uint32_t slice;        /* entries per turn */
    uint32_t left;         /* of this turn's */
    uint64_t turn;         /* entries in this turn */
    struct fh_graves_stats stats;
};

void fh_graves_init(struct fh_graves *, struct fh_mem *, struct fh_heap *, struct fh_pager *);
/* What is left in them goes with the pager and the heap. */
void fh_graves_fini(struct fh_graves *);

/* The pages become NOTHING and the block goes back to the heap, now or in the following turns; while
 * views mirror it, when the last of them ends. */
void fh_graves_take(struct fh_graves *, struct fh_addr, uint64_t room_bytes);
/* Ends a view whose pages are a block of their own; the struct is the caller's again. */
void fh_graves_take_view(struct fh_graves *, struct fh_view *);

/*
 * Whole leaves of pages of an object that lives on: they are NOTHING at once, and what they had is
 * dropped like a view. False: that cannot be done, nothing was; they are to be dropped where they
 * are. Not for pages of files.
 */
bool fh_graves_take_pages(struct fh_graves *, struct fh_page first, uint64_t pages);
/* Empties the graves until none has pages of this range of an object that lives on. */
void fh_graves_finish(struct fh_graves *, struct fh_page first, uint64_t pages);

/* A slice; true when another would find work. To be called once per turn, before any taking. */
bool fh_graves_turn(struct fh_graves *);
/* A slice out of turn, for a request that would be refused: true when it found work. */
bool fh_graves_hurry(struct fh_graves *);

void fh_graves_stats(const struct fh_graves *, struct fh_graves_stats *out);
bool fh_graves_check(const struct fh_graves *, FILE *why);
void fh_graves_dump(const struct fh_graves *, FILE *out);

#endif
