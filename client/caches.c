/*
 * Theory.  A cache is a zone's, an allocation goes to the zones in turn: so a cache is made in all
 * of them, one after the other, and what was made is taken back when one refuses. Nothing can have
 * been allocated from it then, as the caller has not heard of it. To destroy is no one step either:
 * zones where objects live keep theirs, and the next call goes on there.
 */
#include <string.h>

#include "client/request.h"

static fh_status zones_count(struct fh_client *c, uint32_t *count)
{
    fh_status status = fh_zones_renew(&c->zones);

    *count = c->zones.count;
    return status == FH_OK ? FH_OK : fh_client_fail(c, status, "no memory for the zones");
}

static fh_status destroy_in(struct fh_client *c, const void *name, size_t name_size, uint32_t zone)
{
    const struct fh_call call = {
        .kind = FH_CALL_CACHE_DESTROY, .name = name, .name_size = name_size};
    struct fh_answer answer;

    return fh_request_run(c, &call, zone, &answer);
}

/* Takes back what was made in the zones before this one, and keeps the message about why. */
static void create_undo(struct fh_client *c, const struct fh_call *call, uint32_t zone)
{
    char why[FH_MESSAGE_SIZE];

    memcpy(why, c->message, sizeof(why));
    while (zone-- > 0 && zone < c->zones.count)
        (void)destroy_in(c, call->name, call->name_size, zone);
    memcpy(c->message, why, sizeof(why));
}

fh_status fh_cache_create(fh_client *c, const void *name, size_t name_size, uint64_t object_size,
                          uint32_t alignment, const void *initial, size_t initial_size)
{
    const struct fh_call call = {.kind = FH_CALL_CACHE_CREATE,
                                 .name = name,
                                 .name_size = name_size,
                                 .size = object_size,
                                 .value = alignment,
                                 .body = initial,
                                 .body_size = initial_size};
    struct fh_answer answer;
    uint32_t zones;
    fh_status status = zones_count(c, &zones);

    for (uint32_t zone = 0; status == FH_OK && zone < zones; zone++) {
        status = fh_request_run(c, &call, zone, &answer);
        if (status != FH_OK)
            create_undo(c, &call, zone);
    }
    return status;
}

fh_status fh_cache_destroy(fh_client *c, const void *name, size_t name_size)
{
    uint32_t zones, gone = 0, absent = 0;
    char why[FH_MESSAGE_SIZE];
    fh_status failed = FH_OK, status = zones_count(c, &zones);

    if (status != FH_OK)
        return status;
    for (uint32_t zone = 0; zone < zones; zone++) {
        status = destroy_in(c, name, name_size, zone);
        gone += status == FH_OK;
        absent += status == FH_NOT_FOUND;
        if (status == FH_OK || status == FH_NOT_FOUND || failed != FH_OK)
            continue;
        failed = status;
        memcpy(why, c->message, sizeof(why));
    }
    if (failed != FH_OK) {
        memcpy(c->message, why, sizeof(why));
        return failed;
    }
    return gone == 0 && absent > 0 ? FH_NOT_FOUND : FH_OK;
}
