/* Who reads in order, what is to be read for him, and which touches are new ones. */
#include "alloc/readahead.h"

#include <criterion/criterion.h>
#include <string.h>

enum { STREAM = 9, OBJECT = 1000, PAGES = 4096, MEMORY = 10000 };

static struct fh_readahead r;
static struct fh_touch touch;

static void setup(void)
{
    memset(&r, 0xA5, sizeof(r));
    fh_readahead_init(&r, FH_READAHEAD_MAX, MEMORY);
    touch = (struct fh_touch){
        .stream = STREAM, .object = {OBJECT}, .end = {OBJECT + PAGES}, .may_read_ahead = true};
}

static void teardown(void)
{
    cr_assert(fh_readahead_check(&r, stderr));
}

/* A touch of bytes of the object. */
static struct fh_readahead_advice bytes(uint64_t offset, uint64_t size)
{
    touch.start.v = ((uint64_t)OBJECT << FH_PAGE_SHIFT) + offset;
    touch.size_bytes = size;
    return fh_readahead_touch(&r, &touch);
}

static struct fh_readahead_advice page(uint64_t index)
{
    return bytes(index << FH_PAGE_SHIFT, FH_PAGE_SIZE);
}

static void expect_ahead(struct fh_readahead_advice a, uint64_t from, uint32_t count)
{
    cr_assert_eq(a.ahead_count, count, "%u pages, not %u", a.ahead_count, count);
    if (count > 0)
        cr_assert_eq(a.ahead.v, OBJECT + from);
}

TestSuite(readahead, .init = setup, .fini = teardown, .timeout = 20);

Test(readahead, the_second_ascending_touch_opens_four_pages)
{
    expect_ahead(page(0), 0, 0);
    expect_ahead(page(1), 2, 4);
}

Test(readahead, the_middle_of_a_window_asks_for_the_next_one_twice_as_long_up_to_the_limit)
{
    uint64_t from = 2, mark = 4;
    uint32_t window = 4;

    (void)page(0);
    (void)page(1);
    for (uint64_t i = 2; i < 1000; i++) {
        struct fh_readahead_advice a = page(i);
        if (i < mark) {
            expect_ahead(a, 0, 0);
            continue;
        }
        from += window;
        window = window < FH_READAHEAD_MAX ? window * 2 : window;
        expect_ahead(a, from, window);
        mark = from + window / 2;
    }
    cr_assert_eq(window, FH_READAHEAD_MAX);
}

Test(readahead, small_reads_of_a_page_are_one_touch_of_it)
{
    for (uint64_t at = 0; at < FH_PAGE_SIZE; at += 64)
        expect_ahead(bytes(at, 64), 0, 0);
    expect_ahead(bytes(FH_PAGE_SIZE, 64), 2, 4);
}

Test(readahead, random_readers_get_nothing)
{
    for (uint64_t i = 1; i < 500; i++)
        expect_ahead(page(i * 37 % 4001), 0, 0);
    for (uint64_t i = 500; i > 0; i--) /* nor does who reads backwards */
        expect_ahead(page(i), 0, 0);
}

Test(readahead, a_jump_ends_the_window)
{
    (void)page(0);
    expect_ahead(page(1), 2, 4);
    expect_ahead(page(100), 0, 0);
    expect_ahead(page(101), 102, 4);
}

Test(readahead, it_stops_at_the_end_of_the_object)
{
    (void)page(PAGES - 4);
    expect_ahead(page(PAGES - 3), PAGES - 2, 2);
    expect_ahead(page(PAGES - 2), 0, 0);
    expect_ahead(page(PAGES - 1), 0, 0);
}

Test(readahead, without_room_the_next_touch_asks_again)
{
    (void)page(0);
    touch.may_read_ahead = false;
    expect_ahead(page(1), 0, 0);
    touch.may_read_ahead = true;
    expect_ahead(page(2), 3, 4);
}

Test(readahead, zero_pages_are_no_read_ahead)
{
    fh_readahead_init(&r, 0, MEMORY);
    for (uint64_t i = 0; i < 100; i++)
        expect_ahead(page(i), 0, 0);
}

