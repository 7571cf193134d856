#include "alloc/space.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

enum { TAG = 1, QUARTER = FH_ARENA_PAGES / 4, TIB_PAGES = 1 << 28 };

static struct fh_mem mem;
static struct fh_space s;

static void setup(void)
{
    memset(&s, 0xa5, sizeof(s));
    cr_assert_eq(fh_space_init(&s, &mem, &fh_buddy_binary), 0);
}

static void teardown(void)
{
    fh_space_fini(&s);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(space, .init = setup, .fini = teardown, .timeout = 30);

static uint64_t take(uint64_t pages)
{
    struct fh_space_block block;
    cr_assert_eq(fh_space_alloc(&s, pages, TAG, &block), 0);
    cr_assert_geq(block.pages, pages);
    cr_assert_eq(fh_space_mark_at(&s, block.first), TAG);
    return block.first.v;
}

static int give(uint64_t page)
{
    return fh_space_free(&s, (struct fh_page){page});
}

static struct fh_space_stats stats(void)
{
    struct fh_space_stats out;
    fh_space_stats(&s, &out);
    return out;
}

static char *dump_text(void)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    fh_space_dump(&s, out);
    fclose(out);
    return text;
}

static bool check_names(const char *invariant)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    bool whole = fh_space_check(&s, out);
    fclose(out);
    bool named = strstr(text, invariant) != NULL;
    free(text);
    return !whole && named;
}

Test(space, a_fresh_space_has_no_arena_and_nothing_in_it)
{
    struct fh_space_block block;
    cr_assert(fh_space_check(&s, stderr));
    cr_assert_eq(stats().arenas_open, 0);
    cr_assert_eq(stats().break_pages, 0);
    cr_assert_eq(fh_space_find(&s, (struct fh_page){0}, &block), -EFAULT);
    cr_assert_eq(fh_space_find_inner(&s, (struct fh_page){0}, &block), -EFAULT);
    cr_assert_eq(give(0), -EFAULT);
}

Test(space, arenas_are_opened_when_needed_and_the_lowest_room_is_taken)
{
    for (uint64_t i = 0; i < 4; i++)
        cr_assert_eq(take(QUARTER), i * QUARTER);
    cr_assert_eq(stats().arenas_open, 1);
    cr_assert_eq(take(1), FH_ARENA_PAGES);
    cr_assert_eq(stats().arenas_open, 2);
    cr_assert_eq(stats().break_pages, 2 * FH_ARENA_PAGES);
    cr_assert_eq(stats().largest_free_pages, FH_ARENA_PAGES / 2);
    cr_assert_eq(give(QUARTER), 0);
    cr_assert_eq(take(100), QUARTER, "the lower arena has room again");
    cr_assert(fh_space_check(&s, stderr));
}

Test(space, one_empty_arena_is_kept_the_lower_of_two)
{
    uint64_t low[4], high;
    for (uint32_t i = 0; i < 4; i++)
        low[i] = take(QUARTER);
    high = take(1);
    cr_assert_eq(give(high), 0);
    cr_assert_eq(stats().arenas_empty, 1);
    cr_assert_eq(stats().arenas_open, 2);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(give(low[i]), 0);
    cr_assert_eq(stats().arenas_open, 1);
    cr_assert_eq(stats().arenas_closed, 1);
    cr_assert_eq(stats().break_pages, FH_ARENA_PAGES);
    cr_assert(fh_space_check(&s, stderr));
    fh_space_trim(&s);
    cr_assert_eq(stats().arenas_open, 0);
    cr_assert_eq(stats().break_pages, 0);
    cr_assert(fh_space_check(&s, stderr));
}

Test(space, splits_and_merges_of_closed_arenas_still_count)
{
    struct fh_buddy_class_stats whole;
    cr_assert_eq(give(take(1)), 0);
    fh_space_trim(&s);
    cr_assert(fh_space_class_stats(&s, 18, &whole));
    cr_assert_eq(whole.block_pages, FH_ARENA_PAGES);
    cr_assert_eq(whole.splits, 1);
    cr_assert_eq(whole.merges, 1);
    cr_assert_eq(whole.free_blocks, 0);
    cr_assert_not(fh_space_class_stats(&s, 19, &whole));
}

