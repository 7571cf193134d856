/* A stream of requests of all sizes, cut into pieces anywhere: every one is answered, in step. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/frame.h"
#include "proto/status.h"
#include "tests/support/rng.h"
#include "tests/support/wire/wire_fixture.h"

enum { FRAMES = 60, BODY_MAX = 80000, STREAM_MAX = FRAMES * (BODY_MAX + 100) };

static struct wire_fixture f;
static struct wire_client client;
static uint8_t *stream, body[BODY_MAX];
static size_t stream_size, sizes[FRAMES];

static void setup(void)
{
    static const char *const flags[] = {NULL};

    client.fd = -1;
    stream = malloc(STREAM_MAX);
    cr_assert_not_null(stream);
    cr_assert_eq(wire_fixture_start(&f, FARHEAPD, flags), 0);
    cr_assert_eq(wire_fixture_join(&f, &client), 0);
}

static void teardown(void)
{
    wire_client_close(&client);
    wire_fixture_fini(&f);
    free(stream);
}

TestSuite(wire_pieces, .init = setup, .fini = teardown, .timeout = 300);

static void body_fill(size_t i, size_t size)
{
    for (size_t k = 0; k < size; k++)
        body[k] = (uint8_t)(i * 31 + k * 7 + k / 256);
}

/* A put of its own name, behind what the stream has. Small, around the limits of a slab, of what is
 * buffered whole, and above. */
static void stream_add_put(struct rng *r, size_t i)
{
    static const size_t around[] = {0, 64, 4096, 16384, 32768, 65536, BODY_MAX - 40};
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    Farheap__V1__Put put = FARHEAP__V1__PUT__INIT;
    char name[16];

    sizes[i] = around[rng_below(r, sizeof around / sizeof around[0])] + rng_below(r, 40);
    body_fill(i, sizes[i]);
    put.name.len = (size_t)snprintf(name, sizeof name, "piece/%zu", i);
    put.name.data = (uint8_t *)name;
    head.id = 1000 + i;
    head.op_case = FARHEAP__V1__REQUEST__OP_PUT;
    head.put = &put;
    stream_size += fh_head_pack_request(&head, (uint32_t)sizes[i], stream + stream_size,
                                        FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX);
    memcpy(stream + stream_size, body, sizes[i]);
    stream_size += sizes[i];
}

/* Sends the stream in pieces of 1 .. 2^bits bytes. */
static void stream_send(struct rng *r, uint32_t bits)
{
    for (size_t at = 0; at < stream_size;) {
        size_t part = rng_log_uniform(r, bits);
        if (part > stream_size - at)
            part = stream_size - at;
        cr_assert_eq(wire_client_send_raw(&client, stream + at, part), 0);
        at += part;
    }
}

static void answers_take(void)
{
    bool seen[FRAMES] = {false};

    for (size_t n = 0; n < FRAMES; n++) {
        cr_assert_eq(wire_client_receive(&client), 0);
        uint64_t i = client.response->id - 1000;
        cr_assert_lt(i, (uint64_t)FRAMES);
        cr_assert_not(seen[i]);
        seen[i] = true;
        cr_assert_eq(client.response->status, FH_STATUS_OK, "frame %zu", (size_t)i);
        cr_assert_eq(client.response->object->size, sizes[i]);
    }
}

static void stored_check(void)
{
    char name[16];

    for (size_t i = 0; i < FRAMES; i++) {
        (void)snprintf(name, sizeof name, "piece/%zu", i);
        body_fill(i, sizes[i]);
        cr_assert_eq(wire_client_get(&client, name, 0, 0), FH_STATUS_OK);
        cr_assert_eq(client.body_size, sizes[i]);
        cr_assert_eq(memcmp(client.body, body, sizes[i]), 0, "%s", name);
    }
}

static void walk(uint32_t bits)
{
    struct rng r = rng_from_env("pieces");

    for (int round = 0; round < 3; round++) {
        stream_size = 0;
        for (size_t i = 0; i < FRAMES; i++)
            stream_add_put(&r, i);
        stream_send(&r, bits);
        answers_take();
        stored_check();
    }
}

Test(wire_pieces, cut_into_small_pieces)
{
    walk(12);
}

Test(wire_pieces, cut_into_pieces_of_every_size)
{
    walk(18);
}

Test(wire_pieces, sent_whole)
{
    walk(24);
}

/* So much that it fills what is kept and more, in one piece, and then silence: no further event tells
 * the server to look again. */
static void burst_walk(size_t body_size, size_t first_piece)
{
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    Farheap__V1__Ping ping = FARHEAP__V1__PING__INIT;

    stream_size = 0;
    head.op_case = FARHEAP__V1__REQUEST__OP_PING;
    head.ping = &ping;
    body_fill(1, body_size);
    for (size_t i = 0; i < 500; i++) {
        head.id = 1000 + i;
        stream_size += fh_head_pack_request(&head, (uint32_t)body_size, stream + stream_size,
                                            FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX);
        memcpy(stream + stream_size, body, body_size);
        stream_size += body_size;
    }
    cr_assert_eq(wire_client_send_raw(&client, stream, first_piece), 0);
    const struct timespec while_it_is_kept = {.tv_nsec = 20000000};
    nanosleep(&while_it_is_kept, NULL);
    cr_assert_eq(wire_client_send_raw(&client, stream + first_piece, stream_size - first_piece), 0);
    for (size_t i = 0; i < 500; i++) {
        cr_assert_eq(wire_client_receive(&client), 0);
        cr_assert_eq(client.response->id, 1000 + i);
        cr_assert_eq(client.body_size, body_size);
    }
}

Test(wire_pieces, a_burst_behind_an_unfinished_request_is_answered_without_more_input)
{
    static const size_t sizes_tried[] = {20, 220, 300, 1000, 3000, 5000};

    for (size_t i = 0; i < sizeof sizes_tried / sizeof sizes_tried[0]; i++)
        for (size_t piece = 1; piece < 20; piece += 6)
            burst_walk(sizes_tried[i], piece);
}

/* The last request is whole, then the peer ends: it is still answered. */
Test(wire_pieces, what_is_whole_at_the_end_of_the_stream_is_answered)
{
    struct rng r = rng_from_env("pieces");

    for (size_t i = 0; i < FRAMES; i++)
        stream_add_put(&r, i);
    stream_send(&r, 17);
    cr_assert_eq(wire_client_send_end(&client), 0);
    answers_take();
    cr_assert_eq(wire_client_wait_closed(&client, WIRE_TIMEOUT_MS), 0);
}
