/*
 * pager: from pages to bytes. Gives a page a frame at its first write, reads it back from swap, and
 * keeps the one rule of memory: a frame with more than one reference is never written. A write goes
 * in place only when the page table is the sole holder; otherwise it takes a new frame and the
 * entry moves to it.
 *
 * Units      pages, unless a name says bytes.
 * Ownership  frames given by a hold stay valid and unchanged until fh_pager_release.
 * Threads    one zone thread; never blocks: what must wait is parked (waiter.h).
 * Errors     -EINPROGRESS parked; -EBADMSG a page is lost; -EIO the disk failed; -ENOSPC new
 *            content does not fit into frames and slots; -EBUSY too many references on one frame;
 *            -ENOMEM.
 */
#ifndef FH_ALLOC_PAGER_H
#define FH_ALLOC_PAGER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/uio.h>

#include "backing.h"
#include "fifo.h"
#include "frames.h"
#include "ids.h"
#include "mem.h"
#include "pagetable.h"
#include "pins.h"
#include "readahead.h"
#include "region.h"
#include "rings.h"
#include "swap.h"
#include "waiter.h"

enum {
    FH_WINDOW_PAGES = 64, /* of a long transfer: 256 KiB */
    FH_HOLD_MAX = 72,     /* pages one request may hold: an unaligned window, rounded up */
    FH_PAGER_OPS = 128,   /* page operations in flight */
    FH_AHEAD_OPS = 16,    /* of them, reading ahead */
};

/* Who says which chunks of a region are whose, when several zones share it. Called from the zone's thread. */
struct fh_chunk_source {
    /* A chunk that is nobody's becomes the caller's; false: there is none. */
    bool (*take)(void *ctx, uint32_t *chunk);
    /* It is nobody's again. `warm`: its memory was not given to the kernel, for the one who takes it next. */
    void (*give)(void *ctx, uint32_t chunk, bool warm);
    void *ctx;
};

struct fh_pager_opts {
    struct fh_mem *mem;
    uint64_t memory_bytes;     /* to begin with; at least 2 * hold_max pages */
    uint64_t memory_max_bytes; /* it may become; 0 = memory_bytes */
    const struct fh_region
        *region; /* shared with others, outlives the pager; NULL = one of its own */
    struct fh_chunk_source source; /* of the chunks of a shared region */
    uint32_t chunk_order;   /* a chunk is 2^this frames; 0 = FH_CHUNK_ORDER. Tests use less */
    uint32_t hold_max;      /* pages one request may hold; at most FH_HOLD_MAX. Tests use 2 */
    uint32_t free_min;      /* frames: below, requests that need frames wait in the line */
    uint32_t readahead_max; /* pages of a window, at most FH_READAHEAD_MAX; 0 = none */
    uint32_t
        pin_permille; /* of the frames: pages that may be pinned, at most half of them; 0 = none */
    /* Gives room back that is about to become free anyway; false: there is none. May be NULL. */
    bool (*make_room)(void *ctx);
    /* How many pages at most will be given back in turns to come, for who waits. May be NULL. */
    uint64_t (*room_comes)(void *ctx);
    void *ctx;
    struct fh_swap_opts swap;
};

enum fh_page_op_kind {
    FH_PAGE_OP_LOAD,
    FH_PAGE_OP_STORE,
    FH_PAGE_OP_FILE_LOAD,
    FH_PAGE_OP_FILE_STORE
};

/* Pages being read from swap or a file for somebody, or written there. Each frame's record leads to
 * its page. */
struct fh_page_op {
    enum fh_page_op_kind kind;
    struct fh_swap_run run;  /* of a file's: only count and status */
    struct fh_file_run file; /* of a file's */
    struct fh_pager *pager;
    void *owner; /* of a store: who evicts; NULL: the pages stay, clean */
    void (*ended)(struct fh_page_op *, uint32_t gone); /* of a file's store: tells the owner */
    enum fh_queue cleans; /* of a store: the frames stay, in this queue; NONE: they are to go */
    struct fh_frame frames[FH_SWAP_RUN_MAX]; /* a reference each */
    uint32_t epochs[FH_SWAP_RUN_MAX];        /* of a load: when the page had been evicted */
    struct fh_list waits; /* struct fh_hold_wait, one per hold that waits for its end */
    struct fh_list link;  /* among the free operations */
    bool in_use;
    bool ahead; /* of a load: nobody asked for these pages yet */
};

struct fh_hold_wait {
    struct fh_list link; /* in the operation's waits */
    struct fh_hold *hold;
    struct fh_page_op *op;
};

