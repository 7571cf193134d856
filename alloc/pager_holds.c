/*
 * Theory.  A request says which pages it needs before it touches them. `need` counts, page by page,
 * what that takes: pages to be read in, frames to be created, new content. When all is there the
 * request goes on at once; when frames or operations are short it waits in the line, holding
 * nothing; else everything is taken in one step, reads are started in runs of consecutive slots,
 * and the request waits for them.
 *
 * A read hold binds to frames, at the moment of the call: a frame that is still being filled is
 * held as well, and whatever becomes of the entry meanwhile does not matter. A write hold binds to
 * residency only: it keeps the pages from being evicted until the writer runs, which then gives it
 * back, looks every entry up again and may find that another writer was faster.
 *
 * Why nobody waits for ever: (a) who is admitted waits for I/O only, and every operation ends; (b)
 * a frame that no hold and no operation references can be evicted; (c) eviction needs no frame, and
 * finds a slot by the capacity rule; (d) the line is served in order, and its head needs at most 2
 * * hold_max frames.
 *
 * Invariants
 *   [H1] a bound hold is in the list of holds, with a reference on each of its frames
 *   [H2] pending is the number of operations that list the hold among their waits
 *   [H3] the pager's reserved is the sum over bound holds
 */
#include <errno.h>
#include <string.h>

#include "bits.h"
#include "pager_private.h"

static const uint8_t zero_page[FH_PAGE_SIZE] __attribute__((aligned(FH_PAGE_SIZE)));

/* What a request takes. */
struct need {
    uint32_t loads;   /* pages to read in: a frame and at most an operation each */
    uint32_t files;   /* of them, from files */
    uint32_t joins;   /* pages that others are reading in */
    uint32_t frames;  /* frames for new content and copies */
    uint64_t created; /* pages that will exist and do not yet */
    int error;
};

/* The pages a request touches, and how. */
struct touch {
    struct fh_page first, end;
    bool reads;          /* all bytes of every page are wanted */
    struct fh_span span; /* else: what is about to be covered */
};

static bool touch_covers(const struct touch *t, struct fh_page page)
{
    uint64_t start = fh_addr_of_page(page).v;
    return !t->reads && t->span.kind != FH_SPAN_PATCH && t->span.start.v <= start &&
           t->span.start.v + t->span.size >= start + FH_PAGE_SIZE;
}

/* A page of which bytes are kept, so they must be in memory: for the object, or for a view that
 * would find the new ones in the file. */
static bool touch_keeps(const struct fh_pager *p, const struct touch *t, struct fh_page page)
{
    return t->reads || !touch_covers(t, page) || fh_pager_is_viewed(p, page);
}

/* Whether a view names the same frame or slot: what is written then leaves the old bytes to it. */
static bool page_is_shared(const struct fh_pager *p, struct fh_entry e)
{
    enum fh_page_state state = fh_entry_state(e);
    uint32_t own = 1 + (state == FH_PAGE_READING); /* who reads it in names the slot as well */

    if (state == FH_PAGE_FRAME || (state == FH_PAGE_READING && fh_entry_slot(e).v == 0))
        return fh_pager_names(p, fh_entry_frame(e)) > 1;
    if (fh_entry_slot(e).v == 0)
        return false;
    return fh_slots_refs(&p->swap.slots, fh_entry_slot(e)) > own;
}

/* Whether writing makes a page exist that does not yet: its bytes are nowhere but in a file. */
static bool page_is_new(const struct fh_pager *p, struct fh_entry e)
{
    const struct fh_frame_record *r;

    switch (fh_entry_state(e)) {
    case FH_PAGE_FRAME:
        r = fh_frames_record(&p->frames, fh_entry_frame(e));
        return r->file && !r->dirty;
    case FH_PAGE_READING:
        return fh_entry_slot(e).v == 0;
    case FH_PAGE_SLOT:
        return false;
    case FH_PAGE_NOTHING:
    case FH_PAGE_FILE:
    case FH_PAGE_FAILED:
    case FH_PAGE_ZERO:
        break;
    }
    return true;
}

static void need_for_write(const struct fh_pager *p, const struct touch *t, struct fh_page page,
                           struct fh_entry e, struct need *n)
{
    enum fh_page_state state = fh_pager_state_of(p, page, e);
    bool keeps = touch_keeps(p, t, page);

