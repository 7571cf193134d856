/*
 * Somebody changes the swap file behind a zone's back: bits flipped, pages zeroed or cut, exchanged, or put back as they
 * were before. Every change of a page is found when the page is read, costs that page and no other, and the zone says
 * which bytes are lost. FH_CORRUPTIONS=100000 tries more than the 12000 of the gate.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/zone_rig.h"

enum {
    PAGES = 48, /* of the object */
    FRAMES = 80,
    SLOTS = 1500,
    AT_ONCE = 8,    /* pages changed in one round, at most */
    PER_ZONE = 900, /* a slot found bad is not used again: then a zone with a new file */
};

enum change { FLIP, ZERO, CUT, EXCHANGE, REPLAY, CHANGES };

static const char *const change_names[CHANGES] = {"flipped", "zeroed", "cut", "exchanged",
                                                  "replayed"};

static struct zone_rig rig;
static struct fh_object_view object;
static struct rng dice;
static uint64_t version[PAGES];       /* what zone_fill made the page of; 0 = lost */
static bool damaged[PAGES];           /* in this round */
static uint64_t tried[CHANGES], done; /* so far */
static uint8_t old[SLOTS][FH_PAGE_SIZE];
static bool old_known[SLOTS];

TestSuite(corruption, .timeout = 600);

static uint64_t corruptions_wanted(void)
{
    const char *text = getenv("FH_CORRUPTIONS");
    return text ? strtoull(text, NULL, 10) : 12000;
}

static uint8_t *place_of(uint32_t page, uint32_t *slot)
{
    struct fh_entry e = zone_entry(&rig, &object, (uint64_t)page * FH_PAGE_SIZE);

    cr_assert_eq(fh_entry_state(e), FH_PAGE_SLOT, "page %u is not in swap", page);
    *slot = fh_entry_slot(e).v - 1;
    return fh_fake_disk_page(rig.disk, (uint64_t)*slot * FH_PAGE_SIZE);
}

static void write_all(uint64_t round)
{
    static uint8_t bytes[FH_PAGE_SIZE];

    for (uint32_t i = 0; i < PAGES; i++) {
        version[i] = round * PAGES + i + 1;
        zone_fill(bytes, version[i], FH_PAGE_SIZE);
        int rc = zone_write(&rig, &object, (uint64_t)i * FH_PAGE_SIZE, bytes, FH_PAGE_SIZE);
        cr_assert_eq(rc, 0, "a whole page is written whatever was there: %s", strerror(-rc));
    }
    zone_evict(&rig);
}

/* Keeps what the slots hold now, to be put back in a later round. */
static void remember(void)
{
    for (uint32_t i = 0; i < PAGES; i++) {
        uint32_t slot;
        const uint8_t *bytes = place_of(i, &slot);
        memcpy(old[slot], bytes, FH_PAGE_SIZE);
        old_known[slot] = true;
    }
}

static uint32_t intact_page(void)
{
    uint32_t page;

    do
        page = (uint32_t)rng_below(&dice, PAGES);
    while (damaged[page]);
    damaged[page] = true;
    return page;
}

static void exchange(uint8_t *a, uint8_t *b)
{
    uint8_t kept[FH_PAGE_SIZE];

    memcpy(kept, a, FH_PAGE_SIZE);
    memcpy(a, b, FH_PAGE_SIZE);
    memcpy(b, kept, FH_PAGE_SIZE);
}

static void change_one(enum change change)
{
    uint32_t slot, other;
    uint32_t page = intact_page();
    uint8_t *bytes = place_of(page, &slot);
    uint64_t at = rng_below(&dice, FH_PAGE_SIZE);

    if (change == REPLAY && !old_known[slot])
        change = FLIP;
    switch (change) {
    case FLIP:
        bytes[at] ^= (uint8_t)(1u << rng_below(&dice, 8));
        break;
    case ZERO:
        memset(bytes, 0, FH_PAGE_SIZE);
        break;
    case CUT: /* the last byte may be 0 already, so two */
        at = at > FH_PAGE_SIZE - 16 ? FH_PAGE_SIZE - 16 : at;
        memset(bytes + at, 0, FH_PAGE_SIZE - at);
        break;
    case EXCHANGE:
        exchange(bytes, place_of(intact_page(), &other));
        done++;
        break;
    case REPLAY:
        memcpy(bytes, old[slot], FH_PAGE_SIZE);
        break;
    case CHANGES:
        break;
    }
    tried[change]++;
    done++;
}

