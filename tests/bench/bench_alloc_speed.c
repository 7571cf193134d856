/*
 * Theory.  All sides of a comparison take turns, run by run, on one core; a figure is the median
 * of its runs.
 *
 * Pages: a side is filled, then freed at random to a share of the arena. From there on a batch of
 * random live blocks is freed, and drawn sizes are taken until the share is reached again. The
 * mean is the time of whole batches; for the 99th percentile each call is timed by itself, with
 * the clock's own time in it. Nobody touches the memory; but mimalloc keeps its free lists inside
 * free blocks and so touches it itself.
 *
 * Objects: pairs back to back, and batches of BATCH taken, then freed; in processor time, so that a
 * busy machine shows in caches only.
 */
#include "tests/bench/bench_alloc_speed.h"

#include <sched.h>

#include "tests/bench/bench_alloc_run.h"
#include "tests/bench/bench_alloc_sides.h"
#include "tests/support/rng.h"

enum {
    SIDES_MAX = 8,
    LIVE_MAX = 1 << 18,
    PAGE = 4096,
    BATCH = 1000,
    PAIRS = 500000,
    SAMPLES = 100000 /* calls timed one by one */
};

struct cost {
    double take, give, take_p99, give_p99; /* ns */
};

struct load {
    const char *title;
    uint32_t size_bits; /* sizes are log-uniform 1..2^this granules */
    uint32_t percent;   /* of the arena in use */
    uint32_t batch, rounds;
    double take_max, give_max, p99_max; /* targets; 0: none */
};

struct live {
    uint64_t what, bytes;
};

struct stream {
    struct bench_side *side;
    const struct load *load;
    struct rng r;
    struct live *live;
    uint32_t lives;
    uint64_t used, target; /* bytes */
};

static uint64_t stream_size(struct stream *s)
{
    return rng_log_uniform(&s->r, s->load->size_bits) * PAGE;
}

static bool stream_take(struct stream *s, uint64_t size)
{
    struct live *live = &s->live[s->lives];
    live->bytes = s->side->take(s->side->state, size, &live->what);
    s->used += live->bytes;
    s->lives += live->bytes != 0;
    return live->bytes != 0;
}

static void stream_give(struct stream *s)
{
    const struct live *live = &s->live[--s->lives];
    s->side->give(s->side->state, live->what);
    s->used -= live->bytes;
}

/* Brings random live blocks to the end of the array, in the order they will be freed. */
static void stream_shuffle(struct stream *s, uint32_t count)
{
    for (uint32_t last = s->lives; last-- > s->lives - count;) {
        uint32_t i = (uint32_t)rng_below(&s->r, last + 1);
        struct live live = s->live[i];
        s->live[i] = s->live[last];
        s->live[last] = live;
    }
}

static void stream_fill(struct stream *s)
{
    while (s->used < SIDE_ARENA_BYTES && s->lives < LIVE_MAX && stream_take(s, stream_size(s)))
        ;
    while (s->used > s->target) {
        stream_shuffle(s, 1);
        stream_give(s);
    }
}

/* Mean ns over all rounds. */
static struct cost stream_means(struct stream *s)
{
    static uint64_t sizes[4 * BATCH];
    uint32_t count = s->load->batch, taken = 0, given = 0;
    struct cost c = {0};

    for (uint32_t round = 0; round < s->load->rounds; round++) {
        stream_shuffle(s, count);
        for (uint32_t i = 0; i < 4 * count; i++)
            sizes[i] = stream_size(s);
        double start = bench_now_ns();
        for (uint32_t i = 0; i < count; i++)
            stream_give(s);
        double middle = bench_now_ns();
        uint32_t i = 0;
        while (i < 4 * count && s->used < s->target)
            (void)stream_take(s, sizes[i++]); /* what does not fit is skipped, and counts */
        c.take += bench_now_ns() - middle;
        c.give += middle - start;
        taken += i;
        given += count;
    }
    c.take /= taken;
    c.give /= given;
    return c;
}

