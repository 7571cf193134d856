/* Large bodies on their way in: all or nothing, whatever comes between. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/zone_rig.h"

enum { LARGE = 500000 };

static struct zone_rig rig;
static struct fh_stage stage;
static uint8_t body[LARGE], got[LARGE], expected[LARGE];

static void setup(void)
{
    zone_open(&rig, 64, 511, 20);
    zone_fill(body, 42, sizeof(body));
    memset(&stage.call, 0, sizeof(stage.call));
}

static void teardown(void)
{
    zone_close(&rig);
}

static void free_object(struct fh_object_view *v)
{
    cr_assert_eq(fh_zone_free(&rig.zone, &v->ref), 0);
}

/* Offers windows and takes `size` bytes in all, in parts of at most `part`. */
static void receive(uint64_t size, uint64_t part)
{
    uint64_t end = stage.received + size;

    while (stage.received < end) {
        cr_assert_eq(zone_wait(&rig, &stage.call, fh_stage_window(&stage)), 0);
        uint64_t most = end - stage.received < part ? end - stage.received : part, moved = 0;
        for (uint32_t i = 0; i < stage.iov_count && moved < most; i++) {
            uint64_t n = stage.iov[i].iov_len < most - moved ? stage.iov[i].iov_len : most - moved;
            memcpy(stage.iov[i].iov_base, body + stage.received + moved, n);
            moved += n;
        }
        fh_stage_advance(&stage, moved);
    }
}

static void expect_object(struct fh_object_view *v, uint64_t size)
{
    cr_assert_eq(v->size, size);
    cr_assert_eq(zone_read(&rig, &v->ref, 0, got, size), 0);
    cr_assert_eq(memcmp(got, expected, size), 0);
}

TestSuite(stage, .init = setup, .fini = teardown, .timeout = 30);

Test(stage, a_put_of_every_size_is_what_was_sent)
{
    static const uint64_t sizes[] = {1, 4095, 4096, 4097, 8192, 79999, 81920, LARGE};

    memcpy(expected, body, sizeof(expected));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fh_object_view v;
        cr_assert_eq(zone_stage(&rig, &v, "name", 0, body, sizes[i]), 0);
        cr_assert(v.sealed);
        expect_object(&v, sizes[i]);
        zone_check(&rig);
        zone_evict(&rig);
        expect_object(&v, sizes[i]);
    }
    cr_assert_eq(rig.zone.objects.count, 1, "each replaced the one before it");
    cr_assert_eq(fh_zone_delete(&rig.zone, ZONE_TENANT, "name", 4, &any_time), 0);
    zone_expect_empty(&rig);
}

Test(stage, a_write_anywhere_replaces_its_range_and_nothing_else)
{
    static const struct {
        uint64_t offset, size;
    } cases[] = {
        {0, LARGE},   {0, 4096},      {1, 4095},     {1, 4096},        {4096, 100000},
        {4095, 1},    {4095, 100001}, {5000, 90000}, {123457, 200000}, {LARGE - 5000, 5000},
        {12288, 8193}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int cold = 0; cold < 3; cold++) {
            struct fh_object_view v = zone_alloc(&rig, LARGE);
            memset(expected, 0, sizeof(expected));
            if (cold < 2) { /* something lies there before */
                zone_fill(expected, 7, LARGE);
                cr_assert_eq(zone_stage(&rig, &v, NULL, 0, expected, LARGE), 0);
            }
            if (cold == 1)
                zone_evict(&rig);
            memcpy(expected + cases[i].offset, body, cases[i].size);
            cr_assert_eq(zone_stage(&rig, &v, NULL, cases[i].offset, body, cases[i].size), 0);
            expect_object(&v, LARGE);
            zone_check(&rig);
            free_object(&v);
        }
    zone_expect_empty(&rig);
}

Test(stage, arriving_byte_by_byte_or_in_odd_parts_is_the_same)
{
    static const uint64_t parts[] = {1, 7, 4095, 4097, 50000};

    memcpy(expected, body, sizeof(expected));
    for (int i = 0; i < 5; i++) {
        uint64_t size = parts[i] < 100 ? 9000 : 150000;
        struct fh_object_view v = zone_alloc(&rig, LARGE);
        cr_assert_eq(fh_stage_open(&rig.zone, &stage, ZONE_TENANT, size, 100), 0);
        receive(size, parts[i]);
        cr_assert_eq(zone_wait(&rig, &stage.call, fh_stage_write(&stage, &v.ref, 100, &any_time)),
                     0);
        cr_assert_eq(zone_read(&rig, &v.ref, 100, got, size), 0);
        cr_assert_eq(memcmp(got, body, size), 0);
        free_object(&v);
    }
    zone_expect_empty(&rig);
}

