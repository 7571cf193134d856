/* The page cipher against OpenSSL's plain use, and against every change an attacker could make. */
#include "alloc/cipher.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { ZONE = 0x01020304 };

static struct fh_cipher cipher;
static uint8_t page[FH_PAGE_SIZE], sealed[FH_PAGE_SIZE], opened[FH_PAGE_SIZE];
static uint8_t tag[FH_CIPHER_TAG_BYTES];
static const struct fh_cipher_id id = {{77}, UINT64_C(0x023456789A)};

/* The n-th key is 32 bytes of n. */
static uint8_t keys_drawn;

static void numbered_key(void *ctx, void *buf, size_t size)
{
    (void)ctx;
    memset(buf, ++keys_drawn, size);
}

static void setup(void)
{
    memset(&cipher, 0xA5, sizeof(cipher));
    keys_drawn = 0;
    cr_assert_eq(fh_cipher_init(&cipher, ZONE, numbered_key, NULL), 0);
    for (size_t i = 0; i < sizeof(page); i++)
        page[i] = (uint8_t)(i * 7 + i / 256);
}

static void teardown(void)
{
    fh_cipher_fini(&cipher);
}

TestSuite(cipher, .init = setup, .fini = teardown, .timeout = 20);

/* AES-256-GCM of the page as its users' manual describes it, written out by hand. */
static void seal_by_hand(const uint8_t key[32], uint8_t *out, uint8_t out_tag[16])
{
    static const uint8_t iv[12] = {4, 3, 2, 1, 0, 0, 0x9A, 0x78, 0x56, 0x34, 2, 0};
    static const uint8_t aad[16] = {4, 3, 2, 1, 77, 0, 0, 0, 0x9A, 0x78, 0x56, 0x34, 2, 0, 0, 0};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    cr_assert_eq(EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, iv), 1);
    cr_assert_eq(EVP_EncryptUpdate(ctx, NULL, &n, aad, sizeof(aad)), 1);
    cr_assert_eq(EVP_EncryptUpdate(ctx, out, &n, page, FH_PAGE_SIZE), 1);
    cr_assert_eq(EVP_EncryptFinal_ex(ctx, out + n, &n), 1);
    cr_assert_eq(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, 16, out_tag), 1);
    EVP_CIPHER_CTX_free(ctx);
}

Test(cipher, gives_the_bytes_that_openssl_gives)
{
    uint8_t key[32], expected[FH_PAGE_SIZE], expected_tag[16];

    memset(key, 1, sizeof(key));
    seal_by_hand(key, expected, expected_tag);
    for (int i = 0; i < 3; i++) { /* the context is used again and again */
        cr_assert_eq(fh_cipher_seal(&cipher, id, page, sealed, tag), 0);
        cr_assert_arr_eq(sealed, expected, FH_PAGE_SIZE);
        cr_assert_arr_eq(tag, expected_tag, 16);
        cr_assert_eq(fh_cipher_open(&cipher, id, sealed, opened, tag), 0);
        cr_assert_arr_eq(opened, page, FH_PAGE_SIZE);
    }
}

Test(cipher, opens_in_place)
{
    cr_assert_eq(fh_cipher_seal(&cipher, id, page, sealed, tag), 0);
    cr_assert_eq(fh_cipher_open(&cipher, id, sealed, sealed, tag), 0);
    cr_assert_arr_eq(sealed, page, FH_PAGE_SIZE);
}

static void assert_refused(struct fh_cipher_id as)
{
    static const uint8_t zeros[FH_PAGE_SIZE];
    uint64_t before = cipher.stats.refused;

    memset(opened, 0xEE, sizeof(opened));
    cr_assert_eq(fh_cipher_open(&cipher, as, sealed, opened, tag), -EBADMSG);
    cr_assert_arr_eq(opened, zeros, FH_PAGE_SIZE, "nobody may see what is not authentic");
    cr_assert_eq(cipher.stats.refused, before + 1);
}

