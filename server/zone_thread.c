/*
 * Theory.  A round of the loop: wait for events, which only mark what is to be done; read the
 * clock; run the connections that have input; turn the zone once, which finishes I/O, resumes
 * parked requests and reclaims a slice; run the connections that were woken by that. When something
 * has more to do than its turn allowed, the next wait does not wait.
 *
 * Invariants
 *   [I1] after every run of connections the zone is turned before the loop waits, so what they
 *        submitted is started
 */
#include "zone_thread.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "alloc/buddy_systems.h"
#include "alloc/io.h"
#include "alloc/pager.h"
#include "alloc/region.h"
#include "alloc/swap.h"
#include "clock.h"
#include "random.h"

enum { URING_DEPTH = 128, BOOKS_FIXED = 4 << 20, BOOKS_PER_FRAME = 24, BOOKS_PER_SLOT = 32 };

uint64_t fh_zone_thread_books_bytes(uint64_t memory_bytes, uint64_t swap_bytes)
{
    uint64_t bounce =
        swap_bytes ? (uint64_t)FH_SWAP_BOUNCE_COUNT * FH_SWAP_RUN_MAX * FH_PAGE_SIZE : 0;

    return memory_bytes / FH_PAGE_SIZE * BOOKS_PER_FRAME +
           swap_bytes / FH_PAGE_SIZE * BOOKS_PER_SLOT + bounce +
           FH_PAGER_OPS * sizeof(struct fh_page_op) + BOOKS_FIXED;
}

uint64_t fh_zone_thread_memory_min(void)
{
    return (uint64_t)2 * FH_HOLD_MAX * FH_PAGE_SIZE;
}

/* --- the region --- */

_Static_assert(FH_CHUNK_BYTES == (uint64_t)FH_PAGE_SIZE << FH_CHUNK_ORDER,
               "the pool's chunk is ours");

struct node_region {
    struct fh_region region; /* first */
    struct fh_mem mem;
};

int fh_zone_threads_map(struct fh_node *node, uint64_t bytes)
{
    struct node_region *r = calloc(1, sizeof *r);
    int rc;

    if (!r)
        return -ENOMEM;
    if ((rc = fh_region_init(&r->region, &r->mem, bytes)) != 0)
        goto out;
    if ((rc = fh_chunks_init(&node->chunks, r->region.base, bytes)) != 0)
        goto out_region;
    node->region = &r->region;
    return 0;

out_region:
    fh_region_fini(&r->region, &r->mem);
out:
    free(r);
    return rc;
}

void fh_zone_threads_unmap(struct fh_node *node)
{
    struct node_region *r = (struct node_region *)node->region;

    if (!r)
        return;
    fh_chunks_fini(&node->chunks);
    fh_region_fini(&r->region, &r->mem);
    free(r);
    node->region = NULL;
}

/* --- the budget --- */

void fh_zone_thread_order(struct fh_message *message, void *owner)
{
    struct fh_budget_order *o = FH_CONTAINER_OF(message, struct fh_budget_order, message);
    struct fh_zone_thread *t = owner;
    struct fh_zone_stats s;

    if (!t)
        return; /* the zone has ended, and the server with it */
    int rc = fh_zone_set_memory(&t->zone, o->goal, o->warm);
    FH_ASSERT(rc == 0); /* the main thread keeps the bounds */
    fh_zone_stats(&t->zone, &s);
    uint64_t spare = s.pager.frames_free;
    uint64_t keep = t->zone.reclaim.high;
    o->have = s.pager.budget.held * FH_PAGE_SIZE;
    o->spare = spare > keep ? (spare - keep) * FH_PAGE_SIZE : 0;
    o->least = s.pager.budget.least * FH_PAGE_SIZE;
    o->evicted = s.reclaim.clean + s.reclaim.dirty;
    o->parks = s.reclaim.pressure >= FH_PRESSURE_PARKING;
    fh_budget_report(o);
}

/* --- views --- */

static void *zone_answer(struct fh_gather *g, void *owner)
{
    struct fh_zone_thread *t = owner;

    t->counters.output_queued_bytes = fh_conns_queued_bytes(&t->conns);
    t->counters.in_progress = t->ops.live_count;
    return fh_view_answer_create(g->view, &t->zone, &t->counters);
}

static void zone_view_there(struct fh_gather *g)
{
    struct fh_op *op = g->ctx;
    struct fh_zone_thread *t = op->ops->ctx;
    char *text = fh_node_render(t->node, g);

    fh_ops_view_done(op, text, text ? strlen(text) : 0, -ENOMEM);
    free(text);
}

