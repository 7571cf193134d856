/*
 * Theory.  Operations on objects by name. A name belongs to the zone that rendezvous hashing gives
 * it; a request for another zone's name is answered WRONG_ZONE and never looked up here.
 *
 * List packs entries straight into a page-sized buffer on the stack and stops where the next one
 * does not fit; the cursor leads on from there.
 */
#include <errno.h>
#include <string.h>

#include "ops_ask.h"
#include "proto/frame.h"
#include "proto/place.h"

enum { LIST_BODY_MAX = 24 * 1024 };

int fh_ask_name(const struct fh_ask *ask, ProtobufCBinaryData name)
{
    if (name.len == 0 || name.len > FH_NAME_MAX)
        return -EINVAL;
    if (fh_place_name(name.data, name.len, ask->ops->zones) != ask->ops->zone_index)
        return -EXDEV;
    return 0;
}

/* --- put --- */

static void put_end(struct fh_op *op, int rc)
{
    struct fh_reply_to to = fh_reply_to_op(op);

    if (rc == 0)
        fh_reply_object(&to, &op->u.put.object, 0);
    else
        fh_reply_plain(&to, rc);
    fh_op_destroy(op);
}

static void put_done(struct fh_call *call)
{
    struct fh_op *op = FH_CONTAINER_OF(call, struct fh_op, u.put.call);

    op->parked = false;
    op->session->wake(op->session);
    put_end(op, call->rc);
}

/* Name and body move out of the input, since the put has to wait. */
static int put_keep(struct fh_op *op)
{
    struct fh_put *put = &op->u.put;
    int rc = fh_op_keep(op, put->name, put->name_size, put->body, put->body_size);

    if (rc != 0) {
        fh_op_destroy(op);
        return rc;
    }
    put->name = op->copy;
    put->body = op->copy + put->name_size;
    return -EINPROGRESS;
}

static int put_body(struct fh_ask *ask, const struct fh_cond *cond)
{
    const Farheap__V1__Put *m = ask->head->put;
    struct fh_op *op = fh_op_create(ask, FH_OP_KIND_PUT);

    if (!op)
        return -ENOMEM;
    struct fh_put *put = &op->u.put;
    memset(put, 0, offsetof(struct fh_put, hold));
    put->call = (struct fh_call){.done = put_done};
    put->tenant = ask->session->tenant;
    put->name = m->name.data;
    put->name_size = m->name.len;
    put->body = ask->body;
    put->body_size = ask->body_size;
    put->ttl_ms = m->ttl_ms;
    put->durable = m->durable;
    put->cond = *cond;
    int rc = fh_zone_put(ask->ops->zone, put);
    op->parked = rc == -EINPROGRESS;
    if (op->parked)
        return put_keep(op);
    put_end(op, rc);
    return 0;
}

static int put_handle(struct fh_ask *ask, const struct fh_cond *cond)
{
    const Farheap__V1__Put *m = ask->head->put;
    struct fh_reply_to to = fh_reply_to_ask(ask);
    struct fh_object_view view;
    struct fh_ref ref = {.key = 0};
    int rc = fh_ask_ref(ask, m->handle, &ref);

    if (rc == 0 && ask->body_size > 0)
        rc = -EINVAL;
    const struct fh_change change = {.kind = FH_CHANGE_PUBLISH,
                                     .ref = ref,
                                     .name = m->name.data,
                                     .name_size = m->name.len,
                                     .ttl_ms = m->ttl_ms,
                                     .cond = *cond,
                                     .durable = m->durable};
    if (rc == 0 && m->durable)
        return fh_ops_change(ask, &change);
    if (rc == 0)
        rc = fh_zone_publish(ask->ops->zone, &ref, m->name.data, m->name.len, m->ttl_ms, cond,
                             &view);
    if (rc == -EAGAIN)
        return fh_ops_change(ask, &change);
    if (rc == 0)
        fh_reply_object(&to, &view, 0);
    return rc;
}

int fh_ops_put(struct fh_ask *ask)
{
    const Farheap__V1__Put *m = ask->head->put;
    struct fh_cond cond;
    int rc;

    if ((rc = fh_ask_name(ask, m->name)) != 0 || (rc = fh_ask_cond(m->condition, true, &cond)) != 0)
        return rc;
    return m->handle ? put_handle(ask, &cond) : put_body(ask, &cond);
}

/* --- the others --- */

