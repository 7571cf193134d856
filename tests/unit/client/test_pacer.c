/* When requests are due: even, exact in the long run, and never moved by a late one. */
#include "client/bench/pacer.h"

#include <criterion/criterion.h>
#include <math.h>

TestSuite(pacer, .timeout = 10);

Test(pacer, a_constant_rate_is_due_at_multiples_of_the_gap)
{
    struct fh_pacer p;

    fh_pacer_init(&p, 1000, 0, 1, false, 5000000, 42);
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t due = fh_pacer_due(&p);

        cr_assert_leq(due > 5000000 + i * 1000000 ? due - (5000000 + i * 1000000)
                                                  : 5000000 + i * 1000000 - due,
                      1);
        fh_pacer_step(&p);
    }
}

Test(pacer, the_shares_of_several_threads_interleave_evenly)
{
    struct fh_pacer p[4];

    for (uint32_t i = 0; i < 4; i++)
        fh_pacer_init(&p[i], 4000, i, 4, false, 0, 42);
    for (uint64_t n = 0; n < 400; n++) {
        cr_assert_eq(fh_pacer_due(&p[n % 4]), n * 250000);
        fh_pacer_step(&p[n % 4]);
    }
}

Test(pacer, poisson_gaps_have_the_mean_and_the_spread_of_an_exponential)
{
    enum { GAPS = 200000 };
    double sum = 0;
    double squares = 0;
    uint64_t before;
    struct fh_pacer p;

    fh_pacer_init(&p, 10000, 0, 1, true, 0, 7);
    before = fh_pacer_due(&p);
    for (int i = 0; i < GAPS; i++) {
        double gap;

        fh_pacer_step(&p);
        gap = (double)(fh_pacer_due(&p) - before);
        before = fh_pacer_due(&p);
        sum += gap;
        squares += gap * gap;
    }
    /* Mean 100 us, and a standard deviation equal to it; both within six standard errors. */
    cr_assert_float_eq(sum / GAPS, 100000, 6 * 100000 / sqrt(GAPS));
    cr_assert_float_eq(sqrt(squares / GAPS - sum / GAPS * (sum / GAPS)), 100000, 3000);
}

Test(pacer, poisson_threads_do_not_repeat_each_other)
{
    struct fh_pacer a;
    struct fh_pacer b;

    fh_pacer_init(&a, 1000, 0, 2, true, 0, 42);
    fh_pacer_init(&b, 1000, 1, 2, true, 0, 42);
    cr_assert_neq(fh_pacer_due(&a), fh_pacer_due(&b));
}
