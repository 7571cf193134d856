/*
 * Theory.  A frame is free when nobody refers to it, and then it is part of a free run. Single frames come from the
 * smallest runs, the lowest first, so long runs stay whole for large bodies and the records of a region that is
 * not used up are never touched.
 *
 * The region is cut into chunks of 512 frames, of which the zone owns some. To own a chunk is to have its frames among
 * the free; to let it go is to take the free ones out, and to keep out those that become free later, until none
 * is in use. So who takes frames need not know about chunks at all.
 *
 *   ABSENT --own--> OWNED --leave--> LEAVING --last frame released, part--> ABSENT
 *                     ^                 |
 *                     +------stay-------+
 *
 * The records of a chunk of 512 frames are two whole pages of the array, which go with it; so an array for the largest
 * region costs what is owned of it.
 *
 * Invariants
 *   [I1] free == frames in free runs == frames of owned chunks with refs 0
 *   [I2] a frame without references is in no queue, names no page, has no flag set
 *   [I3] no frame from `touched` of its chunk on has references; an absent chunk has size, used and touched 0
 *   [I4] total is the sum of the sizes of owned chunks, leaving that of the used of leaving ones; used of a
 *        chunk is the number of its frames with references
 */
#include "frames.h"

#include <errno.h>
#include <inttypes.h>

#include "bits.h"
#include "report.h"

static void frames_give_books(struct fh_frames *f)
{
    fh_mem_unmap(f->mem, f->records, (size_t)f->span * sizeof(*f->records));
    fh_mem_unmap(f->mem, f->chunks, (size_t)fh_frames_chunk_count(f) * sizeof(*f->chunks));
    f->records = NULL;
    f->chunks = NULL;
}

int fh_frames_init(struct fh_frames *f, struct fh_mem *mem, uint32_t span, uint32_t chunk_order)
{
    FH_ASSERT(chunk_order <= FH_CHUNK_ORDER);
    *f = (struct fh_frames){.mem = mem, .span = span, .chunk_order = chunk_order};
    f->records = fh_mem_map(mem, (size_t)span * sizeof(*f->records));
    f->chunks = fh_mem_map(mem, (size_t)fh_frames_chunk_count(f) * sizeof(*f->chunks));
    if (f->records && f->chunks && fh_frame_runs_init(&f->runs, mem, span) == 0)
        return 0;
    frames_give_books(f);
    return -ENOMEM;
}

void fh_frames_fini(struct fh_frames *f)
{
    if (!f->records)
        return;
    fh_frame_runs_fini(&f->runs);
    frames_give_books(f);
}

/* --- chunks --- */

static struct fh_chunk *frames_chunk_of(struct fh_frames *f, uint32_t frame)
{
    return &f->chunks[frame >> f->chunk_order];
}

void fh_frames_own(struct fh_frames *f, uint32_t chunk, uint32_t size)
{
    struct fh_chunk *c = &f->chunks[chunk];

    FH_ASSERT(c->state != FH_CHUNK_LEAVING);
    FH_ASSERT(size > c->size);
    FH_ASSERT(size <= fh_frames_chunk_room(f, chunk));
    fh_frame_runs_add(&f->runs, (chunk << f->chunk_order) + c->size, size - c->size);
    f->total += size - c->size;
    f->free += size - c->size;
    c->size = (uint16_t)size;
    c->state = FH_CHUNK_OWNED;
}

void fh_frames_leave(struct fh_frames *f, uint32_t chunk)
{
    struct fh_chunk *c = &f->chunks[chunk];
    uint32_t removed = fh_frame_runs_remove(&f->runs, chunk << f->chunk_order, c->size);

    FH_ASSERT(c->state == FH_CHUNK_OWNED);
    FH_ASSERT(removed + c->used == c->size);
    f->total -= c->size;
    f->free -= removed;
    f->leaving += c->used;
    c->state = FH_CHUNK_LEAVING;
}

