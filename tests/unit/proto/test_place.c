/* place: the documented vectors, fairness, and that a new zone only takes. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "proto/place.h"

enum { NAMES = 20000 };

TestSuite(place, .timeout = 20);

/* docs/protocol.md gives the same table; a change here is a change of the protocol. */
static const struct {
    const char *name;
    uint32_t zone_of_2, zone_of_4, zone_of_16;
} vectors[] = {
#include "place_vectors.h"
};

static uint32_t place_number(unsigned i, uint32_t zones)
{
    char name[32];
    int size = snprintf(name, sizeof name, "key/%u", i);

    return fh_place_name(name, (size_t)size, zones);
}

Test(place, the_vectors_of_the_protocol_hold)
{
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const char *name = vectors[i].name;
        size_t size = strlen(name);
        cr_assert_eq(fh_place_name(name, size, 1), 0u);
        cr_assert_eq(fh_place_name(name, size, 2), vectors[i].zone_of_2, "%s", name);
        cr_assert_eq(fh_place_name(name, size, 4), vectors[i].zone_of_4, "%s", name);
        cr_assert_eq(fh_place_name(name, size, 16), vectors[i].zone_of_16, "%s", name);
    }
}

Test(place, names_spread_evenly)
{
    uint32_t count[7] = {0};

    for (unsigned i = 0; i < NAMES; i++) {
        uint32_t zone = place_number(i, 7);
        cr_assert_lt(zone, 7u);
        count[zone]++;
    }
    for (int zone = 0; zone < 7; zone++) {
        cr_assert_gt(count[zone], NAMES / 7 * 9 / 10);
        cr_assert_lt(count[zone], NAMES / 7 * 11 / 10);
    }
}

Test(place, one_zone_more_moves_only_the_names_it_gains)
{
    for (uint32_t zones = 1; zones < 9; zones++) {
        for (unsigned i = 0; i < 2000; i++) {
            uint32_t before = place_number(i, zones);
            uint32_t after = place_number(i, zones + 1);
            cr_assert(after == before || after == zones);
        }
    }
}

Test(place, every_byte_of_a_name_counts)
{
    char name[1024];
    unsigned differ = 0;

    memset(name, 'x', sizeof name);
    uint32_t zone = fh_place_name(name, sizeof name, 1 << 12);
    for (size_t at = 0; at < sizeof name; at++) {
        name[at] = '\0';
        differ += fh_place_name(name, sizeof name, 1 << 12) != zone;
        name[at] = 'x';
    }
    cr_assert_gt(differ, 1000u);
}
