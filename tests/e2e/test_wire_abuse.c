/* A real server against peers that lie, stop in the middle, or never listen: the one is closed, the
 * others do not notice. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/frame.h"
#include "proto/status.h"
#include "tests/support/wire/wire_fixture.h"

enum { MIB = 1 << 20, CLOSE_MS = 100000, OUTPUT_CLOSE_MS = 200000 };

static struct wire_fixture f;
static struct wire_client bad;

static void setup(void)
{
    static const char *const flags[] = {"--frame-timeout=1s", "--handshake-timeout=2s",
                                        "--drain-timeout=3s", NULL};

    bad.fd = -1;
    cr_assert_eq(wire_fixture_start(&f, FARHEAPD, flags), 0);
}

static void teardown(void)
{
    wire_client_close(&bad);
    wire_fixture_fini(&f);
}

TestSuite(wire_abuse, .init = setup, .fini = teardown, .timeout = 300);

static void assert_unharmed(void)
{
    const char *harm = wire_fixture_harm(&f);

    cr_assert_null(harm, "%s", harm);
}

static void join(void)
{
    cr_assert_eq(wire_fixture_join(&f, &bad), 0);
}

static void be_a_stranger(void)
{
    cr_assert_eq(wire_client_connect(&bad, f.server.ports[0]), 0);
}

/* A frame whose prefix is right, around these bytes of head. The peer may be closed already. */
static void send_head(const void *head, size_t size)
{
    wire_client_send_prefix(&bad, (uint32_t)size, 0);
    wire_client_send_raw(&bad, head, size);
}

static void assert_closed_at_once(void)
{
    cr_assert_eq(wire_client_wait_closed(&bad, CLOSE_MS), 0, "the liar's connection is still open");
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

Test(wire_abuse, a_head_larger_than_its_limit_closes)
{
    static const uint32_t sizes[] = {FH_HEAD_MAX + 1, 0x7fffffff, 0x80000000, UINT32_MAX};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        join();
        wire_client_send_prefix(&bad, sizes[i], 0);
        assert_closed_at_once();
        wire_client_close(&bad);
    }
    assert_unharmed();
}

Test(wire_abuse, a_head_larger_than_a_strangers_closes_before_hello)
{
    be_a_stranger();
    wire_client_send_prefix(&bad, FH_HEAD_MAX_STRANGER + 1, 0);
    assert_closed_at_once();
    assert_unharmed();
}

Test(wire_abuse, a_body_larger_than_its_limit_closes)
{
    static const uint32_t sizes[] = {FH_BODY_MAX + 1, UINT32_MAX};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        join();
        wire_client_send_prefix(&bad, 10, sizes[i]);
        assert_closed_at_once();
        wire_client_close(&bad);
    }
    assert_unharmed();
}

Test(wire_abuse, an_empty_head_closes)
{
    join();
    wire_client_send_prefix(&bad, 0, 0);
    assert_closed_at_once();
    assert_unharmed();
}

Test(wire_abuse, a_head_that_is_no_message_closes)
{
    static const struct {
        size_t size;
        const char *bytes;
    } heads[] = {
        {4, "\xff\xff\xff\xff"},
        {3, "\x08\x01\x5c"},                         /* a group's end */
        {2, "\x08\x01"},                             /* no operation */
        {5, "\x08\x01\x5a\x05\x00"},                 /* an operation cut short */
        {7, "\x08\x01\x5a\x00\xb8\x3e\x01"},         /* an unknown field beside the operation */
        {6, "\x08\x01\x5a\x02\x78\x01"},             /* one inside it */
        {9, "\x08\x01\xaa\x01\x04\x0a\x02\x78\x01"}, /* one inside its handle */
        {5, "\x08\x01\x82\x19\x00"},                 /* an operation of another version */
        {6, "\x08\x01\x5a\x00\x6a\x00"},             /* two operations */
    };

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        join();
        send_head(heads[i].bytes, heads[i].size);
        assert_closed_at_once();
        wire_client_close(&bad);
    }
    assert_unharmed();
}