void fh_frames_stay(struct fh_frames *f, uint32_t chunk)
{
    struct fh_chunk *c = &f->chunks[chunk];
    uint32_t first = chunk << f->chunk_order;

    FH_ASSERT(c->state == FH_CHUNK_LEAVING);
    for (uint32_t i = first; i < first + c->size; i++)
        if (f->records[i].refs == 0)
            fh_frame_runs_give(&f->runs, i);
    f->total += c->size;
    f->free += (uint32_t)(c->size - c->used);
    f->leaving -= c->used;
    c->state = FH_CHUNK_OWNED;
}

void fh_frames_part(struct fh_frames *f, uint32_t chunk)
{
    struct fh_chunk *c = &f->chunks[chunk];
    uint64_t bytes = sizeof(*f->records) << f->chunk_order;

    FH_ASSERT(c->state == FH_CHUNK_LEAVING);
    FH_ASSERT(c->used == 0);
    if (c->touched > 0 && bytes % FH_PAGE_SIZE == 0)
        fh_mem_forget(&f->records[chunk << f->chunk_order],
                      fh_frames_chunk_room(f, chunk) * sizeof(*f->records));
    *c = (struct fh_chunk){.state = FH_CHUNK_ABSENT};
}

uint32_t fh_frames_emptiest(const struct fh_frames *f)
{
    uint32_t best = UINT32_MAX;

    for (uint32_t i = fh_frames_chunk_count(f); i-- > 0;)
        if (f->chunks[i].state == FH_CHUNK_OWNED &&
            (best == UINT32_MAX || f->chunks[i].used < f->chunks[best].used))
            best = i;
    return best;
}

uint32_t fh_frames_next_touched(const struct fh_frames *f, uint32_t i)
{
    while (i < f->span) {
        uint32_t chunk = i >> f->chunk_order;
        if (i - (chunk << f->chunk_order) < f->chunks[chunk].touched)
            return i;
        i = (chunk + 1) << f->chunk_order;
    }
    return f->span;
}

/* --- frames --- */

static struct fh_frame frames_begin(struct fh_frames *f, uint32_t frame)
{
    struct fh_chunk *c = frames_chunk_of(f, frame);
    uint32_t place = frame & ((1u << f->chunk_order) - 1);

    f->free--;
    c->used++;
    c->touched = (uint16_t)fh_max_u64(c->touched, (uint64_t)place + 1);
    f->records[frame] = (struct fh_frame_record){.page = FH_PAGE_NONE, .refs = 1};
    return (struct fh_frame){frame};
}

struct fh_frame fh_frames_take(struct fh_frames *f)
{
    uint32_t first;

    if (fh_frame_runs_take(&f->runs, 0, &first) == 0)
        return FH_FRAME_NONE;
    return frames_begin(f, first);
}

uint32_t fh_frames_take_many(struct fh_frames *f, uint32_t count, struct fh_frame *out)
{
    uint32_t taken = 0;
    uint32_t run, first;

    f->batches++;
    while (taken < count) {
        uint32_t order = fh_log2_floor(fh_min_u64(count - taken, FH_FRAME_RUN_MAX));
        if ((run = fh_frame_runs_take(&f->runs, order, &first)) == 0)
            break;
        f->batch_runs += taken == 0 || out[taken - 1].v + 1 != first;
        for (uint32_t i = 0; i < run; i++)
            out[taken++] = frames_begin(f, first + i);
    }
    f->batch_frames += taken;
    return taken;
}

void fh_frames_free(struct fh_frames *f, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(f, frame);

    FH_ASSERT(r->refs == 0);
    FH_ASSERT(r->queue == FH_QUEUE_NONE);
    FH_ASSERT(r->page == FH_PAGE_NONE);
    r->dirty = 0;
    r->busy = 0;
    r->ahead = 0;
    struct fh_chunk *c = frames_chunk_of(f, frame.v);
    c->used--;
    if (c->state == FH_CHUNK_LEAVING) {
        f->leaving--;
        return;
    }
    f->free++;
    fh_frame_runs_give(&f->runs, frame.v);
}

