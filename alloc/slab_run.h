/*
 * slab_run: the books of one slab, a run of pages cut into objects of one size: which objects are
 * free, and a record of each, the owner's; and the geometry of each size.
 *
 * Units      bytes, unless a name says pages; objects by index from the slab's first byte.
 * Ownership  dynamic: create and destroy take and give memory of `mem`.
 * Threads    one zone thread.
 * Errors     create: NULL, nothing changed.
 * Cost       all O(1) but create. 32 B per slab, the record and a bit per object.
 */
#ifndef FH_ALLOC_SLAB_RUN_H
#define FH_ALLOC_SLAB_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "assert.h"
#include "bits.h"
#include "ids.h"
#include "mem.h"

enum {
    FH_SLAB_SIZE_MIN = 16,
    FH_SLAB_SIZE_MAX = 32 * 1024,
    FH_SLAB_SIZES = 89, /* eight per doubling, both ends included */
    FH_SLAB_PAGES_MAX = 64,
    FH_SLAB_OBJECTS_MAX = 4096 / FH_SLAB_SIZE_MIN, /* in a slab */
    FH_SLAB_FILLS = 8,                             /* a slab's fill is told in eighths */
    FH_SLAB_FILL_NONE = FH_SLAB_FILLS + 1,         /* of a slab in no list */
};

#define FH_SLAB_OBJECT_NONE UINT32_MAX
#define FH_SLAB_NUMBER_NONE UINT32_MAX

/* What is the same for all slabs of a size. */
struct fh_slab_size {
    uint32_t object_bytes;
    uint32_t pages;        /* of a slab */
    uint32_t objects;      /* in a slab, at most FH_SLAB_OBJECTS_MAX */
    uint32_t record_bytes; /* of the books of each object that are its owner's */
    uint64_t inverse;      /* ceil(2^40 / object_bytes): division by multiplication */
    uint64_t fill_inverse; /* ceil(2^35 / objects): eighths in use, likewise */
};

struct fh_slab_cache;

struct fh_slab_run {
    struct fh_slab_cache *cache;
    struct fh_page first;
    uint32_t number;      /* the mark on its pages, without FH_SPACE_SLAB */
    uint32_t prev, next;  /* in the list of its fill: numbers, or FH_SLAB_NUMBER_NONE */
    uint16_t used;        /* live objects [I1] */
    uint16_t fill;        /* fh_slab_size_fill(used); FH_SLAB_FILL_NONE while none lives */
    uint64_t free_bits[]; /* a bit per object, set = free [I1]; then a record each [I2] */
};

_Static_assert(sizeof(struct fh_slab_run) == 32, "what a slab costs");

/* The size at an index, below FH_SLAB_SIZES. */
void fh_slab_size_init(struct fh_slab_size *, uint32_t index, uint32_t record_bytes);
/* The geometry for objects of so many bytes, FH_SLAB_SIZE_MIN..FH_SLAB_SIZE_MAX. */
void fh_slab_size_init_typed(struct fh_slab_size *, uint32_t object_bytes, uint32_t record_bytes);

struct fh_slab_run *fh_slab_run_create(struct fh_mem *, const struct fh_slab_size *,
                                       struct fh_slab_cache *);
void fh_slab_run_destroy(struct fh_mem *, const struct fh_slab_size *, struct fh_slab_run *);

/* Whether a byte of any live object lies on the slab's page with this index. */
bool fh_slab_run_page_is_live(const struct fh_slab_run *, const struct fh_slab_size *,
                              uint32_t page);

/* Where the smallest size of at least `size` bytes is; size: at most FH_SLAB_SIZE_MAX. */
static inline uint32_t fh_slab_size_index(uint32_t size)
{
    FH_ASSERT(size <= FH_SLAB_SIZE_MAX);
    if (size <= FH_SLAB_SIZE_MIN)
        return 0;
    uint32_t doubling = fh_log2_floor(size - 1);
    return (doubling - 4) * 8 + ((size - 1) >> (doubling - 3) & 7) + 1;
}

static inline uint32_t fh_slab_size_words(const struct fh_slab_size *z)
{
    return (z->objects + 63) / 64;
}

/* The object that has the byte at an offset in its slab; may be one beyond the last. */
static inline uint32_t fh_slab_size_object_at(const struct fh_slab_size *z, uint64_t offset)
{
    return (uint32_t)(offset * z->inverse >> 40);
}

/* Eighths of a slab that `used` objects fill: FH_SLAB_FILLS when all are. */
static inline uint32_t fh_slab_size_fill(const struct fh_slab_size *z, uint32_t used)
{
    return (uint32_t)(used * z->fill_inverse >> 32);
}

/* The record of an object: record_bytes, not aligned, zeros while the object is free [I2]. */
static inline void *fh_slab_run_record(struct fh_slab_run *run, const struct fh_slab_size *z,
                                       uint32_t object)
{
    return (uint8_t *)(run->free_bits + fh_slab_size_words(z)) + (size_t)object * z->record_bytes;
}

/* The lowest free object of a slab that is not full. */
static inline uint32_t fh_slab_run_lowest_free(const struct fh_slab_run *run)
{
    uint32_t w = 0;
    FH_ASSERT(run->fill != FH_SLAB_FILLS); /* else no bit is set */
    while (run->free_bits[w] == 0)
        w++;
    return w * 64 + (uint32_t)__builtin_ctzll(run->free_bits[w]);
}

/* The live object whose first byte is at addr, any byte of the slab; else FH_SLAB_OBJECT_NONE. */
static inline uint32_t fh_slab_run_object_at(const struct fh_slab_run *run,
                                             const struct fh_slab_size *z, struct fh_addr addr)
{
    uint64_t offset = addr.v - fh_addr_of_page(run->first).v;
    FH_ASSERT(offset < (uint64_t)z->pages * FH_PAGE_SIZE);
    uint32_t object = fh_slab_size_object_at(z, offset);
    if (object >= z->objects || (uint64_t)object * z->object_bytes != offset)
        return FH_SLAB_OBJECT_NONE;
    return fh_bit_is_set(run->free_bits, object) ? FH_SLAB_OBJECT_NONE : object;
}

static inline struct fh_addr fh_slab_run_addr(const struct fh_slab_run *run,
                                              const struct fh_slab_size *z, uint32_t object)
{
    return (struct fh_addr){fh_addr_of_page(run->first).v + (uint64_t)object * z->object_bytes};
}

#endif
