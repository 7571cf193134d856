/* Changes of objects: ranges, words, conditions, and what a small object hides. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/zone_rig.h"

static struct zone_rig rig;

static void setup(void)
{
    zone_open(&rig, 64, 255, 20);
}

static void teardown(void)
{
    zone_close(&rig);
}

static void free_object(struct fh_object_view *v)
{
    cr_assert_eq(fh_zone_free(&rig.zone, &v->ref), 0);
}

static void expect_zeros(struct fh_object_view *v, uint64_t offset, uint64_t size)
{
    static uint8_t bytes[1 << 16];

    cr_assert_eq(zone_read(&rig, &v->ref, offset, bytes, size), 0);
    for (uint64_t i = 0; i < size; i++)
        cr_assert_eq(bytes[i], 0, "byte %lu", (unsigned long)(offset + i));
}

static int word(struct fh_object_view *v, enum fh_mutation_kind kind, uint64_t offset,
                uint64_t expected, uint64_t operand, uint64_t *before, bool *swapped)
{
    static struct fh_mutation m;
    m = (struct fh_mutation){
        .kind = kind, .offset = offset, .expected = expected, .operand = operand};
    int rc = zone_mutate(&rig, &m, v);
    if (before)
        *before = m.before;
    if (swapped)
        *swapped = m.swapped;
    return rc;
}

TestSuite(mutation, .init = setup, .fini = teardown, .timeout = 30);

static const uint64_t sizes[] = {1, 16, 100, 4096, 4097, 32768, 32769, 65536, 200000};

Test(mutation, what_is_written_is_read_at_every_size)
{
    static uint8_t bytes[65536];

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fh_object_view v = zone_alloc(&rig, sizes[i]);
        uint64_t size = sizes[i] < sizeof(bytes) ? sizes[i] : sizeof(bytes);
        zone_fill(bytes, i + 1, size);
        cr_assert_eq(zone_write(&rig, &v, 0, bytes, size), 0);
        zone_expect(&rig, &v, i + 1, size);
        zone_evict(&rig);
        zone_expect(&rig, &v, i + 1, size);
        zone_check(&rig);
        free_object(&v);
    }
    zone_expect_empty(&rig);
}

Test(mutation, ranges_outside_the_object_are_refused_and_nothing_changes)
{
    static const uint8_t bytes[200];
    struct fh_object_view v = zone_alloc(&rig, 100), before = v;

    cr_assert_eq(zone_write(&rig, &v, 0, bytes, 101), -EINVAL);
    cr_assert_eq(zone_write(&rig, &v, 100, bytes, 1), -EINVAL);
    cr_assert_eq(zone_write(&rig, &v, 101, bytes, 0), -EINVAL);
    cr_assert_eq(zone_write(&rig, &v, UINT64_MAX, bytes, 2), -EINVAL);
    cr_assert_eq(zone_zero(&rig, &v, 1, 100), -EINVAL);
    cr_assert_eq(zone_zero(&rig, &v, 1, UINT64_MAX), -EINVAL);
    cr_assert_eq(zone_zero(&rig, &v, UINT64_MAX, 1), -EINVAL);
    cr_assert_eq(word(&v, FH_MUTATE_ADD, 96, 0, 1, NULL, NULL), -EINVAL);
    cr_assert_eq(word(&v, FH_MUTATE_ADD, 4, 0, 1, NULL, NULL), -EINVAL, "not aligned");
    cr_assert_eq(fh_zone_find(&rig.zone, &before.ref, &v), 0);
    cr_assert_eq(v.version, before.version);
    cr_assert_eq(rig.zone.pager.mapped, 0);
    cr_assert_eq(zone_write(&rig, &v, 100, bytes, 0), 0, "nothing, at the very end");
    cr_assert_eq(zone_write(&rig, &v, 99, bytes, 1), 0);
}

Test(mutation, a_write_of_more_than_64_kibibytes_is_refused)
{
    static uint8_t bytes[FH_WRITE_MAX + 1];
    struct fh_object_view v = zone_alloc(&rig, 200000);

    cr_assert_eq(zone_write(&rig, &v, 0, bytes, FH_WRITE_MAX + 1), -EFBIG);
    cr_assert_eq(rig.zone.pager.mapped, 0);
    cr_assert_eq(zone_write(&rig, &v, 1, bytes, FH_WRITE_MAX), 0);
}

Test(mutation, an_unknown_kind_is_refused)
{
    static struct fh_mutation m;
    struct fh_object_view v = zone_alloc(&rig, 8);

    m = (struct fh_mutation){.kind = (enum fh_mutation_kind)99};
    cr_assert_eq(zone_mutate(&rig, &m, &v), -EINVAL);
}

Test(mutation, no_version_is_ever_given_twice)
{
    uint64_t last = 0;

    for (int round = 0; round < 5; round++) {
        struct fh_object_view v = zone_alloc(&rig, 64);
        cr_assert_gt(v.version, last);
        last = v.version;
        cr_assert_eq(zone_write(&rig, &v, 0, "abc", 3), 0);
        cr_assert_gt(v.version, last);
        last = v.version;
        cr_assert_eq(zone_zero(&rig, &v, 0, 64), 0);
        cr_assert_gt(v.version, last);
        last = v.version;
        cr_assert_eq(word(&v, FH_MUTATE_ADD, 8, 0, 1, NULL, NULL), 0);
        cr_assert_gt(v.version, last);
        last = v.version;
        cr_assert_eq(zone_resize(&rig, &v, 10), 0);
        cr_assert_gt(v.version, last);
        last = v.version;
        free_object(&v);
    }
}

Test(mutation, with_if_version_only_the_wanted_version_is_changed)
{
    static struct fh_mutation m;
    struct fh_object_view v = zone_alloc(&rig, 64), now = v;

    m = (struct fh_mutation){
        .kind = FH_MUTATE_WRITE, .cond = {.if_version = v.version + 1}, .body = "x", .size = 1};
    cr_assert_eq(zone_mutate(&rig, &m, &v), -ECANCELED);
    expect_zeros(&v, 0, 64);
    m.cond.if_version = v.version;
    cr_assert_eq(zone_mutate(&rig, &m, &v), 0);
    m.cond.if_version = now.version;
    cr_assert_eq(zone_mutate(&rig, &m, &v), -ECANCELED, "it has gone on");
}

Test(mutation, a_sealed_object_is_not_changed)
{
    struct fh_object_view v;

    cr_assert_eq(zone_put(&rig, "name", "bytes", 5, 0, &any_time, &v), 0);
    cr_assert(v.sealed);
    uint64_t version = v.version;
    cr_assert_eq(zone_write(&rig, &v, 0, "x", 1), -ECANCELED);
    cr_assert_eq(zone_zero(&rig, &v, 0, 1), -ECANCELED);
    cr_assert_eq(zone_resize(&rig, &v, 1), -ECANCELED);
    cr_assert_eq(fh_zone_find(&rig.zone, &v.ref, &v), 0);
    cr_assert_eq(v.version, version);
}

Test(mutation, a_swap_happens_only_if_the_word_is_as_expected)
{
    struct fh_object_view v = zone_alloc(&rig, 40);
    uint64_t before, version = v.version;
    bool swapped;

    cr_assert_eq(word(&v, FH_MUTATE_SWAP, 32, 5, 7, &before, &swapped), 0);
    cr_assert_not(swapped);
    cr_assert_eq(before, 0);
    cr_assert_eq(v.version, version, "nothing happened");
    cr_assert_eq(word(&v, FH_MUTATE_SWAP, 32, 0, 7, &before, &swapped), 0);
    cr_assert(swapped);
    cr_assert_neq(v.version, version);
    zone_evict(&rig);
    cr_assert_eq(word(&v, FH_MUTATE_SWAP, 32, 7, 8, &before, &swapped), 0);
    cr_assert(swapped);
    cr_assert_eq(before, 7);
    expect_zeros(&v, 0, 32);
}

Test(mutation, an_addition_wraps_and_tells_what_was_before)
{
    struct fh_object_view v = zone_alloc(&rig, 100000);
    uint64_t before;

    cr_assert_eq(word(&v, FH_MUTATE_ADD, 99992, 0, UINT64_MAX, &before, NULL), 0);
    cr_assert_eq(before, 0);
    cr_assert_eq(word(&v, FH_MUTATE_ADD, 99992, 0, 3, &before, NULL), 0);
    cr_assert_eq(before, UINT64_MAX);
    zone_evict(&rig);
    cr_assert_eq(word(&v, FH_MUTATE_ADD, 99992, 0, 0, &before, NULL), 0);
    cr_assert_eq(before, 2);
}

Test(mutation, a_word_half_written_counts_its_other_half_as_zeros)
{
    struct fh_object_view old = zone_alloc(&rig, 16);
    uint64_t before;

    cr_assert_eq(zone_write(&rig, &old, 0, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11), 0);
    free_object(&old);
    struct fh_object_view v = zone_alloc(&rig, 16);
    cr_assert_eq(v.ref.addr.v, old.ref.addr.v, "the same place");
    cr_assert_eq(zone_write(&rig, &v, 0, "\x01\x02\x03", 3), 0);
    cr_assert_eq(word(&v, FH_MUTATE_ADD, 0, 0, 0, &before, NULL), 0);
    cr_assert_eq(before, 0x030201);
}

/* --- no predecessor's bytes --- */

