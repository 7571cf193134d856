/*
 * Theory.  A buddy system is a grammar: each size is replaced by the sizes of its children. The
 * grammar is written out below, row by row, and is the only place where the systems differ. From
 * it fh_buddy_tables_init derives, for one size of arena:
 *
 *   parents  each (parent, which child) that makes a class gets a number, its kind: a block that
 *            knows its class and kind knows where its parent and its siblings lie
 *   yield    the classes that splitting can reach. Only in the tertiary system this is less than
 *            every smaller class (8 gives 3, 3 and 2, so never a 4 or a 6)
 *   toward   on the way from class d down to class c, the smallest child that still yields c, the
 *            first of equals: what is left over stays as large as it can
 *   tiles    an arena that is no block of its system is laid out with the largest that fit, e.g.
 *            fibonacci 2^18 = 196418 + 46368 + 17711 + 1597 + 34 + 13 + 3
 *   start_shift  how many granules share a bit of a class's bitmap. The largest power of two that
 *            divides every start of the class is one answer: a child's start is its parent's plus
 * an offset, so one pass from large to small finds it. Fibonacci starts share no divisor; but
 * blocks do not overlap, so in as many granules as a block is long at most one of its class starts.
 * Up to 2^SCAN_SHIFT such granules share a bit, and whoever follows the bit looks at their heads:
 * 26 bits per granule become 5.
 *
 * Invariants
 *   [I1] the parts of a row add up to its size and are sizes of earlier rows
 *   [I2] kinds fit three bits, tiles and classes their arrays
 *   [I3] 2^start_shift granules hold at most one start of the class
 *
 * Sources: Knowlton, CACM 8(10) 1965; Hirschberg, CACM 16(10) 1973; Shen and Peterson, CACM 17(10)
 * 1974; Cranston and Thomas, CACM 18(6) 1975; Peterson and Norman, CACM 20(6) 1977; Yadav and
 * Sharma 2010 (tertiary).
 */
#include "buddy_systems.h"

#include <stddef.h>
#include <string.h>

#include "bits.h"

enum { SCAN_SHIFT = 3 }; /* the heads behind a bit: 16 bytes, part of one cache line */

#define ROWS(table) ((uint32_t)(sizeof(table) / sizeof((table)[0])))

/* clang-format off */
/* 2^k -> 2^(k-1) 2^(k-1) */
static const struct fh_buddy_split binary_splits[] = {
    {1, {0}}, {2, {1, 1}}, {4, {2, 2}}, {8, {4, 4}}, {16, {8, 8}}, {32, {16, 16}},
    {64, {32, 32}}, {128, {64, 64}}, {256, {128, 128}}, {512, {256, 256}}, {1024, {512, 512}},
    {2048, {1024, 1024}}, {4096, {2048, 2048}}, {8192, {4096, 4096}}, {16384, {8192, 8192}},
    {32768, {16384, 16384}}, {65536, {32768, 32768}}, {131072, {65536, 65536}},
    {262144, {131072, 131072}},
};

/* F(n) -> F(n-1) F(n-2) */
static const struct fh_buddy_split fibonacci_splits[] = {
    {1, {0}}, {2, {1, 1}}, {3, {2, 1}}, {5, {3, 2}}, {8, {5, 3}}, {13, {8, 5}}, {21, {13, 8}},
    {34, {21, 13}}, {55, {34, 21}}, {89, {55, 34}}, {144, {89, 55}}, {233, {144, 89}},
    {377, {233, 144}}, {610, {377, 233}}, {987, {610, 377}}, {1597, {987, 610}},
    {2584, {1597, 987}}, {4181, {2584, 1597}}, {6765, {4181, 2584}}, {10946, {6765, 4181}},
    {17711, {10946, 6765}}, {28657, {17711, 10946}}, {46368, {28657, 17711}},
    {75025, {46368, 28657}}, {121393, {75025, 46368}}, {196418, {121393, 75025}},
};

