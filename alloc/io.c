/*
 * Theory.  The system may move fewer bytes than asked, or none because it was interrupted; a
 * transfer is over when all of its bytes were moved or an error came that will come again. What is
 * left of a transfer is described by its iovecs: bytes that were moved are cut off at the front,
 * and `moved` says how far into the range they reach.
 *
 * Invariants
 *   [I1] moved plus the sum of the iovecs is what was asked for
 *   [I2] each call moves at least a byte, ends the transfer, or is counted in `interrupted`: so
 *        every transfer ends
 */
#include "io.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Cuts moved bytes off the front of what is left; true when nothing is left. */
static bool transfer_cut(struct fh_transfer *t, uint64_t bytes)
{
    uint32_t whole = 0;

    t->moved += bytes;
    while (whole < t->iov_count && bytes >= t->iov[whole].iov_len)
        bytes -= t->iov[whole++].iov_len;
    FH_ASSERT(whole < t->iov_count || bytes == 0); /* no more than was asked for [I1] */
    t->iov_count -= whole;
    memmove(t->iov, t->iov + whole, t->iov_count * sizeof(t->iov[0]));
    if (t->iov_count == 0)
        return true;
    t->iov[0].iov_base = (char *)t->iov[0].iov_base + bytes;
    t->iov[0].iov_len -= bytes;
    return false;
}

static bool transfer_end(struct fh_transfer *t, int result)
{
    t->result = result;
    return true;
}

bool fh_transfer_step(struct fh_transfer *t, int64_t moved_or_error)
{
    if (moved_or_error == -EINTR || moved_or_error == -EAGAIN) {
        if (++t->interrupted <= FH_IO_INTERRUPTED_MAX)
            return false;
        return transfer_end(t, -EIO);
    }
    t->interrupted = 0;
    if (moved_or_error < 0)
        return transfer_end(t, (int)moved_or_error);
    if (t->kind == FH_IO_DATASYNC)
        return transfer_end(t, 0);
    if (moved_or_error == 0) /* the end of the file, or a disk that takes nothing */
        return transfer_end(t, -EIO);
    return transfer_cut(t, (uint64_t)moved_or_error) ? transfer_end(t, 0) : false;
}

uint64_t fh_io_reap_cost(const struct fh_transfer *t)
{
    uint64_t left = 0;

    for (uint32_t i = 0; i < t->iov_count; i++)
        left += t->iov[i].iov_len;
    /* Of what was read each byte is looked at; of the rest only records are touched. */
    return t->kind == FH_IO_READ ? t->moved + left : 1 + left / 16;
}

void fh_io_silence(struct fh_io *io)
{
    uint64_t events;

    if (io->in_flight == 0)
        (void)!read(io->event_fd, &events, sizeof(events));
}

void fh_io_finish(struct fh_io *io, struct fh_transfer *t)
{
    FH_ASSERT(io->in_flight > 0);
    io->in_flight--;
    io->reads += t->kind == FH_IO_READ;
    io->writes += t->kind == FH_IO_WRITE;
    io->syncs += t->kind == FH_IO_DATASYNC;
    io->errors += t->result != 0;
    t->done(t);
}
