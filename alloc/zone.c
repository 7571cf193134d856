/*
 * Theory.  A zone joins the parts into objects. An address leads through the heap to a block, the
 * block to a record, and the record says whose object it is; a name leads through the directory to
 * the same record. The pages of the block are the pager's business. Nothing of this is shared with
 * another zone, so nothing is locked.
 *
 *   handle --heap--> block --> record <--directory-- name
 *                      |
 *                    pages --pager--> frame | slot | nothing
 *
 * A freed object's record and name go at once; its pages and its block follow, over several turns if
 * they are many (graves.h), and not before the last view of it has been read: so no new object can be
 * taken for the old one.
 *
 * Versions come from one counter per zone that starts at a random number: no version ever comes
 * back, neither when a name is used again nor after a restart. (It has 44 bits: at a million
 * mutations a second they last for half a year.)
 *
 * An object of a file ends like any other, with its last fh_zone_free; while views of it are still
 * being read its pages and the file stay as they are, with `opens` 0, and the file cannot be opened
 * again until then.
 *
 * Invariants
 *   [I1] a live record's address is the start of a block that leads to the record
 *   [I2] a record's name leads back to the record
 *   [I3] an object of a typed cache is no longer than the cache's objects
 *   [I4] a record expires if and only if its extra says when; every extra is one record's, every
 *        name in the directory too
 */
#include "zone.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "bits.h"
#include "report.h"
#include "zone_private.h"

enum { EXPIRY_LOOKS = 1024, VERSION_START_BITS = 40 };

/* --- life --- */

static void zone_discard(void *ctx, struct fh_page first, uint64_t pages)
{
    struct fh_zone *z = ctx;
    fh_pager_discard(&z->pager, first, pages);
    fh_pagetable_trim(&z->pager.table, first, pages);
    fh_zone_unpoison(z, first, pages);
}

static bool zone_is_resident(void *ctx, struct fh_page page)
{
    const struct fh_zone *z = ctx;
    return fh_entry_state(fh_pagetable_get(&z->pager.table, page)) != FH_PAGE_SLOT;
}

static bool zone_make_room(void *ctx)
{
    struct fh_zone *z = ctx;
    return fh_graves_hurry(&z->graves);
}

static uint32_t permille(uint64_t frames, uint32_t share)
{
    return (uint32_t)(frames * share / 1000);
}

/* The watermarks are shares of the frames there are. */
static void zone_follow_budget(struct fh_zone *z)
{
    const struct fh_zone_opts *o = &z->opts;
    uint32_t frames = z->pager.frames.total;

    if (frames == z->frames_seen)
        return;
    z->frames_seen = frames;
    z->pager.opts.free_min = permille(frames, o->free_min_permille);
    fh_reclaim_set_marks(&z->reclaim, permille(frames, o->free_low_permille),
                         permille(frames, o->free_high_permille));
}

static int zone_init_pager(struct fh_zone *z)
{
    const struct fh_zone_opts *o = &z->opts;
    int rc;

    if ((rc = fh_pager_init(&z->pager,
                            &(struct fh_pager_opts){.mem = &z->mem,
                                                    .memory_bytes = o->memory_bytes,
                                                    .memory_max_bytes = o->memory_max_bytes,
                                                    .region = o->region,
                                                    .source = o->source,
                                                    .chunk_order = o->chunk_order,
                                                    .journal = o->journal,
                                                    .hold_max = o->hold_max,
                                                    .readahead_max = o->readahead_max,
                                                    .make_room = zone_make_room,
                                                    .ctx = z,
                                                    .swap = {.io = o->io,
                                                             .mem = &z->mem,
                                                             .dir = o->swap_dir,
                                                             .size_bytes = o->swap_bytes,
                                                             .zone = o->index,
                                                             .random = o->random,
                                                             .random_ctx = o->random_ctx}})) != 0)
        return rc;
    fh_reclaim_init(&z->reclaim, &z->pager, 0, 0);
    zone_follow_budget(z);
    return 0;
}

