/*
 * Theory.  A mutation is one function from a state to a state, run in one turn: check everything,
 * make the pages possible (pager_prepare), then change. If the pages are not possible now it is
 * parked, and when its turn comes it begins again from the first check, because whatever it saw
 * before may have changed since. So there is no half of a mutation, and nothing of it is kept
 * across a wait.
 *
 * Small objects share pages with others. Their record says up to which byte they were ever written
 * (`filled`): what lies beyond reads as zeros, or as the initial bytes of its typed cache, whatever
 * the page holds, so allocating and freeing one touches no page. A write beyond it first fills the
 * gap with these.
 */
#include <errno.h>
#include <string.h>

#include "bits.h"
#include "zone_private.h"

static struct fh_span span_of(enum fh_span_kind kind, const struct fh_object *o, uint64_t from,
                              uint64_t to)
{
    return (struct fh_span){.kind = kind, .start = fh_object_addr(o, from), .size = to - from};
}

static int mutation_prepare(struct fh_mutation *m, struct fh_span span)
{
    return fh_pager_prepare(&m->zone->pager, &m->call, &m->hold, span);
}

static int mutation_check_range(const struct fh_mutation *m, const struct fh_object *o,
                                uint64_t size)
{
    uint64_t whole = fh_object_size(o);

    return m->offset <= whole && size <= whole - m->offset ? 0 : -EINVAL;
}

/* Zeros are written, not whole pages made NOTHING: the frame of a chunk that leaves would not be there
 * again for what is written next, which was counted to go in place. */
void fh_zone_clear(struct fh_zone *z, struct fh_addr at, uint64_t size)
{
    while (size > 0) {
        uint64_t part = fh_min_u64(size, FH_PAGE_SIZE - fh_addr_in_page(at));
        fh_pager_write(&z->pager, at, fh_pager_zero_page(), part);
        at.v += part;
        size -= part;
    }
}

/*
 * Makes [offset, offset + size) writable. If there is a gap between it and what was filled before,
 * all from there on is cleared: whole pages of the gap and the range may hold a predecessor's
 * bytes, which were not read in. Then the gap gets the initial bytes, if there are some.
 */
static int mutation_open_range(struct fh_mutation *m, const struct fh_object *o, uint64_t size)
{
    uint64_t filled = fh_object_filled(o);
    uint64_t from = fh_min_u64(filled, m->offset);
    uint64_t end = m->offset + size;
    int rc = mutation_prepare(m, span_of(FH_SPAN_COPY, o, from, end));

    if (rc != 0)
        return rc;
    if (filled >= m->offset)
        return 0;
    const struct fh_initial *initial = fh_zone_initial(m->zone, o);
    fh_zone_clear(m->zone, fh_object_addr(o, filled), end - filled);
    if (initial)
        fh_pager_write(&m->zone->pager, fh_object_addr(o, filled), initial->bytes + filled,
                       m->offset - filled);
    return 0;
}

static int mutate_write(struct fh_mutation *m, const struct fh_object *o)
{
    int rc;

    if (m->size > FH_WRITE_MAX)
        return -EFBIG;
    if ((rc = mutation_check_range(m, o, m->size)) != 0 || m->size == 0)
        return rc;
    if ((rc = mutation_open_range(m, o, m->size)) != 0)
        return rc;
    fh_pager_write(&m->zone->pager, fh_object_addr(o, m->offset), m->body, m->size);
    fh_zone_set_filled(m->zone, o, fh_max_u64(fh_object_filled(o), m->offset + m->size));
    return 0;
}

/* Where the object would read as something else it gets zeros like any other bytes. */
static int mutate_zero_initial(struct fh_mutation *m, const struct fh_object *o)
{
    int rc;

    if (m->size == 0)
        return 0;
    if ((rc = mutation_open_range(m, o, m->size)) != 0)
        return rc;
    fh_pager_zero(&m->zone->pager, fh_object_addr(o, m->offset), m->size);
    fh_zone_set_filled(m->zone, o, fh_max_u64(fh_object_filled(o), m->offset + m->size));
    return 0;
}

static int mutate_zero(struct fh_mutation *m, const struct fh_object *o)
{
    uint64_t filled = fh_object_filled(o);
    uint64_t end = m->offset + m->size;
    int rc;

    if ((rc = mutation_check_range(m, o, m->size)) != 0)
        return rc;
    if (fh_zone_initial(m->zone, o))
        return mutate_zero_initial(m, o);
    if (o->small && end >= filled) {
        fh_zone_set_filled(m->zone, o, fh_min_u64(filled, m->offset));
        return 0;
    }
    if (m->size == 0)
        return 0;
    if ((rc = mutation_prepare(m, span_of(FH_SPAN_ZERO, o, m->offset, end))) != 0)
        return rc;
    fh_zone_zero(m->zone, fh_object_addr(o, m->offset), m->size);
    return 0;
}

