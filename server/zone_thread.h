/*
 * zone_thread: one thread with its loop, its zone and its connections.
 *
 * Ownership  main owns the struct from start to join; everything in it belongs to the thread.
 * Threads    start, join and the post functions from main; the rest runs on the thread itself.
 * Errors     start: what the zone could not get: -ENOMEM the region, anything else the swap file.
 */
#ifndef FH_SERVER_ZONE_THREAD_H
#define FH_SERVER_ZONE_THREAD_H

#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "budget.h"
#include "conn.h"
#include "node.h"

enum { FH_TICK_EVENT_MS = 100, FH_DEADLINE_EVENT_MS = 10 };

struct fh_zone_thread {
    struct fh_node *node;
    uint32_t index;
    pthread_t thread;
    sem_t started;
    int start_rc;
    struct fh_mailbox mailbox;
    struct fh_message drain_message, stop_message, dump_message, drained_message;
    bool drain_posted;
    /* below: the thread's own */
    struct event_base *base;
    struct event *mail_event, *io_event, *data_event, *tick_event, *deadline_event;
    struct fh_io *io;
    struct fh_zone zone;
    struct fh_ops ops;
    struct fh_conns conns;
    struct fh_counters counters;
    bool mail, tick, deadlines_due, stopping, told_drained, told_broken;
    uint64_t worst_ns, worst_since_ms; /* longest turn of the second that runs */
};

/* Starts the thread and waits until it serves or has failed. `drained` runs on the main thread,
 * with its mailbox's owner, when the zone has drained. */
FH_CHECKED int fh_zone_thread_start(struct fh_zone_thread *, struct fh_node *, uint32_t index,
                                    void (*drained)(struct fh_message *, void *owner));
/* Takes over a connection, also when the zone has ended. */
void fh_zone_thread_adopt(struct fh_mailbox *zone, struct fh_conn *);
/* Refuse new work, finish what runs. Once. */
void fh_zone_thread_drain(struct fh_zone_thread *);
/* A summary of the zone into the log. Not again before it appeared. */
void fh_zone_thread_summary(struct fh_zone_thread *);
/* Ends everything at once and waits for it. */
void fh_zone_thread_join(struct fh_zone_thread *);

/* The region of all zones, addresses only, and the pool of its chunks; before the first start. */
FH_CHECKED int fh_zone_threads_map(struct fh_node *, uint64_t bytes);
void fh_zone_threads_unmap(struct fh_node *);
/* Runs a struct fh_budget_order on the zone's thread. */
void fh_zone_thread_order(struct fh_message *, void *zone);

/* Memory beside the region that zones of this size need at most. */
uint64_t fh_zone_thread_books_bytes(uint64_t memory_bytes, uint64_t swap_bytes);
/* Smallest share of the region that a zone works with. */
uint64_t fh_zone_thread_memory_min(void);

#endif
