/*
 * pagetable: for each page of the space one word that says where its bytes are.
 *
 *   state 63..60   59..32                 31..0
 *   NOTHING        0                      0                  reads as zeros; in a file: not read yet
 *   FRAME          frame                  slot that holds the same bytes, 0 = none
 *   SLOT           eviction epoch         slot
 *   FILE           eviction epoch         0                  its place follows from the page
 *   READING        frame being filled     slot it is read from, 0 = file
 *   FAILED         0                      quarantined slot
 *   ZERO           0                      0                  of a file: zeros it does not know of yet
 *
 * Leaves of 64 entries are made by touch and given back by trim, so that the table costs what is
 * used of it also when single pages of huge objects are written.
 *
 * Threads    one zone thread.
 * Errors     -ENOMEM a leaf could not be made; nothing changed.
 */
#ifndef FH_ALLOC_PAGETABLE_H
#define FH_ALLOC_PAGETABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "ids.h"
#include "mem.h"

enum fh_page_state {
    FH_PAGE_NOTHING,
    FH_PAGE_FRAME,
    FH_PAGE_SLOT,
    FH_PAGE_FILE,
    FH_PAGE_READING,
    FH_PAGE_FAILED,
    FH_PAGE_ZERO
};
enum { FH_PAGE_STATES = FH_PAGE_ZERO + 1 };

struct fh_entry {
    uint64_t v;
};

static inline enum fh_page_state fh_entry_state(struct fh_entry e)
{
    return (enum fh_page_state)(e.v >> 60);
}

static inline struct fh_frame fh_entry_frame(struct fh_entry e)
{
    return (struct fh_frame){(uint32_t)(e.v >> 32) & 0x0fffffff};
}

static inline uint32_t fh_entry_epoch(struct fh_entry e)
{
    return (uint32_t)(e.v >> 32) & 0x0fffffff;
}

static inline struct fh_slot fh_entry_slot(struct fh_entry e)
{
    return (struct fh_slot){(uint32_t)e.v};
}

static inline struct fh_entry fh_entry_make(enum fh_page_state state, uint32_t middle,
                                            struct fh_slot slot)
{
    return (struct fh_entry){((uint64_t)state << 60) | ((uint64_t)(middle & 0x0fffffff) << 32) |
                             slot.v};
}

enum {
    FH_LEAF_PAGES = 64,
    FH_ARENA_LEAVES = FH_ARENA_PAGES / FH_LEAF_PAGES,
};

struct fh_leaf {
    uint64_t entries[FH_LEAF_PAGES];
    uint32_t used; /* of them not NOTHING [I1] */
    uint32_t pins; /* ranges that must keep it though it may be empty */
};

/* The entries of an arena. */
struct fh_table {
    struct fh_leaf **leaves; /* FH_ARENA_LEAVES; NULL = all NOTHING */
    uint32_t count;          /* leaves there are [I3] */
    uint32_t used;           /* entries that are not NOTHING [I1] */
};

struct fh_pagetable {
    struct fh_mem *mem;
    struct fh_table *tables;         /* FH_SPACE_ARENAS of them, lazily touched */
    uint64_t tables_end;             /* no table was ever made from here on */
    uint64_t counts[FH_PAGE_STATES]; /* entries by state; of NOTHING unused [I2] */
};

FH_CHECKED int fh_pagetable_init(struct fh_pagetable *, struct fh_mem *);
void fh_pagetable_fini(struct fh_pagetable *);

/* Makes the leaves of a range, so that set cannot fail. */
FH_CHECKED int fh_pagetable_touch(struct fh_pagetable *, struct fh_page first, uint64_t count);
/* Makes the leaves at `to` that entries of the `count` pages at `from` will need when they come
 * there. */
FH_CHECKED int fh_pagetable_touch_like(struct fh_pagetable *, struct fh_page from,
                                       struct fh_page to, uint64_t count);
/* As touch, and the leaves stay until unpin: for a range that is filled in later turns. */
FH_CHECKED int fh_pagetable_pin(struct fh_pagetable *, struct fh_page first, uint64_t count);
void fh_pagetable_unpin(struct fh_pagetable *, struct fh_page first, uint64_t count);
/*
 * The entries of `count` pages at `from` come to lie at `to`, where all is NOTHING; whole leaves
 * at both, none of them pinned. Costs a look at each leaf, or at an arena where whole ones fit on
 * each other, and no look at an entry.
 */
FH_CHECKED int fh_pagetable_shift(struct fh_pagetable *, struct fh_page from, struct fh_page to,
                                  uint64_t count);
/* Gives back the leaves of the range that are empty and not pinned; neighbours in them see no
 * difference. */
void fh_pagetable_trim(struct fh_pagetable *, struct fh_page first, uint64_t count);

static inline struct fh_leaf *fh_pagetable_leaf(const struct fh_pagetable *t, struct fh_page p)
{
    const struct fh_table *table = &t->tables[p.v >> FH_ARENA_PAGE_SHIFT];
    return table->leaves ? table->leaves[(p.v & (FH_ARENA_PAGES - 1)) / FH_LEAF_PAGES] : NULL;
}

static inline struct fh_entry fh_pagetable_get(const struct fh_pagetable *t, struct fh_page p)
{
    const struct fh_leaf *leaf = fh_pagetable_leaf(t, p);
    return (struct fh_entry){leaf ? leaf->entries[p.v % FH_LEAF_PAGES] : 0};
}

/* The page's leaf must have been touched. */
void fh_pagetable_set(struct fh_pagetable *, struct fh_page, struct fh_entry);

/*
 * The first page in [from, end) that is not NOTHING, or end. Skips what was never touched, so a
 * walk over a 1 TiB object costs what was written of it.
 */
struct fh_page fh_pagetable_next(const struct fh_pagetable *, struct fh_page from,
                                 struct fh_page end);

struct fh_pagetable_stats {
    uint64_t pages[FH_PAGE_STATES]; /* entries by state; of NOTHING always 0 */
    uint64_t leaves, tables;        /* there are now */
    uint64_t bytes;                 /* in them */
};
/* Cost: the arenas below the highest that ever had a page. */
void fh_pagetable_stats(const struct fh_pagetable *, struct fh_pagetable_stats *out);
bool fh_pagetable_check(const struct fh_pagetable *, FILE *why);
void fh_pagetable_dump(const struct fh_pagetable *, FILE *out);

#endif
