/*
 * Somebody writes to the swap file of a running server, through /proc. Whatever a client then reads is right or refused
 * with DATA_LOST and the bytes that are lost; the server goes on, and what is written again is whole again.
 * FH_CORRUPTIONS=100000 tries more than the 200 of the gate.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/farheap.h"
#include "tests/support/rng.h"
#include "tests/support/wire/server_process.h"

enum { PAGE = 4096, PAGES = 6144, SLOTS = 16384, AT_ONCE = 100 };
enum { PER_SERVER = 10000 }; /* slots found bad are not used again: then a new file */

static struct server_process server;
static fh_client *client;
static fh_handle object;
static uint64_t version; /* of what was written last */
static int swap = -1;    /* the server's file, opened once more */
static struct rng dice;

static void start(void)
{
    char url[64];

    cr_assert_eq(server_process_start(&server, FARHEAPD, NULL), 0, "see %s", server.log_path);
    snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s", server.ports[0]);
    cr_assert_eq(fh_open(url, NULL, &client), FH_OK);
    cr_assert_eq(fh_alloc(client, (uint64_t)PAGES * PAGE, NULL, &object), FH_OK);
}

static void setup(void)
{
    dice = rng_from_env("corruption");
    start();
}

static void teardown(void)
{
    fh_close(client);
    if (swap >= 0)
        close(swap);
    swap = -1;
    server_process_fini(&server);
}

TestSuite(live_corruption, .init = setup, .fini = teardown, .timeout = 600);

static void swap_open_path(const char *path)
{
    swap = open(path, O_RDWR | O_CLOEXEC | O_DIRECT);
    if (swap < 0 &&
        errno == EINVAL) /* a file system without direct I/O: the server does without as well */
        swap = open(path, O_RDWR | O_CLOEXEC);
}

/*
 * The only file of the server that has no name and is as large as its swap. Opened past the page cache, as the server
 * has it: cached writes that meet its direct ones leave an EIO for the next fdatasync, whoever calls it.
 */
static void swap_open(void)
{
    char folder[64], path[400];
    struct dirent *entry;
    struct stat st;

    snprintf(folder, sizeof(folder), "/proc/%d/fd", (int)server.pid);
    DIR *dir = opendir(folder);
    cr_assert_not_null(dir);
    while (swap < 0 && (entry = readdir(dir))) {
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 0 &&
            st.st_size == (off_t)SLOTS * PAGE)
            swap_open_path(path);
    }
    closedir(dir);
    cr_assert_geq(swap, 0, "the swap file is not among the server's");
}

/* Through one page that is aligned as direct I/O wants it. */
static _Alignas(4096) uint8_t bounce[PAGE];

static void slot_read(uint64_t slot, uint8_t *bytes)
{
    cr_assert_eq(pread(swap, bounce, PAGE, (off_t)(slot * PAGE)), PAGE);
    memcpy(bytes, bounce, PAGE);
}

static void slot_write(uint64_t slot, const uint8_t *bytes)
{
    memcpy(bounce, bytes, PAGE);
    cr_assert_eq(pwrite(swap, bounce, PAGE, (off_t)(slot * PAGE)), PAGE);
}

static void page_fill(uint8_t *page, uint64_t index)
{
    struct rng r = {version << 32 | index};

    for (uint32_t i = 0; i < PAGE; i += 8) {
        uint64_t word = rng_next(&r);
        memcpy(page + i, &word, 8);
    }
}

static void write_all(void)
{
    enum { CHUNK = 256 };
    static uint8_t bytes[CHUNK * PAGE];

    version++;
    for (uint64_t at = 0; at < PAGES; at += CHUNK) {
        for (uint64_t i = 0; i < CHUNK; i++)
            page_fill(bytes + i * PAGE, at + i);
        cr_assert_eq(fh_write(client, object, at * PAGE, bytes, sizeof(bytes), NULL), FH_OK, "%s",
                     fh_errmsg(client));
    }
}

/* How many pages are refused; the rest is right. */
static uint32_t read_all(void)
{
    uint8_t got[PAGE], expected[PAGE];
    char range[64];
    uint32_t lost = 0;

    for (uint64_t i = 0; i < PAGES; i++) {
        fh_status status = fh_read(client, object, i * PAGE, got, PAGE);
        page_fill(expected, i);
        if (status == FH_OK) {
            cr_assert_eq(memcmp(got, expected, PAGE), 0, "page %lu: wrong bytes", (unsigned long)i);
            continue;
        }
        cr_assert_eq(status, FH_DATA_LOST, "%s", fh_errmsg(client));
        snprintf(range, sizeof(range), "bytes %lu to %lu of the object", (unsigned long)(i * PAGE),
                 (unsigned long)(i * PAGE + PAGE - 1));
        cr_assert_not_null(strstr(fh_errmsg(client), range), "%s", fh_errmsg(client));
        lost++;
    }
    return lost;
}

