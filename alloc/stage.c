/*
 * Theory.  A large body is received straight into frames that no object names yet, so nobody sees a
 * part of it. Between two windows the stage holds no frame: a page that is complete is installed in
 * the stage's block, ordinary memory that may go to swap before the last byte comes; what there is
 * of an unfinished page is kept aside in `edges`. So are the first and the last page of a body that
 * begins or ends inside a page: these are merged into the target at the commit, as any small write.
 * The whole pages are not copied: their entries move.
 *
 *   body      ..hhh][pppp][pppp][pppp][tt..
 *               |      |     |     |    `- tail: edges
 *             head:   whole pages: the stage's block
 *             edges
 *
 * Room for all pages is claimed when the stage is opened, so no body is refused after it has been
 * received.
 *
 * Invariants
 *   [I1] pages received completely are installed: (received - head) / 4096 of them, at most `pages`
 *   [I2] claimed is the pages not installed yet, those that head and tail will lie on included
 */
#include <errno.h>
#include <string.h>

#include "bits.h"
#include "zone_private.h"

enum { EDGE_HEAD, EDGE_TAIL, EDGE_CARRY, EDGES };

static uint8_t *stage_edge(const struct fh_stage *s, int edge)
{
    return s->edges + (size_t)edge * FH_PAGE_SIZE;
}

/* Pages that a commit may create: those of head and tail. */
static uint32_t stage_edges(const struct fh_stage *s)
{
    return (s->head > 0 ? 1u : 0u) + (s->tail > 0 ? 1u : 0u);
}

/* Whole pages received so far, and bytes of the page after them. */
static uint64_t stage_received_pages(const struct fh_stage *s)
{
    uint64_t after_head = s->received > s->head ? s->received - s->head : 0;
    return fh_min_u64(after_head >> FH_PAGE_SHIFT, s->pages);
}

static uint32_t stage_carried(const struct fh_stage *s)
{
    uint64_t after_head = s->received > s->head ? s->received - s->head : 0;
    return after_head >> FH_PAGE_SHIFT < s->pages ? (uint32_t)(after_head & (FH_PAGE_SIZE - 1)) : 0;
}

static void stage_offer(struct fh_stage *s, uint8_t *bytes, size_t size)
{
    struct iovec *last = s->iov_count > 0 ? &s->iov[s->iov_count - 1] : NULL;

    if (size == 0)
        return;
    s->window_bytes += size;
    if (last && (uint8_t *)last->iov_base + last->iov_len == bytes)
        last->iov_len += size;
    else
        s->iov[s->iov_count++] = (struct iovec){.iov_base = bytes, .iov_len = size};
}

static void stage_offer_window(struct fh_stage *s)
{
    const struct fh_pager *p = &s->zone->pager;
    uint32_t carried = stage_carried(s);
    uint64_t left = s->pages - stage_received_pages(s);

    s->iov_count = 0;
    s->window_bytes = 0;
    if (s->received < s->head)
        stage_offer(s, stage_edge(s, EDGE_HEAD) + s->received, s->head - s->received);
    for (uint32_t i = 0; i < s->hold.count; i++) {
        uint8_t *bytes = fh_region_bytes(&p->region, s->hold.frames[i]);
        if (i == 0 && carried > 0)
            memcpy(bytes, stage_edge(s, EDGE_CARRY), carried);
        stage_offer(s, bytes + (i == 0 ? carried : 0), FH_PAGE_SIZE - (i == 0 ? carried : 0));
    }
    if (left == s->hold.count && s->received + s->window_bytes < s->size) {
        uint64_t in_tail = s->received + s->window_bytes - (s->size - s->tail);
        stage_offer(s, stage_edge(s, EDGE_TAIL) + in_tail, s->tail - in_tail);
    }
}

/* What could not be claimed at the beginning, before anything is received. */
static int stage_claim(struct fh_stage *s)
{
    struct fh_pager *p = &s->zone->pager;

    if (s->unclaimed == 0)
        return 0;
    int rc = fh_pager_claim(p, s->unclaimed);
    if (rc != 0)
        return rc == -ENOSPC ? fh_pager_wait_for_room(p, &s->call, s->unclaimed) : rc;
    s->claimed = s->unclaimed;
    s->unclaimed = 0;
    return 0;
}

