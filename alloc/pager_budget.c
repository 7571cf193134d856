/*
 * Theory.  The region is address space for the most frames there can ever be; how many the zone has is its budget, and
 * changes while it runs. The unit is the chunk, 512 frames: whole, so that the kernel gives and takes it as one huge
 * page, and so that zones of one region can lend it to each other.
 *
 * To grow is to own another chunk: its frames are free at once. To shrink, the chunk with the fewest frames in use
 * leaves: none of its frames is free any more, and those in use are moved, a slice in each turn. A frame moves when
 * only entries refer to it: its bytes are copied to a free frame, every entry of its ring names that one instead, and
 * it takes the old one's place in the queue, so neither readers nor the eviction policy see a difference. A frame that
 * is held, or busy with I/O, waits until it is not. Where no frame is free, reclaim is told to evict (need).
 * An empty chunk goes to the kernel by one madvise, or, warm, to whoever takes it next.
 *
 *   chunk        A (12 used)          B (400 used)            A leaves: its 12 pages move to free frames of B,
 *            [#..#..#.........]   [####.###.#####..]          A is empty and goes
 *
 * New content is admitted by the smaller of what is there and what is asked for, from the moment it is asked. A chunk
 * leaves only while the rest still holds what lives here by the capacity rule, and 2 * hold_max frames; else the
 * shrink stops, and goes on by itself when something was freed.
 *
 * Why it ends: a leaving chunk's frames only become fewer. Moves take spare frames, also below free_min, though few a
 * turn; so they delay the line by a bounded number of frames, and the line delays them by a turn at most.
 *
 * Invariants
 *   [B1] the leaving chunks are those in the list, each once
 *   [B2] asked lies between 2 * hold_max and the frames of the region
 *   [B3] at most one owned chunk is not whole, and partial names it
 *   [B4] in a region of its own no chunk below absent_from is absent
 */
#include <errno.h>
#include <string.h>

#include "bits.h"
#include "pager_private.h"
#include "report.h"

enum {
    GROW_CHUNKS = 64,  /* in a slice */
    MOVE_FRAMES = 64,  /* in a slice */
    MOVE_SQUEEZED = 4, /* in a slice, below free_min */
    GIVE_CHUNKS = 4,   /* in a slice: the kernel takes 50 to 100 us for one of small pages */
    CHUNK_NONE = UINT32_MAX
};

/* --- where chunks come from --- */

static bool budget_take(struct fh_pager *p, uint32_t *chunk)
{
    struct fh_pager_budget *b = &p->budget;
    uint32_t count = fh_frames_chunk_count(&p->frames);

    if (p->opts.source.take)
        return p->opts.source.take(p->opts.source.ctx, chunk);
    while (b->absent_from < count && p->frames.chunks[b->absent_from].state != FH_CHUNK_ABSENT)
        b->absent_from++;
    *chunk = b->absent_from;
    return *chunk < count;
}

static void budget_give(struct fh_pager *p, uint32_t chunk, uint32_t touched)
{
    struct fh_pager_budget *b = &p->budget;
    struct fh_frame first = {chunk << p->frames.chunk_order};
    bool warm = b->warm && p->opts.source.give;

    if (!warm && touched > 0)
        fh_mem_forget(fh_region_bytes(&p->region, first), (uint64_t)touched << FH_PAGE_SHIFT);
    b->chunks_given++;
    if (p->opts.source.give)
        p->opts.source.give(p->opts.source.ctx, chunk, warm);
    else if (chunk < b->absent_from)
        b->absent_from = chunk;
}

/* --- growing --- */

