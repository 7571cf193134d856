/*
 * Theory.  While the disk rests and free frames are few, but enough, the pages next in line are written
 * ahead: they stay where they are, clean, with their slot, so that when demand comes 4 % of the frames
 * can be freed at once. That is done in passes from the old end of each queue, not more often than every
 * 100 ms, and not when swap is more than half full, when places are worth more than time.
 *
 * Dirty pages of files are written back to them, in the same passes, whatever there is of swap: so a
 * writer of a file finds most of what he wrote clean when its memory is wanted.
 */
#include "reclaim_private.h"

enum {
    CLEAN_PERMILLE = 40, /* of the frames, to be clean at the ends of the queues */
    CLEAN_PAUSE_MS = 100,
    CLEAN_RUN = 16,
};

/* Frames of a queue to be clean; whole runs only, a shorter one is not worth a write. */
static uint32_t clean_goal(const struct fh_reclaim *r)
{
    uint64_t frames = (uint64_t)r->pager->frames.total * CLEAN_PERMILLE / 1000;
    return (uint32_t)(frames - frames % CLEAN_RUN);
}

/* Swap has places to spare. */
static bool clean_may_store(const struct fh_reclaim *r)
{
    const struct fh_slots_stats *slots = &r->pager->swap.slots.stats;

    return slots->used * 2 <= slots->total && fh_reclaim_can_store(r);
}

/* Files have pages that they may get. */
static bool clean_may_write_back(const struct fh_reclaim *r)
{
    return r->pager->file_dirty > 0 && r->now_ms >= r->files_at_ms;
}

/* The disk has nothing to do, and frames will be wanted soon. */
static bool clean_may_run(const struct fh_reclaim *r)
{
    const struct fh_swap *swap = &r->pager->swap;

    return r->high > 0 && fh_pager_spare(r->pager) < r->high + clean_goal(r) &&
           swap->stores + swap->loads == 0 && r->writing == 0 &&
           (clean_may_store(r) || clean_may_write_back(r)) && !fh_reclaim_must_wait(r);
}

static void clean_begin(struct fh_reclaim *r, enum fh_queue queue)
{
    r->clean_queue = queue;
    r->clean_hand = fh_fifo_oldest(&r->pager->fifo, queue);
    r->clean_left = clean_goal(r);
}

/* The frame the pass is at, or none when it is over; a frame that left its queue ends it. */
static struct fh_frame clean_next(struct fh_reclaim *r)
{
    struct fh_frame frame = r->clean_hand;

    if (r->clean_left == 0 || frame.v == FH_FRAME_NONE.v ||
        fh_frames_record(&r->pager->frames, frame)->queue != r->clean_queue)
        return FH_FRAME_NONE;
    r->clean_left--;
    r->clean_hand = fh_fifo_younger(&r->pager->fifo, frame);
    return frame;
}

/* From small to main, from main to a rest. */
static void clean_end_pass(struct fh_reclaim *r)
{
    if (r->clean_queue == FH_QUEUE_SMALL) {
        clean_begin(r, FH_QUEUE_MAIN);
        return;
    }
    r->clean_queue = FH_QUEUE_NONE;
    r->clean_at_ms = r->now_ms + CLEAN_PAUSE_MS;
}

/* Takes the frame out of its queue if it would be written when it is evicted. */
static void clean_collect(struct fh_reclaim *r, struct fh_frame frame,
                          struct fh_reclaim_batch *batch)
{
    struct fh_pager *p = r->pager;
    const struct fh_frame_record *record = fh_frames_record(&p->frames, frame);

    if (!record->dirty || record->freq > 0 || !fh_reclaim_is_at_rest(p, frame))
        return;
    if (record->file) {
        if (clean_may_write_back(r) && fh_writeback_add(&batch->files, p, frame))
            fh_fifo_remove(&p->fifo, frame);
        return;
    }
    if (fh_reclaim_is_zero(fh_region_bytes(&p->region, frame))) {
        fh_pager_forget(p, frame);
        r->stats.zero++;
        return;
    }
    if (!clean_may_store(r))
        return;
    fh_fifo_remove(&p->fifo, frame);
    batch->frames[batch->count++] = frame;
}

void fh_reclaim_clean_ahead(struct fh_reclaim *r)
{
    struct fh_reclaim_batch batch;

    if (!clean_may_run(r) || (r->clean_queue == FH_QUEUE_NONE && r->now_ms < r->clean_at_ms))
        return;
    if (r->clean_queue == FH_QUEUE_NONE)
        clean_begin(r, FH_QUEUE_SMALL);
    fh_reclaim_batch_init(&batch, r->clean_queue);
    for (uint32_t looks = 0; looks < FH_RECLAIM_LOOKS && batch.count < FH_RECLAIM_BATCH &&
                             batch.files.count < FH_FILE_RUN_MAX;
         looks++) {
        struct fh_frame frame = clean_next(r);
        if (frame.v == FH_FRAME_NONE.v) {
            clean_end_pass(r);
            break;
        }
        clean_collect(r, frame, &batch);
    }
    if (batch.count > 0)
        fh_reclaim_store(r, &batch);
    if (batch.files.count > 0)
        (void)fh_reclaim_write_back(r, &batch.files);
}
