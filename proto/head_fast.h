/*
 * head_fast: the short way through the codec for the messages that come by the million: requests
 * Read, Write, Put, Get, Lookup, Delete, Free, and responses that carry an object, a value or
 * nothing. What it takes or packs it takes or packs exactly as protobuf-c would; what it does not
 * know it leaves to protobuf-c, which alone refuses.
 *
 * Ownership  an unpacked message lies in the arena; names point into the bytes it came from.
 * Threads    one owner per arena.
 * Errors     unpack NULL, pack 0: go the long way.
 */
#ifndef FH_PROTO_HEAD_FAST_H
#define FH_PROTO_HEAD_FAST_H

#include <stddef.h>
#include <stdint.h>

#include "head.h"

fh_request_head *fh_head_fast_unpack_request(struct fh_head_arena *, const uint8_t *bytes,
                                             size_t size);
fh_response_head *fh_head_fast_unpack_response(struct fh_head_arena *, const uint8_t *bytes,
                                               size_t size);

/* The message without its prefix; at most `cap` bytes. 0 also when it might not fit. */
size_t fh_head_fast_pack_request(const fh_request_head *, uint8_t *out, size_t cap);
size_t fh_head_fast_pack_response(const fh_response_head *, uint8_t *out, size_t cap);

#endif
