/*
 * wire_client: a client of a few lines for end-to-end tests, which may also send what no client
 * should. Blocking, one request at a time, over plain TCP on 127.0.0.1.
 *
 * Ownership  the caller owns the struct; a response and its body live in it until the next receive.
 * Threads    one owner.
 * Errors     -ETIMEDOUT nothing came in time; -ECONNRESET the server closed or reset the
 *            connection; -EBADMSG what came is no response; -EMSGSIZE its sizes are beyond the
 *            limits.
 */
#ifndef FH_TESTS_WIRE_CLIENT_H
#define FH_TESTS_WIRE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/head.h"

enum { WIRE_ZONE_ANY = -1, WIRE_TIMEOUT_MS = 100000 };

struct wire_client {
    int fd;         /* -1 when closed */
    int timeout_ms; /* of one send or receive; WIRE_TIMEOUT_MS after connect */
    uint64_t next_id;
    struct fh_head_arena arena;
    fh_response_head *response; /* of the last receive */
    uint8_t *body;              /* of the last receive, body_size bytes */
    uint32_t body_size;
};

int wire_client_connect(struct wire_client *, uint16_t port);
void wire_client_close(struct wire_client *);
/* Closes so that the peer gets RST instead of FIN. */
void wire_client_reset(struct wire_client *);
/* Tells the server that nothing more will come; answers can still be received. */
int wire_client_send_end(struct wire_client *);
/* A small window for what the server sends, before much of it can arrive. */
int wire_client_shrink_receive(struct wire_client *);

int wire_client_send_raw(struct wire_client *, const void *bytes, size_t size);
/* A frame with the sizes that are given, whatever follows. */
int wire_client_send_prefix(struct wire_client *, uint32_t head_size, uint32_t body_size);
/* Sends head and body as they should be; an id of 0 is replaced by the next one. */
int wire_client_send(struct wire_client *, fh_request_head *, const void *body, size_t body_size);
/* Receives one frame into `response`, `body`, `body_size`. */
int wire_client_receive(struct wire_client *);
/* Sends, receives, and returns the status (>= 0) or a negative errno; -EPROTO: of another id. */
int wire_client_call(struct wire_client *, fh_request_head *, const void *body, size_t body_size);

/* Waits until the server closes the connection, reading what still comes: 0, or -ETIMEDOUT. */
int wire_client_wait_closed(struct wire_client *, int timeout_ms);

/* The calls that tests make most. They return what wire_client_call returns. */
int wire_client_hello(struct wire_client *, int zone);
int wire_client_ping(struct wire_client *, const void *body, size_t body_size);
int wire_client_put(struct wire_client *, const char *name, const void *body, size_t body_size);
int wire_client_get(struct wire_client *, const char *name, uint64_t offset, uint64_t size);
/* *handle is filled when the status is OK. */
int wire_client_alloc(struct wire_client *, uint64_t size, Farheap__V1__Handle *handle);

#endif
