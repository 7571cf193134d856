/* Slots against a plain array of counts. */
#include "alloc/slots.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "alloc/bits.h"
#include "tests/support/rng.h"

static struct fh_mem mem;
static struct fh_slots slots;

static void open_slots(uint32_t total)
{
    memset(&slots, 0xA5, sizeof(slots));
    cr_assert_eq(fh_slots_init(&slots, &mem, total), 0);
    cr_assert(fh_slots_check(&slots, stderr));
}

static void close_slots(void)
{
    cr_assert(fh_slots_check(&slots, stderr));
    fh_slots_fini(&slots);
    cr_assert_eq(mem.used_bytes, 0);
}

static uint32_t take(uint32_t want, uint32_t *count)
{
    struct fh_slot first = {0};
    int rc = fh_slots_take(&slots, want, &first, count);
    cr_assert_eq(rc, 0);
    cr_assert_geq(first.v, 1);
    cr_assert_leq(first.v + *count - 1, slots.total);
    return first.v;
}

static void release(uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        fh_slots_release(&slots, (struct fh_slot){first + i});
}

TestSuite(slots, .timeout = 20);

Test(slots, come_in_runs_and_slot_0_never)
{
    uint32_t count;

    open_slots(2000);
    cr_assert_eq(take(64, &count), 1);
    cr_assert_eq(count, 64);
    cr_assert_eq(take(64, &count), 65);
    cr_assert_eq(take(1, &count), 129);
    release(1, 64);
    cr_assert_eq(take(10, &count), 1, "the first run that is long enough");
    close_slots();
}

Test(slots, all_can_be_taken_whatever_the_total)
{
    static const uint32_t totals[] = {1, 2, 63, 64, 510, 511, 512, 513, 1023, 1024, 5000};

    for (size_t i = 0; i < sizeof(totals) / sizeof(totals[0]); i++) {
        struct fh_slot first = {12345};
        uint32_t count = 67890, got = 0;
        open_slots(totals[i]);
        while (got < totals[i]) {
            take(64, &count);
            got += count;
        }
        cr_assert_eq(got, totals[i]);
        cr_assert(fh_slots_check(&slots, stderr));
        cr_assert_eq(fh_slots_take(&slots, 1, &first, &count), -ENOSPC);
        cr_assert_eq(first.v, 12345);
        release(1, totals[i]);
        cr_assert_eq(slots.stats.free, totals[i]);
        close_slots();
    }
}

Test(slots, none_at_all_is_allowed)
{
    struct fh_slot first;
    uint32_t count;

    open_slots(0);
    cr_assert_eq(fh_slots_take(&slots, 1, &first, &count), -ENOSPC);
    close_slots();
}

Test(slots, the_largest_swap_costs_nothing_until_it_is_used)
{
    struct fh_slot first;
    uint32_t count;

    cr_assert_eq(fh_slots_init(&slots, &mem, UINT32_MAX), 0);
    cr_assert_eq(fh_slots_take(&slots, 64, &first, &count), 0);
    cr_assert_eq(first.v, 1);
    release(1, 64);
    fh_slots_fini(&slots);
    cr_assert_eq(mem.used_bytes, 0);
}

Test(slots, a_slot_is_free_when_its_last_reference_is_released)
{
    uint32_t count;
    struct fh_slot slot = {0};

    open_slots(1);
    slot.v = take(1, &count);
    cr_assert(fh_slots_hold(&slots, slot));
    cr_assert_eq(fh_slots_refs(&slots, slot), 2);
    fh_slots_release(&slots, slot);
    cr_assert_eq(slots.stats.free, 0);
    fh_slots_release(&slots, slot);
    cr_assert_eq(slots.stats.free, 1);
    cr_assert_eq(fh_slots_refs(&slots, slot), 0);
    close_slots();
}

Test(slots, a_full_count_refuses_and_stays)
{
    uint32_t count;

    open_slots(3);
    struct fh_slot slot = {take(1, &count)};
    for (uint32_t i = 1; i < FH_SLOT_REFS_MAX; i++)
        cr_assert(fh_slots_hold(&slots, slot));
    cr_assert_not(fh_slots_hold(&slots, slot));
    cr_assert_eq(fh_slots_refs(&slots, slot), FH_SLOT_REFS_MAX);
    for (uint32_t i = 0; i < FH_SLOT_REFS_MAX; i++)
        fh_slots_release(&slots, slot);
    close_slots();
}

