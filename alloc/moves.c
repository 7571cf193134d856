/*
 * Theory.  A slab that keeps a few objects keeps its pages. So a small object may be moved, to a
 * place of another slab of its cache (compact.c says which): record and bytes go there, and the
 * place it leaves is free like any other. It keeps its key, its version, its name, and its handle,
 * which says the place where the object was made: its home. By name nothing changes; by handle it is
 * found through its key, which leads to it in the directory `moved`. So who was not moved pays
 * nothing, and who was 8 bytes for the home, beside the name if there is one, and 7 in `moved`.
 *
 *   handle {home, key}    home: another's, or nobody's         name
 *              |                                                 |
 *              +--- moved ---> record, bytes <--- directory -----+
 *                               |
 *                             extra: home, expiry, name
 *
 * The home may be given to a new object, which has another key: handles are told apart by both. The
 * place itself is told to nobody.
 *
 * A move happens in one step between requests. What is in memory is copied, nothing is read in and
 * nobody waits: if a page is not there, or no frame for a copy, or an entry, the object stays. Who
 * reads the old bytes holds their frames; who was parked looks its object up again. Commits know
 * objects by id, so those they have do not move; nor does what is pinned. What was never written is
 * not copied: a move of it touches no page.
 */
#include <errno.h>
#include <inttypes.h>

#include "bits.h"
#include "zone_private.h"

/* --- who was moved --- */

static struct fh_name name_of_key(const uint64_t *key)
{
    return (struct fh_name){.size = sizeof(*key), .bytes = key};
}

/* The key of a record is not aligned. */
static struct fh_name key_of(const void *ctx, uint64_t object)
{
    const struct fh_zone *z = ctx;
    struct fh_object o = fh_objects_at(&z->objects, object);

    return (struct fh_name){.size = sizeof(uint64_t), .bytes = o.small};
}

_Static_assert(offsetof(struct fh_small, key) == 0, "a record begins with its key");

/* The extra's home of a small object; 0: it has not moved. */
static uint64_t object_home(const struct fh_zone *z, const struct fh_object *o)
{
    return o->small ? fh_extras_get(&z->extras, fh_object_extra(o)).home : 0;
}

struct fh_addr fh_zone_home(const struct fh_zone *z, const struct fh_object *o)
{
    uint64_t home = z->moved.count > 0 ? object_home(z, o) : 0;
    struct fh_addr addr = {home - 1};

    return home != 0 ? addr : o->addr;
}

bool fh_zone_find_moved(const struct fh_zone *z, const struct fh_ref *ref, struct fh_object *out)
{
    struct fh_name key = name_of_key(&ref->key);
    uint64_t id;

    if (z->moved.count == 0 || fh_directory_find(&z->moved, &key, &id) != 0)
        return false;
    struct fh_object o = fh_objects_at(&z->objects, id), at_home = o;
    at_home.addr = fh_zone_home(z, &o);
    if (!fh_objects_match(&at_home, ref->addr, ref->key, ref->tenant))
        return false;
    *out = o;
    return true;
}

void fh_zone_forget_home(struct fh_zone *z, const struct fh_object *o)
{
    uint64_t key = fh_object_key(o);
    struct fh_name name = name_of_key(&key);

    if (z->moved.count == 0 || object_home(z, o) == 0)
        return;
    fh_directory_remove(&z->moved, &name, o->id);
    fh_extras_drop_home(&z->extras, fh_object_extra(o));
}

/* --- a move --- */

static uint32_t zone_frames(void *ctx, struct fh_page first, uint32_t pages)
{
    const struct fh_zone *z = ctx;
    uint32_t frames = 0;

    for (uint32_t i = 0; i < pages; i++) {
        enum fh_page_state state =
            fh_entry_state(fh_pagetable_get(&z->pager.table, fh_page_add(first, i)));
        if (state != FH_PAGE_FRAME && state != FH_PAGE_NOTHING)
            return FH_COMPACT_AWAY;
        frames += state == FH_PAGE_FRAME;
    }
    return frames;
}

/* Makes the bytes at a new place writable, in this turn, without a wait. */
static int move_prepare(struct fh_zone *z, struct fh_addr at, uint64_t size)
{
    struct fh_call call;
    struct fh_hold hold;
    uint32_t pages = (uint32_t)fh_pages_of_range(at, size);
    uint32_t frames = zone_frames(z, fh_page_of_addr(at), pages);

    if (size == 0)
        return 0;
    if (fh_pager_admit(&z->pager, pages - frames) != 0)
        return -ENOSPC; /* and no wait for room; none of them is away, as compact looked */
    fh_call_init(&call, NULL);
    fh_hold_init(&hold);
    int rc = fh_pager_prepare(&z->pager, &call, &hold,
                              (struct fh_span){.kind = FH_SPAN_COPY, .start = at, .size = size});
    fh_pager_cancel(&z->pager, &call);
    return rc;
}

