/* The calls of the walk that may wait: what they are begun with, and what must have come of them. */
#include "tests/support/zone_walk_private.h"

#include <errno.h>
#include <string.h>

#include "alloc/bits.h"

void walk_call_over(struct walk_call *c)
{
    free(c->bytes);
    c->bytes = NULL;
    c->kind = WALK_IDLE;
}

static void mutation_apply(struct walk_call *c, struct walk_object *o)
{
    const struct fh_mutation *m = &c->u.mutation;
    uint64_t word = 0;
    uint8_t *bytes = walk_object_version(o, m->kind == FH_MUTATE_RESIZE ? m->size : o->size);

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
    walk_object_is(o, &m->object);
    walk_object_note(o);
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
    else if (!walk_is_excused(c->walk, rc) && !mutation_leaves_cache(c, o, rc) &&
             !mutation_resizes_file(c, o, rc))
        WRONG(c->walk, "mutation %d of object %u: %d", c->u.mutation.kind, c->object, rc);
    walk_call_over(c);
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
    if (rc != 0 && rc != -ESTALE && rc != -EINVAL && !walk_is_excused(c->walk, rc))
        WRONG(c->walk, "read of object %u: %d", c->object, rc);
    if (--o->readers == 0)
        walk_object_forget(o, o->live ? 1 : 0);
    walk_call_over(c);
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
            walk_object_version(o, c->size);
            o->live = true;
            o->named = true;
        } else {
            walk_object_version(o, o->size);
        }
        memcpy(o->versions[o->count - 1] + c->offset, c->bytes, c->size);
        walk_object_is(o, &c->u.stage.object);
        walk_object_note(o);
    } else {
        fh_stage_abort(&c->u.stage);
        if (!walk_is_excused(c->walk, rc))
            WRONG(c->walk, "commit to object %u: %d", c->object, rc);
    }
    walk_call_over(c);
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
        walk_file_forget(&o->file, c->first_version);
        walk_file_check(c->walk, o);
        c->walk->synced++;
    } else if (rc != -ESTALE && !walk_is_excused(c->walk, rc) && !(rc == -EIO && c->walk->faults)) {
        WRONG(c->walk, "sync of object %u: %d", c->object, rc);
    }
    walk_call_over(c);
}

void walk_call_done(struct fh_call *call)
{
    struct walk_call *c = FH_CONTAINER_OF(call, struct walk_call, u);

    if (c->kind == WALK_READ)
        read_go_on(c, call->rc);
    else if (c->kind == WALK_MUTATE)
        mutation_end(c, call->rc);
    else if (c->kind == WALK_SYNC)
        sync_end(c, call->rc);
    else if (c->kind == WALK_ADVISE)
        walk_advise_end(c, call->rc);
    else if (c->kind == WALK_STAGE && c->commits)
        stage_end(c, call->rc);
    else if (c->kind == WALK_STAGE && call->rc == 0)
        stage_receive(c);
    else if (c->kind == WALK_STAGE)
        stage_end(c, call->rc);
}

static uint8_t *some_bytes(struct zone_walk *w, uint64_t size)
{
    uint8_t *bytes = malloc(size + 1);
    bool zeros = rng_percent(&w->random, 10);

    for (uint64_t i = 0; i < size; i++)
        bytes[i] = zeros ? 0 : (uint8_t)rng_next(&w->random);
    return bytes;
}

void walk_begin_sync(struct zone_walk *w, struct walk_call *c)
{
    struct walk_object *o = &w->objects[c->object];
    struct fh_sync *s = &c->u.sync;

    if (!o->live || !o->of_file || o->syncing)
        return;
    *s = (struct fh_sync){.ref = o->ref, .size = o->size};
    s->call.done = walk_call_done;
    c->kind = WALK_SYNC;
    c->first_version = o->file.count - 1;
    o->syncing = true;
    int rc = fh_zone_sync(&w->zone, s);
    w->parked += rc == -EINPROGRESS;
    if (rc != -EINPROGRESS)
        sync_end(c, rc);
}

void walk_begin_sync_of_some(struct zone_walk *w, struct walk_call *c)
{
    for (uint32_t i = 0; i < WALK_OBJECTS && !w->objects[c->object].of_file; i++)
        c->object = (c->object + 1) % WALK_OBJECTS;
    walk_begin_sync(w, c);
}

void walk_begin_mutation(struct zone_walk *w, struct walk_call *c)
{
    struct walk_object *o = &w->objects[c->object];
    struct fh_mutation *m = &c->u.mutation;
    uint64_t longest = (uint64_t)(w->zone.opts.hold_max - 1) * FH_PAGE_SIZE;

    if (!o->live || o->named || o->busy || o->count >= WALK_VERSIONS - 1)
        return;
    *m = (struct fh_mutation){.kind = (enum fh_mutation_kind)rng_below(&w->random, 5),
                              .ref = o->ref};
    m->call.done = walk_call_done;
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

void walk_begin_read(struct zone_walk *w, struct walk_call *c)
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
    c->u.reader.call.done = walk_call_done;
    int rc = fh_reader_open(&w->zone, &c->u.reader, &o->ref, c->offset, c->size);
    w->parked += rc == -EINPROGRESS;
    if (rc != 0 && rc != -EINPROGRESS)
        read_end(c, rc);
    else
        read_go_on(c, rc);
}

void walk_begin_stage(struct zone_walk *w, struct walk_call *c)
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
    c->u.stage.call.done = walk_call_done;
    int rc = fh_stage_open(&w->zone, &c->u.stage, 1, c->size, in_page);
    if (rc != 0) {
        if (!walk_is_excused(w, rc))
            WRONG(w, "stage: %d", rc);
        return;
    }
    c->bytes = some_bytes(w, c->size);
    c->moved = 0;
    c->commits = false;
    c->kind = WALK_STAGE;
    o->busy = true;
}

void walk_go_on_with_stage(struct zone_walk *w, struct walk_call *c)
{
    struct fh_stage *s = &c->u.stage;

    if (s->call.state != FH_CALL_IDLE || c->commits)
        return;
    if (rng_percent(&w->random, 3)) {
        fh_stage_abort(s);
        w->objects[c->object].busy = false;
        walk_call_over(c);
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

void walk_cancel(struct zone_walk *w, struct walk_call *c)
{
    if (c->kind == WALK_READ) {
        struct walk_object *o = &w->objects[c->object];
        fh_reader_close(&c->u.reader);
        if (--o->readers == 0)
            walk_object_forget(o, o->live ? 1 : 0);
    } else if (c->kind == WALK_MUTATE) {
        fh_zone_mutate_cancel(&c->u.mutation);
        w->objects[c->object].busy = false;
    } else if (c->kind == WALK_SYNC) {
        fh_zone_sync_cancel(&c->u.sync);
        w->objects[c->object].syncing = false;
    } else if (c->kind == WALK_ADVISE) {
        fh_zone_advise_cancel(&c->u.advise);
        w->objects[c->object].advised = false;
    } else {
        return;
    }
    walk_call_over(c);
}
