/* The pager by example: what a read sees, what a write costs, who waits and in which order. */
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

/* `size` times the byte, from `start` on. */
static void write_part(uint64_t start, uint8_t byte, uint64_t size)
{
    static struct job j;
    uint8_t bytes[FH_PAGE_SIZE];

    memset(bytes, byte, sizeof(bytes));
    (void)job_begin(&rig, &j, JOB_WRITE, start, bytes, size);
    cr_assert_eq(job_wait(&j), 0);
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

TestSuite(pager, .init = setup, .fini = teardown, .timeout = 30);

/* --- reading --- */

Test(pager, a_page_never_written_reads_as_zeros_and_takes_no_frame)
{
    rig_expect(&rig, 5, 0);
    rig_expect(&rig, (UINT64_C(1) << FH_SPACE_PAGE_SHIFT) - 1, 0);
    cr_assert_eq(free_frames(), 16);
    cr_assert_eq(rig.pager.table.tables_end, 0, "not even a table");
}

Test(pager, what_was_written_is_read_from_memory_and_from_swap)
{
    for (uint64_t page = 0; page < 10; page++)
        rig_write(&rig, page, page + 1);
    for (uint64_t page = 0; page < 10; page++)
        rig_expect(&rig, page, page + 1);
    cr_assert_eq(rig.disk->io.reads, 0);
    rig_evict(&rig);
    cr_assert_eq(free_frames(), 16);
    rig_check(&rig);
    for (uint64_t page = 0; page < 10; page++)
        rig_expect(&rig, page, page + 1);
    cr_assert_eq(rig.pager.faults_swap, 10);
    rig_check(&rig);
}

Test(pager, a_held_frame_is_never_written)
{
    static struct job j;

    rig_write(&rig, 1, 100);
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, at(1, 0), NULL, 1), 0);
    rig_write(&rig, 1, 200);
    write_part(at(1, 10), 7, 5);
    zero(at(1, 4000), 96);
    zero(at(1, 0), FH_PAGE_SIZE);
    cr_assert(rig_is(fh_pager_held_bytes(&rig.pager, &j.hold, 0), 100));
    discard(1, 1);
    rig_write(&rig, 2, 300);
    cr_assert(rig_is(fh_pager_held_bytes(&rig.pager, &j.hold, 0), 100));
    rig_check(&rig);
    rig_evict(&rig);
    cr_assert(rig_is(fh_pager_held_bytes(&rig.pager, &j.hold, 0), 100));
    fh_pager_release(&rig.pager, &j.hold);
    cr_assert_eq(free_frames(), 16);
}

Test(pager, a_frame_held_while_it_is_read_in_is_never_written_either)
{
    static struct job j;

    rig_write(&rig, 1, 100);
    rig_evict(&rig);
    rig.disk->hang = true;
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, at(1, 0), NULL, 1), -EINPROGRESS);
    rig_write(&rig, 1, 200); /* a whole page: need not wait */
    rig_expect(&rig, 1, 200);
    rig.disk->hang = false;
    cr_assert_eq(job_wait(&j), 0);
    cr_assert(rig_is(fh_pager_held_bytes(&rig.pager, &j.hold, 0), 100));
    rig_check(&rig);
    fh_pager_release(&rig.pager, &j.hold);
    rig_expect(&rig, 1, 200);
}

Test(pager, a_page_that_others_read_in_is_read_once)
{
    static struct job j[3];

    rig_write(&rig, 1, 100);
    rig_evict(&rig);
    uint64_t reads = rig.disk->io.reads;
    rig.disk->hang = true;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(job_begin(&rig, &j[i], JOB_HOLD, at(1, 0), NULL, 1), -EINPROGRESS);
    rig_check(&rig);
    rig.disk->hang = false;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(job_wait(&j[i]), 0);
    cr_assert_eq(rig.disk->io.reads, reads + 1);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(j[i].order, (uint32_t)i + 2, "in order of arrival");
        cr_assert(rig_is(fh_pager_held_bytes(&rig.pager, &j[i].hold, 0), 100));
        fh_pager_release(&rig.pager, &j[i].hold);
    }
}

