/* The catalog over a real file: what was acknowledged is there after it was opened again. */
#include "alloc/catalog.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/rng.h"

enum { MANY = 200, SUMS = 3 };

static char folder[] = "/tmp/farheap-catalog-XXXXXX";
static char path[64];
static struct fh_catalog *catalog;
static const uint32_t sums[SUMS] = {1, 2, 3};

static int open_as(uint32_t zone, uint32_t zones, uint64_t size_max)
{
    return fh_catalog_open(
        &(struct fh_catalog_opts){.path = path, .zone = zone, .zones = zones, .size_max = size_max},
        &catalog);
}

static void setup(void)
{
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/catalog.mdb", folder);
    cr_assert_eq(open_as(1, 2, 0), 0);
}

static void teardown(void)
{
    fh_catalog_close(catalog);
    unlink(path);
    rmdir(folder);
}

TestSuite(catalog, .init = setup, .fini = teardown, .timeout = 60);

static void reopen(void)
{
    fh_catalog_close(catalog);
    catalog = NULL;
    cr_assert_eq(open_as(1, 2, 0), 0);
}

/* --- changes --- */

static uint32_t over;

static void change_done(struct fh_catalog_change *change)
{
    (void)change;
    over++;
}

static struct fh_catalog_record record_of(uint64_t id, const char *name)
{
    return (struct fh_catalog_record){.id = id,
                                      .version = id * 10,
                                      .size = SUMS * 4096 - 5,
                                      .expires_ms = id == 3 ? 1234567 : 0,
                                      .place = id * 100,
                                      .file = 2,
                                      .tenant = 7,
                                      .name = name,
                                      .name_size = (uint32_t)strlen(name),
                                      .sum_count = SUMS,
                                      .sums = sums};
}

static void submit_put(struct fh_catalog_change *change, uint64_t id, const char *name)
{
    *change = (struct fh_catalog_change){
        .puts = true, .record = record_of(id, name), .done = change_done};
    fh_catalog_submit(catalog, change);
}

/* Reaps only when the eventfd says so. */
static void wait_for(uint32_t count)
{
    while (over < count) {
        struct pollfd p = {.fd = fh_catalog_event_fd(catalog), .events = POLLIN};
        cr_assert_eq(poll(&p, 1, 20000), 1, "nobody rings");
        fh_catalog_reap(catalog);
    }
}

static int put(uint64_t id, const char *name)
{
    struct fh_catalog_change change;

    submit_put(&change, id, name);
    wait_for(over + 1);
    return change.result;
}

static int remove_id(uint64_t id)
{
    struct fh_catalog_change change = {.removes = id, .done = change_done};

    fh_catalog_submit(catalog, &change);
    wait_for(over + 1);
    return change.result;
}

/* --- what is there --- */

struct seen {
    uint64_t ids[MANY];
    uint32_t count;
    char name[FH_CATALOG_NAME_MAX + 1]; /* of the last one */
    struct fh_catalog_record last;
    uint32_t sums[SUMS];
};
static struct seen seen;

static int see(void *ctx, const struct fh_catalog_record *r)
{
    struct seen *s = ctx;

    s->ids[s->count++] = r->id;
    s->last = *r;
    memcpy(s->name, r->name, r->name_size);
    s->name[r->name_size] = 0;
    if (r->sum_count == SUMS)
        memcpy(s->sums, r->sums, sizeof(s->sums));
    return 0;
}

static uint64_t load(void)
{
    uint64_t bad;

    memset(&seen, 0, sizeof(seen));
    cr_assert_eq(fh_catalog_load(catalog, see, &seen, &bad), 0);
    return bad;
}

Test(catalog, a_new_one_is_empty)
{
    cr_assert_eq(load(), 0);
    cr_assert_eq(seen.count, 0);
}

