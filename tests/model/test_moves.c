/*
 * Many small objects, which come and go in waves so that slabs become sparse and are emptied all
 * the time, against arrays of bytes: handles, names, typed objects, expiries; some readers stay
 * open, some writes wait for the disk, some pages are in swap.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/zone_rig.h"

enum { OBJECTS = 1500, BYTES_MAX = 3100, READERS = 6, WRITERS = 6, STEPS = 60000, TTL_MS = 400000 };

struct object {
    bool live, named, typed, busy;
    struct fh_ref ref;
    uint64_t version, size, gone_ms; /* gone_ms: when it expires at the latest; 0 = never */
    uint8_t bytes[BYTES_MAX];
};

struct reading {
    bool open;
    uint64_t size;
    uint8_t bytes[BYTES_MAX];
    struct fh_reader reader;
};

struct writing {
    struct fh_mutation m;
    struct walk *walk;
    uint32_t object; /* + 1; 0 = none */
    uint8_t body[BYTES_MAX];
};

struct walk {
    struct zone_rig rig;
    struct rng random;
    struct object objects[OBJECTS];
    struct reading readers[READERS];
    struct writing writers[WRITERS];
    uint8_t initial[BYTES_MAX], got[BYTES_MAX];
    uint64_t refused, parked, expired;
};

static const uint64_t sizes[] = {20, 20, 100, 100, 100, 700, 3072};

static struct fh_zone *zone(struct walk *w)
{
    return &w->rig.zone;
}

static uint32_t some(struct walk *w, uint64_t below)
{
    return (uint32_t)rng_below(&w->random, below);
}

static void some_bytes(struct walk *w, uint8_t *bytes, uint64_t size)
{
    zone_fill(bytes, rng_percent(&w->random, 10) ? 0 : rng_next(&w->random) | 1, size);
}

/* Full memory is an honest answer. */
static bool is_refused(struct walk *w, int rc)
{
    cr_assert(rc == 0 || rc == -ENOSPC, "%s", strerror(-rc));
    w->refused += rc != 0;
    return rc != 0;
}

static size_t name_of_object(uint32_t i, char name[16])
{
    return (size_t)snprintf(name, 16, "name/%u", i);
}

static void object_is(struct object *o, const struct fh_object_view *v)
{
    o->live = true;
    o->ref = v->ref;
    o->version = v->version;
    o->size = v->size;
}

static void make(struct walk *w, uint32_t i)
{
    struct object *o = &w->objects[i];
    uint64_t size = sizes[some(w, sizeof(sizes) / sizeof(sizes[0]))], ttl = 0;
    struct fh_object_view v;
    char name[16];
    int rc;

    *o = (struct object){.named = rng_percent(&w->random, 40)};
    o->typed = !o->named && rng_percent(&w->random, 20);
    if (rng_percent(&w->random, 10)) {
        ttl = 1 + some(w, TTL_MS);
        o->gone_ms = w->rig.now_ms + ttl + 200;
    }
    if (o->named) {
        some_bytes(w, o->bytes, size);
        snprintf(name, sizeof(name), "name/%u", i);
        rc = zone_put(&w->rig, name, o->bytes, size, ttl, &any_time, &v);
    } else if (o->typed) {
        size = 100;
        memcpy(o->bytes, w->initial, size);
        rc = fh_zone_alloc_typed(zone(w), ZONE_TENANT, "t", 1, size, ttl, &v);
    } else {
        rc = fh_zone_alloc(zone(w), ZONE_TENANT, size, ttl, &v);
    }
    if (!is_refused(w, rc))
        object_is(o, &v);
}

/* Whether it may be gone by now, and if it is. */
static bool has_expired(struct walk *w, struct object *o)
{
    struct fh_object_view v;

    if (o->gone_ms == 0 || fh_zone_find(zone(w), &o->ref, &v) == 0)
        return false;
    o->live = false;
    w->expired++;
    return true;
}

static void drop(struct walk *w, uint32_t i)
{
    struct object *o = &w->objects[i];
    struct fh_object_view v;
    char name[16];
    int rc;

    if (!o->live || o->busy || has_expired(w, o))
        return;
    rc = o->named && rng_percent(&w->random, 50)
             ? fh_zone_delete(zone(w), ZONE_TENANT, name, name_of_object(i, name), &any_time)
             : fh_zone_free(zone(w), &o->ref);
    cr_assert_eq(rc, 0, "%s", strerror(-rc));
    cr_assert_eq(fh_zone_find(zone(w), &o->ref, &v), -ESTALE);
    o->live = false;
}

static void write_over(struct writing *x, int rc)
{
    struct object *o = &x->walk->objects[x->object - 1];

    x->object = 0;
    o->busy = false;
    if (rc == -ESTALE && o->gone_ms > 0)
        return;
    if (is_refused(x->walk, rc))
        return;
    memcpy(o->bytes + x->m.offset, x->body, x->m.size);
    o->version = x->m.object.version;
}

static void write_done(struct fh_call *call)
{
    struct writing *x = FH_CONTAINER_OF(call, struct writing, m.call);

    write_over(x, call->rc);
}

