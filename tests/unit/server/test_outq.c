#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/outq.h"

enum { SOURCE_BYTES = 300000, WINDOW = 70000 };

/* A source that offers its bytes window by window. */
struct source {
    struct fh_out_source source;
    uint8_t bytes[SOURCE_BYTES];
    struct iovec iov[2];
    size_t at, offered;
    unsigned closed, offers, wait; /* offers that answer -EINPROGRESS first */
    int error;
};

static int sockets[2];
static struct fh_out_pool pool;
static struct fh_outq q;
static struct source source;
static int planned; /* what send answers instead, when not 0 */

static ssize_t send_all(void *ctx, const struct iovec *iov, uint32_t count)
{
    (void)ctx;
    if (planned != 0)
        return planned;
    ssize_t sent = writev(sockets[0], iov, (int)count);
    return sent >= 0 ? sent : -errno;
}

static int source_offer(struct fh_out_source *s, const struct iovec **iov, uint32_t *count)
{
    struct source *me = (struct source *)(void *)s;
    size_t left = SOURCE_BYTES - me->at;

    me->offers++;
    if (me->wait > 0) {
        me->wait--;
        return -EINPROGRESS;
    }
    if (me->error != 0 && me->at > 0)
        return me->error;
    me->offered = left < WINDOW ? left : WINDOW;
    size_t half = me->offered / 2;
    me->iov[0] = (struct iovec){me->bytes + me->at, half};
    me->iov[1] = (struct iovec){me->bytes + me->at + half, me->offered - half};
    *iov = me->iov;
    *count = me->offered > 0 ? 2 : 0;
    return 0;
}

static void source_took(struct fh_out_source *s, size_t bytes)
{
    struct source *me = (struct source *)(void *)s;

    cr_assert_leq(bytes, me->offered);
    me->at += bytes;
    me->offered = 0;
}

static void source_close(struct fh_out_source *s)
{
    ((struct source *)(void *)s)->closed++;
}

static void setup(void)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
    planned = 0;
    fh_out_pool_init(&pool);
    fh_outq_init(&q, &pool, send_all, NULL);
    memset(&source, 0, sizeof source);
    source.source =
        (struct fh_out_source){.offer = source_offer, .took = source_took, .close = source_close};
    for (unsigned i = 0; i < SOURCE_BYTES; i++)
        source.bytes[i] = (uint8_t)(i * 31 + 7);
}

static void teardown(void)
{
    fh_outq_fini(&q);
    fh_out_pool_fini(&pool);
    close(sockets[0]);
    close(sockets[1]);
}

TestSuite(outq, .init = setup, .fini = teardown, .timeout = 30);

/* Reads what has arrived behind `got` bytes. */
static size_t drain(uint8_t *to, size_t got, size_t cap)
{
    for (;;) {
        ssize_t n = read(sockets[1], to + got, cap - got);
        if (n <= 0)
            return got;
        got += (size_t)n;
    }
}

/* Flushes and reads until all is out. */
static size_t pump(uint8_t *to, size_t cap)
{
    size_t got = 0;

    for (unsigned i = 0; i < 10000; i++) {
        enum fh_out_state state = fh_outq_flush(&q);
        cr_assert_neq(state, FH_OUT_BROKEN);
        cr_assert(fh_outq_check(&q, stderr));
        got = drain(to, got, cap);
        if (state == FH_OUT_EMPTY)
            return got;
    }
    return got;
}

Test(outq, many_replies_leave_in_order)
{
    static uint8_t sent[100000], got[100001];

    for (unsigned i = 0; i < sizeof sent; i++)
        sent[i] = (uint8_t)(i * 7 + i / 256);
    for (unsigned at = 0; at < sizeof sent; at += 100) {
        uint8_t *room = fh_outq_reserve(&q, 100);
        cr_assert(room);
        memcpy(room, sent + at, 100);
        fh_outq_commit(&q, 100);
        cr_assert(fh_outq_check(&q, stderr));
    }
    cr_assert_eq(q.queued_bytes, sizeof sent);
    cr_assert_eq(pump(got, sizeof got), sizeof sent);
    cr_assert_arr_eq(got, sent, sizeof sent);
    cr_assert_eq(q.queued_bytes, 0u);
    cr_assert_eq(q.sent_bytes, sizeof sent);
}

Test(outq, a_full_socket_keeps_the_rest)
{
    static uint8_t big[1 << 20], got[(1 << 20) + 1];

    for (unsigned i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 13 + i / 251);
    cr_assert_eq(fh_outq_add(&q, big, sizeof big), 0);
    planned = -EAGAIN;
    cr_assert_eq(fh_outq_flush(&q), FH_OUT_BLOCKED);
    cr_assert_eq(q.queued_bytes, sizeof big);
    planned = 0;
    cr_assert_eq(fh_outq_flush(&q), FH_OUT_BLOCKED);
    cr_assert_lt(q.queued_bytes, sizeof big);
    cr_assert_eq(pump(got, sizeof got), sizeof big);
    cr_assert_arr_eq(got, big, sizeof big);
}

