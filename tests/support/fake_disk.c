/*
 * Theory.  A transfer waits in `pending` for as many reaps as the dice said, then it is performed
 * in one go, and so late that a buffer which was changed or reused too early shows. Each page of
 * the image remembers what it held before, for stale reads. The eventfd is readable whenever
 * waiting could bring something: as long as transfers are pending and the disk does not hang.
 */
#include "tests/support/fake_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "alloc/bits.h"

enum { PAGE = 4096, SECTOR = 512 };
enum { PLANNED = 1, REAP = 2 }; /* in the result of a pending transfer */

struct fh_disk_page {
    uint8_t now[PAGE], before[PAGE];
    bool written;
};

static struct fh_fake_disk *disk_of(struct fh_io *io)
{
    return FH_CONTAINER_OF(io, struct fh_fake_disk, io);
}

static bool disk_grow(struct fh_fake_disk *d, uint64_t pages)
{
    if (pages <= d->page_count)
        return true;
    struct fh_disk_page *grown = realloc(d->pages, pages * sizeof(*grown));
    if (!grown)
        return false;
    memset(grown + d->page_count, 0, (pages - d->page_count) * sizeof(*grown));
    d->pages = grown;
    d->page_count = pages;
    return true;
}

uint8_t *fh_fake_disk_page(struct fh_fake_disk *d, uint64_t offset)
{
    uint64_t index = offset / PAGE;
    return index < d->page_count && d->pages[index].written ? d->pages[index].now : NULL;
}

/* --- faults --- */

static bool fault_applies(enum fh_disk_fault fault, enum fh_io_kind kind)
{
    switch (fault) {
    case FH_DISK_ENOSPC:
    case FH_DISK_TORN:
    case FH_DISK_LOST:
    case FH_DISK_MISDIRECTED:
        return kind == FH_IO_WRITE;
    case FH_DISK_STALE:
    case FH_DISK_FLIPPED:
        return kind == FH_IO_READ;
    default:
        return true;
    }
}

/* The fault that this transfer suffers, or FH_DISK_FAULTS. */
static enum fh_disk_fault fault_draw(struct fh_fake_disk *d, enum fh_io_kind kind)
{
    for (unsigned i = 0; i < FH_DISK_FAULTS; i++) {
        enum fh_disk_fault fault = (enum fh_disk_fault)i;
        if (!fault_applies(fault, kind))
            continue;
        bool planned = d->next[fault];
        d->next[fault] = false;
        if (planned || (d->permille[fault] > 0 && rng_below(&d->random, 1000) < d->permille[fault]))
            return fault;
    }
    return FH_DISK_FAULTS;
}

static void page_write(struct fh_fake_disk *d, uint64_t index, const uint8_t *from, size_t size)
{
    struct fh_disk_page *p = &d->pages[index];
    memcpy(p->before, p->now, PAGE);
    memcpy(p->now, from, size);
    p->written = true;
}

static void page_write_badly(struct fh_fake_disk *d, uint64_t index, const uint8_t *from,
                             enum fh_disk_fault fault)
{
    if (fault == FH_DISK_TORN)
        page_write(d, index, from, SECTOR * (1 + rng_below(&d->random, PAGE / SECTOR - 1)));
    else if (fault == FH_DISK_MISDIRECTED)
        page_write(d, rng_below(&d->random, d->page_count), from, PAGE);
    else if (fault != FH_DISK_LOST)
        page_write(d, index, from, PAGE);
}

static void page_read_badly(struct fh_fake_disk *d, uint64_t index, uint8_t *to,
                            enum fh_disk_fault fault)
{
    struct fh_disk_page *p = &d->pages[index];
    memcpy(to, fault == FH_DISK_STALE ? p->before : p->now, PAGE);
    if (fault == FH_DISK_FLIPPED) {
        uint64_t bit = rng_below(&d->random, PAGE * 8);
        to[bit / 8] = (uint8_t)(to[bit / 8] ^ (1u << (bit % 8)));
    }
}

/* --- transfers --- */

static uint64_t transfer_size(const struct fh_transfer *t)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < t->iov_count; i++)
        bytes += t->iov[i].iov_len;
    return bytes;
}

/* Moves the pages; `victim` is the one that the fault happens to. */
static int transfer_move(struct fh_fake_disk *d, struct fh_transfer *t, enum fh_disk_fault fault,
                         uint64_t victim)
{
    uint64_t done = 0;

    for (uint32_t i = 0; i < t->iov_count; i++) {
        for (size_t at = 0; at < t->iov[i].iov_len; at += PAGE, done++) {
            uint8_t *bytes = (uint8_t *)t->iov[i].iov_base + at;
            uint64_t index = t->offset / PAGE + done;
            enum fh_disk_fault mine = done == victim ? fault : FH_DISK_FAULTS;
            if (mine == FH_DISK_SHORT)
                return -EIO;
            if (t->kind == FH_IO_WRITE)
                page_write_badly(d, index, bytes, mine);
            else
                page_read_badly(d, index, bytes, mine);
        }
    }
    return 0;
}

/* --- files --- */

