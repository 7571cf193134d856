/*
 * Theory.  A cache keeps its empty slab, and the space its empty arena, so that a load that swings
 * around a border does not open and close all the time. Who stays quiet does not swing: when no
 * block was allocated for FH_REAP_IDLE_MS a sweep gives all of it back, and the first allocation
 * that comes stops it where it is. When memory is short a sweep goes to its end although the zone
 * is busy, and the next begins a second later at the earliest: a cache in use loses one slab a
 * second by it, which is cheap to open again.
 *
 *   allocations  ..xx.xx...............x.....        allocations  x.xxx.xx.x.xxx.xx.x
 *   sweep                  [slices] done             short of memory  ------------------
 *                |-- 1 s ->|                         sweep            [s] [done]  |1 s|[s]
 *
 * A sweep is made of slices, so that a node of many tenants serves sockets in between. After one,
 * there is nothing to find until something was allocated or freed.
 *
 * Invariants
 *   [I1] calls and allocs are what the heap had counted some time ago: never more than it has now
 *   [I2] a cursor that is not at the start belongs to a sweep
 */
#include "reap.h"

#include <inttypes.h>

#include "report.h"

enum { REAP_LOOKS = 1024, REAP_AGAIN_MS = 1000 };

void fh_reap_init(struct fh_reap *r, struct fh_heap *heap, uint64_t now_ms)
{
    *r = (struct fh_reap){.heap = heap, .allocs = heap->allocs, .busy_ms = now_ms};
}

static bool reap_is_idle(struct fh_reap *r, uint64_t now_ms)
{
    if (r->heap->allocs != r->allocs)
        r->busy_ms = now_ms;
    r->allocs = r->heap->allocs;
    return now_ms - r->busy_ms >= FH_REAP_IDLE_MS;
}

static bool reap_must_begin(const struct fh_reap *r, bool idle, bool pressed, uint64_t now_ms)
{
    if (r->heap->allocs + r->heap->frees == r->calls)
        return false; /* as the last sweep left it */
    return idle || (pressed && (r->sweep_ms == 0 || now_ms - r->sweep_ms >= REAP_AGAIN_MS));
}

static void reap_slice(struct fh_reap *r)
{
    struct fh_slab *slab = &r->heap->slab;
    uint32_t before = slab->runs_used;

    r->running = fh_slab_trim_some(slab, &r->cursor, REAP_LOOKS);
    FH_ASSERT(slab->runs_used <= before);
    r->stats.slabs += before - slab->runs_used;
    if (r->running)
        return;
    fh_space_trim(&r->heap->space);
    r->stats.sweeps++;
}

bool fh_reap_turn(struct fh_reap *r, bool pressed, uint64_t now_ms)
{
    bool idle = reap_is_idle(r, now_ms);

    if (!r->running && reap_must_begin(r, idle, pressed, now_ms)) {
        r->running = true;
        r->calls = r->heap->allocs + r->heap->frees;
        r->sweep_ms = now_ms;
    }
    if (!r->running || (!idle && !pressed))
        return false;
    reap_slice(r);
    return r->running;
}

void fh_reap_stats(const struct fh_reap *r, struct fh_reap_stats *out)
{
    *out = r->stats;
}

bool fh_reap_check(const struct fh_reap *r, FILE *why)
{
    struct fh_report report = {.out = why, .lines_max = 20};

    if (r->allocs > r->heap->allocs || r->calls > r->heap->allocs + r->heap->frees)
        fh_report(&report,
                  "[I1] %" PRIu64 " allocations and %" PRIu64 " calls were seen, of %" PRIu64
                  " and %" PRIu64 " frees",
                  r->allocs, r->calls, r->heap->allocs, r->heap->frees);
    if (r->cursor != 0 && !r->running)
        fh_report(&report, "[I2] the cursor is at tenant %u, and nothing runs", r->cursor);
    return report.broken == 0;
}

void fh_reap_dump(const struct fh_reap *r, FILE *out)
{
    fprintf(out, "reap: %s at tenant %u, %" PRIu64 " sweeps, %" PRIu64 " slabs given back\n",
            r->running ? "running" : "resting", r->cursor, r->stats.sweeps, r->stats.slabs);
}