Test(slots, a_quarantined_slot_never_comes_back)
{
    uint32_t count;

    open_slots(4);
    cr_assert_eq(take(4, &count), 1);
    fh_slots_quarantine(&slots, (struct fh_slot){2});
    fh_slots_quarantine(&slots, (struct fh_slot){2});
    cr_assert(fh_slots_check(&slots, stderr));
    release(1, 4);
    cr_assert_eq(slots.stats.quarantined, 1);
    cr_assert_eq(slots.stats.free, 3);
    cr_assert_eq(slots.stats.used, 0);
    cr_assert_eq(take(4, &count), 3);
    cr_assert_eq(count, 2, "the longest run beside it");
    cr_assert_eq(take(4, &count), 1);
    cr_assert_eq(count, 1);
    close_slots();
}

Test(slots, records_keep_nonce_tag_and_count_apart)
{
    static const uint8_t tag[FH_CIPHER_TAG_BYTES] = {1, 2, 3};
    const uint64_t nonce = (UINT64_C(1) << 48) - 1;
    uint32_t count;

    open_slots(10);
    struct fh_slot slot = {take(1, &count)};
    cr_assert(fh_slots_hold(&slots, slot));
    fh_slots_seal(&slots, slot, nonce, tag);
    cr_assert_eq(fh_slots_refs(&slots, slot), 2);
    cr_assert(fh_slots_hold(&slots, slot));
    cr_assert_eq(fh_slots_nonce(&slots, slot), nonce);
    cr_assert_arr_eq(fh_slots_record(&slots, slot)->tag, tag, sizeof(tag));
    release(slot.v, 1);
    close_slots();
}

Test(slots, short_runs_wait_while_a_cluster_is_half_empty)
{
    uint32_t count;

    open_slots(FH_SLOTS_CLUSTER * 2);
    for (uint32_t got = 0; got < 511; got += count)
        take(64, &count);
    release(100, 4);
    cr_assert_eq(take(64, &count), 512, "the next cluster, not the hole of 4");
    cr_assert_eq(count, 64);
    close_slots();
}

Test(slots, holes_are_filled_when_no_cluster_is_half_empty)
{
    uint32_t count, got;

    open_slots(FH_SLOTS_CLUSTER * 2 - 1);
    for (got = 0; got < slots.total; got += count)
        take(64, &count);
    for (uint32_t slot = 2; slot < 400; slot += 4)
        release(slot, 1);
    for (got = 0; slots.stats.free > 0; got++) {
        cr_assert_lt(take(64, &count), 400);
        cr_assert_eq(count, 1);
    }
    cr_assert_eq(got, 100);
    close_slots();
}

Test(slots, a_hole_in_the_open_cluster_goes_before_a_cluster_less_than_half_empty)
{
    uint32_t count;

    open_slots(FH_SLOTS_CLUSTER * 2 - 1);
    for (uint32_t got = 0; got < slots.total; got += count)
        take(64, &count);
    release(FH_SLOTS_CLUSTER + 100, 3);
    release(1, 255);
    cr_assert_eq(take(64, &count), FH_SLOTS_CLUSTER + 100);
    cr_assert_eq(count, 3);
    release(FH_SLOTS_CLUSTER + 100, 3);
    release(256, 1);
    cr_assert_eq(take(64, &count), 1, "half empty now");
    close_slots();
}

Test(slots, the_emptiest_cluster_is_opened_next)
{
    uint32_t count;

    open_slots(FH_SLOTS_CLUSTER * 4 - 1);
    for (uint32_t got = 0; got < slots.total; got += count)
        take(64, &count);
    release(FH_SLOTS_CLUSTER * 1, 300);
    release(FH_SLOTS_CLUSTER * 2, 400);
    cr_assert_eq(take(64, &count), FH_SLOTS_CLUSTER * 2);
    close_slots();
}

Test(slots, releasing_a_free_slot_is_a_programmer_error, .signal = SIGABRT)
{
    open_slots(10);
    fh_slots_release(&slots, (struct fh_slot){3});
}

Test(slots, slot_0_is_nobodys, .signal = SIGABRT)
{
    open_slots(10);
    (void)fh_slots_refs(&slots, (struct fh_slot){0});
}

/* Breaks one thing, sees it, and mends it. */
static void assert_seen(void *at, size_t size)
{
    uint8_t kept[32];

    memcpy(kept, at, size);
    *(uint8_t *)at ^= 2;
    cr_assert_not(fh_slots_check(&slots, NULL));
    memcpy(at, kept, size);
    cr_assert(fh_slots_check(&slots, stderr));
}

