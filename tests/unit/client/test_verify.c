/* Objects that carry their check: what is right passes, and each kind of wrong is named. */
#include "client/bench/verify.h"

#include "tests/support/rng.h"

#include <criterion/criterion.h>
#include <string.h>

enum { ROOM = 5 * FH_VERIFY_PAGE };

static uint8_t object[ROOM];
static struct fh_verify_fault why;

TestSuite(verify, .timeout = 20);

static struct fh_verify_view view_of(uint64_t bytes, uint32_t version)
{
    return (struct fh_verify_view){
        .object = 17, .object_bytes = bytes, .version_min = version, .version_max = version};
}

static bool whole_is_right(uint64_t bytes, uint32_t version)
{
    struct fh_verify_view view = view_of(bytes, version);

    return fh_verify_check(object, bytes, &view, &why);
}

Test(verify, objects_of_every_size_are_right_as_filled)
{
    for (size_t bytes = FH_VERIFY_BYTES; bytes <= 2 * FH_VERIFY_PAGE + 2 * FH_VERIFY_BYTES;
         bytes++) {
        fh_verify_fill(object, bytes, 17, 3);
        cr_assert(whole_is_right(bytes, 3), "%zu bytes: %s", bytes, why.what);
    }
}

Test(verify, any_flipped_bit_is_found_and_its_page_named)
{
    const size_t bytes = 3 * FH_VERIFY_PAGE + 10; /* the tail belongs to page 2 */
    struct rng rng = rng_from_env("verify");

    fh_verify_fill(object, bytes, 17, 3);
    for (int i = 0; i < 2000; i++) {
        size_t at = rng_below(&rng, bytes);
        uint8_t bit = (uint8_t)(1u << rng_below(&rng, 8));
        size_t page = at / FH_VERIFY_PAGE < 2 ? at / FH_VERIFY_PAGE : 2;

        object[at] ^= bit;
        cr_assert(!whole_is_right(bytes, 3), "byte %zu", at);
        cr_assert_eq(why.page, page, "byte %zu", at);
        object[at] ^= bit;
    }
    cr_assert(whole_is_right(bytes, 3));
}

Test(verify, the_first_wrong_byte_is_named)
{
    fh_verify_fill(object, 2 * FH_VERIFY_PAGE, 17, 3);
    object[5000] ^= 0xff;
    object[6000] ^= 0xff;
    cr_assert(!whole_is_right(2 * FH_VERIFY_PAGE, 3));
    cr_assert(why.located);
    cr_assert_eq(why.byte, 5000);
    cr_assert_eq(why.byte_found, object[5000]);
    cr_assert_eq(why.byte_expected, (uint8_t)(object[5000] ^ 0xff));
}

Test(verify, another_objects_bytes_are_found)
{
    fh_verify_fill(object, FH_VERIFY_PAGE, 18, 3);
    cr_assert(!whole_is_right(FH_VERIFY_PAGE, 3));
    cr_assert_str_eq(why.what, "object");
    cr_assert_eq(why.found, 18);
    cr_assert_eq(why.object, 17);
}

Test(verify, a_page_in_the_wrong_place_is_found)
{
    fh_verify_fill(object, 3 * FH_VERIFY_PAGE, 17, 3);
    memcpy(object + FH_VERIFY_PAGE, object, FH_VERIFY_PAGE);
    cr_assert(!whole_is_right(3 * FH_VERIFY_PAGE, 3));
    cr_assert_str_eq(why.what, "page");
    cr_assert_eq(why.page, 1);
    cr_assert_eq(why.found, 0);
}

Test(verify, a_version_outside_what_may_be_seen_is_found)
{
    struct fh_verify_view view = view_of(64, 4);

    view.version_max = 5;
    fh_verify_fill(object, 64, 17, 3);
    cr_assert(!fh_verify_check(object, 64, &view, &why));
    cr_assert_str_eq(why.what, "version");
    cr_assert_eq(why.found, 3);
    cr_assert_eq(why.expected_min, 4);
    cr_assert_eq(why.expected_max, 5);
    fh_verify_fill(object, 64, 17, 6);
    cr_assert(!fh_verify_check(object, 64, &view, &why));
    fh_verify_fill(object, 64, 17, 5);
    cr_assert(fh_verify_check(object, 64, &view, &why));
}

Test(verify, a_torn_write_is_found_though_both_versions_may_be_seen)
{
    const size_t bytes = 2 * FH_VERIFY_PAGE;
    struct fh_verify_view view = view_of(bytes, 3);
    uint8_t page[FH_VERIFY_PAGE];

    view.version_max = 4;
    fh_verify_fill(object, bytes, 17, 4);
    memcpy(page, object + FH_VERIFY_PAGE, sizeof(page));
    fh_verify_fill(object, bytes, 17, 3);
    cr_assert(fh_verify_check(object, bytes, &view, &why));
    memcpy(object + FH_VERIFY_PAGE, page, sizeof(page));
    cr_assert(!fh_verify_check(object, bytes, &view, &why));
    cr_assert_str_eq(why.what, "version");
    cr_assert_eq(why.page, 1);
}

Test(verify, a_range_of_whole_pages_is_checked_in_its_place)
{
    const size_t bytes = 4 * FH_VERIFY_PAGE + 100;
    struct fh_verify_view view = view_of(bytes, 9);

    fh_verify_fill(object, bytes, 17, 9);
    view.offset = 2 * FH_VERIFY_PAGE;
    cr_assert(fh_verify_check(object + view.offset, FH_VERIFY_PAGE, &view, &why));
    view.offset = 4 * FH_VERIFY_PAGE;
    cr_assert(fh_verify_check(object + view.offset, 100, &view, &why));
    cr_assert(!fh_verify_check(object, 100, &view, &why));
}

Test(verify, too_few_and_too_many_bytes_are_found)
{
    struct fh_verify_view view = view_of(FH_VERIFY_PAGE, 1);

    fh_verify_fill(object, FH_VERIFY_PAGE, 17, 1);
    cr_assert(!fh_verify_check(object, FH_VERIFY_PAGE - 1, &view, &why));
    cr_assert_str_eq(why.what, "size");
    cr_assert(!fh_verify_check(object, FH_VERIFY_PAGE + 1, &view, &why));
    cr_assert(!fh_verify_check(object, 0, &view, &why));
}

Test(verify, a_span_takes_the_tail_that_has_no_record_with_it)
{
    cr_assert_eq(fh_verify_span(3 * FH_VERIFY_PAGE, 0, FH_VERIFY_PAGE), FH_VERIFY_PAGE);
    cr_assert_eq(fh_verify_span(FH_VERIFY_PAGE + 23, 0, FH_VERIFY_PAGE), FH_VERIFY_PAGE + 23);
    cr_assert_eq(fh_verify_span(FH_VERIFY_PAGE + 24, 0, FH_VERIFY_PAGE), FH_VERIFY_PAGE);
    cr_assert_eq(fh_verify_span(9000, 0, 0), 9000);
}