static void begin_write(struct walk *w, uint32_t i)
{
    struct writing *x = &w->writers[some(w, WRITERS)];
    struct object *o = &w->objects[i];

    if (!o->live || o->named || o->busy || x->object != 0 || has_expired(w, o))
        return;
    uint64_t offset = some(w, o->size + 1);
    x->m = (struct fh_mutation){.kind = FH_MUTATE_WRITE,
                                .ref = o->ref,
                                .offset = offset,
                                .size = some(w, o->size - offset + 1),
                                .body = x->body};
    x->m.call.done = write_done;
    x->walk = w;
    x->object = i + 1;
    o->busy = true;
    some_bytes(w, x->body, x->m.size);
    int rc = fh_zone_mutate(zone(w), &x->m);
    w->parked += rc == -EINPROGRESS;
    if (rc != -EINPROGRESS)
        write_over(x, rc);
}

static void resize(struct walk *w, uint32_t i)
{
    struct object *o = &w->objects[i];
    uint64_t size = o->typed ? some(w, 101) : some(w, BYTES_MAX + 1);
    struct fh_object_view v = {.ref = o->ref};

    if (!o->live || o->named || o->busy || has_expired(w, o))
        return;
    o->busy = true;
    int rc = zone_resize(&w->rig, &v, size);
    o->busy = false;
    if ((rc == -ESTALE && has_expired(w, o)) || is_refused(w, rc))
        return;
    if (size > o->size)
        memset(o->bytes + o->size, 0, size - o->size);
    if (size > o->size && o->typed)
        memcpy(o->bytes + o->size, w->initial + o->size, size - o->size);
    object_is(o, &v);
}

static void publish(struct walk *w, uint32_t i)
{
    struct object *o = &w->objects[i];
    struct fh_object_view v;
    char name[16];

    if (!o->live || o->named || o->busy || has_expired(w, o))
        return;
    int rc = fh_zone_publish(zone(w), &o->ref, name, name_of_object(i, name), 0, &any_time, &v);
    cr_assert_eq(rc, 0, "%s", strerror(-rc));
    cr_assert_eq(v.ref.addr.v, o->ref.addr.v);
    o->named = true;
    o->gone_ms = 0;
    object_is(o, &v);
}

/* Another object gets the name, and this one is gone. */
static void replace(struct walk *w, uint32_t i)
{
    struct object *o = &w->objects[i];
    struct fh_object_view v;
    char name[16];

    if (!o->live || !o->named || o->busy || o->gone_ms > 0)
        return;
    (void)name_of_object(i, name);
    some_bytes(w, w->got, o->size);
    o->busy = true;
    int rc = zone_put(&w->rig, name, w->got, o->size, 0, &any_time, &v);
    o->busy = false;
    if (is_refused(w, rc))
        return;
    cr_assert_eq(fh_zone_find(zone(w), &o->ref, &v), -ESTALE);
    cr_assert_eq(fh_zone_lookup(zone(w), ZONE_TENANT, name, strlen(name), &v), 0);
    memcpy(o->bytes, w->got, o->size);
    object_is(o, &v);
}

static void verify(struct walk *w, uint32_t i)
{
    struct object *o = &w->objects[i];
    struct fh_object_view v;
    char name[16];

    if (!o->live || o->busy || has_expired(w, o))
        return;
    o->busy = true;
    int rc = zone_read(&w->rig, &o->ref, 0, w->got, o->size);
    o->busy = false;
    if (rc == -ESTALE && has_expired(w, o))
        return;
    cr_assert_eq(rc, 0, "object %u: %s", i, strerror(-rc));
    cr_assert_eq(memcmp(w->got, o->bytes, o->size), 0, "object %u has other bytes", i);
    if (!o->named || has_expired(w, o))
        return;
    rc = fh_zone_lookup(zone(w), ZONE_TENANT, name, name_of_object(i, name), &v);
    cr_assert_eq(rc, 0, "name %u: %s", i, strerror(-rc));
    cr_assert_eq(v.ref.addr.v, o->ref.addr.v);
    cr_assert_eq(v.ref.key, o->ref.key);
    cr_assert_eq(v.version, o->version);
}

/* Opens a reader, or takes what it has to give, which is what was there when it was opened. */
static void read_on(struct walk *w, uint32_t i)
{
    struct reading *r = &w->readers[some(w, READERS)];
    struct object *o = &w->objects[i];
    uint64_t at = 0;

    if (r->open) {
        for (uint32_t k = 0; k < r->reader.iov_count; k++) {
            cr_assert_eq(memcmp(r->reader.iov[k].iov_base, r->bytes + at, r->reader.iov[k].iov_len),
                         0);
            at += r->reader.iov[k].iov_len;
        }
        cr_assert_eq(at, r->size);
        fh_reader_release(&r->reader, r->size);
        fh_reader_close(&r->reader);
        r->open = false;
        return;
    }
    if (!o->live || o->busy || has_expired(w, o))
        return;
    memset(&r->reader.call, 0, sizeof(r->reader.call));
    memcpy(r->bytes, o->bytes, o->size);
    r->size = o->size;
    o->busy = true; /* its moment is that of the call, or later */
    int rc = zone_wait(&w->rig, &r->reader.call,
                       fh_reader_open(zone(w), &r->reader, &o->ref, 0, o->size));
    o->busy = false;
    r->open = rc == 0;
    cr_assert(rc == 0 || (rc == -ESTALE && o->gone_ms > 0), "%s", strerror(-rc));
    if (rc != 0)
        fh_reader_close(&r->reader);
}

