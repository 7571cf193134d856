/* Object records, small and large: taken, matched, given back, counted, visited. */
#include "alloc/objects.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "tests/support/rng.h"

static struct fh_mem mem;
static struct fh_heap heap;
static struct fh_objects objects;

static void setup(void)
{
    memset(&objects, 0xA5, sizeof(objects));
    cr_assert_eq(
        fh_heap_init(&heap, &(struct fh_heap_opts){.mem = &mem,
                                                   .system = &fh_buddy_binary,
                                                   .record_bytes = sizeof(struct fh_small)}),
        0);
    cr_assert_eq(fh_objects_init(&objects, &mem, &heap.slab), 0);
}

static void teardown(void)
{
    fh_objects_fini(&objects);
    fh_heap_fini(&heap);
    cr_assert_eq(mem.used_bytes, 0);
}

static struct fh_object take(uint64_t key, uint64_t addr, uint16_t tenant)
{
    struct fh_object o;
    int rc = fh_objects_take(&objects, tenant, key, &o);

    cr_assert_eq(rc, 0);
    cr_assert_neq(o.id, FH_OBJECT_NONE);
    cr_assert_lt(o.id, FH_OBJECT_SMALL);
    fh_object_set_place(&o, (struct fh_addr){addr}, key);
    return o;
}

static struct fh_object take_small(uint64_t key, uint32_t tenant, uint32_t size)
{
    struct fh_heap_block block;

    cr_assert_eq(fh_heap_alloc(&heap, tenant, size, 0, &block), 0);
    struct fh_object o = fh_objects_take_small(&objects, &block, key);
    fh_objects_resize(&objects, &o, size);
    return o;
}

static void give_small(struct fh_object o)
{
    fh_objects_give(&objects, &o);
    cr_assert_eq(fh_heap_free(&heap, o.addr), 0);
}

/* As an address from a client is resolved. */
static bool leads_to(uint64_t addr, uint64_t key, uint32_t tenant)
{
    struct fh_heap_block block;
    bool found = fh_heap_find(&heap, (struct fh_addr){addr}, &block) == 0;
    struct fh_object o = fh_objects_of_block(&objects, found ? &block : NULL);

    return fh_objects_match(&o, (struct fh_addr){addr}, key, tenant);
}

static bool match(struct fh_object o, uint64_t addr, uint64_t key, uint32_t tenant)
{
    struct fh_object at = fh_objects_at(&objects, o.id);

    return fh_objects_match(&at, (struct fh_addr){addr}, key, tenant);
}

TestSuite(objects, .init = setup, .fini = teardown, .timeout = 20);

Test(objects, a_new_record_is_empty_but_for_its_key)
{
    struct fh_object o = take(77, 0, 0);
    struct fh_large blank = {.key = 77};

    cr_assert_eq(o.id, 1);
    cr_assert_eq(memcmp(o.large, &blank, sizeof(blank)), 0);
    struct fh_object s = take_small(78, 0, 0);
    struct fh_small blank_small = {.key = 78};
    cr_assert_eq(memcmp(s.small, &blank_small, sizeof(blank_small)), 0);
    cr_assert_eq(objects.count, 2);
    cr_assert_eq(objects.small, 1);
    cr_assert(fh_objects_check(&objects, stderr));
}

Test(objects, match_only_with_address_key_and_tenant_right)
{
    struct fh_object n = take(77, 0x123456789000, 3);

    cr_assert(match(n, 0x123456789000, 77, 3));
    cr_assert_not(match(n, 0x123456789008, 77, 3), "interior");
    cr_assert_not(match(n, 0x123456789000, 76, 3), "forged");
    cr_assert_not(match(n, 0x123456789000, 0, 3));
    cr_assert_not(match(n, 0x123456789000, 77, 4), "another tenant's");
    cr_assert_not(match(n, 0x123456789000, 77, 3 + 65536), "a tenant's number is not cut");
    cr_assert_not(match(n, UINT64_C(0xff00123456789000), 77, 3), "an address is not cut");
}

