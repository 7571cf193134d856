/*
 * bench_phases: does memory move from one size to another? Objects of 100 B fill 60 % of it, 90 %
 * of them go at random, objects of 3 KiB of as many bytes come, 90 % of those go, and 100 B come
 * again. After each phase every store is asked how many bytes of frames it uses for the values that
 * live, and how many items it has lost.
 *
 *   farheap-bench-phases --memory MIB [--settle SECONDS] [--seed N] [--json FILE] [--svg FILE]
 *                        LABEL=URL...
 *
 * A store fills to 60 % by its own account, so one that keeps its books in the same memory gets
 * fewer values. Exit code 1: a farheap lost an item, or a value came back wrong.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/phases/report.h"
#include "tests/support/rng.h"

enum { FILL_PERCENT = 60, FREE_PERCENT = 90, LOOK_EVERY = 4096, SETTLE_S = 3, NAME_BYTES = 20 };

/* The objects of one fill. */
struct set {
    char letter;
    uint32_t size;
    uint64_t count;
    uint8_t *there; /* by number: stored, not deleted by us */
};

struct run {
    struct store *store;
    struct set sets[3];
    struct set *filling;
    struct rng random;
    uint64_t memory, refused, hits, wrong;
    unsigned settle_s;
    uint8_t body[STORE_WINDOW][LARGE_BYTES], buf[STORE_WINDOW][LARGE_BYTES];
};

static void body_make(uint8_t *body, const struct set *s, uint64_t i)
{
    memset(body, (int)(i * 31 + (unsigned char)s->letter), s->size);
    memcpy(body, &i, sizeof(i));
}

static void ended(void *ctx, struct fh_request *r)
{
    struct run *run = ctx;
    uint8_t expected[LARGE_BYTES];

    if (r->op == FH_OP_PUT) {
        run->filling->there[r->object] = r->status == FH_OK;
        run->refused += r->status != FH_OK;
    } else if (r->op == FH_OP_GET && r->status == FH_OK) {
        body_make(expected, run->filling, r->object);
        run->hits++;
        run->wrong +=
            r->got != run->filling->size || memcmp(expected, r->buf, run->filling->size) != 0;
    }
}

static void submit(struct run *run, enum fh_op op, struct set *s, uint64_t i)
{
    struct fh_request *r = store_next(run->store, ended, run);
    size_t place = (size_t)(r - run->store->requests);

    r->op = op;
    r->object = i;
    r->size = s->size;
    r->name_size = NAME_BYTES;
    snprintf(r->name, sizeof(r->name), "%c%0*" PRIu64, s->letter, NAME_BYTES - 1, i);
    r->body = run->body[place];
    r->buf = run->buf[place];
    if (op == FH_OP_PUT)
        body_make(run->body[place], s, i);
    run->filling = s;
    store_submit(run->store, r);
}

static uint64_t used_bytes(struct run *run)
{
    struct store_figures f = {0};

    store_drain(run->store, ended, run);
    if (!store_look(run->store, &f)) {
        fprintf(stderr, "phases: %s does not tell its figures\n", run->store->label);
        exit(1);
    }
    return f.frame_bytes;
}

/* Stores objects until `count` of them were tried, or the store uses its share of memory. */
static void fill(struct run *run, struct set *s, uint64_t count, bool to_share)
{
    uint64_t share = run->memory / 100 * FILL_PERCENT;

    s->there = calloc(count, 1);
    if (s->there == NULL)
        exit(1);
    for (s->count = 0; s->count < count; s->count++) {
        if (to_share && s->count % LOOK_EVERY == 0 && used_bytes(run) >= share)
            break;
        submit(run, FH_OP_PUT, s, s->count);
    }
    store_drain(run->store, ended, run);
}

static void free_most(struct run *run, struct set *s)
{
    for (uint64_t i = 0; i < s->count; i++) {
        if (!s->there[i] || !rng_percent(&run->random, FREE_PERCENT))
            continue;
        submit(run, FH_OP_DELETE, s, i);
        s->there[i] = 0;
    }
    store_drain(run->store, ended, run);
}

static uint64_t stored(const struct run *run)
{
    uint64_t items = 0;
    for (uint32_t k = 0; k < 3; k++)
        for (uint64_t i = 0; i < run->sets[k].count; i++)
            items += run->sets[k].there[i];
    return items;
}

static void look(struct run *run, uint32_t phase, struct row *row)
{
    uint64_t items = stored(run);

    sleep(run->settle_s); /* what a store does on its own when it is left alone */
    *row = (struct row){.store = run->store->label, .phase = phase, .refused = run->refused};
    if (!store_look(run->store, &row->figures)) {
        fprintf(stderr, "phases: %s does not tell its figures\n", run->store->label);
        exit(1);
    }
    row->lost = items > row->figures.items ? items - row->figures.items : 0;
    fprintf(stderr, "%s, %s: %.2f\n", run->store->label, phase_titles[phase], row_ratio(row));
}

