/*
 * oracle_owner: who owns which bytes, the dumbest right way: a sorted array of blocks. It refuses
 * what overlaps and knows the owner of any address.
 */
#ifndef FH_TESTS_ORACLE_OWNER_H
#define FH_TESTS_ORACLE_OWNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct owner_block {
    uint64_t first, size; /* in any unit: bytes, pages, granules */
    uint64_t tag;
};

struct owner_map {
    struct owner_block *blocks; /* by ascending first */
    size_t count, cap;
};

void owner_init(struct owner_map *);
void owner_fini(struct owner_map *);
/* False, and nothing changed, when it overlaps a block that is there, or is empty or wraps. */
bool owner_add(struct owner_map *, uint64_t first, uint64_t size, uint64_t tag);
/* False when no block starts there. */
bool owner_remove(struct owner_map *, uint64_t first);
/* The block that contains the address, or NULL; valid until the next change. */
const struct owner_block *owner_find(const struct owner_map *, uint64_t address);

#endif
