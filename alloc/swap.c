/*
 * Theory.  A slot's number says where it lies in the file: slot n at page n - 1. A store takes a
 * run of slots, seals its pages into a bounce buffer, and writes that with one transfer; tags and
 * nonces go into the slot records at once, for nobody names the slots before `done`. A load reads
 * straight into the caller's pages and opens them there: until `done` they are nobody else's.
 *
 *   store:  seal -> write ----------------------> done        O_DIRECT
 *                   ^  \-> unsynced -> in_sync -> done        else
 *                   |________ once more ___/
 *   load:   read -> open -> [each page that failed: read, open] -> done
 *
 * Without O_DIRECT a finished write is only a promise of the page cache, and an error of the later
 * write-back is told to one fdatasync, whoever calls it. So there is one sync at a time, it covers
 * every write that was finished before it began, and when it fails all stores that are written or
 * being written count as failed. They are written again, from the bounce buffer, before they are
 * synced again: repeating the sync alone would succeed and mean nothing.
 *
 * Invariants
 *   [I1] the bounce buffers not in bounce_free are as many as the stores in flight
 *   [I2] a store waits for a sync only while one runs; none does with O_DIRECT
 *   [I3] nonce_next grows with each page sealed, and every live slot's nonce is below it
 *   [I4] the slots' own invariants
 */
#include "swap.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "report.h"
#include "swap_file.h"

enum {
    RUN_BYTES = FH_SWAP_RUN_MAX * FH_PAGE_SIZE,
    BOUNCE_BYTES = FH_SWAP_BOUNCE_COUNT * RUN_BYTES,
    WRITES_MAX = 2, /* of one store: the write and one retry */
};

_Static_assert((int)FH_SWAP_RUN_MAX <= (int)FH_IO_IOV_MAX, "a run is one transfer");
_Static_assert(FH_SWAP_BOUNCE_COUNT < 32, "bounce_free is a word");

/* --- life --- */

int fh_swap_init(struct fh_swap *s, const struct fh_swap_opts *o)
{
    uint64_t slots = o->size_bytes / FH_PAGE_SIZE;
    int rc;

    memset(s, 0, sizeof(*s));
    s->opts = *o;
    s->fd = -1;
    fh_list_init(&s->unsynced);
    fh_list_init(&s->in_sync);
    if (slots > UINT32_MAX)
        return -EFBIG;
    if ((rc = fh_slots_init(&s->slots, o->mem, (uint32_t)slots)) != 0)
        return rc;
    if (slots == 0)
        return 0;
    if ((rc = fh_cipher_init(&s->cipher, o->zone, o->random, o->random_ctx)) != 0)
        goto out_slots;
    rc = -ENOMEM;
    if (!(s->bounce = fh_mem_map(o->mem, BOUNCE_BYTES)))
        goto out_cipher;
    s->bounce_free = (1u << FH_SWAP_BOUNCE_COUNT) - 1;
    rc = fh_swap_file_open(o->dir, slots * FH_PAGE_SIZE, o->buffered, &s->fd, &s->stats.direct);
    if (rc == 0)
        return 0;

    fh_mem_unmap(o->mem, s->bounce, BOUNCE_BYTES);
out_cipher:
    fh_cipher_fini(&s->cipher);
out_slots:
    fh_slots_fini(&s->slots);
    return rc;
}

void fh_swap_fini(struct fh_swap *s)
{
    FH_ASSERT(s->stores == 0);
    FH_ASSERT(s->loads == 0);
    FH_ASSERT(!s->sync_running);
    if (s->fd >= 0) {
        close(s->fd);
        fh_mem_unmap(s->opts.mem, s->bounce, BOUNCE_BYTES);
        fh_cipher_fini(&s->cipher);
    }
    fh_slots_fini(&s->slots);
    s->fd = -1;
}

/* --- bounce buffers --- */

static uint8_t *bounce_take(struct fh_swap *s)
{
    uint32_t index = (uint32_t)__builtin_ctz(s->bounce_free);
    s->bounce_free &= ~(1u << index);
    return s->bounce + (size_t)index * RUN_BYTES;
}

static void bounce_give(struct fh_swap *s, uint8_t *bounce)
{
    uint32_t index = (uint32_t)((bounce - s->bounce) / RUN_BYTES);
    FH_ASSERT(!(s->bounce_free & (1u << index)));
    s->bounce_free |= 1u << index;
}

