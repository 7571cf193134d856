/*
 * Theory.  Targets are all filled first and then take turns, a round each, so that a machine that
 * warms up or gets busy treats them alike; round r has the same seed on every target. Between
 * phases no thread exists, so what the workers left behind is read without locks. The time a
 * server's process used is taken around the whole round and divided by all its requests, warm-up
 * included.
 *
 *   fill A, fill B | A round 0, B round 0 | A round 1, B round 1 | ... | clean A, clean B
 */
#include "client/bench/run.h"

#include "client/bench/proc.h"
#include "client/bench/units.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROUNDS = 3 }; /* when there is more than one target, and nothing else was asked for */

struct job {
    struct fh_worker *worker;
    const struct fh_stint *stint;
    _Atomic uint32_t *finished;
};

int fh_run_exit_code(fh_status status)
{
    switch (status) {
    case FH_OK:
        return 0;
    case FH_NOT_FOUND:
    case FH_STALE:
        return 3;
    case FH_BUSY:
    case FH_TIMEOUT:
    case FH_DRAINING:
    case FH_WRONG_ZONE:
    case FH_CONNECTION:
        return 4;
    case FH_UNAUTHENTICATED:
    case FH_PERMISSION:
        return 5;
    case FH_NO_SPACE:
    case FH_QUOTA:
        return 6;
    case FH_DATA_LOST:
        return 7;
    case FH_EXISTS:
    case FH_CONFLICT:
        return 8;
    default:
        return 1;
    }
}

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

static void progress_show(const struct fh_run *run, struct fh_side *s, const struct fh_stint *stint)
{
    static const char *const words[] = {"storing", "allocating", "writing",
                                        "running", "deleting",   "freeing"};
    char done[FH_UNITS_TEXT];
    char keys[FH_UNITS_TEXT];

    if (run->o->quiet || !isatty(STDERR_FILENO))
        return;
    fh_units_show_count(done, side_done(run, s));
    fh_units_show_count(keys, run->o->keys);
    if (stint->phase == FH_PHASE_RUN)
        fprintf(stderr, "\r\033[K%s: round %u, %s requests", s->target->label, stint->round + 1,
                done);
    else
        fprintf(stderr, "\r\033[K%s: %s, %s of %s", s->target->label, words[stint->phase], done,
                keys);
}

