/*
 * Theory.  The curve has a step per phase and a line per store, on a logarithmic scale, since a
 * store that holds on to its pages is off by a factor and not by a share. The page's own colour is
 * the background; text and lines are of a grey that reads on light and dark.
 */
#include "tests/bench/phases/report.h"

#include <inttypes.h>
#include <math.h>

#define MIB 1048576.0

enum { LEFT = 60, TOP = 56, STEP = 130, HEIGHT = 260, WIDTH = 760, SCALE_END = 32 };

const char *const phase_titles[PHASES] = {"fill, 100 B", "free 90 %", "fill, 3 KiB", "free 90 %",
                                          "fill, 100 B"};
static const char *const colours[STORES_MAX] = {"#4477aa", "#228833", "#ddaa33", "#aa3377"};

double row_ratio(const struct row *r)
{
    uint64_t live = r->figures.value_bytes;
    return live > 0 ? (double)r->figures.frame_bytes / (double)live : 0;
}

static double ratio_with_books(const struct row *r)
{
    uint64_t all = r->figures.frame_bytes + r->figures.book_bytes;
    return r->figures.value_bytes > 0 ? (double)all / (double)r->figures.value_bytes : 0;
}

void report_table(const struct row *rows, uint32_t count, FILE *out)
{
    fprintf(out, "| phase | store | live items | live MiB | frames MiB | frames per live byte | "
                 "with books | swap MiB | lost | refused |\n"
                 "|---|---|---|---|---|---|---|---|---|---|\n");
    for (uint32_t phase = 0; phase < PHASES; phase++) {
        const char *title = phase_titles[phase];
        for (uint32_t i = 0; i < count; i++) {
            const struct row *r = &rows[i];
            if (r->phase != phase)
                continue;
            fprintf(out,
                    "| %s | %s | %" PRIu64 " | %.1f | %.1f | **%.2f** | %.2f | %.1f | %" PRIu64
                    " | %" PRIu64 " |\n",
                    title, r->store, r->figures.items, (double)r->figures.value_bytes / MIB,
                    (double)r->figures.frame_bytes / MIB, row_ratio(r), ratio_with_books(r),
                    (double)r->figures.swap_bytes / MIB, r->lost, r->refused);
            title = "";
        }
    }
}

void report_json(const struct row *rows, uint32_t count, uint64_t memory, FILE *out)
{
    fprintf(out, "{\"schema\":\"farheap-bench-phases/1\",\"memory_bytes\":%" PRIu64 ",\"rows\":[",
            memory);
    for (uint32_t i = 0; i < count; i++) {
        const struct row *r = &rows[i];
        fprintf(out,
                "%s\n{\"phase\":%u,\"store\":\"%s\",\"items\":%" PRIu64 ",\"value_bytes\":%" PRIu64
                ",\"frame_bytes\":%" PRIu64 ",\"book_bytes\":%" PRIu64 ",\"swap_bytes\":%" PRIu64
                ",\"evicted\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"refused\":%" PRIu64
                ",\"frames_per_live_byte\":%.3f}",
                i > 0 ? "," : "", r->phase + 1, r->store, r->figures.items, r->figures.value_bytes,
                r->figures.frame_bytes, r->figures.book_bytes, r->figures.swap_bytes,
                r->figures.evicted, r->lost, r->refused, row_ratio(r));
    }
    fprintf(out, "\n]}\n");
}

/* --- the curve --- */

static double plot_y(double ratio)
{
    double share = log(ratio < 1 ? 1 : ratio) / log(SCALE_END);
    return TOP + HEIGHT * (1 - share);
}

static double plot_x(uint32_t phase)
{
    return LEFT + 60 + (double)phase * STEP;
}

static void plot_head(FILE *out)
{
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
            "height=\"%d\" role=\"img\" aria-label=\"Bytes of frames per live byte after each "
            "phase\">\n<style>\ntext { font: 12px sans-serif; fill: #777 }\n"
            ".title { font-size: 15px; font-weight: bold }\n"
            ".line { stroke: #777; stroke-opacity: 0.4; stroke-width: 1 }\n"
            ".goal { stroke: #777; stroke-dasharray: 5 4 }\n"
            "polyline { fill: none; stroke-width: 2 }\n</style>\n"
            "<text class=\"title\" x=\"8\" y=\"20\">Bytes of frames per live byte, after each "
            "phase</text>\n",
            WIDTH, TOP + HEIGHT + 40, WIDTH, TOP + HEIGHT + 40);
}

static void plot_scale(FILE *out)
{
    for (int ratio = 1; ratio <= SCALE_END; ratio *= 2)
        fprintf(out,
                "<line class=\"line\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%d</text>\n",
                LEFT, plot_y(ratio), WIDTH - 10, plot_y(ratio), LEFT - 8, plot_y(ratio) + 4, ratio);
    fprintf(out,
            "<line class=\"goal\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>"
            "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">goal %.2f</text>\n",
            LEFT, plot_y(PHASES_GOAL), WIDTH - 10, plot_y(PHASES_GOAL), WIDTH - 10,
            plot_y(PHASES_GOAL) - 5, PHASES_GOAL);
    for (uint32_t phase = 0; phase < PHASES; phase++)
        fprintf(out, "<text x=\"%.0f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", plot_x(phase),
                TOP + HEIGHT + 22, phase_titles[phase]);
}

static void plot_store(const struct row *rows, uint32_t store, FILE *out)
{
    const char *colour = colours[store % STORES_MAX];

    fprintf(out,
            "<rect x=\"%u\" y=\"32\" width=\"12\" height=\"12\" fill=\"%s\"/>"
            "<text x=\"%u\" y=\"42\">%s</text>\n<polyline stroke=\"%s\" points=\"",
            8 + store * 230, colour, 26 + store * 230, rows[0].store, colour);
    for (uint32_t phase = 0; phase < PHASES; phase++)
        fprintf(out, "%.0f,%.1f ", plot_x(phase), plot_y(row_ratio(&rows[phase])));
    fprintf(out, "\"/>\n");
    for (uint32_t phase = 0; phase < PHASES; phase++)
        fprintf(out,
                "<circle cx=\"%.0f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"><title>%s: %.2f</title>"
                "</circle>\n",
                plot_x(phase), plot_y(row_ratio(&rows[phase])), colour, rows[0].store,
                row_ratio(&rows[phase]));
}

void report_svg(const struct row *rows, uint32_t count, FILE *out)
{
    plot_head(out);
    plot_scale(out);
    for (uint32_t i = 0; i + PHASES <= count; i += PHASES)
        plot_store(&rows[i], i / PHASES, out);
    fprintf(out, "</svg>\n");
}
