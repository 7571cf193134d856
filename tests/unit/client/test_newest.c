/* What may be read while others are inserted, and which of it is newest. */
#include "client/bench/newest.h"

#include <criterion/criterion.h>

static struct fh_newest newest;

static void stop(void)
{
    fh_newest_fini(&newest);
}

TestSuite(newest, .fini = stop, .timeout = 20);

Test(newest, without_inserts_the_newest_is_the_last_of_the_fill)
{
    cr_assert_eq(fh_newest_init(&newest, 10, 10), 0);
    cr_assert_eq(fh_newest_count(&newest), 10);
    cr_assert_eq(fh_newest_of_age(&newest, 0), 9);
    cr_assert_eq(fh_newest_of_age(&newest, 9), 0);
    cr_assert_eq(fh_newest_made(&newest), 10);
}

Test(newest, what_is_not_stored_yet_hides_what_came_after_it)
{
    uint64_t a;
    uint64_t b;

    cr_assert_eq(fh_newest_init(&newest, 10, 20), 0);
    a = fh_newest_take(&newest);
    b = fh_newest_take(&newest);
    cr_assert(a == 10 && b == 11);
    fh_newest_settle(&newest, b);
    cr_assert_eq(fh_newest_count(&newest), 10);
    cr_assert_eq(fh_newest_of_age(&newest, 0), 9);
    fh_newest_settle(&newest, a);
    cr_assert_eq(fh_newest_count(&newest), 12);
    cr_assert_eq(fh_newest_of_age(&newest, 0), 11);
}

Test(newest, the_oldest_is_overwritten_when_there_is_no_more_room)
{
    cr_assert_eq(fh_newest_init(&newest, 3, 6), 0);
    for (uint64_t i = 3; i < 8; i++) {
        uint64_t object = fh_newest_take(&newest);

        cr_assert_eq(object, i % 6);
        fh_newest_settle(&newest, object);
    }
    cr_assert_eq(fh_newest_count(&newest), 6);
    cr_assert_eq(fh_newest_made(&newest), 6);
    cr_assert_eq(fh_newest_of_age(&newest, 0), 1);
    cr_assert_eq(fh_newest_of_age(&newest, 2), 5);
}
