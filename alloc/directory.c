/*
 * Theory.  Extendible hashing. A name is hashed with a key of this process to 64 bits; the upper
 * `depth` of them choose a pointer, and so a shard. A shard of depth d <= depth is what 2^(depth-d)
 * pointers in a row lead to; all hashes in it begin with the same d bits. It is an array of 6-byte
 * entries, the next 14 bits of the hash and the object's number, sorted by these bits. Because
 * hashes are uniform, an entry lies near fragment / 2^14 of the array, and a look-up begins there.
 * The array itself, in pieces of 64 entries, is shard.c's.
 *
 *   pointers   000 -> [shard of 00, depth 2]   shard   [0012 obj][0a31 obj][0a31 obj]..[3f00 obj]
 *              001 ----^                                 fragments of the hash, ascending
 *              010 -> [shard of 010, depth 3]
 *
 * A shard that is full is split in two by its next bit, alone: nothing else moves, and no operation
 * sees more than one shard. That bit goes from the fragments, so each third split asks for the names
 * again, which are not where the entries are, and makes the fragments whole. Only the pointers
 * double at once, eight bytes per several hundred names. So that no choice of names makes them many,
 * they double only while there are SHARE names for each; a shard that may not be split becomes
 * longer. Two neighbours that became small are joined again, for which the fragments suffice.
 *
 * Equal fragments are told apart by the names themselves. A walk goes by hash: neither splitting
 * nor joining changes the order.
 *
 * Invariants
 *   [I1] count is the number of entries of all shards; those of a shard fit its pieces
 *   [I2] entries ascend by fragment, and have the known bits of the hash of their object's name
 *   [I3] every pointer leads to the shard that its index begins with, and shards_count is how many
 *        there are
 * Sources: Fagin, Nievergelt, Pippenger, Strong, ACM TODS 4(3) 1979; Perl, Itai, Avni, CACM 21(7)
 * 1978.
 */
#include "directory.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "hash.h"
#include "report.h"
#include "shard.h"

enum {
    SHARD_MAX = 512,    /* entries; more only where a shard may not be split */
    SHARD_JOINED = 192, /* neighbours of at most so many together are joined */
    SHARE = 32,         /* names per pointer, at least, when these double */
    DEPTH_FREE = 4,     /* but so many pointers, 2^this, cost nothing worth counting */
    FRAGMENT_BITS = 14,
    FRAGMENT_BITS_MIN = 12, /* a shard of 512 with fewer would show wrong names too often */
};

#define OBJECT_MASK ((UINT64_C(1) << FH_DIRECTORY_OBJECT_BITS) - 1)

_Static_assert(FRAGMENT_BITS + FH_DIRECTORY_OBJECT_BITS == 8 * FH_SHARD_ENTRY_BYTES,
               "an entry is full");

/* It lies in the upper two bytes, the only ones that a search looks at. */
static uint32_t fragment_at(const struct fh_shard *s, uint32_t i)
{
    uint16_t upper;

    memcpy(&upper, fh_shard_place(s, i) + FH_SHARD_ENTRY_BYTES - sizeof(upper), sizeof(upper));
    return upper >> (16 - FRAGMENT_BITS);
}

/* The bits of a hash after those that all of the shard's share. */
static uint32_t fragment_of(const struct fh_shard *s, uint64_t hash)
{
    uint32_t unknown = FRAGMENT_BITS - s->bits;
    return (uint32_t)(hash << s->depth >> (64 - FRAGMENT_BITS)) >> unknown << unknown;
}

static uint64_t entry_of(const struct fh_shard *s, uint64_t hash, uint64_t object)
{
    return (uint64_t)fragment_of(s, hash) << FH_DIRECTORY_OBJECT_BITS | object;
}

static uint64_t prefix_of(uint64_t hash, uint32_t depth)
{
    return depth == 0 ? 0 : hash >> (64 - depth);
}

/* The first entry whose fragment is not smaller. */
static uint32_t shard_lower(const struct fh_shard *s, uint32_t fragment)
{
    uint32_t i = (uint32_t)((uint64_t)fragment * s->count >> FRAGMENT_BITS);

    while (i > 0 && fragment_at(s, i - 1) >= fragment)
        i--;
    while (i < s->count && fragment_at(s, i) < fragment)
        i++;
    return i;
}

