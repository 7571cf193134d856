/*
 * mailbox: how threads talk: a queue of messages and an eventfd that is readable while there are
 * some. For control only; bytes of objects never pass here.
 *
 * Ownership  a message belongs to the box from post until its `run` is called, which then owns it.
 * Threads    post from any thread; run and close from the owner's.
 * Errors     post answers false when the box is closed: the message is still the caller's.
 */
#ifndef FH_SERVER_MAILBOX_H
#define FH_SERVER_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>

#include "alloc/assert.h"
#include "alloc/list.h"

struct fh_message {
    struct fh_list link;
    /* On the receiver's thread; `owner` is what fh_mailbox_run was given, NULL when the box was
     * closed before the message was read. */
    void (*run)(struct fh_message *, void *owner);
};

struct fh_mailbox {
    pthread_mutex_t mutex;
    struct fh_list messages;
    bool closed;
    int event_fd;
};

FH_CHECKED int fh_mailbox_init(struct fh_mailbox *);
void fh_mailbox_fini(struct fh_mailbox *);

FH_CHECKED bool fh_mailbox_post(struct fh_mailbox *, struct fh_message *);
/* Runs what is there now. */
void fh_mailbox_run(struct fh_mailbox *, void *owner);
/* Takes no more messages and runs those left with owner NULL. */
void fh_mailbox_close(struct fh_mailbox *);

#endif
