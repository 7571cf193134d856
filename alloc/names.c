/*
 * Theory.  A name leads to a sealed object. To give it means: the bytes are all there, then in one
 * step the object is sealed, the directory entry points to it, and what the entry pointed to before
 * is freed. Who reads the old object at that moment goes on reading it, since its frames or its
 * view are his. What may fail, room for the name, is taken before anything changes.
 *
 * A list goes through the directory by hash, whatever changes between its parts; its cursor is the
 * hash where it goes on.
 */
#include <errno.h>
#include <string.h>

#include "bits.h"
#include "zone_private.h"

static struct fh_name name_made(uint32_t tenant, const void *name, size_t size)
{
    uint32_t known = (uint32_t)fh_min_u64(size, FH_DIRECTORY_NAME_MAX + 1); /* refused below */

    return (struct fh_name){.tenant = tenant, .size = known, .bytes = name};
}

/* The object of a live name; an expired object's name leads nowhere. -EAGAIN: a commit is about to
 * change where it leads; *number is where it leads now. */
static int name_find(struct fh_zone *z, uint32_t tenant, const void *name, size_t size,
                     uint32_t *number)
{
    struct fh_name n = name_made(tenant, name, size);
    uint64_t object;
    int rc = fh_directory_find(&z->directory, &n, &object);

    if (rc != 0)
        return rc;
    *number = (uint32_t)object;
    const struct fh_object *o = fh_objects_at(&z->objects, *number);
    if (o->coming || o->going)
        return -EAGAIN;
    if (!fh_zone_is_expired(z, o))
        return 0;
    fh_zone_drop(z, *number);
    z->expired++;
    return -ENOENT;
}

/* For who only looks: what is coming is not there yet, what is going is there still. */
int fh_zone_find_name(struct fh_zone *z, uint32_t tenant, const void *name, size_t size,
                      uint32_t *number)
{
    int rc = name_find(z, tenant, name, size, number);

    if (rc != -EAGAIN)
        return rc;
    const struct fh_object *o = fh_objects_at(&z->objects, *number);
    return o->coming || fh_zone_is_expired(z, o) ? -ENOENT : 0;
}

int fh_zone_may_name(struct fh_zone *z, uint32_t tenant, const void *name, size_t size,
                     const struct fh_cond *cond, uint32_t *before)
{
    uint32_t number;
    int rc = name_find(z, tenant, name, size, &number);

    if (rc != 0 && rc != -ENOENT)
        return rc;
    if (rc == -ENOENT) {
        *before = FH_OBJECT_NONE;
        return cond->if_version != 0 ? -ENOENT : 0;
    }
    if (cond->if_absent)
        return -EEXIST;
    *before = number;
    return cond->if_version != 0 && cond->if_version != fh_objects_at(&z->objects, number)->version
               ? -ECANCELED
               : 0;
}

/* The object goes, its name stays for another. */
static void name_orphan(struct fh_zone *z, uint32_t number)
{
    int rc = fh_zone_set_extra(z, number, NULL, 0, 0);

    FH_ASSERT(rc == 0);
    fh_zone_drop(z, number);
}

int fh_zone_give_name(struct fh_zone *z, uint32_t number, const void *name, size_t size,
                      uint32_t before, uint64_t ttl_ms)
{
    struct fh_object *o = fh_objects_at(&z->objects, number);
    struct fh_name n = name_made((uint32_t)o->tenant, name, size);
    int rc;

    if (before == FH_OBJECT_NONE && (rc = fh_directory_add(&z->directory, &n, number)) != 0)
        return rc;
    if ((rc = fh_zone_set_extra(z, number, name, size, ttl_ms)) != 0) {
        if (before == FH_OBJECT_NONE)
            fh_directory_remove(&z->directory, &n, number);
        return rc;
    }
    if (before != FH_OBJECT_NONE) {
        fh_directory_replace(&z->directory, &n, before, number);
        name_orphan(z, before);
    }
    o->sealed = 1;
    return 0;
}

/* --- put --- */

static void put_forget(struct fh_put *put)
{
    if (put->number != FH_OBJECT_NONE)
        fh_zone_drop(put->zone, put->number);
    put->number = FH_OBJECT_NONE;
}

static int put_make(struct fh_put *put)
{
    if (put->number != FH_OBJECT_NONE)
        return 0;
    return put->durable ? fh_zone_make_durable(put->zone, put->tenant, put->body_size, &put->number)
                        : fh_zone_make(put->zone, put->tenant, put->body_size, &put->number);
}

/* Makes the object if there is none yet, and writes its bytes once. */
static int put_write(struct fh_put *put)
{
    struct fh_zone *z = put->zone;
    int rc;

    if (put->written)
        return 0;
    if ((rc = put_make(put)) != 0)
        return rc;
    struct fh_addr start = {fh_objects_at(&z->objects, put->number)->addr};
    struct fh_span span = {.kind = FH_SPAN_COPY, .start = start, .size = put->body_size};
    if (put->body_size > 0 && (rc = fh_pager_prepare(&z->pager, &put->call, &put->hold, span)) != 0)
        return rc;
    fh_pager_write(&z->pager, start, put->body, put->body_size);
    fh_zone_set_filled(z, put->number, put->body_size);
    put->written = true;
    return 0;
}

