/* Pages that share frames and slots: views of an origin, and what becomes of either. */
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

static void teardown(void)
{
    rig_close(&rig);
}

static uint64_t at(uint64_t page, uint64_t byte)
{
    return (page << FH_PAGE_SHIFT) + byte;
}

static void discard(uint64_t page, uint64_t count)
{
    fh_pager_discard(&rig.pager, (struct fh_page){page}, count);
}

static uint32_t free_frames(void)
{
    return rig.pager.frames.free;
}

static void view(struct fh_view *v, uint64_t origin, uint64_t base, uint64_t count)
{
    int rc = fh_pager_view(&rig.pager, v, (struct fh_page){origin}, (struct fh_page){base}, count);
    cr_assert_eq(rc, 0, "%s", strerror(-rc));
}

TestSuite(pager_views, .init = setup, .fini = teardown, .timeout = 30);

Test(pager_views, a_view_keeps_the_bytes_of_its_moment)
{
    static struct fh_view v;

    for (uint64_t page = 0; page < 4; page++)
        rig_write(&rig, page, page + 1);
    rig_evict(&rig);
    rig_expect(&rig, 1, 2);
    rig_write(&rig, 2, 33);
    view(&v, 0, 1000, 5);
    rig_check(&rig);
    for (uint64_t page = 0; page < 5; page++)
        rig_write(&rig, page, 50 + page);
    rig_check(&rig);
    rig_evict(&rig);
    rig_check(&rig);
    static const uint64_t seen[] = {1, 2, 33, 4, 0};
    for (uint64_t page = 0; page < 5; page++) {
        rig_expect(&rig, 1000 + page, seen[page]);
        rig_expect(&rig, page, 50 + page);
    }
    fh_pager_unview(&rig.pager, &v);
    rig_check(&rig);
    cr_assert_eq(rig.pager.rings.count, 0);
}

Test(pager_views, a_shared_frame_is_evicted_with_one_write_and_read_in_for_all)
{
    static struct fh_view v[2];

    rig_write(&rig, 1, 11);
    view(&v[0], 0, 1000, 4);
    view(&v[1], 1, 2000, 1);
    cr_assert_eq(fh_pager_names(&rig.pager, fh_entry_frame(rig_entry(&rig, 1))), 3);
    rig_evict(&rig);
    cr_assert_eq(rig.pager.swap.stats.stored_pages, 1);
    cr_assert_eq(rig_entry(&rig, 1).v, rig_entry(&rig, 1001).v);
    cr_assert_eq(rig_entry(&rig, 1).v, rig_entry(&rig, 2000).v);
    rig_check(&rig);
    rig_expect(&rig, 2000, 11);
    cr_assert_eq(rig_state(&rig, 1), FH_PAGE_FRAME);
    cr_assert_eq(rig_state(&rig, 1001), FH_PAGE_FRAME);
    cr_assert_eq(rig.pager.swap.stats.loaded_pages, 1);
    rig_check(&rig);
    discard(1, 1); /* the page in the frame's record goes: another takes its place */
    rig_check(&rig);
    rig_evict(&rig);
    rig_expect(&rig, 1001, 11);
    fh_pager_unview(&rig.pager, &v[0]);
    rig_expect(&rig, 2000, 11);
    rig_check(&rig);
    fh_pager_unview(&rig.pager, &v[1]);
}

Test(pager_views, a_view_of_a_page_being_read_gets_it_too)
{
    static struct job j;
    static struct fh_view v;

    rig_write(&rig, 1, 11);
    rig_evict(&rig);
    rig.disk->hang = true;
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, at(1, 0), NULL, 1), -EINPROGRESS);
    view(&v, 1, 1000, 1);
    rig_check(&rig);
    rig_write(&rig, 1, 12);
    rig.disk->hang = false;
    cr_assert_eq(job_wait(&j), 0);
    fh_pager_release(&rig.pager, &j.hold);
    rig_check(&rig);
    cr_assert_eq(rig_state(&rig, 1000), FH_PAGE_FRAME);
    rig_expect(&rig, 1000, 11);
    rig_expect(&rig, 1, 12);
    fh_pager_unview(&rig.pager, &v);
}

