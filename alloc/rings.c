/*
 * Theory.  All sharing of frames between pages comes from views, and a view mirrors a contiguous
 * run of its origin at equal distance. So every page has one page at the origin, itself or the one
 * it mirrors, and its ring is that page and its mirrors in the views over it. The block of an
 * origin is not given back to the heap while views of it live, so a page of the origin never means
 * another object's page.
 *
 *   origin   ..[a][b][c][d]..
 *   view 1        [b'][c']          ring of c: c, c', c''
 *   view 2           [c''][d'']
 *
 * Invariants
 *   [I1] count is the number of views linked
 *   [I2] no view mirrors pages of another view
 */
#include "rings.h"

#include <inttypes.h>

#include "assert.h"
#include "report.h"

void fh_rings_init(struct fh_rings *r)
{
    fh_list_init(&r->views);
    r->count = 0;
}

void fh_rings_add(struct fh_rings *r, struct fh_view *view, struct fh_page origin,
                  struct fh_page base, uint64_t pages)
{
    *view = (struct fh_view){.base = base, .origin = origin, .pages = pages};
    fh_list_push_back(&r->views, &view->link);
    r->count++;
}

void fh_rings_remove(struct fh_rings *r, struct fh_view *view)
{
    FH_ASSERT(r->count > 0);
    fh_list_remove(&view->link);
    r->count--;
}

void fh_rings_relink(struct fh_rings *r, struct fh_view *from, struct fh_view *to)
{
    FH_ASSERT(r->count > 0);
    fh_list_remove(&from->link);
    *to = *from;
    fh_list_push_back(&r->views, &to->link);
}

static const struct fh_view *view_of(const struct fh_list *link)
{
    return (const struct fh_view *)(const void *)((const char *)link -
                                                  offsetof(struct fh_view, link));
}

static bool range_has(struct fh_page first, uint64_t pages, struct fh_page p)
{
    return p.v >= first.v && p.v - first.v < pages;
}

void fh_rings_moved(struct fh_rings *r, struct fh_page from, struct fh_page to, uint64_t pages)
{
    for (struct fh_list *l = r->views.next; l != &r->views; l = l->next) {
        struct fh_view *view = FH_CONTAINER_OF(l, struct fh_view, link);
        if (range_has(from, pages, view->origin))
            view->origin = fh_page_add(to, view->origin.v - from.v);
    }
}

bool fh_rings_mirror(const struct fh_rings *r, struct fh_page first, uint64_t pages)
{
    for (const struct fh_list *l = r->views.next; l != &r->views; l = l->next) {
        const struct fh_view *view = view_of(l);
        if (view->origin.v < first.v + pages && first.v < view->origin.v + view->pages)
            return true;
    }
    return false;
}

bool fh_rings_shifted(const struct fh_rings *r, struct fh_page first, uint64_t pages)
{
    for (const struct fh_list *l = r->views.next; l != &r->views; l = l->next)
        if (view_of(l)->shifted && range_has(first, pages, view_of(l)->origin))
            return true;
    return false;
}

void fh_rings_orphan(struct fh_rings *r, struct fh_page first, uint64_t pages)
{
    for (struct fh_list *l = r->views.next; l != &r->views; l = l->next) {
        struct fh_view *view = FH_CONTAINER_OF(l, struct fh_view, link);
        view->orphaned = view->orphaned || range_has(first, pages, view->origin);
    }
}

static struct fh_page origin_of(const struct fh_rings *r, struct fh_page p)
{
    for (const struct fh_list *l = r->views.next; l != &r->views; l = l->next) {
        const struct fh_view *view = view_of(l);
        if (range_has(view->base, view->pages, p))
            return fh_page_add(view->origin, p.v - view->base.v);
    }
    return p;
}

bool fh_rings_next(const struct fh_rings *r, struct fh_page of, struct fh_ring_walk *walk,
                   struct fh_page *out)
{
    if (!walk->started) {
        walk->started = true;
        walk->next = r->views.next;
        walk->origin = r->count ? origin_of(r, of) : of;
        *out = walk->origin;
        return true;
    }
    while (walk->next != &r->views) {
        const struct fh_view *view = view_of(walk->next);
        walk->next = walk->next->next;
        if (range_has(view->origin, view->pages, walk->origin)) {
            *out = fh_page_add(view->base, walk->origin.v - view->origin.v);
            return true;
        }
    }
    return false;
}

void fh_rings_stats(const struct fh_rings *r, struct fh_rings_stats *out)
{
    *out = (struct fh_rings_stats){.views = r->count};
    for (const struct fh_list *l = r->views.next; l != &r->views; l = l->next)
        out->pages += view_of(l)->pages;
}

static bool is_view_page(const struct fh_rings *r, struct fh_page p)
{
    for (const struct fh_list *l = r->views.next; l != &r->views; l = l->next)
        if (range_has(view_of(l)->base, view_of(l)->pages, p))
            return true;
    return false;
}

bool fh_rings_check(const struct fh_rings *r, FILE *why)
{
    struct fh_report report = {.out = why, .lines_max = 20};
    uint32_t count = 0;

    for (const struct fh_list *l = r->views.next; l != &r->views; l = l->next) {
        count++;
        if (is_view_page(r, view_of(l)->origin))
            fh_report(&report, "[I2] the view at page %" PRIx64 " mirrors a view",
                      view_of(l)->base.v);
    }
    if (count != r->count)
        fh_report(&report, "[I1] %u views, counted %u", r->count, count);
    return report.broken == 0;
}

void fh_rings_dump(const struct fh_rings *r, FILE *out)
{
    fprintf(out, "rings: %u views\n", r->count);
    for (const struct fh_list *l = r->views.next; l != &r->views; l = l->next)
        fprintf(out, "  view %" PRIx64 " of %" PRIx64 ", %" PRIu64 " pages%s\n", view_of(l)->base.v,
                view_of(l)->origin.v, view_of(l)->pages, view_of(l)->orphaned ? ", orphaned" : "");
}
