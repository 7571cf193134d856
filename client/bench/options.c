/*
 * Theory.  One table of names for getopt, one function per kind of value, then one pass of checks
 * over the whole, because some options only make sense together. What options count for depends on
 * neither their order nor where they stand: a named workload comes first, then the lines of a file,
 * then the command line.
 */
#include "client/bench/options.h"

#include "client/bench/args.h"
#include "client/bench/parse.h"
#include "client/bench/presets.h"
#include "client/bench/units.h"
#include "client/bench/usage.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OPT_MIX = 256,
    OPT_DIST,
    OPT_KEYS,
    OPT_SIZE,
    OPT_SIZES,
    OPT_SIZE_RANGE,
    OPT_OVERCOMMIT,
    OPT_SCAN_MAX,
    OPT_PHASE_GAP,
    OPT_CSV,
    OPT_HGRM,
    OPT_HLOG,
    OPT_PLOT,
    OPT_RAMP,
    OPT_TOUCH,
    OPT_SEED,
    OPT_KEEP,
    OPT_FILL_RATE,
    OPT_WARMUP,
    OPT_ROUNDS,
    OPT_ARRIVAL,
    OPT_VERIFY,
    OPT_ASSERT,
    OPT_JSON,
    OPT_PERCENTILES,
    OPT_NO_SERVER_STATS,
    OPT_TARGET,
    OPT_SERVER_PID,
    OPT_TIMEOUT,
    OPT_CACERT,
    OPT_CERT,
    OPT_KEY,
    OPT_SNI,
    OPT_INSECURE
};

static const struct option long_options[] = {
    {"mix", required_argument, NULL, OPT_MIX},
    {"dist", required_argument, NULL, OPT_DIST},
    {"keys", required_argument, NULL, OPT_KEYS},
    {"size", required_argument, NULL, OPT_SIZE},
    {"sizes", required_argument, NULL, OPT_SIZES},
    {"size-range", required_argument, NULL, OPT_SIZE_RANGE},
    {"overcommit", required_argument, NULL, OPT_OVERCOMMIT},
    {"scan-max", required_argument, NULL, OPT_SCAN_MAX},
    {"phase-gap", required_argument, NULL, OPT_PHASE_GAP},
    {"csv", required_argument, NULL, OPT_CSV},
    {"hgrm", required_argument, NULL, OPT_HGRM},
    {"hlog", required_argument, NULL, OPT_HLOG},
    {"plot", required_argument, NULL, OPT_PLOT},
    {"ramp", required_argument, NULL, OPT_RAMP},
    {"workload", required_argument, NULL, 'w'},
    {"clients", required_argument, NULL, 'c'},
    {"threads", required_argument, NULL, 't'},
    {"pipeline", required_argument, NULL, 'P'},
    {"duration", required_argument, NULL, 'd'},
    {"requests", required_argument, NULL, 'n'},
    {"rate", required_argument, NULL, 'R'},
    {"quiet", no_argument, NULL, 'q'},
    {"url", required_argument, NULL, 'u'},
    {"touch", required_argument, NULL, OPT_TOUCH},
    {"seed", required_argument, NULL, OPT_SEED},
    {"fill-rate", required_argument, NULL, OPT_FILL_RATE},
    {"keep", no_argument, NULL, OPT_KEEP},
    {"warmup", required_argument, NULL, OPT_WARMUP},
    {"rounds", required_argument, NULL, OPT_ROUNDS},
    {"arrival", required_argument, NULL, OPT_ARRIVAL},
    {"verify", no_argument, NULL, OPT_VERIFY},
    {"assert", required_argument, NULL, OPT_ASSERT},
    {"json", required_argument, NULL, OPT_JSON},
    {"percentiles", required_argument, NULL, OPT_PERCENTILES},
    {"no-server-stats", no_argument, NULL, OPT_NO_SERVER_STATS},
    {"target", required_argument, NULL, OPT_TARGET},
    {"server-pid", required_argument, NULL, OPT_SERVER_PID},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"cacert", required_argument, NULL, OPT_CACERT},
    {"cert", required_argument, NULL, OPT_CERT},
    {"key", required_argument, NULL, OPT_KEY},
    {"sni", required_argument, NULL, OPT_SNI},
    {"insecure", no_argument, NULL, OPT_INSECURE},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0}};

