/*
 * What a bad disk can do to a swap: every fault is told, damage stays in its page, nothing leaks,
 * and no wrong byte is ever shown.
 */
#include "alloc/swap.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "tests/support/swap_rig.h"

enum { PAGES = 96, RUN = 16, ROUNDS = 200 };

static struct swap_rig rig;
static struct rig_run *run;

static void setup(void)
{
    rig_open(&rig, RIG_FAKE, PAGES, false);
    run = rig_run_new(&rig, RUN);
}

static void setup_buffered(void)
{
    rig_open(&rig, RIG_FAKE, PAGES, true);
    run = rig_run_new(&rig, RUN);
}

static void teardown(void)
{
    rig_run_free(run);
    rig_close(&rig);
}

TestSuite(swap_faults, .init = setup, .fini = teardown, .timeout = 60);
TestSuite(swap_faults_buffered, .init = setup_buffered, .fini = teardown, .timeout = 60);

static uint64_t quarantined(void)
{
    return rig.swap.slots.stats.quarantined;
}

/* Stores a full run; the disk does its worst meanwhile. */
static uint32_t store(uint64_t what)
{
    cr_assert_eq(rig_store(&rig, run, what, RUN), 0);
    cr_assert_eq(run->run.count, RUN);
    return run->run.first.v;
}

static uint32_t failed_pages(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < run->run.count; i++)
        count += run->run.status[i] != 0;
    return count;
}

/* The whole promise: each page is right, or it has an error and shows nothing. */
static uint32_t assert_right_or_refused(const struct rig_run *r, uint64_t what)
{
    uint32_t refused = 0;

    for (uint32_t i = 0; i < r->run.count; i++) {
        int status = r->run.status[i];
        if (status == 0) {
            cr_assert(rig_is(r->run.pages[i], what + i), "wrong bytes in page %u", i);
            continue;
        }
        cr_assert(status == -EBADMSG || status == -EIO);
        cr_assert(rig_is_zero(r->run.pages[i]), "bytes of a refused page %u", i);
        refused++;
    }
    return refused;
}

/* --- the disk says it wrote, and did not --- */

/* Pages 0 .. RUN - 1 of the disk are used again and again, so old pages lie everywhere. */
static void lie_on_write(enum fh_disk_fault fault)
{
    uint32_t damaged = 0;

    for (uint32_t round = 0; round < ROUNDS && quarantined() < PAGES - RUN; round++) {
        rig.disk->next[fault] = true;
        int rc = rig_store(&rig, run, round * 100, RUN);
        cr_assert_eq(rc, 0);
        uint32_t first = run->run.first.v, count = run->run.count;
        cr_assert_eq(failed_pages(), 0, "nobody can know yet");
        rig_load(&rig, run, first, count);
        uint32_t refused = assert_right_or_refused(run, round * 100);
        cr_assert_leq(refused, fault == FH_DISK_MISDIRECTED ? 2 : 1);
        if (fault != FH_DISK_MISDIRECTED) {
            uint32_t victim = (uint32_t)(rig.disk->last_offset / FH_PAGE_SIZE) + 1 - first;
            cr_assert_eq(run->run.status[victim], -EBADMSG);
        }
        damaged += refused;
        rig_give(&rig, first, count);
    }
    cr_assert_gt(damaged, 40);
    cr_assert_eq(quarantined(), damaged);
    cr_assert_eq(rig.swap.stats.bad_tags, 2 * damaged, "each was read once more");
}

Test(swap_faults, a_torn_write_costs_one_page)
{
    lie_on_write(FH_DISK_TORN);
}

Test(swap_faults, a_lost_write_costs_one_page)
{
    lie_on_write(FH_DISK_LOST);
}

Test(swap_faults, a_misdirected_write_costs_its_page_and_the_one_it_hits)
{
    lie_on_write(FH_DISK_MISDIRECTED);
}

/* --- the disk reads something else --- */

static void lie_on_read_once(enum fh_disk_fault fault)
{
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t first = store(round * 100);
        rig.disk->next[fault] = true;
        rig_load(&rig, run, first, RUN);
        cr_assert_eq(assert_right_or_refused(run, round * 100), 0, "a fresh read was right");
        rig_give(&rig, first, RUN);
    }
    cr_assert_eq(rig.swap.stats.bad_tags, ROUNDS);
    cr_assert_eq(quarantined(), 0);
}

