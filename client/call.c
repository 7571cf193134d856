/*
 * Theory.  One struct for all calls keeps what is common (name, handle, range, condition) in one
 * place; packing is one line per field, and a row of a table per kind. An answer is believed only as far as it fits the
 * question: the right kind of result, a body no longer than the room for it.
 */
#include "client/call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/handle.h"
#include "proto/status.h"

static const struct {
    const char *word;
    bool read_only;
    bool by_name; /* of what is printed behind the word; else the handle */
} kinds[FH_CALL_KINDS] = {
    [FH_CALL_PING] = {"ping", true, true},
    [FH_CALL_INFO] = {"view", true, true},
    [FH_CALL_ALLOC] = {"alloc", false, true},
    [FH_CALL_FREE] = {"free", false, false},
    [FH_CALL_RESIZE] = {"resize", false, false},
    [FH_CALL_READ] = {"read", true, false},
    [FH_CALL_WRITE] = {"write", false, false},
    [FH_CALL_READ_RANGES] = {"read", true, false},
    [FH_CALL_WRITE_RANGES] = {"write", false, false},
    [FH_CALL_ZERO] = {"zero", false, false},
    [FH_CALL_CAS] = {"cas", false, false},
    [FH_CALL_ADD] = {"add", false, false},
    [FH_CALL_STAT] = {"stat", true, false},
    [FH_CALL_PUT] = {"put", false, true},
    [FH_CALL_PUBLISH] = {"publish", false, true},
    [FH_CALL_GET] = {"get", true, true},
    [FH_CALL_LOOKUP] = {"lookup", true, true},
    [FH_CALL_DELETE] = {"delete", false, true},
    [FH_CALL_LIST] = {"list", true, true},
    [FH_CALL_CACHE_CREATE] = {"cache create", false, true},
    [FH_CALL_CACHE_DESTROY] = {"cache destroy", false, true},
    [FH_CALL_FILE_OPEN] = {"file open", false, true},
    [FH_CALL_FILE_LIST] = {"file ls", true, true},
    [FH_CALL_SYNC] = {"sync", false, false},
    [FH_CALL_ADVISE] = {"advise", false, false},
};

bool fh_call_is_read_only(const struct fh_call *call)
{
    return kinds[call->kind].read_only;
}

/* --- packing */

/* The parts a head may point at, so that all live as long as the head. */
struct parts {
    Farheap__V1__Handle handle;
    Farheap__V1__Condition condition;
    union {
        Farheap__V1__Ping ping;
        Farheap__V1__Info info;
        Farheap__V1__Alloc alloc;
        Farheap__V1__Free free;
        Farheap__V1__Resize resize;
        Farheap__V1__Read read;
        Farheap__V1__Write write;
        Farheap__V1__ReadRanges read_ranges;
        Farheap__V1__WriteRanges write_ranges;
        Farheap__V1__Zero zero;
        Farheap__V1__CompareSwap cas;
        Farheap__V1__FetchAdd add;
        Farheap__V1__Stat stat;
        Farheap__V1__Put put;
        Farheap__V1__Get get;
        Farheap__V1__Lookup lookup;
        Farheap__V1__Delete delete_;
        Farheap__V1__List list;
        Farheap__V1__CacheCreate cache_create;
        Farheap__V1__CacheDestroy cache_destroy;
        Farheap__V1__OpenFile open_file;
        Farheap__V1__ListFiles list_files;
        Farheap__V1__Sync sync;
        Farheap__V1__Advise advise;
    } op;
};

static Farheap__V1__Handle *handle_of(const struct fh_call *call, struct parts *parts)
{
    farheap__v1__handle__init(&parts->handle);
    parts->handle.address = call->handle.address;
    parts->handle.key = call->handle.key;
    return &parts->handle;
}

static Farheap__V1__Condition *condition_of(const struct fh_call *call, struct parts *parts)
{
    if (!call->if_absent && call->if_version == 0)
        return NULL;
    farheap__v1__condition__init(&parts->condition);
    parts->condition.if_absent = call->if_absent;
    parts->condition.if_version = call->if_version;
    return &parts->condition;
}

