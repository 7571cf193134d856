/*
 * backing over the fake disk: which page lies where, runs read and written, the last page, short
 * files, and what is said to be safe.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/backing.h"
#include "tests/support/fake_disk.h"

enum { PAGE = FH_PAGE_SIZE, SIZE = 5 * PAGE + 100, REAPS = 100 };

static struct fh_fake_disk *disk;
static struct fh_mem mem;
static struct fh_backing backing;
static struct fh_fake_file *disk_file;
static struct fh_file *file;
static uint8_t pages[8][PAGE];
static struct fh_file_run run, other;
static uint32_t over;

static void note_done(struct fh_file_run *r)
{
    (void)r;
    over++;
}

static void ask(struct fh_file_run *r, struct fh_file *f, uint64_t first, uint32_t count)
{
    memset(r, 0xA5, sizeof(*r));
    r->file = f;
    r->first = first;
    r->count = count;
    r->done = note_done;
    for (uint32_t i = 0; i < count; i++)
        r->pages[i] = pages[i];
}

static void settle(void)
{
    for (uint32_t i = 0; i < REAPS && disk->io.in_flight > 0; i++) {
        fh_io_flush(&disk->io);
        fh_io_reap(&disk->io);
        cr_assert(fh_backing_check(&backing, stderr));
    }
    cr_assert_eq(disk->io.in_flight, 0);
}

static struct fh_file *open_at(uint64_t first, const struct fh_fake_file *on, uint64_t number)
{
    struct fh_file *out = NULL;
    const struct fh_file like = {.first = {first},
                                 .size_bytes = on->size,
                                 .fd = on->fd,
                                 .writable = true,
                                 .id = {.device = 1, .number = number}};

    cr_assert_eq(fh_backing_open(&backing, &like, &out), 0);
    return out;
}

static void setup(void)
{
    mem = (struct fh_mem){0};
    over = 0;
    disk = fh_fake_disk_create(7);
    cr_assert_not_null(disk);
    memset(&backing, 0xA5, sizeof(backing));
    fh_backing_init(&backing, &disk->io, &mem);
    disk_file = fh_fake_disk_file(disk, SIZE);
    for (uint32_t i = 0; i < SIZE; i++)
        disk_file->bytes[i] = disk_file->safe[i] = (uint8_t)(i / PAGE * 16 + i % 13);
    file = open_at(100, disk_file, 1);
}

static void teardown(void)
{
    settle();
    fh_backing_fini(&backing);
    cr_assert_eq(mem.used_bytes, 0);
    fh_io_destroy(&disk->io);
}

TestSuite(backing, .init = setup, .fini = teardown, .timeout = 30);

Test(backing, finds_the_file_of_a_page_and_of_no_other)
{
    struct fh_file *before = open_at(10, fh_fake_disk_file(disk, PAGE), 2);
    struct fh_file *after = open_at(106, fh_fake_disk_file(disk, 0), 3);

    cr_assert_eq(file->pages, 6);
    cr_assert_null(fh_backing_find(&backing, (struct fh_page){9}));
    cr_assert_eq(fh_backing_find(&backing, (struct fh_page){10}), before);
    cr_assert_null(fh_backing_find(&backing, (struct fh_page){11}));
    cr_assert_null(fh_backing_find(&backing, (struct fh_page){99}));
    cr_assert_eq(fh_backing_find(&backing, (struct fh_page){100}), file);
    cr_assert_eq(fh_backing_find(&backing, (struct fh_page){105}), file);
    cr_assert_eq(fh_backing_find(&backing, (struct fh_page){106}), after);
    cr_assert_null(fh_backing_find(&backing, (struct fh_page){107}));
    cr_assert_eq(fh_backing_known(&backing, (struct fh_file_id){1, 3}), after);
    cr_assert_null(fh_backing_known(&backing, (struct fh_file_id){2, 3}));
}

Test(backing, reads_a_run_and_zeros_behind_the_end)
{
    memset(pages, 0xEE, sizeof(pages));
    ask(&run, file, 4, 2);
    fh_backing_read(&backing, &run);
    settle();
    cr_assert_eq(over, 1);
    cr_assert_eq(run.status[0], 0);
    cr_assert_eq(run.status[1], 0);
    cr_assert_eq(memcmp(pages[0], disk_file->bytes + 4 * PAGE, PAGE), 0);
    cr_assert_eq(memcmp(pages[1], disk_file->bytes + 5 * PAGE, 100), 0);
    for (uint32_t i = 100; i < PAGE; i++)
        cr_assert_eq(pages[1][i], 0);
}

Test(backing, a_file_cut_by_others_costs_only_the_pages_that_are_gone)
{
    disk_file->size = 3 * PAGE + 5;
    memset(pages, 0xEE, sizeof(pages));
    ask(&run, file, 2, 3);
    fh_backing_read(&backing, &run);
    settle();
    cr_assert_eq(run.status[0], 0);
    cr_assert_eq(memcmp(pages[0], disk_file->bytes + 2 * PAGE, PAGE), 0);
    for (uint32_t i = 1; i < 3; i++) {
        cr_assert_eq(run.status[i], -EIO);
        for (uint32_t k = 0; k < PAGE; k++)
            cr_assert_eq(pages[i][k], 0, "not even a part of it");
    }
}

Test(backing, a_read_that_fails_once_is_tried_again_page_by_page)
{
    disk->next[FH_DISK_EIO] = true;
    ask(&run, file, 0, 4);
    fh_backing_read(&backing, &run);
    settle();
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(run.status[i], 0);
    cr_assert_eq(disk_file->reads, 5);
    cr_assert_eq(backing.stats.io_errors, 1);
    cr_assert_eq(backing.stats.read_pages, 4);
}

Test(backing, what_is_being_read_is_in_use)
{
    disk->next[FH_DISK_EIO] = true; /* all of it, also while it is read again */
    ask(&run, file, 2, 2);
    fh_backing_read(&backing, &run);
    cr_assert_eq(fh_file_user(file, 3, 3), &run);
    cr_assert_not(fh_file_is_in_use(file, 0, 2));
    fh_io_flush(&disk->io);
    fh_io_reap(&disk->io);
    cr_assert_eq(over, 0);
    cr_assert(fh_file_is_in_use(file, 2, 1));
    settle();
    cr_assert_eq(over, 1);
    cr_assert_not(fh_file_is_in_use(file, 0, 6));
}

