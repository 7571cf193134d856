/*
 * The journal over a disk whose power goes at every single transfer, with each unsynced sector lost
 * or kept by chance. Pages carry their number and a version in every word, so an old, a new and a
 * mixed one are told apart without the journal's help.
 */
#include "alloc/journal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc/crc.h"
#include "tests/support/crash_disk.h"

enum {
    PAGE = 4096,
    FIRST_FILE = 2,
    FILES = 3,
    PAGES = 40,
    BATCH_PAGES = 9,
    BATCHES = 4,
    ROUNDS = 5
};

static struct crash_disk *disk;
static struct fh_mem mem;
static struct fh_journal journal;

/* --- pages that tell what they are --- */

static void page_fill(uint64_t *page, uint64_t file, uint64_t number, uint64_t version)
{
    for (uint32_t i = 0; i < PAGE / 8; i++)
        page[i] = version == 0 ? 0 : file << 48 | number << 32 | version;
}

/* The version of a page, UINT64_MAX if it is no whole version of that page. */
static uint64_t page_version(const uint8_t *bytes, uint64_t file, uint64_t number)
{
    uint64_t words[PAGE / 8], right[PAGE / 8];

    memcpy(words, bytes, PAGE);
    page_fill(right, file, number, words[0] & UINT32_MAX);
    return memcmp(words, right, PAGE) == 0 ? words[0] & UINT32_MAX : UINT64_MAX;
}

struct job {
    struct fh_journal_batch batch;
    struct fh_transfer write, sync; /* in place, when the images are safe */
    uint64_t *bytes;
    uint8_t *pages[BATCH_PAGES];
    uint64_t version;
    uint32_t file;
    int result;
    bool over;
};

static uint64_t acked[FILES][PAGES], asked[FILES][PAGES];
static struct job jobs[BATCHES];
static uint32_t tags[FILES] = {100, 101, 102};
static uint32_t over_count;

static void job_over(struct job *job, int result)
{
    job->over = true;
    job->result = result;
    over_count++;
    for (uint32_t i = 0; i < job->batch.count && result == 0; i++)
        if (acked[job->file][job->batch.first + i] < job->version)
            acked[job->file][job->batch.first + i] = job->version;
}

static void job_synced(struct fh_transfer *t)
{
    struct job *job = FH_CONTAINER_OF(t, struct job, sync);

    fh_journal_forget(&journal, &job->batch, t->result);
    job_over(job, t->result);
}

static void job_written(struct fh_transfer *t)
{
    struct job *job = FH_CONTAINER_OF(t, struct job, write);

    if (t->result != 0) {
        fh_journal_forget(&journal, &job->batch, t->result);
        job_over(job, t->result);
        return;
    }
    job->sync = (struct fh_transfer){
        .kind = FH_IO_DATASYNC, .fd = (int)(FIRST_FILE + job->file), .done = job_synced};
    fh_io_submit(&disk->io, &job->sync);
}

static void job_logged(struct fh_journal_batch *b)
{
    struct job *job = FH_CONTAINER_OF(b, struct job, batch);
    struct fh_transfer *t = &job->write;

    if (b->result != 0) {
        job_over(job, b->result);
        return;
    }
    t->kind = FH_IO_WRITE;
    t->fd = (int)(FIRST_FILE + job->file);
    t->offset = b->first * PAGE;
    t->done = job_written;
    t->iov_count = b->count;
    for (uint32_t i = 0; i < b->count; i++)
        t->iov[i] = (struct iovec){.iov_base = b->pages[i],
                                   .iov_len = i + 1 < b->count ? PAGE : b->last_bytes};
    fh_io_submit(&disk->io, t);
}

static void job_log(struct job *job, uint32_t file, uint64_t first, uint32_t count,
                    uint64_t version)
{
    if (!job->bytes)
        job->bytes = aligned_alloc(PAGE, (size_t)BATCH_PAGES * PAGE);
    for (uint32_t i = 0; i < count; i++) {
        page_fill(job->bytes + (size_t)i * PAGE / 8, file, first + i, version);
        job->pages[i] = (uint8_t *)job->bytes + (size_t)i * PAGE;
        asked[file][first + i] = version;
    }
    job->version = version;
    job->file = file;
    job->over = false;
    job->batch = (struct fh_journal_batch){.tag = &tags[file],
                                           .tag_size = sizeof(tags[file]),
                                           .first = first,
                                           .count = count,
                                           .pages = job->pages,
                                           .last_bytes = PAGE,
                                           .logged = job_logged};
    fh_journal_log(&journal, &job->batch);
}