Test(mutation, no_object_ever_shows_the_bytes_of_the_one_before_it)
{
    static uint8_t bytes[32768];
    static const uint64_t small[] = {1, 16, 100, 511, 512, 513, 2048, 4096, 5000, 20000, 32768};

    memset(bytes, 0xEE, sizeof(bytes));
    for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
        struct fh_object_view keeps = zone_alloc(&rig, small[i]); /* the slab stays */
        struct fh_object_view old = zone_alloc(&rig, small[i]);
        cr_assert_eq(zone_write(&rig, &keeps, 0, bytes, small[i]), 0);
        cr_assert_eq(zone_write(&rig, &old, 0, bytes, small[i]), 0);
        free_object(&old);
        struct fh_object_view v = zone_alloc(&rig, small[i]);
        cr_assert_eq(v.ref.addr.v, old.ref.addr.v, "size %lu", (unsigned long)small[i]);
        expect_zeros(&v, 0, small[i]);
        /* one byte in the middle: before it and after it zeros */
        uint64_t middle = small[i] / 2;
        cr_assert_eq(zone_write(&rig, &v, middle, "\x11", 1), 0);
        expect_zeros(&v, 0, middle);
        expect_zeros(&v, middle + 1, small[i] - middle - 1);
        zone_evict(&rig);
        expect_zeros(&v, 0, middle);
        expect_zeros(&v, middle + 1, small[i] - middle - 1);
        free_object(&v);
        free_object(&keeps);
        zone_check(&rig);
    }
    zone_expect_empty(&rig);
}

