/*
 * Theory.  Frames are freed before they are needed: below `low` reclaim begins, at `high` it ends.
 * It works in slices between events, each at most SLICE_VICTIMS pages or SLICE_LOOKS frames looked
 * at, so that sockets are served in between. What a victim costs decides its way out:
 *
 *   clean       its slot holds the same bytes: the entries name the slot, the frame is free at once
 *   all zero    the entries become NOTHING: no slot, no write
 *   dirty       collected, sorted by page so that neighbours stay neighbours on disk, sealed and
 * written as runs of consecutive slots; the frame is free when the write is complete
 *   of a file   clean: the entries become FILE, the frame is free at once. Dirty: written back in
 * runs of the file; if the file takes no writes now, the page goes to swap like any other
 *
 * The write holds a reference on the frame. A client that writes the page meanwhile therefore moves
 * to another frame, and completion finds a frame that nobody names any more: nothing has to be
 * cancelled. A page that was touched while its write was in flight stays, clean.
 *
 * After several writes have failed in a row the requests in the line are told IO_ERROR instead of waiting on.
 *
 * When nothing can be stored, because the disk failed a moment ago or no slot is free, only clean
 * and zero pages go. By the capacity rule [I7 of pager.c] there is a clean one whenever no slot is
 * free and frames are short.
 *
 * A request that is refused room because dirty pages of files take it waits in the line, and these
 * are written back whether frames are short or not. When none of them can be written, it is told.
 *
 * Invariants
 *   [I1] writing is the number of frames in store operations, to swap and to files
 */
#include "reclaim.h"

#include <errno.h>
#include <stdlib.h>

#include "bits.h"
#include "reclaim_private.h"
#include "report.h"

enum {
    SLICE_VICTIMS = FH_RECLAIM_BATCH,
    SLICE_LOOKS = FH_RECLAIM_LOOKS,
    BACKOFF_MS = 100,
    PARDON_MS = 10000,
    FAILURES_MAX = 3,
    ROOM_OPS_LEFT = 64, /* for others, when room is wanted */
    ROOM_LOOKS = 65536, /* at frames, in a turn */
};

void fh_reclaim_init(struct fh_reclaim *r, struct fh_pager *p, uint32_t low, uint32_t high)
{
    *r = (struct fh_reclaim){.pager = p};
    fh_reclaim_set_marks(r, low, high);
}

void fh_reclaim_set_marks(struct fh_reclaim *r, uint32_t low, uint32_t high)
{
    r->low = low;
    r->high = high > low ? high : low;
}

/* --- the end of a write --- */

static void store_end_page(struct fh_reclaim *r, struct fh_page_op *op, uint32_t i)
{
    struct fh_pager *p = r->pager;
    struct fh_frame frame = op->frames[i];
    struct fh_frame_record *record = fh_frames_record(&p->frames, frame);
    struct fh_slot slot = {op->run.first.v + i};
    bool stored = op->run.status[i] == 0;
    bool named = record->page != FH_PAGE_NONE;

    record->busy = 0;
    p->storing--;
    r->writing--;
    bool pinned = named && fh_pager_set_aside(p, frame); /* since the write began */
    named = named && !pinned;
    if (!stored) {
        r->stats.write_errors++;
        r->failed_ms = r->now_ms;
        r->resume_at_ms = r->now_ms + BACKOFF_MS;
        if (named && op->cleans != FH_QUEUE_NONE)
            fh_fifo_insert_last(&p->fifo, frame, op->cleans);
        else if (named)
            fh_fifo_insert_main(&p->fifo, frame);
    } else if (named && op->cleans != FH_QUEUE_NONE) {
        if (!record->file)
            fh_pager_retain(p, frame, slot);
        fh_fifo_insert_last(&p->fifo, frame, op->cleans);
        r->stats.cleaned++;
    } else if (named && (record->freq > 0 || record->refs > fh_pager_names(p, frame) + 1)) {
        if (!record->file)
            fh_pager_retain(p, frame, slot);
        fh_fifo_insert_main(&p->fifo, frame);
    } else if (named) {
        fh_pager_evict(p, frame, slot);
        r->stats.dirty++;
    }
    if (stored)
        fh_swap_slot_give(&p->swap, slot);
    fh_pager_unref(p, frame);
}

static void store_done(struct fh_swap_run *run)
{
    struct fh_page_op *op = FH_CONTAINER_OF(run, struct fh_page_op, run);
    struct fh_reclaim *r = op->owner;

    r->failures =
        run->status[0] == 0 ? 0 : r->failures + 1; /* a run fails or succeeds as a whole */
    fh_pager_op_wake(op);
    for (uint32_t i = 0; i < run->count; i++)
        store_end_page(r, op, i);
    fh_pager_op_give(op->pager, op);
}

