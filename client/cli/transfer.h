/*
 * transfer: bytes of any number between a descriptor and the server, in pieces, so that the tool
 * stays small; Ctrl-C ends it cleanly.
 *
 * Units      bytes.
 * Errors     an exit code, the reason told; FH_EXIT_INTERRUPTED after SIGINT or SIGTERM.
 */
#ifndef FH_CLI_TRANSFER_H
#define FH_CLI_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/cli/output.h"
#include "client/cli/sink.h"

enum { FH_PIECE = 4 << 20, FH_PIECES = 3 };

/* SIGINT and SIGTERM as a descriptor, from init to fini. */
struct fh_interrupt {
    int fd;
};
void fh_interrupt_init(struct fh_interrupt *);
void fh_interrupt_fini(struct fh_interrupt *);
bool fh_interrupt_came(const struct fh_interrupt *);

/* Opens FILE, or stdin for "-" and NULL; -1 with errno. */
int fh_source_open(const char *path);
/*
 * Reads until `cap` bytes or the end; *got is how many. -EINTR when interrupted, else negative
 * errno.
 */
int fh_source_read(int fd, const struct fh_interrupt *, void *buf, size_t cap, size_t *got);

/* Puts all that can be read from `fd` under a name that appears when it is complete. */
int fh_upload(struct fh_tool *, const char *name, int fd, const fh_how *, fh_info *out);

/* Writes [offset, offset + size) of an object into the sink; `name` is for the progress line. */
int fh_download(struct fh_tool *, const char *name, fh_handle, uint64_t offset, uint64_t size,
                struct fh_sink *);

#endif