static int parse_rate(struct fh_bench_options *o, const char *text)
{
    uint64_t rate;

    if (fh_units_count(text, &rate) != 0)
        return -EINVAL;
    o->rate = (double)rate;
    return 0;
}

static int parse_arrival(struct fh_bench_options *o, const char *text)
{
    o->poisson = strcmp(text, "poisson") == 0;
    return o->poisson || strcmp(text, "const") == 0 ? 0 : -EINVAL;
}

static int parse_gate(struct fh_bench_options *o, const char *text)
{
    if (o->gate_count == FH_ASSERTS_MAX)
        return -EINVAL;
    return fh_gate_parse(text, &o->gates[o->gate_count++]);
}

static int parse_timeout(fh_options *client, const char *text)
{
    uint64_t ns;

    if (fh_units_time(text, &ns) != 0 || ns < 1000000 || ns > UINT64_C(3600000000000))
        return -EINVAL;
    client->request_timeout_ms = client->connect_timeout_ms = (uint32_t)(ns / 1000000);
    return 0;
}

static int parse_later(const char **list, uint32_t *count, const char *text)
{
    if (*count == FH_TARGETS_MAX)
        return -EINVAL;
    list[(*count)++] = text;
    return 0;
}

static int parse_one_tls(fh_options *c, int option, const char *text)
{
    switch (option) {
    case OPT_TIMEOUT:
        return parse_timeout(c, text);
    case OPT_CACERT:
        c->ca_file = text;
        return 0;
    case OPT_CERT:
        c->cert_file = text;
        return 0;
    case OPT_KEY:
        c->key_file = text;
        return 0;
    case OPT_SNI:
        c->server_name = text;
        return 0;
    case OPT_INSECURE:
        c->insecure = 1;
        return 0;
    default:
        return -ENOENT;
    }
}

static int parse_one_flag(struct fh_parse *p, int option)
{
    switch (option) {
    case OPT_VERIFY:
        p->o->verify = true;
        return 0;
    case OPT_KEEP:
        p->o->keep = true;
        return 0;
    case OPT_NO_SERVER_STATS:
        p->o->server_stats = false;
        return 0;
    case 'q':
        p->o->quiet = true;
        return 0;
    default:
        return -ENOENT;
    }
}

static int parse_one_load(struct fh_parse *p, int option, const char *text)
{
    struct fh_bench_options *o = p->o;

    switch (option) {
    case 'c':
        return fh_args_u32(text, 4096, &o->clients);
    case 't':
        return fh_args_u32(text, 256, &o->threads);
    case 'P':
        return fh_args_u32(text, 4096, &o->pipeline);
    case 'd':
        p->duration_given = true;
        return fh_units_time(text, &o->duration_ns);
    case 'n':
        return fh_units_count(text, &o->requests);
    case 'R':
        p->rate_given = true;
        return parse_rate(o, text);
    case OPT_RAMP:
        return fh_args_ramp(o, text);
    case OPT_WARMUP:
        p->warmup_given = true;
        return fh_units_time(text, &o->warmup_ns);
    case OPT_ROUNDS:
        return fh_args_u32(text, FH_ROUNDS_MAX, &o->rounds);
    case OPT_ARRIVAL:
        return parse_arrival(o, text);
    default:
        return -ENOENT;
    }
}

static int parse_overcommit(struct fh_bench_options *o, const char *text)
{
    char *end;

    o->overcommit = *text >= '0' && *text <= '9' ? strtod(text, &end) : -1.0;
    return o->overcommit >= 0.0 && o->overcommit <= 1000.0 && *end == '\0' ? 0 : -EINVAL;
}

