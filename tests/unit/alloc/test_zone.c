/* The zone: handles, allocations, statistics, its check; each part has a file of its own beside. */
#include "alloc/zone.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/zone_rig.h"

static struct zone_rig rig;

static void setup(void)
{
    zone_open(&rig, 64, 255, 20);
}

static void teardown(void)
{
    zone_close(&rig);
}

static int find(const struct fh_ref *ref)
{
    struct fh_object_view v;
    return fh_zone_find(&rig.zone, ref, &v);
}

TestSuite(zone, .init = setup, .fini = teardown, .timeout = 30);

/* --- handles --- */

static void expect_only_itself(const struct fh_object_view *v)
{
    struct fh_ref ref = v->ref;

    cr_assert_eq(find(&ref), 0);
    for (uint32_t bit = 0; bit < 64; bit++) {
        ref = v->ref;
        ref.key ^= UINT64_C(1) << bit;
        cr_assert_eq(find(&ref), -ESTALE, "key, bit %u", bit);
        ref = v->ref;
        ref.addr.v ^= UINT64_C(1) << bit;
        cr_assert_eq(find(&ref), -ESTALE, "address, bit %u", bit);
        ref = v->ref;
        ref.tenant ^= (uint32_t)(UINT64_C(1) << bit % 32);
        cr_assert_eq(find(&ref), -ESTALE, "tenant, bit %u", bit % 32);
    }
    for (uint64_t inner = 1; inner < v->size; inner += 1 + inner / 2) {
        ref = v->ref;
        ref.addr.v += inner;
        cr_assert_eq(find(&ref), -ESTALE, "byte %lu of it", (unsigned long)inner);
    }
    ref = v->ref;
    ref.key = 0;
    cr_assert_eq(find(&ref), -ESTALE);
}

Test(zone, a_handle_with_any_bit_wrong_is_stale)
{
    static const uint64_t sizes[] = {0, 1, 100, 5000, 32768, 50000, UINT64_C(3) << 30};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fh_object_view v = zone_alloc(&rig, sizes[i]);
        cr_assert_neq(v.ref.key, 0);
        expect_only_itself(&v);
    }
}

Test(zone, a_freed_handle_is_stale_for_every_operation_also_when_the_place_is_used_again)
{
    static struct fh_reader r;
    static struct fh_mutation m;
    struct fh_object_view v = zone_alloc(&rig, 100), out;
    struct fh_ref old = v.ref;

    cr_assert_eq(fh_zone_free(&rig.zone, &old), 0);
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(fh_zone_free(&rig.zone, &old), -ESTALE);
        cr_assert_eq(fh_zone_find(&rig.zone, &old, &out), -ESTALE);
        cr_assert_eq(fh_zone_stat(&rig.zone, &old, &out), -ESTALE);
        cr_assert_eq(fh_reader_open(&rig.zone, &r, &old, 0, 1), -ESTALE);
        cr_assert_eq(fh_zone_publish(&rig.zone, &old, "n", 1, 0, &any_time, &out), -ESTALE);
        for (int kind = FH_MUTATE_WRITE; kind <= FH_MUTATE_RESIZE; kind++) {
            m = (struct fh_mutation){
                .kind = (enum fh_mutation_kind)kind, .ref = old, .body = "x", .size = 1};
            cr_assert_eq(fh_zone_mutate(&rig.zone, &m), -ESTALE);
        }
        if (round == 1)
            break;
        v = zone_alloc(&rig, 100);
        cr_assert_eq(v.ref.addr.v, old.addr.v, "the same place");
        cr_assert_neq(v.ref.key, old.key);
    }
}

Test(zone, keys_are_all_different)
{
    static uint64_t keys[500];

    for (int i = 0; i < 500; i++) {
        struct fh_object_view v = zone_alloc(&rig, 8);
        keys[i] = v.ref.key;
        for (int k = 0; k < i; k++)
            cr_assert_neq(keys[k], keys[i]);
        if (i % 2)
            cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    }
}

Test(zone, the_addresses_of_views_and_stages_are_no_handles)
{
    static struct fh_reader r;
    static struct fh_stage s;
    static uint8_t bytes[60000];
    struct fh_object_view v = zone_alloc(&rig, 500000);

    cr_assert_eq(zone_write(&rig, &v, 0, bytes, sizeof(bytes)), 0);
    cr_assert_eq(fh_reader_open(&rig.zone, &r, &v.ref, 0, 500000), 0);
    cr_assert_eq(fh_stage_open(&rig.zone, &s, ZONE_TENANT, 100000, 0), 0);
    struct fh_ref ref = {.addr = fh_addr_of_page(r.view.base), .tenant = ZONE_TENANT};
    cr_assert_eq(find(&ref), -ESTALE);
    ref.addr = s.block.addr;
    cr_assert_eq(find(&ref), -ESTALE);
    fh_stage_abort(&s);
    fh_reader_close(&r);
}

