/* The zone under measurement, and fio on the file it swaps to. */
#include "tests/bench/bench_pager.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

void bench_must(int rc, const char *what)
{
    if (rc == 0)
        return;
    fflush(stdout);
    fprintf(stderr, "bench_pager: %s: %s\n", what, strerror(-rc));
    exit(1);
}

/* --- clocks and numbers --- */

uint64_t bench_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t bench_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, uint32_t count)
{
    qsort(values, count, sizeof(values[0]), by_double);
    return values[count / 2];
}

uint64_t bench_percentile(uint64_t *values, uint32_t count, double share)
{
    qsort(values, count, sizeof(values[0]), by_number);
    uint32_t at = (uint32_t)(share * count);
    return values[at < count ? at : count - 1];
}

/* --- the zone --- */

static void system_random(void *ctx, void *buf, size_t size)
{
    (void)ctx;
    if (getrandom(buf, size, 0) != (ssize_t)size)
        bench_must(-EIO, "getrandom");
}

bool bench_open(struct bench *b, const char *backend, uint64_t memory, uint64_t swap)
{
    bool uring = strcmp(backend, "io_uring") == 0;
    int rc = uring ? fh_io_uring_create(128, &b->io) : fh_io_threads_create(16, &b->io);

    if (uring && (rc == -EPERM || rc == -ENOSYS))
        return false;
    bench_must(rc, backend);
    b->random = (struct rng){1};
    b->now_ms = bench_now_ns() / 1000000;
    bench_must(fh_zone_init(&b->zone,
                            &(struct fh_zone_opts){.memory_bytes = memory,
                                                   .swap_bytes = swap,
                                                   .swap_dir = b->opts.dir,
                                                   .io = b->io,
                                                   .random = system_random},
                            b->now_ms),
               "zone");
    return true;
}

void bench_close(struct bench *b)
{
    fh_zone_fini(&b->zone);
    fh_io_destroy(b->io);
}

void bench_turn(struct bench *b, bool may_wait)
{
    struct pollfd ready = {.fd = b->io->event_fd, .events = POLLIN};

    fh_io_flush(b->io);
    if (may_wait && b->io->in_flight > 0)
        (void)poll(&ready, 1, 1000);
    uint64_t begun = bench_now_ns();
    b->now_ms = begun / 1000000;
    (void)fh_zone_turn(&b->zone, b->now_ms);
    if (b->turns && b->turns_count < b->turns_max)
        b->turns[b->turns_count++] = bench_now_ns() - begun;
}

static void page_write(struct bench *b, const struct fh_object_view *v, uint64_t page)
{
    static struct fh_mutation m;
    uint64_t bytes[FH_PAGE_SIZE / sizeof(uint64_t)];

    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++)
        bytes[i] = i + 1;
    bytes[0] = rng_next(&b->random);
    m = (struct fh_mutation){.kind = FH_MUTATE_WRITE,
                             .ref = v->ref,
                             .offset = page * FH_PAGE_SIZE,
                             .size = FH_PAGE_SIZE,
                             .body = bytes};
    int rc = fh_zone_mutate(&b->zone, &m);
    while (rc == -EINPROGRESS && m.call.state != FH_CALL_IDLE)
        bench_turn(b, true);
    bench_must(rc == -EINPROGRESS ? m.call.rc : rc, "write");
}

void bench_write(struct bench *b, const struct fh_object_view *v, bool random)
{
    uint64_t pages = v->size / FH_PAGE_SIZE;
    uint64_t stride =
        random ? pages / 2 + 1 : 1; /* odd and without a common divisor: each page once */

    while (random && (stride % 2 == 0 || pages % stride == 0))
        stride++;
    for (uint64_t i = 0, page = 0; i < pages; i++, page = (page + stride) % pages) {
        page_write(b, v, page);
        if (i % 64 == 0)
            bench_turn(b, false);
    }
}

void bench_write_some(struct bench *b, const struct fh_object_view *v, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        page_write(b, v, rng_below(&b->random, v->size / FH_PAGE_SIZE));
        if (i % 16 == 0)
            bench_turn(b, false);
    }
}

struct fh_object_view bench_object(struct bench *b, uint64_t pages)
{
    struct fh_object_view v;

    bench_must(fh_zone_alloc(&b->zone, 1, pages * FH_PAGE_SIZE, 0, &v), "alloc");
    bench_write(b, &v, false);
    return v;
}

struct bench_time bench_evict(struct bench *b)
{
    struct fh_reclaim *r = &b->zone.reclaim;
    uint32_t low = r->low, high = r->high;
    uint64_t begun = bench_now_ns(), used = bench_cpu_ns();

