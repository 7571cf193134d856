/*
 * Theory.  The model is a forest of nodes with pointers, built from the rules of each system as
 * formulas, not from the engine's rows. It searches all leaves for the smallest, lowest one that
 * can serve, and joins upwards by pointers. After each step engine and model must have handed out
 * the same place, and in the end only the tiles may remain.
 *
 * FH_STEPS in the environment asks for more steps per arena than a test has time for. All of them
 * are compared with the model; the whole-structure check then runs every so often only.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/buddy.h"
#include "tests/support/rng.h"

enum { GRANULES_MAX = 1597, TILES_MAX = 32, LIVE_MAX = GRANULES_MAX };
enum { STEPS = 1500, SWING = 750, COMPARE_EVERY = 50, CHECKS_MAX = 2000 };

struct tree {
    uint32_t start, size;
    bool used;
    uint32_t children;
    struct tree *child[3], *parent;
};

struct model {
    char system; /* its first letter */
    uint32_t granules, tiles;
    struct tree *tile[TILES_MAX];
    int8_t yields[GRANULES_MAX + 1][GRANULES_MAX + 1]; /* 0 not known yet, 1 yes, -1 no */
};

static bool is_power(uint32_t size)
{
    return (size & (size - 1)) == 0;
}

/* The next smaller Fibonacci number, or 0 when size is none. */
static uint32_t fibonacci_before(uint32_t size)
{
    uint32_t a = 1, b = 2;
    while (b < size) {
        uint32_t next = a + b;
        a = b;
        b = next;
    }
    return b == size ? a : 0;
}

static bool is_size(char system, uint32_t size)
{
    if (size == 1)
        return true;
    if (system == 'f')
        return fibonacci_before(size) != 0;
    if (system == 'b')
        return is_power(size);
    return is_power(size) || (size % 3 == 0 && is_power(size / 3));
}

/* Sizes of the children; returns how many. */
static uint32_t parts_of(char system, uint32_t size, uint32_t part[3])
{
    uint32_t first, second;
    if (size == 1)
        return 0;
    if (system == 'f')
        first = fibonacci_before(size);
    else if (!is_power(size))
        first = size / 3 * 2;
    else if (system == 'b' || size == 2 || (system == 't' && size == 4))
        first = size / 2;
    else
        first = system == 'w' ? size / 4 * 3 : size / 8 * 3;
    second = system == 't' && is_power(size) && size >= 8 ? first : size - first;
    part[0] = first;
    part[1] = second;
    part[2] = size - first - second;
    return part[2] ? 3 : 2;
}

static bool yields(struct model *m, uint32_t size, uint32_t target)
{
    uint32_t part[3];
    if (size <= target)
        return size == target;
    if (m->yields[size][target] == 0) {
        bool any = false;
        for (uint32_t i = 0, n = parts_of(m->system, size, part); i < n; i++)
            any = any || yields(m, part[i], target);
        m->yields[size][target] = any ? 1 : -1;
    }
    return m->yields[size][target] > 0;
}

static struct tree *tree_create(struct tree *parent, uint32_t start, uint32_t size)
{
    struct tree *n = calloc(1, sizeof(*n));
    cr_assert_not_null(n);
    *n = (struct tree){.start = start, .size = size, .parent = parent};
    return n;
}

static void tree_destroy(struct tree *n)
{
    for (uint32_t i = 0; i < n->children; i++)
        tree_destroy(n->child[i]);
    free(n);
}

static void model_init(struct model *m, const char *name, uint32_t granules)
{
    memset(m, 0, sizeof(*m));
    m->system = name[0];
    m->granules = granules;
    for (uint32_t at = 0; at < granules;) {
        uint32_t size = granules - at;
        while (!is_size(m->system, size))
            size--;
        m->tile[m->tiles++] = tree_create(NULL, at, size);
        at += size;
    }
}

static void model_fini(struct model *m)
{
    for (uint32_t i = 0; i < m->tiles; i++)
        tree_destroy(m->tile[i]);
}

/* The smallest size of at least `size` that some tile yields; 0 when there is none. */
static uint32_t model_round(struct model *m, uint32_t size)
{
    for (; size > 0 && size <= m->granules; size++)
        for (uint32_t i = 0; i < m->tiles && is_size(m->system, size); i++)
            if (yields(m, m->tile[i]->size, size))
                return size;
    return 0;
}

