/*
 * stream: a TCP connection on which requests are answered in order: memcached's and Redis's way.
 *
 * Ownership  caller owns the struct, stream its socket and buffers; requests stay the caller's.
 * Threads    one owner.
 * Errors     a connection that breaks fails everything in flight with FH_CONNECTION; the next
 *            submit connects again.
 */
#ifndef FH_CLIENT_BENCH_STREAM_H
#define FH_CLIENT_BENCH_STREAM_H

#include "client/bench/driver.h"

#include <sys/types.h>

struct fh_bytes {
    char *data;
    size_t start, end, room; /* start .. end is in use */
};

/*
 * Parses the first reply of `size` bytes for this request: returns its length once all of it is
 * there (status and got are set then), 0 while more is needed, -1 if it is not the protocol.
 */
typedef ssize_t fh_stream_parse(const char *data, size_t size, struct fh_request *);

struct fh_stream {
    int fd;              /* -1: not connected */
    const char *address; /* HOST:PORT, outlives the stream */
    fh_stream_parse *parse;
    struct fh_bytes in, out;
    struct fh_request *first, **last; /* sent and not answered, in order */
    struct fh_request *finished, **finished_last;
};

fh_status fh_stream_open(struct fh_stream *, const char *address, fh_stream_parse *,
                         char why[FH_DRIVER_WHY]);
void fh_stream_close(struct fh_stream *);

/* Adds bytes to what will be sent; false if memory ran out (the stream is then broken). */
bool fh_stream_add(struct fh_stream *, const void *data, size_t size);
/* Call before the request's bytes are added: connects again if need be. False: it has failed. */
bool fh_stream_begin(struct fh_stream *, struct fh_request *);
void fh_stream_flush(struct fh_stream *);
size_t fh_stream_watch(struct fh_stream *, struct pollfd *fds);
void fh_stream_ready(struct fh_stream *, const struct pollfd *fd);
struct fh_request *fh_stream_next(struct fh_stream *);

#endif
