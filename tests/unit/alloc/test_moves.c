/* Small objects that were moved: the same object by handle and by name, in another place. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/advise_rig.h"

enum { COUNT = 1600, SIZE = 100 };

static struct zone_rig rig;
static struct fh_object_view views[COUNT];
static bool live[COUNT];
static uint8_t body[FH_SLAB_SIZE_MAX], got[FH_SLAB_SIZE_MAX];

static void setup(void)
{
    zone_open(&rig, 2400, 255, 20);
}

static void teardown(void)
{
    zone_close(&rig);
}

TestSuite(moves, .init = setup, .fini = teardown, .timeout = 30);

/* Turns until nothing is left to be done by them in a zone that is idle. */
static void rest(void)
{
    (void)zone_turn(&rig); /* what was allocated is seen */
    rig.now_ms += FH_COMPACT_IDLE_MS;
    for (uint32_t i = 0; i < 100 && (zone_turn(&rig) || rig.zone.compact.running); i++)
        zone_check(&rig);
    zone_check(&rig);
}

static void make(uint64_t size)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        views[i] = zone_alloc(&rig, size);
        zone_fill(body, i + 1, size);
        cr_assert_eq(zone_write(&rig, &views[i], 0, body, size), 0);
        live[i] = true;
    }
}

static void drop(uint32_t i)
{
    if (live[i])
        cr_assert_eq(fh_zone_free(&rig.zone, &views[i].ref), 0);
    live[i] = false;
}

static void drop_all_but(uint32_t every)
{
    for (uint32_t i = 0; i < COUNT; i++)
        if (i % every != 0)
            drop(i);
}

static void expect_all(void)
{
    struct fh_object_view v;

    for (uint32_t i = 0; i < COUNT; i++) {
        cr_assert_eq(fh_zone_find(&rig.zone, &views[i].ref, &v), live[i] ? 0 : -ESTALE);
        if (!live[i])
            continue;
        cr_assert_eq(v.version, views[i].version, "a move is no change");
        cr_assert_eq(v.ref.addr.v, views[i].ref.addr.v, "the handle is the same");
        cr_assert_eq(v.ref.key, views[i].ref.key);
        zone_expect(&rig, &views[i], i + 1, v.size);
    }
}

static void drop_all(void)
{
    for (uint32_t i = 0; i < COUNT; i++)
        drop(i);
    zone_expect_empty(&rig);
    cr_assert_eq(rig.zone.moved.count, 0);
    cr_assert_eq(rig.zone.extras.count, 0);
}

static struct fh_zone_stats stats(void)
{
    struct fh_zone_stats s;

    fh_zone_stats(&rig.zone, &s);
    return s;
}

static bool was_moved(const struct fh_object_view *v)
{
    struct fh_name key = {.size = sizeof(v->ref.key), .bytes = &v->ref.key};
    uint64_t id;

    return fh_directory_find(&rig.zone.moved, &key, &id) == 0;
}

/* One in ten is left, in the fewest slabs. Which was moved? */
static uint32_t sparse(uint64_t size)
{
    uint32_t i = COUNT - 1;

    make(size);
    drop_all_but(10);
    rest();
    cr_assert_gt(rig.zone.moved.count, 0);
    while (!live[i] || !was_moved(&views[i]))
        i--;
    return i;
}

Test(moves, handles_lead_to_what_was_moved)
{
    static const uint64_t sizes[] = {16, 100, 3000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint32_t moved = sparse(sizes[i]);
        cr_assert_eq(stats().moved, rig.zone.moved.count);
        cr_assert_gt(stats().compact.pages, 0);
        cr_assert(was_moved(&views[moved]));
        expect_all();
        drop_all();
    }
}

Test(moves, frames_follow_what_lives)
{
    make(SIZE);
    drop_all_but(10);
    cr_assert_gt(stats().pager.pages_frame, 36);
    rest();
    cr_assert_leq(stats().pager.pages_frame, 5);
    cr_assert_leq(stats().heap.slab.slabs, 6, "books went with them");
    drop_all();
}

Test(moves, what_was_moved_can_be_changed_like_any_object)
{
    uint32_t i = sparse(SIZE);
    struct fh_object_view v = views[i];

    zone_fill(body, 900, SIZE);
    cr_assert_eq(zone_write(&rig, &v, 0, body, SIZE), 0);
    cr_assert_neq(v.version, views[i].version);
    cr_assert_eq(v.ref.addr.v, views[i].ref.addr.v);
    zone_expect(&rig, &v, 900, SIZE);
    cr_assert_eq(fh_zone_stat(&rig.zone, &views[i].ref, &v), 0);
    cr_assert_eq(v.pages.frame, 1, "of the page where it lies");
    drop_all();
}

