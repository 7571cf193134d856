/*
 * Theory.  An object is found only through the heap: address -> block -> record; then its address,
 * key and tenant are compared with the asked ones. Record 0 is never an object: it stands in when
 * the address leads nowhere, so that all refusals take the same path.
 *
 *   small   slab, index ------------------------> record, 22 B, beside the slab's bitmap
 *   large   tag of the block ------------------> record, 40 B, in a lazily touched array
 *
 * Most objects are small, so their record has no address, tenant or cache: the slab has one of each
 * for all of them. Numbers of freed large records are given out again first, from a list threaded
 * through their `addr`.
 *
 * Invariants
 *   [I1] small is the number of live objects of slabs, which all have a key; count is these and the
 *        large records below used_end with a key
 *   [I2] bytes is the sum of their sizes; a small object is not filled beyond its size
 *   [I3] the free list visits every large record without a key, but record 0, once
 */
#include "objects.h"

#include <errno.h>
#include <inttypes.h>

#include "bits.h"
#include "report.h"

enum { INDEX_BITS = 8 };

#define RECORDS_SIZE ((size_t)FH_OBJECTS_MAX * sizeof(struct fh_large))

_Static_assert(FH_SLAB_OBJECTS_MAX <= 1 << INDEX_BITS, "an index fits an id");
_Static_assert(FH_SLAB_SIZE_MAX <= UINT16_MAX, "sizes of small objects fit their records");

int fh_objects_init(struct fh_objects *o, struct fh_mem *mem, const struct fh_slab *slab)
{
    FH_ASSERT(slab->opts.record_bytes == sizeof(struct fh_small));
    *o = (struct fh_objects){.mem = mem, .slab = slab, .used_end = 1};
    o->records = fh_mem_map(mem, RECORDS_SIZE);
    return o->records ? 0 : -ENOMEM;
}

void fh_objects_fini(struct fh_objects *o)
{
    fh_mem_unmap(o->mem, o->records, RECORDS_SIZE);
    o->records = NULL;
}

static struct fh_object large_at(const struct fh_objects *o, uint32_t number)
{
    struct fh_large *record = &o->records[number];

    return (struct fh_object){.id = number, .addr = {record->addr}, .large = record};
}

static struct fh_object small_at(struct fh_slab_run *run, uint32_t index)
{
    const struct fh_slab_size *z = run->cache->size;

    return (struct fh_object){
        .id = FH_OBJECT_SMALL + ((uint64_t)run->number << INDEX_BITS | index),
        .addr = fh_slab_run_addr(run, z, index),
        .run = run,
        .small = fh_slab_run_record(run, z, index),
    };
}

struct fh_object fh_objects_at(const struct fh_objects *o, uint64_t id)
{
    if (id < FH_OBJECT_SMALL)
        return large_at(o, (uint32_t)id);
    struct fh_slab_run *run = fh_slab_run_at(o->slab, (id - FH_OBJECT_SMALL) >> INDEX_BITS);
    FH_ASSERT(run);
    return small_at(run, (uint32_t)(id & ((1u << INDEX_BITS) - 1)));
}

struct fh_object fh_objects_of_block(const struct fh_objects *o, const struct fh_heap_block *b)
{
    if (b && b->run)
        return small_at(b->run, b->index);
    return large_at(o, b && b->tag < o->used_end ? b->tag : FH_OBJECT_NONE);
}

int fh_objects_take(struct fh_objects *o, uint32_t tenant, uint64_t key, struct fh_object *out)
{
    uint32_t n = o->free_head;

    FH_ASSERT(key != 0);
    if (n != 0)
        o->free_head = (uint32_t)o->records[n].addr;
    else if (o->used_end < FH_OBJECTS_MAX)
        n = o->used_end++;
    else
        return -ENOSPC;
    o->records[n] = (struct fh_large){.key = key, .tenant = tenant & 0xffff};
    o->count++;
    *out = large_at(o, n);
    return 0;
}

struct fh_object fh_objects_take_small(struct fh_objects *o, const struct fh_heap_block *b,
                                       uint64_t key)
{
    struct fh_object object = small_at(b->run, b->index);

    FH_ASSERT(key != 0);
    FH_ASSERT(object.small->key == 0);
    object.small->key = key;
    o->small++;
    o->count++;
    return object;
}

struct fh_object fh_objects_move(struct fh_objects *o, const struct fh_object *from,
                                 const struct fh_heap_block *b)
{
    struct fh_object to = small_at(b->run, b->index);

    FH_ASSERT(o->small > 0);
    FH_ASSERT(from->small->key != 0);
    FH_ASSERT(to.small->key == 0);
    *to.small = *from->small;
    *from->small = (struct fh_small){0};
    return to;
}

void fh_objects_give(struct fh_objects *o, const struct fh_object *object)
{
    FH_ASSERT(fh_object_key(object) != 0);
    o->bytes -= fh_object_size(object);
    o->count--;
    if (object->small) {
        o->small--;
        *object->small = (struct fh_small){0};
    } else {
        *object->large = (struct fh_large){.addr = o->free_head};
        o->free_head = (uint32_t)object->id;
    }
}

