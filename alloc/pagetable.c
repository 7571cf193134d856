/*
 * Theory.  The space has 2^36 pages, its page table one word for each; as one array it would be 512
 * GiB of addresses. It is a tree of three levels: an entry per arena, lazily touched; for an arena
 * with a page in it 4096 pointers; and leaves of 64 words. A leaf is half a KiB, so a lone page
 * costs an eighth of itself in books, the first one of its arena the 32 KiB of pointers besides,
 * and pages side by side 8 bytes and a quarter.
 *
 *   page   35 ........... 18 17 ........... 6 5 ....... 0
 *          tables            leaves           entries
 *
 * Leaves come by touch, before a change, so that the change itself cannot fail; empty ones go by
 * trim, when a block is given back. A leaf may serve several small blocks, so between a touch and
 * the change that it is for nothing may be given back; what is filled over several turns pins its
 * leaves.
 *
 * Invariants
 *   [I1] used of a leaf, and of a table, is the number of entries in it that are not NOTHING
 *   [I2] counts[s] is the number of entries in state s, over all leaves, for every s but NOTHING
 *   [I3] count of a table is the number of its leaves; it has pointers if and only if it has leaves
 */
#include "pagetable.h"

#include <errno.h>
#include <inttypes.h>

#include "bits.h"
#include "report.h"

enum { POINTERS_SIZE = FH_ARENA_LEAVES * (int)sizeof(struct fh_leaf *) };

static const char *const state_names[FH_PAGE_STATES] = {"nothing", "frame",  "slot", "file",
                                                        "reading", "failed", "zero"};

int fh_pagetable_init(struct fh_pagetable *t, struct fh_mem *mem)
{
    *t = (struct fh_pagetable){.mem = mem};
    t->tables = fh_mem_map(mem, FH_SPACE_ARENAS * sizeof(*t->tables));
    return t->tables ? 0 : -ENOMEM;
}

static struct fh_table *table_of(const struct fh_pagetable *t, struct fh_page p)
{
    return &t->tables[p.v >> FH_ARENA_PAGE_SHIFT];
}

static uint32_t leaf_index(struct fh_page p)
{
    return (uint32_t)(p.v & (FH_ARENA_PAGES - 1)) / FH_LEAF_PAGES;
}

/* The first page after that of the same leaf. */
static struct fh_page leaf_end(struct fh_page p)
{
    return (struct fh_page){(p.v | (FH_LEAF_PAGES - 1)) + 1};
}

static struct fh_page table_end(struct fh_page p)
{
    return (struct fh_page){(p.v | (FH_ARENA_PAGES - 1)) + 1};
}

static void table_drop_leaf(struct fh_pagetable *t, struct fh_table *table, uint32_t index)
{
    fh_mem_give(t->mem, table->leaves[index], sizeof(struct fh_leaf));
    table->leaves[index] = NULL;
    if (--table->count > 0)
        return;
    fh_mem_give(t->mem, (void *)table->leaves, POINTERS_SIZE);
    table->leaves = NULL;
}

static void table_drop(struct fh_pagetable *t, struct fh_table *table)
{
    for (uint32_t i = 0; table->leaves && i < FH_ARENA_LEAVES; i++)
        if (table->leaves[i])
            table_drop_leaf(t, table, i);
}

void fh_pagetable_fini(struct fh_pagetable *t)
{
    if (!t->tables)
        return;
    for (uint64_t i = 0; i < t->tables_end; i++)
        table_drop(t, &t->tables[i]);
    fh_mem_unmap(t->mem, t->tables, FH_SPACE_ARENAS * sizeof(*t->tables));
    t->tables = NULL;
}

