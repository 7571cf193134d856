/* What a zone reads before it is asked, what it counts as a touch, and what a scan leaves behind. */
#include <criterion/criterion.h>

#include "tests/support/zone_rig.h"

enum { FRAMES = 320, SLOTS = 8192, STREAM = 7, PAGE = FH_PAGE_SIZE };

static struct zone_rig rig;
static struct fh_object_view object;

static void read_ahead(uint32_t pages_max)
{
    rig.zone.opts.readahead_max = pages_max;
    fh_readahead_init(&rig.zone.pager.readahead, pages_max, rig.zone.pager.frames.total);
}

static void setup(void)
{
    zone_open(&rig, FRAMES, SLOTS, 0);
    read_ahead(FH_READAHEAD_MAX);
}

static void teardown(void)
{
    zone_close(&rig);
}

/* An object of pages whose bytes tell where they are. */
static struct fh_object_view make(uint64_t pages)
{
    struct fh_object_view v = zone_alloc(&rig, pages * PAGE);
    static uint8_t bytes[PAGE];

    for (uint64_t i = 0; i < pages; i++) {
        zone_fill(bytes, i + 1, PAGE);
        cr_assert_eq(zone_write(&rig, &v, i * PAGE, bytes, PAGE), 0);
        (void)zone_turn(&rig);
    }
    v.ref.stream = STREAM;
    return v;
}

/* The same, all of it in swap. */
static struct fh_object_view make_cold(uint64_t pages)
{
    struct fh_object_view v = make(pages);

    zone_evict(&rig);
    cr_assert_eq(rig.zone.pager.mapped, 0);
    return v;
}

static void read_some(const struct fh_object_view *v, uint64_t offset, uint64_t size)
{
    static uint8_t got[PAGE], expected[PAGE];
    static uint64_t
        filled; /* what `expected` is made of; it is made once per page, not per piece */

    int rc = zone_read(&rig, &v->ref, offset, got, size);
    cr_assert_eq(rc, 0, "%s", strerror(-rc));
    if (filled != offset / PAGE + 1)
        zone_fill(expected, filled = offset / PAGE + 1, PAGE);
    cr_assert_eq(memcmp(got, expected + offset % PAGE, size), 0);
    (void)zone_turn(&rig);
}

static void read_page(const struct fh_object_view *v, uint64_t page)
{
    read_some(v, page * PAGE, PAGE);
}

static struct fh_pager_stats stats(void)
{
    struct fh_pager_stats s;
    fh_pager_stats(&rig.zone.pager, &s);
    return s;
}

static uint64_t count_resident(const struct fh_object_view *v, uint64_t pages)
{
    uint64_t found = 0;

    for (uint64_t i = 0; i < pages; i++)
        found += fh_entry_state(zone_entry(&rig, v, i * PAGE)) == FH_PAGE_FRAME;
    return found;
}

TestSuite(access, .init = setup, .fini = teardown, .timeout = 120);

Test(access, who_reads_in_order_finds_most_pages_there)
{
    object = make_cold(256);
    for (uint64_t i = 0; i < 256; i++)
        read_page(&object, i);
    zone_check(&rig);
    struct fh_pager_stats s = stats();
    cr_assert_eq(s.faults_swap + s.ahead_used, 256);
    cr_assert_eq(s.ahead_read, s.ahead_used, "nothing beyond the object, nothing twice");
    cr_assert_lt(s.faults_swap, 6);
}

Test(access, who_reads_at_random_gets_nothing)
{
    object = make_cold(256);
    for (uint64_t i = 0; i < 60; i++)
        read_page(&object, i * 37 % 251);
    cr_assert_eq(stats().ahead_read, 0);
    cr_assert_eq(stats().faults_swap, 60);
}

Test(access, nobody_in_particular_gets_nothing)
{
    object = make_cold(64);
    object.ref.stream = 0;
    for (uint64_t i = 0; i < 64; i++)
        read_page(&object, i);
    cr_assert_eq(stats().ahead_read, 0);
}

Test(access, switched_off_there_is_none)
{
    object = make_cold(64);
    read_ahead(0);
    for (uint64_t i = 0; i < 64; i++)
        read_page(&object, i);
    cr_assert_eq(stats().ahead_read, 0);
}

