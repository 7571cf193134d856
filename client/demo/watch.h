/*
 * watch: a thread that looks at a process's resident memory every 50 ms and keeps the maximum.
 *
 * Units      bytes.
 * Ownership  caller owns the struct and keeps it in place until stop.
 * Errors     start: -ESRCH no such process, or what pthread_create says.
 */
#ifndef FH_CLIENT_DEMO_WATCH_H
#define FH_CLIENT_DEMO_WATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fh_watch {
    pid_t pid;
    pthread_t thread;
    _Atomic bool stop;
    uint64_t looks, peak_bytes; /* valid after stop */
    bool gone;                  /* the process ended meanwhile */
};

int fh_watch_start(struct fh_watch *, pid_t pid);
void fh_watch_stop(struct fh_watch *);

#endif
