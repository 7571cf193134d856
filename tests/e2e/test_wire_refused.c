/* A real server against requests that are well-formed and wrong: each gets its status, changes
 * nothing, and the connection goes on. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/handle.h"
#include "proto/status.h"
#include "tests/support/wire/wire_fixture.h"

enum { OBJECT_SIZE = 10000 };

static struct wire_fixture f;
static struct wire_client c;
static Farheap__V1__Handle object; /* of OBJECT_SIZE bytes, OPEN */

static void setup(void)
{
    c.fd = -1;
    cr_assert_eq(wire_fixture_start(&f, FARHEAPD, (const char *[]){"--drain-timeout=3s", NULL}), 0);
    cr_assert_eq(wire_fixture_join(&f, &c), 0);
    cr_assert_eq(wire_client_alloc(&c, OBJECT_SIZE, &object), 0);
}

static void teardown(void)
{
    wire_client_close(&c);
    wire_fixture_fini(&f);
}

TestSuite(wire_refused, .init = setup, .fini = teardown, .timeout = 300);

static void assert_unharmed(void)
{
    const char *harm;

    cr_assert_eq(wire_client_ping(&c, "x", 1), 0, "the connection did not go on");
    harm = wire_fixture_harm(&f);
    cr_assert_null(harm, "%s", harm);
}

/* All members of the union are pointers to messages. */
static int call(Farheap__V1__Request__OpCase op, void *message, const void *body, size_t body_size)
{
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    head.op_case = op;
    head.ping = message;
    return wire_client_call(&c, &head, body, body_size);
}

static int free_object(Farheap__V1__Handle *handle)
{
    Farheap__V1__Free m = FARHEAP__V1__FREE__INIT;

    m.handle = handle;
    return call(FARHEAP__V1__REQUEST__OP_FREE, &m, NULL, 0);
}

static int resize_object(Farheap__V1__Handle *handle, uint64_t size)
{
    Farheap__V1__Resize m = FARHEAP__V1__RESIZE__INIT;

    m.handle = handle;
    m.size = size;
    return call(FARHEAP__V1__REQUEST__OP_RESIZE, &m, NULL, 0);
}

static int read_object(Farheap__V1__Handle *handle, uint64_t offset, uint64_t size)
{
    Farheap__V1__Read m = FARHEAP__V1__READ__INIT;

    m.handle = handle;
    m.offset = offset;
    m.size = size;
    return call(FARHEAP__V1__REQUEST__OP_READ, &m, NULL, 0);
}

static int write_object(Farheap__V1__Handle *handle, uint64_t offset, const char *body)
{
    Farheap__V1__Write m = FARHEAP__V1__WRITE__INIT;

    m.handle = handle;
    m.offset = offset;
    return call(FARHEAP__V1__REQUEST__OP_WRITE, &m, body, strlen(body));
}

static int zero_object(Farheap__V1__Handle *handle, uint64_t offset, uint64_t size)
{
    Farheap__V1__Zero m = FARHEAP__V1__ZERO__INIT;

    m.handle = handle;
    m.offset = offset;
    m.size = size;
    return call(FARHEAP__V1__REQUEST__OP_ZERO, &m, NULL, 0);
}

static int swap_object(Farheap__V1__Handle *handle, uint64_t offset)
{
    Farheap__V1__CompareSwap m = FARHEAP__V1__COMPARE_SWAP__INIT;

    m.handle = handle;
    m.offset = offset;
    m.desired = 1;
    return call(FARHEAP__V1__REQUEST__OP_COMPARE_SWAP, &m, NULL, 0);
}

static int add_object(Farheap__V1__Handle *handle, uint64_t offset)
{
    Farheap__V1__FetchAdd m = FARHEAP__V1__FETCH_ADD__INIT;

    m.handle = handle;
    m.offset = offset;
    m.delta = 1;
    return call(FARHEAP__V1__REQUEST__OP_FETCH_ADD, &m, NULL, 0);
}

