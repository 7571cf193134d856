/*
 * Theory.  A heap and an owner map walk together: every block handed out must be nobody's so far,
 * every address asked about must lead to the block the map knows, and to nothing else. Pages that
 * hold live objects must never be discarded.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "alloc/bits.h"
#include "alloc/heap.h"
#include "tests/support/heap_tag.h"
#include "tests/support/oracle_owner.h"
#include "tests/support/rng.h"

enum { STEPS = 20000, LIVE_MAX = 1500, TENANTS = 3, CHECK_EVERY = 2500 };

struct walk {
    struct rng r;
    struct fh_mem mem;
    struct fh_heap heap;
    struct owner_map owners; /* in bytes; tag: tenant << 32 | tag */
    uint64_t live[LIVE_MAX];
    uint32_t lives, tags;
    uint64_t failures;
};

/* No live object may lie on a page that is forgotten. */
static void on_discard(void *ctx, struct fh_page first, uint64_t pages)
{
    struct walk *w = ctx;
    uint64_t at = fh_addr_of_page(first).v, end = at + pages * FH_PAGE_SIZE;
    for (; at < end; at += FH_SLAB_SIZE_MIN)
        cr_assert_null(owner_find(&w->owners, at));
}

static bool on_resident(void *ctx, struct fh_page page)
{
    struct walk *w = ctx;
    return (page.v * 2654435761u + w->tags) >> 7 & 1;
}

static uint64_t any_size(struct walk *w)
{
    if (rng_percent(&w->r, 70))
        return rng_below(&w->r, 2) ? rng_log_uniform(&w->r, 15) : rng_below(&w->r, 3000);
    return rng_percent(&w->r, 80) ? rng_log_uniform(&w->r, 27) : rng_log_uniform(&w->r, 40);
}

static uint64_t room_of(struct walk *w, struct fh_heap_block b, uint64_t size)
{
    cr_assert_geq(b.room_bytes, size);
    if (b.run && b.room_bytes <= 512)
        cr_assert_leq(b.addr.v % FH_PAGE_SIZE + b.room_bytes, FH_PAGE_SIZE, "no object straddles");
    if (!b.run)
        cr_assert_eq((b.addr.v | b.room_bytes) % FH_PAGE_SIZE, 0);
    cr_assert_eq(b.run ? 0 : b.tag, b.run ? 0 : w->tags);
    heap_tag_put(&b, w->tags);
    return b.room_bytes;
}

static uint64_t owner_tag(uint32_t tag, uint32_t tenant)
{
    return (uint64_t)tenant << 32 | tag;
}

/* On the pages of a slab object only objects of its tenant live. */
static void no_page_is_shared(const struct walk *w, struct fh_heap_block b, uint32_t tenant)
{
    uint64_t end = fh_align_up(b.addr.v + b.room_bytes, FH_PAGE_SIZE);
    uint64_t at = b.addr.v & ~(uint64_t)(FH_PAGE_SIZE - 1);
    for (; b.run && at < end; at += FH_SLAB_SIZE_MIN) {
        const struct owner_block *o = owner_find(&w->owners, at);
        if (o)
            cr_assert_eq(o->tag >> 32, tenant);
    }
}

static void step_alloc(struct walk *w)
{
    struct fh_heap_block b;
    uint64_t size = any_size(w);
    uint32_t tenant = (uint32_t)rng_below(&w->r, TENANTS);
    w->tags++;
    int rc =
        rng_percent(&w->r, 90)
            ? fh_heap_alloc(&w->heap, tenant, size, w->tags, &b)
            : fh_heap_alloc_pages(&w->heap, (size = size % 100000) / FH_PAGE_SIZE + 1, w->tags, &b);
    if (rc != 0) {
        cr_assert_eq(rc, -ENOMEM);
        w->failures++;
        return;
    }
    cr_assert(owner_add(&w->owners, b.addr.v, room_of(w, b, size), owner_tag(w->tags, tenant)),
              "overlap at %#llx", (unsigned long long)b.addr.v);
    no_page_is_shared(w, b, tenant);
    w->live[w->lives++] = b.addr.v;
}

static void step_free(struct walk *w)
{
    uint32_t i = (uint32_t)rng_below(&w->r, w->lives);
    uint64_t addr = w->live[i];
    w->live[i] = w->live[--w->lives];
    cr_assert(owner_remove(&w->owners, addr));
    cr_assert_eq(heap_tag_free(&w->heap, (struct fh_addr){addr}), 0);
}

