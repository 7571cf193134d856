/*
 * Theory.  Operations on files. A path is looked at as text here, and refused if it could not be
 * one; everything that touches the disk is a job of the thread of files, and the request waits for
 * it. What comes home is a descriptor, of which the zone makes an object, or finds that it has it.
 *
 * A file belongs to the zone that its name EXPORT/PATH is placed in, as names are. So two requests
 * for one name meet in one zone. Two names of one file (hard links) may not; and other processes
 * may serve the same folder. The descriptor is therefore locked (flock) while the file is open,
 * shared for read-only exports, and who comes second is told that it is busy.
 */
#include <errno.h>
#include <string.h>
#include <sys/file.h>

#include "ops_ask.h"
#include "proto/frame.h"
#include "proto/place.h"

static void job_leave(struct fh_op *op)
{
    op->job = NULL;
    op->parked = false;
    op->session->wake(op->session);
}

/* A job for this request, which is an op from now on; NULL: no memory. */
static struct fh_file_job *job_begin(struct fh_ask *ask, enum fh_file_job_kind kind,
                                     void (*done)(struct fh_file_job *))
{
    struct fh_op *op = fh_op_create(ask, FH_OP_KIND_FILE);

    if (!op)
        return NULL;
    op->job = fh_file_job_create(ask->ops->files, kind, ask->ops->home, op);
    if (!op->job) {
        fh_op_destroy(op);
        return NULL;
    }
    op->job->done = done;
    return op->job;
}

static int job_start(struct fh_file_job *job)
{
    struct fh_op *op = job->ctx;

    op->parked = true;
    if (fh_file_job_start(job))
        return -EINPROGRESS;
    op->job = NULL;
    fh_op_destroy(op);
    return -ESHUTDOWN;
}

/* Export and path as texts; both were found fine. */
static void wish_name(struct fh_file_wish *wish, ProtobufCBinaryData name, ProtobufCBinaryData path)
{
    memset(wish, 0, sizeof *wish);
    if (name.len > 0)
        memcpy(wish->name, name.data, name.len);
    if (path.len > 0)
        memcpy(wish->path, path.data, path.len);
}

/* --- open --- */

/* The zone of EXPORT/PATH is this one. */
static int open_place(const struct fh_ask *ask, ProtobufCBinaryData name, ProtobufCBinaryData path)
{
    uint8_t whole[FH_EXPORT_NAME_MAX + 1 + FH_EXPORT_PATH_MAX];

    memcpy(whole, name.data, name.len);
    whole[name.len] = '/';
    memcpy(whole + name.len + 1, path.data, path.len);
    uint32_t zone = fh_place_name(whole, name.len + 1 + path.len, ask->ops->zones);
    return zone == ask->ops->zone_index ? 0 : -EXDEV;
}

