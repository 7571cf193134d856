/*
 * Theory.  The one thing that zones share: which chunk of the region is whose. A byte per chunk under a mutex; a zone
 * takes or gives at most a few in a turn, and only while its budget changes.
 *
 * Invariants
 *   [I1] taken and warm count the chunks in those states
 *   [I2] a chunk that is free and cold has no memory
 */
#include "chunks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CHUNK_FREE, CHUNK_WARM, CHUNK_TAKEN };

int fh_chunks_init(struct fh_chunks *c, void *base, uint64_t bytes)
{
    *c = (struct fh_chunks){.base = base, .count = (uint32_t)(bytes / FH_CHUNK_BYTES)};
    c->states = calloc(c->count, 1);
    if (!c->states)
        return -ENOMEM;
    pthread_mutex_init(&c->mutex, NULL);
    return 0;
}

void fh_chunks_fini(struct fh_chunks *c)
{
    if (!c->states)
        return;
    pthread_mutex_destroy(&c->mutex);
    free(c->states);
    c->states = NULL;
}

/* The lowest chunk in that state from `from` on; count: none. */
static uint32_t chunks_find(const struct fh_chunks *c, uint32_t from, uint8_t state)
{
    const uint8_t *at = memchr(c->states + from, state, c->count - from);

    return at ? (uint32_t)(at - c->states) : c->count;
}

bool fh_chunks_take(void *ctx, uint32_t *chunk)
{
    struct fh_chunks *c = ctx;
    uint32_t found;

    pthread_mutex_lock(&c->mutex);
    if (c->warm > 0) {
        found = chunks_find(c, 0, CHUNK_WARM);
        c->warm--;
    } else {
        found = c->free_from = chunks_find(c, c->free_from, CHUNK_FREE);
    }
    if (found < c->count) {
        c->states[found] = CHUNK_TAKEN;
        c->taken++;
    }
    pthread_mutex_unlock(&c->mutex);
    *chunk = found;
    return found < c->count;
}

void fh_chunks_give(void *ctx, uint32_t chunk, bool warm)
{
    struct fh_chunks *c = ctx;

    pthread_mutex_lock(&c->mutex);
    FH_ASSERT(c->states[chunk] == CHUNK_TAKEN);
    c->states[chunk] = warm ? CHUNK_WARM : CHUNK_FREE;
    c->taken--;
    c->warm += warm;
    if (!warm && chunk < c->free_from)
        c->free_from = chunk;
    pthread_mutex_unlock(&c->mutex);
}

void fh_chunks_cool(struct fh_chunks *c)
{
    pthread_mutex_lock(&c->mutex);
    while (c->warm > 0) {
        uint32_t chunk = chunks_find(c, 0, CHUNK_WARM);
        (void)madvise(c->base + chunk * FH_CHUNK_BYTES, FH_CHUNK_BYTES, MADV_DONTNEED);
        c->states[chunk] = CHUNK_FREE;
        c->warm--;
        c->free_from = chunk < c->free_from ? chunk : c->free_from;
    }
    pthread_mutex_unlock(&c->mutex);
}

uint32_t fh_chunks_used(struct fh_chunks *c)
{
    pthread_mutex_lock(&c->mutex);
    uint32_t used = c->taken + c->warm;
    pthread_mutex_unlock(&c->mutex);
    return used;
}
