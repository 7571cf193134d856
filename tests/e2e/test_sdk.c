/* libfarheap against a real farheapd: every call, over two zones, with less memory than data. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/farheap.h"
#include "tests/support/wire/server_process.h"

static struct server_process server;
static fh_client *client;
static char url[64];

static void setup(void)
{
    static const char *const flags[] = {"--zones=2", NULL};

    cr_assert_eq(server_process_start(&server, FARHEAPD, flags), 0, "see %s", server.log_path);
    (void)snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s", server.ports[0]);
    cr_assert_eq(fh_open(url, NULL, &client), FH_OK, "%s", fh_errmsg(client));
}

static void teardown(void)
{
    fh_close(client);
    server_process_fini(&server);
}

TestSuite(sdk, .init = setup, .fini = teardown, .timeout = 300);

#define MUST(call) cr_assert_eq((call), FH_OK, "%s", fh_errmsg(client))

/* Bytes that tell where they belong. */
static void fill(char *buf, size_t size, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15 + 1;

    for (size_t i = 0; i < size; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        buf[i] = (char)x;
    }
}

Test(sdk, hello_tells_zones_and_version)
{
    cr_assert_eq(fh_zones(client), 2);
    cr_assert_eq(strncmp(fh_server_version(client), "farheapd ", 9), 0);
    MUST(fh_ping(client, 0));
    MUST(fh_ping(client, 1));
    cr_assert_eq(fh_ping(client, 2), FH_INVALID);
}

Test(sdk, a_put_is_got_whole_and_in_ranges)
{
    static char body[100000], back[100000];
    fh_info info, looked;
    uint64_t total;
    size_t got;

    fill(body, sizeof(body), 1);
    MUST(fh_put(client, "a/b", 3, body, sizeof(body), NULL, &info));
    cr_assert_eq(info.bytes, sizeof(body));
    MUST(fh_get(client, "a/b", 3, 0, back, sizeof(back), &got, &total));
    cr_assert_eq(got, sizeof(body));
    cr_assert_eq(total, sizeof(body));
    cr_assert_eq(memcmp(body, back, got), 0);
    MUST(fh_get(client, "a/b", 3, 99990, back, sizeof(back), &got, &total));
    cr_assert_eq(got, 10);
    cr_assert_eq(memcmp(body + 99990, back, 10), 0);
    MUST(fh_get(client, "a/b", 3, 0, NULL, 0, &got, &total));
    cr_assert_eq(got, 0);
    cr_assert_eq(total, sizeof(body));
    MUST(fh_lookup(client, "a/b", 3, &looked));
    cr_assert_eq(looked.handle.address, info.handle.address);
    cr_assert_eq(looked.handle.key, info.handle.key);
    cr_assert_eq(looked.version, info.version);
}

Test(sdk, an_empty_object_is_an_object)
{
    uint64_t total = 1;
    size_t got = 1;
    char byte;

    MUST(fh_put(client, "empty", 5, NULL, 0, NULL, NULL));
    MUST(fh_get(client, "empty", 5, 0, &byte, 1, &got, &total));
    cr_assert_eq(got, 0);
    cr_assert_eq(total, 0);
}

Test(sdk, conditions_keep_a_name_from_being_replaced)
{
    fh_how absent = {.size = sizeof(absent), .flags = FH_IF_ABSENT};
    fh_how version = {.size = sizeof(version)};
    fh_info first, second;

    MUST(fh_put(client, "c", 1, "1", 1, &absent, &first));
    cr_assert_eq(fh_put(client, "c", 1, "2", 1, &absent, NULL), FH_EXISTS);
    version.if_version = first.version;
    MUST(fh_put(client, "c", 1, "2", 1, &version, &second));
    cr_assert_neq(second.version, first.version);
    cr_assert_eq(fh_put(client, "c", 1, "3", 1, &version, NULL), FH_CONFLICT);
    cr_assert_eq(fh_delete(client, "c", 1, &version), FH_CONFLICT);
    version.if_version = second.version;
    MUST(fh_delete(client, "c", 1, &version));
    cr_assert_eq(fh_delete(client, "c", 1, NULL), FH_NOT_FOUND);
    cr_assert_not_null(strstr(fh_errmsg(client), "delete c: NOT_FOUND"));
}

