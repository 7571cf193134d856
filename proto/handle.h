/*
 * handle: the text form of a handle, `fh:<zone>:<offset>.<key>` in lower-case hexadecimal.
 *
 * A handle is two numbers: address (zone in the upper 16 bits, offset in the space below) and key.
 * The text form with the key is a secret; logs and views use the form without it.
 *
 * Threads    pure functions; any thread.
 */
#ifndef FH_PROTO_HANDLE_H
#define FH_PROTO_HANDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FH_HANDLE_TEXT_SIZE = 40 }; /* "fh:ffff:ffffffffffff.0123456789abcdef" and its NUL fit */

static inline uint32_t fh_address_zone(uint64_t address)
{
    return (uint32_t)(address >> 48);
}

static inline uint64_t fh_address_offset(uint64_t address)
{
    return address & ((UINT64_C(1) << 48) - 1);
}

static inline uint64_t fh_address_make(uint32_t zone, uint64_t offset)
{
    return ((uint64_t)zone << 48) | offset;
}

/* Writes the secret form and returns its length without the NUL. */
size_t fh_handle_print(char text[FH_HANDLE_TEXT_SIZE], uint64_t address, uint64_t key);

/* Writes `fh:<zone>:<offset>` for logs and views. */
size_t fh_handle_print_public(char text[FH_HANDLE_TEXT_SIZE], uint64_t address);

/*
 * Reads exactly one handle from all `size` bytes of text. Only the canonical form is taken: no
 * leading zeros in zone and offset, 16 digits of key, lower case. False, outputs untouched, for
 * anything else.
 */
bool fh_handle_scan(const char *text, size_t size, uint64_t *address, uint64_t *key);

#endif
