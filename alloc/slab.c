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
 * Invariants
 *   [I1] used of a slab is the number of its objects whose bit is clear; no bit beyond the last
 *   [I2] the record of a free object is zeros
 *   [I3] a slab with live objects is in the list of its fill, one without is its cache's `empty`;
 *        the set `fills` names the lists that are not empty
 *   [I4] a number in use leads to the slab that has it; all other numbers form the free chain
 *   [I5] every page of a slab has its mark, and its block in the space is large enough
 *   [I6] slabs, full and used of a cache, caches and runs_used equal what the lists hold
 *   [I7] a typed cache has the number of its place in `typed`, the others have 0
 */
#include "slab.h"

#include <errno.h>
#include <inttypes.h>

#include "bits.h"
#include "list.h"
#include "report.h"

enum {
    FILL_FULL = FH_SLAB_FILLS, /* the list of full slabs, after those of partial ones */
    RUNS_CAP_FIRST = 64,
};

#define NUMBER_NONE UINT32_MAX

/* Cursors from here on are of typed caches. */
#define CURSOR_TYPED ((uint64_t)FH_SLAB_TENANTS * FH_SLAB_SIZES)

/* --- numbers --- */

static struct fh_slab_run *slab_run(const struct fh_slab *s, uint32_t number)
{
    FH_ASSERT(number < s->runs_cap); /* [I4] */
    uint64_t entry = s->runs[number];
    FH_ASSERT((entry & 1) == 0); /* [I4] */
    return (struct fh_slab_run *)(uintptr_t)entry;
}

static void slab_free_number(struct fh_slab *s, uint32_t number)
{
    s->runs[number] = (uint64_t)s->free_number << 1 | 1;
    s->free_number = number;
}

/* Sees to it that there is a free number. */
static int slab_reserve_number(struct fh_slab *s)
{
    if (s->free_number != NUMBER_NONE)
        return 0;
    uint32_t cap = s->runs_cap ? s->runs_cap * 2 : RUNS_CAP_FIRST;
    uint64_t *runs = cap > FH_SLAB_NUMBERS_MAX
                         ? NULL
                         : fh_mem_grow(s->opts.mem, s->runs, s->runs_cap * sizeof(uint64_t),
                                       cap * sizeof(uint64_t));
    if (!runs)
        return -ENOMEM;
    s->runs = runs;
    for (uint32_t n = cap; n-- > s->runs_cap;)
        slab_free_number(s, n);
    s->runs_cap = cap;
    return 0;
}

static void slab_number_run(struct fh_slab *s, struct fh_slab_run *run)
{
    run->number = s->free_number;
    s->free_number = (uint32_t)(s->runs[run->number] >> 1);
    s->runs[run->number] = (uintptr_t)run;
    s->runs_used++;
}

/* --- caches --- */

static int slab_grow_tenants(struct fh_slab *s, uint32_t tenant)
{
    uint32_t cap = s->tenants_cap ? s->tenants_cap : 1;
    while (cap <= tenant)
        cap *= 2;
    struct fh_slab_cache ***tenants = fh_mem_grow(
        s->opts.mem, (void *)s->tenants, s->tenants_cap * sizeof(*tenants), cap * sizeof(*tenants));
    if (!tenants)
        return -ENOMEM;
    s->tenants = tenants;
    s->tenants_cap = cap;
    return 0;
}

static void cache_init(struct fh_slab_cache *c, uint32_t tenant, const struct fh_slab_size *size)
{
    *c = (struct fh_slab_cache){.tenant = tenant, .size = size};
    for (uint32_t f = 0; f < FH_SLAB_LISTS; f++)
        fh_list_init(&c->lists[f]);
}

static struct fh_slab_cache *cache_create(struct fh_slab *s, uint32_t tenant, uint32_t index)
{
    struct fh_slab_cache *c = fh_mem_take(s->opts.mem, sizeof(*c));
    if (!c)
        return NULL;
    cache_init(c, tenant, &s->sizes[index]);
    s->caches++;
    return c;
}

/* Makes the cache of a tenant and size; what was made on the way to a failure stays for next time.
 */
