/*
 * crew: several threads, each with a client of its own, that do one thing to every file.
 *
 * Ownership  caller owns the struct; the files stay the caller's.
 * Threads    run starts and joins them; it shows progress on stderr meanwhile.
 * Errors     run returns false; `why` says what went wrong first, in one line.
 */
#ifndef FH_CLIENT_DEMO_CREW_H
#define FH_CLIENT_DEMO_CREW_H

#include "client/demo/files.h"
#include "client/farheap.h"

#include <stdatomic.h>

enum { FH_CREW_THREADS = 8, FH_CREW_WHY = 1500 };

struct fh_crew {
    const char *url;
    struct fh_files *files;
    uint64_t seed;
    _Atomic size_t next; /* file to be taken */
    _Atomic size_t done_files;
    _Atomic uint64_t done_bytes;
    _Atomic uint64_t wrong; /* objects whose bytes were not those stored */
    _Atomic bool failed;    /* `why` is being set */
    char why[FH_CREW_WHY];
};

/* Reads each file once, keeps its SHA-256 (and samples of large ones), stores it under its path. */
bool fh_crew_store(struct fh_crew *);
/* Gets each stored object in the files' order and compares its SHA-256. */
bool fh_crew_verify(struct fh_crew *);

#endif
