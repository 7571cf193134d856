/* Who is refused, who waits, in which order, and what a loss or a full memory means to them. */
#include "alloc/pager.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/pager_rig.h"

static struct pager_rig rig;

/* 16 frames, 64 slots, a request may hold 4 pages. */
static void setup(void)
{
    rig_open(&rig, 16, 64, 4);
}

static void teardown(void)
{
    rig_close(&rig);
}

static uint64_t at(uint64_t page, uint64_t byte)
{
    return (page << FH_PAGE_SHIFT) + byte;
}

static int zero(uint64_t start, uint64_t size)
{
    static struct job j;
    (void)job_begin(&rig, &j, JOB_ZERO, start, NULL, size);
    return job_wait(&j);
}

static void view(struct fh_view *v, uint64_t origin, uint64_t base, uint64_t count)
{
    int rc = fh_pager_view(&rig.pager, v, (struct fh_page){origin}, (struct fh_page){base}, count);
    cr_assert_eq(rc, 0, "%s", strerror(-rc));
}

static void discard(uint64_t page, uint64_t count)
{
    fh_pager_discard(&rig.pager, (struct fh_page){page}, count);
}

static uint32_t free_frames(void)
{
    return rig.pager.frames.free;
}

TestSuite(pager_holds, .init = setup, .fini = teardown, .timeout = 30);

/* --- loss --- */

Test(pager_holds, a_lost_page_is_told_for_that_page_alone_and_healed_by_a_whole_write)
{
    uint8_t bytes[FH_PAGE_SIZE], byte = 1;
    static struct job j;

    for (uint64_t page = 0; page < 4; page++)
        rig_write(&rig, page, page + 1);
    rig_evict(&rig);
    struct fh_slot bad = fh_entry_slot(rig_entry(&rig, 2));
    rig_flip(&rig, 2);
    cr_assert_eq(rig_read(&rig, 2, bytes), -EBADMSG);
    cr_assert_eq(rig_state(&rig, 2), FH_PAGE_FAILED);
    cr_assert_eq(rig_read(&rig, 2, bytes), -EBADMSG, "and again, without a read");
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, at(0, 0), NULL, 4), -EBADMSG);
    cr_assert_eq(job_begin(&rig, &j, JOB_WRITE, at(2, 5), &byte, 1), -EBADMSG, "a partial write");
    cr_assert_eq(zero(at(2, 5), 9), -EBADMSG);
    rig_check(&rig);
    for (uint64_t page = 0; page < 4; page++)
        if (page != 2)
            rig_expect(&rig, page, page + 1);
    cr_assert_eq(rig.pager.pages_lost, 1);
    rig_write(&rig, 2, 22);
    rig_expect(&rig, 2, 22);
    rig_evict(&rig);
    cr_assert_neq(fh_entry_slot(rig_entry(&rig, 2)).v, bad.v, "its place is not trusted again");
    rig_expect(&rig, 2, 22);
    cr_assert_eq(rig.pager.swap.slots.stats.quarantined, 1);
    rig_check(&rig);
}

Test(pager_holds, a_lost_page_is_also_healed_by_zeros_and_by_discarding)
{
    uint8_t bytes[FH_PAGE_SIZE];

    for (uint64_t page = 0; page < 2; page++)
        rig_write(&rig, page, page + 1);
    rig_evict(&rig);
    for (uint64_t page = 0; page < 2; page++) {
        rig_flip(&rig, page);
        cr_assert_eq(rig_read(&rig, page, bytes), -EBADMSG);
    }
    cr_assert_eq(zero(at(0, 0), FH_PAGE_SIZE), 0);
    discard(1, 1);
    rig_expect(&rig, 0, 0);
    rig_expect(&rig, 1, 0);
    rig_check(&rig);
}

Test(pager_holds, one_of_several_readers_pages_is_lost_and_the_others_get_theirs)
{
    static struct job all, good;

    for (uint64_t page = 0; page < 4; page++)
        rig_write(&rig, page, page + 1);
    rig_evict(&rig);
    rig_flip(&rig, 3);
    cr_assert_eq(job_begin(&rig, &all, JOB_HOLD, at(0, 0), NULL, 4), -EINPROGRESS);
    cr_assert_eq(job_begin(&rig, &good, JOB_HOLD, at(0, 0), NULL, 3), -EINPROGRESS);
    cr_assert_eq(job_wait(&all), -EBADMSG);
    cr_assert_eq(job_wait(&good), 0);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert(rig_is(fh_pager_held_bytes(&rig.pager, &good.hold, i), i + 1));
    fh_pager_release(&rig.pager, &good.hold);
    cr_assert_eq(free_frames(), 13);
    rig_check(&rig);
}

