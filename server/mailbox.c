/*
 * Theory.  Posting links the message under the mutex and adds 1 to the eventfd; running takes the
 * whole list at once and runs it without the mutex, so a message may post again.
 *
 * Invariants
 *   [I1] messages not empty and no run in progress: the eventfd is readable
 *   [I2] a message that was posted is run exactly once
 */
#include "mailbox.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int fh_mailbox_init(struct fh_mailbox *box)
{
    fh_list_init(&box->messages);
    box->closed = false;
    box->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (box->event_fd < 0)
        return -errno;
    pthread_mutex_init(&box->mutex, NULL);
    return 0;
}

void fh_mailbox_fini(struct fh_mailbox *box)
{
    FH_ASSERT(fh_list_is_empty(&box->messages));
    pthread_mutex_destroy(&box->mutex);
    close(box->event_fd);
}

bool fh_mailbox_post(struct fh_mailbox *box, struct fh_message *message)
{
    bool taken, first;
    uint64_t one = 1;

    pthread_mutex_lock(&box->mutex);
    taken = !box->closed;
    first = fh_list_is_empty(&box->messages);
    if (taken)
        fh_list_push_back(&box->messages, &message->link);
    pthread_mutex_unlock(&box->mutex);
    if (taken && first) {
        ssize_t written = write(box->event_fd, &one, sizeof one);
        (void)written; /* fails only when the counter is near 2^64: then it is readable anyway */
    }
    return taken;
}

/* Moves all messages to `out`, which is empty. */
static void mailbox_take(struct fh_mailbox *box, struct fh_list *out, bool close_it)
{
    struct fh_list *node;

    fh_list_init(out);
    pthread_mutex_lock(&box->mutex);
    box->closed = box->closed || close_it;
    while ((node = fh_list_pop(&box->messages)))
        fh_list_push_back(out, node);
    pthread_mutex_unlock(&box->mutex);
}

static void mailbox_run_list(struct fh_list *list, void *owner)
{
    struct fh_list *node;

    while ((node = fh_list_pop(list))) {
        struct fh_message *message = FH_CONTAINER_OF(node, struct fh_message, link);
        message->run(message, owner);
    }
}

void fh_mailbox_run(struct fh_mailbox *box, void *owner)
{
    struct fh_list list;
    uint64_t count;

    ssize_t got = read(box->event_fd, &count, sizeof count);
    (void)got; /* nothing there: somebody else's turn took the messages */
    mailbox_take(box, &list, false);
    mailbox_run_list(&list, owner);
}

void fh_mailbox_close(struct fh_mailbox *box)
{
    struct fh_list list;

    mailbox_take(box, &list, true);
    mailbox_run_list(&list, NULL);
}
