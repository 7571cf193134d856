/*
 * files: objects whose bytes are those of a file. How each of the three kinds of page leaves memory
 * is watched at the file and at the swap; then writes, syncs, snapshots, errors and ends.
 */
#include "tests/support/file_rig.h"

enum { PAGE = FH_PAGE_SIZE, PAGES = 40, SIZE = PAGES * PAGE - 1000, FRAMES = 200, SLOTS = 511 };

static struct zone_rig rig;
static struct file_rig file;
static uint8_t expected[SIZE], bytes[SIZE], got[SIZE];

static struct fh_zone_stats stats(void)
{
    struct fh_zone_stats s;
    fh_zone_stats(&rig.zone, &s);
    return s;
}

static void setup(void)
{
    zone_open(&rig, FRAMES, SLOTS, FH_HOLD_MAX);
    file_open(&rig, &file, SIZE, true);
    file_fill(expected, SIZE);
}

static void teardown(void)
{
    zone_close(&rig);
}

static void write_at(uint64_t offset, uint64_t size, uint64_t what)
{
    zone_fill(bytes, what, size);
    int rc = zone_write(&rig, &file.object, offset, bytes, size);
    cr_assert_eq(rc, 0, "%s", strerror(-rc));
    memcpy(expected + offset, bytes, size);
    zone_check(&rig);
}

TestSuite(files, .init = setup, .fini = teardown, .timeout = 60);

Test(files, an_open_file_costs_nothing_until_it_is_read)
{
    cr_assert_eq(file.object.size, SIZE);
    cr_assert(file.object.file);
    cr_assert(file.object.writable);
    cr_assert_eq(file.disk->reads, 0);
    cr_assert_eq(stats().pager.frames_free, FRAMES);
    cr_assert_eq(zone_read(&rig, &file.object.ref, 5 * PAGE + 10, got, 100), 0);
    cr_assert_eq(memcmp(got, expected + 5 * PAGE + 10, 100), 0);
    cr_assert_eq(file.disk->reads, 1);
    cr_assert_eq(stats().pager.frames_file_clean, 1);
    cr_assert_eq(stats().pager.faults_file, 1);
    file_expect(&rig, &file, expected);
    zone_check(&rig);
}

Test(files, neighbours_are_read_in_runs)
{
    cr_assert_eq(zone_read(&rig, &file.object.ref, 0, got, 16 * PAGE), 0);
    cr_assert_eq(file.disk->reads, 1);
}

Test(files, stat_tells_where_the_pages_are)
{
    struct fh_object_view v;

    cr_assert_eq(zone_read(&rig, &file.object.ref, 0, got, 3 * PAGE), 0);
    write_at(0, PAGE, 1);
    cr_assert_eq(fh_zone_stat(&rig.zone, &file.object.ref, &v), 0);
    cr_assert_eq(v.pages.frame, 3);
    cr_assert_eq(v.pages.dirty, 1);
    cr_assert_eq(v.pages.file, PAGES - 3);
    cr_assert_eq(v.pages.nothing, 0);
}

Test(files, a_glance_sees_what_is_in_memory_and_nothing_else)
{
    struct fh_glance glance;

    cr_assert_eq(fh_zone_glance(&rig.zone, &file.object.ref, PAGE, 100, PAGE, &glance), -EAGAIN);
    cr_assert_eq(zone_read(&rig, &file.object.ref, PAGE, got, 1), 0);
    cr_assert_eq(fh_zone_glance(&rig.zone, &file.object.ref, PAGE, 100, PAGE, &glance), 0);
    cr_assert_eq(memcmp(glance.iov[0].iov_base, expected + PAGE, 100), 0);
    zone_evict(&rig);
    cr_assert_eq(fh_zone_glance(&rig.zone, &file.object.ref, PAGE, 100, PAGE, &glance), -EAGAIN);
    cr_assert_eq(zone_zero(&rig, &file.object, PAGE, PAGE), 0);
    cr_assert_eq(fh_zone_glance(&rig.zone, &file.object.ref, PAGE, 100, PAGE, &glance), 0);
    cr_assert_eq(((const uint8_t *)glance.iov[0].iov_base)[50], 0);
}