static struct fh_name name_of(const void *ctx, uint64_t object)
{
    const struct fh_zone *z = ctx;
    struct fh_object o = fh_objects_at(&z->objects, object);

    return fh_zone_name(z, &o);
}

static int zone_init_names(struct fh_zone *z)
{
    uint8_t hash_key[16];
    int rc;

    if ((rc = fh_objects_init(&z->objects, &z->mem, &z->heap.slab)) != 0)
        return rc;
    if ((rc = fh_extras_init(&z->extras, &z->mem)) != 0)
        goto out_objects;
    z->opts.random(z->opts.random_ctx, hash_key, sizeof(hash_key));
    if ((rc = fh_directory_init(&z->directory, &(struct fh_directory_opts){.mem = &z->mem,
                                                                           .hash_key = hash_key,
                                                                           .name_of = name_of,
                                                                           .ctx = z})) == 0)
        return 0;
    fh_extras_fini(&z->extras);
out_objects:
    fh_objects_fini(&z->objects);
    return rc;
}

static struct fh_zone_opts opts_with_defaults(const struct fh_zone_opts *given)
{
    struct fh_zone_opts o = *given;

    if (!o.system)
        o.system = fh_buddy_system_find("binary");
    if (o.hold_max == 0)
        o.hold_max = FH_HOLD_MAX;
    if (o.free_min_permille + o.free_low_permille + o.free_high_permille == 0) {
        o.free_min_permille = 10;
        o.free_low_permille = 40;
        o.free_high_permille = 60;
    }
#if defined(FH_DEEP_CHECKS) && FH_DEEP_CHECKS
    o.debug = true;
#endif
    return o;
}

int fh_zone_init(struct fh_zone *z, const struct fh_zone_opts *given, uint64_t now_ms)
{
    int rc;

    *z = (struct fh_zone){.opts = opts_with_defaults(given), .start_ms = now_ms, .now_ms = now_ms};
    z->opts.random(z->opts.random_ctx, &z->version, sizeof(z->version));
    z->version >>= 64 - VERSION_START_BITS;
    if ((rc = fh_heap_init(&z->heap, &(struct fh_heap_opts){.mem = &z->mem,
                                                            .system = z->opts.system,
                                                            .record_bytes = sizeof(struct fh_small),
                                                            .discard = zone_discard,
                                                            .resident = zone_is_resident,
                                                            .ctx = z})) != 0)
        return rc;
    fh_caches_init(&z->caches, &z->mem, &z->heap.slab);
    fh_reap_init(&z->reap, &z->heap, now_ms);
    if ((rc = zone_init_pager(z)) != 0)
        goto out_heap;
    fh_graves_init(&z->graves, &z->mem, &z->heap, &z->pager);
    z->graves.elsewhere = fh_zone_view_left;
    z->graves.ctx = z;
    if ((rc = zone_init_names(z)) != 0)
        goto out_pager;
    if ((rc = fh_zone_poison_init(z)) != 0)
        goto out_names;
    if ((rc = fh_zone_durables_init(z)) != 0)
        goto out_durables;
    return 0;

out_durables:
    z->data_failed = true;
    fh_zone_poison_fini(z);
out_names:
    fh_directory_fini(&z->directory);
    fh_extras_fini(&z->extras);
    fh_objects_fini(&z->objects);
out_pager:
    fh_pager_fini(&z->pager);
out_heap:
    fh_heap_fini(&z->heap);
    return rc;
}

void fh_zone_fini(struct fh_zone *z)
{
    while (z->opts.io->in_flight > 0) {
        struct pollfd event = {.fd = z->opts.io->event_fd, .events = POLLIN};
        fh_io_flush(z->opts.io);
        (void)poll(&event, 1, 10);
        fh_io_reap(z->opts.io);
    }
    fh_zone_durables_fini(z);
    fh_graves_fini(&z->graves);
    fh_zone_poison_fini(z);
    fh_directory_fini(&z->directory);
    fh_extras_fini(&z->extras);
    fh_objects_fini(&z->objects);
    fh_pager_fini(&z->pager);
    fh_heap_fini(&z->heap);
    fh_caches_fini(&z->caches);
    explicit_bzero(z->keys, sizeof(z->keys));
}

