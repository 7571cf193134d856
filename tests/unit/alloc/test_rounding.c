/* What rounding costs, measured, against the closed forms; the benchmark does it with more draws.
 */
#include <criterion/criterion.h>

#include "tests/support/sizes.h"

enum { SEED = 1, DRAWS = 200000 };

TestSuite(rounding, .timeout = 20);

Test(rounding, costs_what_theory_says_within_one_percent)
{
    struct sizes_form forms[SIZES_FORMS];
    sizes_measure_forms(SEED, DRAWS, forms);
    for (uint32_t i = 0; i < SIZES_FORMS; i++)
        cr_assert(sizes_form_agrees(&forms[i], 0.01), "%s, %s: %f, theory %f..%f", forms[i].system,
                  forms[i].what, forms[i].measured, forms[i].low, forms[i].high);
}

Test(rounding, a_figure_off_by_two_percent_is_noticed)
{
    struct sizes_form form = {.measured = 1.02, .low = 1, .high = 1};
    cr_assert_not(sizes_form_agrees(&form, 0.01));
    form.measured = 0.98;
    cr_assert_not(sizes_form_agrees(&form, 0.01));
    form.high = 1.5;
    form.measured = 1.3;
    cr_assert(sizes_form_agrees(&form, 0.01));
}

Test(rounding, laws_draw_what_they_are_named_after)
{
    static const double means[SIZES_LAWS] = {256.5, 64.5, 77, 256};
    struct rng r = {SEED};
    for (uint32_t law = 0; law < SIZES_LAWS; law++) {
        double sum = 0;
        for (uint32_t i = 0; i < DRAWS; i++) {
            uint32_t size = sizes_laws[law].draw(&r);
            cr_assert_gt(size, 0);
            sum += size;
        }
        cr_assert_float_eq(sum / DRAWS / means[law], 1, 0.01, "%s: %f", sizes_laws[law].name,
                           sum / DRAWS);
    }
}
