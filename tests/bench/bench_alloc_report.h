/*
 * bench_alloc_report: the fragmentation rows as a table, as JSON and as a plot.
 */
#ifndef FH_BENCH_ALLOC_REPORT_H
#define FH_BENCH_ALLOC_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "tests/bench/bench_alloc_fragmentation.h"

/* With a sentence on each ordering that the literature expects. */
void report_table(const struct fragmentation *rows, uint32_t count, FILE *out);
void report_json(const struct fragmentation *rows, uint32_t count, uint64_t seed, FILE *out);
/* Stacked bars in SVG 1.1, without scripts; colours fit a light and a dark page. */
void report_svg(const struct fragmentation *rows, uint32_t count, FILE *out);

#endif
