/*
 * Theory.  Replies are written into chunks one behind the other, and one call sends them all. Large
 * bodies are sources: their frames are held from offer to took, that is during the send itself and
 * never while a slow peer is waited for. At most one source takes part in a send, so that no more
 * than one window is held at a time. What is sent in one turn is bounded by turn_left, to the byte:
 * who shares the thread waits for no more than that.
 *
 *   [chunk: head, body, head | source: frames of a window | chunk: head, ...]
 *
 * Invariants
 *   [I1] queued_bytes is the sum over chunks, sources their number
 *   [I2] start < end in every queued chunk but one being reserved in
 */
#include "outq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/report.h"

void fh_out_pool_init(struct fh_out_pool *pool)
{
    fh_list_init(&pool->chunks);
    pool->count = 0;
    pool->used = 0;
}

static struct fh_out_chunk *chunk_of(struct fh_list *node)
{
    return FH_CONTAINER_OF(node, struct fh_out_chunk, segment.link);
}

static struct fh_out_source *source_of(struct fh_list *node)
{
    return FH_CONTAINER_OF(node, struct fh_out_source, segment.link);
}

static bool is_source(const struct fh_list *node)
{
    return FH_CONTAINER_OF(node, const struct fh_out_segment, link)->is_source;
}

void fh_out_pool_fini(struct fh_out_pool *pool)
{
    struct fh_list *node;

    while ((node = fh_list_pop(&pool->chunks)))
        free(chunk_of(node));
    pool->count = 0;
}

static struct fh_out_chunk *chunk_take(struct fh_out_pool *pool)
{
    struct fh_list *node = fh_list_pop(&pool->chunks);
    struct fh_out_chunk *chunk = node ? chunk_of(node) : malloc(sizeof *chunk);

    if (!chunk)
        return NULL;
    if (node)
        pool->count--;
    pool->used++;
    fh_list_init(&chunk->segment.link);
    chunk->segment.is_source = false;
    chunk->start = 0;
    chunk->end = 0;
    return chunk;
}

static void chunk_give(struct fh_out_pool *pool, struct fh_out_chunk *chunk)
{
    fh_list_remove(&chunk->segment.link);
    pool->used--;
    if (pool->count >= FH_OUT_CHUNKS_KEPT) {
        free(chunk);
        return;
    }
    fh_list_push_front(&pool->chunks, &chunk->segment.link);
    pool->count++;
}

void fh_outq_init(struct fh_outq *q, struct fh_out_pool *pool,
                  ssize_t (*send)(void *ctx, const struct iovec *iov, uint32_t count), void *ctx)
{
    *q = (struct fh_outq){.pool = pool, .turn_left = UINT64_MAX, .send = send, .ctx = ctx};
    fh_list_init(&q->segments);
}

static void source_leave(struct fh_outq *q, struct fh_out_source *source)
{
    fh_list_remove(&source->segment.link);
    q->sources--;
    source->close(source);
}

void fh_outq_fini(struct fh_outq *q)
{
    struct fh_list *node;

    while ((node = fh_list_first(&q->segments))) {
        if (is_source(node))
            source_leave(q, source_of(node));
        else
            chunk_give(q->pool, chunk_of(node));
    }
    q->queued_bytes = 0;
}

/* The chunk that new bytes go to, or NULL when a new one is needed for `size`. */
static struct fh_out_chunk *outq_tail(struct fh_outq *q, size_t size)
{
    struct fh_list *last = q->segments.prev;

    if (last == &q->segments || is_source(last))
        return NULL;
    struct fh_out_chunk *chunk = chunk_of(last);
    return FH_OUT_CHUNK_SIZE - chunk->end >= size ? chunk : NULL;
}

static struct fh_out_chunk *outq_room(struct fh_outq *q, size_t size)
{
    struct fh_out_chunk *chunk = outq_tail(q, size);