static void lie_on_read_always(enum fh_disk_fault fault)
{
    for (uint32_t round = 0; round < PAGES - RUN; round++) {
        uint32_t first = 0, count = 0;
        cr_assert_eq(rig_store(&rig, run, round * 100, RUN), 0);
        first = run->run.first.v;
        count = run->run.count;
        rig.disk->permille[fault] = 1000;
        rig_load(&rig, run, first, count);
        rig.disk->permille[fault] = 0;
        cr_assert_eq(assert_right_or_refused(run, round * 100), 1, "one page per transfer");
        rig_give(&rig, first, count);
        cr_assert_eq(quarantined(), round + 1);
    }
}

Test(swap_faults, one_flipped_bit_on_the_way_is_healed)
{
    lie_on_read_once(FH_DISK_FLIPPED);
}

Test(swap_faults, one_stale_read_is_healed)
{
    lie_on_read_once(FH_DISK_STALE);
}

Test(swap_faults, flipped_bits_cost_one_page_each)
{
    lie_on_read_always(FH_DISK_FLIPPED);
}

Test(swap_faults, stale_reads_cost_one_page_each)
{
    lie_on_read_always(FH_DISK_STALE);
}

/* --- somebody writes to the file --- */

static uint8_t *on_disk(uint32_t slot)
{
    uint8_t *page = fh_fake_disk_page(rig.disk, (uint64_t)(slot - 1) * FH_PAGE_SIZE);
    cr_assert_not_null(page);
    return page;
}

static void assert_refused_exactly(uint32_t first, uint64_t what, uint64_t pages_refused)
{
    rig_load(&rig, run, first, RUN);
    (void)assert_right_or_refused(run, what);
    for (uint32_t i = 0; i < RUN; i++)
        cr_assert_eq(run->run.status[i], pages_refused >> i & 1 ? -EBADMSG : 0, "page %u", i);
}

Test(swap_faults, any_flipped_bit_on_the_disk_is_seen)
{
    uint32_t first = store(1);
    struct rng r = rng_from_env("swap_faults");

    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint32_t page = (uint32_t)rng_below(&r, RUN), bit = (uint32_t)rng_below(&r, 8);
        uint8_t *at = on_disk(first + page) + rng_below(&r, FH_PAGE_SIZE);
        *at ^= (uint8_t)(1u << bit);
        assert_refused_exactly(first, 1, UINT64_C(1) << page);
        *at ^= (uint8_t)(1u << bit);
    }
    assert_refused_exactly(first, 1, 0);
}

Test(swap_faults, zeroed_and_exchanged_pages_are_seen)
{
    uint8_t kept[FH_PAGE_SIZE];
    uint32_t first = store(1);

    memcpy(kept, on_disk(first + 3), FH_PAGE_SIZE);
    memset(on_disk(first + 3), 0, FH_PAGE_SIZE);
    assert_refused_exactly(first, 1, 1u << 3);
    memcpy(on_disk(first + 3), on_disk(first + 9), FH_PAGE_SIZE);
    memcpy(on_disk(first + 9), kept, FH_PAGE_SIZE);
    assert_refused_exactly(first, 1, 1u << 3 | 1u << 9);
}

Test(swap_faults, an_old_page_of_the_same_slot_is_seen)
{
    uint8_t old[FH_PAGE_SIZE];
    uint32_t first = store(1);

    memcpy(old, on_disk(first + 5), FH_PAGE_SIZE);
    rig_give(&rig, first, RUN);
    cr_assert_eq(store(1), first, "the same slots, even the same content");
    memcpy(on_disk(first + 5), old, FH_PAGE_SIZE);
    assert_refused_exactly(first, 1, 1u << 5);
}

Test(swap_faults, a_bad_slot_is_not_reused_even_if_its_owner_left_during_the_read)
{
    uint32_t first = store(1);

    on_disk(first)[0] ^= 1;
    run->over = false;
    fh_swap_load(&rig.swap, &run->run);
    rig_give(&rig, first, RUN);
    rig_wait(&rig);
    cr_assert_eq(run->run.status[0], -EBADMSG);
    cr_assert_eq(quarantined(), 1);
    cr_assert_eq(rig.swap.slots.stats.used, 0);
}

/* --- the disk says that it failed --- */

static void fail_once_on_write(enum fh_disk_fault fault)
{
    rig.disk->next[fault] = true;
    uint32_t first = store(1);
    cr_assert_eq(failed_pages(), 0, "the retry wrote it");
    cr_assert_eq(rig.swap.stats.io_errors, 1);
    assert_refused_exactly(first, 1, 0);
}

