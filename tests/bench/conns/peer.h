/*
 * peer: one connection of a load, plain or TLS: requests out as bytes, replies in as heads; bodies
 * are counted and thrown away. Connecting waits, the rest does not.
 *
 * Ownership  the caller owns the struct, which may not move; a request's bytes stay the caller's.
 * Threads    one owner.
 * Errors     negative errno; -ECONNRESET the server ended the connection.
 */
#ifndef FH_TESTS_BENCH_PEER_H
#define FH_TESTS_BENCH_PEER_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "proto/head.h"

enum { PEER_HEAD_MAX = 512, PEER_REQUEST_MAX = 256 };

struct peer {
    int fd;        /* -1 when closed */
    SSL *ssl;      /* NULL = plain */
    uint32_t kept; /* bytes of an unfinished prefix and head */
    uint64_t body; /* bytes of the reply's body still to come */
    uint64_t id;   /* of the reply whose body is coming */
    uint32_t status;
    uint8_t head[FH_FRAME_PREFIX_SIZE + PEER_HEAD_MAX];
};

/* A reply has come whole. */
typedef void peer_reply_fn(void *ctx, uint64_t id, uint32_t status);

/* A context that trusts everybody: what is measured are bytes, not certificates. NULL: no memory. */
SSL_CTX *peer_tls(void);

/* Connects and says Hello. `tls` NULL = plain text. */
int peer_open(struct peer *, uint16_t port, SSL_CTX *tls);
void peer_close(struct peer *);

/* Bytes that were taken, 0 when the socket takes none now, or the error. */
int64_t peer_send(struct peer *, const void *bytes, size_t size);
/* One receive of at most `size` bytes: how many came (0 = none now), or the error. */
int64_t peer_receive(struct peer *, size_t size, peer_reply_fn *, void *ctx);
/* Sends it whole and waits for its one reply: the status, or the error. */
int peer_call(struct peer *, const void *bytes, size_t size);

/* A get or put of `name` into `out` (PEER_REQUEST_MAX bytes); the body of a put follows it. */
size_t peer_get_request(uint8_t *out, uint64_t id, const char *name);
size_t peer_put_request(uint8_t *out, uint64_t id, const char *name, uint32_t body_size);

#endif
