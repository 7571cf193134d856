/*
 * Theory.  Both stores are driven by the load tester's drivers, so that neither is spoken to in a
 * better way. A request of the window is free when its `impl` is NULL and in flight otherwise.
 * Figures come from the stores' own documents: Info of farheap, `stats` and `stats slabs` of
 * memcached, whose items have a chunk below 1000 bytes when they are small.
 */
#include "tests/bench/phases/store.h"

#include <jansson.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLASSES = 64, CHUNK_SMALL_MAX = 1000, TEXT_MAX = 1 << 16 };

bool store_open(struct store *s, char *target)
{
    char why[FH_DRIVER_WHY] = "";
    char *address = strchr(target, '=');
    fh_options options = {.size = sizeof(options), .request_timeout_ms = 60000};
    fh_status status;

    *s = (struct store){.label = target};
    if (address == NULL)
        return false;
    *address++ = '\0';
    s->address = address;
    s->class = strstr(address, "://") != NULL ? &fh_driver_farheap : &fh_driver_memcached;
    status = s->class->open(address, &options, &s->driver, why);
    if (status == FH_OK && s->class == &fh_driver_farheap)
        status = fh_open(address, &options, &s->looker);
    if (status != FH_OK)
        fprintf(stderr, "phases: %s: %s %s\n", target, fh_strstatus(status), why);
    return status == FH_OK;
}

void store_close(struct store *s)
{
    if (s->driver != NULL)
        s->class->close(s->driver);
    fh_close(s->looker);
}

static void store_wait(struct store *s, void (*ended)(void *ctx, struct fh_request *), void *ctx)
{
    struct pollfd fds[FH_DRIVER_FDS];
    struct fh_request *r;
    size_t count;

    s->class->flush(s->driver);
    count = s->class->watch(s->driver, fds);
    (void)poll(fds, (nfds_t)count, 1000);
    for (size_t i = 0; i < count; i++)
        s->class->ready(s->driver, &fds[i]);
    while ((r = s->class->next(s->driver)) != NULL) {
        r->claimed = false;
        s->in_flight--;
        ended(ctx, r);
    }
}

struct fh_request *store_next(struct store *s, void (*ended)(void *ctx, struct fh_request *),
                              void *ctx)
{
    while (s->in_flight == STORE_WINDOW)
        store_wait(s, ended, ctx);
    for (uint32_t i = 0; i < STORE_WINDOW; i++)
        if (!s->requests[i].claimed)
            return &s->requests[i];
    abort();
}

void store_submit(struct store *s, struct fh_request *r)
{
    r->claimed = true;
    s->in_flight++;
    s->class->submit(s->driver, r);
}

void store_drain(struct store *s, void (*ended)(void *ctx, struct fh_request *), void *ctx)
{
    while (s->in_flight > 0)
        store_wait(s, ended, ctx);
}

/* --- figures --- */

static uint64_t number_at(const json_t *document, const char *section, const char *key)
{
    const json_t *from = section != NULL ? json_object_get(document, section) : document;
    return (uint64_t)json_integer_value(json_object_get(from, key));
}

static bool farheap_look(struct store *s, struct store_figures *out)
{
    json_t *d = NULL;
    size_t size;
    char *text;

    if (fh_view(s->looker, "info", &text, &size) == FH_OK) {
        d = json_loadb(text, size, 0, NULL);
        free(text);
    }
    if (d == NULL)
        return false;
    *out = (struct store_figures){.frame_bytes = number_at(d, "memory", "frames_used") * 4096,
                                  .swap_bytes = number_at(d, "swap", "used_bytes"),
                                  .book_bytes = number_at(d, NULL, "metadata_bytes"),
                                  .items = number_at(d, "objects", "count"),
                                  .value_bytes = number_at(d, "objects", "bytes")};
    json_decref(d);
    return true;
}

static int memcached_connect(const char *address)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    char host[256];
    const char *colon = strrchr(address, ':');
    int fd = -1;

    if (colon == NULL)
        return -1;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return -1;
    fd = socket(found->ai_family, found->ai_socktype, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

/* The answer to one command, up to its END. */
static bool memcached_ask(int fd, const char *command, char text[TEXT_MAX])
{
    size_t size = 0;
    ssize_t got;

    if (write(fd, command, strlen(command)) < 0)
        return false;
    text[0] = '\0';
    while (strstr(text, "END\r\n") == NULL) {
        if (size == TEXT_MAX - 1 || (got = read(fd, text + size, TEXT_MAX - 1 - size)) <= 0)
            return false;
        size += (size_t)got;
        text[size] = '\0';
    }
    return true;
}

static uint64_t stat_at(const char *text, const char *key)
{
    char line[64];
    const char *at;

    snprintf(line, sizeof(line), "STAT %s ", key);
    at = strstr(text, line);
    return at != NULL ? strtoull(at + strlen(line), NULL, 10) : 0;
}

static void memcached_slabs(const char *text, struct store_figures *out)
{
    for (unsigned class = 1; class < CLASSES; class ++) {
        char key[32];
        uint64_t chunk, used;

        snprintf(key, sizeof(key), "%u:chunk_size", class);
        chunk = stat_at(text, key);
        snprintf(key, sizeof(key), "%u:used_chunks", class);
        used = stat_at(text, key);
        out->value_bytes += used * (chunk < CHUNK_SMALL_MAX ? SMALL_BYTES : LARGE_BYTES);
    }
    out->frame_bytes = stat_at(text, "total_malloced");
}

static bool memcached_look(struct store *s, struct store_figures *out)
{
    static char text[TEXT_MAX];
    int fd = memcached_connect(s->address);
    bool ok;

    *out = (struct store_figures){0};
    if (fd < 0)
        return false;
    ok = memcached_ask(fd, "stats\r\n", text);
    out->items = stat_at(text, "curr_items");
    out->evicted = stat_at(text, "evictions");
    ok = ok && memcached_ask(fd, "stats slabs\r\n", text);
    memcached_slabs(text, out);
    close(fd);
    return ok;
}

bool store_look(struct store *s, struct store_figures *out)
{
    return s->class == &fh_driver_farheap ? farheap_look(s, out) : memcached_look(s, out);
}
