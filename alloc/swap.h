/*
 * swap: pages sealed into one unlinked file and opened again.
 *
 * A page is sealed with AES-256-GCM under a key that exists only in this process. Tag and nonce
 * stay in the slot records in memory, so a flipped, stale, misdirected or exchanged slot is
 * detected: -EBADMSG for that page alone, never wrong bytes.
 *
 * Units      pages are FH_PAGE_SIZE bytes, page aligned; a run is 1 .. FH_SWAP_RUN_MAX consecutive
 *            slots.
 * Ownership  a run belongs to its caller, who keeps it and the pages it names still until `done`.
 *            The page bytes of a store are sealed during fh_swap_store itself: after it returns
 *            they may change. (The caller keeps its frame reference all the same, for its own
 *            book-keeping.)
 * References a slot is live while its count is above 0. A store gives each slot of the run one
 *            reference, owned by the caller; a load takes one per slot for its own time and gives
 *            it back before `done`.
 * Threads    one zone thread. Nothing is started before fh_io_flush or the next fh_io_reap.
 * Errors     -ENOSPC no free slot; -EAGAIN all bounce buffers are in use, try after a completion;
 *            -EIO the cipher failed. After an error nothing is taken and `done` is not called.
 */
#ifndef FH_ALLOC_SWAP_H
#define FH_ALLOC_SWAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cipher.h"
#include "ids.h"
#include "io.h"
#include "mem.h"
#include "slots.h"

enum { FH_SWAP_RUN_MAX = 64, FH_SWAP_BOUNCE_COUNT = 8 };

struct fh_swap_opts {
    struct fh_io *io;    /* outlives the swap */
    struct fh_mem *mem;  /* outlives the swap */
    const char *dir;     /* where the unlinked file lives; not tmpfs */
    uint64_t size_bytes; /* reserved in full at open; 0 = no swap: every store answers -ENOSPC */
    bool buffered;       /* do not even try O_DIRECT */
    uint32_t zone;       /* part of what is authenticated */
    void (*random)(void *ctx, void *buf, size_t size); /* for the key */
    void *random_ctx;
};

struct fh_swap_run {
    struct fh_slot first; /* of `count` consecutive slots; store sets it, load reads it */
    uint32_t count;       /* pages */
    uint8_t *pages[FH_SWAP_RUN_MAX];    /* their bytes */
    int status[FH_SWAP_RUN_MAX];        /* of each page when done: 0, -EBADMSG, -EIO */
    void (*done)(struct fh_swap_run *); /* from fh_io_reap; the run is the caller's again */
    /* below: swap's own */
    struct fh_swap *swap;
    struct fh_transfer transfer;
    struct fh_list link;           /* a store that waits for a sync */
    uint8_t *bounce;               /* a store's sealed pages */
    uint32_t tries;                /* of a store: writes begun */
    uint32_t sync_faults;          /* of a store: the swap's, when its write began */
    uint32_t again;                /* of a load: page being read once more */
    bool suspect[FH_SWAP_RUN_MAX]; /* of a load: pages to read once more */
};

struct fh_swap_stats {
    uint64_t slots_total, slots_used, slots_quarantined;
    uint64_t stored_pages, loaded_pages, bad_tags, io_errors;
    bool direct; /* O_DIRECT accepted */
};

struct fh_swap {
    struct fh_swap_opts opts;
    struct fh_cipher cipher;
    struct fh_slots slots;
    struct fh_swap_stats stats;
    int fd;               /* -1 without swap */
    uint8_t *bounce;      /* FH_SWAP_BOUNCE_COUNT buffers of FH_SWAP_RUN_MAX pages */
    uint32_t bounce_free; /* bitmap */
    uint64_t nonce_next;  /* pages sealed so far; no nonce is used twice */
    uint32_t stores;      /* in flight */
    uint32_t loads;       /* in flight */
    /* Only without O_DIRECT: */
    struct fh_transfer sync; /* at most one at a time */
    bool sync_running;
    uint32_t sync_faults;    /* syncs that failed: what was written before them may be lost */
    struct fh_list unsynced; /* stores written, not covered by a sync yet */
    struct fh_list in_sync;  /* stores that the running sync covers */
};

/* -ENOSPC the file system cannot reserve size_bytes; -EFBIG beyond 2^32 - 1 slots; -EIO no cipher;
 * -errno of open, fallocate, mmap. A file system in memory is not refused: whoever configures it is
 * to be warned. */
FH_CHECKED int fh_swap_init(struct fh_swap *, const struct fh_swap_opts *);
void fh_swap_fini(struct fh_swap *); /* nothing may be in flight */

/*
 * Seals and writes up to run->count pages to consecutive free slots. May take fewer than asked when
 * no such run is free: run->count and run->first tell. When done, a page with status != 0 was not
 * stored: its slot is quarantined and the reference gone; the others are the caller's to name in
 * the page table or give back.
 */
FH_CHECKED int fh_swap_store(struct fh_swap *, struct fh_swap_run *run);

/* Reads a run of live slots straight into run->pages and opens them in place. A page that fails is
 * read once more, alone; then its bytes are zeroed and its status is -EBADMSG (its slot is
 * quarantined: nothing will be stored there again) or -EIO (the read failed; a later one may work).
 * The other pages are good. */
void fh_swap_load(struct fh_swap *, struct fh_swap_run *run);

/* One more, one fewer name for a slot. The last one gone frees it. take: false when the count is
 * full. */
enum { FH_SWAP_NAMES_MAX = FH_SLOT_REFS_MAX - 1024 }; /* the rest is for loads in flight */
bool fh_swap_slot_take(struct fh_swap *, struct fh_slot);
void fh_swap_slot_give(struct fh_swap *, struct fh_slot);
/* The place of this live slot is not to be trusted: the last give does not make it free again. */
void fh_swap_slot_quarantine(struct fh_swap *, struct fh_slot);

void fh_swap_stats(const struct fh_swap *, struct fh_swap_stats *out);
bool fh_swap_check(const struct fh_swap *, FILE *why);
void fh_swap_dump(const struct fh_swap *, FILE *out);

#endif
