/* A budget that changes: what moves, what waits, what stops it, and that nobody sees a difference. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/pager_rig.h"

enum { FRAMES = 32, FRAMES_MAX = 64, CHUNK_ORDER = 3, CHUNK = 1 << CHUNK_ORDER, HOLD = 4 };

static struct pager_rig rig;

static void open_rig(uint64_t slots)
{
    rig_open_chunks(&rig, FRAMES, slots, HOLD, FRAMES_MAX, CHUNK_ORDER);
}

/* 32 frames of 64 in chunks of 8, 64 slots, a request may hold 4 pages. */
static void setup(void)
{
    open_rig(64);
}

static void teardown(void)
{
    rig_close(&rig);
}

TestSuite(pager_budget, .init = setup, .fini = teardown, .timeout = 30);

static void ask(uint64_t frames)
{
    fh_pager_set_memory(&rig.pager, frames * FH_PAGE_SIZE, false);
}

static void turns(uint32_t count)
{
    while (count-- > 0)
        rig_turn(&rig);
    rig_check(&rig);
}

static enum fh_budget_state state(void)
{
    struct fh_pager_stats s;

    fh_pager_stats(&rig.pager, &s);
    cr_assert_eq(s.frames_total, rig.pager.frames.total + rig.pager.frames.leaving);
    cr_assert_geq(s.budget.held, s.frames_total);
    cr_assert(s.budget.state != FH_BUDGET_STEADY || s.budget.held == s.frames_total);
    cr_assert_eq(s.frames_free + s.frames_dirty + s.frames_clean + s.frames_held, s.frames_total,
                 "frames sum up");
    return s.budget.state;
}

static void write_pages(uint64_t count)
{
    for (uint64_t page = 0; page < count; page++)
        rig_write(&rig, page, page + 1);
}

static void expect_pages(uint64_t count)
{
    for (uint64_t page = 0; page < count; page++)
        rig_expect(&rig, page, page + 1);
}

static uint32_t frame_of(uint64_t page)
{
    return fh_entry_frame(rig_entry(&rig, page)).v;
}

static bool is_absent(uint32_t chunk)
{
    return rig.pager.frames.chunks[chunk].state == FH_CHUNK_ABSENT;
}

Test(pager_budget, grows_at_once)
{
    write_pages(FRAMES);
    ask(FRAMES_MAX);
    cr_assert_eq(rig.pager.frames.total, FRAMES_MAX);
    cr_assert_eq(rig.pager.frames.free, FRAMES_MAX - FRAMES);
    cr_assert_eq(state(), FH_BUDGET_STEADY);
    for (uint64_t page = FRAMES; page < FRAMES_MAX; page++)
        rig_write(&rig, page, page + 1);
    cr_assert_eq(rig.disk->io.writes, 0);
    expect_pages(FRAMES_MAX);
    rig_check(&rig);
}

Test(pager_budget, shrinks_what_is_free_at_once)
{
    ask(16);
    turns(3);
    cr_assert_eq(rig.pager.frames.total, 16);
    cr_assert_eq(rig.pager.frames.free, 16);
    cr_assert_eq(state(), FH_BUDGET_STEADY);
    cr_assert_eq(rig.pager.budget.frames_moved, 0);
}

Test(pager_budget, need_not_be_whole_chunks)
{
    ask(21);
    turns(5);
    cr_assert_eq(rig.pager.frames.total, 21);
    ask(43);
    cr_assert_eq(rig.pager.frames.total, 43);
    turns(1);
    ask(44);
    cr_assert_eq(rig.pager.frames.total, 44);
    turns(1);
}

Test(pager_budget, moves_pages_and_keeps_their_bytes_and_their_order)
{
    uint64_t order[FRAMES], count = 0, at = 0;

    write_pages(FRAMES);
    for (uint64_t page = 0; page < FRAMES; page += 2) /* half of each chunk */
        fh_pager_discard(&rig.pager, (struct fh_page){page}, 1);
    struct fh_frames *f = &rig.pager.frames;
    for (uint32_t i = rig.pager.fifo.small.head; i != UINT32_MAX; i = f->records[i].next)
        order[count++] = f->records[i].page;
    ask(24);
    turns(20);
    cr_assert_eq(f->total, 24);
    cr_assert_eq(f->leaving, 0);
    cr_assert_eq(rig.pager.budget.frames_moved, CHUNK / 2);
    cr_assert_eq(rig.disk->io.writes, 0, "there was room");
    for (uint32_t i = rig.pager.fifo.small.head; i != UINT32_MAX; i = f->records[i].next)
        cr_assert_eq(f->records[i].page, order[at++]);
    cr_assert_eq(at, count);
    for (uint64_t page = 1; page < FRAMES; page += 2)
        rig_expect(&rig, page, page + 1);
}

