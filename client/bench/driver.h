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

#define FH_DRIVER_WHY   256 /* room for a sentence */
#define FH_DRIVER_FDS   64  /* descriptors a driver watches at most */
#define FH_REQUEST_NAME 48

/*
 * Rows of the report. A driver is only asked for GET to FREE, and DELETE, which cleans up after a
 * run; INSERT is a PUT of a name that is new, and SCAN, RMW and FAULT are made of several requests.
 */
enum fh_op {
    FH_OP_GET,
    FH_OP_PUT,
    FH_OP_READ,
    FH_OP_WRITE,
    FH_OP_ALLOC,
    FH_OP_FREE,
    FH_OP_INSERT,
    FH_OP_SCAN,  /* a batch of gets of objects in a row, all in flight at once */
    FH_OP_RMW,   /* get, then put of the same name */
    FH_OP_FAULT, /* alloc, write of all of it, free: every page of it a first write */
    FH_OP_DELETE,
    FH_OPS
};
const char *fh_op_name(enum fh_op);

struct fh_request {
    enum fh_op op;  /* GET to FREE or DELETE */
    enum fh_op row; /* where it is counted */
    /* What is asked. */
    char name[FH_REQUEST_NAME];
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
    uint32_t step;            /* RMW: 1 when its put is on the way */
    fh_status earlier;        /* FAULT: what the write came to */
    struct fh_request *parts; /* SCAN: its gets */
    uint32_t part_count, parts_left;
    struct fh_request *whole; /* of a part: the SCAN */
    uint32_t version;         /* PUT, WRITE: the one being stored */
    uint32_t version_min;     /* GET, READ: the oldest that may be seen */
    bool claimed;             /* holds the object's right to be written */
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
