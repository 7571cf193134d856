/*
 * units: sizes, times and counts, as people write and read them.
 *
 * Units      bytes and nanoseconds. A size takes KiB MiB GiB TiB, kb mb gb (1024) or k M g (1000).
 * Errors     -EINVAL for anything else; the result is untouched.
 */
#ifndef FH_CLIENT_BENCH_UNITS_H
#define FH_CLIENT_BENCH_UNITS_H

#include <stdint.h>

#define FH_UNITS_TEXT 32

int fh_units_size(const char *text, uint64_t *bytes);
int fh_units_time(const char *text, uint64_t *ns);     /* 10us 2ms 1.5s 3m 1h 1d; unit required */
int fh_units_count(const char *text, uint64_t *count); /* 20000, 20k, 1M */

/* Each fills and returns `out`. */
const char *fh_units_show_size(char out[FH_UNITS_TEXT], uint64_t bytes);  /* "4 KiB", "1.50 GiB" */
const char *fh_units_show_time(char out[FH_UNITS_TEXT], double ns);       /* "18.2us", "1.92ms" */
const char *fh_units_show_count(char out[FH_UNITS_TEXT], uint64_t count); /* "570 013" */

#endif
