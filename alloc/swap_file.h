/*
 * swap_file: opens the file that a swap lives in: without a name, reserved in full.
 *
 * Ownership  the descriptor is the caller's; closing it gives the space back.
 * Errors     -errno of open and fallocate: -ENOSPC the space is not there.
 */
#ifndef FH_ALLOC_SWAP_FILE_H
#define FH_ALLOC_SWAP_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "assert.h"

/* *direct tells whether O_DIRECT is set: never with `buffered`, else where the file system does it.
 * On error nothing is set. */
FH_CHECKED int fh_swap_file_open(const char *dir, uint64_t size_bytes, bool buffered, int *fd,
                                 bool *direct);

#endif
