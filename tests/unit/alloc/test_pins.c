/* Which bytes are pinned, beside an array with a byte for each of them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/bits.h"
#include "alloc/pins.h"
#include "tests/support/rng.h"

enum { PAGE = FH_PAGE_SIZE, ALL = 1 << 30 };

static struct fh_mem mem;
static struct fh_pins pins;

static void setup(void)
{
    memset(&mem, 0, sizeof(mem));
    fh_pins_init(&pins, &mem);
}

static void teardown(void)
{
    cr_assert(fh_pins_check(&pins, stderr));
    fh_pins_fini(&pins);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(pins, .init = setup, .fini = teardown, .timeout = 20);

static struct fh_addr at(uint64_t byte)
{
    return (struct fh_addr){byte};
}

static struct fh_page page(uint64_t number)
{
    return (struct fh_page){number};
}

static int add(uint64_t from, uint64_t to, uint32_t *taker)
{
    return fh_pins_add(&pins, at(from), at(to), ALL, taker);
}

/* Pinned for good, in the object [low, high). */
static void pin_in(uint64_t from, uint64_t to, uint64_t low, uint64_t high)
{
    uint32_t taker;

    cr_assert_eq(add(from, to, &taker), 0);
    fh_pins_settle(&pins, taker, at(from), at(to), at(low), at(high));
    cr_assert(fh_pins_check(&pins, stderr));
}

static void pin(uint64_t from, uint64_t to)
{
    pin_in(from, to, 0, ALL);
}

Test(pins, nothing_is_pinned_at_first)
{
    struct fh_page first, end;

    cr_assert_not(fh_pins_has(&pins, page(0)));
    cr_assert_not(fh_pins_next(&pins, page(0), &first, &end));
    cr_assert_not(fh_pins_forget(&pins, at(0), at(ALL)));
    cr_assert_eq(fh_pins_remove(&pins, at(0), at(ALL)), 0);
    cr_assert_eq(pins.pages, 0);
}

Test(pins, a_page_is_pinned_as_long_as_a_byte_of_it_is)
{
    pin(3 * PAGE + 10, 3 * PAGE + 20);
    pin(3 * PAGE + 100, 5 * PAGE + 1);
    cr_assert_eq(pins.pages, 3);
    cr_assert_eq(pins.count, 2);
    cr_assert_not(fh_pins_has(&pins, page(2)));
    cr_assert(fh_pins_has(&pins, page(3)));
    cr_assert(fh_pins_has(&pins, page(5)));
    cr_assert_not(fh_pins_has(&pins, page(6)));
    cr_assert_eq(fh_pins_remove(&pins, at(3 * PAGE + 100), at(5 * PAGE + 1)), 0);
    cr_assert_eq(pins.pages, 1);
    cr_assert(fh_pins_has(&pins, page(3)));
}

Test(pins, runs_that_meet_in_an_object_become_one)
{
    pin_in(0, 100, 0, 300);
    pin_in(200, 300, 0, 300);
    pin_in(100, 200, 0, 300);
    cr_assert_eq(pins.count, 1);
    pin_in(300, 400, 300, 400);
    cr_assert_eq(pins.count, 2, "the neighbour's is its own");
    cr_assert(fh_pins_forget(&pins, at(0), at(300)));
    cr_assert_eq(fh_pins_bytes(&pins, at(0), at(ALL)), 100);
}

Test(pins, a_hole_in_the_middle_makes_two)
{
    pin(0, 10 * PAGE);
    cr_assert_eq(fh_pins_remove(&pins, at(4 * PAGE), at(6 * PAGE)), 0);
    cr_assert_eq(pins.count, 2);
    cr_assert_eq(pins.pages, 8);
    cr_assert_eq(fh_pins_pages(&pins, at(3 * PAGE), at(7 * PAGE)), 2);
    cr_assert_eq(fh_pins_bytes(&pins, at(0), at(ALL)), 8 * PAGE);
}

Test(pins, too_many_pages_are_refused_and_nothing_changed)
{
    uint32_t taker;

    pin(0, 3 * PAGE);
    cr_assert_eq(fh_pins_add(&pins, at(2 * PAGE), at(6 * PAGE), 5, &taker), -EDQUOT);
    cr_assert_eq(pins.pages, 3);
    cr_assert_eq(pins.count, 1);
    cr_assert_eq(fh_pins_add(&pins, at(2 * PAGE), at(5 * PAGE), 5, &taker), 0);
    fh_pins_settle(&pins, taker, at(2 * PAGE), at(5 * PAGE), at(0), at(ALL));
    cr_assert_eq(fh_pins_add(&pins, at(PAGE), at(2 * PAGE), 0, &taker), 0, "it was pinned already");
}

