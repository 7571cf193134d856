/*
 * fake_disk: an I/O backend that keeps its files in memory and misbehaves as told. Besides one file
 * without a name, for swap, there are those made by fh_fake_disk_file; a transfer is theirs when it
 * has their descriptor. The same seed and the same calls give the same faults.
 *
 * Ownership  create to fh_io_destroy(&disk->io).
 * Threads    one.
 */
#ifndef FH_TESTS_FAKE_DISK_H
#define FH_TESTS_FAKE_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/io.h"
#include "tests/support/rng.h"

/* Each happens to one page of a transfer, the rest of which is done well. */
enum fh_disk_fault {
    FH_DISK_EIO,         /* any: nothing moved, -EIO */
    FH_DISK_ENOSPC,      /* write: nothing moved, -ENOSPC */
    FH_DISK_SHORT,       /* any: only the pages before it are moved, then -EIO */
    FH_DISK_TORN,        /* write: only its first sectors reach the disk; says 0 */
    FH_DISK_LOST,        /* write: does not reach the disk; says 0 */
    FH_DISK_MISDIRECTED, /* write: reaches another page; says 0 */
    FH_DISK_STALE,       /* read: gives what was there before the last write; says 0 */
    FH_DISK_FLIPPED,     /* read: gives one bit wrong; says 0 */
    FH_DISK_FAULTS
};

/* What happens to the transfer `fail_at`; all but the first two are what fh_transfer_step makes good. */
enum fh_disk_plan {
    FH_PLAN_EIO,
    FH_PLAN_ENOSPC,
    FH_PLAN_EINTR,     /* nothing moved, to be tried again */
    FH_PLAN_ALL_BUT_1, /* one byte is left over */
    FH_PLAN_ONLY_1,    /* one byte is moved */
    FH_PLAN_SLOW,      /* done after `slow` reaps */
    FH_PLANS
};

struct fh_disk_page;

/* A file with a size, as the exports have: what it holds now, and what a power cut would leave. Only
 * EIO, ENOSPC and SHORT happen to it: it has no tags that would tell of the others. */
struct fh_fake_file {
    int fd; /* a real one, of nothing; whoever got it closes it */
    uint64_t size;
    uint8_t *bytes, *safe; /* safe: as of the last sync */
    uint64_t reads, writes, syncs, written_bytes;
    struct fh_fake_file *next;
};

struct fh_fake_disk {
    struct fh_io io;
    /* knobs, to be turned at any time */
    uint32_t permille[FH_DISK_FAULTS]; /* of the transfers that it can happen to */
    bool next[FH_DISK_FAULTS];         /* happens to the next such transfer, once */
    bool dead[3];                      /* by enum fh_io_kind: every one fails with -EIO */
    uint64_t fail_at;                  /* the transfer with this number (1 = first); 0 none */
    bool fail_from_there_on;           /* and all after it */
    enum fh_disk_plan plan;            /* how it fails */
    uint32_t slow;                     /* reaps */
    uint32_t delay_max;                /* reaps until a transfer is done, at random */
    uint32_t delay_next;               /* that many for the next transfer submitted, once */
    bool reorder;                      /* what is due in one reap is done in random order */
    bool hang;                         /* nothing is ever done, until this is false again */
    /* counters */
    uint64_t transfers; /* submitted */
    uint64_t injected[FH_DISK_FAULTS];
    uint64_t last_offset; /* of the page that the last fault happened to */
    /* below: its own */
    struct rng random;
    struct fh_list pending;
    struct fh_disk_page *pages;
    uint64_t page_count;
    struct fh_fake_file *files;
};

/* NULL: no memory. */
struct fh_fake_disk *fh_fake_disk_create(uint64_t seed);
/* The 4 KiB of the image at a multiple of it, to be looked at and broken; NULL if never written. */
uint8_t *fh_fake_disk_page(struct fh_fake_disk *, uint64_t offset);
/* A file of zeros, which lives as long as the disk; NULL: no memory. Its size may be lowered later, as
 * if somebody else had cut it. */
struct fh_fake_file *fh_fake_disk_file(struct fh_fake_disk *, uint64_t size);
/* Another descriptor for a file whose old one was closed. */
void fh_fake_disk_reopen(struct fh_fake_disk *, struct fh_fake_file *);

#endif