/* --- allocations --- */

Test(zone, a_small_object_costs_33_bytes_of_books_and_its_name)
{
    enum { MANY = 31250, NAME = 20 }; /* a million is the same: as many names for each shard */
    struct fh_zone_stats before, bare, named;
    struct fh_object_view v;
    char name[NAME + 1];

    fh_zone_stats(&rig.zone, &before);
    for (uint32_t i = 0; i < MANY; i++)
        (void)zone_alloc(&rig, 100);
    fh_zone_stats(&rig.zone, &bare);
    double each = (double)(bare.metadata_bytes - before.metadata_bytes) / MANY;
    cr_assert_gt(each, 22, "records are counted: %.2f", each);
    cr_assert_lt(each, 24, "%.2f", each);

    fh_zone_stats(&rig.zone, &before);
    for (uint32_t i = 0; i < MANY; i++) {
        v = zone_alloc(&rig, 100);
        (void)snprintf(name, sizeof(name), "object/%013u", i);
        cr_assert_eq(fh_zone_publish(&rig.zone, &v.ref, name, NAME, 0, &any_time, &v), 0);
    }
    fh_zone_stats(&rig.zone, &named);
    each = (double)(named.metadata_bytes - before.metadata_bytes) / MANY - NAME;
    cr_assert_gt(each, 22 + 2 + 6, "extras and directory are counted: %.2f", each);
    cr_assert_leq(each, 33, "the books of the space included: %.2f", each);
}

Test(zone, a_tebibyte_costs_no_frame_and_few_kibibytes)
{
    struct fh_zone_stats before, after;
    struct fh_object_view v;
    uint8_t byte;

    fh_zone_stats(&rig.zone, &before);
    uint64_t used = rig.zone.mem.used_bytes;
    cr_assert_eq(fh_zone_alloc(&rig.zone, ZONE_TENANT, FH_OBJECT_SIZE_MAX, 0, &v), 0);
    fh_zone_stats(&rig.zone, &after);
    cr_assert_eq(after.pager.frames_free, before.pager.frames_free);
    cr_assert_leq(rig.zone.mem.used_bytes - used, 64 << 10);
    cr_assert_leq(after.metadata_bytes - before.metadata_bytes, 4 << 10);
    cr_assert_eq(zone_read(&rig, &v.ref, FH_OBJECT_SIZE_MAX - 1, &byte, 1), 0);
    cr_assert_eq(byte, 0);
    cr_assert_eq(zone_write(&rig, &v, FH_OBJECT_SIZE_MAX - 3, "end", 3), 0);
    fh_zone_stats(&rig.zone, &after);
    cr_assert_eq(after.pager.frames_free, before.pager.frames_free - 1);
    struct fh_object_view stat;
    cr_assert_eq(fh_zone_stat(&rig.zone, &v.ref, &stat), 0);
    cr_assert_eq(stat.pages.frame, 1);
    cr_assert_eq(stat.pages.nothing, (UINT64_C(1) << 28) - 1);
    cr_assert_eq(zone_zero(&rig, &v, 0, FH_OBJECT_SIZE_MAX), 0);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    zone_expect_empty(&rig);
}

Test(zone, more_than_a_tebibyte_is_refused)
{
    struct fh_object_view v = {.size = 77};

    cr_assert_eq(fh_zone_alloc(&rig.zone, ZONE_TENANT, FH_OBJECT_SIZE_MAX + 1, 0, &v), -EFBIG);
    cr_assert_eq(fh_zone_alloc(&rig.zone, ZONE_TENANT, UINT64_MAX, 0, &v), -EFBIG);
    cr_assert_eq(v.size, 77);
    zone_expect_empty(&rig);
}

Test(zone, a_tebibyte_is_read_in_windows_of_zeros)
{
    static struct fh_reader r;
    struct fh_object_view v = zone_alloc(&rig, FH_OBJECT_SIZE_MAX);

    cr_assert_eq(zone_write(&rig, &v, UINT64_C(1) << 39, "middle", 6), 0);
    cr_assert_eq(fh_reader_open(&rig.zone, &r, &v.ref, 0, FH_OBJECT_SIZE_MAX), 0);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(((const uint8_t *)r.iov[0].iov_base)[0], 0);
        fh_reader_release(&r, r.window_bytes);
        cr_assert_eq(fh_reader_next(&r), 0);
    }
    zone_check(&rig);
    fh_reader_close(&r);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    zone_expect_empty(&rig);
}