Test(catalog, what_was_put_is_there_again)
{
    cr_assert_eq(fh_catalog_start(catalog), 0);
    cr_assert_eq(put(3, "a name"), 0);
    reopen();
    cr_assert_eq(load(), 0);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.last.id, 3);
    cr_assert_eq(seen.last.version, 30);
    cr_assert_eq(seen.last.size, SUMS * 4096 - 5);
    cr_assert_eq(seen.last.expires_ms, 1234567);
    cr_assert_eq(seen.last.place, 300);
    cr_assert_eq(seen.last.file, 2);
    cr_assert_eq(seen.last.tenant, 7);
    cr_assert_str_eq(seen.name, "a name");
    cr_assert_eq(memcmp(seen.sums, sums, sizeof(sums)), 0);
}

Test(catalog, what_was_removed_does_not_come_back)
{
    cr_assert_eq(fh_catalog_start(catalog), 0);
    cr_assert_eq(put(1, "a"), 0);
    cr_assert_eq(put(2, "b"), 0);
    cr_assert_eq(remove_id(1), 0);
    cr_assert_eq(remove_id(99), 0, "nothing to remove is no error");
    reopen();
    load();
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.ids[0], 2);
}

Test(catalog, one_comes_and_the_other_goes_in_one_step)
{
    struct fh_catalog_change change = {
        .puts = true, .record = record_of(2, "a"), .removes = 1, .done = change_done};

    cr_assert_eq(fh_catalog_start(catalog), 0);
    cr_assert_eq(put(1, "a"), 0);
    fh_catalog_submit(catalog, &change);
    wait_for(over + 1);
    reopen();
    load();
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.ids[0], 2);
}

Test(catalog, many_share_a_commit_and_ids_come_in_order)
{
    static struct fh_catalog_change changes[MANY];
    static char names[MANY][16];
    struct fh_catalog_stats stats;

    cr_assert_eq(fh_catalog_start(catalog), 0);
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "n%u", i);
        submit_put(&changes[i], 1000 - i, names[i]);
    }
    cr_assert_eq(fh_catalog_in_flight(catalog), MANY);
    wait_for(MANY);
    fh_catalog_stats(catalog, &stats);
    cr_assert_eq(stats.changes, MANY);
    cr_assert_lt(stats.commits, MANY / 2, "%lu commits", stats.commits);
    reopen();
    load();
    cr_assert_eq(seen.count, MANY);
    for (uint32_t i = 1; i < MANY; i++)
        cr_assert_gt(seen.ids[i], seen.ids[i - 1]);
}

Test(catalog, close_finishes_what_was_submitted)
{
    static struct fh_catalog_change changes[MANY];

    cr_assert_eq(fh_catalog_start(catalog), 0);
    for (uint32_t i = 0; i < MANY; i++)
        submit_put(&changes[i], i + 1, "x");
    reopen();
    load();
    cr_assert_eq(seen.count, MANY);
}

Test(catalog, another_zone_or_another_count_of_zones_is_refused)
{
    static const uint32_t others[][2] = {{0, 2}, {1, 3}, {0, 1}};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        fh_catalog_close(catalog);
        catalog = NULL;
        cr_assert_eq(open_as(others[i][0], others[i][1], 0), -EXDEV);
        cr_assert_eq(open_as(1, 2, 0), 0);
    }
}

Test(catalog, a_file_that_is_no_catalog_is_refused)
{
    uint8_t junk[16384];

    fh_catalog_close(catalog);
    catalog = NULL;
    memset(junk, 0x5a, sizeof(junk));
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    cr_assert_eq(write(fd, junk, sizeof(junk)), sizeof(junk));
    close(fd);
    cr_assert_eq(open_as(1, 2, 0), -EBADMSG);
}

Test(catalog, a_folder_that_is_not_there_is_told)
{
    fh_catalog_close(catalog);
    catalog = NULL;
    cr_assert_eq(
        fh_catalog_open(&(struct fh_catalog_opts){.path = "/nowhere/c", .zones = 1}, &catalog),
        -ENOENT);
}

