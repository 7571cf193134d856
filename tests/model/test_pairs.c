/*
 * Every pair of operations on one page, the second begun while the first is in flight, from every
 * state the page can be in, and with their I/O ending in either order. A plain array is the model;
 * a mutation takes effect in it when the zone says that it is done, and a read must be one of the
 * contents that there were between its beginning and its end.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/zone_rig.h"

enum {
    PAGE = FH_PAGE_SIZE,
    SIZE = 40 * PAGE,   /* of the object */
    FILLED = 12 * PAGE, /* of it, written at first */
    TARGET = 5 * PAGE,  /* the page that all is about */
    MOVED = 200 * PAGE, /* what it is resized to: needs another block */
    LATE = 8,           /* reaps that the slower transfer takes */
    CONTENTS = 4,
};

enum op_kind {
    OP_READ,  /* some pages around it, held until both are over */
    OP_CLONE, /* a read of the whole object: a view */
    OP_WRITE_PART,
    OP_WRITE_WHOLE,
    OP_STAGED_EDGE,  /* begins inside the page */
    OP_STAGED_WHOLE, /* replaces it */
    OP_ZERO_PART,
    OP_ZERO_WHOLE,
    OP_FREE,
    OP_EVICT,
    OP_READ_IN, /* nobody waits for it */
    OP_BAD_TAG, /* its place on disk goes wrong, and it is read in */
    OP_MOVE,
    OPS
};

enum start { START_DIRTY, START_CLEAN, START_SWAPPED, STARTS };

struct op {
    struct pair *pair;
    enum op_kind kind;
    int rc;
    bool waits;
    uint32_t first_content; /* a read's: the newest when it began ... */
    uint32_t last_content;  /* ... and when it had its bytes */
    union {
        struct fh_mutation mutation;
        struct fh_reader reader;
        struct fh_stage stage;
    } u;
};

struct pair {
    struct zone_rig rig;
    struct fh_object_view object;
    bool live;
    uint8_t contents[CONTENTS][FILLED];
    uint32_t newest;
    struct op ops[2];
    char name[80];
};

static struct pair pair;
static uint8_t body[2][3 * PAGE], got[SIZE];

static bool either_is(enum op_kind kind)
{
    return pair.ops[0].kind == kind || pair.ops[1].kind == kind;
}

static bool op_stages(const struct op *op)
{
    return op->kind == OP_STAGED_EDGE || op->kind == OP_STAGED_WHOLE;
}

static bool op_reads(const struct op *op)
{
    return op->kind == OP_READ || op->kind == OP_CLONE;
}

static uint64_t op_offset(const struct op *op)
{
    switch (op->kind) {
    case OP_CLONE:
        return 0;
    case OP_WRITE_PART:
        return TARGET + 100;
    case OP_STAGED_EDGE:
        return TARGET + 1000;
    case OP_ZERO_PART:
        return TARGET + 50;
    case OP_READ:
    case OP_STAGED_WHOLE:
        return TARGET - PAGE;
    default:
        return TARGET;
    }
}

static uint64_t op_size(const struct op *op)
{
    switch (op->kind) {
    case OP_CLONE:
        return SIZE;
    case OP_READ:
    case OP_STAGED_WHOLE:
        return 3 * PAGE;
    case OP_STAGED_EDGE:
        return 2 * PAGE;
    case OP_WRITE_PART:
    case OP_ZERO_PART:
        return 300;
    case OP_MOVE:
        return MOVED;
    default:
        return PAGE;
    }
}

/* --- ends --- */

static void expect_excused(const struct op *op)
{
    bool stale = op->rc == -ESTALE && (either_is(OP_FREE) || either_is(OP_MOVE));
    bool lost = op->rc == -EBADMSG && either_is(OP_BAD_TAG);

    cr_assert(stale || lost, "%s: operation %d: %s", pair.name, op->kind, strerror(-op->rc));
}

/* The mutation takes effect in the model. */
static void op_apply(struct op *op)
{
    uint32_t index = (uint32_t)(op - pair.ops);
    uint8_t *content = pair.contents[++pair.newest];

    memcpy(content, pair.contents[pair.newest - 1], FILLED);
    if (op->kind == OP_ZERO_PART || op->kind == OP_ZERO_WHOLE)
        memset(content + op_offset(op), 0, op_size(op));
    else if (op->kind != OP_MOVE)
        memcpy(content + op_offset(op), body[index], op_size(op));
    pair.object = op_stages(op) ? op->u.stage.object : op->u.mutation.object;
}

