/* Frame records: taking, holding, releasing, and a walk against a plain array of counts. */
#include "alloc/frames.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "tests/support/frames_rig.h"
#include "tests/support/rng.h"

enum { TOTAL = 16 };

static struct fh_mem mem;
static struct fh_frames frames;

static void open_frames(uint32_t total)
{
    memset(&frames, 0xA5, sizeof(frames));
    cr_assert_eq(frames_rig_init(&frames, &mem, total), 0);
    cr_assert(fh_frames_check(&frames, stderr));
}

static void setup(void)
{
    open_frames(TOTAL);
}

static void teardown(void)
{
    fh_frames_fini(&frames);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(frames, .init = setup, .fini = teardown, .timeout = 20);

Test(frames, come_with_one_reference_and_no_page)
{
    struct fh_frame f = fh_frames_take(&frames);
    const struct fh_frame_record *r = fh_frames_record(&frames, f);

    cr_assert_eq(f.v, 0);
    cr_assert_eq(r->refs, 1);
    cr_assert_eq(r->page, FH_PAGE_NONE);
    cr_assert_eq(r->queue, FH_QUEUE_NONE);
    cr_assert_eq(frames.free, TOTAL - 1);
    cr_assert(fh_frames_check(&frames, stderr));
}

Test(frames, are_all_given_out_and_then_none)
{
    for (uint32_t i = 0; i < TOTAL; i++)
        cr_assert_eq(fh_frames_take(&frames).v, i);
    cr_assert_eq(frames.free, 0);
    cr_assert_eq(fh_frames_take(&frames).v, FH_FRAME_NONE.v);
    cr_assert_eq(frames.free, 0);
    cr_assert(fh_frames_check(&frames, stderr));
}

Test(frames, what_was_freed_is_taken_before_what_is_whole)
{
    struct fh_frame a = fh_frames_take(&frames);
    struct fh_frame b = fh_frames_take(&frames);
    struct fh_frame c = fh_frames_take(&frames);

    cr_assert_eq(c.v, 2);
    cr_assert(fh_frames_release(&frames, b));
    cr_assert_eq(fh_frames_take(&frames).v, b.v);
    cr_assert(fh_frames_release(&frames, a));
    cr_assert_eq(fh_frames_take(&frames).v, a.v);
    cr_assert_eq(fh_frames_take(&frames).v, 3);
    cr_assert_eq(frames.chunks[0].touched, 4, "and the rest was never used");
}

Test(frames, many_are_neighbours_where_there_are_any)
{
    struct fh_frame many[TOTAL];
    struct fh_frames_stats s;

    struct fh_frame lone = fh_frames_take(&frames);
    cr_assert_eq(fh_frames_take_many(&frames, 8, many), 8);
    for (uint32_t i = 0; i < 8; i++)
        cr_assert_eq(many[i].v, 8 + i, "the half that is whole");
    cr_assert_eq(fh_frames_take_many(&frames, 9, many), 7, "no more than there are");
    cr_assert_eq(frames.free, 0);
    fh_frames_stats(&frames, &s);
    cr_assert_eq(s.batches, 2);
    cr_assert_eq(s.batch_frames, 15);
    cr_assert_leq(s.batch_runs, 4);
    cr_assert_eq(fh_frames_take_many(&frames, 1, many), 0);
    cr_assert(fh_frames_release(&frames, lone));
    cr_assert(fh_frames_check(&frames, stderr));
}

Test(frames, are_free_when_the_last_reference_goes)
{
    struct fh_frame f = fh_frames_take(&frames);

    fh_frames_hold(&frames, f);
    fh_frames_record(&frames, f)->dirty = 1;
    cr_assert_not(fh_frames_release(&frames, f));
    cr_assert_eq(frames.free, TOTAL - 1);
    cr_assert(fh_frames_release(&frames, f));
    cr_assert_eq(frames.free, TOTAL);
    cr_assert_eq(fh_frames_record(&frames, f)->dirty, 0);
    cr_assert(fh_frames_check(&frames, stderr));
}

Test(frames, as_many_references_as_there_can_be_and_back)
{
    struct fh_frame f = fh_frames_take(&frames);

    for (uint32_t i = 1; i < FH_FRAME_REFS_MAX; i++)
        fh_frames_hold(&frames, f);
    cr_assert_eq(fh_frames_record(&frames, f)->refs, FH_FRAME_REFS_MAX);
    for (uint32_t i = 1; i < FH_FRAME_REFS_MAX; i++)
        cr_assert_not(fh_frames_release(&frames, f));
    cr_assert(fh_frames_release(&frames, f));
}

Test(frames, a_random_walk_agrees_with_an_array_of_counts)
{
    struct rng g = rng_from_env("frames");
    uint32_t refs[TOTAL] = {0};

    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t i = (uint32_t)rng_below(&g, TOTAL);
        if (rng_percent(&g, 30)) {
            struct fh_frame f = fh_frames_take(&frames);
            if (f.v != FH_FRAME_NONE.v)
                cr_assert_eq(refs[f.v]++, 0, "frame %u was not free", f.v);
        } else if (refs[i] > 0 && rng_percent(&g, 40)) {
            fh_frames_hold(&frames, (struct fh_frame){i});
            refs[i]++;
        } else if (refs[i] > 0) {
            refs[i]--;
            cr_assert_eq(fh_frames_release(&frames, (struct fh_frame){i}), refs[i] == 0);
        }
        uint32_t free_count = 0;
        for (uint32_t k = 0; k < TOTAL; k++)
            free_count += refs[k] == 0;
        cr_assert_eq(frames.free, free_count);
        if (step % 100 == 0)
            cr_assert(fh_frames_check(&frames, stderr));
    }
}

