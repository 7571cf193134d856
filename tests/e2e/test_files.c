/*
 * Files of a real farheapd: one larger than its memory, written and synced ones, and what is
 * refused; through the library, the command and the wire.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/farheap.h"
#include "proto/status.h"
#include "tests/support/folder.h"
#include "tests/support/wire/server_process.h"
#include "tests/support/wire/tool_shell.h"
#include "tests/support/wire/wire_client.h"

enum { PAGE = 4096, MIB = 1 << 20, BIG_MIB = 256, SMALL = 100000 };

static struct server_process server;
static fh_client *client;
static char folder[64], url[64];
static struct tool_shell tool = {.folder = folder};
static char *const out = tool.out, *const err = tool.err; /* what the last line said */

static uint64_t word_at(uint64_t index)
{
    return (index + 1) * 0x9e3779b97f4a7c15;
}

static const char *path_of(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

/* Words that tell where they belong. */
static void make_file(const char *name, uint64_t size)
{
    static uint64_t words[MIB / 8];
    int fd = open(path_of(name), O_CREAT | O_WRONLY | O_TRUNC, 0644);

    cr_assert_geq(fd, 0);
    for (uint64_t at = 0; at < size; at += MIB) {
        size_t part = size - at < MIB ? (size_t)(size - at) : MIB;
        for (uint64_t i = 0; i < MIB / 8; i++)
            words[i] = word_at(at / 8 + i);
        cr_assert_eq(write(fd, words, part), (ssize_t)part);
    }
    close(fd);
}

static void load(const char *name, void *to, size_t size)
{
    int fd = open(path_of(name), O_RDONLY);

    cr_assert_eq(pread(fd, to, size, 0), (ssize_t)size);
    close(fd);
}

static void setup(void)
{
    char ro[128], rw[128];
    const char *const flags[] = {"--zones=1", "--memory=64MiB", ro, rw, NULL};

    (void)snprintf(folder, sizeof(folder), "/var/tmp/farheap-files-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chmod(folder, 0755), 0);
    make_file("small", SMALL);
    cr_assert_eq(mkdir(path_of("sub"), 0755), 0);
    make_file("sub/other", 10);
    cr_assert_eq(symlink("/etc/passwd", path_of("link")), 0);
    (void)snprintf(ro, sizeof(ro), "--export=ro=%s/sub", folder);
    (void)snprintf(rw, sizeof(rw), "--export=rw=%s,rw", folder);
    cr_assert_eq(server_process_start(&server, FARHEAPD, flags), 0, "see %s", server.log_path);
    (void)snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s", server.ports[0]);
    cr_assert_eq(fh_open(url, NULL, &client), FH_OK, "%s", fh_errmsg(client));
    (void)setenv("FARHEAP_URL", url, 1);
    (void)setenv("FARHEAP", FARHEAP_TOOL, 1);
}

static void teardown(void)
{
    fh_close(client);
    server_process_fini(&server);
    folder_remove(folder);
}

TestSuite(files, .init = setup, .fini = teardown, .timeout = 300);

#define MUST(call) cr_assert_eq((call), FH_OK, "%s", fh_errmsg(client))

/* --- the library --- */

Test(files, a_file_four_times_the_memory_is_read_at_random)
{
    static uint64_t words[8 * PAGE];
    uint64_t x = 88172645463325252;
    fh_info info;

    make_file("big", (uint64_t)BIG_MIB * MIB);
    MUST(fh_file_open(client, "rw/big", 0, 0, &info));
    cr_assert_eq(info.bytes, (uint64_t)BIG_MIB * MIB);
    cr_assert_eq(info.file, 1);
    cr_assert_eq(info.writable, 0);
    for (int i = 0; i < 3000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        uint64_t count = 1 + (x >> 40) % (i % 50 == 0 ? sizeof(words) / 8 : 512);
        uint64_t at = x % ((uint64_t)BIG_MIB * MIB / 8 - count);
        MUST(fh_read(client, info.handle, at * 8, words, count * 8));
        for (uint64_t k = 0; k < count; k++)
            cr_assert_eq(words[k], word_at(at + k));
    }
    for (uint64_t at = 0; at < BIG_MIB; at += 16) {
        static uint64_t whole[16 * MIB / 8];
        MUST(fh_read(client, info.handle, at * MIB, whole, sizeof(whole)));
        for (uint64_t k = 0; k < sizeof(whole) / 8; k += 64)
            cr_assert_eq(whole[k], word_at(at * MIB / 8 + k));
    }
    MUST(fh_stat(client, info.handle, &info));
    cr_assert_gt(info.pages_file, (uint64_t)(BIG_MIB - 64) * MIB / PAGE);
    cr_assert_eq(info.pages_swap, 0, "it comes from the file, not from swap");
    cr_assert_eq(info.pages_nothing, 0);
    MUST(fh_free(client, info.handle));
}

Test(files, what_is_written_is_in_the_file_after_a_sync)
{
    static char expected[SMALL], got[SMALL];
    fh_info info;

    load("small", expected, SMALL);
    MUST(fh_file_open(client, "rw/small", FH_FILE_WRITE, 0, &info));
    cr_assert_eq(info.writable, 1);
    memset(expected + 5000, 'x', 70000);
    memset(expected + 50000, 0, 20000);
    MUST(fh_write(client, info.handle, 5000, expected + 5000, 70000, NULL));
    MUST(fh_zero(client, info.handle, 50000, 20000));
    MUST(fh_stat(client, info.handle, &info));
    cr_assert_gt(info.pages_dirty, 0);
    MUST(fh_sync(client, info.handle, 0, 0));
    load("small", got, SMALL);
    cr_assert_eq(memcmp(got, expected, SMALL), 0);
    MUST(fh_stat(client, info.handle, &info));
    cr_assert_eq(info.pages_dirty, 0);
    MUST(fh_read(client, info.handle, 0, got, SMALL));
    cr_assert_eq(memcmp(got, expected, SMALL), 0);
    MUST(fh_free(client, info.handle));
}

/* More is written than memory holds: pages reach the file before anybody asks. */
Test(files, a_file_larger_than_memory_is_written_and_read_back)
{
    static char body[8 * MIB], got[8 * MIB];
    enum { SIZE_MIB = 160 };
    fh_info info;

    MUST(fh_file_open(client, "rw/made", FH_FILE_WRITE | FH_FILE_CREATE, (uint64_t)SIZE_MIB * MIB,
                      &info));
    for (int i = 0; i < SIZE_MIB / 8; i++) {
        memset(body, i + 1, sizeof(body));
        MUST(fh_write(client, info.handle, (uint64_t)i * sizeof(body), body, sizeof(body), NULL));
    }
    MUST(fh_sync(client, info.handle, 0, 0));
    int fd = open(path_of("made"), O_RDONLY);
    for (int i = 0; i < SIZE_MIB / 8; i++) {
        cr_assert_eq(pread(fd, got, sizeof(got), (off_t)i * (off_t)sizeof(got)),
                     (ssize_t)sizeof(got));
        memset(body, i + 1, sizeof(body));
        cr_assert_eq(memcmp(got, body, sizeof(body)), 0, "piece %d", i);
        MUST(fh_read(client, info.handle, (uint64_t)i * sizeof(got), got, sizeof(got)));
        cr_assert_eq(memcmp(got, body, sizeof(body)), 0, "piece %d", i);
    }
    close(fd);
}

/* Without swap all room there is may be taken by what was written: then a write waits. */
Test(files, bodies_larger_than_the_room_that_is_left_wait_for_it)
{
    static char body[24 * MIB];
    struct server_process second;
    char flag[128], address[64];
    const char *const flags[] = {flag, "--memory=40MiB", "--swap-size=0", NULL};
    fh_client *other;
    fh_info info;

    (void)snprintf(flag, sizeof(flag), "--export=x=%s,rw", folder);
    cr_assert_eq(server_process_start(&second, FARHEAPD, flags), 0, "see %s", second.log_path);
    (void)snprintf(address, sizeof(address), "farheap://127.0.0.1:%u/?timeout=100s",
                   second.ports[0]);
    cr_assert_eq(fh_open(address, NULL, &other), FH_OK);
    cr_assert_eq(fh_file_open(other, "x/made", FH_FILE_WRITE | FH_FILE_CREATE,
                              (uint64_t)6 * sizeof(body), &info),
                 FH_OK);
    for (int i = 0; i < 6; i++) {
        memset(body, i + 1, sizeof(body));
        cr_assert_eq(
            fh_write(other, info.handle, (uint64_t)i * sizeof(body), body, sizeof(body), NULL),
            FH_OK, "piece %d: %s", i, fh_errmsg(other));
    }
    cr_assert_eq(fh_sync(other, info.handle, 0, 0), FH_OK);
    fh_close(other);
    server_process_fini(&second);
    for (int i = 0; i < 6; i++) {
        int fd = open(path_of("made"), O_RDONLY);
        cr_assert_eq(pread(fd, body, 100, (off_t)(i + 1) * (off_t)sizeof(body) - 100), 100);
        cr_assert_eq(body[99], i + 1);
        close(fd);
    }
}

Test(files, a_second_opening_is_the_same_object)
{
    fh_info one, two;
    char byte = 'y';

    MUST(fh_file_open(client, "rw/small", 0, 0, &one));
    cr_assert_eq(fh_write(client, one.handle, 0, &byte, 1, NULL), FH_PERMISSION);
    MUST(fh_file_open(client, "rw/small", FH_FILE_WRITE, 0, &two));
    cr_assert_eq(one.handle.address, two.handle.address);
    cr_assert_eq(one.handle.key, two.handle.key);
    MUST(fh_write(client, one.handle, 0, &byte, 1, NULL));
    MUST(fh_free(client, one.handle));
    MUST(fh_read(client, two.handle, 0, &byte, 1));
    cr_assert_eq(byte, 'y');
    MUST(fh_free(client, two.handle));
    cr_assert_eq(fh_read(client, two.handle, 0, &byte, 1), FH_STALE);
}

Test(files, what_may_not_be_is_refused_with_a_reason)
{
    fh_info info, unused;
    char byte = 'z';
    fh_handle memory;

    cr_assert_eq(fh_file_open(client, "ro/other", FH_FILE_WRITE, 0, &info), FH_PERMISSION);
    cr_assert_eq(fh_file_open(client, "ro/new", FH_FILE_CREATE | FH_FILE_WRITE, 1, &info),
                 FH_PERMISSION);
    cr_assert_eq(fh_file_open(client, "rw/link", 0, 0, &info), FH_PERMISSION);
    cr_assert_eq(fh_file_open(client, "rw/../etc/passwd", 0, 0, &info), FH_INVALID);
    cr_assert_eq(fh_file_open(client, "rw//etc/passwd", 0, 0, &info), FH_INVALID);
    cr_assert_eq(fh_file_open(client, "rw/sub", 0, 0, &info), FH_INVALID);
    cr_assert_eq(fh_file_open(client, "rw/none", 0, 0, &info), FH_NOT_FOUND);
    cr_assert_eq(fh_file_open(client, "none/file", 0, 0, &info), FH_NOT_FOUND);
    cr_assert_eq(fh_file_open(client, "no-slash", 0, 0, &info), FH_INVALID);
    MUST(fh_file_open(client, "ro/other", 0, 0, &info));
    cr_assert_eq(fh_write(client, info.handle, 0, &byte, 1, NULL), FH_PERMISSION);
    cr_assert_eq(fh_zero(client, info.handle, 0, 10), FH_PERMISSION);
    cr_assert_eq(fh_resize(client, info.handle, 20, NULL, &memory), FH_PERMISSION);
    cr_assert_eq(fh_publish(client, "name", 4, info.handle, NULL, &unused), FH_UNSUPPORTED);
    MUST(fh_sync(client, info.handle, 0, 0));
    MUST(fh_file_open(client, "rw/small", FH_FILE_WRITE, 0, &unused));
    cr_assert_eq(fh_resize(client, unused.handle, 20, NULL, &memory), FH_UNSUPPORTED);
    MUST(fh_alloc(client, 100000, NULL, &memory));
    cr_assert_eq(fh_sync(client, memory, 0, 0), FH_UNSUPPORTED);
    cr_assert_eq(fh_sync(client, info.handle, 11, 0), FH_INVALID);
}

/* The same file by another name, or in another process, is one too many. */
Test(files, a_file_is_open_once)
{
    struct server_process second;
    char flag[128], address[64];
    const char *const flags[] = {flag, NULL};
    fh_client *other;
    fh_info info, unused;

    MUST(fh_file_open(client, "rw/small", FH_FILE_WRITE, 0, &info));
    (void)snprintf(flag, sizeof(flag), "--export=x=%s,rw", folder);
    cr_assert_eq(server_process_start(&second, FARHEAPD, flags), 0, "see %s", second.log_path);
    (void)snprintf(address, sizeof(address), "farheap://127.0.0.1:%u/?timeout=100s",
                   second.ports[0]);
    cr_assert_eq(fh_open(address, NULL, &other), FH_OK);
    cr_assert_eq(fh_file_open(other, "x/small", 0, 0, &unused), FH_BUSY);
    MUST(fh_free(client, info.handle));
    cr_assert_eq(fh_file_open(other, "x/small", FH_FILE_WRITE, 0, &unused), FH_OK);
    fh_close(other);
    server_process_fini(&second);
}

Test(files, a_file_cut_by_another_process_is_an_io_error_and_never_bytes)
{
    char byte;
    fh_info info;

    MUST(fh_file_open(client, "rw/small", 0, 0, &info));
    cr_assert_eq(truncate(path_of("small"), 50000), 0);
    MUST(fh_read(client, info.handle, 0, &byte, 1));
    cr_assert_eq(fh_read(client, info.handle, SMALL - 1, &byte, 1), FH_IO_ERROR);
    MUST(fh_ping(client, 0));
}

static int count_one(void *context, const fh_file_info *entry)
{
    int *counts = context;

    counts[0]++;
    counts[1] += entry->folder;
    return 0;
}

Test(files, lists_tell_exports_files_and_folders)
{
    int counts[2] = {0, 0};
    char name[64];

    MUST(fh_file_list(client, "", count_one, counts));
    cr_assert_eq(counts[0], 2);
    cr_assert_eq(counts[1], 2);
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof(name), "sub/a-name-of-some-length-%d", i);
        make_file(name, 0);
    }
    counts[0] = counts[1] = 0;
    MUST(fh_file_list(client, "rw/sub", count_one, counts));
    cr_assert_eq(counts[0], 2001);
    cr_assert_eq(counts[1], 0);
    cr_assert_eq(fh_file_list(client, "rw/link", count_one, counts), FH_NOT_FOUND);
    cr_assert_eq(fh_file_list(client, "rw/..", count_one, counts), FH_INVALID);
    cr_assert_eq(fh_file_list(client, "none", count_one, counts), FH_NOT_FOUND);
}

