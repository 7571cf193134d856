/*
 * ids: the numbers of requests on the wire. They only grow, so no id is used twice; and each tells
 * its slot, so that finding the request of an answer is one look into an array.
 *
 * Ownership  caller owns the struct; what a slot points at stays the caller's.
 * Threads    one owner thread.
 * Errors     UINT32_MAX: no memory for another slot, or no such id.
 * Cost       O(1), amortised for take.
 */
#ifndef FH_CLIENT_IDS_H
#define FH_CLIENT_IDS_H

#include <stdbool.h>
#include <stdint.h>

struct fh_link;
struct fh_req;

struct fh_id_slot {
    struct fh_req *req;   /* NULL while `link` is set: forgotten, its answer is drained */
    struct fh_link *link; /* whose answer is awaited; NULL: the slot is free */
    uint64_t id;          /* of its request; 0 while the slot is free */
    uint32_t next_free;
    bool large; /* the answer's body may be; for its owner */
};

struct fh_ids {
    struct fh_id_slot *slots;
    uint32_t count, first_free; /* count: a power of two; first_free: UINT32_MAX = none */
    uint64_t last;              /* the largest id given out */
};

void fh_ids_init(struct fh_ids *);
void fh_ids_fini(struct fh_ids *);

/* A slot for this request; its index. */
uint32_t fh_ids_take(struct fh_ids *, struct fh_req *, struct fh_link *);
void fh_ids_release(struct fh_ids *, uint32_t index);
uint64_t fh_ids_number(const struct fh_ids *, uint32_t index);
/* The slot of this id, if its answer is awaited from this link. */
uint32_t fh_ids_find(const struct fh_ids *, const struct fh_link *, uint64_t id);

#endif
