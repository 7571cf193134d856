/* Names: found, added, removed, replaced, counted; shards split and joined; walks meanwhile. */
#include "alloc/directory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "alloc/hash.h"
#include "tests/support/rng.h"

enum { MANY = 20000, NUMBERED = 1000 /* objects from here on are called object/N of tenant 1 */ };

static const uint8_t key[16] = "sixteen bytes..";
static struct fh_mem mem;
static struct fh_directory directory;
static struct fh_name given[NUMBERED]; /* the names of the first objects */
static uint32_t asked;                 /* calls of name_of */

static struct fh_name numbered_into(char text[32], uint64_t i)
{
    uint32_t size = (uint32_t)snprintf(text, 32, "object/%llu", (unsigned long long)i);

    return (struct fh_name){.tenant = 1, .size = size, .bytes = text};
}

static struct fh_name numbered(uint64_t i)
{
    static char text[32];
    return numbered_into(text, i);
}

static struct fh_name name_of(const void *ctx, uint64_t object)
{
    static char text[32];

    cr_assert_eq(ctx, (const void *)key);
    asked++;
    return object < NUMBERED ? given[object] : numbered_into(text, object - NUMBERED);
}

static int directory_start(struct fh_directory *d, struct fh_mem *m)
{
    return fh_directory_init(
        d, &(struct fh_directory_opts){.mem = m, .hash_key = key, .name_of = name_of, .ctx = key});
}

static void setup(void)
{
    memset(&directory, 0xA5, sizeof(directory));
    cr_assert_eq(directory_start(&directory, &mem), 0);
}

static void teardown(void)
{
    fh_directory_fini(&directory);
    cr_assert_eq(mem.used_bytes, 0);
}

static struct fh_name name(uint32_t tenant, const char *text)
{
    return (struct fh_name){.tenant = tenant, .size = (uint32_t)strlen(text), .bytes = text};
}

static void add(uint32_t tenant, const char *text, uint64_t object)
{
    given[object] = name(tenant, text);
    int rc = fh_directory_add(&directory, &given[object], object);
    cr_assert_eq(rc, 0, "%s: %d", text, rc);
}

static int add_number(uint64_t i)
{
    struct fh_name n = numbered(i);
    return fh_directory_add(&directory, &n, NUMBERED + i);
}

static void remove_number(uint64_t i)
{
    struct fh_name n = numbered(i);
    fh_directory_remove(&directory, &n, NUMBERED + i);
}

/* The object of a name, or a negative errno. */
static int64_t find(uint32_t tenant, const char *text)
{
    struct fh_name n = name(tenant, text);
    uint64_t object = 0;
    int rc = fh_directory_find(&directory, &n, &object);
    return rc == 0 ? (int64_t)object : rc;
}

static int64_t find_number(uint64_t i)
{
    struct fh_name n = numbered(i);
    uint64_t object = 0;
    int rc = fh_directory_find(&directory, &n, &object);
    return rc == 0 ? (int64_t)object - NUMBERED : rc;
}

TestSuite(directory, .init = setup, .fini = teardown, .timeout = 20);

Test(directory, a_name_leads_to_its_object)
{
    add(1, "a", 5);
    add(1, "model/0", 12);

    cr_assert_eq(find(1, "a"), 5);
    cr_assert_eq(find(1, "model/0"), 12);
    cr_assert_eq(find(1, "model"), -ENOENT);
    cr_assert_eq(find(1, "model/00"), -ENOENT);
    cr_assert_eq(directory.count, 2);
    cr_assert(fh_directory_check(&directory, stderr));
}

Test(directory, tenants_do_not_see_each_others_names)
{
    add(1, "same", 5);
    cr_assert_eq(find(2, "same"), -ENOENT);
    add(2, "same", 6);

    cr_assert_eq(find(1, "same"), 5);
    cr_assert_eq(find(2, "same"), 6);
    fh_directory_remove(&directory, &given[5], 5);
    cr_assert_eq(find(1, "same"), -ENOENT);
    cr_assert_eq(find(2, "same"), 6);
}

