/* The pager by example: what a read sees and what a write costs. */
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
