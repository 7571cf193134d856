/*
 * Theory.  OpenSSL's own socket BIO uses write(), and a write to a socket whose peer is gone raises
 * SIGPIPE in the process the library is a guest of. A BIO of ours uses send(MSG_NOSIGNAL) and
 * carries nothing but the descriptor. The error queue is cleared before each call, for what an
 * earlier call left there would be taken for the outcome of this one.
 *
 * Invariants
 *   [I1] nothing below TLS 1.3 is spoken
 *   [I2] unless `insecure`, no byte is exchanged before chain and name are verified
 */
#include "client/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int socket_fd(BIO *bio)
{
    return (int)(intptr_t)BIO_get_data(bio);
}

static int socket_outcome(BIO *bio, ssize_t n, int retry)
{
    BIO_clear_retry_flags(bio);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
    return (int)n;
}

static int socket_write(BIO *bio, const char *bytes, int size)
{
    return socket_outcome(bio, send(socket_fd(bio), bytes, (size_t)size, MSG_NOSIGNAL),
                          BIO_FLAGS_WRITE);
}

static int socket_read(BIO *bio, char *bytes, int size)
{
    return socket_outcome(bio, recv(socket_fd(bio), bytes, (size_t)size, 0), BIO_FLAGS_READ);
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *method_create(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "farheap socket");

    if (method == NULL)
        return NULL;
    if (BIO_meth_set_write(method, socket_write) != 1 ||
        BIO_meth_set_read(method, socket_read) != 1 ||
        BIO_meth_set_ctrl(method, socket_control) != 1) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

/* The oldest error in the queue, as words, behind `what`. */
static int explain(char why[FH_TLS_WHY_SIZE], const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    (void)snprintf(why, FH_TLS_WHY_SIZE, "%s: %s", what, reason != NULL ? reason : "TLS failed");
    ERR_clear_error();
    return -EPROTO;
}

static int context_load(SSL_CTX *context, const struct fh_tls_files *files, char *why)
{
    const char *key = files->key_file != NULL ? files->key_file : files->cert_file;

    if (files->ca_file != NULL) {
        if (SSL_CTX_load_verify_file(context, files->ca_file) != 1)
            return explain(why, files->ca_file);
    } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
        return explain(why, "the system's certificate authorities");
    }
    if (files->cert_file == NULL)
        return 0;
    if (SSL_CTX_use_certificate_chain_file(context, files->cert_file) != 1)
        return explain(why, files->cert_file);
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return explain(why, key);
    if (SSL_CTX_check_private_key(context) != 1)
        return explain(why, "key and certificate");
    return 0;
}

int fh_tls_init(struct fh_tls *tls, const struct fh_tls_files *files, char why[FH_TLS_WHY_SIZE])
{
    int rc;

    ERR_clear_error();
    tls->method = method_create();
    tls->context = SSL_CTX_new(TLS_client_method());
    if (tls->method == NULL || tls->context == NULL) {
        fh_tls_fini(tls);
        return -ENOMEM;
    }
    SSL_CTX_set_min_proto_version(tls->context, TLS1_3_VERSION);
    SSL_CTX_set_mode(tls->context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(tls->context, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_verify(tls->context, files->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if ((rc = context_load(tls->context, files, why)) != 0)
        fh_tls_fini(tls);
    return rc;
}

void fh_tls_fini(struct fh_tls *tls)
{
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->method);
    *tls = (struct fh_tls){0};
}

static int expect_peer(SSL *ssl, const char *peer)
{
    uint8_t address[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, peer, address) == 1 || inet_pton(AF_INET6, peer, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), peer) == 1 ? 0 : -EINVAL;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (SSL_set_tlsext_host_name(ssl, peer) != 1 || SSL_set1_host(ssl, peer) != 1)
        return -EINVAL;
    return 0;
}

int fh_tls_open(const struct fh_tls *tls, int fd, const char *peer, struct fh_tls_stream *out)
{
    BIO *bio;
    int rc;

    ERR_clear_error();
    *out = (struct fh_tls_stream){.ssl = SSL_new(tls->context)};
    if (out->ssl == NULL)
        return -ENOMEM;
    if ((bio = BIO_new(tls->method)) == NULL) {
        rc = -ENOMEM;
        goto out_ssl;
    }
    BIO_set_data(bio, (void *)(intptr_t)fd);
    BIO_set_init(bio, 1);
    SSL_set_bio(out->ssl, bio, bio);
    SSL_set_connect_state(out->ssl);
    if ((rc = expect_peer(out->ssl, peer)) == 0)
        return 0;

out_ssl:
    fh_tls_close(out);
    return rc;
}

void fh_tls_close(struct fh_tls_stream *stream)
{
    if (stream->ssl == NULL)
        return;
    ERR_clear_error();
    if (SSL_is_init_finished(stream->ssl))
        (void)SSL_shutdown(stream->ssl);
    SSL_free(stream->ssl);
    stream->ssl = NULL;
    ERR_clear_error();
}

int fh_tls_handshake(struct fh_tls_stream *stream)
{
    int rc, error;
    long verdict;

    ERR_clear_error();
    errno = 0;
    if ((rc = SSL_do_handshake(stream->ssl)) == 1)
        return 0;
    error = SSL_get_error(stream->ssl, rc);
    stream->wants_write = error == SSL_ERROR_WANT_WRITE;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    verdict = SSL_get_verify_result(stream->ssl);
    if (verdict == X509_V_OK)
        return explain(stream->why, "TLS handshake");
    (void)snprintf(stream->why, sizeof(stream->why), "the server's certificate is refused: %s",
                   X509_verify_cert_error_string(verdict));
    ERR_clear_error();
    return -EPROTO;
}

static ssize_t stream_outcome(struct fh_tls_stream *stream, int rc)
{
    int cause = errno;

    if (rc > 0)
        return rc;
    switch (SSL_get_error(stream->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        return cause != 0 ? -cause : 0;
    default:
        return explain(stream->why, "TLS");
    }
}

static int int_of_size(size_t size)
{
    return size > INT_MAX ? INT_MAX : (int)size;
}

ssize_t fh_tls_read(struct fh_tls_stream *stream, void *buf, size_t size)
{
    ERR_clear_error();
    errno = 0;
    return stream_outcome(stream, SSL_read(stream->ssl, buf, int_of_size(size)));
}

ssize_t fh_tls_write(struct fh_tls_stream *stream, const void *buf, size_t size)
{
    ERR_clear_error();
    errno = 0;
    return stream_outcome(stream, SSL_write(stream->ssl, buf, int_of_size(size)));
}