static void op_end(struct op *op, int rc)
{
    op->rc = rc;
    op->waits = rc == -EINPROGRESS;
    op->last_content = pair.newest;
    if (op->waits)
        return;
    if (rc != 0)
        expect_excused(op);
    else if (!op_reads(op))
        op_apply(op);
    if (rc != 0 && op_stages(op))
        fh_stage_abort(&op->u.stage);
}

static void op_done(struct fh_call *call)
{
    op_end(FH_CONTAINER_OF(call, struct op, u), call->rc);
}

/* --- beginnings --- */

static void op_init(struct op *op, enum op_kind kind)
{
    uint32_t index = (uint32_t)(op - pair.ops);

    memset(op, 0, sizeof(*op));
    op->pair = &pair;
    op->kind = kind;
    zone_fill(body[index], 1000 + index, sizeof(body[index]));
    if (!op_stages(op))
        return;
    cr_assert_eq(fh_stage_open(&pair.rig.zone, &op->u.stage, ZONE_TENANT, op_size(op),
                               (uint32_t)(op_offset(op) % PAGE)),
                 0);
    cr_assert_eq(zone_receive(&pair.rig, &op->u.stage, body[index]), 0);
    op->u.stage.call.done = op_done;
}

static void begin_mutation(struct op *op)
{
    static const enum fh_mutation_kind kinds[OPS] = {[OP_WRITE_PART] = FH_MUTATE_WRITE,
                                                     [OP_WRITE_WHOLE] = FH_MUTATE_WRITE,
                                                     [OP_ZERO_PART] = FH_MUTATE_ZERO,
                                                     [OP_ZERO_WHOLE] = FH_MUTATE_ZERO,
                                                     [OP_MOVE] = FH_MUTATE_RESIZE};

    op->u.mutation = (struct fh_mutation){.kind = kinds[op->kind],
                                          .ref = pair.object.ref,
                                          .offset = op_offset(op),
                                          .size = op_size(op),
                                          .body = body[op - pair.ops]};
    op->u.mutation.call.done = op_done;
    op_end(op, fh_zone_mutate(&pair.rig.zone, &op->u.mutation));
}

static void begin_read(struct op *op)
{
    op->first_content = pair.newest;
    op->u.reader.call.done = op_done;
    op_end(op, fh_reader_open(&pair.rig.zone, &op->u.reader, &pair.object.ref, op_offset(op),
                              op_size(op)));
}

/* Starts a read and leaves it alone. */
static void begin_read_in(struct op *op)
{
    int rc = fh_reader_open(&pair.rig.zone, &op->u.reader, &pair.object.ref, TARGET, 1);

    if (rc == 0 || rc == -EINPROGRESS)
        fh_reader_close(&op->u.reader);
}

static void begin_free(void)
{
    if (pair.live && fh_zone_free(&pair.rig.zone, &pair.object.ref) == 0)
        pair.live = false;
}

static void begin_evict(void)
{
    zone_press(&pair.rig, true);
    (void)zone_turn(&pair.rig);
    zone_press(&pair.rig, false);
}

static void begin_bad_tag(struct op *op)
{
    struct fh_slot slot = fh_entry_slot(zone_entry(&pair.rig, &pair.object, TARGET));

    if (pair.live && slot.v != 0 &&
        fh_fake_disk_page(pair.rig.disk, (uint64_t)(slot.v - 1) * PAGE) != NULL)
        zone_flip(&pair.rig, &pair.object, TARGET);
    begin_read_in(op);
}

static void op_begin(struct op *op)
{
    switch (op->kind) {
    case OP_READ:
    case OP_CLONE:
        begin_read(op);
        break;
    case OP_STAGED_EDGE:
    case OP_STAGED_WHOLE:
        op_end(op, fh_stage_write(&op->u.stage, &pair.object.ref, op_offset(op), &any_time));
        break;
    case OP_FREE:
        begin_free();
        break;
    case OP_EVICT:
        begin_evict();
        break;
    case OP_READ_IN:
        begin_read_in(op);
        break;
    case OP_BAD_TAG:
        begin_bad_tag(op);
        break;
    default:
        begin_mutation(op);
    }
    cr_assert(fh_zone_check(&pair.rig.zone, stderr), "%s: operation %d begun", pair.name, op->kind);
}

/* --- one pair --- */

static void object_init(enum start start)
{
    pair.object = zone_alloc(&pair.rig, SIZE);
    pair.live = true;
    pair.newest = 0;
    zone_fill(pair.contents[0], 7, FILLED);
    cr_assert_eq(zone_write(&pair.rig, &pair.object, 0, pair.contents[0], FILLED), 0);
    if (start == START_DIRTY)
        return;
    zone_evict(&pair.rig);
    cr_assert_eq(fh_entry_state(zone_entry(&pair.rig, &pair.object, TARGET)), FH_PAGE_SLOT);
    if (start == START_CLEAN)
        cr_assert_eq(zone_read(&pair.rig, &pair.object.ref, 0, got, FILLED), 0);
}

