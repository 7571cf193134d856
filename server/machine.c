/*
 * Theory.  A process may use what the machine has and what its control groups allow (cgroup.h), whichever is less.
 */
#include "machine.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"

uint64_t fh_machine_physical_bytes(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t fh_machine_memory_bytes(void)
{
    uint64_t physical = fh_machine_physical_bytes();
    uint64_t limit = fh_cgroup_limit_bytes("");

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

uint64_t fh_machine_cpu_ns(void)
{
    struct timespec t = {0};

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}
