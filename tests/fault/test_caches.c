/*
 * Typed caches while the n-th request for memory fails, alone or with all that follow: each step
 * works or says so and changes nothing, and nothing is left at the end.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/zone_rig.h"

enum { SIZE = 3000, OBJECTS = 40 };

static uint8_t initial[SIZE], model[SIZE], got[SIZE];

static bool is_honest(int rc)
{
    return rc == 0 || rc == -ENOMEM || rc == -ENOSPC;
}

struct made {
    struct fh_object_view object;
    bool written;
};

/* Makes a cache; false when refused, and then it is as if it had not been asked for. */
static bool step_create(struct zone_rig *g)
{
    struct fh_caches_stats before, after;

    fh_caches_stats(&g->zone.caches, &before);
    int rc = fh_zone_cache_create(&g->zone, ZONE_TENANT,
                                  &(struct fh_cache_spec){.name = "c",
                                                          .name_size = 1,
                                                          .object_size = SIZE,
                                                          .initial = initial,
                                                          .initial_size = SIZE});
    cr_assert(is_honest(rc), "create: %s", strerror(-rc));
    zone_check(g);
    fh_caches_stats(&g->zone.caches, &after);
    if (rc != 0) {
        cr_assert_eq(after.count, before.count);
        cr_assert_eq(after.book_bytes, before.book_bytes);
    }
    return rc == 0;
}

static uint32_t step_alloc(struct zone_rig *g, struct made objects[OBJECTS])
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < OBJECTS; i++) {
        uint64_t live = g->zone.objects.count;
        int rc =
            fh_zone_alloc_typed(&g->zone, ZONE_TENANT, "c", 1, SIZE, 0, &objects[count].object);
        cr_assert(is_honest(rc), "alloc: %s", strerror(-rc));
        cr_assert_eq(g->zone.objects.count, live + (rc == 0));
        objects[count].written = false;
        count += rc == 0;
    }
    zone_check(g);
    return count;
}

static void step_write_and_read(struct zone_rig *g, struct made *m)
{
    int rc = zone_write(g, &m->object, 2000, model + 2000, 100);

    cr_assert(is_honest(rc), "write: %s", strerror(-rc));
    m->written = rc == 0;
    rc = zone_read(g, &m->object.ref, 0, got, SIZE);
    cr_assert(is_honest(rc), "read: %s", strerror(-rc));
    if (rc == 0)
        cr_assert_eq(memcmp(got, m->written ? model : initial, SIZE), 0);
}

/* Whether a planned failure came to pass. */
static bool script(uint64_t fail_at, bool from_there_on)
{
    static struct zone_rig rig;
    static struct made objects[OBJECTS];
    uint32_t count = 0;

    zone_open(&rig, 64, 255, 20);
    rig.zone.mem.fail_at = rig.zone.mem.calls + fail_at;
    rig.zone.mem.fail_from_there_on = from_there_on;
    if (step_create(&rig)) {
        count = step_alloc(&rig, objects);
        for (uint32_t i = 0; i < count; i += 7)
            step_write_and_read(&rig, &objects[i]);
        zone_check(&rig);
        for (uint32_t i = 0; i < count; i++)
            cr_assert_eq(fh_zone_free(&rig.zone, &objects[i].object.ref), 0);
        cr_assert_eq(fh_zone_cache_destroy(&rig.zone, ZONE_TENANT, "c", 1), 0);
    }
    bool failed = rig.zone.mem.failed;
    rig.zone.mem.fail_at = 0;
    zone_expect_empty(&rig);
    zone_close(&rig);
    return failed;
}

static void sweep(bool from_there_on)
{
    uint64_t n = 1;

    zone_fill(initial, 5, SIZE);
    memcpy(model, initial, SIZE);
    memset(model + 2000, 1, 100);
    while (script(n, from_there_on))
        n++;
    cr_assert_gt(n, 5, "cache, initial bytes, slabs and their numbers need memory");
}

Test(caches_fault, one_request_for_memory_fails, .timeout = 60)
{
    sweep(false);
}

Test(caches_fault, memory_fails_from_some_request_on, .timeout = 60)
{
    sweep(true);
}
