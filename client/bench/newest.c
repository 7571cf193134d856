/*
 * Theory.  Inserts are numbered in the order they are begun; number n goes to object n modulo the
 * capacity, so that a long run overwrites its oldest objects instead of filling the server. They
 * end in any order, and only what is stored may be read: `stored` follows `taken` up to the first
 * that is still on its way.
 *
 *   objects   0 .. first-1 | first .. stored-1 | some stored, some not | not begun
 *             of the fill  | may be read       |                  taken^
 *
 * Once the ring has gone round, an object that is overwritten keeps its mark: it is there all the
 * time, as its old or its new bytes.
 *
 * Invariants
 *   [I1] first <= stored <= taken
 */
#include "client/bench/newest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int fh_newest_init(struct fh_newest *n, uint64_t first, uint64_t capacity)
{
    memset(n, 0, sizeof(*n));
    n->first = first;
    n->capacity = capacity;
    atomic_store(&n->taken, first);
    atomic_store(&n->stored, first);
    if (capacity == first)
        return 0;
    if ((n->there = calloc(capacity, sizeof(*n->there))) == NULL)
        return -ENOMEM;
    for (uint64_t i = 0; i < first; i++)
        atomic_init(&n->there[i], 1);
    return 0;
}

void fh_newest_fini(struct fh_newest *n)
{
    free((void *)n->there);
    n->there = NULL;
}

uint64_t fh_newest_take(struct fh_newest *n)
{
    return atomic_fetch_add(&n->taken, 1) % n->capacity;
}

void fh_newest_settle(struct fh_newest *n, uint64_t object)
{
    uint64_t stored = atomic_load(&n->stored);

    atomic_store(&n->there[object], 1);
    /* A failed exchange loads what another thread has moved it to. */
    while (stored < atomic_load(&n->taken) && atomic_load(&n->there[stored % n->capacity]))
        if (atomic_compare_exchange_weak(&n->stored, &stored, stored + 1))
            stored++;
}

uint64_t fh_newest_count(const struct fh_newest *n)
{
    uint64_t stored = atomic_load_explicit(&n->stored, memory_order_acquire);

    return stored < n->capacity ? stored : n->capacity;
}

uint64_t fh_newest_of_age(const struct fh_newest *n, uint64_t age)
{
    return (atomic_load_explicit(&n->stored, memory_order_acquire) - 1 - age) % n->capacity;
}

uint64_t fh_newest_made(const struct fh_newest *n)
{
    uint64_t taken = atomic_load(&n->taken);

    return taken < n->capacity ? taken : n->capacity;
}
