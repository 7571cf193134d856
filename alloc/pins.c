/*
 * Theory.  A pin is a run of bytes of one object. Objects do not overlap, so neither do the runs of
 * different objects, though small objects share pages: whether a page is pinned is told by the last
 * run that begins before its end. A sorted array is enough: pins are few and long.
 *
 *   space   [ object A        ][ object B ][ C ]
 *   runs        [=====]  [===]             [=]        each in one object, none meets another but where
 *   pages   |       |       |       |       |         different takers made them
 *
 * Invariants
 *   [I1] runs are not empty, sorted by start, and do not overlap
 *   [I2] pages is the number of pages that runs touch, each counted once
 */
#include "pins.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bits.h"
#include "report.h"

void fh_pins_init(struct fh_pins *p, struct fh_mem *mem)
{
    *p = (struct fh_pins){.mem = mem};
}

void fh_pins_fini(struct fh_pins *p)
{
    fh_mem_give(p->mem, p->runs, p->room * sizeof(*p->runs));
    *p = (struct fh_pins){.mem = p->mem};
}

/* --- looking --- */

/* The first run that ends after `at`. */
static uint32_t pins_after(const struct fh_pins *p, struct fh_addr at)
{
    uint32_t low = 0, high = p->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p->runs[middle].end.v > at.v)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The first run from i on that begins at `end` or later. */