Test(space, beyond_a_quarter_arena_a_block_is_a_segment_of_arenas)
{
    struct fh_space_block block;
    uint64_t small = take(1);
    cr_assert_eq(fh_space_alloc(&s, QUARTER + 1, 7, &block), 0);
    cr_assert_eq(block.first.v, FH_ARENA_PAGES);
    cr_assert_eq(block.pages, FH_ARENA_PAGES);
    uint64_t two = take(FH_ARENA_PAGES + 1);
    cr_assert_eq(two, 2 * FH_ARENA_PAGES);
    cr_assert_eq(stats().segments, 2);
    cr_assert_eq(stats().segment_pages, 3 * FH_ARENA_PAGES);
    cr_assert(fh_space_check(&s, stderr));

    cr_assert_eq(fh_space_find_inner(&s, (struct fh_page){4 * FH_ARENA_PAGES - 1}, &block), 0);
    cr_assert_eq(block.first.v, two);
    cr_assert_eq(block.pages, 2 * FH_ARENA_PAGES);
    cr_assert_eq(fh_space_find_inner(&s, (struct fh_page){4 * FH_ARENA_PAGES}, &block), -EFAULT);
    cr_assert_eq(give(two + 1), -EFAULT);
    cr_assert_eq(give(two + FH_ARENA_PAGES), -EFAULT, "not the first of its segment");
    cr_assert_eq(give(two), 0);
    cr_assert_eq(give(two), -EFAULT);
    cr_assert_eq(give(small), 0);
    cr_assert_eq(stats().break_pages, 2 * FH_ARENA_PAGES);
}

Test(space, a_segment_fills_the_lowest_hole_that_is_wide_enough)
{
    uint64_t a = take(FH_ARENA_PAGES), b = take(2 * FH_ARENA_PAGES), c = take(FH_ARENA_PAGES);
    cr_assert_eq(c, 3 * FH_ARENA_PAGES);
    cr_assert_eq(give(a), 0);
    cr_assert_eq(take(2 * FH_ARENA_PAGES), 4 * FH_ARENA_PAGES);
    cr_assert_eq(give(b), 0);
    cr_assert_eq(take(3 * FH_ARENA_PAGES), 0);
    cr_assert(fh_space_check(&s, stderr));
}

Test(space, a_tebibyte_costs_table_entries_only)
{
    unsigned char resident[FH_SPACE_ARENAS * sizeof(uint64_t) / FH_PAGE_SIZE];
    uint64_t before = mem.used_bytes, pages = 0;
    cr_assert_eq(take(TIB_PAGES), 0);
    cr_assert_eq(take(TIB_PAGES), TIB_PAGES);
    cr_assert_eq(mem.used_bytes, before);
    cr_assert_eq(mincore(s.entries, sizeof(resident) * FH_PAGE_SIZE, resident), 0);
    for (size_t i = 0; i < sizeof(resident); i++)
        pages += resident[i] & 1;
    cr_assert_leq(pages, 4 + 1, "8 KiB of entries each");
}

Test(space, more_than_a_tebibyte_is_refused)
{
    struct fh_space_block block;
    cr_assert_eq(fh_space_alloc(&s, TIB_PAGES + 1, TAG, &block), -EFBIG);
    cr_assert_eq(fh_space_alloc(&s, UINT64_MAX, TAG, &block), -EFBIG);
}

Test(space, a_space_used_up_answers_no_space_and_stays_as_it_is)
{
    struct fh_space_block block;
    for (uint32_t i = 0; i < FH_SPACE_ARENAS / 1024; i++)
        cr_assert_eq(take(TIB_PAGES), (uint64_t)i * TIB_PAGES);
    char *before = dump_text();
    cr_assert_eq(fh_space_alloc(&s, 1, TAG, &block), -ENOSPC);
    cr_assert_eq(fh_space_alloc(&s, QUARTER + 1, TAG, &block), -ENOSPC);
    char *after = dump_text();
    cr_assert_str_eq(before, after);
    free(before);
    free(after);
    cr_assert(fh_space_check(&s, stderr));
    cr_assert_eq(give((uint64_t)200 * TIB_PAGES), 0);
    cr_assert_eq(take(1), (uint64_t)200 * TIB_PAGES);
    cr_assert(fh_space_check(&s, stderr));
}

Test(space, any_page_may_be_asked_about)
{
    static const uint64_t pages[] = {1,
                                     FH_ARENA_PAGES - 1,
                                     FH_ARENA_PAGES,
                                     (UINT64_C(1) << FH_SPACE_PAGE_SHIFT) - 1,
                                     UINT64_C(1) << FH_SPACE_PAGE_SHIFT,
                                     UINT64_MAX / 2,
                                     UINT64_MAX};
    struct fh_space_block block;
    take(1);
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        struct fh_page p = {pages[i]};
        cr_assert_eq(fh_space_mark_at(&s, p), 0);
        cr_assert_eq(fh_space_find(&s, p, &block), -EFAULT);
        cr_assert_eq(fh_space_find_inner(&s, p, &block), -EFAULT);
        cr_assert_eq(fh_space_free(&s, p), -EFAULT);
    }
}

