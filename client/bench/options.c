/*
 * Theory.  One table of names for getopt, one function per kind of value, then one pass of checks
 * over the whole, because some options only make sense together.
 */
#include "client/bench/options.h"

#include "client/bench/args.h"
#include "client/bench/units.h"
#include "client/bench/verify.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage_text[] =
    "usage: farheap bench [options]\n"
    "\n"
    "Workload\n"
    "  -w a|b|c|raw-rw     a: 50% get 50% put, b: 95/5 (default), c: only get; raw-rw: 50% read\n"
    "                      50% write by handle\n"
    "  --mix LIST          instead: get=95,put=5 or read=..,write=..,alloc=..,free=..\n"
    "  --dist D            uniform, zipf:THETA (default zipf:0.99) or seq\n"
    "  --keys N            objects that are there before the run (10000)\n"
    "  --size S            of an object (4KiB)      --sizes 64:50,4KiB:40,1MiB:10   with weights\n"
    "  --touch S           bytes per get or read of a larger object (all of it); memcached has to\n"
    "                      send the whole object\n"
    "  --fill-rate N       objects stored per second before the run (as fast as it goes)\n"
    "  --keep              leave the objects there at the end\n"
    "  --seed N            the same seed, the same requests (42)\n"
    "Load\n"
    "  -c CLIENTS          connections (8)          -t THREADS (1)          -P PIPELINE (1)\n"
    "  -d TIME             measured (10s), or -n REQUESTS; before it --warmup TIME (1s)\n"
    "  --rounds N          the measured time is cut into N, and targets take turns (1, or 3 when\n"
    "                      there are several)\n"
    "  -R OPS              open loop: this many per second in total, whatever the server does;\n"
    "                      latency counts from the intended time. --arrival const|poisson\n"
    "Check\n"
    "  --verify            every page carries object, page, version and CRC32C; exit 7 if wrong\n"
    "  --assert COND       get.p99<2ms, get.mean<.., get.max<.., get.ops>10k, get.errors==0,\n"
    "                      errors==0, rate (at least 99 % of -R); exit 1 if it does not hold\n"
    "Output\n"
    "  --json FILE         everything, as one document      --percentiles 50,90,99,99.9\n"
    "  -q                  nothing but what went wrong      --no-server-stats\n"
    "Targets\n"
    "  -u URL              of the server (FARHEAP_URL, or farheap://127.0.0.1:7420)\n"
    "  --target T          farheap, farheap=URL, memcached=HOST:PORT, redis=HOST:PORT; several\n"
    "                      take turns with the same keys, sizes and seed\n"
    "  --server-pid [T=]PID  the server's process: adds its CPU time per operation\n"
    "  --timeout TIME      of a request (5s)\n"
    "  --cacert FILE --cert FILE --key FILE --sni NAME --insecure    TLS of farheaps:// URLs\n";

enum {
    OPT_MIX = 256,
    OPT_DIST,
    OPT_KEYS,
    OPT_SIZE,
    OPT_SIZES,
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

/* What has to wait until all options are read. */
struct parse {
    struct fh_bench_options *o;
    const char *url;
    const char *targets[FH_TARGETS_MAX], *pids[FH_TARGETS_MAX];
    uint32_t target_count, pid_count;
    bool warmup_given, duration_given;
};

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

static int parse_one_flag(struct parse *p, int option)
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

static int parse_one_load(struct parse *p, int option, const char *text)
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
        return parse_rate(o, text);
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

/* A table in the form of a switch: one line per option. */
static int parse_one(struct parse *p, int option, const char *text)
{
    struct fh_bench_options *o = p->o;
    int rc = parse_one_load(p, option, text);

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
    case 'w':
        return fh_args_workload(o, text);
    case OPT_MIX:
        return fh_args_mix(o, text);
    case OPT_DIST:
        return fh_args_dist(o, text);
    case OPT_FILL_RATE:
        return fh_units_count(text, &o->fill_rate);
    case OPT_KEYS:
        return fh_units_count(text, &o->keys);
    case OPT_SIZE:
        return strpbrk(text, ",:") == NULL ? fh_args_sizes(&o->sizes, text) : -EINVAL;
    case OPT_SIZES:
        return fh_args_sizes(&o->sizes, text);
    case OPT_TOUCH:
        return fh_units_size(text, &o->touch_bytes);
    case OPT_SEED:
        return fh_units_count(text, &o->seed);
    case OPT_ASSERT:
        return parse_gate(o, text);
    case OPT_JSON:
        o->json_path = text;
        return 0;
    case OPT_PERCENTILES:
        return fh_args_percents(o, text);
    case OPT_TARGET:
        return parse_later(p->targets, &p->target_count, text);
    case OPT_SERVER_PID:
        return parse_later(p->pids, &p->pid_count, text);
    default:
        return -ENOENT;
    }
}

static int refuse(const char *what, const char *value)
{
    fprintf(stderr, "farheap: bench: %s%s%s; try: farheap bench -h\n", what,
            value != NULL ? ": " : "", value != NULL ? value : "");
    return 2;
}

/* redis, then redis2, so that every target can be told from the others. */
static void target_label(const struct fh_bench_options *o, struct fh_target *t)
{
    unsigned same = 1;

    for (uint32_t i = 0; i < o->target_count; i++)
        same += o->targets[i].class == t->class;
    if (same == 1)
        snprintf(t->label, sizeof(t->label), "%s", t->class->name);
    else
        snprintf(t->label, sizeof(t->label), "%s%u", t->class->name, same);
}

