/* What `farheap bench` accepts, what it refuses, and what gates mean. */
#include "client/bench/options.h"
#include "client/bench/units.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fh_bench_options o;

static void setup(void)
{
    unsetenv("FARHEAP_URL");
    cr_redirect_stderr();
}

TestSuite(options, .init = setup, .timeout = 10);
TestSuite(gate, .timeout = 10);
TestSuite(units, .timeout = 10);

static int parse(const char *line)
{
    static char copy[512];
    char *argv[48] = {0};
    int argc = 0;

    snprintf(copy, sizeof(copy), "bench %s", line);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    return fh_bench_options_parse(&o, argc, argv);
}

Test(options, nothing_given_is_workload_b_on_this_machine)
{
    cr_assert_eq(parse(""), 0);
    cr_assert_eq(o.mix[FH_OP_GET], 95);
    cr_assert_eq(o.mix[FH_OP_PUT], 5);
    cr_assert_eq(o.shape.dist, FH_DIST_ZIPF);
    cr_assert_eq(o.sizes.bytes_max, 4096);
    cr_assert_eq(o.target_count, 1);
    cr_assert_str_eq(o.targets[0].address, "farheap://127.0.0.1:7420");
    cr_assert_float_eq(o.rate, 0, 0);
}

Test(options, the_environment_names_the_server_and_the_flag_beats_it)
{
    setenv("FARHEAP_URL", "farheap://one:1", 1);
    cr_assert_eq(parse(""), 0);
    cr_assert_str_eq(o.targets[0].address, "farheap://one:1");
    cr_assert_eq(parse("-u farheap://two:2"), 0);
    cr_assert_str_eq(o.targets[0].address, "farheap://two:2");
}

Test(options, every_option_arrives_where_it_is_used)
{
    cr_assert_eq(
        parse("-w a --dist zipf:1.2 --keys 1k --sizes 64:50,4KiB:40,1MiB:10 --seed 9 -c 12 "
              "-t 3 -P 32 -d 30s --rounds 7 --warmup 5s -R 20k --arrival poisson --verify --json f "
              "--percentiles 50,99.99 -q --no-server-stats --timeout 2s --cacert ca "
              "--cert crt --key k --sni name --insecure --assert rate"),
        0);
    cr_assert_eq(o.mix[FH_OP_PUT], 50);
    cr_assert_float_eq(o.shape.theta, 1.2, 1e-12);
    cr_assert_eq(o.keys, 1000);
    cr_assert_eq(o.sizes.count, 3);
    cr_assert_eq(o.sizes.weights, 100);
    cr_assert_eq(o.sizes.bytes_max, 1 << 20);
    cr_assert_eq(o.seed, 9);
    cr_assert(o.clients == 12 && o.threads == 3 && o.pipeline == 32);
    cr_assert_eq(o.rounds, 7);
    cr_assert_eq(o.duration_ns, UINT64_C(30000000000));
    cr_assert_eq(o.warmup_ns, UINT64_C(5000000000));
    cr_assert_float_eq(o.rate, 20000, 0);
    cr_assert(o.poisson && o.verify && o.quiet && !o.server_stats);
    cr_assert_str_eq(o.json_path, "f");
    cr_assert_eq(o.percent_count, 2);
    cr_assert_float_eq(o.percents[1], 99.99, 1e-12);
    cr_assert_eq(o.client.request_timeout_ms, 2000);
    cr_assert_str_eq(o.client.ca_file, "ca");
    cr_assert_str_eq(o.client.cert_file, "crt");
    cr_assert_str_eq(o.client.key_file, "k");
    cr_assert_str_eq(o.client.server_name, "name");
    cr_assert_eq(o.client.insecure, 1);
    cr_assert_eq(o.gate_count, 1);
}

Test(options, every_named_workload_is_accepted)
{
    static const char *const names[] = {"a",           "b",           "c",         "d",
                                        "e",           "f",           "raw-rw",    "mixed",
                                        "alloc-churn", "fault-storm", "cold-read", "evict-thrash",
                                        "pipeline"};
    char line[64];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(line, sizeof(line), "-w %s", names[i]);
        cr_expect_eq(parse(line), 0, "%s", line);
        cr_expect_str_eq(o.workload, names[i]);
    }
}

