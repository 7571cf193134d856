/*
 * machine: what this process may use: memory, CPUs, and how much memory it has.
 *
 * Threads    any thread.
 * Errors     none: what cannot be read counts as no limit, one CPU, 0 resident.
 */
#ifndef FH_SERVER_MACHINE_H
#define FH_SERVER_MACHINE_H

#include <stdint.h>

uint64_t fh_machine_physical_bytes(void);
/* The smaller of that and the limit of the control group. */
uint64_t fh_machine_memory_bytes(void);
uint32_t fh_machine_cpus(void);
uint64_t fh_machine_rss_bytes(void);
uint64_t fh_machine_cpu_ns(void); /* that all threads have used so far, user and system */

#endif
