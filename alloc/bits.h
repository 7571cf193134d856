/*
 * bits: powers of two and words of a bitmap.
 */
#ifndef FH_ALLOC_BITS_H
#define FH_ALLOC_BITS_H

#include <stdbool.h>
#include <stdint.h>

/* Largest k with 2^k <= x; x > 0. */
static inline uint32_t fh_log2_floor(uint64_t x)
{
    return 63u - (uint32_t)__builtin_clzll(x);
}

/* Smallest k with 2^k >= x; x > 0. */
static inline uint32_t fh_log2_ceil(uint64_t x)
{
    return x == 1 ? 0 : fh_log2_floor(x - 1) + 1;
}

/* The line of memory at p is wanted soon: for reading and writing. */
static inline void fh_prefetch(const void *p)
{
    __builtin_prefetch(p, 1);
}

static inline uint64_t fh_align_up(uint64_t x, uint64_t power_of_two)
{
    return (x + power_of_two - 1) & ~(power_of_two - 1);
}

static inline uint64_t fh_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t fh_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline bool fh_bit_is_set(const uint64_t *words, uint64_t index)
{
    return (words[index >> 6] >> (index & 63)) & 1;
}

static inline void fh_bit_set(uint64_t *words, uint64_t index)
{
    words[index >> 6] |= UINT64_C(1) << (index & 63);
}

static inline void fh_bit_clear(uint64_t *words, uint64_t index)
{
    words[index >> 6] &= ~(UINT64_C(1) << (index & 63));
}

#endif
