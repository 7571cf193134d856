/*
 * Theory.  Names are many and short, so what an allocator adds to each counts. Here an entry is two
 * bytes longer than what it holds. Entries of one size class share chunks of 16 KiB, cut from one
 * lazily touched map; classes are 2 B apart up to 64 B, then eight per doubling. A reference is the
 * entry's place in the map in steps of 2 B.
 *
 *   chunk   [entry][entry][free ]..[entry]|  never touched  |
 *   entry   [head: live, has home, expiry; length of the name][home][expiry][name]
 *   free    [head: the next free entry of the chunk]
 *
 * A chunk has its entries from a list threaded through the free ones, then from the part never
 * touched. An empty one serves any class next; the first few keep their memory, those beyond give
 * it back. What an entry holds may become less where it is, because that must not fail.
 *
 * Invariants
 *   [I1] used of a chunk is the number of its live heads; count is their sum
 *   [I2] the free list of a chunk and its live entries are all entries below `carved`; entry_bytes
 *        is the sum of the class sizes of the live ones, which have room for what they hold
 *   [I3] a chunk is in the list that its state demands: of its class when some but not all entries
 *        are in use, of none when all are, of the warm or the cold ones when none is
 */
#include "extras.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bits.h"
#include "report.h"

enum {
    STEP = 2,
    SMALL_MAX = 64, /* up to this size classes are a step apart */
    HEAD_LIVE = 1 << 15,
    HEAD_EXPIRY = 1 << 14,
    HEAD_HOME = 1 << 13,
    HEAD_NAME = (1 << 11) - 1,
    CHUNK_STEPS = FH_EXTRAS_CHUNK_SIZE / STEP,
    HOME_BYTES = 6,
    ENTRY_MAX = 2 + HOME_BYTES + 4 + FH_EXTRAS_NAME_MAX,
};

enum { LIST_NONE, LIST_ROOM, LIST_WARM, LIST_COLD };

#define BYTES_SIZE  ((size_t)FH_EXTRAS_CHUNKS * FH_EXTRAS_CHUNK_SIZE)
#define CHUNKS_SIZE ((size_t)FH_EXTRAS_CHUNKS * sizeof(struct fh_extras_chunk))

_Static_assert(sizeof(struct fh_extras_chunk) == 16, "the books of a chunk are a thousandth of it");

/* --- sizes --- */

static uint32_t class_of_size(uint32_t size)
{
    if (size <= SMALL_MAX)
        return (size + STEP - 1) / STEP;
    uint32_t doubling = fh_log2_floor(size - 1);
    return SMALL_MAX / STEP + (doubling - 6) * 8 + ((size - 1) >> (doubling - 3) & 7) + 1;
}

static uint32_t class_size(uint32_t class)
{
    if (class <= SMALL_MAX / STEP)
        return class * STEP;
    uint32_t above = class - SMALL_MAX / STEP;
    return (8 + above % 8) << (above / 8 + 3);
}

_Static_assert(ENTRY_MAX <= 1152, "the largest entry is of the last class");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a home is the lower bytes of a word");
_Static_assert(FH_EXTRAS_CLASSES == SMALL_MAX / STEP + 4 * 8 + 2, "one class above 1 KiB");

static uint32_t class_entries(uint32_t class)
{
    return FH_EXTRAS_CHUNK_SIZE / class_size(class);
}

static uint32_t entry_size(uint32_t head)
{
    return 2u + (head & HEAD_HOME ? HOME_BYTES : 0u) + (head & HEAD_EXPIRY ? 4u : 0u) +
           (head & HEAD_NAME);
}

int fh_extras_init(struct fh_extras *e, struct fh_mem *mem)
{
    *e = (struct fh_extras){.mem = mem, .chunks_end = 1, .chunks_max = FH_EXTRAS_CHUNKS};
    e->bytes = fh_mem_map(mem, BYTES_SIZE);
    e->chunks = fh_mem_map(mem, CHUNKS_SIZE);
    if (e->bytes && e->chunks)
        return 0;
    fh_extras_fini(e);
    return -ENOMEM;
}

