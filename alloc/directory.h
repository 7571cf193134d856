/*
 * directory: names, per tenant, and the object each leads to.
 *
 * It keeps 6 bytes per name: a piece of the name's hash, and the number of its object, 34 bits; the
 * name itself is with the object, and asked for through `name_of`.
 *
 * Threads    one zone thread.
 * Errors     -ENOENT no such name; -EEXIST; -ENOMEM; -EINVAL a size out of 1 ..
 *            FH_DIRECTORY_NAME_MAX. State unchanged on every error.
 * Cost       find: a probe of some neighbouring entries and mostly one name; add, remove: the same
 *            and a move of 1.2 KiB in the mean. Once in a thousand adds and more one asks for some
 *            500 names. 6.9 B per name in the mean.
 */
#ifndef FH_ALLOC_DIRECTORY_H
#define FH_ALLOC_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "mem.h"

enum { FH_DIRECTORY_NAME_MAX = 1024, FH_DIRECTORY_OBJECT_BITS = 34 };

struct fh_name {
    uint32_t tenant;
    uint32_t size;
    const void *bytes;
    uint64_t hash; /* as fh_directory_hash gave it; 0 = not known, and computed when needed */
};

struct fh_shard; /* of shard.h */

struct fh_directory_opts {
    struct fh_mem *mem;
    const uint8_t *hash_key; /* 16 random bytes, copied: clients choose the names */
    /* The name of an object that is in the directory. */
    struct fh_name (*name_of)(const void *ctx, uint64_t object);
    const void *ctx;
};

struct fh_directory {
    struct fh_mem *mem;
    struct fh_name (*name_of)(const void *ctx, uint64_t object);
    const void *ctx;
    uint8_t hash_key[16];
    struct fh_shard **shards; /* by the upper `depth` bits of the hash [I3] */
    uint32_t depth;
    uint32_t shards_count; /* different ones [I3] */
    uint64_t count;        /* names [I1] */
};

FH_CHECKED int fh_directory_init(struct fh_directory *, const struct fh_directory_opts *);
void fh_directory_fini(struct fh_directory *);

/* The hash of a name, for who asks about it more than once. Never 0. */
uint64_t fh_directory_hash(const struct fh_directory *, const struct fh_name *);
FH_CHECKED int fh_directory_find(const struct fh_directory *, const struct fh_name *,
                                 uint64_t *object);
/* From now on name_of(object) must give this name. object: below 2^FH_DIRECTORY_OBJECT_BITS. */
FH_CHECKED int fh_directory_add(struct fh_directory *, const struct fh_name *, uint64_t object);
/* The name, which leads to `object`, leads nowhere. */
void fh_directory_remove(struct fh_directory *, const struct fh_name *, uint64_t object);
/* The name, which leads to `before`, leads to `after`. */
void fh_directory_replace(struct fh_directory *, const struct fh_name *, uint64_t before,
                          uint64_t after);

/*
 * The first name whose hash is at least *hash; *hash becomes that name's. False: there is none. A
 * walk begins at 0 and goes on at *hash + 1, until that is 0: it meets every name that is there all
 * the while exactly once, whatever is added, removed or replaced meanwhile.
 */
bool fh_directory_next(const struct fh_directory *, uint64_t *hash, uint64_t *object);

struct fh_directory_stats {
    uint64_t names;
    uint32_t shards, depth;
};
void fh_directory_stats(const struct fh_directory *, struct fh_directory_stats *out);
bool fh_directory_check(const struct fh_directory *, FILE *why);
void fh_directory_dump(const struct fh_directory *, FILE *out);

#endif
