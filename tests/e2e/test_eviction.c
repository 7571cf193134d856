/*
 * Many clients on a server that holds a quarter of their data in memory: whatever they read carries
 * its own check. Over TCP and TLS, by both I/O backends, with one zone and with two; and clients
 * that die in the middle of a body.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/farheap.h"
#include "tests/support/wire/certificates.h"
#include "tests/support/wire/server_process.h"

static struct server_process server;
static char folder[] = "/tmp/farheap-eviction-XXXXXX";

static void setup(void)
{
    cr_assert_not_null(mkdtemp(folder));
}

static void teardown(void)
{
    char command[64];

    server_process_fini(&server);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(eviction, .init = setup, .fini = teardown, .timeout = 300);

static void serve(const char *const *flags)
{
    cr_assert_eq(server_process_start(&server, FARHEAPD, flags), 0, "see %s", server.log_path);
}

static fh_client *client_open(void)
{
    fh_client *client;
    char url[64];

    snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s",
             server.ports[server.port_count - 1]);
    cr_assert_eq(fh_open(url, NULL, &client), FH_OK);
    return client;
}

static int64_t info_of(const char *group, const char *key)
{
    fh_client *client = client_open();
    char *text;
    size_t size;

    cr_assert_eq(fh_view(client, "info", &text, &size), FH_OK);
    json_t *doc = json_loadb(text, size, 0, NULL);
    int64_t value = json_integer_value(json_object_get(json_object_get(doc, group), key));
    json_decref(doc);
    free(text);
    fh_close(client);
    return value;
}

/* 64 MiB of checked objects of three sizes, 32 connections, on 16 MiB of memory. */
static void load(const char *url, const char *more)
{
    char command[640];

    snprintf(command, sizeof(command),
             "%s bench -u '%s' %s --mix get=70,put=30 --dist uniform --sizes "
             "100:60,5000:35,300KiB:5 --keys 3500"
             " -c 32 -t 2 -P 4 -n 12000 --verify --assert errors==0 > %s/bench 2>&1 || { cat "
             "%s/bench; false; }",
             FARHEAP_TOOL, url, more, folder, folder);
    cr_assert_eq(system(command), 0);
    cr_assert_gt(info_of("reclaimed", "dirty"), 5000, "most of it must have been in swap");
    cr_assert_gt(info_of("faults", "swap"), 5000);
    cr_assert_eq(info_of("pages", "failed"), 0);
}

static void load_plain(const char *const *flags)
{
    char url[64];

    serve(flags);
    snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s", server.ports[0]);
    load(url, "");
}

Test(eviction, many_clients_read_what_was_written_over_tcp)
{
    load_plain((const char *[]){"--zones=2", "--swap-size=256MiB", NULL});
}

Test(eviction, many_clients_read_what_was_written_with_threads_for_io)
{
    load_plain((const char *[]){"--zones=1", "--swap-size=256MiB", "--io=threads", NULL});
}

Test(eviction, many_clients_read_what_was_written_over_tls)
{
    char cert[128], key[128], url[64], more[128];

    cr_assert_eq(certificates_make(folder), 0, "see %s/log", folder);
    snprintf(cert, sizeof(cert), "--tls-cert=%s/server.pem", folder);
    snprintf(key, sizeof(key), "--tls-key=%s/server.key", folder);
    serve((const char *[]){"--listen=127.0.0.1:0", "--listen=127.0.0.1:0,plain", cert, key,
                           "--zones=2", "--swap-size=256MiB", NULL});
    snprintf(url, sizeof(url), "farheaps://127.0.0.1:%u/?timeout=100s", server.ports[0]);
    snprintf(more, sizeof(more), "--cacert %s/ca.pem", folder);
    load(url, more);
}

/* A child that puts 48 MiB under a name; killed after a while. */
static void put_and_be_killed(useconds_t after)
{
    pid_t child = fork();

    if (child == 0) {
        fh_client *client = client_open();
        size_t size = 48u << 20;
        char *body = malloc(size);
        memset(body, 7, size);
        for (;;)
            (void)fh_put(client, "torn", 4, body, size, NULL, NULL);
    }
    usleep(after);
    kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, NULL, 0), child);
}

Test(eviction, a_client_killed_in_the_middle_of_a_body_leaves_nothing)
{
    serve((const char *[]){"--zones=1", "--swap-size=512MiB", NULL});
    for (useconds_t after = 5000; after < 200000; after = after * 3 / 2) {
        fh_client *client = client_open();
        uint64_t total = 0;
        size_t got;
        char byte;
        put_and_be_killed(after);
        fh_status status = fh_get(client, "torn", 4, 0, &byte, 1, &got, &total);
        cr_assert(status == FH_NOT_FOUND || (status == FH_OK && total == 48u << 20 && byte == 7),
                  "%s", fh_errmsg(client));
        if (status == FH_OK)
            cr_assert_eq(fh_delete(client, "torn", 4, NULL), FH_OK);
        fh_close(client);
    }
    /* A body may be whole on its way when its sender dies: then it is put after we have
     * looked. What is deleted gives its memory back bit by bit. */
    fh_client *client = client_open();
    for (int i = 0; i < 2000 && info_of("objects", "count") + info_of("memory", "frames_used") > 0;
         i++) {
        fh_status status = fh_delete(client, "torn", 4, NULL);
        cr_assert(status == FH_OK || status == FH_NOT_FOUND, "%s", fh_errmsg(client));
        usleep(50000);
    }
    fh_close(client);
    cr_assert_eq(info_of("objects", "count"), 0);
    cr_assert_eq(info_of("pages", "frame") + info_of("pages", "slot"), 0);
    cr_assert_eq(info_of("memory", "frames_used"), 0);
}
