/*
 * One script of zone operations, run again and again while the 1st, 2nd, ... n-th request for
 * memory or transfer of the disk fails: alone, or with all that follow it. Every step says so or
 * works, the zone stays whole, what nobody touched stays as it was, and at the end nothing is left.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/zone_rig.h"

enum { OBJECTS = 6, BYSTANDER = 0, BYSTANDER_SIZE = 30000, LARGE = 200000 };

/* What the script works on. */
struct script {
    struct zone_rig rig;
    struct fh_object_view objects[OBJECTS];
    bool live[OBJECTS];
    uint64_t what[OBJECTS]; /* what zone_fill made its content of; its size is in the view */
    bool known[OBJECTS];    /* the content is exactly that */
    uint32_t refused;       /* steps that said no */
};

static uint8_t body[LARGE], got[LARGE], expected[LARGE];

/* Errors that are an honest answer to what is done to the zone. */
static bool is_typed(int rc)
{
    return rc == 0 || rc == -ENOMEM || rc == -ENOSPC || rc == -EIO || rc == -EBUSY;
}

static void note(struct script *s, const char *step, int rc)
{
    cr_assert(is_typed(rc), "%s: %s", step, strerror(-rc));
    s->refused += rc != 0;
    cr_assert(fh_zone_check(&s->rig.zone, stderr), "after %s", step);
}

/* Its bytes are right, or the disk fails the read. */
static void verify(struct script *s, uint32_t i)
{
    uint64_t size = s->objects[i].size < LARGE ? s->objects[i].size : LARGE;

    if (!s->live[i] || !s->known[i])
        return;
    int rc = zone_read(&s->rig, &s->objects[i].ref, 0, got, size);
    note(s, "read", rc);
    if (rc != 0)
        return;
    zone_fill(expected, s->what[i], size);
    cr_assert_eq(memcmp(got, expected, size), 0, "object %u is not what was written", i);
}

static void step_alloc(struct script *s, uint32_t i, uint64_t size)
{
    int rc = fh_zone_alloc(&s->rig.zone, ZONE_TENANT, size, 0, &s->objects[i]);

    note(s, "alloc", rc);
    s->live[i] = rc == 0;
    s->what[i] = 0;
    s->known[i] = true;
}

static void step_write(struct script *s, uint32_t i, uint64_t what)
{
    uint64_t size = s->objects[i].size < FH_WRITE_MAX ? s->objects[i].size : FH_WRITE_MAX;

    if (!s->live[i])
        return;
    zone_fill(body, what, size);
    int rc = zone_write(&s->rig, &s->objects[i], 0, body, size);
    note(s, "write", rc);
    if (rc == 0) {
        s->what[i] = what;
        s->known[i] = size == s->objects[i].size;
    }
    verify(s, i);
}

static void step_stage(struct script *s, uint32_t i, const char *name, uint64_t what, uint64_t size)
{
    if (!s->live[i] && !name)
        return;
    zone_fill(body, what, size);
    int rc = zone_stage(&s->rig, &s->objects[i], name, 0, body, size);
    note(s, name ? "staged put" : "staged write", rc);
    if (rc == 0) {
        s->live[i] = true;
        s->what[i] = what;
        s->known[i] = size == s->objects[i].size;
    }
    verify(s, i);
}

static void step_put(struct script *s, uint32_t i, uint64_t what, uint64_t size)
{
    zone_fill(body, what, size);
    int rc = zone_put(&s->rig, "name", body, size, 0, &any_time, &s->objects[i]);

    note(s, "put", rc);
    if (rc == 0) {
        s->live[i] = true;
        s->what[i] = what;
        s->known[i] = true;
    }
    verify(s, i);
}

static void step_resize(struct script *s, uint32_t i, uint64_t size)
{
    uint64_t before = s->objects[i].size;

    if (!s->live[i])
        return;
    int rc = zone_resize(&s->rig, &s->objects[i], size);
    note(s, "resize", rc);
    if (rc == 0)
        s->known[i] = s->known[i] && size < before;
    verify(s, i);
}

static void step_zero(struct script *s, uint32_t i, uint64_t offset, uint64_t size)
{
    if (!s->live[i])
        return;
    int rc = zone_zero(&s->rig, &s->objects[i], offset, size);
    note(s, "zero", rc);
    if (rc == 0)
        s->known[i] = false;
}

/* Reads while the object is overwritten: the reader must see the old bytes to the end. */
static void step_read_beside_write(struct script *s, uint32_t i)
{
    static struct fh_reader r;

    if (!s->live[i] || !s->known[i])
        return;
    memset(&r.call, 0, sizeof(r.call));
    uint64_t what = s->what[i], size = s->objects[i].size;
    int opened =
        zone_wait(&s->rig, &r.call, fh_reader_open(&s->rig.zone, &r, &s->objects[i].ref, 0, size));
    note(s, "open", opened);
    step_write(s, i, what + 1);
    if (opened == 0) {
        int rc = zone_drain(&s->rig, &r, 0, got);
        note(s, "view", rc);
        zone_fill(expected, what, size);
        if (rc == 0)
            cr_assert_eq(memcmp(got, expected, size), 0, "the read is not of one moment");
    }
    if (opened == 0 || r.is_view)
        fh_reader_close(&r);
    cr_assert(fh_zone_check(&s->rig.zone, stderr));
}

