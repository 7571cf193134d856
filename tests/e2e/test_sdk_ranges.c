/* Ranges of one object through the library: one moment, whole or not at all, whatever left memory. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/farheap.h"
#include "tests/support/wire/server_process.h"

enum { LARGE = 1 << 20, PARTS = 16, PART = 256, GENERATIONS = 200 };

static struct server_process server;
static fh_client *client, *other;
static char parts[PARTS][PART], back[PARTS][PART];
static fh_range ranges[FH_RANGES_MAX + 1];

static void setup(void)
{
    static const char *const flags[] = {"--memory=16MiB", "--swap-size=64MiB", NULL};
    char url[64];

    cr_assert_eq(server_process_start(&server, FARHEAPD, flags), 0, "see %s", server.log_path);
    (void)snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s", server.ports[0]);
    cr_assert_eq(fh_open(url, NULL, &client), FH_OK, "%s", fh_errmsg(client));
    cr_assert_eq(fh_open(url, NULL, &other), FH_OK, "%s", fh_errmsg(other));
}

static void teardown(void)
{
    fh_close(client);
    fh_close(other);
    server_process_fini(&server);
}

TestSuite(sdk_ranges, .init = setup, .fini = teardown, .timeout = 300);

#define MUST(call) cr_assert_eq((call), FH_OK, "%s", fh_errmsg(client))

/* Part i lies in a page of its own, near its end. */
static void parts_fill(int generation, uint64_t step)
{
    for (size_t i = 0; i < PARTS; i++) {
        memset(parts[i], generation, PART);
        memset(back[i], 0xA5, PART);
        ranges[i] =
            (fh_range){.offset = i * step, .size = PART - i, .into = back[i], .from = parts[i]};
    }
}

static void expect_parts(int generation)
{
    for (size_t i = 0; i < PARTS; i++)
        for (size_t k = 0; k < PART - i; k++)
            cr_assert_eq((unsigned char)back[i][k], generation, "part %zu, byte %zu", i, k);
}

/* Enough that nothing else stays in memory. */
static void fill_memory(void)
{
    static char body[1 << 20];
    char name[16];

    for (int i = 0; i < 24; i++) {
        int size = snprintf(name, sizeof(name), "fill/%d", i);
        memset(body, i + 1, sizeof(body));
        MUST(fh_put(client, name, (size_t)size, body, sizeof(body), NULL, NULL));
    }
}

Test(sdk_ranges, parts_of_small_and_large_objects_come_back_also_from_swap)
{
    static const uint64_t sizes[] = {PARTS * 300, LARGE};

    for (size_t i = 0; i < 2; i++) {
        uint64_t written, read;
        fh_handle handle;
        MUST(fh_alloc(client, sizes[i], NULL, &handle));
        parts_fill(7, sizes[i] / PARTS);
        MUST(fh_write_ranges(client, handle, ranges, PARTS, NULL, &written));
        MUST(fh_read_ranges(client, handle, ranges, PARTS, &read));
        cr_assert_eq(read, written);
        expect_parts(7);
        fill_memory();
        parts_fill(0, sizes[i] / PARTS);
        MUST(fh_read_ranges(client, handle, ranges, PARTS, NULL));
        expect_parts(7);
    }
}

Test(sdk_ranges, a_write_of_what_was_read_fails_when_another_was_faster)
{
    fh_how how = {.size = sizeof(how)};
    fh_handle handle;

    MUST(fh_alloc(client, LARGE, NULL, &handle));
    parts_fill(1, LARGE / PARTS);
    MUST(fh_read_ranges(client, handle, ranges, PARTS, &how.if_version));
    MUST(fh_write(client, handle, 5, "x", 1, NULL));
    cr_assert_eq(fh_write_ranges(client, handle, ranges, PARTS, &how, NULL), FH_CONFLICT);
    MUST(fh_read_ranges(client, handle, ranges, PARTS, &how.if_version));
    cr_assert_eq(back[0][5], 'x');
    cr_assert_eq(back[1][5], 0);
    MUST(fh_write_ranges(client, handle, ranges, PARTS, &how, NULL));
}

/* Writes of one client and reads of another are in flight at the same time. */
Test(sdk_ranges, a_read_beside_writes_is_of_one_generation)
{
    fh_handle handle;

    MUST(fh_alloc(client, LARGE, NULL, &handle));
    pid_t writer = fork();
    if (writer == 0) {
        fh_client *mine;
        char url[64];
        (void)snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s", server.ports[0]);
        bool good = fh_open(url, NULL, &mine) == FH_OK;
        for (int g = 1; good && g < GENERATIONS; g++) {
            parts_fill(g, LARGE / PARTS);
            good = fh_write_ranges(mine, handle, ranges, PARTS, NULL, NULL) == FH_OK;
        }
        _exit(good ? 0 : 1);
    }
    int status, last = 0;
    do {
        parts_fill(0, LARGE / PARTS);
        cr_assert_eq(fh_read_ranges(other, handle, ranges, PARTS, NULL), FH_OK, "%s",
                     fh_errmsg(other));
        int generation = (unsigned char)back[0][0];
        cr_assert_geq(generation, last);
        last = generation;
        expect_parts(generation);
    } while (waitpid(writer, &status, WNOHANG) == 0);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 0);
    MUST(fh_read_ranges(client, handle, ranges, PARTS, NULL));
    expect_parts(GENERATIONS - 1);
}

Test(sdk_ranges, what_is_too_much_for_one_request_is_refused)
{
    static char room[65536];
    fh_handle handle;

    MUST(fh_alloc(client, (uint64_t)64 << 20, NULL, &handle));
    for (size_t i = 0; i <= FH_RANGES_MAX; i++)
        ranges[i] = (fh_range){.offset = i * 100000, .size = 8, .into = room, .from = room};
    cr_assert_eq(fh_read_ranges(client, handle, ranges, 0, NULL), FH_INVALID);
    cr_assert_eq(fh_read_ranges(client, handle, ranges, FH_RANGES_MAX + 1, NULL), FH_TOO_LARGE);
    MUST(fh_read_ranges(client, handle, ranges, FH_RANGES_MAX, NULL));
    MUST(fh_write_ranges(client, handle, ranges, FH_RANGES_MAX, NULL, NULL));
    ranges[3].offset = 4092 + 4096 * 100;
    cr_assert_eq(fh_write_ranges(client, handle, ranges, FH_RANGES_MAX, NULL, NULL), FH_TOO_LARGE,
                 "it touches 65 pages");
    ranges[0] = (fh_range){.offset = 0, .size = 65536, .into = room, .from = room};
    cr_assert_eq(fh_write_ranges(client, handle, ranges, 1, NULL, NULL), FH_TOO_LARGE);
    MUST(fh_read_ranges(client, handle, ranges, 1, NULL));
    cr_assert_eq(fh_read_ranges(client, handle, ranges, 2, NULL), FH_TOO_LARGE);
}
