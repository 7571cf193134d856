/*
 * Theory.  A cache holds the slabs of one tenant and one size, in lists by how full they are. Each
 * page of a slab carries the slab's number as its mark, so that any address leads to its books,
 * which lie elsewhere, in two steps.
 *
 *   address -> mark of its page -> number -> run -> object
 *
 *   cache   fill   0    1    2    3    4    5    6    7    full        and one empty slab, or none
 *                 [s]  [ ]  [s]->[s] [ ]  [ ]  [s]  [ ]  [s]->[s]
 *
 * The fullest partial slab serves first, so that the others drain. Among the first few that one is
 * preferred whose page, the one of its lowest free object, is resident. A page is given to
 * `discard` when its last live object goes; an empty slab kept is therefore addresses without
 * memory.
 *
 * Here are the objects, and the lists as far as they follow from them: the path of each allocation.
 * Numbers, slabs and caches come and go in slab_life.c; the recount is in slab_check.c.
 *
 * Invariants
 *   [I1] used of a slab is the number of its objects whose bit is clear; no bit beyond the last
 *   [I2] the record of a free object is zeros
 *   [I3] a slab with live objects is in the list of its fill, which it notes, one without is in
 *        none and its cache's `empty`; the set `fills` names the lists that are not empty
 *   [I4] a number in use leads to the slab that has it; all other numbers form the free chain
 *   [I5] every page of a slab has its mark, and its block in the space is large enough
 *   [I6] slabs, full and used of a cache, caches and runs_used equal what the lists hold
 *   [I7] a typed cache has the number of its place in `typed`, the others have 0
 */
#include "slab.h"

#include <errno.h>

#include "bits.h"
#include "slab_private.h"

/* --- lists --- */

static void cache_unlink(const struct fh_slab *s, struct fh_slab_cache *c, struct fh_slab_run *run)
{
    struct fh_slab_run *next =
        run->next == FH_SLAB_NUMBER_NONE ? NULL : fh_slab_run_of(s, run->next);

    if (next)
        next->prev = run->prev;
    if (run->prev != FH_SLAB_NUMBER_NONE) {
        fh_slab_run_of(s, run->prev)->next = run->next;
    } else {
        FH_ASSERT(c->lists[run->fill] == run); /* [I3] */
        c->lists[run->fill] = next;
        if (!next)
            c->fills &= ~(1u << run->fill);
    }
    c->full -= run->fill == FH_SLAB_FULL;
}

static void cache_link(struct fh_slab_cache *c, struct fh_slab_run *run)
{
    struct fh_slab_run *next = c->lists[run->fill];

    FH_ASSERT(run->cache == c);                                      /* [I3] */
    FH_ASSERT((next != NULL) == ((c->fills >> run->fill & 1) != 0)); /* [I3] */
    run->prev = FH_SLAB_NUMBER_NONE;
    run->next = next ? next->number : FH_SLAB_NUMBER_NONE;
    if (next)
        next->prev = run->number;
    c->lists[run->fill] = run;
    c->fills |= 1u << run->fill;
    c->full += run->fill == FH_SLAB_FULL;
}

static void cache_move(const struct fh_slab *s, struct fh_slab_cache *c, struct fh_slab_run *run,
                       uint32_t fill)
{
    if (run->fill != FH_SLAB_FILL_NONE)
        cache_unlink(s, c, run);
    run->fill = (uint16_t)fill;
    if (fill != FH_SLAB_FILL_NONE)
        cache_link(c, run);
}

/* Changes how many objects of a slab are live, and so where it belongs. [I3] */
static inline void cache_set_used(const struct fh_slab *s, struct fh_slab_cache *c,
                                  struct fh_slab_run *run, uint32_t used)
{
    uint32_t fill = used == 0 ? FH_SLAB_FILL_NONE : fh_slab_size_fill(c->size, used);

    run->used = (uint16_t)used;
    if (fill != run->fill)
        cache_move(s, c, run, fill);
}

static bool slab_is_resident(const struct fh_slab *s, const struct fh_slab_run *run)
{
    return s->opts.resident(s->opts.ctx, fh_page_of_addr(fh_slab_run_addr(
                                             run, run->cache->size, fh_slab_run_lowest_free(run))));
}

/* Of the partial slabs in these lists the fullest, but a resident one among the first few. */
static struct fh_slab_run *slab_pick_resident(const struct fh_slab *s, struct fh_slab_cache *c,
                                              uint32_t fills)
{
    struct fh_slab_run *best = c->lists[fh_log2_floor(fills)];
    uint32_t looks = 0;

    while (fills) {
        uint32_t fill = fh_log2_floor(fills);
        fills &= ~(1u << fill);
        struct fh_slab_run *run = c->lists[fill];
        FH_ASSERT(run != NULL); /* [I3] */
        for (; run; run = fh_slab_run_after(s, run)) {
            if (looks++ == FH_SLAB_LOOKS)
                return best;
            if (slab_is_resident(s, run))
                return run;
        }
    }
    return best;
}