Test(backing, what_was_there_before_is_safe_when_the_file_is_settled)
{
    memset(disk_file->bytes, 0x33, SIZE); /* by another program, or by a write that failed */
    ask(&run, file, 0, 0);
    disk->next[FH_DISK_EIO] = true;
    fh_backing_settle(&backing, &run);
    settle();
    cr_assert_eq(over, 1);
    cr_assert_not(file->settled);
    cr_assert_eq(file->error, -EIO);

    file->error = 0; /* as if it was opened again */
    fh_backing_settle(&backing, &run);
    cr_assert_not(file->settled);
    settle();
    cr_assert_eq(over, 2);
    cr_assert(file->settled);
    cr_assert_eq(memcmp(disk_file->safe, disk_file->bytes, SIZE), 0);
}

Test(backing, a_write_is_safe_when_it_is_done_and_ends_at_the_end_of_the_file)
{
    memset(pages, 0x11, sizeof(pages));
    ask(&run, file, 4, 2);
    fh_backing_write(&backing, &run);
    cr_assert(fh_file_is_in_use(file, 5, 1));
    cr_assert_not(fh_file_is_in_use(file, 3, 1));
    settle();
    cr_assert_eq(run.status[0] | run.status[1], 0);
    cr_assert_not(fh_file_is_in_use(file, 0, 6));
    cr_assert_eq(disk_file->syncs, 1);
    cr_assert_eq(disk_file->written_bytes, PAGE + 100);
    cr_assert_eq(memcmp(disk_file->safe + 4 * PAGE, pages[0], PAGE), 0);
    cr_assert_eq(memcmp(disk_file->safe + 5 * PAGE, pages[1], 100), 0);
}

Test(backing, a_sync_covers_only_what_was_written_before_it_began)
{
    ask(&run, file, 0, 1);
    ask(&other, file, 2, 1);
    fh_backing_write(&backing, &run);
    fh_io_reap(&disk->io); /* written; its sync is on its way */
    fh_backing_write(&backing, &other);
    fh_io_reap(&disk->io); /* synced; the other is written, and not covered */
    cr_assert_eq(over, 1);
    settle();
    cr_assert_eq(over, 2);
    cr_assert_eq(disk_file->syncs, 2);
}