Test(frames, a_region_of_one_frame_and_of_none)
{
    teardown();
    open_frames(1);
    cr_assert_eq(fh_frames_take(&frames).v, 0);
    cr_assert_eq(fh_frames_take(&frames).v, FH_FRAME_NONE.v);
}

Test(frames, no_memory_is_told)
{
    struct fh_frames other;

    for (uint64_t n = 1; n <= 3; n++) {
        mem.fail_at = mem.calls + n;
        cr_assert_eq(fh_frames_init(&other, &mem, 5, FH_CHUNK_ORDER), -ENOMEM);
        fh_frames_fini(&other);
    }
}

Test(frames, check_sees_a_wrong_number_of_free_frames)
{
    frames.free++; /* [I1] */
    cr_assert_not(fh_frames_check(&frames, NULL));
}

Test(frames, check_sees_a_used_frame_among_the_free)
{
    (void)fh_frames_release(&frames, fh_frames_take(&frames));
    frames.records[0].refs = 1; /* [I1] */
    cr_assert_not(fh_frames_check(&frames, NULL));
}

Test(frames, check_sees_a_frame_lost_from_the_free_runs)
{
    uint32_t first;

    cr_assert_eq(fh_frame_runs_take(&frames.runs, 0, &first), 1); /* [I1] */
    cr_assert_not(fh_frames_check(&frames, NULL));
}

Test(frames, check_sees_references_where_none_was_ever_used)
{
    frames.records[TOTAL - 1].refs = 1; /* [I3] */
    cr_assert_not(fh_frames_check(&frames, NULL));
}

Test(frames, check_sees_each_mark_left_on_a_free_frame)
{
    (void)fh_frames_release(&frames, fh_frames_take(&frames));
    struct fh_frame_record good = frames.records[0];
    for (uint32_t mark = 0; mark < 4; mark++) { /* [I2] */
        frames.records[0] = good;
        cr_assert(fh_frames_check(&frames, stderr));
        frames.records[0].queue = mark == 0 ? FH_QUEUE_MAIN : FH_QUEUE_NONE;
        frames.records[0].dirty = mark == 1;
        frames.records[0].busy = mark == 2;
        if (mark == 3)
            frames.records[0].page = 7;
        cr_assert_not(fh_frames_check(&frames, NULL), "mark %u", mark);
    }
}

Test(frames, stats_tell_the_free)
{
    struct fh_frames_stats s;

    (void)fh_frames_take(&frames);
    (void)fh_frames_release(&frames, fh_frames_take(&frames));
    fh_frames_stats(&frames, &s);
    cr_assert_eq(s.total, TOTAL);
    cr_assert_eq(s.free, TOTAL - 1);
}

Test(frames, dump_names_the_used_ones)
{
    char text[512] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    fh_frames_record(&frames, fh_frames_take(&frames))->dirty = 1;
    fh_frames_dump(&frames, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "16, 15 free"));
    cr_assert_not_null(strstr(text, "frame 0"));
    cr_assert_not_null(strstr(text, "dirty"));
}

Test(frames, releasing_a_free_frame_is_a_programmer_error, .signal = SIGABRT)
{
    struct fh_frame f = fh_frames_take(&frames);

    (void)fh_frames_release(&frames, f);
    (void)fh_frames_release(&frames, f);
}

Test(frames, freeing_a_frame_that_a_page_names_is_a_programmer_error, .signal = SIGABRT)
{
    struct fh_frame f = fh_frames_take(&frames);

    fh_frames_record(&frames, f)->page = 3;
    (void)fh_frames_release(&frames, f);
}
