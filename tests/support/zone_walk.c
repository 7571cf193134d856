/* The walk itself: its zone, its steps that never wait, its end. */
#include "tests/support/zone_walk_private.h"

#include <errno.h>
#include <string.h>

#include "alloc/bits.h"

void walk_random_bytes(void *ctx, void *buf, size_t size)
{
    struct rng *r = ctx;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)buf)[i] = (uint8_t)rng_next(r);
}

size_t zone_walk_name(uint32_t i, char name[16])
{
    return (size_t)snprintf(name, 16, "name/%u", i);
}

void zone_walk_init(struct zone_walk *w, uint64_t seed, const struct walk_opts *o)
{
    *w = (struct zone_walk){.random = {seed},
                            .now_ms = 1000,
                            .frames_max = o->frames_max,
                            .files = o->files,
                            .faults = o->faults};
    w->disk = fh_fake_disk_create(seed);
    w->disk->delay_max = o->disk_delay_max;
    w->disk->reorder = true;
    if (o->faults) {
        w->disk->permille[FH_DISK_EIO] = 20;
        w->disk->permille[FH_DISK_SHORT] = 10;
    }
    int rc = fh_zone_init(&w->zone,
                          &(struct fh_zone_opts){.memory_bytes = o->frames * FH_PAGE_SIZE,
                                                 .memory_max_bytes = o->frames_max * FH_PAGE_SIZE,
                                                 .chunk_order = o->chunk_order,
                                                 .pin_permille = o->pin_permille,
                                                 .region = o->region,
                                                 .source = o->source,
                                                 .swap_bytes = o->slots * FH_PAGE_SIZE,
                                                 .swap_dir = "/var/tmp",
                                                 .io = &w->disk->io,
                                                 .random = walk_random_bytes,
                                                 .random_ctx = &w->random,
                                                 .hold_max = o->hold_max,
                                                 .readahead_max = 8},
                          w->now_ms);
    if (rc != 0)
        WRONG(w, "init: %d", rc);
    w->zone.graves.slice = w->zone.graves.left = 5; /* so that most blocks are freed over turns */
    for (uint32_t i = 0; i < WALK_CALLS; i++)
        w->calls[i].walk = w;
}

static void begin_alloc(struct zone_walk *w, uint32_t i)
{
    struct walk_object *o = &w->objects[i];
    uint64_t size = rng_percent(&w->random, 50) ? rng_below(&w->random, 700)
                                                : rng_below(&w->random, WALK_SIZE_MAX);
    struct fh_object_view view;

    if (o->live || o->busy || o->readers > 0)
        return;
    int rc = fh_zone_alloc(&w->zone, 1, size, 0, &view);
    if (rc != 0) {
        WRONG(w, "alloc: %d", rc);
        return;
    }
    walk_object_version(o, size);
    o->live = true;
    walk_object_is(o, &view);
}

/* Makes the object's file, with bytes; or gives the one it had a descriptor again. */
static bool file_prepare(struct zone_walk *w, struct walk_object *o, uint64_t number)
{
    struct walk_file *f = &o->file;

    if (f->disk) {
        if (fh_backing_known(&w->zone.pager.backing, (struct fh_file_id){1, number}))
            return false; /* it is still in use by what was being written */
        walk_file_check(w, o);
        fh_fake_disk_reopen(w->disk, f->disk);
        return true;
    }
    f->disk = fh_fake_disk_file(w->disk, rng_below(&w->random, WALK_SIZE_MAX));
    walk_random_bytes(&w->random, f->disk->bytes, f->disk->size);
    memcpy(f->disk->safe, f->disk->bytes, f->disk->size);
    return true;
}

static void begin_file(struct zone_walk *w, uint32_t i)
{
    struct walk_object *o = &w->objects[i];
    struct fh_object_view view;

    if (o->live || o->busy || o->syncing || o->readers > 0 || !file_prepare(w, o, i))
        return;
    const struct fh_file_source source = {
        .fd = o->file.disk->fd, .id = {1, i}, .size_bytes = o->file.disk->size, .may_write = true};
    int rc = fh_zone_file_open(&w->zone, 1, &source, true, &view);
    if (rc != 0) {
        WRONG(w, "open: %d", rc);
        return;
    }
    walk_object_forget(o, 0);
    memcpy(walk_object_version(o, source.size_bytes), o->file.disk->bytes, source.size_bytes);
    walk_file_forget(&o->file, o->file.count);
    walk_file_note(&o->file, o->file.disk->safe); /* what was not synced may be lost */
    walk_file_note(&o->file, o->file.disk->bytes);
    o->of_file = o->live = true;
    walk_object_is(o, &view);
    w->opened++;
}

