/*
 * Theory.  Highest random weight: the score of each zone for a name is a hash of the name seeded
 * with the zone's number, and the highest score wins. A zone that joins takes only the names it
 * scores highest for; one that leaves gives up only its own. XXH3 is fixed by its specification,
 * the same on every machine, so the result may be part of the protocol.
 *
 * Invariants
 *   [I1] the zone of a name is below `zones`
 *   [I2] going from n to n + 1 zones, a name stays or moves to zone n
 * Source: Thaler and Ravishankar, IEEE/ACM Transactions on Networking 6(1) 1998.
 */
#include "place.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint32_t fh_place_name(const void *name, size_t size, uint32_t zones)
{
    uint64_t best_score = 0;
    uint32_t best = 0;

    if (zones <= 1)
        return 0;
    for (uint32_t zone = 0; zone < zones; zone++) {
        uint64_t score = XXH3_64bits_withSeed(name, size, zone);
        if (zone == 0 || score > best_score) {
            best_score = score;
            best = zone;
        }
    }
    return best;
}
