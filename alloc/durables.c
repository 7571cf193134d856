/*
 * Theory.  At start every record of the catalog becomes an object again, with its name and version
 * and a new key: handles of before lead nowhere. Its bytes stay where they are; pages are read when
 * they are touched. What the catalog does not know is free.
 *
 * Records are hostile: a run outside its file, or that overlaps another, a name that is there
 * already, is counted and left alone.
 */
#include <errno.h>

#include "bits.h"
#include "zone_private.h"

/* --- start --- */

struct load {
    struct fh_zone *zone;
    uint64_t bad;
    uint64_t version; /* the highest */
    uint64_t *gone;   /* ids of those that expired meanwhile */
    uint64_t gone_count, gone_room;
};

static int load_note_gone(struct load *l, uint64_t id)
{
    struct fh_mem *mem = &l->zone->mem;
    uint64_t room = l->gone_room ? l->gone_room * 2 : 512;

    if (l->gone_count == l->gone_room) {
        uint64_t *grown =
            fh_mem_grow(mem, l->gone, l->gone_room * sizeof(*l->gone), room * sizeof(*l->gone));
        if (!grown)
            return -ENOMEM;
        l->gone = grown;
        l->gone_room = room;
    }
    l->gone[l->gone_count++] = id;
    return 0;
}

static int load_name(struct fh_zone *z, const struct fh_object *o,
                     const struct fh_catalog_record *r)
{
    struct fh_name name = {.tenant = r->tenant, .size = r->name_size, .bytes = r->name};
    uint64_t ttl_ms = r->expires_ms ? r->expires_ms - z->opts.wall_ms : 0;
    uint64_t taken;
    int rc;

    if (fh_directory_find(&z->directory, &name, &taken) == 0)
        return -EEXIST;
    if ((rc = fh_zone_set_extra(z, o, r->name, r->name_size, ttl_ms)) != 0)
        return rc;
    return fh_directory_add(&z->directory, &name, o->id);
}

/* The run is taken by the record's number; what is left is the name. */
static int load_object(struct load *l, struct fh_object *o, const struct fh_durable_run *run,
                       const struct fh_catalog_record *r)
{
    struct fh_zone *z = l->zone;
    int rc = load_name(z, o, r);

    if (rc != 0) {
        fh_extras_give(&z->extras, fh_object_extra(o));
        return rc;
    }
    fh_object_set_place(o, fh_addr_of_page(run->first), fh_object_key(o));
    fh_object_set_version(o, r->version);
    fh_object_set_sealed(o, true);
    fh_object_set_kept(o, true);
    fh_objects_resize(&z->objects, o, r->size);
    __builtin_memcpy(fh_durable_file(z->durable, run)->shelf.sums + run->place, r->sums,
                     r->sum_count * sizeof(uint32_t));
    z->durable->objects++;
    z->durable->bytes += r->size;
    l->version = fh_max_u64(l->version, r->version);
    return 0;
}

static int load_record(struct load *l, const struct fh_catalog_record *r)
{
    struct fh_zone *z = l->zone;
    uint64_t pages = fh_max_u64(fh_pages_for(r->size), 1);
    struct fh_durable_run run;
    struct fh_object o;
    int rc;

    if (!fh_durable_run_of_id(z->durable, r->id, &run) || run.file != r->file ||
        run.place != r->place || r->tenant > UINT16_MAX || r->size > FH_DURABLE_SIZE_MAX ||
        r->version == 0 || r->version > FH_OBJECT_VERSION_MAX)
        return -EINVAL;
    if (r->expires_ms != 0 && r->expires_ms <= z->opts.wall_ms)
        return load_note_gone(l, r->id);
    if ((rc = fh_zone_take_record(z, r->tenant, &o)) != 0)
        return rc;
    struct fh_shelf *shelf = &fh_durable_file(z->durable, &run)->shelf;
    if ((rc = fh_shelf_take_at(shelf, run.place, pages, (uint32_t)o.id)) != 0)
        goto out_record;
    if ((rc = load_object(l, &o, &run, r)) != 0)
        goto out_run;
    return 0;

out_run:
    fh_shelf_give(shelf, run.place);
out_record:
    fh_objects_give(&z->objects, &o);
    return rc;
}