Test(pager, pages_evicted_together_are_written_and_read_in_one_transfer)
{
    static struct job j;

    for (uint64_t page = 0; page < 4; page++)
        rig_write(&rig, 3 - page, 1 + page);
    rig_evict(&rig);
    cr_assert_eq(rig.disk->io.writes, 1);
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, at(0, 0), NULL, 4), -EINPROGRESS);
    cr_assert_eq(job_wait(&j), 0);
    cr_assert_eq(rig.disk->io.reads, 1);
    fh_pager_release(&rig.pager, &j.hold);
}

/* --- writing --- */

Test(pager, a_partial_write_on_a_page_never_written_leaves_zeros_around_it)
{
    uint8_t bytes[FH_PAGE_SIZE], expected[FH_PAGE_SIZE] = {0};

    for (uint64_t page = 20; page < 36 - 8; page++)
        rig_write(&rig, page, page); /* the frames are full of other bytes */
    discard(20, 16);
    write_part(at(1, 100), 0xEE, 50);
    memset(expected + 100, 0xEE, 50);
    cr_assert_eq(rig_read(&rig, 1, bytes), 0);
    cr_assert_eq(memcmp(bytes, expected, FH_PAGE_SIZE), 0);
    cr_assert_eq(rig.pager.faults_first_write, 9);
}

Test(pager, a_write_across_pages_touches_its_bytes_only)
{
    uint8_t bytes[FH_PAGE_SIZE], expected[FH_PAGE_SIZE];

    rig_write(&rig, 1, 11);
    rig_write(&rig, 2, 22);
    write_part(at(1, 4000), 0xEE, 200);
    rig_fill(expected, 11);
    memset(expected + 4000, 0xEE, 96);
    cr_assert_eq(rig_read(&rig, 1, bytes), 0);
    cr_assert_eq(memcmp(bytes, expected, FH_PAGE_SIZE), 0);
    rig_fill(expected, 22);
    memset(expected, 0xEE, 104);
    cr_assert_eq(rig_read(&rig, 2, bytes), 0);
    cr_assert_eq(memcmp(bytes, expected, FH_PAGE_SIZE), 0);
}

Test(pager, a_write_by_the_only_holder_is_in_place)
{
    rig_write(&rig, 1, 11);
    struct fh_frame before = fh_entry_frame(rig_entry(&rig, 1));
    rig_write(&rig, 1, 12);
    write_part(at(1, 5), 1, 1);
    cr_assert_eq(fh_entry_frame(rig_entry(&rig, 1)).v, before.v);
    cr_assert_eq(rig.pager.faults_copy, 0);
    cr_assert_eq(rig.pager.copied_bytes, 0);
}

Test(pager, a_partial_write_beside_a_reader_copies_what_it_does_not_cover)
{
    static struct job j;

    rig_write(&rig, 1, 11);
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, at(1, 0), NULL, 1), 0);
    write_part(at(1, 0), 1, 96);
    cr_assert_eq(rig.pager.faults_copy, 1);
    cr_assert_eq(rig.pager.copied_bytes, FH_PAGE_SIZE - 96);
    fh_pager_release(&rig.pager, &j.hold);
    cr_assert_eq(free_frames(), 15, "the reader's frame is free again");
}

Test(pager, a_whole_page_write_on_a_swapped_page_reads_nothing_in)
{
    rig_write(&rig, 1, 11);
    rig_evict(&rig);
    cr_assert_eq(rig_state(&rig, 1), FH_PAGE_SLOT);
    rig_write(&rig, 1, 12);
    cr_assert_eq(rig.disk->io.reads, 0);
    cr_assert_eq(rig.pager.swap.slots.stats.used, 0, "the slot is free");
    rig_expect(&rig, 1, 12);
}

