/*
 * objects: the record of each object: key, version, size, state, and where its extra is.
 *
 * There are two kinds of record. A small object's lies in the books of its slab, packed, and its
 * place says address, tenant and typed cache. The record of an object of pages is large and lies in
 * an array; its number is the tag of the object's block in the heap. A struct fh_object is a handle
 * on either, and the functions below read and change whichever it is.
 *
 * An object's id says which: up to FH_OBJECTS_MAX a number in the array, from there on slab and
 * index. It changes only when the object moves into a slab, out of one, or to another. Nothing a client sends is
 * used as an id: an address leads to a record through the heap. Views and staging blocks have none.
 *
 * Units      bytes.
 * Ownership  caller owns struct and handles; mem and slab outlive it. A handle is good until its
 *            object is given back.
 * Threads    one zone thread.
 * Errors     -ENOMEM, -ENOSPC too many objects of pages.
 * Cost       all O(1) but check and dump. 22 B per small object, 40 B per large one.
 */
#ifndef FH_ALLOC_OBJECTS_H
#define FH_ALLOC_OBJECTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "heap.h"
#include "ids.h"
#include "mem.h"
#include "slab.h"

enum {
    FH_OBJECT_NONE = 0, /* an id, and a number: both start at 1 */
    FH_OBJECT_VERSION_BITS = 44,
    FH_OBJECTS_MAX = 1 << 26, /* large records have the numbers below */
};

#define FH_OBJECT_VERSION_MAX ((UINT64_C(1) << FH_OBJECT_VERSION_BITS) - 1)

/* Ids of small objects: this, and a slab's number and an index of 8 bits. */
#define FH_OBJECT_SMALL ((uint64_t)FH_OBJECTS_MAX)

struct fh_small {
    uint64_t key; /* 0 = the place is free */
    uint64_t version : FH_OBJECT_VERSION_BITS;
    uint64_t sealed : 1;
    uint64_t expires : 1; /* its extra has an expiry */
    uint64_t coming : 1;  /* a commit is giving it its name: to others it is not there yet */
    uint64_t going : 1;   /* a commit is removing it, or giving its name to another */
    uint64_t size : 16;   /* bytes, at most FH_SLAB_SIZE_MAX */
    uint32_t extra;       /* its name and its expiry; FH_EXTRAS_NONE: it has neither */
    uint16_t filled; /* from this byte on it reads as zeros, or as the initial bytes of its cache */
} __attribute__((packed));

struct fh_large {
    uint64_t key; /* 0 = free record; its `addr` is then the next free one */
    uint64_t version : FH_OBJECT_VERSION_BITS;
    uint64_t sealed : 1;
    uint64_t expires : 1;
    uint64_t coming : 1;
    uint64_t going : 1;
    uint64_t tenant : 16;
    uint64_t addr; /* 0 of one that is being staged */
    uint64_t size; /* bytes, at most FH_OBJECT_SIZE_MAX */
    uint32_t extra;
    uint32_t kept : 1;    /* the catalog of durable objects has it; small ones are never durable */
    uint32_t pattern : 2; /* enum fh_pattern: how its users said they read it */
    uint32_t spare : 29;
};

_Static_assert(sizeof(struct fh_small) == 22, "what a small object costs");
_Static_assert(sizeof(struct fh_large) == 40, "what an object of pages costs");

struct fh_object {
    uint64_t id;
    struct fh_addr addr;     /* first byte */
    struct fh_slab_run *run; /* of a small one; else NULL */
    struct fh_small *small;  /* one of these two, the other is NULL */
    struct fh_large *large;
};

struct fh_objects {
    struct fh_mem *mem;
    const struct fh_slab *slab; /* whose record_bytes are a struct fh_small */
    struct fh_large *records;   /* lazily touched map */
    uint32_t used_end;          /* large records from here on were never used */
    uint32_t free_head;
    uint64_t small; /* live small ones [I1] */
    uint64_t count; /* live objects of both kinds [I1] */
    uint64_t bytes; /* sum of their sizes [I2] */
};

FH_CHECKED int fh_objects_init(struct fh_objects *, struct fh_mem *, const struct fh_slab *);
void fh_objects_fini(struct fh_objects *);

/* A zeroed large record with this key, which is not 0; its number is the tag for its block. */
FH_CHECKED int fh_objects_take(struct fh_objects *, uint32_t tenant, uint64_t key,
                               struct fh_object *out);
/* The record of a block in a slab that was just allocated. */
struct fh_object fh_objects_take_small(struct fh_objects *, const struct fh_heap_block *,
                                       uint64_t key);
/* The record of a small object goes to a block in a slab that was just allocated: it is another id
 * and another place of the same object. */
struct fh_object fh_objects_move(struct fh_objects *, const struct fh_object *,
                                 const struct fh_heap_block *);
/* The record is nobody's. A small object's place may be freed after that, not before. */
void fh_objects_give(struct fh_objects *, const struct fh_object *);
void fh_objects_resize(struct fh_objects *, const struct fh_object *, uint64_t size);

