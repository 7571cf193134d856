/* A pool of clients against a real farheapd: who gets one, who waits, and what a lost server means. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/farheap.h"
#include "tests/support/wire/server_process.h"

static struct server_process server;
static fh_pool *pool;
static char url[64];

static void setup(void)
{
    cr_assert_eq(server_process_start(&server, FARHEAPD, NULL), 0, "see %s", server.log_path);
    (void)snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s", server.ports[0]);
}

static void teardown(void)
{
    fh_pool_close(pool);
    server_process_fini(&server);
}

TestSuite(sdk_pool, .init = setup, .fini = teardown, .timeout = 120);

static fh_client *take(int timeout_ms)
{
    fh_client *client;

    return fh_pool_get(pool, timeout_ms, &client) == FH_OK ? client : NULL;
}

Test(sdk_pool, each_client_has_one_owner_and_works)
{
    fh_client *clients[3];

    cr_assert_eq(fh_pool_open(url, NULL, 3, &pool), FH_OK, "%s", fh_pool_errmsg(pool));
    for (int i = 0; i < 3; i++) {
        cr_assert_not_null(clients[i] = take(0));
        for (int n = 0; n < i; n++)
            cr_assert_neq(clients[i], clients[n]);
        cr_assert_eq(fh_put(clients[i], "x", 1, "abc", 3, NULL, NULL), FH_OK);
    }
    cr_assert_null(take(0));
    cr_assert_null(take(20));
    fh_pool_put(pool, clients[1]);
    cr_assert_eq(take(0), clients[1]);
}

Test(sdk_pool, what_was_given_back_last_is_taken_first)
{
    fh_client *a;
    fh_client *b;

    cr_assert_eq(fh_pool_open(url, NULL, 2, &pool), FH_OK);
    a = take(0);
    b = take(0);
    fh_pool_put(pool, a);
    fh_pool_put(pool, b);
    cr_assert_eq(take(0), b);
    cr_assert_eq(take(0), a);
    fh_pool_put(pool, NULL);
    cr_assert_null(take(0));
}

static void *take_and_tell(void *arg)
{
    fh_client **got = arg;

    *got = take(-1);
    return NULL;
}

Test(sdk_pool, who_waits_gets_what_comes_back)
{
    fh_client *only;
    fh_client *got = NULL;
    pthread_t thread;

    cr_assert_eq(fh_pool_open(url, NULL, 1, &pool), FH_OK);
    only = take(0);
    cr_assert_eq(pthread_create(&thread, NULL, take_and_tell, &got), 0);
    usleep(20000); /* that it may be waiting; the test is right either way */
    fh_pool_put(pool, only);
    pthread_join(thread, NULL);
    cr_assert_eq(got, only);
}

Test(sdk_pool, a_pool_that_cannot_be_opened_says_why)
{
    fh_client *client;

    cr_assert_eq(fh_pool_open("farheap://127.0.0.1:1", NULL, 2, &pool), FH_CONNECTION);
    cr_assert_not_null(strstr(fh_pool_errmsg(pool), "127.0.0.1"));
    cr_assert_eq(fh_pool_get(pool, 0, &client), FH_INVALID);
    fh_pool_close(pool);
    cr_assert_eq(fh_pool_open(url, NULL, 0, &pool), FH_INVALID);
    fh_pool_close(pool);
    cr_assert_eq(fh_pool_open(url, NULL, 4097, &pool), FH_INVALID);
    fh_pool_close(pool);
    pool = NULL;
    fh_pool_close(NULL);
}

Test(sdk_pool, a_client_whose_server_went_away_can_be_given_back)
{
    char byte;
    size_t got;
    fh_client *client;

    cr_assert_eq(fh_pool_open(url, NULL, 1, &pool), FH_OK);
    cr_assert_eq(server_process_signal(&server, SIGKILL), 0);
    (void)server_process_wait(&server, 100000);
    client = take(0);
    cr_assert_eq(fh_get(client, "x", 1, 0, &byte, 1, &got, NULL), FH_CONNECTION);
    fh_pool_put(pool, client);
    cr_assert_eq(take(0), client);
}
