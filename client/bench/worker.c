/*
 * Theory.  One loop: submit what may be sent, flush, wait for descriptors, take replies. Closed:
 * every idle request is used at once. Open: a request is used when it is due; if none is idle it is
 * sent late, and its latency still counts from when it was due. A stint ends when its requests or
 * its time are used up and the last reply has come; requests due but unsent at its end are counted.
 *
 *   idle --submit--> in flight --next--> idle          of each client, `pipeline` requests
 *
 * Invariants
 *   [I1] in_flight + sum of idle_count == client_count * pipeline
 */
#include "client/bench/worker.h"

#include "client/bench/proc.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

static const uint64_t MS = 1000000;
static const uint64_t SWEEP_NS = 100000000; /* how often quiet clients are looked at */
static const uint64_t REST_NS = 10000000;   /* before a broken connection is used again */
static const uint64_t DRAIN_NS = UINT64_C(60000000000); /* the longest wait for the last replies */

/* Of what a request reads and writes, with all its parts. */
static size_t request_room(const struct fh_bench_options *o)
{
    return o->sizes.bytes_max * (o->mix[FH_OP_SCAN] > 0 ? o->scan_max : 1);
}

static fh_status client_open(struct fh_worker *k, struct fh_bench_client *c,
                             const struct fh_target *t, uint8_t *rooms, size_t room)
{
    uint32_t deep = k->o->pipeline;
    uint32_t parts = k->o->mix[FH_OP_SCAN] > 0 ? k->o->scan_max : 0;

    c->slots = calloc(deep, sizeof(*c->slots));
    c->idle = calloc(deep, sizeof(struct fh_request *));
    if (parts > 0)
        c->parts = calloc((size_t)deep * parts, sizeof(*c->parts));
    if (c->slots == NULL || c->idle == NULL || (parts > 0 && c->parts == NULL))
        return FH_NO_MEMORY;
    for (uint32_t i = 0; i < deep; i++) {
        c->slots[i].room = rooms + i * room;
        c->slots[i].parts = parts > 0 ? c->parts + (size_t)i * parts : NULL;
        c->idle[c->idle_count++] = &c->slots[i];
    }
    return k->class->open(t->address, &k->o->client, &c->driver, k->why);
}

/* With --verify every request has bytes of its own; else nobody looks at them and one room does. */
static fh_status worker_alloc(struct fh_worker *k)
{
    size_t rooms = k->o->verify ? (size_t)k->client_count * k->o->pipeline : 1;

    k->clients = calloc(k->client_count, sizeof(*k->clients));
    k->fds = calloc((size_t)k->client_count * FH_DRIVER_FDS, sizeof(*k->fds));
    k->rooms = malloc(rooms * (k->o->verify ? request_room(k->o) : k->o->sizes.bytes_max));
    if (k->clients == NULL || k->fds == NULL || k->rooms == NULL)
        return FH_NO_MEMORY;
    return fh_draw_open(&k->draw, k->client_count * k->o->pipeline) == 0 ? FH_OK : FH_NO_MEMORY;
}

fh_status fh_worker_open(struct fh_worker *k, const struct fh_bench_options *o,
                         const struct fh_target *t, struct fh_workload *w, uint32_t index)
{
    size_t room = o->verify ? request_room(o) : 0;
    fh_status status;

    memset(k, 0, sizeof(*k));
    k->o = o;
    k->class = t->class;
    k->w = w;
    k->index = index;
    k->client_count = o->clients / o->threads + (index < o->clients % o->threads);
    if ((status = worker_alloc(k)) != FH_OK)
        return status;
    for (uint32_t i = 0; i < k->client_count && status == FH_OK; i++)
        status = client_open(k, &k->clients[i], t, k->rooms + i * o->pipeline * room, room);
    return status;
}

void fh_worker_close(struct fh_worker *k)
{
    for (uint32_t i = 0; k->clients != NULL && i < k->client_count; i++) {
        if (k->clients[i].driver != NULL)
            k->class->close(k->clients[i].driver);
        free(k->clients[i].slots);
        free(k->clients[i].idle);
        free(k->clients[i].parts);
    }
    fh_draw_close(&k->draw);
    free(k->clients);
    free(k->fds);
    free(k->rooms);
    memset(k, 0, sizeof(*k));
}

/* May another request be taken at this moment? Ends the stint when not. */
static bool worker_may_take(struct fh_worker *k, uint64_t due)
{
    if (k->ended)
        return false;
    if (atomic_load_explicit(&k->w->stop, memory_order_relaxed) &&
        k->stint.phase < FH_PHASE_CLEAN_NAMES)
        k->ended = true;
    if (k->stint.phase == FH_PHASE_RUN && due >= k->stint.end_ns)
        k->ended = true;
    return !k->ended;
}

/* With -n, the measured requests are counted out among the threads. */
static bool worker_take_counted(struct fh_worker *k, struct fh_request *r, uint64_t due)
{
    r->counted = k->stint.phase == FH_PHASE_RUN && due >= k->stint.measure_ns;
    if (!r->counted || k->stint.requests == 0)
        return true;
    k->ended = atomic_fetch_add(&k->w->cursor, 1) >= k->stint.requests;
    return !k->ended;
}

