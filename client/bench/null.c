/*
 * Theory.  One epoll loop. A turn takes what a connection has sent with one recv, answers every
 * whole request in it, and sends all answers with one sendmsg. Heads are unpacked and packed by the
 * codec of the real server; nothing else of a server is there: a get or read answers as many zeros
 * as it asks for, out of one buffer, everything else answers OK, and what a load test does not use
 * is UNSUPPORTED. A connection that does not take its answers is not read until it does.
 *
 *   in:   | frames taken | whole frames | part of one |       out:  heads and small bodies | body |
 */
#include "client/bench/null.h"

#include "proto/frame.h"
#include "proto/head.h"
#include "proto/status.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    IN_SIZE = 256 << 10,
    TEXT_SIZE = 256 << 10,
    ANSWER_MAX = 256, /* of a head with its prefix */
    SMALL = 16 << 10, /* bodies up to this are copied behind their head */
    ZEROS = 1 << 20,  /* larger ones are sent from one buffer, this much at once */
    EVENTS = 64,
};

struct null_conn {
    int fd;
    bool blocked;                /* waits to be writable, and is not read */
    uint64_t skip;               /* of a request's body, still to come */
    size_t in_start, in_end;     /* live are in[in_start .. in_end) */
    size_t text_start, text_end; /* the same of text */
    uint64_t zeros;              /* of a body, owed behind the text */
    uint8_t in[IN_SIZE], text[TEXT_SIZE];
};

static uint8_t zeros[ZEROS];
static struct fh_head_arena arena;

/* --- answers */

static void hello_answer(const fh_request_head *q, fh_response_head *a,
                         Farheap__V1__HelloResult *hello)
{
    static char name[] = "farheap bench null";

    farheap__v1__hello_result__init(hello);
    hello->version = 1;
    hello->zone = 0;
    hello->zones = 1;
    hello->incarnation = 1;
    hello->body_max = FH_BODY_MAX;
    hello->server = (ProtobufCBinaryData){sizeof(name) - 1, (uint8_t *)name};
    if (q->hello->zone != UINT32_MAX && q->hello->zone != 0)
        a->status = FH_STATUS_INVALID;
    a->result_case = FARHEAP__V1__RESPONSE__RESULT_HELLO;
    a->hello = hello;
}

/* Answers with an object of so many bytes. */
static void object_answer(fh_response_head *a, Farheap__V1__ObjectResult *object,
                          Farheap__V1__Handle *handle, uint64_t bytes)
{
    farheap__v1__object_result__init(object);
    farheap__v1__handle__init(handle);
    handle->address = 4096;
    handle->key = 1;
    object->handle = handle;
    object->size = bytes;
    object->version = 1;
    a->result_case = FARHEAP__V1__RESPONSE__RESULT_OBJECT;
    a->object = object;
}

/* Packs the answer to one request; *body is how many zeros follow it. */
static size_t null_answer(const fh_request_head *q, uint64_t body_size, uint8_t *out,
                          uint64_t *body)
{
    fh_response_head a = FARHEAP__V1__RESPONSE__INIT;
    Farheap__V1__ObjectResult object;
    Farheap__V1__HelloResult hello;
    Farheap__V1__Handle handle;

    a.id = q->id;
    *body = 0;
    switch (q->op_case) {
    case FARHEAP__V1__REQUEST__OP_HELLO:
        hello_answer(q, &a, &hello);
        break;
    case FARHEAP__V1__REQUEST__OP_READ:
        *body = q->read->size;
        break;
    case FARHEAP__V1__REQUEST__OP_GET:
        *body = q->get->size;
        object_answer(&a, &object, &handle, q->get->size);
        break;
    case FARHEAP__V1__REQUEST__OP_PUT:
        object_answer(&a, &object, &handle, body_size);
        break;
    case FARHEAP__V1__REQUEST__OP_ALLOC:
        object_answer(&a, &object, &handle, q->alloc->size);
        break;
    case FARHEAP__V1__REQUEST__OP_PING:
    case FARHEAP__V1__REQUEST__OP_WRITE:
    case FARHEAP__V1__REQUEST__OP_FREE:
    case FARHEAP__V1__REQUEST__OP_DELETE:
        break;
    default:
        a.status = FH_STATUS_UNSUPPORTED;
        break;
    }
    if (*body > FH_BODY_MAX)
        *body = 0;
    return fh_head_pack_response(&a, (uint32_t)*body, out, ANSWER_MAX);
}

/* --- one connection */

static bool conn_owes(const struct null_conn *c)
{
    return c->text_start < c->text_end || c->zeros > 0;
}

/* Sends what is owed. 1: all of it, 0: the socket is full, -1: the peer is gone. */
static int conn_send(struct null_conn *c)
{
    while (conn_owes(c)) {
        struct iovec v[2] = {{c->text + c->text_start, c->text_end - c->text_start},
                             {zeros, c->zeros < ZEROS ? (size_t)c->zeros : ZEROS}};
        struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
        ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        size_t text;

        if (n < 0)
            return errno == EAGAIN ? 0 : -1;
        text = (size_t)n < v[0].iov_len ? (size_t)n : v[0].iov_len;
        c->text_start += text;
        c->zeros -= (size_t)n - text;
    }
    c->text_start = c->text_end = 0;
    return 1;
}

