/*
 * Theory.  When objects go at random a slab keeps a few, and so its pages, which no other size can
 * use. A cache is sparse when its slabs have more than HOLES_SHARE of what lives in them as holes,
 * at least a slab's worth. Then the slabs that are no fuller than the mean are emptied into the
 * fullest that are not full, object by object.
 *
 *   before   [a..b....] [cdefg.hi] [..j.....]      after   [........] [cdefgahi] [bj......]
 *                                                           given back
 *
 * A sweep looks at each slab once, in order of numbers, in slices. While it moves something another
 * follows; when it moved nothing, none begins until something was allocated or freed, or more is
 * wanted: when requests wait that would be refused, the last hole counts. Nothing is read in for it:
 * a slab with a page in swap stays, and so does one without a frame. Objects above
 * FH_COMPACT_SIZE_MAX stay too: pages of a slab on which nothing lives are free as it is, and what
 * is left costs such an object less than a page.
 *
 * It ends: a move goes to a slab that is at least as full as the one it comes from, so the sum of
 * the squares of their fills grows, and that has a bound.
 *
 * Invariants
 *   [I1] allocs and vain_calls are what the heap had counted some time ago: never more than now
 */
#include "compact.h"

#include <inttypes.h>

#include "bits.h"
#include "report.h"

enum {
    HOLES_SHARE = 8,  /* an eighth */
    TARGET_LOOKS = 8, /* slabs looked at for one with room in memory */
    REST_MS = 100,    /* after a sweep in vain */
    CACHES_LOOKS = 1024,
};

void fh_compact_init(struct fh_compact *c, const struct fh_compact_opts *o, uint64_t now_ms)
{
    *c = (struct fh_compact){
        .opts = *o, .allocs = o->heap->allocs, .busy_ms = now_ms, .now_ms = now_ms};
}

/* --- when --- */

static uint64_t heap_calls(const struct fh_compact *c)
{
    return c->opts.heap->allocs + c->opts.heap->frees;
}

/* Of others: a move is an alloc and a free. */
static uint64_t heap_allocs(const struct fh_compact *c)
{
    return c->opts.heap->allocs - c->own;
}

static bool compact_is_idle(struct fh_compact *c)
{
    uint64_t allocs = heap_allocs(c);

    if (allocs != c->allocs)
        c->busy_ms = c->now_ms;
    c->allocs = allocs;
    return c->now_ms - c->busy_ms >= FH_COMPACT_IDLE_MS;
}

static bool compact_may_begin(const struct fh_compact *c, enum fh_compact_need need)
{
    if (!c->vain || need > c->vain_need)
        return true;
    return heap_calls(c) != c->vain_calls && c->now_ms - c->vain_ms >= REST_MS;
}

/* --- what --- */

/* Slabs of a cache in which something lives. */
static uint64_t cache_slabs(const struct fh_slab_cache *cache)
{
    return cache->slabs - (cache->empty ? 1 : 0);
}

static bool is_sparse(const struct fh_slab_size *z, uint64_t slabs, uint64_t used,
                      enum fh_compact_need need)
{
    uint64_t holes = slabs * z->objects - used;

    if (z->object_bytes > FH_COMPACT_SIZE_MAX || holes < z->objects)
        return false;
    return need == FH_COMPACT_REFUSE || holes * HOLES_SHARE > used;
}

/* Pages of the slabs that are more than their caches need; after so many caches, no end of them. */
static uint64_t compact_sparse_pages(const struct fh_compact *c, enum fh_compact_need need)
{
    struct fh_slab_cache_stats s;
    uint64_t cursor = 0, pages = 0;

    for (uint32_t looks = 0; looks < CACHES_LOOKS; looks++) {
        if (!fh_slab_cache_next(&c->opts.heap->slab, &cursor, &s))
            return pages;
        struct fh_slab_size z = {.object_bytes = s.object_size, .objects = s.slab_objects};
        uint64_t slabs = s.slabs - s.empty;
        if (is_sparse(&z, slabs, s.used, need))
            pages += (slabs * z.objects - s.used) / z.objects * s.slab_pages;
    }
    return FH_COMPACT_PAGES_MAX;
}

uint64_t fh_compact_pages(const struct fh_compact *c, enum fh_compact_need need)
{
    return c->running || compact_may_begin(c, need) ? compact_sparse_pages(c, need) : 0;
}

/* Whether the slab should be emptied: its pages are here, and others are fuller. */
static bool compact_wants(const struct fh_compact *c, const struct fh_slab_run *run)
{
    const struct fh_slab_cache *cache = run->cache;

    if (run->used == 0 || !is_sparse(cache->size, cache_slabs(cache), cache->used, c->need) ||
        run->used * cache_slabs(cache) > cache->used)
        return false;
    uint32_t frames = c->opts.frames(c->opts.ctx, run->first, cache->size->pages);
    return frames > 0 && frames != FH_COMPACT_AWAY;
}