static void client_submit(struct fh_worker *k, struct fh_bench_client *c, struct fh_request *r)
{
    c->unsent = true;
    if (r->row != FH_OP_SCAN) {
        k->class->submit(c->driver, r);
        return;
    }
    for (uint32_t i = 0; i < r->part_count; i++)
        k->class->submit(c->driver, &r->parts[i]);
}

/* Takes an idle request of this client and submits it; false if there is nothing to send now. */
static bool client_send(struct fh_worker *k, struct fh_bench_client *c, uint64_t due, uint64_t now)
{
    struct fh_request *r = c->idle[c->idle_count - 1];
    enum fh_next next = fh_workload_next(k->w, &k->draw, k->stint.phase, r);

    k->ended |= next == FH_NEXT_END;
    k->waiting |= next == FH_NEXT_WAIT;
    if (next != FH_NEXT_READY && r->counted && k->stint.requests > 0)
        atomic_fetch_sub(&k->w->cursor, 1);
    if (next != FH_NEXT_READY)
        return false;
    r->due_ns = due;
    r->sent_ns = now;
    c->idle_count--;
    k->in_flight++;
    client_submit(k, c, r);
    return true;
}

static bool client_is_free(const struct fh_bench_client *c, uint64_t now)
{
    return c->idle_count > 0 && c->rest_until <= now;
}

static void worker_fill_closed(struct fh_worker *k)
{
    for (uint32_t i = 0; i < k->client_count; i++) {
        struct fh_bench_client *c = &k->clients[i];
        uint64_t now = fh_proc_now();

        while (client_is_free(c, now) && worker_may_take(k, now)) {
            if (!worker_take_counted(k, c->idle[c->idle_count - 1], now) ||
                !client_send(k, c, now, now))
                return;
            now = fh_proc_now();
        }
    }
}

/* The next client in turn with an idle request. */
static struct fh_bench_client *worker_free_client(struct fh_worker *k, uint64_t now)
{
    for (uint32_t i = 0; i < k->client_count; i++) {
        struct fh_bench_client *c = &k->clients[k->turn++ % k->client_count];

        if (client_is_free(c, now))
            return c;
    }
    return NULL;
}

/* What fell behind in the warm-up is left out, or the measured part would begin with it. */
static void worker_forget_warmup(struct fh_worker *k, uint64_t now)
{
    if (now < k->stint.measure_ns)
        return;
    while (fh_pacer_due(&k->pacer) < k->stint.measure_ns)
        fh_pacer_step(&k->pacer);
}

static void worker_fill_open(struct fh_worker *k)
{
    uint64_t now = fh_proc_now();
    uint64_t due;
    struct fh_bench_client *c;

    worker_forget_warmup(k, now);
    due = fh_pacer_due(&k->pacer);
    while (due <= now && worker_may_take(k, due) && (c = worker_free_client(k, now)) != NULL) {
        struct fh_request *r = c->idle[c->idle_count - 1];

        if (!worker_take_counted(k, r, due) || !client_send(k, c, due, now))
            return;
        k->tally->due += r->counted;
        k->tally->sent += r->counted;
        fh_pacer_step(&k->pacer);
        due = fh_pacer_due(&k->pacer);
        now = fh_proc_now();
    }
    if (now >= k->stint.end_ns)
        k->ended = true;
}

/* Requests that were due within the stint and never sent: the server, or we, fell behind. */
static void worker_count_unsent(struct fh_worker *k)
{
    if (k->stint.end_ns == UINT64_MAX)
        return;
    for (; fh_pacer_due(&k->pacer) < k->stint.end_ns; fh_pacer_step(&k->pacer))
        k->tally->due += fh_pacer_due(&k->pacer) >= k->stint.measure_ns;
}

static void worker_flush(struct fh_worker *k)
{
    for (uint32_t i = 0; i < k->client_count; i++) {
        if (!k->clients[i].unsent)
            continue;
        k->clients[i].unsent = false;
        k->class->flush(k->clients[i].driver);
    }
}

static void worker_note(struct fh_worker *k, struct fh_request *r, uint64_t now)
{
    if (r->status != FH_OK)
        atomic_fetch_add_explicit(&k->failures, 1, memory_order_relaxed);
    if (r->status != FH_OK && k->failed == FH_OK)
        k->failed = r->status;
    /* An object that cannot be made ends the fill: the run would only measure NOT_FOUND. */
    if (r->status != FH_OK && k->stint.phase < FH_PHASE_RUN)
        atomic_store(&k->w->stop, true);
    if (r->status == FH_CONNECTION && k->stint.phase > FH_PHASE_RUN)
        k->ended = true; /* nothing to clean up at a server that is gone */
    if (k->stint.phase != FH_PHASE_RUN)
        return;
    k->tally->all++;
    if (!r->counted)
        return;
    fh_tally_add(k->tally, r, now, (now - k->stint.measure_ns) / 1000000000u);
    k->last_reply_ns = now;
}

