/*
 * Theory.  Replay trusts nothing but what its sums say, and not even these to stay inside files: a
 * sum is no signature. Of two journal files the one of the higher generation counts. Its group, if
 * it is whole, is written in place again, whether that had happened already or not: the images are
 * what the pages hold or were about to hold. Then file 0 gets a still higher generation, and with it
 * all that both files held is over. A power cut during any of this leaves the same to be done again.
 *
 *   generation -> head -> every sum -> in place, sync -> next generation
 */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crc.h"
#include "ids.h"
#include "journal_disk.h"

int fh_journal_open_file(int dir_fd, const char *name, int *fd)
{
    struct stat st;
    int opened = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = 0;

    if (opened < 0)
        return -errno;
    if (fstat(opened, &st) != 0)
        rc = -errno;
    else if (!S_ISREG(st.st_mode))
        rc = -EINVAL;
    else if (st.st_size < FH_JOURNAL_FILE_BYTES) {
        rc = -posix_fallocate(opened, 0, FH_JOURNAL_FILE_BYTES);
        if (rc == 0 && (fsync(opened) != 0 || fsync(dir_fd) != 0))
            rc = -errno;
    }
    if (rc != 0) {
        close(opened);
        return rc;
    }
    *fd = opened;
    return 0;
}

struct replay_wait {
    struct fh_transfer transfer;
    bool over;
};

static void replay_done(struct fh_transfer *t)
{
    FH_CONTAINER_OF(t, struct replay_wait, transfer)->over = true;
}

/* One transfer from beginning to end. */
static int replay_move(struct fh_journal *j, enum fh_io_kind kind, int fd, uint64_t offset,
                       void *bytes, size_t size)
{
    struct replay_wait w = {.over = false};

    w.transfer.kind = kind;
    w.transfer.fd = fd;
    w.transfer.offset = offset;
    w.transfer.done = replay_done;
    w.transfer.iov[0] = (struct iovec){.iov_base = bytes, .iov_len = size};
    w.transfer.iov_count = kind == FH_IO_DATASYNC ? 0 : 1;
    fh_io_submit(j->opts.io, &w.transfer);
    while (!w.over) {
        struct pollfd event = {.fd = j->opts.io->event_fd, .events = POLLIN};
        fh_io_flush(j->opts.io);
        (void)poll(&event, 1, 10);
        fh_io_reap(j->opts.io);
    }
    return w.transfer.result;
}

/* Where reading a head has come to; it never passes `end`. */
struct replay_cursor {
    const uint8_t *at, *end;
    uint32_t image;
};

static bool cursor_get(struct replay_cursor *c, void *out, size_t size)
{
    if ((size_t)(c->end - c->at) < size)
        return false;
    memcpy(out, c->at, size);
    c->at += size;
    return true;
}

static bool cursor_section(struct replay_cursor *c, struct fh_journal_section *s,
                           const uint8_t **tag)
{
    if (!cursor_get(c, s, sizeof(*s)) || s->tag_size > FH_JOURNAL_TAG_MAX ||
        (size_t)(c->end - c->at) < s->tag_size)
        return false;
    *tag = c->at;
    c->at += s->tag_size;
    return s->count > 0 && s->count <= FH_JOURNAL_PAGES && s->last_bytes > 0 &&
           s->last_bytes <= FH_PAGE_SIZE && (size_t)(c->end - c->at) / sizeof(uint32_t) >= s->count;
}

/* The generation of a journal file; 0: it has none. */
static int replay_load_generation(struct fh_journal *j, uint32_t file, uint64_t *generation)
{
    struct fh_journal_super super;
    int rc = replay_move(j, FH_IO_READ, j->opts.fd[file], 0, j->page_buffer, FH_PAGE_SIZE);

    if (rc != 0)
        return rc;
    memcpy(&super, j->page_buffer, sizeof(super));
    uint32_t crc = super.crc;
    super.crc = 0;
    bool good = memcmp(super.magic, FH_JOURNAL_SUPER_MAGIC, sizeof(super.magic)) == 0 &&
                fh_crc32c(0, &super, sizeof(super)) == crc;
    *generation = good ? super.generation : 0;
    return 0;
}

/* Reads the head of a journal file; *out is all zeros if there is none that holds. */
static int replay_load_head(struct fh_journal *j, uint32_t file, struct fh_journal_head *out)
{
    struct fh_journal_head head;
    int rc = replay_move(j, FH_IO_READ, j->opts.fd[file], FH_JOURNAL_HEAD_OFFSET, j->head,
                         FH_JOURNAL_HEAD_BYTES);

    *out = (struct fh_journal_head){.bytes = 0};
    if (rc != 0)
        return rc;
    memcpy(&head, j->head, sizeof(head));
    if (memcmp(head.magic, FH_JOURNAL_HEAD_MAGIC, sizeof(head.magic)) != 0 ||
        head.generation != j->generation || head.bytes < sizeof(head) ||
        head.bytes > FH_JOURNAL_HEAD_BYTES || head.images > FH_JOURNAL_PAGES ||
        head.batches > FH_JOURNAL_BATCHES)
        return 0;
    uint32_t crc = head.crc;
    head.crc = 0;
    memcpy(j->head, &head, sizeof(head));
    if (fh_crc32c(0, j->head, head.bytes) == crc)
        *out = head;
    return 0;
}