Test(options, what_is_given_beats_the_workload_wherever_it_stands)
{
    cr_assert_eq(parse("--size 128 --dist seq -w cold-read --keys 7"), 0);
    cr_assert_eq(o.mix[FH_OP_READ], 100);
    cr_assert_eq(o.shape.dist, FH_DIST_SEQ);
    cr_assert_eq(o.sizes.bytes_max, 128);
    cr_assert_eq(o.keys, 7);
    cr_assert_float_eq(o.overcommit, 0, 0);
}

Test(options, overcommit_makes_as_many_objects_as_that_takes)
{
    cr_assert_eq(parse("-w evict-thrash"), 0);
    fh_bench_options_overcommit(&o, 1 << 20);
    cr_assert_eq(o.keys, 512);
    cr_assert_eq(parse("--overcommit 1.5 --mix get=1,read=1 --size 1KiB"), 0);
    fh_bench_options_overcommit(&o, 1 << 20);
    cr_assert_eq(o.keys, 768);
}

Test(options, a_workload_may_be_a_file_and_the_command_line_beats_it)
{
    char path[] = "/tmp/farheap-workload-XXXXXX";
    int fd = mkstemp(path);
    char line[128];

    dprintf(fd, "# a comment\n\nmix get=3,rmw=1\n  keys 77\nverify\nsize-range 100-200\r\n");
    snprintf(line, sizeof(line), "--keys 5 -w %s", path);
    cr_expect_eq(parse(line), 0);
    cr_expect_eq(o.mix[FH_OP_RMW], 1);
    cr_expect_eq(o.keys, 5);
    cr_expect(o.verify && o.sizes.is_range);
    cr_expect_eq(o.sizes.bytes_max, 200);
    dprintf(fd, "nonsense 5\n");
    cr_expect_eq(parse(line), 2);
    close(fd);
    unlink(path);
}

Test(options, a_ramp_is_a_row_of_rates)
{
    cr_assert_eq(parse("--ramp 1k:10k:500/10s"), 0);
    cr_assert_float_eq(o.rate, 1000, 0);
    cr_assert_float_eq(o.ramp_to, 10000, 0);
    cr_assert_float_eq(o.ramp_by, 500, 0);
    cr_assert_eq(o.ramp_step_ns, UINT64_C(10000000000));
    cr_assert_eq(parse("--ramp 1:1:1"), 0);
    cr_assert_eq(o.ramp_step_ns, UINT64_C(5000000000));
}

Test(options, a_gap_sleeps_or_waits_for_a_file)
{
    cr_assert_eq(parse("--phase-gap sleep:2s"), 0);
    cr_assert_eq(o.gap_ns, UINT64_C(2000000000));
    cr_assert_eq(parse("--phase-gap file:/x"), 0);
    cr_assert_str_eq(o.gap_file, "/x");
    cr_assert_eq(parse("--phase-gap none"), 0);
    cr_assert(o.gap_ns == 0 && o.gap_file == NULL);
}

Test(options, a_mix_replaces_the_workload)
{
    cr_assert_eq(parse("-w a --mix read=60,write=30,alloc=5,free=5"), 0);
    cr_assert_eq(o.mix[FH_OP_GET], 0);
    cr_assert_eq(o.mix[FH_OP_READ], 60);
    cr_assert_eq(o.mix[FH_OP_FREE], 5);
}

Test(options, targets_get_labels_and_processes)
{
    cr_assert_eq(parse("--target farheap --target redis=h:1 --target redis=h:2 --target "
                       "memcached=h:3 --server-pid redis2=77 --server-pid 5"),
                 0);
    cr_assert_eq(o.target_count, 4);
    cr_assert_str_eq(o.targets[2].label, "redis2");
    cr_assert_eq(o.targets[2].pid, 77);
    cr_assert_eq(o.targets[0].pid, 5);
    cr_assert_str_eq(o.targets[3].address, "h:3");
}

