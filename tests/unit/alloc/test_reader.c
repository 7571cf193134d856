/* Reads: one moment, at one window and at many; what they hold; how they end. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/zone_rig.h"

enum { LARGE = 300000 }; /* more than a window of 19 pages */

static struct zone_rig rig;
static struct fh_reader reader, other;
static uint8_t got[LARGE + 1], expected[LARGE + 1];

static void setup(void)
{
    zone_open(&rig, 150, 511, 20);
}

static void teardown(void)
{
    zone_close(&rig);
}

static void fill(struct fh_object_view *v, uint64_t what, uint64_t size)
{
    static uint8_t bytes[LARGE];

    zone_fill(bytes, what, size);
    for (uint64_t at = 0; at < size; at += FH_WRITE_MAX) {
        uint64_t part = size - at < FH_WRITE_MAX ? size - at : FH_WRITE_MAX;
        cr_assert_eq(zone_write(&rig, v, at, bytes + at, part), 0);
    }
}

static struct fh_object_view filled(uint64_t what, uint64_t size)
{
    struct fh_object_view v = zone_alloc(&rig, size);
    fill(&v, what, size);
    return v;
}

static void expect_rest(struct fh_reader *r, int rc, uint64_t what, uint64_t size)
{
    zone_fill(expected, what, size);
    cr_assert_eq(zone_drain(&rig, r, rc, got), 0);
    cr_assert_eq(memcmp(got, expected, size), 0);
}

static void free_object(struct fh_object_view *v)
{
    cr_assert_eq(fh_zone_free(&rig.zone, &v->ref), 0);
}

TestSuite(reader, .init = setup, .fini = teardown, .timeout = 30);

Test(reader, every_range_of_objects_of_every_kind)
{
    static const uint64_t sizes[] = {0, 1, 16, 4095, 4096, 4097, 20000, 32768, 80000, LARGE};
    struct rng g = rng_from_env("reader");

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fh_object_view v = filled(9, sizes[i]);
        zone_fill(expected, 9, sizes[i]);
        for (int k = 0; k < 40; k++) {
            uint64_t offset = rng_below(&g, sizes[i] + 1);
            uint64_t size = rng_below(&g, sizes[i] - offset + 1);
            if (k % 10 == 0)
                zone_evict(&rig);
            cr_assert_eq(zone_read(&rig, &v.ref, offset, got, size), 0);
            cr_assert_eq(memcmp(got, expected + offset, size), 0);
        }
        free_object(&v);
    }
    zone_expect_empty(&rig);
}

Test(reader, ranges_outside_the_object_are_refused)
{
    struct fh_object_view v = filled(9, 100);

    cr_assert_eq(fh_reader_open(&rig.zone, &reader, &v.ref, 0, 101), -EINVAL);
    cr_assert_eq(fh_reader_open(&rig.zone, &reader, &v.ref, 101, 0), -EINVAL);
    cr_assert_eq(fh_reader_open(&rig.zone, &reader, &v.ref, 1, UINT64_MAX), -EINVAL);
    cr_assert_eq(fh_reader_open(&rig.zone, &reader, &v.ref, UINT64_MAX, 2), -EINVAL);
    cr_assert_eq(fh_reader_open(&rig.zone, &reader, &v.ref, 100, 0), 0, "nothing, at the end");
    cr_assert_eq(reader.iov_count, 0);
    cr_assert_eq(reader.window_bytes, 0);
    fh_reader_close(&reader);
    zone_check(&rig);
}

Test(reader, opened_before_a_write_shows_the_old_bytes_in_one_window)
{
    struct fh_object_view v = filled(1, 50000);

    cr_assert_eq(fh_reader_open(&rig.zone, &reader, &v.ref, 0, 50000), 0);
    cr_assert_not(reader.is_view);
    fill(&v, 2, 50000);
    zone_check(&rig);
    expect_rest(&reader, 0, 1, 50000);
    fh_reader_close(&reader);
    zone_expect(&rig, &v, 2, 50000);
}

Test(reader, opened_before_a_write_shows_the_old_bytes_in_many_windows)
{
    struct fh_object_view v = filled(1, LARGE);
    uint64_t version = v.version;

    cr_assert_eq(fh_reader_open(&rig.zone, &reader, &v.ref, 0, LARGE), 0);
    cr_assert(reader.is_view);
    fill(&v, 2, LARGE);
    zone_check(&rig);
    cr_assert_eq(reader.object.version, version, "as of the moment");
    expect_rest(&reader, 0, 1, LARGE);
    zone_check(&rig);
    fh_reader_close(&reader);
    zone_expect(&rig, &v, 2, LARGE);
    zone_check(&rig);
}

