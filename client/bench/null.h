/*
 * null: a server that answers every request at once and stores nothing: what a load test against it
 * reaches is the most that the load tester can do on this machine.
 *
 * Threads    one, until it is killed.
 * Errors     exit codes: 2 usage, 1 it cannot listen.
 */
#ifndef FH_CLIENT_BENCH_NULL_H
#define FH_CLIENT_BENCH_NULL_H

/* argv[0] is `null`, argv[1] where to listen. Says farheap://HOST:PORT on stdout, then serves. */
int fh_null_main(int argc, char **argv);

#endif
