/*
 * hdr: a histogram in the formats of HdrHistogram's tools: percentile text (.hgrm) and a line of a
 * log (.hlog).
 *
 * Units      values are written as milliseconds in .hgrm and as nanoseconds in a log, as those tools
 *            do and expect.
 * Ownership  reads only; writes to the caller's FILE, whose error flag tells whether all was taken.
 * Errors     -ENOMEM from the log line; nothing was written then.
 */
#ifndef FH_CLIENT_BENCH_HDR_H
#define FH_CLIENT_BENCH_HDR_H

#include "client/bench/hist.h"

#include <stdio.h>

void fh_hdr_write_text(const struct fh_hist *, FILE *out);

/* The lines a log begins with; `started` is seconds since 1970. */
void fh_hdr_write_log_head(FILE *out, double started);
/* One histogram, of `seconds` from the log's start on. */
int fh_hdr_write_log_line(const struct fh_hist *, const char *tag, double seconds, FILE *out);

#endif
