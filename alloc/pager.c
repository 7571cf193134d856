/*
 * Theory.  A page-table entry names a frame, a slot, both (a clean page), or nothing; each name is
 * a reference, and so is each hold of a request and each I/O operation in flight. The one rule: a
 * frame with more than one reference is never written. A writer that is not the sole holder takes
 * another frame, copies what it does not cover, and moves its entry there. Snapshots, races with
 * eviction and all-or-nothing writes are consequences of the rule and need no code of their own.
 *
 *                     first write                  evict, dirty: seal, write, then
 *        NOTHING ---------------------> FRAME -----------------------------------> SLOT
 *           ^      discard, all zero      | ^   evict, clean: at once               |
 *           +-----------------------------+ |                                       | hold
 *           +--- discard, from any state    +-------------- READING <---------------+
 *                                                              |   tag does not hold
 *                                                              +---------------> FAILED
 *
 * Pages of files have their own way out and in: pager_files.c.
 *
 * Entries that name one frame lie in one ring (rings.h) and carry the same slot, or none. The
 * record of a frame names one of their pages; when that one leaves, another takes its place.
 *
 * Invariants
 *   [I1] refs of a frame == entries that name it + operations on it + holds of it
 *   [I2] in the ring of the page in a frame's record an entry names the frame; none: no entry does
 *   [I3] a mapped frame without a file is dirty if and only if its entries carry no slot; one of a
 *        file never has a slot
 *   [I4] a mapped frame that is not busy is in exactly one queue; no other frame is in any
 *   [I5] mapped, retained, file_clean, file_dirty, storing and reserved are what a recount gives
 *   [I6] references of a slot == entries that carry it + operations on it
 *   [I7] live + claimed <= frames + usable slots - 2 * hold_max when new content is admitted, so a
 *        victim always finds a slot: with f frames free and none clean, live - (N - f) slots are
 *        used, fewer than there are. Frames of chunks that leave do not count: the pages in them
 *        make fewer slots used, not more
 *   [I8] a frame is aside if and only if a page that names it is pinned and no I/O is on it; as long as
 *        pins_left is set it may be aside without
 */
#include "pager.h"

#include <errno.h>
#include <string.h>

#include "bits.h"
#include "pager_private.h"

static const struct fh_slot no_slot = {0};

static int pager_init_frames(struct fh_pager *p)
{
    const struct fh_pager_opts *o = &p->opts;
    uint64_t bytes = o->region ? o->region->size_bytes : o->memory_max_bytes;
    uint64_t span = bytes >> FH_PAGE_SHIFT;
    int rc;

    if (span < o->memory_bytes >> FH_PAGE_SHIFT || span >= 1u << 28)
        return -EINVAL;
    if (o->region)
        p->region = *o->region;
    else if ((rc = fh_region_init(&p->region, o->mem, span << FH_PAGE_SHIFT)) != 0)
        return rc;
    rc = fh_frames_init(&p->frames, o->mem, (uint32_t)span, o->chunk_order);
    if (rc == 0 && (rc = fh_pager_budget_init(p)) != 0)
        fh_frames_fini(&p->frames);
    if (rc != 0 && !o->region)
        fh_region_fini(&p->region, o->mem);
    return rc;
}

static void pager_fini_frames(struct fh_pager *p)
{
    fh_frames_fini(&p->frames);
    if (!p->opts.region)
        fh_region_fini(&p->region, p->opts.mem);
}

static struct fh_pager_opts opts_with_defaults(const struct fh_pager_opts *given)
{
    struct fh_pager_opts o = *given;

    if (o.memory_max_bytes == 0)
        o.memory_max_bytes = o.memory_bytes;
    if (o.chunk_order == 0)
        o.chunk_order = FH_CHUNK_ORDER;
    return o;
}