Test(sdk, memory_is_zero_until_written_and_stale_when_freed)
{
    char buf[64], zeros[64] = {0};
    fh_handle handle, other;
    fh_info info;

    MUST(fh_alloc(client, UINT64_C(1) << 34, NULL, &handle));
    MUST(fh_read(client, handle, UINT64_C(1) << 33, buf, 64));
    cr_assert_eq(memcmp(buf, zeros, 64), 0);
    MUST(fh_write(client, handle, (UINT64_C(1) << 33) + 4090, "across pages", 12, NULL));
    MUST(fh_read(client, handle, (UINT64_C(1) << 33) + 4090, buf, 12));
    cr_assert_eq(memcmp(buf, "across pages", 12), 0);
    MUST(fh_stat(client, handle, &info));
    cr_assert_eq(info.bytes, UINT64_C(1) << 34);
    cr_assert_eq(info.pages_frame + info.pages_swap, 2);
    cr_assert_eq(info.sealed, 0);
    MUST(fh_zero(client, handle, 0, UINT64_C(1) << 34));
    MUST(fh_read(client, handle, (UINT64_C(1) << 33) + 4090, buf, 12));
    cr_assert_eq(memcmp(buf, zeros, 12), 0);
    MUST(fh_resize(client, handle, 100, NULL, &other));
    cr_assert_eq(fh_read(client, other, 90, buf, 11), FH_INVALID);
    MUST(fh_free(client, other));
    cr_assert_eq(fh_free(client, other), FH_STALE);
    cr_assert_eq(fh_read(client, other, 0, buf, 1), FH_STALE);
}

Test(sdk, a_write_happens_only_at_the_version_it_names)
{
    fh_how how = {.size = sizeof(how)};
    fh_handle handle;
    fh_info info;

    MUST(fh_alloc(client, 4096, NULL, &handle));
    MUST(fh_stat(client, handle, &info));
    how.if_version = info.version;
    MUST(fh_write(client, handle, 0, "x", 1, &how));
    cr_assert_eq(fh_write(client, handle, 0, "y", 1, &how), FH_CONFLICT);
    MUST(fh_free(client, handle));
}

Test(sdk, eight_bytes_are_swapped_and_added_to)
{
    uint64_t seen = 77;
    fh_handle handle;

    MUST(fh_alloc(client, 64, NULL, &handle));
    MUST(fh_cas64(client, handle, 8, 0, 5, &seen));
    cr_assert_eq(seen, 0);
    cr_assert_eq(fh_cas64(client, handle, 8, 0, 6, &seen), FH_CONFLICT);
    cr_assert_eq(seen, 5);
    MUST(fh_add64(client, handle, 8, UINT64_MAX, &seen));
    cr_assert_eq(seen, 5);
    MUST(fh_add64(client, handle, 8, 0, &seen));
    cr_assert_eq(seen, 4);
    cr_assert_eq(fh_add64(client, handle, 4, 1, &seen), FH_INVALID);
    MUST(fh_free(client, handle));
}

Test(sdk, a_published_object_is_sealed_and_lives_as_long_as_it_was_told)
{
    fh_how near = {.size = sizeof(near), .ttl_ms = 60000, .near_name = "pub", .near_size = 3};
    char buf[8];
    fh_handle handle;
    fh_info info;
    size_t got;

    MUST(fh_alloc(client, 8, &near, &handle));
    MUST(fh_write(client, handle, 0, "12345678", 8, NULL));
    MUST(fh_publish(client, "pub", 3, handle, NULL, &info));
    MUST(fh_get(client, "pub", 3, 0, buf, 8, &got, NULL));
    cr_assert_eq(memcmp(buf, "12345678", 8), 0);
    MUST(fh_stat_name(client, "pub", 3, &info));
    cr_assert_eq(info.sealed, 1);
    cr_assert_eq(info.ttl_ms, 0, "publishing without a time to live means for ever");
    cr_assert_eq(fh_write(client, handle, 0, "x", 1, NULL), FH_CONFLICT);
}

Test(sdk, what_has_a_time_to_live_goes_away)
{
    fh_how how = {.size = sizeof(how), .ttl_ms = 100};
    fh_status status = FH_OK;
    fh_info info;

    MUST(fh_put(client, "t", 1, "x", 1, &how, NULL));
    for (int i = 0; i < 1200 && status == FH_OK; i++) {
        usleep(50 * 1000);
        status = fh_lookup(client, "t", 1, &info);
    }
    cr_assert_eq(status, FH_NOT_FOUND);
}

