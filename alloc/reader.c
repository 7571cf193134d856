/*
 * Theory.  A read is the bytes of one moment. If it fits one window, the moment is when its pages
 * are held: the frames stay as they are until they are released, whatever is written meanwhile. If
 * it does not, the entries of the whole range are copied into a view at once, some ten nanoseconds a
 * page; the windows are then held one after the other from the view, which nobody writes. A view
 * holds no frame by itself between windows that could not be evicted: a peer that does not read
 * costs addresses and swap, not memory.
 *
 *   object   [a][b][c][d][e]..      a write to c moves the object's entry to another frame
 *   view        [b][c][d]           the view still names the old one
 *   window         [c][d]           held, being sent
 *
 * What lies beyond the filled part of a small object is sent from the zero page, or from the
 * initial bytes of its typed cache, which the reader holds: they stay though object and cache may
 * go.
 */
#include <errno.h>

#include "bits.h"
#include "zone_private.h"

static uint64_t reader_window_pages(const struct fh_reader *r)
{
    return fh_min_u64(FH_WINDOW_PAGES, r->zone->pager.opts.hold_max - 1);
}

/* Bytes of the next window: to the end of what was written, and within a window's pages. */
static uint64_t reader_next_bytes(const struct fh_reader *r)
{
    uint64_t room = (reader_window_pages(r) << FH_PAGE_SHIFT) - fh_addr_in_page(r->at);
    return fh_min_u64(r->left - r->zeros, room);
}