Test(directory, a_name_is_any_bytes_of_1_to_1024)
{
    static const char longest[FH_DIRECTORY_NAME_MAX + 1];
    uint64_t object;

    given[0] = (struct fh_name){.tenant = 1, .size = 0, .bytes = longest};
    given[1] = (struct fh_name){.tenant = 1, .size = 1, .bytes = longest};
    given[2] = (struct fh_name){.tenant = 1, .size = sizeof(longest) - 1, .bytes = longest};
    given[3] = (struct fh_name){.tenant = 1, .size = sizeof(longest), .bytes = longest};
    cr_assert_eq(fh_directory_add(&directory, &given[0], 0), -EINVAL);
    cr_assert_eq(fh_directory_add(&directory, &given[3], 3), -EINVAL);
    cr_assert_eq(fh_directory_find(&directory, &given[0], &object), -EINVAL);
    cr_assert_eq(fh_directory_find(&directory, &given[3], &object), -EINVAL);
    cr_assert_eq(fh_directory_add(&directory, &given[1], 1), 0);
    cr_assert_eq(fh_directory_add(&directory, &given[2], 2), 0);
    cr_assert_eq(fh_directory_find(&directory, &given[2], &object), 0);
    cr_assert_eq(object, 2);
    cr_assert_eq(directory.count, 2);
}

Test(directory, a_taken_name_is_refused_and_nothing_changes)
{
    add(1, "a", 5);
    uint64_t used = mem.used_bytes;
    struct fh_name again = name(1, "a");
    cr_assert_eq(fh_directory_add(&directory, &again, 6), -EEXIST);
    cr_assert_eq(find(1, "a"), 5);
    cr_assert_eq(directory.count, 1);
    cr_assert_eq(mem.used_bytes, used);
}

Test(directory, a_replaced_name_leads_to_the_other_object)
{
    uint64_t largest = (UINT64_C(1) << FH_DIRECTORY_OBJECT_BITS) - 1;
    struct fh_name n = numbered(largest - NUMBERED);

    cr_assert_eq(fh_directory_add(&directory, &n, largest), 0);
    cr_assert_eq(find_number(largest - NUMBERED), (int64_t)largest - NUMBERED);
    given[7] = numbered(largest - NUMBERED);
    fh_directory_replace(&directory, &n, largest, 7);
    uint64_t object = 0;
    cr_assert_eq(fh_directory_find(&directory, &n, &object), 0);
    cr_assert_eq(object, 7);
    cr_assert_eq(directory.count, 1);
    cr_assert(fh_directory_check(&directory, stderr));
}

Test(directory, shards_split_and_every_name_is_found)
{
    struct fh_directory_stats s;

    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(add_number(i), 0);
    cr_assert(fh_directory_check(&directory, stderr));
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(find_number(i), i);
    cr_assert_eq(find_number(MANY), -ENOENT);
    fh_directory_stats(&directory, &s);
    cr_assert_eq(s.names, MANY);
    cr_assert_geq(s.shards, MANY / 512);
    cr_assert_leq(mem.used_bytes, MANY * 7, "%llu bytes", (unsigned long long)mem.used_bytes);
}

Test(directory, no_add_looks_at_more_than_one_shard)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < MANY; i++) {
        asked = 0;
        cr_assert_eq(add_number(i), 0);
        most = asked > most ? asked : most;
    }
    cr_assert_geq(most, 512, "a shard was split");
    cr_assert_leq(most, 512 + 50);
}

Test(directory, a_look_up_asks_for_one_name_mostly)
{
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(add_number(i), 0);
    asked = 0;
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(find_number(i), i);
    cr_assert_leq(asked, MANY + MANY / 10, "fragments tell names apart");
}

Test(directory, shards_join_when_names_go)
{
    struct fh_directory_stats s;

    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(add_number(i), 0);
    for (uint32_t i = 0; i < MANY; i++) {
        remove_number(i);
        if (i % 1000 == 0)
            cr_assert(fh_directory_check(&directory, stderr));
    }
    fh_directory_stats(&directory, &s);
    cr_assert_eq(s.names, 0);
    cr_assert_eq(s.shards, 1);
    cr_assert(fh_directory_check(&directory, stderr));
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(add_number(i), 0);
    cr_assert(fh_directory_check(&directory, stderr));
}

