/*
 * mem: the memory of the engine's own books. All of it is taken here, so that a test can fail the
 * n-th request and so that the engine can say how much it uses.
 *
 * Threads    a struct fh_mem belongs to one zone and so to one thread.
 * Errors     NULL; nothing changed.
 */
#ifndef FH_ALLOC_MEM_H
#define FH_ALLOC_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fh_mem {
    uint64_t used_bytes;  /* taken and not given back; of maps the whole, though they are touched
                             lazily */
    uint64_t taken_bytes; /* of them, what is in no map: all of it is in use */
    uint64_t calls;       /* requests so far, failed ones included */
    uint64_t
        fail_at; /* the request with this number fails (1 = the next of a fresh mem); 0 = none */
    bool fail_from_there_on; /* and all after it */
    bool failed;             /* a planned failure has happened */
};

/* Zeroed memory for a structure whose size is known when it is given back. */
void *fh_mem_take(struct fh_mem *, size_t size);
void fh_mem_give(struct fh_mem *, void *, size_t size); /* NULL is fine */
/* Moves to a larger size; the new part is zeroed. On NULL the old block is untouched. */
void *fh_mem_grow(struct fh_mem *, void *, size_t size, size_t new_size);

/* A lazily touched map: reads as zeros, costs memory only where written. */
void *fh_mem_map(struct fh_mem *, size_t size);
void fh_mem_unmap(struct fh_mem *, void *, size_t size); /* NULL is fine */
/* Whole pages of a map read as zeros and cost nothing, as if never written. One madvise. */
void fh_mem_forget(void *, size_t size);

#endif
