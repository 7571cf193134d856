/*
 * trace: a recorded sequence of block requests, and how many of them each of five policies misses.
 *
 * farheap's is the production code, alloc/fifo over frame records, driven as the pager drives it: the page table's
 * memory of the eviction epoch included, read-ahead and writes left out.
 *
 * Units      cache sizes in blocks, at least 1. Blocks are renumbered 0 .. pages - 1 in order of their first request.
 * Ownership  load to free.
 * Errors     -EINVAL not a block id in line `line`; -ENODATA no request in the file; -ENOMEM; -errno of reading.
 * Cost       load and each policy O(requests), Belady O(requests log requests).
 */
#ifndef FH_TESTS_TRACE_H
#define FH_TESTS_TRACE_H

#include <stdint.h>
#include <stdio.h>

struct trace {
    uint32_t *requests; /* renumbered */
    uint32_t count;     /* requests */
    uint32_t pages;     /* different blocks */
    uint64_t line;      /* lines read; after -EINVAL the one that is wrong */
};

/* One block id a line, decimal, below 2^64; empty lines do not count. Plain text, or gzip by its first byte. */
int trace_load(struct trace *, const char *path);
void trace_free(struct trace *);

/* Requests that miss in a cache of so many blocks; UINT64_MAX: no memory for the books. */
uint64_t trace_farheap(const struct trace *, uint32_t cache);
uint64_t trace_lru(const struct trace *, uint32_t cache);
uint64_t trace_clock(const struct trace *,
                     uint32_t cache); /* FIFO, a second round for what was touched */
uint64_t trace_sieve(const struct trace *,
                     uint32_t cache); /* the same, and the hand stays where it found a victim */
uint64_t trace_belady(const struct trace *,
                      uint32_t cache); /* knows the future: no policy misses less */

#endif
