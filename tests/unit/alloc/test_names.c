/* Names: put, replaced, conditional, expired, listed, deleted. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/zone_rig.h"

static struct zone_rig rig;
static uint8_t body[FH_WRITE_MAX + 1], got[FH_WRITE_MAX];

static void setup(void)
{
    zone_open(&rig, 64, 255, 20);
    zone_fill(body, 42, sizeof(body));
}

static void teardown(void)
{
    zone_close(&rig);
}

static int put(const char *name, size_t size, const struct fh_cond *cond, struct fh_object_view *v)
{
    return zone_put(&rig, name, body, size, 0, cond, v);
}

static int lookup(uint32_t tenant, const char *name, struct fh_object_view *v)
{
    return fh_zone_lookup(&rig.zone, tenant, name, strlen(name), v);
}

static int delete (const char *name, const struct fh_cond *cond)
{
    return fh_zone_delete(&rig.zone, ZONE_TENANT, name, strlen(name), cond);
}

static void expect_bytes(const char *name, const uint8_t *bytes, size_t size)
{
    struct fh_object_view v;

    cr_assert_eq(lookup(ZONE_TENANT, name, &v), 0);
    cr_assert_eq(v.size, size);
    cr_assert_eq(zone_read(&rig, &v.ref, 0, got, size), 0);
    cr_assert_eq(memcmp(got, bytes, size), 0);
}

TestSuite(names, .init = setup, .fini = teardown, .timeout = 30);

Test(names, a_put_of_every_size_is_found_and_sealed)
{
    static const size_t sizes[] = {0, 1, 16, 4096, 32768, 32769, FH_WRITE_MAX};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fh_object_view v, found;
        cr_assert_eq(put("a", sizes[i], &any_time, &v), 0);
        cr_assert(v.sealed);
        cr_assert_eq(v.size, sizes[i]);
        cr_assert_eq(lookup(ZONE_TENANT, "a", &found), 0);
        cr_assert_eq(found.ref.key, v.ref.key);
        cr_assert_eq(found.version, v.version);
        expect_bytes("a", body, sizes[i]);
        zone_evict(&rig);
        expect_bytes("a", body, sizes[i]);
        zone_check(&rig);
    }
    cr_assert_eq(rig.zone.objects.count, 1);
    cr_assert_eq(put("a", FH_WRITE_MAX + 1, &any_time, NULL), -EFBIG);
    expect_bytes("a", body, FH_WRITE_MAX);
    cr_assert_eq(delete ("a", &any_time), 0);
    zone_expect_empty(&rig);
}

Test(names, a_name_has_1_to_1024_bytes)
{
    static char longest[FH_DIRECTORY_NAME_MAX + 2];

    memset(longest, 'x', FH_DIRECTORY_NAME_MAX + 1);
    cr_assert_eq(put("", 1, &any_time, NULL), -EINVAL);
    cr_assert_eq(put(longest, 1, &any_time, NULL), -EINVAL);
    zone_expect_empty(&rig);
    longest[FH_DIRECTORY_NAME_MAX] = 0;
    cr_assert_eq(put(longest, 1, &any_time, NULL), 0);
    expect_bytes(longest, body, 1);
}

Test(names, a_put_replaces_at_once_and_who_reads_the_old_one_goes_on)
{
    static struct fh_reader r;
    struct fh_object_view v1, v2, gone;
    static uint8_t other[1000];

    cr_assert_eq(put("a", 1000, &any_time, &v1), 0);
    cr_assert_eq(fh_reader_open(&rig.zone, &r, &v1.ref, 0, 1000), 0);
    zone_fill(other, 9, sizeof(other));
    cr_assert_eq(zone_put(&rig, "a", other, 1000, 0, &any_time, &v2), 0);
    cr_assert_gt(v2.version, v1.version);
    cr_assert_eq(fh_zone_find(&rig.zone, &v1.ref, &gone), -ESTALE);
    expect_bytes("a", other, 1000);
    cr_assert_eq(zone_drain(&rig, &r, 0, got), 0);
    cr_assert_eq(memcmp(got, body, 1000), 0);
    fh_reader_close(&r);
    cr_assert_eq(rig.zone.directory.count, 1);
    cr_assert_eq(rig.zone.objects.count, 1);
}

Test(names, a_name_keeps_its_one_entry_whatever_replaces_its_object)
{
    static const uint64_t ttls[] = {0, 0, 5000, 5000, 0, 0};
    struct fh_object_view v;

    for (size_t i = 0; i < sizeof(ttls) / sizeof(ttls[0]); i++) {
        cr_assert_eq(zone_put(&rig, "a", body, 100 * (i + 1), ttls[i], &any_time, NULL), 0);
        expect_bytes("a", body, 100 * (i + 1));
        cr_assert_eq(lookup(ZONE_TENANT, "a", &v), 0);
        cr_assert_eq(v.ttl_ms > 0, ttls[i] > 0);
        cr_assert_eq(rig.zone.extras.count, 1);
        zone_check(&rig);
    }
    cr_assert_eq(delete ("a", &any_time), 0);
    cr_assert_eq(rig.zone.extras.count, 0);
    zone_expect_empty(&rig);
}

Test(names, if_absent_puts_only_where_nothing_is)
{
    struct fh_cond absent = {.if_absent = true};
    struct fh_object_view v, same;

    cr_assert_eq(put("a", 10, &absent, &v), 0);
    cr_assert_eq(put("a", 20, &absent, NULL), -EEXIST);
    cr_assert_eq(lookup(ZONE_TENANT, "a", &same), 0);
    cr_assert_eq(same.version, v.version);
    cr_assert_eq(rig.zone.objects.count, 1, "the refused body is gone");
    cr_assert_eq(delete ("a", &any_time), 0);
    cr_assert_eq(put("a", 20, &absent, NULL), 0);
}

Test(names, if_version_puts_and_deletes_only_that_version)
{
    struct fh_object_view v1, v2;
    struct fh_cond cond = {.if_version = 1};

    cr_assert_eq(put("a", 10, &cond, NULL), -ENOENT, "there is no version at all");
    cr_assert_eq(put("a", 10, &any_time, &v1), 0);
    cond.if_version = v1.version;
    cr_assert_eq(put("a", 20, &cond, &v2), 0);
    cr_assert_eq(put("a", 30, &cond, NULL), -ECANCELED);
    cr_assert_eq(delete ("a", &cond), -ECANCELED);
    expect_bytes("a", body, 20);
    cond.if_version = v2.version;
    cr_assert_eq(delete ("a", &cond), 0);
    cr_assert_eq(delete ("a", &cond), -ENOENT);
    zone_expect_empty(&rig);
}

Test(names, tenants_do_not_meet)
{
    struct fh_object_view v;

    cr_assert_eq(put("a", 10, &any_time, NULL), 0);
    cr_assert_eq(lookup(2, "a", &v), -ENOENT);
    cr_assert_eq(fh_zone_delete(&rig.zone, 2, "a", 1, &any_time), -ENOENT);
    cr_assert_eq(lookup(ZONE_TENANT, "a", &v), 0);
}

Test(names, an_object_is_published_once_and_is_sealed_then)
{
    struct fh_object_view v = zone_alloc(&rig, 5000), named;
    struct fh_cond absent = {.if_absent = true};

    cr_assert_eq(zone_write(&rig, &v, 0, body, 5000), 0);
    cr_assert_eq(put("taken", 1, &any_time, NULL), 0);
    cr_assert_eq(fh_zone_publish(&rig.zone, &v.ref, "taken", 5, 0, &absent, &named), -EEXIST);
    cr_assert_eq(fh_zone_publish(&rig.zone, &v.ref, "", 0, 0, &absent, &named), -EINVAL);
    cr_assert_eq(zone_write(&rig, &v, 0, body, 1), 0, "not sealed by a refusal");
    cr_assert_eq(fh_zone_publish(&rig.zone, &v.ref, "taken", 5, 0, &any_time, &named), 0);
    cr_assert(named.sealed);
    cr_assert_eq(named.ref.key, v.ref.key, "the handle stays");
    cr_assert_gt(named.version, v.version);
    cr_assert_eq(fh_zone_publish(&rig.zone, &v.ref, "b", 1, 0, &any_time, &named), -ECANCELED);
    expect_bytes("taken", body, 5000);
    v.ref.key ^= 1;
    cr_assert_eq(fh_zone_publish(&rig.zone, &v.ref, "b", 1, 0, &any_time, &named), -ESTALE);
    cr_assert_eq(rig.zone.objects.count, 1);
    cr_assert_eq(rig.zone.directory.count, 1);
    zone_check(&rig);
}

Test(names, freeing_a_named_object_by_its_handle_frees_the_name)
{
    struct fh_object_view v;

    cr_assert_eq(put("a", 10, &any_time, &v), 0);
    cr_assert_eq(fh_zone_free(&rig.zone, &v.ref), 0);
    cr_assert_eq(lookup(ZONE_TENANT, "a", &v), -ENOENT);
    zone_expect_empty(&rig);
}

/* --- time --- */

