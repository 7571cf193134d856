/*
 * file_rig: a file on the fake disk of a zone_rig, opened as an object.
 */
#ifndef FH_TESTS_FILE_RIG_H
#define FH_TESTS_FILE_RIG_H

#include "tests/support/zone_rig.h"

struct file_rig {
    struct fh_fake_file *disk;
    struct fh_object_view object;
    uint64_t number; /* its id */
};

static inline uint8_t file_byte(uint64_t at)
{
    return (uint8_t)(at * 31 + at / FH_PAGE_SIZE * 7 + 1);
}

/* What the file holds before anybody writes. */
static inline void file_fill(uint8_t *bytes, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        bytes[i] = file_byte(i);
}

static inline int file_reopen(struct zone_rig *g, struct file_rig *f, bool write)
{
    const struct fh_file_source source = {.fd = f->disk->fd,
                                          .id = {.device = 9, .number = f->number},
                                          .size_bytes = f->disk->size,
                                          .may_write = true};
    int rc = fh_zone_file_find(&g->zone, ZONE_TENANT, source.id, write, &f->object);

    return rc != -ENOENT ? rc
                         : fh_zone_file_open(&g->zone, ZONE_TENANT, &source, write, &f->object);
}

static inline void file_open(struct zone_rig *g, struct file_rig *f, uint64_t size, bool write)
{
    static uint64_t number;

    f->number = ++number;
    f->disk = fh_fake_disk_file(g->disk, size);
    cr_assert_not_null(f->disk);
    file_fill(f->disk->bytes, size);
    file_fill(f->disk->safe, size);
    int rc = file_reopen(g, f, write);
    cr_assert_eq(rc, 0, "%s", strerror(-rc));
}

static inline int file_sync_range(struct zone_rig *g, struct file_rig *f, uint64_t offset,
                                  uint64_t size)
{
    static struct fh_sync s;
    s = (struct fh_sync){.ref = f->object.ref, .offset = offset, .size = size};
    int rc = zone_wait(g, &s.call, fh_zone_sync(&g->zone, &s));
    if (rc == 0)
        f->object = s.object;
    return rc;
}

static inline int file_sync(struct zone_rig *g, struct file_rig *f)
{
    return file_sync_range(g, f, 0, f->object.size);
}

/* The object's bytes are those. */
static inline void file_expect(struct zone_rig *g, const struct file_rig *f,
                               const uint8_t *expected)
{
    uint8_t *got = malloc(f->object.size + 1);
    int rc = zone_read(g, &f->object.ref, 0, got, f->object.size);

    cr_assert_eq(rc, 0, "%s", strerror(-rc));
    for (uint64_t i = 0; i < f->object.size; i++)
        cr_assert_eq(got[i], expected[i], "byte %llu of page %llu", (unsigned long long)i,
                     (unsigned long long)(i / FH_PAGE_SIZE));
    free(got);
}

/* Frees one opening. */
static inline void file_close(struct zone_rig *g, struct file_rig *f)
{
    int rc = fh_zone_free(&g->zone, &f->object.ref);
    cr_assert_eq(rc, 0, "%s", strerror(-rc));
}

#endif
