/*
 * Theory.  A typed cache is a slab cache with a geometry of its own, a name, and the bytes that its
 * objects start from. These bytes are kept once, outside the space: an object's record says up to
 * where the object was written, and what lies beyond reads as the cache's initial bytes. So an
 * allocation touches no page, and a million objects never written cost one copy.
 *
 * A cache may be destroyed when none of its objects lives. Reads may still be under way, of objects
 * freed meanwhile, with a window that points into the initial bytes: so these are counted, and go
 * with the last who holds them.
 *
 *   name --hash--> number --> cache --> slabs
 *   object record --number--^   `-----> initial bytes <-- readers
 *
 * Invariants
 *   [I1] count is the number of slots in use
 *   [I2] the cache in slot n has number n + 1, and the slab knows it by that number
 *   [I3] hashes[n] is the hash of the name in slot n, never 0; 0 where there is none
 *   [I4] initial bytes of a cache have its object size and a reference
 *   [I5] bytes is at least the sum over caches and their initial bytes; the rest is held by readers
 *   [I6] objects lie at multiples of the alignment and have room for the object size
 */
#include "caches.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bits.h"
#include "report.h"

void fh_caches_init(struct fh_caches *c, struct fh_mem *mem, struct fh_slab *slab)
{
    *c = (struct fh_caches){.mem = mem, .slab = slab};
}

/* --- initial bytes --- */

static size_t initial_bytes(const struct fh_initial *i)
{
    return sizeof(*i) + i->size;
}

static struct fh_initial *initial_create(struct fh_caches *c, const struct fh_cache_spec *spec)
{
    size_t size = sizeof(struct fh_initial) + spec->object_size;
    struct fh_initial *i = fh_mem_take(c->mem, size);

    if (!i)
        return NULL;
    i->refs = 1;
    i->size = (uint32_t)spec->object_size;
    memcpy(i->bytes, spec->initial, spec->initial_size);
    c->bytes += size;
    return i;
}

struct fh_initial *fh_initial_hold(struct fh_initial *i)
{
    if (i)
        i->refs++;
    return i;
}

void fh_initial_release(struct fh_caches *c, struct fh_initial *i)
{
    if (!i)
        return;
    FH_ASSERT(i->refs > 0); /* [I4] */
    if (--i->refs > 0)
        return;
    c->bytes -= initial_bytes(i);
    fh_mem_give(c->mem, i, initial_bytes(i));
}

/* --- names --- */

