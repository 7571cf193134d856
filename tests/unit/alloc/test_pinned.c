/* Pinned pages stay in memory, whatever is done to them and around them. */
#include <criterion/criterion.h>

#include "tests/support/advise_rig.h"
#include "tests/support/file_rig.h"

enum { FRAMES = 320, SLOTS = 4096, HOLD = 16, PAGE = FH_PAGE_SIZE, PINS_MAX = FRAMES / 4 };

static struct zone_rig rig;

static void setup(void)
{
    zone_open(&rig, FRAMES, SLOTS, HOLD);
}

static void teardown(void)
{
    zone_close(&rig);
}

TestSuite(pinned, .init = setup, .fini = teardown, .timeout = 20);

static int pin(const struct fh_object_view *v, uint64_t from, uint64_t pages)
{
    return zone_advise(&rig, v, FH_ADVICE_PIN, from * PAGE, pages * PAGE);
}

/* Memory is wanted by others: what is not pinned goes. */
static void press(void)
{
    zone_evict_all_but(&rig, zone_pager_stats(&rig).frames_pinned);
}

Test(pinned, a_pin_is_answered_when_all_is_in_memory)
{
    struct fh_object_view v = zone_make_cold(&rig, 40);
    static struct fh_advise a;

    a = (struct fh_advise){.kind = FH_ADVICE_PIN, .ref = v.ref, .size = v.size};
    int rc = fh_zone_advise(&rig.zone, &a);
    cr_assert_eq(rc, -EINPROGRESS);
    cr_assert_eq(zone_wait(&rig, &a.call, rc), 0);
    cr_assert_eq(a.object.version, v.version, "no byte has changed");
    cr_assert_eq(zone_counts(&rig, &v).frame, 40);
    cr_assert_eq(zone_counts(&rig, &v).pinned, 40);
    zone_check(&rig);
    press();
    cr_assert_eq(zone_counts(&rig, &v).frame, 40);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 40);
    cr_assert_eq(zone_pager_stats(&rig).swap.slots_used, 0, "their places in swap are given up");
    zone_expect_object(&rig, &v, 1);
}

Test(pinned, what_is_in_memory_is_pinned_at_once)
{
    struct fh_object_view v = zone_make_warm(&rig, 40);

    cr_assert_eq(pin(&v, 10, 20), 0);
    press();
    cr_assert_eq(zone_counts(&rig, &v).frame, 20);
    cr_assert_eq(fh_entry_state(zone_entry(&rig, &v, 10 * PAGE)), FH_PAGE_FRAME);
    cr_assert_eq(fh_entry_state(zone_entry(&rig, &v, 30 * PAGE)), FH_PAGE_SLOT);
}

Test(pinned, more_than_may_be_is_refused)
{
    struct fh_object_view v = zone_make_cold(&rig, PINS_MAX + 10),
                          other = zone_alloc(&rig, 64 * PAGE);

    cr_assert_eq(zone_pager_stats(&rig).pins_max, PINS_MAX);
    cr_assert_eq(pin(&v, 0, PINS_MAX + 1), -EDQUOT);
    cr_assert_eq(zone_pager_stats(&rig).pages_pinned, 0);
    cr_assert_eq(zone_counts(&rig, &v).frame, 0, "nothing was read for it");
    cr_assert_eq(pin(&v, 0, PINS_MAX - 4), 0);
    cr_assert_eq(pin(&other, 0, 5), -EDQUOT, "what was never written counts as well");
    cr_assert_eq(pin(&other, 0, 4), 0);
    cr_assert_eq(pin(&other, 0, 4), 0, "again costs nothing");
    cr_assert_eq(zone_advise(&rig, &other, FH_ADVICE_PIN, 64 * PAGE, 1), -EINVAL);
    cr_assert_eq(zone_advise(&rig, &other, FH_ADVICE_PIN, 64 * PAGE, 0), 0);
}

