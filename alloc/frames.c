/*
 * Theory.  A frame is free when nobody refers to it, and then it is part of a free run. Single frames come from the
 * smallest runs, the lowest first, so long runs stay whole for large bodies and the records of a region that is
 * not used up are never touched.
 *
 * Invariants
 *   [I1] free == frames in free runs == frames with refs 0
 *   [I2] a free frame is in no queue, names no page, is neither dirty nor busy
 *   [I3] no frame from `untouched` on has references
 */
#include "frames.h"

#include <errno.h>
#include <inttypes.h>

#include "bits.h"
#include "report.h"

int fh_frames_init(struct fh_frames *f, struct fh_mem *mem, uint32_t total)
{
    *f = (struct fh_frames){.mem = mem, .total = total, .free = total};
    f->records = fh_mem_map(mem, (size_t)total * sizeof(*f->records));
    if (f->records && fh_frame_runs_init(&f->runs, mem, total) == 0)
        return 0;
    fh_mem_unmap(mem, f->records, (size_t)total * sizeof(*f->records));
    f->records = NULL;
    return -ENOMEM;
}

void fh_frames_fini(struct fh_frames *f)
{
    if (!f->records)
        return;
    fh_frame_runs_fini(&f->runs);
    fh_mem_unmap(f->mem, f->records, (size_t)f->total * sizeof(*f->records));
    f->records = NULL;
}

static struct fh_frame frames_begin(struct fh_frames *f, uint32_t frame)
{
    f->free--;
    f->untouched = (uint32_t)fh_max_u64(f->untouched, (uint64_t)frame + 1);
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

void fh_frames_hold(struct fh_frames *f, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(f, frame);

    FH_ASSERT(r->refs > 0);
    FH_ASSERT(r->refs < (1u << 20) - 1);
    r->refs++;
}

bool fh_frames_release(struct fh_frames *f, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(f, frame);

    FH_ASSERT(r->refs > 0);
    if (--r->refs > 0)
        return false;
    FH_ASSERT(r->queue == FH_QUEUE_NONE);
    FH_ASSERT(r->page == FH_PAGE_NONE);
    r->dirty = 0;
    r->busy = 0;
    f->free++;
    fh_frame_runs_give(&f->runs, frame.v);
    return true;
}

static void check_records(const struct fh_frames *f, struct fh_report *r)
{
    uint32_t count = f->total - f->untouched;

    for (uint32_t i = 0; i < f->untouched; i++) {
        const struct fh_frame_record *record = &f->records[i];
        if (record->refs != 0)
            continue;
        count++;
        bool never_used = record->page == 0; /* all of it is still zero */
        if (record->queue != FH_QUEUE_NONE || record->dirty || record->busy ||
            (record->page != FH_PAGE_NONE && !never_used))
            fh_report(r, "[I2] frame %u: free, but still marked as used", i);
    }
    if (count != f->free)
        fh_report(r, "[I1] %u frames are free, %u have no reference", f->free, count);
    for (uint32_t i = f->untouched; i < f->total; i++)
        if (f->records[i].refs != 0)
            fh_report(r, "[I3] frame %u: has references, though never used", i);
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
    check_records(f, &r);
    return parts && r.broken == 0;
}

void fh_frames_stats(const struct fh_frames *f, struct fh_frames_stats *out)
{
    *out = (struct fh_frames_stats){.total = f->total,
                                    .free = f->free,
                                    .batches = f->batches,
                                    .batch_runs = f->batch_runs,
                                    .batch_frames = f->batch_frames};
}

void fh_frames_dump(const struct fh_frames *f, FILE *out)
{
    fprintf(out, "frames: %u, %u free, %u never used\n", f->total, f->free,
            f->total - f->untouched);
    for (uint32_t i = 0; i < f->untouched; i++) {
        const struct fh_frame_record *r = &f->records[i];
        if (r->refs != 0)
            fprintf(out, "  frame %u page %" PRIx64 " refs %u queue %u freq %u%s%s\n", i,
                    (uint64_t)r->page, (unsigned)r->refs, (unsigned)r->queue, (unsigned)r->freq,
                    r->dirty ? " dirty" : "", r->busy ? " busy" : "");
    }
}
