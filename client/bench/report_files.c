/*
 * Theory.  What other tools read: a line per second as CSV, and the histograms in HdrHistogram's
 * two formats. In an open loop an operation has two histograms: latency counts from the intended
 * time, service from the time it was sent; the second is written as get.service.
 */
#include "client/bench/hdr.h"
#include "client/bench/plot.h"
#include "client/bench/report.h"

#include <errno.h>
#include <string.h>
#include <time.h>

typedef int hist_fn(const struct fh_hist *, const char *name, void *context);

static int file_close(FILE *f)
{
    int bad = ferror(f);

    return fclose(f) != 0 || bad ? -EIO : 0;
}

static int csv_side(const struct fh_side *s, FILE *f)
{
    for (uint32_t i = 0; i < s->total.seconds; i++) {
        const struct fh_tally_second *row = &s->total.second[i];

        fprintf(f, "%s,%u,%u,%u", s->target->label, i, row->ok, row->failed);
        if (row->strip == NULL)
            fputs(",,,,\n", f);
        else
            fprintf(f, ",%llu,%llu,%llu,%llu\n",
                    (unsigned long long)fh_strip_percentile(row->strip, 50),
                    (unsigned long long)fh_strip_percentile(row->strip, 99),
                    (unsigned long long)fh_strip_percentile(row->strip, 99.9),
                    (unsigned long long)row->strip->max_ns);
    }
    return 0;
}

static int write_csv(const struct fh_run *run, const char *path)
{
    FILE *f = fopen(path, "we");

    if (f == NULL)
        return -errno;
    fputs("target,second,ops,failed,p50_ns,p99_ns,p99.9_ns,max_ns\n", f);
    for (uint32_t i = 0; i < run->side_count; i++)
        (void)csv_side(&run->sides[i], f);
    return file_close(f);
}

/* Each histogram of the run that has something in it, under its name. */
static int each_hist(const struct fh_run *run, hist_fn *each, void *context)
{
    int rc = 0;

    for (uint32_t i = 0; i < run->side_count; i++) {
        const struct fh_side *s = &run->sides[i];
        const char *of = run->side_count > 1 ? s->target->label : "";

        for (int op = 0; op < FH_OPS && rc == 0; op++) {
            const struct fh_tally_op *o = &s->total.ops[op];
            char name[64];

            if (o->latency.count == 0)
                continue;
            snprintf(name, sizeof(name), "%s%s%s", of, *of != '\0' ? "." : "",
                     fh_op_name((enum fh_op)op));
            rc = each(&o->latency, name, context);
            strcat(name, ".service");
            if (rc == 0 && o->service.counts != NULL)
                rc = each(&o->service, name, context);
        }
    }
    return rc;
}

static int hgrm_write(const struct fh_hist *h, const char *name, void *prefix)
{
    char path[4096];
    FILE *f;

    if (snprintf(path, sizeof(path), "%s.%s.hgrm", (const char *)prefix, name) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    if ((f = fopen(path, "we")) == NULL)
        return -errno;
    fh_hdr_write_text(h, f);
    return file_close(f);
}

struct log_file {
    FILE *f;
    double seconds;
};

static int hlog_write(const struct fh_hist *h, const char *name, void *context)
{
    struct log_file *log = context;

    return fh_hdr_write_log_line(h, name, log->seconds, log->f);
}

static int write_hlog(const struct fh_run *run, const char *path)
{
    struct log_file log = {.f = fopen(path, "we")};
    int written;
    int rc;

    if (log.f == NULL)
        return -errno;
    for (uint32_t i = 0; i < run->side_count; i++)
        log.seconds += (double)run->sides[i].total.elapsed_ns / 1e9;
    fh_hdr_write_log_head(log.f, (double)time(NULL) - log.seconds);
    rc = each_hist(run, hlog_write, &log);
    written = file_close(log.f);
    return rc != 0 ? rc : written;
}

static int told(int rc, const char *path)
{
    if (rc != 0)
        fprintf(stderr, "farheap: bench: %s: %s\n", path, strerror(-rc));
    return rc;
}

int fh_report_files(const struct fh_run *run)
{
    const struct fh_bench_options *o = run->o;
    char prefix[4096];
    int rc = 0;

    if (o->json_path != NULL)
        rc |= told(fh_report_json(run, o->json_path), o->json_path);
    if (o->csv_path != NULL)
        rc |= told(write_csv(run, o->csv_path), o->csv_path);
    if (o->hlog_path != NULL)
        rc |= told(write_hlog(run, o->hlog_path), o->hlog_path);
    if (o->plot_path != NULL)
        rc |= told(fh_plot_write(run, o->plot_path), o->plot_path);
    if (o->hgrm_prefix != NULL) {
        snprintf(prefix, sizeof(prefix), "%s", o->hgrm_prefix);
        rc |= told(each_hist(run, hgrm_write, prefix), o->hgrm_prefix);
    }
    return rc;
}
