/* memcached and Redis as the load tester speaks to them, against a peer that says what it is told:
 * in pieces, wrongly, or not at all. And a peer that lies, which --verify must catch. */
#include "client/bench/bench.h"
#include "client/bench/driver.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener = -1;
static char address[32];

static void setup(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(at);

    listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    cr_assert_eq(listen(listener, 8), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(at.sin_port));
}

static void teardown(void)
{
    close(listener);
}

TestSuite(drivers, .init = setup, .fini = teardown, .timeout = 20);

/* What the peer waits for and says on the one connection it takes; then it hangs up. */
struct script {
    size_t expect_bytes; /* read this many */
    const char *reply;
    size_t reply_bytes, piece; /* said in pieces of this size */
    char heard[4096];
};

static void *script_play(void *argument)
{
    struct script *s = argument;
    const struct timespec pause = {.tv_nsec = 1000000};
    int fd = accept(listener, NULL, NULL);
    size_t have = 0;

    while (have < s->expect_bytes) {
        ssize_t got = read(fd, s->heard + have, s->expect_bytes - have);

        if (got <= 0)
            break;
        have += (size_t)got;
    }
    for (size_t at = 0; at < s->reply_bytes; at += s->piece) {
        size_t left = s->reply_bytes - at;

        if (write(fd, s->reply + at, left < s->piece ? left : s->piece) < 0)
            break;
        nanosleep(&pause, NULL);
    }
    close(fd);
    return NULL;
}

/* Submits the requests to a peer that follows the script; returns when all are finished. */
static void play(const struct fh_driver_class *class, struct script *s, struct fh_request *requests,
                 size_t count)
{
    struct pollfd fds[FH_DRIVER_FDS];
    struct fh_driver *d;
    pthread_t peer;
    char why[FH_DRIVER_WHY];
    size_t finished = 0;

    cr_assert_eq(pthread_create(&peer, NULL, script_play, s), 0);
    cr_assert_eq(class->open(address, NULL, &d, why), FH_OK);
    for (size_t i = 0; i < count; i++)
        class->submit(d, &requests[i]);
    class->flush(d);
    while (finished < count) {
        size_t watched = class->watch(d, fds);

        if (watched > 0 && poll(fds, watched, 5000) > 0)
            class->ready(d, &fds[0]);
        for (struct fh_request *r; (r = class->next(d)) != NULL; finished++)
            cr_assert_eq(r, &requests[finished], "replies come in order");
    }
    class->close(d);
    pthread_join(peer, NULL);
}

static char buf[3][64];

static struct fh_request request(enum fh_op op, const char *name, void *bytes, size_t size)
{
    struct fh_request r = {
        .op = op, .name_size = strlen(name), .buf = bytes, .body = bytes, .size = size};

    snprintf(r.name, sizeof(r.name), "%s", name);
    r.status = FH_PROTOCOL;
    return r;
}

Test(drivers, memcached_hits_misses_and_stores_arrive_byte_by_byte)
{
    static const char heard[] = "get a\r\nset b 0 0 5\r\nhello\r\nget c\r\ndelete d\r\n";
    static const char reply[] =
        "VALUE a 0 7\r\nEND\r\n\r\n\r\nEND\r\nSTORED\r\nEND\r\nNOT_FOUND\r\n";
    struct script s = {sizeof(heard) - 1, reply, sizeof(reply) - 1, 1, ""};
    char hello[] = "hello";
    struct fh_request r[] = {request(FH_OP_GET, "a", buf[0], 64), request(FH_OP_PUT, "b", hello, 5),
                             request(FH_OP_GET, "c", buf[1], 64),
                             request(FH_OP_DELETE, "d", NULL, 0)};

    play(&fh_driver_memcached, &s, r, 4);
    cr_assert_str_eq(s.heard, heard);
    cr_assert_eq(r[0].status, FH_OK);
    cr_assert_eq(r[0].got, 7);
    cr_assert_arr_eq(buf[0], "END\r\n\r\n", 7);
    cr_assert_eq(r[1].status, FH_OK);
    cr_assert_eq(r[2].status, FH_NOT_FOUND);
    cr_assert_eq(r[3].status, FH_NOT_FOUND);
}

Test(drivers, redis_hits_misses_and_stores_arrive_byte_by_byte)
{
    static const char heard[] = "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
                                "*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$5\r\nhello\r\n"
                                "*2\r\n$3\r\nGET\r\n$1\r\nc\r\n*2\r\n$3\r\nDEL\r\n$1\r\nd\r\n";
    static const char reply[] = "$4\r\n\r\n$1\r\n+OK\r\n$-1\r\n:1\r\n";
    struct script s = {sizeof(heard) - 1, reply, sizeof(reply) - 1, 1, ""};
    char hello[] = "hello";
    struct fh_request r[] = {request(FH_OP_GET, "a", buf[0], 64), request(FH_OP_PUT, "b", hello, 5),
                             request(FH_OP_GET, "c", buf[1], 64),
                             request(FH_OP_DELETE, "d", NULL, 0)};

    play(&fh_driver_redis, &s, r, 4);
    cr_assert_str_eq(s.heard, heard);
    cr_assert_eq(r[0].status, FH_OK);
    cr_assert_eq(r[0].got, 4);
    cr_assert_arr_eq(buf[0], "\r\n$1", 4);
    cr_assert_eq(r[1].status, FH_OK);
    cr_assert_eq(r[2].status, FH_NOT_FOUND);
    cr_assert_eq(r[3].status, FH_OK);
}

