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

struct fh_name fh_zone_make_name(const struct fh_zone *z, uint32_t tenant, const void *name,
                                 size_t size)
{
    uint32_t known = (uint32_t)fh_min_u64(size, FH_DIRECTORY_NAME_MAX + 1); /* refused below */
    struct fh_name n = {.tenant = tenant, .size = known, .bytes = name};

    if (known <= FH_DIRECTORY_NAME_MAX)
        n.hash = fh_directory_hash(&z->directory, &n);
    return n;
}

/* The object of a live name; an expired object's name leads nowhere. -EAGAIN: a commit is about to
 * change where it leads; *out is where it leads now. */
static int name_find(struct fh_zone *z, const struct fh_name *name, struct fh_object *out)
{
    uint64_t id;
    int rc = fh_directory_find(&z->directory, name, &id);

    if (rc != 0)
        return rc;
    *out = fh_objects_at(&z->objects, id);
    if (fh_object_is_coming(out) || fh_object_is_going(out))
        return -EAGAIN;
    if (!fh_zone_is_expired(z, out))
        return 0;
    fh_zone_drop(z, out);
    z->expired++;
    return -ENOENT;
}

/* For who only looks: what is coming is not there yet, what is going is there still. */
int fh_zone_find_name(struct fh_zone *z, uint32_t tenant, const void *name, size_t size,
                      struct fh_object *out)
{
    struct fh_name n = fh_zone_make_name(z, tenant, name, size);
    int rc = name_find(z, &n, out);

    if (rc != -EAGAIN)
        return rc;
    return fh_object_is_coming(out) || fh_zone_is_expired(z, out) ? -ENOENT : 0;
}

int fh_zone_may_name(struct fh_zone *z, const struct fh_name *name, const struct fh_cond *cond,
                     uint64_t *before)
{
    struct fh_object o;
    int rc = name_find(z, name, &o);

    if (rc != 0 && rc != -ENOENT)
        return rc;
    if (rc == -ENOENT) {
        *before = FH_OBJECT_NONE;
        return cond->if_version != 0 ? -ENOENT : 0;
    }
    if (cond->if_absent)
        return -EEXIST;
    *before = o.id;
    return cond->if_version != 0 && cond->if_version != fh_object_version(&o) ? -ECANCELED : 0;
}

/* The name that nothing had leads to the object. */
static int name_add(struct fh_zone *z, const struct fh_object *o, const struct fh_name *name,
                    uint64_t ttl_ms)
{
    int rc = fh_directory_add(&z->directory, name, o->id);

    if (rc != 0)
        return rc;
    if ((rc = fh_zone_set_extra(z, o, name->bytes, name->size, ttl_ms)) != 0)
        fh_directory_remove(&z->directory, name, o->id);
    return rc;
}

/*
 * The name leads to another object, and who had it goes. Where neither expires, the extra with the
 * name's bytes simply changes hands.
 */
static int name_replace(struct fh_zone *z, const struct fh_object *o, const struct fh_name *name,
                        uint64_t before, uint64_t ttl_ms)
{
    struct fh_object old = fh_objects_at(&z->objects, before);
    uint32_t extra = fh_object_extra(&old);
    int rc;

    if (ttl_ms == 0 && !fh_object_expires(&old) && fh_object_extra(o) == FH_EXTRAS_NONE) {
        fh_zone_forget_home(z, &old);
        fh_object_set_extra(o, extra, false);
        fh_object_set_extra(&old, FH_EXTRAS_NONE, false);
    } else if ((rc = fh_zone_set_extra(z, o, name->bytes, name->size, ttl_ms)) != 0) {
        return rc;
    }
    fh_directory_replace(&z->directory, name, before, o->id);
    fh_zone_drop_nameless(z, &old);
    return 0;
}

int fh_zone_give_name(struct fh_zone *z, const struct fh_object *o, const struct fh_name *name,
                      uint64_t before, uint64_t ttl_ms)
{
    int rc = before == FH_OBJECT_NONE ? name_add(z, o, name, ttl_ms)
                                      : name_replace(z, o, name, before, ttl_ms);

    if (rc == 0)
        fh_object_set_sealed(o, true);
    return rc;
}

/* --- put --- */

/* The object it made, which nobody else can have freed. */
static void put_find(const struct fh_put *put, struct fh_object *o)
{
    int rc = fh_zone_resolve(put->zone, &put->made, o);

    FH_ASSERT(rc == 0);
}

static void put_forget(struct fh_put *put)
{
    struct fh_object o;

    if (put->made.key == 0)
        return;
    put_find(put, &o);
    fh_zone_drop(put->zone, &o);
    put->made.key = 0;
}

static int put_make(struct fh_put *put, struct fh_object *o)
{
    struct fh_zone *z = put->zone;

    if (put->made.key != 0) {
        put_find(put, o);
        return 0;
    }
    int rc = put->durable ? fh_zone_make_durable(z, put->tenant, put->body_size, o)
                          : fh_zone_make(z, put->tenant, put->body_size, o);
    if (rc == 0)
        put->made = (struct fh_ref){
            .addr = o->addr, .key = fh_object_key(o), .tenant = fh_object_tenant(o)};
    return rc;
}

