/*
 * info: the few counters of a farheap server that a run reports before and after.
 *
 * Units      bytes, pages, events since the server started.
 * Errors     false where the server gave no such document; *out is all zeros then.
 */
#ifndef FH_CLIENT_BENCH_INFO_H
#define FH_CLIENT_BENCH_INFO_H

#include "client/farheap.h"

#include <stdbool.h>

struct fh_server_info {
    char version[32], io[16];
    uint64_t zones;
    uint64_t faults_first_write, faults_swap, faults_copy_on_write;
    uint64_t reclaimed; /* pages, of any kind */
    uint64_t frames_used, frames_total;
    uint64_t swap_used_bytes, rss_bytes;
    uint64_t cpu_ns; /* used by the process; 0: an older server, which does not tell */
};

bool fh_server_info_read(const char *url, const fh_options *options, struct fh_server_info *out);

#endif
