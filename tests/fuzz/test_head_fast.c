/* The short way through the codec against protobuf-c: random hot messages are taken by it and say
 * the same, packed they are the same bytes, and damaged anywhere the two still agree. */
#include <criterion/criterion.h>
#include <string.h>

#include "fuzz_head.h"
#include "proto/frame.h"
#include "proto/head_fast.h"
#include "tests/support/rng.h"

enum { ROUNDS = 20000, PACKED_MAX = FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX };

static uint8_t name_bytes[FH_NAME_MAX];
static struct fh_head_arena arena;

TestSuite(head_fast, .timeout = 60);

/* Of every length a varint can have, zero more often. `bits`: the largest. */
static uint64_t number(struct rng *r, uint32_t bits)
{
    return rng_percent(r, 40) ? 0 : rng_log_uniform(r, (uint32_t)rng_below(r, bits)) - 1;
}

/* Gives every field of a hot message some value. `inner`: room for its inner messages. */
static void message_fill(ProtobufCMessage *m, struct rng *r, ProtobufCMessage **inner)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        char *member = (char *)m + f->offset;
        uint64_t value = number(r, 63);
        ProtobufCBinaryData text = {.len = rng_below(r, 3) ? rng_below(r, 150)
                                                           : rng_below(r, FH_NAME_MAX + 1),
                                    .data = name_bytes};

        if (f->type == PROTOBUF_C_TYPE_BYTES)
            memcpy(member, &text, sizeof text);
        else if (f->type == PROTOBUF_C_TYPE_BOOL)
            memcpy(member, &(protobuf_c_boolean){(int)(value & 1)}, sizeof(protobuf_c_boolean));
        else if (f->type == PROTOBUF_C_TYPE_UINT64 || f->type == PROTOBUF_C_TYPE_FIXED64)
            memcpy(member, &value, sizeof value);
        else if (f->type == PROTOBUF_C_TYPE_MESSAGE && inner && rng_percent(r, 60)) {
            protobuf_c_message_init(f->descriptor, *inner);
            message_fill(*inner, r, NULL);
            memcpy(member, inner, sizeof *inner);
            inner++;
        }
    }
}

static union {
    ProtobufCMessage base;
    uint64_t room[64];
} op, inner_rooms[2];
static ProtobufCMessage *inner[] = {&inner_rooms[0].base, &inner_rooms[1].base};

/* Damages a packed head in every way that one byte can be wrong, and lets both ways look at it. */
static void damage(struct rng *r, const uint8_t *packed, size_t size)
{
    static uint8_t copy[PACKED_MAX + 1];
    size_t at = FH_FRAME_PREFIX_SIZE + rng_below(r, size - FH_FRAME_PREFIX_SIZE);

    memcpy(copy, packed, size);
    copy[at] = (uint8_t)rng_next(r);
    fuzz_head_try(copy, size);
    fuzz_head_try(copy, at);
    memmove(copy + at + 1, copy + at, size - at);
    fuzz_head_try(copy, size + 1);
}

static void request_try(struct rng *r, unsigned case_, const ProtobufCMessageDescriptor *of)
{
    static uint8_t expected[FH_HEAD_MAX], packed[PACKED_MAX];
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    protobuf_c_message_init(of, &op.base);
    message_fill(&op.base, r, inner);
    head.id = number(r, 63);
    head.deadline_ms = (uint32_t)number(r, 32);
    head.op_case = (Farheap__V1__Request__OpCase)case_;
    head.get = (void *)&op;
    size_t size = protobuf_c_message_pack(&head.base, expected);
    cr_assert_eq(fh_head_fast_pack_request(&head, packed + FH_FRAME_PREFIX_SIZE, FH_HEAD_MAX), size,
                 "op %u", case_);
    cr_assert_arr_eq(packed + FH_FRAME_PREFIX_SIZE, expected, size, "op %u", case_);
    fh_request_head *read = fh_head_fast_unpack_request(&arena, expected, size);
    cr_assert_not_null(read, "op %u is hot", case_);
    cr_assert_eq(read->id, head.id);
    cr_assert_eq(read->deadline_ms, head.deadline_ms);
    fuzz_head_try(packed, FH_FRAME_PREFIX_SIZE + size); /* the fields */
    damage(r, packed, FH_FRAME_PREFIX_SIZE + size);
}

