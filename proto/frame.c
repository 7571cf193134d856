/*
 * Theory.  The prefix is the only part of a message that is read before anything about the sender
 * is known. Both sizes are compared with their caps as they stand; no sum is formed here, so none
 * can wrap. Bytes are put together by shifts: the result does not depend on the machine's order,
 * and compilers make one load of it.
 *
 * Invariants
 *   [I1] a prefix that was loaded has 1 <= head_size <= head_max and body_size <= body_max
 */
#include "frame.h"

#include <errno.h>

static uint32_t frame_u32_load(const uint8_t bytes[4])
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static void frame_u32_store(uint8_t bytes[4], uint32_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
    bytes[2] = (uint8_t)(value >> 16);
    bytes[3] = (uint8_t)(value >> 24);
}

int fh_frame_prefix_load(const uint8_t bytes[FH_FRAME_PREFIX_SIZE], uint32_t head_max,
                         uint32_t body_max, struct fh_frame_prefix *out)
{
    uint32_t head_size = frame_u32_load(bytes);
    uint32_t body_size = frame_u32_load(bytes + 4);

    if (head_size == 0 || head_size > head_max)
        return -EMSGSIZE;
    if (body_size > body_max)
        return -EMSGSIZE;
    *out = (struct fh_frame_prefix){.head_size = head_size, .body_size = body_size};
    return 0;
}

void fh_frame_prefix_store(uint8_t bytes[FH_FRAME_PREFIX_SIZE], struct fh_frame_prefix prefix)
{
    frame_u32_store(bytes, prefix.head_size);
    frame_u32_store(bytes + 4, prefix.body_size);
}
