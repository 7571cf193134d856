/*
 * live: the one line that shows a phase going on, on a terminal; nothing anywhere else.
 *
 * Units      nanoseconds of fh_proc_now.
 * Ownership  a plain value.
 * Threads    one owner.
 */
#ifndef FH_CLIENT_BENCH_LIVE_H
#define FH_CLIENT_BENCH_LIVE_H

#include <stdbool.h>
#include <stdint.h>

struct fh_live {
    bool wanted, shown;
    uint64_t began_ns, last_ns, last_done;
};

/* What is going on; `end_ns` and `all` are 0 where there is none. */
struct fh_live_state {
    const char *label, *doing;
    uint64_t start_ns, end_ns; /* of a phase by time */
    uint64_t done, failed, all;
};

void fh_live_begin(struct fh_live *, bool quiet, uint64_t now_ns);
/* Shows the state, at most ten times a second. */
void fh_live_tell(struct fh_live *, const struct fh_live_state *, uint64_t now_ns);
void fh_live_end(struct fh_live *);

#endif
