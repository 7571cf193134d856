/* Names: found, added, removed, counted; and a walk by entry number while they come and go. */
#include "alloc/directory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "tests/support/rng.h"

enum { MANY = 1000 };

static struct fh_mem mem;
static struct fh_directory directory;

static void setup(void)
{
    static const uint8_t key[16] = "sixteen bytes..";

    memset(&directory, 0xA5, sizeof(directory));
    cr_assert_eq(fh_directory_init(&directory, &mem, key), 0);
}

static void teardown(void)
{
    fh_directory_fini(&directory);
    cr_assert_eq(mem.used_bytes, 0);
}

static uint32_t add(uint32_t tenant, const char *name, uint32_t object)
{
    uint32_t entry = 0;
    int rc = fh_directory_add(&directory, tenant, name, strlen(name), object, &entry);

    cr_assert_eq(rc, 0, "%s: %d", name, rc);
    cr_assert_neq(entry, 0);
    return entry;
}

static uint32_t add_number(uint32_t i)
{
    char name[32];
    snprintf(name, sizeof(name), "object/%u", i);
    return add(1, name, i);
}

/* The entry number of a name, or a negative errno. */
static int64_t find(uint32_t tenant, const char *name)
{
    uint32_t entry = 0;
    int rc = fh_directory_find(&directory, tenant, name, strlen(name), &entry);
    return rc == 0 ? (int64_t)entry : rc;
}

static int64_t find_number(uint32_t i)
{
    char name[32];
    snprintf(name, sizeof(name), "object/%u", i);
    return find(1, name);
}

TestSuite(directory, .init = setup, .fini = teardown, .timeout = 20);

Test(directory, a_name_leads_to_its_object)
{
    uint32_t a = add(1, "a", 5);
    uint32_t b = add(1, "model/0", 12);

    cr_assert_eq(find(1, "a"), a);
    cr_assert_eq(find(1, "model/0"), b);
    cr_assert_eq(fh_directory_at(&directory, b)->object, 12);
    cr_assert_eq(find(1, "model"), -ENOENT);
    cr_assert_eq(find(1, "model/00"), -ENOENT);
    cr_assert_eq(directory.count, 2);
    cr_assert(fh_directory_check(&directory, stderr));
}

Test(directory, tenants_do_not_see_each_others_names)
{
    uint32_t a = add(1, "same", 5);
    cr_assert_eq(find(2, "same"), -ENOENT);
    uint32_t b = add(2, "same", 6);

    cr_assert_neq(a, b);
    cr_assert_eq(find(1, "same"), a);
    cr_assert_eq(find(2, "same"), b);
    fh_directory_remove(&directory, a);
    cr_assert_eq(find(1, "same"), -ENOENT);
    cr_assert_eq(find(2, "same"), b);
}

Test(directory, a_name_is_any_bytes_of_1_to_1024)
{
    static char longest[FH_DIRECTORY_NAME_MAX + 1];
    uint32_t entry;

    memset(longest, 0, sizeof(longest));
    cr_assert_eq(fh_directory_add(&directory, 1, longest, 0, 1, &entry), -EINVAL);
    cr_assert_eq(fh_directory_add(&directory, 1, longest, sizeof(longest), 1, &entry), -EINVAL);
    cr_assert_eq(fh_directory_find(&directory, 1, longest, 0, &entry), -EINVAL);
    cr_assert_eq(fh_directory_add(&directory, 1, longest, 1, 1, &entry), 0);
    cr_assert_eq(fh_directory_add(&directory, 1, longest, sizeof(longest) - 1, 2, &entry), 0);
    cr_assert_eq(fh_directory_find(&directory, 1, longest, sizeof(longest) - 1, &entry), 0);
    cr_assert_eq(fh_directory_at(&directory, entry)->object, 2);
    cr_assert_eq(directory.count, 2);
}

Test(directory, a_taken_name_is_refused_and_nothing_changes)
{
    uint32_t entry = 99;

    (void)add(1, "a", 5);
    uint64_t used = mem.used_bytes;
    cr_assert_eq(fh_directory_add(&directory, 1, "a", 1, 6, &entry), -EEXIST);
    cr_assert_eq(entry, 99);
    cr_assert_eq(fh_directory_at(&directory, (uint32_t)find(1, "a"))->object, 5);
    cr_assert_eq(mem.used_bytes, used);
}

Test(directory, grows_and_every_entry_keeps_its_number)
{
    static uint32_t entries[MANY];

    for (uint32_t i = 0; i < MANY; i++)
        entries[i] = add_number(i);
    cr_assert_gt(directory.table_size, MANY);
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(find_number(i), entries[i]);
    cr_assert(fh_directory_check(&directory, stderr));
}

