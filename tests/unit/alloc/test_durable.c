/* Durable objects of a zone: what was acknowledged is there after it was opened again. */
#include "alloc/durable.h"

#include <fcntl.h>

#include "tests/support/durable_rig.h"

enum { LONG = 3 * 1024 * 1024 + 77 };

static struct durable_rig rig;
static uint8_t body[LONG], back[LONG + 8];

static void setup(void)
{
    durable_set_up(&rig);
    for (uint32_t i = 0; i < LONG; i++)
        body[i] = (uint8_t)(i * 7 + i / 4096);
}

static void teardown(void)
{
    durable_tear_down(&rig);
}

TestSuite(durable, .init = setup, .fini = teardown, .timeout = 60);

static void expect(const char *name, const void *bytes, size_t size)
{
    int64_t got = durable_read(&rig, name, back);

    cr_assert_eq(got, (int64_t)size, "%s: %ld", name, got);
    cr_assert_eq(memcmp(back, bytes, size), 0, "%s has other bytes", name);
}

static void expect_nothing(const char *name)
{
    struct fh_object_view view;
    cr_assert_eq(durable_lookup(&rig, name, &view), -ENOENT);
}

/* --- put --- */

Test(durable, a_put_is_there_again_with_its_version)
{
    struct fh_object_view before, after, stale;

    cr_assert_eq(durable_put(&rig, "a", "hello", 5, true), 0);
    expect("a", "hello", 5);
    cr_assert_eq(durable_lookup(&rig, "a", &before), 0);
    cr_assert(before.durable);
    cr_assert(before.sealed);
    durable_reopen(&rig);
    expect("a", "hello", 5);
    cr_assert_eq(durable_lookup(&rig, "a", &after), 0);
    cr_assert_eq(after.version, before.version);
    cr_assert_eq(after.size, 5);
    cr_assert(after.durable);
    cr_assert_eq(fh_zone_find(&rig.zone, &before.ref, &stale), -ESTALE, "handles do not survive");
}

Test(durable, sizes_around_a_page_come_back)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 8192, 65536};
    char name[8];

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        snprintf(name, sizeof(name), "s%zu", i);
        cr_assert_eq(durable_put(&rig, name, body + i, sizes[i], true), 0);
    }
    durable_reopen(&rig);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        snprintf(name, sizeof(name), "s%zu", i);
        expect(name, body + i, sizes[i]);
    }
    cr_assert_eq(rig.zone.durable->objects, 7);
}

Test(durable, a_body_larger_than_memory_comes_back)
{
    cr_assert_gt((int)LONG, DURABLE_FRAMES * 4096);
    cr_assert_eq(durable_put_long(&rig, "long", body, LONG), 0);
    expect("long", body, LONG);
    durable_reopen(&rig);
    expect("long", body, LONG);
    cr_assert_eq(rig.zone.durable->bytes, LONG);
}

Test(durable, a_memory_object_does_not_come_back)
{
    struct fh_object_view view;

    cr_assert_eq(durable_put(&rig, "m", "x", 1, false), 0);
    cr_assert_eq(durable_lookup(&rig, "m", &view), 0);
    cr_assert_not(view.durable);
    durable_reopen(&rig);
    expect_nothing("m");
}

Test(durable, clean_pages_of_it_are_dropped_and_cost_no_swap)
{
    struct fh_zone_stats s;

    for (uint32_t i = 0; i < 40; i++) {
        char name[8];
        snprintf(name, sizeof(name), "p%u", i);
        cr_assert_eq(durable_put(&rig, name, body, 65536, true), 0);
    }
    expect("p0", body, 65536);
    fh_zone_stats(&rig.zone, &s);
    cr_assert_eq(s.pager.swap.slots_used, 0);
}

/* --- what had the name --- */

Test(durable, the_last_of_several_puts_wins)
{
    cr_assert_eq(durable_put(&rig, "a", "one", 3, true), 0);
    cr_assert_eq(durable_put(&rig, "a", "two!", 4, true), 0);
    expect("a", "two!", 4);
    cr_assert_eq(rig.zone.durable->objects, 1);
    durable_reopen(&rig);
    expect("a", "two!", 4);
    cr_assert_eq(rig.zone.durable->objects, 1);
}

