/*
 * Theory.  A space is a table of 2^18 entries, one per arena (1 GiB of addresses). An arena in use
 * belongs to a buddy, with its books beside it, or to a segment, which has none: a block of 1 TiB
 * is 1024 entries. Tables are maps touched where something is.
 *
 *   entries   [arena][arena][segment, 3][part, 1][part, 2][unused][arena]  ^ break
 *   arena      marks   [slab 7][slab 7][0][tag+1][0][0]...    one word per page
 *
 *   entry, 64 bits    0 = unused | ...00 pointer to an arena
 *                     ...01 first of a segment: mark << 2, count of arenas << 34
 *                     ...10 part of a segment: distance to its first << 2
 *
 * The lowest arena with a free block of at least the wanted class is taken; a dense copy of the
 * buddies' sets of free classes makes that a scan of one word per arena. The heap grows by opening
 * the lowest unused entry and shrinks as arenas become empty; one empty arena is kept, the lower of
 * two, so that a load that swings around a border does not map and unmap books all the time.
 *
 * Invariants
 *   [I1] the first of a segment is followed by its parts, each with its distance; no other parts
 *   [I2] the entry below the break is in use, none from there on; none below unused_hint is unused
 *   [I3] free_classes is its buddy's set for an arena, else 0
 *   [I4] arenas, segments, segment_arenas equal the entries
 *   [I5] the first page of each block in use has its mark; other pages have the mark of their slab
 *        or none
 *   [I6] spare is the only arena without a block in use
 *   [I7] blocks in use of an arena end at its `high` at the latest
 */
#include "space.h"

#include <errno.h>
#include <inttypes.h>

#include "bits.h"
#include "report.h"

struct fh_arena {
    struct fh_buddy buddy;
    uint32_t *marks; /* by page [I5] */
    uint32_t index;
    uint32_t high; /* no block ever ended beyond this page: so far its books were touched [I7] */
};

enum { ENTRY_ARENA = 0, ENTRY_FIRST = 1, ENTRY_PART = 2, ENTRY_BITS = 3 };

enum { COUNT_SHIFT = 34, SEGMENT_ARENAS_MAX = 1 << 10 };

#define ENTRIES_SIZE (FH_SPACE_ARENAS * sizeof(uint64_t))
#define MARKS_SIZE   (FH_ARENA_PAGES * sizeof(uint32_t))
#define PAGES_MAX    (FH_OBJECT_SIZE_MAX >> FH_PAGE_SHIFT)

_Static_assert(PAGES_MAX <= (uint64_t)SEGMENT_ARENAS_MAX << FH_ARENA_PAGE_SHIFT, "largest segment");
_Static_assert((int)FH_BUDDY_GRANULES_MAX == (int)FH_ARENA_PAGES, "a buddy cuts an arena");

static uint32_t index_of(struct fh_page page)
{
    return (uint32_t)(page.v >> FH_ARENA_PAGE_SHIFT);
}

static uint32_t in_arena(struct fh_page page)
{
    return (uint32_t)(page.v & (FH_ARENA_PAGES - 1));
}

static struct fh_page page_of(uint32_t index, uint32_t granule)
{
    return (struct fh_page){((uint64_t)index << FH_ARENA_PAGE_SHIFT) + granule};
}

/* The entry of any page, also one outside the space. */
static uint64_t entry_at(const struct fh_space *s, struct fh_page page)
{
    return page.v >> FH_SPACE_PAGE_SHIFT ? 0 : s->entries[index_of(page)];
}

static struct fh_arena *entry_arena(uint64_t entry)
{
    return (entry & ENTRY_BITS) == ENTRY_ARENA ? (struct fh_arena *)(uintptr_t)entry : NULL;
}

static bool entry_is_first(uint64_t entry)
{
    return (entry & ENTRY_BITS) == ENTRY_FIRST;
}

static bool entry_is_part(uint64_t entry)
{
    return (entry & ENTRY_BITS) == ENTRY_PART;
}

static uint32_t entry_count(uint64_t first)
{
    return (uint32_t)(first >> COUNT_SHIFT);
}