Test(names, what_has_a_ttl_is_gone_when_it_is_over_and_not_before)
{
    struct fh_object_view named, nameless, v;

    cr_assert_eq(zone_put(&rig, "a", body, 10, 1000, &any_time, &named), 0);
    cr_assert_eq(fh_zone_alloc(&rig.zone, ZONE_TENANT, 50000, 1000, &nameless), 0);
    cr_assert_geq(nameless.ttl_ms, 1000);
    cr_assert_leq(nameless.ttl_ms, 1100);
    rig.now_ms += 990;
    (void)zone_turn(&rig);
    cr_assert_eq(lookup(ZONE_TENANT, "a", &v), 0);
    cr_assert_leq(v.ttl_ms, 100);
    cr_assert_eq(fh_zone_find(&rig.zone, &nameless.ref, &v), 0);
    rig.now_ms += 100;
    (void)zone_turn(&rig);
    cr_assert_eq(lookup(ZONE_TENANT, "a", &v), -ENOENT);
    cr_assert_eq(fh_zone_find(&rig.zone, &nameless.ref, &v), -ESTALE);
    cr_assert_eq(rig.zone.expired, 2);
    zone_expect_empty(&rig);
}

Test(names, an_expired_name_is_free_before_any_sweep_has_passed)
{
    struct fh_cond absent = {.if_absent = true}, version = {0};
    struct fh_object_view v;

    cr_assert_eq(zone_put(&rig, "a", body, 10, 100, &any_time, &v), 0);
    cr_assert_eq(zone_put(&rig, "b", body, 10, 100, &any_time, NULL), 0);
    cr_assert_eq(zone_put(&rig, "c", body, 10, 100, &any_time, NULL), 0);
    version.if_version = v.version;
    rig.zone.now_ms += 300; /* time passed, nobody turned */
    cr_assert_eq(put("a", 20, &version, NULL), -ENOENT);
    cr_assert_eq(put("a", 20, &absent, NULL), 0);
    cr_assert_eq(lookup(ZONE_TENANT, "b", &v), -ENOENT);
    cr_assert_eq(delete ("c", &any_time), -ENOENT);
    cr_assert_eq(rig.zone.expired, 3);
    zone_check(&rig);
}

