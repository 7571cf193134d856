/*
 * Theory.  Columns are right-aligned text of fixed width, the same on a terminal and in a file. A
 * line of prose is printed only if it has something to say.
 */
#include "client/bench/report.h"

#include "client/bench/units.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static const double BUSY_PERCENT = 95.0; /* above it, the load tester may be the limit */

static double per_second(double amount, uint64_t ns)
{
    return ns == 0 ? 0.0 : amount * 1e9 / (double)ns;
}

static void print_mix(const struct fh_bench_options *o, FILE *out)
{
    const char *comma = "";
    double sum = 0;

    for (int op = 0; op < FH_OPS; op++)
        sum += o->mix[op];
    for (int op = 0; op < FH_OPS; op++) {
        if (o->mix[op] == 0)
            continue;
        fprintf(out, "%s%g%% %s", comma, 100.0 * o->mix[op] / sum, fh_op_name((enum fh_op)op));
        comma = ", ";
    }
}

static void print_sizes(const struct fh_sizes *s, FILE *out)
{
    char text[FH_UNITS_TEXT];

    if (s->is_range) {
        fprintf(out, "%s to ", fh_units_show_size(text, s->bytes[0]));
        fputs(fh_units_show_size(text, s->bytes_max), out);
        return;
    }
    for (uint32_t i = 0; i < s->count; i++) {
        fprintf(out, "%s%s", i > 0 ? ", " : "", fh_units_show_size(text, s->bytes[i]));
        if (s->count > 1)
            fprintf(out, " (%.0f%%)", 100.0 * s->weight[i] / s->weights);
    }
}

static void print_workload(const struct fh_bench_options *o, FILE *out)
{
    char text[FH_UNITS_TEXT];

    fprintf(out, "farheap bench %s   workload %s (", FARHEAP_VERSION, o->workload);
    print_mix(o, out);
    fprintf(out, ", %s", fh_dist_name(o->shape.dist));
    if (o->shape.theta > 0)
        fprintf(out, " %g", o->shape.theta);
    if (o->shape.dist == FH_DIST_HOTSPOT)
        fprintf(out, " %g:%g", o->shape.hot_keys, o->shape.hot_draws);
    fprintf(out, ")   %s keys x ", fh_units_show_count(text, o->keys));
    print_sizes(&o->sizes, out);
    if (o->touch_bytes > 0)
        fprintf(out, ", read in %s", fh_units_show_size(text, o->touch_bytes));
    fprintf(out, "   seed %" PRIu64 "%s\n", o->seed, o->verify ? "   verified" : "");
}

static void print_load(const struct fh_bench_options *o, FILE *out)
{
    char text[FH_UNITS_TEXT];

    fprintf(out, "load    %u thread%s, %u connections   pipeline %u   ", o->threads,
            o->threads > 1 ? "s" : "", o->clients, o->pipeline);
    if (o->ramp_by > 0)
        fprintf(out, "open loop, a ramp of rates, %s\n", o->poisson ? "poisson" : "const");
    else if (o->rate > 0)
        fprintf(out, "open loop %s op/s, %s\n", fh_units_show_count(text, (uint64_t)o->rate),
                o->poisson ? "poisson" : "const");
    else
        fprintf(out, "closed loop\n");
}

static bool address_is_local(const char *address)
{
    return strstr(address, "127.") != NULL || strstr(address, "localhost") != NULL ||
           strstr(address, "[::1]") != NULL || strstr(address, "unix:") != NULL;
}

static void print_host(const struct fh_bench_options *o, FILE *out)
{
    bool local = false;

    for (uint32_t i = 0; i < o->target_count; i++)
        local |= address_is_local(o->targets[i].address);
    fprintf(out, "host    %ld CPUs, client and server on the same machine: %s\n",
            sysconf(_SC_NPROCESSORS_ONLN),
            local ? "YES (numbers include the client's own CPU)" : "no");
}

static void print_target(const struct fh_side *s, FILE *out)
{
    char text[FH_UNITS_TEXT];

    fprintf(out, "target  %s%s%s", s->target->class == &fh_driver_farheap ? "" : s->target->label,
            s->target->class == &fh_driver_farheap ? "" : " ", s->target->address);
    if (s->informed)
        fprintf(out, " (%s, %" PRIu64 " zone%s, io %s)", s->before.version, s->before.zones,
                s->before.zones == 1 ? "" : "s", s->before.io);
    if (s->fill_bytes > 0)
        fprintf(out, "   stored %s in %.1f s", fh_units_show_size(text, s->fill_bytes),
                s->fill_seconds);
    fputc('\n', out);
}

