/*
 * admin: HTTP for people and machines that look after the server: health, metrics, views, console.
 *
 * Ownership  caller owns the struct.
 * Threads    the main thread; documents are gathered from the zones.
 * Errors     -EACCES the address is not loopback; else as address.
 */
#ifndef FH_SERVER_ADMIN_H
#define FH_SERVER_ADMIN_H

#include <event2/event.h>
#include <event2/http.h>
#include <stdbool.h>

#include "address.h"
#include "node.h"

enum { FH_ADMIN_WAITING_MAX = 64 }; /* requests whose documents are being gathered */

struct fh_admin {
    struct fh_node *node;
    struct evhttp *http;
    struct fh_address address;
    bool ready;       /* all zones and listeners serve */
    bool draining;    /* no new work is taken */
    unsigned waiting; /* answers on their way */
};

FH_CHECKED int fh_admin_open(struct fh_admin *, struct fh_node *, struct event_base *,
                             const char *listen);
/* All gathers have come home. */
void fh_admin_close(struct fh_admin *);

#endif