Test(catalog, when_it_is_full_it_says_so_and_keeps_what_it_has)
{
    uint64_t id = 1;
    int rc;

    fh_catalog_close(catalog);
    catalog = NULL;
    unlink(path);
    cr_assert_eq(open_as(1, 2, 1 << 16), 0);
    cr_assert_eq(fh_catalog_start(catalog), 0);
    while ((rc = put(id, "a name")) == 0)
        id++;
    cr_assert_eq(rc, -ENOSPC);
    cr_assert_gt(id, 10);
    reopen(); /* with more room */
    load();
    cr_assert_eq(seen.count, id - 1);
    cr_assert_eq(fh_catalog_start(catalog), 0);
    cr_assert_eq(put(id, "a name"), 0);
}

/* --- records as hostile bytes --- */

Test(catalog, every_flipped_byte_of_a_record_shows)
{
    struct fh_catalog_record record = record_of(5, "name"), back;
    uint8_t bytes[256];
    size_t size = fh_catalog_pack(&record, bytes, sizeof(bytes));

    cr_assert_gt(size, 0);
    cr_assert_eq(fh_catalog_unpack(5, bytes, size, &back), 0);
    cr_assert_eq(fh_catalog_unpack(6, bytes, size, &back), -EBADMSG, "another's record");
    cr_assert_eq(fh_catalog_unpack(0, bytes, size, &back), -EBADMSG);
    for (size_t i = 0; i < size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1u << bit);
            cr_assert_eq(fh_catalog_unpack(5, bytes, size, &back), -EBADMSG, "byte %zu", i);
            bytes[i] ^= (uint8_t)(1u << bit);
        }
    }
    for (size_t cut = 0; cut < size; cut++)
        cr_assert_eq(fh_catalog_unpack(5, bytes, cut, &back), -EBADMSG);
}

Test(catalog, what_cannot_be_is_refused_though_its_sum_is_right)
{
    static const char long_name[FH_CATALOG_NAME_MAX + 1] = {1};
    static uint8_t bytes[4096];
    struct fh_catalog_record back, good = record_of(5, "name");
    struct fh_catalog_record bad[4] = {good, good, good, good};

    bad[0].name_size = 0;
    bad[1].name = long_name;
    bad[1].name_size = sizeof(long_name);
    bad[2].file = FH_CATALOG_FILES;
    bad[3].sum_count = SUMS - 1;
    for (size_t i = 0; i < 4; i++) {
        size_t size = fh_catalog_pack(&bad[i], bytes, sizeof(bytes));
        cr_assert_gt(size, 0);
        cr_assert_eq(fh_catalog_unpack(5, bytes, size, &back), -EBADMSG, "%zu", i);
    }
    good.size = UINT64_MAX;
    size_t size = fh_catalog_pack(&good, bytes, sizeof(bytes));
    cr_assert_eq(fh_catalog_unpack(5, bytes, size, &back), -EBADMSG);
    cr_assert_eq(fh_catalog_pack(&good, bytes, size - 1), 0, "no room");
}

Test(catalog, random_bytes_are_no_record)
{
    struct rng random = rng_from_env("random records");
    struct fh_catalog_record back;
    uint8_t bytes[300];

    for (uint32_t round = 0; round < 20000; round++) {
        size_t size = rng_below(&random, sizeof(bytes));
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)rng_next(&random);
        cr_assert_eq(fh_catalog_unpack(rng_next(&random), bytes, size, &back), -EBADMSG);
    }
}

Test(catalog, a_bad_record_is_counted_and_the_others_are_served)
{
    struct fh_catalog_change change = {
        .puts = true, .record = record_of(4, "bad"), .done = change_done};

    cr_assert_eq(fh_catalog_start(catalog), 0);
    cr_assert_eq(put(1, "a"), 0);
    change.record.file = FH_CATALOG_FILES + 1;
    fh_catalog_submit(catalog, &change);
    wait_for(over + 1);
    cr_assert_eq(put(9, "b"), 0);
    reopen();
    cr_assert_eq(load(), 1);
    cr_assert_eq(seen.count, 2);
}