    if (!keeps && t->span.kind != FH_SPAN_COPY)
        return; /* the whole entry is replaced */
    if ((state == FH_PAGE_NOTHING || state == FH_PAGE_ZERO) && t->span.kind == FH_SPAN_ZERO)
        return;
    n->created += page_is_new(p, e);
    if (state == FH_PAGE_FRAME && fh_frames_record(&p->frames, fh_entry_frame(e))->refs == 1)
        return; /* in place */
    n->frames++;
    n->created += page_is_shared(p, e);
}

static void need_page(const struct fh_pager *p, const struct touch *t, struct fh_page page,
                      struct need *n)
{
    struct fh_entry e = fh_pagetable_get(&p->table, page);
    enum fh_page_state state = fh_pager_state_of(p, page, e);
    bool keeps = touch_keeps(p, t, page);

    if (keeps && state == FH_PAGE_FAILED)
        n->error = -EBADMSG;
    if ((state == FH_PAGE_FRAME || state == FH_PAGE_READING) &&
        fh_frames_record(&p->frames, fh_entry_frame(e))->refs >= FH_FRAME_REFS_MAX)
        n->error = -EBUSY;
    n->loads += keeps && (state == FH_PAGE_SLOT || state == FH_PAGE_FILE);
    n->files += keeps && state == FH_PAGE_FILE;
    n->joins += keeps && state == FH_PAGE_READING;
    if (!t->reads)
        need_for_write(p, t, page, e, n);
}

/*
 * The next page after `page` whose bytes or frame matter: all of a read or copy, only the two edges
 * of what replaces whole entries.
 */
static struct fh_page touch_next(const struct touch *t, struct fh_page page)
{
    bool all = t->reads || t->span.kind == FH_SPAN_COPY || t->span.kind == FH_SPAN_PATCH;

    if (all || page.v + 1 >= t->end.v)
        return fh_page_add(page, 1);
    return (struct fh_page){t->end.v - 1};
}

static struct need need_of(const struct fh_pager *p, const struct touch *t)
{
    struct need n = {0};

    for (struct fh_page page = t->first; page.v < t->end.v; page = touch_next(t, page))
        need_page(p, t, page, &n);
    return n;
}

static bool pager_may_take(const struct fh_pager *p, const struct fh_call *call, uint32_t frames,
                           uint32_t ops)
{
    if (frames == 0)
        return true;
    if (ops > 0 && ops + FH_PAGER_OPS_FOR_RECLAIM > p->ops_free_count)
        return false;
    if (call->admitted)
        return fh_pager_spare(p) >= frames;
    return fh_line_is_empty(&p->line) && fh_pager_spare(p) >= frames + p->opts.free_min;
}

int fh_pager_wait(struct fh_pager *p, struct fh_call *call, uint32_t frames)
{
    if (p->refusing != 0)
        return p->refusing;
    fh_line_park(&p->line, call, frames);
    return -EINPROGRESS;
}

int fh_pager_give_way(struct fh_pager *p, struct fh_call *call)
{
    p->again = true;
    return fh_pager_wait(p, call, 0);
}

/* --- holds --- */

/* Nothing is held until every page was seen to be in memory or to be zeros: then all of them are, in one step. */
static bool hold_frames_of(const struct fh_pager *p, struct fh_frame *frames, struct fh_page first,
                           uint32_t count)
{
    bool files = p->backing.count > 0;

    for (uint32_t i = 0; i < count; i++) {
        struct fh_entry e = fh_pagetable_get(&p->table, fh_page_add(first, i));
        enum fh_page_state state = fh_entry_state(e);
        if (state == FH_PAGE_FRAME) {
            frames[i] = fh_entry_frame(e);
            fh_prefetch(fh_region_bytes(&p->region, frames[i]));
            if (fh_frames_record(&p->frames, frames[i])->refs >= FH_FRAME_REFS_MAX)
                return false;
        } else if (state == FH_PAGE_ZERO || (state == FH_PAGE_NOTHING && !files)) {
            frames[i] = FH_FRAME_NONE;
        } else {
            return false;
        }
    }
    return true;
}

