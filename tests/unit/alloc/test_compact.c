/* Sparse slabs are emptied into fuller ones when the zone is quiet or memory is short, and only then. */
#include "alloc/compact.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/rng.h"

enum { OBJECTS = 4000, SIZE = 100, START_MS = 70000 };

static struct fh_mem mem;
static struct fh_heap heap;
static struct fh_compact compact;
static uint64_t now;
static struct fh_addr objects[OBJECTS]; /* UINT64_MAX: freed */
static uint64_t stays;                  /* an object at this address cannot be moved */
static uint64_t away_from, away_to;     /* pages that are in swap */
static uint32_t frames_per_page;

static uint32_t frames(void *ctx, struct fh_page first, uint32_t pages)
{
    cr_assert_eq(ctx, &heap);
    return first.v < away_to && first.v + pages > away_from ? FH_COMPACT_AWAY
                                                            : pages * frames_per_page;
}

static int move(void *ctx, struct fh_slab_run *from, uint32_t index, struct fh_slab_run *to)
{
    struct fh_addr addr = fh_slab_run_addr(from, from->cache->size, index);
    struct fh_heap_block block;

    cr_assert_eq(ctx, &heap);
    cr_assert_neq(from, to);
    cr_assert_eq(from->cache, to->cache);
    cr_assert_leq(from->used, to->used);
    if (addr.v == stays)
        return -EBUSY;
    fh_heap_alloc_in(&heap, to, &block);
    cr_assert_eq(block.run, to);
    for (uint32_t i = 0; i < OBJECTS; i++)
        if (objects[i].v == addr.v)
            objects[i] = block.addr;
    cr_assert_eq(fh_heap_free(&heap, addr), 0);
    return 0;
}

static void setup(void)
{
    now = START_MS;
    stays = UINT64_MAX;
    away_from = away_to = 0;
    frames_per_page = 1;
    cr_assert_eq(
        fh_heap_init(&heap, &(struct fh_heap_opts){.mem = &mem, .system = &fh_buddy_binary}), 0);
    memset(&compact, 0xa5, sizeof(compact));
    fh_compact_init(
        &compact,
        &(struct fh_compact_opts){.heap = &heap, .frames = frames, .move = move, .ctx = &heap},
        now);
    for (uint32_t i = 0; i < OBJECTS; i++)
        objects[i].v = UINT64_MAX;
}

static void teardown(void)
{
    fh_heap_fini(&heap);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(compact, .init = setup, .fini = teardown, .timeout = 30);

static struct fh_slab_stats slabs(void)
{
    struct fh_slab_stats s;

    fh_slab_stats(&heap.slab, &s);
    return s;
}

static struct fh_compact_stats stats(void)
{
    struct fh_compact_stats s;

    fh_compact_stats(&compact, &s);
    return s;
}

/* So many objects, of which one in `keep` is left. */
static void make(uint64_t size, uint32_t count, uint32_t keep)
{
    struct rng r = {5};
    struct fh_heap_block block;

    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(fh_heap_alloc(&heap, 0, size, 0, &block), 0);
        objects[i] = block.addr;
    }
    for (uint32_t i = 0; i < count; i++)
        if (rng_below(&r, keep) != 0) {
            cr_assert_eq(fh_heap_free(&heap, objects[i]), 0);
            objects[i].v = UINT64_MAX;
        }
}

static bool turn_after(uint64_t ms, enum fh_compact_need need)
{
    uint64_t moves = compact.stats.moves;
    bool more = fh_compact_turn(&compact, need, now += ms);

    cr_assert_leq(compact.stats.moves - moves, FH_COMPACT_MOVES);
    cr_assert(fh_heap_check(&heap, stderr));
    cr_assert(fh_compact_check(&compact, stderr));
    return more;
}

static uint32_t turns(enum fh_compact_need need)
{
    uint32_t count = 1;

    while (turn_after(0, need)) {
        count++;
        cr_assert_lt(count, 1000, "it does not end");
    }
    return count;
}

static void expect_all_there(void)
{
    struct fh_heap_block block;

    for (uint32_t i = 0; i < OBJECTS; i++)
        if (objects[i].v != UINT64_MAX) {
            cr_assert_eq(fh_heap_find(&heap, objects[i], &block), 0);
            for (uint32_t k = 0; k < i; k++)
                cr_assert_neq(objects[k].v, objects[i].v);
        }
}