Test(durable, a_memory_object_that_takes_the_name_removes_it_for_good)
{
    cr_assert_eq(durable_put(&rig, "a", "one", 3, true), 0);
    cr_assert_eq(durable_put(&rig, "a", "two", 3, false), 0);
    expect("a", "two", 3);
    cr_assert_eq(rig.zone.durable->objects, 0);
    durable_reopen(&rig);
    expect_nothing("a");
}

Test(durable, it_takes_the_name_of_a_memory_object)
{
    cr_assert_eq(durable_put(&rig, "a", "one", 3, false), 0);
    cr_assert_eq(durable_put_long(&rig, "a", body, LONG), 0);
    expect("a", body, LONG);
    durable_reopen(&rig);
    expect("a", body, LONG);
}

Test(durable, a_delete_does_not_come_back)
{
    cr_assert_eq(durable_put(&rig, "a", "one", 3, true), 0);
    cr_assert_eq(durable_put(&rig, "b", "two", 3, true), 0);
    cr_assert_eq(durable_delete(&rig, "a"), 0);
    expect_nothing("a");
    cr_assert_eq(durable_delete(&rig, "a"), -ENOENT);
    durable_reopen(&rig);
    expect_nothing("a");
    expect("b", "two", 3);
}

Test(durable, a_free_by_handle_does_not_come_back)
{
    struct fh_object_view view;

    cr_assert_eq(durable_put(&rig, "a", "one", 3, true), 0);
    cr_assert_eq(durable_lookup(&rig, "a", &view), 0);
    cr_assert_eq(fh_zone_free(&rig.zone, &view.ref), -EAGAIN, "it takes a commit");
    struct fh_change c = {.kind = FH_CHANGE_FREE, .ref = view.ref};
    cr_assert_eq(durable_change(&rig, &c), 0);
    expect_nothing("a");
    durable_reopen(&rig);
    expect_nothing("a");
}

Test(durable, room_is_used_again)
{
    durable_close_zone(&rig);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s/zone-0", rig.folder);
    cr_assert_eq(system(command), 0);
    rig.data_pages = 64;
    cr_assert_eq(durable_open_zone(&rig), 0);
    for (uint32_t i = 0; i < 50; i++) {
        cr_assert_eq(durable_put(&rig, "a", body + i, 40000, true), 0, "%u", i);
        durable_settle(&rig);
    }
    expect("a", body + 49, 40000);
    cr_assert_eq(rig.zone.durable->stuck_pages, 0);
    cr_assert_eq(durable_put_long(&rig, "b", body, LONG), -ENOSPC);
}

/* --- alloc, write, publish --- */

static int write_at(const struct fh_ref *ref, uint64_t offset, const void *bytes, size_t size)
{
    struct fh_mutation m = {.call = {.done = durable_done},
                            .kind = FH_MUTATE_WRITE,
                            .ref = *ref,
                            .offset = offset,
                            .size = size,
                            .body = bytes};
    return durable_wait(&rig, &m.call, fh_zone_mutate(&rig.zone, &m));
}

Test(durable, what_was_allocated_and_written_becomes_durable_when_published)
{
    struct fh_object_view view;

    cr_assert_eq(fh_zone_alloc_durable(&rig.zone, DURABLE_TENANT, 100000, 0, &view), 0);
    cr_assert_eq(write_at(&view.ref, 50000, "middle", 6), 0);
    struct fh_change c = {
        .kind = FH_CHANGE_PUBLISH, .ref = view.ref, .name = "p", .name_size = 1, .durable = true};
    cr_assert_eq(durable_change(&rig, &c), 0);
    cr_assert(c.object.sealed);
    cr_assert_eq(c.object.ref.key, view.ref.key, "the handle stays");
    durable_reopen(&rig);
    cr_assert_eq(durable_read(&rig, "p", back), 100000);
    cr_assert_eq(memcmp(back + 50000, "middle", 6), 0);
    for (uint32_t i = 0; i < 50000; i++)
        cr_assert_eq(back[i], 0);
}