static void stream_tails(struct stream *s, struct cost *c)
{
    static double takes[SAMPLES], gives[SAMPLES];
    uint32_t taken = 0, given = 0;

    while (taken < SAMPLES && given < SAMPLES) {
        bool take = s->used < s->target;
        uint64_t size = stream_size(s);
        if (!take)
            stream_shuffle(s, 1);
        double start = bench_now_ns();
        if (take)
            (void)stream_take(s, size);
        else
            stream_give(s);
        double ns = bench_now_ns() - start;
        *(take ? &takes[taken++] : &gives[given++]) = ns;
    }
    c->take_p99 = bench_at(takes, taken, 0.99);
    c->give_p99 = bench_at(gives, given, 0.99);
}

static struct cost pages_run(struct bench_side *side, const struct load *load, uint64_t seed)
{
    struct stream s = {.side = side,
                       .load = load,
                       .r = {seed},
                       .target = (uint64_t)SIDE_ARENA_BYTES / 100 * load->percent};
    s.live = bench_room(LIVE_MAX + 1, sizeof(*s.live));
    side->open(side);
    stream_fill(&s);
    struct cost c = stream_means(&s);
    stream_tails(&s, &c);
    while (s.lives > 0)
        stream_give(&s);
    side->close(side);
    free(s.live);
    return c;
}

static struct cost medians(const struct cost runs[BENCH_RUNS])
{
    double v[4][BENCH_RUNS];
    for (uint32_t i = 0; i < BENCH_RUNS; i++) {
        v[0][i] = runs[i].take;
        v[1][i] = runs[i].give;
        v[2][i] = runs[i].take_p99;
        v[3][i] = runs[i].give_p99;
    }
    return (struct cost){bench_at(v[0], BENCH_RUNS, 0.5), bench_at(v[1], BENCH_RUNS, 0.5),
                         bench_at(v[2], BENCH_RUNS, 0.5), bench_at(v[3], BENCH_RUNS, 0.5)};
}

static bool within(double value, double max)
{
    return max <= 0 || value <= max;
}

static void pages_print(const struct bench_side *side, const struct load *l, struct cost c,
                        FILE *out)
{
    bool pass = within(c.take, l->take_max) && within(c.give, l->give_max) &&
                within(c.take_p99, l->p99_max) && within(c.give_p99, l->p99_max);
    bool judged = side->system && l->take_max > 0;
    fprintf(out, "  %-34s %8.1f %8.1f %9.0f %9.0f   %s\n", side->name, c.take, c.give, c.take_p99,
            c.give_p99,
            !judged ? ""
            : pass  ? "PASS"
                    : "miss");
}

static void pages_compare(const struct load *load, struct bench_side *sides, uint32_t count,
                          FILE *out)
{
    static struct cost costs[SIDES_MAX][BENCH_RUNS];
    for (uint32_t run = 0; run < BENCH_RUNS; run++)
        for (uint32_t i = 0; i < count; i++)
            costs[i][run] = pages_run(&sides[i], load, run);
    fprintf(out, "\n%-36s %8s %8s %9s %9s\n", load->title, "alloc", "free", "alloc p99",
            "free p99");
    for (uint32_t i = 0; i < count; i++)
        pages_print(&sides[i], load, medians(costs[i]), out);
}

/* --- objects --- */

static double objects_pairs(struct bench_side *side, uint64_t size)
{
    uint64_t what;
    double start = bench_cpu_ns();
    for (uint32_t i = 0; i < PAIRS; i++) {
        bench_must(side->take(side->state, size, &what) ? 0 : -12);
        side->give(side->state, what);
    }
    return (bench_cpu_ns() - start) / PAIRS;
}

static double objects_batches(struct bench_side *side, uint64_t size)
{
    static uint64_t what[BATCH];
    double start = bench_cpu_ns();
    for (uint32_t round = 0; round < PAIRS / BATCH; round++) {
        for (uint32_t i = 0; i < BATCH; i++)
            bench_must(side->take(side->state, size, &what[i]) ? 0 : -12);
        for (uint32_t i = 0; i < BATCH; i++)
            side->give(side->state, what[i]);
    }
    return (bench_cpu_ns() - start) / PAIRS;
}

struct object_load {
    const char *title;
    uint64_t size;
    double (*work)(struct bench_side *, uint64_t size);
};

static double objects_run(struct bench_side *side, const struct object_load *load)
{
    side->open(side);
    (void)load->work(side, load->size); /* warm */
    double ns = load->work(side, load->size);
    side->close(side);
    return ns;
}

