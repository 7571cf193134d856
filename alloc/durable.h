/*
 * durable: the folder of a zone's durable objects: data files, which lie behind pages of the space,
 * and the catalog.
 *
 *   FOLDER/zone-0/catalog.mdb   which objects there are
 *                 data-0        their bytes, in runs of pages; sparse; data-1 takes over when it fails
 *
 * Units      pages, unless a name says bytes.
 * Ownership  caller owns the struct; mem outlives it. The data files' descriptors belong to backing
 *            once they lie behind pages.
 * Threads    one zone thread; the catalog has one of its own.
 * Errors     open: those of fh_catalog_open, -EOPNOTSUPP the file system cannot make holes, and of
 *            the system. take: -ENOSPC, -EFBIG, -EIO no data file can be written any more.
 */
#ifndef FH_ALLOC_DURABLE_H
#define FH_ALLOC_DURABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "backing.h"
#include "catalog.h"
#include "ids.h"
#include "mem.h"
#include "shelf.h"

enum { FH_DATA_FILES = 2, FH_DATA_PAGES = 1 << 28 };
#define FH_DURABLE_SIZE_MAX (UINT64_C(64) << 30) /* of an object, bytes */
#define FH_OWNER_LEAVING    UINT32_MAX           /* of a run: the catalog still knows it */

struct fh_durable_opts {
    struct fh_mem *mem;
    const char *folder; /* exists */
    uint32_t zone, zones;
    uint64_t pages; /* of a data file; 0 = FH_DATA_PAGES: 1 TiB. Tests use fewer */
};

struct fh_data_file {
    struct fh_shelf shelf;
    int fd;               /* until backing has it */
    struct fh_file *file; /* behind pages */
};

struct fh_durable {
    struct fh_durable_opts opts;
    struct fh_catalog *catalog;
    struct fh_data_file files[FH_DATA_FILES];
    struct fh_list waiting;  /* calls that wait for any commit to end */
    struct fh_list commits;  /* in flight, and runs that wait to be free */
    uint64_t objects, bytes; /* kept */
    uint64_t bad_records;    /* of the catalog, when it was loaded */
    uint64_t commits_failed;
    uint64_t stuck_pages; /* that could not be made free: until the next start */
};

/* A run of pages and where it is in the space. */
struct fh_durable_run {
    uint32_t file;
    uint64_t place, pages;
    struct fh_page first;
};

/* Blocks: folder, files, catalog. */
FH_CHECKED int fh_durable_open(struct fh_durable *, const struct fh_durable_opts *);
/* Waits for the catalog; the commits in flight are the caller's to free. */
void fh_durable_close(struct fh_durable *);
/* The data file lies behind pages from `first` on. */
FH_CHECKED int fh_durable_attach(struct fh_durable *, struct fh_backing *, uint32_t file,
                                 struct fh_page first);
/* What is not taken becomes a hole. Blocks; after the load, before the first take. */
FH_CHECKED int fh_durable_clean(struct fh_durable *);

FH_CHECKED int fh_durable_take(struct fh_durable *, uint64_t pages, uint32_t owner,
                               struct fh_durable_run *out);
/* Where the page lies, and the run that starts there (pages 0: none does). False: in no data file. */
bool fh_durable_find(const struct fh_durable *, struct fh_page, struct fh_durable_run *out);
/* The same for the run that the page, which is taken, lies in. */
void fh_durable_find_inner(const struct fh_durable *, struct fh_page, struct fh_durable_run *out);

/* What the catalog knows a run by, and back: false if it is no such id. */
uint64_t fh_durable_id(const struct fh_durable_run *);
bool fh_durable_run_of_id(const struct fh_durable *, uint64_t id, struct fh_durable_run *out);

static inline struct fh_data_file *fh_durable_file(struct fh_durable *d,
                                                   const struct fh_durable_run *run)
{
    return &d->files[run->file];
}

bool fh_durable_check(const struct fh_durable *, FILE *why);
void fh_durable_dump(const struct fh_durable *, FILE *out);

#endif
