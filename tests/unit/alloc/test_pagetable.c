/* The page table: words, tables made by touch, counts, and the walk over what is there. */
#include "alloc/pagetable.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "tests/support/rng.h"

static struct fh_mem mem;
static struct fh_pagetable table;

static const struct fh_page last_page = {(UINT64_C(1) << FH_SPACE_PAGE_SHIFT) - 1};
static const struct fh_page space_end = {UINT64_C(1) << FH_SPACE_PAGE_SHIFT};

static void setup(void)
{
    memset(&table, 0xA5, sizeof(table));
    cr_assert_eq(fh_pagetable_init(&table, &mem), 0);
}

static void teardown(void)
{
    fh_pagetable_fini(&table);
    cr_assert_eq(mem.used_bytes, 0);
}

static void set(uint64_t page, enum fh_page_state state, uint32_t middle, uint32_t slot)
{
    fh_pagetable_set(&table, (struct fh_page){page},
                     fh_entry_make(state, middle, (struct fh_slot){slot}));
}

static void touch(uint64_t page, uint64_t count)
{
    int rc = fh_pagetable_touch(&table, (struct fh_page){page}, count);
    cr_assert_eq(rc, 0);
}

TestSuite(pagetable, .init = setup, .fini = teardown, .timeout = 20);

Test(pagetable, a_word_gives_back_its_parts_at_their_limits)
{
    static const uint32_t middles[] = {0, 1, 0x0fffffff};
    static const uint32_t slots[] = {0, 1, UINT32_MAX};

    for (int s = 0; s < FH_PAGE_STATES; s++)
        for (int m = 0; m < 3; m++)
            for (int k = 0; k < 3; k++) {
                struct fh_entry e =
                    fh_entry_make((enum fh_page_state)s, middles[m], (struct fh_slot){slots[k]});
                cr_assert_eq(fh_entry_state(e), (enum fh_page_state)s);
                cr_assert_eq(fh_entry_frame(e).v, middles[m]);
                cr_assert_eq(fh_entry_epoch(e), middles[m]);
                cr_assert_eq(fh_entry_slot(e).v, slots[k]);
            }
    cr_assert_eq(fh_entry_make(FH_PAGE_SLOT, 0x10000000, (struct fh_slot){1}).v,
                 fh_entry_make(FH_PAGE_SLOT, 0, (struct fh_slot){1}).v,
                 "an epoch wraps and does not spill into the state");
}

Test(pagetable, what_was_never_touched_is_nothing)
{
    cr_assert_eq(fh_pagetable_get(&table, (struct fh_page){0}).v, 0);
    cr_assert_eq(fh_pagetable_get(&table, last_page).v, 0);
    cr_assert_eq(fh_pagetable_next(&table, (struct fh_page){0}, space_end).v, space_end.v);
    cr_assert(fh_pagetable_check(&table, stderr));
}

Test(pagetable, keeps_the_first_and_the_last_page_of_the_space)
{
    touch(0, 1);
    touch(last_page.v, 1);
    set(0, FH_PAGE_FRAME, 5, 9);
    set(last_page.v, FH_PAGE_SLOT, 3, 4);
    cr_assert_eq(fh_entry_frame(fh_pagetable_get(&table, (struct fh_page){0})).v, 5);
    cr_assert_eq(fh_entry_slot(fh_pagetable_get(&table, last_page)).v, 4);
    cr_assert_eq(fh_pagetable_next(&table, (struct fh_page){1}, space_end).v, last_page.v);
    cr_assert(fh_pagetable_check(&table, stderr));
}

Test(pagetable, a_touch_makes_the_leaves_of_its_range_and_no_other)
{
    touch(FH_ARENA_PAGES - 1, 2);
    cr_assert_eq(table.tables[0].count, 1);
    cr_assert_not_null(table.tables[0].leaves[FH_ARENA_LEAVES - 1]);
    cr_assert_not_null(table.tables[1].leaves[0]);
    cr_assert_null(table.tables[1].leaves[1]);
    cr_assert_null(table.tables[2].leaves);
    cr_assert_eq(table.tables_end, 2);
    uint64_t calls = mem.calls;
    touch(FH_ARENA_PAGES - 64, 128);
    touch(12345, 0);
    cr_assert_eq(mem.calls, calls, "they were there");
}

Test(pagetable, a_touch_like_another_range_makes_what_its_entries_will_need)
{
    touch(0, 1000);
    set(70, FH_PAGE_FRAME, 1, 0);
    set(700, FH_PAGE_SLOT, 1, 2);
    cr_assert_eq(fh_pagetable_touch_like(&table, (struct fh_page){10},
                                         (struct fh_page){FH_ARENA_PAGES + 33}, 990),
                 0);
    cr_assert_not_null(fh_pagetable_leaf(&table, (struct fh_page){FH_ARENA_PAGES + 33 + 60}));
    cr_assert_not_null(fh_pagetable_leaf(&table, (struct fh_page){FH_ARENA_PAGES + 33 + 690}));
    cr_assert_leq(table.tables[1].count, 4, "two leaves at most for each that has entries");
}