Test(readahead, what_is_wasted_halves_the_window_once_and_below_four_ends_it)
{
    uint64_t i = 0;

    while (r.stats.windows < 3)
        (void)page(i++); /* 4, 8, 16 */
    fh_readahead_wasted(&r, (struct fh_page){OBJECT + i + 1});
    fh_readahead_wasted(&r, (struct fh_page){OBJECT + i + 2}); /* of the same window */
    cr_assert_eq(r.stats.wasted, 1);
    struct fh_readahead_advice a = page(i);
    while (a.ahead_count == 0)
        a = page(++i);
    cr_assert_eq(a.ahead_count, 16, "half of 16, doubled");
    for (uint32_t k = 0; k < 3; k++) { /* 8, 4, none */
        fh_readahead_wasted(&r, (struct fh_page){a.ahead.v + a.ahead_count - 1});
        for (uint32_t s = 0; s < FH_STREAMS; s++)
            r.streams[s].blamed_end = (struct fh_page){0};
    }
    uint64_t muted = i;
    do
        a = page(++i);
    while (a.ahead_count == 0 && i < muted + 1000);
    cr_assert_gt(i, muted + 100, "it rests for a while");
    cr_assert_eq(a.ahead_count, 4, "and begins again small");
}

Test(readahead, pages_of_no_window_are_nobodys_fault)
{
    (void)page(0);
    (void)page(1);
    fh_readahead_wasted(&r, (struct fh_page){OBJECT + 500});
    fh_readahead_wasted(&r, (struct fh_page){OBJECT - 1});
    cr_assert_eq(r.stats.wasted, 0);
}

Test(readahead, streams_of_different_readers_do_not_disturb_each_other)
{
    for (uint64_t i = 0; i < 2; i++)
        for (uint64_t who = 1; who <= 40; who++) {
            touch.stream = who;
            expect_ahead(page(who * 50 + i), who * 50 + 2, i == 1 ? 4 : 0);
        }
}

Test(readahead, nobody_has_no_stream)
{
    touch.stream = 0;
    expect_ahead(page(0), 0, 0);
    expect_ahead(page(1), 0, 0);
    cr_assert_eq(r.touches, 0);
}

Test(readahead, the_oldest_stream_makes_place_for_a_new_one)
{
    struct fh_readahead_stats s;

    for (uint64_t who = 1; who <= 5000; who++) {
        touch.stream = who;
        (void)page(0);
    }
    fh_readahead_stats(&r, &s);
    cr_assert_eq(s.streams, FH_STREAMS);
    expect_ahead(page(1), 2, 4);
}

/* --- one access, one count --- */

Test(readahead, going_on_in_a_page_does_not_count)
{
    cr_assert_eq(bytes(0, 64).quiet_count, 0);
    for (uint64_t at = 64; at < FH_PAGE_SIZE; at += 64) {
        struct fh_readahead_advice a = bytes(at, 64);
        cr_assert_eq(a.quiet_count, 1);
        cr_assert_eq(a.quiet.v, OBJECT);
    }
    cr_assert_eq(bytes(FH_PAGE_SIZE, 64).quiet_count, 0, "another page does");
}

Test(readahead, nor_do_two_scans_that_alternate)
{
    for (uint64_t at = 0; at < FH_PAGE_SIZE; at += 64) {
        touch.object.v = OBJECT;
        cr_assert_eq(bytes(at, 64).quiet_count, at > 0);
        touch.object.v = OBJECT - 1; /* the same reader, another object */
        cr_assert_eq(bytes(at + 100 * FH_PAGE_SIZE, 64).quiet_count, at > 0);
    }
}

Test(readahead, a_touch_in_a_row_does_not_count_wherever_in_the_page_but_each_256th_does)
{
    uint32_t counted = 0;

    for (uint32_t i = 0; i < 1024; i++)
        counted += bytes(8, 8).quiet_count == 0;
    cr_assert_eq(counted, 4);
}

