/*
 * A history of zone operations is repeated while the 1st, 2nd, ... n-th I/O fails, in each way an I/O can fail: refused
 * with EIO or ENOSPC, interrupted, a byte short, a byte long, five seconds late. On the fake disk a fault is one
 * transfer's; on the real backends it is one system call's, by functions here that stand before libc's and liburing's,
 * with O_DIRECT and without.
 *
 * One fault costs nothing: no step is refused, and the swap is whole again. Faults that do not end refuse what needs the
 * disk, lose nothing that was in memory or on disk, and leave no trace when they are over.
 */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/support/zone_script.h"

enum { SLOW_REAPS = 500 }; /* of a clock that goes on 10 ms at each */

static const char *const plan_names[FH_PLANS] = {"EIO",          "ENOSPC",      "EINTR",
                                                 "a byte short", "a byte long", "5 s late"};

TestSuite(io_errors, .timeout = 300);

/* --- the fake disk --- */

/* How many transfers of the history were hit. */
static uint64_t sweep_fake(enum fh_disk_plan plan, bool from_there_on)
{
    uint64_t n = 1, refused = 0;

    for (bool hit = true; hit; n++) {
        struct script *s = script_begin(NULL);
        struct fh_fake_disk *disk = s->rig.disk;
        uint64_t at = disk->transfers + n;
        disk->plan = plan;
        disk->slow = SLOW_REAPS;
        disk->fail_at = at;
        disk->fail_from_there_on = from_there_on;
        script_run(s);
        hit = disk->transfers >= at;
        refused += s->refused;
        if (!from_there_on)
            cr_assert_eq(s->refused, 0, "%s, transfer %lu", plan_names[plan], (unsigned long)n);
        script_end(s);
    }
    cr_assert_gt(n, 10);
    cr_assert_eq(refused > 0, from_there_on && plan != FH_PLAN_ALL_BUT_1);
    fprintf(stderr, "fake disk, %s%s: %lu cases\n", plan_names[plan],
            from_there_on ? " from there on" : "", (unsigned long)(n - 2));
    return n - 2;
}

Test(io_errors, of_one_transfer_cost_nothing)
{
    for (int plan = 0; plan < FH_PLANS; plan++)
        (void)sweep_fake((enum fh_disk_plan)plan, false);
}

Test(io_errors, of_all_transfers_from_the_nth_on_are_told_and_lose_nothing)
{
    (void)sweep_fake(FH_PLAN_EIO, true);
    (void)sweep_fake(FH_PLAN_ENOSPC, true);
    (void)sweep_fake(FH_PLAN_ALL_BUT_1, true);
}

/* --- the real backends: calls of the system --- */

static struct {
    atomic_uint_fast64_t calls; /* of I/O, so far */
    uint64_t at;                /* the call that fails; 0 = none */
    enum fh_disk_plan plan;
    bool refuse_direct; /* the swap file is not good for O_DIRECT */
} world;

static bool is_the_call(void)
{
    return atomic_fetch_add(&world.calls, 1) + 1 == world.at;
}

static int plan_errno(void)
{
    return world.plan == FH_PLAN_EIO ? EIO : world.plan == FH_PLAN_ENOSPC ? ENOSPC : EINTR;
}

/* The front of a list of buffers that a call cut short gets to see; how many buffers. */
static int cut_front(const struct iovec *from, int count, struct iovec *to)
{
    size_t left = 0;

    for (int i = 0; i < count; i++)
        left += from[i].iov_len;
    left = world.plan == FH_PLAN_ALL_BUT_1 && left > 1 ? left - 1 : 1;
    for (int i = 0; i < count; i++) {
        to[i] = from[i];
        to[i].iov_len = fh_min_u64(left, from[i].iov_len);
        left -= to[i].iov_len;
        if (left == 0)
            return i + 1;
    }
    return count;
}