/* --- the three kinds of page leave memory in three ways --- */

Test(files, a_clean_page_of_a_file_is_dropped_and_nothing_is_written)
{
    file_expect(&rig, &file, expected);
    cr_assert_eq(stats().pager.frames_file_clean, PAGES);
    zone_evict(&rig);
    cr_assert_eq(stats().reclaim.file_clean, PAGES);
    cr_assert_eq(stats().pager.frames_free, FRAMES);
    cr_assert_eq(stats().pager.pages_file, PAGES);
    cr_assert_eq(rig.disk->io.writes, 0, "neither to the file nor to swap");
    file_expect(&rig, &file, expected);
}

Test(files, a_dirty_page_of_a_file_is_written_back_to_it_and_not_to_swap)
{
    write_at(3 * PAGE, 2 * PAGE, 5);
    cr_assert_eq(stats().pager.frames_file_dirty, 2);
    zone_evict(&rig);
    cr_assert_eq(stats().reclaim.file_dirty, 2);
    cr_assert_eq(file.disk->writes, 1, "both in one run");
    cr_assert_geq(file.disk->syncs, 1, "and safe before the frames were free");
    cr_assert_eq(memcmp(file.disk->safe + 3 * PAGE, expected + 3 * PAGE, 2 * PAGE), 0);
    cr_assert_eq(stats().pager.swap.stored_pages, 0);
    file_expect(&rig, &file, expected);
}

Test(files, an_anonymous_page_goes_to_swap_and_not_to_a_file)
{
    struct fh_object_view v = zone_alloc(&rig, 8 * PAGE);

    zone_fill(bytes, 9, 8 * PAGE);
    cr_assert_eq(zone_write(&rig, &v, 0, bytes, 8 * PAGE), 0);
    zone_evict(&rig);
    cr_assert_eq(stats().reclaim.dirty, 8);
    cr_assert_eq(stats().pager.swap.stored_pages, 8);
    cr_assert_eq(file.disk->writes, 0);
    zone_expect(&rig, &v, 9, 8 * PAGE);
}

Test(files, the_last_page_is_written_up_to_the_end_of_the_file)
{
    write_at(SIZE - 100, 100, 8);
    cr_assert_eq(file_sync(&rig, &file), 0);
    cr_assert_eq(file.disk->written_bytes, PAGE - 1000);
    cr_assert_eq(memcmp(file.disk->safe, expected, SIZE), 0);
    zone_evict(&rig);
    file_expect(&rig, &file, expected);
}

/* --- writing --- */

Test(files, a_write_of_whole_pages_reads_nothing)
{
    write_at(4 * PAGE, 3 * PAGE, 2);
    cr_assert_eq(file.disk->reads, 0);
    cr_assert_eq(stats().pager.live, 3, "dirty pages are live");
    write_at(10 * PAGE + 5, 100, 3);
    cr_assert_eq(file.disk->reads, 1);
    cr_assert_eq(stats().pager.live, 4);
    file_expect(&rig, &file, expected);
    cr_assert_eq(stats().pager.live, 4, "clean ones are not");
}

Test(files, a_page_all_of_zeros_is_written_back_as_zeros)
{
    write_at(2 * PAGE, PAGE, 0);
    zone_evict(&rig);
    cr_assert_eq(memcmp(file.disk->safe, expected, SIZE), 0);
    file_expect(&rig, &file, expected);
}

Test(files, zeroed_pages_cost_no_frame_and_reach_the_file_with_a_sync)
{
    cr_assert_eq(zone_zero(&rig, &file.object, PAGE + 100, 30 * PAGE), 0);
    memset(expected + PAGE + 100, 0, 30 * PAGE);
    zone_check(&rig);
    cr_assert_eq(stats().pager.frames_file_dirty, 2, "the edges");
    file_expect(&rig, &file, expected);
    cr_assert_eq(file_sync(&rig, &file), 0);
    cr_assert_eq(memcmp(file.disk->safe, expected, SIZE), 0);
    cr_assert_eq(stats().pager.frames_file_dirty, 0);
    zone_evict(&rig);
    file_expect(&rig, &file, expected);
}

