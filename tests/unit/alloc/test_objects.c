/* Object records: taken, matched, given back, counted. */
#include "alloc/objects.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "tests/support/rng.h"

static struct fh_mem mem;
static struct fh_objects objects;

static void setup(void)
{
    memset(&objects, 0xA5, sizeof(objects));
    cr_assert_eq(fh_objects_init(&objects, &mem), 0);
}

static void teardown(void)
{
    fh_objects_fini(&objects);
    cr_assert_eq(mem.used_bytes, 0);
}

static uint32_t take(uint64_t key, uint64_t addr, uint16_t tenant)
{
    uint32_t number = 0;
    int rc = fh_objects_take(&objects, key, &number);

    cr_assert_eq(rc, 0);
    cr_assert_neq(number, FH_OBJECT_NONE);
    fh_objects_at(&objects, number)->addr = addr & ((UINT64_C(1) << 48) - 1);
    fh_objects_at(&objects, number)->tenant = tenant;
    return number;
}

static bool match(uint32_t number, uint64_t addr, uint64_t key, uint32_t tenant)
{
    return fh_objects_match(&objects, number, (struct fh_addr){addr}, key, tenant);
}

TestSuite(objects, .init = setup, .fini = teardown, .timeout = 20);

Test(objects, a_new_record_is_empty_but_for_its_key)
{
    uint32_t n = take(77, 0, 0);
    struct fh_object blank = {.key = 77};

    cr_assert_eq(n, 1);
    cr_assert_eq(memcmp(fh_objects_at(&objects, n), &blank, sizeof(blank)), 0);
    cr_assert_eq(objects.count, 1);
    cr_assert(fh_objects_check(&objects, stderr));
}

Test(objects, match_only_with_address_key_and_tenant_right)
{
    uint32_t n = take(77, 0x123456789000, 3);

    cr_assert(match(n, 0x123456789000, 77, 3));
    cr_assert_not(match(n, 0x123456789008, 77, 3), "interior");
    cr_assert_not(match(n, 0x123456789000, 76, 3), "forged");
    cr_assert_not(match(n, 0x123456789000, 0, 3));
    cr_assert_not(match(n, 0x123456789000, 77, 4), "another tenant's");
    cr_assert_not(match(n, 0x123456789000, 77, 3 + 65536), "a tenant's number is not cut");
    cr_assert_not(match(n, UINT64_C(0xff00123456789000), 77, 3), "an address is not cut");
}

Test(objects, any_number_may_be_asked_about)
{
    static const uint32_t numbers[] = {0, 2, FH_OBJECTS_MAX - 1, FH_OBJECTS_MAX, UINT32_MAX};

    (void)take(77, 0, 0);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        cr_assert_not(match(numbers[i], 0, 77, 0));
        cr_assert_not(match(numbers[i], 0, 0, 0), "a free record's key opens nothing");
    }
}

Test(objects, what_was_given_back_matches_nothing_and_is_used_again)
{
    uint32_t a = take(77, 4096, 1);
    uint32_t b = take(78, 8192, 1);

    fh_objects_resize(&objects, a, 100);
    fh_objects_give(&objects, a);
    cr_assert_not(match(a, 4096, 77, 1));
    cr_assert_not(match(a, 0, 0, 0));
    cr_assert_eq(objects.bytes, 0);
    cr_assert(fh_objects_check(&objects, stderr));
    cr_assert_eq(take(79, 0, 0), a);
    cr_assert_eq(fh_objects_at(&objects, a)->size, 0);
    cr_assert(match(b, 8192, 78, 1));
}

Test(objects, sizes_add_up_to_a_tebibyte_each)
{
    uint32_t a = take(1, 0, 0), b = take(2, 0, 0);

    fh_objects_resize(&objects, a, FH_OBJECT_SIZE_MAX);
    fh_objects_resize(&objects, b, FH_OBJECT_SIZE_MAX);
    fh_objects_resize(&objects, a, 1);
    cr_assert_eq(objects.bytes, FH_OBJECT_SIZE_MAX + 1);
    cr_assert_eq(fh_objects_at(&objects, b)->size, FH_OBJECT_SIZE_MAX);
    cr_assert(fh_objects_check(&objects, stderr));
}

Test(objects, a_random_walk_agrees_with_an_array)
{
    enum { MANY = 200 };
    struct rng g = rng_from_env("objects");
    uint64_t keys[MANY + 1] = {0};
    uint64_t live = 0;

    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t i = (uint32_t)rng_between(&g, 1, MANY);
        if (keys[i] != 0) {
            cr_assert(match(i, 0, keys[i], 0));
            fh_objects_give(&objects, i);
            keys[i] = 0;
            live--;
        } else if (live < MANY) {
            uint64_t key = rng_next(&g) | 1;
            uint32_t n = take(key, 0, 0);
            cr_assert_leq(n, MANY);
            cr_assert_eq(keys[n], 0);
            keys[n] = key;
            live++;
        }
        cr_assert_eq(objects.count, live);
    }
    cr_assert(fh_objects_check(&objects, stderr));
}

Test(objects, too_many_are_refused_and_nothing_changes)
{
    uint32_t number = 123;

    objects.used_end = FH_OBJECTS_MAX;
    cr_assert_eq(fh_objects_take(&objects, 5, &number), -ENOSPC);
    cr_assert_eq(number, 123);
    cr_assert_eq(objects.count, 0);
}

Test(objects, no_memory_is_told_and_nothing_kept)
{
    for (uint64_t n = 1; n <= 2; n++) {
        struct fh_objects other;
        struct fh_mem m = {.fail_at = n};
        cr_assert_eq(fh_objects_init(&other, &m), -ENOMEM);
        cr_assert_eq(m.used_bytes, 0);
    }
}

Test(objects, check_sees_a_wrong_count)
{
    (void)take(1, 0, 0);
    objects.count++; /* [I1] */
    cr_assert_not(fh_objects_check(&objects, NULL));
}

Test(objects, check_sees_a_wrong_sum_of_sizes)
{
    uint32_t n = take(1, 0, 0);
    fh_objects_at(&objects, n)->size = 5; /* [I2] */
    cr_assert_not(fh_objects_check(&objects, NULL));
}

Test(objects, check_sees_a_live_record_in_the_free_list)
{
    uint32_t n = take(1, 0, 0);
    objects.free_head = n; /* [I3] */
    cr_assert_not(fh_objects_check(&objects, NULL));
}

Test(objects, check_sees_a_record_lost_from_the_free_list)
{
    fh_objects_give(&objects, take(1, 0, 0));
    objects.free_head = 0; /* [I3] */
    cr_assert_not(fh_objects_check(&objects, NULL));
}

Test(objects, dump_names_objects_but_never_their_keys)
{
    char text[512] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");
    uint32_t n = take(0xfeedfacecafebeef, 0x5000, 9);

    fh_objects_at(&objects, n)->sealed = 1;
    fh_objects_at(&objects, n)->small = 1;
    fh_objects_dump(&objects, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "object 1 at 5000"));
    cr_assert_not_null(strstr(text, "sealed small tenant 9"));
    cr_assert_null(strstr(text, "feedface"));
    cr_assert_null(strstr(text, "18369614"));
}

Test(objects, giving_back_twice_is_a_programmer_error, .signal = SIGABRT)
{
    uint32_t n = take(1, 0, 0);

    fh_objects_give(&objects, n);
    fh_objects_give(&objects, n);
}

Test(objects, a_key_of_zero_is_a_programmer_error, .signal = SIGABRT)
{
    uint32_t number;
    (void)!fh_objects_take(&objects, 0, &number);
}
