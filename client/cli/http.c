#include "client/cli/http.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { HOST_SIZE = 256, TEXT_SIZE = 8192 };

/* "HOST:PORT" or "[V6]:PORT" in two. */
static int address_split(const char *address, char host[HOST_SIZE], const char **port)
{
    const char *colon = strrchr(address, ':');
    size_t size = colon != NULL ? (size_t)(colon - address) : 0;

    if (size == 0 || size >= HOST_SIZE || colon[1] == '\0')
        return -EINVAL;
    if (address[0] == '[' && colon[-1] == ']') {
        address++;
        size -= 2;
    }
    memcpy(host, address, size);
    host[size] = '\0';
    *port = colon + 1;
    return 0;
}

static int dial_one(const struct addrinfo *to, uint32_t timeout_ms)
{
    struct timeval patience = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = 0;

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, to->ai_addr, to->ai_addrlen) != 0) {
        rc = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
        (void)close(fd);
    }
    return rc != 0 ? rc : fd;
}

static int dial(const char *address, uint32_t timeout_ms)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    char host[HOST_SIZE];
    const char *port;
    int fd = address_split(address, host, &port);

    if (fd != 0)
        return fd;
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return -EHOSTUNREACH;
    fd = -EHOSTUNREACH;
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next)
        fd = dial_one(a, timeout_ms);
    freeaddrinfo(list);
    return fd;
}

static int send_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, text, size, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        text += sent;
        size -= (size_t)sent;
    }
    return 0;
}

/* Until the server closes, as it was asked to. */
static int receive_all(int fd, char text[TEXT_SIZE])
{
    size_t size = 0;
    ssize_t got;

    while ((got = recv(fd, text + size, TEXT_SIZE - 1 - size, 0)) > 0)
        size += (size_t)got;
    if (got < 0)
        return errno == EAGAIN ? -ETIMEDOUT : -errno;
    text[size] = '\0';
    return size < TEXT_SIZE - 1 ? 0 : -EPROTO;
}

static int answer_parse(const char *text, struct fh_http_answer *out)
{
    const char *body = strstr(text, "\r\n\r\n");

    if (strncmp(text, "HTTP/1.", 7) != 0 || text[8] != ' ' || body == NULL)
        return -EPROTO;
    out->code = (int)strtol(text + 9, NULL, 10);
    if (snprintf(out->body, sizeof(out->body), "%s", body + 4) >= (int)sizeof(out->body))
        return -EPROTO;
    return 0;
}

int fh_http_post(const char *address, const char *path, const char *body, uint32_t timeout_ms,
                 struct fh_http_answer *out)
{
    char text[TEXT_SIZE];
    int fd = dial(address, timeout_ms);
    int rc;

    if (fd < 0)
        return fd;
    int size =
        snprintf(text, sizeof(text),
                 "POST %s HTTP/1.1\r\nHost: %s\r\nX-Farheap-Request: 1\r\nConnection: close\r\n"
                 "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
                 path, address, strlen(body), body);
    if (size < 0 || (size_t)size >= sizeof(text))
        rc = -EINVAL;
    else if ((rc = send_all(fd, text, (size_t)size)) == 0 && (rc = receive_all(fd, text)) == 0)
        rc = answer_parse(text, out);
    (void)close(fd);
    return rc;
}