void fh_extras_fini(struct fh_extras *e)
{
    fh_mem_unmap(e->mem, e->bytes, BYTES_SIZE);
    fh_mem_unmap(e->mem, e->chunks, CHUNKS_SIZE);
    e->bytes = NULL;
    e->chunks = NULL;
}

/* --- lists of chunks --- */

static uint32_t *list_head(struct fh_extras *e, const struct fh_extras_chunk *c)
{
    return c->list == LIST_ROOM   ? &e->with_room[c->class]
           : c->list == LIST_WARM ? &e->warm
                                  : &e->cold;
}

static void chunk_unlink(struct fh_extras *e, uint32_t number)
{
    struct fh_extras_chunk *c = &e->chunks[number];

    if (c->list == LIST_NONE)
        return;
    if (c->prev != 0)
        e->chunks[c->prev].next = c->next;
    else
        *list_head(e, c) = c->next;
    if (c->next != 0)
        e->chunks[c->next].prev = c->prev;
    e->warm_chunks -= c->list == LIST_WARM;
    e->cold_chunks -= c->list == LIST_COLD;
    c->list = LIST_NONE;
}

static void chunk_link(struct fh_extras *e, uint32_t number, uint8_t list)
{
    struct fh_extras_chunk *c = &e->chunks[number];

    c->list = list;
    uint32_t *head = list_head(e, c);
    c->prev = 0;
    c->next = *head;
    if (c->next != 0)
        e->chunks[c->next].prev = number;
    *head = number;
    e->warm_chunks += list == LIST_WARM;
    e->cold_chunks += list == LIST_COLD;
}

/* A chunk with a free entry of this class; 0: there is no more room. */
static uint32_t chunk_with_room(struct fh_extras *e, uint32_t class)
{
    uint32_t number = e->with_room[class];

    if (number != 0)
        return number;
    number = e->warm != 0 ? e->warm : e->cold;
    if (number != 0)
        chunk_unlink(e, number);
    else if (e->chunks_end < e->chunks_max)
        number = e->chunks_end++;
    else
        return 0;
    e->chunks[number] = (struct fh_extras_chunk){.class = (uint8_t) class};
    chunk_link(e, number, LIST_ROOM);
    return number;
}

static void chunk_retire(struct fh_extras *e, uint32_t number)
{
    bool keep = e->warm_chunks < FH_EXTRAS_WARM_MAX;

    chunk_unlink(e, number);
    if (!keep)
        fh_mem_forget(e->bytes + (size_t)number * FH_EXTRAS_CHUNK_SIZE, FH_EXTRAS_CHUNK_SIZE);
    chunk_link(e, number, keep ? LIST_WARM : LIST_COLD);
}

/* --- entries --- */

static uint16_t head_at(const struct fh_extras *e, uint64_t step)
{
    uint16_t head;

    memcpy(&head, e->bytes + step * STEP, sizeof(head));
    return head;
}

static void set_head(struct fh_extras *e, uint64_t step, uint32_t value)
{
    uint16_t head = (uint16_t)value;

    memcpy(e->bytes + step * STEP, &head, sizeof(head));
}

/* A free entry of a chunk that has one, by steps from the start of the map. */
static uint32_t chunk_take(struct fh_extras *e, uint32_t number)
{
    struct fh_extras_chunk *c = &e->chunks[number];
    uint32_t step = number * CHUNK_STEPS;

    if (c->free_head != 0) {
        step += c->free_head - 1u;
        c->free_head = head_at(e, step);
    } else {
        step += c->carved++ * (class_size(c->class) / STEP);
    }
    if (++c->used == class_entries(c->class))
        chunk_unlink(e, number);
    return step;
}

int fh_extras_take(struct fh_extras *e, const struct fh_extra *x, uint32_t *ref)
{
    if (x->name_size > FH_EXTRAS_NAME_MAX)
        return -EINVAL;
    uint32_t head = HEAD_LIVE | (x->home != 0 ? HEAD_HOME : 0u) |
                    (x->expiry != 0 ? HEAD_EXPIRY : 0u) | x->name_size;
    uint32_t class = class_of_size(entry_size(head));
    uint32_t number = chunk_with_room(e, class);
    if (number == 0)
        return -ENOMEM;

    uint32_t step = chunk_take(e, number);
    uint8_t *at = e->bytes + (size_t)step * STEP + 2;
    set_head(e, step, head);
    if (x->home != 0) {
        memcpy(at, &x->home, HOME_BYTES);
        at += HOME_BYTES;
    }
    if (x->expiry != 0) {
        memcpy(at, &x->expiry, sizeof(x->expiry));
        at += sizeof(x->expiry);
    }
    if (x->name_size > 0)
        memcpy(at, x->name, x->name_size);
    e->count++;
    e->entry_bytes += class_size(class);
    *ref = step;
    return 0;
}