static void begin_alloc_typed(struct zone_walk *w, uint32_t i)
{
    struct walk_object *o = &w->objects[i];
    uint32_t n = (uint32_t)rng_below(&w->random, WALK_CACHES);
    struct walk_cache *cache = &w->caches[n];
    struct fh_object_view view;
    char name[16];

    if (o->live || o->busy || o->readers > 0)
        return;
    uint64_t size = rng_percent(&w->random, 50) ? cache->object_size
                                                : rng_below(&w->random, cache->object_size + 1);
    int rc = fh_zone_alloc_typed(&w->zone, 1, name, zone_walk_name(n, name), size, 0, &view);
    if (rc != (cache->exists ? 0 : -ENOENT))
        WRONG(w, "alloc from cache %u: %d", n, rc);
    if (rc != 0)
        return;
    o->cache = cache;
    walk_object_version(o, size);
    o->live = true;
    walk_object_is(o, &view);
    w->typed++;
}

static bool cache_is_used(const struct zone_walk *w, const struct walk_cache *cache)
{
    for (uint32_t i = 0; i < WALK_OBJECTS; i++)
        if (w->objects[i].live && w->objects[i].cache == cache)
            return true;
    return false;
}

static void cache_destroy(struct zone_walk *w, uint32_t n)
{
    struct walk_cache *cache = &w->caches[n];
    char name[16];
    int rc = fh_zone_cache_destroy(&w->zone, 1, name, zone_walk_name(n, name));

    if (rc != (cache_is_used(w, cache) ? -EBUSY : 0))
        WRONG(w, "destroy of cache %u: %d", n, rc);
    cache->exists = rc != 0;
}

static void cache_create(struct zone_walk *w, uint32_t n)
{
    struct walk_cache *cache = &w->caches[n];
    struct fh_cache_spec spec;
    char name[16];

    cache->object_size = rng_percent(&w->random, 50) ? rng_between(&w->random, 1, 700)
                                                     : rng_between(&w->random, 1, FH_SLAB_SIZE_MAX);
    memset(cache->initial, 0, sizeof(cache->initial));
    spec = (struct fh_cache_spec){.name = name,
                                  .name_size = zone_walk_name(n, name),
                                  .object_size = cache->object_size,
                                  .alignment = UINT64_C(1) << rng_below(&w->random, 13),
                                  .initial = cache->initial,
                                  .initial_size = rng_below(&w->random, cache->object_size + 1)};
    for (uint64_t i = 0; i < spec.initial_size; i++)
        cache->initial[i] = (uint8_t)rng_next(&w->random);
    int rc = fh_zone_cache_create(&w->zone, 1, &spec);
    if (rc != 0)
        WRONG(w, "create of cache %u: %d", n, rc);
    cache->exists = rc == 0;
}

static void begin_cache(struct zone_walk *w)
{
    uint32_t n = (uint32_t)rng_below(&w->random, WALK_CACHES);

    if (w->caches[n].exists)
        cache_destroy(w, n);
    else
        cache_create(w, n);
}

static void begin_free(struct zone_walk *w, uint32_t i)
{
    struct walk_object *o = &w->objects[i];
    struct fh_cond none = {0};
    char name[16];
    int rc;

    if (!o->live || o->busy)
        return;
    rc = o->named && rng_percent(&w->random, 50)
             ? fh_zone_delete(&w->zone, 1, name, zone_walk_name(i, name), &none)
             : fh_zone_free(&w->zone, &o->ref);
    if (rc != 0)
        WRONG(w, "free: %d", rc);
    struct fh_object_view view;
    if (fh_zone_find(&w->zone, &o->ref, &view) != -ESTALE)
        WRONG(w, "a freed object is still there");
    walk_object_die(o);
}