Test(slots, check_sees_each_broken_invariant)
{
    uint32_t count;

    open_slots(1200);
    for (uint32_t i = 0; i < 10; i++)
        take(64, &count);
    fh_slots_quarantine(&slots, (struct fh_slot){70});
    release(71, 10);

    assert_seen(slots.taken_map, 8);                        /* [I1] [I3] slot 1 */
    assert_seen((uint8_t *)&slots.records[72].word + 6, 2); /* [I1] references of a free slot */
    assert_seen(&slots.quarantine_map[1], 8);               /* [I5] slot 65 */
    fh_bit_set(slots.quarantine_map, 75);                   /* [I2] a free one */
    cr_assert_not(fh_slots_check(&slots, NULL));
    fh_bit_clear(slots.quarantine_map, 75);
    assert_seen(&slots.lists[FH_SLOTS_CLUSTER - 130], 4); /* [I4] some list or none: */
    assert_seen(&slots.clusters_fresh, 4);                /* [I4] */
    assert_seen(&slots.stats.used, 8);                    /* [I5] */
    assert_seen(&slots.stats.quarantined, 8);
    assert_seen(&slots.stats.free, 8);
    assert_seen((uint8_t *)slots.clusters + 8, 4); /* [I3] the count of cluster 0 */
    close_slots();
}

Test(slots, no_memory_is_an_error_and_leaves_nothing)
{
    for (uint64_t n = 1;; n++) {
        mem = (struct fh_mem){.fail_at = n};
        int rc = fh_slots_init(&slots, &mem, 5000);
        if (!mem.failed) {
            cr_assert_eq(rc, 0);
            break;
        }
        cr_assert_eq(rc, -ENOMEM);
        cr_assert_eq(mem.used_bytes, 0);
    }
    close_slots();
}

Test(slots, dump_names_clusters_in_use)
{
    char *text = NULL;
    size_t size = 0;
    uint32_t count;
    FILE *out = open_memstream(&text, &size);

    open_slots(600);
    take(64, &count);
    fh_slots_dump(&slots, out);
    fclose(out);
    cr_assert(strstr(text, "used 64"));
    cr_assert(strstr(text, "cluster 0 taken 65"));
    free(text);
    close_slots();
}

/* --- the walk --- */

enum { WALK_TOTAL = 3000, WALK_STEPS = 60000 };

static uint32_t refs[WALK_TOTAL + 1];
static bool bad[WALK_TOTAL + 1];

static void walk_take(struct rng *r)
{
    uint32_t want = (uint32_t)rng_between(r, 1, 64), count = 0, free_count = 0;
    struct fh_slot first = {0};

    for (uint32_t i = 1; i <= WALK_TOTAL; i++)
        free_count += refs[i] == 0 && !bad[i];
    int rc = fh_slots_take(&slots, want, &first, &count);
    cr_assert_eq(rc, free_count == 0 ? -ENOSPC : 0);
    if (rc != 0)
        return;
    cr_assert(count >= 1 && count <= want);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(refs[first.v + i], 0);
        cr_assert_not(bad[first.v + i]);
        refs[first.v + i] = 1;
    }
}

static void walk_touch(struct rng *r, uint32_t slot)
{
    uint64_t dice = rng_below(r, 1000);

    if (dice < 200) {
        cr_assert(fh_slots_hold(&slots, (struct fh_slot){slot}));
        refs[slot]++;
    } else if (dice < 203) {
        fh_slots_quarantine(&slots, (struct fh_slot){slot});
        bad[slot] = true;
    } else {
        fh_slots_release(&slots, (struct fh_slot){slot});
        refs[slot]--;
    }
}

Test(slots, agree_with_an_array_of_counts)
{
    struct rng r = rng_from_env("slots");

    open_slots(WALK_TOTAL);
    for (uint32_t step = 0; step < WALK_STEPS; step++) {
        uint32_t slot = (uint32_t)rng_between(&r, 1, WALK_TOTAL);
        if (rng_percent(&r, 3))
            walk_take(&r);
        else if (refs[slot] > 0)
            walk_touch(&r, slot);
        if (step % 100 == 0)
            cr_assert(fh_slots_check(&slots, stderr));
    }
    for (uint32_t i = 1; i <= WALK_TOTAL; i++)
        cr_assert_eq(fh_slots_refs(&slots, (struct fh_slot){i}), refs[i]);
    close_slots();
}

Test(slots, what_could_not_be_written_is_tried_again_after_a_pardon)
{
    uint32_t count;

    open_slots(600);
    uint32_t first = take(3, &count);
    cr_assert_eq(count, 3);
    fh_slots_shelve(&slots, (struct fh_slot){first});
    fh_slots_quarantine(&slots, (struct fh_slot){first + 1});
    release(first, 3);
    cr_assert_eq(slots.stats.quarantined, 2);
    cr_assert_eq(fh_slots_pardon(&slots), 1, "but what lost its bytes stays put aside");
    cr_assert_eq(slots.stats.quarantined, 1);
    cr_assert_eq(slots.stats.free, 599);
    close_slots();
}