static void client_collect(struct fh_worker *k, struct fh_bench_client *c)
{
    uint64_t now = fh_proc_now();
    struct fh_request *r;
    uint64_t count = 0;

    while ((r = k->class->next(c->driver)) != NULL) {
        if (fh_workload_done(k->w, &k->draw, k->stint.phase, r)) {
            client_submit(k, c, r);
            continue;
        }
        if (r->whole != NULL) {
            r = r->whole;
            if (r->parts_left > 0)
                continue;
        }
        if (r->status == FH_CONNECTION)
            c->rest_until = now + REST_NS;
        else if (k->stint.phase < FH_PHASE_RUN && k->o->fill_rate > 0)
            c->rest_until = r->sent_ns + k->o->clients * UINT64_C(1000000000) / k->o->fill_rate;
        worker_note(k, r, now);
        c->idle[c->idle_count++] = r;
        k->in_flight--;
        count++;
        if (k->o->verify)
            now = fh_proc_now();
    }
    atomic_fetch_add_explicit(&k->done, count, memory_order_relaxed);
}

/* How long the descriptors may be waited for. */
static uint64_t worker_patience(const struct fh_worker *k, uint64_t now)
{
    uint64_t due;

    if (k->waiting)
        return MS;
    if (k->in_flight < k->client_count * k->o->pipeline && !k->open_loop && !k->ended)
        return MS; /* a client rests */
    if (!k->open_loop || k->ended)
        return SWEEP_NS;
    due = fh_pacer_due(&k->pacer);
    if (due <= now) /* late: a reply is what can help */
        return k->in_flight > 0 ? SWEEP_NS : MS;
    return due - now < SWEEP_NS ? due - now : SWEEP_NS;
}

static size_t worker_watch(struct fh_worker *k)
{
    size_t count = 0;

    for (uint32_t i = 0; i < k->client_count; i++) {
        struct fh_bench_client *c = &k->clients[i];

        c->watched = 0;
        if (c->idle_count < k->o->pipeline)
            c->watched = k->class->watch(c->driver, k->fds + count);
        count += c->watched;
    }
    return count;
}

static void worker_hear(struct fh_worker *k, bool sweep)
{
    const struct pollfd *fd = k->fds;

    for (uint32_t i = 0; i < k->client_count; i++) {
        struct fh_bench_client *c = &k->clients[i];
        bool heard = sweep;

        for (size_t n = 0; n < c->watched; n++, fd++) {
            if (fd->revents == 0)
                continue;
            heard = true;
            k->class->ready(c->driver, fd);
        }
        if (heard && c->idle_count < k->o->pipeline)
            client_collect(k, c);
    }
}

static void worker_wait(struct fh_worker *k)
{
    size_t count = worker_watch(k);
    uint64_t now = fh_proc_now();
    uint64_t patience = worker_patience(k, now);
    struct timespec limit = {.tv_sec = (time_t)(patience / 1000000000u),
                             .tv_nsec = (long)(patience % 1000000000u)};
    bool sweep;

    if (ppoll(k->fds, count, &limit, NULL) < 0)
        return;
    now = fh_proc_now();
    if ((sweep = now - k->swept_ns >= SWEEP_NS))
        k->swept_ns = now;
    k->waiting = false;
    worker_hear(k, sweep);
}

static void worker_begin(struct fh_worker *k, const struct fh_stint *s)
{
    k->stint = *s;
    k->ended = k->waiting = false;
    k->failed = FH_OK;
    atomic_store(&k->done, 0);
    atomic_store(&k->failures, 0);
    k->swept_ns = fh_proc_now();
    k->open_loop = s->phase == FH_PHASE_RUN && s->rate > 0;
    if (s->phase == FH_PHASE_RUN)
        fh_draw_init(&k->draw, k->o, k->index, s->round);
    if (k->open_loop)
        fh_pacer_init(&k->pacer, s->rate, k->index, k->o->threads, k->o->poisson, s->start_ns,
                      k->o->seed + s->round);
}

void fh_worker_run(struct fh_worker *k, const struct fh_stint *s)
{
    uint64_t drained_by = 0;

    /* A nanosecond of slack, not the usual 50 us: requests are sent when they are due. */
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    worker_begin(k, s);
    while (!k->stuck) {
        if (k->open_loop)
            worker_fill_open(k);
        else
            worker_fill_closed(k);
        worker_flush(k);
        if (k->ended && k->in_flight == 0)
            break;
        if (k->ended && drained_by == 0)
            drained_by = fh_proc_now() + DRAIN_NS;
        worker_wait(k);
        k->stuck = k->ended && fh_proc_now() > drained_by;
    }
    if (k->open_loop)
        worker_count_unsent(k);
    if (s->phase == FH_PHASE_RUN)
        k->tally->own_cpu_ns = fh_proc_thread_cpu_ns();
}
