/*
 * ops: the operations of a zone: from the bytes of a request to its reply. Before here values are
 * hostile, behind here they are trusted.
 *
 * Ownership  a struct fh_op is a request in progress; it belongs to its session's list until it is
 *            answered, and is freed with the session.
 * Threads    one zone thread.
 * Errors     a request that fails is answered with its status; what makes the connection useless is
 *            told by FH_NEXT_CLOSE.
 */
#ifndef FH_SERVER_OPS_H
#define FH_SERVER_OPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "alloc/zone.h"
#include "config.h"
#include "files.h"
#include "metrics.h"
#include "proto/head.h"
#include "session.h"

enum {
    FH_OPS_KEPT = 256,        /* free ones kept */
    FH_OPS_SINK_SIZE = 65536, /* where refused bodies go */
    FH_VIEW_NAME_MAX = 16,
};

enum fh_op_kind {
    FH_OP_KIND_READER,
    FH_OP_KIND_MUTATION,
    FH_OP_KIND_RANGES,
    FH_OP_KIND_PUT,
    FH_OP_KIND_CHANGE, /* free, delete, publish of what is durable */
    FH_OP_KIND_STAGE,
    FH_OP_KIND_REFUSED, /* its body is on its way and thrown away; `rc` is the answer */
    FH_OP_KIND_VIEW,    /* a document that other threads are asked for */
    FH_OP_KIND_FILE,    /* a file or folder that the thread of files is asked for */
    FH_OP_KIND_SYNC,
    FH_OP_KIND_ADVISE,
};

/* A request in progress. */
struct fh_op {
    struct fh_list link;  /* in its session's list, or free */
    struct fh_list timed; /* among those with a deadline */
    struct fh_ops *ops;
    struct fh_session *session;
    uint64_t id;
    uint64_t arrived_ns, deadline_ms; /* of the clock; deadline 0 = none */
    enum fh_op_kind kind;
    enum fh_op_code code;
    int rc;               /* REFUSED: what to answer */
    bool parked;          /* in the engine, or with another thread: `done` will come */
    bool on_offer;        /* READER: a window may be sent */
    bool tells_object;    /* READER: the answer carries the object (Get) */
    uint64_t owed;        /* bytes counted in session->owed_bytes */
    size_t window_taken;  /* READER: of the window on offer */
    uint64_t body_left;   /* STAGE, REFUSED: bytes still to come */
    struct fh_ref target; /* STAGE of a write */
    uint64_t offset, ttl_ms;
    struct fh_cond cond;
    size_t name_size;
    uint8_t *copy; /* name, then body, when they must outlive the input */
    struct fh_out_source source;
    void *view;              /* VIEW: what fh_ops.ask_view gave */
    struct fh_file_job *job; /* FILE */
    union {
        struct fh_reader reader;
        struct fh_mutation mutation;
        struct fh_ranges ranges;
        struct fh_put put;
        struct fh_change change;
        struct fh_stage stage;
        struct fh_sync sync;
        struct fh_advise advise;
    } u;
};

/* What the operations of one zone share. */
struct fh_ops {
    struct fh_zone *zone;
    const struct fh_config *config;
    struct fh_counters *counters;
    uint32_t zone_index, zones;
    uint64_t incarnation;    /* of the process */
    uint64_t now_ns, now_ms; /* of this turn */
    bool draining;
    struct fh_head_arena arena;
    struct fh_list free_ops;
    uint32_t free_count, live_count;
    struct fh_list timed; /* requests with a deadline */
    struct iovec sink;
    /* Starts to gather a document; fh_ops_view_done is called with the op when it is there. What it
     * returns is given to drop_view when nobody wants it any more. NULL: no memory. */
    void *(*ask_view)(void *ctx, struct fh_op *, const char *view);
    void (*drop_view)(void *asked);
    struct fh_files *files;  /* NULL: nothing is exported */
    struct fh_mailbox *home; /* of the zone's thread: where files answers */
    void *ctx;
};

/* What the connection is to do next. */
enum fh_next {
    FH_NEXT_REQUEST, /* it is done with, or waits without needing the input */
    FH_NEXT_BODY,    /* session->incoming takes the body now */
    FH_NEXT_MOVE,    /* to session->wants_zone, with this request unread */
    FH_NEXT_BAD_HEAD,
    FH_NEXT_BAD_ORDER, /* not Hello first, or Hello twice: answered, and to be closed */
    FH_NEXT_NO_MEMORY,
};

FH_CHECKED int fh_ops_init(struct fh_ops *);
/* All sessions have ended. */
void fh_ops_fini(struct fh_ops *);

/* A whole request. `body` need not stay after the call. */
enum fh_next fh_ops_request(struct fh_ops *, struct fh_session *, const uint8_t *head,
                            uint32_t head_size, const uint8_t *body, uint32_t body_size);
/* A request whose body is longer than FH_WRITE_MAX and comes afterwards. */
enum fh_next fh_ops_begin(struct fh_ops *, struct fh_session *, const uint8_t *head,
                          uint32_t head_size, uint32_t body_size);

/* Where the next bytes of the incoming body go: 0; -EINPROGRESS: nowhere yet, wake will be called.
 * Each 0 is followed by one got, in the same turn. */
FH_CHECKED int fh_ops_body_room(struct fh_op *, const struct iovec **iov, uint32_t *count);
/* So many came. After the last one the operation goes on without the input. */
void fh_ops_body_got(struct fh_op *, size_t bytes);

/* Answers TIMEOUT to those whose deadline has passed. */
void fh_ops_expire(struct fh_ops *);
/* The document an op asked for: body NULL, rc says why not. */
void fh_ops_view_done(struct fh_op *, const char *body, size_t size, int rc);
/* The connection ends: nothing of it stays behind. */
void fh_ops_end_session(struct fh_ops *, struct fh_session *);

#endif
