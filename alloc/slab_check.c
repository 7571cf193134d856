/*
 * Theory.  Looking inside changes nothing: caches one by one through a cursor, their sums, and the
 * recount, which walks every list and every bit. A cursor is tenant * FH_SLAB_SIZES + size; behind
 * all of those come the typed caches. Walks over lists are bounded by what the caches count, so
 * that a list that runs in a circle is found too.
 *
 * Invariants: those at the head of slab.c.
 */
#include <inttypes.h>

#include "bits.h"
#include "report.h"
#include "slab_private.h"

/* Cursors from here on are of typed caches. */
#define CURSOR_TYPED ((uint64_t)FH_SLAB_TENANTS * FH_SLAB_SIZES)

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
        .moves = c->moves,
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

/* The slab after one in its list, if its number is one. */
static struct fh_slab_run *next_listed(struct recount *k, const struct fh_slab_run *run)
{
    struct fh_slab_run *next = fh_slab_run_at(k->s, run->next);

    if (!next && run->next != FH_SLAB_NUMBER_NONE)
        fh_report(&k->r, "[I3] slab %u: %u comes after it, which is none", run->number, run->next);
    return next;
}

static void check_list(struct recount *k, const struct fh_slab_cache *c, uint32_t fill)
{
    struct fh_slab_run *run = c->lists[fill];
    uint32_t before = FH_SLAB_NUMBER_NONE;

    if ((run != NULL) != ((c->fills >> fill & 1) != 0))
        fh_report(&k->r, "[I3] tenant %u size %u: fills is wrong about list %u", c->tenant,
                  c->size->object_bytes, fill);
    for (; run && k->cache_slabs <= c->slabs; run = next_listed(k, run)) {
        if (run->used == 0 || fh_slab_size_fill(c->size, run->used) != fill || run->fill != fill)
            fh_report(&k->r, "[I3] slab %u with %u objects is in list %u", run->number, run->used,
                      fill);
        if (run->prev != before)
            fh_report(&k->r, "[I3] slab %u: %u is not the one before it", run->number, run->prev);
        check_run(k, c, run);
        before = run->number;
    }
}

static void check_cache(struct recount *k, const struct fh_slab_cache *c)
{
    k->cache_slabs = 0;
    k->objects = 0;
    if (c->typed > FH_SLAB_TYPED_MAX || (c->typed > 0 && k->s->typed[c->typed - 1] != c))
        fh_report(&k->r, "[I7] tenant %u size %u: number %u is another's", c->tenant,
                  c->size->object_bytes, c->typed);
    for (uint32_t fill = 0; fill < FH_SLAB_FULL; fill++)
        check_list(k, c, fill);
    uint64_t partial = k->cache_slabs;
    check_list(k, c, FH_SLAB_FULL);
    if (k->cache_slabs - partial != c->full)
        fh_report(&k->r, "[I6] tenant %u size %u: %" PRIu64 " full, counted %" PRIu64, c->tenant,
                  c->size->object_bytes, c->full, k->cache_slabs - partial);
    if (c->empty && (c->empty->used != 0 || c->empty->fill != FH_SLAB_FILL_NONE))
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
    for (uint32_t n = s->free_number; n != FH_SLAB_NUMBER_NONE && free_numbers <= s->runs_cap;) {
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