/* A leaving chunk that fits into what is missing stays. */
static bool budget_keep(struct fh_pager *p, uint32_t missing)
{
    struct fh_pager_budget *b = &p->budget;

    for (uint32_t i = 0; i < b->leaving_count; i++) {
        uint32_t chunk = b->leaving[i];
        bool whole = p->frames.chunks[chunk].size == fh_frames_chunk_room(&p->frames, chunk);
        if (p->frames.chunks[chunk].size > missing || (!whole && b->partial != CHUNK_NONE))
            continue;
        fh_frames_stay(&p->frames, chunk);
        b->partial = whole ? b->partial : chunk;
        b->leaving_count--;
        b->leaving[i] = b->leaving[b->leaving_count];
        b->hands[i] = b->hands[b->leaving_count];
        return true;
    }
    return false;
}

/* One chunk more, or more of the one that is not whole; false: there is none. */
static bool budget_grow_once(struct fh_pager *p)
{
    struct fh_pager_budget *b = &p->budget;
    uint32_t missing = b->asked - p->frames.total;
    uint32_t chunk = b->partial;

    if (budget_keep(p, missing))
        return true;
    if (chunk == CHUNK_NONE) {
        if (!budget_take(p, &chunk))
            return false;
        b->chunks_taken++;
    }
    uint32_t room = fh_frames_chunk_room(&p->frames, chunk);
    uint32_t size = (uint32_t)fh_min_u64(room, (uint64_t)p->frames.chunks[chunk].size + missing);
    fh_frames_own(&p->frames, chunk, size);
    b->partial = size < room ? chunk : CHUNK_NONE;
    return true;
}

static bool budget_grow(struct fh_pager *p)
{
    uint32_t steps = GROW_CHUNKS;
    bool some = true;

    while (some && p->frames.total < p->budget.asked && steps-- > 0)
        some = budget_grow_once(p);
    return some && p->frames.total < p->budget.asked;
}

int fh_pager_budget_init(struct fh_pager *p)
{
    p->budget = (struct fh_pager_budget){.asked = (uint32_t)(p->opts.memory_bytes >> FH_PAGE_SHIFT),
                                         .partial = CHUNK_NONE};
    while (budget_grow(p))
        ;
    return p->frames.total == p->budget.asked ? 0 : -ENOMEM;
}

/* --- leaving --- */

/* Frames without which what lives here would break the capacity rule, or pins take more than half. */
static uint64_t budget_least(const struct fh_pager *p)
{
    uint64_t twice = 2 * (uint64_t)p->opts.hold_max;
    uint64_t content = fh_pager_live(p) + p->claimed;
    uint64_t room = fh_pager_capacity(p, twice); /* for content, were there only so many frames */
    uint64_t least = content > room ? content - room + twice : twice;

    return p->pins.pages > 0 ? fh_max_u64(least, 2 * (p->pins.pages + twice)) : least;
}

/* Another chunk leaves, if one can: true. */
static bool budget_begin_leaving(struct fh_pager *p)
{
    struct fh_pager_budget *b = &p->budget;
    struct fh_frames *f = &p->frames;
    uint64_t least = budget_least(p);
    uint32_t smallest =
        b->partial != CHUNK_NONE ? f->chunks[b->partial].size : 1u << f->chunk_order;

    if (b->leaving_count == FH_BUDGET_LEAVING_MAX)
        return false;
    b->state = b->leaving_count > 0 ? FH_BUDGET_SHRINKING : FH_BUDGET_STOPPED;
    if (f->total < least + smallest)
        return false;
    uint32_t chunk = fh_frames_emptiest(f);
    uint32_t size = f->chunks[chunk].size;
    uint32_t spare = size - f->chunks[chunk].used; /* that will be gone */
    if (f->total < least + size)
        return false;
    b->state = FH_BUDGET_SHRINKING;
    if (fh_pager_spare(p) < spare)
        return false; /* promised to calls that wait for pages: these will come */
    fh_frames_leave(f, chunk);
    if (chunk == b->partial)
        b->partial = CHUNK_NONE;
    b->leaving[b->leaving_count] = chunk;
    b->hands[b->leaving_count++] = 0;
    return true;
}