    if (chunk)
        return chunk;
    chunk = chunk_take(q->pool);
    if (chunk)
        fh_list_push_back(&q->segments, &chunk->segment.link);
    return chunk;
}

uint8_t *fh_outq_reserve(struct fh_outq *q, size_t size)
{
    FH_ASSERT(size <= FH_OUT_CHUNK_SIZE);
    struct fh_out_chunk *chunk = outq_room(q, size);
    return chunk ? chunk->bytes + chunk->end : NULL;
}

void fh_outq_commit(struct fh_outq *q, size_t size)
{
    struct fh_out_chunk *chunk = chunk_of(q->segments.prev);

    FH_ASSERT(size <= FH_OUT_CHUNK_SIZE - chunk->end);
    chunk->end += (uint32_t)size;
    q->queued_bytes += size;
    if (chunk->start == chunk->end)
        chunk_give(q->pool, chunk);
}

int fh_outq_add(struct fh_outq *q, const void *bytes, size_t size)
{
    const uint8_t *from = bytes;

    while (size > 0) {
        struct fh_out_chunk *chunk = outq_room(q, 1);
        if (!chunk)
            return -ENOMEM;
        size_t part = FH_OUT_CHUNK_SIZE - chunk->end;
        if (part > size)
            part = size;
        memcpy(chunk->bytes + chunk->end, from, part);
        chunk->end += (uint32_t)part;
        q->queued_bytes += part;
        from += part;
        size -= part;
    }
    return 0;
}

void fh_outq_add_source(struct fh_outq *q, struct fh_out_source *source)
{
    source->segment.is_source = true;
    fh_list_push_back(&q->segments, &source->segment.link);
    q->sources++;
}

/* Copies iovecs into chunks linked before `place`. On failure gives back what it took. */
static int outq_copy_before(struct fh_outq *q, struct fh_list *place, const struct iovec *iov,
                            uint32_t count)
{
    struct fh_outq side;

    fh_outq_init(&side, q->pool, q->send, q->ctx);
    for (uint32_t i = 0; i < count; i++) {
        if (fh_outq_add(&side, iov[i].iov_base, iov[i].iov_len) != 0) {
            fh_outq_fini(&side);
            return -ENOMEM;
        }
    }
    q->queued_bytes += side.queued_bytes;
    while (!fh_list_is_empty(&side.segments))
        fh_list_push_back(place, fh_list_pop(&side.segments));
    return 0;
}

