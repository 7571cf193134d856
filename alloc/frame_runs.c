/*
 * Theory.  The buddy of a run of 2^k frames differs from it in one bit of its number, so free runs are all there is to
 * remember: a bit per possible run and order, with summaries to find the lowest. A run that is given out is forgotten
 * altogether. Its frames come back one at a time, as their references drop, and each joins its buddy while that
 * is free too; so nothing has to be known about how a frame was taken.
 *
 *   order 2   [ 0 ............... 3 ][ 4 free ........... 7 ]
 *   order 1   [ 0 free . 1 ][ 2 ... 3 ]                          frames 0, 1 are free as a pair,
 *   order 0                 [ 2 ][ 3 free ]                      2 is taken, 3 is free
 *
 * A number of frames that is no multiple of the longest run is tiled by the longest that fit.
 *
 * Invariants
 *   [I1] no frame lies in two free runs, and none outside the region
 *   [I2] runs[k] is the number of items in free[k]
 *   [I3] no two buddies below the highest order are both free
 * Source: Knuth, TAOCP 1, 2.5, the binary buddy system.
 */
#include "frame_runs.h"

#include <errno.h>
#include <inttypes.h>

#include "report.h"

enum { ORDER_TOP = FH_FRAME_ORDERS - 1 };

static uint64_t order_items(uint32_t total, uint32_t order)
{
    return (((uint64_t)total - 1) >> order) + 1;
}

static void runs_add(struct fh_frame_runs *r, uint32_t order, uint64_t item)
{
    FH_ASSERT(!fh_bitset_has(&r->free[order], item)); /* [I1] */
    fh_bitset_add(&r->free[order], item);
    r->runs[order]++;
}

static void runs_remove(struct fh_frame_runs *r, uint32_t order, uint64_t item)
{
    FH_ASSERT(fh_bitset_has(&r->free[order], item)); /* [I2] */
    FH_ASSERT(r->runs[order] > 0);                   /* [I2] */
    fh_bitset_remove(&r->free[order], item);
    r->runs[order]--;
}

/* The longest run that may start at a frame and ends before `end`. */
static uint32_t order_at(uint32_t frame, uint32_t end)
{
    uint32_t order = frame == 0 ? ORDER_TOP : (uint32_t)__builtin_ctz(frame);
    uint32_t fits = fh_log2_floor(end - frame);

    order = order < ORDER_TOP ? order : ORDER_TOP;
    return order < fits ? order : fits;
}

int fh_frame_runs_init(struct fh_frame_runs *r, struct fh_mem *mem, uint32_t span)
{
    uint64_t words = 0;

    *r = (struct fh_frame_runs){.mem = mem, .span = span};
    for (uint32_t k = 0; k < FH_FRAME_ORDERS; k++)
        words += fh_bitset_words(order_items(span, k));
    r->words_size = words * sizeof(*r->words);
    r->words = fh_mem_map(mem, r->words_size);
    if (!r->words)
        return -ENOMEM;
    words = 0;
    for (uint32_t k = 0; k < FH_FRAME_ORDERS; k++) {
        fh_bitset_init(&r->free[k], r->words + words, order_items(span, k));
        words += fh_bitset_words(order_items(span, k));
    }
    return 0;
}

void fh_frame_runs_fini(struct fh_frame_runs *r)
{
    fh_mem_unmap(r->mem, r->words, r->words_size);
    r->words = NULL;
}

/* The smallest order from `order` up that has a free run, else the largest below; FH_FRAME_ORDERS: none. */
static uint32_t runs_best_order(const struct fh_frame_runs *r, uint32_t order)
{
    for (uint32_t k = order; k < FH_FRAME_ORDERS; k++)
        if (r->runs[k] > 0)
            return k;
    for (uint32_t k = order; k-- > 0;)
        if (r->runs[k] > 0)
            return k;
    return FH_FRAME_ORDERS;
}

uint32_t fh_frame_runs_take(struct fh_frame_runs *r, uint32_t order, uint32_t *first)
{
    FH_ASSERT(order < FH_FRAME_ORDERS);
    uint32_t k = runs_best_order(r, order);

    if (k == FH_FRAME_ORDERS)
        return 0;
    uint64_t item = fh_bitset_lowest(&r->free[k]);
    runs_remove(r, k, item);
    while (k > order) { /* the lower half goes on, the upper half is free */
        k--;
        item *= 2;
        runs_add(r, k, item + 1);
    }
    *first = (uint32_t)(item << k);
    return 1u << k;
}