Test(cipher, refuses_any_flipped_bit_of_text_and_tag)
{
    cr_assert_eq(fh_cipher_seal(&cipher, id, page, sealed, tag), 0);
    for (uint32_t bit = 0; bit < FH_PAGE_SIZE * 8; bit += 61) {
        sealed[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_refused(id);
        sealed[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (uint32_t bit = 0; bit < FH_CIPHER_TAG_BYTES * 8; bit++) {
        tag[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_refused(id);
        tag[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    cr_assert_eq(fh_cipher_open(&cipher, id, sealed, opened, tag), 0);
    cr_assert_arr_eq(opened, page, FH_PAGE_SIZE);
}

Test(cipher, refuses_another_slot_nonce_or_zone)
{
    cr_assert_eq(fh_cipher_seal(&cipher, id, page, sealed, tag), 0);
    assert_refused((struct fh_cipher_id){{id.slot.v + 1}, id.nonce});
    assert_refused((struct fh_cipher_id){id.slot, id.nonce + 1});
    assert_refused((struct fh_cipher_id){id.slot, 0});
    cipher.zone++;
    assert_refused(id);
    cipher.zone--;
    cr_assert_eq(fh_cipher_open(&cipher, id, sealed, opened, tag), 0);
}

Test(cipher, refuses_the_page_of_another_process)
{
    struct fh_cipher *other = malloc(sizeof(*other));

    cr_assert_eq(fh_cipher_init(other, ZONE, numbered_key, NULL), 0);
    cr_assert_eq(fh_cipher_seal(other, id, page, sealed, tag), 0);
    assert_refused(id);
    fh_cipher_fini(other);
    free(other);
}

Test(cipher, draws_a_new_key_after_2_to_the_36_pages_and_keeps_the_old_one)
{
    const struct fh_cipher_id last = {{5}, (UINT64_C(1) << FH_CIPHER_KEY_SHIFT) - 1};
    const struct fh_cipher_id first = {{6}, UINT64_C(1) << FH_CIPHER_KEY_SHIFT};
    const struct fh_cipher_id end = {{7}, FH_CIPHER_NONCE_END - 1};
    uint8_t next[FH_PAGE_SIZE], next_tag[FH_CIPHER_TAG_BYTES];

    cr_assert_eq(fh_cipher_seal(&cipher, last, page, sealed, tag), 0);
    cr_assert_eq(cipher.stats.keys, 1);
    cr_assert_eq(fh_cipher_seal(&cipher, first, page, next, next_tag), 0);
    cr_assert_eq(cipher.stats.keys, 2);
    cr_assert_eq(fh_cipher_open(&cipher, last, sealed, opened, tag), 0);
    cr_assert_eq(fh_cipher_open(&cipher, first, next, opened, next_tag), 0);
    cr_assert_arr_eq(opened, page, FH_PAGE_SIZE);
    cr_assert_eq(fh_cipher_seal(&cipher, end, page, next, next_tag), 0);
    cr_assert_eq(fh_cipher_open(&cipher, end, next, opened, next_tag), 0);
    cr_assert(fh_cipher_check(&cipher, stderr));
}

Test(cipher, a_nonce_beyond_the_end_is_a_programmer_error, .signal = SIGABRT)
{
    const struct fh_cipher_id beyond = {{7}, FH_CIPHER_NONCE_END};
    (void)!fh_cipher_seal(&cipher, beyond, page, sealed, tag);
}

Test(cipher, counts_what_it_does_and_never_dumps_a_key)
{
    struct fh_cipher_stats stats;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    cr_assert_eq(fh_cipher_seal(&cipher, id, page, sealed, tag), 0);
    cr_assert_eq(fh_cipher_open(&cipher, id, sealed, opened, tag), 0);
    fh_cipher_stats(&cipher, &stats);
    cr_assert_eq(stats.sealed, 1);
    cr_assert_eq(stats.opened, 1);
    fh_cipher_dump(&cipher, out);
    fclose(out);
    cr_assert_str_eq(text, "cipher zone 16909060 keys 1 sealed 1 opened 1 refused 0 failures 0\n");
    free(text);
}

Test(cipher, check_sees_a_lost_key_and_pages_without_one)
{
    cipher.stats.keys++;
    cr_assert_not(fh_cipher_check(&cipher, NULL));
    cipher.stats.keys--;
    cr_assert(fh_cipher_check(&cipher, stderr));

    struct evp_cipher_ctx_st *key = cipher.keys[0];
    cipher.keys[0] = NULL;
    cipher.stats.keys = 0;
    cr_assert(fh_cipher_check(&cipher, stderr));
    cipher.stats.sealed = 1;
    cr_assert_not(fh_cipher_check(&cipher, NULL));
    cipher.keys[0] = key;
    cipher.stats.keys = 1;
}

/* --- OpenSSL without memory; a suite of its own, as nothing of it may run before --- */

static uint32_t requests, failing;

static void *failing_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return ++requests == failing ? NULL : malloc(size);
}

static void *failing_realloc(void *p, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return ++requests == failing ? NULL : realloc(p, size);
}

static void counting_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

/* OpenSSL takes other functions only before its first request, and a library that the test links
 * makes one when it is loaded: so this runs before any library does. */
static bool hooked;

static void hook(void)
{
    hooked = CRYPTO_set_mem_functions(failing_malloc, failing_realloc, counting_free) == 1;
}

__attribute__((section(".preinit_array"), used)) static void (*const early_hook)(void) = hook;

/* One life of a cipher while OpenSSL's n-th request fails; true when all went well. */
static bool live_once(uint32_t n)
{
    requests = 0;
    failing = n;
    int rc = fh_cipher_init(&cipher, ZONE, numbered_key, NULL);
    if (rc == 0) {
        rc = fh_cipher_seal(&cipher, id, page, sealed, tag);
        if (rc == 0)
            rc = fh_cipher_open(&cipher, id, sealed, opened, tag);
        failing = 0;
        fh_cipher_fini(&cipher);
    }
    failing = 0;
    cr_assert(rc == 0 || rc == -EIO);
    return rc == 0;
}

TestSuite(cipher_memory, .timeout = 20);

Test(cipher_memory, a_failed_request_of_openssl_is_an_error_and_nothing_else)
{
    uint32_t failures = 0;

    cr_assert(hooked);
    cr_assert(live_once(0)); /* OpenSSL's own start-up is over after this */
    uint32_t needed = requests;
    for (uint32_t n = 1; n <= needed; n++)
        failures += !live_once(n);
    cr_assert_gt(failures, 0, "of %u requests none mattered", needed);
    cr_assert(live_once(0));
}
