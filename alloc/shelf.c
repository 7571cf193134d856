/*
 * Theory.  A bitmap says which pages of the file are taken. A run is looked for from behind the last
 * one on, and from the beginning when the end is reached: the file has holes where nothing is kept,
 * so using fresh addresses costs nothing, and new objects lie behind each other. Words that are full
 * or empty are passed in one step.
 *
 * Invariants
 *   [I1] used is the number of bits in `taken`
 *   [I2] the runs of `starts` cover the taken pages, each once; count is how many there are
 */
#include "shelf.h"

#include <errno.h>
#include <inttypes.h>

#include "bits.h"
#include "crc.h"
#include "ids.h"
#include "report.h"

enum { PAGES_MAX = 1 << 28 };

static size_t bitmap_bytes(const struct fh_shelf *s)
{
    return (s->pages + 63) / 64 * sizeof(uint64_t);
}

int fh_shelf_init(struct fh_shelf *s, struct fh_mem *mem, uint64_t pages)
{
    FH_ASSERT(pages > 0 && pages <= PAGES_MAX);
    *s = (struct fh_shelf){.mem = mem, .pages = pages};
    s->taken = fh_mem_map(mem, bitmap_bytes(s));
    s->starts = fh_mem_map(mem, pages * sizeof(*s->starts));
    s->sums = fh_mem_map(mem, pages * sizeof(*s->sums));
    if (s->taken && s->starts && s->sums)
        return 0;
    fh_shelf_fini(s);
    return -ENOMEM;
}

void fh_shelf_fini(struct fh_shelf *s)
{
    fh_mem_unmap(s->mem, s->taken, bitmap_bytes(s));
    fh_mem_unmap(s->mem, s->starts, s->pages * sizeof(*s->starts));
    fh_mem_unmap(s->mem, s->sums, s->pages * sizeof(*s->sums));
    s->taken = NULL;
    s->starts = NULL;
    s->sums = NULL;
}

/* The first page from `at` on that is free (or taken), or `end`. */
static uint64_t shelf_next(const struct fh_shelf *s, uint64_t at, uint64_t end, bool taken)
{
    while (at < end) {
        uint64_t word = taken ? s->taken[at / 64] : ~s->taken[at / 64];
        word &= UINT64_MAX << at % 64;
        if (word != 0)
            return fh_min_u64(at / 64 * 64 + (uint64_t)__builtin_ctzll(word), end);
        at = (at / 64 + 1) * 64;
    }
    return end;
}

uint64_t fh_shelf_next(const struct fh_shelf *s, uint64_t at, bool taken)
{
    return shelf_next(s, at, s->pages, taken);
}

/* A free run in [from, end), or `end`. */
static uint64_t shelf_search(const struct fh_shelf *s, uint64_t from, uint64_t end, uint64_t pages)
{
    while (from < end) {
        uint64_t start = shelf_next(s, from, end, false);
        if (end - start < pages)
            return end;
        uint64_t stop = shelf_next(s, start, start + pages, true);
        if (stop - start == pages)
            return start;
        from = stop;
    }
    return end;
}

static void shelf_mark(struct fh_shelf *s, uint64_t place, uint64_t pages, uint32_t owner)
{
    for (uint64_t i = 0; i < pages; i++)
        fh_bit_set(s->taken, place + i);
    s->starts[place] = (struct fh_shelf_start){owner, (uint32_t)pages};
    s->used += pages;
    s->count++;
}

int fh_shelf_take(struct fh_shelf *s, uint64_t pages, uint32_t owner, uint64_t *place)
{
    static const uint8_t zeros[FH_PAGE_SIZE];
    uint32_t sum = fh_crc32c(0, zeros, sizeof(zeros));
    uint64_t at = shelf_search(s, s->cursor, s->pages, pages);

    FH_ASSERT(pages > 0);
    if (at == s->pages)
        at = shelf_search(s, 0, s->pages, pages);
    if (at == s->pages)
        return -ENOSPC;
    shelf_mark(s, at, pages, owner);
    for (uint64_t i = 0; i < pages; i++)
        s->sums[at + i] = sum;
    s->cursor = at + pages;
    *place = at;
    return 0;
}

int fh_shelf_take_at(struct fh_shelf *s, uint64_t place, uint64_t pages, uint32_t owner)
{
    if (pages == 0 || place >= s->pages || pages > s->pages - place ||
        shelf_next(s, place, place + pages, true) != place + pages)
        return -EINVAL;
    shelf_mark(s, place, pages, owner);
    return 0;
}

void fh_shelf_give(struct fh_shelf *s, uint64_t place)
{
    uint64_t pages = fh_shelf_at(s, place).pages;

    FH_ASSERT(pages > 0);
    for (uint64_t i = 0; i < pages; i++)
        fh_bit_clear(s->taken, place + i);
    s->starts[place] = (struct fh_shelf_start){0};
    s->used -= pages;
    s->count--;
}

void fh_shelf_pass(struct fh_shelf *s, uint64_t place, uint32_t owner)
{
    FH_ASSERT(fh_shelf_at(s, place).pages > 0);
    s->starts[place].owner = owner;
}

struct fh_shelf_start fh_shelf_at(const struct fh_shelf *s, uint64_t place)
{
    return place < s->pages ? s->starts[place] : (struct fh_shelf_start){0};
}

uint64_t fh_shelf_start_of(const struct fh_shelf *s, uint64_t place)
{
    while (s->starts[place].pages == 0) {
        FH_ASSERT(place > 0);
        place--;
    }
    return place;
}

bool fh_shelf_check(const struct fh_shelf *s, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint64_t used = 0, covered = 0, count = 0;
    uint64_t at = shelf_next(s, 0, s->pages, true);

    while (at < s->pages) {
        uint64_t end = shelf_next(s, at, s->pages, false);
        used += end - at;
        while (at < end) {
            uint64_t pages = s->starts[at].pages;
            if (pages == 0 || pages > end - at) {
                fh_report(&r, "[I2] page %" PRIu64 ": no run that ends before %" PRIu64, at, end);
                break;
            }
            covered += pages;
            count++;
            at += pages;
        }
        at = shelf_next(s, end, s->pages, true);
    }
    if (used != s->used)
        fh_report(&r, "[I1] %" PRIu64 " pages taken, counted %" PRIu64, s->used, used);
    if (covered != used || count != s->count)
        fh_report(&r, "[I2] %" PRIu64 " runs, counted %" PRIu64 " of %" PRIu64 " pages", s->count,
                  count, covered);
    return r.broken == 0;
}

void fh_shelf_dump(const struct fh_shelf *s, FILE *out)
{
    fprintf(out, "shelf: %" PRIu64 " of %" PRIu64 " pages taken, in %" PRIu64 " runs\n", s->used,
            s->pages, s->count);
}
