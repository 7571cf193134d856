/*
 * outq: what a connection has yet to send, in order: bytes of its own, and sources, whose bytes lie
 * elsewhere and are asked for only when the socket is about to take them.
 *
 * Ownership  caller owns the struct; a source is its owner's, linked until its `close` is called.
 *            Chunks come from a pool that several queues of one thread share.
 * Threads    one zone thread.
 * Errors     -ENOMEM no chunk: what did not fit is not queued. A socket error stays in `error`.
 */
#ifndef FH_SERVER_OUTQ_H
#define FH_SERVER_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "alloc/assert.h"
#include "alloc/list.h"

enum {
    FH_OUT_CHUNK_SIZE = 32 * 1024 - 64,
    FH_OUT_CHUNKS_KEPT = 64, /* in the pool */
    FH_OUT_IOV_MAX = 128,
};

struct fh_out_segment {
    struct fh_list link;
    bool is_source;
};

struct fh_out_chunk {
    struct fh_out_segment segment;
    uint32_t start, end; /* of the bytes not sent yet */
    uint8_t bytes[FH_OUT_CHUNK_SIZE];
};

struct fh_out_pool {
    struct fh_list chunks; /* free ones */
    uint32_t count;        /* of them */
    uint32_t used;         /* chunks in queues */
};

struct fh_out_source {
    struct fh_out_segment segment;
    /* Its next bytes. 0; *count 0 = there are no more; -EINPROGRESS they will come: flush again
     * then; else the error that ends the connection. */
    int (*offer)(struct fh_out_source *, const struct iovec **iov, uint32_t *count);
    /* That many of the offered bytes are gone; the offer ends. */
    void (*took)(struct fh_out_source *, size_t bytes);
    /* It left the queue. */
    void (*close)(struct fh_out_source *);
};

/* How a flush ended. */
enum fh_out_state {
    FH_OUT_EMPTY,   /* all is sent */
    FH_OUT_BLOCKED, /* the socket takes no more for now */
    FH_OUT_WAITING, /* a source has nothing yet */
    FH_OUT_MORE,    /* turn_left is used up */
    FH_OUT_BROKEN,  /* `error` tells */
};

struct fh_outq {
    struct fh_list segments;
    struct fh_out_pool *pool;
    size_t queued_bytes; /* in chunks [I1] */
    uint32_t sources;    /* queued [I1] */
    uint64_t sent_bytes;
    uint64_t turn_left; /* bytes that may be sent until its owner gives it more */
    int error;          /* of the socket or a source; nothing is sent from then on */
    /* Takes bytes of the iovecs: how many, or -EAGAIN, or the error. */
    ssize_t (*send)(void *ctx, const struct iovec *iov, uint32_t count);
    void *ctx;
};

void fh_out_pool_init(struct fh_out_pool *);
void fh_out_pool_fini(struct fh_out_pool *);
/* Memory of what is queued in all its queues. */
static inline uint64_t fh_out_pool_used_bytes(const struct fh_out_pool *pool)
{
    return (uint64_t)pool->used * sizeof(struct fh_out_chunk);
}

/* turn_left is without limit at first. */
void fh_outq_init(struct fh_outq *, struct fh_out_pool *,
                  ssize_t (*send)(void *ctx, const struct iovec *iov, uint32_t count), void *ctx);
/* Closes the sources that are left. */
void fh_outq_fini(struct fh_outq *);

static inline bool fh_outq_is_empty(const struct fh_outq *q)
{
    return fh_list_is_empty(&q->segments);
}

/* Room for at least `size` (at most FH_OUT_CHUNK_SIZE) bytes in one piece; NULL: no memory. Ends
 * with fh_outq_commit of the bytes written there. */
uint8_t *fh_outq_reserve(struct fh_outq *, size_t size);
void fh_outq_commit(struct fh_outq *, size_t size);
FH_CHECKED int fh_outq_add(struct fh_outq *, const void *bytes, size_t size);
void fh_outq_add_source(struct fh_outq *, struct fh_out_source *);
/* Replaces a queued source by a copy of its current offer and closes it. -ENOMEM: it stays. */
FH_CHECKED int fh_outq_copy_source(struct fh_outq *, struct fh_out_source *);

enum fh_out_state fh_outq_flush(struct fh_outq *);

bool fh_outq_check(const struct fh_outq *, FILE *why);
void fh_outq_dump(const struct fh_outq *, FILE *out);

#endif
