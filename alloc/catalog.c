/*
 * Theory.  LMDB is a B+tree in one file that never overwrites a page in use. A commit writes the new
 * pages, syncs, then writes one of two meta pages, synced: the newer good meta page is the state. So
 * there is nothing to recover at start, a failed commit leaves the former state, and no later commit
 * needs pages of a failed one, which makes going on after a failed fdatasync safe.
 *
 * Only when the write of the meta page fails it is unknown which of the two states is on disk. LMDB
 * puts the old one back as well as it can and then refuses to work; so does the catalog. The next
 * start takes what it finds, and either is right: nothing of that commit was acknowledged, and what
 * it named was not touched since.
 *
 *   "meta"      "layout" -> layout, zone, zones
 *   "objects"   id, big endian -> sum | version size expires place file tenant | name | page sums
 *
 *   zone thread: submit -> waiting -> [thread: one transaction for all] -> finished -> reap: done
 *
 * Ids and not names are the keys: LMDB's keys end at 511 bytes, and the zone has its own directory.
 * The library trusts the structure of its file; the records in it are checked here as hostile.
 *
 * Invariants
 *   [I1] in_flight equals waiting + in the thread's hands + finished
 *   [I2] the eventfd is readable if and only if `finished` is not empty; both change together, under
 *        the lock
 *   [I3] the environment is the thread's alone from start to close
 *   [I4] broken is set before the first change that failed for it is told, and never taken back
 * Source: H. Chu, MDB: A Memory-Mapped Database and Backend for OpenLDAP, LDAPCon 2011.
 */
#include "catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "crc.h"
#include "ids.h"

enum { SIZE_MAX_DEFAULT_SHIFT = 37 };

/* On disk, little endian as all machines we run on. */
struct disk_layout {
    uint32_t layout, zone, zones, spare;
};
struct disk_record {
    uint32_t crc; /* of all that follows, name and sums included, and of the id */
    uint32_t name_size;
    uint64_t version, size, expires_ms, place;
    uint32_t file, tenant;
};
_Static_assert(sizeof(struct disk_record) == 48, "no padding on disk");

struct fh_catalog {
    MDB_env *env;
    MDB_dbi objects;
    uint32_t in_flight; /* the zone thread's */
    int event_fd;
    bool started;
    atomic_bool broken; /* set by the thread [I4] */
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t work;
    struct fh_list waiting, finished;
    bool stop;
    struct fh_catalog_stats stats;
};

/* What an error of the library is to us. */
static int errno_of(int rc)
{
    switch (rc) {
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return -ENOSPC;
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
        return -EBADMSG;
    case MDB_VERSION_MISMATCH:
        return -EPROTO;
    default:
        return rc > 0 ? -rc : -EIO;
    }
}

/* --- records --- */

static uint32_t record_crc(uint64_t id, const uint8_t *bytes, size_t size)
{
    return fh_crc32c(fh_crc32c(0, &id, sizeof(id)), bytes + sizeof(uint32_t),
                     size - sizeof(uint32_t));
}

static size_t record_bytes(const struct fh_catalog_record *r)
{
    return sizeof(struct disk_record) + r->name_size + (size_t)r->sum_count * sizeof(uint32_t);
}

size_t fh_catalog_pack(const struct fh_catalog_record *r, void *out, size_t room)
{
    size_t size = record_bytes(r);
    uint8_t *at = out;
    struct disk_record d = {.name_size = r->name_size,
                            .version = r->version,
                            .size = r->size,
                            .expires_ms = r->expires_ms,
                            .place = r->place,
                            .file = r->file,
                            .tenant = r->tenant};

    if (size > room)
        return 0;
    memcpy(at, &d, sizeof(d));
    memcpy(at + sizeof(d), r->name, r->name_size);
    if (r->sum_count > 0)
        memcpy(at + sizeof(d) + r->name_size, r->sums, r->sum_count * sizeof(uint32_t));
    d.crc = record_crc(r->id, at, size);
    memcpy(at, &d.crc, sizeof(d.crc));
    return size;
}