static uint32_t entry_mark(uint64_t first)
{
    return (uint32_t)(first >> 2);
}

/* Entries that an entry stands for: those of a segment, else 1. */
static uint32_t entry_span(uint64_t entry)
{
    return entry_is_first(entry) ? entry_count(entry) : 1;
}

int fh_space_init(struct fh_space *s, struct fh_mem *mem, const struct fh_buddy_system *system)
{
    uint64_t *entries = fh_mem_map(mem, ENTRIES_SIZE);
    if (!entries)
        return -ENOMEM;
    uint64_t *free_classes = fh_mem_map(mem, ENTRIES_SIZE);
    if (!free_classes) {
        fh_mem_unmap(mem, entries, ENTRIES_SIZE);
        return -ENOMEM;
    }
    *s = (struct fh_space){
        .mem = mem, .entries = entries, .free_classes = free_classes, .spare = FH_SPACE_ARENAS};
    fh_buddy_tables_init(&s->tables, system, FH_ARENA_PAGES);
    return 0;
}

static int arena_create(struct fh_space *s, uint32_t index, struct fh_arena **out)
{
    struct fh_arena *a = fh_mem_take(s->mem, sizeof(*a));
    if (!a)
        return -ENOMEM;
    uint32_t *marks = fh_mem_map(s->mem, MARKS_SIZE);
    if (!marks)
        goto out_arena;
    if (fh_buddy_init(&a->buddy, &s->tables, s->mem) != 0)
        goto out_marks;
    a->marks = marks;
    a->index = index;
    *out = a;
    return 0;

out_marks:
    fh_mem_unmap(s->mem, marks, MARKS_SIZE);
out_arena:
    fh_mem_give(s->mem, a, sizeof(*a));
    return -ENOMEM;
}

static void arena_destroy(struct fh_space *s, struct fh_arena *a)
{
    for (uint32_t c = 0; c < s->tables.classes; c++) {
        s->past_splits[c] += a->buddy.splits[c];
        s->past_merges[c] += a->buddy.merges[c];
    }
    fh_buddy_fini(&a->buddy);
    fh_mem_unmap(s->mem, a->marks, MARKS_SIZE);
    fh_mem_give(s->mem, a, sizeof(*a));
}

void fh_space_fini(struct fh_space *s)
{
    for (uint32_t i = 0; i < s->brk; i += entry_span(s->entries[i])) {
        struct fh_arena *a = entry_arena(s->entries[i]);
        if (a)
            arena_destroy(s, a);
    }
    fh_mem_unmap(s->mem, s->entries, ENTRIES_SIZE);
    fh_mem_unmap(s->mem, s->free_classes, ENTRIES_SIZE);
    *s = (struct fh_space){0};
}

/* Keeps break and hint true after entries from `index` came into use. */
static void space_grow(struct fh_space *s, uint32_t index, uint32_t count)
{
    FH_ASSERT(index + count <= FH_SPACE_ARENAS);
    s->brk = (uint32_t)fh_max_u64(s->brk, index + count);
    if (s->unused_hint == index)
        s->unused_hint = index + count;
}

/* The same after entries from `index` fell out of use. */
static void space_shrink(struct fh_space *s, uint32_t index)
{
    FH_ASSERT(index < s->brk);         /* [I2] */
    FH_ASSERT(s->entries[index] == 0); /* else there is nothing to shrink */
    s->unused_hint = (uint32_t)fh_min_u64(s->unused_hint, index);
    while (s->brk > 0 && s->entries[s->brk - 1] == 0)
        s->brk--;
}

/* The lowest run of `count` unused entries; FH_SPACE_ARENAS when there is none. */
static uint32_t space_find_unused(const struct fh_space *s, uint32_t count)
{
    uint32_t run = s->unused_hint;
    for (uint32_t i = run; i < s->brk && i - run < count;) {
        uint64_t entry = s->entries[i];
        i += entry_span(entry);
        if (entry != 0)
            run = i;
    }
    return FH_SPACE_ARENAS - run >= count ? run : FH_SPACE_ARENAS;
}

