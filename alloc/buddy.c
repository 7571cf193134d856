/*
 * Theory.  An arena is a forest: each tile is the root of a tree whose leaves are the blocks. A
 * split goes down the table of children, a merge up the table of parents; nothing is computed from
 * address bits, so Fibonacci is no special case. A head carries two small fields that make going up
 * possible: `kind`, which child of which parent this block is, and `mem`, what the parent would
 * have to remember. On a split child 0 remembers the parent's kind and child 1 the parent's mem; a
 * merge puts both back.
 *
 *   fibonacci, granule   0   1   2   3   4   5   6   7
 *   head                [5 used, left     ][3 free, right]     8 was split into 5 and 3
 *
 *   head, 16 bits        class + 1 : 6 | kind : 3 | mem : 3 | used : 1      0 = no block starts
 * here
 *
 * Whether a sibling is whole and free is seen from its head: a head of its class at its place can
 * only be the sibling itself, because whatever else lies there is a part of it and smaller.
 *
 * An allocation takes the smallest free class that can be cut down to the class wanted, in it the
 * lowest block, and follows the smallest child that still leads there. When only classes are free
 * that cannot be cut so, the block handed out is larger than wanted: addresses, not memory.
 *
 * Invariants
 *   [I1] blocks tile the arena: each granule lies in exactly one; only starts have heads
 *   [I2] every block lies where its parent's table puts it, with the kind and mem of that place
 *   [I3] no complete set of siblings is free
 *   [I4] a bit of free_starts[c] is set if and only if among the granules it stands for one has a
 *        head that says free and c; the class is in free_classes if and only if there is such a bit
 *   [I5] used, free_blocks and used_blocks equal the sums over the blocks
 *
 * Sources: Peterson and Norman, CACM 20(6) 1977; Cranston and Thomas, CACM 18(6) 1975; Knuth, TAOCP
 * 1, 2.5.
 */
#include "buddy.h"

#include <errno.h>
#include <inttypes.h>

#include "report.h"

/* A node of the forest: a block, or the place of one. */
struct node {
    uint32_t start;
    uint8_t class, kind, mem;
};

enum {
    HEAD_USED = 1 << 12,
    NODE_STACK = FH_BUDDY_CLASSES * FH_BUDDY_PARTS /* nodes waiting in a walk, at most */
};

_Static_assert(FH_BUDDY_CLASSES < 64, "class + 1 fits six bits");
_Static_assert(FH_BUDDY_KINDS <= 8, "a kind fits three bits");

static uint16_t head_of(struct node n)
{
    return (uint16_t)((n.class + 1u) | (uint32_t)n.kind << 6 | (uint32_t)n.mem << 9);
}

static uint32_t head_class(uint16_t head)
{
    return (head & 63u) - 1u;
}

static struct node node_at(const struct fh_buddy *b, uint32_t start)
{
    uint16_t head = b->heads[start];
    return (struct node){.start = start,
                         .class = (uint8_t)head_class(head),
                         .kind = (uint8_t)(head >> 6 & 7),
                         .mem = (uint8_t)(head >> 9 & 7)};
}

static struct node node_child(const struct fh_buddy_tables *t, struct node n, uint32_t i)
{
    const struct fh_buddy_place *p = &t->child[n.class][i];
    return (struct node){.start = n.start + p->offset,
                         .class = p->class,
                         .kind = p->kind,
                         .mem = i == 0   ? n.kind
                                : i == 1 ? n.mem
                                         : 0};
}

static uint64_t class_items(const struct fh_buddy_tables *t, uint32_t class)
{
    return ((t->granules - 1) >> t->start_shift[class]) + 1;
}

/* Makes a node a free block. */
static void buddy_put(struct fh_buddy *b, struct node n)
{
    uint32_t item = n.start >> b->tables->start_shift[n.class];

    FH_ASSERT(n.start + b->tables->size[n.class] <= b->tables->granules); /* [I1] */
    FH_ASSERT_DEEP(!fh_bitset_has(&b->free_starts[n.class], item));       /* [I4] */
    b->heads[n.start] = head_of(n);
    fh_bitset_add(&b->free_starts[n.class], item);
    b->free_blocks[n.class]++;
    b->free_classes |= UINT64_C(1) << n.class;
}

