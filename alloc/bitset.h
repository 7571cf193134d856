/*
 * bitset: a bitmap with summaries, to find its lowest set bit in one scan per level.
 *
 * Level 0 has a bit per item; a bit of level n + 1 is set if and only if the word of level n it
 * stands for is not 0. 2^18 items need three levels, 2^28 five.
 *
 * Units      items are 0-based; sizes are words of 64 bits.
 * Ownership  caller owns struct and words; the words must be zero at init.
 * Cost       every operation O(levels).
 */
#ifndef FH_ALLOC_BITSET_H
#define FH_ALLOC_BITSET_H

#include <stdbool.h>
#include <stdint.h>

#include "bits.h"

enum { FH_BITSET_LEVELS = 5, FH_BITSET_ITEMS_MAX = 1 << 30 };

struct fh_bitset {
    uint64_t *level[FH_BITSET_LEVELS];
    uint32_t levels;
};

static inline uint64_t fh_bitset_level_words(uint64_t items)
{
    return (items + 63) >> 6;
}

/* Words for all levels together. */
static inline uint64_t fh_bitset_words(uint64_t items)
{
    uint64_t words = 0;
    do {
        items = fh_bitset_level_words(items);
        words += items;
    } while (items > 1);
    return words;
}

static inline void fh_bitset_init(struct fh_bitset *s, uint64_t *words, uint64_t items)
{
    *s = (struct fh_bitset){0};
    do {
        items = fh_bitset_level_words(items);
        s->level[s->levels++] = words;
        words += items;
    } while (items > 1);
}

static inline bool fh_bitset_is_empty(const struct fh_bitset *s)
{
    return s->level[s->levels - 1][0] == 0;
}

static inline bool fh_bitset_has(const struct fh_bitset *s, uint64_t item)
{
    return fh_bit_is_set(s->level[0], item);
}

static inline void fh_bitset_add(struct fh_bitset *s, uint64_t item)
{
    for (uint32_t l = 0; l < s->levels; l++) {
        bool was_empty = s->level[l][item >> 6] == 0;
        fh_bit_set(s->level[l], item);
        if (!was_empty)
            return;
        item >>= 6;
    }
}

static inline void fh_bitset_remove(struct fh_bitset *s, uint64_t item)
{
    for (uint32_t l = 0; l < s->levels; l++) {
        fh_bit_clear(s->level[l], item);
        if (s->level[l][item >> 6] != 0)
            return;
        item >>= 6;
    }
}

/* The lowest item of a set that is not empty. */
static inline uint64_t fh_bitset_lowest(const struct fh_bitset *s)
{
    uint64_t item = 0;
    for (uint32_t l = s->levels; l-- > 0;)
        item = item << 6 | (uint64_t)__builtin_ctzll(s->level[l][item]);
    return item;
}

#endif
