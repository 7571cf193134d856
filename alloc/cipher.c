/*
 * Theory.  GCM is safe as long as no two pages are sealed under one pair of key and nonce. The
 * nonce is a counter, so it cannot repeat; its 12 bits above 2^36 choose the key, so no key seals
 * more than 2^36 pages. A key is drawn when its first nonce comes up, given to OpenSSL and wiped:
 * what stays is OpenSSL's context, which is used again for each page with only the nonce changed
 * (setting the key anew for each page costs half as much again).
 *
 *   nonce of GCM, 96 bits    zone 32 | 0 16 | nonce 48               little endian
 *   authenticated besides    zone 32 | slot 32 | nonce 64            little endian
 *
 * A context's expanded key lies on OpenSSL's heap, which OpenSSL wipes when the context is freed;
 * keeping that heap out of core dumps is the process's duty.
 *
 * Invariants
 *   [I1] stats.keys equals the number of contexts
 *   [I2] where no key was drawn no page was sealed, opened or refused
 * Source: NIST SP 800-38D, sections 8.2.1 and 8.3.
 */
#include "cipher.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/mman.h>

#include "report.h"

enum { IV_BYTES = 12, AAD_BYTES = 16 };

static void put_le(uint8_t *to, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static int cipher_failed(struct fh_cipher *c)
{
    ERR_clear_error(); /* the thread's queue is shared with the server's TLS */
    c->stats.failures++;
    return -EIO;
}

/* A page for key bytes that is neither swapped (as far as the limits allow) nor dumped. */
static uint8_t *key_page_take(void)
{
    void *page =
        mmap(NULL, FH_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    (void)madvise(page, FH_PAGE_SIZE, MADV_DONTDUMP);
    (void)mlock(page, FH_PAGE_SIZE); /* best effort: RLIMIT_MEMLOCK may be 0 */
    return page;
}

static void key_page_give(uint8_t *page)
{
    OPENSSL_cleanse(page, FH_PAGE_SIZE);
    munmap(page, FH_PAGE_SIZE);
}

/* A context with a fresh random key, or NULL. */
static EVP_CIPHER_CTX *key_draw(struct fh_cipher *c)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    uint8_t *key = key_page_take();
    bool ok = false;

    if (context && key) {
        c->random(c->random_ctx, key, FH_CIPHER_KEY_BYTES);
        ok = EVP_CipherInit_ex2(context, c->algorithm, key, NULL, 1, NULL) == 1;
    }
    if (key)
        key_page_give(key);
    if (ok)
        return context;
    EVP_CIPHER_CTX_free(context);
    return NULL;
}

/* The context of the key this nonce belongs to, drawn if it is the first; NULL when that fails. */
static EVP_CIPHER_CTX *cipher_key(struct fh_cipher *c, uint64_t nonce)
{
    FH_ASSERT(nonce < FH_CIPHER_NONCE_END);
    EVP_CIPHER_CTX **key = &c->keys[nonce >> FH_CIPHER_KEY_SHIFT];
    if (!*key && (*key = key_draw(c)) != NULL)
        c->stats.keys++;
    return *key;
}

int fh_cipher_init(struct fh_cipher *c, uint32_t zone,
                   void (*random)(void *ctx, void *buf, size_t size), void *random_ctx)
{
    FH_ASSERT(random);
    memset(c, 0, sizeof(*c));
    c->zone = zone;
    c->random = random;
    c->random_ctx = random_ctx;
    c->algorithm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    if (c->algorithm && cipher_key(c, 0))
        return 0;
    EVP_CIPHER_free(c->algorithm);
    c->algorithm = NULL;
    return cipher_failed(c);
}

void fh_cipher_fini(struct fh_cipher *c)
{
    for (uint32_t i = 0; i < FH_CIPHER_KEYS; i++)
        EVP_CIPHER_CTX_free(c->keys[i]); /* wipes the key */
    EVP_CIPHER_free(c->algorithm);
    memset(c, 0, sizeof(*c));
}

/* Nonce and authenticated data of one page; enc 1 seals, 0 opens. */
static bool cipher_begin(struct fh_cipher *c, EVP_CIPHER_CTX *context, struct fh_cipher_id id,
                         int enc)
{
    uint8_t iv[IV_BYTES], aad[AAD_BYTES];
    int size;

    put_le(iv, c->zone, 4);
    put_le(iv + 4, 0, 2);
    put_le(iv + 6, id.nonce, 6);
    put_le(aad, c->zone, 4);
    put_le(aad + 4, id.slot.v, 4);
    put_le(aad + 8, id.nonce, 8);
    return EVP_CipherInit_ex2(context, NULL, NULL, iv, enc, NULL) == 1 &&
           EVP_CipherUpdate(context, NULL, &size, aad, AAD_BYTES) == 1;
}

int fh_cipher_seal(struct fh_cipher *c, struct fh_cipher_id id, const uint8_t *page,
                   uint8_t *sealed, uint8_t tag[FH_CIPHER_TAG_BYTES])
{
    EVP_CIPHER_CTX *context = cipher_key(c, id.nonce);
    int size = 0, rest = 0;

    bool ok = context && cipher_begin(c, context, id, 1) &&
              EVP_CipherUpdate(context, sealed, &size, page, FH_PAGE_SIZE) == 1 &&
              size == FH_PAGE_SIZE && EVP_CipherFinal_ex(context, sealed + size, &rest) == 1 &&
              EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, FH_CIPHER_TAG_BYTES, tag) == 1;
    if (!ok)
        return cipher_failed(c);
    c->stats.sealed++;
    return 0;
}