Test(pager_views, a_shared_frame_of_zeros_is_forgotten_by_all)
{
    static struct fh_view v;

    rig_write(&rig, 1, 0);
    view(&v, 1, 1000, 1);
    rig_evict(&rig);
    cr_assert_eq(rig_state(&rig, 1), FH_PAGE_NOTHING);
    cr_assert_eq(rig_state(&rig, 1000), FH_PAGE_NOTHING);
    cr_assert_eq(free_frames(), 16);
    fh_pager_unview(&rig.pager, &v);
}

Test(pager_views, a_moved_origin_keeps_its_ring)
{
    static struct fh_view v;

    rig_write(&rig, 1, 11);
    view(&v, 0, 1000, 3);
    cr_assert_eq(fh_pagetable_touch(&rig.pager.table, (struct fh_page){500}, 3), 0);
    fh_pager_move(&rig.pager, (struct fh_page){0}, (struct fh_page){500}, 3);
    rig_check(&rig);
    rig_evict(&rig);
    cr_assert_eq(rig_entry(&rig, 501).v, rig_entry(&rig, 1001).v);
    rig_expect(&rig, 501, 11);
    rig_check(&rig);
    fh_pager_unview(&rig.pager, &v);
}

Test(pager_views, a_view_of_a_lost_page_is_refused)
{
    static struct fh_view v;
    uint8_t bytes[FH_PAGE_SIZE];

    rig_write(&rig, 1, 11);
    rig_evict(&rig);
    rig_flip(&rig, 1);
    cr_assert_eq(rig_read(&rig, 1, bytes), -EBADMSG);
    cr_assert_eq(fh_pager_view(&rig.pager, &v, (struct fh_page){0}, (struct fh_page){1000}, 5),
                 -EBADMSG);
    cr_assert_eq(rig.pager.rings.count, 0);
    rig_check(&rig);
}

Test(pager_views, a_view_without_memory_for_its_table_is_refused)
{
    static struct fh_view v;

    rig_write(&rig, 1, 11);
    rig.mem.fail_at = rig.mem.calls + 1;
    cr_assert_eq(
        fh_pager_view(&rig.pager, &v, (struct fh_page){0}, (struct fh_page){FH_ARENA_PAGES}, 5),
        -ENOMEM);
    rig_check(&rig);
}

Test(pager_views, there_are_only_so_many_views)
{
    static struct fh_view v[FH_RINGS_VIEWS_MAX + 1];

    rig_write(&rig, 0, 11);
    for (uint64_t i = 0; i < FH_RINGS_VIEWS_MAX; i++)
        view(&v[i], 0, 1000 + i, 1);
    cr_assert_eq(fh_pager_view(&rig.pager, &v[FH_RINGS_VIEWS_MAX], (struct fh_page){0},
                               (struct fh_page){9000}, 1),
                 -EBUSY);
    rig_check(&rig);
    rig_evict(&rig);
    rig_expect(&rig, 1500, 11);
    rig_check(&rig);
    for (uint64_t i = 0; i < FH_RINGS_VIEWS_MAX; i++)
        fh_pager_unview(&rig.pager, &v[i]);
}

Test(pager_views, a_frame_has_only_so_many_references)
{
    static struct job j;
    static struct fh_view v;

    rig_write(&rig, 0, 11);
    struct fh_frame_record *r =
        fh_frames_record(&rig.pager.frames, fh_entry_frame(rig_entry(&rig, 0)));
    r->refs = FH_FRAME_REFS_MAX;
    cr_assert_eq(job_begin(&rig, &j, JOB_HOLD, 0, NULL, 1), -EBUSY);
    cr_assert_eq(fh_pager_view(&rig.pager, &v, (struct fh_page){0}, (struct fh_page){1000}, 1),
                 -EBUSY);
    r->refs = 1;
}