/* Frames held for one request. Kept still by its owner while parked. */
struct fh_hold {
    struct fh_call *call; /* to run when pending reaches 0 */
    uint32_t count;       /* pages; 0 = holds nothing */
    uint32_t pending;     /* operations it waits for */
    uint32_t reserved;    /* frames kept free for it besides */
    uint32_t waits_used;
    int error;                           /* first failure among its pages */
    struct fh_list link;                 /* among the pager's holds, while bound */
    struct fh_frame frames[FH_HOLD_MAX]; /* FH_FRAME_NONE: reads as zeros, or not held */
    struct fh_hold_wait waits[FH_HOLD_MAX];
};

enum { FH_BUDGET_LEAVING_MAX = 16 }; /* chunks being emptied at a time */

enum fh_budget_state {
    FH_BUDGET_STEADY,
    FH_BUDGET_GROWING,   /* or waiting for chunks that others still have */
    FH_BUDGET_SHRINKING, /* chunks are being emptied */
    FH_BUDGET_STOPPED,   /* what lives here would not fit into less */
};

/* How many frames the zone is to have, and what is on its way out. See pager_budget.c. */
struct fh_pager_budget {
    uint32_t asked;       /* frames */
    bool warm;            /* chunks that go are for another zone */
    uint32_t partial;     /* owned chunk that is not whole [B3]; UINT32_MAX: none */
    uint32_t absent_from; /* no chunk below is absent [B4]; of a region of its own */
    uint32_t leaving[FH_BUDGET_LEAVING_MAX]; /* chunks [B1] */
    uint32_t hands[FH_BUDGET_LEAVING_MAX];   /* of each, the frame to look at next */
    uint32_t leaving_count;
    uint32_t need; /* spare frames that a move waits for; 0 = none */
    enum fh_budget_state state;
    uint64_t frames_moved, chunks_taken, chunks_given; /* so far */
};

struct fh_budget_stats {
    uint64_t held; /* frames of owned and of leaving chunks: what was not given yet */
    uint64_t asked,
        least; /* frames: what was asked for; what the content needs, below which it cannot go */
    enum fh_budget_state state;
    uint64_t frames_moved, chunks_taken, chunks_given; /* so far */
};

struct fh_pager {
    struct fh_pager_opts opts;
    struct fh_pager_budget budget;
    struct fh_region region;
    struct fh_frames frames;
    struct fh_pagetable table;
    struct fh_swap swap;
    struct fh_backing backing;
    struct fh_fifo fifo;
    struct fh_rings rings;
    struct fh_readahead readahead;
    struct fh_pins pins;
    bool pins_absent; /* a pinned page may be out of memory: fetch looks at them all */
    bool pins_left;   /* frames may be aside whose pages are not pinned: sweep looks at them all */
    struct fh_page fetched_to; /* where fetch is */
    uint32_t swept_to;         /* the frame where sweep is */
    struct fh_line line;
    struct fh_list holds; /* bound ones, so that check can count their references */
    uint32_t reserved;    /* free frames promised to parked calls */
    uint64_t claimed;     /* pages promised to bodies on their way in */
    int refusing;      /* what a call is told that would have to wait in the line; 0 = it waits */
    uint64_t mapped;   /* frames named by an entry [I5] */
    uint64_t retained; /* of them, with a slot that holds the same bytes */
    uint64_t file_clean, file_dirty; /* of them, pages of files */
    uint64_t storing;                /* slots being written; their pages are still in frames */
    struct fh_page_op *ops;
    struct fh_list ops_free;
    uint32_t ops_free_count;
    bool cleaning;      /* a call waits for room: that dirty pages of files take, or that comes */
    bool again;         /* a call gave way to others and can go on at once */
    uint32_t ahead_ops; /* operations in flight that read ahead */
    struct fh_page quiet, quiet_end; /* pages the request at hand touches once more: not counted */
    uint64_t faults_first_write, faults_swap, faults_file, faults_copy, pages_lost, copied_bytes;
    uint64_t ahead_read, ahead_used, ahead_unused; /* pages read ahead, so far; of them touched,
                                                      evicted untouched */
};

struct fh_page_counts {
    uint64_t frame, swap, file, nothing, failed; /* READING counts as where it is read from */
    uint64_t dirty;                              /* of a file: what the file does not have yet */
    uint64_t pinned;                             /* filled in by the zone */
};

