/*
 * Theory.  What is sent is cut into records of 16 KiB. Small pieces are gathered, so that many small
 * replies make one record, in a buffer that all sessions of a thread share; a piece that fills a
 * record goes as it lies. Bytes count as taken when OpenSSL has sealed them. When the socket did not
 * take the record, OpenSSL wants to be offered the same bytes again, which by then lie elsewhere:
 * only then they are kept, in a buffer of the session's own. An idle session has none.
 *
 * Input is read ahead, some records with one call, into a buffer that OpenSSL gives back when it is
 * empty.
 *
 * OpenSSL keeps errors in a queue per thread; it is emptied before each call, or an old error would
 * be taken for a new one. SIGPIPE is ignored by the process.
 *
 * Invariants
 *   [I1] kept_size > 0: OpenSSL has sealed kept[0 .. kept_size) and not got rid of it; the next
 *        write offers exactly that
 */
#include "tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fh_tls_context {
    SSL_CTX *ctx;
};

struct fh_tls {
    SSL *ssl;
    bool wants_write;
    bool broken; /* no goodbye: the session is beyond repair */
    size_t kept_size;
    uint8_t *kept; /* FH_TLS_RECORD_SIZE bytes while kept_size > 0, else NULL */
};

enum { READ_AHEAD = 4 * FH_TLS_RECORD_SIZE };

static _Thread_local uint8_t gathered[FH_TLS_RECORD_SIZE];

static void context_problem(char problem[FH_TLS_PROBLEM_SIZE], const char *what)
{
    char text[160];

    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    snprintf(problem, FH_TLS_PROBLEM_SIZE, "%.80s: %s", what, text);
}

static bool context_verify_clients(SSL_CTX *ctx, const struct fh_tls_opts *o)
{
    int mode = SSL_VERIFY_PEER | (o->require_client ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);

    if (SSL_CTX_load_verify_locations(ctx, o->ca_file, NULL) != 1)
        return false;
    SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(o->ca_file));
    SSL_CTX_set_verify(ctx, mode, NULL);
    SSL_CTX_set_verify_depth(ctx, 4);
    return SSL_CTX_set_purpose(ctx, X509_PURPOSE_SSL_CLIENT) == 1;
}

static void context_set_up(SSL_CTX *ctx)
{
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_read_buffer_len(ctx, READ_AHEAD);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"farheap", 7);
}

struct fh_tls_context *fh_tls_context_create(const struct fh_tls_opts *o,
                                             char problem[FH_TLS_PROBLEM_SIZE])
{
    struct fh_tls_context *context = calloc(1, sizeof *context);
    const char *what = "TLS";

    ERR_clear_error();
    problem[0] = 0;
    if (!context || !(context->ctx = SSL_CTX_new(TLS_server_method())))
        goto failed;
    context_set_up(context->ctx);
    what = o->cert_file;
    if (SSL_CTX_use_certificate_chain_file(context->ctx, o->cert_file) != 1)
        goto failed;
    what = o->key_file;
    if (SSL_CTX_use_PrivateKey_file(context->ctx, o->key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context->ctx) != 1)
        goto failed;
    what = o->ca_file;
    if (o->ca_file && !context_verify_clients(context->ctx, o))
        goto failed;
    return context;

failed:
    context_problem(problem, what);
    fh_tls_context_destroy(context);
    return NULL;
}

void fh_tls_context_destroy(struct fh_tls_context *context)
{
    if (!context)
        return;
    SSL_CTX_free(context->ctx);
    free(context);
}

struct fh_tls *fh_tls_create(struct fh_tls_context *context, int fd)
{
    struct fh_tls *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    ERR_clear_error();
    t->ssl = SSL_new(context->ctx);
    if (!t->ssl || SSL_set_fd(t->ssl, fd) != 1) {
        SSL_free(t->ssl);
        free(t);
        return NULL;
    }
    SSL_set_accept_state(t->ssl);
    return t;
}

static void tls_forget_kept(struct fh_tls *t)
{
    if (t->kept)
        explicit_bzero(t->kept, t->kept_size);
    free(t->kept);
    t->kept = NULL;
    t->kept_size = 0;
}

void fh_tls_destroy(struct fh_tls *t)
{
    if (!t)
        return;
    ERR_clear_error();
    if (!t->broken && SSL_is_init_finished(t->ssl) && t->kept_size == 0)
        SSL_shutdown(t->ssl);
    ERR_clear_error();
    SSL_free(t->ssl);
    tls_forget_kept(t);
    free(t);
}

/* What a call that did not succeed means. */
static int tls_outcome(struct fh_tls *t, int returned)
{
    int saved = errno;

    switch (SSL_get_error(t->ssl, returned)) {
    case SSL_ERROR_WANT_READ:
        t->wants_write = false;
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        t->wants_write = true;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        t->broken = true;
        return saved != 0 ? -saved : -ECONNRESET;
    default:
        t->broken = true;
        return -EPROTO;
    }
}

int fh_tls_accept(struct fh_tls *t)
{
    ERR_clear_error();
    errno = 0;
    int rc = SSL_accept(t->ssl);
    if (rc == 1)
        return 0;
    rc = tls_outcome(t, rc);
    return rc == 0 ? -ECONNRESET : rc;
}

