/*
 * What costs a disk: reading pages in one by one and 32 at once, writing dirty ones out, and what the loop feels of it;
 * beside fio on the same file with the same engine: the same number of requests in flight, or of threads.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "tests/bench/bench_pager.h"

enum { DEEP = 32, ONE_BY_ONE = 1500, AT_ONCE = 12000, STALL_READS = 60000, WRITERS = 40 };

static uint64_t latencies[STALL_READS];

static const char *named(const struct bench *b, const char *what)
{
    static char text[64];
    snprintf(text, sizeof text, "%s, %s", what, b->io->backend->name);
    return text;
}

static struct bench_fio fio_median(struct bench_fio *all, uint32_t count)
{
    double iops[BENCH_ROUNDS_MAX], bytes[BENCH_ROUNDS_MAX], p50[BENCH_ROUNDS_MAX],
        p99[BENCH_ROUNDS_MAX];

    for (uint32_t i = 0; i < count; i++) {
        iops[i] = all[i].iops;
        bytes[i] = all[i].bytes_s;
        p50[i] = all[i].p50_us;
        p99[i] = all[i].p99_us;
    }
    return (struct bench_fio){bench_median(iops, count), bench_median(bytes, count),
                              bench_median(p50, count), bench_median(p99, count)};
}

/* --- E6 --- */

static void one_by_one(struct bench *b, const struct fh_object_view *v)
{
    double p50[BENCH_ROUNDS_MAX], p99[BENCH_ROUNDS_MAX];
    struct bench_fio fio[BENCH_ROUNDS_MAX];
    uint32_t n = b->opts.rounds;
    bool beside = true;

    for (uint32_t i = 0; i < n; i++) {
        (void)bench_evict(b);
        (void)bench_read_pages(b, v, 1, ONE_BY_ONE, latencies);
        p50[i] = (double)bench_percentile(latencies, ONE_BY_ONE, .5) / 1000;
        p99[i] = (double)bench_percentile(latencies, ONE_BY_ONE, .99) / 1000;
        beside = beside && bench_fio(b, "randread", "4k", 1, &fio[i]);
    }
    double ours = bench_median(p50, n), worst = bench_median(p99, n);
    struct bench_fio f = beside ? fio_median(fio, n) : (struct bench_fio){0};
    bench_row(b, "E6", named(b, "page read in, one at a time, p50"), ours, "us",
              beside ? BENCH_AT_MOST : BENCH_INFO, f.p50_us + 8, "fio %.1f us", f.p50_us);
    bench_row(b, "E6", named(b, "page read in, one at a time, p99"), worst, "us",
              beside ? BENCH_AT_MOST : BENCH_INFO, f.p99_us * 1.3, "fio %.1f us", f.p99_us);
}

/* --- E7 --- */

static void many_at_once(struct bench *b, const struct fh_object_view *v)
{
    double iops[BENCH_ROUNDS_MAX], cpu[BENCH_ROUNDS_MAX];
    struct bench_fio fio[BENCH_ROUNDS_MAX];
    bool uring = strcmp(b->io->backend->name, "io_uring") == 0, beside = true;
    uint32_t n = b->opts.rounds;

    for (uint32_t i = 0; i < n; i++) {
        (void)bench_evict(b);
        uint64_t faults = b->zone.pager.faults_swap;
        struct bench_time time = bench_read_pages(b, v, DEEP, AT_ONCE, NULL);
        faults = b->zone.pager.faults_swap - faults;
        iops[i] = (double)faults / time.wall_s;
        cpu[i] = time.cpu_s * 1e6 / (double)faults;
        beside = beside && bench_fio(b, "randread", "4k", DEEP, &fio[i]);
    }
    double ours = bench_median(iops, n);
    struct bench_fio f = beside ? fio_median(fio, n) : (struct bench_fio){0};
    bench_row(b, "E7", named(b, "pages read in, 32 at once"),
              beside ? 100 * ours / f.iops : ours / 1000, beside ? "% of fio" : "k/s",
              beside ? BENCH_AT_LEAST : BENCH_INFO, uring ? 85 : 60,
              "%.1f k/s at %.1f us of CPU each; fio %.1f k/s", ours / 1000, bench_median(cpu, n),
              f.iops / 1000);
}

