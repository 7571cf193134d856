/*
 * gather: asks every zone for its part of a document and tells the asker when all have answered.
 *
 * Ownership  a gather belongs to whoever created it until `done` has run on the asker's thread, and
 *            is then freed by that thread.
 * Threads    created and finished on the asker's thread; each part is filled by its zone's.
 * Errors     NULL at create: no memory. A zone that has ended leaves its part unanswered.
 */
#ifndef FH_SERVER_GATHER_H
#define FH_SERVER_GATHER_H

#include <stdatomic.h>
#include <stdint.h>

#include "mailbox.h"

struct fh_gather;

struct fh_gather_part {
    struct fh_message message;
    struct fh_gather *gather;
    void *answer; /* the zone's, made and read through the callbacks; NULL = none */
};

/* How zones answer and how an answer is thrown away. */
struct fh_gather_how {
    /* On the zone's thread; `owner` is what its mailbox is run with. */
    void *(*answer)(struct fh_gather *, void *owner);
    void (*drop)(void *answer);
    /* On the asker's thread, unless it was abandoned. */
    void (*done)(struct fh_gather *);
};

struct fh_gather {
    struct fh_message message;
    struct fh_gather_how how;
    struct fh_mailbox *home; /* of the asker */
    void *ctx;               /* the asker's */
    bool abandoned;          /* nobody wants it any more; the asker's thread only */
    atomic_uint missing;     /* parts */
    char view[16];
    uint32_t count;
    struct fh_gather_part parts[];
};

struct fh_gather *fh_gather_create(const struct fh_gather_how *, const char *view,
                                   struct fh_mailbox *home, uint32_t zones, void *ctx);
/* Sends it to all; it may be finished before this returns only in the sense that its message waits
 * in `home`. */
void fh_gather_start(struct fh_gather *, struct fh_mailbox *const *zones);
/* The asker lost interest. */
void fh_gather_abandon(struct fh_gather *);

#endif
