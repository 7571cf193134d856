/*
 * cipher: seals one page with AES-256-GCM and opens it again. The only file of the engine that
 * knows OpenSSL.
 *
 * A page is sealed for a slot under a nonce that is never used twice. Both are authenticated, and
 * so is the zone: a page opens only where, and as the version, it was sealed.
 *
 * Units      a page is FH_PAGE_SIZE bytes; nonces count pages sealed and have 48 bits.
 * Ownership  caller owns the struct; keys live and die with it and are never written anywhere.
 * Threads    one zone thread.
 * Errors     -EBADMSG the tag does not hold; -EIO OpenSSL failed or has no memory.
 * Cost       1 to 2 us per page with AES-NI.
 */
#ifndef FH_ALLOC_CIPHER_H
#define FH_ALLOC_CIPHER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "ids.h"

enum {
    FH_CIPHER_KEY_BYTES = 32,
    FH_CIPHER_TAG_BYTES = 16,
    FH_CIPHER_KEY_SHIFT = 36, /* a key seals at most 2^36 pages: the nonce's upper bits choose it */
    FH_CIPHER_KEYS = 1024,
};

/* Nonces below this can be used: 2^46 pages, 256 PiB written. */
#define FH_CIPHER_NONCE_END ((uint64_t)FH_CIPHER_KEYS << FH_CIPHER_KEY_SHIFT)

struct evp_cipher_ctx_st; /* OpenSSL's EVP_CIPHER_CTX and EVP_CIPHER */
struct evp_cipher_st;

struct fh_cipher_stats {
    uint64_t sealed, opened; /* pages */
    uint64_t refused;        /* tags that did not hold */
    uint64_t failures;       /* of OpenSSL */
    uint32_t keys;           /* drawn so far */
};

struct fh_cipher {
    uint32_t zone; /* part of every nonce and of what is authenticated */
    void (*random)(void *ctx, void *buf, size_t size);
    void *random_ctx;
    struct evp_cipher_st *algorithm;                /* fetched once: a fetch takes locks */
    struct evp_cipher_ctx_st *keys[FH_CIPHER_KEYS]; /* a context with its key set; NULL: not drawn
                                                       yet [I1] */
    struct fh_cipher_stats stats;
};

/* Which page: the place it is sealed for, and the number that makes it unique. */
struct fh_cipher_id {
    struct fh_slot slot;
    uint64_t nonce; /* < FH_CIPHER_NONCE_END; never twice for a seal */
};

/* `random` is a CSPRNG and serves for the keys. */
FH_CHECKED int fh_cipher_init(struct fh_cipher *, uint32_t zone,
                              void (*random)(void *ctx, void *buf, size_t size), void *random_ctx);
void fh_cipher_fini(struct fh_cipher *);

/* Reads the page, writes FH_PAGE_SIZE sealed bytes and the tag. */
FH_CHECKED int fh_cipher_seal(struct fh_cipher *, struct fh_cipher_id, const uint8_t *page,
                              uint8_t *sealed, uint8_t tag[FH_CIPHER_TAG_BYTES]);
/* `sealed` and `page` may be the same. On any error the page is filled with zeros: nobody may see
 * bytes that are not authentic. */
FH_CHECKED int fh_cipher_open(struct fh_cipher *, struct fh_cipher_id, const uint8_t *sealed,
                              uint8_t *page, const uint8_t tag[FH_CIPHER_TAG_BYTES]);

void fh_cipher_stats(const struct fh_cipher *, struct fh_cipher_stats *out);
bool fh_cipher_check(const struct fh_cipher *, FILE *why);
void fh_cipher_dump(const struct fh_cipher *, FILE *out); /* counters only */

#endif