static struct fh_fake_file *file_of(struct fh_fake_disk *d, int fd)
{
    struct fh_fake_file *f = d->files;

    while (f && f->fd != fd)
        f = f->next;
    return f;
}

/* Moves up to `limit` bytes; the end of the file, and that limit, are -EIO. */
static int file_move(struct fh_fake_file *f, const struct fh_transfer *t, uint64_t limit)
{
    uint64_t at = t->offset;

    for (uint32_t i = 0; i < t->iov_count; i++) {
        uint8_t *bytes = t->iov[i].iov_base;
        uint64_t size = t->iov[i].iov_len;
        uint64_t room = at < f->size ? f->size - at : 0;
        uint64_t part = size < room ? size : room;
        part = part < limit ? part : limit;
        if (t->kind == FH_IO_WRITE)
            memcpy(f->bytes + at, bytes, part);
        else
            memcpy(bytes, f->bytes + at, part);
        f->written_bytes += t->kind == FH_IO_WRITE ? part : 0;
        at += part;
        limit -= part;
        if (part < size)
            return -EIO;
    }
    return 0;
}

static int file_perform(struct fh_fake_disk *d, struct fh_fake_file *f, struct fh_transfer *t)
{
    enum fh_disk_fault fault = fault_draw(d, t->kind);

    f->reads += t->kind == FH_IO_READ;
    f->writes += t->kind == FH_IO_WRITE;
    f->syncs += t->kind == FH_IO_DATASYNC;
    if (fault == FH_DISK_EIO || fault == FH_DISK_ENOSPC || fault == FH_DISK_SHORT)
        d->injected[fault]++;
    if (fault == FH_DISK_EIO || (fault == FH_DISK_SHORT && t->kind == FH_IO_DATASYNC))
        return -EIO;
    if (fault == FH_DISK_ENOSPC)
        return -ENOSPC;
    if (t->kind == FH_IO_DATASYNC) {
        memcpy(f->safe, f->bytes, f->size);
        return 0;
    }
    return file_move(f, t, fault == FH_DISK_SHORT ? rng_below(&d->random, PAGE) : UINT64_MAX);
}

/* Bytes moved, or an error: a file is never cut short in a way that is gone on with. */
static int64_t file_result(struct fh_fake_disk *d, struct fh_fake_file *f, struct fh_transfer *t)
{
    int rc = file_perform(d, f, t);
    return rc != 0 ? rc : (int64_t)transfer_size(t);
}

void fh_fake_disk_reopen(struct fh_fake_disk *d, struct fh_fake_file *f)
{
    int fd = eventfd(0, EFD_CLOEXEC);

    for (struct fh_fake_file *other = d->files; other; other = other->next)
        if (other->fd == fd)
            other->fd = -1; /* it was closed: numbers come again */
    f->fd = fd;
}

struct fh_fake_file *fh_fake_disk_file(struct fh_fake_disk *d, uint64_t size)
{
    struct fh_fake_file *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    f->size = size;
    f->bytes = calloc(1, size + 1);
    f->safe = calloc(1, size + 1);
    f->fd = -1;
    if (f->bytes && f->safe)
        fh_fake_disk_reopen(d, f);
    if (f->fd < 0) {
        free(f->bytes);
        free(f->safe);
        free(f);
        return NULL;
    }
    f->next = d->files;
    d->files = f;
    return f;
}

static void files_free(struct fh_fake_disk *d)
{
    struct fh_fake_file *f;

    while ((f = d->files) != NULL) {
        d->files = f->next;
        free(f->bytes);
        free(f->safe);
        free(f);
    }
}

/* So many bytes between the image and the front of what is left of the transfer. */
static void transfer_bytes(struct fh_fake_disk *d, const struct fh_transfer *t, uint64_t bytes)
{
    uint64_t at = t->offset + t->moved;

    for (uint32_t i = 0; i < t->iov_count && bytes > 0; i++) {
        uint8_t *buffer = t->iov[i].iov_base;
        for (size_t k = 0; k < t->iov[i].iov_len && bytes > 0; bytes--, at++, k++) {
            struct fh_disk_page *p = &d->pages[at / PAGE];
            if (t->kind == FH_IO_WRITE)
                p->now[at % PAGE] = buffer[k];
            else
                buffer[k] = p->now[at % PAGE];
            p->written = p->written || t->kind == FH_IO_WRITE;
        }
    }
}

/* What one call comes to for a transfer that is planned to be interrupted or cut short, or was. */
static int64_t transfer_in_pieces(struct fh_fake_disk *d, struct fh_transfer *t, bool planned)
{
    uint64_t bytes = transfer_size(t);

    if (planned && d->plan == FH_PLAN_EINTR)
        return -EINTR;
    if (planned && d->plan == FH_PLAN_ALL_BUT_1)
        bytes -= bytes > 1;
    if (planned && d->plan == FH_PLAN_ONLY_1)
        bytes = 1;
    bytes = fh_min_u64(bytes, transfer_size(t));
    transfer_bytes(d, t, bytes);
    return (int64_t)bytes;
}

