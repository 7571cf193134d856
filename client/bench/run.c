/*
 * Theory.  Targets are all filled first and then take turns, a round each, so that a machine that
 * warms up or gets busy treats them alike; round r has the same seed on every target.
 *
 *   fill A, fill B | A round 0, B round 0 | A round 1, B round 1 | ... | clean A, clean B
 */
#include "client/bench/run.h"

#include "client/bench/proc.h"
#include "client/bench/ramp.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 3 }; /* when there is more than one target, and nothing else was asked for */

int fh_run_exit_code(fh_status status)
{
    switch (status) {
    case FH_OK:
        return 0;
    case FH_NOT_FOUND:
    case FH_STALE:
        return 3;
    case FH_BUSY:
    case FH_TIMEOUT:
    case FH_DRAINING:
    case FH_WRONG_ZONE:
    case FH_CONNECTION:
        return 4;
    case FH_UNAUTHENTICATED:
    case FH_PERMISSION:
        return 5;
    case FH_NO_SPACE:
    case FH_QUOTA:
        return 6;
    case FH_DATA_LOST:
        return 7;
    case FH_EXISTS:
    case FH_CONFLICT:
        return 8;
    default:
        return 1;
    }
}

/* The share of this round; false when there is nothing left for it. */
static bool run_pace(const struct fh_run *run, uint32_t round, struct fh_pace *out)
{
    const struct fh_bench_options *o = run->o;

    *out = (struct fh_pace){.round = round, .rate = o->rate};
    out->duration_ns = o->duration_ns / run->rounds;
    out->requests = o->requests / run->rounds + (round < o->requests % run->rounds);
    return o->requests == 0 || out->requests > 0;
}

static int run_rounds(struct fh_run *run)
{
    struct fh_pace pace;
    int rc = 0;

    for (uint32_t round = 0; round < run->rounds; round++) {
        for (uint32_t i = 0; i < run->side_count && rc == 0 && !run->interrupted; i++) {
            if (!run_pace(run, round, &pace))
                return rc;
            rc = fh_side_round(run, &run->sides[i], &pace);
            if (rc == 0)
                rc = fh_side_verdict(&run->sides[i]);
        }
    }
    return rc;
}

static int run_measure(struct fh_run *run)
{
    int rc;

    for (uint32_t i = 0; i < run->side_count; i++)
        fh_side_inform(run, &run->sides[i], &run->sides[i].before);
    rc = run->o->ramp_by > 0 ? fh_ramp_run(run) : run_rounds(run);
    for (uint32_t i = 0; i < run->side_count; i++)
        if (run->sides[i].informed)
            fh_side_inform(run, &run->sides[i], &run->sides[i].after);
    return rc;
}

/* True: interrupted. */
static bool run_gap_tick(void)
{
    const struct timespec tick = {.tv_nsec = 50000000};
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    return sigtimedwait(&signals, NULL, &tick) > 0;
}

static void run_gap(struct fh_run *run)
{
    const struct fh_bench_options *o = run->o;
    uint64_t end = fh_proc_now() + o->gap_ns;

    while (!run->interrupted &&
           (o->gap_file != NULL ? access(o->gap_file, F_OK) != 0 : fh_proc_now() < end))
        run->interrupted = run_gap_tick();
}

int fh_run_all(struct fh_run *run, const struct fh_bench_options *o)
{
    int rc = 0;

    memset(run, 0, sizeof(*run));
    run->o = o;
    run->rounds = o->rounds > 0 ? o->rounds : o->target_count > 1 ? ROUNDS : 1;
    for (uint32_t i = 0; i < o->target_count && rc == 0; i++)
        rc = fh_side_open(run, &run->sides[i], &o->targets[i]);
    for (uint32_t i = 0; i < run->side_count && rc == 0; i++)
        rc = fh_side_fill(run, &run->sides[i]);
    if (rc == 0)
        run_gap(run);
    if (rc == 0)
        rc = run_measure(run);
    for (uint32_t i = 0; i < run->side_count; i++)
        fh_side_clean(run, &run->sides[i]);
    return rc == 0 && run->interrupted ? 130 : rc;
}

void fh_run_fini(struct fh_run *run)
{
    for (uint32_t i = 0; i < run->side_count; i++)
        fh_side_close(run, &run->sides[i]);
}
