/*
 * server: a whole node: its zones' threads, listeners, admin HTTP and signals, from start to end.
 *
 * Ownership  caller owns the struct; config and log outlive it.
 * Threads    the main thread, which is the one that calls run.
 * Errors     the exit codes below; what went wrong is in the log.
 */
#ifndef FH_SERVER_SERVER_H
#define FH_SERVER_SERVER_H

#include <event2/event.h>
#include <stdbool.h>

#include "admin.h"
#include "budget.h"
#include "config.h"
#include "exports.h"
#include "files.h"
#include "listener.h"
#include "log.h"
#include "node.h"
#include "zone_thread.h"

enum fh_exit {
    FH_EXIT_CLEAN = 0,
    FH_EXIT_FAILED = 1,
    FH_EXIT_USAGE = 2,
    FH_EXIT_BIND = 3,
    FH_EXIT_REGION = 4,
    FH_EXIT_SWAP = 5,
    FH_EXIT_FILES = 6,
};

struct fh_server {
    struct fh_node node;
    struct event_base *base;
    struct event *mail_event, *drain_event, *budget_event;
    struct event *signals[3];
    struct fh_budget budget;
    bool has_budget;
    struct fh_tls_context *tls;
    struct fh_zone_thread *zones;
    uint32_t zones_started, zones_drained;
    struct fh_exports exports;
    struct fh_files files;
    struct fh_listeners listeners;
    struct fh_admin admin;
    int data_lock; /* of data-dir, held to the end; -1: none */
    bool has_admin, draining;
};

/* On anything but CLEAN everything that was begun has ended. */
enum fh_exit fh_server_open(struct fh_server *, const struct fh_config *, struct fh_log *);
/* Serves until a signal ends it. */
enum fh_exit fh_server_run(struct fh_server *);
void fh_server_close(struct fh_server *);

#endif