Test(pagetable, a_pinned_leaf_outlives_a_trim_by_its_neighbour)
{
    cr_assert_eq(fh_pagetable_pin(&table, (struct fh_page){10}, 20), 0);
    touch(40, 10);
    fh_pagetable_trim(&table, (struct fh_page){40}, 10);
    set(15, FH_PAGE_FRAME, 1, 0);
    set(15, FH_PAGE_NOTHING, 0, 0);
    fh_pagetable_unpin(&table, (struct fh_page){10}, 20);
    fh_pagetable_trim(&table, (struct fh_page){10}, 20);
    cr_assert_null(table.tables[0].leaves);
}

Test(pagetable, a_refused_touch_changes_no_entry)
{
    mem.fail_at = mem.calls + 2;
    cr_assert_eq(fh_pagetable_touch(&table, (struct fh_page){0}, 3 * FH_ARENA_PAGES), -ENOMEM);
    cr_assert(fh_pagetable_check(&table, stderr));
    cr_assert_eq(fh_pagetable_next(&table, (struct fh_page){0}, space_end).v, space_end.v);
    touch(0, 3 * FH_ARENA_PAGES);
}

Test(pagetable, a_trim_gives_back_the_empty_leaves_of_its_range_only)
{
    touch(0, 4 * FH_ARENA_PAGES);
    set(FH_ARENA_PAGES, FH_PAGE_FRAME, 1, 0);
    fh_pagetable_trim(&table, (struct fh_page){0}, 3 * FH_ARENA_PAGES);
    cr_assert_null(table.tables[0].leaves);
    cr_assert_eq(table.tables[1].count, 1);
    cr_assert_null(table.tables[2].leaves);
    cr_assert_eq(table.tables[3].count, FH_ARENA_LEAVES, "beyond the range");
    cr_assert(fh_pagetable_check(&table, stderr));
    cr_assert_eq(fh_pagetable_get(&table, (struct fh_page){5}).v, 0);
}

Test(pagetable, a_refused_touch_pin_or_likeness_leaves_nothing_behind)
{
    enum { AT = FH_ARENA_PAGES - 70, COUNT = 140, LIKE = 5 * FH_ARENA_PAGES - 30 };
    struct fh_page from = {AT}, to = {LIKE};

    for (int what = 0; what < 3; what++) {
        uint64_t n = 1, used = mem.used_bytes;
        for (;; n++) {
            mem.failed = false;
            mem.fail_at = mem.calls + n;
            int rc = what == 0   ? fh_pagetable_touch(&table, from, COUNT)
                     : what == 1 ? fh_pagetable_pin(&table, from, COUNT)
                                 : fh_pagetable_touch_like(&table, from, to, COUNT);
            if (!mem.failed) {
                cr_assert_eq(rc, 0);
                break;
            }
            cr_assert_eq(rc, -ENOMEM);
            cr_assert_eq(mem.used_bytes, used);
            cr_assert(fh_pagetable_check(&table, stderr));
        }
        cr_assert_gt(n, 4, "leaves of two arenas and their pointers");
        mem.fail_at = 0;
        if (what == 1) { /* entries for the last round, in the first and the last leaf */
            set(AT, FH_PAGE_FRAME, 1, 0);
            set(AT + COUNT - 1, FH_PAGE_FRAME, 1, 0);
            fh_pagetable_unpin(&table, from, COUNT);
        } else {
            fh_pagetable_trim(&table, what == 0 ? from : to, COUNT);
            cr_assert_eq(mem.used_bytes, used);
        }
    }
}

Test(pagetable, a_lone_page_costs_little_and_nothing_when_it_is_gone)
{
    uint64_t used = mem.used_bytes;

    touch(UINT64_C(1) << 30, 1);
    cr_assert_leq(mem.used_bytes - used, 40 << 10);
    fh_pagetable_trim(&table, (struct fh_page){0}, UINT64_C(1) << FH_SPACE_PAGE_SHIFT);
    cr_assert_eq(mem.used_bytes, used);
}

Test(pagetable, unpinning_what_is_not_pinned_is_a_programmer_error, .signal = SIGABRT)
{
    touch(0, 1);
    fh_pagetable_unpin(&table, (struct fh_page){0}, 1);
}

