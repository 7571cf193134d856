/*
 * Several threads take chunks from one pool and give them back, warm and cold, while another cools: no chunk is two
 * takers' at a time. A plain program, since ThreadSanitizer does not start under Criterion.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "server/chunks.h"

enum { TAKERS = 4, ROUNDS = 20000, CHUNKS = 6 };

static struct fh_chunks chunks;
static unsigned char *base;

static void *take_and_give(void *arg)
{
    unsigned char mine = *(unsigned char *)arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t chunk;
        if (!fh_chunks_take(&chunks, &chunk))
            continue;
        unsigned char *byte = base + chunk * FH_CHUNK_BYTES;
        *byte = mine; /* a race, if it were somebody else's too */
        if (*byte != mine) {
            fprintf(stderr, "chunk %u is of two\n", chunk);
            exit(1);
        }
        fh_chunks_give(&chunks, chunk, i % 3 != 0);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[TAKERS];
    unsigned char names[TAKERS];

    base = mmap(NULL, CHUNKS * FH_CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0);
    if (base == MAP_FAILED || fh_chunks_init(&chunks, base, CHUNKS * FH_CHUNK_BYTES) != 0)
        return 1;
    for (unsigned i = 0; i < TAKERS; i++) {
        names[i] = (unsigned char)(i + 1);
        if (pthread_create(&threads[i], NULL, take_and_give, &names[i]) != 0)
            return 1;
    }
    for (unsigned i = 0; i < 200; i++)
        fh_chunks_cool(&chunks);
    for (unsigned i = 0; i < TAKERS; i++)
        pthread_join(threads[i], NULL);
    fh_chunks_cool(&chunks);
    if (fh_chunks_used(&chunks) != 0)
        return 1;
    fh_chunks_fini(&chunks);
    return 0;
}
