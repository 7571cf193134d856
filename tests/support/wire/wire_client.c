/*
 * Theory.  The socket is non-blocking and every transfer polls against one deadline, so a server
 * that hangs fails a test instead of stopping it.
 */
#include "wire_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/frame.h"

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int error_of_socket(void)
{
    return errno == EPIPE ? -ECONNRESET : -errno;
}

/* 0 when the socket is ready for `events` before the deadline. */
static int socket_wait(int fd, short events, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = events};
    int64_t left = deadline - now_ms();
    int rc = poll(&p, 1, left > 0 ? (int)left : 0);

    if (rc < 0 && errno != EINTR)
        return -errno;
    return rc == 0 ? -ETIMEDOUT : 0;
}

int wire_client_connect(struct wire_client *c, uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    c->timeout_ms = WIRE_TIMEOUT_MS;
    c->next_id = 1;
    c->response = NULL;
    c->body = NULL;
    c->body_size = 0;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return -errno;
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) != 0 ||
        fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0) {
        int rc = -errno;
        wire_client_close(c);
        return rc;
    }
    return 0;
}

void wire_client_close(struct wire_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    free(c->body);
    c->body = NULL;
    c->body_size = 0;
    c->response = NULL;
}

void wire_client_reset(struct wire_client *c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    wire_client_close(c);
}

int wire_client_send_end(struct wire_client *c)
{
    return shutdown(c->fd, SHUT_WR) == 0 ? 0 : -errno;
}

int wire_client_shrink_receive(struct wire_client *c)
{
    return setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int)) == 0 ? 0 : -errno;
}

