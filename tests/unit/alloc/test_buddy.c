#include "alloc/buddy.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/rng.h"

static struct fh_mem mem;
static struct fh_buddy_tables tables;
static struct fh_buddy b;

static void use(const char *name, uint32_t granules)
{
    fh_buddy_tables_init(&tables, fh_buddy_system_find(name), granules);
    memset(&b, 0xa5, sizeof(b));
    cr_assert_eq(fh_buddy_init(&b, &tables, &mem), 0);
}

static void setup(void)
{
    use("binary", 16);
}

static void teardown(void)
{
    fh_buddy_fini(&b);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(buddy, .init = setup, .fini = teardown, .timeout = 20);

static uint32_t take(uint32_t size)
{
    struct fh_buddy_block block;
    cr_assert_eq(fh_buddy_alloc(&b, size, &block), 0);
    cr_assert_geq(block.size, size);
    cr_assert(fh_buddy_check(&b, stderr));
    return block.start;
}

static void give(uint32_t start)
{
    cr_assert_eq(fh_buddy_free(&b, start), 0);
    cr_assert(fh_buddy_check(&b, stderr));
}

static char *dump_text(void)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    fh_buddy_dump(&b, out);
    fclose(out);
    return text;
}

static void is_dumped_as(const char *expected)
{
    char *text = dump_text();
    cr_assert_str_eq(text, expected);
    free(text);
}

/* Whether check fails and names the invariant. */
static bool check_names(const char *invariant)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    bool whole = fh_buddy_check(&b, out);
    fclose(out);
    bool named = strstr(text, invariant) != NULL;
    free(text);
    return !whole && named;
}

Test(buddy, a_fresh_arena_is_one_free_block)
{
    cr_assert(fh_buddy_check(&b, stderr));
    is_dumped_as("buddy binary: 0 of 16 granules used\n  0: 1 x 16 free\n");
}

Test(buddy, the_lowest_block_is_taken_and_the_rest_stays_large)
{
    cr_assert_eq(take(1), 0);
    is_dumped_as("buddy binary: 1 of 16 granules used\n  0: 1 x 1 used\n  1: 1 x 1 free\n"
                 "  2: 1 x 2 free\n  4: 1 x 4 free\n  8: 1 x 8 free\n");
    cr_assert_eq(take(3), 4);
    cr_assert_eq(take(1), 1);
    cr_assert_eq(take(2), 2);
    cr_assert_eq(b.used, 8);
}

Test(buddy, blocks_join_again_up_to_the_tile)
{
    uint32_t start[16];
    for (uint32_t i = 0; i < 16; i++)
        start[i] = take(1);
    for (uint32_t i = 0; i < 16; i++)
        give(start[i * 7 % 16]);
    is_dumped_as("buddy binary: 0 of 16 granules used\n  0: 1 x 16 free\n");
    struct fh_buddy_class_stats ones = {0}, all = {0};
    fh_buddy_stats(&b, 0, &ones);
    fh_buddy_stats(&b, 4, &all);
    cr_assert_eq(all.splits, 1);
    cr_assert_eq(all.merges, 1);
    cr_assert_eq(all.block_pages, 16);
    cr_assert_eq(all.free_blocks, 1);
    cr_assert_eq(ones.free_blocks + ones.used_blocks, 0);
}

Test(buddy, fibonacci_splits_left_first_and_remembers)
{
    fh_buddy_fini(&b);
    use("fibonacci", 8);
    cr_assert_eq(take(5), 0);
    is_dumped_as("buddy fibonacci: 5 of 8 granules used\n  0: 1 x 5 used\n  5: 1 x 3 free\n");
    cr_assert_eq(take(1), 7, "the smallest child that yields a 1 is the right one");
    cr_assert_eq(take(2), 5);
    give(5);
    give(0);
    give(7);
    is_dumped_as("buddy fibonacci: 0 of 8 granules used\n  0: 1 x 8 free\n");
}

Test(buddy, tertiary_hands_out_a_larger_block_rather_than_none)
{
    struct fh_buddy_block block;
    fh_buddy_fini(&b);
    use("tertiary", 16); /* 16 gives 6, 6 and 4 */
    cr_assert_eq(take(6), 0);
    cr_assert_eq(take(6), 6);
    give(0);
    cr_assert_eq(take(3), 12, "a 4 yields no 3 and is handed out whole; a 6 neither");
    cr_assert_eq(take(2), 4, "a 6 yields a 2");
    cr_assert_eq(fh_buddy_alloc(&b, 3, &block), 0);
    cr_assert_eq(block.start, 0);
    cr_assert_eq(block.size, 4);
}

Test(buddy, weighted_cuts_three_to_one)
{
    fh_buddy_fini(&b);
    use("weighted", 16);
    cr_assert_eq(take(12), 0);
    cr_assert_eq(take(3), 12);
    cr_assert_eq(take(1), 15);
    give(12);
    give(0);
    give(15);
    is_dumped_as("buddy weighted: 0 of 16 granules used\n  0: 1 x 16 free\n");
}

Test(buddy, an_arena_of_one_granule_works)
{
    struct fh_buddy_block block;
    fh_buddy_fini(&b);
    use("fibonacci", 1);
    cr_assert_eq(take(1), 0);
    cr_assert_eq(fh_buddy_alloc(&b, 1, &block), -ENOSPC);
    give(0);
}

