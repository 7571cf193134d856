/* S3-FIFO by example, against a walk, and on a real trace of block requests beside others. */
#include "alloc/fifo.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/frames_rig.h"
#include "tests/support/rng.h"
#include "tests/support/trace.h"

enum { TOTAL = 128 };

static struct fh_mem mem;
static struct fh_frames frames;
static struct fh_fifo fifo;

static void open_fifo(uint32_t total)
{
    cr_assert_eq(frames_rig_init(&frames, &mem, total), 0);
    memset(&fifo, 0xA5, sizeof(fifo));
    fh_fifo_init(&fifo, &frames);
}

static void setup(void)
{
    open_fifo(TOTAL);
}

static void teardown(void)
{
    fh_frames_fini(&frames);
    cr_assert_eq(mem.used_bytes, 0);
}

static struct fh_frame insert_new(void)
{
    struct fh_frame f = fh_frames_take(&frames);
    cr_assert_neq(f.v, FH_FRAME_NONE.v);
    fh_fifo_insert(&fifo, f, false, 0);
    return f;
}

static uint32_t queue_of(struct fh_frame f)
{
    return fh_frames_record(&frames, f)->queue;
}

static uint32_t pick(uint32_t budget)
{
    return fh_fifo_pick(&fifo, &budget).v;
}

TestSuite(fifo, .init = setup, .fini = teardown, .timeout = 60);

Test(fifo, of_nothing_there_is_no_victim)
{
    cr_assert_eq(pick(10), FH_FRAME_NONE.v);
    cr_assert(fh_fifo_check(&fifo, stderr));
}

Test(fifo, a_single_frame_is_the_victim_and_leaves_its_queue)
{
    struct fh_frame f = insert_new();

    cr_assert_eq(queue_of(f), FH_QUEUE_SMALL);
    cr_assert_eq(pick(1), f.v);
    cr_assert_eq(queue_of(f), FH_QUEUE_NONE);
    cr_assert(fh_fifo_check(&fifo, stderr));
}

Test(fifo, what_was_never_touched_leaves_in_order_of_arrival)
{
    for (uint32_t i = 0; i < 20; i++)
        (void)insert_new();
    for (uint32_t i = 0; i < 20; i++)
        cr_assert_eq(pick(1), i);
}

Test(fifo, one_touch_in_small_promotes_to_main)
{
    struct fh_frame a = insert_new();
    struct fh_frame b = insert_new();

    fh_fifo_touch(&fifo, a);
    cr_assert_eq(pick(10), b.v);
    cr_assert_eq(queue_of(a), FH_QUEUE_MAIN);
    cr_assert_eq(fh_frames_record(&frames, a)->freq, 0);
    cr_assert_eq(pick(10), a.v);
}

Test(fifo, touches_are_counted_to_three_and_each_gives_a_round_in_main)
{
    struct fh_frame a = fh_frames_take(&frames);

    fh_fifo_insert_main(&fifo, a);
    for (int i = 0; i < 9; i++)
        fh_fifo_touch(&fifo, a);
    cr_assert_eq(fh_frames_record(&frames, a)->freq, 3);
    cr_assert_eq(pick(3), FH_FRAME_NONE.v, "three looks, three rounds");
    cr_assert_eq(queue_of(a), FH_QUEUE_MAIN);
    cr_assert_eq(pick(1), a.v);
}

Test(fifo, the_budget_bounds_the_looks_and_tells_what_is_left)
{
    uint32_t budget = 5;

    for (uint32_t i = 0; i < 20; i++)
        fh_fifo_touch(&fifo, insert_new());
    cr_assert_eq(fh_fifo_pick(&fifo, &budget).v, FH_FRAME_NONE.v);
    cr_assert_eq(budget, 0);
    cr_assert_eq(fifo.main.count, 5);
    budget = 100;
    cr_assert_neq(fh_fifo_pick(&fifo, &budget).v, FH_FRAME_NONE.v);
    cr_assert_gt(budget, 0);
}