/* --- E8 --- */

static void dirty(struct bench *b, const struct fh_object_view *v)
{
    double rate[BENCH_ROUNDS_MAX], cpu[BENCH_ROUNDS_MAX];
    struct bench_fio fio[BENCH_ROUNDS_MAX];
    uint32_t n = b->opts.rounds;
    bool beside = true;

    for (uint32_t i = 0; i < n; i++) {
        bench_write(b, v, true);
        uint64_t stored = b->zone.pager.swap.stats.stored_pages;
        struct bench_time time = bench_evict(b);
        stored = b->zone.pager.swap.stats.stored_pages - stored;
        rate[i] = (double)stored * FH_PAGE_SIZE / time.wall_s;
        cpu[i] = time.cpu_s * 1e6 / (double)stored;
        beside = beside && bench_fio(b, "write", "256k", 8, &fio[i]);
    }
    double ours = bench_median(rate, n) / 1e9;
    struct bench_fio f = beside ? fio_median(fio, n) : (struct bench_fio){0};
    double target = beside && f.bytes_s * .85e-9 < 1.5 ? f.bytes_s * .85e-9 : 1.5;
    bench_row(b, "E8", named(b, "eviction of dirty pages, sealed"), ours, "GB/s", BENCH_AT_LEAST,
              target, "%.2f us of CPU a page; fio writes %.2f GB/s", bench_median(cpu, n),
              f.bytes_s / 1e9);
}

/* --- E11 --- */

/* Readers of a working set four times the memory, some of whose pages are written meanwhile; each turn is timed. */
static void stall(struct bench *b)
{
    static uint64_t turns[4 * STALL_READS];
    struct fh_object_view v = bench_object(b, b->opts.memory / FH_PAGE_SIZE * 4);
    struct rusage before, after;

    b->turns = turns;
    b->turns_count = 0;
    b->turns_max = 4 * STALL_READS;
    getrusage(RUSAGE_THREAD, &before);
    for (uint32_t round = 0; round < WRITERS; round++) {
        bench_write_some(b, &v, STALL_READS / 9 / WRITERS);
        (void)bench_read_pages(b, &v, DEEP, STALL_READS / WRITERS, NULL);
    }
    getrusage(RUSAGE_THREAD, &after);
    b->turns = NULL;
    uint32_t count = b->turns_count;
    bench_row(b, "E11", named(b, "turn of the loop at 4x memory, p99.9"),
              (double)bench_percentile(turns, count, .999) / 1e6, "ms", BENCH_AT_MOST, 1,
              "%u turns", count);
    bench_row(b, "E11", named(b, "turn of the loop at 4x memory, longest"),
              (double)turns[count - 1] / 1e6, "ms", BENCH_AT_MOST, 10, "p50 %.4f ms",
              (double)turns[count / 2] / 1e6);
    bench_row(b, "E11", named(b, "major faults of the zone's thread"),
              (double)(after.ru_majflt - before.ru_majflt), "", BENCH_AT_MOST, 0, " ");
}

void bench_pager_disk(struct bench *b, const char *backend)
{
    bool pages = bench_wants(b, "E6") || bench_wants(b, "E7") || bench_wants(b, "E8");

    if (pages) {
        if (!bench_open(b, backend, b->opts.memory, b->opts.memory * 4)) {
            fprintf(stderr, "%s: not allowed here; its lines are missing\n", backend);
            return;
        }
        struct fh_object_view v = bench_object(b, b->opts.memory / FH_PAGE_SIZE * 3 / 4);
        if (bench_wants(b, "E8"))
            dirty(b, &v);
        bench_write(b, &v, false); /* fio wrote over the file */
        (void)bench_evict(b);
        if (bench_wants(b, "E6"))
            one_by_one(b, &v);
        if (bench_wants(b, "E7"))
            many_at_once(b, &v);
        bench_close(b);
    }
    if (bench_wants(b, "E11") && bench_open(b, backend, b->opts.memory / 4, b->opts.memory * 4)) {
        stall(b);
        bench_close(b);
    }
}
