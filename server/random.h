/*
 * random: the random numbers of the server, from a generator that is fit for keys.
 *
 * Threads    any thread.
 * Errors     none: where OpenSSL's generator fails, the kernel's is asked until it answers.
 * Cost       about 1 us for 2 KiB, most of it per call: draw many at a time.
 */
#ifndef FH_SERVER_RANDOM_H
#define FH_SERVER_RANDOM_H

#include <stddef.h>

/* ctx is not looked at. */
void fh_random_bytes(void *ctx, void *buf, size_t size);

#endif
