/* Advice to a real farheapd, through the library and the command: memory, files, durable objects. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/farheap.h"
#include "tests/support/folder.h"
#include "tests/support/wire/server_process.h"

enum { PAGE = 4096, PAGES = 400, SIZE = PAGES * PAGE, WAITS = 1200, WAIT_US = 50000 };

static struct server_process server;
static fh_client *client;
static char folder[64], url[64], out[1 << 16];
static uint8_t body[SIZE], got[SIZE];

static const char *path_of(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

/* 16 MiB are 4096 frames, of which 1024 may be pinned. */
static void setup(void)
{
    char rw[128], data[128];
    const char *const flags[] = {"--zones=1", "--memory=16MiB", rw, data, NULL};

    (void)snprintf(folder, sizeof(folder), "/var/tmp/farheap-advise-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(mkdir(path_of("files"), 0755), 0);
    (void)snprintf(rw, sizeof(rw), "--export=rw=%s/files,rw", folder);
    (void)snprintf(data, sizeof(data), "--data-dir=%s/data", folder);
    cr_assert_eq(server_process_start(&server, FARHEAPD, flags), 0, "see %s", server.log_path);
    (void)snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=60s", server.ports[0]);
    cr_assert_eq(fh_open(url, NULL, &client), FH_OK, "%s", fh_errmsg(client));
    (void)setenv("FARHEAP_URL", url, 1);
    (void)setenv("FARHEAP", FARHEAP_TOOL, 1);
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)(i * 7 + i / PAGE + 1);
}

static void teardown(void)
{
    fh_close(client);
    server_process_fini(&server);
    folder_remove(folder);
}

TestSuite(advise, .init = setup, .fini = teardown, .timeout = 180);

#define MUST(call) cr_assert_eq((call), FH_OK, "%s", fh_errmsg(client))

static fh_info stat_of(fh_handle handle)
{
    fh_info info;

    MUST(fh_stat(client, handle, &info));
    return info;
}

static fh_handle filled(void)
{
    fh_handle handle;

    MUST(fh_alloc(client, SIZE, NULL, &handle));
    MUST(fh_write(client, handle, 0, body, SIZE, NULL));
    return handle;
}

/* The advice is followed when there is time for it. */
static void wait_for_frames(fh_handle handle, uint64_t pages)
{
    for (int i = 0; i < WAITS; i++) {
        if (stat_of(handle).pages_frame == pages)
            return;
        (void)usleep(WAIT_US);
    }
    cr_assert_eq(stat_of(handle).pages_frame, pages);
}

static void expect_bytes(fh_handle handle)
{
    memset(got, 0, sizeof(got));
    MUST(fh_read(client, handle, 0, got, SIZE));
    cr_assert_arr_eq(got, body, SIZE);
}

