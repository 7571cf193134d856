/*
 * Theory.  Operations on objects by handle. Reads come in three sizes. What fits into copy-out-max
 * is copied into the reply; when it is all in memory, without making a request in progress of it. What fits into one window is sent from its frames at once, and the part
 * the socket does not take is copied. What is longer is sent window by window from a view, which
 * may wait for a slow peer without holding a frame.
 *
 * Invariants
 *   [I1] a reader that is not a view has given its frames back when the turn ends
 */
#include <errno.h>
#include <string.h>

#include "ops_ask.h"

/* --- readers --- */

/* The reader's head, with the size of the whole body. */
static void reader_reply_head(struct fh_op *op)
{
    struct fh_reply_to to = fh_reply_to_op(op);
    fh_response_head response = FARHEAP__V1__RESPONSE__INIT;

    if (op->tells_object)
        fh_reply_object(&to, &op->u.reader.object, (uint32_t)op->u.reader.left);
    else
        fh_reply_head(&to, &response, 0, (uint32_t)op->u.reader.left);
}

static struct fh_op *op_of_source(struct fh_out_source *source)
{
    return FH_CONTAINER_OF(source, struct fh_op, source);
}

/* The rest of the window on offer, or the next one. */
static int reader_offer(struct fh_out_source *source, const struct iovec **iov, uint32_t *count)
{
    struct fh_op *op = op_of_source(source);
    struct fh_reader *reader = &op->u.reader;

    if (op->parked)
        return -EINPROGRESS;
    if (op->rc != 0)
        return op->rc;
    if (!op->on_offer && reader->left > 0) {
        int rc = fh_reader_next(reader);
        op->parked = rc == -EINPROGRESS;
        op->rc = op->parked ? 0 : rc;
        if (rc != 0)
            return rc;
        op->on_offer = true;
        op->window_taken = 0;
    }
    *iov = reader->iov;
    *count = op->on_offer ? reader->iov_count : 0;
    return 0;
}

/* Drops the first `bytes` of the window from its iovecs. */
static void reader_skip(struct fh_reader *reader, size_t bytes)
{
    uint32_t i = 0;

    while (i < reader->iov_count && bytes >= reader->iov[i].iov_len)
        bytes -= reader->iov[i++].iov_len;
    reader->iov_count -= i;
    memmove(reader->iov, reader->iov + i, reader->iov_count * sizeof reader->iov[0]);
    if (reader->iov_count > 0) {
        reader->iov[0].iov_base = (char *)reader->iov[0].iov_base + bytes;
        reader->iov[0].iov_len -= bytes;
    }
}

/* A view gives its window back whatever was taken of it; one that is no view only when it is whole.
 */
static void reader_took(struct fh_out_source *source, size_t bytes)
{
    struct fh_op *op = op_of_source(source);
    struct fh_reader *reader = &op->u.reader;

    if (!op->on_offer)
        return; /* it was at its end */
    op->owed -= bytes;
    op->session->owed_bytes -= bytes;
    op->window_taken += bytes;
    if (reader->is_view || op->window_taken == reader->window_bytes) {
        fh_reader_release(reader, op->window_taken);
        op->on_offer = false;
    } else {
        reader_skip(reader, bytes);
    }
}

static void reader_close(struct fh_out_source *source)
{
    fh_op_destroy(op_of_source(source));
}

static void op_owe(struct fh_op *op, uint64_t bytes)
{
    op->session->owed_bytes += bytes - op->owed;
    op->owed = bytes;
}

/* Copies a small window into the reply and ends the reader. */
static void reader_copy_out(struct fh_op *op)
{
    struct fh_reader *reader = &op->u.reader;
    struct fh_outq *out = &op->session->out;

    reader_reply_head(op);
    for (uint32_t i = 0; i < reader->iov_count; i++)
        if (fh_outq_add(out, reader->iov[i].iov_base, reader->iov[i].iov_len) != 0)
            out->error = -ENOMEM;
    fh_op_destroy(op);
}