void fh_extras_give(struct fh_extras *e, uint32_t ref)
{
    uint32_t number = ref / CHUNK_STEPS;
    struct fh_extras_chunk *c = &e->chunks[number];

    if (ref == FH_EXTRAS_NONE)
        return;
    FH_ASSERT(number < e->chunks_end);
    FH_ASSERT(head_at(e, ref) & HEAD_LIVE); /* not given twice */
    FH_ASSERT(c->used > 0);                 /* [I1] */
    e->count--;
    e->entry_bytes -= class_size(c->class);
    set_head(e, ref, c->free_head);
    c->free_head = (uint16_t)(ref % CHUNK_STEPS + 1);
    if (--c->used == 0)
        chunk_retire(e, number);
    else if (c->list == LIST_NONE)
        chunk_link(e, number, LIST_ROOM);
}

void fh_extras_drop_name(struct fh_extras *e, uint32_t ref)
{
    uint32_t head = head_at(e, ref);

    FH_ASSERT(head & HEAD_LIVE);
    set_head(e, ref, head & (HEAD_LIVE | HEAD_HOME));
}

void fh_extras_drop_home(struct fh_extras *e, uint32_t ref)
{
    FH_ASSERT(head_at(e, ref) & HEAD_LIVE);
    FH_ASSERT(head_at(e, ref) & HEAD_HOME);
    memset(e->bytes + (size_t)ref * STEP + 2, 0, HOME_BYTES);
}

struct fh_extra fh_extras_get(const struct fh_extras *e, uint32_t ref)
{
    struct fh_extra x = {0};

    if (ref == FH_EXTRAS_NONE)
        return x;
    uint32_t head = head_at(e, ref);
    FH_ASSERT(head & HEAD_LIVE);
    x.name = e->bytes + (size_t)ref * STEP + 2;
    x.name_size = head & HEAD_NAME;
    if (head & HEAD_HOME) {
        memcpy(&x.home, x.name, HOME_BYTES);
        x.name += HOME_BYTES;
    }
    if (head & HEAD_EXPIRY) {
        memcpy(&x.expiry, x.name, sizeof(x.expiry));
        x.name += sizeof(x.expiry);
    }
    return x;
}

/* --- looking inside --- */

void fh_extras_stats(const struct fh_extras *e, struct fh_extras_stats *out)
{
    uint64_t chunks = e->chunks_end - 1 - e->cold_chunks;

    *out = (struct fh_extras_stats){
        .entries = e->count,
        .entry_bytes = e->entry_bytes,
        .chunks = chunks,
        .book_bytes = chunks * FH_EXTRAS_CHUNK_SIZE + e->chunks_end * sizeof(*e->chunks),
    };
}

/* Live entries of a chunk; those of the free list are reported where they are not as they should. */
static uint32_t check_entries(const struct fh_extras *e, uint32_t number, struct fh_report *r)
{
    const struct fh_extras_chunk *c = &e->chunks[number];
    uint32_t steps = class_size(c->class) / STEP, live = 0, freed = 0;
    uint64_t start = (uint64_t)number * CHUNK_STEPS;

    for (uint32_t i = 0; i < c->carved; i++) {
        uint32_t head = head_at(e, start + i * steps);
        live += (head & HEAD_LIVE) != 0;
        if (head & HEAD_LIVE && class_of_size(entry_size(head)) > c->class)
            fh_report(r, "[I2] chunk %u: entry %u is of another class", number, i);
    }
    for (uint32_t f = c->free_head; f != 0 && freed <= c->carved; freed++) {
        uint32_t head = head_at(e, start + f - 1);
        if (head & HEAD_LIVE || head > CHUNK_STEPS || (f - 1) % steps != 0) {
            fh_report(r, "[I2] chunk %u: its free list leads to %u", number, f);
            break;
        }
        f = head;
    }
    if (live + freed != c->carved)
        fh_report(r, "[I2] chunk %u: %u live and %u free entries of %u", number, live, freed,
                  (unsigned)c->carved);
    return live;
}

