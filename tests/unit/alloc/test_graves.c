/* Freed blocks are given back a slice per turn: what is bounded, what is told, what stays. */
#include <criterion/criterion.h>

#include "tests/support/zone_rig.h"

enum { FRAMES = 256, SLOTS = 1024, SLICE = 16, PAGE = FH_PAGE_SIZE };

static struct zone_rig rig;

static void setup(void)
{
    zone_open(&rig, FRAMES, SLOTS, 0);
    rig.zone.graves.slice = rig.zone.graves.left = SLICE;
}

static bool ended; /* the test has ended the zone itself */

static void teardown(void)
{
    if (ended)
        return;
    zone_expect_empty(&rig);
    zone_close(&rig);
}

/* An object with so many pages written, `step` bytes apart. */
static struct fh_object_view make(uint64_t size, uint64_t pages, uint64_t step)
{
    struct fh_object_view v = zone_alloc(&rig, size);
    static uint8_t bytes[PAGE];

    zone_fill(bytes, 9, PAGE);
    for (uint64_t i = 0; i < pages; i++) {
        cr_assert_eq(zone_write(&rig, &v, i * step, bytes, PAGE), 0);
        (void)zone_turn(&rig);
    }
    return v;
}

static void free_object(const struct fh_object_view *v)
{
    struct fh_object_view gone;

    cr_assert_eq(fh_zone_free(&rig.zone, &v->ref), 0);
    cr_assert_eq(fh_zone_find(&rig.zone, &v->ref, &gone), -ESTALE, "from now on");
}

static uint64_t live(void)
{
    struct fh_zone_stats s;
    fh_zone_stats(&rig.zone, &s);
    return s.pager.live;
}

static uint64_t waiting(void)
{
    struct fh_graves_stats s;
    fh_graves_stats(&rig.zone.graves, &s);
    return s.blocks;
}

TestSuite(graves, .init = setup, .fini = teardown, .timeout = 120);

Test(graves, what_fits_into_the_turn_is_gone_at_once)
{
    struct fh_object_view v = make(SLICE * PAGE, SLICE, PAGE);

    (void)zone_turn(&rig);
    free_object(&v);
    cr_assert_eq(live(), 0);
    cr_assert_eq(waiting(), 0);
}

Test(graves, the_budget_of_a_turn_is_shared_by_all_that_is_freed_in_it)
{
    struct fh_object_view v[4];

    for (uint32_t i = 0; i < 4; i++)
        v[i] = make(12 * PAGE, 12, PAGE);
    (void)zone_turn(&rig);
    for (uint32_t i = 0; i < 4; i++)
        free_object(&v[i]);
    cr_assert_eq(live(), 48 - SLICE);
    cr_assert_eq(waiting(), 3);
    zone_check(&rig);
    cr_assert(zone_turn(&rig), "there is more to do");
    cr_assert_eq(live(), 48 - 2 * SLICE);
}

Test(graves, a_huge_object_goes_in_slices_while_others_are_served)
{
    struct fh_object_view other = make(20 * PAGE, 20, PAGE);
    /* 100 GiB of addresses, 1000 pages far apart: most of them in swap. */
    struct fh_object_view v = make(UINT64_C(100) << 30, 1000, UINT64_C(100) << 20);
    uint64_t before = live();
    uint8_t got[16], expected[16];
    uint32_t turns = 0;

    zone_fill(expected, 9, sizeof(expected));
    (void)zone_turn(&rig);
    free_object(&v);
    for (; waiting() > 0; turns++) {
        uint64_t now = live();
        cr_assert_geq(now + SLICE, before, "turn %u gave back %lu", turns,
                      (unsigned long)(before - now));
        before = now;
        cr_assert_eq(zone_read(&rig, &other.ref, turns % 20 * PAGE, got, sizeof(got)), 0);
        cr_assert_eq(memcmp(got, expected, sizeof(got)), 0);
        (void)zone_turn(&rig);
        if (turns % 16 == 0)
            zone_check(&rig);
    }
    struct fh_graves_stats s;
    fh_graves_stats(&rig.zone.graves, &s);
    cr_assert_eq(s.entries, 1000);
    cr_assert_leq(s.turn_most, SLICE);
    cr_assert_eq(live(), 20);
    free_object(&other);
}

Test(graves, addresses_without_an_entry_cost_few_turns)
{
    struct fh_object_view v = zone_alloc(&rig, FH_OBJECT_SIZE_MAX);

    rig.zone.graves.slice = FH_GRAVES_SLICE;
    (void)zone_turn(&rig);
    free_object(&v);
    cr_assert_eq(waiting(), 0, "a tebibyte of nothing goes at once");
}

Test(graves, the_place_is_not_used_again_before_it_is_empty)
{
    struct fh_object_view v = make(64 * PAGE, 64, PAGE), w;

    (void)zone_turn(&rig);
    free_object(&v);
    w = zone_alloc(&rig, 64 * PAGE);
    cr_assert_neq(w.ref.addr.v, v.ref.addr.v);
    zone_expect(&rig, &w, 0, 64 * PAGE);
    free_object(&w);
}