/* --- the command --- */

#define EXPECT(code, ...)                                                                          \
    cr_assert_eq(tool_shell_run(&tool, __VA_ARGS__), code, "out: %s\nerr: %s", out, err)

Test(files, the_command_opens_writes_and_syncs)
{
    EXPECT(0, "H=$($FARHEAP file open rw/small --rw) && $FARHEAP read $H -o copy && cmp copy small "
              "&& echo changed | $FARHEAP write $H - --at 4093 && $FARHEAP sync $H && "
              "$FARHEAP stat $H && tail -c +4094 small | head -c 8 && $FARHEAP free $H");
    cr_assert_not_null(strstr(out, "open for writing"), "%s", out);
    cr_assert_not_null(strstr(out, "changed"), "%s", out);
    EXPECT(0, "$FARHEAP --json file open rw/new --create --size 5000 && stat -c %%s new");
    cr_assert_not_null(strstr(out, "\"schema\": \"farheap-file/1\""), "%s", out);
    cr_assert_not_null(strstr(out, "\"writable\": true"), "%s", out);
    cr_assert_not_null(strstr(out, "\n5000\n"), "%s", out);
}

Test(files, info_and_views_tell_about_files)
{
    EXPECT(0, "H=$($FARHEAP file open rw/small --rw) && $FARHEAP read $H -o copy && "
              "echo x | $FARHEAP write $H - && $FARHEAP info && $FARHEAP pages");
    cr_assert_not_null(strstr(out, "files    1 open"), "%s", out);
    cr_assert_not_null(strstr(out, "F"), "%s", out);
    cr_assert_not_null(strstr(out, "f"), "%s", out);
}