/* Three bytes from the second on of an object of five, and of one that is not there. */
static void expect_part(const struct fh_driver_class *class, const char *heard, const char *reply)
{
    struct script s = {strlen(heard), reply, strlen(reply), 1, ""};
    struct fh_request r[] = {request(FH_OP_GET, "a", buf[0], 3),
                             request(FH_OP_GET, "b", buf[1], 3)};

    for (int i = 0; i < 2; i++) {
        r[i].offset = 1;
        r[i].object_bytes = 5;
    }
    play(class, &s, r, 2);
    cr_assert_str_eq(s.heard, heard);
    cr_assert_eq(r[0].status, FH_OK);
    cr_assert_eq(r[0].got, 3);
    cr_assert_arr_eq(buf[0], "ell", 3);
    cr_assert_eq(r[1].status, FH_NOT_FOUND);
}

Test(drivers, redis_is_asked_for_the_part)
{
    expect_part(&fh_driver_redis,
                "*4\r\n$8\r\nGETRANGE\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n3\r\n"
                "*4\r\n$8\r\nGETRANGE\r\n$1\r\nb\r\n$1\r\n1\r\n$1\r\n3\r\n",
                "$3\r\nell\r\n$0\r\n\r\n");
}

Test(drivers, memcached_sends_all_and_the_part_is_taken_out)
{
    expect_part(&fh_driver_memcached, "get a\r\nget b\r\n",
                "VALUE a 0 5\r\nhello\r\nEND\r\nEND\r\n");
}

/* The status of a get and of a put behind it when the peer says this to the first and hangs up. */
static void answered(const struct fh_driver_class *class, const char *reply, fh_status get,
                     fh_status put)
{
    struct script s = {1, reply, strlen(reply), 4096, ""};
    char hello[] = "hello";
    struct fh_request r[] = {request(FH_OP_GET, "a", buf[0], 8), request(FH_OP_PUT, "b", hello, 5)};

    play(class, &s, r, 2);
    cr_expect_eq(r[0].status, get, "%s: %d", reply, (int)r[0].status);
    cr_expect_eq(r[1].status, put, "%s: %d", reply, (int)r[1].status);
}

Test(drivers, a_peer_that_hangs_up_fails_everything_in_flight)
{
    answered(&fh_driver_memcached, "", FH_CONNECTION, FH_CONNECTION);
    answered(&fh_driver_memcached, "VALUE a 0 5\r\nhel", FH_CONNECTION, FH_CONNECTION);
    answered(&fh_driver_redis, "$5\r\nhel", FH_CONNECTION, FH_CONNECTION);
}

Test(drivers, rubbish_ends_the_connection)
{
    answered(&fh_driver_memcached, "HELLO\r\n", FH_PROTOCOL, FH_PROTOCOL);
    answered(&fh_driver_memcached, "VALUE a x y\r\n", FH_PROTOCOL, FH_PROTOCOL);
    answered(&fh_driver_redis, "?\r\n", FH_PROTOCOL, FH_PROTOCOL);
    answered(&fh_driver_redis, "$99999999999\r\n", FH_PROTOCOL, FH_PROTOCOL);
}

Test(drivers, a_value_longer_than_asked_for_is_not_written_past_the_buffer)
{
    answered(&fh_driver_memcached, "VALUE a 0 9\r\n123456789\r\nEND\r\nSTORED\r\n", FH_TOO_LARGE,
             FH_OK);
    answered(&fh_driver_redis, "$9\r\n123456789\r\n+OK\r\n", FH_TOO_LARGE, FH_OK);
}

Test(drivers, refusals_have_their_words)
{
    answered(&fh_driver_memcached, "END\r\nSERVER_ERROR object too large for cache\r\n",
             FH_NOT_FOUND, FH_TOO_LARGE);
    answered(&fh_driver_memcached, "END\r\nSERVER_ERROR out of memory storing object\r\n",
             FH_NOT_FOUND, FH_NO_SPACE);
    answered(&fh_driver_redis, "$-1\r\n-OOM command not allowed\r\n", FH_NOT_FOUND, FH_NO_SPACE);
}

/* A Redis of one object that remembers what was set, and spoils it from the third get on. */
static void *liar_main(void *argument)
{
    static char value[64];
    const bool *lies = argument;
    char in[512];
    int fd = accept(listener, NULL, NULL);
    int gets = 0;

    for (;;) {
        ssize_t got = read(fd, in, sizeof(in));
        const char *body;

        if (got <= 0)
            break;
        if (strncmp(in + 8, "SET", 3) == 0 && (body = memmem(in, (size_t)got, "$64\r\n", 5))) {
            memcpy(value, body + 5, 64);
            got = write(fd, "+OK\r\n", 5);
        } else if (strncmp(in + 8, "GET", 3) == 0) {
            char reply[80] = "$64\r\n";

            memcpy(reply + 5, value, 64);
            memcpy(reply + 69, "\r\n", 2);
            if (*lies && ++gets > 2)
                reply[5 + 40] ^= 1;
            got = write(fd, reply, 71);
        } else {
            got = write(fd, ":1\r\n", 4);
        }
    }
    close(fd);
    return NULL;
}

static int bench_against(bool lies)
{
    char target[64];
    char *argv[] = {"bench",    "--target", target, "--keys", "1", "--size", "64",
                    "--verify", "-n",       "50",   "-c",     "1", "-q",     NULL};
    pthread_t peer;
    int rc;

    snprintf(target, sizeof(target), "redis=%s", address);
    pthread_create(&peer, NULL, liar_main, &lies);
    rc = fh_bench_main(13, argv);
    pthread_join(peer, NULL);
    return rc;
}

Test(drivers, verify_trusts_an_honest_server)
{
    cr_assert_eq(bench_against(false), 0);
}

Test(drivers, verify_catches_one_flipped_bit_and_exits_with_7)
{
    cr_redirect_stderr();
    cr_assert_eq(bench_against(true), 7);
}
