/*
 * Theory.  A request is decoded into the zone's arena, checked, and given to the function of its
 * operation. Most end there, with their reply in the session's queue. One that must wait for pages
 * becomes a struct fh_op, whose engine part is opened in place, since a parked struct may not move;
 * name and body are copied out of the input only then.
 *
 * Bodies that come in pieces are taken by ops_stage.c.
 *
 *   head -> ask -> begin --0--> reply
 *                    |--EINPROGRESS--> op parked --done--> reply
 *                    `--longer body--> op STAGE | REFUSED <-- body pieces --> commit --> reply
 *
 * Invariants
 *   [I1] an op is in its session's list from create to destroy
 *   [I2] session->owed_bytes is the sum of `owed` over its ops
 *   [I3] `done` of an op runs only while it is parked; destroy cancels first
 */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops_ask.h"
#include "proto/frame.h"

struct op_row {
    enum fh_op_code code;
    fh_op_begin *begin;                                               /* NULL: no such operation */
    int (*stage)(struct fh_ask *, uint64_t size, struct fh_op **out); /* NULL: no long body */
    bool takes_body;
};

/* By the field number of the operation in Request. */
static const struct op_row op_rows[] = {
    [10] = {FH_OP_HELLO, fh_ops_hello, NULL, false},
    [11] = {FH_OP_PING, fh_ops_ping, NULL, true},
    [12] = {FH_OP_INFO, fh_ops_info, NULL, false},
    [13] = {FH_OP_TOPOLOGY, fh_ops_topology, NULL, false},
    [20] = {FH_OP_ALLOC, fh_ops_alloc, NULL, false},
    [21] = {FH_OP_FREE, fh_ops_free, NULL, false},
    [22] = {FH_OP_RESIZE, fh_ops_resize, NULL, false},
    [23] = {FH_OP_READ, fh_ops_read, NULL, false},
    [24] = {FH_OP_WRITE, fh_ops_write, fh_ops_stage_write, true},
    [25] = {FH_OP_ZERO, fh_ops_zero, NULL, false},
    [26] = {FH_OP_COMPARE_SWAP, fh_ops_compare_swap, NULL, false},
    [27] = {FH_OP_FETCH_ADD, fh_ops_fetch_add, NULL, false},
    [28] = {FH_OP_STAT, fh_ops_stat, NULL, false},
    [29] = {FH_OP_ADVISE, fh_ops_advise, NULL, false},
    [30] = {FH_OP_READ_RANGES, fh_ops_read_ranges, fh_ops_stage_never, true},
    [31] = {FH_OP_WRITE_RANGES, fh_ops_write_ranges, fh_ops_stage_never, true},
    [40] = {FH_OP_PUT, fh_ops_put, fh_ops_stage_put, true},
    [41] = {FH_OP_GET, fh_ops_get, NULL, false},
    [42] = {FH_OP_LOOKUP, fh_ops_lookup, NULL, false},
    [43] = {FH_OP_DELETE, fh_ops_delete, NULL, false},
    [44] = {FH_OP_LIST, fh_ops_list, NULL, false},
    [50] = {FH_OP_CACHE_CREATE, fh_ops_cache_create, NULL, true},
    [51] = {FH_OP_CACHE_DESTROY, fh_ops_cache_destroy, NULL, false},
    [60] = {FH_OP_OPEN_FILE, fh_ops_open_file, NULL, false},
    [61] = {FH_OP_LIST_FILES, fh_ops_list_files, NULL, false},
    [62] = {FH_OP_SYNC, fh_ops_sync, NULL, false},
};

static const struct op_row *op_row_find(unsigned number)
{
    if (number >= sizeof op_rows / sizeof op_rows[0] || !op_rows[number].begin)
        return NULL;
    return &op_rows[number];
}

int fh_ops_init(struct fh_ops *ops)
{
    fh_list_init(&ops->free_ops);
    fh_list_init(&ops->timed);
    ops->sink.iov_base = malloc(FH_OPS_SINK_SIZE);
    ops->sink.iov_len = FH_OPS_SINK_SIZE;
    return ops->sink.iov_base ? 0 : -ENOMEM;
}

