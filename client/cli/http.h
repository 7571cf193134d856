/*
 * http: one POST to the admin port of a server.
 *
 * Threads    any; blocks, at most timeout_ms for each step.
 * Errors     negative errno: -EINVAL no HOST:PORT; -EHOSTUNREACH no such host; -EPROTO what came is no
 *            HTTP, or too long; else those of the socket.
 */
#ifndef FH_CLI_HTTP_H
#define FH_CLI_HTTP_H

#include <stdint.h>

struct fh_http_answer {
    int code; /* 200 */
    char body[4096];
};

int fh_http_post(const char *address, const char *path, const char *body, uint32_t timeout_ms,
                 struct fh_http_answer *out);

#endif
