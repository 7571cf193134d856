/* Several ranges of one object, read or written at one moment. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/zone_rig.h"

enum { OBJECT_MAX = 200000, HOLD = 20, BYTES_MAX = 65536 };

static struct zone_rig rig;
static struct fh_ranges one, other;
static uint8_t model[OBJECT_MAX], got[BYTES_MAX], body[BYTES_MAX], all[OBJECT_MAX];

static void setup(void)
{
    zone_open(&rig, 64, 255, HOLD);
    memset(model, 0, sizeof(model));
}

static void teardown(void)
{
    zone_close(&rig);
}

static struct fh_ranges *ranges(struct fh_ranges *r, const struct fh_object_view *v, bool writes,
                                uint32_t count, const struct fh_range *items)
{
    memset(&r->call, 0, sizeof(r->call));
    r->writes = writes;
    r->ref = v->ref;
    r->cond = any_time;
    r->count = count;
    memcpy(r->items, items, count * sizeof(items[0]));
    r->body = body;
    r->into = got;
    return r;
}

static int run(struct fh_ranges *r)
{
    return zone_wait(&rig, &r->call, fh_zone_ranges(&rig.zone, r));
}

static void model_write(const struct fh_ranges *r)
{
    const uint8_t *from = r->body;

    for (uint32_t i = 0; i < r->count; i++) {
        memcpy(model + r->items[i].offset, from, r->items[i].size);
        from += r->items[i].size;
    }
}

static void expect_got(const struct fh_ranges *r)
{
    const uint8_t *at = got;

    for (uint32_t i = 0; i < r->count; i++) {
        cr_assert_eq(memcmp(at, model + r->items[i].offset, r->items[i].size), 0, "range %u", i);
        at += r->items[i].size;
    }
}

static void expect_object(const struct fh_object_view *v)
{
    for (uint64_t at = 0; at < v->size; at += FH_WRITE_MAX) {
        uint64_t part = v->size - at < FH_WRITE_MAX ? v->size - at : FH_WRITE_MAX;
        cr_assert_eq(zone_read(&rig, &v->ref, at, all + at, part), 0);
    }
    cr_assert_eq(memcmp(all, model, v->size), 0);
}

TestSuite(ranges, .init = setup, .fini = teardown, .timeout = 60);

/* Ranges in any order, some empty, some over each other, of few enough pages. */
static uint32_t random_ranges(struct rng *r, uint64_t size, struct fh_range *items)
{
    uint32_t count = 1 + (uint32_t)rng_below(r, 6);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t most = size < 6000 ? size : 6000;
        items[i].size = rng_below(r, 4) == 0 ? rng_below(r, most + 1) : rng_below(r, most / 8 + 1);
        items[i].offset = rng_below(r, size - items[i].size + 1);
    }
    return count;
}

Test(ranges, a_random_walk_reads_what_was_written_whatever_left_memory)
{
    static const uint64_t sizes[] = {1, 100, 5000, 32768, 40000, OBJECT_MAX};
    struct rng r = rng_from_env("ranges");
    struct fh_range items[FH_RANGES_MAX];

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fh_object_view v = zone_alloc(&rig, sizes[i]);
        memset(model, 0, sizeof(model));
        for (uint32_t step = 0; step < 60; step++) {
            bool writes = rng_below(&r, 2) == 0;
            uint32_t count = random_ranges(&r, v.size, items);
            uint64_t before = v.version;
            zone_fill(body, step + 1, sizeof(body));
            cr_assert_eq(run(ranges(&one, &v, writes, count, items)), 0);
            v = one.object;
            if (writes) {
                cr_assert_gt(v.version, before);
                model_write(&one);
            } else {
                cr_assert_eq(v.version, before);
                expect_got(&one);
            }
            if (rng_below(&r, 8) == 0)
                zone_evict(&rig);
            zone_check(&rig);
        }
        expect_object(&v);
        cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    }
    zone_expect_empty(&rig);
}

Test(ranges, what_a_predecessor_left_in_a_slab_does_not_show)
{
    struct fh_object_view v = zone_alloc(&rig, 8000);

    memset(body, 0xEE, sizeof(body));
    cr_assert_eq(zone_write(&rig, &v, 0, body, 8000), 0);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    v = zone_alloc(&rig, 8000);
    struct fh_range items[] = {{7000, 10}, {100, 10}};
    cr_assert_eq(run(ranges(&one, &v, true, 2, items)), 0);
    model_write(&one);
    expect_object(&one.object);
}

Test(ranges, a_refused_write_changes_nothing)
{
    struct fh_object_view v = zone_alloc(&rig, 10000);
    struct fh_range items[] = {{0, 100}, {9999, 2}};

    memset(body, 1, sizeof(body));
    cr_assert_eq(run(ranges(&one, &v, true, 2, items)), -EINVAL);
    items[1] = (struct fh_range){UINT64_MAX, 2};
    cr_assert_eq(run(ranges(&one, &v, true, 2, items)), -EINVAL);
    items[1] = (struct fh_range){5000, 100};
    ranges(&one, &v, true, 2, items);
    one.cond.if_version = v.version + 1;
    cr_assert_eq(run(&one), -ECANCELED);
    one.ref.key++;
    cr_assert_eq(run(&one), -ESTALE);
    expect_object(&v);
    one.ref.key--;
    one.cond.if_version = v.version;
    cr_assert_eq(run(&one), 0);
    cr_assert_gt(one.object.version, v.version);
}