Test(space, marks_of_a_slab_lie_on_each_page_and_go_with_it)
{
    struct fh_space_block block;
    cr_assert_eq(fh_space_alloc(&s, 3, FH_SPACE_SLAB | 9, &block), 0);
    cr_assert_eq(block.pages, 4);
    fh_space_mark_pages(&s, block.first, 3);
    for (uint64_t i = 0; i < 4; i++)
        cr_assert_eq(fh_space_mark_at(&s, fh_page_add(block.first, i)),
                     i < 3 ? (FH_SPACE_SLAB | 9) : 0);
    cr_assert(fh_space_check(&s, stderr));
    cr_assert_eq(give(block.first.v), 0);
    for (uint64_t i = 0; i < 4; i++)
        cr_assert_eq(fh_space_mark_at(&s, fh_page_add(block.first, i)), 0);
}

Test(space, every_system_can_carve_a_space)
{
    const struct fh_buddy_system *system;
    for (uint32_t i = 0; (system = fh_buddy_system_at(i)) != NULL; i++) {
        fh_space_fini(&s);
        cr_assert_eq(fh_space_init(&s, &mem, system), 0);
        uint64_t quarter = take(QUARTER), nine = take(9), one = take(1);
        cr_assert(fh_space_check(&s, stderr));
        cr_assert_eq(give(nine) | give(quarter) | give(one), 0);
        cr_assert_eq(stats().used_pages, 0);
        cr_assert(fh_space_check(&s, stderr));
        cr_assert_str_eq(stats().system, system->name);
    }
}

Test(space, without_memory_nothing_has_happened)
{
    struct fh_space_block block = {.mark = 77};
    for (uint64_t n = 1; n <= 2; n++) {
        struct fh_mem poor = {.fail_at = n};
        struct fh_space other;
        cr_assert_eq(fh_space_init(&other, &poor, &fh_buddy_binary), -ENOMEM);
        cr_assert_eq(poor.used_bytes, 0);
    }
    for (uint32_t i = 0; i < 4; i++)
        take(QUARTER);
    char *before = dump_text();
    uint64_t used = mem.used_bytes;
    uint32_t failures = 0;
    for (uint64_t n = 1;; n++) {
        mem.fail_at = mem.calls + n;
        if (fh_space_alloc(&s, 1, TAG, &block) == 0)
            break;
        char *after = dump_text();
        cr_assert_str_eq(before, after);
        cr_assert_eq(mem.used_bytes, used);
        cr_assert_eq(block.mark, 77);
        free(after);
        failures++;
    }
    cr_assert_eq(failures, 3, "an arena, its marks, its buddy");
    cr_assert(fh_space_check(&s, stderr));
    free(before);
}

Test(space, marks_beyond_a_block_are_a_programmer_error, .signal = SIGABRT)
{
    uint64_t page = take(1);
    fh_space_mark_pages(&s, (struct fh_page){page}, 2);
}

/* --- the checker is shown one broken structure per invariant --- */

/* What an arena begins with, as space.c lays it out. */
struct arena_head {
    struct fh_buddy buddy;
    uint32_t *marks;
    uint32_t index, high;
};

static struct arena_head *first_arena(void)
{
    return (struct arena_head *)(uintptr_t)s.entries[0];
}

static struct fh_buddy *first_buddy(void)
{
    return &first_arena()->buddy;
}

static uint32_t *mark_of(uint64_t page)
{
    return &first_arena()->marks[page];
}

Test(space, check_sees_a_part_with_a_wrong_distance)
{
    take(3 * FH_ARENA_PAGES);
    s.entries[2] += 4;
    cr_assert(check_names("[I1]"));
    s.entries[2] -= 4;
}

Test(space, check_sees_a_part_of_no_segment)
{
    take(1);
    s.entries[1] = 2 | 1 << 2;
    s.brk = 2;
    s.unused_hint = 2;
    cr_assert(check_names("[I1]"));
    s.entries[1] = 0;
    s.brk = 1;
}

Test(space, check_sees_a_wrong_break)
{
    take(1);
    s.brk = 2;
    cr_assert(check_names("[I2]"));
    s.brk = 0;
    cr_assert(check_names("[I2]"));
    s.brk = 1;
}

Test(space, check_sees_a_hint_above_an_unused_entry)
{
    uint64_t low = take(FH_ARENA_PAGES);
    take(FH_ARENA_PAGES);
    cr_assert_eq(give(low), 0);
    s.unused_hint = 1;
    cr_assert(check_names("[I2]"));
}

Test(space, check_sees_a_set_of_free_classes_that_is_old)
{
    take(1);
    s.free_classes[0] ^= 1;
    cr_assert(check_names("[I3]"));
    s.free_classes[0] ^= 1;
    s.free_classes[1] = 1;
    take(2 * FH_ARENA_PAGES);
    cr_assert(check_names("[I3]"));
}

