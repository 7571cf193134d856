/*
 * Theory.  A disk promises only sectors, so a page that is overwritten when the power goes may be
 * half old and half new. Therefore its image is written elsewhere first. A group of images lies in
 * the journal file behind a head that has the sum of each image and of itself: it is committed if
 * and only if all sums hold, so there is no order to keep between head and images, and one
 * fdatasync makes both durable. A torn group has a wrong sum and is ignored; nothing of it was in
 * place yet.
 *
 *   file      [generation][head: tag, first, count, sums | ...][image][image]...
 *   images -> fdatasync -> logged | in place, sync: the callers | -> all forgotten -> same room again
 *
 * A file whose write or sync has failed is never trusted again: what the system says of it later is
 * about other pages. When a journal file fails, the other takes over under a higher generation,
 * written and synced first: what the failed one holds was never in place and must not come back
 * after later groups. When writing in place fails, the images are all there is of those pages, so
 * the journal stops and keeps them until the owner has put the pages somewhere else.
 *
 * Invariants
 *   [I1] nobody is told `logged` with 0 before the images are durable
 *   [I2] images are not overwritten before every batch of the group is forgotten
 *   [I3] busy is the number of moves in use; none is when IDLE, HOLDING or STOPPED
 *   [I4] held is the number of batches in the group when HOLDING; else 0
 *   [I5] the current file's generation is durable, and higher than the other file's
 * Source: Mohan et al., ARIES, TODS 17(1) 1992, for redo; the double-write buffer of InnoDB.
 */
#include "journal.h"

#include <errno.h>
#include <string.h>

#include "crc.h"
#include "ids.h"
#include "journal_disk.h"
#include "report.h"

int fh_journal_init(struct fh_journal *j, const struct fh_journal_opts *opts)
{
    const size_t moves_bytes = FH_JOURNAL_MOVES * sizeof(*j->moves);

    *j = (struct fh_journal){.opts = *opts};
    fh_list_init(&j->queue);
    fh_list_init(&j->group);
    /* maps, since buffers lie on page boundaries */
    j->head = fh_mem_map(opts->mem, FH_JOURNAL_HEAD_BYTES);
    j->page_buffer = fh_mem_map(opts->mem, FH_PAGE_SIZE);
    j->moves = fh_mem_take(opts->mem, moves_bytes);
    if (!j->head || !j->page_buffer || !j->moves) {
        fh_journal_fini(j);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < FH_JOURNAL_MOVES; i++)
        j->moves[i].journal = j;
    return 0;
}

void fh_journal_fini(struct fh_journal *j)
{
    FH_ASSERT(fh_list_is_empty(&j->queue) && fh_list_is_empty(&j->group));
    fh_mem_unmap(j->opts.mem, j->head, FH_JOURNAL_HEAD_BYTES);
    fh_mem_unmap(j->opts.mem, j->page_buffer, FH_PAGE_SIZE);
    fh_mem_give(j->opts.mem, j->moves, FH_JOURNAL_MOVES * sizeof(*j->moves));
    j->head = NULL;
    j->page_buffer = NULL;
    j->moves = NULL;
}

/* --- the head --- */

static struct fh_journal_batch *batch_of(struct fh_list *node)
{
    return FH_CONTAINER_OF(node, struct fh_journal_batch, link);
}

