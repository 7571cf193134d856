/* The numbers of requests: none twice, none for the wrong link, none after its release. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>

#include "client/ids.h"

TestSuite(ids, .timeout = 10);

static struct fh_link *link_number(uintptr_t n)
{
    return (struct fh_link *)(n * 8);
}

Test(ids, an_id_leads_back_to_its_slot_and_only_from_its_link)
{
    struct fh_ids ids;
    uint32_t index;
    uint64_t id;

    fh_ids_init(&ids);
    index = fh_ids_take(&ids, NULL, link_number(1));
    id = fh_ids_number(&ids, index);
    cr_assert_neq(id, 0);
    cr_assert_eq(fh_ids_find(&ids, link_number(1), id), index);
    cr_assert_eq(fh_ids_find(&ids, link_number(2), id), UINT32_MAX);
    cr_assert_eq(fh_ids_find(&ids, link_number(1), id + 1), UINT32_MAX);
    fh_ids_fini(&ids);
}

Test(ids, a_released_id_is_never_found_again)
{
    struct fh_ids ids;
    uint32_t index;
    uint64_t before;

    fh_ids_init(&ids);
    index = fh_ids_take(&ids, NULL, link_number(1));
    before = fh_ids_number(&ids, index);
    fh_ids_release(&ids, index);
    cr_assert_eq(fh_ids_find(&ids, link_number(1), before), UINT32_MAX);
    cr_assert_eq(fh_ids_take(&ids, NULL, link_number(1)), index, "the slot is used again");
    cr_assert_eq(fh_ids_find(&ids, link_number(1), before), UINT32_MAX);
    fh_ids_fini(&ids);
}

Test(ids, ids_only_grow_and_are_never_zero)
{
    uint32_t held[200];
    struct fh_ids ids;
    uint64_t last = 0;

    fh_ids_init(&ids);
    for (uint32_t round = 0; round < 50; round++) {
        for (uint32_t i = 0; i < 4 * round; i++) {
            held[i] = fh_ids_take(&ids, NULL, link_number(1));
            cr_assert_gt(fh_ids_number(&ids, held[i]), last);
            last = fh_ids_number(&ids, held[i]);
            cr_assert_eq(fh_ids_find(&ids, link_number(1), last), held[i]);
        }
        for (uint32_t i = 0; i < 4 * round; i++)
            fh_ids_release(&ids, held[round % 2 ? i : 4 * round - 1 - i]);
    }
    cr_assert_eq(fh_ids_find(&ids, link_number(1), 0), UINT32_MAX);
    fh_ids_fini(&ids);
}

Test(ids, it_grows_and_keeps_what_it_has)
{
    enum { COUNT = 10000 };
    uint64_t *numbers = malloc(COUNT * sizeof(*numbers));
    struct fh_ids ids;

    fh_ids_init(&ids);
    for (uint32_t i = 0; i < COUNT; i++)
        numbers[i] = fh_ids_number(&ids, fh_ids_take(&ids, NULL, link_number(i % 7 + 1)));
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t index = fh_ids_find(&ids, link_number(i % 7 + 1), numbers[i]);

        cr_assert_neq(index, UINT32_MAX);
        cr_assert_eq(fh_ids_number(&ids, index), numbers[i]);
    }
    fh_ids_fini(&ids);
    free(numbers);
}
