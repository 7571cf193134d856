/*
 * bench_alloc: what the allocators lose and what they cost. Not a test; but closed-forms ends with
 * 1 when rounding costs other than theory says.
 */
#include <getopt.h>

#include "tests/bench/bench_alloc_fragmentation.h"
#include "tests/bench/bench_alloc_report.h"
#include "tests/bench/bench_alloc_run.h"
#include "tests/bench/bench_alloc_speed.h"

struct options {
    uint64_t seed;
    uint32_t draws, failures;
    const char *json, *svg;
};

static const char usage[] =
    "farheap-bench-alloc [MODE] [OPTION...]     no MODE: all three\n"
    "  fragmentation  what each buddy system loses at overflow, and ns per operation\n"
    "  closed-forms   what rounding costs, against theory; exit code 1 beyond 1 %\n"
    "  speed          ns per call beside mimalloc and jemalloc, where installed\n"
    "options\n"
    "  --json FILE    of fragmentation: also as JSON\n"
    "  --svg FILE     of fragmentation: also as a plot\n"
    "  --failures N   of fragmentation: weighed in each run (4000)\n"
    "  --draws N      of closed-forms (1000000)\n"
    "  --seed N       of both (1)\n";

static int closed_forms(const struct options *o)
{
    struct sizes_form forms[SIZES_FORMS];
    int rc = 0;

    sizes_measure_forms(o->seed, o->draws, forms);
    printf("rounding: granules or bytes given / asked for, %u draws\n", o->draws);
    for (uint32_t i = 0; i < SIZES_FORMS; i++) {
        const struct sizes_form *f = &forms[i];
        bool agrees = sizes_form_agrees(f, 0.01);
        printf("  %-10s %-30s %7.4f   theory %.4f", f->system, f->what, f->measured, f->low);
        if (f->high > f->low)
            printf("..%.4f", f->high);
        printf("%*s%s\n", f->high > f->low ? 3 : 11, "", agrees ? "PASS" : "miss");
        rc = agrees ? rc : 1;
    }
    return rc;
}

static FILE *open_or_stop(const char *path)
{
    FILE *out = fopen(path, "w");
    if (!out) {
        perror(path);
        exit(1);
    }
    return out;
}

static void close_or_stop(FILE *out, const char *path)
{
    if (ferror(out) | fclose(out)) {
        perror(path);
        exit(1);
    }
}

static int fragmentation(const struct options *o)
{
    enum { ROWS = SIZES_LAWS * FRAGMENTATION_SYSTEMS };
    struct fragmentation rows[ROWS];
    FILE *out;

    fragmentation_run(o->seed, o->failures, rows);
    report_table(rows, ROWS, stdout);
    if (o->json) {
        out = open_or_stop(o->json);
        report_json(rows, ROWS, o->seed, out);
        close_or_stop(out, o->json);
    }
    if (o->svg) {
        out = open_or_stop(o->svg);
        report_svg(rows, ROWS, out);
        close_or_stop(out, o->svg);
    }
    return 0;
}

static uint32_t number(const char *text, const char *option)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*end != 0 || value == 0 || value > 1000000000) {
        fprintf(stderr, "farheap-bench-alloc: --%s wants a number from 1 to 10^9\n", option);
        exit(2);
    }
    return (uint32_t)value;
}

static struct options parse(int argc, char **argv)
{
    static const struct option known[] = {{"json", required_argument, NULL, 'j'},
                                          {"svg", required_argument, NULL, 's'},
                                          {"failures", required_argument, NULL, 'f'},
                                          {"draws", required_argument, NULL, 'd'},
                                          {"seed", required_argument, NULL, 'r'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct options o = {.seed = 1, .draws = 1000000, .failures = 4000};

    for (int c; (c = getopt_long(argc, argv, "h", known, NULL)) != -1;)
        switch (c) {
        case 'j':
            o.json = optarg;
            break;
        case 's':
            o.svg = optarg;
            break;
        case 'f':
            o.failures = number(optarg, "failures");
            break;
        case 'd':
            o.draws = number(optarg, "draws");
            break;
        case 'r':
            o.seed = number(optarg, "seed");
            break;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        default:
            fputs(usage, stderr);
            exit(2);
        }
    return o;
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);
    const char *mode = optind < argc ? argv[optind] : "all";
    bool all = strcmp(mode, "all") == 0, known = all;
    int rc = 0;

    if (all || strcmp(mode, "speed") == 0) { /* first: it may start the program anew */
        known = true;
        speed_run(argv, stdout);
    }
    if (all || strcmp(mode, "closed-forms") == 0) {
        known = true;
        rc = closed_forms(&o);
    }
    if (all || strcmp(mode, "fragmentation") == 0) {
        known = true;
        rc |= fragmentation(&o);
    }
    if (!known) {
        fputs(usage, stderr);
        return 2;
    }
    return rc;
}
