/*
 * zone: the memory engine as the server sees it: objects by handle, objects by name, one thread.
 *
 * Every operation either ends at once (0 or a negative errno) or must wait for pages: then it
 * returns -EINPROGRESS, is parked, and its `call.done` runs later from fh_zone_turn with `call.rc`
 * set. Until then the struct and the buffers it names must stay where they are. A parked
 * mutation or put is ended without `done` by its _cancel, a reader by _close, a stage by _abort.
 *
 * Promises   a read gives the bytes of one moment; a write happens whole or not at all; a failed
 *            operation changed nothing. An allocation costs addresses; memory is taken by the pages
 *            written.
 * Threads    one zone thread; the only clock is the now_ms given to fh_zone_turn.
 * Errors     -ESTALE handle leads nowhere (freed, forged, expired, another tenant's); -ENOENT no
 *            such name; -EEXIST name taken; -ECANCELED condition not met, or object sealed; -EINVAL
 *            range outside the object; -EFBIG above 1 TiB; -ENOSPC memory and swap are full;
 *            -EBADMSG bytes lost; -EIO the disk failed; -EBUSY too many holds or readers on one
 *            page or object; -EACCES a file that may not be written; -EOPNOTSUPP not with a file, or
 *            only with one; -ENOMEM.
 */
#ifndef FH_ALLOC_ZONE_H
#define FH_ALLOC_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/uio.h>

#include "caches.h"
#include "compact.h"
#include "directory.h"
#include "durable.h"
#include "errands.h"
#include "extras.h"
#include "graves.h"
#include "heap.h"
#include "mem.h"
#include "objects.h"
#include "pager.h"
#include "reap.h"
#include "reclaim.h"

struct fh_zone_opts {
    uint32_t index;            /* number of this zone in its node */
    uint64_t memory_bytes;     /* to begin with: a multiple of the page, >= 2 * FH_HOLD_MAX pages */
    uint64_t memory_max_bytes; /* that fh_zone_set_memory may give; 0 = memory_bytes */
    const struct fh_region
        *region; /* shared by the zones of a node, outlives them; NULL = its own */
    struct fh_chunk_source source; /* who divides the chunks of a shared region */
    uint32_t chunk_order;          /* 0 = 9: chunks of 2 MiB. Tests use less */
    uint64_t swap_bytes;           /* 0 = none */
    const char *swap_dir;
    const struct fh_buddy_system *system; /* NULL = binary */
    struct fh_io *io;                     /* made by the zone's thread; outlives the zone */
    void (*random)(void *ctx, void *buf,
                   size_t size); /* from a CSPRNG; for keys of handles, swap and tables */
    void *random_ctx;
    uint32_t hold_max; /* pages one request may hold; 0 = FH_HOLD_MAX. Tests use 2 */
    uint32_t
        readahead_max; /* pages of the longest read-ahead, at most FH_READAHEAD_MAX; 0 = none */
    uint32_t free_min_permille, free_low_permille, free_high_permille; /* all 0 = 10, 40, 60 */
    uint32_t pin_permille; /* of the frames: pages that may be pinned; 0 = FH_PIN_PERMILLE,
                              FH_PIN_NEVER = none. Never more than half of them */
    const char
        *data_dir;    /* folder of durable objects, there is none in it yet or ours; NULL: none */
    uint32_t zones;   /* of the node; with a data_dir */
    uint64_t wall_ms; /* the time of day when it is made, in ms since 1970; with a data_dir */
    uint64_t data_pages; /* of a data file; 0 = 2^28. Tests use fewer */
    bool debug; /* poison freed bytes of slabs, check what is no object's; set in test builds */
};

enum { FH_PIN_PERMILLE = 250 };
#define FH_PIN_NEVER UINT32_MAX

enum { FH_ZONE_KEYS = 256 /* drawn at once: a generator's call costs more than its bytes */ };

