/*
 * zone_walk: a random walk over a zone with very few frames, beside the dumbest model: for each
 * object an array of bytes, of which all versions are kept while a read is under way.
 *
 * Some objects are of typed caches, whose initial bytes the model keeps as well; caches come and
 * go. Some are files, which are closed, opened again and synced: each page of such a file is always
 * one that the object had, and not older than the last sync.
 *
 * A mutation takes effect in the model at the moment the zone says it is done. A read must give
 * exactly one of the versions that existed between its opening and its end: never a mix of two.
 */
#ifndef FH_TESTS_ZONE_WALK_H
#define FH_TESTS_ZONE_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "alloc/zone.h"
#include "tests/support/fake_disk.h"
#include "tests/support/rng.h"

enum {
    WALK_OBJECTS = 12,
    WALK_CALLS = 10,
    WALK_SIZE_MAX = 40000,
    WALK_VERSIONS = 64,
    WALK_CACHES = 3,
    WALK_FILE_PAGES = WALK_SIZE_MAX / FH_PAGE_SIZE + 1,
};

/* The file of an object that is one, and what each of its pages has been since the last sync. */
struct walk_file {
    struct fh_fake_file *disk;      /* NULL: not made yet */
    uint64_t *was[WALK_FILE_PAGES]; /* hashes of its versions, oldest first */
    uint32_t count, room;           /* versions, of all pages */
};

struct walk_cache {
    bool exists;
    uint64_t object_size;
    uint8_t initial[FH_SLAB_SIZE_MAX]; /* zeros behind what was given */
};

struct walk_object {
    bool live, named, busy; /* busy: a mutation of it is under way */
    bool doubtful;          /* the disk was told to fail: IO errors are fine */
    struct fh_ref ref;
    const struct walk_cache *cache; /* NULL: of none */
    bool of_file;                   /* its bytes are those of `file` */
    bool syncing;
    bool advised; /* advice about it is not answered yet */
    struct walk_file file;
    uint64_t size, version;
    uint8_t *versions[WALK_VERSIONS]; /* the newest is [count - 1] */
    uint64_t sizes[WALK_VERSIONS];
    uint32_t count;
    uint32_t readers;
};

enum walk_kind { WALK_IDLE, WALK_MUTATE, WALK_READ, WALK_STAGE, WALK_SYNC, WALK_ADVISE };

struct walk_call {
    struct zone_walk *walk;
    enum walk_kind kind;
    uint32_t object;
    uint64_t offset, size;
    uint8_t *bytes;         /* to be written, or read so far */
    uint64_t moved;         /* of them, read or staged */
    uint32_t first_version; /* of a sync: the file's */
    bool commits, puts;
    union {
        struct fh_mutation mutation;
        struct fh_reader reader;
        struct fh_stage stage;
        struct fh_sync sync;
        struct fh_advise advise;
    } u;
};

struct zone_walk {
    struct rng random;
    struct fh_fake_disk *disk;
    struct fh_zone zone;
    uint64_t now_ms;
    struct walk_object objects[WALK_OBJECTS];
    struct walk_cache caches[WALK_CACHES];
    struct walk_call calls[WALK_CALLS];
    uint64_t steps, parked, refused_space, refused_io;
    uint64_t typed;           /* objects of caches so far */
    bool files, faults;       /* some objects are files; the disk failed now and then */
    uint64_t opened, synced;  /* files so far */
    uint64_t frames_max;      /* 0 = the budget does not change */
    uint64_t budgets;         /* changes of it so far */
    uint64_t advices, pinned; /* so far; pins that were granted */
    char wrong[200];          /* first thing that was wrong; empty = nothing */
};

struct walk_opts {
    uint64_t frames, slots;
    uint32_t hold_max;
    uint32_t disk_delay_max;
    bool faults;         /* the disk fails now and then */
    bool files;          /* some objects are files */
    uint64_t frames_max; /* the budget changes now and then, up to this; 0 = it does not */
    uint32_t chunk_order;
    uint32_t pin_permille;          /* as of the zone */
    const struct fh_region *region; /* shared with another walk; NULL = its own */
    struct fh_chunk_source source;
};

void zone_walk_init(struct zone_walk *, uint64_t seed, const struct walk_opts *);
void zone_walk_step(struct zone_walk *);
/* Lets everything under way end. */
void zone_walk_settle(struct zone_walk *);
/* Compares every object, frees all, and checks that nothing is left. */
void zone_walk_fini(struct zone_walk *);
/* The name of object i. */
size_t zone_walk_name(uint32_t i, char name[16]);

#endif