Test(directory, a_random_walk_finds_what_is_there_and_nothing_else)
{
    static bool there[3000];
    struct rng g = rng_from_env("directory");
    uint32_t count = 0;

    for (uint32_t step = 0; step < 60000; step++) {
        /* it fills and empties in turns, so that shards split and join */
        uint32_t i = (uint32_t)rng_below(&g, 3000);
        bool fill = rng_percent(&g, step / 10000 % 2 == 0 ? 80 : 20);
        cr_assert_eq(find_number(i), there[i] ? (int64_t)i : -ENOENT);
        if (fill && !there[i])
            cr_assert_eq(add_number(i), 0);
        else if (!fill && there[i])
            remove_number(i);
        count += there[i] != fill ? (fill ? 1u : -1u) : 0;
        there[i] = fill;
        cr_assert_eq(directory.count, count);
        if (step % 2000 == 0)
            cr_assert(fh_directory_check(&directory, stderr));
    }
    for (uint32_t i = 0; i < 3000; i++)
        cr_assert_eq(find_number(i), there[i] ? (int64_t)i : -ENOENT);
}

/* Names whose hashes begin with `bits` zeros, as many as wanted. */
static void add_alike(uint32_t wanted, uint32_t bits)
{
    for (uint64_t i = 0; wanted > 0; i++) {
        struct fh_name n = numbered(i);
        if (fh_hash(key, n.tenant, n.bytes, n.size) >> (64 - bits) != 0)
            continue;
        cr_assert_eq(add_number(i), 0);
        wanted--;
    }
}

Test(directory, names_chosen_to_hash_alike_are_found_and_make_no_pointers)
{
    struct fh_directory_stats s;

    add_alike(2000, 8); /* they do not fit one shard, and its bits of difference come late */
    cr_assert(fh_directory_check(&directory, stderr));
    fh_directory_stats(&directory, &s);
    cr_assert_leq(s.depth, 6, "pointers double while there are names for them");
    uint64_t hash = 0, object;
    uint32_t met = 0;
    for (; fh_directory_next(&directory, &hash, &object); hash++, met++)
        cr_assert_eq(find_number(object - NUMBERED), (int64_t)object - NUMBERED);
    cr_assert_eq(met, 2000);
}

Test(directory, a_walk_meets_every_name_that_stays_exactly_once)
{
    static uint32_t met[MANY];
    struct rng g = rng_from_env("directory walk");
    uint64_t hash = 0, object;

    for (uint32_t i = 0; i < MANY; i += 4)
        cr_assert_eq(add_number(i), 0);
    do {
        if (!fh_directory_next(&directory, &hash, &object))
            break;
        met[object - NUMBERED]++;
        /* those that are no multiples of 4 come and go: shards split and join */
        for (uint32_t k = 0; k < 4; k++) {
            uint64_t other = rng_below(&g, MANY) | 1;
            if (find_number(other) < 0)
                cr_assert_eq(add_number(other), 0);
            else if (rng_percent(&g, 40))
                remove_number(other);
        }
    } while (++hash != 0);
    for (uint32_t i = 0; i < MANY; i += 4)
        cr_assert_eq(met[i], 1, "name %u was met %u times", i, met[i]);
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_leq(met[i], 2);
    cr_assert(fh_directory_check(&directory, stderr));
}

Test(directory, a_walk_meets_what_stays_once_while_most_goes)
{
    static uint32_t met[MANY];
    uint64_t hash = 0, object, gone = 1;

    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(add_number(i), 0);
    do {
        if (!fh_directory_next(&directory, &hash, &object))
            break;
        met[object - NUMBERED]++;
        for (uint32_t k = 0; k < 8 && gone < MANY; k++, gone++)
            if (gone % 20 != 0)
                remove_number(gone);
    } while (++hash != 0);
    for (uint32_t i = 0; i < MANY; i += 20)
        cr_assert_eq(met[i], 1, "name %u was met %u times", i, met[i]);
}