static int transfer_whole(struct fh_fake_disk *d, struct fh_transfer *t)
{
    uint64_t pages = transfer_size(t) / PAGE;
    enum fh_disk_fault fault = fault_draw(d, t->kind);
    uint64_t victim = pages > 0 ? rng_below(&d->random, pages) : 0;

    if (fault != FH_DISK_FAULTS) {
        d->injected[fault]++;
        d->last_offset = t->offset + victim * PAGE;
    }
    if (fault == FH_DISK_EIO || (fault == FH_DISK_SHORT && pages == 0))
        return -EIO;
    if (fault == FH_DISK_ENOSPC)
        return -ENOSPC;
    return transfer_move(d, t, fault, victim);
}

/* True when it is over. */
static bool transfer_perform(struct fh_fake_disk *d, struct fh_transfer *t)
{
    bool planned = t->result & PLANNED;
    bool in_pieces = planned && d->plan >= FH_PLAN_EINTR && d->plan <= FH_PLAN_ONLY_1;

    if (!d->fail_from_there_on)
        t->result = 0; /* what is left of it goes well */
    if (d->dead[t->kind] || (planned && d->plan == FH_PLAN_EIO))
        return fh_transfer_step(t, -EIO);
    if (planned && d->plan == FH_PLAN_ENOSPC)
        return fh_transfer_step(t, -ENOSPC);
    struct fh_fake_file *file = file_of(d, t->fd);
    if (file)
        return fh_transfer_step(t, file_result(d, file, t));
    if (!disk_grow(d, (t->offset + t->moved + transfer_size(t)) / PAGE))
        return fh_transfer_step(t, -ENOMEM);
    if (in_pieces || t->moved > 0)
        return fh_transfer_step(t, transfer_in_pieces(d, t, planned));
    t->result = transfer_whole(d, t);
    return true;
}

/* --- the backend --- */

static void disk_ring(struct fh_fake_disk *d)
{
    const uint64_t one = 1;
    if (!d->hang && !fh_list_is_empty(&d->pending))
        (void)!write(d->io.event_fd, &one, sizeof(one));
}

/* Until it is performed, `result` counts the reaps to wait, above the bit that marks a planned fault. */
static void disk_submit(struct fh_io *io, struct fh_transfer *t)
{
    struct fh_fake_disk *d = disk_of(io);
    uint32_t reaps;

    d->transfers++;
    bool planned = d->fail_at != 0 && (d->transfers == d->fail_at ||
                                       (d->fail_from_there_on && d->transfers > d->fail_at));
    reaps = d->delay_max > 0 ? (uint32_t)rng_below(&d->random, d->delay_max + 1) : 0;
    if (d->delay_next > 0)
        reaps = d->delay_next;
    if (planned && d->plan == FH_PLAN_SLOW)
        reaps = d->slow;
    d->delay_next = 0;
    t->result = (int)(reaps * REAP) | (planned ? PLANNED : 0);
    fh_list_push_back(&d->pending, &t->link);
}

static void disk_flush(struct fh_io *io)
{
    disk_ring(disk_of(io));
}

/* Moves what is due from `pending` to `due`, shuffled if wanted. */
static void disk_choose(struct fh_fake_disk *d, struct fh_list *due)
{
    for (struct fh_list *n = d->pending.next, *next; n != &d->pending; n = next) {
        struct fh_transfer *t = FH_CONTAINER_OF(n, struct fh_transfer, link);
        next = n->next;
        if (t->result >= REAP) {
            t->result -= REAP;
            continue;
        }
        fh_list_remove(n);
        if (d->reorder && rng_below(&d->random, 2))
            fh_list_push_front(due, n);
        else
            fh_list_push_back(due, n);
    }
}

static void disk_reap(struct fh_io *io)
{
    struct fh_fake_disk *d = disk_of(io);
    struct fh_list due, *node;
    uint64_t events;

    (void)!read(io->event_fd, &events, sizeof(events));
    if (d->hang)
        return;
    fh_list_init(&due);
    disk_choose(d, &due);
    while ((node = fh_list_pop(&due)) != NULL) {
        struct fh_transfer *t = FH_CONTAINER_OF(node, struct fh_transfer, link);
        if (transfer_perform(d, t))
            fh_io_finish(io, t);
        else
            fh_list_push_back(&d->pending, &t->link);
    }
    disk_ring(d);
}

static void disk_destroy(struct fh_io *io)
{
    struct fh_fake_disk *d = disk_of(io);
    close(io->event_fd);
    files_free(d);
    free(d->pages);
    free(d);
}

static const struct fh_io_backend disk_backend = {
    .name = "fake",
    .submit = disk_submit,
    .flush = disk_flush,
    .reap = disk_reap,
    .destroy = disk_destroy,
};

struct fh_fake_disk *fh_fake_disk_create(uint64_t seed)
{
    struct fh_fake_disk *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->io.backend = &disk_backend;
    d->io.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->random = (struct rng){seed};
    fh_list_init(&d->pending);
    if (d->io.event_fd >= 0)
        return d;
    free(d);
    return NULL;
}
