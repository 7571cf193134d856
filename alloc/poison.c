/*
 * Theory.  Under `debug` every byte of a slab's page that belongs to no object, or to none yet, is
 * known: it is 0, as pages begin, or FH_POISON. An object's bytes end where `filled` ends; the rest
 * of its place, up to where the next object begins, is its red zone. When an object dies or
 * shrinks, the bytes it filled are overwritten with FH_POISON. So a mutation that wrote outside its
 * object leaves a byte that is neither, and a read of what is no object's shows poison.
 *
 *   slab page   [object, filled 0..60 |red zone][dead: poison        ][object          |red zone]
 *
 * Poisoning must not wait or take a frame. It happens where the page is in a frame that nobody else
 * refers to and that no slot holds a copy of. Of other pages (in swap, being stored, being read) a bit
 * says that they may hold bytes of the dead; nothing is claimed about them until they are discarded,
 * which they are when their last object goes.
 *
 * Invariants
 *   [P1] on a page in a frame without that bit, all bytes outside of filled parts are 0 or FH_POISON
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bits.h"
#include "zone_private.h"

#define STALE_SIZE ((size_t)(UINT64_C(1) << FH_SPACE_PAGE_SHIFT) / 8)

int fh_zone_poison_init(struct fh_zone *z)
{
    if (!z->opts.debug)
        return 0;
    z->stale = fh_mem_map(&z->mem, STALE_SIZE);
    return z->stale ? 0 : -ENOMEM;
}

void fh_zone_poison_fini(struct fh_zone *z)
{
    fh_mem_unmap(&z->mem, z->stale, STALE_SIZE);
    z->stale = NULL;
}

static uint64_t stale_bit(struct fh_page page)
{
    return UINT64_C(1) << (page.v % 64);
}

static bool page_is_stale(const struct fh_zone *z, struct fh_page page)
{
    return (z->stale[page.v / 64] & stale_bit(page)) != 0;
}

/* The bytes of a page in a frame, or NULL. */
static uint8_t *page_bytes(const struct fh_zone *z, struct fh_page page)
{
    struct fh_entry e = fh_pagetable_get(&z->pager.table, page);

    return fh_entry_state(e) == FH_PAGE_FRAME ? fh_region_bytes(&z->pager.region, fh_entry_frame(e))
                                              : NULL;
}

static bool page_may_be_poisoned(const struct fh_zone *z, struct fh_page page)
{
    struct fh_entry e = fh_pagetable_get(&z->pager.table, page);

    if (fh_entry_state(e) != FH_PAGE_FRAME)
        return false;
    const struct fh_frame_record *r = fh_frames_record(&z->pager.frames, fh_entry_frame(e));
    return r->refs == 1 && r->dirty;
}

static void page_poison(struct fh_zone *z, struct fh_page page, uint32_t from, uint32_t to)
{
    if (page_may_be_poisoned(z, page))
        memset(page_bytes(z, page) + from, FH_POISON, to - from);
    else if (fh_entry_state(fh_pagetable_get(&z->pager.table, page)) != FH_PAGE_NOTHING)
        z->stale[page.v / 64] |= stale_bit(page);
}

void fh_zone_poison(struct fh_zone *z, struct fh_addr start, uint64_t size)
{
    if (!z->stale)
        return;
    while (size > 0) {
        uint32_t in_page = fh_addr_in_page(start);
        uint32_t part = (uint32_t)fh_min_u64(size, FH_PAGE_SIZE - in_page);

        page_poison(z, fh_page_of_addr(start), in_page, in_page + part);
        start.v += part;
        size -= part;
    }
}

void fh_zone_unpoison(struct fh_zone *z, struct fh_page first, uint64_t pages)
{
    for (uint64_t i = 0; z->stale && i < pages; i++) {
        struct fh_page page = fh_page_add(first, i);
        if (page_is_stale(z, page))
            z->stale[page.v / 64] &= ~stale_bit(page);
    }
}

/* The first byte of [from, to) of a page that some mutation wrote and should not have; `to`: none. */
static uint32_t page_find_written(const struct fh_zone *z, struct fh_page page, uint32_t from,
                                  uint32_t to)
{
    const uint8_t *bytes = page_is_stale(z, page) ? NULL : page_bytes(z, page);

    if (!bytes)
        return to;
    while (from < to && (bytes[from] == 0 || bytes[from] == FH_POISON))
        from++;
    return from;
}

/* Whether [start, end), which is no object's, is as it should be; else *wrong is where not. */
static bool range_is_clean(const struct fh_zone *z, struct fh_addr start, struct fh_addr end,
                           struct fh_addr *wrong)
{
    while (start.v < end.v) {
        uint32_t from = fh_addr_in_page(start);
        uint32_t to = (uint32_t)fh_min_u64(from + (end.v - start.v), FH_PAGE_SIZE);
        uint32_t found = page_find_written(z, fh_page_of_addr(start), from, to);

        if (found < to) {
            wrong->v = start.v + (found - from);
            return false;
        }
        start.v += to - from;
    }
    return true;
}

bool fh_zone_red_zone_is_clean(const struct fh_zone *z, const struct fh_object *o)
{
    struct fh_addr end = fh_object_addr(o, o->run->cache->size->object_bytes), wrong;

    return !z->stale || range_is_clean(z, fh_object_addr(o, o->small->filled), end, &wrong);
}

static void check_place(const struct fh_zone *z, struct fh_slab_run *run, uint32_t object,
                        struct fh_report *r)
{
    const struct fh_slab_size *size = run->cache->size;
    struct fh_addr start = fh_slab_run_addr(run, size, object);
    struct fh_addr end = fh_slab_run_addr(run, size, object + 1), wrong;
    const struct fh_small *record = fh_slab_run_record(run, size, object);

    start.v += record->filled; /* 0 of a free one */
    if (!range_is_clean(z, start, end, &wrong))
        fh_report(r, "[P1] slab %u: byte %" PRIx64 " was written, which is no object's",
                  run->number, wrong.v);
}

static void check_tail(const struct fh_zone *z, struct fh_slab_run *run, struct fh_report *r)
{
    const struct fh_slab_size *size = run->cache->size;
    struct fh_addr end = fh_addr_of_page(fh_page_add(run->first, size->pages)), wrong;

    if (!range_is_clean(z, fh_slab_run_addr(run, size, size->objects), end, &wrong))
        fh_report(r, "[P1] slab %u: byte %" PRIx64 " behind its last object was written",
                  run->number, wrong.v);
}

void fh_zone_poison_check(const struct fh_zone *z, struct fh_report *r)
{
    const struct fh_slab *slab = &z->heap.slab;

    for (uint32_t n = 0; z->stale && n < slab->runs_cap; n++) {
        struct fh_slab_run *run = fh_slab_run_at(slab, n);
        if (!run)
            continue;
        for (uint32_t o = 0; o < run->cache->size->objects; o++)
            check_place(z, run, o, r);
        check_tail(z, run, r);
    }
}