/* A free block ceases to be one; its head is left to the caller. */
static void buddy_take(struct fh_buddy *b, uint32_t class, uint32_t start)
{
    uint32_t item = start >> b->tables->start_shift[class];

    FH_ASSERT_DEEP(fh_bitset_has(&b->free_starts[class], item)); /* [I4] */
    FH_ASSERT(b->free_blocks[class] > 0);                        /* [I4] */
    fh_bitset_remove(&b->free_starts[class], item);
    if (--b->free_blocks[class] == 0)
        b->free_classes &= ~(UINT64_C(1) << class);
}

static uint64_t books_heads_size(const struct fh_buddy_tables *t)
{
    return fh_align_up(t->granules * sizeof(uint16_t), sizeof(uint64_t));
}

static void buddy_lay_out_books(struct fh_buddy *b)
{
    b->heads = b->books;
    uint64_t *words = (uint64_t *)(void *)((char *)b->books + books_heads_size(b->tables));
    for (uint32_t c = 0; c < b->tables->classes; c++) {
        fh_bitset_init(&b->free_starts[c], words, class_items(b->tables, c));
        words += fh_bitset_words(class_items(b->tables, c));
    }
    FH_ASSERT((char *)words == (char *)b->books + b->books_size);
}

int fh_buddy_init(struct fh_buddy *b, const struct fh_buddy_tables *t, struct fh_mem *mem)
{
    uint64_t size = books_heads_size(t);
    for (uint32_t c = 0; c < t->classes; c++)
        size += fh_bitset_words(class_items(t, c)) * sizeof(uint64_t);

    void *books = fh_mem_map(mem, size);
    if (!books)
        return -ENOMEM;
    *b = (struct fh_buddy){.tables = t, .mem = mem, .books = books, .books_size = size};
    buddy_lay_out_books(b);
    for (uint32_t i = 0, at = 0; i < t->tiles; at += t->size[t->tile[i++]])
        buddy_put(b, (struct node){.start = at, .class = t->tile[i]});
    return 0;
}

void fh_buddy_fini(struct fh_buddy *b)
{
    fh_mem_unmap(b->mem, b->books, b->books_size);
    *b = (struct fh_buddy){0};
}

/* Smallest child of at least class c; FH_BUDDY_PARTS when none is. */
static uint32_t child_covering(const struct fh_buddy_tables *t, uint32_t d, uint32_t c)
{
    uint32_t best = FH_BUDDY_PARTS, best_class = FH_BUDDY_CLASSES;
    for (uint32_t i = 0; i < t->children[d]; i++)
        if (t->child[d][i].class >= c && t->child[d][i].class < best_class) {
            best = i;
            best_class = t->child[d][i].class;
        }
    return best;
}

/* Which child of a block of class d to go on with to get c; FH_BUDDY_PARTS: d itself. */
static uint32_t child_toward(const struct fh_buddy_tables *t, uint32_t d, uint32_t c)
{
    if (d == c)
        return FH_BUDDY_PARTS;
    return t->yield[d] >> c & 1 ? t->toward[d][c] : child_covering(t, d, c);
}

/* Splits a block that is in no free set: all children but one become free blocks. */
static struct node buddy_split(struct fh_buddy *b, struct node n, uint32_t keep)
{
    const struct fh_buddy_tables *t = b->tables;
    FH_ASSERT(keep < t->children[n.class]);
    for (uint32_t i = 0; i < t->children[n.class]; i++)
        if (i != keep)
            buddy_put(b, node_child(t, n, i));
    b->splits[n.class]++;
    return node_child(t, n, keep);
}

/* The free class to take a block of class c from; FH_BUDDY_CLASSES when there is none. */
static uint32_t buddy_source(const struct fh_buddy *b, uint32_t c)
{
    uint64_t exact = b->free_classes & b->tables->from[c];
    uint64_t larger = b->free_classes >> c << c;
    uint64_t set = exact ? exact : larger;
    return set ? (uint32_t)__builtin_ctzll(set) : FH_BUDDY_CLASSES;
}

