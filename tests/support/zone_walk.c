#include "tests/support/zone_walk.h"

#include <errno.h>
#include <string.h>

#include "alloc/bits.h"

#define WRONG(w, ...)                                                                              \
    do {                                                                                           \
        if ((w)->wrong[0] == 0)                                                                    \
            snprintf((w)->wrong, sizeof((w)->wrong), __VA_ARGS__);                                 \
    } while (0)

static void random_bytes(void *ctx, void *buf, size_t size)
{
    struct rng *r = ctx;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)buf)[i] = (uint8_t)rng_next(r);
}

size_t zone_walk_name(uint32_t i, char name[16])
{
    return (size_t)snprintf(name, 16, "name/%u", i);
}

void zone_walk_init(struct zone_walk *w, uint64_t seed, const struct walk_opts *o)
{
    *w = (struct zone_walk){.random = {seed},
                            .now_ms = 1000,
                            .frames_max = o->frames_max,
                            .files = o->files,
                            .faults = o->faults};
    w->disk = fh_fake_disk_create(seed);
    w->disk->delay_max = o->disk_delay_max;
    w->disk->reorder = true;
    if (o->faults) {
        w->disk->permille[FH_DISK_EIO] = 20;
        w->disk->permille[FH_DISK_SHORT] = 10;
    }
    int rc = fh_zone_init(&w->zone,
                          &(struct fh_zone_opts){.memory_bytes = o->frames * FH_PAGE_SIZE,
                                                 .memory_max_bytes = o->frames_max * FH_PAGE_SIZE,
                                                 .chunk_order = o->chunk_order,
                                                 .region = o->region,
                                                 .source = o->source,
                                                 .swap_bytes = o->slots * FH_PAGE_SIZE,
                                                 .swap_dir = "/var/tmp",
                                                 .io = &w->disk->io,
                                                 .random = random_bytes,
                                                 .random_ctx = &w->random,
                                                 .hold_max = o->hold_max,
                                                 .readahead_max = 8},
                          w->now_ms);
    if (rc != 0)
        WRONG(w, "init: %d", rc);
    w->zone.graves.slice = w->zone.graves.left = 5; /* so that most blocks are freed over turns */
    for (uint32_t i = 0; i < WALK_CALLS; i++)
        w->calls[i].walk = w;
}

/* --- the model --- */

static void object_forget(struct walk_object *o, uint32_t keep)
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
static void file_note(struct walk_file *f, const uint8_t *bytes)
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
static void file_check(struct zone_walk *w, const struct walk_object *o)
{
    const struct walk_file *f = &o->file;

    if (w->disk->permille[FH_DISK_SHORT] > 0)
        return;
    for (uint32_t p = 0; p < fh_pages_for(f->disk->size); p++)
        if (!file_has_been(f, p, page_hash(f->disk->bytes, f->disk->size, p)) ||
            !file_has_been(f, p, page_hash(f->disk->safe, f->disk->size, p)))
            WRONG(w, "page %u of a file is neither old nor new", p);
}

static void file_forget(struct walk_file *f, uint32_t before)
{
    f->count -= before;
    for (uint32_t p = 0; p < WALK_FILE_PAGES && f->was[p]; p++)
        memmove(f->was[p], f->was[p] + before, f->count * sizeof(*f->was[p]));
}

static void file_free(struct walk_file *f)
{
    for (uint32_t p = 0; p < WALK_FILE_PAGES; p++)
        free(f->was[p]);
}

/* A new version, a copy of the last one cut or grown with zeros, or initial bytes, to `size`. */
static uint8_t *object_version(struct walk_object *o, uint64_t size)
{
    uint8_t *bytes = calloc(1, size + 1);

    if (o->cache)
        memcpy(bytes, o->cache->initial, size);
    if (o->count > 0)
        memcpy(bytes, o->versions[o->count - 1], fh_min_u64(size, o->size));
    if (o->readers == 0 && o->count > 0)
        object_forget(o, 0);
    o->versions[o->count] = bytes;
    o->sizes[o->count++] = size;
    o->size = size;
    return bytes;
}

static void object_is(struct walk_object *o, const struct fh_object_view *view)
{
    o->ref = view->ref;
    o->ref.stream = 1 + o->ref.addr.v % 3; /* some who read in order, a page or a few at a time */
    o->version = view->version;
}

