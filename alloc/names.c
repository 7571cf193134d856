/*
 * Theory.  A name leads to a sealed object. To give it means: the bytes are all there, then in one
 * step the object is sealed, the directory entry points to it, and what the entry pointed to before
 * is freed. Who reads the old object at that moment goes on reading it, since its frames or its
 * view are his. A name that existed keeps its directory entry, so replacing needs no memory and
 * cannot fail.
 */
#include <errno.h>

#include "zone_private.h"

/* The entry of a live name; an expired object's name leads nowhere. */
static int name_find(struct fh_zone *z, uint32_t tenant, const void *name, size_t size,
                     uint32_t *entry)
{
    int rc = fh_directory_find(&z->directory, tenant, name, size, entry);
    if (rc != 0)
        return rc;
    uint32_t number = fh_directory_at(&z->directory, *entry)->object;
    if (!fh_zone_is_expired(z, fh_objects_at(&z->objects, number)))
        return 0;
    fh_zone_drop(z, number);
    z->expired++;
    return -ENOENT;
}

static struct fh_object *object_of_entry(struct fh_zone *z, uint32_t entry)
{
    return fh_objects_at(&z->objects, fh_directory_at(&z->directory, entry)->object);
}

int fh_zone_may_name(struct fh_zone *z, uint32_t tenant, const void *name, size_t size,
                     const struct fh_cond *cond, uint32_t *entry)
{
    int rc = name_find(z, tenant, name, size, entry);

    if (rc != 0 && rc != -ENOENT)
        return rc;
    if (rc == -ENOENT) {
        *entry = 0;
        return cond->if_version != 0 ? -ENOENT : 0;
    }
    if (cond->if_absent)
        return -EEXIST;
    return cond->if_version != 0 && cond->if_version != object_of_entry(z, *entry)->version
               ? -ECANCELED
               : 0;
}

int fh_zone_give_name(struct fh_zone *z, uint32_t number, const void *name, size_t size,
                      uint32_t entry, uint64_t ttl_ms)
{
    struct fh_object *o = fh_objects_at(&z->objects, number);

    if (entry == 0) {
        int rc = fh_directory_add(&z->directory, (uint32_t)o->tenant, name, size, number, &entry);
        if (rc != 0)
            return rc;
    } else {
        uint32_t before = fh_directory_at(&z->directory, entry)->object;
        fh_objects_at(&z->objects, before)->name = 0;
        fh_zone_drop(z, before);
        fh_directory_at(&z->directory, entry)->object = number;
    }
    o->name = entry;
    o->sealed = 1;
    o->expiry = fh_zone_expiry(z, ttl_ms);
    return 0;
}

/* --- put --- */

static void put_forget(struct fh_put *put)
{
    if (put->number != FH_OBJECT_NONE)
        fh_zone_drop(put->zone, put->number);
    put->number = FH_OBJECT_NONE;
}

/* Makes the object if there is none yet, and its pages possible. */
static int put_prepare(struct fh_put *put)
{
    struct fh_zone *z = put->zone;
    int rc;

    if (put->number == FH_OBJECT_NONE &&
        (rc = fh_zone_make(z, put->tenant, put->body_size, &put->number)) != 0)
        return rc;
    if (put->body_size == 0)
        return 0;
    struct fh_span span = {.kind = FH_SPAN_COPY,
                           .start = {fh_objects_at(&z->objects, put->number)->addr},
                           .size = put->body_size};
    return fh_pager_prepare(&z->pager, &put->call, &put->hold, span);
}

static int put_try(struct fh_put *put)
{
    struct fh_zone *z = put->zone;
    uint32_t entry;
    int rc;

    if ((rc = fh_zone_may_name(z, put->tenant, put->name, put->name_size, &put->cond, &entry)) != 0)
        return rc;
    if ((rc = put_prepare(put)) != 0)
        return rc;
    struct fh_object *o = fh_objects_at(&z->objects, put->number);
    fh_pager_write(&z->pager, (struct fh_addr){o->addr}, put->body, put->body_size);
    fh_zone_set_filled(z, put->number, put->body_size);
    if ((rc = fh_zone_give_name(z, put->number, put->name, put->name_size, entry, put->ttl_ms)) !=
        0)
        return rc;
    o->version = ++z->version;
    fh_zone_describe(z, put->number, &put->object);
    return 0;
}