Test(pager_holds, a_lost_page_shared_by_a_view_is_lost_for_both)
{
    static struct fh_view v;
    uint8_t bytes[FH_PAGE_SIZE];

    rig_write(&rig, 1, 11);
    view(&v, 1, 1000, 1);
    rig_evict(&rig);
    rig_flip(&rig, 1);
    cr_assert_eq(rig_read(&rig, 1000, bytes), -EBADMSG);
    cr_assert_eq(rig_read(&rig, 1, bytes), -EBADMSG);
    cr_assert_eq(rig.pager.pages_lost, 1);
    rig_check(&rig);
    fh_pager_unview(&rig.pager, &v);
    rig_check(&rig);
}

Test(pager_holds, a_disk_that_fails_a_read_is_told_and_a_later_read_works)
{
    static struct job j;
    uint8_t bytes[FH_PAGE_SIZE], byte = 1;

    rig_write(&rig, 1, 11);
    rig_evict(&rig);
    rig.disk->dead[FH_IO_READ] = true;
    cr_assert_eq(rig_read(&rig, 1, bytes), -EIO);
    cr_assert_eq(rig_state(&rig, 1), FH_PAGE_SLOT, "it is still there");
    cr_assert_eq(job_begin(&rig, &j, JOB_WRITE, at(1, 1), &byte, 1), -EINPROGRESS);
    cr_assert_eq(job_wait(&j), -EIO);
    rig_check(&rig);
    rig.disk->dead[FH_IO_READ] = false;
    rig_expect(&rig, 1, 11);
}

/* --- capacity --- */

static uint64_t fill_up(uint64_t most)
{
    uint64_t pages = 0;
    int rc = 0;

    while (pages < most && (rc = rig_try_write(&rig, pages, pages + 1)) == 0)
        pages++;
    cr_assert_eq(rc, -ENOSPC);
    return pages;
}

Test(pager_holds, without_swap_new_content_ends_at_the_frames_less_the_reserve)
{
    teardown();
    rig_open(&rig, 16, 0, 4);
    cr_assert_eq(fill_up(100), 16 - 2 * 4);
    for (uint64_t page = 0; page < 8; page++)
        rig_expect(&rig, page, page + 1);
    rig_write(&rig, 3, 33); /* not new */
    rig_expect(&rig, 3, 33);
    discard(5, 1);
    rig_write(&rig, 20, 20);
    rig_check(&rig);
}

Test(pager_holds, with_swap_no_space_is_answered_only_when_frames_and_slots_are_full)
{
    struct fh_pager_stats s;

    cr_assert_eq(fill_up(1000), 16 + 64 - 2 * 4);
    fh_pager_stats(&rig.pager, &s);
    cr_assert_eq(s.live, s.capacity);
    rig_check(&rig);
    for (uint64_t page = 0; page < 72; page++)
        rig_expect(&rig, page, page + 1);
    for (uint64_t page = 0; page < 72; page += 5)
        rig_write(&rig, page, 1000 + page); /* not new */
    cr_assert_eq(rig_try_write(&rig, 90, 1), -ENOSPC);
    rig_check(&rig);
    discard(7, 3);
    for (uint64_t page = 90; page < 93; page++)
        rig_write(&rig, page, page);
    cr_assert_eq(rig_try_write(&rig, 93, 1), -ENOSPC);
    for (uint64_t page = 0; page < 72; page++)
        if (page < 7 || page > 9)
            rig_expect(&rig, page, page % 5 == 0 ? 1000 + page : page + 1);
    rig_check(&rig);
}

/* Each write leaves the old page to the view: together they would be more than there is room for.
 */
Test(pager_holds, overwriting_what_a_view_keeps_is_new_content)
{
    static struct fh_view v;
    uint64_t pages = 16 + 64 - 2 * 4, refused = 0;

    cr_assert_eq(fill_up(1000), pages);
    view(&v, 0, 1000, pages);
    for (uint64_t page = 0; page < pages; page++)
        refused += rig_try_write(&rig, page, 500 + page) == -ENOSPC;
    cr_assert_eq(refused, pages);
    for (uint64_t page = 0; page < pages; page++)
        rig_expect(&rig, 1000 + page, page + 1);
    fh_pager_unview(&rig.pager, &v);
    for (uint64_t page = 0; page < pages; page++)
        rig_write(&rig, page, 500 + page);
    rig_check(&rig);
}

