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
 *   [I2] the page in a frame's record has an entry that names the frame; none: no entry does
 *   [I3] a mapped frame without a file is dirty if and only if its entries carry no slot; one of a
 *        file never has a slot
 *   [I4] a mapped frame that is not busy is in exactly one queue; no other frame is in any
 *   [I5] mapped, retained, file_clean, file_dirty, storing and reserved are what a recount gives
 *   [I6] references of a slot == entries that carry it + operations on it
 *   [I7] live + claimed <= frames + usable slots - 2 * hold_max when new content is admitted, so a
 *        victim always finds a slot: with f frames free and none clean, live - (N - f) slots are
 *        used, fewer than there are. Frames of chunks that leave do not count: the pages in them
 *        make fewer slots used, not more
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
    fh_backing_init(&p->backing, o->swap.io, o->mem, o->journal);
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

    r->dirty = dirty;
    p->mapped++;
    *pager_kind(p, r) += r->file || !dirty;
    fh_fifo_insert(&p->fifo, frame, epoch_known, epoch);
}

void fh_pager_unmap_frame(struct fh_pager *p, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);

    fh_fifo_remove(&p->fifo, frame);
    p->mapped--;
    *pager_kind(p, r) -= r->file || !r->dirty;
    r->dirty = 0;
    r->file = 0;
    r->ahead = 0;
    r->page = FH_PAGE_NONE;
}

/* An entry stopped naming the frame: if the record named its page, it must name another, or none.
 */
static void pager_unname(struct fh_pager *p, struct fh_page page, struct fh_entry was)
{
    struct fh_frame frame = fh_entry_frame(was);
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);

    if (r->file && fh_backing_find(&p->backing, page))
        fh_pager_unfile(p, frame);
    if (r->page == page.v) {
        struct fh_names_walk walk = {0};
        if (r->refs > 1 && fh_pager_next_name(p, frame, &walk))
            r->page = walk.page.v & FH_PAGE_NONE;
        else if (fh_entry_state(was) == FH_PAGE_FRAME)
            fh_pager_unmap_frame(p, frame);
        else
            r->page = FH_PAGE_NONE;
    }
    fh_pager_unref(p, frame);
}

/* The entry becomes NOTHING; what it named loses a reference. */
static void pager_drop(struct fh_pager *p, struct fh_page page)
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

/* The page had nothing: the frame, whose reference the caller hands over, is its new content. */
static void pager_map(struct fh_pager *p, struct fh_page page, struct fh_frame frame)
{
    fh_pagetable_set(&p->table, page, fh_entry_make(FH_PAGE_FRAME, frame.v, (struct fh_slot){0}));
    fh_frames_record(&p->frames, frame)->page = page.v & FH_PAGE_NONE;
    fh_frames_record(&p->frames, frame)->file = fh_backing_find(&p->backing, page) != NULL;
    fh_pager_map_frame(p, frame, true, false, 0);
}

/* --- touches --- */

void fh_pager_touch(struct fh_pager *p, struct fh_page page, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);

    if (r->ahead) {
        r->ahead = 0; /* this is why it was read; what it is worth the next one will tell */
        p->ahead_used++;
    } else if (page.v < p->quiet.v || page.v >= p->quiet_end.v) {
        fh_fifo_touch(&p->fifo, frame);
    }
}

void fh_pager_touch_range(struct fh_pager *p, struct fh_page first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct fh_page page = fh_page_add(first, i);
        struct fh_entry e = fh_pagetable_get(&p->table, page);
        if (fh_entry_state(e) == FH_PAGE_FRAME)
            fh_pager_touch(p, page, fh_entry_frame(e));
    }
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

/* --- writing --- */

/* The page has no bytes anywhere that a writer of all or a reader would need. */
static bool entry_is_zero(struct fh_entry e)
{
    return fh_entry_state(e) == FH_PAGE_NOTHING || fh_entry_state(e) == FH_PAGE_ZERO;
}

/* A write in place makes the copy in the slot or file worthless. */
static void pager_dirty(struct fh_pager *p, struct fh_page page, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);

    fh_pager_touch(p, page, frame);
    if (r->dirty)
        return;
    if (!r->file) {
        fh_pager_unretain(p, frame);
        return;
    }
    r->dirty = 1;
    p->file_clean--;
    p->file_dirty++;
}

/* Fills what a write of [from, to) does not cover in a new frame. */
static void pager_fill_rest(struct fh_pager *p, uint8_t *bytes, const uint8_t *old, uint32_t from,
                            uint32_t to)
{
    if (!old) {
        memset(bytes, 0, from);
        memset(bytes + to, 0, FH_PAGE_SIZE - to);
        return;
    }
    memcpy(bytes, old, from);
    memcpy(bytes + to, old + to, FH_PAGE_SIZE - to);
    p->copied_bytes += FH_PAGE_SIZE - (to - from);
}