Test(buddy, sizes_out_of_range_are_refused)
{
    struct fh_buddy_block block = {.start = 77};
    cr_assert_eq(fh_buddy_alloc(&b, 0, &block), -EINVAL);
    cr_assert_eq(fh_buddy_alloc(&b, 17, &block), -EINVAL);
    cr_assert_eq(fh_buddy_alloc(&b, UINT32_MAX, &block), -EINVAL);
    cr_assert_eq(block.start, 77);
    cr_assert_not(fh_buddy_fits(&b, 0));
    cr_assert_not(fh_buddy_fits(&b, 17));
    cr_assert(fh_buddy_fits(&b, 16));
}

Test(buddy, a_full_arena_answers_no_space_and_stays_as_it_is)
{
    struct fh_buddy_block block = {.start = 77};
    take(8);
    take(4);
    char *before = dump_text();
    cr_assert_eq(fh_buddy_alloc(&b, 5, &block), -ENOSPC);
    cr_assert_eq(block.start, 77);
    cr_assert_not(fh_buddy_fits(&b, 5));
    cr_assert(fh_buddy_fits(&b, 4));
    is_dumped_as(before);
    free(before);
}

Test(buddy, only_the_start_of_a_used_block_can_be_freed)
{
    take(4);
    take(2);
    char *before = dump_text();
    for (uint32_t start = 0; start < 40; start++)
        if (start != 0 && start != 4)
            cr_assert_eq(fh_buddy_free(&b, start), -EFAULT, "%u", start);
    cr_assert_eq(fh_buddy_free(&b, UINT32_MAX), -EFAULT);
    is_dumped_as(before);
    give(4);
    cr_assert_eq(fh_buddy_free(&b, 4), -EFAULT, "twice");
    free(before);
}

Test(buddy, any_granule_leads_to_its_block)
{
    uint32_t four = take(4), two = take(2);
    for (uint32_t g = 0; g < 16; g++) {
        struct fh_buddy_block block = fh_buddy_find(&b, g);
        cr_assert_eq(block.used, g < 6);
        cr_assert_leq(block.start, g);
        cr_assert_gt(block.start + block.size, g);
    }
    cr_assert_eq(fh_buddy_find(&b, 3).start, four);
    cr_assert_eq(fh_buddy_find(&b, 5).start, two);
    cr_assert_eq(fh_buddy_size_at(&b, four), 4);
    cr_assert_eq(fh_buddy_size_at(&b, four + 1), 0);
    cr_assert_eq(fh_buddy_size_at(&b, 16), 0);
}

Test(buddy, without_memory_for_books_there_is_no_buddy)
{
    struct fh_mem poor = {.fail_at = 1};
    struct fh_buddy other;
    cr_assert_eq(fh_buddy_init(&other, &tables, &poor), -ENOMEM);
    cr_assert_eq(poor.used_bytes, 0);
}

Test(buddy, books_of_a_whole_arena_are_small)
{
    fh_buddy_fini(&b);
    use("binary", FH_BUDDY_GRANULES_MAX);
    uint64_t per_granule_permille = b.books_size * 1000 / FH_BUDDY_GRANULES_MAX;
    cr_assert_leq(per_granule_permille, 2000 + 270);
}

/* --- the checker is shown one broken structure per invariant --- */

static uint16_t head(uint32_t class, uint32_t kind, uint32_t mem_field, bool used)
{
    return (uint16_t)((class + 1) | kind << 6 | mem_field << 9 | (used ? 1u << 12 : 0));
}

Test(buddy, check_sees_a_missing_head)
{
    take(4);
    b.heads[4] = 0;
    cr_assert(check_names("[I1]"));
}

Test(buddy, check_sees_a_head_inside_a_block)
{
    take(4);
    b.heads[2] = head(0, 1, 0, true);
    cr_assert(check_names("[I1]"));
}

Test(buddy, check_sees_a_head_larger_than_its_place)
{
    take(4);
    b.heads[4] = head(4, 0, 0, false);
    cr_assert(check_names("[I1]"));
}

Test(buddy, check_sees_a_wrong_kind)
{
    take(4);
    b.heads[0] = head(2, 2, 1, true);
    cr_assert(check_names("[I2]"));
}

Test(buddy, check_sees_a_wrong_mem)
{
    take(4);
    b.heads[0] ^= 1u << 9;
    cr_assert(check_names("[I2]"));
}

Test(buddy, check_sees_siblings_left_apart)
{
    uint32_t first = take(8), second = take(8);
    give(second);
    b.heads[first] = head(3, 1, 0, false);
    fh_bitset_add(&b.free_starts[3], 0);
    b.free_blocks[3]++;
    b.used_blocks[3]--;
    b.used = 0;
    cr_assert(check_names("[I3]"));
}

Test(buddy, check_sees_a_free_block_that_is_not_in_the_bitmap)
{
    take(4);
    fh_bitset_remove(&b.free_starts[2], 1);
    cr_assert(check_names("[I4]"));
}

Test(buddy, check_sees_a_bit_too_many)
{
    take(4);
    fh_bitset_add(&b.free_starts[0], 9);
    cr_assert(check_names("[I4]"));
}

Test(buddy, check_sees_a_wrong_summary)
{
    fh_buddy_fini(&b);
    use("binary", 4096);
    take(1);
    b.free_starts[0].level[1][0] ^= 1u << 5;
    cr_assert(check_names("[I4]"));
}

Test(buddy, check_sees_a_wrong_set_of_free_classes)
{
    take(4);
    b.free_classes ^= 1;
    cr_assert(check_names("[I4]"));
}

Test(buddy, check_sees_a_wrong_sum)
{
    take(4);
    b.used++;
    cr_assert(check_names("[I5]"));
    b.used--;
    b.free_blocks[2]++;
    cr_assert(check_names("[I5]"));
    b.free_blocks[2]--;
    b.used_blocks[1]++;
    cr_assert(check_names("[I5]"));
}
