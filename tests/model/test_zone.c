/*
 * The engine as a whole against arrays of bytes: with four frames of which a request may hold two,
 * so that every page is read in and evicted all the time; with a few more, where requests take
 * several pages; with a disk that fails; and with a budget that changes all the time.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/support/zone_walk.h"

enum { STEPS = 30000, CHECK_EVERY = 500 };

static void walk(const char *name, const struct walk_opts *o)
{
    struct rng seeds = rng_from_env(name);
    struct zone_walk *w = malloc(sizeof(*w));

    zone_walk_init(w, seeds.state, o);
    for (uint32_t i = 0; i < STEPS && w->wrong[0] == 0; i++) {
        zone_walk_step(w);
        if (i % CHECK_EVERY == 0 && !fh_zone_check(&w->zone, stderr))
            snprintf(w->wrong, sizeof(w->wrong), "check fails at step %u", i);
    }
    cr_assert_str_empty(w->wrong, "after %llu steps: %s", (unsigned long long)w->steps, w->wrong);
    zone_walk_fini(w);
    cr_assert_str_empty(w->wrong, "at the end: %s", w->wrong);
    cr_assert_gt(w->parked, 100, "the walk must make requests wait");
    if (o->frames_max > 0)
        cr_assert_gt(w->zone.pager.budget.frames_moved, 10, "after %llu budgets",
                     (unsigned long long)w->budgets);
    if (o->files) {
        cr_assert_gt(w->opened, 50);
        cr_assert_gt(w->synced, 50);
    }
    cr_assert_gt(w->typed, 50, "objects of typed caches: %llu", (unsigned long long)w->typed);
    free(w);
}

Test(zone_walk, files_hold_what_an_array_holds, .timeout = 120)
{
    walk("files, four frames",
         &(struct walk_opts){
             .frames = 4, .slots = 511, .hold_max = 2, .disk_delay_max = 5, .files = true});
    walk("files, many pages",
         &(struct walk_opts){
             .frames = 40, .slots = 511, .hold_max = 14, .disk_delay_max = 3, .files = true});
}

Test(zone_walk, files_need_no_swap, .timeout = 120)
{
    walk("files, no swap",
         &(struct walk_opts){
             .frames = 200, .slots = 0, .hold_max = 14, .disk_delay_max = 3, .files = true});
}

Test(zone_walk, files_on_a_failing_disk_are_told_and_harm_nothing, .timeout = 120)
{
    walk("files, failing disk", &(struct walk_opts){.frames = 24,
                                                    .slots = 2047,
                                                    .hold_max = 10,
                                                    .disk_delay_max = 4,
                                                    .faults = true,
                                                    .files = true});
}

Test(zone_walk, four_frames_hold_what_an_array_holds, .timeout = 120)
{
    walk("four frames",
         &(struct walk_opts){.frames = 4, .slots = 511, .hold_max = 2, .disk_delay_max = 5});
}

Test(zone_walk, requests_of_many_pages_are_snapshots, .timeout = 120)
{
    walk("many pages",
         &(struct walk_opts){.frames = 40, .slots = 511, .hold_max = 14, .disk_delay_max = 3});
}

Test(zone_walk, full_swap_refuses_new_content_and_nothing_else, .timeout = 120)
{
    walk("full swap",
         &(struct walk_opts){.frames = 30, .slots = 60, .hold_max = 12, .disk_delay_max = 2});
}

Test(zone_walk, a_failing_disk_is_told_and_harms_nothing, .timeout = 120)
{
    walk("failing disk",
         &(struct walk_opts){
             .frames = 24, .slots = 2047, .hold_max = 10, .disk_delay_max = 4, .faults = true});
}

Test(zone_walk, a_budget_that_comes_and_goes_shows_nowhere, .timeout = 120)
{
    walk("four to twelve frames", &(struct walk_opts){.frames = 6,
                                                      .slots = 511,
                                                      .hold_max = 2,
                                                      .disk_delay_max = 5,
                                                      .frames_max = 12,
                                                      .chunk_order = 1});
    walk("chunks that are not whole", &(struct walk_opts){.frames = 40,
                                                          .slots = 511,
                                                          .hold_max = 14,
                                                          .disk_delay_max = 3,
                                                          .frames_max = 101,
                                                          .chunk_order = 3});
}

Test(zone_walk, a_budget_changes_while_swap_is_full_or_fails, .timeout = 120)
{
    walk("full swap, other budgets", &(struct walk_opts){.frames = 30,
                                                         .slots = 60,
                                                         .hold_max = 12,
                                                         .disk_delay_max = 2,
                                                         .frames_max = 64,
                                                         .chunk_order = 2});
    walk("failing disk, other budgets", &(struct walk_opts){.frames = 24,
                                                            .slots = 2047,
                                                            .hold_max = 10,
                                                            .disk_delay_max = 4,
                                                            .faults = true,
                                                            .frames_max = 48,
                                                            .chunk_order = 2});
}
