/*
 * Theory.  Events only mark a connection runnable; its turn comes once per round of the loop. A
 * turn receives once, as much as has arrived, into a buffer that all connections of the zone share;
 * answers as many whole requests as that holds, up to a budget; and sends all their replies at
 * once. Only what is left over of an unfinished request is kept, in a buffer of the connection's
 * own.
 *
 *   socket -> scratch | input -> [prefix][head][body] -> ops -> outq -> socket
 *                  \-> body longer than FH_WRITE_MAX: received straight into frames
 *
 * It is not read while it waits for frames, owes its peer too much, or has been told STALE too
 * often. Deadlines are absolute, and time in which we did not read does not count against the peer.
 *
 * Invariants
 *   [I1] input bytes are [input_start, input_end) of input_cap; input is NULL when there are none
 *   [I2] frame_ms is 0 exactly when no part of an unfinished frame has come
 *   [I3] reading and writing tell which events are pending
 */
#include "conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/frame.h"

int fh_conns_init(struct fh_conns *s)
{
    fh_list_init(&s->all);
    fh_list_init(&s->runnable);
    s->count = 0;
    fh_out_pool_init(&s->pool);
    s->scratch = malloc(FH_CONN_SCRATCH_SIZE);
    return s->scratch ? 0 : -ENOMEM;
}

void fh_conns_fini(struct fh_conns *s)
{
    FH_ASSERT(s->count == 0);
    fh_out_pool_fini(&s->pool);
    free(s->scratch);
}

static struct fh_conn *conn_of(struct fh_session *session)
{
    return FH_CONTAINER_OF(session, struct fh_conn, session);
}

static void conn_make_runnable(struct fh_conn *c)
{
    if (fh_list_is_empty(&c->runnable))
        fh_list_push_back(&c->conns->runnable, &c->runnable);
}

static void conn_wake(struct fh_session *session)
{
    conn_make_runnable(conn_of(session));
}

static ssize_t conn_send(void *ctx, const struct iovec *iov, uint32_t count)
{
    struct fh_conn *c = ctx;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = count};

    if (c->tls)
        return fh_tls_send(c->tls, iov, count);
    ssize_t sent = sendmsg(c->fd, &message, MSG_NOSIGNAL);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EINTR ? -EAGAIN : -errno;
}

struct fh_conn *fh_conn_create(int fd, struct fh_tls_context *tls, const char *peer, uint64_t id,
                               uint64_t now_ms, atomic_uint *open)
{
    struct fh_conn *c = calloc(1, sizeof *c);

    if (c && tls && !(c->tls = fh_tls_create(tls, fd))) {
        free(c);
        c = NULL;
    }
    if (!c) {
        close(fd);
        atomic_fetch_sub(open, 1);
        return NULL;
    }
    fh_session_init(&c->session, conn_wake);
    fh_list_init(&c->message.link);
    fh_list_init(&c->link);
    fh_list_init(&c->runnable);
    c->fd = fd;
    c->open = open;
    c->id = id;
    c->tls_ready = tls == NULL;
    c->accepted_ms = now_ms;
    c->active_ms = now_ms;
    snprintf(c->peer, sizeof c->peer, "%s", peer);
    return c;
}

void fh_conn_discard(struct fh_conn *c)
{
    fh_tls_destroy(c->tls);
    close(c->fd);
    atomic_fetch_sub(c->open, 1);
    free(c->input);
    free(c);
}

/* --- events --- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct fh_conn *c = arg;

    (void)fd;
    (void)what;
    c->readable = true;
    conn_make_runnable(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    conn_make_runnable(arg);
}

static void event_set(struct event *event, bool *is_set, bool wanted)
{
    if (*is_set == wanted)
        return;
    *is_set = wanted;
    if (wanted)
        event_add(event, NULL);
    else
        event_del(event);
}

void fh_conns_adopt(struct fh_conns *s, struct fh_conn *c)
{
    c->conns = s;
    c->counted_sent = 0;
    fh_outq_init(&c->session.out, &s->pool, conn_send, c);
    fh_list_push_back(&s->all, &c->link);
    s->count++;
    s->counters->connections_now = s->count;
    s->counters->connections_total++;
    event_assign(&c->read_event, s->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->write_event, s->base, c->fd, EV_WRITE | EV_PERSIST, on_writable, c);
    event_set(&c->read_event, &c->reading, true);
    conn_make_runnable(c);
}

/* Takes it out of the zone, whole. */
static void conn_leave(struct fh_conn *c)
{
    struct fh_conns *s = c->conns;

    event_set(&c->read_event, &c->reading, false);
    event_set(&c->write_event, &c->writing, false);
    fh_list_remove(&c->link);
    fh_list_remove(&c->runnable);
    s->count--;
    s->counters->connections_now = s->count;
}

