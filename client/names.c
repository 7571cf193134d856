/*
 * Theory.  Calls by name go to the zone where the name lives. What does not fit into one frame is
 * put in three steps that nobody sees before the last: allocate in the zone of the name, write
 * piece by piece, publish. It is got in pieces of one version: when the name leads elsewhere in
 * between, the get starts again.
 */
#include <stdlib.h>
#include <string.h>

#include "client/how.h"
#include "client/listing.h"
#include "proto/frame.h"

enum { GET_TRIES = 4, LIST_LIMIT = 1000, STAGE_TTL_MS = 10 * 60 * 1000 };

static fh_status run_by_name(struct fh_client *c, const struct fh_call *call,
                             struct fh_answer *answer)
{
    uint32_t zone;
    fh_status status = fh_client_zone_of_name(c, call->name, call->name_size, &zone);

    return status != FH_OK ? status : fh_request_run(c, call, zone, answer);
}

static fh_status how_take(struct fh_client *c, const fh_how *how, struct fh_call *call)
{
    fh_how copy;

    if (!fh_how_copy(how, &copy))
        return fh_client_fail(c, FH_INVALID, "fh_how.size is not set");
    fh_how_apply(&copy, call);
    return FH_OK;
}

/* Runs a call whose answer is an object. */
static fh_status run_for_object(struct fh_client *c, const struct fh_call *call, fh_info *out)
{
    struct fh_answer answer;
    fh_status status = run_by_name(c, call, &answer);

    if (status == FH_OK && out != NULL)
        *out = answer.object;
    return status;
}

fh_status fh_publish(fh_client *c, const void *name, size_t name_size, fh_handle handle,
                     const fh_how *how, fh_info *out)
{
    struct fh_call call = {
        .kind = FH_CALL_PUBLISH, .name = name, .name_size = name_size, .handle = handle};
    fh_status status = how_take(c, how, &call);

    return status != FH_OK ? status : run_for_object(c, &call, out);
}

/* Frees what a failed put has staged, and keeps the message of the failure. */
static void put_undo(struct fh_client *c, fh_handle staged)
{
    char message[FH_MESSAGE_SIZE];

    memcpy(message, c->message, sizeof(message));
    (void)fh_free(c, staged);
    memcpy(c->message, message, sizeof(message));
}

/* Should this process die, its time to live frees what was staged; publishing sets another. */
static uint64_t stage_ttl(size_t size)
{
    return STAGE_TTL_MS + ((uint64_t)size >> 20) * 1000;
}

static fh_status put_in_pieces(struct fh_client *c, const struct fh_call *put, const fh_how *how,
                               fh_info *out)
{
    const fh_how near = {.size = sizeof(near),
                         .flags = put->durable ? FH_DURABLE : 0,
                         .ttl_ms = stage_ttl(put->body_size),
                         .near_name = put->name,
                         .near_size = put->name_size};
    fh_handle staged;
    fh_status status = fh_alloc(c, put->body_size, &near, &staged);

    if (status != FH_OK)
        return status;
    status = fh_write(c, staged, 0, put->body, put->body_size, NULL);
    if (status == FH_OK)
        status = fh_publish(c, put->name, put->name_size, staged, how, out);
    if (status != FH_OK)
        put_undo(c, staged);
    return status;
}

fh_status fh_put(fh_client *c, const void *name, size_t name_size, const void *buf, size_t size,
                 const fh_how *how, fh_info *out)
{
    struct fh_call call = {
        .kind = FH_CALL_PUT, .name = name, .name_size = name_size, .body = buf, .body_size = size};
    fh_status status = how_take(c, how, &call);

    if (status != FH_OK)
        return status;
    if (size > c->zones.body_max)
        return put_in_pieces(c, &call, how, out);
    return run_for_object(c, &call, out);
}

/* One get that fits a frame; the object's size and version are in *answer. */
static fh_status get_piece(struct fh_client *c, struct fh_call *call, struct fh_answer *answer)
{
    call->kind = call->size == 0 ? FH_CALL_LOOKUP : FH_CALL_GET;
    return run_by_name(c, call, answer);
}

