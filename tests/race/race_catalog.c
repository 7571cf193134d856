/*
 * The catalog's thread under load: many changes in flight, submitted while it commits others and from within `done`,
 * figures read meanwhile, a close that still has changes to finish. A plain program, since ThreadSanitizer does not
 * start under Criterion.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/catalog.h"

enum { CHANGES = 64, STEPS = 5, ROUNDS = 6 };

static struct fh_catalog *catalog;
static struct fh_catalog_change changes[CHANGES];
static unsigned steps[CHANGES], over, found;
static const unsigned sum = 9;

static void require(int truth, const char *what)
{
    if (truth)
        return;
    fprintf(stderr, "broken: %s\n", what);
    exit(1);
}

static uint64_t id_of(size_t i, unsigned step)
{
    return 1 + i * STEPS + step;
}

static void change_done(struct fh_catalog_change *);

/* Each step of a change puts one object in the place of that of the step before. */
static void submit(size_t i)
{
    changes[i] = (struct fh_catalog_change){.puts = true,
                                            .record = {.id = id_of(i, steps[i]),
                                                       .version = 1,
                                                       .size = 10,
                                                       .name = "name",
                                                       .name_size = 4,
                                                       .sum_count = 1,
                                                       .sums = &sum},
                                            .removes = steps[i] > 0 ? id_of(i, steps[i] - 1) : 0,
                                            .done = change_done};
    fh_catalog_submit(catalog, &changes[i]);
}

static void change_done(struct fh_catalog_change *change)
{
    size_t i = (size_t)(change - changes);

    require(change->result == 0, "a change succeeds");
    if (++steps[i] < STEPS)
        submit(i);
    else
        over++;
}

static int see(void *ctx, const struct fh_catalog_record *r)
{
    (void)ctx;
    require((r->id - 1) % STEPS == STEPS - 1, "what went is gone");
    found++;
    return 0;
}

static void run_round(const char *path)
{
    const struct fh_catalog_opts opts = {.path = path, .zones = 1};
    struct fh_catalog_stats stats;
    uint64_t bad = 0;

    require(fh_catalog_open(&opts, &catalog) == 0, "it opens");
    found = over = 0;
    require(fh_catalog_load(catalog, see, NULL, &bad) == 0 && bad == 0, "it loads");
    require(found == 0 || found == CHANGES, "all or none are there");
    require(fh_catalog_start(catalog) == 0, "its thread starts");
    struct pollfd readable = {.fd = fh_catalog_event_fd(catalog), .events = POLLIN};
    memset(steps, 0, sizeof(steps));
    for (size_t i = 0; i < CHANGES; i++)
        submit(i);
    while (over < CHANGES) {
        require(poll(&readable, 1, 20000) == 1, "something is committed");
        fh_catalog_stats(catalog, &stats);
        require(!stats.broken && !fh_catalog_is_broken(catalog), "it works");
        fh_catalog_reap(catalog);
    }
    for (size_t i = 0; i < CHANGES; i++) { /* the same once more, and nobody waits for it */
        steps[i] = STEPS - 1;
        submit(i);
    }
    fh_catalog_close(catalog);
}

int main(void)
{
    const char *base = getenv("TMPDIR");
    char folder[256], path[300];

    snprintf(folder, sizeof(folder), "%s/farheap-race-XXXXXX", base != NULL ? base : "/tmp");
    require(mkdtemp(folder) != NULL, "a folder");
    snprintf(path, sizeof(path), "%s/catalog.mdb", folder);
    for (int round = 0; round < ROUNDS; round++)
        run_round(path);
    unlink(path);
    rmdir(folder);
    printf("%d changes committed\n", ROUNDS * CHANGES * (STEPS + 1));
    return 0;
}
