/*
 * Theory.  Between phases no thread exists, so what the workers left behind is read without locks.
 * The time a server's process used is taken around the whole round and divided by all its requests,
 * warm-up included.
 */
#include "client/bench/side.h"

#include "client/bench/live.h"
#include "client/bench/proc.h"
#include "client/bench/run.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct job {
    struct fh_worker *worker;
    const struct fh_stint *stint;
    _Atomic uint32_t *finished;
};

static int run_fail(const struct fh_side *s, const char *doing, fh_status status, const char *why)
{
    fprintf(stderr, "farheap: bench: %s: %s: %s%s%s\n", s->target->label, doing,
            fh_strstatus(status), why[0] != '\0' ? ": " : "", why);
    return fh_run_exit_code(status);
}

static void *job_main(void *argument)
{
    struct job *j = argument;

    fh_worker_run(j->worker, j->stint);
    atomic_fetch_add(j->finished, 1);
    return NULL;
}

static uint64_t side_done(const struct fh_run *run, struct fh_side *s)
{
    uint64_t done = 0;

    for (uint32_t i = 0; i < run->o->threads; i++)
        done += atomic_load(&s->workers[i].done);
    return done;
}

static uint64_t side_failed(const struct fh_run *run, struct fh_side *s)
{
    uint64_t failed = 0;

    for (uint32_t i = 0; i < run->o->threads; i++)
        failed += atomic_load(&s->workers[i].failures);
    return failed;
}

static void side_show(const struct fh_run *run, struct fh_side *s, const struct fh_stint *stint,
                      struct fh_live *live, uint64_t now)
{
    static const char *const words[] = {"storing", "allocating", "writing",
                                        "running", "deleting",   "freeing"};
    struct fh_live_state state = {.label = s->target->label,
                                  .doing = words[stint->phase],
                                  .done = side_done(run, s),
                                  .failed = side_failed(run, s),
                                  .start_ns = stint->start_ns};

    if (stint->phase != FH_PHASE_RUN)
        state.all = run->o->keys;
    else if (stint->end_ns == UINT64_MAX)
        state.all = stint->requests;
    else
        state.end_ns = stint->end_ns;
    fh_live_tell(live, &state, now);
}

/* Until all threads have finished: look for signals, show how it goes. */
static void side_attend(struct fh_run *run, struct fh_side *s, const struct fh_stint *stint,
                        _Atomic uint32_t *finished, uint32_t threads)
{
    const struct timespec tick = {.tv_nsec = 10000000};
    struct fh_live live;
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    fh_live_begin(&live, run->o->quiet, fh_proc_now());
    while (atomic_load(finished) < threads) {
        if (sigtimedwait(&signals, NULL, &tick) > 0) {
            run->interrupted = true;
            atomic_store(&s->workload.stop, true);
        }
        side_show(run, s, stint, &live, fh_proc_now());
    }
    fh_live_end(&live);
}

static int side_phase(struct fh_run *run, struct fh_side *s, const struct fh_stint *stint)
{
    uint32_t threads = run->o->threads;
    pthread_t *ids = calloc(threads, sizeof(*ids));
    struct job *jobs = calloc(threads, sizeof(*jobs));
    _Atomic uint32_t finished = 0;
    uint32_t started = 0;

    atomic_store(&s->workload.cursor, 0);
    for (; ids != NULL && jobs != NULL && started < threads; started++) {
        jobs[started] = (struct job){&s->workers[started], stint, &finished};
        if (pthread_create(&ids[started], NULL, job_main, &jobs[started]) != 0) {
            atomic_store(&s->workload.stop, true);
            break;
        }
    }
    side_attend(run, s, stint, &finished, started);
    for (uint32_t i = 0; i < started; i++)
        pthread_join(ids[i], NULL);
    free(ids);
    free(jobs);
    return started == threads ? 0 : run_fail(s, "starting threads", FH_NO_MEMORY, "");
}

