/*
 * The eviction policy as compiled for production, run over a recorded trace, beside LRU, CLOCK, SIEVE and Belady.
 *
 *   farheap-bench-trace [--json] [--size SIZE]... FILE
 *
 * FILE has one block id a line, plain or gzip. SIZE is blocks, or a share of the different blocks such as 10%;
 * 10% and 20% when none is given. Exit: 0, 1 the file cannot be used, 2 wrong arguments.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/trace.h"

enum { SIZES_MAX = 16 };

static const struct policy {
    const char *name;
    uint64_t (*run)(const struct trace *, uint32_t cache);
} policies[] = {
    {"farheap", trace_farheap}, {"LRU", trace_lru},       {"CLOCK", trace_clock},
    {"SIEVE", trace_sieve},     {"Belady", trace_belady},
};

enum { POLICIES = sizeof(policies) / sizeof(policies[0]) };

struct options {
    const char *path;
    bool json;
    const char *sizes[SIZES_MAX];
    uint32_t count;
};

static int complain(const char *text)
{
    fprintf(stderr, "%s\nusage: farheap-bench-trace [--json] [--size BLOCKS|SHARE%%]... FILE\n",
            text);
    return 2;
}

/* Blocks, or a share of them all; 0 = not a size. */
static uint32_t size_blocks(const char *text, uint32_t pages)
{
    char *end;
    double value = strtod(text, &end);
    bool share = *end == '%';

    if (end == text || end[share] != '\0' || !(value > 0) || value > UINT32_MAX ||
        (share && value > 100))
        return 0;
    double blocks = share ? value / 100 * pages : value;
    return blocks < 1 ? 1 : blocks > pages ? pages : (uint32_t)blocks;
}

static int options_read(struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            o->json = true;
        else if (strcmp(argv[i], "--size") == 0 && i + 1 < argc && o->count < SIZES_MAX)
            o->sizes[o->count++] = argv[++i];
        else if (argv[i][0] == '-' || o->path)
            return complain(argv[i]);
        else
            o->path = argv[i];
    }
    if (!o->path)
        return complain("no FILE");
    for (uint32_t i = 0; i < o->count; i++)
        if (size_blocks(o->sizes[i], UINT32_MAX) == 0)
            return complain(o->sizes[i]);
    if (o->count == 0) {
        o->sizes[o->count++] = "10%";
        o->sizes[o->count++] = "20%";
    }
    return 0;
}

static bool size_run(const struct options *o, const struct trace *t, uint32_t index)
{
    uint32_t cache = size_blocks(o->sizes[index], t->pages);

    if (o->json)
        printf("%s\n    {\"size\": \"%s\", \"blocks\": %u, \"miss_ratio\": {", index > 0 ? "," : "",
               o->sizes[index], cache);
    else
        printf("%-10s %10u", o->sizes[index], cache);
    for (uint32_t i = 0; i < POLICIES; i++) {
        uint64_t misses = policies[i].run(t, cache);
        if (misses == UINT64_MAX)
            return false;
        double ratio = (double)misses / t->count;
        if (o->json)
            printf("%s\"%s\": %.6f", i > 0 ? ", " : "", policies[i].name, ratio);
        else
            printf(" %8.4f", ratio);
    }
    printf("%s", o->json ? "}}" : "\n");
    fflush(stdout);
    return true;
}

static int report(const struct options *o, const struct trace *t)
{
    bool ok = true;

    if (o->json) {
        printf("{\"requests\": %u, \"blocks\": %u, \"sizes\": [", t->count, t->pages);
    } else {
        printf("%u requests, %u different blocks; miss ratio\n%-10s %10s", t->count, t->pages,
               "CACHE", "BLOCKS");
        for (uint32_t i = 0; i < POLICIES; i++)
            printf(" %8s", policies[i].name);
        printf("\n");
    }
    for (uint32_t i = 0; ok && i < o->count; i++)
        ok = size_run(o, t, i);
    if (o->json)
        printf("\n]}\n");
    if (!ok)
        fprintf(stderr, "no memory for a cache of that size\n");
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct trace t;
    int rc = options_read(&o, argc, argv);

    if (rc != 0)
        return rc;
    rc = trace_load(&t, o.path);
    if (rc == -EINVAL)
        fprintf(stderr, "%s:%llu: not a block id\n", o.path, (unsigned long long)t.line);
    else if (rc == -ENODATA)
        fprintf(stderr, "%s: no block id in it\n", o.path);
    else if (rc != 0)
        fprintf(stderr, "%s: %s\n", o.path, strerror(-rc));
    if (rc != 0)
        return 1;
    rc = report(&o, &t);
    trace_free(&t);
    return rc;
}
