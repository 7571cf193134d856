/*
 * Theory.  A change of a durable object is made in the catalog first and in memory when that is
 * done: what is acknowledged is on the disk, and what is seen is what a restart would bring. While a
 * change is on its way, who is affected by it is marked: an object that gets its name is *coming*
 * and not there for others, one that is removed or loses its name is *going* and can still be read.
 * Whoever wants to change a name or object that is marked waits until a commit has ended, and looks
 * again.
 *
 *   name free    directory entry is made, coming ---ok--> there           ---failed--> entry removed
 *   name taken   new one coming, old one going   ---ok--> entry moves,    ---failed--> as before
 *                                                         old one dropped
 *   delete       going                           ---ok--> dropped         ---failed--> as before
 *
 * A commit belongs to the zone and not to its caller: who gives up waiting changes nothing about it.
 * All that may fail is done before it is submitted, so that memory follows the disk without fail.
 *
 * The pages of an object that the catalog has let go become free when no view reads them and nothing
 * is being written to them; a hole is made there first.
 *
 * Invariants
 *   [C1] a kept object is sealed, has a name and a run of pages; the catalog knows all three
 *   [C2] an object is coming or going if and only if a commit names it
 * A memory object's name that a durable object takes, or the other way round, goes the same way.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bits.h"
#include "zone_private.h"

enum commit_kind {
    COMMIT_NAME,   /* `id` gets the name, which `before` may have had */
    COMMIT_REMOVE, /* `before` goes, and somebody waits for it */
    COMMIT_FORGET, /* a run, whose object is gone already, leaves the catalog */
    COMMIT_FREE,   /* a run that nobody knows becomes free */
};

struct fh_commit {
    struct fh_catalog_change change;
    struct fh_list link; /* among the durable's commits */
    struct fh_zone *zone;
    enum commit_kind kind;
    struct fh_call *call; /* who waits; NULL: nobody, or not any more */
    struct fh_object_view *out;
    uint64_t id, before;    /* of objects; FH_OBJECT_NONE: nobody's */
    uint64_t ttl_before_ms; /* what `id` had before it got the name's */
    bool is_put;            /* `id` has no other use than this name */
    bool submitted;
    struct fh_durable_run run; /* of FORGET and FREE */
};

/* --- where durable objects lie --- */

static bool run_find(const struct fh_zone *z, struct fh_addr addr, struct fh_durable_run *run)
{
    return z->durable && fh_durable_find(z->durable, fh_page_of_addr(addr), run);
}

bool fh_zone_needs_commit(const struct fh_zone *z, uint64_t before)
{
    struct fh_object o = fh_objects_at(&z->objects, before); /* FH_OBJECT_NONE has a stand-in */

    return fh_object_is_kept(&o);
}

bool fh_zone_is_durable(const struct fh_zone *z, const struct fh_object *o)
{
    struct fh_durable_run run;

    return !o->small && run_find(z, o->addr, &run);
}

static struct fh_heap_block block_of(const struct fh_durable_run *run, uint32_t owner)
{
    return (struct fh_heap_block){.addr = fh_addr_of_page(run->first),
                                  .room_bytes = run->pages << FH_PAGE_SHIFT,
                                  .tag = owner};
}

static uint32_t run_owner(const struct fh_zone *z, const struct fh_durable_run *run)
{
    return fh_shelf_at(&fh_durable_file(z->durable, run)->shelf, run->place).owner;
}

int fh_zone_find_block(const struct fh_zone *z, struct fh_addr addr, struct fh_heap_block *out)
{
    struct fh_durable_run run;

    if (!run_find(z, addr, &run))
        return fh_heap_find(&z->heap, addr, out);
    if (run.pages == 0 || fh_addr_in_page(addr) != 0 || run_owner(z, &run) == FH_OWNER_LEAVING)
        return -EFAULT;
    *out = block_of(&run, run_owner(z, &run));
    return 0;
}

int fh_zone_take_pages(struct fh_zone *z, uint64_t pages, uint32_t tag, bool durable,
                       struct fh_heap_block *out)
{
    struct fh_durable_run run;
    int rc;

