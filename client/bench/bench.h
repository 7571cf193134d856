/*
 * bench: the load tester, `farheap bench`, as one call for the command line.
 *
 * Threads    starts its own threads and joins them; blocks SIGINT and SIGTERM while it runs.
 * Errors     exit codes: 0; 1 an assertion failed or nothing succeeded; 2 usage; 3 to 8 as every
 *            verb; 7 also when --verify found wrong bytes; 130 interrupted.
 */
#ifndef FH_CLIENT_BENCH_BENCH_H
#define FH_CLIENT_BENCH_BENCH_H

/* argv[0] is the verb; the rest are the options of `farheap bench -h`. Returns the exit code. */
int fh_bench_main(int argc, char **argv);

#endif
