/*
 * conn: one connection: a socket that connects without blocking, TLS on it if wanted, bytes out of
 * a sendq, and frames cut from the bytes that arrive. Knows nothing of what a head means.
 *
 * Units      bytes.
 * Ownership  caller owns the struct; on_body_to's memory must stay valid until the body is there or
 *            fh_conn_drop_body was called.
 * Threads    one owner thread.
 * Errors     0, or negative errno with a sentence in `why`: -ECONNREFUSED and its like when it
 *            could not be opened, -ECONNRESET the peer is gone, -EPROTO it broke the protocol.
 * Cost       one recv takes up to 64 KiB of small frames; with `exact`, of a large body all but the
 *            first half KiB are received where they belong.
 */
#ifndef FH_CLIENT_CONN_H
#define FH_CLIENT_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "client/sendq.h"
#include "client/tls.h"

enum {
    FH_CONN_INPUT = 64 << 10, /* the receive buffer */
    FH_CONN_WHY_SIZE = 192,
    FH_CONN_DIRECT_MIN = 16 << 10, /* of a body this much left is received in place */
    FH_CONN_HEAD_FIRST = 512,      /* with `exact`, received first: a head, and a little body */
};

/* Upward calls; they may push to `out`, and must neither close nor receive. */
struct fh_conn_events {
    void *context;
    /* A head, and the size of the body after it. *body is where the body goes, NULL: nowhere. A
     * negative errno ends the connection and is what fh_conn_ready returns. */
    int (*on_head)(void *context, const uint8_t *head, size_t head_size, uint32_t body_size,
                   uint8_t **body);
    void (*on_body)(void *context); /* the body is complete, also when its size is 0 */
};

enum fh_conn_state { FH_CONN_CLOSED, FH_CONN_CONNECTING, FH_CONN_SHAKING, FH_CONN_OPEN };

struct fh_conn {
    int fd; /* -1 when closed */
    enum fh_conn_state state;
    struct fh_conn_events events;
    struct fh_sendq out;
    struct fh_tls_stream tls; /* ssl is NULL on a plain connection */
    uint8_t *in;              /* FH_CONN_INPUT bytes; live are in[in_start .. in_end) */
    size_t in_start, in_end;
    bool in_body;       /* between on_head and on_body */
    bool exact;         /* set by the floor above: what comes is large, or nothing comes after it */
    uint8_t *body_to;   /* where the next byte of the body goes; NULL: nowhere */
    uint32_t body_left; /* of the body */
    char why[FH_CONN_WHY_SIZE];
};

struct fh_conn_peer {
    const struct sockaddr *address;
    socklen_t address_size;
    const struct fh_tls *tls; /* NULL: plain */
    const char *name;         /* for the certificate */
};

void fh_conn_init(struct fh_conn *, struct fh_conn_events);
void fh_conn_fini(struct fh_conn *);

/* Begins to connect; progress is made by fh_conn_ready. */
int fh_conn_open(struct fh_conn *, const struct fh_conn_peer *);
void fh_conn_close(struct fh_conn *);

/* What to poll for: POLLIN, POLLOUT. */
short fh_conn_wants(const struct fh_conn *);
/* The descriptor is ready: go on connecting, else receive and send. */
int fh_conn_ready(struct fh_conn *, bool readable);
/* Sends as much of `out` as the socket takes; nothing before the connection is open. */
int fh_conn_flush(struct fh_conn *);
/* False when the peer has gone while nothing was expected from it. */
bool fh_conn_is_alive(const struct fh_conn *);
/* The memory of the body that is arriving goes away; the rest of it is thrown away. */
void fh_conn_drop_body(struct fh_conn *);

#endif