static uint8_t *head_put(uint8_t *at, const void *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

static uint8_t *head_put_batch(uint8_t *at, const struct fh_journal_batch *b)
{
    struct fh_journal_section section = {
        .tag_size = b->tag_size, .count = b->count, .first = b->first, .last_bytes = b->last_bytes};

    at = head_put(at, &section, sizeof(section));
    at = head_put(at, b->tag, b->tag_size);
    for (uint32_t i = 0; i < b->count; i++) {
        uint32_t crc = fh_crc32c(0, b->pages[i], FH_PAGE_SIZE);
        at = head_put(at, &crc, sizeof(crc));
    }
    return at;
}

/* What a batch needs of the head. */
static uint32_t batch_head_bytes(const struct fh_journal_batch *b)
{
    return (uint32_t)(sizeof(struct fh_journal_section) + b->tag_size +
                      b->count * sizeof(uint32_t));
}

/* Takes as many batches as fit and writes their head into memory. */
static void group_take(struct fh_journal *j)
{
    struct fh_journal_head head = {.generation = j->generation, .bytes = sizeof(head)};
    uint8_t *at = j->head + sizeof(head);
    struct fh_list *node;

    while ((node = fh_list_first(&j->queue)) && head.batches < FH_JOURNAL_BATCHES) {
        struct fh_journal_batch *b = batch_of(node);
        if (head.images + b->count > FH_JOURNAL_PAGES ||
            head.bytes + batch_head_bytes(b) > FH_JOURNAL_HEAD_BYTES)
            break;
        fh_list_remove(node);
        fh_list_push_back(&j->group, node);
        at = head_put_batch(at, b);
        head.bytes += batch_head_bytes(b);
        head.images += b->count;
        head.batches++;
    }
    memcpy(head.magic, FH_JOURNAL_HEAD_MAGIC, sizeof(head.magic));
    memcpy(j->head, &head, sizeof(head));
    head.crc = fh_crc32c(0, j->head, head.bytes);
    memcpy(j->head, &head, sizeof(head));
    j->stats.groups++;
    j->stats.batches += head.batches;
    j->stats.pages += head.images;
}

static uint32_t head_pages(const struct fh_journal *j)
{
    struct fh_journal_head head;
    memcpy(&head, j->head, sizeof(head));
    return (uint32_t)fh_pages_for(head.bytes);
}

/* --- moves --- */

static void journal_go_on(struct fh_journal *);

static void move_done(struct fh_transfer *t)
{
    struct fh_journal_move *m = FH_CONTAINER_OF(t, struct fh_journal_move, transfer);
    struct fh_journal *j = m->journal;

    m->in_use = false;
    j->busy--;
    if (t->result != 0 && j->error == 0)
        j->error = t->result;
    journal_go_on(j);
}

/* A free move, or NULL. */
static struct fh_transfer *move_take(struct fh_journal *j, enum fh_io_kind kind, int fd)
{
    for (uint32_t i = 0; i < FH_JOURNAL_MOVES; i++) {
        struct fh_journal_move *m = &j->moves[i];
        if (m->in_use)
            continue;
        m->in_use = true;
        m->transfer.kind = kind;
        m->transfer.fd = fd;
        m->transfer.offset = 0;
        m->transfer.iov_count = 0;
        m->transfer.done = move_done;
        j->busy++;
        return &m->transfer;
    }
    return NULL;
}

static void move_add(struct fh_transfer *t, const void *bytes, size_t size)
{
    t->iov[t->iov_count++] = (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
}

/* The batch that the cursor stands in, or NULL at the end of the group. */
static struct fh_journal_batch *cursor_batch(struct fh_journal *j)
{
    return j->batch == &j->group ? NULL : batch_of(j->batch);
}

static void cursor_next(struct fh_journal *j)
{
    if (++j->page == batch_of(j->batch)->count) {
        j->batch = j->batch->next;
        j->page = 0;
    }
}

/* --- what a phase submits: false = nothing more --- */

/* The one move of a phase, into the current file. */
static bool issue_once(struct fh_journal *j, enum fh_io_kind kind, uint64_t offset,
                       const uint8_t *bytes, uint32_t pages)
{
    struct fh_transfer *t;

    if (j->head_written || !(t = move_take(j, kind, j->opts.fd[j->current])))
        return false;
    if (pages > 0)
        move_add(t, bytes, (size_t)pages << FH_PAGE_SHIFT);
    t->offset = offset;
    j->head_written = true;
    fh_io_submit(j->opts.io, t);
    return true;
}

static bool issue_images(struct fh_journal *j)
{
    if (!cursor_batch(j))
        return false;
    struct fh_transfer *t = move_take(j, FH_IO_WRITE, j->opts.fd[j->current]);
    if (!t)
        return false;
    t->offset = fh_journal_image_offset(j->images_written);
    for (; t->iov_count < FH_IO_IOV_MAX && cursor_batch(j); cursor_next(j), j->images_written++)
        move_add(t, cursor_batch(j)->pages[j->page], FH_PAGE_SIZE);
    fh_io_submit(j->opts.io, t);
    return true;
}

static bool journal_issue(struct fh_journal *j)
{
    if (j->error != 0)
        return false;
    switch (j->phase) {
    case FH_JOURNAL_SWITCH:
        return issue_once(j, FH_IO_WRITE, 0, j->page_buffer, 1);
    case FH_JOURNAL_SWITCH_SYNC:
    case FH_JOURNAL_COMMIT:
        return issue_once(j, FH_IO_DATASYNC, 0, NULL, 0);
    case FH_JOURNAL_IMAGES:
        return issue_once(j, FH_IO_WRITE, FH_JOURNAL_HEAD_OFFSET, j->head, head_pages(j)) ||
               issue_images(j);
    case FH_JOURNAL_CLEAR:
        return issue_once(j, FH_IO_WRITE, FH_JOURNAL_HEAD_OFFSET, j->page_buffer, 1);
    case FH_JOURNAL_IDLE:
    case FH_JOURNAL_HOLDING:
    case FH_JOURNAL_STOPPED:
    case FH_JOURNAL_REFUSE:
        break;
    }
    return false;
}

/* --- from phase to phase --- */

static void phase_begin(struct fh_journal *j, enum fh_journal_phase phase)
{
    j->phase = phase;
    j->error = 0;
    j->head_written = false;
    j->images_written = 0;
    j->batch = j->group.next;
    j->page = 0;
}

/* Any completion will do: the group is refused from there. */
static void journal_refuse(struct fh_journal *j)
{
    struct fh_transfer *t = move_take(j, FH_IO_DATASYNC, j->opts.fd[0]);

    phase_begin(j, FH_JOURNAL_REFUSE);
    fh_io_submit(j->opts.io, t); /* nothing is in flight, so there was a move */
}

static void journal_begin_next(struct fh_journal *j)
{
    if (fh_list_is_empty(&j->queue)) {
        phase_begin(j, FH_JOURNAL_IDLE);
        return;
    }
    group_take(j);
    if (j->current < FH_JOURNAL_FILES)
        phase_begin(j, FH_JOURNAL_IMAGES);
    else
        journal_refuse(j);
}

/* The current file has failed and stays as it is; the other one takes over [I5]. */
static void journal_switch(struct fh_journal *j)
{
    j->stats.failed_files++;
    if (++j->current == FH_JOURNAL_FILES) {
        journal_begin_next(j);
        return;
    }
    fh_journal_super_fill(j->page_buffer, ++j->generation);
    phase_begin(j, FH_JOURNAL_SWITCH);
}

static void journal_clear_or_next(struct fh_journal *j)
{
    if (fh_list_is_empty(&j->queue))
        phase_begin(j, FH_JOURNAL_CLEAR);
    else
        journal_begin_next(j);
}

/* The room of the group may be used again when nobody needs its images [I2]. */
static void holding_end(struct fh_journal *j)
{
    if (j->held > 0)
        return;
    if (j->in_doubt)
        phase_begin(j, FH_JOURNAL_STOPPED);
    else
        journal_clear_or_next(j);
    j->in_doubt = false;
}

/* Tells the batches of the group what became of it. */
static void group_tell(struct fh_journal *j, int rc)
{
    struct fh_list told, *node;

    fh_list_init(&told);
    while ((node = fh_list_pop(&j->group)))
        fh_list_push_back(&told, node);
    while ((node = fh_list_pop(&told))) {
        struct fh_journal_batch *b = batch_of(node);
        b->result = rc;
        j->held += rc == 0;
        b->logged(b); /* what it logs waits in the queue */
    }
}

/* All of the group is safe. A batch may be forgotten from within `logged`. */
static void group_is_safe(struct fh_journal *j)
{
    phase_begin(j, FH_JOURNAL_HOLDING);
    j->held = 1; /* until all were told */
    group_tell(j, 0);
    j->held--;
    holding_end(j);
}

/* A step that concerns the current file is over. */
static void file_step_end(struct fh_journal *j, enum fh_journal_phase next)
{
    if (j->error == 0) {
        phase_begin(j, next);
        return;
    }
    group_tell(j, j->error);
    journal_switch(j);
}

/* All moves of the phase are over. */
static void phase_end(struct fh_journal *j)
{
    switch (j->phase) {
    case FH_JOURNAL_SWITCH:
        file_step_end(j, FH_JOURNAL_SWITCH_SYNC);
        break;
    case FH_JOURNAL_IMAGES:
        file_step_end(j, FH_JOURNAL_COMMIT);
        break;
    case FH_JOURNAL_COMMIT:
        if (j->error == 0)
            group_is_safe(j);
        else
            file_step_end(j, FH_JOURNAL_IDLE);
        break;
    case FH_JOURNAL_SWITCH_SYNC:
    case FH_JOURNAL_CLEAR:
        memset(j->page_buffer, 0, FH_PAGE_SIZE);
        if (j->error != 0)
            journal_switch(j);
        else
            journal_begin_next(j);
        break;
    case FH_JOURNAL_REFUSE:
        group_tell(j, -EIO);
        journal_begin_next(j);
        break;
    case FH_JOURNAL_IDLE:
    case FH_JOURNAL_HOLDING:
    case FH_JOURNAL_STOPPED:
        break;
    }
}

static bool journal_rests(const struct fh_journal *j)
{
    return j->phase == FH_JOURNAL_IDLE || j->phase == FH_JOURNAL_HOLDING ||
           j->phase == FH_JOURNAL_STOPPED;
}

static void journal_go_on(struct fh_journal *j)
{
    while (!journal_rests(j)) {
        while (journal_issue(j))
            ;
        if (j->busy > 0)
            return;
        phase_end(j);
    }
}

void fh_journal_log(struct fh_journal *j, struct fh_journal_batch *b)
{
    FH_ASSERT(b->count > 0 && b->count <= FH_JOURNAL_PAGES);
    FH_ASSERT(b->tag_size <= FH_JOURNAL_TAG_MAX);
    FH_ASSERT(b->last_bytes > 0 && b->last_bytes <= FH_PAGE_SIZE);
    b->result = 0;
    fh_list_push_back(&j->queue, &b->link);
    if (j->phase != FH_JOURNAL_IDLE)
        return;
    journal_begin_next(j);
    journal_go_on(j);
}

void fh_journal_forget(struct fh_journal *j, struct fh_journal_batch *b, int status)
{
    FH_ASSERT(j->phase == FH_JOURNAL_HOLDING);
    FH_ASSERT(b->result == 0 && j->held > 0);
    j->held--;
    j->in_doubt = j->in_doubt || status != 0;
    holding_end(j);
    journal_go_on(j);
}

void fh_journal_resume(struct fh_journal *j)
{
    FH_ASSERT(j->phase == FH_JOURNAL_STOPPED);
    journal_clear_or_next(j);
    journal_go_on(j);
}

bool fh_journal_is_stopped(const struct fh_journal *j)
{
    return j->phase == FH_JOURNAL_STOPPED;
}

bool fh_journal_is_idle(const struct fh_journal *j)
{
    return j->phase == FH_JOURNAL_IDLE && fh_list_is_empty(&j->queue);
}

/* --- looking inside --- */

bool fh_journal_check(const struct fh_journal *j, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint32_t used = 0;

    for (uint32_t i = 0; i < FH_JOURNAL_MOVES; i++)
        used += j->moves[i].in_use;
    if (used != j->busy)
        fh_report(&r, "[I3] %u moves in flight, counted %u", j->busy, used);
    if (journal_rests(j) && used > 0)
        fh_report(&r, "[I3] at rest, but %u moves in flight", used);
    if (j->held > 0 && j->phase != FH_JOURNAL_HOLDING)
        fh_report(&r, "[I4] %u batches held in phase %d", j->held, (int)j->phase);
    return r.broken == 0;
}

void fh_journal_stats(const struct fh_journal *j, struct fh_journal_stats *out)
{
    *out = j->stats;
    out->files_left = FH_JOURNAL_FILES - j->current;
}

void fh_journal_dump(const struct fh_journal *j, FILE *out)
{
    fprintf(out, "journal: phase %d, generation %llu, file %u, %u moves in flight\n", (int)j->phase,
            (unsigned long long)j->generation, j->current, j->busy);
}
