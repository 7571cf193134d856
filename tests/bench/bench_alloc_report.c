/*
 * Theory.  Rows come by law, then by system. Shen and Peterson (CACM 17(10) 1974) found that in
 * total the binary system loses less than the weighted one on uniform sizes, and more on
 * exponential ones; the table says whether that is so here, and whether the single runs agree.
 */
#include "tests/bench/bench_alloc_report.h"

#include <inttypes.h>
#include <string.h>

static const struct fragmentation *find(const struct fragmentation *rows, uint32_t count,
                                        const char *law, const struct fh_buddy_system *system)
{
    uint32_t i = 0;
    while (i + 1 < count && (strcmp(rows[i].law->name, law) != 0 || rows[i].system != system))
        i++;
    return &rows[i];
}

static void table_ordering(const struct fragmentation *less, const struct fragmentation *more,
                           FILE *out)
{
    const char *verdict = less->total_high < more->total_low ? "holds, in every run"
                          : less->total < more->total        ? "holds in the mean, not in every run"
                          : less->total_low > more->total_high ? "does not hold, in no run"
                                                               : "does not hold in the mean";
    fprintf(out, "%-12s %s below %s in total: %s (%.1f %% and %.1f %%)\n", less->law->name,
            less->system->name, more->system->name, verdict, 100 * less->total, 100 * more->total);
}

void report_table(const struct fragmentation *rows, uint32_t count, FILE *out)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct fragmentation *f = &rows[i];
        if (i % FRAGMENTATION_SYSTEMS == 0)
            fprintf(out,
                    "%s%-21s internal external  total  (runs)         blocks splits merges  "
                    "ns/op\n",
                    i ? "\n" : "", f->law->name);
        fprintf(out, "  %-18s %7.2f%% %7.2f%% %6.2f%% %6.2f..%5.2f%% %8.0f %6.2f %6.2f %6.1f\n",
                f->system->name, 100 * f->internal, 100 * f->external, 100 * f->total,
                100 * f->total_low, 100 * f->total_high, f->blocks, f->splits, f->merges,
                f->ns_per_op);
    }
    fprintf(out,
            "\nshares of the arena at the moment a request fails; splits and merges per alloc\n"
            "orderings that Shen and Peterson 1974 found:\n");
    table_ordering(find(rows, count, "uniform", &fh_buddy_binary),
                   find(rows, count, "uniform", &fh_buddy_weighted), out);
    table_ordering(find(rows, count, "exponential", &fh_buddy_weighted),
                   find(rows, count, "exponential", &fh_buddy_binary), out);
}

void report_json(const struct fragmentation *rows, uint32_t count, uint64_t seed, FILE *out)
{
    fprintf(out, "{\"seed\": %" PRIu64 ", \"rows\": [\n", seed);
    for (uint32_t i = 0; i < count; i++) {
        const struct fragmentation *f = &rows[i];
        fprintf(out,
                "  {\"sizes\": \"%s\", \"system\": \"%s\", \"granules\": %" PRIu32
                ", \"failures\": %" PRIu64 ", \"internal\": %.6f, \"external\": %.6f,\n"
                "   \"total\": %.6f, \"total_low\": %.6f, \"total_high\": %.6f, \"blocks\": %.1f, "
                "\"splits_per_alloc\": %.4f,\n"
                "   \"merges_per_alloc\": %.4f, \"ns_per_op\": %.2f}%s\n",
                f->law->name, f->system->name, f->granules, f->failures, f->internal, f->external,
                f->total, f->total_low, f->total_high, f->blocks, f->splits, f->merges,
                f->ns_per_op, i + 1 < count ? "," : "");
    }
    fprintf(out, "]}\n");
}