int fh_pager_init(struct fh_pager *p, const struct fh_pager_opts *o)
{
    int rc;

    if (o->hold_max < 2 || o->hold_max > FH_HOLD_MAX || o->chunk_order > FH_CHUNK_ORDER ||
        o->memory_bytes >> FH_PAGE_SHIFT < 2u * o->hold_max || o->readahead_max > FH_READAHEAD_MAX)
        return -EINVAL;
    *p = (struct fh_pager){.opts = opts_with_defaults(o)};
    fh_rings_init(&p->rings);
    fh_readahead_init(&p->readahead, o->readahead_max, o->memory_bytes >> FH_PAGE_SHIFT);
    fh_pins_init(&p->pins, o->mem);
    fh_line_init(&p->line);
    fh_list_init(&p->holds);
    fh_list_init(&p->ops_free);
    if ((rc = pager_init_frames(p)) != 0)
        return rc;
    if ((rc = fh_pagetable_init(&p->table, o->mem)) != 0)
        goto out_frames;
    rc = -ENOMEM;
    p->ops = fh_mem_map(o->mem, FH_PAGER_OPS * sizeof(*p->ops));
    if (!p->ops)
        goto out_table;
    if ((rc = fh_swap_init(&p->swap, &o->swap)) != 0)
        goto out_ops;
    fh_backing_init(&p->backing, o->swap.io, o->mem);
    fh_fifo_init(&p->fifo, &p->frames);
    p->ops_free_count = FH_PAGER_OPS;
    for (uint32_t i = 0; i < FH_PAGER_OPS; i++)
        fh_list_push_back(&p->ops_free, &p->ops[i].link);
    return 0;

out_ops:
    fh_mem_unmap(o->mem, p->ops, FH_PAGER_OPS * sizeof(*p->ops));
out_table:
    fh_pagetable_fini(&p->table);
out_frames:
    pager_fini_frames(p);
    return rc;
}

void fh_pager_fini(struct fh_pager *p)
{
    FH_ASSERT(p->ops_free_count == FH_PAGER_OPS);
    fh_pins_fini(&p->pins);
    fh_backing_fini(&p->backing);
    fh_swap_fini(&p->swap);
    fh_mem_unmap(p->opts.mem, p->ops, FH_PAGER_OPS * sizeof(*p->ops));
    fh_pagetable_fini(&p->table);
    pager_fini_frames(p);
}

/* --- who names a frame ---------------------------------------------------------------------------
 */

static bool entry_names(struct fh_entry e, struct fh_frame frame)
{
    enum fh_page_state state = fh_entry_state(e);
    return (state == FH_PAGE_FRAME || state == FH_PAGE_READING) && fh_entry_frame(e).v == frame.v;
}

bool fh_pager_next_name(const struct fh_pager *p, struct fh_frame frame, struct fh_names_walk *walk)
{
    uint64_t anchor = fh_frames_record(&p->frames, frame)->page;

    /* The first step may change the record's page: the ring walk remembers where it began. */
    while ((walk->ring.started || anchor != FH_PAGE_NONE) &&
           fh_rings_next(&p->rings, (struct fh_page){anchor}, &walk->ring, &walk->page)) {
        walk->entry = fh_pagetable_get(&p->table, walk->page);
        if (entry_names(walk->entry, frame))
            return true;
    }
    return false;
}

uint32_t fh_pager_names(const struct fh_pager *p, struct fh_frame frame)
{
    struct fh_names_walk walk = {0};
    uint32_t count = 0;

    while (fh_pager_next_name(p, frame, &walk))
        count++;
    return count;
}

/* The count that the frame is in, if it is not dirty memory, which has none. */
static uint64_t *pager_kind(struct fh_pager *p, const struct fh_frame_record *r)
{
    if (!r->file)
        return &p->retained;
    return r->dirty ? &p->file_dirty : &p->file_clean;
}

void fh_pager_map_frame(struct fh_pager *p, struct fh_frame frame, bool dirty, bool epoch_known,
                        uint32_t epoch)
{
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);

    FH_ASSERT(r->queue == FH_QUEUE_NONE);
    FH_ASSERT(p->mapped < p->frames.total + (uint64_t)p->frames.leaving);
    r->dirty = dirty;
    p->mapped++;
    *pager_kind(p, r) += r->file || !dirty;
    if (!fh_pager_set_aside(p, frame))
        fh_fifo_insert(&p->fifo, frame, epoch_known, epoch);
}

void fh_pager_unmap_frame(struct fh_pager *p, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);

    FH_ASSERT(p->mapped > 0);
    FH_ASSERT(r->refs > 0);
    fh_fifo_remove(&p->fifo, frame);
    p->mapped--;
    *pager_kind(p, r) -= r->file || !r->dirty;
    r->dirty = 0;
    r->file = 0;
    r->ahead = 0;
    r->page = FH_PAGE_NONE;
}

/* The record's page has an entry that names the frame, and does not leave. */
static bool frame_keeps_page(const struct fh_pager *p, struct fh_frame frame,
                             struct fh_page leaving)
{
    struct fh_page page = {fh_frames_record(&p->frames, frame)->page};

    return page.v == FH_PAGE_NONE ||
           (page.v != leaving.v && entry_names(fh_pagetable_get(&p->table, page), frame));
}

