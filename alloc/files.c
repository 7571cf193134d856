/*
 * Theory.  A file becomes an object by taking a block of the space as large as the file; nothing of
 * it is read until it is touched. A file is one object, however often it is opened, so that there is
 * one cache of it and one truth; it is told by device and number, not by its path. Who opens it
 * again gets the same handle, and every opening needs its own free.
 *
 * Such an object is never resized, named, or sealed: its size and its name are the file system's.
 */
#include <errno.h>

#include "zone_private.h"

struct fh_file *fh_zone_file_of(const struct fh_zone *z, const struct fh_object *o)
{
    if (z->pager.backing.count == 0 || o->small)
        return NULL;
    return fh_backing_find(&z->pager.backing, fh_page_of_addr(o->addr));
}

int fh_zone_file_find(struct fh_zone *z, uint32_t tenant, struct fh_file_id id, bool write,
                      struct fh_object_view *out)
{
    struct fh_file *f = fh_backing_known(&z->pager.backing, id);
    struct fh_heap_block block;

    if (!f)
        return -ENOENT;
    if (f->opens == 0 || f->tenant != tenant)
        return -EBUSY;
    if (write && !f->may_write)
        return -EACCES;
    int rc = fh_heap_find_page(&z->heap, f->first, &block);
    FH_ASSERT(rc == 0);
    f->opens++;
    f->writable = f->writable || write;
    struct fh_object o = fh_objects_of_block(&z->objects, &block);
    fh_zone_describe(z, &o, out);
    return 0;
}

int fh_zone_file_open(struct fh_zone *z, uint32_t tenant, const struct fh_file_source *source,
                      bool write, struct fh_object_view *out)
{
    struct fh_file like = {.size_bytes = source->size_bytes,
                           .id = source->id,
                           .fd = source->fd,
                           .tenant = tenant,
                           .may_write = source->may_write,
                           .writable = write,
                           .tag = source->tag};
    struct fh_heap_block block;
    struct fh_file *file;
    struct fh_object o;
    int rc;

    if (source->size_bytes > FH_OBJECT_SIZE_MAX)
        return -EFBIG;
    if (write && !source->may_write)
        return -EACCES;
    if ((rc = fh_zone_take_record(z, tenant, &o)) != 0)
        return rc;
    uint64_t pages = source->size_bytes > 0 ? fh_pages_for(source->size_bytes) : 1;
    if ((rc = fh_heap_alloc_pages(&z->heap, pages, (uint32_t)o.id, &block)) != 0)
        goto out_record;
    like.first = fh_page_of_addr(block.addr);
    if ((rc = fh_backing_open(&z->pager.backing, &like, &file)) != 0)
        goto out_block;
    fh_zone_place(z, &o, &block, source->size_bytes);
    fh_zone_describe(z, &o, out);
    return 0;

out_block:
    fh_zone_give_block(z, block.addr, block.room_bytes);
out_record:
    fh_objects_give(&z->objects, &o);
    return rc;
}

/* --- sync --- */

static int sync_step(struct fh_call *call)
{
    struct fh_sync *s = FH_CONTAINER_OF(call, struct fh_sync, call);
    struct fh_zone *z = s->zone;
    int failed = fh_hold_is_bound(&s->hold) ? s->hold.error : 0;
    struct fh_object o;
    int rc;

    fh_pager_release(&z->pager, &s->hold);
    if (failed != 0)
        return failed;
    if ((rc = fh_zone_resolve(z, &s->ref, &o)) != 0)
        return rc;
    uint64_t whole = fh_object_size(&o);
    struct fh_file *file = fh_zone_file_of(z, &o);
    if (!file)
        return -EOPNOTSUPP;
    if (s->offset > whole || s->size > whole - s->offset)
        return -EINVAL;
    struct fh_addr end = fh_object_addr(&o, s->offset + s->size + FH_PAGE_SIZE - 1);
    struct fh_page first = fh_page_of_addr(fh_object_addr(&o, s->offset));
    if (s->cursor.v < first.v)
        s->cursor = first;
    rc = fh_pager_sync(&z->pager, call, &s->hold, file, &s->cursor, fh_page_of_addr(end));
    if (rc == 0)
        fh_zone_describe(z, &o, &s->object);
    return rc;
}

int fh_zone_sync(struct fh_zone *z, struct fh_sync *s)
{
    s->zone = z;
    s->cursor.v = 0;
    fh_hold_init(&s->hold);
    fh_call_init(&s->call, sync_step);
    return sync_step(&s->call);
}

void fh_zone_sync_cancel(struct fh_sync *s)
{
    fh_pager_cancel(&s->zone->pager, &s->call);
}