/* SWAP and ADD: one 8-byte word, read and written in one step. */
static int mutate_word(struct fh_mutation *m, const struct fh_object *o)
{
    struct fh_pager *p = &m->zone->pager;
    uint64_t word = 0;
    int rc;

    if (m->offset % sizeof(word) != 0)
        return -EINVAL;
    if ((rc = mutation_check_range(m, o, sizeof(word))) != 0)
        return rc;
    if ((rc = mutation_open_range(m, o, sizeof(word))) != 0)
        return rc;
    uint64_t kept = fh_object_filled(o);
    kept = kept > m->offset ? fh_min_u64(kept - m->offset, sizeof(word)) : 0;
    if (fh_zone_initial(m->zone, o))
        memcpy(&word, fh_zone_initial(m->zone, o)->bytes + m->offset, sizeof(word));
    fh_pager_peek(p, fh_object_addr(o, m->offset), &word, kept);
    m->before = word; /* the machine is little endian, as the wire is */
    m->swapped = m->kind == FH_MUTATE_SWAP && word == m->expected;
    if (m->kind == FH_MUTATE_ADD || m->swapped)
        word = m->kind == FH_MUTATE_ADD ? word + m->operand : m->operand;
    fh_pager_write(p, fh_object_addr(o, m->offset), &word, sizeof(word));
    fh_zone_set_filled(m->zone, o, fh_max_u64(fh_object_filled(o), m->offset + sizeof(word)));
    return 0;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words of objects are little endian");

/* Tells the policy, once, which bytes are touched. Zero and Resize go by whole ranges. */
static void mutation_touch(struct fh_mutation *m, const struct fh_object *o)
{
    bool is_word = m->kind == FH_MUTATE_SWAP || m->kind == FH_MUTATE_ADD;
    uint64_t size = is_word ? sizeof(uint64_t) : m->size;

    if (m->touched || (!is_word && m->kind != FH_MUTATE_WRITE) || size == 0 ||
        mutation_check_range(m, o, size) != 0)
        return;
    m->touched = true;
    m->advice = fh_zone_touch(m->zone, m->ref.stream, o, m->offset, size, false);
}

/* A RESIZE may move the object: *o is then where it is. */
static int mutation_apply(struct fh_mutation *m, struct fh_object *o)
{
    switch (m->kind) {
    case FH_MUTATE_WRITE:
        return mutate_write(m, o);
    case FH_MUTATE_ZERO:
        return mutate_zero(m, o);
    case FH_MUTATE_SWAP:
    case FH_MUTATE_ADD:
        return mutate_word(m, o);
    case FH_MUTATE_RESIZE:
        return fh_zone_resize_step(m, o);
    }
    return -EINVAL;
}

/* A failed swap changes nothing that anybody can see. */
static bool mutation_bumps(const struct fh_mutation *m)
{
    return m->kind != FH_MUTATE_SWAP || m->swapped;
}

static int mutation_step(struct fh_call *call)
{
    struct fh_mutation *m = FH_CONTAINER_OF(call, struct fh_mutation, call);
    struct fh_object o;
    int failed = fh_hold_is_bound(&m->hold) ? m->hold.error : 0;
    int rc;

    fh_pager_release(&m->zone->pager, &m->hold);
    if (failed == -EIO)
        return failed; /* a lost page shows itself again below */
    if ((rc = fh_zone_resolve(m->zone, &m->ref, &o)) != 0)
        return rc;
    if ((rc = fh_zone_may_change(m->zone, &o, &m->cond)) != 0)
        return rc;
    mutation_touch(m, &o);
    fh_pager_quiet(&m->zone->pager, m->advice.quiet, m->advice.quiet_count);
    rc = mutation_apply(m, &o);
    fh_pager_quiet(&m->zone->pager, m->advice.quiet, 0);
    if (rc != 0)
        return rc;
    fh_zone_follow(m->zone, &m->advice);
    if (mutation_bumps(m))
        fh_zone_bump(m->zone, &o);
    fh_zone_describe(m->zone, &o, &m->object);
    return 0;
}

static void mutation_end_move(struct fh_mutation *m)
{
    fh_mem_give(&m->zone->mem, m->move, sizeof(*m->move));
    m->move = NULL;
}

/* Runs when a parked mutation is over, before its owner is told. */
static int mutation_parked_step(struct fh_call *call)
{
    int rc = mutation_step(call);

    if (rc != -EINPROGRESS)
        mutation_end_move(FH_CONTAINER_OF(call, struct fh_mutation, call));
    return rc;
}

int fh_zone_mutate(struct fh_zone *z, struct fh_mutation *m)
{
    m->zone = z;
    m->move = NULL;
    m->swapped = false;
    m->touched = false;
    m->advice = (struct fh_readahead_advice){.ahead_count = 0};
    fh_hold_init(&m->hold);
    fh_call_init(&m->call, mutation_parked_step);
    return mutation_parked_step(&m->call);
}

void fh_zone_mutate_cancel(struct fh_mutation *m)
{
    fh_pager_cancel(&m->zone->pager, &m->call);
    mutation_end_move(m);
}