/* The name is given by a commit, which has the object from now on. */
static int put_commit(struct fh_put *put, uint32_t before)
{
    struct fh_naming n = {.name = put->name,
                          .name_size = put->name_size,
                          .number = put->number,
                          .before = before,
                          .ttl_ms = put->ttl_ms,
                          .is_put = true,
                          .out = &put->object};
    int rc;

    if (put->durable && (rc = fh_zone_sync_object(put->zone, &put->call, &put->hold, put->number,
                                                  &put->cursor)) != 0)
        return rc;
    rc = fh_zone_commit_name(put->zone, &put->call, &put->hold, &n);
    if (rc == -EINPROGRESS)
        put->number = FH_OBJECT_NONE;
    return rc;
}

static int put_try(struct fh_put *put)
{
    struct fh_zone *z = put->zone;
    uint32_t before;
    int rc;

    rc = fh_zone_may_name(z, put->tenant, put->name, put->name_size, &put->cond, &before);
    if (rc == -EAGAIN)
        return fh_zone_wait_for_commit(z, &put->call, &put->hold);
    if (rc != 0 || (rc = put_write(put)) != 0)
        return rc;
    if (put->durable || fh_zone_needs_commit(z, before))
        return put_commit(put, before);
    if ((rc = fh_zone_give_name(z, put->number, put->name, put->name_size, before, put->ttl_ms)) !=
        0)
        return rc;
    fh_objects_at(&z->objects, put->number)->version = ++z->version;
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
    put->written = false;
    put->cursor.v = 0;
    fh_hold_init(&put->hold);
    fh_call_init(&put->call, put_step);
    return put_step(&put->call);
}

void fh_zone_put_cancel(struct fh_put *put)
{
    fh_zone_leave_commit(put->zone, &put->call);
    put_forget(put);
}

int fh_zone_publish(struct fh_zone *z, const struct fh_ref *ref, const void *name, size_t name_size,
                    uint64_t ttl_ms, const struct fh_cond *cond, struct fh_object_view *out)
{
    struct fh_heap_block block;
    uint32_t number, before;
    int rc;

    if ((rc = fh_zone_resolve(z, ref, &number, &block)) != 0)
        return rc;
    if (fh_zone_name(z, number).size > 0)
        return -ECANCELED;
    if (fh_zone_is_durable(z, fh_objects_at(&z->objects, number)))
        return -EAGAIN;
    if (fh_zone_file_of(z, fh_objects_at(&z->objects, number)))
        return -EOPNOTSUPP;
    if ((rc = fh_zone_may_name(z, ref->tenant, name, name_size, cond, &before)) != 0)
        return rc;
    if (fh_zone_needs_commit(z, before))
        return -EAGAIN;
    if ((rc = fh_zone_give_name(z, number, name, name_size, before, ttl_ms)) != 0)
        return rc;
    fh_objects_at(&z->objects, number)->version = ++z->version;
    fh_zone_describe(z, number, out);
    return 0;
}

/* --- look-ups --- */

int fh_zone_lookup(struct fh_zone *z, uint32_t tenant, const void *name, size_t name_size,
                   struct fh_object_view *out)
{
    uint32_t number;
    int rc = fh_zone_find_name(z, tenant, name, name_size, &number);

    if (rc == 0)
        fh_zone_describe(z, number, out);
    return rc;
}

int fh_zone_may_delete(struct fh_zone *z, uint32_t tenant, const void *name, size_t size,
                       const struct fh_cond *cond, uint32_t *number)
{
    int rc = name_find(z, tenant, name, size, number);

    if (rc != 0)
        return rc;
    return cond->if_version != 0 && cond->if_version != fh_objects_at(&z->objects, *number)->version
               ? -ECANCELED
               : 0;
}

int fh_zone_delete(struct fh_zone *z, uint32_t tenant, const void *name, size_t name_size,
                   const struct fh_cond *cond)
{
    uint32_t number;
    int rc = fh_zone_may_delete(z, tenant, name, name_size, cond, &number);

    if (rc == 0 && fh_zone_needs_commit(z, number))
        rc = -EAGAIN;
    if (rc == 0)
        fh_zone_drop(z, number);
    return rc;
}

static bool name_is_listed(const struct fh_name *n, const struct fh_name *prefix)
{
    return n->tenant == prefix->tenant && n->size >= prefix->size &&
           (prefix->size == 0 || memcmp(n->bytes, prefix->bytes, prefix->size) == 0);
}

void fh_zone_list(struct fh_zone *z, uint32_t tenant, const void *prefix, size_t prefix_size,
                  uint64_t *cursor,
                  bool (*visit)(void *ctx, const void *name, size_t name_size,
                                const struct fh_object_view *),
                  void *ctx)
{
    struct fh_name wanted = name_made(tenant, prefix, prefix_size);
    uint64_t object;

    for (uint32_t steps = 0; steps < FH_LIST_STEPS; steps++) {
        if (!fh_directory_next(&z->directory, cursor, &object)) {
            *cursor = 0;
            return;
        }
        uint32_t number = (uint32_t)object;
        struct fh_name name = fh_zone_name(z, number);
        struct fh_object_view view;
        if (name_is_listed(&name, &wanted) && !fh_objects_at(&z->objects, number)->coming &&
            !fh_zone_is_expired(z, fh_objects_at(&z->objects, number))) {
            fh_zone_describe(z, number, &view);
            if (!visit(ctx, name.bytes, name.size, &view))
                return;
        }
        if (++*cursor == 0)
            return;
    }
}
