/*
 * Theory.  Requests wait in the queue of the link to their zone until it is ready; then each gets
 * its id and is packed into the link's sendq, so that all that came together leave together. The id
 * is an index into a table, and no id comes twice in a client's life.
 *
 *   QUEUED --packed--> SENT --answered--> DONE --told--> TOLD --fh_req_free--> pool
 *      \                 \--deadline, break--/
 *       \--deadline, no connection----------/
 *
 * A request that ends before its answer leaves its slot behind as *forgotten*: the answer will come
 * and must be recognised, and its body thrown away.
 *
 * Invariants
 *   [I1] link->sent counts the slots, live or forgotten, whose answer's head has not arrived
 *   [I2] the queue and the sendq point at no memory of a request that is done or freed
 *   [I3] a mutation is packed at most once in its life
 *   [I4] in_flight counts the requests that are QUEUED or SENT
 *   [I5] link->sent_large counts those of `sent` whose slot is large; conn.exact says that there are
 *        no others
 */
#include "client/request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/handle.h"
#include "proto/place.h"

enum { CHUNK_REQUESTS = 64, BYTES_PER_SECOND_MIN = 16 << 20, IDLE_MS = 1000 };

struct fh_req_chunk {
    struct fh_req_chunk *next;
    struct fh_req requests[CHUNK_REQUESTS];
};

/* --- the pool of requests */

static bool pool_grow(struct fh_client *c)
{
    struct fh_req_chunk *chunk = calloc(1, sizeof(*chunk));

    if (chunk == NULL)
        return false;
    chunk->next = c->chunks;
    c->chunks = chunk;
    for (size_t i = 0; i < CHUNK_REQUESTS; i++) {
        chunk->requests[i].next = c->pool;
        c->pool = &chunk->requests[i];
    }
    return true;
}

static void req_free_memory(struct fh_req *req)
{
    free(req->name_heap);
    free(req->message);
    free(req->answer.text);
    req->name_heap = req->message = req->answer.text = NULL;
}

static bool req_copy_name(struct fh_req *req)
{
    char *copy = req->name_inline;

    if (req->call.name_size == 0)
        return true;
    if (req->call.name_size > sizeof(req->name_inline)) {
        if ((req->name_heap = malloc(req->call.name_size)) == NULL)
            return false;
        copy = req->name_heap;
    }
    memcpy(copy, req->call.name, req->call.name_size);
    req->call.name = copy;
    return true;
}

static void req_give_back(struct fh_req *req)
{
    struct fh_client *c = req->client;

    req_free_memory(req);
    req->next = c->pool;
    c->pool = req;
}

static struct fh_req *req_take(struct fh_client *c, const struct fh_call *call, bool quiet)
{
    struct fh_req *req;

    if (c->pool == NULL && !pool_grow(c))
        return NULL;
    req = c->pool;
    c->pool = req->next;
    req->client = c;
    req->prev = req->next = NULL;
    req->quiet = quiet;
    req->resends = 0;
    req->slot = UINT32_MAX;
    req->tag = NULL;
    req->call = *call;
    req->answer.text = NULL;
    req->answer.status = FH_OK;
    if (!quiet && !req_copy_name(req)) {
        req_give_back(req);
        return NULL;
    }
    return req;
}

/* --- lists */

static void list_push(struct fh_req **first, struct fh_req **last, struct fh_req *req)
{
    req->prev = *last;
    req->next = NULL;
    if (*last != NULL)
        (*last)->next = req;
    else
        *first = req;
    *last = req;
}

static void list_remove(struct fh_req **first, struct fh_req **last, struct fh_req *req)
{
    if (req->prev != NULL)
        req->prev->next = req->next;
    else
        *first = req->next;
    if (req->next != NULL)
        req->next->prev = req->prev;
    else
        *last = req->prev;
    req->prev = req->next = NULL;
}

static void queue_push(struct fh_req *req)
{
    req->state = FH_REQ_QUEUED;
    list_push(&req->link->queue_first, &req->link->queue_last, req);
}

static void queue_remove(struct fh_req *req)
{
    list_remove(&req->link->queue_first, &req->link->queue_last, req);
}

/* --- the end of a request */