Test(pager_budget, gives_an_empty_chunk_to_the_kernel)
{
    write_pages(FRAMES);
    uint32_t frame = frame_of(FRAMES - 1); /* in the highest chunk, which goes first */
    fh_pager_discard(&rig.pager, (struct fh_page){FRAMES / 2}, FRAMES / 2);
    ask(24);
    turns(10);
    cr_assert(is_absent(frame >> CHUNK_ORDER));
    const uint8_t *bytes = fh_region_bytes(&rig.pager.region, (struct fh_frame){frame});
    cr_assert_eq(bytes[0] | bytes[1] | bytes[100] | bytes[4095], 0, "its bytes are gone");
    expect_pages(FRAMES / 2);
}

Test(pager_budget, evicts_what_has_no_room)
{
    write_pages(FRAMES);
    ask(2 * HOLD);
    turns(300);
    cr_assert_eq(rig.pager.frames.total, 2 * HOLD);
    cr_assert_eq(rig.pager.frames.leaving, 0);
    cr_assert_eq(state(), FH_BUDGET_STEADY);
    cr_assert_gt(rig.disk->io.writes, 0);
    expect_pages(FRAMES);
    ask(FRAMES_MAX);
    expect_pages(FRAMES);
}

static void discard(uint64_t page, uint64_t count)
{
    fh_pager_discard(&rig.pager, (struct fh_page){page}, count);
}

/* A page in each frame; then the first chunk is the emptiest, and four frames of others are free. */
static void make_first_chunk_emptiest(void)
{
    write_pages(FRAMES);
    for (uint64_t page = 0; page < FRAMES; page++)
        cr_assert_eq(frame_of(page), page);
    discard(4, 4);
    discard(8, 2);
    discard(16, 1);
    discard(24, 1);
    cr_assert_eq(fh_frames_emptiest(&rig.pager.frames), 0);
}

Test(pager_budget, moves_clean_pages_with_their_slots)
{
    write_pages(FRAMES);
    rig_evict(&rig);
    for (uint64_t page = 28; page < 32; page++)
        rig_expect(&rig, page, page + 1);
    cr_assert_eq(rig.pager.retained, 4);
    for (uint64_t page = 100; page < 128; page++)
        rig_write(&rig, page, page);
    discard(100, 4 + 2);
    discard(112, 1);
    discard(120, 1);
    uint32_t chunk = frame_of(28) >> CHUNK_ORDER;
    uint64_t writes = rig.disk->io.writes;
    cr_assert_eq(fh_frames_emptiest(&rig.pager.frames), chunk);
    ask(24);
    turns(10);
    cr_assert(is_absent(chunk));
    cr_assert_eq(rig.pager.retained, 4);
    cr_assert_eq(rig.disk->io.writes, writes);
    for (uint64_t page = 28; page < 32; page++) {
        cr_assert_neq(fh_entry_slot(rig_entry(&rig, page)).v, 0);
        rig_expect(&rig, page, page + 1);
    }
}

Test(pager_budget, a_frame_of_a_view_moves_for_all_that_name_it)
{
    static struct fh_view view;

    make_first_chunk_emptiest();
    cr_assert_eq(fh_pager_view(&rig.pager, &view, (struct fh_page){0}, (struct fh_page){1000}, 4),
                 0);
    ask(24);
    turns(10);
    cr_assert(is_absent(0));
    cr_assert_eq(rig.pager.budget.frames_moved, 4);
    for (uint64_t page = 0; page < 4; page++) {
        cr_assert_neq(frame_of(page), page);
        cr_assert_eq(frame_of(page), frame_of(1000 + page));
        rig_expect(&rig, page, page + 1);
        rig_expect(&rig, 1000 + page, page + 1);
    }
    rig_write(&rig, 0, 77);
    rig_expect(&rig, 1000, 1);
    fh_pager_unview(&rig.pager, &view);
}

Test(pager_budget, waits_for_frames_that_are_held)
{
    static struct job j[4];

    write_pages(FRAMES);
    for (uint32_t i = 0; i < 4; i++) /* one in each chunk */
        cr_assert_eq(
            job_begin(&rig, &j[i], JOB_HOLD, (uint64_t)i * CHUNK << FH_PAGE_SHIFT, NULL, 1), 0);
    ask(24);
    turns(100);
    cr_assert_eq(state(), FH_BUDGET_SHRINKING);
    cr_assert_eq(rig.pager.frames.leaving, 1, "all but one have gone");
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert(rig_is(fh_pager_held_bytes(&rig.pager, &j[i].hold, 0), i * CHUNK + 1));
        fh_pager_release(&rig.pager, &j[i].hold);
    }
    turns(10);
    cr_assert_eq(state(), FH_BUDGET_STEADY);
    expect_pages(FRAMES);
}