/* Heads that protobuf would expand: unknown varints, empty messages, a number repeated. */
Test(wire_abuse, a_head_made_to_expand_closes)
{
    static const char *const pairs[] = {"\x78\x01", "\x52", "\x08\x01"};
    static char head[FH_HEAD_MAX];

    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        for (size_t at = 0; at + 2 <= sizeof head; at += 2)
            memcpy(head + at, pairs[i], 2);
        join();
        send_head(head, sizeof head);
        assert_closed_at_once();
        wire_client_close(&bad);
    }
    assert_unharmed();
}

Test(wire_abuse, other_protocols_are_closed)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static const char tls[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

    be_a_stranger();
    wire_client_send_raw(&bad, http, sizeof http - 1);
    assert_closed_at_once();
    wire_client_close(&bad);
    be_a_stranger();
    wire_client_send_raw(&bad, tls, sizeof tls - 1);
    assert_closed_at_once();
    assert_unharmed();
}

Test(wire_abuse, a_request_before_hello_is_told_so_and_closed)
{
    be_a_stranger();
    cr_assert_eq(wire_client_ping(&bad, NULL, 0), FH_STATUS_UNAUTHENTICATED);
    assert_closed_at_once();
    assert_unharmed();
}

Test(wire_abuse, a_second_hello_closes)
{
    join();
    cr_assert_neq(wire_client_hello(&bad, WIRE_ZONE_ANY), 0);
    assert_closed_at_once();
    assert_unharmed();
}

Test(wire_abuse, a_frame_cut_anywhere_by_a_close_leaves_nothing)
{
    Farheap__V1__Put put = FARHEAP__V1__PUT__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    uint8_t bytes[256] = {0};

    put.name = (ProtobufCBinaryData){4, (uint8_t *)(char[]){"half"}};
    head.id = 9;
    head.op_case = FARHEAP__V1__REQUEST__OP_PUT;
    head.put = &put;
    size_t size = fh_head_pack_request(&head, 100, bytes, sizeof bytes) + 100;
    for (size_t cut = 1; cut < size; cut += cut < 30 ? 1 : 13) {
        join();
        cr_assert_eq(wire_client_send_raw(&bad, bytes, cut), 0);
        wire_client_close(&bad);
    }
    cr_assert_eq(wire_client_get(&f.good, "half", 0, 0), FH_STATUS_NOT_FOUND);
    assert_unharmed();
}

/* More than the server could hold if anything of them stayed. */
Test(wire_abuse, a_reset_in_the_middle_of_large_bodies_leaves_nothing)
{
    enum { BODY = 8 * MIB, TIMES = 24 };
    Farheap__V1__Put put = FARHEAP__V1__PUT__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    uint8_t prefix[256];
    uint8_t *body = calloc(1, BODY);

    cr_assert_not_null(body);
    memset(body, 0x77, BODY);
    put.name = (ProtobufCBinaryData){4, (uint8_t *)(char[]){"half"}};
    head.id = 9;
    head.op_case = FARHEAP__V1__REQUEST__OP_PUT;
    head.put = &put;
    size_t size = fh_head_pack_request(&head, BODY, prefix, sizeof prefix);
    for (int i = 0; i < TIMES; i++) {
        join();
        cr_assert_eq(wire_client_send_raw(&bad, prefix, size), 0);
        cr_assert_eq(wire_client_send_raw(&bad, body, BODY - 1), 0);
        wire_client_reset(&bad);
    }
    cr_assert_eq(wire_client_get(&f.good, "half", 0, 0), FH_STATUS_NOT_FOUND);
    f.good.timeout_ms = 20000;
    for (int i = 0; i < 4; i++)
        cr_assert_eq(wire_client_put(&f.good, (const char *[]){"p", "q", "r", "s"}[i], body, BODY),
                     0);
    free(body);
    assert_unharmed();
}

