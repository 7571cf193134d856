/*
 * sizes: streams of request sizes, and what rounding them up to a class costs.
 *
 * Units      granules of a buddy, bytes of a slab: whatever the classes are counted in.
 * Threads    none of this has state but the rng it is given.
 */
#ifndef FH_TESTS_SIZES_H
#define FH_TESTS_SIZES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "alloc/buddy_systems.h"
#include "tests/support/rng.h"

/* A law that sizes are drawn by; never 0. */
struct sizes_law {
    const char *name;  /* one word */
    const char *title; /* for people */
    uint32_t (*draw)(struct rng *);
};

enum { SIZES_LAWS = 4 };

/* Uniform 1..512, exponential with mean 64, log-uniform 1..512, normal 256 +- 64. */
extern const struct sizes_law sizes_laws[SIZES_LAWS];

/* Log-uniform above `low` up to `high`: each ratio as likely as any other. */
uint32_t sizes_log_uniform(struct rng *, uint32_t low, uint32_t high);

/* One figure beside what theory says about it. */
struct sizes_form {
    const char *system;
    const char *what; /* the sizes and the kind of mean */
    double measured;
    double low, high; /* theory: a value when both are equal, else bounds */
};

enum { SIZES_FORMS = 13 };

/*
 * Measures what rounding costs in each buddy system and in the slab: the mean of class / request
 * over `draws` log-uniform sizes, and for uniform sizes 1..n sum / sum at its least and greatest
 * over all n of some doublings. `system` of slab rows is "slab".
 */
void sizes_measure_forms(uint64_t seed, uint32_t draws, struct sizes_form forms[SIZES_FORMS]);

/* Whether a figure is within a share (0.01: one per cent) of what theory says. */
bool sizes_form_agrees(const struct sizes_form *, double tolerance);

#endif