Test(head_fast, hot_requests_go_the_short_way_and_come_to_the_same)
{
    struct rng r = rng_from_env("hot requests");
    static const struct {
        unsigned op;
        const ProtobufCMessageDescriptor *of;
    } hot[] = {{FARHEAP__V1__REQUEST__OP_FREE, &farheap__v1__free__descriptor},
               {FARHEAP__V1__REQUEST__OP_READ, &farheap__v1__read__descriptor},
               {FARHEAP__V1__REQUEST__OP_WRITE, &farheap__v1__write__descriptor},
               {FARHEAP__V1__REQUEST__OP_PUT, &farheap__v1__put__descriptor},
               {FARHEAP__V1__REQUEST__OP_GET, &farheap__v1__get__descriptor},
               {FARHEAP__V1__REQUEST__OP_LOOKUP, &farheap__v1__lookup__descriptor},
               {FARHEAP__V1__REQUEST__OP_DELETE, &farheap__v1__delete__descriptor}};

    for (unsigned i = 0; i < ROUNDS; i++) {
        size_t which = rng_below(&r, sizeof hot / sizeof hot[0]);
        request_try(&r, hot[which].op, hot[which].of);
    }
}

static void response_try(struct rng *r, unsigned case_, const ProtobufCMessageDescriptor *of)
{
    static uint8_t expected[FH_HEAD_MAX], packed[PACKED_MAX];
    fh_response_head head = FARHEAP__V1__RESPONSE__INIT;

    head.id = 1 + number(r, 63);
    head.status = (uint32_t)number(r, 32);
    if (of) {
        protobuf_c_message_init(of, &op.base);
        message_fill(&op.base, r, inner);
        head.result_case = (Farheap__V1__Response__ResultCase)case_;
        head.object = (void *)&op;
    }
    if (case_ == FARHEAP__V1__RESPONSE__RESULT_OBJECT)
        head.object->pages_pinned = 0; /* what has it goes the long way */
    size_t size = protobuf_c_message_pack(&head.base, expected);
    cr_assert_eq(fh_head_fast_pack_response(&head, packed + FH_FRAME_PREFIX_SIZE, FH_HEAD_MAX),
                 size);
    cr_assert_arr_eq(packed + FH_FRAME_PREFIX_SIZE, expected, size);
    cr_assert_not_null(fh_head_fast_unpack_response(&arena, expected, size));
    fuzz_head_try(packed, FH_FRAME_PREFIX_SIZE + size);
    damage(r, packed, FH_FRAME_PREFIX_SIZE + size);
}

Test(head_fast, hot_responses_go_the_short_way_and_come_to_the_same)
{
    struct rng r = rng_from_env("hot responses");

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i % 3 == 0)
            response_try(&r, 0, NULL);
        else if (i % 3 == 1)
            response_try(&r, FARHEAP__V1__RESPONSE__RESULT_OBJECT,
                         &farheap__v1__object_result__descriptor);
        else
            response_try(&r, FARHEAP__V1__RESPONSE__RESULT_VALUE,
                         &farheap__v1__value_result__descriptor);
    }
}

Test(head_fast, what_is_not_hot_is_left_to_the_long_way)
{
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    Farheap__V1__Ping ping = FARHEAP__V1__PING__INIT;
    fh_response_head response = FARHEAP__V1__RESPONSE__INIT;
    uint8_t out[FH_HEAD_MAX];

    head.op_case = FARHEAP__V1__REQUEST__OP_PING;
    head.ping = &ping;
    cr_assert_eq(fh_head_fast_pack_request(&head, out, sizeof out), 0u);
    size_t size = protobuf_c_message_pack(&head.base, out);
    cr_assert_null(fh_head_fast_unpack_request(&arena, out, size));
    response.id = 1;
    response.detail = (ProtobufCBinaryData){.data = name_bytes, .len = 1};
    cr_assert_eq(fh_head_fast_pack_response(&response, out, sizeof out), 0u);
}

Test(head_fast, too_little_room_is_left_to_the_long_way)
{
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    Farheap__V1__Get get = FARHEAP__V1__GET__INIT;
    uint8_t out[FH_HEAD_MAX];

    head.id = 7;
    head.op_case = FARHEAP__V1__REQUEST__OP_GET;
    head.get = &get;
    get.name = (ProtobufCBinaryData){.data = name_bytes, .len = 900};
    for (size_t cap = 0; cap < 900; cap++)
        cr_assert_eq(fh_head_fast_pack_request(&head, out, cap), 0u);
    cr_assert_gt(fh_head_fast_pack_request(&head, out, sizeof out), 900u);
    get.name.len = FH_NAME_MAX + 1;
    cr_assert_eq(fh_head_fast_pack_request(&head, out, sizeof out), 0u);
}
