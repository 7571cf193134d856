/*
 * bench_alloc: what the allocators cost, in nanoseconds. Not a test: prints a table, judges
 * nothing.
 *
 * Buddy: an arena of 2^18 granules is filled at random to a share, then batches of allocations and
 * frees of random live blocks alternate around that share. Slab: pairs back to back, and batches.
 * Each figure is the median of RUNS.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "alloc/heap.h"
#include "tests/support/rng.h"

enum { RUNS = 7, BATCH = 1000, ROUNDS = 300, PAIRS = 1000000 };

struct cost {
    double alloc, free;
};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(int rc)
{
    if (rc == 0)
        return;
    fprintf(stderr, "bench_alloc: an operation failed: %s\n", strerror(-rc));
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct cost median(double allocs[RUNS], double frees[RUNS])
{
    qsort(allocs, RUNS, sizeof(double), by_value);
    qsort(frees, RUNS, sizeof(double), by_value);
    return (struct cost){allocs[RUNS / 2], frees[RUNS / 2]};
}

static void print_row(const char *what, struct cost c)
{
    printf("%-34s %8.1f %8.1f\n", what, c.alloc, c.free);
}

/* --- buddy --- */

struct arena {
    struct fh_buddy b;
    struct rng r;
    uint32_t *live, lives, size_bits;
};

static uint32_t arena_size(struct arena *a)
{
    return (uint32_t)rng_log_uniform(&a->r, a->size_bits);
}

static void arena_alloc(struct arena *a, uint32_t size)
{
    struct fh_buddy_block block;
    must(fh_buddy_alloc(&a->b, size, &block));
    a->live[a->lives++] = block.start;
}

/* Moves a random live block to the end of the array. */
static void arena_shuffle_last(struct arena *a, uint32_t last)
{
    uint32_t i = (uint32_t)rng_below(&a->r, last + 1), start = a->live[i];
    a->live[i] = a->live[last];
    a->live[last] = start;
}

/* Fills all, then frees at random down to the share. */
static void arena_fill(struct arena *a, uint32_t percent)
{
    uint32_t granules = a->b.tables->granules;
    for (uint32_t size; fh_buddy_fits(&a->b, size = arena_size(a));)
        arena_alloc(a, size);
    while (a->b.used > (uint64_t)granules * percent / 100) {
        arena_shuffle_last(a, a->lives - 1);
        must(fh_buddy_free(&a->b, a->live[--a->lives]));
    }
}

static struct cost arena_batches(struct arena *a)
{
    static uint32_t sizes[BATCH];
    double allocs = 0, frees = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < BATCH; i++) {
            arena_shuffle_last(a, a->lives - 1 - i);
            sizes[i] = fh_buddy_size_at(&a->b, a->live[a->lives - 1 - i]);
        }
        double start = now_ns();
        for (uint32_t i = 0; i < BATCH; i++)
            must(fh_buddy_free(&a->b, a->live[--a->lives]));
        double middle = now_ns();
        for (uint32_t i = 0; i < BATCH; i++)
            arena_alloc(a, sizes[i]);
        frees += middle - start;
        allocs += now_ns() - middle;
    }
    return (struct cost){allocs / (ROUNDS * BATCH), frees / (ROUNDS * BATCH)};
}

static struct cost bench_buddy(const struct fh_buddy_system *system, uint32_t size_bits,
                               uint32_t percent)
{
    static struct fh_buddy_tables tables;
    double allocs[RUNS], frees[RUNS];
    fh_buddy_tables_init(&tables, system, FH_BUDDY_GRANULES_MAX);
    for (uint32_t run = 0; run < RUNS; run++) {
        struct fh_mem mem = {0};
        struct arena a = {.r = {run}, .size_bits = size_bits};
        a.live = malloc(FH_BUDDY_GRANULES_MAX * sizeof(*a.live));
        must(a.live ? fh_buddy_init(&a.b, &tables, &mem) : -12);
        arena_fill(&a, percent);
        struct cost c = arena_batches(&a);
        allocs[run] = c.alloc;
        frees[run] = c.free;
        fh_buddy_fini(&a.b);
        free(a.live);
    }
    return median(allocs, frees);
}

/* --- slab, through the heap --- */

static struct cost slab_pairs(struct fh_heap *h, uint64_t size)
{
    struct fh_heap_block block;
    double start = now_ns();
    for (uint32_t i = 0; i < PAIRS; i++) {
        must(fh_heap_alloc(h, 0, size, 1, &block));
        must(fh_heap_free(h, block.addr));
    }
    return (struct cost){(now_ns() - start) / PAIRS, 0};
}

static struct cost slab_batches(struct fh_heap *h, uint64_t size)
{
    static struct fh_heap_block blocks[BATCH];
    double allocs = 0, frees = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        double start = now_ns();
        for (uint32_t i = 0; i < BATCH; i++)
            must(fh_heap_alloc(h, 0, size, 1, &blocks[i]));
        double middle = now_ns();
        for (uint32_t i = 0; i < BATCH; i++)
            must(fh_heap_free(h, blocks[i].addr));
        allocs += middle - start;
        frees += now_ns() - middle;
    }
    return (struct cost){allocs / (ROUNDS * BATCH), frees / (ROUNDS * BATCH)};
}

static struct cost bench_slab(uint64_t size, struct cost (*work)(struct fh_heap *, uint64_t))
{
    double allocs[RUNS], frees[RUNS];
    for (uint32_t run = 0; run < RUNS; run++) {
        struct fh_mem mem = {0};
        struct fh_heap h;
        must(fh_heap_init(&h, &(struct fh_heap_opts){.mem = &mem, .system = &fh_buddy_binary}));
        struct cost c = work(&h, size);
        allocs[run] = c.alloc;
        frees[run] = c.free;
        fh_heap_fini(&h);
    }
    return median(allocs, frees);
}

int main(void)
{
    const struct fh_buddy_system *system;
    char row[64];

    printf("%-34s %8s %8s\n", "ns per call, median of 7", "alloc", "free");
    print_row("buddy binary, 1 granule, 50 % full", bench_buddy(&fh_buddy_binary, 0, 50));
    print_row("buddy binary, 1 granule, 99 % full", bench_buddy(&fh_buddy_binary, 0, 99));
    for (uint32_t i = 0; (system = fh_buddy_system_at(i)) != NULL; i++) {
        snprintf(row, sizeof(row), "buddy %s, 1..512, 80 %%", system->name);
        print_row(row, bench_buddy(system, 9, 80));
    }
    print_row("slab 64 B, a pair (one column)", bench_slab(64, slab_pairs));
    print_row("slab 2 KiB, a pair (one column)", bench_slab(2048, slab_pairs));
    print_row("slab 64 B, batches of 1000", bench_slab(64, slab_batches));
    print_row("slab 2 KiB, batches of 1000", bench_slab(2048, slab_batches));
    return 0;
}
