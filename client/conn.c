/*
 * Theory.  Four states, in this order, and from each back to CLOSED:
 *
 *   CLOSED -> CONNECTING -> SHAKING (TLS only) -> OPEN
 *
 * Input is a run of frames: prefix, head, body. Heads are parsed where recv put them; a body is
 * copied from there, and what of a large one has not arrived yet is received straight into the
 * caller's memory. With TLS the stream is read until it has nothing more, for bytes that OpenSSL
 * has already taken from the socket would not make the descriptor ready again.
 *
 * Invariants
 *   [I1] fd >= 0 exactly when the state is not CLOSED
 *   [I2] in_start <= in_end <= FH_CONN_INPUT; while in_body the buffer is empty or body_left is 0
 *   [I3] body_to advances with body_left: together they never leave the memory on_head named
 */
#include "client/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/frame.h"

enum { VECTORS_MAX = 64, RECORD_SIZE = 16 << 10 };

void fh_conn_init(struct fh_conn *c, struct fh_conn_events events)
{
    memset(c, 0, sizeof(*c));
    c->fd = -1;
    c->events = events;
    fh_sendq_init(&c->out);
}

void fh_conn_fini(struct fh_conn *c)
{
    fh_conn_close(c);
    free(c->in);
    c->in = NULL;
}

static int conn_fail(struct fh_conn *c, int rc, const char *what)
{
    char text[96];

    (void)snprintf(c->why, sizeof(c->why), "%s: %s", what, strerror_r(-rc, text, sizeof(text)));
    return rc;
}

static int conn_protocol(struct fh_conn *c, const char *what)
{
    if (c->why[0] == '\0')
        (void)snprintf(c->why, sizeof(c->why), "%s", what);
    return -EPROTO;
}

static int conn_tls(struct fh_conn *c)
{
    (void)snprintf(c->why, sizeof(c->why), "%s", c->tls.why);
    return -ECONNABORTED;
}

static int conn_gone(struct fh_conn *c)
{
    (void)snprintf(c->why, sizeof(c->why), "the server closed the connection");
    return -ECONNRESET;
}

void fh_conn_close(struct fh_conn *c)
{
    fh_tls_close(&c->tls);
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    c->state = FH_CONN_CLOSED;
    fh_sendq_fini(&c->out);
    c->in_start = c->in_end = 0;
    c->in_body = false;
    c->body_to = NULL;
    c->body_left = 0;
}

static int conn_shake(struct fh_conn *c)
{
    int rc;

    if (c->tls.ssl != NULL && (rc = fh_tls_handshake(&c->tls)) != 0)
        return rc == -EAGAIN ? 0 : conn_tls(c);
    c->state = FH_CONN_OPEN;
    return fh_conn_flush(c);
}

static int conn_connected(struct fh_conn *c)
{
    c->state = FH_CONN_SHAKING;
    return conn_shake(c);
}