struct fh_zone {
    struct fh_zone_opts opts;
    struct fh_mem mem;
    struct fh_heap heap;
    struct fh_pager pager;
    struct fh_reclaim reclaim;
    struct fh_graves graves;   /* freed blocks on their way back */
    struct fh_errands errands; /* advice that is being followed */
    struct fh_reap reap;
    struct fh_compact compact;
    struct fh_objects objects;
    struct fh_extras extras;
    struct fh_directory directory;
    struct fh_directory moved; /* keys of objects that do not lie where their handle says */
    struct fh_caches caches;
    struct fh_durable *durable; /* NULL: no data_dir */
    bool data_failed;           /* init failed because of the data_dir */
    uint64_t *stale; /* of debug, else NULL: a bit per page that may hold bytes of freed objects */
    uint32_t frames_seen;        /* the watermarks are for so many */
    uint64_t start_ms;           /* when it was made */
    uint64_t now_ms;             /* as of the last turn */
    uint64_t version;            /* the last version given out */
    uint64_t expiry_hand;        /* next place of a record the expiry sweep looks at */
    uint64_t expired;            /* objects freed by their ttl */
    uint64_t keys[FH_ZONE_KEYS]; /* random numbers not used yet */
    uint32_t keys_left;
};

FH_CHECKED int fh_zone_init(struct fh_zone *, const struct fh_zone_opts *, uint64_t now_ms);
/* All calls must have ended or been cancelled, all readers and stages closed. Waits for I/O in
 * flight. */
void fh_zone_fini(struct fh_zone *);

/*
 * Does what became possible: finished I/O, parked calls, a slice of reclaim, a slice of expiry.
 * Call it after each batch of requests, when the I/O eventfd is readable, and at least every 100
 * ms. True when more work waits that needs no event: call again soon.
 */
bool fh_zone_turn(struct fh_zone *, uint64_t now_ms);

/*
 * Changes the memory budget. More is there at once; less comes by and by, in turns, as pages are moved and evicted. It
 * stops while what lives in the zone would not fit: fh_zone_stats tells how far it came. `warm`: the memory is for
 * another zone of the region, and is not given to the kernel. -EINVAL: less than 2 * hold_max pages, or more
 * than there can be.
 */
FH_CHECKED int fh_zone_set_memory(struct fh_zone *, uint64_t bytes, bool warm);

/* Who asks for what. `tenant` must be the one the object was allocated by. */
struct fh_ref {
    struct fh_addr addr; /* offset in this zone's space; the caller has checked the zone number */
    uint64_t key;
    uint32_t tenant;
    uint64_t stream; /* who reads in order, if somebody does: a connection; 0 = nobody */
};

struct fh_cond {
    bool if_absent;      /* names only */
    uint64_t if_version; /* 0 = any */
};

struct fh_object_view {
    struct fh_ref ref;
    uint64_t size, version, ttl_ms; /* ttl_ms: left, 0 = none */
    bool sealed, small;
    bool durable;                /* its bytes lie in the data directory */
    bool file, writable;         /* lies in a file; which takes writes */
    struct fh_page_counts pages; /* set by fh_zone_stat only */
};

/* --- by handle, never parked --- */
FH_CHECKED int fh_zone_alloc(struct fh_zone *, uint32_t tenant, uint64_t size, uint64_t ttl_ms,
                             struct fh_object_view *out);
/* In the data directory: durable when it is published. -EOPNOTSUPP: there is none; -EFBIG above
 * FH_DURABLE_SIZE_MAX. */
FH_CHECKED int fh_zone_alloc_durable(struct fh_zone *, uint32_t tenant, uint64_t size,
                                     uint64_t ttl_ms, struct fh_object_view *out);
/* -EAGAIN: the object is durable, or about to be: use fh_zone_change. */
FH_CHECKED int fh_zone_free(struct fh_zone *, const struct fh_ref *);
FH_CHECKED int fh_zone_find(struct fh_zone *, const struct fh_ref *, struct fh_object_view *out);
FH_CHECKED int fh_zone_stat(struct fh_zone *, const struct fh_ref *, struct fh_object_view *out);