Test(stage, nothing_is_seen_before_the_commit_and_everything_after)
{
    struct fh_object_view v = zone_alloc(&rig, LARGE);
    uint64_t version = v.version;

    cr_assert_eq(fh_stage_open(&rig.zone, &stage, ZONE_TENANT, 100000, 50), 0);
    receive(100000, 30000);
    zone_check(&rig);
    memset(expected, 0, sizeof(expected));
    expect_object(&v, LARGE);
    cr_assert_eq(fh_zone_find(&rig.zone, &v.ref, &v), 0);
    cr_assert_eq(v.version, version);
    cr_assert_eq(zone_wait(&rig, &stage.call, fh_stage_write(&stage, &v.ref, 50, &any_time)), 0);
    memcpy(expected + 50, body, 100000);
    expect_object(&v, LARGE);
    cr_assert_gt(stage.object.version, version);
}

Test(stage, an_abort_at_any_time_leaves_nothing)
{
    for (uint64_t received = 0; received <= 100000; received += 12500)
        for (int waits = 0; waits < 2; waits++) {
            cr_assert_eq(fh_stage_open(&rig.zone, &stage, ZONE_TENANT, 100000, 50), 0);
            receive(received, 5000);
            if (waits && received < 100000)
                cr_assert_eq(zone_wait(&rig, &stage.call, fh_stage_window(&stage)), 0);
            if (received % 25000 == 0)
                zone_evict(&rig);
            fh_stage_abort(&stage);
            zone_expect_empty(&rig);
        }
}

Test(stage, received_pages_may_go_to_swap_before_the_last_byte_comes)
{
    struct fh_object_view v;

    cr_assert_eq(fh_stage_open(&rig.zone, &stage, ZONE_TENANT, LARGE, 0), 0);
    for (uint64_t at = 0; at < LARGE; at += 100000) {
        receive(100000, 33333);
        zone_evict(&rig);
        cr_assert_eq(rig.zone.pager.frames.free, 64, "between windows nothing is held");
        zone_check(&rig);
    }
    uint64_t reads = rig.disk->io.reads;
    cr_assert_eq(zone_wait(&rig, &stage.call, fh_stage_put(&stage, "n", 1, 0, &any_time)), 0);
    cr_assert_eq(rig.disk->io.reads, reads, "the commit moves entries");
    v = stage.object;
    memcpy(expected, body, LARGE);
    expect_object(&v, LARGE);
}

Test(stage, a_refused_commit_changes_nothing_and_is_aborted)
{
    struct fh_object_view v = zone_alloc(&rig, LARGE), small = zone_alloc(&rig, 30000);
    struct fh_cond wrong = {.if_version = v.version + 100}, absent = {.if_absent = true};
    struct fh_ref forged = v.ref;

    forged.key ^= 1;
    cr_assert_eq(zone_put(&rig, "taken", "x", 1, 0, &any_time, NULL), 0);
    cr_assert_eq(fh_stage_open(&rig.zone, &stage, ZONE_TENANT, 20000, 0), 0);
    receive(20000, 20000);
    cr_assert_eq(fh_stage_write(&stage, &v.ref, 0, &wrong), -ECANCELED);
    cr_assert_eq(fh_stage_write(&stage, &forged, 0, &any_time), -ESTALE);
    cr_assert_eq(fh_stage_write(&stage, &v.ref, LARGE, &any_time), -EINVAL);
    cr_assert_eq(fh_stage_write(&stage, &v.ref, LARGE - 19999, &any_time), -EINVAL);
    cr_assert_eq(fh_stage_write(&stage, &v.ref, 1, &any_time), -EINVAL,
                 "another place in the page");
    cr_assert_eq(fh_stage_write(&stage, &small.ref, 0, &any_time), -EINVAL, "it shares its pages");
    cr_assert_eq(fh_stage_put(&stage, "taken", 5, 0, &absent), -EEXIST);
    cr_assert_eq(fh_stage_put(&stage, "taken", 5, 0, &wrong), -ECANCELED);
    cr_assert_eq(fh_stage_put(&stage, "taken", 0, 0, &any_time), -EINVAL);
    zone_check(&rig);
    memset(expected, 0, sizeof(expected));
    expect_object(&v, LARGE);
    cr_assert_eq(fh_stage_put(&stage, "name", 4, 0, &absent), 0, "and then it may");
    v = stage.object;
    memcpy(expected, body, 20000);
    expect_object(&v, 20000);
}

Test(stage, sizes_and_places_that_cannot_be_are_refused)
{
    cr_assert_eq(fh_stage_open(&rig.zone, &stage, 1, 0, 0), -EINVAL);
    cr_assert_eq(fh_stage_open(&rig.zone, &stage, 1, FH_OBJECT_SIZE_MAX + 1, 0), -EINVAL);
    cr_assert_eq(fh_stage_open(&rig.zone, &stage, 1, 10000, FH_PAGE_SIZE), -EINVAL);
    cr_assert_eq(fh_stage_open(&rig.zone, &stage, 1, 10, 1), -EINVAL, "not to the page's end");
    zone_expect_empty(&rig);
}