Test(backing, a_failed_write_says_so_and_may_be_tried_again)
{
    disk->next[FH_DISK_ENOSPC] = true;
    ask(&run, file, 0, 2);
    fh_backing_write(&backing, &run);
    settle();
    cr_assert_eq(run.status[0], -ENOSPC);
    cr_assert_eq(run.status[1], -ENOSPC);
    cr_assert_eq(file->error, 0);
    ask(&run, file, 0, 2);
    fh_backing_write(&backing, &run);
    settle();
    cr_assert_eq(run.status[0], 0);
}

Test(backing, a_failed_sync_is_final_for_all_that_it_may_have_lost)
{
    ask(&run, file, 0, 1);
    fh_backing_write(&backing, &run);
    fh_io_reap(&disk->io);
    ask(&other, file, 3, 1);
    fh_backing_write(&backing, &other);
    disk->dead[FH_IO_DATASYNC] = true;
    settle();
    disk->dead[FH_IO_DATASYNC] = false;
    cr_assert_eq(over, 2);
    cr_assert_eq(run.status[0], -EIO);
    cr_assert_eq(other.status[0], -EIO);
    cr_assert_eq(file->error, -EIO);
}

Test(backing, a_file_that_ended_closes_when_its_last_run_is_over)
{
    int fd = file->fd;

    ask(&run, file, 0, 1);
    fh_backing_write(&backing, &run);
    fh_backing_end(&backing, file);
    cr_assert_eq(fh_backing_known(&backing, (struct fh_file_id){1, 1}), file);
    cr_assert_neq(fcntl(fd, F_GETFD), -1);
    settle();
    cr_assert_null(fh_backing_known(&backing, (struct fh_file_id){1, 1}));
    cr_assert_eq(fcntl(fd, F_GETFD), -1);
    cr_assert_eq(over, 1);
}

Test(backing, refuses_one_file_too_many_and_one_without_memory)
{
    struct fh_file *out = NULL;
    struct fh_file like = {.size_bytes = PAGE, .fd = -1};

    mem.fail_at = mem.calls + 1;
    like.first.v = 1000;
    cr_assert_eq(fh_backing_open(&backing, &like, &out), -ENOMEM);
    for (uint64_t i = 1; i < FH_FILES_MAX; i++) {
        like.first.v = 1000 + i;
        cr_assert_eq(fh_backing_open(&backing, &like, &out), 0);
    }
    like.first.v = 1;
    cr_assert_eq(fh_backing_open(&backing, &like, &out), -EMFILE);
    cr_assert(fh_backing_check(&backing, stderr));
}

/* --- the check, and what programmers get wrong --- */

Test(backing, check_sees_overlapping_files)
{
    struct fh_file *next = open_at(110, fh_fake_disk_file(disk, PAGE), 2);

    next->first.v = 103;
    cr_assert_not(fh_backing_check(&backing, NULL));
    next->first.v = 110;
}

Test(backing, check_sees_a_wrong_count_and_a_wait_without_end)
{
    ask(&run, file, 0, 1);
    fh_backing_write(&backing, &run);
    file->running = 0;
    cr_assert_not(fh_backing_check(&backing, NULL));
    file->running = 1;
    fh_list_push_back(&file->unsynced, &run.link);
    cr_assert_not(fh_backing_check(&backing, NULL));
    fh_list_remove(&run.link);
}

Test(backing, check_sees_a_page_that_is_written_twice)
{
    ask(&run, file, 0, 2);
    ask(&other, file, 2, 2);
    fh_backing_write(&backing, &run);
    fh_backing_write(&backing, &other);
    other.first = 1;
    cr_assert_not(fh_backing_check(&backing, NULL));
    other.first = 2;
}

Test(backing, writing_a_page_twice_is_a_programmer_error, .signal = SIGABRT)
{
    ask(&run, file, 0, 2);
    ask(&other, file, 1, 2);
    fh_backing_write(&backing, &run);
    fh_backing_write(&backing, &other);
}
