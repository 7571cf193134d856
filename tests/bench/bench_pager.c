/*
 * Pager and swap against their targets, in one run: each line is a median over rounds in which our side and the other
 * take turns, on the same core and the same file, with the target and PASS or miss.
 *
 *   farheap-bench-pager [--json] [--dir FOLDER] [--memory MEBIBYTES] [--rounds N] [--only ID] [--trace FILE]
 *
 * Exit: 0 measured, whether targets were met or not; 1 something could not be measured; 2 wrong arguments.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/bench_pager.h"

static struct bench bench;
static uint32_t rows, missed;

bool bench_wants(const struct bench *b, const char *id)
{
    return !b->opts.only || strcmp(b->opts.only, id) == 0;
}

void bench_row(const struct bench *b, const char *id, const char *what, double value,
               const char *unit, enum bench_sense sense, double target, const char *beside, ...)
{
    static const char *const signs[] = {"<=", ">=", ""};
    char text[160];
    bool met = sense == BENCH_INFO || (sense == BENCH_AT_MOST ? value <= target : value >= target);
    const char *verdict = sense == BENCH_INFO ? "" : met ? "PASS" : "miss";
    va_list args;

    va_start(args, beside);
    vsnprintf(text, sizeof text, beside, args);
    va_end(args);
    missed += !met;
    if (b->opts.json)
        printf("%s\n  {\"id\": \"%s\", \"what\": \"%s\", \"value\": %.4g, \"unit\": \"%s\", "
               "\"sense\": \"%s\", "
               "\"target\": %.4g, \"met\": %s, \"beside\": \"%s\"}",
               rows > 0 ? "," : "", id, what, value, unit, signs[sense],
               sense == BENCH_INFO ? 0 : target, met ? "true" : "false", text);
    else if (sense == BENCH_INFO)
        printf("%-4s %-42s %9.4g %-8s %11s %-5s %s\n", id, what, value, unit, "", "", text);
    else
        printf("%-4s %-42s %9.4g %-8s %2s %8.4g %-5s %s\n", id, what, value, unit, signs[sense],
               target, verdict, text);
    fflush(stdout);
    rows++;
}

uint32_t bench_report_end(const struct bench *b)
{
    if (b->opts.json)
        printf("\n], \"missed\": %u}\n", missed);
    else
        printf("%u lines, %u targets missed\n", rows, missed);
    return missed;
}

static int complain(const char *text)
{
    fprintf(stderr,
            "%s\nusage: farheap-bench-pager [--json] [--dir FOLDER] [--memory MEBIBYTES] [--rounds "
            "N] [--only ID] "
            "[--trace FILE]\n",
            text);
    return 2;
}

static bool number(const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && end != text && *out >= low && *out <= high;
}

/* 0, or the exit code. */
static int options_read(struct bench_opts *o, const char **trace, int argc, char **argv)
{
    uint64_t mebibytes = 256, count = 5;

    *o = (struct bench_opts){.dir = "/var/tmp"};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--json") == 0) {
            o->json = true;
            continue;
        }
        if (!value)
            return complain(argv[i]);
        i++;
        if (strcmp(argv[i - 1], "--dir") == 0)
            o->dir = value;
        else if (strcmp(argv[i - 1], "--only") == 0)
            o->only = value;
        else if (strcmp(argv[i - 1], "--trace") == 0)
            *trace = value;
        else if (strcmp(argv[i - 1], "--memory") == 0 && number(value, 16, 1 << 20, &mebibytes))
            continue;
        else if (strcmp(argv[i - 1], "--rounds") == 0 && number(value, 1, BENCH_ROUNDS_MAX, &count))
            continue;
        else
            return complain(argv[i - 1]);
    }
    o->memory = mebibytes << 20;
    o->rounds = (uint32_t)count;
    o->has_fio = system("fio --version >/dev/null 2>&1") == 0;
    return 0;
}

int main(int argc, char **argv)
{
    const char *trace = NULL;
    int code = options_read(&bench.opts, &trace, argc, argv);

    if (code != 0)
        return code;
    if (bench.opts.json)
        printf("{\"rounds\": %u, \"memory_bytes\": %llu, \"rows\": [", bench.opts.rounds,
               (unsigned long long)bench.opts.memory);
    else
        printf("medians of %u rounds; zones that page have %llu MiB\n%-4s %-42s %9s %-8s %11s\n",
               bench.opts.rounds, (unsigned long long)bench.opts.memory >> 20, "", "", "", "",
               "TARGET");
    bench_pager_memory(&bench);
    bench_pager_disk(&bench, "io_uring");
    bench_pager_disk(&bench, "threads");
    if (trace)
        bench_pager_trace(&bench, trace);
    (void)bench_report_end(&bench);
    return 0;
}
