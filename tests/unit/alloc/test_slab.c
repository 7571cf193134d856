#include "alloc/slab.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

enum { DISCARDS_MAX = 64, RECORD = 5 };

static struct fh_mem mem;
static struct fh_space space;
static struct fh_slab s;

static struct {
    uint64_t first, pages;
} discards[DISCARDS_MAX];
static uint32_t discard_count, resident_asked;
static uint64_t resident_page;

static void discard(void *ctx, struct fh_page first, uint64_t pages)
{
    cr_assert_eq(ctx, &space);
    cr_assert_lt(discard_count, DISCARDS_MAX);
    discards[discard_count].first = first.v;
    discards[discard_count++].pages = pages;
}

static bool resident(void *ctx, struct fh_page page)
{
    cr_assert_eq(ctx, &space);
    resident_asked++;
    return page.v == resident_page;
}

static void setup(void)
{
    cr_assert_eq(fh_space_init(&space, &mem, &fh_buddy_binary), 0);
    memset(&s, 0xa5, sizeof(s));
    fh_slab_init(&s, &(struct fh_slab_opts){.mem = &mem,
                                            .space = &space,
                                            .record_bytes = RECORD,
                                            .discard = discard,
                                            .ctx = &space});
}

static void teardown(void)
{
    fh_slab_fini(&s);
    fh_space_fini(&space);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(slab, .init = setup, .fini = teardown, .timeout = 30);

static struct fh_addr take(uint32_t tenant, uint32_t size)
{
    struct fh_slab_object o;
    cr_assert_eq(fh_slab_alloc(&s, tenant, size, &o), 0);
    cr_assert_geq(o.run->cache->size->object_bytes, size);
    return o.addr;
}

static uint32_t number_of(struct fh_addr a)
{
    uint32_t mark = fh_space_mark_at(&space, fh_page_of_addr(a));
    cr_assert(mark & FH_SPACE_SLAB);
    return mark & ~FH_SPACE_SLAB;
}

static int give(struct fh_addr a)
{
    return fh_slab_free(&s, number_of(a), a);
}

static struct fh_slab_stats stats(void)
{
    struct fh_slab_stats out;
    fh_slab_stats(&s, &out);
    return out;
}

static char *dump_text(void)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    fh_slab_dump(&s, out);
    fh_space_dump(&space, out);
    fclose(out);
    return text;
}

static bool check_names(const char *invariant)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    bool whole = fh_slab_check(&s, out);
    fclose(out);
    bool named = strstr(text, invariant) != NULL;
    free(text);
    return !whole && named;
}

Test(slab, sizes_grow_by_eighths_from_16_to_32_kib)
{
    cr_assert_eq(s.sizes[0].object_bytes, 16);
    cr_assert_eq(s.sizes[FH_SLAB_SIZES - 1].object_bytes, 32 * 1024);
    for (uint32_t i = 0; i + 8 < FH_SLAB_SIZES; i++) {
        cr_assert_gt(s.sizes[i + 1].object_bytes, s.sizes[i].object_bytes);
        cr_assert_eq(s.sizes[i + 8].object_bytes, 2 * s.sizes[i].object_bytes);
    }
    for (uint32_t size = 0; size <= FH_SLAB_SIZE_MAX; size++) {
        uint32_t i = fh_slab_size_index(size);
        cr_assert_geq(s.sizes[i].object_bytes, size);
        if (i > 0)
            cr_assert_lt(s.sizes[i - 1].object_bytes, size);
    }
}

Test(slab, geometry_wastes_little_and_keeps_small_objects_in_one_page)
{
    for (uint32_t i = 0; i < FH_SLAB_SIZES; i++) {
        const struct fh_slab_size *z = &s.sizes[i];
        uint32_t bytes = z->pages * FH_PAGE_SIZE, tail = bytes - z->objects * z->object_bytes;
        cr_assert_leq(z->pages, FH_SLAB_PAGES_MAX);
        cr_assert_lt(tail, z->object_bytes);
        if (z->object_bytes <= 512) {
            cr_assert_eq(z->pages, 1);
        } else {
            cr_assert_geq(z->objects, 6);
            cr_assert_leq(tail * 16, bytes);
        }
    }
    const struct fh_slab_size *two_kib = &s.sizes[fh_slab_size_index(2048)];
    cr_assert_eq(two_kib->pages, 3);
    cr_assert_eq(two_kib->objects, 6);
}

