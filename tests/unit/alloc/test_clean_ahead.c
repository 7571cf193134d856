/* Pages written ahead of their eviction: when, which, and what it is good for. */
#include <criterion/criterion.h>

#include "tests/support/pager_rig.h"

enum { FRAMES = 512, SLOTS = 2048, PAGES = 480, GOAL = 16 };

static struct pager_rig rig;

static void setup(void)
{
    rig_open(&rig, FRAMES, SLOTS, 4);
    for (uint64_t page = 0; page < PAGES; page++)
        rig_write(&rig, page, page + 1);
    fh_reclaim_set_marks(&rig.reclaim, 20, 30); /* 32 are free */
}

static void teardown(void)
{
    fh_reclaim_set_marks(&rig.reclaim, 0, 0);
    rig_close(&rig);
}

static void turns(uint32_t count)
{
    while (count-- > 0)
        rig_turn(&rig);
    rig_check(&rig);
}

static uint64_t cleaned(void)
{
    struct fh_reclaim_stats s;
    fh_reclaim_stats(&rig.reclaim, &s);
    return s.cleaned;
}

TestSuite(clean_ahead, .init = setup, .fini = teardown, .timeout = 30);

Test(clean_ahead, the_next_victims_are_written_and_stay)
{
    turns(50);
    cr_assert_eq(cleaned(), GOAL);
    cr_assert_eq(rig.pager.mapped, PAGES);
    cr_assert_eq(rig.pager.retained, GOAL);
    cr_assert_eq(rig.pager.swap.slots.stats.used, GOAL);
}

Test(clean_ahead, when_demand_comes_they_go_without_a_write)
{
    turns(50);
    uint64_t transfers = rig.disk->transfers;
    fh_reclaim_set_marks(&rig.reclaim, 32 + GOAL, 32 + GOAL);
    rig_turn(&rig);
    cr_assert_eq(rig.pager.frames.free, 32 + GOAL, "in one turn");
    cr_assert_eq(rig.disk->transfers, transfers);
    cr_assert_eq(rig.reclaim.stats.clean, GOAL);
    fh_reclaim_set_marks(&rig.reclaim, 0, 0);
    for (uint64_t page = 0; page < PAGES; page++)
        rig_expect(&rig, page, page + 1);
}

Test(clean_ahead, a_page_written_afterwards_gives_its_slot_up)
{
    turns(50);
    uint64_t page = 0;
    while (fh_entry_slot(rig_entry(&rig, page)).v == 0)
        page++;
    rig_write(&rig, page, 77);
    cr_assert_eq(rig.pager.swap.slots.stats.used, GOAL - 1);
    cr_assert_eq(rig.pager.retained, GOAL - 1);
    rig_expect(&rig, page, 77);
}

Test(clean_ahead, touched_pages_are_not_written)
{
    for (uint64_t page = 0; page < PAGES; page++)
        rig_expect(&rig, page, page + 1);
    turns(50);
    cr_assert_eq(cleaned(), 0);
    cr_assert_eq(rig.disk->transfers, 0);
}

Test(clean_ahead, a_page_found_all_zero_is_nothing_at_once)
{
    rig_write(&rig, 1, 0);
    fh_fifo_remove(&rig.pager.fifo, fh_entry_frame(rig_entry(&rig, 1)));
    fh_frames_record(&rig.pager.frames, fh_entry_frame(rig_entry(&rig, 1)))->freq = 0;
    fh_fifo_insert_last(&rig.pager.fifo, fh_entry_frame(rig_entry(&rig, 1)), FH_QUEUE_SMALL);
    turns(50);
    cr_assert_eq(rig_state(&rig, 1), FH_PAGE_NOTHING);
    cr_assert_eq(rig.reclaim.stats.zero, 1);
}

Test(clean_ahead, not_while_many_frames_are_free)
{
    fh_reclaim_set_marks(&rig.reclaim, 5, 32 - GOAL);
    turns(50);
    cr_assert_eq(rig.disk->transfers, 0);
}

Test(clean_ahead, not_while_the_disk_is_busy)
{
    static struct job j;
    uint8_t got[FH_PAGE_SIZE];

    fh_reclaim_set_marks(&rig.reclaim, 0, 0);
    rig_evict(&rig);
    for (uint64_t page = 1; page < PAGES; page++)
        rig_write(&rig, page, page + 1);
    rig.disk->hang = true;
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, 0, NULL, 1), -EINPROGRESS);
    fh_reclaim_set_marks(&rig.reclaim, 20, 30);
    turns(50);
    cr_assert_eq(cleaned(), 0);
    rig.disk->hang = false;
    cr_assert_eq(job_wait(&j), 0);
    memcpy(got, fh_pager_held_bytes(&rig.pager, &j.hold, 0), sizeof(got));
    cr_assert(rig_is(got, 1));
    fh_pager_release(&rig.pager, &j.hold);
}

Test(clean_ahead, a_page_written_while_it_is_cleaned_keeps_the_new_bytes)
{
    rig.disk->hang = true;
    turns(3);
    uint64_t page = 0;
    while (!fh_frames_record(&rig.pager.frames, fh_entry_frame(rig_entry(&rig, page)))->busy)
        page++;
    rig_write(&rig, page, 99);
    fh_pager_discard(&rig.pager, (struct fh_page){page + 1}, 1);
    rig.disk->hang = false;
    turns(50);
    rig_expect(&rig, page, 99);
    rig_expect(&rig, page + 1, 0);
}

Test(clean_ahead, a_write_that_fails_leaves_the_page_dirty)
{
    rig.disk->permille[FH_DISK_EIO] = 1000;
    turns(5);
    rig.disk->permille[FH_DISK_EIO] = 0;
    cr_assert_eq(cleaned(), 0);
    turns(100);
    cr_assert_eq(cleaned(), GOAL);
    for (uint64_t page = 0; page < PAGES; page++)
        rig_expect(&rig, page, page + 1);
}

Test(clean_ahead, a_pass_is_not_repeated_at_once)
{
    turns(50);
    for (uint32_t i = 0; i < 1000; i++)
        (void)fh_reclaim_turn(&rig.reclaim, rig.now_ms);
    cr_assert_eq(cleaned(), GOAL);
}

TestSuite(clean_ahead_full, .timeout = 30);

Test(clean_ahead_full, not_when_swap_is_more_than_half_full)
{
    rig_open(&rig, FRAMES, 600, 4);
    for (uint64_t page = 0; page < 400; page++)
        rig_write(&rig, 10000 + page, 5);
    rig_evict(&rig);
    for (uint64_t page = 0; page < PAGES; page++)
        rig_write(&rig, page, page + 1);
    fh_reclaim_set_marks(&rig.reclaim, 20, 30);
    turns(50);
    cr_assert_eq(cleaned(), 0);
    teardown();
}