Test(objects, a_small_one_matches_with_address_key_and_tenant_right)
{
    (void)take_small(5, 3, 100);
    struct fh_object o = take_small(77, 3, 100);
    uint64_t addr = o.addr.v;

    cr_assert(leads_to(addr, 77, 3));
    cr_assert_not(leads_to(addr, 5, 3), "its neighbour's key");
    cr_assert_not(leads_to(addr + 1, 77, 3), "interior");
    cr_assert_not(leads_to(addr + 104, 77, 3), "a free place");
    cr_assert_not(leads_to(addr + 104, 0, 3), "a free record's key opens nothing");
    cr_assert_not(leads_to(addr, 0, 3));
    cr_assert_not(leads_to(addr, 77, 4), "another tenant's");
    cr_assert_not(leads_to(addr, 77, 3 + 65536), "a tenant's number is not cut");
    cr_assert_not(leads_to(addr | UINT64_C(0xff) << 56, 77, 3), "an address is not cut");
    cr_assert_not(leads_to(UINT64_MAX, 77, 3));
    give_small(o);
    cr_assert_not(leads_to(addr, 77, 3));
    cr_assert_not(leads_to(addr, 0, 3));
    cr_assert(fh_objects_check(&objects, stderr));
    cr_assert(fh_heap_check(&heap, stderr), "a free record is blank");
}

Test(objects, any_tag_of_a_block_may_be_asked_about)
{
    static const uint32_t tags[] = {0, 2, FH_OBJECTS_MAX - 1, FH_OBJECTS_MAX, UINT32_MAX};

    (void)take(77, 0, 0);
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        struct fh_heap_block block = {.tag = tags[i]};
        struct fh_object o = fh_objects_of_block(&objects, &block);
        cr_assert_not(fh_objects_match(&o, (struct fh_addr){0}, 77, 0));
        cr_assert_not(fh_objects_match(&o, (struct fh_addr){0}, 0, 0),
                      "a free record's key opens nothing");
    }
}

Test(objects, what_was_given_back_matches_nothing_and_is_used_again)
{
    struct fh_object a = take(77, 4096, 1);
    struct fh_object b = take(78, 8192, 1);

    fh_objects_resize(&objects, &a, 100);
    fh_objects_give(&objects, &a);
    cr_assert_not(match(a, 4096, 77, 1));
    cr_assert_not(match(a, 0, 0, 0));
    cr_assert_eq(objects.bytes, 0);
    cr_assert(fh_objects_check(&objects, stderr));
    struct fh_object again = take(79, 0, 0);
    cr_assert_eq(again.id, a.id);
    cr_assert_eq(fh_object_size(&again), 0);
    cr_assert(match(b, 8192, 78, 1));
}

static void every_field_keeps_its_value(struct fh_object o, uint64_t size)
{
    fh_objects_resize(&objects, &o, size);
    fh_object_set_version(&o, FH_OBJECT_VERSION_MAX);
    fh_object_set_extra(&o, UINT32_MAX, true);
    cr_assert_not(fh_object_is_sealed(&o));
    fh_object_set_sealed(&o, true);
    cr_assert_eq(fh_object_size(&o), size);
    cr_assert_eq(fh_object_version(&o), FH_OBJECT_VERSION_MAX);
    cr_assert_eq(fh_object_extra(&o), UINT32_MAX);
    cr_assert(fh_object_expires(&o));
    cr_assert(fh_object_is_sealed(&o));
    cr_assert_eq(fh_object_key(&o), UINT64_MAX);
    cr_assert_eq(fh_object_tenant(&o), 9);
    fh_object_set_extra(&o, 0, false);
    fh_object_set_version(&o, 0);
    cr_assert_eq(fh_object_extra(&o), 0);
    cr_assert_not(fh_object_expires(&o));
    cr_assert_eq(fh_object_version(&o), 0);
    cr_assert(fh_object_is_sealed(&o));
    cr_assert_eq(fh_object_size(&o), size);
    struct fh_object same = fh_objects_at(&objects, o.id);
    cr_assert_eq(same.addr.v, o.addr.v);
    cr_assert_eq(same.small, o.small);
    cr_assert_eq(same.large, o.large);
}

