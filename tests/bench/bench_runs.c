/*
 * bench_runs: how many neighbouring frames the body of a 1 MiB write gets, when the region has been churned by single
 * pages until 50 % and until 95 % of it are in use; and what taking and giving back a frame costs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "alloc/frames.h"
#include "alloc/pager.h"
#include "tests/support/frames_rig.h"
#include "tests/support/rng.h"

enum { TOTAL = 1 << 16, BODIES = 2000, BODY_PAGES = 256 };

static struct fh_mem mem;
static struct fh_frames frames;
static struct fh_frame used[TOTAL];
static uint32_t used_count;

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void release_random(struct rng *r)
{
    uint32_t i = (uint32_t)rng_below(r, used_count);
    (void)fh_frames_release(&frames, used[i]);
    used[i] = used[--used_count];
}

/* Replaces single frames at random until every one has changed several times. */
static void churn(struct rng *r, uint32_t keep)
{
    while (used_count < keep)
        used[used_count++] = fh_frames_take(&frames);
    for (uint32_t i = 0; i < 4 * TOTAL; i++) {
        release_random(r);
        if (rng_percent(r, 50)) /* two out, two in: places change */
            release_random(r);
        while (used_count < keep)
            used[used_count++] = fh_frames_take(&frames);
    }
}

/* A body comes in windows, as the pager takes them, and goes again. */
static void take_body(void)
{
    struct fh_frame body[BODY_PAGES];
    uint32_t got = 0;

    while (got < BODY_PAGES)
        got += fh_frames_take_many(&frames, FH_WINDOW_PAGES, body + got);
    while (got > 0)
        (void)fh_frames_release(&frames, body[--got]);
}

static void measure(struct rng *r, uint32_t percent)
{
    struct fh_frames_stats before, after;

    churn(r, TOTAL / 100 * percent);
    fh_frames_stats(&frames, &before);
    double start = now_ns();
    for (uint32_t i = 0; i < BODIES; i++)
        take_body();
    double ns = (now_ns() - start) / BODIES / BODY_PAGES;
    fh_frames_stats(&frames, &after);
    printf("%2u %% in use: %5.1f frames a run for a body of 1 MiB (a window is %d), %.1f ns to "
           "take and give back one\n",
           percent,
           (double)(after.batch_frames - before.batch_frames) /
               (double)(after.batch_runs - before.batch_runs),
           FH_WINDOW_PAGES, ns);
}

int main(void)
{
    struct rng r = {1};

    if (frames_rig_init(&frames, &mem, TOTAL) != 0)
        return 1;
    measure(&r, 50);
    measure(&r, 95);
    while (used_count > 0)
        (void)fh_frames_release(&frames, used[--used_count]);
    bool whole = fh_frames_check(&frames, stderr);
    fh_frames_fini(&frames);
    return whole ? 0 : 1;
}
