/*
 * ids: the number spaces of a zone, one struct each, so that a slot cannot be passed for a frame.
 *
 *   fh_addr   byte in a zone's space, 48 bits     fh_page   4 KiB of the space, 36 bits
 *   fh_frame  4 KiB of the region, 28 bits        fh_slot   4 KiB of the swap file, 32 bits; 0 =
 * none
 *
 * Between addresses and pages there is arithmetic; from a page to a frame or slot only the page
 * table leads.
 */
#ifndef FH_ALLOC_IDS_H
#define FH_ALLOC_IDS_H

#include <stdint.h>

enum {
    FH_PAGE_SHIFT = 12,
    FH_PAGE_SIZE = 1 << FH_PAGE_SHIFT,
    FH_ARENA_PAGE_SHIFT = 18, /* an arena is 2^18 pages: 1 GiB */
    FH_ARENA_PAGES = 1 << FH_ARENA_PAGE_SHIFT,
    FH_SPACE_PAGE_SHIFT = 36, /* a space is 2^36 pages: 48-bit offsets */
    FH_SPACE_ARENAS = 1 << (FH_SPACE_PAGE_SHIFT - FH_ARENA_PAGE_SHIFT),
};

#define FH_OBJECT_SIZE_MAX (UINT64_C(1) << 40) /* 1 TiB */

struct fh_addr {
    uint64_t v;
};
struct fh_page {
    uint64_t v;
};
struct fh_frame {
    uint32_t v;
};
struct fh_slot {
    uint32_t v;
};

static inline struct fh_page fh_page_of_addr(struct fh_addr a)
{
    return (struct fh_page){a.v >> FH_PAGE_SHIFT};
}

static inline struct fh_addr fh_addr_of_page(struct fh_page p)
{
    return (struct fh_addr){p.v << FH_PAGE_SHIFT};
}

/* Bytes from the start of its page. */
static inline uint32_t fh_addr_in_page(struct fh_addr a)
{
    return (uint32_t)(a.v & (FH_PAGE_SIZE - 1));
}

static inline struct fh_page fh_page_add(struct fh_page p, uint64_t count)
{
    return (struct fh_page){p.v + count};
}

/* Pages that `size_bytes` need when they start at a page's first byte. */
static inline uint64_t fh_pages_for(uint64_t size_bytes)
{
    return (size_bytes + FH_PAGE_SIZE - 1) >> FH_PAGE_SHIFT;
}

#endif
