/* `farheap bench` against a real server: whole runs, what they leave behind, how they end. */
#include "client/farheap.h"
#include "tests/support/schema_check.h"
#include "tests/support/wire/server_process.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct server_process server;
static char url[64], said[SERVER_PATH_MAX + 16], json_path[SERVER_PATH_MAX + 16];

static void setup(void)
{
    int rc = server_process_start(&server, FARHEAPD, (const char *[]){"--zones=2", NULL});

    cr_assert_eq(rc, 0, "%d; log: %s", rc, server.log_path);
    snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s", server.ports[0]);
    snprintf(said, sizeof(said), "%s/said", server.folder);
    snprintf(json_path, sizeof(json_path), "%s/json", server.folder);
}

static void teardown(void)
{
    server_process_fini(&server);
}

TestSuite(bench, .init = setup, .fini = teardown, .timeout = 300);

/* Starts `farheap bench -u URL line`; what it says goes to the file `said`. */
static pid_t bench_start(const char *line)
{
    static char copy[1200];
    char *argv[48] = {FARHEAP_TOOL, "bench", "-u", url};
    int argc = 4;
    pid_t pid;

    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
        argv[argc++] = word;
    if ((pid = fork()) == 0) {
        int fd = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0600);

        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        execv(FARHEAP_TOOL, argv);
        _exit(127);
    }
    return pid;
}

static int bench_wait(pid_t pid)
{
    int status = -1;

    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int bench(const char *line)
{
    return bench_wait(bench_start(line));
}

static char *what_it_said(void)
{
    static char text[16384];
    FILE *f = fopen(said, "r");

    text[f != NULL ? fread(text, 1, sizeof(text) - 1, f) : 0] = '\0';
    if (f != NULL)
        fclose(f);
    return text;
}

static int64_t info_of(const char *group, const char *key)
{
    fh_client *client;
    json_t *doc;
    char *text;
    size_t size;
    int64_t value;

    cr_assert_eq(fh_open(url, NULL, &client), FH_OK);
    cr_assert_eq(fh_view(client, "info", &text, &size), FH_OK);
    doc = json_loadb(text, size, 0, NULL);
    cr_assert_not_null(doc);
    value = json_integer_value(json_object_get(json_object_get(doc, group), key));
    json_decref(doc);
    free(text);
    fh_close(client);
    return value;
}

Test(bench, gets_and_puts_are_right_while_most_of_them_are_in_swap)
{
    int rc = bench("-w a --verify --keys 6000 --sizes 64:40,4KiB:40,20000:20 --dist uniform -t 2 "
                   "-c 6 -P 8 -n 20000 --warmup 0s --assert errors==0");

    cr_assert_eq(rc, 0, "%d: %s", rc, what_it_said());
    cr_assert_gt(info_of("faults", "swap"), 100, "nothing was read from swap: not the test meant");
}

Test(bench, reads_and_writes_by_handle_are_right_while_most_of_them_are_in_swap)
{
    int rc = bench("-w raw-rw --verify --keys 500 --size 65536 --touch 4KiB --dist uniform -t 2 "
                   "-c 4 -P 4 -n 10000 --warmup 0s --assert errors==0");

    cr_assert_eq(rc, 0, "%d: %s", rc, what_it_said());
    cr_assert_gt(info_of("faults", "swap"), 100, "nothing was read from swap: not the test meant");
}

/* Objects of 1 to 9000 bytes, so that records, pages and tails of all kinds are checked. */
Test(bench, inserts_scans_and_read_modify_writes_are_right_and_leave_nothing_behind)
{
    static const char *const workloads[] = {"d", "e", "f", "fault-storm"};
    int64_t before = info_of("objects", "count");
    char line[256];

    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
        snprintf(line, sizeof(line),
                 "-w %s --verify --keys 300 --size-range 24-9000 --scan-max 20 -t 2 -c 4 -P 2 -n "
                 "3000 --assert errors==0",
                 workloads[i]);
        int rc = bench(line);

        cr_assert_eq(rc, 0, "%s: %d: %s", line, rc, what_it_said());
        cr_assert_eq(info_of("objects", "count"), before, "%s", line);
    }
}

Test(bench, overcommit_stores_more_than_the_memory_holds)
{
    int rc =
        bench("-w cold-read --size 16KiB --overcommit 1.5 -n 2000 --verify --assert errors==0");

    cr_assert_eq(rc, 0, "%d: %s", rc, what_it_said());
    cr_assert_gt(info_of("faults", "swap"), 100, "nothing was read from swap: not the test meant");
}

