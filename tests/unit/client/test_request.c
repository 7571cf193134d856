/* The client against a server that does what it is told: other orders, lies, silence, hang-ups. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/farheap.h"
#include "proto/frame.h"
#include "proto/head.h"
#include "proto/status.h"
#include "tests/unit/client/fake_server.h"

static struct fake server;
static const fh_handle object = {0x1000, 7};

static fh_client *client_open(void (*script)(struct fake *))
{
    fh_options options = {.size = sizeof(options), .request_timeout_ms = 2000};
    fh_client *client;
    char url[64];

    fake_begin(&server, script);
    (void)snprintf(url, sizeof(url), "farheap://127.0.0.1:%u", server.port);
    cr_assert_eq(fh_open(url, &options, &client), FH_OK, "%s", fh_errmsg(client));
    return client;
}

static void client_end(fh_client *client)
{
    fh_close(client);
    fake_end(&server);
}

TestSuite(request, .timeout = 20);

/* --- order */

static void answer_in_reverse(struct fake *f)
{
    static struct asked asked[3];
    int fd = fake_accept(f, 1, 1 << 20);

    for (int i = 0; i < 3; i++) {
        if (!fake_ask(fd, &asked[i]))
            abort();
    }
    for (int i = 3; i-- > 0;) {
        char body[8];

        memset(body, 'a' + i, sizeof(body));
        fake_answer(fd, asked[i].id, 0, NULL, body, sizeof(body));
    }
    close(fd);
}

Test(request, answers_in_any_order_find_their_requests)
{
    fh_client *client = client_open(answer_in_reverse);
    char bufs[3][8];
    fh_req *reqs[3], *done;

    for (int i = 0; i < 3; i++) {
        cr_assert_eq(fh_submit_read(client, object, 0, bufs[i], 8, &reqs[i]), FH_OK);
        fh_req_tag(reqs[i], bufs[i]);
    }
    cr_assert_eq(fh_in_flight(client), 3);
    for (int i = 3; i-- > 0;) {
        fh_result result;

        cr_assert_eq(fh_wait_any(client, &done, -1), FH_OK);
        cr_assert_eq(done, reqs[i], "completion in the order of the answers");
        fh_req_result(done, &result);
        cr_assert_eq(result.status, FH_OK);
        cr_assert_eq(result.bytes, 8);
        cr_assert_eq(result.tag, (void *)bufs[i]);
        cr_assert_eq(bufs[i][7], 'a' + i);
        fh_req_free(done);
    }
    cr_assert_eq(fh_wait_any(client, &done, -1), FH_NOT_FOUND);
    client_end(client);
}

/* --- lies */

static void answer_unknown_id(struct fake *f)
{
    static struct asked asked;
    int fd = fake_accept(f, 1, 1 << 20);

    if (fake_ask(fd, &asked))
        fake_answer(fd, asked.id + 12345, 0, NULL, NULL, 0);
    (void)fake_ask(fd, &asked);
    close(fd);
}

static void answer_twice(struct fake *f)
{
    static struct asked asked;
    int fd = fake_accept(f, 1, 1 << 20);

    if (fake_ask(fd, &asked)) {
        fake_answer(fd, asked.id, 0, NULL, NULL, 0);
        if (!fake_ask(fd, &asked))
            abort();
        fake_answer(fd, asked.id - (UINT64_C(1) << 32), 0, NULL, NULL, 0);
    }
    (void)fake_ask(fd, &asked);
    close(fd);
}

static void answer_too_long(struct fake *f)
{
    static struct asked asked;
    static char body[64];
    int fd = fake_accept(f, 1, 1 << 20);

    if (fake_ask(fd, &asked))
        fake_answer(fd, asked.id, 0, NULL, body, sizeof(body));
    (void)fake_ask(fd, &asked);
    close(fd);
}

