/*
 * clock: the only clock of the server. Everything else is handed a time.
 *
 * Units      nanoseconds of CLOCK_MONOTONIC; milliseconds are those divided by a million.
 * Threads    any thread.
 */
#ifndef FH_SERVER_CLOCK_H
#define FH_SERVER_CLOCK_H

#include <stddef.h>
#include <stdint.h>

enum { FH_CLOCK_TEXT_SIZE = 32 };

uint64_t fh_clock_ns(void);
/* The time of day, in ms since 1970. */
uint64_t fh_clock_wall_ms(void);

static inline uint64_t fh_clock_ms_of(uint64_t ns)
{
    return ns / 1000000;
}

/* The time of day as 2024-01-31T12:34:56.789Z. */
void fh_clock_print(char text[FH_CLOCK_TEXT_SIZE]);

#endif
