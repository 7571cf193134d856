/*
 * region: the one mmap that holds every page in memory. Addresses for the largest memory budget; memory is taken by
 * the frames used, and given back by whole chunks. Zones of one node may share it.
 *
 * Ownership  caller owns the struct; the mapping lives from init to fini.
 * Errors     -EINVAL not a multiple of the page, or 0; -ENOMEM no address space.
 */
#ifndef FH_ALLOC_REGION_H
#define FH_ALLOC_REGION_H

#include <stdint.h>

#include "assert.h"
#include "ids.h"
#include "mem.h"

struct fh_region {
    uint8_t *base; /* 2 MiB aligned */
    uint64_t size_bytes;
    uint8_t *map; /* what mmap gave: alignment room included */
    uint64_t map_bytes;
};

FH_CHECKED int fh_region_init(struct fh_region *, struct fh_mem *, uint64_t size_bytes);
void fh_region_fini(struct fh_region *, struct fh_mem *);

static inline uint8_t *fh_region_bytes(const struct fh_region *r, struct fh_frame f)
{
    return r->base + ((uint64_t)f.v << FH_PAGE_SHIFT);
}

#endif
