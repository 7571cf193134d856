/*
 * Theory.  Durations and deadlines use the monotonic clock, which no operator can set back. The
 * time of day appears in log lines only.
 */
#include "clock.h"

#include <stdio.h>
#include <time.h>

uint64_t fh_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void fh_clock_print(char text[FH_CLOCK_TEXT_SIZE])
{
    struct timespec now;
    struct tm day;
    char seconds[24];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &day);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &day);
    snprintf(text, FH_CLOCK_TEXT_SIZE, "%s.%03uZ", seconds,
             (unsigned)((uint64_t)now.tv_nsec / 1000000 % 1000));
}

uint64_t fh_clock_wall_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
