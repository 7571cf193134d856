/*
 * A budget that changes under a real server: its resident memory follows, its clients see nothing of it, and zones
 * lend each other what they do not need.
 */
#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/farheap.h"
#include "tests/support/wire/server_process.h"
#include "tests/support/wire/wire_client.h"

#define MIB (UINT64_C(1) << 20)

enum { OBJECT = 256 << 10 };

/* What a sanitizer keeps in memory for itself is as much as what is measured here. */
#if defined(FH_DEEP_CHECKS) && FH_DEEP_CHECKS
enum { RSS_SLACK_MIB = 1024, RSS_LESS_MIB = 30 };
#else
enum { RSS_SLACK_MIB = 32, RSS_LESS_MIB = 60 };
#endif

static struct server_process server;
static char admin[64], url[64];

static void teardown(void)
{
    server_process_fini(&server);
}

TestSuite(budget, .fini = teardown, .timeout = 300);

/* The admin port is in the log. */
static void find_admin(void)
{
    static const char mark[] = "admin on 127.0.0.1:";
    char log[16384];
    FILE *f = fopen(server.log_path, "r");
    size_t size = f ? fread(log, 1, sizeof(log) - 1, f) : 0;

    cr_assert_gt(size, 0);
    fclose(f);
    log[size] = 0;
    const char *at = strstr(log, mark);
    cr_assert_not_null(at, "%s", log);
    snprintf(admin, sizeof(admin), "127.0.0.1:%d", atoi(at + sizeof(mark) - 1));
    snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s", server.ports[0]);
}

static void serve(const char *const *flags)
{
    cr_assert_eq(server_process_start(&server, FARHEAPD, flags), 0, "see %s", server.log_path);
    find_admin();
}

/* memory.KEY of the info document. */
static uint64_t memory(fh_client *client, const char *key)
{
    char *text;
    size_t size;

    cr_assert_eq(fh_view(client, "info", &text, &size), FH_OK);
    json_t *doc = json_loadb(text, size, 0, NULL);
    json_t *value = json_object_get(json_object_get(doc, "memory"), key);
    uint64_t number = json_is_string(value) ? strcmp(json_string_value(value), "steady") != 0
                                            : (uint64_t)json_integer_value(value);
    json_decref(doc);
    free(text);
    return number;
}

