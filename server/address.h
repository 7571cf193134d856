/*
 * address: HOST:PORT and unix:PATH, from text to a socket and back.
 *
 * Threads    any thread.
 * Errors     -EINVAL not such a text; -EADDRNOTAVAIL the name leads nowhere; errno of socket, bind,
 *            listen.
 */
#ifndef FH_SERVER_ADDRESS_H
#define FH_SERVER_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "alloc/assert.h"

enum { FH_ADDRESS_TEXT_SIZE = 128 };

struct fh_address {
    struct sockaddr_storage bytes;
    socklen_t size;
};

/* "127.0.0.1:7420", "[::1]:0", "localhost:7420", ":7420" (all of IPv4), "unix:/run/farheap". */
FH_CHECKED int fh_address_parse(const char *text, struct fh_address *out);
void fh_address_print(const struct fh_address *, char text[FH_ADDRESS_TEXT_SIZE]);
bool fh_address_is_loopback(const struct fh_address *);
uint16_t fh_address_port(const struct fh_address *);

/* A listening, non-blocking socket; *bound is what it got. A stale unix socket is replaced. */
FH_CHECKED int fh_address_listen(const struct fh_address *, int *fd, struct fh_address *bound);

#endif