Test(access, it_takes_no_frame_below_low)
{
    object = make_cold(256);
    rig.zone.reclaim.low = rig.zone.reclaim.high = FRAMES - 20;
    for (uint64_t i = 0; i < 12; i++)
        read_page(&object, i);
    cr_assert_leq(count_resident(&object, 256), 20);
    rig.zone.reclaim.low = rig.zone.reclaim.high = 0;
}

Test(access, it_has_at_most_so_many_reads_in_flight)
{
    object = make_cold(256);
    rig.disk->hang = true;
    for (uint32_t i = 0; i < 256; i += 2) /* no two side by side: a read each */
        fh_pager_read_ahead(&rig.zone.pager, fh_page_add(fh_page_of_addr(object.ref.addr), i), 1,
                            (struct fh_page){0}, 0, 0);
    cr_assert_eq(rig.zone.pager.ahead_ops, FH_AHEAD_OPS);
    zone_check(&rig);
    rig.disk->hang = false;
    zone_quiet(&rig);
    cr_assert_eq(rig.zone.pager.ahead_ops, 0);
}

Test(access, an_object_of_few_pages_comes_in_whole_with_one_read)
{
    object = make_cold(12);
    uint64_t before = rig.disk->transfers;
    read_some(&object, 5 * PAGE + 8, 64);
    cr_assert_eq(rig.disk->transfers, before + 1);
    cr_assert_eq(count_resident(&object, 12), 12);
    cr_assert_eq(stats().faults_swap, 1);
    cr_assert_eq(stats().ahead_read, 11);
}

Test(access, but_not_a_larger_one)
{
    object = make_cold(40);
    read_some(&object, 5 * PAGE + 8, 64);
    cr_assert_eq(count_resident(&object, 40), 1);
}

Test(access, a_long_read_has_its_next_window_read_meanwhile)
{
    static uint8_t got[256 * PAGE];
    static struct fh_reader r;

    object = make_cold(256);
    int rc = zone_wait(&rig, &r.call, fh_reader_open(&rig.zone, &r, &object.ref, 0, sizeof(got)));
    cr_assert_eq(rc, 0);
    cr_assert(r.is_view);
    zone_quiet(&rig);
    cr_assert_geq(count_resident(&object, 256), 2 * FH_WINDOW_PAGES);
    zone_check(&rig);
    rc = zone_drain(&rig, &r, 0, got);
    cr_assert_eq(rc, 0);
    fh_reader_close(&r);
    for (uint64_t i = 0; i < 256; i++) {
        static uint8_t expected[PAGE];
        zone_fill(expected, i + 1, PAGE);
        cr_assert_eq(memcmp(got + i * PAGE, expected, PAGE), 0, "page %lu", (unsigned long)i);
    }
}

Test(access, pages_that_go_untouched_make_the_window_smaller)
{
    object = make_cold(256);
    read_page(&object, 0);
    read_page(&object, 1);
    zone_quiet(&rig);
    cr_assert_eq(stats().ahead_read, 4);
    zone_evict(&rig);
    cr_assert_eq(stats().ahead_unused, 4);
    cr_assert_eq(rig.zone.pager.readahead.stats.wasted, 1);
    read_page(&object, 2);
    read_page(&object, 3);
    read_page(&object, 4);
    cr_assert_eq(stats().ahead_read, 4, "for a while there is none");
}

Test(access, a_disk_that_fails_while_reading_ahead_harms_nobody)
{
    object = make_cold(64);
    read_page(&object, 0);
    rig.disk->permille[FH_DISK_EIO] = 1000;
    fh_pager_read_ahead(&rig.zone.pager, fh_page_add(fh_page_of_addr(object.ref.addr), 1), 63,
                        (struct fh_page){0}, 0, 0);
    zone_quiet(&rig);
    rig.disk->permille[FH_DISK_EIO] = 0;
    zone_check(&rig);
    cr_assert_eq(count_resident(&object, 64), 1);
    for (uint64_t i = 0; i < 64; i++)
        read_page(&object, i);
}

