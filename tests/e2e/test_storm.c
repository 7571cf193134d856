/*
 * Many peers at once that break off, do not read, send a byte now and then, or send garbage, while
 * pages are read and written underneath. A client that behaves checks its bytes meanwhile; in the
 * end nothing is left of the storm: no connection, no request, no page.
 *
 *   FH_STORM=20 tests/e2e-storm       twenty times as much as the gate tries: 20 000 disconnects,
 *                                     500 that do not read, 1000 dribblers, 100 000 pieces of garbage
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/farheap.h"
#include "proto/frame.h"
#include "proto/status.h"
#include "tests/support/rng.h"
#include "tests/support/wire/wire_fixture.h"

enum {
    MIB = 1 << 20,
    NAMES = 48,           /* of the storm: 24 MiB and more, on 16 MiB of memory */
    STEADY = 12,          /* objects of the client that behaves */
    STEADY_MAX = 300000,  /* bytes of the largest */
    STREAM_MAX = 3 * MIB, /* of requests that one peer sends at most */
    WAIT_MS = 200000,
};

/* What a sanitizer keeps of freed memory comes on top. */
#if defined(FH_DEEP_CHECKS) && FH_DEEP_CHECKS
static const size_t growth_max = (size_t)800 << 20;
#else
static const size_t growth_max = (size_t)96 << 20;
#endif

static struct wire_fixture f;
static struct rng dice;
static uint8_t stream[STREAM_MAX + FH_HEAD_MAX], body[STEADY_MAX];
static uint32_t steady_version[STEADY];
static size_t rss_before;

/* How many, of what the gate tries `few` and FH_STORM=20 tries `many`. */
static uint32_t how_many(uint32_t few, uint32_t many)
{
    const char *text = getenv("FH_STORM");
    uint64_t factor = text ? strtoull(text, NULL, 10) : 1;

    return factor * few < many ? (uint32_t)factor * few : many;
}

static void setup(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    dice = rng_from_env("storm");
    memset(steady_version, 0, sizeof steady_version);
    f.good.fd = -1;
}

static void start(const char *patience)
{
    const char *flags[] = {"--swap-size=256MiB", "--max-connections=4000", patience, NULL};

    cr_assert_eq(wire_fixture_start(&f, FARHEAPD, flags), 0);
    rss_before = server_process_rss(&f.server);
}

static void teardown(void)
{
    wire_fixture_fini(&f);
}

TestSuite(storm, .init = setup, .fini = teardown, .timeout = 3000);

/* --- the client that behaves --- */

static size_t steady_size(uint32_t i)
{
    static const size_t sizes[] = {0, 64, 5000, 70000, STEADY_MAX};

    return sizes[i % (sizeof sizes / sizeof sizes[0])];
}

static void steady_fill(uint32_t i, uint32_t version)
{
    for (size_t k = 0; k < steady_size(i); k++)
        body[k] = (uint8_t)(i * 37 + version * 101 + k * 7 + k / 509);
}

/* Reads one of its objects, and writes it anew. */
static void steady_check(void)
{
    uint32_t i = (uint32_t)rng_below(&dice, STEADY);
    char name[16];

    snprintf(name, sizeof name, "steady/%u", i);
    if (steady_version[i] > 0) {
        steady_fill(i, steady_version[i]);
        int rc = wire_client_get(&f.good, name, 0, 0);
        cr_assert_eq(rc, FH_STATUS_OK, "get: %d", rc);
        cr_assert_eq(f.good.body_size, steady_size(i));
        cr_assert_eq(memcmp(f.good.body, body, steady_size(i)), 0, "wrong bytes in %s", name);
    }
    steady_fill(i, ++steady_version[i]);
    int rc = wire_client_put(&f.good, name, body, steady_size(i));
    cr_assert_eq(rc, FH_STATUS_OK, "put: %d", rc);
}

