/*
 * Theory.  Several ranges of one object, read or written at one moment: one request, whose body is
 * the list of the ranges and, of a write, their bytes. The answer's bytes come one behind the other
 * and are then put where each range wants them.
 */
#include <stdlib.h>
#include <string.h>

#include "client/how.h"
#include "client/request.h"
#include "proto/frame.h"

_Static_assert((int)FH_RANGES_MAX *(int)FH_RANGE_SIZE < (int)FH_RANGES_BYTES_MAX,
               "the list leaves room");

/* Bytes of all; SIZE_MAX: too many for one request. */
static size_t ranges_bytes(const fh_range *ranges, size_t count)
{
    size_t bytes = 0;

    if (count > FH_RANGES_MAX)
        return SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].size > FH_RANGES_BYTES_MAX)
            return SIZE_MAX;
        bytes += ranges[i].size;
    }
    return bytes <= FH_RANGES_BYTES_MAX ? bytes : SIZE_MAX;
}

static void ranges_pack(const fh_range *ranges, size_t count, bool with_bytes, uint8_t *out)
{
    for (size_t i = 0; i < count; i++, out += FH_RANGE_SIZE)
        fh_wire_range_store(out, (struct fh_wire_range){ranges[i].offset, ranges[i].size});
    for (size_t i = 0; with_bytes && i < count; i++) {
        if (ranges[i].size > 0)
            memcpy(out, ranges[i].from, ranges[i].size);
        out += ranges[i].size;
    }
}

static fh_status ranges_run(struct fh_client *c, struct fh_call *call, const fh_range *ranges,
                            size_t count, uint64_t *version)
{
    bool writes = call->kind == FH_CALL_WRITE_RANGES;
    size_t bytes = ranges_bytes(ranges, count), list = count * FH_RANGE_SIZE;
    struct fh_answer answer;
    uint32_t zone;

    if (count == 0)
        return fh_client_fail(c, FH_INVALID, "there is no range");
    if (bytes == SIZE_MAX || (writes && bytes + list > FH_RANGES_BYTES_MAX))
        return fh_client_fail(c, FH_TOO_LARGE, "at most %u ranges of together 63 KiB go at once",
                              (unsigned)FH_RANGES_MAX);
    fh_status status = fh_client_zone_of_handle(c, call->handle, &zone);
    if (status != FH_OK)
        return status;
    uint8_t *room = malloc(list + bytes);
    if (room == NULL)
        return fh_client_fail(c, FH_NO_MEMORY, "no memory for %zu bytes", list + bytes);
    ranges_pack(ranges, count, writes, room);
    call->body = room;
    call->body_size = list + (writes ? bytes : 0);
    if (!writes) {
        call->into = room + list;
        call->into_size = call->size = bytes;
    }
    if ((status = fh_request_run(c, call, zone, &answer)) == FH_OK) {
        const uint8_t *from = room + list;
        for (size_t i = 0; !writes && i < count; from += ranges[i++].size)
            if (ranges[i].size > 0)
                memcpy(ranges[i].into, from, ranges[i].size);
        if (version != NULL)
            *version = answer.object.version;
    }
    free(room);
    return status;
}

fh_status fh_read_ranges(fh_client *c, fh_handle handle, const fh_range *ranges, size_t count,
                         uint64_t *version)
{
    struct fh_call call = {.kind = FH_CALL_READ_RANGES, .handle = handle};

    return ranges_run(c, &call, ranges, count, version);
}

fh_status fh_write_ranges(fh_client *c, fh_handle handle, const fh_range *ranges, size_t count,
                          const fh_how *how, uint64_t *version)
{
    struct fh_call call = {
        .kind = FH_CALL_WRITE_RANGES, .handle = handle, .value = (uint32_t)count};
    fh_how copy;

    if (!fh_how_copy(how, &copy))
        return fh_client_fail(c, FH_INVALID, "fh_how.size is not set");
    fh_how_apply(&copy, &call);
    return ranges_run(c, &call, ranges, count, version);
}
