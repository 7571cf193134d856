/*
 * Theory.  A block has room for more than was asked, so most growth costs nothing: the size
 * changes. Beyond the room the object gets another block and another handle. A block of pages moves
 * by its page-table entries, no byte is copied. A small object shares its pages and must be copied:
 * its bytes are first saved in a buffer, under a read hold, then written to the new block as any
 * write would be; if the object was changed meanwhile, which its version tells, the saving begins
 * again. Shrinking clears what is cut off, so that growing again shows zeros, or the initial bytes
 * of a typed cache, whose objects never leave it.
 */
#include <errno.h>
#include <string.h>

#include "bits.h"
#include "zone_private.h"

static int resize_in_place(struct fh_mutation *m, const struct fh_object *o)
{
    struct fh_zone *z = m->zone;
    uint64_t size = fh_object_size(o);
    int rc;

    if (m->size < size && o->small) {
        fh_zone_set_filled(z, o, fh_min_u64(fh_object_filled(o), m->size));
    } else if (m->size < size) {
        struct fh_span cut = {
            .kind = FH_SPAN_ZERO, .start = fh_object_addr(o, m->size), .size = size - m->size};
        if ((rc = fh_pager_prepare(&z->pager, &m->call, &m->hold, cut)) != 0)
            return rc;
        fh_zone_zero(z, cut.start, cut.size);
    }
    if (m->size < size)
        fh_zone_unpin(z, fh_object_addr(o, m->size), size - m->size);
    fh_objects_resize(&z->objects, o, m->size);
    return 0;
}

/* In the data directory an object can become shorter: what is cut off is forgotten. */
static int resize_durable(struct fh_mutation *m, const struct fh_object *o)
{
    struct fh_zone *z = m->zone;
    struct fh_addr end = fh_object_addr(o, m->size);
    uint64_t size = fh_object_size(o), pages = fh_pages_for(m->size);
    int rc;

    if (m->size > size)
        return -EOPNOTSUPP;
    struct fh_span edge = {
        .kind = FH_SPAN_COPY,
        .start = end,
        .size = fh_min_u64(size, pages << FH_PAGE_SHIFT) - m->size,
    };
    if (edge.size > 0 && (rc = fh_pager_prepare(&z->pager, &m->call, &m->hold, edge)) != 0)
        return rc;
    fh_pager_zero(&z->pager, edge.start, edge.size);
    struct fh_page first = fh_page_of_addr(fh_object_addr(o, pages << FH_PAGE_SHIFT));
    fh_pager_discard(&z->pager, first, fh_pages_for(size) - pages);
    fh_zone_unpin(z, end, size - m->size);
    fh_objects_resize(&z->objects, o, m->size);
    return 0;
}

/* The object, of pages, lives in a new block from now on, under a new key. */
static int resize_by_entries(struct fh_mutation *m, struct fh_object *o,
                             const struct fh_heap_block *old)
{
    struct fh_zone *z = m->zone;
    uint64_t pages = old->room_bytes >> FH_PAGE_SHIFT; /* all: views of what was cut off move too */
    struct fh_heap_block block;
    int rc;

    fh_graves_finish(&z->graves, fh_page_of_addr(old->addr), pages);
    if ((rc = fh_heap_alloc(&z->heap, m->ref.tenant, m->size, (uint32_t)o->id, &block)) != 0)
        return rc;
    if ((rc = fh_pagetable_touch_like(&z->pager.table, fh_page_of_addr(old->addr),
                                      fh_page_of_addr(block.addr), pages)) != 0) {
        fh_zone_give_block(z, block.addr, block.room_bytes);
        return rc;
    }
    fh_zone_move_pins(z, old->addr, block.addr, fh_object_size(o));
    fh_errands_forget(&z->errands, fh_page_of_addr(old->addr),
                      fh_page_add(fh_page_of_addr(old->addr), pages));
    fh_pager_move(&z->pager, fh_page_of_addr(old->addr), fh_page_of_addr(block.addr), pages);
    fh_zone_give_block(z, old->addr, old->room_bytes);
    fh_object_set_place(o, block.addr, fh_zone_new_key(z));
    fh_objects_resize(&z->objects, o, m->size);
    return 0;
}