Test(files, a_large_body_moves_into_the_file)
{
    static uint8_t body[20 * PAGE + 77];

    zone_fill(body, 31, sizeof(body));
    memset(body + 5 * PAGE, 0, 4 * PAGE);
    cr_assert_eq(zone_stage(&rig, &file.object, NULL, 3 * PAGE + 11, body, sizeof(body)), 0);
    memcpy(expected + 3 * PAGE + 11, body, sizeof(body));
    zone_check(&rig);
    file_expect(&rig, &file, expected);
    cr_assert_eq(file_sync(&rig, &file), 0);
    cr_assert_eq(memcmp(file.disk->safe, expected, SIZE), 0);
}

/* The body's pages lie in swap when it is committed; some are nothing, being zeros. */
Test(files, a_body_that_was_swapped_out_meanwhile_still_reaches_the_file)
{
    static uint8_t body[20 * PAGE];
    static struct fh_stage s;

    zone_fill(body, 32, sizeof(body));
    memset(body + 5 * PAGE, 0, 4 * PAGE);
    cr_assert_eq(fh_stage_open(&rig.zone, &s, ZONE_TENANT, sizeof(body), 0), 0);
    cr_assert_eq(zone_receive(&rig, &s, body), 0);
    zone_evict(&rig);
    cr_assert_eq(
        zone_wait(&rig, &s.call, fh_stage_write(&s, &file.object.ref, 2 * PAGE, &any_time)), 0);
    memcpy(expected + 2 * PAGE, body, sizeof(body));
    zone_check(&rig);
    struct fh_object_view v;
    cr_assert_eq(fh_zone_stat(&rig.zone, &file.object.ref, &v), 0);
    cr_assert_eq(v.pages.swap, 16);
    cr_assert_eq(v.pages.dirty, 20);
    cr_assert_eq(file_sync(&rig, &file), 0);
    cr_assert_eq(memcmp(file.disk->safe, expected, SIZE), 0);
    cr_assert_eq(stats().pager.swap.slots_used, 0);
    file_expect(&rig, &file, expected);
}

Test(files, words_are_swapped_and_added_in_place)
{
    struct fh_mutation m = {.kind = FH_MUTATE_ADD, .offset = 7 * PAGE, .operand = 5};
    uint64_t before, after;

    memcpy(&before, expected + 7 * PAGE, 8);
    cr_assert_eq(zone_mutate(&rig, &m, &file.object), 0);
    cr_assert_eq(m.before, before);
    cr_assert_eq(file_sync(&rig, &file), 0);
    memcpy(&after, file.disk->safe + 7 * PAGE, 8);
    cr_assert_eq(after, before + 5);
}

/* --- what a file's object may not do --- */

Test(files, one_opened_for_reading_refuses_every_change)
{
    struct file_rig other;

    file_open(&rig, &other, 3 * PAGE, false);
    cr_assert_not(other.object.writable);
    memset(bytes, 1, PAGE);
    cr_assert_eq(zone_write(&rig, &other.object, 0, bytes, 10), -EACCES);
    cr_assert_eq(zone_zero(&rig, &other.object, 0, 3 * PAGE), -EACCES);
    cr_assert_eq(zone_stage(&rig, &other.object, NULL, 0, bytes, 2 * PAGE), -EACCES);
    cr_assert_eq(file_sync(&rig, &other), 0, "there is nothing to write");
    file_close(&rig, &other);
    file_close(&rig, &file);
    zone_expect_empty(&rig);
}

Test(files, it_is_neither_resized_nor_named)
{
    struct fh_object_view v = file.object;

    cr_assert_eq(zone_resize(&rig, &v, 10), -EOPNOTSUPP);
    cr_assert_eq(zone_resize(&rig, &v, SIZE * 2), -EOPNOTSUPP);
    cr_assert_eq(fh_zone_publish(&rig.zone, &v.ref, "n", 1, 0, &any_time, &v), -EOPNOTSUPP);
    file_expect(&rig, &file, expected);
}

