/*
 * zones: which connection leads to which zone of the node. A link is opened when first needed: it
 * connects, says Hello for its zone, and is ready when that is answered.
 *
 * Units      milliseconds of the monotonic clock for deadlines.
 * Ownership  caller owns struct fh_zones; links live until fh_zones_fini or the node tells another
 *            number of zones, and keep their address until then.
 * Threads    one owner thread.
 * Errors     a fh_status with a sentence in `why`; a link that breaks later is told by on_broken.
 */
#ifndef FH_CLIENT_ZONES_H
#define FH_CLIENT_ZONES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "client/conn.h"
#include "client/farheap.h"
#include "client/tls.h"
#include "client/url.h"
#include "proto/head.h"

enum { FH_ADDRESSES_MAX = 32, FH_SERVER_SIZE = 64, FH_ZONES_MAX = 65535 };

struct fh_req;
struct fh_zones;

enum fh_link_state { FH_LINK_CLOSED, FH_LINK_OPENING, FH_LINK_READY };

struct fh_link {
    struct fh_zones *zones;
    uint32_t zone; /* UINT32_MAX until Hello tells, for the first link */
    enum fh_link_state state;
    struct fh_conn conn;
    int64_t open_until;                      /* give up opening then */
    int64_t used_at;                         /* last time requests were sent or an answer came */
    struct fh_req *receiving;                /* whose body is arriving; NULL: nobody's [I3] */
    struct fh_req *queue_first, *queue_last; /* not sent yet; the floor above keeps them */
    uint32_t sent;                           /* sent and not answered; kept there too */
    uint32_t sent_large;                     /* of these, with large answers; the same */
};

/* Upward calls. */
struct fh_zones_events {
    void *context;
    int (*on_head)(void *context, struct fh_link *, const uint8_t *head, size_t head_size,
                   uint32_t body_size, uint8_t **body);
    void (*on_body)(void *context, struct fh_link *);
    /* The link is closed. `again`: it had worked, so what is left to do may be tried on a new one.
     */
    void (*on_broken)(void *context, struct fh_link *, fh_status, const char *why, bool again);
};

struct fh_address {
    struct sockaddr_storage storage;
    socklen_t size;
    char host[FH_URL_HOST_SIZE]; /* as the URL says, for the certificate */
};

struct fh_zones {
    struct fh_zones_events events;
    struct fh_link **links; /* `count` of them; NULL where not needed yet */
    uint32_t count;         /* zones of the node; 0 before the first Hello */
    uint32_t count_told;    /* what the last Hello said, when it differs from `count` [I2] */
    uint32_t body_max;      /* of one frame; the smallest any zone told */
    char server[FH_SERVER_SIZE];
    struct fh_address *addresses;
    uint32_t address_count, home; /* home: the one that answered; all links go there [I1] */
    struct fh_tls tls;
    uint32_t connect_timeout_ms;
    uint64_t client_id; /* random, told in Hello */
    char agent[65];
    char server_name[FH_URL_HOST_SIZE]; /* "" = the URL's host */
    struct fh_head_arena arena;         /* for heads that arrive: one at a time */
    fh_status why_status;               /* why the last link broke */
    char why[FH_CONN_WHY_SIZE];
};

int64_t fh_clock_ms(void);

fh_status fh_zones_init(struct fh_zones *, const struct fh_url *, const fh_options *,
                        struct fh_zones_events);
void fh_zones_fini(struct fh_zones *);

/* Opens one link, to any zone, at the first address that answers. Waits for it. */
fh_status fh_zones_start(struct fh_zones *);
/* The link to a zone, made if need be; NULL when memory is out. */
struct fh_link *fh_zones_link(struct fh_zones *, uint32_t zone);
/* Takes up a change in the number of zones: breaks all links. Called where no link is in use. */
fh_status fh_zones_renew(struct fh_zones *);

/* Begins to open a closed link; failure is told by on_broken. */
void fh_link_open(struct fh_link *);
/* The descriptor is ready. */
void fh_link_ready(struct fh_link *, bool readable);
/* Sends what is queued. */
void fh_link_flush(struct fh_link *);
/* Closes the link and tells the floor above. */
void fh_link_break(struct fh_link *, fh_status, const char *why);

#endif
