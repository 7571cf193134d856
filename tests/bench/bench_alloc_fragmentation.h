/*
 * bench_alloc_fragmentation: runs an arena from overflow to overflow and weighs what is lost.
 *
 * Units      granules; shares are of the whole arena, so internal + external = total.
 */
#ifndef FH_BENCH_ALLOC_FRAGMENTATION_H
#define FH_BENCH_ALLOC_FRAGMENTATION_H

#include <stdint.h>

#include "alloc/buddy_systems.h"
#include "tests/support/sizes.h"

enum { FRAGMENTATION_SYSTEMS = 4 };

/* One system under one law of sizes. */
struct fragmentation {
    const struct fh_buddy_system *system;
    const struct sizes_law *law;
    uint32_t granules;            /* of the arena */
    uint64_t failures;            /* requests that did not fit and were weighed */
    double internal, external;    /* lost to rounding; free, but of no use to the request */
    double total;                 /* mean over all runs */
    double total_low, total_high; /* of the means of single runs */
    double blocks;                /* live, at a failure */
    double splits, merges;        /* per allocation */
    double ns_per_op;             /* an alloc or a free, median of the runs */
};

/* Rows by law, then by system. `failures` are those weighed in each run. */
void fragmentation_run(uint64_t seed, uint32_t failures,
                       struct fragmentation rows[SIZES_LAWS * FRAGMENTATION_SYSTEMS]);

#endif
