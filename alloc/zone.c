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
 * A small object may be moved to another place (moves.c); its handle still says the first one.
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
 * Here is its life: what it is made of, its turns, its memory. Objects are in zone_objects.c, the
 * operations on them in a file per kind, the recount in zone_check.c.
 *
 * Invariants
 *   [I1] a live record's address is the start of a block that leads to the record
 *   [I2] a record's name leads back to the record
 *   [I3] an object of a typed cache is no longer than the cache's objects
 *   [I4] a record expires if and only if its extra says when; every extra is one record's, every
 *        name in the directory too
 *   [I5] an object lies where its handle says, or its key leads to it in `moved`; nothing else does
 *   [I6] every byte that is pinned is one of a live object
 */
#include "zone.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "zone_private.h"

enum { EXPIRY_LOOKS = 1024, VERSION_START_BITS = 40 };

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
                                                    .hold_max = o->hold_max,
                                                    .readahead_max = o->readahead_max,
                                                    .pin_permille = o->pin_permille,
                                                    .make_room = zone_make_room,
                                                    .room_comes = fh_zone_moves_make_room,
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
    if (o.pin_permille == 0)
        o.pin_permille = FH_PIN_PERMILLE;
    else if (o.pin_permille == FH_PIN_NEVER)
        o.pin_permille = 0;
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
    fh_errands_init(&z->errands);
    fh_graves_init(&z->graves, &z->mem, &z->heap, &z->pager);
    z->graves.elsewhere = fh_zone_view_left;
    z->graves.ctx = z;
    if ((rc = zone_init_names(z)) != 0)
        goto out_pager;
    if ((rc = fh_zone_moves_init(z)) != 0)
        goto out_names;
    if ((rc = fh_zone_poison_init(z)) != 0)
        goto out_moves;
    if ((rc = fh_zone_durables_init(z)) != 0)
        goto out_durables;
    return 0;

out_durables:
    z->data_failed = true;
    fh_zone_poison_fini(z);
out_moves:
    fh_zone_moves_fini(z);
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
    fh_zone_moves_fini(z);
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
    fh_zone_moves_turn(z, &more);
    fh_pager_pump(&z->pager);
    more = fh_pager_pins_turn(&z->pager) || more;
    more = fh_reclaim_turn(&z->reclaim, now_ms) || more;
    more = fh_errands_turn(&z->errands, &z->pager, &z->reclaim, now_ms) || more;
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
