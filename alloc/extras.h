/*
 * extras: what only some objects have: a name, an expiry, a home. One entry of the size it needs,
 * found by a reference of 32 bits.
 *
 * Units      bytes, unless a name says chunks.
 * Ownership  caller owns the struct; mem outlives it. An entry is the caller's from take to give;
 *            the bytes of its name stay where they are until then.
 * Threads    one zone thread.
 * Errors     -EINVAL a name above FH_EXTRAS_NAME_MAX; -ENOMEM the map is used up. State unchanged.
 * Cost       all O(1) but check. Per entry its name, 2 B, 4 B more with an expiry, 6 B with a home,
 *            rounded up to 2 B, above 64 B to an eighth of a power of two; per chunk of 16 KiB 16 B of books.
 */
#ifndef FH_ALLOC_EXTRAS_H
#define FH_ALLOC_EXTRAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "assert.h"
#include "mem.h"

enum {
    FH_EXTRAS_NONE = 0, /* no entry has this reference */
    FH_EXTRAS_NAME_MAX = 1024,
    FH_EXTRAS_CHUNK_SIZE = 16 * 1024,
    FH_EXTRAS_CHUNKS = 1 << 19, /* references are offsets of 2 B steps: 8 GiB */
    FH_EXTRAS_CLASSES = 66,
    FH_EXTRAS_WARM_MAX = 16, /* empty chunks that keep their memory */
};

struct fh_extra {
    const uint8_t *name;
    uint32_t name_size; /* 0: none */
    uint32_t expiry;    /* tick after which the object is gone; 0 = never */
    uint64_t home;      /* of one that was moved: 1 + the address that its handle says; else 0 */
};

/* The books of a chunk, which lie outside it; all 0 while it was never used. */
struct fh_extras_chunk {
    uint32_t prev, next; /* chunks of the same list, 0: the end [I3] */
    uint16_t free_head;  /* the first free entry: steps from the chunk's start, + 1; 0: none */
    uint16_t used;       /* entries in use [I1] */
    uint16_t carved;     /* entries used once; those behind were never touched */
    uint8_t class;       /* of its entries */
    uint8_t list;        /* enum in extras.c [I3] */
};

struct fh_extras {
    struct fh_mem *mem;
    uint8_t *bytes;                        /* lazily touched map of all chunks; chunk 0 is unused */
    struct fh_extras_chunk *chunks;        /* lazily touched map */
    uint32_t chunks_end;                   /* chunks from here on were never used */
    uint32_t chunks_max;                   /* FH_EXTRAS_CHUNKS; tests use fewer */
    uint32_t with_room[FH_EXTRAS_CLASSES]; /* the first chunk with free entries; 0: none [I3] */
    uint32_t warm, cold;                   /* the first empty chunk with, without memory; 0: none */
    uint32_t warm_chunks, cold_chunks;     /* how many there are [I3] */
    uint64_t count;                        /* entries in use [I1] */
    uint64_t entry_bytes;                  /* what they take, rounding included [I2] */
};

FH_CHECKED int fh_extras_init(struct fh_extras *, struct fh_mem *);
void fh_extras_fini(struct fh_extras *);

/* An entry with a copy of the name; *ref, never 0, is untouched on error. */
FH_CHECKED int fh_extras_take(struct fh_extras *, const struct fh_extra *, uint32_t *ref);
/* FH_EXTRAS_NONE is fine. */
void fh_extras_give(struct fh_extras *, uint32_t ref);
/* The entry keeps its home alone, in the room it has. */
void fh_extras_drop_name(struct fh_extras *, uint32_t ref);
/* The entry, which has a home, keeps the rest, in the room it has. */
void fh_extras_drop_home(struct fh_extras *, uint32_t ref);
/* What the entry holds; of FH_EXTRAS_NONE nothing. */
struct fh_extra fh_extras_get(const struct fh_extras *, uint32_t ref);

struct fh_extras_stats {
    uint64_t entries, entry_bytes;
    uint64_t chunks;     /* with memory */
    uint64_t book_bytes; /* of these chunks and the books of all */
};
void fh_extras_stats(const struct fh_extras *, struct fh_extras_stats *out);
bool fh_extras_check(const struct fh_extras *, FILE *why);
void fh_extras_dump(const struct fh_extras *, FILE *out);

#endif
