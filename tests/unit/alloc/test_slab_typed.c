/* Typed caches: a geometry of their own, objects for their owner alone. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "alloc/heap.h"
#include "tests/support/heap_tag.h"

enum { TENANT = 3, TAG = 5 };

static struct fh_mem mem;
static struct fh_heap h;
static struct fh_slab_size size;
static struct fh_slab_cache cache;

static void setup(void)
{
    cr_assert_eq(fh_heap_init(&h, &(struct fh_heap_opts){.mem = &mem,
                                                         .system = &fh_buddy_binary,
                                                         .record_bytes = HEAP_TAG_BYTES}),
                 0);
    memset(&cache, 0xa5, sizeof(cache));
    fh_slab_size_init_typed(&size, 1000, HEAP_TAG_BYTES);
    cr_assert_eq(fh_slab_cache_open(&h.slab, &cache, TENANT, &size), 0);
}

static void teardown(void)
{
    fh_heap_fini(&h);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(slab_typed, .init = setup, .fini = teardown, .timeout = 20);

static struct fh_addr take(void)
{
    struct fh_heap_block block;
    cr_assert_eq(fh_heap_alloc_typed(&h, &cache, &block), 0);
    cr_assert_eq(block.room_bytes, 1000);
    cr_assert_not_null(block.run);
    cr_assert_eq(block.run->cache, &cache);
    return block.addr;
}

static bool check_names(const char *invariant)
{
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    bool whole = fh_slab_check(&h.slab, out);
    fclose(out);
    bool named = strstr(text, invariant) != NULL;
    free(text);
    return !whole && named;
}

Test(slab_typed, any_size_wastes_at_most_an_eighth)
{
    for (uint32_t bytes = FH_SLAB_SIZE_MIN; bytes <= FH_SLAB_SIZE_MAX; bytes++) {
        struct fh_slab_size z;
        fh_slab_size_init_typed(&z, bytes, 0);
        uint32_t room = z.pages * FH_PAGE_SIZE, tail = room - z.objects * bytes;
        cr_assert_eq(z.object_bytes, bytes);
        cr_assert_leq(z.pages, FH_SLAB_PAGES_MAX);
        cr_assert_lt(tail, bytes);
        cr_assert_leq(tail * 8, room, "%u B: %u of %u wasted", bytes, tail, room);
        cr_assert(bytes <= 512 ? z.pages == 1 : z.objects >= 6, "%u B", bytes);
    }
}

Test(slab_typed, the_index_of_every_byte_is_exact)
{
    for (uint32_t bytes = FH_SLAB_SIZE_MIN; bytes <= FH_SLAB_SIZE_MAX;
         bytes += bytes < 600 ? 1 : 331) {
        struct fh_slab_size z;
        fh_slab_size_init_typed(&z, bytes, 0);
        for (uint32_t offset = 0; offset < z.pages * FH_PAGE_SIZE; offset += 7)
            cr_assert_eq(fh_slab_size_object_at(&z, offset), offset / bytes, "%u B", bytes);
        for (uint32_t used = 0; used <= z.objects; used++)
            cr_assert_eq(fh_slab_size_fill(&z, used), used * 8 / z.objects, "%u B", bytes);
    }
}

Test(slab_typed, objects_are_its_own_and_found_as_such)
{
    struct fh_heap_block other, found;
    struct fh_addr first = take(), second = take();
    cr_assert_eq(second.v, first.v + 1000);
    cr_assert_eq(fh_heap_alloc(&h, TENANT, 1000, TAG, &other), 0);
    cr_assert_eq(other.run->cache->typed, 0);
    cr_assert_neq(fh_space_mark_at(&h.space, fh_page_of_addr(other.addr)),
                  fh_space_mark_at(&h.space, fh_page_of_addr(first)), "another slab");
    cr_assert_eq(fh_heap_find(&h, second, &found), 0);
    cr_assert_eq(found.run->cache->typed, cache.typed);
    heap_tag_put(&found, TAG);
    cr_assert_eq(fh_heap_find(&h, second, &found), 0);
    cr_assert_eq(heap_tag_get(&found), TAG);
    cr_assert_eq(heap_tag_free(&h, second), 0);
    cr_assert_eq(fh_heap_free(&h, second), -EFAULT, "twice");
    cr_assert(fh_heap_check(&h, stderr));
}

Test(slab_typed, a_cache_with_live_objects_is_not_closed)
{
    struct fh_addr a = take();
    cr_assert_eq(fh_slab_cache_close(&h.slab, &cache), -EBUSY);
    cr_assert(fh_heap_check(&h, stderr));
    cr_assert_eq(fh_heap_free(&h, a), 0);
    cr_assert_eq(fh_slab_cache_close(&h.slab, &cache), 0);
    cr_assert_eq(h.slab.runs_used, 0);
    cr_assert(fh_heap_check(&h, stderr));
}

Test(slab_typed, trim_takes_its_empty_slab_and_leaves_the_cache)
{
    struct fh_slab_cache_stats c;
    uint64_t cursor = 0;
    cr_assert_eq(fh_heap_free(&h, take()), 0);
    cr_assert_eq(h.slab.runs_used, 1);
    fh_heap_trim(&h);
    cr_assert_eq(h.slab.runs_used, 0);
    cr_assert(fh_slab_cache_next(&h.slab, &cursor, &c), "told of, though it has no slab");
    cr_assert_eq(c.typed, cache.typed);
    cr_assert_eq(c.tenant, TENANT);
    cr_assert_not(fh_slab_cache_next(&h.slab, &cursor, &c));
    take();
    cr_assert(fh_heap_check(&h, stderr));
}

Test(slab_typed, there_are_only_so_many_and_numbers_are_used_again)
{
    static struct fh_slab_cache more[FH_SLAB_TYPED_MAX];
    uint32_t count = 1;
    while (fh_slab_cache_open(&h.slab, &more[count - 1], TENANT, &size) == 0)
        cr_assert_lt(++count, FH_SLAB_TYPED_MAX + 1);
    cr_assert_eq(count, FH_SLAB_TYPED_MAX);
    cr_assert_eq(fh_slab_cache_open(&h.slab, &more[count - 1], TENANT, &size), -ENOSPC);
    cr_assert(fh_slab_check(&h.slab, stderr));
    cr_assert_eq(fh_slab_cache_close(&h.slab, &more[7]), 0);
    cr_assert_eq(fh_slab_cache_open(&h.slab, &more[7], TENANT, &size), 0);
    cr_assert_eq(more[7].typed, 9);
}

Test(slab_typed, without_memory_nothing_has_happened)
{
    struct fh_heap_block block = {.tag = 77};
    uint32_t failures = 0;
    for (uint64_t n = 1;; n++, failures++) {
        fh_heap_trim(&h);
        mem.fail_at = mem.calls + n;
        if (fh_heap_alloc_typed(&h, &cache, &block) == 0)
            break;
        cr_assert_eq(block.tag, 77);
        cr_assert(fh_heap_check(&h, stderr));
    }
    cr_assert_geq(failures, 3);
}

Test(slab_typed, the_dump_names_it)
{
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    take();
    fh_slab_dump(&h.slab, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "size 1000 typed"));
    free(text);
}

Test(slab_typed, check_sees_a_number_of_another)
{
    take();
    cache.typed = 2;
    cr_assert(check_names("[I7]"));
    cache.typed = FH_SLAB_TYPED_MAX + 1;
    cr_assert(check_names("[I7]"));
    cache.typed = 1;
    cr_assert(fh_slab_check(&h.slab, stderr));
}
