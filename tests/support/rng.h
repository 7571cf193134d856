/*
 * rng: the random numbers of the tests. A walk prints its seed; FH_SEED in the environment replays
 * it.
 */
#ifndef FH_TESTS_RNG_H
#define FH_TESTS_RNG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct rng {
    uint64_t state;
};

/* SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): any seed will do, also 0. */
static inline uint64_t rng_next(struct rng *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0..n - 1; n > 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
    return rng_next(r) % n;
}

/* low..high, both included. */
static inline uint64_t rng_between(struct rng *r, uint64_t low, uint64_t high)
{
    return low + rng_below(r, high - low + 1);
}

static inline bool rng_percent(struct rng *r, uint32_t percent)
{
    return rng_below(r, 100) < percent;
}

/* 1..2^bits, each doubling as likely as the next. */
static inline uint64_t rng_log_uniform(struct rng *r, uint32_t bits)
{
    uint64_t top = UINT64_C(1) << rng_below(r, bits + 1);
    return rng_between(r, top / 2 + 1, top);
}

/* FH_SEED, or a fresh seed; printed either way. */
static inline struct rng rng_from_env(const char *walk)
{
    const char *text = getenv("FH_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = text ? strtoull(text, NULL, 0)
                         : (uint64_t)now.tv_sec * UINT64_C(1000000007) + (uint64_t)now.tv_nsec;
    fprintf(stderr, "%s: FH_SEED=%#llx\n", walk, (unsigned long long)seed);
    return (struct rng){seed};
}

#endif
