/*
 * cgroup: what the control groups of this process allow it, and how long its processes wait for memory.
 *
 * Threads    any thread.
 * Errors     none: what cannot be read is no limit, and no pressure.
 */
#ifndef FH_SERVER_CGROUP_H
#define FH_SERVER_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The least of the memory limits of the process's groups, and of those above them; UINT64_MAX: none. Version 2:
 * memory.max and memory.high; version 1: memory.limit_in_bytes. `root` is a folder with proc/ and sys/ in it, "" but
 * in tests.
 */
uint64_t fh_cgroup_limit_bytes(const char *root);

/*
 * Share of the last ten seconds, in permille, in which some process waited for memory: of the machine, else of the
 * group (version 2). False: the kernel does not tell.
 */
bool fh_cgroup_pressure(const char *root, uint32_t *permille);

#endif
