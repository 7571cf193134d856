/*
 * report: what was measured, as a table, as JSON and as a curve.
 */
#ifndef FH_TESTS_BENCH_PHASES_REPORT_H
#define FH_TESTS_BENCH_PHASES_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "tests/bench/phases/store.h"

enum { PHASES = 5, STORES_MAX = 4 };
#define PHASES_GOAL 1.35 /* frame bytes per live byte */

struct row {
    const char *store;
    uint32_t phase;
    struct store_figures figures;
    uint64_t lost;    /* items that were stored, not deleted, and are gone */
    uint64_t refused; /* items it would not take, so far */
};

extern const char *const phase_titles[PHASES];

/* Frame bytes per byte of live values; 0 when nothing lives. */
double row_ratio(const struct row *);

void report_table(const struct row *, uint32_t count, FILE *out);
void report_json(const struct row *, uint32_t count, uint64_t memory, FILE *out);
void report_svg(const struct row *, uint32_t count, FILE *out);

#endif