Test(directory, a_walk_may_begin_anywhere)
{
    uint64_t hash, object;

    for (uint32_t i = 0; i < 2000; i++)
        cr_assert_eq(add_number(i), 0);
    hash = UINT64_MAX;
    cr_assert_not(fh_directory_next(&directory, &hash, &object));
    hash = UINT64_C(1) << 63;
    cr_assert(fh_directory_next(&directory, &hash, &object));
    cr_assert_geq(hash, UINT64_C(1) << 63);
    uint64_t same = hash, again;
    cr_assert(fh_directory_next(&directory, &same, &again));
    cr_assert_eq(same, hash, "from a name's own hash it comes again");
    cr_assert_eq(again, object);
}

Test(directory, every_failed_request_for_memory_leaves_it_as_it_was)
{
    uint32_t failures = 0;

    for (uint32_t i = 0; i < 2500; i++) { /* shards grow, split, the pointers double */
        int rc;

        for (uint64_t k = 1;; k++) {
            mem.failed = false;
            mem.fail_at = mem.calls + k;
            rc = add_number(i);
            if (!mem.failed)
                break;
            failures++;
            cr_assert_eq(rc, -ENOMEM);
            cr_assert_eq(directory.count, i);
            cr_assert_eq(find_number(i), -ENOENT);
            cr_assert(i % 64 != 0 || fh_directory_check(&directory, stderr));
        }
        mem.fail_at = 0;
        cr_assert_eq(rc, 0);
    }
    cr_assert_gt(failures, 20);
    cr_assert_geq(directory.shards_count, 6);
    cr_assert(fh_directory_check(&directory, stderr));
}

Test(directory, removing_needs_no_memory)
{
    for (uint32_t i = 0; i < 3000; i++)
        cr_assert_eq(add_number(i), 0);
    mem.fail_at = mem.calls + 1;
    mem.fail_from_there_on = true;
    for (uint32_t i = 0; i < 3000; i++)
        remove_number(i);
    cr_assert(mem.failed, "it tried to become smaller");
    cr_assert_eq(directory.count, 0);
    cr_assert(fh_directory_check(&directory, stderr));
    mem.fail_at = 0;
    mem.fail_from_there_on = false;
    for (uint32_t i = 0; i < 3000; i++)
        cr_assert_eq(add_number(i), 0);
    cr_assert(fh_directory_check(&directory, stderr));
}

Test(directory, no_memory_at_first_is_told_and_nothing_kept)
{
    for (uint64_t n = 1; n <= 2; n++) {
        struct fh_directory other;
        struct fh_mem m = {.fail_at = n};
        cr_assert_eq(directory_start(&other, &m), -ENOMEM);
        cr_assert_eq(m.used_bytes, 0);
    }
}

Test(directory, check_sees_a_wrong_count)
{
    add(1, "a", 5);
    directory.count = 2; /* [I1] */
    cr_assert_not(fh_directory_check(&directory, NULL));
    directory.count = 1;
}

Test(directory, check_sees_a_name_away_from_its_place)
{
    add(1, "a", 5);
    given[5] = name(1, "b"); /* [I2] */
    cr_assert_not(fh_directory_check(&directory, NULL));
    given[5] = name(1, "a");
    cr_assert(fh_directory_check(&directory, stderr));
}

Test(directory, check_sees_a_pointer_to_another_shard)
{
    for (uint32_t i = 0; i < 2000; i++)
        cr_assert_eq(add_number(i), 0);
    uint64_t last = (UINT64_C(1) << directory.depth) - 1;
    struct fh_shard *kept = directory.shards[last];
    directory.shards[last] = directory.shards[0]; /* [I3] */
    cr_assert_not(fh_directory_check(&directory, NULL));
    directory.shards[last] = kept;
    directory.shards_count++; /* [I3] */
    cr_assert_not(fh_directory_check(&directory, NULL));
    directory.shards_count--;
}

Test(directory, dump_counts_and_tells_objects)
{
    char text[256] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    add(1, "abc", 5);
    fh_directory_dump(&directory, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "1 names"));
    cr_assert_not_null(strstr(text, "of 3 bytes -> object 5"));
    cr_assert_null(strstr(text, "abc"), "names are the tenants' own");
}

Test(directory, removing_a_name_of_another_object_is_a_programmer_error, .signal = SIGABRT)
{
    add(1, "a", 5);
    add(1, "b", 6);
    fh_directory_remove(&directory, &given[5], 6);
}
