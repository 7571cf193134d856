/*
 * Theory.  RESP, as in Redis's protocol specification: commands are arrays of bulk strings, replies
 * begin with + - : or $.
 *
 *   GET   $N | the bytes, or $-1 for a miss        SET   +OK        DEL   :1 or :0
 *   GETRANGE, of a part: $N | the bytes; of a key that is not there, $0
 */
#include "client/bench/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fh_driver {
    struct fh_stream stream;
};

/* A bulk string whose length line ends before `body`. */
static ssize_t redis_parse_bulk(const char *data, size_t size, const char *body,
                                struct fh_request *r)
{
    long long bytes = strtoll(data + 1, NULL, 10);
    size_t head = (size_t)(body - data);

    if (bytes < 0 || (bytes == 0 && fh_request_is_part(r) && size >= head + 2)) {
        r->status = FH_NOT_FOUND;
        return (ssize_t)(bytes < 0 ? head : head + 2);
    }
    if (bytes > 1 << 30 || r->op != FH_OP_GET)
        return -1;
    if (size < head + (size_t)bytes + 2)
        return 0;
    r->status = (uint64_t)bytes <= r->size ? FH_OK : FH_TOO_LARGE;
    r->got = r->status == FH_OK ? (size_t)bytes : 0;
    memcpy(r->buf, body, r->got);
    return (ssize_t)(head + (size_t)bytes + 2);
}

static ssize_t redis_parse(const char *data, size_t size, struct fh_request *r)
{
    const char *eol = memchr(data, '\n', size);

    if (eol == NULL)
        return size > 1024 ? -1 : 0;
    switch (data[0]) {
    case '$':
        return redis_parse_bulk(data, size, eol + 1, r);
    case '+':
        r->status = FH_OK;
        break;
    case ':':
        r->status = data[1] == '0' ? FH_NOT_FOUND : FH_OK;
        break;
    case '-':
        r->status = strncmp(data, "-OOM", 4) == 0 ? FH_NO_SPACE : FH_INVALID;
        break;
    default:
        return -1;
    }
    return eol - data + 1;
}

static fh_status redis_open(const char *address, const fh_options *options, struct fh_driver **out,
                            char why[FH_DRIVER_WHY])
{
    struct fh_driver *d = calloc(1, sizeof(*d));
    fh_status status;

    (void)options;
    if (d == NULL)
        return FH_NO_MEMORY;
    status = fh_stream_open(&d->stream, address, redis_parse, why);
    if (status == FH_OK)
        *out = d;
    else
        free(d);
    return status;
}

static void redis_close(struct fh_driver *d)
{
    fh_stream_close(&d->stream);
    free(d);
}

static void redis_submit_part(struct fh_driver *d, struct fh_request *r)
{
    char first[24], last[24], head[200];
    int n1 = snprintf(first, sizeof(first), "%llu", (unsigned long long)r->offset);
    int n2 = snprintf(last, sizeof(last), "%llu", (unsigned long long)(r->offset + r->size - 1));
    int size = snprintf(head, sizeof(head),
                        "*4\r\n$8\r\nGETRANGE\r\n$%zu\r\n%s\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n",
                        r->name_size, r->name, n1, first, n2, last);

    if (fh_stream_begin(&d->stream, r))
        (void)fh_stream_add(&d->stream, head, (size_t)size);
}

static void redis_submit(struct fh_driver *d, struct fh_request *r)
{
    if (fh_request_is_part(r)) {
        redis_submit_part(d, r);
        return;
    }
    bool put = r->op == FH_OP_PUT;
    char head[160];
    int size = snprintf(head, sizeof(head), "*%d\r\n$3\r\n%s\r\n$%zu\r\n%s\r\n", put ? 3 : 2,
                        put                  ? "SET"
                        : r->op == FH_OP_GET ? "GET"
                                             : "DEL",
                        r->name_size, r->name);

    if (!fh_stream_begin(&d->stream, r) || !fh_stream_add(&d->stream, head, (size_t)size) || !put)
        return;
    size = snprintf(head, sizeof(head), "$%llu\r\n", (unsigned long long)r->size);
    if (fh_stream_add(&d->stream, head, (size_t)size) &&
        fh_stream_add(&d->stream, r->body, (size_t)r->size))
        fh_stream_add(&d->stream, "\r\n", 2);
}

static void redis_flush(struct fh_driver *d)
{
    fh_stream_flush(&d->stream);
}

static size_t redis_watch(struct fh_driver *d, struct pollfd *fds)
{
    return fh_stream_watch(&d->stream, fds);
}

static void redis_ready(struct fh_driver *d, const struct pollfd *fd)
{
    fh_stream_ready(&d->stream, fd);
}

static struct fh_request *redis_next(struct fh_driver *d)
{
    return fh_stream_next(&d->stream);
}

const struct fh_driver_class fh_driver_redis = {
    .name = "redis",
    .ops = 1u << FH_OP_GET | 1u << FH_OP_PUT | 1u << FH_OP_INSERT | 1u << FH_OP_SCAN |
           1u << FH_OP_RMW | 1u << FH_OP_DELETE,
    .open = redis_open,
    .close = redis_close,
    .submit = redis_submit,
    .flush = redis_flush,
    .watch = redis_watch,
    .ready = redis_ready,
    .next = redis_next,
};
