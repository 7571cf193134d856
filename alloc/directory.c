/*
 * Theory.  A name is hashed with a key of this process and looked for by linear probing in a table
 * of entry numbers. The table doubles at three quarters full; removing shifts the following entries
 * back, so there are no tombstones and a lookup's length depends only on what is in the table now.
 * Entries are apart from the table and keep their numbers, so growing the table disturbs no walk
 * and objects can name their entry.
 *
 *   table   [0][7][0][3][9][0]..        9 hashed to the place of 3 and sits behind it
 *   entries  3: "a" -> object 5    7: "model/0" -> object 12    9: "b" -> object 2
 *
 * Invariants
 *   [I1] count is the number of entries with a name, and of numbers in the table
 *   [I2] every number in the table is found by probing from its hash: no gap lies between
 *   [I3] the free list visits every entry without a name, but entry 0, once
 * Source: Knuth, TAOCP 3, 6.4, algorithm R.
 */
#include "directory.h"

#include <errno.h>
#include <string.h>

#include "hash.h"
#include "report.h"

enum { TABLE_SIZE_MIN = 64, ENTRIES_MAX = 1 << 26 };

int fh_directory_init(struct fh_directory *d, struct fh_mem *mem, const uint8_t hash_key[16])
{
    *d = (struct fh_directory){.mem = mem, .table_size = TABLE_SIZE_MIN, .used_end = 1};
    memcpy(d->hash_key, hash_key, sizeof(d->hash_key));
    d->table = fh_mem_take(mem, TABLE_SIZE_MIN * sizeof(*d->table));
    d->entries = fh_mem_map(mem, (size_t)ENTRIES_MAX * sizeof(*d->entries));
    if (d->table && d->entries)
        return 0;
    fh_directory_fini(d);
    return -ENOMEM;
}

void fh_directory_fini(struct fh_directory *d)
{
    for (uint32_t i = 1; d->entries && i < d->used_end; i++)
        fh_mem_give(d->mem, d->entries[i].bytes, d->entries[i].size);
    fh_mem_give(d->mem, d->table, d->table_size * sizeof(*d->table));
    fh_mem_unmap(d->mem, d->entries, (size_t)ENTRIES_MAX * sizeof(*d->entries));
    d->table = NULL;
    d->entries = NULL;
}

static uint32_t name_hash(const struct fh_directory *d, uint32_t tenant, const void *name,
                          size_t size)
{
    return (uint32_t)(fh_hash(d->hash_key, tenant, name, size) >> 32);
}

static bool entry_is(const struct fh_dirent *e, uint32_t hash, uint32_t tenant, const void *name,
                     size_t size)
{
    return e->hash == hash && e->tenant == tenant && e->size == size &&
           memcmp(e->bytes, name, size) == 0;
}

/* The place of the name in the table, or the empty place where it would go. */
static uint32_t table_probe(const struct fh_directory *d, uint32_t hash, uint32_t tenant,
                            const void *name, size_t size)
{
    uint32_t mask = d->table_size - 1;
    uint32_t at = hash & mask;

    while (d->table[at] != 0 && !entry_is(&d->entries[d->table[at]], hash, tenant, name, size))
        at = (at + 1) & mask;
    return at;
}

int fh_directory_find(const struct fh_directory *d, uint32_t tenant, const void *name, size_t size,
                      uint32_t *entry)
{
    if (size == 0 || size > FH_DIRECTORY_NAME_MAX)
        return -EINVAL;
    uint32_t at = table_probe(d, name_hash(d, tenant, name, size), tenant, name, size);
    if (d->table[at] == 0)
        return -ENOENT;
    *entry = d->table[at];
    return 0;
}

static void table_put(struct fh_directory *d, uint32_t entry)
{
    uint32_t mask = d->table_size - 1;
    uint32_t at = d->entries[entry].hash & mask;

    while (d->table[at] != 0)
        at = (at + 1) & mask;
    d->table[at] = entry;
}

static int table_make_room(struct fh_directory *d)
{
    if ((d->count + 1) * UINT64_C(4) <= d->table_size * UINT64_C(3))
        return 0;
    uint32_t old_size = d->table_size;
    uint32_t *old = d->table;
    uint32_t *table = fh_mem_take(d->mem, (size_t)old_size * 2 * sizeof(*table));
    if (!table)
        return -ENOMEM;

    d->table = table;
    d->table_size = old_size * 2;
    for (uint32_t i = 0; i < old_size; i++)
        if (old[i] != 0)
            table_put(d, old[i]);
    fh_mem_give(d->mem, old, old_size * sizeof(*old));
    return 0;
}