Test(slab, division_by_multiplication_is_exact)
{
    for (uint32_t i = 0; i < FH_SLAB_SIZES; i++) {
        const struct fh_slab_size *z = &s.sizes[i];
        for (uint32_t offset = 0; offset < z->pages * FH_PAGE_SIZE; offset++)
            cr_assert_eq(fh_slab_size_object_at(z, offset), offset / z->object_bytes);
        for (uint32_t used = 0; used <= z->objects; used++)
            cr_assert_eq(fh_slab_size_fill(z, used), used * 8 / z->objects);
    }
}

Test(slab, rounding_costs_less_than_five_percent)
{
    double sum = 0, weights = 0;
    for (uint32_t size = 257; size <= FH_SLAB_SIZE_MAX; size++) {
        double asked = size - 0.5;
        sum += s.sizes[fh_slab_size_index(size)].object_bytes / asked / asked;
        weights += 1 / asked;
    }
    cr_assert_float_eq(sum / weights, 1.046, 0.0105);
}

Test(slab, objects_of_a_slab_lie_side_by_side_from_its_first_byte)
{
    for (uint64_t i = 0; i < 6; i++)
        cr_assert_eq(take(0, 2048).v, i * 2048);
    struct fh_slab_cache_stats c;
    uint64_t cursor = 0;
    cr_assert(fh_slab_cache_next(&s, &cursor, &c));
    cr_assert_eq(c.object_size, 2048);
    cr_assert_eq(c.full, 1);
    cr_assert_eq(c.pages, 3);
    cr_assert_not(fh_slab_cache_next(&s, &cursor, &c));
    cr_assert_eq(take(0, 2048).v, 4 * FH_PAGE_SIZE, "the next slab");
    cr_assert(fh_slab_check(&s, stderr));
}

Test(slab, tenants_share_no_page)
{
    uint64_t pages[2][40];
    for (uint32_t i = 0; i < 40; i++)
        for (uint32_t t = 0; t < 2; t++)
            pages[t][i] = fh_page_of_addr(take(t * 1000, 400)).v;
    for (uint32_t i = 0; i < 40; i++)
        for (uint32_t k = 0; k < 40; k++)
            cr_assert_neq(pages[0][i], pages[1][k]);
    cr_assert_eq(stats().caches, 2);
    cr_assert(fh_slab_check(&s, stderr));
}

Test(slab, a_live_object_is_found_with_its_record_and_nothing_else_is)
{
    static const uint8_t blank[RECORD];
    struct fh_slab_object o, other, found;
    cr_assert_eq(fh_slab_alloc(&s, 3, 100, &o), 0);
    cr_assert_eq(fh_slab_alloc(&s, 3, 100, &other), 0);
    const struct fh_slab_size *z = o.run->cache->size;
    cr_assert_eq(z->object_bytes, 104);
    cr_assert_eq(o.run->cache->tenant, 3);
    cr_assert_arr_eq(fh_slab_run_record(o.run, z, o.index), blank, RECORD, "new: zeros");
    memset(fh_slab_run_record(o.run, z, o.index), 7, RECORD);
    cr_assert_eq(fh_slab_find(&s, number_of(o.addr), o.addr, &found), 0);
    cr_assert_eq(found.run, o.run);
    cr_assert_eq(found.index, o.index);
    cr_assert_arr_eq(fh_slab_run_record(other.run, z, other.index), blank, RECORD, "its own");
    memset(fh_slab_run_record(o.run, z, o.index), 0, RECORD);
    cr_assert_eq(give(other.addr), 0);
    for (uint64_t offset = 1; offset < FH_PAGE_SIZE; offset++) {
        struct fh_addr inner = {o.addr.v + offset};
        cr_assert_eq(fh_slab_find(&s, number_of(inner), inner, &found), -EFAULT);
        cr_assert_eq(fh_slab_free(&s, number_of(inner), inner), -EFAULT);
    }
    uint32_t number = number_of(o.addr);
    cr_assert_eq(give(o.addr), 0);
    cr_assert_eq(fh_slab_find(&s, number, o.addr, &found), -EFAULT);
    cr_assert_eq(fh_slab_free(&s, number, o.addr), -EFAULT, "twice");
}

Test(slab, too_large_is_refused)
{
    struct fh_slab_object o;
    take(0, FH_SLAB_SIZE_MAX);
    cr_assert_eq(fh_slab_alloc(&s, 0, FH_SLAB_SIZE_MAX + 1, &o), -EFBIG);
    cr_assert_eq(fh_slab_alloc(&s, 0, UINT32_MAX, &o), -EFBIG);
}