static ssize_t call_vectors(long number, int fd, const struct iovec *iov, int count, off_t offset)
{
    struct iovec front[FH_IO_IOV_MAX];

    if (is_the_call()) {
        if (world.plan <= FH_PLAN_EINTR) {
            errno = plan_errno();
            return -1;
        }
        count = cut_front(iov, count, front);
        iov = front;
    }
    return syscall(number, fd, iov, count, offset, 0);
}

ssize_t preadv(int fd, const struct iovec *iov, int count, off_t offset)
{
    return call_vectors(SYS_preadv, fd, iov, count, offset);
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    return call_vectors(SYS_pwritev, fd, iov, count, offset);
}

/* A sync that is not hit is not done either: nothing here has to outlive the process. */
int fdatasync(int fd)
{
    (void)fd;
    if (!is_the_call() || world.plan > FH_PLAN_EINTR)
        return 0;
    errno = plan_errno();
    return -1;
}

/* The swap tries one page when it opens its file. */
ssize_t pread(int fd, void *buffer, size_t size, off_t offset)
{
    if (world.refuse_direct) {
        errno = EINVAL;
        return -1;
    }
    return syscall(SYS_pread64, fd, buffer, size, offset);
}

enum {
    NOP_GIVES_LEN = 1
}; /* IORING_NOP_INJECT_RESULT, Linux 6.10; older kernels give 0: the end of the file */

/* The entry does nothing and comes back with this. */
static void entry_give(struct io_uring_sqe *sqe, int result)
{
    uint64_t user = sqe->user_data;

    memset(sqe, 0, sizeof(*sqe));
    sqe->opcode = IORING_OP_NOP;
    sqe->rw_flags = result != 0 ? NOP_GIVES_LEN : 0;
    sqe->len = (uint32_t)result;
    sqe->user_data = user;
}

static void entry_spoil(struct io_uring_sqe *sqe)
{
    static struct iovec front[FH_IO_IOV_MAX];

    if (world.plan <= FH_PLAN_EINTR) {
        entry_give(sqe, -plan_errno());
        return;
    }
    if (sqe->opcode != IORING_OP_READV && sqe->opcode != IORING_OP_WRITEV)
        return; /* moves nothing that could be cut */
    const struct iovec *iov = (const struct iovec *)(uintptr_t)sqe->addr;
    sqe->len = (uint32_t)cut_front(iov, (int)sqe->len, front);
    sqe->addr = (uint64_t)(uintptr_t)front;
}

int io_uring_submit(struct io_uring *ring)
{
    static int (*real)(struct io_uring *);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "io_uring_submit");
    for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
        struct io_uring_sqe *sqe = &ring->sq.sqes[i & ring->sq.ring_mask];
        if (is_the_call())
            entry_spoil(sqe);
        else if (sqe->opcode == IORING_OP_FSYNC)
            entry_give(sqe, 0); /* as in fdatasync */
    }
    return real(ring);
}

/* NULL where the kernel or a container forbids io_uring. */
static struct fh_io *io_open(bool uring)
{
    struct fh_io *io = NULL;
    int rc = uring ? fh_io_uring_create(16, &io) : fh_io_threads_create(4, &io);

    cr_assert(rc == 0 || (uring && (rc == -EPERM || rc == -ENOSYS)), "%s", strerror(-rc));
    return io;
}

static uint64_t sweep_real(bool uring, bool direct, enum fh_disk_plan plan)
{
    uint64_t n = 1;
    struct fh_io *io;

    world.refuse_direct = !direct;
    for (bool hit = true; hit; n++) {
        if (!(io = io_open(uring)))
            return 0;
        world.at = 0;
        struct script *s = script_begin(io);
        world.plan = plan;
        atomic_store(&world.calls, 0);
        world.at = n;
        script_run(s);
        hit = atomic_load(&world.calls) >= n;
        cr_assert_eq(s->refused, 0, "%s, call %lu", plan_names[plan], (unsigned long)n);
        world.at = 0;
        script_end(s);
    }
    cr_assert_gt(n, 10);
    fprintf(stderr, "%s, %s, %s: %lu cases\n", uring ? "io_uring" : "threads",
            direct ? "O_DIRECT" : "buffered", plan_names[plan], (unsigned long)(n - 2));
    return n - 2;
}