Test(pager_holds, claims_count_as_content)
{
    cr_assert_eq(fh_pager_admit(&rig.pager, 72), 0);
    cr_assert_eq(fh_pager_admit(&rig.pager, 73), -ENOSPC);
    cr_assert_eq(fh_pager_admit(&rig.pager, UINT64_MAX), -ENOSPC);
    cr_assert_eq(fh_pager_claim(&rig.pager, 70), 0);
    cr_assert_eq(fh_pager_claim(&rig.pager, 3), -ENOSPC);
    cr_assert_eq(rig.pager.claimed, 70);
    rig_write(&rig, 0, 1);
    rig_write(&rig, 1, 1);
    cr_assert_eq(rig_try_write(&rig, 2, 1), -ENOSPC);
    fh_pager_unclaim(&rig.pager, 70);
    rig_write(&rig, 2, 1);
}

Test(pager_holds, giving_back_more_than_was_claimed_is_a_programmer_error, .signal = SIGABRT)
{
    fh_pager_unclaim(&rig.pager, 1);
}

/* --- frames to receive into --- */

Test(pager_holds, taken_frames_become_content_or_go_back)
{
    static struct job j;

    cr_assert_eq(fh_pager_claim(&rig.pager, 3), 0);
    cr_assert_eq(fh_pagetable_touch(&rig.pager.table, (struct fh_page){0}, 3), 0);
    cr_assert_eq(job_begin(&rig, &j, JOB_TAKE, 0, NULL, 9), 0);
    cr_assert_eq(j.hold.count, 4, "no more than a request may hold");
    rig_check(&rig);
    for (uint32_t i = 0; i < 3; i++) {
        rig_fill(fh_region_bytes(&rig.pager.region, j.hold.frames[i]), 7 + i);
        fh_pager_install(&rig.pager, &j.hold, i, (struct fh_page){i});
    }
    fh_pager_release(&rig.pager, &j.hold);
    cr_assert_eq(free_frames(), 13);
    cr_assert_eq(rig.pager.claimed, 0);
    for (uint32_t i = 0; i < 3; i++)
        rig_expect(&rig, i, 7 + i);
    rig_check(&rig);
}

Test(pager_holds, a_taker_gets_what_there_is_above_the_reserve_and_else_waits)
{
    static struct job j[6];

    rig.pager.opts.free_min = 2;
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(job_begin(&rig, &j[i], JOB_TAKE, 0, NULL, 4), 0);
        cr_assert_eq(j[i].hold.count, i < 3 ? 4 : 2);
    }
    cr_assert_eq(job_begin(&rig, &j[4], JOB_TAKE, 0, NULL, 4), -EINPROGRESS);
    cr_assert_eq(j[4].call.state, FH_CALL_IN_LINE);
    rig_turn(&rig); /* at the head of the line the reserve is its own */
    cr_assert_eq(j[4].rc, 0);
    cr_assert_eq(j[4].hold.count, 2);
    for (uint32_t i = 0; i < 5; i++)
        fh_pager_release(&rig.pager, &j[i].hold);
    cr_assert_eq(free_frames(), 16);
}

/* --- waiting --- */

/* All frames taken, so that everybody must stand in the line. */
static void take_all(struct job *j)
{
    for (int i = 0; i < 4; i++)
        cr_assert_eq(job_begin(&rig, &j[i], JOB_TAKE, 0, NULL, 4), 0);
    cr_assert_eq(free_frames(), 0);
}

Test(pager_holds, the_order_of_the_line_is_the_order_of_arrival)
{
    static struct job all[4], j[6];
    static uint8_t bytes[4 * FH_PAGE_SIZE];

    rig_write(&rig, 50, 1);
    rig_evict(&rig);
    take_all(all);
    for (uint64_t i = 0; i < 6; i++) {
        int rc =
            i == 2 ? job_begin(&rig, &j[i], JOB_HOLD, at(50, 0), NULL, 1)
                   : job_begin(&rig, &j[i], JOB_WRITE, at(i, 0), bytes, (1 + i % 4) * FH_PAGE_SIZE);
        cr_assert_eq(rc, -EINPROGRESS);
        cr_assert_eq(j[i].call.state, FH_CALL_IN_LINE);
    }
    rig_turn(&rig);
    cr_assert_eq(j[0].rc, -EINPROGRESS, "there is nothing for anybody");
    fh_pager_release(&rig.pager, &all[0].hold);
    rig_turn(&rig); /* 4 frames: 1 for the first, 2 for the second, 1 for the third */
    cr_assert_eq(j[0].rc, 0);
    cr_assert_eq(j[1].rc, 0);
    cr_assert_eq(j[3].rc, -EINPROGRESS, "no small one passes a large one");
    cr_assert_eq(j[4].rc, -EINPROGRESS);
    for (int i = 1; i < 4; i++)
        fh_pager_release(&rig.pager, &all[i].hold);
    for (int i = 0; i < 6; i++)
        cr_assert_eq(job_wait(&j[i]), 0);
    cr_assert_lt(j[0].order, j[1].order);
    cr_assert_lt(j[1].order, j[3].order);
    cr_assert_lt(j[3].order, j[4].order);
    cr_assert_lt(j[4].order, j[5].order);
    fh_pager_release(&rig.pager, &j[2].hold);
    rig_check(&rig);
}

