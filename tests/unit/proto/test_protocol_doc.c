/* docs/protocol.md: its bytes, tables and vectors are what the code makes. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/handle.h"
#include "proto/head.h"
#include "proto/place.h"
#include "proto/status.h"

enum { DOC_MAX = 1 << 18 };

static const uint64_t example_address = 0x40;
static const uint64_t example_key = UINT64_C(0x9f8e7d6c5b4a3921);

static char doc[DOC_MAX];    /* as it is */
static char packed[DOC_MAX]; /* without blanks and line ends */

static void setup(void)
{
    FILE *f = fopen(FARHEAP_SOURCE_DIR "/docs/protocol.md", "rb");
    size_t size = 0;

    cr_assert_not_null(f);
    size_t read = fread(doc, 1, sizeof doc - 1, f);
    fclose(f);
    cr_assert_gt(read, 1000u);
    for (const char *at = doc; *at; at++)
        if (!isspace((unsigned char)*at))
            packed[size++] = *at;
}

TestSuite(protocol_doc, .init = setup, .timeout = 10);

static void assert_doc_has(const char *text)
{
    cr_assert_not_null(strstr(doc, text), "docs/protocol.md lacks: %s", text);
}

/* The bytes, written in hexadecimal in any arrangement of blanks and lines. */
static void assert_doc_has_bytes(const uint8_t *bytes, size_t size, const void *body,
                                 size_t body_size)
{
    const uint8_t *rest = body;
    static char hex[4096];
    size_t at = 0;

    cr_assert_gt(size, (size_t)FH_FRAME_PREFIX_SIZE);
    for (size_t i = 0; i < size; i++)
        at += (size_t)snprintf(hex + at, sizeof hex - at, "%02x", bytes[i]);
    for (size_t i = 0; i < body_size; i++)
        at += (size_t)snprintf(hex + at, sizeof hex - at, "%02x", rest[i]);
    cr_assert_not_null(strstr(packed, hex), "docs/protocol.md lacks the bytes %s", hex);
}

