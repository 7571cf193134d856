/* The random numbers of the server: all bytes are drawn, and no draw is like another. */
#include "server/random.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(random, every_byte_is_drawn_and_none_beyond)
{
    enum { SIZE = 100, DRAWS = 64 };
    uint8_t seen[SIZE + 2] = {0};

    for (uint32_t i = 0; i < DRAWS; i++) {
        uint8_t drawn[SIZE + 2] = {0};
        fh_random_bytes(NULL, drawn + 1, SIZE);
        for (uint32_t b = 0; b < sizeof(seen); b++)
            seen[b] |= drawn[b];
    }
    for (uint32_t b = 1; b <= SIZE; b++)
        cr_assert_neq(seen[b], 0, "byte %u stays 0", b); /* by chance once in 2^500 */
    cr_assert_eq(seen[0] | seen[SIZE + 1], 0);
}

Test(random, no_number_comes_twice)
{
    uint64_t keys[256];

    fh_random_bytes(NULL, keys, sizeof(keys));
    for (uint32_t i = 0; i < 256; i++)
        for (uint32_t k = 0; k < i; k++)
            cr_assert_neq(keys[i], keys[k]);
    fh_random_bytes(NULL, keys, 0);
}