int fh_catalog_unpack(uint64_t id, const void *bytes, size_t size, struct fh_catalog_record *out)
{
    const uint8_t *at = bytes;
    struct disk_record d;

    if (id == 0 || size < sizeof(d))
        return -EBADMSG;
    memcpy(&d, at, sizeof(d));
    if (d.name_size == 0 || d.name_size > FH_CATALOG_NAME_MAX || d.size > FH_OBJECT_SIZE_MAX ||
        d.file >= FH_CATALOG_FILES)
        return -EBADMSG;
    uint64_t pages = fh_pages_for(d.size);
    if (size != sizeof(d) + d.name_size + pages * sizeof(uint32_t) ||
        d.crc != record_crc(id, at, size))
        return -EBADMSG;
    *out = (struct fh_catalog_record){.id = id,
                                      .version = d.version,
                                      .size = d.size,
                                      .expires_ms = d.expires_ms,
                                      .place = d.place,
                                      .file = d.file,
                                      .tenant = d.tenant,
                                      .name = at + sizeof(d),
                                      .name_size = d.name_size,
                                      .sum_count = (uint32_t)pages,
                                      .sums = at + sizeof(d) + d.name_size};
    return 0;
}

/* --- open --- */

/* Makes the layout's entry in a new environment, or compares it. */
static int catalog_check_layout(MDB_txn *txn, const struct fh_catalog_opts *o)
{
    struct disk_layout mine = {FH_CATALOG_LAYOUT, o->zone, o->zones, 0}, theirs;
    MDB_val key = {.mv_size = 6, .mv_data = (void *)(uintptr_t) "layout"}, value;
    MDB_dbi meta;
    int rc;

    if ((rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &meta)) != 0)
        return errno_of(rc);
    rc = mdb_get(txn, meta, &key, &value);
    if (rc == MDB_NOTFOUND) {
        value = (MDB_val){.mv_size = sizeof(mine), .mv_data = &mine};
        rc = mdb_put(txn, meta, &key, &value, 0);
        return rc == 0 ? 0 : errno_of(rc);
    }
    if (rc != 0)
        return errno_of(rc);
    if (value.mv_size != sizeof(theirs))
        return -EPROTO;
    memcpy(&theirs, value.mv_data, sizeof(theirs));
    if (theirs.layout != mine.layout)
        return -EPROTO;
    return theirs.zone == mine.zone && theirs.zones == mine.zones ? 0 : -EXDEV;
}

static int catalog_open_databases(struct fh_catalog *c, const struct fh_catalog_opts *o)
{
    MDB_txn *txn;
    int rc;

    if ((rc = mdb_txn_begin(c->env, NULL, 0, &txn)) != 0)
        return errno_of(rc);
    rc = catalog_check_layout(txn, o);
    if (rc == 0 && (rc = mdb_dbi_open(txn, "objects", MDB_CREATE, &c->objects)) != 0)
        rc = errno_of(rc);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 ? 0 : errno_of(rc);
}

/* One process has the file, by the lock on the data directory, and one thread at a time. */
static int catalog_open_env(struct fh_catalog *c, const struct fh_catalog_opts *o)
{
    size_t size = o->size_max ? o->size_max : (size_t)1 << SIZE_MAX_DEFAULT_SHIFT;
    int rc;

    if ((rc = mdb_env_create(&c->env)) != 0)
        return errno_of(rc);
    if ((rc = mdb_env_set_mapsize(c->env, size)) != 0 ||
        (rc = mdb_env_set_maxdbs(c->env, 2)) != 0 ||
        (rc = mdb_env_open(c->env, o->path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NOLOCK, 0600)) != 0)
        return errno_of(rc);
    return catalog_open_databases(c, o);
}

