/*
 * options: what `farheap bench` was asked to do, parsed and checked.
 *
 * Units      bytes, nanoseconds, operations per second.
 * Ownership  a plain value; strings point into argv and the environment.
 * Errors     parse prints one line to stderr and returns 2; FH_OPTIONS_DONE after -h.
 */
#ifndef FH_CLIENT_BENCH_OPTIONS_H
#define FH_CLIENT_BENCH_OPTIONS_H

#include "client/bench/driver.h"
#include "client/bench/gate.h"
#include "client/bench/keys.h"

#include <sys/types.h>

#define FH_OPTIONS_DONE -1
#define FH_SIZES_MAX    16
#define FH_TARGETS_MAX  4
#define FH_ASSERTS_MAX  16
#define FH_PERCENTS_MAX 8
#define FH_ROUNDS_MAX   99
#define FH_WORKFILE_MAX 4096
#define FH_STEPS_MAX    200

struct fh_sizes {
    uint32_t count;
    uint64_t bytes[FH_SIZES_MAX];
    uint32_t weight[FH_SIZES_MAX]; /* any unit; the sum is `weights` */
    uint32_t weights;
    uint64_t bytes_max;
    bool is_range; /* any size from bytes[0] to bytes_max */
};

struct fh_target {
    const struct fh_driver_class *class;
    char address[256]; /* a URL for farheap, else HOST:PORT */
    char label[16];    /* farheap, redis, redis2, ... */
    pid_t pid;         /* of the server, for its CPU time; 0 = not known */
};

struct fh_bench_options {
    const char *workload; /* a name of presets.c, the path of a file, or "mix" */
    uint32_t mix[FH_OPS]; /* weights */
    struct fh_dist_shape shape;
    uint64_t keys, seed, touch_bytes; /* touch 0 = whole objects */
    uint32_t scan_max;
    double overcommit;  /* times the server's memory, instead of `keys`; 0 = keys counts */
    uint64_t fill_rate; /* objects per second before the run; 0 = as fast as it goes */
    struct fh_sizes sizes;
    uint32_t clients, threads, pipeline;
    uint32_t rounds; /* of each target; 0 = three when there are several */
    uint64_t duration_ns, warmup_ns, requests; /* requests 0 = by time */
    double rate;                               /* total; 0 = closed loop */
    double ramp_to, ramp_by;                   /* open loop from `rate` on; ramp_by 0 = no ramp */
    uint64_t ramp_step_ns;                     /* measured at each rate */
    bool poisson, verify, quiet, server_stats, keep;
    uint64_t gap_ns;      /* between filling and measuring */
    const char *gap_file; /* the same: until it exists; or NULL */
    const char *json_path, *csv_path, *hgrm_prefix, *hlog_path, *plot_path; /* NULL: not written */
    double percents[FH_PERCENTS_MAX];
    uint32_t percent_count;
    struct fh_gate gates[FH_ASSERTS_MAX];
    uint32_t gate_count;
    struct fh_target targets[FH_TARGETS_MAX];
    uint32_t target_count;
    fh_options client;              /* TLS and timeouts of farheap targets */
    char workfile[FH_WORKFILE_MAX]; /* the text of `-w FILE` */
};

/* 0, FH_OPTIONS_DONE, or the exit code 2. Resets getopt. */
int fh_bench_options_parse(struct fh_bench_options *, int argc, char **argv);

/* What the options come to once the memory of the server is known; a whole number of keys. */
void fh_bench_options_overcommit(struct fh_bench_options *, uint64_t memory_bytes);

/* The size of an object, the same in every run with this seed. */
uint64_t fh_sizes_of(const struct fh_sizes *, uint64_t object, uint64_t seed);

#endif