struct seen {
    unsigned char times[500];
    int count, stop_at;
};

static int see(void *context, const fh_entry *entry)
{
    struct seen *seen = context;
    char name[32];

    (void)snprintf(name, sizeof(name), "%.*s", (int)entry->name_size, (const char *)entry->name);
    seen->times[atoi(name + 5)]++;
    return ++seen->count == seen->stop_at;
}

Test(sdk, a_list_tells_every_name_once)
{
    struct seen seen = {.stop_at = 0}, some = {.stop_at = 7};

    for (int i = 0; i < 500; i++) {
        char name[16];
        int size = snprintf(name, sizeof(name), "list/%d", i);

        MUST(fh_put(client, name, (size_t)size, "x", 1, NULL, NULL));
    }
    MUST(fh_put(client, "other", 5, "x", 1, NULL, NULL));
    MUST(fh_list(client, "list/", 5, see, &seen));
    for (int i = 0; i < 500; i++)
        cr_assert_eq(seen.times[i], 1, "list/%d told %d times", i, seen.times[i]);
    MUST(fh_list(client, "list/", 5, see, &some));
    cr_assert_eq(some.count, 7);
}

/* Four times the memory of the server, through a pipeline, all of it verified. */
Test(sdk, more_than_memory_comes_back_as_it_was)
{
    enum { COUNT = 512, SIZE = 96 << 10, DEPTH = 16 };
    char *bodies = malloc((size_t)DEPTH * SIZE), *expect = malloc(SIZE);
    fh_req *reqs[DEPTH] = {NULL};
    char name[16];

    for (int i = 0; i < COUNT + DEPTH; i++) {
        int slot = i % DEPTH;
        fh_result result;

        if (reqs[slot] != NULL) {
            MUST(fh_wait(client, reqs[slot], -1));
            fh_req_result(reqs[slot], &result);
            cr_assert_eq(result.status, FH_OK, "%s", fh_errmsg(client));
            fh_req_free(reqs[slot]);
            reqs[slot] = NULL;
        }
        if (i >= COUNT)
            continue;
        fill(bodies + (size_t)slot * SIZE, SIZE, (uint64_t)i);
        MUST(fh_submit_put(client, name, (size_t)snprintf(name, sizeof(name), "o%d", i),
                           bodies + (size_t)slot * SIZE, SIZE, NULL, &reqs[slot]));
    }
    for (int i = COUNT; i-- > 0;) {
        size_t got;

        MUST(fh_get(client, name, (size_t)snprintf(name, sizeof(name), "o%d", i), 0, bodies, SIZE,
                    &got, NULL));
        fill(expect, SIZE, (uint64_t)i);
        cr_assert_eq(got, SIZE);
        cr_assert_eq(memcmp(bodies, expect, SIZE), 0, "o%d is wrong", i);
    }
    free(bodies);
    free(expect);
}

Test(sdk, a_put_longer_than_a_frame_appears_at_once_and_whole)
{
    static const char *const flags[] = {"--zones=2", "--max-body=1MiB", NULL};
    enum { SIZE = (5 << 20) + 123 };
    char *body = malloc(SIZE), *back = malloc(SIZE);
    struct server_process small;
    fh_client *other;
    fh_info info;
    uint64_t total;
    size_t got;

    cr_assert_eq(server_process_start(&small, FARHEAPD, flags), 0, "see %s", small.log_path);
    (void)snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s", small.ports[0]);
    cr_assert_eq(fh_open(url, NULL, &other), FH_OK, "%s", fh_errmsg(other));
    fill(body, SIZE, 9);
    cr_assert_eq(fh_put(other, "big", 3, body, SIZE, NULL, &info), FH_OK, "%s", fh_errmsg(other));
    cr_assert_eq(info.bytes, SIZE);
    cr_assert_eq(fh_get(other, "big", 3, 0, back, SIZE, &got, &total), FH_OK, "%s",
                 fh_errmsg(other));
    cr_assert_eq(got, SIZE);
    cr_assert_eq(memcmp(body, back, SIZE), 0);
    cr_assert_eq(fh_stat_name(other, "big", 3, &info), FH_OK);
    cr_assert_eq(info.ttl_ms, 0);
    cr_assert_eq(fh_write(other, info.handle, 0, body, 1, NULL), FH_CONFLICT);
    fh_close(other);
    server_process_fini(&small);
    free(body);
    free(back);
}

