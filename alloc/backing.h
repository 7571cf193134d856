/*
 * backing: the open files of a zone that pages of its space lie in. It knows which page lies where
 * in which file, reads and writes runs of pages, and says when what was written is safe.
 *
 * The last page of a file that ends inside it reads as zeros beyond the end, and is written only up
 * to it. A file is never made longer or shorter here. A read of what is not there (the file was cut
 * by somebody else) is -EIO for those pages alone.
 *
 * A file with sums is read with them: a page that is not what was written last is -EBADMSG.
 *
 * A write is done when it is safe: every run that was written is covered by an fdatasync that began
 * after it, and only then `done` says 0. An fdatasync that failed is final for its file: what it
 * covered is not known any more, so from then on nothing is written to that file.
 *
 * Units      pages, unless a name says bytes.
 * Ownership  a file belongs to backing from open to its end, its descriptor included. A run belongs
 *            to its caller, who keeps it and the pages it names still and unchanged until `done`.
 * Threads    one zone thread. Nothing is started before fh_io_flush or the next fh_io_reap.
 * Errors     -EMFILE too many files are open; -ENOMEM. Of a run, in its status: -EIO, -ENOSPC, ...
 */
#ifndef FH_ALLOC_BACKING_H
#define FH_ALLOC_BACKING_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "ids.h"
#include "io.h"
#include "list.h"
#include "mem.h"

enum { FH_FILES_MAX = 1024, FH_FILE_RUN_MAX = FH_IO_IOV_MAX };

/* Which file it is, whatever it is called: device and number. Several zones of files may use their
 * own numbers. */
struct fh_file_id {
    uint64_t device, number;
};

struct fh_file {
    struct fh_page first; /* of the space: here lies the file's first page */
    uint64_t pages;       /* at least 1 */
    uint64_t size_bytes;  /* of the file; of the last page only what lies below it */
    struct fh_file_id id;
    int fd;
    uint32_t tenant;
    uint32_t opens;   /* how often its owner was asked for it; backing does not look at it */
    bool may_write;   /* the descriptor can; backing does not look at it */
    bool writable;    /* runs may be written */
    bool ended;       /* its pages are gone: it closes when nothing is in flight [I1] */
    int error;        /* of a failed sync; final */
    uint32_t running; /* runs in flight, and a sync [I2] */
    uint64_t tag;     /* the owner's; backing does not look at it */
    uint32_t *sums;   /* the owner's, of each page: CRC32C of what was written last; NULL: none */
    /* below: backing's own */
    struct fh_backing *backing;
    struct fh_list link;     /* among the ended */
    struct fh_list reading;  /* runs from read to done [I3] */
    struct fh_list writing;  /* runs from write to done [I3] */
    struct fh_list unsynced; /* of them: written, not covered by a sync yet */
    struct fh_list in_sync;  /* of them: covered by the sync that runs */
    struct fh_transfer sync;
    bool sync_running;
    bool settled; /* an fdatasync covered what was written before it was opened */
};

/* Consecutive pages of one file on their way. */
struct fh_file_run {
    struct fh_file *file;
    uint64_t first;                     /* page of the file, 0 = its first */
    uint32_t count;                     /* 1 .. FH_FILE_RUN_MAX */
    uint8_t *pages[FH_FILE_RUN_MAX];    /* their bytes */
    int status[FH_FILE_RUN_MAX];        /* of each page when done; of a write all alike */
    void (*done)(struct fh_file_run *); /* from fh_io_reap; the run is the caller's again */
    /* below: backing's own */
    struct fh_transfer transfer;
    struct fh_list using; /* in the file's reading or writing */
    struct fh_list link;  /* in unsynced or in_sync */
    uint32_t again;       /* of a read: page being read alone */
};

struct fh_backing_stats {
    uint64_t files;                     /* open now, but for those that have ended */
    uint64_t read_pages, written_pages; /* so far */
    uint64_t syncs, io_errors;          /* so far */
    uint64_t bad_sums;                  /* pages read so far that were not what was written */
};

struct fh_backing {
    struct fh_io *io;
    struct fh_mem *mem;
    struct fh_file *files[FH_FILES_MAX]; /* by first page [I1] */
    uint32_t count;
    struct fh_list ended; /* not closed yet */
    struct fh_backing_stats stats;
};

void fh_backing_init(struct fh_backing *, struct fh_io *, struct fh_mem *);
/* Closes what is open; nothing may be in flight. */
void fh_backing_fini(struct fh_backing *);

/*
 * The pages from `like->first` on lie in this file from now on. Of `like` the fields first,
 * size_bytes, id, fd, tenant, may_write, writable, tag and sums count. The descriptor is backing's, but
 * not after an error. No two files share a page of the space. *out is untouched on error.
 */
FH_CHECKED int fh_backing_open(struct fh_backing *, const struct fh_file *like,
                               struct fh_file **out);
/* Nobody will ask for its pages again. It is closed as soon as nothing of it is in flight. */
void fh_backing_end(struct fh_backing *, struct fh_file *);

/* The file that a page lies in, or NULL. Cost: O(log files); nothing when there are none. */
struct fh_file *fh_backing_find(const struct fh_backing *, struct fh_page);
/* The file with this id, also one that has ended and is not closed yet; NULL: it is not open. */
struct fh_file *fh_backing_known(const struct fh_backing *, struct fh_file_id);

/* Reads a run. A page that fails is read once more, alone; then its bytes are zeroed. */
void fh_backing_read(struct fh_backing *, struct fh_file_run *);
/* A run that is being written or read and touches these pages, or NULL. */
struct fh_file_run *fh_file_user(const struct fh_file *, uint64_t first, uint64_t count);
/* Whether there is one: then they may not be written. */
bool fh_file_is_in_use(const struct fh_file *, uint64_t first, uint64_t count);
/* Writes a run and makes it safe. The file is writable, without error, and these pages of it are
 * not in use. */
void fh_backing_write(struct fh_backing *, struct fh_file_run *);
/* A run of no pages, done when an fdatasync that begins now or later says so: then the file is
 * settled. The file has no error. */
void fh_backing_settle(struct fh_backing *, struct fh_file_run *);
/* Bytes of page `index` that lie below the end of the file. */
static inline uint32_t fh_file_bytes_in_page(const struct fh_file *f, uint64_t index)
{
    uint64_t left = f->size_bytes - (index << FH_PAGE_SHIFT);
    return left < FH_PAGE_SIZE ? (uint32_t)left : (uint32_t)FH_PAGE_SIZE;
}

void fh_backing_stats(const struct fh_backing *, struct fh_backing_stats *out);
bool fh_backing_check(const struct fh_backing *, FILE *why);
void fh_backing_dump(const struct fh_backing *, FILE *out);

#endif