static struct fh_slab_cache *slab_add_cache(struct fh_slab *s, uint32_t tenant, uint32_t index)
{
    if (tenant >= s->tenants_cap && slab_grow_tenants(s, tenant) != 0)
        return NULL;
    if (!s->tenants[tenant])
        s->tenants[tenant] =
            fh_mem_take(s->opts.mem, FH_SLAB_SIZES * sizeof(struct fh_slab_cache *));
    if (!s->tenants[tenant])
        return NULL;
    return s->tenants[tenant][index] = cache_create(s, tenant, index);
}

static struct fh_slab_cache *slab_cache(struct fh_slab *s, uint32_t tenant, uint32_t index)
{
    FH_ASSERT(tenant < FH_SLAB_TENANTS);
    if (tenant < s->tenants_cap && s->tenants[tenant] && s->tenants[tenant][index])
        return s->tenants[tenant][index];
    return slab_add_cache(s, tenant, index);
}

static void cache_unlink(struct fh_slab_cache *c, struct fh_slab_run *run)
{
    uint32_t fill = fh_slab_size_fill(c->size, run->used);
    fh_list_remove(&run->link);
    if (fh_list_is_empty(&c->lists[fill]))
        c->fills &= ~(1u << fill);
    c->full -= fill == FILL_FULL;
}

static void cache_link(struct fh_slab_cache *c, struct fh_slab_run *run)
{
    uint32_t fill = fh_slab_size_fill(c->size, run->used);
    fh_list_push_front(&c->lists[fill], &run->link);
    c->fills |= 1u << fill;
    c->full += fill == FILL_FULL;
}

/* Changes how many objects of a slab are live, and so where it belongs. [I3] */
static void cache_set_used(struct fh_slab_cache *c, struct fh_slab_run *run, uint32_t used)
{
    uint32_t before = run->used;
    bool stays = before > 0 && used > 0 &&
                 fh_slab_size_fill(c->size, before) == fh_slab_size_fill(c->size, used);

    if (!stays && before > 0)
        cache_unlink(c, run);
    run->used = used;
    if (!stays && used > 0)
        cache_link(c, run);
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
    struct fh_slab_run *best = NULL;
    uint32_t looks = 0;
    while (fills) {
        uint32_t fill = fh_log2_floor(fills);
        fills &= ~(1u << fill);
        struct fh_list *list = &c->lists[fill];
        for (struct fh_list *l = list->next; l != list; l = l->next) {
            struct fh_slab_run *run = FH_CONTAINER_OF(l, struct fh_slab_run, link);
            best = best ? best : run;
            if (looks++ == FH_SLAB_LOOKS)
                return best;
            if (slab_is_resident(s, run))
                return run;
        }
    }
    return best;
}

/* The partial slab to serve from; NULL when there is none. */
static struct fh_slab_run *slab_pick_partial(const struct fh_slab *s, struct fh_slab_cache *c)
{
    uint32_t fills = c->fills & ((1u << FILL_FULL) - 1);
    if (fills == 0)
        return NULL;
    if (s->opts.resident)
        return slab_pick_resident(s, c, fills);
    return FH_CONTAINER_OF(c->lists[fh_log2_floor(fills)].next, struct fh_slab_run, link);
}

/* --- slabs come and go --- */

/* A new slab becomes the cache's empty one. */
static int slab_open_run(struct fh_slab *s, struct fh_slab_cache *c)
{
    struct fh_space_block block;
    int rc = slab_reserve_number(s);
    if (rc != 0)
        return rc;
    struct fh_slab_run *run = fh_slab_run_create(s->opts.mem, c->size, c);
    if (!run)
        return -ENOMEM;
    rc = fh_space_alloc(s->opts.space, c->size->pages, FH_SPACE_SLAB | s->free_number, &block);
    if (rc != 0) {
        fh_slab_run_destroy(s->opts.mem, c->size, run);
        return rc;
    }
    run->first = block.first;
    fh_space_mark_pages(s->opts.space, run->first, c->size->pages);
    slab_number_run(s, run);
    c->empty = run;
    c->slabs++;
    return 0;
}

static void slab_close_run(struct fh_slab *s, struct fh_slab_run *run)
{
    struct fh_slab_cache *c = run->cache;
    FH_ASSERT(run->used == 0);
    int rc = fh_space_free(s->opts.space, run->first);
    FH_ASSERT(rc == 0); /* [I5] */
    slab_free_number(s, run->number);
    s->runs_used--;
    c->slabs--;
    fh_slab_run_destroy(s->opts.mem, c->size, run);
}

