/*
 * Theory.  What a slab allocator has, and how it comes and goes: caches, by tenant and size or with
 * a number of their own; slabs, each with books and a block of the space; numbers, which lead from a
 * page's mark to the books. A table has a word per number: the slab's books, or the next number that
 * is free.
 *
 *   runs   [books of 0][next 3 | 1][books of 2][next 5 | 1]...      free_number = 1
 *
 * Caches of tenant and size are made when first asked for and go when trim finds them without a
 * slab; typed ones are their owner's. A slab is made when no other has room, becomes its cache's
 * empty one, and goes when another is empty already, or with trim.
 *
 * Invariants: those at the head of slab.c.
 */
#include <errno.h>

#include "slab_private.h"

enum { RUNS_CAP_FIRST = 64 };

/* --- numbers --- */

static void slab_free_number(struct fh_slab *s, uint32_t number)
{
    s->runs[number] = (uint64_t)s->free_number << 1 | 1;
    s->free_number = number;
}

/* Sees to it that there is a free number. */
static int slab_reserve_number(struct fh_slab *s)
{
    if (s->free_number != FH_SLAB_NUMBER_NONE)
        return 0;
    uint32_t cap = s->runs_cap ? s->runs_cap * 2 : RUNS_CAP_FIRST;
    uint64_t *runs = cap > FH_SLAB_NUMBERS_MAX
                         ? NULL
                         : fh_mem_grow(s->opts.mem, s->runs, s->runs_cap * sizeof(uint64_t),
                                       cap * sizeof(uint64_t));
    if (!runs)
        return -ENOMEM;
    s->runs = runs;
    for (uint32_t n = cap; n-- > s->runs_cap;)
        slab_free_number(s, n);
    s->runs_cap = cap;
    return 0;
}

static void slab_number_run(struct fh_slab *s, struct fh_slab_run *run)
{
    uint32_t number = s->free_number;

    FH_ASSERT(number < s->runs_cap);       /* [I4] */
    FH_ASSERT((s->runs[number] & 1) != 0); /* [I4] */
    run->number = number;
    s->free_number = (uint32_t)(s->runs[number] >> 1);
    s->runs[number] = (uintptr_t)run;
    s->runs_used++;
}

/* --- slabs --- */

int fh_slab_open_run(struct fh_slab *s, struct fh_slab_cache *c)
{
    struct fh_space_block block;
    int rc = slab_reserve_number(s);
    if (rc != 0)
        return rc;
    struct fh_slab_run *run = fh_slab_run_create(s->opts.mem, c->size, c);
    if (!run)
        return -ENOMEM;
    rc = fh_space_alloc(s->opts.space, c->size->pages, FH_SPACE_SLAB | s->free_number, &block);
    if (rc != 0) {
        fh_slab_run_destroy(s->opts.mem, c->size, run);
        return rc;
    }
    FH_ASSERT(c->empty == NULL);              /* [I3] */
    FH_ASSERT(block.pages >= c->size->pages); /* [I5] */
    run->first = block.first;
    fh_space_mark_pages(s->opts.space, run->first, c->size->pages);
    slab_number_run(s, run);
    c->empty = run;
    c->slabs++;
    return 0;
}

void fh_slab_close_run(struct fh_slab *s, struct fh_slab_run *run)
{
    struct fh_slab_cache *c = run->cache;

    FH_ASSERT(run->used == 0);
    FH_ASSERT(run->fill == FH_SLAB_FILL_NONE); /* [I3] */
    FH_ASSERT(c->slabs > 0);                   /* [I6] */
    FH_ASSERT(s->runs_used > 0);               /* [I6] */
    int rc = fh_space_free(s->opts.space, run->first);
    FH_ASSERT(rc == 0); /* [I5] */
    slab_free_number(s, run->number);
    s->runs_used--;
    c->slabs--;
    fh_slab_run_destroy(s->opts.mem, c->size, run);
}

/* --- caches --- */

static int slab_grow_tenants(struct fh_slab *s, uint32_t tenant)
{
    uint32_t cap = s->tenants_cap ? s->tenants_cap : 1;
    while (cap <= tenant)
        cap *= 2;
    struct fh_slab_cache ***tenants = fh_mem_grow(
        s->opts.mem, (void *)s->tenants, s->tenants_cap * sizeof(*tenants), cap * sizeof(*tenants));
    if (!tenants)
        return -ENOMEM;
    s->tenants = tenants;
    s->tenants_cap = cap;
    return 0;
}

static struct fh_slab_cache *cache_create(struct fh_slab *s, uint32_t tenant, uint32_t index)
{
    struct fh_slab_cache *c = fh_mem_take(s->opts.mem, sizeof(*c));
    if (!c)
        return NULL;
    *c = (struct fh_slab_cache){.tenant = tenant, .size = &s->sizes[index]};
    s->caches++;
    return c;
}