Test(options, a_farheap_target_may_leave_out_the_scheme)
{
    cr_assert_eq(parse("--target farheap=host:9"), 0);
    cr_assert_str_eq(o.targets[0].address, "farheap://host:9");
}

Test(options, help_is_not_an_error)
{
    cr_redirect_stdout();
    cr_assert_eq(parse("-h"), FH_OPTIONS_DONE);
}

static const char *const refused[] = {
    "-w z",
    "-w",
    "--bogus",
    "word",
    "--mix get",
    "--mix get=0",
    "--mix delete=1",
    "--mix get=1,",
    "--dist zipf:0",
    "--dist zipf:x",
    "--dist other",
    "--dist hotspot:0.2",
    "--dist hotspot:2:0.5",
    "--dist latest:",
    "--size-range 5-4",
    "--size-range 5",
    "--overcommit x",
    "--overcommit 2 --target redis=h:1",
    "--scan-max 0",
    "--ramp 5",
    "--ramp 5:4:1",
    "--ramp 1:5:0",
    "--ramp 1:500:1",
    "--ramp 1:5:1/x",
    "--ramp 1:5:1/1s/2",
    "--ramp 1:5:1 -R 5",
    "--ramp 1:5:1 -n 5",
    "--phase-gap sleep",
    "--mix rmw=1,scan=1,insert=1,fault=1 --target redis=h:1",
    "--keys 0",
    "--keys 1x",
    "--size 0",
    "--size 65MiB",
    "--size 4KiB:3",
    "--sizes 64:0",
    "--sizes ,",
    "--seed -1",
    "-c 0",
    "-t 0",
    "-P 0",
    "-c 1 -t 2",
    "-d 0s",
    "-d 5",
    "-d 1s -n 5",
    "-R fast",
    "--arrival sometimes",
    "--verify --size 23",
    "--verify --touch 100",
    "--verify -c 4096 -P 4096",
    "--percentiles 0",
    "--percentiles 101",
    "--percentiles 50,x",
    "--assert get.p99",
    "--assert rate",
    "--assert read.p99<1ms",
    "--target redis",
    "--target other=h:1",
    "--target redis=h:1 --mix read=1",
    "--server-pid 0",
    "--server-pid redis=5",
    "--timeout 0s",
};

Test(options, what_makes_no_sense_is_refused)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        cr_expect_eq(parse(refused[i]), 2, "%s", refused[i]);
}

Test(options, too_many_of_a_kind_are_refused)
{
    cr_assert_eq(parse("--target farheap --target farheap --target farheap --target farheap "
                       "--target farheap"),
                 2);
    cr_assert_eq(parse("--sizes 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"), 2);
    cr_assert_eq(parse("--percentiles 1,2,3,4,5,6,7,8,9"), 2);
}

Test(units, sizes_as_people_write_them)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},          {"4096", 4096},      {"64KiB", 65536}, {"1.5MiB", 1572864},
                {"1GiB", 1 << 30}, {"2k", 2000},        {"2kb", 2048},    {"3M", 3000000},
                {"10B", 10},       {"1TiB", 1ull << 40}};
    static const char *const bad[] = {"", "x", "-1", "4KB ", "0x10", "KiB", "1e30", "4Kib", " 4"};
    uint64_t bytes;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cr_expect_eq(fh_units_size(good[i].text, &bytes), 0, "%s", good[i].text);
        cr_expect_eq(bytes, good[i].bytes, "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_neq(fh_units_size(bad[i], &bytes), 0, "%s", bad[i]);
}

Test(units, times_need_a_unit)
{
    uint64_t ns;

    cr_assert_eq(fh_units_time("1.5ms", &ns), 0);
    cr_assert_eq(ns, 1500000);
    cr_assert_eq(fh_units_time("2m", &ns), 0);
    cr_assert_eq(ns, UINT64_C(120000000000));
    cr_assert_neq(fh_units_time("5", &ns), 0);
}