/* The bytes of the page's frame, writable, of which the caller will now write [from, to). */
static uint8_t *pager_writable(struct fh_pager *p, struct fh_page page, uint32_t from, uint32_t to)
{
    struct fh_entry e = fh_pagetable_get(&p->table, page);
    bool in_frame = fh_entry_state(e) == FH_PAGE_FRAME;
    bool whole = from == 0 && to == FH_PAGE_SIZE;

    if (in_frame && fh_frames_record(&p->frames, fh_entry_frame(e))->refs == 1) {
        pager_dirty(p, page, fh_entry_frame(e));
        return fh_region_bytes(&p->region, fh_entry_frame(e));
    }
    FH_ASSERT(in_frame || whole || entry_is_zero(e));

    struct fh_frame frame = fh_frames_take(&p->frames);
    FH_ASSERT(frame.v != FH_FRAME_NONE.v);
    uint8_t *bytes = fh_region_bytes(&p->region, frame);
    pager_fill_rest(p, bytes, in_frame ? fh_region_bytes(&p->region, fh_entry_frame(e)) : NULL,
                    from, to);
    p->faults_copy += in_frame;
    p->faults_first_write += entry_is_zero(e);
    pager_drop(p, page);
    pager_map(p, page, frame);
    return bytes;
}

void fh_pager_write(struct fh_pager *p, struct fh_addr start, const void *body, uint64_t size)
{
    const uint8_t *from = body;

    while (size > 0) {
        uint32_t in_page = fh_addr_in_page(start);
        uint32_t part = (uint32_t)fh_min_u64(size, FH_PAGE_SIZE - in_page);
        uint8_t *bytes = pager_writable(p, fh_page_of_addr(start), in_page, in_page + part);

        memcpy(bytes + in_page, from, part);
        from += part;
        start.v += part;
        size -= part;
    }
}

/* Pages of a file become zeros that the file does not know of; other pages NOTHING. */
static void pager_zero_pages(struct fh_pager *p, struct fh_page first, uint64_t count)
{
    fh_pager_discard(p, first, count);
    if (!fh_backing_find(&p->backing, first))
        return;
    for (uint64_t i = 0; i < count; i++)
        fh_pagetable_set(&p->table, fh_page_add(first, i), fh_entry_make(FH_PAGE_ZERO, 0, no_slot));
}

void fh_pager_zero(struct fh_pager *p, struct fh_addr start, uint64_t size)
{
    while (size > 0) {
        uint32_t in_page = fh_addr_in_page(start);
        struct fh_page page = fh_page_of_addr(start);
        uint64_t part = fh_min_u64(size, FH_PAGE_SIZE - in_page);

        if (in_page == 0 && size >= FH_PAGE_SIZE) {
            part = size & ~(uint64_t)(FH_PAGE_SIZE - 1);
            pager_zero_pages(p, page, part >> FH_PAGE_SHIFT);
        } else if (!entry_is_zero(fh_pagetable_get(&p->table, page))) {
            memset(pager_writable(p, page, in_page, in_page + (uint32_t)part) + in_page, 0, part);
        }
        start.v += part;
        size -= part;
    }
}

void fh_pager_peek(const struct fh_pager *p, struct fh_addr start, void *out, uint64_t size)
{
    uint8_t *to = out;

    while (size > 0) {
        uint32_t in_page = fh_addr_in_page(start);
        uint64_t part = fh_min_u64(size, FH_PAGE_SIZE - in_page);
        struct fh_entry e = fh_pagetable_get(&p->table, fh_page_of_addr(start));

        if (entry_is_zero(e)) {
            memset(to, 0, part);
        } else {
            FH_ASSERT(fh_entry_state(e) == FH_PAGE_FRAME);
            memcpy(to, fh_region_bytes(&p->region, fh_entry_frame(e)) + in_page, part);
        }
        to += part;
        start.v += part;
        size -= part;
    }
}

void fh_pager_install(struct fh_pager *p, struct fh_hold *h, uint32_t i, struct fh_page page)
{
    struct fh_frame frame = h->frames[i];

    FH_ASSERT(frame.v != FH_FRAME_NONE.v);
    FH_ASSERT(fh_entry_state(fh_pagetable_get(&p->table, page)) == FH_PAGE_NOTHING);
    h->frames[i] = FH_FRAME_NONE;
    fh_pager_unclaim(p, 1);
    p->faults_first_write++;
    pager_map(p, page, frame);
}

/* --- whole entries --- */

void fh_pager_discard(struct fh_pager *p, struct fh_page first, uint64_t count)
{
    struct fh_page end = fh_page_add(first, count);
    struct fh_page page = fh_pagetable_next(&p->table, first, end);

    for (; page.v < end.v; page = fh_pagetable_next(&p->table, fh_page_add(page, 1), end))
        pager_drop(p, page);
}

