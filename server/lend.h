/*
 * lend: how much of the node's memory each zone is to have. Pure policy over what the zones report.
 *
 * Units      bytes, whole pages.
 * Threads    pure; any thread.
 */
#ifndef FH_SERVER_LEND_H
#define FH_SERVER_LEND_H

#include <stdbool.h>
#include <stdint.h>

/* A zone, as it reported last, and what it is to have. */
struct fh_lend_zone {
    uint64_t have;   /* frames it has, and leaving chunks whole: they are not given yet */
    uint64_t spare;  /* of them free beyond its high watermark */
    uint64_t least;  /* what lives there needs at least, to stay */
    bool hungry;     /* it parks requests or evicts */
    uint32_t hunger; /* reports in a row that said so; lend's own */
    uint64_t target; /* what it is to have in the end; lend's own. The sum is the budget [I1] */
    uint64_t
        goal; /* what it may have now: the sum of what is had never exceeds the budget by it [I2] */
};

/* Everyone's equal share. */
void fh_lend_start(struct fh_lend_zone *, uint32_t count, uint64_t budget, uint64_t least_zone);
/* Targets for another budget: growth is shared equally, loss by what each has above `least_zone`. */
void fh_lend_fit(struct fh_lend_zone *, uint32_t count, uint64_t budget, uint64_t least_zone);
/* Moves at most one piece from a zone that has plenty to one that starves, or back. How many bytes. */
uint64_t fh_lend_step(struct fh_lend_zone *, uint32_t count, uint64_t least_zone);
/* Goals on the way to the targets: who is to have less first, who is to have more as far as there is room. */
void fh_lend_goals(struct fh_lend_zone *, uint32_t count);

#endif