static void run(void)
{
    while (disk->io.in_flight > 0) {
        fh_io_reap(&disk->io);
        cr_assert(fh_journal_check(&journal, stderr));
    }
}

/* --- who knows the files --- */

static int target_open(void *ctx, const void *tag, uint32_t tag_size, int *fd, uint64_t *bytes_max)
{
    (void)ctx;
    for (uint32_t i = 0; i < FILES; i++) {
        if (tag_size == sizeof(tags[i]) && memcmp(tag, &tags[i], tag_size) == 0) {
            *fd = (int)(FIRST_FILE + i);
            *bytes_max = (uint64_t)PAGES * PAGE;
            return 0;
        }
    }
    return -ENOENT;
}

static void target_close(void *ctx, int fd)
{
    (void)ctx;
    (void)fd;
}

static const struct fh_journal_target target = {.open = target_open, .close = target_close};

static int start(void)
{
    cr_assert_eq(
        fh_journal_init(&journal,
                        &(struct fh_journal_opts){.mem = &mem, .io = &disk->io, .fd = {0, 1}}),
        0);
    return fh_journal_replay(&journal, &target);
}

/* The process dies: what it had in hand is forgotten. */
static void forget(void)
{
    fh_list_init(&journal.queue);
    fh_list_init(&journal.group);
    fh_journal_fini(&journal);
}

static void setup(void)
{
    memset(acked, 0, sizeof(acked));
    memset(asked, 0, sizeof(asked));
    over_count = 0;
    disk = crash_disk_create(1);
    cr_assert_eq(start(), 0);
}

static void teardown(void)
{
    forget();
    cr_expect_eq(mem.used_bytes, 0);
    for (uint32_t i = 0; i < BATCHES; i++) {
        free(jobs[i].bytes);
        jobs[i].bytes = NULL;
    }
    fh_io_destroy(&disk->io);
}

TestSuite(journal, .init = setup, .fini = teardown, .timeout = 60);

static uint64_t version_on_disk(uint32_t file, uint64_t number)
{
    return page_version(disk->cache[FIRST_FILE + file] + number * PAGE, file, number);
}

static void check_files(uint64_t seed)
{
    for (uint32_t f = 0; f < FILES; f++) {
        for (uint32_t p = 0; p < PAGES; p++) {
            uint64_t version = version_on_disk(f, p);
            cr_assert_neq(version, UINT64_MAX, "seed %lu: file %u page %u is mixed", seed, f, p);
            cr_assert_geq(version, acked[f][p], "seed %lu: file %u page %u lost version %lu", seed,
                          f, p, acked[f][p]);
            cr_assert_leq(version, asked[f][p]);
        }
    }
    cr_assert_eq(disk->foreign, 0);
}