/* What a mutation made is what the file may get. */
static void object_note(struct walk_object *o)
{
    if (o->of_file)
        file_note(&o->file, o->versions[o->count - 1]);
}

static void object_die(struct walk_object *o)
{
    o->of_file = false;
    o->live = false;
    o->named = false;
    o->cache = NULL;
    if (o->readers == 0)
        object_forget(o, 0);
}

/* Errors that the walk provokes: full memory, a failing disk, objects longer than such a zone's
 * requests. */
static bool is_excused(struct zone_walk *w, int rc)
{
    if (rc == -EFBIG && w->zone.opts.hold_max < 12)
        return true; /* a small object may lie on more pages than that */
    w->refused_space += rc == -ENOSPC;
    w->refused_io += rc == -EIO;
    return rc == -ENOSPC || (rc == -EIO && w->disk->permille[FH_DISK_EIO] > 0);
}

/* --- ends of calls --- */

static void call_over(struct walk_call *c)
{
    free(c->bytes);
    c->bytes = NULL;
    c->kind = WALK_IDLE;
}

static void mutation_apply(struct walk_call *c, struct walk_object *o)
{
    const struct fh_mutation *m = &c->u.mutation;
    uint64_t word = 0;
    uint8_t *bytes = object_version(o, m->kind == FH_MUTATE_RESIZE ? m->size : o->size);

    switch (m->kind) {
    case FH_MUTATE_WRITE:
        memcpy(bytes + c->offset, c->bytes, c->size);
        break;
    case FH_MUTATE_ZERO:
        memset(bytes + c->offset, 0, c->size);
        break;
    case FH_MUTATE_ADD:
    case FH_MUTATE_SWAP:
        memcpy(&word, bytes + c->offset, sizeof(word));
        if (word != m->before)
            WRONG(c->walk, "object %u: a word was %llx, answered %llx", c->object,
                  (unsigned long long)word, (unsigned long long)m->before);
        if (m->kind == FH_MUTATE_SWAP && m->swapped != (word == m->expected))
            WRONG(c->walk, "object %u: a swap is wrong about itself", c->object);
        if (m->kind == FH_MUTATE_ADD || m->swapped)
            word = m->kind == FH_MUTATE_ADD ? word + m->operand : m->operand;
        memcpy(bytes + c->offset, &word, sizeof(word));
        break;
    case FH_MUTATE_RESIZE:
        break;
    }
    object_is(o, &m->object);
    object_note(o);
}

/* An object longer than those of its cache is refused. */
static bool mutation_leaves_cache(const struct walk_call *c, const struct walk_object *o, int rc)
{
    return rc == -EINVAL && c->u.mutation.kind == FH_MUTATE_RESIZE && o->cache &&
           c->u.mutation.size > o->cache->object_size;
}

static bool mutation_resizes_file(const struct walk_call *c, const struct walk_object *o, int rc)
{
    return rc == -EOPNOTSUPP && c->u.mutation.kind == FH_MUTATE_RESIZE && o->of_file;
}

static void mutation_end(struct walk_call *c, int rc)
{
    struct walk_object *o = &c->walk->objects[c->object];

    o->busy = false;
    if (rc == 0)
        mutation_apply(c, o);
    else if (!is_excused(c->walk, rc) && !mutation_leaves_cache(c, o, rc) &&
             !mutation_resizes_file(c, o, rc))
        WRONG(c->walk, "mutation %d of object %u: %d", c->u.mutation.kind, c->object, rc);
    call_over(c);
}

static bool read_is_a_version(const struct walk_call *c, const struct walk_object *o)
{
    for (uint32_t i = c->first_version; i < o->count; i++)
        if (c->offset + c->size <= o->sizes[i] &&
            memcmp(o->versions[i] + c->offset, c->bytes, c->size) == 0)
            return true;
    return false;
}

static void read_end(struct walk_call *c, int rc)
{
    struct walk_object *o = &c->walk->objects[c->object];

    if (rc == 0 && !read_is_a_version(c, o))
        WRONG(c->walk, "object %u: a read of %llu at %llu is no version of it (%u to %u)",
              c->object, (unsigned long long)c->size, (unsigned long long)c->offset,
              c->first_version, o->count);
    if (rc != 0 && rc != -ESTALE && rc != -EINVAL && !is_excused(c->walk, rc))
        WRONG(c->walk, "read of object %u: %d", c->object, rc);
    if (--o->readers == 0)
        object_forget(o, o->live ? 1 : 0);
    call_over(c);
}

