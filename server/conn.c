/*
 * Theory.  Events only mark a connection runnable; its turn comes once per round of the loop. A
 * turn receives and answers requests (conn_input.c), then sends all their replies at once.
 *
 *   event --> runnable --> turn: handshake | receive, answer --> send --> which events next
 *
 * Light and heavy.  One that moves much in a turn is heavy for a second. In a round the light ones
 * go first, whatever their number; the heavy ones share a budget of bytes, and who finds it used up
 * goes on in the next round, before those that come after. While light ones are about, budgets are
 * small: nobody waits for more than a few 64 KiB of copying. Alone, heavy ones get large turns,
 * which cost them less.
 *
 * It is not read while it waits for frames, owes its peer too much, or has been told STALE too
 * often. Deadlines are absolute, and time in which we did not read does not count against the peer:
 * not while it was paused, and not while this thread did not run, be it stopped, starved or stuck.
 *
 * Invariants
 *   [I3] reading and writing tell which events are pending
 *   [I4] a connection that is closing ends in its next turn and does nothing else any more
 */
#include "conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn_input.h"

int fh_conns_init(struct fh_conns *s)
{
    fh_list_init(&s->all);
    fh_list_init(&s->runnable);
    s->count = 0;
    s->shared_until_ms = 0;
    s->ticked_ms = 0;
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

void fh_conn_make_runnable(struct fh_conn *c)
{
    if (fh_list_is_empty(&c->runnable))
        fh_list_push_back(&c->conns->runnable, &c->runnable);
}

static void conn_wake(struct fh_session *session)
{
    fh_conn_make_runnable(conn_of(session));
}

static ssize_t conn_send(void *ctx, const struct iovec *iov, uint32_t count)
{
    struct fh_conn *c = ctx;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = count};

    if (c->tls)
        return fh_tls_send(c->tls, iov, count);
    ssize_t sent = count == 1 ? send(c->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL)
                              : sendmsg(c->fd, &message, MSG_NOSIGNAL);
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
    c->session.stream = id;
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
    fh_conn_make_runnable(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    fh_conn_make_runnable(arg);
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
    c->session.out.turn_left = FH_CONN_TURN_BYTES;
    fh_list_push_back(&s->all, &c->link);
    s->count++;
    s->counters->connections_now = s->count;
    s->counters->connections_total++;
    event_assign(&c->read_event, s->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->write_event, s->base, c->fd, EV_WRITE | EV_PERSIST, on_writable, c);
    event_set(&c->read_event, &c->reading, true);
    fh_conn_make_runnable(c);
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
void fh_conn_close(struct fh_conn *c, enum fh_close_reason reason)
{
    if (c->closing)
        return;
    c->closing = true;
    c->reason = reason;
    fh_conn_make_runnable(c);
}

/* --- turns --- */

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
        fh_conn_close(c, FH_CLOSE_TLS);
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
        fh_conn_close(c, out->error == -ENOMEM                          ? FH_CLOSE_MEMORY
                         : out->error == -EBADMSG || out->error == -EIO ? FH_CLOSE_CUT_REPLY
                         : out->error == -EPROTO                        ? FH_CLOSE_TLS
                                                                        : FH_CLOSE_RESET);
    if (state == FH_OUT_MORE)
        fh_conn_make_runnable(c);
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
        welcome = welcome && fh_conn_may_parse(c);
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

/* Bytes that all connections together have moved. */
static uint64_t conns_moved(const struct fh_conns *s)
{
    return s->counters->received_bytes + s->counters->sent_bytes;
}

static uint64_t conns_turn_bytes(const struct fh_conns *s)
{
    return s->ops->now_ms < s->shared_until_ms ? FH_CONN_SHARED_BYTES : FH_CONN_TURN_BYTES;
}

uint32_t fh_conn_receive_max(const struct fh_conn *c)
{
    return (uint32_t)fh_min_u64(FH_CONN_SCRATCH_SIZE, conns_turn_bytes(c->conns));
}

/* After a turn: is it a light one or a heavy one? What it may send until its next turn. */
static void conn_weigh(struct fh_conn *c, uint64_t moved)
{
    struct fh_conns *s = c->conns;

    if (moved >= FH_CONN_HEAVY_BYTES)
        c->heavy_until_ms = s->ops->now_ms + FH_CONN_HEAVY_MS;
    else if (c->heavy_until_ms <= s->ops->now_ms && moved > 0)
        s->shared_until_ms = s->ops->now_ms + FH_CONN_LIGHT_MS;
    c->session.out.turn_left = conns_turn_bytes(s);
}

static void conn_turn(struct fh_conn *c)
{
    uint64_t before = conns_moved(c->conns);

    c->session.out.turn_left = conns_turn_bytes(c->conns);
    if (!c->closing && !c->tls_ready)
        conn_handshake(c);
    if (!c->closing && c->tls_ready)
        fh_conn_turn_requests(c);
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
        fh_conn_close(c, FH_CLOSE_PEER);
    if (c->closing) {
        conn_end(c);
        return;
    }
    conn_weigh(c, conns_moved(c->conns) - before);
    event_set(&c->read_event, &c->reading, conn_wants_input(c));
    if (!c->tls_ready)
        blocked = fh_tls_wants_write(c->tls);
    event_set(&c->write_event, &c->writing, blocked);
    if ((c->stalled && fh_conn_may_parse(c)) ||
        (c->tls_ready && c->tls && c->readable && c->reading))
        fh_conn_make_runnable(c); /* no event will tell */
}

static struct fh_conn *conn_of_runnable(struct fh_list *node)
{
    return FH_CONTAINER_OF(node, struct fh_conn, runnable);
}

bool fh_conns_run(struct fh_conns *s)
{
    struct fh_list light, heavy;
    struct fh_list *node;

    fh_list_init(&light);
    fh_list_init(&heavy);
    while ((node = fh_list_pop(&s->runnable))) {
        bool is_heavy = conn_of_runnable(node)->heavy_until_ms > s->ops->now_ms;
        fh_list_push_back(is_heavy ? &heavy : &light, node);
    }
    while ((node = fh_list_pop(&light)))
        conn_turn(conn_of_runnable(node));
    uint64_t before = conns_moved(s);
    while (conns_moved(s) - before < conns_turn_bytes(s) && (node = fh_list_pop(&heavy)))
        conn_turn(conn_of_runnable(node));
    while (!fh_list_is_empty(&heavy)) { /* in front, in their order */
        node = heavy.prev;
        fh_list_remove(node);
        fh_list_push_front(&s->runnable, node);
    }
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
        fh_conn_close(c, FH_CLOSE_NO_HELLO);
    else if (c->output_ms != 0 && !fh_outq_is_empty(&c->session.out) && c->writing &&
             passed(c->output_ms, FH_CONN_OUTPUT_MS, now))
        fh_conn_close(c, FH_CLOSE_NO_READER);
    else if (c->frame_ms != 0 && c->paused_ms == 0 && c->session.known &&
             passed(c->frame_ms, frame_allowance(c), now))
        fh_conn_close(c, FH_CLOSE_SLOW_FRAME);
    else if (conn_is_quiet(c) && c->frame_ms == 0 && c->conns->ops->draining)
        fh_conn_close(c, FH_CLOSE_DRAINED);
    else if (conn_is_quiet(c) && passed(c->active_ms, config->idle_timeout, now))
        fh_conn_close(c, FH_CLOSE_IDLE);
    else if (c->paused_ms != 0)
        fh_conn_make_runnable(c); /* what it waited for may be over */
}

/* So long nobody was looked at: that far all that was noted moves on. */
static void conn_forgive(struct fh_conn *c, uint64_t ms)
{
    c->accepted_ms += ms;
    c->active_ms += ms;
    if (c->frame_ms != 0)
        c->frame_ms += ms;
    if (c->paused_ms != 0)
        c->paused_ms += ms;
    if (c->output_ms != 0)
        c->output_ms += ms;
}

void fh_conns_tick(struct fh_conns *s)
{
    uint64_t now = s->ops->now_ms;
    uint64_t stalled = s->ticked_ms != 0 ? now - s->ticked_ms : 0;

    s->ticked_ms = now;
    if (stalled > FH_CONN_STALL_MS)
        for (struct fh_list *node = s->all.next; node != &s->all; node = node->next)
            conn_forgive(FH_CONTAINER_OF(node, struct fh_conn, link), stalled);
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
