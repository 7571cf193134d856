/* The histogram against a sorted array, at its edges, and merged. */
#include "client/bench/hist.h"

#include "tests/support/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

enum { VALUES = 20000 };

static struct fh_hist hist;

static void setup(void)
{
    cr_assert_eq(fh_hist_init(&hist), 0);
}

static void teardown(void)
{
    fh_hist_fini(&hist);
}

TestSuite(hist, .init = setup, .fini = teardown, .timeout = 20);

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;

    return (*x > *y) - (*x < *y);
}

/* The definition, on sorted values: the smallest that `percent` of all do not exceed. */
static uint64_t sorted_percentile(const uint64_t *values, size_t count, double percent)
{
    size_t rank = (size_t)ceil(percent / 100.0 * (double)count - 1e-6);

    return values[rank == 0 ? 0 : rank - 1];
}

Test(hist, percentiles_agree_with_a_sorted_array_to_three_digits)
{
    static const double percents[] = {0.1, 1, 25, 50, 75, 90, 99, 99.9, 99.99, 100};
    uint64_t *values = calloc(VALUES, sizeof(*values));
    struct rng rng = rng_from_env("hist");

    for (size_t i = 0; i < VALUES; i++) {
        values[i] = rng_log_uniform(&rng, 41);
        fh_hist_record(&hist, values[i]);
    }
    qsort(values, VALUES, sizeof(*values), compare);
    for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
        uint64_t exact = sorted_percentile(values, VALUES, percents[i]);
        uint64_t found = fh_hist_percentile(&hist, percents[i]);

        cr_expect_geq(found, exact, "p%g", percents[i]);
        cr_expect_leq((double)found, (double)exact * 1.001, "p%g", percents[i]);
    }
    free(values);
}

Test(hist, every_bucket_counts_its_own_highest_value_and_nothing_above)
{
    for (uint32_t b = 0; b < FH_HIST_BUCKETS; b++) {
        cr_assert_eq(fh_hist_index(fh_hist_highest(b)), b);
        if (b + 1 < FH_HIST_BUCKETS)
            cr_assert_eq(fh_hist_index(fh_hist_highest(b) + 1), b + 1);
    }
}

Test(hist, the_longest_time_has_a_bucket)
{
    cr_assert_lt(fh_hist_index(FH_HIST_MAX_NS), FH_HIST_BUCKETS);
}

Test(hist, more_than_an_hour_is_counted_as_an_hour)
{
    fh_hist_record(&hist, UINT64_MAX);
    cr_assert_eq(fh_hist_percentile(&hist, 100), FH_HIST_MAX_NS);
    cr_assert_eq(hist.max_ns, FH_HIST_MAX_NS);
}

Test(hist, an_empty_one_answers_zero)
{
    cr_assert_eq(fh_hist_percentile(&hist, 99), 0);
    cr_assert_float_eq(fh_hist_mean(&hist), 0.0, 0.0);
}

Test(hist, one_value_is_every_percentile)
{
    fh_hist_record(&hist, 123456);
    cr_assert_eq(fh_hist_percentile(&hist, 0.001), 123456);
    cr_assert_eq(fh_hist_percentile(&hist, 100), 123456);
    cr_assert_eq(hist.min_ns, 123456);
}

Test(hist, ninety_nine_point_nine_of_a_thousand_is_the_last_but_one)
{
    for (uint64_t i = 1; i <= 1000; i++)
        fh_hist_record(&hist, i);
    cr_assert_eq(fh_hist_percentile(&hist, 99.9), 999);
    cr_assert_eq(fh_hist_percentile(&hist, 50), 500);
    cr_assert_float_eq(fh_hist_mean(&hist), 500.5, 1e-9);
}

Test(hist, merging_two_is_recording_into_one)
{
    struct fh_hist parts[2];
    struct rng rng = rng_from_env("hist merge");

    cr_assert_eq(fh_hist_init(&parts[0]), 0);
    cr_assert_eq(fh_hist_init(&parts[1]), 0);
    for (size_t i = 0; i < 5000; i++) {
        uint64_t value = rng_log_uniform(&rng, 36);

        fh_hist_record(&hist, value);
        fh_hist_record(&parts[i % 3 == 0], value);
    }
    fh_hist_merge(&parts[0], &parts[1]);
    for (uint32_t b = 0; b < FH_HIST_BUCKETS; b++)
        cr_assert_eq(parts[0].counts[b], hist.counts[b]);
    cr_assert_eq(parts[0].count, hist.count);
    cr_assert_eq(parts[0].min_ns, hist.min_ns);
    cr_assert_eq(parts[0].max_ns, hist.max_ns);
    cr_assert_float_eq(parts[0].sum_ns, hist.sum_ns, hist.sum_ns * 1e-12);
    fh_hist_fini(&parts[0]);
    fh_hist_fini(&parts[1]);
}

Test(hist, merging_an_empty_one_keeps_the_least)
{
    struct fh_hist empty;

    cr_assert_eq(fh_hist_init(&empty), 0);
    fh_hist_record(&hist, 7);
    fh_hist_merge(&hist, &empty);
    cr_assert_eq(hist.min_ns, 7);
    fh_hist_fini(&empty);
}