/* All of [offset, offset + cap) that there is, of one version; FH_CONFLICT when it changed. */
static fh_status get_once(struct fh_client *c, const struct fh_call *whole, size_t *got,
                          uint64_t *total)
{
    struct fh_call call = *whole;
    struct fh_answer answer;

    *got = 0;
    do {
        size_t left = whole->into_size - *got;
        fh_status status;

        call.offset = whole->offset + *got;
        call.into = whole->into_size > 0 ? (char *)whole->into + *got : NULL;
        call.size = call.into_size = left < c->zones.body_max ? left : c->zones.body_max;
        if ((status = get_piece(c, &call, &answer)) != FH_OK)
            return status;
        *got += answer.body_size;
        *total = answer.object.bytes;
        call.if_version = answer.object.version;
    } while (answer.body_size > 0 && *got < whole->into_size &&
             call.offset + answer.body_size < *total);
    return FH_OK;
}

fh_status fh_get(fh_client *c, const void *name, size_t name_size, uint64_t offset, void *buf,
                 size_t cap, size_t *got, uint64_t *total)
{
    const struct fh_call call = {.kind = FH_CALL_GET,
                                 .name = name,
                                 .name_size = name_size,
                                 .offset = offset,
                                 .into = buf,
                                 .into_size = cap};
    fh_status status = FH_CONFLICT;
    uint64_t size = 0;

    for (int i = 0; i < GET_TRIES && status == FH_CONFLICT; i++)
        status = get_once(c, &call, got, &size);
    if (status == FH_OK && total != NULL)
        *total = size;
    return status;
}

fh_status fh_lookup(fh_client *c, const void *name, size_t name_size, fh_info *out)
{
    const struct fh_call call = {.kind = FH_CALL_LOOKUP, .name = name, .name_size = name_size};

    return run_for_object(c, &call, out);
}

fh_status fh_stat_name(fh_client *c, const void *name, size_t name_size, fh_info *out)
{
    const struct fh_call call = {.kind = FH_CALL_STAT, .name = name, .name_size = name_size};

    return run_for_object(c, &call, out);
}

fh_status fh_advise_name(fh_client *c, const void *name, size_t name_size, fh_advice advice,
                         uint64_t offset, uint64_t size)
{
    const struct fh_call call = {.kind = FH_CALL_ADVISE,
                                 .name = name,
                                 .name_size = name_size,
                                 .value = (uint64_t)advice,
                                 .offset = offset,
                                 .size = size};

    return run_for_object(c, &call, NULL);
}

fh_status fh_delete(fh_client *c, const void *name, size_t name_size, const fh_how *how)
{
    struct fh_call call = {.kind = FH_CALL_DELETE, .name = name, .name_size = name_size};
    fh_status status = how_take(c, how, &call);

    return status != FH_OK ? status : run_for_object(c, &call, NULL);
}

/* --- list */

struct list_each {
    fh_list_fn *each;
    void *context;
};

static bool name_tell(struct fh_listing *l, const uint8_t *bytes, uint32_t size)
{
    const struct list_each *to = l->context;
    fh_list_entry *e;

    if (fh_head_unpack_list_entry(l->arena, bytes, size, &e) != 0)
        return false;
    fh_entry entry = {.name = e->name.data,
                      .name_size = e->name.len,
                      .bytes = e->size,
                      .version = e->version,
                      .ttl_ms = e->ttl_ms,
                      .durable = e->durable};
    if (e->handle != NULL)
        entry.handle = (fh_handle){e->handle->address, e->handle->key};
    l->stopped = to->each(to->context, &entry) != 0;
    return true;
}

fh_status fh_list(fh_client *c, const void *prefix, size_t prefix_size, fh_list_fn *each,
                  void *context)
{
    struct fh_call call = {
        .kind = FH_CALL_LIST, .name = prefix, .name_size = prefix_size, .size = LIST_LIMIT};
    struct list_each to = {each, context};
    struct fh_listing listing = {.tell = name_tell, .word = "list", .context = &to};
    fh_status status = fh_zones_renew(&c->zones);

    if (status != FH_OK)
        return fh_client_fail(c, status, "no memory for the zones");
    if (prefix_size > FH_NAME_MAX)
        return fh_client_fail(c, FH_INVALID, "a prefix has at most %d bytes", FH_NAME_MAX);
    if (fh_listing_begin(&listing) != 0)
        return fh_client_fail(c, FH_NO_MEMORY, "no memory for a list");
    for (uint32_t zone = 0; zone < c->zones.count && !listing.stopped && status == FH_OK; zone++)
        status = fh_listing_run(c, &call, zone, &listing);
    fh_listing_end(&listing);
    return status;
}
