/*
 * parse: options that are being read, and the checks over all of them at the end.
 *
 * Ownership  caller owns the struct; strings point into argv and the environment.
 * Errors     0 or the exit code 2, after a line on stderr.
 */
#ifndef FH_CLIENT_BENCH_PARSE_H
#define FH_CLIENT_BENCH_PARSE_H

#include "client/bench/options.h"

/* What has to wait until all options are read. */
struct fh_parse {
    struct fh_bench_options *o;
    const char *url;
    const char *targets[FH_TARGETS_MAX], *pids[FH_TARGETS_MAX];
    uint32_t target_count, pid_count;
    bool warmup_given, duration_given, rate_given;
};

/* Says what is wrong with which value (NULL: with none), and returns 2. */
int fh_parse_refuse(const char *what, const char *value);
int fh_parse_check(struct fh_parse *);

#endif
