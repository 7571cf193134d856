/*
 * chunks: which chunks of 2 MiB of the node's region are nobody's. Zones take one when they may grow and give one when
 * they shrank; a warm one still has its memory and goes first.
 *
 * Ownership  caller owns the struct and the region; a chunk is the taker's until it gives it back.
 * Threads    take and give from any zone's thread, cool from the main thread; one mutex, rarely taken.
 * Errors     -ENOMEM at init; take answers false: none is left.
 */
#ifndef FH_SERVER_CHUNKS_H
#define FH_SERVER_CHUNKS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "alloc/assert.h"

#define FH_CHUNK_BYTES (UINT64_C(2) << 20)

struct fh_chunks {
    pthread_mutex_t mutex;
    uint8_t *base;   /* of the region */
    uint8_t *states; /* of each chunk */
    uint32_t count;
    uint32_t taken, warm; /* chunks in those states */
    uint32_t free_from;   /* no chunk below is free and cold */
};

/* A region of whole chunks, none of which was touched. */
FH_CHECKED int fh_chunks_init(struct fh_chunks *, void *base, uint64_t bytes);
void fh_chunks_fini(struct fh_chunks *);
/* The two callbacks of a zone's chunk source; ctx is the struct. */
bool fh_chunks_take(void *ctx, uint32_t *chunk);
void fh_chunks_give(void *ctx, uint32_t chunk, bool warm);
/* The memory of chunks that stayed warm and nobody took goes to the kernel. */
void fh_chunks_cool(struct fh_chunks *);
/* Chunks that have memory: taken or warm. */
uint32_t fh_chunks_used(struct fh_chunks *);

#endif
