/*
 * progress: one line on stderr that grows while bytes move: only on a terminal, only when it takes
 * longer than a second, at most ten times a second.
 *
 * Ownership  caller owns the struct; `name` must stay valid until fini.
 */
#ifndef FH_CLI_PROGRESS_H
#define FH_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fh_progress {
    const char *name;
    uint64_t total; /* 0 = not known */
    bool wanted, shown;
    int64_t start_ms, shown_ms;
};

void fh_progress_init(struct fh_progress *, const char *name, uint64_t total, bool quiet);
void fh_progress_tell(struct fh_progress *, uint64_t done);
/* Wipes the line. */
void fh_progress_fini(struct fh_progress *);

/* `model/0  412 MiB of 1.00 GiB  40% [####------]  820 MiB/s  ETA 0:01` after `ms`. */
void fh_progress_print(const struct fh_progress *, uint64_t done, int64_t ms, char *out,
                       size_t cap);

#endif