Test(pins, too_many_runs_are_refused)
{
    uint32_t taker;

    for (uint64_t i = 0; i < FH_PINS_MAX; i++)
        cr_assert_eq(fh_pins_add(&pins, at(i * 16), at(i * 16 + 8), ALL, &taker), 0);
    for (uint64_t i = 0; i < pins.count; i++)
        pins.runs[i].taker = 0;
    cr_assert_eq(add(FH_PINS_MAX * 16, FH_PINS_MAX * 16 + 1, &taker), -EDQUOT);
    cr_assert_eq(fh_pins_remove(&pins, at(2), at(4)), -EDQUOT);
    cr_assert_eq(pins.count, FH_PINS_MAX);
}

Test(pins, what_is_under_way_is_its_takers)
{
    uint32_t first, second;

    pin(2 * PAGE, 3 * PAGE);
    cr_assert_eq(add(0, 10 * PAGE, &first), 0);
    cr_assert_eq(pins.pages, 10);
    cr_assert_eq(pins.count, 3);
    cr_assert_not(fh_pins_has_settled(&pins, page(1)));
    cr_assert(fh_pins_has_settled(&pins, page(2)));
    cr_assert_eq(add(9 * PAGE, 11 * PAGE, &second), -EBUSY);
    cr_assert_eq(add(10 * PAGE, 11 * PAGE, &second), 0);
    cr_assert(fh_pins_undo(&pins, first));
    cr_assert_not(fh_pins_undo(&pins, first));
    cr_assert_eq(pins.pages, 2);
    cr_assert(fh_pins_has(&pins, page(2)));
    cr_assert(fh_pins_has(&pins, page(10)));
}

Test(pins, what_was_unpinned_while_under_way_stays_so)
{
    uint32_t taker;

    cr_assert_eq(add(0, 10 * PAGE, &taker), 0);
    cr_assert_eq(fh_pins_remove(&pins, at(4 * PAGE), at(5 * PAGE)), 0);
    fh_pins_settle(&pins, taker, at(0), at(10 * PAGE), at(0), at(ALL));
    cr_assert_eq(pins.pages, 9);
    cr_assert_eq(pins.count, 2);
}

Test(pins, each_request_for_memory_can_fail)
{
    uint32_t taker;

    mem.fail_at = mem.calls + 1;
    cr_assert_eq(add(0, PAGE, &taker), -ENOMEM);
    cr_assert_eq(pins.count, 0);
    for (uint64_t i = 0; i < 16; i++)
        pin(i * 3 * PAGE, (i * 3 + 2) * PAGE);
    mem.fail_at = mem.calls + 1;
    cr_assert_eq(fh_pins_remove(&pins, at(10), at(20)), -ENOMEM, "a hole needs a run more");
    cr_assert_eq(pins.count, 16);
    cr_assert_eq(pins.pages, 32);
    cr_assert_eq(fh_pins_remove(&pins, at(0), at(20)), 0, "the end of one does not");
}

Test(pins, next_finds_pinned_pages_in_order)
{
    struct fh_page first, end;

    pin(PAGE - 1, 2 * PAGE);
    pin(7 * PAGE, 9 * PAGE);
    cr_assert(fh_pins_next(&pins, page(0), &first, &end));
    cr_assert_eq(first.v, 0);
    cr_assert_eq(end.v, 2);
    cr_assert(fh_pins_next(&pins, page(8), &first, &end));
    cr_assert_eq(first.v, 8);
    cr_assert_eq(end.v, 9);
    cr_assert_not(fh_pins_next(&pins, page(9), &first, &end));
}

Test(pins, runs_move_both_ways)
{
    pin_in(100, 200, 0, PAGE);
    pin_in(300, 400, 0, PAGE);
    pin_in(5 * PAGE, 6 * PAGE, 5 * PAGE, 6 * PAGE);
    fh_pins_move(&pins, at(0), at(10 * PAGE + 50), PAGE);
    cr_assert(fh_pins_check(&pins, stderr));
    cr_assert_eq(fh_pins_bytes(&pins, at(10 * PAGE + 150), at(10 * PAGE + 250)), 100);
    cr_assert_eq(fh_pins_bytes(&pins, at(10 * PAGE + 350), at(10 * PAGE + 450)), 100);
    cr_assert_not(fh_pins_has(&pins, page(0)));
    fh_pins_move(&pins, at(10 * PAGE + 50), at(2 * PAGE), PAGE);
    cr_assert(fh_pins_check(&pins, stderr));
    cr_assert_eq(fh_pins_bytes(&pins, at(2 * PAGE), at(3 * PAGE)), 200);
    cr_assert_eq(pins.pages, 2);
    fh_pins_move(&pins, at(0), at(20 * PAGE), PAGE);
    cr_assert_eq(pins.pages, 2, "nothing is pinned there");
}

