/*
 * durable_rig: a zone with a data directory, over real files, that can be closed and opened again.
 * Its disk may be told to fail.
 */
#ifndef FH_TESTS_DURABLE_RIG_H
#define FH_TESTS_DURABLE_RIG_H

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/zone.h"
#include "tests/support/rng.h"

enum { DURABLE_FRAMES = 512, DURABLE_SLOTS = 4096, DURABLE_TENANT = 1 };

struct durable_rig {
    struct fh_zone zone;
    struct fh_io *io;
    struct fh_io_backend hooked; /* the backend's, but for submit */
    const struct fh_io_backend *real;
    struct rng random;
    uint64_t now_ms, wall_ms, data_pages;
    int fail_fd; /* writes to this descriptor fail; -1 = none */
    bool fail_syncs;
    uint64_t fail_at; /* request for memory that fails during init; 0 = none */
    char folder[64];
};

static struct durable_rig *durable_hooked; /* the one rig of a test: a backend has no room for it */

static inline void durable_submit(struct fh_io *io, struct fh_transfer *t)
{
    struct durable_rig *g = durable_hooked;

    if ((g->fail_syncs && t->kind == FH_IO_DATASYNC) ||
        (g->fail_fd >= 0 && g->fail_fd == t->fd && t->kind == FH_IO_WRITE))
        t->fd = -1;
    g->real->submit(io, t);
}

static inline void durable_random(void *ctx, void *buf, size_t size)
{
    struct durable_rig *g = ctx;

    if (g->zone.mem.calls == 0 && g->fail_at != 0)
        g->zone.mem.fail_at = g->fail_at; /* asked first of all in fh_zone_init */
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)buf)[i] = (uint8_t)rng_next(&g->random);
}

static inline int durable_open_zone(struct durable_rig *g)
{
    int rc = fh_io_threads_create(2, &g->io);

    cr_assert_eq(rc, 0);
    durable_hooked = g;
    g->real = g->io->backend;
    g->hooked = *g->real;
    g->hooked.submit = durable_submit;
    g->io->backend = &g->hooked;
    return fh_zone_init(&g->zone,
                        &(struct fh_zone_opts){.memory_bytes = DURABLE_FRAMES * FH_PAGE_SIZE,
                                               .chunk_order = 3,
                                               .swap_bytes = DURABLE_SLOTS * FH_PAGE_SIZE,
                                               .swap_dir = "/var/tmp",
                                               .io = g->io,
                                               .random = durable_random,
                                               .random_ctx = g,
                                               .data_dir = g->folder,
                                               .zones = 1,
                                               .wall_ms = g->wall_ms,
                                               .data_pages = g->data_pages},
                        g->now_ms);
}

static inline void durable_set_up(struct durable_rig *g)
{
    memset(g, 0, sizeof(*g));
    g->random = (struct rng){5};
    g->now_ms = 1000;
    g->wall_ms = UINT64_C(1700000000000);
    g->data_pages = 1 << 16;
    g->fail_fd = -1;
    strcpy(g->folder, "/var/tmp/farheap-durable-XXXXXX");
    cr_assert(mkdtemp(g->folder));
    cr_assert_eq(durable_open_zone(g), 0);
}

static inline void durable_close_zone(struct durable_rig *g)
{
    fh_zone_fini(&g->zone);
    cr_expect_eq(g->zone.mem.used_bytes, 0);
    fh_io_destroy(g->io);
}

static inline void durable_tear_down(struct durable_rig *g)
{
    char command[128];

    durable_close_zone(g);
    snprintf(command, sizeof(command), "rm -rf %s", g->folder);
    cr_expect_eq(system(command), 0);
}

static inline void durable_turn(struct durable_rig *g)
{
    g->now_ms += 5;
    (void)fh_zone_turn(&g->zone, g->now_ms);
    cr_assert(fh_zone_check(&g->zone, stderr));
}

