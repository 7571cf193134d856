/*
 * Theory.  Pages come in by runs: those of consecutive slots, or of consecutive places of a file, are one operation.
 * An operation has a reference on each of its frames and, through swap, on each of its slots, so whatever happens to
 * the entries meanwhile, the bytes have somewhere to go and the slots are not written. When it ends, whoever still
 * names a frame gets it; a frame that nobody names any more goes with the operation.
 *
 *   SLOT, FILE --add--> READING --bytes are there------> FRAME
 *                          |----tag does not hold------> FAILED
 *                          |----disk failed------------> SLOT, FILE, as before
 *
 * Invariants
 *   [L1] a page is READING if and only if the frame it names is that of a load in flight
 *   [L2] every hold in the waits of an operation is pending on it once
 *   [L3] ahead_ops is the number of operations in flight that read ahead
 */
#include <errno.h>
#include <string.h>

#include "bits.h"
#include "pager_private.h"

#define NO_EPOCH UINT32_MAX /* of a page that was never in memory */

static void load_done(struct fh_swap_run *run);
static void file_load_done(struct fh_file_run *run);

void fh_loader_flush(struct fh_pager *p, struct fh_loader *l)
{
    if (!l->op)
        return;
    FH_ASSERT(l->op->run.count > 0);
    if (l->file) {
        l->op->file.count = l->op->run.count;
        l->op->file.done = file_load_done;
        fh_backing_read(&p->backing, &l->op->file);
    } else {
        l->op->run.done = load_done;
        fh_swap_load(&p->swap, &l->op->run);
    }
    l->op = NULL;
}

/* Whether the page at `next` of the file or of swap can be read by the operation being filled. */
static bool loader_continues(const struct fh_loader *l, const struct fh_file *file, uint64_t next)
{
    return l->op && l->op->run.count < FH_SWAP_RUN_MAX && file == l->file && next == l->next;
}

/* Makes place in a run for one page more, at `next` of the file or of swap. */
static void loader_continue(struct fh_pager *p, struct fh_loader *l, struct fh_file *file,
                            uint64_t next)
{
    if (!loader_continues(l, file, next)) {
        fh_loader_flush(p, l);
        l->op = fh_pager_op_take(p);
        FH_ASSERT(l->op != NULL); /* admission counted one per page */
        l->op->kind = file ? FH_PAGE_OP_FILE_LOAD : FH_PAGE_OP_LOAD;
        l->op->run.first.v = file ? 0 : (uint32_t)next;
        l->op->file.file = file;
        l->op->file.first = next;
        l->file = file;
    }
    l->next = next + 1;
}

void fh_hold_wait_for(struct fh_hold *h, struct fh_page_op *op)
{
    if (h->waits_used > 0 && h->waits[h->waits_used - 1].op == op)
        return;
    FH_ASSERT(h->waits_used < FH_HOLD_MAX);
    struct fh_hold_wait *w = &h->waits[h->waits_used++];
    w->hold = h;
    w->op = op;
    fh_list_push_back(&op->waits, &w->link);
    h->pending++;
}

/* All entries that name the slot, or the page of the file, will get the frame. */
static void load_name_frame(struct fh_pager *p, struct fh_page page, struct fh_slot slot,
                            struct fh_frame frame)
{
    enum fh_page_state wanted = slot.v != 0 ? FH_PAGE_SLOT : FH_PAGE_FILE;
    struct fh_ring_walk walk = {0};
    struct fh_page q;

    while (fh_rings_next(&p->rings, page, &walk, &q)) {
        struct fh_entry e = fh_pagetable_get(&p->table, q);
        if (fh_pager_state_of(p, q, e) != wanted || fh_entry_slot(e).v != slot.v)
            continue;
        fh_pagetable_set(&p->table, q, fh_entry_make(FH_PAGE_READING, frame.v, slot));
        fh_frames_hold(&p->frames, frame);
    }
}

struct fh_frame fh_loader_add(struct fh_pager *p, struct fh_loader *l, struct fh_hold *h,
                              struct fh_page page, struct fh_entry e)
{
    struct fh_slot slot = fh_entry_slot(e);
    struct fh_file *file = NULL;
    uint64_t next = slot.v;

    if (slot.v == 0) {
        file = fh_pager_file_of(p, page, &next);
        FH_ASSERT(file != NULL);
    }
    loader_continue(p, l, file, next);
    FH_ASSERT(l->op->run.count < FH_SWAP_RUN_MAX);