/* The lowest free block of a class that has one. A bit says that it starts among some granules. */
static uint32_t buddy_lowest(const struct fh_buddy *b, uint32_t class)
{
    uint32_t shift = b->tables->start_shift[class];
    uint32_t start = (uint32_t)(fh_bitset_lowest(&b->free_starts[class]) << shift);
    uint32_t end = start + (1u << shift);
    while ((b->heads[start] & (HEAD_USED | 63u)) != class + 1u) {
        start++;
        FH_ASSERT(start < end); /* [I4] */
    }
    return start;
}

static struct node buddy_carve(struct fh_buddy *b, uint32_t source, uint32_t c)
{
    struct node n = node_at(b, buddy_lowest(b, source));

    buddy_take(b, source, n.start);
    b->heads[n.start] = 0;
    for (uint32_t i; (i = child_toward(b->tables, n.class, c)) != FH_BUDDY_PARTS;)
        n = buddy_split(b, n, i);
    return n;
}

int fh_buddy_alloc(struct fh_buddy *b, uint32_t size, struct fh_buddy_block *out)
{
    uint32_t c = fh_buddy_class_for(b->tables, size);
    if (size == 0 || c == b->tables->classes)
        return -EINVAL;
    uint32_t source = buddy_source(b, c);
    if (source == FH_BUDDY_CLASSES)
        return -ENOSPC;

    struct node n = buddy_carve(b, source, c);
    uint32_t granules = b->tables->size[n.class];
    FH_ASSERT(granules >= size);
    FH_ASSERT(b->used + granules <= b->tables->granules); /* [I5] */
    b->heads[n.start] = head_of(n) | HEAD_USED;
    b->used += granules;
    b->used_blocks[n.class]++;
    *out = (struct fh_buddy_block){.start = n.start, .size = granules, .used = true};
    return 0;
}

bool fh_buddy_fits(const struct fh_buddy *b, uint32_t size)
{
    uint32_t c = fh_buddy_class_for(b->tables, size);
    return size != 0 && c != b->tables->classes && buddy_source(b, c) != FH_BUDDY_CLASSES;
}

/* Whether all children of a parent but `self` are whole and free. */
static bool siblings_are_free(const struct fh_buddy *b, const struct fh_buddy_place *parent,
                              uint32_t parent_start)
{
    const struct fh_buddy_tables *t = b->tables;
    uint32_t self = parent->kind;
    for (uint32_t i = 0; i < t->children[parent->class]; i++) {
        const struct fh_buddy_place *p = &t->child[parent->class][i];
        uint16_t head = b->heads[parent_start + p->offset];
        if (i != self && (head & (HEAD_USED | 63u)) != p->class + 1u)
            return false;
    }
    return true;
}

/* Joins a node, in no free set but with its head in place, with its free siblings. */
static struct node buddy_merge(struct fh_buddy *b, const struct fh_buddy_place *parent,
                               uint32_t parent_start)
{
    const struct fh_buddy_tables *t = b->tables;
    const struct fh_buddy_place *child = t->child[parent->class];
    struct node first = node_at(b, parent_start);
    struct node second = node_at(b, parent_start + child[1].offset);

    for (uint32_t i = 0; i < t->children[parent->class]; i++) {
        if (i != parent->kind)
            buddy_take(b, child[i].class, parent_start + child[i].offset);
        b->heads[parent_start + child[i].offset] = 0;
    }
    struct node joined = {
        .start = parent_start, .class = parent->class, .kind = first.mem, .mem = second.mem};
    b->heads[parent_start] = head_of(joined);
    b->merges[parent->class]++;
    return joined;
}