static void print_header(const struct fh_bench_options *o, FILE *out)
{
    fprintf(out, "%-6s %11s %9s %8s %6s %8s", "OP", "OPS", "OP/s", "MiB/s", "ERR", "MEAN");
    for (uint32_t i = 0; i < o->percent_count; i++) {
        char column[16];

        snprintf(column, sizeof(column), "P%g", o->percents[i]);
        fprintf(out, " %8s", column);
    }
    fprintf(out, " %8s\n", "MAX");
}

static void print_row(const struct fh_bench_options *o, const struct fh_tally *t, enum fh_op op,
                      FILE *out)
{
    const struct fh_tally_op *row = &t->ops[op];
    char ops[FH_UNITS_TEXT];
    char rate[FH_UNITS_TEXT];
    char time[FH_UNITS_TEXT];

    fh_units_show_count(ops, row->latency.count);
    fh_units_show_count(rate, (uint64_t)per_second((double)row->latency.count, t->elapsed_ns));
    fprintf(out, "%-6s %11s %9s %8.1f %6" PRIu64 " %8s", fh_op_name(op), ops, rate,
            per_second((double)row->bytes / 1048576.0, t->elapsed_ns), row->failed,
            fh_units_show_time(time, fh_hist_mean(&row->latency)));
    for (uint32_t i = 0; i < o->percent_count; i++)
        fprintf(
            out, " %8s",
            fh_units_show_time(time, (double)fh_hist_percentile(&row->latency, o->percents[i])));
    fprintf(out, " %8s\n", fh_units_show_time(time, (double)row->latency.max_ns));
}

static void print_failures(const struct fh_tally *t, FILE *out)
{
    char time[FH_UNITS_TEXT];

    for (int i = 1; i < FH_TALLY_STATUSES; i++)
        if (t->status[i] > 0)
            fprintf(out, "  failed: %s %" PRIu64 "\n", fh_strstatus((fh_status)i), t->status[i]);
    for (int op = 0; op < FH_OPS; op++)
        if (t->ops[op].failed > 0)
            fprintf(out, "  failed %s took at most %s (not in the table)\n",
                    fh_op_name((enum fh_op)op),
                    fh_units_show_time(time, (double)t->ops[op].failed_max_ns));
}

/* Service time of all operations together, for the line below the table. */
static void print_open_loop(const struct fh_tally *t, FILE *out)
{
    double percent = fh_tally_rate_percent(t);
    char a[FH_UNITS_TEXT];
    char b[FH_UNITS_TEXT];
    struct fh_hist service;

    if (fh_hist_init(&service) != 0)
        return;
    for (int op = 0; op < FH_OPS; op++)
        fh_hist_merge(&service, &t->ops[op].service);
    fprintf(out,
            "  latency from the INTENDED send time; service time only: p50 %s p99 %s; %.1f%% of "
            "the rate; ",
            fh_units_show_time(a, (double)fh_hist_percentile(&service, 50)),
            fh_units_show_time(b, (double)fh_hist_percentile(&service, 99)), percent);
    fprintf(out, "send lag p99 %s\n",
            fh_units_show_time(a, (double)fh_hist_percentile(&t->lag, 99)));
    fh_hist_fini(&service);
    if (percent < 99.0)
        fprintf(out,
                "  WARNING: only %.1f%% of the rate was reached; %" PRIu64
                " requests were due and never sent\n",
                percent, t->due - t->sent);
}

static void print_server(const struct fh_side *s, FILE *out)
{
    const struct fh_server_info *b = &s->before;
    const struct fh_server_info *a = &s->after;
    char text[FH_UNITS_TEXT];

    if (s->informed) {
        fprintf(out,
                "server  first-write faults +%" PRIu64 "   swap-ins +%" PRIu64
                "   copies on write +%" PRIu64 "   reclaimed +%" PRIu64,
                a->faults_first_write - b->faults_first_write, a->faults_swap - b->faults_swap,
                a->faults_copy_on_write - b->faults_copy_on_write, a->reclaimed - b->reclaimed);
        fprintf(out, "   frames %s", fh_units_show_size(text, b->frames_used * 4096));
        fprintf(out, " -> %s", fh_units_show_size(text, a->frames_used * 4096));
        fprintf(out, "   RSS %s\n", fh_units_show_size(text, a->rss_bytes));
    }
}