Test(graves, what_is_being_freed_never_makes_memory_full)
{
    uint64_t room = FRAMES + SLOTS - 2 * FH_HOLD_MAX;
    struct fh_object_view v = make(room * PAGE, room, PAGE);
    static uint8_t bytes[PAGE] = {1};
    struct fh_object_view w = zone_alloc(&rig, 100 * PAGE);

    cr_assert_eq(zone_write(&rig, &w, 0, bytes, PAGE), -ENOSPC);
    (void)zone_turn(&rig);
    free_object(&v);
    cr_assert_gt(waiting(), 0);
    for (uint64_t i = 0; i < 100; i++)
        cr_assert_eq(zone_write(&rig, &w, i * PAGE, bytes, PAGE), 0, "page %lu", (unsigned long)i);
    zone_check(&rig);
    free_object(&w);
}

/* A long read of v that has taken its first window. */
static struct fh_reader *begin_long_read(const struct fh_object_view *v, uint64_t pages)
{
    static struct fh_reader r;

    memset(&r.call, 0, sizeof(r.call));
    int rc = zone_wait(&rig, &r.call, fh_reader_open(&rig.zone, &r, &v->ref, 0, pages * PAGE));
    cr_assert_eq(rc, 0);
    cr_assert(r.is_view);
    fh_reader_release(&r, r.window_bytes);
    return &r;
}

Test(graves, an_object_freed_while_it_is_read_is_read_to_its_end)
{
    struct fh_object_view v = make(200 * PAGE, 200, PAGE);
    struct fh_reader *r = begin_long_read(&v, 200);
    static uint8_t expected[PAGE];
    uint64_t seen = 64;

    zone_fill(expected, 9, PAGE);
    free_object(&v);
    int rc = zone_wait(&rig, &r->call, fh_reader_next(r));
    while (rc == 0 && r->iov_count > 0) {
        for (uint32_t i = 0; i < r->iov_count; i++)
            for (size_t at = 0; at < r->iov[i].iov_len; at += PAGE, seen++)
                cr_assert_eq(memcmp((char *)r->iov[i].iov_base + at, expected, PAGE), 0);
        fh_reader_release(r, r->window_bytes);
        (void)zone_turn(&rig);
        zone_check(&rig);
        rc = zone_wait(&rig, &r->call, fh_reader_next(r));
    }
    cr_assert_eq(seen, 200);
    fh_reader_close(r);
}

Test(graves, a_view_ends_in_slices_and_the_object_goes_on)
{
    struct fh_object_view v = make(200 * PAGE, 200, PAGE);
    static uint8_t bytes[PAGE];

    (void)zone_turn(&rig);
    fh_reader_close(begin_long_read(&v, 200));
    cr_assert_eq(waiting(), 1);
    for (uint64_t i = 0; waiting() > 0; i++) {
        zone_fill(bytes, 9, PAGE);
        cr_assert_eq(zone_write(&rig, &v, i % 200 * PAGE, bytes, PAGE), 0);
        (void)zone_turn(&rig);
        zone_check(&rig);
    }
    cr_assert_eq(rig.zone.pager.rings.count, 0);
    cr_assert_eq(live(), 200);
    free_object(&v);
}

Test(graves, whichever_of_object_and_view_is_empty_first_the_block_goes_once)
{
    for (uint32_t order = 0; order < 2; order++) {
        struct fh_object_view v = make(200 * PAGE, 200, PAGE);
        (void)zone_turn(&rig);
        struct fh_reader *r = begin_long_read(&v, 200);
        if (order == 0)
            free_object(&v);
        fh_reader_close(r);
        if (order == 1)
            free_object(&v);
        while (waiting() > 0) {
            (void)zone_turn(&rig);
            zone_check(&rig);
        }
        zone_expect_empty(&rig);
    }
}

Test(graves, without_memory_to_remember_a_block_it_is_emptied_at_once)
{
    struct fh_object_view v = make(200 * PAGE, 200, PAGE);

    (void)zone_turn(&rig);
    rig.zone.mem.fail_at = rig.zone.mem.calls + 1;
    free_object(&v);
    rig.zone.mem.fail_at = 0;
    cr_assert_eq(live(), 0);
    cr_assert_eq(waiting(), 0);
}

Test(graves, check_sees_a_wrong_count_and_an_entry_before_the_cursor)
{
    struct fh_object_view v = make(200 * PAGE, 200, PAGE);

    (void)zone_turn(&rig);
    free_object(&v);
    rig.zone.graves.stats.blocks++;
    cr_assert_not(fh_graves_check(&rig.zone.graves, NULL));
    rig.zone.graves.stats.blocks--;
    struct fh_page first = fh_page_of_addr(v.ref.addr);
    struct fh_entry lost = fh_entry_make(FH_PAGE_FAILED, 0, (struct fh_slot){0});
    cr_assert_eq(fh_pagetable_touch(&rig.zone.pager.table, first, 1), 0);
    fh_pagetable_set(&rig.zone.pager.table, first, lost);
    cr_assert_not(fh_graves_check(&rig.zone.graves, NULL));
    fh_pagetable_set(&rig.zone.pager.table, first, (struct fh_entry){0});
    fh_pagetable_trim(&rig.zone.pager.table, first, 1);
}

Test(graves, a_zone_ends_with_work_left)
{
    struct fh_object_view v = make(200 * PAGE, 200, PAGE);
    (void)zone_turn(&rig);
    fh_reader_close(begin_long_read(&v, 200));
    free_object(&v);
    cr_assert_gt(waiting(), 0);
    fh_zone_fini(&rig.zone);
    ended = true;
    cr_assert_eq(rig.zone.mem.used_bytes, 0);
    fh_io_destroy(&rig.disk->io);
}
