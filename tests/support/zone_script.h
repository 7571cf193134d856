/*
 * zone_script: a history of zone operations that touches every kind of I/O there is, to be run again and again while
 * something fails. Each step works or says so with a typed error, the zone stays whole after each, what nobody touched
 * stays as it was, and at the end nothing is left.
 */
#ifndef FH_TESTS_ZONE_SCRIPT_H
#define FH_TESTS_ZONE_SCRIPT_H

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/zone_rig.h"

enum {
    SCRIPT_OBJECTS = 6,
    SCRIPT_BYSTANDER = 0,
    SCRIPT_BYSTANDER_SIZE = 30000,
    SCRIPT_LARGE = 200000
};

/* What the script works on. */
struct script {
    struct zone_rig rig;
    struct fh_object_view objects[SCRIPT_OBJECTS];
    bool live[SCRIPT_OBJECTS];
    uint64_t what[SCRIPT_OBJECTS]; /* what zone_fill made its content of; its size is in the view */
    bool known[SCRIPT_OBJECTS];    /* the content is exactly that */
    uint32_t refused;              /* steps that said no */
};

static uint8_t script_body[SCRIPT_LARGE], script_got[SCRIPT_LARGE], script_expected[SCRIPT_LARGE];

/* Errors that are an honest answer to what is done to the zone. */
static inline bool script_is_typed(int rc)
{
    return rc == 0 || rc == -ENOMEM || rc == -ENOSPC || rc == -EIO || rc == -EBUSY;
}

static inline void script_note(struct script *s, const char *step, int rc)
{
    cr_assert(script_is_typed(rc), "%s: %s", step, strerror(-rc));
    s->refused += rc != 0;
    cr_assert(fh_zone_check(&s->rig.zone, stderr), "after %s", step);
}

/* Its bytes are right, or the disk fails the read. */
static inline void script_verify(struct script *s, uint32_t i)
{
    uint64_t size = s->objects[i].size < SCRIPT_LARGE ? s->objects[i].size : SCRIPT_LARGE;

    if (!s->live[i] || !s->known[i])
        return;
    int rc = zone_read(&s->rig, &s->objects[i].ref, 0, script_got, size);
    script_note(s, "read", rc);
    if (rc != 0)
        return;
    zone_fill(script_expected, s->what[i], size);
    cr_assert_eq(memcmp(script_got, script_expected, size), 0, "object %u is not what was written",
                 i);
}

static inline void script_alloc(struct script *s, uint32_t i, uint64_t size)
{
    int rc = fh_zone_alloc(&s->rig.zone, ZONE_TENANT, size, 0, &s->objects[i]);

    script_note(s, "alloc", rc);
    s->live[i] = rc == 0;
    s->what[i] = 0;
    s->known[i] = true;
}

static inline void script_write(struct script *s, uint32_t i, uint64_t what)
{
    uint64_t size = s->objects[i].size < FH_WRITE_MAX ? s->objects[i].size : FH_WRITE_MAX;

    if (!s->live[i])
        return;
    zone_fill(script_body, what, size);
    int rc = zone_write(&s->rig, &s->objects[i], 0, script_body, size);
    script_note(s, "write", rc);
    if (rc == 0) {
        s->what[i] = what;
        s->known[i] = size == s->objects[i].size;
    }
    script_verify(s, i);
}

static inline void script_stage(struct script *s, uint32_t i, const char *name, uint64_t what,
                                uint64_t size)
{
    if (!s->live[i] && !name)
        return;
    zone_fill(script_body, what, size);
    int rc = zone_stage(&s->rig, &s->objects[i], name, 0, script_body, size);
    script_note(s, name ? "staged put" : "staged write", rc);
    if (rc == 0) {
        s->live[i] = true;
        s->what[i] = what;
        s->known[i] = size == s->objects[i].size;
    }
    script_verify(s, i);
}

static inline void script_put(struct script *s, uint32_t i, uint64_t what, uint64_t size)
{
    zone_fill(script_body, what, size);
    int rc = zone_put(&s->rig, "name", script_body, size, 0, &any_time, &s->objects[i]);

    script_note(s, "put", rc);
    if (rc == 0) {
        s->live[i] = true;
        s->what[i] = what;
        s->known[i] = true;
    }
    script_verify(s, i);
}

static inline void script_resize(struct script *s, uint32_t i, uint64_t size)
{
    uint64_t before = s->objects[i].size;

    if (!s->live[i])
        return;
    int rc = zone_resize(&s->rig, &s->objects[i], size);
    script_note(s, "resize", rc);
    if (rc == 0)
        s->known[i] = s->known[i] && size < before;
    script_verify(s, i);
}

