/* Objects of typed caches in a zone: they read as the initial bytes where they were not written. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/zone_rig.h"

enum { SIZE = 30000 };

static struct zone_rig rig;
static uint8_t initial[SIZE], model[SIZE], got[SIZE];

static void setup(void)
{
    zone_open(&rig, 64, 255, 20);
    zone_fill(initial, 42, SIZE);
}

static void teardown(void)
{
    zone_close(&rig);
}

TestSuite(typed, .init = setup, .fini = teardown, .timeout = 30);

static int create(const char *name, uint64_t size, uint64_t initial_size)
{
    return fh_zone_cache_create(&rig.zone, ZONE_TENANT,
                                &(struct fh_cache_spec){.name = name,
                                                        .name_size = strlen(name),
                                                        .object_size = size,
                                                        .initial = initial,
                                                        .initial_size = initial_size});
}

static int destroy(const char *name)
{
    return fh_zone_cache_destroy(&rig.zone, ZONE_TENANT, name, strlen(name));
}

static int alloc_from(const char *name, uint64_t size, struct fh_object_view *v)
{
    return fh_zone_alloc_typed(&rig.zone, ZONE_TENANT, name, strlen(name), size, 0, v);
}

/* An object of a fresh cache "c" and, in `model`, what it reads as. */
static struct fh_object_view object_of(uint64_t size, uint64_t initial_size)
{
    struct fh_object_view v;

    cr_assert_eq(create("c", size, initial_size), 0);
    cr_assert_eq(alloc_from("c", size, &v), 0);
    memset(model, 0, SIZE);
    memcpy(model, initial, initial_size);
    return v;
}

static void expect_model(const struct fh_object_view *v)
{
    memset(got, 0x5a, SIZE);
    cr_assert_eq(zone_read(&rig, &v->ref, 0, got, v->size), 0);
    for (uint64_t i = 0; i < v->size; i++)
        cr_assert_eq(got[i], model[i], "byte %lu", (unsigned long)i);
    zone_check(&rig);
}

static void drop(const struct fh_object_view *v)
{
    cr_assert_eq(fh_zone_free(&rig.zone, &v->ref), 0);
    cr_assert_eq(destroy("c"), 0);
    zone_expect_empty(&rig);
}

static const uint64_t sizes[] = {1, 8, 100, 4096, 5000, SIZE};

Test(typed, a_new_object_reads_as_the_initial_bytes_and_touches_no_page)
{
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (uint64_t part = 1; part <= 2; part++) {
            struct fh_object_view v = object_of(sizes[i], sizes[i] / part);
            cr_assert(v.small);
            expect_model(&v);
            cr_assert_eq(fh_zone_stat(&rig.zone, &v.ref, &v), 0);
            cr_assert_eq(v.pages.frame, 0);
            drop(&v);
        }
}

Test(typed, every_part_of_the_initial_bytes_can_be_read_alone)
{
    struct fh_object_view v = object_of(SIZE, SIZE);

    for (uint64_t at = 0; at < SIZE; at += 1234)
        for (uint64_t size = 0; size <= SIZE - at; size += 4321) {
            cr_assert_eq(zone_read(&rig, &v.ref, at, got, size), 0);
            cr_assert_eq(memcmp(got, initial + at, size), 0);
        }
    drop(&v);
}

Test(typed, a_write_fills_the_gap_with_the_initial_bytes)
{
    static const uint64_t places[] = {0, 1, 4095, 4096, 9000, SIZE - 10};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct fh_object_view v = object_of(SIZE, SIZE);
        memset(model + places[i], 7, 10);
        cr_assert_eq(zone_write(&rig, &v, places[i], model + places[i], 10), 0);
        expect_model(&v);
        drop(&v);
    }
}

Test(typed, a_predecessor_on_the_same_pages_does_not_show)
{
    struct fh_object_view v = object_of(SIZE, SIZE / 2), keeper;
    static uint8_t noise[SIZE];

    cr_assert_eq(alloc_from("c", SIZE, &keeper), 0);
    zone_fill(noise, 99, SIZE);
    cr_assert_eq(zone_write(&rig, &v, 0, noise, SIZE), 0);
    cr_assert_eq(zone_write(&rig, &keeper, 0, noise, SIZE), 0);
    uint64_t place = v.ref.addr.v;
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    cr_assert_eq(alloc_from("c", SIZE, &v), 0);
    cr_assert_eq(v.ref.addr.v, place);
    expect_model(&v);
    memset(model + 8192, 1, 3);
    cr_assert_eq(zone_write(&rig, &v, 8192, model + 8192, 3), 0);
    expect_model(&v);
    cr_assert_eq(fh_zone_free(&rig.zone, &keeper.ref), 0);
    drop(&v);
}

