/*
 * store: one system under test: requests in flight to it, and what it says about its memory.
 *
 * Ownership  the caller owns the struct; store its connections.
 * Errors     a sentence on stderr, then false.
 */
#ifndef FH_TESTS_BENCH_PHASES_STORE_H
#define FH_TESTS_BENCH_PHASES_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/bench/driver.h"

enum { STORE_WINDOW = 64, SMALL_BYTES = 100, LARGE_BYTES = 3072 };

/* Of one moment, as the store itself tells. */
struct store_figures {
    uint64_t frame_bytes; /* frames in use; slab pages of memcached */
    uint64_t swap_bytes;  /* slots in use */
    uint64_t
        book_bytes; /* kept besides: records, names, page table; memcached's are in its pages */
    uint64_t items;
    uint64_t value_bytes; /* of the items it has */
    uint64_t evicted;     /* items it dropped on its own, so far */
};

struct store {
    const char *label, *address;
    const struct fh_driver_class *class;
    struct fh_driver *driver;
    fh_client *looker; /* farheap: for its figures */
    struct fh_request requests[STORE_WINDOW];
    uint32_t in_flight;
};

/* target: LABEL=farheap://HOST:PORT, or LABEL=HOST:PORT of a memcached. */
bool store_open(struct store *, char *target);
void store_close(struct store *);

/* A request to fill in, once fewer than STORE_WINDOW are in flight; those that ended go to `ended`.
 */
struct fh_request *store_next(struct store *, void (*ended)(void *ctx, struct fh_request *),
                              void *ctx);
void store_submit(struct store *, struct fh_request *);
/* Waits for all in flight. */
void store_drain(struct store *, void (*ended)(void *ctx, struct fh_request *), void *ctx);

bool store_look(struct store *, struct store_figures *out);

#endif
