/* usage: the text of `farheap bench -h`. */
#ifndef FH_CLIENT_BENCH_USAGE_H
#define FH_CLIENT_BENCH_USAGE_H

extern const char fh_bench_usage[];

#endif
