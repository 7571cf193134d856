/*
 * bench_pager: what the parts of farheap-bench-pager share: a zone to measure, clocks, fio on the zone's own swap file,
 * and the rows of the report.
 *
 * Ownership  one zone at a time; open to close.
 * Threads    one; it is the zone's.
 * Errors     none come back: what cannot be measured ends the program with a sentence.
 */
#ifndef FH_TESTS_BENCH_PAGER_H
#define FH_TESTS_BENCH_PAGER_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/zone.h"
#include "tests/support/rng.h"

enum { BENCH_ROUNDS_MAX = 31, BENCH_DEPTH_MAX = 64 };

struct bench_opts {
    const char *dir;  /* where swap files lie */
    uint32_t rounds;  /* each figure is the median of so many */
    uint64_t memory;  /* bytes of the zones that page */
    bool json;        /* instead of a table */
    bool has_fio;     /* else the rows beside it say so */
    const char *only; /* a row's id, e.g. "E6"; NULL: all */
};

struct bench {
    struct bench_opts opts;
    struct fh_io *io;
    struct fh_zone zone;
    struct rng random;
    uint64_t now_ms; /* of the zone's clock: real time */
    uint64_t *turns; /* nanoseconds of each turn of the zone; NULL: not wanted */
    uint32_t turns_count, turns_max;
};

struct bench_time {
    double wall_s, cpu_s; /* cpu: of this thread */
};

/* --- a zone --- */

/* backend: "io_uring" or "threads". False: this machine does not allow it. */
bool bench_open(struct bench *, const char *backend, uint64_t memory, uint64_t swap);
void bench_close(struct bench *);
/* An object of whole pages, each written with bytes that do not compress to zeros. */
struct fh_object_view bench_object(struct bench *, uint64_t pages);
/* Writes each page of it once more, in address order or in random order. */
void bench_write(struct bench *, const struct fh_object_view *, bool random);
/* Writes whole pages of it at random. */
void bench_write_some(struct bench *, const struct fh_object_view *, uint32_t count);
/* One turn; waits for I/O first when there is nothing else to do. */
void bench_turn(struct bench *, bool may_wait);
/* All that can leave memory does; what it took. */
struct bench_time bench_evict(struct bench *);
/* Reads pages of the object, `depth` at once, `count` in all: nanoseconds of each into `ns` unless NULL. */
struct bench_time bench_read_pages(struct bench *, const struct fh_object_view *, uint32_t depth,
                                   uint32_t count, uint64_t *ns);

/* --- clocks and numbers --- */

uint64_t bench_now_ns(void);
uint64_t bench_cpu_ns(void); /* of this thread */
double bench_median(double *values, uint32_t count);
uint64_t bench_percentile(uint64_t *values, uint32_t count, double share); /* sorts */
void bench_must(int rc, const char *what);

/* --- the other side --- */

struct bench_fio {
    double iops, bytes_s, p50_us, p99_us;
};
/* fio for a second on the zone's swap file: rw is "randread" or "write". False: no fio. */
bool bench_fio(const struct bench *, const char *rw, const char *block, uint32_t depth,
               struct bench_fio *out);

/* --- the report --- */

enum bench_sense { BENCH_AT_MOST, BENCH_AT_LEAST, BENCH_INFO };

/* value and target in `unit`; `beside` says in words what it is compared with. */
void bench_row(const struct bench *, const char *id, const char *what, double value,
               const char *unit, enum bench_sense, double target, const char *beside, ...)
    __attribute__((format(printf, 8, 9)));
bool bench_wants(const struct bench *, const char *id);
/* How many targets were missed; ends the report. */
uint32_t bench_report_end(const struct bench *);

/* The parts. */
void bench_pager_memory(struct bench *);                        /* E4, E5, E9, E10, metadata */
void bench_pager_disk(struct bench *, const char *backend);     /* E6, E7, E8, E11 */
void bench_pager_trace(struct bench *, const char *trace_path); /* E12 */

#endif
