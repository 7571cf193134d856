/*
 * page_map: the pages of a zone's blocks by state: how many of each, and drawn, a glyph per group.
 *
 * Threads    the zone's.
 * Cost       the pages that were written: what is NOTHING is not visited.
 */
#ifndef FH_SERVER_PAGE_MAP_H
#define FH_SERVER_PAGE_MAP_H

#include <stdint.h>

#include "alloc/zone.h"

enum fh_page_map_state {
    FH_PAGE_MAP_NOTHING,
    FH_PAGE_MAP_DIRTY,
    FH_PAGE_MAP_CLEAN,
    FH_PAGE_MAP_FILE_DIRTY,
    FH_PAGE_MAP_FILE_CLEAN,
    FH_PAGE_MAP_SWAP,
    FH_PAGE_MAP_FILE, /* in its file, not in memory */
    FH_PAGE_MAP_READING,
    FH_PAGE_MAP_PINNED, /* in memory, dirty or clean */
    FH_PAGE_MAP_FAILED,
    FH_PAGE_MAP_STATES
};
extern const char *const fh_page_map_states[FH_PAGE_MAP_STATES]; /* their names */

enum { FH_PAGE_MAP_GLYPHS_MAX = 4096 };

struct fh_page_map {
    uint64_t pages[FH_PAGE_MAP_STATES]; /* of blocks in use, rounding included */
    uint64_t pages_per_glyph;
    /* From page 0 to the last that is something, arenas and segments alike: the commonest state of
     * each group; '!' when any page of it failed. */
    char glyphs[FH_PAGE_MAP_GLYPHS_MAX + 1];
};

void fh_page_map_draw(struct fh_page_map *, const struct fh_zone *);

#endif