static int load_visit(void *ctx, const struct fh_catalog_record *r)
{
    struct load *l = ctx;
    int rc = load_record(l, r);

    l->bad += rc == -EINVAL || rc == -EEXIST;
    return rc == -EINVAL || rc == -EEXIST ? 0 : rc;
}

static int durables_load(struct fh_zone *z)
{
    struct load l = {.zone = z};
    uint64_t bad = 0;
    int rc = fh_catalog_load(z->durable->catalog, load_visit, &l, &bad);

    z->durable->bad_records = bad + l.bad;
    z->version = fh_max_u64(z->version, l.version);
    if (rc == 0)
        rc = fh_durable_clean(z->durable);
    if (rc == 0)
        rc = fh_catalog_start(z->durable->catalog);
    for (uint64_t i = 0; rc == 0 && i < l.gone_count; i++)
        fh_zone_forget_id(z, l.gone[i]);
    fh_mem_give(&z->mem, l.gone, l.gone_room * sizeof(*l.gone));
    return rc;
}

static int durables_attach(struct fh_zone *z)
{
    struct fh_heap_block block;
    int rc = 0;

    for (uint32_t i = 0; i < FH_DATA_FILES && rc == 0; i++)
        if ((rc = fh_heap_alloc_pages(&z->heap, z->durable->opts.pages, FH_OBJECT_NONE, &block)) ==
            0)
            rc = fh_durable_attach(z->durable, &z->pager.backing, i, fh_page_of_addr(block.addr));
    return rc;
}

int fh_zone_durables_init(struct fh_zone *z)
{
    int rc;

    if (!z->opts.data_dir)
        return 0;
    z->durable = fh_mem_take(&z->mem, sizeof(*z->durable));
    if (!z->durable)
        return -ENOMEM;
    if ((rc = fh_durable_open(z->durable,
                              &(struct fh_durable_opts){.mem = &z->mem,
                                                        .folder = z->opts.data_dir,
                                                        .zone = z->opts.index,
                                                        .zones = z->opts.zones,
                                                        .pages = z->opts.data_pages})) != 0) {
        fh_mem_give(&z->mem, z->durable, sizeof(*z->durable));
        z->durable = NULL;
        return rc;
    }
    if ((rc = durables_attach(z)) != 0 || (rc = durables_load(z)) != 0)
        fh_zone_durables_fini(z);
    return rc;
}

void fh_zone_durables_fini(struct fh_zone *z)
{
    if (!z->durable)
        return;
    fh_durable_close(z->durable); /* the catalog's thread has ended */
    fh_zone_commits_fini(z);
    fh_mem_give(&z->mem, z->durable, sizeof(*z->durable));
    z->durable = NULL;
}

/* --- objects --- */

int fh_zone_make_durable(struct fh_zone *z, uint32_t tenant, uint64_t size, struct fh_object *out)
{
    struct fh_heap_block block;
    struct fh_object o;
    int rc;

    if (size > FH_DURABLE_SIZE_MAX)
        return -EFBIG;
    if ((rc = fh_zone_take_record(z, tenant, &o)) != 0)
        return rc;
    uint64_t pages = fh_max_u64(fh_pages_for(size), 1);
    if ((rc = fh_zone_take_pages(z, pages, (uint32_t)o.id, true, &block)) != 0) {
        fh_objects_give(&z->objects, &o);
        return rc;
    }
    fh_zone_place(z, &o, &block, size);
    *out = o;
    return 0;
}

int fh_zone_alloc_durable(struct fh_zone *z, uint32_t tenant, uint64_t size, uint64_t ttl_ms,
                          struct fh_object_view *out)
{
    struct fh_object o;
    int rc = fh_zone_make_durable(z, tenant, size, &o);

    return rc != 0 ? rc : fh_zone_hand_out(z, &o, ttl_ms, out);
}

int fh_zone_sync_object(struct fh_zone *z, struct fh_call *call, struct fh_hold *hold,
                        const struct fh_object *o, struct fh_page *cursor)
{
    struct fh_page first = fh_page_of_addr(o->addr);
    struct fh_file *file = fh_zone_file_of(z, o);

    FH_ASSERT(file != NULL);
    if (cursor->v < first.v)
        *cursor = first;
    return fh_pager_sync(&z->pager, call, hold, file, cursor,
                         fh_page_add(first, fh_pages_for(fh_object_size(o))));
}

