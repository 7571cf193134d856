/* head: every operation survives a round trip; what is not exactly a head is refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "proto/frame.h"
#include "proto/head.h"
#include "wire_bytes.h"

enum { FIELD_ID = 1, FIELD_HELLO = 10, FIELD_PING = 11, FIELD_PUT = 40, FIELD_DELETE = 43 };
enum { PUT_NAME = 1, PUT_CONDITION = 3, PUT_HANDLE = 4, CONDITION_IF_VERSION = 2 };

static struct fh_head_arena arena;
static struct wire_bytes wire, inner, innermost;

TestSuite(head, .timeout = 10);

static fh_request_head request_new(Farheap__V1__Request__OpCase op, ProtobufCMessage *message)
{
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    head.id = UINT64_MAX;
    head.deadline_ms = UINT32_MAX;
    head.op_case = op;
    head.hello = (Farheap__V1__Hello *)message; /* all members of the union are pointers */
    return head;
}

/* Fills every scalar with its largest value and every `bytes` with `text`, sub-messages excepted.
 */
static void message_fill(ProtobufCMessage *m, ProtobufCBinaryData text)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        char *member = (char *)m + f->offset;
        if (f->type == PROTOBUF_C_TYPE_BYTES)
            memcpy(member, &text, sizeof text);
        else if (f->type == PROTOBUF_C_TYPE_BOOL)
            memcpy(member, &(protobuf_c_boolean){1}, sizeof(protobuf_c_boolean));
        else if (f->type == PROTOBUF_C_TYPE_UINT32)
            memset(member, 0xff, 4);
        else if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            memset(member, 0xff, 8);
    }
}

/* Packs, checks the prefix, unpacks, packs again: the same bytes. */
static fh_request_head *request_round_trip(const fh_request_head *head)
{
    static uint8_t first[FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX], second[sizeof first];
    struct fh_frame_prefix prefix;
    fh_request_head *read = NULL;
    size_t size = fh_head_pack_request(head, 77, first, sizeof first);

    cr_assert_gt(size, (size_t)FH_FRAME_PREFIX_SIZE);
    cr_assert_eq(fh_frame_prefix_load(first, FH_HEAD_MAX, FH_BODY_MAX, &prefix), 0);
    cr_assert_eq(prefix.head_size, size - FH_FRAME_PREFIX_SIZE);
    cr_assert_eq(prefix.body_size, 77u);
    cr_assert_eq(
        fh_head_unpack_request(&arena, first + FH_FRAME_PREFIX_SIZE, prefix.head_size, &read), 0);
    cr_assert_eq(fh_head_pack_request(read, 77, second, sizeof second), size);
    cr_assert_arr_eq(first, second, size);
    return read;
}

static int request_unpack(const struct wire_bytes *w)
{
    fh_request_head *head = NULL;
    int rc = fh_head_unpack_request(&arena, w->at, w->size, &head);

    cr_assert_leq(arena.used, sizeof arena.bytes);
    cr_assert_eq(rc == 0, head != NULL);
    cr_assert(rc == 0 || rc == -EBADMSG);
    return rc;
}

Test(head, every_operation_survives_a_round_trip_with_its_largest_values)
{
    const ProtobufCMessageDescriptor *d = &farheap__v1__request__descriptor;
    static uint8_t text[FH_NAME_MAX];
    unsigned operations = 0;

    memset(text, 0, sizeof text); /* names may hold NULs */
    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        void *message =
            calloc(1, ((const ProtobufCMessageDescriptor *)f->descriptor)->sizeof_message);
        cr_assert_not_null(message);
        protobuf_c_message_init(f->descriptor, message);
        message_fill(message, (ProtobufCBinaryData){sizeof text, text});
        fh_request_head head = request_new((Farheap__V1__Request__OpCase)f->id, message);
        fh_request_head *read = request_round_trip(&head);
        cr_assert_eq(read->id, UINT64_MAX);
        cr_assert_eq(read->deadline_ms, UINT32_MAX);
        cr_assert_eq(read->op_case, (Farheap__V1__Request__OpCase)f->id);
        free(message);
        operations++;
    }
    cr_assert_eq(operations, 26u);
}