Test(durable, without_a_name_it_is_gone)
{
    struct fh_object_view view;

    cr_assert_eq(fh_zone_alloc_durable(&rig.zone, DURABLE_TENANT, 100000, 0, &view), 0);
    cr_assert_eq(write_at(&view.ref, 0, "x", 1), 0);
    durable_reopen(&rig);
    cr_assert_eq(rig.zone.objects.count, 0);
    cr_assert_eq(rig.zone.durable->files[0].shelf.used, 0);
}

Test(durable, a_memory_object_cannot_be_published_so)
{
    struct fh_object_view view;

    cr_assert_eq(fh_zone_alloc(&rig.zone, DURABLE_TENANT, 100, 0, &view), 0);
    struct fh_change c = {
        .kind = FH_CHANGE_PUBLISH, .ref = view.ref, .name = "p", .name_size = 1, .durable = true};
    cr_assert_eq(durable_change(&rig, &c), -EINVAL);
    cr_assert_eq(write_at(&view.ref, 0, "x", 1), 0, "it is not sealed");
}

Test(durable, fresh_pages_read_as_zeros_also_where_others_were)
{
    struct fh_object_view view;

    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(durable_put(&rig, "a", body, 65536, true), 0);
        cr_assert_eq(durable_delete(&rig, "a"), 0);
        durable_settle(&rig);
    }
    rig.zone.durable->files[0].shelf.cursor = 0;
    cr_assert_eq(fh_zone_alloc_durable(&rig.zone, DURABLE_TENANT, 65536, 0, &view), 0);
    cr_assert_eq(write_at(&view.ref, 5000, "x", 1), 0);
    struct fh_change c = {.kind = FH_CHANGE_PUBLISH, .ref = view.ref, .name = "z", .name_size = 1};
    cr_assert_eq(durable_change(&rig, &c), 0);
    durable_reopen(&rig);
    cr_assert_eq(durable_read(&rig, "z", back), 65536);
    for (uint32_t i = 0; i < 65536; i++)
        cr_assert_eq(back[i], i == 5000 ? 'x' : 0);
}

/* --- who is faster --- */

Test(durable, puts_of_one_name_at_once_leave_one_object)
{
    enum { MANY = 12 };
    static struct fh_put puts[MANY];

    for (uint32_t i = 0; i < MANY; i++) {
        puts[i] = (struct fh_put){.tenant = DURABLE_TENANT,
                                  .name = "same",
                                  .name_size = 4,
                                  .body = body + i,
                                  .body_size = 5000,
                                  .durable = i % 3 != 2};
        int rc = fh_zone_put(&rig.zone, &puts[i]);
        cr_assert(rc == 0 || rc == -EINPROGRESS, "%d", rc);
    }
    durable_settle(&rig);
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(puts[i].call.rc, 0);
    int64_t got = durable_read(&rig, "same", back);
    cr_assert_eq(got, 5000);
    cr_assert_eq(rig.zone.objects.count, 1);
    bool survives = rig.zone.durable->objects == 1;
    static uint8_t last[5000];
    memcpy(last, back, 5000);
    durable_reopen(&rig);
    if (survives)
        expect("same", last, 5000);
    else
        expect_nothing("same");
}

Test(durable, until_it_is_safe_nobody_sees_it)
{
    struct fh_put put = {.tenant = DURABLE_TENANT,
                         .name = "new",
                         .name_size = 3,
                         .body = "x",
                         .body_size = 1,
                         .durable = true};

    cr_assert_eq(fh_zone_put(&rig.zone, &put), -EINPROGRESS);
    while (fh_list_is_empty(&rig.zone.durable->commits)) {
        expect_nothing("new");
        durable_step(&rig);
    }
    expect_nothing("new");
    cr_assert_eq(fh_zone_delete(&rig.zone, DURABLE_TENANT, "new", 3, &(struct fh_cond){0}),
                 -EAGAIN);
    durable_settle(&rig);
    expect("new", "x", 1);
}