void fh_op_send_reader(struct fh_op *op)
{
    struct fh_reader *reader = &op->u.reader;
    struct fh_session *session = op->session;
    bool is_view = reader->is_view;
    uint64_t loan = is_view ? 0 : reader->left; /* to send it at once spares a copy */

    if (!is_view && reader->left <= op->ops->config->copy_out_max) {
        reader_copy_out(op);
        return;
    }
    reader_reply_head(op);
    op_owe(op, reader->left);
    fh_list_remove(&op->timed); /* its answer has begun */
    op->on_offer = true;
    op->window_taken = 0;
    op->source =
        (struct fh_out_source){.offer = reader_offer, .took = reader_took, .close = reader_close};
    fh_outq_add_source(&session->out, &op->source);
    session->out.turn_left += loan;
    enum fh_out_state state = fh_outq_flush(&session->out);
    session->out.turn_left -= fh_min_u64(loan, session->out.turn_left);
    if (state == FH_OUT_EMPTY || state == FH_OUT_BROKEN)
        return;
    /* It is the last segment, so it is still there: else the queue would be empty. */
    if (!is_view && fh_outq_copy_source(&session->out, &op->source) != 0)
        session->out.error = -ENOMEM;
    else if (is_view && op->on_offer) {
        fh_reader_release(reader, 0);
        op->on_offer = false;
    }
}

static void reader_refuse(struct fh_op *op, int rc)
{
    const struct fh_reader *r = &op->u.reader;
    struct fh_reply_to to = fh_reply_to_op(op);

    fh_reply_failed(&to, rc, &r->ref, r->offset, r->left);
    fh_op_destroy(op);
}

static void reader_done(struct fh_call *call)
{
    struct fh_op *op = FH_CONTAINER_OF(call, struct fh_op, u.reader.call);
    struct fh_session *session = op->session;

    op->parked = false;
    session->wake(session);
    if (op->source.offer) { /* a further window of one that is being sent */
        op->on_offer = call->rc == 0;
        op->window_taken = 0;
        op->rc = call->rc;
        return;
    }
    if (call->rc == 0) {
        fh_op_send_reader(op);
        return;
    }
    reader_refuse(op, call->rc);
}

void fh_reply_glance(const struct fh_ask *ask, const struct fh_glance *glance, bool tells_object)
{
    struct fh_reply_to to = fh_reply_to_ask(ask);
    struct fh_outq *out = &ask->session->out;
    fh_response_head response = FARHEAP__V1__RESPONSE__INIT;

    if (tells_object)
        fh_reply_object(&to, &glance->object, (uint32_t)glance->bytes);
    else
        fh_reply_head(&to, &response, 0, (uint32_t)glance->bytes);
    for (uint32_t i = 0; i < glance->iov_count; i++)
        if (fh_outq_add(out, glance->iov[i].iov_base, glance->iov[i].iov_len) != 0)
            out->error = -ENOMEM;
}

/* What an attempt to open came to: an answer, a wait, or a refusal. */
static int reader_opened(struct fh_op *op, int rc)
{
    if (rc == 0) {
        fh_op_send_reader(op);
        return 0;
    }
    op->parked = rc == -EINPROGRESS;
    if (op->parked) {
        op_owe(op, op->u.reader.left);
        return rc;
    }
    op->kind = FH_OP_KIND_REFUSED; /* a reader that did not open needs no close */
    reader_refuse(op, rc);
    return 0;
}

static struct fh_op *reader_create(struct fh_ask *ask)
{
    struct fh_op *op = fh_op_create(ask, FH_OP_KIND_READER);

    if (op)
        op->u.reader.call = (struct fh_call){.done = reader_done};
    return op;
}

/* A name that the reader follows while it waits must outlive the input. */
static int reader_keep_name(struct fh_op *op)
{
    struct fh_read_name *by = &op->u.reader.by;
    int rc = fh_op_keep(op, by->name, by->size, NULL, 0);

    if (rc == 0)
        by->name = op->copy;
    else
        fh_op_destroy(op);
    return rc;
}

int fh_ops_open_by_name(struct fh_ask *ask, const struct fh_read_name *by)
{
    struct fh_glance glance;
    int rc = fh_zone_glance_name(ask->ops->zone, by, ask->ops->config->copy_out_max, &glance);

    if (rc == 0)
        fh_reply_glance(ask, &glance, true);
    if (rc != -EAGAIN)
        return rc;
    struct fh_op *op = reader_create(ask);
    if (!op)
        return -ENOMEM;
    op->tells_object = true;
    rc = reader_opened(op, fh_reader_open_name(ask->ops->zone, &op->u.reader, by));
    if (rc == -EINPROGRESS && reader_keep_name(op) != 0)
        return -ENOMEM;
    return rc;
}