static uint8_t list_demanded(const struct fh_extras_chunk *c)
{
    if (c->used == 0)
        return c->list == LIST_COLD ? LIST_COLD : LIST_WARM;
    return c->used == class_entries(c->class) ? LIST_NONE : LIST_ROOM;
}

/* Chunks of a list, which must all know that they are in it. */
static uint32_t check_list(const struct fh_extras *e, uint32_t head, uint8_t list, uint32_t class,
                           struct fh_report *r)
{
    uint32_t count = 0, prev = 0;

    for (uint32_t n = head; n != 0 && count < e->chunks_end; n = e->chunks[n].next, count++) {
        const struct fh_extras_chunk *c = &e->chunks[n];
        if (c->list != list || c->prev != prev || (list == LIST_ROOM && c->class != class))
            fh_report(r, "[I3] chunk %u: in a list that is not its own", n);
        prev = n;
    }
    return count;
}

static void check_lists(const struct fh_extras *e, struct fh_report *r)
{
    uint32_t demanded[LIST_COLD + 1] = {0}, with_room = 0;

    for (uint32_t n = 1; n < e->chunks_end; n++) {
        demanded[list_demanded(&e->chunks[n])]++;
        if (e->chunks[n].list != list_demanded(&e->chunks[n]))
            fh_report(r, "[I3] chunk %u: %u entries used, in list %u", n,
                      (unsigned)e->chunks[n].used, (unsigned)e->chunks[n].list);
    }
    for (uint32_t class = 0; class < FH_EXTRAS_CLASSES; class ++)
        with_room += check_list(e, e->with_room[class], LIST_ROOM, class, r);
    uint32_t warm = check_list(e, e->warm, LIST_WARM, 0, r);
    uint32_t cold = check_list(e, e->cold, LIST_COLD, 0, r);
    if (with_room != demanded[LIST_ROOM] || warm != demanded[LIST_WARM] ||
        cold != demanded[LIST_COLD] || warm != e->warm_chunks || cold != e->cold_chunks)
        fh_report(r, "[I3] lists of %u, %u warm, %u cold chunks; counted %u, %u, %u", with_room,
                  warm, cold, demanded[LIST_ROOM], demanded[LIST_WARM], demanded[LIST_COLD]);
}

bool fh_extras_check(const struct fh_extras *e, FILE *why)
{
    struct fh_report r = {.out = why, .lines_max = 20};
    uint64_t count = 0, bytes = 0;

    for (uint32_t n = 1; n < e->chunks_end; n++) {
        const struct fh_extras_chunk *c = &e->chunks[n];
        uint32_t live = c->list == LIST_COLD ? 0 : check_entries(e, n, &r);
        if (live != c->used)
            fh_report(&r, "[I1] chunk %u: %u used, counted %u", n, (unsigned)c->used, live);
        count += live;
        bytes += (uint64_t)live * class_size(c->class);
    }
    check_lists(e, &r);
    if (count != e->count)
        fh_report(&r, "[I1] %" PRIu64 " entries, counted %" PRIu64, e->count, count);
    if (bytes != e->entry_bytes)
        fh_report(&r, "[I2] %" PRIu64 " bytes, counted %" PRIu64, e->entry_bytes, bytes);
    return r.broken == 0;
}

void fh_extras_dump(const struct fh_extras *e, FILE *out)
{
    fprintf(out, "extras: %" PRIu64 " entries of %" PRIu64 " bytes; %u chunks, %u empty\n",
            e->count, e->entry_bytes, e->chunks_end - 1, e->warm_chunks + e->cold_chunks);
    for (uint32_t n = 1; n < e->chunks_end; n++)
        if (e->chunks[n].used > 0)
            fprintf(out, "  chunk %u: %u entries of %u bytes\n", n, (unsigned)e->chunks[n].used,
                    class_size(e->chunks[n].class));
}
