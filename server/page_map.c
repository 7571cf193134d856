/*
 * Theory.  A group of pages gets the glyph of its commonest state, so that a map of any zone fits a
 * screen; one failed page makes its whole group say so. Groups are powers of two.
 *
 *   . nothing   # dirty   = clean, its slot kept   F dirty, of a file   f clean, of a file
 *   s in swap   d in its file   r being read   P pinned   ! failed
 */
#include "page_map.h"

#include "alloc/ids.h"

const char *const fh_page_map_states[FH_PAGE_MAP_STATES] = {
    "nothing", "dirty", "clean",   "file_dirty", "file_clean",
    "swap",    "file",  "reading", "pinned",     "failed"};
static const char glyphs[FH_PAGE_MAP_STATES + 1] = ".#=FfsdrP!";

static enum fh_page_map_state state_of_frame(const struct fh_frame_record *frame)
{
    if (frame->queue == FH_QUEUE_ASIDE)
        return FH_PAGE_MAP_PINNED;
    if (frame->file)
        return frame->dirty ? FH_PAGE_MAP_FILE_DIRTY : FH_PAGE_MAP_FILE_CLEAN;
    return frame->dirty ? FH_PAGE_MAP_DIRTY : FH_PAGE_MAP_CLEAN;
}

static enum fh_page_map_state state_of(const struct fh_zone *zone, struct fh_page page)
{
    struct fh_entry entry = fh_pagetable_get(&zone->pager.table, page);

    switch (fh_entry_state(entry)) {
    case FH_PAGE_FRAME:
        return state_of_frame(fh_frames_record(&zone->pager.frames, fh_entry_frame(entry)));
    case FH_PAGE_SLOT:
        return FH_PAGE_MAP_SWAP;
    case FH_PAGE_FILE:
        return FH_PAGE_MAP_FILE;
    case FH_PAGE_READING:
        return FH_PAGE_MAP_READING;
    case FH_PAGE_FAILED:
        return FH_PAGE_MAP_FAILED;
    case FH_PAGE_NOTHING:
    case FH_PAGE_ZERO:
        break;
    }
    return FH_PAGE_MAP_NOTHING;
}

/* Of the pages [first, end), which are counted. */
static char map_group(struct fh_page_map *m, const struct fh_zone *zone, uint64_t first,
                      uint64_t end)
{
    uint64_t counts[FH_PAGE_MAP_STATES] = {0};
    uint64_t something = 0;
    enum fh_page_map_state best = FH_PAGE_MAP_NOTHING;

    for (struct fh_page page = {first};; page.v++) {
        page = fh_pagetable_next(&zone->pager.table, page, (struct fh_page){end});
        if (page.v >= end)
            break;
        enum fh_page_map_state s = state_of(zone, page);
        counts[s]++;
        something += s != FH_PAGE_MAP_NOTHING;
    }
    counts[FH_PAGE_MAP_NOTHING] = end - first - something;
    for (enum fh_page_map_state s = FH_PAGE_MAP_DIRTY; s < FH_PAGE_MAP_STATES; s++) {
        m->pages[s] += counts[s];
        if (counts[s] > counts[best])
            best = s;
    }
    return glyphs[counts[FH_PAGE_MAP_FAILED] > 0 ? FH_PAGE_MAP_FAILED : best];
}

/* The end of the last page that is something, below the break. */
static uint64_t map_end(const struct fh_zone *zone, uint64_t brk)
{
    const struct fh_pagetable *table = &zone->pager.table;
    uint64_t arena = (brk + FH_ARENA_PAGES - 1) >> FH_ARENA_PAGE_SHIFT;

    while (arena > 0 && !table->tables[arena - 1].leaves)
        arena--;
    if (arena == 0)
        return 0;
    uint64_t first = (arena - 1) << FH_ARENA_PAGE_SHIFT;
    uint64_t last = first;
    for (struct fh_page page = {first}; page.v < first + FH_ARENA_PAGES; page.v++) {
        page = fh_pagetable_next(table, page, (struct fh_page){first + FH_ARENA_PAGES});
        if (page.v < first + FH_ARENA_PAGES)
            last = page.v + 1;
    }
    return last;
}

void fh_page_map_draw(struct fh_page_map *m, const struct fh_zone *zone)
{
    struct fh_space_stats space;
    uint64_t end, used, count = 0, something = 0, group = 1;

    *m = (struct fh_page_map){0};
    fh_space_stats(&zone->heap.space, &space);
    end = map_end(zone, space.break_pages);
    while (end > group * FH_PAGE_MAP_GLYPHS_MAX)
        group *= 2;
    for (uint64_t first = 0; first < end; first += group)
        m->glyphs[count++] = map_group(m, zone, first, first + group < end ? first + group : end);
    m->pages_per_glyph = group;
    for (enum fh_page_map_state s = FH_PAGE_MAP_DIRTY; s < FH_PAGE_MAP_STATES; s++)
        something += m->pages[s];
    used = space.used_pages + space.segment_pages;
    m->pages[FH_PAGE_MAP_NOTHING] = used > something ? used - something : 0;
}
