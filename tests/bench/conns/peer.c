/*
 * Theory.  Replies come as a stream of [prefix][head][body]. Prefix and head are gathered in the
 * peer, the body is only counted down, so that a load of megabytes costs its tester little more
 * than the kernel's copy.
 *
 * Invariants
 *   [I1] body > 0 exactly while a reply's head was read and its body is not all there; kept is 0
 *        then
 */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SCRATCH = 256 * 1024 };

static uint8_t scratch[SCRATCH];
static struct fh_head_arena arena;

SSL_CTX *peer_tls(void)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());

    if (tls) {
        SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
        SSL_CTX_set_read_ahead(tls, 1);
        SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
    }
    return tls;
}

/* What a call of TLS that took nothing means: 0 = not now. */
static int tls_outcome(struct peer *p, int returned)
{
    switch (SSL_get_error(p->ssl, returned)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
    case SSL_ERROR_SYSCALL:
        return -ECONNRESET;
    default:
        return -EPROTO;
    }
}

int64_t peer_send(struct peer *p, const void *bytes, size_t size)
{
    size_t taken;

    if (p->ssl) {
        ERR_clear_error();
        int rc = SSL_write_ex(p->ssl, bytes, size, &taken);
        return rc == 1 ? (int64_t)taken : tls_outcome(p, rc);
    }
    ssize_t sent = send(p->fd, bytes, size, MSG_NOSIGNAL);
    if (sent >= 0)
        return sent;
    return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

/* Takes what came apart. */
static int peer_take(struct peer *p, const uint8_t *at, size_t left, peer_reply_fn *reply,
                     void *ctx)
{
    while (left > 0) {
        struct fh_frame_prefix prefix = {0, 0};
        fh_response_head *head;
        size_t need = FH_FRAME_PREFIX_SIZE;
        if (p->body > 0) {
            size_t part = p->body < left ? (size_t)p->body : left;
            p->body -= part;
            at += part;
            left -= part;
            if (p->body == 0)
                reply(ctx, p->id, p->status);
            continue;
        }
        if (p->kept >= FH_FRAME_PREFIX_SIZE) {
            if (fh_frame_prefix_load(p->head, PEER_HEAD_MAX, FH_BODY_MAX, &prefix) != 0)
                return -EBADMSG;
            need += prefix.head_size;
        }
        size_t part = need - p->kept < left ? need - p->kept : left;
        memcpy(p->head + p->kept, at, part);
        p->kept += (uint32_t)part;
        at += part;
        left -= part;
        if (prefix.head_size == 0 || p->kept < need)
            continue;
        if (fh_head_unpack_response(&arena, p->head + FH_FRAME_PREFIX_SIZE, prefix.head_size,
                                    &head) != 0)
            return -EBADMSG;
        p->kept = 0;
        p->id = head->id;
        p->status = head->status;
        p->body = prefix.body_size;
        if (p->body == 0)
            reply(ctx, p->id, p->status);
    }
    return 0;
}

int64_t peer_receive(struct peer *p, size_t size, peer_reply_fn *reply, void *ctx)
{
    size_t got = 0;
    int rc;

    if (size > SCRATCH)
        size = SCRATCH;
    if (p->ssl) {
        ERR_clear_error();
        rc = SSL_read_ex(p->ssl, scratch, size, &got);
        if (rc != 1 && (rc = tls_outcome(p, rc)) != 0)
            return rc;
    } else {
        ssize_t n = recv(p->fd, scratch, size, 0);
        if (n == 0)
            return -ECONNRESET;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        got = n > 0 ? (size_t)n : 0;
    }
    rc = peer_take(p, scratch, got, reply, ctx);
    return rc != 0 ? rc : (int64_t)got;
}

struct answer {
    bool here;
    uint32_t status;
};

static void answer_note(void *ctx, uint64_t id, uint32_t status)
{
    struct answer *a = ctx;

    (void)id;
    a->here = true;
    a->status = status;
}

int peer_call(struct peer *p, const void *bytes, size_t size)
{
    struct pollfd fd = {.fd = p->fd};
    struct answer a = {false, 0};
    size_t sent = 0;

    while (!a.here) {
        int64_t n = 0;
        if (sent < size && (n = peer_send(p, (const uint8_t *)bytes + sent, size - sent)) < 0)
            return (int)n;
        sent += (size_t)n;
        int64_t got = peer_receive(p, SCRATCH, answer_note, &a);
        if (got < 0)
            return (int)got;
        fd.events = sent < size ? POLLIN | POLLOUT : POLLIN;
        if (n == 0 && got == 0 && poll(&fd, 1, 10000) == 0)
            return -ETIMEDOUT;
    }
    return (int)a.status;
}

static int peer_hello(struct peer *p)
{
    Farheap__V1__Hello hello = FARHEAP__V1__HELLO__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    uint8_t bytes[PEER_REQUEST_MAX];

    hello.version = 1;
    hello.zone = UINT32_MAX; /* any */
    head.id = 1;
    head.op_case = FARHEAP__V1__REQUEST__OP_HELLO;
    head.hello = &hello;
    size_t size = fh_head_pack_request(&head, 0, bytes, sizeof bytes);
    int rc = peer_call(p, bytes, size);
    return rc > 0 ? -EPROTO : rc;
}

int peer_open(struct peer *p, uint16_t port, SSL_CTX *tls)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int rc = -EPROTO;

    memset(p, 0, sizeof *p);
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->fd < 0)
        return -errno;
    if (connect(p->fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) != 0) {
        rc = -errno;
        goto failed;
    }
    if (tls &&
        (!(p->ssl = SSL_new(tls)) || SSL_set_fd(p->ssl, p->fd) != 1 || SSL_connect(p->ssl) != 1))
        goto failed;
    if (fcntl(p->fd, F_SETFL, O_NONBLOCK) == 0 && (rc = peer_hello(p)) == 0)
        return 0;
failed:
    peer_close(p);
    return rc;
}

void peer_close(struct peer *p)
{
    SSL_free(p->ssl);
    p->ssl = NULL;
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

size_t peer_get_request(uint8_t *out, uint64_t id, const char *name)
{
    Farheap__V1__Get get = FARHEAP__V1__GET__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    get.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)(uintptr_t)name};
    head.id = id;
    head.op_case = FARHEAP__V1__REQUEST__OP_GET;
    head.get = &get;
    return fh_head_pack_request(&head, 0, out, PEER_REQUEST_MAX);
}

size_t peer_put_request(uint8_t *out, uint64_t id, const char *name, uint32_t body_size)
{
    Farheap__V1__Put put = FARHEAP__V1__PUT__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    put.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)(uintptr_t)name};
    head.id = id;
    head.op_case = FARHEAP__V1__REQUEST__OP_PUT;
    head.put = &put;
    return fh_head_pack_request(&head, body_size, out, PEER_REQUEST_MAX);
}