Test(pager_holds, a_newcomer_queues_behind_who_waits_though_there_is_a_frame_for_it)
{
    static struct job all[4], large, small;
    static uint8_t bytes[4 * FH_PAGE_SIZE];

    take_all(all);
    cr_assert_eq(job_begin(&rig, &large, JOB_WRITE, at(0, 0), bytes, sizeof(bytes)), -EINPROGRESS);
    (void)fh_frames_release(&rig.pager.frames, all[0].hold.frames[0]);
    all[0].hold.frames[0] = FH_FRAME_NONE;
    cr_assert_eq(free_frames(), 1);
    cr_assert_eq(job_begin(&rig, &small, JOB_WRITE, at(9, 0), bytes, 1), -EINPROGRESS);
    for (int i = 0; i < 4; i++)
        fh_pager_release(&rig.pager, &all[i].hold);
    cr_assert_eq(job_wait(&small), 0);
    cr_assert_eq(large.rc, 0);
    cr_assert_lt(large.order, small.order);
}

Test(pager_holds, who_needs_no_frame_passes_the_line)
{
    static struct job all[4], waits, j;
    uint8_t byte = 1;

    rig_write(&rig, 0, 1);
    take_all(all);
    cr_assert_eq(job_begin(&rig, &waits, JOB_WRITE, at(1, 0), &byte, 1), -EINPROGRESS);
    rig_expect(&rig, 0, 1);
    rig_expect(&rig, 9, 0);
    cr_assert_eq(job_begin(&rig, &j, JOB_WRITE, at(0, 0), &byte, 1), 0, "in place");
    cr_assert_eq(zero(at(0, 0), FH_PAGE_SIZE), 0);
    rig_turn(&rig);
    cr_assert_eq(job_wait(&waits), 0, "and the frame of what was zeroed is the next one's");
    for (int i = 0; i < 4; i++)
        fh_pager_release(&rig.pager, &all[i].hold);
}

/* --- what is all there --- */

static const struct fh_frame_record *record_of(uint64_t page)
{
    return fh_frames_record(&rig.pager.frames, fh_entry_frame(rig_entry(&rig, page)));
}

Test(pager_holds, pages_in_memory_and_zeros_are_held_at_once_and_touched_once)
{
    static struct job j;

    rig_write(&rig, 0, 1);
    rig_write(&rig, 2, 3);
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, at(0, 0), NULL, 3), 0);
    cr_assert(rig_is(fh_pager_held_bytes(&rig.pager, &j.hold, 0), 1));
    cr_assert(rig_is(fh_pager_held_bytes(&rig.pager, &j.hold, 1), 0), "never written");
    cr_assert(rig_is(fh_pager_held_bytes(&rig.pager, &j.hold, 2), 3));
    rig_check(&rig);
    cr_assert_eq(record_of(0)->refs, 2, "the entry and the hold");
    cr_assert_eq(record_of(0)->freq, 1);
    fh_pager_release(&rig.pager, &j.hold);
    cr_assert_eq(record_of(0)->refs, 1);
    cr_assert_eq(free_frames(), 14, "zeros took no frame");
}

Test(pager_holds, a_page_in_memory_beside_one_that_is_not_is_touched_once)
{
    static struct job j;

    rig_write(&rig, 1, 2);
    rig_evict(&rig);
    rig_write(&rig, 0, 1);
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, at(0, 0), NULL, 2), -EINPROGRESS);
    cr_assert_eq(job_wait(&j), 0);
    cr_assert_eq(record_of(0)->freq, 1);
    cr_assert_eq(record_of(0)->refs, 2);
    cr_assert(rig_is(fh_pager_held_bytes(&rig.pager, &j.hold, 1), 2));
    fh_pager_release(&rig.pager, &j.hold);
}