int fh_outq_copy_source(struct fh_outq *q, struct fh_out_source *source)
{
    const struct iovec *iov;
    uint32_t count;
    size_t bytes = 0;
    int rc = source->offer(source, &iov, &count);

    if (rc != 0)
        return rc;
    rc = outq_copy_before(q, &source->segment.link, iov, count);
    for (uint32_t i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    source->took(source, rc == 0 ? bytes : 0);
    if (rc == 0)
        source_leave(q, source);
    return rc;
}

/* What one send is given: at most `room` bytes. */
struct outq_load {
    struct iovec iov[FH_OUT_IOV_MAX];
    uint32_t count;
    size_t bytes, room;
    struct fh_out_source *source; /* the last part of it, or NULL */
};

static void load_add(struct outq_load *load, void *base, size_t size)
{
    if (size > load->room - load->bytes)
        size = load->room - load->bytes;
    load->iov[load->count++] = (struct iovec){.iov_base = base, .iov_len = size};
    load->bytes += size;
}

/* Adds the offer of a source; 1 when it turned out to be at its end. */
static int load_add_source(struct outq_load *load, struct fh_out_source *source)
{
    const struct iovec *iov;
    uint32_t count;
    int rc = source->offer(source, &iov, &count);

    if (rc != 0)
        return rc;
    if (count == 0)
        return 1;
    load->source = source;
    for (uint32_t i = 0; i < count && load->count < FH_OUT_IOV_MAX && load->bytes < load->room; i++)
        load_add(load, iov[i].iov_base, iov[i].iov_len);
    return 0;
}

/* Gathers from the front up to and including the first source. */
static int outq_gather(struct fh_outq *q, struct outq_load *load)
{
    struct fh_list *node = q->segments.next;

    load->count = 0;
    load->bytes = 0;
    load->source = NULL;
    load->room = q->turn_left < SIZE_MAX ? (size_t)q->turn_left : SIZE_MAX;
    while (node != &q->segments && load->count < FH_OUT_IOV_MAX / 4 && load->bytes < load->room) {
        struct fh_list *next = node->next;
        if (is_source(node)) {
            int rc = load_add_source(load, source_of(node));
            if (rc <= 0)
                return rc;
            source_leave(q, source_of(node));
        } else {
            struct fh_out_chunk *chunk = chunk_of(node);
            load_add(load, chunk->bytes + chunk->start, chunk->end - chunk->start);
        }
        node = next;
    }
    return 0;
}

/* The first `bytes` of what was gathered are sent. */
static void outq_consume(struct fh_outq *q, struct outq_load *load, size_t bytes)
{
    struct fh_list *node;

    q->sent_bytes += bytes;
    while (bytes > 0 && !is_source(node = fh_list_first(&q->segments))) {
        struct fh_out_chunk *chunk = chunk_of(node);
        size_t part = chunk->end - chunk->start;
        if (part > bytes)
            part = bytes;
        chunk->start += (uint32_t)part;
        q->queued_bytes -= part;
        bytes -= part;
        if (chunk->start == chunk->end)
            chunk_give(q->pool, chunk);
    }
    if (load->source)
        load->source->took(load->source, bytes);
}

static enum fh_out_state outq_broken(struct fh_outq *q, int rc)
{
    q->error = rc;
    return FH_OUT_BROKEN;
}

enum fh_out_state fh_outq_flush(struct fh_outq *q)
{
    struct outq_load load;

    while (q->error == 0) {
        if (q->turn_left == 0 && !fh_outq_is_empty(q))
            return FH_OUT_MORE;
        int rc = outq_gather(q, &load);
        if (load.count == 0) {
            if (rc == -EINPROGRESS)
                return FH_OUT_WAITING;
            return rc == 0 ? FH_OUT_EMPTY : outq_broken(q, rc);
        }
        ssize_t sent = q->send(q->ctx, load.iov, load.count);
        outq_consume(q, &load, sent > 0 ? (size_t)sent : 0);
        q->turn_left -= sent > 0 ? (size_t)sent : 0;
        if (sent < 0 && sent != -EAGAIN)
            return outq_broken(q, (int)sent);
        if (sent < (ssize_t)load.bytes)
            return FH_OUT_BLOCKED;
    }
    return FH_OUT_BROKEN;
}

bool fh_outq_check(const struct fh_outq *q, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    size_t bytes = 0;
    uint32_t sources = 0;

    for (struct fh_list *node = q->segments.next; node != &q->segments; node = node->next) {
        if (is_source(node)) {
            sources++;
            continue;
        }
        struct fh_out_chunk *chunk = chunk_of(node);
        bytes += chunk->end - chunk->start;
        if (chunk->start >= chunk->end)
            fh_report(&r, "[I2] chunk from %u to %u", chunk->start, chunk->end);
    }
    if (bytes != q->queued_bytes)
        fh_report(&r, "[I1] %zu bytes queued, counted %zu", q->queued_bytes, bytes);
    if (sources != q->sources)
        fh_report(&r, "[I1] %u sources, counted %u", q->sources, sources);
    return r.broken == 0;
}

void fh_outq_dump(const struct fh_outq *q, FILE *out)
{
    fprintf(out, "outq: %zu bytes queued, %u sources, %llu bytes sent, error %d\n", q->queued_bytes,
            q->sources, (unsigned long long)q->sent_bytes, q->error);
}