static uint32_t entry_take(struct fh_directory *d)
{
    uint32_t entry = d->free_head;

    if (entry != 0)
        d->free_head = d->entries[entry].object;
    else if (d->used_end < ENTRIES_MAX)
        entry = d->used_end++;
    return entry;
}

int fh_directory_add(struct fh_directory *d, uint32_t tenant, const void *name, size_t size,
                     uint32_t object, uint32_t *entry)
{
    uint32_t existing;
    int rc = fh_directory_find(d, tenant, name, size, &existing);

    if (rc != -ENOENT)
        return rc == 0 ? -EEXIST : rc;
    if ((rc = table_make_room(d)) != 0)
        return rc;
    uint8_t *bytes = fh_mem_take(d->mem, size);
    uint32_t number = bytes ? entry_take(d) : 0;
    if (number == 0) {
        fh_mem_give(d->mem, bytes, size);
        return -ENOMEM;
    }
    memcpy(bytes, name, size);
    d->entries[number] = (struct fh_dirent){.bytes = bytes,
                                            .object = object,
                                            .hash = name_hash(d, tenant, name, size),
                                            .size = (uint16_t)size,
                                            .tenant = (uint16_t)tenant};
    table_put(d, number);
    d->count++;
    *entry = number;
    return 0;
}

/* Closes the gap at `hole`: an entry behind it moves there unless its own place lies after the
 * hole. */
static void table_close_gap(struct fh_directory *d, uint32_t hole)
{
    uint32_t mask = d->table_size - 1;

    for (uint32_t at = (hole + 1) & mask; d->table[at] != 0; at = (at + 1) & mask) {
        uint32_t home = d->entries[d->table[at]].hash & mask;
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        d->table[hole] = d->table[at];
        hole = at;
    }
    d->table[hole] = 0;
}

void fh_directory_remove(struct fh_directory *d, uint32_t entry)
{
    struct fh_dirent *e = fh_directory_at(d, entry);
    uint32_t at = table_probe(d, e->hash, e->tenant, e->bytes, e->size);

    FH_ASSERT(d->table[at] == entry);
    table_close_gap(d, at);
    fh_mem_give(d->mem, e->bytes, e->size);
    *e = (struct fh_dirent){.object = d->free_head};
    d->free_head = entry;
    d->count--;
}

bool fh_directory_check(const struct fh_directory *d, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint32_t named = 0, in_table = 0, freed = 0;

    for (uint32_t i = 0; i < d->table_size; i++)
        in_table += d->table[i] != 0;
    for (uint32_t i = 1; i < d->used_end; i++) {
        const struct fh_dirent *e = &d->entries[i];
        if (!e->bytes)
            continue;
        named++;
        if (d->table[table_probe(d, e->hash, e->tenant, e->bytes, e->size)] != i)
            fh_report(&r, "[I2] entry %u is not found by its name", i);
    }
    for (uint32_t i = d->free_head; i != 0 && freed <= d->used_end; i = d->entries[i].object)
        freed++;
    if (named != d->count || in_table != d->count)
        fh_report(&r, "[I1] %u names, %u entries have one, %u are in the table", d->count, named,
                  in_table);
    if (named + freed + 1 != d->used_end)
        fh_report(&r, "[I3] %u names and %u free entries of %u", named, freed, d->used_end);
    return r.broken == 0;
}

void fh_directory_stats(const struct fh_directory *d, struct fh_directory_stats *out)
{
    *out = (struct fh_directory_stats){
        .names = d->count,
        .table_size = d->table_size,
        .book_bytes = d->used_end * sizeof(*d->entries) + d->table_size * sizeof(*d->table),
    };
}

void fh_directory_dump(const struct fh_directory *d, FILE *out)
{
    fprintf(out, "directory: %u names, table of %u\n", d->count, d->table_size);
    for (uint32_t i = 1; i < d->used_end; i++)
        if (d->entries[i].bytes)
            fprintf(out, "  name %u of %u bytes -> object %u\n", i, d->entries[i].size,
                    d->entries[i].object);
}