Test(typed, zero_means_zeros_also_where_nothing_was_written)
{
    static const uint64_t ranges[][2] = {{0, SIZE}, {0, 5}, {100, 9000}, {SIZE - 1, 1}, {7, 0}};

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        struct fh_object_view v = object_of(SIZE, SIZE);
        memset(model + ranges[i][0], 0, ranges[i][1]);
        cr_assert_eq(zone_zero(&rig, &v, ranges[i][0], ranges[i][1]), 0);
        expect_model(&v);
        drop(&v);
    }
}

Test(typed, words_start_from_the_initial_bytes)
{
    struct fh_object_view v = object_of(100, 100);
    struct fh_mutation m = {.kind = FH_MUTATE_ADD, .offset = 16, .operand = 5};
    uint64_t word;

    memcpy(&word, initial + 16, 8);
    cr_assert_eq(zone_mutate(&rig, &m, &v), 0);
    cr_assert_eq(m.before, word);
    word += 5;
    memcpy(model + 16, &word, 8);
    expect_model(&v);
    memcpy(&word, initial + 88, 8);
    m = (struct fh_mutation){.kind = FH_MUTATE_SWAP, .offset = 88, .expected = word, .operand = 1};
    cr_assert_eq(zone_mutate(&rig, &m, &v), 0);
    cr_assert(m.swapped);
    memcpy(model + 88, &(uint64_t){1}, 8);
    expect_model(&v);
    drop(&v);
}

Test(typed, a_word_that_is_written_in_part_is_initial_in_part)
{
    struct fh_object_view v = object_of(64, 64);
    struct fh_mutation m = {.kind = FH_MUTATE_ADD, .offset = 8, .operand = 0};
    uint64_t word;

    memset(model, 3, 11);
    cr_assert_eq(zone_write(&rig, &v, 0, model, 11), 0);
    memcpy(&word, model + 8, 8);
    cr_assert_eq(zone_mutate(&rig, &m, &v), 0);
    cr_assert_eq(m.before, word);
    expect_model(&v);
    drop(&v);
}

Test(typed, resize_stays_within_the_cache)
{
    struct fh_object_view v = object_of(100, 100);
    struct fh_ref ref = v.ref;

    cr_assert_eq(zone_resize(&rig, &v, 101), -EINVAL);
    cr_assert_eq(zone_resize(&rig, &v, 104), -EINVAL, "though the place is that large");
    memset(model, 9, 100);
    cr_assert_eq(zone_write(&rig, &v, 0, model, 100), 0);
    cr_assert_eq(zone_resize(&rig, &v, 30), 0);
    expect_model(&v);
    cr_assert_eq(zone_resize(&rig, &v, 100), 0);
    cr_assert_eq(v.ref.key, ref.key, "the handle stays");
    memcpy(model + 30, initial + 30, 70);
    expect_model(&v);
    drop(&v);
}

Test(typed, a_shorter_object_is_allowed_a_longer_one_is_not)
{
    struct fh_object_view v, none = {0};

    cr_assert_eq(create("c", 100, 50), 0);
    cr_assert_eq(alloc_from("c", 101, &none), -EINVAL);
    cr_assert_eq(alloc_from("d", 1, &none), -ENOENT);
    cr_assert_eq(fh_zone_alloc_typed(&rig.zone, ZONE_TENANT + 1, "c", 1, 1, 0, &none), -ENOENT);
    cr_assert_eq(rig.zone.objects.count, 0);
    cr_assert_eq(alloc_from("c", 0, &v), 0);
    cr_assert_eq(zone_resize(&rig, &v, 60), 0);
    memset(model, 0, SIZE);
    memcpy(model, initial, 50);
    expect_model(&v);
    drop(&v);
}

Test(typed, initial_bytes_come_back_after_the_written_ones_went_to_swap)
{
    struct fh_object_view v = object_of(SIZE, SIZE);

    memset(model + 9000, 7, 10);
    cr_assert_eq(zone_write(&rig, &v, 9000, model + 9000, 10), 0);
    zone_evict(&rig);
    cr_assert_eq(fh_entry_state(zone_entry(&rig, &v, 9000)), FH_PAGE_SLOT);
    expect_model(&v);
    drop(&v);
}