/* Where the zone says that the object is damaged, from that byte on. */
static void expect_named(uint32_t page)
{
    struct fh_lost lost;

    cr_assert_eq(fh_zone_lost(&rig.zone, &object.ref, (uint64_t)page * FH_PAGE_SIZE + 7, 1, &lost),
                 0);
    cr_assert_eq(lost.offset, damaged[page] ? (uint64_t)page * FH_PAGE_SIZE : 0);
    cr_assert_eq(lost.size, damaged[page] ? FH_PAGE_SIZE : 0);
    cr_assert_not(lost.more);
}

static void read_all(void)
{
    static uint8_t got[PAGES * FH_PAGE_SIZE], expected[FH_PAGE_SIZE];

    if (rng_percent(&dice, 50)) /* at once: one of them is lost, so nothing is answered */
        cr_assert_eq(zone_read(&rig, &object.ref, 0, got, sizeof(got)), -EBADMSG);
    for (uint32_t i = 0; i < PAGES; i++) {
        memset(got, 0xEE, FH_PAGE_SIZE);
        int rc = zone_read(&rig, &object.ref, (uint64_t)i * FH_PAGE_SIZE, got, FH_PAGE_SIZE);
        cr_assert_eq(rc, damaged[i] ? -EBADMSG : 0, "page %u: %s", i, strerror(-rc));
        zone_fill(expected, damaged[i] ? 0 : version[i], FH_PAGE_SIZE);
        if (damaged[i])
            memset(expected, 0xEE, FH_PAGE_SIZE);
        cr_assert_eq(memcmp(got, expected, FH_PAGE_SIZE), 0, "page %u: wrong bytes", i);
        expect_named(i);
    }
}

static void one_zone(uint64_t *round)
{
    uint64_t until = done + PER_ZONE;

    zone_open(&rig, FRAMES, SLOTS, 20);
    object = zone_alloc(&rig, (uint64_t)PAGES * FH_PAGE_SIZE);
    memset(old_known, 0, sizeof(old_known));
    while (done < until) {
        uint64_t changes = rng_between(&dice, 1, AT_ONCE / 2);
        write_all(++*round);
        memset(damaged, 0, sizeof(damaged));
        uint64_t lost = rig.zone.pager.pages_lost, before = done;
        for (uint64_t i = 0; i < changes; i++)
            change_one((enum change)rng_below(&dice, CHANGES));
        read_all();
        cr_assert_eq(rig.zone.pager.pages_lost - lost, done - before,
                     "each change is found, nothing else");
        write_all(++*round); /* which heals */
        remember();
        memset(damaged, 0, sizeof(damaged));
        if (*round % 20 == 0)
            zone_check(&rig);
    }
    cr_assert_eq(fh_zone_free(&rig.zone, &object.ref), 0);
    zone_expect_empty(&rig);
    zone_close(&rig);
}

Test(corruption, of_swap_is_always_found_and_costs_only_its_page)
{
    uint64_t round = 0;

    dice = rng_from_env("corruption");
    while (done < corruptions_wanted())
        one_zone(&round);
    for (uint32_t i = 0; i < CHANGES; i++) {
        fprintf(stderr, "%s %lu ", change_names[i], (unsigned long)tried[i]);
        cr_assert_gt(tried[i], done / 20);
    }
    fprintf(stderr, ": %lu pages changed, each found, 0 wrong bytes\n", (unsigned long)done);
}

/* --- small objects share their page --- */

enum { SMALL = 200, SMALL_BYTES = 500 };