static struct replay_cursor replay_cursor(const struct fh_journal *j,
                                          const struct fh_journal_head *head)
{
    return (struct replay_cursor){.at = j->head + sizeof(*head), .end = j->head + head->bytes};
}

static int replay_read_image(struct fh_journal *j, uint32_t file, uint32_t image)
{
    return replay_move(j, FH_IO_READ, j->opts.fd[file], fh_journal_image_offset(image),
                       j->page_buffer, FH_PAGE_SIZE);
}

/* 0: the group is committed; -EBADMSG: it is not. */
static int replay_verify(struct fh_journal *j, uint32_t file, const struct fh_journal_head *head)
{
    struct replay_cursor c = replay_cursor(j, head);
    struct fh_journal_section s;
    const uint8_t *tag;
    uint32_t crc;
    int rc;

    for (uint32_t i = 0; i < head->batches; i++) {
        if (!cursor_section(&c, &s, &tag) || c.image + s.count > head->images)
            return -EBADMSG;
        for (uint32_t k = 0; k < s.count; k++, c.image++) {
            if (!cursor_get(&c, &crc, sizeof(crc)))
                return -EBADMSG;
            if ((rc = replay_read_image(j, file, c.image)) != 0)
                return rc;
            if (fh_crc32c(0, j->page_buffer, FH_PAGE_SIZE) != crc)
                return -EBADMSG;
        }
    }
    return c.at == c.end && c.image == head->images ? 0 : -EBADMSG;
}

/* One page, if it lies in its file. */
static int replay_page(struct fh_journal *j, uint32_t file, uint32_t image, int fd, uint64_t page,
                       uint32_t bytes, uint64_t bytes_max)
{
    uint64_t left = page < bytes_max >> FH_PAGE_SHIFT    ? FH_PAGE_SIZE
                    : page == bytes_max >> FH_PAGE_SHIFT ? bytes_max & (FH_PAGE_SIZE - 1)
                                                         : 0;
    int rc;

    if (bytes > left) {
        j->stats.refused_pages++;
        return 0;
    }
    j->stats.replayed_pages++;
    if ((rc = replay_read_image(j, file, image)) != 0)
        return rc;
    return replay_move(j, FH_IO_WRITE, fd, page << FH_PAGE_SHIFT, j->page_buffer, bytes);
}

/* The pages of one batch; its section was verified. */
static int replay_section(struct fh_journal *j, uint32_t file, const struct fh_journal_target *t,
                          struct replay_cursor *c)
{
    uint64_t bytes_max = 0;
    struct fh_journal_section s;
    const uint8_t *tag;
    int fd = -1;
    bool good = cursor_section(c, &s, &tag);

    FH_ASSERT(good);
    uint32_t image = c->image;
    c->image += s.count;
    c->at += s.count * sizeof(uint32_t);
    int rc = t->open(t->ctx, tag, s.tag_size, &fd, &bytes_max);
    if (rc == -ENOENT) {
        j->stats.refused_pages += s.count;
        return 0;
    }
    if (rc != 0)
        return rc;
    for (uint32_t k = 0; k < s.count && rc == 0; k++) {
        if (s.first > UINT64_MAX - k) {
            j->stats.refused_pages++;
            continue;
        }
        rc = replay_page(j, file, image + k, fd, s.first + k,
                         k + 1 < s.count ? FH_PAGE_SIZE : s.last_bytes, bytes_max);
    }
    if (rc == 0)
        rc = replay_move(j, FH_IO_DATASYNC, fd, 0, NULL, 0);
    t->close(t->ctx, fd);
    return rc;
}

/* All of the journal file, if it holds a committed group. */
static int replay_file(struct fh_journal *j, uint32_t file, const struct fh_journal_target *t)
{
    struct fh_journal_head head;
    int rc = replay_load_head(j, file, &head);

    if (rc != 0 || head.bytes == 0)
        return rc;
    rc = replay_verify(j, file, &head);
    if (rc != 0)
        return rc == -EBADMSG ? 0 : rc;
    struct replay_cursor c = replay_cursor(j, &head);
    for (uint32_t i = 0; i < head.batches && rc == 0; i++)
        rc = replay_section(j, file, t, &c);
    j->stats.replayed_groups += rc == 0;
    return rc;
}

int fh_journal_replay(struct fh_journal *j, const struct fh_journal_target *t)
{
    uint64_t generations[FH_JOURNAL_FILES] = {0};
    uint32_t newest = 0;
    int rc;

    for (uint32_t i = 0; i < FH_JOURNAL_FILES; i++) {
        if ((rc = replay_load_generation(j, i, &generations[i])) != 0)
            return rc;
        if (generations[i] > generations[newest])
            newest = i;
    }
    j->generation = generations[newest];
    if (j->generation > 0 && (rc = replay_file(j, newest, t)) != 0)
        return rc;
    fh_journal_super_fill(j->page_buffer, ++j->generation);
    rc = replay_move(j, FH_IO_WRITE, j->opts.fd[0], 0, j->page_buffer, FH_PAGE_SIZE);
    if (rc == 0)
        rc = replay_move(j, FH_IO_DATASYNC, j->opts.fd[0], 0, NULL, 0);
    memset(j->page_buffer, 0, FH_PAGE_SIZE);
    return rc;
}
