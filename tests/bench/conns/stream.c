/*
 * Theory.  One loop over one non-blocking socket: requests are begun while fewer than `deep` are in
 * flight, their bytes are written and replies are read 64 KiB at a time.
 */
#include "stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

enum { PART = 64 * 1024 };

struct streaming {
    const struct stream_how *how;
    struct stream_counts *counts;
    struct peer peer;
    uint8_t *body;
    uint8_t head[PEER_REQUEST_MAX];
    size_t head_size, head_sent, body_left;
    uint64_t begun, ended;
};

static void streaming_reply(void *ctx, uint64_t id, uint32_t status)
{
    struct streaming *s = ctx;

    s->ended++;
    if (status != 0)
        s->counts->failed = -EPROTO;
    else if (id & 1)
        s->counts->put++;
    else
        s->counts->got++;
}

/* Begins the next request: gets have even ids, puts odd ones. */
static void streaming_begin(struct streaming *s)
{
    bool put = s->how->puts && (!s->how->gets || s->begun % 2 == 1);
    uint64_t id = 2 * (s->begun++ + 1) + put;

    s->head_size = put ? peer_put_request(s->head, id, "stream", s->how->size)
                       : peer_get_request(s->head, id, "large");
    s->head_sent = 0;
    s->body_left = put ? s->how->size : 0;
}

/* True when the socket took something. */
static bool streaming_write(struct streaming *s)
{
    bool head = s->head_sent < s->head_size;
    size_t left = head ? s->head_size - s->head_sent : s->body_left;
    const uint8_t *from = head ? s->head + s->head_sent : s->body;

    if (left == 0)
        return false;
    if (left > PART)
        left = PART; /* a call in the kernel is not interrupted by the probe beside it */
    int64_t n = peer_send(&s->peer, from, left);
    if (n < 0)
        s->counts->failed = (int)n;
    if (n <= 0)
        return false;
    if (head)
        s->head_sent += (size_t)n;
    else
        s->body_left -= (size_t)n;
    return true;
}

_Noreturn static void streaming_run(const struct stream_how *how, struct stream_counts *counts)
{
    static struct streaming s;
    struct pollfd fd;
    int64_t got;

    s.how = how;
    s.counts = counts;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    s.body = calloc(1, how->size);
    if (!s.body || peer_open(&s.peer, how->port, how->tls) != 0)
        _exit(1);
    while (counts->failed == 0) {
        bool unsent = s.head_sent < s.head_size || s.body_left > 0;
        if (!unsent && s.begun - s.ended < how->deep)
            streaming_begin(&s);
        bool wrote = streaming_write(&s);
        if ((got = peer_receive(&s.peer, PART, streaming_reply, &s)) < 0)
            counts->failed = (int)got;
        unsent = s.head_sent < s.head_size || s.body_left > 0;
        fd = (struct pollfd){.fd = s.peer.fd, .events = unsent ? POLLIN | POLLOUT : POLLIN};
        if (!wrote && got == 0 && (unsent || s.begun - s.ended >= how->deep))
            poll(&fd, 1, 1000);
    }
    _exit(1);
}

int stream_start(struct stream *s, const struct stream_how *how)
{
    s->counts =
        mmap(NULL, sizeof *s->counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s->counts == MAP_FAILED)
        return -ENOMEM;
    if ((s->pid = fork()) == 0)
        streaming_run(how, s->counts);
    return s->pid < 0 ? -errno : 0;
}

int stream_stop(struct stream *s)
{
    int status, rc;

    kill(s->pid, SIGKILL);
    waitpid(s->pid, &status, 0);
    rc = WIFSIGNALED(status) ? s->counts->failed : -EPROTO;
    munmap(s->counts, sizeof *s->counts);
    return rc;
}

/* --- the bare limit --- */

_Noreturn static void bare_serve(int listener, SSL_CTX *tls, uint32_t size)
{
    uint8_t *bytes = malloc(size);
    SSL *ssl = SSL_new(tls);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (!bytes || !ssl || fd < 0 || SSL_set_fd(ssl, fd) != 1 || SSL_accept(ssl) != 1)
        _exit(1);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    memset(bytes, 's', size);
    while (SSL_write(ssl, bytes, (int)size) > 0)
        ;
    _exit(0);
}

int stream_bare_tls(const char *cert, const char *key, uint32_t size, int cpu, uint16_t *port,
                    pid_t *pid)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t room = sizeof a;
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = -EPROTO;

    if (!tls || SSL_CTX_use_certificate_chain_file(tls, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
        goto out;
    SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
    rc = -EIO;
    if (bind(listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&a, &room) != 0)
        goto out;
    *port = ntohs(a.sin_port);
    if ((*pid = fork()) == 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        if (cpu >= 0)
            CPU_SET((size_t)cpu, &set);
        if (cpu >= 0 && sched_setaffinity(0, sizeof set, &set) != 0)
            _exit(1);
        bare_serve(listener, tls, size);
    }
    rc = *pid < 0 ? -errno : 0;
out:
    SSL_CTX_free(tls);
    close(listener);
    return rc;
}

double stream_read_bare(uint16_t port, SSL_CTX *tls, double seconds)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static uint8_t bytes[PART];
    SSL *ssl = SSL_new(tls);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), n = 1;
    double began, now = 0;
    uint64_t sum = 0;

    if (!ssl || connect(fd, (struct sockaddr *)&to, sizeof to) != 0 || SSL_set_fd(ssl, fd) != 1 ||
        SSL_connect(ssl) != 1)
        n = 0;
    began = probe_now();
    while (n > 0 && (now = probe_now()) - began < seconds) {
        n = SSL_read(ssl, bytes, sizeof bytes);
        sum += n > 0 ? (uint64_t)n : 0;
    }
    SSL_free(ssl);
    close(fd);
    return n > 0 ? (double)sum / (now - began) : 0;
}
