/* The budget of a node whose zones are mailboxes here, with control groups and pressure made of files. */
#include "server/budget.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)

enum { ZONES = 2 };

static char root[] = "/tmp/farheap-budget-XXXXXX";
static struct fh_config config;
static struct fh_log quiet_log;
static struct fh_node node;
static struct fh_mailbox boxes[ZONES], *box_list[ZONES];
static struct fh_budget budget;
static uint64_t now_ms, have[ZONES], orders;
static bool warm[ZONES], parks[ZONES];
static char region[8] __attribute__((aligned(8)));

/* A file below the root. */
static void file(const char *path, const char *text)
{
    char name[512], command[600];

    snprintf(name, sizeof name, "%s/%s", root, path);
    snprintf(command, sizeof command, "mkdir -p $(dirname %s)", name);
    cr_assert_eq(system(command), 0);
    FILE *f = fopen(name, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

/* A zone that does at once what it is told. */
static void zone_run(struct fh_message *message, void *owner)
{
    struct fh_budget_order *o = FH_CONTAINER_OF(message, struct fh_budget_order, message);

    if (!owner)
        return;
    orders++;
    have[o->zone] = o->goal;
    warm[o->zone] = o->warm;
    o->have = o->goal;
    o->spare = parks[o->zone] ? 0 : o->goal / 2;
    o->least = 0;
    o->evicted = 0;
    o->parks = parks[o->zone];
    fh_budget_report(o);
}

static void setup(void)
{
    const struct fh_budget_how how = {.configured = 512 * MIB,
                                      .most = 1024 * MIB,
                                      .least_zone = 16 * MIB,
                                      .beside = 50 * MIB,
                                      .books_page = 24,
                                      .pressure_permille = 100,
                                      .least_permille = 500,
                                      .root = root,
                                      .run_order = zone_run};

    cr_assert_not_null(mkdtemp(root));
    fh_log_init(&quiet_log, 2, FH_LOG_TEXT, FH_LOG_ERROR);
    now_ms = 100000;
    node = (struct fh_node){
        .config = &config, .log = &quiet_log, .zones = ZONES, .mailboxes = box_list};
    cr_assert_eq(fh_mailbox_init(&node.main), 0);
    for (int i = 0; i < ZONES; i++) {
        box_list[i] = &boxes[i];
        cr_assert_eq(fh_mailbox_init(&boxes[i]), 0);
    }
    cr_assert_eq(fh_chunks_init(&node.chunks, region, 0), 0);
    cr_assert_eq(fh_budget_init(&budget, &node, &how), 0);
}

static void teardown(void)
{
    char command[64];

    fh_mailbox_close(&node.main);
    fh_mailbox_fini(&node.main);
    for (int i = 0; i < ZONES; i++) {
        fh_mailbox_close(&boxes[i]);
        fh_mailbox_fini(&boxes[i]);
    }
    fh_budget_fini(&budget);
    fh_chunks_fini(&node.chunks);
    fh_log_fini(&quiet_log);
    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_assert_eq(system(command), 0);
}

TestSuite(budget, .init = setup, .fini = teardown, .timeout = 30);

static void deliver(void)
{
    int owner;

    for (int i = 0; i < ZONES; i++)
        fh_mailbox_run(&boxes[i], &owner);
    fh_mailbox_run(&node.main, &owner);
}

/* Ticks of that many seconds, each answered. */
static void seconds(uint32_t count)
{
    for (uint32_t i = 0; i < count * 4; i++) {
        fh_budget_tick(&budget, now_ms += FH_BUDGET_TICK_MS);
        deliver();
        cr_assert_leq(have[0] + have[1], budget.how.most);
    }
}

Test(budget, begins_as_configured)
{
    seconds(2);
    cr_assert_eq(have[0], 256 * MIB);
    cr_assert_eq(have[1], 256 * MIB);
    cr_assert_eq(atomic_load(&node.memory.configured), 512 * MIB);
    cr_assert_eq(atomic_load(&node.memory.budget), 512 * MIB);
    cr_assert_eq(atomic_load(&node.memory.limit), UINT64_MAX);
    cr_assert_eq(atomic_load(&node.memory.pressure_permille), FH_NODE_NO_PRESSURE);
}

Test(budget, follows_what_is_set_within_its_bounds)
{
    seconds(1);
    cr_assert_eq(fh_budget_set(&budget, 100 * MIB), 0);
    deliver();
    cr_assert_eq(have[0] + have[1], 100 * MIB, "at once");
    cr_assert_not(warm[0], "its memory goes to the kernel");
    cr_assert_eq(fh_budget_set(&budget, 1025 * MIB), -ERANGE);
    cr_assert_eq(fh_budget_set(&budget, 31 * MIB), -ERANGE);
    cr_assert_eq(fh_budget_set(&budget, 1024 * MIB), 0);
    seconds(1);
    cr_assert_eq(have[0] + have[1], 1024 * MIB);
}

Test(budget, a_lowered_limit_of_version_2_shrinks_it_and_a_raised_one_restores_it)
{
    file("proc/self/cgroup", "0::/app\n");
    file("sys/fs/cgroup/app/memory.max", "max\n");
    seconds(2);
    cr_assert_eq(have[0] + have[1], 512 * MIB);
    file("sys/fs/cgroup/app/memory.max", "314572800\n"); /* 300 MiB */
    seconds(3);
    uint64_t within = have[0] + have[1];
    cr_assert_leq(within / 4096 * (4096 + 24) + 50 * MIB, 300 * MIB);
    cr_assert_gt(within, 247 * MIB);
    cr_assert_eq(atomic_load(&node.memory.limit), 300 * MIB);
    file("sys/fs/cgroup/app/memory.max", "2000000000\n");
    seconds(3);
    cr_assert_eq(have[0] + have[1], 512 * MIB, "not more than was configured");
}

Test(budget, a_limit_below_what_zones_need_leaves_them_that)
{
    file("proc/self/cgroup", "0::/app\n");
    file("sys/fs/cgroup/app/memory.high", "1000000\n");
    seconds(3);
    cr_assert_eq(have[0] + have[1], 32 * MIB);
}

Test(budget, what_is_set_above_the_limit_waits_for_it)
{
    file("proc/self/cgroup", "0::/app\n");
    file("sys/fs/cgroup/app/memory.max", "314572800\n");
    seconds(3);
    cr_assert_eq(fh_budget_set(&budget, 1000 * MIB), 0);
    seconds(3);
    cr_assert_lt(have[0] + have[1], 251 * MIB);
    file("sys/fs/cgroup/app/memory.max", "max\n");
    seconds(3);
    cr_assert_eq(have[0] + have[1], 1000 * MIB);
}

Test(budget, pressure_shrinks_it_gently_and_lets_it_back)
{
    seconds(1);
    file("proc/pressure/memory", "some avg10=55.00 avg60=1 avg300=1 total=1\n");
    seconds(3);
    cr_assert_gt(have[0] + have[1], 490 * MIB);
    cr_assert_lt(have[0] + have[1], 512 * MIB);
    cr_assert_eq(atomic_load(&node.memory.pressure_permille), 550);
    seconds(100);
    cr_assert_eq(have[0] + have[1], 256 * MIB, "memory-min of it stays");
    file("proc/pressure/memory", "some avg10=0.00 avg60=1 avg300=1 total=1\n");
    seconds(20);
    cr_assert_gt(have[0] + have[1], 256 * MIB);
    cr_assert_lt(have[0] + have[1], 400 * MIB);
    seconds(300);
    cr_assert_eq(have[0] + have[1], 512 * MIB);
}

Test(budget, a_zone_that_parks_borrows_and_the_memory_stays_warm)
{
    parks[1] = true;
    for (int i = 0; i < 60; i++) {
        seconds(1);
        cr_assert_leq(have[0] + have[1], 512 * MIB);
    }
    cr_assert_gt(have[1], 450 * MIB);
    cr_assert_gt(atomic_load(&node.memory.lent), 190 * MIB);
    cr_assert(warm[0]);
    parks[0] = true;
    seconds(60);
    cr_assert_eq(have[0], 256 * MIB, "and gives it back");
}

Test(budget, a_zone_that_does_not_answer_is_not_asked_again)
{
    fh_budget_tick(&budget, now_ms += 250);
    for (int i = 0; i < 10; i++)
        fh_budget_tick(&budget, now_ms += 250);
    deliver();
    cr_assert_eq(orders, ZONES);
    seconds(1);
    cr_assert_eq(orders, ZONES * 5);
}
