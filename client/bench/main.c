/*
 * Theory.  Parse, run, report, judge. SIGINT and SIGTERM are blocked so that an interrupted run
 * still cleans up behind itself and shows what it has measured.
 */
#include "client/bench/bench.h"

#include "client/bench/report.h"

#include <signal.h>
#include <stdlib.h>

/* The exit code of a run that went through: did anything succeed, do all gates hold? */
static int bench_judge(const struct fh_run *run, FILE *out)
{
    bool gates = fh_report_gates(run, out);

    for (uint32_t i = 0; i < run->side_count; i++) {
        if (fh_tally_ok(&run->sides[i].total) > 0)
            continue;
        fprintf(stderr, "farheap: bench: %s: not one request succeeded\n",
                run->sides[i].target->label);
        return 1;
    }
    return gates ? 0 : 1;
}

static int bench_report(const struct fh_run *run, int rc)
{
    const struct fh_bench_options *o = run->o;
    FILE *out = o->quiet ? NULL : stdout;
    int written;

    if (out != NULL)
        fh_report_print(run, out);
    written = fh_report_files(run);
    if (rc == 0)
        rc = bench_judge(run, out);
    return rc == 0 && written != 0 ? 1 : rc;
}

/* The number of objects that --overcommit means for this server. */
static int bench_size(struct fh_bench_options *o)
{
    struct fh_server_info info;

    if (!(o->overcommit > 0))
        return 0;
    if (!fh_server_info_read(o->targets[0].address, &o->client, &info) || info.frames_total == 0) {
        fprintf(stderr, "farheap: bench: %s: it does not tell its memory; use --keys\n",
                o->targets[0].address);
        return fh_run_exit_code(FH_CONNECTION);
    }
    fh_bench_options_overcommit(o, info.frames_total * 4096);
    return 0;
}

static int bench_run(const struct fh_bench_options *o)
{
    struct fh_run *run = calloc(1, sizeof(*run));
    uint64_t measured = 0;
    int rc;

    if (run == NULL)
        return fh_run_exit_code(FH_NO_MEMORY);
    rc = fh_run_all(run, o);
    for (uint32_t i = 0; i < run->side_count; i++)
        measured += run->sides[i].total.all;
    /* A run that never came to measure has said why; a table of zeros would bury it. */
    if (rc == 0 || measured > 0)
        rc = bench_report(run, rc);
    fh_run_fini(run);
    free(run);
    return rc;
}

int fh_bench_main(int argc, char **argv)
{
    struct fh_bench_options *o = calloc(1, sizeof(*o));
    sigset_t signals;
    int rc;

    if (o == NULL)
        return fh_run_exit_code(FH_NO_MEMORY);
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    rc = fh_bench_options_parse(o, argc, argv);
    if (rc == 0)
        rc = bench_size(o);
    if (rc == 0)
        rc = bench_run(o);
    free(o);
    return rc == FH_OPTIONS_DONE ? 0 : rc;
}
