/*
 * pager_check: the pager's numbers, recounted from what they count. Nothing here trusts a counter:
 * references are counted from entries, operations and holds, into arrays of its own.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "bits.h"
#include "pager_private.h"
#include "report.h"

struct recount {
    const struct fh_pager *p;
    struct fh_report report;
    uint32_t *frame_refs; /* by frame */
    uint32_t *slot_refs;  /* by slot */
    uint64_t mapped, retained, file_clean, file_dirty, storing, reserved;
    uint64_t ahead_ops;
    uint64_t used;  /* frames with references */
    uint64_t aside; /* frames that are set aside */
};

static void count_slot(struct recount *c, struct fh_slot slot)
{
    if (slot.v > c->p->swap.slots.total)
        fh_report(&c->report, "[I6] an entry names slot %u of %u", slot.v, c->p->swap.slots.total);
    else if (slot.v != 0)
        c->slot_refs[slot.v]++;
}

static void count_frame(struct recount *c, struct fh_frame frame)
{
    if (frame.v >= c->p->frames.span)
        fh_report(&c->report, "[I1] something names frame %u of %u", frame.v, c->p->frames.span);
    else
        c->frame_refs[frame.v]++;
}

static void count_entries(struct recount *c)
{
    const struct fh_pagetable *t = &c->p->table;
    struct fh_page end = {t->tables_end << FH_ARENA_PAGE_SHIFT};
    struct fh_page page = fh_pagetable_next(t, (struct fh_page){0}, end);

    for (; page.v < end.v; page = fh_pagetable_next(t, fh_page_add(page, 1), end)) {
        struct fh_entry e = fh_pagetable_get(t, page);
        enum fh_page_state state = fh_entry_state(e);
        count_slot(c, fh_entry_slot(e));
        if (state == FH_PAGE_FRAME || state == FH_PAGE_READING)
            count_frame(c, fh_entry_frame(e));
    }
}

static void count_operations(struct recount *c)
{
    for (uint32_t i = 0; i < FH_PAGER_OPS; i++) {
        const struct fh_page_op *op = &c->p->ops[i];
        c->ahead_ops += op->in_use && op->ahead;
        for (uint32_t k = 0; op->in_use && k < op->run.count; k++) {
            bool swap = op->kind == FH_PAGE_OP_LOAD || op->kind == FH_PAGE_OP_STORE;
            if (op->frames[k].v != FH_FRAME_NONE.v)
                count_frame(c, op->frames[k]);
            if (swap)
                count_slot(c, (struct fh_slot){op->run.first.v + k});
            c->storing += op->kind == FH_PAGE_OP_STORE;
        }
    }
}

static void count_holds(struct recount *c)
{
    const struct fh_list *l = c->p->holds.next;

    for (; l != &c->p->holds; l = l->next) {
        const struct fh_hold *h =
            (const struct fh_hold *)(const void *)((const char *)l -
                                                   offsetof(struct fh_hold, link));
        c->reserved += h->reserved;
        for (uint32_t i = 0; i < h->count; i++)
            if (h->frames[i].v != FH_FRAME_NONE.v)
                count_frame(c, h->frames[i]);
    }
}

static void check_mapped_frame(struct recount *c, uint32_t i)
{
    const struct fh_frame_record *r = &c->p->frames.records[i];
    struct fh_names_walk walk = {0};
    bool named = fh_pager_next_name(c->p, (struct fh_frame){i}, &walk);
    struct fh_entry e = named ? walk.entry : (struct fh_entry){0};
    bool filling = fh_entry_state(e) == FH_PAGE_READING;

    if ((fh_entry_state(e) != FH_PAGE_FRAME && !filling) || fh_entry_frame(e).v != i) {
        fh_report(&c->report, "[I2] frame %u: page %" PRIx64 " does not lead to it", i,
                  (uint64_t)r->page);
        return;
    }
    if (filling)
        return;
    c->mapped++;
    c->retained += !r->file && !r->dirty;
    c->file_clean += r->file && !r->dirty;
    c->file_dirty += r->file && r->dirty;
    if (r->file != fh_pager_is_of_file(c->p, (struct fh_frame){i}))
        fh_report(&c->report, "[F1] frame %u: file %u, but the file's page is elsewhere", i,
                  (unsigned)r->file);
    if ((fh_entry_slot(e).v == 0) != (r->dirty || r->file))
        fh_report(&c->report, "[I3] frame %u: dirty %u, slot %u", i, (unsigned)r->dirty,
                  fh_entry_slot(e).v);
    if ((r->queue == FH_QUEUE_NONE) != r->busy)
        fh_report(&c->report, "[I4] frame %u: busy %u, queue %u", i, (unsigned)r->busy,
                  (unsigned)r->queue);
}

/* Whether a page that names the frame is pinned for good. */
static bool frame_is_settled(const struct fh_pager *p, struct fh_frame frame)
{
    struct fh_names_walk walk = {0};

    while (fh_pager_next_name(p, frame, &walk))
        if (fh_pins_has_settled(&p->pins, walk.page))
            return true;
    return false;
}