Test(objects, every_field_keeps_its_value_beside_the_others)
{
    every_field_keeps_its_value(take(UINT64_MAX, 0xfffffffff000, 9), FH_OBJECT_SIZE_MAX);
    struct fh_object o = take_small(UINT64_MAX, 9, FH_SLAB_SIZE_MAX);
    o.small->filled = FH_SLAB_SIZE_MAX;
    every_field_keeps_its_value(o, FH_SLAB_SIZE_MAX);
    cr_assert_eq(fh_object_filled(&o), FH_SLAB_SIZE_MAX);
}

Test(objects, sizes_add_up_to_a_tebibyte_each)
{
    struct fh_object a = take(1, 0, 0), b = take(2, 0, 0);

    fh_objects_resize(&objects, &a, FH_OBJECT_SIZE_MAX);
    fh_objects_resize(&objects, &b, FH_OBJECT_SIZE_MAX);
    fh_objects_resize(&objects, &a, 1);
    cr_assert_eq(objects.bytes, FH_OBJECT_SIZE_MAX + 1);
    cr_assert_eq(fh_object_size(&b), FH_OBJECT_SIZE_MAX);
    cr_assert(fh_objects_check(&objects, stderr));
}

Test(objects, a_random_walk_agrees_with_an_array)
{
    enum { MANY = 200 };
    struct rng g = rng_from_env("objects");
    uint64_t keys[MANY + 1] = {0};
    uint64_t live = 0;

    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t i = (uint32_t)rng_between(&g, 1, MANY);
        if (keys[i] != 0) {
            struct fh_object o = fh_objects_at(&objects, i);
            cr_assert(match(o, 0, keys[i], 0));
            fh_objects_give(&objects, &o);
            keys[i] = 0;
            live--;
        } else if (live < MANY) {
            uint64_t key = rng_next(&g) | 1;
            struct fh_object o = take(key, 0, 0);
            cr_assert_leq(o.id, MANY);
            cr_assert_eq(keys[o.id], 0);
            keys[o.id] = key;
            live++;
        }
        cr_assert_eq(objects.count, live);
    }
    cr_assert(fh_objects_check(&objects, stderr));
}

Test(objects, a_random_walk_of_small_ones_agrees_with_an_array)
{
    enum { MANY = 2000 };
    static struct fh_object live[MANY];
    struct rng g = rng_from_env("small objects");
    uint64_t count = 0, bytes = 0;

    for (uint32_t step = 0; step < 40000; step++) {
        struct fh_object *o = &live[rng_below(&g, MANY)];
        if (o->id != 0) {
            struct fh_object at = fh_objects_at(&objects, o->id);
            cr_assert_eq(at.small, o->small);
            cr_assert_eq(at.addr.v, o->addr.v);
            cr_assert(leads_to(o->addr.v, fh_object_key(o), fh_object_tenant(o)));
            bytes -= fh_object_size(o);
            give_small(*o);
            *o = (struct fh_object){0};
            count--;
        } else {
            uint32_t size = (uint32_t)rng_log_uniform(&g, 15);
            *o = take_small(rng_next(&g) | 1, (uint32_t)rng_below(&g, 3), size);
            cr_assert_geq(o->id, FH_OBJECT_SMALL);
            bytes += size;
            count++;
        }
        cr_assert_eq(objects.count, count);
        cr_assert_eq(objects.bytes, bytes);
        if (step % 4000 == 0)
            cr_assert(fh_objects_check(&objects, stderr) && fh_heap_check(&heap, stderr));
    }
}

Test(objects, a_visit_meets_every_live_one_once_whatever_the_pace)
{
    static uint32_t met[100];
    struct fh_object o[100], next;

    for (uint32_t i = 0; i < 100; i++)
        o[i] = i % 3 == 0 ? take(i + 1, 0, 0) : take_small(i + 1, i % 4, 10 + 13 * i);
    for (uint32_t i = 0; i < 100; i += 7) /* each seventh is gone */
        if (o[i].small)
            give_small(o[i]);
        else
            fh_objects_give(&objects, &o[i]);
    for (uint64_t pace = 1; pace <= 16; pace *= 4) {
        uint64_t at = 0, rounds = 0;
        memset(met, 0, sizeof(met));
        do {
            uint64_t looks = pace;
            while (fh_objects_next(&objects, &at, &looks, &next))
                met[fh_object_key(&next) - 1]++;
            cr_assert_lt(rounds++, 20000);
        } while (at != 0);
        for (uint32_t i = 0; i < 100; i++)
            cr_assert_eq(met[i], i % 7 != 0, "object %u was met %u times", i, met[i]);
    }
}

