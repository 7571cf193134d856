/*
 * Theory.  A table per message: the tag byte of each field, what kind of value it is, where in the
 * generated struct it goes. All field numbers inside the hot messages are below 16, so a tag is one
 * byte; those of the operations are above, so theirs are two. Unpacking accepts the form in which
 * every known packer writes: each field at most once and in the order of the numbers, a varint of at
 * most 63 bits. Whatever else protobuf allows (another order, repetition, longer varints) is
 * not refused here but left to protobuf-c: NULL means "ask it", so this file decides nothing about
 * what a head is. A table has one level of inner messages (Handle, Condition), and those have none.
 * Packing needs no table: a line per field.
 *
 *   Request   08 id  10 deadline  TAG TAG length [op: tag value, tag value, inner]
 *   Response  08 id  10 status    TAG TAG length [result]
 *
 * Invariants
 *   [I1] what unpack takes, protobuf-c takes too, and every field has the same value
 *   [I2] what pack writes is byte for byte what protobuf-c writes
 *   [I3] a read is preceded by a check that the byte lies before `end`
 */
#include "head_fast.h"

#include <stdalign.h>
#include <stdbool.h>
#include <string.h>

#include "frame.h"

enum fast_kind { FAST_U64, FAST_BOOL, FAST_FIXED64, FAST_BYTES, FAST_INNER };

struct fast_field {
    uint8_t tag; /* number << 3 | wire type; ascending in a table */
    uint8_t kind;
    uint16_t offset;
    const struct fast_message *inner;
};

struct fast_message {
    const ProtobufCMessageDescriptor *descriptor;
    uint16_t size; /* of the generated struct */
    uint8_t count; /* of fields */
    struct fast_field fields[15];
};

enum {
    FAST_ROOM = 160, /* a head without its name is never longer */
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    TAG_ID = 1 << 3 | WIRE_VARINT,
    TAG_SECOND = 2 << 3 | WIRE_VARINT, /* deadline_ms of a request, status of a response */
};