/* The better of `best` and the free leaves below n: smallest, then lowest. */
static struct tree *tree_best(struct model *m, struct tree *n, uint32_t target, bool exact,
                              struct tree *best)
{
    for (uint32_t i = 0; i < n->children; i++)
        best = tree_best(m, n->child[i], target, exact, best);
    if (n->children || n->used || n->size < target || (exact && !yields(m, n->size, target)))
        return best;
    return best && best->size <= n->size ? best : n;
}

static struct tree *model_best(struct model *m, uint32_t target, bool exact)
{
    struct tree *best = NULL;
    for (uint32_t i = 0; i < m->tiles; i++)
        best = tree_best(m, m->tile[i], target, exact, best);
    return best;
}

static void tree_split(struct model *m, struct tree *n)
{
    uint32_t part[3], at = n->start;
    n->children = parts_of(m->system, n->size, part);
    for (uint32_t i = 0; i < n->children; at += part[i++])
        n->child[i] = tree_create(n, at, part[i]);
}

/* Of the children that would do the smallest, of equals the first. */
static struct tree *tree_way(struct model *m, struct tree *n, uint32_t target)
{
    uint32_t part[3], best = 3, count = parts_of(m->system, n->size, part);
    bool exact = yields(m, n->size, target);
    if (n->size == target)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        if ((exact ? yields(m, part[i], target) : part[i] >= target) &&
            (best == 3 || part[i] < part[best]))
            best = i;
    if (best == 3)
        return NULL;
    tree_split(m, n);
    return n->child[best];
}

static int model_alloc(struct model *m, uint32_t size, struct fh_buddy_block *out)
{
    uint32_t target = model_round(m, size);
    if (target == 0)
        return -EINVAL;
    struct tree *n = model_best(m, target, true);
    n = n ? n : model_best(m, target, false);
    if (!n)
        return -ENOSPC;
    for (struct tree *next; (next = tree_way(m, n, target)) != NULL;)
        n = next;
    n->used = true;
    *out = (struct fh_buddy_block){.start = n->start, .size = n->size, .used = true};
    return 0;
}

static struct tree *tree_leaf(struct tree *n, uint32_t granule)
{
    if (granule < n->start || granule >= n->start + n->size)
        return NULL;
    for (uint32_t i = 0; i < n->children; i++)
        if (granule >= n->child[i]->start && granule < n->child[i]->start + n->child[i]->size)
            return tree_leaf(n->child[i], granule);
    return n;
}

static struct tree *model_leaf(const struct model *m, uint32_t granule)
{
    struct tree *leaf = NULL;
    for (uint32_t i = 0; i < m->tiles && !leaf; i++)
        leaf = tree_leaf(m->tile[i], granule);
    return leaf;
}

static bool tree_is_free(const struct tree *n)
{
    return n->children == 0 && !n->used;
}

static int model_free(struct model *m, uint32_t start)
{
    struct tree *n = start < m->granules ? model_leaf(m, start) : NULL;
    if (!n || !n->used || n->start != start)
        return -EFAULT;
    n->used = false;
    for (n = n->parent; n; n = n->parent) {
        for (uint32_t i = 0; i < n->children; i++)
            if (!tree_is_free(n->child[i]))
                return 0;
        for (uint32_t i = 0; i < n->children; i++)
            free(n->child[i]);
        n->children = 0;
    }
    return 0;
}

struct walk {
    struct rng r;
    struct model m;
    struct fh_mem mem;
    struct fh_buddy_tables tables;
    struct fh_buddy b;
    uint32_t live[LIVE_MAX], lives;
};

/* Mostly small, so that an arena holds many blocks; now and then any size, also a wrong one. */
static uint32_t any_size(struct walk *w)
{
    if (rng_percent(&w->r, 5))
        return (uint32_t)rng_below(&w->r, w->m.granules + 3);
    return (uint32_t)rng_log_uniform(&w->r, (uint32_t)rng_below(&w->r, 9));
}

static void step_alloc(struct walk *w)
{
    struct fh_buddy_block got = {0}, expected = {0};
    uint32_t size = any_size(w);
    bool fits = fh_buddy_fits(&w->b, size);
    int rc = fh_buddy_alloc(&w->b, size, &got);

    cr_assert_eq(rc, model_alloc(&w->m, size, &expected), "size %u", size);
    cr_assert_eq(fits, rc == 0);
    cr_assert_eq(got.start, expected.start, "size %u", size);
    cr_assert_eq(got.size, expected.size, "size %u", size);
    if (rc == 0)
        w->live[w->lives++] = got.start;
}