/* Takes windows until one must wait. */
static void read_go_on(struct walk_call *c, int rc)
{
    struct fh_reader *r = &c->u.reader;

    while (rc == 0 && r->iov_count > 0) {
        uint64_t part =
            r->is_view ? rng_between(&c->walk->random, 1, r->window_bytes) : r->window_bytes;
        uint64_t left = part;
        for (uint32_t i = 0; left > 0; i++) {
            uint64_t n = fh_min_u64(left, r->iov[i].iov_len);
            memcpy(c->bytes + c->moved, r->iov[i].iov_base, n);
            c->moved += n;
            left -= n;
        }
        fh_reader_release(r, part);
        rc = fh_reader_next(r);
    }
    if (rc == -EINPROGRESS)
        return;
    if (rc == 0 && c->moved != c->size)
        WRONG(c->walk, "a read ended after %llu of %llu bytes", (unsigned long long)c->moved,
              (unsigned long long)c->size);
    fh_reader_close(r);
    read_end(c, rc);
}

static void stage_end(struct walk_call *c, int rc)
{
    struct walk_object *o = &c->walk->objects[c->object];

    o->busy = false;
    if (rc == 0) {
        if (c->puts) {
            o->cache = NULL;
            object_version(o, c->size);
            o->live = true;
            o->named = true;
        } else {
            object_version(o, o->size);
        }
        memcpy(o->versions[o->count - 1] + c->offset, c->bytes, c->size);
        object_is(o, &c->u.stage.object);
        object_note(o);
    } else {
        fh_stage_abort(&c->u.stage);
        if (!is_excused(c->walk, rc))
            WRONG(c->walk, "commit to object %u: %d", c->object, rc);
    }
    call_over(c);
}

static void stage_commit(struct walk_call *c)
{
    struct walk_object *o = &c->walk->objects[c->object];
    struct fh_cond none = {0};
    char name[16];
    int rc;

    c->commits = true;
    if (c->puts) {
        static char names[WALK_OBJECTS][16];
        size_t n = zone_walk_name(c->object, name);
        memcpy(names[c->object], name, sizeof(name));
        rc = fh_stage_put(&c->u.stage, names[c->object], n, 0, &none);
    } else {
        rc = fh_stage_write(&c->u.stage, &o->ref, c->offset, &none);
    }
    if (rc != -EINPROGRESS)
        stage_end(c, rc);
}

/* One window of a body, or less; then it rests, so that other calls come between. */
static void stage_receive(struct walk_call *c)
{
    struct fh_stage *s = &c->u.stage;
    uint64_t part = rng_below(&c->walk->random, s->window_bytes + 1);
    uint64_t left = part;

    for (uint32_t i = 0; left > 0; i++) {
        uint64_t n = fh_min_u64(left, s->iov[i].iov_len);
        memcpy(s->iov[i].iov_base, c->bytes + c->moved, n);
        c->moved += n;
        left -= n;
    }
    fh_stage_advance(s, part);
}

static void sync_end(struct walk_call *c, int rc)
{
    struct walk_object *o = &c->walk->objects[c->object];

    o->syncing = false;
    if (rc == 0) {
        file_forget(&o->file, c->first_version);
        file_check(c->walk, o);
        c->walk->synced++;
    } else if (rc != -ESTALE && !is_excused(c->walk, rc) && !(rc == -EIO && c->walk->faults)) {
        WRONG(c->walk, "sync of object %u: %d", c->object, rc);
    }
    call_over(c);
}

static void call_done(struct fh_call *call)
{
    struct walk_call *c = FH_CONTAINER_OF(call, struct walk_call, u);

    if (c->kind == WALK_READ)
        read_go_on(c, call->rc);
    else if (c->kind == WALK_MUTATE)
        mutation_end(c, call->rc);
    else if (c->kind == WALK_SYNC)
        sync_end(c, call->rc);
    else if (c->kind == WALK_STAGE && c->commits)
        stage_end(c, call->rc);
    else if (c->kind == WALK_STAGE && call->rc == 0)
        stage_receive(c);
    else if (c->kind == WALK_STAGE)
        stage_end(c, call->rc);
}

