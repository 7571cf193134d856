/*
 * Theory.  For any bytes: a prefix is taken exactly when its sizes are within the limits, and then
 * stores as the same bytes. A head is taken or refused within the arena. A head that was taken
 * packs, the packed bytes are taken again and pack to themselves: after one pass through the codec
 * the form is canonical. The short way through the codec takes, and says, what protobuf-c alone
 * does.
 */
#include "fuzz_head.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/head.h"

enum { PACKED_MAX = FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX };

static struct fh_head_arena arena, long_arena;

static void promise(bool kept, const char *what)
{
    if (kept)
        return;
    fprintf(stderr, "fuzz_head: broken: %s\n", what);
    abort();
}

/* What the two ways found packs to the same bytes, by protobuf-c alone and as `packed`. */
static void promise_same(const ProtobufCMessage *fast, const ProtobufCMessage *slow,
                         const uint8_t *packed, size_t packed_size)
{
    static uint8_t first[FH_HEAD_MAX], second[FH_HEAD_MAX];

    size_t size = protobuf_c_message_pack(fast, first);
    promise(protobuf_c_message_pack(slow, second) == size, "both ways find fields of one size");
    promise(memcmp(first, second, size) == 0, "both ways find the same fields");
    if (size == 0)
        return; /* a head of nothing is packed as the zero id */
    promise(packed_size == FH_FRAME_PREFIX_SIZE + size, "both ways pack to one size");
    promise(memcmp(packed + FH_FRAME_PREFIX_SIZE, first, size) == 0, "both ways pack the same");
}

/* Unpacks bytes as one kind of head; packs it if it is one, the result's size in *packed. */
typedef bool codec_fn(const uint8_t *bytes, size_t size, uint8_t *out, size_t *packed);

static bool codec_request(const uint8_t *bytes, size_t size, uint8_t *out, size_t *packed)
{
    fh_request_head *head = NULL, *slow = NULL;
    bool taken = fh_head_unpack_request(&arena, bytes, size, &head) == 0;

    if (fh_head_unpack_request_long(&long_arena, bytes, size, &slow) != 0)
        slow = NULL;
    promise(taken == (slow != NULL), "both ways take the same requests");
    if (!taken)
        return false;
    promise(head->op_case != FARHEAP__V1__REQUEST__OP__NOT_SET, "a request has an operation");
    *packed = fh_head_pack_request(head, 0, out, PACKED_MAX);
    promise_same(&head->base, &slow->base, out, *packed);
    return true;
}

static bool codec_response(const uint8_t *bytes, size_t size, uint8_t *out, size_t *packed)
{
    fh_response_head *head = NULL, *slow = NULL;
    bool taken = fh_head_unpack_response(&arena, bytes, size, &head) == 0;

    if (fh_head_unpack_response_long(&long_arena, bytes, size, &slow) != 0)
        slow = NULL;
    promise(taken == (slow != NULL), "both ways take the same responses");
    if (!taken)
        return false;
    *packed = fh_head_pack_response(head, 0, out, PACKED_MAX);
    promise_same(&head->base, &slow->base, out, *packed);
    return true;
}

static bool codec_entry(const uint8_t *bytes, size_t size, uint8_t *out, size_t *packed)
{
    fh_list_entry *entry;

    if (fh_head_unpack_list_entry(&arena, bytes, size, &entry) != 0)
        return false;
    *packed = fh_head_pack_list_entry(entry, out, PACKED_MAX);
    return true;
}

/* `before`: bytes in front of a packed message. */
static bool try_codec(codec_fn *codec, size_t before, const uint8_t *bytes, size_t size)
{
    static uint8_t first[PACKED_MAX], second[PACKED_MAX];
    size_t first_size = 0, second_size = 0;
    bool taken = codec(bytes, size, first, &first_size);

    promise(arena.used <= FH_HEAD_ARENA_SIZE, "the arena is bounded");
    if (!taken)
        return false;
    promise(size <= FH_HEAD_MAX, "a head is bounded");
    /* sloppy varints may pack smaller, nothing packs larger but the lone zero id */
    promise(first_size <= before + (size > 2 ? size : 2), "packing does not grow");
    promise(first_size >= before, "what was taken packs");
    promise(codec(first + before, first_size - before, second, &second_size), "packed is taken");
    promise(first_size == second_size, "packing again gives the same size");
    promise(memcmp(first, second, first_size) == 0, "packing again gives the same bytes");
    return true;
}

static bool try_prefix(const uint8_t bytes[FH_FRAME_PREFIX_SIZE], uint32_t head_max,
                       uint32_t body_max)
{
    struct fh_frame_prefix prefix;
    uint8_t again[FH_FRAME_PREFIX_SIZE];

    if (fh_frame_prefix_load(bytes, head_max, body_max, &prefix) != 0)
        return false;
    promise(prefix.head_size >= 1, "a head is not empty");
    promise(prefix.head_size <= head_max, "a head is within its limit");
    promise(prefix.body_size <= body_max, "a body is within its limit");
    fh_frame_prefix_store(again, prefix);
    promise(memcmp(again, bytes, sizeof again) == 0, "a prefix stores as it was");
    return true;
}

struct fuzz_head_result fuzz_head_try(const uint8_t *data, size_t size)
{
    struct fuzz_head_result r = {0};

    if (size < FH_FRAME_PREFIX_SIZE)
        return r;
    r.prefix_ok = try_prefix(data, FH_HEAD_MAX, FH_BODY_MAX);
    if (try_prefix(data, FH_HEAD_MAX_STRANGER, 0))
        promise(r.prefix_ok, "tighter limits take no more");
    data += FH_FRAME_PREFIX_SIZE;
    size -= FH_FRAME_PREFIX_SIZE;
    r.request_ok = try_codec(codec_request, FH_FRAME_PREFIX_SIZE, data, size);
    r.response_ok = try_codec(codec_response, FH_FRAME_PREFIX_SIZE, data, size);
    r.entry_ok = try_codec(codec_entry, 4, data, size);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_head_try(data, size);
    return 0;
}
