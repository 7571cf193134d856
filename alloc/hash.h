/*
 * hash: the keyed hash of names. Clients choose the names, so without the key they cannot choose
 * collisions.
 *
 * Source     SipHash-2-4, Aumasson and Bernstein 2012; libsodium's crypto_shorthash.
 */
#ifndef FH_ALLOC_HASH_H
#define FH_ALLOC_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { FH_HASH_KEY_SIZE = 16 };

/* `salt` tells apart what is hashed under one key, e.g. tenants. */
uint64_t fh_hash(const uint8_t key[FH_HASH_KEY_SIZE], uint32_t salt, const void *bytes,
                 size_t size);

#endif
