/*
 * Theory.  An object may lie in a file: a run of pages of the space is then a window of that file,
 * page i of the one being page i of the other. Such a page leaves memory to its file and comes back
 * from there. It needs no slot, and a clean one needs no writing at all.
 *
 *                    hold                       write
 *     FILE --------------------> FRAME, clean ---------> FRAME, dirty
 *      ^  <--------------------      ^                       |
 *      |     evict: at once          +------- synced --------+  write back; evict, if that was why
 *      +------------------------------------------------------
 *
 * NOTHING is FILE for pages that were never in memory, so that opening a file costs nothing for its
 * size. ZERO is a page that was zeroed as a whole: the file does not know it yet, no frame is
 * needed to. A dirty page can also lie in a SLOT: it was staged and moved here, or its file took no
 * writes when the frame was needed. Read in again it is a dirty page of its file.
 *
 * The file is written while views of the object are open, and a view must not see that. So in a
 * ring the file's bytes are one thing: whoever names them is FILE, or they all name one frame. When
 * the origin gets other bytes, the frame that the others still name becomes memory, with a slot at
 * its next eviction, and those that were FILE have read it before.
 *
 * Invariants
 *   [F1] a frame is the file's if and only if the origin's entry names it, as FRAME
 *   [F2] if an entry of a ring is FILE, then all its entries are, but for those that name memory of
 *        their own: so a view in FILE means that the origin is
 *   [F3] a page that is being written back is busy, and nothing else of its place is in flight
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bits.h"
#include "pager_private.h"

static struct fh_page origin_of(const struct fh_pager *p, struct fh_page page)
{
    struct fh_ring_walk walk = {0};
    struct fh_page origin;

    if (p->rings.count == 0)
        return page;
    (void)fh_rings_next(&p->rings, page, &walk, &origin);
    return origin;
}

struct fh_file *fh_pager_file_of(const struct fh_pager *p, struct fh_page page, uint64_t *place)
{
    if (p->backing.count == 0)
        return NULL;
    struct fh_page origin = origin_of(p, page);
    struct fh_file *f = fh_backing_find(&p->backing, origin);
    if (f && place)
        *place = origin.v - f->first.v;
    return f;
}

bool fh_pager_is_of_file(const struct fh_pager *p, struct fh_frame frame)
{
    if (p->backing.count == 0)
        return false;
    struct fh_page origin =
        origin_of(p, (struct fh_page){fh_frames_record(&p->frames, frame)->page});
    struct fh_entry e = fh_pagetable_get(&p->table, origin);
    return fh_backing_find(&p->backing, origin) && fh_entry_state(e) == FH_PAGE_FRAME &&
           fh_entry_frame(e).v == frame.v;
}

void fh_pager_make_file(struct fh_pager *p, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);

    FH_ASSERT(r->dirty);
    FH_ASSERT(!r->file);
    r->file = 1;
    p->file_dirty++;
}

void fh_pager_unfile(struct fh_pager *p, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);

    FH_ASSERT(r->file);
    p->file_dirty -= r->dirty;
    p->file_clean -= !r->dirty;
    p->fifo.aside_clean -= r->queue == FH_QUEUE_ASIDE && !r->dirty;
    r->file = 0;
    r->dirty = 1;
}

int fh_pager_touch_ring(struct fh_pager *p, struct fh_page page)
{
    struct fh_ring_walk walk = {0};
    struct fh_page q;
    int rc = 0;

    while (rc == 0 && fh_rings_next(&p->rings, page, &walk, &q))
        rc = fh_pagetable_touch(&p->table, q, 1);
    return rc;
}

bool fh_pager_is_viewed(const struct fh_pager *p, struct fh_page page)
{
    struct fh_ring_walk walk = {0};
    struct fh_page q;

    if (p->rings.count == 0 || !fh_backing_find(&p->backing, page))
        return false;
    struct fh_entry e = fh_pagetable_get(&p->table, page);
    /* If that read fails the views will read again. */
    if (fh_entry_state(e) == FH_PAGE_READING && fh_entry_slot(e).v == 0)
        return fh_pager_names(p, fh_entry_frame(e)) > 1;
    while (fh_rings_next(&p->rings, page, &walk, &q))
        if (q.v != page.v &&
            fh_pager_state_of(p, q, fh_pagetable_get(&p->table, q)) == FH_PAGE_FILE)
            return true;
    return false;
}

/* --- before whole pages are replaced --- */