/* What an operation cost either side; and whether it was the load tester that could no more. */
static void print_cpu(const struct fh_run *run, const struct fh_tally *t, FILE *out)
{
    double busy = fh_tally_busy_percent(t);

    if (t->all == 0)
        return;
    fprintf(out, "CPU     ");
    if (t->cpu_ns > 0)
        fprintf(out, "%.2f us of the server's per operation   ",
                (double)t->cpu_ns / 1e3 / (double)t->all);
    fprintf(out, "%.2f us of the load tester's, busy %.0f%% of the time\n",
            (double)t->own_cpu_ns / 1e3 / (double)t->all, busy);
    if (busy > BUSY_PERCENT)
        fprintf(out,
                "  WARNING: the load tester itself was busy %.0f%% of the time: use more than "
                "-t %u\n",
                busy, run->o->threads);
}

static void print_step(const struct fh_step *s, FILE *out)
{
    char text[FH_UNITS_TEXT];

    fprintf(out, "%11s", fh_units_show_count(text, (uint64_t)s->rate));
    fprintf(out, " %11s %6.1f%%", fh_units_show_count(text, (uint64_t)s->ops_per_second),
            s->rate_percent);
    fprintf(out, " %8s", fh_units_show_time(text, (double)s->p50_ns));
    fprintf(out, " %8s", fh_units_show_time(text, (double)s->p99_ns));
    fprintf(out, " %8s", fh_units_show_time(text, (double)s->p999_ns));
    fprintf(out, " %8s", fh_units_show_time(text, (double)s->max_ns));
    fprintf(out, " %11s", fh_units_show_time(text, (double)s->service_p99_ns));
    fprintf(out, " %8s", fh_units_show_time(text, s->server_cpu_ns_per_op));
    fprintf(out, " %6" PRIu64 "  %s\n", s->failed, s->broke != NULL ? s->broke : "ok");
}

static void print_ramp(const struct fh_side *s, FILE *out)
{
    char text[FH_UNITS_TEXT];

    if (s->step_count == 0)
        return;
    fprintf(out, "%11s %11s %7s %8s %8s %8s %8s %11s %8s %6s  %s\n", "RATE", "OP/s", "KEPT", "P50",
            "P99", "P99.9", "MAX", "SERVICE P99", "CPU/OP", "ERR", "GOAL");
    for (uint32_t i = 0; i < s->step_count; i++)
        print_step(&s->step[i], out);
    if (s->step_best > 0)
        fprintf(out, "highest rate that held: %s op/s; what follows is of that rate\n",
                fh_units_show_count(text, (uint64_t)s->step_best));
    else
        fprintf(out, "not even %s op/s held; what follows is of that rate\n",
                fh_units_show_count(text, (uint64_t)s->step[0].rate));
}

static void print_side(const struct fh_run *run, const struct fh_side *s, FILE *out)
{
    print_target(s, out);
    print_ramp(s, out);
    print_header(run->o, out);
    for (int op = 0; op < FH_OPS; op++)
        if (run->o->mix[op] > 0 || s->total.ops[op].latency.count > 0)
            print_row(run->o, &s->total, (enum fh_op)op, out);
    print_failures(&s->total, out);
    if (run->o->rate > 0)
        print_open_loop(&s->total, out);
    print_server(s, out);
    print_cpu(run, &s->total, out);
}

void fh_report_print(const struct fh_run *run, FILE *out)
{
    print_workload(run->o, out);
    print_load(run->o, out);
    print_host(run->o, out);
    for (uint32_t i = 0; i < run->side_count; i++)
        print_side(run, &run->sides[i], out);
    if (!(run->o->rate > 0))
        fputs("closed loop: latencies hide waiting; use -R\n", out);
}

static bool gate_report(const struct fh_run *run, const struct fh_side *s, const struct fh_gate *g,
                        FILE *out)
{
    const char *of = run->side_count > 1 ? s->target->label : "";
    double found;
    bool holds = fh_gate_holds(g, &s->total, &found);
    char value[FH_UNITS_TEXT];

    fh_gate_show(g, found, value, sizeof(value));
    if (!holds)
        fprintf(stderr, "farheap: bench: FAIL %s%s%s (%s)\n", of, *of != '\0' ? ": " : "", g->text,
                value);
    else if (out != NULL)
        fprintf(out, "PASS    %s%s%s (%s)\n", of, *of != '\0' ? ": " : "", g->text, value);
    return holds;
}

bool fh_report_gates(const struct fh_run *run, FILE *out)
{
    bool all = true;

    for (uint32_t i = 0; i < run->side_count; i++)
        for (uint32_t n = 0; n < run->o->gate_count; n++)
            all &= gate_report(run, &run->sides[i], &run->o->gates[n], out);
    return all;
}