static void req_explain(struct fh_req *req, fh_status status, const void *detail, size_t size)
{
    char call[192], words[256];
    int n;

    if (size > 0)
        (void)fh_text_clean(detail, size, words, sizeof(words));
    else
        (void)snprintf(words, sizeof(words), "%s", fh_hint(status));
    (void)fh_call_print(&req->call, call, sizeof(call));
    free(req->message);
    n = asprintf(&req->message, "%s: %s: %s", call, fh_strstatus(status), words);
    if (n < 0)
        req->message = NULL;
}

/* What of its body waits to be sent or to arrive must not touch the caller's memory any more. */
static int req_let_go_of_output(const struct fh_req *req)
{
    struct fh_sendq *out = &req->link->conn.out;

    if (req->state != FH_REQ_SENT || req->call.body_size <= FH_BODY_COPY || out->bytes == 0)
        return 0;
    return fh_sendq_own(out, req->call.body, req->call.body_size);
}

static void req_finish(struct fh_req *req)
{
    struct fh_client *c = req->client;

    c->in_flight--;
    if (req->quiet) {
        req->state = FH_REQ_TOLD;
        return;
    }
    req->state = FH_REQ_DONE;
    list_push(&c->done_first, &c->done_last, req);
}

static void req_fail(struct fh_req *req, fh_status status, const char *why)
{
    free(req->answer.text);
    memset(&req->answer, 0, sizeof(req->answer));
    req->answer.status = status;
    req_explain(req, status, why, strlen(why));
    req_finish(req);
}

/* Takes a request in flight out of queue, link and table; its answer, if one is to come, is
 * forgotten. */
static void req_withdraw(struct fh_req *req)
{
    struct fh_client *c = req->client;
    struct fh_link *link = req->link;

    if (req->state == FH_REQ_QUEUED) {
        queue_remove(req);
        return;
    }
    if (link->receiving == req) {
        fh_conn_drop_body(&link->conn);
        link->receiving = NULL;
        fh_ids_release(&c->ids, req->slot);
    } else {
        c->ids.slots[req->slot].req = NULL;
    }
    if (req_let_go_of_output(req) != 0)
        fh_link_break(link, FH_CONNECTION, "no memory to finish sending");
    req->slot = UINT32_MAX;
}

void fh_request_expire(struct fh_client *c)
{
    int64_t next = INT64_MAX;

    for (uint32_t i = 0; i < c->zones.count; i++) {
        struct fh_link *link = c->zones.links[i];
        struct fh_req *req = link != NULL ? link->queue_first : NULL;

        while (req != NULL) {
            struct fh_req *after = req->next;

            if (req->deadline <= c->now) {
                req_withdraw(req);
                req_fail(req, FH_TIMEOUT, "no connection within the deadline");
            } else if (req->deadline < next) {
                next = req->deadline;
            }
            req = after;
        }
    }
    for (uint32_t i = 0; i < c->ids.count; i++) {
        struct fh_req *req = c->ids.slots[i].req;

        if (req == NULL)
            continue;
        if (req->deadline <= c->now) {
            req_withdraw(req);
            req_fail(req, FH_TIMEOUT, "no answer within the deadline");
        } else if (req->deadline < next) {
            next = req->deadline;
        }
    }
    c->next_deadline = next;
}

/* --- upward calls of the links */

static void link_count(struct fh_link *link, bool large, bool sent)
{
    uint32_t one = sent ? 1 : UINT32_MAX;

    link->sent += one;
    if (large)
        link->sent_large += one;
    link->conn.exact = link->sent_large == link->sent;
}

static int on_head(void *context, struct fh_link *link, const uint8_t *head, size_t head_size,
                   uint32_t body_size, uint8_t **body)
{
    struct fh_client *c = context;
    fh_response_head *response;
    struct fh_req *req;
    uint32_t slot;
    int rc;

    if (fh_head_unpack_response(&c->zones.arena, head, head_size, &response) != 0)
        return -EPROTO;
    slot = fh_ids_find(&c->ids, link, response->id);
    if (slot == UINT32_MAX || link->sent == 0)
        return -EPROTO;
    req = c->ids.slots[slot].req;
    link_count(link, c->ids.slots[slot].large, false);
    if (req == NULL) {
        fh_ids_release(&c->ids, slot);
        return 0;
    }
    if (req_let_go_of_output(req) != 0)
        return -ENOMEM;
    rc = fh_call_answer(&req->call, response, body_size, &req->answer, body);
    if (rc == -EPROTO)
        return rc;
    if (req->answer.status != FH_OK)
        req_explain(req, req->answer.status, response->detail.data, response->detail.len);
    link->receiving = req;
    return 0;
}