    struct fh_frame frame = fh_frames_take(&p->frames);
    FH_ASSERT(frame.v != FH_FRAME_NONE.v);
    uint32_t i = l->op->run.count++;
    l->op->frames[i] = frame;
    l->op->epochs[i] = fh_entry_state(e) == FH_PAGE_NOTHING ? NO_EPOCH : fh_entry_epoch(e);
    l->op->run.pages[i] = l->op->file.pages[i] = fh_region_bytes(&p->region, frame);

    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);
    r->page = page.v & FH_PAGE_NONE;
    r->busy = 1;
    r->next = (uint32_t)(l->op - p->ops);
    load_name_frame(p, page, slot, frame);
    if (!h)
        return frame;
    fh_hold_wait_for(h, l->op);
    p->faults_swap += !file;
    p->faults_file += file != NULL;
    return frame;
}

/* What the entry becomes whose bytes did not come. */
static struct fh_entry load_failed_entry(struct fh_pager *p, const struct fh_page_op *op,
                                         uint32_t i, struct fh_slot slot)
{
    if (op->run.status[i] == -EBADMSG && slot.v != 0) {
        fh_swap_slot_quarantine(&p->swap, slot);
        return fh_entry_make(FH_PAGE_FAILED, 0, slot);
    }
    if (op->epochs[i] == NO_EPOCH)
        return (struct fh_entry){0};
    return fh_entry_make(slot.v != 0 ? FH_PAGE_SLOT : FH_PAGE_FILE, op->epochs[i], slot);
}

/* The bytes are there, and pages name the frame: whose are they? */
static void load_map(struct fh_pager *p, const struct fh_page_op *op, uint32_t i)
{
    struct fh_frame frame = op->frames[i];
    bool of_file = fh_pager_is_of_file(p, frame);
    bool from_file = op->kind == FH_PAGE_OP_FILE_LOAD;
    bool epoch_known = op->epochs[i] != NO_EPOCH && !fh_frames_record(&p->frames, frame)->ahead;

    fh_frames_record(&p->frames, frame)->file = from_file && of_file;
    /* Read for a view, of a page that is another one in the object by now: memory. */
    fh_pager_map_frame(p, frame, from_file && !of_file, epoch_known, op->epochs[i]);
    if (from_file)
        return;
    /* Swap is nearly full: places are worth more than rewrites. A file's page has its own. */
    if (!fh_frames_record(&p->frames, frame)->dirty &&
        (of_file || p->swap.slots.stats.used * 8 > p->swap.slots.stats.total * 7))
        fh_pager_unretain(p, frame);
    if (of_file)
        fh_pager_make_file(p, frame);
}

static void load_end_page(struct fh_pager *p, struct fh_page_op *op, uint32_t i)
{
    struct fh_frame frame = op->frames[i];
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);
    int status = op->run.status[i];
    struct fh_names_walk walk = {0};
    bool named = false;

    FH_ASSERT(r->busy); /* nobody else writes to a frame being filled */
    FH_ASSERT(r->queue == FH_QUEUE_NONE);
    r->busy = 0;
    while (fh_pager_next_name(p, frame, &walk)) {
        struct fh_slot slot = fh_entry_slot(walk.entry);
        FH_ASSERT(fh_entry_state(walk.entry) == FH_PAGE_READING); /* [L1] */
        named = true;
        if (status == 0) {
            fh_pagetable_set(&p->table, walk.page, fh_entry_make(FH_PAGE_FRAME, frame.v, slot));
            continue;
        }
        fh_pagetable_set(&p->table, walk.page, load_failed_entry(p, op, i, slot));
        fh_pager_unref(p, frame);
    }
    p->pages_lost += named && status == -EBADMSG;
    if (status == 0 && named)
        load_map(p, op, i);
    else
        r->page = FH_PAGE_NONE;
    fh_pager_unref(p, frame);
}

static void hold_note_failures(struct fh_hold *h, const struct fh_page_op *op)
{
    if (op->kind == FH_PAGE_OP_STORE)
        return; /* the page is still where it was */
    for (uint32_t i = 0; i < op->run.count; i++) {
        if (op->run.status[i] == 0)
            continue;
        if (op->kind == FH_PAGE_OP_FILE_STORE)
            h->error = op->run.status[i];
        for (uint32_t k = 0; k < h->count; k++)
            if (h->frames[k].v == op->frames[i].v)
                h->error = op->run.status[i];
    }
}