/* 2^(k+2) -> 3*2^k 2^k;  3*2^k -> 2^(k+1) 2^k */
static const struct fh_buddy_split weighted_splits[] = {
    {1, {0}}, {2, {1, 1}}, {3, {2, 1}}, {4, {3, 1}}, {6, {4, 2}}, {8, {6, 2}}, {12, {8, 4}},
    {16, {12, 4}}, {24, {16, 8}}, {32, {24, 8}}, {48, {32, 16}}, {64, {48, 16}}, {96, {64, 32}},
    {128, {96, 32}}, {192, {128, 64}}, {256, {192, 64}}, {384, {256, 128}}, {512, {384, 128}},
    {768, {512, 256}}, {1024, {768, 256}}, {1536, {1024, 512}}, {2048, {1536, 512}},
    {3072, {2048, 1024}}, {4096, {3072, 1024}}, {6144, {4096, 2048}}, {8192, {6144, 2048}},
    {12288, {8192, 4096}}, {16384, {12288, 4096}}, {24576, {16384, 8192}},
    {32768, {24576, 8192}}, {49152, {32768, 16384}}, {65536, {49152, 16384}},
    {98304, {65536, 32768}}, {131072, {98304, 32768}}, {196608, {131072, 65536}},
    {262144, {196608, 65536}},
};

/* 2^k -> 3*2^(k-3) 3*2^(k-3) 2^(k-2);  3*2^j -> 2^(j+1) 2^j */
static const struct fh_buddy_split tertiary_splits[] = {
    {1, {0}}, {2, {1, 1}}, {3, {2, 1}}, {4, {2, 2}}, {6, {4, 2}}, {8, {3, 3, 2}}, {12, {8, 4}},
    {16, {6, 6, 4}}, {24, {16, 8}}, {32, {12, 12, 8}}, {48, {32, 16}}, {64, {24, 24, 16}},
    {96, {64, 32}}, {128, {48, 48, 32}}, {192, {128, 64}}, {256, {96, 96, 64}},
    {384, {256, 128}}, {512, {192, 192, 128}}, {768, {512, 256}}, {1024, {384, 384, 256}},
    {1536, {1024, 512}}, {2048, {768, 768, 512}}, {3072, {2048, 1024}},
    {4096, {1536, 1536, 1024}}, {6144, {4096, 2048}}, {8192, {3072, 3072, 2048}},
    {12288, {8192, 4096}}, {16384, {6144, 6144, 4096}}, {24576, {16384, 8192}},
    {32768, {12288, 12288, 8192}}, {49152, {32768, 16384}}, {65536, {24576, 24576, 16384}},
    {98304, {65536, 32768}}, {131072, {49152, 49152, 32768}}, {196608, {131072, 65536}},
    {262144, {98304, 98304, 65536}},
};
/* clang-format on */

_Static_assert(ROWS(weighted_splits) <= FH_BUDDY_CLASSES, "a set of classes is one word");
_Static_assert(ROWS(tertiary_splits) <= FH_BUDDY_CLASSES, "a set of classes is one word");

const struct fh_buddy_system fh_buddy_binary = {
    .name = "binary", .splits = binary_splits, .classes = ROWS(binary_splits)};
const struct fh_buddy_system fh_buddy_fibonacci = {
    .name = "fibonacci", .splits = fibonacci_splits, .classes = ROWS(fibonacci_splits)};
const struct fh_buddy_system fh_buddy_weighted = {
    .name = "weighted", .splits = weighted_splits, .classes = ROWS(weighted_splits)};
const struct fh_buddy_system fh_buddy_tertiary = {
    .name = "tertiary", .splits = tertiary_splits, .classes = ROWS(tertiary_splits)};

const struct fh_buddy_system *fh_buddy_system_at(uint32_t index)
{
    static const struct fh_buddy_system *const systems[] = {&fh_buddy_binary, &fh_buddy_fibonacci,
                                                            &fh_buddy_weighted, &fh_buddy_tertiary};
    return index < ROWS(systems) ? systems[index] : NULL;
}