#define U64(type, number, field)                                                                   \
    {                                                                                              \
        (number) << 3 | WIRE_VARINT, FAST_U64, offsetof(Farheap__V1__##type, field), NULL          \
    }
#define BOOL(type, number, field)                                                                  \
    {                                                                                              \
        (number) << 3 | WIRE_VARINT, FAST_BOOL, offsetof(Farheap__V1__##type, field), NULL         \
    }
#define FIXED64(type, number, field)                                                               \
    {                                                                                              \
        (number) << 3 | WIRE_FIXED64, FAST_FIXED64, offsetof(Farheap__V1__##type, field), NULL     \
    }
#define BYTES(type, number, field)                                                                 \
    {                                                                                              \
        (number) << 3 | WIRE_BYTES, FAST_BYTES, offsetof(Farheap__V1__##type, field), NULL         \
    }
#define INNER(type, number, field, of)                                                             \
    {                                                                                              \
        (number) << 3 | WIRE_BYTES, FAST_INNER, offsetof(Farheap__V1__##type, field), of           \
    }

static const struct fast_message fast_handle = {
    .descriptor = &farheap__v1__handle__descriptor,
    .size = sizeof(Farheap__V1__Handle),
    .count = 2,
    .fields = {FIXED64(Handle, 1, address), FIXED64(Handle, 2, key)},
};
static const struct fast_message fast_condition = {
    .descriptor = &farheap__v1__condition__descriptor,
    .size = sizeof(Farheap__V1__Condition),
    .count = 2,
    .fields = {BOOL(Condition, 1, if_absent), U64(Condition, 2, if_version)},
};
static const struct fast_message fast_free = {
    .descriptor = &farheap__v1__free__descriptor,
    .size = sizeof(Farheap__V1__Free),
    .count = 1,
    .fields = {INNER(Free, 1, handle, &fast_handle)},
};
static const struct fast_message fast_read = {
    .descriptor = &farheap__v1__read__descriptor,
    .size = sizeof(Farheap__V1__Read),
    .count = 3,
    .fields = {INNER(Read, 1, handle, &fast_handle), U64(Read, 2, offset), U64(Read, 3, size)},
};
static const struct fast_message fast_write = {
    .descriptor = &farheap__v1__write__descriptor,
    .size = sizeof(Farheap__V1__Write),
    .count = 3,
    .fields = {INNER(Write, 1, handle, &fast_handle), U64(Write, 2, offset),
               INNER(Write, 3, condition, &fast_condition)},
};
static const struct fast_message fast_put = {
    .descriptor = &farheap__v1__put__descriptor,
    .size = sizeof(Farheap__V1__Put),
    .count = 5,
    .fields = {BYTES(Put, 1, name), U64(Put, 2, ttl_ms), INNER(Put, 3, condition, &fast_condition),
               INNER(Put, 4, handle, &fast_handle), BOOL(Put, 5, durable)},
};
static const struct fast_message fast_get = {
    .descriptor = &farheap__v1__get__descriptor,
    .size = sizeof(Farheap__V1__Get),
    .count = 4,
    .fields = {BYTES(Get, 1, name), U64(Get, 2, offset), U64(Get, 3, size),
               INNER(Get, 4, condition, &fast_condition)},
};
static const struct fast_message fast_lookup = {
    .descriptor = &farheap__v1__lookup__descriptor,
    .size = sizeof(Farheap__V1__Lookup),
    .count = 1,
    .fields = {BYTES(Lookup, 1, name)},
};
static const struct fast_message fast_delete = {
    .descriptor = &farheap__v1__delete__descriptor,
    .size = sizeof(Farheap__V1__Delete),
    .count = 2,
    .fields = {BYTES(Delete, 1, name), INNER(Delete, 2, condition, &fast_condition)},
};
static const struct fast_message fast_object = {
    .descriptor = &farheap__v1__object_result__descriptor,
    .size = sizeof(Farheap__V1__ObjectResult),
    .count = 15,
    .fields = {INNER(ObjectResult, 1, handle, &fast_handle), U64(ObjectResult, 2, size),
               U64(ObjectResult, 3, version), BOOL(ObjectResult, 4, sealed),
               U64(ObjectResult, 5, ttl_ms), U64(ObjectResult, 6, pages_frame),
               U64(ObjectResult, 7, pages_swap), U64(ObjectResult, 8, pages_nothing),
               U64(ObjectResult, 9, pages_failed), BOOL(ObjectResult, 10, small),
               U64(ObjectResult, 11, pages_file), U64(ObjectResult, 12, pages_dirty),
               BOOL(ObjectResult, 13, file), BOOL(ObjectResult, 14, writable),
               BOOL(ObjectResult, 15, durable)},
};
static const struct fast_message fast_value = {
    .descriptor = &farheap__v1__value_result__descriptor,
    .size = sizeof(Farheap__V1__ValueResult),
    .count = 3,
    .fields = {FIXED64(ValueResult, 1, before), BOOL(ValueResult, 2, swapped),
               U64(ValueResult, 3, version)},
};

/* By the field number of the operation, or of the result. */
enum { FAST_NUMBERS = 64 };
static const struct fast_message *const fast_ops[FAST_NUMBERS] = {
    [FARHEAP__V1__REQUEST__OP_FREE] = &fast_free,
    [FARHEAP__V1__REQUEST__OP_READ] = &fast_read,
    [FARHEAP__V1__REQUEST__OP_WRITE] = &fast_write,
    [FARHEAP__V1__REQUEST__OP_PUT] = &fast_put,
    [FARHEAP__V1__REQUEST__OP_GET] = &fast_get,
    [FARHEAP__V1__REQUEST__OP_LOOKUP] = &fast_lookup,
    [FARHEAP__V1__REQUEST__OP_DELETE] = &fast_delete,
};
static const struct fast_message *const fast_results[FAST_NUMBERS] = {
    [FARHEAP__V1__RESPONSE__RESULT_OBJECT] = &fast_object,
    [FARHEAP__V1__RESPONSE__RESULT_VALUE] = &fast_value,
};

/* --- unpacking: a cursor that becomes NULL when the short way ends --- */

struct fast_in {
    const uint8_t *at, *end;
    struct fh_head_arena *arena;
};

/* Returned in registers, so that the cursor stays in them, too. */
struct fast_varint {
    uint64_t value;
    size_t size; /* 0 = the short way ends */
};

/* Of at most eight bytes, where eight may be looked at: seven bits of each, in three steps. */
static struct fast_varint varint_gather(const uint8_t *at)
{
    const uint64_t more = UINT64_C(0x8080808080808080);
    uint64_t v;

    memcpy(&v, at, sizeof v);
    uint64_t last = ~v & more; /* its lowest bit is in the byte that ends the varint */
    if (last == 0)
        return (struct fast_varint){.size = 0};
    v &= (last ^ (last - 1)) & ~more;
    v = (v & UINT64_C(0x007f007f007f007f)) | (v & UINT64_C(0x7f007f007f007f00)) >> 1;
    v = (v & UINT64_C(0x00003fff00003fff)) | (v & UINT64_C(0x3fff00003fff0000)) >> 2;
    v = (v & UINT64_C(0x000000000fffffff)) | (v & UINT64_C(0x0fffffff00000000)) >> 4;
    return (struct fast_varint){.value = v, .size = (size_t)__builtin_ctzll(last) / 8 + 1};
}

static struct fast_varint varint_at(const uint8_t *at, const uint8_t *end)
{
    struct fast_varint v = {.size = 0};

    if (end - at >= (ptrdiff_t)sizeof v.value && (v = varint_gather(at)).size > 0)
        return v;
    for (unsigned shift = 0; shift < 63 && at + v.size < end; shift += 7) {
        uint8_t byte = at[v.size++];
        v.value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return v;
    }
    return (struct fast_varint){.size = 0};
}

static inline bool take_varint(struct fast_in *in, uint64_t *value)
{
    if (in->at < in->end && *in->at < 0x80) {
        *value = *in->at++;
        return true;
    }
    struct fast_varint v = varint_at(in->at, in->end);
    in->at += v.size;
    *value = v.value;
    return v.size > 0;
}

static inline bool take_bool(struct fast_in *in, protobuf_c_boolean *value)
{
    if (in->at == in->end || *in->at > 1)
        return false;
    *value = *in->at++;
    return true;
}

/* Little endian, as the machines are that this runs on. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are stored as they are sent");
static inline bool take_fixed64(struct fast_in *in, uint64_t *value)
{
    if (in->end - in->at < (ptrdiff_t)sizeof *value)
        return false;
    memcpy(value, in->at, sizeof *value);
    in->at += sizeof *value;
    return true;
}

/* A length, and that many bytes are there. */
static inline bool take_length(struct fast_in *in, size_t *size)
{
    uint64_t v;

    if (!take_varint(in, &v) || v > (uint64_t)(in->end - in->at))
        return false;
    *size = (size_t)v;
    return true;
}

static inline bool take_bytes(struct fast_in *in, ProtobufCBinaryData *value)
{
    if (!take_length(in, &value->len))
        return false;
    value->data = value->len > 0 ? (uint8_t *)(uintptr_t)in->at : NULL;
    in->at += value->len;
    return true;
}

static inline void *fast_new(struct fh_head_arena *arena, size_t size,
                             const ProtobufCMessageDescriptor *descriptor)
{
    ProtobufCMessage *m = (ProtobufCMessage *)(void *)(arena->bytes + arena->used);

    arena->used += (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    memset(m, 0, size);
    m->descriptor = descriptor;
    return m;
}

static inline bool take_plain(struct fast_in *in, enum fast_kind kind, void *to)
{
    switch (kind) {
    case FAST_U64:
        return take_varint(in, to);
    case FAST_BOOL:
        return take_bool(in, to);
    case FAST_FIXED64:
        return take_fixed64(in, to);
    case FAST_BYTES:
        return take_bytes(in, to);
    case FAST_INNER:
        break;
    }
    return false;
}

/* The field of the next tag, which comes behind `after` in the table; NULL = there is none such. */
static const struct fast_field *take_tag(struct fast_in *in, const struct fast_message *m,
                                         const struct fast_field *after)
{
    uint8_t tag = *in->at++;

    for (; after < m->fields + m->count; after++)
        if (after->tag == tag)
            return after;
    return NULL;
}

/* A message without inner ones, of the next `size` bytes. */
static void *take_inner(struct fast_in *in, const struct fast_message *m, size_t size)
{
    struct fast_in part = {.at = in->at, .end = in->at + size};
    char *to = fast_new(in->arena, m->size, m->descriptor);
    const struct fast_field *f = m->fields;

    while (part.at < part.end) {
        f = take_tag(&part, m, f);
        if (!f || !take_plain(&part, f->kind, to + f->offset))
            return NULL;
        f++;
    }
    in->at = part.end;
    return to;
}

/* All that is left, as an operation or a result. */
static void *take_message(struct fast_in in, const struct fast_message *m)
{
    char *to = fast_new(in.arena, m->size, m->descriptor);
    const struct fast_field *f = m->fields;

    while (in.at < in.end) {
        f = take_tag(&in, m, f);
        if (!f)
            return NULL;
        if (f->kind == FAST_INNER) {
            size_t size;
            void *inner = take_length(&in, &size) ? take_inner(&in, f->inner, size) : NULL;
            if (!inner)
                return NULL;
            memcpy(to + f->offset, &inner, sizeof inner);
        } else if (!take_plain(&in, f->kind, to + f->offset)) {
            return NULL;
        }
        f++;
    }
    return to;
}

/* What requests and responses begin with, and the number of what follows to the end; 0 = nothing
 * follows, -1 = the long way. */
static inline int take_opening(struct fast_in *in, uint64_t *id, uint32_t *second)
{
    uint64_t v = 0;
    size_t size;

    if (in->at < in->end && *in->at == TAG_ID) {
        in->at++;
        if (!take_varint(in, id))
            return -1;
    }
    if (in->at < in->end && *in->at == TAG_SECOND) {
        in->at++;
        if (!take_varint(in, &v) || v > UINT32_MAX)
            return -1;
        *second = (uint32_t)v;
    }
    if (in->at == in->end)
        return 0;
    if (in->end - in->at < 2)
        return -1;
    unsigned tag = (in->at[0] & 0x7fu) | (unsigned)in->at[1] << 7;
    if (in->at[0] < 0x80 || in->at[1] >= 0x80 || (tag & 7) != WIRE_BYTES)
        return -1;
    in->at += 2;
    if (!take_length(in, &size) || in->at + size != in->end || tag >> 3 == 0 ||
        tag >> 3 >= FAST_NUMBERS)
        return -1;
    return (int)(tag >> 3);
}

static struct fast_in fast_begin(struct fh_head_arena *arena, const uint8_t *bytes, size_t size)
{
    arena->used = 0;
    return (struct fast_in){.at = bytes, .end = bytes + size, .arena = arena};
}

fh_request_head *fh_head_fast_unpack_request(struct fh_head_arena *arena, const uint8_t *bytes,
                                             size_t size)
{
    struct fast_in in = fast_begin(arena, bytes, size);

    if (size > FH_HEAD_MAX)
        return NULL;
    fh_request_head *head = fast_new(arena, sizeof *head, &farheap__v1__request__descriptor);
    int number = take_opening(&in, &head->id, &head->deadline_ms);
    if (number <= 0 || !fast_ops[number])
        return NULL;
    head->op_case = (Farheap__V1__Request__OpCase)number;
    head->get = take_message(in, fast_ops[number]); /* whichever: it is a union of pointers */
    return head->get ? head : NULL;
}

fh_response_head *fh_head_fast_unpack_response(struct fh_head_arena *arena, const uint8_t *bytes,
                                               size_t size)
{
    struct fast_in in = fast_begin(arena, bytes, size);

    if (size > FH_HEAD_MAX)
        return NULL;
    fh_response_head *head = fast_new(arena, sizeof *head, &farheap__v1__response__descriptor);
    int number = take_opening(&in, &head->id, &head->status);
    if (number < 0 || (number > 0 && !fast_results[number]))
        return NULL;
    if (number == 0)
        return head;
    head->result_case = (Farheap__V1__Response__ResultCase)number;
    head->object = take_message(in, fast_results[number]);
    return head->object ? head : NULL;
}

/* --- packing: the room was checked before, so nothing can fail. A default is not sent --- */

static inline uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static inline uint8_t *put_u64(uint8_t *at, unsigned number, uint64_t value)
{
    if (value == 0)
        return at;
    *at++ = (uint8_t)(number << 3 | WIRE_VARINT);
    return put_varint(at, value);
}

static inline uint8_t *put_bool(uint8_t *at, unsigned number, protobuf_c_boolean value)
{
    return put_u64(at, number, value != 0);
}

static inline uint8_t *put_fixed64(uint8_t *at, unsigned number, uint64_t value)
{
    if (value == 0)
        return at;
    *at++ = (uint8_t)(number << 3 | WIRE_FIXED64);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static inline uint8_t *put_bytes(uint8_t *at, unsigned number, ProtobufCBinaryData value)
{
    if (value.len == 0)
        return at;
    *at++ = (uint8_t)(number << 3 | WIRE_BYTES);
    at = put_varint(at, value.len);
    memcpy(at, value.data, value.len);
    return at + value.len;
}

/* The length of an inner message takes one byte. */
static inline uint8_t *put_inner_begin(uint8_t *at, unsigned number)
{
    *at = (uint8_t)(number << 3 | WIRE_BYTES);
    return at + 2;
}

static inline uint8_t *put_inner_end(uint8_t *start, uint8_t *end)
{
    start[-1] = (uint8_t)(end - start);
    return end;
}

static uint8_t *put_handle(uint8_t *at, unsigned number, const Farheap__V1__Handle *h)
{
    if (!h)
        return at;
    uint8_t *start = put_inner_begin(at, number);
    return put_inner_end(start, put_fixed64(put_fixed64(start, 1, h->address), 2, h->key));
}

static uint8_t *put_condition(uint8_t *at, unsigned number, const Farheap__V1__Condition *c)
{
    if (!c)
        return at;
    uint8_t *start = put_inner_begin(at, number);
    return put_inner_end(start, put_u64(put_bool(start, 1, c->if_absent), 2, c->if_version));
}

static uint8_t *put_op(uint8_t *at, const fh_request_head *head)
{
    switch ((int)head->op_case) {
    case FARHEAP__V1__REQUEST__OP_READ:
        at = put_handle(at, 1, head->read->handle);
        return put_u64(put_u64(at, 2, head->read->offset), 3, head->read->size);
    case FARHEAP__V1__REQUEST__OP_WRITE:
        at = put_handle(at, 1, head->write->handle);
        return put_condition(put_u64(at, 2, head->write->offset), 3, head->write->condition);
    case FARHEAP__V1__REQUEST__OP_PUT:
        at = put_u64(put_bytes(at, 1, head->put->name), 2, head->put->ttl_ms);
        at = put_handle(put_condition(at, 3, head->put->condition), 4, head->put->handle);
        return put_bool(at, 5, head->put->durable);
    case FARHEAP__V1__REQUEST__OP_GET:
        at = put_u64(put_bytes(at, 1, head->get->name), 2, head->get->offset);
        return put_condition(put_u64(at, 3, head->get->size), 4, head->get->condition);
    case FARHEAP__V1__REQUEST__OP_LOOKUP:
        return put_bytes(at, 1, head->lookup->name);
    case FARHEAP__V1__REQUEST__OP_DELETE:
        return put_condition(put_bytes(at, 1, head->delete_->name), 2, head->delete_->condition);
    default: /* FREE */
        return put_handle(at, 1, head->free->handle);
    }
}

static uint8_t *put_object(uint8_t *at, const Farheap__V1__ObjectResult *o)
{
    at = put_handle(at, 1, o->handle);
    at = put_u64(at, 2, o->size);
    at = put_u64(at, 3, o->version);
    at = put_bool(at, 4, o->sealed);
    at = put_u64(at, 5, o->ttl_ms);
    if (o->pages_frame | o->pages_swap | o->pages_nothing | o->pages_failed) { /* of a Stat */
        at = put_u64(at, 6, o->pages_frame);
        at = put_u64(at, 7, o->pages_swap);
        at = put_u64(at, 8, o->pages_nothing);
        at = put_u64(at, 9, o->pages_failed);
    }
    at = put_bool(at, 10, o->small);
    at = put_u64(at, 11, o->pages_file);
    at = put_u64(at, 12, o->pages_dirty);
    at = put_bool(at, 13, o->file);
    at = put_bool(at, 14, o->writable);
    return put_bool(at, 15, o->durable);
}

static uint8_t *put_value(uint8_t *at, const Farheap__V1__ValueResult *v)
{
    return put_u64(put_bool(put_fixed64(at, 1, v->before), 2, v->swapped), 3, v->version);
}

/* Tag and length of operation or result, in front of which its room is left; the length is known
 * afterwards, and rarely takes more than one byte. */
enum { PUT_LEAD = 3 };
static uint8_t *put_lead(uint8_t *at, unsigned number, uint8_t *end)
{
    unsigned tag = number << 3 | WIRE_BYTES;
    uint8_t *start = at + PUT_LEAD;
    size_t size = (size_t)(end - start);

    at[0] = (uint8_t)(tag | 0x80);
    at[1] = (uint8_t)(tag >> 7);
    if (size >= 0x80) {
        memmove(start + 1, start, size);
        end++;
    }
    put_varint(at + 2, size);
    return end;
}

static uint8_t *put_opening(uint8_t *at, uint64_t id, uint32_t second)
{
    if (id != 0) {
        *at++ = TAG_ID;
        at = put_varint(at, id);
    }
    if (second != 0) {
        *at++ = TAG_SECOND;
        at = put_varint(at, second);
    }
    return at;
}

/* The name in an operation, which alone makes its size vary. */
static size_t fast_name_size(const fh_request_head *head)
{
    switch ((int)head->op_case) {
    case FARHEAP__V1__REQUEST__OP_PUT:
        return head->put->name.len;
    case FARHEAP__V1__REQUEST__OP_GET:
        return head->get->name.len;
    case FARHEAP__V1__REQUEST__OP_LOOKUP:
        return head->lookup->name.len;
    case FARHEAP__V1__REQUEST__OP_DELETE:
        return head->delete_->name.len;
    default:
        return 0;
    }
}

size_t fh_head_fast_pack_request(const fh_request_head *head, uint8_t *out, size_t cap)
{
    unsigned number = (unsigned)head->op_case;

    if (number >= FAST_NUMBERS || !fast_ops[number] || !head->get)
        return 0;
    size_t name = fast_name_size(head);
    if (name > FH_NAME_MAX || FAST_ROOM + name > cap)
        return 0;
    uint8_t *at = put_opening(out, head->id, head->deadline_ms);
    return (size_t)(put_lead(at, number, put_op(at + PUT_LEAD, head)) - out);
}

size_t fh_head_fast_pack_response(const fh_response_head *head, uint8_t *out, size_t cap)
{
    unsigned number = (unsigned)head->result_case;

    if (head->detail.len > 0 || FAST_ROOM > cap)
        return 0;
    if (number != 0 && (number >= FAST_NUMBERS || !fast_results[number] || !head->object))
        return 0;
    if (number == FARHEAP__V1__RESPONSE__RESULT_OBJECT && head->object->pages_pinned != 0)
        return 0; /* the one field whose tag takes two bytes; only Stat fills it */
    uint8_t *at = put_opening(out, head->id, head->status);
    if (number == FARHEAP__V1__RESPONSE__RESULT_OBJECT)
        at = put_lead(at, number, put_object(at + PUT_LEAD, head->object));
    else if (number == FARHEAP__V1__RESPONSE__RESULT_VALUE)
        at = put_lead(at, number, put_value(at + PUT_LEAD, head->value));
    return (size_t)(at - out);
}
