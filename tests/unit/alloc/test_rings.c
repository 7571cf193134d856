/* Which pages mirror each other: views over an origin, moved and orphaned. */
#include "alloc/rings.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

static struct fh_rings rings;
static struct fh_view views[4];

static struct fh_page page(uint64_t v)
{
    return (struct fh_page){v};
}

static void setup(void)
{
    memset(&rings, 0xA5, sizeof(rings));
    memset(views, 0xA5, sizeof(views));
    fh_rings_init(&rings);
}

/* The ring of a page as a sum of bits: page 100 * k + j gives bit k. */
static uint32_t ring_of(uint64_t of)
{
    struct fh_ring_walk walk = {0};
    struct fh_page p;
    uint32_t found = 0;

    while (fh_rings_next(&rings, page(of), &walk, &p)) {
        cr_assert_eq(p.v % 100, of % 100);
        cr_assert_not(found & (1u << p.v / 100), "met twice");
        found |= 1u << p.v / 100;
    }
    return found;
}

TestSuite(rings, .init = setup, .timeout = 10);

Test(rings, without_views_the_ring_of_a_page_is_that_page)
{
    cr_assert_eq(ring_of(0), 1);
    cr_assert_eq(ring_of(312), 1 << 3);
    cr_assert_not(fh_rings_mirror(&rings, page(0), 1000));
}

Test(rings, origin_and_views_are_one_ring_from_wherever_one_looks)
{
    fh_rings_add(&rings, &views[0], page(10), page(110), 20); /* pages 10..29 */
    fh_rings_add(&rings, &views[1], page(20), page(220), 20); /* pages 20..39 */
    cr_assert_eq(rings.count, 2);
    cr_assert_eq(ring_of(9), 1);
    cr_assert_eq(ring_of(10), 1 | 2);
    cr_assert_eq(ring_of(20), 1 | 2 | 4);
    cr_assert_eq(ring_of(120), 1 | 2 | 4);
    cr_assert_eq(ring_of(229), 1 | 2 | 4);
    cr_assert_eq(ring_of(30), 1 | 4);
    cr_assert_eq(ring_of(239), 1 | 4);
    cr_assert_eq(ring_of(40), 1);
    fh_rings_remove(&rings, &views[0]);
    cr_assert_eq(ring_of(20), 1 | 4);
    cr_assert_eq(rings.count, 1);
}

Test(rings, mirrored_means_any_page_in_common)
{
    fh_rings_add(&rings, &views[0], page(10), page(110), 5);
    cr_assert_not(fh_rings_mirror(&rings, page(0), 10));
    cr_assert(fh_rings_mirror(&rings, page(0), 11));
    cr_assert(fh_rings_mirror(&rings, page(12), 1));
    cr_assert(fh_rings_mirror(&rings, page(14), 100));
    cr_assert_not(fh_rings_mirror(&rings, page(15), 100));
    cr_assert_not(fh_rings_mirror(&rings, page(110), 5), "that is the view itself");
}

Test(rings, views_follow_their_origin_to_another_place)
{
    fh_rings_add(&rings, &views[0], page(10), page(110), 5);
    fh_rings_add(&rings, &views[1], page(60), page(260), 5);
    fh_rings_moved(&rings, page(0), page(300), 50);
    cr_assert_eq(ring_of(312), 1 << 3 | 1 << 1);
    cr_assert_eq(ring_of(12), 1);
    cr_assert_eq(ring_of(62), 1 | 1 << 2, "the other one stays");
}

Test(rings, only_views_of_what_is_gone_are_orphaned)
{
    fh_rings_add(&rings, &views[0], page(10), page(110), 5);
    fh_rings_add(&rings, &views[1], page(20), page(220), 5);
    cr_assert_not(views[0].orphaned);
    fh_rings_orphan(&rings, page(0), 20);
    cr_assert(views[0].orphaned);
    cr_assert_not(views[1].orphaned);
}

Test(rings, removing_from_none_is_a_programmer_error, .signal = SIGABRT)
{
    fh_rings_remove(&rings, &views[0]);
}

Test(rings, check_sees_a_wrong_count_and_a_view_of_a_view)
{
    struct fh_rings_stats stats;

    fh_rings_add(&rings, &views[0], page(100), page(1000), 10);
    fh_rings_stats(&rings, &stats);
    cr_assert_eq(stats.views, 1);
    cr_assert_eq(stats.pages, 10);
    cr_assert(fh_rings_check(&rings, stderr));
    rings.count++; /* [I1] */
    cr_assert_not(fh_rings_check(&rings, NULL));
    rings.count--;
    fh_rings_add(&rings, &views[1], page(1003), page(2000), 2); /* [I2] */
    cr_assert_not(fh_rings_check(&rings, NULL));
}

Test(rings, dump_names_each_view)
{
    char text[256] = "";
    FILE *out = fmemopen(text, sizeof(text), "w");

    fh_rings_add(&rings, &views[0], page(0x10), page(0x110), 5);
    fh_rings_orphan(&rings, page(0), 0x20);
    fh_rings_dump(&rings, out);
    fclose(out);
    cr_assert_not_null(strstr(text, "view 110 of 10, 5 pages, orphaned"));
}
