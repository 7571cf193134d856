/*
 * Theory.  A file's zone is that of its name EXPORT/PATH, so that all clients meet in one. Which
 * files there are does not depend on the zone: any is asked.
 */
#include <stdlib.h>
#include <string.h>

#include "client/request.h"

enum { FILE_FLAGS = FH_FILE_WRITE | FH_FILE_CREATE };

fh_status fh_file_open(fh_client *c, const char *path, uint32_t flags, uint64_t size, fh_info *out)
{
    const struct fh_call call = {.kind = FH_CALL_FILE_OPEN,
                                 .name = path,
                                 .name_size = strlen(path),
                                 .file_write = flags & FH_FILE_WRITE,
                                 .file_create = flags & FH_FILE_CREATE,
                                 .size = size};
    struct fh_answer answer;
    uint32_t zone;
    fh_status status;

    if ((flags & ~(uint32_t)FILE_FLAGS) != 0 || strchr(path, '/') == NULL)
        return fh_client_fail(c, FH_INVALID, "a file is EXPORT/PATH; see fh_file_list");
    if ((status = fh_client_zone_of_name(c, path, call.name_size, &zone)) != FH_OK ||
        (status = fh_request_run(c, &call, zone, &answer)) != FH_OK)
        return status;
    *out = answer.object;
    return FH_OK;
}

fh_status fh_sync(fh_client *c, fh_handle handle, uint64_t offset, uint64_t size)
{
    const struct fh_call call = {
        .kind = FH_CALL_SYNC, .handle = handle, .offset = offset, .size = size};
    struct fh_answer answer;
    uint32_t zone;
    fh_status status = fh_client_zone_of_handle(c, handle, &zone);

    return status != FH_OK ? status : fh_request_run(c, &call, zone, &answer);
}

/* --- list */

struct listing {
    fh_file_list_fn *each;
    void *context;
    struct fh_head_arena *arena; /* of its own: `each` may call the client */
    bool stopped;
};

static uint32_t load_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* Tells the entries of one answer; false when it is not a run of entries. */
static bool entries_tell(struct listing *listing, const struct fh_answer *answer)
{
    const uint8_t *bytes = (const uint8_t *)answer->text;
    size_t left = answer->body_size;
    uint32_t count = 0;

    while (left > 0 && !listing->stopped) {
        fh_file_entry_head *e;
        uint32_t size;

        if (left < 4 || (size = load_u32(bytes)) > left - 4 ||
            fh_head_unpack_file_entry(listing->arena, bytes + 4, size, &e) != 0)
            return false;
        const fh_file_info info = {.name = e->name.data,
                                   .name_size = e->name.len,
                                   .bytes = e->size,
                                   .folder = e->folder,
                                   .writable = e->writable};
        listing->stopped = listing->each(listing->context, &info) != 0;
        bytes += 4 + size;
        left -= 4 + (size_t)size;
        count++;
    }
    return listing->stopped || count == answer->entries;
}

static fh_status list_run(struct fh_client *c, struct fh_call *call, struct listing *listing)
{
    do {
        struct fh_answer answer;
        fh_status status = fh_request_run(c, call, 0, &answer);
        bool sound = status != FH_OK || entries_tell(listing, &answer);

        free(answer.text);
        if (status != FH_OK)
            return status;
        if (!sound || (answer.cursor != 0 && answer.cursor <= call->offset))
            return fh_client_fail(c, FH_PROTOCOL, "file ls: the server sent no proper list");
        call->offset = answer.cursor;
    } while (call->offset != 0 && !listing->stopped);
    return FH_OK;
}

fh_status fh_file_list(fh_client *c, const char *folder, fh_file_list_fn *each, void *context)
{
    struct fh_call call = {.kind = FH_CALL_FILE_LIST, .name = folder, .name_size = strlen(folder)};
    struct listing listing = {.each = each, .context = context};
    fh_status status;

    if ((listing.arena = malloc(sizeof(*listing.arena))) == NULL)
        return fh_client_fail(c, FH_NO_MEMORY, "no memory for a list");
    status = list_run(c, &call, &listing);
    free(listing.arena);
    return status;
}
