/*
 * Theory.  What the machine itself takes for moving the same bytes, as a limit for every server.
 *
 * `serve` answers memcached's get and set from one constant value and stores nothing: one epoll
 * loop, one recv and one send per turn, no lookup, no copy that the wire does not need. What it
 * costs is what the kernel and the least framing cost.
 *
 * `stream BYTES SECONDS` moves bodies of that size from one process to another over a loopback
 * connection, write and read of the same buffer, and says how many bytes per second that gave and
 * what CPU time each side took for a body.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { IN_SIZE = 128 * 1024, OUT_SIZE = 128 * 1024, IOV = 96, VALUE_MAX = 1 << 20, CONNS = 4096 };

/* A connection: what is not yet a whole line, what of a value is still to be thrown away, and what
 * is owed. Values that were asked for are owed as pieces of one shared buffer. */
struct conn {
    int fd;
    uint32_t kept, skip;
    bool writing;
    char line[512];
    struct iovec owed[IOV];
    uint32_t owed_first, owed_count;
    char text[16 * 1024];
    uint32_t text_end;
};

static char in[IN_SIZE], value[VALUE_MAX + 2];
static uint64_t value_size = 64; /* as last set */
static struct conn *conns[CONNS];

static void owe(struct conn *c, const char *bytes, size_t size)
{
    struct iovec *last = c->owed_count > 0 ? &c->owed[c->owed_count - 1] : NULL;

    if (last && (char *)last->iov_base + last->iov_len == bytes)
        last->iov_len += size;
    else
        c->owed[c->owed_count++] = (struct iovec){(void *)(uintptr_t)bytes, size};
}

static void owe_text(struct conn *c, const char *bytes, size_t size)
{
    memcpy(c->text + c->text_end, bytes, size);
    owe(c, c->text + c->text_end, size);
    c->text_end += (uint32_t)size;
}

/* Sends what is owed; true = the socket takes no more. */
static bool conn_send(struct conn *c)
{
    while (c->owed_first < c->owed_count) {
        struct msghdr m = {.msg_iov = c->owed + c->owed_first,
                           .msg_iovlen = c->owed_count - c->owed_first};
        ssize_t sent = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0)
            return errno == EAGAIN;
        while (sent > 0) {
            struct iovec *v = &c->owed[c->owed_first];
            size_t part = (size_t)sent < v->iov_len ? (size_t)sent : v->iov_len;
            v->iov_base = (char *)v->iov_base + part;
            v->iov_len -= part;
            sent -= (ssize_t)part;
            c->owed_first += v->iov_len == 0;
        }
    }
    c->owed_first = c->owed_count = c->text_end = 0;
    return false;
}

/* Answers one line. A small value goes behind its head, as one piece. */
static void conn_line(struct conn *c, const char *line, size_t size)
{
    char head[320];
    const char *end = line + size - 2;

    if (line[0] == 's') {
        const char *at = end;
        while (at > line && at[-1] != ' ')
            at--;
        value_size = strtoul(at, NULL, 10);
        if (value_size > VALUE_MAX)
            exit(1);
        c->skip = (uint32_t)value_size + 2;
        owe_text(c, "STORED\r\n", 8);
    } else if (line[0] == 'g') {
        int n = snprintf(head, sizeof head, "VALUE %.*s 0 %llu\r\n", (int)(size - 6), line + 4,
                         (unsigned long long)value_size);
        owe_text(c, head, (size_t)n);
        if (value_size <= 256) {
            owe_text(c, value, value_size);
            owe_text(c, "\r\nEND\r\n", 7);
        } else {
            owe(c, value, value_size);
            owe_text(c, "\r\nEND\r\n", 7);
        }
    } else {
        owe_text(c, "NOT_FOUND\r\n", 11);
    }
}

