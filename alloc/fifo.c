/*
 * Theory.  Three queues of S3-FIFO, two of them real. What is new enters `small`; most of it is
 * never touched again and leaves from there without having disturbed `main`. A page that was
 * touched while in small moves on to main. In main a touched page gets another round, one per
 * touch, up to three. The third queue, the ghost of what was just evicted, is not kept at all: an
 * eviction counter is stored in the page-table entry, and a page that comes back within as many
 * evictions as there are resident pages would have been in the ghost.
 *
 *   insert -> [small: head ... tail] -> pick: touched? -> main   else victim
 *             [main:  head ... tail] -> pick: touched? -> head of main, one touch fewer   else
 * victim
 *
 * Invariants
 *   [I1] a frame is linked in the queue its record names, and only there
 *   [I2] count is the length of the queue
 *   [I3] neighbours agree: the next of the previous is this one
 *   [I4] no frame waits for ever to be looked at: when all of main was put back and none evicted meanwhile, small is
 *        next, however short it is
 *   [I5] aside is the number of frames whose record says so, aside_clean of those that are not dirty
 */
#include "fifo.h"

#include "report.h"

#define FIFO_END UINT32_MAX /* as FH_FRAME_NONE */

enum { EPOCH_MASK = 0x0fffffff, SMALL_SHARE = 10 };

void fh_fifo_init(struct fh_fifo *f, struct fh_frames *frames)
{
    *f = (struct fh_fifo){.frames = frames,
                          .small = {.head = FIFO_END, .tail = FIFO_END},
                          .main = {.head = FIFO_END, .tail = FIFO_END}};
}

static struct fh_fifo_queue *fifo_queue(struct fh_fifo *f, uint32_t queue)
{
    return queue == FH_QUEUE_SMALL ? &f->small : &f->main;
}

static void fifo_push(struct fh_fifo *f, struct fh_frame frame, enum fh_queue queue)
{
    struct fh_frame_record *r = fh_frames_record(f->frames, frame);
    struct fh_fifo_queue *q = fifo_queue(f, queue);

    FH_ASSERT(r->queue == FH_QUEUE_NONE);
    r->queue = queue & 3u;
    r->next = q->head;
    r->prev = FIFO_END;
    if (q->head != FIFO_END)
        f->frames->records[q->head].prev = frame.v;
    else
        q->tail = frame.v;
    q->head = frame.v;
    q->count++;
}

void fh_fifo_insert(struct fh_fifo *f, struct fh_frame frame, bool epoch_known, uint32_t epoch)
{
    uint32_t age = (f->epoch - epoch) & EPOCH_MASK;
    bool ghost = epoch_known && age < f->small.count + f->main.count;

    f->refaults += ghost;
    fh_frames_record(f->frames, frame)->freq = 0;
    fifo_push(f, frame, ghost ? FH_QUEUE_MAIN : FH_QUEUE_SMALL);
}

void fh_fifo_insert_main(struct fh_fifo *f, struct fh_frame frame)
{
    fifo_push(f, frame, FH_QUEUE_MAIN);
}

void fh_fifo_put_back(struct fh_fifo *f, struct fh_frame frame)
{
    fifo_push(f, frame, FH_QUEUE_MAIN);
    f->stuck++;
}

void fh_fifo_insert_last(struct fh_fifo *f, struct fh_frame frame, enum fh_queue queue)
{
    struct fh_frame_record *r = fh_frames_record(f->frames, frame);
    struct fh_fifo_queue *q = fifo_queue(f, queue);

    FH_ASSERT(r->queue == FH_QUEUE_NONE);
    r->queue = queue & 3u;
    r->next = FIFO_END;
    r->prev = q->tail;
    if (q->tail != FIFO_END)
        f->frames->records[q->tail].next = frame.v;
    else
        q->head = frame.v;
    q->tail = frame.v;
    q->count++;
}

void fh_fifo_set_aside(struct fh_fifo *f, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(f->frames, frame);

    FH_ASSERT(r->queue == FH_QUEUE_NONE);
    r->queue = FH_QUEUE_ASIDE;
    f->aside++;
    f->aside_clean += !r->dirty;
}

struct fh_frame fh_fifo_oldest(const struct fh_fifo *f, enum fh_queue queue)
{
    return (struct fh_frame){queue == FH_QUEUE_SMALL ? f->small.tail : f->main.tail};
}

struct fh_frame fh_fifo_younger(const struct fh_fifo *f, struct fh_frame after)
{
    return (struct fh_frame){fh_frames_record(f->frames, after)->prev};
}

void fh_fifo_remove(struct fh_fifo *f, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(f->frames, frame);
    if (r->queue == FH_QUEUE_NONE)
        return;
    if (r->queue == FH_QUEUE_ASIDE) {
        f->aside--;
        f->aside_clean -= !r->dirty;
        r->queue = FH_QUEUE_NONE;
        return;
    }

    struct fh_fifo_queue *q = fifo_queue(f, r->queue);
    if (r->prev != FIFO_END)
        f->frames->records[r->prev].next = r->next;
    else
        q->head = r->next;
    if (r->next != FIFO_END)
        f->frames->records[r->next].prev = r->prev;
    else
        q->tail = r->prev;
    q->count--;
    r->queue = FH_QUEUE_NONE;
}

