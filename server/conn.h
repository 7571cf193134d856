/*
 * conn: a connection: bytes to requests, replies to bytes, deadlines, turns.
 *
 * Ownership  fh_conns owns the connections of a zone. One that moves to another zone belongs to the
 *            message that carries it.
 * Threads    one zone thread; a connection that is being created belongs to its creator until it is
 *            handed over.
 * Errors     none: a connection that cannot go on is closed, counted, and its reason logged.
 */
#ifndef FH_SERVER_CONN_H
#define FH_SERVER_CONN_H

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "log.h"
#include "mailbox.h"
#include "metrics.h"
#include "ops.h"
#include "outq.h"
#include "session.h"
#include "tls.h"

enum {
    FH_CONN_PEER_SIZE = 64,
    FH_CONN_TURN_REQUESTS = 64,
    FH_CONN_SCRATCH_SIZE = 256 * 1024,
    FH_CONN_TURN_BYTES = 1 << 20,   /* one may send in a turn, and all heavy ones in a round */
    FH_CONN_SHARED_BYTES = 1 << 16, /* the same, and received, beside light ones */
    FH_CONN_HEAVY_BYTES = 1 << 15,  /* moved in one turn makes it a heavy one */
    FH_CONN_HEAVY_MS = 1000,        /* for so long */
    FH_CONN_LIGHT_MS = 100,         /* since the last turn of a light one */
    FH_CONN_BODY_STEP = 256 * 1024, /* of a body: gives the frame another frame-timeout */
    FH_CONN_OUTPUT_MS = 30000,      /* output without progress */
    FH_CONN_STALL_MS = 500,         /* between two ticks: it was us who did not look */
    FH_CONN_OUTPUT_LEAST = 1 << 16, /* a connection may always queue */
};

struct fh_conn {
    struct fh_session session;
    struct fh_message message; /* carries it to another zone */
    struct fh_list link;       /* among the connections of its zone */
    struct fh_list runnable;   /* among those that have something to do in this turn */
    struct fh_conns *conns;
    atomic_uint *open; /* connections of the whole process, this one included */
    uint64_t id;
    int fd;
    struct fh_tls *tls; /* NULL = plain text */
    bool tls_ready;
    bool readable;         /* the socket may have input */
    bool ended;            /* the peer has ended its side */
    bool stalled;          /* whole requests may lie in `input` that could not be looked at yet */
    bool closing;          /* `reason` says why */
    bool reading, writing; /* which events are set */
    enum fh_close_reason reason;
    struct event read_event, write_event;
    uint8_t *input; /* what came and was not used up; NULL = nothing */
    uint32_t input_start, input_end, input_cap;
    uint32_t body_size; /* of the body that arrives in pieces */
    uint64_t accepted_ms;
    uint64_t frame_ms;  /* when the first byte of the unfinished frame came; 0 = none */
    uint64_t paused_ms; /* since when it is not read, by our will; 0 = it is read */
    uint64_t active_ms; /* last byte in either direction */
    uint64_t output_ms; /* when output last made progress, or became not empty */
    uint64_t heavy_until_ms;
    uint64_t counted_sent;
    char peer[FH_CONN_PEER_SIZE]; /* address, for the log */
};

/* The connections of one zone. */
struct fh_conns {
    struct fh_list all, runnable;
    uint32_t count;
    struct event_base *base;
    struct fh_ops *ops;
    const struct fh_config *config;
    struct fh_counters *counters;
    struct fh_log *log;
    struct fh_out_pool pool;
    uint64_t shared_until_ms; /* light ones want their turns soon */
    uint64_t ticked_ms;       /* last tick; 0 = none yet */
    uint8_t *scratch;         /* FH_CONN_SCRATCH_SIZE bytes to receive into */
    /* Gives a connection to another zone. */
    void (*move)(void *ctx, struct fh_conn *, uint32_t zone);
    void *ctx;
};

FH_CHECKED int fh_conns_init(struct fh_conns *);
void fh_conns_fini(struct fh_conns *);

/* Takes over the socket, also when it fails: then it is closed. `tls` NULL = plain text. */
struct fh_conn *fh_conn_create(int fd, struct fh_tls_context *tls, const char *peer, uint64_t id,
                               uint64_t now_ms, atomic_uint *open);
/* Ends one that belongs to no zone. */
void fh_conn_discard(struct fh_conn *);
/* It belongs to these connections from now on. */
void fh_conns_adopt(struct fh_conns *, struct fh_conn *);

/* Runs what can go on, the light ones first; true when some has more to do at once. */
bool fh_conns_run(struct fh_conns *);
/* Deadlines; call it now and then. */
void fh_conns_tick(struct fh_conns *);
void fh_conns_close_all(struct fh_conns *, enum fh_close_reason);
uint64_t fh_conns_queued_bytes(const struct fh_conns *);

#endif