/* Answers one request; 1: sent or kept, 0: it waits until the socket has room, -1: gone. */
static int conn_answer(struct null_conn *c, const fh_request_head *q, uint64_t body_size)
{
    uint64_t body;

    c->text_end += null_answer(q, body_size, c->text + c->text_end, &body);
    if (body <= SMALL) {
        memset(c->text + c->text_end, 0, (size_t)body);
        c->text_end += (size_t)body;
        return c->text_end + ANSWER_MAX + SMALL <= TEXT_SIZE ? 1 : conn_send(c);
    }
    c->zeros = body;
    return conn_send(c);
}

/* Takes the whole requests there are. 1: go on reading, 0: wait to be writable, -1: gone. */
static int conn_take(struct null_conn *c)
{
    for (;;) {
        size_t live = c->in_end - c->in_start;
        const uint8_t *bytes = c->in + c->in_start;
        struct fh_frame_prefix prefix;
        fh_request_head *q;
        size_t part = c->skip < live ? (size_t)c->skip : live;
        int rc;

        c->skip -= part;
        c->in_start += part;
        if (part > 0)
            continue;
        if (live < FH_FRAME_PREFIX_SIZE || c->skip > 0)
            return conn_send(c);
        if (fh_frame_prefix_load(bytes, FH_HEAD_MAX, FH_BODY_MAX, &prefix) != 0)
            return -1;
        if (live < FH_FRAME_PREFIX_SIZE + (size_t)prefix.head_size)
            return conn_send(c);
        if (fh_head_unpack_request(&arena, bytes + FH_FRAME_PREFIX_SIZE, prefix.head_size, &q) != 0)
            return -1;
        c->in_start += FH_FRAME_PREFIX_SIZE + (size_t)prefix.head_size;
        c->skip = prefix.body_size;
        if ((rc = conn_answer(c, q, prefix.body_size)) <= 0)
            return rc;
    }
}

static int conn_receive(struct null_conn *c)
{
    ssize_t n;

    memmove(c->in, c->in + c->in_start, c->in_end - c->in_start);
    c->in_end -= c->in_start;
    c->in_start = 0;
    n = recv(c->fd, c->in + c->in_end, IN_SIZE - c->in_end, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return 1;
    if (n <= 0)
        return -1;
    c->in_end += (size_t)n;
    return conn_take(c);
}

/* What was read but could not be answered goes on once the socket has room again. */
static int conn_go_on(struct null_conn *c, uint32_t events)
{
    if (c->blocked || (events & EPOLLOUT) != 0) {
        int rc = conn_send(c);

        return rc <= 0 ? rc : conn_take(c);
    }
    return conn_receive(c);
}

/* --- the loop */

static void conn_close(struct null_conn *c)
{
    close(c->fd);
    free(c);
}

static void loop_accept(int epoll, int listener)
{
    struct epoll_event e = {.events = EPOLLIN};
    struct null_conn *c = malloc(sizeof(*c));
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int one = 1;

    if (fd < 0 || c == NULL) {
        if (fd >= 0)
            close(fd);
        free(c);
        return;
    }
    memset(c, 0, offsetof(struct null_conn, in));
    c->fd = fd;
    e.data.ptr = c;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) != 0)
        conn_close(c);
}

static void loop_serve(int epoll, struct null_conn *c, uint32_t events)
{
    int rc = conn_go_on(c, events);
    bool blocked = rc == 0;
    struct epoll_event e = {.events = blocked ? EPOLLOUT : EPOLLIN, .data.ptr = c};

    if (rc < 0) {
        conn_close(c);
        return;
    }
    if (blocked != c->blocked)
        (void)epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
    c->blocked = blocked;
}

static int loop_run(int listener)
{
    struct epoll_event first = {.events = EPOLLIN, .data.ptr = NULL};
    struct epoll_event events[EVENTS];
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &first) != 0)
        return 1;
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);

        if (count < 0 && errno != EINTR)
            return 1;
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL)
                loop_accept(epoll, listener);
            else
                loop_serve(epoll, events[i].data.ptr, events[i].events);
        }
    }
}

/* --- where it listens */

/* [HOST:]PORT; the host is an IPv4 address, 127.0.0.1 unless given. */
static bool address_parse(const char *text, struct sockaddr_in *out)
{
    const char *colon = strchr(text, ':');
    const char *port = colon != NULL ? colon + 1 : text;
    char host[INET_ADDRSTRLEN] = "127.0.0.1";
    char *end;
    unsigned long number = strtoul(port, &end, 10);

    if (colon != NULL && (size_t)(colon - text) >= sizeof(host))
        return false;
    if (colon != NULL) {
        memcpy(host, text, (size_t)(colon - text));
        host[colon - text] = '\0';
    }
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)number)};
    return *port >= '0' && *port <= '9' && *end == '\0' && number <= UINT16_MAX &&
           inet_pton(AF_INET, host, &out->sin_addr) == 1;
}

int fh_null_main(int argc, char **argv)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    char host[INET_ADDRSTRLEN];
    int one = 1;
    int fd;

    if (argc != 2 || !address_parse(argv[1], &address)) {
        fputs("usage: farheap bench null [HOST:]PORT      HOST as numbers; port 0: any\n", stderr);
        return 2;
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 128) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        fprintf(stderr, "farheap: bench null: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    printf("farheap://%s:%u\n", inet_ntop(AF_INET, &address.sin_addr, host, sizeof(host)),
           ntohs(address.sin_port));
    fflush(stdout);
    return loop_run(fd);
}