/* A run is free; it joins its buddy while that is free too. */
static void runs_join(struct fh_frame_runs *r, uint32_t k, uint64_t item)
{
    while (k < ORDER_TOP && (item ^ 1) < order_items(r->span, k) &&
           fh_bitset_has(&r->free[k], item ^ 1)) {
        runs_remove(r, k, item ^ 1);
        item >>= 1;
        k++;
    }
    runs_add(r, k, item);
}

void fh_frame_runs_give(struct fh_frame_runs *r, uint32_t frame)
{
    FH_ASSERT(frame < r->span);
    runs_join(r, 0, frame);
}

void fh_frame_runs_add(struct fh_frame_runs *r, uint32_t first, uint32_t count)
{
    uint32_t end = first + count;

    FH_ASSERT(first <= end);
    FH_ASSERT(end <= r->span);
    for (uint32_t frame = first; frame < end;) {
        uint32_t order = order_at(frame, end);
        runs_join(r, order, frame >> order);
        frame += 1u << order;
    }
}

/* The order of the free run a frame lies in; FH_FRAME_ORDERS: none. */
static uint32_t runs_order_of(const struct fh_frame_runs *r, uint32_t frame)
{
    uint32_t k = 0;

    while (k < FH_FRAME_ORDERS && !fh_bitset_has(&r->free[k], frame >> k))
        k++;
    return k;
}

/* Takes the free run of a frame out; what of it lies outside [first, end) stays free. Returns where what is out ends. */
static uint32_t runs_cut(struct fh_frame_runs *r, uint32_t k, uint32_t frame, uint32_t first,
                         uint32_t end)
{
    uint64_t item = frame >> k;

    runs_remove(r, k, item);
    while (item << k < first || (item + 1) << k > end) {
        k--;
        item = frame >> k;
        runs_add(r, k, item ^ 1);
    }
    return (uint32_t)((item + 1) << k);
}

uint32_t fh_frame_runs_remove(struct fh_frame_runs *r, uint32_t first, uint32_t count)
{
    uint32_t end = first + count;
    uint32_t removed = 0;

    FH_ASSERT(first <= end);
    FH_ASSERT(end <= r->span);
    for (uint32_t frame = first; frame < end;) {
        uint32_t k = runs_order_of(r, frame);
        uint32_t next = k < FH_FRAME_ORDERS ? runs_cut(r, k, frame, first, end) : frame + 1;
        removed += k < FH_FRAME_ORDERS ? next - frame : 0;
        frame = next;
    }
    return removed;
}

void fh_frame_runs_stats(const struct fh_frame_runs *r, struct fh_frame_runs_stats *out)
{
    *out = (struct fh_frame_runs_stats){.free_frames = 0};
    for (uint32_t k = 0; k < FH_FRAME_ORDERS; k++) {
        out->free_runs[k] = r->runs[k];
        out->free_frames += r->runs[k] << k;
    }
}

/* Whether the frames of a run lie in a free run of a higher order too. */
static bool run_is_covered(const struct fh_frame_runs *r, uint32_t order, uint64_t item)
{
    for (uint32_t k = order + 1; k < FH_FRAME_ORDERS; k++)
        if (fh_bitset_has(&r->free[k], item >> (k - order)))
            return true;
    return false;
}

static void check_order(const struct fh_frame_runs *r, uint32_t order, struct fh_report *report)
{
    uint64_t items = order_items(r->span, order);
    uint64_t count = 0;

    for (uint64_t i = 0; i < items; i++) {
        if (!fh_bitset_has(&r->free[order], i))
            continue;
        count++;
        if (run_is_covered(r, order, i) || ((i + 1) << order) > r->span)
            fh_report(report, "[I1] order %u item %" PRIu64 ": overlaps another, or the end", order,
                      i);
        if (order < ORDER_TOP && (i ^ 1) < items && fh_bitset_has(&r->free[order], i ^ 1))
            fh_report(report, "[I3] order %u item %" PRIu64 ": its buddy is free too", order, i);
    }
    if (count != r->runs[order])
        fh_report(report, "[I2] order %u: %" PRIu64 " runs, counted %" PRIu64, order,
                  r->runs[order], count);
}

bool fh_frame_runs_check(const struct fh_frame_runs *r, FILE *why)
{
    struct fh_report report = {.out = why, .lines_max = 20};

    for (uint32_t k = 0; k < FH_FRAME_ORDERS; k++)
        check_order(r, k, &report);
    return report.broken == 0;
}

void fh_frame_runs_dump(const struct fh_frame_runs *r, FILE *out)
{
    fprintf(out, "free runs by order:");
    for (uint32_t k = 0; k < FH_FRAME_ORDERS; k++)
        fprintf(out, " %" PRIu64, r->runs[k]);
    fputc('\n', out);
}
