/*
 * A script over two files and memory beside them, in which the n-th request for memory, or the n-th
 * transfer, fails: for n = 1, 2, ... until none does, once and for ever. Each step succeeds or says
 * so with a typed error; what was read is right; a sync that said yes is on the disk; and when the
 * faults are over nothing is left behind.
 */
#include <unistd.h>

#include "tests/support/file_rig.h"

enum { PAGE = FH_PAGE_SIZE, SIZE = 30 * PAGE + 100, FRAMES = 48, SLOTS = 255, HOLD = 12 };

struct script {
    struct zone_rig rig;
    struct file_rig file;
    struct fh_object_view memory;
    bool open, has_memory;
    uint8_t bytes[SIZE]; /* what the file's object holds */
    uint32_t refused;
};

static uint8_t body[SIZE], got[SIZE];

static int note(struct script *s, const char *step, int rc)
{
    bool typed = rc == 0 || rc == -ENOMEM || rc == -ENOSPC || rc == -EIO || rc == -EBUSY;

    cr_assert(typed, "%s: %s", step, strerror(-rc));
    s->refused += rc != 0;
    cr_assert(fh_zone_check(&s->rig.zone, stderr), "after %s", step);
    return rc;
}

static void step_open(struct script *s)
{
    s->file.number = 1;
    s->file.disk = fh_fake_disk_file(s->rig.disk, SIZE);
    file_fill(s->file.disk->bytes, SIZE);
    file_fill(s->file.disk->safe, SIZE);
    file_fill(s->bytes, SIZE);
    s->open = note(s, "open", file_reopen(&s->rig, &s->file, true)) == 0;
    if (!s->open)
        close(s->file.disk->fd);
}

static void verify(struct script *s)
{
    if (!s->open || note(s, "read", zone_read(&s->rig, &s->file.object.ref, 0, got, SIZE)) != 0)
        return;
    for (uint32_t i = 0; i < SIZE; i++)
        cr_assert_eq(got[i], s->bytes[i], "byte %u of page %u", i, i / PAGE);
}

static void step_write(struct script *s, uint64_t offset, uint64_t size, uint64_t what)
{
    zone_fill(body, what, size);
    if (s->open && note(s, "write", zone_write(&s->rig, &s->file.object, offset, body, size)) == 0)
        memcpy(s->bytes + offset, body, size);
    verify(s);
}

static void step_zero(struct script *s, uint64_t offset, uint64_t size)
{
    if (s->open && note(s, "zero", zone_zero(&s->rig, &s->file.object, offset, size)) == 0)
        memset(s->bytes + offset, 0, size);
    verify(s);
}

static void step_stage(struct script *s, uint64_t offset, uint64_t size, uint64_t what)
{
    zone_fill(body, what, size);
    if (s->open &&
        note(s, "stage", zone_stage(&s->rig, &s->file.object, NULL, offset, body, size)) == 0)
        memcpy(s->bytes + offset, body, size);
    verify(s);
}

static void step_sync(struct script *s)
{
    if (!s->open || note(s, "sync", file_sync(&s->rig, &s->file)) != 0)
        return;
    cr_assert_eq(memcmp(s->file.disk->safe, s->bytes, SIZE), 0, "a sync that lied");
}

/* A long read whose object is written, zeroed and synced meanwhile. */
static void step_read_beside(struct script *s)
{
    static struct fh_reader r;
    static uint8_t moment[SIZE];

    if (!s->open)
        return;
    memcpy(moment, s->bytes, SIZE);
    memset(&r.call, 0, sizeof(r.call));
    int opened = fh_reader_open(&s->rig.zone, &r, &s->file.object.ref, 0, SIZE);
    int rc = zone_wait(&s->rig, &r.call, opened);
    note(s, "open a view", rc);
    step_write(s, 20 * PAGE, 3 * PAGE, 7);
    step_zero(s, 15 * PAGE + 9, 4 * PAGE);
    step_stage(s, 22 * PAGE - 5, 7 * PAGE, 8);
    step_sync(s);
    if (rc == 0 && note(s, "view", zone_drain(&s->rig, &r, 0, got)) == 0)
        cr_assert_eq(memcmp(got, moment, SIZE), 0, "the read is not of one moment");
    if (opened == 0 || opened == -EINPROGRESS)
        fh_reader_close(&r);
    cr_assert(fh_zone_check(&s->rig.zone, stderr));
}

