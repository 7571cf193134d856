/* The shelf against a plain array of owners. */
#include "alloc/shelf.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/rng.h"

enum { PAGES = 300, RUNS = 64, STEPS = 20000 };

static struct fh_mem mem;
static struct fh_shelf shelf;

static void setup(void)
{
    cr_assert_eq(fh_shelf_init(&shelf, &mem, PAGES), 0);
}

static void teardown(void)
{
    fh_shelf_fini(&shelf);
    cr_expect_eq(mem.used_bytes, 0);
}

TestSuite(shelf, .init = setup, .fini = teardown, .timeout = 30);

Test(shelf, runs_lie_behind_each_other)
{
    uint64_t a, b;

    cr_assert_eq(fh_shelf_take(&shelf, 3, 7, &a), 0);
    cr_assert_eq(fh_shelf_take(&shelf, 2, 8, &b), 0);
    cr_assert_eq(b, a + 3);
    cr_assert_eq(fh_shelf_at(&shelf, a).owner, 7);
    cr_assert_eq(fh_shelf_at(&shelf, a).pages, 3);
    cr_assert_eq(fh_shelf_at(&shelf, a + 1).pages, 0, "nothing starts inside");
    cr_assert_eq(fh_shelf_at(&shelf, UINT64_MAX).pages, 0);
    cr_assert_eq(fh_shelf_start_of(&shelf, a + 2), a);
    cr_assert_eq(fh_shelf_start_of(&shelf, b), b);
}

Test(shelf, what_is_given_back_is_found_when_the_end_is_reached)
{
    uint64_t first, place;

    cr_assert_eq(fh_shelf_take(&shelf, PAGES - 1, 1, &first), 0);
    cr_assert_eq(fh_shelf_take(&shelf, 2, 2, &place), -ENOSPC);
    cr_assert_eq(fh_shelf_take(&shelf, 1, 2, &place), 0);
    fh_shelf_give(&shelf, first);
    cr_assert_eq(fh_shelf_take(&shelf, PAGES, 2, &place), -ENOSPC);
    cr_assert_eq(fh_shelf_take(&shelf, PAGES - 1, 2, &place), 0);
    cr_assert_eq(place, first);
}

Test(shelf, a_run_from_the_disk_lies_inside_and_overlaps_none)
{
    cr_assert_eq(fh_shelf_take_at(&shelf, 10, 5, 1), 0);
    cr_assert_eq(fh_shelf_take_at(&shelf, 14, 1, 2), -EINVAL);
    cr_assert_eq(fh_shelf_take_at(&shelf, 6, 5, 2), -EINVAL);
    cr_assert_eq(fh_shelf_take_at(&shelf, 0, PAGES, 2), -EINVAL);
    cr_assert_eq(fh_shelf_take_at(&shelf, PAGES, 1, 2), -EINVAL);
    cr_assert_eq(fh_shelf_take_at(&shelf, PAGES - 1, 2, 2), -EINVAL);
    cr_assert_eq(fh_shelf_take_at(&shelf, 1, UINT64_MAX, 2), -EINVAL);
    cr_assert_eq(fh_shelf_take_at(&shelf, UINT64_MAX, 1, 2), -EINVAL);
    cr_assert_eq(fh_shelf_take_at(&shelf, 1, 0, 2), -EINVAL);
    cr_assert_eq(fh_shelf_take_at(&shelf, 15, 1, 2), 0);
    cr_assert(fh_shelf_check(&shelf, stderr));
    cr_assert_eq(shelf.used, 6);
}

Test(shelf, a_walk_of_takes_and_gives)
{
    struct rng random = rng_from_env("shelf");
    static uint32_t owners[PAGES];
    uint64_t runs[RUNS];
    uint32_t count = 0;

    for (uint32_t step = 1; step <= STEPS; step++) {
        uint64_t place, pages = rng_log_uniform(&random, 6);
        if (count < RUNS && rng_percent(&random, 55) &&
            fh_shelf_take(&shelf, pages, step, &place) == 0) {
            for (uint64_t i = 0; i < pages; i++) {
                cr_assert_eq(owners[place + i], 0);
                owners[place + i] = step;
            }
            runs[count++] = place;
        } else if (count > 0) {
            uint64_t at = rng_below(&random, count);
            struct fh_shelf_start run = fh_shelf_at(&shelf, runs[at]);
            for (uint64_t i = 0; i < run.pages; i++) {
                cr_assert_eq(owners[runs[at] + i], run.owner);
                cr_assert_eq(fh_shelf_start_of(&shelf, runs[at] + i), runs[at]);
                owners[runs[at] + i] = 0;
            }
            fh_shelf_give(&shelf, runs[at]);
            runs[at] = runs[--count];
        }
        cr_assert(fh_shelf_check(&shelf, stderr));
    }
}

Test(shelf, check_sees_what_is_broken)
{
    uint64_t place;

    cr_assert_eq(fh_shelf_take(&shelf, 3, 1, &place), 0);
    shelf.used++;
    cr_assert_not(fh_shelf_check(&shelf, NULL));
    shelf.used--;
    shelf.count++;
    cr_assert_not(fh_shelf_check(&shelf, NULL));
    shelf.count--;
    shelf.starts[place].pages = 2;
    cr_assert_not(fh_shelf_check(&shelf, NULL));
    shelf.starts[place].pages = 4;
    cr_assert_not(fh_shelf_check(&shelf, NULL));
    shelf.starts[place].pages = 3;
    cr_assert(fh_shelf_check(&shelf, stderr));
}

Test(shelf, every_allocation_of_init_may_fail)
{
    fh_shelf_fini(&shelf);
    for (uint64_t n = 1; n <= 3; n++) {
        mem = (struct fh_mem){.fail_at = n};
        cr_assert_eq(fh_shelf_init(&shelf, &mem, PAGES), -ENOMEM);
        cr_assert_eq(mem.used_bytes, 0);
    }
    mem = (struct fh_mem){.fail_at = 0};
    cr_assert_eq(fh_shelf_init(&shelf, &mem, PAGES), 0);
}
