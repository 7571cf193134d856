/*
 * zone_rig: a zone over the fake disk or a real backend, and its operations as calls that return when they are over.
 */
#ifndef FH_TESTS_ZONE_RIG_H
#define FH_TESTS_ZONE_RIG_H

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/zone.h"
#include "tests/support/fake_disk.h"
#include "tests/support/rng.h"

enum { ZONE_TURNS_MAX = 5000, ZONE_TENANT = 1, ZONE_CHUNK_ORDER = 3 };

struct zone_rig {
    struct fh_zone zone;
    struct fh_fake_disk *disk;
    struct fh_io *real; /* a backend that a test sets before it opens; NULL: the fake disk */
    struct rng keys;
    uint64_t now_ms;
    uint64_t fail_at; /* request for memory that fails during init; 0 = none */
    bool fail_from_there_on;
};

static const struct fh_cond any_time = {0};

static inline struct fh_io *zone_io(const struct zone_rig *g)
{
    return g->real ? g->real : &g->disk->io;
}

/* Asked first in fh_zone_init, before any memory: so a failure can be planned there. */
static inline void zone_rig_random(void *ctx, void *buf, size_t size)
{
    struct zone_rig *g = ctx;

    if (g->zone.mem.calls == 0 && g->fail_at != 0) {
        g->zone.mem.fail_at = g->fail_at;
        g->zone.mem.fail_from_there_on = g->fail_from_there_on;
    }
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)buf)[i] = (uint8_t)rng_next(&g->keys);
}

static inline int zone_rig_init(struct zone_rig *g, uint64_t frames, uint64_t slots,
                                uint32_t hold_max)
{
    g->keys = (struct rng){77};
    g->now_ms = 5000;
    g->disk = g->real ? NULL : fh_fake_disk_create(13);
    cr_assert(g->real || g->disk);
    memset(&g->zone, 0xA5, sizeof(g->zone));
    return fh_zone_init(&g->zone,
                        &(struct fh_zone_opts){.memory_bytes = frames * FH_PAGE_SIZE,
                                               .chunk_order = ZONE_CHUNK_ORDER,
                                               .swap_bytes = slots * FH_PAGE_SIZE,
                                               .swap_dir = "/var/tmp",
                                               .io = zone_io(g),
                                               .random = zone_rig_random,
                                               .random_ctx = g,
                                               .hold_max = hold_max},
                        g->now_ms);
}

static inline void zone_open(struct zone_rig *g, uint64_t frames, uint64_t slots, uint32_t hold_max)
{
    g->fail_at = 0;
    int rc = zone_rig_init(g, frames, slots, hold_max);
    cr_assert_eq(rc, 0, "%s", strerror(-rc));
}

static inline void zone_check(struct zone_rig *g)
{
    cr_assert(fh_zone_check(&g->zone, stderr));
}

static inline bool zone_turn(struct zone_rig *g)
{
    struct pollfd ready = {.fd = zone_io(g)->event_fd, .events = POLLIN};

    if (!g->disk) {
        fh_io_flush(zone_io(g));
        if (zone_io(g)->in_flight > 0)
            (void)poll(&ready, 1, 100);
    }
    return fh_zone_turn(&g->zone, g->now_ms += 10);
}

static inline bool zone_is_busy(const struct zone_rig *g)
{
    return zone_io(g)->in_flight > 0 || g->zone.graves.stats.blocks > 0;
}

static inline void zone_quiet(struct zone_rig *g)
{
    for (uint32_t i = 0; i < ZONE_TURNS_MAX && zone_is_busy(g); i++)
        (void)zone_turn(g);
    cr_assert_not(zone_is_busy(g));
}

/* Nothing of anybody is left. */
static inline void zone_expect_empty(struct zone_rig *g)
{
    struct fh_zone_stats s;

    zone_quiet(g);
    zone_check(g);
    fh_heap_trim(&g->zone.heap);
    fh_zone_stats(&g->zone, &s);
    cr_assert_eq(s.objects, 0);
    cr_assert_eq(s.names, 0);
    cr_assert_eq(s.object_bytes, 0);
    cr_assert_eq(s.pager.frames_free, s.pager.frames_total, "every frame is free");
    cr_assert_eq(s.pager.swap.slots_used, 0, "every slot is free");
    cr_assert_eq(s.pager.pages_frame + s.pager.pages_slot + s.pager.pages_failed, 0);
    cr_assert_eq(s.pager.live, 0);
    cr_assert_eq(s.pager.parked_now, 0);
    cr_assert_eq(g->zone.pager.claimed, 0);
    cr_assert_eq(g->zone.pager.reserved, 0);
    cr_assert_eq(g->zone.pager.rings.count, 0);
    cr_assert_eq(s.heap.allocs, s.heap.frees, "every block is free");
}

