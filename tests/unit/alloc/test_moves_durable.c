/* Objects that a commit of the data directory knows by id do not move; what was moved can be replaced by durable ones. */
#include "tests/support/durable_rig.h"

enum { COUNT = 800, SIZE = 100, KEPT = 10 };

static struct durable_rig rig;
static struct fh_object_view views[COUNT];
static uint8_t got[SIZE];

static void setup(void)
{
    durable_set_up(&rig);
}

static void teardown(void)
{
    durable_tear_down(&rig);
}

TestSuite(moves_durable, .init = setup, .fini = teardown, .timeout = 60);

/* One in KEPT objects is left, and alone in its slab the first. Object i was made of bytes i. */
static void make(void)
{
    for (uint32_t i = 0; i < COUNT; i++) {
        struct fh_mutation m = {.kind = FH_MUTATE_WRITE, .body = got, .size = SIZE};
        int rc = fh_zone_alloc(&rig.zone, DURABLE_TENANT, SIZE, 0, &views[i]);
        cr_assert_eq(rc, 0);
        memset(got, (int)(i & 0xff), SIZE);
        m.ref = views[i].ref;
        cr_assert_eq(fh_zone_mutate(&rig.zone, &m), 0);
    }
    for (uint32_t i = 1; i < COUNT; i++)
        if (i % KEPT != 0 || i < 39)
            cr_assert_eq(fh_zone_free(&rig.zone, &views[i].ref), 0);
}

/* Whatever else goes on, slabs are emptied as they are in a zone that is short of memory. */
static void compact(void)
{
    for (uint32_t i = 0; i < 20; i++)
        (void)fh_compact_turn(&rig.zone.compact, FH_COMPACT_REFUSE, rig.now_ms += 200);
    cr_assert(fh_zone_check(&rig.zone, stderr));
}

static void expect(const char *name, uint32_t i)
{
    struct fh_object_view v;

    cr_assert_eq(durable_lookup(&rig, name, &v), 0);
    cr_assert_eq(v.ref.addr.v, views[i].ref.addr.v);
    cr_assert_eq(v.ref.key, views[i].ref.key);
    cr_assert_eq(durable_read(&rig, name, got), SIZE);
    for (uint32_t k = 0; k < SIZE; k++)
        cr_assert_eq(got[k], i & 0xff);
}

static struct fh_change naming(uint32_t i, const char *name)
{
    return (struct fh_change){
        .kind = FH_CHANGE_PUBLISH, .ref = views[i].ref, .name = name, .name_size = strlen(name)};
}

Test(moves_durable, who_is_getting_a_name_stays_until_it_has_it)
{
    const uint32_t i = 0;
    struct fh_change change;

    cr_assert_eq(durable_put(&rig, "a", "one", 3, true), 0);
    make();
    change = naming(i, "a");
    change.call.done = durable_done;
    int rc = fh_zone_change(&rig.zone, &change);
    cr_assert_eq(rc, -EINPROGRESS);
    compact();
    cr_assert_gt(rig.zone.compact.stats.moves, 0);
    cr_assert_gt(rig.zone.compact.stats.refused, 0);
    cr_assert_eq(durable_wait(&rig, &change.call, rc), 0);
    expect("a", i);
    cr_assert_eq(rig.zone.durable->objects, 0);
}

Test(moves_durable, who_was_moved_takes_a_durable_name_and_loses_it_to_another)
{
    const uint32_t i = 0;
    struct fh_change change;

    make();
    compact();
    cr_assert_gt(rig.zone.moved.count, 0);
    cr_assert_eq(durable_put(&rig, "a", "one", 3, true), 0);
    change = naming(i, "a");
    cr_assert_eq(durable_change(&rig, &change), 0);
    expect("a", i);
    uint64_t moved = rig.zone.moved.count;
    cr_assert_eq(durable_put(&rig, "a", "two", 3, true), 0);
    cr_assert_eq(rig.zone.moved.count, moved - 1);
    cr_assert_eq(fh_zone_find(&rig.zone, &views[i].ref, &views[1]), -ESTALE);
    cr_assert_eq(durable_read(&rig, "a", got), 3);
    cr_assert(fh_zone_check(&rig.zone, stderr));
}
