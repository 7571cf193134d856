/*
 * wire_bytes: protobuf written by hand, right or wrong, for tests that no encoder would help.
 *
 * Ownership  the caller's struct holds the bytes. What does not fit fails the test.
 */
#ifndef FH_TESTS_WIRE_BYTES_H
#define FH_TESTS_WIRE_BYTES_H

#include <criterion/criterion.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_GROUP = 3, WIRE_FIXED32 = 5 };

struct wire_bytes {
    size_t size;
    uint8_t at[65536];
};

static inline void wire_raw(struct wire_bytes *w, const void *bytes, size_t size)
{
    cr_assert_leq(size, sizeof w->at - w->size);
    memcpy(w->at + w->size, bytes, size);
    w->size += size;
}

static inline void wire_varint(struct wire_bytes *w, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        wire_raw(w, &(uint8_t){(uint8_t)(value | 0x80)}, 1);
    wire_raw(w, &(uint8_t){(uint8_t)value}, 1);
}

static inline void wire_tag(struct wire_bytes *w, uint32_t field, unsigned type)
{
    wire_varint(w, (uint64_t)field << 3 | type);
}

static inline void wire_number(struct wire_bytes *w, uint32_t field, uint64_t value)
{
    wire_tag(w, field, WIRE_VARINT);
    wire_varint(w, value);
}

/* A field of bytes or a sub-message. */
static inline void wire_field(struct wire_bytes *w, uint32_t field, const void *bytes, size_t size)
{
    wire_tag(w, field, WIRE_BYTES);
    wire_varint(w, size);
    wire_raw(w, bytes, size);
}

static inline void wire_message(struct wire_bytes *w, uint32_t field,
                                const struct wire_bytes *message)
{
    wire_field(w, field, message->at, message->size);
}

#endif
