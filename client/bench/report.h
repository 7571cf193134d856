/*
 * report: a finished run as a table for people, as one JSON document, farheap-bench/1, and as
 * files for other tools.
 *
 * Ownership  reads only.
 * Errors     json returns -errno when the file cannot be written; files says so on stderr.
 */
#ifndef FH_CLIENT_BENCH_REPORT_H
#define FH_CLIENT_BENCH_REPORT_H

#include "client/bench/run.h"

#include <stdio.h>

void fh_report_print(const struct fh_run *, FILE *out);
int fh_report_json(const struct fh_run *, const char *path);
/* Every file the options ask for; 0 if all were written. */
int fh_report_files(const struct fh_run *);

/* Holds every gate against every target; prints PASS to `out` (NULL: not) and FAIL to stderr. */
bool fh_report_gates(const struct fh_run *, FILE *out);

#endif
