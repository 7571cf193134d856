/*
 * swap_rig: a swap on one of the three backends, pages to store and load, and the wait for both.
 * The real backends work on a real file in TMPDIR or /var/tmp.
 */
#ifndef FH_TESTS_SWAP_RIG_H
#define FH_TESTS_SWAP_RIG_H

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#include "alloc/swap.h"
#include "tests/support/fake_disk.h"
#include "tests/support/rng.h"

enum rig_backend { RIG_URING, RIG_THREADS, RIG_FAKE };

struct swap_rig {
    struct fh_io *io;
    struct fh_fake_disk *disk; /* with RIG_FAKE */
    struct fh_mem mem;
    struct fh_swap swap;
    struct rng keys;
    uint32_t done; /* runs, so far */
};

/* A run with pages of its own. */
struct rig_run {
    struct fh_swap_run run;
    struct swap_rig *rig;
    uint8_t *bytes;
    bool over;
};

static inline const char *rig_dir(void)
{
    const char *dir = getenv("TMPDIR");
    return dir ? dir : "/var/tmp";
}

static inline void rig_random(void *ctx, void *buf, size_t size)
{
    uint8_t *to = buf;
    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)rng_next(ctx);
}

static inline struct fh_io *rig_io(enum rig_backend backend, struct fh_fake_disk **disk)
{
    struct fh_io *io = NULL;
    int rc = 0;

    *disk = NULL;
    if (backend == RIG_FAKE) {
        *disk = fh_fake_disk_create(7);
        cr_assert_not_null(*disk);
        return &(*disk)->io;
    }
    rc = backend == RIG_URING ? fh_io_uring_create(16, &io) : fh_io_threads_create(4, &io);
    if (backend == RIG_URING && (rc == -EPERM || rc == -ENOSYS))
        cr_skip_test("this kernel or container forbids io_uring");
    cr_assert_eq(rc, 0, "%s", strerror(-rc));
    return io;
}

static inline struct fh_swap_opts rig_opts(struct swap_rig *g, uint32_t pages)
{
    return (struct fh_swap_opts){.io = g->io,
                                 .mem = &g->mem,
                                 .dir = rig_dir(),
                                 .size_bytes = (uint64_t)pages * FH_PAGE_SIZE,
                                 .zone = 3,
                                 .random = rig_random,
                                 .random_ctx = &g->keys};
}

static inline void rig_open(struct swap_rig *g, enum rig_backend backend, uint32_t pages,
                            bool buffered)
{
    memset(g, 0, sizeof(*g));
    g->keys = (struct rng){99};
    g->io = rig_io(backend, &g->disk);
    struct fh_swap_opts o = rig_opts(g, pages);
    o.buffered = buffered;
    int rc = fh_swap_init(&g->swap, &o);
    cr_assert_eq(rc, 0, "%s", strerror(-rc));
}

/* Also asserts that nothing is left over. */
static inline void rig_close(struct swap_rig *g)
{
    cr_assert(fh_swap_check(&g->swap, stderr));
    fh_swap_fini(&g->swap);
    cr_assert_eq(g->mem.used_bytes, 0);
    cr_assert_eq(g->io->in_flight, 0);
    fh_io_destroy(g->io);
}

static inline void rig_run_done(struct fh_swap_run *run)
{
    struct rig_run *r = FH_CONTAINER_OF(run, struct rig_run, run);
    cr_assert_not(r->over, "done is called once");
    r->over = true;
    r->rig->done++;
}

static inline struct rig_run *rig_run_new(struct swap_rig *g, uint32_t count)
{
    size_t size = FH_SWAP_RUN_MAX * FH_PAGE_SIZE;
    struct rig_run *r = calloc(1, sizeof(*r));

    cr_assert_not_null(r);
    r->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(r->bytes != MAP_FAILED);
    r->rig = g;
    r->run.count = count;
    r->run.done = rig_run_done;
    for (uint32_t i = 0; i < FH_SWAP_RUN_MAX; i++)
        r->run.pages[i] = r->bytes + (size_t)(FH_SWAP_RUN_MAX - 1 - i) * FH_PAGE_SIZE;
    return r;
}

static inline void rig_run_free(struct rig_run *r)
{
    munmap(r->bytes, FH_SWAP_RUN_MAX * FH_PAGE_SIZE);
    free(r);
}

/* Content that tells page and version apart from every other. */
static inline void rig_fill(uint8_t *page, uint64_t what)
{
    struct rng r = {what};
    for (uint32_t i = 0; i < FH_PAGE_SIZE; i += 8) {
        uint64_t word = rng_next(&r);
        memcpy(page + i, &word, 8);
    }
}

static inline bool rig_is(const uint8_t *page, uint64_t what)
{
    uint8_t expected[FH_PAGE_SIZE];
    rig_fill(expected, what);
    return memcmp(page, expected, FH_PAGE_SIZE) == 0;
}

static inline bool rig_is_zero(const uint8_t *page)
{
    for (uint32_t i = 0; i < FH_PAGE_SIZE; i++) {
        if (page[i] != 0)
            return false;
    }
    return true;
}

/* One turn of a loop: start what is queued, wait for the eventfd, reap. */
static inline void rig_turn(struct swap_rig *g)
{
    struct pollfd p = {.fd = g->io->event_fd, .events = POLLIN};
    fh_io_flush(g->io);
    cr_assert_eq(poll(&p, 1, 5000), 1, "nothing happens on the eventfd");
    fh_io_reap(g->io);
}

static inline void rig_wait(struct swap_rig *g)
{
    while (g->swap.stores + g->swap.loads > 0)
        rig_turn(g);
    cr_assert_eq(g->io->in_flight, 0);
}

/* Stores pages with contents what, what + 1, ... and waits; may store fewer: see run.count. */
static inline int rig_store(struct swap_rig *g, struct rig_run *r, uint64_t what, uint32_t count)
{
    r->run.count = count;
    r->over = false;
    for (uint32_t i = 0; i < count; i++)
        rig_fill(r->run.pages[i], what + i);
    int rc = fh_swap_store(&g->swap, &r->run);
    if (rc != 0)
        return rc;
    /* Sealed already: what happens to the page now does not matter. */
    memset(r->bytes, 0xEE, FH_SWAP_RUN_MAX * FH_PAGE_SIZE);
    rig_wait(g);
    cr_assert(r->over);
    return 0;
}

static inline void rig_load(struct swap_rig *g, struct rig_run *r, uint32_t first, uint32_t count)
{
    r->run.first = (struct fh_slot){first};
    r->run.count = count;
    r->over = false;
    memset(r->bytes, 0xDD, FH_SWAP_RUN_MAX * FH_PAGE_SIZE);
    fh_swap_load(&g->swap, &r->run);
    rig_wait(g);
    cr_assert(r->over);
}

static inline void rig_give(struct swap_rig *g, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        fh_swap_slot_give(&g->swap, (struct fh_slot){first + i});
}

#endif
