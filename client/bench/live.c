/*
 * Theory.  The line goes to stderr and is written over; it is only there when stdout is a terminal
 * as well: whoever redirects the report wants no line beside it. The rate is that since the line was
 * shown last, so that a stall is seen when it happens.
 */
#include "client/bench/live.h"

#include "client/bench/units.h"

#include <stdio.h>
#include <unistd.h>

static const uint64_t EVERY_NS = 200000000;

void fh_live_begin(struct fh_live *l, bool quiet, uint64_t now_ns)
{
    *l = (struct fh_live){.wanted =
                              !quiet && isatty(STDOUT_FILENO) == 1 && isatty(STDERR_FILENO) == 1,
                          .began_ns = now_ns,
                          .last_ns = now_ns};
}

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

void fh_live_tell(struct fh_live *l, const struct fh_live_state *s, uint64_t now_ns)
{
    char done[FH_UNITS_TEXT];
    char text[FH_UNITS_TEXT];
    double rate;

    if (!l->wanted || now_ns - l->last_ns < EVERY_NS)
        return;
    rate = (double)(s->done - l->last_done) / seconds(now_ns - l->last_ns);
    l->last_ns = now_ns;
    l->last_done = s->done;
    l->shown = true;
    fprintf(stderr, "\r\033[K%s: %s  %s", s->label, s->doing, fh_units_show_count(done, s->done));
    if (s->all > 0)
        fprintf(stderr, " of %s", fh_units_show_count(text, s->all));
    fprintf(stderr, "  %s op/s", fh_units_show_count(text, (uint64_t)rate));
    if (s->failed > 0)
        fprintf(stderr, "  %s failed", fh_units_show_count(text, s->failed));
    if (s->end_ns > s->start_ns)
        fprintf(stderr, "  %.0f of %.0f s", seconds(now_ns - s->start_ns),
                seconds(s->end_ns - s->start_ns));
    fflush(stderr);
}

void fh_live_end(struct fh_live *l)
{
    if (l->shown)
        fputs("\r\033[K", stderr);
    l->shown = false;
}
