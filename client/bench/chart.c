/*
 * Theory.  An axis has a tick at every power of ten if it is logarithmic, else at four to ten
 * multiples of 1, 2 or 5 times a power of ten, and a linear one starts at 0. A dashed line has the
 * colour of the line before it, with which it is to be compared. A line of one point is drawn as a dot.
 */
#include "client/bench/chart.h"

#include "client/bench/units.h"

#include <math.h>
#include <string.h>

static const char *const colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                      "#E69F00", "#56B4E9", "#000000", "#999933"};

void fh_chart_text(const char *text, FILE *out)
{
    for (; *text != '\0'; text++) {
        if (*text == '&')
            fputs("&amp;", out);
        else if (*text == '<')
            fputs("&lt;", out);
        else if ((unsigned char)*text >= 0x20)
            fputc(*text, out);
    }
}

/* --- the range */

static void range_take(struct fh_chart *c, double x, double y)
{
    if (!c->ranged) {
        c->x_min = c->x_max = x;
        c->y_min = c->y_max = y;
        c->ranged = true;
    }
    c->x_min = fmin(c->x_min, x);
    c->x_max = fmax(c->x_max, x);
    c->y_min = fmin(c->y_min, y);
    c->y_max = fmax(c->y_max, y);
}

static double axis_step(double from, double to)
{
    double raw = (to - from) / 5;
    double power = pow(10, floor(log10(raw)));

    return raw <= power       ? power
           : raw <= 2 * power ? 2 * power
           : raw <= 5 * power ? 5 * power
                              : 10 * power;
}

/* Widens a range to where ticks are. */
static void axis_round(bool is_log, double *from, double *to)
{
    double step;

    if (is_log) {
        *from = pow(10, floor(log10(fmax(*from, 1))));
        *to = fmax(pow(10, ceil(log10(fmax(*to, 1)))), *from * 10);
        return;
    }
    *from = fmin(*from, 0);
    if (*to <= *from)
        *to = *from + 1;
    step = axis_step(*from, *to);
    *from = floor(*from / step) * step;
    *to = ceil(*to / step) * step;
}

/* --- places in the picture */

static double share(bool is_log, double from, double to, double value)
{
    if (is_log)
        return (log10(fmax(value, from)) - log10(from)) / (log10(to) - log10(from));
    return (value - from) / (to - from);
}

static double place_x(const struct fh_chart *c, double x)
{
    return c->left + c->width * share(c->x_log, c->x_min, c->x_max, x);
}

static double place_y(const struct fh_chart *c, double y)
{
    return c->top + c->height * (1 - share(c->y_log, c->y_min, c->y_max, y));
}

/* --- axes */

static void value_show(enum fh_chart_unit unit, double value, char *out, size_t room)
{
    char text[FH_UNITS_TEXT];

    if (unit == FH_CHART_TIME)
        snprintf(out, room, "%s", fh_units_show_time(text, value));
    else if (unit == FH_CHART_NINES)
        snprintf(out, room, "%.10g%%", 100.0 - 100.0 / value);
    else
        snprintf(out, room, "%s", fh_units_show_count(text, (uint64_t)llround(fmax(value, 0))));
}

static void tick_x(struct fh_chart *c, double x)
{
    char text[48];

    value_show(c->x_unit, x, text, sizeof(text));
    fprintf(c->out,
            "<path d=\"M%.1f %dv%d\" stroke=\"#ddd\"/><text x=\"%.1f\" y=\"%d\" "
            "text-anchor=\"middle\" fill=\"#444\">%s</text>\n",
            place_x(c, x), c->top, c->height, place_x(c, x), c->top + c->height + 16, text);
}

static void tick_y(struct fh_chart *c, double y)
{
    char text[48];

    value_show(c->y_unit, y, text, sizeof(text));
    fprintf(c->out,
            "<path d=\"M%d %.1fh%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" "
            "text-anchor=\"end\" fill=\"#444\">%s</text>\n",
            c->left, place_y(c, y), c->width, c->left - 6, place_y(c, y) + 4, text);
}

static void axis_ticks(struct fh_chart *c, bool is_log, double from, double to,
                       void (*tick)(struct fh_chart *, double))
{
    if (is_log) {
        for (double v = from; v <= to * 1.001; v *= 10)
            tick(c, v);
        return;
    }
    double step = axis_step(from, to);

    for (int i = 0; i <= 20 && from + i * step <= to + step / 1000; i++)
        tick(c, from + i * step);
}

void fh_chart_begin(struct fh_chart *c, const char *title, const char *x_title, FILE *out)
{
    c->out = out;
    c->curves = c->colour = 0;
    if (!c->ranged)
        range_take(c, 1, 1);
    axis_round(c->x_log, &c->x_min, &c->x_max);
    axis_round(c->y_log, &c->y_min, &c->y_max);
    fprintf(out, "<text x=\"%d\" y=\"%d\" font-weight=\"bold\">", c->left, c->top - 8);
    fh_chart_text(title, out);
    fprintf(out, "</text>\n<text x=\"%d\" y=\"%d\" text-anchor=\"end\" fill=\"#444\">",
            c->left + c->width, c->top + c->height + 32);
    fh_chart_text(x_title, out);
    fputs("</text>\n", out);
    axis_ticks(c, c->x_log, c->x_min, c->x_max, tick_x);
    axis_ticks(c, c->y_log, c->y_min, c->y_max, tick_y);
    fprintf(out, "<path d=\"M%d %dv%dh%d\" stroke=\"#444\" fill=\"none\"/>\n", c->left, c->top,
            c->height, c->width);
}

/* --- curves */

static const char *curve_colour(const struct fh_chart *c)
{
    return colours[(c->colour - 1) % (sizeof(colours) / sizeof(colours[0]))];
}

static void curve_close(struct fh_chart *c)
{
    if (c->open && c->points > 0)
        fputs("\"/>\n", c->out);
    if (c->open && c->points == 1)
        fprintf(c->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n",
                place_x(c, c->last_x), place_y(c, c->last_y), curve_colour(c));
    c->open = false;
}

void fh_chart_curve(struct fh_chart *c, const char *name, bool dashed)
{
    int y;

    if (c->out == NULL)
        return;
    curve_close(c);
    c->curves++;
    c->colour += !dashed;
    c->open = true;
    c->dashed = dashed;
    c->points = 0;
    y = c->top + 4 + (int)c->curves * 16;
    fprintf(c->out,
            "<path d=\"M%d %dh20\" stroke=\"%s\" stroke-width=\"2\"%s/><text x=\"%d\" y=\"%d\">",
            c->left + c->width + 12, y - 4, curve_colour(c),
            dashed ? " stroke-dasharray=\"4 3\"" : "", c->left + c->width + 36, y);
    fh_chart_text(name[0] == ' ' ? name + 1 : name, c->out);
    fputs("</text>\n", c->out);
}

void fh_chart_point(struct fh_chart *c, double x, double y)
{
    if (c->out == NULL) {
        range_take(c, x, y);
        return;
    }
    if (c->points++ == 0)
        fprintf(c->out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"2\"%s d=\"M",
                curve_colour(c), c->dashed ? " stroke-dasharray=\"4 3\"" : "");
    else
        fputs(" L", c->out);
    fprintf(c->out, "%.1f %.1f", place_x(c, x), place_y(c, y));
    c->last_x = x;
    c->last_y = y;
}

void fh_chart_end(struct fh_chart *c)
{
    curve_close(c);
    c->out = NULL;
}
