/*
 * The proof that no request waits for ever has four parts, and each is a test here:
 *
 *   (a) a request that was admitted waits for I/O only, and every I/O completes or fails;
 *   (b) a frame that is neither reserved nor held leaves memory in finite time when frames are short;
 *   (c) eviction needs no frame, and by the capacity rule it always finds a slot;
 *   (d) the line for frames is served in order of arrival. Two kinds of call pass it, as waiter.h and pager.h say: one
 *       that needs no frame, and one that had been at its head before and came back.
 *
 * So the head of the line gets its frames by (b) and (c), ends by (a), and by (d) everyone becomes the head.
 */
#include "tests/support/pager_rig.h"

enum { JOBS = 24 };

static struct pager_rig rig;
static struct job jobs[JOBS];
static uint8_t page_bytes[2 * FH_PAGE_SIZE];

TestSuite(no_deadlock, .timeout = 120);

static bool job_waits(const struct job *j)
{
    return j->rc == -EINPROGRESS;
}

/* --- (a) --- */

/* Who is in the line holds nothing; who was admitted waits for operations that the disk has. */
static void expect_to_wait_for_io_only(const struct job *j)
{
    if (!job_waits(j))
        return;
    if (j->call.state == FH_CALL_IN_LINE) {
        cr_assert_not(fh_hold_is_bound(&j->hold), "it waits for frames and holds some");
        return;
    }
    cr_assert_eq(j->call.state, FH_CALL_ON_IO);
    cr_assert_gt(j->hold.pending, 0);
    cr_assert_gt(rig.disk->io.in_flight, 0, "it waits for what nothing will end");
}

static void begin_any(struct rng *r, struct job *j)
{
    uint64_t page = rng_below(r, 40), at = rng_below(r, FH_PAGE_SIZE);

    if (rng_percent(r, 50))
        (void)job_begin(&rig, j, JOB_HOLD, page << FH_PAGE_SHIFT, NULL, rng_between(r, 1, 2));
    else
        (void)job_begin(&rig, j, JOB_WRITE, (page << FH_PAGE_SHIFT) + at, page_bytes,
                        rng_between(r, 1, FH_PAGE_SIZE));
    cr_assert(job_waits(j) || j->rc == 0 || j->rc == -EIO || j->rc == -EBADMSG || j->rc == -ENOSPC);
}

/* Who is done gives back what it held; how many are not. */
static uint32_t step_back(void)
{
    uint32_t waiting = 0;

    for (uint32_t i = 0; i < JOBS; i++) {
        expect_to_wait_for_io_only(&jobs[i]);
        waiting += job_waits(&jobs[i]);
        if (!job_waits(&jobs[i]))
            fh_pager_release(&rig.pager, &jobs[i].hold);
    }
    return waiting;
}

static void walk(uint32_t eio_permille)
{
    struct rng r = rng_from_env("no_deadlock");
    uint64_t waited = 0;

    rig_open(&rig, 12, 60, 2);
    rig.disk->delay_max = 6;
    rig.disk->reorder = true;
    rig.disk->permille[FH_DISK_EIO] = eio_permille;
    memset(page_bytes, 3, sizeof(page_bytes));
    for (uint32_t step = 0; step < 20000; step++) {
        struct job *j = &jobs[rng_below(&r, JOBS)];
        if (!job_waits(j)) {
            fh_pager_release(&rig.pager, &j->hold);
            begin_any(&r, j);
            waited += job_waits(j);
        }
        if (rng_percent(&r, 40))
            rig_turn(&rig);
        (void)step_back();
    }
    cr_assert_gt(waited, 1000);
    for (uint32_t turns = 0; step_back() > 0; turns++) {
        cr_assert_lt(turns, RIG_TURNS_MAX, "somebody waits for ever");
        rig_turn(&rig);
    }
    rig.disk->permille[FH_DISK_EIO] = 0;
    rig_close(&rig);
}

Test(no_deadlock, a_who_was_admitted_waits_for_io_only_and_io_ends)
{
    walk(0);
}

Test(no_deadlock, a_the_same_on_a_disk_that_fails_now_and_then)
{
    walk(50);
}

/* --- (b) --- */

enum { MANY = 1000, HELD = 50 };

Test(no_deadlock, b_a_frame_that_nobody_holds_leaves_in_finite_time)
{
    static struct job held[HELD];
    /* Every frame is looked at once per touch it was credited with, at most three, and once more. */
    uint32_t turns = 0, turns_max = 4 * MANY / 256 + MANY / FH_SWAP_RUN_MAX + 16;

    rig_open(&rig, MANY, 2 * MANY, 2);
    for (uint32_t i = 0; i < MANY - 10; i++)
        rig_write(&rig, i, i + 1);
    for (uint32_t round = 0; round < 5; round++)
        for (uint32_t i = 0; i < MANY - 10; i++)
            rig_expect(&rig, i, i + 1);
    for (uint32_t i = 0; i < HELD; i++)
        cr_assert_eq(
            job_begin(&rig, &held[i], JOB_HOLD, (uint64_t)i * 17 << FH_PAGE_SHIFT, NULL, 1), 0);
    rig_press(&rig, true);
    for (; rig.pager.mapped > HELD; turns++) {
        cr_assert_leq(turns, turns_max, "%lu frames stay that nobody holds",
                      (unsigned long)rig.pager.mapped - HELD);
        rig_turn(&rig);
    }
    rig_press(&rig, false);
    for (uint32_t i = 0; i < HELD; i++) {
        cr_assert_eq(rig_state(&rig, i * 17), FH_PAGE_FRAME, "a held one stays");
        fh_pager_release(&rig.pager, &held[i].hold);
    }
    rig_close(&rig);
}

