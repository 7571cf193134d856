/*
 * side: one target of a run: its connections, what it was filled with, and all that was measured.
 *
 * Ownership  the run owns the struct; open fills it, close releases it, also after a failed open.
 * Threads    starts threads for each phase and joins them; SIGINT and SIGTERM must be blocked.
 * Errors     exit codes of the command line, after a line on stderr.
 */
#ifndef FH_CLIENT_BENCH_SIDE_H
#define FH_CLIENT_BENCH_SIDE_H

#include "client/bench/info.h"
#include "client/bench/worker.h"

struct fh_run;

/* What one round measured; 0 = nothing. */
struct fh_round {
    double ops_per_second, cpu_ns_per_op;
};

/* What one step of a ramp measured; latencies of all operations together. */
struct fh_step {
    double rate, ops_per_second, rate_percent, server_cpu_ns_per_op;
    uint64_t failed, p50_ns, p99_ns, p999_ns, max_ns;
    uint64_t service_p99_ns; /* from when it was sent */
    const char *broke;       /* the gate that did not hold; NULL: all held */
};

struct fh_side {
    const struct fh_target *target;
    struct fh_workload workload;
    struct fh_worker *workers;   /* one per thread */
    struct fh_tally *per_thread; /* of the round that is running */
    struct fh_tally total;       /* of all rounds; of the best step of a ramp */
    struct fh_round round[FH_ROUNDS_MAX];
    uint32_t round_count;
    struct fh_step step[FH_STEPS_MAX];
    uint32_t step_count;
    double step_best; /* highest rate at which all gates held; 0 = none */
    double fill_seconds;
    uint64_t fill_bytes;
    bool informed; /* farheap, and `before` and `after` are valid */
    struct fh_server_info before, after;
};

/* A round: how long it measures, and at which rate in total (0 = closed loop). */
struct fh_pace {
    uint32_t round;
    uint64_t duration_ns, requests; /* requests 0 = by time */
    double rate;
};

int fh_side_open(struct fh_run *, struct fh_side *, const struct fh_target *);
void fh_side_close(struct fh_run *, struct fh_side *);
int fh_side_fill(struct fh_run *, struct fh_side *);
/* Adds what it measures to `total`. */
int fh_side_round(struct fh_run *, struct fh_side *, const struct fh_pace *);
/* 7 and a line when --verify has found wrong bytes. */
int fh_side_verdict(const struct fh_side *);
void fh_side_inform(struct fh_run *, struct fh_side *, struct fh_server_info *out);
void fh_side_clean(struct fh_run *, struct fh_side *);

#endif
