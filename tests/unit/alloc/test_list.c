#include "alloc/list.h"

#include <criterion/criterion.h>

struct item {
    int value;
    struct fh_list link;
};

static struct fh_list list;
static struct item items[4];

static void setup(void)
{
    fh_list_init(&list);
    for (int i = 0; i < 4; i++) {
        items[i].value = i;
        fh_list_init(&items[i].link);
    }
}

TestSuite(list, .init = setup, .timeout = 10);

static int pop(void)
{
    struct fh_list *node = fh_list_pop(&list);
    return node ? FH_CONTAINER_OF(node, struct item, link)->value : -1;
}

Test(list, a_fresh_list_is_empty)
{
    cr_assert(fh_list_is_empty(&list));
    cr_assert_null(fh_list_first(&list));
    cr_assert_null(fh_list_pop(&list));
}

Test(list, push_back_keeps_the_order)
{
    for (int i = 0; i < 4; i++)
        fh_list_push_back(&list, &items[i].link);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pop(), i);
    cr_assert_eq(pop(), -1);
}

Test(list, push_front_turns_the_order_round)
{
    for (int i = 0; i < 4; i++)
        fh_list_push_front(&list, &items[i].link);
    for (int i = 4; i-- > 0;)
        cr_assert_eq(pop(), i);
}

Test(list, a_node_leaves_from_anywhere_and_points_at_itself)
{
    for (int i = 0; i < 4; i++)
        fh_list_push_back(&list, &items[i].link);
    fh_list_remove(&items[2].link);
    cr_assert(fh_list_is_empty(&items[2].link));
    fh_list_remove(&items[0].link);
    cr_assert_eq(fh_list_first(&list), &items[1].link);
    fh_list_remove(&items[0].link); /* twice does no harm */
    cr_assert_eq(pop(), 1);
    cr_assert_eq(pop(), 3);
    cr_assert(fh_list_is_empty(&list));
}
