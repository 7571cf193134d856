/* Calls in the line, on I/O and ready: who runs when, and how often its owner is told. */
#include "alloc/waiter.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

struct counted {
    struct fh_call call;
    int answers[4]; /* of step, in turn */
    uint32_t steps, dones;
};

static struct fh_line line;

static int counted_step(struct fh_call *call)
{
    struct counted *c = FH_CONTAINER_OF(call, struct counted, call);
    int rc = c->answers[c->steps++];

    if (rc == -EINPROGRESS)
        fh_line_park(&line, call, 1);
    return rc;
}

static void counted_done(struct fh_call *call)
{
    FH_CONTAINER_OF(call, struct counted, call)->dones++;
}

static void counted_init(struct counted *c)
{
    memset(c, 0xA5, sizeof(*c));
    c->steps = 0;
    c->dones = 0;
    memset(c->answers, 0, sizeof(c->answers));
    c->call.done = counted_done;
    fh_call_init(&c->call, counted_step);
}

static void setup(void)
{
    memset(&line, 0xA5, sizeof(line));
    fh_line_init(&line);
}

TestSuite(waiter, .init = setup, .timeout = 10);

Test(waiter, an_empty_line_has_no_head)
{
    cr_assert(fh_line_is_empty(&line));
    cr_assert_null(fh_line_head(&line));
    cr_assert_eq(line.count, 0);
    cr_assert_eq(line.parked_total, 0);
}

Test(waiter, the_line_keeps_the_order_of_arrival)
{
    static struct counted c[5];

    for (uint32_t i = 0; i < 5; i++) {
        counted_init(&c[i]);
        fh_line_park(&line, &c[i].call, i + 1);
    }
    cr_assert_eq(line.count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_eq(fh_line_head(&line), &c[i].call);
        cr_assert_eq(fh_line_head(&line)->need, i + 1);
        fh_line_leave(&line, &c[i].call);
    }
    cr_assert(fh_line_is_empty(&line));
    cr_assert_eq(line.count, 0);
    cr_assert_eq(line.parked_total, 5);
}

Test(waiter, who_was_admitted_goes_back_to_the_head)
{
    static struct counted first, second;

    counted_init(&first);
    counted_init(&second);
    first.answers[0] = -EINPROGRESS;
    fh_line_park(&line, &first.call, 1);
    fh_line_park(&line, &second.call, 1);
    fh_line_leave(&line, &first.call);
    fh_call_run(&first.call);
    cr_assert_eq(fh_line_head(&line), &first.call);
    cr_assert_eq(first.dones, 0);
}

Test(waiter, the_owner_is_told_once_when_it_is_over)
{
    static struct counted c;

    counted_init(&c);
    c.answers[0] = -EINPROGRESS;
    c.answers[1] = -EIO;
    fh_call_run(&c.call);
    cr_assert_eq(c.dones, 0, "parked again");
    fh_line_leave(&line, &c.call);
    fh_call_run(&c.call);
    cr_assert_eq(c.dones, 1);
    cr_assert_eq(c.call.rc, -EIO);
    cr_assert_not(c.call.admitted, "the next request of this struct queues like any other");
    cr_assert_null(c.call.hold);
}

Test(waiter, an_owner_without_done_is_fine)
{
    static struct counted c;

    counted_init(&c);
    c.call.done = NULL;
    fh_call_run(&c.call);
    cr_assert_eq(c.call.rc, 0);
    cr_assert_eq(c.steps, 1);
}

Test(waiter, a_call_on_io_is_in_no_list_until_its_pages_are_there)
{
    static struct counted c;
    struct fh_hold *hold = (struct fh_hold *)(void *)&c; /* only passed on */

    counted_init(&c);
    fh_line_park_on_io(&line, &c.call, hold);
    cr_assert_eq(c.call.state, FH_CALL_ON_IO);
    cr_assert_eq(c.call.hold, hold);
    cr_assert(fh_line_is_empty(&line));
    cr_assert(fh_list_is_empty(&line.ready));
    cr_assert_eq(line.count, 1);
    fh_line_make_ready(&line, &c.call);
    cr_assert_eq(fh_list_first(&line.ready), &c.call.link);
    fh_line_leave(&line, &c.call);
    cr_assert(fh_list_is_empty(&line.ready));
    cr_assert_eq(line.count, 0);
}

Test(waiter, a_call_on_io_can_leave_before_its_pages_are_there)
{
    static struct counted c;

    counted_init(&c);
    fh_line_park_on_io(&line, &c.call, NULL);
    fh_line_leave(&line, &c.call);
    cr_assert_eq(c.call.state, FH_CALL_IDLE);
    cr_assert_eq(line.count, 0);
}

Test(waiter, parking_twice_is_a_programmer_error, .signal = SIGABRT)
{
    static struct counted c;

    counted_init(&c);
    fh_line_park(&line, &c.call, 1);
    fh_line_park(&line, &c.call, 1);
}

Test(waiter, making_an_idle_call_ready_is_a_programmer_error, .signal = SIGABRT)
{
    static struct counted c;

    counted_init(&c);
    fh_line_make_ready(&line, &c.call);
}

Test(waiter, leaving_without_waiting_is_a_programmer_error, .signal = SIGABRT)
{
    static struct counted c;

    counted_init(&c);
    fh_line_leave(&line, &c.call);
}

Test(waiter, running_a_parked_call_is_a_programmer_error, .signal = SIGABRT)
{
    static struct counted c;

    counted_init(&c);
    fh_line_park(&line, &c.call, 1);
    fh_call_run(&c.call);
}

Test(waiter, check_sees_a_call_in_the_wrong_list_and_a_wrong_count)
{
    struct fh_line_stats stats;
    struct counted c;

    counted_init(&c);
    fh_line_park(&line, &c.call, 3);
    fh_line_stats(&line, &stats);
    cr_assert_eq(stats.in_line, 1);
    cr_assert_eq(stats.on_io + stats.ready, 0);
    cr_assert(fh_line_check(&line, stderr));
    c.call.state = FH_CALL_READY; /* [I1] */
    cr_assert_not(fh_line_check(&line, NULL));
    c.call.state = FH_CALL_IN_LINE;
    line.count = 0; /* [I2] */
    cr_assert_not(fh_line_check(&line, NULL));
}
