/*
 * fuzz_journal: the body of the fuzz target for the replay of a journal, also run by a plain test.
 * An input is the head of a group as it lies on disk; generation and sum are made right, the images
 * are zeros. The files of the tags "t" and "long" are known.
 *
 * Errors     a broken promise aborts.
 */
#ifndef FH_TESTS_FUZZ_JOURNAL_H
#define FH_TESTS_FUZZ_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

/* Pages that were replayed. */
unsigned fuzz_journal_try(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
