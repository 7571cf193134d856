/*
 * Theory.  Every request that touches bytes of an object is told to the read-ahead policy
 * (readahead.h) under the name of its stream and the pages of its object. What the policy answers is
 * followed after the request has taken what it needs itself: reading ahead never delays a demand,
 * takes no frame that is not beyond `low`, and stops when the disk has enough of it to do.
 *
 * An object of few pages is not worth predicting: when one of its pages is read from swap or its file
 * all come, in one transfer where they were written together; unless its users said that they read at
 * random.
 */
#include "bits.h"
#include "zone_private.h"

enum { WHOLE_PAGES_MAX = 16 };

static bool access_has_room(const struct fh_zone *z)
{
    return fh_line_is_empty(&z->pager.line) && z->pager.frames.free > z->reclaim.low;
}

static bool access_is_cold(const struct fh_zone *z, struct fh_page first, struct fh_page end)
{
    for (struct fh_page p = first; p.v < end.v; p = fh_page_add(p, 1)) {
        struct fh_entry e = fh_pagetable_get(&z->pager.table, p);
        enum fh_page_state state = fh_pager_state_of(&z->pager, p, e);
        if (state == FH_PAGE_SLOT || state == FH_PAGE_FILE)
            return true;
    }
    return false;
}

/* All of an object of few pages, if something of what is wanted has to be read. */
static bool access_reads_whole(struct fh_zone *z, const struct fh_touch *t)
{
    struct fh_page first = fh_page_of_addr(t->start);
    struct fh_page end = fh_page_add(first, fh_pages_of_range(t->start, t->size_bytes));
    uint64_t pages = t->end.v - t->object.v;

    if (pages > WHOLE_PAGES_MAX || t->pattern == FH_PATTERN_RANDOM)
        return false;
    if (t->may_read_ahead && access_is_cold(z, first, end))
        (void)fh_pager_read_ahead(&z->pager, t->object, pages, first, end.v - first.v,
                                  z->reclaim.low);
    return true;
}

struct fh_readahead_advice fh_zone_touch(struct fh_zone *z, uint64_t stream,
                                         const struct fh_object *o, uint64_t offset, uint64_t size,
                                         bool reads)
{
    struct fh_addr start = o->addr;
    struct fh_touch t = {
        .stream = stream,
        .object = fh_page_of_addr(start),
        .end = fh_page_add(fh_page_of_addr(start), fh_pages_of_range(start, fh_object_size(o))),
        .start = {start.v + offset},
        .size_bytes = size,
        .pattern = o->large ? (enum fh_pattern)o->large->pattern : FH_PATTERN_NORMAL,
        .may_read_ahead = reads && stream != 0 && z->opts.readahead_max > 0 && access_has_room(z),
    };

    z->pager.readahead.memory_pages = z->pager.frames.total; /* it may change */
    if (!o->small && access_reads_whole(z, &t))
        t.may_read_ahead = false;
    return fh_readahead_touch(&z->pager.readahead, &t);
}

void fh_zone_follow(struct fh_zone *z, struct fh_readahead_advice *a)
{
    if (a->ahead_count > 0)
        (void)fh_pager_read_ahead(&z->pager, a->ahead, a->ahead_count, a->ahead, 0, z->reclaim.low);
    if (a->behind_count > 0)
        fh_pager_leave_behind(&z->pager, a->behind, a->behind_count);
    a->ahead_count = 0;
    a->behind_count = 0;
}