Test(swap_faults, a_write_that_fails_once_is_written_again)
{
    fail_once_on_write(FH_DISK_EIO);
}

Test(swap_faults, a_write_without_space_once_is_written_again)
{
    fail_once_on_write(FH_DISK_ENOSPC);
}

Test(swap_faults, a_write_cut_short_once_is_written_again)
{
    fail_once_on_write(FH_DISK_SHORT);
}

Test(swap_faults, without_space_every_page_is_told_and_its_slot_kept_away)
{
    rig.disk->permille[FH_DISK_ENOSPC] = 1000;
    (void)store(1);
    cr_assert_eq(failed_pages(), RUN);
    for (uint32_t i = 0; i < RUN; i++)
        cr_assert_eq(run->run.status[i], -EIO);
    cr_assert_eq(quarantined(), RUN);
    cr_assert_eq(rig.swap.slots.stats.used, 0);
    rig.disk->permille[FH_DISK_ENOSPC] = 0;
    uint32_t first = store(2);
    cr_assert_eq(first, RUN + 1);
    assert_refused_exactly(first, 2, 0);
}

Test(swap_faults, a_dead_disk_uses_up_its_slots_and_then_says_no_space)
{
    rig.disk->dead[FH_IO_WRITE] = true;
    for (uint32_t i = 0; i < PAGES / RUN; i++) {
        (void)store(1);
        cr_assert_eq(failed_pages(), RUN);
        cr_assert(fh_swap_check(&rig.swap, stderr));
    }
    cr_assert_eq(rig_store(&rig, run, 1, RUN), -ENOSPC);
    cr_assert_eq(rig.swap.bounce_free, (1u << FH_SWAP_BOUNCE_COUNT) - 1);
    cr_assert_eq(rig.done, PAGES / RUN);
}

Test(swap_faults, a_read_that_fails_once_is_read_again_page_by_page)
{
    uint32_t first = store(1);

    rig.disk->next[FH_DISK_EIO] = true;
    assert_refused_exactly(first, 1, 0);
    rig.disk->next[FH_DISK_SHORT] = true;
    assert_refused_exactly(first, 1, 0);
    cr_assert_eq(rig.io->reads, 2 * (1 + RUN));
}

Test(swap_faults, reads_that_fail_lose_nothing)
{
    uint32_t first = store(1);

    rig.disk->dead[FH_IO_READ] = true;
    rig_load(&rig, run, first, RUN);
    cr_assert_eq(assert_right_or_refused(run, 1), RUN);
    cr_assert_eq(run->run.status[0], -EIO);
    cr_assert_eq(quarantined(), 0);
    rig.disk->dead[FH_IO_READ] = false;
    assert_refused_exactly(first, 1, 0);
}

Test(swap_faults, a_disk_that_hangs_holds_everything_until_it_goes_on)
{
    rig.disk->hang = true;
    cr_assert_eq(fh_swap_store(&rig.swap, &run->run), 0);
    for (int i = 0; i < 100; i++) {
        fh_io_flush(rig.io);
        fh_io_reap(rig.io);
    }
    cr_assert_not(run->over);
    cr_assert_eq(rig.swap.stores, 1);
    cr_assert_eq(rig.swap.slots.stats.used, RUN);
    rig.disk->hang = false;
    rig_wait(&rig);
    cr_assert(run->over);
}

/* --- without O_DIRECT a write is over when a later sync was --- */

Test(swap_faults_buffered, a_store_ends_with_a_sync_after_its_write)
{
    (void)store(1);
    cr_assert_eq(rig.io->writes, 1);
    cr_assert_eq(rig.io->syncs, 1);
    cr_assert_eq(failed_pages(), 0);
}

/* Three stores, some written before, some after the sync that fails began. */
static void three_stores(struct rig_run *r[3])
{
    for (uint32_t i = 0; i < 3; i++) {
        r[i] = rig_run_new(&rig, RUN);
        for (uint32_t k = 0; k < RUN; k++)
            rig_fill(r[i]->run.pages[k], i * 100 + k);
        cr_assert_eq(fh_swap_store(&rig.swap, &r[i]->run), 0);
    }
}