Test(journal, crc32c_of_the_standard_vector)
{
    cr_assert_eq(fh_crc32c(0, "123456789", 9), 0xe3069283u);
    cr_assert_eq(fh_crc32c(fh_crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
    cr_assert_eq(fh_crc32c(0, "", 0), 0);
}

Test(journal, pages_are_in_place_when_it_says_so)
{
    job_log(&jobs[0], 1, 3, BATCH_PAGES, 7);
    run();
    cr_assert(jobs[0].over);
    cr_assert_eq(jobs[0].result, 0);
    cr_assert(fh_journal_is_idle(&journal));
    check_files(0);
    cr_assert_eq(version_on_disk(1, 3), 7);
}

Test(journal, a_page_at_the_end_of_a_file_is_written_as_far_as_it_goes)
{
    job_log(&jobs[0], 0, 0, 1, 1);
    run();
    job_log(&jobs[0], 0, 0, 1, 2);
    jobs[0].batch.last_bytes = 100;
    run();
    cr_assert_eq(jobs[0].result, 0);
    cr_assert_eq(disk->cache[FIRST_FILE][0] & 0xff, 2);
    cr_assert_eq(disk->cache[FIRST_FILE][104] & 0xff, 1);
}

Test(journal, those_who_come_meanwhile_share_one_group)
{
    for (uint32_t i = 0; i < BATCHES; i++)
        job_log(&jobs[i], i % 2, i * 5, 3, 1);
    run();
    cr_assert_eq(over_count, BATCHES);
    cr_assert_eq(journal.stats.groups, 2);
    cr_assert_eq(disk->io.syncs, 1 + 2 + 4, "a start; journal and place; journal and three places");
}

static void forget_at_once(struct fh_journal_batch *b)
{
    over_count++;
    cr_assert_eq(b->result, 0);
    fh_journal_forget(&journal, b, 0);
}

Test(journal, a_group_takes_only_what_it_has_room_for)
{
    enum { BIG = FH_JOURNAL_PAGES - 1, COUNT = 3 };
    static const char long_tag[FH_JOURNAL_TAG_MAX];
    uint8_t **pages = calloc(BIG, sizeof(*pages));
    struct fh_journal_batch big[COUNT];
    uint64_t *bytes = aligned_alloc(PAGE, PAGE);

    page_fill(bytes, 0, 0, 1);
    for (uint32_t i = 0; i < BIG; i++)
        pages[i] = (uint8_t *)bytes;
    for (uint32_t i = 0; i < COUNT; i++) {
        big[i] = (struct fh_journal_batch){.tag = long_tag,
                                           .tag_size = sizeof(long_tag),
                                           .count = BIG,
                                           .pages = pages,
                                           .last_bytes = PAGE,
                                           .logged = forget_at_once};
        fh_journal_log(&journal, &big[i]);
    }
    run();
    cr_assert_eq(over_count, COUNT);
    cr_assert_eq(journal.stats.groups, COUNT);
    free(bytes);
    free(pages);
}

/* Some batches, with what follows each other touching the same pages. */
static void history(uint64_t base)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < BATCHES; i++)
            job_log(&jobs[i], i % FILES, (round * 3 + i) % 7, BATCH_PAGES - i,
                    base + round * BATCHES + i + 1);
        run();
    }
}

/* True when the history ran to its end before the power went. */
static bool power_cut_at(uint64_t n, uint64_t seed)
{
    disk->random = (struct rng){seed};
    disk->power_off = disk->transfers + n;
    history(0);
    bool survived = !disk->off;
    forget();
    /* and again during each replay, until one gets through */
    for (uint64_t again = 1;; again++) {
        crash_disk_reboot(disk);
        disk->power_off = disk->transfers + again;
        int rc = start();
        if (rc == 0)
            break;
        forget();
        cr_assert_lt(again, 1000);
    }
    disk->power_off = 0;
    check_files(seed);
    return survived;
}

Test(journal, power_cut_at_every_transfer_leaves_each_page_old_or_new)
{
    uint64_t points = 0;

    for (uint64_t n = 1;; n++, points++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            teardown();
            setup();
            if (power_cut_at(n, n * 1000 + seed)) {
                cr_assert_gt(points, 50);
                return;
            }
        }
    }
}

Test(journal, a_process_that_dies_at_every_transfer_loses_nothing)
{
    for (uint64_t n = 1;; n++) {
        teardown();
        setup();
        disk->power_off = disk->transfers + n;
        history(0);
        bool survived = !disk->off;
        forget();
        crash_disk_restart(disk);
        cr_assert_eq(start(), 0);
        check_files(n);
        if (survived)
            return;
    }
}

/* --- what fails --- */

Test(journal, a_journal_file_that_fails_hands_over_to_the_other)
{
    disk->fail_file = 0;
    disk->fail_syncs_only = true;
    disk->lost_on_failure = true;
    job_log(&jobs[0], 0, 0, 2, 1);
    run();
    cr_assert_eq(jobs[0].result, -EIO);
    cr_assert_eq(version_on_disk(0, 0), 0);
    job_log(&jobs[1], 0, 0, 2, 2);
    run();
    cr_assert_eq(jobs[1].result, 0);
    cr_assert_eq(version_on_disk(0, 0), 2);
    struct fh_journal_stats stats;
    fh_journal_stats(&journal, &stats);
    cr_assert_eq(stats.files_left, 1);
}

