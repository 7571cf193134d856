/* Reads at a glance: the same bytes and the same refusals as a reader's, or a plain "not at once". */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/zone_rig.h"

enum { MOST = 16384 };

static struct zone_rig rig;
static struct fh_glance glance;
static uint8_t got[1 << 17], expected[1 << 17];

static void setup(void)
{
    zone_open(&rig, 150, 511, 20);
}

static void teardown(void)
{
    zone_close(&rig);
}

TestSuite(glance, .init = setup, .fini = teardown, .timeout = 30);

static uint64_t gathered(void)
{
    uint64_t size = 0;

    for (uint32_t i = 0; i < glance.iov_count; i++) {
        memcpy(got + size, glance.iov[i].iov_base, glance.iov[i].iov_len);
        size += glance.iov[i].iov_len;
    }
    return size;
}

static struct fh_object_view filled(uint64_t what, uint64_t size)
{
    struct fh_object_view v = zone_alloc(&rig, size);

    zone_fill(expected, what, size);
    for (uint64_t at = 0; at < size; at += FH_WRITE_MAX) {
        uint64_t part = size - at < FH_WRITE_MAX ? size - at : FH_WRITE_MAX;
        cr_assert_eq(zone_write(&rig, &v, at, expected + at, part), 0);
    }
    return v;
}

static int look(const struct fh_object_view *v, uint64_t offset, uint64_t size)
{
    return fh_zone_glance(&rig.zone, &v->ref, offset, size, MOST, &glance);
}

Test(glance, every_range_of_objects_of_every_kind)
{
    static const uint64_t sizes[] = {0, 1, 16, 4095, 4096, 4097, 20000, 32768, 80000};
    struct rng g = rng_from_env("glance");

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fh_object_view v = filled(9, sizes[i]);
        for (int k = 0; k < 100; k++) {
            uint64_t offset = rng_below(&g, sizes[i] + 1);
            uint64_t size = rng_below(&g, sizes[i] - offset + 1);
            cr_assert_eq(look(&v, offset, size), size <= MOST ? 0 : -EAGAIN);
            if (size > MOST)
                continue;
            cr_assert_eq(glance.bytes, size);
            cr_assert_eq(gathered(), size);
            cr_assert_eq(memcmp(got, expected + offset, size), 0);
            cr_assert_eq(glance.object.version, v.version);
            cr_assert_eq(glance.object.size, sizes[i]);
        }
        cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    }
    zone_expect_empty(&rig);
}

Test(glance, what_was_never_written_is_zeros)
{
    static const uint64_t sizes[] = {100, 4096, 30000, 1 << 20};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fh_object_view v = zone_alloc(&rig, sizes[i]);
        uint64_t size = sizes[i] < MOST ? sizes[i] : MOST;
        cr_assert_eq(zone_write(&rig, &v, 0, "abc", 3), 0);
        memset(expected, 0, size);
        memcpy(expected, "abc", 3);
        cr_assert_eq(look(&v, 0, size), 0);
        cr_assert_eq(gathered(), size);
        cr_assert_eq(memcmp(got, expected, size), 0);
    }
}

Test(glance, ranges_outside_the_object_are_refused)
{
    struct fh_object_view v = filled(9, 100);

    cr_assert_eq(look(&v, 0, 101), -EINVAL);
    cr_assert_eq(look(&v, 101, 0), -EINVAL);
    cr_assert_eq(look(&v, 1, UINT64_MAX), -EINVAL);
    cr_assert_eq(look(&v, UINT64_MAX, 2), -EINVAL);
    cr_assert_eq(look(&v, 100, 0), 0, "nothing, at the end");
    cr_assert_eq(glance.iov_count, 0);
}

Test(glance, a_handle_that_leads_nowhere_is_stale)
{
    struct fh_object_view v = filled(9, 100);

    v.ref.key ^= 1;
    cr_assert_eq(look(&v, 0, 1), -ESTALE);
    v.ref.key ^= 1;
    v.ref.tenant++;
    cr_assert_eq(look(&v, 0, 1), -ESTALE);
}

Test(glance, a_page_in_swap_is_left_to_a_reader_and_seen_afterwards)
{
    struct fh_object_view v = filled(9, 9000);

    zone_evict(&rig);
    cr_assert_eq(look(&v, 0, 9000), -EAGAIN);
    cr_assert_eq(zone_read(&rig, &v.ref, 0, got, 9000), 0);
    cr_assert_eq(look(&v, 0, 9000), 0);
    cr_assert_eq(gathered(), 9000);
    cr_assert_eq(memcmp(got, expected, 9000), 0);
}

Test(glance, a_name_is_followed_with_its_condition)
{
    struct fh_read_name by = {.name = "n", .size = 1, .tenant = ZONE_TENANT, .limit = UINT64_MAX};

    zone_fill(expected, 3, 500);
    cr_assert_eq(fh_zone_glance_name(&rig.zone, &by, MOST, &glance), -ENOENT);
    cr_assert_eq(zone_put(&rig, "n", expected, 500, 0, &any_time, NULL), 0);
    by.offset = 100;
    cr_assert_eq(fh_zone_glance_name(&rig.zone, &by, MOST, &glance), 0);
    cr_assert_eq(gathered(), 400, "cut to the object");
    cr_assert_eq(memcmp(got, expected + 100, 400), 0);
    by.limit = 7;
    cr_assert_eq(fh_zone_glance_name(&rig.zone, &by, MOST, &glance), 0);
    cr_assert_eq(gathered(), 7);
    by.offset = 501;
    cr_assert_eq(fh_zone_glance_name(&rig.zone, &by, MOST, &glance), -EINVAL);
    by.offset = 0;
    by.if_version = glance.object.version;
    cr_assert_eq(fh_zone_glance_name(&rig.zone, &by, MOST, &glance), 0);
    by.if_version++;
    cr_assert_eq(fh_zone_glance_name(&rig.zone, &by, MOST, &glance), -ECANCELED);
}

Test(glance, nothing_is_held_afterwards)
{
    struct fh_object_view v = filled(9, 5000);

    cr_assert_eq(look(&v, 0, 5000), 0);
    zone_check(&rig);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    zone_expect_empty(&rig);
}