/* What to tell after -EBADMSG: of the pages that a range of an object touches, the first run that is lost, as bytes of
 * the object. size 0: none is lost now. */
struct fh_lost {
    uint64_t offset, size;
    bool more; /* pages behind it are lost too */
};
FH_CHECKED int fh_zone_lost(struct fh_zone *, const struct fh_ref *, uint64_t offset, uint64_t size,
                            struct fh_lost *out);

/* --- mutations: may park --- */
enum fh_mutation_kind {
    FH_MUTATE_WRITE,
    FH_MUTATE_ZERO,
    FH_MUTATE_SWAP,
    FH_MUTATE_ADD,
    FH_MUTATE_RESIZE
};

struct fh_mutation {
    struct fh_call call; /* parked here */
    enum fh_mutation_kind kind;
    struct fh_ref ref;
    struct fh_cond cond;
    uint64_t offset;   /* SWAP, ADD: a multiple of 8 */
    uint64_t size;     /* WRITE: of body, at most FH_WRITE_MAX; RESIZE: the new size */
    const void *body;  /* WRITE: kept still by the caller until the end */
    uint64_t expected; /* SWAP */
    uint64_t operand;  /* SWAP: desired; ADD: delta */
    uint64_t before;   /* out, SWAP, ADD: the 8 bytes before, little endian as a number */
    bool swapped;      /* out, SWAP */
    struct fh_object_view object; /* out: handle (RESIZE may change it), version, size */
    /* below: zone's own */
    struct fh_zone *zone;
    struct fh_hold hold;
    bool touched; /* the read-ahead policy has been told */
    struct fh_readahead_advice advice;
    struct fh_move *move; /* of a RESIZE that copies a small object */
};
enum { FH_WRITE_MAX = 64 * 1024 };
FH_CHECKED int fh_zone_mutate(struct fh_zone *, struct fh_mutation *);
/* Ends a parked mutation: it did not happen and its `done` will not run. */
void fh_zone_mutate_cancel(struct fh_mutation *);

/* --- advice: a pin may park --- */

enum fh_advice {
    FH_ADVICE_NORMAL,     /* the object is read in no known way, as at first */
    FH_ADVICE_SEQUENTIAL, /* the object is read in order: the longest windows from the first touch */
    FH_ADVICE_RANDOM,     /* the object is read at random: nothing is read ahead */
    FH_ADVICE_WILLNEED,   /* the range is read in soon, as far as there is room */
    FH_ADVICE_COLD,       /* what of the range is in memory leaves it before anything else */
    FH_ADVICE_DONTNEED, /* what of the range is in memory leaves it; dirty pages are written first */
    FH_ADVICE_PIN,      /* the range is read in, and stays in memory */
    FH_ADVICE_UNPIN,    /* it may leave it again */
};
enum { FH_ADVICES = FH_ADVICE_UNPIN + 1 };

/*
 * No advice changes a byte. Ranges go by pages: those that the bytes touch, and small objects share
 * theirs. WILLNEED, COLD and DONTNEED are answered at once and followed in the next turns; -EBUSY:
 * too many are being followed. PIN is answered when the range is in memory; it stays there until it
 * is unpinned, the object shrinks or ends. -EDQUOT: more would be pinned than may be; -EBUSY:
 * another pin of the range is under way.
 */
struct fh_advise {
    struct fh_call call; /* parked here */
    enum fh_advice kind;
    struct fh_ref ref;
    uint64_t offset, size;        /* of NORMAL, SEQUENTIAL and RANDOM without meaning */
    struct fh_object_view object; /* out */
    /* below: zone's own */
    struct fh_zone *zone;
    struct fh_hold hold;
    struct fh_page cursor;
    uint32_t taker; /* of the pins, while they are under way */
};
FH_CHECKED int fh_zone_advise(struct fh_zone *, struct fh_advise *);
/* Ends a parked pin: it did not happen and its `done` will not run. */
void fh_zone_advise_cancel(struct fh_advise *);