void fh_slab_init(struct fh_slab *s, const struct fh_slab_opts *opts)
{
    *s = (struct fh_slab){.opts = *opts, .free_number = NUMBER_NONE};
    for (uint32_t i = 0; i < FH_SLAB_SIZES; i++)
        fh_slab_size_init(&s->sizes[i], i, opts->record_bytes);
}

static void slab_drop_cache(struct fh_slab *s, uint32_t tenant, uint32_t index)
{
    fh_mem_give(s->opts.mem, s->tenants[tenant][index], sizeof(struct fh_slab_cache));
    s->tenants[tenant][index] = NULL;
    s->caches--;
}

static void slab_drop_tenant(struct fh_slab *s, uint32_t tenant)
{
    fh_mem_give(s->opts.mem, (void *)s->tenants[tenant],
                FH_SLAB_SIZES * sizeof(struct fh_slab_cache *));
    s->tenants[tenant] = NULL;
}

void fh_slab_fini(struct fh_slab *s)
{
    for (uint32_t n = 0; n < s->runs_cap; n++)
        if ((s->runs[n] & 1) == 0)
            fh_slab_run_destroy(s->opts.mem, slab_run(s, n)->cache->size, slab_run(s, n));
    for (uint32_t t = 0; t < s->tenants_cap; t++) {
        for (uint32_t i = 0; s->tenants[t] && i < FH_SLAB_SIZES; i++)
            if (s->tenants[t][i])
                slab_drop_cache(s, t, i);
        slab_drop_tenant(s, t);
    }
    fh_mem_give(s->opts.mem, s->runs, s->runs_cap * sizeof(uint64_t));
    fh_mem_give(s->opts.mem, (void *)s->tenants, s->tenants_cap * sizeof(*s->tenants));
    *s = (struct fh_slab){0};
}

/* --- objects --- */

static void slab_take_object(struct fh_slab_cache *c, struct fh_slab_run *run,
                             struct fh_slab_object *out)
{
    const struct fh_slab_size *z = c->size;
    uint32_t object = fh_slab_run_lowest_free(run);
    fh_bit_clear(run->free_bits, object);
    if (run == c->empty)
        c->empty = NULL;
    cache_set_used(c, run, run->used + 1);
    c->used++;
    out->addr = fh_slab_run_addr(run, z, object);
    out->run = run;
    out->index = object;
}

int fh_slab_cache_alloc(struct fh_slab *s, struct fh_slab_cache *c, struct fh_slab_object *out)
{
    struct fh_slab_run *run = slab_pick_partial(s, c);
    if (!run && !c->empty) {
        int rc = slab_open_run(s, c);
        if (rc != 0)
            return rc;
    }
    slab_take_object(c, run ? run : c->empty, out);
    return 0;
}