Test(files, memory_is_not_synced)
{
    struct file_rig memory = {.object = zone_alloc(&rig, 100)};

    cr_assert_eq(file_sync(&rig, &memory), -EOPNOTSUPP);
}

/* --- one file, one object --- */

Test(files, opening_it_again_gives_the_same_object_and_each_opening_is_freed)
{
    struct file_rig again = file;

    cr_assert_eq(file_reopen(&rig, &again, false), 0);
    cr_assert_eq(again.object.ref.key, file.object.ref.key);
    cr_assert(again.object.writable, "the other one writes");
    file_close(&rig, &file);
    file_expect(&rig, &again, expected);
    file_close(&rig, &again);
    cr_assert_eq(fh_zone_free(&rig.zone, &again.object.ref), -ESTALE);
    zone_expect_empty(&rig);
    cr_assert_eq(stats().pager.backing.files, 0);
}

Test(files, a_reader_s_file_becomes_writable_when_a_writer_opens_it)
{
    struct file_rig other, writer;

    file_open(&rig, &other, 3 * PAGE, false);
    writer = other;
    cr_assert_eq(file_reopen(&rig, &writer, true), 0);
    cr_assert(writer.object.writable);
    memset(bytes, 1, 10);
    cr_assert_eq(zone_write(&rig, &other.object, 0, bytes, 10), 0);
}

Test(files, another_tenant_is_told_that_it_is_busy)
{
    struct fh_object_view v;

    cr_assert_eq(fh_zone_file_find(&rig.zone, ZONE_TENANT + 1, (struct fh_file_id){9, file.number},
                                   false, &v),
                 -EBUSY);
}

/* --- snapshots --- */

/* A reader of more than a window has taken its moment; then the file is written and synced. */
static void write_under_a_reader(void (*write)(void))
{
    static struct fh_reader r;
    static uint8_t moment[SIZE];

    memcpy(moment, expected, SIZE);
    memset(&r.call, 0, sizeof(r.call));
    rig.zone.pager.opts.hold_max = 4;
    int rc = fh_reader_open(&rig.zone, &r, &file.object.ref, 0, SIZE);
    cr_assert(rc == 0 || rc == -EINPROGRESS);
    cr_assert(r.is_view);
    write();
    zone_check(&rig);
    cr_assert_eq(file_sync(&rig, &file), 0);
    zone_check(&rig);
    zone_evict(&rig);
    cr_assert_eq(memcmp(file.disk->safe, expected, SIZE), 0);
    cr_assert_eq(zone_drain(&rig, &r, 0, got), 0);
    fh_reader_close(&r);
    for (uint32_t i = 0; i < SIZE; i++)
        cr_assert_eq(got[i], moment[i], "page %u of the moment", i / PAGE);
    file_expect(&rig, &file, expected);
    file_close(&rig, &file);
    zone_expect_empty(&rig);
}

static void write_pages(void)
{
    for (uint64_t at = 8; at < 36; at += 3)
        write_at(at * PAGE, 2 * PAGE, at);
}

static void write_parts(void)
{
    for (uint64_t at = 6; at < 36; at += 2)
        write_at(at * PAGE + 500, 200, at);
}

static void write_zeros(void)
{
    cr_assert_eq(zone_zero(&rig, &file.object, 5 * PAGE + 7, 30 * PAGE), 0);
    memset(expected + 5 * PAGE + 7, 0, 30 * PAGE);
}

static void write_a_body(void)
{
    static uint8_t body[30 * PAGE + 500];

    zone_fill(body, 77, sizeof(body));
    cr_assert_eq(zone_stage(&rig, &file.object, NULL, 6 * PAGE - 100, body, sizeof(body)), 0);
    memcpy(expected + 6 * PAGE - 100, body, sizeof(body));
}

Test(files, a_long_read_shows_no_page_written_after_its_moment)
{
    write_under_a_reader(write_pages);
}

Test(files, nor_parts_of_pages)
{
    write_under_a_reader(write_parts);
}

Test(files, nor_zeros)
{
    write_under_a_reader(write_zeros);
}

