/*
 * waiter: a request that must wait, and the line in which requests wait for frames.
 *
 * A call is parked in one of two ways. In the *line* it holds nothing and waits, in arrival order,
 * until the frames it needs are free; then it runs from its beginning. On *I/O* it holds frames and
 * waits until the pages being read for it are there, or until who took over its work says that it
 * is decided. `step` is the engine's: run again; `done` is the owner's: it is over.
 *
 * Ownership  the owner keeps the struct still from parking until `done` or its cancellation.
 * Threads    one zone thread.
 */
#ifndef FH_ALLOC_WAITER_H
#define FH_ALLOC_WAITER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "list.h"

enum fh_call_state { FH_CALL_IDLE, FH_CALL_IN_LINE, FH_CALL_ON_IO, FH_CALL_READY };

struct fh_call {
    void (*done)(
        struct fh_call *); /* the owner's; called at most once per parking, from fh_zone_turn */
    int rc;                /* what it came to, when done runs */
    /* below: the engine's own */
    enum fh_call_state state;
    bool admitted;                 /* it has been at the head of the line: need not queue again */
    uint32_t need;                 /* frames it waits for, in the line */
    struct fh_list link;           /* in the line, among the ready, or in a list of who wakes it */
    int (*step)(struct fh_call *); /* runs it again; -EINPROGRESS when parked again */
    struct fh_hold *hold;          /* what it holds while ON_IO */
    bool is_decided;               /* somebody else has done it: `rc` is what it came to */
};

/* Before the first use; `done` is set by the owner. */
static inline void fh_call_init(struct fh_call *call, int (*step)(struct fh_call *))
{
    call->state = FH_CALL_IDLE;
    call->admitted = false;
    call->rc = 0;
    call->step = step;
    call->hold = NULL;
    call->is_decided = false;
}

struct fh_line {
    struct fh_list waiting; /* for frames, in arrival order */
    struct fh_list ready;   /* their pages arrived: run in this turn */
    uint32_t count;         /* calls parked, in the line or on I/O */
    uint64_t parked_total;
};

void fh_line_init(struct fh_line *);
/* Parks a call in the line for `need` frames: at its end, or at its head if it was admitted before.
 */
void fh_line_park(struct fh_line *, struct fh_call *, uint32_t need);
/* Parks a call until its hold is complete, or make_ready is called. Its link is the caller's. */
void fh_line_park_on_io(struct fh_line *, struct fh_call *, struct fh_hold *);
/* The hold is complete: the call will run in this turn. */
void fh_line_make_ready(struct fh_line *, struct fh_call *);
/* Takes a call out of whatever it waits in. */
void fh_line_leave(struct fh_line *, struct fh_call *);
/* The first in the line, or NULL; it stays there. */
struct fh_call *fh_line_head(struct fh_line *);
/* Runs a call that left the line or became ready, and tells its owner if that ended it. */
void fh_call_run(struct fh_call *);

struct fh_line_stats {
    uint32_t in_line, ready, on_io; /* calls parked now, by what for */
    uint64_t parked_total;          /* so far */
};
void fh_line_stats(const struct fh_line *, struct fh_line_stats *out);
bool fh_line_check(const struct fh_line *, FILE *why);
void fh_line_dump(const struct fh_line *, FILE *out);

static inline bool fh_line_is_empty(const struct fh_line *line)
{
    return fh_list_is_empty(&line->waiting);
}

#endif
