/*
 * presets: the workloads that have a name.
 *
 * Ownership  fills in the caller's options.
 * Errors     -ENOENT: no workload is called that.
 */
#ifndef FH_CLIENT_BENCH_PRESETS_H
#define FH_CLIENT_BENCH_PRESETS_H

#include "client/bench/options.h"

int fh_presets_apply(struct fh_bench_options *, const char *name);

#endif
