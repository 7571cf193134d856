/*
 * Theory.  An array of slots with a free list through it. The next id is the smallest one above the
 * last whose remainder by the number of slots is the slot's index: small numbers, which are short on
 * the wire. The array doubles; ids given out before then have the remainder by an earlier count, so
 * all of those are tried. An answer that comes twice, or for a request of another life, finds nobody.
 *
 * Invariants
 *   [I1] a slot is free (no link), live (link and req) or forgotten (link, no req)
 *   [I2] the free list holds exactly the free slots, and only they have the id 0
 *   [I3] an id modulo the count at its time is the index of its slot
 */
#include "client/ids.h"

#include <stdlib.h>

enum { SLOTS_MIN = 64 };

void fh_ids_init(struct fh_ids *ids)
{
    *ids = (struct fh_ids){.first_free = UINT32_MAX};
}

void fh_ids_fini(struct fh_ids *ids)
{
    free(ids->slots);
    fh_ids_init(ids);
}

static int ids_grow(struct fh_ids *ids)
{
    uint32_t count = ids->count == 0 ? SLOTS_MIN : ids->count * 2;
    struct fh_id_slot *slots;

    if (count < ids->count || (slots = realloc(ids->slots, count * sizeof(*slots))) == NULL)
        return -1;
    ids->slots = slots;
    for (uint32_t i = count; i-- > ids->count;) {
        slots[i] = (struct fh_id_slot){.next_free = ids->first_free};
        ids->first_free = i;
    }
    ids->count = count;
    return 0;
}

/* The smallest id above the last that leads to this slot. */
static uint64_t ids_next(const struct fh_ids *ids, uint32_t index)
{
    uint64_t id = (ids->last & ~(uint64_t)(ids->count - 1)) + index;

    return id > ids->last ? id : id + ids->count;
}

uint32_t fh_ids_take(struct fh_ids *ids, struct fh_req *req, struct fh_link *link)
{
    uint32_t index;

    if (ids->first_free == UINT32_MAX && ids_grow(ids) != 0)
        return UINT32_MAX;
    index = ids->first_free;
    ids->first_free = ids->slots[index].next_free;
    ids->last = ids_next(ids, index);
    ids->slots[index].id = ids->last;
    ids->slots[index].req = req;
    ids->slots[index].link = link;
    return index;
}

void fh_ids_release(struct fh_ids *ids, uint32_t index)
{
    struct fh_id_slot *slot = &ids->slots[index];

    slot->req = NULL;
    slot->link = NULL;
    slot->id = 0;
    slot->next_free = ids->first_free;
    ids->first_free = index;
}

uint64_t fh_ids_number(const struct fh_ids *ids, uint32_t index)
{
    return ids->slots[index].id;
}

uint32_t fh_ids_find(const struct fh_ids *ids, const struct fh_link *link, uint64_t id)
{
    if (id == 0)
        return UINT32_MAX;
    for (uint32_t count = ids->count; count >= SLOTS_MIN; count /= 2) {
        uint32_t index = (uint32_t)(id & (count - 1));

        if (ids->slots[index].id == id)
            return ids->slots[index].link == link ? index : UINT32_MAX;
    }
    return UINT32_MAX;
}
