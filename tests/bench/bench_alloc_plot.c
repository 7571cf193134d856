/*
 * Theory.  One bar per row, lying, so that names need no turning; from the left what rounding
 * costs, then what lies free and is of no use. Rows of one law stand together under its title. The
 * page's own colour is the background; text and lines are of a grey that reads on light and dark.
 */
#include "tests/bench/bench_alloc_report.h"

enum {
    LEFT = 96,     /* of the bars, in pixels */
    PER_CENT = 11, /* pixels of a per cent */
    TOP = 74,
    BAR = 14,
    PITCH = 19,
    GROUP = 34, /* more, above the first bar of a law */
    WIDTH = 720,
    SCALE_END = 40 /* per cent */
};

static uint32_t bar_y(uint32_t row)
{
    return TOP + row * PITCH + (row / FRAGMENTATION_SYSTEMS + 1) * GROUP - 10;
}

static void plot_head(uint32_t height, FILE *out)
{
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %u\" width=\"%d\" "
            "height=\"%u\" role=\"img\" aria-label=\"Fragmentation of four buddy systems\">\n"
            "<style>\n"
            "text { font: 12px sans-serif; fill: #777 }\n"
            ".title { font-size: 15px; font-weight: bold } .law { font-weight: bold }\n"
            ".line { stroke: #777; stroke-opacity: 0.4; stroke-width: 1 }\n"
            ".internal { fill: #4477aa } .external { fill: #ddaa33 }\n"
            "</style>\n",
            WIDTH, height, WIDTH, height);
    fprintf(out,
            "<text class=\"title\" x=\"8\" y=\"20\">Lost at the moment a request fails, %% of the "
            "arena</text>\n"
            "<rect class=\"internal\" x=\"8\" y=\"34\" width=\"12\" height=\"12\"/>"
            "<text x=\"26\" y=\"44\">internal: rounding up to a class</text>\n"
            "<rect class=\"external\" x=\"250\" y=\"34\" width=\"12\" height=\"12\"/>"
            "<text x=\"268\" y=\"44\">external: free, but in no block that fits</text>\n");
}

static void plot_scale(uint32_t bottom, FILE *out)
{
    for (uint32_t percent = 0; percent <= SCALE_END; percent += 10) {
        uint32_t x = LEFT + percent * PER_CENT;
        fprintf(out,
                "<line class=\"line\" x1=\"%u\" y1=\"%d\" x2=\"%u\" y2=\"%u\"/>"
                "<text x=\"%u\" y=\"%u\" text-anchor=\"middle\">%u %%</text>\n",
                x, TOP + 2, x, bottom, x, bottom + 16, percent);
    }
}

static void plot_row(const struct fragmentation *f, uint32_t row, FILE *out)
{
    uint32_t y = bar_y(row);
    double internal = 100 * f->internal * PER_CENT, external = 100 * f->external * PER_CENT;

    if (row % FRAGMENTATION_SYSTEMS == 0)
        fprintf(out, "<text class=\"law\" x=\"8\" y=\"%u\">%s</text>\n", y - 6, f->law->title);
    fprintf(out, "<text x=\"%d\" y=\"%u\" text-anchor=\"end\">%s</text>\n", LEFT - 8, y + 11,
            f->system->name);
    fprintf(out,
            "<rect class=\"internal\" x=\"%d\" y=\"%u\" width=\"%.1f\" height=\"%d\"/>"
            "<rect class=\"external\" x=\"%.1f\" y=\"%u\" width=\"%.1f\" height=\"%d\"/>\n",
            LEFT, y, internal, BAR, LEFT + internal, y, external, BAR);
    fprintf(out, "<text x=\"%.1f\" y=\"%u\">%.1f + %.1f = %.1f</text>\n",
            LEFT + internal + external + 6, y + 11, 100 * f->internal, 100 * f->external,
            100 * f->total);
}

void report_svg(const struct fragmentation *rows, uint32_t count, FILE *out)
{
    uint32_t bottom = bar_y(count - 1) + PITCH;

    plot_head(bottom + 28, out);
    plot_scale(bottom, out);
    for (uint32_t i = 0; i < count; i++)
        plot_row(&rows[i], i, out);
    fprintf(out, "</svg>\n");
}
