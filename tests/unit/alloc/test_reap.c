/* What the heap kept is given back when the zone is quiet or memory is short, and only then. */
#include "alloc/reap.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/zone_rig.h"

enum { TENANTS = 200, START_MS = 70000 };

static struct fh_mem mem;
static struct fh_heap heap;
static struct fh_reap reap;
static uint64_t now;

static void setup(void)
{
    now = START_MS;
    cr_assert_eq(
        fh_heap_init(&heap, &(struct fh_heap_opts){.mem = &mem, .system = &fh_buddy_binary}), 0);
    memset(&reap, 0xa5, sizeof(reap));
    fh_reap_init(&reap, &heap, now);
}

static void teardown(void)
{
    fh_heap_fini(&heap);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(reap, .init = setup, .fini = teardown, .timeout = 30);

static struct fh_addr take(uint32_t tenant, uint64_t size)
{
    struct fh_heap_block block;
    cr_assert_eq(fh_heap_alloc(&heap, tenant, size, 0, &block), 0);
    return block.addr;
}

static void take_and_give(uint32_t tenant, uint64_t size)
{
    cr_assert_eq(fh_heap_free(&heap, take(tenant, size)), 0);
}

static bool turn_after(uint64_t ms, bool pressed)
{
    bool more = fh_reap_turn(&reap, pressed, now += ms);
    cr_assert(fh_heap_check(&heap, stderr));
    cr_assert(fh_reap_check(&reap, stderr));
    return more;
}

static void expect(uint64_t slabs, uint64_t arenas)
{
    struct fh_heap_stats s;
    fh_heap_stats(&heap, &s);
    cr_assert_eq(s.slab.slabs, slabs, "%lu slabs", (unsigned long)s.slab.slabs);
    cr_assert_eq(s.space.arenas_open, arenas, "%lu arenas", (unsigned long)s.space.arenas_open);
}

static void expect_stats(uint64_t sweeps, uint64_t slabs)
{
    struct fh_reap_stats s;
    fh_reap_stats(&reap, &s);
    cr_assert_eq(s.sweeps, sweeps, "%lu sweeps", (unsigned long)s.sweeps);
    cr_assert_eq(s.slabs, slabs, "%lu slabs", (unsigned long)s.slabs);
}

Test(reap, a_quiet_second_gives_back_empty_slabs_caches_and_the_arena)
{
    take_and_give(1, 100);
    take_and_give(2, 2048);
    cr_assert_not(turn_after(10, false));
    cr_assert_not(turn_after(FH_REAP_IDLE_MS - 1, false));
    expect(2, 1);
    cr_assert_not(turn_after(1, false));
    expect(0, 0);
    cr_assert_eq(heap.slab.caches, 0);
    expect_stats(1, 2);
}

Test(reap, what_is_in_use_stays)
{
    struct fh_addr used = take(1, 100);
    take_and_give(1, 200);
    turn_after(0, false);
    turn_after(FH_REAP_IDLE_MS, false);
    expect(1, 1);
    cr_assert_eq(fh_heap_free(&heap, used), 0);
}

Test(reap, a_busy_zone_keeps_its_empty_slabs)
{
    for (uint32_t i = 0; i < 50; i++) {
        take_and_give(1, 100);
        cr_assert_not(turn_after(FH_REAP_IDLE_MS / 4, false));
        expect(1, 1);
    }
    expect_stats(0, 0);
}

Test(reap, frees_alone_are_no_business)
{
    struct fh_addr a = take(1, 100);
    turn_after(0, false);
    cr_assert_eq(fh_heap_free(&heap, a), 0);
    turn_after(FH_REAP_IDLE_MS, false);
    expect(0, 0);
}

Test(reap, an_untouched_heap_is_not_swept_again)
{
    turn_after(10 * FH_REAP_IDLE_MS, false);
    expect_stats(0, 0);
    take_and_give(1, 100);
    turn_after(0, false);
    for (uint32_t i = 0; i < 10; i++)
        turn_after(FH_REAP_IDLE_MS, i % 2 == 0);
    expect_stats(1, 1);
}

Test(reap, many_tenants_are_swept_in_slices)
{
    uint32_t turns = 1;

    for (uint32_t t = 0; t < TENANTS; t++)
        take_and_give(t, 100);
    turn_after(0, false);
    for (bool more = turn_after(FH_REAP_IDLE_MS, false); more; more = turn_after(0, false))
        turns++;
    cr_assert_geq(turns, TENANTS / 12, "a slice is a dozen tenants: %u", turns);
    cr_assert_lt(turns, TENANTS);
    expect(0, 0);
    expect_stats(1, TENANTS);
}

Test(reap, the_first_allocation_stops_a_sweep_and_quiet_lets_it_go_on)
{
    for (uint32_t t = 0; t < TENANTS; t++)
        take_and_give(t, 100);
    turn_after(0, false);
    cr_assert(turn_after(FH_REAP_IDLE_MS, false));
    uint32_t left = heap.slab.runs_used;
    take_and_give(TENANTS - 1, 100);
    cr_assert_not(turn_after(10, false));
    cr_assert_eq(heap.slab.runs_used, left, "it stopped");
    for (bool more = turn_after(FH_REAP_IDLE_MS, false); more; more = turn_after(0, false))
        ;
    expect(0, 0);
}

Test(reap, short_memory_does_not_wait_for_quiet)
{
    take_and_give(1, 100);
    cr_assert_not(turn_after(1, true));
    expect(0, 0);
    take_and_give(1, 100);
    cr_assert_not(turn_after(100, true));
    expect(1, 1);
    take_and_give(1, 100);
    cr_assert_not(turn_after(900, true));
    expect(0, 0);
    expect_stats(2, 2);
}

Test(reap, check_sees_counts_of_the_future_and_a_cursor_of_nobody)
{
    reap.allocs = 1;
    cr_assert_not(fh_reap_check(&reap, NULL));
    reap.allocs = 0;
    reap.calls = 1;
    cr_assert_not(fh_reap_check(&reap, NULL));
    reap.calls = 0;
    reap.cursor = 3;
    cr_assert_not(fh_reap_check(&reap, NULL));
    reap.running = true;
    cr_assert(fh_reap_check(&reap, stderr));
    reap.running = false;
    reap.cursor = 0;
}

Test(reap, dump_tells_whether_it_runs)
{
    for (uint32_t t = 0; t < TENANTS; t++)
        take_and_give(t, 100);
    for (uint32_t i = 0; i < 2; i++) {
        char *text;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        fh_reap_dump(&reap, out);
        fclose(out);
        cr_assert_not_null(strstr(text, i == 0 ? "resting" : "running"), "%s", text);
        free(text);
        turn_after(0, true);
    }
}

/* --- in a zone --- */

static struct zone_rig rig;

static void zone_setup(void)
{
    zone_open(&rig, 64, 255, 20);
}

static void zone_teardown(void)
{
    zone_close(&rig);
}

TestSuite(zone_reap, .init = zone_setup, .fini = zone_teardown, .timeout = 30);

static struct fh_zone_stats zone_stats(void)
{
    struct fh_zone_stats s;
    fh_zone_stats(&rig.zone, &s);
    return s;
}

Test(zone_reap, a_quiet_zone_has_no_empty_slabs)
{
    static uint8_t body[3000];
    struct fh_object_view small = zone_alloc(&rig, 100), kept = zone_alloc(&rig, 3000);

    zone_fill(body, 5, sizeof(body));
    cr_assert_eq(zone_write(&rig, &kept, 0, body, sizeof(body)), 0);
    cr_assert_eq(fh_zone_free(&rig.zone, &small.ref), 0);
    zone_turn(&rig);
    cr_assert_eq(zone_stats().heap.slab.empty, 1);
    for (uint32_t i = 0; i < FH_REAP_IDLE_MS / 10; i++)
        zone_turn(&rig);
    struct fh_zone_stats s = zone_stats();
    cr_assert_eq(s.heap.slab.empty, 0);
    cr_assert_eq(s.heap.slab.slabs, 1);
    cr_assert_eq(s.reap.slabs, 1);
    zone_expect(&rig, &kept, 5, sizeof(body));
    cr_assert_eq(fh_zone_free(&rig.zone, &kept.ref), 0);
}

Test(zone_reap, a_zone_short_of_frames_gives_back_at_once)
{
    struct fh_object_view small = zone_alloc(&rig, 100), large = zone_alloc(&rig, 50000);

    cr_assert_eq(zone_write(&rig, &large, 0, "x", 1), 0);
    cr_assert_eq(fh_zone_free(&rig.zone, &small.ref), 0);
    zone_press(&rig, true);
    zone_turn(&rig);
    cr_assert_eq(zone_stats().reap.slabs, 1);
    zone_press(&rig, false);
    cr_assert_eq(fh_zone_free(&rig.zone, &large.ref), 0);
}