Test(pins, check_sees_what_is_wrong)
{
    pin(0, PAGE);
    pin(3 * PAGE, 4 * PAGE);
    struct fh_pin was = pins.runs[1];
    pins.pages++;
    cr_assert_not(fh_pins_check(&pins, NULL), "[I2]");
    pins.pages--;
    pins.runs[1].start.v = PAGE / 2;
    cr_assert_not(fh_pins_check(&pins, NULL), "[I1]");
    pins.runs[1] = was;
    pins.runs[1].end = was.start;
    cr_assert_not(fh_pins_check(&pins, NULL), "[I1]");
    pins.runs[1] = was;
}

Test(pins, dump_and_stats_tell_runs)
{
    char text[200] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");
    struct fh_pins_stats s;
    uint32_t taker;

    pin(16, 32);
    cr_assert_eq(add(64, 65, &taker), 0);
    fh_pins_dump(&pins, out);
    fclose(out);
    cr_assert_str_eq(text, "pins: 2, of 1 pages\n  10 to 20\n  40 to 41, under way\n");
    fh_pins_stats(&pins, &s);
    cr_assert_eq(s.runs, 2);
    cr_assert_eq(s.pages, 1);
}

/* --- a walk beside the dumbest model --- */

enum { OBJECTS = 12, ROOM = 700, BYTES = OBJECTS * ROOM };

static uint8_t owner[BYTES]; /* 0 = not pinned, 1 = settled, 2 and more: a taker's */

static uint64_t model_pages(void)
{
    uint64_t pages = 0, last = UINT64_MAX;

    for (uint64_t i = 0; i < BYTES; i++)
        if (owner[i] != 0 && i / PAGE != last) {
            pages++;
            last = i / PAGE;
        }
    return pages;
}

static void compare(void)
{
    uint64_t bytes = 0;

    cr_assert(fh_pins_check(&pins, stderr));
    for (uint64_t i = 0; i < BYTES; i++) {
        bytes += owner[i] != 0;
        cr_assert_eq(fh_pins_bytes(&pins, at(i), at(i + 1)), owner[i] != 0, "byte %lu",
                     (unsigned long)i);
    }
    cr_assert_eq(fh_pins_bytes(&pins, at(0), at(BYTES)), bytes);
    cr_assert_eq(pins.pages, model_pages());
}

struct pending {
    uint32_t taker;
    uint8_t mark;
    uint64_t from, to, object;
};

static void walk_add(struct rng *r, struct pending *p, uint8_t mark)
{
    uint64_t object = rng_below(r, OBJECTS);
    uint64_t from = object * ROOM + rng_below(r, ROOM - 1);
    uint64_t to = rng_between(r, from + 1, (object + 1) * ROOM);
    bool busy = false;

    for (uint64_t i = from; i < to; i++)
        busy = busy || owner[i] > 1;
    int rc = add(from, to, &p->taker);
    cr_assert_eq(rc, busy ? -EBUSY : 0);
    if (rc != 0)
        return;
    *p = (struct pending){p->taker, mark, from, to, object};
    for (uint64_t i = from; i < to; i++)
        owner[i] = owner[i] == 0 ? mark : owner[i];
}

static void walk_end(struct rng *r, struct pending *p)
{
    bool settles = rng_percent(r, 60);

    if (settles)
        fh_pins_settle(&pins, p->taker, at(p->from), at(p->to), at(p->object * ROOM),
                       at((p->object + 1) * ROOM));
    else
        (void)fh_pins_undo(&pins, p->taker);
    for (uint64_t i = 0; i < BYTES; i++)
        if (owner[i] == p->mark)
            owner[i] = settles;
    p->mark = 0;
}

Test(pins, a_walk_agrees_with_an_array_of_bytes)
{
    struct rng r = rng_from_env("pins");
    struct pending pending[3] = {{0}};

    for (uint32_t step = 0; step < 1500; step++) {
        uint32_t which = (uint32_t)rng_below(&r, 3);
        uint64_t object = rng_below(&r, OBJECTS);
        uint64_t from = object * ROOM + rng_below(&r, ROOM);
        uint64_t to = rng_between(&r, from, (object + 1) * ROOM);
        if (rng_percent(&r, 30)) {
            cr_assert_eq(fh_pins_remove(&pins, at(from), at(to)), 0);
            memset(owner + from, 0, to - from);
        } else if (rng_percent(&r, 15)) {
            (void)fh_pins_forget(&pins, at(object * ROOM), at((object + 1) * ROOM));
            memset(owner + object * ROOM, 0, ROOM);
        } else if (pending[which].mark != 0) {
            walk_end(&r, &pending[which]);
        } else {
            walk_add(&r, &pending[which], (uint8_t)(2 + which));
        }
        if (step % 10 == 0)
            compare();
    }
    compare();
}