static void pager_move_entry(struct fh_pager *p, struct fh_page from, struct fh_page to)
{
    struct fh_entry e = fh_pagetable_get(&p->table, from);
    enum fh_page_state state = fh_entry_state(e);

    pager_drop(p, to);
    fh_pagetable_set(&p->table, to, e);
    fh_pagetable_set(&p->table, from, (struct fh_entry){0});
    if (state != FH_PAGE_FRAME && state != FH_PAGE_READING)
        return;
    struct fh_frame_record *r = fh_frames_record(&p->frames, fh_entry_frame(e));
    if (r->page == from.v)
        r->page = to.v & FH_PAGE_NONE;
    if (state != FH_PAGE_FRAME || !fh_backing_find(&p->backing, to))
        return;
    if (!r->dirty)
        fh_pager_unretain(p, fh_entry_frame(e));
    fh_pager_make_file(p, fh_entry_frame(e));
}

void fh_pager_move(struct fh_pager *p, struct fh_page from, struct fh_page to, uint64_t count)
{
    struct fh_page end = fh_page_add(from, count);
    struct fh_page page = fh_pagetable_next(&p->table, from, end);

    pager_zero_pages(p, to, count);
    for (; page.v < end.v; page = fh_pagetable_next(&p->table, fh_page_add(page, 1), end))
        pager_move_entry(p, page, fh_page_add(to, page.v - from.v));
    fh_rings_moved(&p->rings, from, to, count);
}

static int pager_may_view(const struct fh_pager *p, struct fh_page first, uint64_t count)
{
    struct fh_page end = fh_page_add(first, count);
    struct fh_page page = fh_pagetable_next(&p->table, first, end);

    if (p->rings.count >= FH_RINGS_VIEWS_MAX)
        return -EBUSY;
    for (; page.v < end.v; page = fh_pagetable_next(&p->table, fh_page_add(page, 1), end)) {
        struct fh_entry e = fh_pagetable_get(&p->table, page);
        enum fh_page_state state = fh_entry_state(e);
        if (state == FH_PAGE_FAILED)
            return -EBADMSG;
        if ((state == FH_PAGE_FRAME || state == FH_PAGE_READING) &&
            fh_frames_record(&p->frames, fh_entry_frame(e))->refs >= FH_FRAME_REFS_MAX)
            return -EBUSY;
    }
    return 0;
}

int fh_pager_view(struct fh_pager *p, struct fh_view *view, struct fh_page origin,
                  struct fh_page base, uint64_t count)
{
    struct fh_page end = fh_page_add(origin, count);
    struct fh_page page = fh_pagetable_next(&p->table, origin, end);
    int rc;

    if ((rc = pager_may_view(p, origin, count)) != 0)
        return rc;
    if ((rc = fh_pagetable_touch_like(&p->table, origin, base, count)) != 0)
        return rc;
    for (; page.v < end.v; page = fh_pagetable_next(&p->table, fh_page_add(page, 1), end)) {
        struct fh_entry e = fh_pagetable_get(&p->table, page);
        if (fh_entry_state(e) == FH_PAGE_FRAME || fh_entry_state(e) == FH_PAGE_READING)
            fh_frames_hold(&p->frames, fh_entry_frame(e));
        if (fh_entry_slot(e).v != 0) {
            bool taken = fh_swap_slot_take(&p->swap, fh_entry_slot(e));
            FH_ASSERT(taken); /* fewer views than a slot can have references */
        }
        fh_pagetable_set(&p->table, fh_page_add(base, page.v - origin.v), e);
    }
    fh_rings_add(&p->rings, view, origin, base, count);
    return 0;
}

void fh_pager_unview(struct fh_pager *p, struct fh_view *view)
{
    fh_pager_discard(p, view->base, view->pages);
    fh_pagetable_trim(&p->table, view->base, view->pages);
    fh_rings_remove(&p->rings, view);
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
    while (fh_pager_next_name(p, frame, &walk)) {
        fh_pagetable_set(&p->table, walk.page, fh_entry_make(FH_PAGE_FRAME, frame.v, none));
        fh_swap_slot_give(&p->swap, fh_entry_slot(walk.entry));
    }
    r->dirty = 1;
    p->retained--;
}

struct fh_slot fh_pager_slot_of(const struct fh_pager *p, struct fh_frame frame)
{
    struct fh_page page = {fh_frames_record(&p->frames, frame)->page};
    return fh_entry_slot(fh_pagetable_get(&p->table, page));
}

void fh_pager_forget(struct fh_pager *p, struct fh_frame frame)
{
    uint32_t left = fh_pager_names(p, frame);

    while (left-- > 0) {
        struct fh_page page = {fh_frames_record(&p->frames, frame)->page};
        pager_drop(p, page);
        if (fh_pager_file_of(p, page, NULL)) /* of a view of a file: NOTHING is something else */
            fh_pagetable_set(&p->table, page, fh_entry_make(FH_PAGE_ZERO, 0, no_slot));
    }
}
