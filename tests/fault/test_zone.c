/*
 * One script of zone operations, run again and again while the 1st, 2nd, ... n-th request for
 * memory or transfer of the disk fails: alone, or with all that follow it. Every step says so or
 * works, the zone stays whole, what nobody touched stays as it was, and at the end nothing is left.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/zone_script.h"

TestSuite(zone_faults, .timeout = 60);

static void sweep_memory(bool from_there_on)
{
    uint64_t n = 1, refused = 0;
    bool failed = true;

    for (; failed; n++) {
        struct script *s = script_begin(NULL);
        struct fh_mem *mem = &s->rig.zone.mem;
        mem->fail_at = mem->calls + n;
        mem->fail_from_there_on = from_there_on;
        script_run(s);
        failed = mem->failed;
        cr_assert_eq(failed, s->refused > 0, "request %lu failed and no step said so",
                     (unsigned long)n);
        refused += s->refused;
        script_end(s);
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
        struct script *s = script_begin(NULL);
        struct fh_fake_disk *disk = s->rig.disk;
        disk->fail_at = disk->transfers + n;
        disk->fail_from_there_on = from_there_on;
        uint64_t at = disk->fail_at;
        script_run(s);
        failed = disk->transfers >= at;
        refused += s->refused;
        script_end(s);
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