static void step_free(struct walk *w)
{
    uint32_t i = (uint32_t)rng_below(&w->r, w->lives);
    uint32_t start = w->live[i];
    cr_assert_eq(fh_buddy_free(&w->b, start), 0);
    cr_assert_eq(model_free(&w->m, start), 0);
    w->live[i] = w->live[--w->lives];
}

static void step_free_anything(struct walk *w)
{
    uint32_t start = (uint32_t)rng_below(&w->r, w->m.granules + 5);
    int rc = fh_buddy_free(&w->b, start);
    cr_assert_eq(rc, model_free(&w->m, start));
    for (uint32_t i = 0; rc == 0 && i < w->lives; i++)
        if (w->live[i] == start)
            w->live[i--] = w->live[--w->lives];
}

static void compare_places(const struct walk *w)
{
    for (uint32_t g = 0; g < w->m.granules; g++) {
        struct fh_buddy_block got = fh_buddy_find(&w->b, g);
        const struct tree *expected = model_leaf(&w->m, g);
        cr_assert_eq(got.start, expected->start);
        cr_assert_eq(got.size, expected->size);
        cr_assert_eq(got.used, expected->used);
    }
}

static void free_all(struct walk *w)
{
    while (w->lives > 0)
        step_free(w);
    cr_assert_eq(w->b.used, 0);
    for (uint32_t i = 0; i < w->m.tiles; i++) {
        struct fh_buddy_block tile = fh_buddy_find(&w->b, w->m.tile[i]->start);
        cr_assert_eq(tile.start, w->m.tile[i]->start);
        cr_assert_eq(tile.size, w->m.tile[i]->size);
    }
    cr_assert(fh_buddy_check(&w->b, stderr));
}

static void walk_arena(struct walk *w, const struct fh_buddy_system *s, uint32_t granules,
                       uint32_t steps)
{
    uint32_t share = 65; /* of allocations; swings, so that the arena fills and drains */
    uint32_t check_every = steps / CHECKS_MAX + 1;
    fh_buddy_tables_init(&w->tables, s, granules);
    cr_assert_eq(fh_buddy_init(&w->b, &w->tables, &w->mem), 0);
    model_init(&w->m, s->name, granules);
    cr_assert_eq(w->m.tiles, w->tables.tiles);
    for (uint32_t step = 0; step < steps; step++) {
        if (step % SWING == SWING - 1)
            share = 100 - share;
        if (rng_percent(&w->r, 3))
            step_free_anything(w);
        else if (w->lives == 0 || rng_percent(&w->r, share))
            step_alloc(w);
        else
            step_free(w);
        if (step % check_every == 0)
            cr_assert(fh_buddy_check(&w->b, stderr), "step %u", step);
        if (step % (COMPARE_EVERY * check_every) == 0)
            compare_places(w);
    }
    free_all(w);
    model_fini(&w->m);
    fh_buddy_fini(&w->b);
}

static uint32_t steps_from_env(void)
{
    const char *text = getenv("FH_STEPS");
    return text ? (uint32_t)strtoul(text, NULL, 0) : STEPS;
}

static void walk_system(const char *name)
{
    static const uint32_t sizes[] = {1,   2,   3,   7,   16,  64,   100,
                                     128, 233, 377, 512, 640, 1024, GRANULES_MAX};
    static struct walk w;
    w.r = rng_from_env(name);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        walk_arena(&w, fh_buddy_system_find(name), sizes[i], steps_from_env());
    cr_assert_eq(w.mem.used_bytes, 0);
}

TestSuite(buddy_model, .timeout = 60);

Test(buddy_model, binary_places_blocks_as_the_tree_does)
{
    walk_system("binary");
}

Test(buddy_model, fibonacci_places_blocks_as_the_tree_does)
{
    walk_system("fibonacci");
}

Test(buddy_model, weighted_places_blocks_as_the_tree_does)
{
    walk_system("weighted");
}

Test(buddy_model, tertiary_places_blocks_as_the_tree_does)
{
    walk_system("tertiary");
}
