/* The keyed hash: SipHash-2-4 as published, and that key and salt matter. */
#include "alloc/hash.h"

#include <criterion/criterion.h>
#include <string.h>

static uint64_t hash(uint8_t key_byte, uint32_t salt, const char *text)
{
    uint8_t key[FH_HASH_KEY_SIZE];
    memset(key, key_byte, sizeof(key));
    return fh_hash(key, salt, text, strlen(text));
}

TestSuite(hash, .timeout = 10);

/* The example of the paper, appendix A: key 00..0f, message 00..0e. */
Test(hash, is_siphash_2_4)
{
    uint8_t key[FH_HASH_KEY_SIZE], message[15];

    for (uint8_t i = 0; i < sizeof(key); i++)
        key[i] = i;
    for (uint8_t i = 0; i < sizeof(message); i++)
        message[i] = i;
    cr_assert_eq(fh_hash(key, 0, message, sizeof(message)), UINT64_C(0xa129ca6149be45e5));
    cr_assert_eq(fh_hash(key, 0, message, 0), UINT64_C(0x726fdb47dd0e0e31), "of nothing");
}

Test(hash, depends_on_key_salt_and_every_byte)
{
    uint64_t h = hash(1, 2, "a name");

    cr_assert_eq(hash(1, 2, "a name"), h);
    cr_assert_neq(hash(2, 2, "a name"), h);
    cr_assert_neq(hash(1, 3, "a name"), h);
    cr_assert_neq(hash(1, UINT32_C(2) << 24, "a name"), h);
    cr_assert_neq(hash(1, 2, "a namf"), h);
    cr_assert_neq(hash(1, 2, "a nam"), h);
    cr_assert_neq(hash(1, 2, ""), h);
}