Test(durable, what_is_being_deleted_can_still_be_read)
{
    struct fh_change c = {
        .kind = FH_CHANGE_DELETE, .ref = {.tenant = DURABLE_TENANT}, .name = "a", .name_size = 1};
    struct fh_object_view view;

    cr_assert_eq(durable_put(&rig, "a", "one", 3, true), 0);
    cr_assert_eq(fh_zone_change(&rig.zone, &c), -EINPROGRESS);
    cr_assert_eq(durable_lookup(&rig, "a", &view), 0);
    cr_assert_eq(durable_delete(&rig, "a"), -ENOENT, "the second waits, and finds nothing");
    cr_assert_eq(c.call.rc, 0);
}

Test(durable, who_gives_up_while_it_is_committed_changes_nothing)
{
    struct fh_put put = {.tenant = DURABLE_TENANT,
                         .name = "a",
                         .name_size = 1,
                         .body = "one",
                         .body_size = 3,
                         .durable = true};

    cr_assert_eq(fh_zone_put(&rig.zone, &put), -EINPROGRESS);
    while (fh_list_is_empty(&rig.zone.durable->commits))
        durable_step(&rig);
    fh_zone_put_cancel(&put);
    memset(&put, 0xee, sizeof(put));
    durable_settle(&rig);
    expect("a", "one", 3);
    durable_reopen(&rig);
    expect("a", "one", 3);
}

Test(durable, who_gives_up_before_leaves_nothing)
{
    struct fh_put put = {.tenant = DURABLE_TENANT,
                         .name = "a",
                         .name_size = 1,
                         .body = body,
                         .body_size = 60000,
                         .durable = true};

    cr_assert_eq(fh_zone_put(&rig.zone, &put), -EINPROGRESS);
    fh_zone_put_cancel(&put);
    durable_settle(&rig);
    expect_nothing("a");
    cr_assert_eq(rig.zone.objects.count, 0);
    cr_assert_eq(rig.zone.durable->files[0].shelf.used, 0);
}

Test(durable, a_long_read_goes_on_over_an_object_that_is_deleted)
{
    static struct fh_reader r;
    struct fh_object_view view;
    uint64_t at = 0;
    int rc;

    cr_assert_eq(durable_put_long(&rig, "long", body, LONG), 0);
    durable_reopen(&rig); /* nothing of it is in memory */
    cr_assert_eq(durable_lookup(&rig, "long", &view), 0);
    r.call.done = durable_done;
    rc = durable_wait(&rig, &r.call, fh_reader_open(&rig.zone, &r, &view.ref, 0, LONG));
    cr_assert_eq(rc, 0);
    fh_reader_release(&r, 0);
    cr_assert_eq(durable_delete(&rig, "long"), 0);
    for (uint32_t i = 0; i < 20; i++) /* others come and go meanwhile */
        cr_assert_eq(durable_put(&rig, "other", body + 100, 60000, true), 0);
    while (r.left > 0) {
        cr_assert_eq(durable_wait(&rig, &r.call, fh_reader_next(&r)), 0);
        for (uint32_t i = 0; i < r.iov_count; i++) {
            memcpy(back + at, r.iov[i].iov_base, r.iov[i].iov_len);
            at += r.iov[i].iov_len;
        }
        fh_reader_release(&r, r.window_bytes);
    }
    fh_reader_close(&r);
    cr_assert_eq(memcmp(back, body, LONG), 0);
    durable_settle(&rig);
    cr_assert_eq(rig.zone.durable->files[0].shelf.used, 15, "only the other one's pages");
}

/* --- time --- */

