/*
 * errands: ranges of pages that somebody advised about, done a slice per turn: read in, put first
 * among the victims, or sent out of memory.
 *
 * Units      pages.
 * Ownership  caller owns the struct, which has no other memory.
 * Threads    one zone thread; never blocks.
 * Errors     -EBUSY: FH_ERRANDS_MAX are under way.
 */
#ifndef FH_ALLOC_ERRANDS_H
#define FH_ALLOC_ERRANDS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "ids.h"

struct fh_pager;
struct fh_reclaim;

enum { FH_ERRANDS_MAX = 64, FH_ERRANDS_SLICE = 4096 /* entries looked at per turn */ };

enum fh_errand_kind { FH_ERRAND_READ_IN, FH_ERRAND_COOL, FH_ERRAND_LET_GO };

struct fh_errand {
    enum fh_errand_kind kind;
    struct fh_page next, end;
    uint64_t left;     /* READ_IN: pages it may still look at */
    uint64_t moved_ms; /* when it last went on */
};

struct fh_errands_stats {
    uint64_t waiting;   /* now */
    uint64_t done;      /* so far, those given up included */
    uint64_t given_up;  /* of them: memory or disk had no room for a while */
    uint64_t turn_most; /* entries looked at in one turn, at most so far */
};

struct fh_errands {
    struct fh_errand items[FH_ERRANDS_MAX]; /* in order of arrival */
    uint32_t count;                         /* [I1] */
    uint32_t slice;
    struct fh_errands_stats stats;
};

void fh_errands_init(struct fh_errands *);
/* READ_IN: of a range longer than a quarter of memory only that much. */
FH_CHECKED int fh_errands_add(struct fh_errands *, const struct fh_pager *, enum fh_errand_kind,
                              struct fh_page first, struct fh_page end, uint64_t now_ms);
/* The pages belong to somebody else from now on: what was to be done to them is not. */
void fh_errands_forget(struct fh_errands *, struct fh_page first, struct fh_page end);
/* A slice; true when another would find work at once. */
bool fh_errands_turn(struct fh_errands *, struct fh_pager *, struct fh_reclaim *, uint64_t now_ms);

void fh_errands_stats(const struct fh_errands *, struct fh_errands_stats *out);
bool fh_errands_check(const struct fh_errands *, FILE *why);
void fh_errands_dump(const struct fh_errands *, FILE *out);

#endif