static void catalog_free(struct fh_catalog *c)
{
    if (c->env)
        mdb_env_close(c->env);
    if (c->event_fd >= 0)
        close(c->event_fd);
    pthread_cond_destroy(&c->work);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

int fh_catalog_open(const struct fh_catalog_opts *o, struct fh_catalog **out)
{
    struct fh_catalog *c = calloc(1, sizeof(*c));
    int rc;

    if (!c)
        return -ENOMEM;
    pthread_mutex_init(&c->lock, NULL); /* cannot fail with default attributes */
    pthread_cond_init(&c->work, NULL);
    fh_list_init(&c->waiting);
    fh_list_init(&c->finished);
    c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    rc = c->event_fd >= 0 ? catalog_open_env(c, o) : -errno;
    if (rc != 0) {
        catalog_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

/* --- load --- */

static uint64_t id_of_key(const MDB_val *key)
{
    uint64_t id;

    if (key->mv_size != sizeof(id))
        return 0;
    memcpy(&id, key->mv_data, sizeof(id));
    return __builtin_bswap64(id);
}

static int load_walk(MDB_cursor *cursor, int (*visit)(void *, const struct fh_catalog_record *),
                     void *ctx, uint64_t *bad)
{
    struct fh_catalog_record record;
    MDB_val key, value;
    int rc;

    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        if (fh_catalog_unpack(id_of_key(&key), value.mv_data, value.mv_size, &record) != 0)
            ++*bad;
        else if ((rc = visit(ctx, &record)) != 0)
            return rc;
    }
    return rc == MDB_NOTFOUND ? 0 : errno_of(rc);
}

int fh_catalog_load(struct fh_catalog *c, int (*visit)(void *, const struct fh_catalog_record *),
                    void *ctx, uint64_t *bad)
{
    MDB_cursor *cursor;
    MDB_txn *txn;
    int rc;

    FH_ASSERT(!c->started);
    *bad = 0;
    if ((rc = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &txn)) != 0)
        return errno_of(rc);
    if ((rc = mdb_cursor_open(txn, c->objects, &cursor)) != 0) {
        rc = errno_of(rc);
    } else {
        rc = load_walk(cursor, visit, ctx, bad);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rc;
}

/* --- commits, on the thread --- */

static int change_put(struct fh_catalog *c, MDB_txn *txn, const struct fh_catalog_record *r)
{
    uint64_t id = __builtin_bswap64(r->id);
    MDB_val key = {.mv_size = sizeof(id), .mv_data = &id};
    MDB_val value = {.mv_size = record_bytes(r)};
    int rc = mdb_put(txn, c->objects, &key, &value, MDB_RESERVE);

    if (rc != 0)
        return rc;
    size_t packed = fh_catalog_pack(r, value.mv_data, value.mv_size);
    FH_ASSERT(packed == value.mv_size);
    return 0;
}

static int change_remove(struct fh_catalog *c, MDB_txn *txn, uint64_t removes)
{
    uint64_t id = __builtin_bswap64(removes);
    MDB_val key = {.mv_size = sizeof(id), .mv_data = &id};
    int rc = mdb_del(txn, c->objects, &key, NULL);

    return rc == MDB_NOTFOUND ? 0 : rc;
}

static struct fh_catalog_change *change_of(struct fh_list *node)
{
    return FH_CONTAINER_OF(node, struct fh_catalog_change, link);
}

/* Whether anything of the group is for the catalog. */
static bool group_has_changes(struct fh_list *group)
{
    for (struct fh_list *n = group->next; n != group; n = n->next)
        if (change_of(n)->puts || change_of(n)->removes != 0)
            return true;
    return false;
}

/* What goes is gone for good, now that the catalog does not know it any more. */
static int change_punch(const struct fh_catalog_change *change)
{
    if (change->punch_bytes == 0)
        return 0;
    return fallocate(change->punch_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t)change->punch_at, (off_t)change->punch_bytes) == 0
               ? 0
               : -errno;
}

static int catalog_commit(struct fh_catalog *c, struct fh_list *group)
{
    MDB_txn *txn;

    if (atomic_load(&c->broken))
        return -EIO; /* for holes, too: what a change that failed names may be on disk */
    if (!group_has_changes(group))
        return 0;
    int rc = mdb_txn_begin(c->env, NULL, 0, &txn);

    if (rc != 0)
        return errno_of(rc);
    for (struct fh_list *n = group->next; n != group && rc == 0; n = n->next) {
        const struct fh_catalog_change *change = change_of(n);
        if (change->puts)
            rc = change_put(c, txn, &change->record);
        if (rc == 0 && change->removes != 0)
            rc = change_remove(c, txn, change->removes);
    }
    if (rc != 0)
        mdb_txn_abort(txn);
    else
        rc = mdb_txn_commit(txn);
    return rc == 0 ? 0 : errno_of(rc);
}

/* Whether the library does not work with its file any more. */
static bool catalog_gave_up(struct fh_catalog *c)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(c->env, NULL, 0, &txn);

    if (rc == 0)
        mdb_txn_abort(txn);
    return rc == MDB_PANIC;
}