static uint32_t pins_until(const struct fh_pins *p, uint32_t i, struct fh_addr end)
{
    uint32_t low = i, high = p->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (p->runs[middle].start.v >= end.v)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static uint64_t last_page(const struct fh_pin *run)
{
    return fh_page_of_addr((struct fh_addr){run->end.v - 1}).v;
}

/* Pages of the runs [i, end) that no run before them touches. */
static uint64_t pins_count(const struct fh_pins *p, uint32_t i, uint32_t end)
{
    uint64_t pages = 0;

    for (; i < end; i++) {
        uint64_t first = fh_page_of_addr(p->runs[i].start).v;
        pages += last_page(&p->runs[i]) - first + 1;
        pages -= i > 0 && last_page(&p->runs[i - 1]) == first;
    }
    return pages;
}

/* The runs [i, end) and what the one behind them shares with them. */
static uint64_t pins_count_around(const struct fh_pins *p, uint32_t i, uint32_t end)
{
    return pins_count(p, i, end < p->count ? end + 1 : end);
}

bool fh_pins_has(const struct fh_pins *p, struct fh_page page)
{
    struct fh_addr start = fh_addr_of_page(page);
    uint32_t i = pins_after(p, start);

    return i < p->count && p->runs[i].start.v < start.v + FH_PAGE_SIZE;
}

bool fh_pins_has_settled(const struct fh_pins *p, struct fh_page page)
{
    struct fh_addr start = fh_addr_of_page(page);
    uint32_t i = pins_after(p, start);

    for (; i < p->count && p->runs[i].start.v < start.v + FH_PAGE_SIZE; i++)
        if (p->runs[i].taker == 0)
            return true;
    return false;
}

bool fh_pins_next(const struct fh_pins *p, struct fh_page from, struct fh_page *first,
                  struct fh_page *end)
{
    uint32_t i = pins_after(p, fh_addr_of_page(from));

    if (i == p->count)
        return false;
    first->v = fh_max_u64(from.v, fh_page_of_addr(p->runs[i].start).v);
    end->v = last_page(&p->runs[i]) + 1;
    return true;
}

uint64_t fh_pins_pages(const struct fh_pins *p, struct fh_addr start, struct fh_addr end)
{
    uint64_t pages = 0, counted = 0; /* pages below it were counted */

    for (uint32_t i = pins_after(p, start); i < p->count && p->runs[i].start.v < end.v; i++) {
        uint64_t from = fh_max_u64(p->runs[i].start.v, start.v) >> FH_PAGE_SHIFT;
        uint64_t to = ((fh_min_u64(p->runs[i].end.v, end.v) - 1) >> FH_PAGE_SHIFT) + 1;
        pages += to - fh_min_u64(to, fh_max_u64(from, counted));
        counted = to;
    }
    return pages;
}

uint64_t fh_pins_bytes(const struct fh_pins *p, struct fh_addr start, struct fh_addr end)
{
    uint64_t bytes = 0;

    for (uint32_t i = pins_after(p, start); i < p->count && p->runs[i].start.v < end.v; i++)
        bytes += fh_min_u64(p->runs[i].end.v, end.v) - fh_max_u64(p->runs[i].start.v, start.v);
    return bytes;
}

/* --- changing --- */

static int pins_make_room(struct fh_pins *p, uint32_t more)
{
    uint32_t room = p->room > 0 ? p->room : 16;
    struct fh_pin *runs;

    if (more > FH_PINS_MAX - p->count)
        return -EDQUOT;
    while (room < p->count + more)
        room *= 2;
    if (room <= p->room)
        return 0;
    runs = fh_mem_grow(p->mem, p->runs, p->room * sizeof(*runs), room * sizeof(*runs));
    if (!runs)
        return -ENOMEM;
    p->runs = runs;
    p->room = room;
    return 0;
}

/* The runs from i on begin at `to` instead; of those between, the caller says what they are. */
static void pins_shift(struct fh_pins *p, uint32_t i, uint32_t to)
{
    if (i < p->count)
        memmove(p->runs + to, p->runs + i, (p->count - i) * sizeof(*p->runs));
    p->count = p->count - i + to;
}

/* Gaps in [start, end) between the runs [i, end_run). */
static uint32_t pins_gaps(const struct fh_pins *p, uint32_t i, uint32_t end_run,
                          struct fh_addr start, struct fh_addr end)
{
    uint64_t at = start.v;
    uint32_t gaps = 0;

    for (; i < end_run; i++) {
        gaps += p->runs[i].start.v > at;
        at = p->runs[i].end.v;
    }
    return gaps + (at < end.v);
}

/* Fills the gaps of [start, end): the runs from i on are `count`, with room for `gaps` behind. */
static void pins_fill(struct fh_pins *p, uint32_t i, uint32_t count, uint32_t gaps,
                      struct fh_addr start, struct fh_addr end, uint32_t taker)
{
    uint32_t to = i + count + gaps;
    uint64_t until = end.v;

    while (count > 0) {
        struct fh_pin run = p->runs[i + --count];
        if (run.end.v < until)
            p->runs[--to] = (struct fh_pin){run.end, {until}, taker};
        p->runs[--to] = run;
        until = run.start.v;
    }
    if (start.v < until)
        p->runs[--to] = (struct fh_pin){start, {until}, taker};
    FH_ASSERT(to == i);
}

int fh_pins_add(struct fh_pins *p, struct fh_addr start, struct fh_addr end, uint64_t pages_max,
                uint32_t *taker)
{
    uint32_t i = pins_after(p, start), last = pins_until(p, i, end);
    uint32_t gaps = pins_gaps(p, i, last, start, end);
    int rc;

    FH_ASSERT(start.v < end.v);
    for (uint32_t k = i; k < last; k++)
        if (p->runs[k].taker != 0)
            return -EBUSY;
    if ((rc = pins_make_room(p, gaps)) != 0)
        return rc;
    p->taker = p->taker < UINT32_MAX ? p->taker + 1 : 1;
    p->pages -= pins_count_around(p, i, last);
    pins_shift(p, last, last + gaps);
    pins_fill(p, i, last - i, gaps, start, end, p->taker);
    p->pages += pins_count_around(p, i, last + gaps);
    if (p->pages > pages_max && gaps > 0) {
        (void)fh_pins_undo(p, p->taker);
        return -EDQUOT;
    }
    *taker = p->taker;
    return 0;
}

void fh_pins_settle(struct fh_pins *p, uint32_t taker, struct fh_addr start, struct fh_addr end,
                    struct fh_addr low, struct fh_addr high)
{
    uint32_t i = pins_after(p, start), last = pins_until(p, i, end);

    for (uint32_t k = i; k < last; k++)
        if (p->runs[k].taker == taker)
            p->runs[k].taker = 0;
    i -= i > 0 && p->runs[i - 1].start.v >= low.v && p->runs[i - 1].end.v > low.v;
    last += last < p->count && p->runs[last].start.v < high.v;
    uint32_t to = i;
    for (uint32_t k = i + 1; k < last; k++) {
        bool meets = p->runs[to].end.v == p->runs[k].start.v;
        if (meets && p->runs[to].taker == p->runs[k].taker)
            p->runs[to].end = p->runs[k].end;
        else
            p->runs[++to] = p->runs[k];
    }
    if (last > i)
        pins_shift(p, last, to + 1);
}

bool fh_pins_undo(struct fh_pins *p, uint32_t taker)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < p->count; i++)
        if (p->runs[i].taker != taker)
            p->runs[kept++] = p->runs[i];
    bool some = kept < p->count;
    p->count = kept;
    if (some)
        p->pages = pins_count(p, 0, p->count);
    return some;
}