Test(access, a_lost_page_among_those_read_ahead_is_lost_alone)
{
    uint8_t got[8];

    object = make_cold(12);
    zone_flip(&rig, &object, 3 * PAGE);
    read_page(&object, 0);
    zone_quiet(&rig);
    zone_check(&rig);
    cr_assert_eq(count_resident(&object, 12), 11);
    cr_assert_eq(zone_read(&rig, &object.ref, 3 * PAGE, got, 8), -EBADMSG);
    read_page(&object, 4);
}

Test(access, freed_while_it_is_read_ahead_an_object_leaves_nothing)
{
    object = make_cold(64);
    rig.disk->hang = true;
    fh_pager_read_ahead(&rig.zone.pager, fh_page_of_addr(object.ref.addr), 64, (struct fh_page){0},
                        0, 0);
    cr_assert_eq(fh_zone_free(&rig.zone, &object.ref), 0);
    zone_check(&rig);
    rig.disk->hang = false;
    zone_expect_empty(&rig);
}

/* --- one access, one count --- */

Test(access, a_scan_in_small_reads_promotes_nothing)
{
    object = make(300);
    for (uint64_t at = 0; at < 300 * PAGE; at += 64)
        read_some(&object, at, 64);
    for (uint64_t i = 0; i < 300; i++) {
        struct fh_frame frame = fh_entry_frame(zone_entry(&rig, &object, i * PAGE));
        cr_assert_leq(fh_frames_record(&rig.zone.pager.frames, frame)->freq, 1);
    }
}

Test(access, small_writes_in_order_count_once_a_page)
{
    uint8_t bytes[64] = {1};

    object = zone_alloc(&rig, 100 * PAGE);
    for (uint64_t at = 0; at < 100 * PAGE; at += sizeof(bytes)) {
        object.ref.stream = STREAM;
        cr_assert_eq(zone_write(&rig, &object, at, bytes, sizeof(bytes)), 0);
    }
    for (uint64_t i = 0; i < 100; i++) {
        struct fh_frame frame = fh_entry_frame(zone_entry(&rig, &object, i * PAGE));
        cr_assert_eq(fh_frames_record(&rig.zone.pager.frames, frame)->freq, 0);
    }
}

/* --- scans longer than memory --- */

enum { HOT = 160 };

/* Reads a page of the hot set; true when it was in memory. */
static bool touch_hot(const struct fh_object_view *hot, uint64_t page)
{
    uint64_t before = stats().faults_swap;

    read_page(hot, page);
    return stats().faults_swap == before;
}

/* Hot pages found in memory while another reader goes through an object of four times the memory. */
static uint64_t hits_during_scan(uint64_t piece)
{
    struct fh_object_view hot = make(HOT), scan;
    struct rng random = {3};
    uint64_t hits = 0, touches = 0;

    rig.zone.reclaim.low = 20;
    rig.zone.reclaim.high = 40;
    for (uint32_t i = 0; i < 4 * HOT; i++)
        (void)touch_hot(&hot, rng_below(&random, HOT));
    scan = make((uint64_t)4 * FRAMES);
    scan.ref.stream = STREAM + 1;
    for (uint32_t i = 0; i < 8 * HOT; i++) /* what the writing has flushed comes back */
        (void)touch_hot(&hot, rng_below(&random, HOT));
    for (uint64_t at = 0; at < (uint64_t)4 * FRAMES * PAGE; at += piece) {
        read_some(&scan, at, piece);
        if (at % PAGE == 0) {
            hits += touch_hot(&hot, rng_below(&random, HOT));
            touches++;
        }
    }
    rig.zone.reclaim.low = rig.zone.reclaim.high = 0;
    return hits * 1000 / touches;
}

Test(access, a_scan_longer_than_memory_does_not_flush_the_hot_set)
{
    uint64_t permille = hits_during_scan(PAGE);
    cr_assert_geq(permille, 990, "%lu of 1000 touches hit", (unsigned long)permille);
    zone_check(&rig);
}

Test(access, nor_does_one_in_small_pieces)
{
    uint64_t permille = hits_during_scan(512);
    cr_assert_geq(permille, 990, "%lu of 1000 touches hit", (unsigned long)permille);
    zone_check(&rig);
}