static inline void zone_close(struct zone_rig *g)
{
    zone_quiet(g);
    zone_check(g);
    fh_zone_fini(&g->zone);
    cr_assert_eq(g->zone.mem.used_bytes, 0);
    fh_io_destroy(zone_io(g));
}

/* What a call came to, after as many turns as it takes. */
static inline int zone_wait(struct zone_rig *g, struct fh_call *call, int rc)
{
    if (rc != -EINPROGRESS)
        return rc;
    for (uint32_t i = 0; i < ZONE_TURNS_MAX && call->state != FH_CALL_IDLE; i++)
        (void)zone_turn(g);
    cr_assert_eq(call->state, FH_CALL_IDLE, "it waits for ever");
    return call->rc;
}

static inline void zone_fill(uint8_t *bytes, uint64_t what, uint64_t size)
{
    struct rng r = {what};
    for (uint64_t i = 0; i < size; i++)
        bytes[i] = what == 0 ? 0 : (uint8_t)(rng_next(&r) >> 13);
}

/* --- operations --- */

static inline struct fh_object_view zone_alloc(struct zone_rig *g, uint64_t size)
{
    struct fh_object_view v;
    int rc = fh_zone_alloc(&g->zone, ZONE_TENANT, size, 0, &v);

    cr_assert_eq(rc, 0, "%s", strerror(-rc));
    return v;
}

/* The mutation in *m, ended. On 0, *v is the object after it. */
static inline int zone_mutate(struct zone_rig *g, struct fh_mutation *m, struct fh_object_view *v)
{
    m->ref = v->ref;
    int rc = zone_wait(g, &m->call, fh_zone_mutate(&g->zone, m));
    if (rc == 0)
        *v = m->object;
    return rc;
}

static inline int zone_write(struct zone_rig *g, struct fh_object_view *v, uint64_t offset,
                             const void *body, uint64_t size)
{
    static struct fh_mutation m;
    m = (struct fh_mutation){.kind = FH_MUTATE_WRITE, .offset = offset, .body = body, .size = size};
    return zone_mutate(g, &m, v);
}

static inline int zone_zero(struct zone_rig *g, struct fh_object_view *v, uint64_t offset,
                            uint64_t size)
{
    static struct fh_mutation m;
    m = (struct fh_mutation){.kind = FH_MUTATE_ZERO, .offset = offset, .size = size};
    return zone_mutate(g, &m, v);
}

static inline int zone_resize(struct zone_rig *g, struct fh_object_view *v, uint64_t size)
{
    static struct fh_mutation m;
    m = (struct fh_mutation){.kind = FH_MUTATE_RESIZE, .size = size};
    return zone_mutate(g, &m, v);
}

/* Takes what a reader offers, all of it, and closes it. */
static inline int zone_drain(struct zone_rig *g, struct fh_reader *r, int rc, uint8_t *out)
{
    rc = zone_wait(g, &r->call, rc);
    while (rc == 0 && r->iov_count > 0) {
        size_t window = r->window_bytes;
        for (uint32_t i = 0; i < r->iov_count; i++) {
            memcpy(out, r->iov[i].iov_base, r->iov[i].iov_len);
            out += r->iov[i].iov_len;
        }
        fh_reader_release(r, window);
        rc = zone_wait(g, &r->call, fh_reader_next(r));
    }
    return rc;
}

static inline int zone_read(struct zone_rig *g, const struct fh_ref *ref, uint64_t offset,
                            void *out, uint64_t size)
{
    static struct fh_reader r;

    memset(&r.call, 0, sizeof(r.call));
    int opened = fh_reader_open(&g->zone, &r, ref, offset, size);
    int rc = zone_drain(g, &r, opened, out);
    if (opened == 0 || opened == -EINPROGRESS)
        fh_reader_close(&r);
    return rc;
}

