/*
 * verify: objects that carry their own check, page by page, and the test of what came back.
 *
 * Units      bytes; a page is 4096 of them. Integers in the record are little endian.
 * Ownership  caller owns every buffer.
 * Threads    pure functions.
 * Cost       a CRC32C and one pass over the bytes.
 */
#ifndef FH_CLIENT_BENCH_VERIFY_H
#define FH_CLIENT_BENCH_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FH_VERIFY_PAGE  4096u
#define FH_VERIFY_BYTES 24u /* of a record's own fields: the smallest object that can carry one */

struct fh_verify_fault {
    const char *what;                    /* which field is wrong */
    uint64_t object, page;               /* what was asked for */
    uint64_t found;                      /* the field's wrong value */
    uint64_t expected_min, expected_max; /* what it may be */
    bool located;                        /* the next three hold */
    uint64_t byte;                       /* of the object: the first that is wrong ... */
    uint8_t byte_found, byte_expected;   /* ... for the version it should have */
};

/* The part of an object that one read asks for and what it must be. */
struct fh_verify_view {
    uint64_t object, object_bytes;
    uint64_t offset;                   /* a multiple of FH_VERIFY_PAGE */
    uint32_t version_min, version_max; /* and the same version in every page */
};

/* Writes a whole object of `size` >= FH_VERIFY_BYTES bytes. */
void fh_verify_fill(uint8_t *buf, size_t size, uint64_t object, uint32_t version);

/* Are these `size` bytes, whole pages or up to the object's end, right? If not, *why says what. */
bool fh_verify_check(const uint8_t *buf, size_t size, const struct fh_verify_view *,
                     struct fh_verify_fault *why);

/* How much a read of `touch` bytes at `offset` must ask for: the object's last record is read with
 * its tail. */
size_t fh_verify_span(uint64_t object_bytes, uint64_t offset, uint64_t touch);

#endif