struct fh_pager_stats {
    uint64_t frames_total, frames_free, frames_held;
    uint64_t frames_dirty, frames_clean; /* of memory without a file */
    uint64_t frames_file_dirty, frames_file_clean;
    uint64_t frames_pinned;          /* of those four: they do not leave memory */
    uint64_t pages_pinned, pins_max; /* that pins name, in memory or never written; that may be */
    uint64_t pages_frame, pages_slot, pages_file, pages_reading, pages_failed;
    uint64_t faults_first_write, faults_swap, faults_file, faults_copy_on_write; /* so far */
    uint64_t pages_lost; /* so far: a tag did not hold */
    uint64_t ahead_read, ahead_used,
        ahead_unused;  /* so far: read ahead; touched; evicted untouched */
    uint64_t refaults; /* so far: read back so soon that they should have stayed */
    uint64_t parked_now, parked_total;
    uint64_t live, capacity; /* pages that exist; that can exist in frames and slots */
    struct fh_budget_stats budget;
    struct fh_swap_stats swap;
    struct fh_backing_stats backing;
};

/* Before the first use: it holds nothing. */
static inline void fh_hold_init(struct fh_hold *h)
{
    h->count = 0;
    h->pending = 0;
    h->reserved = 0;
    h->waits_used = 0;
    h->error = 0;
}

static inline bool fh_hold_is_bound(const struct fh_hold *h)
{
    return h->count > 0;
}

FH_CHECKED int fh_pager_init(struct fh_pager *, const struct fh_pager_opts *);
void fh_pager_fini(struct fh_pager *); /* nothing may be held or in flight */

/*
 * Holds the pages for reading: binds to the frames of this moment, also of pages being read in. 0:
 * all bytes are there. -EINPROGRESS: the call is parked; ON_IO, the hold is bound and its step runs
 * when the bytes are there; IN_LINE, nothing is held and its step is to begin again.
 */
FH_CHECKED int fh_pager_hold(struct fh_pager *, struct fh_call *, struct fh_hold *,
                             struct fh_page first, uint32_t count);
/* Gives everything back; of a hold that holds nothing: no effect. */
void fh_pager_release(struct fh_pager *, struct fh_hold *);

/* The bytes of held page i: a frame's, or those of the zero page. */
const uint8_t *fh_pager_held_bytes(const struct fh_pager *, const struct fh_hold *, uint32_t i);

/* The bytes of a page that is in memory, or of the zero page, until the pager does anything else;
 * NULL: they would have to be waited for, or are lost. *frame is the page's, or FH_FRAME_NONE. No touch yet. */
const uint8_t *fh_pager_glance(const struct fh_pager *, struct fh_page, struct fh_frame *frame);

/* A page of zeros, for what was never written. */
const uint8_t *fh_pager_zero_page(void);

/* Bytes of the space, [start, start + size), that a mutation is about to cover. */
enum fh_span_kind {
    FH_SPAN_COPY,  /* bytes are copied in: every page needs a frame of its own */
    FH_SPAN_ZERO,  /* zeros: whole pages become NOTHING, only the edges need frames */
    FH_SPAN_READ,  /* nothing is covered: all bytes are to be looked at, with peek */
    FH_SPAN_MOVE,  /* whole pages get other entries, only the edges need frames */
    FH_SPAN_PATCH, /* some bytes are copied in, wherever: every page keeps the others, in a frame of
                      its own */
};
struct fh_span {
    enum fh_span_kind kind;
    struct fh_addr start;
    uint64_t size;
};

/*
 * Makes a mutation of the span possible in one step: on 0, fh_pager_write, _zero, _discard and
 * _move within it cannot fail during this turn. -EINPROGRESS: parked; begin the whole operation
 * again, with its checks, when step runs. At most hold_max pages of the span may need frames.
 */
FH_CHECKED int fh_pager_prepare(struct fh_pager *, struct fh_call *, struct fh_hold *,
                                struct fh_span);
/* The same for several spans at once, READ or PATCH, of which no two have a page in common: all are
 * possible in this turn, or the call waits for all. -EFBIG: they have more than hold_max pages. */
FH_CHECKED int fh_pager_prepare_all(struct fh_pager *, struct fh_call *, struct fh_hold *,
                                    const struct fh_span *, uint32_t count);
/* Copies bytes into the space. After a prepare of a COPY, PATCH or MOVE span that covers them. */
void fh_pager_write(struct fh_pager *, struct fh_addr start, const void *body, uint64_t size);
/* Bytes become zeros, whole pages NOTHING. After a prepare of a span that covers them. */
void fh_pager_zero(struct fh_pager *, struct fh_addr start, uint64_t size);
/* Copies bytes out of pages that are in memory: after a prepare of a span that covers part of each.
 */