static void answer_rubbish(struct fake *f)
{
    static struct asked asked;
    int fd = fake_accept(f, 1, 1 << 20);

    if (fake_ask(fd, &asked))
        (void)send(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL);
    (void)fake_ask(fd, &asked);
    close(fd);
}

static void answer_no_result(struct fake *f)
{
    static struct asked asked;
    int fd = fake_accept(f, 1, 1 << 20);

    if (fake_ask(fd, &asked))
        fake_answer(fd, asked.id, 0, NULL, NULL, 0);
    (void)fake_ask(fd, &asked);
    close(fd);
}

static void answer_unknown_status(struct fake *f)
{
    static struct asked asked;
    int fd = fake_accept(f, 1, 1 << 20);

    if (fake_ask(fd, &asked))
        fake_answer(fd, asked.id, 99, NULL, NULL, 0);
    (void)fake_ask(fd, &asked);
    close(fd);
}

static void expect_protocol(void (*script)(struct fake *))
{
    fh_client *client = client_open(script);
    char buf[16];

    cr_assert_eq(fh_read(client, object, 0, buf, sizeof(buf)), FH_PROTOCOL);
    cr_assert_gt(strlen(fh_errmsg(client)), 0);
    client_end(client);
}

Test(request, an_unknown_id_is_not_the_protocol)
{
    expect_protocol(answer_unknown_id);
}

Test(request, a_body_longer_than_asked_for_is_not_the_protocol)
{
    expect_protocol(answer_too_long);
}

Test(request, rubbish_is_not_the_protocol)
{
    expect_protocol(answer_rubbish);
}

Test(request, an_unknown_status_is_not_the_protocol)
{
    expect_protocol(answer_unknown_status);
}

Test(request, a_missing_result_is_not_the_protocol)
{
    fh_client *client = client_open(answer_no_result);
    fh_info info;

    cr_assert_eq(fh_stat(client, object, &info), FH_PROTOCOL);
    client_end(client);
}

Test(request, a_second_answer_is_not_the_protocol)
{
    fh_client *client = client_open(answer_twice);

    cr_assert_eq(fh_free(client, object), FH_OK);
    cr_assert_eq(fh_free(client, object), FH_PROTOCOL);
    client_end(client);
}

/* --- words */

static void answer_no(struct fake *f)
{
    static struct asked asked;
    int fd = fake_accept(f, 1, 1 << 20);

    while (fake_ask(fd, &asked))
        fake_answer(fd, asked.id, FH_STATUS_NO_SPACE, "buy\nmore memory", NULL, 0);
    close(fd);
}

Test(request, the_message_has_call_name_status_and_detail_but_no_control_bytes)
{
    fh_client *client = client_open(answer_no);

    cr_assert_eq(fh_put(client, "a\tb", 3, "x", 1, NULL, NULL), FH_NO_SPACE);
    cr_assert_str_eq(fh_errmsg(client), "put a?b: NO_SPACE: buy?more memory");
    cr_assert_eq(fh_free(client, object), FH_NO_SPACE);
    cr_assert_str_eq(fh_errmsg(client), "free fh:0:1000: NO_SPACE: buy?more memory");
    client_end(client);
}

Test(request, what_cannot_be_asked_is_refused_without_asking)
{
    fh_client *client = client_open(answer_no);
    fh_how without_size = {.flags = FH_IF_ABSENT};
    char long_name[FH_NAME_MAX + 1];
    fh_req *req;
    size_t got;

    memset(long_name, 'n', sizeof(long_name));
    cr_assert_eq(fh_get(client, "", 0, 0, NULL, 0, &got, NULL), FH_INVALID);
    cr_assert_eq(fh_get(client, long_name, sizeof(long_name), 0, NULL, 0, &got, NULL), FH_INVALID);
    cr_assert_eq(fh_put(client, "a", 1, "x", 1, &without_size, NULL), FH_INVALID);
    cr_assert_eq(fh_free(client, (fh_handle){UINT64_C(9) << 48, 1}), FH_STALE);
    cr_assert_eq(fh_submit_read(client, object, 0, long_name, (1 << 20) + 1, &req), FH_TOO_LARGE);
    cr_assert_null(req);
    cr_assert_eq(fh_ping(client, 1), FH_INVALID);
    cr_assert_eq(fh_in_flight(client), 0);
    client_end(client);
}