Test(outq, no_more_than_the_turn_allows_is_sent)
{
    static uint8_t got[20000];

    for (unsigned i = 0; i < 10000; i++)
        cr_assert_eq(fh_outq_add(&q, &(uint8_t){(uint8_t)i}, 1), 0);
    q.turn_left = 7000;
    cr_assert_eq(fh_outq_flush(&q), FH_OUT_MORE);
    cr_assert_eq(q.turn_left, 0u);
    cr_assert_eq(drain(got, 0, sizeof got), 7000u);
    cr_assert_eq(fh_outq_flush(&q), FH_OUT_MORE);
    cr_assert_eq(drain(got, 0, sizeof got), 0u, "sent without leave");
    q.turn_left = 5000;
    cr_assert_eq(fh_outq_flush(&q), FH_OUT_EMPTY);
    cr_assert_eq(q.turn_left, 2000u);
    cr_assert_eq(drain(got, 0, sizeof got), 3000u);
    cr_assert(fh_outq_check(&q, stderr));
}

Test(outq, a_source_goes_out_in_turns_cut_anywhere)
{
    static uint8_t got[SOURCE_BYTES + 1];
    size_t size = 0;

    fh_outq_add_source(&q, &source.source);
    while (!fh_outq_is_empty(&q)) {
        q.turn_left = 9999;
        enum fh_out_state state = fh_outq_flush(&q);
        cr_assert(state == FH_OUT_MORE || state == FH_OUT_EMPTY);
        size_t before = size;
        size = drain(got, size, sizeof got);
        cr_assert_leq(size - before, 9999u);
    }
    cr_assert_eq(size, (size_t)SOURCE_BYTES);
    cr_assert_arr_eq(got, source.bytes, SOURCE_BYTES);
    cr_assert_eq(source.closed, 1u);
}

Test(outq, a_source_is_sent_between_its_neighbours)
{
    static uint8_t got[SOURCE_BYTES + 100];

    cr_assert_eq(fh_outq_add(&q, "before", 6), 0);
    fh_outq_add_source(&q, &source.source);
    cr_assert_eq(fh_outq_add(&q, "after", 5), 0);
    cr_assert_eq(pump(got, sizeof got), (size_t)SOURCE_BYTES + 11);
    cr_assert_arr_eq(got, "before", 6);
    cr_assert_arr_eq(got + 6, source.bytes, SOURCE_BYTES);
    cr_assert_arr_eq(got + 6 + SOURCE_BYTES, "after", 5);
    cr_assert_eq(source.closed, 1u);
}

Test(outq, a_source_that_has_nothing_yet_stops_what_is_behind_it)
{
    static uint8_t got[SOURCE_BYTES + 100];

    source.wait = 1;
    cr_assert_eq(fh_outq_add(&q, "before", 6), 0);
    fh_outq_add_source(&q, &source.source);
    cr_assert_eq(fh_outq_add(&q, "after", 5), 0);
    source.wait = 2;
    cr_assert_eq(fh_outq_flush(&q), FH_OUT_WAITING);
    cr_assert_eq(drain(got, 0, sizeof got), 6u);
    cr_assert_eq(pump(got, sizeof got), (size_t)SOURCE_BYTES + 5);
}

Test(outq, a_source_is_replaced_by_a_copy_of_its_offer)
{
    static uint8_t got[SOURCE_BYTES + 100];

    cr_assert_eq(fh_outq_add(&q, "before", 6), 0);
    fh_outq_add_source(&q, &source.source);
    cr_assert_eq(fh_outq_copy_source(&q, &source.source), 0);
    cr_assert_eq(source.closed, 1u);
    cr_assert_eq(q.sources, 0u);
    cr_assert_eq(q.queued_bytes, (size_t)WINDOW + 6);
    cr_assert_eq(pump(got, sizeof got), (size_t)WINDOW + 6);
    cr_assert_arr_eq(got + 6, source.bytes, WINDOW);
}

Test(outq, an_error_of_the_socket_is_remembered)
{
    cr_assert_eq(fh_outq_add(&q, "x", 1), 0);
    planned = -EPIPE;
    cr_assert_eq(fh_outq_flush(&q), FH_OUT_BROKEN);
    cr_assert_eq(q.error, -EPIPE);
    planned = 0;
    cr_assert_eq(fh_outq_flush(&q), FH_OUT_BROKEN);
}

Test(outq, an_error_of_a_source_breaks_the_queue)
{
    source.error = -EBADMSG;
    fh_outq_add_source(&q, &source.source);
    cr_assert_eq(fh_outq_flush(&q), FH_OUT_BROKEN);
    cr_assert_eq(q.error, -EBADMSG);
    fh_outq_fini(&q);
    cr_assert_eq(source.closed, 1u);
}

Test(outq, check_sees_a_wrong_count)
{
    cr_assert_eq(fh_outq_add(&q, "x", 1), 0);
    q.queued_bytes++;
    cr_assert_not(fh_outq_check(&q, NULL));
    q.queued_bytes--;
    q.sources++;
    cr_assert_not(fh_outq_check(&q, NULL));
    q.sources--;
    cr_assert(fh_outq_check(&q, NULL));
}

Test(outq, the_pool_keeps_a_bounded_number)
{
    static uint8_t big[(FH_OUT_CHUNKS_KEPT + 20) * FH_OUT_CHUNK_SIZE];

    cr_assert_eq(fh_outq_add(&q, big, sizeof big), 0);
    fh_outq_fini(&q);
    cr_assert_eq(pool.count, (uint32_t)FH_OUT_CHUNKS_KEPT);
}
