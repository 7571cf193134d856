/* Limits and pressure of control groups, read from trees of files made here. */
#include "server/cgroup.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char root[] = "/tmp/farheap-cgroup-XXXXXX";

static void setup(void)
{
    cr_assert_not_null(mkdtemp(root));
}

static void teardown(void)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_assert_eq(system(command), 0);
}

TestSuite(cgroup, .init = setup, .fini = teardown, .timeout = 20);

/* A file below the root, with the folders it needs. */
static void file(const char *path, const char *text)
{
    char name[512], command[600];

    snprintf(name, sizeof name, "%s/%s", root, path);
    snprintf(command, sizeof command, "mkdir -p $(dirname %s)", name);
    cr_assert_eq(system(command), 0);
    FILE *f = fopen(name, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

static uint64_t limit(void)
{
    return fh_cgroup_limit_bytes(root);
}

Test(cgroup, without_groups_there_is_no_limit)
{
    cr_assert_eq(limit(), UINT64_MAX);
    file("proc/self/cgroup", "");
    cr_assert_eq(limit(), UINT64_MAX);
    file("proc/self/cgroup", "0::/a/b\n");
    cr_assert_eq(limit(), UINT64_MAX);
}

Test(cgroup, version_2_tells_in_memory_max)
{
    file("proc/self/cgroup", "0::/app\n");
    file("sys/fs/cgroup/app/memory.max", "536870912\n");
    cr_assert_eq(limit(), 512 << 20);
    file("sys/fs/cgroup/app/memory.max", "max\n");
    cr_assert_eq(limit(), UINT64_MAX);
}

Test(cgroup, memory_high_counts_as_well)
{
    file("proc/self/cgroup", "0::/app\n");
    file("sys/fs/cgroup/app/memory.max", "536870912\n");
    file("sys/fs/cgroup/app/memory.high", "268435456\n");
    cr_assert_eq(limit(), 256 << 20);
    file("sys/fs/cgroup/app/memory.high", "max\n");
    cr_assert_eq(limit(), 512 << 20);
}

Test(cgroup, the_least_of_nested_groups_counts)
{
    file("proc/self/cgroup", "0::/a/b/c\n");
    file("sys/fs/cgroup/a/memory.max", "100000000\n");
    file("sys/fs/cgroup/a/b/memory.max", "max\n");
    file("sys/fs/cgroup/a/b/c/memory.max", "200000000\n");
    cr_assert_eq(limit(), 100000000);
    file("sys/fs/cgroup/a/b/memory.high", "50000000\n");
    cr_assert_eq(limit(), 50000000);
}

Test(cgroup, inside_a_container_the_mount_itself_is_the_group)
{
    file("proc/self/cgroup", "0::/\n");
    file("sys/fs/cgroup/memory.max", "300000000\n");
    cr_assert_eq(limit(), 300000000);
    file("proc/self/cgroup", "0::/on/the/host/only\n");
    cr_assert_eq(limit(), 300000000);
}

Test(cgroup, version_1_tells_in_limit_in_bytes)
{
    file("proc/self/cgroup", "9:name=systemd:/x\n4:cpu,memory:/docker/abc\n0::/\n");
    file("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "400000000\n");
    file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    cr_assert_eq(limit(), 400000000);
    file("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "350000000\n");
    cr_assert_eq(limit(), 350000000);
}

Test(cgroup, version_1_writes_no_limit_as_a_large_number)
{
    file("proc/self/cgroup", "4:memory:/\n");
    file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    cr_assert_eq(limit(), UINT64_MAX);
}

Test(cgroup, other_controllers_say_nothing_about_memory)
{
    file("proc/self/cgroup", "4:hugememory:/a\n5:memorylike,cpu:/a\nnonsense\n");
    file("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000000\n");
    cr_assert_eq(limit(), UINT64_MAX);
}

Test(cgroup, nonsense_is_no_limit)
{
    file("proc/self/cgroup", "0::/app\n");
    file("sys/fs/cgroup/app/memory.max", "much\n");
    cr_assert_eq(limit(), UINT64_MAX);
    file("sys/fs/cgroup/app/memory.max", "");
    cr_assert_eq(limit(), UINT64_MAX);
}

Test(cgroup, pressure_is_that_of_the_machine_or_else_of_the_group)
{
    uint32_t permille = 7;

    cr_assert_not(fh_cgroup_pressure(root, &permille));
    cr_assert_eq(permille, 7);
    file("proc/self/cgroup", "4:memory:/x\n0::/app\n");
    file("sys/fs/cgroup/app/memory.pressure",
         "some avg10=12.34 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 avg60=0 avg300=0 "
         "total=0\n");
    cr_assert(fh_cgroup_pressure(root, &permille));
    cr_assert_eq(permille, 123);
    file("proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    cr_assert(fh_cgroup_pressure(root, &permille));
    cr_assert_eq(permille, 0);
    file("proc/pressure/memory", "some avg10=-1 avg60=0.00\n");
    cr_assert(fh_cgroup_pressure(root, &permille), "the group's is left");
    cr_assert_eq(permille, 123);
}