    if (!durable)
        return fh_heap_alloc_pages(&z->heap, pages, tag, out);
    if (!z->durable)
        return -EOPNOTSUPP;
    if ((rc = fh_durable_take(z->durable, pages, tag, &run)) == 0)
        *out = block_of(&run, tag);
    return rc;
}

/* --- commits --- */

static void commit_done(struct fh_catalog_change *);

static struct fh_commit *commit_make(struct fh_zone *z, enum commit_kind kind)
{
    struct fh_commit *c = fh_mem_take(&z->mem, sizeof(*c));

    if (!c)
        return NULL;
    c->zone = z;
    c->kind = kind;
    c->change.done = commit_done;
    fh_list_push_back(&z->durable->commits, &c->link);
    return c;
}

static void commit_give(struct fh_commit *c)
{
    fh_list_remove(&c->link);
    fh_mem_give(&c->zone->mem, c, sizeof(*c));
}

static void commit_submit(struct fh_commit *c)
{
    c->submitted = true;
    fh_catalog_submit(c->zone->durable->catalog, &c->change);
}

static int commit_park(struct fh_commit *c, struct fh_call *call, struct fh_hold *hold)
{
    c->call = call;
    fh_line_park_on_io(&c->zone->pager.line, call, hold);
    commit_submit(c);
    return -EINPROGRESS;
}

int fh_zone_wait_for_commit(struct fh_zone *z, struct fh_call *call, struct fh_hold *hold)
{
    fh_line_park_on_io(&z->pager.line, call, hold);
    fh_list_push_back(&z->durable->waiting, &call->link);
    return -EINPROGRESS;
}

/* What the catalog knows the object by. */
static uint64_t durable_id_of(const struct fh_zone *z, const struct fh_object *o)
{
    struct fh_durable_run run;
    bool found = run_find(z, o->addr, &run);

    FH_ASSERT(found);
    return fh_durable_id(&run);
}

static uint64_t wall_expiry(const struct fh_zone *z, uint64_t ttl_ms)
{
    return ttl_ms == 0 ? 0 : z->opts.wall_ms + (z->now_ms - z->start_ms) + ttl_ms;
}

static void commit_describe(struct fh_commit *c, const struct fh_object *o, uint64_t ttl_ms)
{
    struct fh_zone *z = c->zone;
    struct fh_name name = fh_zone_name(z, o);
    struct fh_durable_run run;
    bool found = run_find(z, o->addr, &run);

    FH_ASSERT(found);
    c->change.puts = true;
    c->change.record = (struct fh_catalog_record){
        .id = fh_durable_id(&run),
        .version = fh_object_version(o),
        .size = fh_object_size(o),
        .expires_ms = wall_expiry(z, ttl_ms),
        .place = run.place,
        .file = run.file,
        .tenant = fh_object_tenant(o),
        .name = name.bytes, /* stays where it is while the object has it */
        .name_size = name.size,
        .sum_count = (uint32_t)fh_pages_for(fh_object_size(o)),
        .sums = fh_durable_file(z->durable, &run)->shelf.sums + run.place,
    };
}

int fh_zone_commit_name(struct fh_zone *z, struct fh_call *call, struct fh_hold *hold,
                        const struct fh_naming *n)
{
    struct fh_object o = fh_objects_at(&z->objects, n->id);
    struct fh_object before = fh_objects_at(&z->objects, n->before);
    struct fh_name name = {
        .tenant = fh_object_tenant(&o), .size = (uint32_t)n->name_size, .bytes = n->name};
    struct fh_commit *c = commit_make(z, COMMIT_NAME);
    struct fh_object_view now;
    int rc;

    if (!c)
        return -ENOMEM;
    fh_zone_describe(z, &o, &now);
    if (n->before == FH_OBJECT_NONE && (rc = fh_directory_add(&z->directory, &name, n->id)) != 0)
        goto out_commit;
    if ((rc = fh_zone_set_extra(z, &o, n->name, n->name_size, n->ttl_ms)) != 0)
        goto out_name;
    fh_zone_bump(z, &o);
    fh_object_set_coming(&o, true);
    fh_object_set_sealed(&o, true);
    c->id = n->id;
    c->before = n->before;
    c->ttl_before_ms = now.ttl_ms;
    c->is_put = n->is_put;
    c->out = n->out;
    if (fh_zone_is_durable(z, &o))
        commit_describe(c, &o, n->ttl_ms);
    if (n->before != FH_OBJECT_NONE) {
        fh_object_set_going(&before, true);
        c->change.removes = fh_object_is_kept(&before) ? durable_id_of(z, &before) : 0;
    }
    return commit_park(c, call, hold);

out_name:
    if (n->before == FH_OBJECT_NONE)
        fh_directory_remove(&z->directory, &name, n->id);
out_commit:
    commit_give(c);
    return rc;
}

