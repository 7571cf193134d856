/*
 * Theory.  The last colon parts host and port, so that IPv6 addresses may stand in brackets. A unix
 * socket left behind by a process that is gone refuses connections: then its file is removed, and
 * only then.
 */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static int parse_unix(const char *path, struct fh_address *out)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&out->bytes;
    size_t size = strlen(path);

    if (size == 0 || size >= sizeof un->sun_path)
        return -EINVAL;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, size + 1);
    out->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + 1);
    return 0;
}

static bool port_is_good(const char *port)
{
    size_t digits = strspn(port, "0123456789");

    return digits > 0 && digits <= 5 && port[digits] == 0;
}

int fh_address_parse(const char *text, struct fh_address *out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    const char *colon = strrchr(text, ':');
    struct addrinfo *found;
    char host[256];

    memset(out, 0, sizeof *out);
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, out);
    if (!colon || !port_is_good(colon + 1) || (size_t)(colon - text) >= sizeof host)
        return -EINVAL;
    size_t size = (size_t)(colon - text);
    if (size >= 2 && text[0] == '[' && text[size - 1] == ']')
        snprintf(host, sizeof host, "%.*s", (int)size - 2, text + 1);
    else
        snprintf(host, sizeof host, "%.*s", (int)size, text);
    if (!host[0])
        hints.ai_family = AF_INET;
    if (getaddrinfo(host[0] ? host : NULL, colon + 1, &hints, &found) != 0)
        return -EADDRNOTAVAIL;
    memcpy(&out->bytes, found->ai_addr, found->ai_addrlen);
    out->size = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

void fh_address_print(const struct fh_address *a, char text[FH_ADDRESS_TEXT_SIZE])
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->bytes;
    char host[64], port[16];

    if (a->bytes.ss_family == AF_UNIX) {
        bool named = a->size > offsetof(struct sockaddr_un, sun_path);
        snprintf(text, FH_ADDRESS_TEXT_SIZE, "unix:%.110s", named ? un->sun_path : "");
        return;
    }
    if (getnameinfo((const struct sockaddr *)&a->bytes, a->size, host, sizeof host, port,
                    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(text, FH_ADDRESS_TEXT_SIZE, "unknown");
    else
        snprintf(text, FH_ADDRESS_TEXT_SIZE, a->bytes.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
                 host, port);
}

bool fh_address_is_loopback(const struct fh_address *a)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->bytes;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->bytes;

    if (a->bytes.ss_family == AF_INET)
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    if (a->bytes.ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
    return a->bytes.ss_family == AF_UNIX;
}

uint16_t fh_address_port(const struct fh_address *a)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->bytes;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->bytes;

    if (a->bytes.ss_family == AF_INET)
        return ntohs(in->sin_port);
    return a->bytes.ss_family == AF_INET6 ? ntohs(in6->sin6_port) : 0;
}

/* Removes the file of a unix socket that nobody listens on. */
static void remove_stale(const struct fh_address *a)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->bytes;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)&a->bytes, a->size) != 0 && errno == ECONNREFUSED)
        unlink(un->sun_path);
    close(fd);
}

int fh_address_listen(const struct fh_address *a, int *fd, struct fh_address *bound)
{
    int on = 1;
    int s = socket(a->bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (s < 0)
        return -errno;
    if (a->bytes.ss_family == AF_UNIX)
        remove_stale(a);
    else
        setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    *bound = *a;
    if (bind(s, (const struct sockaddr *)&a->bytes, a->size) != 0 || listen(s, 1024) != 0 ||
        getsockname(s, (struct sockaddr *)&bound->bytes, &bound->size) != 0) {
        int rc = -errno;
        close(s);
        return rc;
    }
    *fd = s;
    return 0;
}
