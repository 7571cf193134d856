/*
 * pager_rig: a pager and its reclaim over the fake disk, and jobs that hold or write pages and may
 * have to wait. Page content is a pattern made from one number.
 */
#ifndef FH_TESTS_PAGER_RIG_H
#define FH_TESTS_PAGER_RIG_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/pager.h"
#include "alloc/reclaim.h"
#include "tests/support/fake_disk.h"
#include "tests/support/rng.h"

enum { RIG_TURNS_MAX = 2000 };

struct pager_rig {
    struct fh_mem mem;
    struct fh_fake_disk *disk;
    struct fh_pager pager;
    struct fh_reclaim reclaim;
    struct rng keys;
    uint64_t now_ms;
    uint32_t over; /* jobs, so far */
};

enum job_kind { JOB_HOLD, JOB_WRITE, JOB_ZERO, JOB_TAKE };

struct job {
    struct fh_call call;
    struct fh_hold hold;
    struct pager_rig *rig;
    enum job_kind kind;
    struct fh_addr start;
    uint64_t size; /* bytes; of a TAKE: frames */
    const uint8_t *body;
    int rc; /* -EINPROGRESS while it waits */
    uint32_t order;
};

static inline void rig_keys(void *ctx, void *buf, size_t size)
{
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)buf)[i] = (uint8_t)rng_next(ctx);
}

static inline struct fh_pager_opts rig_opts(struct pager_rig *g, uint64_t frames, uint64_t slots,
                                            uint32_t hold_max)
{
    return (struct fh_pager_opts){.mem = &g->mem,
                                  .memory_bytes = frames * FH_PAGE_SIZE,
                                  .hold_max = hold_max,
                                  .swap = {.io = &g->disk->io,
                                           .mem = &g->mem,
                                           .dir = "/var/tmp",
                                           .size_bytes = slots * FH_PAGE_SIZE,
                                           .random = rig_keys,
                                           .random_ctx = &g->keys}};
}

/* In chunks of 2^chunk_order frames, up to frames_max; 0, 0: whole chunks, no more than `frames`. */
static inline void rig_open_chunks(struct pager_rig *g, uint64_t frames, uint64_t slots,
                                   uint32_t hold_max, uint64_t frames_max, uint32_t chunk_order)
{
    *g = (struct pager_rig){.keys = {5}, .now_ms = 1000};
    g->disk = fh_fake_disk_create(11);
    cr_assert_not_null(g->disk);
    struct fh_pager_opts o = rig_opts(g, frames, slots, hold_max);
    o.memory_max_bytes = frames_max * FH_PAGE_SIZE;
    o.chunk_order = chunk_order;
    memset(&g->pager, 0xA5, sizeof(g->pager));
    int rc = fh_pager_init(&g->pager, &o);
    cr_assert_eq(rc, 0, "%s", strerror(-rc));
    fh_reclaim_init(&g->reclaim, &g->pager, 0, 0);
}

static inline void rig_open(struct pager_rig *g, uint64_t frames, uint64_t slots, uint32_t hold_max)
{
    rig_open_chunks(g, frames, slots, hold_max, 0, 0);
}

static inline void rig_check(struct pager_rig *g)
{
    cr_assert(fh_pager_check(&g->pager, stderr));
}

static inline void rig_turn(struct pager_rig *g)
{
    fh_io_reap(&g->disk->io);
    fh_pager_pump(&g->pager);
    (void)fh_reclaim_turn(&g->reclaim, g->now_ms += 10);
    fh_pager_pump(&g->pager);
    (void)fh_pager_budget_turn(&g->pager);
    fh_io_flush(&g->disk->io);
}

/* Everything is discarded and everything comes back. */
static inline void rig_close(struct pager_rig *g)
{
    uint64_t pages = g->pager.table.tables_end << FH_ARENA_PAGE_SHIFT;

    fh_pager_discard(&g->pager, (struct fh_page){0}, pages);
    for (uint32_t i = 0; i < RIG_TURNS_MAX && g->disk->io.in_flight > 0; i++)
        rig_turn(g);
    rig_check(g);
    cr_assert_eq(g->pager.frames.free, g->pager.frames.total, "every frame is free");
    cr_assert_eq(g->pager.swap.slots.stats.used, 0, "every slot is free");
    cr_assert_eq(g->pager.mapped + g->pager.storing + g->pager.reserved + g->pager.claimed, 0);
    cr_assert_eq(g->pager.line.count, 0);
    fh_pager_fini(&g->pager);
    cr_assert_eq(g->mem.used_bytes, 0);
    fh_io_destroy(&g->disk->io);
}

/* --- jobs --- */

static inline int job_apply(struct job *j)
{
    struct fh_pager *p = &j->rig->pager;
    struct fh_span span = {.kind = j->kind == JOB_ZERO ? FH_SPAN_ZERO : FH_SPAN_COPY,
                           .start = j->start,
                           .size = j->size};
    int rc;

    if (j->kind == JOB_TAKE)
        return fh_pager_take(p, &j->call, &j->hold, (uint32_t)j->size);
    if ((rc = fh_pager_prepare(p, &j->call, &j->hold, span)) != 0)
        return rc;
    if (j->kind == JOB_ZERO)
        fh_pager_zero(p, j->start, j->size);
    else
        fh_pager_write(p, j->start, j->body, j->size);
    return 0;
}

