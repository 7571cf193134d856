/* What leaves memory, at what cost, and what stays. */
#include "alloc/reclaim.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/pager_rig.h"

static struct pager_rig rig;

static void setup(void)
{
    rig_open(&rig, 32, 256, 4);
}

static void teardown(void)
{
    rig_close(&rig);
}

static void write_pages(uint64_t count)
{
    for (uint64_t page = 0; page < count; page++)
        rig_write(&rig, page, page + 1);
}

static void expect_pages(uint64_t count)
{
    for (uint64_t page = 0; page < count; page++)
        rig_expect(&rig, page, page + 1);
}

static void turns(uint32_t count)
{
    while (count-- > 0)
        rig_turn(&rig);
}

/* Reclaim has begun to write all pages, and the disk hangs. */
static void begin_to_write(void)
{
    rig.disk->hang = true;
    rig_press(&rig, true);
    rig_turn(&rig);
    rig_press(&rig, false);
    cr_assert_gt(rig.reclaim.writing, 0);
    rig_check(&rig);
}

static void end_writing(void)
{
    rig.disk->hang = false;
    turns(3);
    cr_assert_eq(rig.reclaim.writing, 0);
    rig_check(&rig);
}

TestSuite(reclaim, .init = setup, .fini = teardown, .timeout = 30);

Test(reclaim, rests_while_there_are_enough_free_frames)
{
    write_pages(20);
    rig.reclaim.low = 12;
    rig.reclaim.high = 20;
    cr_assert_not(fh_reclaim_turn(&rig.reclaim, rig.now_ms));
    turns(5);
    cr_assert_eq(rig.pager.mapped, 20);
    cr_assert_eq(rig.disk->transfers, 0);
}

Test(reclaim, begins_below_low_and_ends_at_high)
{
    struct fh_reclaim_stats s;

    write_pages(21);
    rig.reclaim.low = 12;
    rig.reclaim.high = 20;
    rig_turn(&rig);
    fh_reclaim_stats(&rig.reclaim, &s);
    cr_assert_eq(s.pressure, FH_PRESSURE_RECLAIMING);
    turns(5);
    cr_assert_eq(rig.pager.frames.free, 20);
    fh_reclaim_stats(&rig.reclaim, &s);
    cr_assert_eq(s.pressure, FH_PRESSURE_OK);
    cr_assert_eq(s.dirty, 9);
    rig.reclaim.low = rig.reclaim.high = 0;
    expect_pages(21);
}

Test(reclaim, a_waiting_call_gets_its_frames_whatever_the_marks_say)
{
    static struct job take[8], waits;
    struct fh_reclaim_stats s;

    write_pages(4);
    for (int i = 0; i < 7; i++)
        cr_assert_eq(job_begin(&rig, &take[i], JOB_TAKE, 0, NULL, 4), 0);
    cr_assert_eq(job_begin(&rig, &waits, JOB_TAKE, 0, NULL, 3), -EINPROGRESS);
    fh_reclaim_stats(&rig.reclaim, &s);
    cr_assert_eq(s.pressure, FH_PRESSURE_PARKING);
    cr_assert_eq(job_wait(&waits), 0);
    for (int i = 0; i < 7; i++)
        fh_pager_release(&rig.pager, &take[i].hold);
    fh_pager_release(&rig.pager, &waits.hold);
    expect_pages(4);
}

Test(reclaim, a_page_found_all_zero_costs_no_slot_and_no_write)
{
    for (uint64_t page = 0; page < 5; page++)
        rig_write(&rig, page, 0);
    rig_evict(&rig);
    cr_assert_eq(rig.disk->transfers, 0);
    cr_assert_eq(rig.pager.swap.slots.stats.used, 0);
    cr_assert_eq(rig.reclaim.stats.zero, 5);
    cr_assert_eq(rig_state(&rig, 3), FH_PAGE_NOTHING);
    rig_expect(&rig, 3, 0);
    rig_check(&rig);
}

Test(reclaim, a_single_last_bit_makes_a_page_not_zero)
{
    static struct job j;
    uint8_t bytes[FH_PAGE_SIZE] = {0}, out[FH_PAGE_SIZE];

    bytes[FH_PAGE_SIZE - 1] = 0x80;
    cr_assert_eq(job_begin(&rig, &j, JOB_WRITE, 0, bytes, sizeof(bytes)), 0);
    rig_evict(&rig);
    cr_assert_eq(rig.reclaim.stats.dirty, 1);
    cr_assert_eq(rig_read(&rig, 0, out), 0);
    cr_assert_eq(memcmp(bytes, out, sizeof(out)), 0);
}

Test(reclaim, a_clean_page_leaves_without_a_write)
{
    write_pages(5);
    rig_evict(&rig);
    uint64_t writes = rig.disk->io.writes;
    expect_pages(5);
    cr_assert_eq(rig.pager.retained, 5);
    rig_evict(&rig);
    cr_assert_eq(rig.disk->io.writes, writes);
    cr_assert_eq(rig.reclaim.stats.clean, 5);
    cr_assert_eq(rig.pager.frames.free, 32);
    expect_pages(5);
    rig_check(&rig);
}