Test(durable, what_expires_while_it_is_down_is_gone)
{
    struct fh_put put = {.call = {.done = durable_done},
                         .tenant = DURABLE_TENANT,
                         .name = "short",
                         .name_size = 5,
                         .body = "x",
                         .body_size = 1,
                         .ttl_ms = 5000,
                         .durable = true};
    struct fh_object_view view;

    cr_assert_eq(durable_wait(&rig, &put.call, fh_zone_put(&rig.zone, &put)), 0);
    put.name = "longer";
    put.name_size = 6;
    put.ttl_ms = 60000;
    cr_assert_eq(durable_wait(&rig, &put.call, fh_zone_put(&rig.zone, &put)), 0);
    durable_reopen(&rig); /* ten seconds later */
    expect_nothing("short");
    cr_assert_eq(durable_lookup(&rig, "longer", &view), 0);
    cr_assert_leq(view.ttl_ms, 50200);
    cr_assert_gt(view.ttl_ms, 40000);
    durable_settle(&rig);
    durable_reopen(&rig);
    cr_assert_eq(rig.zone.durable->objects, 1);
}

Test(durable, what_expires_while_it_is_up_does_not_come_back)
{
    struct fh_put put = {.call = {.done = durable_done},
                         .tenant = DURABLE_TENANT,
                         .name = "short",
                         .name_size = 5,
                         .body = "x",
                         .body_size = 1,
                         .ttl_ms = 200,
                         .durable = true};

    cr_assert_eq(durable_wait(&rig, &put.call, fh_zone_put(&rig.zone, &put)), 0);
    rig.now_ms += 1000;
    durable_settle(&rig);
    durable_settle(&rig);
    expect_nothing("short");
    cr_assert_eq(rig.zone.durable->files[0].shelf.used, 0);
    rig.wall_ms -= 10000; /* even if the clock was set back */
    durable_reopen(&rig);
    expect_nothing("short");
}

/* --- disks that fail --- */

Test(durable, after_a_failed_sync_nothing_is_acknowledged_and_another_file_takes_over)
{
    cr_assert_eq(durable_put(&rig, "good", "one", 3, true), 0);
    rig.fail_syncs = true;
    cr_assert_eq(durable_put(&rig, "bad", "two", 3, true), -EIO);
    expect_nothing("bad");
    rig.fail_syncs = false; /* the kernel says now that all is well */
    cr_assert_eq(durable_put(&rig, "next", "three", 5, true), 0);
    cr_assert_gt(rig.zone.durable->files[1].shelf.used, 0);
    expect("good", "one", 3);
    durable_reopen(&rig);
    expect("good", "one", 3);
    expect("next", "three", 5);
    expect_nothing("bad");
}

Test(durable, with_no_file_left_it_says_so_and_goes_on_reading)
{
    cr_assert_eq(durable_put(&rig, "good", "one", 3, true), 0);
    rig.fail_syncs = true;
    cr_assert_eq(durable_put(&rig, "bad", "two", 3, true), -EIO);
    cr_assert_eq(durable_put(&rig, "bad", "two", 3, true), -EIO);
    cr_assert_eq(durable_put(&rig, "bad", "two", 3, true), -EIO);
    cr_assert_eq(durable_put_long(&rig, "bad", body, LONG), -EIO);
    expect("good", "one", 3);
    cr_assert_eq(durable_put(&rig, "memory", "x", 1, false), 0);
}

Test(durable, a_write_that_fails_changes_nothing)
{
    cr_assert_eq(durable_put(&rig, "a", "one", 3, true), 0);
    rig.fail_fd = rig.zone.durable->files[0].file->fd;
    cr_assert_neq(durable_put(&rig, "a", "two", 3, true), 0);
    cr_assert_neq(durable_put_long(&rig, "a", body, LONG), 0);
    expect("a", "one", 3);
    rig.fail_fd = -1;
    cr_assert_eq(durable_put(&rig, "a", "three", 5, true), 0);
    durable_reopen(&rig);
    expect("a", "three", 5);
}

Test(durable, a_flipped_bit_on_the_disk_is_a_lost_page_and_no_wrong_byte)
{
    char path[128];
    uint8_t byte;

    cr_assert_eq(durable_put(&rig, "a", body, 65536, true), 0);
    cr_assert_eq(durable_put(&rig, "b", body, 65536, true), 0);
    durable_close_zone(&rig);
    snprintf(path, sizeof(path), "%s/zone-0/data-0", rig.folder);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_eq(pread(fd, &byte, 1, 3 * 4096 + 17), 1);
    byte ^= 4;
    cr_assert_eq(pwrite(fd, &byte, 1, 3 * 4096 + 17), 1);
    close(fd);
    cr_assert_eq(durable_open_zone(&rig), 0);
    cr_assert_eq(durable_read(&rig, "a", back), -EBADMSG);
    cr_assert_eq(durable_read(&rig, "a", back), -EBADMSG, "and again");
    expect("b", body, 65536);
    cr_assert_eq(rig.zone.pager.backing.stats.bad_sums, 2);
}

