/*
 * Theory.  /proc/PID/task/TID/schedstat counts nanoseconds but is kept per thread; the sum misses
 * threads that have ended, which the servers here do not do under load. Where the kernel has no
 * schedstat, utime + stime of /proc/PID/stat serve, in ticks of 10 ms.
 */
#include "client/bench/proc.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t fh_proc_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t fh_proc_thread_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t proc_thread_ns(pid_t pid, const char *tid)
{
    unsigned long long ns = 0;
    char path[320];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int)pid, tid);
    if ((f = fopen(path, "re")) == NULL)
        return 0;
    if (fscanf(f, "%llu", &ns) != 1)
        ns = 0;
    fclose(f);
    return ns;
}

static uint64_t proc_stat_ns(pid_t pid)
{
    unsigned long long user = 0;
    unsigned long long system = 0;
    char path[64];
    char line[1024];
    char *past_name = NULL;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if ((f = fopen(path, "re")) == NULL)
        return 0;
    if (fgets(line, sizeof(line), f) != NULL)
        past_name = strrchr(line, ')');
    fclose(f);
    if (past_name == NULL ||
        sscanf(past_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user,
               &system) != 2)
        return 0;
    return (uint64_t)((double)(user + system) * 1e9 / (double)sysconf(_SC_CLK_TCK));
}

uint64_t fh_proc_cpu_ns(pid_t pid)
{
    struct dirent *entry;
    uint64_t sum = 0;
    char path[64];
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    if ((dir = opendir(path)) == NULL)
        return 0;
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            sum += proc_thread_ns(pid, entry->d_name);
    closedir(dir);
    return sum != 0 ? sum : proc_stat_ns(pid);
}