Test(stage, no_space_is_told_before_the_first_byte)
{
    uint64_t capacity = 64 + 511 - 40;

    cr_assert_eq(fh_stage_open(&rig.zone, &stage, 1, (capacity + 1) * FH_PAGE_SIZE, 0), -ENOSPC);
    zone_expect_empty(&rig);
    cr_assert_eq(fh_stage_open(&rig.zone, &stage, 1, capacity * FH_PAGE_SIZE, 0), 0);
    struct fh_object_view v = zone_alloc(&rig, 10000);
    cr_assert_eq(zone_write(&rig, &v, 0, "x", 1), -ENOSPC, "it is promised");
    fh_stage_abort(&stage);
    cr_assert_eq(zone_write(&rig, &v, 0, "x", 1), 0);
}

Test(stage, every_failed_request_for_memory_at_the_start_gives_all_back)
{
    uint64_t n = 1;

    for (;; n++) {
        rig.zone.mem.failed = false;
        rig.zone.mem.fail_at = rig.zone.mem.calls + n;
        int rc = fh_stage_open(&rig.zone, &stage, ZONE_TENANT, 100000, 0);
        if (!rig.zone.mem.failed) {
            cr_assert_eq(rc, 0);
            break;
        }
        cr_assert_eq(rc, -ENOMEM);
        zone_expect_empty(&rig);
    }
    cr_assert_gt(n, 1);
    rig.zone.mem.fail_at = 0;
    fh_stage_abort(&stage);
    zone_expect_empty(&rig);
}

Test(stage, a_commit_that_waits_for_edge_pages_can_be_aborted)
{
    struct fh_object_view v = zone_alloc(&rig, LARGE);

    zone_fill(expected, 7, LARGE);
    cr_assert_eq(zone_stage(&rig, &v, NULL, 0, expected, LARGE), 0);
    zone_evict(&rig);
    cr_assert_eq(fh_stage_open(&rig.zone, &stage, ZONE_TENANT, 100000, 50), 0);
    receive(100000, 50000);
    rig.disk->hang = true;
    cr_assert_eq(fh_stage_write(&stage, &v.ref, 50, &any_time), -EINPROGRESS);
    zone_check(&rig);
    fh_stage_abort(&stage);
    zone_check(&rig);
    rig.disk->hang = false;
    expect_object(&v, LARGE);
    free_object(&v);
    zone_expect_empty(&rig);
}

Test(stage, edges_are_merged_with_what_is_there_at_the_commit)
{
    struct fh_object_view v = zone_alloc(&rig, LARGE);

    zone_fill(expected, 7, LARGE);
    cr_assert_eq(zone_stage(&rig, &v, NULL, 0, expected, LARGE), 0);
    zone_evict(&rig);
    cr_assert_eq(fh_stage_open(&rig.zone, &stage, ZONE_TENANT, 100000, 50), 0);
    receive(100000, 50000);
    cr_assert_eq(fh_stage_write(&stage, &v.ref, 50, &any_time), -EINPROGRESS);
    static uint8_t page[FH_PAGE_SIZE];
    memset(page, 0xAB, sizeof(page));
    cr_assert_eq(zone_write(&rig, &v, 0, page, sizeof(page)), 0); /* the head's page, meanwhile */
    cr_assert_eq(zone_wait(&rig, &stage.call, -EINPROGRESS), 0);
    memset(expected, 0xAB, 50);
    memcpy(expected + 50, body, 100000);
    expect_object(&v, LARGE);
}

Test(stage, a_failing_disk_refuses_the_commit_and_changes_nothing)
{
    struct fh_object_view v = zone_alloc(&rig, LARGE);

    zone_fill(expected, 7, LARGE);
    cr_assert_eq(zone_stage(&rig, &v, NULL, 0, expected, LARGE), 0);
    zone_evict(&rig);
    rig.disk->dead[FH_IO_READ] = true;
    cr_assert_eq(zone_stage(&rig, &v, NULL, 50, body, 100000), -EIO);
    rig.disk->dead[FH_IO_READ] = false;
    expect_object(&v, LARGE);
    free_object(&v);
    zone_expect_empty(&rig);
}

Test(stage, a_reader_of_the_old_bytes_is_not_disturbed)
{
    static struct fh_reader r;
    struct fh_object_view v = zone_alloc(&rig, LARGE);

    zone_fill(expected, 7, LARGE);
    cr_assert_eq(zone_stage(&rig, &v, NULL, 0, expected, LARGE), 0);
    int rc = fh_reader_open(&rig.zone, &r, &v.ref, 0, LARGE);
    cr_assert_eq(zone_stage(&rig, &v, NULL, 50, body, 200000), 0);
    zone_check(&rig);
    zone_evict(&rig);
    zone_check(&rig);
    cr_assert_eq(zone_drain(&rig, &r, rc, got), 0);
    cr_assert_eq(memcmp(got, expected, LARGE), 0);
    fh_reader_close(&r);
    memcpy(expected + 50, body, 200000);
    expect_object(&v, LARGE);
}
