/*
 * tally: what one thread, one round or one target counted; merges into larger ones.
 *
 * Units      nanoseconds, bytes, operations.
 * Ownership  caller owns the struct, tally its histograms.
 * Threads    one owner at a time.
 * Errors     -ENOMEM from init.
 */
#ifndef FH_CLIENT_BENCH_TALLY_H
#define FH_CLIENT_BENCH_TALLY_H

#include "client/bench/driver.h"
#include "client/bench/hist.h"
#include "client/bench/strip.h"

#define FH_TALLY_SECONDS  3600 /* rows kept; later seconds are added to the last one */
#define FH_TALLY_STATUSES 103

struct fh_tally_op {
    struct fh_hist latency; /* of what succeeded, from when it was due */
    struct fh_hist service; /* from when it was sent; open loop only */
    uint64_t bytes;         /* of what succeeded, bodies only */
    uint64_t failed, failed_max_ns;
    double failed_sum_ns;
};

/* What one second of the measured time brought. */
struct fh_tally_second {
    uint32_t ok, failed;
    struct fh_strip *strip; /* of what succeeded; NULL: nothing, or no memory for it */
};

struct fh_tally {
    struct fh_tally_op ops[FH_OPS];
    struct fh_hist lag;                 /* due to sent; open loop only */
    uint64_t status[FH_TALLY_STATUSES]; /* failures by status */
    uint64_t due, sent;                 /* open loop: in the measured time */
    uint64_t all;                       /* finished, warm-up included */
    uint64_t window_ns;                 /* measured time as planned, sum over rounds */
    uint64_t elapsed_ns;                /* until the last reply */
    uint64_t cpu_ns;                    /* the server's, for `all`; 0 = not known */
    uint64_t own_cpu_ns;                /* the load tester's threads', for `all` */
    uint64_t busy_of_ns;                /* how long these threads ran, all together */
    uint32_t seconds;                   /* rows in use */
    struct fh_tally_second second[FH_TALLY_SECONDS];
};

int fh_tally_init(struct fh_tally *, bool open_loop);
void fh_tally_fini(struct fh_tally *);
void fh_tally_merge(struct fh_tally *into, const struct fh_tally *from);

/* Counts a finished request; `second` is since the measuring began. */
void fh_tally_add(struct fh_tally *, const struct fh_request *, uint64_t now_ns, uint64_t second);

uint64_t fh_tally_ok(const struct fh_tally *);
uint64_t fh_tally_failed(const struct fh_tally *);
double fh_tally_rate_percent(const struct fh_tally *); /* of the rate that was asked for */
double fh_tally_busy_percent(const struct fh_tally *); /* of the load tester's threads' time */

#endif