/* The command; its exit code. */
static int tool(const char *format, ...)
{
    char line[1024], words[256];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    (void)snprintf(line, sizeof(line), "%s -u %s %s >%s/out 2>&1", FARHEAP_TOOL, url, words,
                   server.folder);
    int status = system(line);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void body_fill(uint64_t *words, uint32_t object)
{
    for (uint32_t i = 0; i < OBJECT / sizeof(*words); i++)
        words[i] = ((uint64_t)object << 32 | i) * UINT64_C(0x9e3779b97f4a7c15);
}

static void put(fh_client *client, uint32_t object)
{
    static uint64_t words[OBJECT / sizeof(uint64_t)];
    char name[16];
    int n = snprintf(name, sizeof(name), "o/%u", object);

    body_fill(words, object);
    cr_assert_eq(fh_put(client, name, (size_t)n, words, OBJECT, NULL, NULL), FH_OK, "%s",
                 fh_errmsg(client));
}

static void expect(fh_client *client, uint32_t object)
{
    static uint64_t words[OBJECT / sizeof(uint64_t)], got[OBJECT / sizeof(uint64_t)];
    char name[16];
    size_t size;
    int n = snprintf(name, sizeof(name), "o/%u", object);

    body_fill(words, object);
    cr_assert_eq(fh_get(client, name, (size_t)n, 0, got, sizeof(got), &size, NULL), FH_OK, "%s",
                 fh_errmsg(client));
    cr_assert_eq(size, OBJECT);
    cr_assert_eq(memcmp(words, got, OBJECT), 0, "object %u", object);
}

/* Until it is so, or for ever: the suite's timeout ends it. */
static void wait_for(fh_client *client, const char *key, uint64_t most)
{
    while (memory(client, key) > most)
        usleep(20000);
}

Test(budget, resident_memory_follows_what_is_configured)
{
    fh_client *client;

    serve((const char *[]){"--memory=128MiB", "--memory-max=256MiB", "--swap-size=256MiB",
                           "--zones=2", "--admin-listen=127.0.0.1:0", NULL});
    cr_assert_eq(fh_open(url, NULL, &client), FH_OK);
    for (uint32_t i = 0; i < 400; i++) /* 100 MiB */
        put(client, i);
    size_t full = server_process_rss(&server);
    cr_assert_gt(full, 90 * MIB);
    cr_assert_eq(tool("config set memory 32MiB --admin %s", admin), 0);
    for (uint32_t i = 0; i < 400; i += 7) /* while it shrinks */
        expect(client, i);
    wait_for(client, "bytes", 32 * MIB);
    wait_for(client, "budget_state", 0);
    cr_assert_lt(server_process_rss(&server), full - RSS_LESS_MIB * MIB, "%zu of %zu",
                 server_process_rss(&server), full);
    for (uint32_t i = 0; i < 400; i++)
        expect(client, i);
    cr_assert_lt(server_process_rss(&server), full - RSS_LESS_MIB * MIB);
    cr_assert_eq(tool("config set memory 200MiB --admin %s", admin), 0);
    while (memory(client, "bytes") < 200 * MIB)
        usleep(20000);
    for (uint32_t i = 0; i < 400; i++)
        expect(client, i);
    cr_assert_gt(server_process_rss(&server), 90 * MIB, "all of it is in memory again");
    fh_close(client);
}

Test(budget, what_cannot_be_is_refused_and_what_is_can_be_read)
{
    serve((const char *[]){"--memory=16MiB", "--memory-max=64MiB", "--admin-listen=127.0.0.1:0",
                           NULL});
    cr_assert_eq(tool("config get memory | grep -qx 16MiB"), 0);
    cr_assert_eq(tool("config set memory 65MiB --admin %s", admin), 1);
    cr_assert_eq(tool("config set memory 100KiB --admin %s", admin), 1);
    cr_assert_eq(tool("config set memory much --admin %s", admin), 1);
    cr_assert_eq(tool("config set zones 3 --admin %s", admin), 1);
    cr_assert_eq(tool("config set memory 64MiB --admin nowhere"), 2);
    cr_assert_eq(tool("config set memory 64MiB --admin 127.0.0.1:1"), 4);
    cr_assert_eq(tool("config get nothing"), 3);
    cr_assert_eq(tool("config get memory --admin %s", admin), 2);
    cr_assert_eq(tool("config frobnicate"), 2);
    cr_assert_eq(tool("config get memory | grep -qx 16MiB"), 0, "all that changed nothing");
    cr_assert_eq(tool("config set memory 64MiB --admin %s", admin), 0);
    cr_assert_eq(tool("config get memory | grep -qx 64MiB"), 0);
    cr_assert_eq(tool("--plain config list | grep -q '^memory.64MiB.set$'"), 0);
    cr_assert_eq(tool("--json config list | grep -q farheap-config/1"), 0);
    cr_assert_eq(tool("--json config set memory 32MiB --admin %s", admin), 0);
}

/* --- lending --- */

static uint64_t zone_frames(fh_client *client, size_t zone, const char *key)
{
    char *text;
    size_t size;

    cr_assert_eq(fh_view(client, "zones", &text, &size), FH_OK);
    json_t *doc = json_loadb(text, size, 0, NULL);
    json_t *row = json_array_get(json_object_get(doc, "zones"), zone);
    uint64_t number = (uint64_t)json_integer_value(json_object_get(row, key));
    json_decref(doc);
    free(text);
    return number;
}

/* Writes the pages of an object again and again, all in one zone, until it has got most of the memory. */
Test(budget, all_load_on_one_zone_gets_it_most_of_the_memory)
{
    enum { PIECE = 64 << 10, PIECES = 1024 }; /* 64 MiB of 64 */
    static uint8_t piece[PIECE];
    fh_client *client;
    fh_handle object;

    serve((const char *[]){"--memory=64MiB", "--swap-size=512MiB", "--zones=2",
                           "--admin-listen=127.0.0.1:0", NULL});
    cr_assert_eq(fh_open(url, NULL, &client), FH_OK);
    cr_assert_eq(fh_alloc(client, (uint64_t)PIECE * PIECES, NULL, &object), FH_OK);
    size_t zone = (size_t)(object.address >> 48), idle = server_process_rss(&server);
    for (uint32_t i = 0; zone_frames(client, zone, "frames_total") * 4096 < 52 * MIB; i++) {
        memset(piece, (int)(i % 251 + 1), PIECE);
        cr_assert_eq(fh_write(client, object, (uint64_t)(i % PIECES) * PIECE, piece, PIECE, NULL),
                     FH_OK, "%s", fh_errmsg(client));
        cr_assert_leq(memory(client, "bytes"), 64 * MIB, "the sum is the budget");
    }
    cr_assert_gt(memory(client, "lent_bytes"), 16 * MIB);
    cr_assert_gt(zone_frames(client, 1 - zone, "frames_total"), 143, "what a zone needs stays");
    cr_assert_lt(server_process_rss(&server), idle + (64 + RSS_SLACK_MIB) * MIB);
    fh_close(client);
}

/* --- a control group --- */

static char group[384], starter[128];

static bool group_write(const char *file, unsigned long long number)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", group, file);
    FILE *f = fopen(path, "w");
    bool good = f != NULL && fprintf(f, "%llu", number) > 0;
    return f != NULL && fclose(f) == 0 && good;
}

