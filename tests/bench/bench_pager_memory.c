/*
 * What costs no disk: holding what is in memory, reading what was never written, dropping what is clean, taking a view;
 * each beside the barest loop over arrays of the same shape, or beside the system call it replaces. Times are CPU time
 * of the thread, so that other processes on the machine do not count.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/bench/bench_pager.h"
#include "tests/support/trace.h"

enum {
    LARGE_PAGES = 262144, /* 1 GiB */
    TOUCHES = 1 << 20,
    HOT_PAGES = 16,
    VIEW_PAGES = 16384, /* 64 MiB */
    MANY = 64           /* views per figure */
};

static uint32_t order[TOUCHES]; /* random pages */
static volatile uint64_t sink;

static double resident_bytes(void)
{
    unsigned long size = 0, resident = 0;
    FILE *in = fopen("/proc/self/statm", "r");

    if (in && fscanf(in, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    if (in)
        fclose(in);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static void order_fill(struct bench *b, uint32_t pages)
{
    for (uint32_t i = 0; i < TOUCHES; i++)
        order[i] = (uint32_t)rng_below(&b->random, pages);
}

/* --- E4 --- */

/* Arrays as the pager has them: a word per page that names a frame, a record and 4 KiB per frame. */
struct bare {
    uint64_t *table;
    struct fh_frame_record *records;
    const uint8_t *bytes;
};

static double bare_loop(const struct bare *a)
{
    uint64_t sum = 0, begun = bench_cpu_ns();

    for (uint32_t i = 0; i < TOUCHES; i++) {
        uint64_t frame = a->table[order[i]];
        struct fh_frame_record *r = &a->records[frame];
        r->refs = (r->refs + 1) & 0xfffff;
        r->freq = 3;
        sum += a->bytes[frame << FH_PAGE_SHIFT];
        r->refs = (r->refs - 1) & 0xfffff;
    }
    sink += sum;
    return (double)(bench_cpu_ns() - begun) / TOUCHES;
}

static double hold_loop(struct bench *b, const struct fh_object_view *v)
{
    static struct fh_hold hold;
    struct fh_call call;
    struct fh_page first = fh_page_of_addr(v->ref.addr);
    struct fh_pager *p = &b->zone.pager;
    uint64_t sum = 0, begun = bench_cpu_ns();

    fh_call_init(&call, NULL);
    fh_hold_init(&hold);
    for (uint32_t i = 0; i < TOUCHES; i++) {
        bench_must(fh_pager_hold(p, &call, &hold, fh_page_add(first, order[i]), 1), "hold");
        sum += fh_pager_held_bytes(p, &hold, 0)[0];
        fh_pager_release(p, &hold);
    }
    sink += sum;
    return (double)(bench_cpu_ns() - begun) / TOUCHES;
}

/* The same as a small read does it: handle to object, its checks, then the page, looked at without a hold. */
static double read_loop(struct bench *b, const struct fh_object_view *v)
{
    struct fh_glance glance;
    uint64_t sum = 0, begun = bench_cpu_ns();

    for (uint32_t i = 0; i < TOUCHES; i++) {
        uint64_t offset = (uint64_t)order[i] << FH_PAGE_SHIFT;
        bench_must(fh_zone_glance(&b->zone, &v->ref, offset, 64, 64, &glance), "read");
        sum += *(const uint8_t *)glance.iov[0].iov_base;
    }
    sink += sum;
    return (double)(bench_cpu_ns() - begun) / TOUCHES;
}

static void resident_rows(struct bench *b, const struct fh_object_view *v, const struct bare *a,
                          bool hot)
{
    double bare[BENCH_ROUNDS_MAX], hold[BENCH_ROUNDS_MAX], read[BENCH_ROUNDS_MAX];
    uint32_t n = b->opts.rounds;

    order_fill(b, hot ? HOT_PAGES : LARGE_PAGES);
    for (uint32_t i = 0; i < n; i++) {
        bare[i] = bare_loop(a);
        hold[i] = hold_loop(b, v);
        read[i] = read_loop(b, v);
    }
    double beside = bench_median(bare, n);
    bench_row(b, "E4", hot ? "hold and release, 16 hot pages" : "hold and release, random in 1 GiB",
              bench_median(hold, n), "ns", BENCH_AT_MOST, hot ? 10 : 60, "bare loop %.1f ns",
              beside);
    bench_row(b, "E4", "handle check and a look, as a small read", bench_median(read, n), "ns",
              BENCH_AT_MOST, hot ? 30 : 150, "bare loop %.1f ns", beside);
}

static void resident(struct bench *b)
{
    struct fh_pagetable_stats table_stats;

    (void)bench_open(b, "threads", (uint64_t)(LARGE_PAGES + LARGE_PAGES / 8) << FH_PAGE_SHIFT, 0);
    struct fh_object_view v = bench_object(b, LARGE_PAGES);
    fh_pagetable_stats(&b->zone.pager.table, &table_stats);
    double table = (double)table_stats.bytes / LARGE_PAGES;
    struct bare a = {.table = calloc(LARGE_PAGES, sizeof(*a.table)),
                     .records = calloc(LARGE_PAGES, sizeof(*a.records)),
                     .bytes = fh_region_bytes(&b->zone.pager.region, (struct fh_frame){0})};
    if (!a.table || !a.records)
        bench_must(-ENOMEM, "arrays");
    for (uint32_t i = 0; i < LARGE_PAGES; i++)
        a.table[i] = i;
    resident_rows(b, &v, &a, true);
    resident_rows(b, &v, &a, false);
    bench_row(b, "E4", "metadata per page in memory", table + sizeof(struct fh_frame_record), "B",
              BENCH_AT_MOST, 24,
              "entry and its share of the index %.2f B, record of the frame %zu B", table,
              sizeof(struct fh_frame_record));
    free(a.table);
    free(a.records);
    bench_close(b);
}

/* --- E5 --- */

static void nothing(struct bench *b)
{
    static struct fh_reader reader;
    double ns[BENCH_ROUNDS_MAX];
    struct fh_object_view v;
    uint32_t n = b->opts.rounds;

    (void)bench_open(b, "threads", 64 << 20, 0);
    bench_must(fh_zone_alloc(&b->zone, 1, (uint64_t)LARGE_PAGES << FH_PAGE_SHIFT, 0, &v), "alloc");
    uint32_t frames = b->zone.pager.frames.free;
    double rss = resident_bytes();
    for (uint32_t i = 0; i < n; i++) {
        uint64_t begun = bench_cpu_ns();
        for (int rc = fh_reader_open(&b->zone, &reader, &v.ref, 0, v.size); reader.left > 0;
             rc = fh_reader_next(&reader)) {
            bench_must(rc, "read");
            fh_reader_release(&reader, reader.window_bytes);
            if (reader.left == 0)
                break;
        }
        fh_reader_close(&reader);
        ns[i] = (double)(bench_cpu_ns() - begun) / LARGE_PAGES;
    }
    bench_row(b, "E5", "read of what was never written, 1 GiB", bench_median(ns, n), "ns/page",
              BENCH_AT_MOST, 10, "first touch of a plain mmap costs 1250 ns");
    bench_row(b, "E5", "frames it took", (double)frames - b->zone.pager.frames.free, "",
              BENCH_AT_MOST, 0, "%.0f KiB of resident memory gained",
              (resident_bytes() - rss) / 1024);
    bench_close(b);
}

/* --- E9 --- */

/* What a pager does that maps every object in place: pages touched, then given back in runs of 64 KiB. */
static double madvise_loop(uint64_t bytes)
{
    enum { RUN = 65536 };
    uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        bench_must(-errno, "mmap");
    (void)madvise(p, bytes, MADV_NOHUGEPAGE);
    for (uint64_t at = 0; at < bytes; at += FH_PAGE_SIZE)
        p[at] = 1;
    uint64_t begun = bench_cpu_ns();
    for (uint64_t at = 0; at < bytes; at += RUN)
        (void)madvise(p + at, RUN, MADV_DONTNEED);
    double seconds = (double)(bench_cpu_ns() - begun) * 1e-9;
    munmap(p, bytes);
    return (double)(bytes >> FH_PAGE_SHIFT) / seconds;
}

static void read_in_all(struct bench *b, const struct fh_object_view *v)
{
    static struct fh_reader reader;

    int rc = fh_reader_open(&b->zone, &reader, &v->ref, 0, v->size);
    for (;;) {
        while (rc == -EINPROGRESS && reader.call.state != FH_CALL_IDLE)
            bench_turn(b, true);
        bench_must(rc == -EINPROGRESS ? reader.call.rc : rc, "read");
        fh_reader_release(&reader, reader.window_bytes);
        if (reader.left == 0)
            break;
        rc = fh_reader_next(&reader);
    }
    fh_reader_close(&reader);
}

static void clean(struct bench *b)
{
    double ours[BENCH_ROUNDS_MAX], theirs[BENCH_ROUNDS_MAX];
    uint64_t pages = b->opts.memory / FH_PAGE_SIZE * 3 / 4;
    uint32_t n = b->opts.rounds;

    (void)bench_open(b, "threads", b->opts.memory, b->opts.memory * 3);
    struct fh_object_view v = bench_object(b, pages);
    (void)bench_evict(b);
    for (uint32_t i = 0; i < n; i++) {
        read_in_all(b, &v);
        uint64_t mapped = b->zone.pager.mapped;
        ours[i] = (double)mapped / bench_evict(b).cpu_s;
        theirs[i] = madvise_loop(pages * FH_PAGE_SIZE);
    }
    double beside = bench_median(theirs, n), value = bench_median(ours, n);
    bench_row(b, "E9", "eviction of clean pages", value / 1e6, "M/s", BENCH_AT_LEAST, 2,
              "madvise, runs of 64 KiB: %.2f M/s", beside / 1e6);
    bench_row(b, "E9", "the same beside madvise", value / beside, "times", BENCH_AT_LEAST, 2, " ");
    bench_close(b);
}

/* --- E10 --- */

static void views(struct bench *b)
{
    static struct fh_reader reader;
    double ns[BENCH_ROUNDS_MAX];
    uint32_t n = b->opts.rounds;

    (void)bench_open(b, "threads", (uint64_t)(VIEW_PAGES + 4096) << FH_PAGE_SHIFT, 0);
    struct fh_object_view v = bench_object(b, VIEW_PAGES);
    uint64_t copied = b->zone.pager.copied_bytes;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t begun = bench_cpu_ns();
        for (uint32_t k = 0; k < MANY; k++) {
            bench_must(fh_reader_open(&b->zone, &reader, &v.ref, 0, v.size), "read");
            fh_reader_release(&reader, 0);
            fh_reader_close(&reader);
        }
        ns[i] = (double)(bench_cpu_ns() - begun) / MANY / VIEW_PAGES;
    }
    bench_row(b, "E10", "view of 64 MiB opened and ended", bench_median(ns, n), "ns/page",
              BENCH_AT_MOST, 30, "payload bytes copied: %llu",
              (unsigned long long)(b->zone.pager.copied_bytes - copied));
    bench_close(b);
}

void bench_pager_memory(struct bench *b)
{
    if (bench_wants(b, "E4"))
        resident(b);
    if (bench_wants(b, "E5"))
        nothing(b);
    if (bench_wants(b, "E9"))
        clean(b);
    if (bench_wants(b, "E10"))
        views(b);
}

/* --- E12 --- */

void bench_pager_trace(struct bench *b, const char *path)
{
    /* S3-FIFO with a true ghost list, half a point allowed; known of the trace of the tree. */
    static const struct {
        double share, most;
    } rows[] = {{.1, .7470 + .005}, {.2, .6719 + .005}};
    struct trace t;

    if (!bench_wants(b, "E12"))
        return;
    bench_must(trace_load(&t, path), path);
    for (int i = 0; i < 2; i++) {
        uint32_t cache = (uint32_t)(rows[i].share * t.pages);
        double misses = (double)trace_farheap(&t, cache) / t.count,
               lru = (double)trace_lru(&t, cache) / t.count,
               belady = (double)trace_belady(&t, cache) / t.count;
        bench_row(b, "E12", i == 0 ? "miss ratio, cache of 10 %" : "miss ratio, cache of 20 %",
                  misses, "", BENCH_AT_MOST, rows[i].most, "LRU %.4f, Belady %.4f", lru, belady);
    }
    trace_free(&t);
}