static ProtobufCBinaryData name_of(const struct fh_call *call)
{
    return (ProtobufCBinaryData){call->name_size, (uint8_t *)(uintptr_t)call->name};
}

static void fill_info(const struct fh_call *call, struct parts *parts)
{
    parts->op.info.view = name_of(call);
}

static void fill_alloc(const struct fh_call *call, struct parts *parts)
{
    parts->op.alloc.size = call->size;
    parts->op.alloc.ttl_ms = call->ttl_ms;
    parts->op.alloc.cache = name_of(call);
    parts->op.alloc.durable = call->durable;
}

static void fill_free(const struct fh_call *call, struct parts *parts)
{
    parts->op.free.handle = handle_of(call, parts);
}

static void fill_resize(const struct fh_call *call, struct parts *parts)
{
    parts->op.resize.handle = handle_of(call, parts);
    parts->op.resize.size = call->size;
    parts->op.resize.condition = condition_of(call, parts);
}

static void fill_read(const struct fh_call *call, struct parts *parts)
{
    parts->op.read.handle = handle_of(call, parts);
    parts->op.read.offset = call->offset;
    parts->op.read.size = call->size;
}

static void fill_write(const struct fh_call *call, struct parts *parts)
{
    parts->op.write.handle = handle_of(call, parts);
    parts->op.write.offset = call->offset;
    parts->op.write.condition = condition_of(call, parts);
}

static void fill_read_ranges(const struct fh_call *call, struct parts *parts)
{
    parts->op.read_ranges.handle = handle_of(call, parts);
}

static void fill_write_ranges(const struct fh_call *call, struct parts *parts)
{
    parts->op.write_ranges.handle = handle_of(call, parts);
    parts->op.write_ranges.ranges = (uint32_t)call->value;
    parts->op.write_ranges.condition = condition_of(call, parts);
}

static void fill_zero(const struct fh_call *call, struct parts *parts)
{
    parts->op.zero.handle = handle_of(call, parts);
    parts->op.zero.offset = call->offset;
    parts->op.zero.size = call->size;
    parts->op.zero.condition = condition_of(call, parts);
}

static void fill_cas(const struct fh_call *call, struct parts *parts)
{
    parts->op.cas.handle = handle_of(call, parts);
    parts->op.cas.offset = call->offset;
    parts->op.cas.expected = call->expected;
    parts->op.cas.desired = call->value;
}

static void fill_add(const struct fh_call *call, struct parts *parts)
{
    parts->op.add.handle = handle_of(call, parts);
    parts->op.add.offset = call->offset;
    parts->op.add.delta = call->value;
}

static void fill_stat(const struct fh_call *call, struct parts *parts)
{
    if (call->name_size > 0)
        parts->op.stat.name = name_of(call);
    else
        parts->op.stat.handle = handle_of(call, parts);
}

static void fill_put(const struct fh_call *call, struct parts *parts)
{
    parts->op.put.name = name_of(call);
    parts->op.put.ttl_ms = call->ttl_ms;
    parts->op.put.condition = condition_of(call, parts);
    parts->op.put.durable = call->durable;
    if (call->kind == FH_CALL_PUBLISH)
        parts->op.put.handle = handle_of(call, parts);
}

static void fill_get(const struct fh_call *call, struct parts *parts)
{
    parts->op.get.name = name_of(call);
    parts->op.get.offset = call->offset;
    parts->op.get.size = call->size;
    parts->op.get.condition = condition_of(call, parts);
}

static void fill_lookup(const struct fh_call *call, struct parts *parts)
{
    parts->op.lookup.name = name_of(call);
}

static void fill_delete(const struct fh_call *call, struct parts *parts)
{
    parts->op.delete_.name = name_of(call);
    parts->op.delete_.condition = condition_of(call, parts);
}

static void fill_list(const struct fh_call *call, struct parts *parts)
{
    parts->op.list.prefix = name_of(call);
    parts->op.list.cursor = call->offset;
    parts->op.list.limit = (uint32_t)call->size;
}

static void fill_cache_create(const struct fh_call *call, struct parts *parts)
{
    parts->op.cache_create.name = name_of(call);
    parts->op.cache_create.object_size = call->size;
    parts->op.cache_create.alignment = (uint32_t)call->value;
}