static int stat_object(Farheap__V1__Handle *handle)
{
    Farheap__V1__Stat m = FARHEAP__V1__STAT__INIT;

    m.handle = handle;
    return call(FARHEAP__V1__REQUEST__OP_STAT, &m, NULL, 0);
}

static void assert_every_use_answers(Farheap__V1__Handle *handle, int status)
{
    cr_assert_eq(read_object(handle, 0, 1), status);
    cr_assert_eq(write_object(handle, 0, "x"), status);
    cr_assert_eq(zero_object(handle, 0, 1), status);
    cr_assert_eq(swap_object(handle, 0), status);
    cr_assert_eq(add_object(handle, 0), status);
    cr_assert_eq(resize_object(handle, 1), status);
    cr_assert_eq(stat_object(handle), status);
    cr_assert_eq(free_object(handle), status);
}

static void assert_object_is_zeros(void)
{
    static const uint8_t zeros[OBJECT_SIZE];

    cr_assert_eq(read_object(&object, 0, OBJECT_SIZE), 0);
    cr_assert_eq(c.body_size, (uint32_t)OBJECT_SIZE);
    cr_assert_arr_eq(c.body, zeros, OBJECT_SIZE);
}

Test(wire_refused, a_forged_handle_is_stale)
{
    static const uint64_t moved[] = {1, 16, 4096, 1 << 20, UINT64_C(1) << 40};
    Farheap__V1__Handle forged = object;

    for (unsigned bit = 0; bit < 64; bit += 7) {
        forged.key = object.key ^ UINT64_C(1) << bit;
        assert_every_use_answers(&forged, FH_STATUS_STALE);
    }
    forged.key = 0;
    assert_every_use_answers(&forged, FH_STATUS_STALE);
    forged.key = object.key;
    for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
        forged.address = object.address + moved[i];
        assert_every_use_answers(&forged, FH_STATUS_STALE);
    }
    forged.address = (UINT64_C(1) << 48) - 1;
    assert_every_use_answers(&forged, FH_STATUS_STALE);
    assert_object_is_zeros();
    assert_unharmed();
}

Test(wire_refused, a_freed_handle_is_stale)
{
    cr_assert_eq(free_object(&object), 0);
    assert_every_use_answers(&object, FH_STATUS_STALE);
    assert_unharmed();
}

Test(wire_refused, a_handle_of_another_zone_is_in_the_wrong_zone)
{
    Farheap__V1__Handle other = object;

    other.address |= UINT64_C(1) << 48;
    assert_every_use_answers(&other, FH_STATUS_WRONG_ZONE);
    other.address |= UINT64_C(0xffff) << 48;
    assert_every_use_answers(&other, FH_STATUS_WRONG_ZONE);
    assert_unharmed();
}

Test(wire_refused, an_operation_without_its_handle_is_refused)
{
    cr_assert_neq(read_object(NULL, 0, 1), 0);
    cr_assert_neq(write_object(NULL, 0, "x"), 0);
    cr_assert_neq(zero_object(NULL, 0, 1), 0);
    cr_assert_neq(swap_object(NULL, 0), 0);
    cr_assert_neq(add_object(NULL, 0), 0);
    cr_assert_neq(resize_object(NULL, 1), 0);
    cr_assert_neq(stat_object(NULL), 0);
    cr_assert_neq(free_object(NULL), 0);
    assert_unharmed();
}

/* Offset and size such that their sum is beyond the object, or wraps and is not. */
Test(wire_refused, a_range_outside_the_object_is_invalid)
{
    static const struct {
        uint64_t offset, size;
    } ranges[] = {
        {0, OBJECT_SIZE + 1},
        {1, OBJECT_SIZE},
        {OBJECT_SIZE, 1},
        {OBJECT_SIZE + 1, 0},
        {UINT64_MAX, 1},
        {UINT64_MAX, 2},
        {UINT64_MAX - 1, 3},
        {UINT64_C(1) << 63, 1},
        {UINT64_MAX - OBJECT_SIZE + 1, OBJECT_SIZE},
        {UINT64_MAX - 99, 200},
        {UINT64_C(1) << 48, 16},
        {UINT32_MAX, 8},
    };

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        uint64_t offset = ranges[i].offset, size = ranges[i].size;
        cr_assert_eq(read_object(&object, offset, size), FH_STATUS_INVALID, "range %zu", i);
        cr_assert_eq(zero_object(&object, offset, size), FH_STATUS_INVALID, "range %zu", i);
        if (offset >= OBJECT_SIZE && size > 0)
            cr_assert_eq(write_object(&object, offset, "x"), FH_STATUS_INVALID, "range %zu", i);
    }
    cr_assert_eq(write_object(&object, OBJECT_SIZE - 1, "xy"), FH_STATUS_INVALID);
    assert_object_is_zeros();
    assert_unharmed();
}