    while (b->zone.pager.mapped > 0) {
        r->low = r->high = b->zone.pager.frames.total; /* the zone's own turn sets them back */
        r->running = true;
        b->now_ms = bench_now_ns() / 1000000;
        uint64_t before = b->zone.pager.mapped;
        bench_turn(b, false);
        if (b->zone.pager.mapped == before && b->io->in_flight > 0)
            bench_turn(b, true);
    }
    struct bench_time time = {(double)(bench_now_ns() - begun) * 1e-9,
                              (double)(bench_cpu_ns() - used) * 1e-9};
    r->low = low;
    r->high = high;
    r->running = false;
    return time;
}

/* --- readers --- */

struct flight {
    struct fh_reader reader;
    uint64_t begun;
    bool over;
};

static struct flight flights[BENCH_DEPTH_MAX];

static void flight_done(struct fh_call *call)
{
    FH_CONTAINER_OF(call, struct flight, reader.call)->over = true;
}

static void flight_begin(struct bench *b, struct flight *f, const struct fh_object_view *v)
{
    uint64_t page = rng_below(&b->random, v->size / FH_PAGE_SIZE);

    f->over = false;
    f->reader.call = (struct fh_call){.done = flight_done};
    f->begun = bench_now_ns();
    int rc = fh_reader_open(&b->zone, &f->reader, &v->ref, page * FH_PAGE_SIZE, FH_PAGE_SIZE);
    if (rc != -EINPROGRESS)
        bench_must(rc, "read");
    f->over = rc == 0;
}

static void flight_end(struct flight *f)
{
    bench_must(f->reader.call.rc, "read");
    fh_reader_release(&f->reader, FH_PAGE_SIZE);
    fh_reader_close(&f->reader);
}

struct bench_time bench_read_pages(struct bench *b, const struct fh_object_view *v, uint32_t depth,
                                   uint32_t count, uint64_t *ns)
{
    uint32_t begun = 0, ended = 0;
    uint64_t start = bench_now_ns(), used = bench_cpu_ns();

    for (; begun < depth && begun < count; begun++)
        flight_begin(b, &flights[begun], v);
    while (ended < count) {
        bool none = true;
        for (uint32_t i = 0; i < depth && ended < count; i++) {
            if (!flights[i].over)
                continue;
            none = false;
            flight_end(&flights[i]);
            if (ns)
                ns[ended] = bench_now_ns() - flights[i].begun;
            flights[i].over = false;
            ended++;
            if (begun < count) {
                flight_begin(b, &flights[i], v);
                begun++;
            }
        }
        if (ended < count)
            bench_turn(b, none);
    }
    return (struct bench_time){(double)(bench_now_ns() - start) * 1e-9,
                               (double)(bench_cpu_ns() - used) * 1e-9};
}

/* --- fio --- */

/* Its latencies are whole ones, as ours: the submission of a request counts. With io_uring it is a quarter of all where
 * the disk is a virtual one, and fio's own default leaves it out. */

static double number_at(json_t *doc, const char *first, const char *second)
{
    json_t *value = json_object_get(doc, first);
    return json_number_value(second ? json_object_get(value, second) : value);
}

bool bench_fio(const struct bench *b, const char *rw, const char *block, uint32_t depth,
               struct bench_fio *out)
{
    char command[512];
    bool reads = strcmp(rw, "randread") == 0;

    if (!b->opts.has_fio)
        return false;
    bool uring = strcmp(b->io->backend->name, "io_uring") == 0;
    uint32_t threads = depth > 16 ? 16 : depth; /* as many as the thread pool has */
    int size = snprintf(command, sizeof command,
                        "fio --name=x --filename=/proc/%d/fd/%d --size=%llu --rw=%s --bs=%s "
                        "--direct=%d --runtime=1 "
                        "--time_based --allow_file_create=0 --lat_percentiles=1 "
                        "--clat_percentiles=0 --output-format=json",
                        (int)getpid(), b->zone.pager.swap.fd,
                        (unsigned long long)b->zone.opts.swap_bytes / 4, rw, block,
                        b->zone.pager.swap.stats.direct);
    if (uring)
        snprintf(command + size, sizeof command - (size_t)size,
                 " --ioengine=io_uring --iodepth=%u 2>/dev/null", depth);
    else
        snprintf(command + size, sizeof command - (size_t)size,
                 " --ioengine=psync --thread --numjobs=%u --group_reporting 2>/dev/null", threads);
    FILE *in = popen(command, "r");
    if (!in)
        return false;
    json_t *doc = json_loadf(in, JSON_DISABLE_EOF_CHECK, NULL);
    int status = pclose(in);
    json_t *side =
        json_object_get(json_array_get(json_object_get(doc, "jobs"), 0), reads ? "read" : "write");
    json_t *percentiles = json_object_get(json_object_get(side, "lat_ns"), "percentile");
    *out = (struct bench_fio){.iops = number_at(side, "iops", NULL),
                              .bytes_s = number_at(side, "bw_bytes", NULL),
                              .p50_us = number_at(percentiles, "50.000000", NULL) / 1000,
                              .p99_us = number_at(percentiles, "99.000000", NULL) / 1000};
    json_decref(doc);
    return status == 0 && out->iops > 0;
}
