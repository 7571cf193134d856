#include "alloc/buddy_systems.h"

#include <criterion/criterion.h>
#include <signal.h>

static struct fh_buddy_tables t;

TestSuite(buddy_systems, .timeout = 20);

static void use(const char *name, uint32_t granules)
{
    const struct fh_buddy_system *s = fh_buddy_system_find(name);
    cr_assert_not_null(s);
    fh_buddy_tables_init(&t, s, granules);
}

static uint32_t class_of(uint32_t size)
{
    for (uint32_t c = 0; c < t.classes; c++)
        if (t.size[c] == size)
            return c;
    cr_assert_fail("no class of %u", size);
    return 0;
}

Test(buddy_systems, each_is_found_by_its_name)
{
    static const char *const names[] = {"binary", "fibonacci", "weighted", "tertiary"};
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_str_eq(fh_buddy_system_at(i)->name, names[i]);
        cr_assert_eq(fh_buddy_system_find(names[i]), fh_buddy_system_at(i));
    }
    cr_assert_null(fh_buddy_system_at(4));
    cr_assert_null(fh_buddy_system_find("ternary"));
    cr_assert_null(fh_buddy_system_find(""));
}

Test(buddy_systems, sizes_ascend_and_children_fill_their_parent)
{
    const struct fh_buddy_system *s;
    for (uint32_t i = 0; (s = fh_buddy_system_at(i)) != NULL; i++) {
        fh_buddy_tables_init(&t, s, FH_BUDDY_GRANULES_MAX);
        cr_assert_eq(t.size[0], 1);
        for (uint32_t c = 1; c < t.classes; c++) {
            uint32_t sum = 0;
            cr_assert_gt(t.size[c], t.size[c - 1]);
            for (uint32_t k = 0; k < t.children[c]; k++) {
                cr_assert_eq(t.child[c][k].offset, sum);
                sum += t.size[t.child[c][k].class];
            }
            cr_assert_eq(sum, t.size[c], "%s %u", s->name, t.size[c]);
        }
    }
}

Test(buddy_systems, a_kind_leads_back_to_the_parent)
{
    const struct fh_buddy_system *s;
    for (uint32_t i = 0; (s = fh_buddy_system_at(i)) != NULL; i++) {
        fh_buddy_tables_init(&t, s, FH_BUDDY_GRANULES_MAX);
        for (uint32_t c = 0; c < t.classes; c++)
            for (uint32_t k = 0; k < t.children[c]; k++) {
                struct fh_buddy_place down = t.child[c][k];
                struct fh_buddy_place up = t.parent[down.class][down.kind];
                cr_assert_neq(down.kind, 0);
                cr_assert_eq(up.class, c);
                cr_assert_eq(up.kind, k);
                cr_assert_eq(up.offset, down.offset);
            }
    }
}

Test(buddy_systems, kinds_are_as_many_as_ways_to_be_a_child)
{
    use("binary", FH_BUDDY_GRANULES_MAX);
    cr_assert_eq(t.kinds[class_of(1)], 2);
    use("fibonacci", FH_BUDDY_GRANULES_MAX);
    cr_assert_eq(t.kinds[class_of(1)], 3);
    cr_assert_eq(t.kinds[class_of(5)], 2);
    use("weighted", FH_BUDDY_GRANULES_MAX);
    cr_assert_eq(t.kinds[class_of(1)], 4);
    cr_assert_eq(t.kinds[class_of(6)], 1);
    cr_assert_eq(t.kinds[class_of(8)], 3);
    use("tertiary", FH_BUDDY_GRANULES_MAX);
    cr_assert_eq(t.kinds[class_of(2)], 5);
    cr_assert_eq(t.kinds[class_of(6)], 2);
    cr_assert_eq(t.kinds[class_of(16)], 3);
}

Test(buddy_systems, an_arena_is_tiled_by_the_largest_that_fit)
{
    static const uint32_t fibonacci[] = {196418, 46368, 17711, 1597, 34, 13, 3};
    use("fibonacci", FH_BUDDY_GRANULES_MAX);
    cr_assert_eq(t.tiles, 7);
    for (uint32_t i = 0; i < 7; i++)
        cr_assert_eq(t.size[t.tile[i]], fibonacci[i]);
    static const char *const whole[] = {"binary", "weighted", "tertiary"};
    for (uint32_t i = 0; i < 3; i++) {
        use(whole[i], FH_BUDDY_GRANULES_MAX);
        cr_assert_eq(t.tiles, 1);
        cr_assert_eq(t.size[t.tile[0]], FH_BUDDY_GRANULES_MAX);
    }
}

Test(buddy_systems, any_size_of_arena_has_tiles_that_add_up)
{
    const struct fh_buddy_system *s;
    for (uint32_t i = 0; (s = fh_buddy_system_at(i)) != NULL; i++)
        for (uint32_t granules = 1; granules <= FH_BUDDY_GRANULES_MAX;
             granules += granules < 700 ? 1 : 9973) {
            uint32_t sum = 0;
            fh_buddy_tables_init(&t, s, granules);
            for (uint32_t k = 0; k < t.tiles; k++)
                sum += t.size[t.tile[k]];
            cr_assert_eq(sum, granules);
        }
}

