/*
 * pager_private: what the parts of the pager, pager*.c, share and nobody else sees.
 */
#ifndef FH_ALLOC_PAGER_PRIVATE_H
#define FH_ALLOC_PAGER_PRIVATE_H

#include "pager.h"

/* A walk over the entries that name a frame: start with {0}, ends with false. */
struct fh_names_walk {
    struct fh_ring_walk ring;
    struct fh_page page; /* of the entry found */
    struct fh_entry entry;
};
bool fh_pager_next_name(const struct fh_pager *, struct fh_frame, struct fh_names_walk *);

/* The frame begins to be named by FRAME entries; it enters a queue. Its entries are set by the
 * caller. */
void fh_pager_map_frame(struct fh_pager *, struct fh_frame, bool dirty, bool epoch_known,
                        uint32_t epoch);

/* Different pages that exist, in a frame or a slot, and not only in a file. */
uint64_t fh_pager_live(const struct fh_pager *);

/* Whether a page that names the frame is pinned. */
bool fh_pager_is_pinned(const struct fh_pager *, struct fh_frame);
/* A frame that comes to no queue for now: aside if it is pinned, which gives up its slot; false: it is
 * not. */
bool fh_pager_set_aside(struct fh_pager *, struct fh_frame);
/* What is pinned may have changed for a frame in a queue, or aside. */
void fh_pager_requeue(struct fh_pager *, struct fh_frame);
/* The page's bytes are not in memory, or not any more: if it is pinned they are to be read in. */
void fh_pager_note_absent(struct fh_pager *, struct fh_page);
/* A frame of no queue: aside, or in the newest place of main. */
void fh_pager_enqueue_main(struct fh_pager *, struct fh_frame);
/* Clean frames that can be dropped. */
static inline uint64_t fh_pager_droppable(const struct fh_pager *p)
{
    return p->retained + p->file_clean - p->fifo.aside_clean;
}

/* The frame is named by no page any more: it leaves its queue and the counts. */
void fh_pager_unmap_frame(struct fh_pager *, struct fh_frame);

/* The entry becomes NOTHING; what it named loses a reference. */
void fh_pager_drop(struct fh_pager *, struct fh_page);
/* The page had nothing: the frame, whose reference the caller hands over, is its new content. */
void fh_pager_map(struct fh_pager *, struct fh_page, struct fh_frame);

/* --- pager_loads.c --- */

enum { FH_PAGER_OPS_FOR_RECLAIM = 8 };

/* Collects pages of consecutive slots, or of a file, into one operation. */
struct fh_loader {
    struct fh_page_op *op;
    struct fh_file *file; /* NULL: swap */
    uint64_t next;        /* slot, or page of the file, that would continue the run */
};
/* Starts to read a page; the hold is NULL when nobody waits for it. Free frames and operations were counted. */
struct fh_frame fh_loader_add(struct fh_pager *, struct fh_loader *, struct fh_hold *,
                              struct fh_page, struct fh_entry);
/* Starts what was collected. */
void fh_loader_flush(struct fh_pager *, struct fh_loader *);

/* Lets the hold wait for the operation, once. */
void fh_hold_wait_for(struct fh_hold *, struct fh_page_op *);
/* Parks the call in the line, unless nobody will ever be served from it. */
FH_CHECKED int fh_pager_wait(struct fh_pager *, struct fh_call *, uint32_t frames);

/* --- pager_files.c --- */

/* The origin's entry names the frame: what it holds is the page of the file. */
bool fh_pager_is_of_file(const struct fh_pager *, struct fh_frame);
/* The frame, dirty and without a slot, becomes the file's. */
void fh_pager_make_file(struct fh_pager *, struct fh_frame);
/* The file's page is another one from now on: who still names the frame has it as memory. */
void fh_pager_unfile(struct fh_pager *, struct fh_frame);
/* Makes the leaves that reading the page in sets entries of. */
FH_CHECKED int fh_pager_touch_ring(struct fh_pager *, struct fh_page);
/* Whether a view of the page would have to read it from the file as well. */
bool fh_pager_is_viewed(const struct fh_pager *, struct fh_page);
/* Starts to write consecutive pages of one file; FH_FRAME_NONE: zeros. NULL: no operation is free. */
struct fh_page_op *fh_pager_store_file(struct fh_pager *, const struct fh_writeback_page *pages,
                                       uint32_t count, enum fh_queue cleans, void *owner,
                                       void (*ended)(struct fh_page_op *, uint32_t gone));
/* Starts an fdatasync of the file, as an operation. NULL: none is free. */
struct fh_page_op *fh_pager_settle_file(struct fh_pager *, struct fh_file *);
/*
 * Before whole pages of a file get other entries: views of them, which would read the new bytes
 * later, get the old ones now, as memory of their own. -EINPROGRESS: parked, begin again.
 */
FH_CHECKED int fh_pager_part(struct fh_pager *, struct fh_call *, struct fh_hold *,
                             struct fh_page first, struct fh_page end);

/* A request touches the frame of this page. */
static inline void fh_pager_touch(struct fh_pager *p, struct fh_page page, struct fh_frame frame)
{
    struct fh_frame_record *r = fh_frames_record(&p->frames, frame);

    if (r->ahead) {
        r->ahead = 0; /* this is why it was read; what it is worth the next one will tell */
        p->ahead_used++;
    } else if (page.v < p->quiet.v || page.v >= p->quiet_end.v) {
        fh_fifo_touch(&p->fifo, frame);
    }
}

/* Releases a reference and, when that freed a frame, nothing more: waiting calls are run by pump.
 */
static inline void fh_pager_unref(struct fh_pager *p, struct fh_frame frame)
{
    (void)fh_frames_release(&p->frames, frame);
}

/* Frames and usable slots for content, by the capacity rule, when there are `frames`. */
uint64_t fh_pager_capacity(const struct fh_pager *, uint64_t frames);
/* Pages that may be given back in turns to come, by whom the options name. */
uint64_t fh_pager_room_comes(const struct fh_pager *);

/* Takes the memory to begin with. */
FH_CHECKED int fh_pager_budget_init(struct fh_pager *);
void fh_pager_budget_stats(const struct fh_pager *, struct fh_budget_stats *out);
struct fh_report;
void fh_pager_budget_check(const struct fh_pager *, struct fh_report *);
void fh_pager_budget_dump(const struct fh_pager *, FILE *out);

/* Free frames that nobody was promised. */
static inline uint32_t fh_pager_spare(const struct fh_pager *p)
{
    return p->frames.free > p->reserved ? p->frames.free - p->reserved : 0;
}

#endif
