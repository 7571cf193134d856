/*
 * io: asynchronous page I/O. A backend takes transfers and tells by an eventfd when some are
 * finished. Three backends: io_uring (io_uring.c), threads (io_threads.c), and the tests' fake
 * disk.
 *
 * Ownership  a transfer and its buffers belong to the backend from submit until its `done` was
 *            called.
 * Threads    one zone thread owns a backend; create, submit, flush, reap, destroy and every `done`
 *            run on it.
 * Errors     a transfer's outcome is in `result`: 0 when every byte was moved, else a negative
 *            errno. Short transfers are continued inside the backend; a read past the end of the
 *            file is -EIO.
 */
#ifndef FH_ALLOC_IO_H
#define FH_ALLOC_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "assert.h"
#include "list.h"

enum fh_io_kind { FH_IO_READ, FH_IO_WRITE, FH_IO_DATASYNC };

enum {
    FH_IO_IOV_MAX = 64,
    FH_IO_REAP_BYTES = 4 * 4096,  /* read by the transfers that one reap finishes, about */
    FH_IO_INTERRUPTED_MAX = 1000, /* -EINTR or -EAGAIN in a row; then the transfer is -EIO */
};

struct fh_transfer {
    enum fh_io_kind kind;
    int fd;
    uint64_t offset;                    /* bytes in the file */
    struct iovec iov[FH_IO_IOV_MAX];    /* whole pages, page aligned; backends may change it */
    uint32_t iov_count;                 /* 0 for DATASYNC */
    int result;                         /* set before done */
    void (*done)(struct fh_transfer *); /* called from fh_io_reap; may submit again */
    struct fh_list link;                /* the backend's, while it has the transfer */
    uint64_t moved;                     /* the backend's: bytes moved so far */
    uint32_t interrupted;               /* the backend's: times in a row it had to start again */
};

struct fh_io;
struct fh_io_backend {
    const char *name; /* "io_uring", "threads", "fake" */
    void (*submit)(struct fh_io *, struct fh_transfer *);
    void (*flush)(struct fh_io *);
    void (*reap)(struct fh_io *);
    void (*destroy)(struct fh_io *);
};

/* The part all backends share; a backend embeds it as its first member. */
struct fh_io {
    const struct fh_io_backend *backend;
    int event_fd;       /* readable when reap has something to do */
    uint32_t in_flight; /* submitted, done not called yet */
    uint64_t reads, writes, syncs, errors;
};

/* Queues a transfer; never fails: what cannot be started is finished with an error at the next
 * reap. */
static inline void fh_io_submit(struct fh_io *io, struct fh_transfer *t)
{
    t->moved = 0;
    t->interrupted = 0;
    io->in_flight++;
    io->backend->submit(io, t);
}

/* Starts what was queued; once per turn. */
static inline void fh_io_flush(struct fh_io *io)
{
    io->backend->flush(io);
}

/* Calls `done` of finished transfers, of about as many as a turn should; while there are others the eventfd stays
 * readable. Cheap when there is none. */
static inline void fh_io_reap(struct fh_io *io)
{
    io->backend->reap(io);
}

/* The eventfd rang. When nothing is in flight that was late, about what a reap has seen already: it is silenced, or a
 * loop that waits for it would turn for nothing. */
void fh_io_silence(struct fh_io *);

/* Waits for everything the kernel or a thread works on, then frees the backend. `done` is not
 * called any more, so normally nothing is in flight. NULL is fine. */
static inline void fh_io_destroy(struct fh_io *io)
{
    if (io)
        io->backend->destroy(io);
}

/* --- for backends --- */

/* What one call of the system came to: bytes moved (of a sync: 0) or a negative errno. True when
 * the transfer is over, `result` set; false when the rest is to be started again. */
bool fh_transfer_step(struct fh_transfer *, int64_t moved_or_error);
/* What finishing it takes of FH_IO_REAP_BYTES: what was read has to be looked at, a write is just over. */
uint64_t fh_io_reap_cost(const struct fh_transfer *);
/* Counts, and calls `done`. */
void fh_io_finish(struct fh_io *, struct fh_transfer *);

/* Both take the largest number of transfers in flight. -ENOSYS/-EPERM where the kernel or a
 * container forbids io_uring; -ENOMEM, -EMFILE, ... */
FH_CHECKED int fh_io_uring_create(uint32_t depth, struct fh_io **out);
FH_CHECKED int fh_io_threads_create(uint32_t threads, struct fh_io **out);

#endif