Test(pagetable, next_meets_exactly_what_is_there)
{
    static const uint64_t pages[] = {0, 7, FH_ARENA_PAGES - 1, FH_ARENA_PAGES, 3 * FH_ARENA_PAGES};
    struct fh_page p = {0};

    for (int i = 0; i < 5; i++) {
        touch(pages[i], 1);
        set(pages[i], FH_PAGE_SLOT, 0, 1);
    }
    for (int i = 0; i < 5; i++) {
        p = fh_pagetable_next(&table, p, space_end);
        cr_assert_eq(p.v, pages[i]);
        p.v++;
    }
    cr_assert_eq(fh_pagetable_next(&table, p, space_end).v, space_end.v);
    cr_assert_eq(fh_pagetable_next(&table, (struct fh_page){1}, (struct fh_page){7}).v, 7,
                 "the end");
    cr_assert_eq(fh_pagetable_next(&table, (struct fh_page){9}, (struct fh_page){9}).v, 9);
}

Test(pagetable, a_random_walk_agrees_with_an_array)
{
    enum { PAGES = 500, BASE = FH_ARENA_PAGES - 250 };
    struct rng g = rng_from_env("pagetable");
    uint64_t words[PAGES] = {0};

    touch(BASE, PAGES);
    for (uint32_t step = 0; step < 5000; step++) {
        uint64_t i = rng_below(&g, PAGES);
        enum fh_page_state s = (enum fh_page_state)rng_below(&g, FH_PAGE_STATES);
        struct fh_entry e = {0};
        if (s != FH_PAGE_NOTHING)
            e = fh_entry_make(s, (uint32_t)rng_below(&g, 99), (struct fh_slot){(uint32_t)i});
        fh_pagetable_set(&table, (struct fh_page){BASE + i}, e);
        words[i] = e.v;
        uint64_t from = rng_below(&g, PAGES), want = from;
        while (want < PAGES && words[want] == 0)
            want++;
        cr_assert_eq(
            fh_pagetable_next(&table, (struct fh_page){BASE + from}, (struct fh_page){BASE + PAGES})
                .v,
            BASE + want);
        cr_assert_eq(fh_pagetable_get(&table, (struct fh_page){BASE + from}).v, words[from]);
    }
    cr_assert(fh_pagetable_check(&table, stderr));
}

Test(pagetable, no_memory_for_the_tables_is_told)
{
    struct fh_pagetable other;

    mem.fail_at = mem.calls + 1;
    cr_assert_eq(fh_pagetable_init(&other, &mem), -ENOMEM);
    fh_pagetable_fini(&other);
}

Test(pagetable, check_sees_a_wrong_number_of_used_entries)
{
    touch(0, 1);
    set(0, FH_PAGE_FRAME, 0, 0);
    table.tables[0].used++; /* [I1] */
    cr_assert_not(fh_pagetable_check(&table, NULL));
}

Test(pagetable, check_sees_a_wrong_number_of_leaves)
{
    touch(0, 1);
    table.tables[0].count++; /* [I3] */
    cr_assert_not(fh_pagetable_check(&table, NULL));
    table.tables[0].count--;
}

Test(pagetable, check_sees_a_wrong_count_of_each_state)
{
    touch(0, 1);
    for (int s = FH_PAGE_FRAME; s < FH_PAGE_STATES; s++) { /* [I2] */
        table.counts[s]++;
        cr_assert_not(fh_pagetable_check(&table, NULL));
        table.counts[s]--;
        cr_assert(fh_pagetable_check(&table, stderr));
    }
}

Test(pagetable, check_sees_a_word_changed_behind_its_back)
{
    touch(0, 1);
    set(0, FH_PAGE_FRAME, 0, 0);
    table.tables[0].leaves[0]->entries[0] =
        fh_entry_make(FH_PAGE_SLOT, 0, (struct fh_slot){1}).v; /* [I2] */
    cr_assert_not(fh_pagetable_check(&table, NULL));
}

Test(pagetable, dump_names_each_page)
{
    char text[256] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    touch(0, 1);
    set(0x2a, FH_PAGE_SLOT, 3, 17);
    fh_pagetable_dump(&table, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "page 2a slot 3 slot 17"));
}

Test(pagetable, setting_what_was_not_touched_is_a_programmer_error, .signal = SIGABRT)
{
    set(0, FH_PAGE_FRAME, 0, 0);
}

Test(pagetable, touching_beyond_the_space_is_a_programmer_error, .signal = SIGABRT)
{
    touch(last_page.v, 2);
}

/* --- whole leaves that lie elsewhere --- */

enum { SHIFT_LEAF = FH_LEAF_PAGES, SHIFT_ARENA = FH_ARENA_PAGES };

