/*
 * Theory.  The arena is filled with requests of one law until one does not fit. At that moment
 *
 *   internal   granules of live blocks beyond what was asked for
 *   external   granules free, and yet no block for the request
 *
 * are noted as shares of the arena. Then random live blocks are freed until the request fits, it
 * is served, and so on. The first WARM_UP failures are not weighed: the state there still shows
 * that the arena was once filled from left to right. All systems see the same sizes; the choice of
 * what to free is drawn from a stream of its own.
 *
 * Time       is not taken during this, because drawing numbers would be in it: the operations are
 *            recorded, and replayed on a fresh arena, where they do the same again.
 */
#include "tests/bench/bench_alloc_fragmentation.h"

#include <math.h>

#include "alloc/buddy.h"
#include "tests/bench/bench_alloc_run.h"

enum {
    ARENA = 1 << 16,
    ARENA_FIBONACCI = 75025,
    WARM_UP = 1000,
    TRACE_MAX = 1 << 20,
    TRACE_FREE = 1 << 30, /* in an operation: free the live block with this index; else a size */
};

struct live {
    uint32_t start, asked;
};

struct arena {
    struct fh_mem mem;
    struct fh_buddy buddy;
    struct rng sizes, choices;
    struct live *live;
    uint32_t lives;
    uint64_t asked;  /* granules of all live blocks, before rounding */
    uint64_t allocs; /* since the warm-up */
    uint32_t *trace, traced;
};

/* Sums over the failures of one run. */
struct sums {
    double internal, external, blocks;
};

static void arena_trace(struct arena *a, uint32_t operation)
{
    if (a->traced < TRACE_MAX)
        a->trace[a->traced++] = operation;
}

static void arena_alloc(struct arena *a, uint32_t size)
{
    struct fh_buddy_block block;
    bench_must(fh_buddy_alloc(&a->buddy, size, &block));
    a->live[a->lives++] = (struct live){block.start, size};
    a->asked += size;
    a->allocs++;
    arena_trace(a, size);
}

static void arena_free_any(struct arena *a)
{
    uint32_t i = (uint32_t)rng_below(&a->choices, a->lives);
    bench_must(fh_buddy_free(&a->buddy, a->live[i].start));
    a->asked -= a->live[i].asked;
    a->live[i] = a->live[--a->lives];
    arena_trace(a, TRACE_FREE | i);
}

/* Goes to the next failure; returns the size that did not fit. */
static uint32_t arena_overflow(struct arena *a, const struct sizes_law *law)
{
    uint32_t size;
    while (fh_buddy_fits(&a->buddy, size = law->draw(&a->sizes)))
        arena_alloc(a, size);
    return size;
}

static void arena_make_room(struct arena *a, uint32_t size)
{
    while (!fh_buddy_fits(&a->buddy, size))
        arena_free_any(a);
    arena_alloc(a, size);
}

static void arena_count(const struct arena *a, uint64_t *splits, uint64_t *merges)
{
    *splits = 0;
    *merges = 0;
    for (uint32_t c = 0; c < a->buddy.tables->classes; c++) {
        *splits += a->buddy.splits[c];
        *merges += a->buddy.merges[c];
    }
}

/* The recorded operations again, on a fresh arena; ns per operation. */
static double arena_replay(struct arena *a)
{
    const struct fh_buddy_tables *tables = a->buddy.tables;
    uint32_t lives = 0;

    fh_buddy_fini(&a->buddy);
    bench_must(fh_buddy_init(&a->buddy, tables, &a->mem));
    double start = bench_now_ns();
    for (uint32_t i = 0; i < a->traced; i++) {
        uint32_t operation = a->trace[i];
        if (operation & TRACE_FREE) {
            struct live *live = &a->live[operation & ~(uint32_t)TRACE_FREE];
            bench_must(fh_buddy_free(&a->buddy, live->start));
            *live = a->live[--lives];
        } else {
            struct fh_buddy_block block;
            bench_must(fh_buddy_alloc(&a->buddy, operation, &block));
            a->live[lives++].start = block.start;
        }
    }
    return (bench_now_ns() - start) / a->traced;
}

static void arena_init(struct arena *a, const struct fh_buddy_tables *tables, uint64_t seed)
{
    *a = (struct arena){.sizes = {seed}, .choices = {~seed}};
    a->live = bench_room(tables->granules, sizeof(*a->live));
    a->trace = bench_room(TRACE_MAX, sizeof(*a->trace));
    bench_must(fh_buddy_init(&a->buddy, tables, &a->mem));
}

static void arena_fini(struct arena *a)
{
    fh_buddy_fini(&a->buddy);
    free(a->trace);
    free(a->live);
}

/* Adds one run to the row; returns its ns per operation. */
static double run_once(struct fragmentation *row, const struct fh_buddy_tables *tables,
                       uint64_t seed, uint32_t failures)
{
    uint64_t splits[2], merges[2];
    struct sums sum = {0};
    struct arena a;

    arena_init(&a, tables, seed);
    for (uint32_t i = 0; i < WARM_UP; i++)
        arena_make_room(&a, arena_overflow(&a, row->law));
    arena_count(&a, &splits[0], &merges[0]);
    a.allocs = 0;
    for (uint32_t i = 0; i < failures; i++) {
        uint32_t size = arena_overflow(&a, row->law);
        sum.internal += (double)(a.buddy.used - a.asked) / tables->granules;
        sum.external += (double)(tables->granules - a.buddy.used) / tables->granules;
        sum.blocks += a.lives;
        arena_make_room(&a, size);
    }
    arena_count(&a, &splits[1], &merges[1]);
    double total = (sum.internal + sum.external) / failures;
    row->internal += sum.internal / failures / BENCH_RUNS;
    row->external += sum.external / failures / BENCH_RUNS;
    row->total += total / BENCH_RUNS;
    row->total_low = fmin(row->total_low, total);
    row->total_high = fmax(row->total_high, total);
    row->blocks += sum.blocks / failures / BENCH_RUNS;
    row->splits += (double)(splits[1] - splits[0]) / (double)a.allocs / BENCH_RUNS;
    row->merges += (double)(merges[1] - merges[0]) / (double)a.allocs / BENCH_RUNS;
    row->failures += failures;
    double ns = arena_replay(&a);
    arena_fini(&a);
    return ns;
}

static void run_row(struct fragmentation *row, uint64_t seed, uint32_t failures)
{
    struct fh_buddy_tables tables;
    double ns[BENCH_RUNS];

    row->granules = row->system == &fh_buddy_fibonacci ? ARENA_FIBONACCI : ARENA;
    row->total_low = 1;
    fh_buddy_tables_init(&tables, row->system, row->granules);
    for (uint32_t run = 0; run < BENCH_RUNS; run++)
        ns[run] = run_once(row, &tables, seed + run, failures);
    row->ns_per_op = bench_at(ns, BENCH_RUNS, 0.5);
}

void fragmentation_run(uint64_t seed, uint32_t failures,
                       struct fragmentation rows[SIZES_LAWS * FRAGMENTATION_SYSTEMS])
{
    for (uint32_t i = 0; i < SIZES_LAWS * FRAGMENTATION_SYSTEMS; i++) {
        rows[i] = (struct fragmentation){.law = &sizes_laws[i / FRAGMENTATION_SYSTEMS],
                                         .system = fh_buddy_system_at(i % FRAGMENTATION_SYSTEMS)};
        run_row(&rows[i], seed, failures);
    }
}
