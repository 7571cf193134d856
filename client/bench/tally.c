/*
 * Theory.  Two times are kept of each request of an open loop: from when it was due, which is what
 * a user of that rate would have waited, and from when it was sent, which is the server's part.
 * Failures   are kept apart, so that a quick refusal does not improve the percentiles.
 *
 * Merging rounds adds times up (they ran one after the other) and rows of seconds one by one (the
 * threads of a round ran together); fh_tally_merge does neither for window and elapsed: its caller
 * knows which of the two it is doing.
 *
 * Invariants
 *   [I1] sum of status == sum of failed; ok + failed <= all
 */
#include "client/bench/tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int fh_tally_init(struct fh_tally *t, bool open_loop)
{
    memset(t, 0, sizeof(*t));
    for (int op = 0; op < FH_OPS; op++) {
        if (fh_hist_init(&t->ops[op].latency) != 0)
            goto out;
        if (open_loop && fh_hist_init(&t->ops[op].service) != 0)
            goto out;
    }
    if (!open_loop || fh_hist_init(&t->lag) == 0)
        return 0;
out:
    fh_tally_fini(t);
    return -ENOMEM;
}

void fh_tally_fini(struct fh_tally *t)
{
    for (int op = 0; op < FH_OPS; op++) {
        fh_hist_fini(&t->ops[op].latency);
        fh_hist_fini(&t->ops[op].service);
    }
    fh_hist_fini(&t->lag);
    for (uint32_t i = 0; i < t->seconds; i++)
        free(t->second[i].strip);
    t->seconds = 0;
}

static void tally_merge_op(struct fh_tally_op *into, const struct fh_tally_op *from)
{
    fh_hist_merge(&into->latency, &from->latency);
    fh_hist_merge(&into->service, &from->service);
    into->bytes += from->bytes;
    into->failed += from->failed;
    into->failed_sum_ns += from->failed_sum_ns;
    if (from->failed_max_ns > into->failed_max_ns)
        into->failed_max_ns = from->failed_max_ns;
}

static struct fh_strip *second_strip(struct fh_tally_second *s)
{
    if (s->strip == NULL)
        s->strip = calloc(1, sizeof(*s->strip));
    return s->strip;
}

static void tally_merge_second(struct fh_tally_second *into, const struct fh_tally_second *from)
{
    into->ok += from->ok;
    into->failed += from->failed;
    if (from->strip != NULL && second_strip(into) != NULL)
        fh_strip_merge(into->strip, from->strip);
}

void fh_tally_merge(struct fh_tally *into, const struct fh_tally *from)
{
    for (int op = 0; op < FH_OPS; op++)
        tally_merge_op(&into->ops[op], &from->ops[op]);
    fh_hist_merge(&into->lag, &from->lag);
    for (int i = 0; i < FH_TALLY_STATUSES; i++)
        into->status[i] += from->status[i];
    into->due += from->due;
    into->sent += from->sent;
    into->all += from->all;
    into->cpu_ns += from->cpu_ns;
    into->own_cpu_ns += from->own_cpu_ns;
    into->busy_of_ns += from->busy_of_ns;
    if (from->seconds > into->seconds)
        into->seconds = from->seconds;
    for (uint32_t i = 0; i < from->seconds; i++)
        tally_merge_second(&into->second[i], &from->second[i]);
}

static void tally_add_failed(struct fh_tally *t, const struct fh_request *r, uint64_t took)
{
    struct fh_tally_op *o = &t->ops[r->row];

    o->failed++;
    o->failed_sum_ns += (double)took;
    if (took > o->failed_max_ns)
        o->failed_max_ns = took;
    if ((unsigned)r->status < FH_TALLY_STATUSES)
        t->status[r->status]++;
    else
        t->status[FH_PROTOCOL]++;
}

void fh_tally_add(struct fh_tally *t, const struct fh_request *r, uint64_t now_ns, uint64_t second)
{
    struct fh_tally_op *o = &t->ops[r->row];
    uint32_t row = second < FH_TALLY_SECONDS ? (uint32_t)second : FH_TALLY_SECONDS - 1;
    struct fh_tally_second *s = &t->second[row];

    if (row >= t->seconds)
        t->seconds = row + 1;
    if (o->service.counts != NULL)
        fh_hist_record(&t->lag, r->sent_ns - r->due_ns);
    if (r->status != FH_OK) {
        s->failed++;
        tally_add_failed(t, r, now_ns - r->due_ns);
        return;
    }
    s->ok++;
    if (second_strip(s) != NULL)
        fh_strip_record(s->strip, now_ns - r->due_ns);
    fh_hist_record(&o->latency, now_ns - r->due_ns);
    if (o->service.counts != NULL)
        fh_hist_record(&o->service, now_ns - r->sent_ns);
    o->bytes += r->got;
}

uint64_t fh_tally_ok(const struct fh_tally *t)
{
    uint64_t sum = 0;

    for (int op = 0; op < FH_OPS; op++)
        sum += t->ops[op].latency.count;
    return sum;
}

uint64_t fh_tally_failed(const struct fh_tally *t)
{
    uint64_t sum = 0;

    for (int op = 0; op < FH_OPS; op++)
        sum += t->ops[op].failed;
    return sum;
}

double fh_tally_rate_percent(const struct fh_tally *t)
{
    double stretched = 1.0;

    if (t->due == 0)
        return 100.0;
    if (t->elapsed_ns > t->window_ns)
        stretched = (double)t->window_ns / (double)t->elapsed_ns;
    return 100.0 * (double)t->sent / (double)t->due * stretched;
}

double fh_tally_busy_percent(const struct fh_tally *t)
{
    return t->busy_of_ns == 0 ? 0.0 : 100.0 * (double)t->own_cpu_ns / (double)t->busy_of_ns;
}