/* The views keep the clean frame, as memory; the object's page is in the file alone. */
static void part_page(struct fh_pager *p, struct fh_page page, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);
    struct fh_names_walk walk = {0};

    fh_pager_unfile(p, frame);
    fh_pagetable_set(&p->table, page, (struct fh_entry){0});
    if (r->page == page.v) {
        bool named = fh_pager_next_name(p, frame, &walk);
        FH_ASSERT(named);
        r->page = walk.page.v & FH_PAGE_NONE;
    }
    fh_pager_requeue(p, frame);
    fh_pager_unref(p, frame);
    fh_pager_note_absent(p, page); /* if it is not replaced after all */
}

/* How many pages from here on views would have to read, at most as many as may be held. */
static uint32_t viewed_run(const struct fh_pager *p, struct fh_page page, struct fh_page end)
{
    uint32_t run = 0;

    while (page.v + run < end.v && run < p->opts.hold_max &&
           fh_pager_is_viewed(p, fh_page_add(page, run)))
        run++;
    return run;
}

int fh_pager_part(struct fh_pager *p, struct fh_call *call, struct fh_hold *h, struct fh_page first,
                  struct fh_page end)
{
    if (!fh_rings_mirror(&p->rings, first, end.v - first.v))
        return 0;
    for (struct fh_page page = first; page.v < end.v; page = fh_page_add(page, 1)) {
        struct fh_entry e = fh_pagetable_get(&p->table, page);
        struct fh_frame frame = fh_entry_frame(e);
        uint32_t run = viewed_run(p, page, end);
        int rc = 0;
        if (run == 0 && fh_entry_state(e) == FH_PAGE_READING && fh_entry_slot(e).v == 0)
            run = 1;
        if (run > 0)
            return fh_pager_hold(p, call, h, page, run); /* none of them is there: it waits */
        if (fh_entry_state(e) != FH_PAGE_FRAME || fh_pager_names(p, frame) < 2 ||
            !fh_frames_record(&p->frames, frame)->file ||
            fh_frames_record(&p->frames, frame)->dirty)
            continue;
        if ((rc = fh_pager_admit(p, 1)) != 0)
            return rc;
        part_page(p, page, frame);
    }
    return 0;
}

/* --- room --- */

uint64_t fh_pager_room_comes(const struct fh_pager *p)
{
    return p->opts.room_comes ? p->opts.room_comes(p->opts.ctx) : 0;
}

bool fh_pager_room_may_come(const struct fh_pager *p, uint64_t pages)
{
    uint64_t capacity = fh_pager_capacity(p, fh_min_u64(p->frames.total, p->budget.asked));
    uint64_t coming = fh_pager_room_comes(p);

    return p->file_dirty > 0 ||
           (coming > 0 && fh_pager_live(p) + p->claimed + pages <= capacity + coming);
}

int fh_pager_wait_for_room(struct fh_pager *p, struct fh_call *call, uint64_t pages)
{
    if (!fh_pager_room_may_come(p, pages))
        return -ENOSPC;
    p->cleaning = true;
    return fh_pager_wait(p, call, 0);
}

/* --- out of memory --- */

void fh_pager_evict_file(struct fh_pager *p, struct fh_frame frame)
{
    uint32_t epoch = fh_fifo_evicted(&p->fifo);
    struct fh_names_walk walk = {0};
    bool last = false;

    while (!last && fh_pager_next_name(p, frame, &walk)) {
        last = fh_frames_record(&p->frames, frame)->refs == 1;
        fh_pagetable_set(&p->table, walk.page,
                         fh_entry_make(FH_PAGE_FILE, epoch, (struct fh_slot){0}));
        if (last)
            fh_pager_unmap_frame(p, frame);
        fh_pager_unref(p, frame);
    }
    if (!last)
        fh_pager_unmap_frame(p, frame);
}

/* --- writing back --- */

static void store_end_zero(struct fh_pager *p, const struct fh_file_run *run, uint32_t i)
{
    struct fh_page page = fh_page_add(run->file->first, run->first + i);
    struct fh_entry e = fh_pagetable_get(&p->table, page);

    if (run->status[i] != 0 || run->file->ended || fh_entry_state(e) != FH_PAGE_ZERO)
        return;
    fh_pagetable_set(&p->table, page, (struct fh_entry){0});
    fh_pager_note_absent(p, page);
}

/* The frame stays: where it was cleaned, at the end where victims come from, or in the newest place of
 * main. */
static void store_requeue(struct fh_pager *p, struct fh_frame frame, enum fh_queue cleans)
{
    if (cleans == FH_QUEUE_NONE)
        fh_pager_enqueue_main(p, frame);
    else if (!fh_pager_set_aside(p, frame))
        fh_fifo_insert_last(&p->fifo, frame, cleans);
}