/* Sees to it that the handle will lead to `id`: `*extra` is to be the object's. */
static int move_note(struct fh_zone *z, const struct fh_object *o, uint64_t id, uint32_t *extra)
{
    uint64_t key = fh_object_key(o);
    struct fh_name name = name_of_key(&key);
    struct fh_extra x = fh_extras_get(&z->extras, fh_object_extra(o));
    int rc;

    if (x.home != 0) {
        *extra = fh_object_extra(o);
        fh_directory_replace(&z->moved, &name, o->id, id);
        return 0;
    }
    x.home = o->addr.v + 1;
    if ((rc = fh_extras_take(&z->extras, &x, extra)) != 0)
        return rc;
    if ((rc = fh_directory_add(&z->moved, &name, id)) != 0)
        fh_extras_give(&z->extras, *extra);
    return rc;
}

static void move_bytes(struct fh_zone *z, struct fh_addr from, struct fh_addr to, uint64_t size)
{
    while (size > 0) {
        uint32_t in_page = fh_addr_in_page(from);
        uint64_t part = fh_min_u64(size, FH_PAGE_SIZE - in_page);
        struct fh_frame frame;
        const uint8_t *page = fh_pager_glance(&z->pager, fh_page_of_addr(from), &frame);

        FH_ASSERT(page); /* compact looked */
        fh_pager_write(&z->pager, to, page + in_page, part);
        from.v += part;
        to.v += part;
        size -= part;
    }
}

/* What may fail has been done. */
static void move_do(struct fh_zone *z, const struct fh_object *o, const struct fh_heap_block *block,
                    uint32_t extra)
{
    struct fh_name name = fh_zone_name(z, o);
    uint64_t filled = fh_object_filled(o);
    uint32_t before = fh_object_extra(o);

    move_bytes(z, o->addr, block->addr, filled);
    FH_ASSERT(fh_zone_red_zone_is_clean(z, o)); /* [P1] */
    fh_zone_poison(z, o->addr, filled);
    struct fh_object to = fh_objects_move(&z->objects, o, block);
    if (name.size > 0)
        fh_directory_replace(&z->directory, &name, o->id, to.id);
    if (extra != before)
        fh_extras_give(&z->extras, before);
    fh_object_set_extra(&to, extra, fh_object_expires(&to));
    int rc = fh_heap_free(&z->heap, o->addr);
    FH_ASSERT(rc == 0);
}

static int zone_move(void *ctx, struct fh_slab_run *from, uint32_t index, struct fh_slab_run *to)
{
    struct fh_zone *z = ctx;
    struct fh_heap_block place = {.run = from, .index = index}, block;
    struct fh_object o = fh_objects_of_block(&z->objects, &place);
    uint32_t extra;
    int rc;

    if (fh_object_is_coming(&o) || fh_object_is_going(&o) || fh_zone_is_pinned(z, &o))
        return -EBUSY;
    fh_heap_alloc_in(&z->heap, to, &block);
    uint64_t id = fh_objects_of_block(&z->objects, &block).id;
    if ((rc = move_prepare(z, block.addr, fh_object_filled(&o))) == 0 &&
        (rc = move_note(z, &o, id, &extra)) == 0) {
        move_do(z, &o, &block, extra);
        return 0;
    }
    int freed = fh_heap_free(&z->heap, block.addr);
    FH_ASSERT(freed == 0);
    return rc;
}

/* --- when --- */

static enum fh_compact_need moves_need(const struct fh_zone *z)
{
    if (z->pager.cleaning && !fh_line_is_empty(&z->pager.line))
        return FH_COMPACT_REFUSE;
    return z->pager.frames.free < z->reclaim.high || fh_pager_admit(&z->pager, 1) != 0
               ? FH_COMPACT_SHORT
               : FH_COMPACT_QUIET;
}

void fh_zone_moves_turn(struct fh_zone *z, bool *more)
{
    *more = fh_compact_turn(&z->compact, moves_need(z), z->now_ms) || *more;
}

uint64_t fh_zone_moves_make_room(void *ctx)
{
    const struct fh_zone *z = ctx;

    return fh_compact_pages(&z->compact, FH_COMPACT_REFUSE);
}

int fh_zone_moves_init(struct fh_zone *z)
{
    fh_compact_init(&z->compact,
                    &(struct fh_compact_opts){
                        .heap = &z->heap, .frames = zone_frames, .move = zone_move, .ctx = z},
                    z->now_ms);
    return fh_directory_init(
        &z->moved,
        &(struct fh_directory_opts){
            .mem = &z->mem, .hash_key = z->directory.hash_key, .name_of = key_of, .ctx = z});
}

void fh_zone_moves_fini(struct fh_zone *z)
{
    fh_directory_fini(&z->moved);
}

/* --- looking inside --- */

void fh_zone_moves_check(const struct fh_zone *z, struct fh_report *r)
{
    uint64_t moved = 0, at = 0, looks = UINT64_MAX, id;
    struct fh_object o;

    while (fh_objects_next(&z->objects, &at, &looks, &o)) {
        uint64_t key = fh_object_key(&o);
        struct fh_name name = name_of_key(&key);
        if (object_home(z, &o) == 0)
            continue;
        moved++;
        if (fh_directory_find(&z->moved, &name, &id) != 0 || id != o.id)
            fh_report(r, "[I5] object %" PRIx64 ": its handle does not lead to it", o.id);
    }
    if (moved != z->moved.count)
        fh_report(r, "[I5] %" PRIu64 " objects were moved, counted %" PRIu64, z->moved.count,
                  moved);
}
