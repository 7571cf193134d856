#include "tests/bench/bench_alloc_sides.h"

#include <errno.h>
#include <openssl/rand.h>
#include <sys/mman.h>

#include "alloc/buddy.h"
#include "alloc/heap.h"
#include "alloc/objects.h"
#include "tests/bench/bench_alloc_run.h"

/* --- a buddy --- */

struct buddy_state {
    struct fh_mem mem;
    struct fh_buddy_tables tables;
    struct fh_buddy buddy;
};

static void buddy_open(struct bench_side *side)
{
    struct buddy_state *s = bench_room(1, sizeof(*s));
    fh_buddy_tables_init(&s->tables, side->system, FH_BUDDY_GRANULES_MAX);
    bench_must(fh_buddy_init(&s->buddy, &s->tables, &s->mem));
    side->state = s;
}

static void buddy_close(struct bench_side *side)
{
    struct buddy_state *s = side->state;
    fh_buddy_fini(&s->buddy);
    free(s);
}

static uint64_t buddy_take(void *state, uint64_t bytes, uint64_t *what)
{
    struct buddy_state *s = state;
    struct fh_buddy_block block;
    if (fh_buddy_alloc(&s->buddy, (uint32_t)(bytes >> FH_PAGE_SHIFT), &block) != 0)
        return 0;
    *what = block.start;
    return (uint64_t)block.size << FH_PAGE_SHIFT;
}

static void buddy_give(void *state, uint64_t what)
{
    struct buddy_state *s = state;
    bench_must(fh_buddy_free(&s->buddy, (uint32_t)what));
}

/* Bytes of a map that memory stands behind. */
static uint64_t touched_bytes(void *map, uint64_t size)
{
    uint64_t pages = (size + FH_PAGE_SIZE - 1) / FH_PAGE_SIZE, touched = 0;
    unsigned char *resident = bench_room(pages, 1);
    bench_must(mincore(map, size, resident) == 0 ? 0 : -errno);
    for (uint64_t i = 0; i < pages; i++)
        touched += resident[i] & 1;
    free(resident);
    return touched * FH_PAGE_SIZE < size ? touched * FH_PAGE_SIZE : size;
}

static void buddy_books(void *state, uint64_t used_bytes, FILE *out)
{
    const struct buddy_state *s = state;
    uint64_t touched = touched_bytes(s->buddy.books, s->buddy.books_size);
    double share = 100.0 * (double)touched / (double)used_bytes;
    fprintf(out, "  %-34s %7.4f %% of used space; %u KiB of %u KiB are touched   %s\n",
            s->tables.system->name, share, (unsigned)(touched >> 10),
            (unsigned)(s->buddy.books_size >> 10), share <= 0.1 ? "PASS" : "miss");
}

struct bench_side side_buddy(const struct fh_buddy_system *system)
{
    return (struct bench_side){.name = system->name,
                               .open = buddy_open,
                               .close = buddy_close,
                               .take = buddy_take,
                               .give = buddy_give,
                               .books = buddy_books,
                               .system = system};
}

/* --- a slab, and an object: a slab with a record --- */

enum { KEYS = 256 };

struct heap_state {
    struct fh_mem mem;
    struct fh_heap heap;
    struct fh_objects objects;
    uint64_t keys[KEYS]; /* random numbers not used yet */
    uint32_t keys_left;
    uint64_t version;
};

static struct heap_state *heap_open(uint32_t record_bytes)
{
    struct heap_state *s = bench_room(1, sizeof(*s));
    bench_must(fh_heap_init(&s->heap, &(struct fh_heap_opts){.mem = &s->mem,
                                                             .system = &fh_buddy_binary,
                                                             .record_bytes = record_bytes}));
    return s;
}

static void slab_open(struct bench_side *side)
{
    side->state = heap_open(0);
}

static void slab_close(struct bench_side *side)
{
    struct heap_state *s = side->state;
    fh_heap_fini(&s->heap);
    free(s);
}

static void object_open(struct bench_side *side)
{
    struct heap_state *s = heap_open(sizeof(struct fh_small));
    bench_must(fh_objects_init(&s->objects, &s->mem, &s->heap.slab));
    side->state = s;
}

static void object_close(struct bench_side *side)
{
    struct heap_state *s = side->state;
    fh_objects_fini(&s->objects);
    slab_close(side);
}

static uint64_t slab_take(void *state, uint64_t bytes, uint64_t *what)
{
    struct heap_state *s = state;
    struct fh_heap_block block;
    if (fh_heap_alloc(&s->heap, 0, bytes, 0, &block) != 0)
        return 0;
    *what = block.addr.v;
    return block.room_bytes;
}

static void slab_give(void *state, uint64_t what)
{
    struct heap_state *s = state;
    bench_must(fh_heap_free(&s->heap, (struct fh_addr){what}));
}

static uint64_t heap_new_key(struct heap_state *s)
{
    if (s->keys_left == 0) {
        bench_must(RAND_priv_bytes((uint8_t *)s->keys, sizeof(s->keys)) == 1 ? 0 : -EIO);
        s->keys_left = KEYS;
    }
    uint64_t key = s->keys[--s->keys_left];
    return key ? key : 1;
}

/* As a zone makes an object. */
static uint64_t object_take(void *state, uint64_t bytes, uint64_t *what)
{
    struct heap_state *s = state;
    struct fh_heap_block block;

    if (fh_heap_alloc(&s->heap, 0, bytes, 0, &block) != 0)
        return 0;
    struct fh_object o = fh_objects_take_small(&s->objects, &block, heap_new_key(s));
    fh_objects_resize(&s->objects, &o, bytes);
    fh_object_set_version(&o, ++s->version);
    *what = block.addr.v;
    return block.room_bytes;
}

/* As a zone frees one for a client that shows address and key. */
static void object_give(void *state, uint64_t what)
{
    struct heap_state *s = state;
    struct fh_addr addr = {what};
    struct fh_heap_block found;

    bench_must(fh_heap_find(&s->heap, addr, &found));
    struct fh_object o = fh_objects_of_block(&s->objects, &found);
    if (!fh_objects_match(&o, addr, fh_object_key(&o), 0))
        bench_must(-116);
    fh_objects_give(&s->objects, &o);
    bench_must(fh_heap_free(&s->heap, addr));
}

struct bench_side side_slab(void)
{
    return (struct bench_side){.name = "slab, bare",
                               .open = slab_open,
                               .close = slab_close,
                               .take = slab_take,
                               .give = slab_give};
}

struct bench_side side_object(void)
{
    return (struct bench_side){.name = "slab, record and key",
                               .open = object_open,
                               .close = object_close,
                               .take = object_take,
                               .give = object_give};
}
