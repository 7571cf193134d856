/*
 * Theory.  A handle has exactly one text: printing is the definition, scanning accepts what
 * printing makes and nothing else. That lets people compare handles as text, and scripts use them
 * as keys. Hexadecimal digits are matched by hand: strtoul would take blanks, signs, 0x and upper
 * case.
 *
 * Invariants
 *   [I1] scan(print(h)) == h for every h
 *   [I2] scan(t) succeeds only if print(scan(t)) == t
 */
#include "handle.h"

#include <inttypes.h>
#include <stdio.h>

enum { HANDLE_ZONE_DIGITS = 4, HANDLE_OFFSET_DIGITS = 12, HANDLE_KEY_DIGITS = 16 };

/* What is left to read; every step returns false when the text is not what it wants. */
struct handle_text {
    const char *at;
    size_t left;
};

size_t fh_handle_print(char text[FH_HANDLE_TEXT_SIZE], uint64_t address, uint64_t key)
{
    int length = snprintf(text, FH_HANDLE_TEXT_SIZE, "fh:%" PRIx32 ":%" PRIx64 ".%016" PRIx64,
                          fh_address_zone(address), fh_address_offset(address), key);
    return (size_t)length;
}

size_t fh_handle_print_public(char text[FH_HANDLE_TEXT_SIZE], uint64_t address)
{
    int length = snprintf(text, FH_HANDLE_TEXT_SIZE, "fh:%" PRIx32 ":%" PRIx64,
                          fh_address_zone(address), fh_address_offset(address));
    return (size_t)length;
}

static bool handle_take_char(struct handle_text *t, char c)
{
    if (t->left == 0 || *t->at != c)
        return false;
    t->at++;
    t->left--;
    return true;
}

static int handle_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

/* Reads digits while there are any, at most digits_max; returns how many. */
static unsigned handle_take_digits(struct handle_text *t, unsigned digits_max, uint64_t *value)
{
    unsigned count = 0;

    *value = 0;
    while (count < digits_max && t->left > 0 && handle_digit(*t->at) >= 0) {
        *value = *value << 4 | (uint64_t)handle_digit(*t->at);
        t->at++;
        t->left--;
        count++;
    }
    return count;
}

/* A number without leading zeros, 0 itself being "0". */
static bool handle_take_number(struct handle_text *t, unsigned digits_max, uint64_t *value)
{
    bool starts_with_zero = t->left > 0 && *t->at == '0';
    unsigned count = handle_take_digits(t, digits_max, value);

    return count > 0 && (!starts_with_zero || count == 1);
}

bool fh_handle_scan(const char *text, size_t size, uint64_t *address, uint64_t *key)
{
    struct handle_text t = {.at = text, .left = size};
    uint64_t zone, offset, key_read;

    if (!handle_take_char(&t, 'f') || !handle_take_char(&t, 'h') || !handle_take_char(&t, ':'))
        return false;
    if (!handle_take_number(&t, HANDLE_ZONE_DIGITS, &zone) || !handle_take_char(&t, ':'))
        return false;
    if (!handle_take_number(&t, HANDLE_OFFSET_DIGITS, &offset) || !handle_take_char(&t, '.'))
        return false;
    if (handle_take_digits(&t, HANDLE_KEY_DIGITS, &key_read) != HANDLE_KEY_DIGITS || t.left != 0)
        return false;
    *address = fh_address_make((uint32_t)zone, offset);
    *key = key_read;
    return true;
}