Test(pinned, unpinned_pages_may_leave)
{
    struct fh_object_view v = zone_make_cold(&rig, 60);

    cr_assert_eq(pin(&v, 0, 60), 0);
    cr_assert_eq(zone_advise(&rig, &v, FH_ADVICE_UNPIN, 20 * PAGE, 20 * PAGE), 0);
    cr_assert_eq(zone_counts(&rig, &v).pinned, 40);
    press();
    cr_assert_eq(zone_counts(&rig, &v).frame, 40);
    cr_assert_eq(zone_advise(&rig, &v, FH_ADVICE_UNPIN, 0, v.size), 0);
    zone_evict_all_but(&rig, 0);
    cr_assert_eq(zone_counts(&rig, &v).swap, 60);
    zone_expect_object(&rig, &v, 1);
}

Test(pinned, a_pin_ends_with_its_object)
{
    struct fh_object_view v = zone_make_warm(&rig, 40), small = zone_alloc(&rig, 100);

    zone_fill_object(&rig, &small, 5);
    cr_assert_eq(pin(&v, 0, 40), 0);
    cr_assert_eq(zone_advise(&rig, &small, FH_ADVICE_PIN, 0, 100), 0);
    cr_assert_eq(zone_pager_stats(&rig).pages_pinned, 41);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    cr_assert_eq(fh_zone_free(&rig.zone, &small.ref), 0);
    cr_assert_eq(zone_pager_stats(&rig).pages_pinned, 0);
    zone_expect_empty(&rig);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 0);
}

Test(pinned, a_freed_object_that_is_still_read_is_not_pinned)
{
    struct fh_object_view v = zone_make_warm(&rig, 40);
    static uint8_t got[40 * PAGE];
    static struct fh_reader r;

    cr_assert_eq(pin(&v, 0, 40), 0);
    memset(&r.call, 0, sizeof(r.call));
    int rc = fh_reader_open(&rig.zone, &r, &v.ref, 0, v.size);
    cr_assert_eq(rc, 0);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    for (uint32_t i = 0; i < 20; i++)
        (void)zone_turn(&rig);
    zone_check(&rig);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 0);
    cr_assert_eq(zone_drain(&rig, &r, 0, got), 0);
    fh_reader_close(&r);
    zone_expect_empty(&rig);
}

Test(pinned, a_write_beside_a_reader_moves_the_pin_to_the_new_frame)
{
    struct fh_object_view v = zone_make_warm(&rig, 40);
    static uint8_t got[40 * PAGE], body[PAGE];
    static struct fh_reader r;

    cr_assert_eq(pin(&v, 0, 40), 0);
    memset(&r.call, 0, sizeof(r.call));
    cr_assert_eq(fh_reader_open(&rig.zone, &r, &v.ref, 0, v.size), 0);
    for (uint64_t i = 20; i < 40; i++)
        cr_assert_eq(zone_write(&rig, &v, i * PAGE, body, PAGE), 0);
    zone_check(&rig);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 40);
    zone_press(&rig, true);
    for (uint32_t i = 0; i < 50; i++)
        (void)zone_turn(&rig);
    zone_press(&rig, false);
    zone_check(&rig);
    cr_assert_eq(zone_counts(&rig, &v).frame, 40, "the object's pages stayed");
    cr_assert_gt(zone_pager_stats(&rig).swap.slots_used, 0, "the reader's went");
    cr_assert_eq(zone_drain(&rig, &r, 0, got), 0);
    fh_reader_close(&r);
    zone_fill(body, 1 + 25 * PAGE, PAGE);
    cr_assert_eq(memcmp(got + 25 * PAGE, body, PAGE), 0);
}

Test(pinned, zeroed_pages_cost_nothing_and_stay_pinned)
{
    struct fh_object_view v = zone_make_warm(&rig, 40);
    static uint8_t body[PAGE] = {1};

    cr_assert_eq(pin(&v, 0, 40), 0);
    cr_assert_eq(zone_zero(&rig, &v, 0, 30 * PAGE), 0);
    zone_check(&rig);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 10);
    cr_assert_eq(zone_pager_stats(&rig).pages_pinned, 40);
    cr_assert_eq(zone_write(&rig, &v, 7 * PAGE, body, PAGE), 0);
    press();
    cr_assert_eq(zone_counts(&rig, &v).frame, 11);
}

