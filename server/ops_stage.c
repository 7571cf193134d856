/*
 * Theory.  The body of a large write or put arrives in the frames of a stage. When the operation is
 * refused before its body has come, the body is still taken from the wire, into a sink, and the
 * refusal answered behind it: a client that pipelines stays in step.
 *
 *   begin (ops.c) --> STAGE --window--> body pieces --> commit --> reply
 *                       |                                ^
 *                       `--> REFUSED --sink--> body pieces --> reply
 */
#include <errno.h>

#include "ops_ask.h"

void fh_op_refuse(struct fh_op *op, int rc)
{
    fh_op_cancel(op);
    op->kind = FH_OP_KIND_REFUSED;
    op->rc = rc;
}

int fh_ops_body_room(struct fh_op *op, const struct iovec **iov, uint32_t *count)
{
    if (op->parked)
        return -EINPROGRESS;
    if (op->kind == FH_OP_KIND_STAGE) {
        int rc = op->on_offer ? 0 : fh_stage_window(&op->u.stage);
        op->parked = rc == -EINPROGRESS;
        if (op->parked)
            return rc;
        op->on_offer = rc == 0;
        if (rc != 0)
            fh_op_refuse(op, rc);
    }
    if (op->kind == FH_OP_KIND_STAGE) {
        *iov = op->u.stage.iov;
        *count = op->u.stage.iov_count;
        return 0;
    }
    op->ops->sink.iov_len =
        op->body_left < FH_OPS_SINK_SIZE ? (size_t)op->body_left : FH_OPS_SINK_SIZE;
    *iov = &op->ops->sink;
    *count = 1;
    return 0;
}

static void stage_commit_done(struct fh_op *op, int rc)
{
    struct fh_reply_to to = fh_reply_to_op(op);

    if (rc == 0) {
        fh_reply_object(&to, &op->u.stage.object, 0);
        fh_op_give(op); /* a commit ends the stage */
    } else {
        fh_reply_failed(&to, rc, &op->target, op->offset, op->u.stage.size);
        fh_op_destroy(op);
    }
}

/* All of the body is there. */
static void stage_commit(struct fh_op *op)
{
    int rc;

    op->session->incoming = NULL;
    if (op->code == FH_OP_PUT)
        rc = fh_stage_put(&op->u.stage, op->copy, op->name_size, op->ttl_ms, &op->cond);
    else
        rc = fh_stage_write(&op->u.stage, &op->target, op->offset, &op->cond);
    op->parked = rc == -EINPROGRESS;
    if (!op->parked)
        stage_commit_done(op, rc);
}

void fh_ops_body_got(struct fh_op *op, size_t bytes)
{
    if (op->kind == FH_OP_KIND_STAGE) {
        fh_stage_advance(&op->u.stage, bytes);
        op->on_offer = false;
    }
    op->body_left -= bytes;
    if (op->body_left > 0)
        return;
    if (op->kind == FH_OP_KIND_STAGE) {
        stage_commit(op);
        return;
    }
    struct fh_reply_to to = fh_reply_to_op(op);
    fh_reply_plain(&to, op->rc);
    fh_op_destroy(op);
}

/* A parked stage goes on: its window is there, or its commit happened. */
static void stage_done(struct fh_call *call)
{
    struct fh_op *op = FH_CONTAINER_OF(call, struct fh_op, u.stage.call);

    op->parked = false;
    op->session->wake(op->session);
    if (op->session->incoming != op) {
        stage_commit_done(op, call->rc);
        return;
    }
    op->on_offer = call->rc == 0;
    if (call->rc != 0)
        fh_op_refuse(op, call->rc);
}

static int ops_stage(struct fh_ask *ask, uint64_t size, uint32_t in_page, bool durable,
                     struct fh_op **out)
{
    struct fh_op *op = fh_op_create(ask, FH_OP_KIND_STAGE);

    if (!op)
        return -ENOMEM;
    op->u.stage.call = (struct fh_call){.done = stage_done};
    int rc = durable
                 ? fh_stage_open_durable(ask->ops->zone, &op->u.stage, ask->session->tenant, size)
                 : fh_stage_open(ask->ops->zone, &op->u.stage, ask->session->tenant, size, in_page);
    if (rc != 0) {
        fh_op_give(op);
        return rc;
    }
    *out = op;
    return 0;
}

int fh_ops_stage_write(struct fh_ask *ask, uint64_t size, struct fh_op **out)
{
    const Farheap__V1__Write *m = ask->head->write;
    struct fh_object_view view;
    struct fh_cond cond;
    struct fh_ref ref;
    int rc;

    if ((rc = fh_ask_ref(ask, m->handle, &ref)) != 0 ||
        (rc = fh_ask_cond(m->condition, false, &cond)) != 0 ||
        (rc = fh_zone_find(ask->ops->zone, &ref, &view)) != 0)
        return rc;
    if (m->offset > view.size || size > view.size - m->offset)
        return -EINVAL;
    rc = ops_stage(ask, size, (uint32_t)(m->offset & (FH_PAGE_SIZE - 1)), false, out);
    if (rc != 0)
        return rc;
    (*out)->target = ref;
    (*out)->offset = m->offset;
    (*out)->cond = cond;
    return 0;
}

int fh_ops_stage_put(struct fh_ask *ask, uint64_t size, struct fh_op **out)
{
    const Farheap__V1__Put *m = ask->head->put;
    struct fh_cond cond;
    int rc;

    if (m->handle)
        return -EINVAL;
    if ((rc = fh_ask_name(ask, m->name)) != 0 ||
        (rc = fh_ask_cond(m->condition, true, &cond)) != 0 ||
        (rc = ops_stage(ask, size, 0, m->durable, out)) != 0)
        return rc;
    (*out)->name_size = m->name.len;
    (*out)->ttl_ms = m->ttl_ms;
    (*out)->cond = cond;
    rc = fh_op_keep(*out, m->name.data, m->name.len, NULL, 0);
    if (rc != 0)
        fh_op_destroy(*out);
    return rc;
}

/* Of an operation whose bodies are short. */
int fh_ops_stage_never(struct fh_ask *ask, uint64_t size, struct fh_op **out)
{
    (void)ask;
    (void)size;
    (void)out;
    return -EFBIG;
}