Test(pager, a_partial_write_on_a_swapped_page_waits_for_it)
{
    static struct job j;
    uint8_t byte = 0xEE, bytes[FH_PAGE_SIZE];

    rig_write(&rig, 1, 11);
    rig_evict(&rig);
    rig.disk->hang = true;
    cr_assert_eq(job_begin(&rig, &j, JOB_WRITE, at(1, 0), &byte, 1), -EINPROGRESS);
    cr_assert_eq(rig.pager.reserved, 1);
    rig_check(&rig);
    rig.disk->hang = false;
    cr_assert_eq(job_wait(&j), 0);
    cr_assert_eq(rig.pager.reserved, 0);
    cr_assert_eq(rig_read(&rig, 1, bytes), 0);
    cr_assert_eq(bytes[0], 0xEE);
    bytes[0] = (uint8_t)rng_next(&(struct rng){11});
    cr_assert(rig_is(bytes, 11));
    cr_assert(fh_frames_record(&rig.pager.frames, fh_entry_frame(rig_entry(&rig, 1)))->dirty);
    cr_assert_eq(rig.pager.swap.slots.stats.used, 0, "the copy in the slot was given up");
}

Test(pager, two_writers_that_wait_for_one_page_both_take_effect)
{
    static struct job j[2];
    static const uint8_t bytes[2] = {0xAA, 0xBB};
    uint8_t out[FH_PAGE_SIZE];

    rig_write(&rig, 1, 11);
    rig_evict(&rig);
    for (uint64_t i = 0; i < 2; i++)
        cr_assert_eq(job_begin(&rig, &j[i], JOB_WRITE, at(1, i), &bytes[i], 1), -EINPROGRESS);
    cr_assert_eq(job_wait(&j[1]), 0);
    cr_assert_eq(j[0].rc, 0);
    cr_assert_eq(rig_read(&rig, 1, out), 0);
    cr_assert_eq(memcmp(out, bytes, 2), 0);
    rig_check(&rig);
}

Test(pager, zeroing_whole_pages_makes_them_nothing_and_edges_zeros)
{
    uint8_t bytes[FH_PAGE_SIZE], expected[FH_PAGE_SIZE];

    for (uint64_t page = 1; page < 6; page++)
        rig_write(&rig, page, page);
    cr_assert_eq(zero(at(1, 4000), 96 + 3 * FH_PAGE_SIZE + 7), 0);
    for (uint64_t page = 2; page < 5; page++)
        cr_assert_eq(rig_state(&rig, page), FH_PAGE_NOTHING);
    rig_fill(expected, 1);
    memset(expected + 4000, 0, 96);
    cr_assert_eq(rig_read(&rig, 1, bytes), 0);
    cr_assert_eq(memcmp(bytes, expected, FH_PAGE_SIZE), 0);
    rig_fill(expected, 5);
    memset(expected, 0, 7);
    cr_assert_eq(rig_read(&rig, 5, bytes), 0);
    cr_assert_eq(memcmp(bytes, expected, FH_PAGE_SIZE), 0);
    cr_assert_eq(free_frames(), 14);
}

Test(pager, zeroing_what_was_never_written_takes_nothing)
{
    cr_assert_eq(zero(at(1, 100), 5), 0);
    cr_assert_eq(zero(at(1, 100), UINT64_C(1) << 40), 0, "nor does size matter");
    cr_assert_eq(free_frames(), 16);
    cr_assert_eq(rig.pager.table.tables_end, 0);
}

Test(pager, a_write_of_more_pages_than_may_be_held_is_refused)
{
    static struct job j;
    static uint8_t bytes[5 * FH_PAGE_SIZE];

    cr_assert_eq(job_begin(&rig, &j, JOB_WRITE, at(1, 0), bytes, sizeof(bytes)), -EFBIG);
    cr_assert_eq(job_begin(&rig, &j, JOB_WRITE, at(1, 1), bytes, 4 * FH_PAGE_SIZE), -EFBIG);
    cr_assert_eq(free_frames(), 16);
    cr_assert_eq(job_begin(&rig, &j, JOB_WRITE, at(1, 0), bytes, 4 * FH_PAGE_SIZE), 0);
    cr_assert_eq(free_frames(), 12);
}

