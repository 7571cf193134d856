#include "alloc/bits.h"

#include <criterion/criterion.h>
#include <string.h>

#include "alloc/bitset.h"
#include "tests/support/rng.h"

TestSuite(bits, .timeout = 10);
TestSuite(bitset, .timeout = 10);

Test(bits, logarithms_round_down_and_up)
{
    for (uint32_t k = 1; k < 64; k++) {
        uint64_t power = UINT64_C(1) << k;
        cr_assert_eq(fh_log2_floor(power), k);
        cr_assert_eq(fh_log2_floor(power - 1), k - 1);
        cr_assert_eq(fh_log2_ceil(power), k);
        cr_assert_eq(fh_log2_ceil(power - 1), k == 1 ? 0 : k);
        cr_assert_eq(fh_log2_ceil(power + 1), k + 1);
    }
    cr_assert_eq(fh_log2_floor(1), 0);
    cr_assert_eq(fh_log2_ceil(1), 0);
}

Test(bits, aligning_up_keeps_multiples)
{
    cr_assert_eq(fh_align_up(0, 8), 0);
    cr_assert_eq(fh_align_up(1, 8), 8);
    cr_assert_eq(fh_align_up(8, 8), 8);
    cr_assert_eq(fh_align_up(UINT64_C(1) << 40, 4096), UINT64_C(1) << 40);
}

Test(bits, smaller_and_larger)
{
    cr_assert_eq(fh_min_u64(3, 5), 3);
    cr_assert_eq(fh_min_u64(5, 3), 3);
    cr_assert_eq(fh_max_u64(3, 5), 5);
    cr_assert_eq(fh_max_u64(5, 3), 5);
}

Test(bits, a_bit_is_set_and_cleared_alone)
{
    uint64_t words[3] = {0};
    for (uint32_t i = 0; i < 192; i++) {
        fh_bit_set(words, i);
        cr_assert(fh_bit_is_set(words, i));
        cr_assert_eq(__builtin_popcountll(words[0]) + __builtin_popcountll(words[1]) +
                         __builtin_popcountll(words[2]),
                     1);
        fh_bit_clear(words, i);
        cr_assert_not(fh_bit_is_set(words, i));
    }
}

Test(bitset, levels_are_as_many_as_the_items_need)
{
    static const struct {
        uint64_t items, words;
        uint32_t levels;
    } rows[] = {
        {1, 1, 1},
        {64, 1, 1},
        {65, 3, 2},
        {4096, 65, 2},
        {4097, 68, 3},
        {1 << 18, 4096 + 64 + 1, 3},
        {1 << 24, (1 << 18) + 4096 + 64 + 1, 4},
    };
    static uint64_t words[(1 << 18) + 4096 + 64 + 1];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fh_bitset s;
        cr_assert_eq(fh_bitset_words(rows[i].items), rows[i].words);
        fh_bitset_init(&s, words, rows[i].items);
        cr_assert_eq(s.levels, rows[i].levels);
        cr_assert(fh_bitset_is_empty(&s));
    }
}

static uint64_t slow_lowest(const bool *has, uint64_t items)
{
    for (uint64_t i = 0; i < items; i++)
        if (has[i])
            return i;
    return items;
}

static void walk_bitset(struct rng *r, uint64_t items)
{
    static uint64_t words[8192];
    static bool has[1 << 18];
    struct fh_bitset s;

    memset(words, 0, sizeof(words));
    memset(has, 0, sizeof(has));
    fh_bitset_init(&s, words, items);
    for (uint32_t step = 0; step < 2000; step++) {
        uint64_t i = rng_percent(r, 50) ? rng_below(r, items) : slow_lowest(has, items) % items;
        if (has[i])
            fh_bitset_remove(&s, i);
        else
            fh_bitset_add(&s, i);
        has[i] = !has[i];
        uint64_t lowest = slow_lowest(has, items);
        cr_assert_eq(fh_bitset_is_empty(&s), lowest == items);
        cr_assert_eq(fh_bitset_has(&s, i), has[i]);
        if (lowest != items)
            cr_assert_eq(fh_bitset_lowest(&s), lowest);
    }
}

Test(bitset, the_lowest_item_is_that_of_a_plain_scan)
{
    static const uint64_t sizes[] = {1, 63, 64, 65, 4095, 4097, 100000};
    struct rng r = rng_from_env("bitset");
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        walk_bitset(&r, sizes[i]);
}
