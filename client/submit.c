/*
 * Theory.  The calls of memory and names once more, without the waiting and without the splitting:
 * one submitted request is one frame.
 */
#include <string.h>

#include "client/how.h"
#include "client/request.h"

static fh_status submit_by_handle(struct fh_client *c, const struct fh_call *call, fh_req **out)
{
    uint32_t zone;
    fh_status status = fh_client_zone_of_handle(c, call->handle, &zone);

    *out = NULL;
    return status != FH_OK ? status : fh_request_submit(c, call, zone, false, out);
}

static fh_status submit_by_name(struct fh_client *c, const struct fh_call *call, fh_req **out)
{
    uint32_t zone;
    fh_status status = fh_client_zone_of_name(c, call->name, call->name_size, &zone);

    *out = NULL;
    return status != FH_OK ? status : fh_request_submit(c, call, zone, false, out);
}

fh_status fh_submit_read(fh_client *c, fh_handle handle, uint64_t offset, void *buf, size_t size,
                         fh_req **out)
{
    const struct fh_call call = {.kind = FH_CALL_READ,
                                 .handle = handle,
                                 .offset = offset,
                                 .size = size,
                                 .into = buf,
                                 .into_size = size};

    return submit_by_handle(c, &call, out);
}

fh_status fh_submit_write(fh_client *c, fh_handle handle, uint64_t offset, const void *buf,
                          size_t size, fh_req **out)
{
    const struct fh_call call = {
        .kind = FH_CALL_WRITE, .handle = handle, .offset = offset, .body = buf, .body_size = size};

    return submit_by_handle(c, &call, out);
}

fh_status fh_submit_put(fh_client *c, const void *name, size_t name_size, const void *buf,
                        size_t size, const fh_how *how, fh_req **out)
{
    struct fh_call call = {
        .kind = FH_CALL_PUT, .name = name, .name_size = name_size, .body = buf, .body_size = size};
    fh_how copy;

    *out = NULL;
    if (!fh_how_copy(how, &copy))
        return fh_client_fail(c, FH_INVALID, "fh_how.size is not set");
    fh_how_apply(&copy, &call);
    return submit_by_name(c, &call, out);
}

/* A get of nothing asks for the size alone: size 0 on the wire would mean all. */
fh_status fh_submit_get(fh_client *c, const void *name, size_t name_size, uint64_t offset,
                        void *buf, size_t cap, fh_req **out)
{
    const struct fh_call call = {.kind = cap > 0 ? FH_CALL_GET : FH_CALL_LOOKUP,
                                 .name = name,
                                 .name_size = name_size,
                                 .offset = offset,
                                 .size = cap,
                                 .into = buf,
                                 .into_size = cap};

    return submit_by_name(c, &call, out);
}

fh_status fh_submit_alloc(fh_client *c, uint64_t bytes, const fh_how *how, fh_req **out)
{
    struct fh_call call = {.kind = FH_CALL_ALLOC, .size = bytes};
    fh_status status;
    uint32_t zone;
    fh_how copy;

    *out = NULL;
    if (!fh_how_copy(how, &copy))
        return fh_client_fail(c, FH_INVALID, "fh_how.size is not set");
    if (!fh_how_apply_alloc(&copy, &call))
        return fh_client_fail(c, FH_INVALID, "a cache's name is 1 to 255 bytes");
    status = fh_client_zone_for_alloc(c, &copy, &zone);
    return status != FH_OK ? status : fh_request_submit(c, &call, zone, false, out);
}

fh_status fh_submit_free(fh_client *c, fh_handle handle, fh_req **out)
{
    const struct fh_call call = {.kind = FH_CALL_FREE, .handle = handle};

    return submit_by_handle(c, &call, out);
}

fh_status fh_submit_delete(fh_client *c, const void *name, size_t name_size, fh_req **out)
{
    const struct fh_call call = {.kind = FH_CALL_DELETE, .name = name, .name_size = name_size};

    return submit_by_name(c, &call, out);
}

void fh_req_tag(fh_req *req, void *tag)
{
    req->tag = tag;
}

int fh_req_done(const fh_req *req)
{
    return req->state == FH_REQ_DONE || req->state == FH_REQ_TOLD;
}

void fh_req_result(const fh_req *req, fh_result *out)
{
    const struct fh_answer *answer = &req->answer;

    *out = (fh_result){.status = answer->status,
                       .bytes = answer->body_size,
                       .total = answer->object.bytes,
                       .object = answer->object,
                       .tag = req->tag};
}