/* sides: bare slab, slab with record, and those of the rivals that are there, mimalloc first. */
static void objects_compare(const struct object_load *load, struct bench_side *sides,
                            uint32_t count, FILE *out)
{
    double ns[SIDES_MAX][BENCH_RUNS], median[SIDES_MAX];
    for (uint32_t run = 0; run < BENCH_RUNS; run++)
        for (uint32_t i = 0; i < count; i++)
            ns[i][run] = objects_run(&sides[i], load);
    for (uint32_t i = 0; i < count; i++)
        median[i] = bench_at(ns[i], BENCH_RUNS, 0.5);

    double rival = count > 2 ? median[2] : 0;
    fprintf(out, "\n%-36s %8s %8s\n", load->title, "a pair", "ratio");
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, "  %-34s %8.1f ", sides[i].name, median[i]);
        if (rival > 0)
            fprintf(out, "%8.2f", median[i] / rival);
        if (i == 0 && rival > 0)
            fprintf(out, "   %s", median[0] <= 2 * rival ? "PASS" : "miss");
        if (i == 1)
            fprintf(out, "   %s", median[1] <= 80 ? "PASS" : "miss");
        fprintf(out, "\n");
    }
}

/* --- what the books cost --- */

static void books_of_buddy(struct bench_side *side, const struct load *load, FILE *out)
{
    struct stream s = {.side = side,
                       .load = load,
                       .r = {1},
                       .target = (uint64_t)SIDE_ARENA_BYTES / 100 * load->percent};
    s.live = bench_room(LIVE_MAX + 1, sizeof(*s.live));
    side->open(side);
    stream_fill(&s);
    side->books(side->state, s.used, out);
    side->close(side);
    free(s.live);
}

/* Stays on the core it is on. */
static void pin(FILE *out)
{
    cpu_set_t set;
    int core = sched_getcpu();
    CPU_ZERO(&set);
    if (core >= 0)
        CPU_SET((size_t)core, &set);
    if (core < 0 || sched_setaffinity(0, sizeof(set), &set) != 0)
        fprintf(out, "could not stay on one core\n");
}

static uint32_t add_rivals(struct bench_side *sides, uint32_t count)
{
    for (uint32_t i = 0; i < SIDE_RIVALS; i++)
        count += side_rival(i, &sides[count]) ? 1 : 0;
    return count;
}

static void speed_pages(FILE *out)
{
    static const struct load single[] = {
        {"4 KiB, 50 % full; target 60/50", 0, 50, BATCH, 300, 60, 50, 0},
        {"4 KiB, 99 % full; target 150/250", 0, 99, BATCH, 300, 150, 250, 0},
    };
    static const struct load mixed = {
        "1..512 x 4 KiB, 80 % full; 150, 1000", 9, 80, 64, 3000, 150, 150, 1000};
    struct bench_side sides[SIDES_MAX] = {side_buddy(&fh_buddy_binary)};
    const struct fh_buddy_system *system;
    uint32_t count;

    for (uint32_t i = 0; i < 2; i++)
        pages_compare(&single[i], sides, add_rivals(sides, 1), out);
    for (count = 0; (system = fh_buddy_system_at(count)) != NULL; count++)
        sides[count] = side_buddy(system);
    pages_compare(&mixed, sides, add_rivals(sides, count), out);
    fprintf(out, "\nbooks of a buddy at 80 %% full; target 0.1 %%\n");
    for (uint32_t i = 0; i < count; i++)
        books_of_buddy(&sides[i], &mixed, out);
}

static void speed_objects(FILE *out)
{
    static const struct object_load loads[] = {
        {"64 B, back to back; target 2x, 80", 64, objects_pairs},
        {"64 B, batches of 1000", 64, objects_batches},
        {"2 KiB, back to back", 2048, objects_pairs},
        {"2 KiB, batches of 1000", 2048, objects_batches},
    };
    struct bench_side sides[SIDES_MAX] = {side_slab(), side_object()};
    uint32_t count = add_rivals(sides, 2);
    for (uint32_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
        objects_compare(&loads[i], sides, count, out);
}

void speed_run(char **argv, FILE *out)
{
    side_load_rivals(argv, out);
    pin(out);
    fprintf(out, "ns per call, medians of %d runs, all sides in turns on one core\n", BENCH_RUNS);
    speed_pages(out);
    speed_objects(out);
}
