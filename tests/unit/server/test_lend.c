/* Shares of the budget: who starves gets what others do not need, and nobody gets what is not there. */
#include "server/lend.h"

#include <criterion/criterion.h>

#include "server/chunks.h"
#include "tests/support/rng.h"

#define MIB (UINT64_C(1) << 20)

enum { ZONES = 4 };

static const uint64_t budget = 256 * MIB, least = 576 << 10;
static struct fh_lend_zone zones[ZONES];

static void setup(void)
{
    fh_lend_start(zones, ZONES, budget, least);
}

TestSuite(lend, .init = setup, .timeout = 20);

static uint64_t targets(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < ZONES; i++)
        sum += zones[i].target;
    return sum;
}

/* What the zones may have at most until their next reports. */
static uint64_t bound(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < ZONES; i++)
        sum += zones[i].goal > zones[i].have ? zones[i].goal : zones[i].have;
    return sum;
}

/* All do as they were told. */
static void obey(void)
{
    for (uint32_t i = 0; i < ZONES; i++)
        zones[i].have = zones[i].goal;
}

static void round_of_reports(void)
{
    fh_lend_fit(zones, ZONES, budget, least);
    (void)fh_lend_step(zones, ZONES, least);
    fh_lend_goals(zones, ZONES);
    cr_assert_eq(targets(), budget);
    cr_assert_leq(bound(), budget);
}

Test(lend, begins_with_equal_shares)
{
    for (uint32_t i = 0; i < ZONES; i++)
        cr_assert_eq(zones[i].target, budget / ZONES);
    fh_lend_start(zones, 3, 100 * MIB, least);
    cr_assert_eq(zones[0].target + zones[1].target + zones[2].target, 100 * MIB);
}

Test(lend, who_starves_borrows_what_others_have_plenty_of)
{
    zones[2].spare = 40 * MIB;
    zones[1].spare = 10 * MIB;
    zones[0].hungry = true;
    round_of_reports();
    cr_assert_eq(zones[0].target, budget / ZONES, "once is not yet starving");
    round_of_reports();
    cr_assert_eq(zones[0].target, budget / ZONES + 16 * MIB, "a sixteenth at most");
    cr_assert_eq(zones[2].goal, budget / ZONES - 16 * MIB, "given at once");
    cr_assert_eq(zones[0].goal, budget / ZONES, "taken when it is there");
    zones[2].have = zones[2].goal;
    round_of_reports();
    cr_assert_eq(zones[0].goal, zones[0].target);
}

Test(lend, all_load_on_one_gets_it_most_of_the_memory)
{
    for (int i = 0; i < 200; i++) {
        zones[0].hungry = true;
        for (uint32_t k = 1; k < ZONES; k++)
            zones[k].spare = zones[k].have > MIB ? zones[k].have - MIB : 0;
        round_of_reports();
        obey();
    }
    cr_assert_gt(zones[0].have, budget * 9 / 10);
}

Test(lend, a_lender_that_starves_gets_its_share_back)
{
    for (int i = 0; i < 400 && zones[3].have >= budget / ZONES / 4; i++) {
        zones[0].hungry = true;
        zones[3].spare = zones[3].have;
        round_of_reports();
        obey();
    }
    cr_assert_lt(zones[3].have, budget / ZONES / 4);
    for (int i = 0; i < 100; i++) {
        zones[0].hungry = zones[3].hungry = true;
        zones[3].spare = 0;
        round_of_reports();
        obey();
    }
    cr_assert_eq(zones[3].have, budget / ZONES);
    cr_assert_eq(zones[0].have, budget / ZONES);
}

Test(lend, nothing_that_content_needs_is_lent)
{
    for (int i = 0; i < 100; i++) {
        zones[0].hungry = true;
        zones[1].spare = zones[1].have;
        zones[1].least = 50 * MIB;
        round_of_reports();
        obey();
    }
    cr_assert_geq(zones[1].have, 50 * MIB);
    cr_assert_lt(zones[1].have, 53 * MIB);
}

Test(lend, nobody_lends_who_starves_or_is_on_the_way)
{
    zones[0].hungry = zones[1].hungry = true;
    zones[1].spare = 60 * MIB;
    for (int i = 0; i < 10; i++)
        round_of_reports();
    cr_assert_eq(zones[0].target, budget / ZONES);
    zones[1].hungry = false;
    zones[1].have -= 4096; /* has not come to its goal yet */
    for (int i = 0; i < 10; i++)
        round_of_reports();
    cr_assert_eq(zones[0].target, budget / ZONES);
}

Test(lend, another_budget_is_shared_without_forgetting_who_borrowed)
{
    zones[0].target += 32 * MIB;
    zones[1].target -= 32 * MIB;
    fh_lend_fit(zones, ZONES, budget / 2, least);
    cr_assert_eq(targets(), budget / 2);
    cr_assert_gt(zones[0].target, zones[1].target);
    fh_lend_fit(zones, ZONES, budget, least);
    cr_assert_eq(targets(), budget);
    fh_lend_fit(zones, ZONES, 1000, least);
    for (uint32_t i = 0; i < ZONES; i++)
        cr_assert_eq(zones[i].target, least, "what a zone needs is not taken");
}

Test(lend, a_walk_never_exceeds_the_budget)
{
    struct rng g = rng_from_env("lend");
    uint64_t now = budget;

    for (int step = 0; step < 20000; step++) {
        uint64_t before = bound();
        if (rng_percent(&g, 3))
            now = rng_between(&g, ZONES * least, 2 * budget) / 4096 * 4096;
        fh_lend_fit(zones, ZONES, now, least);
        (void)fh_lend_step(zones, ZONES, least);
        fh_lend_goals(zones, ZONES);
        cr_assert_eq(targets(), now);
        cr_assert(bound() <= now || bound() <= before, "step %d", step);
        for (uint32_t i = 0; i < ZONES; i++) {
            struct fh_lend_zone *z = &zones[i];
            cr_assert_geq(z->target, least);
            cr_assert_leq(z->goal, z->target);
            if (z->have < z->goal) /* it grows or shrinks a part of the way */
                z->have += rng_below(&g, z->goal - z->have + 1);
            else
                z->have -= rng_below(&g, z->have - z->goal + 1);
            if (rng_percent(&g, 40))
                z->have = z->goal;
            z->spare = rng_below(&g, z->have + 1);
            z->hungry = rng_percent(&g, 30);
        }
    }
}
