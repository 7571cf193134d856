/*
 * What a swap costs: sealing and opening a page, and stores and loads on both backends beside plain
 * pwrite and pread loops on the same kind of file (O_DIRECT where it is to be had).
 *
 *   farheap-bench-swap [FOLDER [MEBIBYTES]]      default /var/tmp 256
 *
 * Each figure is the median of five rounds; the sides take turns within a round.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "alloc/swap.h"
#include "alloc/swap_file.h"
#include "tests/support/rng.h"

enum { ROUNDS = 5, RUN = FH_SWAP_RUN_MAX, FLIGHTS_MAX = 32, CIPHER_PAGES = 20000, SINGLES = 8000 };

struct bench {
    struct fh_swap swap;
    struct fh_io *io;
    struct fh_mem mem;
    struct fh_swap_run runs[FLIGHTS_MAX];
    bool free[FLIGHTS_MAX];
    uint8_t *memory; /* FLIGHTS_MAX runs of pages */
    uint64_t bad;    /* pages with a status */
};

static struct bench bench;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void must(int rc, const char *what)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_swap: %s: %s\n", what, strerror(-rc));
    exit(1);
}

static int order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(values[0]), order);
    return values[ROUNDS / 2];
}

static void system_random(void *ctx, void *buf, size_t size)
{
    (void)ctx;
    if (getrandom(buf, size, 0) != (ssize_t)size)
        must(-EIO, "getrandom");
}

static uint8_t *memory_new(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        must(-errno, "mmap");
    struct rng r = {1};
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = rng_next(&r);
        memcpy((uint8_t *)p + i, &word, 8);
    }
    return p;
}

/* --- the cipher --- */

static void bench_cipher(const uint8_t *pages)
{
    static struct fh_cipher cipher;
    static uint8_t tags[RUN][FH_CIPHER_TAG_BYTES];
    static _Alignas(4096) uint8_t out[RUN * FH_PAGE_SIZE];
    double seal[ROUNDS], open[ROUNDS];
    uint64_t nonce = 0;

    must(fh_cipher_init(&cipher, 0, system_random, NULL), "cipher");
    for (int round = 0; round < ROUNDS; round++) {
        seal[round] = open[round] = 0;
        for (int batch = 0; batch < CIPHER_PAGES / RUN; batch++, nonce += RUN) {
            double t0 = now_s();
            for (uint32_t i = 0; i < RUN; i++)
                must(fh_cipher_seal(&cipher, (struct fh_cipher_id){{i + 1}, nonce + i},
                                    pages + (size_t)i * FH_PAGE_SIZE,
                                    out + (size_t)i * FH_PAGE_SIZE, tags[i]),
                     "seal");
            double t1 = now_s();
            for (uint32_t i = 0; i < RUN; i++)
                must(fh_cipher_open(&cipher, (struct fh_cipher_id){{i + 1}, nonce + i},
                                    out + (size_t)i * FH_PAGE_SIZE, out + (size_t)i * FH_PAGE_SIZE,
                                    tags[i]),
                     "open");
            seal[round] += t1 - t0;
            open[round] += now_s() - t1;
        }
        seal[round] *= 1e9 / (CIPHER_PAGES / RUN * RUN);
        open[round] *= 1e9 / (CIPHER_PAGES / RUN * RUN);
    }
    printf("seal %.0f ns per page, open %.0f ns per page\n", median(seal), median(open));
    fh_cipher_fini(&cipher);
}

/* --- plain calls --- */

static void plain(int fd, bool writes, uint8_t *buf, size_t size, uint64_t offset)
{
    ssize_t n = writes ? pwrite(fd, buf, size, (off_t)offset) : pread(fd, buf, size, (off_t)offset);
    if (n != (ssize_t)size)
        must(n < 0 ? -errno : -EIO, "plain I/O");
}

static double plain_runs(int fd, bool writes, uint32_t runs)
{
    double t0 = now_s();
    for (uint32_t i = 0; i < runs; i++)
        plain(fd, writes, bench.memory, RUN * FH_PAGE_SIZE, (uint64_t)i * RUN * FH_PAGE_SIZE);
    return (double)runs * RUN * FH_PAGE_SIZE / (now_s() - t0);
}

static double plain_singles(int fd, uint32_t runs)
{
    struct rng r = {5};
    double t0 = now_s();
    for (uint32_t i = 0; i < SINGLES; i++)
        plain(fd, false, bench.memory, FH_PAGE_SIZE,
              rng_below(&r, (uint64_t)runs * RUN) * FH_PAGE_SIZE);
    return SINGLES / (now_s() - t0);
}

/* --- the swap --- */

static void run_done(struct fh_swap_run *run)
{
    for (uint32_t i = 0; i < run->count; i++)
        bench.bad += run->status[i] != 0;
    bench.free[run - bench.runs] = true;
}

static void turn(void)
{
    struct pollfd p = {.fd = bench.io->event_fd, .events = POLLIN};
    fh_io_flush(bench.io);
    if (poll(&p, 1, 10000) != 1)
        must(-ETIMEDOUT, "poll");
    fh_io_reap(bench.io);
}