static void budget_part(struct fh_pager *p, uint32_t i)
{
    struct fh_pager_budget *b = &p->budget;
    uint32_t chunk = b->leaving[i];
    uint32_t touched = p->frames.chunks[chunk].touched;

    fh_frames_part(&p->frames, chunk);
    b->leaving_count--;
    b->leaving[i] = b->leaving[b->leaving_count];
    b->hands[i] = b->hands[b->leaving_count];
    budget_give(p, chunk, touched);
}

/* --- moving --- */

/* Only entries refer to it, and no I/O. It need not be in a queue. */
static bool frame_may_move(const struct fh_pager *p, struct fh_frame frame)
{
    const struct fh_frame_record *r = fh_frames_record(&p->frames, frame);

    return r->page != FH_PAGE_NONE && !r->busy && r->refs > 0 &&
           (r->refs == 1 || r->refs == fh_pager_names(p, frame));
}

static void frame_move(struct fh_pager *p, struct fh_frame from)
{
    struct fh_frame to = fh_frames_take(&p->frames);
    struct fh_frame_record *old = fh_frames_record(&p->frames, from);
    struct fh_names_walk walk = {0};

    FH_ASSERT(to.v != FH_FRAME_NONE.v);
    memcpy(fh_region_bytes(&p->region, to), fh_region_bytes(&p->region, from), FH_PAGE_SIZE);
    while (fh_pager_next_name(p, from, &walk))
        fh_pagetable_set(&p->table, walk.page,
                         fh_entry_make(FH_PAGE_FRAME, to.v, fh_entry_slot(walk.entry)));
    *fh_frames_record(&p->frames, to) = *old; /* also the references: all of them moved */
    if (old->queue != FH_QUEUE_NONE)
        fh_fifo_replace(&p->fifo, from, to);
    old->page = FH_PAGE_NONE;
    old->refs = 1;
    fh_pager_unref(p, from);
    p->budget.frames_moved++;
}

/* Frames that may be moved in this slice. */
static uint32_t budget_moves(const struct fh_pager *p)
{
    uint32_t spare = fh_pager_spare(p);
    uint32_t keep = p->opts.free_min;

    if (spare > keep)
        return (uint32_t)fh_min_u64(spare - keep, MOVE_FRAMES);
    return (uint32_t)fh_min_u64(spare, MOVE_SQUEEZED);
}

/* Moves what can be moved of a leaving chunk; true when it could go on. */
static bool budget_empty(struct fh_pager *p, uint32_t i, uint32_t *moves)
{
    struct fh_pager_budget *b = &p->budget;
    const struct fh_chunk *c = &p->frames.chunks[b->leaving[i]];
    uint32_t first = b->leaving[i] << p->frames.chunk_order;

    for (uint32_t looks = 0; c->used > 0 && *moves > 0 && looks < c->touched; looks++) {
        struct fh_frame frame = {first + b->hands[i]};
        b->hands[i] = b->hands[i] + 1u < c->touched ? b->hands[i] + 1 : 0;
        if (!frame_may_move(p, frame))
            continue;
        frame_move(p, frame);
        --*moves;
    }
    if (c->used > 0)
        return *moves == 0;
    budget_part(p, i);
    return true;
}

bool fh_pager_budget_turn(struct fh_pager *p)
{
    struct fh_pager_budget *b = &p->budget;
    bool more = false;

    b->need = 0;
    b->state = FH_BUDGET_STEADY;
    if (p->frames.total == b->asked && b->leaving_count == 0)
        return false;
    if (p->frames.total < b->asked) {
        more = budget_grow(p);
        b->state = p->frames.total < b->asked ? FH_BUDGET_GROWING : FH_BUDGET_STEADY;
    } else if (p->frames.total > b->asked) {
        more = budget_begin_leaving(p);
    }
    if (b->leaving_count > 0 && b->state == FH_BUDGET_STEADY)
        b->state = FH_BUDGET_SHRINKING;
    uint32_t moves = budget_moves(p);
    uint64_t given = b->chunks_given;
    for (uint32_t i = b->leaving_count; i-- > 0 && b->chunks_given - given < GIVE_CHUNKS;)
        more = budget_empty(p, i, &moves) || more;
    if (p->frames.leaving > 0 && moves == 0)
        b->need = MOVE_SQUEEZED;
    /* Without a spare frame it goes on when reclaim has made some. */
    return more && (moves > 0 || fh_pager_spare(p) > 0);
}