int fh_zone_commit_removal(struct fh_zone *z, struct fh_call *call, struct fh_hold *hold,
                           const struct fh_object *o)
{
    struct fh_commit *c = commit_make(z, COMMIT_REMOVE);

    if (!c)
        return -ENOMEM;
    c->before = o->id;
    c->change.removes = durable_id_of(z, o);
    fh_object_set_going(o, true);
    return commit_park(c, call, hold);
}

/* --- when a commit has ended --- */

static void object_is_kept(struct fh_zone *z, const struct fh_object *o, bool kept)
{
    if (fh_object_is_kept(o) == kept)
        return;
    fh_object_set_kept(o, kept);
    z->durable->objects += kept ? 1 : UINT64_MAX;
    z->durable->bytes += kept ? fh_object_size(o) : -fh_object_size(o);
}

/* The object that had the name, or was to be removed, is gone on disk. */
static void before_end(struct fh_zone *z, const struct fh_object *o)
{
    object_is_kept(z, o, false);
    fh_object_set_going(o, false);
    fh_zone_drop(z, o);
}

static void name_arrived(struct fh_commit *c)
{
    struct fh_zone *z = c->zone;
    struct fh_object o = fh_objects_at(&z->objects, c->id);

    fh_object_set_coming(&o, false);
    object_is_kept(z, &o, c->change.puts);
    if (c->before != FH_OBJECT_NONE) {
        struct fh_object before = fh_objects_at(&z->objects, c->before);
        struct fh_name name = fh_zone_name(z, &o);
        fh_directory_replace(&z->directory, &name, c->before, c->id);
        int rc = fh_zone_set_extra(z, &before, NULL, 0, 0); /* without a name it drops alone */
        FH_ASSERT(rc == 0);
        before_end(z, &before);
    }
    if (c->call && c->out)
        fh_zone_describe(z, &o, c->out);
}

/* Who was to lose its name, or its life, keeps it. */
static void before_stays(struct fh_commit *c)
{
    struct fh_object before = fh_objects_at(&c->zone->objects, c->before);

    fh_object_set_going(&before, false);
}

static void name_did_not_arrive(struct fh_commit *c)
{
    struct fh_zone *z = c->zone;
    struct fh_object o = fh_objects_at(&z->objects, c->id);
    struct fh_name name = fh_zone_name(z, &o);

    if (c->before == FH_OBJECT_NONE)
        fh_directory_remove(&z->directory, &name, c->id);
    else
        before_stays(c);
    fh_object_set_coming(&o, false);
    fh_object_set_sealed(&o, false);
    if (fh_zone_set_extra(z, &o, NULL, 0, c->ttl_before_ms) != 0) {
        int rc = fh_zone_set_extra(z, &o, NULL, 0, 0); /* no memory for an expiry */
        FH_ASSERT(rc == 0);
    }
    if (c->is_put)
        fh_zone_drop(z, &o);
}

/* The object is gone on disk: now here too. */
static void removal_arrived(struct fh_commit *c)
{
    struct fh_object before = fh_objects_at(&c->zone->objects, c->before);

    before_end(c->zone, &before);
}

static void run_free_if_unused(struct fh_zone *z, const struct fh_durable_run *run);

