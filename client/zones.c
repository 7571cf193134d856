/*
 * Theory.  The first link asks for "any zone" and learns how many there are; the others ask for
 * theirs. Hello is sent as soon as the connection is open, requests only after its answer: the
 * server moves the connection to the zone's thread in between. Hello's id is 0, which no request
 * has.
 *
 * Invariants
 *   [I1] all links lead to addresses[home]: one client, one node
 *   [I2] count_told is 0, or differs from count and waits for fh_zones_renew
 *   [I3] a link that is not READY has no request sent and none receiving
 */
#include "client/zones.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/un.h>
#include <time.h>

#include "proto/frame.h"
#include "proto/status.h"

enum { HELLO_SIZE_MAX = 256, PROTOCOL_VERSION = 1 };

int64_t fh_clock_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- addresses */

static fh_status address_local(struct fh_zones *z, const struct fh_url *url)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct fh_address *a = &z->addresses[0];

    memcpy(un.sun_path, url->path, sizeof(un.sun_path));
    _Static_assert(sizeof(un.sun_path) == FH_URL_PATH_SIZE, "a URL's path fits a unix address");
    memcpy(&a->storage, &un, sizeof(un));
    a->size = sizeof(un);
    z->address_count = 1;
    return FH_OK;
}

static void address_add(struct fh_zones *z, const struct addrinfo *info, const char *host)
{
    struct fh_address *a = &z->addresses[z->address_count];

    if (z->address_count == FH_ADDRESSES_MAX || info->ai_addrlen > sizeof(a->storage))
        return;
    memcpy(&a->storage, info->ai_addr, info->ai_addrlen);
    a->size = info->ai_addrlen;
    (void)snprintf(a->host, sizeof(a->host), "%s", host);
    z->address_count++;
}

static void host_resolve(struct fh_zones *z, const struct fh_url_host *host)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host->name, host->port, &hints, &list);

    if (rc != 0) {
        (void)snprintf(z->why, sizeof(z->why), "%.100s: %s", host->name, gai_strerror(rc));
        return;
    }
    for (const struct addrinfo *info = list; info != NULL; info = info->ai_next)
        address_add(z, info, host->name);
    freeaddrinfo(list);
}

static fh_status addresses_resolve(struct fh_zones *z, const struct fh_url *url)
{
    z->addresses = calloc(FH_ADDRESSES_MAX, sizeof(*z->addresses));
    if (z->addresses == NULL)
        return FH_NO_MEMORY;
    if (url->local)
        return address_local(z, url);
    for (size_t i = 0; i < url->host_count; i++)
        host_resolve(z, &url->hosts[i]);
    return z->address_count > 0 ? FH_OK : FH_CONNECTION;
}

/* --- Hello */

static int hello_push(struct fh_link *link)
{
    Farheap__V1__Hello hello = FARHEAP__V1__HELLO__INIT;
    Farheap__V1__Request head = FARHEAP__V1__REQUEST__INIT;
    struct fh_zones *z = link->zones;
    uint8_t *room = fh_sendq_reserve(&link->conn.out, HELLO_SIZE_MAX);

    if (room == NULL)
        return -ENOMEM;
    hello.version = PROTOCOL_VERSION;
    hello.zone = link->zone;
    hello.client_id = z->client_id;
    hello.agent.data = (uint8_t *)z->agent;
    hello.agent.len = strlen(z->agent);
    head.deadline_ms = z->connect_timeout_ms;
    head.op_case = FARHEAP__V1__REQUEST__OP_HELLO;
    head.hello = &hello;
    fh_sendq_push_text(&link->conn.out, fh_head_pack_request(&head, 0, room, HELLO_SIZE_MAX));
    return 0;
}

static int hello_refused(struct fh_link *link, const fh_response_head *response)
{
    (void)snprintf(link->conn.why, sizeof(link->conn.why), "Hello is answered %s: %.*s",
                   fh_status_name(response->status), (int)response->detail.len,
                   (const char *)response->detail.data);
    return fh_status_to_errno(response->status);
}

static bool hello_is_sound(const struct fh_link *link, const Farheap__V1__HelloResult *hello)
{
    if (hello->version != PROTOCOL_VERSION || hello->body_max == 0)
        return false;
    if (hello->zones == 0 || hello->zones > FH_ZONES_MAX || hello->zone >= hello->zones)
        return false;
    return link->zone == UINT32_MAX || link->zone == hello->zone;
}

