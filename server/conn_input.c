/*
 * Theory.  A turn receives once, as much as has arrived, into a buffer that all connections of the
 * zone share, and answers as many whole requests as that holds, up to a budget. Only what is left
 * over of an unfinished request is kept, in a buffer of the connection's own; what follows is
 * received behind it, and what follows that again into the shared one, in one call.
 *
 *   socket -> scratch | input -> [prefix][head][body] -> ops -> outq
 *                  \-> body longer than FH_WRITE_MAX: received straight into frames
 *
 * Invariants
 *   [I1] input bytes are [input_start, input_end) of input_cap; input is NULL when there are none
 *   [I2] frame_ms is 0 exactly when no part of an unfinished frame has come
 */
#include "conn_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/frame.h"

/* --- input --- */

static uint32_t input_size(const struct fh_conn *c)
{
    return c->input_end - c->input_start;
}

static void input_forget(struct fh_conn *c)
{
    free(c->input);
    c->input = NULL;
    c->input_start = 0;
    c->input_end = 0;
    c->input_cap = 0;
}

/* Room for a frame of `size` bytes that starts at input_start. */
static bool input_make_room(struct fh_conn *c, uint32_t size)
{
    enum { LEAST = 16 * 1024 };
    uint32_t cap = size < LEAST ? LEAST : size;

    if (c->input_start > 0 && c->input_cap - c->input_start < size) {
        memmove(c->input, c->input + c->input_start, input_size(c));
        c->input_end -= c->input_start;
        c->input_start = 0;
    }
    if (c->input_cap - c->input_start >= size)
        return true;
    uint8_t *larger = realloc(c->input, cap);
    if (!larger)
        return false;
    c->input = larger;
    c->input_cap = cap;
    return true;
}

/* Keeps what the shared buffer still holds. */
static bool input_keep(struct fh_conn *c, const uint8_t *bytes, uint32_t size, uint32_t need)
{
    if (size == 0)
        return true;
    if (!input_make_room(c, need > size ? need : size))
        return false;
    memcpy(c->input, bytes, size);
    c->input_end = size;
    return true;
}

/* Puts what came behind what is kept. */
static bool input_append(struct fh_conn *c, const uint8_t *bytes, uint32_t size)
{
    if (size == 0)
        return true;
    if (!input_make_room(c, input_size(c) + size))
        return false;
    memcpy(c->input + c->input_end, bytes, size);
    c->input_end += size;
    return true;
}

/* Bytes; 0 = the peer has ended; -EAGAIN; else the error. */
static ssize_t conn_recv(struct fh_conn *c, void *buf, size_t size)
{
    if (c->tls)
        return fh_tls_recv(c->tls, buf, size);
    ssize_t got = recv(c->fd, buf, size, 0);
    if (got >= 0)
        return got;
    return errno == EAGAIN || errno == EINTR ? -EAGAIN : -errno;
}

static void conn_note_received(struct fh_conn *c, size_t bytes)
{
    c->conns->counters->received_bytes += bytes;
    c->active_ms = c->conns->ops->now_ms;
}

/* What a receive that brought no bytes means. */
static void conn_recv_failed(struct fh_conn *c, ssize_t got)
{
    c->readable = false;
    if (got == 0)
        c->ended = true;
    else if (got == -EPROTO)
        fh_conn_close(c, FH_CLOSE_TLS);
    else if (got != -EAGAIN)
        fh_conn_close(c, FH_CLOSE_RESET);
}

/*
 * Receives until `size` bytes are there or the socket is empty. Plain text takes one call. So does
 * TLS when it brought little and nothing is left inside: should there be more, an event will tell.
 */
static uint32_t conn_fill(struct fh_conn *c, uint8_t *buf, uint32_t size)
{
    uint32_t filled = 0;

    while (filled < size) {
        ssize_t got = conn_recv(c, buf + filled, size - filled);
        if (got <= 0) {
            conn_recv_failed(c, got);
            break;
        }
        filled += (uint32_t)got;
        if (!c->tls) {
            c->readable = filled == size;
            break;
        }
        if (filled < FH_TLS_RECORD_SIZE && !fh_tls_has_pending(c->tls)) {
            c->readable = false;
            break;
        }
    }
    conn_note_received(c, filled);
    return filled;
}

/* --- requests --- */

/* How parsing went on a run of bytes. */
struct conn_parse {
    const uint8_t *at;
    uint32_t left;
    uint32_t need;     /* bytes the unfinished frame at `at` needs before anything can be done */
    unsigned requests; /* so far in this turn */
    bool again;        /* whole requests are left: the budget is used up */
};

