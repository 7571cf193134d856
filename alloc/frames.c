/*
 * Theory.  Frames that were used before are free in a list threaded through `next`, last in, first
 * out: what was freed last is warm in the cache. Frames that were never used are not in that list
 * but behind `untouched`, so that the records of a region nobody uses cost no memory.
 *
 * Invariants
 *   [I1] free == length of the free list + (total - untouched) == frames with refs 0
 *   [I2] a free frame is in no queue, names no page, is neither dirty nor busy
 */
#include "frames.h"

#include <errno.h>
#include <inttypes.h>

#include "report.h"

#define FRAMES_END UINT32_MAX

int fh_frames_init(struct fh_frames *f, struct fh_mem *mem, uint32_t total)
{
    *f = (struct fh_frames){.mem = mem, .total = total, .free = total, .free_head = FRAMES_END};
    f->records = fh_mem_map(mem, (size_t)total * sizeof(*f->records));
    return f->records ? 0 : -ENOMEM;
}

void fh_frames_fini(struct fh_frames *f)
{
    fh_mem_unmap(f->mem, f->records, (size_t)f->total * sizeof(*f->records));
    f->records = NULL;
}

struct fh_frame fh_frames_take(struct fh_frames *f)
{
    struct fh_frame frame;

    if (f->free_head != FRAMES_END) {
        frame.v = f->free_head;
        f->free_head = f->records[frame.v].next;
    } else if (f->untouched < f->total) {
        frame.v = f->untouched++;
    } else {
        return FH_FRAME_NONE;
    }
    f->free--;
    f->records[frame.v] = (struct fh_frame_record){.page = FH_PAGE_NONE, .refs = 1};
    return frame;
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
    r->next = f->free_head;
    f->free_head = frame.v;
    f->free++;
    return true;
}

static void check_free_list(const struct fh_frames *f, struct fh_report *r)
{
    uint32_t count = f->total - f->untouched;

    for (uint32_t i = f->free_head; i != FRAMES_END && count <= f->total; i = f->records[i].next) {
        count++;
        if (i >= f->untouched) {
            fh_report(r, "[I1] frame %u: in the free list, though never used", i);
            break;
        }
        if (f->records[i].refs != 0)
            fh_report(r, "[I1] frame %u: in the free list with %u references", i,
                      (unsigned)f->records[i].refs);
    }
    if (count != f->free)
        fh_report(r, "[I1] %u frames are free, %u counted", f->free, count);
}

static void check_records(const struct fh_frames *f, struct fh_report *r)
{
    uint32_t count = f->total - f->untouched;

    for (uint32_t i = 0; i < f->untouched; i++) {
        const struct fh_frame_record *record = &f->records[i];
        if (record->refs != 0)
            continue;
        count++;
        if (record->queue != FH_QUEUE_NONE || record->dirty || record->busy ||
            record->page != FH_PAGE_NONE)
            fh_report(r, "[I2] frame %u: free, but still marked as used", i);
    }
    if (count != f->free)
        fh_report(r, "[I1] %u frames are free, %u have no reference", f->free, count);
}

bool fh_frames_check(const struct fh_frames *f, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};

    check_free_list(f, &r);
    check_records(f, &r);
    return r.broken == 0;
}

void fh_frames_stats(const struct fh_frames *f, struct fh_frames_stats *out)
{
    *out = (struct fh_frames_stats){
        .total = f->total, .free = f->free, .never_used = f->total - f->untouched};
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
