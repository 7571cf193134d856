#include "hash.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>

_Static_assert(FH_HASH_KEY_SIZE == crypto_shorthash_KEYBYTES, "a key is what SipHash takes");
_Static_assert(sizeof(uint64_t) == crypto_shorthash_BYTES, "a hash is one word");

uint64_t fh_hash(const uint8_t key[FH_HASH_KEY_SIZE], uint32_t salt, const void *bytes, size_t size)
{
    uint64_t salted[FH_HASH_KEY_SIZE / sizeof(uint64_t)]; /* words: SipHash loads it as such */
    uint8_t digest[crypto_shorthash_BYTES];
    uint64_t hash;

    memcpy(salted, key, sizeof(salted));
    salted[0] ^= htole64(salt);
    (void)crypto_shorthash(digest, bytes, size, (uint8_t *)salted); /* it cannot fail */
    memcpy(&hash, digest, sizeof(hash));
    return hash;
}
