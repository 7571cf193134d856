/*
 * Theory.  As hist, with 32 buckets to a power of two instead of 1024: values below 64 have one
 * each, and with n bits above the sixth a value lies in bucket n * 32 + (value >> n). An hour has
 * 42 bits, so n is at most 36 and the last bucket 36 * 32 + 63.
 *
 * Invariants
 *   [I1] count is the sum of counts
 */
#include "client/bench/strip.h"

#include "client/bench/hist.h"

enum { EXACT_BITS = 6, HALF = 1 << (EXACT_BITS - 1) };

_Static_assert(FH_STRIP_BUCKETS == 36 * HALF + 2 * HALF, "the bucket of an hour is the last one");

void fh_strip_record(struct fh_strip *s, uint64_t ns)
{
    uint32_t shift = 0;

    if (ns > FH_HIST_MAX_NS)
        ns = FH_HIST_MAX_NS;
    if (ns >= 2 * HALF)
        shift = (uint32_t)(64 - EXACT_BITS) - (uint32_t)__builtin_clzll(ns);
    s->counts[shift * HALF + (uint32_t)(ns >> shift)]++;
    s->count++;
    if (ns > s->max_ns)
        s->max_ns = ns;
}

void fh_strip_merge(struct fh_strip *into, const struct fh_strip *from)
{
    for (uint32_t i = 0; i < FH_STRIP_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    into->count += from->count;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
}

static uint64_t strip_highest(uint32_t bucket)
{
    uint32_t shift = bucket < 2 * HALF ? 0 : bucket / HALF - 1;

    return ((uint64_t)(bucket - shift * HALF) << shift) + (UINT64_C(1) << shift) - 1;
}

uint64_t fh_strip_percentile(const struct fh_strip *s, double percent)
{
    double rank = percent / 100.0 * (double)s->count;
    uint64_t seen = 0;

    for (uint32_t i = 0; i < FH_STRIP_BUCKETS && s->count > 0; i++) {
        seen += s->counts[i];
        if ((double)seen >= rank && seen > 0)
            return strip_highest(i) < s->max_ns ? strip_highest(i) : s->max_ns;
    }
    return s->max_ns;
}