/* Makes the object if there is none yet, and writes its bytes once. */
static int put_write(struct fh_put *put, struct fh_object *o)
{
    struct fh_zone *z = put->zone;
    int rc;

    if ((rc = put_make(put, o)) != 0 || put->written)
        return rc;
    struct fh_addr start = fh_object_addr(o, 0);
    struct fh_span span = {.kind = FH_SPAN_COPY, .start = start, .size = put->body_size};
    if (put->body_size > 0 && (rc = fh_pager_prepare(&z->pager, &put->call, &put->hold, span)) != 0)
        return rc;
    fh_pager_write(&z->pager, start, put->body, put->body_size);
    fh_zone_set_filled(z, o, put->body_size);
    put->written = true;
    return 0;
}

/* The name is given by a commit, which has the object from now on. */
static int put_commit(struct fh_put *put, const struct fh_object *o, uint64_t before)
{
    struct fh_naming n = {.name = put->name,
                          .name_size = put->name_size,
                          .id = o->id,
                          .before = before,
                          .ttl_ms = put->ttl_ms,
                          .is_put = true,
                          .out = &put->object};
    int rc;

    if (put->durable &&
        (rc = fh_zone_sync_object(put->zone, &put->call, &put->hold, o, &put->cursor)) != 0)
        return rc;
    rc = fh_zone_commit_name(put->zone, &put->call, &put->hold, &n);
    if (rc == -EINPROGRESS)
        put->made.key = 0;
    return rc;
}

static int put_try(struct fh_put *put)
{
    struct fh_zone *z = put->zone;
    struct fh_name name = fh_zone_make_name(z, put->tenant, put->name, put->name_size);
    struct fh_object o;
    uint64_t before;
    int rc;

    rc = fh_zone_may_name(z, &name, &put->cond, &before);
    if (rc == -EAGAIN)
        return fh_zone_wait_for_commit(z, &put->call, &put->hold);
    if (rc != 0 || (rc = put_write(put, &o)) != 0)
        return rc;
    if (put->durable || fh_zone_needs_commit(z, before))
        return put_commit(put, &o, before);
    if ((rc = fh_zone_give_name(z, &o, &name, before, put->ttl_ms)) != 0)
        return rc;
    fh_zone_bump(z, &o);
    fh_zone_describe(z, &o, &put->object);
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
    put->made.key = 0;
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
    struct fh_name n = fh_zone_make_name(z, ref->tenant, name, name_size);
    struct fh_object o;
    uint64_t before;
    int rc;

    if ((rc = fh_zone_resolve(z, ref, &o)) != 0)
        return rc;
    if (fh_zone_name(z, &o).size > 0)
        return -ECANCELED;
    if (fh_zone_is_durable(z, &o))
        return -EAGAIN;
    if (fh_zone_file_of(z, &o))
        return -EOPNOTSUPP;
    if ((rc = fh_zone_may_name(z, &n, cond, &before)) != 0)
        return rc;
    if (fh_zone_needs_commit(z, before))
        return -EAGAIN;
    if ((rc = fh_zone_give_name(z, &o, &n, before, ttl_ms)) != 0)
        return rc;
    fh_zone_bump(z, &o);
    fh_zone_describe(z, &o, out);
    return 0;
}

/* --- look-ups --- */

int fh_zone_lookup(struct fh_zone *z, uint32_t tenant, const void *name, size_t name_size,
                   struct fh_object_view *out)
{
    struct fh_object o;
    int rc = fh_zone_find_name(z, tenant, name, name_size, &o);

    if (rc == 0)
        fh_zone_describe(z, &o, out);
    return rc;
}

int fh_zone_may_delete(struct fh_zone *z, uint32_t tenant, const void *name, size_t size,
                       const struct fh_cond *cond, struct fh_object *out)
{
    struct fh_name n = fh_zone_make_name(z, tenant, name, size);
    int rc = name_find(z, &n, out);

    if (rc != 0)
        return rc;
    return cond->if_version != 0 && cond->if_version != fh_object_version(out) ? -ECANCELED : 0;
}

int fh_zone_delete(struct fh_zone *z, uint32_t tenant, const void *name, size_t name_size,
                   const struct fh_cond *cond)
{
    struct fh_object o;
    int rc = fh_zone_may_delete(z, tenant, name, name_size, cond, &o);

    if (rc == 0 && fh_zone_needs_commit(z, o.id))
        rc = -EAGAIN;
    if (rc == 0)
        fh_zone_drop(z, &o);
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
    struct fh_name wanted = {.tenant = tenant, .size = (uint32_t)prefix_size, .bytes = prefix};
    uint64_t id;

    for (uint32_t steps = 0; steps < FH_LIST_STEPS; steps++) {
        if (!fh_directory_next(&z->directory, cursor, &id)) {
            *cursor = 0;
            return;
        }
        struct fh_object o = fh_objects_at(&z->objects, id);
        struct fh_name name = fh_zone_name(z, &o);
        struct fh_object_view view;
        if (name_is_listed(&name, &wanted) && !fh_object_is_coming(&o) &&
            !fh_zone_is_expired(z, &o)) {
            fh_zone_describe(z, &o, &view);
            if (!visit(ctx, name.bytes, name.size, &view))
                return;
        }
        if (++*cursor == 0)
            return;
    }
}