/* --- both ways --- */

static struct fh_slot run_slot(const struct fh_swap_run *run, uint32_t i)
{
    return (struct fh_slot){run->first.v + i};
}

static struct fh_swap_run *run_of(struct fh_transfer *t)
{
    return FH_CONTAINER_OF(t, struct fh_swap_run, transfer);
}

/* A transfer from the place of page i on, without buffers yet. */
static struct fh_transfer *run_transfer(struct fh_swap_run *run, enum fh_io_kind kind, uint32_t i,
                                        void (*done)(struct fh_transfer *))
{
    struct fh_transfer *t = &run->transfer;

    t->kind = kind;
    t->fd = run->swap->fd;
    t->offset = (uint64_t)(run_slot(run, i).v - 1) * FH_PAGE_SIZE;
    t->iov_count = 0;
    t->done = done;
    return t;
}

/* Adds a buffer; one that continues the last one makes it longer. */
static void transfer_add(struct fh_transfer *t, uint8_t *bytes, size_t size)
{
    struct iovec *last = t->iov_count > 0 ? &t->iov[t->iov_count - 1] : NULL;

    if (last && (uint8_t *)last->iov_base + last->iov_len == bytes)
        last->iov_len += size;
    else
        t->iov[t->iov_count++] = (struct iovec){bytes, size};
}

/* --- store --- */

static void store_write(struct fh_swap_run *run);

static void store_end(struct fh_swap_run *run, int status)
{
    struct fh_swap *s = run->swap;

    for (uint32_t i = 0; i < run->count; i++) {
        run->status[i] = status;
        if (status == 0)
            continue;
        fh_slots_shelve(&s->slots, run_slot(run, i));
        fh_slots_release(&s->slots, run_slot(run, i));
    }
    s->stats.stored_pages += status == 0 ? run->count : 0;
    bounce_give(s, run->bounce);
    run->bounce = NULL;
    s->stores--;
    run->done(run);
}

static void store_failed(struct fh_swap_run *run)
{
    if (run->tries < WRITES_MAX)
        store_write(run);
    else
        store_end(run, -EIO);
}

static void sync_begin(struct fh_swap *s);

static void sync_end_runs(struct fh_list *runs, void (*end)(struct fh_swap_run *))
{
    struct fh_list *node;
    while ((node = fh_list_pop(runs)) != NULL)
        end(FH_CONTAINER_OF(node, struct fh_swap_run, link));
}

static void store_synced(struct fh_swap_run *run)
{
    store_end(run, 0);
}

static void sync_done(struct fh_transfer *t)
{
    struct fh_swap *s = FH_CONTAINER_OF(t, struct fh_swap, sync);
    struct fh_list covered, later;

    /* Off the swap first: what `done` begins must not end in this round. */
    fh_list_init(&covered);
    fh_list_init(&later);
    fh_list_push_back(&s->in_sync, &covered);
    fh_list_remove(&s->in_sync);
    s->sync_running = false;
    if (t->result == 0) {
        sync_end_runs(&covered, store_synced);
    } else {
        s->stats.io_errors++;
        s->sync_faults++;
        fh_list_push_back(&s->unsynced, &later);
        fh_list_remove(&s->unsynced);
        sync_end_runs(&covered, store_failed);
        sync_end_runs(&later, store_failed);
    }
    sync_begin(s);
}

/* Starts a sync for all that is written, unless one runs: then those wait for the next. */
static void sync_begin(struct fh_swap *s)
{
    struct fh_list *node;

    if (s->sync_running || fh_list_is_empty(&s->unsynced))
        return;
    while ((node = fh_list_pop(&s->unsynced)) != NULL)
        fh_list_push_back(&s->in_sync, node);
    s->sync_running = true;
    s->sync.kind = FH_IO_DATASYNC;
    s->sync.fd = s->fd;
    s->sync.iov_count = 0;
    s->sync.done = sync_done;
    fh_io_submit(s->opts.io, &s->sync);
}

static void store_written(struct fh_transfer *t)
{
    struct fh_swap_run *run = run_of(t);
    struct fh_swap *s = run->swap;

    s->stats.io_errors += t->result != 0;
    if (t->result != 0 || (!s->stats.direct && run->sync_faults != s->sync_faults)) {
        store_failed(run);
    } else if (s->stats.direct) {
        store_end(run, 0);
    } else {
        fh_list_push_back(&s->unsynced, &run->link);
        sync_begin(s);
    }
}