/* Gets everything that should be there: what does not come was lost. */
static uint64_t read_back(struct run *run)
{
    uint64_t items = stored(run);

    for (uint32_t k = 0; k < 3; k++) {
        struct set *s = &run->sets[k];
        for (uint64_t i = 0; i < s->count; i++)
            if (s->there[i])
                submit(run, FH_OP_GET, s, i);
        store_drain(run->store, ended, run);
    }
    return items - run->hits;
}

/* All phases over one store; false when what must not happen did. */
static bool run_store(struct run *run, struct row rows[PHASES])
{
    struct set *sets = run->sets;
    uint64_t many = run->memory / SMALL_BYTES, missing;

    sets[0] = (struct set){.letter = 'a', .size = SMALL_BYTES};
    sets[1] = (struct set){.letter = 'b', .size = LARGE_BYTES};
    sets[2] = (struct set){.letter = 'c', .size = SMALL_BYTES};
    fill(run, &sets[0], many, true);
    look(run, 0, &rows[0]);
    uint64_t bytes = sets[0].count * SMALL_BYTES;
    free_most(run, &sets[0]);
    look(run, 1, &rows[1]);
    fill(run, &sets[1], bytes / LARGE_BYTES, false);
    look(run, 2, &rows[2]);
    free_most(run, &sets[1]);
    look(run, 3, &rows[3]);
    fill(run, &sets[2], bytes / SMALL_BYTES, false);
    look(run, 4, &rows[4]);
    missing = read_back(run);
    printf("%s: read back at the end: %" PRIu64 " values right, %" PRIu64 " wrong, %" PRIu64
           " missing\n",
           run->store->label, run->hits - run->wrong, run->wrong, missing);
    for (uint32_t k = 0; k < 3; k++)
        free(sets[k].there);
    return run->wrong == 0 && (missing == 0 || run->store->looker == NULL);
}

struct settings {
    uint64_t memory, seed;
    unsigned settle_s;
    const char *json, *svg;
};

static bool settings_parse(struct settings *g, int argc, char **argv)
{
    static const struct option options[] = {{"memory", 1, NULL, 'm'}, {"settle", 1, NULL, 's'},
                                            {"seed", 1, NULL, 'r'},   {"json", 1, NULL, 'j'},
                                            {"svg", 1, NULL, 'v'},    {0}};
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'm')
            g->memory = strtoull(optarg, NULL, 0) << 20;
        else if (c == 's')
            g->settle_s = (unsigned)strtoul(optarg, NULL, 0);
        else if (c == 'r')
            g->seed = strtoull(optarg, NULL, 0);
        else if (c == 'j')
            g->json = optarg;
        else if (c == 'v')
            g->svg = optarg;
        else
            return false;
    }
    return g->memory > 0 && optind < argc && argc - optind <= STORES_MAX;
}

static bool run_all(const struct settings *g, char **targets, uint32_t count, struct row *rows)
{
    static struct store store;
    bool ok = true;

    for (uint32_t i = 0; i < count; i++) {
        struct run *run = calloc(1, sizeof(*run));
        if (run == NULL || !store_open(&store, targets[i]))
            return false;
        run->store = &store;
        run->random.state = g->seed;
        run->memory = g->memory;
        run->settle_s = g->settle_s;
        ok = run_store(run, &rows[i * PHASES]) && ok;
        store_close(&store);
        free(run);
    }
    return ok;
}

static bool write_file(const char *path, const struct row *rows, uint32_t count, uint64_t memory)
{
    FILE *out = fopen(path, "w");

    if (out == NULL) {
        perror(path);
        return false;
    }
    if (memory > 0)
        report_json(rows, count, memory, out);
    else
        report_svg(rows, count, out);
    return fclose(out) == 0;
}

int main(int argc, char **argv)
{
    struct settings g = {.settle_s = SETTLE_S, .seed = 1};
    struct row rows[STORES_MAX * PHASES];

    if (!settings_parse(&g, argc, argv)) {
        fprintf(stderr, "usage: farheap-bench-phases --memory MIB [--settle SECONDS] [--seed N] "
                        "[--json FILE] [--svg FILE] LABEL=URL...\n");
        return 2;
    }
    uint32_t stores = (uint32_t)(argc - optind);
    bool ok = run_all(&g, argv + optind, stores, rows);
    if (ok)
        report_table(rows, stores * PHASES, stdout);
    if (ok && g.json != NULL)
        ok = write_file(g.json, rows, stores * PHASES, g.memory);
    if (ok && g.svg != NULL)
        ok = write_file(g.svg, rows, stores * PHASES, 0);
    return ok ? 0 : 1;
}