int fh_stage_window(struct fh_stage *s)
{
    struct fh_pager *p = &s->zone->pager;
    uint64_t left = s->pages - stage_received_pages(s);
    uint32_t count = (uint32_t)fh_min_u64(left, fh_min_u64(FH_WINDOW_PAGES, p->opts.hold_max));
    int rc;

    FH_ASSERT(s->received < s->size);
    if ((rc = stage_claim(s)) != 0)
        return rc;
    if (count > 0 && !fh_hold_is_bound(&s->hold) &&
        (rc = fh_pager_take(p, &s->call, &s->hold, count)) != 0)
        return rc;
    stage_offer_window(s);
    return 0;
}

static int stage_window_step(struct fh_call *call)
{
    return fh_stage_window(FH_CONTAINER_OF(call, struct fh_stage, call));
}

void fh_stage_advance(struct fh_stage *s, size_t got)
{
    struct fh_pager *p = &s->zone->pager;
    uint64_t before = stage_received_pages(s);
    struct fh_page first = fh_page_of_addr(s->block.addr);

    FH_ASSERT(got <= s->window_bytes);
    s->received += got;
    uint64_t complete = stage_received_pages(s) - before;
    for (uint32_t i = 0; i < complete; i++) {
        fh_pager_install(p, &s->hold, i, fh_page_add(first, before + i));
        s->claimed--;
    }
    if (stage_carried(s) > 0)
        memcpy(stage_edge(s, EDGE_CARRY), fh_region_bytes(&p->region, s->hold.frames[complete]),
               stage_carried(s));
    fh_pager_release(p, &s->hold);
    s->iov_count = 0;
    s->window_bytes = 0;
}

/* Pages of the block that the body may come to lie on. */
static uint64_t stage_block_pages(const struct fh_stage *s)
{
    return fh_max_u64(fh_pages_for(s->size - s->head), 1);
}

static int stage_take_block(struct fh_stage *s)
{
    struct fh_zone *z = s->zone;
    uint64_t pages = stage_block_pages(s);
    struct fh_object o;
    int rc;

    if ((rc = fh_zone_take_record(z, s->tenant, &o)) != 0)
        return rc;
    s->id = o.id;
    if ((rc = fh_zone_take_pages(z, pages, (uint32_t)o.id, s->durable, &s->block)) != 0)
        goto out_record;
    if ((rc = fh_pagetable_pin(&z->pager.table, fh_page_of_addr(s->block.addr), pages)) != 0)
        goto out_block;
    return 0;

out_block:
    fh_zone_give_block(z, s->block.addr, s->block.room_bytes);
out_record:
    fh_objects_give(&z->objects, &o);
    return rc;
}

static int stage_begin(struct fh_zone *z, struct fh_stage *s, uint32_t tenant, uint64_t size,
                       uint32_t in_page, bool durable)
{
    uint32_t head = in_page == 0 ? 0 : FH_PAGE_SIZE - in_page;
    int rc;

    if (size == 0 || size > FH_OBJECT_SIZE_MAX || in_page >= FH_PAGE_SIZE || size < head)
        return -EINVAL;
    s->zone = z;
    s->durable = durable;
    s->cursor.v = 0;
    s->tenant = tenant;
    s->size = size;
    s->received = 0;
    s->head = head;
    s->pages = (size - head) >> FH_PAGE_SHIFT;
    s->tail = (uint32_t)((size - head) & (FH_PAGE_SIZE - 1));
    s->claimed = s->pages + stage_edges(s);
    s->iov_count = 0;
    s->window_bytes = 0;
    fh_hold_init(&s->hold);
    fh_call_init(&s->call, stage_window_step);
    s->unclaimed = 0;
    rc = fh_pager_claim(&z->pager, s->claimed);
    if (rc == -ENOSPC && fh_pager_room_may_come(&z->pager, s->claimed)) {
        s->unclaimed = s->claimed;
        s->claimed = 0;
        rc = 0;
    }
    if (rc != 0)
        return rc;
    s->edges = fh_mem_take(&z->mem, (size_t)EDGES * FH_PAGE_SIZE);
    rc = s->edges ? stage_take_block(s) : -ENOMEM;
    if (rc == 0)
        return 0;
    fh_mem_give(&z->mem, s->edges, (size_t)EDGES * FH_PAGE_SIZE);
    fh_pager_unclaim(&z->pager, s->claimed);
    return rc;
}