static uint64_t any_address(struct walk *w)
{
    uint64_t near = w->lives ? w->live[rng_below(&w->r, w->lives)] : 0;
    switch (rng_below(&w->r, 4)) {
    case 0:
        return near;
    case 1:
        return near + rng_log_uniform(&w->r, 20);
    case 2:
        return near - rng_log_uniform(&w->r, 16);
    default:
        return rng_next(&w->r) >> rng_below(&w->r, 40);
    }
}

/* Any address leads to its block when it is its first byte, and to nothing else. */
static void step_ask(struct walk *w)
{
    uint64_t addr = any_address(w);
    const struct owner_block *o = owner_find(&w->owners, addr);
    struct fh_heap_block b;
    int rc = fh_heap_find(&w->heap, (struct fh_addr){addr}, &b);

    cr_assert_eq(rc, o && o->first == addr ? 0 : -EFAULT);
    if (rc == 0) {
        cr_assert_eq(heap_tag_get(&b), (uint32_t)o->tag);
        cr_assert_eq(b.room_bytes, o->size);
    } else {
        cr_assert_eq(fh_heap_free(&w->heap, (struct fh_addr){addr}), -EFAULT);
    }
    rc = fh_heap_find_page(&w->heap, (struct fh_page){addr >> FH_PAGE_SHIFT}, &b);
    if (rc == 0) {
        cr_assert_not_null(o);
        cr_assert_eq(b.addr.v, o->first);
        cr_assert_eq(b.room_bytes, o->size);
        cr_assert_eq(b.tag, (uint32_t)o->tag);
    } else if (o) {
        cr_assert_leq(o->size, FH_SLAB_SIZE_MAX, "a page block must be found");
    }
}

static void steps(struct walk *w)
{
    uint32_t share = 70;
    for (uint32_t step = 0; step < STEPS; step++) {
        if (step % 2000 == 0)
            share = 110 - share;
        w->mem.fail_at = rng_percent(&w->r, 1) ? w->mem.calls + 1 : 0;
        if (rng_percent(&w->r, 20))
            step_ask(w);
        else if (w->lives < LIVE_MAX && (w->lives == 0 || rng_percent(&w->r, share)))
            step_alloc(w);
        else
            step_free(w);
        if (rng_below(&w->r, 1000) == 0)
            fh_heap_trim(&w->heap);
        if (step % CHECK_EVERY == 0)
            cr_assert(fh_heap_check(&w->heap, stderr), "step %u", step);
    }
}

static void leave_nothing(struct walk *w)
{
    struct fh_heap_stats st;
    while (w->lives > 0)
        step_free(w);
    fh_heap_trim(&w->heap);
    fh_heap_stats(&w->heap, &st);
    cr_assert_eq(st.space.arenas_open, 0);
    cr_assert_eq(st.space.segments, 0);
    cr_assert_eq(st.slab.slabs, 0);
    cr_assert(fh_heap_check(&w->heap, stderr));
}

static void walk_system(const char *name)
{
    static struct walk w;
    w.r = rng_from_env(name);
    owner_init(&w.owners);
    cr_assert_eq(fh_heap_init(&w.heap, &(struct fh_heap_opts){.mem = &w.mem,
                                                              .record_bytes = HEAP_TAG_BYTES,
                                                              .system = fh_buddy_system_find(name),
                                                              .discard = on_discard,
                                                              .resident = on_resident,
                                                              .ctx = &w}),
                 0);
    steps(&w);
    cr_assert_gt(w.failures, 0, "requests for memory were made to fail");
    leave_nothing(&w);
    fh_heap_fini(&w.heap);
    cr_assert_eq(w.mem.used_bytes, 0);
    owner_fini(&w.owners);
}

TestSuite(heap_model, .timeout = 60);

Test(heap_model, no_two_blocks_overlap_under_binary)
{
    walk_system("binary");
}

Test(heap_model, no_two_blocks_overlap_under_fibonacci)
{
    walk_system("fibonacci");
}

Test(heap_model, no_two_blocks_overlap_under_weighted)
{
    walk_system("weighted");
}

Test(heap_model, no_two_blocks_overlap_under_tertiary)
{
    walk_system("tertiary");
}
