/* The table of typed caches: names, geometry, initial bytes, and their slabs. */
#include "alloc/caches.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { TENANT = 3 };

static struct fh_mem mem;
static struct fh_space space;
static struct fh_slab slab;
static struct fh_caches caches;

static void setup(void)
{
    cr_assert_eq(fh_space_init(&space, &mem, &fh_buddy_binary), 0);
    fh_slab_init(&slab, &(struct fh_slab_opts){.mem = &mem, .space = &space});
    memset(&caches, 0xa5, sizeof(caches));
    fh_caches_init(&caches, &mem, &slab);
}

static void check_all(void)
{
    cr_assert(fh_caches_check(&caches, stderr));
    cr_assert(fh_slab_check(&slab, stderr));
}

static void teardown(void)
{
    check_all();
    fh_slab_fini(&slab);
    fh_caches_fini(&caches);
    fh_space_fini(&space);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(caches, .init = setup, .fini = teardown, .timeout = 60);

static int create(const char *name, uint64_t size, uint64_t alignment, const char *initial)
{
    return fh_caches_create(&caches, TENANT,
                            &(struct fh_cache_spec){.name = name,
                                                    .name_size = strlen(name),
                                                    .object_size = size,
                                                    .alignment = alignment,
                                                    .initial = initial,
                                                    .initial_size = strlen(initial)});
}

static int destroy(const char *name)
{
    return fh_caches_destroy(&caches, TENANT, name, strlen(name));
}

static struct fh_cache *find(const char *name)
{
    return fh_caches_find(&caches, TENANT, name, strlen(name));
}

static struct fh_addr take(struct fh_cache *cache)
{
    struct fh_slab_object o;

    cr_assert_eq(fh_slab_cache_alloc(&slab, &cache->slab, &o), 0);
    cr_assert_eq(o.run->cache, &cache->slab);
    return o.addr;
}

static void give(struct fh_addr a)
{
    uint32_t mark = fh_space_mark_at(&space, fh_page_of_addr(a));

    cr_assert(mark & FH_SPACE_SLAB);
    cr_assert_eq(fh_slab_free(&slab, mark & ~FH_SPACE_SLAB, a), 0);
}

/* The check fails and names the invariant. */
static bool check_names(const char *invariant)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    bool whole = fh_caches_check(&caches, out);

    fclose(out);
    bool named = strstr(text, invariant) != NULL;
    free(text);
    return !whole && named;
}

static char *dump_text(void)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    fh_caches_dump(&caches, out);
    fh_slab_dump(&slab, out);
    fclose(out);
    return text;
}

Test(caches, three_pages_hold_six_objects_of_two_kib)
{
    struct fh_addr objects[6];
    struct fh_slab_cache_stats s;
    uint64_t cursor = 0;

    cr_assert_eq(create("textbook", 2048, 0, ""), 0);
    struct fh_cache *cache = find("textbook");
    cr_assert_eq(cache->geometry.pages, 3);
    cr_assert_eq(cache->geometry.objects, 6);
    for (int i = 0; i < 6; i++)
        objects[i] = take(cache);
    cr_assert(fh_slab_cache_next(&slab, &cursor, &s));
    cr_assert_eq(s.typed, cache->slab.typed);
    cr_assert_eq(s.slabs, 1);
    cr_assert_eq(s.full, 1);
    cr_assert_eq(s.used, 6);
    cr_assert_eq(s.pages, 3);
    for (int i = 1; i < 6; i++)
        cr_assert_eq(objects[i].v, objects[0].v + (uint64_t)i * 2048, "side by side");
    check_all();
    for (int i = 0; i < 6; i++)
        give(objects[i]);
    cr_assert_eq(destroy("textbook"), 0);
}

Test(caches, no_geometry_wastes_more_than_an_eighth)
{
    uint32_t without_waste = 0;

    for (uint32_t size = FH_SLAB_SIZE_MIN; size <= FH_SLAB_SIZE_MAX; size++) {
        struct fh_slab_size z;
        fh_slab_size_init_typed(&z, size, 0);
        uint32_t waste = z.pages * FH_PAGE_SIZE - z.objects * size;
        cr_assert_leq(waste * 8, z.pages * FH_PAGE_SIZE, "size %u wastes %u of %u pages", size,
                      waste, z.pages);
        cr_assert_leq(z.pages, FH_SLAB_PAGES_MAX);
        cr_assert(z.pages == 1 || size > 512, "an object of %u bytes would straddle", size);
        cr_assert(size <= 512 || z.objects >= 6);
        for (uint32_t o = 0; o < z.objects; o++) {
            cr_assert_eq(fh_slab_size_object_at(&z, (uint64_t)o * size), o);
            cr_assert_eq(fh_slab_size_object_at(&z, (uint64_t)o * size + size - 1), o);
            cr_assert_eq(fh_slab_size_fill(&z, o), o * 8 / z.objects);
        }
        cr_assert_eq(fh_slab_size_fill(&z, z.objects), FH_SLAB_FILLS);
        without_waste += size % 256 == 0 && size > 512 && waste == 0;
    }
    cr_assert_gt(without_waste, 20, "sizes that divide some number of pages waste nothing");
}

