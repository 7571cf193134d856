#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>

#include "server/gather.h"
#include "server/mailbox.h"

TestSuite(mailbox, .timeout = 30);

struct note {
    struct fh_message message;
    unsigned runs;
    void *owner;
};

static void note_run(struct fh_message *message, void *owner)
{
    struct note *note = FH_CONTAINER_OF(message, struct note, message);

    note->runs++;
    note->owner = owner;
}

static bool is_readable(const struct fh_mailbox *box)
{
    struct pollfd fd = {.fd = box->event_fd, .events = POLLIN};

    return poll(&fd, 1, 0) == 1;
}

Test(mailbox, a_message_is_run_once_with_the_owner)
{
    struct note note = {.message.run = note_run};
    struct fh_mailbox box;
    int owner;

    cr_assert_eq(fh_mailbox_init(&box), 0);
    cr_assert_not(is_readable(&box));
    cr_assert(fh_mailbox_post(&box, &note.message));
    cr_assert(is_readable(&box));
    fh_mailbox_run(&box, &owner);
    fh_mailbox_run(&box, &owner);
    cr_assert_eq(note.runs, 1u);
    cr_assert_eq(note.owner, &owner);
    cr_assert_not(is_readable(&box));
    fh_mailbox_fini(&box);
}

Test(mailbox, closing_runs_what_is_left_without_an_owner_and_takes_no_more)
{
    struct note note = {.message.run = note_run}, late = {.message.run = note_run};
    struct fh_mailbox box;

    note.owner = &box;
    cr_assert_eq(fh_mailbox_init(&box), 0);
    cr_assert(fh_mailbox_post(&box, &note.message));
    fh_mailbox_close(&box);
    cr_assert_eq(note.runs, 1u);
    cr_assert_null(note.owner);
    cr_assert_not(fh_mailbox_post(&box, &late.message));
    fh_mailbox_fini(&box);
}

enum { POSTS = 20000, POSTERS = 3 };
static struct note notes[POSTERS][POSTS];
static struct fh_mailbox shared;

static void *post_many(void *arg)
{
    struct note *mine = arg;

    for (unsigned i = 0; i < POSTS; i++) {
        mine[i].message.run = note_run;
        if (!fh_mailbox_post(&shared, &mine[i].message))
            return arg;
    }
    return NULL;
}

Test(mailbox, what_many_threads_post_arrives_once)
{
    pthread_t threads[POSTERS];
    unsigned runs = 0;
    void *failed;

    cr_assert_eq(fh_mailbox_init(&shared), 0);
    for (unsigned i = 0; i < POSTERS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, post_many, notes[i]), 0);
    for (unsigned i = 0; i < POSTERS; i++) {
        struct pollfd fd = {.fd = shared.event_fd, .events = POLLIN};
        while (poll(&fd, 1, 50) == 1)
            fh_mailbox_run(&shared, &shared);
        cr_assert_eq(pthread_join(threads[i], &failed), 0);
        cr_assert_null(failed);
    }
    fh_mailbox_run(&shared, &shared);
    for (unsigned i = 0; i < POSTERS; i++)
        for (unsigned j = 0; j < POSTS; j++)
            runs += notes[i][j].runs == 1;
    cr_assert_eq(runs, (unsigned)POSTS * POSTERS);
    fh_mailbox_fini(&shared);
}

/* --- gather --- */

static int answers[2];
static unsigned dropped, finished, seen;

static void *answer(struct fh_gather *g, void *owner)
{
    (void)g;
    return owner;
}

static void drop(void *part)
{
    (void)part;
    dropped++;
}

static void done(struct fh_gather *g)
{
    finished++;
    for (uint32_t i = 0; i < g->count; i++)
        seen += g->parts[i].answer != NULL;
}

static const struct fh_gather_how how = {.answer = answer, .drop = drop, .done = done};

Test(mailbox, a_gather_comes_home_with_the_parts_of_all)
{
    struct fh_mailbox home, zones[2];
    struct fh_mailbox *all[2] = {&zones[0], &zones[1]};

    cr_assert_eq(fh_mailbox_init(&home), 0);
    cr_assert_eq(fh_mailbox_init(&zones[0]), 0);
    cr_assert_eq(fh_mailbox_init(&zones[1]), 0);
    struct fh_gather *g = fh_gather_create(&how, "info", &home, 2, NULL);
    cr_assert(g);
    fh_gather_start(g, all);
    fh_mailbox_run(&zones[1], &answers[1]);
    fh_mailbox_run(&home, &home);
    cr_assert_eq(finished, 0u);
    fh_mailbox_run(&zones[0], &answers[0]);
    fh_mailbox_run(&home, &home);
    cr_assert_eq(finished, 1u);
    cr_assert_eq(seen, 2u);
    cr_assert_eq(dropped, 2u);

    g = fh_gather_create(&how, "info", &home, 2, NULL);
    fh_mailbox_close(&zones[0]); /* a zone has ended: its part stays empty */
    fh_gather_start(g, all);
    fh_mailbox_run(&zones[1], &answers[1]);
    fh_mailbox_run(&home, &home);
    cr_assert_eq(finished, 2u);
    cr_assert_eq(seen, 3u);

    g = fh_gather_create(&how, "info", &home, 2, NULL);
    fh_gather_start(g, all);
    fh_gather_abandon(g);
    fh_mailbox_run(&zones[1], &answers[1]);
    fh_mailbox_run(&home, &home);
    cr_assert_eq(finished, 2u, "nobody wanted it any more");
    cr_assert_eq(dropped, 4u);
    fh_mailbox_close(&zones[1]);
    fh_mailbox_close(&home);
    fh_mailbox_fini(&zones[0]);
    fh_mailbox_fini(&zones[1]);
    fh_mailbox_fini(&home);
}
