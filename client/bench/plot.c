/*
 * Theory.  Three panels, one below the other, each a chart of lines over two axes of which either
 * may be logarithmic. A panel's range is found by running its curves once without drawing, so that a
 * curve is written down in one place. Colours bear colour blindness (Okabe and Ito) and tell
 * operations or percentiles apart; the text beside each panel names them.
 *
 *   latency by percentile      x: 1 / (1 - p), logarithmic: each nine has its place
 *   operations per second      x: time, or the rate asked for
 *   p50, p99, longest          x: the same
 */
#include "client/bench/plot.h"

#include "client/bench/chart.h"
#include "client/bench/units.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { WIDTH = 920, PANEL = 230, MARGIN = 46, NAME = 48 };

static const char *side_label(const struct fh_run *run, const struct fh_side *s)
{
    return run->side_count > 1 ? s->target->label : "";
}

/* --- latency by percentile */

static void curve_percentiles(struct fh_chart *c, const struct fh_hist *h, const char *name,
                              bool dashed)
{
    double least = 1.0 / (double)h->count;

    fh_chart_curve(c, name, dashed);
    for (double rest = 1.0; rest >= least; rest *= 0.8)
        fh_chart_point(c, 1.0 / rest, (double)fh_hist_percentile(h, 100.0 * (1.0 - rest)));
    fh_chart_point(c, 1.0 / least, (double)h->max_ns);
}

static void draw_percentiles(struct fh_chart *c, const struct fh_run *run)
{
    for (uint32_t i = 0; i < run->side_count; i++) {
        for (int op = 0; op < FH_OPS; op++) {
            const struct fh_tally_op *o = &run->sides[i].total.ops[op];
            char name[NAME];

            if (o->latency.count == 0)
                continue;
            snprintf(name, sizeof(name), "%s %s", side_label(run, &run->sides[i]),
                     fh_op_name((enum fh_op)op));
            curve_percentiles(c, &o->latency, name, false);
            snprintf(name, sizeof(name), "%s %s, from sending", side_label(run, &run->sides[i]),
                     fh_op_name((enum fh_op)op));
            if (o->service.counts != NULL)
                curve_percentiles(c, &o->service, name, true);
        }
    }
}

/* --- over time */

static void draw_ops(struct fh_chart *c, const struct fh_run *run)
{
    for (uint32_t i = 0; i < run->side_count; i++) {
        const struct fh_tally *t = &run->sides[i].total;
        char name[NAME];

        snprintf(name, sizeof(name), "%s done", side_label(run, &run->sides[i]));
        fh_chart_curve(c, name, false);
        for (uint32_t n = 0; n < t->seconds; n++)
            fh_chart_point(c, n, t->second[n].ok);
    }
}

static double second_value(const struct fh_strip *s, double percent)
{
    return (double)(percent < 100 ? fh_strip_percentile(s, percent) : s->max_ns);
}

static void draw_seconds(struct fh_chart *c, const struct fh_run *run)
{
    static const double percents[] = {50, 99, 100};
    static const char *const names[] = {"p50", "p99", "longest"};

    for (uint32_t i = 0; i < run->side_count; i++) {
        const struct fh_tally *t = &run->sides[i].total;

        for (int p = 0; p < 3; p++) {
            char name[NAME];

            snprintf(name, sizeof(name), "%s %s", side_label(run, &run->sides[i]), names[p]);
            fh_chart_curve(c, name, false);
            for (uint32_t n = 0; n < t->seconds; n++)
                if (t->second[n].strip != NULL)
                    fh_chart_point(c, n, second_value(t->second[n].strip, percents[p]));
        }
    }
}

/* --- by rate */