int fh_buddy_free(struct fh_buddy *b, uint32_t start)
{
    const struct fh_buddy_tables *t = b->tables;
    uint32_t granules = fh_buddy_size_at(b, start);
    if (granules == 0)
        return -EFAULT;

    struct node n = node_at(b, start);
    FH_ASSERT(b->used >= granules);         /* [I5] */
    FH_ASSERT(b->used_blocks[n.class] > 0); /* [I5] */
    b->used -= granules;
    b->used_blocks[n.class]--;
    while (n.kind != 0) {
        const struct fh_buddy_place *parent = &t->parent[n.class][n.kind];
        FH_ASSERT(n.start >= parent->offset); /* [I2] */
        if (!siblings_are_free(b, parent, n.start - parent->offset))
            break;
        n = buddy_merge(b, parent, n.start - parent->offset);
    }
    buddy_put(b, n);
    return 0;
}

uint32_t fh_buddy_size_at(const struct fh_buddy *b, uint32_t start)
{
    if (start >= b->tables->granules || !(b->heads[start] & HEAD_USED))
        return 0;
    return b->tables->size[head_class(b->heads[start])];
}

static struct node tile_of(const struct fh_buddy_tables *t, uint32_t granule)
{
    uint32_t i = 0, at = 0;
    while (granule - at >= t->size[t->tile[i]])
        at += t->size[t->tile[i++]];
    return (struct node){.start = at, .class = t->tile[i]};
}

struct fh_buddy_block fh_buddy_find(const struct fh_buddy *b, uint32_t granule)
{
    const struct fh_buddy_tables *t = b->tables;
    FH_ASSERT(granule < t->granules);
    struct node n = tile_of(t, granule);

    while (head_class(b->heads[n.start]) != n.class) {
        uint32_t i = t->children[n.class];
        FH_ASSERT(i > 0); /* [I1] */
        do
            i--;
        while (n.start + t->child[n.class][i].offset > granule);
        n = node_child(t, n, i);
    }
    return (struct fh_buddy_block){
        .start = n.start, .size = t->size[n.class], .used = (b->heads[n.start] & HEAD_USED) != 0};
}

void fh_buddy_stats(const struct fh_buddy *b, uint32_t class, struct fh_buddy_class_stats *sum)
{
    FH_ASSERT(class < b->tables->classes);
    sum->block_pages = b->tables->size[class];
    sum->free_blocks += b->free_blocks[class];
    sum->used_blocks += b->used_blocks[class];
    sum->splits += b->splits[class];
    sum->merges += b->merges[class];
}

/* What a walk over all leaves counted. */
struct recount {
    const struct fh_buddy *b;
    struct fh_report r;
    uint32_t used;
    uint32_t free_blocks[FH_BUDDY_CLASSES], used_blocks[FH_BUDDY_CLASSES];
    struct node stack[NODE_STACK];
    uint32_t depth;
};

static bool is_free_leaf(const struct fh_buddy *b, struct node n)
{
    return (b->heads[n.start] & (HEAD_USED | 63u)) == n.class + 1u;
}

static void check_leaf(struct recount *k, struct node n) /* [I1] [I2], and half of [I4] */
{
    const struct fh_buddy *b = k->b;
    uint16_t head = b->heads[n.start];
    uint32_t size = b->tables->size[n.class];
    bool used = (head & HEAD_USED) != 0;

    if ((head & ~HEAD_USED) != head_of(n))
        fh_report(&k->r, "[I2] granule %u: head %#x, its place says %#x", n.start, head,
                  head_of(n));
    for (uint32_t g = n.start + 1; g < n.start + size; g++)
        if (b->heads[g] != 0)
            fh_report(&k->r, "[I1] granule %u: a head inside the block at %u", g, n.start);
    if (fh_bitset_has(&b->free_starts[n.class], n.start >> b->tables->start_shift[n.class]) == used)
        fh_report(&k->r, "[I4] granule %u: head and bitmap disagree", n.start);
    k->used += used ? size : 0;
    (used ? k->used_blocks : k->free_blocks)[n.class]++;
}

static void check_inner(struct recount *k, struct node n) /* [I3] */
{
    const struct fh_buddy_tables *t = k->b->tables;
    uint32_t free_children = 0;
    for (uint32_t i = t->children[n.class]; i-- > 0;) {
        struct node child = node_child(t, n, i);
        free_children += is_free_leaf(k->b, child);
        if (k->depth < NODE_STACK)
            k->stack[k->depth++] = child;
    }
    if (free_children == t->children[n.class])
        fh_report(&k->r, "[I3] granule %u: all parts of a block of %u are free", n.start,
                  t->size[n.class]);
}

