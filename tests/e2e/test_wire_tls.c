/* TLS as it is on the wire: how many records answers take, and answers that the socket takes bit by bit. */
#include <criterion/criterion.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/frame.h"
#include "proto/status.h"
#include "tests/support/wire/certificates.h"
#include "tests/support/wire/server_process.h"
#include "tests/support/wire/wire_client.h"

enum { MIB = 1 << 20, SMALL = 32 };

static struct server_process server;
static struct wire_client plain; /* for its socket */
static struct fh_head_arena arena;
static char folder[] = "/tmp/farheap-wire-tls-XXXXXX";
static SSL_CTX *context;
static SSL *ssl;
static unsigned records; /* that came */

static void note_record(int write, int version, int type, const void *bytes, size_t size, SSL *s,
                        void *ctx)
{
    (void)version;
    (void)s;
    (void)ctx;
    if (!write && type == SSL3_RT_HEADER && size > 0)
        records += *(const uint8_t *)bytes == SSL3_RT_APPLICATION_DATA;
}

static void setup(void)
{
    char cert[96], key[96];
    const char *flags[] = {"--listen=127.0.0.1:0", "--memory=64MiB", cert, key, NULL};

    plain.fd = -1;
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(certificates_make(folder), 0, "see %s/log", folder);
    (void)snprintf(cert, sizeof cert, "--tls-cert=%s/server.pem", folder);
    (void)snprintf(key, sizeof key, "--tls-key=%s/server.key", folder);
    cr_assert_eq(server_process_start(&server, FARHEAPD, flags), 0, "see %s", server.log_path);
    context = SSL_CTX_new(TLS_client_method());
    cr_assert_not_null(context);
    cr_assert_eq(wire_client_connect(&plain, server.ports[0]), 0);
    ssl = SSL_new(context);
    cr_assert_eq(SSL_set_fd(ssl, plain.fd), 1);
    SSL_set_connect_state(ssl);
}

static void teardown(void)
{
    char command[64];

    SSL_free(ssl);
    SSL_CTX_free(context);
    wire_client_close(&plain);
    server_process_fini(&server);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(wire_tls, .init = setup, .fini = teardown, .timeout = 300);

/* Waits until the socket is ready for what this call wanted; fails when it wanted nothing. */
static void wait_for(int returned)
{
    int error = SSL_get_error(ssl, returned);
    struct pollfd p = {.fd = plain.fd, .events = error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN};

    cr_assert(error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE, "TLS: %d", error);
    cr_assert_eq(poll(&p, 1, WIRE_TIMEOUT_MS), 1, "nothing comes");
}

/* At most 16 KiB, so one record. */
static void say(const void *bytes, size_t size)
{
    int rc;

    while ((rc = SSL_write(ssl, bytes, (int)size)) <= 0)
        wait_for(rc);
}

static void hear(uint8_t *bytes, size_t size)
{
    while (size > 0) {
        int rc = SSL_read(ssl, bytes, size < 5000 ? (int)size : 5000);
        if (rc <= 0) {
            wait_for(rc);
            continue;
        }
        bytes += rc;
        size -= (size_t)rc;
    }
}

/* One answer; its body goes to `body`, at most `cap` bytes. Returns its size. */
static size_t hear_answer(uint64_t id, uint8_t *body, size_t cap)
{
    uint8_t bytes[FH_HEAD_MAX];
    struct fh_frame_prefix prefix;
    fh_response_head *head;

    hear(bytes, FH_FRAME_PREFIX_SIZE);
    cr_assert_eq(fh_frame_prefix_load(bytes, FH_HEAD_MAX, FH_BODY_MAX, &prefix), 0);
    hear(bytes, prefix.head_size);
    cr_assert_eq(fh_head_unpack_response(&arena, bytes, prefix.head_size, &head), 0);
    cr_assert_eq(head->id, id);
    cr_assert_eq(head->status, FH_STATUS_OK);
    cr_assert_leq(prefix.body_size, cap);
    hear(body, prefix.body_size);
    return prefix.body_size;
}

static size_t get_pack(uint8_t *out, uint64_t id, const char *name)
{
    Farheap__V1__Get get = FARHEAP__V1__GET__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;

    get.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)(uintptr_t)name};
    head.id = id;
    head.op_case = FARHEAP__V1__REQUEST__OP_GET;
    head.get = &get;
    return fh_head_pack_request(&head, 0, out, 256);
}