static void check_record(const struct fh_frames *f, uint32_t i, struct fh_report *r)
{
    const struct fh_frame_record *record = &f->records[i];
    bool never_used = record->page == 0; /* all of it is still zero */

    if (record->queue != FH_QUEUE_NONE || record->dirty || record->busy || record->ahead ||
        (record->page != FH_PAGE_NONE && !never_used))
        fh_report(r, "[I2] frame %u: without references, but still marked as used", i);
}

/* Frames of the chunk with references. */
static uint32_t check_chunk_records(const struct fh_frames *f, uint32_t chunk, struct fh_report *r)
{
    const struct fh_chunk *c = &f->chunks[chunk];
    uint32_t first = chunk << f->chunk_order;
    uint32_t used = 0;

    for (uint32_t i = first; i < first + c->touched; i++)
        if (f->records[i].refs != 0)
            used++;
        else
            check_record(f, i, r);
    for (uint32_t i = first + c->touched; i < first + c->size; i++)
        if (f->records[i].refs != 0)
            fh_report(r, "[I3] frame %u: has references, though never used", i);
    return used;
}

static void check_chunks(const struct fh_frames *f, struct fh_report *r)
{
    uint32_t total = 0, free = 0, leaving = 0;

    for (uint32_t i = 0; i < fh_frames_chunk_count(f); i++) {
        const struct fh_chunk *c = &f->chunks[i];
        uint32_t used = c->size > 0 ? check_chunk_records(f, i, r) : 0;
        if (used != c->used)
            fh_report(r, "[I4] chunk %u: %u frames in use, counted %u", i, c->used, used);
        if (c->state == FH_CHUNK_ABSENT && c->size + c->used + c->touched > 0)
            fh_report(r, "[I3] chunk %u: absent, but has frames", i);
        if (c->size > fh_frames_chunk_room(f, i))
            fh_report(r, "[I4] chunk %u: %u frames, has room for %u", i, c->size,
                      fh_frames_chunk_room(f, i));
        total += c->state == FH_CHUNK_OWNED ? c->size : 0;
        free += c->state == FH_CHUNK_OWNED ? c->size - used : 0;
        leaving += c->state == FH_CHUNK_LEAVING ? used : 0;
    }
    if (total != f->total || leaving != f->leaving)
        fh_report(r, "[I4] %u frames, %u leaving; counted %u, %u", f->total, f->leaving, total,
                  leaving);
    if (free != f->free)
        fh_report(r, "[I1] %u frames are free, %u have no reference", f->free, free);
}

bool fh_frames_check(const struct fh_frames *f, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    bool parts = fh_frame_runs_check(&f->runs, why);
    struct fh_frame_runs_stats runs;

    fh_frame_runs_stats(&f->runs, &runs);
    if (runs.free_frames != f->free)
        fh_report(&r, "[I1] %u frames are free, %" PRIu64 " lie in free runs", f->free,
                  runs.free_frames);
    check_chunks(f, &r);
    return parts && r.broken == 0;
}

void fh_frames_stats(const struct fh_frames *f, struct fh_frames_stats *out)
{
    *out = (struct fh_frames_stats){.total = f->total,
                                    .free = f->free,
                                    .leaving = f->leaving,
                                    .batches = f->batches,
                                    .batch_runs = f->batch_runs,
                                    .batch_frames = f->batch_frames};
}

void fh_frames_dump(const struct fh_frames *f, FILE *out)
{
    fprintf(out, "frames: %u, %u free, %u in use in chunks that leave\n", f->total, f->free,
            f->leaving);
    for (uint32_t i = fh_frames_next_touched(f, 0); i < f->span;
         i = fh_frames_next_touched(f, i + 1)) {
        const struct fh_frame_record *r = &f->records[i];
        if (r->refs != 0)
            fprintf(out, "  frame %u page %" PRIx64 " refs %u queue %u freq %u%s%s%s\n", i,
                    (uint64_t)r->page, (unsigned)r->refs, (unsigned)r->queue, (unsigned)r->freq,
                    r->dirty ? " dirty" : "", r->busy ? " busy" : "", r->ahead ? " ahead" : "");
    }
}
