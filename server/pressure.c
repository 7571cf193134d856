/*
 * Theory.  "some avg10" is the share of the last ten seconds in which at least one process waited for memory. Above the
 * threshold the budget shrinks by 1 % of the whole a second, 2 MiB at least: what is given up is seen in avg10 only
 * seconds later, so larger steps would overshoot. Below half the threshold it grows back at a quarter of
 * that speed; in between it rests, so that it does not swing. It never shrinks below the least, since a server that
 * gave up everything would make its own clients wait for the disk instead.
 */
#include "pressure.h"

#define STEP_LEAST (UINT64_C(2) << 20)

enum { SHRINK_SHARE = 100, GROW_SHARE = 400 };

static uint64_t step_of(uint64_t bytes, uint32_t share)
{
    uint64_t step = bytes / share;

    return step > STEP_LEAST ? step : STEP_LEAST;
}

uint64_t fh_pressure_next(const struct fh_pressure_how *how, uint64_t bytes, uint32_t permille)
{
    uint64_t least = how->least_bytes < how->most_bytes ? how->least_bytes : how->most_bytes;

    if (how->threshold_permille == 0 || bytes > how->most_bytes)
        return how->most_bytes;
    if (permille > how->threshold_permille) {
        uint64_t step = step_of(how->most_bytes, SHRINK_SHARE);
        return bytes > least && bytes - least > step ? bytes - step : least;
    }
    if (permille * 2 < how->threshold_permille) {
        uint64_t step = step_of(how->most_bytes, GROW_SHARE);
        return how->most_bytes - bytes > step ? bytes + step : how->most_bytes;
    }
    return bytes > least ? bytes : least;
}