static void group_run(struct fh_catalog *c, struct fh_list *group)
{
    int rc = catalog_commit(c, group);

    FH_ASSERT(!fh_list_is_empty(group));
    if (rc != 0 && catalog_gave_up(c))
        atomic_store(&c->broken, true);
    for (struct fh_list *n = group->next; n != group; n = n->next)
        change_of(n)->result = rc != 0 ? rc : change_punch(change_of(n));
}

/* With the lock held. [I2] */
static void group_finish(struct fh_catalog *c, struct fh_list *group)
{
    const uint64_t one = 1;
    struct fh_list *node;

    if (fh_list_is_empty(&c->finished))
        (void)!write(c->event_fd, &one, sizeof(one));
    c->stats.commits++;
    while ((node = fh_list_pop(group))) {
        c->stats.changes++;
        c->stats.failed += change_of(node)->result != 0;
        fh_list_push_back(&c->finished, node);
    }
}

static void *catalog_run(void *arg)
{
    struct fh_catalog *c = arg;
    struct fh_list group, *node;

    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (fh_list_is_empty(&c->waiting) && !c->stop)
            pthread_cond_wait(&c->work, &c->lock);
        if (fh_list_is_empty(&c->waiting))
            break;
        fh_list_init(&group);
        while ((node = fh_list_pop(&c->waiting)))
            fh_list_push_back(&group, node);
        pthread_mutex_unlock(&c->lock);
        group_run(c, &group);
        pthread_mutex_lock(&c->lock);
        group_finish(c, &group);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* --- the zone's thread --- */

int fh_catalog_start(struct fh_catalog *c)
{
    sigset_t all, before;

    FH_ASSERT(!c->started);
    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&c->thread, NULL, catalog_run, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    c->started = rc == 0;
    return -rc;
}

void fh_catalog_close(struct fh_catalog *c)
{
    if (!c)
        return;
    if (c->started) {
        pthread_mutex_lock(&c->lock);
        c->stop = true;
        pthread_cond_signal(&c->work);
        pthread_mutex_unlock(&c->lock);
        pthread_join(c->thread, NULL);
    }
    catalog_free(c);
}

void fh_catalog_submit(struct fh_catalog *c, struct fh_catalog_change *change)
{
    FH_ASSERT(change->done != NULL);
    FH_ASSERT(!change->puts || change->record.id != 0);
    FH_ASSERT(change->punch_bytes % FH_PAGE_SIZE == 0);
    c->in_flight++;
    pthread_mutex_lock(&c->lock);
    fh_list_push_back(&c->waiting, &change->link);
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->lock);
}

void fh_catalog_reap(struct fh_catalog *c)
{
    struct fh_list finished, *node;
    uint64_t events;

    if (c->in_flight == 0)
        return;
    fh_list_init(&finished);
    pthread_mutex_lock(&c->lock);
    if (!fh_list_is_empty(&c->finished))
        (void)!read(c->event_fd, &events, sizeof(events));
    while ((node = fh_list_pop(&c->finished)))
        fh_list_push_back(&finished, node);
    pthread_mutex_unlock(&c->lock);
    while ((node = fh_list_pop(&finished))) {
        FH_ASSERT(c->in_flight > 0); /* [I1] */
        c->in_flight--;
        change_of(node)->done(change_of(node));
    }
}

int fh_catalog_event_fd(const struct fh_catalog *c)
{
    return c->event_fd;
}

bool fh_catalog_is_broken(const struct fh_catalog *c)
{
    return atomic_load(&c->broken);
}

uint32_t fh_catalog_in_flight(const struct fh_catalog *c)
{
    return c->in_flight;
}

void fh_catalog_stats(const struct fh_catalog *c, struct fh_catalog_stats *out)
{
    struct fh_catalog *mine = (struct fh_catalog *)(uintptr_t)c;

    pthread_mutex_lock(&mine->lock);
    *out = c->stats;
    pthread_mutex_unlock(&mine->lock);
    out->broken = fh_catalog_is_broken(c);
}