Test(space, check_sees_wrong_counts)
{
    take(1);
    s.arenas++;
    cr_assert(check_names("[I4]"));
    s.arenas--;
    s.segment_arenas++;
    cr_assert(check_names("[I4]"));
}

Test(space, check_sees_a_stray_mark)
{
    uint64_t page = take(2);
    fh_space_mark_pages(&s, (struct fh_page){page}, 2); /* as if it were a slab's */
    cr_assert(check_names("[I5]"));
}

Test(space, check_sees_an_empty_arena_that_is_not_the_spare)
{
    cr_assert_eq(give(take(1)), 0);
    s.spare = FH_SPACE_ARENAS;
    cr_assert(check_names("[I6]"));
    s.spare = 0;
    take(1);
    s.spare = 0;
    cr_assert(check_names("[I6]"));
}

Test(space, check_sees_a_block_beyond_what_was_ever_used)
{
    take(2);
    first_arena()->high = 1;
    cr_assert(check_names("[I7]"));
}

Test(space, books_are_counted_as_far_as_they_were_used)
{
    uint64_t page = take(1);
    uint64_t few = stats().book_bytes;
    cr_assert_geq(few, 4096u);
    cr_assert_leq(few, 8u * 4096);
    take(FH_ARENA_PAGES / 4);
    uint64_t many = stats().book_bytes;
    cr_assert_geq(many, few + FH_ARENA_PAGES / 4 * 6);
    cr_assert_eq(give(page), 0);
    cr_assert_eq(stats().book_bytes, many, "what was touched stays");
    take(FH_ARENA_PAGES + 1);
    cr_assert_eq(stats().book_bytes, many, "a segment has none");
}

Test(space, check_sees_a_block_without_a_mark)
{
    uint64_t page = take(2);
    mark_of(page)[0] = 0;
    cr_assert(check_names("[I5] arena 0: no mark"));
}

Test(space, check_sees_an_arena_that_thinks_it_is_another)
{
    take(1);
    s.entries[1] = s.entries[0];
    s.free_classes[1] = s.free_classes[0];
    s.brk = s.unused_hint = s.arenas = 2;
    cr_assert(check_names("[I1] arena 0 stands at entry 1"));
    s.entries[1] = s.free_classes[1] = 0;
    s.brk = s.unused_hint = s.arenas = 1;
}

Test(space, check_sees_a_broken_buddy_and_does_not_walk_it)
{
    uint64_t page = take(2);
    struct fh_buddy *buddy = first_buddy();
    uint16_t head = buddy->heads[page];
    buddy->heads[page] = 0;
    cr_assert(check_names("arena 0: its buddy is broken"));
    buddy->heads[page] = head;
}

Test(space, check_sees_a_segment_of_a_length_that_cannot_be)
{
    uint64_t first = take(2 * FH_ARENA_PAGES);
    uint64_t entry = s.entries[0];
    cr_assert_eq(first, 0);
    s.entries[0] = entry & ((UINT64_C(1) << 34) - 1); /* of no arena */
    cr_assert(check_names("[I1] entry 0: a segment of 0 arenas"));
    s.entries[0] |= UINT64_C(0x3ffff) << 34;
    s.entries[1] = 0;
    cr_assert(check_names("[I1] entry 1 is not part 1"));
    s.entries[0] = entry;
    s.entries[1] = 2 | 1 << 2;
    cr_assert(fh_space_check(&s, stderr));
}

Test(space, check_sees_wrong_counts_of_segments)
{
    take(FH_ARENA_PAGES);
    s.segments++;
    cr_assert(check_names("[I4]"));
    s.segments--;
    cr_assert(fh_space_check(&s, stderr));
}

Test(space, check_sees_two_empty_arenas)
{
    uint64_t low[4], high;
    for (uint32_t i = 0; i < 4; i++)
        low[i] = take(QUARTER);
    high = take(1);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(give(low[i]), 0);
    s.spare = FH_SPACE_ARENAS; /* forget the one kept */
    cr_assert_eq(give(high), 0);
    cr_assert(check_names("[I6] 2 arenas are empty"));
}

Test(space, a_page_inside_a_free_block_has_no_block)
{
    struct fh_space_block block;
    take(1);
    cr_assert_eq(fh_space_find_inner(&s, (struct fh_page){FH_ARENA_PAGES - 1}, &block), -EFAULT);
    uint64_t segment = take(FH_ARENA_PAGES);
    cr_assert_eq(fh_space_find(&s, (struct fh_page){segment}, &block), 0);
    cr_assert_eq(fh_space_find(&s, (struct fh_page){segment + 1}, &block), -EFAULT);
}