/* --- broken connections */

static void hang_up_once(struct fake *f)
{
    static struct asked asked;
    int fd = fake_accept(f, 1, 1 << 20);

    (void)fake_ask(fd, &asked);
    f->requests++;
    close(fd);
    fd = fake_accept(f, 1, 1 << 20);
    while (fake_ask(fd, &asked)) {
        f->requests++;
        fake_answer(fd, asked.id, 0, NULL, "12345678",
                    asked.op == FARHEAP__V1__REQUEST__OP_READ ? 8 : 0);
    }
    close(fd);
}

Test(request, a_read_is_sent_again_when_the_connection_breaks)
{
    fh_client *client = client_open(hang_up_once);
    char buf[8];

    cr_assert_eq(fh_read(client, object, 0, buf, 8), FH_OK, "%s", fh_errmsg(client));
    cr_assert_eq(memcmp(buf, "12345678", 8), 0);
    client_end(client);
    cr_assert_eq(server.requests, 2);
}

Test(request, a_mutation_is_not_sent_again_and_says_so)
{
    fh_client *client = client_open(hang_up_once);

    cr_assert_eq(fh_write(client, object, 0, "x", 1, NULL), FH_CONNECTION);
    cr_assert_eq(fh_write(client, object, 0, "x", 1, NULL), FH_OK, "the next call opens a new one");
    client_end(client);
    cr_assert_eq(server.requests, 2);
}

static void hang_up_in_a_body(struct fake *f)
{
    static struct asked asked;
    static char body[100000];
    fh_response_head head = FARHEAP__V1__RESPONSE__INIT;
    uint8_t bytes[64];
    int fd = fake_accept(f, 1, 1 << 20);

    (void)fake_ask(fd, &asked);
    head.id = asked.id;
    (void)send(fd, bytes, fh_head_pack_response(&head, sizeof(body), bytes, sizeof(bytes)),
               MSG_NOSIGNAL);
    (void)send(fd, body, 50000, MSG_NOSIGNAL);
    close(fd);
    fd = fake_accept(f, 1, 1 << 20);
    memset(body, 'z', sizeof(body));
    if (fake_ask(fd, &asked))
        fake_answer(fd, asked.id, 0, NULL, body, sizeof(body));
    (void)fake_ask(fd, &asked);
    close(fd);
}

Test(request, a_body_that_breaks_off_is_read_again_in_full)
{
    fh_client *client = client_open(hang_up_in_a_body);
    static char buf[100000];

    cr_assert_eq(fh_read(client, object, 0, buf, sizeof(buf)), FH_OK, "%s", fh_errmsg(client));
    for (size_t i = 0; i < sizeof(buf); i++)
        cr_assert_eq(buf[i], 'z');
    client_end(client);
}

static void always_hang_up(struct fake *f)
{
    static struct asked asked;

    for (int i = 0; i < 4; i++) {
        int fd = fake_accept(f, 1, 1 << 20);

        (void)fake_ask(fd, &asked);
        f->requests++;
        close(fd);
    }
}

Test(request, sending_again_comes_to_an_end)
{
    fh_client *client = client_open(always_hang_up);
    char buf[8];

    cr_assert_eq(fh_read(client, object, 0, buf, 8), FH_CONNECTION);
    client_end(client);
    cr_assert_eq(server.requests, 4);
}

/* --- deadlines and forgetting */

