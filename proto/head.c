/*
 * Theory.  protobuf-c expands hostile bytes up to sixty times. So it is given memory from a fixed
 * arena, by an allocator that only counts upwards: what does not fit fails, and the head with it.
 *
 * Three things that protobuf-c tolerates are refused here. Unknown fields: it keeps them in each
 * message, and a walk over the messages that were decoded finds them. A request without operation.
 * Repetition: a second operation replaces the first, a second sub-message is merged with the first,
 * whose unknown fields are then forgotten. All of these give the first one's memory back, and
 * nothing else does in a head that is in order: none of ours carries more than 16 fields at once,
 * the number up to which protobuf-c scans a message without memory of its own. So a head during
 * whose decoding anything was freed is refused. (Scalars that are repeated free nothing: the last
 * one counts, as long as there are not more than 16 fields.)
 *
 * The messages that come by the million go a shorter way (head_fast.c), which takes part of what
 * protobuf-c would take and refuses nothing: it is asked first.
 *
 * Packing asks protobuf-c for no size when a bound of the size fits anyway: then one pass does it.
 *
 * Invariants
 *   [I1] used <= FH_HEAD_ARENA_SIZE, and what was given out lies in bytes[0 .. used)
 *   [I2] a message that was unpacked has no unknown field, at any depth
 *   [I3] a size that pack returns is at most cap, and nothing behind it was written
 */
#include "head.h"

#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <string.h>

#include "frame.h"
#include "head_fast.h"

enum {
    HEAD_MESSAGES_MAX = 8,     /* in one head; the descriptors allow 4 */
    HEAD_RESPONSE_FIXED = 192, /* a response without the bytes it points to is never larger */
    HEAD_ENTRY_FIXED = 80,     /* a list entry likewise */
    HEAD_U32_SIZE = 4,
};

/* What the allocator's callbacks see. */
struct head_decode {
    struct fh_head_arena *arena;
    bool freed; /* something came twice */
};

/* What is left is a multiple of the alignment, so a size that fits does so after rounding up. */
_Static_assert(FH_HEAD_ARENA_SIZE % alignof(max_align_t) == 0, "an arena is used up exactly");

static void *head_arena_take(void *data, size_t size)
{
    struct head_decode *d = data;
    void *p = d->arena->bytes + d->arena->used;

    if (size > FH_HEAD_ARENA_SIZE - d->arena->used)
        return NULL;
    d->arena->used += (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    return p;
}

static void head_arena_give(void *data, void *p)
{
    struct head_decode *d = data;

    (void)p;
    d->freed = true;
}

/* The message that a field of `m` holds, NULL when it holds none. */
static const ProtobufCMessage *head_child(const ProtobufCMessage *m,
                                          const ProtobufCFieldDescriptor *field)
{
    const char *base = (const char *)m;
    const ProtobufCMessage *child;
    uint32_t chosen;

    if (field->type != PROTOBUF_C_TYPE_MESSAGE)
        return NULL;
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        memcpy(&chosen, base + field->quantifier_offset, sizeof chosen);
        if (chosen != field->id)
            return NULL;
    }
    memcpy(&child, base + field->offset, sizeof child);
    return child;
}

/* True when neither this message nor one inside it carries an unknown field. */
static bool head_is_known(const ProtobufCMessage *root)
{
    const ProtobufCMessage *todo[HEAD_MESSAGES_MAX] = {root};
    unsigned count = 1;

    for (unsigned i = 0; i < count; i++) {
        const ProtobufCMessageDescriptor *d = todo[i]->descriptor;
        if (todo[i]->n_unknown_fields != 0)
            return false;
        for (unsigned f = 0; f < d->n_fields; f++) {
            const ProtobufCMessage *child = head_child(todo[i], &d->fields[f]);
            if (!child)
                continue;
            if (count == HEAD_MESSAGES_MAX)
                return false;
            todo[count++] = child;
        }
    }
    return true;
}

static ProtobufCMessage *head_unpack(struct fh_head_arena *arena,
                                     const ProtobufCMessageDescriptor *descriptor,
                                     const uint8_t *bytes, size_t size)
{
    struct head_decode d = {.arena = arena};
    ProtobufCAllocator allocator = {
        .alloc = head_arena_take, .free = head_arena_give, .allocator_data = &d};

    arena->used = 0;
    if (size > FH_HEAD_MAX)
        return NULL;
    ProtobufCMessage *m = protobuf_c_message_unpack(descriptor, &allocator, size, bytes);
    return m && !d.freed && head_is_known(m) ? m : NULL;
}

int fh_head_unpack_request(struct fh_head_arena *arena, const uint8_t *bytes, size_t size,
                           fh_request_head **out)
{
    fh_request_head *head = fh_head_fast_unpack_request(arena, bytes, size);

    if (!head)
        return fh_head_unpack_request_long(arena, bytes, size, out);
    *out = head;
    return 0;
}

int fh_head_unpack_response(struct fh_head_arena *arena, const uint8_t *bytes, size_t size,
                            fh_response_head **out)
{
    fh_response_head *head = fh_head_fast_unpack_response(arena, bytes, size);

    if (!head)
        return fh_head_unpack_response_long(arena, bytes, size, out);
    *out = head;
    return 0;
}

int fh_head_unpack_request_long(struct fh_head_arena *arena, const uint8_t *bytes, size_t size,
                                fh_request_head **out)
{
    fh_request_head *head =
        (fh_request_head *)head_unpack(arena, &farheap__v1__request__descriptor, bytes, size);

    if (!head || head->op_case == FARHEAP__V1__REQUEST__OP__NOT_SET)
        return -EBADMSG;
    *out = head;
    return 0;
}

