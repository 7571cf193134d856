/*
 * pins: which bytes of the space are to stay in memory, as runs that do not overlap. Pure
 * book-keeping: no frames, no page table.
 *
 * Who pins a range has its runs marked as his own until he settles them, so that a pin which fails
 * later takes back what it added and nothing else.
 *
 * Units      bytes of the space; pages where a name says so. A page counts once, however many runs
 *            touch it.
 * Ownership  caller owns the struct; mem outlives it.
 * Threads    one zone thread.
 * Errors     -EDQUOT more pages, or runs, than may be; -EBUSY a pin of the range is under way;
 *            -ENOMEM. A call that failed changed nothing.
 * Cost       has: O(log runs). Changes: O(runs).
 */
#ifndef FH_ALLOC_PINS_H
#define FH_ALLOC_PINS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "ids.h"
#include "mem.h"

enum { FH_PINS_MAX = 65536 };

struct fh_pin {
    struct fh_addr start, end; /* of one object */
    uint32_t taker;            /* who has not settled it; 0 = nobody */
};

struct fh_pins {
    struct fh_mem *mem;
    struct fh_pin *runs; /* by start [I1] */
    uint32_t count, room;
    uint32_t taker; /* the last one given out */
    uint64_t pages; /* that runs touch [I2] */
};

void fh_pins_init(struct fh_pins *, struct fh_mem *);
void fh_pins_fini(struct fh_pins *);

/* [start, end), not empty, is pinned where it was not, by a new *taker, if at most pages_max pages
 * are pinned then. */
FH_CHECKED int fh_pins_add(struct fh_pins *, struct fh_addr start, struct fh_addr end,
                           uint64_t pages_max, uint32_t *taker);
/* What the taker added in [start, end) stays. Runs that meet inside [low, high), the object, become
 * one. */
void fh_pins_settle(struct fh_pins *, uint32_t taker, struct fh_addr start, struct fh_addr end,
                    struct fh_addr low, struct fh_addr high);
/* What the taker added and not settled goes, wherever it is; true: there was some. */
bool fh_pins_undo(struct fh_pins *, uint32_t taker);
/* [start, end) is not pinned any more. -ENOMEM, -EDQUOT only where it is a part in the middle of a
 * run. */
FH_CHECKED int fh_pins_remove(struct fh_pins *, struct fh_addr start, struct fh_addr end);
/* The same of a range that no run goes beyond, such as the end of an object; true: something of it
 * was pinned. */
bool fh_pins_forget(struct fh_pins *, struct fh_addr start, struct fh_addr end);
/* The runs of [from, from + size), which no run goes beyond, lie as far from `to`, where none is. */
void fh_pins_move(struct fh_pins *, struct fh_addr from, struct fh_addr to, uint64_t size);

/* Whether a run touches the page. */
bool fh_pins_has(const struct fh_pins *, struct fh_page);
/* Whether one that is settled does. */
bool fh_pins_has_settled(const struct fh_pins *, struct fh_page);
/* The first pinned page from `from` on, and where its run's pages end; false: there is none. */
bool fh_pins_next(const struct fh_pins *, struct fh_page from, struct fh_page *first,
                  struct fh_page *end);
/* Pages of runs within [start, end), and bytes of them. */
uint64_t fh_pins_pages(const struct fh_pins *, struct fh_addr start, struct fh_addr end);
uint64_t fh_pins_bytes(const struct fh_pins *, struct fh_addr start, struct fh_addr end);

struct fh_pins_stats {
    uint64_t runs, pages;
};
void fh_pins_stats(const struct fh_pins *, struct fh_pins_stats *out);
bool fh_pins_check(const struct fh_pins *, FILE *why);
void fh_pins_dump(const struct fh_pins *, FILE *out);

#endif
