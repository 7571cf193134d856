/*
 * Theory.  A typed object is a small object whose slab is a typed cache's. Three things differ from
 * others: it is allocated from that cache alone, it reads as the cache's initial bytes where it was
 * not written, and it never leaves the cache, so it cannot become longer than the cache's objects.
 * Everything else is as with any small object: nothing is touched by allocating and freeing.
 */
#include <errno.h>

#include "zone_private.h"

struct fh_initial *fh_zone_initial(const struct fh_zone *z, const struct fh_object *o)
{
    uint32_t number = fh_object_cache(o);

    return number != 0 ? fh_caches_at(&z->caches, number)->initial : NULL;
}

int fh_zone_cache_create(struct fh_zone *z, uint32_t tenant, const struct fh_cache_spec *spec)
{
    return fh_caches_create(&z->caches, tenant, spec);
}

int fh_zone_cache_destroy(struct fh_zone *z, uint32_t tenant, const void *name, size_t name_size)
{
    return fh_caches_destroy(&z->caches, tenant, name, name_size);
}

int fh_zone_alloc_typed(struct fh_zone *z, uint32_t tenant, const void *name, size_t name_size,
                        uint64_t size, uint64_t ttl_ms, struct fh_object_view *out)
{
    struct fh_cache *cache = fh_caches_find(&z->caches, tenant, name, name_size);
    struct fh_heap_block block;
    struct fh_object o;
    int rc;

    if (!cache)
        return -ENOENT;
    if (size > cache->object_size)
        return -EINVAL;
    if ((rc = fh_heap_alloc_typed(&z->heap, &cache->slab, &block)) != 0)
        return rc;
    FH_ASSERT(block.room_bytes == cache->geometry.object_bytes);
    o = fh_zone_make_small(z, &block, size);
    return fh_zone_hand_out(z, &o, ttl_ms, out);
}