bool fh_conn_may_parse(const struct fh_conn *c)
{
    const struct fh_conns *s = c->conns;
    bool full = fh_out_pool_used_bytes(&s->pool) > s->config->output_total / s->ops->zones;
    uint64_t limit = full ? FH_CONN_OUTPUT_LEAST : s->config->output_limit;

    return !c->closing && !c->session.incoming && c->session.out.error == 0 &&
           !fh_session_is_throttled(&c->session, s->ops->now_ms / 1000, limit);
}

/* Gives one frame, whose head is whole, to ops. */
static enum fh_next conn_give(struct fh_conn *c, struct conn_parse *p,
                              struct fh_frame_prefix prefix)
{
    const uint8_t *head = p->at + FH_FRAME_PREFIX_SIZE;
    const uint8_t *body = head + prefix.head_size;
    uint32_t used = FH_FRAME_PREFIX_SIZE + prefix.head_size;
    enum fh_next next;

    if (prefix.body_size <= FH_WRITE_MAX) {
        next = fh_ops_request(c->conns->ops, &c->session, head, prefix.head_size, body,
                              prefix.body_size);
        used += prefix.body_size;
    } else {
        next = fh_ops_begin(c->conns->ops, &c->session, head, prefix.head_size, prefix.body_size);
        c->body_size = prefix.body_size;
    }
    if (next == FH_NEXT_REQUEST || next == FH_NEXT_BODY || next == FH_NEXT_BAD_ORDER) {
        p->at += used;
        p->left -= used;
        p->requests++;
    }
    return next;
}

/* One frame, if it is all there; false = not, or the connection does something else now. */
static bool conn_parse_one(struct fh_conn *c, struct conn_parse *p)
{
    bool known = c->session.known;
    struct fh_frame_prefix prefix;

    p->need = FH_FRAME_PREFIX_SIZE;
    if (p->left < FH_FRAME_PREFIX_SIZE)
        return false;
    if (fh_frame_prefix_load(p->at, known ? FH_HEAD_MAX : FH_HEAD_MAX_STRANGER,
                             known ? (uint32_t)c->conns->config->max_body : 0, &prefix) != 0) {
        fh_conn_close(c, FH_CLOSE_FRAME);
        return false;
    }
    p->need += prefix.head_size + (prefix.body_size <= FH_WRITE_MAX ? prefix.body_size : 0);
    if (p->left < p->need)
        return false;
    p->need = 0;
    switch (conn_give(c, p, prefix)) {
    case FH_NEXT_REQUEST:
        return true;
    case FH_NEXT_BODY:
    case FH_NEXT_MOVE:
        return false;
    case FH_NEXT_BAD_HEAD:
        fh_conn_close(c, FH_CLOSE_HEAD);
        return false;
    case FH_NEXT_BAD_ORDER:
        fh_conn_close(c, FH_CLOSE_ORDER);
        return false;
    case FH_NEXT_NO_MEMORY:
        fh_conn_close(c, FH_CLOSE_MEMORY);
        return false;
    }
    return false;
}

/* The body that arrives in pieces takes what of it lies in the input. */
static void conn_feed_body(struct fh_conn *c, struct conn_parse *p)
{
    const struct iovec *iov;
    uint32_t count;

    while (c->session.incoming && p->left > 0) {
        struct fh_op *op = c->session.incoming;
        size_t fed = 0;
        if (fh_ops_body_room(op, &iov, &count) != 0)
            return;
        for (uint32_t i = 0; i < count && p->left > 0; i++) {
            uint32_t part = p->left < iov[i].iov_len ? p->left : (uint32_t)iov[i].iov_len;
            if (part > op->body_left - fed)
                part = (uint32_t)(op->body_left - fed);
            memcpy(iov[i].iov_base, p->at, part);
            p->at += part;
            p->left -= part;
            fed += part;
        }
        fh_ops_body_got(op, fed);
    }
}

static void conn_parse_run(struct fh_conn *c, struct conn_parse *p)
{
    uint32_t before = p->left;

    p->need = 0;
    c->stalled = false;
    for (;;) {
        conn_feed_body(c, p);
        if (!fh_conn_may_parse(c) || p->left == 0) {
            c->stalled = p->left > 0;
            break;
        }
        if (p->requests >= FH_CONN_TURN_REQUESTS || c->session.out.turn_left == 0) {
            p->again = true;
            break;
        }
        if (!conn_parse_one(c, p) && !c->session.incoming)
            break;
    }
    if (p->left == 0 && !c->session.incoming)
        c->frame_ms = 0;
    else if (p->left < before || c->frame_ms == 0)
        c->frame_ms = c->conns->ops->now_ms;
}

/* --- the part of a turn that reads --- */

/* The first bytes of `iov`, at most `most`; returns the count of what they are in. */
static uint32_t iov_cut(struct iovec *out, const struct iovec *iov, uint32_t count, uint64_t most)
{
    uint32_t i = 0;

    for (; i < count && most > 0; i++) {
        out[i] = iov[i];
        if (out[i].iov_len > most)
            out[i].iov_len = (size_t)most;
        most -= out[i].iov_len;
    }
    return i;
}

