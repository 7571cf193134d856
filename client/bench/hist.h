/*
 * hist: counts of durations in log-linear buckets, three significant digits from 1 us to 1 h.
 *
 * Units      nanoseconds. What is longer than an hour is counted as an hour.
 * Ownership  caller owns the struct, hist its counters.
 * Threads    one owner at a time; each thread fills its own and they are merged.
 * Errors     -ENOMEM from init; nothing else fails.
 * Cost       record O(1), percentile and merge O(buckets); about 270 KiB each.
 */
#ifndef FH_CLIENT_BENCH_HIST_H
#define FH_CLIENT_BENCH_HIST_H

#include <stdint.h>

#define FH_HIST_MAX_NS  UINT64_C(3600000000000)
#define FH_HIST_BUCKETS 33792u /* index of the last one: fh_hist_index(FH_HIST_MAX_NS) or above */

struct fh_hist {
    uint64_t *counts;        /* FH_HIST_BUCKETS of them */
    uint64_t count;          /* sum of counts [I2] */
    uint64_t min_ns, max_ns; /* exact; 0 when empty */
    double sum_ns;           /* exact up to rounding; for the mean */
};

int fh_hist_init(struct fh_hist *);
void fh_hist_fini(struct fh_hist *);
void fh_hist_record(struct fh_hist *, uint64_t ns);
void fh_hist_merge(struct fh_hist *into, const struct fh_hist *from);

/* The smallest recorded value, to three digits, that `percent` of all values do not exceed. */
uint64_t fh_hist_percentile(const struct fh_hist *, double percent);
double fh_hist_mean(const struct fh_hist *);

uint32_t fh_hist_index(uint64_t ns);       /* bucket that counts this value */
uint64_t fh_hist_highest(uint32_t bucket); /* largest value it counts */

#endif