Test(names, a_put_without_ttl_over_one_with_it_stays)
{
    struct fh_object_view v;

    cr_assert_eq(zone_put(&rig, "a", body, 10, 200, &any_time, NULL), 0);
    cr_assert_eq(put("a", 20, &any_time, NULL), 0);
    rig.now_ms += 1000;
    (void)zone_turn(&rig);
    cr_assert_eq(lookup(ZONE_TENANT, "a", &v), 0);
    cr_assert_eq(v.ttl_ms, 0);
}

Test(names, a_ttl_of_ages_is_for_ever)
{
    struct fh_object_view v;

    cr_assert_eq(fh_zone_alloc(&rig.zone, ZONE_TENANT, 1, UINT64_MAX, &v), 0);
    cr_assert_eq(v.ttl_ms, 0);
    rig.now_ms += UINT64_C(1) << 40;
    (void)zone_turn(&rig);
    cr_assert_eq(fh_zone_find(&rig.zone, &v.ref, &v), 0);
}

Test(names, thousands_that_expire_are_freed_in_slices)
{
    struct fh_object_view v;

    for (uint32_t i = 0; i < 3000; i++)
        cr_assert_eq(fh_zone_alloc(&rig.zone, ZONE_TENANT, 16, 100, &v), 0);
    rig.now_ms += 300;
    (void)zone_turn(&rig);
    cr_assert_gt(rig.zone.objects.count, 0, "one turn must not take long");
    for (int i = 0; i < 5; i++) {
        rig.now_ms += 100;
        (void)zone_turn(&rig);
    }
    cr_assert_eq(rig.zone.objects.count, 0);
    zone_expect_empty(&rig);
}

