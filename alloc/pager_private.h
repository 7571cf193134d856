/*
 * pager_private: what the two halves of the pager, pager.c and pager_holds.c, share and nobody else
 * sees.
 */
#ifndef FH_ALLOC_PAGER_PRIVATE_H
#define FH_ALLOC_PAGER_PRIVATE_H

#include "pager.h"

/* A walk over the entries that name a frame: start with {0}, ends with false. */
struct fh_names_walk {
    struct fh_ring_walk ring;
    struct fh_page page; /* of the entry found */
    struct fh_entry entry;
};
bool fh_pager_next_name(const struct fh_pager *, struct fh_frame, struct fh_names_walk *);

/* The frame begins to be named by FRAME entries; it enters a queue. Its entries are set by the
 * caller. */
void fh_pager_map_frame(struct fh_pager *, struct fh_frame, bool dirty, bool epoch_known,
                        uint32_t epoch);

/* Different pages that exist, in a frame or a slot. */
uint64_t fh_pager_live(const struct fh_pager *);

/* Releases a reference and, when that freed a frame, nothing more: waiting calls are run by pump.
 */
static inline void fh_pager_unref(struct fh_pager *p, struct fh_frame frame)
{
    (void)fh_frames_release(&p->frames, frame);
}

/* Frames and usable slots for content, by the capacity rule, when there are `frames`. */
uint64_t fh_pager_capacity(const struct fh_pager *, uint64_t frames);

/* Takes the memory to begin with. */
FH_CHECKED int fh_pager_budget_init(struct fh_pager *);
void fh_pager_budget_stats(const struct fh_pager *, struct fh_budget_stats *out);
struct fh_report;
void fh_pager_budget_check(const struct fh_pager *, struct fh_report *);
void fh_pager_budget_dump(const struct fh_pager *, FILE *out);

/* Free frames that nobody was promised. */
static inline uint32_t fh_pager_spare(const struct fh_pager *p)
{
    return p->frames.free > p->reserved ? p->frames.free - p->reserved : 0;
}

#endif
