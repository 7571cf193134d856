/*
 * Theory.  Advice changes no byte, only when bytes are in memory. What an object's users say about the
 * way they read it is a mark of its record, which the read-ahead policy is told with each touch. What
 * they say about a range is an errand (errands.h), done after the answer, in turns.
 *
 * A pin is more than advice: it is a promise. It is refused where it would be too much; else the range
 * is entered (pins.h) as under way, then read in window by window, as any reader would; when the last
 * page is there it is settled, and the answer is given. A page that cannot be read ends it: what it
 * had entered is taken back, and what was pinned before stays so.
 *
 *   pin      [ in memory, aside ... | being read | ....................... ]
 *            first                  cursor                                 end
 *
 * Pins belong to the bytes of an object: they go where these go, and end with them.
 */
#include <errno.h>

#include "bits.h"
#include "zone_private.h"

enum { PIN_LOOKS = 2048 /* pages, before others get their turn */ };

/* --- pins and the life of objects --- */

bool fh_zone_is_pinned(const struct fh_zone *z, const struct fh_object *o)
{
    return z->pager.pins.count > 0 &&
           fh_pins_bytes(&z->pager.pins, o->addr, fh_object_addr(o, fh_object_size(o))) > 0;
}

void fh_zone_unpin(struct fh_zone *z, struct fh_addr start, uint64_t size)
{
    struct fh_addr end = {start.v + size};

    if (z->pager.pins.count > 0 && size > 0 && fh_pins_forget(&z->pager.pins, start, end))
        fh_pager_repin(&z->pager, fh_page_of_addr(start), fh_pages_of_range(start, size));
}

void fh_zone_move_pins(struct fh_zone *z, struct fh_addr from, struct fh_addr to, uint64_t size)
{
    if (z->pager.pins.count > 0 && size > 0)
        fh_pins_move(&z->pager.pins, from, to, size);
}

/* --- pin --- */

static void pin_undo(struct fh_advise *a)
{
    struct fh_pager *p = &a->zone->pager;

    if (a->taker != 0 && fh_pins_undo(&p->pins, a->taker)) {
        p->pins_left = true; /* the object may have moved: whichever frames they are */
        p->swept_to = 0;
    }
    a->taker = 0;
}

/* Enters the range, once. */
static int pin_begin(struct fh_advise *a, struct fh_addr start, struct fh_addr end)
{
    struct fh_pager *p = &a->zone->pager;

    a->cursor = fh_page_of_addr(start);
    return fh_pins_add(&p->pins, start, end, fh_pager_pins_max(p), &a->taker);
}

static enum fh_page_state pin_state(const struct fh_pager *p, struct fh_page page)
{
    return fh_pager_state_of(p, page, fh_pagetable_get(&p->table, page));
}

/* How many pages from `page` on are not in memory, as many as may be held. */
static uint32_t pin_absent(const struct fh_pager *p, struct fh_page page, struct fh_page end)
{
    uint32_t run = 0;

    for (; page.v + run < end.v && run < p->opts.hold_max; run++) {
        struct fh_page q = fh_page_add(page, run);
        enum fh_page_state state = pin_state(p, q);
        if (state != FH_PAGE_SLOT && state != FH_PAGE_FILE && state != FH_PAGE_READING)
            break;
    }
    return run;
}

/* Brings the pages from the cursor to `end` into memory, aside. */
static int pin_fetch(struct fh_advise *a, struct fh_page end)
{
    struct fh_pager *p = &a->zone->pager;
    int rc;

    for (uint32_t looks = 0; a->cursor.v < end.v; looks++) {
        if (looks == PIN_LOOKS)
            return fh_pager_give_way(p, &a->call);
        if (pin_state(p, a->cursor) == FH_PAGE_FAILED)
            return -EBADMSG;
        uint32_t absent = pin_absent(p, a->cursor, end);
        if (absent > 0) {
            if ((rc = fh_pager_hold(p, &a->call, &a->hold, a->cursor, absent)) != 0)
                return rc;
            fh_pager_release(p, &a->hold);
        }
        fh_pager_repin(p, a->cursor, 1);
        a->cursor = fh_pager_file_of(p, a->cursor, NULL)
                        ? fh_page_add(a->cursor, 1)
                        : fh_pagetable_next(&p->table, fh_page_add(a->cursor, 1), end);
    }
    return 0;
}

