/*
 * files: the thread that opens files and lists folders for the zones, so that no loop waits for a
 * disk or a file server.
 *
 * Ownership  a job belongs to whoever created it until start; then to the thread, and at the end to
 *            `done`, after which it is freed with the descriptor that nobody took.
 * Threads    one of its own; start from the zones' threads, `done` on the asker's.
 * Errors     start: false, the thread has ended; the job is freed.
 */
#ifndef FH_SERVER_FILES_H
#define FH_SERVER_FILES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "exports.h"
#include "mailbox.h"

enum fh_file_job_kind { FH_FILE_JOB_OPEN, FH_FILE_JOB_LIST };

struct fh_file_job {
    struct fh_message message;
    enum fh_file_job_kind kind;
    struct fh_mailbox *home; /* the asker's */
    void *ctx;               /* the asker's */
    bool abandoned;          /* nobody wants it any more; the asker's thread only */
    void (*done)(struct fh_file_job *);
    struct fh_file_wish wish;
    int rc;
    struct fh_file_found found; /* of an OPEN that went well; fd = -1: taken */
    uint64_t cursor;            /* of a LIST: in and out */
    /* Packs an entry; 0: it does not fit. */
    size_t (*pack)(const struct fh_file_entry *, uint8_t *out, size_t cap);
    uint32_t limit, entries;
    size_t size;
    uint8_t body[FH_EXPORT_LIST_MAX];
    /* below: the thread's own */
    struct fh_files *files;
};

struct fh_files {
    const struct fh_exports *exports;
    struct fh_mailbox mailbox;
    struct fh_message stop;
    pthread_t thread;
    bool stopping; /* the thread's own */
};

FH_CHECKED int fh_files_init(struct fh_files *, const struct fh_exports *);
/* All zones have ended. */
void fh_files_fini(struct fh_files *);

/* Zeroed; NULL: no memory. */
struct fh_file_job *fh_file_job_create(struct fh_files *, enum fh_file_job_kind,
                                       struct fh_mailbox *home, void *ctx);
void fh_file_job_free(struct fh_file_job *);
FH_CHECKED bool fh_file_job_start(struct fh_file_job *);

#endif