static int shift(uint64_t from, uint64_t to, uint64_t count)
{
    int rc = fh_pagetable_shift(&table, (struct fh_page){from}, (struct fh_page){to}, count);

    cr_assert(fh_pagetable_check(&table, stderr));
    return rc;
}

static struct fh_entry get(uint64_t page)
{
    return fh_pagetable_get(&table, (struct fh_page){page});
}

Test(pagetable, shifted_entries_lie_at_the_other_place_and_others_stay)
{
    touch(0, 10 * SHIFT_LEAF);
    for (uint64_t i = 0; i < 10 * SHIFT_LEAF; i += 3)
        set(i, FH_PAGE_FRAME, (uint32_t)i + 1, 0);
    uint64_t frames = table.counts[FH_PAGE_FRAME];
    cr_assert_eq(shift(2 * SHIFT_LEAF, 7 * SHIFT_ARENA + 5 * SHIFT_LEAF, 4 * SHIFT_LEAF), 0);
    cr_assert_eq(table.counts[FH_PAGE_FRAME], frames);
    for (uint64_t i = 0; i < 10 * SHIFT_LEAF; i++) {
        bool moved = i >= 2 * SHIFT_LEAF && i < 6 * SHIFT_LEAF;
        uint64_t at = moved ? 7 * SHIFT_ARENA + 3 * SHIFT_LEAF + i : i;
        cr_assert_eq(get(at).v != 0, i % 3 == 0);
        if (moved)
            cr_assert_eq(get(i).v, 0);
        if (i % 3 == 0)
            cr_assert_eq(fh_entry_frame(get(at)).v, i + 1);
    }
    cr_assert_eq(shift(0, 3 * SHIFT_ARENA, SHIFT_ARENA), 0);
    cr_assert_eq(fh_entry_frame(get(3 * SHIFT_ARENA + 9)).v, 10);
}

Test(pagetable, whole_arenas_and_parts_of_others_are_shifted)
{
    static const uint64_t pages[] = {SHIFT_ARENA - 1, SHIFT_ARENA, 2 * SHIFT_ARENA - 1,
                                     4 * SHIFT_ARENA + 200};

    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        touch(pages[i], 1);
        set(pages[i], FH_PAGE_SLOT, 5, (uint32_t)i + 1);
    }
    uint64_t first = SHIFT_ARENA - SHIFT_LEAF, count = 3 * SHIFT_ARENA + 3 * SHIFT_LEAF;
    cr_assert_eq(shift(first, 100 * SHIFT_ARENA, count), 0, "not at the same place of an arena");
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(get(pages[i]).v != 0, i == 3);
        if (i < 3)
            cr_assert_eq(fh_entry_slot(get(pages[i] - first + 100 * SHIFT_ARENA)).v, i + 1);
    }
    cr_assert_eq(shift(100 * SHIFT_ARENA, 201 * SHIFT_ARENA - SHIFT_LEAF, count), 0, "and back");
    cr_assert_eq(fh_entry_slot(get(pages[1] - first + 201 * SHIFT_ARENA - SHIFT_LEAF)).v, 2);
    cr_assert_eq(shift(200 * SHIFT_ARENA, 300 * SHIFT_ARENA, 4 * SHIFT_ARENA), 0);
    cr_assert_eq(fh_entry_slot(get(pages[2] - first + 301 * SHIFT_ARENA - SHIFT_LEAF)).v, 3);
}

Test(pagetable, a_shift_without_memory_changes_nothing)
{
    touch(SHIFT_LEAF, SHIFT_LEAF);
    touch(SHIFT_ARENA + SHIFT_LEAF, SHIFT_LEAF);
    set(SHIFT_LEAF + 3, FH_PAGE_FRAME, 1, 0);
    set(SHIFT_ARENA + SHIFT_LEAF + 3, FH_PAGE_FRAME, 2, 0);
    for (uint64_t n = 1; n <= 2; n++) {
        uint64_t used = mem.used_bytes;
        mem.fail_at = mem.calls + n;
        cr_assert_eq(shift(SHIFT_LEAF, 9 * SHIFT_ARENA, SHIFT_ARENA + SHIFT_LEAF), -ENOMEM);
        cr_assert_eq(mem.used_bytes, used);
        cr_assert_eq(fh_entry_frame(get(SHIFT_LEAF + 3)).v, 1);
        cr_assert_eq(fh_entry_frame(get(SHIFT_ARENA + SHIFT_LEAF + 3)).v, 2);
    }
    mem.fail_at = 0;
    cr_assert_eq(shift(SHIFT_LEAF, 9 * SHIFT_ARENA, SHIFT_ARENA + SHIFT_LEAF), 0);
    cr_assert_eq(fh_entry_frame(get(10 * SHIFT_ARENA + 3)).v, 2);
}