int wire_client_send_raw(struct wire_client *c, const void *bytes, size_t size)
{
    int64_t deadline = now_ms() + c->timeout_ms;
    const char *at = bytes;

    while (size > 0) {
        ssize_t sent = send(c->fd, at, size, MSG_NOSIGNAL);
        if (sent >= 0) {
            at += sent;
            size -= (size_t)sent;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return error_of_socket();
        int rc = socket_wait(c->fd, POLLOUT, deadline);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int wire_client_send_prefix(struct wire_client *c, uint32_t head_size, uint32_t body_size)
{
    uint8_t bytes[FH_FRAME_PREFIX_SIZE];

    fh_frame_prefix_store(bytes, (struct fh_frame_prefix){head_size, body_size});
    return wire_client_send_raw(c, bytes, sizeof bytes);
}

int wire_client_send(struct wire_client *c, fh_request_head *head, const void *body,
                     size_t body_size)
{
    uint8_t bytes[FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX];
    int rc;

    if (head->id == 0)
        head->id = c->next_id++;
    size_t size = fh_head_pack_request(head, (uint32_t)body_size, bytes, sizeof bytes);
    if (size == 0)
        return -EMSGSIZE;
    if ((rc = wire_client_send_raw(c, bytes, size)) != 0)
        return rc;
    return wire_client_send_raw(c, body, body_size);
}

static int receive_exactly(struct wire_client *c, uint8_t *bytes, size_t size, int64_t deadline)
{
    while (size > 0) {
        ssize_t got = recv(c->fd, bytes, size, 0);
        if (got == 0)
            return -ECONNRESET;
        if (got > 0) {
            bytes += got;
            size -= (size_t)got;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return error_of_socket();
        int rc = socket_wait(c->fd, POLLIN, deadline);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int wire_client_receive(struct wire_client *c)
{
    uint8_t bytes[FH_HEAD_MAX];
    struct fh_frame_prefix prefix;
    int64_t deadline = now_ms() + c->timeout_ms;
    int rc;

    c->response = NULL;
    free(c->body);
    c->body = NULL;
    c->body_size = 0;
    if ((rc = receive_exactly(c, bytes, FH_FRAME_PREFIX_SIZE, deadline)) != 0)
        return rc;
    if ((rc = fh_frame_prefix_load(bytes, FH_HEAD_MAX, FH_BODY_MAX, &prefix)) != 0)
        return rc;
    if ((rc = receive_exactly(c, bytes, prefix.head_size, deadline)) != 0)
        return rc;
    if ((c->body = malloc((size_t)prefix.body_size + 1)) == NULL)
        return -ENOMEM;
    if ((rc = receive_exactly(c, c->body, prefix.body_size, deadline)) != 0)
        return rc;
    c->body_size = prefix.body_size;
    return fh_head_unpack_response(&c->arena, bytes, prefix.head_size, &c->response);
}

int wire_client_call(struct wire_client *c, fh_request_head *head, const void *body,
                     size_t body_size)
{
    int rc;

    if ((rc = wire_client_send(c, head, body, body_size)) != 0)
        return rc;
    if ((rc = wire_client_receive(c)) != 0)
        return rc;
    return c->response->id == head->id ? (int)c->response->status : -EPROTO;
}

int wire_client_wait_closed(struct wire_client *c, int timeout_ms)
{
    static uint8_t sink[65536];
    int64_t deadline = now_ms() + timeout_ms;
    int rc = 0;

    while (rc == 0 && now_ms() < deadline)
        rc = receive_exactly(c, sink, sizeof sink, deadline);
    return rc == 0 || rc == -ETIMEDOUT ? -ETIMEDOUT : 0;
}

int wire_client_hello(struct wire_client *c, int zone)
{
    Farheap__V1__Hello hello = FARHEAP__V1__HELLO__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    hello.version = 1;
    hello.zone = (uint32_t)zone; /* WIRE_ZONE_ANY becomes 0xffffffff */
    hello.client_id = UINT64_C(0x7e57) << 32 | (uint32_t)c->fd;
    hello.agent = (ProtobufCBinaryData){11, (uint8_t *)(char[]){"wire_client"}};
    head.op_case = FARHEAP__V1__REQUEST__OP_HELLO;
    head.hello = &hello;
    return wire_client_call(c, &head, NULL, 0);
}

int wire_client_ping(struct wire_client *c, const void *body, size_t body_size)
{
    Farheap__V1__Ping ping = FARHEAP__V1__PING__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    head.op_case = FARHEAP__V1__REQUEST__OP_PING;
    head.ping = &ping;
    return wire_client_call(c, &head, body, body_size);
}

static ProtobufCBinaryData bytes_of_name(const char *name)
{
    return (ProtobufCBinaryData){strlen(name), (uint8_t *)(uintptr_t)name};
}

int wire_client_put(struct wire_client *c, const char *name, const void *body, size_t body_size)
{
    Farheap__V1__Put put = FARHEAP__V1__PUT__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    put.name = bytes_of_name(name);
    head.op_case = FARHEAP__V1__REQUEST__OP_PUT;
    head.put = &put;
    return wire_client_call(c, &head, body, body_size);
}

int wire_client_get(struct wire_client *c, const char *name, uint64_t offset, uint64_t size)
{
    Farheap__V1__Get get = FARHEAP__V1__GET__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    get.name = bytes_of_name(name);
    get.offset = offset;
    get.size = size;
    head.op_case = FARHEAP__V1__REQUEST__OP_GET;
    head.get = &get;
    return wire_client_call(c, &head, NULL, 0);
}

int wire_client_alloc(struct wire_client *c, uint64_t size, Farheap__V1__Handle *handle)
{
    Farheap__V1__Alloc alloc = FARHEAP__V1__ALLOC__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    alloc.size = size;
    head.op_case = FARHEAP__V1__REQUEST__OP_ALLOC;
    head.alloc = &alloc;
    int status = wire_client_call(c, &head, NULL, 0);
    if (status != 0)
        return status;
    if (c->response->result_case != FARHEAP__V1__RESPONSE__RESULT_OBJECT ||
        !c->response->object->handle)
        return -EPROTO;
    *handle = *c->response->object->handle;
    return 0;
}
