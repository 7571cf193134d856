/*
 * Theory.  Looking inside changes nothing: sums over the parts, the recount of what joins them, and
 * a dump of everything. The parts check themselves; here is checked that their answers agree.
 *
 * Books are what was taken from the zone's memory and, of the maps, which are touched where they are
 * used, as much as was. Not counted is what does not grow with objects or pages, and bitmaps of a
 * bit or two per frame and slot.
 *
 * Invariants: those at the head of zone.c.
 */
#include <inttypes.h>

#include "report.h"
#include "zone_private.h"

static uint64_t zone_metadata_bytes(const struct fh_zone *z)
{
    const struct fh_frames *frames = &z->pager.frames;
    struct fh_objects_stats objects;
    struct fh_extras_stats extras;
    struct fh_space_stats space;

    fh_space_stats(&z->heap.space, &space);
    fh_objects_stats(&z->objects, &objects);
    fh_extras_stats(&z->extras, &extras);
    return z->mem.taken_bytes + objects.book_bytes + extras.book_bytes + space.book_bytes +
           (uint64_t)(frames->total + frames->leaving) * sizeof(struct fh_frame_record) +
           z->pager.swap.slots.stats.used * sizeof(struct fh_slot_record);
}

void fh_zone_stats(const struct fh_zone *z, struct fh_zone_stats *out)
{
    *out = (struct fh_zone_stats){
        .objects = z->objects.count,
        .names = z->directory.count,
        .object_bytes = z->objects.bytes,
        .expired = z->expired,
        .moved = z->moved.count,
        .metadata_bytes = zone_metadata_bytes(z),
        .io_backend = z->opts.io->backend->name,
        .buddy = z->opts.system->name,
    };
    if (z->durable) {
        struct fh_catalog_stats catalog;
        fh_catalog_stats(z->durable->catalog, &catalog);
        out->durable_objects = z->durable->objects;
        out->durable_bytes = z->durable->bytes;
        out->durable_bad_records = z->durable->bad_records;
        out->commits = catalog.commits;
        out->commits_failed = z->durable->commits_failed;
        out->catalog_broken = catalog.broken;
    }
    fh_pager_stats(&z->pager, &out->pager);
    fh_reclaim_stats(&z->reclaim, &out->reclaim);
    fh_heap_stats(&z->heap, &out->heap);
    fh_graves_stats(&z->graves, &out->graves);
    fh_errands_stats(&z->errands, &out->errands);
    if (z->durable && z->durable->opts.pages >= FH_ARENA_PAGES) { /* nothing uses these up */
        uint64_t pages = FH_DATA_FILES * z->durable->opts.pages;
        out->heap.space.segments -= FH_DATA_FILES;
        out->heap.space.segment_pages -= pages;
        out->heap.space.break_pages -= pages;
    }
    fh_reap_stats(&z->reap, &out->reap);
    fh_compact_stats(&z->compact, &out->compact);
}

static void check_typed(const struct fh_zone *z, const struct fh_object *o,
                        struct fh_report *r) /* [I3] */
{
    uint32_t number = fh_object_cache(o);
    const struct fh_cache *cache = number == 0 ? NULL : z->caches.slots[number - 1];

    if (number != 0 && (!cache || cache->object_size < fh_object_size(o)))
        fh_report(r, "[I3] object %" PRIx64 ": cache %u is not for it", o->id, number);
}

/* A commit is about to take the name from another for it. */
static bool name_is_anothers(const struct fh_zone *z, const struct fh_object *o)
{
    struct fh_name name = fh_zone_name(z, o);
    uint64_t found = FH_OBJECT_NONE;

    if (!fh_object_is_coming(o) || fh_directory_find(&z->directory, &name, &found) != 0 ||
        found == o->id)
        return false;
    struct fh_object other = fh_objects_at(&z->objects, found);
    return fh_object_is_going(&other);
}

static void check_extra(const struct fh_zone *z, const struct fh_object *o,
                        struct fh_report *r) /* [I2] */
{
    struct fh_name name = fh_zone_name(z, o);
    uint64_t found = FH_OBJECT_NONE;