/* A body of `count` ranges, all alike, and `more` bytes. */
static size_t ranges_body(uint8_t *body, size_t count, uint64_t offset, uint64_t size, size_t more)
{
    for (size_t i = 0; i < count; i++)
        fh_wire_range_store(body + i * FH_RANGE_SIZE, (struct fh_wire_range){offset, size});
    memset(body + count * FH_RANGE_SIZE, 'x', more);
    return count * FH_RANGE_SIZE + more;
}

static int read_ranges(size_t count, uint64_t offset, uint64_t size, size_t more)
{
    static uint8_t body[1 << 17];
    Farheap__V1__ReadRanges m = FARHEAP__V1__READ_RANGES__INIT;

    m.handle = &object;
    return call(FARHEAP__V1__REQUEST__OP_READ_RANGES, &m, body,
                ranges_body(body, count, offset, size, more));
}

static int write_ranges(uint32_t told, size_t count, uint64_t offset, uint64_t size, size_t more)
{
    static uint8_t body[1 << 17];
    Farheap__V1__WriteRanges m = FARHEAP__V1__WRITE_RANGES__INIT;

    m.handle = &object;
    m.ranges = told;
    return call(FARHEAP__V1__REQUEST__OP_WRITE_RANGES, &m, body,
                ranges_body(body, count, offset, size, more));
}

Test(wire_refused, ranges_that_do_not_fit_their_body_or_the_object_change_nothing)
{
    cr_assert_eq(read_ranges(0, 0, 0, 0), FH_STATUS_INVALID);
    cr_assert_eq(read_ranges(2, 0, 10, 1), FH_STATUS_INVALID);
    cr_assert_eq(read_ranges(65, 0, 1, 0), FH_STATUS_TOO_LARGE);
    cr_assert_eq(read_ranges(64, 0, 1025, 0), FH_STATUS_TOO_LARGE);
    cr_assert_eq(read_ranges(2, 0, UINT64_MAX, 0), FH_STATUS_TOO_LARGE);
    cr_assert_eq(read_ranges(1, OBJECT_SIZE, 1, 0), FH_STATUS_INVALID);
    cr_assert_eq(read_ranges(1, UINT64_MAX, 2, 0), FH_STATUS_INVALID);
    cr_assert_eq(read_ranges(1, 0, 1, 100000), FH_STATUS_TOO_LARGE);
    cr_assert_eq(write_ranges(0, 0, 0, 0, 0), FH_STATUS_INVALID);
    cr_assert_eq(write_ranges(UINT32_MAX, 2, 0, 10, 20), FH_STATUS_TOO_LARGE);
    cr_assert_eq(write_ranges(65, 65, 0, 1, 65), FH_STATUS_TOO_LARGE);
    cr_assert_eq(write_ranges(3, 2, 0, 10, 0), FH_STATUS_INVALID);
    cr_assert_eq(write_ranges(2, 2, 0, 10, 19), FH_STATUS_INVALID);
    cr_assert_eq(write_ranges(2, 2, 0, 10, 21), FH_STATUS_INVALID);
    cr_assert_eq(write_ranges(2, 2, OBJECT_SIZE - 9, 10, 20), FH_STATUS_INVALID);
    cr_assert_eq(write_ranges(2, 2, UINT64_MAX - 4, 10, 20), FH_STATUS_INVALID);
    cr_assert_eq(write_ranges(1, 1, 0, 66000, 66000), FH_STATUS_TOO_LARGE);
    assert_object_is_zeros();
    cr_assert_eq(write_ranges(2, 2, OBJECT_SIZE - 10, 10, 20), FH_STATUS_OK);
    cr_assert_eq(read_ranges(64, 0, 1, 0), FH_STATUS_OK);
    assert_unharmed();
}

