/*
 * buddy_systems: the four ways to cut a block, as data, and the tables a buddy works with.
 *
 * A system says for each block size into which parts a block of that size is cut. All else - who is
 * whose parent, which size can be cut out of which, how an arena is tiled, how starts are aligned -
 * is computed from that once, for one size of arena, and shared by all its arenas.
 *
 * Units      granules (one page); classes are indexes into the sizes of a system, ascending.
 * Ownership  caller owns the tables; they are constant after init and hold no memory.
 * Threads    constant data: any.
 */
#ifndef FH_ALLOC_BUDDY_SYSTEMS_H
#define FH_ALLOC_BUDDY_SYSTEMS_H

#include <stdint.h>

#include "assert.h"

enum {
    FH_BUDDY_CLASSES = 36,          /* most sizes any system has up to 2^18 granules */
    FH_BUDDY_PARTS = 3,             /* most children a block is cut into */
    FH_BUDDY_KINDS = 8,             /* ways to be a child, and 0: a tile; three bits of a head */
    FH_BUDDY_TILES = 20,            /* most tiles of an arena */
    FH_BUDDY_GRANULES_MAX = 1 << 18 /* largest arena */
};

struct fh_buddy_split {
    uint32_t size;                 /* granules of a block of this class */
    uint32_t part[FH_BUDDY_PARTS]; /* sizes of its children in address order; 0 = no more */
};

struct fh_buddy_system {
    const char *name;
    const struct fh_buddy_split *splits; /* by ascending size, the first is 1 */
    uint32_t classes;
};

extern const struct fh_buddy_system fh_buddy_binary, fh_buddy_fibonacci, fh_buddy_weighted,
    fh_buddy_tertiary;

/* All systems by index, NULL after the last; and by name, NULL when there is none such. */
const struct fh_buddy_system *fh_buddy_system_at(uint32_t index);
const struct fh_buddy_system *fh_buddy_system_find(const char *name);

/* A child of a class, or, seen from below, a parent of a class. */
struct fh_buddy_place {
    uint8_t class;   /* of the child; of the parent */
    uint8_t kind;    /* a child's kind; in a parent's place: which child (0, 1, 2) we are */
    uint32_t offset; /* of the child from its parent's start */
};

struct fh_buddy_tables {
    const struct fh_buddy_system *system;
    uint32_t granules; /* of the arena */
    uint32_t classes;  /* those no larger than the arena */
    uint32_t size[FH_BUDDY_CLASSES];
    uint8_t start_shift[FH_BUDDY_CLASSES]; /* at most one block of a class starts in 2^this */
    uint8_t children[FH_BUDDY_CLASSES];
    uint8_t kinds[FH_BUDDY_CLASSES]; /* kinds in use, 1..kinds, besides 0 */
    struct fh_buddy_place child[FH_BUDDY_CLASSES][FH_BUDDY_PARTS];
    struct fh_buddy_place parent[FH_BUDDY_CLASSES][FH_BUDDY_KINDS]; /* by kind; [0] unused */
    uint64_t yield[FH_BUDDY_CLASSES]; /* set of classes that can be cut from it, itself included */
    uint64_t from[FH_BUDDY_CLASSES];  /* set of classes it can be cut from, itself included */
    uint8_t toward[FH_BUDDY_CLASSES][FH_BUDDY_CLASSES]; /* [d][c]: which child leads from d to c */
    uint64_t usable;                                    /* classes some tile yields */
    uint8_t tile[FH_BUDDY_TILES];                       /* classes, in address order */
    uint32_t tiles;
};

/* granules: 1..FH_BUDDY_GRANULES_MAX. */
void fh_buddy_tables_init(struct fh_buddy_tables *, const struct fh_buddy_system *,
                          uint32_t granules);
/* Smallest usable class of at least `size` granules; `classes` of the tables when there is none. */
uint32_t fh_buddy_class_for(const struct fh_buddy_tables *, uint32_t size);

#endif