Test(reclaim, a_page_read_back_gives_its_slot_up_when_swap_is_nearly_full)
{
    uint64_t page = 0;

    while (rig.pager.swap.slots.stats.used <= 225) {
        rig_write(&rig, page, page + 1);
        if (++page % 16 == 0)
            rig_evict(&rig);
    }
    uint64_t used = rig.pager.swap.slots.stats.used;
    rig_expect(&rig, 0, 1);
    cr_assert_eq(rig.pager.swap.slots.stats.used, used - 1);
    cr_assert_eq(fh_entry_slot(rig_entry(&rig, 0)).v, 0);
    rig_check(&rig);
}

Test(reclaim, a_page_touched_while_it_is_written_stays_and_is_clean)
{
    write_pages(4);
    begin_to_write();
    rig_expect(&rig, 2, 3);
    end_writing();
    cr_assert_eq(rig_state(&rig, 1), FH_PAGE_SLOT);
    cr_assert_eq(rig_state(&rig, 2), FH_PAGE_FRAME);
    cr_assert_neq(fh_entry_slot(rig_entry(&rig, 2)).v, 0);
    const struct fh_frame_record *r =
        fh_frames_record(&rig.pager.frames, fh_entry_frame(rig_entry(&rig, 2)));
    cr_assert_eq(r->dirty, 0);
    cr_assert_eq(r->queue, FH_QUEUE_MAIN);
    cr_assert_eq(rig.pager.retained, 1);
    uint64_t writes = rig.disk->io.writes;
    rig_evict(&rig);
    cr_assert_eq(rig.disk->io.writes, writes);
    expect_pages(4);
}

Test(reclaim, a_page_held_when_its_write_ends_stays)
{
    static struct job j;

    write_pages(2);
    begin_to_write();
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, 0, NULL, 1), 0);
    end_writing();
    cr_assert_eq(rig_state(&rig, 0), FH_PAGE_FRAME);
    cr_assert_eq(rig_state(&rig, 1), FH_PAGE_SLOT);
    rig_evict(&rig);
    cr_assert_eq(rig_state(&rig, 0), FH_PAGE_FRAME, "still held");
    fh_pager_release(&rig.pager, &j.hold);
    rig_evict(&rig);
    cr_assert_eq(rig_state(&rig, 0), FH_PAGE_SLOT);
    expect_pages(2);
}

Test(reclaim, a_page_written_while_it_is_stored_keeps_the_new_bytes)
{
    write_pages(3);
    begin_to_write();
    rig_write(&rig, 1, 99);
    rig_check(&rig);
    end_writing();
    cr_assert_eq(rig.pager.swap.slots.stats.used, 2, "the slot with the old bytes is free");
    rig_expect(&rig, 0, 1);
    rig_expect(&rig, 1, 99);
    rig_expect(&rig, 2, 3);
}

Test(reclaim, a_page_discarded_while_it_is_stored_is_gone)
{
    write_pages(3);
    begin_to_write();
    fh_pager_discard(&rig.pager, (struct fh_page){1}, 1);
    rig_check(&rig);
    end_writing();
    cr_assert_eq(rig.pager.swap.slots.stats.used, 2);
    rig_expect(&rig, 1, 0);
    rig_expect(&rig, 2, 3);
}

Test(reclaim, a_page_moved_while_it_is_stored_arrives_in_its_slot)
{
    write_pages(2);
    begin_to_write();
    cr_assert_eq(fh_pagetable_touch(&rig.pager.table, (struct fh_page){100}, 2), 0);
    fh_pager_move(&rig.pager, (struct fh_page){0}, (struct fh_page){100}, 2);
    end_writing();
    cr_assert_eq(rig_state(&rig, 100), FH_PAGE_SLOT);
    rig_expect(&rig, 100, 1);
    rig_expect(&rig, 101, 2);
}

Test(reclaim, a_view_made_while_a_page_is_stored_gets_the_slot_too)
{
    static struct fh_view v;

    write_pages(2);
    begin_to_write();
    cr_assert_eq(fh_pager_view(&rig.pager, &v, (struct fh_page){0}, (struct fh_page){500}, 2), 0);
    rig_check(&rig);
    end_writing();
    cr_assert_eq(rig_entry(&rig, 0).v, rig_entry(&rig, 500).v);
    cr_assert_eq(rig_state(&rig, 500), FH_PAGE_SLOT);
    rig_expect(&rig, 501, 2);
    fh_pager_unview(&rig.pager, &v);
}

Test(reclaim, victims_are_written_in_the_order_of_their_pages)
{
    static const uint64_t shuffled[] = {5, 2, 7, 0, 6, 3, 1, 4};

    for (int i = 0; i < 8; i++)
        rig_write(&rig, shuffled[i], shuffled[i] + 1);
    rig_evict(&rig);
    uint32_t first = fh_entry_slot(rig_entry(&rig, 0)).v;
    for (uint32_t page = 0; page < 8; page++)
        cr_assert_eq(fh_entry_slot(rig_entry(&rig, page)).v, first + page);
    cr_assert_eq(rig.disk->io.writes, 1);
}

