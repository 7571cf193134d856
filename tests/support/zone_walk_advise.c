/*
 * Advice in the walk. It changes no byte, so the model does not know of it; but what is pinned is in
 * memory when the pin is answered.
 */
#include "tests/support/zone_walk_private.h"

#include <errno.h>

#include "alloc/bits.h"

static bool advise_is_excused(struct zone_walk *w, const struct walk_call *c, int rc)
{
    const struct walk_object *o = &w->objects[c->object];

    if (rc == -EDQUOT || rc == -EBUSY || rc == -ESTALE)
        return true; /* too much; the object was freed or moved meanwhile */
    return walk_is_excused(w, rc) || (rc == -EINVAL && c->offset + c->size > o->size);
}

/* Where nothing was put beside it meanwhile that is in swap. */
static void expect_in_memory(struct zone_walk *w, const struct walk_call *c)
{
    const struct fh_advise *a = &c->u.advise;
    const struct walk_object *o = &w->objects[c->object];
    uint64_t end = fh_min_u64(c->offset + c->size, o->size);

    if (a->object.small || w->zone.pager.pins_absent || w->faults || o->ref.addr.v != a->ref.addr.v)
        return;
    for (uint64_t at = c->offset; at < end; at += FH_PAGE_SIZE) {
        struct fh_page page = fh_page_of_addr((struct fh_addr){a->ref.addr.v + at});
        struct fh_entry e = fh_pagetable_get(&w->zone.pager.table, page);
        enum fh_page_state state = fh_pager_state_of(&w->zone.pager, page, e);
        if (state == FH_PAGE_SLOT || state == FH_PAGE_FILE)
            WRONG(w, "object %u: page at %llu is pinned and not in memory", c->object,
                  (unsigned long long)at);
    }
}

void walk_advise_end(struct walk_call *c, int rc)
{
    struct zone_walk *w = c->walk;

    w->objects[c->object].advised = false;
    if (rc != 0 && !advise_is_excused(w, c, rc))
        WRONG(w, "advice %d to object %u: %d", c->u.advise.kind, c->object, rc);
    if (rc == 0 && c->u.advise.kind == FH_ADVICE_PIN) {
        w->pinned++;
        expect_in_memory(w, c);
    }
    walk_call_over(c);
}

void walk_begin_advise(struct zone_walk *w, struct walk_call *c)
{
    struct walk_object *o = &w->objects[c->object];
    struct fh_advise *a = &c->u.advise;

    if (!o->live || o->advised || o->size == 0)
        return;
    c->offset = rng_below(&w->random, o->size);
    c->size = rng_percent(&w->random, 30) ? o->size - c->offset
                                          : rng_below(&w->random, o->size - c->offset + 1);
    *a = (struct fh_advise){.kind = (enum fh_advice)rng_below(&w->random, FH_ADVICES),
                            .ref = o->ref,
                            .offset = c->offset,
                            .size = c->size};
    if (rng_percent(&w->random, 30))
        a->kind = FH_ADVICE_PIN;
    a->call.done = walk_call_done;
    c->kind = WALK_ADVISE;
    c->bytes = NULL;
    o->advised = true;
    w->advices++;
    int rc = fh_zone_advise(&w->zone, a);
    w->parked += rc == -EINPROGRESS;
    if (rc != -EINPROGRESS)
        walk_advise_end(c, rc);
}