Test(swap_faults_buffered, after_a_failed_sync_all_stores_are_written_again)
{
    struct rig_run *r[3];

    rig.disk->fail_at = 4; /* three writes, then the first sync */
    three_stores(r);
    rig_wait(&rig);
    cr_assert_eq(rig.io->writes, 6);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t first = r[i]->run.first.v;
        for (uint32_t k = 0; k < RUN; k++)
            cr_assert_eq(r[i]->run.status[k], 0);
        assert_refused_exactly(first, i * 100, 0);
        rig_run_free(r[i]);
    }
    cr_assert(fh_swap_check(&rig.swap, stderr));
}

/* Its bytes may have reached the page cache before the sync that told of the failure. */
Test(swap_faults_buffered, a_write_that_was_running_when_a_sync_failed_is_written_again)
{
    struct rig_run *late = rig_run_new(&rig, RUN);

    rig.disk->fail_at = 2;
    cr_assert_eq(fh_swap_store(&rig.swap, &run->run), 0);
    rig_turn(&rig); /* written; the sync, number 2, begins */
    cr_assert(rig.swap.sync_running);
    rig.disk->delay_next = 2;
    cr_assert_eq(fh_swap_store(&rig.swap, &late->run), 0);
    rig_turn(&rig); /* the sync fails */
    cr_assert_eq(rig.swap.sync_faults, 1);
    cr_assert_eq(rig.io->writes, 1);
    rig_wait(&rig);
    cr_assert_eq(rig.io->writes, 4, "both twice");
    cr_assert_eq(run->run.status[0], 0);
    cr_assert_eq(late->run.status[0], 0);
    rig_run_free(late);
}

Test(swap_faults_buffered, syncs_that_always_fail_fail_the_stores)
{
    struct rig_run *r[3];

    rig.disk->dead[FH_IO_DATASYNC] = true;
    three_stores(r);
    rig_wait(&rig);
    for (uint32_t i = 0; i < 3; i++) {
        for (uint32_t k = 0; k < RUN; k++)
            cr_assert_eq(r[i]->run.status[k], -EIO);
        rig_run_free(r[i]);
    }
    cr_assert_eq(quarantined(), 3 * RUN);
}

/* --- sweeps: the first, the second, ... the n-th fails --- */

/* Two stores, loads of both, one given back, a third store, the rest given back. */
static void short_life(void)
{
    uint32_t first[3];

    for (uint32_t i = 0; i < 3; i++) {
        int rc = rig_store(&rig, run, i * 100, RUN);
        cr_assert(rc == 0 || rc == -ENOSPC);
        first[i] = rc == 0 && failed_pages() == 0 ? run->run.first.v : 0;
        cr_assert(failed_pages() == 0 || failed_pages() == RUN || rc != 0);
        if (first[i] == 0)
            continue;
        rig_load(&rig, run, first[i], RUN);
        (void)assert_right_or_refused(run, i * 100);
        if (i == 1) {
            rig_give(&rig, first[i], RUN);
            first[i] = 0;
        }
    }
    for (uint32_t i = 0; i < 3; i++) {
        if (first[i] != 0)
            rig_give(&rig, first[i], RUN);
    }
}

static void sweep_transfers(bool buffered, bool from_there_on)
{
    for (uint64_t n = 1;; n++) {
        rig_open(&rig, RIG_FAKE, PAGES, buffered);
        run = rig_run_new(&rig, RUN);
        rig.disk->fail_at = n;
        rig.disk->fail_from_there_on = from_there_on;
        short_life();
        bool reached = rig.disk->transfers >= n;
        cr_assert_eq(rig.swap.slots.stats.used, 0);
        if (!from_there_on)
            cr_assert_eq(quarantined(), 0, "one failure of a transfer costs nothing");
        rig_run_free(run);
        rig_close(&rig);
        if (!reached)
            break;
        cr_assert_lt(n, 1000);
    }
}

TestSuite(swap_sweeps, .timeout = 60);

Test(swap_sweeps, every_transfer_fails_once)
{
    sweep_transfers(false, false);
    sweep_transfers(true, false);
}

Test(swap_sweeps, every_transfer_fails_from_the_nth_on)
{
    sweep_transfers(false, true);
    sweep_transfers(true, true);
}

