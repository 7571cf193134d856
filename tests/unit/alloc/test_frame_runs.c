/* Free frames in runs: places, splits, joins, and a walk against an array of who is free. */
#include "alloc/frame_runs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/rng.h"

static struct fh_mem mem;
static struct fh_frame_runs runs;

static void open_runs(uint32_t total)
{
    memset(&runs, 0xA5, sizeof(runs));
    cr_assert_eq(fh_frame_runs_init(&runs, &mem, total), 0);
    fh_frame_runs_add(&runs, 0, total);
    cr_assert(fh_frame_runs_check(&runs, stderr));
}

static void teardown(void)
{
    fh_frame_runs_fini(&runs);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(frame_runs, .fini = teardown, .timeout = 20);

static uint64_t free_frames(void)
{
    struct fh_frame_runs_stats s;
    fh_frame_runs_stats(&runs, &s);
    return s.free_frames;
}

Test(frame_runs, any_number_of_frames_is_tiled)
{
    for (uint32_t total = 1; total < 1500; total += total < 40 ? 1 : 97) {
        open_runs(total);
        cr_assert_eq(free_frames(), total);
        teardown();
    }
    open_runs(1);
}

Test(frame_runs, a_run_is_the_lowest_of_the_smallest_that_serve)
{
    uint32_t first;

    open_runs(64);
    cr_assert_eq(fh_frame_runs_take(&runs, 2, &first), 4);
    cr_assert_eq(first, 0);
    cr_assert_eq(fh_frame_runs_take(&runs, 0, &first), 1);
    cr_assert_eq(first, 4, "from what was split already");
    cr_assert_eq(fh_frame_runs_take(&runs, 3, &first), 8);
    cr_assert_eq(first, 8);
    cr_assert_eq(fh_frame_runs_take(&runs, 9, &first), 32, "the longest there is");
    cr_assert_eq(first, 32);
}

Test(frame_runs, frames_given_back_one_by_one_join_again)
{
    uint32_t first;

    open_runs(700);
    cr_assert_eq(fh_frame_runs_take(&runs, 9, &first), 512);
    for (uint32_t i = 0; i < 512; i++)
        fh_frame_runs_give(&runs, (i * 37) % 512);
    cr_assert_eq(runs.runs[9], 1);
    cr_assert_eq(free_frames(), 700);
    cr_assert(fh_frame_runs_check(&runs, stderr));
}

Test(frame_runs, none_is_told)
{
    uint32_t first = 77;

    open_runs(3);
    while (fh_frame_runs_take(&runs, 0, &first) > 0)
        ;
    cr_assert_eq(fh_frame_runs_take(&runs, 5, &first), 0);
    cr_assert_eq(free_frames(), 0);
}

Test(frame_runs, a_random_walk_agrees_with_an_array)
{
    enum { TOTAL = 1301 };
    struct rng g = rng_from_env("frame runs");
    bool used[TOTAL] = {false};
    uint32_t count = 0;

    open_runs(TOTAL);
    for (uint32_t step = 0; step < 30000; step++) {
        uint32_t first = 0;
        uint32_t frame = (uint32_t)rng_below(&g, TOTAL);
        if (rng_percent(&g, 12)) {
            uint32_t got =
                fh_frame_runs_take(&runs, (uint32_t)rng_below(&g, FH_FRAME_ORDERS), &first);
            for (uint32_t i = 0; i < got; i++) {
                cr_assert_not(used[first + i], "frame %u was not free", first + i);
                used[first + i] = true;
            }
            count += got;
        } else if (used[frame]) {
            used[frame] = false;
            fh_frame_runs_give(&runs, frame);
            count--;
        }
        cr_assert_eq(free_frames(), TOTAL - count);
        if (step % 500 == 0)
            cr_assert(fh_frame_runs_check(&runs, stderr));
    }
}

static bool runs_have(uint32_t frame)
{
    for (uint32_t k = 0; k < FH_FRAME_ORDERS; k++)
        if (fh_bitset_has(&runs.free[k], frame >> k))
            return true;
    return false;
}

Test(frame_runs, any_range_is_added_and_removed_and_nothing_else)
{
    enum { TOTAL = 701, STEPS = 3000 };
    struct rng g = rng_from_env("frame ranges");
    bool is_free[TOTAL];

    open_runs(TOTAL);
    for (uint32_t i = 0; i < TOTAL; i++)
        is_free[i] = true;
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t first = (uint32_t)rng_below(&g, TOTAL), expected = 0;
        uint32_t end = (uint32_t)rng_between(&g, first, TOTAL), i = first;
        if (rng_percent(&g, 50)) {
            for (; i < end; i++)
                expected += is_free[i];
            cr_assert_eq(fh_frame_runs_remove(&runs, first, end - first), expected);
            for (i = first; i < end; i++)
                is_free[i] = false;
        } else { /* what is added is not free yet: up to the first that is */
            while (i < end && !is_free[i])
                is_free[i++] = true;
            fh_frame_runs_add(&runs, first, i - first);
        }
        for (i = 0; i < TOTAL; i++)
            cr_assert_eq(runs_have(i), is_free[i], "frame %u after step %u", i, step);
        cr_assert(fh_frame_runs_check(&runs, stderr));
    }
}

Test(frame_runs, no_memory_is_told)
{
    mem.fail_at = mem.calls + 1;
    cr_assert_eq(fh_frame_runs_init(&runs, &mem, 9), -ENOMEM);
    open_runs(9);
}

Test(frame_runs, check_sees_a_run_beyond_the_end)
{
    open_runs(5); /* 4 and 1 */
    fh_bitset_remove(&runs.free[0], 4);
    runs.runs[0]--;
    fh_bitset_add(&runs.free[1], 2); /* frames 4 and 5: there is no 5 [I1] */
    runs.runs[1]++;
    cr_assert_not(fh_frame_runs_check(&runs, NULL));
    fh_bitset_remove(&runs.free[1], 2);
    runs.runs[1]--;
    fh_frame_runs_give(&runs, 4);
}

Test(frame_runs, check_sees_overlap_wrong_counts_and_buddies_apart)
{
    open_runs(64);
    fh_bitset_add(&runs.free[0], 5); /* [I1], inside the run of 64 */
    runs.runs[0]++;
    cr_assert_not(fh_frame_runs_check(&runs, NULL));
    fh_bitset_remove(&runs.free[0], 5);
    cr_assert_not(fh_frame_runs_check(&runs, NULL), "[I2]");
    runs.runs[0]--;
    cr_assert(fh_frame_runs_check(&runs, stderr));
    fh_bitset_remove(&runs.free[6], 0);
    runs.runs[6]--;
    fh_bitset_add(&runs.free[5], 0); /* [I3] */
    fh_bitset_add(&runs.free[5], 1);
    runs.runs[5] += 2;
    cr_assert_not(fh_frame_runs_check(&runs, NULL));
}