static int side_alloc(struct fh_run *run, struct fh_side *s)
{
    const struct fh_bench_options *o = run->o;

    s->workers = calloc(o->threads, sizeof(*s->workers));
    s->per_thread = calloc(o->threads, sizeof(*s->per_thread));
    if (s->workers == NULL || s->per_thread == NULL || fh_workload_init(&s->workload, o) != 0 ||
        fh_tally_init(&s->total, o->rate > 0) != 0)
        return -1;
    for (uint32_t i = 0; i < o->threads; i++)
        if (fh_tally_init(&s->per_thread[i], o->rate > 0) != 0)
            return -1;
    return 0;
}

int fh_side_open(struct fh_run *run, struct fh_side *s, const struct fh_target *t)
{
    s->target = t;
    run->side_count++;
    if (side_alloc(run, s) != 0)
        return run_fail(s, "starting", FH_NO_MEMORY, "");
    for (uint32_t i = 0; i < run->o->threads; i++) {
        struct fh_worker *k = &s->workers[i];
        fh_status status = fh_worker_open(k, run->o, t, &s->workload, i);

        if (status != FH_OK)
            return run_fail(s, "connecting", status, k->why);
        k->tally = &s->per_thread[i];
    }
    return 0;
}

void fh_side_close(struct fh_run *run, struct fh_side *s)
{
    for (uint32_t i = 0; i < run->o->threads; i++) {
        if (s->workers != NULL)
            fh_worker_close(&s->workers[i]);
        if (s->per_thread != NULL)
            fh_tally_fini(&s->per_thread[i]);
    }
    free(s->workers);
    free(s->per_thread);
    fh_workload_fini(&s->workload);
    fh_tally_fini(&s->total);
}

/* One of the phases of a fill, of which each request must succeed. */
static int side_fill_phase(struct fh_run *run, struct fh_side *s, enum fh_phase phase)
{
    const struct fh_stint stint = {.phase = phase, .end_ns = UINT64_MAX};
    int rc = side_phase(run, s, &stint);

    if (rc != 0 || run->interrupted)
        return rc != 0 ? rc : 130;
    for (uint32_t i = 0; i < run->o->threads; i++) {
        if (s->workers[i].stuck)
            return run_fail(s, "storing the objects", FH_TIMEOUT, "replies never came");
        if (s->workers[i].failed != FH_OK)
            return run_fail(s, "storing the objects", s->workers[i].failed,
                            fh_hint(s->workers[i].failed));
    }
    return 0;
}

static uint64_t fill_bytes(const struct fh_bench_options *o)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < o->keys; i++)
        sum += fh_sizes_of(&o->sizes, i, o->seed);
    return sum;
}

int fh_side_fill(struct fh_run *run, struct fh_side *s)
{
    uint64_t began = fh_proc_now();
    int rc = 0;

    if (fh_workload_uses_names(&s->workload)) {
        rc = side_fill_phase(run, s, FH_PHASE_FILL_NAMES);
        s->fill_bytes += fill_bytes(run->o);
    }
    if (rc == 0 && fh_workload_uses_handles(&s->workload)) {
        s->fill_bytes += fill_bytes(run->o);
        if ((rc = side_fill_phase(run, s, FH_PHASE_FILL_ALLOC)) == 0)
            rc = side_fill_phase(run, s, FH_PHASE_FILL_WRITE);
    }
    s->fill_seconds = (double)(fh_proc_now() - began) / 1e9;
    return rc;
}

/* Adds what the threads counted to the total, and empties their tallies. */
static void side_gather(struct fh_run *run, struct fh_side *s, const struct fh_stint *stint)
{
    uint64_t last = stint->measure_ns;

    for (uint32_t i = 0; i < run->o->threads; i++) {
        struct fh_worker *k = &s->workers[i];

        fh_tally_merge(&s->total, k->tally);
        fh_tally_fini(k->tally);
        if (fh_tally_init(k->tally, run->o->rate > 0) != 0)
            atomic_store(&s->workload.stop, true);
        if (k->last_reply_ns > last)
            last = k->last_reply_ns;
    }
    s->total.window_ns += (stint->end_ns == UINT64_MAX ? last : stint->end_ns) - stint->measure_ns;
    s->total.elapsed_ns += last - stint->measure_ns;
    s->total.busy_of_ns += (last - stint->start_ns) * run->o->threads;
}

