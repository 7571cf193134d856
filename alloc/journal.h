/*
 * journal: images of pages that are about to be overwritten in place, so that after a crash each
 * page is old or new, never mixed. Log the images; when they are safe, write the pages where they
 * belong, and sync; then tell the journal to forget. Replay, at the next start, does again what was
 * logged and not forgotten. What is asked for while a group is on its way joins the next, so many
 * callers share one fdatasync.
 *
 * Ownership  a batch, its pages and their bytes belong to the journal from log to `logged`; the
 *            struct itself until forget. The descriptors are the caller's.
 * Threads    one zone thread; replay alone waits for its I/O.
 * Errors     batch.result: 0 the images will survive anything; else nothing may be written in
 *            place. -EIO for all once both journal files have failed, until the next start.
 * Cost       each page is written once more; an fdatasync per group of at most FH_JOURNAL_PAGES.
 */
#ifndef FH_ALLOC_JOURNAL_H
#define FH_ALLOC_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "io.h"
#include "list.h"
#include "mem.h"

enum {
    FH_JOURNAL_PAGES = 512,    /* images in a group, and so in a batch at most: 2 MiB */
    FH_JOURNAL_BATCHES = 64,   /* in a group */
    FH_JOURNAL_HEAD_PAGES = 8, /* of a group; a page that names the generation lies before them */
    FH_JOURNAL_TAG_MAX = 4096, /* bytes */
    FH_JOURNAL_FILES = 2,      /* one is written, one in reserve */
    FH_JOURNAL_MOVES = 16,     /* transfers in flight */
    FH_JOURNAL_FILE_BYTES = (1 + FH_JOURNAL_HEAD_PAGES + FH_JOURNAL_PAGES) * 4096,
};

/* Consecutive pages of one file. */
struct fh_journal_batch {
    const void *tag; /* what replay finds the file by */
    uint32_t tag_size;
    uint32_t count;        /* of pages, 1 .. FH_JOURNAL_PAGES */
    uint64_t first;        /* page of the file */
    uint32_t last_bytes;   /* of the last page so many belong to the file: 1 .. 4096 */
    uint8_t *const *pages; /* their bytes, 4 KiB each on page boundaries */
    void (*logged)(struct fh_journal_batch *); /* from fh_io_reap */
    int result;                                /* set before logged */
    struct fh_list link;                       /* the journal's */
};

enum fh_journal_phase {
    FH_JOURNAL_IDLE,
    FH_JOURNAL_SWITCH,      /* a file becomes the current one ... */
    FH_JOURNAL_SWITCH_SYNC, /* ... durably */
    FH_JOURNAL_IMAGES,      /* head and images on their way into the journal */
    FH_JOURNAL_COMMIT,      /* their fdatasync */
    FH_JOURNAL_HOLDING,     /* the group is safe; not all of it is forgotten yet */
    FH_JOURNAL_CLEAR,       /* nobody waits: the group is crossed out */
    FH_JOURNAL_STOPPED,     /* holding, until fh_journal_resume: writing in place failed */
    FH_JOURNAL_REFUSE,      /* no file is left: the group is told so, at the next reap */
};

struct fh_journal;
struct fh_journal_move {
    struct fh_transfer transfer;
    struct fh_journal *journal;
    bool in_use;
};

struct fh_journal_stats {
    uint64_t groups, batches, pages; /* so far, whatever came of them */
    uint64_t failed_files;           /* of the journal's own */
    uint64_t replayed_groups, replayed_pages;
    uint64_t refused_pages; /* of replay: the file is not known, or the page lies outside it */
    uint32_t files_left;    /* that have not failed */
};

struct fh_journal_opts {
    struct fh_mem *mem;
    struct fh_io *io;
    int fd[FH_JOURNAL_FILES]; /* of FH_JOURNAL_FILE_BYTES each; see fh_journal_open_file */
};

struct fh_journal {
    struct fh_journal_opts opts;
    uint8_t *head;        /* FH_JOURNAL_HEAD_PAGES, the head of the group */
    uint8_t *page_buffer; /* a page: zeros to cross out with, a generation, an image of a replay */
    uint64_t generation;  /* of the current file; the files' contents of lower ones do not count */
    uint32_t current;     /* file in use; FH_JOURNAL_FILES = none is left */
    struct fh_list queue; /* batches of the next groups */
    struct fh_list group; /* batches on their way */
    uint32_t held;        /* batches told they are safe, and not forgotten */
    bool in_doubt;        /* of them one could not be written in place */
    enum fh_journal_phase phase;
    int error;                     /* of the phases that concern all batches */
    uint32_t busy;                 /* moves in flight */
    bool head_written;             /* the one move of a phase, or of IMAGES the head: submitted */
    uint32_t images_written;       /* IMAGES: submitted */
    struct fh_list *batch;         /* IMAGES: the next to submit of ... */
    uint32_t page;                 /* ... and the next page in it */
    struct fh_journal_move *moves; /* FH_JOURNAL_MOVES */
    struct fh_journal_stats stats;
};

/* Opens or makes a journal file in the folder and gives it its full length. Blocks. */
FH_CHECKED int fh_journal_open_file(int dir_fd, const char *name, int *fd);

FH_CHECKED int fh_journal_init(struct fh_journal *, const struct fh_journal_opts *);
void fh_journal_fini(struct fh_journal *); /* nothing queued or in flight */

/* Who knows the files of tags. */
struct fh_journal_target {
    /* -ENOENT: not known, its pages are skipped; another error ends the replay. `bytes_max`: how
     * far it may be written. */
    int (*open)(void *ctx, const void *tag, uint32_t tag_size, int *fd, uint64_t *bytes_max);
    void (*close)(void *ctx, int fd);
    void *ctx;
};
/* Does again what was committed; once, before the first submit; waits. Replaying twice, or being
 * cut off in the middle, does no harm. An error: nothing may be served. */
FH_CHECKED int fh_journal_replay(struct fh_journal *, const struct fh_journal_target *);

/* Never fails: the outcome comes with `logged`. */
void fh_journal_log(struct fh_journal *, struct fh_journal_batch *);
/*
 * Once for each batch logged with result 0. Status 0: its pages are safe in their places. Else they
 * could not be written there: then its images are all there is of them, and the journal stops, for
 * all files, until the owner has put the pages elsewhere or given them up, and calls resume. That
 * file is not to be logged again under its old tag.
 */
void fh_journal_forget(struct fh_journal *, struct fh_journal_batch *, int status);
void fh_journal_resume(struct fh_journal *);
bool fh_journal_is_stopped(const struct fh_journal *);
bool fh_journal_is_idle(const struct fh_journal *);

bool fh_journal_check(const struct fh_journal *, FILE *why);
void fh_journal_stats(const struct fh_journal *, struct fh_journal_stats *out);
void fh_journal_dump(const struct fh_journal *, FILE *out);

#endif
