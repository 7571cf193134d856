/*
 * Theory.  Requests are packed back to back into one growing text buffer; a segment says how many
 * of its bytes come next, or which foreign body does. Neighbouring texts are one segment, so a
 * batch of small requests leaves in one write of one vector.
 *
 *   text      [ head 1 | head 2 | head 3 ]          body of 3 stays with the caller
 *   segments  [ text: heads 1, 2, 3 ][ body 3 ][ text: head 4 ] ...
 *
 * Invariants
 *   [I1] text_start <= text_end <= text_cap; the text segments add up to text_end - text_start
 *   [I2] bytes is the sum of all segments' sizes
 *   [I3] no segment is empty; no two text segments are neighbours
 */
#include "client/sendq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void fh_sendq_init(struct fh_sendq *q)
{
    memset(q, 0, sizeof(*q));
}

void fh_sendq_fini(struct fh_sendq *q)
{
    for (size_t i = 0; i < q->count; i++)
        free(q->segments[q->first + i].owned);
    free(q->segments);
    free(q->text);
    memset(q, 0, sizeof(*q));
}

/* Moves the live bytes to the front when that alone makes room, else takes a larger buffer. */
static int text_make_room(struct fh_sendq *q, size_t size)
{
    size_t live = q->text_end - q->text_start;
    size_t cap = q->text_cap < 4096 ? 4096 : q->text_cap;
    uint8_t *text;

    if (q->text != NULL && q->text_cap - q->text_end >= size)
        return 0;
    if (q->text != NULL && q->text_start >= live && q->text_cap - live >= size) {
        memcpy(q->text, q->text + q->text_start, live);
    } else {
        while (cap - live < size)
            cap *= 2;
        if ((text = malloc(cap)) == NULL)
            return -ENOMEM;
        if (live > 0)
            memcpy(text, q->text + q->text_start, live);
        free(q->text);
        q->text = text;
        q->text_cap = cap;
    }
    q->text_start = 0;
    q->text_end = live;
    return 0;
}

static int segments_make_room(struct fh_sendq *q, size_t count)
{
    size_t cap = q->cap < 16 ? 16 : q->cap;
    struct fh_segment *segments;

    if (q->cap - q->first - q->count >= count)
        return 0;
    while (cap < q->count * 2 + count)
        cap *= 2;
    if ((segments = malloc(cap * sizeof(*segments))) == NULL)
        return -ENOMEM;
    if (q->count > 0)
        memcpy(segments, q->segments + q->first, q->count * sizeof(*segments));
    free(q->segments);
    q->segments = segments;
    q->cap = cap;
    q->first = 0;
    return 0;
}

uint8_t *fh_sendq_reserve(struct fh_sendq *q, size_t size)
{
    if (segments_make_room(q, 2) != 0 || text_make_room(q, size) != 0)
        return NULL;
    return q->text + q->text_end;
}

static struct fh_segment *segment_last(struct fh_sendq *q)
{
    return q->count == 0 ? NULL : &q->segments[q->first + q->count - 1];
}

static void segment_push(struct fh_sendq *q, const uint8_t *body, size_t size)
{
    q->segments[q->first + q->count++] = (struct fh_segment){.body = body, .size = size};
}

void fh_sendq_push_text(struct fh_sendq *q, size_t size)
{
    struct fh_segment *last = segment_last(q);

    if (size == 0)
        return;
    if (last != NULL && last->body == NULL)
        last->size += size;
    else
        segment_push(q, NULL, size);
    q->text_end += size;
    q->bytes += size;
}

void fh_sendq_push_body(struct fh_sendq *q, const void *body, size_t size)
{
    if (size == 0)
        return;
    segment_push(q, body, size);
    q->bytes += size;
}

size_t fh_sendq_peek(const struct fh_sendq *q, struct iovec *out, size_t max)
{
    uint8_t *text = q->text + q->text_start;
    size_t n;

    for (n = 0; n < max && n < q->count; n++) {
        const struct fh_segment *s = &q->segments[q->first + n];

        if (s->body == NULL) {
            out[n] = (struct iovec){text, s->size};
            text += s->size;
        } else {
            /* iovec is used for reading and writing alike; sendmsg only reads. */
            out[n] = (struct iovec){(void *)(uintptr_t)s->body, s->size};
        }
    }
    return n;
}

size_t fh_sendq_copy(const struct fh_sendq *q, uint8_t *out, size_t cap)
{
    struct iovec vector[64];
    size_t n = fh_sendq_peek(q, vector, sizeof(vector) / sizeof(vector[0]));
    size_t copied = 0;

    for (size_t i = 0; i < n && copied < cap; i++) {
        size_t part = vector[i].iov_len < cap - copied ? vector[i].iov_len : cap - copied;

        memcpy(out + copied, vector[i].iov_base, part);
        copied += part;
    }
    return copied;
}

void fh_sendq_drop(struct fh_sendq *q, size_t size)
{
    while (size > 0 && q->count > 0) {
        struct fh_segment *s = &q->segments[q->first];
        size_t part = s->size < size ? s->size : size;

        if (s->body == NULL)
            q->text_start += part;
        else
            s->body += part;
        s->size -= part;
        q->bytes -= part;
        size -= part;
        if (s->size > 0)
            break;
        free(s->owned);
        q->first++;
        q->count--;
    }
    if (q->count == 0)
        q->first = 0;
    if (q->text_start == q->text_end)
        q->text_start = q->text_end = 0;
}

int fh_sendq_own(struct fh_sendq *q, const void *body, size_t size)
{
    const uint8_t *start = body;

    for (size_t i = 0; i < q->count; i++) {
        struct fh_segment *s = &q->segments[q->first + i];

        if (s->body == NULL || s->owned != NULL || s->body < start || s->body >= start + size)
            continue;
        if ((s->owned = malloc(s->size)) == NULL)
            return -ENOMEM;
        memcpy(s->owned, s->body, s->size);
        s->body = s->owned;
    }
    return 0;
}
