/* frame: the prefix survives a round trip, and sizes beyond a limit are refused at the limit. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "proto/frame.h"

TestSuite(frame, .timeout = 10);

static const struct fh_frame_prefix untouched = {0xdeadbeef, 0xfeedface};

static int load(uint32_t head_size, uint32_t body_size, uint32_t head_max, uint32_t body_max,
                struct fh_frame_prefix *out)
{
    uint8_t bytes[FH_FRAME_PREFIX_SIZE];

    *out = untouched;
    fh_frame_prefix_store(bytes, (struct fh_frame_prefix){head_size, body_size});
    return fh_frame_prefix_load(bytes, head_max, body_max, out);
}

static void assert_refused(uint32_t head_size, uint32_t body_size, uint32_t head_max,
                           uint32_t body_max)
{
    struct fh_frame_prefix p;

    cr_assert_eq(load(head_size, body_size, head_max, body_max, &p), -EMSGSIZE, "%u %u", head_size,
                 body_size);
    cr_assert_eq(p.head_size, untouched.head_size);
    cr_assert_eq(p.body_size, untouched.body_size);
}

static void assert_taken(uint32_t head_size, uint32_t body_size, uint32_t head_max,
                         uint32_t body_max)
{
    struct fh_frame_prefix p;

    cr_assert_eq(load(head_size, body_size, head_max, body_max, &p), 0, "%u %u", head_size,
                 body_size);
    cr_assert_eq(p.head_size, head_size);
    cr_assert_eq(p.body_size, body_size);
}

Test(frame, a_prefix_is_two_little_endian_numbers)
{
    static const uint8_t expected[FH_FRAME_PREFIX_SIZE] = {0x34, 0x12, 0, 0, 0x78, 0x56, 0x34, 2};
    uint8_t bytes[FH_FRAME_PREFIX_SIZE];

    fh_frame_prefix_store(bytes, (struct fh_frame_prefix){0x1234, 0x02345678});
    cr_assert_arr_eq(bytes, expected, sizeof bytes);
}

Test(frame, sizes_up_to_the_limits_are_taken)
{
    assert_taken(1, 0, FH_HEAD_MAX, FH_BODY_MAX);
    assert_taken(FH_HEAD_MAX, FH_BODY_MAX, FH_HEAD_MAX, FH_BODY_MAX);
    assert_taken(FH_HEAD_MAX_STRANGER, 0, FH_HEAD_MAX_STRANGER, 0);
    assert_taken(UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX);
}

Test(frame, an_empty_head_is_refused)
{
    assert_refused(0, 0, FH_HEAD_MAX, FH_BODY_MAX);
    assert_refused(0, 100, FH_HEAD_MAX, FH_BODY_MAX);
    assert_refused(0, 0, 0, 0);
}

Test(frame, a_head_one_byte_too_large_is_refused)
{
    assert_refused(FH_HEAD_MAX + 1, 0, FH_HEAD_MAX, FH_BODY_MAX);
    assert_refused(FH_HEAD_MAX_STRANGER + 1, 0, FH_HEAD_MAX_STRANGER, FH_BODY_MAX);
    assert_refused(UINT32_MAX, 0, FH_HEAD_MAX, FH_BODY_MAX);
    assert_refused(0x80000001, 0, FH_HEAD_MAX, FH_BODY_MAX);
}

Test(frame, a_body_one_byte_too_large_is_refused)
{
    assert_refused(1, FH_BODY_MAX + 1, FH_HEAD_MAX, FH_BODY_MAX);
    assert_refused(1, 1, FH_HEAD_MAX, 0);
    assert_refused(1, UINT32_MAX, FH_HEAD_MAX, FH_BODY_MAX);
}

Test(frame, sizes_whose_sum_wraps_are_refused)
{
    assert_refused(16, UINT32_MAX - 7, FH_HEAD_MAX, FH_BODY_MAX);
    assert_refused(UINT32_MAX, 2, FH_HEAD_MAX, FH_BODY_MAX);
}
