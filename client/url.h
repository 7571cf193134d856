/*
 * url: where a node is, read from farheap://HOST[:PORT][,HOST...][/?timeout=2s], farheaps://... or
 * farheap+unix:///PATH[?timeout=2s].
 *
 * Units      milliseconds.
 * Threads    pure function; any thread.
 * Errors     -EINVAL with a sentence in *why; *out is then unspecified.
 */
#ifndef FH_CLIENT_URL_H
#define FH_CLIENT_URL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FH_URL_HOSTS_MAX = 8,
    FH_URL_HOST_SIZE = 256, /* the longest DNS name and its NUL */
    FH_URL_PATH_SIZE = 108, /* what a unix socket address holds */
};

struct fh_url_host {
    char name[FH_URL_HOST_SIZE]; /* name or address, without the brackets of an IPv6 address */
    char port[6];
};

struct fh_url {
    bool secure;         /* farheaps:// */
    bool local;          /* farheap+unix:// : `path` counts, `hosts` is 0 */
    uint32_t timeout_ms; /* of a request; 0 = not said */
    size_t host_count;
    struct fh_url_host hosts[FH_URL_HOSTS_MAX];
    char path[FH_URL_PATH_SIZE];
};

int fh_url_parse(const char *text, struct fh_url *out, const char **why);

#endif