/* --- beginnings --- */

static uint8_t *some_bytes(struct zone_walk *w, uint64_t size)
{
    uint8_t *bytes = malloc(size + 1);
    bool zeros = rng_percent(&w->random, 10);

    for (uint64_t i = 0; i < size; i++)
        bytes[i] = zeros ? 0 : (uint8_t)rng_next(&w->random);
    return bytes;
}

static void begin_alloc(struct zone_walk *w, uint32_t i)
{
    struct walk_object *o = &w->objects[i];
    uint64_t size = rng_percent(&w->random, 50) ? rng_below(&w->random, 700)
                                                : rng_below(&w->random, WALK_SIZE_MAX);
    struct fh_object_view view;

    if (o->live || o->busy || o->readers > 0)
        return;
    int rc = fh_zone_alloc(&w->zone, 1, size, 0, &view);
    if (rc != 0) {
        WRONG(w, "alloc: %d", rc);
        return;
    }
    object_version(o, size);
    o->live = true;
    object_is(o, &view);
}

/* Makes the object's file, with bytes; or gives the one it had a descriptor again. */
static bool file_prepare(struct zone_walk *w, struct walk_object *o, uint64_t number)
{
    struct walk_file *f = &o->file;

    if (f->disk) {
        if (fh_backing_known(&w->zone.pager.backing, (struct fh_file_id){1, number}))
            return false; /* it is still in use by what was being written */
        file_check(w, o);
        fh_fake_disk_reopen(w->disk, f->disk);
        return true;
    }
    f->disk = fh_fake_disk_file(w->disk, rng_below(&w->random, WALK_SIZE_MAX));
    random_bytes(&w->random, f->disk->bytes, f->disk->size);
    memcpy(f->disk->safe, f->disk->bytes, f->disk->size);
    return true;
}

static void begin_file(struct zone_walk *w, uint32_t i)
{
    struct walk_object *o = &w->objects[i];
    struct fh_object_view view;

    if (o->live || o->busy || o->syncing || o->readers > 0 || !file_prepare(w, o, i))
        return;
    const struct fh_file_source source = {
        .fd = o->file.disk->fd, .id = {1, i}, .size_bytes = o->file.disk->size, .may_write = true};
    int rc = fh_zone_file_open(&w->zone, 1, &source, true, &view);
    if (rc != 0) {
        WRONG(w, "open: %d", rc);
        return;
    }
    object_forget(o, 0);
    memcpy(object_version(o, source.size_bytes), o->file.disk->bytes, source.size_bytes);
    file_forget(&o->file, o->file.count);
    file_note(&o->file, o->file.disk->safe); /* what was not synced may be lost */
    file_note(&o->file, o->file.disk->bytes);
    o->of_file = o->live = true;
    object_is(o, &view);
    w->opened++;
}

static void begin_sync(struct zone_walk *w, struct walk_call *c)
{
    struct walk_object *o = &w->objects[c->object];
    struct fh_sync *s = &c->u.sync;

    if (!o->live || !o->of_file || o->syncing)
        return;
    *s = (struct fh_sync){.ref = o->ref, .size = o->size};
    s->call.done = call_done;
    c->kind = WALK_SYNC;
    c->first_version = o->file.count - 1;
    o->syncing = true;
    int rc = fh_zone_sync(&w->zone, s);
    w->parked += rc == -EINPROGRESS;
    if (rc != -EINPROGRESS)
        sync_end(c, rc);
}

static void begin_sync_of_some(struct zone_walk *w, struct walk_call *c)
{
    for (uint32_t i = 0; i < WALK_OBJECTS && !w->objects[c->object].of_file; i++)
        c->object = (c->object + 1) % WALK_OBJECTS;
    begin_sync(w, c);
}

static void begin_alloc_typed(struct zone_walk *w, uint32_t i)
{
    struct walk_object *o = &w->objects[i];
    uint32_t n = (uint32_t)rng_below(&w->random, WALK_CACHES);
    struct walk_cache *cache = &w->caches[n];
    struct fh_object_view view;
    char name[16];

    if (o->live || o->busy || o->readers > 0)
        return;
    uint64_t size = rng_percent(&w->random, 50) ? cache->object_size
                                                : rng_below(&w->random, cache->object_size + 1);
    int rc = fh_zone_alloc_typed(&w->zone, 1, name, zone_walk_name(n, name), size, 0, &view);
    if (rc != (cache->exists ? 0 : -ENOENT))
        WRONG(w, "alloc from cache %u: %d", n, rc);
    if (rc != 0)
        return;
    o->cache = cache;
    object_version(o, size);
    o->live = true;
    object_is(o, &view);
    w->typed++;
}