Test(moves, a_resize_within_its_place_keeps_it_and_one_beyond_gives_it_a_home)
{
    uint32_t i = sparse(SIZE);
    struct fh_object_view v = views[i];
    uint64_t moved = rig.zone.moved.count;

    cr_assert_eq(zone_resize(&rig, &v, 50), 0);
    cr_assert_eq(v.ref.addr.v, views[i].ref.addr.v);
    cr_assert_eq(rig.zone.moved.count, moved);
    cr_assert_eq(zone_resize(&rig, &v, 500), 0);
    struct fh_object_view grown = v;
    cr_assert_neq(v.ref.key, views[i].ref.key);
    cr_assert_eq(rig.zone.moved.count, moved - 1);
    cr_assert_eq(fh_zone_find(&rig.zone, &views[i].ref, &v), -ESTALE, "the old handle");
    zone_check(&rig);
    views[i] = grown;
    drop_all();
}

Test(moves, names_and_expiries_move_along)
{
    struct fh_object_view v;
    char name[16];

    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "name %u", i);
        zone_fill(body, i + 1, SIZE);
        cr_assert_eq(
            zone_put(&rig, name, body, SIZE, i % 20 == 0 ? 600000 : 0, &any_time, &views[i]), 0);
        live[i] = true;
    }
    drop_all_but(10);
    rest();
    cr_assert_gt(rig.zone.moved.count, 0);
    expect_all();
    for (uint32_t i = 0; i < COUNT; i += 10) {
        snprintf(name, sizeof(name), "name %u", i);
        cr_assert_eq(fh_zone_lookup(&rig.zone, ZONE_TENANT, name, strlen(name), &v), 0);
        cr_assert_eq(v.ref.addr.v, views[i].ref.addr.v);
        cr_assert_eq(v.ref.key, views[i].ref.key);
        cr_assert_eq(v.ttl_ms > 0, i % 20 == 0);
    }
    cr_assert_eq(zone_put(&rig, "name 10", body, SIZE, 0, &any_time, &v), 0);
    cr_assert_eq(fh_zone_find(&rig.zone, &views[10].ref, &v), -ESTALE, "another has the name");
    live[10] = false;
    cr_assert_eq(fh_zone_delete(&rig.zone, ZONE_TENANT, "name 10", 7, &any_time), 0);
    rig.now_ms += 700000;
    for (uint32_t t = 0; t < 20; t++, rig.now_ms += 100)
        (void)zone_turn(&rig);
    for (uint32_t i = 0; i < COUNT; i += 20)
        live[i] = false;
    expect_all();
    drop_all();
}

Test(moves, what_was_moved_can_get_a_name_and_a_time_to_live)
{
    uint32_t i = sparse(SIZE);
    struct fh_object_view v;

    cr_assert_eq(fh_zone_publish(&rig.zone, &views[i].ref, "late", 4, 5000, &any_time, &v), 0);
    cr_assert_eq(v.ref.addr.v, views[i].ref.addr.v);
    zone_check(&rig);
    cr_assert_eq(fh_zone_lookup(&rig.zone, ZONE_TENANT, "late", 4, &v), 0);
    cr_assert_eq(v.ref.addr.v, views[i].ref.addr.v);
    cr_assert_gt(v.ttl_ms, 0);
    drop_all();
}

Test(moves, an_object_may_move_again_and_its_home_may_be_anothers)
{
    uint32_t i = sparse(SIZE);
    struct fh_object_view others[COUNT], v;
    bool home_is_used = false;

    for (uint32_t k = 0; k < COUNT; k++) {
        others[k] = zone_alloc(&rig, SIZE);
        zone_fill(body, 7, SIZE);
        cr_assert_eq(zone_write(&rig, &others[k], 0, body, SIZE), 0);
        home_is_used |= others[k].ref.addr.v == views[i].ref.addr.v;
    }
    cr_assert(home_is_used);
    expect_all();
    for (uint32_t k = 0; k < COUNT; k++)
        if (k % 10 != 3)
            cr_assert_eq(fh_zone_free(&rig.zone, &others[k].ref), 0);
    rest();
    expect_all();
    struct fh_ref forged = views[i].ref;
    forged.key ^= 1;
    cr_assert_eq(fh_zone_find(&rig.zone, &forged, &v), -ESTALE);
    forged = views[i].ref;
    forged.addr.v += 128;
    cr_assert_eq(fh_zone_find(&rig.zone, &forged, &v), -ESTALE);
    forged = views[i].ref;
    forged.tenant++;
    cr_assert_eq(fh_zone_find(&rig.zone, &forged, &v), -ESTALE);
    for (uint32_t k = 3; k < COUNT; k += 10)
        cr_assert_eq(fh_zone_free(&rig.zone, &others[k].ref), 0);
    drop_all();
}