/* Another budget, from the least there can be to the most. */
static void begin_budget(struct zone_walk *w)
{
    uint64_t least = 2 * (uint64_t)w->zone.opts.hold_max;
    int rc = fh_zone_set_memory(
        &w->zone, rng_between(&w->random, least, w->frames_max) * FH_PAGE_SIZE, false);

    if (rc != 0)
        WRONG(w, "budget: %d", rc);
    w->budgets++;
}

void zone_walk_step(struct zone_walk *w)
{
    struct walk_call *c = &w->calls[rng_below(&w->random, WALK_CALLS)];
    uint64_t dice = rng_below(&w->random, 100);

    w->steps++;
    if (c->kind == WALK_STAGE)
        walk_go_on_with_stage(w, c);
    else if (c->kind != WALK_IDLE && dice < 5)
        walk_cancel(w, c);
    if (c->kind == WALK_IDLE) {
        c->object = (uint32_t)rng_below(&w->random, WALK_OBJECTS);
        if (dice < 7)
            begin_alloc_typed(w, c->object);
        else if (dice < 12)
            begin_alloc(w, c->object);
        else if (dice < 18)
            begin_free(w, c->object);
        else if (dice < 45)
            walk_begin_mutation(w, c);
        else if (dice < 70)
            walk_begin_read(w, c);
        else if (dice < 75)
            walk_begin_advise(w, c);
        else if (dice < 90)
            walk_begin_stage(w, c);
        else if (dice < 92)
            begin_cache(w);
        else if (dice < 94 && w->frames_max > 0)
            begin_budget(w);
        else if (dice < 97 && w->files)
            begin_file(w, c->object);
        else if (w->files && dice >= 97)
            walk_begin_sync_of_some(w, c);
    }
    if (dice % 3 == 0)
        (void)fh_zone_turn(&w->zone, w->now_ms += rng_below(&w->random, 30));
}

void zone_walk_settle(struct zone_walk *w)
{
    for (uint32_t turns = 0; turns < 100000; turns++) {
        uint32_t busy = 0;
        for (uint32_t i = 0; i < WALK_CALLS; i++) {
            busy += w->calls[i].kind != WALK_IDLE;
            if (w->calls[i].kind == WALK_STAGE)
                walk_go_on_with_stage(w, &w->calls[i]);
        }
        if (busy == 0)
            return;
        (void)fh_zone_turn(&w->zone, w->now_ms += 20);
    }
    WRONG(w, "calls wait for ever: %u parked", w->zone.pager.line.count);
}

void zone_walk_fini(struct zone_walk *w)
{
    memset(w->disk->permille, 0, sizeof(w->disk->permille));
    w->now_ms += 1000; /* past every back-off */
    zone_walk_settle(w);
    for (uint32_t i = 0; i < WALK_OBJECTS; i++) {
        struct walk_call *c = &w->calls[0];
        if (!w->objects[i].live)
            continue;
        c->object = i;
        walk_begin_read(w, c);
        zone_walk_settle(w);
        walk_begin_sync(w, c);
        zone_walk_settle(w);
        begin_free(w, i);
    }
    while (w->disk->io.in_flight > 0 || w->zone.graves.stats.blocks > 0 || w->zone.pager.pins_left)
        (void)fh_zone_turn(&w->zone, w->now_ms += 20);
    struct fh_zone_stats stats;
    fh_zone_stats(&w->zone, &stats);
    if (stats.objects != 0 || stats.names != 0 ||
        stats.pager.frames_free != stats.pager.frames_total || stats.pager.live != 0 ||
        w->zone.pager.claimed != 0 || w->zone.pager.rings.count != 0 ||
        stats.pager.pages_pinned != 0 || stats.pager.frames_pinned != 0 ||
        stats.pager.swap.slots_used != 0 || stats.pager.pages_slot != 0)
        WRONG(w, "left behind: %llu objects, %llu frames, %llu live pages, %llu slots",
              (unsigned long long)stats.objects,
              (unsigned long long)(stats.pager.frames_total - stats.pager.frames_free),
              (unsigned long long)stats.pager.live,
              (unsigned long long)stats.pager.swap.slots_used);
    for (uint32_t i = 0; i < WALK_OBJECTS; i++)
        walk_object_forget(&w->objects[i], 0);
    for (uint32_t i = 0; i < WALK_OBJECTS; i++)
        walk_file_free(&w->objects[i].file);
    fh_zone_fini(&w->zone);
    fh_io_destroy(&w->disk->io);
}
