/*
 * args: the values of options that have a grammar of their own.
 *
 * Ownership  results go into the caller's struct; strings of it point to `text`.
 * Errors     -EINVAL for anything else than the grammar of `farheap bench -h`.
 */
#ifndef FH_CLIENT_BENCH_ARGS_H
#define FH_CLIENT_BENCH_ARGS_H

#include "client/bench/options.h"

int fh_args_u32(const char *text, uint64_t most, uint32_t *out);
int fh_args_mix(struct fh_bench_options *, const char *text);
int fh_args_dist(struct fh_dist_shape *, const char *text);
int fh_args_sizes(struct fh_sizes *, const char *text);
int fh_args_size_range(struct fh_sizes *, const char *text);
/* FROM:TO:BY or FROM:TO:BY/TIME; FROM becomes the rate. */
int fh_args_ramp(struct fh_bench_options *, const char *text);
int fh_args_gap(struct fh_bench_options *, const char *text);
int fh_args_percents(struct fh_bench_options *, const char *text);

#endif
