/*
 * Theory.  Whatever a head says, replay ends without an error, writes to files that are known and
 * not beyond the bytes that are theirs, and only pages whose image has the sum that is told. Files
 * are in memory, and the backend does at once what it is asked for.
 */
#include "fuzz_journal.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "alloc/journal_disk.h"

enum { KNOWN = 2, SHORT_BYTES = 3 * FH_PAGE_SIZE + 100, LONG_BYTES = 600 * FH_PAGE_SIZE };

static const struct {
    const char *tag;
    uint64_t bytes;
} known[KNOWN] = {{"t", SHORT_BYTES}, {"long", LONG_BYTES}};

static int journal_fd[FH_JOURNAL_FILES], known_fd[KNOWN];
static struct fh_list over;
static struct fh_io io;
static struct fh_mem mem;
static unsigned opened;

static void promise(bool kept, const char *what)
{
    if (kept)
        return;
    fprintf(stderr, "fuzz_journal: broken: %s\n", what);
    abort();
}

/* --- a backend that waits for nothing --- */

static void at_once_submit(struct fh_io *unused, struct fh_transfer *t)
{
    (void)unused;
    ssize_t n = 0;
    bool is_known = false;

    for (int i = 0; i < KNOWN; i++)
        is_known = is_known || t->fd == known_fd[i];
    if (t->kind == FH_IO_WRITE && is_known) {
        promise(opened > 0, "only a file that was opened is written");
        for (int i = 0; i < KNOWN; i++)
            if (t->fd == known_fd[i])
                promise(t->offset <= known[i].bytes &&
                            t->iov[0].iov_len <= known[i].bytes - t->offset,
                        "no byte beyond the file's end");
    }
    if (t->kind == FH_IO_READ)
        n = preadv(t->fd, t->iov, (int)t->iov_count, (off_t)t->offset);
    else if (t->kind == FH_IO_WRITE)
        n = pwritev(t->fd, t->iov, (int)t->iov_count, (off_t)t->offset);
    t->result = n < 0 ? -errno : 0;
    fh_list_push_back(&over, &t->link);
}

static void at_once_flush(struct fh_io *unused)
{
    (void)unused;
}

static void at_once_reap(struct fh_io *unused)
{
    struct fh_list *node;

    (void)unused;
    while ((node = fh_list_pop(&over))) {
        struct fh_transfer *t = FH_CONTAINER_OF(node, struct fh_transfer, link);
        io.in_flight--;
        t->done(t);
    }
}

static const struct fh_io_backend at_once = {
    .name = "at once", .submit = at_once_submit, .flush = at_once_flush, .reap = at_once_reap};

/* --- the world of a replay --- */

static int memory_file(uint64_t bytes)
{
    int fd = memfd_create("fuzz_journal", MFD_CLOEXEC);

    promise(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0, "a file in memory can be made");
    return fd;
}

static void world_make(void)
{
    if (io.backend)
        return;
    fh_list_init(&over);
    io.backend = &at_once;
    io.event_fd = eventfd(1, EFD_CLOEXEC); /* always readable: nobody has to wait */
    for (int i = 0; i < FH_JOURNAL_FILES; i++)
        journal_fd[i] = memory_file(FH_JOURNAL_FILE_BYTES);
    for (int i = 0; i < KNOWN; i++)
        known_fd[i] = memory_file(known[i].bytes);
}

static int target_open(void *ctx, const void *tag, uint32_t tag_size, int *fd, uint64_t *bytes_max)
{
    (void)ctx;
    for (int i = 0; i < KNOWN; i++) {
        if (tag_size != strlen(known[i].tag) || memcmp(tag, known[i].tag, tag_size) != 0)
            continue;
        *fd = known_fd[i];
        *bytes_max = known[i].bytes;
        opened++;
        return 0;
    }
    return -ENOENT;
}

static void target_close(void *ctx, int fd)
{
    (void)ctx;
    (void)fd;
    opened--;
}

/* File 0 gets generation 1 and this head. */
static void world_fill(const uint8_t *data, size_t size)
{
    static uint8_t page[FH_PAGE_SIZE], head[FH_JOURNAL_HEAD_BYTES];
    struct fh_journal_head h = {.bytes = 0};

    fh_journal_super_fill(page, 1);
    promise(pwrite(journal_fd[0], page, sizeof page, 0) == sizeof page, "memory can be written");
    memset(head, 0, sizeof head);
    memcpy(head, data, size < sizeof head ? size : sizeof head);
    memcpy(&h, head, sizeof h);
    memcpy(h.magic, FH_JOURNAL_HEAD_MAGIC, sizeof h.magic);
    h.generation = 1;
    h.crc = 0;
    memcpy(head, &h, sizeof h);
    if (h.bytes >= sizeof h && h.bytes <= sizeof head)
        h.crc = fh_crc32c(0, head, h.bytes);
    memcpy(head, &h, sizeof h);
    promise(pwrite(journal_fd[0], head, sizeof head, FH_JOURNAL_HEAD_OFFSET) == sizeof head,
            "memory can be written");
}

unsigned fuzz_journal_try(const uint8_t *data, size_t size)
{
    const struct fh_journal_target target = {.open = target_open, .close = target_close};
    struct fh_journal_stats stats;
    struct fh_journal j;
    struct stat st;

    world_make();
    world_fill(data, size);
    const struct fh_journal_opts opts = {
        .mem = &mem, .io = &io, .fd = {journal_fd[0], journal_fd[1]}};
    promise(fh_journal_init(&j, &opts) == 0, "a journal can be made");
    promise(fh_journal_replay(&j, &target) == 0, "replay succeeds or has nothing to do");
    promise(opened == 0, "what was opened is closed");
    promise(fh_journal_check(&j, stderr), "the journal holds together");
    fh_journal_stats(&j, &stats);
    fh_journal_fini(&j);
    for (int i = 0; i < KNOWN; i++)
        promise(fstat(known_fd[i], &st) == 0 && (uint64_t)st.st_size == known[i].bytes,
                "no file grows");
    return (unsigned)stats.replayed_pages;
}

__attribute__((weak)) int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)fuzz_journal_try(data, size);
    return 0;
}
