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

static uint64_t frame_u64_load(const uint8_t bytes[8])
{
    return (uint64_t)frame_u32_load(bytes) | (uint64_t)frame_u32_load(bytes + 4) << 32;
}

static void frame_u64_store(uint8_t bytes[8], uint64_t value)
{
    frame_u32_store(bytes, (uint32_t)value);
    frame_u32_store(bytes + 4, (uint32_t)(value >> 32));
}

struct fh_wire_range fh_wire_range_load(const uint8_t bytes[FH_RANGE_SIZE])
{
    return (struct fh_wire_range){frame_u64_load(bytes), frame_u64_load(bytes + 8)};
}

void fh_wire_range_store(uint8_t bytes[FH_RANGE_SIZE], struct fh_wire_range range)
{
    frame_u64_store(bytes, range.offset);
    frame_u64_store(bytes + 8, range.size);
}