Test(files, nor_a_large_body)
{
    write_under_a_reader(write_a_body);
}

Test(files, a_long_read_outlives_the_object_and_the_file_waits_for_it)
{
    static struct fh_reader r;
    struct file_rig again = file;

    write_at(20 * PAGE, PAGE, 3);
    rig.zone.pager.opts.hold_max = 4;
    int rc = fh_reader_open(&rig.zone, &r, &file.object.ref, 0, SIZE);
    file_close(&rig, &file);
    zone_check(&rig);
    cr_assert_eq(file_reopen(&rig, &again, true), -EBUSY);
    zone_evict(&rig);
    cr_assert_eq(zone_drain(&rig, &r, rc, got), 0);
    cr_assert_eq(memcmp(got, expected, SIZE), 0);
    fh_reader_close(&r);
    zone_expect_empty(&rig);
    cr_assert_eq(stats().pager.backing.files, 0);
}

/* If the read for the view fails it reads again, and must not find what was written meanwhile. */
Test(files, a_page_on_its_way_to_a_long_read_is_waited_for)
{
    static struct fh_reader r;
    static struct fh_mutation m;

    rig.zone.pager.opts.hold_max = 4;
    memset(&r.call, 0, sizeof(r.call));
    rig.disk->delay_next = 10;
    cr_assert_eq(fh_reader_open(&rig.zone, &r, &file.object.ref, 0, SIZE), -EINPROGRESS);
    cr_assert(r.is_view);
    memset(bytes, 5, PAGE);
    m = (struct fh_mutation){.kind = FH_MUTATE_WRITE,
                             .ref = file.object.ref,
                             .offset = PAGE,
                             .size = PAGE,
                             .body = bytes};
    cr_assert_eq(fh_zone_mutate(&rig.zone, &m), -EINPROGRESS);
    rig.disk->dead[FH_IO_READ] = true;
    cr_assert_eq(zone_wait(&rig, &m.call, -EINPROGRESS), -EIO);
    zone_check(&rig);
    rig.disk->dead[FH_IO_READ] = false;
    fh_reader_close(&r);
    write_at(PAGE, PAGE, 5);
    file_expect(&rig, &file, expected);
}

/* --- sync --- */

Test(files, a_sync_makes_safe_what_was_written_before_it)
{
    write_at(0, 5 * PAGE, 1);
    write_at(17 * PAGE + 3, 1000, 2);
    write_at(SIZE - 1, 1, 3);
    cr_assert_neq(memcmp(file.disk->safe, expected, SIZE), 0);
    cr_assert_eq(file_sync(&rig, &file), 0);
    cr_assert_eq(memcmp(file.disk->safe, expected, SIZE), 0);
    cr_assert_eq(stats().pager.frames_file_dirty, 0);
    cr_assert_eq(stats().pager.live, 0);
    uint64_t writes = file.disk->writes;
    cr_assert_eq(file_sync(&rig, &file), 0);
    cr_assert_eq(file.disk->writes, writes, "there is nothing left to write");
}

Test(files, a_sync_of_a_range_leaves_the_rest)
{
    write_at(2 * PAGE, PAGE, 1);
    write_at(9 * PAGE, PAGE, 2);
    cr_assert_eq(file_sync_range(&rig, &file, 2 * PAGE + 7, 1), 0);
    cr_assert_eq(memcmp(file.disk->safe + 2 * PAGE, expected + 2 * PAGE, PAGE), 0);
    cr_assert_eq(stats().pager.frames_file_dirty, 1);
    cr_assert_eq(file_sync_range(&rig, &file, 0, SIZE + 1), -EINVAL);
    cr_assert_eq(file_sync_range(&rig, &file, SIZE, 0), 0);
}