Test(zone, allocating_and_freeing_touches_no_page)
{
    static const uint64_t sizes[] = {1, 500, 20000, 50000, 10 << 20};

    for (int round = 0; round < 200; round++) {
        struct fh_object_view v = zone_alloc(&rig, sizes[round % 5]);
        cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    }
    cr_assert_eq(fh_frames_next_touched(&rig.zone.pager.frames, 0), rig.zone.pager.frames.span);
    cr_assert_eq(rig.disk->transfers, 0);
}

Test(zone, a_stat_counts_pages_by_where_they_are)
{
    static uint8_t bytes[40960];
    struct fh_object_view v = zone_alloc(&rig, 200000), s;

    memset(bytes, 1, sizeof(bytes));
    cr_assert_eq(zone_write(&rig, &v, 0, bytes, 40960), 0);
    zone_evict(&rig);
    zone_flip(&rig, &v, 0);
    cr_assert_eq(zone_read(&rig, &v.ref, 0, bytes, 1), -EBADMSG);
    cr_assert_eq(zone_read(&rig, &v.ref, 4096, bytes, 1), 0);
    cr_assert_eq(fh_zone_stat(&rig.zone, &v.ref, &s), 0);
    cr_assert_eq(s.pages.failed, 1);
    cr_assert_eq(s.pages.frame, 1);
    cr_assert_eq(s.pages.swap, 8);
    cr_assert_eq(s.pages.nothing, 39);
    cr_assert_eq(s.size, 200000);
}

/* --- beginnings --- */

Test(zone, too_little_memory_is_refused)
{
    static struct zone_rig other;

    cr_assert_eq(zone_rig_init(&other, 39, 0, 20), -EINVAL);
    cr_assert_eq(other.zone.mem.used_bytes, 0);
    fh_io_destroy(&other.disk->io);
    cr_assert_eq(zone_rig_init(&other, 2 * FH_HOLD_MAX - 1, 0, 0), -EINVAL, "the default");
    fh_io_destroy(&other.disk->io);
    zone_open(&other, 40, 0, 20);
    zone_close(&other);
}

Test(zone, works_without_swap_until_memory_is_full)
{
    static struct zone_rig other;
    static uint8_t bytes[FH_PAGE_SIZE] = {1};
    uint64_t pages = 0;

    zone_open(&other, 50, 0, 20);
    struct fh_object_view v = zone_alloc(&other, 1 << 20);
    while (zone_write(&other, &v, pages * FH_PAGE_SIZE, bytes, FH_PAGE_SIZE) == 0)
        pages++;
    cr_assert_eq(pages, 10);
    cr_assert_eq(zone_write(&other, &v, 0, bytes, 5), 0, "what exists may be written");
    cr_assert_eq(zone_zero(&other, &v, 0, FH_PAGE_SIZE), 0);
    cr_assert_eq(zone_write(&other, &v, pages * FH_PAGE_SIZE, bytes, FH_PAGE_SIZE), 0);
    cr_assert_eq(fh_zone_free(&other.zone, &v.ref), 0);
    zone_expect_empty(&other);
    zone_close(&other);
}

Test(zone, every_buddy_system_serves)
{
    for (uint32_t i = 0; i < 4; i++) {
        static const char *const names[] = {"binary", "fibonacci", "weighted", "tertiary"};
        const struct fh_buddy_system *system = fh_buddy_system_find(names[i]);
        static struct zone_rig other;
        cr_assert_not_null(system);
        other.keys = (struct rng){1};
        other.disk = fh_fake_disk_create(1);
        cr_assert_eq(fh_zone_init(&other.zone,
                                  &(struct fh_zone_opts){.memory_bytes = 50 * FH_PAGE_SIZE,
                                                         .io = &other.disk->io,
                                                         .system = system,
                                                         .random = zone_rig_random,
                                                         .random_ctx = &other,
                                                         .hold_max = 20},
                                  0),
                     0);
        struct fh_object_view v = zone_alloc(&other, 100000);
        cr_assert_eq(zone_write(&other, &v, 99000, "abc", 3), 0);
        cr_assert_eq(zone_resize(&other, &v, 3 << 20), 0);
        uint8_t bytes[3];
        cr_assert_eq(zone_read(&other, &v.ref, 99000, bytes, 3), 0);
        cr_assert_eq(memcmp(bytes, "abc", 3), 0);
        zone_close(&other);
    }
}

Test(zone, ends_while_pages_are_still_on_their_way)
{
    static struct zone_rig other;
    static uint8_t bytes[40960];
    static struct fh_reader r;

    zone_open(&other, 64, 255, 20);
    other.disk->delay_max = 5;
    struct fh_object_view v = zone_alloc(&other, 50000);
    memset(bytes, 1, sizeof(bytes));
    cr_assert_eq(zone_write(&other, &v, 0, bytes, sizeof(bytes)), 0);
    zone_evict(&other);
    cr_assert_eq(fh_reader_open(&other.zone, &r, &v.ref, 0, 40960), -EINPROGRESS);
    fh_reader_close(&r);
    fh_zone_fini(&other.zone);
    cr_assert_eq(other.zone.mem.used_bytes, 0);
    fh_io_destroy(&other.disk->io);
}

