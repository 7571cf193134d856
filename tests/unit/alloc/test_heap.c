#include "alloc/heap.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "tests/support/heap_tag.h"

#define KIB UINT64_C(1024)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

static struct fh_mem mem;
static struct fh_heap h;

static void setup(void)
{
    memset(&h, 0xa5, sizeof(h));
    cr_assert_eq(fh_heap_init(&h, &(struct fh_heap_opts){.mem = &mem,
                                                         .system = &fh_buddy_binary,
                                                         .record_bytes = HEAP_TAG_BYTES}),
                 0);
}

static void teardown(void)
{
    fh_heap_fini(&h);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(heap, .init = setup, .fini = teardown, .timeout = 30);

static struct fh_heap_block take(uint64_t size, uint32_t tag)
{
    struct fh_heap_block block, found;
    cr_assert_eq(fh_heap_alloc(&h, 1, size, tag, &block), 0);
    cr_assert_geq(block.room_bytes, size);
    heap_tag_put(&block, tag);
    cr_assert_eq(heap_tag_get(&block), tag);
    cr_assert_eq(fh_heap_find(&h, block.addr, &found), 0);
    cr_assert_eq(found.addr.v, block.addr.v);
    cr_assert_eq(found.room_bytes, block.room_bytes);
    cr_assert_eq(heap_tag_get(&found), tag);
    cr_assert_eq(found.run, block.run);
    return block;
}

static void give(struct fh_heap_block block)
{
    cr_assert_eq(heap_tag_free(&h, block.addr), 0);
    cr_assert(fh_heap_check(&h, stderr));
}

static char *dump_text(void)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    fh_heap_dump(&h, out);
    fclose(out);
    return text;
}

Test(heap, size_decides_who_carves)
{
    static const struct {
        uint64_t size, room;
        bool in_slab;
    } rows[] = {
        {0, 16, true},
        {1, 16, true},
        {17, 18, true},
        {4096, 4096, true},
        {32 * KIB, 32 * KIB, true},
        {32 * KIB + 1, 64 * KIB, false},
        {100 * KIB, 128 * KIB, false},
        {GIB / 4, GIB / 4, false},
        {GIB / 4 + 1, GIB, false},
        {3 * GIB + 1, 4 * GIB, false},
        {TIB, TIB, false},
    };
    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fh_heap_block block = take(rows[i].size, i);
        cr_assert_eq(block.room_bytes, rows[i].room);
        cr_assert_eq(block.run != NULL, rows[i].in_slab);
    }
    cr_assert(fh_heap_check(&h, stderr));
}

Test(heap, more_than_a_tebibyte_is_refused)
{
    struct fh_heap_block block = {.tag = 77};
    cr_assert_eq(fh_heap_alloc(&h, 0, TIB + 1, 0, &block), -EFBIG);
    cr_assert_eq(fh_heap_alloc(&h, 0, UINT64_MAX, 0, &block), -EFBIG);
    cr_assert_eq(fh_heap_alloc_pages(&h, UINT64_MAX, 0, &block), -EFBIG);
    cr_assert_eq(block.tag, 77);
}

Test(heap, pages_on_request_are_the_callers_alone)
{
    struct fh_heap_block block, found;
    cr_assert_eq(fh_heap_alloc_pages(&h, 3, FH_SPACE_TAG_MAX, &block), 0);
    cr_assert_null(block.run);
    cr_assert_eq(block.room_bytes, 4 * FH_PAGE_SIZE);
    cr_assert_eq(fh_heap_find(&h, block.addr, &found), 0);
    cr_assert_eq(found.tag, FH_SPACE_TAG_MAX);
    give(block);
    cr_assert_eq(fh_heap_alloc_pages(&h, 0, 0, &block), 0);
    cr_assert_eq(block.room_bytes, FH_PAGE_SIZE);
}

Test(heap, a_page_leads_to_its_block_but_not_to_a_slab)
{
    struct fh_heap_block found;
    struct fh_heap_block small = take(100, 1), large = take(100 * KIB, 2), huge = take(TIB, 3);
    struct fh_page page = fh_page_of_addr(large.addr);
    for (uint64_t i = 0; i < large.room_bytes / FH_PAGE_SIZE; i++) {
        cr_assert_eq(fh_heap_find_page(&h, fh_page_add(page, i), &found), 0);
        cr_assert_eq(found.addr.v, large.addr.v);
        cr_assert_eq(found.tag, 2);
        cr_assert_null(found.run);
    }
    cr_assert_eq(fh_heap_find_page(&h, fh_page_of_addr(small.addr), &found), -EFAULT);
    cr_assert_eq(
        fh_heap_find_page(&h, (struct fh_page){(huge.addr.v + TIB - 1) >> FH_PAGE_SHIFT}, &found),
        0);
    cr_assert_eq(found.addr.v, huge.addr.v);
    give(large);
    cr_assert_eq(fh_heap_find_page(&h, page, &found), -EFAULT);
}