int fh_head_unpack_response_long(struct fh_head_arena *arena, const uint8_t *bytes, size_t size,
                                 fh_response_head **out)
{
    fh_response_head *head =
        (fh_response_head *)head_unpack(arena, &farheap__v1__response__descriptor, bytes, size);

    if (!head)
        return -EBADMSG;
    *out = head;
    return 0;
}

int fh_head_unpack_list_entry(struct fh_head_arena *arena, const uint8_t *bytes, size_t size,
                              fh_list_entry **out)
{
    fh_list_entry *entry =
        (fh_list_entry *)head_unpack(arena, &farheap__v1__list_entry__descriptor, bytes, size);

    if (!entry)
        return -EBADMSG;
    *out = entry;
    return 0;
}

int fh_head_unpack_file_entry(struct fh_head_arena *arena, const uint8_t *bytes, size_t size,
                              fh_file_entry_head **out)
{
    fh_file_entry_head *entry =
        (fh_file_entry_head *)head_unpack(arena, &farheap__v1__file_entry__descriptor, bytes, size);

    if (!entry)
        return -EBADMSG;
    *out = entry;
    return 0;
}

/* Packs after `before` bytes of room, when before + size <= cap and size <= FH_HEAD_MAX. `bound` is
 * at least the message's size, or SIZE_MAX when nothing is known about it. */
static bool head_pack(const ProtobufCMessage *m, size_t bound, size_t before, uint8_t *out,
                      size_t cap, size_t *size)
{
    if (cap < before)
        return false;
    if (bound > FH_HEAD_MAX || bound > cap - before) {
        size_t exact = protobuf_c_message_get_packed_size(m);
        if (exact > FH_HEAD_MAX || exact > cap - before)
            return false;
    }
    *size = protobuf_c_message_pack(m, out + before);
    return true;
}

/* A message of defaults packs to nothing, which is no head: its first field, the id, is then
 * written as the zero it is. */
static bool head_pack_zero(size_t before, uint8_t *out, size_t cap, size_t *size)
{
    if (cap - before < 2)
        return false;
    out[before] = 0x08; /* field 1, varint */
    out[before + 1] = 0;
    *size = 2;
    return true;
}

/* `size` is what the short way packed already, or 0. */
static size_t head_pack_frame(const ProtobufCMessage *m, size_t size, size_t bound,
                              uint32_t body_size, uint8_t *out, size_t cap)
{
    if (size == 0 && !head_pack(m, bound, FH_FRAME_PREFIX_SIZE, out, cap, &size))
        return 0;
    if (size == 0 && !head_pack_zero(FH_FRAME_PREFIX_SIZE, out, cap, &size))
        return 0;
    fh_frame_prefix_store(
        out, (struct fh_frame_prefix){.head_size = (uint32_t)size, .body_size = body_size});
    return FH_FRAME_PREFIX_SIZE + size;
}

size_t fh_head_pack_request(const fh_request_head *head, uint32_t body_size, uint8_t *out,
                            size_t cap)
{
    size_t fast = 0;

    if (cap > FH_FRAME_PREFIX_SIZE)
        fast =
            fh_head_fast_pack_request(head, out + FH_FRAME_PREFIX_SIZE, cap - FH_FRAME_PREFIX_SIZE);
    return head_pack_frame(&head->base, fast, SIZE_MAX, body_size, out, cap);
}

static size_t head_response_bound(const fh_response_head *head)
{
    size_t detail = head->detail.len;
    size_t server = 0;

    if (head->result_case == FARHEAP__V1__RESPONSE__RESULT_HELLO)
        server = head->hello->server.len;
    if (detail > FH_HEAD_MAX || server > FH_HEAD_MAX)
        return SIZE_MAX;
    return HEAD_RESPONSE_FIXED + detail + server;
}

size_t fh_head_pack_response(const fh_response_head *head, uint32_t body_size, uint8_t *out,
                             size_t cap)
{
    size_t fast = 0;

    if (cap > FH_FRAME_PREFIX_SIZE)
        fast = fh_head_fast_pack_response(head, out + FH_FRAME_PREFIX_SIZE,
                                          cap - FH_FRAME_PREFIX_SIZE);
    return head_pack_frame(&head->base, fast, head_response_bound(head), body_size, out, cap);
}

/* As the bodies of lists hold them: its size, then the message. */
static size_t entry_pack(const ProtobufCMessage *entry, size_t name, uint8_t *out, size_t cap)
{
    size_t bound = name > FH_HEAD_MAX ? SIZE_MAX : HEAD_ENTRY_FIXED + name;
    size_t size;

    if (!head_pack(entry, bound, HEAD_U32_SIZE, out, cap, &size))
        return 0;
    for (unsigned i = 0; i < HEAD_U32_SIZE; i++)
        out[i] = (uint8_t)(size >> (8 * i));
    return HEAD_U32_SIZE + size;
}

size_t fh_head_pack_list_entry(const fh_list_entry *entry, uint8_t *out, size_t cap)
{
    return entry_pack(&entry->base, entry->name.len, out, cap);
}

size_t fh_head_pack_file_entry(const fh_file_entry_head *entry, uint8_t *out, size_t cap)
{
    return entry_pack(&entry->base, entry->name.len, out, cap);
}
