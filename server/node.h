/*
 * node: what the threads of one process share: configuration, log, mailboxes, and the few counters
 * of the main thread that others read.
 *
 * Ownership  main owns it; it outlives all threads.
 * Threads    written by the main thread before others start; then read, except the atomics.
 */
#ifndef FH_SERVER_NODE_H
#define FH_SERVER_NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "chunks.h"
#include "config.h"
#include "gather.h"
#include "log.h"
#include "mailbox.h"
#include "metrics.h"
#include "views.h"

#define FH_NODE_NO_PRESSURE UINT32_MAX /* the kernel does not tell */

/* The memory budget, for all to read; written by the main thread. See budget.h. */
struct fh_node_memory {
    atomic_ullong configured; /* what the operator asked for */
    atomic_ullong budget;     /* what the zones are to have now */
    atomic_ullong most;       /* that may be asked for */
    atomic_ullong limit;      /* of the control group; UINT64_MAX: none */
    atomic_ullong lent;       /* moved between zones so far */
    atomic_uint pressure_permille;
};

struct fh_region;
struct fh_budget;
struct fh_files;

struct fh_node {
    const struct fh_config *config;
    struct fh_log *log;
    uint32_t zones;
    uint64_t incarnation; /* random per start */
    uint64_t started_ns;
    uint64_t wall_ms;                            /* the time of day at start, in ms since 1970 */
    bool data_failed;                            /* a zone did not start because of data-dir */
    uint64_t zone_memory_bytes, zone_swap_bytes; /* each zone's share, to begin with */
    struct fh_region *region;                    /* of all zones */
    struct fh_chunks chunks;                     /* of it: which are whose */
    struct fh_node_memory memory;
    struct fh_budget *budget;      /* the main thread's */
    struct fh_mailbox **mailboxes; /* of the zones */
    struct fh_mailbox main;        /* of the main thread */
    struct fh_files *files;        /* NULL: nothing is exported */
    const char *io;                /* backend of the zones, once started */
    bool tls;                      /* some listener speaks it */
    /* How a zone answers a gather; set by the zone threads' file, so that askers need not know it.
     */
    void *(*answer)(struct fh_gather *, void *owner);
    atomic_uint connections;             /* open */
    atomic_ullong accepted[2], rejected; /* plain, tls; over max-connections */
};

void fh_node_figures_of(const struct fh_node *, struct fh_node_figures *out);
/* The document a gather asked for, from its answers; the caller frees it. */
char *fh_node_render(const struct fh_node *, const struct fh_gather *);
/* Starts to gather a view; `done` runs on the thread of `home`, with ctx in the gather. NULL: no
 * memory. */
struct fh_gather *fh_node_ask(struct fh_node *, void (*done)(struct fh_gather *), const char *view,
                              struct fh_mailbox *home, void *ctx);

#endif