static void fill_cache_destroy(const struct fh_call *call, struct parts *parts)
{
    parts->op.cache_destroy.name = name_of(call);
}

/* EXPORT/PATH, at its first slash; without one it is all export. */
static void split_path(const struct fh_call *call, ProtobufCBinaryData *export,
                       ProtobufCBinaryData *path)
{
    *export = name_of(call);
    *path = (ProtobufCBinaryData){0};
    uint8_t *slash = export->len > 0 ? memchr(export->data, '/', export->len) : NULL;
    if (slash == NULL)
        return;
    path->data = slash + 1;
    path->len = export->len - (size_t)(slash + 1 - export->data);
    export->len = (size_t)(slash - export->data);
}

static void fill_file_open(const struct fh_call *call, struct parts *parts)
{
    Farheap__V1__OpenFile *m = &parts->op.open_file;

    split_path(call, &m->export, &m->path);
    m->write = call->file_write;
    m->create = call->file_create;
    m->size = call->size;
}

static void fill_file_list(const struct fh_call *call, struct parts *parts)
{
    Farheap__V1__ListFiles *m = &parts->op.list_files;

    split_path(call, &m->export, &m->path);
    m->cursor = call->offset;
    m->limit = (uint32_t)call->size;
}

static void fill_sync(const struct fh_call *call, struct parts *parts)
{
    parts->op.sync.handle = handle_of(call, parts);
    parts->op.sync.offset = call->offset;
    parts->op.sync.size = call->size;
}

static void fill_advise(const struct fh_call *call, struct parts *parts)
{
    Farheap__V1__Advise *m = &parts->op.advise;

    m->name = name_of(call);
    if (m->name.len == 0)
        m->handle = handle_of(call, parts);
    m->advice = (Farheap__V1__Advice)call->value;
    m->offset = call->offset;
    m->size = call->size;
}

