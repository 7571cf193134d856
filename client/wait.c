/*
 * Theory.  A client does nothing by itself: it moves when its caller waits, flushes, or tells that
 * a descriptor is ready. One step is: send what is queued, poll all links until one is ready or the
 * next deadline comes, take what has arrived, end what is late. A step's length is bounded by the
 * bytes the caller asked for.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "client/request.h"

static void client_send(struct fh_client *c)
{
    c->now = fh_clock_ms();
    for (uint32_t i = 0; i < c->zones.count; i++) {
        if (c->zones.links[i] != NULL)
            fh_request_send(c, c->zones.links[i]);
    }
}

static bool polls_make_room(struct fh_client *c)
{
    struct pollfd *polls;

    if (c->poll_cap >= c->zones.count)
        return true;
    if ((polls = malloc(c->zones.count * sizeof(*polls))) == NULL)
        return false;
    free(c->polls);
    c->polls = polls;
    c->poll_cap = c->zones.count;
    return true;
}

/* Entry i is of zone i; a link that is not open has -1, which poll skips. */
static int64_t polls_fill(struct fh_client *c, int64_t until)
{
    for (uint32_t i = 0; i < c->zones.count; i++) {
        const struct fh_link *link = c->zones.links[i];

        c->polls[i] = (struct pollfd){.fd = -1};
        if (link == NULL || link->conn.fd < 0)
            continue;
        c->polls[i].fd = link->conn.fd;
        c->polls[i].events = fh_conn_wants(&link->conn);
        if (link->state == FH_LINK_OPENING && link->open_until < until)
            until = link->open_until;
    }
    return until;
}

static void links_go_on(struct fh_client *c)
{
    for (uint32_t i = 0; i < c->zones.count; i++) {
        struct fh_link *link = c->zones.links[i];
        short ready = c->polls[i].revents;

        if (c->polls[i].fd < 0 || link->state == FH_LINK_CLOSED)
            continue;
        if (ready != 0)
            fh_link_ready(link, (ready & ~POLLOUT) != 0);
        if (link->state == FH_LINK_OPENING && link->open_until <= c->now)
            fh_link_break(link, FH_CONNECTION, "no answer within the connect timeout");
    }
}

static void client_expire(struct fh_client *c)
{
    if (c->now >= c->next_deadline)
        fh_request_expire(c);
}

/* Waits for the links until the moment `until`, and takes what has arrived. */
static void client_poll(struct fh_client *c, int64_t until)
{
    bool room = polls_make_room(c);
    int64_t left;

    if (c->next_deadline < until)
        until = c->next_deadline;
    if (room) {
        left = polls_fill(c, until) - c->now;
        left = left < 0 ? 0 : left > INT_MAX ? INT_MAX : left;
        (void)poll(c->polls, c->zones.count, (int)left); /* interrupted: nothing is ready */
    }
    c->now = fh_clock_ms();
    if (room)
        links_go_on(c);
    client_expire(c);
}

static bool req_is_done(const struct fh_req *req)
{
    return req->state == FH_REQ_DONE || req->state == FH_REQ_TOLD;
}

static int64_t moment_of(const struct fh_client *c, int timeout_ms)
{
    return timeout_ms < 0 ? INT64_MAX : c->now + timeout_ms;
}

/* Steps until the request is done; false when the moment came first. */
static bool client_wait(struct fh_client *c, const struct fh_req *req, int timeout_ms)
{
    int64_t until;

    if (req_is_done(req))
        return true;
    client_send(c);
    until = moment_of(c, timeout_ms);
    while (!req_is_done(req)) {
        client_poll(c, until);
        if (req_is_done(req))
            break;
        if (c->now >= until)
            return false;
        client_send(c);
    }
    return true;
}

fh_status fh_wait(fh_client *c, fh_req *req, int timeout_ms)
{
    if (!client_wait(c, req, timeout_ms))
        return FH_TIMEOUT;
    fh_request_tell(req);
    return FH_OK;
}

fh_status fh_wait_any(fh_client *c, fh_req **done, int timeout_ms)
{
    int64_t until = INT64_MIN;

    *done = NULL;
    while (c->done_first == NULL) {
        if (c->in_flight == 0)
            return FH_NOT_FOUND;
        client_send(c);
        if (until == INT64_MIN)
            until = moment_of(c, timeout_ms);
        if (c->done_first != NULL)
            break;
        client_poll(c, until);
        if (c->done_first == NULL && c->now >= until)
            return FH_TIMEOUT;
    }
    *done = c->done_first;
    fh_request_tell(*done);
    return FH_OK;
}

size_t fh_in_flight(const fh_client *c)
{
    return c->in_flight;
}

fh_status fh_flush(fh_client *c)
{
    client_send(c);
    client_expire(c);
    return FH_OK;
}

int fh_next_fd(const fh_client *c, int *iter, int *want)
{
    while (*iter >= 0 && (uint32_t)*iter < c->zones.count) {
        const struct fh_link *link = c->zones.links[(*iter)++];
        short events;

        if (link == NULL || link->conn.fd < 0)
            continue;
        events = fh_conn_wants(&link->conn);
        *want = ((events & POLLIN) != 0 ? FH_WANT_READ : 0) |
                ((events & POLLOUT) != 0 ? FH_WANT_WRITE : 0);
        return link->conn.fd;
    }
    return -1;
}

fh_status fh_ready(fh_client *c, int fd, int what)
{
    c->now = fh_clock_ms();
    for (uint32_t i = 0; i < c->zones.count; i++) {
        struct fh_link *link = c->zones.links[i];

        if (link == NULL || link->conn.fd != fd || fd < 0)
            continue;
        fh_link_ready(link, (what & FH_WANT_READ) != 0);
        fh_request_send(c, link);
        client_expire(c);
        return FH_OK;
    }
    return fh_client_fail(c, FH_NOT_FOUND, "no connection of this client has descriptor %d", fd);
}

void fh_request_wait(struct fh_client *c, struct fh_req *req)
{
    (void)client_wait(c, req, -1);
    fh_request_tell(req);
}

fh_status fh_request_run(struct fh_client *c, const struct fh_call *call, uint32_t zone,
                         struct fh_answer *answer)
{
    struct fh_req *req;
    fh_status status = fh_request_submit(c, call, zone, true, &req);

    memset(answer, 0, sizeof(*answer));
    if (status != FH_OK) {
        answer->status = status;
        return status;
    }
    fh_request_wait(c, req);
    *answer = req->answer;
    req->answer.text = NULL;
    fh_req_free(req);
    return answer->status;
}
