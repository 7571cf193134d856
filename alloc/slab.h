/*
 * slab: small objects, many to a slab: a run of pages cut into objects of one size for one tenant.
 *
 * A cache serves one tenant and one of 89 sizes, eight per doubling from 16 B to 32 KiB; or it is
 * typed: its owner's, of a geometry of its own, and serves nobody else. An object
 * comes from the fullest partial slab (of the first few rather from a resident one), else from the
 * empty slab kept, else from a new one. All books lie outside the pages.
 *
 * Units      bytes, unless a name says pages.
 * Ownership  caller owns the struct; mem and space outlive it.
 * Threads    one zone thread.
 * Errors     -EFBIG above FH_SLAB_SIZE_MAX; -EFAULT not the first byte of a live object; -ENOMEM,
 *            -ENOSPC as space. State unchanged on every error.
 * Cost       alloc, free, find: O(1), plus the space's when a slab comes or goes. Books: a bit and
 *            the record per object, 32 B per slab.
 */
#ifndef FH_ALLOC_SLAB_H
#define FH_ALLOC_SLAB_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "ids.h"
#include "mem.h"
#include "slab_run.h"
#include "space.h"

enum {
    FH_SLAB_LISTS = FH_SLAB_FILLS + 1, /* of partial slabs by fill, then of full ones */
    FH_SLAB_LOOKS = 8,                 /* slabs asked whether they are resident */
    FH_SLAB_TENANTS = 1 << 20,         /* tenants are numbered densely from 0 */
    FH_SLAB_TYPED_MAX = 256,           /* typed caches */
    FH_SLAB_NUMBERS_MAX = 1 << 25,     /* slabs: they have the numbers below */
};

/* All slabs of one tenant and size. */
struct fh_slab_cache {
    uint32_t tenant;
    uint32_t typed; /* its number among the typed ones, from 1; 0 = of one of the 89 sizes [I7] */
    uint32_t fills; /* set of lists that are not empty [I3] */
    const struct fh_slab_size *size;
    struct fh_slab_run *lists[FH_SLAB_LISTS]; /* the first of each [I3] */
    struct fh_slab_run *empty;                /* kept for the next alloc, or NULL */
    uint64_t slabs, full, used;               /* used: objects [I6] */
    uint64_t moves;                           /* objects moved between its slabs: the mover's */
};

struct fh_slab_opts {
    struct fh_mem *mem;
    struct fh_space *space;
    uint32_t record_bytes; /* kept for each object beside its slab's books: the owner's */
    void (*discard)(void *ctx, struct fh_page first, uint64_t pages); /* may be NULL */
    bool (*resident)(void *ctx, struct fh_page page);                 /* may be NULL */
    void *ctx;
};

struct fh_slab {
    struct fh_slab_opts opts;
    struct fh_slab_size sizes[FH_SLAB_SIZES];
    struct fh_slab_cache ***tenants; /* by tenant: NULL, or FH_SLAB_SIZES caches, NULL if none */
    uint32_t tenants_cap;
    struct fh_slab_cache *typed[FH_SLAB_TYPED_MAX]; /* by number - 1; NULL: none [I7] */
    uint64_t *runs;                                 /* by number: a slab, or the next free number */
    uint32_t runs_cap;                              /* numbers there are */
    uint32_t runs_used;                             /* numbers that lead to a slab */
    uint32_t free_number;                           /* first of the numbers that lead to none */
    uint64_t caches;
    uint64_t discarded_pages; /* since start */
};

struct fh_slab_object {
    struct fh_addr addr;
    struct fh_slab_run *run; /* its slab: size, tenant and typed cache are those of run->cache */
    uint32_t index;          /* in its slab */
};

/* One cache. */
struct fh_slab_cache_stats {
    uint32_t tenant;
    uint32_t typed;                       /* its number, or 0 */
    uint32_t object_size;                 /* bytes */
    uint32_t slab_pages, slab_objects;    /* geometry of one slab */
    uint64_t slabs, full, partial, empty; /* slabs == full + partial + empty */
    uint64_t used, free;                  /* objects */
    uint64_t pages;                       /* of all slabs */
    uint64_t moves;                       /* objects moved between its slabs so far */
};

/* Sums over all caches. */
struct fh_slab_stats {
    uint64_t caches;
    uint64_t slabs, full, partial, empty;
    uint64_t used, free;      /* objects */
    uint64_t used_bytes;      /* used objects times their size */
    uint64_t pages;           /* of all slabs */
    uint64_t discarded_pages; /* given to `discard` since start */
};

void fh_slab_init(struct fh_slab *, const struct fh_slab_opts *);
void fh_slab_fini(struct fh_slab *);

/* size: 1..FH_SLAB_SIZE_MAX; tenant below FH_SLAB_TENANTS. *out is untouched on error. The record of
 * a new object is zeros, and must be again when it is freed. */
FH_CHECKED int fh_slab_alloc(struct fh_slab *, uint32_t tenant, uint32_t size,
                             struct fh_slab_object *out);
/*
 * A typed cache: the caller's struct and geometry, which stay where they are until close, or until
 * fini of all. open: -ENOSPC when there are FH_SLAB_TYPED_MAX; close: -EBUSY while objects live.
 */
FH_CHECKED int fh_slab_cache_open(struct fh_slab *, struct fh_slab_cache *, uint32_t tenant,
                                  const struct fh_slab_size *);
FH_CHECKED int fh_slab_cache_close(struct fh_slab *, struct fh_slab_cache *);
FH_CHECKED int fh_slab_cache_alloc(struct fh_slab *, struct fh_slab_cache *,
                                   struct fh_slab_object *out);
/* An object of this slab, which has live ones and room for another. */
void fh_slab_alloc_in(struct fh_slab *, struct fh_slab_run *, struct fh_slab_object *out);
/* `number` is that of a page's mark, without FH_SPACE_SLAB; addr any byte of that page. */
FH_CHECKED int fh_slab_free(struct fh_slab *, uint32_t number, struct fh_addr);
FH_CHECKED int fh_slab_find(const struct fh_slab *, uint32_t number, struct fh_addr,
                            struct fh_slab_object *out);

/* The slab with a number, or NULL when none has it. */
static inline struct fh_slab_run *fh_slab_run_at(const struct fh_slab *s, uint64_t number)
{
    uint64_t entry = number < s->runs_cap ? s->runs[number] : 1;
    return (entry & 1) == 0 ? (struct fh_slab_run *)(uintptr_t)entry : NULL;
}

/* The slab after one in its list, or NULL. */
static inline struct fh_slab_run *fh_slab_run_after(const struct fh_slab *s,
                                                    const struct fh_slab_run *run)
{
    return fh_slab_run_at(s, run->next);
}

/* Gives back the empty slabs kept, and caches without slabs. */
void fh_slab_trim(struct fh_slab *);
/* The same in slices, from tenant *cursor on, 0 at first; ends after about `looks` caches looked at.
 * True: more is left, *cursor is where to go on. False: that was all, *cursor is 0 again. */
bool fh_slab_trim_some(struct fh_slab *, uint32_t *cursor, uint32_t looks);

void fh_slab_stats(const struct fh_slab *, struct fh_slab_stats *out);
/* The next cache that has slabs, by tenant and size, then every typed one; *cursor is 0 at first.
 * False: no more. */
bool fh_slab_cache_next(const struct fh_slab *, uint64_t *cursor, struct fh_slab_cache_stats *out);
bool fh_slab_check(const struct fh_slab *, FILE *why);
void fh_slab_dump(const struct fh_slab *, FILE *out);

#endif