Test(objects, too_many_are_refused_and_nothing_changes)
{
    struct fh_object o = {.id = 123};

    objects.used_end = FH_OBJECTS_MAX;
    cr_assert_eq(fh_objects_take(&objects, 0, 5, &o), -ENOSPC);
    cr_assert_eq(o.id, 123);
    cr_assert_eq(objects.count, 0);
}

Test(objects, no_memory_is_told_and_nothing_kept)
{
    struct fh_objects other;
    struct fh_mem m = {.fail_at = 1};

    cr_assert_eq(fh_objects_init(&other, &m, &heap.slab), -ENOMEM);
    cr_assert_eq(m.used_bytes, 0);
}

Test(objects, check_sees_a_wrong_count)
{
    (void)take(1, 0, 0);
    (void)take_small(2, 0, 5);
    objects.count++; /* [I1] */
    cr_assert_not(fh_objects_check(&objects, NULL));
    objects.count--;
    objects.small++; /* [I1] */
    cr_assert_not(fh_objects_check(&objects, NULL));
    objects.small--;
    cr_assert(fh_objects_check(&objects, stderr));
}

Test(objects, check_sees_a_live_place_without_a_key)
{
    struct fh_object o = take_small(2, 0, 5);
    o.small->key = 0; /* [I1] */
    cr_assert_not(fh_objects_check(&objects, NULL));
}

Test(objects, check_sees_a_wrong_sum_of_sizes)
{
    struct fh_object o = take(1, 0, 0), s = take_small(2, 0, 5);
    o.large->size = 5; /* [I2] */
    cr_assert_not(fh_objects_check(&objects, NULL));
    o.large->size = 0;
    s.small->filled = 6; /* [I2] */
    cr_assert_not(fh_objects_check(&objects, NULL));
}

Test(objects, check_sees_a_live_record_in_the_free_list)
{
    struct fh_object o = take(1, 0, 0);
    objects.free_head = (uint32_t)o.id; /* [I3] */
    cr_assert_not(fh_objects_check(&objects, NULL));
}

Test(objects, check_sees_a_record_lost_from_the_free_list)
{
    struct fh_object o = take(1, 0, 0);
    fh_objects_give(&objects, &o);
    objects.free_head = 0; /* [I3] */
    cr_assert_not(fh_objects_check(&objects, NULL));
}

Test(objects, dump_names_objects_but_never_their_keys)
{
    char text[512] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");
    struct fh_object n = take(0xfeedfacecafebeef, 0x5000, 9);
    struct fh_object s = take_small(0xfeedfacecafebeef, 7, 5);

    fh_object_set_sealed(&n, true);
    fh_object_set_sealed(&s, true);
    fh_objects_dump(&objects, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "object 1 at 5000"));
    cr_assert_not_null(strstr(text, "sealed tenant 9"));
    cr_assert_not_null(strstr(text, "sealed small tenant 7"));
    cr_assert_null(strstr(text, "feedface"));
    cr_assert_null(strstr(text, "18369614"));
}

Test(objects, giving_back_twice_is_a_programmer_error, .signal = SIGABRT)
{
    struct fh_object n = take(1, 0, 0);

    fh_objects_give(&objects, &n);
    fh_objects_give(&objects, &n);
}

Test(objects, giving_a_small_one_back_twice_is_a_programmer_error, .signal = SIGABRT)
{
    struct fh_object n = take_small(1, 0, 0);

    fh_objects_give(&objects, &n);
    fh_objects_give(&objects, &n);
}

Test(objects, a_key_of_zero_is_a_programmer_error, .signal = SIGABRT)
{
    struct fh_object o;
    (void)!fh_objects_take(&objects, 0, 0, &o);
}