void fh_objects_resize(struct fh_objects *o, const struct fh_object *object, uint64_t size)
{
    o->bytes = o->bytes - fh_object_size(object) + size;
    if (object->small)
        object->small->size = (uint16_t)size;
    else
        object->large->size = size;
}

bool fh_objects_match(const struct fh_object *o, struct fh_addr addr, uint64_t key, uint32_t tenant)
{
    uint64_t own = fh_object_key(o);
    uint64_t differences = (own ^ key) | (o->addr.v ^ addr.v) | (fh_object_tenant(o) ^ tenant);

    return (differences == 0) & (own != 0);
}

/* The object at a place of a slab, if one lives there; *at goes on. */
static bool slab_next(const struct fh_objects *o, uint64_t *at, struct fh_object *out)
{
    uint64_t number = (*at - FH_OBJECT_SMALL) >> INDEX_BITS;
    uint32_t index = (uint32_t)(*at & ((1u << INDEX_BITS) - 1));
    struct fh_slab_run *run = fh_slab_run_at(o->slab, number);

    if (number >= o->slab->runs_cap) {
        *at = 0;
        return false;
    }
    if (!run || index >= run->cache->size->objects) {
        *at = FH_OBJECT_SMALL + ((number + 1) << INDEX_BITS);
        return false;
    }
    ++*at;
    if (fh_bit_is_set(run->free_bits, index))
        return false;
    *out = small_at(run, index);
    return true;
}

bool fh_objects_next(const struct fh_objects *o, uint64_t *at, uint64_t *looks,
                     struct fh_object *out)
{
    if (*at == 0)
        *at = FH_OBJECT_NONE + 1;
    while (*looks > 0 && *at != 0) {
        --*looks;
        if (*at >= FH_OBJECT_SMALL) {
            if (slab_next(o, at, out))
                return true;
        } else if (*at >= o->used_end) {
            *at = FH_OBJECT_SMALL;
        } else {
            *out = large_at(o, (uint32_t)(*at)++);
            if (out->large->key != 0)
                return true;
        }
    }
    return false;
}

void fh_objects_stats(const struct fh_objects *o, struct fh_objects_stats *out)
{
    *out = (struct fh_objects_stats){
        .count = o->count,
        .size_bytes = o->bytes,
        .small = o->small,
        .book_bytes = o->used_end * sizeof(*o->records),
    };
}

static void check_small(const struct fh_object *o, struct fh_report *r)
{
    if (o->small->key == 0)
        fh_report(r, "[I1] object %" PRIx64 ": lives without a key", o->id);
    if (o->small->filled > o->small->size)
        fh_report(r, "[I2] object %" PRIx64 ": %u bytes filled of %u", o->id,
                  (unsigned)o->small->filled, (unsigned)o->small->size);
}

bool fh_objects_check(const struct fh_objects *o, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint64_t count = 0, small = 0, bytes = 0, freed = 0, at = 0, looks = UINT64_MAX;
    struct fh_object object;

    while (fh_objects_next(o, &at, &looks, &object)) {
        count++;
        bytes += fh_object_size(&object);
        small += object.small != NULL;
        if (object.small)
            check_small(&object, &r);
    }
    for (uint32_t i = o->free_head; i != 0 && freed <= o->used_end;
         i = (uint32_t)o->records[i].addr) {
        freed++;
        if (o->records[i].key != 0)
            fh_report(&r, "[I3] record %u: free, with a key", i);
    }
    if (count != o->count || small != o->small)
        fh_report(&r, "[I1] %" PRIu64 " objects, counted %" PRIu64 "; %" PRIu64 " small, %" PRIu64,
                  o->count, count, o->small, small);
    if (bytes != o->bytes)
        fh_report(&r, "[I2] %" PRIu64 " bytes, counted %" PRIu64, o->bytes, bytes);
    if (count - small + freed + 1 != o->used_end)
        fh_report(&r, "[I3] %" PRIu64 " large and %" PRIu64 " free records of %u", count - small,
                  freed, o->used_end);
    return r.broken == 0;
}

void fh_objects_dump(const struct fh_objects *o, FILE *out)
{
    uint64_t at = 0, looks = UINT64_MAX;
    struct fh_object object;

    fprintf(out, "objects: %" PRIu64 " of %" PRIu64 " bytes\n", o->count, o->bytes);
    while (fh_objects_next(o, &at, &looks, &object)) /* the key is a secret: it is not printed */
        fprintf(out,
                "  object %" PRIx64 " at %" PRIx64 " size %" PRIu64 " version %" PRIu64
                "%s%s tenant %u\n",
                object.id, object.addr.v, fh_object_size(&object), fh_object_version(&object),
                fh_object_is_sealed(&object) ? " sealed" : "", object.small ? " small" : "",
                fh_object_tenant(&object));
}