Test(journal, what_a_failed_journal_file_holds_never_comes_back)
{
    disk->fail_file = FIRST_FILE; /* the group is whole in file 0, and not in place */
    job_log(&jobs[0], 0, 0, 2, 1);
    while (journal.phase != FH_JOURNAL_HOLDING)
        fh_io_reap(&disk->io);
    disk->fail_file = -1;
    run();
    disk->fail_file = 0;
    job_log(&jobs[0], 0, 0, 2, 2); /* its images are written, its sync fails */
    disk->fail_syncs_only = true;
    run();
    cr_assert_eq(jobs[0].result, -EIO);
    job_log(&jobs[1], 0, 0, 2, 3);
    run();
    cr_assert_eq(jobs[1].result, 0);
    forget();
    crash_disk_restart(disk);
    cr_assert_eq(start(), 0);
    check_files(0);
    cr_assert_eq(version_on_disk(0, 0), 3);
}

Test(journal, with_both_files_failed_everything_is_refused_and_nothing_hangs)
{
    for (int file = 0; file < FH_JOURNAL_FILES; file++) {
        disk->fail_file = file;
        job_log(&jobs[0], 0, 0, 2, 1);
        run();
        cr_assert_eq(jobs[0].result, -EIO);
    }
    disk->fail_file = -1;
    for (uint32_t i = 0; i < BATCHES; i++)
        job_log(&jobs[i], 0, 0, 2, 2);
    cr_assert_eq(over_count, 2, "not from within submit");
    run();
    cr_assert_eq(over_count, 2 + BATCHES);
    cr_assert_eq(jobs[3].result, -EIO);
    cr_assert_eq(version_on_disk(0, 0), 0);
}

Test(journal, when_writing_in_place_fails_it_stops_and_keeps_the_images)
{
    job_log(&jobs[0], 0, 0, 2, 1);
    job_log(&jobs[1], 1, 0, 2, 1);
    run();
    disk->fail_file = FIRST_FILE;
    disk->fail_syncs_only = true;
    disk->lost_on_failure = true;
    job_log(&jobs[0], 0, 0, 2, 2);
    run();
    cr_assert_eq(jobs[0].result, -EIO);
    cr_assert(fh_journal_is_stopped(&journal));
    job_log(&jobs[1], 1, 0, 2, 2);
    run();
    cr_assert_not(jobs[1].over, "it waits");
    cr_assert_eq(journal.stats.groups, 3);
    disk->fail_file = -1;
    fh_journal_resume(&journal);
    run();
    cr_assert(jobs[1].over);
    cr_assert_eq(jobs[1].result, 0);
    cr_assert_eq(version_on_disk(1, 0), 2);
}

Test(journal, a_stopped_journal_replays_what_could_not_be_written)
{
    disk->fail_file = FIRST_FILE;
    job_log(&jobs[0], 0, 0, 5, 2);
    run();
    cr_assert(fh_journal_is_stopped(&journal));
    forget();
    crash_disk_reboot(disk);
    cr_assert_eq(start(), 0);
    cr_assert_eq(journal.stats.replayed_pages, 5);
    cr_assert_eq(version_on_disk(0, 0), 2);
}

/* --- hostile journals --- */

/* A committed group in file 0, as a kill before its places leaves it. */
static void leave_a_group(void)
{
    job_log(&jobs[0], 0, 0, 5, 2);
    while (journal.phase != FH_JOURNAL_HOLDING)
        fh_io_reap(&disk->io);
    forget();
    crash_disk_restart(disk);
}

/* A head made by hand, with the sum that belongs to it. */
static void head_patch(size_t at, uint64_t value, size_t size)
{
    uint8_t *head = disk->cache[0] + PAGE;
    uint32_t bytes, crc;

    memcpy(head + at, &value, size);
    memcpy(&bytes, head + 16, sizeof(bytes));
    memset(head + 28, 0, 4);
    crc = fh_crc32c(0, head, bytes <= FH_JOURNAL_HEAD_PAGES * PAGE ? bytes : 0);
    memcpy(head + 28, &crc, sizeof(crc));
}