/* Runs a line of shell; its exit code, its words in `out`. */
__attribute__((format(printf, 1, 2))) static int run(const char *format, ...)
{
    char line[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    FILE *tool = popen(line, "r");
    cr_assert_not_null(tool);
    size_t size = fread(out, 1, sizeof(out) - 1, tool);
    out[size] = '\0';
    int status = pclose(tool);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- the library --- */

Test(advise, memory_goes_and_comes_back_as_it_is_told)
{
    fh_handle handle = filled();

    wait_for_frames(handle, PAGES);
    MUST(fh_advise(client, handle, FH_ADVICE_DONTNEED, 100 * PAGE, 200 * PAGE));
    wait_for_frames(handle, 200);
    cr_assert_eq(stat_of(handle).pages_swap, 200);
    MUST(fh_advise(client, handle, FH_ADVICE_WILLNEED, 0, 0));
    wait_for_frames(handle, PAGES);
    MUST(fh_advise(client, handle, FH_ADVICE_COLD, 0, 0));
    MUST(fh_advise(client, handle, FH_ADVICE_SEQUENTIAL, 0, 0));
    MUST(fh_advise(client, handle, FH_ADVICE_RANDOM, 0, 0));
    MUST(fh_advise(client, handle, FH_ADVICE_NORMAL, 0, 0));
    expect_bytes(handle);
}

Test(advise, what_is_pinned_stays_while_others_fill_memory)
{
    fh_handle handle = filled();

    MUST(fh_advise(client, handle, FH_ADVICE_DONTNEED, 0, 0));
    wait_for_frames(handle, 0);
    MUST(fh_advise(client, handle, FH_ADVICE_PIN, 0, 300 * PAGE));
    cr_assert_eq(stat_of(handle).pages_frame, 300, "it is answered when they are there");
    cr_assert_eq(stat_of(handle).pages_pinned, 300);
    for (int i = 0; i < 15; i++)
        (void)filled();
    cr_assert_geq(stat_of(handle).pages_frame, 300);
    MUST(fh_advise(client, handle, FH_ADVICE_UNPIN, 0, 0));
    cr_assert_eq(stat_of(handle).pages_pinned, 0);
    expect_bytes(handle);
}

Test(advise, more_than_the_limit_is_refused)
{
    fh_handle handle;

    MUST(fh_alloc(client, 1025 * PAGE, NULL, &handle));
    cr_assert_eq(fh_advise(client, handle, FH_ADVICE_PIN, 0, 0), FH_QUOTA);
    cr_assert_not_null(strstr(fh_errmsg(client), "pin-limit"), "%s", fh_errmsg(client));
    MUST(fh_advise(client, handle, FH_ADVICE_PIN, 0, 1024 * PAGE));
    cr_assert_eq(fh_advise(client, handle, FH_ADVICE_PIN, 1024 * PAGE, 1), FH_QUOTA);
    MUST(fh_free(client, handle));
    MUST(fh_alloc(client, 1025 * PAGE, NULL, &handle));
    MUST(fh_advise(client, handle, FH_ADVICE_PIN, 0, 1024 * PAGE));
}

Test(advise, nonsense_is_refused)
{
    fh_handle handle = filled(), gone = handle;

    cr_assert_eq(fh_advise(client, handle, (fh_advice)99, 0, 0), FH_INVALID);
    cr_assert_eq(fh_advise(client, handle, FH_ADVICE_COLD, SIZE, 1), FH_INVALID);
    cr_assert_eq(fh_advise(client, handle, FH_ADVICE_PIN, SIZE + 1, 0), FH_INVALID);
    cr_assert_eq(fh_advise_name(client, "none", 4, FH_ADVICE_COLD, 0, 0), FH_NOT_FOUND);
    MUST(fh_free(client, handle));
    cr_assert_eq(fh_advise(client, gone, FH_ADVICE_PIN, 0, 0), FH_STALE);
}

Test(advise, pages_of_files_and_durable_objects_obey_too)
{
    const fh_how durable = {.size = sizeof(durable), .flags = FH_DURABLE};
    fh_info info;

    MUST(fh_file_open(client, "rw/a", FH_FILE_WRITE | FH_FILE_CREATE, SIZE, &info));
    MUST(fh_write(client, info.handle, 0, body, SIZE, NULL));
    MUST(fh_advise(client, info.handle, FH_ADVICE_DONTNEED, 0, 0));
    wait_for_frames(info.handle, 0);
    cr_assert_eq(stat_of(info.handle).pages_dirty, 0, "they were written back first");
    MUST(fh_advise(client, info.handle, FH_ADVICE_PIN, 0, 50 * PAGE));
    cr_assert_eq(stat_of(info.handle).pages_frame, 50);
    MUST(fh_advise(client, info.handle, FH_ADVICE_WILLNEED, 0, 0));
    wait_for_frames(info.handle, PAGES);
    expect_bytes(info.handle);

    MUST(fh_put(client, "kept", 4, body, SIZE, &durable, &info));
    MUST(fh_advise_name(client, "kept", 4, FH_ADVICE_DONTNEED, 0, 0));
    wait_for_frames(info.handle, 0);
    MUST(fh_advise_name(client, "kept", 4, FH_ADVICE_PIN, 0, 0));
    cr_assert_eq(stat_of(info.handle).pages_frame, PAGES);
    expect_bytes(info.handle);
    MUST(fh_delete(client, "kept", 4, NULL));
}

/* --- the command --- */

Test(advise, the_command_says_all_that_can_be_said)
{
    static const char *const words[] = {"willneed", "cold",       "dontneed", "pin",
                                        "unpin",    "sequential", "random",   "normal"};

    MUST(fh_put(client, "model", 5, body, SIZE, NULL, NULL));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        cr_assert_eq(run("$FARHEAP advise model %s --at 4096 --len 8192", words[i]), 0, "%s", out);
    cr_assert_eq(run("$FARHEAP advise model sometimes 2>&1"), 2);
    cr_assert_not_null(strstr(out, "none of willneed"), "%s", out);
    cr_assert_eq(run("$FARHEAP pin nothing 2>&1"), 3);
    cr_assert_eq(run("$FARHEAP pin model --len 40960 && $FARHEAP stat model"), 0);
    cr_assert_not_null(strstr(out, "pinned   10 pages stay in memory"), "%s", out);
    cr_assert_eq(run("$FARHEAP --json stat model"), 0);
    cr_assert_not_null(strstr(out, "\"pinned\": 10"), "%s", out);
    cr_assert_eq(run("$FARHEAP info"), 0);
    cr_assert_not_null(strstr(out, "pinned   40 KiB of 4 MiB that may be"), "%s", out);
    cr_assert_eq(run("$FARHEAP pages --map"), 0);
    cr_assert_not_null(strstr(out, "P pinned"), "%s", out);
    cr_assert_eq(run("$FARHEAP unpin model && $FARHEAP info"), 0);
    cr_assert_null(strstr(out, "pinned "), "%s", out);
}