int fh_slab_alloc(struct fh_slab *s, uint32_t tenant, uint32_t size, struct fh_slab_object *out)
{
    if (size > FH_SLAB_SIZE_MAX)
        return -EFBIG;
    struct fh_slab_cache *c = slab_cache(s, tenant, fh_slab_size_index(size));
    return c ? fh_slab_cache_alloc(s, c, out) : -ENOMEM;
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

/* A slab lost its last object. */
static void slab_retire_run(struct fh_slab *s, struct fh_slab_cache *c, struct fh_slab_run *run)
{
    if (c->empty)
        slab_close_run(s, run);
    else
        c->empty = run;
}

int fh_slab_free(struct fh_slab *s, uint32_t number, struct fh_addr addr)
{
    struct fh_slab_run *run = slab_run(s, number);
    struct fh_slab_cache *c = run->cache;
    const struct fh_slab_size *z = c->size;
    uint32_t object = fh_slab_run_object_at(run, z, addr);
    if (object == FH_SLAB_OBJECT_NONE)
        return -EFAULT;

    FH_ASSERT(run->used > 0); /* [I1] */
    FH_ASSERT(c->used > 0);   /* [I6] */
    fh_bit_set(run->free_bits, object);
    c->used--;
    cache_set_used(c, run, run->used - 1);
    if (z->pages > 1 || run->used == 0)
        slab_discard_pages(s, run, z, object);
    if (run->used == 0)
        slab_retire_run(s, c, run);
    return 0;
}

int fh_slab_find(const struct fh_slab *s, uint32_t number, struct fh_addr addr,
                 struct fh_slab_object *out)
{
    struct fh_slab_run *run = slab_run(s, number);
    uint32_t object = fh_slab_run_object_at(run, run->cache->size, addr);
    if (object == FH_SLAB_OBJECT_NONE)
        return -EFAULT;
    *out = (struct fh_slab_object){.addr = addr, .run = run, .index = object};
    return 0;
}

static void slab_trim_cache(struct fh_slab *s, struct fh_slab_cache *c)
{
    struct fh_slab_run *run = c->empty;
    c->empty = NULL;
    if (run)
        slab_close_run(s, run);
}

/* Tenants without caches are passed in one step, the others in one per size. */
static uint32_t slab_trim_tenant(struct fh_slab *s, uint32_t tenant)
{
    uint32_t left = 0;
    if (!s->tenants[tenant])
        return 1;
    for (uint32_t i = 0; i < FH_SLAB_SIZES; i++) {
        struct fh_slab_cache *c = s->tenants[tenant][i];
        if (!c)
            continue;
        slab_trim_cache(s, c);
        if (c->slabs == 0)
            slab_drop_cache(s, tenant, i);
        else
            left++;
    }
    if (left == 0)
        slab_drop_tenant(s, tenant);
    return FH_SLAB_SIZES;
}

bool fh_slab_trim_some(struct fh_slab *s, uint32_t *cursor, uint32_t looks)
{
    uint32_t looked = 0;
    while (*cursor < s->tenants_cap && looked < looks)
        looked += slab_trim_tenant(s, (*cursor)++);
    if (looked >= looks)
        return true;
    for (uint32_t i = 0; i < FH_SLAB_TYPED_MAX; i++)
        if (s->typed[i])
            slab_trim_cache(s, s->typed[i]);
    *cursor = 0;
    return false;
}

void fh_slab_trim(struct fh_slab *s)
{
    uint32_t cursor = 0;
    while (fh_slab_trim_some(s, &cursor, UINT32_MAX))
        ;
}

/* --- typed caches --- */

int fh_slab_cache_open(struct fh_slab *s, struct fh_slab_cache *c, uint32_t tenant,
                       const struct fh_slab_size *size)
{
    uint32_t i = 0;
    while (i < FH_SLAB_TYPED_MAX && s->typed[i])
        i++;
    if (i == FH_SLAB_TYPED_MAX)
        return -ENOSPC;
    cache_init(c, tenant, size);
    c->typed = i + 1;
    s->typed[i] = c;
    s->caches++;
    return 0;
}

int fh_slab_cache_close(struct fh_slab *s, struct fh_slab_cache *c)
{
    FH_ASSERT(c->typed > 0 && s->typed[c->typed - 1] == c); /* [I7] */
    if (c->used > 0)
        return -EBUSY;
    slab_trim_cache(s, c);
    FH_ASSERT(c->slabs == 0); /* [I3] [I6] */
    s->typed[c->typed - 1] = NULL;
    s->caches--;
    return 0;
}

/* --- looking inside --- */

static void cache_stats(const struct fh_slab_cache *c, struct fh_slab_cache_stats *out)
{
    uint64_t empty = c->empty ? 1 : 0;
    *out = (struct fh_slab_cache_stats){
        .tenant = c->tenant,
        .typed = c->typed,
        .object_size = c->size->object_bytes,
        .slab_pages = c->size->pages,
        .slab_objects = c->size->objects,
        .slabs = c->slabs,
        .full = c->full,
        .partial = c->slabs - c->full - empty,
        .empty = empty,
        .used = c->used,
        .free = c->slabs * c->size->objects - c->used,
        .pages = c->slabs * c->size->pages,
    };
}

/* The next cache from *cursor on, with slabs or without; NULL: no more. */
static struct fh_slab_cache *slab_next_cache(const struct fh_slab *s, uint64_t *cursor)
{
    while (*cursor / FH_SLAB_SIZES < s->tenants_cap) {
        uint64_t tenant = *cursor / FH_SLAB_SIZES, index = *cursor % FH_SLAB_SIZES;
        if (!s->tenants[tenant]) {
            *cursor = (tenant + 1) * FH_SLAB_SIZES;
            continue;
        }
        ++*cursor;
        if (s->tenants[tenant][index])
            return s->tenants[tenant][index];
    }
    if (*cursor < CURSOR_TYPED)
        *cursor = CURSOR_TYPED;
    while (*cursor < CURSOR_TYPED + FH_SLAB_TYPED_MAX) {
        struct fh_slab_cache *c = s->typed[(*cursor)++ - CURSOR_TYPED];
        if (c)
            return c;
    }
    return NULL;
}

bool fh_slab_cache_next(const struct fh_slab *s, uint64_t *cursor, struct fh_slab_cache_stats *out)
{
    const struct fh_slab_cache *c;
    do
        c = slab_next_cache(s, cursor);
    while (c && c->slabs == 0 && c->typed == 0);
    if (c)
        cache_stats(c, out);
    return c != NULL;
}

void fh_slab_stats(const struct fh_slab *s, struct fh_slab_stats *out)
{
    struct fh_slab_cache_stats c;
    uint64_t cursor = 0;

    *out = (struct fh_slab_stats){.discarded_pages = s->discarded_pages};
    while (fh_slab_cache_next(s, &cursor, &c)) {
        out->caches++;
        out->slabs += c.slabs;
        out->full += c.full;
        out->partial += c.partial;
        out->empty += c.empty;
        out->used += c.used;
        out->free += c.free;
        out->used_bytes += c.used * c.object_size;
        out->pages += c.pages;
    }
}

/* What a walk over all caches counted. */
struct recount {
    const struct fh_slab *s;
    struct fh_report r;
    uint64_t caches, slabs;        /* all */
    uint64_t cache_slabs, objects; /* of one cache */
};

static bool record_is_blank(struct fh_slab_run *run, const struct fh_slab_size *z, uint32_t object)
{
    const uint8_t *record = fh_slab_run_record(run, z, object);
    uint32_t i = 0;

    while (i < z->record_bytes && record[i] == 0)
        i++;
    return i == z->record_bytes;
}

static void check_objects(struct recount *k, struct fh_slab_run *run) /* [I1] [I2] */
{
    const struct fh_slab_size *z = run->cache->size;
    uint32_t used = 0;
    for (uint32_t o = 0; o < fh_slab_size_words(z) * 64; o++) {
        bool is_free = fh_bit_is_set(run->free_bits, o);
        if (is_free && o >= z->objects)
            fh_report(&k->r, "[I1] slab %u: a bit beyond the last object", run->number);
        if (is_free && o < z->objects && !record_is_blank(run, z, o))
            fh_report(&k->r, "[I2] slab %u: free object %u has a record", run->number, o);
        used += !is_free && o < z->objects;
    }
    if (used != run->used)
        fh_report(&k->r, "[I1] slab %u: %u used, counted %u", run->number, run->used, used);
    k->objects += used;
}

static void check_pages(struct recount *k, const struct fh_slab_run *run) /* [I5] */
{
    struct fh_space_block block;
    uint32_t pages = run->cache->size->pages;
    if (fh_space_find(k->s->opts.space, run->first, &block) != 0 || block.pages < pages)
        fh_report(&k->r, "[I5] slab %u: no block of %u pages", run->number, pages);
    for (uint32_t p = 0; p < pages; p++)
        if (fh_space_mark_at(k->s->opts.space, fh_page_add(run->first, p)) !=
            (FH_SPACE_SLAB | run->number))
            fh_report(&k->r, "[I5] slab %u: page %u has another mark", run->number, p);
}

static void check_run(struct recount *k, const struct fh_slab_cache *c, struct fh_slab_run *run)
{
    k->cache_slabs++;
    if (run->cache != c) {
        fh_report(&k->r, "[I3] slab %u is in the list of another cache", run->number);
        return; /* its geometry is not this cache's */
    }
    if (run->number >= k->s->runs_cap || k->s->runs[run->number] != (uintptr_t)run)
        fh_report(&k->r, "[I4] number %u does not lead to its slab", run->number);
    check_objects(k, run);
    check_pages(k, run);
}

static void check_list(struct recount *k, const struct fh_slab_cache *c, uint32_t fill)
{
    const struct fh_list *list = &c->lists[fill];
    if (fh_list_is_empty(list) == ((c->fills >> fill & 1) != 0))
        fh_report(&k->r, "[I3] tenant %u size %u: fills is wrong about list %u", c->tenant,
                  c->size->object_bytes, fill);
    for (struct fh_list *l = list->next; l != list && k->cache_slabs <= c->slabs; l = l->next) {
        struct fh_slab_run *run = FH_CONTAINER_OF(l, struct fh_slab_run, link);
        if (run->used == 0 || fh_slab_size_fill(c->size, run->used) != fill)
            fh_report(&k->r, "[I3] slab %u with %u objects is in list %u", run->number, run->used,
                      fill);
        check_run(k, c, run);
    }
}

static void check_cache(struct recount *k, const struct fh_slab_cache *c)
{
    k->cache_slabs = 0;
    k->objects = 0;
    if (c->typed > FH_SLAB_TYPED_MAX || (c->typed > 0 && k->s->typed[c->typed - 1] != c))
        fh_report(&k->r, "[I7] tenant %u size %u: number %u is another's", c->tenant,
                  c->size->object_bytes, c->typed);
    for (uint32_t fill = 0; fill < FILL_FULL; fill++)
        check_list(k, c, fill);
    uint64_t partial = k->cache_slabs;
    check_list(k, c, FILL_FULL);
    if (k->cache_slabs - partial != c->full)
        fh_report(&k->r, "[I6] tenant %u size %u: %" PRIu64 " full, counted %" PRIu64, c->tenant,
                  c->size->object_bytes, c->full, k->cache_slabs - partial);
    if (c->empty && c->empty->used != 0)
        fh_report(&k->r, "[I3] slab %u is not empty", c->empty->number);
    if (c->empty)
        check_run(k, c, c->empty);
    if (k->cache_slabs != c->slabs || k->objects != c->used)
        fh_report(&k->r,
                  "[I6] tenant %u size %u: %" PRIu64 " slabs and %" PRIu64
                  " objects, counted %" PRIu64 " and %" PRIu64,
                  c->tenant, c->size->object_bytes, c->slabs, c->used, k->cache_slabs, k->objects);
    k->caches++;
    k->slabs += k->cache_slabs;
}

static void check_typed(struct recount *k) /* [I7] */
{
    for (uint32_t i = 0; i < FH_SLAB_TYPED_MAX; i++)
        if (k->s->typed[i] && k->s->typed[i]->typed != i + 1)
            fh_report(&k->r, "[I7] the typed cache with number %u says %u", i + 1,
                      k->s->typed[i]->typed);
}

static void check_numbers(struct recount *k) /* [I4] [I6] */
{
    const struct fh_slab *s = k->s;
    uint32_t free_numbers = 0;
    for (uint32_t n = s->free_number; n != NUMBER_NONE && free_numbers <= s->runs_cap;) {
        if (n >= s->runs_cap || (s->runs[n] & 1) == 0) {
            fh_report(&k->r, "[I4] number %u is in use and in the free chain", n);
            break;
        }
        free_numbers++;
        n = (uint32_t)(s->runs[n] >> 1);
    }
    if (free_numbers + s->runs_used != s->runs_cap)
        fh_report(&k->r, "[I4] %u numbers free and %u used of %u", free_numbers, s->runs_used,
                  s->runs_cap);
    if (k->slabs != s->runs_used || k->caches != s->caches)
        fh_report(&k->r, "[I6] %u slabs in %" PRIu64 " caches, counted %" PRIu64 " in %" PRIu64,
                  s->runs_used, s->caches, k->slabs, k->caches);
}

bool fh_slab_check(const struct fh_slab *s, FILE *why)
{
    struct recount k = {.s = s, .r = {.out = why, .lines_max = 20}};
    const struct fh_slab_cache *c;
    uint64_t cursor = 0;

    while ((c = slab_next_cache(s, &cursor)) != NULL)
        check_cache(&k, c);
    check_typed(&k);
    check_numbers(&k);
    return k.r.broken == 0;
}

void fh_slab_dump(const struct fh_slab *s, FILE *out)
{
    struct fh_slab_cache_stats c;
    uint64_t cursor = 0;

    fprintf(out, "slab: %u slabs\n", s->runs_used);
    while (fh_slab_cache_next(s, &cursor, &c))
        fprintf(out,
                "  tenant %u size %u%s: %" PRIu64 " slabs of %u pages (%" PRIu64 " full, %" PRIu64
                " partial, %" PRIu64 " empty), %" PRIu64 " objects used, %" PRIu64 " free\n",
                c.tenant, c.object_size, c.typed > 0 ? " typed" : "", c.slabs, c.slab_pages, c.full,
                c.partial, c.empty, c.used, c.free);
}