/* --- several ranges of one object at one moment: may park --- */

enum { FH_RANGES_MAX = 64, FH_RANGES_PAGES_MAX = 64 };
struct fh_range {
    uint64_t offset, size; /* bytes */
};

/*
 * Reads all ranges, or writes all, in one step. Ranges may overlap: of writes the later one stays.
 * -EINVAL one of them is not within the object; -EFBIG they touch more than FH_RANGES_PAGES_MAX
 * pages of it; else the errors of a mutation, before which nothing has changed.
 */
struct fh_ranges {
    struct fh_call call; /* parked here */
    bool writes;
    struct fh_ref ref;
    struct fh_cond cond; /* of a write */
    uint32_t count;      /* 1 .. FH_RANGES_MAX */
    struct fh_range items[FH_RANGES_MAX];
    const uint8_t *body; /* of a write: their bytes, one behind the other, kept still to the end */
    uint8_t *into; /* of a read: room for all bytes, filled when it ends with 0 and not before */
    struct fh_object_view object; /* out: as of the moment */
    /* below: zone's own */
    struct fh_zone *zone;
    struct fh_hold hold;
};
FH_CHECKED int fh_zone_ranges(struct fh_zone *, struct fh_ranges *);
/* Ends a parked one: it did not happen and its `done` will not run. */
void fh_zone_ranges_cancel(struct fh_ranges *);

/* --- readers: may park --- */

enum { FH_READER_IOV_MAX = FH_HOLD_MAX };

/* A read by name. */
struct fh_read_name {
    const void *name; /* kept still by the caller while the reader is parked */
    size_t size;
    uint32_t tenant;
    uint64_t stream;     /* as in fh_ref */
    uint64_t if_version; /* 0 = any */
    uint64_t offset;     /* within the object, or -EINVAL */
    uint64_t limit;      /* bytes at most; cut to the object's end */
};

/*
 * A read being answered. Open takes the moment: from then on later writes do not show, at any size.
 * Windows of at most FH_WINDOW_PAGES pages are offered one after the other. A reader with `is_view`
 * may give a window back half taken and ask again later, so it needs to hold nothing while a peer
 * is slow; one without must have its (only) window taken whole: copy what a socket did not take.
 */
struct fh_reader {
    struct fh_call call; /* parked here; after `done` with rc 0 the window is ready as after a 0 */
    struct iovec iov[FH_READER_IOV_MAX];
    uint32_t iov_count;  /* of the window on offer; 0 when all is read */
    size_t window_bytes; /* sum of iov */
    uint64_t left;       /* bytes not taken yet, the window included */
    bool is_view;
    struct fh_object_view object; /* as of the moment */
    /* below: zone's own */
    struct fh_zone *zone;
    struct fh_ref ref;
    struct fh_read_name by;     /* by.name NULL: by handle */
    uint64_t offset;            /* of the first byte, in the object */
    struct fh_addr at;          /* where it is now: in the object, or in the view of it */
    uint64_t end;               /* of the range, in the object */
    uint64_t zeros;             /* of the bytes left, so many at the end were never written */
    struct fh_initial *initial; /* what these read as; NULL: zeros. Held until close */
    bool opened;                /* the moment is taken */
    bool touched;               /* the read-ahead policy has been told */
    struct fh_readahead_advice advice; /* what it said, not followed yet */
    struct fh_view view;
    struct fh_hold hold;
};

/* Starts with the first window: on 0 it is on offer, iov filled. size 0 gives an empty window. */
FH_CHECKED int fh_reader_open(struct fh_zone *, struct fh_reader *, const struct fh_ref *,
                              uint64_t offset, uint64_t size);
/* The same by name; the range is cut to the object. -ECANCELED: it has another version. Until its
 * moment is taken the reader follows the name: what is read is what the name leads to then. */