static void zone_expire(struct fh_zone *z)
{
    uint64_t looks = EXPIRY_LOOKS;
    struct fh_object o;

    while (fh_objects_next(&z->objects, &z->expiry_hand, &looks, &o))
        if (!fh_object_is_coming(&o) && !fh_object_is_going(&o) && fh_zone_is_expired(z, &o)) {
            fh_zone_drop(z, &o);
            z->expired++;
        }
}

/* Frames are being made free, or nothing new can be taken in. */
static bool zone_is_pressed(const struct fh_zone *z)
{
    return z->reclaim.running || fh_pager_admit(&z->pager, 1) != 0;
}

bool fh_zone_turn(struct fh_zone *z, uint64_t now_ms)
{
    bool new_tick = now_ms / FH_TICK_MS != z->now_ms / FH_TICK_MS;

    z->now_ms = now_ms;
    fh_io_reap(z->opts.io);
    bool more = fh_graves_turn(&z->graves);
    fh_zone_commits_turn(z);
    if (new_tick)
        zone_expire(z);
    fh_pager_pump(&z->pager);
    more = fh_reclaim_turn(&z->reclaim, now_ms) || more;
    more = fh_reap_turn(&z->reap, zone_is_pressed(z), now_ms) || more;
    fh_pager_pump(&z->pager);
    more = fh_pager_budget_turn(&z->pager) || more;
    zone_follow_budget(z);
    fh_io_flush(z->opts.io);
    more = more || z->pager.again;
    z->pager.again = false;
    return more;
}

int fh_zone_set_memory(struct fh_zone *z, uint64_t bytes, bool warm)
{
    if (bytes >> FH_PAGE_SHIFT < (uint64_t)2 * z->opts.hold_max ||
        bytes >> FH_PAGE_SHIFT > z->pager.frames.span)
        return -EINVAL;
    fh_pager_set_memory(&z->pager, bytes, warm);
    zone_follow_budget(z);
    return 0;
}

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
    struct fh_extra x = {
        .name = name, .name_size = (uint32_t)size, .expiry = zone_tick_after(z, ttl_ms)};
    uint32_t extra = FH_EXTRAS_NONE;
    int rc = size == 0 && x.expiry == 0 ? 0 : fh_extras_take(&z->extras, &x, &extra);

    if (rc != 0)
        return rc;
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

    if (!fh_objects_match(&o, ref->addr, ref->key, ref->tenant) || fh_zone_is_expired(z, &o))
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

    /* Field by field: a view is too large to be made beside its place and copied for every small read. */
    out->ref =
        (struct fh_ref){.addr = o->addr, .key = fh_object_key(o), .tenant = fh_object_tenant(o)};
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
    fh_object_set_place(o, block->addr, fh_object_key(o));
    fh_objects_resize(&z->objects, o, size);
    fh_zone_bump(z, o);
}

struct fh_object fh_zone_make_small(struct fh_zone *z, const struct fh_heap_block *block,
                                    uint64_t size)
{
    struct fh_object o = fh_objects_take_small(&z->objects, block, fh_zone_new_key(z));

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
    fh_zone_forget_durable(z, o);
    fh_zone_give_block(z, block.addr, block.room_bytes);
    fh_objects_give(&z->objects, o);
}

void fh_zone_drop(struct fh_zone *z, const struct fh_object *o)
{
    struct fh_name name = fh_zone_name(z, o);

    FH_ASSERT(!fh_object_is_coming(o));
    FH_ASSERT(!fh_object_is_going(o));
    if (name.size > 0)
        fh_directory_remove(&z->directory, &name, o->id);
    fh_extras_give(&z->extras, fh_object_extra(o));
    if (o->small)
        zone_drop_small(z, o);
    else
        zone_drop_of_pages(z, o);
}