int fh_pins_remove(struct fh_pins *p, struct fh_addr start, struct fh_addr end)
{
    uint32_t i = pins_after(p, start), last = pins_until(p, i, end);
    int rc;

    if (i == last)
        return 0;
    struct fh_pin head = p->runs[i], tail = p->runs[last - 1];
    bool keeps_head = head.start.v<start.v, keeps_tail = tail.end.v> end.v;
    uint32_t kept = (uint32_t)keeps_head + keeps_tail;
    if (kept > last - i && (rc = pins_make_room(p, 1)) != 0)
        return rc;
    p->pages -= pins_count_around(p, i, last);
    pins_shift(p, last, i + kept);
    head.end = start;
    tail.start = end;
    if (keeps_head)
        p->runs[i] = head;
    if (keeps_tail)
        p->runs[i + keeps_head] = tail;
    p->pages += pins_count_around(p, i, i + kept);
    return 0;
}

bool fh_pins_forget(struct fh_pins *p, struct fh_addr start, struct fh_addr end)
{
    uint32_t i = pins_after(p, start);
    int rc = 0;

    if (i == p->count || p->runs[i].start.v >= end.v || start.v >= end.v)
        return false;
    rc = fh_pins_remove(p, start, end);
    FH_ASSERT(rc == 0); /* nothing was cut in two */
    return true;
}

/* The runs [from, from + count) come to lie before those that were before `to`. */
static void pins_rotate(struct fh_pins *p, uint32_t low, uint32_t middle, uint32_t high)
{
    for (uint32_t part = 0; part < 3; part++) {
        uint32_t i = part == 1 ? middle : low, k = part == 0 ? middle : high;
        for (; i + 1 < k; i++, k--) {
            struct fh_pin run = p->runs[i];
            p->runs[i] = p->runs[k - 1];
            p->runs[k - 1] = run;
        }
    }
}

void fh_pins_move(struct fh_pins *p, struct fh_addr from, struct fh_addr to, uint64_t size)
{
    uint32_t i = pins_after(p, from);
    uint32_t last = pins_until(p, i, (struct fh_addr){from.v + size});
    uint32_t place = pins_after(p, to);

    if (i == last)
        return;
    for (uint32_t k = i; k < last; k++) {
        p->runs[k].start.v += to.v - from.v;
        p->runs[k].end.v += to.v - from.v;
    }
    if (place >= last) {
        /* they go behind those between them and the new place; to turn around is to do that */
        uint32_t count = last - i;
        pins_rotate(p, i, last, place);
        FH_ASSERT(p->runs[place - count].start.v >= to.v);
    } else {
        pins_rotate(p, place, i, last);
    }
    p->pages = pins_count(p, 0, p->count);
}

/* --- looking inside --- */

void fh_pins_stats(const struct fh_pins *p, struct fh_pins_stats *out)
{
    *out = (struct fh_pins_stats){.runs = p->count, .pages = p->pages};
}

bool fh_pins_check(const struct fh_pins *p, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint64_t pages = 0, counted = 0;

    for (uint32_t i = 0; i < p->count; i++) {
        const struct fh_pin *run = &p->runs[i];
        if (run->start.v >= run->end.v || (i > 0 && run->start.v < p->runs[i - 1].end.v))
            fh_report(&r, "[I1] pin %" PRIx64 " to %" PRIx64 ": empty, or not behind the last",
                      run->start.v, run->end.v);
        uint64_t first = run->start.v >> FH_PAGE_SHIFT, end = last_page(run) + 1;
        pages += end - fh_min_u64(end, fh_max_u64(first, counted));
        counted = end;
    }
    if (pages != p->pages)
        fh_report(&r, "[I2] %" PRIu64 " pages are pinned, counted %" PRIu64, p->pages, pages);
    return r.broken == 0;
}

void fh_pins_dump(const struct fh_pins *p, FILE *out)
{
    fprintf(out, "pins: %u, of %" PRIu64 " pages\n", p->count, p->pages);
    for (uint32_t i = 0; i < p->count; i++)
        fprintf(out, "  %" PRIx64 " to %" PRIx64 "%s\n", p->runs[i].start.v, p->runs[i].end.v,
                p->runs[i].taker != 0 ? ", under way" : "");
}
