/*
 * Theory.  A stack of clients that nobody has, behind one lock. Whoever comes takes the one that was
 * given back last, since its connections are the ones most surely still open; who finds none waits
 * on a condition, and each client that comes back wakes one of those who wait. What a client does is
 * done outside the lock: a pool only says whose it is.
 *
 * Invariants
 *   [I1] idle[0 .. idle_count) are those nobody has; all are in `clients`
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/request.h"

enum { POOL_MAX = 4096 };

struct fh_pool {
    pthread_mutex_t lock;
    pthread_cond_t returned;
    uint32_t count, idle_count; /* idle_count under the lock, as is idle */
    fh_client **clients, **idle;
    bool usable; /* fh_pool_open succeeded */
    char message[FH_MESSAGE_SIZE];
};

/* Waiting counts on the clock that nobody sets. */
static bool pool_init_lock(fh_pool *p)
{
    pthread_condattr_t attributes;
    bool done;

    if (pthread_mutex_init(&p->lock, NULL) != 0)
        return false;
    if (pthread_condattr_init(&attributes) != 0) {
        pthread_mutex_destroy(&p->lock);
        return false;
    }
    done = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
           pthread_cond_init(&p->returned, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    if (!done)
        pthread_mutex_destroy(&p->lock);
    return done;
}

static fh_status pool_fail(fh_pool *p, fh_status status, const char *why)
{
    (void)snprintf(p->message, sizeof(p->message), "%s", why);
    return status;
}

static fh_status pool_fill(fh_pool *p, const char *url, const fh_options *options, uint32_t count)
{
    p->clients = calloc(count, sizeof(fh_client *));
    p->idle = calloc(count, sizeof(fh_client *));
    if (p->clients == NULL || p->idle == NULL)
        return pool_fail(p, FH_NO_MEMORY, fh_hint(FH_NO_MEMORY));
    while (p->count < count) {
        fh_client **client = &p->clients[p->count++];
        fh_status status = fh_open(url, options, client);

        if (status != FH_OK)
            return pool_fail(p, status, fh_errmsg(*client));
        p->idle[p->idle_count++] = *client;
    }
    p->usable = true;
    return FH_OK;
}

fh_status fh_pool_open(const char *url, const fh_options *options, uint32_t count, fh_pool **out)
{
    fh_pool *p = calloc(1, sizeof(*p));

    *out = NULL;
    if (p == NULL)
        return FH_NO_MEMORY;
    if (!pool_init_lock(p)) {
        free(p);
        return FH_NO_MEMORY;
    }
    *out = p;
    if (count == 0 || count > POOL_MAX)
        return pool_fail(p, FH_INVALID, "INVALID: a pool has 1 to 4096 clients");
    return pool_fill(p, url, options, count);
}

void fh_pool_close(fh_pool *p)
{
    if (p == NULL)
        return;
    for (uint32_t i = 0; i < p->count; i++)
        fh_close(p->clients[i]);
    free(p->clients);
    free(p->idle);
    pthread_cond_destroy(&p->returned);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

const char *fh_pool_errmsg(const fh_pool *p)
{
    return p != NULL ? p->message : fh_hint(FH_NO_MEMORY);
}

static struct timespec moment_after(int timeout_ms)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += timeout_ms / 1000;
    t.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

fh_status fh_pool_get(fh_pool *p, int timeout_ms, fh_client **out)
{
    struct timespec until = moment_after(timeout_ms > 0 ? timeout_ms : 0);
    int rc = timeout_ms == 0 ? ETIMEDOUT : 0;

    *out = NULL;
    if (!p->usable)
        return FH_INVALID;
    pthread_mutex_lock(&p->lock);
    while (p->idle_count == 0 && rc != ETIMEDOUT)
        rc = timeout_ms < 0 ? pthread_cond_wait(&p->returned, &p->lock)
                            : pthread_cond_timedwait(&p->returned, &p->lock, &until);
    if (p->idle_count > 0)
        *out = p->idle[--p->idle_count];
    pthread_mutex_unlock(&p->lock);
    return *out != NULL ? FH_OK : FH_TIMEOUT;
}

void fh_pool_put(fh_pool *p, fh_client *client)
{
    if (client == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    if (p->idle_count < p->count) /* else it was given back twice */
        p->idle[p->idle_count++] = client;
    pthread_mutex_unlock(&p->lock);
    pthread_cond_signal(&p->returned);
}
