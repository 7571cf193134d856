/*
 * head: heads packed and unpacked, within a bounded arena, so that no head can cost more than
 * FH_HEAD_ARENA_SIZE bytes of memory whatever it contains.
 *
 * Ownership  an unpacked message lives in the arena it was unpacked into, until that arena is used
 *            for the next unpack; it is never freed by itself. Its names may point into the bytes
 *            it came from: those must stay as long.
 * Threads    one owner per arena.
 * Errors     -EBADMSG not a message of this version (malformed, unknown field, over the arena's
 *            budget, no operation): the sender lies, close the connection.
 */
#ifndef FH_PROTO_HEAD_H
#define FH_PROTO_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "farheap.pb-c.h"

enum { FH_HEAD_ARENA_SIZE = 16384 };

typedef Farheap__V1__Request fh_request_head;
typedef Farheap__V1__Response fh_response_head;
typedef Farheap__V1__ListEntry fh_list_entry;
typedef Farheap__V1__FileEntry fh_file_entry_head;

struct fh_head_arena {
    size_t used; /* bytes given out since the last reset */
    _Alignas(16) uint8_t bytes[FH_HEAD_ARENA_SIZE];
};

/* Unpack a head of `size` bytes; the arena is reset first. NULL operation or result is checked by
 * kind: a Request without an operation is refused, a Response without a result is fine. */
int fh_head_unpack_request(struct fh_head_arena *, const uint8_t *bytes, size_t size,
                           fh_request_head **out);
int fh_head_unpack_response(struct fh_head_arena *, const uint8_t *bytes, size_t size,
                            fh_response_head **out);
/* The same by protobuf-c alone, without the short way of head_fast.h: what tests compare with. */
int fh_head_unpack_request_long(struct fh_head_arena *, const uint8_t *bytes, size_t size,
                                fh_request_head **out);
int fh_head_unpack_response_long(struct fh_head_arena *, const uint8_t *bytes, size_t size,
                                 fh_response_head **out);
int fh_head_unpack_list_entry(struct fh_head_arena *, const uint8_t *bytes, size_t size,
                              fh_list_entry **out);
int fh_head_unpack_file_entry(struct fh_head_arena *, const uint8_t *bytes, size_t size,
                              fh_file_entry_head **out);

/*
 * Pack prefix and head into `out`, ready to send, the prefix announcing `body_size` bytes to
 * follow. Returns the bytes used: at most FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX; 0 when they exceed
 * `cap`.
 */
size_t fh_head_pack_request(const fh_request_head *, uint32_t body_size, uint8_t *out, size_t cap);
size_t fh_head_pack_response(const fh_response_head *, uint32_t body_size, uint8_t *out,
                             size_t cap);

/* Packs u32 LE size and the entry, as the body of a List answer holds them; 0 when it does not fit.
 */
size_t fh_head_pack_list_entry(const fh_list_entry *, uint8_t *out, size_t cap);
/* The same for ListFiles. */
size_t fh_head_pack_file_entry(const fh_file_entry_head *, uint8_t *out, size_t cap);

#endif
