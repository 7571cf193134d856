/*
 * probe: gets of one small object at a fixed rate over many connections, open loop: each is due at
 * its moment, whatever became of the others, and its latency counts from that moment.
 *
 * Units      seconds, requests per second, microseconds.
 * Threads    the caller's; it sleeps between requests.
 * Errors     negative errno; -ETIMEDOUT replies never came; -EPROTO a reply was none.
 */
#ifndef FH_TESTS_BENCH_PROBE_H
#define FH_TESTS_BENCH_PROBE_H

#include "peer.h"

struct probe_result {
    uint64_t count;
    double p50_us, p99_us, p999_us, worst_us;
};

/* All peers are open; requests go to them in turn. The first fifth is not counted. */
int probe_run(struct peer *, uint32_t peers, const char *name, double rate, double seconds,
              struct probe_result *);

double probe_now(void); /* seconds of the monotonic clock */

#endif
