/*
 * Theory.  Advice about an object or a range of it. All but a pin is answered at once, and followed by
 * the engine when it has time; a pin is answered when its pages are in memory.
 */
#include <errno.h>

#include "ops_ask.h"

/* The advice of a number of the wire; false: there is none. */
static bool advice_of_wire(Farheap__V1__Advice wire, enum fh_advice *out)
{
    switch (wire) {
    case FARHEAP__V1__ADVICE__ADVICE_NORMAL:
        *out = FH_ADVICE_NORMAL;
        return true;
    case FARHEAP__V1__ADVICE__ADVICE_SEQUENTIAL:
        *out = FH_ADVICE_SEQUENTIAL;
        return true;
    case FARHEAP__V1__ADVICE__ADVICE_RANDOM:
        *out = FH_ADVICE_RANDOM;
        return true;
    case FARHEAP__V1__ADVICE__ADVICE_WILLNEED:
        *out = FH_ADVICE_WILLNEED;
        return true;
    case FARHEAP__V1__ADVICE__ADVICE_COLD:
        *out = FH_ADVICE_COLD;
        return true;
    case FARHEAP__V1__ADVICE__ADVICE_DONTNEED:
        *out = FH_ADVICE_DONTNEED;
        return true;
    case FARHEAP__V1__ADVICE__ADVICE_PIN:
        *out = FH_ADVICE_PIN;
        return true;
    case FARHEAP__V1__ADVICE__ADVICE_UNPIN:
        *out = FH_ADVICE_UNPIN;
        return true;
    default:
        return false;
    }
}

static void advise_end(struct fh_op *op, int rc)
{
    struct fh_reply_to to = fh_reply_to_op(op);
    const struct fh_advise *a = &op->u.advise;

    if (rc == 0)
        fh_reply_object(&to, &a->object, 0);
    else
        fh_reply_failed(&to, rc, &a->ref, a->offset, a->size);
    fh_op_destroy(op);
}

static void advise_done(struct fh_call *call)
{
    struct fh_op *op = FH_CONTAINER_OF(call, struct fh_op, u.advise.call);

    op->parked = false;
    op->session->wake(op->session);
    advise_end(op, call->rc);
}

int fh_ops_advise(struct fh_ask *ask)
{
    const Farheap__V1__Advise *m = ask->head->advise;
    struct fh_object_view view;
    enum fh_advice kind;
    struct fh_ref ref;
    int rc;

    if (!advice_of_wire(m->advice, &kind))
        return -EINVAL;
    if ((rc = fh_ask_either(ask, m->handle, m->name, &ref)) != 0 ||
        (rc = fh_zone_find(ask->ops->zone, &ref, &view)) != 0)
        return rc;
    if (m->offset > view.size)
        return -EINVAL;
    struct fh_op *op = fh_op_create(ask, FH_OP_KIND_ADVISE);
    if (!op)
        return -ENOMEM;
    struct fh_advise *a = &op->u.advise;
    a->call = (struct fh_call){.done = advise_done};
    a->kind = kind;
    a->ref = ref;
    a->offset = m->offset;
    a->size = m->size != 0 ? m->size : view.size - m->offset;
    rc = fh_zone_advise(ask->ops->zone, a);
    op->parked = rc == -EINPROGRESS;
    if (!op->parked)
        advise_end(op, rc);
    return 0;
}
