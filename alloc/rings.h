/*
 * rings: which pages mirror each other. A view is a run of pages whose entries were copied from
 * those of another run, its origin; page i of a view and page i of its origin may name the same
 * frame or slot.
 *
 * Who evicts or reads in a shared page must change every entry that names it: the ring of a page is
 * the page at the origin and its mirror in each view of that origin.
 *
 * Ownership  a view struct is its owner's; rings only links it.
 * Cost       O(views of the zone) per walk; nothing when there are none.
 */
#ifndef FH_ALLOC_RINGS_H
#define FH_ALLOC_RINGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ids.h"
#include "list.h"

struct fh_view {
    struct fh_list link;
    struct fh_page base;   /* the view's own first page */
    struct fh_page origin; /* the page it mirrors */
    uint64_t pages;
    bool orphaned; /* the origin's block waits to be given back */
    bool shifted;  /* its entries are no copies: the origin's were moved here, to be dropped */
};

struct fh_rings {
    struct fh_list views;
    uint32_t count;
};

enum { FH_RINGS_VIEWS_MAX = 1024 };

void fh_rings_init(struct fh_rings *);
void fh_rings_add(struct fh_rings *, struct fh_view *, struct fh_page origin, struct fh_page base,
                  uint64_t pages);
void fh_rings_remove(struct fh_rings *, struct fh_view *);
/* The view goes on living in another struct; the old one is the caller's again. */
void fh_rings_relink(struct fh_rings *, struct fh_view *from, struct fh_view *to);
/* The origin's pages moved to another place in the space: views follow. */
void fh_rings_moved(struct fh_rings *, struct fh_page from, struct fh_page to, uint64_t pages);
/* Whether any view mirrors pages of this range. */
bool fh_rings_mirror(const struct fh_rings *, struct fh_page first, uint64_t pages);

/* Whether one of them is shifted. */
bool fh_rings_shifted(const struct fh_rings *, struct fh_page first, uint64_t pages);

/* The object of these pages is gone: the last view of it gives the block back. */
void fh_rings_orphan(struct fh_rings *, struct fh_page first, uint64_t pages);

struct fh_rings_stats {
    uint64_t views, pages; /* open now; pages they mirror */
};
void fh_rings_stats(const struct fh_rings *, struct fh_rings_stats *out);
bool fh_rings_check(const struct fh_rings *, FILE *why);
void fh_rings_dump(const struct fh_rings *, FILE *out);

/* A walk over the ring of a page, that page included: start with {0}, ends with false. */
struct fh_ring_walk {
    const struct fh_list *next;
    struct fh_page origin;
    bool started;
};
bool fh_rings_next(const struct fh_rings *, struct fh_page of, struct fh_ring_walk *,
                   struct fh_page *out);

#endif