Test(ranges, more_pages_than_can_be_held_are_too_many)
{
    struct fh_object_view v = zone_alloc(&rig, OBJECT_MAX);
    struct fh_range items[HOLD + 1];

    for (uint32_t i = 0; i <= HOLD; i++)
        items[i] = (struct fh_range){(uint64_t)2 * i * FH_PAGE_SIZE, 1};
    cr_assert_eq(run(ranges(&one, &v, true, HOLD + 1, items)), -EFBIG);
    cr_assert_eq(run(ranges(&one, &v, false, HOLD + 1, items)), -EFBIG);
    cr_assert_eq(run(ranges(&one, &v, true, HOLD, items)), 0);
    cr_assert_eq(run(ranges(&one, &v, false, HOLD, items)), 0);
    model_write(&one);
    expect_got(&one);
}

Test(ranges, a_read_that_waits_sees_a_write_whole_or_not_at_all)
{
    struct fh_object_view v = zone_alloc(&rig, OBJECT_MAX);
    struct fh_range items[] = {{10, 1000}, {90000, 1000}, {150000, 1000}};

    memset(body, 1, sizeof(body));
    cr_assert_eq(run(ranges(&one, &v, true, 3, items)), 0);
    zone_evict(&rig);
    int read = fh_zone_ranges(&rig.zone, ranges(&one, &v, false, 3, items));
    cr_assert_eq(read, -EINPROGRESS);
    memset(body, 2, sizeof(body));
    int written = fh_zone_ranges(&rig.zone, ranges(&other, &v, true, 3, items));
    cr_assert_eq(zone_wait(&rig, &one.call, read), 0);
    cr_assert(got[0] == 1 || got[0] == 2);
    for (uint32_t i = 0; i < 3000; i++)
        cr_assert_eq(got[i], got[0], "byte %u", i);
    cr_assert_eq(zone_wait(&rig, &other.call, written), 0);
    model_write(&other);
    cr_assert_eq(run(ranges(&one, &v, false, 3, items)), 0);
    expect_got(&one);
}

Test(ranges, one_that_is_cancelled_did_not_happen)
{
    struct fh_object_view v = zone_alloc(&rig, OBJECT_MAX);
    struct fh_range items[] = {{0, 10}, {100000, 10}};

    zone_fill(body, 3, sizeof(body));
    cr_assert_eq(run(ranges(&one, &v, true, 2, items)), 0);
    model_write(&one);
    zone_evict(&rig);
    zone_fill(body, 4, sizeof(body));
    cr_assert_eq(fh_zone_ranges(&rig.zone, ranges(&one, &v, true, 2, items)), -EINPROGRESS);
    fh_zone_ranges_cancel(&one);
    zone_quiet(&rig);
    expect_object(&v);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    zone_expect_empty(&rig);
}

Test(ranges, a_lost_page_fails_all_of_them_and_the_others_stay_good)
{
    struct fh_object_view v = zone_alloc(&rig, OBJECT_MAX);
    struct fh_range items[] = {{0, 10}, {100000, 10}};

    zone_fill(body, 3, sizeof(body));
    cr_assert_eq(run(ranges(&one, &v, true, 2, items)), 0);
    zone_evict(&rig);
    zone_flip(&rig, &v, 100000);
    cr_assert_eq(run(ranges(&one, &v, false, 2, items)), -EBADMSG);
    zone_fill(body, 4, sizeof(body));
    cr_assert_eq(run(ranges(&one, &v, true, 2, items)), -EBADMSG);
    cr_assert_eq(run(ranges(&one, &v, false, 1, items)), 0);
    zone_fill(body, 3, sizeof(body));
    cr_assert_eq(memcmp(got, body, 10), 0);
}

Test(ranges, a_disk_that_fails_fails_all_of_them)
{
    struct fh_object_view v = zone_alloc(&rig, OBJECT_MAX);
    struct fh_range items[] = {{10, 10}, {100000, 10}};

    zone_fill(body, 3, sizeof(body));
    cr_assert_eq(run(ranges(&one, &v, true, 2, items)), 0);
    model_write(&one);
    zone_evict(&rig);
    rig.disk->dead[FH_IO_READ] = true;
    zone_fill(body, 4, sizeof(body));
    cr_assert_eq(run(ranges(&one, &v, false, 2, items)), -EIO);
    cr_assert_eq(run(ranges(&one, &v, true, 2, items)), -EIO);
    rig.disk->dead[FH_IO_READ] = false;
    expect_object(&v);
}

Test(ranges, each_request_for_memory_may_fail_and_nothing_has_changed)
{
    struct fh_range items[] = {{10, 10}, {UINT64_C(1) << 32, 10}, {UINT64_C(1) << 33, 10}};
    struct fh_mem *mem = &rig.zone.mem;
    uint64_t failures = 0;

    for (bool failed = true; failed; failures += failed) {
        struct fh_object_view v = zone_alloc(&rig, (UINT64_C(1) << 33) + 100), now;
        mem->fail_at = mem->calls + failures + 1;
        int rc = run(ranges(&one, &v, true, 3, items));
        failed = rc == -ENOMEM;
        mem->fail_at = 0;
        cr_assert(rc == 0 || failed, "%s", strerror(-rc));
        cr_assert_eq(fh_zone_find(&rig.zone, &v.ref, &now), 0);
        cr_assert_eq(now.version == v.version, failed);
        zone_check(&rig);
        cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
        zone_quiet(&rig);
    }
}
