/*
 * stream: a process of its own that moves large objects over one connection as fast as it goes.
 *
 * Units      bytes.
 * Ownership  the caller owns the struct; stop ends the process.
 * Errors     negative errno.
 */
#ifndef FH_TESTS_BENCH_STREAM_H
#define FH_TESTS_BENCH_STREAM_H

#include <stdatomic.h>
#include <sys/types.h>

#include "peer.h"

struct stream_counts {
    _Atomic uint64_t got, put; /* whole objects */
    _Atomic int failed;
};

struct stream {
    pid_t pid;
    struct stream_counts *counts; /* shared with the process */
};

/* How: `gets`, `puts` or both, by turns, of `size` bytes; `deep` requests are in flight. */
struct stream_how {
    uint16_t port;
    SSL_CTX *tls; /* NULL = plain */
    uint32_t size, deep;
    bool gets, puts;
};

/* An object of that size named "large" is there already when gets are wanted. */
int stream_start(struct stream *, const struct stream_how *);
/* 0, or how it failed. */
int stream_stop(struct stream *);

/* The bare limit: a process that writes `size` bytes again and again with SSL_write in the server's
 * place, on `cpu` (-1 = any); *port is where, *pid who. It serves one connection and ends. */
int stream_bare_tls(const char *cert, const char *key, uint32_t size, int cpu, uint16_t *port,
                    pid_t *pid);
/* Bytes per second read from it for that long, as a client of farheap would read them. */
double stream_read_bare(uint16_t port, SSL_CTX *tls, double seconds);

#endif
