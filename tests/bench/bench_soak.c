/*
 * bench_soak: the promise that an allocation never fails while memory is free, tried for long.
 *
 * One zone with a real swap file. Objects of 64 B to 4 GiB come and go, a little of each is
 * written, until 90 % of frames and slots are taken; from then on as much is freed as is written.
 * Every write must be taken while less than 90 % is; every page read must hold what was written to
 * it. Two mixes: sizes log-uniform over the whole span, and the bimodal one (91 % of objects below
 * 16 KiB, 99.84 % of the bytes in objects of 8 to 16 MiB). The books have a budget: what the process
 * has in memory outside its region may have grown since the start by no more than 24 B per page in
 * memory, 32 per page in swap, 64 per object, 0.1 % of the pages of arenas in use, and 4 MiB for
 * what does not grow (buffers of the swap's I/O, the cipher).
 *
 *   farheap-bench-soak [--ops N] [--seed N] [--memory MIB] [--swap MIB] [--mix wide|bimodal]
 *                      [--io uring|threads] [--dir DIR]
 *
 * Exit code 1: an allocation or a write was refused while less than 90 % was taken, a byte was
 * wrong, something was left, or the books exceeded their budget.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "alloc/bits.h"
#include "alloc/zone.h"
#include "tests/support/rng.h"

enum {
    OBJECTS_MAX = 200000,
    CHUNKS = 4,
    PROGRESS_EVERY = 500000,
    URING_DEPTH = 64,
    BOOKS_FIXED = 4 << 20
};
/* Of the books' budget. Sanitizers keep memory of their own beside ours: what is resident then says
 * nothing about books. */
#if defined(FH_DEEP_CHECKS) && FH_DEEP_CHECKS
static const double share_allowed = 1e9;
#else
static const double share_allowed = 1;
#endif

enum { LARGE_MIN = 8 << 20, LARGE_MAX = 16 << 20 };

/* A run of bytes of an object that was written: all of it with bytes made from (object, chunk,
 * version). */
struct chunk {
    uint64_t offset;
    uint32_t size, version;
};

struct object {
    struct fh_ref ref;
    uint64_t size;
    struct chunk chunks[CHUNKS];
    uint32_t count;
};

struct soak {
    struct fh_zone *zone;
    struct fh_io *io;
    struct rng random;
    struct object *objects;
    uint32_t live;
    bool bimodal;
    uint64_t ops, allocs, frees, writes, reads, refused_early, refused_full, wrong;
    uint64_t bytes, large_bytes; /* of all objects made; of them in those of LARGE_MIN and more */
    uint64_t start_ms, books_start, over_budget;
    double committed_max;
    double budget_share_max; /* how much of the books' budget was used at most */
};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void random_bytes(void *ctx, void *buf, size_t size)
{
    (void)ctx;
    if (getrandom(buf, size, 0) != (ssize_t)size)
        abort();
}

static void call_done(struct fh_call *call)
{
    (void)call;
}

/* Lets the zone work until the call is over, and says what it came to. */
static int soak_wait(struct soak *s, struct fh_call *call, int rc)
{
    if (rc != -EINPROGRESS)
        return rc;
    while (call->state != FH_CALL_IDLE) {
        bool more = fh_zone_turn(s->zone, now_ms());
        struct pollfd event = {.fd = s->io->event_fd, .events = POLLIN};
        if (!more && call->state != FH_CALL_IDLE)
            (void)poll(&event, 1, 10);
    }
    return call->rc;
}

static double soak_committed(const struct soak *s)
{
    struct fh_pager_stats stats;
    fh_pager_stats(&s->zone->pager, &stats);
    return (double)stats.live / (double)stats.capacity;
}

static uint64_t soak_size(struct soak *s)
{
    if (!s->bimodal)
        return rng_between(&s->random, 64, 64 + rng_log_uniform(&s->random, 32));
    if (rng_below(&s->random, 100) < 91)
        return 8 * rng_log_uniform(&s->random, 11) - 1; /* 7 B to 16 KiB, 2 KiB in the mean */
    return rng_between(&s->random, LARGE_MIN, LARGE_MAX);
}

/* The bytes of a chunk, the same whenever they are made. */
static void chunk_bytes(uint64_t key, const struct chunk *c, uint8_t *out)
{
    struct rng r = {key ^ c->offset ^ ((uint64_t)c->version << 32)};
    for (uint32_t i = 0; i < c->size; i += 8) {
        uint64_t word = rng_next(&r);
        memcpy(out + i, &word, fh_min_u64(8, c->size - i));
    }
}