Test(durable, another_number_of_zones_is_refused)
{
    durable_close_zone(&rig);
    cr_assert_eq(fh_io_threads_create(1, &rig.io), 0);
    int rc = fh_zone_init(&rig.zone,
                          &(struct fh_zone_opts){.memory_bytes = DURABLE_FRAMES * FH_PAGE_SIZE,
                                                 .chunk_order = 3,
                                                 .io = rig.io,
                                                 .random = durable_random,
                                                 .random_ctx = &rig,
                                                 .data_dir = rig.folder,
                                                 .zones = 2,
                                                 .data_pages = rig.data_pages},
                          1000);
    cr_assert_eq(rc, -EXDEV);
    cr_assert_eq(rig.zone.mem.used_bytes, 0);
    fh_io_destroy(rig.io);
    cr_assert_eq(durable_open_zone(&rig), 0);
}

/* --- a walk --- */

enum { WALK_NAMES = 6, WALK_STEPS = 400, WALK_SIZE_MAX = 60000 };

struct walk_name {
    bool is_there, is_durable;
    size_t size;
    uint32_t seed; /* where in `body` its bytes begin */
};
static struct walk_name walk_names[WALK_NAMES];

static void walk_check(void)
{
    for (uint32_t i = 0; i < WALK_NAMES; i++) {
        char name[8];
        snprintf(name, sizeof(name), "w%u", i);
        if (walk_names[i].is_there)
            expect(name, body + walk_names[i].seed, walk_names[i].size);
        else
            expect_nothing(name);
    }
}

static void walk_put(struct rng *random, uint32_t i, const char *name)
{
    struct walk_name next = {.is_there = true,
                             .is_durable = rng_percent(random, 70),
                             .size = rng_log_uniform(random, 16) % WALK_SIZE_MAX,
                             .seed = (uint32_t)rng_below(random, 100000)};
    bool fails = rng_percent(random, 10);
    rig.fail_fd = fails ? rig.zone.durable->files[0].file->fd : -1;
    int rc = durable_put(&rig, name, body + next.seed, next.size, next.is_durable);
    rig.fail_fd = -1;
    if (rc == 0)
        walk_names[i] = next;
    else
        cr_assert(fails);
}

static void walk_reopen(void)
{
    durable_reopen(&rig);
    for (uint32_t i = 0; i < WALK_NAMES; i++)
        walk_names[i].is_there = walk_names[i].is_there && walk_names[i].is_durable;
}

static void walk_step(struct rng *random)
{
    uint32_t i = (uint32_t)rng_below(random, WALK_NAMES);
    char name[8];

    snprintf(name, sizeof(name), "w%u", i);
    switch (rng_below(random, 8)) {
    case 0:
    case 1:
        cr_assert_eq(durable_delete(&rig, name), walk_names[i].is_there ? 0 : -ENOENT);
        walk_names[i].is_there = false;
        break;
    case 2:
        if (rng_percent(random, 30))
            walk_reopen();
        break;
    default:
        walk_put(random, i, name);
        break;
    }
}

Test(durable, a_walk_of_puts_deletes_failures_and_restarts)
{
    struct rng random = rng_from_env("durable walk");

    for (uint32_t step = 0; step < WALK_STEPS; step++) {
        walk_step(&random);
        if (step % 10 == 0)
            walk_check();
    }
    walk_reopen();
    walk_check();
    durable_settle(&rig);
    uint64_t pages = 0;
    for (uint32_t i = 0; i < WALK_NAMES; i++)
        if (walk_names[i].is_there)
            pages += walk_names[i].size > 4096 ? (walk_names[i].size + 4095) / 4096 : 1;
    cr_assert_eq(rig.zone.durable->files[0].shelf.used, pages, "nothing else takes room");
}