static int pagetable_add_leaf(struct fh_pagetable *t, struct fh_page p)
{
    struct fh_table *table = table_of(t, p);
    struct fh_leaf *leaf = fh_mem_take(t->mem, sizeof(*leaf));

    if (leaf && !table->leaves)
        table->leaves = fh_mem_take(t->mem, POINTERS_SIZE);
    if (!leaf || !table->leaves) {
        fh_mem_give(t->mem, leaf, sizeof(*leaf));
        return -ENOMEM;
    }
    table->leaves[leaf_index(p)] = leaf;
    table->count++;
    t->tables_end = fh_max_u64(t->tables_end, (p.v >> FH_ARENA_PAGE_SHIFT) + 1);
    return 0;
}

int fh_pagetable_touch(struct fh_pagetable *t, struct fh_page first, uint64_t count)
{
    struct fh_page end = fh_page_add(first, count);

    FH_ASSERT(end.v <= UINT64_C(1) << FH_SPACE_PAGE_SHIFT);
    for (struct fh_page p = first; p.v < end.v; p = leaf_end(p))
        if (!fh_pagetable_leaf(t, p) && pagetable_add_leaf(t, p) != 0) {
            fh_pagetable_trim(t, first, p.v - first.v);
            return -ENOMEM;
        }
    return 0;
}

int fh_pagetable_pin(struct fh_pagetable *t, struct fh_page first, uint64_t count)
{
    struct fh_page end = fh_page_add(first, count);
    int rc = fh_pagetable_touch(t, first, count);

    if (rc != 0)
        return rc;
    for (struct fh_page p = first; p.v < end.v; p = leaf_end(p))
        fh_pagetable_leaf(t, p)->pins++;
    return 0;
}

void fh_pagetable_unpin(struct fh_pagetable *t, struct fh_page first, uint64_t count)
{
    struct fh_page end = fh_page_add(first, count);

    for (struct fh_page p = first; p.v < end.v; p = leaf_end(p)) {
        FH_ASSERT(fh_pagetable_leaf(t, p)->pins > 0);
        fh_pagetable_leaf(t, p)->pins--;
    }
}

int fh_pagetable_touch_like(struct fh_pagetable *t, struct fh_page from, struct fh_page to,
                            uint64_t count)
{
    struct fh_page end = fh_page_add(from, count);
    struct fh_page p = fh_pagetable_next(t, from, end);

    for (; p.v < end.v; p = fh_pagetable_next(t, leaf_end(p), end)) {
        struct fh_page stop = {fh_min_u64(leaf_end(p).v, end.v)};
        if (fh_pagetable_touch(t, fh_page_add(to, p.v - from.v), stop.v - p.v) != 0) {
            fh_pagetable_trim(t, to, count);
            return -ENOMEM;
        }
    }
    return 0;
}

/* Pages from here on that lie in one arena at both places. */
static uint64_t shift_piece(struct fh_page from, struct fh_page to, struct fh_page end)
{
    uint64_t piece = fh_min_u64(end.v - from.v, table_end(from).v - from.v);
    return fh_min_u64(piece, table_end(to).v - to.v);
}

static void table_give_if_empty(struct fh_pagetable *t, struct fh_table *table)
{
    if (table->count > 0 || !table->leaves)
        return;
    fh_mem_give(t->mem, (void *)table->leaves, POINTERS_SIZE);
    table->leaves = NULL;
}

static void shift_leaves(const struct fh_pagetable *t, struct fh_page from, struct fh_page to,
                         uint64_t count)
{
    struct fh_table *source = table_of(t, from), *target = table_of(t, to);

    for (uint64_t i = 0; i < count; i += FH_LEAF_PAGES) {
        struct fh_leaf *leaf = source->leaves[leaf_index(fh_page_add(from, i))];
        if (!leaf)
            continue;
        struct fh_leaf **place = &target->leaves[leaf_index(fh_page_add(to, i))];
        FH_ASSERT(leaf->pins == 0);
        FH_ASSERT(!*place || (*place)->used == 0);
        target->count += !*place;
        fh_mem_give(t->mem, *place, sizeof(**place)); /* one that was touched for nothing */
        *place = leaf;
        target->used += leaf->used;
        source->leaves[leaf_index(fh_page_add(from, i))] = NULL;
        source->count--;
        source->used -= leaf->used;
    }
}

