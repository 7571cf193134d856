/*
 * Theory.  Three things bound the memory for pages, and the least of them counts: what the operator asked for, what
 * the control group leaves beside books and buffers, and, while processes of the machine wait for memory, what
 * pressure.c still allows. Limits and pressure change while the server runs and nobody tells, so they are read once a
 * second. lend.c says which zone is to have how much of it.
 *
 *   main   --order: goal-->   zone: sets its budget, works towards it in its turns
 *          <--report------          frames it has, spare, least; whether it starves
 *
 * One order per zone is under way at a time. The zones take chunks from the node's pool and give them back to it;
 * what one gives for another stays warm there, and is cooled when nobody waits for more.
 *
 * Invariants
 *   [I1] bound <= configured, now <= bound, except that neither is less than the zones need
 *   [I2] an order is posted only when it is not under way
 */
#include "budget.h"

#include <errno.h>
#include <stdlib.h>

#include "cgroup.h"
#include "pressure.h"
#include "units.h"

enum { PAGE = 4096 };

static uint64_t least_all(const struct fh_budget *b)
{
    return b->how.least_zone * b->node->zones;
}

uint64_t fh_budget_within(const struct fh_budget_how *how, uint64_t limit)
{
    uint64_t room = limit > how->beside ? limit - how->beside : 0;

    return room / (PAGE + how->books_page) * PAGE;
}

/* What others see, on any thread. */
static void budget_publish(struct fh_budget *b)
{
    struct fh_node_memory *m = &b->node->memory;

    atomic_store(&m->configured, b->configured);
    atomic_store(&m->budget, b->now);
    atomic_store(&m->most, b->how.most);
    atomic_store(&m->limit, b->limit);
    atomic_store(&m->lent, b->lent_bytes);
}

int fh_budget_init(struct fh_budget *b, struct fh_node *node, const struct fh_budget_how *how)
{
    *b = (struct fh_budget){.node = node,
                            .how = *how,
                            .configured = how->configured,
                            .limit = UINT64_MAX,
                            .bound = how->configured,
                            .now = how->configured};
    b->zones = calloc(node->zones, sizeof *b->zones);
    b->orders = calloc(node->zones, sizeof *b->orders);
    if (!b->zones || !b->orders) {
        fh_budget_fini(b);
        return -ENOMEM;
    }
    fh_lend_start(b->zones, node->zones, b->now, how->least_zone);
    for (uint32_t i = 0; i < node->zones; i++) {
        b->orders[i].budget = b;
        b->orders[i].zone = i;
    }
    b->limit = fh_cgroup_limit_bytes(how->root);
    atomic_store(&node->memory.pressure_permille, FH_NODE_NO_PRESSURE);
    budget_publish(b);
    return 0;
}

void fh_budget_fini(struct fh_budget *b)
{
    free(b->zones);
    free(b->orders);
    b->zones = NULL;
    b->orders = NULL;
}

/* --- what bounds it --- */

static void budget_look_at_limit(struct fh_budget *b)
{
    uint64_t limit = fh_cgroup_limit_bytes(b->how.root);
    uint64_t within = fh_budget_within(&b->how, limit);
    uint64_t bound = within < b->configured ? within : b->configured;
    const char *message = bound < b->bound ? "the control group leaves less: memory shrinks"
                                           : "the control group leaves more: memory grows";

    if (bound < least_all(b)) {
        if (b->limit != limit)
            FH_LOG(b->node->log, 0, FH_LOG_ERROR, "budget",
                   "the control group leaves less than the zones need; raise its limit",
                   FH_NUM("limit", limit), FH_NUM("needed", least_all(b)));
        bound = least_all(b);
    }
    if (bound != b->bound)
        FH_LOG(b->node->log, 0, FH_LOG_WARN, "budget", message, FH_NUM("bytes", bound),
               FH_NUM("configured", b->configured),
               FH_NUM("limit", limit == UINT64_MAX ? 0 : limit));
    b->limit = limit;
    b->bound = bound;
}