FH_CHECKED int fh_reader_open_name(struct fh_zone *, struct fh_reader *,
                                   const struct fh_read_name *);
/*
 * A read that needs no reader: everything is in memory and little. 0: the bytes lie in iov, until
 * the next call into the zone. -EAGAIN: not at once, or more than `most` bytes: open a reader. Else
 * the errors of a reader. No hold is taken, so nothing has to be given back.
 */
enum { FH_GLANCE_PAGES = 5 };
struct fh_glance {
    struct fh_object_view object;
    struct iovec iov[FH_GLANCE_PAGES];
    uint32_t iov_count;
    uint64_t bytes; /* sum of iov */
};
FH_CHECKED int fh_zone_glance(struct fh_zone *, const struct fh_ref *, uint64_t offset,
                              uint64_t size, uint64_t most, struct fh_glance *out);
FH_CHECKED int fh_zone_glance_name(struct fh_zone *, const struct fh_read_name *, uint64_t most,
                                   struct fh_glance *out);

/* Gives the window back, `taken` bytes of it consumed. */
void fh_reader_release(struct fh_reader *, size_t taken);
/* Offers the next window (after a release). */
FH_CHECKED int fh_reader_next(struct fh_reader *);
/* At any time, also parked. Ends the reader; every open that did not fail needs one. */
void fh_reader_close(struct fh_reader *);

/* --- stages: large bodies on their way in; may park --- */

/*
 * The body of a large WRITE or PUT, received straight into fresh frames. Between windows nothing is
 * held. Ends by a commit that returned 0 or by abort; a commit that failed leaves the stage to be
 * aborted.
 */
struct fh_stage {
    struct fh_call
        call; /* parked here: a window that waits for frames, a commit that waits for edge pages */
    struct iovec iov[FH_READER_IOV_MAX]; /* where the next bytes go */
    uint32_t iov_count;
    size_t window_bytes;
    uint64_t received, size;      /* bytes */
    struct fh_object_view object; /* out, of a commit */
    /* below: zone's own */
    struct fh_zone *zone;
    uint32_t tenant;
    uint64_t id;                /* of the object it may become */
    uint32_t head, tail;        /* bytes before the first and after the last whole page */
    uint64_t pages;             /* whole ones: these lie in the block */
    uint64_t claimed;           /* pages still promised to it */
    uint64_t unclaimed;         /* pages to be promised before the first window */
    uint8_t *edges;             /* head page, tail page, and what of a page came between windows */
    struct fh_heap_block block; /* where whole pages wait; a PUT's object */
    bool durable;               /* the block lies in the data directory */
    struct fh_page cursor;
    struct fh_hold hold;
    struct fh_ref target; /* of a commit: what it is to do */
    uint64_t offset, ttl_ms;
    struct fh_cond cond;
    const void *name;
    size_t name_size;
};

/*
 * in_page: for a WRITE the target offset's place in its page (offset % FH_PAGE_SIZE: page objects
 * start on a page), for a PUT 0. Room for `size` bytes is claimed now, or, if dirty pages of files
 * take it, with the first window: -ENOSPC comes before the first byte is received.
 */
FH_CHECKED int fh_stage_open(struct fh_zone *, struct fh_stage *, uint32_t tenant, uint64_t size,
                             uint32_t in_page);
/* The same for a PUT that is to be durable. */
FH_CHECKED int fh_stage_open_durable(struct fh_zone *, struct fh_stage *, uint32_t tenant,
                                     uint64_t size);
/* Offers the next window to receive into; it may be smaller than what is missing. */
FH_CHECKED int fh_stage_window(struct fh_stage *);
/* `got` bytes of the window have arrived (0: none came, ask for a window again later). */
void fh_stage_advance(struct fh_stage *, size_t got);
/* All bytes there: the write happens now, in one step. -EINPROGRESS: edge pages are read in first.
 */
FH_CHECKED int fh_stage_write(struct fh_stage *, const struct fh_ref *, uint64_t offset,
                              const struct fh_cond *);