static void sweep_backend(bool uring)
{
    uint64_t cases = 0;

    for (int plan = 0; plan <= FH_PLAN_ONLY_1; plan++) {
        cases += sweep_real(uring, true, (enum fh_disk_plan)plan);
        cases += sweep_real(uring, false, (enum fh_disk_plan)plan);
    }
    fprintf(stderr, "%s: %lu cases\n", uring ? "io_uring" : "threads", (unsigned long)cases);
}

Test(io_errors, of_one_call_of_a_thread_cost_nothing)
{
    sweep_backend(false);
}

Test(io_errors, of_one_entry_of_the_ring_cost_nothing)
{
    sweep_backend(true);
}

/* --- swap is full --- */

enum { FULL_OBJECTS = 40, FULL_BYTES = 32 * 4096 };

Test(io_errors, of_a_full_swap_refuse_new_content_only_and_end_with_it)
{
    static struct zone_rig g;
    static struct fh_object_view objects[FULL_OBJECTS];
    static uint8_t bytes[FULL_BYTES];
    uint32_t held = 0;

    zone_open(&g, 160, 255, 20);
    for (; held < FULL_OBJECTS; held++) {
        objects[held] = zone_alloc(&g, FULL_BYTES);
        zone_fill(bytes, held + 1, FULL_BYTES);
        int rc = zone_write(&g, &objects[held], 0, bytes, FULL_BYTES / 2);
        if (rc == 0)
            rc = zone_write(&g, &objects[held], FULL_BYTES / 2, bytes + FULL_BYTES / 2,
                            FULL_BYTES / 2);
        if (rc == 0)
            continue;
        cr_assert_eq(rc, -ENOSPC);
        cr_assert_eq(fh_zone_free(&g.zone, &objects[held].ref), 0);
        break;
    }
    cr_assert_lt(held, FULL_OBJECTS);
    cr_assert_gt(held, 160 * 4096 / FULL_BYTES, "more than memory alone can hold");
    /* The last pages, one by one. */
    struct fh_object_view rest = zone_alloc(&g, FULL_BYTES);
    uint64_t at = 0;
    zone_fill(bytes, 99, FULL_BYTES);
    while (at < FULL_BYTES && zone_write(&g, &rest, at, bytes + at, 4096) == 0)
        at += 4096;
    cr_assert_lt(at, FULL_BYTES);
    for (uint32_t round = 0; round < 3;
         round++) /* everything can be read, and written over in place */
        for (uint32_t i = 0; i < held; i++) {
            zone_expect(&g, &objects[i], i + 1, FULL_BYTES);
            zone_fill(bytes, i + 1, FULL_BYTES);
            cr_assert_eq(zone_write(&g, &objects[i], 0, bytes, 4096), 0);
        }
    cr_assert_eq(zone_write(&g, &rest, at, bytes, 4096), -ENOSPC);
    /* A free, and there is room at once: within a second of the zone's clock. */
    uint64_t before = g.now_ms;
    cr_assert_eq(fh_zone_free(&g.zone, &objects[0].ref), 0);
    cr_assert_eq(zone_write(&g, &rest, at, bytes, 4096), 0);
    cr_assert_leq(g.now_ms - before, 1000);
    for (uint32_t i = 1; i < held; i++) {
        zone_expect(&g, &objects[i], i + 1, FULL_BYTES);
        cr_assert_eq(fh_zone_free(&g.zone, &objects[i].ref), 0);
    }
    cr_assert_eq(fh_zone_free(&g.zone, &rest.ref), 0);
    zone_expect_empty(&g);
    zone_close(&g);
}
