/*
 * Theory.  A readable listening socket is emptied, but for a bound per event. What is over
 * max-connections is closed at once, before anything is allocated for it.
 */
#include "listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "zone_thread.h"

enum { ACCEPTS_PER_EVENT = 64 };

static void listener_hand_over(struct fh_listener *l, int fd, const struct fh_address *peer)
{
    struct fh_listeners *all = l->all;
    struct fh_node *node = all->node;
    char text[FH_ADDRESS_TEXT_SIZE];
    int on = 1;

    if (atomic_fetch_add(&node->connections, 1) >= node->config->max_connections) {
        atomic_fetch_sub(&node->connections, 1);
        atomic_fetch_add(&node->rejected, 1);
        close(fd);
        FH_LOG(node->log, fh_clock_ns() / 1000000000 + 1, FH_LOG_WARN, "listener",
               "connection refused: max-connections reached",
               FH_NUM("max_connections", node->config->max_connections));
        return;
    }
    if (l->address.bytes.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fh_address_print(peer, text);
    atomic_fetch_add(&node->accepted[l->plain ? 0 : 1], 1);
    struct fh_conn *c = fh_conn_create(fd, l->plain ? NULL : all->tls, text, ++all->next_id,
                                       fh_clock_ms_of(fh_clock_ns()), &node->connections);
    if (c)
        fh_zone_thread_adopt(node->mailboxes[all->next_zone++ % node->zones], c);
}

static void listener_failed(struct fh_listener *l, int error)
{
    static const struct timeval second = {.tv_sec = 1};

    FH_LOG(l->all->node->log, fh_clock_ns() / 1000000000 + 1, FH_LOG_ERROR, "listener",
           "cannot accept", FH_TEXT("error", strerror(error)));
    if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) {
        event_del(l->event);
        event_add(l->retry, &second);
    }
}

static void on_connection(evutil_socket_t fd, short what, void *arg)
{
    struct fh_listener *l = arg;

    (void)what;
    for (unsigned i = 0; i < ACCEPTS_PER_EVENT; i++) {
        struct fh_address peer = {.size = sizeof peer.bytes};
        int s =
            accept4(fd, (struct sockaddr *)&peer.bytes, &peer.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (s >= 0) {
            listener_hand_over(l, s, &peer);
            continue;
        }
        if (errno == ECONNABORTED || errno == EINTR || errno == EPROTO)
            continue;
        if (errno != EAGAIN)
            listener_failed(l, errno);
        return;
    }
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct fh_listener *l = arg;

    (void)fd;
    (void)what;
    event_add(l->event, NULL);
}

/* Parts "ADDRESS,plain". */
static int listener_parse(struct fh_listener *l, const char *text)
{
    char address[256];
    const char *comma = strrchr(text, ',');
    size_t size = comma ? (size_t)(comma - text) : strlen(text);

    if (comma && strcmp(comma, ",plain") != 0)
        return -EINVAL;
    if (size >= sizeof address)
        return -EINVAL;
    memcpy(address, text, size);
    address[size] = 0;
    l->plain = comma != NULL;
    return fh_address_parse(address, &l->address);
}

static int listener_open(struct fh_listener *l, struct fh_listeners *all, const char *text)
{
    struct fh_address wanted;
    int rc;

    *l = (struct fh_listener){.all = all, .fd = -1};
    if ((rc = listener_parse(l, text)) != 0)
        return rc;
    wanted = l->address;
    if ((rc = fh_address_listen(&wanted, &l->fd, &l->address)) != 0)
        return rc;
    l->event = event_new(all->base, l->fd, EV_READ | EV_PERSIST, on_connection, l);
    l->retry = evtimer_new(all->base, on_retry, l);
    if (!l->event || !l->retry || event_add(l->event, NULL) != 0)
        return -ENOMEM;
    return 0;
}

static void listener_close(struct fh_listener *l)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&l->address.bytes;

    if (l->event)
        event_free(l->event);
    if (l->retry)
        event_free(l->retry);
    if (l->fd >= 0) {
        close(l->fd);
        if (l->address.bytes.ss_family == AF_UNIX)
            unlink(un->sun_path);
    }
}

static void listener_log(const struct fh_listener *l)
{
    char address[FH_ADDRESS_TEXT_SIZE];
    char message[FH_ADDRESS_TEXT_SIZE + 16];

    fh_address_print(&l->address, address);
    snprintf(message, sizeof message, "listening on %s", address);
    FH_LOG(l->all->node->log, 0, FH_LOG_INFO, "listener", message,
           FH_TEXT("tls", l->plain ? "off" : "on"));
}

int fh_listeners_open(struct fh_listeners *all, struct fh_node *node, struct event_base *base,
                      struct fh_tls_context *tls, const char **failed)
{
    const struct fh_config_list *list = &node->config->listen;

    *all = (struct fh_listeners){.node = node, .base = base, .tls = tls};
    for (unsigned i = 0; i < list->count; i++) {
        int rc = listener_open(&all->items[i], all, list->item[i]);
        all->count++;
        if (rc != 0) {
            *failed = list->item[i];
            fh_listeners_close(all);
            return rc;
        }
    }
    for (unsigned i = 0; i < all->count; i++)
        listener_log(&all->items[i]);
    return 0;
}

void fh_listeners_close(struct fh_listeners *all)
{
    for (unsigned i = 0; i < all->count; i++)
        listener_close(&all->items[i]);
    all->count = 0;
}