Test(mutation, a_gap_of_whole_pages_shows_zeros_and_costs_none)
{
    static uint8_t bytes[20480];
    struct fh_object_view old = zone_alloc(&rig, 20480);

    memset(bytes, 0xEE, sizeof(bytes));
    cr_assert_eq(zone_write(&rig, &old, 0, bytes, 20480), 0);
    struct fh_object_view keeps = zone_alloc(&rig, 20480);
    free_object(&old);
    struct fh_object_view v = zone_alloc(&rig, 20480);
    cr_assert_eq(v.ref.addr.v, old.ref.addr.v);
    cr_assert_eq(zone_write(&rig, &v, 10, "ab", 2), 0);
    cr_assert_eq(zone_write(&rig, &v, 20000, "cd", 2), 0);
    expect_zeros(&v, 12, 20000 - 12);
    expect_zeros(&v, 20002, 478);
    free_object(&keeps);
}

Test(mutation, zeroing_the_end_of_a_small_object_touches_no_page)
{
    struct fh_object_view v = zone_alloc(&rig, 1000);
    static uint8_t bytes[1000];

    memset(bytes, 0xEE, sizeof(bytes));
    cr_assert_eq(zone_write(&rig, &v, 0, bytes, 1000), 0);
    zone_evict(&rig);
    uint64_t transfers = rig.disk->transfers;
    cr_assert_eq(zone_zero(&rig, &v, 300, 700), 0);
    cr_assert_eq(zone_zero(&rig, &v, 500, 500), 0, "it does not become longer again");
    cr_assert_eq(rig.disk->transfers, transfers);
    expect_zeros(&v, 300, 700);
    cr_assert_eq(zone_zero(&rig, &v, 100, 50), 0, "the middle does");
    expect_zeros(&v, 100, 50);
    cr_assert_eq(zone_read(&rig, &v.ref, 99, bytes, 1), 0);
    cr_assert_eq(bytes[0], 0xEE);
    cr_assert_eq(zone_read(&rig, &v.ref, 299, bytes, 1), 0);
    cr_assert_eq(bytes[0], 0xEE);
}

