/* Advice: read in before it is asked for, first to go, gone now; and never a byte lost. */
#include <criterion/criterion.h>

#include "tests/support/advise_rig.h"
#include "tests/support/file_rig.h"

enum { FRAMES = 320, SLOTS = 4096, HOLD = 16, PAGE = FH_PAGE_SIZE };

static struct zone_rig rig;

static void setup(void)
{
    zone_open(&rig, FRAMES, SLOTS, HOLD);
    rig.zone.opts.readahead_max = FH_READAHEAD_MAX;
    fh_readahead_init(&rig.zone.pager.readahead, FH_READAHEAD_MAX, FRAMES);
}

static void teardown(void)
{
    zone_close(&rig);
}

TestSuite(advise, .init = setup, .fini = teardown, .timeout = 20);

static void advise(const struct fh_object_view *v, enum fh_advice kind, uint64_t from,
                   uint64_t pages)
{
    zone_advise_and_follow(&rig, v, kind, from * PAGE, pages * PAGE);
}

/* --- willneed --- */

Test(advise, what_will_be_needed_is_read_in_after_the_answer)
{
    struct fh_object_view v = zone_make_cold(&rig, 60);
    static struct fh_advise a;

    a = (struct fh_advise){
        .kind = FH_ADVICE_WILLNEED, .ref = v.ref, .offset = 10 * PAGE, .size = 30 * PAGE};
    cr_assert_eq(fh_zone_advise(&rig.zone, &a), 0, "it does not wait");
    cr_assert_eq(a.object.version, v.version);
    cr_assert_eq(zone_counts(&rig, &v).frame, 0);
    zone_follow_advice(&rig);
    zone_check(&rig);
    cr_assert_eq(zone_counts(&rig, &v).frame, 30);
    uint64_t faults = zone_pager_stats(&rig).faults_swap;
    for (uint64_t i = 10; i < 40; i++) {
        uint8_t got[PAGE], expected[PAGE];
        zone_fill(expected, 1 + i * PAGE, PAGE);
        cr_assert_eq(zone_read(&rig, &v.ref, i * PAGE, got, PAGE), 0);
        cr_assert_eq(memcmp(got, expected, PAGE), 0);
    }
    cr_assert_eq(zone_pager_stats(&rig).faults_swap, faults, "nobody had to wait for a page");
    zone_expect_object(&rig, &v, 1);
}

Test(advise, no_more_than_a_quarter_of_memory_is_read_in)
{
    struct fh_object_view v = zone_make_cold(&rig, 1000);

    advise(&v, FH_ADVICE_WILLNEED, 0, 1000);
    cr_assert_leq(zone_counts(&rig, &v).frame, FRAMES / 4);
    cr_assert_geq(zone_counts(&rig, &v).frame, FRAMES / 4 - 4);
}

Test(advise, what_finds_no_room_is_given_up)
{
    struct fh_object_view v = zone_make_cold(&rig, 60);
    static struct fh_advise a;

    rig.zone.pager.opts.free_min = FRAMES; /* nothing is spare */
    a = (struct fh_advise){.kind = FH_ADVICE_WILLNEED, .ref = v.ref, .size = v.size};
    cr_assert_eq(fh_zone_advise(&rig.zone, &a), 0);
    for (uint32_t i = 0; i < 50; i++)
        (void)zone_turn(&rig);
    cr_assert_eq(rig.zone.errands.count, 1);
    for (uint32_t i = 0; i < 100; i++)
        (void)zone_turn(&rig);
    cr_assert_eq(rig.zone.errands.count, 0);
    cr_assert_eq(rig.zone.errands.stats.given_up, 1);
    cr_assert_eq(zone_counts(&rig, &v).frame, 0);
}

Test(advise, a_file_is_read_in_too)
{
    struct file_rig f;
    static uint8_t expected[60 * PAGE];

    file_open(&rig, &f, 60 * PAGE - 5, false);
    file_fill(expected, sizeof(expected));
    advise(&f.object, FH_ADVICE_WILLNEED, 0, 0);
    cr_assert_eq(zone_counts(&rig, &f.object).frame, 0, "no bytes of it were asked for");
    zone_advise_and_follow(&rig, &f.object, FH_ADVICE_WILLNEED, 0, f.object.size);
    cr_assert_eq(zone_counts(&rig, &f.object).frame, 60);
    uint64_t faults = zone_pager_stats(&rig).faults_file;
    file_expect(&rig, &f, expected);
    cr_assert_eq(zone_pager_stats(&rig).faults_file, faults);
    file_close(&rig, &f);
}

/* --- cold --- */

