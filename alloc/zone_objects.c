/*
 * Theory.  One object from its making to its end: a block and a record with a key, then name and
 * expiry in an extra; what shows address, key and tenant finds it. All refusals of a handle take the
 * same path and say the same.
 *
 *   make (block, record, key) -> hand_out (expiry, view) ... resolve ... drop (name, extra, record, block)
 *
 * Keys and versions are never used twice. An expiry is told in ticks since the zone's start.
 *
 * Invariants: those at the head of zone.c.
 */
#include <errno.h>

#include "bits.h"
#include "zone_private.h"

/* --- records --- */

uint64_t fh_zone_new_key(struct fh_zone *z)
{
    uint64_t key = 0;

    while (key == 0) {
        if (z->keys_left == 0) {
            z->opts.random(z->opts.random_ctx, z->keys, sizeof(z->keys));
            z->keys_left = FH_ZONE_KEYS;
        }
        key = z->keys[--z->keys_left];
        z->keys[z->keys_left] = 0;
    }
    return key;
}

static uint64_t zone_tick(const struct fh_zone *z)
{
    return (z->now_ms - z->start_ms) / FH_TICK_MS;
}

static uint32_t zone_expiry(const struct fh_zone *z, const struct fh_object *o)
{
    return fh_object_expires(o) ? fh_extras_get(&z->extras, fh_object_extra(o)).expiry : 0;
}

bool fh_zone_is_expired(const struct fh_zone *z, const struct fh_object *o)
{
    return fh_object_expires(o) && zone_tick(z) >= zone_expiry(z, o);
}

/* The tick at which what is made now is gone; 0 = never. */
static uint32_t zone_tick_after(const struct fh_zone *z, uint64_t ttl_ms)
{
    uint64_t ticks = ttl_ms / FH_TICK_MS + 1; /* the running tick has begun already */

    if (ttl_ms == 0 || ticks > UINT32_MAX - zone_tick(z))
        return 0; /* 13 years and more are as good as for ever */
    return (uint32_t)(zone_tick(z) + ticks);
}

int fh_zone_set_extra(struct fh_zone *z, const struct fh_object *o, const void *name, size_t size,
                      uint64_t ttl_ms)
{
    struct fh_extra x = {.name = name,
                         .name_size = (uint32_t)size,
                         .expiry = zone_tick_after(z, ttl_ms),
                         .home = fh_extras_get(&z->extras, fh_object_extra(o)).home};
    uint32_t extra = FH_EXTRAS_NONE;
    int rc;

    if (size == 0 && x.expiry == 0 && x.home != 0) {
        fh_extras_drop_name(&z->extras, fh_object_extra(o)); /* this must not fail */
        fh_object_set_extra(o, fh_object_extra(o), false);
        return 0;
    }
    rc = size == 0 && x.expiry == 0 ? 0 : fh_extras_take(&z->extras, &x, &extra);
    if (rc != 0)
        return rc;
    FH_ASSERT((extra == FH_EXTRAS_NONE) == (size == 0 && x.expiry == 0)); /* [I4] */
    fh_extras_give(&z->extras, fh_object_extra(o));
    fh_object_set_extra(o, extra, x.expiry != 0);
    return 0;
}

struct fh_name fh_zone_name(const struct fh_zone *z, const struct fh_object *o)
{
    struct fh_extra x = fh_extras_get(&z->extras, fh_object_extra(o));

    return (struct fh_name){.tenant = fh_object_tenant(o), .size = x.name_size, .bytes = x.name};
}

void fh_zone_set_filled(struct fh_zone *z, const struct fh_object *o, uint64_t filled)
{
    if (!o->small)
        return;
    if (filled < o->small->filled)
        fh_zone_poison(z, fh_object_addr(o, filled), o->small->filled - filled);
    o->small->filled = (uint16_t)filled;
}

int fh_zone_resolve(struct fh_zone *z, const struct fh_ref *ref, struct fh_object *out)
{
    struct fh_heap_block block;
    bool found = fh_zone_find_block(z, ref->addr, &block) == 0;
    struct fh_object o = fh_objects_of_block(&z->objects, found ? &block : NULL);

    if (!fh_objects_match(&o, ref->addr, ref->key, ref->tenant) && !fh_zone_find_moved(z, ref, &o))
        return -ESTALE;
    if (fh_zone_is_expired(z, &o))
        return -ESTALE;
    *out = o;
    return 0;
}

void fh_zone_describe(const struct fh_zone *z, const struct fh_object *o,
                      struct fh_object_view *out)
{
    uint64_t now = z->now_ms - z->start_ms;
    uint64_t end = (uint64_t)zone_expiry(z, o) * FH_TICK_MS;
    bool durable = fh_zone_is_durable(z, o);
    const struct fh_file *file = durable ? NULL : fh_zone_file_of(z, o);