/* What most holds are: of pages that are all there. One walk of the table, no admission. */
static bool hold_resident(struct fh_pager *p, struct fh_call *call, struct fh_hold *h,
                          struct fh_page first, uint32_t count)
{
    if (!hold_frames_of(p, h->frames, first, count))
        return false;
    fh_hold_init(h);
    h->call = call;
    h->count = count;
    fh_list_push_back(&p->holds, &h->link);
    for (uint32_t i = 0; i < count; i++) {
        if (h->frames[i].v == FH_FRAME_NONE.v)
            continue;
        fh_pager_touch(p, fh_page_add(first, i), h->frames[i]);
        fh_frames_hold(&p->frames, h->frames[i]);
    }
    return true;
}

static struct fh_frame hold_bind_page(struct fh_pager *p, struct fh_hold *h, struct fh_loader *l,
                                      struct fh_page page)
{
    struct fh_entry e = fh_pagetable_get(&p->table, page);
    struct fh_frame frame = fh_entry_frame(e);

    switch (fh_pager_state_of(p, page, e)) {
    case FH_PAGE_FRAME:
        fh_pager_touch(p, page, frame);
        break;
    case FH_PAGE_READING:
        p->ahead_used += fh_frames_record(&p->frames, frame)->ahead;
        fh_frames_record(&p->frames, frame)->ahead = 0;
        fh_hold_wait_for(h, &p->ops[fh_frames_record(&p->frames, frame)->next]);
        break;
    case FH_PAGE_SLOT:
    case FH_PAGE_FILE:
        frame = fh_loader_add(p, l, h, page, e);
        break;
    case FH_PAGE_NOTHING:
    case FH_PAGE_FAILED:
    case FH_PAGE_ZERO:
        return FH_FRAME_NONE;
    }
    fh_frames_hold(&p->frames, frame);
    return frame;
}

static void hold_begin(struct fh_pager *p, struct fh_call *call, struct fh_hold *h)
{
    FH_ASSERT(!fh_hold_is_bound(h));
    fh_hold_init(h);
    h->call = call;
    fh_list_push_back(&p->holds, &h->link);
}

static void hold_bind_pages(struct fh_pager *p, struct fh_hold *h, const struct touch *t)
{
    struct fh_loader loader = {0};

    for (struct fh_page page = t->first; page.v < t->end.v; page = touch_next(t, page))
        if (touch_keeps(p, t, page))
            h->frames[h->count++] = hold_bind_page(p, h, &loader, page);
    fh_loader_flush(p, &loader);
}

static void hold_bind(struct fh_pager *p, struct fh_call *call, struct fh_hold *h,
                      const struct touch *t)
{
    hold_begin(p, call, h);
    hold_bind_pages(p, h, t);
}

/* Reading from files sets entries that may not have been set before. */
static int touch_rings(struct fh_pager *p, const struct touch *t, const struct need *n)
{
    int rc = 0;

    if (n->files == 0)
        return 0;
    for (struct fh_page page = t->first; rc == 0 && page.v < t->end.v; page = touch_next(t, page))
        rc = fh_pager_touch_ring(p, page);
    return rc;
}

/* Apart, so that who finds all pages in memory does not pay for what this keeps on the stack. */
static __attribute__((noinline)) int hold_or_park(struct fh_pager *p, struct fh_call *call,
                                                  struct fh_hold *h, struct fh_page first,
                                                  uint32_t count)
{
    struct touch t = {.first = first, .end = fh_page_add(first, count), .reads = true};
    struct need n = need_of(p, &t);

    if (n.error != 0)
        return n.error;
    int rc = touch_rings(p, &t, &n);
    if (rc != 0)
        return rc;
    if (!pager_may_take(p, call, n.loads, n.loads))
        return fh_pager_wait(p, call, n.loads);
    hold_bind(p, call, h, &t);
    if (h->pending == 0)
        return 0;
    fh_line_park_on_io(&p->line, call, h);
    return -EINPROGRESS;
}

int fh_pager_hold(struct fh_pager *p, struct fh_call *call, struct fh_hold *h, struct fh_page first,
                  uint32_t count)
{
    FH_ASSERT(count > 0);
    FH_ASSERT(count <= p->opts.hold_max);
    FH_ASSERT(!fh_hold_is_bound(h));
    return hold_resident(p, call, h, first, count) ? 0 : hold_or_park(p, call, h, first, count);
}