static struct fh_swap_run *run_wait(uint32_t flights)
{
    for (;;) {
        for (uint32_t i = 0; i < flights; i++) {
            if (bench.free[i]) {
                bench.free[i] = false;
                return &bench.runs[i];
            }
        }
        turn();
    }
}

static void all_wait(void)
{
    while (bench.swap.stores + bench.swap.loads > 0)
        turn();
}

static double swap_stores(uint32_t runs, struct fh_slot *slots)
{
    double t0 = now_s();
    uint32_t stored = 0;

    while (stored < runs * RUN) {
        struct fh_swap_run *run = run_wait(FH_SWAP_BOUNCE_COUNT);
        run->count = RUN;
        must(fh_swap_store(&bench.swap, run), "store");
        for (uint32_t i = 0; i < run->count && stored < runs * RUN; i++)
            slots[stored++].v = run->first.v + i;
    }
    all_wait();
    return (double)stored * FH_PAGE_SIZE / (now_s() - t0);
}

static double swap_loads(uint32_t runs)
{
    double t0 = now_s();
    for (uint32_t i = 0; i < runs; i++) {
        struct fh_swap_run *run = run_wait(FH_SWAP_BOUNCE_COUNT);
        run->count = RUN;
        run->first.v = 1 + i * RUN;
        fh_swap_load(&bench.swap, run);
    }
    all_wait();
    return (double)runs * RUN * FH_PAGE_SIZE / (now_s() - t0);
}

static double swap_singles(uint32_t runs, uint32_t flights)
{
    struct rng r = {5};
    double t0 = now_s();
    for (uint32_t i = 0; i < SINGLES; i++) {
        struct fh_swap_run *run = run_wait(flights);
        run->count = 1;
        run->first.v = 1 + (uint32_t)rng_below(&r, (uint64_t)runs * RUN);
        fh_swap_load(&bench.swap, run);
    }
    all_wait();
    return SINGLES / (now_s() - t0);
}

static void swap_open(const char *dir, uint32_t runs)
{
    struct fh_swap_opts o = {.io = bench.io,
                             .mem = &bench.mem,
                             .dir = dir,
                             .size_bytes = (uint64_t)runs * RUN * FH_PAGE_SIZE,
                             .random = system_random};
    must(fh_swap_init(&bench.swap, &o), "swap");
    for (uint32_t f = 0; f < FLIGHTS_MAX; f++) {
        bench.runs[f].done = run_done;
        bench.free[f] = true;
        for (uint32_t i = 0; i < RUN; i++)
            bench.runs[f].pages[i] = bench.memory + ((size_t)f * RUN + i) * FH_PAGE_SIZE;
    }
}

static void bench_backend(const char *dir, uint32_t runs)
{
    struct fh_slot *slots = calloc((size_t)runs * RUN, sizeof(*slots));
    double store[ROUNDS], load[ROUNDS], one[ROUNDS], deep[ROUNDS], write[ROUNDS], read[ROUNDS],
        single[ROUNDS];
    bool direct;
    int fd;

    if (!slots)
        must(-ENOMEM, "slots");
    swap_open(dir, runs);
    must(fh_swap_file_open(dir, (uint64_t)runs * RUN * FH_PAGE_SIZE, false, &fd, &direct), "file");
    (void)plain_runs(fd, true, runs); /* both files: first writes to fresh extents are slower */
    (void)swap_stores(runs, slots);
    for (int i = 0; i < ROUNDS; i++) {
        for (uint32_t k = 0; k < runs * RUN; k++)
            fh_swap_slot_give(&bench.swap, slots[k]);
        write[i] = plain_runs(fd, true, runs);
        store[i] = swap_stores(runs, slots);
        read[i] = plain_runs(fd, false, runs);
        load[i] = swap_loads(runs);
        single[i] = plain_singles(fd, runs);
        one[i] = swap_singles(runs, 1);
        deep[i] = swap_singles(runs, FLIGHTS_MAX);
    }
    printf("%-9s direct %d | runs of 64: store %.0f MB/s (pwrite %.0f), load %.0f MB/s (pread %.0f)"
           " | pages: depth 1 %.0f/s (pread %.0f/s), depth 32 %.0f/s\n",
           bench.io->backend->name, bench.swap.stats.direct, median(store) / 1e6,
           median(write) / 1e6, median(load) / 1e6, median(read) / 1e6, median(one), median(single),
           median(deep));
    close(fd);
    fh_swap_fini(&bench.swap);
    fh_io_destroy(bench.io);
    free(slots);
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : "/var/tmp";
    uint32_t runs = (uint32_t)(argc > 2 ? strtoul(argv[2], NULL, 10) : 256) * 4;

    bench.memory = memory_new((size_t)FLIGHTS_MAX * RUN * FH_PAGE_SIZE);
    bench_cipher(bench.memory);
    int rc = fh_io_uring_create(128, &bench.io);
    if (rc == 0)
        bench_backend(dir, runs);
    else
        printf("io_uring: %s\n", strerror(-rc));
    must(fh_io_threads_create(16, &bench.io), "threads");
    bench_backend(dir, runs);
    printf("pages that failed: %lu\n", (unsigned long)bench.bad);
    return bench.bad == 0 ? 0 : 1;
}