/* Three slabs of eight objects of 512 B, then `free_counts[i]` objects of the i-th freed. */
static void fill_three(struct fh_addr objects[3][8], const uint32_t free_counts[3])
{
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t k = 0; k < 8; k++)
            objects[i][k] = take(0, 512);
    for (uint32_t i = 0; i < 3; i++)
        for (uint32_t k = 0; k < free_counts[i]; k++)
            cr_assert_eq(give(objects[i][k]), 0);
    cr_assert(fh_slab_check(&s, stderr));
}

Test(slab, the_fullest_partial_slab_serves_first)
{
    struct fh_addr objects[3][8];
    fill_three(objects, (uint32_t[]){5, 1, 3});
    cr_assert_eq(take(0, 512).v, objects[1][0].v);
    cr_assert_eq(take(0, 512).v, objects[2][0].v);
    cr_assert_eq(take(0, 512).v, objects[2][1].v);
    cr_assert_eq(take(0, 512).v, objects[2][2].v);
    cr_assert_eq(take(0, 512).v, objects[0][0].v);
}

Test(slab, a_resident_slab_is_preferred_among_the_first_few)
{
    struct fh_addr objects[3][8];
    fill_three(objects, (uint32_t[]){5, 1, 3});
    s.opts.resident = resident;
    resident_page = fh_page_of_addr(objects[0][0]).v;
    cr_assert_eq(take(0, 512).v, objects[0][0].v);
    cr_assert_eq(resident_asked, 3);
    resident_page = UINT64_MAX;
    cr_assert_eq(take(0, 512).v, objects[1][0].v, "none is: the fullest");
}

Test(slab, no_more_than_eight_slabs_are_asked)
{
    struct fh_addr first[20];
    for (uint32_t i = 0; i < 20; i++) {
        first[i] = take(0, 512);
        for (uint32_t k = 1; k < 8; k++)
            take(0, 512);
    }
    for (uint32_t i = 0; i < 20; i++)
        cr_assert_eq(give(first[i]), 0);
    s.opts.resident = resident;
    resident_page = fh_page_of_addr(first[0]).v; /* freed first, so last in its list */
    cr_assert_eq(take(0, 512).v, first[19].v);
    cr_assert_eq(resident_asked, FH_SLAB_LOOKS);
}

Test(slab, one_empty_slab_is_kept_and_trim_gives_it_back)
{
    struct fh_addr objects[16];
    for (uint32_t i = 0; i < 16; i++)
        objects[i] = take(0, 512);
    for (uint32_t i = 0; i < 16; i++)
        cr_assert_eq(give(objects[i]), 0);
    cr_assert_eq(stats().slabs, 1);
    cr_assert_eq(stats().empty, 1);
    cr_assert_eq(stats().pages, 1);
    cr_assert(fh_slab_check(&s, stderr));
    take(0, 512);
    cr_assert_eq(stats().slabs, 1);
    cr_assert_eq(stats().empty, 0);
    fh_slab_trim(&s);
    cr_assert_eq(stats().slabs, 1, "a busy slab stays");
    cr_assert_eq(give(objects[0]), 0);
    fh_slab_trim(&s);
    cr_assert_eq(stats().slabs, 0);
    cr_assert_eq(s.caches, 0);
    cr_assert(fh_slab_check(&s, stderr));
    cr_assert(fh_space_check(&space, stderr));
}

Test(slab, a_page_is_discarded_when_its_last_object_goes)
{
    struct fh_addr o[6];
    for (uint32_t i = 0; i < 6; i++)
        o[i] = take(0, 2048); /* two to a page */
    cr_assert_eq(give(o[2]), 0);
    cr_assert_eq(discard_count, 0);
    cr_assert_eq(give(o[3]), 0);
    cr_assert_eq(discard_count, 1);
    cr_assert_eq(discards[0].first, 1);
    cr_assert_eq(discards[0].pages, 1);
    cr_assert_eq(stats().discarded_pages, 1);
}

Test(slab, an_object_over_page_borders_discards_what_it_had_alone)
{
    struct fh_addr o[6];
    for (uint32_t i = 0; i < 6; i++)
        o[i] = take(0, 18 * 1024); /* 4.5 pages */
    cr_assert_eq(o[1].v, 18 * 1024);
    cr_assert_eq(give(o[1]), 0); /* bytes of the pages 4..8, the first shared with object 0 */
    cr_assert_eq(discard_count, 1);
    cr_assert_eq(discards[0].first, 5);
    cr_assert_eq(discards[0].pages, 4);
    cr_assert_eq(give(o[0]), 0);
    cr_assert_eq(discards[1].first, 0);
    cr_assert_eq(discards[1].pages, 5);
}

