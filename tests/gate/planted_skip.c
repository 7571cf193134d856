/* A test that skips itself without standing in skips.txt: it has not passed. */
#include <criterion/criterion.h>

Test(planted, a_skip_nobody_allowed_is_caught, .timeout = 10)
{
    cr_skip_test("no reason");
}