/* A turn, and a wait for what the disk or the catalog has to say. */
static inline void durable_step(struct durable_rig *g)
{
    struct pollfd p[2] = {{.fd = g->io->event_fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};

    if (g->zone.durable)
        p[1].fd = fh_catalog_event_fd(g->zone.durable->catalog);
    fh_io_flush(g->io);
    (void)poll(p, 2, 20);
    durable_turn(g);
}

/* Nothing is in flight any more. */
static inline void durable_settle(struct durable_rig *g)
{
    for (uint32_t i = 0; i < 2000; i++) {
        durable_step(g);
        if (g->io->in_flight == 0 && fh_list_is_empty(&g->zone.durable->commits))
            return;
    }
    cr_assert_fail("it does not come to rest");
}

static inline void durable_reopen(struct durable_rig *g)
{
    durable_close_zone(g);
    g->wall_ms += 10000;
    int rc = durable_open_zone(g);
    cr_assert_eq(rc, 0, "%s", strerror(-rc));
}

/* --- calls that return when they are over --- */

static bool durable_over;

static inline void durable_done(struct fh_call *call)
{
    (void)call;
    durable_over = true;
}

static inline int durable_wait(struct durable_rig *g, struct fh_call *call, int rc)
{
    if (rc != -EINPROGRESS)
        return rc;
    durable_over = false;
    for (uint32_t i = 0; i < 5000 && !durable_over; i++)
        durable_step(g);
    cr_assert(durable_over, "it never ends");
    return call->rc;
}

static inline int durable_put(struct durable_rig *g, const char *name, const void *body,
                              size_t size, bool durable)
{
    struct fh_put put = {.call = {.done = durable_done},
                         .tenant = DURABLE_TENANT,
                         .name = name,
                         .name_size = strlen(name),
                         .body = body,
                         .body_size = size,
                         .durable = durable};
    return durable_wait(g, &put.call, fh_zone_put(&g->zone, &put));
}

static inline void durable_feed(struct durable_rig *g, struct fh_stage *s, const uint8_t *body)
{
    while (s->received < s->size) {
        cr_assert_eq(durable_wait(g, &s->call, fh_stage_window(s)), 0);
        size_t fed = 0;
        for (uint32_t i = 0; i < s->iov_count; i++) {
            memcpy(s->iov[i].iov_base, body + s->received + fed, s->iov[i].iov_len);
            fed += s->iov[i].iov_len;
        }
        fh_stage_advance(s, fed);
    }
}

/* A body of any size but 0, as the server puts long ones. */
static inline int durable_put_long(struct durable_rig *g, const char *name, const uint8_t *body,
                                   size_t size)
{
    static struct fh_stage s;

    s.call.done = durable_done;
    int rc = fh_stage_open_durable(&g->zone, &s, DURABLE_TENANT, size);
    if (rc != 0)
        return rc;
    durable_feed(g, &s, body);
    rc = durable_wait(g, &s.call, fh_stage_put(&s, name, strlen(name), 0, &(struct fh_cond){0}));
    if (rc != 0)
        fh_stage_abort(&s);
    return rc;
}

static inline int durable_change(struct durable_rig *g, struct fh_change *c)
{
    c->call.done = durable_done;
    c->ref.tenant = DURABLE_TENANT;
    return durable_wait(g, &c->call, fh_zone_change(&g->zone, c));
}

static inline int durable_delete(struct durable_rig *g, const char *name)
{
    struct fh_change c = {.kind = FH_CHANGE_DELETE, .name = name, .name_size = strlen(name)};
    return durable_change(g, &c);
}

static inline int durable_lookup(struct durable_rig *g, const char *name,
                                 struct fh_object_view *out)
{
    return fh_zone_lookup(&g->zone, DURABLE_TENANT, name, strlen(name), out);
}

/* The whole object into `out`; its size, or an error. */
static inline int64_t durable_read(struct durable_rig *g, const char *name, uint8_t *out)
{
    static struct fh_reader r;
    struct fh_object_view view;
    int rc = durable_lookup(g, name, &view);
    uint64_t at = 0;

    if (rc != 0)
        return rc;
    r.call.done = durable_done;
    rc = durable_wait(g, &r.call, fh_reader_open(&g->zone, &r, &view.ref, 0, view.size));
    if (rc != 0 && !durable_over)
        return rc;
    while (rc == 0 && r.left > 0) {
        for (uint32_t i = 0; i < r.iov_count; i++) {
            memcpy(out + at, r.iov[i].iov_base, r.iov[i].iov_len);
            at += r.iov[i].iov_len;
        }
        fh_reader_release(&r, r.window_bytes);
        if (r.left > 0)
            rc = durable_wait(g, &r.call, fh_reader_next(&r));
    }
    fh_reader_close(&r);
    return rc == 0 ? (int64_t)at : rc;
}

#endif