Test(pager_holds, a_frame_with_as_many_references_as_it_can_have_is_held_no_more)
{
    static struct job j;

    rig_write(&rig, 0, 1);
    rig_write(&rig, 1, 2);
    struct fh_frame_record *r =
        fh_frames_record(&rig.pager.frames, fh_entry_frame(rig_entry(&rig, 1)));
    r->refs = FH_FRAME_REFS_MAX;
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, at(0, 0), NULL, 2), -EBUSY);
    cr_assert_eq(record_of(0)->refs, 1, "nothing is held of a hold that is refused");
    cr_assert(!fh_hold_is_bound(&j.hold));
    r->refs = 1;
}

Test(pager_holds, holding_twice_by_one_hold_is_a_programmer_error, .signal = SIGABRT)
{
    static struct job j;

    rig_write(&rig, 0, 1);
    (void)job_begin(&rig, &j, JOB_HOLD, at(0, 0), NULL, 1);
    (void)!fh_pager_hold(&rig.pager, &j.call, &j.hold, (struct fh_page){0}, 1);
}

Test(pager_holds, a_call_cancelled_in_the_line_leaves_it_and_takes_nothing)
{
    static struct job all[4], a, b;
    uint8_t byte = 1;

    take_all(all);
    cr_assert_eq(job_begin(&rig, &a, JOB_WRITE, at(1, 0), &byte, 1), -EINPROGRESS);
    cr_assert_eq(job_begin(&rig, &b, JOB_WRITE, at(2, 0), &byte, 1), -EINPROGRESS);
    fh_pager_cancel(&rig.pager, &a.call);
    fh_pager_cancel(&rig.pager, &a.call); /* twice: no effect */
    for (int i = 0; i < 4; i++)
        fh_pager_release(&rig.pager, &all[i].hold);
    cr_assert_eq(job_wait(&b), 0);
    cr_assert_eq(a.rc, -EINPROGRESS, "its owner is not told");
    cr_assert_eq(rig_state(&rig, 1), FH_PAGE_NOTHING);
    cr_assert_eq(free_frames(), 15);
}

Test(pager_holds, a_call_cancelled_on_io_gives_everything_back_and_the_page_stays)
{
    static struct job hold, write;
    uint8_t byte = 1;

    rig_write(&rig, 1, 11);
    rig_evict(&rig);
    rig.disk->hang = true;
    cr_assert_eq(job_begin(&rig, &hold, JOB_HOLD, at(1, 0), NULL, 1), -EINPROGRESS);
    cr_assert_eq(job_begin(&rig, &write, JOB_WRITE, at(1, 0), &byte, 1), -EINPROGRESS);
    fh_pager_cancel(&rig.pager, &hold.call);
    rig_check(&rig);
    fh_pager_cancel(&rig.pager, &write.call);
    cr_assert_eq(rig.pager.reserved, 0);
    rig_check(&rig);
    rig.disk->hang = false;
    rig_turn(&rig);
    rig_turn(&rig);
    cr_assert_eq(rig_state(&rig, 1), FH_PAGE_FRAME, "the read ended by itself");
    cr_assert_eq(rig.over, 1, "nobody was told");
    rig_expect(&rig, 1, 11);
    rig_check(&rig);
}

Test(pager_holds, a_call_cancelled_when_its_pages_have_just_arrived_gives_them_back)
{
    static struct job hold;

    rig_write(&rig, 1, 11);
    rig_evict(&rig);
    cr_assert_eq(job_begin(&rig, &hold, JOB_HOLD, at(1, 0), NULL, 1), -EINPROGRESS);
    fh_io_flush(&rig.disk->io);
    fh_io_reap(&rig.disk->io);
    cr_assert_eq(hold.call.state, FH_CALL_READY);
    fh_pager_cancel(&rig.pager, &hold.call);
    rig_turn(&rig);
    cr_assert_eq(hold.rc, -EINPROGRESS);
    rig_check(&rig);
}

Test(pager_holds, when_operations_are_short_a_reader_waits_in_the_line_for_one)
{
    static struct fh_page_op *ops[FH_PAGER_OPS + 1];
    static struct job j;
    uint32_t count = 0;

    rig_write(&rig, 1, 11);
    rig_evict(&rig);
    while ((ops[count] = fh_pager_op_take(&rig.pager)) != NULL)
        count++;
    cr_assert_eq(count, FH_PAGER_OPS);
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, at(1, 0), NULL, 1), -EINPROGRESS);
    cr_assert_eq(j.call.state, FH_CALL_IN_LINE);
    rig_turn(&rig);
    cr_assert_eq(j.rc, -EINPROGRESS);
    while (count > 0)
        fh_pager_op_give(&rig.pager, ops[--count]);
    cr_assert_eq(job_wait(&j), 0);
    fh_pager_release(&rig.pager, &j.hold);
}
