/*
 * buddy: cuts one arena into blocks and joins them again, by the tables of one of four systems.
 *
 * Units      granules from the start of the arena.
 * Ownership  caller owns the struct; the tables and the mem outlive it; no granule is ever touched.
 * Threads    one zone thread.
 * Errors     -ENOMEM no memory for books; -ENOSPC no block fits; -EINVAL size 0 or beyond every
 *            class; -EFAULT not the start of a block in use. State unchanged on every error.
 * Cost       alloc, free, find: O(height of the system); check: O(granules). Books: 2 B per granule
 *            and 2 to 5 bits for bitmaps, touched lazily.
 */
#ifndef FH_ALLOC_BUDDY_H
#define FH_ALLOC_BUDDY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "bitset.h"
#include "buddy_systems.h"
#include "mem.h"

struct fh_buddy_class_stats {
    uint64_t block_pages; /* size of a block of this class */
    uint64_t free_blocks, used_blocks;
    uint64_t splits, merges; /* since start: blocks of this class cut; joined from children */
};

struct fh_buddy {
    const struct fh_buddy_tables *tables;
    struct fh_mem *mem;
    void *books; /* one map: heads, then the bitmaps */
    uint64_t books_size;
    uint16_t *heads;                                /* by granule: 0, or what starts here [I1] */
    struct fh_bitset free_starts[FH_BUDDY_CLASSES]; /* items: start >> start_shift [I4] */
    uint64_t free_classes;                          /* set of classes with a free block [I4] */
    uint32_t used;                                  /* granules in use, rounding included [I5] */
    uint32_t free_blocks[FH_BUDDY_CLASSES], used_blocks[FH_BUDDY_CLASSES]; /* [I5] */
    uint64_t splits[FH_BUDDY_CLASSES], merges[FH_BUDDY_CLASSES];
};

struct fh_buddy_block {
    uint32_t start, size;
    bool used;
};

FH_CHECKED int fh_buddy_init(struct fh_buddy *, const struct fh_buddy_tables *, struct fh_mem *);
void fh_buddy_fini(struct fh_buddy *);

/* Takes the lowest free block of the best class for `size`. *out is untouched on error. */
FH_CHECKED int fh_buddy_alloc(struct fh_buddy *, uint32_t size, struct fh_buddy_block *out);
/* Whether an alloc of `size` would succeed now. */
bool fh_buddy_fits(const struct fh_buddy *, uint32_t size);
FH_CHECKED int fh_buddy_free(struct fh_buddy *, uint32_t start);

/* Size of the block in use that starts here; 0 when none does. Any start may be asked about. */
uint32_t fh_buddy_size_at(const struct fh_buddy *, uint32_t start);
/* The block, free or used, that contains a granule below `granules`. */
struct fh_buddy_block fh_buddy_find(const struct fh_buddy *, uint32_t granule);

/* Adds this arena's figures of a class to *sum and sets its size. */
void fh_buddy_stats(const struct fh_buddy *, uint32_t class, struct fh_buddy_class_stats *sum);
/* Walks everything, prints each broken invariant to `why` (may be NULL), changes nothing. */
bool fh_buddy_check(const struct fh_buddy *, FILE *why);
void fh_buddy_dump(const struct fh_buddy *, FILE *out);

#endif
