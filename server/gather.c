/*
 * Theory.  Each part is a message; the zone's thread makes the answer and takes one off `missing`.
 * Whoever takes the last one sends the gather home. A box that is closed, or closes before it is
 * read, leaves its part empty, so a gather always comes to its end.
 *
 * Invariants
 *   [I1] missing is the number of parts whose message has not run
 *   [I2] an answer is written before missing is lowered, and read after it is 0
 */
#include "gather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void gather_free(struct fh_gather *g)
{
    for (uint32_t i = 0; i < g->count; i++)
        if (g->parts[i].answer)
            g->how.drop(g->parts[i].answer);
    free(g);
}

/* It is home. */
static void gather_home(struct fh_message *message, void *owner)
{
    struct fh_gather *g = FH_CONTAINER_OF(message, struct fh_gather, message);

    if (owner && !g->abandoned)
        g->how.done(g);
    gather_free(g);
}

static void gather_part_over(struct fh_gather *g)
{
    if (atomic_fetch_sub(&g->missing, 1) != 1)
        return;
    if (!fh_mailbox_post(g->home, &g->message))
        gather_free(g); /* the asker's thread has ended */
}

static void gather_part_run(struct fh_message *message, void *owner)
{
    struct fh_gather_part *part = FH_CONTAINER_OF(message, struct fh_gather_part, message);

    if (owner)
        part->answer = part->gather->how.answer(part->gather, owner);
    gather_part_over(part->gather);
}

struct fh_gather *fh_gather_create(const struct fh_gather_how *how, const char *view,
                                   struct fh_mailbox *home, uint32_t zones, void *ctx)
{
    struct fh_gather *g = calloc(1, sizeof *g + zones * sizeof g->parts[0]);

    if (!g)
        return NULL;
    g->message.run = gather_home;
    g->how = *how;
    g->home = home;
    g->ctx = ctx;
    g->count = zones;
    snprintf(g->view, sizeof g->view, "%s", view);
    atomic_init(&g->missing, zones);
    for (uint32_t i = 0; i < zones; i++) {
        g->parts[i].gather = g;
        g->parts[i].message.run = gather_part_run;
    }
    return g;
}

void fh_gather_start(struct fh_gather *g, struct fh_mailbox *const *zones)
{
    uint32_t count = g->count; /* the gather may be gone after the last post */

    for (uint32_t i = 0; i < count; i++)
        if (!fh_mailbox_post(zones[i], &g->parts[i].message))
            gather_part_over(g);
}

void fh_gather_abandon(struct fh_gather *g)
{
    g->abandoned = true;
}