Test(reclaim, a_slice_has_an_end_and_asks_for_another)
{
    teardown();
    rig_open(&rig, 200, 1023, 4);
    write_pages(150);
    rig_press(&rig, true);
    rig.disk->hang = true;
    cr_assert(fh_reclaim_turn(&rig.reclaim, rig.now_ms));
    cr_assert_eq(rig.reclaim.writing, FH_SWAP_RUN_MAX);
    cr_assert(fh_reclaim_turn(&rig.reclaim, rig.now_ms));
    cr_assert_not(fh_reclaim_turn(&rig.reclaim, rig.now_ms), "that was all");
    cr_assert_eq(rig.reclaim.writing, 150);
    rig.disk->hang = false;
    rig_press(&rig, false);
    turns(3);
    expect_pages(150);
}

Test(reclaim, waits_for_a_completion_when_all_buffers_are_in_use)
{
    teardown();
    rig_open(&rig, 700, 1023, 4);
    write_pages(600);
    rig.disk->hang = true;
    rig_press(&rig, true);
    for (int i = 0; i < 20; i++)
        (void)fh_reclaim_turn(&rig.reclaim, rig.now_ms);
    cr_assert_eq(rig.pager.swap.bounce_free, 0);
    cr_assert_lt(rig.reclaim.writing, 600);
    cr_assert_not(fh_reclaim_turn(&rig.reclaim, rig.now_ms));
    rig_check(&rig);
    rig.disk->hang = false;
    turns(8);
    cr_assert_eq(rig.pager.mapped, 0);
    rig_press(&rig, false);
    expect_pages(600);
}

Test(reclaim, a_write_that_fails_loses_nothing_and_is_tried_again_later)
{
    write_pages(4);
    rig.disk->dead[FH_IO_WRITE] = true;
    rig_press(&rig, true);
    turns(4);
    cr_assert_eq(rig.reclaim.stats.write_errors, 4);
    cr_assert_eq(rig.pager.mapped, 4);
    cr_assert_eq(rig.pager.swap.slots.stats.quarantined, 4);
    rig_check(&rig);
    uint64_t transfers = rig.disk->transfers;
    turns(3);
    cr_assert_eq(rig.disk->transfers, transfers, "not at once");
    expect_pages(4);
    rig.disk->dead[FH_IO_WRITE] = false;
    turns(20);
    cr_assert_eq(rig.pager.mapped, 0);
    rig_press(&rig, false);
    expect_pages(4);
    rig_check(&rig);
}

Test(reclaim, while_nothing_can_be_written_clean_and_zero_pages_still_go)
{
    write_pages(3);
    rig_evict(&rig);
    rig_expect(&rig, 0, 1);
    rig_write(&rig, 10, 10);
    rig_write(&rig, 11, 0);
    rig.reclaim.resume_at_ms = UINT64_MAX;
    rig_press(&rig, true);
    turns(3);
    cr_assert_eq(rig_state(&rig, 0), FH_PAGE_SLOT);
    cr_assert_eq(rig_state(&rig, 10), FH_PAGE_FRAME);
    cr_assert_eq(rig_state(&rig, 11), FH_PAGE_NOTHING);
    rig_press(&rig, false);
    rig.reclaim.resume_at_ms = 0;
}

Test(reclaim, without_swap_nothing_is_looked_at)
{
    teardown();
    rig_open(&rig, 16, 0, 4);
    write_pages(8);
    rig_press(&rig, true);
    cr_assert_not(fh_reclaim_turn(&rig.reclaim, rig.now_ms));
    cr_assert_eq(rig.pager.mapped, 8);
    rig_press(&rig, false);
}

Test(reclaim, says_when_memory_and_swap_are_full)
{
    struct fh_reclaim_stats s;

    cr_assert_eq(fh_pager_claim(&rig.pager, 32 + 256 - 8), 0);
    fh_reclaim_stats(&rig.reclaim, &s);
    cr_assert_eq(s.pressure, FH_PRESSURE_FULL);
    fh_pager_unclaim(&rig.pager, 32 + 256 - 8);
}

Test(reclaim, a_high_mark_below_the_low_one_counts_as_the_low_one)
{
    struct fh_reclaim r;

    fh_reclaim_init(&r, &rig.pager, 10, 3);
    cr_assert_eq(r.high, 10);
}

Test(reclaim, check_counts_the_frames_being_written)
{
    write_pages(3);
    begin_to_write();
    cr_assert(fh_reclaim_check(&rig.reclaim, stderr));
    rig.reclaim.writing++; /* [I1] */
    cr_assert_not(fh_reclaim_check(&rig.reclaim, NULL));
    rig.reclaim.writing--;
    end_writing();
    cr_assert(fh_reclaim_check(&rig.reclaim, stderr));
}

Test(reclaim, dump_tells_marks_and_counts)
{
    char text[256] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    fh_reclaim_dump(&rig.reclaim, out);
    rig.reclaim.running = true;
    fh_reclaim_dump(&rig.reclaim, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "low 0 high 0 idle, writing 0"));
    cr_assert_not_null(strstr(text, "running"));
}
