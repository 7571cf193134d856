/* status: numbers, errnos, names and sentences agree, and what is unknown is an I/O error. */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "proto/status.h"

TestSuite(status, .timeout = 10);

Test(status, every_number_goes_to_its_errno_and_back)
{
    for (unsigned n = 0; n < FH_STATUS_COUNT; n++) {
        int rc = fh_status_to_errno(n);
        cr_assert_leq(rc, 0);
        cr_assert_eq((unsigned)fh_status_of_errno(rc), n, "status %u", n);
    }
}

Test(status, the_numbers_on_the_wire_are_fixed)
{
    cr_assert_eq(FH_STATUS_OK, 0);
    cr_assert_eq(FH_STATUS_INVALID, 1);
    cr_assert_eq(FH_STATUS_STALE, 4);
    cr_assert_eq(FH_STATUS_NO_SPACE, 8);
    cr_assert_eq(FH_STATUS_CONFLICT, 12);
    cr_assert_eq(FH_STATUS_DATA_LOST, 14);
    cr_assert_eq(FH_STATUS_DRAINING, 17);
    cr_assert_eq(FH_STATUS_COUNT, 18);
}

Test(status, no_two_statuses_share_a_name_or_an_errno)
{
    for (unsigned a = 0; a < FH_STATUS_COUNT; a++) {
        for (unsigned b = a + 1; b < FH_STATUS_COUNT; b++) {
            cr_assert_str_neq(fh_status_name(a), fh_status_name(b));
            cr_assert_neq(fh_status_to_errno(a), fh_status_to_errno(b));
        }
    }
}

Test(status, running_out_of_memory_counts_as_no_space)
{
    cr_assert_eq(fh_status_of_errno(-ENOMEM), FH_STATUS_NO_SPACE);
    cr_assert_eq(fh_status_of_errno(-ENOSPC), FH_STATUS_NO_SPACE);
}

Test(status, an_unknown_errno_is_an_io_error)
{
    static const int unknown[] = {-ERANGE, -4095, EINVAL, 1, INT_MIN, INT_MAX};

    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        cr_assert_eq(fh_status_of_errno(unknown[i]), FH_STATUS_IO_ERROR, "%d", unknown[i]);
}

Test(status, an_unknown_number_is_named_so_and_treated_as_an_io_error)
{
    static const unsigned unknown[] = {FH_STATUS_COUNT, 1000, UINT_MAX};

    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        cr_assert_str_eq(fh_status_name(unknown[i]), "UNKNOWN");
        cr_assert_eq(fh_status_to_errno(unknown[i]), -EIO);
        cr_assert_str_eq(fh_status_sentence(unknown[i]), fh_status_sentence(FH_STATUS_IO_ERROR));
    }
}

Test(status, every_status_has_a_sentence_and_an_upper_case_name)
{
    for (unsigned n = 0; n < FH_STATUS_COUNT; n++) {
        cr_assert_gt(strlen(fh_status_sentence(n)), 3u);
        cr_assert_eq(strspn(fh_status_name(n), "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"),
                     strlen(fh_status_name(n)));
    }
    cr_assert_str_eq(fh_status_name(FH_STATUS_NO_SPACE), "NO_SPACE");
}