static inline int job_step(struct fh_call *call)
{
    struct job *j = FH_CONTAINER_OF(call, struct job, call);
    struct fh_pager *p = &j->rig->pager;
    bool bound = fh_hold_is_bound(&j->hold);
    int failed = bound ? j->hold.error : 0;

    if (bound && failed == 0 && j->kind == JOB_HOLD)
        return 0;
    fh_pager_release(p, &j->hold);
    if (failed != 0)
        return failed;
    if (j->kind == JOB_HOLD)
        return fh_pager_hold(p, &j->call, &j->hold, fh_page_of_addr(j->start), (uint32_t)j->size);
    return job_apply(j);
}

static inline void job_done(struct fh_call *call)
{
    struct job *j = FH_CONTAINER_OF(call, struct job, call);
    j->rc = call->rc;
    j->order = ++j->rig->over;
}

/* Begins a job; what it came to is in rc, perhaps later. Of a HOLD, size is in pages. */
static inline int job_begin(struct pager_rig *g, struct job *j, enum job_kind kind, uint64_t start,
                            const uint8_t *body, uint64_t size)
{
    memset(j, 0, sizeof(*j));
    j->rig = g;
    j->kind = kind;
    j->start.v = start;
    j->size = size;
    j->body = body;
    fh_hold_init(&j->hold);
    fh_call_init(&j->call, job_step);
    j->call.done = job_done;
    j->rc = job_step(&j->call);
    if (j->rc != -EINPROGRESS)
        j->order = ++g->over;
    return j->rc;
}

static inline int job_wait(struct job *j)
{
    for (uint32_t i = 0; i < RIG_TURNS_MAX && j->rc == -EINPROGRESS; i++)
        rig_turn(j->rig);
    cr_assert_neq(j->rc, -EINPROGRESS, "it waits for ever");
    return j->rc;
}

/* --- content --- */

static inline void rig_fill(uint8_t *page, uint64_t what)
{
    struct rng r = {what};
    for (uint32_t i = 0; i < FH_PAGE_SIZE; i += 8) {
        uint64_t word = what == 0 ? 0 : rng_next(&r);
        memcpy(page + i, &word, 8);
    }
}

static inline bool rig_is(const uint8_t *page, uint64_t what)
{
    uint8_t expected[FH_PAGE_SIZE];
    rig_fill(expected, what);
    return memcmp(page, expected, FH_PAGE_SIZE) == 0;
}

static inline int rig_try_write(struct pager_rig *g, uint64_t page, uint64_t what)
{
    static struct job j;
    uint8_t bytes[FH_PAGE_SIZE];

    rig_fill(bytes, what);
    (void)job_begin(g, &j, JOB_WRITE, page << FH_PAGE_SHIFT, bytes, FH_PAGE_SIZE);
    return job_wait(&j);
}

/* A whole page; 0 = zeros. */
static inline void rig_write(struct pager_rig *g, uint64_t page, uint64_t what)
{
    int rc = rig_try_write(g, page, what);
    cr_assert_eq(rc, 0, "page %lx: %s", (unsigned long)page, strerror(-rc));
}

/* The bytes of a page into `out`. */
static inline int rig_read(struct pager_rig *g, uint64_t page, uint8_t *out)
{
    static struct job j;

    (void)job_begin(g, &j, JOB_HOLD, page << FH_PAGE_SHIFT, NULL, 1);
    if (job_wait(&j) != 0)
        return j.rc;
    memcpy(out, fh_pager_held_bytes(&g->pager, &j.hold, 0), FH_PAGE_SIZE);
    fh_pager_release(&g->pager, &j.hold);
    return 0;
}

static inline void rig_expect(struct pager_rig *g, uint64_t page, uint64_t what)
{
    uint8_t bytes[FH_PAGE_SIZE];
    int rc = rig_read(g, page, bytes);

    cr_assert_eq(rc, 0, "page %lx: %s", (unsigned long)page, strerror(-rc));
    cr_assert(rig_is(bytes, what), "page %lx holds something else", (unsigned long)page);
}

static inline struct fh_entry rig_entry(struct pager_rig *g, uint64_t page)
{
    return fh_pagetable_get(&g->pager.table, (struct fh_page){page});
}

static inline enum fh_page_state rig_state(struct pager_rig *g, uint64_t page)
{
    return fh_entry_state(rig_entry(g, page));
}

/* Reclaim wants every frame from now on, or none. */
static inline void rig_press(struct pager_rig *g, bool on)
{
    g->reclaim.low = g->reclaim.high = on ? g->pager.frames.total : 0;
    g->reclaim.running = on;
}

/* All that can leave memory does. */
static inline void rig_evict(struct pager_rig *g)
{
    rig_press(g, true);
    for (uint32_t i = 0; i < 100 && (g->pager.mapped > 0 || g->disk->io.in_flight > 0); i++)
        rig_turn(g);
    rig_press(g, false);
}

/* One bit of the page's place on the disk goes wrong. */
static inline void rig_flip(struct pager_rig *g, uint64_t page)
{
    struct fh_slot slot = fh_entry_slot(rig_entry(g, page));
    uint8_t *bytes = fh_fake_disk_page(g->disk, (uint64_t)(slot.v - 1) * FH_PAGE_SIZE);

    cr_assert_not_null(bytes);
    bytes[1000] ^= 4;
}

#endif
