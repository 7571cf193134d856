/*
 * crc: CRC32C (Castagnoli) of bytes on disk, by the library's SIMD code.
 *
 * It finds what disks and crashes do to bytes. It is no protection against somebody who writes
 * bytes on purpose: what it covers is checked as hostile all the same.
 *
 * Threads    any.
 * Cost       about 0.1 us for 4 KiB.
 */
#ifndef FH_ALLOC_CRC_H
#define FH_ALLOC_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Of bytes that follow others whose sum is `before`; 0 at the beginning. */
uint32_t fh_crc32c(uint32_t before, const void *bytes, size_t size);

#endif
