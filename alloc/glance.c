/*
 * Theory.  Most reads are of few bytes that are in memory, and are copied into the reply at once.
 * Such a read needs no hold: nothing else happens in the zone between the look-up and the copy, so
 * its moment is the call itself. Everything else (a page to be read in, a lost page, a long range,
 * the initial bytes of a typed cache) is left to a reader, which begins from the start.
 *
 *   [.. page | page ..]      iov: the part of each page that is asked for; never written: zeros
 *
 * Invariants
 *   [I1] a glance changes nothing but the touches of the pages it saw and what follows from these
 */
#include <errno.h>

#include "bits.h"
#include "zone_private.h"

/* Frames of the pages seen, in order. */
struct seen {
    struct fh_frame frames[FH_GLANCE_PAGES];
    uint32_t count;
};

/*
 * The bytes of the range, page by page; -EAGAIN when one is not there. Their memory is asked for at once: what is left
 * to do before they are read takes about as long as they take to come.
 */
static int glance_pages(struct fh_zone *z, struct fh_addr at, uint64_t size, struct fh_glance *out,
                        struct seen *seen)
{
    seen->count = 0;
    while (size > 0) {
        uint32_t in_page = fh_addr_in_page(at);
        uint64_t part = fh_min_u64(size, FH_PAGE_SIZE - in_page);
        FH_ASSERT(seen->count < FH_GLANCE_PAGES);
        const uint8_t *page =
            fh_pager_glance(&z->pager, fh_page_of_addr(at), &seen->frames[seen->count++]);
        if (!page)
            return -EAGAIN;
        fh_prefetch(page + in_page);
        out->iov[out->iov_count++] =
            (struct iovec){.iov_base = (void *)(uintptr_t)(page + in_page), .iov_len = part};
        at.v += part;
        size -= part;
    }
    FH_ASSERT(seen->count == out->iov_count);
    return 0;
}

/* What was never written of a small object: it lies in one slab, so it is at most its pages. */
static int glance_zeros(uint64_t zeros, struct fh_glance *out)
{
    while (zeros > 0) {
        uint64_t part = fh_min_u64(zeros, FH_PAGE_SIZE);
        if (out->iov_count == FH_GLANCE_PAGES)
            return -EAGAIN;
        out->iov[out->iov_count++] =
            (struct iovec){.iov_base = (void *)(uintptr_t)fh_pager_zero_page(), .iov_len = part};
        zeros -= part;
    }
    return 0;
}

/* All was there: only now is it a touch, or the reader that comes after a failure would be the second. */
static void glance_touch(struct fh_zone *z, uint64_t stream, const struct fh_object *o,
                         uint64_t offset, uint64_t size, const struct seen *seen)
{
    struct fh_page first = fh_page_of_addr(fh_object_addr(o, offset));

    if (stream == 0) { /* nobody's: there is no way of his to know */
        fh_pager_touch_seen(&z->pager, first, seen->frames, seen->count);
        return;
    }
    if (fh_pages_of_range(o->addr, fh_object_size(o)) == 1) {
        fh_pager_quiet(&z->pager, first, fh_readahead_stays(&z->pager.readahead, stream, first));
        fh_pager_touch_seen(&z->pager, first, seen->frames, seen->count);
        fh_pager_quiet(&z->pager, first, 0);
        return;
    }
    struct fh_readahead_advice advice = fh_zone_touch(z, stream, o, offset, size, true);
    fh_pager_quiet(&z->pager, advice.quiet, advice.quiet_count);
    fh_pager_touch_seen(&z->pager, first, seen->frames, seen->count);
    fh_pager_quiet(&z->pager, advice.quiet, 0);
    fh_zone_follow(z, &advice);
}

static int glance_range(struct fh_zone *z, uint64_t stream, const struct fh_object *o,
                        uint64_t offset, uint64_t size, uint64_t most, struct fh_glance *out)
{
    uint64_t whole = fh_object_size(o), filled = fh_object_filled(o);
    struct seen seen;

    if (offset > whole || size > whole - offset)
        return -EINVAL;
    uint64_t written = fh_min_u64(size, filled > offset ? filled - offset : 0);
    struct fh_addr at = fh_object_addr(o, offset);
    if (size > most || fh_pages_of_range(at, written) > FH_GLANCE_PAGES)
        return -EAGAIN;
    if (written < size && fh_zone_initial(z, o))
        return -EAGAIN;
    out->iov_count = 0;
    out->bytes = size;
    int rc = glance_pages(z, at, written, out, &seen);
    if (rc == 0)
        rc = glance_zeros(size - written, out);
    if (rc == 0 && written > 0)
        glance_touch(z, stream, o, offset, written, &seen);
    return rc;
}

int fh_zone_glance(struct fh_zone *z, const struct fh_ref *ref, uint64_t offset, uint64_t size,
                   uint64_t most, struct fh_glance *out)
{
    struct fh_object o;
    int rc = fh_zone_resolve(z, ref, &o);

    if (rc != 0)
        return rc;
    fh_zone_describe(z, &o, &out->object);
    return glance_range(z, ref->stream, &o, offset, size, most, out);
}

int fh_zone_glance_name(struct fh_zone *z, const struct fh_read_name *by, uint64_t most,
                        struct fh_glance *out)
{
    struct fh_object o;
    int rc = fh_zone_find_name(z, by->tenant, by->name, by->size, &o);

    if (rc != 0)
        return rc;
    fh_zone_describe(z, &o, &out->object);
    if (by->if_version != 0 && by->if_version != out->object.version)
        return -ECANCELED;
    if (by->offset > out->object.size)
        return -EINVAL;
    return glance_range(z, by->stream, &o, by->offset,
                        fh_min_u64(by->limit, out->object.size - by->offset), most, out);
}