    /* Field by field: a view is too large to be made beside its place and copied for every small
     * read. */
    out->ref = (struct fh_ref){
        .addr = fh_zone_home(z, o), .key = fh_object_key(o), .tenant = fh_object_tenant(o)};
    out->size = fh_object_size(o);
    out->version = fh_object_version(o);
    out->ttl_ms = end > now ? end - now : 0;
    out->sealed = fh_object_is_sealed(o);
    out->small = o->small != NULL;
    out->durable = durable;
    out->file = file != NULL;
    out->writable = file && file->writable;
    out->pages = (struct fh_page_counts){0};
}

int fh_zone_may_change(const struct fh_zone *z, const struct fh_object *o,
                       const struct fh_cond *cond)
{
    const struct fh_file *file = fh_zone_file_of(z, o);

    if (fh_object_is_sealed(o))
        return -ECANCELED;
    if (file && !file->writable)
        return -EACCES;
    return cond->if_version != 0 && cond->if_version != fh_object_version(o) ? -ECANCELED : 0;
}

void fh_zone_bump(struct fh_zone *z, const struct fh_object *o)
{
    z->version = z->version < FH_OBJECT_VERSION_MAX ? z->version + 1 : 1;
    fh_object_set_version(o, z->version);
}

int fh_zone_take_record(struct fh_zone *z, uint32_t tenant, struct fh_object *out)
{
    return fh_objects_take(&z->objects, tenant, fh_zone_new_key(z), out);
}

void fh_zone_place(struct fh_zone *z, struct fh_object *o, const struct fh_heap_block *block,
                   uint64_t size)
{
    FH_ASSERT(size <= block->room_bytes);
    fh_object_set_place(o, block->addr, fh_object_key(o));
    fh_objects_resize(&z->objects, o, size);
    fh_zone_bump(z, o);
}

struct fh_object fh_zone_make_small(struct fh_zone *z, const struct fh_heap_block *block,
                                    uint64_t size)
{
    struct fh_object o = fh_objects_take_small(&z->objects, block, fh_zone_new_key(z));

    FH_ASSERT(size <= block->room_bytes);                /* [I3] */
    FH_ASSERT(fh_object_addr(&o, 0).v == block->addr.v); /* [I1] */
    fh_objects_resize(&z->objects, &o, size);
    fh_zone_bump(z, &o);
    return o;
}

static int zone_make_of_pages(struct fh_zone *z, uint32_t tenant, uint64_t size,
                              struct fh_object *out)
{
    struct fh_heap_block block;
    struct fh_object o;
    int rc;

    if ((rc = fh_zone_take_record(z, tenant, &o)) != 0)
        return rc;
    if ((rc = fh_heap_alloc(&z->heap, tenant, size, (uint32_t)o.id, &block)) != 0) {
        fh_objects_give(&z->objects, &o);
        return rc;
    }
    fh_zone_place(z, &o, &block, size);
    *out = o;
    return 0;
}

int fh_zone_make(struct fh_zone *z, uint32_t tenant, uint64_t size, struct fh_object *out)
{
    struct fh_heap_block block;
    int rc;

    if (size > FH_SLAB_SIZE_MAX)
        return zone_make_of_pages(z, tenant, size, out);
    if ((rc = fh_heap_alloc(&z->heap, tenant, size, 0, &block)) != 0)
        return rc;
    *out = fh_zone_make_small(z, &block, size);
    return 0;
}

static void heap_give(struct fh_zone *z, struct fh_addr addr)
{
    int rc = fh_heap_free(&z->heap, addr);
    FH_ASSERT(rc == 0);
}

void fh_zone_give_block(struct fh_zone *z, struct fh_addr addr, uint64_t room_bytes)
{
    if (!fh_zone_give_durable(z, addr))
        fh_graves_take(&z->graves, addr, room_bytes);
}

void fh_zone_zero(struct fh_zone *z, struct fh_addr start, uint64_t size)
{
    enum { LEAF = FH_LEAF_PAGES << FH_PAGE_SHIFT };
    struct fh_addr end = {start.v + size};
    struct fh_addr from = {fh_align_up(start.v, LEAF)}, to = {end.v & ~(uint64_t)(LEAF - 1)};
    uint64_t pages = to.v > from.v ? (to.v - from.v) >> FH_PAGE_SHIFT : 0;

    if (pages <= z->graves.slice ||
        !fh_graves_take_pages(&z->graves, fh_page_of_addr(from), pages)) {
        fh_pager_zero(&z->pager, start, size);
        return;
    }
    fh_pager_zero(&z->pager, start, from.v - start.v);
    fh_pager_zero(&z->pager, to, end.v - to.v);
}

static void zone_drop_small(struct fh_zone *z, const struct fh_object *o)
{
    FH_ASSERT(fh_zone_red_zone_is_clean(z, o)); /* [P1] */
    fh_zone_poison(z, o->addr, o->small->filled);
    fh_objects_give(&z->objects, o);
    heap_give(z, o->addr);
}

static void zone_drop_of_pages(struct fh_zone *z, const struct fh_object *o)
{
    struct fh_heap_block block;
    int rc = fh_zone_find_block(z, o->addr, &block);

    FH_ASSERT(rc == 0);
    fh_errands_forget(&z->errands, fh_page_of_addr(block.addr),
                      fh_page_add(fh_page_of_addr(block.addr), block.room_bytes >> FH_PAGE_SHIFT));
    fh_zone_forget_durable(z, o);
    fh_zone_give_block(z, block.addr, block.room_bytes);
    fh_objects_give(&z->objects, o);
}