/* --- by handle --- */

int fh_zone_alloc(struct fh_zone *z, uint32_t tenant, uint64_t size, uint64_t ttl_ms,
                  struct fh_object_view *out)
{
    struct fh_object o;
    int rc = fh_zone_make(z, tenant, size, &o);

    if (rc != 0)
        return rc;
    if ((rc = fh_zone_set_extra(z, &o, NULL, 0, ttl_ms)) != 0) {
        fh_zone_drop(z, &o);
        return rc;
    }
    fh_zone_describe(z, &o, out);
    return 0;
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
    int rc = fh_zone_find(z, ref, out);

    if (rc == 0)
        fh_pager_count(&z->pager, fh_page_of_addr(ref->addr),
                       fh_pages_of_range(ref->addr, fh_max_u64(out->size, 1)), &out->pages);
    return rc;
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

/* --- looking inside --- */

static uint64_t zone_metadata_bytes(const struct fh_zone *z)
{
    struct fh_pagetable_stats table;
    struct fh_objects_stats objects;
    struct fh_directory_stats directory;
    struct fh_extras_stats extras;
    struct fh_space_stats space;

    fh_space_stats(&z->heap.space, &space);
    fh_pagetable_stats(&z->pager.table, &table);
    fh_objects_stats(&z->objects, &objects);
    fh_directory_stats(&z->directory, &directory);
    fh_extras_stats(&z->extras, &extras);
    return table.bytes + objects.book_bytes + directory.book_bytes + extras.book_bytes +
           space.book_bytes + z->caches.bytes +
           (uint64_t)(z->pager.frames.total + z->pager.frames.leaving) *
               sizeof(struct fh_frame_record) +
           z->pager.swap.slots.stats.used * sizeof(struct fh_slot_record);
}

void fh_zone_stats(const struct fh_zone *z, struct fh_zone_stats *out)
{
    *out = (struct fh_zone_stats){
        .objects = z->objects.count,
        .names = z->directory.count,
        .object_bytes = z->objects.bytes,
        .expired = z->expired,
        .metadata_bytes = zone_metadata_bytes(z),
        .io_backend = z->opts.io->backend->name,
        .buddy = z->opts.system->name,
    };
    if (z->durable) {
        struct fh_catalog_stats catalog;
        fh_catalog_stats(z->durable->catalog, &catalog);
        out->durable_objects = z->durable->objects;
        out->durable_bytes = z->durable->bytes;
        out->durable_bad_records = z->durable->bad_records;
        out->commits = catalog.commits;
        out->commits_failed = z->durable->commits_failed;
    }
    fh_pager_stats(&z->pager, &out->pager);
    fh_reclaim_stats(&z->reclaim, &out->reclaim);
    fh_heap_stats(&z->heap, &out->heap);
    fh_graves_stats(&z->graves, &out->graves);
    if (z->durable && z->durable->opts.pages >= FH_ARENA_PAGES) { /* nothing uses these up */
        uint64_t pages = FH_DATA_FILES * z->durable->opts.pages;
        out->heap.space.segments -= FH_DATA_FILES;
        out->heap.space.segment_pages -= pages;
        out->heap.space.break_pages -= pages;
    }
    fh_reap_stats(&z->reap, &out->reap);
}

static void check_typed(const struct fh_zone *z, const struct fh_object *o,
                        struct fh_report *r) /* [I3] */
{
    uint32_t number = fh_object_cache(o);
    const struct fh_cache *cache = number == 0 ? NULL : z->caches.slots[number - 1];