static void soak_alloc(struct soak *s)
{
    struct fh_object_view view;
    struct object *o = &s->objects[s->live];
    uint64_t size = soak_size(s);
    int rc = fh_zone_alloc(s->zone, 1, size, 0, &view);

    s->allocs++;
    s->bytes += size;
    s->large_bytes += size >= LARGE_MIN ? size : 0;
    if (rc != 0) {
        s->refused_early++; /* an allocation costs addresses: it is never to be refused */
        fprintf(stderr, "soak: alloc refused: %s\n", strerror(-rc));
        return;
    }
    *o = (struct object){.ref = view.ref, .size = view.size};
    s->live++;
}

static void soak_write(struct soak *s, struct object *o)
{
    static struct fh_mutation m;
    static uint8_t body[FH_WRITE_MAX];
    double before = soak_committed(s);
    struct chunk *c = &o->chunks[o->count % CHUNKS];
    uint64_t room = o->size / CHUNKS; /* each chunk has a part of the object to itself */

    if (room == 0)
        return;
    c->size =
        (uint32_t)rng_between(&s->random, 1, fh_min_u64(room, s->bimodal ? FH_WRITE_MAX : 16384));
    c->offset = (o->count % CHUNKS) * room + rng_below(&s->random, room - c->size + 1);
    c->version = o->count++;
    chunk_bytes(o->ref.key, c, body);
    m = (struct fh_mutation){
        .kind = FH_MUTATE_WRITE, .ref = o->ref, .offset = c->offset, .size = c->size, .body = body};
    m.call.done = call_done;
    int rc = soak_wait(s, &m.call, fh_zone_mutate(s->zone, &m));
    s->writes++;
    if (rc == 0)
        return;
    c->size = 0;
    if (rc == -ENOSPC && before >= 0.9)
        s->refused_full++;
    else
        s->refused_early++;
}

static void soak_verify(struct soak *s, const struct object *o, const struct chunk *c)
{
    static struct fh_reader r;
    static uint8_t expected[FH_WRITE_MAX];
    uint64_t at = 0;

    if (c->size == 0)
        return;
    chunk_bytes(o->ref.key, c, expected);
    r.call.done = call_done;
    int rc = soak_wait(s, &r.call, fh_reader_open(s->zone, &r, &o->ref, c->offset, c->size));
    s->reads++;
    for (uint32_t i = 0; rc == 0 && i < r.iov_count; i++) {
        s->wrong += memcmp(r.iov[i].iov_base, expected + at, r.iov[i].iov_len) != 0;
        at += r.iov[i].iov_len;
    }
    s->wrong += rc != 0 || at != c->size;
    if (rc == 0) {
        fh_reader_release(&r, r.window_bytes);
        fh_reader_close(&r);
    }
}

static void soak_free(struct soak *s, uint32_t i)
{
    struct object *o = &s->objects[i];

    for (uint32_t k = 0; k < CHUNKS; k++)
        soak_verify(s, o, &o->chunks[k]);
    s->wrong += fh_zone_free(s->zone, &o->ref) != 0;
    *o = s->objects[--s->live];
    s->frees++;
}

static void soak_step(struct soak *s)
{
    double committed = soak_committed(s);
    uint64_t dice = rng_below(&s->random, 100);

    s->ops++;
    if (committed > s->committed_max)
        s->committed_max = committed;
    if (s->live > 0 && (committed >= 0.895 || s->live == OBJECTS_MAX || dice < 12))
        soak_free(s, (uint32_t)rng_below(&s->random, s->live));
    else if (s->live == 0 || dice < 30)
        soak_alloc(s);
    else if (dice < 80)
        soak_write(s, &s->objects[rng_below(&s->random, s->live)]);
    else {
        const struct object *o = &s->objects[rng_below(&s->random, s->live)];
        soak_verify(s, o, &o->chunks[rng_below(&s->random, CHUNKS)]);
    }
    if (s->ops % 16 == 0)
        (void)fh_zone_turn(s->zone, now_ms());
}

static uint64_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long size = 0, resident = 0;

    if (f && fscanf(f, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return (uint64_t)resident * 4096;
}

/* What the books take beyond the start, as a share of what they may. */
static double soak_budget_share(const struct soak *s, const struct fh_zone_stats *z)
{
    const struct fh_pager_stats *p = &z->pager;
    double grown = (double)resident_bytes() - (double)(p->frames_total << FH_PAGE_SHIFT) -
                   (double)s->books_start;
    double budget = BOOKS_FIXED + 24 * (double)p->frames_total + 32 * (double)p->swap.slots_total +
                    64 * (double)z->objects +
                    0.001 * (double)(z->heap.space.used_pages << FH_PAGE_SHIFT);
    return grown > 0 ? grown / budget : 0;
}

static void soak_report(struct soak *s, const char *when)
{
    struct fh_zone_stats z;
    double share;

    fh_zone_stats(s->zone, &z);
    share = s->live > 0 ? soak_budget_share(s, &z) : 0; /* what malloc keeps is no book */
    printf("%s %" PRIu64 " ops in %" PRIu64
           " s: %u objects of %.1f GiB, %.2f %% of the bytes in large ones, committed %.1f %% (at "
           "most %.1f %%), arenas %" PRIu64 ", segments %" PRIu64
           ", books %.1f MiB, %.0f %% of their budget; refused early %" PRIu64
           ", when full %" PRIu64 ", wrong %" PRIu64 "\n",
           when, s->ops, (now_ms() - s->start_ms) / 1000, s->live,
           (double)z.object_bytes / (1 << 30), 100 * (double)s->large_bytes / (double)s->bytes,
           100 * soak_committed(s), 100 * s->committed_max, z.heap.space.arenas_open,
           z.heap.space.segments,
           ((double)resident_bytes() - (double)(z.pager.frames_total << FH_PAGE_SHIFT) -
            (double)s->books_start) /
               (1 << 20),
           100 * share, s->refused_early, s->refused_full, s->wrong);
    fflush(stdout);
    s->over_budget += share > share_allowed;
    if (share > s->budget_share_max)
        s->budget_share_max = share;
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 0);
}