static void reader_offer(struct fh_reader *r, const uint8_t *bytes, uint64_t size)
{
    struct iovec *last = r->iov_count > 0 ? &r->iov[r->iov_count - 1] : NULL;

    r->window_bytes += size;
    if (last && (const uint8_t *)last->iov_base + last->iov_len == bytes) {
        last->iov_len += size;
        return;
    }
    r->iov[r->iov_count++] = (struct iovec){.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
}

static void reader_offer_held(struct fh_reader *r, uint64_t size)
{
    uint32_t in_page = fh_addr_in_page(r->at);

    for (uint32_t i = 0; size > 0; i++) {
        uint64_t part = fh_min_u64(size, FH_PAGE_SIZE - in_page);
        reader_offer(r, fh_pager_held_bytes(&r->zone->pager, &r->hold, i) + in_page, part);
        in_page = 0;
        size -= part;
    }
}

/* Of what was never written, as much as still fits into the window. */
static void reader_offer_zeros(struct fh_reader *r)
{
    uint64_t zeros = r->left - r->window_bytes;

    if (r->initial) {
        reader_offer(r, r->initial->bytes + (r->end - zeros), zeros);
        return;
    }
    while (zeros > 0 && r->iov_count < FH_READER_IOV_MAX) {
        uint64_t part = fh_min_u64(zeros, FH_PAGE_SIZE);
        reader_offer(r, fh_pager_zero_page(), part);
        zeros -= part;
    }
}

static int reader_fill_window(struct fh_reader *r)
{
    uint64_t written = reader_next_bytes(r);

    r->iov_count = 0;
    r->window_bytes = 0;
    reader_offer_held(r, written);
    if (r->zeros > 0 && written == r->left - r->zeros)
        reader_offer_zeros(r);
    return 0;
}

/* What comes after the window that was just held is wanted for certain: it is read meanwhile. */
static void reader_read_on(struct fh_reader *r, uint64_t held_bytes)
{
    struct fh_zone *z = r->zone;
    uint64_t left = r->left - r->zeros - held_bytes;
    uint64_t pages = fh_min_u64(fh_pages_for(left), z->opts.readahead_max);
    struct fh_page from =
        fh_page_of_addr((struct fh_addr){r->at.v + held_bytes + FH_PAGE_SIZE - 1});

    if (r->is_view && pages > 0)
        (void)fh_pager_read_ahead(&z->pager, from, pages, from, 0, z->reclaim.low);
}

static int reader_hold(struct fh_reader *r, struct fh_page first, uint32_t count)
{
    struct fh_pager *p = &r->zone->pager;
    const struct fh_readahead_advice *a = &r->advice;

    if (r->is_view)
        fh_pager_quiet(p, first, a->is_scan ? count : 0);
    else
        fh_pager_quiet(p, a->quiet, a->quiet_count);
    int rc = fh_pager_hold(p, &r->call, &r->hold, first, count);
    fh_pager_quiet(p, first, 0);
    return rc;
}

static int reader_hold_window(struct fh_reader *r)
{
    uint64_t written = reader_next_bytes(r);
    int rc = 0;

    if (written > 0)
        rc = reader_hold(r, fh_page_of_addr(r->at), (uint32_t)fh_pages_of_range(r->at, written));
    if (rc == 0 || fh_hold_is_bound(&r->hold)) {
        r->opened = true;
        reader_read_on(r, written);
        fh_zone_follow(r->zone, &r->advice);
    }
    return rc == 0 ? reader_fill_window(r) : rc;
}

static int reader_make_view(struct fh_reader *r)
{
    struct fh_zone *z = r->zone;
    struct fh_heap_block block;
    uint64_t pages = fh_pages_of_range(r->at, r->left);
    int rc;

    if ((rc = fh_heap_alloc_pages(&z->heap, pages, FH_OBJECT_NONE, &block)) != 0)
        return rc;
    if ((rc = fh_pager_view(&z->pager, &r->view, fh_page_of_addr(r->at),
                            fh_page_of_addr(block.addr), pages)) != 0) {
        int freed = fh_heap_free(&z->heap, block.addr);
        FH_ASSERT(freed == 0);
        return rc;
    }
    r->is_view = true;
    r->opened = true;
    r->at.v = block.addr.v + fh_addr_in_page(r->at);
    return 0;
}

/* Where the name leads now, and how much of it is asked for. */
static int reader_resolve_name(struct fh_reader *r)
{
    struct fh_object_view view;
    int rc = fh_zone_lookup(r->zone, r->by.tenant, r->by.name, r->by.size, &view);

    if (rc != 0)
        return rc;
    if (r->by.if_version != 0 && r->by.if_version != view.version)
        return -ECANCELED;
    if (r->by.offset > view.size)
        return -EINVAL;
    r->ref = view.ref;
    r->ref.stream = r->by.stream;
    r->offset = r->by.offset;
    r->left = fh_min_u64(r->by.limit, view.size - r->by.offset);
    return 0;
}

/* Holds what the object reads as where it was not written; what was held before is given back. */
static void reader_hold_initial(struct fh_reader *r, const struct fh_object *o)
{
    struct fh_initial *initial = o ? fh_zone_initial(r->zone, o) : NULL;

    fh_initial_release(&r->zone->caches, r->initial);
    r->initial = fh_initial_hold(initial);
}

/* Once per read, however often it has to begin again. */
static void reader_touch(struct fh_reader *r, const struct fh_object *o)
{
    if (!r->touched && r->left > r->zeros)
        r->advice = fh_zone_touch(r->zone, r->ref.stream, o, r->offset, r->left - r->zeros, true);
    r->touched = true;
}

/* The checks of a read, and its moment. */
static int reader_begin(struct fh_reader *r)
{
    struct fh_object o;
    int rc;

    if (r->by.name && (rc = reader_resolve_name(r)) != 0)
        return rc;
    if ((rc = fh_zone_resolve(r->zone, &r->ref, &o)) != 0)
        return rc;
    uint64_t size = fh_object_size(&o), filled = fh_object_filled(&o);
    if (r->offset > size || r->left > size - r->offset)
        return -EINVAL;
    reader_hold_initial(r, &o);
    fh_zone_describe(r->zone, &o, &r->object);
    r->at = fh_object_addr(&o, r->offset);
    r->end = r->offset + r->left;
    r->zeros = r->left - fh_min_u64(r->left, filled > r->offset ? filled - r->offset : 0);
    reader_touch(r, &o);
    if (reader_next_bytes(r) == r->left - r->zeros)
        return reader_hold_window(r);
    if (o.small)
        return -EFBIG; /* only in a zone whose windows are smaller than a small object */
    if ((rc = reader_make_view(r)) != 0)
        return rc;
    return reader_hold_window(r);
}

static int reader_step(struct fh_call *call)
{
    struct fh_reader *r = FH_CONTAINER_OF(call, struct fh_reader, call);
    int failed;

    if (fh_hold_is_bound(&r->hold)) {
        if ((failed = r->hold.error) == 0)
            return reader_fill_window(r);
        fh_pager_release(&r->zone->pager, &r->hold);
        return failed;
    }
    return r->opened ? reader_hold_window(r) : reader_begin(r);
}

static void reader_end_view(struct fh_reader *r)
{
    if (r->is_view)
        fh_graves_take_view(&r->zone->graves, &r->view);
    r->is_view = false;
}

static int reader_open(struct fh_zone *z, struct fh_reader *r)
{
    r->zone = z;
    r->zeros = 0;
    r->initial = NULL;
    r->iov_count = 0;
    r->window_bytes = 0;
    r->is_view = false;
    r->opened = false;
    r->touched = false;
    r->advice = (struct fh_readahead_advice){.ahead_count = 0};
    fh_hold_init(&r->hold);
    fh_call_init(&r->call, reader_step);
    int rc = reader_begin(r);
    if (rc != 0 && rc != -EINPROGRESS) {
        reader_hold_initial(r, NULL);
        reader_end_view(r);
    }
    return rc;
}

int fh_reader_open(struct fh_zone *z, struct fh_reader *r, const struct fh_ref *ref,
                   uint64_t offset, uint64_t size)
{
    r->ref = *ref;
    r->by = (struct fh_read_name){.name = NULL};
    r->offset = offset;
    r->left = size;
    return reader_open(z, r);
}

int fh_reader_open_name(struct fh_zone *z, struct fh_reader *r, const struct fh_read_name *by)
{
    r->by = *by;
    return reader_open(z, r);
}

void fh_reader_release(struct fh_reader *r, size_t taken)
{
    FH_ASSERT(taken <= r->window_bytes);
    FH_ASSERT(r->is_view || taken == r->window_bytes);
    fh_pager_release(&r->zone->pager, &r->hold);
    if (r->is_view && r->advice.is_scan)
        fh_pager_leave_behind(&r->zone->pager, fh_page_of_addr(r->at),
                              (fh_addr_in_page(r->at) + taken) >> FH_PAGE_SHIFT);
    r->left -= taken;
    r->at.v += taken;
    r->zeros = fh_min_u64(r->zeros, r->left);
    r->iov_count = 0;
    r->window_bytes = 0;
}

int fh_reader_next(struct fh_reader *r)
{
    return reader_hold_window(r);
}

void fh_reader_close(struct fh_reader *r)
{
    fh_pager_cancel(&r->zone->pager, &r->call);
    fh_pager_release(&r->zone->pager, &r->hold);
    reader_hold_initial(r, NULL);
    reader_end_view(r);
}