static int target_add(struct parse *p, const char *text)
{
    static const struct fh_driver_class *const classes[] = {&fh_driver_farheap,
                                                            &fh_driver_memcached, &fh_driver_redis};
    struct fh_target t = {0};
    size_t size = strcspn(text, "=");
    const char *address = text[size] == '=' ? text + size + 1 : NULL;
    bool plain;

    for (size_t i = 0; i < 3; i++)
        if (strlen(classes[i]->name) == size && strncmp(text, classes[i]->name, size) == 0)
            t.class = classes[i];
    if (t.class == NULL || (address == NULL && t.class != &fh_driver_farheap))
        return -EINVAL;
    if (address == NULL)
        address = p->url;
    if (*address == '\0' || strlen(address) > sizeof(t.address) - 16)
        return -EINVAL;
    plain = t.class == &fh_driver_farheap && strstr(address, "://") == NULL;
    snprintf(t.address, sizeof(t.address), "%s%s", plain ? "farheap://" : "", address);
    target_label(p->o, &t);
    p->o->targets[p->o->target_count++] = t;
    return 0;
}

static int pid_add(struct fh_bench_options *o, const char *text)
{
    const char *sign = strchr(text, '=');
    const char *number = sign != NULL ? sign + 1 : text;
    uint32_t pid;

    if (fh_args_u32(number, 1u << 30, &pid) != 0 || pid == 0)
        return -EINVAL;
    for (uint32_t i = 0; i < o->target_count; i++) {
        struct fh_target *t = &o->targets[i];
        size_t size = sign != NULL ? (size_t)(sign - text) : 0;

        if (sign != NULL && (strlen(t->label) != size || strncmp(t->label, text, size) != 0))
            continue;
        t->pid = (pid_t)pid;
        return 0;
    }
    return -EINVAL;
}

static int check_targets(struct parse *p)
{
    struct fh_bench_options *o = p->o;

    for (uint32_t i = 0; i < p->target_count; i++)
        if (target_add(p, p->targets[i]) != 0)
            return refuse("not a target", p->targets[i]);
    if (o->target_count == 0 && target_add(p, "farheap") != 0)
        return refuse("not a URL", p->url);
    for (uint32_t i = 0; i < p->pid_count; i++)
        if (pid_add(o, p->pids[i]) != 0)
            return refuse("not the process of a target", p->pids[i]);
    for (uint32_t i = 0; i < o->target_count; i++)
        for (int op = 0; op < FH_OPS; op++)
            if (o->mix[op] > 0 && !(o->targets[i].class->ops & 1u << op))
                return refuse("the mix has what this target cannot do", o->targets[i].label);
    return 0;
}

static int check_verify(const struct fh_bench_options *o)
{
    if (!o->verify)
        return 0;
    for (uint32_t i = 0; i < o->sizes.count; i++)
        if (o->sizes.bytes[i] < FH_VERIFY_BYTES)
            return refuse("--verify needs objects of 24 bytes or more", NULL);
    if (o->touch_bytes % FH_VERIFY_PAGE != 0)
        return refuse("--verify with --touch: whole pages of 4KiB", NULL);
    if ((double)o->clients * o->pipeline * (double)o->sizes.bytes_max > 0x1p31)
        return refuse("--verify: clients x pipeline x size is over 2 GiB of buffers", NULL);
    return 0;
}

static int check_gates(const struct fh_bench_options *o)
{
    for (uint32_t i = 0; i < o->gate_count; i++) {
        const struct fh_gate *g = &o->gates[i];

        if (g->what == FH_GATE_RATE && !(o->rate > 0))
            return refuse("--assert rate needs -R", NULL);
        if (g->op != FH_OPS && o->mix[g->op] == 0)
            return refuse("--assert on an operation that is not in the mix", g->text);
    }
    return 0;
}

static int check_load(struct parse *p)
{
    struct fh_bench_options *o = p->o;

    if (p->duration_given && o->requests > 0)
        return refuse("-d or -n, not both", NULL);
    if (o->duration_ns == 0 || o->duration_ns > UINT64_C(7) * 86400 * 1000000000)
        return refuse("-d must be above 0 and at most 7 days", NULL);
    if (o->keys == 0 || o->keys > 1000000000)
        return refuse("--keys must be 1 to 10^9", NULL);
    if (o->clients == 0 || o->threads == 0 || o->pipeline == 0)
        return refuse("-c, -t and -P must be above 0", NULL);
    if (o->clients < o->threads)
        return refuse("-c must be at least -t: every thread has a connection", NULL);
    if (o->requests > 0 && !p->warmup_given)
        o->warmup_ns = 0;
    return 0;
}

static void options_default(struct fh_bench_options *o)
{
    *o = (struct fh_bench_options){
        .theta = 0.99,
        .dist = FH_DIST_ZIPF,
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
    (void)fh_args_workload(o, "b");
}

static int options_check(struct parse *p)
{
    int rc = check_load(p);

    if (rc == 0)
        rc = check_targets(p);
    if (rc == 0)
        rc = check_verify(p->o);
    if (rc == 0)
        rc = check_gates(p->o);
    return rc;
}

int fh_bench_options_parse(struct fh_bench_options *o, int argc, char **argv)
{
    const char *url = getenv("FARHEAP_URL");
    struct parse p = {.o = o, .url = url != NULL ? url : "farheap://127.0.0.1:7420"};
    int option;

    options_default(o);
    optind = 0;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "+hu:w:c:t:P:d:n:R:q", long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage_text, stdout);
            return FH_OPTIONS_DONE;
        }
        if (option == '?')
            return refuse("unknown option, or its value is missing", argv[optind - 1]);
        if (parse_one(&p, option, optarg) != 0)
            return refuse("malformed value", optarg);
    }
    if (optind < argc)
        return refuse("unexpected argument", argv[optind]);
    return options_check(&p);
}
