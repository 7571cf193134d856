/* The trace simulator: what it reads, and that its policies are what their names say. */
#include "tests/support/trace.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/rng.h"

static struct trace t;
static char path[64];

static void setup(void)
{
    strcpy(path, "/var/tmp/farheap-trace.XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
}

static void teardown(void)
{
    trace_free(&t);
    unlink(path);
}

TestSuite(trace, .init = setup, .fini = teardown, .timeout = 60);

static int load(const char *text, size_t size)
{
    FILE *out = fopen(path, "w");

    cr_assert_not_null(out);
    cr_assert_eq(fwrite(text, 1, size, out), size);
    fclose(out);
    trace_free(&t);
    return trace_load(&t, path);
}

static int load_text(const char *text)
{
    return load(text, strlen(text));
}

Test(trace, renumbers_ids_of_any_size_in_order_of_their_first_request)
{
    static const uint32_t expected[] = {0, 1, 0, 2, 1};

    cr_assert_eq(load_text("18446744073709551615\n7\r\n18446744073709551615\n\n  0 \n7"), 0);
    cr_assert_eq(t.count, 5);
    cr_assert_eq(t.pages, 3);
    cr_assert_arr_eq(t.requests, expected, sizeof(expected));
}

Test(trace, an_empty_file_has_no_request)
{
    cr_assert_eq(load_text(""), -ENODATA);
    cr_assert_eq(load_text("\n\n"), -ENODATA);
}

Test(trace, a_line_that_is_no_id_is_named)
{
    static const char *const bad[] = {"1\n2\nx\n4\n", "1\n2\n-3\n",
                                      "1\n2\n3 4\n",  "1\n2\n0x3\n",
                                      "1\n2\n3.5\n",  "1\n2\n18446744073709551616\n"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(load_text(bad[i]), -EINVAL, "%s", bad[i]);
        cr_assert_eq(t.line, 3);
    }
    cr_assert_eq(load("1\n2\n3\0\n", 7), -EINVAL);
    cr_assert_eq(load("1\n2\n3", 5), 0);
}

Test(trace, a_file_that_is_not_there_is_told)
{
    cr_assert_eq(trace_load(&t, "/nonexistent/trace"), -ENOENT);
}

Test(trace, a_packed_file_cut_off_is_told)
{
    char bytes[3000];
    FILE *in = fopen(FARHEAP_SOURCE_DIR "/tests/data/vscsi.trace.gz", "r");

    cr_assert_eq(fread(bytes, 1, sizeof(bytes), in), sizeof(bytes));
    fclose(in);
    int rc = load(bytes, sizeof(bytes));
    cr_assert(rc == -EIO ||
              rc == -EINVAL); /* by its last line, or by the program that unpacks it */
}

Test(trace, many_different_blocks_are_told_apart)
{
    enum { BLOCKS = 200000 };
    FILE *out = fopen(path, "w");

    for (uint64_t round = 0; round < 2; round++)
        for (uint64_t i = 0; i < BLOCKS; i++)
            fprintf(out, "%llu\n", (unsigned long long)(i << 32));
    fclose(out);
    cr_assert_eq(trace_load(&t, path), 0);
    cr_assert_eq(t.pages, BLOCKS);
    for (uint32_t i = 0; i < 2 * BLOCKS; i++)
        cr_assert_eq(t.requests[i], i % BLOCKS);
}

Test(trace, policies_do_what_their_names_say)
{
    cr_assert_eq(load_text("1\n2\n1\n3\n1\n2\n"), 0);
    cr_assert_eq(trace_lru(&t, 2), 4);   /* 3 throws out 2 */
    cr_assert_eq(trace_clock(&t, 2), 4); /* 1 was touched: 2 goes */
    cr_assert_eq(trace_sieve(&t, 2), 4);
    cr_assert_eq(trace_belady(&t, 2), 4); /* 1 is needed first: 2 goes */
    cr_assert_eq(load_text("1\n2\n3\n1\n2\n3\n1\n2\n3\n"), 0);
    cr_assert_eq(trace_lru(&t, 2), 9, "a loop larger than the cache");
    cr_assert_eq(trace_belady(&t, 2), 6);
}

/* The dumbest right model: looks ahead in the trace at every miss. */
static uint64_t belady_by_looking(uint32_t cache)
{
    uint64_t misses = 0;
    uint32_t in[8], count = 0;

    for (uint32_t i = 0; i < t.count; i++) {
        uint32_t at = 0, worst = 0, worst_next = 0;
        while (at < count && in[at] != t.requests[i])
            at++;
        if (at < count)
            continue;
        misses++;
        if (count < cache) {
            in[count++] = t.requests[i];
            continue;
        }
        for (uint32_t c = 0; c < count; c++) {
            uint32_t next = i + 1;
            while (next < t.count && t.requests[next] != in[c])
                next++;
            if (next > worst_next) {
                worst_next = next;
                worst = c;
            }
        }
        in[worst] = t.requests[i];
    }
    return misses;
}

Test(trace, belady_is_belady_and_nobody_misses_less)
{
    struct rng r = rng_from_env("trace");

    for (uint32_t round = 0; round < 200; round++) {
        char text[4096] = "";
        uint32_t cache = (uint32_t)rng_between(&r, 1, 8);
        for (uint32_t i = 0; i < 300; i++)
            sprintf(text + strlen(text), "%u\n", (unsigned)rng_below(&r, 20));
        cr_assert_eq(load_text(text), 0);
        uint64_t best = trace_belady(&t, cache);
        cr_assert_eq(best, belady_by_looking(cache));
        cr_assert_geq(trace_farheap(&t, cache), best);
        cr_assert_geq(trace_lru(&t, cache), best);
        cr_assert_geq(trace_clock(&t, cache), best);
        cr_assert_geq(trace_sieve(&t, cache), best);
        trace_free(&t);
    }
}

Test(trace, a_cache_for_everything_misses_each_block_once)
{
    cr_assert_eq(trace_load(&t, FARHEAP_SOURCE_DIR "/tests/data/vscsi.trace.gz"), 0);
    cr_assert_eq(trace_farheap(&t, t.pages), t.pages);
    cr_assert_eq(trace_lru(&t, t.pages), t.pages);
    cr_assert_eq(trace_clock(&t, t.pages), t.pages);
    cr_assert_eq(trace_sieve(&t, t.pages), t.pages);
    cr_assert_eq(trace_belady(&t, t.pages), t.pages);
}