int fh_stage_open(struct fh_zone *z, struct fh_stage *s, uint32_t tenant, uint64_t size,
                  uint32_t in_page)
{
    return stage_begin(z, s, tenant, size, in_page, false);
}

int fh_stage_open_durable(struct fh_zone *z, struct fh_stage *s, uint32_t tenant, uint64_t size)
{
    return size > FH_DURABLE_SIZE_MAX ? -EFBIG : stage_begin(z, s, tenant, size, 0, true);
}

/* Of a stage that becomes no object. */
static void stage_give_record(struct fh_stage *s)
{
    struct fh_object o = fh_objects_at(&s->zone->objects, s->id);

    fh_objects_give(&s->zone->objects, &o);
}

/* What every end of a stage gives back; the block and the record go elsewhere. */
static void stage_close(struct fh_stage *s)
{
    fh_pager_release(&s->zone->pager, &s->hold);
    fh_pager_unclaim(&s->zone->pager, s->claimed);
    fh_pagetable_unpin(&s->zone->pager.table, fh_page_of_addr(s->block.addr), stage_block_pages(s));
    fh_mem_give(&s->zone->mem, s->edges, (size_t)EDGES * FH_PAGE_SIZE);
    s->claimed = 0;
    s->edges = NULL;
}

void fh_stage_abort(struct fh_stage *s)
{
    fh_zone_leave_commit(s->zone, &s->call);
    if (!s->edges)
        return; /* a commit has the object */
    stage_close(s);
    fh_zone_give_block(s->zone, s->block.addr, s->block.room_bytes);
    stage_give_record(s);
}

/* The commit's own claim on its edge pages makes room for them while it is being prepared. */
static int stage_prepare(struct fh_stage *s, struct fh_span span)
{
    struct fh_pager *p = &s->zone->pager;

    fh_pager_unclaim(p, s->claimed);
    int rc = fh_pager_prepare(p, &s->call, &s->hold, span);
    p->claimed += s->claimed;
    return rc;
}

/* Before a commit looks at anything: what an earlier round held is given back. */
static int stage_begin_commit(struct fh_stage *s)
{
    int failed = fh_hold_is_bound(&s->hold) ? s->hold.error : 0;

    FH_ASSERT(s->received == s->size);
    fh_pager_release(&s->zone->pager, &s->hold);
    return failed == -EIO || s->durable ? failed : 0;
}

/* --- commit of a WRITE --- */

static void stage_merge(struct fh_stage *s, const struct fh_object *o)
{
    struct fh_pager *p = &s->zone->pager;
    struct fh_addr middle = fh_object_addr(o, s->offset + s->head);
    struct fh_addr tail = {middle.v + (s->pages << FH_PAGE_SHIFT)};

    fh_pager_write(p, fh_object_addr(o, s->offset), stage_edge(s, EDGE_HEAD), s->head);
    fh_pager_move(p, fh_page_of_addr(s->block.addr), fh_page_of_addr(middle), s->pages);
    fh_pager_write(p, tail, stage_edge(s, EDGE_TAIL), s->tail);
    p->copied_bytes += s->head + s->tail;
}

static int stage_write_step(struct fh_call *call)
{
    struct fh_stage *s = FH_CONTAINER_OF(call, struct fh_stage, call);
    struct fh_zone *z = s->zone;
    struct fh_object o;
    int rc;

    if ((rc = stage_begin_commit(s)) != 0)
        return rc;
    if ((rc = fh_zone_resolve(z, &s->target, &o)) != 0)
        return rc;
    if ((rc = fh_zone_may_change(z, &o, &s->cond)) != 0)
        return rc;
    uint64_t size = fh_object_size(&o);
    if (s->offset > size || s->size > size - s->offset || o.small ||
        (s->offset + s->head) % FH_PAGE_SIZE != 0)
        return -EINVAL;
    struct fh_span span = {
        .kind = FH_SPAN_MOVE, .start = fh_object_addr(&o, s->offset), .size = s->size};
    if ((rc = stage_prepare(s, span)) != 0)
        return rc;
    stage_merge(s, &o);
    fh_zone_bump(z, &o);
    fh_zone_describe(z, &o, &s->object);
    stage_close(s);
    fh_zone_give_block(z, s->block.addr, s->block.room_bytes);
    stage_give_record(s);
    return 0;
}