/* FNV-1a; a client that makes names collide makes its own look-ups compare a few more names. */
static uint32_t name_hash(uint32_t tenant, const void *name, size_t name_size)
{
    const uint8_t *bytes = name;
    uint32_t hash = 2166136261u ^ tenant;

    for (size_t i = 0; i < name_size; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return hash != 0 ? hash : 1; /* [I3] */
}

static bool cache_is(const struct fh_cache *cache, uint32_t tenant, const void *name,
                     size_t name_size)
{
    return cache->slab.tenant == tenant && cache->name_size == name_size &&
           memcmp(cache->name, name, name_size) == 0;
}

struct fh_cache *fh_caches_find(const struct fh_caches *c, uint32_t tenant, const void *name,
                                size_t name_size)
{
    uint32_t hash = name_hash(tenant, name, name_size);

    for (uint32_t i = 0; i < FH_CACHES_MAX; i++)
        if (c->hashes[i] == hash && cache_is(c->slots[i], tenant, name, name_size))
            return c->slots[i];
    return NULL;
}

/* --- caches --- */

static int spec_check(const struct fh_cache_spec *spec)
{
    if (spec->name_size == 0 || spec->name_size > FH_CACHE_NAME_MAX || spec->object_size == 0)
        return -EINVAL;
    if (spec->object_size > FH_SLAB_SIZE_MAX)
        return -EFBIG;
    if (spec->alignment > FH_CACHE_ALIGNMENT_MAX ||
        (spec->alignment & (spec->alignment - 1)) != 0 || spec->initial_size > spec->object_size)
        return -EINVAL;
    return 0;
}

static void cache_give(struct fh_caches *c, struct fh_cache *cache)
{
    fh_initial_release(c, cache->initial);
    c->bytes -= sizeof(*cache);
    fh_mem_give(c->mem, cache, sizeof(*cache));
}

/* A cache that no table knows yet. */
static struct fh_cache *cache_take(struct fh_caches *c, const struct fh_cache_spec *spec)
{
    struct fh_cache *cache = fh_mem_take(c->mem, sizeof(*cache));

    if (!cache)
        return NULL;
    c->bytes += sizeof(*cache);
    if (spec->initial_size > 0 && !(cache->initial = initial_create(c, spec))) {
        cache_give(c, cache);
        return NULL;
    }
    cache->object_size = (uint32_t)spec->object_size;
    cache->alignment = spec->alignment == 0 ? FH_CACHE_ALIGNMENT : (uint32_t)spec->alignment;
    cache->name_size = (uint32_t)spec->name_size;
    memcpy(cache->name, spec->name, spec->name_size);
    uint64_t stride = fh_align_up(cache->object_size, cache->alignment);
    fh_slab_size_init_typed(&cache->geometry, (uint32_t)fh_max_u64(stride, FH_SLAB_SIZE_MIN),
                            c->slab->opts.record_bytes);
    return cache;
}

int fh_caches_create(struct fh_caches *c, uint32_t tenant, const struct fh_cache_spec *spec)
{
    struct fh_cache *cache;
    int rc = spec_check(spec);

    if (rc != 0)
        return rc;
    if (fh_caches_find(c, tenant, spec->name, spec->name_size))
        return -EEXIST;
    if (!(cache = cache_take(c, spec)))
        return -ENOMEM;
    if ((rc = fh_slab_cache_open(c->slab, &cache->slab, tenant, &cache->geometry)) != 0) {
        cache_give(c, cache);
        return rc;
    }
    c->slots[cache->slab.typed - 1] = cache;
    c->hashes[cache->slab.typed - 1] = name_hash(tenant, spec->name, spec->name_size);
    c->count++;
    return 0;
}

int fh_caches_destroy(struct fh_caches *c, uint32_t tenant, const void *name, size_t name_size)
{
    struct fh_cache *cache = fh_caches_find(c, tenant, name, name_size);
    int rc;

    if (!cache)
        return -ENOENT;
    if ((rc = fh_slab_cache_close(c->slab, &cache->slab)) != 0)
        return rc;
    c->slots[cache->slab.typed - 1] = NULL;
    c->hashes[cache->slab.typed - 1] = 0;
    c->count--;
    cache_give(c, cache);
    return 0;
}

void fh_caches_fini(struct fh_caches *c)
{
    for (uint32_t i = 0; i < FH_CACHES_MAX; i++)
        if (c->slots[i])
            cache_give(c, c->slots[i]);
    FH_ASSERT(c->bytes == 0); /* no reader holds initial bytes any more */
    *c = (struct fh_caches){0};
}

/* --- looking inside --- */

void fh_caches_stats(const struct fh_caches *c, struct fh_caches_stats *out)
{
    *out = (struct fh_caches_stats){.count = c->count, .book_bytes = c->bytes};
    for (uint32_t i = 0; i < FH_CACHES_MAX; i++)
        if (c->slots[i])
            out->live_objects += c->slots[i]->slab.used;
}

static void check_cache(const struct fh_caches *c, uint32_t i, struct fh_report *r)
{
    const struct fh_cache *cache = c->slots[i];

    if (cache->slab.typed != i + 1 || c->slab->typed[i] != &cache->slab)
        fh_report(r, "[I2] cache %u: the slab does not know it by its number", i + 1);
    if (c->hashes[i] != name_hash(cache->slab.tenant, cache->name, cache->name_size))
        fh_report(r, "[I3] cache %u: its name has another hash", i + 1);
    if (cache->initial && (cache->initial->refs == 0 || cache->initial->size != cache->object_size))
        fh_report(r, "[I4] cache %u: %u initial bytes for %u, %u references", i + 1,
                  cache->initial->size, cache->object_size, cache->initial->refs);
    if (cache->slab.size != &cache->geometry || cache->geometry.object_bytes < cache->object_size ||
        cache->geometry.object_bytes % cache->alignment != 0)
        fh_report(r, "[I6] cache %u: objects of %u bytes aligned to %u lie every %u bytes", i + 1,
                  cache->object_size, cache->alignment, cache->geometry.object_bytes);
}

bool fh_caches_check(const struct fh_caches *c, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint32_t count = 0;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < FH_CACHES_MAX; i++) {
        if (!c->slots[i]) {
            if (c->hashes[i] != 0)
                fh_report(&r, "[I3] there is no cache %u, but a hash", i + 1);
            continue;
        }
        check_cache(c, i, &r);
        count++;
        bytes += sizeof(struct fh_cache);
        bytes += c->slots[i]->initial ? initial_bytes(c->slots[i]->initial) : 0;
    }
    if (count != c->count)
        fh_report(&r, "[I1] %u caches, counted %u", c->count, count);
    if (bytes > c->bytes)
        fh_report(&r, "[I5] %" PRIu64 " bytes, counted %" PRIu64, c->bytes, bytes);
    return r.broken == 0;
}

void fh_caches_dump(const struct fh_caches *c, FILE *out)
{
    fprintf(out, "caches: %u, %" PRIu64 " bytes\n", c->count, c->bytes);
    for (uint32_t i = 0; i < FH_CACHES_MAX; i++) {
        const struct fh_cache *cache = c->slots[i];
        if (cache)
            fprintf(out,
                    "  cache %u of tenant %u: name of %u bytes, objects of %u aligned to %u, "
                    "%" PRIu64 " live, initial bytes %s\n",
                    i + 1, cache->slab.tenant, cache->name_size, cache->object_size,
                    cache->alignment, cache->slab.used, cache->initial ? "given" : "zeros");
    }
}