static void check_aside(struct recount *c, uint32_t i) /* [I8] */
{
    const struct fh_frame_record *r = &c->p->frames.records[i];
    struct fh_frame frame = {i};
    bool aside = r->queue == FH_QUEUE_ASIDE;

    if (r->busy || r->queue == FH_QUEUE_NONE)
        return;
    if (aside && !fh_pager_is_pinned(c->p, frame) && !c->p->pins_left)
        fh_report(&c->report, "[I8] frame %u: aside, but not pinned", i);
    if (!aside && frame_is_settled(c->p, frame))
        fh_report(&c->report, "[I8] frame %u: pinned, but in queue %u", i, (unsigned)r->queue);
    if (aside && fh_pager_slot_of(c->p, frame).v != 0)
        fh_report(&c->report, "[I8] frame %u: pinned, with a slot", i);
}

static void check_frames(struct recount *c)
{
    const struct fh_frames *f = &c->p->frames;

    for (uint32_t i = fh_frames_next_touched(f, 0); i < f->span;
         i = fh_frames_next_touched(f, i + 1)) {
        const struct fh_frame_record *r = &f->records[i];
        c->used += r->refs > 0;
        c->aside += r->queue == FH_QUEUE_ASIDE;
        if (r->refs != c->frame_refs[i])
            fh_report(&c->report, "[I1] frame %u: refs %u, counted %u", i, (unsigned)r->refs,
                      c->frame_refs[i]);
        if (r->refs > 0 && r->page != FH_PAGE_NONE) {
            check_mapped_frame(c, i);
            check_aside(c, i);
        } else if (r->queue != FH_QUEUE_NONE) {
            fh_report(&c->report, "[I4] frame %u: in a queue, named by no page", i);
        }
    }
}

static void check_slots(struct recount *c)
{
    for (uint32_t i = 1; i <= c->p->swap.slots.total; i++) {
        uint32_t refs = fh_slots_refs(&c->p->swap.slots, (struct fh_slot){i});
        if (refs != c->slot_refs[i])
            fh_report(&c->report, "[I6] slot %u: refs %u, counted %u", i, refs, c->slot_refs[i]);
    }
}

static void check_sum(struct recount *c, const char *what, uint64_t kept, uint64_t counted)
{
    if (kept != counted)
        fh_report(&c->report, "[I5] %s: %" PRIu64 ", counted %" PRIu64, what, kept, counted);
}

/* What is told of the frames adds up to those in use. */
static void check_accounts(struct recount *c)
{
    struct fh_pager_stats s;

    fh_pager_stats(c->p, &s);
    check_sum(c, "frames by state",
              s.frames_clean + s.frames_dirty + s.frames_file_clean + s.frames_file_dirty +
                  s.frames_held,
              c->used);
    check_sum(c, "frames and free ones", s.frames_free + c->used, s.frames_total);
    check_sum(c, "pinned frames", s.frames_pinned, c->aside);
    if (s.frames_pinned > s.pages_pinned && !c->p->pins_left)
        fh_report(&c->report, "[I8] %" PRIu64 " frames are pinned, of %" PRIu64 " pages",
                  s.frames_pinned, s.pages_pinned);
    check_sum(c, "clean and dirty frames",
              s.frames_clean + s.frames_dirty + s.frames_file_clean + s.frames_file_dirty,
              c->mapped);
}

static void check_pager(struct recount *c)
{
    count_entries(c);
    count_operations(c);
    count_holds(c);
    check_frames(c);
    check_slots(c);
    check_sum(c, "mapped", c->p->mapped, c->mapped);
    check_sum(c, "retained", c->p->retained, c->retained);
    check_sum(c, "file_clean", c->p->file_clean, c->file_clean);
    check_sum(c, "file_dirty", c->p->file_dirty, c->file_dirty);
    check_sum(c, "storing", c->p->storing, c->storing);
    check_sum(c, "reserved", c->p->reserved, c->reserved);
    check_accounts(c);
    fh_pager_budget_check(c->p, &c->report);
    check_sum(c, "reading ahead", c->p->ahead_ops, c->ahead_ops);
}

bool fh_pager_check(const struct fh_pager *p, FILE *why)
{
    struct recount c = {.p = p, .report = {.out = why, .lines_max = 20}};
    bool parts = fh_frames_check(&p->frames, why);

    parts = fh_pagetable_check(&p->table, why) && parts;
    parts = fh_fifo_check(&p->fifo, why) && parts;
    parts = fh_swap_check(&p->swap, why) && parts;
    parts = fh_rings_check(&p->rings, why) && parts;
    parts = fh_backing_check(&p->backing, why) && parts;
    parts = fh_readahead_check(&p->readahead, why) && parts;
    parts = fh_pins_check(&p->pins, why) && parts;
    parts = fh_line_check(&p->line, why) && parts;
    c.frame_refs = calloc(p->frames.span, sizeof(*c.frame_refs));
    c.slot_refs = calloc((size_t)p->swap.slots.total + 1, sizeof(*c.slot_refs));
    if (c.frame_refs && c.slot_refs)
        check_pager(&c);
    else
        fh_report(&c.report, "no memory to recount");
    free(c.frame_refs);
    free(c.slot_refs);
    return parts && c.report.broken == 0;
}