/* Reads the object's end while it is freed and its cache destroyed. */
static void read_beyond_the_end_of_the_cache(struct fh_object_view *v, uint64_t from)
{
    static struct fh_reader r;

    memset(&r.call, 0, sizeof(r.call));
    int rc = fh_reader_open(&rig.zone, &r, &v->ref, from, SIZE - from);
    cr_assert_eq(fh_zone_free(&rig.zone, &v->ref), 0);
    cr_assert_eq(destroy("c"), 0);
    cr_assert_eq(create("c", 64, 64), 0, "another one may have the name");
    cr_assert_eq(zone_drain(&rig, &r, rc, got), 0);
    cr_assert_eq(memcmp(got, model + from, SIZE - from), 0);
    cr_assert_gt(rig.zone.caches.bytes, SIZE, "held by the reader");
    fh_reader_close(&r);
    cr_assert_lt(rig.zone.caches.bytes, SIZE);
    cr_assert_eq(destroy("c"), 0);
    zone_expect_empty(&rig);
}

Test(typed, a_window_on_the_initial_bytes_outlives_object_and_cache)
{
    struct fh_object_view v = object_of(SIZE, SIZE);

    read_beyond_the_end_of_the_cache(&v, 0);
}

Test(typed, a_read_that_waits_for_the_disk_outlives_object_and_cache)
{
    struct fh_object_view v = object_of(SIZE, SIZE);

    memset(model, 7, 5000);
    cr_assert_eq(zone_write(&rig, &v, 0, model, 5000), 0);
    zone_evict(&rig);
    read_beyond_the_end_of_the_cache(&v, 100);
}

Test(typed, a_reader_closed_while_it_waits_lets_go_of_the_initial_bytes)
{
    static struct fh_reader r;
    struct fh_object_view v = object_of(SIZE, SIZE);

    cr_assert_eq(zone_write(&rig, &v, 0, model, 5000), 0);
    zone_evict(&rig);
    memset(&r.call, 0, sizeof(r.call));
    cr_assert_eq(fh_reader_open(&rig.zone, &r, &v.ref, 0, SIZE), -EINPROGRESS);
    fh_reader_close(&r);
    drop(&v);
}

Test(typed, a_refused_read_holds_nothing)
{
    static struct fh_reader r;
    struct fh_object_view v = object_of(100, 100);

    cr_assert_eq(fh_reader_open(&rig.zone, &r, &v.ref, 0, 101), -EINVAL);
    drop(&v);
}

Test(typed, destroy_waits_for_the_last_object)
{
    struct fh_object_view v = object_of(100, 100), w;

    cr_assert_eq(alloc_from("c", 100, &w), 0);
    cr_assert_eq(destroy("c"), -EBUSY);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    cr_assert_eq(destroy("c"), -EBUSY);
    drop(&w);
    cr_assert_eq(destroy("c"), -ENOENT);
}

Test(typed, an_object_may_be_named_and_expires_like_any_other)
{
    struct fh_object_view v = object_of(100, 100);

    cr_assert_eq(fh_zone_publish(&rig.zone, &v.ref, "name", 4, 0, &any_time, &v), 0);
    expect_model(&v);
    cr_assert_eq(zone_put(&rig, "name", "x", 1, 0, &any_time, NULL), 0);
    cr_assert_eq(destroy("c"), 0, "what had the name is freed");
    cr_assert_eq(create("c", 100, 0), 0);
    cr_assert_eq(fh_zone_alloc_typed(&rig.zone, ZONE_TENANT, "c", 1, 100, 200, &v), 0);
    cr_assert_eq(destroy("c"), -EBUSY);
    for (int i = 0; i < 100; i++)
        (void)zone_turn(&rig);
    cr_assert_eq(destroy("c"), 0);
    cr_assert_eq(fh_zone_delete(&rig.zone, ZONE_TENANT, "name", 4, &any_time), 0);
    zone_expect_empty(&rig);
}

Test(typed, check_sees_an_object_longer_than_its_cache_has_them)
{
    struct fh_object_view v = object_of(100, 100);

    cr_assert_eq(create("d", 100, 0), 0);
    rig.zone.caches.slots[0]->object_size = 99;
    cr_assert_not(fh_zone_check(&rig.zone, NULL));
    rig.zone.caches.slots[0]->object_size = 100;
    cr_assert_eq(destroy("d"), 0);
    drop(&v);
}

Test(typed, a_zone_may_end_with_caches_in_it)
{
    struct fh_object_view v = object_of(100, 100);

    cr_assert_eq(zone_write(&rig, &v, 10, model, 10), 0);
}
