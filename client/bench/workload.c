/*
 * Theory.  Objects are numbers; a number's size and bytes follow from the seed, so nothing about
 * them is stored but, under --verify, two counters: the version last issued and the version last
 * known to be stored. They differ exactly while one write is in flight (or its outcome is unknown),
 * and a second write of the same object is not begun then, because the server may apply requests
 * that are in flight together in any order. So a read that was sent when `stored` was s and
 * answered when `issued` is i must show one version of s .. i.
 *
 *   version[object]   issued << 32 | stored        names at object, handles behind all names
 *
 * Some rows of the report are more than one request. RMW and FAULT take their steps one after the
 * other in one struct; a SCAN has a struct for each of its gets, and all are in flight at once.
 *
 * Invariants
 *   [I1] stored <= issued <= stored + 1
 *   [I2] issued > stored if and only if a request holds the claim, or its outcome is unknown
 */
#include "client/bench/workload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    PROBES = 64, /* objects tried when the chosen one is being written */
    NAME_BYTES = 20,
    SEED_NAME_BITS = 24, /* six digits: with `bench/` before and seven of the object after, 20 */
};

/* Objects by handle are told from named ones in the record that --verify checks. */
static const uint64_t HANDLE_OBJECT = UINT64_C(1) << 63;

bool fh_workload_uses_names(const struct fh_workload *w)
{
    const uint32_t *mix = w->o->mix;

    return mix[FH_OP_GET] + mix[FH_OP_PUT] + mix[FH_OP_INSERT] + mix[FH_OP_SCAN] + mix[FH_OP_RMW] >
           0;
}

bool fh_workload_uses_handles(const struct fh_workload *w)
{
    return w->o->mix[FH_OP_READ] + w->o->mix[FH_OP_WRITE] > 0;
}

static bool workload_alloc(struct fh_workload *w)
{
    const struct fh_bench_options *o = w->o;
    uint64_t names = o->mix[FH_OP_INSERT] > 0 ? o->keys * 2 : o->keys;

    if (fh_newest_init(&w->newest, o->keys, names) != 0)
        return false;
    if (o->verify && (w->version = calloc(names + o->keys, sizeof(*w->version))) == NULL)
        return false;
    if (fh_workload_uses_handles(w) && (w->handle = calloc(o->keys, sizeof(*w->handle))) == NULL)
        return false;
    return o->verify || (w->noise = malloc(o->sizes.bytes_max + 8)) != NULL;
}

int fh_workload_init(struct fh_workload *w, const struct fh_bench_options *o)
{
    struct fh_random r = {o->seed};
    struct timespec now;

    memset(w, 0, sizeof(*w));
    w->o = o;
    for (int op = 0; op < FH_OPS; op++)
        w->mix_sum += o->mix[op];
    fh_keys_init(&w->keys, &o->shape, o->keys, o->seed);
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = (uint64_t)now.tv_sec << 20 ^ (uint64_t)now.tv_nsec << 8 ^ (uint64_t)getpid();
    w->seed_name = fh_random_next(&(struct fh_random){seed}) >> (64 - SEED_NAME_BITS);
    if (!workload_alloc(w)) {
        fh_workload_fini(w);
        return -ENOMEM;
    }
    for (uint64_t at = 0; w->noise != NULL && at < o->sizes.bytes_max; at += 8) {
        uint64_t word = fh_random_next(&r);

        memcpy(w->noise + at, &word, 8);
    }
    return 0;
}

void fh_workload_fini(struct fh_workload *w)
{
    fh_newest_fini(&w->newest);
    free((void *)w->version);
    free(w->handle);
    free(w->noise);
    w->version = NULL;
    w->handle = NULL;
    w->noise = NULL;
}

int fh_draw_open(struct fh_draw *d, uint32_t in_flight)
{
    /* Those in flight when the pool is full still have to find a place. */
    *d = (struct fh_draw){.pool = calloc(FH_DRAW_POOL + in_flight, sizeof(*d->pool))};
    return d->pool != NULL ? 0 : -ENOMEM;
}

void fh_draw_close(struct fh_draw *d)
{
    free(d->pool);
    d->pool = NULL;
}

void fh_draw_init(struct fh_draw *d, const struct fh_bench_options *o, uint32_t thread,
                  uint32_t round)
{
    struct fh_random mix = {o->seed + UINT64_C(0x10001) * thread + (UINT64_C(1) << 40) * round};

    d->random.state = fh_random_next(&mix);
    d->turn = o->keys / o->threads * thread;
}

static bool op_is_by_name(enum fh_op op)
{
    return op == FH_OP_GET || op == FH_OP_PUT || op == FH_OP_DELETE;
}

static bool op_stores(enum fh_op op)
{
    return op == FH_OP_PUT || op == FH_OP_WRITE;
}