static void file_store_ended(struct fh_page_op *op, uint32_t gone)
{
    struct fh_reclaim *r = op->owner;

    r->writing -= op->run.count;
    r->stats.file_dirty += gone;
    if (op->run.status[0] == 0) {
        r->stats.cleaned += op->cleans != FH_QUEUE_NONE ? op->run.count : 0;
        return;
    }
    r->stats.write_errors += op->run.count;
    r->files_at_ms = r->now_ms + BACKOFF_MS;
}

uint32_t fh_reclaim_write_back(struct fh_reclaim *r, struct fh_writeback *files)
{
    uint32_t started = fh_pager_write_back(r->pager, files, r, file_store_ended);

    r->writing += started;
    return started;
}

/* --- choosing --- */

bool fh_reclaim_can_store(const struct fh_reclaim *r)
{
    const struct fh_swap *swap = &r->pager->swap;
    return swap->slots.stats.free > 0 && r->now_ms >= r->resume_at_ms;
}

bool fh_reclaim_must_wait(const struct fh_reclaim *r)
{
    const struct fh_swap *swap = &r->pager->swap;
    return (swap->fd >= 0 && swap->bounce_free == 0) || r->pager->ops_free_count == 0;
}

/*
 * Slots that could not be written are put aside, or a bad place on the disk would be chosen again and again. When slots
 * run out, or when nothing has failed for a while, they are tried once more: the disk may work again.
 */
static void reclaim_pardon(struct fh_reclaim *r)
{
    struct fh_slots *slots = &r->pager->swap.slots;
    bool short_of_slots = slots->stats.free < SLICE_VICTIMS && r->now_ms >= r->resume_at_ms;

    if (r->failed_ms == 0 || (!short_of_slots && r->now_ms < r->failed_ms + PARDON_MS))
        return;
    r->failed_ms = 0;
    (void)fh_slots_pardon(slots);
}

bool fh_reclaim_is_zero(const uint8_t *bytes)
{
    const uint64_t *words = (const uint64_t *)(const void *)bytes;

    for (uint32_t i = 0; i < FH_PAGE_SIZE / sizeof(*words); i++)
        if (words[i] != 0)
            return false;
    return true;
}

bool fh_reclaim_is_at_rest(const struct fh_pager *p, struct fh_frame frame)
{
    uint32_t refs = fh_frames_record(&p->frames, frame)->refs;
    return refs == 1 || refs == fh_pager_names(p, frame);
}

/* Lets a page of a file go, or collects it to be written back; false: it is to go to swap. */
static bool reclaim_file(struct fh_reclaim *r, struct fh_frame frame,
                         struct fh_reclaim_batch *batch)
{
    if (fh_frames_record(&r->pager->frames, frame)->dirty)
        return r->now_ms >= r->files_at_ms && fh_writeback_add(&batch->files, r->pager, frame);
    fh_pager_evict_file(r->pager, frame);
    r->stats.file_clean++;
    return true;
}

bool fh_reclaim_victim(struct fh_reclaim *r, struct fh_frame frame, struct fh_reclaim_batch *batch)
{
    struct fh_pager *p = r->pager;
    const struct fh_frame_record *record = fh_frames_record(&p->frames, frame);

    if (!fh_reclaim_is_at_rest(p, frame)) {
        fh_fifo_put_back(&p->fifo, frame);
        return false;
    }
    if (record->file && reclaim_file(r, frame, batch))
        return true;
    if (!record->dirty) {
        fh_pager_evict(p, frame, fh_pager_slot_of(p, frame));
        r->stats.clean++;
    } else if (!record->file && fh_reclaim_is_zero(fh_region_bytes(&p->region, frame))) {
        fh_pager_forget(p, frame);
        r->stats.zero++;
    } else if (fh_reclaim_can_store(r)) {
        batch->frames[batch->count++] = frame;
    } else {
        fh_fifo_put_back(&p->fifo, frame);
        return false;
    }
    return true;
}

/* --- writing --- */

static int by_page(const void *a, const void *b)
{
    const struct fh_frame_record *const *x = a;
    const struct fh_frame_record *const *y = b;
    return ((*x)->page > (*y)->page) - ((*x)->page < (*y)->page);
}