/* Makes the pointers that the shift will need. */
static int shift_touch(struct fh_pagetable *t, struct fh_page from, struct fh_page to,
                       struct fh_page end)
{
    for (uint64_t piece; from.v < end.v;
         from = fh_page_add(from, piece), to = fh_page_add(to, piece)) {
        struct fh_table *target = table_of(t, to);
        piece = shift_piece(from, to, end);
        if (!table_of(t, from)->leaves || target->leaves || piece == FH_ARENA_PAGES)
            continue;
        target->leaves = fh_mem_take(t->mem, POINTERS_SIZE);
        if (!target->leaves)
            return -ENOMEM;
        t->tables_end = fh_max_u64(t->tables_end, (to.v >> FH_ARENA_PAGE_SHIFT) + 1);
    }
    return 0;
}

/* Moves the leaves; the pointers of what is left empty stay. */
static void shift_do(struct fh_pagetable *t, struct fh_page from, struct fh_page to,
                     struct fh_page end)
{
    for (uint64_t piece; from.v < end.v;
         from = fh_page_add(from, piece), to = fh_page_add(to, piece)) {
        struct fh_table *source = table_of(t, from), *target = table_of(t, to);
        piece = shift_piece(from, to, end);
        if (source->leaves && piece == FH_ARENA_PAGES && !target->leaves) {
            *target = *source;
            *source = (struct fh_table){0};
            t->tables_end = fh_max_u64(t->tables_end, (to.v >> FH_ARENA_PAGE_SHIFT) + 1);
        } else if (source->leaves) {
            shift_leaves(t, from, to, piece);
        }
    }
}

/* Gives back the pointers that lead to no leaf. */
static void shift_trim(struct fh_pagetable *t, struct fh_page from, struct fh_page to,
                       struct fh_page end)
{
    for (uint64_t piece; from.v < end.v;
         from = fh_page_add(from, piece), to = fh_page_add(to, piece)) {
        piece = shift_piece(from, to, end);
        table_give_if_empty(t, table_of(t, from));
        table_give_if_empty(t, table_of(t, to));
    }
}

int fh_pagetable_shift(struct fh_pagetable *t, struct fh_page from, struct fh_page to,
                       uint64_t count)
{
    struct fh_page end = fh_page_add(from, count);
    int rc = shift_touch(t, from, to, end);

    FH_ASSERT(from.v % FH_LEAF_PAGES == 0);
    FH_ASSERT(to.v % FH_LEAF_PAGES == 0);
    FH_ASSERT(count % FH_LEAF_PAGES == 0);
    if (rc == 0)
        shift_do(t, from, to, end);
    shift_trim(t, from, to, end);
    return rc;
}

void fh_pagetable_trim(struct fh_pagetable *t, struct fh_page first, uint64_t count)
{
    struct fh_page end = fh_page_add(first, count);

    for (struct fh_page p = first; p.v < end.v;) {
        struct fh_table *table = table_of(t, p);
        const struct fh_leaf *leaf = fh_pagetable_leaf(t, p);
        if (leaf && leaf->used == 0 && leaf->pins == 0)
            table_drop_leaf(t, table, leaf_index(p));
        p = table->leaves ? leaf_end(p) : table_end(p);
    }
}

void fh_pagetable_set(struct fh_pagetable *t, struct fh_page p, struct fh_entry e)
{
    struct fh_table *table = table_of(t, p);
    struct fh_leaf *leaf = fh_pagetable_leaf(t, p);
    FH_ASSERT(leaf != NULL);

    uint64_t *word = &leaf->entries[p.v % FH_LEAF_PAGES];
    enum fh_page_state before = fh_entry_state((struct fh_entry){*word});
    enum fh_page_state after = fh_entry_state(e);

    if (before == FH_PAGE_NOTHING && after != FH_PAGE_NOTHING) {
        leaf->used++;
        table->used++;
    }
    if (before != FH_PAGE_NOTHING && after == FH_PAGE_NOTHING) {
        leaf->used--;
        table->used--;
    }
    t->counts[before]--;
    t->counts[after]++;
    *word = e.v;
}