static int ask_lookup(struct fh_ask *ask, ProtobufCBinaryData name, struct fh_object_view *view)
{
    int rc = fh_ask_name(ask, name);

    if (rc != 0)
        return rc;
    return fh_zone_lookup(ask->ops->zone, ask->session->tenant, name.data, name.len, view);
}

int fh_ops_get(struct fh_ask *ask)
{
    const Farheap__V1__Get *m = ask->head->get;
    uint64_t body_max = ask->ops->config->max_body;
    struct fh_cond cond;
    int rc;

    if ((rc = fh_ask_cond(m->condition, false, &cond)) != 0 ||
        (rc = fh_ask_name(ask, m->name)) != 0)
        return rc;
    return fh_ops_open_by_name(
        ask,
        &(struct fh_read_name){.name = m->name.data,
                               .size = m->name.len,
                               .tenant = ask->session->tenant,
                               .stream = ask->session->stream,
                               .if_version = cond.if_version,
                               .offset = m->offset,
                               .limit = m->size != 0 && m->size < body_max ? m->size : body_max});
}

int fh_ops_lookup(struct fh_ask *ask)
{
    struct fh_reply_to to = fh_reply_to_ask(ask);
    struct fh_object_view view;
    int rc = ask_lookup(ask, ask->head->lookup->name, &view);

    if (rc == 0)
        fh_reply_object(&to, &view, 0);
    return rc;
}

int fh_ops_delete(struct fh_ask *ask)
{
    const Farheap__V1__Delete *m = ask->head->delete_;
    struct fh_reply_to to = fh_reply_to_ask(ask);
    struct fh_cond cond;
    int rc;

    if ((rc = fh_ask_name(ask, m->name)) != 0 ||
        (rc = fh_ask_cond(m->condition, false, &cond)) != 0)
        return rc;
    rc = fh_zone_delete(ask->ops->zone, ask->session->tenant, m->name.data, m->name.len, &cond);
    if (rc == -EAGAIN)
        return fh_ops_change(ask, &(struct fh_change){.kind = FH_CHANGE_DELETE,
                                                      .name = m->name.data,
                                                      .name_size = m->name.len,
                                                      .cond = cond});
    if (rc == 0)
        fh_reply_plain(&to, 0);
    return rc;
}

struct list_walk {
    uint32_t zone;
    uint32_t limit, entries;
    size_t size;
    uint8_t body[LIST_BODY_MAX];
};

static bool list_visit(void *ctx, const void *name, size_t name_size,
                       const struct fh_object_view *view)
{
    struct list_walk *walk = ctx;
    fh_list_entry entry = FARHEAP__V1__LIST_ENTRY__INIT;
    Farheap__V1__Handle handle = FARHEAP__V1__HANDLE__INIT;

    if (walk->limit != 0 && walk->entries == walk->limit)
        return false;
    handle.address = ((uint64_t)walk->zone << 48) | view->ref.addr.v;
    handle.key = view->ref.key;
    entry.name.data = (uint8_t *)(uintptr_t)name;
    entry.name.len = name_size;
    entry.handle = &handle;
    entry.size = view->size;
    entry.version = view->version;
    entry.ttl_ms = view->ttl_ms;
    entry.durable = view->durable;
    size_t size =
        fh_head_pack_list_entry(&entry, walk->body + walk->size, sizeof walk->body - walk->size);
    walk->size += size;
    walk->entries += size > 0;
    return size > 0;
}

int fh_ops_list(struct fh_ask *ask)
{
    const Farheap__V1__List *m = ask->head->list;
    struct fh_reply_to to = fh_reply_to_ask(ask);
    struct list_walk walk;
    fh_response_head response = FARHEAP__V1__RESPONSE__INIT;
    Farheap__V1__ListResult result = FARHEAP__V1__LIST_RESULT__INIT;

    if (m->prefix.len > FH_NAME_MAX)
        return -EINVAL;
    walk.zone = ask->ops->zone_index;
    walk.limit = m->limit;
    walk.entries = 0;
    walk.size = 0;
    result.cursor = m->cursor;
    fh_zone_list(ask->ops->zone, ask->session->tenant, m->prefix.data, m->prefix.len,
                 &result.cursor, list_visit, &walk);
    result.entries = walk.entries;
    response.result_case = FARHEAP__V1__RESPONSE__RESULT_LIST;
    response.list = &result;
    fh_reply_bytes(&to, &response, walk.body, (uint32_t)walk.size);
    return 0;
}