/* All bytes there: they become a sealed object with this name, in one step. The name is kept still
 * by the caller while it is parked. */
FH_CHECKED int fh_stage_put(struct fh_stage *, const void *name, size_t name_size, uint64_t ttl_ms,
                            const struct fh_cond *);
/* A PUT that is being committed happens all the same. */
void fh_stage_abort(struct fh_stage *);

/* --- by name --- */

/* A small body, at most FH_WRITE_MAX, becomes a sealed object with this name. May park. */
struct fh_put {
    struct fh_call call;
    uint32_t tenant;
    const void *name; /* name and body kept still by the caller until the end */
    size_t name_size;
    const void *body;
    size_t body_size;
    uint64_t ttl_ms;
    struct fh_cond cond;
    bool durable;                 /* 0 and `done` come when it survives anything */
    struct fh_object_view object; /* out */
    /* below: zone's own */
    struct fh_zone *zone;
    struct fh_ref made; /* the object, not named yet; key 0 = none */
    bool written;       /* its bytes are in its pages */
    struct fh_page cursor;
    struct fh_hold hold;
};
FH_CHECKED int fh_zone_put(struct fh_zone *, struct fh_put *);
/* Ends a parked put: its `done` will not run. It did not happen, unless it was being committed
 * already: then it does. */
void fh_zone_put_cancel(struct fh_put *);
/* Seals a nameless object and gives it the name. -EEXIST with if_absent; -ECANCELED it has a name
 * already. -EAGAIN: it is durable, or what has the name is: use fh_zone_change. */
FH_CHECKED int fh_zone_publish(struct fh_zone *, const struct fh_ref *, const void *name,
                               size_t name_size, uint64_t ttl_ms, const struct fh_cond *,
                               struct fh_object_view *out);
FH_CHECKED int fh_zone_lookup(struct fh_zone *, uint32_t tenant, const void *name, size_t name_size,
                              struct fh_object_view *out);
/* -EAGAIN: the object is durable, or about to be: use fh_zone_change. */
FH_CHECKED int fh_zone_delete(struct fh_zone *, uint32_t tenant, const void *name, size_t name_size,
                              const struct fh_cond *);

/*
 * A free, delete or publish of whatever object, which may have to be committed to the disk and so
 * may park. Before a 0, nothing is seen of it.
 */
enum fh_change_kind { FH_CHANGE_FREE, FH_CHANGE_DELETE, FH_CHANGE_PUBLISH };
struct fh_change {
    struct fh_call call;
    enum fh_change_kind kind;
    struct fh_ref ref; /* of a DELETE, the tenant */
    const void *name;  /* DELETE, PUBLISH: kept still by the caller until the end */
    size_t name_size;
    uint64_t ttl_ms; /* PUBLISH */
    struct fh_cond cond;
    bool durable;                 /* PUBLISH: -EINVAL if the object was not allocated so */
    struct fh_object_view object; /* out: PUBLISH */
    /* below: zone's own */
    struct fh_zone *zone;
    bool sealed; /* by this publish */
    struct fh_page cursor;
    struct fh_hold hold;
};
FH_CHECKED int fh_zone_change(struct fh_zone *, struct fh_change *);
/* Ends a parked change: its `done` will not run. It did not happen, unless it was being committed
 * already: then it does. */
void fh_zone_change_cancel(struct fh_change *);
/*
 * Visits names with the prefix from *cursor (0 at first) until `visit` returns false, which means
 * that this entry did not fit and is to come again. *cursor is where to go on; 0 = that was all. At
 * most FH_LIST_STEPS entries are looked at per call, so an answer may be empty and not the last.
 */
enum { FH_LIST_STEPS = 4096 };
void fh_zone_list(struct fh_zone *, uint32_t tenant, const void *prefix, size_t prefix_size,
                  uint64_t *cursor,
                  bool (*visit)(void *ctx, const void *name, size_t name_size,
                                const struct fh_object_view *),
                  void *ctx);