static _Atomic uint64_t *workload_cell(struct fh_workload *w, const struct fh_request *r)
{
    return &w->version[op_is_by_name(r->op) ? r->object : w->newest.capacity + r->object];
}

/* Takes the right to write the object, if it is free, and the version to write. */
static bool workload_claim(struct fh_workload *w, struct fh_request *r)
{
    _Atomic uint64_t *cell = workload_cell(w, r);
    uint64_t seen = atomic_load(cell);

    if (seen >> 32 != (seen & UINT32_MAX))
        return false;
    if (!atomic_compare_exchange_strong(cell, &seen, seen + (UINT64_C(1) << 32)))
        return false;
    r->version = (uint32_t)(seen & UINT32_MAX) + 1;
    r->claimed = true;
    return true;
}

/* Only a request that surely did or surely did not happen gives the claim back [I2]. */
static void workload_release(struct fh_workload *w, struct fh_request *r)
{
    _Atomic uint64_t *cell = workload_cell(w, r);

    if (!r->claimed)
        return;
    r->claimed = false;
    if (r->status == FH_OK)
        atomic_fetch_add(cell, 1);
    else if (r->status != FH_CONNECTION && r->status != FH_TIMEOUT && r->status != FH_PROTOCOL)
        atomic_fetch_sub(cell, UINT64_C(1) << 32);
}

/* Names are of one length, NAME_BYTES, unless seed or object need more. */
static void request_name(const struct fh_workload *w, struct fh_request *r)
{
    int prefix =
        snprintf(r->name, sizeof(r->name), "bench/%llx/", (unsigned long long)w->seed_name);
    int digits = prefix < NAME_BYTES ? NAME_BYTES - prefix : 1;
    int size = snprintf(r->name + prefix, sizeof(r->name) - (size_t)prefix, "%0*llu", digits,
                        (unsigned long long)r->object);

    r->name_size = (size_t)(prefix + size);
}

/* The part of the object that a GET or READ asks for; all of it for the others. */
static void request_span(const struct fh_workload *w, struct fh_draw *d, struct fh_request *r)
{
    uint64_t touch = w->o->touch_bytes;
    uint64_t parts;

    r->size = r->object_bytes;
    if ((r->row != FH_OP_GET && r->row != FH_OP_READ) || touch == 0 || touch >= r->object_bytes)
        return;
    parts = r->object_bytes / touch;
    r->offset = fh_random_below(&d->random, parts) * touch;
    r->size = w->o->verify ? fh_verify_span(r->object_bytes, r->offset, touch) : touch;
}

/* The claim of an object to store, at or after the chosen one. */
static bool request_claim(struct fh_workload *w, struct fh_request *r)
{
    /* A put must not lead to what is not inserted yet; an insert may. */
    uint64_t objects = r->row == FH_OP_INSERT ? w->newest.capacity : w->o->keys;

    if (w->version == NULL)
        return true;
    for (int i = 0; i < PROBES; i++) {
        if (workload_claim(w, r))
            return true;
        r->object = (r->object + 1) % objects;
    }
    return false;
}

static uint64_t object_id(const struct fh_request *r)
{
    return op_is_by_name(r->op) ? r->object : r->object | HANDLE_OBJECT;
}

static void request_body(struct fh_workload *w, struct fh_request *r)
{
    r->size = r->object_bytes;
    r->body = w->noise;
    if (!w->o->verify)
        return;
    fh_verify_fill(r->room, (size_t)r->size, object_id(r), r->version);
    r->body = r->room;
}

/* Fills in all that follows from op and object. */
static enum fh_next request_make(struct fh_workload *w, struct fh_draw *d, struct fh_request *r)
{
    r->offset = 0;
    r->got = 0;
    r->buf = r->room;
    if (op_stores(r->op) && !r->claimed && !request_claim(w, r))
        return FH_NEXT_WAIT;
    r->object_bytes = fh_sizes_of(&w->o->sizes, r->object, w->o->seed);
    if (op_is_by_name(r->op))
        request_name(w, r);
    else if (w->handle != NULL)
        r->handle = w->handle[r->object];
    if (op_stores(r->op)) {
        request_body(w, r);
        return FH_NEXT_READY;
    }
    request_span(w, d, r);
    if (w->version != NULL)
        r->version_min = (uint32_t)(atomic_load(workload_cell(w, r)) & UINT32_MAX);
    return FH_NEXT_READY;
}

static enum fh_op draw_op(const struct fh_workload *w, struct fh_draw *d)
{
    uint64_t draw = fh_random_below(&d->random, w->mix_sum);
    int op = 0;

    while (draw >= w->o->mix[op])
        draw -= w->o->mix[op++];
    return (enum fh_op)op;
}