void fh_fifo_replace(struct fh_fifo *f, struct fh_frame from, struct fh_frame to)
{
    const struct fh_frame_record *r = fh_frames_record(f->frames, to);

    FH_ASSERT(r->queue != FH_QUEUE_NONE);
    fh_frames_record(f->frames, from)->queue = FH_QUEUE_NONE;
    if (r->queue == FH_QUEUE_ASIDE)
        return;
    struct fh_fifo_queue *q = fifo_queue(f, r->queue);
    if (r->prev != FIFO_END)
        f->frames->records[r->prev].next = to.v;
    else
        q->head = to.v;
    if (r->next != FIFO_END)
        f->frames->records[r->next].prev = to.v;
    else
        q->tail = to.v;
}

/* Small gives the victim while it has more than its share, or when main has none that can go. [I4] */
static bool fifo_small_is_due(const struct fh_fifo *f)
{
    uint32_t all = f->small.count + f->main.count;
    return f->small.count > 0 && (f->stuck >= f->main.count || f->small.count * SMALL_SHARE >= all);
}

void fh_fifo_insert_next(struct fh_fifo *f, struct fh_frame frame)
{
    bool small = fifo_small_is_due(f);

    fh_frames_record(f->frames, frame)->freq = 0;
    fh_fifo_insert_last(f, frame, small || f->main.count == 0 ? FH_QUEUE_SMALL : FH_QUEUE_MAIN);
}

struct fh_frame fh_fifo_pick(struct fh_fifo *f, uint32_t *budget)
{
    while (*budget > 0 && f->small.count + f->main.count > 0) {
        bool from_small = fifo_small_is_due(f);
        struct fh_frame frame = {from_small ? f->small.tail : f->main.tail};
        struct fh_frame_record *r = fh_frames_record(f->frames, frame);

        (*budget)--;
        fh_fifo_remove(f, frame);
        if (r->freq == 0)
            return frame;
        r->freq = from_small ? 0 : (r->freq - 1u) & 3u;
        fifo_push(f, frame, FH_QUEUE_MAIN);
    }
    return FH_FRAME_NONE;
}

uint32_t fh_fifo_evicted(struct fh_fifo *f)
{
    uint32_t epoch = f->epoch;
    f->epoch = (f->epoch + 1) & EPOCH_MASK;
    f->stuck = 0;
    return epoch;
}

static void check_queue(const struct fh_fifo *f, const struct fh_fifo_queue *q, uint32_t name,
                        struct fh_report *r)
{
    uint32_t count = 0;
    uint32_t prev = FIFO_END;

    for (uint32_t i = q->head; i != FIFO_END && count <= q->count;
         prev = i, i = f->frames->records[i].next) {
        const struct fh_frame_record *record = &f->frames->records[i];
        count++;
        if (record->queue != name)
            fh_report(r, "[I1] frame %u: in queue %u, its record says %u", i, name,
                      (unsigned)record->queue);
        if (record->prev != prev)
            fh_report(r, "[I3] frame %u: previous is %u, not %u", i, record->prev, prev);
    }
    if (count != q->count)
        fh_report(r, "[I2] queue %u: count %u, counted %u", name, q->count, count);
    if (q->tail != prev)
        fh_report(r, "[I3] queue %u: ends with frame %u, not %u", name, prev, q->tail);
}

static void check_linked(const struct fh_fifo *f, struct fh_report *r)
{
    uint32_t linked = 0, aside = 0, aside_clean = 0;

    for (uint32_t i = fh_frames_next_touched(f->frames, 0); i < f->frames->span;
         i = fh_frames_next_touched(f->frames, i + 1)) {
        const struct fh_frame_record *record = &f->frames->records[i];
        bool is_aside = record->queue == FH_QUEUE_ASIDE;
        linked += record->queue != FH_QUEUE_NONE && !is_aside;
        aside += is_aside;
        aside_clean += is_aside && !record->dirty;
    }
    if (aside != f->aside || aside_clean != f->aside_clean)
        fh_report(r, "[I5] %u frames aside, %u clean; counted %u and %u", f->aside, f->aside_clean,
                  aside, aside_clean);
    if (linked != f->small.count + f->main.count)
        fh_report(r, "[I1] %u frames name a queue, %u are in one", linked,
                  f->small.count + f->main.count);
}

bool fh_fifo_check(const struct fh_fifo *f, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};

    check_queue(f, &f->small, FH_QUEUE_SMALL, &r);
    check_queue(f, &f->main, FH_QUEUE_MAIN, &r);
    check_linked(f, &r);
    return r.broken == 0;
}

void fh_fifo_stats(const struct fh_fifo *f, struct fh_fifo_stats *out)
{
    *out = (struct fh_fifo_stats){
        .small = f->small.count, .main = f->main.count, .aside = f->aside, .evictions = f->epoch};
}

void fh_fifo_dump(const struct fh_fifo *f, FILE *out)
{
    fprintf(out, "fifo: small %u, main %u, aside %u, epoch %u\n", f->small.count, f->main.count,
            f->aside, f->epoch);
}
