/*
 * Zeros over many pages, and objects made much shorter: seen at once, done in slices.
 */
#include <criterion/criterion.h>

#include "alloc/bits.h"
#include "tests/support/advise_rig.h"

enum { FRAMES = 700, SLOTS = 4096, HOLD = 16, SLICE = 64, PAGE = FH_PAGE_SIZE };

static struct zone_rig rig;

static void setup(void)
{
    zone_open(&rig, FRAMES, SLOTS, HOLD);
    rig.zone.graves.slice = rig.zone.graves.left = SLICE;
}

static void teardown(void)
{
    zone_close(&rig);
}

TestSuite(far_zero, .init = setup, .fini = teardown, .timeout = 60);

static void write_page(struct fh_object_view *v, uint64_t page, uint64_t what)
{
    uint8_t bytes[PAGE];

    zone_fill(bytes, what, PAGE);
    cr_assert_eq(zone_write(&rig, v, page * PAGE, bytes, PAGE), 0);
    (void)zone_turn(&rig);
}

static struct fh_object_view make(uint64_t pages)
{
    struct fh_object_view v = zone_alloc(&rig, pages * PAGE);

    for (uint64_t i = 0; i < pages; i++)
        write_page(&v, i, i + 1);
    return v;
}

static void expect_page(const struct fh_object_view *v, uint64_t page, uint64_t what)
{
    uint8_t got[PAGE], expected[PAGE];

    zone_fill(expected, what, PAGE);
    cr_assert_eq(zone_read(&rig, &v->ref, page * PAGE, got, PAGE), 0);
    cr_assert_eq(memcmp(got, expected, PAGE), 0, "page %lu is not %lu", (unsigned long)page,
                 (unsigned long)what);
}

/* Entries that the page table has now, wherever. */
static uint64_t entries(void)
{
    struct fh_pager_stats s = zone_pager_stats(&rig);
    return s.pages_frame + s.pages_slot + s.pages_reading;
}

static struct fh_graves_stats graves(void)
{
    struct fh_graves_stats s;
    fh_graves_stats(&rig.zone.graves, &s);
    return s;
}

/* Turns until all is given back, none of which does more than it may. */
static void give_back(uint64_t least_turns)
{
    uint64_t turns = 0;

    for (; rig.zone.graves.stats.blocks > 0; turns++) {
        uint64_t before = entries();
        (void)zone_turn(&rig);
        cr_assert_leq(before - entries(), SLICE + 1);
        if (turns % 4 == 0)
            zone_check(&rig);
    }
    cr_assert_geq(turns, least_turns);
    cr_assert_leq(graves().turn_most, SLICE);
}

Test(far_zero, all_is_zero_at_once_and_given_back_in_slices)
{
    struct fh_object_view v = make(600);
    uint64_t before = entries();

    (void)zone_turn(&rig);
    cr_assert_eq(zone_zero(&rig, &v, 10 * PAGE + 5, 580 * PAGE), 0);
    cr_assert_geq(entries() + SLICE + 2 * FH_LEAF_PAGES, before, "one step touches few entries");
    zone_check(&rig);
    cr_assert_eq(zone_counts(&rig, &v).nothing, 579);
    for (uint64_t i = 11; i < 590; i += 7)
        expect_page(&v, i, 0);
    expect_page(&v, 9, 10);
    expect_page(&v, 595, 596);
    give_back(4);
    cr_assert_eq(entries(), 21);
    cr_assert_eq(rig.zone.pager.rings.count, 0);
}

Test(far_zero, new_bytes_come_beside_the_old_ones)
{
    struct fh_object_view v = make(600);

    cr_assert_eq(zone_zero(&rig, &v, 0, v.size), 0);
    for (uint64_t i = 0; i < 600; i += 5)
        write_page(&v, i, 1000 + i);
    zone_check(&rig);
    give_back(0);
    zone_evict_all_but(&rig, 0);
    for (uint64_t i = 0; i < 600; i++)
        expect_page(&v, i, i % 5 == 0 ? 1000 + i : 0);
}