Test(files, the_command_lists)
{
    EXPECT(0, "$FARHEAP --plain file ls");
    cr_assert_str_eq(out, "ro/\t\tr\nrw/\t\trw\n");
    EXPECT(0, "$FARHEAP --plain file ls ro");
    cr_assert_str_eq(out, "other\t10 B\tr\n");
    EXPECT(0, "$FARHEAP --json file ls rw/sub");
    cr_assert_not_null(strstr(out, "\"bytes\": 10"), "%s", out);
}

Test(files, the_command_says_why_not)
{
    EXPECT(5, "$FARHEAP file open ro/other --rw");
    cr_assert_not_null(strstr(err, "PERMISSION"), "%s", err);
    EXPECT(5, "$FARHEAP file open rw/link");
    EXPECT(3, "$FARHEAP file open rw/none");
    EXPECT(1, "$FARHEAP file open rw/../small");
    EXPECT(3, "$FARHEAP sync nothing");
    EXPECT(1, "H=$($FARHEAP alloc 10000) && $FARHEAP sync $H");
    cr_assert_not_null(strstr(err, "only objects of files are synced"), "%s", err);
    EXPECT(2, "$FARHEAP file open rw/x --create");
    EXPECT(2, "$FARHEAP file open rw/x --size 5");
    EXPECT(2, "$FARHEAP file ls --rw");
    EXPECT(2, "$FARHEAP file close");
}