static void on_body(void *context, struct fh_link *link)
{
    struct fh_client *c = context;
    struct fh_req *req = link->receiving;

    if (req == NULL) /* forgotten, or the answer to Hello */
        return;
    link->used_at = c->now;
    link->receiving = NULL;
    fh_ids_release(&c->ids, req->slot);
    req->slot = UINT32_MAX;
    req_finish(req);
}

/* A request was sent and its link broke: once more, or the end. */
static void req_broken(struct fh_req *req, fh_status status, const char *why, bool again)
{
    fh_ids_release(&req->client->ids, req->slot);
    req->slot = UINT32_MAX;
    if (!again || !fh_call_is_read_only(&req->call) || req->resends == FH_RESENDS_MAX) {
        req_fail(req, status, why);
        return;
    }
    free(req->answer.text);
    req->answer.text = NULL;
    req->resends++;
    queue_push(req);
}

static void on_broken(void *context, struct fh_link *link, fh_status status, const char *why,
                      bool again)
{
    struct fh_client *c = context;
    char text[FH_CONN_WHY_SIZE];

    (void)snprintf(text, sizeof(text), "%s", why);
    link->receiving = NULL;
    link->sent = link->sent_large = 0;
    while (!again && link->queue_first != NULL) {
        struct fh_req *req = link->queue_first;

        queue_remove(req);
        req_fail(req, status, text);
    }
    for (uint32_t i = 0; i < c->ids.count; i++) {
        if (c->ids.slots[i].link != link)
            continue;
        if (c->ids.slots[i].req != NULL)
            req_broken(c->ids.slots[i].req, status, text, again);
        else
            fh_ids_release(&c->ids, i);
    }
}

/* --- sending */

static uint32_t deadline_left(const struct fh_req *req)
{
    int64_t left = req->deadline - req->client->now;

    return left < 1 ? 1 : left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
}

static void req_pack(struct fh_req *req)
{
    const size_t head_max = FH_FRAME_PREFIX_SIZE + FH_HEAD_MAX;
    struct fh_client *c = req->client;
    struct fh_sendq *out = &req->link->conn.out;
    const struct fh_call *call = &req->call;
    uint8_t *room = fh_sendq_reserve(out, head_max + FH_BODY_COPY);
    size_t size;

    queue_remove(req);
    if (room != NULL)
        req->slot = fh_ids_take(&c->ids, req, req->link);
    if (req->slot == UINT32_MAX) {
        req_fail(req, FH_NO_MEMORY, "no memory to send the request");
        return;
    }
    size =
        fh_call_pack(call, fh_ids_number(&c->ids, req->slot), deadline_left(req), room, head_max);
    if (call->body_size > 0 && call->body_size <= FH_BODY_COPY) {
        memcpy(room + size, call->body, call->body_size);
        fh_sendq_push_text(out, size + call->body_size);
    } else {
        fh_sendq_push_text(out, size);
        fh_sendq_push_body(out, call->body, call->body_size);
    }
    req->state = FH_REQ_SENT;
    c->ids.slots[req->slot].large = call->into_size >= FH_LARGE_MIN;
    link_count(req->link, c->ids.slots[req->slot].large, true);
}

/* A link that was idle may have been closed by the server; better to know before a mutation is
 * sent into the void. */
static void link_look(struct fh_client *c, struct fh_link *link)
{
    if (link->state != FH_LINK_READY || link->sent > 0 || c->now - link->used_at < IDLE_MS)
        return;
    link->used_at = c->now;
    if (!fh_conn_is_alive(&link->conn))
        fh_link_break(link, FH_CONNECTION, "the server closed the idle connection");
}

void fh_request_send(struct fh_client *c, struct fh_link *link)
{
    if (link->queue_first != NULL) {
        link_look(c, link);
        if (link->state == FH_LINK_CLOSED)
            fh_link_open(link);
        while (link->state == FH_LINK_READY && link->queue_first != NULL)
            req_pack(link->queue_first);
    }
    if (link->state == FH_LINK_READY && link->conn.out.bytes > 0)
        fh_link_flush(link);
}

/* --- submitting */

fh_status fh_client_zone_of_name(struct fh_client *c, const void *name, size_t size, uint32_t *zone)
{
    fh_status status = fh_zones_renew(&c->zones);

    if (status != FH_OK)
        return fh_client_fail(c, status, "no memory for the zones");
    if (name == NULL || size == 0 || size > FH_NAME_MAX)
        return fh_client_fail(c, FH_INVALID, "a name has 1 to %d bytes", FH_NAME_MAX);
    *zone = fh_place_name(name, size, c->zones.count);
    return FH_OK;
}

