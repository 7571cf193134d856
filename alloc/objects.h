/*
 * objects: the record of each object: key, version, size, state, owner.
 *
 * A record's number is the tag of the object's block in the heap, so an address leads to its record
 * through the heap and nothing a client sends is used as an index. Views and staging blocks have no
 * record.
 *
 * Threads    one zone thread.
 * Errors     -ENOMEM, -ENOSPC too many objects; -ESTALE no such object.
 */
#ifndef FH_ALLOC_OBJECTS_H
#define FH_ALLOC_OBJECTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "ids.h"
#include "mem.h"

enum { FH_OBJECT_NONE = 0 }; /* record numbers start at 1 */

struct fh_object {
    uint64_t key; /* 0 = free record; its `addr` is then the next free one */
    uint64_t version;
    uint64_t addr : 48;
    uint64_t tenant : 16;
    uint64_t size : 48; /* bytes, at most FH_OBJECT_SIZE_MAX */
    uint64_t sealed : 1;
    uint64_t small : 1;   /* lies in a slab */
    uint64_t expires : 1; /* its extra has an expiry */
    uint64_t cache : 9;   /* the number of its typed cache, or 0 */
    uint64_t kept : 1;    /* the catalog of durable objects has it */
    uint64_t coming : 1;  /* it is being given its name there: to others it is not there yet */
    uint64_t going : 1;   /* it is being removed there, or its name given to another */
    uint64_t spare : 1;
    uint32_t extra; /* its name and its expiry; FH_EXTRAS_NONE: it has neither */
};

struct fh_objects {
    struct fh_mem *mem;
    struct fh_object *records; /* lazily touched map */
    uint16_t *filled;          /* of small objects: from this byte on reads as zeros, or as the
                                  initial bytes of its typed cache */
    uint32_t used_end;         /* records from here on were never used */
    uint32_t free_head;
    uint64_t count; /* live records [I1] */
    uint64_t bytes; /* sum of their sizes [I2] */
};

enum { FH_OBJECTS_MAX = (1 << 26) - 1 };

FH_CHECKED int fh_objects_init(struct fh_objects *, struct fh_mem *);
void fh_objects_fini(struct fh_objects *);

/* A zeroed record with this key, which is not 0. */
FH_CHECKED int fh_objects_take(struct fh_objects *, uint64_t key, uint32_t *number);
void fh_objects_give(struct fh_objects *, uint32_t number);
void fh_objects_resize(struct fh_objects *, uint32_t number, uint64_t size);

static inline struct fh_object *fh_objects_at(const struct fh_objects *o, uint32_t number)
{
    return &o->records[number];
}

/*
 * Whether the record is the object that addr, key and tenant name. Any number may be asked about;
 * all comparisons are done whatever the first one says.
 */
bool fh_objects_match(const struct fh_objects *, uint32_t number, struct fh_addr addr, uint64_t key,
                      uint32_t tenant);

struct fh_objects_stats {
    uint64_t count, size_bytes; /* live objects, the sum of their sizes */
    uint64_t book_bytes;        /* touched for records */
};
void fh_objects_stats(const struct fh_objects *, struct fh_objects_stats *out);
bool fh_objects_check(const struct fh_objects *, FILE *why);
void fh_objects_dump(const struct fh_objects *, FILE *out);

#endif