static void group_remove(void)
{
    server_process_fini(&server);
    for (int i = 0; i < 100 && group[0] && rmdir(group) != 0; i++)
        usleep(20000);
    if (starter[0])
        unlink(starter);
}

/* The folder of this process's memory group, version 1. */
static bool group_own(char *path, size_t size)
{
    FILE *f = fopen("/proc/self/cgroup", "r");
    char line[256];
    bool found = false;

    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
        const char *at = strstr(line, ":memory:");
        line[strcspn(line, "\n")] = 0;
        if (at != NULL) {
            snprintf(path, size, "/sys/fs/cgroup/memory%.200s", at + strlen(":memory:"));
            found = access(path, W_OK) == 0;
        }
    }
    if (f != NULL)
        fclose(f);
    return found;
}

/* A group of 256 MiB below our own, and a script that starts a server in it; false where that may not be. */
static bool group_make(void)
{
    char own[256];

    if (!group_own(own, sizeof(own)))
        return false;
    snprintf(group, sizeof(group), "%s/farheap-test-%d", own, (int)getpid());
    if (mkdir(group, 0755) != 0 || !group_write("memory.limit_in_bytes", 256 * MIB))
        return false;
    snprintf(starter, sizeof(starter), "/tmp/farheap-starter-%d", (int)getpid());
    FILE *f = fopen(starter, "w");
    if (f == NULL)
        return false;
    fprintf(f, "#!/bin/sh\necho $$ > %s/cgroup.procs && exec %s \"$@\"\n", group, FARHEAPD);
    return fclose(f) == 0 && chmod(starter, 0755) == 0;
}

Test(budget, a_lowered_limit_of_the_control_group_shrinks_it, .fini = group_remove)
{
    fh_client *client;

    if (!group_make())
        cr_skip_test("no control group of version 1 can be made here");
    cr_assert_eq(server_process_start(&server, starter,
                                      (const char *[]){"--memory=128MiB", "--swap-size=256MiB",
                                                       "--admin-listen=127.0.0.1:0", NULL}),
                 0, "see %s", server.log_path);
    find_admin();
    cr_assert_eq(fh_open(url, NULL, &client), FH_OK);
    for (uint32_t i = 0; i < 400; i++)
        put(client, i);
    cr_assert_eq(memory(client, "limit_bytes"), 256 * MIB);
    cr_assert(group_write("memory.limit_in_bytes", 200 * MIB));
    cr_assert_eq(memory(client, "budget_bytes"), 128 * MIB);
    while (memory(client, "limit_bytes") != 200 * MIB)
        usleep(50000);
    cr_assert(group_write("memory.limit_in_bytes", 160 * MIB));
    wait_for(client, "budget_bytes", 127 * MIB);
    cr_assert(server_process_log_has(&server, "the control group leaves less", 100000));
    wait_for(client, "budget_state", 0);
    for (uint32_t i = 0; i < 400; i++)
        expect(client, i);
    cr_assert(group_write("memory.limit_in_bytes", 256 * MIB));
    while (memory(client, "bytes") < 128 * MIB)
        usleep(50000);
    cr_assert(server_process_log_has(&server, "the control group leaves more", 100000));
    fh_close(client);
}

Test(budget, what_the_control_group_cannot_hold_is_refused_at_start, .fini = group_remove)
{
    if (!group_make())
        cr_skip_test("no control group of version 1 can be made here");
    int rc = server_process_start(&server, starter,
                                  (const char *[]){"--memory=250MiB", "--swap-size=64MiB", NULL});
    cr_assert_neq(rc, 0);
    cr_assert_eq(server_process_wait(&server, 100000), 4);
    cr_assert(server_process_log_has(&server, "set memory to", 1000));
}