static void run(struct script *s)
{
    step_open(s);
    verify(s);
    step_write(s, 100, 50, 1);
    step_write(s, 4 * PAGE, 5 * PAGE, 2);
    step_sync(s);
    zone_evict(&s->rig);
    step_write(s, 9 * PAGE + 1, 2 * PAGE, 3);
    zone_evict(&s->rig);
    step_stage(s, 3 * PAGE + 3, 20 * PAGE, 4);
    step_read_beside(s);
    zone_evict(&s->rig);
    step_zero(s, PAGE / 2, 10 * PAGE);
    step_sync(s);
    verify(s);
    if (s->has_memory && note(s, "read", zone_read(&s->rig, &s->memory.ref, 0, got, 40000)) == 0) {
        zone_fill(body, 99, 40000);
        cr_assert_eq(memcmp(got, body, 40000), 0, "the bystander");
    }
}

static struct script *begin(void)
{
    struct script *s = calloc(1, sizeof(*s));

    cr_assert_not_null(s);
    zone_open(&s->rig, FRAMES, SLOTS, HOLD);
    s->memory = zone_alloc(&s->rig, 40000);
    zone_fill(body, 99, 40000);
    cr_assert_eq(zone_write(&s->rig, &s->memory, 0, body, 40000), 0);
    s->has_memory = true;
    zone_evict(&s->rig);
    return s;
}

static void end(struct script *s)
{
    s->rig.zone.mem.fail_at = 0;
    s->rig.disk->fail_at = 0;
    s->rig.now_ms += 1000;
    verify(s);
    if (s->open) {
        int rc = file_sync(&s->rig, &s->file);
        cr_assert(rc == 0 || rc == -EIO);
        if (rc == 0)
            cr_assert_eq(memcmp(s->file.disk->safe, s->bytes, SIZE), 0);
        verify(s);
        file_close(&s->rig, &s->file);
    }
    cr_assert_eq(fh_zone_free(&s->rig.zone, &s->memory.ref), 0);
    zone_expect_empty(&s->rig);
    zone_close(&s->rig);
    free(s);
}

TestSuite(file_faults, .timeout = 120);

static void sweep_memory(bool from_there_on)
{
    bool failed = true;
    uint64_t n = 1;

    for (; failed; n++) {
        struct script *s = begin();
        struct fh_mem *mem = &s->rig.zone.mem;
        mem->fail_at = mem->calls + n;
        mem->fail_from_there_on = from_there_on;
        run(s);
        failed = mem->failed;
        cr_assert_eq(failed, s->refused > 0, "request %lu", (unsigned long)n);
        end(s);
    }
    cr_assert_gt(n, 10);
}

Test(file_faults, each_request_for_memory_fails_once)
{
    sweep_memory(false);
}

Test(file_faults, each_request_for_memory_fails_and_all_after_it)
{
    sweep_memory(true);
}

static void sweep_disk(bool from_there_on)
{
    uint64_t n = 1, refused = 0;
    bool failed = true;

    for (; failed; n++) {
        struct script *s = begin();
        struct fh_fake_disk *disk = s->rig.disk;
        disk->fail_at = disk->transfers + n;
        disk->fail_from_there_on = from_there_on;
        uint64_t at = disk->fail_at;
        run(s);
        failed = disk->transfers >= at;
        refused += s->refused;
        end(s);
    }
    fprintf(stderr, "%lu transfers failed, %lu steps were refused\n", (unsigned long)(n - 2),
            (unsigned long)refused);
    cr_assert_gt(n, 20);
    cr_assert_gt(refused, 0);
}

Test(file_faults, each_transfer_fails_once)
{
    sweep_disk(false);
}

Test(file_faults, each_transfer_fails_and_all_after_it)
{
    sweep_disk(true);
}