/* --- waiting --- */

/* Small objects lie on pages with others: a put may have to read one in. */
static int begin_put(struct fh_put *p, const char *name, const struct fh_cond *cond)
{
    *p = (struct fh_put){.tenant = ZONE_TENANT,
                         .name = name,
                         .name_size = strlen(name),
                         .body = body,
                         .body_size = 100,
                         .cond = *cond};
    return fh_zone_put(&rig.zone, p);
}

Test(names, of_two_puts_that_wait_the_conditions_are_looked_at_when_they_run)
{
    static struct fh_put first, second;
    struct fh_cond absent = {.if_absent = true};

    cr_assert_eq(put("other", 100, &any_time, NULL), 0);
    zone_evict(&rig);
    cr_assert_eq(begin_put(&first, "a", &absent), -EINPROGRESS);
    cr_assert_eq(begin_put(&second, "a", &absent), -EINPROGRESS);
    zone_check(&rig);
    int rc_first = zone_wait(&rig, &first.call, -EINPROGRESS);
    int rc_second = zone_wait(&rig, &second.call, -EINPROGRESS);
    cr_assert_eq(rc_first, 0);
    cr_assert_eq(rc_second, -EEXIST);
    cr_assert_eq(rig.zone.objects.count, 2);
    expect_bytes("a", body, 100);
}

Test(names, a_cancelled_put_leaves_nothing)
{
    static struct fh_put p;
    struct fh_object_view v;

    cr_assert_eq(put("other", 100, &any_time, NULL), 0);
    zone_evict(&rig);
    cr_assert_eq(begin_put(&p, "a", &any_time), -EINPROGRESS);
    fh_zone_put_cancel(&p);
    zone_check(&rig);
    cr_assert_eq(lookup(ZONE_TENANT, "a", &v), -ENOENT);
    cr_assert_eq(delete ("other", &any_time), 0);
    zone_expect_empty(&rig);
}

Test(names, a_put_that_fails_on_the_disk_leaves_nothing)
{
    static struct fh_put p;
    struct fh_object_view v;

    cr_assert_eq(put("other", 100, &any_time, NULL), 0);
    zone_evict(&rig);
    rig.disk->dead[FH_IO_READ] = true;
    cr_assert_eq(zone_wait(&rig, &p.call, begin_put(&p, "a", &any_time)), -EIO);
    rig.disk->dead[FH_IO_READ] = false;
    cr_assert_eq(lookup(ZONE_TENANT, "a", &v), -ENOENT);
    expect_bytes("other", body, 100);
    cr_assert_eq(delete ("other", &any_time), 0);
    zone_expect_empty(&rig);
}

Test(names, a_put_into_full_memory_is_refused_and_the_old_one_stays)
{
    cr_assert_eq(put("a", 100, &any_time, NULL), 0);
    cr_assert_eq(fh_pager_claim(&rig.zone.pager, 64 + 255 - 40 - 1), 0);
    cr_assert_eq(put("a", 50000, &any_time, NULL), -ENOSPC);
    cr_assert_eq(put("b", 50000, &any_time, NULL), -ENOSPC);
    expect_bytes("a", body, 100);
    cr_assert_eq(rig.zone.objects.count, 1);
    fh_pager_unclaim(&rig.zone.pager, rig.zone.pager.claimed);
    zone_check(&rig);
}

/* --- lists --- */

struct listing {
    uint32_t met[3000];
    uint32_t fits; /* entries until an answer is full */
    uint32_t count;
};

static bool visit(void *ctx, const void *name, size_t name_size, const struct fh_object_view *v)
{
    struct listing *l = ctx;
    char text[32] = "";

    if (l->fits == 0)
        return false;
    l->fits--;
    memcpy(text, name, name_size);
    l->met[strtoul(strchr(text, '/') + 1, NULL, 10)]++;
    l->count++;
    cr_assert(v->sealed);
    cr_assert_eq(v->size, 5);
    return true;
}

static void put_number(uint32_t i)
{
    char name[32];
    snprintf(name, sizeof(name), "%s/%u", i % 3 == 0 ? "three" : "other", i);
    cr_assert_eq(put(name, 5, &any_time, NULL), 0);
}

