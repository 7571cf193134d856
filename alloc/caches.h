/*
 * caches: the typed caches of a zone, by tenant and name: objects of one size and alignment that
 * all start from the same bytes.
 *
 * Units      bytes.
 * Ownership  caller owns the struct; mem and slab outlive it, but for fini, which comes after the
 *            slab's. A cache is the table's from create to destroy; its initial bytes belong to
 *            whoever holds them, the cache among others.
 * Threads    one zone thread.
 * Errors     -EINVAL, -EFBIG a parameter; -EEXIST the tenant has such a cache; -ENOENT it has not;
 *            -EBUSY objects of it live; -ENOSPC FH_CACHES_MAX there are; -ENOMEM. Nothing changed.
 * Cost       find: a look at 1 KiB of hashes; a cache: about 0.6 KiB and its initial bytes.
 */
#ifndef FH_ALLOC_CACHES_H
#define FH_ALLOC_CACHES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "mem.h"
#include "slab.h"

enum {
    FH_CACHES_MAX = FH_SLAB_TYPED_MAX,
    FH_CACHE_NAME_MAX = 255,
    FH_CACHE_ALIGNMENT = 8, /* when none is asked for */
    FH_CACHE_ALIGNMENT_MAX = 4096,
};

/* What new objects read as, shared by the cache and the readers that have it on offer. */
struct fh_initial {
    uint32_t refs;   /* never 0 [I4] */
    uint32_t size;   /* the cache's object size */
    uint8_t bytes[]; /* what was given, then zeros */
};

struct fh_cache_spec {
    const void *name; /* 1..FH_CACHE_NAME_MAX bytes */
    size_t name_size;
    uint64_t object_size; /* 1..FH_SLAB_SIZE_MAX */
    uint64_t alignment;   /* a power of two up to FH_CACHE_ALIGNMENT_MAX; 0 = FH_CACHE_ALIGNMENT */
    const void *initial;  /* what every object starts with; zeros follow */
    size_t initial_size;  /* at most object_size; 0 = zeros only */
};

struct fh_cache {
    struct fh_slab_cache slab; /* its slabs; slab.typed is the cache's number [I2] */
    struct fh_slab_size geometry;
    uint32_t object_size; /* what an object may be resized to */
    uint32_t alignment;
    struct fh_initial *initial; /* NULL: zeros */
    uint32_t name_size;
    uint8_t name[FH_CACHE_NAME_MAX];
};

struct fh_caches {
    struct fh_mem *mem;
    struct fh_slab *slab;
    uint32_t count;                        /* [I1] */
    uint64_t bytes;                        /* of all caches and initial bytes [I5] */
    uint32_t hashes[FH_CACHES_MAX];        /* of tenant and name, by number - 1 [I3] */
    struct fh_cache *slots[FH_CACHES_MAX]; /* by number - 1; NULL: none [I1] */
};

void fh_caches_init(struct fh_caches *, struct fh_mem *, struct fh_slab *);
/* Gives back all caches, whatever lives in them: after the slab's fini. */
void fh_caches_fini(struct fh_caches *);

FH_CHECKED int fh_caches_create(struct fh_caches *, uint32_t tenant, const struct fh_cache_spec *);
FH_CHECKED int fh_caches_destroy(struct fh_caches *, uint32_t tenant, const void *name,
                                 size_t name_size);
/* NULL: the tenant has no such cache. */
struct fh_cache *fh_caches_find(const struct fh_caches *, uint32_t tenant, const void *name,
                                size_t name_size);

/* The cache with a number that is in use. */
static inline struct fh_cache *fh_caches_at(const struct fh_caches *c, uint32_t number)
{
    FH_ASSERT(number > 0 && number <= FH_CACHES_MAX && c->slots[number - 1]);
    return c->slots[number - 1];
}

/* Keeps initial bytes, which may be NULL, though their cache may go. Returns them. */
struct fh_initial *fh_initial_hold(struct fh_initial *);
void fh_initial_release(struct fh_caches *, struct fh_initial *);

struct fh_caches_stats {
    uint32_t count;
    uint64_t live_objects;
    uint64_t book_bytes; /* of caches and initial bytes, those kept for readers included */
};
void fh_caches_stats(const struct fh_caches *, struct fh_caches_stats *out);
bool fh_caches_check(const struct fh_caches *, FILE *why);
void fh_caches_dump(const struct fh_caches *, FILE *out);

#endif
