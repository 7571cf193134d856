/*
 * heap: carves a zone's space into blocks of any size, from 1 byte to 1 TiB.
 *
 * Up to 32 KiB a block comes from a slab of its size class and tenant; larger ones are runs of
 * pages from the buddy of an arena; what exceeds a quarter arena gets a segment of whole arenas. No
 * byte of the space itself is ever touched: all books lie outside. A block of pages carries a 32-bit
 * tag, one in a slab a record of record_bytes: its owner's.
 *
 * Units      bytes, unless a name says pages.
 * Ownership  caller owns the struct; blocks are the caller's from alloc to free. Before a page
 *            block is freed the caller has emptied its pages; pages of slabs are emptied through
 *            `discard`.
 * Threads    one zone thread.
 * Errors     -ENOSPC the space is used up; -ENOMEM no memory for books; -EFBIG above 1 TiB; -EFAULT
 *            not the first byte of a live block.
 * Cost       alloc, free, find: O(1) for slabs, O(height of the buddy system) for pages.
 */
#ifndef FH_ALLOC_HEAP_H
#define FH_ALLOC_HEAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "buddy_systems.h"
#include "ids.h"
#include "mem.h"
#include "slab.h"
#include "space.h"

struct fh_heap_opts {
    struct fh_mem *mem;                   /* outlives the heap */
    const struct fh_buddy_system *system; /* how arenas are cut */
    uint32_t record_bytes;                /* of each block in a slab */
    /* These pages hold no live block any more: their bytes may be forgotten. May be NULL. */
    void (*discard)(void *ctx, struct fh_page first, uint64_t pages);
    /* Whether a page is in memory, to prefer slabs that are. May be NULL: all are. */
    bool (*resident)(void *ctx, struct fh_page page);
    void *ctx;
};

struct fh_heap_block {
    struct fh_addr addr; /* first byte */
    uint64_t room_bytes; /* how large it can become in place: the class, not the request */
    /* The slab it lies in; NULL: it owns room_bytes / FH_PAGE_SIZE whole pages. */
    struct fh_slab_run *run;
    uint32_t index; /* in its slab */
    uint32_t tag;   /* of a block of pages */
};

struct fh_heap_stats {
    struct fh_space_stats space;
    struct fh_slab_stats slab; /* sums over all caches */
    uint64_t allocs, frees;
};

struct fh_heap {
    struct fh_heap_opts opts;
    struct fh_space space;
    struct fh_slab slab;
    uint64_t allocs, frees;
};

FH_CHECKED int fh_heap_init(struct fh_heap *, const struct fh_heap_opts *);
void fh_heap_fini(struct fh_heap *);

/* A block of at least `size` bytes (0 counts as 1) for a tenant, a number below FH_SLAB_TENANTS;
 * tag: at most FH_SPACE_TAG_MAX, kept if it becomes a block of pages. *out is untouched on error. */
FH_CHECKED int fh_heap_alloc(struct fh_heap *, uint32_t tenant, uint64_t size, uint32_t tag,
                             struct fh_heap_block *out);
/* An object of a typed cache of this heap's slab. */
FH_CHECKED int fh_heap_alloc_typed(struct fh_heap *, struct fh_slab_cache *,
                                   struct fh_heap_block *out);
/* An object of this slab, which has live ones and room for another. */
void fh_heap_alloc_in(struct fh_heap *, struct fh_slab_run *, struct fh_heap_block *out);
/* The same as alloc, but always whole pages of its own: staging blocks and views. */
FH_CHECKED int fh_heap_alloc_pages(struct fh_heap *, uint64_t pages, uint32_t tag,
                                   struct fh_heap_block *out);
FH_CHECKED int fh_heap_free(struct fh_heap *, struct fh_addr);

/* The live block that starts at addr. Any address may be asked about, also a hostile one. */
FH_CHECKED int fh_heap_find(const struct fh_heap *, struct fh_addr, struct fh_heap_block *out);
/* The live page block that contains the page; -EFAULT when free or a slab's. */
FH_CHECKED int fh_heap_find_page(const struct fh_heap *, struct fh_page, struct fh_heap_block *out);

/* Gives back retained empty slabs and the arenas that became empty. */
void fh_heap_trim(struct fh_heap *);

void fh_heap_stats(const struct fh_heap *, struct fh_heap_stats *out);
bool fh_heap_check(const struct fh_heap *, FILE *why);
void fh_heap_dump(const struct fh_heap *, FILE *out);

#endif