/* The object with an id that is in use. */
struct fh_object fh_objects_at(const struct fh_objects *, uint64_t id);
/* The object of a block; of no block (NULL) a stand-in that never matches. */
struct fh_object fh_objects_of_block(const struct fh_objects *, const struct fh_heap_block *);
/*
 * Whether it is the object that addr, key and tenant name. All comparisons are done whatever the
 * first one says.
 */
bool fh_objects_match(const struct fh_object *, struct fh_addr addr, uint64_t key, uint32_t tenant);

/*
 * The next live object from place *at on, 0 at first; *at becomes the place after it, 0: that was
 * all. Looks at no more than *looks places, each taken off; false: none was found.
 */
bool fh_objects_next(const struct fh_objects *, uint64_t *at, uint64_t *looks,
                     struct fh_object *out);

struct fh_objects_stats {
    uint64_t count, size_bytes; /* live objects, the sum of their sizes */
    uint64_t small;             /* of them in slabs */
    uint64_t book_bytes;        /* touched for large records; the small ones are the slabs' books */
};
void fh_objects_stats(const struct fh_objects *, struct fh_objects_stats *out);
bool fh_objects_check(const struct fh_objects *, FILE *why);
void fh_objects_dump(const struct fh_objects *, FILE *out);

/* --- what a record says --- */

static inline uint64_t fh_object_key(const struct fh_object *o)
{
    return o->small ? o->small->key : o->large->key;
}

static inline uint64_t fh_object_size(const struct fh_object *o)
{
    return o->small ? o->small->size : o->large->size;
}

static inline uint64_t fh_object_version(const struct fh_object *o)
{
    return o->small ? o->small->version : o->large->version;
}

static inline bool fh_object_is_sealed(const struct fh_object *o)
{
    return o->small ? o->small->sealed : o->large->sealed;
}

/* Whether its extra has an expiry. */
static inline bool fh_object_expires(const struct fh_object *o)
{
    return o->small ? o->small->expires : o->large->expires;
}

/* What the commits of durable objects do with it: see struct fh_small, fh_large. */
static inline bool fh_object_is_coming(const struct fh_object *o)
{
    return o->small ? o->small->coming : o->large->coming;
}

static inline bool fh_object_is_going(const struct fh_object *o)
{
    return o->small ? o->small->going : o->large->going;
}

static inline bool fh_object_is_kept(const struct fh_object *o)
{
    return o->large && o->large->kept;
}

static inline uint32_t fh_object_extra(const struct fh_object *o)
{
    return o->small ? o->small->extra : o->large->extra;
}

static inline uint32_t fh_object_tenant(const struct fh_object *o)
{
    return o->small ? o->run->cache->tenant : (uint32_t)o->large->tenant;
}

/* The number of its typed cache, or 0. */
static inline uint32_t fh_object_cache(const struct fh_object *o)
{
    return o->small ? o->run->cache->typed : 0;
}

/* From this byte on it was never written. */
static inline uint64_t fh_object_filled(const struct fh_object *o)
{
    return o->small ? o->small->filled : o->large->size;
}

/* Where a byte of it lies in the space: the only way from an object to its bytes. */
static inline struct fh_addr fh_object_addr(const struct fh_object *o, uint64_t offset)
{
    return (struct fh_addr){o->addr.v + offset};
}

static inline void fh_object_set_version(const struct fh_object *o, uint64_t version)
{
    if (o->small)
        o->small->version = version & FH_OBJECT_VERSION_MAX;
    else
        o->large->version = version & FH_OBJECT_VERSION_MAX;
}

static inline void fh_object_set_sealed(const struct fh_object *o, bool sealed)
{
    if (o->small)
        o->small->sealed = sealed;
    else
        o->large->sealed = sealed;
}

static inline void fh_object_set_coming(const struct fh_object *o, bool coming)
{
    if (o->small)
        o->small->coming = coming;
    else
        o->large->coming = coming;
}

static inline void fh_object_set_going(const struct fh_object *o, bool going)
{
    if (o->small)
        o->small->going = going;
    else
        o->large->going = going;
}

/* Of an object of pages. */
static inline void fh_object_set_kept(const struct fh_object *o, bool kept)
{
    FH_ASSERT(o->large);
    o->large->kept = kept;
}

static inline void fh_object_set_extra(const struct fh_object *o, uint32_t extra, bool expires)
{
    if (o->small) {
        o->small->extra = extra;
        o->small->expires = expires;
    } else {
        o->large->extra = extra;
        o->large->expires = expires;
    }
}

/* The object of pages lies here now, under another key. */
static inline void fh_object_set_place(struct fh_object *o, struct fh_addr addr, uint64_t key)
{
    FH_ASSERT(o->large);
    o->large->addr = addr.v;
    o->large->key = key;
    o->addr = addr;
}

#endif
