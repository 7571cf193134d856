/*
 * tls: TLS 1.3 by OpenSSL, directly on a non-blocking socket.
 *
 * Ownership  a context belongs to the server and outlives its sessions; a session to its
 * connection. Threads    a context is read by all threads; a session belongs to one at a time.
 * Errors     -EAGAIN the socket has nothing, or takes nothing, for now; -EPROTO the peer broke TLS;
 *            -ECONNRESET it is gone; -ENOMEM.
 */
#ifndef FH_SERVER_TLS_H
#define FH_SERVER_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "alloc/assert.h"

enum { FH_TLS_RECORD_SIZE = 16384, FH_TLS_NAME_SIZE = 256, FH_TLS_PROBLEM_SIZE = 256 };

struct fh_tls_context;
struct fh_tls;

struct fh_tls_opts {
    const char *cert_file, *key_file;
    const char *ca_file; /* NULL: clients are not asked for a certificate */
    bool require_client;
};

/* NULL: `problem` tells. */
struct fh_tls_context *fh_tls_context_create(const struct fh_tls_opts *,
                                             char problem[FH_TLS_PROBLEM_SIZE]);
void fh_tls_context_destroy(struct fh_tls_context *);

struct fh_tls *fh_tls_create(struct fh_tls_context *, int fd);
/* Says goodbye if it can without waiting. NULL is fine. */
void fh_tls_destroy(struct fh_tls *);

/* One step of the handshake: 0 = done. */
FH_CHECKED int fh_tls_accept(struct fh_tls *);
/* Bytes received; 0 = the peer has ended its side. */
ssize_t fh_tls_recv(struct fh_tls *, void *buf, size_t size);
/*
 * Bytes of the iovecs that were taken: sent, or the last of them kept in a record of the session's
 * own, which is sent first at the next call. With count 0 only that record is sent: 0 = there is
 * none left.
 */
ssize_t fh_tls_send(struct fh_tls *, const struct iovec *iov, uint32_t count);
/* Decrypted bytes wait inside, where no poll can see them. */
bool fh_tls_has_pending(const struct fh_tls *);
/* A record waits to be sent. */
bool fh_tls_has_unsent(const struct fh_tls *);
/* The step that answered -EAGAIN needs the socket to be writable. */
bool fh_tls_wants_write(const struct fh_tls *);
/* Who the peer's verified certificate says it is; empty = it showed none. */
void fh_tls_peer_name(const struct fh_tls *, char name[FH_TLS_NAME_SIZE]);

#endif
