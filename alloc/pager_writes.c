/*
 * Theory.  What changes bytes or whole entries. All of it runs after a prepare (pager_holds.c) has seen to it that
 * nothing is missing: the pages whose bytes are kept are in frames, frames to create are free, leaves are there. So
 * none of it fails or waits, and a mutation is one step.
 *
 *   write, refs == 1     in place; the copy in slot or file is worth nothing any more
 *   write, refs > 1      a new frame; the rest of the page is copied, the entry moves to it
 *   write, no bytes      a new frame; the rest of the page becomes zeros
 *   zero, move, discard  whole entries change, no byte is touched; edges are written
 *   view                 entries are copied, each a reference more
 *
 * Invariants
 *   [W1] no byte of a frame with more than one reference is written
 *   [W2] a new frame is wholly written in the step that maps it: its old bytes are another tenant's
 */
#include <errno.h>
#include <string.h>

#include "bits.h"
#include "pager_private.h"

static const struct fh_slot no_slot = {0};

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
    FH_ASSERT(p->file_clean > 0);
    p->fifo.aside_clean -= r->queue == FH_QUEUE_ASIDE;
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

    FH_ASSERT(from < to);
    FH_ASSERT(to <= FH_PAGE_SIZE);
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
    fh_pager_drop(p, page);
    fh_pager_map(p, page, frame);
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
    fh_pager_map(p, page, frame);
}

/* --- whole entries --- */

void fh_pager_discard(struct fh_pager *p, struct fh_page first, uint64_t count)
{
    struct fh_page end = fh_page_add(first, count);
    struct fh_page page = fh_pagetable_next(&p->table, first, end);

    for (; page.v < end.v; page = fh_pagetable_next(&p->table, fh_page_add(page, 1), end))
        fh_pager_drop(p, page);
}

static void pager_move_entry(struct fh_pager *p, struct fh_page from, struct fh_page to)
{
    struct fh_entry e = fh_pagetable_get(&p->table, from);
    enum fh_page_state state = fh_entry_state(e);

    fh_pager_drop(p, to);
    fh_pagetable_set(&p->table, to, e);
    fh_pagetable_set(&p->table, from, (struct fh_entry){0});
    if (state != FH_PAGE_FRAME && state != FH_PAGE_READING) {
        fh_pager_note_absent(p, to);
        return;
    }
    struct fh_frame_record *r = fh_frames_record(&p->frames, fh_entry_frame(e));
    if (r->page == from.v)
        r->page = to.v & FH_PAGE_NONE;
    if (state == FH_PAGE_FRAME && fh_backing_find(&p->backing, to)) {
        if (!r->dirty)
            fh_pager_unretain(p, fh_entry_frame(e));
        fh_pager_make_file(p, fh_entry_frame(e));
    }
    fh_pager_requeue(p, fh_entry_frame(e));
}

void fh_pager_move(struct fh_pager *p, struct fh_page from, struct fh_page to, uint64_t count)
{
    struct fh_page end = fh_page_add(from, count);
    struct fh_page page = fh_pagetable_next(&p->table, from, end);

    FH_ASSERT(from.v + count <= to.v || to.v + count <= from.v);
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

    FH_ASSERT(count > 0);
    FH_ASSERT(origin.v + count <= base.v || base.v + count <= origin.v);
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