/* ALLOC and FREE keep within the pool: an empty one cannot give, a full one cannot take. */
static void request_pool(struct fh_workload *w, struct fh_draw *d, struct fh_request *r)
{
    r->op = r->row;
    if (r->op == FH_OP_FREE && d->pooled == 0)
        r->op = FH_OP_ALLOC;
    if (r->op == FH_OP_ALLOC && d->pooled >= FH_DRAW_POOL)
        r->op = FH_OP_FREE;
    r->row = r->op;
    r->got = 0;
    r->object_bytes = r->size = fh_sizes_of(&w->o->sizes, fh_random_next(&d->random), w->o->seed);
    if (r->op == FH_OP_FREE)
        r->handle = d->pool[--d->pooled];
}

static uint64_t request_choose(struct fh_workload *w, struct fh_draw *d, bool by_name)
{
    uint64_t key = fh_keys_next(&w->keys, &d->random, d->turn++);

    if (w->keys.shape.dist != FH_DIST_LATEST)
        return key;
    return by_name ? fh_newest_of_age(&w->newest, key) : w->o->keys - 1 - key;
}

/* The objects in a row from the chosen one on, as far as there are any. */
static enum fh_next request_scan(struct fh_workload *w, struct fh_draw *d, struct fh_request *r)
{
    uint64_t left = fh_newest_count(&w->newest) - r->object;
    uint64_t count = 1 + fh_random_below(&d->random, w->o->scan_max);

    r->status = FH_OK;
    r->got = 0;
    r->part_count = r->parts_left = (uint32_t)(count < left ? count : left);
    for (uint32_t i = 0; i < r->part_count; i++) {
        struct fh_request *part = &r->parts[i];

        *part = (struct fh_request){.op = FH_OP_GET, .row = FH_OP_SCAN, .whole = r};
        part->object = r->object + i;
        part->room = r->room + (w->o->verify ? i * w->o->sizes.bytes_max : 0);
        (void)request_make(w, d, part); /* a get never waits */
    }
    return FH_NEXT_READY;
}

/* With --verify the object is claimed before it is read, so that what is read is known. */
static enum fh_next request_rmw(struct fh_workload *w, struct fh_draw *d, struct fh_request *r)
{
    r->op = FH_OP_GET;
    if (!request_claim(w, r))
        return FH_NEXT_WAIT;
    return request_make(w, d, r);
}

static enum fh_next request_insert(struct fh_workload *w, struct fh_draw *d, struct fh_request *r)
{
    r->op = FH_OP_PUT;
    r->object = fh_newest_take(&w->newest);
    return request_make(w, d, r);
}

static enum fh_next request_fault(struct fh_workload *w, struct fh_draw *d, struct fh_request *r)
{
    r->op = FH_OP_ALLOC;
    r->object_bytes = r->size = fh_sizes_of(&w->o->sizes, fh_random_next(&d->random), w->o->seed);
    return FH_NEXT_READY;
}

static enum fh_next workload_next_run(struct fh_workload *w, struct fh_draw *d,
                                      struct fh_request *r)
{
    r->row = draw_op(w, d);
    r->step = 0;
    switch (r->row) {
    case FH_OP_ALLOC:
    case FH_OP_FREE:
        request_pool(w, d, r);
        return FH_NEXT_READY;
    case FH_OP_FAULT:
        return request_fault(w, d, r);
    case FH_OP_INSERT:
        return request_insert(w, d, r);
    default:
        break;
    }
    r->op = r->row;
    r->object = request_choose(w, d, !(r->row == FH_OP_READ || r->row == FH_OP_WRITE));
    if (r->row == FH_OP_SCAN)
        return request_scan(w, d, r);
    return r->row == FH_OP_RMW ? request_rmw(w, d, r) : request_make(w, d, r);
}

/* What FREE did not take back during the run. */
static enum fh_next workload_next_pooled(struct fh_draw *d, struct fh_request *r)
{
    if (d->pooled == 0)
        return FH_NEXT_END;
    r->op = r->row = FH_OP_FREE;
    r->handle = d->pool[--d->pooled];
    return FH_NEXT_READY;
}

/* How many objects a phase goes through. */
static uint64_t phase_objects(const struct fh_workload *w, enum fh_phase phase)
{
    return phase == FH_PHASE_CLEAN_NAMES ? fh_newest_made(&w->newest) : w->o->keys;
}

enum fh_next fh_workload_next(struct fh_workload *w, struct fh_draw *d, enum fh_phase phase,
                              struct fh_request *r)
{
    static const enum fh_op ops[] = {FH_OP_PUT, FH_OP_ALLOC,  FH_OP_WRITE,
                                     FH_OPS,    FH_OP_DELETE, FH_OP_FREE};

