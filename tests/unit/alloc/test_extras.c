/* Extras: taken, given, read back; a walk beside an array; chunks empty, cold and used again. */
#include "alloc/extras.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "tests/support/rng.h"

enum { ORACLE = 4000 };

static struct fh_mem mem;
static struct fh_extras extras;

static void setup(void)
{
    memset(&extras, 0xA5, sizeof(extras));
    cr_assert_eq(fh_extras_init(&extras, &mem), 0);
}

static void teardown(void)
{
    fh_extras_fini(&extras);
    cr_assert_eq(mem.used_bytes, 0);
}

static void fill(uint8_t *name, uint32_t size, uint64_t what)
{
    struct rng r = {what};

    for (uint32_t i = 0; i < size; i++)
        name[i] = (uint8_t)(rng_next(&r) >> 11);
}

static uint32_t take(uint32_t name_size, uint32_t expiry, uint64_t what)
{
    static uint8_t name[FH_EXTRAS_NAME_MAX];
    struct fh_extra x = {.name = name, .name_size = name_size, .expiry = expiry};
    uint32_t ref = FH_EXTRAS_NONE;

    fill(name, name_size, what);
    cr_assert_eq(fh_extras_take(&extras, &x, &ref), 0);
    cr_assert_neq(ref, FH_EXTRAS_NONE);
    return ref;
}

static void expect(uint32_t ref, uint32_t name_size, uint32_t expiry, uint64_t what)
{
    static uint8_t name[FH_EXTRAS_NAME_MAX];
    struct fh_extra x = fh_extras_get(&extras, ref);

    fill(name, name_size, what);
    cr_assert_eq(x.name_size, name_size);
    cr_assert_eq(x.expiry, expiry);
    cr_assert(name_size == 0 || memcmp(x.name, name, name_size) == 0);
}

TestSuite(extras, .init = setup, .fini = teardown, .timeout = 30);

Test(extras, an_entry_holds_a_name_an_expiry_or_both)
{
    uint32_t name = take(20, 0, 1), expiry = take(0, 77, 2), both = take(1024, UINT32_MAX, 3);
    uint32_t shortest = take(1, 0, 4);

    expect(name, 20, 0, 1);
    expect(expiry, 0, 77, 2);
    expect(both, 1024, UINT32_MAX, 3);
    expect(shortest, 1, 0, 4);
    cr_assert_eq(extras.count, 4);
    cr_assert_eq(extras.entry_bytes, 22 + 6 + 1152 + 4);
    cr_assert(fh_extras_check(&extras, stderr));
}

Test(extras, none_holds_nothing)
{
    struct fh_extra x = fh_extras_get(&extras, FH_EXTRAS_NONE);

    cr_assert_eq(x.name_size, 0);
    cr_assert_eq(x.expiry, 0);
    fh_extras_give(&extras, FH_EXTRAS_NONE);
    cr_assert(fh_extras_check(&extras, stderr));
}

Test(extras, every_length_fits_and_wastes_little)
{
    static uint32_t refs[FH_EXTRAS_NAME_MAX + 1];

    for (uint32_t size = 1; size <= FH_EXTRAS_NAME_MAX; size++) {
        uint64_t before = extras.entry_bytes;
        refs[size] = take(size, size % 3, size);
        uint64_t needed = 2 + size + (size % 3 != 0 ? 4 : 0);
        cr_assert_geq(extras.entry_bytes - before, needed);
        cr_assert_leq(extras.entry_bytes - before, needed + (needed <= 64 ? 1 : needed / 8));
    }
    cr_assert(fh_extras_check(&extras, stderr));
    for (uint32_t size = 1; size <= FH_EXTRAS_NAME_MAX; size++)
        expect(refs[size], size, size % 3, size);
}

Test(extras, a_name_too_long_is_refused)
{
    static uint8_t name[FH_EXTRAS_NAME_MAX + 1];
    struct fh_extra x = {.name = name, .name_size = sizeof(name)};
    uint32_t ref = 5;

    cr_assert_eq(fh_extras_take(&extras, &x, &ref), -EINVAL);
    cr_assert_eq(ref, 5);
    cr_assert_eq(extras.count, 0);
}

