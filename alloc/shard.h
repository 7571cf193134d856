/*
 * shard: a sorted array of 6-byte entries of the directory, in pieces that come and go one by one.
 *
 * What the entries mean, and their order, is the directory's business.
 *
 * Units      entries, unless a name ends in _BYTES.
 * Ownership  dynamic: create, grow, cut and destroy take and give memory of `mem`.
 * Threads    one zone thread.
 * Errors     NULL: no memory, nothing changed.
 * Cost       at, set: O(1); open, close: a move of the entries behind. Per piece of 64 entries 8 B, per
 *            shard 16 B; half a piece is empty in the mean.
 */
#ifndef FH_ALLOC_SHARD_H
#define FH_ALLOC_SHARD_H

#include <stdint.h>
#include <string.h>

#include "assert.h"
#include "mem.h"

enum {
    FH_SHARD_ENTRY_BYTES = 6,
    FH_SHARD_PIECE = 64,
    FH_SHARD_PIECE_BYTES = FH_SHARD_PIECE * FH_SHARD_ENTRY_BYTES,
};

struct fh_shard {
    uint32_t count;        /* entries, at most fh_shard_cap */
    uint16_t depth;        /* bits that the hashes of all of them begin with */
    uint16_t bits;         /* of its fragments that are known, the upper ones; the others are 0 */
    uint32_t pieces, room; /* that there are, and that there is a pointer for */
    uint8_t *piece[];      /* FH_SHARD_PIECE entries each, little endian */
};

/* Room for so many entries and one more; it has none yet. */
struct fh_shard *fh_shard_create(struct fh_mem *, uint32_t count, uint32_t depth, uint32_t bits);
void fh_shard_destroy(struct fh_mem *, struct fh_shard *); /* NULL is fine */
/* Adds a piece. The shard may lie elsewhere then. */
struct fh_shard *fh_shard_grow(struct fh_mem *, struct fh_shard *);
/* Gives back its last piece if it has more than one to spare. */
void fh_shard_cut(struct fh_mem *, struct fh_shard *);

/* The entries from `at` on move up by one; there is room. What is at `at` is not said. */
void fh_shard_open(struct fh_shard *, uint32_t at);
/* The entry at `at` goes, those behind it move down by one. */
void fh_shard_close(struct fh_shard *, uint32_t at);

static inline uint32_t fh_shard_cap(const struct fh_shard *s)
{
    return s->pieces * FH_SHARD_PIECE;
}

/* Where an entry is, or would be. */
static inline uint8_t *fh_shard_place(const struct fh_shard *s, uint32_t i)
{
    return s->piece[i / FH_SHARD_PIECE] + (size_t)(i % FH_SHARD_PIECE) * FH_SHARD_ENTRY_BYTES;
}

static inline uint64_t fh_shard_at(const struct fh_shard *s, uint32_t i)
{
    uint64_t entry = 0;

    memcpy(&entry, fh_shard_place(s, i), FH_SHARD_ENTRY_BYTES);
    return entry;
}

static inline void fh_shard_set(struct fh_shard *s, uint32_t i, uint64_t entry)
{
    memcpy(fh_shard_place(s, i), &entry, FH_SHARD_ENTRY_BYTES);
}

#endif
