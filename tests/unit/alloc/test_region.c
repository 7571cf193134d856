/* The one map: its alignment, its edges, and that it is given back. */
#include "alloc/region.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static struct fh_mem mem;
static struct fh_region region;

TestSuite(region, .timeout = 10);

Test(region, begins_at_two_mebibytes_and_is_written_to_its_last_byte)
{
    static const uint64_t sizes[] = {FH_PAGE_SIZE, 3 * FH_PAGE_SIZE, 5 << 20};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        memset(&region, 0xA5, sizeof(region));
        cr_assert_eq(fh_region_init(&region, &mem, sizes[i]), 0);
        cr_assert_eq((uintptr_t)region.base % (2 << 20), 0);
        cr_assert_eq(region.size_bytes, sizes[i]);
        struct fh_frame last = {(uint32_t)(sizes[i] / FH_PAGE_SIZE - 1)};
        uint8_t *bytes = fh_region_bytes(&region, last);
        cr_assert_eq(bytes, region.base + sizes[i] - FH_PAGE_SIZE);
        memset(bytes, 0x5A, FH_PAGE_SIZE);
        cr_assert_leq(bytes + FH_PAGE_SIZE, region.map + region.map_bytes);
        fh_region_fini(&region, &mem);
        cr_assert_eq(mem.used_bytes, 0);
        cr_assert_null(region.base);
    }
}

Test(region, refuses_nothing_and_parts_of_a_page)
{
    static const uint64_t sizes[] = {0, 1, FH_PAGE_SIZE - 1, FH_PAGE_SIZE + 1};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        cr_assert_eq(fh_region_init(&region, &mem, sizes[i]), -EINVAL);
    cr_assert_eq(mem.calls, 0);
}

Test(region, says_when_there_is_no_address_space)
{
    mem.fail_at = mem.calls + 1;
    cr_assert_eq(fh_region_init(&region, &mem, FH_PAGE_SIZE), -ENOMEM);
    cr_assert_eq(mem.used_bytes, 0);
    mem.fail_at = 0;
    cr_assert_eq(fh_region_init(&region, &mem, UINT64_C(1) << 60), -ENOMEM);
    cr_assert_eq(mem.used_bytes, 0);
    fh_region_fini(&region, &mem); /* of what never came to be: no effect */
    cr_assert_eq(mem.used_bytes, 0);
}