/* What this round added to the total, for the medians. */
static void side_note_round(struct fh_side *s, uint64_t all, uint64_t ok, uint64_t elapsed_ns,
                            uint64_t cpu_ns)
{
    const struct fh_tally *t = &s->total;
    struct fh_round *r = &s->round[s->round_count];

    if (s->round_count < FH_ROUNDS_MAX)
        s->round_count++;
    else
        return;
    if (t->elapsed_ns > elapsed_ns)
        r->ops_per_second =
            (double)(fh_tally_ok(t) - ok) * 1e9 / (double)(t->elapsed_ns - elapsed_ns);
    if (t->all > all)
        r->cpu_ns_per_op = (double)(t->cpu_ns - cpu_ns) / (double)(t->all - all);
}

/* CPU time of the server's process so far: from /proc, or as it says itself; 0 = not known. */
static uint64_t side_cpu_ns(struct fh_run *run, const struct fh_side *s)
{
    struct fh_server_info info;

    if (s->target->pid != 0)
        return fh_proc_cpu_ns(s->target->pid);
    if (!run->o->server_stats || s->target->class != &fh_driver_farheap ||
        !fh_server_info_read(s->target->address, &run->o->client, &info))
        return 0;
    return info.cpu_ns;
}

int fh_side_round(struct fh_run *run, struct fh_side *s, const struct fh_pace *pace)
{
    struct fh_stint stint = {.phase = FH_PHASE_RUN, .round = pace->round, .rate = pace->rate};
    const struct fh_tally *t = &s->total;
    uint64_t all = t->all, ok = fh_tally_ok(t), elapsed_ns = t->elapsed_ns, cpu_ns = t->cpu_ns;
    uint64_t cpu = side_cpu_ns(run, s);
    int rc;

    stint.start_ns = fh_proc_now();
    stint.measure_ns = stint.start_ns + run->o->warmup_ns;
    stint.end_ns = pace->requests > 0 ? UINT64_MAX : stint.measure_ns + pace->duration_ns;
    stint.requests = pace->requests;
    rc = side_phase(run, s, &stint);
    side_gather(run, s, &stint);
    if (cpu > 0)
        s->total.cpu_ns += side_cpu_ns(run, s) - cpu;
    side_note_round(s, all, ok, elapsed_ns, cpu_ns);
    for (uint32_t i = 0; rc == 0 && i < run->o->threads; i++)
        if (s->workers[i].stuck)
            rc = run_fail(s, "running", FH_TIMEOUT, "replies never came");
    return rc;
}

int fh_side_verdict(const struct fh_side *s)
{
    const struct fh_verify_fault *f = &s->workload.fault;

    if (!atomic_load(&s->workload.faulty))
        return 0;
    fprintf(stderr,
            "farheap: bench: %s: verify: object %llu, page %llu: %s: expected %llu..%llu, found "
            "%llu",
            s->target->label, (unsigned long long)f->object, (unsigned long long)f->page, f->what,
            (unsigned long long)f->expected_min, (unsigned long long)f->expected_max,
            (unsigned long long)f->found);
    if (f->located)
        fprintf(stderr, "; the first wrong byte is %llu: 0x%02x, should be 0x%02x",
                (unsigned long long)f->byte, f->byte_found, f->byte_expected);
    fputc('\n', stderr);
    return 7;
}

void fh_side_inform(struct fh_run *run, struct fh_side *s, struct fh_server_info *out)
{
    if (run->o->server_stats && s->target->class == &fh_driver_farheap)
        s->informed = fh_server_info_read(s->target->address, &run->o->client, out);
}

void fh_side_clean(struct fh_run *run, struct fh_side *s)
{
    struct fh_stint stint = {.phase = FH_PHASE_CLEAN_NAMES, .end_ns = UINT64_MAX};

    if (s->workers == NULL || run->o->keep)
        return;
    for (uint32_t i = 0; i < run->o->threads; i++)
        if (s->workers[i].stuck || s->workers[i].tally == NULL)
            return;
    if (fh_workload_uses_names(&s->workload))
        (void)side_phase(run, s, &stint);
    stint.phase = FH_PHASE_CLEAN_FREE;
    if (fh_workload_uses_handles(&s->workload) || run->o->mix[FH_OP_ALLOC] > 0 ||
        run->o->mix[FH_OP_FREE] > 0)
        (void)side_phase(run, s, &stint);
}