static void put(const char *name, const uint8_t *body, uint32_t size)
{
    Farheap__V1__Put m = FARHEAP__V1__PUT__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    uint8_t bytes[256];

    m.name = (ProtobufCBinaryData){strlen(name), (uint8_t *)(uintptr_t)name};
    head.id = 7;
    head.op_case = FARHEAP__V1__REQUEST__OP_PUT;
    head.put = &m;
    say(bytes, fh_head_pack_request(&head, size, bytes, sizeof bytes));
    for (uint32_t at = 0; at < size; at += 16384)
        say(body + at, size - at < 16384 ? size - at : 16384);
    cr_assert_eq(hear_answer(7, NULL, 0), 0u);
}

static void join(void)
{
    Farheap__V1__Hello hello = FARHEAP__V1__HELLO__INIT;
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    uint8_t bytes[256];

    hello.version = 1;
    hello.zone = UINT32_MAX;
    head.id = 1;
    head.op_case = FARHEAP__V1__REQUEST__OP_HELLO;
    head.hello = &hello;
    say(bytes, fh_head_pack_request(&head, 0, bytes, sizeof bytes));
    cr_assert_eq(hear_answer(1, bytes, sizeof bytes), 0u);
    SSL_set_msg_callback(ssl, note_record);
}

static uint8_t *noise(size_t size)
{
    uint8_t *bytes = malloc(size);
    uint64_t x = 88172645463325252;

    cr_assert_not_null(bytes);
    for (size_t i = 0; i < size; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = (uint8_t)x;
    }
    return bytes;
}

/* The requests come in one record, so they are answered in one turn. */
Test(wire_tls, small_answers_of_a_turn_make_one_record)
{
    uint8_t requests[SMALL * 64], body[64];
    size_t size = 0;

    join();
    put("small", (const uint8_t *)"0123456789", 10);
    for (uint64_t i = 0; i < SMALL; i++)
        size += get_pack(requests + size, 100 + i, "small");
    records = 0;
    say(requests, size);
    for (uint64_t i = 0; i < SMALL; i++)
        cr_assert_eq(hear_answer(100 + i, body, sizeof body), 10u);
    cr_assert_eq(records, 1u);
}

Test(wire_tls, a_large_answer_goes_in_full_records)
{
    uint8_t *sent = noise(MIB), *got = calloc(1, MIB), request[256];

    join();
    put("large", sent, MIB);
    records = 0;
    say(request, get_pack(request, 9, "large"));
    cr_assert_eq(hear_answer(9, got, MIB), (size_t)MIB);
    cr_assert_eq(memcmp(sent, got, MIB), 0);
    cr_assert_geq(records, 64u);
    /* A window of 256 KiB, a turn, or a socket that takes no more may each end one early. */
    cr_assert_leq(records, 64u + 64u);
    free(sent);
    free(got);
}

/* Many times more than the socket holds, from the first byte on: each record may have to be offered again. */
Test(wire_tls, answers_that_are_taken_bit_by_bit_are_right)
{
    enum { SIZE = 5 * MIB + 4321, TIMES = 6 };
    static const uint8_t few[] = "some bytes";
    uint8_t *sent = noise(SIZE), *got = calloc(1, SIZE), requests[2048];
    size_t size = 0;

    join();
    put("large", sent, SIZE);
    put("small", few, sizeof few);
    for (uint64_t i = 0; i < TIMES; i++) {
        size += get_pack(requests + size, 2 * i, "large");
        size += get_pack(requests + size, 2 * i + 1, "small");
    }
    say(requests, size);
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    for (uint64_t i = 0; i < TIMES; i++) {
        cr_assert_eq(hear_answer(2 * i, got, SIZE), (size_t)SIZE);
        cr_assert_eq(memcmp(sent, got, SIZE), 0, "round %u", (unsigned)i);
        cr_assert_eq(hear_answer(2 * i + 1, got, SIZE), sizeof few);
        cr_assert_eq(memcmp(few, got, sizeof few), 0);
        memset(got, 0, SIZE);
    }
    free(sent);
    free(got);
}