/* A body straight from the socket into frames: one window per turn, or a part of it. */
static void conn_receive_body(struct fh_conn *c)
{
    struct fh_op *op = c->session.incoming;
    struct iovec part[FH_HOLD_MAX];
    const struct iovec *iov;
    uint32_t count;
    size_t fed = 0;

    if (fh_ops_body_room(op, &iov, &count) != 0)
        return;
    FH_ASSERT(count <= FH_HOLD_MAX);
    count = iov_cut(part, iov, count, fh_min_u64(op->body_left, fh_conn_receive_max(c)));
    if (c->tls) {
        for (uint32_t i = 0; i < count && c->readable; i++)
            fed += conn_fill(c, part[i].iov_base, (uint32_t)part[i].iov_len);
    } else {
        ssize_t got = readv(c->fd, part, (int)count);
        if (got > 0) {
            fed = (size_t)got;
            conn_note_received(c, fed);
        } else {
            conn_recv_failed(c, got == 0 ? 0 : errno == EINTR ? -EAGAIN : -errno);
        }
    }
    fh_ops_body_got(op, fed);
    if (!c->session.incoming)
        c->frame_ms = 0;
}

/* Answers what the connection's own buffer holds. */
static bool conn_turn_input(struct fh_conn *c, struct conn_parse *p)
{
    p->at = c->input + c->input_start;
    p->left = input_size(c);
    conn_parse_run(c, p);
    c->input_start = c->input_end - p->left;
    if (p->left == 0) {
        input_forget(c);
        return true;
    }
    if (p->need > 0 && !input_make_room(c, p->need)) {
        fh_conn_close(c, FH_CLOSE_MEMORY);
        return false;
    }
    return p->need > 0;
}

/* Answers what the shared buffer holds; the rest is kept. */
static void conn_turn_scratch(struct fh_conn *c, struct conn_parse *p, uint32_t size)
{
    if (size == 0)
        return;
    p->at = c->conns->scratch;
    p->left = size;
    conn_parse_run(c, p);
    if (!input_keep(c, p->at, p->left, p->need))
        fh_conn_close(c, FH_CLOSE_MEMORY);
}

/*
 * Receives behind what is kept, and with the same call into the shared buffer what follows it: else
 * a frame that lacks few bytes would cost a call for them alone. As much as fits: to copy the
 * beginning of a large frame costs less than another call does.
 */
static void conn_receive_through(struct fh_conn *c, struct conn_parse *p)
{
    uint32_t room = c->input_cap - c->input_end;
    uint32_t more = fh_conn_receive_max(c);
    struct iovec iov[] = {{.iov_base = c->input + c->input_end, .iov_len = room},
                          {.iov_base = c->conns->scratch, .iov_len = more}};
    ssize_t got = readv(c->fd, iov, 2);

    if (got <= 0) {
        conn_recv_failed(c, got == 0 ? 0 : errno == EINTR ? -EAGAIN : -errno);
        got = 0;
    }
    c->readable = got == (ssize_t)room + (ssize_t)more;
    conn_note_received(c, (size_t)got);
    uint32_t behind = (size_t)got > room ? (uint32_t)got - room : 0;
    c->input_end += (uint32_t)got - behind;
    bool wants_more = conn_turn_input(c, p);
    if (c->closing || behind == 0)
        return;
    if (!c->input)
        conn_turn_scratch(c, p, behind);
    else if (!input_append(c, c->conns->scratch, behind))
        fh_conn_close(c, FH_CLOSE_MEMORY);
    else if (wants_more)
        conn_turn_input(c, p); /* it may be whole now, and no event will tell */
}

/* Receives into the shared buffer, or behind what is kept, and answers. */
static void conn_turn_receive(struct fh_conn *c, struct conn_parse *p)
{
    if (!c->input) {
        conn_turn_scratch(c, p, conn_fill(c, c->conns->scratch, fh_conn_receive_max(c)));
    } else if (c->tls) {
        c->input_end += conn_fill(c, c->input + c->input_end, c->input_cap - c->input_end);
        conn_turn_input(c, p);
    } else {
        conn_receive_through(c, p);
    }
}

void fh_conn_turn_requests(struct fh_conn *c)
{
    struct conn_parse p = {.requests = 0};
    bool wants_more = true;

    if (c->input)
        wants_more = conn_turn_input(c, &p);
    if (c->readable && wants_more && !c->closing && c->session.wants_zone == FH_ZONE_ANY) {
        if (c->session.incoming && !c->input)
            conn_receive_body(c);
        else if (fh_conn_may_parse(c))
            conn_turn_receive(c, &p);
    }
    if (p.again || (c->session.incoming && !c->session.incoming->parked && c->readable))
        fh_conn_make_runnable(c);
}