void fh_ops_fini(struct fh_ops *ops)
{
    struct fh_list *node;

    FH_ASSERT(ops->live_count == 0);
    while ((node = fh_list_pop(&ops->free_ops)))
        free(FH_CONTAINER_OF(node, struct fh_op, link));
    free(ops->sink.iov_base);
}

/* --- requests in progress --- */

static struct fh_op *op_take(struct fh_ops *ops)
{
    struct fh_list *node = fh_list_pop(&ops->free_ops);

    if (!node)
        return malloc(sizeof(struct fh_op));
    ops->free_count--;
    return FH_CONTAINER_OF(node, struct fh_op, link);
}

/* The part before the union is cleared; the engine's part has large arrays and is opened, not
 * cleared. */
struct fh_op *fh_op_create(const struct fh_ask *ask, enum fh_op_kind kind)
{
    struct fh_ops *ops = ask->ops;
    struct fh_op *op = op_take(ops);

    if (!op)
        return NULL;
    memset(op, 0, offsetof(struct fh_op, u));
    op->ops = ops;
    op->session = ask->session;
    op->id = ask->head->id;
    op->code = ask->code;
    op->kind = kind;
    op->arrived_ns = ops->now_ns;
    fh_list_init(&op->timed);
    if (ask->head->deadline_ms > 0) {
        op->deadline_ms = ops->now_ms + ask->head->deadline_ms;
        fh_list_push_back(&ops->timed, &op->timed);
    }
    fh_list_push_back(&ask->session->ops, &op->link);
    ask->session->ops_count++;
    ops->live_count++;
    return op;
}

int fh_op_keep(struct fh_op *op, const void *name, size_t name_size, const void *body,
               size_t body_size)
{
    if (name_size + body_size == 0)
        return 0;
    op->copy = malloc(name_size + body_size);
    if (!op->copy)
        return -ENOMEM;
    if (name_size > 0)
        memcpy(op->copy, name, name_size);
    if (body_size > 0)
        memcpy(op->copy + name_size, body, body_size);
    return 0;
}

void fh_op_cancel(struct fh_op *op)
{
    switch (op->kind) {
    case FH_OP_KIND_READER:
        fh_reader_close(&op->u.reader);
        break;
    case FH_OP_KIND_MUTATION:
        if (op->parked)
            fh_zone_mutate_cancel(&op->u.mutation);
        break;
    case FH_OP_KIND_CHANGE:
        if (op->parked)
            fh_zone_change_cancel(&op->u.change);
        break;
    case FH_OP_KIND_RANGES:
        if (op->parked)
            fh_zone_ranges_cancel(&op->u.ranges);
        break;
    case FH_OP_KIND_PUT:
        if (op->parked)
            fh_zone_put_cancel(&op->u.put);
        break;
    case FH_OP_KIND_STAGE:
        fh_stage_abort(&op->u.stage);
        break;
    case FH_OP_KIND_VIEW:
        if (op->view)
            op->ops->drop_view(op->view);
        break;
    case FH_OP_KIND_FILE:
        if (op->job)
            op->job->abandoned = true;
        break;
    case FH_OP_KIND_SYNC:
        if (op->parked)
            fh_zone_sync_cancel(&op->u.sync);
        break;
    case FH_OP_KIND_ADVISE:
        if (op->parked)
            fh_zone_advise_cancel(&op->u.advise);
        break;
    case FH_OP_KIND_REFUSED:
        break;
    }
    op->parked = false;
}

void fh_op_give(struct fh_op *op)
{
    struct fh_ops *ops = op->ops;
    struct fh_session *session = op->session;

    fh_list_remove(&op->link);
    fh_list_remove(&op->timed);
    session->owed_bytes -= op->owed;
    session->ops_count--;
    ops->live_count--;
    if (session->incoming == op)
        session->incoming = NULL;
    free(op->copy);
    if (ops->free_count >= FH_OPS_KEPT) {
        free(op);
        return;
    }
    fh_list_push_front(&ops->free_ops, &op->link);
    ops->free_count++;
}

void fh_op_destroy(struct fh_op *op)
{
    fh_op_cancel(op);
    fh_op_give(op);
}

