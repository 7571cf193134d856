/* Pages of files, read before they are asked for and written before they have to go. */
#include <criterion/criterion.h>

#include "tests/support/advise_rig.h"
#include "tests/support/file_rig.h"

enum { FRAMES = 512, SLOTS = 2048, HOLD = 16, PAGE = FH_PAGE_SIZE, PAGES = 300, STREAM = 7 };
enum { GOAL = 16 /* frames of a queue that a pass looks at: 4 %, in whole runs */ };

static struct zone_rig rig;
static struct file_rig file;
static uint8_t expected[PAGES * PAGE];

static void open_zone(uint64_t slots)
{
    zone_open(&rig, FRAMES, slots, HOLD);
    rig.zone.opts.readahead_max = FH_READAHEAD_MAX;
    fh_readahead_init(&rig.zone.pager.readahead, FH_READAHEAD_MAX, FRAMES);
    file_open(&rig, &file, sizeof(expected), true);
    file.object.ref.stream = STREAM;
    file_fill(expected, sizeof(expected));
}

static void setup(void)
{
    open_zone(SLOTS);
}

static void teardown(void)
{
    file_close(&rig, &file);
    zone_close(&rig);
}

TestSuite(files_ahead, .init = setup, .fini = teardown, .timeout = 20);

static void read_page(uint64_t page)
{
    uint8_t got[PAGE];

    cr_assert_eq(zone_read(&rig, &file.object.ref, page * PAGE, got, PAGE), 0);
    cr_assert_arr_eq(got, expected + page * PAGE, PAGE);
    zone_quiet(&rig);
}

static uint64_t resident(void)
{
    return zone_counts(&rig, &file.object).frame;
}

/* --- reading --- */

Test(files_ahead, who_reads_in_order_gets_windows_that_grow)
{
    uint64_t faults;

    read_page(0);
    cr_assert_eq(resident(), 1);
    read_page(1);
    cr_assert_eq(resident(), 2 + FH_READAHEAD_OPEN);
    for (uint64_t i = 2; i < 200; i++)
        read_page(i);
    cr_assert_eq(rig.zone.pager.readahead.stats.wasted, 0);
    faults = zone_pager_stats(&rig).faults_file;
    cr_assert_eq(faults, 2, "all but the first two were there: %lu", (unsigned long)faults);
    cr_assert_geq(resident(), 200 + FH_READAHEAD_MAX / 2);
    zone_check(&rig);
}

Test(files_ahead, who_reads_at_random_gets_nothing)
{
    for (uint64_t i = 0; i < 50; i++)
        read_page(i * 37 % 250 + (i % 2) * 3);
    cr_assert_leq(resident(), 50);
    cr_assert_eq(zone_pager_stats(&rig).ahead_read, 0);
}

Test(files_ahead, nothing_is_read_beyond_the_end)
{
    for (uint64_t i = PAGES - 10; i < PAGES; i++)
        read_page(i);
    cr_assert_eq(resident(), 10);
}

Test(files_ahead, a_view_is_read_ahead_and_stays_of_its_moment)
{
    static uint8_t got[PAGES * PAGE], body[PAGE];
    static struct fh_reader r;

    memset(&r.call, 0, sizeof(r.call));
    int rc =
        zone_wait(&rig, &r.call, fh_reader_open(&rig.zone, &r, &file.object.ref, 0, sizeof(got)));
    cr_assert_eq(rc, 0);
    zone_quiet(&rig);
    cr_assert_gt(zone_pager_stats(&rig).ahead_read, 0);
    memset(body, 77, sizeof(body));
    cr_assert_eq(zone_write(&rig, &file.object, 40 * PAGE, body, PAGE), 0);
    zone_check(&rig);
    cr_assert_eq(zone_drain(&rig, &r, 0, got), 0);
    fh_reader_close(&r);
    cr_assert_arr_eq(got, expected, sizeof(got));
}

Test(files_ahead, a_read_ahead_that_fails_harms_nobody)
{
    read_page(0);
    for (uint64_t n = 1; n < 12; n++) {
        rig.disk->fail_at = rig.disk->transfers + n;
        for (uint64_t i = 1; i < 100; i++) {
            uint8_t got[PAGE];
            int rc = zone_read(&rig, &file.object.ref, i * PAGE, got, PAGE);
            cr_assert(rc == 0 || rc == -EIO);
            if (rc == 0)
                cr_assert_arr_eq(got, expected + i * PAGE, PAGE);
        }
        zone_quiet(&rig);
        zone_check(&rig);
        zone_advise_and_follow(&rig, &file.object, FH_ADVICE_DONTNEED, 0, sizeof(expected));
    }
    rig.disk->fail_at = 0;
    for (uint64_t i = 1; i < 100; i++)
        read_page(i);
}