/* How to ask: which operation, its message, and what fills it in (NULL: it has no fields). */
static const struct {
    Farheap__V1__Request__OpCase op;
    const ProtobufCMessageDescriptor *message;
    void (*fill)(const struct fh_call *, struct parts *);
} ops[FH_CALL_KINDS] = {
    [FH_CALL_PING] = {FARHEAP__V1__REQUEST__OP_PING, &farheap__v1__ping__descriptor, NULL},
    [FH_CALL_INFO] = {FARHEAP__V1__REQUEST__OP_INFO, &farheap__v1__info__descriptor, fill_info},
    [FH_CALL_ALLOC] = {FARHEAP__V1__REQUEST__OP_ALLOC, &farheap__v1__alloc__descriptor, fill_alloc},
    [FH_CALL_FREE] = {FARHEAP__V1__REQUEST__OP_FREE, &farheap__v1__free__descriptor, fill_free},
    [FH_CALL_RESIZE] = {FARHEAP__V1__REQUEST__OP_RESIZE, &farheap__v1__resize__descriptor,
                        fill_resize},
    [FH_CALL_READ] = {FARHEAP__V1__REQUEST__OP_READ, &farheap__v1__read__descriptor, fill_read},
    [FH_CALL_WRITE] = {FARHEAP__V1__REQUEST__OP_WRITE, &farheap__v1__write__descriptor, fill_write},
    [FH_CALL_READ_RANGES] = {FARHEAP__V1__REQUEST__OP_READ_RANGES,
                             &farheap__v1__read_ranges__descriptor, fill_read_ranges},
    [FH_CALL_WRITE_RANGES] = {FARHEAP__V1__REQUEST__OP_WRITE_RANGES,
                              &farheap__v1__write_ranges__descriptor, fill_write_ranges},
    [FH_CALL_ZERO] = {FARHEAP__V1__REQUEST__OP_ZERO, &farheap__v1__zero__descriptor, fill_zero},
    [FH_CALL_CAS] = {FARHEAP__V1__REQUEST__OP_COMPARE_SWAP, &farheap__v1__compare_swap__descriptor,
                     fill_cas},
    [FH_CALL_ADD] = {FARHEAP__V1__REQUEST__OP_FETCH_ADD, &farheap__v1__fetch_add__descriptor,
                     fill_add},
    [FH_CALL_STAT] = {FARHEAP__V1__REQUEST__OP_STAT, &farheap__v1__stat__descriptor, fill_stat},
    [FH_CALL_PUT] = {FARHEAP__V1__REQUEST__OP_PUT, &farheap__v1__put__descriptor, fill_put},
    [FH_CALL_PUBLISH] = {FARHEAP__V1__REQUEST__OP_PUT, &farheap__v1__put__descriptor, fill_put},
    [FH_CALL_GET] = {FARHEAP__V1__REQUEST__OP_GET, &farheap__v1__get__descriptor, fill_get},
    [FH_CALL_LOOKUP] = {FARHEAP__V1__REQUEST__OP_LOOKUP, &farheap__v1__lookup__descriptor,
                        fill_lookup},
    [FH_CALL_DELETE] = {FARHEAP__V1__REQUEST__OP_DELETE, &farheap__v1__delete__descriptor,
                        fill_delete},
    [FH_CALL_LIST] = {FARHEAP__V1__REQUEST__OP_LIST, &farheap__v1__list__descriptor, fill_list},
    [FH_CALL_CACHE_CREATE] = {FARHEAP__V1__REQUEST__OP_CACHE_CREATE,
                              &farheap__v1__cache_create__descriptor, fill_cache_create},
    [FH_CALL_CACHE_DESTROY] = {FARHEAP__V1__REQUEST__OP_CACHE_DESTROY,
                               &farheap__v1__cache_destroy__descriptor, fill_cache_destroy},
    [FH_CALL_FILE_OPEN] = {FARHEAP__V1__REQUEST__OP_OPEN_FILE, &farheap__v1__open_file__descriptor,
                           fill_file_open},
    [FH_CALL_FILE_LIST] = {FARHEAP__V1__REQUEST__OP_LIST_FILES,
                           &farheap__v1__list_files__descriptor, fill_file_list},
    [FH_CALL_SYNC] = {FARHEAP__V1__REQUEST__OP_SYNC, &farheap__v1__sync__descriptor, fill_sync},
    [FH_CALL_ADVISE] = {FARHEAP__V1__REQUEST__OP_ADVISE, &farheap__v1__advise__descriptor,
                        fill_advise},
};

_Static_assert(offsetof(fh_request_head, ping) == offsetof(fh_request_head, advise),
               "one place of a head points at whichever message it has");

size_t fh_call_pack(const struct fh_call *call, uint64_t id, uint32_t deadline_ms, uint8_t *out,
                    size_t cap)
{
    fh_request_head head = FARHEAP__V1__REQUEST__INIT;
    struct parts parts;

    head.id = id;
    head.deadline_ms = deadline_ms;
    head.op_case = ops[call->kind].op;
    head.ping = (void *)&parts.op;
    protobuf_c_message_init(ops[call->kind].message, &parts.op);
    if (ops[call->kind].fill != NULL)
        ops[call->kind].fill(call, &parts);
    return fh_head_pack_request(&head, (uint32_t)call->body_size, out, cap);
}

/* --- the answer */

static void object_take(const Farheap__V1__ObjectResult *object, fh_info *out)
{
    *out = (fh_info){
        .bytes = object->size,
        .version = object->version,
        .ttl_ms = object->ttl_ms,
        .pages_frame = object->pages_frame,
        .pages_swap = object->pages_swap,
        .pages_nothing = object->pages_nothing,
        .pages_failed = object->pages_failed,
        .pages_file = object->pages_file,
        .pages_dirty = object->pages_dirty,
        .file = object->file,
        .writable = object->writable,
        .sealed = object->sealed,
        .small = object->small,
        .durable = object->durable,
        .pages_pinned = object->pages_pinned,
    };
    if (object->handle != NULL)
        out->handle = (fh_handle){object->handle->address, object->handle->key};
}