static int space_open_arena(struct fh_space *s, struct fh_arena **out)
{
    uint32_t index = space_find_unused(s, 1);
    if (index == FH_SPACE_ARENAS)
        return -ENOSPC;
    int rc = arena_create(s, index, out);
    if (rc != 0)
        return rc;
    FH_ASSERT(s->entries[index] == 0);                        /* [I1] */
    FH_ASSERT(((uintptr_t)*out & ENTRY_BITS) == ENTRY_ARENA); /* a pointer tells itself apart */
    s->entries[index] = (uintptr_t)*out;
    s->free_classes[index] = (*out)->buddy.free_classes;
    s->arenas++;
    s->opened++;
    space_grow(s, index, 1);
    return 0;
}

static void space_close_arena(struct fh_space *s, uint32_t index)
{
    struct fh_arena *a = entry_arena(s->entries[index]);

    FH_ASSERT(a != NULL);
    FH_ASSERT(a->buddy.used == 0);
    FH_ASSERT(s->arenas > 0); /* [I4] */
    arena_destroy(s, a);
    s->entries[index] = 0;
    s->free_classes[index] = 0;
    s->arenas--;
    s->closed++;
    space_shrink(s, index);
}

/* The lowest open arena that can serve a class; NULL when none can. */
static struct fh_arena *space_arena_for(const struct fh_space *s, uint32_t class)
{
    for (uint32_t i = 0; i < s->brk; i++)
        if (s->free_classes[i] >> class)
            return entry_arena(s->entries[i]);
    return NULL;
}

static int space_alloc_block(struct fh_space *s, uint32_t pages, uint32_t mark,
                             struct fh_space_block *out)
{
    struct fh_buddy_block block;
    struct fh_arena *a = space_arena_for(s, fh_buddy_class_for(&s->tables, pages));
    int rc = a ? 0 : space_open_arena(s, &a);
    if (rc != 0)
        return rc;
    rc = fh_buddy_alloc(&a->buddy, pages, &block);
    FH_ASSERT(rc == 0); /* [I3], and a whole arena holds a quarter of one */
    s->free_classes[a->index] = a->buddy.free_classes;
    if (s->spare == a->index)
        s->spare = FH_SPACE_ARENAS;
    FH_ASSERT(a->marks[block.start] == 0); /* [I5] */
    a->marks[block.start] = mark;
    a->high = (uint32_t)fh_max_u64(a->high, block.start + block.size);
    *out = (struct fh_space_block){
        .first = page_of(a->index, block.start), .pages = block.size, .mark = mark};
    return 0;
}

static int space_alloc_segment(struct fh_space *s, uint64_t pages, uint32_t mark,
                               struct fh_space_block *out)
{
    uint32_t count = (uint32_t)((pages + FH_ARENA_PAGES - 1) >> FH_ARENA_PAGE_SHIFT);
    uint32_t index = space_find_unused(s, count);
    if (index == FH_SPACE_ARENAS)
        return -ENOSPC;
    s->entries[index] = ENTRY_FIRST | (uint64_t)mark << 2 | (uint64_t)count << COUNT_SHIFT;
    for (uint32_t i = 1; i < count; i++)
        s->entries[index + i] = ENTRY_PART | (uint64_t)i << 2;
    s->segments++;
    s->segment_arenas += count;
    space_grow(s, index, count);
    *out = (struct fh_space_block){
        .first = page_of(index, 0), .pages = (uint64_t)count << FH_ARENA_PAGE_SHIFT, .mark = mark};
    return 0;
}

int fh_space_alloc(struct fh_space *s, uint64_t pages, uint32_t mark, struct fh_space_block *out)
{
    FH_ASSERT(pages > 0);
    FH_ASSERT(mark != 0);
    if (pages > PAGES_MAX)
        return -EFBIG;
    if (pages > FH_SEGMENT_PAGES_MIN)
        return space_alloc_segment(s, pages, mark, out);
    return space_alloc_block(s, (uint32_t)pages, mark, out);
}

void fh_space_mark_pages(struct fh_space *s, struct fh_page first, uint64_t pages)
{
    struct fh_arena *a = entry_arena(entry_at(s, first));
    FH_ASSERT(a != NULL);
    uint32_t start = in_arena(first);
    FH_ASSERT(pages <= fh_buddy_size_at(&a->buddy, start));
    for (uint32_t i = 1; i < pages; i++)
        a->marks[start + i] = a->marks[start];
}