Test(extras, a_random_walk_holds_what_an_array_holds)
{
    static struct {
        uint32_t ref, size, expiry;
        uint64_t what;
    } oracle[ORACLE];
    struct rng g = rng_from_env("extras");
    uint32_t live = 0;

    for (uint32_t step = 0; step < 200000; step++) {
        uint32_t i = (uint32_t)rng_below(&g, ORACLE);
        bool want = rng_percent(&g, step / 40000 % 2 == 0 ? 85 : 15);
        if (oracle[i].ref != FH_EXTRAS_NONE)
            expect(oracle[i].ref, oracle[i].size, oracle[i].expiry, oracle[i].what);
        if (want && oracle[i].ref == FH_EXTRAS_NONE) {
            oracle[i].size = (uint32_t)rng_log_uniform(&g, 10);
            oracle[i].expiry = rng_percent(&g, 30) ? (uint32_t)rng_next(&g) | 1 : 0;
            oracle[i].what = rng_next(&g);
            oracle[i].ref = take(oracle[i].size, oracle[i].expiry, oracle[i].what);
            live++;
        } else if (!want && oracle[i].ref != FH_EXTRAS_NONE) {
            fh_extras_give(&extras, oracle[i].ref);
            oracle[i].ref = FH_EXTRAS_NONE;
            live--;
        }
        cr_assert_eq(extras.count, live);
        if (step % 5000 == 0)
            cr_assert(fh_extras_check(&extras, stderr));
    }
    for (uint32_t i = 0; i < ORACLE; i++)
        if (oracle[i].ref != FH_EXTRAS_NONE)
            fh_extras_give(&extras, oracle[i].ref);
    cr_assert(fh_extras_check(&extras, stderr));
    cr_assert_eq(extras.entry_bytes, 0);
}

Test(extras, an_empty_chunk_serves_any_other_size)
{
    static uint32_t refs[FH_EXTRAS_CHUNK_SIZE / 22];
    uint32_t count = sizeof(refs) / sizeof(refs[0]);

    for (uint32_t i = 0; i < count; i++)
        refs[i] = take(20, 0, i);
    cr_assert_eq(extras.chunks_end, 2, "so many fill one chunk");
    for (uint32_t i = 0; i < count; i++)
        fh_extras_give(&extras, refs[i]);
    cr_assert(fh_extras_check(&extras, stderr));
    expect(take(1000, 1, 1), 1000, 1, 1);
    cr_assert_eq(extras.chunks_end, 2);
    cr_assert(fh_extras_check(&extras, stderr));
}

Test(extras, many_empty_chunks_give_their_memory_back)
{
    enum { CHUNKS = 40, EACH = FH_EXTRAS_CHUNK_SIZE / 1152 };
    static uint32_t refs[CHUNKS * EACH];
    struct fh_extras_stats full, empty, again;

    for (uint32_t i = 0; i < CHUNKS * EACH; i++)
        refs[i] = take(1024, 1, i);
    fh_extras_stats(&extras, &full);
    cr_assert_eq(full.chunks, CHUNKS);
    for (uint32_t i = 0; i < CHUNKS * EACH; i++)
        fh_extras_give(&extras, refs[i]);
    fh_extras_stats(&extras, &empty);
    cr_assert_eq(empty.chunks, FH_EXTRAS_WARM_MAX);
    cr_assert_eq(full.book_bytes - empty.book_bytes,
                 (uint64_t)(CHUNKS - FH_EXTRAS_WARM_MAX) * FH_EXTRAS_CHUNK_SIZE);
    cr_assert(fh_extras_check(&extras, stderr));
    for (uint32_t i = 0; i < CHUNKS * EACH; i++)
        refs[i] = take(1024, 1, i);
    for (uint32_t i = 0; i < CHUNKS * EACH; i++)
        expect(refs[i], 1024, 1, i);
    fh_extras_stats(&extras, &again);
    cr_assert_eq(again.chunks, CHUNKS, "no chunk is new");
    cr_assert(fh_extras_check(&extras, stderr));
}

Test(extras, no_more_room_is_told_and_nothing_changes)
{
    struct fh_extra x = {.expiry = 1};
    uint32_t ref = 99, last = FH_EXTRAS_NONE;
    int rc;

    extras.chunks_max = 2;
    while ((rc = fh_extras_take(&extras, &x, &ref)) == 0)
        last = ref;
    cr_assert_eq(rc, -ENOMEM);
    cr_assert_eq(ref, last);
    cr_assert_eq(extras.count, FH_EXTRAS_CHUNK_SIZE / 6);
    cr_assert(fh_extras_check(&extras, stderr));
    fh_extras_give(&extras, last);
    cr_assert_eq(fh_extras_take(&extras, &x, &ref), 0);
    cr_assert_eq(ref, last);
}

Test(extras, no_memory_at_first_is_told_and_nothing_kept)
{
    for (uint64_t n = 1; n <= 2; n++) {
        struct fh_extras other;
        struct fh_mem m = {.fail_at = n};
        cr_assert_eq(fh_extras_init(&other, &m), -ENOMEM);
        cr_assert_eq(m.used_bytes, 0);
    }
}

