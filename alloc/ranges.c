/*
 * Theory.  Several ranges of one object, read or written as if they were one: all their pages are
 * made possible together (fh_pager_prepare_all), and then the bytes are copied in the same turn, so
 * nobody is between them. If the pages are not possible now the call is parked and begins again from
 * the first check, as a mutation does; nothing of it is kept across a wait.
 *
 *   ranges   [ b ]   [a]  [ c ]          in the order they were given
 *   pages    |   0   |   1   |   2   |   each run of pages that they touch is one span
 *   spans    [.......................]
 *
 * A write to a small object that leaves a gap behind what was filled opens it as a write does: all
 * from there on gets what it reads as, then the ranges are laid over it.
 *
 * Invariants
 *   [I1] spans of a plan ascend, and no two have a page in common or are neighbours
 */
#include <errno.h>
#include <string.h>

#include "bits.h"
#include "zone_private.h"

struct plan {
    struct fh_span spans[FH_RANGES_MAX];
    uint32_t count;
    uint64_t first, end; /* bytes of the object from the first to the last that is touched */
};

static uint64_t range_end(const struct fh_range *range)
{
    return range->offset + range->size;
}

static int ranges_check(const struct fh_ranges *r, const struct fh_object *o)
{
    uint64_t whole = fh_object_size(o);

    for (uint32_t i = 0; i < r->count; i++)
        if (r->items[i].offset > whole || r->items[i].size > whole - r->items[i].offset)
            return -EINVAL;
    return 0;
}

/* Pages that bytes [from, to) of the object lie in, as a span. */
static struct fh_span span_of_pages(const struct fh_ranges *r, const struct fh_object *o,
                                    uint64_t from, uint64_t to)
{
    struct fh_addr start = fh_object_addr(o, from);
    uint64_t pages = fh_pages_of_range(start, to - from);

    return (struct fh_span){.kind = r->writes ? FH_SPAN_PATCH : FH_SPAN_READ,
                            .start = fh_addr_of_page(fh_page_of_addr(start)),
                            .size = pages << FH_PAGE_SHIFT};
}

static uint64_t span_end(const struct fh_span *span)
{
    return span->start.v + span->size;
}

/* Puts a span where it belongs among those before it; joined ones are made one at the end. */
static void plan_add(struct plan *plan, struct fh_span span)
{
    uint32_t at = plan->count++;

    for (; at > 0 && plan->spans[at - 1].start.v > span.start.v; at--)
        plan->spans[at] = plan->spans[at - 1];
    plan->spans[at] = span;
}

static void plan_join(struct plan *plan)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < plan->count; i++) {
        struct fh_span *last = kept > 0 ? &plan->spans[kept - 1] : NULL;
        if (!last || plan->spans[i].start.v > span_end(last))
            plan->spans[kept++] = plan->spans[i];
        else
            last->size = fh_max_u64(span_end(last), span_end(&plan->spans[i])) - last->start.v;
    }
    plan->count = kept;
}

/* Of a read, nothing that was never written has to be there. */
static void plan_make(struct plan *plan, const struct fh_ranges *r, const struct fh_object *o)
{
    uint64_t filled = fh_object_filled(o);

    *plan = (struct plan){.first = UINT64_MAX};
    for (uint32_t i = 0; i < r->count; i++) {
        const struct fh_range *range = &r->items[i];
        uint64_t end = r->writes ? range_end(range) : fh_min_u64(range_end(range), filled);
        if (range->size == 0 || range->offset >= end)
            continue;
        plan->first = fh_min_u64(plan->first, range->offset);
        plan->end = fh_max_u64(plan->end, end);
        plan_add(plan, span_of_pages(r, o, range->offset, end));
    }
    plan_join(plan);
    if (!r->writes || plan->end <= filled)
        return;
    plan->first = fh_min_u64(plan->first, filled); /* the gap belongs to it */
    plan->spans[0] = span_of_pages(r, o, plan->first, plan->end);
    plan->count = 1;
}

static int plan_prepare(struct fh_ranges *r, const struct plan *plan)
{
    uint64_t pages = 0;

    for (uint32_t i = 0; i < plan->count; i++)
        pages += plan->spans[i].size >> FH_PAGE_SHIFT;
    if (pages > FH_RANGES_PAGES_MAX)
        return -EFBIG;
    if (plan->count == 0)
        return 0;
    return fh_pager_prepare_all(&r->zone->pager, &r->call, &r->hold, plan->spans, plan->count);
}