Test(files, a_page_written_while_it_is_synced_is_dirty_again)
{
    static struct fh_sync s;

    write_at(0, 4 * PAGE, 1);
    s = (struct fh_sync){.ref = file.object.ref, .size = SIZE};
    rig.disk->delay_next = 3;
    cr_assert_eq(fh_zone_sync(&rig.zone, &s), -EINPROGRESS);
    write_at(PAGE, 2 * PAGE, 2);
    cr_assert_eq(zone_wait(&rig, &s.call, -EINPROGRESS), 0);
    cr_assert_eq(stats().pager.frames_file_dirty, 2);
    cr_assert_eq(file_sync(&rig, &file), 0);
    cr_assert_eq(memcmp(file.disk->safe, expected, SIZE), 0);
}

/* The bytes of a moment are on their way from the file; new ones must not overtake them. */
Test(files, a_page_is_not_written_back_while_it_is_read)
{
    static struct fh_reader r;
    static struct fh_sync s;
    static uint8_t moment[4 * PAGE];

    memcpy(moment, expected, sizeof(moment));
    memset(&r.call, 0, sizeof(r.call));
    rig.disk->delay_next = 10;
    cr_assert_eq(fh_reader_open(&rig.zone, &r, &file.object.ref, 0, sizeof(moment)), -EINPROGRESS);
    write_at(PAGE, 2 * PAGE, 5);
    s = (struct fh_sync){.ref = file.object.ref, .size = SIZE};
    cr_assert_eq(fh_zone_sync(&rig.zone, &s), -EINPROGRESS);
    zone_check(&rig);
    cr_assert_eq(zone_drain(&rig, &r, -EINPROGRESS, got), 0);
    fh_reader_close(&r);
    cr_assert_eq(memcmp(got, moment, sizeof(moment)), 0);
    cr_assert_eq(zone_wait(&rig, &s.call, -EINPROGRESS), 0);
    cr_assert_eq(memcmp(file.disk->safe, expected, SIZE), 0);
    file_expect(&rig, &file, expected);
}

/* What another program wrote, or a write that failed, may be in the page cache alone. */
Test(files, a_sync_makes_safe_what_was_there_before_the_file_was_opened)
{
    memset(file.disk->bytes, 0x44, SIZE);
    cr_assert_eq(file_sync(&rig, &file), 0);
    cr_assert_eq(memcmp(file.disk->safe, file.disk->bytes, SIZE), 0);
    cr_assert_eq(file.disk->syncs, 1);
    cr_assert_eq(file_sync(&rig, &file), 0);
    cr_assert_eq(file.disk->syncs, 1, "that is so from now on");
}

Test(files, two_syncs_at_once_both_end)
{
    static struct fh_sync a, b;

    write_at(0, 4 * PAGE, 1);
    a = b = (struct fh_sync){.ref = file.object.ref, .size = SIZE};
    cr_assert_eq(fh_zone_sync(&rig.zone, &a), -EINPROGRESS);
    cr_assert_eq(fh_zone_sync(&rig.zone, &b), -EINPROGRESS);
    cr_assert_eq(zone_wait(&rig, &b.call, -EINPROGRESS), 0);
    cr_assert_eq(zone_wait(&rig, &a.call, -EINPROGRESS), 0);
    cr_assert_eq(memcmp(file.disk->safe, expected, SIZE), 0);
}

Test(files, a_sync_can_be_cancelled_and_the_object_freed_under_it)
{
    static struct fh_sync a, b;

    write_at(0, 4 * PAGE, 1);
    a = b = (struct fh_sync){.ref = file.object.ref, .size = SIZE};
    cr_assert_eq(fh_zone_sync(&rig.zone, &a), -EINPROGRESS);
    cr_assert_eq(fh_zone_sync(&rig.zone, &b), -EINPROGRESS);
    fh_zone_sync_cancel(&a);
    zone_check(&rig);
    file_close(&rig, &file);
    zone_check(&rig);
    cr_assert_eq(zone_wait(&rig, &b.call, -EINPROGRESS), -ESTALE);
    zone_expect_empty(&rig);
}

/* --- errors --- */