Test(advise, what_is_cold_goes_first)
{
    struct fh_object_view kept = zone_make_warm(&rig, 100), v = zone_make_warm(&rig, 100),
                          late = zone_make_warm(&rig, 20);

    advise(&v, FH_ADVICE_COLD, 0, 100);
    cr_assert_eq(zone_counts(&rig, &v).frame, 100, "as long as nobody wants its memory it stays");
    struct fh_object_view want = zone_make_warm(&rig, 150);
    zone_check(&rig);
    cr_assert_eq(zone_counts(&rig, &kept).frame, 100);
    cr_assert_eq(zone_counts(&rig, &late).frame, 20);
    cr_assert_gt(zone_counts(&rig, &v).swap, 0);
    zone_expect_object(&rig, &v, 1);
    zone_expect_object(&rig, &want, 1);
}

Test(advise, what_is_cold_goes_first_also_out_of_main)
{
    struct fh_object_view kept = zone_make_warm(&rig, 100), v = zone_make_warm(&rig, 100);

    zone_expect_object(&rig, &kept, 1);
    zone_expect_object(&rig, &v, 1);
    zone_press(&rig, true);
    for (uint32_t i = 0; i < 3; i++)
        (void)zone_turn(&rig); /* what was touched goes to main */
    zone_press(&rig, false);
    zone_quiet(&rig);
    uint64_t had = zone_counts(&rig, &kept).frame;
    advise(&v, FH_ADVICE_COLD, 0, 100);
    rig.zone.reclaim.low = rig.zone.reclaim.high =
        rig.zone.pager.frames.free + (uint32_t)zone_counts(&rig, &v).frame;
    for (uint32_t i = 0; i < 20; i++)
        (void)zone_turn(&rig);
    zone_press(&rig, false);
    zone_quiet(&rig);
    cr_assert_eq(zone_counts(&rig, &v).frame, 0);
    cr_assert_eq(zone_counts(&rig, &kept).frame, had);
}

/* --- dontneed --- */

Test(advise, what_is_not_needed_leaves_memory_and_keeps_its_bytes)
{
    struct fh_object_view v = zone_make_warm(&rig, 100), other = zone_make_warm(&rig, 50);

    advise(&v, FH_ADVICE_DONTNEED, 20, 60);
    cr_assert_eq(zone_counts(&rig, &v).frame, 40);
    cr_assert_eq(zone_counts(&rig, &v).swap, 60);
    cr_assert_eq(zone_counts(&rig, &other).frame, 50);
    zone_expect_object(&rig, &v, 1);
    cr_assert_eq(zone_counts(&rig, &v).frame, 100);
    uint64_t stored = zone_pager_stats(&rig).swap.stored_pages;
    advise(&v, FH_ADVICE_DONTNEED, 20, 60);
    cr_assert_eq(zone_pager_stats(&rig).swap.stored_pages, stored, "clean pages are dropped");
    cr_assert_eq(zone_counts(&rig, &v).frame, 40);
    zone_expect_object(&rig, &v, 1);
}

Test(advise, zeros_cost_no_place_in_swap)
{
    struct fh_object_view v = zone_alloc(&rig, 40 * PAGE);
    static const uint8_t zeros[PAGE];

    for (uint64_t i = 0; i < 40; i++)
        cr_assert_eq(zone_write(&rig, &v, i * PAGE, zeros, PAGE), 0);
    advise(&v, FH_ADVICE_DONTNEED, 0, 40);
    cr_assert_eq(zone_counts(&rig, &v).nothing, 40);
    cr_assert_eq(zone_pager_stats(&rig).swap.slots_used, 0);
}

Test(advise, what_is_pinned_or_read_stays)
{
    struct fh_object_view v = zone_make_warm(&rig, 40);
    static uint8_t got[40 * PAGE];
    static struct fh_reader r;

    cr_assert_eq(zone_advise(&rig, &v, FH_ADVICE_PIN, 0, 10 * PAGE), 0);
    memset(&r.call, 0, sizeof(r.call));
    cr_assert_eq(fh_reader_open(&rig.zone, &r, &v.ref, 20 * PAGE, 8 * PAGE), 0);
    advise(&v, FH_ADVICE_DONTNEED, 0, 40);
    advise(&v, FH_ADVICE_COLD, 0, 40);
    cr_assert_eq(zone_counts(&rig, &v).frame, 18);
    cr_assert_eq(zone_drain(&rig, &r, 0, got), 0);
    fh_reader_close(&r);
    zone_expect_object(&rig, &v, 1);
}

