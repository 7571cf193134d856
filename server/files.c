/*
 * Theory.  A job is a message: it goes to the thread's box, is done there, and comes home to the
 * asker's box. Whoever finds a box closed frees it. A stop is a message too, so what was asked
 * before it is done before it.
 *
 * Invariants
 *   [I1] a job that was started comes home once, or is freed because home has ended
 */
#include "files.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool job_visit(void *ctx, const struct fh_file_entry *entry)
{
    struct fh_file_job *job = ctx;

    if (job->limit != 0 && job->entries == job->limit)
        return false;
    size_t size = job->pack(entry, job->body + job->size, sizeof job->body - job->size);
    job->size += size;
    job->entries += size > 0;
    return size > 0;
}

static void job_do(struct fh_file_job *job)
{
    const struct fh_exports *exports = job->files->exports;

    if (job->kind == FH_FILE_JOB_OPEN)
        job->rc = fh_exports_file(exports, &job->wish, &job->found);
    else
        job->rc = fh_exports_list(exports, &job->wish, &job->cursor, job_visit, job);
    if (job->rc != 0)
        job->found.fd = -1;
}

static void job_home(struct fh_message *message, void *owner)
{
    struct fh_file_job *job = FH_CONTAINER_OF(message, struct fh_file_job, message);

    if (owner && !job->abandoned)
        job->done(job);
    fh_file_job_free(job);
}

static void job_run(struct fh_message *message, void *owner)
{
    struct fh_file_job *job = FH_CONTAINER_OF(message, struct fh_file_job, message);

    job->rc = -ESHUTDOWN;
    if (owner)
        job_do(job);
    job->message.run = job_home;
    if (!fh_mailbox_post(job->home, &job->message))
        fh_file_job_free(job);
}

static void stop_run(struct fh_message *message, void *owner)
{
    struct fh_files *files = owner;

    (void)message;
    files->stopping = true;
}

static void *files_main(void *arg)
{
    struct fh_files *files = arg;

    while (!files->stopping) {
        struct pollfd event = {.fd = files->mailbox.event_fd, .events = POLLIN};
        (void)poll(&event, 1, -1);
        fh_mailbox_run(&files->mailbox, files);
    }
    return NULL;
}

int fh_files_init(struct fh_files *files, const struct fh_exports *exports)
{
    sigset_t all, before;
    int rc;

    memset(files, 0, sizeof *files);
    files->exports = exports;
    files->stop.run = stop_run;
    if ((rc = fh_mailbox_init(&files->mailbox)) != 0)
        return rc;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* signals are the main thread's */
    rc = -pthread_create(&files->thread, NULL, files_main, files);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        fh_mailbox_fini(&files->mailbox);
    return rc;
}

void fh_files_fini(struct fh_files *files)
{
    bool posted = fh_mailbox_post(&files->mailbox, &files->stop);

    FH_ASSERT(posted); /* nobody else closes it */
    pthread_join(files->thread, NULL);
    fh_mailbox_close(&files->mailbox);
    fh_mailbox_fini(&files->mailbox);
}

struct fh_file_job *fh_file_job_create(struct fh_files *files, enum fh_file_job_kind kind,
                                       struct fh_mailbox *home, void *ctx)
{
    struct fh_file_job *job = malloc(sizeof *job);

    if (!job)
        return NULL;
    memset(job, 0, offsetof(struct fh_file_job, body));
    job->message.run = job_run;
    job->kind = kind;
    job->home = home;
    job->ctx = ctx;
    job->files = files;
    job->found.fd = -1;
    return job;
}

void fh_file_job_free(struct fh_file_job *job)
{
    if (job->found.fd >= 0)
        close(job->found.fd);
    free(job);
}

bool fh_file_job_start(struct fh_file_job *job)
{
    if (fh_mailbox_post(&job->files->mailbox, &job->message))
        return true;
    fh_file_job_free(job);
    return false;
}
