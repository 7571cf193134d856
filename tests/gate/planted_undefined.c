/* A bug on purpose: the gate must see undefined behaviour. */
#include <criterion/criterion.h>
#include <limits.h>

Test(planted, undefined_behaviour_is_caught, .timeout = 10)
{
    volatile int largest = INT_MAX;

    largest = largest + 1;
    cr_assert(largest != 0);
}
