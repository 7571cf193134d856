/* Typed caches on the wire: statuses, limits, and what a neighbour zone does not see. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "proto/status.h"
#include "tests/support/wire/wire_fixture.h"

static struct wire_fixture f;
static struct wire_client c;

static void setup(void)
{
    c.fd = -1;
    cr_assert_eq(wire_fixture_start(&f, FARHEAPD, (const char *[]){NULL}), 0);
    cr_assert_eq(wire_fixture_join(&f, &c), 0);
}

static void teardown(void)
{
    wire_client_close(&c);
    wire_fixture_fini(&f);
}

TestSuite(wire_caches, .init = setup, .fini = teardown, .timeout = 300);

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

/* All members of the union are pointers to messages. */
static int call(Farheap__V1__Request__OpCase op, void *message, const void *body, size_t body_size)
{
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    head.op_case = op;
    head.ping = message;
    return wire_client_call(&c, &head, body, body_size);
}

static int create(const char *name, uint64_t size, uint32_t alignment, const char *initial)
{
    Farheap__V1__CacheCreate m = FARHEAP__V1__CACHE_CREATE__INIT;

    m.name = bytes_of(name);
    m.object_size = size;
    m.alignment = alignment;
    return call(FARHEAP__V1__REQUEST__OP_CACHE_CREATE, &m, initial, strlen(initial));
}

static int destroy(const char *name)
{
    Farheap__V1__CacheDestroy m = FARHEAP__V1__CACHE_DESTROY__INIT;

    m.name = bytes_of(name);
    return call(FARHEAP__V1__REQUEST__OP_CACHE_DESTROY, &m, NULL, 0);
}

static int alloc_from(const char *name, uint64_t size, Farheap__V1__Handle *handle)
{
    Farheap__V1__Alloc m = FARHEAP__V1__ALLOC__INIT;

    m.size = size;
    m.cache = bytes_of(name);
    int status = call(FARHEAP__V1__REQUEST__OP_ALLOC, &m, NULL, 0);
    if (status == FH_STATUS_OK) {
        farheap__v1__handle__init(handle);
        handle->address = c.response->object->handle->address;
        handle->key = c.response->object->handle->key;
    }
    return status;
}

static int free_object(Farheap__V1__Handle *handle)
{
    Farheap__V1__Free m = FARHEAP__V1__FREE__INIT;

    m.handle = handle;
    return call(FARHEAP__V1__REQUEST__OP_FREE, &m, NULL, 0);
}

static int read_object(Farheap__V1__Handle *handle, uint64_t offset, uint64_t size)
{
    Farheap__V1__Read m = FARHEAP__V1__READ__INIT;

    m.handle = handle;
    m.offset = offset;
    m.size = size;
    return call(FARHEAP__V1__REQUEST__OP_READ, &m, NULL, 0);
}

static void assert_unharmed(void)
{
    const char *harm = wire_fixture_harm(&f);

    cr_assert_null(harm, "%s", harm);
}

Test(wire_caches, a_cache_lives_from_create_to_destroy)
{
    Farheap__V1__Handle object;

    cr_assert_eq(create("point", 48, 16, "start"), FH_STATUS_OK);
    cr_assert_eq(c.response->result_case, FARHEAP__V1__RESPONSE__RESULT__NOT_SET);
    cr_assert_eq(create("point", 48, 16, "start"), FH_STATUS_EXISTS);
    cr_assert_eq(alloc_from("point", 49, &object), FH_STATUS_INVALID);
    cr_assert_eq(alloc_from("point", 48, &object), FH_STATUS_OK);
    cr_assert_eq(object.address % 16, 0);
    cr_assert(c.response->object->small);
    cr_assert_eq(read_object(&object, 3, 4), FH_STATUS_OK);
    cr_assert_eq(memcmp(c.body, "rt\0\0", 4), 0);
    cr_assert_eq(destroy("point"), FH_STATUS_BUSY);
    cr_assert_eq(free_object(&object), FH_STATUS_OK);
    cr_assert_eq(destroy("point"), FH_STATUS_OK);
    cr_assert_eq(destroy("point"), FH_STATUS_NOT_FOUND);
    cr_assert_eq(alloc_from("point", 1, &object), FH_STATUS_NOT_FOUND);
    assert_unharmed();
}