static int open_by_handle(struct fh_ask *ask, const struct fh_ref *ref, uint64_t offset,
                          uint64_t size)
{
    struct fh_op *op = reader_create(ask);

    if (!op)
        return -ENOMEM;
    return reader_opened(op, fh_reader_open(ask->ops->zone, &op->u.reader, ref, offset, size));
}

int fh_ops_read(struct fh_ask *ask)
{
    const Farheap__V1__Read *m = ask->head->read;
    struct fh_glance glance;
    struct fh_ref ref;
    int rc = fh_ask_ref(ask, m->handle, &ref);

    if (rc != 0)
        return rc;
    if (m->size > ask->ops->config->max_body)
        return -EFBIG;
    rc = fh_zone_glance(ask->ops->zone, &ref, m->offset, m->size, ask->ops->config->copy_out_max,
                        &glance);
    if (rc == 0)
        fh_reply_glance(ask, &glance, false);
    if (rc != -EAGAIN)
        return rc;
    return open_by_handle(ask, &ref, m->offset, m->size);
}

/* --- never parked --- */

int fh_ops_alloc(struct fh_ask *ask)
{
    const Farheap__V1__Alloc *m = ask->head->alloc;
    struct fh_reply_to to = fh_reply_to_ask(ask);
    struct fh_object_view view;
    int rc;

    if (m->cache.len > 0 && m->durable)
        rc = -EINVAL; /* a cache lies in memory */
    else if (m->durable)
        rc = fh_zone_alloc_durable(ask->ops->zone, ask->session->tenant, m->size, m->ttl_ms, &view);
    else if (m->cache.len > 0)
        rc = fh_zone_alloc_typed(ask->ops->zone, ask->session->tenant, m->cache.data, m->cache.len,
                                 m->size, m->ttl_ms, &view);
    else
        rc = fh_zone_alloc(ask->ops->zone, ask->session->tenant, m->size, m->ttl_ms, &view);
    if (rc == 0)
        fh_reply_object(&to, &view, 0);
    return rc;
}

int fh_ops_free(struct fh_ask *ask)
{
    struct fh_reply_to to = fh_reply_to_ask(ask);
    struct fh_ref ref;
    int rc = fh_ask_ref(ask, ask->head->free->handle, &ref);

    if (rc == 0)
        rc = fh_zone_free(ask->ops->zone, &ref);
    if (rc == -EAGAIN)
        return fh_ops_change(ask, &(struct fh_change){.kind = FH_CHANGE_FREE, .ref = ref});
    if (rc == 0)
        fh_reply_plain(&to, 0);
    return rc;
}

int fh_ops_stat(struct fh_ask *ask)
{
    const Farheap__V1__Stat *m = ask->head->stat;
    struct fh_reply_to to = fh_reply_to_ask(ask);
    struct fh_object_view view;
    struct fh_ref ref;
    int rc;

    if ((rc = fh_ask_either(ask, m->handle, m->name, &ref)) != 0)
        return rc;
    rc = fh_zone_stat(ask->ops->zone, &ref, &view);
    if (rc == 0)
        fh_reply_object(&to, &view, 0);
    return rc;
}

/* --- mutations --- */

static void mutation_reply(struct fh_op *op)
{
    const struct fh_mutation *m = &op->u.mutation;
    struct fh_reply_to to = fh_reply_to_op(op);
    fh_response_head response = FARHEAP__V1__RESPONSE__INIT;
    Farheap__V1__ValueResult value = FARHEAP__V1__VALUE_RESULT__INIT;

    if (m->kind != FH_MUTATE_SWAP && m->kind != FH_MUTATE_ADD) {
        fh_reply_object(&to, &m->object, 0);
        return;
    }
    value.before = m->before;
    value.swapped = m->swapped;
    value.version = m->object.version;
    response.result_case = FARHEAP__V1__RESPONSE__RESULT_VALUE;
    response.value = &value;
    fh_reply_head(&to, &response, 0, 0);
}

static void mutation_end(struct fh_op *op, int rc)
{
    const struct fh_mutation *m = &op->u.mutation;
    struct fh_reply_to to = fh_reply_to_op(op);
    bool of_all = m->kind == FH_MUTATE_RESIZE;
    bool of_word = m->kind == FH_MUTATE_SWAP || m->kind == FH_MUTATE_ADD;

    if (rc == 0)
        mutation_reply(op);
    else
        fh_reply_failed(&to, rc, &m->ref, of_all ? 0 : m->offset,
                        of_all    ? UINT64_MAX
                        : of_word ? sizeof(uint64_t)
                                  : m->size);
    fh_op_destroy(op);
}