static void space_free_segment(struct fh_space *s, uint32_t index)
{
    uint32_t count = entry_count(s->entries[index]);
    FH_ASSERT(s->segments > 0);            /* [I4] */
    FH_ASSERT(s->segment_arenas >= count); /* [I4] */
    for (uint32_t i = 0; i < count; i++)
        s->entries[index + i] = 0;
    s->segments--;
    s->segment_arenas -= count;
    space_shrink(s, index);
}

/* An arena lost its last block: of it and the one kept, the lower stays. */
static void space_keep_one(struct fh_space *s, uint32_t index)
{
    uint32_t spare = s->spare;
    s->spare = (uint32_t)fh_min_u64(spare, index);
    if (spare != FH_SPACE_ARENAS)
        space_close_arena(s, (uint32_t)fh_max_u64(spare, index));
}

static int space_free_block(struct fh_space *s, struct fh_arena *a, uint32_t start)
{
    uint32_t size = fh_buddy_size_at(&a->buddy, start);
    if (size == 0)
        return -EFAULT;
    FH_ASSERT(a->marks[start] != 0); /* [I5] */
    uint32_t marked = a->marks[start] & FH_SPACE_SLAB ? size : 1;
    for (uint32_t i = 0; i < marked; i++)
        a->marks[start + i] = 0;
    int rc = fh_buddy_free(&a->buddy, start);
    FH_ASSERT(rc == 0);
    s->free_classes[a->index] = a->buddy.free_classes;
    if (a->buddy.used == 0)
        space_keep_one(s, a->index);
    return 0;
}

int fh_space_free(struct fh_space *s, struct fh_page first)
{
    uint64_t entry = entry_at(s, first);
    struct fh_arena *a = entry_arena(entry);
    if (a)
        return space_free_block(s, a, in_arena(first));
    if (!entry_is_first(entry) || in_arena(first) != 0)
        return -EFAULT;
    space_free_segment(s, index_of(first));
    return 0;
}

uint32_t fh_space_mark_at(const struct fh_space *s, struct fh_page page)
{
    uint64_t entry = entry_at(s, page);
    const struct fh_arena *a = entry_arena(entry);
    if (a)
        return a->marks[in_arena(page)];
    return entry_is_first(entry) && in_arena(page) == 0 ? entry_mark(entry) : 0;
}

static struct fh_space_block space_segment(const struct fh_space *s, uint32_t index)
{
    uint64_t entry = s->entries[index];
    FH_ASSERT(entry_is_first(entry)); /* [I1] */
    return (struct fh_space_block){.first = page_of(index, 0),
                                   .pages = (uint64_t)entry_count(entry) << FH_ARENA_PAGE_SHIFT,
                                   .mark = entry_mark(entry)};
}

int fh_space_find_inner(const struct fh_space *s, struct fh_page page, struct fh_space_block *out)
{
    uint64_t entry = entry_at(s, page);
    if (entry == 0)
        return -EFAULT;
    const struct fh_arena *a = entry_arena(entry);
    if (!a) {
        uint32_t distance = entry_is_part(entry) ? (uint32_t)(entry >> 2) : 0;
        *out = space_segment(s, index_of(page) - distance);
        return 0;
    }
    struct fh_buddy_block block = fh_buddy_find(&a->buddy, in_arena(page));
    if (!block.used)
        return -EFAULT;
    *out = (struct fh_space_block){.first = page_of(a->index, block.start),
                                   .pages = block.size,
                                   .mark = a->marks[block.start]};
    return 0;
}

int fh_space_find(const struct fh_space *s, struct fh_page page, struct fh_space_block *out)
{
    uint64_t entry = entry_at(s, page);
    const struct fh_arena *a = entry_arena(entry);
    if (!a) {
        if (!entry_is_first(entry) || in_arena(page) != 0)
            return -EFAULT;
        *out = space_segment(s, index_of(page));
        return 0;
    }
    uint32_t size = fh_buddy_size_at(&a->buddy, in_arena(page));
    if (size == 0)
        return -EFAULT;
    *out = (struct fh_space_block){.first = page, .pages = size, .mark = a->marks[in_arena(page)]};
    return 0;
}

