/*
 * strip: the latencies of one second, coarse and small: what a curve over time is drawn from.
 *
 * Units      nanoseconds. A value is known to 1/32 of itself.
 * Ownership  a plain value of about 5 KiB.
 * Threads    one owner at a time; each thread fills its own and they are merged.
 * Errors     none.
 */
#ifndef FH_CLIENT_BENCH_STRIP_H
#define FH_CLIENT_BENCH_STRIP_H

#include <stdint.h>

#define FH_STRIP_BUCKETS 1216u /* index of the last one: an hour, see strip.c */

struct fh_strip {
    uint64_t count, max_ns;
    uint32_t counts[FH_STRIP_BUCKETS];
};

void fh_strip_record(struct fh_strip *, uint64_t ns);
void fh_strip_merge(struct fh_strip *into, const struct fh_strip *from);
/* The smallest value, rounded up to its bucket's end, that `percent` of all do not exceed. */
uint64_t fh_strip_percentile(const struct fh_strip *, double percent);

#endif
