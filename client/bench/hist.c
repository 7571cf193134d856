/*
 * Theory.  Values below 2048 have a bucket each. Above, every power of two is cut into 1024 equal
 * buckets, so a bucket is never wider than 1/1024 of the values in it: three significant digits.
 *
 *   value     0 .. 2047   2048 .. 4095   4096 .. 8191   ...   2^41 .. 2^42 - 1
 *   width         1             2              4         ...        2^31
 *   bucket    0 .. 2047   2048 .. 3071   3072 .. 4095   ...  32768 .. 33791
 *
 * With n bits above the eleventh, the bucket is n * 1024 + (value >> n).
 *
 * Invariants
 *   [I1] fh_hist_index is monotonic and fh_hist_index(fh_hist_highest(b)) == b
 *   [I2] count is the sum of counts
 */
#include "client/bench/hist.h"

#include <errno.h>
#include <stdlib.h>

enum { EXACT_BITS = 11, HALF = 1 << (EXACT_BITS - 1) };

uint32_t fh_hist_index(uint64_t ns)
{
    uint32_t shift = 0;

    if (ns >= 2 * HALF)
        shift = (uint32_t)(64 - EXACT_BITS) - (uint32_t)__builtin_clzll(ns);
    return shift * HALF + (uint32_t)(ns >> shift);
}

uint64_t fh_hist_highest(uint32_t bucket)
{
    uint32_t shift = bucket < 2 * HALF ? 0 : bucket / HALF - 1;
    uint64_t low = (uint64_t)(bucket - shift * HALF) << shift;

    return low + (UINT64_C(1) << shift) - 1;
}

int fh_hist_init(struct fh_hist *h)
{
    *h = (struct fh_hist){.counts = calloc(FH_HIST_BUCKETS, sizeof(*h->counts))};
    return h->counts != NULL ? 0 : -ENOMEM;
}

void fh_hist_fini(struct fh_hist *h)
{
    free(h->counts);
    *h = (struct fh_hist){0};
}

void fh_hist_record(struct fh_hist *h, uint64_t ns)
{
    if (ns > FH_HIST_MAX_NS)
        ns = FH_HIST_MAX_NS;
    if (h->count == 0 || ns < h->min_ns)
        h->min_ns = ns;
    if (ns > h->max_ns)
        h->max_ns = ns;
    h->counts[fh_hist_index(ns)]++;
    h->count++;
    h->sum_ns += (double)ns;
}

void fh_hist_merge(struct fh_hist *into, const struct fh_hist *from)
{
    if (from->count == 0)
        return;
    for (uint32_t i = 0; i < FH_HIST_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    if (into->count == 0 || from->min_ns < into->min_ns)
        into->min_ns = from->min_ns;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
    into->count += from->count;
    into->sum_ns += from->sum_ns;
}

/* How many of `count` values make up `percent`, at least one, never more than there are. */
static uint64_t hist_rank(uint64_t count, double percent)
{
    double exact = percent / 100.0 * (double)count;
    uint64_t rank = (uint64_t)exact;

    /* 99.9 % of 1000 is 999, though the product may come out a hair above it. */
    if (exact - (double)rank > 1e-9 * exact)
        rank++;
    if (rank == 0)
        rank = 1;
    return rank < count ? rank : count;
}

uint64_t fh_hist_percentile(const struct fh_hist *h, double percent)
{
    uint64_t seen = 0;
    uint64_t rank;

    if (h->count == 0)
        return 0;
    rank = hist_rank(h->count, percent);
    for (uint32_t i = 0; i < FH_HIST_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen >= rank)
            return fh_hist_highest(i) < h->max_ns ? fh_hist_highest(i) : h->max_ns;
    }
    return h->max_ns;
}

double fh_hist_mean(const struct fh_hist *h)
{
    return h->count == 0 ? 0.0 : h->sum_ns / (double)h->count;
}
