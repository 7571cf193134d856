/*
 * keys: which of n keys is used next: uniform, Zipf, in turn, mostly
 * from a hot part, or mostly the newest; and the random numbers below that.
 *
 * Units      keys are numbers from 0 to count - 1.
 * Ownership  plain values; nothing to release.
 * Threads    fh_keys is read-only after init and may be shared; each thread has its fh_random.
 * Errors     none; init's arguments come checked from the options.
 * Cost       O(1) per key, for any count and any exponent, without tables.
 */
#ifndef FH_CLIENT_BENCH_KEYS_H
#define FH_CLIENT_BENCH_KEYS_H

#include <stdint.h>

struct fh_random {
    uint64_t state;
};

uint64_t fh_random_next(struct fh_random *);
uint64_t fh_random_below(struct fh_random *, uint64_t limit); /* 0 .. limit - 1; limit > 0 */
double fh_random_unit(struct fh_random *);                    /* in (0, 1] */

/* LATEST is Zipf over the age: rank 0 is the newest key. */
enum fh_dist { FH_DIST_UNIFORM, FH_DIST_ZIPF, FH_DIST_SEQ, FH_DIST_HOTSPOT, FH_DIST_LATEST };
const char *fh_dist_name(enum fh_dist);

/* Which distribution, and its numbers. */
struct fh_dist_shape {
    enum fh_dist dist;
    double theta;               /* exponent of ZIPF and LATEST; > 0 */
    double hot_keys, hot_draws; /* HOTSPOT: this share of the keys gets this share of the draws */
};

struct fh_keys {
    struct fh_dist_shape shape;
    uint64_t count;       /* keys; at least 1 */
    double h_low, h_high; /* the area under the curve that is drawn from */
    double accept;        /* below this distance a draw needs no further test */
    uint64_t mask;        /* of the shuffle: next power of two of count, less 1 */
    uint64_t twist;       /* of the shuffle: from the seed */
};

void fh_keys_init(struct fh_keys *, const struct fh_dist_shape *, uint64_t count, uint64_t seed);

/* `turn` counts the caller's requests; only FH_DIST_SEQ uses it. Of LATEST it is the
 * age of the key: 0 is the newest. */
uint64_t fh_keys_next(const struct fh_keys *, struct fh_random *, uint64_t turn);

/* The pieces, for tests: rank 0 is the most frequent; shuffle is one-to-one on 0 .. count - 1. */
uint64_t fh_keys_zipf_rank(const struct fh_keys *, struct fh_random *);
uint64_t fh_keys_shuffle(const struct fh_keys *, uint64_t rank);

#endif