fh_status fh_client_zone_of_handle(struct fh_client *c, fh_handle handle, uint32_t *zone)
{
    fh_status status = fh_zones_renew(&c->zones);
    char text[FH_HANDLE_TEXT];

    if (status != FH_OK)
        return fh_client_fail(c, status, "no memory for the zones");
    *zone = fh_address_zone(handle.address);
    if (*zone < c->zones.count)
        return FH_OK;
    (void)fh_handle_print_public(text, handle.address);
    return fh_client_fail(c, FH_STALE, "%s: the server has no such zone", text);
}

fh_status fh_client_zone_for_alloc(struct fh_client *c, const fh_how *how, uint32_t *zone)
{
    fh_status status;

    if (how->near_name != NULL)
        return fh_client_zone_of_name(c, how->near_name, how->near_size, zone);
    if ((status = fh_zones_renew(&c->zones)) != FH_OK)
        return fh_client_fail(c, status, "no memory for the zones");
    *zone = c->zone_turn++ % c->zones.count;
    return FH_OK;
}

/* The request's own time, and one second for each 16 MiB that move. */
static int64_t req_deadline(const struct fh_client *c, const struct fh_call *call)
{
    uint64_t moved = (uint64_t)call->body_size + call->into_size;

    return c->now + c->request_timeout_ms + (int64_t)(moved * 1000 / BYTES_PER_SECOND_MIN);
}

fh_status fh_request_submit(struct fh_client *c, const struct fh_call *call, uint32_t zone,
                            bool quiet, struct fh_req **out)
{
    struct fh_link *link;
    struct fh_req *req;

    *out = NULL;
    if (call->body_size > c->zones.body_max || call->into_size > c->zones.body_max)
        return fh_client_fail(c, FH_TOO_LARGE, "one request moves at most %u bytes",
                              c->zones.body_max);
    if ((link = fh_zones_link(&c->zones, zone)) == NULL || (req = req_take(c, call, quiet)) == NULL)
        return fh_client_fail(c, FH_NO_MEMORY, "no memory for the request");
    c->now = fh_clock_ms();
    req->link = link;
    req->deadline = req_deadline(c, call);
    if (req->deadline < c->next_deadline)
        c->next_deadline = req->deadline;
    queue_push(req);
    c->in_flight++;
    *out = req;
    return FH_OK;
}

void fh_request_tell(struct fh_req *req)
{
    struct fh_client *c = req->client;

    if (req->state == FH_REQ_DONE)
        list_remove(&c->done_first, &c->done_last, req);
    req->state = FH_REQ_TOLD;
    if (req->answer.status != FH_OK)
        (void)snprintf(c->message, sizeof(c->message), "%s",
                       req->message != NULL ? req->message : fh_hint(req->answer.status));
}

void fh_req_free(fh_req *req)
{
    if (req == NULL)
        return;
    if (req->state == FH_REQ_QUEUED || req->state == FH_REQ_SENT) {
        req_withdraw(req);
        req->client->in_flight--;
    } else if (req->state == FH_REQ_DONE) {
        list_remove(&req->client->done_first, &req->client->done_last, req);
    }
    req_give_back(req);
}

/* --- the client */

void fh_client_init(struct fh_client *c)
{
    memset(c, 0, sizeof(*c));
    fh_ids_init(&c->ids);
    c->next_deadline = INT64_MAX;
    c->zones.events = (struct fh_zones_events){c, on_head, on_body, on_broken};
}

void fh_client_fini(struct fh_client *c)
{
    fh_zones_fini(&c->zones);
    while (c->chunks != NULL) {
        struct fh_req_chunk *chunk = c->chunks;

        c->chunks = chunk->next;
        for (size_t i = 0; i < CHUNK_REQUESTS; i++)
            req_free_memory(&chunk->requests[i]);
        free(chunk);
    }
    fh_ids_fini(&c->ids);
    free(c->polls);
}

fh_status fh_client_fail(struct fh_client *c, fh_status status, const char *format, ...)
{
    char words[FH_MESSAGE_SIZE - 32];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    (void)snprintf(c->message, sizeof(c->message), "%s: %s", fh_strstatus(status), words);
    return status;
}