void fh_space_trim(struct fh_space *s)
{
    uint32_t spare = s->spare;
    s->spare = FH_SPACE_ARENAS;
    if (spare != FH_SPACE_ARENAS)
        space_close_arena(s, spare);
}

static uint64_t arena_book_bytes(const struct fh_arena *a)
{
    uint64_t whole = a->buddy.books_size + MARKS_SIZE;
    return fh_align_up(whole * a->high / a->buddy.tables->granules, FH_PAGE_SIZE);
}

static void stats_add_arena(struct fh_space_stats *out, const struct fh_arena *a)
{
    const struct fh_buddy *b = &a->buddy;
    out->arenas_open++;
    out->used_pages += b->used;
    out->free_pages += b->tables->granules - b->used;
    out->book_bytes += arena_book_bytes(a);
    if (b->free_classes)
        out->largest_free_pages =
            fh_max_u64(out->largest_free_pages, b->tables->size[fh_log2_floor(b->free_classes)]);
}

void fh_space_stats(const struct fh_space *s, struct fh_space_stats *out)
{
    *out = (struct fh_space_stats){
        .arenas_empty = s->spare != FH_SPACE_ARENAS,
        .segments = s->segments,
        .segment_pages = (uint64_t)s->segment_arenas << FH_ARENA_PAGE_SHIFT,
        .break_pages = (uint64_t)s->brk << FH_ARENA_PAGE_SHIFT,
        .arenas_opened = s->opened,
        .arenas_closed = s->closed,
        .system = s->tables.system->name,
    };
    for (uint32_t i = 0; i < s->brk; i += entry_span(s->entries[i]))
        if (entry_arena(s->entries[i]))
            stats_add_arena(out, entry_arena(s->entries[i]));
}

bool fh_space_class_stats(const struct fh_space *s, uint32_t class,
                          struct fh_buddy_class_stats *out)
{
    if (class >= s->tables.classes)
        return false;
    *out = (struct fh_buddy_class_stats){.block_pages = s->tables.size[class],
                                         .splits = s->past_splits[class],
                                         .merges = s->past_merges[class]};
    for (uint32_t i = 0; i < s->brk; i += entry_span(s->entries[i]))
        if (entry_arena(s->entries[i]))
            fh_buddy_stats(&entry_arena(s->entries[i])->buddy, class, out);
    return true;
}

/* What a walk over all entries counted. */
struct recount {
    const struct fh_space *s;
    struct fh_report r;
    uint32_t arenas, segments, segment_arenas, empty, last_empty;
};

/* Pages of a block, from `from` on, have the mark of their slab or none. [I5] */
static void check_marks_of_block(struct recount *k, const struct fh_arena *a,
                                 struct fh_buddy_block block)
{
    uint32_t mark = block.used ? a->marks[block.start] : 0;
    if (block.used && block.start + block.size > a->high)
        fh_report(&k->r, "[I7] arena %u: the block at %u ends beyond %u", a->index, block.start,
                  a->high);
    if (block.used && mark == 0)
        fh_report(&k->r, "[I5] arena %u: no mark on the block at %u", a->index, block.start);
    for (uint32_t i = block.used ? 1 : 0; i < block.size; i++) {
        uint32_t other = a->marks[block.start + i];
        if (other != 0 && (other != mark || !(mark & FH_SPACE_SLAB)))
            fh_report(&k->r, "[I5] arena %u: stray mark %#x at %u", a->index, other,
                      block.start + i);
    }
}

