/*
 * tls: TLS 1.3 on a non-blocking socket. The only file of the library that knows OpenSSL.
 *
 * Ownership  caller owns both structs; a stream uses its fh_tls until it is closed; the descriptor
 *            stays the caller's.
 * Threads    one owner thread per struct; no global state beyond OpenSSL's own.
 * Errors     -EAGAIN wait for the socket; -EPROTO TLS failed, `why` has a sentence; -ENOMEM; else
 *            the socket's errno. 0 from read is the end of the stream.
 */
#ifndef FH_CLIENT_TLS_H
#define FH_CLIENT_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { FH_TLS_WHY_SIZE = 160 };

struct fh_tls_files {
    const char *ca_file;   /* PEM; NULL: the system's authorities */
    const char *cert_file; /* PEM; NULL: no identity */
    const char *key_file;
    bool insecure; /* take any certificate */
};

struct fh_tls {
    struct ssl_ctx_st *context; /* NULL: not in use */
    struct bio_method_st *method;
};

struct fh_tls_stream {
    struct ssl_st *ssl;
    bool wants_write;          /* what the last -EAGAIN of the handshake waits for */
    char why[FH_TLS_WHY_SIZE]; /* after -EPROTO */
};

int fh_tls_init(struct fh_tls *, const struct fh_tls_files *, char why[FH_TLS_WHY_SIZE]);
void fh_tls_fini(struct fh_tls *);

/* `peer` is the name or address the certificate must carry. */
int fh_tls_open(const struct fh_tls *, int fd, const char *peer, struct fh_tls_stream *out);
void fh_tls_close(struct fh_tls_stream *);

int fh_tls_handshake(struct fh_tls_stream *);
ssize_t fh_tls_read(struct fh_tls_stream *, void *buf, size_t size);
/* After -EAGAIN the next write must begin with the same bytes and offer at least as many. */
ssize_t fh_tls_write(struct fh_tls_stream *, const void *buf, size_t size);

#endif