/* What is stored and asked for: one line per option. */
static int parse_one_work(struct fh_bench_options *o, int option, const char *text)
{
    switch (option) {
    case 'w':
        return 0; /* came first */
    case OPT_MIX:
        return fh_args_mix(o, text);
    case OPT_DIST:
        return fh_args_dist(&o->shape, text);
    case OPT_FILL_RATE:
        return fh_units_count(text, &o->fill_rate);
    case OPT_KEYS:
        o->overcommit = 0;
        return fh_units_count(text, &o->keys);
    case OPT_OVERCOMMIT:
        return parse_overcommit(o, text);
    case OPT_SIZE:
        return strpbrk(text, ",:") == NULL ? fh_args_sizes(&o->sizes, text) : -EINVAL;
    case OPT_SIZES:
        return fh_args_sizes(&o->sizes, text);
    case OPT_SIZE_RANGE:
        return fh_args_size_range(&o->sizes, text);
    case OPT_TOUCH:
        return fh_units_size(text, &o->touch_bytes);
    case OPT_SCAN_MAX:
        return fh_args_u32(text, 10000, &o->scan_max);
    case OPT_PHASE_GAP:
        return fh_args_gap(o, text);
    case OPT_SEED:
        return fh_units_count(text, &o->seed);
    default:
        return -ENOENT;
    }
}

static int parse_one_output(struct fh_bench_options *o, int option, const char *text)
{
    switch (option) {
    case OPT_JSON:
        o->json_path = text;
        return 0;
    case OPT_CSV:
        o->csv_path = text;
        return 0;
    case OPT_HGRM:
        o->hgrm_prefix = text;
        return 0;
    case OPT_HLOG:
        o->hlog_path = text;
        return 0;
    case OPT_PLOT:
        o->plot_path = text;
        return 0;
    case OPT_PERCENTILES:
        return fh_args_percents(o, text);
    default:
        return -ENOENT;
    }
}

static int parse_one(struct fh_parse *p, int option, const char *text)
{
    struct fh_bench_options *o = p->o;
    int rc = parse_one_load(p, option, text);

    if (rc == -ENOENT)
        rc = parse_one_work(o, option, text);
    if (rc == -ENOENT)
        rc = parse_one_output(o, option, text);
    if (rc == -ENOENT)
        rc = parse_one_flag(p, option);
    if (rc == -ENOENT)
        rc = parse_one_tls(&o->client, option, text);
    if (rc != -ENOENT)
        return rc;
    switch (option) {
    case 'u':
        p->url = text;
        return 0;
    case OPT_ASSERT:
        return parse_gate(o, text);
    case OPT_TARGET:
        return parse_later(p->targets, &p->target_count, text);
    case OPT_SERVER_PID:
        return parse_later(p->pids, &p->pid_count, text);
    default:
        return -ENOENT;
    }
}

static void options_default(struct fh_bench_options *o)
{
    *o = (struct fh_bench_options){
        .shape = {.dist = FH_DIST_ZIPF, .theta = 0.99},
        .scan_max = 100,
        .keys = 10000,
        .seed = 42,
        .clients = 8,
        .threads = 1,
        .pipeline = 1,
        .duration_ns = UINT64_C(10000000000),
        .warmup_ns = 1000000000,
        .server_stats = true,
        .percents = {50, 90, 99, 99.9},
        .percent_count = 4,
        .client = {.size = sizeof(fh_options), .agent = "farheap bench"},
        .sizes = {.count = 1, .bytes = {4096}, .weight = {1}, .weights = 1, .bytes_max = 4096}};
    (void)fh_presets_apply(o, "b");
}

