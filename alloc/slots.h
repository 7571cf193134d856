/*
 * slots: which slot of the swap file is free, who names the others, and what authenticates them.
 *
 * Slots are given out in runs, so that victims evicted together lie side by side. A slot has
 * references like a frame: it is free again when the last one is released, unless it was
 * quarantined.
 *
 * Units      slots 1 .. total; slot 0 means none. A run is consecutive slots of one cluster.
 * Ownership  caller owns the struct, slots its maps. A run's references are the taker's.
 * Threads    one zone thread.
 * Errors     -ENOSPC no slot is free; -ENOMEM no memory for the maps.
 * Cost       take: O(1), a scan of at most two clusters' bitmaps; hold, release: O(1). 24 bytes per
 *            slot in use.
 */
#ifndef FH_ALLOC_SLOTS_H
#define FH_ALLOC_SLOTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "cipher.h"
#include "ids.h"
#include "mem.h"

enum {
    FH_SLOTS_CLUSTER = 512, /* slots: 2 MiB of the file */
    FH_SLOT_REFS_MAX = 65535,
};

struct fh_slot_record {
    uint8_t tag[FH_CIPHER_TAG_BYTES];
    uint64_t word; /* nonce : 48 | refs : 16, refs in the upper bits; 0 refs = nobody names it */
};

struct fh_slots_stats {
    uint64_t total, free, used, quarantined; /* total is the sum of the other three */
    uint64_t runs_taken, slots_taken;        /* slots_taken / runs_taken: how long runs are */
};

struct fh_slots_cluster;

struct fh_slots {
    struct fh_mem *mem;
    uint32_t total;
    uint32_t cluster_count;
    uint32_t clusters_fresh;           /* clusters from here on were never used: not in a list */
    uint32_t open;                     /* cluster runs are taken from; cluster_count = none */
    struct fh_slot_record *records;    /* by slot */
    uint64_t *taken_map;               /* a bit per slot: not free [I1] */
    uint64_t *quarantine_map;          /* a bit per slot [I2] */
    struct fh_slots_cluster *clusters; /* counts and lists by how many are taken [I3] */
    uint32_t *lists;                   /* first cluster with that many free slots, + 1 [I4] */
    struct fh_slots_stats stats;       /* [I5] */
};

FH_CHECKED int fh_slots_init(struct fh_slots *, struct fh_mem *, uint32_t total);
void fh_slots_fini(struct fh_slots *);

/* Takes up to `want` (>= 1) consecutive free slots, one reference each. */
FH_CHECKED int fh_slots_take(struct fh_slots *, uint32_t want, struct fh_slot *first,
                             uint32_t *count);
/* One more reference to a live slot; false when the count is full. */
bool fh_slots_hold(struct fh_slots *, struct fh_slot);
/* One fewer; the last one frees the slot, unless it is quarantined. */
void fh_slots_release(struct fh_slots *, struct fh_slot);
/* A live slot whose place on disk is not to be trusted: never given out again. Twice is fine. */
void fh_slots_quarantine(struct fh_slots *, struct fh_slot);

/* The same for a slot that could not be written: it may be tried again after a pardon. */
void fh_slots_shelve(struct fh_slots *, struct fh_slot);
/* The shelved slots without a reference are free again; how many. Cost: O(slots / 64). */
uint32_t fh_slots_pardon(struct fh_slots *);

uint32_t fh_slots_refs(const struct fh_slots *, struct fh_slot);
/* Tag and nonce of a live slot. */
const struct fh_slot_record *fh_slots_record(const struct fh_slots *, struct fh_slot);
uint64_t fh_slots_nonce(const struct fh_slots *, struct fh_slot);
void fh_slots_seal(struct fh_slots *, struct fh_slot, uint64_t nonce,
                   const uint8_t tag[FH_CIPHER_TAG_BYTES]);

void fh_slots_stats(const struct fh_slots *, struct fh_slots_stats *out);
bool fh_slots_check(const struct fh_slots *, FILE *why);
void fh_slots_dump(const struct fh_slots *, FILE *out);

#endif