Test(head, a_put_with_everything_in_it_comes_back)
{
    static uint8_t name[FH_NAME_MAX] = "a\0b";
    Farheap__V1__Handle handle = FARHEAP__V1__HANDLE__INIT;
    Farheap__V1__Condition condition = FARHEAP__V1__CONDITION__INIT;
    Farheap__V1__Put put = FARHEAP__V1__PUT__INIT;

    message_fill(&handle.base, (ProtobufCBinaryData){0, NULL});
    condition.if_absent = 1;
    put.name = (ProtobufCBinaryData){sizeof name, name};
    put.ttl_ms = 5;
    put.handle = &handle;
    put.condition = &condition;
    fh_request_head head = request_new(FARHEAP__V1__REQUEST__OP_PUT, &put.base);
    fh_request_head *read = request_round_trip(&head);
    cr_assert_eq(read->put->name.len, sizeof name);
    cr_assert_arr_eq(read->put->name.data, name, sizeof name);
    cr_assert_eq(read->put->ttl_ms, 5u);
    cr_assert_eq(read->put->handle->key, UINT64_MAX);
    cr_assert_eq(read->put->condition->if_absent, 1);
    cr_assert_eq(read->put->condition->if_version, 0u);
}

/* A response whose every number is as large as it gets, pointing to the result of its kind. */
static void assert_packs_at_every_cap(const fh_response_head *head)
{
    enum { ROOM = 2048 };
    static uint8_t out[ROOM + 1], whole[ROOM];
    fh_response_head *read;
    size_t size = fh_head_pack_response(head, 3, whole, sizeof whole);

    cr_assert_gt(size, (size_t)FH_FRAME_PREFIX_SIZE);
    cr_assert_eq(fh_head_unpack_response(&arena, whole + FH_FRAME_PREFIX_SIZE,
                                         size - FH_FRAME_PREFIX_SIZE, &read),
                 0);
    cr_assert_eq(read->id, head->id);
    cr_assert_eq(read->status, head->status);
    cr_assert_eq(read->result_case, head->result_case);
    for (size_t cap = 0; cap < ROOM; cap++) {
        memset(out, 0x5a, sizeof out);
        size_t packed = fh_head_pack_response(head, 3, out, cap);
        cr_assert_eq(packed, cap < size ? 0 : size, "cap %zu of %zu", cap, size);
        if (packed)
            cr_assert_arr_eq(out, whole, size);
        for (size_t at = cap; at < sizeof out; at++)
            cr_assert_eq(out[at], 0x5a, "byte %zu behind cap %zu", at, cap);
    }
}

Test(head, a_response_packs_whenever_it_fits_and_never_beyond)
{
    static uint8_t text[200];
    const ProtobufCBinaryData bytes = {sizeof text, text};
    Farheap__V1__Handle handle = FARHEAP__V1__HANDLE__INIT;
    Farheap__V1__HelloResult hello = FARHEAP__V1__HELLO_RESULT__INIT;
    Farheap__V1__TopologyResult topology = FARHEAP__V1__TOPOLOGY_RESULT__INIT;
    Farheap__V1__ObjectResult object = FARHEAP__V1__OBJECT_RESULT__INIT;
    Farheap__V1__ValueResult value = FARHEAP__V1__VALUE_RESULT__INIT;
    Farheap__V1__ListResult list = FARHEAP__V1__LIST_RESULT__INIT;
    const struct {
        Farheap__V1__Response__ResultCase kind;
        ProtobufCMessage *message;
    } results[] = {
        {FARHEAP__V1__RESPONSE__RESULT__NOT_SET, NULL},
        {FARHEAP__V1__RESPONSE__RESULT_HELLO, &hello.base},
        {FARHEAP__V1__RESPONSE__RESULT_TOPOLOGY, &topology.base},
        {FARHEAP__V1__RESPONSE__RESULT_OBJECT, &object.base},
        {FARHEAP__V1__RESPONSE__RESULT_VALUE, &value.base},
        {FARHEAP__V1__RESPONSE__RESULT_LIST, &list.base},
    };

    message_fill(&handle.base, bytes);
    object.handle = &handle;
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        fh_response_head head = FARHEAP__V1__RESPONSE__INIT;
        message_fill(&head.base, bytes);
        if (results[i].message)
            message_fill(results[i].message, bytes);
        head.result_case = results[i].kind;
        head.hello = (Farheap__V1__HelloResult *)results[i].message;
        assert_packs_at_every_cap(&head);
    }
}

Test(head, a_response_of_defaults_is_still_a_head)
{
    fh_response_head head = FARHEAP__V1__RESPONSE__INIT;
    fh_response_head *read;
    uint8_t out[16];

    cr_assert_eq(fh_head_pack_response(&head, 0, out, sizeof out), FH_FRAME_PREFIX_SIZE + 2u);
    cr_assert_eq(fh_head_unpack_response(&arena, out + FH_FRAME_PREFIX_SIZE, 2, &read), 0);
    cr_assert_eq(read->id, 0u);
    cr_assert_eq(fh_head_pack_response(&head, 0, out, FH_FRAME_PREFIX_SIZE + 1), 0u);
}