Test(fifo, main_gives_the_victim_while_small_has_less_than_its_tenth)
{
    for (uint32_t i = 0; i < 50; i++)
        fh_fifo_insert_main(&fifo, fh_frames_take(&frames));
    struct fh_frame small = insert_new();
    cr_assert_eq(pick(1), 0, "the oldest of main");
    cr_assert_eq(queue_of(small), FH_QUEUE_SMALL);
    for (uint32_t i = 0; i < 9; i++)
        (void)insert_new();
    cr_assert_eq(pick(1), small.v, "small has more than its share");
}

Test(fifo, when_all_of_main_was_put_back_small_gives_the_victim_however_short)
{
    for (uint32_t i = 0; i < 50; i++)
        fh_fifo_insert_main(&fifo, fh_frames_take(&frames));
    struct fh_frame small = insert_new();
    for (uint32_t i = 0; i < 50; i++) {
        struct fh_frame stays = {pick(1)};
        cr_assert_eq(stays.v, i);
        fh_fifo_put_back(&fifo, stays);
    }
    cr_assert_eq(pick(1), small.v);
    (void)fh_fifo_evicted(&fifo);
    (void)insert_new();
    cr_assert_eq(pick(1), 0, "after an eviction main has its turn again");
    cr_assert(fh_fifo_check(&fifo, stderr));
}

Test(fifo, a_page_back_soon_after_its_eviction_enters_main)
{
    for (uint32_t i = 0; i < 10; i++)
        (void)insert_new();
    uint32_t epoch = fh_fifo_evicted(&fifo);
    struct fh_frame soon = fh_frames_take(&frames);
    for (uint32_t i = 0; i < 8; i++)
        (void)fh_fifo_evicted(&fifo);
    fh_fifo_insert(&fifo, soon, true, epoch); /* 9 evictions ago, 10 resident */
    cr_assert_eq(queue_of(soon), FH_QUEUE_MAIN);
    for (uint32_t i = 0; i < 2; i++)
        (void)fh_fifo_evicted(&fifo);
    struct fh_frame late = fh_frames_take(&frames);
    fh_fifo_insert(&fifo, late, true, epoch); /* 11 ago, 11 resident */
    cr_assert_eq(queue_of(late), FH_QUEUE_SMALL);
}

Test(fifo, the_epoch_wraps_and_an_age_across_the_wrap_is_small)
{
    fifo.epoch = 0x0fffffff;
    for (uint32_t i = 0; i < 10; i++)
        (void)insert_new();
    cr_assert_eq(fh_fifo_evicted(&fifo), 0x0fffffff);
    cr_assert_eq(fifo.epoch, 0);
    cr_assert_eq(fh_fifo_evicted(&fifo), 0);
    struct fh_frame f = fh_frames_take(&frames);
    fh_fifo_insert(&fifo, f, true, 0x0fffffff);
    cr_assert_eq(queue_of(f), FH_QUEUE_MAIN);
}

Test(fifo, removing_from_head_middle_and_tail_keeps_the_rest_in_order)
{
    for (uint32_t i = 0; i < 6; i++)
        (void)insert_new();
    fh_fifo_remove(&fifo, (struct fh_frame){0});
    fh_fifo_remove(&fifo, (struct fh_frame){3});
    fh_fifo_remove(&fifo, (struct fh_frame){5});
    fh_fifo_remove(&fifo, (struct fh_frame){5}); /* of a frame in no queue: no effect */
    cr_assert(fh_fifo_check(&fifo, stderr));
    cr_assert_eq(pick(1), 1);
    cr_assert_eq(pick(1), 2);
    cr_assert_eq(pick(1), 4);
    cr_assert_eq(pick(1), FH_FRAME_NONE.v);
}

Test(fifo, a_random_walk_loses_no_frame)
{
    struct rng g = rng_from_env("fifo");
    bool in[TOTAL] = {false};
    uint32_t count = 0;

    for (uint32_t i = 0; i < TOTAL; i++)
        (void)fh_frames_take(&frames);
    for (uint32_t step = 0; step < 50000; step++) {
        struct fh_frame f = {(uint32_t)rng_below(&g, TOTAL)};
        uint64_t dice = rng_below(&g, 100);
        if (dice < 30 && !in[f.v]) {
            fh_fifo_insert(&fifo, f, rng_percent(&g, 50), (uint32_t)rng_below(&g, 100));
            in[f.v] = true;
            count++;
        } else if (dice < 70 && in[f.v]) {
            fh_fifo_touch(&fifo, f);
        } else if (dice < 80) {
            fh_fifo_remove(&fifo, f);
            count -= in[f.v];
            in[f.v] = false;
        } else if (dice >= 85) {
            uint32_t victim = pick((uint32_t)rng_below(&g, 8));
            if (victim != FH_FRAME_NONE.v) {
                cr_assert(in[victim]);
                in[victim] = false;
                count--;
                (void)fh_fifo_evicted(&fifo);
            }
        }
        cr_assert_eq(fifo.small.count + fifo.main.count, count);
        if (step % 500 == 0)
            cr_assert(fh_fifo_check(&fifo, stderr));
    }
}

