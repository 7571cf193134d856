/*
 * Theory.  One ring per zone. Transfers wait in a queue until flush puts as many as the depth
 * allows into the ring, with one system call. The kernel may take fewer than it was shown, and it
 * may move fewer bytes than asked: what is left over goes back to the queue.
 *
 *   submit -> queue -> (flush) ring -> kernel -> (reap) done
 *               ^__________ short, interrupted ____|
 *
 * With DEFER_TASKRUN the kernel finishes transfers only when this thread asks for it, while the
 * eventfd is already readable; and one request brings only a part of them. The ring says in a flag
 * whether there are more.
 *
 * A reap finishes as much as a turn should, and leaves the rest for the next one: what the finished
 * ones let go on is submitted in between, so the disk has work while pages are unsealed here. The
 * eventfd is silenced only when nothing is left, and then the ring is looked at once more: what
 * came in between had its ringing silenced, and rings again.
 *
 * Invariants
 *   [I1] running, the transfers in the ring, is at most depth; depth is at most the completion
 *        queue's size, so completions are never dropped
 *   [I2] in_flight equals running plus the length of the queue
 * Source: io_uring_setup(2), io_uring_enter(2); axboe/liburing issue 1474.
 */
#include "io.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bits.h"

enum { DEPTH_MAX = 4096 };

struct uring {
    struct fh_io io;
    struct io_uring ring;
    uint32_t depth;
    uint32_t running;     /* in the ring or the kernel [I1] */
    struct fh_list queue; /* not in the ring yet */
};

static struct uring *uring_of(struct fh_io *io)
{
    return FH_CONTAINER_OF(io, struct uring, io);
}

static void sqe_fill(struct io_uring_sqe *sqe, struct fh_transfer *t)
{
    switch (t->kind) {
    case FH_IO_READ:
        io_uring_prep_readv(sqe, t->fd, t->iov, t->iov_count, t->offset + t->moved);
        break;
    case FH_IO_WRITE:
        io_uring_prep_writev(sqe, t->fd, t->iov, t->iov_count, t->offset + t->moved);
        break;
    case FH_IO_DATASYNC:
        io_uring_prep_fsync(sqe, t->fd, IORING_FSYNC_DATASYNC);
        break;
    }
    io_uring_sqe_set_data(sqe, t);
}

static void uring_submit(struct fh_io *io, struct fh_transfer *t)
{
    FH_ASSERT(t->done != NULL);
    FH_ASSERT(t->iov_count <= FH_IO_IOV_MAX);
    fh_list_push_back(&uring_of(io)->queue, &t->link);
}

/* What the kernel does not take now stays in the ring; the next flush shows it again. */
static void uring_flush(struct fh_io *io)
{
    struct uring *u = uring_of(io);

    while (u->running < u->depth && !fh_list_is_empty(&u->queue)) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
        if (!sqe)
            break;
        struct fh_list *node = fh_list_pop(&u->queue);
        sqe_fill(sqe, FH_CONTAINER_OF(node, struct fh_transfer, link));
        u->running++;
    }
    FH_ASSERT(u->running <= u->depth);        /* [I1] */
    FH_ASSERT(u->running <= u->io.in_flight); /* [I2] */
    if (io_uring_sq_ready(&u->ring) > 0)
        (void)io_uring_submit(&u->ring);
}

/* Returns what it counts for, in bytes. */
static uint64_t uring_complete(struct uring *u, struct io_uring_cqe *cqe)
{
    struct fh_transfer *t = io_uring_cqe_get_data(cqe);
    int32_t result = cqe->res;
    uint64_t bytes = fh_io_reap_cost(t);

    io_uring_cqe_seen(&u->ring, cqe);
    FH_ASSERT(u->running > 0);
    u->running--;
    if (fh_transfer_step(t, result))
        fh_io_finish(&u->io, t);
    else
        fh_list_push_front(&u->queue, &t->link);
    return bytes;
}

/* Transfers that are over, but whose completions this thread has to fetch. */
static bool uring_has_work(const struct uring *u)
{
    return IO_URING_READ_ONCE(*u->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static bool uring_has_more(const struct uring *u)
{
    return uring_has_work(u) || io_uring_cq_ready(&u->ring) > 0;
}

/* `done` may submit, but nothing enters the ring before the flush behind the loop. */
static void uring_reap(struct fh_io *io)
{
    struct uring *u = uring_of(io);
    struct io_uring_cqe *cqe;
    const uint64_t one = 1;
    uint64_t bytes = 0, events;

    if (io->in_flight == 0)
        return;
    if (uring_has_work(u))
        (void)io_uring_get_events(&u->ring);
    while (bytes < FH_IO_REAP_BYTES && u->running > 0 && io_uring_peek_cqe(&u->ring, &cqe) == 0)
        bytes += uring_complete(u, cqe);
    if (!uring_has_more(u)) {
        (void)!read(io->event_fd, &events, sizeof(events));
        if (uring_has_more(u))
            (void)!write(io->event_fd, &one, sizeof(one));
    }
    if (!fh_list_is_empty(&u->queue) || io_uring_sq_ready(&u->ring) > 0)
        uring_flush(io);
}

static void uring_destroy(struct fh_io *io)
{
    struct uring *u = uring_of(io);
    struct io_uring_cqe *cqe;

    while (u->running > 0) {
        int rc = io_uring_submit_and_wait(&u->ring, 1);
        if (rc < 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY)
            break; /* the ring itself is broken: its exit ends what runs */
        while (u->running > 0 && io_uring_peek_cqe(&u->ring, &cqe) == 0) {
            io_uring_cqe_seen(&u->ring, cqe);
            u->running--;
        }
    }
    io_uring_queue_exit(&u->ring);
    close(io->event_fd);
    free(u);
}

static const struct fh_io_backend uring_backend = {
    .name = "io_uring",
    .submit = uring_submit,
    .flush = uring_flush,
    .reap = uring_reap,
    .destroy = uring_destroy,
};

/* The best mode that this kernel accepts. */
static int ring_open(uint32_t depth, struct io_uring *ring)
{
    static const unsigned modes[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
        0,
    };
    int rc = -EINVAL;

    for (size_t i = 0; rc == -EINVAL && i < sizeof(modes) / sizeof(modes[0]); i++)
        rc = io_uring_queue_init(depth, ring, modes[i]);
    return rc;
}

int fh_io_uring_create(uint32_t depth, struct fh_io **out)
{
    struct uring *u = calloc(1, sizeof(*u));
    int rc;

    if (!u)
        return -ENOMEM;
    u->io.backend = &uring_backend;
    u->depth = (uint32_t)fh_min_u64(fh_max_u64(depth, 1), DEPTH_MAX);
    fh_list_init(&u->queue);
    if ((rc = ring_open(u->depth, &u->ring)) != 0)
        goto out_free;
    u->io.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (u->io.event_fd < 0) {
        rc = -errno;
        goto out_ring;
    }
    if ((rc = io_uring_register_eventfd(&u->ring, u->io.event_fd)) != 0)
        goto out_event;
    *out = &u->io;
    return 0;

out_event:
    close(u->io.event_fd);
out_ring:
    io_uring_queue_exit(&u->ring);
out_free:
    free(u);
    return rc;
}