void fh_ops_end_session(struct fh_ops *ops, struct fh_session *session)
{
    struct fh_list *node;

    (void)ops;
    fh_outq_fini(&session->out); /* ends the readers that were being sent */
    while ((node = fh_list_first(&session->ops)))
        fh_op_destroy(FH_CONTAINER_OF(node, struct fh_op, link));
}

/* --- replies --- */

struct fh_reply_to fh_reply_to_ask(const struct fh_ask *ask)
{
    return (struct fh_reply_to){
        .ops = ask->ops, .session = ask->session, .id = ask->head->id, .code = ask->code};
}

struct fh_reply_to fh_reply_to_op(const struct fh_op *op)
{
    return (struct fh_reply_to){.ops = op->ops,
                                .session = op->session,
                                .id = op->id,
                                .code = op->code,
                                .arrived_ns = op->arrived_ns};
}

static void reply_count(const struct fh_reply_to *to, enum fh_wire_status status)
{
    struct fh_counters *c = to->ops->counters;

    c->requests[to->code][status]++;
    if (to->arrived_ns == 0 || to->arrived_ns == to->ops->now_ns)
        c->this_turn[to->code]++;
    else
        fh_durations_add(&c->durations[to->code], to->ops->now_ns - to->arrived_ns, 1);
    if (status == FH_STATUS_STALE)
        fh_session_note_stale(to->session, to->ops->now_ms / 1000);
}

/* Where the status's own sentence would be about something else. */
static const char *reply_sentence(enum fh_op_code code, enum fh_wire_status status)
{
    static const struct {
        enum fh_op_code code;
        enum fh_wire_status status;
        const char *sentence;
    } rows[] = {
        {FH_OP_ALLOC, FH_STATUS_NOT_FOUND, "no cache has this name; try: farheap cache ls"},
        {FH_OP_CACHE_CREATE, FH_STATUS_EXISTS, "there is a cache of this name; destroy it first"},
        {FH_OP_CACHE_CREATE, FH_STATUS_TOO_LARGE, "objects of a cache have at most 32 KiB"},
        {FH_OP_CACHE_CREATE, FH_STATUS_QUOTA, "the zone has as many caches as it may; destroy one"},
        {FH_OP_CACHE_DESTROY, FH_STATUS_NOT_FOUND, "no cache has this name; try: farheap cache ls"},
        {FH_OP_CACHE_DESTROY, FH_STATUS_BUSY, "objects of the cache live; free them first"},
        {FH_OP_OPEN_FILE, FH_STATUS_INVALID,
         "not a regular file, or a path with empty, dot or overlong parts; try: farheap file ls"},
        {FH_OP_OPEN_FILE, FH_STATUS_NOT_FOUND,
         "no such export, folder or file; try: farheap file ls"},
        {FH_OP_OPEN_FILE, FH_STATUS_PERMISSION,
         "the export or the file is read-only, or the path leads over a link or out of it"},
        {FH_OP_OPEN_FILE, FH_STATUS_BUSY,
         "the file is open under another name, by another tenant or process, or being closed"},
        {FH_OP_OPEN_FILE, FH_STATUS_QUOTA, "too many files are open; free some"},
        {FH_OP_OPEN_FILE, FH_STATUS_UNSUPPORTED, "this server exports nothing; see --export"},
        {FH_OP_LIST_FILES, FH_STATUS_NOT_FOUND, "no such export or folder; try: farheap file ls"},
        {FH_OP_LIST_FILES, FH_STATUS_UNSUPPORTED, "this server exports nothing; see --export"},
        {FH_OP_SYNC, FH_STATUS_UNSUPPORTED, "only objects of files are synced"},
        {FH_OP_SYNC, FH_STATUS_IO_ERROR,
         "the disk failed; the bytes are kept in memory, read them and save them elsewhere"},
        {FH_OP_ADVISE, FH_STATUS_QUOTA,
         "more would be pinned than may be; unpin something, or give the server more pin-limit"},
        {FH_OP_ADVISE, FH_STATUS_BUSY, "too much advice is being followed; try again shortly"},
        {FH_OP_WRITE, FH_STATUS_PERMISSION, "the file is open for reading; open it with --rw"},
        {FH_OP_ZERO, FH_STATUS_PERMISSION, "the file is open for reading; open it with --rw"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].code == code && rows[i].status == status)
            return rows[i].sentence;
    return fh_status_sentence(status);
}