Test(wire_refused, sizes_near_the_largest_number_are_refused)
{
    static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 4095, UINT64_C(1) << 63};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int status = read_object(&object, 1, sizes[i]);
        cr_assert(status == FH_STATUS_INVALID || status == FH_STATUS_TOO_LARGE);
        cr_assert_eq(zero_object(&object, 1, sizes[i]), FH_STATUS_INVALID);
        cr_assert_eq(resize_object(&object, sizes[i]), FH_STATUS_TOO_LARGE);
        cr_assert_eq(wire_client_alloc(&c, sizes[i], &(Farheap__V1__Handle){0}),
                     FH_STATUS_TOO_LARGE);
    }
    cr_assert_eq(wire_client_alloc(&c, (UINT64_C(1) << 40) + 1, &(Farheap__V1__Handle){0}),
                 FH_STATUS_TOO_LARGE);
    assert_object_is_zeros();
    assert_unharmed();
}

Test(wire_refused, atomics_off_their_place_are_invalid)
{
    static const uint64_t offsets[] = {
        1, 4, 7, 9, OBJECT_SIZE - 4, OBJECT_SIZE, OBJECT_SIZE + 8, UINT64_MAX, UINT64_MAX - 7};

    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        cr_assert_eq(swap_object(&object, offsets[i]), FH_STATUS_INVALID, "offset %zu", i);
        cr_assert_eq(add_object(&object, offsets[i]), FH_STATUS_INVALID, "offset %zu", i);
    }
    assert_object_is_zeros();
    assert_unharmed();
}

static void assert_every_name_use_answers(size_t name_size, int status)
{
    static uint8_t bytes[FH_NAME_MAX + 1];
    ProtobufCBinaryData name = {name_size, bytes};
    Farheap__V1__Put put = FARHEAP__V1__PUT__INIT;
    Farheap__V1__Put publish = FARHEAP__V1__PUT__INIT;
    Farheap__V1__Get get = FARHEAP__V1__GET__INIT;
    Farheap__V1__Lookup lookup = FARHEAP__V1__LOOKUP__INIT;
    Farheap__V1__Delete delete = FARHEAP__V1__DELETE__INIT;

    memset(bytes, 'n', sizeof bytes);
    put.name = publish.name = get.name = lookup.name = delete.name = name;
    publish.handle = &object;
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_PUT, &put, "body", 4), status);
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_PUT, &publish, NULL, 0), status);
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_GET, &get, NULL, 0), status);
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_LOOKUP, &lookup, NULL, 0), status);
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_DELETE, &delete, NULL, 0), status);
}

Test(wire_refused, a_name_of_no_byte_or_of_too_many_is_invalid)
{
    assert_every_name_use_answers(0, FH_STATUS_INVALID);
    assert_every_name_use_answers(FH_NAME_MAX + 1, FH_STATUS_INVALID);
    assert_unharmed();
}

Test(wire_refused, a_large_body_for_an_invalid_name_is_dropped_and_refused)
{
    static uint8_t body[1 << 20];
    Farheap__V1__Put put = FARHEAP__V1__PUT__INIT;

    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_PUT, &put, body, sizeof body), FH_STATUS_INVALID);
    cr_assert_eq(write_object(&(Farheap__V1__Handle){.base = object.base, .key = 1}, 0, "x"),
                 FH_STATUS_STALE);
    assert_unharmed();
}

