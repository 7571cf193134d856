/*
 * catalog: which durable objects there are and where their bytes lie; on disk, in an LMDB
 * environment of its zone.
 *
 * Changes are committed by a thread of its own, since a commit waits for the disk: all that are
 * there when it begins share one transaction and its two syncs. They are told in the order they were
 * asked for.
 *
 * Ownership  a change and what it points to belong to the catalog from submit to `done`.
 * Threads    open, load, start, submit, reap, close and every `done` on the zone's thread.
 * Errors     open: -EPROTO unknown layout; -EXDEV made for another zone, or another number of zones;
 *            -EBADMSG no catalog; else of the system. A change: -ENOSPC, -EIO; nothing of its group
 *            has happened then, as far as the catalog knows: the disk may know better after a
 *            crash.
 * Cost       about 150 bytes on disk per object, its name, and 4 bytes per page of it.
 */
#ifndef FH_ALLOC_CATALOG_H
#define FH_ALLOC_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "list.h"

enum {
    FH_CATALOG_LAYOUT = 1,
    FH_CATALOG_NAME_MAX = 1024,
    FH_CATALOG_FILES = 16, /* numbers of data files */
};

/* What is known of a durable object. */
struct fh_catalog_record {
    uint64_t id;         /* not 0 */
    uint64_t version;    /* of the object */
    uint64_t size;       /* bytes */
    uint64_t expires_ms; /* of the wall clock, since 1970; 0 = never */
    uint64_t place;      /* its first page in the data file */
    uint32_t file;       /* number of the data file */
    uint32_t tenant;
    const void *name;
    uint32_t name_size; /* 1 .. FH_CATALOG_NAME_MAX */
    uint32_t sum_count; /* pages: as many as `size` needs */
    const void *sums;   /* CRC32C of each page, zeros behind the end included: 4 bytes each, little
                         endian, not aligned */
};

/* One step: an object comes, another goes, or both. Or nothing, and a hole is made. */
struct fh_catalog_change {
    bool puts;
    struct fh_catalog_record record; /* if it puts; an id that is there is replaced */
    uint64_t removes;                /* id of the one that goes; 0 = none */
    int punch_fd;                    /* and then these bytes of a file become a hole: ... */
    uint64_t punch_at, punch_bytes;  /* ... how many; 0 = none */
    void (*done)(struct fh_catalog_change *); /* from fh_catalog_reap */
    int result;
    struct fh_list link; /* the catalog's */
};

struct fh_catalog_opts {
    const char *path; /* of the file; its folder exists */
    uint32_t zone, zones;
    uint64_t size_max; /* of the file; 0 = 128 GiB. Address space, not memory */
};

struct fh_catalog_stats {
    uint64_t commits, changes, failed; /* so far; `failed` changes */
    bool broken;
};

struct fh_catalog;
FH_CHECKED int fh_catalog_open(const struct fh_catalog_opts *, struct fh_catalog **out);
/* Finishes what was submitted; `done` is not called any more. NULL is fine. */
void fh_catalog_close(struct fh_catalog *);

/*
 * Visits every record that holds, in the order of their ids; what it points to lasts for the call
 * only. *bad counts those that do not: cut, of a wrong sum, or saying what cannot be. Before start.
 */
FH_CHECKED int fh_catalog_load(struct fh_catalog *,
                               int (*visit)(void *ctx, const struct fh_catalog_record *), void *ctx,
                               uint64_t *bad);
/* Starts the thread. */
FH_CHECKED int fh_catalog_start(struct fh_catalog *);

void fh_catalog_submit(struct fh_catalog *, struct fh_catalog_change *);
/* Calls `done` of every change that was committed or failed. Cheap when there is none. */
void fh_catalog_reap(struct fh_catalog *);
/* Readable when reap has something to do. */
int fh_catalog_event_fd(const struct fh_catalog *);
/*
 * The last write of a commit failed, so nobody but the disk knows whether the commit is there: every change fails from
 * now on, holes included, until the file is opened again. No page that a failed change names may be written until then.
 */
bool fh_catalog_is_broken(const struct fh_catalog *);
/* Changes submitted whose `done` was not called yet. */
uint32_t fh_catalog_in_flight(const struct fh_catalog *);
void fh_catalog_stats(const struct fh_catalog *, struct fh_catalog_stats *out);

/* --- for tests: a record as it lies on disk --- */

/* Bytes, or 0 if it does not fit or is no record. */
size_t fh_catalog_pack(const struct fh_catalog_record *, void *out, size_t room);
/* -EBADMSG: no record. `out` points into `bytes`. */
FH_CHECKED int fh_catalog_unpack(uint64_t id, const void *bytes, size_t size,
                                 struct fh_catalog_record *out);

#endif