Test(durable, every_allocation_of_a_put_may_fail)
{
    for (uint64_t n = 1; n < 60; n++) {
        rig.zone.mem.calls = 0;
        rig.zone.mem.failed = false;
        rig.zone.mem.fail_at = n;
        int rc = durable_put(&rig, "a", body + n, 9000, true);
        bool failed = rig.zone.mem.failed;
        rig.zone.mem.fail_at = 0;
        durable_settle(&rig);
        cr_assert(rc == 0 || rc == -ENOMEM, "%lu: %d", n, rc);
        if (rc == 0)
            expect("a", body + n, 9000);
        if (!failed)
            break;
        (void)durable_delete(&rig, "a");
        durable_settle(&rig);
    }
    cr_assert_eq(rig.zone.durable->files[0].shelf.used, 3 + rig.zone.durable->stuck_pages);
}

Test(durable, a_publish_that_failed_for_want_of_memory_leaves_the_object_writable)
{
    struct fh_object_view view;
    uint64_t refused = 0;
    int rc = -ENOMEM;

    cr_assert_eq(fh_zone_alloc_durable(&rig.zone, DURABLE_TENANT, 9000, 0, &view), 0);
    cr_assert_eq(write_at(&view.ref, 0, "x", 1), 0);
    for (uint64_t n = 1; rc == -ENOMEM && n < 60; n++) {
        struct fh_change c = {.kind = FH_CHANGE_PUBLISH,
                              .ref = view.ref,
                              .name = "p",
                              .name_size = 1,
                              .durable = true};
        rig.zone.mem.calls = 0;
        rig.zone.mem.fail_at = n;
        rc = durable_change(&rig, &c);
        rig.zone.mem.fail_at = 0;
        durable_settle(&rig);
        if (rc == -ENOMEM)
            cr_assert_eq(write_at(&view.ref, 0, "y", 1), 0, "after failure %lu", n);
        refused += rc == -ENOMEM;
    }
    cr_assert_eq(rc, 0);
    cr_assert_gt(refused, 0);
    cr_assert_eq(durable_read(&rig, "p", back), 9000);
    cr_assert_eq(back[0], 'y');
}

Test(durable, every_allocation_of_the_start_may_fail)
{
    cr_assert_eq(durable_put(&rig, "a", "one", 3, true), 0);
    durable_close_zone(&rig);
    for (rig.fail_at = 1;; rig.fail_at++) {
        int rc = durable_open_zone(&rig);
        if (rc == 0)
            break;
        cr_assert_eq(rc, -ENOMEM, "%lu: %d", rig.fail_at, rc);
        cr_assert_eq(rig.zone.mem.used_bytes, 0);
        fh_io_destroy(rig.io);
    }
    rig.zone.mem.fail_at = 0;
    cr_assert_gt(rig.fail_at, 10);
    expect("a", "one", 3);
}

Test(durable, without_a_data_directory_it_is_not_supported)
{
    struct fh_object_view view;

    durable_close_zone(&rig);
    cr_assert_eq(fh_io_threads_create(1, &rig.io), 0);
    rig.real = rig.io->backend;
    cr_assert_eq(fh_zone_init(&rig.zone,
                              &(struct fh_zone_opts){.memory_bytes = DURABLE_FRAMES * FH_PAGE_SIZE,
                                                     .chunk_order = 3,
                                                     .io = rig.io,
                                                     .random = durable_random,
                                                     .random_ctx = &rig},
                              1000),
                 0);
    cr_assert_eq(durable_put(&rig, "a", "x", 1, true), -EOPNOTSUPP);
    cr_assert_eq(durable_put_long(&rig, "a", body, 100000), -EOPNOTSUPP);
    cr_assert_eq(fh_zone_alloc_durable(&rig.zone, DURABLE_TENANT, 10, 0, &view), -EOPNOTSUPP);
    cr_assert_eq(rig.zone.objects.count, 0);
}
