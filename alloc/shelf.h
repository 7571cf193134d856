/*
 * shelf: which pages of a data file of durable objects are taken, what starts where, and the sum of
 * each page that was written.
 *
 * Nothing of it is on disk: after a start, all is taken again from the catalog.
 *
 * Units      pages of the data file.
 * Ownership  caller owns the struct; mem outlives it.
 * Threads    one zone thread.
 * Errors     -ENOSPC no such run is free; -ENOMEM.
 * Cost       take: words of the bitmap looked at, from behind the last one taken; find: O(1); 12
 *            bytes of lazily touched maps per page.
 */
#ifndef FH_ALLOC_SHELF_H
#define FH_ALLOC_SHELF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "mem.h"

struct fh_shelf_start {
    uint32_t owner; /* the one who took it */
    uint32_t pages; /* 0 = nothing starts here [I2] */
};

struct fh_shelf {
    struct fh_mem *mem;
    uint64_t pages;                /* of the file */
    uint64_t *taken;               /* a bit per page [I1] */
    struct fh_shelf_start *starts; /* by page */
    uint32_t *sums;                /* CRC32C by page */
    uint64_t cursor;               /* where the search for a run begins */
    uint64_t used;                 /* pages taken [I1] */
    uint64_t count;                /* runs taken [I2] */
};

/* At most 2^28 pages. */
FH_CHECKED int fh_shelf_init(struct fh_shelf *, struct fh_mem *, uint64_t pages);
void fh_shelf_fini(struct fh_shelf *);

/* A free run of so many pages, not 0; its sums are those of zeros. */
FH_CHECKED int fh_shelf_take(struct fh_shelf *, uint64_t pages, uint32_t owner, uint64_t *place);
/* This run: -EINVAL if it lies outside the file or is not free. Any numbers may be asked for. */
FH_CHECKED int fh_shelf_take_at(struct fh_shelf *, uint64_t place, uint64_t pages, uint32_t owner);
/* The run that starts here is free again. */
void fh_shelf_give(struct fh_shelf *, uint64_t place);

/* Another one has the run that starts here. */
void fh_shelf_pass(struct fh_shelf *, uint64_t place, uint32_t owner);
/* The run that starts at the page; `pages` is 0 when none does. Any page may be asked about. */
struct fh_shelf_start fh_shelf_at(const struct fh_shelf *, uint64_t place);
/* Where the run starts that the page, which is taken, belongs to. */
uint64_t fh_shelf_start_of(const struct fh_shelf *, uint64_t place);

/* The first page from `at` on that is taken, or free; `pages` of the file if there is none. */
uint64_t fh_shelf_next(const struct fh_shelf *, uint64_t at, bool taken);

bool fh_shelf_check(const struct fh_shelf *, FILE *why);
void fh_shelf_dump(const struct fh_shelf *, FILE *out);

#endif