Test(compact, a_quiet_second_empties_sparse_slabs)
{
    make(SIZE, OBJECTS, 10);
    uint64_t before = slabs().pages, used = slabs().used;
    cr_assert_not(turn_after(0, FH_COMPACT_QUIET), "it was busy just now");
    cr_assert_not(turn_after(FH_COMPACT_IDLE_MS - 1, FH_COMPACT_QUIET));
    cr_assert(turn_after(1, FH_COMPACT_QUIET));
    cr_assert_gt(turns(FH_COMPACT_QUIET), 2, "it works in slices");
    cr_assert_eq(slabs().used, used);
    cr_assert_leq(slabs().pages * FH_PAGE_SIZE, used * SIZE * 13 / 10 + FH_PAGE_SIZE);
    cr_assert_leq(slabs().pages, before / 7);
    cr_assert_eq(stats().pages, stats().slabs, "a page each");
    cr_assert_geq(stats().pages, before - slabs().pages);
    cr_assert_gt(stats().moves, 0);
    cr_assert_eq(stats().refused, 0);
    expect_all_there();
}

Test(compact, its_own_moves_do_not_make_the_zone_busy)
{
    make(SIZE, OBJECTS, 10);
    cr_assert_not(turn_after(0, FH_COMPACT_QUIET));
    cr_assert(turn_after(FH_COMPACT_IDLE_MS, FH_COMPACT_QUIET));
    cr_assert(turn_after(0, FH_COMPACT_QUIET));
    cr_assert_eq(stats().moves, 2 * FH_COMPACT_MOVES);
}

Test(compact, an_allocation_stops_it_and_quiet_lets_it_go_on)
{
    struct fh_heap_block block;

    make(SIZE, OBJECTS, 10);
    (void)turn_after(0, FH_COMPACT_QUIET);
    cr_assert(turn_after(FH_COMPACT_IDLE_MS, FH_COMPACT_QUIET));
    cr_assert_eq(fh_heap_alloc(&heap, 0, SIZE, 0, &block), 0);
    cr_assert_not(turn_after(0, FH_COMPACT_QUIET));
    cr_assert_eq(stats().moves, FH_COMPACT_MOVES);
    cr_assert(turn_after(FH_COMPACT_IDLE_MS, FH_COMPACT_QUIET));
    cr_assert_eq(stats().moves, 2 * FH_COMPACT_MOVES);
}

Test(compact, short_memory_does_not_wait_for_quiet)
{
    make(SIZE, OBJECTS, 10);
    cr_assert(turn_after(0, FH_COMPACT_SHORT));
    cr_assert_eq(stats().moves, FH_COMPACT_MOVES);
    (void)turns(FH_COMPACT_SHORT);
    expect_all_there();
}

Test(compact, objects_over_several_pages_are_moved_too)
{
    make(3000, 1000, 10);
    uint64_t used = slabs().used;
    (void)turns(FH_COMPACT_SHORT);
    cr_assert_leq((slabs().pages - slabs().empty * 6) * FH_PAGE_SIZE, used * 3072 * 13 / 10);
    expect_all_there();
}

Test(compact, large_objects_and_dense_slabs_stay)
{
    make(FH_COMPACT_SIZE_MAX + 1, 200, 10);
    cr_assert_not(turn_after(0, FH_COMPACT_SHORT));
    cr_assert_not(turn_after(0, FH_COMPACT_REFUSE));
    make(SIZE, OBJECTS, 1);
    cr_assert_not(turn_after(200, FH_COMPACT_SHORT));
    cr_assert_not(turn_after(200, FH_COMPACT_REFUSE));
    cr_assert_eq(stats().moves, 0);
    cr_assert_eq(stats().sweeps, 0);
}

Test(compact, who_would_be_refused_gets_the_last_hole)
{
    make(SIZE, OBJECTS, 3);
    (void)turns(FH_COMPACT_SHORT);
    uint64_t moves = stats().moves, used = slabs().used;
    cr_assert_gt(fh_compact_pages(&compact, FH_COMPACT_REFUSE), 0);
    uint64_t excess = fh_compact_pages(&compact, FH_COMPACT_REFUSE),
             before = slabs().slabs - slabs().empty;
    (void)turns(FH_COMPACT_REFUSE);
    cr_assert_gt(stats().moves, moves);
    cr_assert_eq(slabs().slabs - slabs().empty, (used + 38) / 39);
    cr_assert_eq(before - (used + 38) / 39, excess, "a page each");
    cr_assert_eq(fh_compact_pages(&compact, FH_COMPACT_REFUSE), 0);
    expect_all_there();
}

