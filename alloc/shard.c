/*
 * Theory.  An array that grows as a whole is copied, and leaves a hole of its old size, which
 * nothing else fits. Here it is a row of pieces of one size: it grows by what it needs, and what one
 * shard gives back is what the next one asks for. In front is a row of pointers, which is that of a
 * full shard from the beginning: only one that may not be split needs a longer one.
 *
 *   shard   count depth bits [o][o][o][ ][ ][ ][ ][ ]
 *                             |  |  +-> [entries 128..141              ]
 *                             |  +----> [entries 64..127               ]
 *                             +-------> [entries 0..63                 ]
 *
 * Invariants
 *   [I1] the first `pieces` pointers lead to a piece each, and pieces <= room
 *   [I2] count <= fh_shard_cap
 */
#include "shard.h"

#include <stdbool.h>

enum { ROOM_STEP = 8 };

static size_t shard_bytes(uint32_t room)
{
    return sizeof(struct fh_shard) + room * sizeof(uint8_t *);
}

static struct fh_shard *shard_make(struct fh_mem *mem, uint32_t pieces, uint32_t depth,
                                   uint32_t bits)
{
    uint32_t room = (pieces + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
    struct fh_shard *s = fh_mem_take(mem, shard_bytes(room));

    if (!s)
        return NULL;
    s->room = room;
    s->depth = (uint16_t)depth;
    s->bits = (uint16_t)bits;
    return s;
}

static bool shard_add_piece(struct fh_mem *mem, struct fh_shard *s)
{
    FH_ASSERT(s->pieces < s->room); /* [I1] */
    s->piece[s->pieces] = fh_mem_take(mem, FH_SHARD_PIECE_BYTES);
    if (!s->piece[s->pieces])
        return false;
    s->pieces++;
    return true;
}

static void shard_drop_piece(struct fh_mem *mem, struct fh_shard *s)
{
    FH_ASSERT(s->pieces > 0);
    fh_mem_give(mem, s->piece[--s->pieces], FH_SHARD_PIECE_BYTES);
}

void fh_shard_destroy(struct fh_mem *mem, struct fh_shard *s)
{
    if (!s)
        return;
    while (s->pieces > 0)
        shard_drop_piece(mem, s);
    fh_mem_give(mem, s, shard_bytes(s->room));
}

struct fh_shard *fh_shard_create(struct fh_mem *mem, uint32_t count, uint32_t depth, uint32_t bits)
{
    uint32_t pieces = count / FH_SHARD_PIECE + 1;
    struct fh_shard *s = shard_make(mem, pieces, depth, bits);

    while (s && s->pieces < pieces)
        if (!shard_add_piece(mem, s)) {
            fh_shard_destroy(mem, s);
            return NULL;
        }
    return s;
}

struct fh_shard *fh_shard_grow(struct fh_mem *mem, struct fh_shard *s)
{
    struct fh_shard *wide;

    if (s->pieces < s->room)
        return shard_add_piece(mem, s) ? s : NULL;
    if (!(wide = shard_make(mem, s->pieces + 1, s->depth, s->bits)))
        return NULL;
    wide->count = s->count;
    wide->pieces = s->pieces;
    memcpy(wide->piece, s->piece, s->pieces * sizeof(uint8_t *));
    if (!shard_add_piece(mem, wide)) {
        fh_mem_give(mem, wide, shard_bytes(wide->room)); /* the pieces are still the other's */
        return NULL;
    }
    fh_mem_give(mem, s, shard_bytes(s->room));
    return wide;
}

void fh_shard_cut(struct fh_mem *mem, struct fh_shard *s)
{
    FH_ASSERT(s->count <= fh_shard_cap(s)); /* [I2] */
    if (s->pieces > s->count / FH_SHARD_PIECE + 2)
        shard_drop_piece(mem, s);
}

void fh_shard_open(struct fh_shard *s, uint32_t at)
{
    FH_ASSERT(at <= s->count);
    FH_ASSERT(s->count < fh_shard_cap(s)); /* [I2] */
    for (uint32_t end = s->count; end > at;) {
        uint32_t first = end / FH_SHARD_PIECE * FH_SHARD_PIECE; /* of the piece that `end` is in */
        uint32_t from = first > at ? first : at;
        memmove(fh_shard_place(s, from) + FH_SHARD_ENTRY_BYTES, fh_shard_place(s, from),
                (size_t)(end - from) * FH_SHARD_ENTRY_BYTES);
        end = from;
        if (from > at) {
            fh_shard_set(s, from, fh_shard_at(s, from - 1)); /* over the border */
            end = from - 1;
        }
    }
    s->count++;
}

void fh_shard_close(struct fh_shard *s, uint32_t at)
{
    FH_ASSERT(at < s->count);
    s->count--;
    while (at < s->count) {
        uint32_t last = at | (FH_SHARD_PIECE - 1); /* of the piece that `at` is in */
        uint32_t end = last < s->count ? last : s->count;
        memmove(fh_shard_place(s, at), fh_shard_place(s, at) + FH_SHARD_ENTRY_BYTES,
                (size_t)(end - at) * FH_SHARD_ENTRY_BYTES);
        if (last < s->count)
            fh_shard_set(s, last, fh_shard_at(s, last + 1)); /* over the border */
        at = last + 1;
    }
}