    if (number != 0 && (!cache || cache->object_size < fh_object_size(o)))
        fh_report(r, "[I3] object %" PRIx64 ": cache %u is not for it", o->id, number);
}

/* A commit is about to take the name from another for it. */
static bool name_is_anothers(const struct fh_zone *z, const struct fh_object *o)
{
    struct fh_name name = fh_zone_name(z, o);
    uint64_t found = FH_OBJECT_NONE;

    if (!fh_object_is_coming(o) || fh_directory_find(&z->directory, &name, &found) != 0 ||
        found == o->id)
        return false;
    struct fh_object other = fh_objects_at(&z->objects, found);
    return fh_object_is_going(&other);
}

static void check_extra(const struct fh_zone *z, const struct fh_object *o,
                        struct fh_report *r) /* [I2] */
{
    struct fh_name name = fh_zone_name(z, o);
    uint64_t found = FH_OBJECT_NONE;

    if (name.size > 0 && !name_is_anothers(z, o) &&
        (fh_directory_find(&z->directory, &name, &found) != 0 || found != o->id))
        fh_report(r, "[I2] object %" PRIx64 ": its name leads elsewhere", o->id);
    if (fh_object_expires(o) != (fh_extras_get(&z->extras, fh_object_extra(o)).expiry != 0))
        fh_report(r, "[I4] object %" PRIx64 ": it %s, its extra says otherwise", o->id,
                  fh_object_expires(o) ? "expires" : "does not expire");
}

static void check_object(const struct fh_zone *z, const struct fh_object *o, struct fh_report *r)
{
    struct fh_heap_block block;

    if (fh_object_version(o) == 0)
        return; /* of a stage: it has no block of its own yet */
    if (fh_zone_find_block(z, o->addr, &block) != 0 ||
        fh_objects_of_block(&z->objects, &block).id != o->id)
        fh_report(r, "[I1] object %" PRIx64 ": its address does not lead back to it", o->id);
    check_typed(z, o, r);
    check_extra(z, o, r);
}

bool fh_zone_check(const struct fh_zone *z, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    bool parts = fh_heap_check(&z->heap, why);
    uint64_t extras = 0, names = 0, at = 0, looks = UINT64_MAX;
    struct fh_object o;

    parts = fh_pager_check(&z->pager, why) && parts;
    parts = fh_graves_check(&z->graves, why) && parts;
    parts = fh_reclaim_check(&z->reclaim, why) && parts;
    parts = fh_reap_check(&z->reap, why) && parts;
    parts = fh_objects_check(&z->objects, why) && parts;
    parts = fh_extras_check(&z->extras, why) && parts;
    parts = fh_directory_check(&z->directory, why) && parts;
    parts = fh_caches_check(&z->caches, why) && parts;
    parts = fh_zone_commits_check(z, why) && parts;
    if (parts)
        fh_zone_poison_check(z, &r);
    while (fh_objects_next(&z->objects, &at, &looks, &o)) {
        check_object(z, &o, &r);
        extras += fh_object_extra(&o) != FH_EXTRAS_NONE;
        names += fh_zone_name(z, &o).size > 0 && !name_is_anothers(z, &o);
    }
    if (extras != z->extras.count || names != z->directory.count)
        fh_report(&r,
                  "[I4] objects have %" PRIu64 " extras and %" PRIu64 " names; there are %" PRIu64
                  " and %" PRIu64,
                  extras, names, z->extras.count, z->directory.count);
    return parts && r.broken == 0;
}

void fh_zone_dump(const struct fh_zone *z, FILE *out)
{
    fprintf(out, "zone %u, version %llu\n", z->opts.index, (unsigned long long)z->version);
    fh_objects_dump(&z->objects, out);
    fh_extras_dump(&z->extras, out);
    fh_directory_dump(&z->directory, out);
    fh_caches_dump(&z->caches, out);
    fh_heap_dump(&z->heap, out);
    fh_reap_dump(&z->reap, out);
    fh_graves_dump(&z->graves, out);
    fh_reclaim_dump(&z->reclaim, out);
    fh_pager_dump(&z->pager, out);
    if (z->durable)
        fh_durable_dump(z->durable, out);
}
