/*
 * Theory.  Advice is answered at once and followed afterwards. A turn has a budget of entries to look
 * at; the errands take it in order of arrival, and one that has to wait for the disk lets the next one
 * pass. Stretches of pages that have no entry cost one look.
 *
 *   errand   [ done ........ | to be done ........ ]
 *                            next                  end
 *
 * An errand that has not moved for GIVE_UP_MS, because memory or disk have no room, is given up: it
 * was only advice. Pages are read in down to the middle between the marks `min` and `low`, so that
 * reclaim is woken but nobody has to wait; and never more than a quarter of memory, or the last pages
 * would push out the first.
 *
 * Invariants
 *   [I1] the first `count` items are errands, each with next <= end
 */
#include "errands.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bits.h"
#include "pager.h"
#include "reclaim.h"
#include "report.h"

enum { STRETCH = 64 * FH_LEAF_PAGES, READ_PIECE = 256, READ_SHARE = 4, GIVE_UP_MS = 1000 };

void fh_errands_init(struct fh_errands *e)
{
    *e = (struct fh_errands){.slice = FH_ERRANDS_SLICE};
}

int fh_errands_add(struct fh_errands *e, const struct fh_pager *p, enum fh_errand_kind kind,
                   struct fh_page first, struct fh_page end, uint64_t now_ms)
{
    if (e->count == FH_ERRANDS_MAX)
        return -EBUSY;
    e->items[e->count++] = (struct fh_errand){.kind = kind,
                                              .next = first,
                                              .end = end,
                                              .left = p->frames.total / READ_SHARE,
                                              .moved_ms = now_ms};
    return 0;
}

static void errand_remove(struct fh_errands *e, uint32_t i)
{
    e->count--;
    memmove(e->items + i, e->items + i + 1, (e->count - i) * sizeof(e->items[0]));
    e->stats.done++;
}

void fh_errands_forget(struct fh_errands *e, struct fh_page first, struct fh_page end)
{
    for (uint32_t i = e->count; i-- > 0;)
        if (e->items[i].next.v < end.v && e->items[i].end.v > first.v)
            errand_remove(e, i);
}

/* The end of what may be done at once; where nothing is, that is skipped. */
static struct fh_page errand_stretch(const struct fh_pager *p, struct fh_errand *errand,
                                     uint32_t *looks)
{
    struct fh_page end =
        fh_page_add(errand->next, fh_min_u64(errand->end.v - errand->next.v, (uint64_t)STRETCH));
    bool of_file = fh_pager_file_of(p, errand->next, NULL) != NULL;

    --*looks;
    if (errand->kind != FH_ERRAND_READ_IN || !of_file)
        errand->next = fh_pagetable_next(&p->table, errand->next, end);
    return end;
}

static bool errand_read_in(struct fh_errand *errand, struct fh_pager *p, const struct fh_reclaim *r,
                           struct fh_page end, uint32_t *looks)
{
    uint32_t min = p->opts.free_min;
    uint32_t keep = r->low > min ? min + (r->low - min) / 2 : min;
    uint64_t count = fh_min_u64(end.v - errand->next.v, fh_min_u64(*looks, READ_PIECE));
    struct fh_page wanted = fh_page_add(errand->next, fh_min_u64(count, errand->left));

    errand->left -= wanted.v - errand->next.v;
    struct fh_page to =
        fh_pager_read_ahead(p, errand->next, wanted.v - errand->next.v, errand->next, 0, keep);
    bool moved = to.v >= wanted.v;
    errand->left += wanted.v - fh_min_u64(to.v, wanted.v);
    *looks -= (uint32_t)fh_min_u64(*looks, to.v - errand->next.v);
    errand->next = errand->left == 0 ? errand->end : to;
    return moved;
}

/* One step; false: not before something else has ended. */
static bool errand_step(struct fh_errand *errand, struct fh_pager *p, struct fh_reclaim *r,
                        uint32_t *looks)
{
    struct fh_page end = errand_stretch(p, errand, looks);
    bool moved = true;

    if (errand->next.v >= end.v || *looks == 0)
        return true;
    switch (errand->kind) {
    case FH_ERRAND_READ_IN:
        moved = errand_read_in(errand, p, r, end, looks);
        break;
    case FH_ERRAND_COOL:
        errand->next = fh_pager_cool(p, errand->next, end, looks);
        break;
    case FH_ERRAND_LET_GO:
        moved = fh_reclaim_let_go(r, &errand->next, end, looks);
        break;
    }
    return moved;
}

static void errand_go(struct fh_errand *errand, struct fh_pager *p, struct fh_reclaim *r,
                      uint32_t *looks, uint64_t now_ms)
{
    bool moves = true;

    while (moves && *looks > 0 && errand->next.v < errand->end.v) {
        uint64_t from = errand->next.v;
        moves = errand_step(errand, p, r, looks);
        if (errand->next.v > from)
            errand->moved_ms = now_ms;
    }
}

bool fh_errands_turn(struct fh_errands *e, struct fh_pager *p, struct fh_reclaim *r,
                     uint64_t now_ms)
{
    uint32_t looks = e->slice;

    for (uint32_t i = 0; i < e->count && looks > 0;) {
        struct fh_errand *errand = &e->items[i];
        errand_go(errand, p, r, &looks, now_ms);
        bool over = errand->next.v >= errand->end.v;
        bool given_up = !over && looks > 0 && now_ms > errand->moved_ms + GIVE_UP_MS;
        e->stats.given_up += given_up;
        if (over || given_up)
            errand_remove(e, i);
        else
            i++;
    }
    e->stats.turn_most = fh_max_u64(e->stats.turn_most, e->slice - looks);
    return looks == 0 && e->count > 0;
}

/* --- looking inside --- */

void fh_errands_stats(const struct fh_errands *e, struct fh_errands_stats *out)
{
    *out = e->stats;
    out->waiting = e->count;
}

bool fh_errands_check(const struct fh_errands *e, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};

    if (e->count > FH_ERRANDS_MAX)
        fh_report(&r, "[I1] %u errands", e->count);
    for (uint32_t i = 0; i < e->count && i < FH_ERRANDS_MAX; i++)
        if (e->items[i].next.v > e->items[i].end.v)
            fh_report(&r, "[I1] errand %u: at %" PRIx64 ", beyond %" PRIx64, i, e->items[i].next.v,
                      e->items[i].end.v);
    return r.broken == 0;
}

void fh_errands_dump(const struct fh_errands *e, FILE *out)
{
    static const char *const kinds[] = {"read in", "cool", "let go"};

    fprintf(out, "errands: %u, %" PRIu64 " done\n", e->count, e->stats.done);
    for (uint32_t i = 0; i < e->count; i++)
        fprintf(out, "  %s %" PRIx64 " to %" PRIx64 "\n", kinds[e->items[i].kind],
                e->items[i].next.v, e->items[i].end.v);
}