Test(wire_abuse, silence_in_the_middle_of_a_frame_is_closed_at_its_deadline)
{
    static const uint8_t half_prefix[4] = {20};
    struct timespec began, ended;
    Farheap__V1__Put put = FARHEAP__V1__PUT__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    uint8_t bytes[256] = {0};

    join();
    clock_gettime(CLOCK_MONOTONIC, &began);
    wire_client_send_raw(&bad, half_prefix, sizeof half_prefix);
    assert_closed_at_once();
    clock_gettime(CLOCK_MONOTONIC, &ended);
    cr_assert_gt((double)(ended.tv_sec - began.tv_sec) +
                     (double)(ended.tv_nsec - began.tv_nsec) / 1e9,
                 0.3, "closed before its deadline");
    wire_client_close(&bad);

    put.name = (ProtobufCBinaryData){4, (uint8_t *)(char[]){"half"}};
    head.id = 9;
    head.op_case = FARHEAP__V1__REQUEST__OP_PUT;
    head.put = &put;
    size_t size = fh_head_pack_request(&head, MIB, bytes, sizeof bytes);
    join();
    wire_client_send_raw(&bad, bytes, size + 10); /* ten bytes of a body of 1 MiB */
    assert_closed_at_once();
    assert_unharmed();
}

/* Stopped for longer than any deadline, the server finds all that was due: it was not the peer that
 * was slow. Should the first half take a second on its way, it was; then it is tried again. */
Test(wire_abuse, time_in_which_the_server_did_not_run_is_not_held_against_the_peer)
{
    enum { HALF = 100000 };
    static uint8_t body[2 * HALF];
    Farheap__V1__Put put = FARHEAP__V1__PUT__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    uint8_t bytes[256];
    int rc = -1;

    put.name = (ProtobufCBinaryData){5, (uint8_t *)(char[]){"whole"}};
    head.id = 9;
    head.op_case = FARHEAP__V1__REQUEST__OP_PUT;
    head.put = &put;
    size_t size = fh_head_pack_request(&head, sizeof body, bytes, sizeof bytes);
    for (int i = 0; i < 10 && rc != 0; i++) {
        join();
        rc = wire_client_send_raw(&bad, bytes, size);
        if (rc == 0)
            rc = wire_client_send_raw(&bad, body, HALF);
        pause_ms(50);
        server_process_signal(&f.server, SIGSTOP);
        pause_ms(1500);
        server_process_signal(&f.server, SIGCONT);
        pause_ms(150);
        if (rc == 0)
            rc = wire_client_send_raw(&bad, body, HALF);
        if (rc == 0)
            rc = wire_client_receive(&bad);
        wire_client_close(&bad);
    }
    cr_assert_eq(rc, 0, "closed after a stop of the server");
    assert_unharmed();
}

/* Each byte comes before the last one's deadline, the frame does not. */
Test(wire_abuse, a_byte_now_and_then_does_not_extend_the_deadline)
{
    int rc = 0;

    join();
    wire_client_send_prefix(&bad, 100, 0);
    for (int i = 0; i < 400 && rc == 0; i++) {
        pause_ms(250);
        rc = wire_client_send_raw(&bad, "\x08", 1);
    }
    cr_assert_neq(rc, 0, "still open after a hundred deadlines");
    assert_unharmed();
}

Test(wire_abuse, strangers_who_say_nothing_are_closed)
{
    enum { STRANGERS = 100 };
    static struct wire_client strangers[STRANGERS];

    for (int i = 0; i < STRANGERS; i++)
        cr_assert_eq(wire_client_connect(&strangers[i], f.server.ports[0]), 0);
    for (int i = 0; i < STRANGERS; i++) {
        cr_assert_eq(wire_client_wait_closed(&strangers[i], CLOSE_MS), 0);
        wire_client_close(&strangers[i]);
    }
    assert_unharmed();
}

Test(wire_abuse, a_frame_sent_byte_by_byte_is_a_frame)
{
    static const uint8_t ping[] = {4, 0, 0, 0, 1, 0, 0, 0, 0x08, 0x05, 0x5a, 0x00, 'x'};

    join();
    for (size_t i = 0; i < sizeof ping; i++) {
        cr_assert_eq(wire_client_send_raw(&bad, &ping[i], 1), 0);
        pause_ms(5);
    }
    cr_assert_eq(wire_client_receive(&bad), 0);
    cr_assert_eq(bad.response->id, 5u);
    cr_assert_eq(bad.response->status, FH_STATUS_OK);
    cr_assert_eq(bad.body_size, 1u);
    assert_unharmed();
}