static int cipher_open(struct fh_cipher *c, struct fh_cipher_id id, const uint8_t *sealed,
                       uint8_t *page, const uint8_t tag[FH_CIPHER_TAG_BYTES])
{
    EVP_CIPHER_CTX *context = c->keys[id.nonce >> FH_CIPHER_KEY_SHIFT];
    uint8_t expected[FH_CIPHER_TAG_BYTES];
    int size = 0, rest = 0;

    memcpy(expected, tag, sizeof(expected)); /* ctrl takes no const */
    bool ok =
        context && cipher_begin(c, context, id, 0) &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, FH_CIPHER_TAG_BYTES, expected) == 1 &&
        EVP_CipherUpdate(context, page, &size, sealed, FH_PAGE_SIZE) == 1 && size == FH_PAGE_SIZE;
    if (!ok)
        return cipher_failed(c);
    if (EVP_CipherFinal_ex(context, page + size, &rest) != 1) {
        ERR_clear_error();
        c->stats.refused++;
        return -EBADMSG;
    }
    c->stats.opened++;
    return 0;
}

int fh_cipher_open(struct fh_cipher *c, struct fh_cipher_id id, const uint8_t *sealed,
                   uint8_t *page, const uint8_t tag[FH_CIPHER_TAG_BYTES])
{
    FH_ASSERT(id.nonce < FH_CIPHER_NONCE_END);
    int rc = cipher_open(c, id, sealed, page, tag);
    if (rc != 0)
        memset(page, 0, FH_PAGE_SIZE);
    return rc;
}

void fh_cipher_stats(const struct fh_cipher *c, struct fh_cipher_stats *out)
{
    *out = c->stats;
}

bool fh_cipher_check(const struct fh_cipher *c, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint32_t keys = 0;

    for (uint32_t i = 0; i < FH_CIPHER_KEYS; i++)
        keys += c->keys[i] != NULL;
    if (keys != c->stats.keys)
        fh_report(&r, "[I1] cipher: %u keys drawn, %u found", c->stats.keys, keys);
    if (keys == 0 && c->stats.sealed + c->stats.opened + c->stats.refused != 0)
        fh_report(&r, "[I2] cipher: pages passed without a key");
    return r.broken == 0;
}

void fh_cipher_dump(const struct fh_cipher *c, FILE *out)
{
    fprintf(out, "cipher zone %u keys %u sealed %lu opened %lu refused %lu failures %lu\n", c->zone,
            c->stats.keys, (unsigned long)c->stats.sealed, (unsigned long)c->stats.opened,
            (unsigned long)c->stats.refused, (unsigned long)c->stats.failures);
}