int fh_stage_write(struct fh_stage *s, const struct fh_ref *ref, uint64_t offset,
                   const struct fh_cond *cond)
{
    s->target = *ref;
    s->offset = offset;
    s->cond = *cond;
    s->call.step = stage_write_step;
    return stage_write_step(&s->call);
}

/* --- commit of a PUT --- */

/* The tail's page is written once, with room of its own. */
static int stage_write_tail(struct fh_stage *s)
{
    struct fh_pager *p = &s->zone->pager;
    struct fh_addr tail = {s->block.addr.v + (s->pages << FH_PAGE_SHIFT)};
    int rc;

    if (s->tail == 0)
        return 0;
    struct fh_span span = {.kind = FH_SPAN_COPY, .start = tail, .size = s->tail};
    if ((rc = stage_prepare(s, span)) != 0)
        return rc;
    fh_pager_write(p, tail, stage_edge(s, EDGE_TAIL), s->tail);
    return 0;
}

/* As a small put: bytes to the disk, then the name by a commit, which has the object. */
static int stage_commit_name(struct fh_stage *s, struct fh_object *o, uint64_t before)
{
    struct fh_zone *z = s->zone;
    struct fh_page first = fh_page_of_addr(s->block.addr);
    struct fh_naming n = {.name = s->name,
                          .name_size = s->name_size,
                          .id = o->id,
                          .before = before,
                          .ttl_ms = s->ttl_ms,
                          .is_put = true,
                          .out = &s->object};
    int rc;

    if (s->cursor.v < first.v)
        s->cursor = first;
    if (s->durable && (rc = fh_pager_sync(&z->pager, &s->call, &s->hold,
                                          fh_backing_find(&z->pager.backing, first), &s->cursor,
                                          fh_page_add(first, fh_pages_for(s->size)))) != 0)
        return rc;
    fh_zone_place(z, o, &s->block, s->size);
    rc = fh_zone_commit_name(z, &s->call, &s->hold, &n);
    if (rc == -EINPROGRESS) {
        stage_close(s);
        return rc;
    }
    fh_object_set_version(o, 0); /* it is no object yet */
    fh_objects_resize(&z->objects, o, 0);
    return rc;
}

static int stage_put_step(struct fh_call *call)
{
    struct fh_stage *s = FH_CONTAINER_OF(call, struct fh_stage, call);
    struct fh_zone *z = s->zone;
    struct fh_object o = fh_objects_at(&z->objects, s->id);
    struct fh_name name = fh_zone_make_name(z, s->tenant, s->name, s->name_size);
    uint64_t before;
    int rc;

    if ((rc = stage_begin_commit(s)) != 0)
        return rc;
    rc = fh_zone_may_name(z, &name, &s->cond, &before);
    if (rc == -EAGAIN)
        return fh_zone_wait_for_commit(z, call, &s->hold);
    if (rc != 0)
        return rc;
    if (s->cursor.v == 0 && (rc = stage_write_tail(s)) != 0)
        return rc;
    if (s->durable || fh_zone_needs_commit(z, before))
        return stage_commit_name(s, &o, before);
    if ((rc = fh_zone_give_name(z, &o, &name, before, s->ttl_ms)) != 0)
        return rc;
    fh_zone_place(z, &o, &s->block, s->size);
    fh_zone_describe(z, &o, &s->object);
    stage_close(s);
    return 0;
}

int fh_stage_put(struct fh_stage *s, const void *name, size_t name_size, uint64_t ttl_ms,
                 const struct fh_cond *cond)
{
    FH_ASSERT(s->head == 0);
    s->name = name;
    s->name_size = name_size;
    s->ttl_ms = ttl_ms;
    s->cond = *cond;
    s->call.step = stage_put_step;
    return stage_put_step(&s->call);
}