/* All its bytes are what zone_fill made of `what`. */
static inline void zone_expect(struct zone_rig *g, const struct fh_object_view *v, uint64_t what,
                               uint64_t size)
{
    uint8_t *got = malloc(size + 1), *expected = malloc(size + 1);

    zone_fill(expected, what, size);
    int rc = zone_read(g, &v->ref, 0, got, size);
    cr_assert_eq(rc, 0, "%s", strerror(-rc));
    cr_assert_eq(memcmp(got, expected, size), 0);
    free(got);
    free(expected);
}

static inline int zone_put(struct zone_rig *g, const char *name, const void *body, size_t size,
                           uint64_t ttl_ms, const struct fh_cond *cond, struct fh_object_view *v)
{
    static struct fh_put put;
    put = (struct fh_put){.tenant = ZONE_TENANT,
                          .name = name,
                          .name_size = strlen(name),
                          .body = body,
                          .body_size = size,
                          .ttl_ms = ttl_ms,
                          .cond = *cond};
    int rc = zone_wait(g, &put.call, fh_zone_put(&g->zone, &put));
    if (rc == 0 && v)
        *v = put.object;
    return rc;
}

/* Receives the whole body, in windows as they come. */
static inline int zone_receive(struct zone_rig *g, struct fh_stage *s, const uint8_t *body)
{
    while (s->received < s->size) {
        int rc = zone_wait(g, &s->call, fh_stage_window(s));
        if (rc != 0)
            return rc;
        size_t got = 0;
        for (uint32_t i = 0; i < s->iov_count; i++) {
            memcpy(s->iov[i].iov_base, body + s->received + got, s->iov[i].iov_len);
            got += s->iov[i].iov_len;
        }
        cr_assert_gt(got, 0);
        fh_stage_advance(s, got);
    }
    return 0;
}

/* A staged write, or with a name a staged put; aborted when it fails. */
static inline int zone_stage(struct zone_rig *g, struct fh_object_view *v, const char *name,
                             uint64_t offset, const uint8_t *body, uint64_t size)
{
    static struct fh_stage s;

    memset(&s.call, 0, sizeof(s.call));
    int rc = fh_stage_open(&g->zone, &s, ZONE_TENANT, size, (uint32_t)(offset % FH_PAGE_SIZE));
    if (rc != 0)
        return rc;
    if ((rc = zone_receive(g, &s, body)) == 0)
        rc = zone_wait(g, &s.call,
                       name ? fh_stage_put(&s, name, strlen(name), 0, &any_time)
                            : fh_stage_write(&s, &v->ref, offset, &any_time));
    if (rc == 0)
        *v = s.object;
    else
        fh_stage_abort(&s);
    return rc;
}

/* Reclaim wants every frame from now on, or none. */
static inline void zone_press(struct zone_rig *g, bool on)
{
    g->zone.reclaim.low = g->zone.reclaim.high = on ? g->zone.pager.frames.total : 0;
    g->zone.reclaim.running = on;
}

/* All that can leave memory does. */
static inline void zone_evict(struct zone_rig *g)
{
    zone_press(g, true);
    for (uint32_t i = 0; i < 200 && (g->zone.pager.mapped > 0 || zone_io(g)->in_flight > 0); i++)
        (void)zone_turn(g);
    zone_press(g, false);
}

/* The page table's word for the page that holds this byte of the object. */
static inline struct fh_entry zone_entry(struct zone_rig *g, const struct fh_object_view *v,
                                         uint64_t offset)
{
    return fh_pagetable_get(&g->zone.pager.table,
                            fh_page_of_addr((struct fh_addr){v->ref.addr.v + offset}));
}

/* One bit of that page's place on the disk goes wrong. */
static inline void zone_flip(struct zone_rig *g, const struct fh_object_view *v, uint64_t offset)
{
    struct fh_slot slot = fh_entry_slot(zone_entry(g, v, offset));
    uint8_t *bytes = fh_fake_disk_page(g->disk, (uint64_t)(slot.v - 1) * FH_PAGE_SIZE);

    cr_assert_not_null(bytes);
    bytes[77] ^= 1;
}

#endif
