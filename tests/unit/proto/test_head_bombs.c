/* head: bytes made to cost memory are refused within the arena, and no message of ours could grow.
 */
#include <criterion/criterion.h>
#include <errno.h>

#include "proto/frame.h"
#include "proto/head.h"
#include "wire_bytes.h"

enum { FIELD_ID = 1, FIELD_HELLO = 10, FIELD_PING = 11, FIELD_PUT = 40, DEPTH_MAX = 4 };

static struct {
    struct fh_head_arena arena;
    uint8_t behind[4096]; /* nothing may be written here */
} guarded;
static struct wire_bytes wire, inner, nest;

static void setup(void)
{
    memset(guarded.behind, 0x5a, sizeof guarded.behind);
}

static void assert_nothing_behind_the_arena(void)
{
    for (size_t i = 0; i < sizeof guarded.behind; i++)
        cr_assert_eq(guarded.behind[i], 0x5a);
}

TestSuite(head_bombs, .init = setup, .fini = assert_nothing_behind_the_arena, .timeout = 10);

/* As a head of the largest size that a frame allows, and as it is. */
static void assert_bomb_is_refused(const struct wire_bytes *w)
{
    fh_request_head *request;
    fh_response_head *response;
    fh_list_entry *entry;

    for (int cut = 0; cut < 2; cut++) {
        size_t size = cut && w->size > FH_HEAD_MAX ? FH_HEAD_MAX : w->size;
        cr_assert_eq(fh_head_unpack_request(&guarded.arena, w->at, size, &request), -EBADMSG);
        cr_assert_leq(guarded.arena.used, (size_t)FH_HEAD_ARENA_SIZE);
        cr_assert_eq(fh_head_unpack_response(&guarded.arena, w->at, size, &response), -EBADMSG);
        cr_assert_leq(guarded.arena.used, (size_t)FH_HEAD_ARENA_SIZE);
        cr_assert_eq(fh_head_unpack_list_entry(&guarded.arena, w->at, size, &entry), -EBADMSG);
        cr_assert_leq(guarded.arena.used, (size_t)FH_HEAD_ARENA_SIZE);
    }
}

Test(head_bombs, thousands_of_unknown_varints)
{
    while (wire.size + 2 <= FH_HEAD_MAX)
        wire_number(&wire, 15, 0);
    assert_bomb_is_refused(&wire);
}

Test(head_bombs, thousands_of_unknown_varints_inside_an_operation)
{
    while (inner.size + 2 <= FH_HEAD_MAX - 8)
        wire_number(&inner, 15, 0);
    wire_message(&wire, FIELD_PUT, &inner);
    assert_bomb_is_refused(&wire);
}

Test(head_bombs, thousands_of_empty_sub_messages)
{
    while (wire.size + 2 <= FH_HEAD_MAX)
        wire_message(&wire, FIELD_HELLO, &inner);
    assert_bomb_is_refused(&wire);
}

Test(head_bombs, thousands_of_empty_bytes)
{
    while (inner.size + 2 <= FH_HEAD_MAX - 8)
        wire_field(&inner, 1, "", 0);
    wire_message(&wire, FIELD_PUT, &inner);
    assert_bomb_is_refused(&wire);
}

Test(head_bombs, thousands_of_unknown_empty_bytes)
{
    while (wire.size + 2 <= FH_HEAD_MAX)
        wire_field(&wire, 15, "", 0);
    assert_bomb_is_refused(&wire);
}

Test(head_bombs, a_number_repeated_thousands_of_times)
{
    fh_request_head *request;

    wire_message(&wire, FIELD_PING, &inner); /* the rest is in order */
    while (wire.size + 2 <= FH_HEAD_MAX)
        wire_number(&wire, FIELD_ID, 1);
    assert_bomb_is_refused(&wire);

    wire.size = 0; /* with few the last one counts */
    wire_message(&wire, FIELD_PING, &inner);
    wire_number(&wire, FIELD_ID, 1);
    wire_number(&wire, FIELD_ID, 2);
    cr_assert_eq(fh_head_unpack_request(&guarded.arena, wire.at, wire.size, &request), 0);
    cr_assert_eq(request->id, 2u);
}

