/*
 * report: a finished run as a table for people and as one JSON document, farheap-bench/1.
 *
 * Ownership  reads only.
 * Errors     json returns -errno when the file cannot be written.
 */
#ifndef FH_CLIENT_BENCH_REPORT_H
#define FH_CLIENT_BENCH_REPORT_H

#include "client/bench/run.h"

#include <stdio.h>

void fh_report_print(const struct fh_run *, FILE *out);
int fh_report_json(const struct fh_run *, const char *path);

/* Holds every gate against every target; prints PASS to `out` (NULL: not) and FAIL to stderr. */
bool fh_report_gates(const struct fh_run *, FILE *out);

#endif
