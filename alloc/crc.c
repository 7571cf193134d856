/*
 * Theory.  The library works on the register, not on the sum: the sum is the register's complement.
 * It takes lengths of type int and a buffer that is not const, which it only reads.
 */
#include "crc.h"

#include <isa-l/crc.h>

enum { PART_MAX = 1 << 30 };

uint32_t fh_crc32c(uint32_t before, const void *bytes, size_t size)
{
    union {
        const void *in;
        unsigned char *out;
    } p = {.in = bytes};
    uint32_t crc = ~before;

    while (size > 0) {
        size_t part = size < PART_MAX ? size : PART_MAX;
        crc = crc32_iscsi(p.out, (int)part, crc);
        p.out += part;
        size -= part;
    }
    return ~crc;
}