static bool cache_is_used(const struct zone_walk *w, const struct walk_cache *cache)
{
    for (uint32_t i = 0; i < WALK_OBJECTS; i++)
        if (w->objects[i].live && w->objects[i].cache == cache)
            return true;
    return false;
}

static void cache_destroy(struct zone_walk *w, uint32_t n)
{
    struct walk_cache *cache = &w->caches[n];
    char name[16];
    int rc = fh_zone_cache_destroy(&w->zone, 1, name, zone_walk_name(n, name));

    if (rc != (cache_is_used(w, cache) ? -EBUSY : 0))
        WRONG(w, "destroy of cache %u: %d", n, rc);
    cache->exists = rc != 0;
}

static void cache_create(struct zone_walk *w, uint32_t n)
{
    struct walk_cache *cache = &w->caches[n];
    struct fh_cache_spec spec;
    char name[16];

    cache->object_size = rng_percent(&w->random, 50) ? rng_between(&w->random, 1, 700)
                                                     : rng_between(&w->random, 1, FH_SLAB_SIZE_MAX);
    memset(cache->initial, 0, sizeof(cache->initial));
    spec = (struct fh_cache_spec){.name = name,
                                  .name_size = zone_walk_name(n, name),
                                  .object_size = cache->object_size,
                                  .alignment = UINT64_C(1) << rng_below(&w->random, 13),
                                  .initial = cache->initial,
                                  .initial_size = rng_below(&w->random, cache->object_size + 1)};
    for (uint64_t i = 0; i < spec.initial_size; i++)
        cache->initial[i] = (uint8_t)rng_next(&w->random);
    int rc = fh_zone_cache_create(&w->zone, 1, &spec);
    if (rc != 0)
        WRONG(w, "create of cache %u: %d", n, rc);
    cache->exists = rc == 0;
}

static void begin_cache(struct zone_walk *w)
{
    uint32_t n = (uint32_t)rng_below(&w->random, WALK_CACHES);

    if (w->caches[n].exists)
        cache_destroy(w, n);
    else
        cache_create(w, n);
}

static void begin_free(struct zone_walk *w, uint32_t i)
{
    struct walk_object *o = &w->objects[i];
    struct fh_cond none = {0};
    char name[16];
    int rc;

    if (!o->live || o->busy)
        return;
    rc = o->named && rng_percent(&w->random, 50)
             ? fh_zone_delete(&w->zone, 1, name, zone_walk_name(i, name), &none)
             : fh_zone_free(&w->zone, &o->ref);
    if (rc != 0)
        WRONG(w, "free: %d", rc);
    struct fh_object_view view;
    if (fh_zone_find(&w->zone, &o->ref, &view) != -ESTALE)
        WRONG(w, "a freed object is still there");
    object_die(o);
}

static void begin_mutation(struct zone_walk *w, struct walk_call *c)
{
    struct walk_object *o = &w->objects[c->object];
    struct fh_mutation *m = &c->u.mutation;
    uint64_t longest = (uint64_t)(w->zone.opts.hold_max - 1) * FH_PAGE_SIZE;

    if (!o->live || o->named || o->busy || o->count >= WALK_VERSIONS - 1)
        return;
    *m = (struct fh_mutation){.kind = (enum fh_mutation_kind)rng_below(&w->random, 5),
                              .ref = o->ref};
    m->call.done = call_done;
    c->offset = rng_below(&w->random, o->size + 1);
    c->size = rng_below(&w->random, fh_min_u64(o->size - c->offset, longest) + 1);
    if (m->kind == FH_MUTATE_ZERO && rng_percent(&w->random, 30))
        c->size = o->size - c->offset;
    if (m->kind == FH_MUTATE_SWAP || m->kind == FH_MUTATE_ADD) {
        if (o->size < 8)
            return;
        c->offset = rng_below(&w->random, o->size / 8) * 8;
        m->operand = rng_next(&w->random);
        if (rng_percent(&w->random, 70))
            memcpy(&m->expected, o->versions[o->count - 1] + c->offset, 8);
    }
    m->offset = c->offset;
    m->size = m->kind != FH_MUTATE_RESIZE ? c->size
              : o->cache && rng_percent(&w->random, 80)
                  ? rng_below(&w->random, o->cache->object_size + 1)
                  : rng_below(&w->random, WALK_SIZE_MAX);
    m->body = c->bytes = some_bytes(w, c->size);
    o->busy = true;
    c->kind = WALK_MUTATE;
    int rc = fh_zone_mutate(&w->zone, m);
    w->parked += rc == -EINPROGRESS;
    if (rc != -EINPROGRESS)
        mutation_end(c, rc);
}