Test(files, a_page_that_cannot_be_read_is_an_error_and_never_bytes)
{
    file.disk->size = 10 * PAGE + 5;
    cr_assert_eq(zone_read(&rig, &file.object.ref, 0, got, 10 * PAGE), 0);
    cr_assert_eq(memcmp(got, expected, 10 * PAGE), 0);
    cr_assert_eq(zone_read(&rig, &file.object.ref, 10 * PAGE, got, 1), -EIO);
    cr_assert_eq(zone_read(&rig, &file.object.ref, 9 * PAGE, got, 4 * PAGE), -EIO);
    zone_check(&rig);
    file.disk->size = SIZE;
    file_expect(&rig, &file, expected);
}

Test(files, a_partial_write_on_a_page_that_cannot_be_read_changes_nothing)
{
    rig.disk->dead[FH_IO_READ] = true;
    memset(bytes, 9, 10);
    cr_assert_eq(zone_write(&rig, &file.object, 100, bytes, 10), -EIO);
    write_at(PAGE, PAGE, 6);
    rig.disk->dead[FH_IO_READ] = false;
    file_expect(&rig, &file, expected);
}

Test(files, a_failed_write_back_leaves_the_page_dirty)
{
    write_at(0, 3 * PAGE, 1);
    rig.disk->next[FH_DISK_ENOSPC] = true;
    cr_assert_eq(file_sync(&rig, &file), -ENOSPC);
    zone_check(&rig);
    cr_assert_eq(stats().pager.frames_file_dirty, 3);
    file_expect(&rig, &file, expected);
    cr_assert_eq(file_sync(&rig, &file), 0, "it may work later");
    cr_assert_eq(memcmp(file.disk->safe, expected, SIZE), 0);
}

Test(files, a_failed_fdatasync_is_final_and_keeps_the_bytes)
{
    write_at(0, 3 * PAGE, 1);
    rig.disk->dead[FH_IO_DATASYNC] = true;
    cr_assert_eq(file_sync(&rig, &file), -EIO);
    rig.disk->dead[FH_IO_DATASYNC] = false;
    cr_assert_eq(file_sync(&rig, &file), -EIO, "the next one would lie");
    cr_assert_eq(stats().pager.frames_file_dirty, 3);
    file_expect(&rig, &file, expected);
    zone_evict(&rig);
    cr_assert_eq(stats().pager.swap.stored_pages, 3, "memory is short: they go to swap");
    cr_assert_eq(file.disk->writes, 1);
    file_expect(&rig, &file, expected);
    zone_check(&rig);
    file_close(&rig, &file);
    zone_expect_empty(&rig);
}

Test(files, a_file_that_takes_no_writes_lends_its_pages_to_swap)
{
    write_at(0, 6 * PAGE, 1);
    rig.disk->permille[FH_DISK_ENOSPC] = 1000;
    zone_press(&rig, true);
    (void)zone_turn(&rig);
    (void)zone_turn(&rig);
    rig.disk->permille[FH_DISK_ENOSPC] = 0;
    zone_evict(&rig);
    zone_check(&rig);
    cr_assert_eq(stats().pager.frames_free, FRAMES);
    file_expect(&rig, &file, expected);
    cr_assert_eq(file_sync(&rig, &file), 0);
    cr_assert_eq(memcmp(file.disk->safe, expected, SIZE), 0);
}

Test(files, a_page_lost_in_swap_is_lost_and_a_whole_write_heals_it)
{
    static uint8_t body[4 * PAGE];
    static struct fh_stage s;

    zone_fill(body, 32, sizeof(body));
    cr_assert_eq(fh_stage_open(&rig.zone, &s, ZONE_TENANT, sizeof(body), 0), 0);
    cr_assert_eq(zone_receive(&rig, &s, body), 0);
    zone_evict(&rig);
    cr_assert_eq(zone_wait(&rig, &s.call, fh_stage_write(&s, &file.object.ref, 0, &any_time)), 0);
    memcpy(expected, body, sizeof(body));
    zone_flip(&rig, &file.object, PAGE);
    cr_assert_eq(file_sync(&rig, &file), -EBADMSG);
    cr_assert_eq(zone_read(&rig, &file.object.ref, PAGE, got, 10), -EBADMSG);
    zone_check(&rig);
    write_at(PAGE, PAGE, 4);
    cr_assert_eq(file_sync(&rig, &file), 0);
    cr_assert_eq(memcmp(file.disk->safe, expected, SIZE), 0);
}