static void batch_sort(const struct fh_pager *p, struct fh_reclaim_batch *b)
{
    const struct fh_frame_record *records[SLICE_VICTIMS];

    for (uint32_t i = 0; i < b->count; i++)
        records[i] = fh_frames_record(&p->frames, b->frames[i]);
    qsort(records, b->count, sizeof(records[0]), by_page);
    for (uint32_t i = 0; i < b->count; i++)
        b->frames[i].v = (uint32_t)(records[i] - p->frames.records);
}

/* Starts a write of up to `count` frames and returns of how many; 0 when none can be started now.
 */
static uint32_t store_start(struct fh_reclaim *r, const struct fh_frame *frames, uint32_t count,
                            enum fh_queue cleans)
{
    struct fh_pager *p = r->pager;
    struct fh_page_op *op = fh_reclaim_must_wait(r) ? NULL : fh_pager_op_take(p);
    if (!op)
        return 0;

    op->kind = FH_PAGE_OP_STORE;
    op->owner = r;
    op->cleans = cleans;
    op->run.count = count;
    op->run.done = store_done;
    for (uint32_t i = 0; i < count; i++) {
        op->frames[i] = frames[i];
        op->run.pages[i] = fh_region_bytes(&p->region, frames[i]);
    }
    if (fh_swap_store(&p->swap, &op->run) != 0) {
        fh_pager_op_give(p, op);
        return 0;
    }
    for (uint32_t i = 0; i < op->run.count; i++) {
        fh_frames_hold(&p->frames, frames[i]);
        fh_frames_record(&p->frames, frames[i])->busy = 1;
        fh_frames_record(&p->frames, frames[i])->next = (uint32_t)(op - p->ops);
    }
    p->storing += op->run.count;
    r->writing += op->run.count;
    return op->run.count;
}

void fh_reclaim_store(struct fh_reclaim *r, struct fh_reclaim_batch *b)
{
    uint32_t started = 0;
    uint32_t part;

    batch_sort(r->pager, b);
    while (started < b->count &&
           (part = store_start(r, b->frames + started, b->count - started, b->cleans)) > 0)
        started += part;
    for (; started < b->count; started++)
        if (b->cleans != FH_QUEUE_NONE)
            fh_fifo_insert_last(&r->pager->fifo, b->frames[started], b->cleans);
        else
            fh_fifo_insert_main(&r->pager->fifo, b->frames[started]);
}

/* The disk takes nothing: who waits for frames would wait for ever, so they are told, until another write was tried. */
static void reclaim_give_up(struct fh_reclaim *r)
{
    if (r->failures < FAILURES_MAX || r->writing > 0 || fh_pager_droppable(r->pager) > 0 ||
        fh_line_is_empty(&r->pager->line))
        return;
    r->failures--;
    fh_pager_refuse_line(r->pager, -EIO);
}

/* --- how much --- */

/* What the first in the line needs, or a chunk that is being emptied. */
static uint32_t reclaim_waiting_need(const struct fh_reclaim *r)
{
    struct fh_call *head = fh_line_head(&r->pager->line);
    return (uint32_t)fh_max_u64(head ? head->need : 0, r->pager->budget.need);
}

/* Spare frames to reach, those on their way out included. */
static uint32_t reclaim_goal(struct fh_reclaim *r)
{
    uint32_t spare = fh_pager_spare(r->pager);
    uint32_t need = reclaim_waiting_need(r);

    if (spare < r->low || need > 0)
        r->running = true;
    else if (spare >= r->high)
        r->running = false;
    return r->running ? (uint32_t)fh_max_u64(r->high, need) : 0;
}

/* --- room --- */

/* Collects dirty pages of files, from the hand on. */
static void room_collect(struct fh_reclaim *r, struct fh_writeback *files, uint32_t *looks)
{
    struct fh_pager *p = r->pager;

    fh_writeback_init(files, FH_QUEUE_NONE);
    for (; *looks > 0 && files->count < FH_FILE_RUN_MAX; --*looks) {
        struct fh_frame frame = {r->room_hand};
        const struct fh_frame_record *record = fh_frames_record(&p->frames, frame);
        r->room_hand = r->room_hand + 1 < p->frames.span ? r->room_hand + 1 : 0;
        r->room_vain++;
        if (record->queue == FH_QUEUE_NONE || !record->file || !record->dirty)
            continue;
        fh_fifo_remove(&p->fifo, frame);
        if (!fh_writeback_add(files, p, frame))
            fh_pager_enqueue_main(p, frame);
    }
}