static void conn_log_close(struct fh_conn *c)
{
    bool bad = fh_close_is_protocol_error(c->reason);

    FH_LOG(c->conns->log, c->conns->ops->now_ms / 1000 + 1, bad ? FH_LOG_WARN : FH_LOG_DEBUG,
           "conn", bad ? "connection closed: the peer broke the protocol" : "connection closed",
           FH_TEXT("reason", fh_close_name(c->reason)), FH_TEXT("peer", c->peer),
           FH_NUM("conn", c->id), FH_NUM("zone", c->conns->ops->zone_index));
}

static void conn_count_sent(struct fh_conn *c)
{
    uint64_t sent = c->session.out.sent_bytes;

    if (sent == c->counted_sent)
        return;
    c->conns->counters->sent_bytes += sent - c->counted_sent;
    c->counted_sent = sent;
    c->active_ms = c->conns->ops->now_ms;
    c->output_ms = c->active_ms;
}

static void conn_end(struct fh_conn *c)
{
    struct fh_conns *s = c->conns;

    conn_count_sent(c);
    s->counters->closes[c->reason]++;
    conn_log_close(c);
    fh_ops_end_session(s->ops, &c->session);
    conn_leave(c);
    fh_conn_discard(c);
}

/* It ends when its turn comes. */
static void conn_close(struct fh_conn *c, enum fh_close_reason reason)
{
    if (c->closing)
        return;
    c->closing = true;
    c->reason = reason;
    conn_make_runnable(c);
}

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
        conn_close(c, FH_CLOSE_TLS);
    else if (got != -EAGAIN)
        conn_close(c, FH_CLOSE_RESET);
}

/* Receives until `size` bytes are there or the socket is empty. Plain text takes one call. */
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