Test(advise, what_is_touched_while_it_is_written_out_stays)
{
    struct fh_object_view v = zone_make_warm(&rig, 8);
    static struct fh_advise a;
    uint8_t got[8];

    rig.disk->delay_max = 20;
    a = (struct fh_advise){.kind = FH_ADVICE_DONTNEED, .ref = v.ref, .size = v.size};
    cr_assert_eq(fh_zone_advise(&rig.zone, &a), 0);
    (void)zone_turn(&rig);
    cr_assert_eq(zone_read(&rig, &v.ref, 3 * PAGE, got, sizeof(got)), 0);
    zone_follow_advice(&rig);
    zone_check(&rig);
    cr_assert_eq(fh_entry_state(zone_entry(&rig, &v, 3 * PAGE)), FH_PAGE_FRAME);
    zone_expect_object(&rig, &v, 1);
}

Test(advise, without_a_place_to_go_to_pages_stay)
{
    zone_close(&rig);
    zone_open(&rig, FRAMES, 0, HOLD);
    struct fh_object_view v = zone_make_warm(&rig, 40);

    advise(&v, FH_ADVICE_DONTNEED, 0, 40);
    cr_assert_eq(zone_counts(&rig, &v).frame, 40);
    zone_expect_object(&rig, &v, 1);
}

Test(advise, dirty_pages_of_a_file_are_written_back_first)
{
    struct file_rig f;
    static uint8_t body[PAGE], expected[40 * PAGE];

    file_open(&rig, &f, 40 * PAGE, true);
    file_fill(expected, sizeof(expected));
    memset(body, 5, sizeof(body));
    for (uint64_t i = 8; i < 24; i++) {
        cr_assert_eq(zone_write(&rig, &f.object, i * PAGE, body, PAGE), 0);
        memset(expected + i * PAGE, 5, PAGE);
    }
    advise(&f.object, FH_ADVICE_DONTNEED, 0, 40);
    cr_assert_eq(zone_counts(&rig, &f.object).frame, 0);
    cr_assert_eq(zone_counts(&rig, &f.object).dirty, 0);
    cr_assert_eq(zone_pager_stats(&rig).swap.slots_used, 0);
    cr_assert_eq(memcmp(f.disk->bytes, expected, sizeof(expected)), 0);
    file_expect(&rig, &f, expected);
    file_close(&rig, &f);
}

Test(advise, a_disk_that_fails_loses_nothing)
{
    struct fh_object_view v = zone_make_warm(&rig, 60);
    static struct fh_advise a;

    rig.disk->fail_at = rig.disk->transfers + 1;
    rig.disk->fail_from_there_on = true;
    a = (struct fh_advise){.kind = FH_ADVICE_DONTNEED, .ref = v.ref, .size = v.size};
    cr_assert_eq(fh_zone_advise(&rig.zone, &a), 0);
    zone_follow_advice(&rig);
    zone_check(&rig);
    rig.disk->fail_at = 0;
    rig.now_ms += 1000;
    zone_expect_object(&rig, &v, 1);
    a = (struct fh_advise){.kind = FH_ADVICE_DONTNEED, .ref = v.ref, .size = v.size};
    cr_assert_eq(fh_zone_advise(&rig.zone, &a), 0);
    zone_follow_advice(&rig);
    rig.disk->fail_at = rig.disk->transfers + 1;
    a = (struct fh_advise){.kind = FH_ADVICE_WILLNEED, .ref = v.ref, .size = v.size};
    cr_assert_eq(fh_zone_advise(&rig.zone, &a), 0);
    zone_follow_advice(&rig);
    zone_check(&rig);
    rig.disk->fail_at = 0;
    zone_expect_object(&rig, &v, 1);
}

/* --- how an object is read --- */

static void read_page(const struct fh_object_view *v, uint64_t page)
{
    uint8_t got[PAGE];
    struct fh_ref ref = v->ref;

    ref.stream = 7;
    cr_assert_eq(zone_read(&rig, &ref, page * PAGE, got, PAGE), 0);
    zone_quiet(&rig);
}

Test(advise, who_reads_in_order_gets_the_longest_window_at_once)
{
    struct fh_object_view v = zone_make_cold(&rig, 200);

    advise(&v, FH_ADVICE_SEQUENTIAL, 0, 0);
    read_page(&v, 0);
    cr_assert_eq(zone_counts(&rig, &v).frame, 1 + FH_READAHEAD_MAX);
    advise(&v, FH_ADVICE_DONTNEED, 0, 200);
    advise(&v, FH_ADVICE_NORMAL, 0, 0);
    read_page(&v, 100);
    cr_assert_eq(zone_counts(&rig, &v).frame, 1);
    read_page(&v, 101);
    cr_assert_gt(zone_counts(&rig, &v).frame, 2);
}