Test(units, shown_to_three_digits)
{
    char text[FH_UNITS_TEXT];

    cr_expect_str_eq(fh_units_show_time(text, 1234), "1.23us");
    cr_expect_str_eq(fh_units_show_time(text, 999600), "1.00ms");
    cr_expect_str_eq(fh_units_show_time(text, 14.2e6), "14.2ms");
    cr_expect_str_eq(fh_units_show_time(text, 125e9), "125s");
    cr_expect_str_eq(fh_units_show_size(text, 4096), "4 KiB");
    cr_expect_str_eq(fh_units_show_size(text, 1610612736), "1.50 GiB");
    cr_expect_str_eq(fh_units_show_count(text, 570013), "570 013");
    cr_expect_str_eq(fh_units_show_count(text, 7), "7");
}

static bool holds(const char *text, const struct fh_tally *t)
{
    struct fh_gate g;
    double found;

    cr_assert_eq(fh_gate_parse(text, &g), 0, "%s", text);
    return fh_gate_holds(&g, t, &found);
}

/* 1000 gets of 1 to 1000 us in one second, two of them failed besides. */
static void tally_fill(struct fh_tally *t)
{
    struct fh_request r = {.op = FH_OP_GET};

    cr_assert_eq(fh_tally_init(t, false), 0);
    for (uint64_t i = 1; i <= 1000; i++)
        fh_tally_add(t, &r, i * 1000, 0);
    r.status = FH_NO_SPACE;
    fh_tally_add(t, &r, 5000000000, 0);
    fh_tally_add(t, &r, 5000000000, 0);
    t->window_ns = t->elapsed_ns = 1000000000;
}

Test(gate, holds_exactly_when_its_sentence_is_true)
{
    static struct fh_tally t;

    tally_fill(&t);
    cr_expect(holds("get.p50<=501us", &t));
    cr_expect(!holds("get.p50<500us", &t));
    cr_expect(holds("get.max<=1ms", &t));
    cr_expect(!holds("get.max<1ms", &t));
    cr_expect(holds("get.mean>500us", &t));
    cr_expect(!holds("get.mean>501us", &t));
    cr_expect(holds("get.ops>=1000", &t));
    cr_expect(!holds("get.ops>1k", &t));
    cr_expect(!holds("errors==0", &t));
    cr_expect(holds("errors==2", &t));
    cr_expect(holds("get.errors<3", &t));
    cr_expect(holds("put.errors==0", &t));
    cr_expect(holds("p50<=501us", &t));
    cr_expect(!holds("p50<500us", &t));
    cr_expect(holds("ops>=1000", &t));
    fh_tally_fini(&t);
}

Test(gate, an_operation_that_never_succeeded_has_no_good_latency)
{
    static struct fh_tally t;

    tally_fill(&t);
    cr_expect(!holds("put.p99<1h", &t));
    fh_tally_fini(&t);
}

Test(gate, failures_do_not_improve_or_spoil_the_latencies)
{
    static struct fh_tally t;

    tally_fill(&t);
    cr_expect_eq(t.ops[FH_OP_GET].latency.count, 1000);
    cr_expect_eq(t.status[FH_NO_SPACE], 2);
    cr_expect_eq(t.ops[FH_OP_GET].failed_max_ns, 5000000000);
    fh_tally_fini(&t);
}

Test(gate, the_rate_must_be_reached_to_99_percent)
{
    static struct fh_tally t;

    tally_fill(&t);
    t.due = 10000;
    t.sent = 9901;
    cr_expect(holds("rate", &t));
    t.sent = 9899;
    cr_expect(!holds("rate", &t));
    t.sent = 10000;
    t.elapsed_ns = 1020000000; /* all sent, but the replies took longer */
    cr_expect(!holds("rate", &t));
    fh_tally_fini(&t);
}

Test(gate, what_is_not_a_sentence_is_refused)
{
    static const char *const bad[] = {"",          "get",        "get.p",       "get.p99",
                                      "get.p99<",  "get.p99<2",  "get.p0<1ms",  "get.p101<1ms",
                                      "x.p99<1ms", "errors<1ms", "get.ops>1ms", "errors==0 "};
    struct fh_gate g;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_neq(fh_gate_parse(bad[i], &g), 0, "%s", bad[i]);
}