Test(head, a_head_over_the_limit_is_not_packed)
{
    static uint8_t text[FH_HEAD_MAX + 1], out[2 * FH_HEAD_MAX];
    fh_response_head response = FARHEAP__V1__RESPONSE__INIT;
    Farheap__V1__HelloResult hello = FARHEAP__V1__HELLO_RESULT__INIT;
    Farheap__V1__Lookup lookup = FARHEAP__V1__LOOKUP__INIT;
    fh_list_entry entry = FARHEAP__V1__LIST_ENTRY__INIT;

    response.detail = (ProtobufCBinaryData){FH_HEAD_MAX - 3, text}; /* tag, size of 2 bytes */
    cr_assert_eq(fh_head_pack_response(&response, 0, out, sizeof out),
                 (size_t)FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX);
    response.detail.len++;
    cr_assert_eq(fh_head_pack_response(&response, 0, out, sizeof out), 0u);
    response.detail.len = sizeof text;
    cr_assert_eq(fh_head_pack_response(&response, 0, out, sizeof out), 0u);
    response.detail.len = 0;
    hello.server = (ProtobufCBinaryData){sizeof text, text};
    response.result_case = FARHEAP__V1__RESPONSE__RESULT_HELLO;
    response.hello = &hello;
    cr_assert_eq(fh_head_pack_response(&response, 0, out, sizeof out), 0u);
    lookup.name = (ProtobufCBinaryData){sizeof text, text};
    fh_request_head request = request_new(FARHEAP__V1__REQUEST__OP_LOOKUP, &lookup.base);
    cr_assert_eq(fh_head_pack_request(&request, 0, out, sizeof out), 0u);
    entry.name = (ProtobufCBinaryData){sizeof text, text};
    cr_assert_eq(fh_head_pack_list_entry(&entry, out, sizeof out), 0u);
}

Test(head, a_list_entry_packs_whenever_it_fits_and_never_beyond)
{
    static uint8_t text[FH_NAME_MAX], out[1400], whole[1400];
    Farheap__V1__Handle handle = FARHEAP__V1__HANDLE__INIT;
    fh_list_entry entry = FARHEAP__V1__LIST_ENTRY__INIT, *read;

    message_fill(&handle.base, (ProtobufCBinaryData){0, NULL});
    message_fill(&entry.base, (ProtobufCBinaryData){sizeof text, text});
    entry.handle = &handle;
    size_t size = fh_head_pack_list_entry(&entry, whole, sizeof whole);
    cr_assert_gt(size, sizeof text);
    cr_assert_eq((size_t)whole[0] + ((size_t)whole[1] << 8), size - 4);
    cr_assert_eq(fh_head_unpack_list_entry(&arena, whole + 4, size - 4, &read), 0);
    cr_assert_eq(read->name.len, sizeof text);
    cr_assert_eq(read->version, UINT64_MAX);
    for (size_t cap = 0; cap < sizeof out; cap++) {
        memset(out, 0x5a, sizeof out);
        cr_assert_eq(fh_head_pack_list_entry(&entry, out, cap), cap < size ? 0 : size);
        for (size_t at = cap; at < sizeof out; at++)
            cr_assert_eq(out[at], 0x5a);
    }
}

Test(head, a_request_without_operation_is_refused)
{
    wire_number(&wire, FIELD_ID, 1);
    cr_assert_eq(request_unpack(&wire), -EBADMSG);
    wire.size = 0;
    cr_assert_eq(request_unpack(&wire), -EBADMSG);
}

Test(head, an_empty_operation_is_an_operation)
{
    wire_message(&wire, FIELD_PING, &inner);
    cr_assert_eq(request_unpack(&wire), 0);
}

Test(head, an_unknown_field_is_refused_at_every_depth)
{
    wire_number(&innermost, 15, 1); /* in the condition */
    wire_message(&inner, PUT_CONDITION, &innermost);
    wire_message(&wire, FIELD_PUT, &inner);
    cr_assert_eq(request_unpack(&wire), -EBADMSG);

    inner.size = wire.size = 0; /* in the operation */
    wire_number(&inner, 15, 1);
    wire_message(&wire, FIELD_PUT, &inner);
    cr_assert_eq(request_unpack(&wire), -EBADMSG);

    inner.size = wire.size = 0; /* beside it */
    wire_message(&wire, FIELD_PUT, &inner);
    cr_assert_eq(request_unpack(&wire), 0);
    wire_number(&wire, 999, 1);
    cr_assert_eq(request_unpack(&wire), -EBADMSG);
}