/* The partial slab to serve from; NULL when there is none. */
static inline struct fh_slab_run *slab_pick_partial(const struct fh_slab *s,
                                                    struct fh_slab_cache *c)
{
    uint32_t fills = c->fills & ((1u << FH_SLAB_FULL) - 1);
    if (fills == 0)
        return NULL;
    if (s->opts.resident)
        return slab_pick_resident(s, c, fills);
    return c->lists[fh_log2_floor(fills)];
}

/* --- objects --- */

static inline void slab_take_object(const struct fh_slab *s, struct fh_slab_cache *c,
                                    struct fh_slab_run *run, struct fh_slab_object *out)
{
    const struct fh_slab_size *z = c->size;
    uint32_t object = fh_slab_run_lowest_free(run);

    fh_bit_clear(run->free_bits, object);
    if (run == c->empty)
        c->empty = NULL;
    cache_set_used(s, c, run, run->used + 1u);
    c->used++;
    out->addr = fh_slab_run_addr(run, z, object);
    out->run = run;
    out->index = object;
}

int fh_slab_cache_alloc(struct fh_slab *s, struct fh_slab_cache *c, struct fh_slab_object *out)
{
    struct fh_slab_run *run = slab_pick_partial(s, c);
    if (!run && !c->empty) {
        int rc = fh_slab_open_run(s, c);
        if (rc != 0)
            return rc;
    }
    slab_take_object(s, c, run ? run : c->empty, out);
    return 0;
}

static inline struct fh_slab_cache *slab_cache(struct fh_slab *s, uint32_t tenant, uint32_t index)
{
    FH_ASSERT(tenant < FH_SLAB_TENANTS);
    if (tenant < s->tenants_cap && s->tenants[tenant] && s->tenants[tenant][index])
        return s->tenants[tenant][index];
    return fh_slab_add_cache(s, tenant, index);
}

int fh_slab_alloc(struct fh_slab *s, uint32_t tenant, uint32_t size, struct fh_slab_object *out)
{
    if (size > FH_SLAB_SIZE_MAX)
        return -EFBIG;
    struct fh_slab_cache *c = slab_cache(s, tenant, fh_slab_size_index(size));
    return c ? fh_slab_cache_alloc(s, c, out) : -ENOMEM;
}

void fh_slab_alloc_in(struct fh_slab *s, struct fh_slab_run *run, struct fh_slab_object *out)
{
    FH_ASSERT(run->used > 0);
    FH_ASSERT(run->used < run->cache->size->objects);
    slab_take_object(s, run->cache, run, out);
}

static void slab_discard(struct fh_slab *s, struct fh_page first, uint64_t pages)
{
    s->discarded_pages += pages;
    if (s->opts.discard)
        s->opts.discard(s->opts.ctx, first, pages);
}

/* Tells of the pages of an object just freed on which nothing lives any more. */
static void slab_discard_pages(struct fh_slab *s, const struct fh_slab_run *run,
                               const struct fh_slab_size *z, uint32_t object)
{
    uint32_t size = z->object_bytes;
    uint32_t first = object * size / FH_PAGE_SIZE;
    uint32_t end = (object * size + size - 1) / FH_PAGE_SIZE + 1;

    if (fh_slab_run_page_is_live(run, z, first))
        first++;
    if (first < end && fh_slab_run_page_is_live(run, z, end - 1))
        end--;
    if (first < end)
        slab_discard(s, fh_page_add(run->first, first), end - first);
}

/* What follows from a free after which pages may have no live object. */
static void slab_retire(struct fh_slab *s, struct fh_slab_run *run, uint32_t object)
{
    struct fh_slab_cache *c = run->cache;

    slab_discard_pages(s, run, c->size, object);
    if (run->used > 0)
        return;
    if (c->empty)
        fh_slab_close_run(s, run);
    else
        c->empty = run;
}

int fh_slab_free(struct fh_slab *s, uint32_t number, struct fh_addr addr)
{
    struct fh_slab_run *run = fh_slab_run_of(s, number);
    struct fh_slab_cache *c = run->cache;
    const struct fh_slab_size *z = c->size;
    uint32_t object = fh_slab_run_object_at(run, z, addr);
    if (object == FH_SLAB_OBJECT_NONE)
        return -EFAULT;

    FH_ASSERT(run->used > 0); /* [I1] */
    FH_ASSERT(c->used > 0);   /* [I6] */
    fh_bit_set(run->free_bits, object);
    c->used--;
    cache_set_used(s, c, run, run->used - 1u);
    if (z->pages > 1 || run->used == 0)
        slab_retire(s, run, object);
    return 0;
}

int fh_slab_find(const struct fh_slab *s, uint32_t number, struct fh_addr addr,
                 struct fh_slab_object *out)
{
    struct fh_slab_run *run = fh_slab_run_of(s, number);
    uint32_t object = fh_slab_run_object_at(run, run->cache->size, addr);
    if (object == FH_SLAB_OBJECT_NONE)
        return -EFAULT;
    out->addr = addr;
    out->run = run;
    out->index = object;
    return 0;
}