Test(heap, hostile_addresses_are_refused)
{
    struct fh_heap_block small = take(100, 1), large = take(100 * KIB, 2), huge = take(TIB, 3);
    const uint64_t addresses[] = {
        small.addr.v + 1,
        small.addr.v + 103,
        small.addr.v + 104, /* never handed out */
        small.addr.v + FH_PAGE_SIZE - 1,
        large.addr.v + 1,
        large.addr.v + FH_PAGE_SIZE,
        large.addr.v + large.room_bytes,
        huge.addr.v + 1,
        huge.addr.v + FH_PAGE_SIZE,
        huge.addr.v + GIB,
        huge.addr.v + TIB,
        UINT64_C(1) << 47,
        (UINT64_C(1) << 48) - 1,
        UINT64_C(1) << 48,
        UINT64_C(1) << 63,
        UINT64_MAX - FH_PAGE_SIZE + 1,
        UINT64_MAX,
    };
    char *before = dump_text();
    for (uint32_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct fh_heap_block found = {.tag = 77};
        struct fh_addr a = {addresses[i]};
        cr_assert_eq(fh_heap_find(&h, a, &found), -EFAULT, "%u", i);
        cr_assert_eq(fh_heap_free(&h, a), -EFAULT, "%u", i);
        cr_assert_eq(found.tag, 77);
    }
    cr_assert_eq(fh_heap_find_page(&h, (struct fh_page){UINT64_MAX}, &small), -EFAULT);
    char *after = dump_text();
    cr_assert_str_eq(before, after);
    free(before);
    free(after);
}

Test(heap, what_was_freed_is_refused)
{
    static const uint64_t sizes[] = {16, 5000, 100 * KIB, GIB};
    for (uint32_t i = 0; i < 4; i++) {
        struct fh_heap_block block = take(sizes[i], i), found;
        give(block);
        cr_assert_eq(fh_heap_free(&h, block.addr), -EFAULT);
        cr_assert_eq(fh_heap_find(&h, block.addr, &found), -EFAULT);
    }
}

Test(heap, after_free_all_and_trim_nothing_is_left)
{
    struct fh_heap_block blocks[200];
    struct fh_heap_stats st;
    for (uint32_t i = 0; i < 200; i++)
        blocks[i] = take(UINT64_C(1) << (i % 35), i);
    fh_heap_stats(&h, &st);
    cr_assert_eq(st.allocs, 200);
    cr_assert_gt(st.slab.used, 0);
    cr_assert_gt(st.space.segments, 0);
    for (uint32_t i = 0; i < 200; i++)
        give(blocks[i]);
    fh_heap_trim(&h);
    fh_heap_stats(&h, &st);
    cr_assert_eq(st.frees, 200);
    cr_assert_eq(st.slab.slabs, 0);
    cr_assert_eq(st.space.arenas_open, 0);
    cr_assert_eq(st.space.break_pages, 0);
    cr_assert(fh_heap_check(&h, stderr));
}

Test(heap, any_failure_of_memory_leaves_everything_as_it_was)
{
    static const uint64_t sizes[] = {1, 3000, 100 * KIB, GIB / 4};
    for (uint32_t i = 0; i < 4; i++) {
        struct fh_heap_block block = {.tag = 77};
        for (uint64_t n = 1;; n++) {
            fh_heap_trim(&h);
            char *before = dump_text();
            mem.fail_at = mem.calls + n;
            int rc = fh_heap_alloc(&h, 9, sizes[i], 1, &block);
            char *after = dump_text();
            if (rc != 0)
                cr_assert_str_eq(before, after);
            free(before);
            free(after);
            cr_assert(fh_heap_check(&h, stderr));
            if (rc == 0)
                break;
            cr_assert_eq(rc, -ENOMEM);
            cr_assert_eq(block.tag, 77);
        }
        give(block);
    }
}

Test(heap, a_heap_that_cannot_begin_takes_nothing)
{
    for (uint64_t n = 1; n <= 2; n++) {
        struct fh_mem poor = {.fail_at = n};
        struct fh_heap other;
        cr_assert_eq(
            fh_heap_init(&other, &(struct fh_heap_opts){.mem = &poor, .system = &fh_buddy_binary}),
            -ENOMEM);
        cr_assert_eq(poor.used_bytes, 0);
    }
}

Test(heap, a_tag_out_of_range_is_a_programmer_error, .signal = SIGABRT)
{
    struct fh_heap_block block;
    int rc = fh_heap_alloc(&h, 0, FH_SLAB_SIZE_MAX + 1, FH_SPACE_TAG_MAX + 1, &block);
    cr_assert_fail("came back with %d", rc);
}

Test(heap, check_sees_a_count_that_is_off)
{
    take(1, 0);
    h.allocs++;
    cr_assert_not(fh_heap_check(&h, NULL));
    h.allocs--;
    cr_assert(fh_heap_check(&h, stderr));
    h.slab.caches++;
    cr_assert_not(fh_heap_check(&h, NULL));
    h.slab.caches--;
    h.space.arenas++;
    cr_assert_not(fh_heap_check(&h, NULL));
    h.space.arenas--;
}