Test(pinned, what_a_resize_cuts_off_is_not_pinned_any_more)
{
    struct fh_object_view v = zone_make_warm(&rig, 40);

    cr_assert_eq(pin(&v, 0, 40), 0);
    cr_assert_eq(zone_resize(&rig, &v, 10 * PAGE + 1), 0);
    zone_check(&rig);
    cr_assert_eq(zone_pager_stats(&rig).pages_pinned, 11);
    cr_assert_eq(zone_resize(&rig, &v, 40 * PAGE), 0);
    cr_assert_eq(zone_pager_stats(&rig).pages_pinned, 11, "what is new is not");
}

Test(pinned, an_object_that_moves_takes_its_pins_along)
{
    struct fh_object_view v = zone_make_cold(&rig, 16), blocker = zone_make_warm(&rig, 16);

    cr_assert_eq(pin(&v, 4, 8), 0);
    cr_assert_eq(zone_resize(&rig, &v, 400 * PAGE), 0);
    zone_check(&rig);
    cr_assert_eq(zone_counts(&rig, &v).pinned, 8);
    press();
    cr_assert_eq(zone_counts(&rig, &v).frame, 8);
    cr_assert_eq(fh_entry_state(zone_entry(&rig, &v, 4 * PAGE)), FH_PAGE_FRAME);
    cr_assert_eq(zone_counts(&rig, &blocker).pinned, 0);
}

Test(pinned, a_small_object_that_moves_takes_its_pin_along)
{
    struct fh_object_view v = zone_alloc(&rig, 100);

    zone_fill_object(&rig, &v, 3);
    cr_assert_eq(zone_advise(&rig, &v, FH_ADVICE_PIN, 0, 100), 0);
    cr_assert_eq(zone_resize(&rig, &v, 3000), 0);
    zone_check(&rig);
    cr_assert_eq(zone_counts(&rig, &v).pinned, 1);
    cr_assert_eq(zone_pager_stats(&rig).pages_pinned, 1);
    cr_assert_eq(zone_resize(&rig, &v, 50), 0);
    cr_assert_eq(zone_resize(&rig, &v, 80000), 0);
    zone_check(&rig);
    cr_assert_eq(zone_pager_stats(&rig).pages_pinned, 1);
    cr_assert_eq(
        fh_pins_bytes(&rig.zone.pager.pins, v.ref.addr, (struct fh_addr){v.ref.addr.v + v.size}),
        50);
}

Test(pinned, small_neighbours_share_a_pinned_page)
{
    struct fh_object_view a = zone_alloc(&rig, 100), b = zone_alloc(&rig, 100);

    cr_assert_eq(zone_advise(&rig, &a, FH_ADVICE_PIN, 0, 100), 0);
    cr_assert_eq(zone_advise(&rig, &b, FH_ADVICE_PIN, 0, 100), 0);
    cr_assert_eq(zone_pager_stats(&rig).pages_pinned, 1);
    zone_fill_object(&rig, &a, 7);
    cr_assert_eq(fh_zone_free(&rig.zone, &b.ref), 0);
    zone_check(&rig);
    press();
    cr_assert_eq(zone_counts(&rig, &a).frame, 1);
    cr_assert_eq(zone_pager_stats(&rig).pages_pinned, 1);
}