Test(sdk, views_are_documents)
{
    static const char *const views[] = {"info", "zones", "slabs", "buddy", "pages", "config"};

    for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
        char schema[64], *json;
        size_t size;

        MUST(fh_view(client, views[i], &json, &size));
        (void)snprintf(schema, sizeof(schema), "farheap-%s/1", views[i]);
        cr_assert_eq(strlen(json), size);
        cr_assert_not_null(strstr(json, schema), "%s: %.80s", views[i], json);
        free(json);
    }
}

Test(sdk, your_own_loop_can_drive_it)
{
    char buf[5];
    fh_req *put, *get, *done;
    int rounds = 0;

    MUST(fh_submit_put(client, "loop", 4, "12345", 5, NULL, &put));
    MUST(fh_flush(client));
    while (fh_in_flight(client) > 0 && rounds++ < 1000000) {
        int iter = 0, want, fd;

        while ((fd = fh_next_fd(client, &iter, &want)) >= 0)
            MUST(fh_ready(client, fd, want));
        MUST(fh_flush(client));
        usleep(100);
    }
    MUST(fh_wait_any(client, &done, 0));
    cr_assert_eq(done, put);
    fh_req_free(put);
    MUST(fh_submit_get(client, "loop", 4, 0, buf, 5, &get));
    MUST(fh_wait(client, get, -1));
    fh_req_free(get);
    cr_assert_eq(memcmp(buf, "12345", 5), 0);
    cr_assert_eq(fh_ready(client, -1, FH_WANT_READ), FH_NOT_FOUND);
}

Test(sdk, a_server_that_goes_away_is_an_error_and_no_signal)
{
    char buf[1];
    size_t got;

    MUST(fh_put(client, "x", 1, "x", 1, NULL, NULL));
    cr_assert_eq(server_process_signal(&server, SIGKILL), 0);
    (void)server_process_wait(&server, 5000);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(fh_get(client, "x", 1, 0, buf, 1, &got, NULL), FH_CONNECTION);
        cr_assert_eq(fh_put(client, "x", 1, "x", 1, NULL, NULL), FH_CONNECTION);
    }
}

/* --- typed caches */

static fh_how how_cache(const char *name)
{
    return (fh_how){.size = sizeof(fh_how), .cache = name, .cache_size = strlen(name)};
}

Test(sdk, objects_of_a_cache_start_from_its_bytes_in_every_zone)
{
    fh_how how = how_cache("point");
    fh_handle handles[4];
    uint64_t before;
    char buf[48];

    MUST(fh_cache_create(client, "point", 5, 48, 64, "start", 5));
    for (int i = 0; i < 4; i++) {
        MUST(fh_alloc(client, sizeof(buf), &how, &handles[i]));
        cr_assert_eq(handles[i].address >> 48, (uint64_t)i % 2, "zones in turn");
        cr_assert_eq(handles[i].address % 64, 0);
        MUST(fh_read(client, handles[i], 0, buf, sizeof(buf)));
        cr_assert_eq(memcmp(buf, "start\0\0", 7), 0);
    }
    MUST(fh_write(client, handles[0], 10, "XY", 2, NULL));
    MUST(fh_read(client, handles[0], 0, buf, sizeof(buf)));
    cr_assert_eq(memcmp(buf, "start\0\0\0\0\0XY\0", 13), 0);
    MUST(fh_zero(client, handles[0], 0, 2));
    MUST(fh_add64(client, handles[0], 0, 0, &before));
    cr_assert_eq(before, UINT64_C(0x7472610000));
    cr_assert_eq(fh_resize(client, handles[0], 49, NULL, &handles[0]), FH_INVALID);
    cr_assert_eq(fh_alloc(client, 49, &how, &handles[0]), FH_INVALID);
    cr_assert_eq(fh_cache_destroy(client, "point", 5), FH_BUSY);
    cr_assert_not_null(strstr(fh_errmsg(client), "free them first"));
    for (int i = 0; i < 4; i++)
        MUST(fh_free(client, handles[i]));
    MUST(fh_cache_destroy(client, "point", 5));
    cr_assert_eq(fh_cache_destroy(client, "point", 5), FH_NOT_FOUND);
    cr_assert_eq(fh_alloc(client, 1, &how, &handles[0]), FH_NOT_FOUND);
}

