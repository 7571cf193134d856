/* Large bodies go from the caller's memory and into it; the client's own buffers see only heads. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/farheap.h"
#include "client/request.h"
#include "tests/unit/client/fake_server.h"

enum { SIZE = 1 << 20, MARK = 0xa5 };

static struct fake server;
static fh_client *client;
static const fh_handle object = {0x1000, 7};

static void start(void (*script)(struct fake *))
{
    fh_options options = {.size = sizeof(options), .request_timeout_ms = 10000};
    char url[64];

    fake_begin(&server, script);
    (void)snprintf(url, sizeof(url), "farheap://127.0.0.1:%u", server.port);
    cr_assert_eq(fh_open(url, &options, &client), FH_OK, "%s", fh_errmsg(client));
}

static void end(void)
{
    fh_close(client);
    fake_end(&server);
}

TestSuite(zero_copy, .timeout = 30);

/* Answers each read with as many bytes as it asks for, up to four at a time. */
static void answer_reads(struct fake *f)
{
    static struct asked asked;
    static char body[SIZE];
    int fd = fake_accept(f, 1, SIZE);

    memset(body, 'r', sizeof(body));
    while (fake_ask(fd, &asked))
        fake_answer(fd, asked.id, 0, NULL, body, SIZE);
    close(fd);
}

static uint32_t untouched(const struct fh_conn *conn)
{
    uint32_t from = FH_CONN_INPUT;

    while (from > 0 && conn->in[from - 1] == MARK)
        from--;
    return from;
}

Test(zero_copy, a_large_answer_is_received_where_it_belongs)
{
    static char buf[4][SIZE];
    struct fh_conn *conn;
    fh_req *req[4];

    start(answer_reads);
    conn = &client->zones.links[0]->conn;
    memset(conn->in, MARK, FH_CONN_INPUT);
    cr_assert_eq(fh_read(client, object, 0, buf[0], SIZE), FH_OK, "%s", fh_errmsg(client));
    for (int i = 0; i < 4; i++) {
        memset(buf[i], 0, SIZE);
        cr_assert_eq(fh_submit_read(client, object, 0, buf[i], SIZE, &req[i]), FH_OK);
    }
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(fh_wait(client, req[i], 10000), FH_OK);
        cr_assert(buf[i][0] == 'r' && memcmp(buf[i], buf[i] + 1, SIZE - 1) == 0);
        fh_req_free(req[i]);
    }
    cr_assert_leq(untouched(conn), FH_CONN_HEAD_FIRST);
    end();
}

static void keep_body(struct fake *f)
{
    static struct asked asked;
    int fd = fake_accept(f, 1, SIZE);

    while (fake_ask(fd, &asked)) {
        f->requests = asked.body[0] == 'n' && asked.body[asked.body_size - 1] == 'n';
        fake_answer(fd, asked.id, 0, NULL, NULL, 0);
    }
    close(fd);
}

/* What the caller must not do shows where the bytes are sent from. */
Test(zero_copy, a_large_body_is_sent_from_where_it_is)
{
    static char body[SIZE];
    fh_req *req;

    start(keep_body);
    memset(body, 'o', sizeof(body));
    cr_assert_eq(fh_submit_write(client, object, 0, body, SIZE, &req), FH_OK);
    memset(body, 'n', sizeof(body));
    cr_assert_eq(fh_wait(client, req, 10000), FH_OK);
    fh_req_free(req);
    end();
    cr_assert_eq(server.requests, 1);
}