/* Saves the bytes of a small object; -EINPROGRESS while its pages are read in. */
static int resize_save(struct fh_mutation *m, const struct fh_object *o)
{
    struct fh_zone *z = m->zone;
    uint64_t filled = fh_object_filled(o);
    int rc;

    if (!m->move && !(m->move = fh_mem_take(&z->mem, sizeof(*m->move))))
        return -ENOMEM;
    if (m->move->version == fh_object_version(o))
        return 0;
    if (filled > 0) {
        struct fh_span whole = {
            .kind = FH_SPAN_READ, .start = fh_object_addr(o, 0), .size = filled};
        if ((rc = fh_pager_prepare(&z->pager, &m->call, &m->hold, whole)) != 0)
            return rc;
        fh_pager_peek(&z->pager, whole.start, m->move->bytes, filled);
    }
    m->move->version = fh_object_version(o);
    m->move->filled = filled;
    return 0;
}

/* What the record of a small object says, and its place does not, goes with it. It has no name: it
 * would be sealed. */
static void resize_carry_over(struct fh_zone *z, const struct fh_object *from,
                              const struct fh_object *to)
{
    FH_ASSERT(!fh_object_is_sealed(from));
    fh_zone_forget_home(z, from);
    fh_object_set_extra(to, fh_object_extra(from), fh_object_expires(from));
    fh_object_set_extra(from, FH_EXTRAS_NONE, false);
    fh_zone_drop(z, from);
}

static void resize_move_pins(struct fh_zone *z, const struct fh_object *from,
                             const struct fh_object *to)
{
    uint64_t size = fh_object_size(from);

    if (z->pager.pins.count == 0 || size == 0)
        return;
    fh_zone_move_pins(z, from->addr, to->addr, size);
    fh_pager_repin(&z->pager, fh_page_of_addr(from->addr), fh_pages_of_range(from->addr, size));
    fh_pager_repin(&z->pager, fh_page_of_addr(to->addr), fh_pages_of_range(to->addr, size));
}

static int resize_by_copy(struct fh_mutation *m, struct fh_object *o)
{
    struct fh_zone *z = m->zone;
    struct fh_object moved;
    int rc;

    if ((rc = resize_save(m, o)) != 0)
        return rc;
    if ((rc = fh_zone_make(z, m->ref.tenant, m->size, &moved)) != 0)
        return rc;
    struct fh_span copy = {
        .kind = FH_SPAN_COPY, .start = fh_object_addr(&moved, 0), .size = m->move->filled};
    if (copy.size > 0 && (rc = fh_pager_prepare(&z->pager, &m->call, &m->hold, copy)) != 0) {
        fh_zone_drop(z, &moved); /* nothing was written to it */
        return rc;
    }
    fh_pager_write(&z->pager, copy.start, m->move->bytes, m->move->filled);
    fh_zone_set_filled(z, &moved, m->move->filled);
    resize_move_pins(z, o, &moved);
    resize_carry_over(z, o, &moved);
    *o = moved;
    return 0;
}

int fh_zone_resize_step(struct fh_mutation *m, struct fh_object *o)
{
    uint32_t cache = fh_object_cache(o);
    struct fh_heap_block block;
    int rc;

    if (m->size > FH_OBJECT_SIZE_MAX)
        return -EFBIG;
    if (fh_zone_is_durable(m->zone, o))
        return resize_durable(m, o);
    if (fh_zone_file_of(m->zone, o))
        return -EOPNOTSUPP;
    if (cache > 0 && m->size > fh_caches_at(&m->zone->caches, cache)->object_size)
        return -EINVAL;
    rc = fh_heap_find(&m->zone->heap, o->addr, &block);
    FH_ASSERT(rc == 0);
    if (m->size <= block.room_bytes)
        return resize_in_place(m, o);
    return o->small ? resize_by_copy(m, o) : resize_by_entries(m, o, &block);
}