Test(head, an_operation_of_a_later_version_is_refused)
{
    wire_number(&wire, FIELD_ID, 1);
    wire_message(&wire, 400, &inner);
    cr_assert_eq(request_unpack(&wire), -EBADMSG);
}

Test(head, a_second_operation_is_refused)
{
    wire_message(&wire, FIELD_PING, &inner);
    wire_message(&wire, FIELD_DELETE, &inner);
    cr_assert_eq(request_unpack(&wire), -EBADMSG);

    wire.size = 0;
    wire_message(&wire, FIELD_PING, &inner);
    wire_message(&wire, FIELD_PING, &inner);
    cr_assert_eq(request_unpack(&wire), -EBADMSG);
}

Test(head, an_unknown_field_cannot_hide_in_a_message_that_is_merged_away)
{
    wire_number(&innermost, 15, 1);
    wire_message(&inner, PUT_HANDLE, &innermost);
    innermost.size = 0;
    wire_message(&inner, PUT_HANDLE, &innermost);
    wire_message(&wire, FIELD_PUT, &inner);
    cr_assert_eq(request_unpack(&wire), -EBADMSG);
}

Test(head, a_name_given_twice_is_refused)
{
    wire_field(&inner, PUT_NAME, "a", 1);
    wire_field(&inner, PUT_NAME, "b", 1);
    wire_message(&wire, FIELD_PUT, &inner);
    cr_assert_eq(request_unpack(&wire), -EBADMSG);
}

Test(head, a_field_of_another_type_is_refused)
{
    wire_number(&inner, PUT_NAME, 7);
    wire_message(&wire, FIELD_PUT, &inner);
    cr_assert_eq(request_unpack(&wire), -EBADMSG);

    wire.size = 0;
    wire_number(&wire, FIELD_PUT, 1);
    cr_assert_eq(request_unpack(&wire), -EBADMSG);

    wire.size = 0;
    wire_tag(&wire, FIELD_PING, WIRE_GROUP);
    cr_assert_eq(request_unpack(&wire), -EBADMSG);
}

Test(head, a_head_cut_short_is_refused_or_says_less)
{
    Farheap__V1__Lookup lookup = FARHEAP__V1__LOOKUP__INIT;
    uint8_t out[64];
    fh_request_head *read;

    lookup.name = (ProtobufCBinaryData){5, (uint8_t *)(char[]){"model"}};
    fh_request_head head = request_new(FARHEAP__V1__REQUEST__OP_LOOKUP, &lookup.base);
    size_t size = fh_head_pack_request(&head, 0, out, sizeof out);
    cr_assert_gt(size, (size_t)FH_FRAME_PREFIX_SIZE);
    for (size_t cut = 0; cut + FH_FRAME_PREFIX_SIZE < size; cut++)
        cr_assert_eq(fh_head_unpack_request(&arena, out + FH_FRAME_PREFIX_SIZE, cut, &read),
                     -EBADMSG, "%zu", cut);
}

Test(head, more_bytes_than_a_head_may_have_are_refused)
{
    static uint8_t name[FH_HEAD_MAX];

    wire_field(&inner, PUT_NAME, name, FH_HEAD_MAX - 5); /* two tags and sizes around it */
    wire_message(&wire, FIELD_PUT, &inner);
    cr_assert_eq(wire.size, (size_t)FH_HEAD_MAX + 2);
    cr_assert_eq(request_unpack(&wire), -EBADMSG);

    inner.size = wire.size = 0;
    wire_field(&inner, PUT_NAME, name, FH_HEAD_MAX - 7);
    wire_message(&wire, FIELD_PUT, &inner);
    cr_assert_eq(wire.size, (size_t)FH_HEAD_MAX);
    cr_assert_eq(request_unpack(&wire), 0);
}

Test(head, responses_and_entries_that_are_none_are_refused)
{
    fh_response_head *response = NULL;
    fh_list_entry *entry = NULL;

    wire_number(&wire, 15, 1);
    cr_assert_eq(fh_head_unpack_response(&arena, wire.at, wire.size, &response), -EBADMSG);
    cr_assert_eq(fh_head_unpack_list_entry(&arena, wire.at, wire.size, &entry), -EBADMSG);
    cr_assert_null(response);
    cr_assert_null(entry);
}

Test(head, the_arena_is_used_anew_by_each_head)
{
    wire_field(&inner, PUT_NAME, "a", 1);
    wire_message(&wire, FIELD_PUT, &inner);
    cr_assert_eq(request_unpack(&wire), 0);
    size_t used = arena.used;
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(request_unpack(&wire), 0);
    cr_assert_eq(arena.used, used);
}
