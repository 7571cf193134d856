/*
 * reap: gives back what the heap kept for the next allocation: the empty slab of each cache, caches
 * without slabs, the arena without a block. Their pages hold no memory, their books do.
 *
 * Threads    one zone thread; never blocks.
 * Cost       a turn: nothing while there is nothing to do, else at most REAP_LOOKS caches.
 */
#ifndef FH_ALLOC_REAP_H
#define FH_ALLOC_REAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "heap.h"

enum { FH_REAP_IDLE_MS = 1000 };

struct fh_reap_stats {
    uint64_t sweeps, slabs; /* sweeps that came to their end; slabs given back */
};

struct fh_reap {
    struct fh_heap *heap;
    uint64_t allocs;   /* of the heap, as of the last turn */
    uint64_t busy_ms;  /* when that had last grown */
    uint64_t calls;    /* allocs and frees when the last sweep began [I1] */
    uint64_t sweep_ms; /* when that was */
    uint32_t cursor;   /* where the running sweep goes on [I2] */
    bool running;
    struct fh_reap_stats stats;
};

void fh_reap_init(struct fh_reap *, struct fh_heap *, uint64_t now_ms);
/* One slice; pressed: memory is short. True when another would find work at once. */
bool fh_reap_turn(struct fh_reap *, bool pressed, uint64_t now_ms);
void fh_reap_stats(const struct fh_reap *, struct fh_reap_stats *out);
bool fh_reap_check(const struct fh_reap *, FILE *why);
void fh_reap_dump(const struct fh_reap *, FILE *out);

#endif
