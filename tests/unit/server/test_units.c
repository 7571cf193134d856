#include <criterion/criterion.h>

#include "server/units.h"

TestSuite(units, .timeout = 10);

static uint64_t size_of(const char *text)
{
    uint64_t value = 12345;
    return fh_units_scan_size(text, &value) ? value : UINT64_MAX;
}

Test(units, sizes_have_binary_and_decimal_units)
{
    cr_assert_eq(size_of("4096"), 4096u);
    cr_assert_eq(size_of("64KiB"), 65536u);
    cr_assert_eq(size_of("64kb"), 65536u);
    cr_assert_eq(size_of("64k"), 64000u);
    cr_assert_eq(size_of("2g"), 2000000000u);
    cr_assert_eq(size_of("1TiB"), UINT64_C(1) << 40);
    cr_assert_eq(size_of("0"), 0u);
}

Test(units, malformed_sizes_are_refused)
{
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "-1",
                                      "+1",
                                      "1.5GiB",
                                      "KiB",
                                      "1KiBB",
                                      "0x1",
                                      "1e3",
                                      "99999999999999999999",
                                      "99999999999TiB"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(size_of(bad[i]), UINT64_MAX, "'%s' was taken", bad[i]);
}

Test(units, times_need_a_unit)
{
    uint64_t ms;

    cr_assert(fh_units_scan_time("500ms", &ms) && ms == 500);
    cr_assert(fh_units_scan_time("5m", &ms) && ms == 300000);
    cr_assert(fh_units_scan_time("1d", &ms) && ms == 86400000);
    cr_assert(fh_units_scan_time("0", &ms) && ms == 0);
    cr_assert_not(fh_units_scan_time("5", &ms));
    cr_assert_not(fh_units_scan_time("5M", &ms));
}

Test(units, shares_have_one_place)
{
    uint64_t permille;

    cr_assert(fh_units_scan_share("0.5%", &permille) && permille == 5);
    cr_assert(fh_units_scan_share("100%", &permille) && permille == 1000);
    cr_assert_not(fh_units_scan_share("100.1%", &permille));
    cr_assert_not(fh_units_scan_share("5", &permille));
    cr_assert_not(fh_units_scan_share("5.25%", &permille));
}

Test(units, what_is_printed_reads_back)
{
    static const uint64_t values[] = {0, 1, 1023, 1024, 65536, 3 << 20, UINT64_C(5) << 40, 1000001};
    char text[FH_UNITS_TEXT_SIZE];
    uint64_t ms;

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        fh_units_print_size(text, values[i]);
        cr_assert_eq(size_of(text), values[i], "%s", text);
        fh_units_print_time(text, values[i]);
        cr_assert(fh_units_scan_time(text, &ms) && ms == values[i], "%s", text);
    }
}
