/*
 * bench_alloc_run: what all parts of the benchmark need: a clock, medians, a stop at any failure.
 */
#ifndef FH_BENCH_ALLOC_RUN_H
#define FH_BENCH_ALLOC_RUN_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BENCH_RUNS = 7 }; /* each figure is the median of so many */

static inline double bench_clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline double bench_now_ns(void)
{
    return bench_clock_ns(CLOCK_MONOTONIC);
}

/* Of this thread alone, whatever else runs on its core; a system call, so for long stretches. */
static inline double bench_cpu_ns(void)
{
    return bench_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static inline void bench_must(int rc)
{
    if (rc == 0)
        return;
    fprintf(stderr, "farheap-bench-alloc: an operation failed: %s\n", strerror(-rc));
    exit(1);
}

static inline void *bench_room(size_t count, size_t size)
{
    void *room = calloc(count, size);
    bench_must(room ? 0 : -12);
    return room;
}

static inline int bench_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts; p99 is at(values, count, 0.99), the median at 0.5. */
static inline double bench_at(double *values, size_t count, double share)
{
    qsort(values, count, sizeof(*values), bench_by_value);
    return values[(size_t)((double)(count - 1) * share + 0.5)];
}

#endif