void fh_zone_drop(struct fh_zone *z, const struct fh_object *o)
{
    struct fh_name name = fh_zone_name(z, o);

    if (name.size > 0)
        fh_directory_remove(&z->directory, &name, o->id);
    fh_zone_drop_nameless(z, o);
}

void fh_zone_drop_nameless(struct fh_zone *z, const struct fh_object *o)
{
    FH_ASSERT(fh_object_key(o) != 0);
    FH_ASSERT(!fh_object_is_coming(o));
    FH_ASSERT(!fh_object_is_going(o));
    fh_zone_unpin(z, o->addr, fh_object_size(o));
    fh_zone_forget_home(z, o);
    fh_extras_give(&z->extras, fh_object_extra(o));
    if (o->small)
        zone_drop_small(z, o);
    else
        zone_drop_of_pages(z, o);
}

/* --- by handle --- */

int fh_zone_hand_out(struct fh_zone *z, const struct fh_object *o, uint64_t ttl_ms,
                     struct fh_object_view *out)
{
    int rc = fh_zone_set_extra(z, o, NULL, 0, ttl_ms);

    if (rc != 0)
        fh_zone_drop(z, o);
    else
        fh_zone_describe(z, o, out);
    return rc;
}

int fh_zone_alloc(struct fh_zone *z, uint32_t tenant, uint64_t size, uint64_t ttl_ms,
                  struct fh_object_view *out)
{
    struct fh_object o;
    int rc = fh_zone_make(z, tenant, size, &o);

    return rc != 0 ? rc : fh_zone_hand_out(z, &o, ttl_ms, out);
}

int fh_zone_free(struct fh_zone *z, const struct fh_ref *ref)
{
    struct fh_object o;
    int rc = fh_zone_resolve(z, ref, &o);

    if (rc != 0)
        return rc;
    if (fh_object_is_kept(&o) || fh_object_is_coming(&o) || fh_object_is_going(&o))
        return -EAGAIN;
    struct fh_file *file = fh_zone_is_durable(z, &o) ? NULL : fh_zone_file_of(z, &o);
    if (file && --file->opens > 0)
        return 0; /* others have it open */
    fh_zone_drop(z, &o);
    return 0;
}

int fh_zone_find(struct fh_zone *z, const struct fh_ref *ref, struct fh_object_view *out)
{
    struct fh_object o;
    int rc = fh_zone_resolve(z, ref, &o);

    if (rc == 0)
        fh_zone_describe(z, &o, out);
    return rc;
}

int fh_zone_stat(struct fh_zone *z, const struct fh_ref *ref, struct fh_object_view *out)
{
    struct fh_object o;
    int rc = fh_zone_resolve(z, ref, &o);

    if (rc != 0)
        return rc;
    struct fh_addr start = fh_object_addr(&o, 0);
    fh_zone_describe(z, &o, out);
    fh_pager_count(&z->pager, fh_page_of_addr(start),
                   fh_pages_of_range(start, fh_max_u64(out->size, 1)), &out->pages);
    out->pages.pinned = fh_pins_pages(&z->pager.pins, start, (struct fh_addr){start.v + out->size});
    return 0;
}

/* Notes a lost page of the object, as far as it belongs to it. */
static void lost_add(struct fh_lost *lost, const struct fh_object *o, struct fh_page page)
{
    uint64_t start = fh_object_addr(o, 0).v, from = fh_addr_of_page(page).v;
    uint64_t offset = from > start ? from - start : 0;
    uint64_t end = fh_min_u64(from + FH_PAGE_SIZE - start, fh_object_size(o));

    if (lost->size == 0)
        *lost = (struct fh_lost){.offset = offset, .size = end - offset};
    else if (!lost->more && offset == lost->offset + lost->size)
        lost->size += end - offset;
    else
        lost->more = true;
}

int fh_zone_lost(struct fh_zone *z, const struct fh_ref *ref, uint64_t offset, uint64_t size,
                 struct fh_lost *out)
{
    struct fh_object o;
    int rc = fh_zone_resolve(z, ref, &o);

    *out = (struct fh_lost){0};
    if (rc != 0)
        return rc;
    uint64_t whole = fh_object_size(&o);
    if (offset >= whole || size == 0)
        return 0;
    struct fh_addr at = fh_object_addr(&o, offset);
    struct fh_page page = fh_page_of_addr(at);
    struct fh_page end = fh_page_add(page, fh_pages_of_range(at, fh_min_u64(size, whole - offset)));
    for (page = fh_pagetable_next(&z->pager.table, page, end); page.v < end.v;
         page = fh_pagetable_next(&z->pager.table, fh_page_add(page, 1), end))
        if (fh_entry_state(fh_pagetable_get(&z->pager.table, page)) == FH_PAGE_FAILED)
            lost_add(out, &o, page);
    return 0;
}