Test(pinned, a_body_that_was_swapped_out_comes_back_into_memory)
{
    struct fh_object_view v = zone_make_warm(&rig, 60);
    static uint8_t body[60 * PAGE];
    static struct fh_stage s;

    cr_assert_eq(pin(&v, 0, 60), 0);
    for (uint64_t i = 0; i < 60; i++)
        zone_fill(body + i * PAGE, 100 + i * PAGE, PAGE);
    memset(&s.call, 0, sizeof(s.call));
    cr_assert_eq(fh_stage_open(&rig.zone, &s, ZONE_TENANT, sizeof(body), 0), 0);
    cr_assert_eq(zone_receive(&rig, &s, body), 0);
    zone_evict_all_but(&rig, 60);
    cr_assert_eq(zone_pager_stats(&rig).pages_slot, 60);
    cr_assert_eq(zone_wait(&rig, &s.call, fh_stage_write(&s, &v.ref, 0, &any_time)), 0);
    v = s.object;
    zone_check(&rig);
    zone_follow_advice(&rig);
    zone_check(&rig);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 60);
    zone_expect_object(&rig, &v, 100);
}

Test(pinned, a_page_that_is_lost_refuses_the_pin)
{
    struct fh_object_view v = zone_make_cold(&rig, 40);

    zone_flip(&rig, &v, 30 * PAGE);
    cr_assert_eq(pin(&v, 0, 4), 0);
    cr_assert_eq(pin(&v, 0, 40), -EBADMSG);
    zone_follow_advice(&rig);
    zone_check(&rig);
    cr_assert_eq(zone_counts(&rig, &v).pinned, 4, "what was pinned before is pinned");
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 4);
    cr_assert_eq(pin(&v, 0, 40), -EBADMSG, "also when it is known to be lost");
}

Test(pinned, a_disk_that_fails_refuses_the_pin)
{
    struct fh_object_view v = zone_make_cold(&rig, 40);

    rig.disk->fail_at = rig.disk->transfers + 1;
    rig.disk->fail_from_there_on = true;
    cr_assert_eq(pin(&v, 0, 40), -EIO);
    rig.disk->fail_at = 0;
    zone_follow_advice(&rig);
    cr_assert_eq(zone_counts(&rig, &v).pinned, 0);
    cr_assert_eq(pin(&v, 0, 40), 0);
}

Test(pinned, a_pin_under_way_can_be_given_up)
{
    struct fh_object_view v = zone_make_cold(&rig, 40);
    static struct fh_advise a, b;

    a = (struct fh_advise){.kind = FH_ADVICE_PIN, .ref = v.ref, .size = v.size};
    cr_assert_eq(fh_zone_advise(&rig.zone, &a), -EINPROGRESS);
    b = (struct fh_advise){.kind = FH_ADVICE_PIN, .ref = v.ref, .offset = PAGE, .size = 1};
    cr_assert_eq(fh_zone_advise(&rig.zone, &b), -EBUSY);
    (void)zone_turn(&rig);
    zone_check(&rig);
    fh_zone_advise_cancel(&a);
    zone_follow_advice(&rig);
    zone_check(&rig);
    cr_assert_eq(zone_pager_stats(&rig).pages_pinned, 0);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 0);
}

Test(pinned, an_object_freed_while_it_is_pinned_answers_stale)
{
    struct fh_object_view v = zone_make_cold(&rig, 40);
    static struct fh_advise a;

    a = (struct fh_advise){.kind = FH_ADVICE_PIN, .ref = v.ref, .size = v.size};
    cr_assert_eq(fh_zone_advise(&rig.zone, &a), -EINPROGRESS);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    cr_assert_eq(zone_wait(&rig, &a.call, -EINPROGRESS), -ESTALE);
    zone_follow_advice(&rig);
    zone_expect_empty(&rig);
}

Test(pinned, an_object_cut_while_it_is_pinned_is_pinned_as_far_as_it_goes)
{
    struct fh_object_view v = zone_make_cold(&rig, 40);
    static struct fh_advise a;

    a = (struct fh_advise){.kind = FH_ADVICE_PIN, .ref = v.ref, .size = v.size};
    cr_assert_eq(fh_zone_advise(&rig.zone, &a), -EINPROGRESS);
    cr_assert_eq(zone_resize(&rig, &v, 20 * PAGE), 0);
    cr_assert_eq(zone_wait(&rig, &a.call, a.call.state == FH_CALL_IDLE ? a.call.rc : -EINPROGRESS),
                 0);
    zone_check(&rig);
    cr_assert_eq(zone_counts(&rig, &v).pinned, 20);
}

