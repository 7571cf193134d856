/*
 * pacer: when each request of an open loop is due, whatever became of those before it.
 *
 * Units      nanoseconds on the caller's clock.
 * Ownership  a plain value.
 * Threads    one owner; a thread paces its own share of the total rate.
 * Cost       O(1).
 */
#ifndef FH_CLIENT_BENCH_PACER_H
#define FH_CLIENT_BENCH_PACER_H

#include "client/bench/keys.h"

#include <stdbool.h>

struct fh_pacer {
    double gap_ns;  /* mean time between two requests of this thread */
    double due_ns;  /* when the next one is due, since start */
    uint64_t start; /* on the caller's clock */
    bool poisson;   /* gaps are exponential instead of constant */
    struct fh_random random;
};

/* The share `index` of `shares` of `rate` requests per second in total; together they are even. */
void fh_pacer_init(struct fh_pacer *, double rate, uint32_t index, uint32_t shares, bool poisson,
                   uint64_t start_ns, uint64_t seed);
uint64_t fh_pacer_due(const struct fh_pacer *); /* of the next request */
void fh_pacer_step(struct fh_pacer *);          /* that one is taken */

#endif