/* --- reading --- */

/* A read of pages that are there is a touch of each, as a hold of them is. */
static void ranges_touch(struct fh_ranges *r, const struct plan *plan)
{
    struct fh_pager *p = &r->zone->pager;
    struct fh_frame frame;

    for (uint32_t i = 0; i < plan->count; i++) {
        struct fh_page page = fh_page_of_addr(plan->spans[i].start);
        struct fh_page end = fh_page_add(page, plan->spans[i].size >> FH_PAGE_SHIFT);
        for (; page.v < end.v; page = fh_page_add(page, 1))
            if (fh_pager_glance(p, page, &frame))
                fh_pager_touch_seen(p, page, &frame, 1);
    }
}

static void ranges_read(struct fh_ranges *r, const struct fh_object *o)
{
    const struct fh_initial *initial = fh_zone_initial(r->zone, o);
    uint64_t filled = fh_object_filled(o);
    uint8_t *to = r->into;

    for (uint32_t i = 0; i < r->count; i++) {
        const struct fh_range *range = &r->items[i];
        uint64_t written =
            fh_min_u64(range->size, filled > range->offset ? filled - range->offset : 0);
        fh_pager_peek(&r->zone->pager, fh_object_addr(o, range->offset), to, written);
        if (initial)
            memcpy(to + written, initial->bytes + range->offset + written, range->size - written);
        else
            memset(to + written, 0, range->size - written);
        to += range->size;
    }
}

/* --- writing --- */

/* From `filled` on the pages hold whatever: they get what the object reads as there. */
static void ranges_open_gap(struct fh_ranges *r, const struct fh_object *o, uint64_t end)
{
    const struct fh_initial *initial = fh_zone_initial(r->zone, o);
    uint64_t filled = fh_object_filled(o);

    if (end <= filled)
        return;
    if (initial)
        fh_pager_write(&r->zone->pager, fh_object_addr(o, filled), initial->bytes + filled,
                       end - filled);
    else
        fh_zone_clear(r->zone, fh_object_addr(o, filled), end - filled);
    fh_zone_set_filled(r->zone, o, end);
}

static void ranges_write(struct fh_ranges *r, const struct fh_object *o, const struct plan *plan)
{
    const uint8_t *from = r->body;

    ranges_open_gap(r, o, plan->end);
    for (uint32_t i = 0; i < r->count; i++) {
        fh_pager_write(&r->zone->pager, fh_object_addr(o, r->items[i].offset), from,
                       r->items[i].size);
        from += r->items[i].size;
    }
    fh_zone_bump(r->zone, o);
}

/* --- the call --- */

static int ranges_step(struct fh_call *call)
{
    struct fh_ranges *r = FH_CONTAINER_OF(call, struct fh_ranges, call);
    int failed = fh_hold_is_bound(&r->hold) ? r->hold.error : 0;
    struct fh_object o;
    struct plan plan;
    int rc;

    fh_pager_release(&r->zone->pager, &r->hold);
    if (failed == -EIO)
        return failed; /* a lost page shows itself again below */
    if ((rc = fh_zone_resolve(r->zone, &r->ref, &o)) != 0)
        return rc;
    if (r->writes && (rc = fh_zone_may_change(r->zone, &o, &r->cond)) != 0)
        return rc;
    if ((rc = ranges_check(r, &o)) != 0)
        return rc;
    plan_make(&plan, r, &o);
    if ((rc = plan_prepare(r, &plan)) != 0)
        return rc;
    if (r->writes) {
        ranges_write(r, &o, &plan);
    } else {
        ranges_read(r, &o);
        ranges_touch(r, &plan);
    }
    fh_zone_describe(r->zone, &o, &r->object);
    return 0;
}

int fh_zone_ranges(struct fh_zone *z, struct fh_ranges *r)
{
    FH_ASSERT(r->count > 0);
    FH_ASSERT(r->count <= FH_RANGES_MAX);
    r->zone = z;
    fh_hold_init(&r->hold);
    fh_call_init(&r->call, ranges_step);
    return ranges_step(&r->call);
}

void fh_zone_ranges_cancel(struct fh_ranges *r)
{
    fh_pager_cancel(&r->zone->pager, &r->call);
}
