/*
 * slab_private: what the parts of the slab share: slab.c, slab_life.c, slab_check.c.
 */
#ifndef FH_ALLOC_SLAB_PRIVATE_H
#define FH_ALLOC_SLAB_PRIVATE_H

#include "slab.h"

enum { FH_SLAB_FULL = FH_SLAB_FILLS }; /* the list of full slabs, after those of partial ones */

/* The slab that a number in use leads to. */
static inline struct fh_slab_run *fh_slab_run_of(const struct fh_slab *s, uint32_t number)
{
    FH_ASSERT(number < s->runs_cap); /* [I4] */
    uint64_t entry = s->runs[number];
    FH_ASSERT((entry & 1) == 0); /* [I4] */
    return (struct fh_slab_run *)(uintptr_t)entry;
}

/* --- slab_life.c --- */

/* Makes the cache of a tenant and size, of which there is none; NULL: no memory. */
struct fh_slab_cache *fh_slab_add_cache(struct fh_slab *, uint32_t tenant, uint32_t index);
/* A new slab becomes the empty one of a cache that has none. */
FH_CHECKED int fh_slab_open_run(struct fh_slab *, struct fh_slab_cache *);
/* A slab without live objects, in no list and not its cache's empty one, is no more. */
void fh_slab_close_run(struct fh_slab *, struct fh_slab_run *);

#endif