static void step_free(struct script *s, uint32_t i)
{
    if (!s->live[i])
        return;
    cr_assert_eq(fh_zone_free(&s->rig.zone, &s->objects[i].ref), 0, "freeing never fails");
    s->live[i] = false;
    cr_assert(fh_zone_check(&s->rig.zone, stderr));
}

/* Less memory, which takes moves and writes, and then more again. */
static void step_budget(struct script *s, uint64_t frames)
{
    int rc = fh_zone_set_memory(&s->rig.zone, frames * FH_PAGE_SIZE, false);

    cr_assert_eq(rc, 0, "setting a budget never fails");
    for (uint32_t i = 0; i < 200 && s->rig.zone.pager.budget.state == FH_BUDGET_SHRINKING; i++)
        (void)zone_turn(&s->rig);
    note(s, "budget", rc);
    verify(s, 2);
}

static void run(struct script *s)
{
    step_alloc(s, 1, 100);
    step_write(s, 1, 11);
    step_alloc(s, 2, LARGE);
    step_stage(s, 2, NULL, 21, LARGE);
    zone_evict(&s->rig);
    step_read_beside_write(s, 2);
    step_put(s, 3, 31, 900);
    step_put(s, 3, 32, 40000);
    step_stage(s, 3, "name", 33, 90000);
    zone_evict(&s->rig);
    verify(s, 3);
    step_resize(s, 1, 5000);
    step_resize(s, 1, 70);
    step_resize(s, 2, 900000);
    step_zero(s, 2, 5000, 100000);
    step_alloc(s, 4, UINT64_C(3) << 30);
    step_alloc(s, 5, 20000);
    step_write(s, 5, 51);
    step_budget(s, 48);
    step_budget(s, 64);
    zone_evict(&s->rig);
    step_write(s, 5, 52);
    verify(s, BYSTANDER);
}

/* A zone with one object that the script leaves alone. */
static struct script *begin(void)
{
    struct script *s = calloc(1, sizeof(*s));

    cr_assert_not_null(s);
    zone_open(&s->rig, 64, 255, 20);
    step_alloc(s, BYSTANDER, BYSTANDER_SIZE);
    step_write(s, BYSTANDER, 99);
    zone_evict(&s->rig);
    return s;
}

/* The faults are over: everything works again, then all goes and nothing is left. */
static void end(struct script *s)
{
    s->rig.zone.mem.fail_at = 0;
    s->rig.disk->fail_at = 0;
    s->rig.now_ms += 1000;
    uint32_t refused = s->refused;
    for (uint32_t i = 0; i < OBJECTS; i++)
        verify(s, i);
    for (uint32_t i = 0; i < OBJECTS; i++)
        step_free(s, i);
    zone_expect_empty(&s->rig);
    step_alloc(s, 1, 50000);
    step_stage(s, 1, NULL, 3, 50000);
    cr_assert_eq(s->refused, refused, "it goes on as if nothing had been");
    step_free(s, 1);
    zone_expect_empty(&s->rig);
    zone_close(&s->rig);
    free(s);
}

TestSuite(zone_faults, .timeout = 60);

static void sweep_memory(bool from_there_on)
{
    uint64_t n = 1, refused = 0;
    bool failed = true;

    for (; failed; n++) {
        struct script *s = begin();
        struct fh_mem *mem = &s->rig.zone.mem;
        mem->fail_at = mem->calls + n;
        mem->fail_from_there_on = from_there_on;
        run(s);
        failed = mem->failed;
        cr_assert_eq(failed, s->refused > 0, "request %lu failed and no step said so",
                     (unsigned long)n);
        refused += s->refused;
        end(s);
    }
    fprintf(stderr, "%lu requests for memory failed, %lu steps were refused\n",
            (unsigned long)(n - 2), (unsigned long)refused);
    cr_assert_gt(n, 10);
}

Test(zone_faults, each_request_for_memory_fails_once)
{
    sweep_memory(false);
}

Test(zone_faults, each_request_for_memory_fails_and_all_after_it)
{
    sweep_memory(true);
}

static void sweep_init(bool from_there_on)
{
    uint64_t n = 1;
    bool failed = true;

    for (; failed; n++) {
        struct zone_rig *g = calloc(1, sizeof(*g));
        g->fail_at = n;
        g->fail_from_there_on = from_there_on;
        int rc = zone_rig_init(g, 64, 255, 20);
        failed = g->zone.mem.failed;
        cr_assert_eq(rc, failed ? -ENOMEM : 0);
        if (rc == 0)
            fh_zone_fini(&g->zone);
        cr_assert_eq(g->zone.mem.used_bytes, 0, "request %lu", (unsigned long)n);
        fh_io_destroy(&g->disk->io);
        free(g);
    }
    cr_assert_gt(n, 10);
}

Test(zone_faults, each_request_for_memory_at_the_beginning_fails)
{
    sweep_init(false);
    sweep_init(true);
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
    cr_assert_gt(n, 5);
    cr_assert_eq(refused > 0, from_there_on, "a single failure is made good by a second try");
}

Test(zone_faults, each_transfer_fails_once)
{
    sweep_disk(false);
}

Test(zone_faults, each_transfer_fails_and_all_after_it)
{
    sweep_disk(true);
}
