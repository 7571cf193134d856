/* A bug on purpose: the gate must see a leak although Criterion calls the test passed. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void *volatile forgotten;

Test(planted, a_leak_is_caught, .timeout = 10)
{
    forgotten = malloc(64);
    cr_assert_not_null(forgotten);
    memset(forgotten, 1, 64);
    forgotten = NULL;
}