static void begin_read(struct zone_walk *w, struct walk_call *c)
{
    struct walk_object *o = &w->objects[c->object];

    if (!o->live)
        return;
    c->offset = rng_below(&w->random, o->size + 1);
    c->size = rng_percent(&w->random, 50) ? o->size - c->offset
                                          : rng_below(&w->random, o->size - c->offset + 1);
    c->moved = 0;
    c->bytes = malloc(c->size + 1);
    c->first_version = o->count - 1;
    c->kind = WALK_READ;
    o->readers++;
    c->u.reader.call.done = call_done;
    int rc = fh_reader_open(&w->zone, &c->u.reader, &o->ref, c->offset, c->size);
    w->parked += rc == -EINPROGRESS;
    if (rc != 0 && rc != -EINPROGRESS)
        read_end(c, rc);
    else
        read_go_on(c, rc);
}

static void begin_stage(struct zone_walk *w, struct walk_call *c)
{
    struct walk_object *o = &w->objects[c->object];

    if (o->busy || o->count >= WALK_VERSIONS - 1 || (o->live && o->size < FH_PAGE_SIZE))
        return;
    c->puts = !o->live || o->named;
    if (c->puts && o->live && o->readers > 0)
        return; /* the model keeps one history per object, not per name */
    c->offset = c->puts ? 0 : rng_below(&w->random, o->size / 2);
    c->size = c->puts ? rng_between(&w->random, 1, WALK_SIZE_MAX) : o->size - c->offset;
    uint32_t in_page = c->puts ? 0 : (uint32_t)(c->offset % FH_PAGE_SIZE);
    if (!c->puts && (o->size <= FH_SLAB_SIZE_MAX || c->size < FH_PAGE_SIZE - in_page))
        return;
    c->u.stage.call.done = call_done;
    int rc = fh_stage_open(&w->zone, &c->u.stage, 1, c->size, in_page);
    if (rc != 0) {
        if (!is_excused(w, rc))
            WRONG(w, "stage: %d", rc);
        return;
    }
    c->bytes = some_bytes(w, c->size);
    c->moved = 0;
    c->commits = false;
    c->kind = WALK_STAGE;
    o->busy = true;
}

static void go_on_with_stage(struct zone_walk *w, struct walk_call *c)
{
    struct fh_stage *s = &c->u.stage;

    if (s->call.state != FH_CALL_IDLE || c->commits)
        return;
    if (rng_percent(&w->random, 3)) {
        fh_stage_abort(s);
        w->objects[c->object].busy = false;
        call_over(c);
    } else if (c->moved == c->size) {
        stage_commit(c);
    } else {
        int rc = fh_stage_window(s);
        w->parked += rc == -EINPROGRESS;
        if (rc == 0)
            stage_receive(c);
        else if (rc != -EINPROGRESS)
            stage_end(c, rc); /* the room that was to come did not */
    }
}

/* Another budget, from the least there can be to the most. */
static void begin_budget(struct zone_walk *w)
{
    uint64_t least = 2 * (uint64_t)w->zone.opts.hold_max;
    int rc = fh_zone_set_memory(
        &w->zone, rng_between(&w->random, least, w->frames_max) * FH_PAGE_SIZE, false);

    if (rc != 0)
        WRONG(w, "budget: %d", rc);
    w->budgets++;
}