Test(pager, peek_looks_at_pages_in_memory_and_at_nothing)
{
    uint8_t bytes[20], expected[FH_PAGE_SIZE];

    rig_write(&rig, 1, 11);
    rig_fill(expected, 11);
    fh_pager_peek(&rig.pager, (struct fh_addr){at(1, 4086)}, bytes, 20);
    cr_assert_eq(memcmp(bytes, expected + 4086, 10), 0);
    for (int i = 10; i < 20; i++)
        cr_assert_eq(bytes[i], 0);
}

Test(pager, no_memory_for_a_table_is_told_and_nothing_changes)
{
    rig.mem.fail_at = rig.mem.calls + 1;
    cr_assert_eq(rig_try_write(&rig, 1, 1), -ENOMEM);
    cr_assert_eq(free_frames(), 16);
    rig_write(&rig, 1, 1);
}

/* --- whole entries --- */

Test(pager, moving_pages_moves_entries_and_copies_nothing)
{
    for (uint64_t page = 0; page < 4; page++)
        rig_write(&rig, page, page + 1);
    rig_evict(&rig);
    rig_write(&rig, 1, 22); /* 0 slot, 1 dirty, 2 clean, 3 being read, 4 nothing */
    rig_expect(&rig, 2, 3);
    static struct job j;
    rig.disk->hang = true;
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, at(3, 0), NULL, 1), -EINPROGRESS);
    rig_write(&rig, 101, 99); /* what the target had goes */
    rig_write(&rig, 104, 99);
    fh_pager_move(&rig.pager, (struct fh_page){0}, (struct fh_page){100}, 5);
    rig_check(&rig);
    rig.disk->hang = false;
    cr_assert_eq(job_wait(&j), 0);
    fh_pager_release(&rig.pager, &j.hold);
    cr_assert_eq(rig_state(&rig, 103), FH_PAGE_FRAME, "what was read came to the new place");
    rig_expect(&rig, 100, 1);
    rig_expect(&rig, 101, 22);
    rig_expect(&rig, 102, 3);
    rig_expect(&rig, 103, 4);
    rig_expect(&rig, 104, 0);
    for (uint64_t page = 0; page < 5; page++)
        cr_assert_eq(rig_state(&rig, page), FH_PAGE_NOTHING);
    cr_assert_eq(rig.pager.copied_bytes, 0);
    rig_check(&rig);
}

Test(pager, discarding_what_is_being_read_ends_quietly)
{
    static struct job j;

    rig_write(&rig, 1, 11);
    rig_evict(&rig);
    rig.disk->hang = true;
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, at(1, 0), NULL, 1), -EINPROGRESS);
    discard(1, 1);
    rig_check(&rig);
    cr_assert_eq(rig.pager.swap.slots.stats.used, 1, "the read still needs its slot");
    rig.disk->hang = false;
    cr_assert_eq(job_wait(&j), 0);
    cr_assert(rig_is(fh_pager_held_bytes(&rig.pager, &j.hold, 0), 11), "it was there at the time");
    fh_pager_release(&rig.pager, &j.hold);
    rig_expect(&rig, 1, 0);
    cr_assert_eq(free_frames(), 16);
}

Test(pager, pages_are_counted_by_state)
{
    struct fh_page_counts c;

    for (uint64_t page = 0; page < 4; page++)
        rig_write(&rig, page, page + 1);
    rig_evict(&rig);
    rig_flip(&rig, 0);
    uint8_t bytes[FH_PAGE_SIZE];
    cr_assert_eq(rig_read(&rig, 0, bytes), -EBADMSG);
    rig_expect(&rig, 1, 2);
    fh_pager_count(&rig.pager, (struct fh_page){0}, UINT64_C(1) << 30, &c);
    cr_assert_eq(c.failed, 1);
    cr_assert_eq(c.frame, 1);
    cr_assert_eq(c.swap, 2);
    cr_assert_eq(c.nothing, (UINT64_C(1) << 30) - 4);
}

