/*
 * Theory.  The heap joins the two carvers: up to 32 KiB the slab, above it the space. Who carved an
 * address is written on its page: the mark is the number of a slab, the tag of a page block + 1, or
 * 0. So one look decides, for any address, also an invented one.
 *
 *   mark   0x8....... slab number    1..0x40000000 tag + 1 of the block that starts here    0 none
 *
 * Invariants
 *   [I1] those of space and slab
 *   [I2] allocs - frees equals the objects of the slabs plus the page blocks
 */
#include "heap.h"

#include <errno.h>
#include <inttypes.h>

#include "bits.h"
#include "report.h"

int fh_heap_init(struct fh_heap *h, const struct fh_heap_opts *opts)
{
    *h = (struct fh_heap){.opts = *opts};
    int rc = fh_space_init(&h->space, opts->mem, opts->system);
    if (rc != 0)
        return rc;
    fh_slab_init(&h->slab, &(struct fh_slab_opts){.mem = opts->mem,
                                                  .space = &h->space,
                                                  .record_bytes = opts->record_bytes,
                                                  .discard = opts->discard,
                                                  .resident = opts->resident,
                                                  .ctx = opts->ctx});
    return 0;
}

void fh_heap_fini(struct fh_heap *h)
{
    fh_slab_fini(&h->slab);
    fh_space_fini(&h->space);
}

static struct fh_heap_block block_of_space(const struct fh_space_block *b)
{
    FH_ASSERT(b->mark > 0); /* 0 is no block's */
    FH_ASSERT(!(b->mark & FH_SPACE_SLAB));
    return (struct fh_heap_block){.addr = fh_addr_of_page(b->first),
                                  .room_bytes = b->pages << FH_PAGE_SHIFT,
                                  .tag = b->mark - 1};
}

/* Field by field: built whole and then copied it would be loaded before its stores are done. */
static void block_of_slab(const struct fh_slab_object *o, struct fh_heap_block *out)
{
    out->addr = o->addr;
    out->room_bytes = o->run->cache->size->object_bytes;
    out->run = o->run;
    out->index = o->index;
    out->tag = 0;
}

int fh_heap_alloc_pages(struct fh_heap *h, uint64_t pages, uint32_t tag, struct fh_heap_block *out)
{
    struct fh_space_block block;

    FH_ASSERT(tag <= FH_SPACE_TAG_MAX);
    int rc = fh_space_alloc(&h->space, fh_max_u64(pages, 1), tag + 1, &block);
    if (rc != 0)
        return rc;
    h->allocs++;
    *out = block_of_space(&block);
    return 0;
}

int fh_heap_alloc(struct fh_heap *h, uint32_t tenant, uint64_t size, uint32_t tag,
                  struct fh_heap_block *out)
{
    struct fh_slab_object object;

    if (size > FH_OBJECT_SIZE_MAX)
        return -EFBIG;
    if (size > FH_SLAB_SIZE_MAX)
        return fh_heap_alloc_pages(h, fh_pages_for(size), tag, out);
    int rc = fh_slab_alloc(&h->slab, tenant, (uint32_t)size, &object);
    if (rc != 0)
        return rc;
    h->allocs++;
    block_of_slab(&object, out);
    return 0;
}

int fh_heap_alloc_typed(struct fh_heap *h, struct fh_slab_cache *cache, struct fh_heap_block *out)
{
    struct fh_slab_object object;
    int rc = fh_slab_cache_alloc(&h->slab, cache, &object);

    if (rc != 0)
        return rc;
    h->allocs++;
    block_of_slab(&object, out);
    return 0;
}

void fh_heap_alloc_in(struct fh_heap *h, struct fh_slab_run *run, struct fh_heap_block *out)
{
    struct fh_slab_object object;

    fh_slab_alloc_in(&h->slab, run, &object);
    h->allocs++;
    block_of_slab(&object, out);
}

int fh_heap_free(struct fh_heap *h, struct fh_addr addr)
{
    uint32_t mark = fh_space_mark_at(&h->space, fh_page_of_addr(addr));
    int rc = -EFAULT;

    if (mark & FH_SPACE_SLAB)
        rc = fh_slab_free(&h->slab, mark & ~FH_SPACE_SLAB, addr);
    else if (mark != 0 && fh_addr_in_page(addr) == 0)
        rc = fh_space_free(&h->space, fh_page_of_addr(addr));
    h->frees += rc == 0;
    FH_ASSERT(h->frees <= h->allocs); /* [I2] */
    return rc;
}

int fh_heap_find(const struct fh_heap *h, struct fh_addr addr, struct fh_heap_block *out)
{
    uint32_t mark = fh_space_mark_at(&h->space, fh_page_of_addr(addr));
    struct fh_slab_object object;
    struct fh_space_block block;
    int rc = -EFAULT;

    if (mark & FH_SPACE_SLAB) {
        rc = fh_slab_find(&h->slab, mark & ~FH_SPACE_SLAB, addr, &object);
        if (rc == 0)
            block_of_slab(&object, out);
    } else if (mark != 0 && fh_addr_in_page(addr) == 0) {
        rc = fh_space_find(&h->space, fh_page_of_addr(addr), &block);
        if (rc == 0)
            *out = block_of_space(&block);
    }
    return rc;
}

int fh_heap_find_page(const struct fh_heap *h, struct fh_page page, struct fh_heap_block *out)
{
    struct fh_space_block block;
    int rc = fh_space_find_inner(&h->space, page, &block);
    if (rc != 0)
        return rc;
    if (block.mark & FH_SPACE_SLAB)
        return -EFAULT;
    *out = block_of_space(&block);
    return 0;
}

void fh_heap_trim(struct fh_heap *h)
{
    fh_slab_trim(&h->slab);
    fh_space_trim(&h->space);
}

void fh_heap_stats(const struct fh_heap *h, struct fh_heap_stats *out)
{
    *out = (struct fh_heap_stats){.allocs = h->allocs, .frees = h->frees};
    fh_space_stats(&h->space, &out->space);
    fh_slab_stats(&h->slab, &out->slab);
}

/* Blocks in use of the space, slabs included: those of the buddies, and segments. */
static uint64_t space_blocks(const struct fh_space *s)
{
    struct fh_buddy_class_stats c;
    uint64_t blocks = s->segments;
    for (uint32_t class = 0; fh_space_class_stats(s, class, &c); class ++)
        blocks += c.used_blocks;
    return blocks;
}

bool fh_heap_check(const struct fh_heap *h, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    bool space_is_whole = fh_space_check(&h->space, why);
    bool slab_is_whole = fh_slab_check(&h->slab, why);
    struct fh_heap_stats st;

    fh_heap_stats(h, &st);
    uint64_t live = st.slab.used + space_blocks(&h->space) - st.slab.slabs;
    if (h->allocs - h->frees != live)
        fh_report(&r, "[I2] %" PRIu64 " allocs - %" PRIu64 " frees, %" PRIu64 " blocks live",
                  h->allocs, h->frees, live);
    return space_is_whole && slab_is_whole && r.broken == 0;
}

void fh_heap_dump(const struct fh_heap *h, FILE *out)
{
    fprintf(out, "heap: %" PRIu64 " allocs, %" PRIu64 " frees\n", h->allocs, h->frees);
    fh_space_dump(&h->space, out);
    fh_slab_dump(&h->slab, out);
}
