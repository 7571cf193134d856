/*
 * space: the far address space of a zone: arenas cut by buddies, segments of whole arenas.
 *
 * An arena is opened when no open one has room (the lowest address that fits is taken), closed when
 * empty; one empty arena is kept. Beyond a quarter arena a block is a segment: consecutive arenas
 * that cost their table entries and nothing else.
 *
 * Each block carries a mark of 32 bits, not 0: FH_SPACE_SLAB and the number of a slab, or
 * (below FH_SPACE_SLAB) the tag of its owner + 1.
 *
 * Units      pages.
 * Ownership  caller owns the struct; mem outlives it.
 * Threads    one zone thread.
 * Errors     -ENOSPC no addresses left; -ENOMEM no memory for books; -EFBIG above 1 TiB; -EFAULT
 *            not the first page of a block. State unchanged on every error.
 * Cost       alloc: one word per open arena below the first that fits, then the buddy's; free,
 *            find: the buddy's; mark_at: O(1).
 */
#ifndef FH_ALLOC_SPACE_H
#define FH_ALLOC_SPACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "buddy.h"
#include "buddy_systems.h"
#include "ids.h"
#include "mem.h"

#define FH_SPACE_SLAB    UINT32_C(0x80000000) /* in a mark: the rest is the number of a slab */
#define FH_SPACE_TAG_MAX UINT32_C(0x3fffffff)

enum { FH_SEGMENT_PAGES_MIN = FH_ARENA_PAGES / 4 }; /* larger blocks are segments */

struct fh_arena;

struct fh_space {
    struct fh_mem *mem;
    struct fh_buddy_tables tables;
    uint64_t *entries;      /* by arena: unused, arena, segment or part of one [I1] */
    uint64_t *free_classes; /* by arena: copy of its buddy's set, 0 when it has none [I3] */
    uint32_t brk;           /* arenas below which all in use lie: the break [I2] */
    uint32_t unused_hint;   /* every arena below is in use [I2] */
    uint32_t spare;         /* the arena without a block, FH_SPACE_ARENAS when there is none [I6] */
    uint32_t arenas, segments, segment_arenas;                             /* [I4] */
    uint64_t opened, closed;                                               /* arenas, since start */
    uint64_t past_splits[FH_BUDDY_CLASSES], past_merges[FH_BUDDY_CLASSES]; /* of closed arenas */
};

struct fh_space_block {
    struct fh_page first;
    uint64_t pages; /* the whole block, rounding included */
    uint32_t mark;
};

struct fh_space_stats {
    uint64_t arenas_open, arenas_empty; /* carved by a buddy; of them without a block */
    uint64_t segments, segment_pages;
    uint64_t break_pages;                  /* every block lies below this page */
    uint64_t used_pages;                   /* in arenas, rounding and slabs included */
    uint64_t free_pages;                   /* in open arenas */
    uint64_t largest_free_pages;           /* largest free block in an open arena */
    uint64_t arenas_opened, arenas_closed; /* since start */
    uint64_t book_bytes;                   /* of arenas' maps: as far as they were ever used */
    const char *system;
};

FH_CHECKED int fh_space_init(struct fh_space *, struct fh_mem *, const struct fh_buddy_system *);
void fh_space_fini(struct fh_space *);

/* A block of at least `pages` (not 0) with this mark on its first page. */
FH_CHECKED int fh_space_alloc(struct fh_space *, uint64_t pages, uint32_t mark,
                              struct fh_space_block *out);
/* Puts the block's mark on its first `pages` pages, so that each leads to its slab. */
void fh_space_mark_pages(struct fh_space *, struct fh_page first, uint64_t pages);
FH_CHECKED int fh_space_free(struct fh_space *, struct fh_page first);

/* All four may be asked about any page. The mark on a page; 0 = none. */
uint32_t fh_space_mark_at(const struct fh_space *, struct fh_page);
/* The block that starts at the page. */
FH_CHECKED int fh_space_find(const struct fh_space *, struct fh_page, struct fh_space_block *out);
/* The block that contains the page. */
FH_CHECKED int fh_space_find_inner(const struct fh_space *, struct fh_page,
                                   struct fh_space_block *out);

/* Closes every arena without a block. */
void fh_space_trim(struct fh_space *);

void fh_space_stats(const struct fh_space *, struct fh_space_stats *out);
/* Figures of one class summed over all arenas; false when class is beyond the last. */
bool fh_space_class_stats(const struct fh_space *, uint32_t class,
                          struct fh_buddy_class_stats *out);
bool fh_space_check(const struct fh_space *, FILE *why);
void fh_space_dump(const struct fh_space *, FILE *out);

#endif