Test(reader, the_same_from_swap_with_writes_between_the_windows)
{
    struct fh_object_view v = filled(1, LARGE);
    uint64_t at = 0;

    zone_evict(&rig);
    int rc = zone_wait(&rig, &reader.call, fh_reader_open(&rig.zone, &reader, &v.ref, 0, LARGE));
    zone_fill(expected, 1, LARGE);
    for (int round = 0; rc == 0 && reader.iov_count > 0; round++) {
        size_t window = reader.window_bytes;
        size_t taken = window / 2 + 1; /* a slow peer takes a half */
        for (uint32_t i = 0; i < reader.iov_count; i++) {
            memcpy(got + at, reader.iov[i].iov_base, reader.iov[i].iov_len);
            cr_assert_eq(memcmp(got + at, expected + at, reader.iov[i].iov_len), 0);
            at += reader.iov[i].iov_len;
        }
        at -= window - taken;
        fh_reader_release(&reader, taken);
        fill(&v, 10 + (uint64_t)round, 60000);
        if (round % 3 == 0)
            zone_evict(&rig);
        zone_check(&rig);
        rc = zone_wait(&rig, &reader.call, fh_reader_next(&reader));
    }
    cr_assert_eq(rc, 0);
    cr_assert_eq(at, LARGE);
    fh_reader_close(&reader);
    free_object(&v);
    zone_expect_empty(&rig);
}

Test(reader, a_freed_object_is_read_to_its_end_and_its_addresses_wait)
{
    struct fh_object_view v = filled(1, LARGE);

    int rc = fh_reader_open(&rig.zone, &reader, &v.ref, 0, LARGE);
    cr_assert_eq(fh_reader_open(&rig.zone, &other, &v.ref, 0, LARGE), 0);
    free_object(&v);
    zone_check(&rig);
    struct fh_object_view next = filled(2, LARGE);
    cr_assert_neq(next.ref.addr.v, v.ref.addr.v, "not while it is being read");
    zone_evict(&rig);
    zone_check(&rig);
    expect_rest(&reader, rc, 1, LARGE);
    fh_reader_close(&reader);
    struct fh_object_view third = zone_alloc(&rig, LARGE);
    cr_assert_neq(third.ref.addr.v, v.ref.addr.v, "nor while the other one reads");
    expect_rest(&other, 0, 1, LARGE);
    fh_reader_close(&other);
    zone_check(&rig);
    struct fh_object_view fourth = zone_alloc(&rig, LARGE);
    cr_assert_eq(fourth.ref.addr.v, v.ref.addr.v, "then they are used again");
    static const uint8_t zeros[100];
    cr_assert_eq(zone_read(&rig, &fourth.ref, 0, got, 100), 0);
    cr_assert_eq(memcmp(got, zeros, 100), 0);
    free_object(&next);
    free_object(&third);
    free_object(&fourth);
    zone_expect_empty(&rig);
}

Test(reader, an_object_freed_in_one_window_is_read_to_its_end)
{
    static const uint64_t sizes[] = {200, 50000};

    for (int i = 0; i < 2; i++) {
        struct fh_object_view v = filled(1, sizes[i]);
        cr_assert_eq(fh_reader_open(&rig.zone, &reader, &v.ref, 0, sizes[i]), 0);
        free_object(&v);
        struct fh_object_view next = filled(2, sizes[i]);
        expect_rest(&reader, 0, 1, sizes[i]);
        fh_reader_close(&reader);
        zone_expect(&rig, &next, 2, sizes[i]);
        free_object(&next);
    }
    zone_expect_empty(&rig);
}

Test(reader, a_view_holds_no_frame_between_its_windows)
{
    struct fh_object_view v = filled(1, LARGE);

    cr_assert_eq(fh_reader_open(&rig.zone, &reader, &v.ref, 0, LARGE), 0);
    fh_reader_release(&reader, 0);
    zone_evict(&rig);
    cr_assert_eq(rig.zone.pager.frames.free, 150, "a slow peer costs no memory");
    int rc = fh_reader_next(&reader);
    expect_rest(&reader, rc, 1, LARGE);
    fh_reader_close(&reader);
}