static void mutation_done(struct fh_call *call)
{
    struct fh_op *op = FH_CONTAINER_OF(call, struct fh_op, u.mutation.call);

    op->parked = false;
    op->session->wake(op->session);
    mutation_end(op, call->rc);
}

/* What a mutation starts from, with everything of the engine's own at rest. */
static struct fh_mutation *mutation_of(struct fh_op *op, enum fh_mutation_kind kind,
                                       const struct fh_ref *ref)
{
    struct fh_mutation *m = &op->u.mutation;

    memset(m, 0, offsetof(struct fh_mutation, hold));
    m->call = (struct fh_call){.done = mutation_done};
    m->kind = kind;
    m->ref = *ref;
    return m;
}

/* Runs it; a body is copied when it has to wait. */
static int mutation_run(struct fh_op *op)
{
    struct fh_mutation *m = &op->u.mutation;
    int rc = fh_zone_mutate(op->ops->zone, m);

    op->parked = rc == -EINPROGRESS;
    if (op->parked && m->kind == FH_MUTATE_WRITE) {
        if (fh_op_keep(op, NULL, 0, m->body, m->size) != 0) {
            fh_op_destroy(op);
            return -ENOMEM;
        }
        m->body = op->copy;
    }
    if (!op->parked)
        mutation_end(op, rc);
    return op->parked ? rc : 0;
}

/* Checks what all mutations have in common and makes the op. */
static int mutation_begin(struct fh_ask *ask, enum fh_mutation_kind kind,
                          const Farheap__V1__Handle *handle,
                          const Farheap__V1__Condition *condition, struct fh_op **out)
{
    struct fh_cond cond;
    struct fh_ref ref;
    int rc;

    if ((rc = fh_ask_ref(ask, handle, &ref)) != 0 ||
        (rc = fh_ask_cond(condition, false, &cond)) != 0)
        return rc;
    *out = fh_op_create(ask, FH_OP_KIND_MUTATION);
    if (!*out)
        return -ENOMEM;
    mutation_of(*out, kind, &ref)->cond = cond;
    return 0;
}

int fh_ops_write(struct fh_ask *ask)
{
    const Farheap__V1__Write *m = ask->head->write;
    struct fh_op *op;
    int rc = mutation_begin(ask, FH_MUTATE_WRITE, m->handle, m->condition, &op);

    if (rc != 0)
        return rc;
    op->u.mutation.offset = m->offset;
    op->u.mutation.size = ask->body_size;
    op->u.mutation.body = ask->body;
    return mutation_run(op);
}

int fh_ops_zero(struct fh_ask *ask)
{
    const Farheap__V1__Zero *m = ask->head->zero;
    struct fh_op *op;
    int rc = mutation_begin(ask, FH_MUTATE_ZERO, m->handle, m->condition, &op);

    if (rc != 0)
        return rc;
    op->u.mutation.offset = m->offset;
    op->u.mutation.size = m->size;
    return mutation_run(op);
}

int fh_ops_resize(struct fh_ask *ask)
{
    const Farheap__V1__Resize *m = ask->head->resize;
    struct fh_op *op;
    int rc = mutation_begin(ask, FH_MUTATE_RESIZE, m->handle, m->condition, &op);

    if (rc != 0)
        return rc;
    op->u.mutation.size = m->size;
    return mutation_run(op);
}

int fh_ops_compare_swap(struct fh_ask *ask)
{
    const Farheap__V1__CompareSwap *m = ask->head->compare_swap;
    struct fh_op *op;
    int rc = mutation_begin(ask, FH_MUTATE_SWAP, m->handle, NULL, &op);

    if (rc != 0)
        return rc;
    op->u.mutation.offset = m->offset;
    op->u.mutation.expected = m->expected;
    op->u.mutation.operand = m->desired;
    return mutation_run(op);
}

int fh_ops_fetch_add(struct fh_ask *ask)
{
    const Farheap__V1__FetchAdd *m = ask->head->fetch_add;
    struct fh_op *op;
    int rc = mutation_begin(ask, FH_MUTATE_ADD, m->handle, NULL, &op);

    if (rc != 0)
        return rc;
    op->u.mutation.offset = m->offset;
    op->u.mutation.operand = m->delta;
    return mutation_run(op);
}