static void *zone_ask_view(void *ctx, struct fh_op *op, const char *view)
{
    struct fh_zone_thread *t = ctx;

    return fh_node_ask(t->node, zone_view_there, view, &t->mailbox, op);
}

static void zone_drop_view(void *asked)
{
    fh_gather_abandon(asked);
}

/* --- messages --- */

static void adopt_run(struct fh_message *message, void *owner)
{
    struct fh_conn *c = FH_CONTAINER_OF(message, struct fh_conn, message);
    struct fh_zone_thread *t = owner;

    if (t)
        fh_conns_adopt(&t->conns, c);
    else
        fh_conn_discard(c); /* the zone has ended */
}

void fh_zone_thread_adopt(struct fh_mailbox *zone, struct fh_conn *c)
{
    c->message.run = adopt_run;
    if (!fh_mailbox_post(zone, &c->message))
        fh_conn_discard(c);
}

static void zone_move(void *ctx, struct fh_conn *c, uint32_t zone)
{
    struct fh_zone_thread *t = ctx;

    fh_zone_thread_adopt(t->node->mailboxes[zone], c);
}

static void drain_run(struct fh_message *message, void *owner)
{
    struct fh_zone_thread *t = owner;

    (void)message;
    if (t)
        t->ops.draining = true;
}

static void stop_run(struct fh_message *message, void *owner)
{
    struct fh_zone_thread *t = owner;

    (void)message;
    if (t)
        t->stopping = true;
}

static void summary_run(struct fh_message *message, void *owner)
{
    struct fh_zone_thread *t = owner;
    struct fh_zone_stats s;

    message->run = NULL; /* may be posted again */
    if (!t)
        return;
    fh_zone_stats(&t->zone, &s);
    FH_LOG(t->node->log, 0, FH_LOG_INFO, "zone", "summary", FH_NUM("zone", t->index),
           FH_NUM("objects", s.objects), FH_NUM("object_bytes", s.object_bytes),
           FH_NUM("frames_total", s.pager.frames_total), FH_NUM("frames_free", s.pager.frames_free),
           FH_NUM("swap_used", s.pager.swap.slots_used), FH_NUM("parked", s.pager.parked_now),
           FH_NUM("faults_swap", s.pager.faults_swap), FH_NUM("pressure", s.reclaim.pressure),
           FH_NUM("connections", t->conns.count));
}

static void post(struct fh_mailbox *box, struct fh_message *message,
                 void (*run)(struct fh_message *, void *))
{
    message->run = run;
    if (!fh_mailbox_post(box, message))
        message->run = NULL; /* the zone has ended: nothing left to tell it */
}

void fh_zone_thread_drain(struct fh_zone_thread *t)
{
    if (!t->drain_posted)
        post(&t->mailbox, &t->drain_message, drain_run);
    t->drain_posted = true;
}

void fh_zone_thread_summary(struct fh_zone_thread *t)
{
    if (!t->dump_message.run)
        post(&t->mailbox, &t->dump_message, summary_run);
}

/* --- the loop --- */

static void on_flag(evutil_socket_t fd, short what, void *arg)
{
    bool *flag = arg;

    (void)fd;
    (void)what;
    *flag = true;
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    fh_io_silence(arg); /* the turn that follows reaps */
}

static void on_catalog(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg; /* the turn that follows looks at what was committed */
}

static void zone_tell_broken(struct fh_zone_thread *t)
{
    if (t->told_broken || !t->zone.durable || !fh_catalog_is_broken(t->zone.durable->catalog))
        return;
    t->told_broken = true;
    FH_LOG(t->node->log, 0, FH_LOG_ERROR, "zone",
           "the catalog could not be written: durable objects can be read, but not changed. "
           "Look at the disk, then restart farheapd",
           FH_NUM("zone", t->index));
}

static void zone_ticks(struct fh_zone_thread *t)
{
    static const struct timeval soon = {.tv_usec = FH_DEADLINE_EVENT_MS * 1000};

    if (t->deadlines_due || t->tick)
        fh_ops_expire(&t->ops);
    if (t->tick)
        fh_conns_tick(&t->conns);
    t->deadlines_due = false;
    t->tick = false;
    if (!fh_list_is_empty(&t->ops.timed) && !evtimer_pending(t->deadline_event, NULL))
        evtimer_add(t->deadline_event, &soon);
}