Test(head_bombs, sub_messages_merged_thousands_of_times)
{
    while (inner.size + 2 <= FH_HEAD_MAX - 8)
        wire_field(&inner, 4, "", 0); /* the handle of a Put */
    wire_message(&wire, FIELD_PUT, &inner);
    assert_bomb_is_refused(&wire);
}

/* Each level is one field of bytes around the last. */
static void nest_deep(uint32_t field, unsigned depth)
{
    nest.size = 0;
    for (unsigned i = 0; i < depth; i++) {
        inner = nest;
        nest.size = 0;
        wire_message(&nest, field, &inner);
    }
}

Test(head_bombs, a_nest_ten_thousand_deep)
{
    static const uint32_t fields[] = {FIELD_HELLO, FIELD_PUT, 2, 4, 15};

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        nest_deep(fields[i], 10000);
        cr_assert_gt(nest.size, 30000u);
        assert_bomb_is_refused(&nest);
        nest_deep(fields[i], 1000); /* fits into a head */
        cr_assert_leq(nest.size, (size_t)FH_HEAD_MAX);
        assert_bomb_is_refused(&nest);
    }
}

Test(head_bombs, a_length_that_runs_past_the_head)
{
    static const uint64_t lengths[] = {1, 4096, INT32_MAX, UINT32_MAX, UINT64_MAX};

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        wire.size = 0;
        wire_tag(&wire, FIELD_HELLO, WIRE_BYTES);
        wire_varint(&wire, lengths[i]);
        assert_bomb_is_refused(&wire);
    }
}

Test(head_bombs, a_varint_that_does_not_end)
{
    wire_tag(&wire, FIELD_ID, WIRE_VARINT);
    memset(wire.at + wire.size, 0xff, 64);
    wire.size += 64;
    assert_bomb_is_refused(&wire);
}

/* A message type met on the way down from one of ours. */
struct walk {
    const ProtobufCMessageDescriptor *descriptor;
    unsigned depth;
};

static bool field_is_first_of_its_oneof(const ProtobufCMessageDescriptor *d, unsigned index)
{
    for (unsigned i = 0; i < index; i++)
        if ((d->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
            d->fields[i].quantifier_offset == d->fields[index].quantifier_offset)
            return false;
    return true;
}

static void assert_type_is_bounded(const ProtobufCMessageDescriptor *d)
{
    unsigned at_once = 0;

    for (unsigned i = 0; i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        cr_assert_neq(f->label, PROTOBUF_C_LABEL_REPEATED, "%s.%s", d->name, f->name);
        cr_assert_neq(f->type, PROTOBUF_C_TYPE_STRING, "%s.%s", d->name, f->name);
        if (!(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
            at_once++;
        else
            at_once += field_is_first_of_its_oneof(d, i);
    }
    cr_assert_leq(at_once, 16u, "%s", d->name);
}

/* Walks down; a cycle would pass the deepest level that is allowed. */
static unsigned assert_tree_is_bounded(const ProtobufCMessageDescriptor *root)
{
    struct walk todo[64] = {{root, 1}};
    unsigned count = 1;

    for (unsigned i = 0; i < count; i++) {
        const ProtobufCMessageDescriptor *d = todo[i].descriptor;
        cr_assert_leq(todo[i].depth, (unsigned)DEPTH_MAX, "%s is part of a cycle", d->name);
        assert_type_is_bounded(d);
        for (unsigned f = 0; f < d->n_fields; f++) {
            if (d->fields[f].type != PROTOBUF_C_TYPE_MESSAGE)
                continue;
            cr_assert_lt(count, 64u);
            todo[count++] = (struct walk){d->fields[f].descriptor, todo[i].depth + 1};
        }
    }
    return count;
}

Test(head_bombs, no_message_of_the_protocol_repeats_nests_or_holds_text)
{
    cr_assert_gt(assert_tree_is_bounded(&farheap__v1__request__descriptor), 18u);
    cr_assert_gt(assert_tree_is_bounded(&farheap__v1__response__descriptor), 5u);
    cr_assert_geq(assert_tree_is_bounded(&farheap__v1__list_entry__descriptor), 2u);
}
