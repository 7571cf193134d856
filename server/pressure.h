/*
 * pressure: how much of its budget a server gives up while other processes of the machine wait for memory. A pure
 * function of what PSI tells: no file, no clock.
 *
 * Threads    pure; any thread.
 */
#ifndef FH_SERVER_PRESSURE_H
#define FH_SERVER_PRESSURE_H

#include <stdint.h>

struct fh_pressure_how {
    uint32_t threshold_permille; /* of time waited, above which the budget shrinks; 0 = never */
    uint64_t least_bytes;        /* below which it never shrinks for this reason */
    uint64_t most_bytes;         /* the budget there would be without pressure */
};

/* The budget for the next second, from that of this one: never above most_bytes. */
uint64_t fh_pressure_next(const struct fh_pressure_how *, uint64_t bytes, uint32_t permille);

#endif