void fh_pager_set_memory(struct fh_pager *p, uint64_t bytes, bool warm)
{
    uint64_t frames = fh_min_u64(bytes >> FH_PAGE_SHIFT, p->frames.span);

    p->budget.asked = (uint32_t)fh_max_u64(frames, 2 * (uint64_t)p->opts.hold_max);
    p->budget.warm = warm;
    (void)fh_pager_budget_turn(p);
}

/* --- looking inside --- */

void fh_pager_budget_stats(const struct fh_pager *p, struct fh_budget_stats *out)
{
    const struct fh_pager_budget *b = &p->budget;

    uint64_t held = p->frames.total;

    for (uint32_t i = 0; i < b->leaving_count; i++)
        held += p->frames.chunks[b->leaving[i]].size;
    *out = (struct fh_budget_stats){.held = held,
                                    .asked = b->asked,
                                    .least = budget_least(p),
                                    .state = b->state,
                                    .frames_moved = b->frames_moved,
                                    .chunks_taken = b->chunks_taken,
                                    .chunks_given = b->chunks_given};
}

static void check_leaving(const struct fh_pager *p, struct fh_report *r)
{
    const struct fh_pager_budget *b = &p->budget;
    uint32_t leaving = 0;

    for (uint32_t i = 0; i < fh_frames_chunk_count(&p->frames); i++)
        leaving += p->frames.chunks[i].state == FH_CHUNK_LEAVING;
    if (leaving != b->leaving_count)
        fh_report(r, "[B1] %u chunks leave, %u are in the list", leaving, b->leaving_count);
    for (uint32_t i = 0; i < b->leaving_count; i++) {
        if (p->frames.chunks[b->leaving[i]].state != FH_CHUNK_LEAVING)
            fh_report(r, "[B1] chunk %u: in the list, but does not leave", b->leaving[i]);
        for (uint32_t k = 0; k < i; k++)
            if (b->leaving[i] == b->leaving[k])
                fh_report(r, "[B1] chunk %u: twice in the list", b->leaving[i]);
    }
}

static void check_owned(const struct fh_pager *p, struct fh_report *r)
{
    const struct fh_frames *f = &p->frames;

    for (uint32_t i = 0; i < fh_frames_chunk_count(f); i++) {
        const struct fh_chunk *c = &f->chunks[i];
        bool whole = c->size == fh_frames_chunk_room(f, i);
        if (c->state == FH_CHUNK_OWNED && whole == (i == p->budget.partial))
            fh_report(r, "[B3] chunk %u: %u frames; partial is %u", i, c->size, p->budget.partial);
        if (c->state == FH_CHUNK_ABSENT && !p->opts.source.take && i < p->budget.absent_from)
            fh_report(r, "[B4] chunk %u: absent, below %u", i, p->budget.absent_from);
    }
}

void fh_pager_budget_check(const struct fh_pager *p, struct fh_report *r)
{
    if (p->budget.asked < 2 * p->opts.hold_max || p->budget.asked > p->frames.span)
        fh_report(r, "[B2] %u frames are asked for, of %u", p->budget.asked, p->frames.span);
    check_leaving(p, r);
    check_owned(p, r);
}

void fh_pager_budget_dump(const struct fh_pager *p, FILE *out)
{
    const struct fh_pager_budget *b = &p->budget;
    static const char *const states[] = {"steady", "growing", "shrinking", "stopped"};

    fprintf(out, "budget: %u frames asked for, %s, %u chunks leave, %llu frames moved\n", b->asked,
            states[b->state], b->leaving_count, (unsigned long long)b->frames_moved);
}
