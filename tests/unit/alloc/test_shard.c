/* A shard against a plain array: entries come and go anywhere, pieces with them, memory fails. */
#include "alloc/shard.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdbool.h>

#include "tests/support/rng.h"

enum { MANY = 1300 }; /* more than the first row of pointers leads to */

static struct fh_mem mem;
static struct fh_shard *shard;
static uint64_t expected[MANY];

static void setup(void)
{
    mem = (struct fh_mem){0};
    shard = fh_shard_create(&mem, 0, 3, 14);
    cr_assert_not_null(shard);
}

static void teardown(void)
{
    fh_shard_destroy(&mem, shard);
    cr_assert_eq(mem.used_bytes, 0);
}

TestSuite(shard, .init = setup, .fini = teardown, .timeout = 20);

static void is_as_expected(void)
{
    for (uint32_t i = 0; i < shard->count; i++)
        cr_assert_eq(fh_shard_at(shard, i), expected[i], "entry %u of %u", i, shard->count);
}

static bool make_room(void)
{
    struct fh_shard *s = shard->count < fh_shard_cap(shard) ? shard : fh_shard_grow(&mem, shard);

    shard = s ? s : shard;
    return s != NULL;
}

static void put(uint32_t at, uint64_t entry)
{
    cr_assert(make_room());
    memmove(&expected[at + 1], &expected[at], (shard->count - at) * sizeof(expected[0]));
    expected[at] = entry;
    fh_shard_open(shard, at);
    fh_shard_set(shard, at, entry);
}

static void drop(uint32_t at)
{
    fh_shard_close(shard, at);
    memmove(&expected[at], &expected[at + 1], (shard->count - at) * sizeof(expected[0]));
    fh_shard_cut(&mem, shard);
}

static uint64_t any_entry(struct rng *g)
{
    return rng_below(g, UINT64_C(1) << 48);
}

Test(shard, entries_move_over_the_borders_of_pieces)
{
    for (uint32_t i = 0; i < 3 * FH_SHARD_PIECE; i++)
        put(0, i);
    is_as_expected();
    cr_assert_eq(shard->pieces, 3);
    for (uint32_t at = FH_SHARD_PIECE - 2; at < FH_SHARD_PIECE + 2; at++) {
        put(at, 1000 + at);
        is_as_expected();
        drop(at + 1);
        is_as_expected();
    }
    drop(shard->count - 1);
    put(shard->count, 7);
    is_as_expected();
}

Test(shard, a_random_walk_is_an_array)
{
    struct rng g = rng_from_env("shard");

    for (uint32_t step = 0; step < 20000; step++) {
        bool fill = rng_percent(&g, step / 4000 % 2 == 0 ? 80 : 20);
        if (fill && shard->count < MANY)
            put((uint32_t)rng_below(&g, shard->count + 1), any_entry(&g));
        else if (!fill && shard->count > 0)
            drop((uint32_t)rng_below(&g, shard->count));
        cr_assert_leq(shard->count, fh_shard_cap(shard));
        cr_assert_leq(shard->pieces, shard->count / FH_SHARD_PIECE + 2);
        if (step % 50 == 0)
            is_as_expected();
    }
    is_as_expected();
}

Test(shard, it_keeps_depth_and_bits_when_it_moves)
{
    const struct fh_shard *before = shard;

    for (uint32_t i = 0; i < MANY; i++)
        put(i, i);
    cr_assert_neq(shard, before);
    cr_assert_eq(shard->depth, 3);
    cr_assert_eq(shard->bits, 14);
    is_as_expected();
}

Test(shard, what_cannot_grow_stays_as_it_was)
{
    uint32_t failures = 0;

    while (shard->count < MANY) {
        uint64_t used = mem.used_bytes;
        for (uint64_t k = 1;; k++) {
            mem.failed = false;
            mem.fail_at = mem.calls + k;
            bool made = make_room();
            if (!mem.failed)
                break;
            cr_assert_not(made);
            cr_assert_eq(mem.used_bytes, used);
            is_as_expected();
            failures++;
        }
        mem.fail_at = 0;
        put(shard->count, shard->count);
    }
    cr_assert_geq(failures, MANY / FH_SHARD_PIECE);
}

Test(shard, one_that_cannot_be_made_leaves_nothing)
{
    for (uint64_t n = 1; n <= 4; n++) {
        struct fh_mem m = {.fail_at = n};
        cr_assert_null(fh_shard_create(&m, 2 * FH_SHARD_PIECE, 0, 14));
        cr_assert_eq(m.used_bytes, 0);
    }
}

Test(shard, opening_a_full_one_is_a_programmer_error, .signal = SIGABRT)
{
    for (uint32_t i = 0; i < FH_SHARD_PIECE; i++)
        put(i, i);
    fh_shard_open(shard, 0);
}

Test(shard, closing_what_is_not_there_is_a_programmer_error, .signal = SIGABRT)
{
    fh_shard_close(shard, 0);
}