/* The catalog does not know the run any more, whose object was gone before. */
static void run_forgotten(struct fh_commit *c, int rc)
{
    if (c->run.pages == 0)
        return; /* nothing of it was in memory */
    if (rc != 0) {
        c->zone->durable->stuck_pages += c->run.pages;
        return;
    }
    fh_shelf_pass(&fh_durable_file(c->zone->durable, &c->run)->shelf, c->run.place, FH_OBJECT_NONE);
    run_free_if_unused(c->zone, &c->run);
}

static void run_freed(struct fh_commit *c, int rc)
{
    if (rc != 0)
        c->zone->durable->stuck_pages += c->run.pages;
    else
        fh_shelf_give(&fh_durable_file(c->zone->durable, &c->run)->shelf, c->run.place);
}

/* Those who waited look again; who made the commit is told. */
static void commit_wake(struct fh_zone *z, struct fh_call *call, int rc)
{
    struct fh_list *node;

    if (call) {
        call->is_decided = true;
        call->rc = rc;
        fh_line_make_ready(&z->pager.line, call);
    }
    while ((node = fh_list_first(&z->durable->waiting)) != NULL)
        fh_line_make_ready(&z->pager.line, FH_CONTAINER_OF(node, struct fh_call, link));
}

static void commit_done(struct fh_catalog_change *change)
{
    struct fh_commit *c = FH_CONTAINER_OF(change, struct fh_commit, change);
    struct fh_zone *z = c->zone;
    int rc = change->result;

    z->durable->commits_failed += rc != 0;
    switch (c->kind) {
    case COMMIT_NAME:
        if (rc == 0)
            name_arrived(c);
        else
            name_did_not_arrive(c);
        break;
    case COMMIT_REMOVE:
        if (rc == 0)
            removal_arrived(c);
        else
            before_stays(c);
        break;
    case COMMIT_FORGET:
        run_forgotten(c, rc);
        break;
    case COMMIT_FREE:
        run_freed(c, rc);
        break;
    }
    commit_wake(z, c->call, rc);
    commit_give(c);
}

void fh_zone_leave_commit(struct fh_zone *z, struct fh_call *call)
{
    for (struct fh_list *n = z->durable ? z->durable->commits.next : NULL;
         n && n != &z->durable->commits; n = n->next) {
        struct fh_commit *c = FH_CONTAINER_OF(n, struct fh_commit, link);
        if (c->call == call)
            c->call = NULL;
    }
    fh_pager_cancel(&z->pager, call);
}

/* --- runs that become free --- */

static bool run_is_used(const struct fh_zone *z, const struct fh_durable_run *run)
{
    const struct fh_file *f = z->durable->files[run->file].file;

    return fh_rings_mirror(&z->pager.rings, run->first, run->pages) ||
           fh_file_is_in_use(f, run->place, run->pages);
}

static void free_submit(struct fh_commit *c)
{
    const struct fh_file *f = c->zone->durable->files[c->run.file].file;

    c->change.punch_fd = f->fd;
    c->change.punch_at = c->run.place << FH_PAGE_SHIFT;
    c->change.punch_bytes = c->run.pages << FH_PAGE_SHIFT;
    commit_submit(c);
}

/* Nobody names the run: as soon as nothing touches it either, it is made free. */
static void run_free_if_unused(struct fh_zone *z, const struct fh_durable_run *run)
{
    if (fh_rings_mirror(&z->pager.rings, run->first, run->pages))
        return; /* the last view comes here again */
    fh_pager_discard(&z->pager, run->first, run->pages);
    fh_pagetable_trim(&z->pager.table, run->first, run->pages);
    struct fh_commit *c = commit_make(z, COMMIT_FREE);
    if (!c) {
        z->durable->stuck_pages += run->pages;
        return;
    }
    c->run = *run;
    fh_shelf_pass(&fh_durable_file(z->durable, run)->shelf, run->place, FH_OWNER_LEAVING);
    if (!run_is_used(z, run))
        free_submit(c);
}