Test(files_ahead, without_memory_for_books_nothing_is_read_ahead)
{
    for (uint64_t n = 1; n < 8; n++) {
        read_page(0);
        rig.zone.mem.fail_at = rig.zone.mem.calls + n;
        for (uint64_t i = 1; i < 200; i++) {
            uint8_t got[PAGE];
            int rc = zone_read(&rig, &file.object.ref, i * PAGE, got, PAGE);
            cr_assert(rc == 0 || rc == -ENOMEM);
            zone_quiet(&rig);
        }
        zone_check(&rig);
        rig.zone.mem.fail_at = 0;
        zone_advise_and_follow(&rig, &file.object, FH_ADVICE_DONTNEED, 0, sizeof(expected));
    }
    for (uint64_t i = 0; i < 200; i++)
        read_page(i);
}

/* --- writing --- */

static void write_pages(uint64_t first, uint64_t count, uint8_t value)
{
    uint8_t body[PAGE];

    memset(body, value, sizeof(body));
    for (uint64_t i = first; i < first + count; i++) {
        cr_assert_eq(zone_write(&rig, &file.object, i * PAGE, body, PAGE), 0);
        memset(expected + i * PAGE, value, PAGE);
    }
}

/* So few frames are free that some will be wanted, and enough. */
static void set_marks(void)
{
    uint32_t spare = rig.zone.pager.frames.free;

    fh_reclaim_set_marks(&rig.zone.reclaim, spare - 10, spare - 2);
}

static void turns(uint32_t count)
{
    while (count-- > 0)
        (void)zone_turn(&rig);
    zone_check(&rig);
}

static void expect_cleaned_ahead(void)
{
    uint64_t had = resident();

    set_marks();
    turns(60);
    cr_assert_geq(rig.zone.reclaim.stats.cleaned, GOAL);
    cr_assert_eq(resident(), had, "they stay");
    cr_assert_eq(zone_pager_stats(&rig).frames_file_clean, rig.zone.reclaim.stats.cleaned);
    uint64_t writes = file.disk->writes;
    uint32_t low = rig.zone.pager.frames.free + GOAL / 2;
    fh_reclaim_set_marks(&rig.zone.reclaim, low, low);
    (void)zone_turn(&rig);
    cr_assert_geq(rig.zone.pager.frames.free, low, "in one turn");
    cr_assert_eq(file.disk->writes, writes);
    fh_reclaim_set_marks(&rig.zone.reclaim, 0, 0);
    zone_quiet(&rig);
    file_expect(&rig, &file, expected);
}

Test(files_ahead, dirty_pages_are_written_back_before_they_have_to_go)
{
    write_pages(0, PAGES, 3);
    expect_cleaned_ahead();
}

Test(files_ahead, also_without_swap)
{
    teardown();
    open_zone(0);
    write_pages(0, PAGES, 4);
    expect_cleaned_ahead();
}

Test(files_ahead, nothing_is_written_while_many_frames_are_free)
{
    write_pages(0, 100, 5);
    fh_reclaim_set_marks(&rig.zone.reclaim, 5, 10);
    turns(60);
    cr_assert_eq(file.disk->writes, 0);
    fh_reclaim_set_marks(&rig.zone.reclaim, 0, 0);
}

Test(files_ahead, a_page_written_while_it_is_cleaned_keeps_the_new_bytes)
{
    write_pages(0, PAGES, 6);
    rig.disk->hang = true;
    set_marks();
    turns(5);
    cr_assert_gt(rig.zone.reclaim.writing, 0);
    write_pages(0, 40, 7);
    rig.disk->hang = false;
    turns(60);
    fh_reclaim_set_marks(&rig.zone.reclaim, 0, 0);
    zone_quiet(&rig);
    file_expect(&rig, &file, expected);
    cr_assert_eq(file_sync(&rig, &file), 0);
    cr_assert_arr_eq(file.disk->safe, expected, sizeof(expected));
}

Test(files_ahead, a_page_pinned_while_it_is_cleaned_stays)
{
    write_pages(0, 40, 8);
    set_marks();
    rig.disk->hang = true;
    turns(5);
    cr_assert_eq(zone_advise(&rig, &file.object, FH_ADVICE_PIN, 0, 40 * PAGE), 0);
    rig.disk->hang = false;
    turns(60);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 40);
    fh_reclaim_set_marks(&rig.zone.reclaim, 0, 0);
}

Test(files_ahead, a_write_that_fails_leaves_the_page_dirty)
{
    write_pages(0, PAGES, 9);
    set_marks();
    rig.disk->fail_at = rig.disk->transfers + 1;
    turns(3);
    cr_assert_eq(rig.zone.reclaim.stats.cleaned, 0);
    rig.disk->fail_at = 0;
    turns(100);
    cr_assert_geq(rig.zone.reclaim.stats.cleaned, GOAL);
    fh_reclaim_set_marks(&rig.zone.reclaim, 0, 0);
    zone_quiet(&rig);
    file_expect(&rig, &file, expected);
}