ssize_t fh_tls_recv(struct fh_tls *t, void *buf, size_t size)
{
    size_t got;

    ERR_clear_error();
    errno = 0;
    int rc = SSL_read_ex(t->ssl, buf, size, &got);
    return rc == 1 ? (ssize_t)got : tls_outcome(t, rc);
}

/* Offers at most a record's worth of bytes: 0 = gone. */
static int tls_write(struct fh_tls *t, const uint8_t *bytes, size_t size)
{
    size_t sent;

    ERR_clear_error();
    errno = 0;
    int rc = SSL_write_ex(t->ssl, bytes, size, &sent);
    if (rc == 1)
        return 0; /* all of it: partial writes are not enabled */
    rc = tls_outcome(t, rc);
    return rc == 0 ? -ECONNRESET : rc;
}

/* Keeps what OpenSSL has sealed and wants to be offered again. */
static int tls_keep(struct fh_tls *t, const uint8_t *bytes, size_t size)
{
    t->kept = malloc(FH_TLS_RECORD_SIZE);
    if (!t->kept) {
        t->broken = true; /* it cannot be repeated: nothing can be sent any more */
        return -ENOMEM;
    }
    memcpy(t->kept, bytes, size);
    t->kept_size = size;
    return 0;
}

static int tls_send_kept(struct fh_tls *t)
{
    int rc = t->kept_size > 0 ? tls_write(t, t->kept, t->kept_size) : 0;

    if (rc == 0)
        tls_forget_kept(t);
    return rc;
}

/* The next record: bytes of the iovecs from `from` on, as they lie or gathered. 0 = no more. */
static size_t tls_next(const struct iovec *iov, uint32_t count, size_t from, const uint8_t **bytes)
{
    size_t size = 0;

    *bytes = gathered;
    for (uint32_t i = 0; i < count && size < FH_TLS_RECORD_SIZE; i++) {
        size_t part = iov[i].iov_len;
        if (from >= part) {
            from -= part;
            continue;
        }
        const uint8_t *at = (const uint8_t *)iov[i].iov_base + from;
        part -= from;
        from = 0;
        if (part > FH_TLS_RECORD_SIZE - size)
            part = FH_TLS_RECORD_SIZE - size;
        if (part == FH_TLS_RECORD_SIZE) {
            *bytes = at;
            return part;
        }
        memcpy(gathered + size, at, part);
        size += part;
    }
    return size;
}

/* While it is on, the records of one send go out in full packets. Not every socket is TCP. */
static void tls_cork(const struct fh_tls *t, int on)
{
    (void)setsockopt(SSL_get_fd(t->ssl), IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

static ssize_t tls_send_records(struct fh_tls *t, const struct iovec *iov, uint32_t count)
{
    const uint8_t *bytes;
    size_t taken = 0, size;
    int rc = tls_send_kept(t);

    while (rc == 0 && (size = tls_next(iov, count, taken, &bytes)) > 0) {
        rc = tls_write(t, bytes, size);
        if (rc == -EAGAIN && (rc = tls_keep(t, bytes, size)) == 0) {
            taken += size;
            rc = -EAGAIN;
        } else if (rc == 0) {
            taken += size;
        }
    }
    return (rc == 0 || rc == -EAGAIN) && taken > 0 ? (ssize_t)taken : rc;
}

ssize_t fh_tls_send(struct fh_tls *t, const struct iovec *iov, uint32_t count)
{
    size_t size = t->kept_size;

    for (uint32_t i = 0; i < count; i++)
        size += iov[i].iov_len;
    if (size <= FH_TLS_RECORD_SIZE)
        return tls_send_records(t, iov, count);
    tls_cork(t, 1);
    ssize_t rc = tls_send_records(t, iov, count);
    tls_cork(t, 0);
    return rc;
}

bool fh_tls_has_pending(const struct fh_tls *t)
{
    return SSL_has_pending(t->ssl) == 1;
}

bool fh_tls_has_unsent(const struct fh_tls *t)
{
    return t->kept_size > 0;
}

bool fh_tls_wants_write(const struct fh_tls *t)
{
    return t->wants_write;
}

/* The first alternative name that identifies somebody. */
static bool tls_alternative_name(X509 *cert, char name[FH_TLS_NAME_SIZE])
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool found = false;

    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(names, i);
        if (one->type != GEN_DNS && one->type != GEN_EMAIL && one->type != GEN_URI)
            continue;
        const unsigned char *text = ASN1_STRING_get0_data(one->d.ia5);
        int size = ASN1_STRING_length(one->d.ia5);
        if (size > 0 && (size_t)size == strnlen((const char *)text, (size_t)size)) {
            snprintf(name, FH_TLS_NAME_SIZE, "%.*s", size, (const char *)text);
            found = true;
        }
    }
    GENERAL_NAMES_free(names);
    return found;
}

void fh_tls_peer_name(const struct fh_tls *t, char name[FH_TLS_NAME_SIZE])
{
    X509 *cert = SSL_get1_peer_certificate(t->ssl);

    name[0] = 0;
    if (!cert || SSL_get_verify_result(t->ssl) != X509_V_OK) {
        X509_free(cert);
        return;
    }
    if (!tls_alternative_name(cert, name))
        X509_NAME_oneline(X509_get_subject_name(cert), name, FH_TLS_NAME_SIZE);
    X509_free(cert);
}