static ProtobufCBinaryData text_bytes(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

static void assert_doc_has_request(const fh_request_head *head, const char *body)
{
    uint8_t bytes[FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX];
    size_t size = fh_head_pack_request(head, (uint32_t)strlen(body), bytes, sizeof bytes);

    assert_doc_has_bytes(bytes, size, body, strlen(body));
}

static void assert_doc_has_response(const fh_response_head *head, const char *body)
{
    uint8_t bytes[FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX];
    size_t size = fh_head_pack_response(head, (uint32_t)strlen(body), bytes, sizeof bytes);

    assert_doc_has_bytes(bytes, size, body, strlen(body));
}

Test(protocol_doc, the_hello_of_the_example_is_what_the_codec_makes)
{
    Farheap__V1__Hello hello = FARHEAP__V1__HELLO__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    hello.version = 1;
    hello.zone = UINT32_MAX;
    hello.client_id = UINT64_C(0x1122334455667788);
    hello.agent = text_bytes("doc");
    head.id = 1;
    head.op_case = FARHEAP__V1__REQUEST__OP_HELLO;
    head.hello = &hello;
    assert_doc_has_request(&head, "");
}

Test(protocol_doc, the_answer_to_the_hello_is_what_the_codec_makes)
{
    Farheap__V1__HelloResult hello = FARHEAP__V1__HELLO_RESULT__INIT;
    fh_response_head head = FARHEAP__V1__RESPONSE__INIT;

    hello.version = 1;
    hello.zones = 1;
    hello.incarnation = UINT64_C(0x0807060504030201);
    hello.body_max = FH_BODY_MAX;
    hello.server = text_bytes("farheapd 0.1.0");
    head.id = 1;
    head.result_case = FARHEAP__V1__RESPONSE__RESULT_HELLO;
    head.hello = &hello;
    assert_doc_has_response(&head, "");
}

Test(protocol_doc, the_put_of_the_example_is_what_the_codec_makes)
{
    Farheap__V1__Put put = FARHEAP__V1__PUT__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    put.name = text_bytes("greeting");
    head.id = 2;
    head.deadline_ms = 1000;
    head.op_case = FARHEAP__V1__REQUEST__OP_PUT;
    head.put = &put;
    assert_doc_has_request(&head, "hello");
}

static void assert_doc_has_object(uint64_t id, const char *body)
{
    Farheap__V1__Handle handle = FARHEAP__V1__HANDLE__INIT;
    Farheap__V1__ObjectResult object = FARHEAP__V1__OBJECT_RESULT__INIT;
    fh_response_head head = FARHEAP__V1__RESPONSE__INIT;

    handle.address = example_address;
    handle.key = example_key;
    object.handle = &handle;
    object.size = 5;
    object.version = 1;
    object.sealed = 1;
    object.small = 1;
    head.id = id;
    head.result_case = FARHEAP__V1__RESPONSE__RESULT_OBJECT;
    head.object = &object;
    assert_doc_has_response(&head, body);
}

Test(protocol_doc, the_answers_to_put_and_get_are_what_the_codec_makes)
{
    assert_doc_has_object(2, "");
    assert_doc_has_object(3, "ell");
}

Test(protocol_doc, the_get_of_the_example_is_what_the_codec_makes)
{
    Farheap__V1__Get get = FARHEAP__V1__GET__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    get.name = text_bytes("greeting");
    get.offset = 1;
    get.size = 3;
    head.id = 3;
    head.op_case = FARHEAP__V1__REQUEST__OP_GET;
    head.get = &get;
    assert_doc_has_request(&head, "");
}

Test(protocol_doc, the_ranges_of_the_example_are_what_the_codec_makes)
{
    uint8_t bytes[FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX], body[2 * FH_RANGE_SIZE];
    Farheap__V1__Handle handle = FARHEAP__V1__HANDLE__INIT;
    Farheap__V1__ReadRanges read = FARHEAP__V1__READ_RANGES__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    handle.address = example_address;
    handle.key = example_key;
    read.handle = &handle;
    head.id = 5;
    head.op_case = FARHEAP__V1__REQUEST__OP_READ_RANGES;
    head.read_ranges = &read;
    fh_wire_range_store(body, (struct fh_wire_range){0, 1});
    fh_wire_range_store(body + FH_RANGE_SIZE, (struct fh_wire_range){3, 2});
    size_t size = fh_head_pack_request(&head, sizeof body, bytes, sizeof bytes);
    assert_doc_has_bytes(bytes, size, body, sizeof body);
    assert_doc_has_object(5, "hlo");
}

Test(protocol_doc, the_refusal_of_the_example_is_what_the_codec_makes)
{
    fh_response_head head = FARHEAP__V1__RESPONSE__INIT;

    head.id = 4;
    head.status = FH_STATUS_NOT_FOUND;
    head.detail = text_bytes(fh_status_sentence(FH_STATUS_NOT_FOUND));
    assert_doc_has_response(&head, "");
}

Test(protocol_doc, every_status_has_its_row)
{
    char row[64];

    for (unsigned n = 0; n < FH_STATUS_COUNT; n++) {
        snprintf(row, sizeof row, "\n| %u | %s |", n, fh_status_name(n));
        assert_doc_has(row);
    }
}

Test(protocol_doc, every_operation_is_told_with_its_field_number)
{
    const ProtobufCMessageDescriptor *d = &farheap__v1__request__descriptor;
    char row[128];

    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCMessageDescriptor *operation = d->fields[i].descriptor;
        if (d->fields[i].type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        snprintf(row, sizeof row, "#### %s (%u)\n", operation->short_name, d->fields[i].id);
        assert_doc_has(row);
    }
}

Test(protocol_doc, the_placement_vectors_have_their_rows)
{
    static const struct {
        const char *name;
        uint32_t of_2, of_4, of_16;
    } vectors[] = {
#include "place_vectors.h"
    };
    char row[128];

    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const char *name = vectors[i].name;
        size_t size = strlen(name);
        snprintf(row, sizeof row, "\n| `%s` | %u | %u | %u | %u |\n", name,
                 fh_place_name(name, size, 1), fh_place_name(name, size, 2),
                 fh_place_name(name, size, 4), fh_place_name(name, size, 16));
        assert_doc_has(row);
    }
}

Test(protocol_doc, the_limits_are_the_codes)
{
    cr_assert_eq(FH_HEAD_MAX, 4096);
    cr_assert_eq(FH_HEAD_MAX_STRANGER, 1024);
    cr_assert_eq(FH_BODY_MAX, 67108864);
    cr_assert_eq(FH_NAME_MAX, 1024);
    assert_doc_has("| head | 1 .. 4096 bytes; 1 .. 1024 until Hello is answered |");
    assert_doc_has("| body | 0 .. 67108864 bytes (64 MiB) |");
    assert_doc_has("| name | 1 .. 1024 bytes |");
}

Test(protocol_doc, the_handle_of_the_example_has_its_text)
{
    char text[FH_HANDLE_TEXT_SIZE];

    fh_handle_print(text, example_address, example_key);
    assert_doc_has(text);
    fh_handle_print(text, fh_address_make(3, 0x1a2b3000), example_key);
    assert_doc_has(text);
}
