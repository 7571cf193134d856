/*
 * Theory.  Request i is due at start + i / rate and carries i + 1 as its id, so a reply tells by
 * itself when its request was due. Between requests the probe sleeps in epoll until the next is
 * due: it shares its CPU with whatever load it is to be measured beside.
 */
#include "probe.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, LAST_WAIT_SECONDS = 20 };

struct probe {
    struct peer *peers;
    uint32_t count;
    const char *name;
    double start, gap, now;
    uint64_t total, sent, done, skip;
    float *latency; /* us, of those after the first `skip` */
    int failed;
};

double probe_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void probe_reply(void *ctx, uint64_t id, uint32_t status)
{
    struct probe *p = ctx;
    uint64_t i = id - 1;

    if (status != 0 || i >= p->total) {
        p->failed = -EPROTO;
        return;
    }
    p->done++;
    if (i >= p->skip)
        p->latency[i - p->skip] = (float)((p->now - p->start - (double)i * p->gap) * 1e6);
}

static void probe_send_due(struct probe *p)
{
    uint8_t bytes[PEER_REQUEST_MAX];

    while (p->sent < p->total && p->failed == 0 &&
           p->start + (double)p->sent * p->gap <= (p->now = probe_now())) {
        size_t size = peer_get_request(bytes, p->sent + 1, p->name);
        int64_t n = peer_send(&p->peers[p->sent % p->count], bytes, size);
        if (n != (int64_t)size)
            p->failed = n < 0 ? (int)n : -EAGAIN; /* a few dozen bytes always fit */
        p->sent++;
    }
}

static void probe_receive(struct probe *p, struct peer *peer)
{
    int64_t got;

    do {
        p->now = probe_now();
        got = peer_receive(peer, 16384, probe_reply, p);
        if (got < 0)
            p->failed = (int)got;
    } while (got > 0 && peer->ssl); /* TLS may hold more than epoll sees */
}

static void probe_wait(struct probe *p, int epoll)
{
    struct epoll_event ready[EVENTS];
    double left = p->sent < p->total ? p->start + (double)p->sent * p->gap - probe_now() : 0.1;
    struct timespec limit = {.tv_nsec = left > 0 ? (long)(left * 1e9) : 0};

    if (limit.tv_nsec > 100000000)
        limit.tv_nsec = 100000000;
    int n = epoll_pwait2(epoll, ready, EVENTS, &limit, NULL);
    for (int i = 0; i < n; i++)
        probe_receive(p, ready[i].data.ptr);
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static void probe_tell(struct probe *p, struct probe_result *out)
{
    uint64_t n = p->total - p->skip;

    qsort(p->latency, n, sizeof *p->latency, compare_floats);
    *out = (struct probe_result){.count = n,
                                 .p50_us = p->latency[n / 2],
                                 .p99_us = p->latency[n - 1 - n / 100],
                                 .p999_us = p->latency[n - 1 - n / 1000],
                                 .worst_us = p->latency[n - 1]};
}

int probe_run(struct peer *peers, uint32_t count, const char *name, double rate, double seconds,
              struct probe_result *out)
{
    struct probe p = {.peers = peers, .count = count, .name = name, .gap = 1 / rate};
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    p.total = (uint64_t)(rate * seconds) + 10;
    p.skip = p.total / 5;
    p.latency = calloc(p.total - p.skip, sizeof *p.latency);
    if (!p.latency || epoll < 0)
        p.failed = -ENOMEM;
    for (uint32_t i = 0; i < count && p.failed == 0; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &peers[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, peers[i].fd, &e) != 0)
            p.failed = -errno;
    }
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* requests are sent when they are due */
    p.start = probe_now();
    while (p.done < p.total && p.failed == 0) {
        probe_send_due(&p);
        probe_wait(&p, epoll);
        if (p.sent == p.total && probe_now() > p.start + seconds + LAST_WAIT_SECONDS)
            p.failed = -ETIMEDOUT;
    }
    if (p.failed == 0)
        probe_tell(&p, out);
    if (epoll >= 0)
        close(epoll);
    free(p.latency);
    return p.failed;
}