Test(advise, who_reads_at_random_gets_nothing_but_what_he_asks_for)
{
    struct fh_object_view v = zone_make_cold(&rig, 200), few = zone_make_cold(&rig, 10);

    advise(&v, FH_ADVICE_RANDOM, 0, 0);
    advise(&few, FH_ADVICE_RANDOM, 0, 0);
    for (uint64_t i = 0; i < 8; i++)
        read_page(&v, i);
    read_page(&few, 3);
    cr_assert_eq(zone_counts(&rig, &v).frame, 8);
    cr_assert_eq(zone_counts(&rig, &few).frame, 1);
}

Test(advise, a_small_object_takes_every_advice)
{
    struct fh_object_view v = zone_alloc(&rig, 100);

    zone_fill_object(&rig, &v, 4);
    for (enum fh_advice kind = FH_ADVICE_NORMAL; kind <= FH_ADVICE_UNPIN; kind++) {
        zone_advise_and_follow(&rig, &v, kind, 0, 100);
        zone_expect_object(&rig, &v, 4);
    }
}

/* --- what is refused, and how it is done --- */

Test(advise, ranges_lie_in_live_objects)
{
    struct fh_object_view v = zone_make_warm(&rig, 4);

    for (enum fh_advice kind = FH_ADVICE_NORMAL; kind <= FH_ADVICE_UNPIN; kind++) {
        cr_assert_eq(zone_advise(&rig, &v, kind, 4 * PAGE, 0), 0);
        cr_assert_eq(zone_advise(&rig, &v, kind, 4 * PAGE, 1), -EINVAL);
        cr_assert_eq(zone_advise(&rig, &v, kind, UINT64_MAX, 2), -EINVAL);
    }
    struct fh_object_view was = v;
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    for (enum fh_advice kind = FH_ADVICE_NORMAL; kind <= FH_ADVICE_UNPIN; kind++)
        cr_assert_eq(zone_advise(&rig, &was, kind, 0, PAGE), -ESTALE);
}

Test(advise, only_so_many_ranges_wait)
{
    struct fh_object_view v = zone_make_cold(&rig, 10);

    for (uint32_t i = 0; i < FH_ERRANDS_MAX; i++)
        cr_assert_eq(zone_advise(&rig, &v, FH_ADVICE_COLD, 0, PAGE), 0);
    cr_assert_eq(zone_advise(&rig, &v, FH_ADVICE_COLD, 0, PAGE), -EBUSY);
    zone_follow_advice(&rig);
    cr_assert_eq(zone_advise(&rig, &v, FH_ADVICE_COLD, 0, PAGE), 0);
}

Test(advise, advice_about_an_object_that_is_gone_is_forgotten)
{
    struct fh_object_view v = zone_make_cold(&rig, 60), other = zone_make_cold(&rig, 60);

    cr_assert_eq(zone_advise(&rig, &v, FH_ADVICE_WILLNEED, 0, v.size), 0);
    cr_assert_eq(zone_advise(&rig, &other, FH_ADVICE_WILLNEED, 0, other.size), 0);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    cr_assert_eq(rig.zone.errands.count, 1);
    zone_follow_advice(&rig);
    cr_assert_eq(zone_counts(&rig, &other).frame, 60);
}

Test(advise, a_turn_looks_at_so_many_entries)
{
    struct fh_object_view v = zone_alloc(&rig, UINT64_C(1) << 40);
    static uint8_t body[PAGE] = {1};

    for (uint64_t i = 0; i < 100; i++)
        cr_assert_eq(zone_write(&rig, &v, i * (UINT64_C(1) << 33), body, PAGE), 0);
    rig.zone.errands.slice = 500;
    for (enum fh_advice kind = FH_ADVICE_WILLNEED; kind <= FH_ADVICE_DONTNEED; kind++) {
        zone_advise_and_follow(&rig, &v, kind, 0, v.size);
        cr_assert_leq(rig.zone.errands.stats.turn_most, 500);
    }
    cr_assert_eq(zone_counts(&rig, &v).swap, 100);
}

Test(advise, check_and_dump_look_at_what_waits)
{
    struct fh_object_view v = zone_make_warm(&rig, 4);
    char text[400] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    cr_assert_eq(zone_advise(&rig, &v, FH_ADVICE_DONTNEED, 0, v.size), 0);
    fh_errands_dump(&rig.zone.errands, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "errands: 1, 0 done\n  let go "), "%s", text);
    struct fh_errand was = rig.zone.errands.items[0];
    rig.zone.errands.items[0].next = fh_page_add(was.end, 1);
    cr_assert_not(fh_errands_check(&rig.zone.errands, NULL), "[I1]");
    rig.zone.errands.items[0] = was;
    rig.zone.errands.count = FH_ERRANDS_MAX + 1;
    cr_assert_not(fh_errands_check(&rig.zone.errands, NULL), "[I1]");
    rig.zone.errands.count = 1;
    zone_follow_advice(&rig);
}