/* --- views --- */

Test(pager, a_view_keeps_the_bytes_of_its_moment)
{
    static struct fh_view v;

    for (uint64_t page = 0; page < 4; page++)
        rig_write(&rig, page, page + 1);
    rig_evict(&rig);
    rig_expect(&rig, 1, 2);
    rig_write(&rig, 2, 33);
    view(&v, 0, 1000, 5);
    rig_check(&rig);
    for (uint64_t page = 0; page < 5; page++)
        rig_write(&rig, page, 50 + page);
    rig_check(&rig);
    rig_evict(&rig);
    rig_check(&rig);
    static const uint64_t seen[] = {1, 2, 33, 4, 0};
    for (uint64_t page = 0; page < 5; page++) {
        rig_expect(&rig, 1000 + page, seen[page]);
        rig_expect(&rig, page, 50 + page);
    }
    fh_pager_unview(&rig.pager, &v);
    rig_check(&rig);
    cr_assert_eq(rig.pager.rings.count, 0);
}

Test(pager, a_shared_frame_is_evicted_with_one_write_and_read_in_for_all)
{
    static struct fh_view v[2];

    rig_write(&rig, 1, 11);
    view(&v[0], 0, 1000, 4);
    view(&v[1], 1, 2000, 1);
    cr_assert_eq(fh_pager_names(&rig.pager, fh_entry_frame(rig_entry(&rig, 1))), 3);
    rig_evict(&rig);
    cr_assert_eq(rig.pager.swap.stats.stored_pages, 1);
    cr_assert_eq(rig_entry(&rig, 1).v, rig_entry(&rig, 1001).v);
    cr_assert_eq(rig_entry(&rig, 1).v, rig_entry(&rig, 2000).v);
    rig_check(&rig);
    rig_expect(&rig, 2000, 11);
    cr_assert_eq(rig_state(&rig, 1), FH_PAGE_FRAME);
    cr_assert_eq(rig_state(&rig, 1001), FH_PAGE_FRAME);
    cr_assert_eq(rig.pager.swap.stats.loaded_pages, 1);
    rig_check(&rig);
    discard(1, 1); /* the page in the frame's record goes: another takes its place */
    rig_check(&rig);
    rig_evict(&rig);
    rig_expect(&rig, 1001, 11);
    fh_pager_unview(&rig.pager, &v[0]);
    rig_expect(&rig, 2000, 11);
    rig_check(&rig);
    fh_pager_unview(&rig.pager, &v[1]);
}

Test(pager, a_view_of_a_page_being_read_gets_it_too)
{
    static struct job j;
    static struct fh_view v;

    rig_write(&rig, 1, 11);
    rig_evict(&rig);
    rig.disk->hang = true;
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, at(1, 0), NULL, 1), -EINPROGRESS);
    view(&v, 1, 1000, 1);
    rig_check(&rig);
    rig_write(&rig, 1, 12);
    rig.disk->hang = false;
    cr_assert_eq(job_wait(&j), 0);
    fh_pager_release(&rig.pager, &j.hold);
    rig_check(&rig);
    cr_assert_eq(rig_state(&rig, 1000), FH_PAGE_FRAME);
    rig_expect(&rig, 1000, 11);
    rig_expect(&rig, 1, 12);
    fh_pager_unview(&rig.pager, &v);
}

Test(pager, a_shared_frame_of_zeros_is_forgotten_by_all)
{
    static struct fh_view v;

    rig_write(&rig, 1, 0);
    view(&v, 1, 1000, 1);
    rig_evict(&rig);
    cr_assert_eq(rig_state(&rig, 1), FH_PAGE_NOTHING);
    cr_assert_eq(rig_state(&rig, 1000), FH_PAGE_NOTHING);
    cr_assert_eq(free_frames(), 16);
    fh_pager_unview(&rig.pager, &v);
}

