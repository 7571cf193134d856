/*
 * Theory.  Everything the table shows and what it was made from: options, host, per target each
 * operation with its percentiles and its histogram as pairs of [largest value of the bucket,
 * count], and a row per second. Integers stay integers; times are nanoseconds and say so in their
 * names.
 */
#include "client/bench/report.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

static json_t *whole(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *json_options(const struct fh_bench_options *o)
{
    json_t *mix = json_object();
    json_t *sizes = json_array();
    json_t *doc = json_object();

    for (int op = 0; op < FH_OPS; op++)
        if (o->mix[op] > 0)
            json_object_set_new(mix, fh_op_name((enum fh_op)op), whole(o->mix[op]));
    for (uint32_t i = 0; i < o->sizes.count; i++)
        json_array_append_new(sizes, json_pack("{sIsI}", "bytes", (json_int_t)o->sizes.bytes[i],
                                               "weight", (json_int_t)o->sizes.weight[i]));
    json_object_set_new(doc, "workload", json_string(o->workload));
    json_object_set_new(doc, "mix", mix);
    json_object_set_new(doc, "dist", json_string(fh_dist_name(o->shape.dist)));
    if (o->shape.theta > 0)
        json_object_set_new(doc, "theta", json_real(o->shape.theta));
    if (o->shape.dist == FH_DIST_HOTSPOT)
        json_object_set_new(doc, "hot", json_pack("[ff]", o->shape.hot_keys, o->shape.hot_draws));
    if (o->sizes.is_range)
        json_object_set_new(doc, "bytes_max", whole(o->sizes.bytes_max));
    json_object_set_new(doc, "keys", whole(o->keys));
    json_object_set_new(doc, "sizes", sizes);
    json_object_set_new(doc, "touch_bytes", whole(o->touch_bytes));
    json_object_set_new(doc, "scan_max", whole(o->scan_max));
    json_object_set_new(doc, "overcommit", json_real(o->overcommit));
    json_object_set_new(doc, "seed", whole(o->seed));
    json_object_set_new(doc, "clients", whole(o->clients));
    json_object_set_new(doc, "threads", whole(o->threads));
    json_object_set_new(doc, "pipeline", whole(o->pipeline));
    json_object_set_new(doc, "duration_ns", whole(o->duration_ns));
    json_object_set_new(doc, "requests", whole(o->requests));
    json_object_set_new(doc, "warmup_ns", whole(o->warmup_ns));
    json_object_set_new(doc, "rate", json_real(o->rate));
    if (o->ramp_by > 0)
        json_object_set_new(doc, "ramp",
                            json_pack("{sfsfsI}", "to", o->ramp_to, "by", o->ramp_by, "step_ns",
                                      (json_int_t)o->ramp_step_ns));
    json_object_set_new(doc, "arrival", json_string(o->poisson ? "poisson" : "const"));
    json_object_set_new(doc, "verify", json_boolean(o->verify));
    return doc;
}

static json_t *json_hist(const struct fh_bench_options *o, const struct fh_hist *h)
{
    json_t *percentiles = json_object();
    json_t *buckets = json_array();

    for (uint32_t i = 0; i < o->percent_count; i++) {
        char key[16];

        snprintf(key, sizeof(key), "%g", o->percents[i]);
        json_object_set_new(percentiles, key, whole(fh_hist_percentile(h, o->percents[i])));
    }
    for (uint32_t i = 0; i < FH_HIST_BUCKETS && h->count > 0; i++)
        if (h->counts[i] > 0)
            json_array_append_new(buckets, json_pack("[II]", (json_int_t)fh_hist_highest(i),
                                                     (json_int_t)h->counts[i]));
    return json_pack("{sIsfsIsIsoso}", "count", (json_int_t)h->count, "mean_ns", fh_hist_mean(h),
                     "min_ns", (json_int_t)h->min_ns, "max_ns", (json_int_t)h->max_ns,
                     "percentiles_ns", percentiles, "histogram", buckets);
}

static json_t *json_op(const struct fh_bench_options *o, const struct fh_tally *t, enum fh_op op)
{
    const struct fh_tally_op *row = &t->ops[op];
    double rate =
        t->elapsed_ns == 0 ? 0.0 : (double)row->latency.count * 1e9 / (double)t->elapsed_ns;
    json_t *doc =
        json_pack("{sIsfsIso}", "ops", (json_int_t)row->latency.count, "ops_per_second", rate,
                  "bytes", (json_int_t)row->bytes, "latency", json_hist(o, &row->latency));

    if (o->rate > 0)
        json_object_set_new(doc, "service", json_hist(o, &row->service));
    json_object_set_new(doc, "failed",
                        json_pack("{sIsfsI}", "count", (json_int_t)row->failed, "mean_ns",
                                  row->failed > 0 ? row->failed_sum_ns / (double)row->failed : 0.0,
                                  "max_ns", (json_int_t)row->failed_max_ns));
    return doc;
}

static json_t *json_seconds(const struct fh_tally *t)
{
    json_t *rows = json_array();

    for (uint32_t i = 0; i < t->seconds; i++) {
        const struct fh_tally_second *s = &t->second[i];
        json_t *row = json_pack("{sIsIsI}", "second", (json_int_t)i, "ops", (json_int_t)s->ok,
                                "failed", (json_int_t)s->failed);

        if (s->strip != NULL)
            json_object_update_new(
                row, json_pack("{sIsIsI}", "p50_ns", (json_int_t)fh_strip_percentile(s->strip, 50),
                               "p99_ns", (json_int_t)fh_strip_percentile(s->strip, 99), "max_ns",
                               (json_int_t)s->strip->max_ns));
        json_array_append_new(rows, row);
    }
    return rows;
}

static int round_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double round_median(double *values, uint32_t count)
{
    qsort(values, count, sizeof(*values), round_order);
    return count == 0 ? 0.0 : (values[count / 2] + values[(count - 1) / 2]) / 2;
}

/* A row per round, and the medians over them: they bear a round that something disturbed. */
static void json_rounds(json_t *doc, const struct fh_side *s)
{
    double rates[FH_ROUNDS_MAX], cpus[FH_ROUNDS_MAX];
    json_t *rows = json_array();

    for (uint32_t i = 0; i < s->round_count; i++) {
        rates[i] = s->round[i].ops_per_second;
        cpus[i] = s->round[i].cpu_ns_per_op;
        json_array_append_new(rows, json_pack("[ff]", rates[i], cpus[i]));
    }
    json_object_set_new(doc, "rounds", rows);
    json_object_set_new(doc, "median_ops_per_second",
                        json_real(round_median(rates, s->round_count)));
    if (s->total.cpu_ns > 0)
        json_object_set_new(doc, "median_server_cpu_ns_per_op",
                            json_real(round_median(cpus, s->round_count)));
}

static json_t *json_info(const struct fh_server_info *s)
{
    return json_pack("{sIsIsIsIsIsIsI}", "faults_first_write", (json_int_t)s->faults_first_write,
                     "faults_swap", (json_int_t)s->faults_swap, "faults_copy_on_write",
                     (json_int_t)s->faults_copy_on_write, "reclaimed", (json_int_t)s->reclaimed,
                     "frames_used", (json_int_t)s->frames_used, "swap_used_bytes",
                     (json_int_t)s->swap_used_bytes, "rss_bytes", (json_int_t)s->rss_bytes);
}

static json_t *json_step(const struct fh_step *s)
{
    json_t *row =
        json_pack("{sfsfsfsfsIsIsIsIsIsI}", "rate", s->rate, "ops_per_second", s->ops_per_second,
                  "rate_percent", s->rate_percent, "server_cpu_ns_per_op", s->server_cpu_ns_per_op,
                  "failed", (json_int_t)s->failed, "p50_ns", (json_int_t)s->p50_ns, "p99_ns",
                  (json_int_t)s->p99_ns, "p99.9_ns", (json_int_t)s->p999_ns, "max_ns",
                  (json_int_t)s->max_ns, "service_p99_ns", (json_int_t)s->service_p99_ns);

    json_object_set_new(row, "broke", s->broke != NULL ? json_string(s->broke) : json_null());
    return row;
}

static void json_ramp(json_t *doc, const struct fh_side *s)
{
    json_t *rows = json_array();

    for (uint32_t i = 0; i < s->step_count; i++)
        json_array_append_new(rows, json_step(&s->step[i]));
    json_object_set_new(doc, "ramp", rows);
    json_object_set_new(doc, "ramp_held_rate",
                        s->step_best > 0 ? json_real(s->step_best) : json_null());
}

static json_t *json_side(const struct fh_bench_options *o, const struct fh_side *s)
{
    const struct fh_tally *t = &s->total;
    json_t *ops = json_object();
    json_t *statuses = json_object();
    json_t *doc = json_pack("{ssss}", "label", s->target->label, "address", s->target->address);

    for (int op = 0; op < FH_OPS; op++)
        if (o->mix[op] > 0 || t->ops[op].latency.count > 0)
            json_object_set_new(ops, fh_op_name((enum fh_op)op), json_op(o, t, (enum fh_op)op));
    for (int i = 1; i < FH_TALLY_STATUSES; i++)
        if (t->status[i] > 0)
            json_object_set_new(statuses, fh_strstatus((fh_status)i), whole(t->status[i]));
    json_object_set_new(doc, "ops", ops);
    json_object_set_new(doc, "errors", whole(fh_tally_failed(t)));
    json_object_set_new(doc, "errors_by_status", statuses);
    json_object_set_new(doc, "fill_bytes", whole(s->fill_bytes));
    json_object_set_new(doc, "fill_seconds", json_real(s->fill_seconds));
    json_object_set_new(doc, "elapsed_ns", whole(t->elapsed_ns));
    if (o->rate > 0) {
        json_object_set_new(doc, "rate_percent", json_real(fh_tally_rate_percent(t)));
        json_object_set_new(doc, "due", whole(t->due));
        json_object_set_new(doc, "sent", whole(t->sent));
        json_object_set_new(doc, "send_lag", json_hist(o, &t->lag));
    }
    if (t->cpu_ns > 0 && t->all > 0)
        json_object_set_new(doc, "server_cpu_ns_per_op",
                            json_real((double)t->cpu_ns / (double)t->all));
    if (s->informed) {
        json_object_set_new(doc, "server_version", json_string(s->before.version));
        json_object_set_new(doc, "server_before", json_info(&s->before));
        json_object_set_new(doc, "server_after", json_info(&s->after));
    }
    if (t->all > 0) {
        json_object_set_new(doc, "own_cpu_ns_per_op",
                            json_real((double)t->own_cpu_ns / (double)t->all));
        json_object_set_new(doc, "own_busy_percent", json_real(fh_tally_busy_percent(t)));
    }
    if (o->ramp_by > 0)
        json_ramp(doc, s);
    json_rounds(doc, s);
    json_object_set_new(doc, "seconds", json_seconds(t));
    return doc;
}

static json_t *json_host(void)
{
    char system[4 * 65] = "";
    struct utsname u;

    if (uname(&u) == 0)
        snprintf(system, sizeof(system), "%s %s %s", u.sysname, u.release, u.machine);
    return json_pack("{sIss}", "cpus", (json_int_t)sysconf(_SC_NPROCESSORS_ONLN), "system", system);
}

int fh_report_json(const struct fh_run *run, const char *path)
{
    json_t *targets = json_array();
    json_t *doc = json_pack("{sssss{ss}sososo}", "schema", "farheap-bench/1", "version",
                            FARHEAP_VERSION, "build", "compiler", __VERSION__, "options",
                            json_options(run->o), "targets", targets, "host", json_host());
    int rc;

    if (doc == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < run->side_count; i++)
        json_array_append_new(targets, json_side(run->o, &run->sides[i]));
    errno = EIO;
    rc = json_dump_file(doc, path, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    json_decref(doc);
    return rc == 0 ? 0 : -errno;
}