void fh_reply_head(const struct fh_reply_to *to, fh_response_head *response, int rc,
                   uint32_t body_size)
{
    enum { ROOM = 1024 };
    enum fh_wire_status status = fh_status_of_errno(rc);
    uint8_t *room = fh_outq_reserve(&to->session->out, ROOM);

    response->id = to->id;
    response->status = status;
    if (status != FH_STATUS_OK) {
        const char *sentence = to->detail ? to->detail : reply_sentence(to->code, status);
        response->detail.data = (uint8_t *)(uintptr_t)sentence;
        response->detail.len = strlen(sentence);
    }
    reply_count(to, status);
    if (!room) {
        to->session->out.error = -ENOMEM;
        return;
    }
    fh_outq_commit(&to->session->out, fh_head_pack_response(response, body_size, room, ROOM));
}

void fh_reply_plain(const struct fh_reply_to *to, int rc)
{
    fh_response_head response = FARHEAP__V1__RESPONSE__INIT;

    fh_reply_head(to, &response, rc, 0);
}

void fh_reply_bytes(const struct fh_reply_to *to, fh_response_head *response, const void *body,
                    uint32_t size)
{
    fh_reply_head(to, response, 0, size);
    if (fh_outq_add(&to->session->out, body, size) != 0)
        to->session->out.error = -ENOMEM;
}

void fh_reply_object(const struct fh_reply_to *to, const struct fh_object_view *view,
                     uint32_t body_size)
{
    fh_response_head response = FARHEAP__V1__RESPONSE__INIT;
    Farheap__V1__ObjectResult result = FARHEAP__V1__OBJECT_RESULT__INIT;
    Farheap__V1__Handle handle = FARHEAP__V1__HANDLE__INIT;

    handle.address = ((uint64_t)to->ops->zone_index << 48) | view->ref.addr.v;
    handle.key = view->ref.key;
    result.handle = &handle;
    result.size = view->size;
    result.version = view->version;
    result.sealed = view->sealed;
    result.ttl_ms = view->ttl_ms;
    result.small = view->small;
    result.durable = view->durable;
    result.pages_frame = view->pages.frame;
    result.pages_swap = view->pages.swap;
    result.pages_nothing = view->pages.nothing;
    result.pages_failed = view->pages.failed;
    result.pages_file = view->pages.file;
    result.pages_dirty = view->pages.dirty;
    result.pages_pinned = view->pages.pinned;
    result.file = view->file;
    result.writable = view->writable;
    response.result_case = FARHEAP__V1__RESPONSE__RESULT_OBJECT;
    response.object = &result;
    fh_reply_head(to, &response, 0, body_size);
}

/* --- checks --- */

int fh_ask_ref(const struct fh_ask *ask, const Farheap__V1__Handle *handle, struct fh_ref *out)
{
    if (!handle)
        return -EINVAL;
    if (handle->address >> 48 != ask->ops->zone_index)
        return -EXDEV;
    *out = (struct fh_ref){.addr = {handle->address & ((UINT64_C(1) << 48) - 1)},
                           .key = handle->key,
                           .tenant = ask->session->tenant,
                           .stream = ask->session->stream};
    return 0;
}

int fh_ask_either(const struct fh_ask *ask, const Farheap__V1__Handle *handle,
                  ProtobufCBinaryData name, struct fh_ref *out)
{
    struct fh_object_view view;
    int rc;

    if (name.len == 0)
        return fh_ask_ref(ask, handle, out);
    if ((rc = fh_ask_name(ask, name)) != 0 ||
        (rc = fh_zone_lookup(ask->ops->zone, ask->session->tenant, name.data, name.len, &view)) !=
            0)
        return rc;
    *out = view.ref;
    return 0;
}