Test(corruption, of_a_shared_page_costs_the_objects_on_it_and_no_other)
{
    static struct fh_object_view small[SMALL];
    uint8_t got[SMALL_BYTES], expected[SMALL_BYTES];
    struct fh_lost lost;
    uint32_t refused = 0;

    zone_open(&rig, FRAMES, SLOTS, 20);
    for (uint64_t i = 0; i < SMALL; i++) {
        small[i] = zone_alloc(&rig, SMALL_BYTES);
        zone_fill(expected, i + 1, SMALL_BYTES);
        cr_assert_eq(zone_write(&rig, &small[i], 0, expected, SMALL_BYTES), 0);
    }
    zone_evict(&rig);
    zone_flip(&rig, &small[100], 0);
    for (uint64_t i = 0; i < SMALL; i++) {
        bool hit = small[i].ref.addr.v / FH_PAGE_SIZE == small[100].ref.addr.v / FH_PAGE_SIZE;
        int rc = zone_read(&rig, &small[i].ref, 0, got, SMALL_BYTES);
        cr_assert_eq(rc, hit ? -EBADMSG : 0);
        cr_assert_eq(fh_zone_lost(&rig.zone, &small[i].ref, 0, UINT64_MAX, &lost), 0);
        cr_assert_eq(lost.offset, 0);
        cr_assert_eq(lost.size, hit ? SMALL_BYTES : 0, "all of the object, nothing beside it");
        refused += hit;
        if (hit)
            continue;
        zone_fill(expected, i + 1, SMALL_BYTES);
        cr_assert_eq(memcmp(got, expected, SMALL_BYTES), 0);
    }
    cr_assert_geq(refused, 1);
    cr_assert_leq(refused, FH_PAGE_SIZE / SMALL_BYTES);
    for (uint32_t i = 0; i < SMALL; i++)
        cr_assert_eq(fh_zone_free(&rig.zone, &small[i].ref), 0);
    zone_expect_empty(&rig);
    zone_close(&rig);
}

/* --- what is told --- */

Test(corruption, the_first_lost_run_is_named_and_whether_more_are_lost)
{
    static uint8_t got[PAGES * FH_PAGE_SIZE];
    struct fh_lost lost;

    zone_open(&rig, FRAMES, SLOTS, 20);
    object = zone_alloc(&rig, 10 * FH_PAGE_SIZE - 100);
    for (uint64_t i = 0; i < 10; i++) {
        uint64_t size = i == 9 ? FH_PAGE_SIZE - 100 : FH_PAGE_SIZE;
        zone_fill(got, i + 1, size);
        cr_assert_eq(zone_write(&rig, &object, i * FH_PAGE_SIZE, got, size), 0);
    }
    zone_evict(&rig);
    cr_assert_eq(fh_zone_lost(&rig.zone, &object.ref, 0, UINT64_MAX, &lost), 0);
    cr_assert_eq(lost.size, 0);
    zone_flip(&rig, &object, 3 * FH_PAGE_SIZE);
    zone_flip(&rig, &object, 4 * FH_PAGE_SIZE);
    zone_flip(&rig, &object, 9 * FH_PAGE_SIZE);
    cr_assert_eq(zone_read(&rig, &object.ref, 0, got, object.size), -EBADMSG);
    cr_assert_eq(fh_zone_lost(&rig.zone, &object.ref, 0, UINT64_MAX, &lost), 0);
    cr_assert_eq(lost.offset, 3 * FH_PAGE_SIZE);
    cr_assert_eq(lost.size, 2 * FH_PAGE_SIZE);
    cr_assert(lost.more);
    cr_assert_eq(fh_zone_lost(&rig.zone, &object.ref, 5 * FH_PAGE_SIZE, UINT64_MAX, &lost), 0);
    cr_assert_eq(lost.offset, 9 * FH_PAGE_SIZE);
    cr_assert_eq(lost.size, FH_PAGE_SIZE - 100, "to the end of the object");
    cr_assert_not(lost.more);
    cr_assert_eq(fh_zone_lost(&rig.zone, &object.ref, object.size, 1, &lost), 0);
    cr_assert_eq(lost.size, 0);
    object.ref.key ^= 1;
    cr_assert_eq(fh_zone_lost(&rig.zone, &object.ref, 0, 1, &lost), -ESTALE);
    object.ref.key ^= 1;
    cr_assert_eq(fh_zone_free(&rig.zone, &object.ref), 0);
    zone_expect_empty(&rig);
    zone_close(&rig);
}