Test(moves, typed_objects_keep_what_they_were_made_with)
{
    static struct fh_object_view typed[COUNT];
    zone_fill(body, 42, 200);
    struct fh_cache_spec spec = {
        .name = "t", .name_size = 1, .object_size = 200, .initial = body, .initial_size = 200};

    cr_assert_eq(fh_zone_cache_create(&rig.zone, ZONE_TENANT, &spec), 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        cr_assert_eq(fh_zone_alloc_typed(&rig.zone, ZONE_TENANT, "t", 1, 200, 0, &typed[i]), 0);
        cr_assert_eq(zone_write(&rig, &typed[i], 0, "abcdefgh", i % 9), 0);
    }
    for (uint32_t i = 0; i < COUNT; i++)
        if (i % 10 != 5)
            cr_assert_eq(fh_zone_free(&rig.zone, &typed[i].ref), 0);
    rest();
    cr_assert_gt(rig.zone.moved.count, 0);
    for (uint32_t i = 5; i < COUNT; i += 10) {
        cr_assert_eq(zone_read(&rig, &typed[i].ref, 0, got, 200), 0);
        cr_assert_eq(memcmp(got, "abcdefgh", i % 9), 0);
        cr_assert_eq(memcmp(got + i % 9, body + i % 9, 200 - i % 9), 0);
        cr_assert_eq(fh_zone_free(&rig.zone, &typed[i].ref), 0);
    }
    cr_assert_eq(fh_zone_cache_destroy(&rig.zone, ZONE_TENANT, "t", 1), 0);
    zone_expect_empty(&rig);
}

Test(moves, who_reads_goes_on_reading_what_was_there)
{
    static struct fh_reader readers[COUNT];

    make(SIZE);
    drop_all_but(10);
    for (uint32_t i = 0; i < COUNT; i += 10) {
        memset(&readers[i].call, 0, sizeof(readers[i].call));
        cr_assert_eq(fh_reader_open(&rig.zone, &readers[i], &views[i].ref, 0, SIZE), 0);
    }
    (void)zone_turn(&rig);
    rig.now_ms += FH_COMPACT_IDLE_MS;
    for (uint32_t i = 0; i < 20; i++)
        (void)zone_turn(&rig);
    cr_assert_gt(rig.zone.moved.count, 0);
    for (uint32_t i = 0; i < COUNT; i += 10) {
        struct fh_object_view v = views[i];
        cr_assert_eq(zone_write(&rig, &v, 0, "new", 3), 0);
        zone_fill(body, i + 1, SIZE);
        cr_assert_eq(readers[i].window_bytes, SIZE);
        cr_assert_eq(memcmp(readers[i].iov[0].iov_base, body, SIZE), 0);
        fh_reader_release(&readers[i], SIZE);
        fh_reader_close(&readers[i]);
    }
    drop_all();
}

Test(moves, what_lies_in_swap_stays_there)
{
    make(SIZE);
    zone_evict(&rig);
    drop_all_but(10);
    uint64_t transfers = rig.disk->transfers;
    cr_assert_eq(stats().pager.pages_frame, 0);
    rest();
    cr_assert_eq(stats().compact.moves, 0);
    cr_assert_eq(rig.disk->transfers, transfers);
    expect_all();
    drop_all();
}

Test(moves, never_written_objects_move_without_their_pages)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        views[i] = zone_alloc(&rig, SIZE);
        live[i] = true;
        if (i % 10 != 0)
            cr_assert_eq(zone_write(&rig, &views[i], 0, body, SIZE), 0);
    }
    drop_all_but(10);
    rest();
    cr_assert_gt(rig.zone.moved.count, 0);
    for (uint32_t i = 0; i < COUNT; i += 10)
        zone_expect(&rig, &views[i], 0, SIZE);
    drop_all();
}

static void full_zone(void)
{
    zone_close(&rig);
    zone_open(&rig, 64, 0, 20);
}

