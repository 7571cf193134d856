/* Many in one call: each item as if asked for alone, over two zones and more than one window. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/farheap.h"
#include "tests/support/wire/server_process.h"

enum { COUNT = 1500, BODY = 300 };

static struct server_process server;
static fh_client *client;
static fh_item items[COUNT];
static char names[COUNT][16], bodies[COUNT][BODY], back[COUNT][BODY];

static void setup(void)
{
    static const char *const flags[] = {"--zones=2", NULL};
    char url[64];

    cr_assert_eq(server_process_start(&server, FARHEAPD, flags), 0, "see %s", server.log_path);
    (void)snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s", server.ports[0]);
    cr_assert_eq(fh_open(url, NULL, &client), FH_OK, "%s", fh_errmsg(client));
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "name/%zu", i);
        memset(bodies[i], (int)i, BODY);
    }
}

static void teardown(void)
{
    fh_close(client);
    server_process_fini(&server);
}

TestSuite(sdk_many, .init = setup, .fini = teardown, .timeout = 300);

#define MUST(call) cr_assert_eq((call), FH_OK, "%s", fh_errmsg(client))

/* Item i: its name, its body to store, its room to read into. */
static void items_fill(void)
{
    memset(items, 0xA5, sizeof(items));
    for (size_t i = 0; i < COUNT; i++) {
        items[i].name = names[i];
        items[i].name_size = strlen(names[i]);
        items[i].offset = 0;
        items[i].into = back[i];
        items[i].from = bodies[i];
        items[i].size = i % (BODY + 1);
    }
}

Test(sdk_many, what_many_put_many_get_and_delete)
{
    items_fill();
    MUST(fh_put_many(client, items, COUNT, NULL));
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert_eq(items[i].status, FH_OK);
        cr_assert_eq(items[i].object.bytes, items[i].size);
        cr_assert_neq(items[i].object.version, 0);
    }
    items_fill();
    MUST(fh_get_many(client, items, COUNT));
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert_eq(items[i].bytes, items[i].size);
        cr_assert_eq(items[i].object.bytes, items[i].size);
        cr_assert_eq(memcmp(back[i], bodies[i], items[i].size), 0);
    }
    items_fill();
    MUST(fh_delete_many(client, items, COUNT));
    cr_assert_eq(fh_get_many(client, items, COUNT), FH_NOT_FOUND);
}

Test(sdk_many, handles_are_written_and_read_in_ranges)
{
    fh_handle handle;

    MUST(fh_alloc(client, COUNT * BODY, NULL, &handle));
    items_fill();
    for (size_t i = 0; i < COUNT; i++) {
        items[i].handle = handle;
        items[i].offset = i * BODY;
        items[i].size = BODY;
    }
    MUST(fh_writev(client, items, COUNT));
    MUST(fh_readv(client, items, COUNT));
    for (size_t i = 0; i < COUNT; i++)
        cr_assert_eq(items[i].bytes, BODY);
    cr_assert_eq(memcmp(back, bodies, sizeof(back)), 0);
}

Test(sdk_many, one_that_fails_does_not_keep_the_others_from_being_done)
{
    items_fill();
    MUST(fh_put_many(client, items, 10, NULL));
    items_fill();
    items[3].name = "nobody";
    items[3].name_size = 6;
    items[7].name_size = 2000;
    cr_assert_eq(fh_get_many(client, items, 10), FH_INVALID, "found before anything was sent");
    cr_assert_eq(items[3].status, FH_NOT_FOUND);
    cr_assert_eq(items[7].status, FH_INVALID);
    for (size_t i = 0; i < 10; i++)
        if (i != 3 && i != 7)
            cr_assert_eq(items[i].status, FH_OK);
    cr_assert_not_null(strstr(fh_errmsg(client), "1024 bytes"), "%s", fh_errmsg(client));
}

Test(sdk_many, how_goes_for_each_put)
{
    const fh_how absent = {.size = sizeof(absent), .flags = FH_IF_ABSENT, .ttl_ms = 60000};

    items_fill();
    MUST(fh_put_many(client, items, 5, &absent));
    cr_assert_eq(fh_put_many(client, items, 10, &absent), FH_EXISTS);
    for (size_t i = 0; i < 10; i++) {
        cr_assert_eq(items[i].status, i < 5 ? FH_EXISTS : FH_OK);
        cr_assert(i < 5 || items[i].object.ttl_ms > 0);
    }
}

Test(sdk_many, what_was_submitted_before_stays_the_callers)
{
    fh_req *req, *done;
    fh_result result;

    MUST(fh_submit_put(client, "own", 3, "abc", 3, NULL, &req));
    items_fill();
    MUST(fh_put_many(client, items, 100, NULL));
    MUST(fh_wait_any(client, &done, -1));
    cr_assert_eq(done, req);
    fh_req_result(req, &result);
    cr_assert_eq(result.status, FH_OK);
    fh_req_free(req);
    cr_assert_eq(fh_in_flight(client), 0);
}

Test(sdk_many, none_is_many_too)
{
    MUST(fh_get_many(client, items, 0));
    MUST(fh_put_many(client, NULL, 0, NULL));
}

Test(sdk_many, a_server_that_dies_ends_every_item)
{
    items_fill();
    (void)kill(server.pid, SIGKILL);
    cr_assert_eq(fh_put_many(client, items, COUNT, NULL), FH_CONNECTION);
    for (size_t i = 0; i < COUNT; i++)
        cr_assert_neq(items[i].status, FH_OK);
    cr_assert_eq(fh_in_flight(client), 0);
}