static void zone_tell_drained(struct fh_zone_thread *t)
{
    if (!t->ops.draining || t->conns.count > 0 || t->told_drained)
        return;
    t->told_drained = true;
    if (!fh_mailbox_post(&t->node->main, &t->drained_message))
        t->stopping = true; /* main has ended already */
}

static void zone_end_turn(struct fh_zone_thread *t)
{
    uint64_t took = fh_clock_ns() - t->ops.now_ns;

    fh_counters_end_turn(&t->counters, took);
    if (took > t->worst_ns)
        t->worst_ns = took;
    if (t->ops.now_ms - t->worst_since_ms >= 1000) {
        t->counters.turn_ns_worst = t->worst_ns;
        t->worst_ns = 0;
        t->worst_since_ms = t->ops.now_ms;
    }
}

/* One round; true when the next is not to wait. */
static bool zone_round(struct fh_zone_thread *t)
{
    bool more;

    t->ops.now_ns = fh_clock_ns();
    t->ops.now_ms = fh_clock_ms_of(t->ops.now_ns);
    if (t->mail) {
        t->mail = false;
        fh_mailbox_run(&t->mailbox, t);
    }
    zone_ticks(t);
    more = fh_conns_run(&t->conns);
    more = fh_zone_turn(&t->zone, t->ops.now_ms) || more;
    zone_tell_broken(t);
    if (!fh_list_is_empty(&t->conns.runnable)) {
        fh_conns_run(&t->conns);
        more = true; /* [I1] */
    }
    zone_tell_drained(t);
    zone_end_turn(t);
    return more;
}

static void zone_serve(struct fh_zone_thread *t)
{
    bool more = false;

    while (!t->stopping) {
        event_base_loop(t->base, EVLOOP_ONCE | (more ? EVLOOP_NONBLOCK : 0));
        more = zone_round(t);
    }
}

/* --- start and end, on the thread --- */

static int zone_make_io(struct fh_zone_thread *t)
{
    const struct fh_config *config = t->node->config;
    int rc = -ENOSYS;

    if (config->io != FH_CONFIG_IO_THREADS)
        rc = fh_io_uring_create(URING_DEPTH, &t->io);
    if (rc != 0 && config->io == FH_CONFIG_IO_URING)
        return rc;
    return rc == 0 ? 0 : fh_io_threads_create((uint32_t)config->io_threads, &t->io);
}

static int zone_make_zone(struct fh_zone_thread *t)
{
    const struct fh_config *config = t->node->config;
    const struct fh_zone_opts opts = {
        .index = t->index,
        .memory_bytes = t->node->zone_memory_bytes,
        .region = t->node->region,
        .source = {.take = fh_chunks_take, .give = fh_chunks_give, .ctx = &t->node->chunks},
        .swap_bytes = t->node->zone_swap_bytes,
        .swap_dir = config->swap,
        .system = fh_buddy_system_at((uint32_t)config->buddy),
        .io = t->io,
        .random = fh_random_bytes,
        .free_min_permille = (uint32_t)config->free_min,
        .free_low_permille = (uint32_t)config->free_low,
        .free_high_permille = (uint32_t)config->free_high,
        .pin_permille = config->pin_limit > 0 ? (uint32_t)config->pin_limit : FH_PIN_NEVER,
        .readahead_max = (uint32_t)config->readahead_max,
        .data_dir = *config->data_dir ? config->data_dir : NULL,
        .zones = t->node->zones,
        .wall_ms = t->node->wall_ms,
        .debug = config->debug_alloc != 0,
    };

    return fh_zone_init(&t->zone, &opts, fh_clock_ms_of(fh_clock_ns()));
}

static int zone_make_events(struct fh_zone_thread *t)
{
    static const struct timeval tick = {.tv_usec = FH_TICK_EVENT_MS * 1000};
    struct event_config *config = event_config_new();

    if (!config)
        return -ENOMEM;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    t->base = event_base_new_with_config(config);
    event_config_free(config);
    if (!t->base)
        return -ENOMEM;
    t->mail_event =
        event_new(t->base, t->mailbox.event_fd, EV_READ | EV_PERSIST, on_flag, &t->mail);
    t->io_event = event_new(t->base, t->io->event_fd, EV_READ | EV_PERSIST, on_io, t->io);
    if (t->zone.durable) {
        t->data_event = event_new(t->base, fh_catalog_event_fd(t->zone.durable->catalog),
                                  EV_READ | EV_PERSIST, on_catalog, t);
        if (!t->data_event)
            return -ENOMEM;
    }
    t->tick_event = event_new(t->base, -1, EV_PERSIST, on_flag, &t->tick);
    t->deadline_event = evtimer_new(t->base, on_flag, &t->deadlines_due);
    if (!t->mail_event || !t->io_event || !t->tick_event || !t->deadline_event)
        return -ENOMEM;
    event_add(t->mail_event, NULL);
    event_add(t->io_event, NULL);
    if (t->data_event)
        event_add(t->data_event, NULL);
    event_add(t->tick_event, &tick);
    return 0;
}