Test(moves, a_request_that_would_be_refused_waits_for_sparse_slabs)
{
    static struct fh_object_view small[2000];
    struct fh_object_view large[64];
    uint32_t count = 0, larges = 0;

    full_zone();
    zone_fill(body, 3, FH_SLAB_SIZE_MAX);
    for (int rc = 0; count < 2000; count++) {
        small[count] = zone_alloc(&rig, SIZE);
        if ((rc = zone_write(&rig, &small[count], 0, body, SIZE)) != 0)
            break;
    }
    cr_assert_lt(count, 2000);
    for (uint32_t i = 0; i <= count; i++)
        if (i % 10 != 0)
            cr_assert_eq(fh_zone_free(&rig.zone, &small[i].ref), 0);
    cr_assert_eq(stats().pager.frames_total - stats().pager.frames_free, 64 - 40);
    for (;;) {
        large[larges] = zone_alloc(&rig, 2 * FH_PAGE_SIZE);
        if (zone_write(&rig, &large[larges++], 0, body, 2 * FH_PAGE_SIZE) != 0)
            break;
    }
    cr_assert_gt(larges, 9, "%u", larges);
    cr_assert_gt(stats().compact.moves, 50);
    cr_assert_eq(stats().pager.parked_now, 0);
    for (uint32_t i = 0; i <= count; i += 10) {
        if (i < count)
            zone_expect(&rig, &small[i], 3, SIZE);
        cr_assert_eq(fh_zone_free(&rig.zone, &small[i].ref), 0);
    }
    for (uint32_t i = 0; i < larges; i++)
        cr_assert_eq(fh_zone_free(&rig.zone, &large[i].ref), 0);
    zone_expect_empty(&rig);
}

Test(moves, each_request_for_memory_of_a_move_fails_once)
{
    for (uint64_t n = 1;; n++) {
        struct fh_mem *mem = &rig.zone.mem;
        make(SIZE);
        drop_all_but(10);
        mem->failed = false;
        mem->fail_at = mem->calls + n;
        rest();
        mem->fail_at = 0;
        cr_assert_gt(rig.zone.moved.count, 0, "the others were moved");
        expect_all();
        bool failed = mem->failed;
        drop_all();
        if (!failed) {
            cr_assert_gt(n, 1);
            break;
        }
        cr_assert_lt(n, 100);
    }
}

Test(moves, without_any_memory_nothing_moves)
{
    make(SIZE);
    drop_all_but(10);
    uint32_t chunks_max = rig.zone.extras.chunks_max;
    rig.zone.extras.chunks_max = 1;
    rest();
    rig.zone.extras.chunks_max = chunks_max;
    cr_assert_eq(rig.zone.moved.count, 0);
    cr_assert_gt(stats().compact.refused, 0);
    expect_all();
    drop_all();
}

Test(moves, check_sees_a_handle_that_leads_elsewhere)
{
    uint32_t i = sparse(SIZE);
    struct fh_name key = {.size = sizeof(views[i].ref.key), .bytes = &views[i].ref.key};
    uint64_t id;

    cr_assert_eq(fh_directory_find(&rig.zone.moved, &key, &id), 0);
    fh_directory_remove(&rig.zone.moved, &key, id);
    cr_assert_not(fh_zone_check(&rig.zone, NULL));
    cr_assert_eq(fh_directory_add(&rig.zone.moved, &key, id), 0);
    zone_check(&rig);
    rig.zone.moved.count++;
    cr_assert_not(fh_zone_check(&rig.zone, NULL));
    rig.zone.moved.count--;
    drop_all();
}

Test(moves, who_asks_for_more_than_sparse_slabs_can_give_is_refused_at_once)
{
    static struct fh_stage stage;

    make(SIZE);
    drop_all_but(10);
    const struct fh_pager *p = &rig.zone.pager;
    uint64_t most = 2400 + p->swap.slots.stats.total - 2 * 20 - stats().pager.live;
    uint64_t coming = fh_compact_pages(&rig.zone.compact, FH_COMPACT_REFUSE);
    cr_assert_gt(coming, 20);
    uint64_t size = (most + coming + 1) * FH_PAGE_SIZE;
    cr_assert_eq(fh_stage_open(&rig.zone, &stage, ZONE_TENANT, size, 0), -ENOSPC);
    size -= FH_PAGE_SIZE;
    cr_assert_eq(fh_stage_open(&rig.zone, &stage, ZONE_TENANT, size, 0), 0, "it may wait for it");
    cr_assert_eq(stage.claimed, 0);
    fh_stage_abort(&stage);
    drop_all();
}

Test(moves, what_is_pinned_stays_until_it_is_not)
{
    const uint32_t i = 0; /* alone in its slab */

    make(SIZE);
    drop_all_but(10);
    for (uint32_t k = 10; k < 40; k += 10)
        drop(k);
    cr_assert_eq(zone_advise(&rig, &views[i], FH_ADVICE_PIN, 0, SIZE), 0);
    rest();
    cr_assert_gt(stats().compact.moves, 0);
    cr_assert_gt(stats().compact.refused, 0);
    cr_assert_not(was_moved(&views[i]));
    cr_assert_eq(zone_advise(&rig, &views[i], FH_ADVICE_UNPIN, 0, SIZE), 0);
    for (uint32_t k = COUNT / 2; k < COUNT; k++)
        drop(k);
    rest();
    cr_assert(was_moved(&views[i]));
    expect_all();
    drop_all();
}