/* An entry stopped naming the frame: the record must name another page, or none. */
static void pager_unname(struct fh_pager *p, struct fh_page page, struct fh_entry was)
{
    struct fh_frame frame = fh_entry_frame(was);
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);

    if (r->file && fh_backing_find(&p->backing, page))
        fh_pager_unfile(p, frame);
    if (!frame_keeps_page(p, frame, page)) {
        struct fh_names_walk walk = {0};
        if (r->refs > 1 && fh_pager_next_name(p, frame, &walk))
            r->page = walk.page.v & FH_PAGE_NONE;
        else if (fh_entry_state(was) == FH_PAGE_FRAME)
            fh_pager_unmap_frame(p, frame);
        else
            r->page = FH_PAGE_NONE;
    }
    if (r->queue == FH_QUEUE_ASIDE)
        fh_pager_requeue(p, frame);
    fh_pager_unref(p, frame);
}

void fh_pager_drop(struct fh_pager *p, struct fh_page page)
{
    struct fh_entry e = fh_pagetable_get(&p->table, page);
    enum fh_page_state state = fh_entry_state(e);

    if (state == FH_PAGE_NOTHING)
        return;
    fh_pagetable_set(&p->table, page, (struct fh_entry){0});
    if (state == FH_PAGE_FRAME || state == FH_PAGE_READING)
        pager_unname(p, page, e);
    if (fh_entry_slot(e).v != 0)
        fh_swap_slot_give(&p->swap, fh_entry_slot(e));
}

void fh_pager_map(struct fh_pager *p, struct fh_page page, struct fh_frame frame)
{
    fh_pagetable_set(&p->table, page, fh_entry_make(FH_PAGE_FRAME, frame.v, (struct fh_slot){0}));
    fh_frames_record(&p->frames, frame)->page = page.v & FH_PAGE_NONE;
    fh_frames_record(&p->frames, frame)->file = fh_backing_find(&p->backing, page) != NULL;
    fh_pager_map_frame(p, frame, true, false, 0);
}

/* --- touches --- */

void fh_pager_touch_seen(struct fh_pager *p, struct fh_page first, const struct fh_frame *frames,
                         uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (frames[i].v != FH_FRAME_NONE.v)
            fh_pager_touch(p, fh_page_add(first, i), frames[i]);
}

void fh_pager_quiet(struct fh_pager *p, struct fh_page first, uint64_t count)
{
    p->quiet = first;
    p->quiet_end = fh_page_add(first, count);
}

void fh_pager_leave_behind(struct fh_pager *p, struct fh_page first, uint64_t count)
{
    struct fh_page end = fh_page_add(first, count);
    struct fh_page page = fh_pagetable_next(&p->table, first, end);

    for (; page.v < end.v; page = fh_pagetable_next(&p->table, fh_page_add(page, 1), end)) {
        struct fh_entry e = fh_pagetable_get(&p->table, page);
        struct fh_frame frame = fh_entry_frame(e);
        if (fh_entry_state(e) != FH_PAGE_FRAME)
            continue;
        const struct fh_frame_record *r = fh_frames_record(&p->frames, frame);
        if (r->queue != FH_QUEUE_SMALL || r->freq > 0)
            continue; /* others use it */
        fh_fifo_remove(&p->fifo, frame);
        fh_fifo_insert_last(&p->fifo, frame, FH_QUEUE_SMALL);
    }
}

/* --- capacity --- */

/* Different pages that exist, in a frame or a slot; a clean one of a file exists in the file. */
uint64_t fh_pager_live(const struct fh_pager *p)
{
    uint64_t used = p->swap.slots.stats.used;
    uint64_t doubled = p->retained + p->storing; /* their page is in a frame as well */
    return p->mapped - p->file_clean + (used > doubled ? used - doubled : 0);
}

uint64_t fh_pager_capacity(const struct fh_pager *p, uint64_t frames)
{
    const struct fh_slots_stats *s = &p->swap.slots.stats;
    return frames + (s->total - s->quarantined) - 2 * (uint64_t)p->opts.hold_max;
}

int fh_pager_admit(const struct fh_pager *p, uint64_t pages)
{
    uint64_t capacity = fh_pager_capacity(p, fh_min_u64(p->frames.total, p->budget.asked));
    uint64_t taken = fh_pager_live(p) + p->claimed;
    return taken <= capacity && pages <= capacity - taken ? 0 : -ENOSPC;
}

int fh_pager_admit_now(struct fh_pager *p, uint64_t pages)
{
    int rc = fh_pager_admit(p, pages);

    while (rc != 0 && p->opts.make_room && p->opts.make_room(p->opts.ctx))
        rc = fh_pager_admit(p, pages);
    return rc;
}