/* The result a call of this kind must bring when it is OK; NOT_SET: none is needed. */
static unsigned result_needed(enum fh_call_kind kind)
{
    switch (kind) {
    case FH_CALL_ALLOC:
    case FH_CALL_RESIZE:
    case FH_CALL_READ_RANGES:
    case FH_CALL_WRITE_RANGES:
    case FH_CALL_STAT:
    case FH_CALL_PUT:
    case FH_CALL_PUBLISH:
    case FH_CALL_GET:
    case FH_CALL_LOOKUP:
    case FH_CALL_FILE_OPEN:
    case FH_CALL_SYNC:
    case FH_CALL_ADVISE:
        return FARHEAP__V1__RESPONSE__RESULT_OBJECT;
    case FH_CALL_CAS:
    case FH_CALL_ADD:
        return FARHEAP__V1__RESPONSE__RESULT_VALUE;
    case FH_CALL_LIST:
    case FH_CALL_FILE_LIST:
        return FARHEAP__V1__RESPONSE__RESULT_LIST;
    default:
        return FARHEAP__V1__RESPONSE__RESULT__NOT_SET;
    }
}

static int result_take(const struct fh_call *call, const fh_response_head *response,
                       struct fh_answer *answer)
{
    unsigned needed = result_needed(call->kind);

    if (needed != FARHEAP__V1__RESPONSE__RESULT__NOT_SET && needed != response->result_case)
        return -EPROTO;
    switch (response->result_case) {
    case FARHEAP__V1__RESPONSE__RESULT_OBJECT:
        object_take(response->object, &answer->object);
        break;
    case FARHEAP__V1__RESPONSE__RESULT_VALUE:
        answer->before = response->value->before;
        answer->swapped = response->value->swapped;
        answer->object.version = response->value->version;
        break;
    case FARHEAP__V1__RESPONSE__RESULT_LIST:
        answer->cursor = response->list->cursor;
        answer->entries = response->list->entries;
        break;
    default:
        break;
    }
    return 0;
}

/* The body of Info and List has no bound known beforehand but that of a frame. */
static int text_take(uint32_t body_size, struct fh_answer *answer, uint8_t **body)
{
    if ((answer->text = malloc((size_t)body_size + 1)) == NULL) {
        answer->status = FH_NO_MEMORY;
        return -ENOMEM;
    }
    answer->text[body_size] = '\0';
    *body = (uint8_t *)answer->text;
    return 0;
}

int fh_call_answer(const struct fh_call *call, const fh_response_head *response, uint32_t body_size,
                   struct fh_answer *answer, uint8_t **body)
{
    memset(answer, 0, sizeof(*answer));
    if (response->status >= FH_STATUS_COUNT)
        return -EPROTO;
    answer->status = (fh_status)response->status;
    if (answer->status != FH_OK) {
        if (response->result_case == FARHEAP__V1__RESPONSE__RESULT_VALUE)
            answer->before = response->value->before;
        return body_size == 0 ? 0 : -EPROTO;
    }
    if (result_take(call, response, answer) != 0)
        return -EPROTO;
    answer->body_size = body_size;
    if (call->kind == FH_CALL_INFO || call->kind == FH_CALL_LIST || call->kind == FH_CALL_FILE_LIST)
        return text_take(body_size, answer, body);
    if (body_size > call->into_size)
        return -EPROTO;
    if ((call->kind == FH_CALL_READ || call->kind == FH_CALL_READ_RANGES) &&
        body_size != call->size)
        return -EPROTO;
    *body = call->into;
    return 0;
}

/* --- words */

size_t fh_text_clean(const void *text, size_t size, char *out, size_t cap)
{
    const unsigned char *bytes = text;
    size_t n = 0;

    if (cap == 0)
        return 0;
    for (; n < size && n + 1 < cap; n++)
        out[n] = bytes[n] < 0x20 || bytes[n] == 0x7f ? '?' : (char)bytes[n];
    out[n] = '\0';
    return n;
}

size_t fh_call_print(const struct fh_call *call, char *out, size_t cap)
{
    char text[128] = "";
    int n;

    if (kinds[call->kind].by_name || call->name_size > 0)
        (void)fh_text_clean(call->name, call->name_size, text, sizeof(text));
    else
        (void)fh_handle_print_public(text, call->handle.address);
    n = snprintf(out, cap, "%s%s%s", kinds[call->kind].word, text[0] != '\0' ? " " : "", text);
    return n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;
}