Test(caches, every_object_lies_at_its_alignment)
{
    static const uint32_t sizes[] = {1, 7, 24, 100, 513, 3000, 4097, 32768};
    char name[16];

    for (uint32_t alignment = 1; alignment <= FH_CACHE_ALIGNMENT_MAX; alignment *= 2)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            snprintf(name, sizeof(name), "%u/%u", alignment, sizes[i]);
            cr_assert_eq(create(name, sizes[i], alignment, ""), 0);
            struct fh_cache *cache = find(name);
            struct fh_addr objects[20];
            for (int n = 0; n < 20; n++) {
                objects[n] = take(cache);
                cr_assert_eq(objects[n].v % alignment, 0);
            }
            check_all();
            for (int n = 0; n < 20; n++)
                give(objects[n]);
            cr_assert_eq(destroy(name), 0);
        }
    fh_slab_trim(&slab);
    cr_assert_eq(slab.runs_used, 0);
}

Test(caches, parameters_have_their_bounds)
{
    static char name[FH_CACHE_NAME_MAX + 2];

    memset(name, 'n', FH_CACHE_NAME_MAX + 1);
    char *before = dump_text();
    cr_assert_eq(create("", 8, 0, ""), -EINVAL);
    cr_assert_eq(create(name, 8, 0, ""), -EINVAL);
    cr_assert_eq(create("a", 0, 0, ""), -EINVAL);
    cr_assert_eq(create("a", FH_SLAB_SIZE_MAX + 1, 0, ""), -EFBIG);
    cr_assert_eq(create("a", UINT64_MAX, 0, ""), -EFBIG);
    cr_assert_eq(create("a", 8, 3, ""), -EINVAL);
    cr_assert_eq(create("a", 8, 8192, ""), -EINVAL);
    cr_assert_eq(create("a", 8, UINT64_C(1) << 40, ""), -EINVAL);
    cr_assert_eq(create("a", 8, 0, "123456789"), -EINVAL);
    char *after = dump_text();
    cr_assert_str_eq(before, after);
    free(before);
    free(after);
    name[FH_CACHE_NAME_MAX] = 0;
    cr_assert_eq(create(name, FH_SLAB_SIZE_MAX, FH_CACHE_ALIGNMENT_MAX, ""), 0);
    cr_assert_eq(create("a", 8, 0, "12345678"), 0);
    cr_assert_eq(find("a")->alignment, FH_CACHE_ALIGNMENT);
    cr_assert_eq(memcmp(find("a")->initial->bytes, "12345678", 8), 0);
}

Test(caches, a_name_is_a_tenants_own)
{
    struct fh_cache_spec spec = {.name = "n", .name_size = 1, .object_size = 100};

    cr_assert_eq(fh_caches_create(&caches, 1, &spec), 0);
    cr_assert_eq(fh_caches_create(&caches, 1, &spec), -EEXIST);
    cr_assert_eq(fh_caches_create(&caches, 2, &spec), 0);
    cr_assert_neq(fh_caches_find(&caches, 1, "n", 1), fh_caches_find(&caches, 2, "n", 1));
    cr_assert_null(fh_caches_find(&caches, 3, "n", 1));
    cr_assert_eq(fh_caches_destroy(&caches, 3, "n", 1), -ENOENT);
    cr_assert_eq(fh_caches_destroy(&caches, 1, "n", 1), 0);
    cr_assert_eq(fh_caches_destroy(&caches, 1, "n", 1), -ENOENT);
    cr_assert_not_null(fh_caches_find(&caches, 2, "n", 1));
}

Test(caches, two_caches_of_one_size_share_no_page)
{
    struct fh_slab_object built_in;

    cr_assert_eq(create("a", 64, 0, ""), 0);
    cr_assert_eq(create("b", 64, 0, ""), 0);
    struct fh_addr a = take(find("a")), b = take(find("b"));
    cr_assert_eq(fh_slab_alloc(&slab, TENANT, 64, &built_in), 0);
    cr_assert_eq(built_in.run->cache->typed, 0);
    cr_assert_neq(fh_page_of_addr(a).v, fh_page_of_addr(b).v);
    cr_assert_neq(fh_page_of_addr(a).v, fh_page_of_addr(built_in.addr).v);
    cr_assert_neq(fh_page_of_addr(b).v, fh_page_of_addr(built_in.addr).v);
    give(a);
    give(b);
    give(built_in.addr);
}

Test(caches, a_cache_with_a_live_object_stays)
{
    struct fh_caches_stats stats;

    cr_assert_eq(create("busy", 1000, 0, ""), 0);
    struct fh_addr a = take(find("busy"));
    fh_caches_stats(&caches, &stats);
    cr_assert_eq(stats.count, 1);
    cr_assert_eq(stats.live_objects, 1);
    cr_assert_eq(stats.book_bytes, sizeof(struct fh_cache));
    cr_assert_eq(destroy("busy"), -EBUSY);
    check_all();
    give(a);
    cr_assert_eq(find("busy")->slab.slabs, 1, "its empty slab is kept");
    cr_assert_eq(destroy("busy"), 0);
    cr_assert_eq(slab.runs_used, 0, "and goes with it");
    fh_caches_stats(&caches, &stats);
    cr_assert_eq(stats.count, 0);
    cr_assert_eq(stats.book_bytes, 0);
}

