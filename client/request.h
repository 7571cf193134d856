/*
 * request: one call on its way: queued at a zone's link, sent under an id, answered, told. And the
 * client, which is the table of all of them.
 *
 * Units      milliseconds of the monotonic clock.
 * Ownership  requests belong to the client's pool until fh_req_free; the client frees what is left.
 * Threads    one owner thread.
 * Errors     fh_status; the sentence for a failed request is in its `message`.
 * Cost       submit, send, answer and free are O(1); a broken link costs a walk over the ids.
 */
#ifndef FH_CLIENT_REQUEST_H
#define FH_CLIENT_REQUEST_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/call.h"
#include "client/farheap.h"
#include "client/ids.h"
#include "client/zones.h"

enum {
    FH_MESSAGE_SIZE = 512,
    FH_REQ_NAME_INLINE = 48, /* longer names are copied to memory of their own */
    FH_BODY_COPY = 2048,     /* bodies up to this are copied behind their head */
    FH_RESENDS_MAX = 3,
    FH_LARGE_MIN = 32 << 10, /* an answer that may have so large a body is received exactly */
};

enum fh_req_state {
    FH_REQ_QUEUED, /* in its link's queue */
    FH_REQ_SENT,   /* in the table under its id, perhaps receiving its body */
    FH_REQ_DONE,   /* in the done list */
    FH_REQ_TOLD    /* nowhere; only its owner knows it */
};

struct fh_req {
    struct fh_client *client;
    struct fh_req *prev, *next; /* of the queue, the done list or the pool */
    struct fh_link *link;
    enum fh_req_state state;
    bool quiet; /* not put into the done list: whoever submitted it waits for it */
    uint8_t resends;
    uint32_t slot; /* of its id; UINT32_MAX: none */
    int64_t deadline;
    struct fh_call call;
    struct fh_answer answer;
    char *message; /* why it failed; NULL when it did not, or memory is out */
    void *tag;
    char *name_heap; /* the name when it is longer than name_inline; to free */
    char name_inline[FH_REQ_NAME_INLINE];
};

struct fh_req_chunk;

struct fh_client {
    struct fh_zones zones;
    struct fh_ids ids;
    struct fh_req_chunk *chunks;
    struct fh_req *pool; /* unused ones, by next */
    struct fh_req *done_first, *done_last;
    size_t in_flight; /* queued and sent */
    uint32_t zone_turn;
    uint32_t request_timeout_ms;
    int64_t now;           /* the time of the current step */
    int64_t next_deadline; /* no request ends before it; INT64_MAX = none */
    struct pollfd *polls;  /* room for poll_cap zones */
    size_t poll_cap;
    bool usable; /* fh_open succeeded */
    char message[FH_MESSAGE_SIZE];
};

void fh_client_init(struct fh_client *);
void fh_client_fini(struct fh_client *);
/* Sets the message of the last failed call and returns the status. */
fh_status fh_client_fail(struct fh_client *, fh_status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The zone a call goes to by its name or its handle; FH_STALE when the node has no such zone. */
fh_status fh_client_zone_of_name(struct fh_client *, const void *name, size_t size, uint32_t *zone);
fh_status fh_client_zone_of_handle(struct fh_client *, fh_handle, uint32_t *zone);
/* The zone of a new object: that of how->near_name, else all in turn. */
fh_status fh_client_zone_for_alloc(struct fh_client *, const fh_how *how, uint32_t *zone);

/* Queues a call. A quiet request's name stays the caller's, others are copied. */
fh_status fh_request_submit(struct fh_client *, const struct fh_call *, uint32_t zone, bool quiet,
                            struct fh_req **out);
/* Sends what is queued at a link, opening it if need be. */
void fh_request_send(struct fh_client *, struct fh_link *);
/* Ends with FH_TIMEOUT what is past its deadline at client->now. */
void fh_request_expire(struct fh_client *);
/* The request's outcome has been seen: take it from the done list, and its message to the client.
 */
void fh_request_tell(struct fh_req *);

/* Waits for a quiet request, to its deadline; it can then be looked at and must be freed. */
void fh_request_wait(struct fh_client *, struct fh_req *);
/* Calls and waits; *answer is what it came to, its text the caller's. */
fh_status fh_request_run(struct fh_client *, const struct fh_call *, uint32_t zone,
                         struct fh_answer *answer);

#endif