/* Takes the rest of a read and compares it with every content that it may be. */
static void read_finish(struct op *op)
{
    uint64_t offset = op_offset(op), size = op_size(op) < FILLED ? op_size(op) : FILLED;
    bool right = false;

    if (op->rc == 0)
        op->rc = zone_drain(&pair.rig, &op->u.reader, 0, got);
    if (op->rc != 0) {
        expect_excused(op);
    } else {
        for (uint32_t i = op->first_content; i <= op->last_content; i++)
            right = right || memcmp(got, pair.contents[i] + offset, size) == 0;
        cr_assert(right, "%s: operation %d read no content there was", pair.name, op->kind);
    }
    if (op->u.reader.is_view || op->rc == 0)
        fh_reader_close(&op->u.reader);
}

static void object_verify(void)
{
    if (!pair.live)
        return;
    for (uint64_t at = 0; at < FILLED; at += PAGE) {
        int rc = zone_read(&pair.rig, &pair.object.ref, at, got, PAGE);
        if (at == TARGET && rc == -EBADMSG && either_is(OP_BAD_TAG))
            continue;
        cr_assert_eq(rc, 0, "%s: page %lu: %s", pair.name, (unsigned long)(at / PAGE),
                     strerror(-rc));
        cr_assert_eq(memcmp(got, pair.contents[pair.newest] + at, PAGE), 0, "%s: page %lu",
                     pair.name, (unsigned long)(at / PAGE));
    }
    begin_free();
}

static void expect_nothing_left(void)
{
    const struct fh_pager *p = &pair.rig.zone.pager;

    zone_quiet(&pair.rig);
    cr_assert_eq(p->frames.free, p->frames.total, "%s: frames", pair.name);
    cr_assert_eq(p->swap.slots.stats.used, 0, "%s: slots", pair.name);
    cr_assert_eq(p->reserved + p->claimed + p->line.count + p->rings.count, 0, "%s", pair.name);
    cr_assert_eq(pair.rig.zone.objects.count, 0, "%s: objects", pair.name);
}

static void run_pair(enum op_kind a, enum op_kind b, enum start start, const uint32_t delays[2])
{
    struct fh_fake_disk *disk = pair.rig.disk;

    snprintf(pair.name, sizeof(pair.name), "first %d, second %d, start %d, delays %u %u", a, b,
             start, delays[0], delays[1]);
    op_init(&pair.ops[0], a);
    op_init(&pair.ops[1], b);
    object_init(start);
    disk->hang = true;
    for (int i = 0; i < 2; i++) {
        disk->delay_next = delays[i];
        op_begin(&pair.ops[i]);
    }
    disk->delay_next = 0;
    disk->hang = false;
    for (int turn = 0; turn < 100 && (pair.ops[0].waits || pair.ops[1].waits); turn++)
        (void)zone_turn(&pair.rig);
    for (int i = 0; i < 2; i++)
        cr_assert_not(pair.ops[i].waits, "%s: operation %d waits for ever", pair.name, i);
    for (int i = 0; i < 2; i++)
        if (op_reads(&pair.ops[i]))
            read_finish(&pair.ops[i]);
    cr_assert(fh_zone_check(&pair.rig.zone, stderr), "%s", pair.name);
    object_verify();
    expect_nothing_left();
}

static void run_all(enum start start)
{
    static const uint32_t delays[][2] = {{0, 0}, {1, LATE}, {LATE, 1}};
    uint32_t pairs = 0;

    zone_open(&pair.rig, 128, 1023, 20);
    for (int a = 0; a < OPS; a++)
        for (int b = 0; b < OPS; b++)
            for (int d = 0; d < 3; d++, pairs++)
                run_pair((enum op_kind)a, (enum op_kind)b, start, delays[d]);
    zone_expect_empty(&pair.rig);
    zone_close(&pair.rig);
    cr_assert_eq(pairs, OPS * OPS * 3);
}

TestSuite(pairs, .timeout = 60);

Test(pairs, of_operations_on_a_page_in_memory)
{
    run_all(START_DIRTY);
}

Test(pairs, of_operations_on_a_page_in_memory_and_in_swap)
{
    run_all(START_CLEAN);
}

Test(pairs, of_operations_on_a_page_in_swap)
{
    run_all(START_SWAPPED);
}
