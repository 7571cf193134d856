/*
 * driver: one connection to the system under test, behind five verbs; farheap, memcached, redis.
 *
 * Ownership  open makes a driver, close destroys it. A request is the caller's and stays in place
 *            from submit until `next` hands it back; so do its name and its buffers.
 * Threads    a driver belongs to one thread.
 * Errors     open returns a status and a sentence; submit never fails: what goes wrong comes back
 *            as the request's status.
 */
#ifndef FH_CLIENT_BENCH_DRIVER_H
#define FH_CLIENT_BENCH_DRIVER_H

#include "client/farheap.h"

#include <poll.h>
#include <stdbool.h>

#define FH_DRIVER_WHY 256 /* room for a sentence */
#define FH_DRIVER_FDS 64  /* descriptors a driver watches at most */

/* DELETE only cleans up after a run; the rest can be in a mix. */
enum fh_op {
    FH_OP_GET,
    FH_OP_PUT,
    FH_OP_READ,
    FH_OP_WRITE,
    FH_OP_ALLOC,
    FH_OP_FREE,
    FH_OP_DELETE,
    FH_OPS
};
const char *fh_op_name(enum fh_op);

struct fh_request {
    enum fh_op op;
    /* What is asked. */
    char name[48];
    size_t name_size;
    fh_handle handle;
    uint64_t offset;
    const void *body; /* PUT, WRITE: `size` bytes */
    void *buf;        /* GET, READ: room for `size` bytes */
    uint64_t size;
    /* What came of it; handle too, of ALLOC. */
    fh_status status;
    size_t got;
    /* The workload's. */
    uint64_t object, object_bytes;
    uint32_t version;     /* PUT, WRITE: the one being stored */
    uint32_t version_min; /* GET, READ: the oldest that may be seen */
    bool claimed;         /* holds the object's right to be written */
    /* The worker's. */
    uint8_t *room; /* a whole object of bytes of its own */
    uint64_t due_ns, sent_ns;
    bool counted;
    /* The driver's. */
    struct fh_request *link;
    void *impl;
};

/* A GET of some of the object's bytes. */
static inline bool fh_request_is_part(const struct fh_request *r)
{
    return r->op == FH_OP_GET && r->size < r->object_bytes;
}

struct fh_driver; /* each class has its own */

struct fh_driver_class {
    const char *name;
    unsigned ops; /* a bit per fh_op it can do */
    fh_status (*open)(const char *address, const fh_options *options, struct fh_driver **out,
                      char why[FH_DRIVER_WHY]);
    void (*close)(struct fh_driver *driver); /* requests in flight are forgotten */
    void (*submit)(struct fh_driver *driver, struct fh_request *request);
    void (*flush)(struct fh_driver *driver); /* sends what was submitted */
    /* Fills in what to watch, at most FH_DRIVER_FDS; returns how many. */
    size_t (*watch)(struct fh_driver *driver, struct pollfd *fds);
    void (*ready)(struct fh_driver *driver, const struct pollfd *fd);
    struct fh_request *(*next)(struct fh_driver *driver); /* a finished one, or NULL */
};

extern const struct fh_driver_class fh_driver_farheap, fh_driver_memcached, fh_driver_redis;

#endif
