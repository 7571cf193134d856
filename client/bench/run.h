/*
 * run: a whole run: fill every target, take turns at measuring them, clean up.
 *
 * Ownership  caller owns the struct (it is large: give it static or heap memory); fini releases.
 * Threads    starts threads for each phase and joins them; SIGINT and SIGTERM must be blocked.
 * Errors     fh_run_all prints a line and returns an exit code of the command line; 130 when
 *            interrupted, with what was measured until then.
 */
#ifndef FH_CLIENT_BENCH_RUN_H
#define FH_CLIENT_BENCH_RUN_H

#include "client/bench/side.h"

struct fh_run {
    const struct fh_bench_options *o;
    struct fh_side sides[FH_TARGETS_MAX];
    uint32_t side_count; /* opened so far */
    uint32_t rounds;
    bool interrupted;
};

int fh_run_all(struct fh_run *, const struct fh_bench_options *);
void fh_run_fini(struct fh_run *);

/* The exit code of the command line for a status. */
int fh_run_exit_code(fh_status);

#endif