void fh_pager_release(struct fh_pager *p, struct fh_hold *h)
{
    if (!fh_hold_is_bound(h))
        return;
    for (uint32_t i = 0; i < h->waits_used; i++)
        fh_list_remove(&h->waits[i].link);
    for (uint32_t i = 0; i < h->count; i++)
        if (h->frames[i].v != FH_FRAME_NONE.v)
            fh_pager_unref(p, h->frames[i]);
    FH_ASSERT(p->reserved >= h->reserved);
    p->reserved -= h->reserved;
    fh_list_remove(&h->link);
    fh_hold_init(h);
}

const uint8_t *fh_pager_held_bytes(const struct fh_pager *p, const struct fh_hold *h, uint32_t i)
{
    FH_ASSERT(i < h->count);
    return h->frames[i].v == FH_FRAME_NONE.v ? zero_page
                                             : fh_region_bytes(&p->region, h->frames[i]);
}

const uint8_t *fh_pager_glance(const struct fh_pager *p, struct fh_page page,
                               struct fh_frame *frame)
{
    struct fh_entry e = fh_pagetable_get(&p->table, page);
    enum fh_page_state state = fh_pager_state_of(p, page, e);

    *frame = FH_FRAME_NONE;
    if (state == FH_PAGE_NOTHING || state == FH_PAGE_ZERO)
        return zero_page;
    if (state != FH_PAGE_FRAME)
        return NULL;
    *frame = fh_entry_frame(e);
    fh_prefetch(fh_frames_record(&p->frames, *frame));
    return fh_region_bytes(&p->region, *frame);
}

const uint8_t *fh_pager_zero_page(void)
{
    return zero_page;
}

static struct touch touch_of_span(const struct fh_span *span)
{
    struct fh_addr last = {span->start.v + span->size - 1};

    return (struct touch){.first = fh_page_of_addr(span->start),
                          .end = fh_page_add(fh_page_of_addr(last), 1),
                          .reads = span->kind == FH_SPAN_READ,
                          .span = *span};
}

/* Room for new pages and frames for all: they are there, or the call waits for them. */
static int need_admit(struct fh_pager *p, struct fh_call *call, const struct need *n)
{
    int rc;

    if (n->created > 0 && (rc = fh_pager_admit_now(p, n->created)) != 0)
        return rc == -ENOSPC ? fh_pager_wait_for_room(p, call, n->created) : rc;
    if (!pager_may_take(p, call, n->loads + n->frames, n->loads))
        return fh_pager_wait(p, call, n->loads + n->frames);
    return 0;
}

/* It waits for pages on their way, with frames reserved for those it will make. */
static void hold_park(struct fh_pager *p, struct fh_call *call, struct fh_hold *h, uint32_t frames)
{
    h->reserved = frames;
    p->reserved += frames;
    fh_line_park_on_io(&p->line, call, h);
}

int fh_pager_prepare(struct fh_pager *p, struct fh_call *call, struct fh_hold *h,
                     struct fh_span span)
{
    struct touch t = touch_of_span(&span);
    int rc;

    FH_ASSERT(span.size > 0);
    if ((span.kind == FH_SPAN_COPY || t.reads) && t.end.v - t.first.v > p->opts.hold_max)
        return -EFBIG;
    bool of_file = fh_backing_find(&p->backing, t.first) != NULL;
    if (of_file && (span.kind == FH_SPAN_ZERO || span.kind == FH_SPAN_MOVE) &&
        (rc = fh_pager_part(p, call, h, t.first, t.end)) != 0)
        return rc;
    struct need n = need_of(p, &t);
    if (n.error != 0)
        return n.error;
    if ((span.kind != FH_SPAN_ZERO || of_file) &&
        (rc = fh_pagetable_touch(&p->table, t.first, t.end.v - t.first.v)) != 0)
        return rc;
    if ((rc = touch_rings(p, &t, &n)) != 0)
        return rc;
    if ((rc = need_admit(p, call, &n)) != 0)
        return rc;
    if (n.loads + n.joins == 0)
        return 0;
    hold_bind(p, call, h, &t);
    hold_park(p, call, h, n.frames);
    return -EINPROGRESS;
}

