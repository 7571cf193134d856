/*
 * Theory.  Blocks lie sorted in one array; an insertion moves the rest. Slow, and too plain to be
 * wrong in the way an allocator is.
 */
#include "oracle_owner.h"

#include <stdlib.h>
#include <string.h>

void owner_init(struct owner_map *m)
{
    *m = (struct owner_map){0};
}

void owner_fini(struct owner_map *m)
{
    free(m->blocks);
    *m = (struct owner_map){0};
}

/* Index of the first block that starts above the address. */
static size_t owner_above(const struct owner_map *m, uint64_t address)
{
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (m->blocks[mid].first <= address)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct owner_block *owner_find(const struct owner_map *m, uint64_t address)
{
    size_t above = owner_above(m, address);
    if (above == 0)
        return NULL;
    const struct owner_block *b = &m->blocks[above - 1];
    return address - b->first < b->size ? b : NULL;
}

static void owner_make_room(struct owner_map *m)
{
    if (m->count < m->cap)
        return;
    m->cap = m->cap ? m->cap * 2 : 64;
    m->blocks = realloc(m->blocks, m->cap * sizeof(*m->blocks));
    if (!m->blocks)
        abort();
}

bool owner_add(struct owner_map *m, uint64_t first, uint64_t size, uint64_t tag)
{
    size_t above = owner_above(m, first);
    if (size == 0 || first + size < first || owner_find(m, first))
        return false;
    if (above < m->count && m->blocks[above].first < first + size)
        return false;
    owner_make_room(m);
    memmove(m->blocks + above + 1, m->blocks + above, (m->count - above) * sizeof(*m->blocks));
    m->blocks[above] = (struct owner_block){first, size, tag};
    m->count++;
    return true;
}

bool owner_remove(struct owner_map *m, uint64_t first)
{
    size_t above = owner_above(m, first);
    if (above == 0 || m->blocks[above - 1].first != first)
        return false;
    memmove(m->blocks + above - 1, m->blocks + above, (m->count - above) * sizeof(*m->blocks));
    m->count--;
    return true;
}