/* --- typed caches, never parked --- */

FH_CHECKED int fh_zone_cache_create(struct fh_zone *, uint32_t tenant,
                                    const struct fh_cache_spec *);
/* -EBUSY while objects of it live; expired ones live until the sweep has come by. */
FH_CHECKED int fh_zone_cache_destroy(struct fh_zone *, uint32_t tenant, const void *name,
                                     size_t name_size);
/* An object of a cache: -ENOENT no such cache, -EINVAL larger than its objects. It reads as the
 * initial bytes where it was not written, and stays in its cache whatever its size becomes. */
FH_CHECKED int fh_zone_alloc_typed(struct fh_zone *, uint32_t tenant, const void *name,
                                   size_t name_size, uint64_t size, uint64_t ttl_ms,
                                   struct fh_object_view *out);

/* --- files: objects whose bytes are those of an open file --- */

/* An open file that somebody asks for. */
struct fh_file_source {
    int fd; /* regular, open for reading, and for writing if `may_write` */
    struct fh_file_id id;
    uint64_t size_bytes;
    bool may_write;
    uint64_t tag; /* the caller's own, kept with the file */
};
/* The object of a file that is open already; -ENOENT it is not; -EBUSY it has ended, and a read of it
 * has not; or it is open for another tenant. Counts as one more opening. */
FH_CHECKED int fh_zone_file_find(struct fh_zone *, uint32_t tenant, struct fh_file_id, bool write,
                                 struct fh_object_view *out);
/*
 * The file becomes an object, as large as the file is now; writable if `write`, for all who have it.
 * Each opening needs one fh_zone_free; the last one ends the object, and what was not synced may be
 * lost. The file is not open yet (find said -ENOENT). The descriptor is the zone's unless this fails.
 * -EMFILE too many files.
 */
FH_CHECKED int fh_zone_file_open(struct fh_zone *, uint32_t tenant, const struct fh_file_source *,
                                 bool write, struct fh_object_view *out);

/* A sync of a file's object; may park. 0: what was written before it was asked for is safe. */
struct fh_sync {
    struct fh_call call;
    struct fh_ref ref;
    uint64_t offset, size;        /* bytes; pages they touch are synced */
    struct fh_object_view object; /* out */
    /* below: zone's own */
    struct fh_zone *zone;
    struct fh_hold hold;
    struct fh_page cursor;
};
FH_CHECKED int fh_zone_sync(struct fh_zone *, struct fh_sync *);
/* Ends a parked sync without `done`. */
void fh_zone_sync_cancel(struct fh_sync *);

/* --- looking inside --- */

struct fh_zone_stats {
    struct fh_pager_stats pager;     /* frames, pages by state, faults by kind, parked, swap */
    struct fh_reclaim_stats reclaim; /* pages reclaimed by kind, pressure state */
    struct fh_graves_stats graves;   /* freed blocks whose pages are still being given back */
    struct fh_errands_stats errands; /* advice that is being followed */
    struct fh_heap_stats heap;
    struct fh_reap_stats reap;       /* what of the heap was given back */
    struct fh_compact_stats compact; /* sparse slabs emptied */
    uint64_t moved;                  /* live objects that do not lie where their handle says */
    uint64_t objects, names, object_bytes; /* live objects, of them named, sum of sizes */
    uint64_t expired, metadata_bytes;
    uint64_t durable_objects, durable_bytes; /* that survive a restart */
    uint64_t durable_bad_records;            /* of the catalog, found at start */
    uint64_t commits, commits_failed;        /* changes of durable objects so far */
    uint64_t catalog_broken;                 /* 1: they cannot be changed until the next start */
    const char *io_backend;
    const char *buddy;
};
void fh_zone_stats(const struct fh_zone *, struct fh_zone_stats *out);
bool fh_zone_check(const struct fh_zone *, FILE *why);
void fh_zone_dump(const struct fh_zone *, FILE *out);

#endif
