/*
 * sink: where fetched bytes go: stdout, a device, or a file that appears under its name only when
 * it is complete.
 *
 * Ownership  caller owns the struct and calls fini; without commit nothing is left behind.
 * Errors     negative errno; -EPERM binary data was about to be written to a terminal.
 */
#ifndef FH_CLI_SINK_H
#define FH_CLI_SINK_H

#include <stdbool.h>
#include <stddef.h>

struct fh_sink {
    int fd;
    const char *path; /* NULL: not a file of ours */
    char temporary[4096];
    bool text_only; /* a terminal that was not asked for */
};

/* `path` NULL: stdout, text only when that is a terminal; "-": stdout as it is. */
int fh_sink_init(struct fh_sink *, const char *path);
int fh_sink_write(struct fh_sink *, const void *bytes, size_t size);
int fh_sink_commit(struct fh_sink *);
void fh_sink_fini(struct fh_sink *);

/* write() until all is written; 0 or negative errno. */
int fh_fd_write_all(int fd, const void *bytes, size_t size);

#endif