static void step(struct walk *w, bool grows)
{
    uint32_t i = some(w, OBJECTS), dice = some(w, 100);

    if (dice < (grows ? 60u : 10u)) {
        if (!w->objects[i].live && !w->objects[i].busy)
            make(w, i);
    } else if (dice < 70)
        drop(w, i);
    else if (dice < 80)
        begin_write(w, i);
    else if (dice < 84)
        resize(w, i);
    else if (dice < 86)
        publish(w, i);
    else if (dice < 88)
        replace(w, i);
    else if (dice < 94)
        verify(w, i);
    else
        read_on(w, i);
    if (dice % 4 == 0)
        (void)fh_zone_turn(zone(w), w->rig.now_ms += some(w, 20));
}

/* Memory is short, or the zone rests, or neither. */
static void change_weather(struct walk *w)
{
    uint32_t dice = some(w, 3);

    zone_press(&w->rig, dice == 0 && rng_percent(&w->random, 30));
    if (dice == 0)
        zone(w)->reclaim.high = zone(w)->pager.frames.total;
    if (dice == 1) {
        (void)zone_turn(&w->rig);
        w->rig.now_ms += FH_COMPACT_IDLE_MS;
        for (uint32_t i = 0; i < 10; i++)
            (void)zone_turn(&w->rig);
    }
}

/* Nobody holds anything, so the whole zone can be checked. */
static void settle(struct walk *w)
{
    for (uint32_t i = 0; i < READERS; i++)
        if (w->readers[i].open) {
            fh_reader_release(&w->readers[i].reader, w->readers[i].size);
            fh_reader_close(&w->readers[i].reader);
            w->readers[i].open = false;
        }
    for (uint32_t i = 0; i < WRITERS; i++)
        if (w->writers[i].object != 0)
            (void)zone_wait(&w->rig, &w->writers[i].m.call, -EINPROGRESS);
    zone_check(&w->rig);
}

static void close_all(struct walk *w)
{
    zone_press(&w->rig, false);
    settle(w);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        verify(w, i);
        drop(w, i);
    }
    for (uint32_t i = 0; i < ZONE_TURNS_MAX && zone(w)->objects.count > 0; i++)
        (void)fh_zone_turn(zone(w), w->rig.now_ms += 100); /* what has expired is swept away */
    cr_assert_eq(fh_zone_cache_destroy(zone(w), ZONE_TENANT, "t", 1), 0);
    zone_expect_empty(&w->rig);
    cr_assert_eq(zone(w)->moved.count, 0);
    cr_assert_eq(zone(w)->extras.count, 0);
    zone_close(&w->rig);
}

static void walk(const char *what, uint64_t frames, uint64_t slots)
{
    struct walk *w = calloc(1, sizeof(*w));

    w->random = rng_from_env(what);
    zone_open(&w->rig, frames, slots, 8);
    w->rig.disk->delay_max = 3;
    w->rig.disk->reorder = true;
    zone_fill(w->initial, 99, BYTES_MAX);
    struct fh_cache_spec spec = {.name = "t",
                                 .name_size = 1,
                                 .object_size = 100,
                                 .initial = w->initial,
                                 .initial_size = 100};
    cr_assert_eq(fh_zone_cache_create(zone(w), ZONE_TENANT, &spec), 0);
    for (uint32_t i = 0; i < STEPS; i++) {
        step(w, i / 4000 % 2 == 0);
        if (i % 300 == 0)
            change_weather(w);
        if (i % 2000 == 0)
            settle(w);
    }
    struct fh_zone_stats s;
    fh_zone_stats(zone(w), &s);
    fprintf(stderr,
            "%s: %lu moves, %lu refused, %lu pages, %lu parked, %lu expired, %lu no space\n", what,
            (unsigned long)s.compact.moves, (unsigned long)s.compact.refused,
            (unsigned long)s.compact.pages, (unsigned long)w->parked, (unsigned long)w->expired,
            (unsigned long)w->refused);
    cr_assert_gt(s.compact.moves, 500);
    cr_assert_gt(s.compact.pages, 10);
    close_all(w);
    free(w);
}

Test(moves_walk, objects_hold_what_an_array_holds, .timeout = 120)
{
    walk("moves, all in memory", 1200, 255);
}

Test(moves_walk, some_of_them_in_swap, .timeout = 120)
{
    walk("moves, some in swap", 150, 1023);
}

Test(moves_walk, full_without_swap, .timeout = 120)
{
    walk("moves, no swap", 150, 0);
}
