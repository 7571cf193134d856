/*
 * The thread pool under load: pages written, read back into other memory and compared, many in
 * flight, some submitted from within `done`, and a pool destroyed as soon as it is idle. A plain
 * program, since ThreadSanitizer does not start under Criterion.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/io.h"

enum { PAGE = 4096, PAGES = 256, ROUNDS = 20, THREADS = 4 };

static _Alignas(PAGE) unsigned char out[PAGES][PAGE], in[PAGES][PAGE];
static struct fh_transfer transfers[PAGES];
static struct fh_io *io;
static unsigned reads_done;

static void require(int truth, const char *what)
{
    if (truth)
        return;
    fprintf(stderr, "broken: %s\n", what);
    exit(1);
}

static void read_done(struct fh_transfer *t)
{
    size_t page = (size_t)(t - transfers);

    require(t->result == 0, "a read succeeds");
    require(memcmp(in[page], out[page], PAGE) == 0, "what was written is read");
    reads_done++;
}

/* A page that is on disk is read back at once. */
static void write_done(struct fh_transfer *t)
{
    size_t page = (size_t)(t - transfers);

    require(t->result == 0, "a write succeeds");
    t->kind = FH_IO_READ;
    t->iov[0] = (struct iovec){.iov_base = in[page], .iov_len = PAGE};
    t->iov_count = 1;
    t->done = read_done;
    fh_io_submit(io, t);
}

static void submit_writes(int fd, int round)
{
    for (size_t page = 0; page < PAGES; page++) {
        struct fh_transfer *t = &transfers[page];

        memset(out[page], (int)page ^ round, PAGE);
        memset(in[page], 0xff, PAGE);
        t->kind = FH_IO_WRITE;
        t->fd = fd;
        t->offset = page * PAGE;
        t->iov[0] = (struct iovec){.iov_base = out[page], .iov_len = PAGE};
        t->iov_count = 1;
        t->done = write_done;
        fh_io_submit(io, t);
    }
}

static void run_round(int fd, int round)
{
    require(fh_io_threads_create(THREADS, &io) == 0, "the pool starts");
    struct pollfd readable = {.fd = io->event_fd, .events = POLLIN};

    reads_done = 0;
    submit_writes(fd, round);
    while (reads_done < PAGES) {
        fh_io_flush(io);
        require(poll(&readable, 1, 10000) == 1, "something finishes");
        fh_io_reap(io);
    }
    require(io->in_flight == 0, "nothing is in flight at the end");
    fh_io_destroy(io);
}

int main(void)
{
    const char *folder = getenv("TMPDIR");
    int fd = open(folder != NULL ? folder : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    require(fd >= 0, "a file without a name");
    for (int round = 0; round < ROUNDS; round++)
        run_round(fd, round);
    close(fd);
    printf("%d pages written and read back\n", ROUNDS * PAGES);
    return 0;
}