Test(reader, a_read_of_64_bytes_brings_in_one_page)
{
    struct fh_object_view v = filled(1, LARGE);

    zone_evict(&rig);
    uint64_t loaded = rig.zone.pager.swap.stats.loaded_pages;
    cr_assert_eq(zone_read(&rig, &v.ref, 123456, got, 64), 0);
    cr_assert_eq(rig.zone.pager.swap.stats.loaded_pages, loaded + 1);
    zone_fill(expected, 1, LARGE);
    cr_assert_eq(memcmp(got, expected + 123456, 64), 0);
}

Test(reader, what_was_never_written_is_sent_from_the_page_of_zeros)
{
    struct fh_object_view small = zone_alloc(&rig, 20000);
    struct fh_object_view large = zone_alloc(&rig, LARGE);

    cr_assert_eq(zone_write(&rig, &small, 0, "abc", 3), 0);
    uint32_t used = rig.zone.pager.frames.free;
    cr_assert_eq(zone_read(&rig, &small.ref, 0, got, 20000), 0);
    cr_assert_eq(memcmp(got, "abc", 4), 0);
    cr_assert_eq(got[19999], 0);
    cr_assert_eq(zone_read(&rig, &small.ref, 5000, got, 15000), 0);
    cr_assert_eq(got[14999], 0);
    memset(got, 0xEE, sizeof(got));
    cr_assert_eq(zone_read(&rig, &large.ref, 0, got, LARGE), 0);
    for (uint32_t i = 0; i < LARGE; i++)
        cr_assert_eq(got[i], 0);
    cr_assert_eq(rig.zone.pager.frames.free, used);
}

Test(reader, closing_while_it_waits_gives_everything_back)
{
    struct fh_object_view one = filled(1, 50000), many = filled(2, LARGE);

    zone_evict(&rig);
    rig.disk->hang = true;
    cr_assert_eq(fh_reader_open(&rig.zone, &reader, &one.ref, 0, 50000), -EINPROGRESS);
    cr_assert_eq(fh_reader_open(&rig.zone, &other, &many.ref, 0, LARGE), -EINPROGRESS);
    zone_check(&rig);
    fh_reader_close(&reader);
    fh_reader_close(&other);
    zone_check(&rig);
    rig.disk->hang = false;
    zone_quiet(&rig);
    free_object(&one);
    free_object(&many);
    zone_expect_empty(&rig);
}

Test(reader, waiting_in_the_line_takes_its_moment_when_it_is_served)
{
    static struct fh_stage stages[10];
    struct fh_object_view v = filled(1, 5000);
    uint32_t count = 0;

    zone_evict(&rig);
    for (; count < 10; count++) { /* take every frame */
        memset(&stages[count].call, 0, sizeof(stages[count].call));
        cr_assert_eq(fh_stage_open(&rig.zone, &stages[count], ZONE_TENANT, 80000, 0), 0);
        if (fh_stage_window(&stages[count]) == -EINPROGRESS)
            break;
    }
    cr_assert_lt(count, 10);
    memset(&reader.call, 0, sizeof(reader.call));
    cr_assert_eq(fh_reader_open(&rig.zone, &reader, &v.ref, 0, 5000), -EINPROGRESS);
    cr_assert_eq(reader.call.state, FH_CALL_IN_LINE);
    free_object(&v);
    for (uint32_t i = 0; i <= count; i++)
        fh_stage_abort(&stages[i]);
    cr_assert_eq(zone_wait(&rig, &reader.call, -EINPROGRESS), -ESTALE, "it was freed before");
    fh_reader_close(&reader);
    zone_expect_empty(&rig);
}

Test(reader, a_lost_page_fails_the_reads_that_need_it_and_no_other)
{
    struct fh_object_view v = filled(1, 50000);

    zone_evict(&rig);
    zone_flip(&rig, &v, 20000);
    cr_assert_eq(zone_read(&rig, &v.ref, 0, got, 50000), -EBADMSG);
    cr_assert_eq(zone_read(&rig, &v.ref, 20000, got, 1), -EBADMSG);
    cr_assert_eq(zone_read(&rig, &v.ref, 0, got, 16384), 0);
    cr_assert_eq(zone_read(&rig, &v.ref, 20480, got, 50000 - 20480), 0);
    zone_check(&rig);
    uint8_t page[FH_PAGE_SIZE];
    zone_fill(expected, 1, 50000);
    memcpy(page, expected + 16384, FH_PAGE_SIZE);
    cr_assert_eq(zone_write(&rig, &v, 16384, page, FH_PAGE_SIZE), 0);
    zone_expect(&rig, &v, 1, 50000);
}