static void check_tile(struct recount *k, struct node tile)
{
    k->stack[0] = tile;
    k->depth = 1;
    while (k->depth > 0) {
        struct node n = k->stack[--k->depth];
        uint16_t head = k->b->heads[n.start];
        if ((head & 63u) == n.class + 1u)
            check_leaf(k, n);
        else if ((head & 63u) == 0 || (head & 63u) > n.class)
            fh_report(&k->r, "[I1] granule %u: head %#x where a block of at most %u starts",
                      n.start, head, k->b->tables->size[n.class]);
        else
            check_inner(k, n);
    }
}

/* The set bits of each bitmap are as many as free blocks were met, and summaries fit. [I4] */
static void check_bitmap(struct recount *k, uint32_t class)
{
    const struct fh_bitset *s = &k->b->free_starts[class];
    uint64_t items = class_items(k->b->tables, class), bits = 0;

    for (uint32_t l = 0; l < s->levels; l++) {
        uint64_t words = fh_bitset_level_words(items);
        for (uint64_t w = 0; w < words; w++) {
            bits += l == 0 ? (uint64_t)__builtin_popcountll(s->level[0][w]) : 0;
            if (l + 1 < s->levels && fh_bit_is_set(s->level[l + 1], w) != (s->level[l][w] != 0))
                fh_report(&k->r, "[I4] class %u: summary %u of word %" PRIu64 " is wrong", class,
                          l + 1, w);
        }
        items = words;
    }
    if (bits != k->free_blocks[class])
        fh_report(&k->r, "[I4] class %u: %" PRIu64 " bits for %u free blocks", class, bits,
                  k->free_blocks[class]);
}

static void check_counts(struct recount *k)
{
    const struct fh_buddy *b = k->b;
    for (uint32_t c = 0; c < b->tables->classes; c++) {
        check_bitmap(k, c);
        if ((b->free_classes >> c & 1) != (k->free_blocks[c] != 0))
            fh_report(&k->r, "[I4] class %u: wrong in the set of free classes", c);
        if (b->free_blocks[c] != k->free_blocks[c])
            fh_report(&k->r, "[I5] class %u: %u free blocks, counted %u", c, b->free_blocks[c],
                      k->free_blocks[c]);
        if (b->used_blocks[c] != k->used_blocks[c])
            fh_report(&k->r, "[I5] class %u: %u used blocks, counted %u", c, b->used_blocks[c],
                      k->used_blocks[c]);
    }
    if (b->used != k->used)
        fh_report(&k->r, "[I5] %u granules used, counted %u", b->used, k->used);
}

bool fh_buddy_check(const struct fh_buddy *b, FILE *why)
{
    const struct fh_buddy_tables *t = b->tables;
    struct recount k = {.b = b, .r = {.out = why, .lines_max = 20}};

    for (uint32_t i = 0, at = 0; i < t->tiles; at += t->size[t->tile[i++]])
        check_tile(&k, (struct node){.start = at, .class = t->tile[i]});
    check_counts(&k);
    return k.r.broken == 0;
}

void fh_buddy_dump(const struct fh_buddy *b, FILE *out)
{
    const struct fh_buddy_tables *t = b->tables;
    uint32_t at = 0;

    fprintf(out, "buddy %s: %u of %u granules used\n", t->system->name, b->used, t->granules);
    while (at < t->granules) { /* equal neighbours share a line */
        struct fh_buddy_block first = fh_buddy_find(b, at), next = first;
        uint32_t count = 0;
        while (at < t->granules && next.size == first.size && next.used == first.used) {
            count++;
            at += next.size;
            if (at < t->granules)
                next = fh_buddy_find(b, at);
        }
        fprintf(out, "  %u: %u x %u %s\n", first.start, count, first.size,
                first.used ? "used" : "free");
    }
}
