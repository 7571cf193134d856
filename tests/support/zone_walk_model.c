/* What the walk believes: the versions of each object, and what the pages of a file may be. */
#include "tests/support/zone_walk_private.h"

#include <errno.h>
#include <string.h>

#include "alloc/bits.h"

void walk_object_forget(struct walk_object *o, uint32_t keep)
{
    for (uint32_t i = 0; i + keep < o->count; i++)
        free(o->versions[i]);
    for (uint32_t i = 0; i < keep; i++) {
        o->versions[i] = o->versions[o->count - keep + i];
        o->sizes[i] = o->sizes[o->count - keep + i];
    }
    o->count = keep;
}

static uint64_t page_hash(const uint8_t *bytes, uint64_t size, uint32_t page)
{
    uint64_t end = fh_min_u64(size, (uint64_t)(page + 1) * FH_PAGE_SIZE);
    uint64_t hash = 14695981039346656037u;

    for (uint64_t i = (uint64_t)page * FH_PAGE_SIZE; i < end; i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    return hash;
}

/* The file's pages may be these from now on. */
void walk_file_note(struct walk_file *f, const uint8_t *bytes)
{
    if (f->count == f->room) {
        f->room = f->room * 2 + 64;
        for (uint32_t p = 0; p < WALK_FILE_PAGES; p++)
            f->was[p] = realloc(f->was[p], f->room * sizeof(*f->was[p]));
    }
    for (uint32_t p = 0; p < fh_pages_for(f->disk->size); p++)
        f->was[p][f->count] = page_hash(bytes, f->disk->size, p);
    f->count++;
}

static bool file_has_been(const struct walk_file *f, uint32_t page, uint64_t hash)
{
    for (uint32_t i = 0; i < f->count; i++)
        if (f->was[page][i] == hash)
            return true;
    return false;
}

/* Each page is one that it was since the last sync. Where the disk fails it tears pages. */
void walk_file_check(struct zone_walk *w, const struct walk_object *o)
{
    const struct walk_file *f = &o->file;

    if (w->disk->permille[FH_DISK_SHORT] > 0)
        return;
    for (uint32_t p = 0; p < fh_pages_for(f->disk->size); p++)
        if (!file_has_been(f, p, page_hash(f->disk->bytes, f->disk->size, p)) ||
            !file_has_been(f, p, page_hash(f->disk->safe, f->disk->size, p)))
            WRONG(w, "page %u of a file is neither old nor new", p);
}

void walk_file_forget(struct walk_file *f, uint32_t before)
{
    f->count -= before;
    for (uint32_t p = 0; p < WALK_FILE_PAGES && f->was[p]; p++)
        memmove(f->was[p], f->was[p] + before, f->count * sizeof(*f->was[p]));
}

void walk_file_free(struct walk_file *f)
{
    for (uint32_t p = 0; p < WALK_FILE_PAGES; p++)
        free(f->was[p]);
}

/* A new version, a copy of the last one cut or grown with zeros, or initial bytes, to `size`. */
uint8_t *walk_object_version(struct walk_object *o, uint64_t size)
{
    uint8_t *bytes = calloc(1, size + 1);

    if (o->cache)
        memcpy(bytes, o->cache->initial, size);
    if (o->count > 0)
        memcpy(bytes, o->versions[o->count - 1], fh_min_u64(size, o->size));
    if (o->readers == 0 && o->count > 0)
        walk_object_forget(o, 0);
    o->versions[o->count] = bytes;
    o->sizes[o->count++] = size;
    o->size = size;
    return bytes;
}

void walk_object_is(struct walk_object *o, const struct fh_object_view *view)
{
    o->ref = view->ref;
    o->ref.stream = 1 + o->ref.addr.v % 3; /* some who read in order, a page or a few at a time */
    o->version = view->version;
}

/* What a mutation made is what the file may get. */
void walk_object_note(struct walk_object *o)
{
    if (o->of_file)
        walk_file_note(&o->file, o->versions[o->count - 1]);
}

void walk_object_die(struct walk_object *o)
{
    o->of_file = false;
    o->live = false;
    o->named = false;
    o->cache = NULL;
    if (o->readers == 0)
        walk_object_forget(o, 0);
}

/* Errors that the walk provokes: full memory, a failing disk, objects longer than such a zone's
 * requests. */
bool walk_is_excused(struct zone_walk *w, int rc)
{
    if (rc == -EFBIG && w->zone.opts.hold_max < 12)
        return true; /* a small object may lie on more pages than that */
    w->refused_space += rc == -ENOSPC;
    w->refused_io += rc == -EIO;
    return rc == -ENOSPC || (rc == -EIO && w->disk->permille[FH_DISK_EIO] > 0);
}
