/*
 * Theory.  Records lie in one lazily touched array; numbers of freed records are given out again
 * first, from a list threaded through their `addr`. A record is found only through the heap:
 * address -> block -> tag -> record, and then its own address, key and tenant are compared with the
 * asked ones. Record 0 is never an object: it stands in when the address leads nowhere, so that all
 * refusals take the same path.
 *
 * Invariants
 *   [I1] count is the number of records below used_end with a key
 *   [I2] bytes is the sum of their sizes
 *   [I3] the free list visits every record without a key, but record 0, once
 */
#include "objects.h"

#include <errno.h>
#include <inttypes.h>

#include "report.h"

int fh_objects_init(struct fh_objects *o, struct fh_mem *mem)
{
    *o = (struct fh_objects){.mem = mem, .used_end = 1};
    o->records = fh_mem_map(mem, (size_t)FH_OBJECTS_MAX * sizeof(*o->records));
    o->filled = fh_mem_map(mem, (size_t)FH_OBJECTS_MAX * sizeof(*o->filled));
    if (o->records && o->filled)
        return 0;
    fh_objects_fini(o);
    return -ENOMEM;
}

void fh_objects_fini(struct fh_objects *o)
{
    fh_mem_unmap(o->mem, o->records, (size_t)FH_OBJECTS_MAX * sizeof(*o->records));
    fh_mem_unmap(o->mem, o->filled, (size_t)FH_OBJECTS_MAX * sizeof(*o->filled));
    o->records = NULL;
    o->filled = NULL;
}

int fh_objects_take(struct fh_objects *o, uint64_t key, uint32_t *number)
{
    uint32_t n = o->free_head;

    FH_ASSERT(key != 0);
    if (n != 0)
        o->free_head = (uint32_t)o->records[n].addr;
    else if (o->used_end < FH_OBJECTS_MAX)
        n = o->used_end++;
    else
        return -ENOSPC;
    o->records[n] = (struct fh_object){.key = key};
    o->filled[n] = 0;
    o->count++;
    *number = n;
    return 0;
}

void fh_objects_give(struct fh_objects *o, uint32_t number)
{
    struct fh_object *object = fh_objects_at(o, number);

    FH_ASSERT(object->key != 0);
    o->bytes -= object->size;
    o->count--;
    *object = (struct fh_object){.addr = o->free_head};
    o->free_head = number;
}

void fh_objects_resize(struct fh_objects *o, uint32_t number, uint64_t size)
{
    struct fh_object *object = fh_objects_at(o, number);

    o->bytes = o->bytes - object->size + size;
    object->size = size & ((UINT64_C(1) << 48) - 1);
}

bool fh_objects_match(const struct fh_objects *o, uint32_t number, struct fh_addr addr,
                      uint64_t key, uint32_t tenant)
{
    const struct fh_object *object =
        fh_objects_at(o, number < o->used_end ? number : FH_OBJECT_NONE);
    uint64_t differences =
        (object->key ^ key) | (object->addr ^ addr.v) | (object->tenant ^ tenant);

    return (differences == 0) & (object->key != 0);
}

bool fh_objects_check(const struct fh_objects *o, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint64_t count = 0;
    uint64_t bytes = 0;
    uint64_t freed = 0;

    for (uint32_t i = 1; i < o->used_end; i++) {
        count += o->records[i].key != 0;
        bytes += o->records[i].key != 0 ? o->records[i].size : 0;
    }
    for (uint32_t i = o->free_head; i != 0 && freed <= o->used_end;
         i = (uint32_t)o->records[i].addr) {
        freed++;
        if (o->records[i].key != 0)
            fh_report(&r, "[I3] record %u: free, with a key", i);
    }
    if (count != o->count)
        fh_report(&r, "[I1] %" PRIu64 " objects, counted %" PRIu64, o->count, count);
    if (bytes != o->bytes)
        fh_report(&r, "[I2] %" PRIu64 " bytes, counted %" PRIu64, o->bytes, bytes);
    if (count + freed + 1 != o->used_end)
        fh_report(&r, "[I3] %" PRIu64 " objects and %" PRIu64 " free records of %u", count, freed,
                  o->used_end);
    return r.broken == 0;
}

void fh_objects_stats(const struct fh_objects *o, struct fh_objects_stats *out)
{
    *out = (struct fh_objects_stats){
        .count = o->count,
        .size_bytes = o->bytes,
        .book_bytes = o->used_end * (sizeof(*o->records) + sizeof(*o->filled)),
    };
}

void fh_objects_dump(const struct fh_objects *o, FILE *out)
{
    fprintf(out, "objects: %" PRIu64 " of %" PRIu64 " bytes\n", o->count, o->bytes);
    for (uint32_t i = 1; i < o->used_end; i++) {
        const struct fh_object *object = &o->records[i];
        if (object->key != 0) /* the key is a secret: it is not printed */
            fprintf(out,
                    "  object %u at %" PRIx64 " size %" PRIu64 " version %" PRIu64
                    "%s%s tenant %u\n",
                    i, (uint64_t)object->addr, (uint64_t)object->size, object->version,
                    object->sealed ? " sealed" : "", object->small ? " small" : "",
                    (unsigned)object->tenant);
    }
}
