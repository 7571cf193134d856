/*
 * Theory.  Two byte queues and two lists: requests in flight, oldest first, and finished ones.
 * Replies come in the order of the requests, so the first reply in `in` belongs to `first`.
 */
#include "client/bench/stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 256 * 1024 };

/* Makes room for `size` more bytes at the end. */
static bool bytes_reserve(struct fh_bytes *b, size_t size)
{
    size_t used = b->end - b->start;
    char *data;

    if (b->room - b->end >= size)
        return true;
    if (b->start > 0) {
        memmove(b->data, b->data + b->start, used);
        b->start = 0;
        b->end = used;
    }
    if (b->room - b->end >= size)
        return true;
    if ((data = realloc(b->data, (used + size) * 2)) == NULL)
        return false;
    b->data = data;
    b->room = (used + size) * 2;
    return true;
}

static int stream_connect_one(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    int on = 1;

    if (fd < 0)
        return -1;
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static int stream_connect(const char *address)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *all;
    char host[256];
    char *port;
    int fd = -1;

    snprintf(host, sizeof(host), "%s", address);
    if ((port = strrchr(host, ':')) == NULL)
        return -1;
    *port++ = '\0';
    if (getaddrinfo(host, port, &hints, &all) != 0)
        return -1;
    for (const struct addrinfo *a = all; a != NULL && fd < 0; a = a->ai_next)
        fd = stream_connect_one(a);
    freeaddrinfo(all);
    return fd;
}

fh_status fh_stream_open(struct fh_stream *s, const char *address, fh_stream_parse *parse,
                         char why[FH_DRIVER_WHY])
{
    *s = (struct fh_stream){.address = address, .parse = parse};
    s->last = &s->first;
    s->finished_last = &s->finished;
    if ((s->fd = stream_connect(address)) >= 0)
        return FH_OK;
    snprintf(why, FH_DRIVER_WHY, "cannot connect to %s", address);
    return FH_CONNECTION;
}

void fh_stream_close(struct fh_stream *s)
{
    if (s->fd >= 0)
        close(s->fd);
    free(s->in.data);
    free(s->out.data);
    *s = (struct fh_stream){.fd = -1};
}

/* Moves the oldest request in flight to the finished ones. */
static void stream_finish(struct fh_stream *s)
{
    struct fh_request *r = s->first;

    if ((s->first = r->link) == NULL)
        s->last = &s->first;
    r->link = NULL;
    *s->finished_last = r;
    s->finished_last = &r->link;
}

static void stream_break(struct fh_stream *s, fh_status status)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    s->in.start = s->in.end = s->out.start = s->out.end = 0;
    while (s->first != NULL) {
        s->first->status = status;
        stream_finish(s);
    }
}

bool fh_stream_begin(struct fh_stream *s, struct fh_request *r)
{
    r->link = NULL;
    *s->last = r;
    s->last = &r->link;
    if (s->fd < 0)
        s->fd = stream_connect(s->address);
    if (s->fd >= 0)
        return true;
    stream_break(s, FH_CONNECTION);
    return false;
}

bool fh_stream_add(struct fh_stream *s, const void *data, size_t size)
{
    if (s->fd < 0)
        return false;
    if (!bytes_reserve(&s->out, size)) {
        stream_break(s, FH_NO_MEMORY);
        return false;
    }
    memcpy(s->out.data + s->out.end, data, size);
    s->out.end += size;
    return true;
}

void fh_stream_flush(struct fh_stream *s)
{
    while (s->fd >= 0 && s->out.start < s->out.end) {
        ssize_t sent = send(s->fd, s->out.data + s->out.start, s->out.end - s->out.start,
                            MSG_DONTWAIT | MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN)
            stream_break(s, FH_CONNECTION);
        if (sent < 0)
            return;
        s->out.start += (size_t)sent;
    }
    s->out.start = s->out.end = 0;
}

size_t fh_stream_watch(struct fh_stream *s, struct pollfd *fds)
{
    if (s->fd < 0)
        return 0;
    fds->fd = s->fd;
    fds->events = (short)(POLLIN | (s->out.start < s->out.end ? POLLOUT : 0));
    fds->revents = 0;
    return 1;
}

static void stream_parse_all(struct fh_stream *s)
{
    while (s->first != NULL && s->in.start < s->in.end) {
        ssize_t used = s->parse(s->in.data + s->in.start, s->in.end - s->in.start, s->first);

        if (used < 0)
            stream_break(s, FH_PROTOCOL);
        if (used <= 0)
            return;
        s->in.start += (size_t)used;
        stream_finish(s);
    }
}

void fh_stream_ready(struct fh_stream *s, const struct pollfd *fd)
{
    ssize_t got;

    if (fd->revents & POLLOUT)
        fh_stream_flush(s);
    if (s->fd < 0 || !(fd->revents & (POLLIN | POLLERR | POLLHUP)))
        return;
    if (!bytes_reserve(&s->in, READ_BYTES)) {
        stream_break(s, FH_NO_MEMORY);
        return;
    }
    got = recv(s->fd, s->in.data + s->in.end, s->in.room - s->in.end, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        stream_break(s, FH_CONNECTION);
        return;
    }
    s->in.end += (size_t)got;
    stream_parse_all(s);
}

struct fh_request *fh_stream_next(struct fh_stream *s)
{
    struct fh_request *r = s->finished;

    if (r == NULL)
        return NULL;
    if ((s->finished = r->link) == NULL)
        s->finished_last = &s->finished;
    return r;
}