bool fh_zone_give_durable(struct fh_zone *z, struct fh_addr addr)
{
    struct fh_durable_run run;

    if (!run_find(z, addr, &run))
        return false;
    if (fh_rings_mirror(&z->pager.rings, run.first, run.pages))
        fh_rings_orphan(&z->pager.rings, run.first, run.pages);
    if (run_owner(z, &run) == FH_OWNER_LEAVING)
        return true; /* a view of it has ended, and the catalog knows it still */
    fh_shelf_pass(&fh_durable_file(z->durable, &run)->shelf, run.place, FH_OBJECT_NONE);
    run_free_if_unused(z, &run);
    return true;
}

bool fh_zone_view_left(void *ctx, struct fh_page origin)
{
    struct fh_zone *z = ctx;
    struct fh_durable_run run;

    if (!run_find(z, fh_addr_of_page(origin), &run))
        return false;
    fh_durable_find_inner(z->durable, origin, &run);
    if (!fh_rings_mirror(&z->pager.rings, run.first, run.pages))
        (void)fh_zone_give_durable(z, fh_addr_of_page(run.first));
    return true;
}

void fh_zone_forget_durable(struct fh_zone *z, const struct fh_object *o)
{
    struct fh_durable_run run;

    if (!fh_object_is_kept(o))
        return;
    object_is_kept(z, o, false);
    bool found = run_find(z, o->addr, &run);
    FH_ASSERT(found);
    fh_shelf_pass(&fh_durable_file(z->durable, &run)->shelf, run.place, FH_OWNER_LEAVING);
    struct fh_commit *c = commit_make(z, COMMIT_FORGET);
    if (!c) { /* it has expired: after a restart it is not served either */
        z->durable->stuck_pages += run.pages;
        return;
    }
    c->run = run;
    c->change.removes = fh_durable_id(&run);
    commit_submit(c);
}

void fh_zone_forget_id(struct fh_zone *z, uint64_t id)
{
    struct fh_commit *c = commit_make(z, COMMIT_FORGET);

    if (!c)
        return; /* at the next start, then */
    c->change.removes = id;
    commit_submit(c);
}

void fh_zone_commits_turn(struct fh_zone *z)
{
    struct fh_list *node, *next;

    if (!z->durable)
        return;
    fh_catalog_reap(z->durable->catalog);
    for (node = z->durable->commits.next; node != &z->durable->commits; node = next) {
        struct fh_commit *c = FH_CONTAINER_OF(node, struct fh_commit, link);
        next = node->next;
        if (!c->submitted && !run_is_used(z, &c->run))
            free_submit(c);
    }
}

static void check_object_marks(const struct fh_zone *z, const struct fh_object *o,
                               struct fh_report *r)
{
    uint32_t coming = 0, going = 0;

    if (fh_object_is_kept(o) &&
        (!fh_object_is_sealed(o) || fh_zone_name(z, o).size == 0 || !fh_zone_is_durable(z, o)))
        fh_report(r, "[C1] object %" PRIx64 " is kept, but not sealed, named and in a data file",
                  o->id);
    for (const struct fh_list *l = z->durable->commits.next; l != &z->durable->commits;
         l = l->next) {
        const struct fh_commit *c =
            (const struct fh_commit *)(const void *)((const char *)l -
                                                     offsetof(struct fh_commit, link));
        coming += c->id == o->id;
        going += c->before == o->id;
    }
    if (coming != fh_object_is_coming(o) || going != fh_object_is_going(o))
        fh_report(r, "[C2] object %" PRIx64 ": %u and %u commits, marked %u and %u", o->id, coming,
                  going, (unsigned)fh_object_is_coming(o), (unsigned)fh_object_is_going(o));
}

bool fh_zone_commits_check(const struct fh_zone *z, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint64_t at = 0, looks = UINT64_MAX;
    struct fh_object o;

    if (!z->durable)
        return true;
    bool good = fh_durable_check(z->durable, why);
    while (fh_objects_next(&z->objects, &at, &looks, &o))
        check_object_marks(z, &o, &r);
    return good && r.broken == 0;
}

void fh_zone_commits_fini(struct fh_zone *z)
{
    struct fh_list *node;

    while ((node = fh_list_first(&z->durable->commits)) != NULL)
        commit_give(FH_CONTAINER_OF(node, struct fh_commit, link));
}