static int64_t info_of(fh_client *client, const char *group, const char *key)
{
    char *text;
    size_t size;

    cr_assert_eq(fh_view(client, "info", &text, &size), FH_OK, "%s", fh_errmsg(client));
    json_t *doc = json_loadb(text, size, 0, NULL);
    int64_t value = json_integer_value(json_object_get(json_object_get(doc, group), key));
    json_decref(doc);
    free(text);
    return value;
}

/* All queued output, and of each peer a window that it did not take, and what it sent ahead. */
static void assert_bounded(uint32_t peers)
{
    size_t rss = server_process_rss(&f.server);

    cr_assert_lt(rss, rss_before + growth_max + peers * (size_t)512 * 1024, "%zu MiB", rss >> 20);
}

static bool nothing_is_left(fh_client *client)
{
    char name[16];

    for (uint32_t i = 0; i < NAMES; i++) {
        int n = snprintf(name, sizeof name, "s/%u", i);
        fh_status status = fh_delete(client, name, (size_t)n, NULL);
        cr_assert(status == FH_OK || status == FH_NOT_FOUND, "%s", fh_errmsg(client));
    }
    return info_of(client, "objects", "count") == 0 &&
           info_of(client, "memory", "frames_used") == 0 && info_of(client, "pages", "slot") == 0;
}

/* All that was stored is deleted; what a peer sent whole before it died may still be put meanwhile. */
static void assert_nothing_is_left(void)
{
    static const char *const others[] = {"kept", "later"};
    fh_client *client;
    char url[64];

    for (int i = 0; i < STEADY; i++)
        steady_check();
    snprintf(url, sizeof url, "farheap://127.0.0.1:%u/?timeout=100s", f.server.ports[0]);
    cr_assert_eq(fh_open(url, NULL, &client), FH_OK);
    for (uint32_t i = 0; i < STEADY; i++) {
        char name[16];
        int n = snprintf(name, sizeof name, "steady/%u", i);
        (void)fh_delete(client, name, (size_t)n, NULL);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        (void)fh_delete(client, others[i], strlen(others[i]), NULL);
    while (!nothing_is_left(client)) /* the suite's timeout ends it */
        usleep(20000);
    while (server_process_sockets(&f.server) > 3) /* the listener, the two that behave */
        usleep(20000);
    fh_close(client);
    cr_assert(server_process_is_alive(&f.server));
    server_process_signal(&f.server, SIGTERM);
    cr_assert_eq(server_process_wait(&f.server, WAIT_MS), 0, "see %s", f.server.log_path);
}

/* --- what peers send --- */

static ProtobufCBinaryData storm_name(char text[16])
{
    int n = snprintf(text, 16, "s/%u", (unsigned)rng_below(&dice, NAMES));

    return (ProtobufCBinaryData){(size_t)n, (uint8_t *)text};
}

/* A request of any kind behind what the stream has; puts bring their bodies. */
static size_t stream_add(size_t at)
{
    static const size_t sizes[] = {0, 100, 4096, 30000, 65536, 65537, 500000, MIB};
    static uint8_t view[] = "info";
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    Farheap__V1__Put put = FARHEAP__V1__PUT__INIT;
    Farheap__V1__Get get = FARHEAP__V1__GET__INIT;
    Farheap__V1__List list = FARHEAP__V1__LIST__INIT;
    Farheap__V1__Info info = FARHEAP__V1__INFO__INIT;
    char name[16];
    size_t size = 0;

    head.id = rng_next(&dice) >> 1 | 1;
    switch (rng_below(&dice, 10)) {
    case 0:
        head.op_case = FARHEAP__V1__REQUEST__OP_LIST;
        head.list = &list;
        break;
    case 1:
        head.op_case = FARHEAP__V1__REQUEST__OP_INFO;
        head.info = &info;
        info.view = (ProtobufCBinaryData){4, view};
        break;
    case 2:
    case 3:
    case 4:
    case 5:
        size = sizes[rng_below(&dice, sizeof sizes / sizeof sizes[0])];
        put.name = storm_name(name);
        head.op_case = FARHEAP__V1__REQUEST__OP_PUT;
        head.put = &put;
        break;
    default:
        get.name = storm_name(name);
        head.op_case = FARHEAP__V1__REQUEST__OP_GET;
        head.get = &get;
        head.deadline_ms = rng_percent(&dice, 20) ? (uint32_t)rng_below(&dice, 20) : 0;
    }
    if (at + FH_HEAD_MAX + size > STREAM_MAX)
        return at;
    at += fh_head_pack_request(&head, (uint32_t)size, stream + at, FH_HEAD_MAX);
    memset(stream + at, (int)rng_next(&dice), size);
    return at + size;
}

/* As much as the socket takes at once. */
static void send_some(struct wire_client *c, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = send(c->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0)
            return;
        bytes += n;
        size -= (size_t)n;
    }
}