static void cancel_call(struct zone_walk *w, struct walk_call *c)
{
    if (c->kind == WALK_READ) {
        struct walk_object *o = &w->objects[c->object];
        fh_reader_close(&c->u.reader);
        if (--o->readers == 0)
            object_forget(o, o->live ? 1 : 0);
    } else if (c->kind == WALK_MUTATE) {
        fh_zone_mutate_cancel(&c->u.mutation);
        w->objects[c->object].busy = false;
    } else if (c->kind == WALK_SYNC) {
        fh_zone_sync_cancel(&c->u.sync);
        w->objects[c->object].syncing = false;
    } else {
        return;
    }
    call_over(c);
}

void zone_walk_step(struct zone_walk *w)
{
    struct walk_call *c = &w->calls[rng_below(&w->random, WALK_CALLS)];
    uint64_t dice = rng_below(&w->random, 100);

    w->steps++;
    if (c->kind == WALK_STAGE)
        go_on_with_stage(w, c);
    else if (c->kind != WALK_IDLE && dice < 5)
        cancel_call(w, c);
    if (c->kind == WALK_IDLE) {
        c->object = (uint32_t)rng_below(&w->random, WALK_OBJECTS);
        if (dice < 7)
            begin_alloc_typed(w, c->object);
        else if (dice < 12)
            begin_alloc(w, c->object);
        else if (dice < 18)
            begin_free(w, c->object);
        else if (dice < 45)
            begin_mutation(w, c);
        else if (dice < 75)
            begin_read(w, c);
        else if (dice < 90)
            begin_stage(w, c);
        else if (dice < 92)
            begin_cache(w);
        else if (dice < 94 && w->frames_max > 0)
            begin_budget(w);
        else if (dice < 97 && w->files)
            begin_file(w, c->object);
        else if (w->files && dice >= 97)
            begin_sync_of_some(w, c);
    }
    if (dice % 3 == 0)
        (void)fh_zone_turn(&w->zone, w->now_ms += rng_below(&w->random, 30));
}

void zone_walk_settle(struct zone_walk *w)
{
    for (uint32_t turns = 0; turns < 100000; turns++) {
        uint32_t busy = 0;
        for (uint32_t i = 0; i < WALK_CALLS; i++) {
            busy += w->calls[i].kind != WALK_IDLE;
            if (w->calls[i].kind == WALK_STAGE)
                go_on_with_stage(w, &w->calls[i]);
        }
        if (busy == 0)
            return;
        (void)fh_zone_turn(&w->zone, w->now_ms += 20);
    }
    WRONG(w, "calls wait for ever: %u parked", w->zone.pager.line.count);
}

void zone_walk_fini(struct zone_walk *w)
{
    memset(w->disk->permille, 0, sizeof(w->disk->permille));
    w->now_ms += 1000; /* past every back-off */
    zone_walk_settle(w);
    for (uint32_t i = 0; i < WALK_OBJECTS; i++) {
        struct walk_call *c = &w->calls[0];
        if (!w->objects[i].live)
            continue;
        c->object = i;
        begin_read(w, c);
        zone_walk_settle(w);
        begin_sync(w, c);
        zone_walk_settle(w);
        begin_free(w, i);
    }
    while (w->disk->io.in_flight > 0 || w->zone.graves.stats.blocks > 0)
        (void)fh_zone_turn(&w->zone, w->now_ms += 20);
    struct fh_zone_stats stats;
    fh_zone_stats(&w->zone, &stats);
    if (stats.objects != 0 || stats.names != 0 ||
        stats.pager.frames_free != stats.pager.frames_total || stats.pager.live != 0 ||
        w->zone.pager.claimed != 0 || w->zone.pager.rings.count != 0 ||
        stats.pager.swap.slots_used != 0 || stats.pager.pages_slot != 0)
        WRONG(w, "left behind: %llu objects, %llu frames, %llu live pages, %llu slots",
              (unsigned long long)stats.objects,
              (unsigned long long)(stats.pager.frames_total - stats.pager.frames_free),
              (unsigned long long)stats.pager.live,
              (unsigned long long)stats.pager.swap.slots_used);
    for (uint32_t i = 0; i < WALK_OBJECTS; i++)
        object_forget(&w->objects[i], 0);
    for (uint32_t i = 0; i < WALK_OBJECTS; i++)
        file_free(&w->objects[i].file);
    fh_zone_fini(&w->zone);
    fh_io_destroy(&w->disk->io);
}