/* What all of them need; what a single one fails of is the error of all. */
static struct need need_of_all(const struct fh_pager *p, const struct fh_span *spans,
                               uint32_t count)
{
    struct need all = {0};

    for (uint32_t i = 0; i < count; i++) {
        struct touch t = touch_of_span(&spans[i]);
        struct need n = need_of(p, &t);
        all.loads += n.loads;
        all.joins += n.joins;
        all.frames += n.frames;
        all.created += n.created;
        all.files += n.files;
        if (all.error == 0)
            all.error = n.error;
    }
    return all;
}

static uint64_t pages_of_all(const struct fh_span *spans, uint32_t count)
{
    uint64_t pages = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct touch t = touch_of_span(&spans[i]);
        pages += t.end.v - t.first.v;
    }
    return pages;
}

/* Leaves and rings of all of them are there, so that nothing of what follows can fail. */
static int touch_all(struct fh_pager *p, const struct fh_span *spans, uint32_t count,
                     const struct need *n)
{
    int rc = 0;

    for (uint32_t i = 0; i < count && rc == 0; i++) {
        struct touch t = touch_of_span(&spans[i]);
        if ((rc = fh_pagetable_touch(&p->table, t.first, t.end.v - t.first.v)) == 0)
            rc = touch_rings(p, &t, n);
    }
    return rc;
}

int fh_pager_prepare_all(struct fh_pager *p, struct fh_call *call, struct fh_hold *h,
                         const struct fh_span *spans, uint32_t count)
{
    int rc;

    if (pages_of_all(spans, count) > p->opts.hold_max)
        return -EFBIG;
    struct need n = need_of_all(p, spans, count);
    if (n.error != 0)
        return n.error;
    if ((rc = touch_all(p, spans, count, &n)) != 0)
        return rc;
    if ((rc = need_admit(p, call, &n)) != 0)
        return rc;
    if (n.loads + n.joins == 0)
        return 0;
    hold_begin(p, call, h);
    for (uint32_t i = 0; i < count; i++) {
        struct touch t = touch_of_span(&spans[i]);
        hold_bind_pages(p, h, &t);
    }
    hold_park(p, call, h, n.frames);
    return -EINPROGRESS;
}

int fh_pager_take(struct fh_pager *p, struct fh_call *call, struct fh_hold *h, uint32_t count)
{
    uint32_t keep = call->admitted ? 0 : p->opts.free_min;
    uint32_t spare = fh_pager_spare(p);

    FH_ASSERT(count > 0);
    FH_ASSERT(!fh_hold_is_bound(h));
    if (!pager_may_take(p, call, 1, 0))
        return fh_pager_wait(p, call, 1);
    fh_hold_init(h);
    h->call = call;
    h->count = (uint32_t)fh_min_u64(count, fh_min_u64(spare - keep, p->opts.hold_max));
    fh_list_push_back(&p->holds, &h->link);
    uint32_t taken = fh_frames_take_many(&p->frames, h->count, h->frames);
    FH_ASSERT(taken == h->count); /* they were counted as free */
    return 0;
}

void fh_pager_cancel(struct fh_pager *p, struct fh_call *call)
{
    if (call->state == FH_CALL_IDLE)
        return;
    bool holds = call->state != FH_CALL_IN_LINE;
    fh_line_leave(&p->line, call);
    if (holds)
        fh_pager_release(p, call->hold);
    call->admitted = false;
}

void fh_pager_refuse_line(struct fh_pager *p, int rc)
{
    struct fh_call *call;

    p->refusing = rc;
    while ((call = fh_line_head(&p->line)) != NULL) {
        fh_line_leave(&p->line, call);
        fh_call_run(call); /* its step cleans up after itself, as after any refusal */
    }
    p->refusing = 0;
}

void fh_pager_pump(struct fh_pager *p)
{
    struct fh_list *link;
    struct fh_call *call;

    while ((link = fh_list_first(&p->line.ready)) != NULL) {
        call = FH_CONTAINER_OF(link, struct fh_call, link);
        fh_line_leave(&p->line, call);
        fh_call_run(call);
    }
    while ((call = fh_line_head(&p->line)) != NULL && fh_pager_spare(p) >= call->need) {
        fh_line_leave(&p->line, call);
        fh_call_run(call);
        if (fh_line_head(&p->line) == call)
            break; /* operations are short: one will end and lead to another turn */
    }
}
