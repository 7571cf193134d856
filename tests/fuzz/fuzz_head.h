/*
 * fuzz_head: the body of the fuzz target for frame prefix and heads, also run over the stored
 * corpus by a plain test. An input is a prefix followed by the bytes of a head; these are tried as
 * each kind of head, whatever the prefix says.
 *
 * Errors     a broken promise aborts.
 */
#ifndef FH_TESTS_FUZZ_HEAD_H
#define FH_TESTS_FUZZ_HEAD_H

#include <stddef.h>
#include <stdint.h>

/* What one input turned out to be. */
struct fuzz_head_result {
    int prefix_ok, request_ok, response_ok, entry_ok;
};

struct fuzz_head_result fuzz_head_try(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