const struct fh_buddy_system *fh_buddy_system_find(const char *name)
{
    const struct fh_buddy_system *s;
    for (uint32_t i = 0; (s = fh_buddy_system_at(i)) != NULL; i++)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

static uint32_t tables_class_of(const struct fh_buddy_tables *t, uint32_t size)
{
    uint32_t c = 0;
    while (t->size[c] != size) {
        c++;
        FH_ASSERT(c < t->classes); /* [I1] */
    }
    return c;
}

/* Makes `child` the i-th child of `class`, and gives it the next free kind. */
static void tables_add_child(struct fh_buddy_tables *t, uint32_t class, uint32_t i, uint32_t child,
                             uint32_t offset)
{
    uint32_t kind = ++t->kinds[child];
    FH_ASSERT(kind < FH_BUDDY_KINDS); /* [I2] */
    t->child[class][i] = (struct fh_buddy_place){(uint8_t)child, (uint8_t)kind, offset};
    t->parent[child][kind] = (struct fh_buddy_place){(uint8_t) class, (uint8_t)i, offset};
}

static void tables_add_children(struct fh_buddy_tables *t, uint32_t class)
{
    const uint32_t *part = t->system->splits[class].part;
    uint32_t offset = 0, i = 0;

    t->yield[class] = UINT64_C(1) << class;
    for (; i < FH_BUDDY_PARTS && part[i] != 0; i++) {
        uint32_t child = tables_class_of(t, part[i]);
        FH_ASSERT(child < class); /* [I1] */
        tables_add_child(t, class, i, child, offset);
        t->yield[class] |= t->yield[child];
        offset += part[i];
    }
    t->children[class] = (uint8_t)i;
    FH_ASSERT(i == 0 || offset == t->size[class]); /* [I1] */
}

/* Of the children of d that yield c the smallest, of equals the first. */
static uint32_t tables_toward(const struct fh_buddy_tables *t, uint32_t d, uint32_t c)
{
    uint32_t best = 0, best_class = FH_BUDDY_CLASSES;
    for (uint32_t i = 0; i < t->children[d]; i++) {
        uint32_t child = t->child[d][i].class;
        if ((t->yield[child] >> c & 1) && child < best_class) {
            best = i;
            best_class = child;
        }
    }
    return best;
}

static void tables_add_ways(struct fh_buddy_tables *t)
{
    for (uint32_t d = 0; d < t->classes; d++)
        for (uint32_t c = 0; c <= d; c++)
            if (t->yield[d] >> c & 1) {
                t->from[c] |= UINT64_C(1) << d;
                t->toward[d][c] = (uint8_t)tables_toward(t, d, c);
            }
}

/* Lays out the tiles; notes by class the bits of all tiles' starts. */
static void tables_add_tiles(struct fh_buddy_tables *t, uint32_t starts[FH_BUDDY_CLASSES])
{
    uint32_t at = 0, c = t->classes;
    while (at < t->granules) {
        while (t->size[c - 1] > t->granules - at)
            c--;
        FH_ASSERT(t->tiles < FH_BUDDY_TILES); /* [I2] */
        t->tile[t->tiles++] = (uint8_t)(c - 1);
        t->usable |= t->yield[c - 1];
        starts[c - 1] |= at;
        at += t->size[c - 1];
    }
}

/* By alignment, which the lowest bit bounds in which any start differs from 0; or by size. [I3] */
static void tables_add_start_shifts(struct fh_buddy_tables *t, uint32_t starts[FH_BUDDY_CLASSES])
{
    for (uint32_t c = t->classes; c-- > 0;) {
        uint32_t limit = starts[c] | FH_BUDDY_GRANULES_MAX;
        uint32_t by_alignment = (uint32_t)__builtin_ctz(limit);
        uint64_t by_size = fh_min_u64(fh_log2_floor(t->size[c]), SCAN_SHIFT);
        t->start_shift[c] = (uint8_t)fh_max_u64(by_alignment, by_size);
        for (uint32_t i = 0; i < t->children[c]; i++)
            starts[t->child[c][i].class] |= t->child[c][i].offset | (limit & (0 - limit));
    }
}

void fh_buddy_tables_init(struct fh_buddy_tables *t, const struct fh_buddy_system *system,
                          uint32_t granules)
{
    uint32_t starts[FH_BUDDY_CLASSES] = {0};

    FH_ASSERT(granules > 0);
    FH_ASSERT(granules <= FH_BUDDY_GRANULES_MAX);
    FH_ASSERT(system->classes <= FH_BUDDY_CLASSES); /* [I2] */
    *t = (struct fh_buddy_tables){.system = system, .granules = granules};
    while (t->classes < system->classes && system->splits[t->classes].size <= granules) {
        t->size[t->classes] = system->splits[t->classes].size;
        t->classes++;
    }
    for (uint32_t c = 0; c < t->classes; c++)
        tables_add_children(t, c);
    tables_add_ways(t);
    tables_add_tiles(t, starts);
    tables_add_start_shifts(t, starts);
}

uint32_t fh_buddy_class_for(const struct fh_buddy_tables *t, uint32_t size)
{
    uint32_t low = 0, high = t->classes;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (t->size[mid] < size)
            low = mid + 1;
        else
            high = mid;
    }
    uint64_t usable = low < t->classes ? t->usable >> low << low : 0;
    return usable ? (uint32_t)__builtin_ctzll(usable) : t->classes;
}