static void answer_late(struct fake *f)
{
    static struct asked asked[2];
    static char body[200000];
    int fd = fake_accept(f, 1, 1 << 20);

    if (!fake_ask(fd, &asked[0]) || !fake_ask(fd, &asked[1]))
        abort();
    memset(body, 'l', sizeof(body));
    fake_answer(fd, asked[0].id, 0, NULL, body, sizeof(body));
    fake_answer(fd, asked[1].id, 0, NULL, "right", 5);
    (void)fake_ask(fd, &asked[0]);
    close(fd);
}

Test(request, the_answer_to_a_forgotten_request_is_thrown_away)
{
    fh_client *client = client_open(answer_late);
    char *gone = malloc(200000), buf[5];
    fh_req *req;

    cr_assert_eq(fh_submit_read(client, object, 0, gone, 200000, &req), FH_OK);
    cr_assert_eq(fh_flush(client), FH_OK);
    fh_req_free(req);
    free(gone);
    cr_assert_eq(fh_in_flight(client), 0);
    cr_assert_eq(fh_read(client, object, 0, buf, 5), FH_OK, "%s", fh_errmsg(client));
    cr_assert_eq(memcmp(buf, "right", 5), 0);
    client_end(client);
}

static void answer_after_a_pause(struct fake *f)
{
    static struct asked asked;
    int fd = fake_accept(f, 1, 1 << 20);

    if (!fake_ask(fd, &asked))
        abort();
    usleep(300 * 1000);
    fake_answer(fd, asked.id, 0, NULL, "late.", 5);
    if (fake_ask(fd, &asked))
        fake_answer(fd, asked.id, 0, NULL, "right", 5);
    (void)fake_ask(fd, &asked);
    close(fd);
}

Test(request, waiting_in_vain_leaves_the_request_in_flight)
{
    fh_client *client = client_open(answer_after_a_pause);
    char buf[5];
    fh_req *req, *done;

    cr_assert_eq(fh_submit_read(client, object, 0, buf, 5, &req), FH_OK);
    cr_assert_eq(fh_wait(client, req, 20), FH_TIMEOUT);
    cr_assert_eq(fh_wait_any(client, &done, 0), FH_TIMEOUT);
    cr_assert_eq(fh_req_done(req), 0);
    cr_assert_eq(fh_in_flight(client), 1);
    cr_assert_eq(fh_wait(client, req, -1), FH_OK);
    cr_assert_eq(memcmp(buf, "late.", 5), 0);
    cr_assert_eq(fh_wait_any(client, &done, 0), FH_NOT_FOUND, "it has been told");
    fh_req_free(req);
    client_end(client);
}

Test(request, a_request_past_its_deadline_ends_and_its_late_answer_harms_nobody)
{
    fh_options options = {.size = sizeof(options), .request_timeout_ms = 100};
    fh_client *client;
    char url[64], buf[5];
    fh_status status;

    fake_begin(&server, answer_after_a_pause);
    (void)snprintf(url, sizeof(url), "farheap://127.0.0.1:%u", server.port);
    cr_assert_eq(fh_open(url, &options, &client), FH_OK);
    cr_assert_eq(fh_read(client, object, 0, buf, 5), FH_TIMEOUT);
    usleep(250 * 1000);
    status = fh_read(client, object, 0, buf, 5);
    cr_assert_eq(status, FH_OK, "%s", fh_errmsg(client));
    cr_assert_eq(memcmp(buf, "right", 5), 0);
    client_end(client);
}

static void read_slowly(struct fake *f)
{
    static struct asked asked;
    int fd = fake_accept(f, 1, 1 << 20);
    int seen = 0;

    usleep(200 * 1000);
    while (fake_ask(fd, &asked)) {
        if (asked.op == FARHEAP__V1__REQUEST__OP_WRITE) {
            for (uint32_t i = 0; i < asked.body_size; i++)
                seen += asked.body[i] == 'w' ? 0 : 1;
            f->requests += seen == 0 ? 1 : 1000;
        }
        fake_answer(fd, asked.id, 0, NULL, NULL, 0);
    }
    close(fd);
}

