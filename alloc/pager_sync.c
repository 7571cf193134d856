/*
 * Theory.  A sync walks over its range and starts to write back what is dirty, in runs, as long as
 * there are operations; then it waits for all of them and goes on where it stopped. A run is done
 * when an fdatasync covers it, and so is the sync when its last run is. What becomes dirty behind
 * the cursor was written after the sync was asked for, and is not its business.
 *
 * Where a page cannot be written yet, because older bytes of it are on their way, or because it has
 * to be read back from swap first, the cursor stays before it: it is looked at again afterwards.
 * Each time around another request's write was completed, so it comes to an end.
 *
 * In the end, if no fdatasync of the file was done since it was opened, one is.
 *
 * A long walk gives way to others after SYNC_LOOKS pages.
 */
#include <errno.h>

#include "pager_private.h"

enum { SYNC_OPS = 16, SYNC_OPS_LEFT = 24, SYNC_LOOKS = 65536 };

_Static_assert((int)SYNC_OPS + 1 <= (int)FH_HOLD_MAX, "a hold can wait for so many operations");

enum sync_page { SYNC_CLEAN, SYNC_WRITE, SYNC_WAIT, SYNC_READ_IN };

struct sync {
    struct fh_pager *pager;
    struct fh_hold *hold;
    struct fh_file *file;
    struct fh_page end;
    uint32_t ops;
};

/* What is to be done with the page; of a WRITE, its frame; of a WAIT, the operation. */
static enum sync_page sync_look(const struct sync *s, struct fh_page page, struct fh_frame *frame,
                                struct fh_page_op **op)
{
    struct fh_pager *p = s->pager;
    struct fh_entry e = fh_pagetable_get(&p->table, page);
    const struct fh_frame_record *r;
    struct fh_file_run *run = NULL;

    switch (fh_entry_state(e)) {
    case FH_PAGE_NOTHING:
    case FH_PAGE_FILE:
        return SYNC_CLEAN;
    case FH_PAGE_READING:
        return fh_entry_slot(e).v == 0 ? SYNC_CLEAN : SYNC_READ_IN;
    case FH_PAGE_SLOT:
    case FH_PAGE_FAILED:
        return SYNC_READ_IN;
    case FH_PAGE_FRAME:
        *frame = fh_entry_frame(e);
        r = fh_frames_record(&p->frames, *frame);
        *op = r->busy ? &p->ops[r->next] : NULL;
        if (!r->dirty)
            return SYNC_CLEAN;
        break;
    case FH_PAGE_ZERO:
        *frame = FH_FRAME_NONE;
        *op = NULL;
        break;
    }
    if (!*op && (run = fh_file_user(s->file, page.v - s->file->first.v, 1)) != NULL)
        *op = FH_CONTAINER_OF(run, struct fh_page_op, file);
    return *op ? SYNC_WAIT : SYNC_WRITE;
}

/* A hold that waits for operations holds no page. */
static void sync_wait_for(struct sync *s, struct fh_call *call, struct fh_page_op *op)
{
    struct fh_hold *h = s->hold;

    if (!fh_hold_is_bound(h)) {
        fh_hold_init(h);
        h->call = call;
        h->count = 1;
        h->frames[0] = FH_FRAME_NONE;
        fh_list_push_back(&s->pager->holds, &h->link);
    }
    for (uint32_t i = 0; i < h->waits_used; i++)
        if (h->waits[i].op == op)
            return;
    fh_hold_wait_for(h, op);
}

/* Starts to write the run of dirty pages that begins here; how many, 0: no operation is left. */
static uint32_t sync_write(struct sync *s, struct fh_call *call, struct fh_page page)
{
    struct fh_writeback_page pages[FH_FILE_RUN_MAX];
    struct fh_page_op *op;
    struct fh_frame frame;
    uint32_t count = 0;

    if (s->ops == SYNC_OPS || s->pager->ops_free_count < SYNC_OPS_LEFT)
        return 0;
    while (count < FH_FILE_RUN_MAX && page.v + count < s->end.v &&
           sync_look(s, fh_page_add(page, count), &frame, &op) == SYNC_WRITE) {
        uint64_t place = page.v + count - s->file->first.v;
        pages[count++] = (struct fh_writeback_page){s->file, place, frame};
    }
    op = fh_pager_store_file(s->pager, pages, count, FH_QUEUE_NONE, NULL, NULL);
    FH_ASSERT(op != NULL); /* some were left */
    s->ops++;
    sync_wait_for(s, call, op);
    return count;
}

/* Pages from here on that are to be read back from swap, at most as many as may be held. */
static uint32_t sync_read_in(const struct sync *s, struct fh_page page)
{
    struct fh_page_op *op;
    struct fh_frame frame;
    uint32_t count = 0;

    while (count < s->pager->opts.hold_max && page.v + count < s->end.v &&
           sync_look(s, fh_page_add(page, count), &frame, &op) == SYNC_READ_IN)
        count++;
    return count;
}

/* Gives way: others first, and then on at once, or when an operation has ended. */
static int sync_later(struct sync *s, struct fh_call *call, bool at_once)
{
    s->pager->again = s->pager->again || at_once;
    return fh_pager_wait(s->pager, call, 0);
}

/* All is written; what was there before the file was opened is perhaps not safe yet. */
static int sync_settle(struct sync *s, struct fh_call *call)
{
    struct fh_page_op *op;

    if (s->file->settled || !s->file->writable)
        return 0;
    if (s->pager->ops_free_count < SYNC_OPS_LEFT)
        return sync_later(s, call, false);
    op = fh_pager_settle_file(s->pager, s->file);
    FH_ASSERT(op != NULL); /* some were left */
    sync_wait_for(s, call, op);
    fh_line_park_on_io(&s->pager->line, call, s->hold);
    return -EINPROGRESS;
}

int fh_pager_sync(struct fh_pager *p, struct fh_call *call, struct fh_hold *h, struct fh_file *f,
                  struct fh_page *cursor, struct fh_page end)
{
    struct sync s = {.pager = p, .hold = h, .file = f, .end = end};
    struct fh_page_op *op = NULL;
    struct fh_frame frame;
    uint32_t looks = 0, count = 1;
    enum sync_page what = SYNC_CLEAN;

    FH_ASSERT(!fh_hold_is_bound(h));
    if (f->error != 0)
        return f->error;
    for (; count > 0 && looks < SYNC_LOOKS; looks++) {
        *cursor = fh_pagetable_next(&p->table, *cursor, end);
        if (cursor->v >= end.v)
            break;
        what = sync_look(&s, *cursor, &frame, &op);
        count = what == SYNC_CLEAN ? 1 : what == SYNC_WRITE ? sync_write(&s, call, *cursor) : 0;
        cursor->v += count;
    }
    if (count == 0 && what == SYNC_WAIT)
        sync_wait_for(&s, call, op);
    if (fh_hold_is_bound(h)) {
        fh_line_park_on_io(&p->line, call, h);
        return -EINPROGRESS;
    }
    if (cursor->v >= end.v)
        return sync_settle(&s, call);
    if (count == 0 && what == SYNC_READ_IN)
        return fh_pager_hold(p, call, h, *cursor, sync_read_in(&s, *cursor));
    return sync_later(&s, call, count > 0);
}