Test(fifo, check_sees_a_record_that_names_another_queue)
{
    frames.records[insert_new().v].queue = FH_QUEUE_MAIN; /* [I1] */
    cr_assert_not(fh_fifo_check(&fifo, NULL));
}

Test(fifo, check_sees_a_frame_that_says_it_is_queued_and_is_not)
{
    frames.records[fh_frames_take(&frames).v].queue = FH_QUEUE_SMALL; /* [I1] */
    cr_assert_not(fh_fifo_check(&fifo, NULL));
}

Test(fifo, check_sees_a_wrong_length)
{
    (void)insert_new();
    (void)insert_new();
    fifo.small.count = 1; /* [I2] */
    cr_assert_not(fh_fifo_check(&fifo, NULL));
    fifo.small.count = 3;
    cr_assert_not(fh_fifo_check(&fifo, NULL));
}

Test(fifo, check_sees_neighbours_that_disagree)
{
    struct fh_frame a = insert_new();
    (void)insert_new();
    frames.records[a.v].prev = a.v; /* [I3] */
    cr_assert_not(fh_fifo_check(&fifo, NULL));
}

Test(fifo, check_sees_a_wrong_tail)
{
    (void)insert_new();
    fifo.small.tail = insert_new().v; /* [I3] */
    cr_assert_not(fh_fifo_check(&fifo, NULL));
}

Test(fifo, stats_tell_lengths_and_evictions)
{
    struct fh_fifo_stats s;

    (void)insert_new();
    fh_fifo_insert_main(&fifo, fh_frames_take(&frames));
    (void)fh_fifo_evicted(&fifo);
    fh_fifo_stats(&fifo, &s);
    cr_assert_eq(s.small, 1);
    cr_assert_eq(s.main, 1);
    cr_assert_eq(s.evictions, 1);
}

Test(fifo, dump_tells_lengths)
{
    char text[128] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    (void)insert_new();
    fh_fifo_dump(&fifo, out);
    fclose(out);
    cr_assert_str_eq(text, "fifo: small 1, main 0, aside 0, epoch 0\n");
}

/* --- the trace --- */

Test(fifo, misses_on_a_real_trace_as_seldom_as_s3_fifo_should)
{
    static const struct {
        uint32_t cache;
        double most, lru, sieve, belady; /* of S3-FIFO; known of the trace, to 4 digits */
    } rows[] = {{4897, .7470 + .005, .8049, .7907, .6290},
                {9794, .6719 + .005, .7249, .7162, .5449}};
    struct trace t;

    cr_assert_eq(trace_load(&t, FARHEAP_SOURCE_DIR "/tests/data/vscsi.trace.gz"), 0);
    cr_assert_eq(t.count, 113872);
    cr_assert_eq(t.pages, 48974);
    for (int i = 0; i < 2; i++) {
        double ours = (double)trace_farheap(&t, rows[i].cache) / t.count;
        double lru = (double)trace_lru(&t, rows[i].cache) / t.count;
        fprintf(stderr, "trace, cache of %u pages: farheap misses %.4f, LRU %.4f\n", rows[i].cache,
                ours, lru);
        cr_assert_leq(ours, rows[i].most);
        cr_assert_float_eq(lru, rows[i].lru, .0001);
        cr_assert_float_eq((double)trace_sieve(&t, rows[i].cache) / t.count, rows[i].sieve, .0001);
        cr_assert_float_eq((double)trace_belady(&t, rows[i].cache) / t.count, rows[i].belady,
                           .0001);
    }
    trace_free(&t);
}
