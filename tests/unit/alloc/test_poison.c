/* What --debug-alloc finds: bytes of slabs that are no object's are 0 or poison, or it is told. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/zone_private.h"
#include "tests/support/zone_rig.h"

enum { SIZE = 100, PLACE = 104 }; /* the size class of 100 */

static struct zone_rig rig;
static uint8_t body[32768];

static void open_with(bool debug)
{
    rig.keys = (struct rng){77};
    rig.now_ms = 5000;
    rig.disk = fh_fake_disk_create(13);
    cr_assert_eq(fh_zone_init(&rig.zone,
                              &(struct fh_zone_opts){.memory_bytes = 64 * FH_PAGE_SIZE,
                                                     .swap_bytes = 255 * FH_PAGE_SIZE,
                                                     .swap_dir = "/var/tmp",
                                                     .io = &rig.disk->io,
                                                     .random = zone_rig_random,
                                                     .random_ctx = &rig,
                                                     .hold_max = 20,
                                                     .debug = debug},
                              rig.now_ms),
                 0);
    memset(body, 0x77, sizeof(body));
}

static void setup(void)
{
    open_with(true);
}

static void teardown(void)
{
    zone_close(&rig);
}

TestSuite(poison, .init = setup, .fini = teardown, .timeout = 30);

static struct fh_object_view written(uint64_t size)
{
    struct fh_object_view v = zone_alloc(&rig, size);

    cr_assert_eq(zone_write(&rig, &v, 0, body, size), 0);
    return v;
}

/* A byte of the object's page, wherever it is now. */
static uint8_t *byte_at(const struct fh_object_view *v, uint64_t offset)
{
    struct fh_entry e = zone_entry(&rig, v, offset);

    cr_assert_eq(fh_entry_state(e), FH_PAGE_FRAME);
    return fh_region_bytes(&rig.zone.pager.region, fh_entry_frame(e)) +
           fh_addr_in_page((struct fh_addr){v->ref.addr.v + offset});
}

static void assert_told(void)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    cr_assert_not(fh_zone_check(&rig.zone, out));
    fclose(out);
    cr_assert_not_null(strstr(text, "[P1]"), "%s", text);
    free(text);
}

Test(poison, check_sees_one_byte_behind_an_object)
{
    struct fh_object_view v = written(SIZE);

    for (uint64_t at = SIZE; at < PLACE; at++) {
        *byte_at(&v, at) = 1;
        assert_told();
        *byte_at(&v, at) = 0;
        zone_check(&rig);
    }
}

Test(poison, check_sees_a_byte_behind_the_filled_part)
{
    struct fh_object_view v = zone_alloc(&rig, SIZE);

    cr_assert_eq(zone_write(&rig, &v, 0, body, 10), 0);
    *byte_at(&v, 10) = 1;
    assert_told();
    *byte_at(&v, 10) = 0;
}

Test(poison, check_sees_a_byte_where_no_object_lives)
{
    struct fh_object_view v = written(SIZE);

    *byte_at(&v, PLACE + 50) = 1;
    assert_told();
    *byte_at(&v, PLACE + 50) = FH_POISON;
    zone_check(&rig);
}

Test(poison, check_sees_a_byte_behind_the_last_object_of_a_slab)
{
    struct fh_object_view v = written(SIZE);
    uint8_t *last = byte_at(&v, FH_PAGE_SIZE - 1 - fh_addr_in_page(v.ref.addr));

    *last = 1;
    assert_told();
    *last = 0;
}

Test(poison, freed_bytes_are_poison)
{
    struct fh_object_view keeper = written(SIZE), v = written(SIZE);

    uint8_t *place = byte_at(&v, 0);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    for (int i = 0; i < SIZE; i++)
        cr_assert_eq(place[i], FH_POISON);
    zone_check(&rig);
    place[7] = 1;
    assert_told();
    place[7] = 0;
    zone_expect(&rig, &keeper, 0, 0);
    cr_assert_eq(*byte_at(&keeper, SIZE - 1), 0x77);
}