Test(swap_sweeps, every_request_for_memory_fails)
{
    uint64_t n;

    rig.io = rig_io(RIG_FAKE, &rig.disk);
    for (n = 1;; n++) {
        struct fh_swap_opts o = rig_opts(&rig, PAGES);
        rig.mem = (struct fh_mem){.fail_at = n};
        int rc = fh_swap_init(&rig.swap, &o);
        if (rc == 0)
            break;
        cr_assert_eq(rc, -ENOMEM);
        cr_assert(rig.mem.failed);
        cr_assert_eq(rig.mem.used_bytes, 0);
    }
    cr_assert_gt(n, 5);
    rig.mem.fail_at = rig.mem.calls + 1; /* after opening nothing needs memory */
    rig.mem.fail_from_there_on = true;
    run = rig_run_new(&rig, RUN);
    short_life();
    cr_assert_not(rig.mem.failed);
    rig_run_free(run);
    rig_close(&rig);
}

/* --- everything at once --- */

enum { FLIGHTS = 6, TURNS = 4000 };

static struct rig_run *flights[FLIGHTS];
static uint64_t content[PAGES + 1]; /* by slot; 0 = not ours */
static bool storing[FLIGHTS];

/* What a finished run came to: right or refused, and the books agree. */
static void flight_land(uint32_t f, uint64_t what)
{
    struct fh_swap_run *r = &flights[f]->run;

    for (uint32_t i = 0; i < r->count; i++) {
        uint32_t slot = r->first.v + i;
        if (storing[f]) {
            content[slot] = r->status[i] == 0 ? what + i : 0;
        } else if (r->status[i] == 0) {
            cr_assert(rig_is(r->pages[i], content[slot]), "wrong bytes from slot %u", slot);
        } else {
            cr_assert(rig_is_zero(r->pages[i]));
        }
        if (!storing[f] && content[slot] != 0 && (r->status[i] != 0 || slot % 2)) {
            rig_give(&rig, slot, 1);
            content[slot] = 0;
        }
    }
    flights[f]->over = false;
}

/* Whether another flight reads this slot: then it is not given back below it. */
static bool slot_in_flight(uint32_t slot, const bool *flying)
{
    for (uint32_t f = 0; f < FLIGHTS; f++) {
        const struct fh_swap_run *r = &flights[f]->run;
        if (flying[f] && slot >= r->first.v && slot < r->first.v + r->count)
            return true;
    }
    return false;
}

static bool flight_start(uint32_t f, struct rng *g, uint64_t what, const bool *flying)
{
    struct fh_swap_run *r = &flights[f]->run;

    storing[f] = rng_percent(g, 60);
    if (storing[f]) {
        r->count = (uint32_t)rng_between(g, 1, 20);
        for (uint32_t i = 0; i < r->count; i++)
            rig_fill(r->pages[i], what + i);
        return fh_swap_store(&rig.swap, r) == 0;
    }
    uint32_t first = (uint32_t)rng_between(g, 1, PAGES), count = 0;
    while (first + count <= PAGES && count < 20 && content[first + count] != 0 &&
           !slot_in_flight(first + count, flying))
        count++;
    if (count == 0)
        return false;
    r->first.v = first;
    r->count = count;
    fh_swap_load(&rig.swap, r);
    return true;
}

Test(swap_sweeps, a_bad_slow_disk_never_shows_a_wrong_byte)
{
    struct rng g = rng_from_env("swap_sweeps");
    bool flying[FLIGHTS] = {0};
    uint64_t what[FLIGHTS] = {0}, version = 1;

    rig_open(&rig, RIG_FAKE, PAGES, rng_percent(&g, 50));
    rig.disk->delay_max = 4;
    rig.disk->reorder = true;
    for (uint32_t f = 0; f < FH_DISK_FAULTS; f++)
        rig.disk->permille[f] = f == FH_DISK_STALE || f == FH_DISK_FLIPPED ? 30 : 3;
    for (uint32_t f = 0; f < FLIGHTS; f++)
        flights[f] = rig_run_new(&rig, 1);
    for (uint32_t turn = 0; turn < TURNS; turn++) {
        uint32_t f = (uint32_t)rng_below(&g, FLIGHTS);
        if (!flying[f]) {
            what[f] = version;
            flying[f] = flight_start(f, &g, version, flying);
            version += 64;
        }
        fh_io_reap(rig.io);
        for (f = 0; f < FLIGHTS; f++) {
            if (flying[f] && flights[f]->over) {
                flying[f] = false;
                flight_land(f, what[f]);
            }
        }
        if (turn % 50 == 0)
            cr_assert(fh_swap_check(&rig.swap, stderr));
    }
    rig_wait(&rig);
    cr_assert_gt(rig.done, 300);
    for (uint32_t f = 0; f < FLIGHTS; f++)
        rig_run_free(flights[f]);
    rig_close(&rig);
}