/* --- the wire, and starting --- */

static int wire_open(struct wire_client *c, const char *export, const void *path, size_t size)
{
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    Farheap__V1__OpenFile m = FARHEAP__V1__OPEN_FILE__INIT;

    m.export = (ProtobufCBinaryData){strlen(export), (uint8_t *)(uintptr_t) export};
    m.path = (ProtobufCBinaryData){size, (uint8_t *)(uintptr_t)path};
    head.op_case = FARHEAP__V1__REQUEST__OP_OPEN_FILE;
    head.open_file = &m;
    return wire_client_call(c, &head, NULL, 0);
}

Test(files, names_that_no_library_sends_are_refused_on_the_wire)
{
    static char longest[1024];
    struct wire_client c;

    cr_assert_eq(wire_client_connect(&c, server.ports[0]), 0);
    cr_assert_eq(wire_client_hello(&c, 0), FH_STATUS_OK);
    memset(longest, 'a', sizeof(longest));
    cr_assert_eq(wire_open(&c, "rw", "small\0", 6), FH_STATUS_INVALID);
    cr_assert_eq(wire_open(&c, "rw", "", 0), FH_STATUS_INVALID);
    cr_assert_eq(wire_open(&c, "", "small", 5), FH_STATUS_INVALID);
    cr_assert_eq(wire_open(&c, "rw/", "small", 5), FH_STATUS_INVALID);
    cr_assert_eq(wire_open(&c, "rw", "/small", 6), FH_STATUS_INVALID);
    cr_assert_eq(wire_open(&c, "rw", longest, sizeof(longest)), FH_STATUS_INVALID);
    cr_assert_eq(wire_open(&c, "rw", "small", 5), FH_STATUS_OK);
    wire_client_close(&c);
}

Test(files, an_export_that_cannot_be_ends_the_start_with_a_sentence)
{
    struct server_process second;
    const char *const flags[] = {"--export=x=/nonexistent/folder", NULL};

    cr_assert_lt(server_process_start(&second, FARHEAPD, flags), 0);
    cr_assert_eq(server_process_wait(&second, 100000), 6);
    cr_assert(server_process_log_has(&second, "export unusable", 1000));
    server_process_fini(&second);
}

Test(files, a_client_that_leaves_while_its_file_is_opened_harms_nothing)
{
    for (int i = 0; i < 50; i++) {
        fh_client *other;
        cr_assert_eq(fh_open(url, NULL, &other), FH_OK);
        fh_info info;
        if (i % 2 == 0)
            (void)fh_file_open(other, "rw/small", 0, 0, &info);
        fh_close(other);
    }
    MUST(fh_ping(client, 0));
    cr_assert(server_process_is_alive(&server));
}