Test(pager_budget, waits_for_frames_that_are_written_or_read)
{
    write_pages(FRAMES);
    rig.disk->hang = true;
    ask(16);
    turns(20);
    cr_assert_gt(rig.pager.frames.leaving, 0);
    cr_assert_eq(state(), FH_BUDGET_SHRINKING);
    rig.disk->hang = false;
    turns(100);
    cr_assert_eq(state(), FH_BUDGET_STEADY);
    cr_assert_eq(rig.pager.frames.total, 16);
    expect_pages(FRAMES);
}

Test(pager_budget, requests_go_on_while_it_shrinks)
{
    static struct job j;
    uint8_t bytes[FH_PAGE_SIZE];

    write_pages(FRAMES);
    ask(2 * HOLD);
    for (uint64_t page = FRAMES; page < 2 * FRAMES; page++) {
        rig_fill(bytes, page + 1);
        (void)job_begin(&rig, &j, JOB_WRITE, page << FH_PAGE_SHIFT, bytes, FH_PAGE_SIZE);
        cr_assert_eq(job_wait(&j), 0);
        rig_expect(&rig, page % FRAMES, page % FRAMES + 1);
        rig_check(&rig);
    }
    turns(300);
    cr_assert_eq(rig.pager.frames.total, 2 * HOLD);
    expect_pages(2 * FRAMES);
}

Test(pager_budget, stops_where_content_would_not_fit_and_goes_on_when_it_does)
{
    struct fh_pager_stats s;

    teardown();
    open_rig(0); /* no swap: what is written stays */
    write_pages(18);
    ask(2 * HOLD);
    turns(50);
    fh_pager_stats(&rig.pager, &s);
    cr_assert_eq(s.budget.state, FH_BUDGET_STOPPED);
    cr_assert_eq(s.budget.asked, 2 * HOLD);
    cr_assert_eq(s.budget.least, 18 + 2 * HOLD, "so far it could go");
    cr_assert_eq(rig.pager.frames.total, FRAMES, "a chunk less would be less");
    cr_assert_eq(rig_try_write(&rig, 100, 1), -ENOSPC, "what is asked for counts at once");
    expect_pages(18);
    fh_pager_discard(&rig.pager, (struct fh_page){9}, 9);
    turns(50);
    cr_assert_eq(rig.pager.frames.total, 24);
    cr_assert_eq(state(), FH_BUDGET_STOPPED);
    expect_pages(9);
    fh_pager_discard(&rig.pager, (struct fh_page){0}, 9);
    turns(50);
    cr_assert_eq(rig.pager.frames.total, 2 * HOLD);
    cr_assert_eq(state(), FH_BUDGET_STEADY);
}

Test(pager_budget, what_was_to_leave_stays_when_it_may)
{
    static struct job j[4];

    write_pages(FRAMES);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(
            job_begin(&rig, &j[i], JOB_HOLD, (uint64_t)i * CHUNK << FH_PAGE_SHIFT, NULL, 1), 0);
    ask(16);
    turns(1);
    cr_assert_gt(rig.pager.budget.leaving_count, 0);
    ask(FRAMES);
    cr_assert_eq(rig.pager.budget.leaving_count, 0);
    cr_assert_eq(rig.pager.frames.total, FRAMES);
    rig_check(&rig);
    for (uint32_t i = 0; i < 4; i++)
        fh_pager_release(&rig.pager, &j[i].hold);
    expect_pages(FRAMES);
}

Test(pager_budget, promised_frames_are_not_taken_away)
{
    static struct job j;
    uint8_t byte = 9;

    write_pages(4);
    rig_evict(&rig);
    rig.disk->hang = true; /* a write of one byte waits for its page, and for a frame besides */
    static struct fh_view view;
    cr_assert_eq(fh_pager_view(&rig.pager, &view, (struct fh_page){0}, (struct fh_page){1000}, 4),
                 0);
    cr_assert_eq(job_begin(&rig, &j, JOB_WRITE, 10, &byte, 1), -EINPROGRESS);
    cr_assert_gt(rig.pager.reserved, 0);
    ask(2 * HOLD);
    turns(50);
    cr_assert_geq(rig.pager.frames.free, rig.pager.reserved);
    rig.disk->hang = false;
    cr_assert_eq(job_wait(&j), 0);
    turns(50);
    cr_assert_eq(rig.pager.frames.total, 2 * HOLD);
    fh_pager_unview(&rig.pager, &view);
}

