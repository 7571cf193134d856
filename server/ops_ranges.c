/*
 * Theory.  Several ranges of one object in one request. They come in the body, since a head has no
 * repeated fields, and move into the request in progress at once, so it may wait without the input;
 * only the bytes of a write are copied then. The bytes of a read are put together in the sink: that
 * is done in the turn in which they are answered, and nothing else uses it in between.
 */
#include <errno.h>

#include "ops_ask.h"
#include "proto/frame.h"

_Static_assert((int)FH_OPS_SINK_SIZE >= (int)FH_RANGES_BYTES_MAX, "an answer fits into the sink");
_Static_assert((int)FH_WRITE_MAX >= (int)FH_RANGES_BYTES_MAX, "a body comes whole");

static uint64_t ranges_bytes(const struct fh_ranges *r)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < r->count; i++)
        bytes += r->items[i].size;
    return bytes;
}

/* From the first byte to the last that is touched: where to look for what is lost. */
static void ranges_failed(struct fh_op *op, int rc)
{
    const struct fh_ranges *r = &op->u.ranges;
    struct fh_reply_to to = fh_reply_to_op(op);
    uint64_t first = UINT64_MAX, end = 0;

    for (uint32_t i = 0; i < r->count; i++) {
        uint64_t from = r->items[i].offset, past = from + r->items[i].size;
        first = from < first ? from : first;
        end = past > end ? past : end;
    }
    fh_reply_failed(&to, rc, &r->ref, first, end > first ? end - first : 0);
}

static void ranges_end(struct fh_op *op, int rc)
{
    const struct fh_ranges *r = &op->u.ranges;
    struct fh_reply_to to = fh_reply_to_op(op);
    uint32_t size = r->writes ? 0 : (uint32_t)ranges_bytes(r);

    if (rc != 0) {
        ranges_failed(op, rc);
    } else {
        fh_reply_object(&to, &r->object, size);
        if (size > 0 && fh_outq_add(&op->session->out, r->into, size) != 0)
            op->session->out.error = -ENOMEM;
    }
    fh_op_destroy(op);
}

static void ranges_done(struct fh_call *call)
{
    struct fh_op *op = FH_CONTAINER_OF(call, struct fh_op, u.ranges.call);

    op->parked = false;
    op->session->wake(op->session);
    ranges_end(op, call->rc);
}

/* The ranges at the start of the body. Each is bounded before it is added. */
static int ranges_take(const struct fh_ask *ask, struct fh_ranges *r, uint64_t count)
{
    uint64_t bytes = 0;

    if (count == 0)
        return -EINVAL;
    if (count > FH_RANGES_MAX)
        return -EFBIG;
    if (ask->body_size < count * FH_RANGE_SIZE)
        return -EINVAL;
    r->count = (uint32_t)count;
    for (uint32_t i = 0; i < r->count; i++) {
        struct fh_wire_range range = fh_wire_range_load(ask->body + (size_t)i * FH_RANGE_SIZE);
        if (range.size > FH_RANGES_BYTES_MAX || (bytes += range.size) > FH_RANGES_BYTES_MAX)
            return -EFBIG;
        r->items[i] = (struct fh_range){.offset = range.offset, .size = range.size};
    }
    return 0;
}

static int ranges_run(struct fh_op *op)
{
    struct fh_ranges *r = &op->u.ranges;
    int rc = fh_zone_ranges(op->ops->zone, r);

    op->parked = rc == -EINPROGRESS;
    if (op->parked && r->writes) {
        if (fh_op_keep(op, NULL, 0, r->body, ranges_bytes(r)) != 0) {
            fh_op_destroy(op);
            return -ENOMEM;
        }
        r->body = op->copy;
    }
    if (!op->parked)
        ranges_end(op, rc);
    return op->parked ? rc : 0;
}

static int ranges_begin(struct fh_ask *ask, bool writes, const Farheap__V1__Handle *handle,
                        const struct fh_cond *cond, uint64_t count)
{
    struct fh_ref ref;
    int rc = fh_ask_ref(ask, handle, &ref);

    if (rc != 0)
        return rc;
    struct fh_op *op = fh_op_create(ask, FH_OP_KIND_RANGES);
    if (!op)
        return -ENOMEM;
    struct fh_ranges *r = &op->u.ranges;
    r->call = (struct fh_call){.done = ranges_done};
    r->writes = writes;
    r->ref = ref;
    r->cond = *cond;
    r->body = ask->body + count * FH_RANGE_SIZE;
    r->into = ask->ops->sink.iov_base;
    if ((rc = ranges_take(ask, r, count)) == 0 &&
        ask->body_size != count * FH_RANGE_SIZE + (writes ? ranges_bytes(r) : 0))
        rc = -EINVAL;
    if (rc != 0) {
        fh_op_destroy(op);
        return rc;
    }
    return ranges_run(op);
}

int fh_ops_read_ranges(struct fh_ask *ask)
{
    const struct fh_cond any = {.if_version = 0};

    return ranges_begin(ask, false, ask->head->read_ranges->handle, &any,
                        ask->body_size / FH_RANGE_SIZE);
}

int fh_ops_write_ranges(struct fh_ask *ask)
{
    const Farheap__V1__WriteRanges *m = ask->head->write_ranges;
    struct fh_cond cond;
    int rc = fh_ask_cond(m->condition, false, &cond);

    return rc != 0 ? rc : ranges_begin(ask, true, m->handle, &cond, m->ranges);
}