static int pin_step(struct fh_advise *a, const struct fh_object *o, uint64_t size)
{
    struct fh_pager *p = &a->zone->pager;
    struct fh_addr start = fh_object_addr(o, a->offset), end = fh_object_addr(o, a->offset + size);
    struct fh_addr low = fh_object_addr(o, 0), high = fh_object_addr(o, fh_object_size(o));
    int rc;

    if (a->taker == 0 && (rc = pin_begin(a, start, end)) != 0)
        return rc;
    if ((rc = pin_fetch(a, fh_page_add(fh_page_of_addr(start), fh_pages_of_range(start, size)))) !=
        0)
        return rc;
    fh_pins_settle(&p->pins, a->taker, start, end, low, high);
    a->taker = 0;
    return 0;
}

/* --- all kinds --- */

static int advise_unpin(struct fh_zone *z, struct fh_addr start, uint64_t size)
{
    int rc = fh_pins_remove(&z->pager.pins, start, (struct fh_addr){start.v + size});

    if (rc == 0)
        fh_pager_repin(&z->pager, fh_page_of_addr(start), fh_pages_of_range(start, size));
    return rc;
}

static int advise_errand(struct fh_zone *z, enum fh_errand_kind kind, struct fh_addr start,
                         uint64_t size)
{
    struct fh_page first = fh_page_of_addr(start);
    struct fh_page end = fh_page_add(first, fh_pages_of_range(start, size));

    z->pager.again = true;
    return fh_errands_add(&z->errands, &z->pager, kind, first, end, z->now_ms);
}

static void advise_pattern(const struct fh_object *o, enum fh_pattern pattern)
{
    if (o->large) /* a small one lies on a page or a few, which are read together anyway */
        o->large->pattern = pattern & 3u;
}

static int advise_range(struct fh_advise *a, const struct fh_object *o, uint64_t size)
{
    struct fh_addr start = fh_object_addr(o, a->offset);

    switch (a->kind) {
    case FH_ADVICE_NORMAL:
    case FH_ADVICE_SEQUENTIAL:
    case FH_ADVICE_RANDOM:
        break;
    case FH_ADVICE_WILLNEED:
        return advise_errand(a->zone, FH_ERRAND_READ_IN, start, size);
    case FH_ADVICE_COLD:
        return advise_errand(a->zone, FH_ERRAND_COOL, start, size);
    case FH_ADVICE_DONTNEED:
        return advise_errand(a->zone, FH_ERRAND_LET_GO, start, size);
    case FH_ADVICE_PIN:
        return pin_step(a, o, size);
    case FH_ADVICE_UNPIN:
        return advise_unpin(a->zone, start, size);
    }
    return 0;
}

static int advise_object(struct fh_advise *a)
{
    struct fh_object o;
    int rc = fh_zone_resolve(a->zone, &a->ref, &o);

    if (rc != 0)
        return rc;
    uint64_t whole = fh_object_size(&o);
    uint64_t size = a->size;
    if (a->taker != 0 && a->offset < whole)
        size = fh_min_u64(size, whole - a->offset); /* it was cut meanwhile, and its pins with it */
    if (a->offset > whole || size > whole - a->offset)
        return -EINVAL;
    if (a->kind == FH_ADVICE_SEQUENTIAL)
        advise_pattern(&o, FH_PATTERN_SEQUENTIAL);
    else if (a->kind == FH_ADVICE_RANDOM)
        advise_pattern(&o, FH_PATTERN_RANDOM);
    else if (a->kind == FH_ADVICE_NORMAL)
        advise_pattern(&o, FH_PATTERN_NORMAL);
    if (size > 0 && (rc = advise_range(a, &o, size)) != 0)
        return rc;
    fh_zone_describe(a->zone, &o, &a->object);
    return 0;
}

static int advise_step(struct fh_call *call)
{
    struct fh_advise *a = FH_CONTAINER_OF(call, struct fh_advise, call);
    int rc = fh_hold_is_bound(&a->hold) ? a->hold.error : 0;

    fh_pager_release(&a->zone->pager, &a->hold);
    if (rc == 0)
        rc = advise_object(a);
    if (rc != 0 && rc != -EINPROGRESS)
        pin_undo(a);
    return rc;
}

int fh_zone_advise(struct fh_zone *z, struct fh_advise *a)
{
    a->zone = z;
    a->taker = 0;
    fh_hold_init(&a->hold);
    fh_call_init(&a->call, advise_step);
    return advise_step(&a->call);
}

void fh_zone_advise_cancel(struct fh_advise *a)
{
    fh_pager_cancel(&a->zone->pager, &a->call);
    pin_undo(a);
}