/* --- two pagers, one region --- */

static struct {
    bool taken[FRAMES_MAX / CHUNK];
    bool warm[FRAMES_MAX / CHUNK];
} pool;

static bool pool_take(void *ctx, uint32_t *chunk)
{
    (void)ctx;
    for (uint32_t i = 0; i < FRAMES_MAX / CHUNK; i++)
        if (!pool.taken[i]) {
            pool.taken[i] = true;
            *chunk = i;
            return true;
        }
    return false;
}

static void pool_give(void *ctx, uint32_t chunk, bool warm)
{
    (void)ctx;
    cr_assert(pool.taken[chunk]);
    pool.taken[chunk] = false;
    pool.warm[chunk] = warm;
}

Test(pager_budget, a_chunk_goes_from_one_to_another)
{
    static struct pager_rig other;
    struct fh_mem mem = {0};
    struct fh_region region;

    teardown();
    memset(&pool, 0, sizeof(pool));
    cr_assert_eq(fh_region_init(&region, &mem, FRAMES_MAX * FH_PAGE_SIZE), 0);
    struct pager_rig *rigs[] = {&rig, &other};
    for (uint32_t i = 0; i < 2; i++) {
        *rigs[i] = (struct pager_rig){.keys = {5 + i}, .now_ms = 1000};
        rigs[i]->disk = fh_fake_disk_create(11 + i);
        struct fh_pager_opts o = rig_opts(rigs[i], FRAMES, 64, HOLD);
        o.region = &region;
        o.source = (struct fh_chunk_source){pool_take, pool_give, NULL};
        o.chunk_order = CHUNK_ORDER;
        cr_assert_eq(fh_pager_init(&rigs[i]->pager, &o), 0);
        fh_reclaim_init(&rigs[i]->reclaim, &rigs[i]->pager, 0, 0);
    }
    for (uint64_t page = 0; page < FRAMES; page++) {
        rig_write(&rig, page, page + 1);
        rig_write(&other, page, page + 500);
    }
    fh_pager_set_memory(&other.pager, FRAMES_MAX * FH_PAGE_SIZE, false);
    rig_turn(&other);
    cr_assert_eq(other.pager.frames.total, FRAMES, "there is nothing to take");
    fh_pager_set_memory(&rig.pager, 2 * HOLD * FH_PAGE_SIZE, true);
    for (uint32_t i = 0; i < 300; i++) {
        rig_turn(&rig);
        rig_turn(&other);
        cr_assert_leq(rig.pager.frames.total + other.pager.frames.total, FRAMES_MAX);
        rig_check(&rig);
        rig_check(&other);
    }
    cr_assert_eq(rig.pager.frames.total, 2 * HOLD);
    cr_assert_eq(other.pager.frames.total, FRAMES_MAX - 2 * HOLD);
    cr_assert_gt(rig.pager.budget.chunks_given, 2);
    for (uint64_t page = FRAMES; page < FRAMES_MAX; page++)
        rig_write(&other, page, page + 500);
    for (uint64_t page = 0; page < FRAMES; page++) {
        rig_expect(&rig, page, page + 1);
        rig_expect(&other, page, page + 500);
    }
    for (uint64_t page = FRAMES; page < FRAMES_MAX; page++)
        rig_expect(&other, page, page + 500);
    rig_close(&rig);
    rig_close(&other);
    fh_region_fini(&region, &mem);
    setup();
}

/* --- the check --- */

Test(pager_budget, check_sees_what_is_broken)
{
    static struct job j;
    struct fh_pager_budget *b = &rig.pager.budget;

    write_pages(4);
    b->asked = 1; /* [B2] */
    cr_assert_not(fh_pager_check(&rig.pager, NULL));
    b->asked = FRAMES;
    b->partial = 2; /* [B3] */
    cr_assert_not(fh_pager_check(&rig.pager, NULL));
    b->partial = UINT32_MAX;
    b->absent_from = 5; /* [B4] */
    cr_assert_not(fh_pager_check(&rig.pager, NULL));
    b->absent_from = 4;
    b->leaving_count = 1; /* [B1] */
    cr_assert_not(fh_pager_check(&rig.pager, NULL));
    b->leaving_count = 0;
    rig.pager.frames.leaving++; /* [I4 of frames] */
    cr_assert_not(fh_pager_check(&rig.pager, NULL));
    rig.pager.frames.leaving--;
    rig.pager.frames.chunks[0].used++;
    cr_assert_not(fh_pager_check(&rig.pager, NULL));
    rig.pager.frames.chunks[0].used--;
    rig_check(&rig);
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, 0, NULL, 1), 0);
    fh_pager_release(&rig.pager, &j.hold);
}