Test(sdk, a_cache_is_destroyed_zone_by_zone)
{
    fh_how how = how_cache("c");
    fh_handle first, second;

    MUST(fh_cache_create(client, "c", 1, 8, 0, NULL, 0));
    MUST(fh_alloc(client, 8, &how, &first));
    MUST(fh_alloc(client, 8, &how, &second));
    MUST(fh_free(client, first));
    cr_assert_eq(fh_cache_destroy(client, "c", 1), FH_BUSY, "one zone has an object");
    MUST(fh_free(client, second));
    MUST(fh_cache_destroy(client, "c", 1));
}

Test(sdk, a_cache_that_one_zone_refuses_is_in_none)
{
    fh_how near_a = how_cache("c");
    fh_handle handle;

    MUST(fh_cache_create(client, "c", 1, 8, 0, NULL, 0));
    MUST(fh_alloc(client, 8, &near_a, &handle));
    MUST(fh_alloc(client, 8, &near_a, &handle)); /* one in each zone */
    MUST(fh_free(client, handle));
    uint32_t empty = (uint32_t)(handle.address >> 48);
    cr_assert_eq(fh_cache_destroy(client, "c", 1), FH_BUSY); /* gone from one zone only */
    cr_assert_eq(fh_cache_create(client, "c", 1, 16, 0, NULL, 0), FH_EXISTS);
    cr_assert_not_null(strstr(fh_errmsg(client), "EXISTS"));
    for (int i = 0; i < 2; i++) {
        fh_status status = fh_alloc(client, 8, &near_a, &handle);
        cr_assert(status == FH_NOT_FOUND || handle.address >> 48 != empty,
                  "what was made in zone %u was taken back", empty);
    }
}

Test(sdk, a_submitted_allocation_knows_its_cache)
{
    char name[300];
    fh_result result;
    fh_req *req;

    memset(name, 'n', sizeof(name));
    MUST(fh_cache_create(client, name, 255, 100, 0, "abc", 3));
    fh_how how = {.size = sizeof(how), .cache = name, .cache_size = 255};
    MUST(fh_submit_alloc(client, 100, &how, &req));
    memset(name, 'x', sizeof(name)); /* it was copied */
    MUST(fh_wait(client, req, -1));
    fh_req_result(req, &result);
    cr_assert_eq(result.status, FH_OK);
    MUST(fh_read(client, result.object.handle, 0, name, 4));
    cr_assert_eq(memcmp(name, "abc", 4), 0);
    fh_req_free(req);
}

Test(sdk, what_a_cache_may_not_be_is_refused)
{
    static char long_name[256], body[40000];
    fh_how unnamed = {.size = sizeof(unnamed), .cache = "", .cache_size = 0};
    fh_handle handle;

    cr_assert_eq(fh_cache_create(client, "", 0, 8, 0, NULL, 0), FH_INVALID);
    cr_assert_eq(fh_cache_create(client, long_name, 256, 8, 0, NULL, 0), FH_INVALID);
    cr_assert_eq(fh_cache_create(client, "c", 1, 0, 0, NULL, 0), FH_INVALID);
    cr_assert_eq(fh_cache_create(client, "c", 1, 8, 12, NULL, 0), FH_INVALID);
    cr_assert_eq(fh_cache_create(client, "c", 1, 8, 0, "123456789", 9), FH_INVALID);
    cr_assert_eq(fh_cache_create(client, "c", 1, 32769, 0, NULL, 0), FH_TOO_LARGE);
    cr_assert_eq(fh_cache_create(client, "c", 1, 32768, 0, body, sizeof(body)), FH_INVALID);
    cr_assert_eq(fh_cache_destroy(client, "", 0), FH_INVALID);
    cr_assert_eq(fh_alloc(client, 8, &unnamed, &handle), FH_INVALID);
    MUST(fh_cache_create(client, "c", 1, 32768, 4096, body, 32768));
    MUST(fh_cache_destroy(client, "c", 1));
}

Test(sdk, a_caller_of_before_there_were_caches_allocates_as_ever)
{
    fh_how how = how_cache("nowhere");
    fh_handle handle;

    how.size = offsetof(fh_how, cache);
    MUST(fh_alloc(client, 8, &how, &handle));
}
