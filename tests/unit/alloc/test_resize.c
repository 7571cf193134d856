/* Objects that change their size: in place, by moving entries, by copying. */
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

/* An object of this size, filled by zone_fill(what). */
static struct fh_object_view filled(uint64_t what, uint64_t size)
{
    static uint8_t bytes[1 << 20];
    struct fh_object_view v = zone_alloc(&rig, size);

    zone_fill(bytes, what, size);
    for (uint64_t at = 0; at < size; at += FH_WRITE_MAX) {
        uint64_t part = size - at < FH_WRITE_MAX ? size - at : FH_WRITE_MAX;
        cr_assert_eq(zone_write(&rig, &v, at, bytes + at, part), 0);
    }
    return v;
}

/* Its first bytes are as filled, the rest zeros. */
static void expect(struct fh_object_view *v, uint64_t what, uint64_t kept, uint64_t size)
{
    static uint8_t got[1 << 20], expected[1 << 20];

    cr_assert_eq(v->size, size);
    memset(expected, 0, size);
    zone_fill(expected, what, kept);
    cr_assert_eq(zone_read(&rig, &v->ref, 0, got, size), 0);
    cr_assert_eq(memcmp(got, expected, size), 0, "kept %lu of %lu", (unsigned long)kept,
                 (unsigned long)size);
}

static void free_object(struct fh_object_view *v)
{
    cr_assert_eq(fh_zone_free(&rig.zone, &v->ref), 0);
}

TestSuite(resize, .init = setup, .fini = teardown, .timeout = 30);

Test(resize, to_every_other_size_keeps_what_fits_and_shows_zeros_beyond)
{
    static const uint64_t sizes[] = {0, 1, 16, 17, 500, 4096, 4100, 32768, 32769, 65537, 150000};
    enum { N = sizeof(sizes) / sizeof(sizes[0]) };

    for (int from = 0; from < N; from++)
        for (int to = 0; to < N; to++)
            for (int cold = 0; cold < 2; cold++) {
                uint64_t kept = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
                struct fh_object_view v = filled(7, sizes[from]);
                struct fh_ref old = v.ref;
                if (cold)
                    zone_evict(&rig);
                cr_assert_eq(zone_resize(&rig, &v, sizes[to]), 0, "%lu to %lu",
                             (unsigned long)sizes[from], (unsigned long)sizes[to]);
                expect(&v, 7, kept, sizes[to]);
                if (v.ref.addr.v != old.addr.v) {
                    struct fh_object_view gone;
                    cr_assert_neq(v.ref.key, old.key);
                    cr_assert_eq(fh_zone_find(&rig.zone, &old, &gone), -ESTALE);
                } else {
                    cr_assert_eq(v.ref.key, old.key, "the same handle");
                }
                zone_check(&rig);
                free_object(&v);
            }
    zone_expect_empty(&rig);
}

Test(resize, shrinking_and_growing_again_shows_zeros)
{
    static const uint64_t sizes[] = {20, 3000, 30000, 100000};

    for (int i = 0; i < 4; i++) {
        struct fh_object_view v = filled(9, sizes[i]);
        cr_assert_eq(zone_resize(&rig, &v, sizes[i] / 3), 0);
        cr_assert_eq(zone_resize(&rig, &v, sizes[i]), 0);
        expect(&v, 9, sizes[i] / 3, sizes[i]);
        free_object(&v);
    }
}

Test(resize, a_large_object_moves_without_a_byte_copied)
{
    struct fh_object_view v = filled(3, 140000);
    struct fh_object_view behind = filled(4, 140000); /* nobody grows into this */

    zone_evict(&rig);
    uint64_t reads = rig.disk->io.reads, copied = rig.zone.pager.copied_bytes;
    uint64_t addr = v.ref.addr.v;
    cr_assert_eq(zone_resize(&rig, &v, 900000), 0);
    cr_assert_neq(v.ref.addr.v, addr);
    cr_assert_eq(rig.disk->io.reads, reads);
    cr_assert_eq(rig.zone.pager.copied_bytes, copied);
    expect(&v, 3, 140000, 900000);
    expect(&behind, 4, 140000, 140000);
}

Test(resize, beyond_a_tebibyte_is_refused_and_nothing_changes)
{
    struct fh_object_view v = filled(3, 50000), before = v;

    cr_assert_eq(zone_resize(&rig, &v, FH_OBJECT_SIZE_MAX + 1), -EFBIG);
    cr_assert_eq(zone_resize(&rig, &v, UINT64_MAX), -EFBIG);
    cr_assert_eq(fh_zone_find(&rig.zone, &before.ref, &v), 0);
    cr_assert_eq(v.version, before.version);
    expect(&v, 3, 50000, 50000);
    cr_assert_eq(zone_resize(&rig, &v, FH_OBJECT_SIZE_MAX), 0);
    uint8_t last = 1;
    cr_assert_eq(zone_read(&rig, &v.ref, FH_OBJECT_SIZE_MAX - 1, &last, 1), 0);
    cr_assert_eq(last, 0);
}

