/*
 * frames: the record of each 4 KiB of the region: how often it is referenced, which page it holds, and its place in a
 * queue. Free frames are kept as runs (frame_runs.h), so that a large body gets neighbours.
 *
 * The zone owns the frames of some chunks of the region; chunks come and go while it runs. A chunk that is to go is
 * `leaving` until its last frame in use has been moved or given back: nothing of it is free any more.
 *
 * A reference is held by each page-table entry that names the frame, by each hold of a request, and by the
 * I/O operation in flight on it. The last one given back frees the frame.
 *
 * Threads    one zone thread.
 * Errors     -ENOMEM at init. FH_FRAME_NONE where no frame is free.
 */
#ifndef FH_ALLOC_FRAMES_H
#define FH_ALLOC_FRAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "frame_runs.h"
#include "ids.h"
#include "mem.h"

#define FH_FRAME_NONE ((struct fh_frame){UINT32_MAX})
#define FH_PAGE_NONE  ((UINT64_C(1) << 36) - 1) /* in a record: no entry names this frame */

enum { FH_FRAME_REFS_MAX = (1 << 20) - 1024 };

/* Aside: in no queue, since a pin keeps it in memory; counted only. */
enum fh_queue { FH_QUEUE_NONE, FH_QUEUE_SMALL, FH_QUEUE_MAIN, FH_QUEUE_ASIDE };

struct fh_frame_record {
    uint64_t page : 36;  /* one page whose entry names it, or FH_PAGE_NONE [I2] */
    uint64_t refs : 20;  /* 0 = free */
    uint64_t queue : 2;  /* enum fh_queue */
    uint64_t freq : 2;   /* touches since it was last looked at, at most 3 */
    uint64_t dirty : 1;  /* no valid copy in a slot or file */
    uint64_t busy : 1;   /* being written out or filled */
    uint64_t file : 1;   /* the page of a file: dirty or not, it has no slot */
    uint64_t ahead : 1;  /* read in before anybody asked, and not touched yet */
    uint32_t next, prev; /* in its queue; of a busy frame, next is the operation */
};
_Static_assert(sizeof(struct fh_frame_record) == 16, "engine budget: 16 B per frame");

enum { FH_CHUNK_ORDER = FH_FRAME_ORDERS - 1 }; /* a chunk is 512 frames: 2 MiB */

enum fh_chunk_state { FH_CHUNK_ABSENT, FH_CHUNK_OWNED, FH_CHUNK_LEAVING };

struct fh_chunk {
    uint16_t size;    /* frames of it that are ours: the first ones; 0 of an absent one */
    uint16_t used;    /* of them, with a reference [I4] */
    uint16_t touched; /* no frame of it from here on was used since it came [I3] */
    uint16_t state;   /* enum fh_chunk_state */
};

struct fh_frames {
    struct fh_mem *mem;
    struct fh_frame_record *records;
    struct fh_frame_runs runs; /* of the free ones [I1] */
    struct fh_chunk *chunks;
    uint32_t chunk_order;                       /* a chunk is 2^this frames */
    uint32_t span;                              /* frames of the region; most may be absent */
    uint32_t total;                             /* frames of owned chunks [I4] */
    uint32_t free;                              /* of them, with no reference [I1] */
    uint32_t leaving;                           /* frames in use in leaving chunks [I4] */
    uint64_t batches, batch_runs, batch_frames; /* asked for by take_many, and what they got */
};

/* For a region of `span` frames, none of which is owned yet. chunk_order: at most FH_CHUNK_ORDER, which it is but in
 * tests of few frames. */
FH_CHECKED int fh_frames_init(struct fh_frames *, struct fh_mem *, uint32_t span,
                              uint32_t chunk_order);
void fh_frames_fini(struct fh_frames *);

/* --- chunks --- */

static inline uint32_t fh_frames_chunk_count(const struct fh_frames *f)
{
    return (uint32_t)(((uint64_t)f->span + (1u << f->chunk_order) - 1) >> f->chunk_order);
}

/* Frames that chunk has: all but the last of a region are whole. */
static inline uint32_t fh_frames_chunk_room(const struct fh_frames *f, uint32_t chunk)
{
    uint32_t left = f->span - (chunk << f->chunk_order);
    return left < 1u << f->chunk_order ? left : 1u << f->chunk_order;
}

/* The first `size` frames of a chunk are owned now: of an absent one, or more than before of an owned one. */
void fh_frames_own(struct fh_frames *, uint32_t chunk, uint32_t size);
/* An owned chunk is leaving: none of its frames is free any more. */
void fh_frames_leave(struct fh_frames *, uint32_t chunk);
/* A leaving chunk is owned again. */
void fh_frames_stay(struct fh_frames *, uint32_t chunk);
/* A leaving chunk of which no frame is in use is absent. */
void fh_frames_part(struct fh_frames *, uint32_t chunk);
/* The owned chunk with the fewest frames in use, the highest of several; UINT32_MAX: none is owned. O(chunks). */
uint32_t fh_frames_emptiest(const struct fh_frames *);
/* The first frame from i on that was used since its chunk came; f->span: none. */
uint32_t fh_frames_next_touched(const struct fh_frames *, uint32_t i);

/* --- frames --- */

/* A free frame with one reference, no page, in no queue; its bytes are whatever they were. */
struct fh_frame fh_frames_take(struct fh_frames *);
/*
 * Up to `count` of them, as few runs of neighbours as can be had; how many. Each is as one from take.
 */
uint32_t fh_frames_take_many(struct fh_frames *, uint32_t count, struct fh_frame *out);

static inline struct fh_frame_record *fh_frames_record(const struct fh_frames *f,
                                                       struct fh_frame frame)
{
    return &f->records[frame.v];
}

/* One reference more. The caller has seen that refs is below FH_FRAME_REFS_MAX. */
static inline void fh_frames_hold(struct fh_frames *f, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(f, frame);

    FH_ASSERT(r->refs > 0);
    FH_ASSERT(r->refs < (1u << 20) - 1);
    r->refs++;
}

/* The last reference is gone: the frame, which is in no queue and names no page, is free. */
void fh_frames_free(struct fh_frames *, struct fh_frame);

/* One reference fewer; true when that freed the frame, which must then be in no queue and name no
 * page. */
static inline bool fh_frames_release(struct fh_frames *f, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(f, frame);

    FH_ASSERT(r->refs > 0);
    r->refs--;
    if (r->refs > 0)
        return false;
    fh_frames_free(f, frame);
    return true;
}

struct fh_frames_stats {
    uint64_t total, free, leaving;
    uint64_t batches, batch_runs, batch_frames; /* bodies received; runs and frames they got */
};
void fh_frames_stats(const struct fh_frames *, struct fh_frames_stats *out);
bool fh_frames_check(const struct fh_frames *, FILE *why);
void fh_frames_dump(const struct fh_frames *, FILE *out);

#endif
