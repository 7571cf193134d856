/*
 * Theory.  memcached's text protocol, as in its doc/protocol.txt: get, set, delete, nothing else.
 *
 *   get KEY         VALUE KEY FLAGS BYTES | the bytes | END, or END alone for a miss
 *   set KEY 0 0 N   STORED
 *   delete KEY      DELETED or NOT_FOUND
 *
 * There is no get of a part: the whole value comes, and the part is taken out of it here.
 *
 * A value that does not fit (1 MiB unless the server is told otherwise) answers SERVER_ERROR.
 */
#include "client/bench/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fh_driver {
    struct fh_stream stream;
};

static const char END[] = "END\r\n";

/* The value of a hit: its head ends at `body`. */
static ssize_t memcached_parse_value(const char *data, size_t size, const char *body,
                                     struct fh_request *r)
{
    unsigned long long bytes;
    size_t head = (size_t)(body - data);
    char line[320];

    if (head >= sizeof(line))
        return -1;
    memcpy(line, data, head);
    line[head] = '\0';
    if (sscanf(line, "VALUE %*250s %*u %llu", &bytes) != 1 || bytes > 1u << 30)
        return -1;
    if (size < head + bytes + 2 + strlen(END))
        return 0;
    if (fh_request_is_part(r)) {
        r->status = bytes == r->object_bytes ? FH_OK : FH_PROTOCOL;
        r->got = r->status == FH_OK ? (size_t)r->size : 0;
        memcpy(r->buf, body + r->offset, r->got);
        return (ssize_t)(head + bytes + 2 + strlen(END));
    }
    r->status = bytes <= r->size ? FH_OK : FH_TOO_LARGE;
    r->got = bytes <= r->size ? (size_t)bytes : 0;
    memcpy(r->buf, body, r->got);
    return (ssize_t)(head + bytes + 2 + strlen(END));
}

static ssize_t memcached_parse(const char *data, size_t size, struct fh_request *r)
{
    const char *eol = memchr(data, '\n', size);
    ssize_t used;

    if (eol == NULL)
        return size > 1024 ? -1 : 0;
    used = eol - data + 1;
    if (strncmp(data, "VALUE ", 6) == 0)
        return r->op == FH_OP_GET ? memcached_parse_value(data, size, eol + 1, r) : -1;
    if (strncmp(data, "STORED\r\n", 8) == 0 || strncmp(data, "DELETED\r\n", 9) == 0)
        r->status = FH_OK;
    else if (strncmp(data, END, 5) == 0 || strncmp(data, "NOT_FOUND\r\n", 11) == 0)
        r->status = FH_NOT_FOUND;
    else if (strncmp(data, "SERVER_ERROR object too large", 29) == 0)
        r->status = FH_TOO_LARGE;
    else if (strncmp(data, "SERVER_ERROR out of memory", 26) == 0)
        r->status = FH_NO_SPACE;
    else
        return -1;
    return used;
}

static fh_status memcached_open(const char *address, const fh_options *options,
                                struct fh_driver **out, char why[FH_DRIVER_WHY])
{
    struct fh_driver *d = calloc(1, sizeof(*d));
    fh_status status;

    (void)options;
    if (d == NULL)
        return FH_NO_MEMORY;
    status = fh_stream_open(&d->stream, address, memcached_parse, why);
    if (status == FH_OK)
        *out = d;
    else
        free(d);
    return status;
}

static void memcached_close(struct fh_driver *d)
{
    fh_stream_close(&d->stream);
    free(d);
}

static void memcached_submit(struct fh_driver *d, struct fh_request *r)
{
    char head[128];
    int size;

    if (!fh_stream_begin(&d->stream, r))
        return;
    if (r->op != FH_OP_PUT) {
        size = snprintf(head, sizeof(head), "%s %s\r\n", r->op == FH_OP_GET ? "get" : "delete",
                        r->name);
        fh_stream_add(&d->stream, head, (size_t)size);
        return;
    }
    size =
        snprintf(head, sizeof(head), "set %s 0 0 %llu\r\n", r->name, (unsigned long long)r->size);
    if (fh_stream_add(&d->stream, head, (size_t)size) &&
        fh_stream_add(&d->stream, r->body, (size_t)r->size))
        fh_stream_add(&d->stream, "\r\n", 2);
}

static void memcached_flush(struct fh_driver *d)
{
    fh_stream_flush(&d->stream);
}

static size_t memcached_watch(struct fh_driver *d, struct pollfd *fds)
{
    return fh_stream_watch(&d->stream, fds);
}

static void memcached_ready(struct fh_driver *d, const struct pollfd *fd)
{
    fh_stream_ready(&d->stream, fd);
}

static struct fh_request *memcached_next(struct fh_driver *d)
{
    return fh_stream_next(&d->stream);
}

const struct fh_driver_class fh_driver_memcached = {
    .name = "memcached",
    .ops = 1u << FH_OP_GET | 1u << FH_OP_PUT | 1u << FH_OP_INSERT | 1u << FH_OP_SCAN |
           1u << FH_OP_RMW | 1u << FH_OP_DELETE,
    .open = memcached_open,
    .close = memcached_close,
    .submit = memcached_submit,
    .flush = memcached_flush,
    .watch = memcached_watch,
    .ready = memcached_ready,
    .next = memcached_next,
};
