/*
 * Theory.  Zipf by rejection-inversion: the histogram of weights 1/k^theta, k = 1 .. n, lies under
 * a curve whose integral H has a closed inverse. Draw an area u uniformly, x = H^-1(u), round x to
 * k; keep k if it is close to x (the common case) or if u falls into k's own bar, else draw again.
 * The chance to draw again is below a quarter for every n and theta, so the loop needs 1.1 turns in
 * the mean and is cut (at a rank still valid) after 64, which a run does not live to see.
 *
 *   H(x) = (x^(1-theta) - 1) / (1 - theta), and log x where theta is 1; written with expm1 and
 * log1p so that nothing is lost near 1.
 *
 * Rank is then shuffled into a key, one-to-one: neighbours in frequency are not neighbours in
 * memory. The shuffle is a few invertible steps modulo a power of two, repeated while outside the
 * range (at most the power, in the mean less than twice).
 *
 * Source: Hoermann and Derflinger, Rejection-inversion to generate variates from monotone discrete
 * distributions, ACM TOMACS 6(3) 1996.
 */
#include "client/bench/keys.h"

#include <math.h>

uint64_t fh_random_next(struct fh_random *r)
{
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Multiply and take the upper half, written for 32-bit halves; limits stay below 2^32 or so, where
 * the bias is below 2^-31. */
uint64_t fh_random_below(struct fh_random *r, uint64_t limit)
{
    uint64_t x = fh_random_next(r);
    uint64_t high = (x >> 32) * limit;
    uint64_t low = (x & UINT32_MAX) * (limit & UINT32_MAX);

    if (limit > UINT32_MAX)
        return x % limit;
    return (high + (low >> 32)) >> 32;
}

double fh_random_unit(struct fh_random *r)
{
    return ((double)(fh_random_next(r) >> 11) + 1.0) * 0x1p-53;
}

/* (exp(x) - 1) / x, and log(1 + x) / x, with their limits at 0. */
static double keys_expm1_over(double x)
{
    return fabs(x) > 1e-8 ? expm1(x) / x : 1.0 + x / 2.0;
}

static double keys_log1p_over(double x)
{
    return fabs(x) > 1e-8 ? log1p(x) / x : 1.0 - x / 2.0;
}

static double keys_h(double theta, double x)
{
    double l = log(x);

    return keys_expm1_over((1.0 - theta) * l) * l;
}

static double keys_h_inverse(double theta, double y)
{
    double t = fmax(y * (1.0 - theta), -1.0);

    return exp(keys_log1p_over(t) * y);
}

static double keys_weight(double theta, double k)
{
    return exp(-theta * log(k));
}

const char *fh_dist_name(enum fh_dist dist)
{
    static const char *const names[] = {"uniform", "zipf", "seq", "hotspot", "latest"};

    return names[dist];
}

void fh_keys_init(struct fh_keys *k, const struct fh_dist_shape *shape, uint64_t count,
                  uint64_t seed)
{
    struct fh_random r = {seed};
    double theta = shape->theta;

    *k = (struct fh_keys){.shape = *shape, .count = count};
    while (k->mask < count - 1)
        k->mask = k->mask * 2 + 1;
    k->twist = fh_random_next(&r);
    if (shape->dist != FH_DIST_ZIPF && shape->dist != FH_DIST_LATEST)
        return;
    k->h_low = keys_h(theta, 1.5) - 1.0;
    k->h_high = keys_h(theta, (double)count + 0.5);
    k->accept = 2.0 - keys_h_inverse(theta, keys_h(theta, 2.5) - keys_weight(theta, 2.0));
}

uint64_t fh_keys_zipf_rank(const struct fh_keys *k, struct fh_random *r)
{
    double rank = 1.0;

    for (int turns = 0; turns < 64; turns++) {
        double u = k->h_high + fh_random_unit(r) * (k->h_low - k->h_high);
        double x = keys_h_inverse(k->shape.theta, u);

        rank = fmin(fmax(floor(x + 0.5), 1.0), (double)k->count);
        if (rank - x <= k->accept)
            break;
        if (u >= keys_h(k->shape.theta, rank + 0.5) - keys_weight(k->shape.theta, rank))
            break;
    }
    return (uint64_t)rank - 1;
}

uint64_t fh_keys_shuffle(const struct fh_keys *k, uint64_t rank)
{
    int half = (64 - __builtin_clzll(k->mask | 1) + 1) / 2;
    uint64_t x = rank;

    do {
        x = (x * (k->twist | 1)) & k->mask;
        x ^= x >> half;
        x = (x * UINT64_C(0xd6e8feb86659fd93) + (k->twist >> 32)) & k->mask;
        x ^= x >> half;
    } while (x >= k->count);
    return x;
}

/* The hot keys are the first so many of the shuffled order. */
static uint64_t keys_hotspot_rank(const struct fh_keys *k, struct fh_random *r)
{
    uint64_t hot = (uint64_t)ceil(k->shape.hot_keys * (double)k->count);

    if (hot >= k->count || fh_random_unit(r) <= k->shape.hot_draws)
        return fh_random_below(r, hot < k->count ? hot : k->count);
    return hot + fh_random_below(r, k->count - hot);
}

uint64_t fh_keys_next(const struct fh_keys *k, struct fh_random *r, uint64_t turn)
{
    switch (k->shape.dist) {
    case FH_DIST_ZIPF:
        return fh_keys_shuffle(k, fh_keys_zipf_rank(k, r));
    case FH_DIST_SEQ:
        return turn % k->count;
    case FH_DIST_HOTSPOT:
        return fh_keys_shuffle(k, keys_hotspot_rank(k, r));
    case FH_DIST_LATEST:
        return fh_keys_zipf_rank(k, r);
    case FH_DIST_UNIFORM:
        break;
    }
    return fh_random_below(r, k->count);
}