Test(pinned, much_is_unpinned_in_slices)
{
    zone_close(&rig);
    zone_open(&rig, 17000, 0, HOLD);
    struct fh_object_view v = zone_make_warm(&rig, 4200);
    struct fh_object_view other = zone_make_warm(&rig, 50);

    cr_assert_eq(pin(&v, 0, 4200), 0);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 4200);
    cr_assert_eq(zone_advise(&rig, &v, FH_ADVICE_UNPIN, 0, v.size), 0);
    cr_assert(rig.zone.pager.pins_left);
    zone_follow_advice(&rig);
    zone_check(&rig);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 0);
    cr_assert_eq(zone_counts(&rig, &other).frame, 50);
}

/* --- the budget --- */

Test(pinned, memory_does_not_shrink_below_twice_the_pins)
{
    struct fh_object_view v = zone_make_warm(&rig, PINS_MAX);
    uint64_t least = 2 * (PINS_MAX + 2 * HOLD);

    cr_assert_eq(pin(&v, 0, PINS_MAX), 0);
    cr_assert_eq(zone_pager_stats(&rig).budget.least, least);
    cr_assert_eq(fh_zone_set_memory(&rig.zone, 64 * PAGE, false), 0);
    for (uint32_t i = 0; i < 400; i++)
        (void)zone_turn(&rig);
    zone_check(&rig);
    cr_assert_geq(zone_pager_stats(&rig).frames_total, least);
    cr_assert_eq(zone_pager_stats(&rig).budget.state, FH_BUDGET_STOPPED);
    cr_assert_eq(zone_counts(&rig, &v).frame, PINS_MAX);
    cr_assert_eq(pin(&v, 0, 1), 0, "what is pinned may stay");
    struct fh_object_view other = zone_alloc(&rig, PAGE * 16);
    cr_assert_eq(pin(&other, 0, 1), -EDQUOT);
    cr_assert_eq(zone_advise(&rig, &v, FH_ADVICE_UNPIN, 0, v.size), 0);
    for (uint32_t i = 0; i < 400; i++)
        (void)zone_turn(&rig);
    zone_check(&rig);
    cr_assert_eq(zone_pager_stats(&rig).frames_total, 64);
    zone_expect_object(&rig, &v, 1);
}

Test(pinned, frames_of_pinned_pages_move_when_a_chunk_leaves)
{
    struct fh_object_view other = zone_alloc(&rig, 240 * PAGE), v = zone_alloc(&rig, 40 * PAGE);
    static uint8_t bytes[PAGE] = {3};

    for (uint64_t i = 0; i < 240; i++) {
        cr_assert_eq(zone_write(&rig, &other, i * PAGE, bytes, PAGE), 0);
        if (i % 6 == 0)
            cr_assert_eq(zone_write(&rig, &v, i / 6 * PAGE, bytes, PAGE), 0);
    }
    zone_fill_object(&rig, &v, 1);
    cr_assert_eq(pin(&v, 0, 40), 0);
    cr_assert_eq(fh_zone_free(&rig.zone, &other.ref), 0);
    zone_quiet(&rig);
    cr_assert_eq(fh_zone_set_memory(&rig.zone, 160 * PAGE, false), 0);
    for (uint32_t i = 0; i < 400; i++)
        (void)zone_turn(&rig);
    zone_check(&rig);
    cr_assert_eq(zone_pager_stats(&rig).frames_total, 160);
    cr_assert_gt(zone_pager_stats(&rig).budget.frames_moved, 0);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 40);
    press();
    zone_expect_object(&rig, &v, 1);
    cr_assert_eq(zone_counts(&rig, &v).frame, 40);
}

/* --- files --- */

