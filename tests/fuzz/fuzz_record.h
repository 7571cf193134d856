/*
 * fuzz_record: the body of the fuzz target for records of the catalog, also run by a plain test. An
 * input is an id of 8 bytes and a record as it lies on disk; it is tried as it is, and once more
 * with its sum made right, so that what is behind the sum is seen.
 *
 * Errors     a broken promise aborts.
 */
#ifndef FH_TESTS_FUZZ_RECORD_H
#define FH_TESTS_FUZZ_RECORD_H

#include <stddef.h>
#include <stdint.h>

/* 1: with its sum made right it is a record. */
int fuzz_record_try(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