Test(mutation, zeroing_nothing_is_fine)
{
    struct fh_object_view v = zone_alloc(&rig, 100000);

    cr_assert_eq(zone_write(&rig, &v, 0, "abc", 3), 0);
    cr_assert_eq(zone_zero(&rig, &v, 1, 0), 0);
    uint8_t bytes[3];
    cr_assert_eq(zone_read(&rig, &v.ref, 0, bytes, 3), 0);
    cr_assert_eq(memcmp(bytes, "abc", 3), 0);
}

/* --- waiting --- */

Test(mutation, a_parked_mutation_looks_again_at_everything_it_checked)
{
    static struct fh_mutation m[4];
    struct fh_object_view v[4];

    for (int i = 0; i < 4; i++) {
        v[i] = zone_alloc(&rig, 100000);
        cr_assert_eq(zone_write(&rig, &v[i], 0, "old", 3), 0);
    }
    zone_evict(&rig);
    rig.disk->hang = true;
    for (int i = 0; i < 4; i++) {
        m[i] = (struct fh_mutation){
            .kind = FH_MUTATE_WRITE, .ref = v[i].ref, .offset = 1, .body = "X", .size = 1};
        if (i == 1)
            m[i].cond.if_version = v[i].version;
        cr_assert_eq(fh_zone_mutate(&rig.zone, &m[i]), -EINPROGRESS);
    }
    free_object(&v[0]);
    static uint8_t page[FH_PAGE_SIZE];
    cr_assert_eq(zone_write(&rig, &v[1], 0, page, FH_PAGE_SIZE), 0); /* waits for nothing */
    struct fh_object_view named;
    cr_assert_eq(fh_zone_publish(&rig.zone, &v[2].ref, "n", 1, 0, &any_time, &named), 0);
    rig.disk->hang = false;
    cr_assert_eq(zone_wait(&rig, &m[0].call, -EINPROGRESS), -ESTALE);
    cr_assert_eq(zone_wait(&rig, &m[1].call, -EINPROGRESS), -ECANCELED, "another version");
    cr_assert_eq(zone_wait(&rig, &m[2].call, -EINPROGRESS), -ECANCELED, "sealed");
    cr_assert_eq(zone_wait(&rig, &m[3].call, -EINPROGRESS), 0);
    uint8_t bytes[3];
    cr_assert_eq(zone_read(&rig, &v[3].ref, 0, bytes, 3), 0);
    cr_assert_eq(memcmp(bytes, "oXd", 3), 0);
}

Test(mutation, a_cancelled_mutation_did_not_happen)
{
    static struct fh_mutation m;
    struct fh_object_view v = zone_alloc(&rig, 100000);
    uint8_t bytes[3];

    cr_assert_eq(zone_write(&rig, &v, 0, "old", 3), 0);
    zone_evict(&rig);
    m = (struct fh_mutation){
        .kind = FH_MUTATE_WRITE, .ref = v.ref, .offset = 1, .body = "X", .size = 1};
    cr_assert_eq(fh_zone_mutate(&rig.zone, &m), -EINPROGRESS);
    fh_zone_mutate_cancel(&m);
    zone_check(&rig);
    cr_assert_eq(zone_read(&rig, &v.ref, 0, bytes, 3), 0);
    cr_assert_eq(memcmp(bytes, "old", 3), 0);
    free_object(&v);
    zone_expect_empty(&rig);
}

Test(mutation, a_failing_disk_and_a_lost_page_are_told)
{
    struct fh_object_view v = zone_alloc(&rig, 100000);
    uint8_t bytes[3];

    cr_assert_eq(zone_write(&rig, &v, 0, "old", 3), 0);
    zone_evict(&rig);
    rig.disk->dead[FH_IO_READ] = true;
    cr_assert_eq(zone_write(&rig, &v, 1, "X", 1), -EIO);
    rig.disk->dead[FH_IO_READ] = false;
    cr_assert_eq(zone_read(&rig, &v.ref, 0, bytes, 3), 0);
    cr_assert_eq(memcmp(bytes, "old", 3), 0);
    zone_evict(&rig);
    zone_flip(&rig, &v, 0);
    cr_assert_eq(zone_write(&rig, &v, 1, "X", 1), -EBADMSG);
    cr_assert_eq(zone_read(&rig, &v.ref, 0, bytes, 3), -EBADMSG);
    cr_assert_eq(zone_read(&rig, &v.ref, 4096, bytes, 3), 0, "only that page");
    static uint8_t page[FH_PAGE_SIZE];
    cr_assert_eq(zone_write(&rig, &v, 0, page, FH_PAGE_SIZE), 0);
    expect_zeros(&v, 0, 4096);
}