static uint64_t lines_of(const char *path)
{
    FILE *f = fopen(path, "r");
    uint64_t lines = 0;

    cr_assert_not_null(f, "%s", path);
    for (int c; (c = fgetc(f)) != EOF;)
        lines += c == '\n';
    fclose(f);
    return lines;
}

Test(bench, files_for_other_tools_are_written)
{
    char line[1024];
    char path[SERVER_PATH_MAX + 64];

    snprintf(line, sizeof(line),
             "-w a --keys 50 --size 64 -n 2000 --csv %s/c --hgrm %s/h --hlog %s/l", server.folder,
             server.folder, server.folder);
    cr_assert_eq(bench(line), 0, "%s", what_it_said());
    snprintf(path, sizeof(path), "%s/c", server.folder);
    cr_assert_geq(lines_of(path), 2);
    snprintf(path, sizeof(path), "%s/h.get.hgrm", server.folder);
    cr_assert_gt(lines_of(path), 10);
    snprintf(path, sizeof(path), "%s/h.put.hgrm", server.folder);
    cr_assert_gt(lines_of(path), 10);
    snprintf(path, sizeof(path), "%s/l", server.folder);
    cr_assert_eq(lines_of(path), 5, "three lines before one for each operation");
}

Test(bench, a_file_that_cannot_be_written_is_named_and_exits_with_1)
{
    cr_assert_eq(bench("-w a --keys 50 --size 64 -n 100 --csv /nowhere/c"), 1);
    cr_assert_not_null(strstr(what_it_said(), "/nowhere/c"));
}

Test(bench, a_run_leaves_nothing_behind)
{
    int64_t before = info_of("objects", "count");
    int rc = bench("--mix get=20,put=20,read=20,write=20,alloc=12,free=8 --keys 300 --size 1000 -n "
                   "20000 -P 16 --assert errors==0");

    cr_assert_eq(rc, 0, "%d: %s", rc, what_it_said());
    cr_assert_eq(info_of("objects", "count"), before);
}

/* Requests that a run's document tells of. */
static int64_t ops_of(const json_t *target)
{
    const char *name;
    json_t *value;
    int64_t ops = 0;

    json_object_foreach(json_object_get(target, "ops"), name, value) ops +=
        json_integer_value(json_object_get(value, "ops"));
    return ops;
}

/* Whether all of the rate is reached is the machine's affair; that the gate says so is ours. */
Test(bench, an_open_loop_is_no_faster_than_its_rate_and_says_whether_it_kept_it)
{
    char line[512];

    snprintf(line, sizeof(line), "-w b --keys 500 --size 512 -R 1000 -d 2s --assert rate --json %s",
             json_path);
    int rc = bench(line);
    json_t *doc = json_load_file(json_path, 0, NULL);
    int64_t ops = ops_of(json_array_get(json_object_get(doc, "targets"), 0));

    cr_assert_not_null(strstr(what_it_said(), "INTENDED"));
    cr_assert_not_null(strstr(what_it_said(), rc == 0 ? "PASS    rate" : "FAIL rate"), "%d: %s", rc,
                       what_it_said());
    cr_assert_gt(ops, 0);
    cr_assert_leq(ops, 2010, "%s", what_it_said());
    json_decref(doc);
}

Test(bench, a_gate_that_does_not_hold_is_named_and_exits_with_1)
{
    int rc = bench("-w b --keys 100 --size 64 -n 1000 --assert get.p50<1us --assert errors==0");

    cr_assert_eq(rc, 1, "%d: %s", rc, what_it_said());
    cr_assert_not_null(strstr(what_it_said(), "FAIL get.p50<1us"));
    cr_assert_not_null(strstr(what_it_said(), "PASS    errors==0"));
}