Test(pager, a_moved_origin_keeps_its_ring)
{
    static struct fh_view v;

    rig_write(&rig, 1, 11);
    view(&v, 0, 1000, 3);
    cr_assert_eq(fh_pagetable_touch(&rig.pager.table, (struct fh_page){500}, 3), 0);
    fh_pager_move(&rig.pager, (struct fh_page){0}, (struct fh_page){500}, 3);
    rig_check(&rig);
    rig_evict(&rig);
    cr_assert_eq(rig_entry(&rig, 501).v, rig_entry(&rig, 1001).v);
    rig_expect(&rig, 501, 11);
    rig_check(&rig);
    fh_pager_unview(&rig.pager, &v);
}

Test(pager, a_view_of_a_lost_page_is_refused)
{
    static struct fh_view v;
    uint8_t bytes[FH_PAGE_SIZE];

    rig_write(&rig, 1, 11);
    rig_evict(&rig);
    rig_flip(&rig, 1);
    cr_assert_eq(rig_read(&rig, 1, bytes), -EBADMSG);
    cr_assert_eq(fh_pager_view(&rig.pager, &v, (struct fh_page){0}, (struct fh_page){1000}, 5),
                 -EBADMSG);
    cr_assert_eq(rig.pager.rings.count, 0);
    rig_check(&rig);
}

Test(pager, a_view_without_memory_for_its_table_is_refused)
{
    static struct fh_view v;

    rig_write(&rig, 1, 11);
    rig.mem.fail_at = rig.mem.calls + 1;
    cr_assert_eq(
        fh_pager_view(&rig.pager, &v, (struct fh_page){0}, (struct fh_page){FH_ARENA_PAGES}, 5),
        -ENOMEM);
    rig_check(&rig);
}

Test(pager, there_are_only_so_many_views)
{
    static struct fh_view v[FH_RINGS_VIEWS_MAX + 1];

    rig_write(&rig, 0, 11);
    for (uint64_t i = 0; i < FH_RINGS_VIEWS_MAX; i++)
        view(&v[i], 0, 1000 + i, 1);
    cr_assert_eq(fh_pager_view(&rig.pager, &v[FH_RINGS_VIEWS_MAX], (struct fh_page){0},
                               (struct fh_page){9000}, 1),
                 -EBUSY);
    rig_check(&rig);
    rig_evict(&rig);
    rig_expect(&rig, 1500, 11);
    rig_check(&rig);
    for (uint64_t i = 0; i < FH_RINGS_VIEWS_MAX; i++)
        fh_pager_unview(&rig.pager, &v[i]);
}

Test(pager, a_frame_has_only_so_many_references)
{
    static struct job j;
    static struct fh_view v;

    rig_write(&rig, 0, 11);
    struct fh_frame_record *r =
        fh_frames_record(&rig.pager.frames, fh_entry_frame(rig_entry(&rig, 0)));
    r->refs = FH_FRAME_REFS_MAX;
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, 0, NULL, 1), -EBUSY);
    cr_assert_eq(fh_pager_view(&rig.pager, &v, (struct fh_page){0}, (struct fh_page){1000}, 1),
                 -EBUSY);
    r->refs = 1;
}

/* --- loss --- */

Test(pager, a_lost_page_is_told_for_that_page_alone_and_healed_by_a_whole_write)
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

Test(pager, a_lost_page_is_also_healed_by_zeros_and_by_discarding)
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

Test(pager, one_of_several_readers_pages_is_lost_and_the_others_get_theirs)
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

Test(pager, a_lost_page_shared_by_a_view_is_lost_for_both)
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

Test(pager, a_disk_that_fails_a_read_is_told_and_a_later_read_works)
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

Test(pager, without_swap_new_content_ends_at_the_frames_less_the_reserve)
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

Test(pager, with_swap_no_space_is_answered_only_when_frames_and_slots_are_full)
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
Test(pager, overwriting_what_a_view_keeps_is_new_content)
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

Test(pager, claims_count_as_content)
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

Test(pager, giving_back_more_than_was_claimed_is_a_programmer_error, .signal = SIGABRT)
{
    fh_pager_unclaim(&rig.pager, 1);
}