static void receive_some(struct wire_client *c, size_t most)
{
    static uint8_t sink[65536];

    while (most > 0) {
        ssize_t n = recv(c->fd, sink, most < sizeof sink ? most : sizeof sink, MSG_DONTWAIT);
        if (n <= 0)
            return;
        most -= (size_t)n;
    }
}

static void connect_peer(struct wire_client *c)
{
    int rc = wire_client_connect(c, f.server.ports[0]);

    cr_assert_eq(rc, 0, "cannot connect: %s", strerror(-rc));
}

static struct wire_client *peers_make(uint32_t count)
{
    struct wire_client *peers = calloc(count, sizeof *peers);

    cr_assert_not_null(peers);
    for (uint32_t i = 0; i < count; i++)
        connect_peer(&peers[i]);
    return peers;
}

/* Sends requests up to any byte, takes a part of the answers, and breaks off in any way. */
static void break_off(struct wire_client *c)
{
    size_t size = 0, requests = rng_log_uniform(&dice, 4);

    while (requests-- > 0)
        size = stream_add(size);
    send_some(c, stream, rng_percent(&dice, 30) ? size : rng_below(&dice, size + 1));
    if (rng_percent(&dice, 50))
        receive_some(c, rng_log_uniform(&dice, 22));
    switch (rng_below(&dice, 3)) {
    case 0:
        wire_client_reset(c);
        break;
    case 1:
        wire_client_send_end(c);
        receive_some(c, rng_log_uniform(&dice, 20));
        wire_client_close(c);
        break;
    default:
        wire_client_close(c);
    }
}

/* Twenty are open at a time, so that they meet; which goes next is chance. */
Test(storm, peers_that_break_off_at_any_byte_leave_nothing)
{
    enum { OPEN = 20 };
    static struct wire_client peers[OPEN];
    uint32_t count = how_many(1000, 20000);

    start(NULL);
    for (uint32_t i = 0; i < OPEN; i++)
        peers[i].fd = -1;
    for (uint32_t i = 0; i < count; i++) {
        struct wire_client *c = &peers[rng_below(&dice, OPEN)];
        if (c->fd < 0) {
            connect_peer(c);
            if (rng_percent(&dice, 95))
                cr_assert_eq(wire_client_hello(c, WIRE_ZONE_ANY), 0);
        } else {
            break_off(c);
        }
        if (i % 10 == 0)
            steady_check();
    }
    for (uint32_t i = 0; i < OPEN; i++)
        wire_client_close(&peers[i]);
    assert_nothing_is_left();
}

static size_t stream_add_get(size_t at)
{
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    Farheap__V1__Get get = FARHEAP__V1__GET__INIT;
    char name[16];

    head.id = at + 1;
    head.op_case = FARHEAP__V1__REQUEST__OP_GET;
    head.get = &get;
    get.name = storm_name(name);
    return at + fh_head_pack_request(&head, 0, stream + at, FH_HEAD_MAX);
}

