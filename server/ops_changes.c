/*
 * Theory.  A free, delete or publish that concerns a durable object has to be committed to the disk
 * before it is answered. The engine says so with -EAGAIN when it is asked the short way, before
 * anything happened; then it is asked again with a request that can wait.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "ops_ask.h"

static void change_end(struct fh_op *op, int rc)
{
    struct fh_reply_to to = fh_reply_to_op(op);

    if (rc == 0 && op->u.change.kind == FH_CHANGE_PUBLISH)
        fh_reply_object(&to, &op->u.change.object, 0);
    else
        fh_reply_plain(&to, rc);
    fh_op_destroy(op);
}

static void change_done(struct fh_call *call)
{
    struct fh_op *op = FH_CONTAINER_OF(call, struct fh_op, u.change.call);

    op->parked = false;
    op->session->wake(op->session);
    change_end(op, call->rc);
}

int fh_ops_change(struct fh_ask *ask, const struct fh_change *like)
{
    struct fh_op *op = fh_op_create(ask, FH_OP_KIND_CHANGE);

    if (!op)
        return -ENOMEM;
    struct fh_change *c = &op->u.change;
    memset(c, 0, offsetof(struct fh_change, hold));
    c->call = (struct fh_call){.done = change_done};
    c->kind = like->kind;
    c->ref = like->ref;
    c->ref.tenant = ask->session->tenant;
    c->ttl_ms = like->ttl_ms;
    c->cond = like->cond;
    c->durable = like->durable;
    if (fh_op_keep(op, like->name, like->name_size, NULL, 0) != 0) {
        fh_op_destroy(op);
        return -ENOMEM;
    }
    c->name = op->copy;
    c->name_size = like->name_size;
    int rc = fh_zone_change(ask->ops->zone, c);
    op->parked = rc == -EINPROGRESS;
    if (!op->parked)
        change_end(op, rc);
    return op->parked ? rc : 0;
}
