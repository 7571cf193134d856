/* The budget under pressure from outside, second by second. */
#include "server/pressure.h"

#include <criterion/criterion.h>

#define MIB (UINT64_C(1) << 20)

static const struct fh_pressure_how how = {
    .threshold_permille = 100, .least_bytes = 500 * MIB, .most_bytes = 1000 * MIB};

TestSuite(pressure, .timeout = 20);

Test(pressure, shrinks_by_a_hundredth_a_second)
{
    cr_assert_eq(fh_pressure_next(&how, 1000 * MIB, 101), 990 * MIB);
    cr_assert_eq(fh_pressure_next(&how, 990 * MIB, 1000), 980 * MIB);
}

Test(pressure, never_below_the_least)
{
    uint64_t bytes = how.most_bytes;

    for (int second = 0; second < 200; second++) {
        uint64_t next = fh_pressure_next(&how, bytes, 500);
        cr_assert(next < bytes || next == how.least_bytes);
        bytes = next;
    }
    cr_assert_eq(bytes, how.least_bytes);
    cr_assert_eq(fh_pressure_next(&how, 503 * MIB, 500), how.least_bytes);
}

Test(pressure, comes_back_slower_than_it_went)
{
    cr_assert_eq(fh_pressure_next(&how, 600 * MIB, 0), 602 * MIB + MIB / 2);
    cr_assert_eq(fh_pressure_next(&how, 999 * MIB, 0), 1000 * MIB);
    cr_assert_eq(fh_pressure_next(&how, 1000 * MIB, 0), 1000 * MIB);
}

Test(pressure, rests_between_half_the_threshold_and_the_threshold)
{
    cr_assert_eq(fh_pressure_next(&how, 700 * MIB, 100), 700 * MIB);
    cr_assert_eq(fh_pressure_next(&how, 700 * MIB, 50), 700 * MIB);
    cr_assert_gt(fh_pressure_next(&how, 700 * MIB, 49), 700 * MIB);
}

Test(pressure, of_a_small_budget_moves_in_chunks)
{
    struct fh_pressure_how small = how;

    small.most_bytes = 64 * MIB;
    small.least_bytes = 32 * MIB;
    cr_assert_eq(fh_pressure_next(&small, 64 * MIB, 500), 62 * MIB);
    cr_assert_eq(fh_pressure_next(&small, 40 * MIB, 0), 42 * MIB);
}

Test(pressure, may_be_off_and_a_lower_bound_counts_at_once)
{
    struct fh_pressure_how off = how;

    off.threshold_permille = 0;
    cr_assert_eq(fh_pressure_next(&off, 700 * MIB, 1000), how.most_bytes);
    cr_assert_eq(fh_pressure_next(&how, 2000 * MIB, 0), how.most_bytes);
    off = how;
    off.least_bytes = 2000 * MIB; /* more than there is */
    cr_assert_eq(fh_pressure_next(&off, 900 * MIB, 1000), how.most_bytes);
}