Test(poison, a_place_used_again_reads_as_zeros_not_as_poison)
{
    struct fh_object_view keeper = written(SIZE), v = written(SIZE);
    uint64_t place = v.ref.addr.v;

    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    v = zone_alloc(&rig, SIZE);
    cr_assert_eq(v.ref.addr.v, place);
    zone_expect(&rig, &v, 0, SIZE);
    cr_assert_eq(zone_write(&rig, &v, 50, body, 10), 0);
    cr_assert_eq(*byte_at(&v, 49), 0, "the gap was cleared");
    cr_assert_eq(*byte_at(&v, 60), FH_POISON, "behind it is still poison");
    zone_check(&rig);
    cr_assert_eq(*byte_at(&keeper, 0), 0x77);
}

Test(poison, what_is_cut_off_or_zeroed_at_the_end_is_poison)
{
    struct fh_object_view v = written(SIZE);

    cr_assert_eq(zone_resize(&rig, &v, 60), 0);
    cr_assert_eq(*byte_at(&v, 60), FH_POISON);
    cr_assert_eq(zone_zero(&rig, &v, 30, 30), 0);
    cr_assert_eq(*byte_at(&v, 30), FH_POISON);
    cr_assert_eq(*byte_at(&v, 29), 0x77);
    zone_check(&rig);
    *byte_at(&v, 40) = 1;
    assert_told();
    *byte_at(&v, 40) = 0;
}

Test(poison, an_object_that_moved_leaves_poison)
{
    struct fh_object_view keeper = written(SIZE), v = written(SIZE);
    uint8_t *place = byte_at(&v, 0);

    cr_assert_eq(zone_resize(&rig, &v, 3000), 0);
    cr_assert_eq(place[0], FH_POISON);
    cr_assert_eq(place[SIZE - 1], FH_POISON);
    zone_check(&rig);
    cr_assert_eq(*byte_at(&keeper, 0), 0x77);
}

Test(poison, nothing_is_claimed_about_pages_that_could_not_be_poisoned)
{
    struct fh_object_view keeper = written(SIZE), v = written(SIZE);

    zone_evict(&rig);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    cr_assert_eq(zone_write(&rig, &keeper, 0, body, 1), 0, "this reads the page in");
    cr_assert_eq(byte_at(&keeper, 0)[PLACE], 0x77, "the dead one's bytes are there");
    zone_check(&rig);
    cr_assert_eq(fh_zone_free(&rig.zone, &keeper.ref), 0);
    keeper = written(SIZE);
    *byte_at(&keeper, PLACE) = 1;
    assert_told();
    *byte_at(&keeper, PLACE) = 0;
}

Test(poison, a_reader_of_a_freed_object_sees_its_bytes_not_poison)
{
    static struct fh_reader r;
    static uint8_t got[SIZE];
    struct fh_object_view keeper = written(SIZE), v = written(SIZE);

    memset(&r.call, 0, sizeof(r.call));
    cr_assert_eq(fh_reader_open(&rig.zone, &r, &v.ref, 0, SIZE), 0);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    cr_assert_eq(zone_drain(&rig, &r, 0, got), 0);
    cr_assert_eq(memcmp(got, body, SIZE), 0);
    fh_reader_close(&r);
    zone_check(&rig);
    cr_assert_eq(*byte_at(&keeper, 0), 0x77);
}

Test(poison, large_objects_of_several_pages_are_watched_as_well)
{
    struct fh_object_view keeper = written(5000), v = written(5000);

    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    zone_check(&rig);
    *byte_at(&keeper, 5000) = 1;
    assert_told();
    *byte_at(&keeper, 5000) = 0;
}

Test(poison, freeing_an_object_with_a_written_red_zone_stops_the_server, .signal = SIGABRT)
{
    struct fh_object_view v = written(SIZE);

    *byte_at(&v, SIZE + 1) = 1;
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
}

#if !defined(FH_DEEP_CHECKS) || !FH_DEEP_CHECKS
Test(poison_off, nothing_is_poisoned_unless_asked_for, .timeout = 30)
{
    open_with(false);
    struct fh_object_view keeper = written(SIZE), v = written(SIZE);
    uint8_t *place = byte_at(&v, 0);
    cr_assert_null(rig.zone.stale);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    cr_assert_eq(place[0], 0x77);
    place[0] = 1;
    zone_check(&rig);
    cr_assert_eq(*byte_at(&keeper, 0), 0x77);
    zone_close(&rig);
}
#endif
