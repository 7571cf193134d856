/*
 * Theory.  Writes are kept as sectors in their order beside the two images of each file. A sync
 * copies the file's image and forgets its sectors; a power cut copies each sector that is left, in
 * order, with one chance in two.
 */
#include "tests/support/crash_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct crash_disk *disk_of(struct fh_io *io)
{
    return FH_CONTAINER_OF(io, struct crash_disk, io);
}

static uint8_t *sector_of(uint8_t *const *files, const struct crash_write *w)
{
    return files[w->file] + (size_t)w->sector * CRASH_SECTOR;
}

static void sector_note(struct crash_disk *d, uint32_t file, uint64_t offset, size_t size)
{
    uint64_t first = offset / CRASH_SECTOR, end = (offset + size + CRASH_SECTOR - 1) / CRASH_SECTOR;

    for (uint64_t s = first; s < end; s++) {
        if (d->write_count == d->write_cap) {
            d->write_cap = d->write_cap ? d->write_cap * 2 : 1024;
            d->writes = realloc(d->writes, d->write_cap * sizeof(*d->writes));
            if (!d->writes)
                abort();
        }
        struct crash_write *w = &d->writes[d->write_count++];
        w->file = file;
        w->sector = (uint32_t)s;
        memcpy(w->bytes, d->cache[file] + s * CRASH_SECTOR, CRASH_SECTOR);
    }
}

static void sectors_forget(struct crash_disk *d, uint32_t file)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < d->write_count; i++)
        if (d->writes[i].file != file)
            d->writes[kept++] = d->writes[i];
    d->write_count = kept;
}

static int disk_sync(struct crash_disk *d, uint32_t file)
{
    if (d->fail_file == (int)file) {
        if (d->lost_on_failure)
            sectors_forget(d, file);
        return -EIO;
    }
    for (uint32_t i = 0; i < d->write_count; i++)
        if (d->writes[i].file == file)
            memcpy(sector_of(d->durable, &d->writes[i]), d->writes[i].bytes, CRASH_SECTOR);
    sectors_forget(d, file);
    return 0;
}

static int disk_move(struct crash_disk *d, struct fh_transfer *t)
{
    uint64_t at = t->offset;

    for (uint32_t i = 0; i < t->iov_count; i++) {
        size_t size = t->iov[i].iov_len;
        if (at > CRASH_FILE_BYTES || size > CRASH_FILE_BYTES - at) {
            d->foreign++;
            return -EIO;
        }
        if (t->kind == FH_IO_READ) {
            memcpy(t->iov[i].iov_base, d->cache[t->fd] + at, size);
        } else {
            memcpy(d->cache[t->fd] + at, t->iov[i].iov_base, size);
            sector_note(d, (uint32_t)t->fd, at, size);
        }
        at += size;
    }
    return 0;
}

static int disk_perform(struct crash_disk *d, struct fh_transfer *t)
{
    if (t->fd < 0 || t->fd >= CRASH_FILES) {
        d->foreign++;
        return -EBADF;
    }
    if (!d->off && d->power_off != 0 && d->transfers + 1 == d->power_off) {
        if (t->kind == FH_IO_WRITE)
            (void)disk_move(d, t); /* some of it may get there */
        d->off = true;
    }
    if (d->off)
        return -EIO;
    d->transfers++;
    if (t->kind == FH_IO_DATASYNC)
        return disk_sync(d, (uint32_t)t->fd);
    if (t->kind == FH_IO_WRITE && d->fail_file == t->fd && !d->fail_syncs_only)
        return -EIO;
    return disk_move(d, t);
}

static void disk_submit(struct fh_io *io, struct fh_transfer *t)
{
    struct crash_disk *d = disk_of(io);

    if (rng_below(&d->random, 2))
        fh_list_push_front(&d->pending, &t->link);
    else
        fh_list_push_back(&d->pending, &t->link);
}

static void disk_flush(struct fh_io *io)
{
    const uint64_t one = 1;

    if (!fh_list_is_empty(&disk_of(io)->pending))
        (void)!write(io->event_fd, &one, sizeof(one));
}

static void disk_reap(struct fh_io *io)
{
    struct crash_disk *d = disk_of(io);
    struct fh_list *node = fh_list_pop(&d->pending);
    uint64_t events;

    (void)!read(io->event_fd, &events, sizeof(events));
    if (node) { /* one at a time, so that others may come between */
        struct fh_transfer *t = FH_CONTAINER_OF(node, struct fh_transfer, link);
        t->result = disk_perform(d, t);
        fh_io_finish(io, t);
    }
    disk_flush(io);
}

static void disk_destroy(struct fh_io *io)
{
    struct crash_disk *d = disk_of(io);

    close(io->event_fd);
    for (uint32_t i = 0; i < CRASH_FILES; i++) {
        free(d->cache[i]);
        free(d->durable[i]);
    }
    free(d->writes);
    free(d);
}

static const struct fh_io_backend disk_backend = {
    .name = "crash",
    .submit = disk_submit,
    .flush = disk_flush,
    .reap = disk_reap,
    .destroy = disk_destroy,
};

struct crash_disk *crash_disk_create(uint64_t seed)
{
    struct crash_disk *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->io.backend = &disk_backend;
    d->io.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    d->random = (struct rng){seed};
    d->fail_file = -1;
    fh_list_init(&d->pending);
    for (uint32_t i = 0; i < CRASH_FILES; i++) {
        d->cache[i] = calloc(1, CRASH_FILE_BYTES);
        d->durable[i] = calloc(1, CRASH_FILE_BYTES);
        if (!d->cache[i] || !d->durable[i])
            abort();
    }
    return d;
}

void crash_disk_restart(struct crash_disk *d)
{
    fh_list_init(&d->pending);
    d->io.in_flight = 0;
    d->off = false;
    d->power_off = 0;
    d->transfers = 0;
    d->fail_file = -1;
}

void crash_disk_reboot(struct crash_disk *d)
{
    for (uint32_t i = 0; i < d->write_count; i++)
        if (rng_below(&d->random, 2))
            memcpy(sector_of(d->durable, &d->writes[i]), d->writes[i].bytes, CRASH_SECTOR);
    for (uint32_t i = 0; i < d->write_count; i++)
        memcpy(sector_of(d->cache, &d->writes[i]), sector_of(d->durable, &d->writes[i]),
               CRASH_SECTOR);
    d->write_count = 0;
    crash_disk_restart(d);
}