static void zone_free_events(struct fh_zone_thread *t)
{
    struct event *events[] = {t->data_event, t->mail_event, t->io_event, t->tick_event,
                              t->deadline_event};

    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (events[i])
            event_free(events[i]);
    if (t->base)
        event_base_free(t->base);
}

static void zone_set_up(struct fh_zone_thread *t)
{
    t->ops.zone = &t->zone;
    t->ops.config = t->node->config;
    t->ops.counters = &t->counters;
    t->ops.zone_index = t->index;
    t->ops.zones = t->node->zones;
    t->ops.incarnation = t->node->incarnation;
    t->ops.ask_view = zone_ask_view;
    t->ops.drop_view = zone_drop_view;
    t->ops.files = t->node->files;
    t->ops.home = &t->mailbox;
    t->ops.ctx = t;
    t->conns.base = t->base;
    t->conns.ops = &t->ops;
    t->conns.config = t->node->config;
    t->conns.counters = &t->counters;
    t->conns.log = t->node->log;
    t->conns.move = zone_move;
    t->conns.ctx = t;
}

static int zone_begin(struct fh_zone_thread *t)
{
    int rc;

    if ((rc = zone_make_io(t)) != 0)
        return rc;
    if ((rc = zone_make_zone(t)) != 0) {
        t->node->data_failed = t->zone.data_failed;
        goto out_io;
    }
    if ((rc = zone_make_events(t)) != 0)
        goto out_zone;
    zone_set_up(t);
    if ((rc = fh_ops_init(&t->ops)) != 0)
        goto out_zone;
    if ((rc = fh_conns_init(&t->conns)) != 0)
        goto out_ops;
    return 0;

out_ops:
    fh_ops_fini(&t->ops);
out_zone:
    zone_free_events(t);
    fh_zone_fini(&t->zone);
out_io:
    fh_io_destroy(t->io);
    return rc;
}

static void zone_end(struct fh_zone_thread *t)
{
    fh_conns_close_all(&t->conns, t->ops.draining ? FH_CLOSE_DRAINED : FH_CLOSE_STOPPED);
    fh_mailbox_close(&t->mailbox);
    fh_conns_fini(&t->conns);
    fh_ops_fini(&t->ops);
    zone_free_events(t);
    fh_zone_fini(&t->zone);
    fh_io_destroy(t->io);
}

static void *zone_main(void *arg)
{
    struct fh_zone_thread *t = arg;

    t->start_rc = zone_begin(t);
    sem_post(&t->started);
    if (t->start_rc != 0)
        return NULL;
    zone_serve(t);
    zone_end(t);
    return NULL;
}

int fh_zone_thread_start(struct fh_zone_thread *t, struct fh_node *node, uint32_t index,
                         void (*drained)(struct fh_message *, void *owner))
{
    int rc;

    memset(t, 0, sizeof *t);
    t->node = node;
    t->index = index;
    t->drained_message.run = drained;
    if ((rc = fh_mailbox_init(&t->mailbox)) != 0)
        return rc;
    node->mailboxes[index] = &t->mailbox;
    node->answer = zone_answer;
    sem_init(&t->started, 0, 0);
    rc = -pthread_create(&t->thread, NULL, zone_main, t);
    if (rc == 0) {
        while (sem_wait(&t->started) != 0)
            ;
        rc = t->start_rc;
        if (rc != 0)
            pthread_join(t->thread, NULL);
    }
    sem_destroy(&t->started);
    if (rc != 0)
        fh_mailbox_fini(&t->mailbox);
    else if (!node->io)
        node->io = t->io->backend->name;
    return rc;
}

void fh_zone_thread_join(struct fh_zone_thread *t)
{
    post(&t->mailbox, &t->stop_message, stop_run);
    pthread_join(t->thread, NULL);
    fh_mailbox_fini(&t->mailbox);
}