int fh_pager_claim(struct fh_pager *p, uint64_t pages)
{
    int rc = fh_pager_admit_now(p, pages);
    if (rc == 0)
        p->claimed += pages;
    return rc;
}

void fh_pager_unclaim(struct fh_pager *p, uint64_t pages)
{
    FH_ASSERT(p->claimed >= pages);
    p->claimed -= pages;
}

/* --- for reclaim --- */

struct fh_page_op *fh_pager_op_take(struct fh_pager *p)
{
    struct fh_list *link = fh_list_pop(&p->ops_free);
    if (!link)
        return NULL;
    struct fh_page_op *op = FH_CONTAINER_OF(link, struct fh_page_op, link);
    FH_ASSERT(!op->in_use);
    FH_ASSERT(p->ops_free_count > 0);
    p->ops_free_count--;
    op->pager = p;
    op->in_use = true;
    op->owner = NULL;
    op->ended = NULL;
    op->ahead = false;
    op->cleans = FH_QUEUE_NONE;
    op->run.count = 0;
    fh_list_init(&op->waits);
    return op;
}

void fh_pager_op_give(struct fh_pager *p, struct fh_page_op *op)
{
    FH_ASSERT(op->in_use);
    op->in_use = false;
    p->ops_free_count++;
    fh_list_push_front(&p->ops_free, &op->link);
}

static void pager_name_slot(struct fh_pager *p, struct fh_slot slot)
{
    bool taken = fh_swap_slot_take(&p->swap, slot);
    FH_ASSERT(taken); /* fewer entries in a ring than a slot can have references */
}

void fh_pager_evict(struct fh_pager *p, struct fh_frame frame, struct fh_slot slot)
{
    uint32_t epoch = fh_fifo_evicted(&p->fifo);
    const struct fh_frame_record *r = fh_frames_record(&p->frames, frame);
    struct fh_names_walk walk = {0};

    if (r->ahead) {
        p->ahead_unused++;
        fh_readahead_wasted(&p->readahead, (struct fh_page){r->page});
    }
    while (fh_pager_next_name(p, frame, &walk)) {
        if (fh_entry_slot(walk.entry).v == 0)
            pager_name_slot(p, slot);
        fh_pagetable_set(&p->table, walk.page, fh_entry_make(FH_PAGE_SLOT, epoch, slot));
        if (fh_frames_record(&p->frames, frame)->refs == 1)
            fh_pager_unmap_frame(p, frame);
        fh_pager_unref(p, frame);
    }
    if (fh_frames_record(&p->frames, frame)->refs > 0)
        fh_pager_unmap_frame(p, frame);
}

void fh_pager_retain(struct fh_pager *p, struct fh_frame frame, struct fh_slot slot)
{
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);
    struct fh_names_walk walk = {0};

    FH_ASSERT(r->dirty);
    while (fh_pager_next_name(p, frame, &walk)) {
        pager_name_slot(p, slot);
        fh_pagetable_set(&p->table, walk.page, fh_entry_make(FH_PAGE_FRAME, frame.v, slot));
    }
    r->dirty = 0;
    p->retained++;
}

void fh_pager_unretain(struct fh_pager *p, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);
    struct fh_slot none = {0};
    struct fh_names_walk walk = {0};

    FH_ASSERT(!r->dirty);
    FH_ASSERT(!r->file);
    FH_ASSERT(r->queue != FH_QUEUE_ASIDE);
    while (fh_pager_next_name(p, frame, &walk)) {
        fh_pagetable_set(&p->table, walk.page, fh_entry_make(FH_PAGE_FRAME, frame.v, none));
        fh_swap_slot_give(&p->swap, fh_entry_slot(walk.entry));
    }
    FH_ASSERT(p->retained > 0);
    r->dirty = 1;
    p->retained--;
}

struct fh_slot fh_pager_slot_of(const struct fh_pager *p, struct fh_frame frame)
{
    struct fh_names_walk walk = {0};
    bool named = fh_pager_next_name(p, frame, &walk);

    FH_ASSERT(named);
    return fh_entry_slot(walk.entry);
}

void fh_pager_forget(struct fh_pager *p, struct fh_frame frame)
{
    for (uint32_t left = fh_pager_names(p, frame); left > 0; left--) {
        struct fh_names_walk walk = {0};
        bool named = fh_pager_next_name(p, frame, &walk);
        FH_ASSERT(named);
        fh_pager_drop(p, walk.page);
        if (fh_pager_file_of(p, walk.page,
                             NULL)) /* of a view of a file: NOTHING is something else */
            fh_pagetable_set(&p->table, walk.page, fh_entry_make(FH_PAGE_ZERO, 0, no_slot));
    }
}