    r->claimed = false;
    if (phase == FH_PHASE_RUN)
        return workload_next_run(w, d, r);
    r->op = r->row = ops[phase];
    if (phase == FH_PHASE_CLEAN_FREE && w->handle == NULL)
        return workload_next_pooled(d, r);
    r->object = atomic_fetch_add(&w->cursor, 1);
    if (r->object >= phase_objects(w, phase))
        return phase == FH_PHASE_CLEAN_FREE ? workload_next_pooled(d, r) : FH_NEXT_END;
    return request_make(w, d, r);
}

static void workload_fault(struct fh_workload *w, const struct fh_verify_fault *fault)
{
    bool none = false;

    if (!atomic_compare_exchange_strong(&w->faulty, &none, true))
        return;
    w->fault = *fault;
    w->fault.object &= ~HANDLE_OBJECT;
    atomic_store(&w->stop, true);
}

static void workload_check(struct fh_workload *w, struct fh_request *r)
{
    struct fh_verify_view view = {.object = object_id(r),
                                  .object_bytes = r->object_bytes,
                                  .offset = r->offset,
                                  .version_min = r->version_min};
    struct fh_verify_fault fault;

    /* What is claimed for this request's own put, which comes later, cannot be seen yet. */
    view.version_max =
        r->claimed ? r->version - 1 : (uint32_t)(atomic_load(workload_cell(w, r)) >> 32);
    if (!fh_verify_check(r->buf, r->got, &view, &fault))
        workload_fault(w, &fault);
}

static void workload_done_read(struct fh_workload *w, struct fh_request *r)
{
    if (r->status != FH_OK)
        return;
    if (r->got != r->size)
        r->status = FH_PROTOCOL;
    if (w->version != NULL)
        workload_check(w, r);
}

static void workload_done_store(struct fh_workload *w, struct fh_request *r)
{
    r->got = (size_t)r->size;
    if (w->version != NULL)
        workload_release(w, r);
    if (r->row == FH_OP_INSERT && r->status == FH_OK)
        fh_newest_settle(&w->newest, r->object);
}

static bool workload_done_rmw(struct fh_workload *w, struct fh_draw *d, struct fh_request *r)
{
    if (r->step == 1) {
        workload_done_store(w, r);
        r->got *= 2;
        return false;
    }
    workload_done_read(w, r);
    if (r->status != FH_OK) { /* the put was never sent */
        if (r->claimed)
            atomic_fetch_sub(workload_cell(w, r), UINT64_C(1) << 32);
        r->claimed = false;
        return false;
    }
    r->step = 1;
    r->op = FH_OP_PUT;
    (void)request_make(w, d, r); /* claimed, so it does not wait */
    return true;
}

/* What was allocated is freed, also when the write failed; then its status is the outcome. */
static bool workload_done_fault(struct fh_workload *w, struct fh_request *r)
{
    switch (r->op) {
    case FH_OP_ALLOC:
        if (r->status != FH_OK)
            return false;
        r->op = FH_OP_WRITE;
        r->offset = 0;
        request_body(w, r);
        return true;
    case FH_OP_WRITE:
        r->earlier = r->status;
        r->op = FH_OP_FREE;
        return true;
    default:
        if (r->earlier != FH_OK)
            r->status = r->earlier;
        r->got = (size_t)r->object_bytes;
        return false;
    }
}

static void workload_done_part(struct fh_workload *w, struct fh_request *r)
{
    struct fh_request *whole = r->whole;

    workload_done_read(w, r);
    if (whole->status == FH_OK)
        whole->status = r->status;
    whole->got += r->got;
    whole->parts_left--;
}

static void workload_done_one(struct fh_workload *w, struct fh_draw *d, enum fh_phase phase,
                              struct fh_request *r)
{
    switch (r->op) {
    case FH_OP_GET:
    case FH_OP_READ:
        workload_done_read(w, r);
        return;
    case FH_OP_PUT:
    case FH_OP_WRITE:
        workload_done_store(w, r);
        return;
    case FH_OP_ALLOC:
        if (r->status == FH_OK && phase == FH_PHASE_FILL_ALLOC)
            w->handle[r->object] = r->handle;
        else if (r->status == FH_OK)
            d->pool[d->pooled++] = r->handle;
        return;
    default:
        return;
    }
}

bool fh_workload_done(struct fh_workload *w, struct fh_draw *d, enum fh_phase phase,
                      struct fh_request *r)
{
    if (r->row == FH_OP_RMW)
        return workload_done_rmw(w, d, r);
    if (r->row == FH_OP_FAULT)
        return workload_done_fault(w, r);
    if (r->row == FH_OP_SCAN)
        workload_done_part(w, r);
    else
        workload_done_one(w, d, phase, r);
    return false;
}