Test(bench, the_document_has_every_request_in_it)
{
    char line[512];
    json_t *doc;
    json_t *target;
    int64_t rows = 0;
    json_t *value;
    size_t i;

    snprintf(line, sizeof(line),
             "-w a --keys 100 --size 4KiB -n 5000 -P 4 --rounds 3 --server-pid %d --json %s -q",
             (int)server.pid, json_path);
    cr_assert_eq(bench(line), 0, "%s", what_it_said());
    cr_assert_str_eq(what_it_said(), "");
    doc = json_load_file(json_path, 0, NULL);
    cr_assert_str_eq(json_string_value(json_object_get(doc, "schema")), "farheap-bench/1");
    target = json_array_get(json_object_get(doc, "targets"), 0);
    json_array_foreach(json_object_get(target, "seconds"), i, value) rows +=
        json_integer_value(json_object_get(value, "ops"));
    cr_assert_eq(ops_of(target), 5000);
    cr_assert_eq(rows, 5000);
    cr_assert_gt(json_real_value(json_object_get(target, "server_cpu_ns_per_op")), 100.0);
    cr_assert_eq(json_array_size(json_object_get(target, "rounds")), 3);
    cr_assert_gt(json_real_value(json_object_get(target, "median_ops_per_second")), 1.0);
    cr_assert_gt(json_real_value(json_object_get(target, "median_server_cpu_ns_per_op")), 100.0);
    json_decref(doc);
}

static void check_schema(const char *path)
{
    json_t *schema = json_load_file(FARHEAP_SOURCE_DIR "/docs/farheap-bench.schema.json", 0, NULL);
    json_t *doc = json_load_file(path, 0, NULL);
    struct schema_check check = {.root = schema};

    cr_assert_not_null(schema);
    cr_assert_not_null(doc);
    cr_expect(schema_fits(&check, schema, doc, ""), "%s", check.why);
    /* And a document that is not right does not pass. */
    json_object_set_new(json_object_get(doc, "host"), "surprise", json_true());
    cr_expect(!schema_fits(&check, schema, doc, ""));
    json_decref(schema);
    json_decref(doc);
}

Test(bench, every_document_fits_the_schema_in_the_docs)
{
    static const char *const lines[] = {
        "-w e --keys 200 --size-range 50-500 -n 500 --dist hotspot --rounds 2",
        "-w f --keys 200 --size 64 -R 2000 -d 1s --warmup 0s --arrival poisson",
        "-w alloc-churn -n 500 --no-server-stats",
        "-w b --keys 200 --size 64 --ramp 500:1000:500/200ms --warmup 0s --assert p50<1h",
    };
    char line[512];

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        snprintf(line, sizeof(line), "%s -q --json %s", lines[i], json_path);
        (void)bench(line); /* whether a rate was kept is the machine's affair */
        check_schema(json_path);
    }
}

/* A step of a rate that nothing can keep is the last, and is told from those before. */
Test(bench, a_ramp_ends_with_the_first_rate_that_does_not_hold)
{
    json_t *doc, *target, *steps;
    char line[512];

    snprintf(line, sizeof(line),
             "-w c --keys 100 --size 64 -c 1 --ramp 1:5000001:5M/2s --warmup 0s --json %s",
             json_path);
    cr_assert_eq(bench(line), 0, "%s", what_it_said());
    doc = json_load_file(json_path, 0, NULL);
    target = json_array_get(json_object_get(doc, "targets"), 0);
    steps = json_object_get(target, "ramp");
    cr_assert_eq(json_array_size(steps), 2, "%s", what_it_said());
    cr_assert(json_is_null(json_object_get(json_array_get(steps, 0), "broke")));
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(steps, 1), "broke")), "rate");
    cr_assert_float_eq(json_number_value(json_object_get(target, "ramp_held_rate")), 1, 0);
    cr_assert_not_null(strstr(what_it_said(), "highest rate that held: 1 op/s"));
    json_decref(doc);
}

Test(bench, a_ramp_whose_first_rate_does_not_hold_exits_with_1)
{
    cr_assert_eq(bench("-w c --keys 100 --size 64 --ramp 100:200:100/300ms --assert get.p50<1ns"),
                 1, "%s", what_it_said());
    cr_assert_not_null(strstr(what_it_said(), "FAIL get.p50<1ns"));
}

Test(bench, a_picture_is_drawn_over_time_and_by_rate)
{
    static const char *const lines[] = {"-w a -d 2s", "-w b -R 500 -d 1s",
                                        "-w a --ramp 200:400:200/300ms"};
    char line[512];

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char text[65536];
        FILE *f;

        snprintf(line, sizeof(line), "%s --keys 50 --size 64 --warmup 0s -q --plot %s", lines[i],
                 json_path);
        (void)bench(line);
        f = fopen(json_path, "r");
        cr_assert_not_null(f);
        text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
        fclose(f);
        cr_assert_eq(strncmp(text, "<svg ", 5), 0);
        cr_assert_str_eq(text + strlen(text) - 7, "</svg>\n");
        cr_assert_null(strstr(text, "nan"));
        cr_assert_null(strstr(text, "inf"));
        cr_assert_not_null(strstr(text, i == 2 ? "asked for" : "longest"));
    }
}