Test(slab, when_all_objects_are_gone_all_pages_were_discarded)
{
    for (uint32_t i = 0; i < FH_SLAB_SIZES; i++) {
        const struct fh_slab_size *z = &s.sizes[i];
        struct fh_addr o[256];
        uint64_t seen[2] = {0}; /* pages with a byte of an object; pages discarded */
        uint64_t first = 0;
        discard_count = 0;
        for (uint32_t k = 0; k < z->objects; k++) {
            o[k] = take(i, z->object_bytes);
            first = k == 0 ? fh_page_of_addr(o[0]).v : first;
            for (uint64_t b = 0; b < z->object_bytes; b++)
                seen[0] |= UINT64_C(1) << (((o[k].v + b) >> FH_PAGE_SHIFT) - first);
        }
        for (uint32_t k = 0; k < z->objects; k++)
            cr_assert_eq(give(o[z->objects - 1 - k]), 0);
        for (uint32_t d = 0; d < discard_count; d++)
            for (uint64_t p = 0; p < discards[d].pages; p++)
                seen[1] |= UINT64_C(1) << (discards[d].first + p - first);
        cr_assert_eq(seen[0], seen[1], "size %u", z->object_bytes);
    }
    cr_assert(fh_slab_check(&s, stderr));
}

Test(slab, books_are_small)
{
    uint64_t before;
    take(0, 64);
    before = mem.used_bytes;
    for (uint32_t i = 1; i < 64 * 32; i++)
        take(0, 64);
    cr_assert_leq(mem.used_bytes - before, 64 * 31 * (RECORD + 1));
    take(0, 2048);
    before = mem.used_bytes;
    for (uint32_t i = 1; i < 6 * 20; i++)
        take(0, 2048);
    cr_assert_leq(mem.used_bytes - before, 6 * 19 * (RECORD + 9));
}

Test(slab, numbers_grow_and_are_used_again)
{
    enum { COUNT = 300 };
    static struct fh_addr o[COUNT];
    s.opts.discard = NULL;
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < COUNT; i++)
            o[i] = take(i, 100);
        cr_assert(fh_slab_check(&s, stderr));
        for (uint32_t i = 0; i < COUNT; i++)
            cr_assert_eq(give(o[i]), 0);
        fh_slab_trim(&s);
        cr_assert_eq(s.runs_used, 0);
        cr_assert_eq(s.runs_cap, 512);
    }
}

Test(slab, a_failure_anywhere_in_alloc_changes_nothing_that_can_be_seen)
{
    struct fh_slab_object o = {.index = 77};
    char *before = dump_text();
    uint32_t failures = 0;
    for (uint64_t n = 1;; n++, failures++) {
        fh_slab_trim(&s);
        mem.fail_at = mem.calls + n;
        if (fh_slab_alloc(&s, 5, 5000, &o) == 0)
            break;
        char *after = dump_text();
        cr_assert_str_eq(before, after, "request %u", (unsigned)n);
        cr_assert_eq(o.index, 77);
        cr_assert(fh_slab_check(&s, stderr));
        cr_assert(fh_space_check(&space, stderr));
        free(after);
    }
    cr_assert_geq(failures, 4);
    free(before);
}

/* --- the checker is shown one broken structure per invariant --- */

static struct fh_slab_run *partial_run(void)
{
    struct fh_addr a = take(0, 512);
    take(0, 512);
    cr_assert(fh_slab_check(&s, stderr));
    return (struct fh_slab_run *)(uintptr_t)s.runs[number_of(a)];
}

Test(slab, check_sees_a_wrong_count_of_objects)
{
    struct fh_slab_run *run = partial_run();
    fh_bit_set(run->free_bits, 0);
    cr_assert(check_names("[I1]"));
    fh_bit_clear(run->free_bits, 0);
    fh_bit_set(run->free_bits, 8);
    cr_assert(check_names("[I1]"));
}

Test(slab, check_sees_a_record_of_a_free_object)
{
    struct fh_slab_run *run = partial_run();
    uint8_t *record = fh_slab_run_record(run, run->cache->size, 7);
    record[RECORD - 1] = 1;
    cr_assert(check_names("[I2]"));
}