/* --- names --- */

uint64_t fh_directory_hash(const struct fh_directory *d, const struct fh_name *n)
{
    uint64_t hash = fh_hash(d->hash_key, n->tenant, n->bytes, n->size);

    return hash != 0 ? hash : 1; /* 0 is the end of a walk */
}

static uint64_t name_hash(const struct fh_directory *d, const struct fh_name *n)
{
    return n->hash != 0 ? n->hash : fh_directory_hash(d, n);
}

static uint64_t object_hash(const struct fh_directory *d, uint64_t object)
{
    struct fh_name name = d->name_of(d->ctx, object);

    return name_hash(d, &name);
}

static bool name_is(const struct fh_name *a, const struct fh_name *b)
{
    return a->tenant == b->tenant && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

static struct fh_shard *shard_of(const struct fh_directory *d, uint64_t hash)
{
    return d->shards[prefix_of(hash, d->depth)];
}

/* --- shards --- */

/* Pointers to the shard of this hash and depth: from *first on so many. */
static uint64_t shard_pointers(const struct fh_directory *d, uint64_t hash, uint32_t depth,
                               uint64_t *first)
{
    *first = prefix_of(hash, depth) << (d->depth - depth);
    return UINT64_C(1) << (d->depth - depth);
}

static void shard_install(struct fh_directory *d, uint64_t hash, struct fh_shard *s)
{
    uint64_t first, count = shard_pointers(d, hash, s->depth, &first);

    FH_ASSERT(s->depth <= d->depth); /* [I3] */
    for (uint64_t i = 0; i < count; i++)
        d->shards[first + i] = s;
}

/* Another piece for the shard of this hash, which may move. */
static int directory_grow_shard(struct fh_directory *d, uint64_t hash)
{
    struct fh_shard *s = fh_shard_grow(d->mem, shard_of(d, hash));

    if (!s)
        return -ENOMEM;
    shard_install(d, hash, s);
    return 0;
}

static size_t pointers_bytes(uint32_t depth)
{
    return sizeof(struct fh_shard *) << depth;
}

static int directory_double(struct fh_directory *d)
{
    struct fh_shard **shards = fh_mem_take(d->mem, pointers_bytes(d->depth + 1));

    if (!shards)
        return -ENOMEM;
    for (uint64_t i = 0; i < UINT64_C(2) << d->depth; i++)
        shards[i] = d->shards[i / 2];
    fh_mem_give(d->mem, (void *)d->shards, pointers_bytes(d->depth));
    d->shards = shards;
    d->depth++;
    return 0;
}

static bool directory_may_double(const struct fh_directory *d)
{
    return d->depth < DEPTH_FREE || (UINT64_C(2) << d->depth) * SHARE <= d->count;
}

/* The entry as a shard of a depth more has it: as much of it as is known without the name. */
static uint64_t entry_shifted(uint64_t entry)
{
    uint64_t fragment = entry >> FH_DIRECTORY_OBJECT_BITS << 1 & ((1u << FRAGMENT_BITS) - 1);
    return fragment << FH_DIRECTORY_OBJECT_BITS | (entry & OBJECT_MASK);
}

/* Puts the entries [from, to) of a shard into one of a depth more, which is empty. */
static void shard_refine(const struct fh_directory *d, const struct fh_shard *s, uint32_t from,
                         uint32_t to, struct fh_shard *into)
{
    bool by_name = into->bits == FRAGMENT_BITS;

    for (uint32_t i = from; i < to; i++) {
        uint64_t object = fh_shard_at(s, i) & OBJECT_MASK;
        uint64_t entry = by_name ? entry_of(into, object_hash(d, object), object)
                                 : entry_shifted(fh_shard_at(s, i));
        uint32_t at = into->count++;
        for (; by_name && at > 0 && fh_shard_at(into, at - 1) > entry; at--)
            fh_shard_set(into, at, fh_shard_at(into, at - 1)); /* among equals of before */
        fh_shard_set(into, at, entry);
    }
}

static int shard_split(struct fh_directory *d, uint64_t hash)
{
    struct fh_shard *s = shard_of(d, hash);

    if (s->depth == d->depth) {
        if (!directory_may_double(d))
            return 0;
        if (directory_double(d) != 0)
            return -ENOMEM;
    }
    FH_ASSERT(s->depth < d->depth);          /* [I3] */
    FH_ASSERT(s->bits >= FRAGMENT_BITS_MIN); /* [I2] */
    uint32_t middle = shard_lower(s, 1u << (FRAGMENT_BITS - 1));
    uint32_t bits = s->bits > FRAGMENT_BITS_MIN ? s->bits - 1u : FRAGMENT_BITS;
    struct fh_shard *low = fh_shard_create(d->mem, middle, s->depth + 1u, bits);
    struct fh_shard *high = fh_shard_create(d->mem, s->count - middle, s->depth + 1u, bits);
    if (!low || !high) {
        fh_shard_destroy(d->mem, low);
        fh_shard_destroy(d->mem, high);
        return -ENOMEM;
    }
    shard_refine(d, s, 0, middle, low);
    shard_refine(d, s, middle, s->count, high);
    FH_ASSERT(low->count + high->count == s->count); /* [I1] */
    uint64_t high_bit = UINT64_C(1) << (63 - s->depth);
    shard_install(d, hash & ~high_bit, low);
    shard_install(d, hash | high_bit, high);
    d->shards_count++;
    fh_shard_destroy(d->mem, s);
    return 0;
}

/* Sees to it that the shard of this hash has room for one more. */
static int directory_make_room(struct fh_directory *d, uint64_t hash)
{
    int rc;

    if (shard_of(d, hash)->count >= SHARD_MAX && (rc = shard_split(d, hash)) != 0)
        return rc;
    const struct fh_shard *s = shard_of(d, hash);
    return s->count < fh_shard_cap(s) ? 0 : directory_grow_shard(d, hash);
}

/* Joins the shard of this hash with its neighbour if both are small; false: it stays. */
static bool shard_join(struct fh_directory *d, uint64_t hash)
{
    struct fh_shard *s = shard_of(d, hash);

    if (s->depth == 0)
        return false;
    uint64_t high_bit = UINT64_C(1) << (64 - s->depth);
    struct fh_shard *low = shard_of(d, hash & ~high_bit), *high = shard_of(d, hash | high_bit);
    if (low->depth != high->depth || low->count + high->count > SHARD_JOINED)
        return false;
    uint32_t bits = low->bits < high->bits ? low->bits : high->bits;
    struct fh_shard *both = fh_shard_create(d->mem, low->count + high->count, s->depth - 1u,
                                            bits < FRAGMENT_BITS ? bits + 1 : bits);
    if (!both)
        return false; /* nothing depends on it */
    uint32_t unknown = FRAGMENT_BITS - both->bits;
    for (uint32_t i = 0; i < low->count + high->count; i++) {
        uint64_t entry = i < low->count ? fh_shard_at(low, i)
                                        : fh_shard_at(high, i - low->count) |
                                              UINT64_C(1) << (8 * FH_SHARD_ENTRY_BYTES);
        uint64_t fragment = entry >> (FH_DIRECTORY_OBJECT_BITS + 1) >> unknown << unknown;
        fh_shard_set(both, i, fragment << FH_DIRECTORY_OBJECT_BITS | (entry & OBJECT_MASK));
    }
    both->count = low->count + high->count;
    FH_ASSERT(d->shards_count > 1); /* [I3] */
    shard_install(d, hash, both);
    d->shards_count--;
    fh_shard_destroy(d->mem, low);
    fh_shard_destroy(d->mem, high);
    return true;
}

/* --- the directory --- */

int fh_directory_init(struct fh_directory *d, const struct fh_directory_opts *o)
{
    *d = (struct fh_directory){
        .mem = o->mem, .name_of = o->name_of, .ctx = o->ctx, .shards_count = 1};
    memcpy(d->hash_key, o->hash_key, sizeof(d->hash_key));
    d->shards = fh_mem_take(d->mem, pointers_bytes(0));
    struct fh_shard *first = d->shards ? fh_shard_create(d->mem, 0, 0, FRAGMENT_BITS) : NULL;
    if (!first) {
        fh_mem_give(d->mem, (void *)d->shards, pointers_bytes(0));
        d->shards = NULL;
        return -ENOMEM;
    }
    d->shards[0] = first;
    return 0;
}

void fh_directory_fini(struct fh_directory *d)
{
    for (uint64_t i = 0; d->shards && i < UINT64_C(1) << d->depth;) {
        struct fh_shard *s = d->shards[i];
        i += UINT64_C(1) << (d->depth - s->depth);
        fh_shard_destroy(d->mem, s);
    }
    fh_mem_give(d->mem, (void *)d->shards, pointers_bytes(d->depth));
    d->shards = NULL;
}

static int directory_find(const struct fh_directory *d, const struct fh_name *name, uint64_t hash,
                          uint64_t *object)
{
    const struct fh_shard *s = shard_of(d, hash);
    uint32_t fragment = fragment_of(s, hash);

    for (uint32_t i = shard_lower(s, fragment); i < s->count && fragment_at(s, i) == fragment;
         i++) {
        uint64_t candidate = fh_shard_at(s, i) & OBJECT_MASK;
        struct fh_name other = d->name_of(d->ctx, candidate);
        if (name_is(name, &other)) {
            *object = candidate;
            return 0;
        }
    }
    return -ENOENT;
}

int fh_directory_find(const struct fh_directory *d, const struct fh_name *name, uint64_t *object)
{
    if (name->size == 0 || name->size > FH_DIRECTORY_NAME_MAX)
        return -EINVAL;
    return directory_find(d, name, name_hash(d, name), object);
}

int fh_directory_add(struct fh_directory *d, const struct fh_name *name, uint64_t object)
{
    uint64_t existing;
    int rc;

    FH_ASSERT(object <= OBJECT_MASK);
    if (name->size == 0 || name->size > FH_DIRECTORY_NAME_MAX)
        return -EINVAL;
    uint64_t hash = name_hash(d, name);
    if (directory_find(d, name, hash, &existing) == 0)
        return -EEXIST;
    if ((rc = directory_make_room(d, hash)) != 0)
        return rc;
    struct fh_shard *s = shard_of(d, hash);
    uint32_t at = shard_lower(s, fragment_of(s, hash));
    fh_shard_open(s, at);
    fh_shard_set(s, at, entry_of(s, hash, object));
    d->count++;
    return 0;
}

/* The place in its shard of an entry that is there. */
static uint32_t shard_place(const struct fh_shard *s, uint64_t entry)
{
    uint32_t fragment = (uint32_t)(entry >> FH_DIRECTORY_OBJECT_BITS);
    uint32_t i = shard_lower(s, fragment);

    while (i < s->count && fragment_at(s, i) == fragment && fh_shard_at(s, i) != entry)
        i++;
    FH_ASSERT(i < s->count);               /* [I2] */
    FH_ASSERT(fh_shard_at(s, i) == entry); /* [I2] */
    return i;
}

void fh_directory_replace(struct fh_directory *d, const struct fh_name *name, uint64_t before,
                          uint64_t after)
{
    uint64_t hash = name_hash(d, name);
    struct fh_shard *s = shard_of(d, hash);

    FH_ASSERT(after <= OBJECT_MASK);
    fh_shard_set(s, shard_place(s, entry_of(s, hash, before)), entry_of(s, hash, after));
}

void fh_directory_remove(struct fh_directory *d, const struct fh_name *name, uint64_t object)
{
    uint64_t hash = name_hash(d, name);
    struct fh_shard *s = shard_of(d, hash);

    FH_ASSERT(d->count > 0); /* [I1] */
    fh_shard_close(s, shard_place(s, entry_of(s, hash, object)));
    d->count--;
    if (s->count < SHARD_JOINED && shard_join(d, hash)) {
        while (shard_join(d, hash))
            ;
    } else {
        fh_shard_cut(d->mem, s);
    }
}

/* --- walks --- */

/* Of the entries from *i on with the same fragment, the one with the least hash that is at least
 * *hash. *i is then behind them. */
static bool group_next(const struct fh_directory *d, const struct fh_shard *s, uint32_t *i,
                       uint64_t *hash, uint64_t *object)
{
    uint32_t fragment = fragment_at(s, *i);
    uint64_t least = UINT64_MAX;
    bool found = false;

    for (; *i < s->count && fragment_at(s, *i) == fragment; ++*i) {
        uint64_t candidate = fh_shard_at(s, *i) & OBJECT_MASK;
        uint64_t h = object_hash(d, candidate);
        if (h < *hash || (found && h >= least))
            continue;
        found = true;
        least = h;
        *object = candidate;
    }
    if (found)
        *hash = least;
    return found;
}

bool fh_directory_next(const struct fh_directory *d, uint64_t *hash, uint64_t *object)
{
    for (uint64_t from = *hash;;) {
        const struct fh_shard *s = shard_of(d, from);
        uint32_t i = shard_lower(s, fragment_of(s, from));

        while (i < s->count)
            if (group_next(d, s, &i, &from, object)) {
                *hash = from;
                return true;
            }
        uint64_t next = prefix_of(from, s->depth) + 1;
        if (next >> s->depth != 0)
            return false; /* that was the last shard */
        from = next << (64 - s->depth);
    }
}

/* --- looking inside --- */

void fh_directory_stats(const struct fh_directory *d, struct fh_directory_stats *out)
{
    *out = (struct fh_directory_stats){
        .names = d->count, .shards = d->shards_count, .depth = d->depth};
}

static void check_shard(const struct fh_directory *d, uint64_t first, struct fh_report *r)
{
    const struct fh_shard *s = d->shards[first];
    uint64_t hash = d->depth == 0 ? 0 : first << (64 - d->depth);

    if (s->count > fh_shard_cap(s))
        fh_report(r, "[I1] shard %" PRIu64 ": %u entries, %u pieces", first, s->count, s->pieces);
    for (uint32_t i = 0; i < s->count && i < fh_shard_cap(s); i++) {
        uint64_t object = fh_shard_at(s, i) & OBJECT_MASK;
        uint64_t h = object_hash(d, object);
        if (i > 0 && fragment_at(s, i - 1) > fragment_at(s, i))
            fh_report(r, "[I2] shard %" PRIu64 ": entry %u before one of a lower hash", first,
                      i - 1);
        if (prefix_of(h, s->depth) != prefix_of(hash, s->depth) ||
            fragment_of(s, h) != fragment_at(s, i))
            fh_report(r, "[I2] object %" PRIu64 " is not found by its name", object);
    }
}

bool fh_directory_check(const struct fh_directory *d, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint64_t count = 0, shards = 0;

    for (uint64_t i = 0; i < UINT64_C(1) << d->depth; shards++) {
        const struct fh_shard *s = d->shards[i];
        uint64_t pointers = s->depth <= d->depth ? UINT64_C(1) << (d->depth - s->depth) : 0;
        if (pointers == 0 || i % pointers != 0) {
            fh_report(&r, "[I3] pointer %" PRIu64 ": a shard of depth %u", i, s->depth);
            return false;
        }
        check_shard(d, i, &r);
        count += s->count;
        for (uint64_t end = i + pointers; i < end; i++)
            if (d->shards[i] != s)
                fh_report(&r, "[I3] pointer %" PRIu64 " leads to another shard", i);
    }
    if (count != d->count)
        fh_report(&r, "[I1] %" PRIu64 " names, counted %" PRIu64, d->count, count);
    if (shards != d->shards_count)
        fh_report(&r, "[I3] %u shards, counted %" PRIu64, d->shards_count, shards);
    return r.broken == 0;
}

void fh_directory_dump(const struct fh_directory *d, FILE *out)
{
    uint64_t hash = 0, object;

    fprintf(out, "directory: %" PRIu64 " names, %u shards, depth %u\n", d->count, d->shards_count,
            d->depth);
    for (bool more = true; more && fh_directory_next(d, &hash, &object); more = ++hash != 0)
        fprintf(out, "  name of %u bytes -> object %" PRIu64 "\n", d->name_of(d->ctx, object).size,
                object);
}
