/*
 * Theory.  The space has 2^36 pages, its page table one word for each; as one array it would be 512
 * GiB of addresses. So it is cut by arenas: a table of 2^18 pointers, each to the 2^18 words of an
 * arena, made when the first page of that arena is written and read as zeros until then. Word 0 is
 * NOTHING, so neither an untouched table nor an untouched page of one costs memory.
 *
 *   page   35 .................. 18 17 ................. 0
 *          index into tables        index into entries
 *
 * Invariants
 *   [I1] used of a table is the number of its entries that are not NOTHING
 *   [I2] counts[s] is the number of entries in state s, over all tables, for every s but NOTHING
 */
#include "pagetable.h"

#include <errno.h>
#include <inttypes.h>

#include "bits.h"
#include "report.h"

enum { TABLE_BYTES = FH_ARENA_PAGES * (int)sizeof(uint64_t) };

static const char *const state_names[FH_PAGE_STATES] = {"nothing", "frame", "slot", "reading",
                                                        "failed"};

int fh_pagetable_init(struct fh_pagetable *t, struct fh_mem *mem)
{
    *t = (struct fh_pagetable){.mem = mem};
    t->tables = fh_mem_map(mem, FH_SPACE_ARENAS * sizeof(*t->tables));
    return t->tables ? 0 : -ENOMEM;
}

void fh_pagetable_fini(struct fh_pagetable *t)
{
    if (!t->tables)
        return;
    for (uint64_t i = 0; i < t->tables_end; i++)
        fh_mem_unmap(t->mem, t->tables[i].entries, TABLE_BYTES);
    fh_mem_unmap(t->mem, t->tables, FH_SPACE_ARENAS * sizeof(*t->tables));
    t->tables = NULL;
}

int fh_pagetable_touch(struct fh_pagetable *t, struct fh_page first, uint64_t count)
{
    if (count == 0)
        return 0;
    uint64_t last = (first.v + count - 1) >> FH_ARENA_PAGE_SHIFT;
    FH_ASSERT(last < FH_SPACE_ARENAS);

    for (uint64_t i = first.v >> FH_ARENA_PAGE_SHIFT; i <= last; i++) {
        if (t->tables[i].entries)
            continue;
        t->tables[i].entries = fh_mem_map(t->mem, TABLE_BYTES);
        if (!t->tables[i].entries)
            return -ENOMEM;
        t->tables_end = fh_max_u64(t->tables_end, i + 1);
    }
    return 0;
}

void fh_pagetable_trim(struct fh_pagetable *t, struct fh_page first, uint64_t count)
{
    uint64_t end = (first.v + count + FH_ARENA_PAGES - 1) >> FH_ARENA_PAGE_SHIFT;

    for (uint64_t i = first.v >> FH_ARENA_PAGE_SHIFT; i < end; i++) {
        if (t->tables[i].entries && t->tables[i].used == 0) {
            fh_mem_unmap(t->mem, t->tables[i].entries, TABLE_BYTES);
            t->tables[i].entries = NULL;
        }
    }
}

void fh_pagetable_set(struct fh_pagetable *t, struct fh_page p, struct fh_entry e)
{
    struct fh_table *table = &t->tables[p.v >> FH_ARENA_PAGE_SHIFT];
    FH_ASSERT(table->entries != NULL);

    uint64_t *word = &table->entries[p.v & (FH_ARENA_PAGES - 1)];
    enum fh_page_state before = fh_entry_state((struct fh_entry){*word});
    enum fh_page_state after = fh_entry_state(e);

    if (before == FH_PAGE_NOTHING && after != FH_PAGE_NOTHING)
        table->used++;
    if (before != FH_PAGE_NOTHING && after == FH_PAGE_NOTHING)
        table->used--;
    t->counts[before]--;
    t->counts[after]++;
    *word = e.v;
}

struct fh_page fh_pagetable_next(const struct fh_pagetable *t, struct fh_page from,
                                 struct fh_page end)
{
    while (from.v < end.v) {
        const struct fh_table *table = &t->tables[from.v >> FH_ARENA_PAGE_SHIFT];
        uint64_t table_end = (from.v | (FH_ARENA_PAGES - 1)) + 1;
        uint64_t stop = fh_min_u64(table_end, end.v);

        if (table->used != 0)
            for (; from.v < stop; from.v++)
                if (table->entries[from.v & (FH_ARENA_PAGES - 1)] != 0)
                    return from;
        from.v = stop;
    }
    return end;
}

static uint32_t count_table(const struct fh_table *table, uint64_t counts[FH_PAGE_STATES])
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < FH_ARENA_PAGES; i++) {
        if (table->entries[i] == 0)
            continue;
        used++;
        counts[fh_entry_state((struct fh_entry){table->entries[i]}) % FH_PAGE_STATES]++;
    }
    return used;
}

bool fh_pagetable_check(const struct fh_pagetable *t, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint64_t counts[FH_PAGE_STATES] = {0};

    for (uint64_t i = 0; i < t->tables_end; i++) {
        uint32_t used = t->tables[i].entries ? count_table(&t->tables[i], counts) : 0;
        if (used != t->tables[i].used)
            fh_report(&r, "[I1] table %" PRIu64 ": %u entries used, %u counted", i,
                      t->tables[i].used, used);
    }
    for (int s = FH_PAGE_FRAME; s < FH_PAGE_STATES; s++)
        if (counts[s] != t->counts[s])
            fh_report(&r, "[I2] state %s: %" PRIu64 " entries, %" PRIu64 " counted", state_names[s],
                      t->counts[s], counts[s]);
    return r.broken == 0;
}

void fh_pagetable_dump(const struct fh_pagetable *t, FILE *out)
{
    struct fh_page end = {UINT64_C(1) << FH_SPACE_PAGE_SHIFT};
    struct fh_page p = fh_pagetable_next(t, (struct fh_page){0}, end);

    fprintf(out, "page table:\n");
    for (; p.v < end.v; p = fh_pagetable_next(t, fh_page_add(p, 1), end)) {
        struct fh_entry e = fh_pagetable_get(t, p);
        fprintf(out, "  page %" PRIx64 " %s %u slot %u\n", p.v, state_names[fh_entry_state(e)],
                fh_entry_frame(e).v, fh_entry_slot(e).v);
    }
}
