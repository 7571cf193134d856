/* The pool of chunks: each is one taker's, warm ones go first, cold ones have no memory. */
#include "server/chunks.h"

#include <criterion/criterion.h>
#include <sys/mman.h>

enum { COUNT = 5 };

static struct fh_chunks chunks;
static uint8_t *base;

static void setup(void)
{
    base = mmap(NULL, COUNT * FH_CHUNK_BYTES, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    cr_assert_neq(base, MAP_FAILED);
    cr_assert_eq(fh_chunks_init(&chunks, base, COUNT * FH_CHUNK_BYTES), 0);
}

static void teardown(void)
{
    fh_chunks_fini(&chunks);
    munmap(base, COUNT * FH_CHUNK_BYTES);
}

TestSuite(chunks, .init = setup, .fini = teardown, .timeout = 20);

static uint32_t take(void)
{
    uint32_t chunk;

    cr_assert(fh_chunks_take(&chunks, &chunk));
    return chunk;
}

Test(chunks, each_is_taken_once_the_lowest_first)
{
    uint32_t chunk;

    for (uint32_t i = 0; i < COUNT; i++)
        cr_assert_eq(take(), i);
    cr_assert_not(fh_chunks_take(&chunks, &chunk));
    fh_chunks_give(&chunks, 3, false);
    fh_chunks_give(&chunks, 1, false);
    cr_assert_eq(fh_chunks_used(&chunks), COUNT - 2);
    cr_assert_eq(take(), 1);
    cr_assert_eq(take(), 3);
    cr_assert_not(fh_chunks_take(&chunks, &chunk));
}

Test(chunks, a_warm_one_goes_first_and_keeps_its_bytes)
{
    for (uint32_t i = 0; i < 4; i++)
        (void)take();
    base[2 * FH_CHUNK_BYTES] = 7;
    fh_chunks_give(&chunks, 0, false);
    fh_chunks_give(&chunks, 2, true);
    cr_assert_eq(fh_chunks_used(&chunks), 3);
    cr_assert_eq(take(), 2);
    cr_assert_eq(base[2 * FH_CHUNK_BYTES], 7);
    cr_assert_eq(take(), 0);
}

Test(chunks, a_warm_one_that_nobody_takes_is_cooled)
{
    for (uint32_t i = 0; i < COUNT; i++)
        (void)take();
    base[2 * FH_CHUNK_BYTES] = 7;
    base[4 * FH_CHUNK_BYTES] = 8;
    fh_chunks_give(&chunks, 2, true);
    fh_chunks_cool(&chunks);
    cr_assert_eq(fh_chunks_used(&chunks), COUNT - 1);
    cr_assert_eq(base[2 * FH_CHUNK_BYTES], 0, "its memory is gone");
    cr_assert_eq(base[4 * FH_CHUNK_BYTES], 8, "that of others is not");
    cr_assert_eq(take(), 2);
}