/* True when the page left memory. */
static bool store_end_page(struct fh_page_op *op, uint32_t i)
{
    struct fh_pager *p = op->pager;
    struct fh_frame frame = op->frames[i];
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);
    bool named = r->page != FH_PAGE_NONE;
    bool clean = named && r->file && op->file.status[i] == 0;
    bool gone = false;

    r->busy = 0;
    if (clean) {
        r->dirty = 0;
        p->file_dirty--;
        p->file_clean++;
        gone = op->owner && op->cleans == FH_QUEUE_NONE && r->freq == 0 &&
               r->refs == fh_pager_names(p, frame) + 1 && !fh_pager_is_pinned(p, frame);
    }
    if (gone)
        fh_pager_evict_file(p, frame);
    else if (named)
        store_requeue(p, frame, clean ? op->cleans : FH_QUEUE_NONE);
    fh_pager_unref(p, frame);
    return gone;
}

static void store_done(struct fh_file_run *run)
{
    struct fh_page_op *op = FH_CONTAINER_OF(run, struct fh_page_op, file);
    uint32_t gone = 0;

    memcpy(op->run.status, run->status, run->count * sizeof(run->status[0]));
    fh_pager_op_wake(op);
    for (uint32_t i = 0; i < run->count; i++)
        if (op->frames[i].v == FH_FRAME_NONE.v)
            store_end_zero(op->pager, run, i);
        else
            gone += store_end_page(op, i);
    if (op->ended)
        op->ended(op, gone);
    fh_pager_op_give(op->pager, op);
}

struct fh_page_op *fh_pager_settle_file(struct fh_pager *p, struct fh_file *f)
{
    struct fh_page_op *op = fh_pager_op_take(p);

    if (!op)
        return NULL;
    op->kind = FH_PAGE_OP_FILE_STORE;
    op->file.file = f;
    op->file.first = 0;
    op->file.count = 0;
    op->file.done = store_done;
    fh_backing_settle(&p->backing, &op->file);
    return op;
}

struct fh_page_op *fh_pager_store_file(struct fh_pager *p, const struct fh_writeback_page *pages,
                                       uint32_t count, enum fh_queue cleans, void *owner,
                                       void (*ended)(struct fh_page_op *, uint32_t gone))
{
    struct fh_page_op *op = fh_pager_op_take(p);

    if (!op)
        return NULL;
    op->kind = FH_PAGE_OP_FILE_STORE;
    op->cleans = cleans;
    op->owner = owner;
    op->ended = ended;
    op->run.count = count;
    op->file.file = pages[0].file;
    op->file.first = pages[0].place;
    op->file.count = count;
    op->file.done = store_done;
    for (uint32_t i = 0; i < count; i++) {
        struct fh_frame frame = pages[i].frame;
        op->frames[i] = frame;
        op->file.pages[i] = (uint8_t *)(uintptr_t)fh_pager_zero_page();
        if (frame.v == FH_FRAME_NONE.v)
            continue;
        op->file.pages[i] = fh_region_bytes(&p->region, frame);
        fh_frames_hold(&p->frames, frame);
        fh_fifo_remove(&p->fifo, frame);
        fh_frames_record(&p->frames, frame)->busy = 1;
        fh_frames_record(&p->frames, frame)->next = (uint32_t)(op - p->ops);
    }
    fh_backing_write(&p->backing, &op->file);
    return op;
}

bool fh_writeback_add(struct fh_writeback *w, const struct fh_pager *p, struct fh_frame frame)
{
    struct fh_page page = {fh_frames_record(&p->frames, frame)->page};
    uint64_t place;
    struct fh_file *f = fh_pager_file_of(p, page, &place);

    FH_ASSERT(f != NULL);
    if (w->count == FH_FILE_RUN_MAX || !f->writable || f->error != 0 ||
        fh_file_is_in_use(f, place, 1))
        return false;
    w->pages[w->count++] = (struct fh_writeback_page){f, place, frame};
    return true;
}

static int by_place(const void *a, const void *b)
{
    const struct fh_writeback_page *x = a;
    const struct fh_writeback_page *y = b;
    uint64_t of_x = x->file->first.v + x->place;
    uint64_t of_y = y->file->first.v + y->place;
    return (of_x > of_y) - (of_x < of_y);
}

uint32_t fh_pager_write_back(struct fh_pager *p, struct fh_writeback *w, void *owner,
                             void (*ended)(struct fh_page_op *, uint32_t gone))
{
    uint32_t at = 0;

    qsort(w->pages, w->count, sizeof(w->pages[0]), by_place);
    while (at < w->count) {
        uint32_t run = 1;
        while (at + run < w->count && w->pages[at + run].file == w->pages[at].file &&
               w->pages[at + run].place == w->pages[at].place + run)
            run++;
        if (!fh_pager_store_file(p, w->pages + at, run, w->cleans, owner, ended))
            break;
        at += run;
    }
    for (uint32_t i = at; i < w->count; i++)
        store_requeue(p, w->pages[i].frame, w->cleans);
    return at;
}