void fh_pager_op_wake(struct fh_page_op *op)
{
    struct fh_list *link;

    while ((link = fh_list_pop(&op->waits)) != NULL) {
        struct fh_hold *h = FH_CONTAINER_OF(link, struct fh_hold_wait, link)->hold;
        FH_ASSERT(h->pending > 0);
        hold_note_failures(h, op);
        if (--h->pending == 0)
            fh_line_make_ready(&op->pager->line, h->call);
    }
}

static void op_load_done(struct fh_page_op *op)
{
    FH_ASSERT(op->pager->ahead_ops >= op->ahead);
    fh_pager_op_wake(op);
    for (uint32_t i = 0; i < op->run.count; i++)
        load_end_page(op->pager, op, i);
    op->pager->ahead_ops -= op->ahead;
    fh_pager_op_give(op->pager, op);
}

static void load_done(struct fh_swap_run *run)
{
    op_load_done(FH_CONTAINER_OF(run, struct fh_page_op, run));
}

static void file_load_done(struct fh_file_run *run)
{
    struct fh_page_op *op = FH_CONTAINER_OF(run, struct fh_page_op, file);

    memcpy(op->run.status, run->status, run->count * sizeof(run->status[0]));
    op_load_done(op);
}

/* Read-ahead may not take the last operation from who waits for his page. */
static bool load_ahead_may_begin(const struct fh_pager *p)
{
    return p->ahead_ops < FH_AHEAD_OPS && p->ops_free_count > FH_PAGER_OPS_FOR_RECLAIM;
}

static void load_ahead_page(struct fh_pager *p, struct fh_loader *l, struct fh_page page,
                            bool wanted)
{
    struct fh_entry e = fh_pagetable_get(&p->table, page);
    struct fh_page_op *op = l->op;
    struct fh_frame frame = fh_loader_add(p, l, NULL, page, e);

    if (l->op != op) {
        l->op->ahead = true;
        p->ahead_ops++;
    }
    fh_frames_record(&p->frames, frame)->ahead = !wanted;
    p->ahead_read += !wanted;
    p->faults_swap += wanted && !l->file;
    p->faults_file += wanted && l->file;
}

/* The next page after `page` that could be read in. */
static struct fh_page ahead_next(const struct fh_pager *p, struct fh_page page, struct fh_page end,
                                 bool of_file)
{
    return of_file ? page : fh_pagetable_next(&p->table, page, end);
}

/* Whether an operation can take the page that is in this slot, or in its file. */
static bool ahead_may_load(struct fh_pager *p, const struct fh_loader *l, struct fh_page page,
                           struct fh_slot slot)
{
    struct fh_file *file = NULL;
    uint64_t next = slot.v;

    if (slot.v == 0) {
        file = fh_pager_file_of(p, page, &next);
        if (fh_pager_touch_ring(p, page) != 0)
            return false;
    }
    return loader_continues(l, file, next) || load_ahead_may_begin(p);
}

struct fh_page fh_pager_read_ahead(struct fh_pager *p, struct fh_page first, uint64_t count,
                                   struct fh_page wanted, uint64_t wanted_count, uint32_t keep)
{
    bool of_file = count > 0 && fh_pager_file_of(p, first, NULL) != NULL;
    struct fh_page end = fh_page_add(first, count);
    struct fh_page page = ahead_next(p, first, end, of_file);
    struct fh_loader l = {0};

    if (!fh_line_is_empty(&p->line))
        return first;
    for (; page.v < end.v; page = ahead_next(p, fh_page_add(page, 1), end, of_file)) {
        struct fh_entry e = fh_pagetable_get(&p->table, page);
        enum fh_page_state state = fh_pager_state_of(p, page, e);
        if (state != FH_PAGE_SLOT && state != FH_PAGE_FILE)
            continue;
        if (fh_pager_spare(p) <= keep || !ahead_may_load(p, &l, page, fh_entry_slot(e)))
            break;
        load_ahead_page(p, &l, page, page.v >= wanted.v && page.v < wanted.v + wanted_count);
    }
    fh_loader_flush(p, &l);
    return page;
}
