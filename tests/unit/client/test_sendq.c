/* The queue of bytes on their way out, against the plainest model: one string. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/sendq.h"

TestSuite(sendq, .timeout = 30);

static void push_text(struct fh_sendq *q, const char *text)
{
    uint8_t *room = fh_sendq_reserve(q, strlen(text));

    cr_assert_not_null(room);
    memcpy(room, text, strlen(text));
    fh_sendq_push_text(q, strlen(text));
}

static void push_body(struct fh_sendq *q, const char *body)
{
    cr_assert_not_null(fh_sendq_reserve(q, 0));
    fh_sendq_push_body(q, body, strlen(body));
}

static void expect(const struct fh_sendq *q, const char *bytes)
{
    uint8_t copy[256];
    size_t size = fh_sendq_copy(q, copy, sizeof(copy));

    cr_assert_eq(size, strlen(bytes));
    cr_assert_eq(q->bytes, strlen(bytes));
    cr_assert_eq(memcmp(copy, bytes, size), 0);
}

Test(sendq, neighbouring_texts_leave_as_one_vector)
{
    struct fh_sendq q;
    struct iovec vector[8];

    fh_sendq_init(&q);
    push_text(&q, "one");
    push_text(&q, "two");
    cr_assert_eq(fh_sendq_peek(&q, vector, 8), 1);
    cr_assert_eq(vector[0].iov_len, 6);
    push_body(&q, "BODY");
    push_text(&q, "three");
    cr_assert_eq(fh_sendq_peek(&q, vector, 8), 3);
    expect(&q, "onetwoBODYthree");
    fh_sendq_fini(&q);
}

Test(sendq, a_body_stays_where_it_is_until_it_is_owned)
{
    struct fh_sendq q;
    struct iovec vector[8];
    char body[] = "body";

    fh_sendq_init(&q);
    push_text(&q, "head");
    push_body(&q, body);
    (void)fh_sendq_peek(&q, vector, 8);
    cr_assert_eq(vector[1].iov_base, (void *)body);
    fh_sendq_drop(&q, 5);
    cr_assert_eq(fh_sendq_own(&q, body, 4), 0);
    memset(body, 'x', 4);
    expect(&q, "ody");
    fh_sendq_drop(&q, 3);
    expect(&q, "");
    fh_sendq_fini(&q);
}

Test(sendq, owning_one_body_leaves_the_others_alone)
{
    struct fh_sendq q;
    struct iovec vector[8];
    char both[] = "aabb";

    fh_sendq_init(&q);
    cr_assert_not_null(fh_sendq_reserve(&q, 0));
    fh_sendq_push_body(&q, both, 2);
    cr_assert_not_null(fh_sendq_reserve(&q, 0));
    fh_sendq_push_body(&q, both + 2, 2);
    cr_assert_eq(fh_sendq_own(&q, both + 2, 2), 0);
    (void)fh_sendq_peek(&q, vector, 8);
    cr_assert_eq(vector[0].iov_base, (void *)both);
    cr_assert_neq(vector[1].iov_base, (void *)(both + 2));
    expect(&q, "aabb");
    fh_sendq_fini(&q);
}

/* A random walk of pushes and drops; the model is the string of all bytes ever pushed. */
Test(sendq, it_gives_back_what_was_pushed_in_order)
{
    enum { STEPS = 20000, TOTAL = STEPS * 64 };
    const char *seed_text = getenv("FH_SEED");
    unsigned seed = seed_text != NULL ? (unsigned)strtoul(seed_text, NULL, 10) : 42;
    char *model = malloc(TOTAL), *bodies = malloc(TOTAL);
    size_t pushed = 0, dropped = 0;
    struct fh_sendq q;

    fprintf(stderr, "FH_SEED=%u\n", seed);
    for (size_t i = 0; i < TOTAL; i++)
        model[i] = bodies[i] = (char)rand_r(&seed);
    fh_sendq_init(&q);
    for (int step = 0; step < STEPS; step++) {
        size_t size = (size_t)rand_r(&seed) % 64;
        uint8_t copy[512], *room;
        size_t copied;

        switch (rand_r(&seed) % 3) {
        case 0:
            room = fh_sendq_reserve(&q, size);
            cr_assert_not_null(room);
            memcpy(room, model + pushed, size);
            fh_sendq_push_text(&q, size);
            pushed += size;
            break;
        case 1:
            cr_assert_not_null(fh_sendq_reserve(&q, 0));
            fh_sendq_push_body(&q, bodies + pushed, size);
            pushed += size;
            break;
        default:
            size = size * 3 < pushed - dropped ? size * 3 : pushed - dropped;
            fh_sendq_drop(&q, size);
            dropped += size;
        }
        cr_assert_eq(q.bytes, pushed - dropped);
        copied = fh_sendq_copy(&q, copy, sizeof(copy));
        cr_assert_eq(memcmp(copy, model + dropped, copied), 0);
    }
    fh_sendq_fini(&q);
    free(model);
    free(bodies);
}