Test(far_zero, what_is_given_back_may_be_evicted_before)
{
    struct fh_object_view v = make(600);

    rig.zone.graves.slice = 1;
    cr_assert_eq(zone_zero(&rig, &v, 0, v.size), 0);
    zone_press(&rig, true);
    for (uint32_t i = 0; i < 60; i++) {
        (void)zone_turn(&rig);
        zone_check(&rig);
    }
    zone_press(&rig, false);
    cr_assert_gt(zone_pager_stats(&rig).swap.stored_pages, 0);
    rig.zone.graves.slice = SLICE;
    give_back(0);
    cr_assert_eq(entries(), 0);
}

Test(far_zero, a_reader_keeps_the_bytes_of_its_moment)
{
    static uint8_t got[300 * PAGE], expected[PAGE];
    struct fh_object_view v = make(300);
    static struct fh_reader r;

    memset(&r.call, 0, sizeof(r.call));
    int rc = zone_wait(&rig, &r.call, fh_reader_open(&rig.zone, &r, &v.ref, 0, v.size));
    cr_assert_eq(rc, 0);
    cr_assert_eq(zone_zero(&rig, &v, 0, v.size), 0);
    zone_check(&rig);
    give_back(0);
    zone_check(&rig);
    cr_assert_eq(zone_drain(&rig, &r, 0, got), 0);
    fh_reader_close(&r);
    for (uint64_t i = 0; i < 300; i++) {
        zone_fill(expected, i + 1, PAGE);
        cr_assert_eq(memcmp(got + i * PAGE, expected, PAGE), 0);
    }
    expect_page(&v, 100, 0);
}

Test(far_zero, an_object_made_shorter_shows_zeros_when_it_grows)
{
    struct fh_object_view v = make(600);

    cr_assert_eq(zone_resize(&rig, &v, 50 * PAGE), 0);
    cr_assert_eq(zone_resize(&rig, &v, 600 * PAGE), 0);
    zone_check(&rig);
    for (uint64_t i = 0; i < 600; i += 3)
        expect_page(&v, i, i < 50 ? i + 1 : 0);
    give_back(0);
}

Test(far_zero, an_object_may_move_or_end_meanwhile)
{
    struct fh_object_view v = make(300), other = make(200);

    rig.zone.graves.slice = 4;
    cr_assert_eq(zone_zero(&rig, &v, 64 * PAGE, 200 * PAGE), 0);
    cr_assert_gt(rig.zone.graves.stats.blocks, 0);
    cr_assert_eq(zone_resize(&rig, &v, 5000 * PAGE), 0);
    zone_check(&rig);
    expect_page(&v, 3, 4);
    expect_page(&v, 100, 0);
    cr_assert_eq(zone_zero(&rig, &other, 0, other.size), 0);
    write_page(&other, 7, 9);
    cr_assert_eq(fh_zone_free(&rig.zone, &other.ref), 0);
    zone_check(&rig);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    for (uint32_t i = 0; rig.zone.graves.stats.blocks > 0; i++) {
        (void)zone_turn(&rig);
        if (i % 8 == 0)
            zone_check(&rig);
    }
    zone_expect_empty(&rig);
}

Test(far_zero, pinned_pages_come_back_to_the_queues)
{
    struct fh_object_view v = make(170);

    cr_assert_eq(zone_advise(&rig, &v, FH_ADVICE_PIN, 0, v.size), 0);
    cr_assert_eq(zone_zero(&rig, &v, 0, v.size), 0);
    zone_check(&rig);
    cr_assert_eq(zone_counts(&rig, &v).pinned, 170);
    zone_follow_advice(&rig);
    give_back(0);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 0);
    write_page(&v, 100, 5);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 1);
}

Test(far_zero, huge_objects_are_moved_by_arenas)
{
    struct fh_object_view v = zone_alloc(&rig, UINT64_C(20) << 30);
    static uint8_t body[PAGE] = {1};

    for (uint64_t i = 0; i < 200; i++)
        cr_assert_eq(zone_write(&rig, &v, i * (UINT64_C(20) << 30) / 200, body, PAGE), 0);
    (void)zone_turn(&rig);
    cr_assert_eq(zone_zero(&rig, &v, PAGE * 64, v.size - 128 * PAGE), 0);
    zone_check(&rig);
    cr_assert_eq(zone_counts(&rig, &v).frame, 1, "only the first is left");
    give_back(1);
    cr_assert_eq(zone_resize(&rig, &v, 10), 0);
    zone_check(&rig);
}