int fh_ask_cond(const Farheap__V1__Condition *condition, bool of_name, struct fh_cond *out)
{
    *out = (struct fh_cond){false, 0};
    if (!condition)
        return 0;
    if (condition->if_absent && (!of_name || condition->if_version != 0))
        return -EINVAL;
    out->if_absent = condition->if_absent;
    out->if_version = condition->if_version;
    return 0;
}

/* What holds for all requests: introduced, not draining, a body only where it means something. */
static int ask_check(const struct fh_ask *ask, const struct op_row *row, uint32_t body_size)
{
    if (!ask->session->known && row->code != FH_OP_HELLO)
        return -ENOKEY;
    if (ask->ops->draining && row->code != FH_OP_HELLO && row->code != FH_OP_PING &&
        row->code != FH_OP_INFO)
        return -ESHUTDOWN;
    if (body_size > 0 && !row->takes_body)
        return -EINVAL;
    return 0;
}

/* --- whole requests --- */

enum fh_next fh_ops_request(struct fh_ops *ops, struct fh_session *session, const uint8_t *head,
                            uint32_t head_size, const uint8_t *body, uint32_t body_size)
{
    struct fh_ask ask = {.ops = ops, .session = session, .body = body, .body_size = body_size};
    fh_request_head *message;

    if (fh_head_unpack_request(&ops->arena, head, head_size, &message) != 0)
        return FH_NEXT_BAD_HEAD;
    const struct op_row *row = op_row_find((unsigned)message->op_case);
    if (!row)
        return FH_NEXT_BAD_HEAD;
    ask.head = message;
    ask.code = row->code;
    bool ordered = session->known != (row->code == FH_OP_HELLO);
    int rc = ask_check(&ask, row, body_size);
    if (rc == 0)
        rc = row->begin(&ask);
    if (session->wants_zone != FH_ZONE_ANY)
        return FH_NEXT_MOVE;
    if (rc != 0 && rc != -EINPROGRESS) {
        struct fh_reply_to to = fh_reply_to_ask(&ask);
        fh_reply_plain(&to, rc);
    }
    if (session->out.error == -ENOMEM)
        return FH_NEXT_NO_MEMORY;
    return ordered ? FH_NEXT_REQUEST : FH_NEXT_BAD_ORDER;
}

/* --- bodies that come in pieces --- */

enum fh_next fh_ops_begin(struct fh_ops *ops, struct fh_session *session, const uint8_t *head,
                          uint32_t head_size, uint32_t body_size)
{
    struct fh_ask ask = {.ops = ops, .session = session};
    fh_request_head *message;
    struct fh_op *op = NULL;

    if (fh_head_unpack_request(&ops->arena, head, head_size, &message) != 0)
        return FH_NEXT_BAD_HEAD;
    const struct op_row *row = op_row_find((unsigned)message->op_case);
    if (!row)
        return FH_NEXT_BAD_HEAD;
    ask.head = message;
    ask.code = row->code;
    int rc = ask_check(&ask, row, body_size);
    if (rc == 0)
        rc = row->stage ? row->stage(&ask, body_size, &op) : -EINVAL;
    if (rc != 0) {
        op = fh_op_create(&ask, FH_OP_KIND_REFUSED);
        if (!op)
            return FH_NEXT_NO_MEMORY;
        op->rc = rc;
    }
    op->body_left = body_size;
    session->incoming = op;
    return FH_NEXT_BODY;
}

/* --- deadlines --- */

static void op_expire(struct fh_op *op)
{
    struct fh_reply_to to = fh_reply_to_op(op);

    if (op->session->incoming == op) {
        fh_op_refuse(op, -ETIMEDOUT); /* answered behind its body */
        fh_list_remove(&op->timed);
        op->session->wake(op->session);
        return;
    }
    fh_reply_plain(&to, -ETIMEDOUT);
    op->session->wake(op->session);
    fh_op_destroy(op);
}

void fh_ops_expire(struct fh_ops *ops)
{
    struct fh_list *node = ops->timed.next;

    while (node != &ops->timed) {
        struct fh_op *op = FH_CONTAINER_OF(node, struct fh_op, timed);
        node = node->next;
        if (op->deadline_ms <= ops->now_ms)
            op_expire(op);
    }
}
