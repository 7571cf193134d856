/*
 * place: which zone a name lives in, by rendezvous hashing: each zone scores the name, the highest
 * wins, so one zone more or less moves only the names it gains or loses. Part of the protocol:
 * every client must compute the same. The score of zone z is XXH3_64bits_withSeed(name, z); ties go
 * to the lower zone.
 *
 * Threads    pure function; any thread.
 */
#ifndef FH_PROTO_PLACE_H
#define FH_PROTO_PLACE_H

#include <stddef.h>
#include <stdint.h>

/* The zone, 0 .. zones - 1, of a name; zones >= 1. Cost: one hash of the name per zone. */
uint32_t fh_place_name(const void *name, size_t size, uint32_t zones);

#endif