Test(files, check_sees_a_frame_that_is_no_file_s_and_a_count_too_high)
{
    cr_assert_eq(zone_read(&rig, &file.object.ref, 0, got, 1), 0);
    struct fh_frame frame = fh_entry_frame(zone_entry(&rig, &file.object, 0));
    struct fh_frame_record *record = fh_frames_record(&rig.zone.pager.frames, frame);

    record->file = 0;
    cr_assert_not(fh_pager_check(&rig.zone.pager, NULL));
    record->file = 1;
    rig.zone.pager.file_dirty++;
    cr_assert_not(fh_pager_check(&rig.zone.pager, NULL));
    rig.zone.pager.file_dirty--;
    zone_check(&rig);
}

Test(files, frames_of_files_move_when_the_budget_shrinks)
{
    write_at(3 * PAGE, 2 * PAGE, 5);
    file_expect(&rig, &file, expected);
    cr_assert_eq(fh_zone_set_memory(&rig.zone, (uint64_t)2 * FH_HOLD_MAX * PAGE, false), 0);
    for (uint32_t i = 0; i < 100; i++)
        (void)zone_turn(&rig);
    zone_check(&rig);
    file_expect(&rig, &file, expected);
    cr_assert_eq(file_sync(&rig, &file), 0);
    cr_assert_eq(memcmp(file.disk->safe, expected, SIZE), 0);
}

Test(files, room_taken_by_dirty_pages_is_waited_for_and_by_stuck_ones_is_not)
{
    static struct zone_rig small;
    struct file_rig other;
    static uint8_t body[16 * PAGE];

    zone_open(&small, 40, 0, 12);
    file_open(&small, &other, 64 * PAGE, true);
    for (uint32_t i = 0; i < 4; i++) {
        zone_fill(body, i + 1, sizeof(body));
        cr_assert_eq(zone_stage(&small, &other.object, NULL, i * sizeof(body), body, sizeof(body)),
                     0);
    }
    small.disk->permille[FH_DISK_ENOSPC] = 1000;
    int rc = 0;
    for (uint32_t i = 0; i < 4 && rc == 0; i++)
        rc = zone_stage(&small, &other.object, NULL, i * sizeof(body), body, sizeof(body));
    cr_assert_eq(rc, -ENOSPC);
    small.disk->permille[FH_DISK_ENOSPC] = 0;
    small.now_ms += 1000;
    cr_assert_eq(zone_stage(&small, &other.object, NULL, 0, body, sizeof(body)), 0);
    cr_assert_eq(file_sync(&small, &other), 0);
    file_close(&small, &other);
    zone_expect_empty(&small);
    zone_close(&small);
}

Test(files, many_files_are_told_apart)
{
    static struct file_rig many[20];

    for (uint32_t i = 0; i < 20; i++) {
        file_open(&rig, &many[i], 3 * PAGE + i, true);
        memset(bytes, (int)i + 1, 2 * PAGE);
        cr_assert_eq(zone_write(&rig, &many[i].object, PAGE / 2, bytes, 2 * PAGE), 0);
    }
    zone_evict(&rig);
    zone_check(&rig);
    for (uint32_t i = 0; i < 20; i++) {
        cr_assert_eq(zone_read(&rig, &many[i].object.ref, 0, got, 3 * PAGE), 0);
        cr_assert_eq(memcmp(got, many[i].disk->bytes, 3 * PAGE), 0);
        cr_assert_eq(got[PAGE], i + 1);
        file_close(&rig, &many[i]);
    }
    file_close(&rig, &file);
    zone_expect_empty(&rig);
}

Test(files, an_empty_file_is_an_empty_object)
{
    struct file_rig empty;

    file_open(&rig, &empty, 0, true);
    cr_assert_eq(zone_read(&rig, &empty.object.ref, 0, got, 0), 0);
    cr_assert_eq(zone_write(&rig, &empty.object, 0, bytes, 1), -EINVAL);
    cr_assert_eq(file_sync(&rig, &empty), 0);
    file_close(&rig, &empty);
}
