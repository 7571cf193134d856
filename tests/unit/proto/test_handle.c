/* handle: one text per handle, and no other text is one. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/handle.h"

TestSuite(handle, .timeout = 10);

/* xorshift64*, so that a seed replays a walk. */
static uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

static uint64_t random_seed(void)
{
    const char *text = getenv("FH_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : 42;

    fprintf(stderr, "FH_SEED=%" PRIu64 "\n", seed);
    return seed ? seed : 1;
}

static void assert_round_trip(uint64_t address, uint64_t key)
{
    char text[FH_HANDLE_TEXT_SIZE];
    uint64_t address_read = ~address, key_read = ~key;
    size_t size = fh_handle_print(text, address, key);

    cr_assert_eq(size, strlen(text));
    cr_assert_lt(size, (size_t)FH_HANDLE_TEXT_SIZE);
    cr_assert(fh_handle_scan(text, size, &address_read, &key_read), "%s", text);
    cr_assert_eq(address_read, address);
    cr_assert_eq(key_read, key);
}

static void assert_no_handle(const char *text, size_t size)
{
    uint64_t address = 7, key = 9;

    cr_assert_not(fh_handle_scan(text, size, &address, &key), "%.*s", (int)size, text);
    cr_assert_eq(address, 7u);
    cr_assert_eq(key, 9u);
}

Test(handle, the_text_form_is_the_documented_one)
{
    char text[FH_HANDLE_TEXT_SIZE];
    uint64_t address = fh_address_make(3, 0x1a2b3000);

    fh_handle_print(text, address, UINT64_C(0x9f8e7d6c5b4a3921));
    cr_assert_str_eq(text, "fh:3:1a2b3000.9f8e7d6c5b4a3921");
    fh_handle_print(text, 0, 1);
    cr_assert_str_eq(text, "fh:0:0.0000000000000001");
}

Test(handle, the_public_form_tells_no_key)
{
    char text[FH_HANDLE_TEXT_SIZE];

    cr_assert_eq(fh_handle_print_public(text, fh_address_make(3, 0x1a2b3000)), strlen(text));
    cr_assert_str_eq(text, "fh:3:1a2b3000");
    fh_handle_print_public(text, UINT64_MAX);
    cr_assert_str_eq(text, "fh:ffff:ffffffffffff");
    assert_no_handle(text, strlen(text));
}

Test(handle, an_address_is_zone_and_offset)
{
    uint64_t address = fh_address_make(0xfffe, 0x123456789abc);

    cr_assert_eq(fh_address_zone(address), 0xfffeu);
    cr_assert_eq(fh_address_offset(address), UINT64_C(0x123456789abc));
}

Test(handle, the_edges_survive_a_round_trip)
{
    static const uint64_t edges[] = {
        0, 1, 15, 16, UINT64_C(0xffffffffffff), UINT64_C(1) << 48, UINT64_MAX - 1, UINT64_MAX};
    enum { COUNT = sizeof edges / sizeof *edges };

    for (size_t a = 0; a < COUNT; a++)
        for (size_t k = 0; k < COUNT; k++)
            assert_round_trip(edges[a], edges[k]);
}

Test(handle, random_handles_survive_a_round_trip)
{
    uint64_t state = random_seed();

    for (int i = 0; i < 100000; i++) {
        uint64_t address = random_next(&state) >> (random_next(&state) & 63);
        assert_round_trip(address, random_next(&state) >> (random_next(&state) & 63));
    }
}

Test(handle, every_other_spelling_is_refused)
{
    static const char *const wrong[] = {
        "",
        "f",
        "fh",
        "fh:",
        "fh:0",
        "fh:0:",
        "fh:0:0",
        "fh:0:0.",
        "fh:0:0.1",
        "fh:0:0.000000000000001",   /* 15 digits of key */
        "fh:0:0.00000000000000001", /* 17 */
        "fh:0:0.0000000000000001 ", /* something after it */
        " fh:0:0.0000000000000001", /* something before it */
        "FH:0:0.0000000000000001",  /* upper case */
        "fh:A:0.0000000000000001",
        "fh:0:B.0000000000000001",
        "fh:0:0.000000000000000F",
        "fh:00:0.0000000000000001", /* leading zeros */
        "fh:01:0.0000000000000001",
        "fh:0:00.0000000000000001",
        "fh:0:0a.0000000000000001",
        "fh:10000:0.0000000000000001",         /* a zone of 5 digits */
        "fh:0:1000000000000.0000000000000001", /* an offset of 13 digits */
        "fh::0.0000000000000001",
        "fh:0:.0000000000000001",
        "fh:0x0:0.0000000000000001",
        "fh:-1:0.0000000000000001",
        "fh:+1:0.0000000000000001",
        "fh:0:0:0000000000000001",
        "fh:0.0.0000000000000001",
        "fh.0:0.0000000000000001",
        "gh:0:0.0000000000000001",
        "fg:0:0.0000000000000001",
        "fh:0:0.000000000000000g",
        "fh:0:0.000000000000000`",
        "fh:0:0.0000000000000001\n",
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_no_handle(wrong[i], strlen(wrong[i]));
}

Test(handle, a_nul_inside_or_behind_is_refused)
{
    assert_no_handle("fh:0:0.0000000000000001", sizeof "fh:0:0.0000000000000001");
    assert_no_handle("fh:0:0\0000000000000000001", 23);
}

/* Whatever is scanned after one byte was changed prints as what was scanned. */
Test(handle, a_changed_byte_gives_another_handle_or_none)
{
    char text[FH_HANDLE_TEXT_SIZE], again[FH_HANDLE_TEXT_SIZE];
    uint64_t address, key;
    size_t taken = 0;
    size_t size = fh_handle_print(text, fh_address_make(0x1a, 0xbc0), 77);

    for (size_t at = 0; at < size; at++) {
        char kept = text[at];
        for (int c = 0; c < 256; c++) {
            text[at] = (char)c;
            if (!fh_handle_scan(text, size, &address, &key))
                continue;
            taken++;
            cr_assert_eq(fh_handle_print(again, address, key), size);
            cr_assert_eq(memcmp(again, text, size), 0);
        }
        text[at] = kept;
    }
    cr_assert_gt(taken, size);
}

Test(handle, a_text_cut_short_is_refused)
{
    char text[FH_HANDLE_TEXT_SIZE];
    size_t size = fh_handle_print(text, UINT64_MAX, UINT64_MAX);

    for (size_t cut = 0; cut < size; cut++)
        assert_no_handle(text, cut);
}