static inline void script_zero(struct script *s, uint32_t i, uint64_t offset, uint64_t size)
{
    if (!s->live[i])
        return;
    int rc = zone_zero(&s->rig, &s->objects[i], offset, size);
    script_note(s, "zero", rc);
    if (rc == 0)
        s->known[i] = false;
}

/* Reads while the object is overwritten: the reader must see the old bytes to the end. */
static inline void script_read_beside_write(struct script *s, uint32_t i)
{
    static struct fh_reader r;

    if (!s->live[i] || !s->known[i])
        return;
    memset(&r.call, 0, sizeof(r.call));
    uint64_t what = s->what[i], size = s->objects[i].size;
    int opened =
        zone_wait(&s->rig, &r.call, fh_reader_open(&s->rig.zone, &r, &s->objects[i].ref, 0, size));
    script_note(s, "open", opened);
    script_write(s, i, what + 1);
    if (opened == 0) {
        int rc = zone_drain(&s->rig, &r, 0, script_got);
        script_note(s, "view", rc);
        zone_fill(script_expected, what, size);
        if (rc == 0)
            cr_assert_eq(memcmp(script_got, script_expected, size), 0,
                         "the read is not of one moment");
    }
    if (opened == 0 || r.is_view)
        fh_reader_close(&r);
    cr_assert(fh_zone_check(&s->rig.zone, stderr));
}

static inline void script_free(struct script *s, uint32_t i)
{
    if (!s->live[i])
        return;
    cr_assert_eq(fh_zone_free(&s->rig.zone, &s->objects[i].ref), 0, "freeing never fails");
    s->live[i] = false;
    cr_assert(fh_zone_check(&s->rig.zone, stderr));
}

/* Less memory, which takes moves and writes, and then more again. */
static inline void script_budget(struct script *s, uint64_t frames)
{
    int rc = fh_zone_set_memory(&s->rig.zone, frames * FH_PAGE_SIZE, false);

    cr_assert_eq(rc, 0, "setting a budget never fails");
    for (uint32_t i = 0; i < 200 && s->rig.zone.pager.budget.state == FH_BUDGET_SHRINKING; i++)
        (void)zone_turn(&s->rig);
    script_note(s, "budget", rc);
    script_verify(s, 2);
}

static inline void script_run(struct script *s)
{
    script_alloc(s, 1, 100);
    script_write(s, 1, 11);
    script_alloc(s, 2, SCRIPT_LARGE);
    script_stage(s, 2, NULL, 21, SCRIPT_LARGE);
    zone_evict(&s->rig);
    script_read_beside_write(s, 2);
    script_put(s, 3, 31, 900);
    script_put(s, 3, 32, 40000);
    script_stage(s, 3, "name", 33, 90000);
    zone_evict(&s->rig);
    script_verify(s, 3);
    script_resize(s, 1, 5000);
    script_resize(s, 1, 70);
    script_resize(s, 2, 900000);
    script_zero(s, 2, 5000, 100000);
    script_alloc(s, 4, UINT64_C(3) << 30);
    script_alloc(s, 5, 20000);
    script_write(s, 5, 51);
    script_budget(s, 48);
    script_budget(s, 64);
    zone_evict(&s->rig);
    script_write(s, 5, 52);
    script_verify(s, SCRIPT_BYSTANDER);
}

/* A zone with one object that the script leaves alone; io NULL: over a fake disk. */
static inline struct script *script_begin(struct fh_io *io)
{
    struct script *s = calloc(1, sizeof(*s));

    cr_assert_not_null(s);
    s->rig.real = io;
    zone_open(&s->rig, 64, 255, 20);
    script_alloc(s, SCRIPT_BYSTANDER, SCRIPT_BYSTANDER_SIZE);
    script_write(s, SCRIPT_BYSTANDER, 99);
    zone_evict(&s->rig);
    return s;
}

/* The faults are over: everything works again, then all goes and nothing is left. */
static inline void script_end(struct script *s)
{
    s->rig.zone.mem.fail_at = 0;
    if (s->rig.disk)
        s->rig.disk->fail_at = 0;
    s->rig.now_ms += 1000;
    uint32_t refused = s->refused;
    for (uint32_t i = 0; i < SCRIPT_OBJECTS; i++)
        script_verify(s, i);
    for (uint32_t i = 0; i < SCRIPT_OBJECTS; i++)
        script_free(s, i);
    zone_expect_empty(&s->rig);
    script_alloc(s, 1, 50000);
    script_stage(s, 1, NULL, 3, 50000);
    cr_assert_eq(s->refused, refused, "it goes on as if nothing had been");
    script_free(s, 1);
    zone_expect_empty(&s->rig);
    zone_close(&s->rig);
    free(s);
}

#endif