static void store_write(struct fh_swap_run *run)
{
    struct fh_transfer *t = run_transfer(run, FH_IO_WRITE, 0, store_written);

    run->tries++;
    run->sync_faults = run->swap->sync_faults;
    transfer_add(t, run->bounce, (size_t)run->count * FH_PAGE_SIZE);
    fh_io_submit(run->swap->opts.io, t);
}

/* Seals the pages into the bounce buffer, tags and nonces into the slot records. */
static int store_seal(struct fh_swap *s, struct fh_swap_run *run)
{
    uint8_t tag[FH_CIPHER_TAG_BYTES];

    for (uint32_t i = 0; i < run->count; i++) {
        struct fh_cipher_id id = {run_slot(run, i), s->nonce_next++};
        int rc = fh_cipher_seal(&s->cipher, id, run->pages[i],
                                run->bounce + (size_t)i * FH_PAGE_SIZE, tag);
        if (rc != 0)
            return rc;
        fh_slots_seal(&s->slots, id.slot, id.nonce, tag);
    }
    return 0;
}

static void store_undo(struct fh_swap *s, struct fh_swap_run *run)
{
    for (uint32_t i = 0; i < run->count; i++)
        fh_slots_release(&s->slots, run_slot(run, i));
    bounce_give(s, run->bounce);
    run->bounce = NULL;
}

int fh_swap_store(struct fh_swap *s, struct fh_swap_run *run)
{
    FH_ASSERT(run->count >= 1);
    FH_ASSERT(run->count <= FH_SWAP_RUN_MAX);
    if (s->nonce_next + run->count > FH_CIPHER_NONCE_END)
        return -ENOSPC;
    if (s->fd >= 0 && s->bounce_free == 0)
        return -EAGAIN;
    uint32_t asked = run->count;
    int rc = fh_slots_take(&s->slots, asked, &run->first, &run->count);
    if (rc != 0)
        return rc;
    run->swap = s;
    run->tries = 0;
    fh_list_init(&run->link);
    run->bounce = bounce_take(s);
    if ((rc = store_seal(s, run)) != 0) {
        store_undo(s, run);
        run->count = asked;
        return rc;
    }
    s->stores++;
    store_write(run);
    return 0;
}

/* --- load --- */

static void load_end(struct fh_swap_run *run)
{
    struct fh_swap *s = run->swap;

    for (uint32_t i = 0; i < run->count; i++) {
        struct fh_slot slot = run_slot(run, i);
        if (run->status[i] == -EBADMSG)
            fh_slots_quarantine(&s->slots, slot);
        s->stats.loaded_pages += run->status[i] == 0;
        fh_slots_release(&s->slots, slot);
    }
    s->loads--;
    run->done(run);
}

/* Opens page i where it was read. */
static int load_open(struct fh_swap_run *run, uint32_t i)
{
    struct fh_swap *s = run->swap;
    const struct fh_slot_record *record = fh_slots_record(&s->slots, run_slot(run, i));
    struct fh_cipher_id id = {run_slot(run, i), fh_slots_nonce(&s->slots, run_slot(run, i))};
    int rc = fh_cipher_open(&s->cipher, id, run->pages[i], run->pages[i], record->tag);

    s->stats.bad_tags += rc == -EBADMSG;
    return rc;
}

static void load_again_done(struct fh_transfer *t);

/* Reads the next suspect page, alone; ends the run when there is none left. */
static void load_again(struct fh_swap_run *run)
{
    while (run->again < run->count && !run->suspect[run->again])
        run->again++;
    if (run->again == run->count) {
        load_end(run);
        return;
    }
    struct fh_transfer *t = run_transfer(run, FH_IO_READ, run->again, load_again_done);
    transfer_add(t, run->pages[run->again], FH_PAGE_SIZE);
    fh_io_submit(run->swap->opts.io, t);
}

static void load_again_done(struct fh_transfer *t)
{
    struct fh_swap_run *run = run_of(t);
    uint32_t i = run->again++;

    if (t->result == 0) {
        run->status[i] = load_open(run, i);
    } else {
        run->swap->stats.io_errors++;
        run->status[i] = -EIO;
        memset(run->pages[i], 0, FH_PAGE_SIZE);
    }
    load_again(run);
}

