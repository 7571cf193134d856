/*
 * Theory.  A zone has its equal share of the budget, plus what it borrowed, minus what it lent, in whole chunks. It
 * starves when it evicts or parks requests, in two reports in a row; it has plenty when frames beyond its high
 * watermark are free. Each step moves one piece, a sixteenth of the budget at most:
 *
 *   a starving zone with less than its share   gets it back from the one that has most above its own
 *   any other starving zone                    borrows half the plenty of the one that has most of it
 *
 * Only zones that are where they are to be take part, so that a report is never older than the last step.
 *
 * A target is reached in two moves: goals go down at once, and up only as far as what the zones have, or may have, leaves
 * room under the budget. So memory is given before it is taken, and the sum never exceeds the budget, unless
 * the budget itself was lowered and the zones have not followed yet.
 *
 * Invariants
 *   [I1] the sum of the targets is the budget
 *   [I2] the sum over zones of the larger of what is had and the goal is no more after goals than before, or within the
 *        budget
 */
#include "lend.h"

#include "chunks.h"

enum { PAGE = 4096, HUNGER = 2, STEP_SHARE = 16 };

static uint64_t less(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t more(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t targets_sum(const struct fh_lend_zone *z, uint32_t count)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < count; i++)
        sum += z[i].target;
    return sum;
}

static void targets_grow(struct fh_lend_zone *z, uint32_t count, uint64_t by)
{
    uint64_t each = by / count / PAGE * PAGE;

    for (uint32_t i = 0; i < count; i++)
        z[i].target += each;
    z[0].target += by - each * count;
}

/* By what each has above the least; what rounding leaves is taken from the first that has it. */
static void targets_shrink(struct fh_lend_zone *z, uint32_t count, uint64_t by, uint64_t least)
{
    uint64_t above = 0, taken = 0;

    for (uint32_t i = 0; i < count; i++)
        above += z[i].target > least ? z[i].target - least : 0;
    for (uint32_t i = 0; i < count && above > 0; i++) {
        double part = z[i].target > least ? (double)(z[i].target - least) / (double)above : 0;
        uint64_t loss = less((uint64_t)((double)by * part) / PAGE * PAGE, by - taken);
        z[i].target -= loss;
        taken += loss;
    }
    for (uint32_t i = 0; i < count && taken < by; i++) {
        uint64_t loss = less(by - taken, z[i].target > least ? z[i].target - least : 0);
        z[i].target -= loss;
        taken += loss;
    }
}

void fh_lend_start(struct fh_lend_zone *z, uint32_t count, uint64_t budget, uint64_t least_zone)
{
    for (uint32_t i = 0; i < count; i++)
        z[i] = (struct fh_lend_zone){.target = budget / count / PAGE * PAGE};
    fh_lend_fit(z, count, budget, least_zone);
    for (uint32_t i = 0; i < count; i++)
        z[i].goal = z[i].have = z[i].target;
}

void fh_lend_fit(struct fh_lend_zone *z, uint32_t count, uint64_t budget, uint64_t least_zone)
{
    uint64_t wanted = more(budget / PAGE * PAGE, least_zone * count);
    uint64_t sum = targets_sum(z, count);

    if (sum < wanted)
        targets_grow(z, count, wanted - sum);
    else if (sum > wanted)
        targets_shrink(z, count, sum - wanted, least_zone);
}

static bool zone_is_settled(const struct fh_lend_zone *z)
{
    return z->goal == z->target && z->have == z->goal;
}

static bool zone_starves(const struct fh_lend_zone *z)
{
    return z->hunger >= HUNGER && zone_is_settled(z);
}

/* The starving zone that has least; count: none. */
static uint32_t find_borrower(const struct fh_lend_zone *z, uint32_t count)
{
    uint32_t best = count;

    for (uint32_t i = 0; i < count; i++)
        if (zone_starves(&z[i]) && (best == count || z[i].target < z[best].target))
            best = i;
    return best;
}

/* What a zone can give, in whole chunks, so that what lives there stays possible. */
static uint64_t zone_can_give(const struct fh_lend_zone *z, uint64_t wanted, uint64_t least_zone)
{
    uint64_t keep = more(z->least, least_zone);
    uint64_t can = z->target > keep ? z->target - keep : 0;

    return less(wanted, can) / FH_CHUNK_BYTES * FH_CHUNK_BYTES;
}

/* The most it would give to `to`, by the two rules. */
static uint64_t zone_offer(const struct fh_lend_zone *z, const struct fh_lend_zone *to,
                           uint64_t share, uint64_t step, uint64_t least_zone)
{
    uint64_t offer = 0;

    if (!zone_is_settled(z))
        return 0;
    if (to->target < share && z->target > share)
        offer = less(z->target - share, share - to->target);
    else if (z->hunger == 0)
        offer = z->spare / 2;
    return zone_can_give(z, less(offer, step), least_zone);
}

uint64_t fh_lend_step(struct fh_lend_zone *z, uint32_t count, uint64_t least_zone)
{
    uint64_t sum = targets_sum(z, count);
    uint64_t step = more(sum / STEP_SHARE, FH_CHUNK_BYTES);
    uint64_t best = 0;
    uint32_t from = count;

    for (uint32_t i = 0; i < count; i++)
        z[i].hunger = z[i].hungry ? z[i].hunger + 1 : 0;
    uint32_t to = find_borrower(z, count);
    for (uint32_t i = 0; i < count && to < count; i++) {
        uint64_t offer = i == to ? 0 : zone_offer(&z[i], &z[to], sum / count, step, least_zone);
        if (offer > best) {
            best = offer;
            from = i;
        }
    }
    if (from == count)
        return 0;
    z[from].target -= best;
    z[to].target += best;
    z[to].hunger = 0; /* to be seen anew, with what it has then */
    return best;
}

void fh_lend_goals(struct fh_lend_zone *z, uint32_t count)
{
    uint64_t budget = targets_sum(z, count);
    uint64_t bound = 0;

    for (uint32_t i = 0; i < count; i++) {
        z[i].goal = less(z[i].goal, z[i].target);
        bound += more(z[i].goal, z[i].have);
    }
    for (uint32_t i = 0; i < count && bound < budget; i++) {
        uint64_t had = more(z[i].goal, z[i].have);
        uint64_t rise = less(z[i].target > had ? z[i].target - had : 0, budget - bound);
        bound += rise;
        z[i].goal = less(z[i].target, had + rise);
    }
}