/* Takes what came apart; a line that is not whole is kept. */
static void conn_take(struct conn *c, const char *at, size_t left)
{
    while (left > 0) {
        size_t part = c->skip < left ? c->skip : left;
        c->skip -= (uint32_t)part;
        at += part;
        left -= part;
        const char *eol = left > 0 ? memchr(at, '\n', left) : NULL;
        part = eol ? (size_t)(eol + 1 - at) : left;
        if (c->kept + part > sizeof c->line)
            exit(1);
        if (c->kept > 0 || !eol) {
            memcpy(c->line + c->kept, at, part);
            c->kept += (uint32_t)part;
        }
        if (eol && c->kept > 0)
            conn_line(c, c->line, c->kept);
        else if (eol)
            conn_line(c, at, part);
        if (eol)
            c->kept = 0;
        at += part;
        left -= part;
        if (c->owed_count > IOV - 4 || c->text_end > sizeof c->text - 1024)
            while (conn_send(c)) /* more in one turn than fits: wait for the peer */
                sched_yield();
    }
}

static bool conn_turn(int epoll, struct conn *c, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && c->owed_count == 0) {
        ssize_t got = recv(c->fd, in, sizeof in, MSG_DONTWAIT);
        if (got <= 0 && (got == 0 || errno != EAGAIN))
            return false;
        conn_take(c, in, got > 0 ? (size_t)got : 0);
    }
    bool blocked = conn_send(c);
    if (blocked != c->writing) {
        struct epoll_event e = {.events = blocked ? EPOLLOUT : EPOLLIN, .data.fd = c->fd};
        epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
        c->writing = blocked;
    }
    return true;
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 1024) != 0) {
        perror("bench_wire: listen");
        exit(1);
    }
    return fd;
}

static void conn_accept(int epoll, int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

    if (fd < 0)
        return;
    if (fd >= CONNS || !(conns[fd] = calloc(1, sizeof *conns[fd]))) {
        close(fd);
        return;
    }
    conns[fd]->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

_Noreturn static void serve(uint16_t port)
{
    struct epoll_event ready[128];
    int listener = listen_on(port), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};

    memset(value, 'v', sizeof value);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(epoll, ready, 128, -1);
        for (int i = 0; i < n; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                conn_accept(epoll, listener);
            } else if (!conn_turn(epoll, conns[fd], ready[i].events)) {
                close(fd);
                free(conns[fd]);
                conns[fd] = NULL;
            }
        }
    }
}

/* --- the stream --- */

static double seconds_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        perror("bench_wire: not pinned");
}

static int stream_sender(int listener, size_t size, double duration)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), on = 1;
    char *bytes = malloc(size);
    uint64_t bodies = 0;
    double began = seconds_of(CLOCK_MONOTONIC), now = began,
           cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    memset(bytes, 's', size);
    for (; (now = seconds_of(CLOCK_MONOTONIC)) - began < duration; bodies++)
        for (size_t sent = 0; sent < size;) {
            ssize_t n = send(fd, bytes + sent, size - sent, MSG_NOSIGNAL);
            if (n < 0)
                return 1;
            sent += (size_t)n;
        }
    cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("%.0f bodies/s, sender %.1f us/body", (double)bodies / (now - began),
           cpu * 1e6 / (double)bodies);
    fflush(stdout);
    close(fd);
    return 0;
}

static void stream_receiver(uint16_t port, size_t size)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char *bytes = malloc(size);
    uint64_t got = 0;
    ssize_t n;

    if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        exit(1);
    while ((n = recv(fd, bytes, size, MSG_WAITALL)) > 0)
        got += (uint64_t)n;
    printf(", receiver %.1f us/body\n",
           seconds_of(CLOCK_PROCESS_CPUTIME_ID) * 1e6 / ((double)got / (double)size));
    fflush(stdout);
}

static int stream(size_t size, double duration)
{
    struct sockaddr_in a;
    socklen_t room = sizeof a;
    int listener = listen_on(0), status;

    getsockname(listener, (struct sockaddr *)&a, &room);
    pid_t child = fork();
    if (child == 0) {
        pin(1);
        stream_receiver(a.sin_port, size);
        _exit(0);
    }
    pin(0);
    int rc = stream_sender(listener, size, duration);
    waitpid(child, &status, 0);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        serve((uint16_t)atoi(argv[2]));
    if (argc == 4 && strcmp(argv[1], "stream") == 0)
        return stream(strtoul(argv[2], NULL, 10), atof(argv[3]));
    fprintf(stderr, "usage: farheap-bench-wire serve PORT | stream BYTES SECONDS\n");
    return 2;
}