/* The whole file, once before the object was written anew and once after. */
static _Alignas(4096) uint8_t old[(size_t)SLOTS * PAGE], new[(size_t)SLOTS * PAGE];
static uint64_t fresh[SLOTS]; /* the slots that differ: what the pages in swap lie in now */
static uint64_t fresh_count;

static void file_read(uint8_t *bytes)
{
    enum { CHUNK = 256 * PAGE };

    for (uint64_t at = 0; at < (uint64_t)SLOTS * PAGE; at += CHUNK)
        cr_assert_eq(pread(swap, bytes + at, CHUNK, (off_t)at), CHUNK);
}

static void fresh_find(void)
{
    file_read(new);
    fresh_count = 0;
    for (uint64_t slot = 0; slot < SLOTS; slot++)
        if (memcmp(old + slot * PAGE, new + slot *PAGE, PAGE) != 0)
            fresh[fresh_count++] = slot;
    cr_assert_gt(fresh_count, PAGES / 8);
}

/* One to two of the slots in use. */
static uint32_t change_one(void)
{
    uint8_t a[PAGE], b[PAGE];
    uint64_t slot = fresh[rng_below(&dice, fresh_count)];
    uint64_t other = fresh[rng_below(&dice, fresh_count)];

    slot_read(slot, a);
    switch (rng_below(&dice, 4)) {
    case 0:
        a[rng_below(&dice, PAGE)] ^= (uint8_t)(1u << rng_below(&dice, 8));
        break;
    case 1:
        memset(a, 0, PAGE);
        break;
    case 2:
        slot_read(other, b);
        slot_write(other, a);
        memcpy(a, b, PAGE);
        slot_write(slot, a);
        return 2;
    default:
        memcpy(a, old + slot * PAGE, PAGE);
        break;
    }
    slot_write(slot, a);
    return 1;
}

Test(live_corruption, of_single_slots_is_refused_or_harmless_and_never_shown)
{
    const char *text = getenv("FH_CORRUPTIONS");
    uint64_t wanted = text ? strtoull(text, NULL, 10) : 200, done = 0, lost = 0;

    write_all();
    swap_open();
    while (done < wanted) {
        uint32_t changed = 0;
        file_read(old);
        write_all();
        fresh_find();
        while (changed < AT_ONCE)
            changed += change_one();
        uint32_t refused = read_all();
        cr_assert_leq(refused, changed, "damage is the pages that were changed");
        lost += refused;
        done += changed;
        write_all(); /* which heals */
        cr_assert_eq(read_all(), 0);
        if (done / PER_SERVER != (done - changed) / PER_SERVER) {
            teardown();
            start();
            write_all();
            swap_open();
        }
    }
    cr_assert_gt(lost, 0);
    fprintf(stderr, "%lu slots changed, %lu pages were lost by it, 0 wrong bytes\n",
            (unsigned long)done, (unsigned long)lost);
}

Test(live_corruption, of_every_slot_loses_all_that_is_only_in_swap)
{
    uint8_t bytes[PAGE];
    fh_info info;

    write_all();
    swap_open();
    cr_assert_eq(fh_stat(client, object, &info), FH_OK);
    cr_assert_gt(info.pages_swap, PAGES / 4);
    for (uint64_t slot = 0; slot < SLOTS; slot++) {
        slot_read(slot, bytes);
        bytes[slot % PAGE] ^= 0x10;
        slot_write(slot, bytes);
    }
    /* Pages that were in memory may have left it clean meanwhile. */
    cr_assert_geq(read_all(), info.pages_swap);
    write_all();
    cr_assert_eq(read_all(), 0);
}

Test(live_corruption, by_cutting_the_file_is_an_error_and_the_server_goes_on)
{
    uint8_t got[PAGE], expected[PAGE];
    uint32_t refused = 0;

    write_all();
    swap_open();
    cr_assert_eq(ftruncate(swap, PAGE + 100), 0);
    for (uint64_t i = 0; i < PAGES; i += 7) {
        fh_status status = fh_read(client, object, i * PAGE, got, PAGE);
        page_fill(expected, i);
        if (status == FH_OK)
            cr_assert_eq(memcmp(got, expected, PAGE), 0, "page %lu: wrong bytes", (unsigned long)i);
        else
            cr_assert(status == FH_IO_ERROR || status == FH_DATA_LOST, "%s", fh_errmsg(client));
        refused += status != FH_OK;
    }
    cr_assert_gt(refused, 0);
    write_all(); /* which makes the file as long as it has to be */
    cr_assert_eq(read_all(), 0);
}
