/*
 * sendq: bytes on their way out: heads packed one after the other in one buffer, and between them
 * bodies that stay where the caller has them.
 *
 * Units      bytes.
 * Ownership  caller owns the struct, sendq its buffers; a body pushed by reference must stay valid
 *            until it is dropped or owned.
 * Threads    one owner thread; nothing is locked.
 * Errors     NULL or -ENOMEM when malloc fails; the queue is then as it was.
 * Cost       amortised O(1) per push; own is O(segments).
 */
#ifndef FH_CLIENT_SENDQ_H
#define FH_CLIENT_SENDQ_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct fh_segment {
    const uint8_t *body; /* NULL: the next bytes of the text buffer */
    size_t size;
    void *owned; /* to free when the segment is gone; NULL: the caller's */
};

struct fh_sendq {
    uint8_t *text; /* heads and small bodies [I1] */
    size_t text_start, text_end, text_cap;
    struct fh_segment *segments;
    size_t first, count, cap; /* live are segments[first .. first + count) */
    size_t bytes;             /* queued in all [I2] */
};

void fh_sendq_init(struct fh_sendq *);
void fh_sendq_fini(struct fh_sendq *);

/* Room for `size` bytes of text and for two more pushes; NULL when memory is out. */
uint8_t *fh_sendq_reserve(struct fh_sendq *, size_t size);
/* The first `size` reserved bytes are filled: queue them. */
void fh_sendq_push_text(struct fh_sendq *, size_t size);
/* Queues a body by reference; room was reserved. */
void fh_sendq_push_body(struct fh_sendq *, const void *body, size_t size);

/* The first bytes as up to `max` vectors; returns how many. */
size_t fh_sendq_peek(const struct fh_sendq *, struct iovec *out, size_t max);
/* Copies up to `cap` of the first bytes, returns how many. */
size_t fh_sendq_copy(const struct fh_sendq *, uint8_t *out, size_t cap);
/* The first `size` bytes are gone. */
void fh_sendq_drop(struct fh_sendq *, size_t size);

/* The memory [body, body + size) is about to go away: copies what of it is still queued. */
int fh_sendq_own(struct fh_sendq *, const void *body, size_t size);

#endif