    if (name.size > 0 && !name_is_anothers(z, o) &&
        (fh_directory_find(&z->directory, &name, &found) != 0 || found != o->id))
        fh_report(r, "[I2] object %" PRIx64 ": its name leads elsewhere", o->id);
    if (fh_object_expires(o) != (fh_extras_get(&z->extras, fh_object_extra(o)).expiry != 0))
        fh_report(r, "[I4] object %" PRIx64 ": it %s, its extra says otherwise", o->id,
                  fh_object_expires(o) ? "expires" : "does not expire");
}

static void check_object(const struct fh_zone *z, const struct fh_object *o, struct fh_report *r)
{
    struct fh_heap_block block;

    if (fh_object_version(o) == 0)
        return; /* of a stage: it has no block of its own yet */
    if (fh_zone_find_block(z, o->addr, &block) != 0 ||
        fh_objects_of_block(&z->objects, &block).id != o->id)
        fh_report(r, "[I1] object %" PRIx64 ": its address does not lead back to it", o->id);
    check_typed(z, o, r);
    check_extra(z, o, r);
}

bool fh_zone_check(const struct fh_zone *z, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    bool parts = fh_heap_check(&z->heap, why);
    uint64_t extras = 0, names = 0, pinned = 0, at = 0, looks = UINT64_MAX;
    struct fh_object o;

    parts = fh_pager_check(&z->pager, why) && parts;
    parts = fh_graves_check(&z->graves, why) && parts;
    parts = fh_reclaim_check(&z->reclaim, why) && parts;
    parts = fh_errands_check(&z->errands, why) && parts;
    parts = fh_reap_check(&z->reap, why) && parts;
    parts = fh_compact_check(&z->compact, why) && parts;
    parts = fh_objects_check(&z->objects, why) && parts;
    parts = fh_extras_check(&z->extras, why) && parts;
    parts = fh_directory_check(&z->directory, why) && parts;
    parts = fh_directory_check(&z->moved, why) && parts;
    parts = fh_caches_check(&z->caches, why) && parts;
    parts = fh_zone_commits_check(z, why) && parts;
    if (parts)
        fh_zone_poison_check(z, &r);
    fh_zone_moves_check(z, &r);
    while (fh_objects_next(&z->objects, &at, &looks, &o)) {
        check_object(z, &o, &r);
        extras += fh_object_extra(&o) != FH_EXTRAS_NONE;
        names += fh_zone_name(z, &o).size > 0 && !name_is_anothers(z, &o);
        if (fh_object_version(&o) != 0)
            pinned += fh_pins_bytes(&z->pager.pins, o.addr, fh_object_addr(&o, fh_object_size(&o)));
    }
    if (pinned != fh_pins_bytes(&z->pager.pins, (struct fh_addr){0}, (struct fh_addr){UINT64_MAX}))
        fh_report(&r, "[I6] objects have %" PRIu64 " pinned bytes, there are others", pinned);
    if (extras != z->extras.count || names != z->directory.count)
        fh_report(&r,
                  "[I4] objects have %" PRIu64 " extras and %" PRIu64 " names; there are %" PRIu64
                  " and %" PRIu64,
                  extras, names, z->extras.count, z->directory.count);
    return parts && r.broken == 0;
}

void fh_zone_dump(const struct fh_zone *z, FILE *out)
{
    fprintf(out, "zone %u, version %llu\n", z->opts.index, (unsigned long long)z->version);
    fh_objects_dump(&z->objects, out);
    fh_extras_dump(&z->extras, out);
    fh_directory_dump(&z->directory, out);
    fh_directory_dump(&z->moved, out);
    fh_caches_dump(&z->caches, out);
    fh_heap_dump(&z->heap, out);
    fh_reap_dump(&z->reap, out);
    fh_compact_dump(&z->compact, out);
    fh_graves_dump(&z->graves, out);
    fh_errands_dump(&z->errands, out);
    fh_reclaim_dump(&z->reclaim, out);
    fh_pager_dump(&z->pager, out);
    if (z->durable)
        fh_durable_dump(z->durable, out);
}
