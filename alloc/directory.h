/*
 * directory: names, per tenant, and the object each leads to.
 *
 * Open addressing over 4-byte entry numbers; an entry keeps its number while it lives, so a walk by
 * number meets every name that lives during the whole walk exactly once, whatever is added or
 * removed meanwhile.
 *
 * Threads    one zone thread.
 * Errors     -ENOENT no such name; -EEXIST; -ENOMEM; -EINVAL a size out of 1 ..
 *            FH_DIRECTORY_NAME_MAX.
 */
#ifndef FH_ALLOC_DIRECTORY_H
#define FH_ALLOC_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "mem.h"

enum { FH_DIRECTORY_NAME_MAX = 1024 };

struct fh_dirent {
    uint8_t *bytes;  /* the name; NULL = free entry, its `object` is then the next free one */
    uint32_t object; /* record number */
    uint32_t hash;   /* upper half of the keyed hash */
    uint16_t size;   /* of the name */
    uint16_t tenant;
};

struct fh_directory {
    struct fh_mem *mem;
    uint8_t hash_key[16];      /* random: clients choose the names */
    uint32_t *table;           /* entry numbers; 0 = empty */
    uint32_t table_size;       /* a power of two */
    struct fh_dirent *entries; /* lazily touched map; number 0 unused */
    uint32_t used_end, free_head;
    uint32_t count; /* live names [I1] */
};

FH_CHECKED int fh_directory_init(struct fh_directory *, struct fh_mem *,
                                 const uint8_t hash_key[16]);
void fh_directory_fini(struct fh_directory *);

/* The entry number of a name. */
FH_CHECKED int fh_directory_find(const struct fh_directory *, uint32_t tenant, const void *name,
                                 size_t size, uint32_t *entry);
FH_CHECKED int fh_directory_add(struct fh_directory *, uint32_t tenant, const void *name,
                                size_t size, uint32_t object, uint32_t *entry);
void fh_directory_remove(struct fh_directory *, uint32_t entry);

static inline struct fh_dirent *fh_directory_at(const struct fh_directory *d, uint32_t entry)
{
    return &d->entries[entry];
}

struct fh_directory_stats {
    uint32_t names, table_size;
    uint64_t book_bytes; /* touched for table and entries; the names themselves come on top */
};
void fh_directory_stats(const struct fh_directory *, struct fh_directory_stats *out);
bool fh_directory_check(const struct fh_directory *, FILE *why);
void fh_directory_dump(const struct fh_directory *, FILE *out);

#endif
