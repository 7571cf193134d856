/* One set of bodies over all three backends; the real ones work on a file without a name. */
#include "alloc/io.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/swap_rig.h"

enum { PAGE = 4096, MANY = 300 };

static struct fh_fake_disk *disk;
static struct fh_io *io;
static int fd;
static uint32_t done_count;

static void begin(enum rig_backend backend)
{
    io = rig_io(backend, &disk);
    fd = open(rig_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
}

static void end(void)
{
    cr_assert_eq(io->in_flight, 0);
    fh_io_destroy(io);
    close(fd);
}

#define ON_EACH_BACKEND(name)                                                                      \
    static void name(void);                                                                        \
    Test(io, name##_on_io_uring)                                                                   \
    {                                                                                              \
        begin(RIG_URING);                                                                          \
        name();                                                                                    \
        end();                                                                                     \
    }                                                                                              \
    Test(io, name##_on_threads)                                                                    \
    {                                                                                              \
        begin(RIG_THREADS);                                                                        \
        name();                                                                                    \
        end();                                                                                     \
    }                                                                                              \
    Test(io, name##_on_the_fake_disk)                                                              \
    {                                                                                              \
        begin(RIG_FAKE);                                                                           \
        name();                                                                                    \
        end();                                                                                     \
    }                                                                                              \
    static void name(void)

TestSuite(io, .timeout = 30);

static void count_done(struct fh_transfer *t)
{
    (void)t;
    done_count++;
}

static bool rings(int timeout_ms)
{
    struct pollfd p = {.fd = io->event_fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1;
}

/* Reaps only when the eventfd says so: a completion that did not ring it is never seen. */
static void wait_for_all(void)
{
    fh_io_flush(io);
    while (io->in_flight > 0) {
        cr_assert(rings(5000), "%u in flight and nobody rings", io->in_flight);
        fh_io_reap(io);
    }
}

static uint8_t *pages_new(size_t count)
{
    void *p = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(p != MAP_FAILED);
    return p;
}

static void transfer_set(struct fh_transfer *t, enum fh_io_kind kind, uint64_t offset,
                         uint8_t *bytes, size_t size)
{
    *t = (struct fh_transfer){.kind = kind, .fd = fd, .offset = offset, .done = count_done};
    t->iov_count = size > 0;
    t->iov[0] = (struct iovec){bytes, size};
    t->result = 12345;
}

static int one_transfer(enum fh_io_kind kind, uint64_t offset, uint8_t *bytes, size_t size)
{
    struct fh_transfer t;
    transfer_set(&t, kind, offset, bytes, size);
    fh_io_submit(io, &t);
    wait_for_all();
    return t.result;
}

ON_EACH_BACKEND(what_was_written_is_read_back)
{
    uint8_t *bytes = pages_new(8), *again = pages_new(8);

    for (uint32_t i = 0; i < 8; i++)
        rig_fill(bytes + (size_t)i * PAGE, i);
    cr_assert_eq(one_transfer(FH_IO_WRITE, 3 * PAGE, bytes, 8 * PAGE), 0);
    cr_assert_eq(one_transfer(FH_IO_DATASYNC, 0, NULL, 0), 0);
    cr_assert_eq(one_transfer(FH_IO_READ, 5 * PAGE, again, 2 * PAGE), 0);
    cr_assert_arr_eq(again, bytes + (size_t)2 * PAGE, 2 * PAGE);
    cr_assert_eq(done_count, 3);
    cr_assert_eq(io->writes, 1);
    cr_assert_eq(io->reads, 1);
    cr_assert_eq(io->syncs, 1);
    cr_assert_eq(io->errors, 0);
}

ON_EACH_BACKEND(scattered_buffers_are_filled_in_order)
{
    uint8_t *bytes = pages_new(64), *again = pages_new(128);
    struct fh_transfer t;

    for (uint32_t i = 0; i < 64; i++)
        rig_fill(bytes + (size_t)i * PAGE, i);
    cr_assert_eq(one_transfer(FH_IO_WRITE, 0, bytes, 64 * PAGE), 0);
    transfer_set(&t, FH_IO_READ, 0, again, PAGE);
    t.iov_count = FH_IO_IOV_MAX;
    for (uint32_t i = 0; i < FH_IO_IOV_MAX; i++)
        t.iov[i] = (struct iovec){again + (size_t)(126 - 2 * i) * PAGE, PAGE};
    fh_io_submit(io, &t);
    wait_for_all();
    cr_assert_eq(t.result, 0);
    for (uint32_t i = 0; i < 64; i++)
        cr_assert(rig_is(again + (size_t)(126 - 2 * i) * PAGE, i));
}

/* More than the depth, at once. */
ON_EACH_BACKEND(many_are_all_finished)
{
    struct fh_transfer *t = calloc(MANY, sizeof(*t));
    uint8_t *bytes = pages_new(MANY), *again = pages_new(MANY);

    for (uint32_t i = 0; i < MANY; i++) {
        rig_fill(bytes + (size_t)i * PAGE, i);
        transfer_set(&t[i], FH_IO_WRITE, (uint64_t)i * PAGE, bytes + (size_t)i * PAGE, PAGE);
        fh_io_submit(io, &t[i]);
    }
    cr_assert_eq(done_count, 0, "done only comes from reap");
    wait_for_all();
    for (uint32_t i = 0; i < MANY; i++) {
        cr_assert_eq(t[i].result, 0);
        transfer_set(&t[i], FH_IO_READ, (uint64_t)(MANY - 1 - i) * PAGE, again + (size_t)i * PAGE,
                     PAGE);
        fh_io_submit(io, &t[i]);
    }
    wait_for_all();
    cr_assert_eq(done_count, 2 * MANY);
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert(rig_is(again + (size_t)i * PAGE, MANY - 1 - i));
    free(t);
}

/* As much as a turn should do; the eventfd says that there is more. */
ON_EACH_BACKEND(a_reap_leaves_the_rest_to_the_next_turn)
{
    enum { ALL = 32, EACH = FH_IO_REAP_BYTES / PAGE };
    struct fh_transfer *t = calloc(ALL, sizeof(*t));
    uint8_t *bytes = pages_new(ALL);

    cr_assert_eq(one_transfer(FH_IO_WRITE, 0, bytes, ALL * PAGE), 0);
    done_count = 0;
    for (uint32_t i = 0; i < ALL; i++) {
        transfer_set(&t[i], FH_IO_READ, (uint64_t)i * PAGE, bytes + (size_t)i * PAGE, PAGE);
        fh_io_submit(io, &t[i]);
    }
    fh_io_flush(io);
    while (done_count < ALL) {
        uint32_t before = done_count;
        cr_assert(rings(5000), "%u of %d are done and nobody rings", done_count, ALL);
        fh_io_reap(io);
        cr_assert(done_count - before <= EACH || strcmp(io->backend->name, "fake") == 0);
    }
    while (rings(10)) /* late, perhaps, but not for ever */
        fh_io_silence(io);
    free(t);
}

static void submit_again(struct fh_transfer *t)
{
    if (++done_count == 50)
        return;
    t->iov_count = 1;
    t->iov[0].iov_len = PAGE;
    fh_io_submit(io, t);
}

/* Nobody flushes in between. */
ON_EACH_BACKEND(a_done_may_submit_again)
{
    uint8_t *bytes = pages_new(1);
    struct fh_transfer t;

    transfer_set(&t, FH_IO_WRITE, 0, bytes, PAGE);
    t.done = submit_again;
    fh_io_submit(io, &t);
    fh_io_flush(io);
    while (done_count < 50) {
        cr_assert(rings(5000));
        t.iov[0].iov_base = bytes;
        fh_io_reap(io);
    }
    cr_assert_eq(io->writes, 50);
}

ON_EACH_BACKEND(the_eventfd_is_silent_when_nothing_is_left)
{
    uint8_t *bytes = pages_new(1);

    cr_assert_not(rings(0));
    fh_io_flush(io);
    fh_io_reap(io);
    cr_assert_eq(one_transfer(FH_IO_WRITE, 0, bytes, PAGE), 0);
    cr_assert_not(rings(20));
}

/* --- errors of the system: the real backends --- */

static void bad_descriptor(enum rig_backend backend)
{
    begin(backend);
    uint8_t *bytes = pages_new(1);
    struct fh_transfer t;
    transfer_set(&t, FH_IO_READ, 0, bytes, PAGE);
    t.fd = 9999;
    fh_io_submit(io, &t);
    wait_for_all();
    cr_assert_eq(t.result, -EBADF);
    cr_assert_eq(io->errors, 1);
    end();
}

Test(io, an_error_of_the_system_is_told_on_io_uring)
{
    bad_descriptor(RIG_URING);
}

Test(io, an_error_of_the_system_is_told_on_threads)
{
    bad_descriptor(RIG_THREADS);
}

/* The file ends in the middle of the second page: first a short read, then none. */
static void end_of_file(enum rig_backend backend)
{
    begin(backend);
    uint8_t *bytes = pages_new(4);
    cr_assert_eq(ftruncate(fd, PAGE + 100), 0);
    cr_assert_eq(one_transfer(FH_IO_READ, 0, bytes, PAGE), 0);
    cr_assert_eq(one_transfer(FH_IO_READ, 0, bytes, 4 * PAGE), -EIO);
    cr_assert_eq(one_transfer(FH_IO_READ, 8 * PAGE, bytes, PAGE), -EIO);
    end();
}

Test(io, reading_past_the_end_is_an_error_on_io_uring)
{
    end_of_file(RIG_URING);
}

Test(io, reading_past_the_end_is_an_error_on_threads)
{
    end_of_file(RIG_THREADS);
}

/* The system takes two pages of four, and nothing when asked again. */
static void file_too_large(enum rig_backend backend)
{
    const struct rlimit limit = {2 * PAGE, 2 * PAGE};
    uint8_t *bytes = pages_new(4), *again = pages_new(2);

    begin(backend);
    for (uint32_t i = 0; i < 4; i++)
        rig_fill(bytes + (size_t)i * PAGE, i);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert_eq(one_transfer(FH_IO_WRITE, 0, bytes, 4 * PAGE), -EFBIG);
    cr_assert_eq(pread(fd, again, 2 * PAGE, 0), 2 * PAGE);
    cr_assert_arr_eq(again, bytes, 2 * PAGE);
    end();
}

Test(io, a_short_write_goes_on_and_its_error_is_told_on_io_uring)
{
    file_too_large(RIG_URING);
}

Test(io, a_short_write_goes_on_and_its_error_is_told_on_threads)
{
    file_too_large(RIG_THREADS);
}

/* Destroying while the system works: it waits, and calls nobody. */
static void destroy_in_flight(enum rig_backend backend)
{
    begin(backend);
    static struct fh_transfer t[40];
    uint8_t *bytes = pages_new(40);
    for (uint32_t i = 0; i < 40; i++) {
        transfer_set(&t[i], FH_IO_WRITE, (uint64_t)i * PAGE, bytes + (size_t)i * PAGE, PAGE);
        fh_io_submit(io, &t[i]);
        if (i == 30)
            fh_io_flush(io);
    }
    fh_io_destroy(io);
    cr_assert_eq(done_count, 0);
    close(fd);
}

Test(io, destroy_waits_for_what_runs_on_io_uring)
{
    destroy_in_flight(RIG_URING);
}

Test(io, destroy_waits_for_what_runs_on_threads)
{
    destroy_in_flight(RIG_THREADS);
}

Test(io, destroying_nothing_is_fine)
{
    fh_io_destroy(NULL);
}

Test(io, without_descriptors_creating_fails_and_leaves_nothing)
{
    struct fh_io *none = NULL;
    struct rlimit limit;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit few = {3, limit.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    int threads_rc = fh_io_threads_create(4, &none), uring_rc = fh_io_uring_create(4, &none);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(threads_rc, -EMFILE);
    cr_assert_lt(uring_rc, 0);
    cr_assert_null(none);
}

/* --- one step of a transfer --- */

static struct fh_transfer three_buffers(void)
{
    static uint8_t bytes[600];
    struct fh_transfer t = {.kind = FH_IO_READ, .iov_count = 3, .result = 12345};
    t.iov[0] = (struct iovec){bytes, 100};
    t.iov[1] = (struct iovec){bytes + 300, 200};
    t.iov[2] = (struct iovec){bytes, 300};
    return t;
}

Test(io, a_step_of_any_length_leaves_exactly_the_rest)
{
    for (int64_t moved = 1; moved < 600; moved++) {
        struct fh_transfer t = three_buffers();
        uint8_t *second = t.iov[1].iov_base;
        uint64_t left = 0;
        cr_assert_not(fh_transfer_step(&t, moved));
        for (uint32_t i = 0; i < t.iov_count; i++)
            left += t.iov[i].iov_len;
        cr_assert_eq(left, (uint64_t)(600 - moved));
        cr_assert_eq(t.moved, (uint64_t)moved);
        if (moved >= 100 && moved < 300)
            cr_assert_eq((uint8_t *)t.iov[0].iov_base, second + (moved - 100));
        cr_assert(fh_transfer_step(&t, 600 - moved));
        cr_assert_eq(t.result, 0);
    }
}

Test(io, interruptions_are_tried_again_but_not_for_ever)
{
    struct fh_transfer t = three_buffers();
    uint32_t tries = 0;

    cr_assert_not(fh_transfer_step(&t, -EINTR));
    cr_assert_not(fh_transfer_step(&t, -EAGAIN));
    cr_assert_not(fh_transfer_step(&t, 10)); /* moving on starts the count again */
    while (!fh_transfer_step(&t, -EAGAIN))
        tries++;
    cr_assert_eq(tries, FH_IO_INTERRUPTED_MAX);
    cr_assert_eq(t.result, -EIO);
}

Test(io, moving_nothing_is_an_error_except_for_a_sync)
{
    struct fh_transfer t = three_buffers();

    cr_assert(fh_transfer_step(&t, 0));
    cr_assert_eq(t.result, -EIO);
    t = (struct fh_transfer){.kind = FH_IO_DATASYNC, .result = 12345};
    cr_assert(fh_transfer_step(&t, 0));
    cr_assert_eq(t.result, 0);
    t = three_buffers();
    cr_assert(fh_transfer_step(&t, -ENOSPC));
    cr_assert_eq(t.result, -ENOSPC);
}
