/*
 * Theory.  Up to 8 MiB an object is put in one call. What is longer is staged: an object without a
 * name is allocated in the zone where the name lives, pieces are written into it, three in flight,
 * and publishing gives it the name. Until then nobody can see it; if it comes to nothing it is
 * freed, and should this process die, its time to live frees it. A download keeps three reads in
 * flight and writes them out in order.
 */
#include "client/cli/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli/progress.h"

#define DURABLE_STREAM_MAX (UINT64_C(4) << 30) /* of a durable object that comes from a pipe */

enum {
    WHOLE_MAX = 8 << 20,                 /* put in one call */
    STAGE_TTL_MS = 60 * 60 * 1000,       /* and a second for each MiB */
    STREAM_TTL_MS = 24 * 60 * 60 * 1000, /* when the size is not known */
    STREAM_START = 256 << 20,            /* what is allocated then, at first */
};

/* --- interrupts */

static void interrupt_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

void fh_interrupt_init(struct fh_interrupt *i)
{
    sigset_t set;

    interrupt_signals(&set);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    i->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The signals stay blocked: one that came is not to kill the tool while it says goodbye. */
void fh_interrupt_fini(struct fh_interrupt *i)
{
    if (i->fd >= 0)
        (void)close(i->fd);
}

bool fh_interrupt_came(const struct fh_interrupt *i)
{
    struct pollfd p = {.fd = i->fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

/* --- the source */

int fh_source_open(const char *path)
{
    if (path == NULL || strcmp(path, "-") == 0)
        return STDIN_FILENO;
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Waits until the descriptor can be read; -EINTR when a signal came first. */
static int source_wait(int fd, const struct fh_interrupt *i)
{
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = i->fd, .events = POLLIN}};

    while (poll(p, 2, -1) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return p[1].revents != 0 ? -EINTR : 0;
}

int fh_source_read(int fd, const struct fh_interrupt *i, void *buf, size_t cap, size_t *got)
{
    *got = 0;
    while (*got < cap) {
        ssize_t n;
        int rc = source_wait(fd, i);

        if (rc != 0)
            return rc;
        n = read(fd, (char *)buf + *got, cap - *got);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
        if (n > 0)
            *got += (size_t)n;
    }
    return 0;
}

static int source_failed(const struct fh_tool *tool, const char *name, int rc)
{
    return rc == -EINTR ? FH_EXIT_INTERRUPTED : fh_tool_fail_errno(tool, name, -rc);
}

/* --- upload */

struct upload {
    struct fh_tool *tool;
    const char *name;
    int fd;
    struct fh_interrupt interrupt;
    struct fh_progress progress;
    fh_handle staged;
    bool is_durable;
    uint64_t room, sent; /* allocated; handed to the client */
    char *pieces;        /* FH_PIECES of FH_PIECE bytes */
    fh_req *reqs[FH_PIECES];
};

/* Wipes the line of progress, and says what failed. */
static int upload_failed(struct upload *u, fh_status status)
{
    fh_progress_fini(&u->progress);
    return fh_tool_fail(u->tool, status, u->name);
}

static int upload_source_failed(struct upload *u, int rc)
{
    fh_progress_fini(&u->progress);
    return source_failed(u->tool, u->name, rc);
}

/* Waits for the write out of piece `i`, if there is one. */
static int upload_settle(struct upload *u, unsigned i)
{
    fh_result result;
    fh_req *req = u->reqs[i];

    if (req == NULL)
        return FH_EXIT_OK;
    (void)fh_wait(u->tool->client, req, -1);
    fh_req_result(req, &result);
    fh_req_free(req);
    u->reqs[i] = NULL;
    return result.status == FH_OK ? FH_EXIT_OK : upload_failed(u, result.status);
}

static int upload_settle_all(struct upload *u)
{
    int code = FH_EXIT_OK;

    for (unsigned i = 0; i < FH_PIECES && code == FH_EXIT_OK; i++)
        code = upload_settle(u, i);
    return code;
}

/* Makes the staged object `room` bytes long. */
static int upload_resize(struct upload *u, uint64_t room)
{
    int code = upload_settle_all(u);
    fh_status status;

    if (code != FH_EXIT_OK)
        return code;
    status = fh_resize(u->tool->client, u->staged, room, NULL, &u->staged);
    if (status != FH_OK)
        return upload_failed(u, status);
    u->room = room;
    return FH_EXIT_OK;
}

static int upload_stage(struct upload *u)
{
    fh_how how = {.size = sizeof(how), .near_name = u->name, .near_size = strlen(u->name)};
    struct stat st;
    fh_status status;

    u->room = STREAM_START;
    how.ttl_ms = STREAM_TTL_MS;
    if (fstat(u->fd, &st) == 0 && S_ISREG(st.st_mode)) {
        u->room = u->progress.total = (uint64_t)st.st_size;
        how.ttl_ms = STAGE_TTL_MS + (u->room >> 20) * 1000;
    } else if (u->is_durable) /* it can only become shorter */
        u->room = DURABLE_STREAM_MAX;
    how.flags = u->is_durable ? FH_DURABLE : 0;
    if (u->room < FH_PIECE)
        u->room = FH_PIECE;
    status = fh_alloc(u->tool->client, u->room, &how, &u->staged);
    return status == FH_OK ? FH_EXIT_OK : upload_failed(u, status);
}

/* Submits piece `i`, which holds `size` bytes. */
static int upload_submit(struct upload *u, unsigned i, size_t size)
{
    fh_status status;
    int code;

    if (size > u->room - u->sent && (code = upload_resize(u, u->room * 4)) != FH_EXIT_OK)
        return code;
    status = fh_submit_write(u->tool->client, u->staged, u->sent, u->pieces + (size_t)i * FH_PIECE,
                             size, &u->reqs[i]);
    if (status == FH_OK)
        status = fh_flush(u->tool->client);
    if (status != FH_OK)
        return upload_failed(u, status);
    u->sent += size;
    fh_progress_tell(&u->progress, u->sent);
    return FH_EXIT_OK;
}

/* Reads and writes pieces until the end of the source. The first `have` bytes are read already. */
static int upload_pieces(struct upload *u, size_t have)
{
    for (unsigned i = 0;; i = (i + 1) % FH_PIECES) {
        char *piece = u->pieces + (size_t)i * FH_PIECE;
        size_t got = have < FH_PIECE ? have : FH_PIECE;
        int rc, code;

        if ((code = upload_settle(u, i)) != FH_EXIT_OK)
            return code;
        have -= got;
        if (got == 0 && (rc = fh_source_read(u->fd, &u->interrupt, piece, FH_PIECE, &got)) != 0)
            return upload_source_failed(u, rc);
        if (fh_interrupt_came(&u->interrupt))
            return FH_EXIT_INTERRUPTED;
        if (got == 0)
            return upload_settle_all(u);
        if ((code = upload_submit(u, i, got)) != FH_EXIT_OK)
            return code;
    }
}

static int upload_publish(struct upload *u, const fh_how *how, fh_info *out)
{
    fh_status status;
    int code;

    if (u->room != u->sent && (code = upload_resize(u, u->sent)) != FH_EXIT_OK)
        return code;
    status = fh_publish(u->tool->client, u->name, strlen(u->name), u->staged, how, out);
    return status == FH_OK ? FH_EXIT_OK : upload_failed(u, status);
}

static int upload_staged(struct upload *u, size_t have, const fh_how *how, fh_info *out)
{
    int code = upload_stage(u);

    if (code != FH_EXIT_OK)
        return code;
    code = upload_pieces(u, have);
    if (code == FH_EXIT_OK)
        code = upload_publish(u, how, out);
    for (unsigned i = 0; i < FH_PIECES; i++)
        fh_req_free(u->reqs[i]);
    if (code != FH_EXIT_OK)
        (void)fh_free(u->tool->client, u->staged);
    return code;
}

static int upload_run(struct upload *u, const fh_how *how, fh_info *out)
{
    size_t have;
    fh_status status;
    int rc = fh_source_read(u->fd, &u->interrupt, u->pieces, WHOLE_MAX, &have);

    _Static_assert(WHOLE_MAX <= FH_PIECES * FH_PIECE, "what is read first fits the pieces");
    _Static_assert(WHOLE_MAX % FH_PIECE == 0, "and fills them");
    if (rc != 0)
        return upload_source_failed(u, rc);
    if (have == WHOLE_MAX)
        return upload_staged(u, have, how, out);
    status = fh_put(u->tool->client, u->name, strlen(u->name), u->pieces, have, how, out);
    return status == FH_OK ? FH_EXIT_OK : upload_failed(u, status);
}

int fh_upload(struct fh_tool *tool, const char *name, int fd, const fh_how *how, fh_info *out)
{
    struct upload u = {
        .tool = tool, .name = name, .fd = fd, .is_durable = (how->flags & FH_DURABLE) != 0};
    int code;

    if ((u.pieces = malloc((size_t)FH_PIECES * FH_PIECE)) == NULL)
        return fh_tool_fail_local(tool, FH_NO_MEMORY, name, "no memory for the pieces");
    fh_interrupt_init(&u.interrupt);
    fh_progress_init(&u.progress, name, 0, tool->quiet);
    code = upload_run(&u, how, out);
    fh_progress_fini(&u.progress);
    fh_interrupt_fini(&u.interrupt);
    free(u.pieces);
    return code;
}

/* --- download */

struct download {
    struct fh_tool *tool;
    const char *name;
    fh_handle handle;
    uint64_t at, end; /* next byte to ask for */
    char *pieces;
    fh_req *reqs[FH_PIECES];
    struct fh_progress progress;
};

static int download_failed(struct download *d, fh_status status)
{
    fh_progress_fini(&d->progress);
    return fh_tool_fail(d->tool, status, d->name);
}

static int download_submit(struct download *d, unsigned i)
{
    size_t size = d->end - d->at < FH_PIECE ? (size_t)(d->end - d->at) : FH_PIECE;
    fh_status status;

    if (size == 0)
        return FH_EXIT_OK;
    status = fh_submit_read(d->tool->client, d->handle, d->at, d->pieces + (size_t)i * FH_PIECE,
                            size, &d->reqs[i]);
    if (status == FH_OK)
        status = fh_flush(d->tool->client);
    d->at += size;
    return status == FH_OK ? FH_EXIT_OK : download_failed(d, status);
}

/* Waits for piece `i` and writes it out; *size is its length. */
static int download_take(struct download *d, unsigned i, struct fh_sink *sink, size_t *size)
{
    fh_result result;
    int rc;

    (void)fh_wait(d->tool->client, d->reqs[i], -1);
    fh_req_result(d->reqs[i], &result);
    fh_req_free(d->reqs[i]);
    d->reqs[i] = NULL;
    *size = result.bytes;
    if (result.status != FH_OK)
        return download_failed(d, result.status);
    if ((rc = fh_sink_write(sink, d->pieces + (size_t)i * FH_PIECE, result.bytes)) == 0)
        return FH_EXIT_OK;
    fh_progress_fini(&d->progress);
    if (rc == -EPERM && sink->text_only)
        return fh_tool_fail_local(
            d->tool, FH_INVALID, d->name,
            "binary data is not written to a terminal; use -o FILE, or -o - to do it anyway");
    return fh_tool_fail_errno(d->tool, d->name, -rc);
}

static int download_run(struct download *d, struct fh_sink *sink)
{
    struct fh_interrupt interrupt;
    uint64_t done = 0;
    int code = FH_EXIT_OK;

    fh_interrupt_init(&interrupt);
    for (unsigned i = 0; i < FH_PIECES && code == FH_EXIT_OK; i++)
        code = download_submit(d, i);
    for (unsigned i = 0; code == FH_EXIT_OK && d->reqs[i] != NULL; i = (i + 1) % FH_PIECES) {
        size_t size;

        if ((code = download_take(d, i, sink, &size)) == FH_EXIT_OK)
            code = download_submit(d, i);
        if (code == FH_EXIT_OK)
            fh_progress_tell(&d->progress, done += size);
        if (fh_interrupt_came(&interrupt))
            code = FH_EXIT_INTERRUPTED;
    }
    fh_interrupt_fini(&interrupt);
    return code;
}

int fh_download(struct fh_tool *tool, const char *name, fh_handle handle, uint64_t offset,
                uint64_t size, struct fh_sink *sink)
{
    struct download d = {
        .tool = tool, .name = name, .handle = handle, .at = offset, .end = offset + size};
    int code;

    if ((d.pieces = malloc((size_t)FH_PIECES * FH_PIECE)) == NULL)
        return fh_tool_fail_local(tool, FH_NO_MEMORY, name, "no memory for the pieces");
    fh_progress_init(&d.progress, name, size, tool->quiet);
    code = download_run(&d, sink);
    fh_progress_fini(&d.progress);
    for (unsigned i = 0; i < FH_PIECES; i++)
        fh_req_free(d.reqs[i]);
    free(d.pieces);
    return code;
}
