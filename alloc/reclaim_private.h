/*
 * reclaim_private: what the parts of reclaim share: reclaim.c, reclaim_ahead.c, reclaim_range.c.
 */
#ifndef FH_ALLOC_RECLAIM_PRIVATE_H
#define FH_ALLOC_RECLAIM_PRIVATE_H

#include "pager_private.h"
#include "reclaim.h"

enum { FH_RECLAIM_BATCH = FH_SWAP_RUN_MAX, FH_RECLAIM_LOOKS = 256 };

/* Frames of no queue, on their way out. */
struct fh_reclaim_batch {
    struct fh_frame frames[FH_RECLAIM_BATCH]; /* to swap */
    uint32_t count;
    struct fh_writeback files; /* to their files */
    enum fh_queue cleans;      /* as in fh_page_op */
};

static inline void fh_reclaim_batch_init(struct fh_reclaim_batch *b, enum fh_queue cleans)
{
    b->count = 0;
    b->cleans = cleans;
    fh_writeback_init(&b->files, cleans);
}

/* Whether a slot is free and the disk takes writes. */
bool fh_reclaim_can_store(const struct fh_reclaim *);
/* A store needs a bounce buffer and an operation; when they are all in use, a completion will come. */
bool fh_reclaim_must_wait(const struct fh_reclaim *);
/* Whether a page's bytes are all zero. */
bool fh_reclaim_is_zero(const uint8_t *bytes);
/* Nobody but entries refers to the frame. */
bool fh_reclaim_is_at_rest(const struct fh_pager *, struct fh_frame);
/* Lets one victim go, or collects it; false when it had to stay. */
bool fh_reclaim_victim(struct fh_reclaim *, struct fh_frame, struct fh_reclaim_batch *);
/* Starts to write the frames to swap; those not started are in a queue again. */
void fh_reclaim_store(struct fh_reclaim *, struct fh_reclaim_batch *);
/* Starts to write pages of files, which go when that is done; how many. */
uint32_t fh_reclaim_write_back(struct fh_reclaim *, struct fh_writeback *);

/* A slice of writing ahead, when there is time for it. */
void fh_reclaim_clean_ahead(struct fh_reclaim *);

#endif
