/*
 * Theory.  Sizes grow by an eighth of a power of two: 16, 18, 20 .. 32, 36, 40 .. 32768, so that
 * rounding costs 4.6 % in the mean. Up to 512 B a slab is one page and no object straddles two: one
 * object, one fault. Above, it is the fewest pages that hold at least six objects and waste at most
 * 1/16: 2 KiB objects lie six to three pages. Typed caches have sizes of any kind: from the fewest
 * pages that hold six objects to twice as many, the number that wastes least, mostly nothing.
 *
 *   offset of the object  index * object_bytes
 *   index of an offset    offset * ceil(2^40 / object_bytes) >> 40, exact while offset *
 * object_bytes is below 2^40: here it is at most 2^18 * 2^15
 *
 * Invariants (counted by the check of slab)
 *   [I1] used is the number of objects whose bit is clear; no bit is set beyond the last object
 *   [I2] the record of a free object is zeros
 */
#include "slab_run.h"

#include "assert.h"

enum {
    ONE_PAGE_MAX = 512, /* up to this size no object straddles pages */
    OBJECTS_MIN = 6,
    TAIL_SHARE = 16, /* of a slab, at most wasted behind the last object */
};

_Static_assert((UINT64_C(1) << 40) > (uint64_t)FH_SLAB_PAGES_MAX * FH_PAGE_SIZE * FH_SLAB_SIZE_MAX,
               "division by multiplication is exact");

static uint32_t size_pages(uint32_t object_bytes)
{
    uint32_t pages = 1;
    if (object_bytes <= ONE_PAGE_MAX)
        return pages;
    while (pages * FH_PAGE_SIZE / object_bytes < OBJECTS_MIN ||
           pages * FH_PAGE_SIZE % object_bytes > pages * FH_PAGE_SIZE / TAIL_SHARE)
        pages++;
    FH_ASSERT(pages <= FH_SLAB_PAGES_MAX);
    return pages;
}

static uint32_t typed_pages(uint32_t object_bytes)
{
    uint32_t fewest = (OBJECTS_MIN * object_bytes + FH_PAGE_SIZE - 1) / FH_PAGE_SIZE;
    uint32_t best = fewest;

    if (object_bytes <= ONE_PAGE_MAX)
        return 1;
    for (uint32_t pages = fewest; pages <= 2 * fewest && pages <= FH_SLAB_PAGES_MAX; pages++)
        if ((uint64_t)(pages * FH_PAGE_SIZE % object_bytes) * best <
            (uint64_t)(best * FH_PAGE_SIZE % object_bytes) * pages)
            best = pages;
    return best;
}

static void size_fill_in(struct fh_slab_size *z, uint32_t object_bytes, uint32_t pages,
                         uint32_t record_bytes)
{
    uint32_t objects = pages * FH_PAGE_SIZE / object_bytes;
    FH_ASSERT(objects <= FH_SLAB_OBJECTS_MAX);
    *z = (struct fh_slab_size){
        .object_bytes = object_bytes,
        .pages = pages,
        .objects = objects,
        .record_bytes = record_bytes,
        .inverse = ((UINT64_C(1) << 40) + object_bytes - 1) / object_bytes,
        .fill_inverse = ((UINT64_C(1) << 35) + objects - 1) / objects,
    };
}

void fh_slab_size_init(struct fh_slab_size *z, uint32_t index, uint32_t record_bytes)
{
    FH_ASSERT(index < FH_SLAB_SIZES);
    uint32_t object_bytes = (8 + index % 8) << (index / 8 + 1);
    size_fill_in(z, object_bytes, size_pages(object_bytes), record_bytes);
}

void fh_slab_size_init_typed(struct fh_slab_size *z, uint32_t object_bytes, uint32_t record_bytes)
{
    FH_ASSERT(object_bytes >= FH_SLAB_SIZE_MIN);
    FH_ASSERT(object_bytes <= FH_SLAB_SIZE_MAX);
    size_fill_in(z, object_bytes, typed_pages(object_bytes), record_bytes);
}

static size_t run_size(const struct fh_slab_size *z)
{
    return sizeof(struct fh_slab_run) + fh_slab_size_words(z) * sizeof(uint64_t) +
           (size_t)z->objects * z->record_bytes;
}

struct fh_slab_run *fh_slab_run_create(struct fh_mem *mem, const struct fh_slab_size *z,
                                       struct fh_slab_cache *cache)
{
    struct fh_slab_run *run = fh_mem_take(mem, run_size(z));
    if (!run)
        return NULL;
    run->cache = cache;
    run->fill = FH_SLAB_FILL_NONE;
    run->prev = run->next = FH_SLAB_NUMBER_NONE;
    for (uint32_t w = 0; w < z->objects / 64; w++)
        run->free_bits[w] = UINT64_MAX;
    for (uint32_t o = z->objects & ~63u; o < z->objects; o++)
        fh_bit_set(run->free_bits, o);
    return run;
}

void fh_slab_run_destroy(struct fh_mem *mem, const struct fh_slab_size *z, struct fh_slab_run *run)
{
    fh_mem_give(mem, run, run_size(z));
}

bool fh_slab_run_page_is_live(const struct fh_slab_run *run, const struct fh_slab_size *z,
                              uint32_t page)
{
    uint64_t offset = (uint64_t)page * FH_PAGE_SIZE;
    if (run->used == 0 || z->pages == 1)
        return run->used > 0;
    uint32_t last = fh_slab_size_object_at(z, offset + FH_PAGE_SIZE - 1);
    for (uint32_t o = fh_slab_size_object_at(z, offset); o <= last && o < z->objects; o++)
        if (!fh_bit_is_set(run->free_bits, o))
            return true;
    return false;
}
