/*
 * Theory.  Many small calls in one: all of them are on their way at once, as far as a window
 * reaches, so that they share packets and turns of the server, and the round trip is paid once.
 * Each is a request of its own on the wire. The oldest is waited for; what has finished behind it
 * is then taken without waiting, and the window moves on.
 *
 *   items   [told ........ | in flight: at most a window ..... | not yet sent]
 *                          told                                sent
 *
 * Invariants
 *   [I1] the request of item i is requests[i % MANY_WINDOW], for told <= i < sent; NULL: it could
 *        not be submitted, and its status says why
 */
#include <string.h>

#include "client/how.h"
#include "client/request.h"

enum { MANY_WINDOW = 512 };

struct many {
    struct fh_client *client;
    fh_item *items;
    size_t count, sent, told;
    struct fh_call like; /* what all calls have in common */
    fh_status first;     /* failure, with its message */
    char message[FH_MESSAGE_SIZE];
    struct fh_req *requests[MANY_WINDOW];
};

static bool many_is_by_name(const struct many *m)
{
    return m->like.kind != FH_CALL_READ && m->like.kind != FH_CALL_WRITE;
}

static struct fh_call many_call(const struct many *m, const fh_item *item)
{
    struct fh_call call = m->like;

    call.name = item->name;
    call.name_size = item->name_size;
    call.handle = item->handle;
    call.offset = item->offset;
    if (call.kind == FH_CALL_GET || call.kind == FH_CALL_READ) {
        call.size = call.into_size = item->size;
        call.into = item->into;
    } else if (call.kind != FH_CALL_DELETE) {
        call.body = item->from;
        call.body_size = item->size;
    }
    if (call.kind == FH_CALL_GET && item->size == 0)
        call.kind = FH_CALL_LOOKUP; /* size 0 on the wire would mean all */
    return call;
}

/* The first failure is the whole call's, and so is its message. */
static void many_note(struct many *m, fh_status status)
{
    if (status == FH_OK || m->first != FH_OK)
        return;
    m->first = status;
    memcpy(m->message, m->client->message, sizeof(m->message));
}

static void many_send(struct many *m)
{
    fh_item *item = &m->items[m->sent];
    struct fh_req **req = &m->requests[m->sent++ % MANY_WINDOW];
    const struct fh_call call = many_call(m, item);
    uint32_t zone;

    *req = NULL;
    item->bytes = 0;
    memset(&item->object, 0, sizeof(item->object));
    if (many_is_by_name(m))
        item->status = fh_client_zone_of_name(m->client, call.name, call.name_size, &zone);
    else
        item->status = fh_client_zone_of_handle(m->client, call.handle, &zone);
    if (item->status == FH_OK)
        item->status = fh_request_submit(m->client, &call, zone, true, req);
    many_note(m, item->status);
}

static void many_tell(struct many *m)
{
    fh_item *item = &m->items[m->told];
    struct fh_req *req = m->requests[m->told++ % MANY_WINDOW];

    if (req == NULL)
        return;
    fh_request_wait(m->client, req);
    item->status = req->answer.status;
    item->bytes = req->answer.body_size;
    item->object = req->answer.object;
    many_note(m, item->status);
    fh_req_free(req);
}

static fh_status many_run(struct fh_client *c, struct fh_call like, fh_item *items, size_t count)
{
    struct many m = {.client = c, .items = items, .count = count, .like = like};

    while (m.told < m.count) {
        while (m.sent < m.count && m.sent - m.told < MANY_WINDOW)
            many_send(&m);
        many_tell(&m);
    }
    if (m.first != FH_OK)
        memcpy(c->message, m.message, sizeof(m.message));
    return m.first;
}

fh_status fh_readv(fh_client *c, fh_item *items, size_t count)
{
    return many_run(c, (struct fh_call){.kind = FH_CALL_READ}, items, count);
}

fh_status fh_writev(fh_client *c, fh_item *items, size_t count)
{
    return many_run(c, (struct fh_call){.kind = FH_CALL_WRITE}, items, count);
}

fh_status fh_get_many(fh_client *c, fh_item *items, size_t count)
{
    return many_run(c, (struct fh_call){.kind = FH_CALL_GET}, items, count);
}

fh_status fh_put_many(fh_client *c, fh_item *items, size_t count, const fh_how *how)
{
    struct fh_call like = {.kind = FH_CALL_PUT};
    fh_how copy;

    if (!fh_how_copy(how, &copy))
        return fh_client_fail(c, FH_INVALID, "fh_how.size is not set");
    fh_how_apply(&copy, &like);
    return many_run(c, like, items, count);
}

fh_status fh_delete_many(fh_client *c, fh_item *items, size_t count)
{
    return many_run(c, (struct fh_call){.kind = FH_CALL_DELETE}, items, count);
}
