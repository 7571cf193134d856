/*
 * The catalog over a disk whose n-th write or sync fails, each n once, alone or with all after it: what was acknowledged
 * is there after the file was opened again, and nothing of what was refused was done by half.
 */
#include "alloc/catalog.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* --- the disk: these stand before the C library's, for LMDB too --- */

static atomic_uint calls, fail_at, fail_count;

static bool call_fails(void)
{
    unsigned n = atomic_fetch_add(&calls, 1) + 1, at = atomic_load(&fail_at);

    if (at == 0 || n < at || n - at >= atomic_load(&fail_count))
        return false;
    errno = EIO;
    return true;
}

/* A symbol as a function of the type of `like`. */
#define NEXT(name) ((__typeof__(&name))(__UINTPTR_TYPE__)dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    return call_fails() ? -1 : NEXT(pwrite)(fd, bytes, size, at);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    return call_fails() ? -1 : NEXT(writev)(fd, iov, count);
}

int fdatasync(int fd)
{
    return call_fails() ? -1 : NEXT(fdatasync)(fd);
}

/* From now on the n-th call fails, and `count` - 1 after it; 0: none does. */
static void plan(unsigned n, unsigned count)
{
    atomic_store(&calls, 0);
    atomic_store(&fail_count, count);
    atomic_store(&fail_at, n);
}

/* --- the catalog --- */

enum { BEFORE = 40, CALLS_MAX = 200 };

static char folder[64], path[96];
static struct fh_catalog *catalog;

static int open_again(void)
{
    fh_catalog_close(catalog);
    catalog = NULL;
    return fh_catalog_open(&(struct fh_catalog_opts){.path = path, .zone = 0, .zones = 1},
                           &catalog);
}

static void change_done(struct fh_catalog_change *change)
{
    change->link = (struct fh_list){0};
}

static int commit(struct fh_catalog_change *change)
{
    struct pollfd p = {.fd = fh_catalog_event_fd(catalog), .events = POLLIN};

    change->done = change_done;
    fh_catalog_submit(catalog, change);
    while (fh_catalog_in_flight(catalog) > 0) {
        cr_assert_eq(poll(&p, 1, 20000), 1, "nobody rings");
        fh_catalog_reap(catalog);
    }
    return change->result;
}

static int put(uint64_t id, uint64_t removes)
{
    static const uint32_t sum = 7;
    struct fh_catalog_change change = {.puts = true,
                                       .record = {.id = id,
                                                  .version = id,
                                                  .size = 100,
                                                  .place = id,
                                                  .name = "name",
                                                  .name_size = 4,
                                                  .sum_count = 1,
                                                  .sums = &sum},
                                       .removes = removes};
    return commit(&change);
}

struct found {
    bool ids[BEFORE + 3];
    uint32_t count;
};

static int see(void *ctx, const struct fh_catalog_record *r)
{
    struct found *f = ctx;

    cr_assert_leq(r->id, BEFORE + 2);
    cr_assert_not(f->ids[r->id], "twice");
    f->ids[r->id] = true;
    f->count++;
    return 0;
}

static struct found load(void)
{
    struct found f = {.count = 0};
    uint64_t bad = 0;

    cr_assert_eq(open_again(), 0);
    cr_assert_eq(fh_catalog_load(catalog, see, &f, &bad), 0);
    cr_assert_eq(bad, 0);
    return f;
}

/* Objects 1 to BEFORE, acknowledged. */
static void begin(void)
{
    strcpy(folder, "/tmp/farheap-catalog-XXXXXX");
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/catalog.mdb", folder);
    plan(0, 0);
    cr_assert_eq(open_again(), 0);
    cr_assert_eq(fh_catalog_start(catalog), 0);
    for (uint64_t id = 1; id <= BEFORE; id++)
        cr_assert_eq(put(id, 0), 0);
}

static void end(void)
{
    plan(0, 0);
    fh_catalog_close(catalog);
    catalog = NULL;
    unlink(path);
    rmdir(folder);
}

/* Object 41 takes the place of object 1 while the n-th call fails. True: it did not, there is no such call. */
static bool replace(unsigned n, unsigned count, unsigned *broken)
{
    begin();
    plan(n, count);
    int rc = put(BEFORE + 1, 1);
    bool is_broken = fh_catalog_is_broken(catalog);
    plan(0, 0); /* the disk is well again */
    cr_assert(rc == 0 || rc == -EIO, "call %u: %d", n, rc);
    cr_assert(!is_broken || rc != 0);
    struct fh_catalog_change hole = {.punch_fd = -1, .punch_bytes = 4096};
    cr_assert_eq(commit(&hole), is_broken ? -EIO : -EBADF, "call %u: a hole", n);
    int later = put(BEFORE + 2, 0);
    cr_assert_eq(later, is_broken ? -EIO : 0, "call %u: a later change is %d", n, later);

    struct found f = load();
    cr_assert_neq(f.ids[1], f.ids[BEFORE + 1], "call %u: half of a change", n);
    cr_assert(is_broken || f.ids[BEFORE + 1] == (rc == 0), "call %u: told otherwise", n);
    cr_assert_eq(f.ids[BEFORE + 2], !is_broken);
    cr_assert_eq(f.count, BEFORE + !is_broken);
    cr_assert_eq(fh_catalog_start(catalog), 0);
    cr_assert_eq(put(BEFORE + 2, 0), 0, "opened again it works again");
    end();
    *broken += is_broken;
    return rc == 0;
}

static void sweep(unsigned count)
{
    unsigned n = 1, broken = 0;

    while (!replace(n, count, &broken)) {
        cr_assert_leq(n, CALLS_MAX);
        n++;
    }
    cr_assert_gt(n, 3, "pages, their sync and the meta page");
    cr_assert_geq(broken, 1, "the meta page is what it cannot go on without");
}

TestSuite(catalog_faults, .timeout = 60);

Test(catalog_faults, a_call_that_fails_loses_nothing_that_was_acknowledged)
{
    sweep(1);
}

Test(catalog_faults, nor_does_a_disk_that_fails_from_some_call_on)
{
    sweep(1000);
}

Test(catalog_faults, a_file_whose_first_pages_cannot_be_written_is_not_opened)
{
    unsigned n = 1;
    int rc;

    for (rc = -EIO; rc != 0 && n <= CALLS_MAX; n++) {
        strcpy(folder, "/tmp/farheap-catalog-XXXXXX");
        cr_assert(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/catalog.mdb", folder);
        plan(n, 1);
        rc = open_again();
        plan(0, 0);
        cr_assert(rc == 0 || rc == -EIO, "call %u: %d", n, rc);
        struct found f = load(); /* and the next start finds an empty one */
        cr_assert_eq(f.count, 0);
        end();
    }
    cr_assert_gt(n, 3);
}
