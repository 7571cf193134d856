/*
 * advise_rig: advice to a zone_rig, and what became of an object's pages.
 */
#ifndef FH_TESTS_ADVISE_RIG_H
#define FH_TESTS_ADVISE_RIG_H

#include "tests/support/zone_rig.h"

/* What the advice came to, when it is answered. */
static inline int zone_advise(struct zone_rig *g, const struct fh_object_view *v,
                              enum fh_advice kind, uint64_t offset, uint64_t size)
{
    static struct fh_advise a;
    a = (struct fh_advise){.kind = kind, .ref = v->ref, .offset = offset, .size = size};
    return zone_wait(g, &a.call, fh_zone_advise(&g->zone, &a));
}

/* All advice is followed, all that was pinned and is not is back. */
static inline void zone_follow_advice(struct zone_rig *g)
{
    for (uint32_t i = 0; i < ZONE_TURNS_MAX; i++) {
        bool more = zone_turn(g);
        if (!more && g->zone.errands.count == 0 && zone_io(g)->in_flight == 0 &&
            !g->zone.pager.pins_left && !g->zone.pager.pins_absent)
            return;
    }
    cr_assert_fail("advice is followed for ever");
}

static inline void zone_advise_and_follow(struct zone_rig *g, const struct fh_object_view *v,
                                          enum fh_advice kind, uint64_t offset, uint64_t size)
{
    int rc = zone_advise(g, v, kind, offset, size);

    cr_assert_eq(rc, 0, "%s", strerror(-rc));
    zone_follow_advice(g);
    zone_check(g);
}

static inline struct fh_page_counts zone_counts(struct zone_rig *g, const struct fh_object_view *v)
{
    struct fh_object_view now;
    int rc = fh_zone_stat(&g->zone, &v->ref, &now);

    cr_assert_eq(rc, 0, "%s", strerror(-rc));
    return now.pages;
}

static inline struct fh_pager_stats zone_pager_stats(const struct zone_rig *g)
{
    struct fh_pager_stats s;
    fh_pager_stats(&g->zone.pager, &s);
    return s;
}

/* Bytes of which each page tells where it is. */
static inline void zone_fill_object(struct zone_rig *g, struct fh_object_view *v, uint64_t what)
{
    uint8_t bytes[FH_PAGE_SIZE];

    for (uint64_t at = 0; at < v->size; at += FH_PAGE_SIZE) {
        uint64_t part = v->size - at < FH_PAGE_SIZE ? v->size - at : FH_PAGE_SIZE;
        zone_fill(bytes, what + at, part);
        int rc = zone_write(g, v, at, bytes, part);
        cr_assert_eq(rc, 0, "%s", strerror(-rc));
        (void)zone_turn(g);
    }
}

static inline void zone_expect_object(struct zone_rig *g, const struct fh_object_view *v,
                                      uint64_t what)
{
    uint8_t got[FH_PAGE_SIZE], expected[FH_PAGE_SIZE];

    for (uint64_t at = 0; at < v->size; at += FH_PAGE_SIZE) {
        uint64_t part = v->size - at < FH_PAGE_SIZE ? v->size - at : FH_PAGE_SIZE;
        zone_fill(expected, what + at, part);
        int rc = zone_read(g, &v->ref, at, got, part);
        cr_assert_eq(rc, 0, "%s", strerror(-rc));
        cr_assert_eq(memcmp(got, expected, part), 0, "page %lu",
                     (unsigned long)(at / FH_PAGE_SIZE));
    }
}

/* Everything leaves memory that may. */
static inline void zone_evict_all_but(struct zone_rig *g, uint64_t frames)
{
    zone_press(g, true);
    for (uint32_t i = 0; i < 400 && (g->zone.pager.mapped > frames || zone_io(g)->in_flight > 0);
         i++)
        (void)zone_turn(g);
    zone_press(g, false);
    (void)zone_turn(g);
    zone_check(g);
}

/* An object of so many pages, filled with 1; a cold one is out of memory. */
static inline struct fh_object_view zone_make_warm(struct zone_rig *g, uint64_t pages)
{
    struct fh_object_view v = zone_alloc(g, pages * FH_PAGE_SIZE);

    zone_fill_object(g, &v, 1);
    return v;
}

static inline struct fh_object_view zone_make_cold(struct zone_rig *g, uint64_t pages)
{
    struct fh_object_view v = zone_make_warm(g, pages);

    zone_evict_all_but(g, 0);
    return v;
}

#endif
