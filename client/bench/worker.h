/*
 * worker: one thread of the load, its connections, and the loop that keeps them busy.
 *
 * Units      nanoseconds of fh_proc_now.
 * Ownership  caller owns the struct; worker its clients, requests and buffers.
 * Threads    one thread at a time calls run; the caller reads `done`, and the rest after the join.
 * Errors     open returns a status and a sentence in `why`.
 */
#ifndef FH_CLIENT_BENCH_WORKER_H
#define FH_CLIENT_BENCH_WORKER_H

#include "client/bench/pacer.h"
#include "client/bench/tally.h"
#include "client/bench/workload.h"

struct fh_bench_client {
    struct fh_driver *driver;
    struct fh_request *slots; /* as many as the pipeline is deep */
    struct fh_request **idle; /* those not in flight */
    struct fh_request *parts; /* of the slots' scans, or NULL */
    uint32_t idle_count;
    uint64_t rest_until; /* after a broken connection, or when a fill has a rate */
    bool unsent;         /* something was submitted since the last flush */
    size_t watched;      /* its descriptors in the worker's `fds` */
};

/* What a thread does until it is joined. */
struct fh_stint {
    enum fh_phase phase;
    uint64_t start_ns, measure_ns, end_ns; /* RUN: warm-up, measured part, end (UINT64_MAX: none) */
    uint64_t requests; /* RUN: measured ones of all threads together; 0 = by time */
    double rate;       /* RUN: total; 0 = closed loop */
    uint32_t round;
};

struct fh_worker {
    const struct fh_bench_options *o;
    const struct fh_driver_class *class;
    struct fh_workload *w;
    struct fh_tally *tally; /* where RUN counts */
    uint32_t index;         /* of this thread */
    struct fh_draw draw;
    struct fh_bench_client *clients;
    uint32_t client_count;
    uint32_t turn; /* the client asked first for the next due request */
    struct pollfd *fds;
    uint8_t *rooms; /* the requests' buffers */
    struct fh_stint stint;
    struct fh_pacer pacer;
    bool open_loop;      /* in this stint */
    bool ended, waiting; /* no more requests; every candidate is being written */
    bool stuck;          /* replies never came; the connections must not be used again */
    uint32_t in_flight;
    uint64_t last_reply_ns, swept_ns;
    fh_status failed;          /* the first failure of a fill, and on what */
    _Atomic uint64_t done;     /* requests finished in this stint */
    _Atomic uint64_t failures; /* of these */
    char why[FH_DRIVER_WHY];
};

fh_status fh_worker_open(struct fh_worker *, const struct fh_bench_options *,
                         const struct fh_target *, struct fh_workload *, uint32_t index);
void fh_worker_close(struct fh_worker *);
void fh_worker_run(struct fh_worker *, const struct fh_stint *);

#endif
