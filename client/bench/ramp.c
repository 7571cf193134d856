/*
 * Theory.  Each step is an open-loop round of its own, with its own warm-up and its own tally. A
 * step holds if every gate holds and 99 % of the rate was reached; a side's first step that does not
 * hold is its last, as what comes after it could only be worse. Sides take turns at each rate.
 *
 *   rate        1000   2000   3000   4000
 *   side A        ok     ok   broke   -        best: 2000
 *   side B        ok     ok     ok   broke     best: 3000
 */
#include "client/bench/ramp.h"

#include <stdlib.h>

static const double RATE_MIN_PERCENT = 99.0;

/* The first gate that does not hold; NULL: all do. */
static const char *step_broke(const struct fh_run *run, const struct fh_tally *t)
{
    double found;

    if (fh_tally_ok(t) == 0)
        return "nothing succeeded";
    for (uint32_t i = 0; i < run->o->gate_count; i++)
        if (!fh_gate_holds(&run->o->gates[i], t, &found))
            return run->o->gates[i].text;
    return fh_tally_rate_percent(t) < RATE_MIN_PERCENT ? "rate" : NULL;
}

/* Latencies of all operations together. */
static int step_latencies(const struct fh_tally *t, struct fh_step *out)
{
    struct fh_hist all;
    struct fh_hist service;

    if (fh_hist_init(&all) != 0)
        return -1;
    if (fh_hist_init(&service) != 0) {
        fh_hist_fini(&all);
        return -1;
    }
    for (int op = 0; op < FH_OPS; op++) {
        fh_hist_merge(&all, &t->ops[op].latency);
        fh_hist_merge(&service, &t->ops[op].service);
    }
    out->p50_ns = fh_hist_percentile(&all, 50);
    out->p99_ns = fh_hist_percentile(&all, 99);
    out->p999_ns = fh_hist_percentile(&all, 99.9);
    out->max_ns = all.max_ns;
    out->service_p99_ns = fh_hist_percentile(&service, 99);
    fh_hist_fini(&all);
    fh_hist_fini(&service);
    return 0;
}

static int step_note(const struct fh_run *run, struct fh_side *s, double rate)
{
    const struct fh_tally *t = &s->total;
    struct fh_step *step = &s->step[s->step_count++];

    *step = (struct fh_step){.rate = rate,
                             .rate_percent = fh_tally_rate_percent(t),
                             .failed = fh_tally_failed(t),
                             .broke = step_broke(run, t)};
    if (t->elapsed_ns > 0)
        step->ops_per_second = (double)fh_tally_ok(t) * 1e9 / (double)t->elapsed_ns;
    if (t->all > 0)
        step->server_cpu_ns_per_op = (double)t->cpu_ns / (double)t->all;
    if (step->broke == NULL)
        s->step_best = rate;
    return step_latencies(t, step);
}

static bool side_is_broken(const struct fh_side *s)
{
    return s->step_count > 0 && s->step[s->step_count - 1].broke != NULL;
}

/* One rate on one side; `best` keeps the tally that the report is about. */
static int side_step(struct fh_run *run, struct fh_side *s, const struct fh_pace *pace,
                     struct fh_tally *best)
{
    bool first = s->step_count == 0;
    int rc = fh_side_round(run, s, pace);

    if (rc == 0)
        rc = fh_side_verdict(s);
    if (step_note(run, s, pace->rate) != 0 && rc == 0)
        rc = fh_run_exit_code(FH_NO_MEMORY);
    if (first || s->step[s->step_count - 1].broke == NULL) {
        fh_tally_fini(best);
        *best = s->total;
    } else {
        fh_tally_fini(&s->total);
    }
    if (fh_tally_init(&s->total, true) != 0 && rc == 0)
        rc = fh_run_exit_code(FH_NO_MEMORY);
    return rc;
}

int fh_ramp_run(struct fh_run *run)
{
    const struct fh_bench_options *o = run->o;
    struct fh_tally *best = calloc(run->side_count, sizeof(*best));
    struct fh_pace pace = {.duration_ns = o->ramp_step_ns};
    int rc = 0;

    if (best == NULL)
        return fh_run_exit_code(FH_NO_MEMORY);
    for (; pace.round < FH_STEPS_MAX && rc == 0; pace.round++) {
        pace.rate = o->rate + o->ramp_by * pace.round;
        for (uint32_t i = 0; i < run->side_count && rc == 0 && !run->interrupted; i++)
            if (pace.rate <= o->ramp_to && !side_is_broken(&run->sides[i]))
                rc = side_step(run, &run->sides[i], &pace, &best[i]);
    }
    for (uint32_t i = 0; i < run->side_count; i++) {
        fh_tally_fini(&run->sides[i].total);
        run->sides[i].total = best[i];
    }
    free(best);
    return rc;
}