/* One line of a workload's file: the name of an option, blanks, its value. */
static int parse_line(struct fh_parse *p, char *line)
{
    char *name = line + strspn(line, " \t");
    char *value = name + strcspn(name, " \t\r");
    const struct option *known = long_options;

    if (*name == '\0' || *name == '#')
        return 0;
    if (*value != '\0')
        *value++ = '\0';
    value += strspn(value, " \t");
    value[strcspn(value, " \t\r")] = '\0';
    while (known->name != NULL && strcmp(known->name, name) != 0)
        known++;
    if (known->name == NULL || known->val == 'h' || known->val == 'w' ||
        (known->has_arg == required_argument) != (*value != '\0'))
        return -EINVAL;
    return parse_one(p, known->val, value);
}

static int parse_workfile(struct fh_parse *p, const char *path)
{
    FILE *f = fopen(path, "re");
    char *line = p->o->workfile;
    size_t size;

    if (f == NULL)
        return fh_parse_refuse("neither a workload nor a file", path);
    size = fread(line, 1, FH_WORKFILE_MAX, f);
    fclose(f);
    if (size == FH_WORKFILE_MAX)
        return fh_parse_refuse("a workload's file has at most 4 KiB", path);
    line[size] = '\0';
    for (char *rest = line; (line = strsep(&rest, "\n")) != NULL;)
        if (parse_line(p, line) != 0)
            return fh_parse_refuse("malformed line in the workload's file", line);
    p->o->workload = path;
    return 0;
}

static const char short_options[] = "+hu:w:c:t:P:d:n:R:q";

/* The workload, wherever on the line it stands. */
static int parse_workload(struct fh_parse *p, int argc, char **argv)
{
    int option;

    optind = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
        if (option != 'w')
            continue;
        options_default(p->o);
        if (fh_presets_apply(p->o, optarg) != 0 && parse_workfile(p, optarg) != 0)
            return 2;
    }
    return 0;
}

static int parse_line_of_command(struct fh_parse *p, int argc, char **argv)
{
    int option;

    optind = 0;
    while ((option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(fh_bench_usage, stdout);
            return FH_OPTIONS_DONE;
        }
        if (option == '?')
            return fh_parse_refuse("unknown option, or its value is missing", argv[optind - 1]);
        if (parse_one(p, option, optarg) != 0)
            return fh_parse_refuse("malformed value", optarg);
    }
    return optind < argc ? fh_parse_refuse("unexpected argument", argv[optind]) : 0;
}

int fh_bench_options_parse(struct fh_bench_options *o, int argc, char **argv)
{
    const char *url = getenv("FARHEAP_URL");
    struct fh_parse p = {.o = o, .url = url != NULL ? url : "farheap://127.0.0.1:7420"};
    int rc;

    options_default(o);
    rc = parse_workload(&p, argc, argv);
    if (rc == 0)
        rc = parse_line_of_command(&p, argc, argv);
    return rc != 0 ? rc : fh_parse_check(&p);
}

static double mean_bytes(const struct fh_bench_options *o)
{
    double sum = 0;

    if (o->sizes.is_range)
        return (double)(o->sizes.bytes[0] + o->sizes.bytes_max) / 2;
    for (uint32_t i = 0; i < o->sizes.count; i++)
        sum += (double)o->sizes.bytes[i] * o->sizes.weight[i];
    return sum / o->sizes.weights;
}

/* Objects that the mix uses by name and objects it uses by handle are made each. */
void fh_bench_options_overcommit(struct fh_bench_options *o, uint64_t memory_bytes)
{
    bool names = o->mix[FH_OP_GET] + o->mix[FH_OP_PUT] + o->mix[FH_OP_INSERT] + o->mix[FH_OP_SCAN] +
                     o->mix[FH_OP_RMW] >
                 0;
    bool handles = o->mix[FH_OP_READ] + o->mix[FH_OP_WRITE] > 0;
    double sets = names && handles ? 2 : 1;
    double keys = o->overcommit * (double)memory_bytes / mean_bytes(o) / sets;

    o->keys = keys < 1 ? 1 : keys > 1e9 ? 1000000000 : (uint64_t)keys;
}