Test(resize, a_reader_goes_on_with_the_object_of_its_moment)
{
    static struct fh_reader r;
    static uint8_t got[200000], expected[200000];
    struct fh_object_view v = filled(5, 200000);
    struct fh_object_view behind = filled(6, 200000);

    int rc = fh_reader_open(&rig.zone, &r, &v.ref, 0, 200000);
    cr_assert(r.is_view);
    cr_assert_eq(zone_resize(&rig, &v, 50000), 0);
    cr_assert_eq(zone_resize(&rig, &v, 800000), 0);
    zone_check(&rig);
    zone_evict(&rig);
    zone_check(&rig);
    cr_assert_eq(zone_drain(&rig, &r, rc, got), 0);
    zone_fill(expected, 5, 200000);
    cr_assert_eq(memcmp(got, expected, sizeof(got)), 0);
    fh_reader_close(&r);
    expect(&v, 5, 50000, 800000);
    free_object(&v);
    free_object(&behind);
    zone_expect_empty(&rig);
}

/* Two readers of different parts share frames beyond the size the object has when it moves. */
Test(resize, two_readers_of_a_part_cut_off_keep_their_shared_pages)
{
    static struct fh_reader a, b;
    static uint8_t got[400000], expected[400000];
    struct fh_object_view v = filled(5, 400000);

    int rc_a = fh_reader_open(&rig.zone, &a, &v.ref, 0, 400000);
    int rc_b = fh_reader_open(&rig.zone, &b, &v.ref, 200000, 200000);
    cr_assert(a.is_view);
    cr_assert(b.is_view);
    cr_assert_eq(zone_resize(&rig, &v, 5000), 0);
    cr_assert_eq(zone_resize(&rig, &v, 1 << 20), 0);
    zone_check(&rig);
    zone_evict(&rig);
    zone_check(&rig);
    zone_fill(expected, 5, 400000);
    cr_assert_eq(zone_drain(&rig, &a, rc_a, got), 0);
    cr_assert_eq(memcmp(got, expected, 400000), 0);
    cr_assert_eq(zone_drain(&rig, &b, rc_b, got), 0);
    cr_assert_eq(memcmp(got, expected + 200000, 200000), 0);
    zone_check(&rig);
    fh_reader_close(&a);
    fh_reader_close(&b);
    expect(&v, 5, 5000, 1 << 20);
}

Test(resize, a_small_object_written_while_it_is_saved_keeps_the_write)
{
    static struct fh_mutation grow;
    struct fh_object_view v = filled(5, 1000);
    static uint8_t got[5000], expected[5000];

    zone_evict(&rig);
    rig.disk->hang = true;
    grow = (struct fh_mutation){.kind = FH_MUTATE_RESIZE, .ref = v.ref, .size = 5000};
    cr_assert_eq(fh_zone_mutate(&rig.zone, &grow), -EINPROGRESS);
    static struct fh_mutation write;
    write = (struct fh_mutation){
        .kind = FH_MUTATE_WRITE, .ref = v.ref, .offset = 10, .body = "new", .size = 3};
    cr_assert_eq(fh_zone_mutate(&rig.zone, &write), -EINPROGRESS);
    rig.disk->hang = false;
    int grown = zone_wait(&rig, &grow.call, -EINPROGRESS);
    int written = zone_wait(&rig, &write.call, -EINPROGRESS);
    cr_assert_eq(grown, 0);
    /* whoever was first: a write after the move finds the handle gone, one before it is kept */
    zone_fill(expected, 5, 1000);
    if (written == 0)
        memcpy(expected + 10, "new", 3);
    else
        cr_assert_eq(written, -ESTALE);
    cr_assert_eq(zone_read(&rig, &grow.object.ref, 0, got, 5000), 0);
    cr_assert_eq(memcmp(got, expected, 5000), 0);
}

Test(resize, a_cancelled_one_leaves_object_and_memory_as_they_were)
{
    static struct fh_mutation grow;
    struct fh_object_view v = filled(5, 1000);

    zone_evict(&rig);
    uint64_t used = rig.zone.mem.used_bytes;
    grow = (struct fh_mutation){.kind = FH_MUTATE_RESIZE, .ref = v.ref, .size = 5000};
    cr_assert_eq(fh_zone_mutate(&rig.zone, &grow), -EINPROGRESS);
    fh_zone_mutate_cancel(&grow);
    cr_assert_eq(rig.zone.mem.used_bytes, used);
    expect(&v, 5, 1000, 1000);
    free_object(&v);
    zone_expect_empty(&rig);
}

Test(resize, growing_into_memory_that_is_full_is_refused_and_nothing_changes)
{
    struct fh_object_view v = filled(5, 1000), before = v;

    cr_assert_eq(fh_pager_claim(&rig.zone.pager, 64 + 255 - 40 - rig.zone.pager.mapped), 0);
    cr_assert_eq(zone_resize(&rig, &v, 40000), -ENOSPC);
    fh_pager_unclaim(&rig.zone.pager, rig.zone.pager.claimed);
    cr_assert_eq(fh_zone_find(&rig.zone, &before.ref, &v), 0);
    expect(&v, 5, 1000, 1000);
    zone_check(&rig);
    cr_assert_eq(zone_resize(&rig, &v, 40000), 0);
    expect(&v, 5, 1000, 40000);
}