static int put_step(struct fh_call *call)
{
    struct fh_put *put = FH_CONTAINER_OF(call, struct fh_put, call);
    int failed = fh_hold_is_bound(&put->hold) ? put->hold.error : 0;

    fh_pager_release(&put->zone->pager, &put->hold);
    int rc = failed != 0 ? failed : put_try(put);
    if (rc != 0 && rc != -EINPROGRESS)
        put_forget(put);
    return rc;
}

int fh_zone_put(struct fh_zone *z, struct fh_put *put)
{
    if (put->body_size > FH_WRITE_MAX)
        return -EFBIG;
    put->zone = z;
    put->number = FH_OBJECT_NONE;
    fh_hold_init(&put->hold);
    fh_call_init(&put->call, put_step);
    return put_step(&put->call);
}

void fh_zone_put_cancel(struct fh_put *put)
{
    fh_pager_cancel(&put->zone->pager, &put->call);
    put_forget(put);
}

int fh_zone_publish(struct fh_zone *z, const struct fh_ref *ref, const void *name, size_t name_size,
                    uint64_t ttl_ms, const struct fh_cond *cond, struct fh_object_view *out)
{
    struct fh_heap_block block;
    uint32_t number, entry;
    int rc;

    if ((rc = fh_zone_resolve(z, ref, &number, &block)) != 0)
        return rc;
    if (fh_objects_at(&z->objects, number)->name != 0)
        return -ECANCELED;
    if ((rc = fh_zone_may_name(z, ref->tenant, name, name_size, cond, &entry)) != 0)
        return rc;
    if ((rc = fh_zone_give_name(z, number, name, name_size, entry, ttl_ms)) != 0)
        return rc;
    fh_objects_at(&z->objects, number)->version = ++z->version;
    fh_zone_describe(z, number, out);
    return 0;
}

/* --- look-ups --- */

int fh_zone_lookup(struct fh_zone *z, uint32_t tenant, const void *name, size_t name_size,
                   struct fh_object_view *out)
{
    uint32_t entry;
    int rc = name_find(z, tenant, name, name_size, &entry);

    if (rc == 0)
        fh_zone_describe(z, fh_directory_at(&z->directory, entry)->object, out);
    return rc;
}

int fh_zone_delete(struct fh_zone *z, uint32_t tenant, const void *name, size_t name_size,
                   const struct fh_cond *cond)
{
    uint32_t entry;
    int rc = name_find(z, tenant, name, name_size, &entry);

    if (rc != 0)
        return rc;
    if (cond->if_version != 0 && cond->if_version != object_of_entry(z, entry)->version)
        return -ECANCELED;
    fh_zone_drop(z, fh_directory_at(&z->directory, entry)->object);
    return 0;
}

static bool entry_is_listed(const struct fh_zone *z, const struct fh_dirent *e, uint32_t tenant,
                            const void *prefix, size_t prefix_size)
{
    return e->bytes && e->tenant == tenant && e->size >= prefix_size &&
           (prefix_size == 0 || __builtin_memcmp(e->bytes, prefix, prefix_size) == 0) &&
           !fh_zone_is_expired(z, fh_objects_at(&z->objects, e->object));
}

void fh_zone_list(struct fh_zone *z, uint32_t tenant, const void *prefix, size_t prefix_size,
                  uint64_t *cursor,
                  bool (*visit)(void *ctx, const void *name, size_t name_size,
                                const struct fh_object_view *),
                  void *ctx)
{
    const struct fh_directory *d = &z->directory;
    uint64_t at = *cursor > 0 ? *cursor : 1;

    for (uint32_t steps = 0; at < d->used_end && steps < FH_LIST_STEPS; at++, steps++) {
        const struct fh_dirent *e = fh_directory_at(d, (uint32_t)at);
        struct fh_object_view view;
        if (!entry_is_listed(z, e, tenant, prefix, prefix_size))
            continue;
        fh_zone_describe(z, e->object, &view);
        if (!visit(ctx, e->bytes, e->size, &view))
            break;
    }
    *cursor = at < d->used_end ? at : 0;
}