/* The socket takes a part of the bodies; the rest must not be read from memory that is gone. */
Test(request, a_write_freed_half_sent_still_sends_its_bytes)
{
    enum { SIZE = 1 << 20, COUNT = 16 };
    fh_client *client = client_open(read_slowly);

    for (int i = 0; i < COUNT; i++) {
        char *body = malloc(SIZE);
        fh_req *req;

        memset(body, 'w', SIZE);
        cr_assert_eq(fh_submit_write(client, object, 0, body, SIZE, &req), FH_OK);
        cr_assert_eq(fh_flush(client), FH_OK);
        fh_req_free(req);
        memset(body, '!', SIZE);
        free(body);
    }
    cr_assert_eq(fh_ping(client, 0), FH_OK, "%s", fh_errmsg(client));
    client_end(client);
    cr_assert_eq(server.requests, COUNT);
}

/* --- pieces */

static void answer_pieces(struct fake *f)
{
    static struct asked asked;
    static char body[4096];
    int fd = fake_accept(f, 1, sizeof(body));
    uint64_t version = 10;

    memset(body, 'p', sizeof(body));
    while (fake_ask(fd, &asked)) {
        f->requests++;
        switch (asked.op) {
        case FARHEAP__V1__REQUEST__OP_READ:
            fake_answer(fd, asked.id, 0, NULL, body, f->requests == 3 ? 1808 : 4096);
            break;
        case FARHEAP__V1__REQUEST__OP_PUT:
            fake_answer(fd, asked.id, FH_STATUS_EXISTS, NULL, NULL, 0);
            break;
        default:
            fake_answer_object(fd, asked.id, 10000, version++, NULL, 0);
        }
    }
    close(fd);
}

Test(request, a_read_longer_than_a_frame_goes_in_pieces)
{
    fh_client *client = client_open(answer_pieces);
    static char buf[10000];

    cr_assert_eq(fh_read(client, object, 0, buf, sizeof(buf)), FH_OK, "%s", fh_errmsg(client));
    for (size_t i = 0; i < sizeof(buf); i++)
        cr_assert_eq(buf[i], 'p');
    client_end(client);
    cr_assert_eq(server.requests, 3);
}

/* alloc, three writes, publish, and the staged object is freed because publishing failed. */
Test(request, a_long_put_that_fails_leaves_nothing_behind)
{
    fh_client *client = client_open(answer_pieces);
    static char buf[10000];

    cr_assert_eq(fh_put(client, "n", 1, buf, sizeof(buf), NULL, NULL), FH_EXISTS);
    cr_assert_not_null(strstr(fh_errmsg(client), "EXISTS"), "%s", fh_errmsg(client));
    client_end(client);
    cr_assert_eq(server.requests, 1 + 3 + 1 + 1);
}

/* --- a node that changes */

static void restart_with_more_zones(struct fake *f)
{
    static struct asked asked;
    int fd = fake_accept(f, 1, 1 << 20);

    close(fd);
    fd = fake_accept(f, 4, 1 << 20);
    (void)fake_ask(fd, &asked);
    close(fd);
    fd = fake_accept(f, 4, 1 << 20);
    while (fake_ask(fd, &asked))
        fake_answer(fd, asked.id, 0, NULL, NULL, 0);
    close(fd);
}

Test(request, another_number_of_zones_breaks_one_call_and_is_taken_up_by_the_next)
{
    fh_client *client = client_open(restart_with_more_zones);

    cr_assert_eq(fh_zones(client), 1);
    usleep(50 * 1000);
    (void)fh_free(client, object);
    cr_assert_eq(fh_ping(client, 0), FH_CONNECTION, "%s", fh_errmsg(client));
    cr_assert_eq(fh_ping(client, 0), FH_OK, "%s", fh_errmsg(client));
    cr_assert_eq(fh_zones(client), 4);
    client_end(client);
}