/* --- frames to receive into --- */

Test(pager, taken_frames_become_content_or_go_back)
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

Test(pager, a_taker_gets_what_there_is_above_the_reserve_and_else_waits)
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

Test(pager, the_order_of_the_line_is_the_order_of_arrival)
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

Test(pager, who_needs_no_frame_passes_the_line)
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

Test(pager, a_call_cancelled_in_the_line_leaves_it_and_takes_nothing)
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

Test(pager, a_call_cancelled_on_io_gives_everything_back_and_the_page_stays)
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

Test(pager, a_call_cancelled_when_its_pages_have_just_arrived_gives_them_back)
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

Test(pager, when_operations_are_short_a_reader_waits_in_the_line_for_one)
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

/* --- beginnings and looking inside --- */

Test(pager, refuses_sizes_it_cannot_work_with)
{
    static const struct {
        uint64_t frames;
        uint32_t hold_max;
    } bad[] = {{16, 0}, {1000, FH_HOLD_MAX + 1}, {7, 4},
               {0, 1},  {UINT64_C(1) << 28, 4},  {2 * FH_HOLD_MAX - 1, FH_HOLD_MAX}};
    struct fh_pager p;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t calls = rig.mem.calls;
        struct fh_pager_opts o = rig_opts(&rig, bad[i].frames, 0, bad[i].hold_max);
        cr_assert_eq(fh_pager_init(&p, &o), -EINVAL, "%zu", i);
        cr_assert_eq(rig.mem.calls, calls);
    }
    struct fh_pager_opts smallest = rig_opts(&rig, 8, 0, 4);
    cr_assert_eq(fh_pager_init(&p, &smallest), 0);
    fh_pager_fini(&p);
}

Test(pager, every_failed_request_for_memory_at_first_gives_all_back)
{
    for (uint64_t n = 1;; n++) {
        struct fh_mem mem = {.fail_at = n};
        struct fh_pager p;
        struct fh_pager_opts o = rig_opts(&rig, 16, 64, 4);
        o.mem = o.swap.mem = &mem;
        int rc = fh_pager_init(&p, &o);
        if (!mem.failed) {
            cr_assert_eq(rc, 0);
            cr_assert_gt(n, 5);
            fh_pager_fini(&p);
            break;
        }
        cr_assert_eq(rc, -ENOMEM);
        cr_assert_eq(mem.used_bytes, 0, "request %lu", (unsigned long)n);
    }
}

Test(pager, stats_and_dump_tell_what_there_is)
{
    static struct job j;
    struct fh_pager_stats s;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    for (uint64_t page = 0; page < 3; page++)
        rig_write(&rig, page, page + 1);
    rig_evict(&rig);
    rig_expect(&rig, 0, 1);
    rig_write(&rig, 7, 7);
    rig.disk->hang = true;
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, at(1, 0), NULL, 1), -EINPROGRESS);
    fh_pager_stats(&rig.pager, &s);
    cr_assert_eq(s.frames_total, 16);
    cr_assert_eq(s.frames_free, 13);
    cr_assert_eq(s.frames_clean, 1);
    cr_assert_eq(s.frames_dirty, 1);
    cr_assert_eq(s.frames_held, 1);
    cr_assert_eq(s.pages_frame, 2);
    cr_assert_eq(s.pages_slot, 1);
    cr_assert_eq(s.pages_reading, 1);
    cr_assert_eq(s.live, 4);
    cr_assert_eq(s.capacity, 72);
    cr_assert_eq(s.parked_now, 1);
    cr_assert_eq(s.faults_first_write, 4);
    cr_assert_eq(s.faults_swap, 2);
    fh_pager_dump(&rig.pager, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "pager: live 4"));
    cr_assert_not_null(strstr(text, "page 1 reading"));
    free(text);
    rig.disk->hang = false;
    cr_assert_eq(job_wait(&j), 0);
    fh_pager_release(&rig.pager, &j.hold);
}

/* --- check, shown what is broken; no teardown: the rig is broken --- */