Test(directory, removing_leaves_no_gap_that_hides_another_name)
{
    static uint32_t entries[MANY];
    struct rng g = rng_from_env("directory");

    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t i = (uint32_t)rng_below(&g, 300);
        if (entries[i] != 0) {
            cr_assert_eq(find_number(i), entries[i]);
            fh_directory_remove(&directory, entries[i]);
            entries[i] = 0;
        } else {
            cr_assert_eq(find_number(i), -ENOENT);
            entries[i] = add_number(i);
        }
        if (step % 500 == 0)
            cr_assert(fh_directory_check(&directory, stderr));
    }
    for (uint32_t i = 0; i < 300; i++)
        cr_assert_eq(find_number(i), entries[i] != 0 ? (int64_t)entries[i] : -ENOENT);
}

Test(directory, a_walk_by_number_meets_every_name_that_stays_exactly_once)
{
    static uint32_t met[MANY];
    struct rng g = rng_from_env("directory walk");

    for (uint32_t i = 0; i < MANY / 2; i++)
        (void)add_number(i);
    for (uint32_t at = 1; at < directory.used_end; at++) {
        const struct fh_dirent *e = fh_directory_at(&directory, at);
        if (e->bytes)
            met[e->object]++;
        /* the odd ones come and go, the table grows */
        uint32_t other = (uint32_t)rng_below(&g, MANY / 2) | 1;
        int64_t found = find_number(other);
        if (found > 0)
            fh_directory_remove(&directory, (uint32_t)found);
        else
            (void)add_number(other);
    }
    for (uint32_t i = 0; i < MANY / 2; i += 2)
        cr_assert_eq(met[i], 1, "name %u was met %u times", i, met[i]);
}

Test(directory, every_failed_request_for_memory_leaves_it_as_it_was)
{
    for (uint32_t i = 0; i < 200; i++) { /* the table doubles at 48, 96 and 192 */
        char name[32];
        uint32_t entry;
        size_t n = (size_t)snprintf(name, sizeof(name), "object/%u", i);
        int rc;

        for (uint64_t k = 1;; k++) {
            mem.failed = false;
            mem.fail_at = mem.calls + k;
            rc = fh_directory_add(&directory, 1, name, n, i, &entry);
            if (!mem.failed)
                break;
            cr_assert_eq(rc, -ENOMEM);
            cr_assert_eq(directory.count, i);
            cr_assert_eq(find_number(i), -ENOENT);
        }
        mem.fail_at = 0;
        cr_assert_eq(rc, 0);
    }
    cr_assert(fh_directory_check(&directory, stderr));
}

Test(directory, no_memory_at_first_is_told_and_nothing_kept)
{
    for (uint64_t n = 1; n <= 2; n++) {
        struct fh_directory other;
        struct fh_mem m = {.fail_at = n};
        cr_assert_eq(fh_directory_init(&other, &m, directory.hash_key), -ENOMEM);
        cr_assert_eq(m.used_bytes, 0);
    }
}

Test(directory, check_sees_a_wrong_count)
{
    (void)add(1, "a", 5);
    directory.count = 2; /* [I1] */
    cr_assert_not(fh_directory_check(&directory, NULL));
    directory.count = 1;
}

Test(directory, check_sees_a_number_lost_from_the_table)
{
    uint32_t a = add(1, "a", 5), at = 0;

    while (directory.table[at] != a)
        at++;
    directory.table[at] = 0; /* [I1], [I2] */
    cr_assert_not(fh_directory_check(&directory, NULL));
}

Test(directory, check_sees_a_name_away_from_its_place)
{
    uint32_t a = add(1, "a", 5), at = 0;

    while (directory.table[at] != a)
        at++;
    directory.table[at] = 0;
    directory.table[(at + directory.table_size / 2) % directory.table_size] = a; /* [I2] */
    cr_assert_not(fh_directory_check(&directory, NULL));
}

Test(directory, check_sees_an_entry_lost_from_the_free_list)
{
    (void)add(1, "b", 5);
    fh_directory_remove(&directory, add(1, "a", 5));
    directory.free_head = 0; /* [I3] */
    cr_assert_not(fh_directory_check(&directory, NULL));
}

Test(directory, dump_counts_and_tells_objects)
{
    char text[256] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    (void)add(1, "abc", 5);
    fh_directory_dump(&directory, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "1 names"));
    cr_assert_not_null(strstr(text, "of 3 bytes -> object 5"));
}

Test(directory, removing_a_wrong_entry_is_a_programmer_error, .signal = SIGABRT)
{
    uint32_t a = add(1, "a", 5);

    add(1, "b", 5);
    directory.entries[a].hash ^= 1;
    fh_directory_remove(&directory, a);
}
