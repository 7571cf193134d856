/*
 * Theory.  When an object is freed its record goes at once: nobody can name the pages. What is left
 * to do, dropping the entries one by one and giving the block back, can be done later, and for a
 * large object is: each turn has a budget of entries, shared by everything that is freed in it.
 * What does not fit into it waits here, in order of arrival, with a cursor.
 *
 *   block   [NOTHING ........ | entries still to be dropped ....]
 *           first             next                              end
 *
 * Until its last entry is dropped a block stays taken, so no new object is mistaken for it; its
 * pages still count as live, may be evicted, and may be mirrored by views. A view that ends stays in
 * its ring until its own entries are dropped. A request that would be refused for lack of room has
 * the graves emptied first, slice by slice, until it fits: what is free is never called full.
 *
 * Pages of an object that lives on, which was zeroed or made shorter, go the same way: the leaves of
 * the page table that have their entries are hung in at a block of their own, which is a view whose
 * entries are no copies. So the object's pages are NOTHING in one step, whatever there is of them, and
 * the records of their frames, which still name the object's pages, lead to them by the ring.
 *
 * Pages of a file, and views of them, are no matter of turns: they go at once (pager_files.c).
 *
 * Invariants
 *   [I1] stats.blocks is the number of blocks in the list
 *   [I2] no page of a block before its cursor has an entry
 */
#include "graves.h"

#include <errno.h>
#include <inttypes.h>

#include "bits.h"
#include "report.h"

struct grave {
    struct fh_list link;
    struct fh_page first, next, end;
    bool is_view;
    struct fh_view view; /* of a view: what its pages mirror */
};

void fh_graves_init(struct fh_graves *g, struct fh_mem *mem, struct fh_heap *heap,
                    struct fh_pager *pager)
{
    *g = (struct fh_graves){.mem = mem,
                            .heap = heap,
                            .pager = pager,
                            .slice = FH_GRAVES_SLICE,
                            .left = FH_GRAVES_SLICE};
    fh_list_init(&g->blocks);
}

void fh_graves_fini(struct fh_graves *g)
{
    struct fh_list *link;

    while ((link = fh_list_pop(&g->blocks)) != NULL)
        fh_mem_give(g->mem, FH_CONTAINER_OF(link, struct grave, link), sizeof(struct grave));
    g->stats.blocks = 0;
}

static void graves_count(struct fh_graves *g, uint64_t entries)
{
    g->turn += entries;
    g->stats.entries += entries;
    g->stats.turn_most = fh_max_u64(g->stats.turn_most, g->turn);
}

/* Drops entries of a stretch that ends before the budget does; where it came to. */
static struct fh_page dig_stretch(struct fh_graves *g, struct fh_page from, struct fh_page end,
                                  uint32_t *budget)
{
    struct fh_pagetable *t = &g->pager->table;
    struct fh_page page = fh_pagetable_next(t, from, end);
    uint32_t dropped = 0;

    while (page.v < end.v && dropped < *budget) {
        fh_pager_discard(g->pager, page, 1);
        dropped++;
        page = fh_pagetable_next(t, fh_page_add(page, 1), end);
    }
    fh_pagetable_trim(t, from, page.v - from.v);
    graves_count(g, dropped);
    *budget -= dropped > 0 ? dropped : 1;
    return page;
}

/* Goes on with a block until it is empty or the budget is used up; true when it is empty. */
static bool grave_dig(struct fh_graves *g, struct grave *grave, uint32_t *budget)
{
    while (grave->next.v<grave->end.v && * budget> 0) {
        uint64_t pages = grave->end.v - grave->next.v;
        uint64_t arena = FH_ARENA_PAGES - (grave->next.v & (FH_ARENA_PAGES - 1));
        bool touched = g->pager->table.tables[grave->next.v >> FH_ARENA_PAGE_SHIFT].leaves != NULL;
        uint64_t stretch = fh_min_u64(pages, touched ? (uint64_t)FH_GRAVES_STRETCH : arena);
        grave->next = dig_stretch(g, grave->next, fh_page_add(grave->next, stretch), budget);
    }
    return grave->next.v == grave->end.v;
}