/* The most that the load tester can do is measured against a server that does nothing. */
Test(bench, the_null_server_answers_every_workload)
{
    static const char *const lines[] = {"-w a -n 3000 -P 16",    "-w raw-rw -n 2000 --size 300000",
                                        "-w e -n 200",           "-w f -n 500",
                                        "-w fault-storm -n 500", "-w alloc-churn -n 500"};
    char line[512];
    int out[2];
    pid_t null;
    FILE *f;

    cr_assert_eq(pipe(out), 0);
    if ((null = fork()) == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out[1], STDOUT_FILENO);
        execl(FARHEAP_TOOL, "farheap", "bench", "null", "0", NULL);
        _exit(127);
    }
    close(out[1]);
    f = fdopen(out[0], "r");
    cr_assert_not_null(fgets(url, sizeof(url), f));
    strcpy(url + strcspn(url, "\n"), "/?timeout=100s");
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        snprintf(line, sizeof(line), "%s --keys 20 --assert errors==0", lines[i]);
        cr_expect_eq(bench(line), 0, "%s: %s", line, what_it_said());
    }
    kill(null, SIGTERM);
    waitpid(null, NULL, 0);
    fclose(f);
}

/* All that `farheap bench` writes when it has a terminal, or only stderr, to write to. */
static void on_a_terminal(bool stdout_too, char *text, size_t room)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    size_t size = 0;
    ssize_t n;
    pid_t pid;

    cr_assert(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
    if ((pid = fork()) == 0) {
        int fd = open(ptsname(terminal), O_RDWR);

        dup2(stdout_too ? fd : open("/dev/null", O_WRONLY), STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        close(terminal);
        execl(FARHEAP_TOOL, "farheap", "bench", "-u", url, "-w", "b", "--keys", "50", "-d", "1s",
              NULL);
        _exit(127);
    }
    /* The end of a terminal whose other side is closed is an error. */
    while (size + 1 < room && (n = read(terminal, text + size, room - size - 1)) != 0) {
        if (n > 0)
            size += (size_t)n;
        else if (waitpid(pid, NULL, WNOHANG) == pid)
            break;
    }
    text[size] = '\0';
    close(terminal);
}

Test(bench, a_line_shows_the_run_only_where_the_report_goes_to_a_terminal)
{
    static char text[65536];

    on_a_terminal(true, text, sizeof(text));
    cr_assert_not_null(strstr(text, "farheap: running"), "%s", text);
    cr_assert_not_null(strstr(text, "P99.9"));
    on_a_terminal(false, text, sizeof(text));
    cr_assert_null(strstr(text, "running"), "%s", text);
}

/* Its fill is over; then it runs for a while. */
static void wait_for_objects(int64_t count)
{
    while (info_of("objects", "count") < count) /* the suite's timeout ends it */
        usleep(50000);
    sleep(1);
}

Test(bench, an_interrupted_run_reports_cleans_up_and_exits_with_130)
{
    int64_t before = info_of("objects", "count");
    pid_t pid = bench_start("-w b --keys 500 --size 64 -d 200s");

    wait_for_objects(before + 500);
    kill(pid, SIGINT);
    cr_assert_eq(bench_wait(pid), 130, "%s", what_it_said());
    cr_assert_not_null(strstr(what_it_said(), "P99.9"));
    cr_assert_eq(info_of("objects", "count"), before);
}

Test(bench, more_than_fits_is_refused_with_the_reason)
{
    int rc = bench("-w c --keys 2000 --size 1MiB -d 1s");

    cr_assert_eq(rc, 6, "%d: %s", rc, what_it_said());
    cr_assert_not_null(strstr(what_it_said(), "NO_SPACE"));
}

Test(bench, a_server_that_dies_ends_in_errors_and_not_in_a_hang)
{
    pid_t pid = bench_start("-w b --keys 500 --size 64 -d 8s --warmup 0s --assert errors==0");

    wait_for_objects(500);
    cr_assert_eq(server_process_signal(&server, SIGKILL), 0);
    cr_assert_eq(bench_wait(pid), 1, "%s", what_it_said());
    cr_assert_not_null(strstr(what_it_said(), "failed: CONNECTION"));
}

Test(bench, no_server_is_said_and_exits_with_4)
{
    snprintf(url, sizeof(url), "farheap://127.0.0.1:1");
    cr_assert_eq(bench("-d 1s"), 4, "%s", what_it_said());
}