Test(compact, what_is_in_swap_is_neither_moved_nor_a_target)
{
    make(SIZE, OBJECTS, 10);
    away_to = UINT64_MAX;
    (void)turns(FH_COMPACT_REFUSE);
    cr_assert_eq(stats().moves, 0);
    cr_assert_eq(stats().sweeps, 1);
    cr_assert_eq(fh_compact_pages(&compact, FH_COMPACT_REFUSE), 0, "it was in vain");
    cr_assert_not(turn_after(1000, FH_COMPACT_REFUSE));
    cr_assert_eq(stats().sweeps, 1, "nothing changed");

    uint32_t last = OBJECTS - 1, away = 0;
    while (objects[last].v == UINT64_MAX)
        last--;
    away_to = fh_page_of_addr(objects[last]).v - 20;
    for (uint32_t i = 0; i < OBJECTS; i++)
        away += fh_page_of_addr(objects[i]).v < away_to;
    struct fh_heap_block block;
    cr_assert_eq(fh_heap_alloc(&heap, 0, SIZE, 0, &block), 0);
    now += 100;
    (void)turns(FH_COMPACT_REFUSE);
    cr_assert_gt(stats().moves, 0);
    for (uint32_t i = 0; i < OBJECTS; i++)
        away -= fh_page_of_addr(objects[i]).v < away_to;
    cr_assert_eq(away, 0);
    expect_all_there();
}

Test(compact, pages_without_memory_are_no_gain)
{
    make(SIZE, OBJECTS, 10);
    frames_per_page = 0;
    (void)turns(FH_COMPACT_REFUSE);
    cr_assert_eq(stats().moves, 0);
}

Test(compact, after_a_sweep_in_vain_it_rests)
{
    struct fh_heap_block block;

    make(SIZE, OBJECTS, 10);
    frames_per_page = 0;
    (void)turns(FH_COMPACT_SHORT);
    frames_per_page = 1;
    cr_assert_not(turn_after(0, FH_COMPACT_SHORT));
    cr_assert_gt(fh_compact_pages(&compact, FH_COMPACT_REFUSE), 0, "more is wanted");
    cr_assert_eq(fh_heap_alloc(&heap, 0, SIZE, 0, &block), 0);
    cr_assert_not(turn_after(99, FH_COMPACT_SHORT));
    cr_assert(turn_after(1, FH_COMPACT_SHORT));
    cr_assert_gt(stats().moves, 0);
}

Test(compact, what_cannot_be_moved_stays_and_the_rest_goes)
{
    make(SIZE, OBJECTS, 10);
    uint32_t i = 0;
    while (objects[i].v == UINT64_MAX)
        i++;
    stays = objects[i].v;
    (void)turns(FH_COMPACT_SHORT);
    cr_assert_eq(objects[i].v, stays);
    cr_assert_gt(stats().refused, 0);
    cr_assert_gt(stats().moves, 100);
    expect_all_there();
}

Test(compact, many_caches_are_taken_to_be_sparse)
{
    struct fh_heap_block block;

    for (uint32_t tenant = 0; tenant < 1100; tenant++)
        cr_assert_eq(fh_heap_alloc(&heap, tenant, SIZE, 0, &block), 0);
    cr_assert_eq(fh_compact_pages(&compact, FH_COMPACT_SHORT), FH_COMPACT_PAGES_MAX);
    cr_assert(turn_after(0, FH_COMPACT_SHORT), "more slabs than one look at a time");
    (void)turns(FH_COMPACT_SHORT);
    cr_assert_eq(stats().sweeps, 1);
    cr_assert_eq(stats().moves, 0);
}

Test(compact, check_sees_counts_of_the_future)
{
    compact.allocs = 1;
    cr_assert_not(fh_compact_check(&compact, NULL));
    compact.allocs = 0;
    compact.vain_calls = 1;
    cr_assert_not(fh_compact_check(&compact, NULL));
    compact.vain_calls = 0;
    cr_assert(fh_compact_check(&compact, stderr));
}

Test(compact, dump_tells_what_it_did)
{
    char text[200] = "";
    FILE *out = fmemopen(text, sizeof(text) - 1, "w");

    fh_compact_dump(&compact, out);
    cr_assert_eq(fclose(out), 0);
    cr_assert(strstr(text, "resting"));
    make(SIZE, OBJECTS, 10);
    (void)turn_after(0, FH_COMPACT_SHORT);
    out = fmemopen(text, sizeof(text) - 1, "w");
    fh_compact_dump(&compact, out);
    cr_assert_eq(fclose(out), 0);
    cr_assert(strstr(text, "running"));
    cr_assert(strstr(text, "64 objects moved"));
}
