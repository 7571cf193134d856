/*
 * gate: `--assert`: one sentence about the results, parsed, and held against them.
 *
 * Units      nanoseconds for latencies, operations per second, counts.
 * Ownership  a plain value; `text` points into argv.
 * Errors     -EINVAL for what is not [OP.]pN|mean|max|ops|errors CMP VALUE or `rate`. Without
 *            OP: latencies of the worst operation, the sum of counts.
 */
#ifndef FH_CLIENT_BENCH_GATE_H
#define FH_CLIENT_BENCH_GATE_H

#include "client/bench/tally.h"

enum fh_gate_what {
    FH_GATE_PERCENTILE,
    FH_GATE_MEAN,
    FH_GATE_MAX,
    FH_GATE_OPS,
    FH_GATE_ERRORS,
    FH_GATE_RATE
};
enum fh_gate_compare { FH_LESS, FH_AT_MOST, FH_MORE, FH_AT_LEAST, FH_EQUAL };

struct fh_gate {
    const char *text;
    enum fh_op op; /* FH_OPS = all of them */
    enum fh_gate_what what;
    enum fh_gate_compare compare;
    double percent, value;
};

int fh_gate_parse(const char *text, struct fh_gate *out);

/* Does it hold? *found is the value it was held against. */
bool fh_gate_holds(const struct fh_gate *, const struct fh_tally *, double *found);

/* "0.92ms", "0", "19 000": the value as the gate's line shows it. */
void fh_gate_show(const struct fh_gate *, double value, char *out, size_t room);

#endif