Test(wire_refused, more_than_memory_and_swap_hold_is_no_space)
{
    enum { BODY = 60 << 20 };
    uint8_t *body = malloc(BODY);
    int status = 0;

    cr_assert_not_null(body);
    memset(body, 0x5a, BODY);
    c.timeout_ms = 30000;
    for (int i = 0; i < 3 && status == 0; i++)
        status = wire_client_put(&c, (const char *[]){"p", "q", "r"}[i], body, BODY);
    free(body);
    cr_assert_eq(status, FH_STATUS_NO_SPACE);
    assert_unharmed();
}

Test(wire_refused, a_hello_for_a_zone_or_version_that_is_not_there_is_refused)
{
    Farheap__V1__Hello hello = FARHEAP__V1__HELLO__INIT;

    wire_client_close(&c);
    cr_assert_eq(wire_client_connect(&c, f.server.ports[0]), 0);
    cr_assert_eq(wire_client_hello(&c, 7), FH_STATUS_INVALID);
    wire_client_close(&c);
    cr_assert_eq(wire_client_connect(&c, f.server.ports[0]), 0);
    hello.version = 9;
    hello.zone = UINT32_MAX;
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_HELLO, &hello, NULL, 0), FH_STATUS_UNSUPPORTED);
    wire_client_close(&c);
    cr_assert_eq(wire_fixture_join(&f, &c), 0);
    assert_unharmed();
}

Test(wire_refused, a_ping_with_too_large_a_body_is_invalid)
{
    static uint8_t body[(64 << 10) + 1];

    cr_assert_eq(wire_client_ping(&c, body, sizeof body - 1), 0);
    cr_assert_eq((size_t)c.body_size, sizeof body - 1);
    cr_assert_eq(wire_client_ping(&c, body, sizeof body), FH_STATUS_INVALID);
    assert_unharmed();
}

Test(wire_refused, a_body_where_none_is_taken_is_invalid)
{
    Farheap__V1__Get get = FARHEAP__V1__GET__INIT;
    Farheap__V1__Alloc alloc = FARHEAP__V1__ALLOC__INIT;
    Farheap__V1__Read read = FARHEAP__V1__READ__INIT;
    Farheap__V1__Free release = FARHEAP__V1__FREE__INIT;
    Farheap__V1__List list = FARHEAP__V1__LIST__INIT;
    Farheap__V1__Topology topology = FARHEAP__V1__TOPOLOGY__INIT;
    Farheap__V1__Put publish = FARHEAP__V1__PUT__INIT;

    get.name = publish.name = (ProtobufCBinaryData){4, (uint8_t *)(char[]){"kept"}};
    read.handle = release.handle = publish.handle = &object;
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_GET, &get, "body", 4), FH_STATUS_INVALID);
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_ALLOC, &alloc, "body", 4), FH_STATUS_INVALID);
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_READ, &read, "body", 4), FH_STATUS_INVALID);
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_FREE, &release, "body", 4), FH_STATUS_INVALID);
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_LIST, &list, "body", 4), FH_STATUS_INVALID);
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_TOPOLOGY, &topology, "body", 4), FH_STATUS_INVALID);
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_PUT, &publish, "body", 4), FH_STATUS_INVALID);
    assert_object_is_zeros();
    assert_unharmed();
}

Test(wire_refused, a_sealed_object_does_not_change)
{
    cr_assert_eq(wire_client_put(&c, "sealed", "12345678", 8), 0);
    Farheap__V1__Handle sealed = *c.response->object->handle;

    cr_assert_eq(write_object(&sealed, 0, "x"), FH_STATUS_CONFLICT);
    cr_assert_eq(zero_object(&sealed, 0, 8), FH_STATUS_CONFLICT);
    cr_assert_eq(swap_object(&sealed, 0), FH_STATUS_CONFLICT);
    cr_assert_eq(add_object(&sealed, 0), FH_STATUS_CONFLICT);
    cr_assert_eq(resize_object(&sealed, 4), FH_STATUS_CONFLICT);
    cr_assert_eq(wire_client_get(&c, "sealed", 0, 0), 0);
    cr_assert_eq(c.body_size, 8u);
    cr_assert_arr_eq(c.body, "12345678", 8);
    assert_unharmed();
}
