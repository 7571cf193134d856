/*
 * Theory.  Threads share by reading what does not change and by messages. The atomics count
 * connections: the main thread accepts them and zones close them.
 */
#include "node.h"

#include <stdlib.h>

#include "clock.h"
#include "machine.h"

void fh_node_figures_of(const struct fh_node *node, struct fh_node_figures *out)
{
    *out = (struct fh_node_figures){
        .node = node->config->node,
        .io = node->io,
        .tls = node->tls,
        .uptime_ms = fh_clock_ms_of(fh_clock_ns() - node->started_ns),
        .rss_bytes = fh_machine_rss_bytes(),
        .cpu_ns = fh_machine_cpu_ns(),
        .memory = {.configured = atomic_load(&node->memory.configured),
                   .budget = atomic_load(&node->memory.budget),
                   .most = atomic_load(&node->memory.most),
                   .limit = atomic_load(&node->memory.limit),
                   .lent = atomic_load(&node->memory.lent),
                   .pressure_permille = atomic_load(&node->memory.pressure_permille)},
        .accepted = {atomic_load(&node->accepted[0]), atomic_load(&node->accepted[1])},
        .rejected = atomic_load(&node->rejected),
    };
    fh_log_counts(node->log, out->log_lines);
}

char *fh_node_render(const struct fh_node *node, const struct fh_gather *g)
{
    struct fh_view_answer **answers = calloc(g->count, sizeof(struct fh_view_answer *));
    struct fh_node_figures figures;
    char *text;

    if (!answers)
        return NULL;
    for (uint32_t i = 0; i < g->count; i++)
        answers[i] = g->parts[i].answer;
    fh_node_figures_of(node, &figures);
    text = fh_view_render(g->view, &figures, node->config, answers, g->count);
    free(answers);
    return text;
}

static void answer_drop(void *answer)
{
    fh_view_answer_destroy(answer);
}

struct fh_gather *fh_node_ask(struct fh_node *node, void (*done)(struct fh_gather *),
                              const char *view, struct fh_mailbox *home, void *ctx)
{
    const struct fh_gather_how how = {.answer = node->answer, .drop = answer_drop, .done = done};
    struct fh_gather *g = fh_gather_create(&how, view, home, node->zones, ctx);

    if (g)
        fh_gather_start(g, node->mailboxes);
    return g;
}