static void load_done(struct fh_transfer *t)
{
    struct fh_swap_run *run = run_of(t);

    run->swap->stats.io_errors += t->result != 0;
    for (uint32_t i = 0; i < run->count; i++) {
        run->status[i] = t->result == 0 ? load_open(run, i) : -EIO;
        run->suspect[i] = run->status[i] != 0;
    }
    load_again(run);
}

void fh_swap_load(struct fh_swap *s, struct fh_swap_run *run)
{
    FH_ASSERT(run->count >= 1);
    FH_ASSERT(run->count <= FH_SWAP_RUN_MAX);
    run->swap = s;
    run->again = 0;
    struct fh_transfer *t = run_transfer(run, FH_IO_READ, 0, load_done);
    for (uint32_t i = 0; i < run->count; i++) {
        bool held = fh_slots_hold(&s->slots, run_slot(run, i));
        FH_ASSERT(held);
        transfer_add(t, run->pages[i], FH_PAGE_SIZE);
    }
    s->loads++;
    fh_io_submit(s->opts.io, t);
}

/* --- names of slots --- */

bool fh_swap_slot_take(struct fh_swap *s, struct fh_slot slot)
{
    if (fh_slots_refs(&s->slots, slot) >= FH_SWAP_NAMES_MAX)
        return false;
    return fh_slots_hold(&s->slots, slot);
}

void fh_swap_slot_give(struct fh_swap *s, struct fh_slot slot)
{
    fh_slots_release(&s->slots, slot);
}

void fh_swap_slot_quarantine(struct fh_swap *s, struct fh_slot slot)
{
    fh_slots_quarantine(&s->slots, slot);
}

/* --- looking inside --- */

void fh_swap_stats(const struct fh_swap *s, struct fh_swap_stats *out)
{
    struct fh_slots_stats slots;

    fh_slots_stats(&s->slots, &slots);
    *out = s->stats;
    out->slots_total = slots.total;
    out->slots_used = slots.used;
    out->slots_quarantined = slots.quarantined;
}

static void check_nonces(const struct fh_swap *s, struct fh_report *r)
{
    if (s->cipher.stats.sealed > s->nonce_next)
        fh_report(r, "[I3] %lu pages sealed, %lu nonces used",
                  (unsigned long)s->cipher.stats.sealed, (unsigned long)s->nonce_next);
    for (uint64_t v = 1; v <= s->slots.total; v++) {
        struct fh_slot slot = {(uint32_t)v};
        if (fh_slots_refs(&s->slots, slot) > 0 && fh_slots_nonce(&s->slots, slot) >= s->nonce_next)
            fh_report(r, "[I3] slot %u: nonce %lu of %lu", slot.v,
                      (unsigned long)fh_slots_nonce(&s->slots, slot), (unsigned long)s->nonce_next);
    }
}

bool fh_swap_check(const struct fh_swap *s, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint32_t free_count = (uint32_t)__builtin_popcount(s->bounce_free);
    bool waiting = !fh_list_is_empty(&s->unsynced) || !fh_list_is_empty(&s->in_sync);

    if (s->fd >= 0 && free_count + s->stores != FH_SWAP_BOUNCE_COUNT)
        fh_report(&r, "[I1] %u bounce buffers free, %u stores", free_count, s->stores);
    if (waiting && (!s->sync_running || s->stats.direct))
        fh_report(&r, "[I2] stores wait for a sync that does not run");
    check_nonces(s, &r);
    if (!fh_slots_check(&s->slots, why))
        fh_report(&r, "[I4] slots are broken");
    if (!fh_cipher_check(&s->cipher, why))
        fh_report(&r, "[I4] cipher is broken");
    return r.broken == 0;
}

void fh_swap_dump(const struct fh_swap *s, FILE *out)
{
    fprintf(out,
            "swap fd %d direct %d stores %u loads %u stored %lu loaded %lu bad %lu errors %lu\n",
            s->fd, s->stats.direct, s->stores, s->loads, (unsigned long)s->stats.stored_pages,
            (unsigned long)s->stats.loaded_pages, (unsigned long)s->stats.bad_tags,
            (unsigned long)s->stats.io_errors);
    fh_slots_dump(&s->slots, out);
    fh_cipher_dump(&s->cipher, out);
}