static void progress_clear(const struct fh_run *run)
{
    if (!run->o->quiet && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

/* Until all threads have finished: look for signals, show progress ten times a second. */
static void side_attend(struct fh_run *run, struct fh_side *s, const struct fh_stint *stint,
                        _Atomic uint32_t *finished, uint32_t threads)
{
    const struct timespec tick = {.tv_nsec = 10000000};
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    for (uint64_t ticks = 1; atomic_load(finished) < threads; ticks++) {
        if (sigtimedwait(&signals, NULL, &tick) > 0) {
            run->interrupted = true;
            atomic_store(&s->workload.stop, true);
        }
        if (ticks % 10 == 0)
            progress_show(run, s, stint);
    }
    progress_clear(run);
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

static int side_open(struct fh_run *run, struct fh_side *s, const struct fh_target *t)
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

static void side_close(struct fh_run *run, struct fh_side *s)
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

static int side_fill(struct fh_run *run, struct fh_side *s)
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
}

/* What this round added to the total, for the medians. */
static void side_note_round(struct fh_side *s, uint64_t all, uint64_t ok, uint64_t elapsed_ns,
                            uint64_t cpu_ns)
{
    const struct fh_tally *t = &s->total;
    struct fh_round *r = &s->round[s->round_count++];

    if (t->elapsed_ns > elapsed_ns)
        r->ops_per_second =
            (double)(fh_tally_ok(t) - ok) * 1e9 / (double)(t->elapsed_ns - elapsed_ns);
    if (t->all > all)
        r->cpu_ns_per_op = (double)(t->cpu_ns - cpu_ns) / (double)(t->all - all);
}

static int side_round(struct fh_run *run, struct fh_side *s, uint32_t round)
{
    const struct fh_bench_options *o = run->o;
    struct fh_stint stint = {.phase = FH_PHASE_RUN, .round = round};
    const struct fh_tally *t = &s->total;
    uint64_t all = t->all, ok = fh_tally_ok(t), elapsed_ns = t->elapsed_ns, cpu_ns = t->cpu_ns;
    uint64_t cpu = s->target->pid != 0 ? fh_proc_cpu_ns(s->target->pid) : 0;
    int rc;

    stint.start_ns = fh_proc_now();
    stint.measure_ns = stint.start_ns + o->warmup_ns;
    stint.end_ns = o->requests > 0 ? UINT64_MAX : stint.measure_ns + o->duration_ns / run->rounds;
    stint.requests = o->requests / run->rounds + (round < o->requests % run->rounds);
    if (o->requests > 0 && stint.requests == 0)
        return 0;
    rc = side_phase(run, s, &stint);
    side_gather(run, s, &stint);
    if (s->target->pid != 0)
        s->total.cpu_ns += fh_proc_cpu_ns(s->target->pid) - cpu;
    side_note_round(s, all, ok, elapsed_ns, cpu_ns);
    for (uint32_t i = 0; rc == 0 && i < o->threads; i++)
        if (s->workers[i].stuck)
            rc = run_fail(s, "running", FH_TIMEOUT, "replies never came");
    return rc;
}

static int side_verdict(const struct fh_side *s)
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

static void side_inform(struct fh_run *run, struct fh_side *s, struct fh_server_info *out)
{
    if (run->o->server_stats && s->target->class == &fh_driver_farheap)
        s->informed = fh_server_info_read(s->target->address, &run->o->client, out);
}

static void side_clean(struct fh_run *run, struct fh_side *s)
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

static int run_rounds(struct fh_run *run)
{
    int rc = 0;

    for (uint32_t i = 0; i < run->side_count; i++)
        side_inform(run, &run->sides[i], &run->sides[i].before);
    for (uint32_t round = 0; round < run->rounds; round++) {
        for (uint32_t i = 0; i < run->side_count && rc == 0 && !run->interrupted; i++) {
            rc = side_round(run, &run->sides[i], round);
            if (rc == 0)
                rc = side_verdict(&run->sides[i]);
        }
    }
    for (uint32_t i = 0; i < run->side_count; i++)
        if (run->sides[i].informed)
            side_inform(run, &run->sides[i], &run->sides[i].after);
    return rc;
}

/* True: interrupted. */
static bool run_gap_tick(void)
{
    const struct timespec tick = {.tv_nsec = 50000000};
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    return sigtimedwait(&signals, NULL, &tick) > 0;
}

static void run_gap(struct fh_run *run)
{
    const struct fh_bench_options *o = run->o;
    uint64_t end = fh_proc_now() + o->gap_ns;

    while (!run->interrupted &&
           (o->gap_file != NULL ? access(o->gap_file, F_OK) != 0 : fh_proc_now() < end))
        run->interrupted = run_gap_tick();
}

int fh_run_all(struct fh_run *run, const struct fh_bench_options *o)
{
    int rc = 0;

    memset(run, 0, sizeof(*run));
    run->o = o;
    run->rounds = o->rounds > 0 ? o->rounds : o->target_count > 1 ? ROUNDS : 1;
    for (uint32_t i = 0; i < o->target_count && rc == 0; i++)
        rc = side_open(run, &run->sides[i], &o->targets[i]);
    for (uint32_t i = 0; i < run->side_count && rc == 0; i++)
        rc = side_fill(run, &run->sides[i]);
    if (rc == 0)
        run_gap(run);
    if (rc == 0)
        rc = run_rounds(run);
    for (uint32_t i = 0; i < run->side_count; i++)
        side_clean(run, &run->sides[i]);
    return rc == 0 && run->interrupted ? 130 : rc;
}

void fh_run_fini(struct fh_run *run)
{
    for (uint32_t i = 0; i < run->side_count; i++)
        side_close(run, &run->sides[i]);
}
