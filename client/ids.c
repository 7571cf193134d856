/*
 * Theory.  An array of slots with a free list through it. A slot's generation grows when it is
 * released, so an answer that comes twice, or for a request of another life, finds nobody.
 *
 * Invariants
 *   [I1] a slot is free (no link), live (link and req) or forgotten (link, no req)
 *   [I2] the free list holds exactly the free slots
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
        slots[i] = (struct fh_id_slot){.generation = 1, .next_free = ids->first_free};
        ids->first_free = i;
    }
    ids->count = count;
    return 0;
}

uint32_t fh_ids_take(struct fh_ids *ids, struct fh_req *req, struct fh_link *link)
{
    uint32_t index;

    if (ids->first_free == UINT32_MAX && ids_grow(ids) != 0)
        return UINT32_MAX;
    index = ids->first_free;
    ids->first_free = ids->slots[index].next_free;
    ids->slots[index].req = req;
    ids->slots[index].link = link;
    return index;
}

void fh_ids_release(struct fh_ids *ids, uint32_t index)
{
    struct fh_id_slot *slot = &ids->slots[index];

    slot->req = NULL;
    slot->link = NULL;
    slot->generation = slot->generation == UINT32_MAX ? 1 : slot->generation + 1;
    slot->next_free = ids->first_free;
    ids->first_free = index;
}

uint64_t fh_ids_number(const struct fh_ids *ids, uint32_t index)
{
    return (uint64_t)ids->slots[index].generation << 32 | index;
}

uint32_t fh_ids_find(const struct fh_ids *ids, const struct fh_link *link, uint64_t id)
{
    uint32_t index = (uint32_t)id;

    if (index >= ids->count || ids->slots[index].link != link || fh_ids_number(ids, index) != id)
        return UINT32_MAX;
    return index;
}