Test(pinned, pages_of_a_file_stay_and_are_written_back)
{
    struct file_rig f;
    static uint8_t body[PAGE], expected[60 * PAGE];

    file_open(&rig, &f, 60 * PAGE, true);
    file_fill(expected, sizeof(expected));
    cr_assert_eq(pin(&f.object, 10, 30), 0);
    cr_assert_eq(zone_counts(&rig, &f.object).frame, 30);
    memset(body, 9, sizeof(body));
    memset(expected + 20 * PAGE, 9, PAGE);
    cr_assert_eq(zone_write(&rig, &f.object, 20 * PAGE, body, PAGE), 0);
    zone_check(&rig);
    cr_assert_eq(zone_pager_stats(&rig).frames_file_dirty, 1);
    press();
    cr_assert_eq(zone_counts(&rig, &f.object).frame, 30);
    cr_assert_eq(file_sync(&rig, &f), 0);
    zone_check(&rig);
    cr_assert_eq(zone_pager_stats(&rig).frames_file_dirty, 0);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 30);
    cr_assert_eq(memcmp(f.disk->safe, expected, sizeof(expected)), 0);
    cr_assert_eq(zone_zero(&rig, &f.object, 10 * PAGE, 5 * PAGE), 0);
    zone_check(&rig);
    cr_assert_eq(zone_counts(&rig, &f.object).frame, 25);
    cr_assert_eq(file_sync(&rig, &f), 0);
    zone_follow_advice(&rig);
    cr_assert_eq(zone_counts(&rig, &f.object).frame, 30,
                 "the zeros are in the file: they are read");
    file_close(&rig, &f);
    zone_expect_empty(&rig);
}

Test(pinned, a_view_of_a_pinned_file_page_that_is_written_gets_it_as_memory)
{
    struct file_rig f;
    static uint8_t got[60 * PAGE], expected[60 * PAGE], body[PAGE];
    static struct fh_reader r;

    file_open(&rig, &f, 60 * PAGE, true);
    cr_assert_eq(pin(&f.object, 0, 60), 0);
    memset(&r.call, 0, sizeof(r.call));
    cr_assert_eq(fh_reader_open(&rig.zone, &r, &f.object.ref, 0, f.object.size), 0);
    cr_assert_eq(zone_zero(&rig, &f.object, 30 * PAGE, 10 * PAGE), 0);
    cr_assert_eq(zone_write(&rig, &f.object, 50 * PAGE, body, PAGE), 0);
    zone_check(&rig);
    cr_assert_eq(zone_pager_stats(&rig).frames_pinned, 50);
    cr_assert_eq(zone_drain(&rig, &r, 0, got), 0);
    fh_reader_close(&r);
    file_fill(expected, sizeof(expected));
    cr_assert_eq(memcmp(got, expected, sizeof(got)), 0);
    zone_check(&rig);
    file_close(&rig, &f);
}

/* --- what is left when memory is full of pins --- */

Test(pinned, others_still_get_frames)
{
    struct fh_object_view v = zone_make_warm(&rig, PINS_MAX);
    struct fh_object_view big;

    cr_assert_eq(pin(&v, 0, PINS_MAX), 0);
    big = zone_make_warm(&rig, 3 * FRAMES);
    zone_check(&rig);
    zone_expect_object(&rig, &big, 1);
    zone_expect_object(&rig, &v, 1);
    cr_assert_eq(zone_counts(&rig, &v).frame, PINS_MAX);
}

Test(pinned, memory_for_pins_that_is_not_there_refuses_them)
{
    struct fh_object_view v = zone_make_warm(&rig, 40);

    rig.zone.mem.fail_at = rig.zone.mem.calls + 1;
    cr_assert_eq(pin(&v, 0, 40), -ENOMEM);
    zone_check(&rig);
    cr_assert_eq(zone_pager_stats(&rig).pages_pinned, 0);
    cr_assert_eq(pin(&v, 0, 40), 0);
}
