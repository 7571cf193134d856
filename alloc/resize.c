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

static int resize_in_place(struct fh_mutation *m, uint32_t number)
{
    struct fh_zone *z = m->zone;
    const struct fh_object *o = fh_objects_at(&z->objects, number);
    int rc;

    if (m->size < o->size && o->small) {
        fh_zone_set_filled(z, number, fh_min_u64(fh_zone_filled(z, number), m->size));
    } else if (m->size < o->size) {
        struct fh_span cut = {
            .kind = FH_SPAN_ZERO, .start = fh_object_addr(o, m->size), .size = o->size - m->size};
        if ((rc = fh_pager_prepare(&z->pager, &m->call, &m->hold, cut)) != 0)
            return rc;
        fh_pager_zero(&z->pager, cut.start, cut.size);
    }
    fh_objects_resize(&z->objects, number, m->size);
    return 0;
}

/* In the data directory an object can become shorter: what is cut off is forgotten. */
static int resize_durable(struct fh_mutation *m, uint32_t number)
{
    struct fh_zone *z = m->zone;
    const struct fh_object *o = fh_objects_at(&z->objects, number);
    struct fh_addr end = fh_object_addr(o, m->size);
    uint64_t pages = fh_pages_for(m->size);
    int rc;

    if (m->size > o->size)
        return -EOPNOTSUPP;
    struct fh_span edge = {
        .kind = FH_SPAN_COPY,
        .start = end,
        .size = fh_min_u64(o->size, pages << FH_PAGE_SHIFT) - m->size,
    };
    if (edge.size > 0 && (rc = fh_pager_prepare(&z->pager, &m->call, &m->hold, edge)) != 0)
        return rc;
    fh_pager_zero(&z->pager, edge.start, edge.size);
    struct fh_page first = fh_page_of_addr(fh_object_addr(o, pages << FH_PAGE_SHIFT));
    fh_pager_discard(&z->pager, first, fh_pages_for(o->size) - pages);
    fh_objects_resize(&z->objects, number, m->size);
    return 0;
}

/* From now on the object lives in the new block, under a new key. */
static void resize_settle(struct fh_mutation *m, uint32_t number, const struct fh_heap_block *block)
{
    struct fh_object *o = fh_objects_at(&m->zone->objects, number);

    o->addr = block->addr.v & ((UINT64_C(1) << 48) - 1);
    o->small = block->in_slab;
    o->key = fh_zone_new_key(m->zone);
    fh_objects_resize(&m->zone->objects, number, m->size);
}

static int resize_by_entries(struct fh_mutation *m, uint32_t number,
                             const struct fh_heap_block *old)
{
    struct fh_zone *z = m->zone;
    uint64_t pages = old->room_bytes >> FH_PAGE_SHIFT; /* all: views of what was cut off move too */
    struct fh_heap_block block;
    int rc;

    if ((rc = fh_heap_alloc(&z->heap, m->ref.tenant, m->size, number, &block)) != 0)
        return rc;
    if ((rc = fh_pagetable_touch_like(&z->pager.table, fh_page_of_addr(old->addr),
                                      fh_page_of_addr(block.addr), pages)) != 0) {
        fh_zone_give_block(z, block.addr, block.room_bytes);
        return rc;
    }
    fh_pager_move(&z->pager, fh_page_of_addr(old->addr), fh_page_of_addr(block.addr), pages);
    fh_zone_give_block(z, old->addr, old->room_bytes);
    resize_settle(m, number, &block);
    return 0;
}

/* Saves the bytes of a small object; -EINPROGRESS while its pages are read in. */
static int resize_save(struct fh_mutation *m, uint32_t number)
{
    struct fh_zone *z = m->zone;
    const struct fh_object *o = fh_objects_at(&z->objects, number);
    struct fh_addr at = {o->addr};
    uint64_t filled = fh_zone_filled(z, number);
    int rc;

    if (!m->move && !(m->move = fh_mem_take(&z->mem, sizeof(*m->move))))
        return -ENOMEM;
    if (m->move->version == o->version)
        return 0;
    if (filled > 0) {
        struct fh_span whole = {.kind = FH_SPAN_READ, .start = at, .size = filled};
        if ((rc = fh_pager_prepare(&z->pager, &m->call, &m->hold, whole)) != 0)
            return rc;
        fh_pager_peek(&z->pager, at, m->move->bytes, filled);
    }
    m->move->version = o->version;
    m->move->filled = filled;
    return 0;
}

static int resize_by_copy(struct fh_mutation *m, uint32_t number, const struct fh_heap_block *old)
{
    struct fh_zone *z = m->zone;
    struct fh_heap_block block;
    int rc;

    if ((rc = resize_save(m, number)) != 0)
        return rc;
    if ((rc = fh_heap_alloc(&z->heap, m->ref.tenant, m->size, number, &block)) != 0)
        return rc;
    struct fh_span copy = {.kind = FH_SPAN_COPY, .start = block.addr, .size = m->move->filled};
    if (copy.size > 0 && (rc = fh_pager_prepare(&z->pager, &m->call, &m->hold, copy)) != 0) {
        int freed = fh_heap_free(&z->heap, block.addr); /* nothing was written to it */
        FH_ASSERT(freed == 0);
        return rc;
    }
    fh_pager_write(&z->pager, block.addr, m->move->bytes, m->move->filled);
    fh_zone_give_slot(z, old, m->move->filled);
    resize_settle(m, number, &block);
    fh_zone_set_filled(z, number, m->move->filled);
    return 0;
}

int fh_zone_resize_step(struct fh_mutation *m)
{
    struct fh_heap_block block;
    uint32_t number;
    int rc;

    if (m->size > FH_OBJECT_SIZE_MAX)
        return -EFBIG;
    if ((rc = fh_zone_resolve(m->zone, &m->ref, &number, &block)) != 0)
        return rc;
    if (fh_zone_is_durable(m->zone, fh_objects_at(&m->zone->objects, number)))
        return resize_durable(m, number);
    if (fh_zone_file_of(m->zone, fh_objects_at(&m->zone->objects, number)))
        return -EOPNOTSUPP;
    if (block.typed > 0 && m->size > fh_caches_at(&m->zone->caches, block.typed)->object_size)
        return -EINVAL;
    if (m->size <= block.room_bytes)
        return resize_in_place(m, number);
    return block.in_slab ? resize_by_copy(m, number, &block) : resize_by_entries(m, number, &block);
}