/* --- changes that may have to be committed --- */

static int change_remove(struct fh_change *c, const struct fh_object *o)
{
    struct fh_zone *z = c->zone;

    if (fh_object_is_coming(o) || fh_object_is_going(o))
        return fh_zone_wait_for_commit(z, &c->call, &c->hold);
    if (fh_object_is_kept(o))
        return fh_zone_commit_removal(z, &c->call, &c->hold, o);
    fh_zone_drop(z, o);
    return 0;
}

static int change_free(struct fh_change *c)
{
    struct fh_object o;
    int rc = fh_zone_resolve(c->zone, &c->ref, &o);

    return rc == 0 ? change_remove(c, &o) : rc;
}

static int change_delete(struct fh_change *c)
{
    struct fh_object o;
    int rc = fh_zone_may_delete(c->zone, c->ref.tenant, c->name, c->name_size, &c->cond, &o);

    if (rc == -EAGAIN)
        return fh_zone_wait_for_commit(c->zone, &c->call, &c->hold);
    return rc == 0 ? change_remove(c, &o) : rc;
}

static int change_publish(struct fh_change *c)
{
    struct fh_zone *z = c->zone;
    struct fh_naming n = {
        .name = c->name, .name_size = c->name_size, .ttl_ms = c->ttl_ms, .out = &c->object};
    struct fh_object o;
    int rc;

    if ((rc = fh_zone_resolve(z, &c->ref, &o)) != 0)
        return rc;
    n.id = o.id;
    bool durable = fh_zone_is_durable(z, &o);
    if (fh_zone_name(z, &o).size > 0)
        return -ECANCELED;
    if (c->durable && !durable)
        return -EINVAL;
    if (!durable && fh_zone_file_of(z, &o))
        return -EOPNOTSUPP;
    struct fh_name name = fh_zone_make_name(z, c->ref.tenant, c->name, c->name_size);
    rc = fh_zone_may_name(z, &name, &c->cond, &n.before);
    if (rc == -EAGAIN)
        return fh_zone_wait_for_commit(z, &c->call, &c->hold);
    if (rc != 0)
        return rc;
    if (!durable && !fh_zone_needs_commit(z, n.before)) {
        rc = fh_zone_give_name(z, &o, &name, n.before, n.ttl_ms);
        if (rc != 0)
            return rc;
        fh_zone_bump(z, &o);
        fh_zone_describe(z, &o, &c->object);
        return 0;
    }
    fh_object_set_sealed(&o, true); /* from here on its bytes stay */
    c->sealed = true;
    if (durable && (rc = fh_zone_sync_object(z, &c->call, &c->hold, &o, &c->cursor)) != 0)
        return rc;
    rc = fh_zone_commit_name(z, &c->call, &c->hold, &n);
    if (rc == -EINPROGRESS)
        c->sealed = false; /* the commit sees to it */
    return rc;
}

/* A publish that came to nothing leaves the object as it was. */
static void change_unseal(struct fh_change *c)
{
    struct fh_object o;

    if (c->sealed && fh_zone_resolve(c->zone, &c->ref, &o) == 0)
        fh_object_set_sealed(&o, false);
    c->sealed = false;
}

static int change_step(struct fh_call *call)
{
    struct fh_change *c = FH_CONTAINER_OF(call, struct fh_change, call);
    int rc = fh_hold_is_bound(&c->hold) ? c->hold.error : 0;

    fh_pager_release(&c->zone->pager, &c->hold);
    if (rc == 0)
        rc = c->kind == FH_CHANGE_FREE     ? change_free(c)
             : c->kind == FH_CHANGE_DELETE ? change_delete(c)
                                           : change_publish(c);
    if (rc != 0 && rc != -EINPROGRESS)
        change_unseal(c);
    return rc;
}

int fh_zone_change(struct fh_zone *z, struct fh_change *c)
{
    c->zone = z;
    c->sealed = false;
    c->cursor.v = 0;
    fh_hold_init(&c->hold);
    fh_call_init(&c->call, change_step);
    return change_step(&c->call);
}

void fh_zone_change_cancel(struct fh_change *c)
{
    fh_zone_leave_commit(c->zone, &c->call);
    change_unseal(c);
}