/* Socket options fail on a unix socket, which has no use for them. */
static void socket_tune(int fd)
{
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static int conn_start(struct fh_conn *c, const struct fh_conn_peer *peer)
{
    int rc;

    c->fd = socket(peer->address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return conn_fail(c, -errno, "socket");
    c->state = FH_CONN_CONNECTING;
    socket_tune(c->fd);
    if (peer->tls != NULL && (rc = fh_tls_open(peer->tls, c->fd, peer->name, &c->tls)) != 0)
        return conn_fail(c, rc, "TLS");
    if (connect(c->fd, peer->address, peer->address_size) == 0)
        return conn_connected(c);
    return errno == EINPROGRESS ? 0 : conn_fail(c, -errno, "connect");
}

int fh_conn_open(struct fh_conn *c, const struct fh_conn_peer *peer)
{
    int rc;

    c->why[0] = '\0';
    if (c->in == NULL && (c->in = malloc(FH_CONN_INPUT)) == NULL)
        return conn_fail(c, -ENOMEM, "receive buffer");
    if ((rc = conn_start(c, peer)) != 0)
        fh_conn_close(c);
    return rc;
}

static int conn_connect_go_on(struct fh_conn *c)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (error != 0)
        return conn_fail(c, -error, "connect");
    return conn_connected(c);
}

short fh_conn_wants(const struct fh_conn *c)
{
    switch (c->state) {
    case FH_CONN_CONNECTING:
        return POLLOUT;
    case FH_CONN_SHAKING:
        return c->tls.wants_write ? POLLOUT : POLLIN;
    case FH_CONN_OPEN:
        return c->out.bytes > 0 ? POLLIN | POLLOUT : POLLIN;
    default:
        return 0;
    }
}

/* --- input */

static ssize_t conn_recv(struct fh_conn *c, void *buf, size_t size)
{
    ssize_t n;

    if (c->tls.ssl != NULL)
        return fh_tls_read(&c->tls, buf, size);
    do {
        n = recv(c->fd, buf, size, 0);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void body_end(struct fh_conn *c)
{
    c->in_body = false;
    c->body_to = NULL;
    c->events.on_body(c->events.context);
}

/* Moves what the buffer has of the body; true when the body is complete. */
static bool body_take(struct fh_conn *c)
{
    size_t part = c->in_end - c->in_start;

    if (part > c->body_left)
        part = c->body_left;
    if (c->body_to != NULL) {
        memcpy(c->body_to, c->in + c->in_start, part);
        c->body_to += part;
    }
    c->in_start += part;
    c->body_left -= (uint32_t)part;
    return c->body_left == 0;
}

/* 1: a head was taken; 0: it has not arrived in full. */
static int head_take(struct fh_conn *c)
{
    size_t live = c->in_end - c->in_start;
    const uint8_t *bytes = c->in + c->in_start;
    struct fh_frame_prefix prefix;
    int rc;

    if (live < FH_FRAME_PREFIX_SIZE)
        return 0;
    if (fh_frame_prefix_load(bytes, FH_HEAD_MAX, FH_BODY_MAX, &prefix) != 0)
        return conn_protocol(c, "the server sent a frame with an impossible size");
    if (live < FH_FRAME_PREFIX_SIZE + (size_t)prefix.head_size)
        return 0;
    c->body_to = NULL;
    rc = c->events.on_head(c->events.context, bytes + FH_FRAME_PREFIX_SIZE, prefix.head_size,
                           prefix.body_size, &c->body_to);
    if (rc != 0)
        return rc == -EPROTO ? conn_protocol(c, "the server sent what is not the protocol") : rc;
    c->in_start += FH_FRAME_PREFIX_SIZE + (size_t)prefix.head_size;
    c->body_left = prefix.body_size;
    c->in_body = true;
    return 1;
}

/* Cuts all frames the buffer holds. */
static int frames_take(struct fh_conn *c)
{
    int rc;

    for (;;) {
        if (c->in_body) {
            if (!body_take(c))
                return 0;
            body_end(c);
        }
        if ((rc = head_take(c)) <= 0)
            return rc;
    }
}

static void input_compact(struct fh_conn *c)
{
    size_t live = c->in_end - c->in_start;

    if (c->in_start == 0)
        return;
    memmove(c->in, c->in + c->in_start, live);
    c->in_start = 0;
    c->in_end = live;
}

/* May the rest of the body be received where it belongs? A small rest shares a recv with what comes
 * after it, if something may. */
static bool body_is_direct(const struct fh_conn *c)
{
    return c->in_body && c->body_to != NULL && (c->exact || c->body_left >= FH_CONN_DIRECT_MIN);
}

/* One recv, into the body itself or into the buffer; returns its outcome, *asked what it could
 * have been. */
static ssize_t conn_fill(struct fh_conn *c, size_t *asked)
{
    ssize_t n;

    if (body_is_direct(c)) {
        *asked = c->body_left;
        n = conn_recv(c, c->body_to, c->body_left);
        if (n > 0) {
            c->body_to += n;
            c->body_left -= (uint32_t)n;
        }
        return n;
    }
    input_compact(c);
    *asked = FH_CONN_INPUT - c->in_end;
    if (c->exact && !c->in_body && c->in_end < FH_CONN_HEAD_FIRST)
        *asked = FH_CONN_HEAD_FIRST - c->in_end;
    n = conn_recv(c, c->in + c->in_end, *asked);
    if (n > 0)
        c->in_end += (size_t)n;
    return n;
}

static int conn_receive(struct fh_conn *c)
{
    for (;;) {
        size_t asked;
        ssize_t n = conn_fill(c, &asked);
        int rc;

        if (n == -EAGAIN)
            return 0;
        if (n == -EPROTO)
            return conn_tls(c);
        if (n == 0)
            return conn_gone(c);
        if (n < 0)
            return conn_fail(c, (int)n, "receive");
        if ((rc = frames_take(c)) != 0)
            return rc;
        if (c->tls.ssl == NULL && (size_t)n < asked)
            return 0;
    }
}

int fh_conn_ready(struct fh_conn *c, bool readable)
{
    int rc;

    switch (c->state) {
    case FH_CONN_CONNECTING:
        return conn_connect_go_on(c);
    case FH_CONN_SHAKING:
        return conn_shake(c);
    case FH_CONN_OPEN:
        if (readable && (rc = conn_receive(c)) != 0)
            return rc;
        return fh_conn_flush(c);
    default:
        return 0;
    }
}

bool fh_conn_is_alive(const struct fh_conn *c)
{
    char byte;
    ssize_t n = recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

void fh_conn_drop_body(struct fh_conn *c)
{
    c->body_to = NULL;
}

/* --- output */

static ssize_t send_plain(struct fh_conn *c)
{
    struct iovec vector[VECTORS_MAX];
    struct msghdr message = {.msg_iov = vector};
    ssize_t n;

    message.msg_iovlen = fh_sendq_peek(&c->out, vector, VECTORS_MAX);
    do {
        n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Heads and bodies are gathered, so that small requests share a record; a body that fills one is
 * sealed from where it is. */
static ssize_t send_record(struct fh_conn *c)
{
    uint8_t record[RECORD_SIZE];
    struct iovec first;
    size_t size;

    if (fh_sendq_peek(&c->out, &first, 1) == 1 && first.iov_len >= RECORD_SIZE)
        return fh_tls_write(&c->tls, first.iov_base, RECORD_SIZE);
    size = fh_sendq_copy(&c->out, record, sizeof(record));
    return fh_tls_write(&c->tls, record, size);
}

int fh_conn_flush(struct fh_conn *c)
{
    while (c->state == FH_CONN_OPEN && c->out.bytes > 0) {
        ssize_t n = c->tls.ssl != NULL ? send_record(c) : send_plain(c);
        int rc;

        if (n == -EAGAIN)
            return 0;
        if (n > 0) {
            fh_sendq_drop(&c->out, (size_t)n);
            continue;
        }
        /* The server may have said why before it closed: what has arrived is taken first. */
        if ((rc = conn_receive(c)) != 0)
            return rc;
        return n == -EPROTO ? conn_tls(c) : n == 0 ? conn_gone(c) : conn_fail(c, (int)n, "send");
    }
    return 0;
}
