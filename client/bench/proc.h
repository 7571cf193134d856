/*
 * proc: what /proc tells of a server's process, and the clock all times of a run are read from.
 *
 * Units      nanoseconds.
 * Errors     0 where there is no such process.
 */
#ifndef FH_CLIENT_BENCH_PROC_H
#define FH_CLIENT_BENCH_PROC_H

#include <stdint.h>
#include <sys/types.h>

uint64_t fh_proc_now(void);           /* monotonic */
uint64_t fh_proc_cpu_ns(pid_t pid);   /* used by all its threads so far */
uint64_t fh_proc_thread_cpu_ns(void); /* by the calling thread */

#endif