Test(wire_abuse, a_request_without_an_id_gets_an_answer_without_one)
{
    join();
    send_head("\x5a\x00", 2);
    cr_assert_eq(wire_client_receive(&bad), 0);
    cr_assert_eq(bad.response->id, 0u);
    cr_assert_eq(bad.response->status, FH_STATUS_OK);
    assert_unharmed();
}

Test(wire_abuse, an_end_right_after_a_request_is_an_ordinary_close)
{
    join();
    send_head("\x08\x05\x5a\x00", 4);
    cr_assert_eq(wire_client_send_end(&bad), 0);
    assert_closed_at_once();
    assert_unharmed();
}

Test(wire_abuse, a_thousand_requests_in_one_piece_are_all_answered)
{
    enum { COUNT = 1000, SIZE = 8 + 5 };
    static uint8_t bytes[COUNT * SIZE];
    static bool answered[COUNT];

    for (unsigned i = 0; i < COUNT; i++) {
        uint8_t *at = bytes + i * SIZE;
        unsigned id = i + 1000; /* two bytes of varint */
        memcpy(at,
               (uint8_t[SIZE]){5, 0, 0, 0, 0, 0, 0, 0, 0x08, (uint8_t)(id | 0x80),
                               (uint8_t)(id >> 7), 0x5a, 0},
               SIZE);
    }
    join();
    cr_assert_eq(wire_client_send_raw(&bad, bytes, sizeof bytes), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        cr_assert_eq(wire_client_receive(&bad), 0);
        cr_assert_eq(bad.response->status, FH_STATUS_OK);
        cr_assert_geq(bad.response->id, 1000u);
        cr_assert_lt(bad.response->id, 1000u + COUNT);
        cr_assert_not(answered[bad.response->id - 1000], "answered twice");
        answered[bad.response->id - 1000] = true;
    }
    assert_unharmed();
}

/* Asks for 64 MiB again and again and takes none of it. */
Test(wire_abuse, a_peer_that_never_reads_costs_little_and_is_closed)
{
    enum { ASKED = 64, GROWTH_MAX = 24 * MIB };
    Farheap__V1__Handle handle = FARHEAP__V1__HANDLE__INIT;
    Farheap__V1__Read read = FARHEAP__V1__READ__INIT;
    int sockets_before = server_process_sockets(&f.server);
    size_t rss_before = server_process_rss(&f.server);
    int waited_ms = 0;

    cr_assert_eq(wire_client_connect(&bad, f.server.ports[0]), 0);
    cr_assert_eq(wire_client_shrink_receive(&bad), 0);
    cr_assert_eq(wire_client_hello(&bad, WIRE_ZONE_ANY), 0);
    cr_assert_eq(wire_client_alloc(&bad, 64 * MIB, &handle), 0);
    read.handle = &handle;
    read.size = 64 * MIB;
    for (int i = 0; i < ASKED; i++) {
        fh_request_head head = FARHEAP__V1__REQUEST__INIT;
        head.op_case = FARHEAP__V1__REQUEST__OP_READ;
        head.read = &read;
        cr_assert_eq(wire_client_send(&bad, &head, NULL, 0), 0);
    }
    cr_assert_eq(server_process_sockets(&f.server), sockets_before + 1);
    while (server_process_sockets(&f.server) > sockets_before) {
        cr_assert_lt(waited_ms, OUTPUT_CLOSE_MS, "still open");
        cr_assert_lt(server_process_rss(&f.server), rss_before + GROWTH_MAX);
        if (waited_ms % 1000 == 0)
            cr_assert_eq(wire_client_ping(&f.good, "x", 1), 0);
        pause_ms(50);
        waited_ms += 50;
    }
    assert_unharmed();
}