static int hello_take(struct fh_link *link, const Farheap__V1__HelloResult *hello)
{
    struct fh_zones *z = link->zones;
    size_t size = hello->server.len < sizeof(z->server) ? hello->server.len : sizeof(z->server) - 1;

    if (z->count != 0 && z->count != hello->zones) {
        z->count_told = hello->zones;
        (void)snprintf(link->conn.why, sizeof(link->conn.why),
                       "the server was started again with another number of zones");
        return -ECONNRESET;
    }
    if (!hello_is_sound(link, hello))
        return -EPROTO;
    link->zone = hello->zone;
    if (z->count == 0)
        z->count_told = hello->zones;
    if (z->body_max == 0 || hello->body_max < z->body_max)
        z->body_max = hello->body_max < FH_BODY_MAX ? hello->body_max : FH_BODY_MAX;
    if (size > 0)
        memcpy(z->server, hello->server.data, size);
    z->server[size] = '\0';
    link->state = FH_LINK_READY;
    link->used_at = fh_clock_ms();
    return 0;
}

static int hello_answered(struct fh_link *link, const uint8_t *head, size_t size,
                          uint32_t body_size)
{
    fh_response_head *response;

    if (fh_head_unpack_response(&link->zones->arena, head, size, &response) != 0 ||
        response->id != 0 || body_size != 0)
        return -EPROTO;
    if (response->status != 0)
        return hello_refused(link, response);
    if (response->result_case != FARHEAP__V1__RESPONSE__RESULT_HELLO)
        return -EPROTO;
    return hello_take(link, response->hello);
}

/* --- a link */

static int link_on_head(void *context, const uint8_t *head, size_t size, uint32_t body_size,
                        uint8_t **body)
{
    struct fh_link *link = context;

    if (link->state != FH_LINK_READY)
        return hello_answered(link, head, size, body_size);
    return link->zones->events.on_head(link->zones->events.context, link, head, size, body_size,
                                       body);
}

static void link_on_body(void *context)
{
    struct fh_link *link = context;

    if (link->state == FH_LINK_READY)
        link->zones->events.on_body(link->zones->events.context, link);
}

static struct fh_link *link_create(struct fh_zones *z, uint32_t zone)
{
    struct fh_link *link = calloc(1, sizeof(*link));

    if (link == NULL)
        return NULL;
    link->zones = z;
    link->zone = zone;
    fh_conn_init(&link->conn, (struct fh_conn_events){link, link_on_head, link_on_body});
    return link;
}

static void link_destroy(struct fh_link *link)
{
    if (link == NULL)
        return;
    fh_conn_fini(&link->conn);
    free(link);
}

static void link_end(struct fh_link *link, fh_status status, const char *why, bool again)
{
    struct fh_zones *z = link->zones;

    if (why != z->why)
        (void)snprintf(z->why, sizeof(z->why), "%s", why);
    z->why_status = status;
    fh_conn_close(&link->conn);
    link->state = FH_LINK_CLOSED;
    z->events.on_broken(z->events.context, link, status, z->why, again);
}

void fh_link_break(struct fh_link *link, fh_status status, const char *why)
{
    link_end(link, status, why, link->state == FH_LINK_READY && status == FH_CONNECTION);
}

/* What a negative errno of a connection means to the caller: the server's word in answer to Hello,
 * a lie, or simply no connection. */
static fh_status status_of_link_error(int rc)
{
    switch (rc) {
    case -EPROTO:
        return FH_PROTOCOL;
    case -ENOMEM:
        return FH_NO_MEMORY;
    case -ENOKEY:
    case -EACCES:
    case -EBUSY:
    case -EDQUOT:
    case -ESHUTDOWN:
    case -EINVAL:
    case -EOPNOTSUPP:
        return (fh_status)fh_status_of_errno(rc);
    default:
        return FH_CONNECTION;
    }
}

static void link_outcome(struct fh_link *link, int rc)
{
    if (rc != 0)
        fh_link_break(link, status_of_link_error(rc), link->conn.why);
}

void fh_link_open(struct fh_link *link)
{
    struct fh_zones *z = link->zones;
    const struct fh_address *a = &z->addresses[z->home];
    const struct fh_conn_peer peer = {
        .address = (const struct sockaddr *)&a->storage,
        .address_size = a->size,
        .tls = z->tls.context != NULL ? &z->tls : NULL,
        .name = z->server_name[0] != '\0' ? z->server_name : a->host,
    };

    link->state = FH_LINK_OPENING;
    link->open_until = fh_clock_ms() + z->connect_timeout_ms;
    if (hello_push(link) != 0)
        fh_link_break(link, FH_NO_MEMORY, "no memory for Hello");
    else
        link_outcome(link, fh_conn_open(&link->conn, &peer));
}

