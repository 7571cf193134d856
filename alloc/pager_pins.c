/*
 * Theory.  A pinned page that is in memory has its frame aside: in no queue, so no victim. What is
 * pinned is told by pages (pins.h), not by frames: when a write gives the page another frame, that one
 * is aside, and the old one, which a view may still name, comes back to a queue. So a frame is asked
 * about whenever it would enter a queue, and whenever a page stops naming it.
 *
 *   queues <--- no page that names it is pinned --- frame --- one is ---> aside
 *
 * The frame of a pinned page has no slot: it is not going to be written out, and the slot is worth
 * more to others.
 *
 * Much is pinned or let go at once, frames by the million: a sweep brings them back in slices. A
 * pinned page can also get bytes that are not in memory: when the body of a large write was swapped out
 * before it was whole, when zeros were written to a file, or when a page of a file is left to a view
 * and its replacement waits. Then all pinned pages are looked at, in slices, and what is out is read in.
 *
 * Half of the frames, and 2 * hold_max more, always remain for what is not pinned: so who waits for
 * frames gets them.
 */
#include "bits.h"
#include "pager_private.h"

enum { PINS_AT_ONCE = 4096, SWEEP_LOOKS = 16384, FETCH_LOOKS = 4096 };

bool fh_pager_is_pinned(const struct fh_pager *p, struct fh_frame frame)
{
    struct fh_names_walk walk = {0};

    if (p->pins.count == 0)
        return false;
    while (fh_pager_next_name(p, frame, &walk))
        if (fh_pins_has(&p->pins, walk.page))
            return true;
    return false;
}

bool fh_pager_set_aside(struct fh_pager *p, struct fh_frame frame)
{
    const struct fh_frame_record *r = fh_frames_record(&p->frames, frame);

    if (!fh_pager_is_pinned(p, frame))
        return false;
    if (!r->dirty && !r->file)
        fh_pager_unretain(p, frame);
    fh_fifo_set_aside(&p->fifo, frame);
    return true;
}

void fh_pager_requeue(struct fh_pager *p, struct fh_frame frame)
{
    const struct fh_frame_record *r = fh_frames_record(&p->frames, frame);
    bool was = r->queue == FH_QUEUE_ASIDE;

    if (r->queue == FH_QUEUE_NONE || was == fh_pager_is_pinned(p, frame))
        return; /* one without a queue is asked about when it comes to one */
    fh_fifo_remove(&p->fifo, frame);
    bool aside = fh_pager_set_aside(p, frame);
    FH_ASSERT(aside == !was);
    if (!aside)
        fh_fifo_insert(&p->fifo, frame, false, 0);
}

void fh_pager_note_absent(struct fh_pager *p, struct fh_page page)
{
    if (p->pins.count == 0 || !fh_pins_has(&p->pins, page))
        return;
    p->pins_absent = true;
    p->fetched_to.v = 0;
}

void fh_pager_enqueue_main(struct fh_pager *p, struct fh_frame frame)
{
    if (!fh_pager_set_aside(p, frame))
        fh_fifo_insert_main(&p->fifo, frame);
}

uint64_t fh_pager_pins_max(const struct fh_pager *p)
{
    uint64_t frames = fh_min_u64(p->frames.total, p->budget.asked);
    uint64_t kept = 2 * (uint64_t)p->opts.hold_max;
    uint64_t half = frames / 2 > kept ? frames / 2 - kept : 0;

    return fh_min_u64(half, frames * p->opts.pin_permille / 1000);
}

void fh_pager_repin(struct fh_pager *p, struct fh_page first, uint64_t count)
{
    struct fh_page end = fh_page_add(first, count);

    if (count > PINS_AT_ONCE) {
        p->pins_left = true;
        p->swept_to = 0;
        return;
    }
    for (struct fh_page page = fh_pagetable_next(&p->table, first, end); page.v < end.v;
         page = fh_pagetable_next(&p->table, fh_page_add(page, 1), end)) {
        struct fh_entry e = fh_pagetable_get(&p->table, page);
        if (fh_entry_state(e) == FH_PAGE_FRAME)
            fh_pager_requeue(p, fh_entry_frame(e));
    }
}

/* Brings frames back whose pages are not pinned any more. */
static void pins_sweep(struct fh_pager *p)
{
    uint32_t looks = SWEEP_LOOKS;
    uint32_t i = fh_frames_next_touched(&p->frames, p->swept_to);

    for (; i < p->frames.span && looks > 0; i = fh_frames_next_touched(&p->frames, i + 1), looks--)
        if (p->frames.records[i].queue == FH_QUEUE_ASIDE)
            fh_pager_requeue(p, (struct fh_frame){i});
    p->swept_to = i;
    if (i == p->frames.span) {
        p->pins_left = false;
        p->swept_to = 0;
    }
}

/* Reads in what is pinned and not in memory; false: not before something else has ended. */
static bool pins_fetch(struct fh_pager *p)
{
    struct fh_page first, end;
    uint64_t looks = FETCH_LOOKS;

    while (looks > 0) {
        if (!fh_pins_next(&p->pins, p->fetched_to, &first, &end)) {
            p->pins_absent = false;
            p->fetched_to.v = 0;
            return true;
        }
        uint64_t count = fh_min_u64(end.v - first.v, looks);
        p->fetched_to = fh_pager_read_ahead(p, first, count, first, 0, p->opts.free_min);
        looks -= count;
        if (p->fetched_to.v < first.v + count)
            return false;
    }
    return true;
}

bool fh_pager_pins_turn(struct fh_pager *p)
{
    bool more = false;

    if (p->pins_left)
        pins_sweep(p);
    if (p->pins_absent)
        more = pins_fetch(p) && p->pins_absent;
    return more || p->pins_left;
}

struct fh_page fh_pager_cool(struct fh_pager *p, struct fh_page first, struct fh_page end,
                             uint32_t *looks)
{
    struct fh_page page = fh_pagetable_next(&p->table, first, end);

    for (; page.v<end.v && * looks> 0;
         page = fh_pagetable_next(&p->table, fh_page_add(page, 1), end), --*looks) {
        struct fh_entry e = fh_pagetable_get(&p->table, page);
        if (fh_entry_state(e) != FH_PAGE_FRAME)
            continue;
        const struct fh_frame_record *r = fh_frames_record(&p->frames, fh_entry_frame(e));
        if (r->queue != FH_QUEUE_SMALL && r->queue != FH_QUEUE_MAIN)
            continue;
        fh_fifo_remove(&p->fifo, fh_entry_frame(e));
        fh_fifo_insert_next(&p->fifo, fh_entry_frame(e));
    }
    return page;
}