static void heap_give(struct fh_graves *g, struct fh_addr addr)
{
    int rc = fh_heap_free(g->heap, addr);
    FH_ASSERT(rc == 0);
}

/* The object whose block a view mirrored is gone: the last view gives the block back. */
static void orphan_give(struct fh_graves *g, const struct fh_view *view)
{
    struct fh_heap_block block;

    if (!view->orphaned || (g->elsewhere && g->elsewhere(g->ctx, view->origin)))
        return;
    int rc = fh_heap_find_page(g->heap, view->origin, &block);
    FH_ASSERT(rc == 0);
    if (!fh_rings_mirror(&g->pager->rings, fh_page_of_addr(block.addr),
                         block.room_bytes >> FH_PAGE_SHIFT))
        fh_graves_take(g, block.addr, block.room_bytes);
}

/* It is empty. */
static void grave_close(struct fh_graves *g, struct grave *grave)
{
    uint64_t pages = grave->end.v - grave->first.v;

    if (grave->is_view) {
        fh_rings_remove(&g->pager->rings, &grave->view);
        heap_give(g, fh_addr_of_page(grave->first));
        orphan_give(g, &grave->view);
    } else if (fh_rings_mirror(&g->pager->rings, grave->first, pages)) {
        fh_rings_orphan(&g->pager->rings, grave->first, pages);
    } else {
        heap_give(g, fh_addr_of_page(grave->first));
    }
}

static void graves_do(struct fh_graves *g, struct grave *now)
{
    uint32_t budget;

    do
        budget = UINT32_MAX;
    while (!grave_dig(g, now, &budget));
    grave_close(g, now);
}

/* In this turn as far as its budget goes, the rest later. */
static void graves_begin(struct fh_graves *g, struct grave *now)
{
    struct grave *later;

    if (grave_dig(g, now, &g->left)) {
        grave_close(g, now);
        return;
    }
    later = fh_mem_take(g->mem, sizeof(*later));
    if (!later) {
        graves_do(g, now);
        return;
    }
    *later = *now;
    if (now->is_view)
        fh_rings_relink(&g->pager->rings, &now->view, &later->view);
    fh_list_push_back(&g->blocks, &later->link);
    g->stats.blocks++;
}

/* Pages of a file: none of them may be written back any more, so they go at once; while views are
 * read from the file, they and the file stay. */
static void graves_take_file(struct fh_graves *g, struct grave *grave, struct fh_file *file)
{
    uint64_t pages = grave->end.v - grave->first.v;

    if (fh_rings_mirror(&g->pager->rings, grave->first, pages)) {
        fh_rings_orphan(&g->pager->rings, grave->first, pages);
        return;
    }
    fh_pager_discard(g->pager, grave->first, pages);
    fh_pagetable_trim(&g->pager->table, grave->first, pages);
    fh_backing_end(&g->pager->backing, file);
    heap_give(g, fh_addr_of_page(grave->first));
}

void fh_graves_take(struct fh_graves *g, struct fh_addr addr, uint64_t room_bytes)
{
    struct fh_page first = fh_page_of_addr(addr);
    struct fh_file *file = fh_backing_find(&g->pager->backing, first);
    struct grave grave = {
        .first = first, .next = first, .end = fh_page_add(first, room_bytes >> FH_PAGE_SHIFT)};

    if (file)
        graves_take_file(g, &grave, file);
    else
        graves_begin(g, &grave);
}

void fh_graves_take_view(struct fh_graves *g, struct fh_view *view)
{
    struct grave grave = {.first = view->base,
                          .next = view->base,
                          .end = fh_page_add(view->base, view->pages),
                          .is_view = true};

    fh_rings_relink(&g->pager->rings, view, &grave.view);
    if (fh_backing_find(&g->pager->backing, view->origin))
        graves_do(g, &grave); /* a view of a file costs who writes to it */
    else
        graves_begin(g, &grave);
}