Test(far_zero, without_memory_for_books_it_is_done_at_once)
{
    for (uint64_t n = 1; n < 12; n++) {
        struct fh_object_view v = make(300);
        rig.zone.mem.fail_at = rig.zone.mem.calls + n;
        cr_assert_eq(zone_zero(&rig, &v, 0, v.size), 0, "it cannot fail for that");
        rig.zone.mem.fail_at = 0;
        zone_check(&rig);
        expect_page(&v, 150, 0);
        while (rig.zone.graves.stats.blocks > 0)
            (void)zone_turn(&rig);
        cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
        zone_expect_empty(&rig);
    }
}

/* --- a walk beside a number per page --- */

enum { WALK_PAGES = 900, WALK_STEPS = 1500 };

struct walked {
    struct fh_object_view v;
    uint32_t pages;
    uint32_t what[WALK_PAGES]; /* of each page; 0 = zeros */
};

static void walk_zero(struct rng *r, struct walked *w)
{
    uint64_t from = rng_below(r, w->pages), to = rng_between(r, from, w->pages);

    cr_assert_eq(zone_zero(&rig, &w->v, from * PAGE, (to - from) * PAGE), 0);
    memset(w->what + from, 0, (to - from) * sizeof(w->what[0]));
}

static void walk_resize(struct rng *r, struct walked *w)
{
    uint32_t pages = (uint32_t)rng_between(r, 100, WALK_PAGES);

    cr_assert_eq(zone_resize(&rig, &w->v, (uint64_t)pages * PAGE), 0);
    for (uint32_t i = w->pages; i < pages; i++)
        w->what[i] = 0;
    w->pages = pages;
}

/* A read of the whole that is open while something else happens. */
static void walk_read_beside(struct rng *r, struct walked *w)
{
    static uint8_t got[WALK_PAGES * PAGE], expected[PAGE];
    static uint32_t what[WALK_PAGES];
    static struct fh_reader reader;
    uint32_t pages = w->pages;

    memcpy(what, w->what, sizeof(what));
    memset(&reader.call, 0, sizeof(reader.call));
    cr_assert_eq(
        zone_wait(&rig, &reader.call, fh_reader_open(&rig.zone, &reader, &w->v.ref, 0, w->v.size)),
        0);
    if (rng_percent(r, 50))
        walk_zero(r, w);
    else
        walk_resize(r, w);
    cr_assert_eq(zone_drain(&rig, &reader, 0, got), 0);
    fh_reader_close(&reader);
    for (uint32_t i = 0; i < pages; i++) {
        zone_fill(expected, what[i], PAGE);
        cr_assert_eq(memcmp(got + (uint64_t)i * PAGE, expected, PAGE), 0, "page %u", i);
    }
}

Test(far_zero, a_walk_agrees_with_a_number_per_page)
{
    struct rng r = rng_from_env("far zero");
    static struct walked w;

    w.pages = 400;
    w.v = zone_alloc(&rig, (uint64_t)w.pages * PAGE);
    for (uint32_t step = 1; step <= WALK_STEPS; step++) {
        uint64_t dice = rng_below(&r, 100);
        uint32_t page = (uint32_t)rng_below(&r, w.pages);
        rig.zone.graves.slice = (uint32_t)rng_between(&r, 1, 40);
        if (dice < 60) {
            write_page(&w.v, page, step);
            w.what[page] = step;
        } else if (dice < 85) {
            expect_page(&w.v, page, w.what[page]);
        } else if (dice < 90) {
            walk_zero(&r, &w);
        } else if (dice < 93) {
            walk_resize(&r, &w);
        } else if (dice < 95) {
            walk_read_beside(&r, &w);
        } else {
            zone_press(&rig, true);
            (void)zone_turn(&rig);
            zone_press(&rig, false);
        }
        if (step % 25 == 0)
            zone_check(&rig);
    }
    for (uint32_t i = 0; i < w.pages; i++)
        expect_page(&w.v, i, w.what[i]);
    cr_assert_eq(fh_zone_free(&rig.zone, &w.v.ref), 0);
    rig.zone.graves.slice = SLICE;
    zone_expect_empty(&rig);
}
