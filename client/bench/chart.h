/*
 * chart: one panel of an SVG picture: two axes and lines over them.
 *
 * Units      the caller's; `left`, `top`, `width` and `height` in the picture's.
 * Ownership  a plain value. First all curves are run without begin, which finds the range; then
 *            begin, the same curves, end.
 * Threads    one owner.
 * Errors     none of its own: the FILE's error flag tells.
 */
#ifndef FH_CLIENT_BENCH_CHART_H
#define FH_CLIENT_BENCH_CHART_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum fh_chart_unit {
    FH_CHART_COUNT, /* 20 000 */
    FH_CHART_TIME,  /* nanoseconds, shown as 1.5ms */
    FH_CHART_NINES  /* 1 / (1 - p), shown as 99.9 % */
};

struct fh_chart {
    enum fh_chart_unit x_unit, y_unit;
    bool x_log, y_log;
    int left, top, width, height;
    /* What the curves span. */
    bool ranged;
    double x_min, x_max, y_min, y_max;
    /* The curve that is being drawn. */
    FILE *out; /* NULL: only the range is being found */
    uint32_t curves, colour;
    bool open, dashed;
    uint32_t points;
    double last_x, last_y;
};

void fh_chart_begin(struct fh_chart *, const char *title, const char *x_title, FILE *out);
void fh_chart_curve(struct fh_chart *, const char *name, bool dashed);
void fh_chart_point(struct fh_chart *, double x, double y);
void fh_chart_end(struct fh_chart *);

/* Text with what XML means something by replaced. */
void fh_chart_text(const char *text, FILE *out);

#endif
