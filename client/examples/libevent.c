/*
 * A client in a libevent loop of your own: puts and gets a hundred objects, all in flight at once,
 * while the loop serves whatever else it has.
 *
 *   cc libevent.c $(pkg-config --cflags --libs farheap libevent_core) && ./a.out farheap://HOST
 *
 * The adapter is attend(): after every call into the client it asks which descriptors it wants to
 * know about, and makes the events those. on_ready tells the client; what finished comes from
 * fh_wait_any without waiting. The timer lets requests time out when no descriptor speaks.
 */
#include <event2/event.h>
#include <farheap.h>
#include <stdio.h>
#include <string.h>

enum { COUNT = 100, FDS = 64 };

static struct event_base *base;
static fh_client *client;
static struct event *events[FDS];
static char names[COUNT][16], bytes[COUNT][16];
static int gets, failed;

static void on_ready(evutil_socket_t fd, short what, void *unused);

/* Watches what the client wants watched, and sends what is queued. */
static void attend(void)
{
    int iter = 0, want, fd, count = 0;

    (void)fh_flush(client);
    for (int i = 0; i < FDS && events[i]; i++) {
        event_free(events[i]);
        events[i] = NULL;
    }
    while (count < FDS && (fd = fh_next_fd(client, &iter, &want)) >= 0) {
        short what =
            (short)((want & FH_WANT_READ ? EV_READ : 0) | (want & FH_WANT_WRITE ? EV_WRITE : 0));
        events[count] = event_new(base, fd, what, on_ready, NULL);
        event_add(events[count++], NULL);
    }
}

/* A put that is done becomes a get; after the last get the loop ends. */
static void finished(fh_req *req)
{
    fh_result r;

    fh_req_result(req, &r);
    fh_req_free(req);
    char *name = r.tag;
    failed += r.status != FH_OK;
    if (name && r.status == FH_OK) {
        int i = (int)(name - names[0]) / (int)sizeof(names[0]);
        if (fh_submit_get(client, name, strlen(name), 0, bytes[i], sizeof(bytes[i]), &req) == FH_OK)
            return; /* no tag: it is a get */
        failed++;
    }
    if (++gets == COUNT)
        event_base_loopbreak(base);
}

static void on_ready(evutil_socket_t fd, short what, void *unused)
{
    fh_req *req;

    (void)unused;
    if (fd >= 0)
        (void)fh_ready(client, fd,
                       (what & EV_READ ? FH_WANT_READ : 0) | (what & EV_WRITE ? FH_WANT_WRITE : 0));
    while (fh_wait_any(client, &req, 0) == FH_OK)
        finished(req);
    attend();
}

int main(int argc, char **argv)
{
    const struct timeval second = {.tv_sec = 1};
    fh_req *req;

    if (fh_open(argc > 1 ? argv[1] : "farheap://127.0.0.1:7420", NULL, &client) != FH_OK) {
        fprintf(stderr, "open: %s\n", fh_errmsg(client));
        return 1;
    }
    base = event_base_new();
    struct event *timer = event_new(base, -1, EV_PERSIST, on_ready, NULL);
    event_add(timer, &second);
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "loop/%d", i);
        if (fh_submit_put(client, names[i], strlen(names[i]), names[i], sizeof(names[i]), NULL,
                          &req) != FH_OK)
            return 1;
        fh_req_tag(req, names[i]);
    }
    attend();
    event_base_dispatch(base);
    for (int i = 0; i < COUNT; i++)
        failed += memcmp(names[i], bytes[i], sizeof(bytes[i])) != 0;
    printf("%d objects put and got, %d failures\n", gets, failed);
    for (int i = 0; i < FDS && events[i]; i++)
        event_free(events[i]);
    event_free(timer);
    event_base_free(base);
    fh_close(client);
    return failed > 0;
}
