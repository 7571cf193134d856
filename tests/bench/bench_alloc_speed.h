/*
 * bench_alloc_speed: nanoseconds of our allocators, beside those of mimalloc and jemalloc.
 */
#ifndef FH_BENCH_ALLOC_SPEED_H
#define FH_BENCH_ALLOC_SPEED_H

#include <stdio.h>

/* argv: of main, see side_load_rivals. */
void speed_run(char **argv, FILE *out);

#endif