/* What was made on the way to a failure stays for next time. */
struct fh_slab_cache *fh_slab_add_cache(struct fh_slab *s, uint32_t tenant, uint32_t index)
{
    if (tenant >= s->tenants_cap && slab_grow_tenants(s, tenant) != 0)
        return NULL;
    if (!s->tenants[tenant])
        s->tenants[tenant] =
            fh_mem_take(s->opts.mem, FH_SLAB_SIZES * sizeof(struct fh_slab_cache *));
    if (!s->tenants[tenant])
        return NULL;
    FH_ASSERT(s->tenants[tenant][index] == NULL);
    return s->tenants[tenant][index] = cache_create(s, tenant, index);
}

static void slab_drop_cache(struct fh_slab *s, uint32_t tenant, uint32_t index)
{
    fh_mem_give(s->opts.mem, s->tenants[tenant][index], sizeof(struct fh_slab_cache));
    s->tenants[tenant][index] = NULL;
    s->caches--;
}

static void slab_drop_tenant(struct fh_slab *s, uint32_t tenant)
{
    fh_mem_give(s->opts.mem, (void *)s->tenants[tenant],
                FH_SLAB_SIZES * sizeof(struct fh_slab_cache *));
    s->tenants[tenant] = NULL;
}

static void slab_trim_cache(struct fh_slab *s, struct fh_slab_cache *c)
{
    struct fh_slab_run *run = c->empty;
    c->empty = NULL;
    if (run)
        fh_slab_close_run(s, run);
}

int fh_slab_cache_open(struct fh_slab *s, struct fh_slab_cache *c, uint32_t tenant,
                       const struct fh_slab_size *size)
{
    uint32_t i = 0;
    while (i < FH_SLAB_TYPED_MAX && s->typed[i])
        i++;
    if (i == FH_SLAB_TYPED_MAX)
        return -ENOSPC;
    *c = (struct fh_slab_cache){.tenant = tenant, .size = size, .typed = i + 1};
    s->typed[i] = c;
    s->caches++;
    return 0;
}

int fh_slab_cache_close(struct fh_slab *s, struct fh_slab_cache *c)
{
    FH_ASSERT(c->typed > 0 && s->typed[c->typed - 1] == c); /* [I7] */
    if (c->used > 0)
        return -EBUSY;
    slab_trim_cache(s, c);
    FH_ASSERT(c->slabs == 0); /* [I3] [I6] */
    s->typed[c->typed - 1] = NULL;
    s->caches--;
    return 0;
}

/* --- all of it --- */

void fh_slab_init(struct fh_slab *s, const struct fh_slab_opts *opts)
{
    *s = (struct fh_slab){.opts = *opts, .free_number = FH_SLAB_NUMBER_NONE};
    for (uint32_t i = 0; i < FH_SLAB_SIZES; i++)
        fh_slab_size_init(&s->sizes[i], i, opts->record_bytes);
}

void fh_slab_fini(struct fh_slab *s)
{
    for (uint32_t n = 0; n < s->runs_cap; n++) {
        struct fh_slab_run *run = fh_slab_run_at(s, n);
        if (run)
            fh_slab_run_destroy(s->opts.mem, run->cache->size, run);
    }
    for (uint32_t t = 0; t < s->tenants_cap; t++) {
        for (uint32_t i = 0; s->tenants[t] && i < FH_SLAB_SIZES; i++)
            if (s->tenants[t][i])
                slab_drop_cache(s, t, i);
        slab_drop_tenant(s, t);
    }
    fh_mem_give(s->opts.mem, s->runs, s->runs_cap * sizeof(uint64_t));
    fh_mem_give(s->opts.mem, (void *)s->tenants, s->tenants_cap * sizeof(*s->tenants));
    *s = (struct fh_slab){0};
}

/* Tenants without caches are passed in one step, the others in one per size. */
static uint32_t slab_trim_tenant(struct fh_slab *s, uint32_t tenant)
{
    uint32_t left = 0;
    if (!s->tenants[tenant])
        return 1;
    for (uint32_t i = 0; i < FH_SLAB_SIZES; i++) {
        struct fh_slab_cache *c = s->tenants[tenant][i];
        if (!c)
            continue;
        slab_trim_cache(s, c);
        if (c->slabs == 0)
            slab_drop_cache(s, tenant, i);
        else
            left++;
    }
    if (left == 0)
        slab_drop_tenant(s, tenant);
    return FH_SLAB_SIZES;
}

bool fh_slab_trim_some(struct fh_slab *s, uint32_t *cursor, uint32_t looks)
{
    uint32_t looked = 0;
    while (*cursor < s->tenants_cap && looked < looks)
        looked += slab_trim_tenant(s, (*cursor)++);
    if (looked >= looks)
        return true;
    for (uint32_t i = 0; i < FH_SLAB_TYPED_MAX; i++)
        if (s->typed[i])
            slab_trim_cache(s, s->typed[i]);
    *cursor = 0;
    return false;
}

void fh_slab_trim(struct fh_slab *s)
{
    uint32_t cursor = 0;
    while (fh_slab_trim_some(s, &cursor, UINT32_MAX))
        ;
}