Test(extras, check_sees_a_wrong_count)
{
    (void)take(20, 0, 1);
    extras.count++; /* [I1] */
    cr_assert_not(fh_extras_check(&extras, NULL));
    extras.count--;
    extras.chunks[1].used++; /* [I1] */
    cr_assert_not(fh_extras_check(&extras, NULL));
    extras.chunks[1].used--;
    extras.entry_bytes++; /* [I2] */
    cr_assert_not(fh_extras_check(&extras, NULL));
    extras.entry_bytes--;
}

Test(extras, check_sees_an_entry_lost_from_the_free_list)
{
    uint32_t a = take(20, 0, 1);

    (void)take(20, 0, 2);
    fh_extras_give(&extras, a);
    extras.chunks[1].free_head = 0; /* [I2] */
    cr_assert_not(fh_extras_check(&extras, NULL));
}

Test(extras, check_sees_a_chunk_in_a_wrong_list)
{
    (void)take(20, 0, 1);
    uint32_t class = extras.chunks[1].class;
    extras.with_room[class] = 0; /* [I3] */
    cr_assert_not(fh_extras_check(&extras, NULL));
    extras.warm = 1; /* [I3] */
    cr_assert_not(fh_extras_check(&extras, NULL));
}

Test(extras, dump_tells_sizes_and_no_names)
{
    char text[256] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");
    struct fh_extra x = {.name = (const uint8_t *)"secret", .name_size = 6};
    uint32_t ref;

    cr_assert_eq(fh_extras_take(&extras, &x, &ref), 0);
    fh_extras_dump(&extras, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "1 entries of 8 bytes"));
    cr_assert_null(strstr(text, "secret"));
}

Test(extras, giving_twice_is_a_programmer_error, .signal = SIGABRT)
{
    uint32_t a = take(20, 0, 1);

    (void)take(20, 0, 2);
    fh_extras_give(&extras, a);
    fh_extras_give(&extras, a);
}

Test(extras, a_home_is_kept_beside_name_and_expiry_or_alone)
{
    static const uint64_t homes[] = {1, UINT64_C(0x123456789abc), (UINT64_C(1) << 48) - 1};

    for (uint32_t i = 0; i < 12; i++) {
        struct fh_extra x = {.name = (const uint8_t *)"a name",
                             .name_size = i % 2 ? 6 : 0,
                             .expiry = i / 2 % 2 ? 77 : 0,
                             .home = homes[i / 4]};
        uint32_t ref;
        cr_assert_eq(fh_extras_take(&extras, &x, &ref), 0);
        struct fh_extra got = fh_extras_get(&extras, ref);
        cr_assert_eq(got.home, x.home);
        cr_assert_eq(got.expiry, x.expiry);
        cr_assert_eq(got.name_size, x.name_size);
        cr_assert(x.name_size == 0 || memcmp(got.name, x.name, 6) == 0);
        cr_assert(fh_extras_check(&extras, stderr));
    }
    cr_assert_eq(extras.count, 12);
}

Test(extras, what_an_entry_holds_becomes_less_where_it_is)
{
    struct fh_extra x = {
        .name = (const uint8_t *)"a name", .name_size = 6, .expiry = 5, .home = 99};
    uint32_t ref, other;

    cr_assert_eq(fh_extras_take(&extras, &x, &ref), 0);
    cr_assert_eq(fh_extras_take(&extras, &x, &other), 0);
    uint64_t bytes = extras.entry_bytes;
    fh_extras_drop_name(&extras, ref);
    struct fh_extra got = fh_extras_get(&extras, ref);
    cr_assert_eq(got.home, 99);
    cr_assert_eq(got.name_size, 0);
    cr_assert_eq(got.expiry, 0);
    fh_extras_drop_home(&extras, other);
    got = fh_extras_get(&extras, other);
    cr_assert_eq(got.home, 0);
    cr_assert_eq(got.expiry, 5);
    cr_assert_eq(memcmp(got.name, "a name", 6), 0);
    cr_assert_eq(extras.entry_bytes, bytes);
    cr_assert(fh_extras_check(&extras, stderr));
    fh_extras_give(&extras, ref);
    fh_extras_give(&extras, other);
    cr_assert_eq(extras.entry_bytes, 0);
    cr_assert(fh_extras_check(&extras, stderr));
}

Test(extras, a_home_that_is_not_there_cannot_be_dropped, .signal = SIGABRT)
{
    fh_extras_drop_home(&extras, take(3, 0, 1));
}