/*
 * Somebody waits for room that dirty pages of files take; but first for what comes without a write.
 * When none of them can be written, after a look at all frames, those in the line are told so.
 */
static void reclaim_make_room(struct fh_reclaim *r)
{
    struct fh_pager *p = r->pager;
    uint32_t looks = ROOM_LOOKS;
    struct fh_writeback files;
    bool failed = r->now_ms < r->files_at_ms;

    p->cleaning = p->cleaning && !fh_line_is_empty(&p->line) && fh_pager_room_may_come(p, 0);
    if (!p->cleaning)
        r->room_vain = 0;
    if (p->cleaning && fh_pager_room_comes(p) > 0) {
        p->again = true;
        return;
    }
    while (p->cleaning && !failed && looks > 0 && p->ops_free_count > ROOM_OPS_LEFT) {
        room_collect(r, &files, &looks);
        uint32_t started = fh_reclaim_write_back(r, &files);
        r->room_vain = started > 0 ? 0 : r->room_vain;
    }
    if (!p->cleaning || r->writing > 0)
        return;
    if (failed || r->room_vain >= p->frames.span)
        fh_pager_refuse_line(p, -ENOSPC);
    else
        p->again = true;
}

/* Pages have a place to go to. */
static bool reclaim_can_free(const struct fh_pager *p)
{
    return p->swap.slots.stats.total > 0 || p->file_clean + p->file_dirty > 0;
}

bool fh_reclaim_turn(struct fh_reclaim *r, uint64_t now_ms)
{
    struct fh_pager *p = r->pager;
    struct fh_reclaim_batch batch;
    uint32_t looks = SLICE_LOOKS;
    uint32_t gone = 0;

    r->now_ms = now_ms;
    fh_reclaim_batch_init(&batch, FH_QUEUE_NONE);
    reclaim_pardon(r);
    reclaim_give_up(r);
    reclaim_make_room(r);
    uint32_t goal = reclaim_goal(r);
    if (goal == 0)
        fh_reclaim_clean_ahead(r);
    if (goal == 0 || !reclaim_can_free(p) || fh_reclaim_must_wait(r))
        return false;
    while (gone < SLICE_VICTIMS &&
           fh_pager_spare(p) + r->writing + batch.count + batch.files.count < goal) {
        struct fh_frame frame = fh_fifo_pick(&p->fifo, &looks);
        if (frame.v == FH_FRAME_NONE.v)
            break;
        gone += fh_reclaim_victim(r, frame, &batch);
    }
    if (batch.count > 0)
        fh_reclaim_store(r, &batch);
    if (batch.files.count > 0)
        (void)fh_reclaim_write_back(r, &batch.files);
    /* Nothing of what was looked at could go, but a clean page can: it is still to come. */
    bool clean_ahead = looks == 0 && fh_pager_droppable(p) > 0;
    return (gone > 0 || clean_ahead) && fh_pager_spare(p) + r->writing < goal;
}

void fh_reclaim_stats(const struct fh_reclaim *r, struct fh_reclaim_stats *out)
{
    *out = r->stats;
    if (fh_pager_admit(r->pager, 1) != 0)
        out->pressure = FH_PRESSURE_FULL;
    else if (!fh_line_is_empty(&r->pager->line))
        out->pressure = FH_PRESSURE_PARKING;
    else
        out->pressure = r->running ? FH_PRESSURE_RECLAIMING : FH_PRESSURE_OK;
}

bool fh_reclaim_check(const struct fh_reclaim *r, FILE *why)
{
    struct fh_report report = {.out = why, .lines_max = 20};
    uint32_t writing = 0;

    for (uint32_t i = 0; i < FH_PAGER_OPS; i++) {
        const struct fh_page_op *op = &r->pager->ops[i];
        writing += op->in_use && op->owner == r ? op->run.count : 0;
    }
    if (writing != r->writing)
        fh_report(&report, "[I1] %u frames are being written, counted %u", r->writing, writing);
    return report.broken == 0;
}

void fh_reclaim_dump(const struct fh_reclaim *r, FILE *out)
{
    fprintf(out,
            "reclaim: low %u high %u %s, writing %u, clean %llu dirty %llu zero %llu errors %llu, "
            "of files clean %llu dirty %llu\n",
            r->low, r->high, r->running ? "running" : "idle", r->writing,
            (unsigned long long)r->stats.clean, (unsigned long long)r->stats.dirty,
            (unsigned long long)r->stats.zero, (unsigned long long)r->stats.write_errors,
            (unsigned long long)r->stats.file_clean, (unsigned long long)r->stats.file_dirty);
}