static void delete_number(uint32_t i)
{
    char name[32];
    snprintf(name, sizeof(name), "%s/%u", i % 3 == 0 ? "three" : "other", i);
    cr_assert_eq(delete (name, &any_time), 0);
}

static void list(struct listing *l, uint32_t tenant, const char *prefix, uint64_t *cursor,
                 uint32_t fits)
{
    l->fits = fits;
    fh_zone_list(&rig.zone, tenant, prefix, strlen(prefix), cursor, visit, l);
}

Test(names, a_list_gives_the_names_with_the_prefix_in_as_many_answers_as_it_takes)
{
    static struct listing l;
    uint64_t cursor = 0;
    uint32_t answers = 0;

    for (uint32_t i = 0; i < 100; i++)
        put_number(i);
    do {
        list(&l, ZONE_TENANT, "three/", &cursor, 10);
        answers++;
    } while (cursor != 0);
    cr_assert_eq(answers, 4);
    for (uint32_t i = 0; i < 100; i++)
        cr_assert_eq(l.met[i], i % 3 == 0, "name %u", i);
    cursor = 0;
    list(&l, 2, "", &cursor, 10);
    cr_assert_eq(l.count, 34, "another tenant has none");
    cr_assert_eq(cursor, 0);
    list(&l, ZONE_TENANT, "", &cursor, 1000);
    cr_assert_eq(l.count, 134, "no prefix: all");
    cursor = UINT64_MAX; /* from a hostile client */
    list(&l, ZONE_TENANT, "", &cursor, 1000);
    cr_assert_eq(cursor, 0);
}

Test(names, a_list_meets_what_stays_once_while_names_come_and_go)
{
    static struct listing l;
    uint64_t cursor = 0;
    uint32_t next = 1000;

    for (uint32_t i = 0; i < 300; i++)
        put_number(i);
    for (uint32_t round = 0; round < 20 || cursor != 0; round++) {
        list(&l, ZONE_TENANT, "", &cursor, 20);
        if (cursor == 0)
            break;
        delete_number(3 * round + 1); /* some go */
        put_number(3 * round);        /* some are replaced */
        for (int i = 0; i < 5; i++)
            put_number(next++); /* some come */
    }
    for (uint32_t i = 0; i < 300; i++)
        if (i % 3 != 1 || i >= 60)
            cr_assert_eq(l.met[i], 1, "name %u was met %u times", i, l.met[i]);
    for (uint32_t i = 1000; i < next; i++)
        cr_assert_leq(l.met[i], 1);
}

Test(names, a_list_looks_at_so_many_entries_per_answer)
{
    static struct listing l;
    uint64_t cursor = 0;
    uint32_t empty = 0;
    char name[32];

    for (uint32_t i = 0; i < FH_LIST_STEPS + 100; i++) {
        struct fh_object_view v;
        int n = snprintf(name, sizeof(name), "x/%u", i);
        cr_assert_eq(fh_zone_alloc(&rig.zone, 2, 0, 0, &v), 0);
        cr_assert_eq(fh_zone_publish(&rig.zone, &v.ref, name, (size_t)n, 0, &any_time, &v), 0);
    }
    put_number(7);
    list(&l, ZONE_TENANT, "", &cursor, 10);
    empty += l.count == 0;
    cr_assert_neq(cursor, 0, "it cannot have looked at all");
    list(&l, ZONE_TENANT, "", &cursor, 10);
    empty += l.count == 0;
    cr_assert_leq(empty, 1, "an empty answer need not be the last");
    cr_assert_eq(l.met[7], 1);
    cr_assert_eq(cursor, 0);
    zone_check(&rig);
}

Test(names, a_list_does_not_show_what_is_expired)
{
    static struct listing l;
    uint64_t cursor = 0;

    cr_assert_eq(zone_put(&rig, "x/1", body, 5, 100, &any_time, NULL), 0);
    cr_assert_eq(zone_put(&rig, "x/2", body, 5, 0, &any_time, NULL), 0);
    rig.zone.now_ms += 300;
    list(&l, ZONE_TENANT, "", &cursor, 10);
    cr_assert_eq(l.met[1], 0);
    cr_assert_eq(l.met[2], 1);
}