void fh_pager_stats(const struct fh_pager *p, struct fh_pager_stats *out)
{
    uint64_t total = p->frames.total + p->frames.leaving; /* of leaving chunks, what is in use */
    uint64_t used = total - p->frames.free;

    *out = (struct fh_pager_stats){
        .frames_total = total,
        .frames_free = p->frames.free,
        .frames_dirty = p->mapped - p->retained - p->file_clean - p->file_dirty,
        .frames_file_clean = p->file_clean,
        .frames_file_dirty = p->file_dirty,
        .frames_clean = p->retained,
        .frames_held = used - p->mapped,
        .frames_pinned = p->fifo.aside,
        .pages_pinned = p->pins.pages,
        .pins_max = fh_pager_pins_max(p),
        .pages_frame = p->table.counts[FH_PAGE_FRAME],
        .pages_slot = p->table.counts[FH_PAGE_SLOT],
        .pages_file = p->table.counts[FH_PAGE_FILE],
        .pages_reading = p->table.counts[FH_PAGE_READING],
        .pages_failed = p->table.counts[FH_PAGE_FAILED],
        .faults_first_write = p->faults_first_write,
        .faults_swap = p->faults_swap,
        .faults_file = p->faults_file,
        .faults_copy_on_write = p->faults_copy,
        .pages_lost = p->pages_lost,
        .ahead_read = p->ahead_read,
        .ahead_used = p->ahead_used,
        .ahead_unused = p->ahead_unused,
        .refaults = p->fifo.refaults,
        .parked_now = p->line.count,
        .parked_total = p->line.parked_total,
        .live = fh_pager_live(p),
        .capacity = fh_pager_capacity(p, fh_min_u64(p->frames.total, p->budget.asked)),
    };
    fh_pager_budget_stats(p, &out->budget);
    fh_swap_stats(&p->swap, &out->swap);
    fh_backing_stats(&p->backing, &out->backing);
}

static void count_page(const struct fh_pager *p, struct fh_entry e, bool of_file,
                       struct fh_page_counts *c)
{
    const struct fh_frame_record *r;

    switch (fh_entry_state(e)) {
    case FH_PAGE_FRAME:
        r = fh_frames_record(&p->frames, fh_entry_frame(e));
        c->frame++;
        c->dirty += r->file && r->dirty;
        break;
    case FH_PAGE_READING:
    case FH_PAGE_SLOT:
        c->swap += fh_entry_slot(e).v != 0;
        c->file += fh_entry_slot(e).v == 0;
        c->dirty += of_file && fh_entry_slot(e).v != 0;
        break;
    case FH_PAGE_FILE:
        c->file++;
        break;
    case FH_PAGE_FAILED:
        c->failed++;
        break;
    case FH_PAGE_NOTHING:
    case FH_PAGE_ZERO:
        c->nothing++;
        c->dirty += of_file;
        break;
    }
}

void fh_pager_count(const struct fh_pager *p, struct fh_page first, uint64_t count,
                    struct fh_page_counts *out)
{
    struct fh_page end = fh_page_add(first, count);
    struct fh_page page = fh_pagetable_next(&p->table, first, end);
    bool of_file = fh_backing_find(&p->backing, first) != NULL;
    uint64_t some = 0;

    *out = (struct fh_page_counts){0};
    for (; page.v < end.v; page = fh_pagetable_next(&p->table, fh_page_add(page, 1), end)) {
        count_page(p, fh_pagetable_get(&p->table, page), of_file, out);
        some++;
    }
    if (of_file)
        out->file += count - some;
    else
        out->nothing = count - some;
}

void fh_pager_dump(const struct fh_pager *p, FILE *out)
{
    fprintf(out,
            "pager: live %" PRIu64 ", claimed %" PRIu64 ", mapped %" PRIu64 ", clean %" PRIu64
            ", storing %" PRIu64 ", reserved %u, parked %u, views %u\n",
            fh_pager_live(p), p->claimed, p->mapped, p->retained, p->storing, p->reserved,
            p->line.count, p->rings.count);
    fh_pager_budget_dump(p, out);
    fh_frames_dump(&p->frames, out);
    fh_pagetable_dump(&p->table, out);
    fh_fifo_dump(&p->fifo, out);
    fh_rings_dump(&p->rings, out);
    fh_backing_dump(&p->backing, out);
    fh_readahead_dump(&p->readahead, out);
    fh_pins_dump(&p->pins, out);
    fh_line_dump(&p->line, out);
    fh_swap_dump(&p->swap, out);
}
