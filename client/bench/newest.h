/*
 * newest: the named objects there are, and which of them came last, while others are inserted.
 *
 * Units      an object is a number from 0 to capacity - 1.
 * Ownership  caller owns the struct, newest its marks.
 * Threads    take, settle and the questions are safe from many threads at once.
 * Errors     -ENOMEM from init.
 * Cost       O(1), settle amortised.
 */
#ifndef FH_CLIENT_BENCH_NEWEST_H
#define FH_CLIENT_BENCH_NEWEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct fh_newest {
    uint64_t first, capacity;
    _Atomic uint64_t taken;  /* inserts begun, the `first` objects of the fill included [I1] */
    _Atomic uint64_t stored; /* of these, all up to here are stored [I1] */
    _Atomic uint8_t *there;  /* by object; NULL when nothing is ever inserted */
};

/* `first` objects are stored by the fill; at most `capacity` are kept. */
int fh_newest_init(struct fh_newest *, uint64_t first, uint64_t capacity);
void fh_newest_fini(struct fh_newest *);

/* The object to insert next: a new one, or the oldest again when there are `capacity`. */
uint64_t fh_newest_take(struct fh_newest *);
/* It is stored. One that could not be is never settled, and nothing after it counts as there. */
void fh_newest_settle(struct fh_newest *, uint64_t object);

uint64_t fh_newest_count(const struct fh_newest *); /* objects 0 .. count - 1 are there */
uint64_t fh_newest_of_age(const struct fh_newest *, uint64_t age); /* 0: the newest; age < first */
uint64_t fh_newest_made(const struct fh_newest *);                 /* that may have been stored */

#endif
