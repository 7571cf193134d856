/*
 * workload: which request comes next, and whether what came back is right.
 *
 * Ownership  caller owns the struct; workload its tables. `noise` serves every body at once.
 * Threads    one fh_workload per target, shared by its threads; what they write is atomic. Each
 *            thread has its own fh_draw.
 * Errors     -ENOMEM from init. A wrong byte is not an error but a fault, kept once, first one
 *            wins.
 */
#ifndef FH_CLIENT_BENCH_WORKLOAD_H
#define FH_CLIENT_BENCH_WORKLOAD_H

#include "client/bench/newest.h"
#include "client/bench/options.h"
#include "client/bench/verify.h"

#include <stdatomic.h>

#define FH_DRAW_POOL 1024u /* from here on ALLOC becomes FREE */

enum fh_phase {
    FH_PHASE_FILL_NAMES,  /* put every named object */
    FH_PHASE_FILL_ALLOC,  /* alloc every object used by handle */
    FH_PHASE_FILL_WRITE,  /* and write it */
    FH_PHASE_RUN,         /* the mix */
    FH_PHASE_CLEAN_NAMES, /* delete what was put */
    FH_PHASE_CLEAN_FREE   /* free what was allocated */
};

enum fh_next { FH_NEXT_READY, FH_NEXT_WAIT, FH_NEXT_END };

/* One thread's own choices. */
struct fh_draw {
    struct fh_random random;
    uint64_t turn;   /* for keys in sequence */
    fh_handle *pool; /* what ALLOC made and FREE has not taken yet */
    uint32_t pooled;
};

struct fh_workload {
    const struct fh_bench_options *o;
    struct fh_keys keys;
    struct fh_newest newest; /* named objects */
    uint32_t mix_sum;
    uint64_t seed_name;        /* in every name: runs do not meet */
    _Atomic uint64_t cursor;   /* the next object of a phase; requests taken, with -n */
    _Atomic uint64_t *version; /* --verify: names, then handles: issued << 32 | stored */
    fh_handle *handle;         /* by object; NULL if nothing is used by handle */
    uint8_t *noise;            /* a body of random bytes, without --verify */
    _Atomic bool stop;         /* asked to end: a signal, a fault, an error of the fill */
    _Atomic bool faulty;       /* `fault` is set */
    struct fh_verify_fault fault;
};

int fh_workload_init(struct fh_workload *, const struct fh_bench_options *);
void fh_workload_fini(struct fh_workload *);
/* A thread with at most `in_flight` requests at once; init begins a round. */
int fh_draw_open(struct fh_draw *, uint32_t in_flight);
void fh_draw_close(struct fh_draw *);
void fh_draw_init(struct fh_draw *, const struct fh_bench_options *, uint32_t thread,
                  uint32_t round);

/* Does the mix use named objects, or objects by handle, that must be there before? */
bool fh_workload_uses_names(const struct fh_workload *);
bool fh_workload_uses_handles(const struct fh_workload *);

/* Fills in the next request. WAIT: every candidate is being written; ask again after a reply. */
enum fh_next fh_workload_next(struct fh_workload *, struct fh_draw *, enum fh_phase,
                              struct fh_request *);

/*
 * Takes note of a finished request; a success that is none (wrong size) becomes FH_PROTOCOL. True:
 * it goes on, *r is its next step and is to be submitted. A part is added to its whole, which is
 * finished when no part is left.
 */
bool fh_workload_done(struct fh_workload *, struct fh_draw *, enum fh_phase, struct fh_request *);

#endif