void fh_pager_peek(const struct fh_pager *, struct fh_addr start, void *out, uint64_t size);
/* Pages become NOTHING. Never fails, never waits. */
void fh_pager_discard(struct fh_pager *, struct fh_page first, uint64_t count);
/* Moves entries between disjoint ranges; what the target had is discarded. Targets were touched
 * before. */
void fh_pager_move(struct fh_pager *, struct fh_page from, struct fh_page to, uint64_t count);

/* Copies the entries of a range into a view; both then share frames and slots. Fails on lost pages.
 */
FH_CHECKED int fh_pager_view(struct fh_pager *, struct fh_view *, struct fh_page origin,
                             struct fh_page base, uint64_t count);
void fh_pager_unview(struct fh_pager *, struct fh_view *);

/* Whether `pages` more can exist in frames and slots: -ENOSPC if not. */
FH_CHECKED int fh_pager_admit(const struct fh_pager *, uint64_t pages);
/* The same, after making room if there is some to be made. */
FH_CHECKED int fh_pager_admit_now(struct fh_pager *, uint64_t pages);
/* Whether `pages` more may exist later: when dirty pages of files were written back, or by room_comes. */
bool fh_pager_room_may_come(const struct fh_pager *, uint64_t pages);
/* After an -ENOSPC: parks the call until then, to begin again; -ENOSPC when it may not. */
FH_CHECKED int fh_pager_wait_for_room(struct fh_pager *, struct fh_call *, uint64_t pages);
/* Promises room for pages of a body on its way in; give back what was not installed. */
FH_CHECKED int fh_pager_claim(struct fh_pager *, uint64_t pages);
void fh_pager_unclaim(struct fh_pager *, uint64_t pages);
/* Takes up to `count` frames to receive into; 0: at least one. Parks in the line like a hold. */
FH_CHECKED int fh_pager_take(struct fh_pager *, struct fh_call *, struct fh_hold *, uint32_t count);
/* Gives taken frame i, wholly written by now, to a page as its new content; uses up one claim. */
void fh_pager_install(struct fh_pager *, struct fh_hold *, uint32_t i, struct fh_page);

/* Parks a call that has worked for long enough: others first, then its step again. */
FH_CHECKED int fh_pager_give_way(struct fh_pager *, struct fh_call *);
/* Lets a call leave whatever it waits for; what it held is given back. */
void fh_pager_cancel(struct fh_pager *, struct fh_call *);
/* Ends the waiting of all in the line that still cannot have their frames: they are told rc. */
void fh_pager_refuse_line(struct fh_pager *, int rc);
/* Runs the calls that became possible. */
void fh_pager_pump(struct fh_pager *);

/*
 * Reads pages in that nobody holds yet, those of [first, first + count) that are in swap or in their
 * file, as long as more than `keep` free frames are left. Pages of [wanted, wanted + wanted_count) are
 * about to be held: they are no read-ahead, only in good company. Reserves nothing; stops when
 * anything is short: where, if the caller wants to go on from there.
 */
struct fh_page fh_pager_read_ahead(struct fh_pager *, struct fh_page first, uint64_t count,
                                   struct fh_page wanted, uint64_t wanted_count, uint32_t keep);
/* Notes that a request used these pages, after glances at them that gave these frames. */
void fh_pager_touch_seen(struct fh_pager *, struct fh_page first, const struct fh_frame *frames,
                         uint32_t count);
/* Touches of these pages do not count as new ones, until the next call; count 0: all count. */
void fh_pager_quiet(struct fh_pager *, struct fh_page first, uint64_t count);
/* These pages were passed by a scan that does not come back: those still new go first. */
void fh_pager_leave_behind(struct fh_pager *, struct fh_page first, uint64_t count);

/* Pages that are in memory are the next victims, unless they are pinned. At most `looks` entries are
 * looked at; where it came to. */
struct fh_page fh_pager_cool(struct fh_pager *, struct fh_page first, struct fh_page end,
                             uint32_t *looks);

void fh_pager_count(const struct fh_pager *, struct fh_page first, uint64_t count,
                    struct fh_page_counts *);

/* --- pinned pages --- */

/* Pages that may be pinned now. */
uint64_t fh_pager_pins_max(const struct fh_pager *);
/* What is pinned has changed for these pages: their frames are set aside or come back, at once if they
 * are few, else by and by in fh_pager_pins_turn. */
void fh_pager_repin(struct fh_pager *, struct fh_page first, uint64_t count);
/* A slice: frames come back to the queues; pinned pages that are out of memory are read in. True when
 * another would find work at once. */