/* Whether the next object of the slab would lie on pages that are here. */
static bool compact_is_here(const struct fh_compact *c, const struct fh_slab_run *run)
{
    const struct fh_slab_size *z = run->cache->size;
    struct fh_addr at = fh_slab_run_addr(run, z, fh_slab_run_lowest_free(run));
    uint64_t pages = fh_pages_for(fh_addr_in_page(at) + z->object_bytes);

    return c->opts.frames(c->opts.ctx, fh_page_of_addr(at), (uint32_t)pages) != FH_COMPACT_AWAY;
}

/* Of the slabs that are not full and at least as full as this one, one of the fullest; or NULL. */
static struct fh_slab_run *compact_target(const struct fh_compact *c,
                                          const struct fh_slab_run *from)
{
    const struct fh_slab *slab = &c->opts.heap->slab;
    struct fh_slab_cache *cache = from->cache;
    uint32_t looks = 0;

    for (uint32_t fill = FH_SLAB_FILLS; fill-- > 0;)
        for (struct fh_slab_run *run = cache->lists[fill]; run;
             run = fh_slab_run_after(slab, run)) {
            if (looks++ == TARGET_LOOKS)
                return NULL;
            if (run != from && run->used >= from->used && compact_is_here(c, run))
                return run;
        }
    return NULL;
}

static void compact_object(struct fh_compact *c, struct fh_slab_run *run, uint32_t object,
                           struct fh_slab_run *to)
{
    const struct fh_heap *heap = c->opts.heap;
    uint64_t pages = heap->slab.discarded_pages, allocs = heap->allocs;
    bool last = run->used == 1;
    int rc = c->opts.move(c->opts.ctx, run, object, to);

    c->own += heap->allocs - allocs;
    if (rc != 0) {
        c->stats.refused++;
        return;
    }
    c->moved++;
    to->cache->moves++;
    c->stats.moves++;
    c->stats.slabs += last;
    c->stats.pages += heap->slab.discarded_pages - pages;
}

/* Moves what it may of a slab; false: some of it is left for the next slice. */
static bool compact_run(struct fh_compact *c, struct fh_slab_run *run, uint32_t *moves)
{
    uint32_t used = run->used;

    for (uint32_t o = 0; used > 0; o++) {
        if (fh_bit_is_set(run->free_bits, o))
            continue;
        struct fh_slab_run *to = compact_target(c, run);
        if (!to)
            return true;
        if (*moves == 0)
            return false;
        --*moves;
        compact_object(c, run, o, to); /* after the last one the slab may be gone */
        used--;
    }
    return true;
}

/* None begins until something was allocated or freed, or more is wanted. */
static void compact_rest(struct fh_compact *c, enum fh_compact_need need)
{
    c->running = false;
    c->vain = true;
    c->vain_need = need;
    c->vain_calls = heap_calls(c);
    c->vain_ms = c->now_ms;
}

static void compact_end_sweep(struct fh_compact *c)
{
    c->running = false;
    c->vain = false;
    c->stats.sweeps++;
    if (c->moved == 0)
        compact_rest(c, c->need);
}

static void compact_slice(struct fh_compact *c)
{
    const struct fh_slab *slab = &c->opts.heap->slab;
    uint32_t moves = FH_COMPACT_MOVES;

    for (uint32_t looks = 0; looks < FH_COMPACT_LOOKS && c->hand < slab->runs_cap; looks++) {
        struct fh_slab_run *run = fh_slab_run_at(slab, c->hand);
        if (run && compact_wants(c, run) && !compact_run(c, run, &moves))
            return;
        c->hand++;
    }
    if (c->hand >= slab->runs_cap)
        compact_end_sweep(c);
}

bool fh_compact_turn(struct fh_compact *c, enum fh_compact_need need, uint64_t now_ms)
{
    c->now_ms = now_ms;
    bool idle = compact_is_idle(c);

    if (need == FH_COMPACT_QUIET && !idle)
        return false;
    if (!c->running && !compact_may_begin(c, need))
        return false;
    if (compact_sparse_pages(c, need) == 0) {
        compact_rest(c, need);
        return false;
    }
    if (!c->running) {
        c->running = true;
        c->need = need;
        c->hand = 0;
        c->moved = 0;
    }
    compact_slice(c);
    return c->running || compact_may_begin(c, need);
}

/* --- looking inside --- */

void fh_compact_stats(const struct fh_compact *c, struct fh_compact_stats *out)
{
    *out = c->stats;
}

bool fh_compact_check(const struct fh_compact *c, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};

    if (c->allocs > heap_allocs(c) || c->vain_calls > heap_calls(c))
        fh_report(&r,
                  "[I1] %" PRIu64 " allocations and %" PRIu64 " calls were seen, of %" PRIu64
                  " and %" PRIu64,
                  c->allocs, c->vain_calls, heap_allocs(c), heap_calls(c));
    return r.broken == 0;
}

void fh_compact_dump(const struct fh_compact *c, FILE *out)
{
    fprintf(out,
            "compact: %s at slab %u, %" PRIu64 " sweeps, %" PRIu64 " objects moved, %" PRIu64
            " refused, %" PRIu64 " slabs emptied, %" PRIu64 " pages given back\n",
            c->running ? "running" : "resting", c->hand, c->stats.sweeps, c->stats.moves,
            c->stats.refused, c->stats.slabs, c->stats.pages);
}