struct fh_page fh_pagetable_next(const struct fh_pagetable *t, struct fh_page from,
                                 struct fh_page end)
{
    while (from.v < end.v) {
        if (table_of(t, from)->used == 0) {
            from = table_end(from);
            continue;
        }
        const struct fh_leaf *leaf = fh_pagetable_leaf(t, from);
        uint64_t stop = fh_min_u64(leaf_end(from).v, end.v);
        if (leaf && leaf->used != 0)
            for (; from.v < stop; from.v++)
                if (leaf->entries[from.v % FH_LEAF_PAGES] != 0)
                    return from;
        from.v = stop;
    }
    return end;
}

static uint32_t count_leaf(const struct fh_leaf *leaf, uint64_t counts[FH_PAGE_STATES])
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < FH_LEAF_PAGES; i++) {
        if (leaf->entries[i] == 0)
            continue;
        used++;
        counts[fh_entry_state((struct fh_entry){leaf->entries[i]}) % FH_PAGE_STATES]++;
    }
    return used;
}

static void check_table(const struct fh_table *table, uint64_t number,
                        uint64_t counts[FH_PAGE_STATES], struct fh_report *r)
{
    uint32_t used = 0, leaves = 0;

    for (uint32_t i = 0; table->leaves && i < FH_ARENA_LEAVES; i++) {
        if (!table->leaves[i])
            continue;
        uint32_t counted = count_leaf(table->leaves[i], counts);
        if (counted != table->leaves[i]->used)
            fh_report(r, "[I1] table %" PRIu64 " leaf %u: %u entries used, %u counted", number, i,
                      table->leaves[i]->used, counted);
        used += counted;
        leaves++;
    }
    if (used != table->used)
        fh_report(r, "[I1] table %" PRIu64 ": %u entries used, %u counted", number, table->used,
                  used);
    if (leaves != table->count || (leaves == 0) != (table->leaves == NULL))
        fh_report(r, "[I3] table %" PRIu64 ": %u leaves, %u counted", number, table->count, leaves);
}

bool fh_pagetable_check(const struct fh_pagetable *t, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint64_t counts[FH_PAGE_STATES] = {0};

    for (uint64_t i = 0; i < t->tables_end; i++)
        check_table(&t->tables[i], i, counts, &r);
    for (int s = FH_PAGE_FRAME; s < FH_PAGE_STATES; s++)
        if (counts[s] != t->counts[s])
            fh_report(&r, "[I2] state %s: %" PRIu64 " entries, %" PRIu64 " counted", state_names[s],
                      t->counts[s], counts[s]);
    return r.broken == 0;
}

void fh_pagetable_stats(const struct fh_pagetable *t, struct fh_pagetable_stats *out)
{
    *out = (struct fh_pagetable_stats){.leaves = 0};
    for (int s = FH_PAGE_FRAME; s < FH_PAGE_STATES; s++)
        out->pages[s] = t->counts[s];
    for (uint64_t i = 0; i < t->tables_end; i++) {
        out->leaves += t->tables[i].count;
        out->tables += t->tables[i].leaves != NULL;
    }
    out->bytes = out->leaves * sizeof(struct fh_leaf) + out->tables * POINTERS_SIZE;
}

void fh_pagetable_dump(const struct fh_pagetable *t, FILE *out)
{
    struct fh_page end = {t->tables_end << FH_ARENA_PAGE_SHIFT};
    struct fh_page p = fh_pagetable_next(t, (struct fh_page){0}, end);

    fprintf(out, "page table:\n");
    for (; p.v < end.v; p = fh_pagetable_next(t, fh_page_add(p, 1), end)) {
        struct fh_entry e = fh_pagetable_get(t, p);
        fprintf(out, "  page %" PRIx64 " %s %u slot %u\n", p.v, state_names[fh_entry_state(e)],
                fh_entry_frame(e).v, fh_entry_slot(e).v);
    }
}