void fh_link_ready(struct fh_link *link, bool readable)
{
    link_outcome(link, fh_conn_ready(&link->conn, readable));
}

void fh_link_flush(struct fh_link *link)
{
    link_outcome(link, fh_conn_flush(&link->conn));
}

/* --- the node */

static void options_take(struct fh_zones *z, const struct fh_url *url, const fh_options *options)
{
    const char *agent = options->agent != NULL ? options->agent : "libfarheap " FARHEAP_VERSION;

    z->connect_timeout_ms = options->connect_timeout_ms != 0 ? options->connect_timeout_ms
                            : url->timeout_ms != 0           ? url->timeout_ms
                                                             : 5000;
    (void)snprintf(z->agent, sizeof(z->agent), "%s", agent);
    if (options->server_name != NULL)
        (void)snprintf(z->server_name, sizeof(z->server_name), "%s", options->server_name);
    if (getrandom(&z->client_id, sizeof(z->client_id), 0) != sizeof(z->client_id))
        z->client_id = (uint64_t)fh_clock_ms();
}

fh_status fh_zones_init(struct fh_zones *z, const struct fh_url *url, const fh_options *options,
                        struct fh_zones_events events)
{
    const struct fh_tls_files files = {.ca_file = options->ca_file,
                                       .cert_file = options->cert_file,
                                       .key_file = options->key_file,
                                       .insecure = options->insecure != 0};
    char why[FH_TLS_WHY_SIZE] = "no memory for TLS";
    fh_status status;
    int rc;

    memset(z, 0, sizeof(*z));
    z->events = events;
    options_take(z, url, options);
    if (url->secure && (rc = fh_tls_init(&z->tls, &files, why)) != 0) {
        (void)snprintf(z->why, sizeof(z->why), "%s", why);
        return rc == -ENOMEM ? FH_NO_MEMORY : FH_INVALID;
    }
    if ((status = addresses_resolve(z, url)) != FH_OK)
        fh_tls_fini(&z->tls);
    return status;
}

static void links_destroy(struct fh_zones *z)
{
    for (uint32_t i = 0; i < z->count; i++)
        link_destroy(z->links[i]);
    free(z->links);
    z->links = NULL;
    z->count = 0;
}

void fh_zones_fini(struct fh_zones *z)
{
    links_destroy(z);
    fh_tls_fini(&z->tls);
    free(z->addresses);
    z->addresses = NULL;
}

/* Drives one link until it is ready or broken. */
static bool link_wait_ready(struct fh_link *link)
{
    while (link->state == FH_LINK_OPENING) {
        struct pollfd p = {.fd = link->conn.fd, .events = fh_conn_wants(&link->conn)};
        int64_t left = link->open_until - fh_clock_ms();

        if (left <= 0) {
            fh_link_break(link, FH_CONNECTION, "no answer within the connect timeout");
            break;
        }
        if (poll(&p, 1, left > 60000 ? 60000 : (int)left) > 0)
            fh_link_ready(link, (p.revents & ~POLLOUT) != 0);
    }
    return link->state == FH_LINK_READY;
}

static fh_status zones_resize(struct fh_zones *z, uint32_t count)
{
    struct fh_link **links = calloc(count, sizeof(struct fh_link *));

    if (links == NULL)
        return FH_NO_MEMORY;
    links_destroy(z);
    z->links = links;
    z->count = count;
    z->count_told = 0;
    return FH_OK;
}

fh_status fh_zones_start(struct fh_zones *z)
{
    struct fh_link *link = link_create(z, UINT32_MAX);

    if (link == NULL)
        return FH_NO_MEMORY;
    for (z->home = 0; z->home < z->address_count; z->home++) {
        fh_link_open(link);
        if (!link_wait_ready(link))
            continue;
        if ((z->why_status = zones_resize(z, z->count_told)) != FH_OK)
            break;
        z->links[link->zone] = link;
        return FH_OK;
    }
    link_destroy(link);
    z->home = 0;
    return z->why_status;
}

struct fh_link *fh_zones_link(struct fh_zones *z, uint32_t zone)
{
    if (z->links[zone] == NULL)
        z->links[zone] = link_create(z, zone);
    return z->links[zone];
}

fh_status fh_zones_renew(struct fh_zones *z)
{
    if (z->count_told == 0)
        return FH_OK;
    for (uint32_t i = 0; i < z->count; i++) {
        if (z->links[i] != NULL)
            link_end(z->links[i], FH_CONNECTION, "the number of zones has changed", false);
    }
    return zones_resize(z, z->count_told);
}