TestSuite(pager_check, .timeout = 30);

/* Page 0 dirty, 1 clean in a frame, 2 in a slot, 3 nothing. */
static void open_broken(void)
{
    setup();
    for (uint64_t page = 0; page < 3; page++)
        rig_write(&rig, page, page + 1);
    rig_evict(&rig);
    rig_expect(&rig, 1, 2);
    rig_write(&rig, 0, 5);
    rig_check(&rig);
}

static void set(uint64_t page, struct fh_entry e)
{
    fh_pagetable_set(&rig.pager.table, (struct fh_page){page}, e);
}

static struct fh_frame_record *record_of(uint64_t page)
{
    return fh_frames_record(&rig.pager.frames, fh_entry_frame(rig_entry(&rig, page)));
}

/* What check says about it. */
static void expect_broken(const char *invariant)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    cr_assert_not(fh_pager_check(&rig.pager, out));
    fclose(out);
    cr_assert_not_null(strstr(text, invariant), "%s", text);
    free(text);
}

Test(pager_check, sees_a_reference_too_many_on_a_frame)
{
    open_broken();
    record_of(0)->refs++;
    expect_broken("[I1]");
}

Test(pager_check, sees_an_entry_that_names_a_frame_which_does_not_know)
{
    open_broken();
    set(3, rig_entry(&rig, 0));
    expect_broken("[I1]");
}

Test(pager_check, sees_an_entry_that_names_a_frame_there_is_not)
{
    open_broken();
    set(3, fh_entry_make(FH_PAGE_FRAME, 16, (struct fh_slot){0}));
    expect_broken("[I1]");
}

Test(pager_check, sees_a_hold_that_lost_its_frame)
{
    static struct job j;

    open_broken();
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, 0, NULL, 1), 0);
    j.hold.frames[0] = FH_FRAME_NONE;
    expect_broken("[I1]");
}

Test(pager_check, sees_a_record_with_the_wrong_page)
{
    open_broken();
    record_of(0)->page = 3;
    expect_broken("[I2]");
}

Test(pager_check, sees_a_dirty_frame_with_a_slot_and_a_clean_one_without)
{
    open_broken();
    record_of(1)->dirty = 1;
    expect_broken("[I3]");
    record_of(1)->dirty = 0;
    record_of(0)->dirty = 0;
    expect_broken("[I3]");
}

Test(pager_check, sees_a_mapped_frame_in_no_queue)
{
    open_broken();
    fh_fifo_remove(&rig.pager.fifo, fh_entry_frame(rig_entry(&rig, 0)));
    expect_broken("[I4]");
}

Test(pager_check, sees_a_queued_frame_that_no_page_names)
{
    open_broken();
    fh_fifo_insert(&rig.pager.fifo, fh_frames_take(&rig.pager.frames), false, 0);
    expect_broken("[I4]");
}

Test(pager_check, sees_each_sum_gone_wrong)
{
    open_broken();
    rig.pager.mapped++;
    expect_broken("[I5] mapped");
    rig.pager.mapped--;
    rig.pager.retained++;
    expect_broken("[I5] retained");
    rig.pager.retained--;
    rig.pager.storing++;
    expect_broken("[I5] storing");
    rig.pager.storing--;
    rig.pager.reserved++;
    expect_broken("[I5] reserved");
    rig.pager.reserved--;
    rig_check(&rig);
}

Test(pager_check, sees_a_slot_with_a_reference_too_many)
{
    open_broken();
    cr_assert(fh_swap_slot_take(&rig.pager.swap, fh_entry_slot(rig_entry(&rig, 2))));
    expect_broken("[I6]");
}

Test(pager_check, sees_an_entry_that_names_a_slot_there_is_not)
{
    open_broken();
    set(3, fh_entry_make(FH_PAGE_SLOT, 0, (struct fh_slot){65}));
    expect_broken("[I6]");
}

Test(pager_check, sees_parts_that_are_broken)
{
    open_broken();
    rig.pager.frames.free++;
    expect_broken("frames are free");
}