Test(journal, a_page_outside_its_file_is_not_written)
{
    static const uint64_t firsts[] = {PAGES,          PAGES + 1,        UINT64_MAX,
                                      UINT64_MAX - 3, UINT64_MAX >> 12, UINT64_C(1) << 52};

    for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
        teardown();
        setup();
        leave_a_group();
        head_patch(32 + 8, firsts[i], 8);
        cr_assert_eq(start(), 0);
        cr_assert_eq(journal.stats.replayed_groups, 1);
        cr_assert_eq(journal.stats.refused_pages, 5);
        cr_assert_eq(disk->foreign, 0);
        for (uint32_t p = 0; p <= PAGES; p++)
            cr_assert_eq(disk->cache[FIRST_FILE][p * PAGE], 0);
    }
}

Test(journal, an_unknown_file_is_skipped)
{
    leave_a_group();
    head_patch(32 + 24, 999, 4);
    cr_assert_eq(start(), 0);
    cr_assert_eq(journal.stats.refused_pages, 5);
}

Test(journal, wrong_numbers_with_right_sums_are_no_group)
{
    static const size_t fields[] = {16, 24, 32, 36, 48};
    static const uint32_t values[] = {0, 1, 4097, 513, 65, UINT32_MAX};

    for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]); f++) {
        for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
            if (fields[f] == 48 && values[v] - 1 < PAGE)
                continue; /* a size that a page may have */
            teardown();
            setup();
            leave_a_group();
            head_patch(fields[f], values[v], 4);
            cr_assert_eq(start(), 0);
            cr_assert_eq(journal.stats.replayed_groups, 0, "field %zu value %u", fields[f],
                         values[v]);
            cr_assert_eq(disk->foreign, 0);
        }
    }
}

Test(journal, flipped_bits_never_give_a_mixed_page)
{
    struct rng random = rng_from_env("flipped bits");

    for (uint32_t round = 0; round < 300; round++) {
        teardown();
        setup();
        leave_a_group();
        uint64_t at = rng_below(&random, (9 + 6) * PAGE);
        disk->cache[0][at] ^= (uint8_t)(1u << rng_below(&random, 8));
        cr_assert_eq(start(), 0);
        check_files(round);
        cr_assert(journal.stats.replayed_pages == 0 || journal.stats.replayed_pages == 5);
    }
}

Test(journal, every_allocation_of_init_may_fail)
{
    forget();
    for (uint64_t n = 1; n <= 3; n++) {
        mem = (struct fh_mem){.fail_at = n};
        cr_assert_eq(
            fh_journal_init(&journal,
                            &(struct fh_journal_opts){.mem = &mem, .io = &disk->io, .fd = {0, 1}}),
            -ENOMEM);
        cr_assert_eq(mem.used_bytes, 0);
    }
    mem = (struct fh_mem){.fail_at = 0};
    cr_assert_eq(start(), 0);
}

Test(journal, check_sees_a_move_too_many)
{
    journal.busy++;
    cr_assert_not(fh_journal_check(&journal, NULL));
    journal.busy--;
    journal.moves[3].in_use = true;
    cr_assert_not(fh_journal_check(&journal, NULL));
    journal.moves[3].in_use = false;
}

Test(journal, a_file_is_made_with_its_full_length_and_nothing_but_a_file_is_opened)
{
    char path[] = "/tmp/farheap-journal-XXXXXX";
    struct stat st;
    int fd = -1;

    cr_assert(mkdtemp(path));
    int dir = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    cr_assert_eq(fh_journal_open_file(dir, "j", &fd), 0);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq(st.st_size, FH_JOURNAL_FILE_BYTES);
    cr_assert_eq(st.st_mode & 0777, 0600);
    close(fd);
    cr_assert_eq(symlinkat("/etc/passwd", dir, "link"), 0);
    cr_assert_eq(fh_journal_open_file(dir, "link", &fd), -ELOOP);
    cr_assert_eq(fh_journal_open_file(dir, "none/j", &fd), -ENOENT);
    unlinkat(dir, "j", 0);
    unlinkat(dir, "link", 0);
    close(dir);
    rmdir(path);
}