Test(readahead, who_comes_back_from_elsewhere_counts)
{
    (void)bytes(8, 8);
    (void)bytes(50 * FH_PAGE_SIZE, 8);
    cr_assert_eq(bytes(8, 8).quiet_count, 0);
}

/* --- scans --- */

Test(readahead, in_objects_of_one_page_a_touch_in_a_row_does_not_count_but_each_256th_does)
{
    struct fh_page here = {OBJECT}, there = {OBJECT + 1};

    for (uint32_t i = 0; i < 600; i++)
        cr_assert_eq(fh_readahead_stays(&r, STREAM, here), i % 256 != 0, "touch %u", i);
    cr_assert_not(fh_readahead_stays(&r, STREAM, there));
    cr_assert(fh_readahead_stays(&r, STREAM, there));
    cr_assert_not(fh_readahead_stays(&r, STREAM, here), "it was elsewhere meanwhile");
    cr_assert_not(fh_readahead_stays(&r, STREAM + 1, here), "another reader counts");
    cr_assert_not(fh_readahead_stays(&r, 0, here), "nobody in particular always does");
    cr_assert_not(fh_readahead_stays(&r, 0, here));
}

Test(readahead, a_scan_longer_than_memory_counts_nothing_and_tells_what_it_passed)
{
    fh_readahead_init(&r, FH_READAHEAD_MAX, PAGES / 4);
    (void)page(0);
    (void)page(1);
    for (uint64_t i = 2; i < 100; i++) {
        struct fh_readahead_advice a = page(i);
        cr_assert(a.is_scan);
        cr_assert_eq(a.quiet.v, OBJECT + i);
        cr_assert_eq(a.quiet_count, 1);
        cr_assert_eq(a.behind.v, OBJECT + i - 1);
        cr_assert_eq(a.behind_count, 1);
    }
    struct fh_readahead_advice a = page(7);
    cr_assert_not(a.is_scan);
    cr_assert_eq(a.behind_count, 0);
}

Test(readahead, a_scan_that_fits_into_memory_counts)
{
    for (uint64_t i = 0; i < 100; i++) {
        struct fh_readahead_advice a = page(i);
        cr_assert_eq(a.quiet_count, 0);
        cr_assert_eq(a.behind_count, 0);
    }
}

/* --- advice --- */

Test(readahead, advised_as_sequential_it_begins_at_once_with_the_longest_window)
{
    touch.pattern = FH_PATTERN_SEQUENTIAL;
    expect_ahead(page(10), 11, FH_READAHEAD_MAX);
}

Test(readahead, advised_as_random_it_never_begins)
{
    touch.pattern = FH_PATTERN_RANDOM;
    for (uint64_t i = 0; i < 100; i++)
        expect_ahead(page(i), 0, 0);
}

/* --- check --- */

Test(readahead, check_sees_a_stream_in_the_wrong_set)
{
    (void)page(0);
    uint32_t i = 0;
    while (r.streams[i].id == 0)
        i++;
    r.streams[(i + 4) % FH_STREAMS] = r.streams[i];
    cr_assert_not(fh_readahead_check(&r, NULL));
    r.streams[(i + 4) % FH_STREAMS].id = 0;
}

Test(readahead, check_sees_a_window_beyond_the_object_and_two_of_a_kind)
{
    (void)page(0);
    uint32_t i = 0;
    while (r.streams[i].id == 0)
        i++;
    r.streams[i].asked_end.v = OBJECT + PAGES + 1;
    cr_assert_not(fh_readahead_check(&r, NULL));
    r.streams[i].asked_end.v = 0;
    r.streams[i ^ 1] = r.streams[i];
    cr_assert_not(fh_readahead_check(&r, NULL));
    r.streams[i ^ 1].id = 0;
}

Test(readahead, dump_names_the_streams)
{
    static char text[4096];
    FILE *out = fmemopen(text, sizeof(text), "w");

    (void)page(0);
    fh_readahead_dump(&r, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "stream 9 of 3e8"));
}
