/*
 * The engine as a whole against arrays of bytes: with four frames of which a request may hold two,
 * so that every page is read in and evicted all the time; with a few more, where requests take
 * several pages; with a disk that fails; and with a budget that changes all the time.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

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
    cr_assert_gt(w->parked, 100, "the walk must make requests wait: %llu",
                 (unsigned long long)w->parked);
    cr_assert_gt(w->zone.graves.stats.entries, 100, "and give blocks back over turns");
    if (o->frames_max > 0)
        cr_assert_gt(w->zone.pager.budget.frames_moved, 10, "after %llu budgets",
                     (unsigned long long)w->budgets);
    if (o->files) {
        cr_assert_gt(w->opened, 10, "far below what the dice give");
        cr_assert_gt(w->synced, 10);
    }
    cr_assert_gt(w->advices, 100, "far below what the dice give");
    if (o->pin_permille > 0)
        cr_assert_gt(w->pinned, 50, "pins: %llu", (unsigned long long)w->pinned);
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

Test(zone_walk, pins_keep_pages_in_memory_and_show_nowhere, .timeout = 120)
{
    walk("pins", &(struct walk_opts){.frames = 64,
                                     .slots = 511,
                                     .hold_max = 6,
                                     .disk_delay_max = 4,
                                     .files = true,
                                     .pin_permille = 500});
    walk("pins, other budgets", &(struct walk_opts){.frames = 64,
                                                    .slots = 511,
                                                    .hold_max = 6,
                                                    .disk_delay_max = 4,
                                                    .frames_max = 120,
                                                    .chunk_order = 2,
                                                    .files = true,
                                                    .pin_permille = 500});
}

Test(zone_walk, pins_on_a_failing_disk_and_with_full_swap, .timeout = 120)
{
    walk("pins, failing disk", &(struct walk_opts){.frames = 64,
                                                   .slots = 2047,
                                                   .hold_max = 6,
                                                   .disk_delay_max = 4,
                                                   .faults = true,
                                                   .files = true,
                                                   .pin_permille = 500});
    walk("pins, full swap",
         &(struct walk_opts){
             .frames = 40, .slots = 60, .hold_max = 6, .disk_delay_max = 4, .pin_permille = 500});
}

/* --- two zones, one region --- */

enum { SHARED_CHUNKS = 24, SHARED_ORDER = 2, SHARED_FRAMES = SHARED_CHUNKS << SHARED_ORDER };

static bool shared_taken[SHARED_CHUNKS];

static bool shared_take(void *ctx, uint32_t *chunk)
{
    (void)ctx;
    for (*chunk = 0; *chunk < SHARED_CHUNKS; ++*chunk)
        if (!shared_taken[*chunk])
            return shared_taken[*chunk] = true;
    return false;
}

static void shared_give(void *ctx, uint32_t chunk, bool warm)
{
    (void)ctx;
    (void)warm;
    cr_assert(shared_taken[chunk], "chunk %u is given twice", chunk);
    shared_taken[chunk] = false;
}

static struct zone_walk *shared_walk(const char *name, const struct fh_region *region)
{
    struct rng seeds = rng_from_env(name);
    struct zone_walk *w = malloc(sizeof(*w));

    zone_walk_init(w, seeds.state,
                   &(struct walk_opts){.frames = SHARED_FRAMES / 2,
                                       .slots = 511,
                                       .hold_max = 10,
                                       .disk_delay_max = 3,
                                       .chunk_order = SHARED_ORDER,
                                       .region = region,
                                       .source = {.take = shared_take, .give = shared_give}});
    return w;
}

static uint64_t held(const struct zone_walk *w)
{
    struct fh_zone_stats s;

    fh_zone_stats(&w->zone, &s);
    return s.pager.budget.held;
}

/* Memory goes to and fro while both are busy: what each holds stays what it is, and the sum what there is. */
Test(zone_walk, two_zones_lend_each_other_chunks, .timeout = 120)
{
    struct fh_mem mem = {0};
    struct fh_region region;

    memset(shared_taken, 0, sizeof(shared_taken));
    cr_assert_eq(fh_region_init(&region, &mem, SHARED_FRAMES * FH_PAGE_SIZE), 0);
    struct zone_walk *w[] = {shared_walk("first", &region), shared_walk("second", &region)};
    for (uint32_t i = 0; i < STEPS && !w[0]->wrong[0] && !w[1]->wrong[0]; i++) {
        zone_walk_step(w[0]);
        zone_walk_step(w[1]);
        if (i % 200 == 0) {
            uint64_t first = rng_between(&w[0]->random, 20, SHARED_FRAMES - 20);
            cr_assert_eq(fh_zone_set_memory(&w[0]->zone, first * FH_PAGE_SIZE, true), 0);
            cr_assert_eq(
                fh_zone_set_memory(&w[1]->zone, (SHARED_FRAMES - first) * FH_PAGE_SIZE, true), 0);
        }
        cr_assert_leq(held(w[0]) + held(w[1]), SHARED_FRAMES);
        if (i % CHECK_EVERY == 0) {
            cr_assert(fh_zone_check(&w[0]->zone, stderr));
            cr_assert(fh_zone_check(&w[1]->zone, stderr));
        }
    }
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_gt(w[i]->zone.pager.budget.chunks_given, 50);
        cr_assert_str_empty(w[i]->wrong, "%s", w[i]->wrong);
        zone_walk_fini(w[i]);
        cr_assert_str_empty(w[i]->wrong, "at the end: %s", w[i]->wrong);
        free(w[i]);
    }
    fh_region_fini(&region, &mem);
}

Test(zone_walk, frames_of_files_move_as_well, .timeout = 120)
{
    walk("files, other budgets", &(struct walk_opts){.frames = 40,
                                                     .slots = 511,
                                                     .hold_max = 10,
                                                     .disk_delay_max = 4,
                                                     .files = true,
                                                     .frames_max = 64,
                                                     .chunk_order = 2});
    walk("files, other budgets, failing disk", &(struct walk_opts){.frames = 32,
                                                                   .slots = 2047,
                                                                   .hold_max = 10,
                                                                   .disk_delay_max = 4,
                                                                   .faults = true,
                                                                   .files = true,
                                                                   .frames_max = 48,
                                                                   .chunk_order = 3});
}