Test(slab, check_sees_a_slab_in_the_wrong_list)
{
    struct fh_slab_run *run = partial_run();
    run->cache->lists[5] = run;
    run->cache->lists[run->fill] = NULL;
    run->cache->fills = 1u << 5;
    cr_assert(check_names("[I3] slab 0 with 2 objects is in list 5"));
}

Test(slab, check_sees_a_slab_that_notes_another_list)
{
    struct fh_slab_run *run = partial_run();
    run->fill = FH_SLAB_FILL_NONE;
    cr_assert(check_names("[I3] slab 0 with 2 objects is in list 2"));
}

Test(slab, check_sees_neighbours_that_are_none)
{
    struct fh_slab_run *run = partial_run();
    run->prev = run->number;
    cr_assert(check_names("[I3] slab 0: 0 is not the one before it"));
    run->prev = FH_SLAB_NUMBER_NONE;
    run->next = s.runs_cap;
    cr_assert(check_names("comes after it, which is none"));
    run->next = FH_SLAB_NUMBER_NONE;
}

Test(slab, check_sees_a_wrong_set_of_fills)
{
    struct fh_slab_run *run = partial_run();
    run->cache->fills ^= 1u << 4;
    cr_assert(check_names("[I3]"));
}

Test(slab, check_sees_an_empty_slab_that_is_not)
{
    struct fh_slab_run *run = partial_run();
    run->cache->lists[run->fill] = NULL;
    run->cache->fills = 0;
    run->cache->empty = run;
    cr_assert(check_names("[I3]"));
}

Test(slab, check_sees_a_number_that_leads_elsewhere)
{
    struct fh_slab_run *run = partial_run();
    run->number++;
    cr_assert(check_names("[I4]"));
    run->number--;
}

Test(slab, check_sees_a_number_lost_from_the_free_chain)
{
    partial_run();
    s.free_number = (uint32_t)(s.runs[s.free_number] >> 1);
    cr_assert(check_names("[I4]"));
}

Test(slab, check_sees_pages_that_are_gone)
{
    struct fh_slab_run *run = partial_run();
    cr_assert_eq(fh_space_free(&space, run->first), 0);
    cr_assert(check_names("[I5]"));
}

Test(slab, check_sees_wrong_sums)
{
    struct fh_slab_run *run = partial_run();
    run->cache->used++;
    cr_assert(check_names("[I6]"));
    run->cache->used--;
    run->cache->full++;
    cr_assert(check_names("[I6]"));
    run->cache->full--;
    s.caches++;
    cr_assert(check_names("[I6]"));
    s.caches--;
}

Test(slab, check_sees_a_slab_in_the_list_of_another_cache)
{
    struct fh_slab_run *run = partial_run();
    struct fh_slab_cache *owner = run->cache;
    take(0, 16);
    run->cache = s.tenants[0][0];
    cr_assert(check_names("[I3] slab 0 is in the list of another cache"));
    run->cache = owner;
}

Test(slab, check_sees_a_number_beyond_all_numbers)
{
    struct fh_slab_run *run = partial_run();
    run->number = s.runs_cap;
    cr_assert(check_names("does not lead to its slab"));
    run->number = 0;
}

Test(slab, check_sees_a_used_number_in_the_free_chain)
{
    struct fh_slab_run *run = partial_run();
    uint32_t free_number = s.free_number;
    s.free_number = run->number;
    cr_assert(check_names("[I4] number 0 is in use and in the free chain"));
    s.free_number = s.runs_cap;
    cr_assert(check_names("is in use and in the free chain"));
    s.free_number = free_number;
}

Test(slab, check_sees_a_free_chain_that_never_ends)
{
    partial_run();
    uint64_t entry = s.runs[s.free_number];
    s.runs[s.free_number] = (uint64_t)s.free_number << 1 | 1;
    cr_assert(check_names("[I4]"));
    s.runs[s.free_number] = entry;
}

Test(slab, check_sees_a_live_slab_with_no_live_object)
{
    struct fh_slab_run *run = partial_run();
    uint16_t used = run->used;
    run->used = 0;
    cr_assert(check_names("[I3] slab 0 with 0 objects"));
    run->used = used;
}

Test(slab, check_sees_a_list_longer_than_its_count)
{
    struct fh_slab_run *run = partial_run();
    run->cache->slabs = 0;
    cr_assert(check_names("[I6]"));
    run->cache->slabs = 1;
    s.runs_used++;
    cr_assert(check_names("[I4]"));
    s.runs_used--;
}