bool fh_pager_pins_turn(struct fh_pager *);

/* --- the memory budget --- */

/*
 * From now on the pager is to have `bytes`, cut to whole pages and to what it can ever have. More is there at once, as
 * far as the source has it; less comes by and by, in fh_pager_budget_turn. New content is admitted by the smaller
 * at once. `warm`: what goes is for another zone of the region.
 */
void fh_pager_set_memory(struct fh_pager *, uint64_t bytes, bool warm);
/* One slice of it: at most 64 frames are moved. True when another would find work at once. */
bool fh_pager_budget_turn(struct fh_pager *);

/* --- pages of files --- */

/*
 * The file a page lies in, and which page of it that is; NULL: it lies in none. A page of a view
 * lies where the one it mirrors does.
 */
struct fh_file *fh_pager_file_of(const struct fh_pager *, struct fh_page, uint64_t *place);

/* The state of the page, also of one that lies in a file and was never read: FILE. */
static inline enum fh_page_state fh_pager_state_of(const struct fh_pager *p, struct fh_page page,
                                                   struct fh_entry e)
{
    enum fh_page_state state = fh_entry_state(e);

    if (state != FH_PAGE_NOTHING || p->backing.count == 0)
        return state;
    return fh_pager_file_of(p, page, NULL) ? FH_PAGE_FILE : FH_PAGE_NOTHING;
}
/*
 * Writes back what the file does not have yet of the pages from *cursor to end, and waits until it
 * is safe. -EINPROGRESS: parked; call it again with the same cursor. -EIO, -ENOSPC, ...: the file
 * refused; what it did not take stays dirty. -EBADMSG: a page of it was lost in swap.
 */
FH_CHECKED int fh_pager_sync(struct fh_pager *, struct fh_call *, struct fh_hold *,
                             struct fh_file *, struct fh_page *cursor, struct fh_page end);

/* Dirty pages of files on their way out of memory, in no order. */
struct fh_writeback {
    struct fh_writeback_page {
        struct fh_file *file;
        uint64_t place;
        struct fh_frame frame;
    } pages[FH_FILE_RUN_MAX];
    uint32_t count;
    enum fh_queue cleans; /* as in fh_page_op */
};
static inline void fh_writeback_init(struct fh_writeback *w, enum fh_queue cleans)
{
    w->count = 0;
    w->cleans = cleans;
}
/* Adds the dirty frame of a file's page; false: it cannot be written to its file now. */
bool fh_writeback_add(struct fh_writeback *, const struct fh_pager *, struct fh_frame);
/* Starts to write them, in runs, for `owner`; returns how many. Those not started are in a queue
 * again: the one they were cleaned in, or the newest place of main. */
uint32_t fh_pager_write_back(struct fh_pager *, struct fh_writeback *, void *owner,
                             void (*ended)(struct fh_page_op *, uint32_t gone));
/* Every entry that names the clean frame of a file's page becomes FILE; those references go. */
void fh_pager_evict_file(struct fh_pager *, struct fh_frame);

/* --- for reclaim --- */

/* Who waits for the operation is told that it is over. */
void fh_pager_op_wake(struct fh_page_op *);
/* An operation, or NULL when too many are in flight; op_give takes it back. */
struct fh_page_op *fh_pager_op_take(struct fh_pager *);
void fh_pager_op_give(struct fh_pager *, struct fh_page_op *);
/* How many entries name this frame. */
uint32_t fh_pager_names(const struct fh_pager *, struct fh_frame);
/* Every entry that names the frame names the slot instead; the frame loses those references. */
void fh_pager_evict(struct fh_pager *, struct fh_frame, struct fh_slot);
/* The slot now holds the same bytes as the dirty frame: it is clean. */
void fh_pager_retain(struct fh_pager *, struct fh_frame, struct fh_slot);
/* The slot that holds the same bytes as a clean frame. */
struct fh_slot fh_pager_slot_of(const struct fh_pager *, struct fh_frame);
/* The slot of a clean frame is given up: it is dirty. */
void fh_pager_unretain(struct fh_pager *, struct fh_frame);
/* Every entry that names the frame becomes NOTHING: its bytes are all zero. */
void fh_pager_forget(struct fh_pager *, struct fh_frame);

void fh_pager_stats(const struct fh_pager *, struct fh_pager_stats *out);
/* Recounts everything from entries, operations and free lists; holds of running requests must be
 * released. */
bool fh_pager_check(const struct fh_pager *, FILE *why);
void fh_pager_dump(const struct fh_pager *, FILE *out);

#endif