static void budget_look_at_pressure(struct fh_budget *b)
{
    struct fh_pressure_how how = {.threshold_permille = b->how.pressure_permille,
                                  .least_bytes = b->configured * b->how.least_permille / 1000,
                                  .most_bytes = b->bound};
    uint32_t permille = 0;
    bool known = fh_cgroup_pressure(b->how.root, &permille);
    uint64_t before = b->now;

    if (how.least_bytes < least_all(b))
        how.least_bytes = least_all(b);
    if (!known)
        how.threshold_permille = 0;
    b->now = fh_pressure_next(&how, b->now, permille);
    atomic_store(&b->node->memory.pressure_permille, known ? permille : FH_NODE_NO_PRESSURE);
    if (b->now < before && before == b->bound)
        FH_LOG(b->node->log, 0, FH_LOG_WARN, "budget",
               "processes of this machine wait for memory: ours shrinks",
               FH_NUM("waiting_permille", permille), FH_NUM("least_bytes", how.least_bytes));
    if (b->now == b->bound && before < b->bound && b->how.pressure_permille > 0)
        FH_LOG(b->node->log, 0, FH_LOG_INFO, "budget", "memory is whole again",
               FH_NUM("bytes", b->now));
}

static void budget_look(struct fh_budget *b)
{
    uint64_t before = b->bound;

    budget_look_at_limit(b);
    if (b->bound != before)
        b->now = b->bound;
    else
        budget_look_at_pressure(b);
}

int fh_budget_set(struct fh_budget *b, uint64_t bytes)
{
    if (bytes < least_all(b) || bytes > b->how.most)
        return -ERANGE;
    bool less = bytes < b->configured;
    b->configured = bytes / PAGE * PAGE;
    uint64_t within = fh_budget_within(&b->how, b->limit);
    b->bound = within < b->configured ? within : b->configured;
    if (b->bound < least_all(b))
        b->bound = least_all(b);
    b->now = b->bound;
    FH_LOG(b->node->log, 0, FH_LOG_INFO, "budget",
           less ? "memory is to be less" : "memory is to be more",
           FH_NUM("configured", b->configured), FH_NUM("bytes", b->now));
    fh_budget_tick(b, b->look_ms);
    return 0;
}

/* --- telling the zones --- */

static void report_run(struct fh_message *message, void *owner)
{
    struct fh_budget_order *o = FH_CONTAINER_OF(message, struct fh_budget_order, message);

    if (!owner)
        return; /* the server ends */
    struct fh_lend_zone *z = &o->budget->zones[o->zone];
    z->have = o->have;
    z->spare = o->spare;
    z->least = o->least;
    z->hungry = o->parks || o->evicted != o->evicted_before;
    o->evicted_before = o->evicted;
    o->under_way = false;
}

void fh_budget_report(struct fh_budget_order *o)
{
    o->message.run = report_run;
    /* Refused when the main thread has ended: then nobody wants it. */
    bool posted = fh_mailbox_post(&o->budget->node->main, &o->message);
    (void)posted;
}

static void budget_order(struct fh_budget *b, uint32_t i, bool warm)
{
    struct fh_budget_order *o = &b->orders[i];

    o->goal = b->zones[i].goal;
    o->warm = warm;
    o->message.run = b->how.run_order;
    o->under_way = fh_mailbox_post(b->node->mailboxes[i], &o->message);
}

/* Nothing is asked of a zone that it has not told about. */
static bool budget_is_quiet(const struct fh_budget *b)
{
    for (uint32_t i = 0; i < b->node->zones; i++)
        if (b->orders[i].under_way)
            return false;
    return true;
}

void fh_budget_tick(struct fh_budget *b, uint64_t now_ms)
{
    uint32_t count = b->node->zones;
    uint64_t had = 0;
    bool waits = false;

    if (now_ms - b->look_ms >= FH_BUDGET_LOOK_MS) {
        b->look_ms = now_ms;
        budget_look(b);
    }
    if (!budget_is_quiet(b)) {
        budget_publish(b);
        return; /* a zone is late: the next tick does it */
    }
    fh_lend_fit(b->zones, count, b->now, b->how.least_zone);
    b->lent_bytes += fh_lend_step(b->zones, count, b->how.least_zone);
    fh_lend_goals(b->zones, count);
    for (uint32_t i = 0; i < count; i++) {
        had += b->zones[i].have;
        waits = waits || b->zones[i].have < b->zones[i].target;
    }
    if (!waits)
        fh_chunks_cool(&b->node->chunks);
    for (uint32_t i = 0; i < count; i++)
        budget_order(b, i, had <= b->now);
    budget_publish(b);
}