bool fh_graves_take_pages(struct fh_graves *g, struct fh_page first, uint64_t pages)
{
    struct fh_pager *p = g->pager;
    struct fh_heap_block block;
    struct fh_view view;

    if (p->rings.count >= FH_RINGS_VIEWS_MAX || fh_backing_find(&p->backing, first) ||
        fh_heap_alloc_pages(g->heap, pages, 0, &block) != 0)
        return false;
    struct fh_page base = fh_page_of_addr(block.addr);
    if (base.v % FH_LEAF_PAGES != 0 || fh_pagetable_shift(&p->table, first, base, pages) != 0) {
        heap_give(g, block.addr);
        return false;
    }
    fh_rings_add(&p->rings, &view, first, base, pages);
    view.shifted = true;
    p->pins_left = p->pins_left || p->pins.count > 0;
    p->swept_to = 0;
    fh_graves_take_view(g, &view);
    return true;
}

static bool graves_dig(struct fh_graves *g, uint32_t *budget)
{
    struct fh_list *link;

    while (*budget > 0 && (link = fh_list_first(&g->blocks)) != NULL) {
        struct grave *grave = FH_CONTAINER_OF(link, struct grave, link);
        if (!grave_dig(g, grave, budget))
            break;
        fh_list_remove(&grave->link);
        g->stats.blocks--;
        grave_close(g, grave);
        fh_mem_give(g->mem, grave, sizeof(*grave));
    }
    return !fh_list_is_empty(&g->blocks);
}

bool fh_graves_turn(struct fh_graves *g)
{
    g->left = g->slice;
    g->turn = 0;
    return graves_dig(g, &g->left);
}

bool fh_graves_hurry(struct fh_graves *g)
{
    uint32_t budget = g->slice;

    if (fh_list_is_empty(&g->blocks))
        return false;
    (void)graves_dig(g, &budget);
    return true;
}

void fh_graves_finish(struct fh_graves *g, struct fh_page first, uint64_t pages)
{
    bool more = true;

    while (more && fh_rings_shifted(&g->pager->rings, first, pages))
        more = fh_graves_hurry(g);
}

/* --- looking inside --- */

void fh_graves_stats(const struct fh_graves *g, struct fh_graves_stats *out)
{
    *out = g->stats;
}

static const struct grave *grave_of(const struct fh_list *link)
{
    return (const struct grave *)(const void *)((const char *)link - offsetof(struct grave, link));
}

bool fh_graves_check(const struct fh_graves *g, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint64_t blocks = 0;

    for (const struct fh_list *l = g->blocks.next; l != &g->blocks; l = l->next) {
        const struct grave *grave = grave_of(l);
        blocks++;
        if (fh_pagetable_next(&g->pager->table, grave->first, grave->next).v < grave->next.v)
            fh_report(&r, "[I2] block %" PRIx64 ": a page before its cursor has an entry",
                      grave->first.v);
    }
    if (blocks != g->stats.blocks)
        fh_report(&r, "[I1] %" PRIu64 " blocks wait, counted %" PRIu64, g->stats.blocks, blocks);
    return r.broken == 0;
}

void fh_graves_dump(const struct fh_graves *g, FILE *out)
{
    fprintf(out, "graves: %" PRIu64 " blocks\n", g->stats.blocks);
    for (const struct fh_list *l = g->blocks.next; l != &g->blocks; l = l->next)
        fprintf(out, "  block %" PRIx64 ", %" PRIu64 " of %" PRIu64 " pages are done%s\n",
                grave_of(l)->first.v, grave_of(l)->next.v - grave_of(l)->first.v,
                grave_of(l)->end.v - grave_of(l)->first.v, grave_of(l)->is_view ? ", a view" : "");
}