Test(caches, there_are_at_most_so_many)
{
    char name[16];

    for (uint32_t i = 0; i < FH_CACHES_MAX; i++) {
        snprintf(name, sizeof(name), "c%u", i);
        cr_assert_eq(create(name, 10 + i, 0, "x"), 0);
    }
    uint64_t used = mem.used_bytes;
    cr_assert_eq(create("one more", 10, 0, "x"), -ENOSPC);
    cr_assert_eq(mem.used_bytes, used);
    check_all();
    cr_assert_eq(destroy("c77"), 0);
    cr_assert_eq(create("one more", 10, 0, "x"), 0);
    cr_assert_eq(find("one more")->slab.typed, 78, "the number is used again");
}

Test(caches, initial_bytes_outlive_their_cache_while_held)
{
    cr_assert_eq(create("held", 10, 0, "abc"), 0);
    struct fh_initial *held = fh_initial_hold(find("held")->initial);
    cr_assert_eq(destroy("held"), 0);
    cr_assert_eq(memcmp(held->bytes, "abc\0\0\0\0\0\0\0", 10), 0);
    check_all();
    fh_initial_release(&caches, held);
    cr_assert_eq(caches.bytes, 0);
    cr_assert_null(fh_initial_hold(NULL));
    fh_initial_release(&caches, NULL);
}

Test(caches, trim_takes_the_empty_slab_and_leaves_the_cache)
{
    cr_assert_eq(create("a", 100, 0, ""), 0);
    give(take(find("a")));
    fh_slab_trim(&slab);
    cr_assert_eq(slab.runs_used, 0);
    cr_assert_eq(find("a")->slab.slabs, 0);
    give(take(find("a")));
}

Test(caches, check_sees_a_wrong_count)
{
    caches.count++;
    cr_assert(check_names("[I1]"));
    caches.count--;
}

Test(caches, check_sees_a_number_that_is_not_the_caches)
{
    cr_assert_eq(create("a", 100, 0, ""), 0);
    cr_assert_eq(create("b", 100, 0, ""), 0);
    slab.typed[0] = &find("b")->slab;
    cr_assert(check_names("[I2]"));
    cr_assert_not(fh_slab_check(&slab, NULL), "so does the slab");
    slab.typed[0] = &find("a")->slab;
    find("a")->slab.typed = 2;
    cr_assert(check_names("[I2]"));
    cr_assert_not(fh_slab_check(&slab, NULL));
    find("a")->slab.typed = 1;
}

Test(caches, check_sees_a_wrong_hash)
{
    cr_assert_eq(create("a", 100, 0, ""), 0);
    caches.hashes[0]++;
    cr_assert(check_names("[I3]"));
    caches.hashes[0]--;
    caches.hashes[1] = 5;
    cr_assert(check_names("[I3]"));
    caches.hashes[1] = 0;
}

Test(caches, check_sees_initial_bytes_of_another_size)
{
    cr_assert_eq(create("a", 100, 0, "x"), 0);
    caches.slots[0]->initial->size--;
    cr_assert(check_names("[I4]"));
    caches.slots[0]->initial->size++;
    caches.slots[0]->initial->refs = 0;
    cr_assert(check_names("[I4]"));
    caches.slots[0]->initial->refs = 1;
}

Test(caches, check_sees_bytes_that_are_not_counted)
{
    cr_assert_eq(create("a", 100, 0, "x"), 0);
    caches.bytes--;
    cr_assert(check_names("[I5]"));
    caches.bytes++;
}

Test(caches, check_sees_a_geometry_that_does_not_fit)
{
    cr_assert_eq(create("a", 100, 64, ""), 0);
    caches.slots[0]->alignment = 256;
    cr_assert(check_names("[I6]"));
    caches.slots[0]->alignment = 64;
    caches.slots[0]->object_size = 129;
    cr_assert(check_names("[I6]"));
    caches.slots[0]->object_size = 100;
}

Test(caches, dump_tells_each_cache_and_none_of_its_bytes)
{
    cr_assert_eq(create("name", 100, 0, "secret"), 0);
    char *text = dump_text();
    cr_assert_not_null(strstr(text, "cache 1 of tenant 3"));
    cr_assert_null(strstr(text, "secret"));
    free(text);
}

Test(caches, releasing_what_nobody_holds_is_a_programmer_error, .signal = SIGABRT)
{
    cr_assert_eq(create("a", 100, 0, "x"), 0);
    struct fh_initial *initial = fh_initial_hold(caches.slots[0]->initial);
    initial->refs = 0;
    fh_initial_release(&caches, initial);
}