/* A third of them is copied into replies, a third sent from frames, a third from views. */
static void store_what_is_asked_for(void)
{
    static const size_t sizes[] = {16000, 200000, MIB};
    char name[16];

    for (uint32_t i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "s/%u", i);
        cr_assert_eq(wire_client_put(&f.good, name, stream, sizes[i % 3]), FH_STATUS_OK);
    }
}

/* Each asks for gigabytes and reads a byte now and then. */
Test(storm, peers_that_do_not_read_cost_a_bounded_amount)
{
    uint32_t count = how_many(25, 500);

    start(NULL);
    struct wire_client *peers = peers_make(count);
    store_what_is_asked_for();
    for (uint32_t i = 0; i < count; i++) {
        wire_client_shrink_receive(&peers[i]);
        cr_assert_eq(wire_client_hello(&peers[i], WIRE_ZONE_ANY), 0);
    }
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < count; i++) {
            size_t size = 0;
            while (size < 20000)
                size = stream_add_get(size);
            send_some(&peers[i], stream, size);
            receive_some(&peers[i], 1);
        }
        steady_check();
        assert_bounded(count);
    }
    for (uint32_t i = 0; i < count; i++)
        wire_client_reset(&peers[i]);
    free(peers);
    assert_nothing_is_left();
}

/* A byte of a request at a time, until the server has had enough; some are strangers to the end. */
Test(storm, dribblers_are_closed_and_harm_nobody)
{
    uint32_t count = how_many(50, 1000), left = count;

    start("--frame-timeout=3s");
    struct wire_client *peers = peers_make(count);
    for (size_t at = 0; at < sizeof stream; at++) /* a put of 64 KiB that takes for ever */
        stream[at] = 0;
    fh_frame_prefix_store(stream, (struct fh_frame_prefix){500, 65536});
    for (uint32_t i = 0; i < count; i++)
        if (i % 4 != 0)
            cr_assert_eq(wire_client_hello(&peers[i], WIRE_ZONE_ANY), 0);
    for (size_t at = 0; left > 0; at++) {
        for (uint32_t i = 0; i < count; i++) {
            if (peers[i].fd < 0 || send(peers[i].fd, stream + at, 1, MSG_NOSIGNAL) == 1)
                continue;
            wire_client_close(&peers[i]);
            left--;
        }
        steady_check();
        assert_bounded(count);
        usleep(50000);
    }
    free(peers);
    assert_nothing_is_left();
}

/* Bytes of chance, or requests of which some bits are not as they were. */
static size_t garbage_make(void)
{
    size_t size = 0;

    if (rng_percent(&dice, 30)) {
        size = rng_log_uniform(&dice, 12);
        for (size_t i = 0; i < size; i++)
            stream[i] = (uint8_t)rng_next(&dice);
        return size;
    }
    for (uint64_t n = rng_between(&dice, 1, 4); n > 0; n--)
        size = stream_add(size);
    for (uint64_t n = rng_between(&dice, 1, 4); n > 0; n--) {
        size_t near = rng_percent(&dice, 70) && size > 40 ? 40 : size; /* heads, not bodies */
        stream[rng_below(&dice, near)] ^= (uint8_t)(1u << rng_below(&dice, 8));
    }
    return size;
}

Test(storm, garbage_harms_nobody)
{
    uint32_t count = how_many(5000, 100000);
    struct wire_client c;

    start(NULL);
    for (uint32_t i = 0; i < count; i++) {
        connect_peer(&c);
        if (rng_percent(&dice, 90))
            cr_assert_eq(wire_client_hello(&c, WIRE_ZONE_ANY), 0);
        send_some(&c, stream, garbage_make());
        if (rng_percent(&dice, 50))
            receive_some(&c, 10000);
        if (rng_percent(&dice, 50))
            wire_client_reset(&c);
        else
            wire_client_close(&c);
        if (i % 20 == 0)
            steady_check();
    }
    assert_bounded(1);
    const char *harm = wire_fixture_harm(&f); /* what garbage has stored has any name */
    cr_assert_null(harm, "%s", harm);
}
