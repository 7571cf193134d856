/*
 * Many threads post while one runs and then closes: each message is run exactly once, those of one
 * poster in their order. A plain program, since ThreadSanitizer does not start under Criterion.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/mailbox.h"

enum { POSTERS = 4, MESSAGES = 20000 };

static struct fh_mailbox box;

struct letter {
    struct fh_message message; /* first: a letter is found from its message */
    unsigned poster, number;
};

static unsigned next_number[POSTERS]; /* the owner's: which letter of a poster comes next */
static unsigned orphans;              /* run with owner NULL */

static void letter_run(struct fh_message *m, void *owner)
{
    struct letter *l = (struct letter *)m;

    if (l->number != next_number[l->poster]++) {
        fprintf(stderr, "letter %u of poster %u out of order\n", l->number, l->poster);
        exit(1);
    }
    orphans += owner == NULL;
    free(l);
}

static void *post_all(void *arg)
{
    unsigned poster = *(unsigned *)arg;

    for (unsigned i = 0; i < MESSAGES; i++) {
        struct letter *l = malloc(sizeof *l);
        if (l == NULL)
            exit(1);
        *l = (struct letter){.message.run = letter_run, .poster = poster, .number = i};
        if (!fh_mailbox_post(&box, &l->message)) {
            free(l);
            return NULL;
        }
    }
    return NULL;
}

static unsigned letters_run(void)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < POSTERS; i++)
        sum += next_number[i];
    return sum;
}

/* Reads until `count` letters were run, each time waiting for the eventfd. */
static void run_until(unsigned count)
{
    struct pollfd readable = {.fd = box.event_fd, .events = POLLIN};

    while (letters_run() < count) {
        if (poll(&readable, 1, 10000) != 1) {
            fprintf(stderr, "nothing to read after %u letters\n", letters_run());
            exit(1);
        }
        fh_mailbox_run(&box, &box);
    }
}

/* Runs `count` letters, closes the box, and only then lets the posters end. */
static int round_of(unsigned count)
{
    pthread_t threads[POSTERS];
    unsigned names[POSTERS];

    orphans = 0;
    for (unsigned i = 0; i < POSTERS; i++)
        next_number[i] = 0;
    if (fh_mailbox_init(&box) != 0)
        return 1;
    for (unsigned i = 0; i < POSTERS; i++) {
        names[i] = i;
        if (pthread_create(&threads[i], NULL, post_all, &names[i]) != 0)
            return 1;
    }
    run_until(count);
    fh_mailbox_close(&box);
    for (unsigned i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    fh_mailbox_fini(&box);
    printf("%u letters run, %u of them after the close\n", letters_run(), orphans);
    return 0;
}

int main(void)
{
    if (round_of(POSTERS * MESSAGES) != 0)
        return 1;
    if (letters_run() != POSTERS * MESSAGES || orphans != 0)
        return 1;
    return round_of(MESSAGES / 2);
}