static void draw_reached(struct fh_chart *c, const struct fh_run *run)
{
    for (uint32_t i = 0; i < run->side_count; i++) {
        const struct fh_side *s = &run->sides[i];
        char name[NAME];

        snprintf(name, sizeof(name), "%s done", side_label(run, s));
        fh_chart_curve(c, name, false);
        for (uint32_t n = 0; n < s->step_count; n++)
            fh_chart_point(c, s->step[n].rate, s->step[n].ops_per_second);
        snprintf(name, sizeof(name), "%s asked for", side_label(run, s));
        fh_chart_curve(c, name, true);
        for (uint32_t n = 0; n < s->step_count; n++)
            fh_chart_point(c, s->step[n].rate, s->step[n].rate);
    }
}

static uint64_t step_value(const struct fh_step *s, int which)
{
    return which == 0 ? s->p50_ns : which == 1 ? s->p99_ns : s->p999_ns;
}

static void draw_steps(struct fh_chart *c, const struct fh_run *run)
{
    static const char *const names[] = {"p50", "p99", "p99.9"};

    for (uint32_t i = 0; i < run->side_count; i++) {
        const struct fh_side *s = &run->sides[i];

        for (int p = 0; p < 3; p++) {
            char name[NAME];

            snprintf(name, sizeof(name), "%s %s", side_label(run, s), names[p]);
            fh_chart_curve(c, name, false);
            for (uint32_t n = 0; n < s->step_count; n++)
                fh_chart_point(c, s->step[n].rate, (double)step_value(&s->step[n], p));
        }
    }
}

/* --- panels */

typedef void draw_fn(struct fh_chart *, const struct fh_run *);

struct panel {
    const char *title, *x_title;
    enum fh_chart_unit x_unit, y_unit;
    bool x_log, y_log;
    draw_fn *draw;
};

static const struct panel over_time[] = {
    {"latency", "percentile", FH_CHART_NINES, FH_CHART_TIME, true, true, draw_percentiles},
    {"operations per second", "second", FH_CHART_COUNT, FH_CHART_COUNT, false, false, draw_ops},
    {"latency in each second", "second", FH_CHART_COUNT, FH_CHART_TIME, false, true, draw_seconds}};

static const struct panel by_rate[] = {
    {"latency at the highest rate that held", "percentile", FH_CHART_NINES, FH_CHART_TIME, true,
     true, draw_percentiles},
    {"operations per second", "rate asked for", FH_CHART_COUNT, FH_CHART_COUNT, false, false,
     draw_reached},
    {"latency", "rate asked for", FH_CHART_COUNT, FH_CHART_TIME, false, true, draw_steps}};

static void draw_panel(const struct panel *p, const struct fh_run *run, int top, FILE *out)
{
    struct fh_chart chart = {.x_unit = p->x_unit,
                             .y_unit = p->y_unit,
                             .x_log = p->x_log,
                             .y_log = p->y_log,
                             .left = 80,
                             .top = top + 24,
                             .width = WIDTH - 80 - 190,
                             .height = PANEL - 24 - MARGIN};

    p->draw(&chart, run); /* without `out`: finds the range */
    fh_chart_begin(&chart, p->title, p->x_title, out);
    p->draw(&chart, run);
    fh_chart_end(&chart);
}

static void draw_title(const struct fh_run *run, FILE *out)
{
    char keys[FH_UNITS_TEXT];
    char text[160];

    snprintf(text, sizeof(text), "farheap bench %s, workload %.60s, %s keys, %u connections",
             FARHEAP_VERSION, run->o->workload, fh_units_show_count(keys, run->o->keys),
             run->o->clients);
    fprintf(out, "<text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"bold\">");
    fh_chart_text(text, out);
    fprintf(out, "</text>\n");
}

int fh_plot_write(const struct fh_run *run, const char *path)
{
    const struct panel *panels = run->o->ramp_by > 0 ? by_rate : over_time;
    FILE *out = fopen(path, "we");
    int bad;

    if (out == NULL)
        return -errno;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            WIDTH, 40 + 3 * PANEL);
    draw_title(run, out);
    for (int i = 0; i < 3; i++)
        draw_panel(&panels[i], run, 40 + i * PANEL, out);
    fputs("</svg>\n", out);
    bad = ferror(out);
    return fclose(out) != 0 || bad ? -EIO : 0;
}