static void check_arena(struct recount *k, uint32_t index, const struct fh_arena *a)
{
    k->arenas++;
    if (a->index != index)
        fh_report(&k->r, "[I1] arena %u stands at entry %u", a->index, index);
    if (k->s->free_classes[index] != a->buddy.free_classes)
        fh_report(&k->r, "[I3] arena %u: free classes are not its buddy's", index);
    if (a->buddy.used == 0) {
        k->empty++;
        k->last_empty = index;
    }
    if (!fh_buddy_check(&a->buddy, k->r.out)) {
        fh_report(&k->r, "arena %u: its buddy is broken", index);
        return; /* a walk over its blocks might not end well */
    }
    for (uint32_t at = 0; at < a->buddy.tables->granules;) {
        struct fh_buddy_block block = fh_buddy_find(&a->buddy, at);
        check_marks_of_block(k, a, block);
        at += block.size;
    }
}

static void check_segment(struct recount *k, uint32_t index)
{
    uint32_t count = entry_count(k->s->entries[index]);
    k->segments++;
    k->segment_arenas += count;
    if (count == 0 || count > FH_SPACE_ARENAS - index)
        fh_report(&k->r, "[I1] entry %u: a segment of %u arenas", index, count);
    for (uint32_t i = 1; i < count && index + i < FH_SPACE_ARENAS; i++)
        if (k->s->entries[index + i] != (ENTRY_PART | (uint64_t)i << 2))
            fh_report(&k->r, "[I1] entry %u is not part %u of its segment", index + i, i);
}

/* Returns how many entries were looked at. */
static uint32_t check_entry(struct recount *k, uint32_t i)
{
    uint64_t entry = k->s->entries[i];
    const struct fh_arena *a = entry_arena(entry);

    if (!a && k->s->free_classes[i] != 0)
        fh_report(&k->r, "[I3] entry %u is no arena and has free classes", i);
    if (entry == 0 && i < k->s->unused_hint)
        fh_report(&k->r, "[I2] entry %u is unused, the hint says %u", i, k->s->unused_hint);
    if (entry_is_part(entry))
        fh_report(&k->r, "[I1] entry %u is part of no segment", i);
    if (a)
        check_arena(k, i, a);
    if (!entry_is_first(entry))
        return 1;
    check_segment(k, i);
    return (uint32_t)fh_max_u64(1, entry_count(entry));
}

static void check_counts(struct recount *k)
{
    const struct fh_space *s = k->s;
    if (s->arenas != k->arenas || s->segments != k->segments ||
        s->segment_arenas != k->segment_arenas)
        fh_report(&k->r, "[I4] %u arenas, %u segments of %u; counted %u, %u of %u", s->arenas,
                  s->segments, s->segment_arenas, k->arenas, k->segments, k->segment_arenas);
    if (s->brk > 0 && s->entries[s->brk - 1] == 0)
        fh_report(&k->r, "[I2] the entry below the break at %u is unused", s->brk);
    for (uint32_t i = s->brk; i < FH_SPACE_ARENAS && i < s->brk + SEGMENT_ARENAS_MAX; i++)
        if (s->entries[i] != 0)
            fh_report(&k->r, "[I2] entry %u is in use, the break is at %u", i, s->brk);
    if (k->empty > 1 || s->spare != (k->empty ? k->last_empty : (uint32_t)FH_SPACE_ARENAS))
        fh_report(&k->r, "[I6] %u arenas are empty, spare is %u", k->empty, s->spare);
}

bool fh_space_check(const struct fh_space *s, FILE *why)
{
    struct recount k = {.s = s, .r = {.out = why, .lines_max = 20}};

    for (uint32_t i = 0; i < s->brk;)
        i += check_entry(&k, i);
    check_counts(&k);
    return k.r.broken == 0;
}

void fh_space_dump(const struct fh_space *s, FILE *out)
{
    fprintf(out, "space %s: %u arenas, %u segments of %u arenas, break %u\n",
            s->tables.system->name, s->arenas, s->segments, s->segment_arenas, s->brk);
    for (uint32_t i = 0; i < s->brk; i += entry_span(s->entries[i])) {
        uint64_t entry = s->entries[i];
        if (entry_is_first(entry))
            fprintf(out, "arena %u: segment of %u, mark %#x\n", i, entry_count(entry),
                    entry_mark(entry));
        if (entry_arena(entry)) {
            fprintf(out, "arena %u: ", i);
            fh_buddy_dump(&entry_arena(entry)->buddy, out);
        }
    }
}
