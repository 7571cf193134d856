/*
 * bench_alloc_sides: the allocators that are timed, ours and others', behind one face, so that all
 * run in the same loop and pay the same indirect call.
 *
 * Ownership  a side is opened before and closed after its use; state is the side's.
 */
#ifndef FH_BENCH_ALLOC_SIDES_H
#define FH_BENCH_ALLOC_SIDES_H

#include <stdint.h>
#include <stdio.h>

#include "alloc/buddy_systems.h"

enum { SIDE_ARENA_BYTES = 1 << 30 };

struct bench_side {
    const char *name;
    void *state; /* of an open side */
    void (*open)(struct bench_side *);
    void (*close)(struct bench_side *);
    /* Takes `bytes`, returns how many it cost, 0 when there is no room; *what is to be given. */
    uint64_t (*take)(void *state, uint64_t bytes, uint64_t *what);
    void (*give)(void *state, uint64_t what);
    /* Prints what the books cost after a fill; NULL: not known. */
    void (*books)(void *state, uint64_t used_bytes, FILE *out);
    const struct fh_buddy_system *system; /* of a buddy */
    const struct side_rival *rival;       /* of a library */
};

/* An arena of 2^18 granules of 4 KiB. */
struct bench_side side_buddy(const struct fh_buddy_system *);
/* The heap: mark of the page, slab. */
struct bench_side side_slab(void);
/* The heap with a record and a random key per object, looked up and compared before the free. */
struct bench_side side_object(void);

/* A malloc from a library of this machine, loaded by name, not linked. */
struct side_rival {
    void *(*take)(size_t);
    void (*give)(void *);
    const char *name, *library, *take_name, *give_name;
};
enum { SIDE_RIVALS = 2 };
/* Loads what is installed; says on `out` what is not. May start the program anew, see there. */
void side_load_rivals(char **argv, FILE *out);
/* False when the library with this index is not there. */
int side_rival(uint32_t index, struct bench_side *);

#endif