/* --- (c) --- */

enum { FEW = 24, SLOTS = 60, HOLD_MAX = 2 };

/* As much content as the capacity rule admits; how many pages. */
static uint64_t fill(void)
{
    uint64_t pages = 0;
    int rc;

    while ((rc = rig_try_write(&rig, pages, pages + 1)) == 0)
        pages++;
    cr_assert_eq(rc, -ENOSPC);
    cr_assert_eq(pages, FEW + SLOTS - 2 * HOLD_MAX);
    return pages;
}

Test(no_deadlock, c_eviction_needs_no_frame)
{
    struct fh_frame taken[FEW];
    uint32_t count = 0;

    rig_open(&rig, FEW, SLOTS, HOLD_MAX);
    uint64_t pages = fill();
    while (rig.pager.frames.free > 0)
        taken[count++] = fh_frames_take(&rig.pager.frames);
    rig_press(&rig, true);
    for (uint32_t i = 0; i < 10; i++)
        rig_turn(&rig);
    cr_assert_gt(rig.pager.frames.free, 0, "with no frame free, some became so");
    rig_press(&rig, false);
    while (count > 0)
        (void)fh_frames_release(&rig.pager.frames, taken[--count]);
    for (uint64_t i = 0; i < pages; i++)
        rig_expect(&rig, i, i + 1);
    rig_close(&rig);
}

Test(no_deadlock, c_eviction_always_finds_a_slot)
{
    struct rng r = rng_from_env("no_deadlock");

    rig_open(&rig, FEW, SLOTS, HOLD_MAX);
    uint64_t pages = fill();
    /* All is there that may be: each access of a page in swap has to push another one out. */
    for (uint32_t i = 0; i < 5000; i++) {
        uint64_t page = rng_below(&r, pages);
        if (rng_percent(&r, 40))
            rig_write(&rig, page, page + 1);
        else
            rig_expect(&rig, page, page + 1);
        cr_assert_eq(rig_try_write(&rig, pages, 1), -ENOSPC);
        if (i % 100 == 0)
            rig_check(&rig);
    }
    rig_close(&rig);
}

/* --- (d) --- */

Test(no_deadlock, d_the_line_is_served_in_order_of_arrival)
{
    static struct job reader;
    struct rng r = rng_from_env("no_deadlock");

    for (uint32_t round = 0; round < 100; round++) {
        rig_open(&rig, 16, 200, 2);
        for (uint32_t i = 0; i < 16; i++)
            rig_write(&rig, i, i + 1);
        rig.disk->hang = true; /* nothing can leave, so they all wait */
        for (uint32_t i = 0; i < JOBS; i++) {
            (void)job_begin(&rig, &jobs[i], JOB_WRITE, (UINT64_C(100) + 2 * i) << FH_PAGE_SHIFT,
                            page_bytes, rng_between(&r, 1, 2) << FH_PAGE_SHIFT);
            cr_assert(job_waits(&jobs[i]));
            cr_assert_eq(jobs[i].call.state, FH_CALL_IN_LINE);
            rig_turn(&rig);
        }
        cr_assert_eq(job_begin(&rig, &reader, JOB_HOLD, 0, NULL, 2), 0,
                     "it needs no frame: it passes");
        fh_pager_release(&rig.pager, &reader.hold);
        uint32_t gone = (uint32_t)rng_below(&r, JOBS), last = 0;
        fh_pager_cancel(&rig.pager, &jobs[gone].call);
        jobs[gone].rc = -ECANCELED;
        rig.disk->hang = false;
        rig.disk->delay_max = 3;
        rig.disk->reorder = true;
        for (uint32_t i = 0; i < JOBS; i++) {
            if (i == gone)
                continue;
            cr_assert_eq(job_wait(&jobs[i]), 0);
            cr_assert_gt(jobs[i].order, last, "job %u", i);
            last = jobs[i].order;
        }
        rig_close(&rig);
    }
}

Test(no_deadlock, d_who_was_at_the_head_and_parks_again_is_at_the_head)
{
    struct fh_line line;
    struct fh_call calls[3];

    fh_line_init(&line);
    for (uint32_t i = 0; i < 3; i++) {
        fh_call_init(&calls[i], NULL);
        fh_line_park(&line, &calls[i], 1);
    }
    fh_line_leave(&line, &calls[0]);
    calls[0].admitted = true; /* as the pager marks whom it lets run */
    fh_line_park(&line, &calls[0], 2);
    cr_assert_eq(fh_line_head(&line), &calls[0]);
    for (uint32_t i = 0; i < 3; i++)
        fh_line_leave(&line, &calls[i]);
}
