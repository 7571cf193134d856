/*
 * Theory.  Pages that somebody said he does not need give their memory back at once, whatever place
 * they have in the queues: they go the way of victims (reclaim.c), so no byte is lost. Clean ones are
 * dropped; dirty ones are written first, to swap or to their file, in runs, and go when the write is
 * complete, unless they were touched meanwhile. What is pinned, held or busy stays.
 */
#include "reclaim_private.h"

struct range_walk {
    struct fh_page pages[FH_RECLAIM_BATCH]; /* of what was collected, ascending */
    struct fh_frame frames[FH_RECLAIM_BATCH];
    uint32_t count;
};

/* The first page that was collected and whose write was not started; `page`: there is none. */
static struct fh_page range_left(const struct fh_pager *p, const struct range_walk *w,
                                 struct fh_page page)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (fh_frames_record(&p->frames, w->frames[i])->queue != FH_QUEUE_NONE)
            return w->pages[i];
    return page;
}

static void range_page(struct fh_reclaim *r, struct range_walk *w, struct fh_page page,
                       struct fh_reclaim_batch *batch)
{
    struct fh_pager *p = r->pager;
    struct fh_entry e = fh_pagetable_get(&p->table, page);
    struct fh_frame frame = fh_entry_frame(e);
    uint32_t before = batch->count + batch->files.count;

    if (fh_entry_state(e) != FH_PAGE_FRAME)
        return;
    struct fh_frame_record *record = fh_frames_record(&p->frames, frame);
    if ((record->queue != FH_QUEUE_SMALL && record->queue != FH_QUEUE_MAIN) ||
        !fh_reclaim_is_at_rest(p, frame))
        return;
    fh_fifo_remove(&p->fifo, frame);
    record->freq = 0;
    (void)fh_reclaim_victim(r, frame, batch);
    if (batch->count + batch->files.count == before)
        return;
    w->pages[w->count] = page;
    w->frames[w->count++] = frame;
}

bool fh_reclaim_let_go(struct fh_reclaim *r, struct fh_page *next, struct fh_page end,
                       uint32_t *looks)
{
    struct fh_pager *p = r->pager;
    struct fh_reclaim_batch batch;
    struct range_walk w;
    struct fh_page page = fh_pagetable_next(&p->table, *next, end);

    w.count = 0;
    fh_reclaim_batch_init(&batch, FH_QUEUE_NONE);
    if (fh_reclaim_must_wait(r))
        return false;
    for (; page.v<end.v && * looks> 0 && w.count < FH_RECLAIM_BATCH; --*looks) {
        range_page(r, &w, page, &batch);
        page = fh_pagetable_next(&p->table, fh_page_add(page, 1), end);
    }
    if (batch.count > 0)
        fh_reclaim_store(r, &batch);
    if (batch.files.count > 0)
        (void)fh_reclaim_write_back(r, &batch.files);
    struct fh_page left = range_left(p, &w, page);
    *next = left;
    return left.v == page.v;
}
