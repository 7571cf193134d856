/*
 * Theory.  The SDK already is a driver; this only turns its calls into the table's. A request that
 * could not even be queued waits in `refused` for the next call of `next`.
 */
#include "client/bench/driver.h"

#include <stdio.h>
#include <stdlib.h>

struct fh_driver {
    fh_client *client;
    struct fh_request *refused;
};

static fh_status farheap_open(const char *address, const fh_options *options,
                              struct fh_driver **out, char why[FH_DRIVER_WHY])
{
    struct fh_driver *d = calloc(1, sizeof(*d));
    fh_status status;

    if (d == NULL)
        return FH_NO_MEMORY;
    status = fh_open(address, options, &d->client);
    if (status == FH_OK) {
        *out = d;
        return FH_OK;
    }
    snprintf(why, FH_DRIVER_WHY, "%s",
             d->client != NULL ? fh_errmsg(d->client) : fh_strstatus(status));
    fh_close(d->client);
    free(d);
    return status;
}

static void farheap_close(struct fh_driver *d)
{
    fh_close(d->client);
    free(d);
}

static fh_status farheap_begin(fh_client *c, const struct fh_request *r, fh_req **req)
{
    switch (r->op) {
    case FH_OP_GET:
        return fh_submit_get(c, r->name, r->name_size, r->offset, r->buf, (size_t)r->size, req);
    case FH_OP_PUT:
        return fh_submit_put(c, r->name, r->name_size, r->body, (size_t)r->size, NULL, req);
    case FH_OP_READ:
        return fh_submit_read(c, r->handle, r->offset, r->buf, (size_t)r->size, req);
    case FH_OP_WRITE:
        return fh_submit_write(c, r->handle, r->offset, r->body, (size_t)r->size, req);
    case FH_OP_ALLOC:
        return fh_submit_alloc(c, r->size, NULL, req);
    case FH_OP_FREE:
        return fh_submit_free(c, r->handle, req);
    case FH_OP_DELETE:
        return fh_submit_delete(c, r->name, r->name_size, req);
    case FH_OP_INSERT:
    case FH_OP_SCAN:
    case FH_OP_RMW:
    case FH_OP_FAULT:
    case FH_OPS:
        break;
    }
    return FH_UNSUPPORTED;
}

static void farheap_submit(struct fh_driver *d, struct fh_request *r)
{
    fh_req *req;

    r->status = farheap_begin(d->client, r, &req);
    if (r->status == FH_OK) {
        fh_req_tag(req, r);
        return;
    }
    r->link = d->refused;
    d->refused = r;
}

static void farheap_flush(struct fh_driver *d)
{
    /* What cannot be sent comes back as a failed request. */
    (void)fh_flush(d->client);
}

static size_t farheap_watch(struct fh_driver *d, struct pollfd *fds)
{
    size_t count = 0;
    int iter = 0;
    int want;
    int fd;

    while (count < FH_DRIVER_FDS && (fd = fh_next_fd(d->client, &iter, &want)) >= 0) {
        fds[count].fd = fd;
        fds[count].events =
            (short)((want & FH_WANT_READ ? POLLIN : 0) | (want & FH_WANT_WRITE ? POLLOUT : 0));
        fds[count++].revents = 0;
    }
    return count;
}

static void farheap_ready(struct fh_driver *d, const struct pollfd *fd)
{
    int what = 0;

    if (fd->revents & (POLLIN | POLLERR | POLLHUP))
        what |= FH_WANT_READ;
    if (fd->revents & (POLLOUT | POLLERR))
        what |= FH_WANT_WRITE;
    (void)fh_ready(d->client, fd->fd, what);
}

static struct fh_request *farheap_next(struct fh_driver *d)
{
    struct fh_request *r = d->refused;
    fh_result result;
    fh_req *req;

    if (r != NULL) {
        d->refused = r->link;
        return r;
    }
    if (fh_wait_any(d->client, &req, 0) != FH_OK)
        return NULL;
    fh_req_result(req, &result);
    fh_req_free(req);
    r = result.tag;
    r->status = result.status;
    r->got = result.bytes;
    if (r->op == FH_OP_ALLOC)
        r->handle = result.object.handle;
    return r;
}

const struct fh_driver_class fh_driver_farheap = {
    .name = "farheap",
    .ops = (1u << FH_OPS) - 1,
    .open = farheap_open,
    .close = farheap_close,
    .submit = farheap_submit,
    .flush = farheap_flush,
    .watch = farheap_watch,
    .ready = farheap_ready,
    .next = farheap_next,
};
