/*
 * frame: the 8-byte prefix of every message on the wire, and the limits that hold before it is
 * believed.
 *
 *   0  u32 LE  head_size   1 .. FH_HEAD_MAX (FH_HEAD_MAX_STRANGER before Hello is answered)
 *   4  u32 LE  body_size   0 .. the receiver's body limit
 *   8  head, then body
 *
 * Threads    pure functions; any thread.
 * Errors     -EMSGSIZE a size beyond its limit, or an empty head: the sender lies, close the
 *            connection.
 */
#ifndef FH_PROTO_FRAME_H
#define FH_PROTO_FRAME_H

#include <stdint.h>

enum {
    FH_FRAME_PREFIX_SIZE = 8,
    FH_HEAD_MAX = 4096,
    FH_HEAD_MAX_STRANGER = 1024,
    FH_BODY_MAX = 64 << 20,
    FH_NAME_MAX = 1024,
    FH_RANGE_SIZE = 16,          /* of a range in a body: offset and size, u64 LE */
    FH_RANGES_BYTES_MAX = 65536, /* of the bytes of a ReadRanges, of the body of a WriteRanges */
};

struct fh_frame_prefix {
    uint32_t head_size; /* bytes of protobuf */
    uint32_t body_size; /* raw bytes after it */
};

/* Reads a prefix and checks it against the limits; *out is untouched on error. */
int fh_frame_prefix_load(const uint8_t bytes[FH_FRAME_PREFIX_SIZE], uint32_t head_max,
                         uint32_t body_max, struct fh_frame_prefix *out);

void fh_frame_prefix_store(uint8_t bytes[FH_FRAME_PREFIX_SIZE], struct fh_frame_prefix prefix);

/* A range as the bodies of ReadRanges and WriteRanges hold it. Any values: nothing is checked. */
struct fh_wire_range {
    uint64_t offset, size; /* bytes */
};
struct fh_wire_range fh_wire_range_load(const uint8_t bytes[FH_RANGE_SIZE]);
void fh_wire_range_store(uint8_t bytes[FH_RANGE_SIZE], struct fh_wire_range range);

#endif