Test(reader, a_view_meets_the_lost_page_in_its_window)
{
    struct fh_object_view v = filled(1, LARGE);

    zone_evict(&rig);
    zone_flip(&rig, &v, 200000);
    cr_assert_eq(zone_read(&rig, &v.ref, 0, got, LARGE), -EBADMSG);
    zone_fill(expected, 1, LARGE);
    cr_assert_eq(memcmp(got, expected, 100000), 0, "what came before it is right");
    cr_assert_eq(zone_read(&rig, &v.ref, 0, got, LARGE), -EBADMSG, "and at once the next time");
    zone_check(&rig);
    free_object(&v);
    zone_expect_empty(&rig);
}

Test(reader, a_failing_disk_is_told_and_a_later_read_works)
{
    struct fh_object_view v = filled(1, LARGE);

    zone_evict(&rig);
    rig.disk->dead[FH_IO_READ] = true;
    cr_assert_eq(zone_read(&rig, &v.ref, 0, got, 50000), -EIO);
    cr_assert_eq(zone_read(&rig, &v.ref, 0, got, LARGE), -EIO);
    zone_check(&rig);
    rig.disk->dead[FH_IO_READ] = false;
    zone_expect(&rig, &v, 1, LARGE);
}

/* --- by name --- */

static int read_name(const char *name, uint64_t if_version, uint64_t offset, uint64_t limit)
{
    struct fh_read_name by = {.name = name,
                              .size = strlen(name),
                              .tenant = ZONE_TENANT,
                              .if_version = if_version,
                              .offset = offset,
                              .limit = limit};

    memset(&reader.call, 0, sizeof(reader.call));
    return fh_reader_open_name(&rig.zone, &reader, &by);
}

Test(reader, by_name_a_range_is_cut_to_the_object)
{
    struct fh_object_view v;

    zone_fill(expected, 3, 1000);
    cr_assert_eq(zone_put(&rig, "a", expected, 1000, 0, &any_time, &v), 0);
    cr_assert_eq(zone_drain(&rig, &reader, read_name("a", 0, 100, UINT64_MAX), got), 0);
    cr_assert_eq(memcmp(got, expected + 100, 900), 0);
    cr_assert_eq(reader.object.version, v.version);
    fh_reader_close(&reader);
    cr_assert_eq(read_name("a", 0, 1000, 5), 0, "nothing, at the end");
    cr_assert_eq(reader.window_bytes, 0);
    fh_reader_close(&reader);
    cr_assert_eq(read_name("a", v.version, 990, 5), 0);
    cr_assert_eq(reader.window_bytes, 5);
    fh_reader_close(&reader);
    cr_assert_eq(read_name("a", 0, 1001, 5), -EINVAL);
    cr_assert_eq(read_name("a", v.version + 1, 0, 5), -ECANCELED);
    cr_assert_eq(read_name("b", 0, 0, 5), -ENOENT);
    zone_check(&rig);
}

Test(reader, by_name_follows_the_name_until_its_moment)
{
    static struct fh_stage stages[10];
    uint32_t count = 0;

    cr_assert_eq(zone_put(&rig, "a", "first", 5, 0, &any_time, NULL), 0);
    zone_evict(&rig);
    for (; count < 10; count++) { /* take every frame */
        memset(&stages[count].call, 0, sizeof(stages[count].call));
        cr_assert_eq(fh_stage_open(&rig.zone, &stages[count], ZONE_TENANT, 80000, 0), 0);
        if (fh_stage_window(&stages[count]) == -EINPROGRESS)
            break;
    }
    cr_assert_lt(count, 10);
    cr_assert_eq(read_name("a", 0, 0, 100), -EINPROGRESS);
    struct fh_object_view v = zone_alloc(&rig, 30), named;
    cr_assert_eq(fh_zone_publish(&rig.zone, &v.ref, "a", 1, 0, &any_time, &named), 0);
    for (uint32_t i = 0; i <= count; i++)
        fh_stage_abort(&stages[i]);
    cr_assert_eq(zone_drain(&rig, &reader, -EINPROGRESS, got), 0);
    cr_assert_eq(reader.object.version, named.version);
    cr_assert_eq(reader.object.size, 30);
    fh_reader_close(&reader);
    cr_assert_eq(fh_zone_delete(&rig.zone, ZONE_TENANT, "a", 1, &any_time), 0);
    zone_expect_empty(&rig);
}
