/*
 * Theory.  Threads that do blocking reads and writes, for where io_uring is not allowed. The zone's
 * thread collects transfers in a list of its own; flush hands them over under the lock and wakes as
 * many threads as there is work for. A thread does one transfer to its end and puts it into the
 * list of finished ones; the first to arrive there rings the eventfd.
 *
 *   submit -> collected -> (flush) waiting -> thread -> finished -> (reap) done
 *
 * A reap takes as many finished ones as a turn should: what they let go on is handed over before the next ones.
 *
 * Invariants
 *   [I1] in_flight equals collected + waiting + in a thread's hands + finished
 *   [I2] the eventfd is readable if and only if the list of finished transfers is not empty; both
 *        change together, under the lock
 *   [I3] a thread touches nothing but the transfer in its hands, its buffers, and the locked lists
 */
#include "io.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bits.h"

enum { THREADS_MAX = 256 };

struct threads {
    struct fh_io io;
    struct fh_list collected; /* the zone thread's alone */
    pthread_mutex_t lock;     /* of all below */
    pthread_cond_t work;      /* something is waiting, or stop */
    struct fh_list waiting;
    struct fh_list finished;
    uint32_t idle; /* threads that wait for work */
    bool stop;
    uint32_t count; /* threads started */
    pthread_t ids[];
};

static struct threads *threads_of(struct fh_io *io)
{
    return FH_CONTAINER_OF(io, struct threads, io);
}

static int64_t transfer_call(const struct fh_transfer *t)
{
    int64_t moved = 0;
    off_t offset = (off_t)(t->offset + t->moved);

    switch (t->kind) {
    case FH_IO_READ:
        moved = preadv(t->fd, t->iov, (int)t->iov_count, offset);
        break;
    case FH_IO_WRITE:
        moved = pwritev(t->fd, t->iov, (int)t->iov_count, offset);
        break;
    case FH_IO_DATASYNC:
        moved = fdatasync(t->fd);
        break;
    }
    return moved < 0 ? -errno : moved;
}

static void transfer_perform(struct fh_transfer *t)
{
    while (!fh_transfer_step(t, transfer_call(t)))
        ;
}

/* Moves all nodes of one list to the end of another. */
static void list_move(struct fh_list *to, struct fh_list *from)
{
    if (fh_list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    fh_list_init(from);
}

/* With the lock held. [I2] */
static void finished_add(struct threads *p, struct fh_transfer *t)
{
    const uint64_t one = 1;

    if (fh_list_is_empty(&p->finished))
        (void)!write(p->io.event_fd, &one, sizeof(one));
    fh_list_push_back(&p->finished, &t->link);
}

static void *threads_run(void *arg)
{
    struct threads *p = arg;
    struct fh_list *node;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!(node = fh_list_pop(&p->waiting)) && !p->stop) {
            p->idle++;
            pthread_cond_wait(&p->work, &p->lock);
            p->idle--;
        }
        if (!node)
            break;
        pthread_mutex_unlock(&p->lock);
        struct fh_transfer *t = FH_CONTAINER_OF(node, struct fh_transfer, link);
        transfer_perform(t);
        pthread_mutex_lock(&p->lock);
        finished_add(p, t);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void threads_submit(struct fh_io *io, struct fh_transfer *t)
{
    FH_ASSERT(t->done != NULL);
    FH_ASSERT(t->iov_count <= FH_IO_IOV_MAX);
    fh_list_push_back(&threads_of(io)->collected, &t->link);
}

static void threads_flush(struct fh_io *io)
{
    struct threads *p = threads_of(io);
    uint32_t count = 0;

    for (struct fh_list *n = p->collected.next; n != &p->collected; n = n->next)
        count++;
    if (count == 0)
        return;
    pthread_mutex_lock(&p->lock);
    FH_ASSERT(p->idle <= p->count);
    list_move(&p->waiting, &p->collected);
    for (uint32_t i = 0; i < count && i < p->idle; i++)
        pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
}

static void threads_reap(struct fh_io *io)
{
    struct threads *p = threads_of(io);
    struct fh_list finished, *node;
    uint64_t bytes = 0, events;

    if (io->in_flight == 0)
        return;
    fh_list_init(&finished);
    pthread_mutex_lock(&p->lock);
    bool any = !fh_list_is_empty(&p->finished);
    while (bytes < FH_IO_REAP_BYTES && (node = fh_list_pop(&p->finished)) != NULL) {
        bytes += fh_io_reap_cost(FH_CONTAINER_OF(node, struct fh_transfer, link));
        fh_list_push_back(&finished, node);
    }
    if (any && fh_list_is_empty(&p->finished))
        (void)!read(io->event_fd, &events, sizeof(events)); /* [I2] */
    pthread_mutex_unlock(&p->lock);
    while ((node = fh_list_pop(&finished)) != NULL)
        fh_io_finish(io, FH_CONTAINER_OF(node, struct fh_transfer, link));
    threads_flush(io); /* what a `done` has submitted */
}

static void threads_join(struct threads *p)
{
    FH_ASSERT(!p->stop);
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < p->count; i++)
        pthread_join(p->ids[i], NULL);
}

static void threads_free(struct threads *p)
{
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    close(p->io.event_fd);
    free(p);
}

static void threads_destroy(struct fh_io *io)
{
    struct threads *p = threads_of(io);
    threads_join(p); /* they finish what is waiting first */
    threads_free(p);
}

static const struct fh_io_backend threads_backend = {
    .name = "threads",
    .submit = threads_submit,
    .flush = threads_flush,
    .reap = threads_reap,
    .destroy = threads_destroy,
};

/* Starts them with all signals blocked: those are for the main thread. */
static int threads_start(struct threads *p, uint32_t count)
{
    sigset_t all, before;
    int rc = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (rc == 0 && p->count < count) {
        rc = pthread_create(&p->ids[p->count], NULL, threads_run, p);
        p->count += rc == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -rc;
}

int fh_io_threads_create(uint32_t threads, struct fh_io **out)
{
    uint32_t count = (uint32_t)fh_min_u64(fh_max_u64(threads, 1), THREADS_MAX);
    struct threads *p = calloc(1, sizeof(*p) + count * sizeof(p->ids[0]));
    int rc;

    if (!p)
        return -ENOMEM;
    p->io.backend = &threads_backend;
    p->io.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->io.event_fd < 0) {
        rc = -errno;
        free(p);
        return rc;
    }
    pthread_mutex_init(&p->lock, NULL); /* cannot fail with default attributes */
    pthread_cond_init(&p->work, NULL);
    fh_list_init(&p->collected);
    fh_list_init(&p->waiting);
    fh_list_init(&p->finished);
    if ((rc = threads_start(p, count)) != 0) {
        threads_join(p);
        threads_free(p);
        return rc;
    }
    *out = &p->io;
    return 0;
}