Test(wire_caches, parameters_out_of_range_are_refused)
{
    static char name[257], body[100000];
    Farheap__V1__CacheCreate m = FARHEAP__V1__CACHE_CREATE__INIT;
    Farheap__V1__CacheDestroy d = FARHEAP__V1__CACHE_DESTROY__INIT;
    Farheap__V1__Handle object;

    memset(name, 'n', 256);
    cr_assert_eq(create("", 8, 0, ""), FH_STATUS_INVALID);
    cr_assert_eq(create(name, 8, 0, ""), FH_STATUS_INVALID);
    cr_assert_eq(create("a", 0, 0, ""), FH_STATUS_INVALID);
    cr_assert_eq(create("a", 32769, 0, ""), FH_STATUS_TOO_LARGE);
    cr_assert_eq(create("a", UINT64_MAX, UINT32_MAX, ""), FH_STATUS_TOO_LARGE);
    cr_assert_eq(create("a", 8, 3, ""), FH_STATUS_INVALID);
    cr_assert_eq(create("a", 8, 0x80000000, ""), FH_STATUS_INVALID);
    cr_assert_eq(create("a", 8, 0, "123456789"), FH_STATUS_INVALID);
    cr_assert_eq(destroy(""), FH_STATUS_INVALID);
    cr_assert_eq(destroy(name), FH_STATUS_INVALID);
    cr_assert_eq(alloc_from(name, 1, &object), FH_STATUS_NOT_FOUND);
    m.name = bytes_of("a");
    m.object_size = 32768;
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_CACHE_CREATE, &m, body, sizeof body),
                 FH_STATUS_INVALID, "a body in pieces is taken from the wire and refused");
    d.name = bytes_of("a");
    cr_assert_eq(call(FARHEAP__V1__REQUEST__OP_CACHE_DESTROY, &d, "x", 1), FH_STATUS_INVALID);
    name[255] = 0;
    cr_assert_eq(create(name, 1, 4096, "x"), FH_STATUS_OK);
    assert_unharmed();
}

Test(wire_caches, a_zone_has_so_many_and_no_more)
{
    char name[32];

    for (int i = 0; i < 256; i++) {
        snprintf(name, sizeof name, "cache %d", i);
        cr_assert_eq(create(name, 8, 0, ""), FH_STATUS_OK);
    }
    cr_assert_eq(create("one more", 8, 0, ""), FH_STATUS_QUOTA);
    cr_assert_eq(destroy("cache 100"), FH_STATUS_OK);
    cr_assert_eq(create("one more", 8, 0, ""), FH_STATUS_OK);
    assert_unharmed();
}

Test(wire_zones, a_cache_belongs_to_its_zone, .timeout = 60)
{
    static struct server_process server;
    static const char *const flags[] = {"--zones=2", NULL};
    Farheap__V1__Handle object;

    cr_assert_eq(server_process_start(&server, FARHEAPD, flags), 0);
    cr_assert_eq(wire_client_connect(&c, server.ports[0]), 0);
    cr_assert_eq(wire_client_hello(&c, 0), 0);
    cr_assert_eq(create("here", 8, 0, ""), FH_STATUS_OK);
    wire_client_close(&c);
    cr_assert_eq(wire_client_connect(&c, server.ports[0]), 0);
    cr_assert_eq(wire_client_hello(&c, 1), 0);
    cr_assert_eq(alloc_from("here", 8, &object), FH_STATUS_NOT_FOUND);
    cr_assert_eq(create("here", 16, 0, ""), FH_STATUS_OK);
    cr_assert_eq(alloc_from("here", 16, &object), FH_STATUS_OK);
    cr_assert_eq(object.address >> 48, 1u);
    wire_client_close(&c);
    server_process_fini(&server);
}
