#include "alloc/mem.h"

#include <criterion/criterion.h>
#include <string.h>

static struct fh_mem mem;

static void setup(void)
{
    mem = (struct fh_mem){0};
}

TestSuite(mem, .init = setup, .timeout = 10);

static bool is_zero(const unsigned char *p, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (p[i] != 0)
            return false;
    return true;
}

Test(mem, what_is_taken_is_zero_and_counted)
{
    unsigned char *p = fh_mem_take(&mem, 1000);
    cr_assert_not_null(p);
    cr_assert(is_zero(p, 1000));
    cr_assert_eq(mem.used_bytes, 1000);
    cr_assert_eq(mem.taken_bytes, 1000);
    fh_mem_give(&mem, p, 1000);
    cr_assert_eq(mem.used_bytes, 0);
    cr_assert_eq(mem.taken_bytes, 0);
    fh_mem_give(&mem, NULL, 5);
    cr_assert_eq(mem.used_bytes, 0);
}

Test(mem, growing_keeps_the_old_part_and_zeroes_the_new)
{
    unsigned char *p = fh_mem_grow(&mem, NULL, 0, 100);
    cr_assert(is_zero(p, 100));
    memset(p, 7, 100);
    p = fh_mem_grow(&mem, p, 100, 5000);
    cr_assert_eq(p[99], 7);
    cr_assert(is_zero(p + 100, 4900));
    cr_assert_eq(mem.used_bytes, 5000);
    cr_assert_eq(mem.taken_bytes, 5000);
    fh_mem_give(&mem, p, 5000);
}

Test(mem, a_map_reads_as_zeros_and_may_be_larger_than_memory)
{
    size_t size = (size_t)1 << 36;
    unsigned char *p = fh_mem_map(&mem, size);
    cr_assert_not_null(p);
    cr_assert_eq(p[0], 0);
    p[size - 1] = 1;
    cr_assert_eq(p[size - 1], 1);
    cr_assert_eq(mem.used_bytes, size);
    cr_assert_eq(mem.taken_bytes, 0, "what is touched of a map is its owner's to say");
    fh_mem_unmap(&mem, p, size);
    fh_mem_unmap(&mem, NULL, size);
    cr_assert_eq(mem.used_bytes, 0);
}

Test(mem, a_map_that_cannot_be_had_is_refused)
{
    cr_assert_null(fh_mem_map(&mem, (size_t)1 << 62));
    cr_assert_eq(mem.used_bytes, 0);
}

Test(mem, the_planned_request_fails_and_no_other)
{
    mem.fail_at = 2;
    void *first = fh_mem_take(&mem, 10);
    cr_assert_not_null(first);
    cr_assert_not(mem.failed);
    cr_assert_null(fh_mem_map(&mem, 4096));
    cr_assert(mem.failed);
    void *third = fh_mem_take(&mem, 10);
    cr_assert_not_null(third);
    cr_assert_eq(mem.calls, 3);
    cr_assert_eq(mem.used_bytes, 20);
    fh_mem_give(&mem, first, 10);
    fh_mem_give(&mem, third, 10);
}

Test(mem, from_the_planned_request_on_all_fail)
{
    unsigned char *p = fh_mem_take(&mem, 10);
    p[9] = 3;
    mem.fail_at = 2;
    mem.fail_from_there_on = true;
    cr_assert_null(fh_mem_grow(&mem, p, 10, 20));
    cr_assert_null(fh_mem_take(&mem, 10));
    cr_assert_null(fh_mem_map(&mem, 4096));
    cr_assert_eq(p[9], 3, "the old block is untouched");
    cr_assert_eq(mem.used_bytes, 10);
    fh_mem_give(&mem, p, 10);
}