/* The object of what was opened. */
static int open_take(struct fh_op *op, struct fh_file_job *job, struct fh_object_view *view)
{
    const struct fh_file_source source = {
        .fd = job->found.fd,
        .id = {.device = job->found.device, .number = job->found.number},
        .size_bytes = job->found.size_bytes,
        .may_write = job->found.may_write,
    };
    uint32_t tenant = op->session->tenant;
    int rc = fh_zone_file_find(op->ops->zone, tenant, source.id, job->wish.write, view);

    if (rc != -ENOENT)
        return rc;
    if (flock(source.fd, (source.may_write ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? -EBUSY : -EIO;
    rc = fh_zone_file_open(op->ops->zone, tenant, &source, job->wish.write, view);
    if (rc == 0)
        job->found.fd = -1;
    return rc == -EMFILE ? -EDQUOT : rc;
}

static void open_done(struct fh_file_job *job)
{
    struct fh_op *op = job->ctx;
    struct fh_reply_to to = fh_reply_to_op(op);
    struct fh_object_view view;
    int rc = job->rc == 0 ? open_take(op, job, &view) : job->rc;

    job_leave(op);
    if (rc == 0)
        fh_reply_object(&to, &view, 0);
    else
        fh_reply_plain(&to, rc);
    fh_op_destroy(op);
}

int fh_ops_open_file(struct fh_ask *ask)
{
    const Farheap__V1__OpenFile *m = ask->head->open_file;
    int rc;

    if (!fh_export_name_is_fine(m->export.data, m->export.len) ||
        !fh_export_path_is_fine(m->path.data, m->path.len) ||
        m->export.len + 1 + m->path.len > FH_NAME_MAX)
        return -EINVAL;
    if (!ask->ops->files)
        return -EOPNOTSUPP;
    if ((rc = open_place(ask, m->export, m->path)) != 0)
        return rc;
    struct fh_file_job *job = job_begin(ask, FH_FILE_JOB_OPEN, open_done);
    if (!job)
        return -ENOMEM;
    wish_name(&job->wish, m->export, m->path);
    job->wish.write = m->write;
    job->wish.create = m->create;
    job->wish.size = m->size;
    return job_start(job);
}

/* --- list --- */

static size_t list_pack(const struct fh_file_entry *entry, uint8_t *out, size_t cap)
{
    fh_file_entry_head head = FARHEAP__V1__FILE_ENTRY__INIT;

    head.name.data = (uint8_t *)(uintptr_t)entry->name;
    head.name.len = strlen(entry->name);
    head.size = entry->size_bytes;
    head.folder = entry->folder;
    head.writable = entry->writable;
    return fh_head_pack_file_entry(&head, out, cap);
}

static void list_done(struct fh_file_job *job)
{
    struct fh_op *op = job->ctx;
    struct fh_reply_to to = fh_reply_to_op(op);
    fh_response_head response = FARHEAP__V1__RESPONSE__INIT;
    Farheap__V1__ListResult result = FARHEAP__V1__LIST_RESULT__INIT;

    job_leave(op);
    result.cursor = job->cursor;
    result.entries = job->entries;
    response.result_case = FARHEAP__V1__RESPONSE__RESULT_LIST;
    response.list = &result;
    if (job->rc == 0)
        fh_reply_bytes(&to, &response, job->body, (uint32_t)job->size);
    else
        fh_reply_plain(&to, job->rc);
    fh_op_destroy(op);
}

int fh_ops_list_files(struct fh_ask *ask)
{
    const Farheap__V1__ListFiles *m = ask->head->list_files;

    if (m->export.len > 0 && !fh_export_name_is_fine(m->export.data, m->export.len))
        return -EINVAL;
    if (m->path.len > 0 &&
        (m->export.len == 0 || !fh_export_path_is_fine(m->path.data, m->path.len)))
        return -EINVAL;
    if (!ask->ops->files)
        return -EOPNOTSUPP;
    struct fh_file_job *job = job_begin(ask, FH_FILE_JOB_LIST, list_done);
    if (!job)
        return -ENOMEM;
    wish_name(&job->wish, m->export, m->path);
    job->cursor = m->cursor;
    job->limit = m->limit;
    job->pack = list_pack;
    return job_start(job);
}

/* --- sync --- */

static void sync_end(struct fh_op *op, int rc)
{
    struct fh_reply_to to = fh_reply_to_op(op);

    if (rc == 0)
        fh_reply_object(&to, &op->u.sync.object, 0);
    else
        fh_reply_plain(&to, rc);
    fh_op_destroy(op);
}

static void sync_done(struct fh_call *call)
{
    struct fh_op *op = FH_CONTAINER_OF(call, struct fh_op, u.sync.call);

    op->parked = false;
    op->session->wake(op->session);
    sync_end(op, call->rc);
}

int fh_ops_sync(struct fh_ask *ask)
{
    const Farheap__V1__Sync *m = ask->head->sync;
    struct fh_object_view view;
    struct fh_ref ref;
    int rc;

    if ((rc = fh_ask_ref(ask, m->handle, &ref)) != 0 ||
        (rc = fh_zone_find(ask->ops->zone, &ref, &view)) != 0)
        return rc;
    if (m->offset > view.size)
        return -EINVAL;
    struct fh_op *op = fh_op_create(ask, FH_OP_KIND_SYNC);
    if (!op)
        return -ENOMEM;
    struct fh_sync *sync = &op->u.sync;
    sync->call = (struct fh_call){.done = sync_done};
    sync->ref = ref;
    sync->offset = m->offset;
    sync->size = m->size != 0 ? m->size : view.size - m->offset;
    rc = fh_zone_sync(ask->ops->zone, sync);
    op->parked = rc == -EINPROGRESS;
    if (!op->parked)
        sync_end(op, rc);
    return 0;
}
