/*
 * listener: the sockets that accept, on the main thread. Each connection goes to the zones in turn;
 * its Hello may send it on.
 *
 * Ownership  caller owns the struct; closing removes the file of a unix socket.
 * Threads    the main thread.
 * Errors     as address; an accept that fails is logged, and tried again a second later when the
 *            process has no more descriptors.
 */
#ifndef FH_SERVER_LISTENER_H
#define FH_SERVER_LISTENER_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "node.h"
#include "tls.h"

struct fh_listeners;

struct fh_listener {
    struct fh_listeners *all;
    int fd;
    bool plain;
    struct fh_address address;
    struct event *event, *retry;
};

struct fh_listeners {
    struct fh_node *node;
    struct event_base *base;
    struct fh_tls_context *tls; /* NULL when all are plain */
    uint32_t next_zone;
    uint64_t next_id;
    unsigned count;
    struct fh_listener items[FH_CONFIG_LIST_MAX];
};

/* Opens all of config.listen; none on error, and *failed tells which. They accept at once. */
FH_CHECKED int fh_listeners_open(struct fh_listeners *, struct fh_node *, struct event_base *,
                                 struct fh_tls_context *, const char **failed);
void fh_listeners_close(struct fh_listeners *);

#endif
