/* The pager's check, shown what is broken. */
#include "alloc/pager.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/pager_rig.h"

static struct pager_rig rig;

/* 16 frames, 64 slots, a request may hold 4 pages. */
static void setup(void)
{
    rig_open(&rig, 16, 64, 4);
}

/* Page 0 dirty, 1 clean in a frame, 2 in a slot, 3 nothing. */
static void open_broken(void)
{
    setup();
    for (uint64_t page = 0; page < 3; page++)
        rig_write(&rig, page, page + 1);
    rig_evict(&rig);
    rig_expect(&rig, 1, 2);
    rig_write(&rig, 0, 5);
    rig_check(&rig);
}

/* Without a look at what is in it. */
static void close_broken(void)
{
    fh_pager_fini(&rig.pager);
    fh_io_destroy(&rig.disk->io);
}

TestSuite(pager_check, .init = open_broken, .fini = close_broken, .timeout = 30);

static void set(uint64_t page, struct fh_entry e)
{
    fh_pagetable_set(&rig.pager.table, (struct fh_page){page}, e);
}

static struct fh_frame_record *record_of(uint64_t page)
{
    return fh_frames_record(&rig.pager.frames, fh_entry_frame(rig_entry(&rig, page)));
}

/* What check says about it. */
static void expect_broken(const char *invariant)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    cr_assert_not(fh_pager_check(&rig.pager, out));
    fclose(out);
    cr_assert_not_null(strstr(text, invariant), "%s", text);
    free(text);
}

Test(pager_check, sees_a_reference_too_many_on_a_frame)
{
    record_of(0)->refs++;
    expect_broken("[I1]");
}

Test(pager_check, sees_an_entry_that_names_a_frame_which_does_not_know)
{
    set(3, rig_entry(&rig, 0));
    expect_broken("[I1]");
}

Test(pager_check, sees_an_entry_that_names_a_frame_there_is_not)
{
    set(3, fh_entry_make(FH_PAGE_FRAME, 16, (struct fh_slot){0}));
    expect_broken("[I1]");
}

Test(pager_check, sees_a_hold_that_lost_its_frame)
{
    static struct job j;

    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, 0, NULL, 1), 0);
    j.hold.frames[0] = FH_FRAME_NONE;
    expect_broken("[I1]");
}

Test(pager_check, sees_a_record_with_the_wrong_page)
{
    record_of(0)->page = 3;
    expect_broken("[I2]");
}

Test(pager_check, sees_a_dirty_frame_with_a_slot_and_a_clean_one_without)
{
    record_of(1)->dirty = 1;
    expect_broken("[I3]");
    record_of(1)->dirty = 0;
    record_of(0)->dirty = 0;
    expect_broken("[I3]");
}

Test(pager_check, sees_a_mapped_frame_in_no_queue)
{
    fh_fifo_remove(&rig.pager.fifo, fh_entry_frame(rig_entry(&rig, 0)));
    expect_broken("[I4]");
}

Test(pager_check, sees_a_queued_frame_that_no_page_names)
{
    fh_fifo_insert(&rig.pager.fifo, fh_frames_take(&rig.pager.frames), false, 0);
    expect_broken("[I4]");
}

Test(pager_check, sees_each_sum_gone_wrong)
{
    rig.pager.mapped++;
    expect_broken("[I5] mapped");
    rig.pager.mapped--;
    rig.pager.retained++;
    expect_broken("[I5] retained");
    rig.pager.retained--;
    rig.pager.storing++;
    expect_broken("[I5] storing");
    rig.pager.storing--;
    rig.pager.reserved++;
    expect_broken("[I5] reserved");
    rig.pager.reserved--;
    rig_check(&rig);
}

Test(pager_check, sees_a_slot_with_a_reference_too_many)
{
    cr_assert(fh_swap_slot_take(&rig.pager.swap, fh_entry_slot(rig_entry(&rig, 2))));
    expect_broken("[I6]");
}

Test(pager_check, sees_an_entry_that_names_a_slot_there_is_not)
{
    set(3, fh_entry_make(FH_PAGE_SLOT, 0, (struct fh_slot){65}));
    expect_broken("[I6]");
}

Test(pager_check, sees_parts_that_are_broken)
{
    rig.pager.frames.free++;
    expect_broken("frames are free");
}