struct settings {
    uint64_t ops, seed, memory, swap;
    const char *dir;
    bool bimodal, threads;
};

static int settings_parse(struct settings *g, int argc, char **argv)
{
    static const struct option options[] = {{"ops", 1, NULL, 'o'},    {"seed", 1, NULL, 's'},
                                            {"memory", 1, NULL, 'm'}, {"swap", 1, NULL, 'w'},
                                            {"mix", 1, NULL, 'x'},    {"io", 1, NULL, 'i'},
                                            {"dir", 1, NULL, 'd'},    {0}};
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'o':
            g->ops = number(optarg);
            break;
        case 's':
            g->seed = number(optarg);
            break;
        case 'm':
            g->memory = number(optarg);
            break;
        case 'w':
            g->swap = number(optarg);
            break;
        case 'x':
            g->bimodal = strcmp(optarg, "bimodal") == 0;
            break;
        case 'i':
            g->threads = strcmp(optarg, "threads") == 0;
            break;
        case 'd':
            g->dir = optarg;
            break;
        default:
            return 2;
        }
    }
    return 0;
}

/* The ring of the kernel where it is allowed, as the server does; it is faster by a half here. */
static int soak_open_io(struct soak *s, bool threads)
{
    if (!threads && fh_io_uring_create(URING_DEPTH, &s->io) == 0)
        return 0;
    return fh_io_threads_create(4, &s->io);
}

static int soak_open(struct soak *s, const struct settings *g)
{
    s->random.state = g->seed;
    s->bimodal = g->bimodal;
    s->start_ms = now_ms();
    s->objects = calloc(OBJECTS_MAX, sizeof(*s->objects));
    s->zone = malloc(sizeof(*s->zone));
    if (!s->objects || !s->zone || soak_open_io(s, g->threads) != 0)
        return -1;
    memset(s->objects, 1, OBJECTS_MAX * sizeof(*s->objects)); /* in memory from the start */
    int rc = fh_zone_init(s->zone,
                          &(struct fh_zone_opts){.memory_bytes = g->memory << 20,
                                                 .swap_bytes = g->swap << 20,
                                                 .swap_dir = g->dir,
                                                 .io = s->io,
                                                 .random = random_bytes},
                          now_ms());
    s->books_start = resident_bytes();
    return rc;
}

static void soak_free_all(struct soak *s)
{
    while (s->live > 0)
        soak_free(s, s->live - 1);
    s->wrong += !fh_zone_check(s->zone, stderr);
    soak_report(s, "all freed:");
    s->wrong +=
        s->zone->objects.count != 0 || s->zone->pager.frames.free != s->zone->pager.frames.total;
}

static int soak_close(struct soak *s)
{
    printf("books: at most %.0f %% of their budget\n", 100 * s->budget_share_max);
    fh_zone_fini(s->zone);
    fh_io_destroy(s->io);
    free(s->zone);
    free(s->objects);
    return s->wrong != 0 || s->refused_early != 0 || s->over_budget != 0;
}

int main(int argc, char **argv)
{
    struct settings g = {.ops = 300000, .seed = 1, .memory = 32, .swap = 256, .dir = "/var/tmp"};
    static struct soak s;

    if (settings_parse(&g, argc, argv) != 0)
        return 2;
    if (soak_open(&s, &g) != 0) {
        fprintf(stderr, "soak: cannot start\n");
        return 1;
    }
    printf("soak: %s sizes, %" PRIu64 " MiB of memory, %" PRIu64
           " MiB of swap, io %s, seed %" PRIu64 "\n",
           g.bimodal ? "bimodal" : "wide", g.memory, g.swap, s.io->backend->name, g.seed);
    while (s.ops < g.ops) {
        soak_step(&s);
        if (s.ops % PROGRESS_EVERY == 0)
            soak_report(&s, "after");
    }
    soak_report(&s, "end:");
    soak_free_all(&s);
    return soak_close(&s);
}