/* --- looking inside --- */

Test(zone, stats_and_dump_tell_what_there_is_and_no_key)
{
    struct fh_object_view v = zone_alloc(&rig, 1000);
    struct fh_zone_stats s;
    char *text = NULL, key[32];
    size_t size = 0;

    cr_assert_eq(zone_put(&rig, "name", "x", 1, 0, &any_time, NULL), 0);
    fh_zone_stats(&rig.zone, &s);
    cr_assert_eq(s.objects, 2);
    cr_assert_eq(s.names, 1);
    cr_assert_eq(s.object_bytes, 1001);
    cr_assert_str_eq(s.io_backend, "fake");
    cr_assert_str_eq(s.buddy, "binary");
    cr_assert_gt(s.metadata_bytes, 0);
    cr_assert_eq(s.pager.frames_total, 64);
    FILE *out = open_memstream(&text, &size);
    fh_zone_dump(&rig.zone, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "objects: 2 of 1001 bytes"));
    cr_assert_not_null(strstr(text, "directory: 1 names"));
    snprintf(key, sizeof(key), "%llx", (unsigned long long)v.ref.key);
    cr_assert_null(strstr(text, key));
    snprintf(key, sizeof(key), "%llu", (unsigned long long)v.ref.key);
    cr_assert_null(strstr(text, key));
    free(text);
}

static void expect_broken(const char *invariant)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    cr_assert_not(fh_zone_check(&rig.zone, out));
    fclose(out);
    cr_assert_not_null(strstr(text, invariant), "%s", text);
    free(text);
}

Test(zone, check_sees_an_object_whose_address_leads_elsewhere)
{
    struct fh_object_view a = zone_alloc(&rig, 50000), b = zone_alloc(&rig, 50000);
    struct fh_large *o = &rig.zone.objects.records[1];

    o->addr = b.ref.addr.v; /* [I1] another one's */
    expect_broken("[I1] object 1");
    o->addr = a.ref.addr.v + 8; /* [I1] nobody's */
    expect_broken("[I1] object 1");
    o->addr = a.ref.addr.v;
    zone_check(&rig);
}

Test(zone, check_sees_a_name_that_leads_elsewhere)
{
    cr_assert_eq(zone_put(&rig, "name", "x", 1, 0, &any_time, NULL), 0);
    struct fh_name name = {.tenant = ZONE_TENANT, .size = 4, .bytes = "name"};
    cr_assert_eq(zone_put(&rig, "other", "x", 1, 0, &any_time, NULL), 0);
    fh_directory_replace(&rig.zone.directory, &name, FH_OBJECT_SMALL,
                         FH_OBJECT_SMALL + 1); /* [I2] */
    expect_broken("[I2] object 4000000");
    fh_directory_replace(&rig.zone.directory, &name, FH_OBJECT_SMALL + 1, FH_OBJECT_SMALL);
    zone_check(&rig);
}

Test(zone, check_sees_an_expiry_or_an_extra_that_is_nobodys)
{
    struct fh_object_view a;

    cr_assert_eq(fh_zone_alloc(&rig.zone, ZONE_TENANT, 50000, 1000, &a), 0);
    rig.zone.objects.records[1].expires = 0; /* [I4] */
    expect_broken("[I4] object 1");
    rig.zone.objects.records[1].expires = 1;
    struct fh_extra x = {.expiry = 7};
    uint32_t ref;
    cr_assert_eq(fh_extras_take(&rig.zone.extras, &x, &ref), 0); /* [I4] */
    expect_broken("[I4] objects have 1 extras");
    fh_extras_give(&rig.zone.extras, ref);
    zone_check(&rig);
}

Test(zone, check_sees_each_part_that_is_broken)
{
    (void)zone_alloc(&rig, 50000);
    rig.zone.objects.count++;
    expect_broken("objects, counted");
    rig.zone.objects.count--;
    rig.zone.directory.count++;
    expect_broken("names");
    rig.zone.directory.count--;
    rig.zone.extras.count++;
    expect_broken("entries, counted");
    rig.zone.extras.count--;
    rig.zone.pager.mapped++;
    expect_broken("[I5] mapped");
    rig.zone.pager.mapped--;
    rig.zone.heap.space.segments++;
    expect_broken("segment");
    rig.zone.heap.space.segments--;
    zone_check(&rig);
}