Test(buddy_systems, every_class_yields_every_smaller_one_but_in_tertiary)
{
    static const char *const complete[] = {"binary", "fibonacci", "weighted"};
    for (uint32_t i = 0; i < 3; i++) {
        use(complete[i], FH_BUDDY_GRANULES_MAX);
        for (uint32_t d = 0; d < t.classes; d++)
            cr_assert_eq(t.yield[d], (UINT64_C(2) << d) - 1);
    }
    use("tertiary", FH_BUDDY_GRANULES_MAX);
    uint32_t missing = 0;
    for (uint32_t d = 0; d < t.classes; d++)
        missing += d + 1 - (uint32_t)__builtin_popcountll(t.yield[d]);
    cr_assert_eq(missing, 64);
    cr_assert_not(t.yield[class_of(8)] >> class_of(6) & 1);
    cr_assert_not(t.yield[class_of(8)] >> class_of(4) & 1);
    cr_assert(t.yield[class_of(8)] >> class_of(3) & 1);
}

Test(buddy_systems, sizes_no_tile_yields_are_rounded_past)
{
    use("tertiary", FH_BUDDY_GRANULES_MAX);
    static const uint32_t unusable[] = {49152, 131072, 196608};
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t c = class_of(unusable[i]);
        cr_assert_not(t.usable >> c & 1);
        cr_assert_gt(fh_buddy_class_for(&t, unusable[i]), c);
    }
    cr_assert_eq(__builtin_popcountll(t.usable), (int)t.classes - 3);
    cr_assert_eq(t.size[fh_buddy_class_for(&t, 49152)], 65536);
}

Test(buddy_systems, class_for_is_the_smallest_that_is_large_enough)
{
    const struct fh_buddy_system *s;
    for (uint32_t i = 0; (s = fh_buddy_system_at(i)) != NULL; i++) {
        fh_buddy_tables_init(&t, s, 1000);
        for (uint32_t size = 0; size <= 1100; size++) {
            uint32_t expected = 0;
            while (expected < t.classes && (t.size[expected] < size || !(t.usable >> expected & 1)))
                expected++;
            cr_assert_eq(fh_buddy_class_for(&t, size), expected);
        }
    }
}

Test(buddy_systems, bitmaps_have_few_bits_per_granule)
{
    static const double expected[] = {2.0, 4.75, 2.5, 3.25};
    const struct fh_buddy_system *system;
    for (uint32_t i = 0; (system = fh_buddy_system_at(i)) != NULL; i++) {
        double bits = 0;
        fh_buddy_tables_init(&t, system, FH_BUDDY_GRANULES_MAX);
        for (uint32_t c = 0; c < t.classes; c++)
            bits += 1.0 / (double)(UINT64_C(1) << t.start_shift[c]);
        cr_assert_float_eq(bits, expected[i], 0.01, "%s: %f", system->name, bits);
    }
}

/* Starts of a class, anywhere in the forest: all multiples of the same power of two. */
static void note_starts(uint32_t class, uint32_t start, uint32_t any[FH_BUDDY_CLASSES])
{
    any[class] |= start;
    for (uint32_t i = 0; i < t.children[class]; i++)
        note_starts(t.child[class][i].class, start + t.child[class][i].offset, any);
}

Test(buddy_systems, a_bit_stands_for_at_most_one_start)
{
    const struct fh_buddy_system *system;
    for (uint32_t i = 0; (system = fh_buddy_system_at(i)) != NULL; i++) {
        uint32_t any[FH_BUDDY_CLASSES] = {0};
        fh_buddy_tables_init(&t, system, 3000);
        for (uint32_t k = 0, at = 0; k < t.tiles; at += t.size[t.tile[k++]])
            note_starts(t.tile[k], at, any);
        for (uint32_t c = 0; c < t.classes; c++) {
            uint32_t span = 1u << t.start_shift[c];
            bool by_size = span <= t.size[c], by_alignment = any[c] % span == 0;
            cr_assert(by_size || by_alignment, "%s, size %u", system->name, t.size[c]);
        }
    }
}

/* Mean of granules handed out / granules asked for, each doubling of sizes as likely as the next.
 */
static double mean_rounding(uint32_t low, uint32_t high)
{
    double sum = 0, weights = 0;
    for (uint32_t size = low + 1; size <= high; size++) {
        double ratio = (double)t.size[fh_buddy_class_for(&t, size)] / (size - 0.5);
        sum += ratio / (size - 0.5);
        weights += 1 / (size - 0.5);
    }
    return sum / weights;
}

Test(buddy_systems, rounding_costs_what_the_ratios_of_neighbours_say)
{
    use("binary", FH_BUDDY_GRANULES_MAX);
    cr_assert_float_eq(mean_rounding(256, 32768), 1.443, 0.0144);
    use("fibonacci", FH_BUDDY_GRANULES_MAX);
    cr_assert_float_eq(mean_rounding(377, 28657), 1.284, 0.0128);
    use("weighted", FH_BUDDY_GRANULES_MAX);
    cr_assert_float_eq(mean_rounding(256, 32768), 1.202, 0.0120);
    use("tertiary", FH_BUDDY_GRANULES_MAX);
    cr_assert_float_eq(mean_rounding(256, 32768), 1.202, 0.0120);
}

Test(buddy_systems, an_arena_without_granules_is_a_programmer_error, .signal = SIGABRT)
{
    fh_buddy_tables_init(&t, &fh_buddy_binary, 0);
}

Test(buddy_systems, a_part_that_is_no_size_is_a_programmer_error, .signal = SIGABRT)
{
    static const struct fh_buddy_split splits[] = {{1, {0}}, {4, {3, 1}}};
    static const struct fh_buddy_system wrong = {"wrong", splits, 2};
    fh_buddy_tables_init(&t, &wrong, 4);
}