static bool conn_may_parse(const struct fh_conn *c)
{
    const struct fh_conns *s = c->conns;

    return !c->closing && !c->session.incoming && c->session.out.error == 0 &&
           !fh_session_is_throttled(&c->session, s->ops->now_ms / 1000, s->config->output_limit);
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
        conn_close(c, FH_CLOSE_FRAME);
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
        conn_close(c, FH_CLOSE_HEAD);
        return false;
    case FH_NEXT_BAD_ORDER:
        conn_close(c, FH_CLOSE_ORDER);
        return false;
    case FH_NEXT_NO_MEMORY:
        conn_close(c, FH_CLOSE_MEMORY);
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
        if (!conn_may_parse(c) || p->left == 0) {
            c->stalled = p->left > 0;
            break;
        }
        if (p->requests >= FH_CONN_TURN_REQUESTS) {
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

/* --- turns --- */

/* A body straight from the socket into frames: one window per turn. */
static void conn_receive_body(struct fh_conn *c)
{
    struct fh_op *op = c->session.incoming;
    const struct iovec *iov;
    uint32_t count;
    size_t fed = 0;

    if (fh_ops_body_room(op, &iov, &count) != 0)
        return;
    if (c->tls) {
        for (uint32_t i = 0; i < count && c->readable && fed < op->body_left; i++) {
            size_t size = iov[i].iov_len;
            if (size > op->body_left - fed)
                size = (size_t)(op->body_left - fed);
            fed += conn_fill(c, iov[i].iov_base, (uint32_t)size);
        }
    } else {
        ssize_t got = readv(c->fd, iov, (int)count);
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
        conn_close(c, FH_CLOSE_MEMORY);
        return false;
    }
    return p->need > 0;
}

/* Receives into the shared buffer, or behind what is kept, and answers. */
static void conn_turn_receive(struct fh_conn *c, struct conn_parse *p)
{
    if (c->input) {
        c->input_end += conn_fill(c, c->input + c->input_end, c->input_cap - c->input_end);
        conn_turn_input(c, p);
        return;
    }
    p->at = c->conns->scratch;
    p->left = conn_fill(c, c->conns->scratch, FH_CONN_SCRATCH_SIZE);
    if (p->left == 0)
        return;
    conn_parse_run(c, p);
    if (!input_keep(c, p->at, p->left, p->need))
        conn_close(c, FH_CLOSE_MEMORY);
}

static void conn_turn_requests(struct fh_conn *c)
{
    struct conn_parse p = {.requests = 0};
    bool wants_more = true;

    if (c->input)
        wants_more = conn_turn_input(c, &p);
    if (c->readable && wants_more && !c->closing && c->session.wants_zone == FH_ZONE_ANY) {
        if (c->session.incoming && !c->input)
            conn_receive_body(c);
        else if (conn_may_parse(c))
            conn_turn_receive(c, &p);
    }
    if (p.again || (c->session.incoming && !c->session.incoming->parked && c->readable))
        conn_make_runnable(c);
}

static void conn_handshake(struct fh_conn *c)
{
    struct fh_counters *counters = c->conns->counters;
    char name[FH_TLS_NAME_SIZE];
    int rc = fh_tls_accept(c->tls);

    if (rc == -EAGAIN) {
        c->readable = false;
        return;
    }
    if (rc != 0) {
        counters->tls_handshakes_failed++;
        conn_close(c, FH_CLOSE_TLS);
        return;
    }
    counters->tls_handshakes_ok++;
    c->tls_ready = true;
    c->readable = true;
    fh_tls_peer_name(c->tls, name);
    if (name[0])
        FH_LOG(c->conns->log, c->conns->ops->now_ms / 1000 + 1, FH_LOG_INFO, "conn",
               "client certificate accepted", FH_TEXT("name", name), FH_TEXT("peer", c->peer),
               FH_NUM("conn", c->id));
}

/* Sends what is queued; true = the socket takes no more for now. */
static bool conn_turn_send(struct fh_conn *c)
{
    struct fh_outq *out = &c->session.out;
    enum fh_out_state state = FH_OUT_EMPTY;

    if (!fh_outq_is_empty(out))
        state = fh_outq_flush(out);
    if (state == FH_OUT_EMPTY && c->tls && fh_tls_has_unsent(c->tls)) {
        ssize_t rc = fh_tls_send(c->tls, NULL, 0);
        if (rc == -EAGAIN)
            state = FH_OUT_BLOCKED;
        else if (rc < 0)
            out->error = (int)rc;
    }
    conn_count_sent(c);
    if (out->error != 0)
        conn_close(c, out->error == -ENOMEM                          ? FH_CLOSE_MEMORY
                      : out->error == -EBADMSG || out->error == -EIO ? FH_CLOSE_CUT_REPLY
                      : out->error == -EPROTO                        ? FH_CLOSE_TLS
                                                                     : FH_CLOSE_RESET);
    if (state == FH_OUT_MORE)
        conn_make_runnable(c);
    if (state == FH_OUT_EMPTY)
        c->output_ms = 0;
    else if (c->output_ms == 0)
        c->output_ms = c->conns->ops->now_ms;
    return state == FH_OUT_BLOCKED;
}

/* Nothing asked is unanswered, nothing answered is unsent. */
static bool conn_is_quiet(const struct fh_conn *c)
{
    return c->session.ops_count == 0 && fh_outq_is_empty(&c->session.out) &&
           !(c->tls && fh_tls_has_unsent(c->tls));
}

/* The peer has ended its side, and nothing it asked for whole is left to do. */
static bool conn_is_over(const struct fh_conn *c)
{
    if (c->session.incoming)
        return true; /* the rest of that body will not come */
    return conn_is_quiet(c) && !c->stalled && fh_list_is_empty(&c->runnable);
}

/* Whether more input is welcome; time without is not held against the peer. */
static bool conn_wants_input(struct fh_conn *c)
{
    bool welcome = !c->closing && !c->ended;

    if (c->session.incoming)
        welcome = welcome && !c->session.incoming->parked;
    else
        welcome = welcome && conn_may_parse(c);
    uint64_t now = c->conns->ops->now_ms;
    if (!welcome && c->paused_ms == 0)
        c->paused_ms = now;
    if (welcome && c->paused_ms != 0) {
        if (c->frame_ms != 0)
            c->frame_ms += now - c->paused_ms;
        c->paused_ms = 0;
    }
    return welcome;
}

static void conn_move(struct fh_conn *c)
{
    struct fh_conns *s = c->conns;
    uint32_t zone = (uint32_t)c->session.wants_zone;

    c->session.wants_zone = FH_ZONE_ANY;
    fh_outq_fini(&c->session.out);
    conn_leave(c);
    s->move(s->ctx, c, zone);
}

static void conn_turn(struct fh_conn *c)
{
    if (!c->closing && !c->tls_ready)
        conn_handshake(c);
    if (!c->closing && c->tls_ready)
        conn_turn_requests(c);
    bool blocked = false;
    if (!c->closing && c->session.wants_zone != FH_ZONE_ANY) {
        blocked = conn_turn_send(c); /* what was refused before Hello */
        if (!c->closing && conn_is_quiet(c)) {
            conn_move(c);
            return;
        }
    } else if (!c->closing || c->reason == FH_CLOSE_HEAD || c->reason == FH_CLOSE_FRAME ||
               c->reason == FH_CLOSE_ORDER)
        blocked = conn_turn_send(c);
    if (!c->closing && c->ended && conn_is_over(c))
        conn_close(c, FH_CLOSE_PEER);
    if (c->closing) {
        conn_end(c);
        return;
    }
    event_set(&c->read_event, &c->reading, conn_wants_input(c));
    if (!c->tls_ready)
        blocked = fh_tls_wants_write(c->tls);
    event_set(&c->write_event, &c->writing, blocked);
    if ((c->stalled && conn_may_parse(c)) || (c->tls_ready && c->tls && c->readable && c->reading))
        conn_make_runnable(c); /* no event will tell */
}

bool fh_conns_run(struct fh_conns *s)
{
    struct fh_list round;
    struct fh_list *node;

    fh_list_init(&round);
    while ((node = fh_list_pop(&s->runnable)))
        fh_list_push_back(&round, node);
    while ((node = fh_list_pop(&round)))
        conn_turn(FH_CONTAINER_OF(node, struct fh_conn, runnable));
    return !fh_list_is_empty(&s->runnable);
}

/* --- deadlines --- */

static uint64_t frame_allowance(const struct fh_conn *c)
{
    uint64_t one = c->conns->config->frame_timeout;
    const struct fh_op *op = c->session.incoming;

    return op ? one * (1 + (c->body_size - op->body_left) / FH_CONN_BODY_STEP) : one;
}

static bool passed(uint64_t since, uint64_t allowed, uint64_t now)
{
    return now >= since && now - since >= allowed;
}

static void conn_tick(struct fh_conn *c)
{
    const struct fh_config *config = c->conns->config;
    uint64_t now = c->conns->ops->now_ms;

    if (!c->session.known && passed(c->accepted_ms, config->handshake_timeout, now))
        conn_close(c, FH_CLOSE_NO_HELLO);
    else if (c->output_ms != 0 && !fh_outq_is_empty(&c->session.out) && c->writing &&
             passed(c->output_ms, FH_CONN_OUTPUT_MS, now))
        conn_close(c, FH_CLOSE_NO_READER);
    else if (c->frame_ms != 0 && c->paused_ms == 0 && c->session.known &&
             passed(c->frame_ms, frame_allowance(c), now))
        conn_close(c, FH_CLOSE_SLOW_FRAME);
    else if (conn_is_quiet(c) && c->frame_ms == 0 && c->conns->ops->draining)
        conn_close(c, FH_CLOSE_DRAINED);
    else if (conn_is_quiet(c) && passed(c->active_ms, config->idle_timeout, now))
        conn_close(c, FH_CLOSE_IDLE);
    else if (c->paused_ms != 0)
        conn_make_runnable(c); /* what it waited for may be over */
}

void fh_conns_tick(struct fh_conns *s)
{
    for (struct fh_list *node = s->all.next; node != &s->all; node = node->next)
        conn_tick(FH_CONTAINER_OF(node, struct fh_conn, link));
}

void fh_conns_close_all(struct fh_conns *s, enum fh_close_reason reason)
{
    struct fh_list *node;

    while ((node = fh_list_first(&s->all))) {
        struct fh_conn *c = FH_CONTAINER_OF(node, struct fh_conn, link);
        c->closing = true;
        c->reason = reason;
        conn_end(c);
    }
}

uint64_t fh_conns_queued_bytes(const struct fh_conns *s)
{
    uint64_t sum = 0;

    for (const struct fh_list *node = s->all.next; node != &s->all; node = node->next)
        sum += FH_CONTAINER_OF(node, struct fh_conn, link)->session.out.queued_bytes;
    return sum;
}
