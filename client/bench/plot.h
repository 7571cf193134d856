/*
 * plot: a finished run as a picture, in SVG: latency by percentile, and throughput and latency over
 * time, or by rate after a ramp.
 *
 * Ownership  reads only.
 * Errors     -errno when the file cannot be written.
 */
#ifndef FH_CLIENT_BENCH_PLOT_H
#define FH_CLIENT_BENCH_PLOT_H

#include "client/bench/run.h"

int fh_plot_write(const struct fh_run *, const char *path);

#endif
