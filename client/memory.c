/*
 * Theory.  Calls by handle. The handle names its zone; an allocation has none yet and goes to the
 * zones in turn, unless it is to be near a name. Ranges longer than a frame's body go piece by
 * piece, one after the other: the network is full with one piece in flight, and a condition on the
 * version of one piece is the outcome of the piece before it.
 */
#include <stdlib.h>

#include "client/how.h"
#include "client/request.h"

static fh_status run_by_handle(struct fh_client *c, const struct fh_call *call,
                               struct fh_answer *answer)
{
    uint32_t zone;
    fh_status status = fh_client_zone_of_handle(c, call->handle, &zone);

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

fh_status fh_alloc(fh_client *c, uint64_t bytes, const fh_how *how, fh_handle *out)
{
    struct fh_call call = {.kind = FH_CALL_ALLOC, .size = bytes};
    struct fh_answer answer;
    fh_status status;
    uint32_t zone;
    fh_how copy;

    if (!fh_how_copy(how, &copy))
        return fh_client_fail(c, FH_INVALID, "fh_how.size is not set");
    if (!fh_how_apply_alloc(&copy, &call))
        return fh_client_fail(c, FH_INVALID, "a cache's name is 1 to 255 bytes");
    if ((status = fh_client_zone_for_alloc(c, &copy, &zone)) != FH_OK)
        return status;
    if ((status = fh_request_run(c, &call, zone, &answer)) == FH_OK)
        *out = answer.object.handle;
    return status;
}

fh_status fh_free(fh_client *c, fh_handle handle)
{
    const struct fh_call call = {.kind = FH_CALL_FREE, .handle = handle};
    struct fh_answer answer;

    return run_by_handle(c, &call, &answer);
}

fh_status fh_resize(fh_client *c, fh_handle handle, uint64_t bytes, const fh_how *how,
                    fh_handle *out)
{
    struct fh_call call = {.kind = FH_CALL_RESIZE, .handle = handle, .size = bytes};
    struct fh_answer answer;
    fh_status status = how_take(c, how, &call);

    if (status != FH_OK)
        return status;
    if ((status = run_by_handle(c, &call, &answer)) == FH_OK)
        *out = answer.object.handle;
    return status;
}

static size_t piece_of(const struct fh_client *c, size_t left)
{
    return left < c->zones.body_max ? left : c->zones.body_max;
}

fh_status fh_read(fh_client *c, fh_handle handle, uint64_t offset, void *buf, size_t size)
{
    struct fh_call call = {.kind = FH_CALL_READ, .handle = handle};
    struct fh_answer answer;
    fh_status status;
    size_t done = 0;

    do {
        call.offset = offset + done;
        call.size = call.into_size = piece_of(c, size - done);
        call.into = size > 0 ? (char *)buf + done : NULL;
        if ((status = run_by_handle(c, &call, &answer)) != FH_OK)
            return status;
        done += call.into_size;
    } while (done < size);
    return FH_OK;
}

fh_status fh_write(fh_client *c, fh_handle handle, uint64_t offset, const void *buf, size_t size,
                   const fh_how *how)
{
    struct fh_call call = {.kind = FH_CALL_WRITE, .handle = handle};
    struct fh_answer answer;
    fh_status status = how_take(c, how, &call);
    size_t done = 0;

    if (status != FH_OK)
        return status;
    do {
        call.offset = offset + done;
        call.body_size = piece_of(c, size - done);
        call.body = size > 0 ? (const char *)buf + done : NULL;
        if ((status = run_by_handle(c, &call, &answer)) != FH_OK)
            return status;
        if (call.if_version != 0)
            call.if_version = answer.object.version;
        done += call.body_size;
    } while (done < size);
    return FH_OK;
}

fh_status fh_zero(fh_client *c, fh_handle handle, uint64_t offset, uint64_t size)
{
    const struct fh_call call = {
        .kind = FH_CALL_ZERO, .handle = handle, .offset = offset, .size = size};
    struct fh_answer answer;

    return run_by_handle(c, &call, &answer);
}

fh_status fh_cas64(fh_client *c, fh_handle handle, uint64_t offset, uint64_t expected,
                   uint64_t desired, uint64_t *seen)
{
    const struct fh_call call = {.kind = FH_CALL_CAS,
                                 .handle = handle,
                                 .offset = offset,
                                 .expected = expected,
                                 .value = desired};
    struct fh_answer answer;
    fh_status status = run_by_handle(c, &call, &answer);

    if (status != FH_OK)
        return status;
    *seen = answer.before;
    if (answer.swapped)
        return FH_OK;
    return fh_client_fail(c, FH_CONFLICT, "there was %llu, not %llu",
                          (unsigned long long)answer.before, (unsigned long long)expected);
}

fh_status fh_add64(fh_client *c, fh_handle handle, uint64_t offset, uint64_t delta,
                   uint64_t *before)
{
    const struct fh_call call = {
        .kind = FH_CALL_ADD, .handle = handle, .offset = offset, .value = delta};
    struct fh_answer answer;
    fh_status status = run_by_handle(c, &call, &answer);

    if (status == FH_OK && before != NULL)
        *before = answer.before;
    return status;
}

fh_status fh_stat(fh_client *c, fh_handle handle, fh_info *out)
{
    const struct fh_call call = {.kind = FH_CALL_STAT, .handle = handle};
    struct fh_answer answer;
    fh_status status = run_by_handle(c, &call, &answer);

    if (status != FH_OK)
        return status;
    *out = answer.object;
    out->handle = handle;
    return FH_OK;
}

fh_status fh_advise(fh_client *c, fh_handle handle, fh_advice advice, uint64_t offset,
                    uint64_t size)
{
    const struct fh_call call = {.kind = FH_CALL_ADVISE,
                                 .handle = handle,
                                 .value = (uint64_t)advice,
                                 .offset = offset,
                                 .size = size};
    struct fh_answer answer;

    return run_by_handle(c, &call, &answer);
}
