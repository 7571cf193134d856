/*
 * budget: how much memory the node has for pages, from moment to moment, and how the zones share it. At most what the
 * operator asked for, at most what the control group leaves, less while the machine presses.
 *
 * Units      bytes, whole pages.
 * Ownership  caller owns the struct; it must not move while zones run.
 * Threads    the main thread; zones are told and report by mailbox.
 * Errors     -ENOMEM at init; -ERANGE at set: less than the zones need, or more than memory-max.
 */
#ifndef FH_SERVER_BUDGET_H
#define FH_SERVER_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/assert.h"
#include "lend.h"
#include "node.h"

enum { FH_BUDGET_TICK_MS = 250, FH_BUDGET_LOOK_MS = 1000 };

/* What a zone is told, and its report on the way back. */
struct fh_budget_order {
    struct fh_message message;
    struct fh_budget *budget;
    uint64_t goal;
    bool warm; /* what it gives is for another zone */
    /* the report */
    uint64_t have, spare, least, evicted;
    bool parks;
    /* the main thread's */
    uint64_t evicted_before;
    uint32_t zone;
    bool under_way;
};

struct fh_budget_how {
    uint64_t configured;        /* to begin with */
    uint64_t most;              /* there is address space for */
    uint64_t least_zone;        /* a zone needs */
    uint64_t beside;            /* the process needs besides: buffers, books for swap */
    uint32_t books_page;        /* bytes of books per page of memory */
    uint32_t pressure_permille; /* of time waited, above which it shrinks; 0 = never */
    uint32_t least_permille;    /* of the configured, below which pressure does not shrink it */
    const char *root;           /* of proc/ and sys/; "" but in tests */
    /* Runs an order on the zone's thread and sends it back with fh_budget_report. */
    void (*run_order)(struct fh_message *, void *zone);
};

struct fh_budget {
    struct fh_node *node;
    struct fh_budget_how how;
    uint64_t configured; /* what the operator asked for */
    uint64_t limit;      /* of the control group, as seen last; UINT64_MAX: none */
    uint64_t bound;      /* the smaller of configured and what the limit leaves */
    uint64_t now;        /* the bound, less what pressure took */
    uint64_t look_ms;    /* when limit and pressure were read last */
    struct fh_lend_zone *zones;
    struct fh_budget_order *orders;
    uint64_t lent_bytes; /* moved between zones so far */
};

/* Memory for pages that a control group of `limit` bytes leaves. */
uint64_t fh_budget_within(const struct fh_budget_how *, uint64_t limit);

FH_CHECKED int fh_budget_init(struct fh_budget *, struct fh_node *, const struct fh_budget_how *);
void fh_budget_fini(struct fh_budget *);
/* Every FH_BUDGET_TICK_MS: looks at limits and pressure once a second, and tells the zones. */
void fh_budget_tick(struct fh_budget *, uint64_t now_ms);
/* What the operator asks for now. */
FH_CHECKED int fh_budget_set(struct fh_budget *, uint64_t bytes);
/* The end of an order, on the zone's thread: its report goes to the main thread. */
void fh_budget_report(struct fh_budget_order *);

#endif
