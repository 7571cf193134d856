/*
 * Theory.  A process may use what the machine has and what its control group allows, whichever is
 * less. Version 2 of control groups tells it in memory.max of the group named by the line "0::PATH"
 * of /proc/self/cgroup, and of each group above it; version 1 in memory.limit_in_bytes.
 */
#include "machine.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A number in a file; UINT64_MAX for "max" or when there is none. */
static uint64_t file_number(const char *path)
{
    uint64_t value = UINT64_MAX;
    FILE *file = fopen(path, "re");

    if (!file)
        return value;
    if (fscanf(file, "%" SCNu64, &value) != 1)
        value = UINT64_MAX;
    fclose(file);
    return value;
}

/* The smallest limit of the group at `path` and those above it. */
static uint64_t group_limit(const char *root, char *path, const char *leaf)
{
    uint64_t limit = UINT64_MAX;
    char name[768];

    for (;;) {
        snprintf(name, sizeof name, "%s%s/%s", root, path, leaf);
        uint64_t here = file_number(name);
        limit = here < limit ? here : limit;
        char *slash = strrchr(path, '/');
        if (!slash)
            return limit;
        *slash = 0;
    }
}

static uint64_t line_limit(char *line)
{
    char *path = strrchr(line, ':');

    line[strcspn(line, "\n")] = 0;
    if (!path)
        return UINT64_MAX;
    path++;
    if (strcmp(path, "/") == 0)
        *path = 0;
    if (strncmp(line, "0::", 3) == 0)
        return group_limit("/sys/fs/cgroup", path, "memory.max");
    if (strstr(line, ":memory:"))
        return group_limit("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes");
    return UINT64_MAX;
}

uint64_t fh_machine_cgroup_bytes(void)
{
    uint64_t limit = file_number("/sys/fs/cgroup/memory.max");
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[512];

    while (file && fgets(line, sizeof line, file)) {
        uint64_t here = line_limit(line);
        limit = here < limit ? here : limit;
    }
    if (file)
        fclose(file);
    return limit;
}

uint64_t fh_machine_memory_bytes(void)
{
    uint64_t physical = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t limit = fh_machine_cgroup_bytes();

    return limit < physical ? limit : physical;
}

uint32_t fh_machine_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? (uint32_t)count : 1;
}

uint64_t fh_machine_rss_bytes(void)
{
    uint64_t pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (!file)
        return 0;
    if (fscanf(file, "%" SCNu64 " %" SCNu64, &pages, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}
