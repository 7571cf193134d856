/*
 * Theory.  A file's zone is that of its name EXPORT/PATH, so that all clients meet in one. Which
 * files there are does not depend on the zone: any is asked.
 */
#include <string.h>

#include "client/listing.h"

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

struct list_each {
    fh_file_list_fn *each;
    void *context;
};

static bool file_tell(struct fh_listing *l, const uint8_t *bytes, uint32_t size)
{
    const struct list_each *to = l->context;
    fh_file_entry_head *e;

    if (fh_head_unpack_file_entry(l->arena, bytes, size, &e) != 0)
        return false;
    const fh_file_info info = {.name = e->name.data,
                               .name_size = e->name.len,
                               .bytes = e->size,
                               .folder = e->folder,
                               .writable = e->writable};
    l->stopped = to->each(to->context, &info) != 0;
    return true;
}

fh_status fh_file_list(fh_client *c, const char *folder, fh_file_list_fn *each, void *context)
{
    struct fh_call call = {.kind = FH_CALL_FILE_LIST, .name = folder, .name_size = strlen(folder)};
    struct list_each to = {each, context};
    struct fh_listing listing = {.tell = file_tell, .word = "file ls", .context = &to};
    fh_status status;

    if (fh_listing_begin(&listing) != 0)
        return fh_client_fail(c, FH_NO_MEMORY, "no memory for a list");
    status = fh_listing_run(c, &call, 0, &listing);
    fh_listing_end(&listing);
    return status;
}
