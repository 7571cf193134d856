/*
 * ramp: rate after rate, until a goal is missed.
 *
 * Ownership  fills in the steps of the run's sides; their `total` becomes that of the highest rate
 *            that held, or of the first step if none did.
 * Errors     exit codes, as run.h says.
 */
#ifndef FH_CLIENT_BENCH_RAMP_H
#define FH_CLIENT_BENCH_RAMP_H

#include "client/bench/run.h"

int fh_ramp_run(struct fh_run *);

#endif
