/*
 * Theory.  The files are a queue with one atomic cursor. A thread holds one file at a time in a
 * buffer that grows to the largest it met. What is hashed is what is stored: a file that changes
 * while it is read, or vanishes, cannot make a right server look wrong. The first failure stops
 * everybody; a wrong byte does not, so that the report can say how many there were.
 */
#include "client/demo/crew.h"

#include "client/bench/keys.h"
#include "client/bench/units.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, LARGE_BYTES = 1 << 20 };

struct hand {
    struct fh_crew *crew;
    fh_client *client;
    bool (*task)(struct hand *, struct fh_file *);
    uint8_t *buf;
    size_t room;
    _Atomic bool finished;
};

static bool crew_fail(struct fh_crew *c, const char *doing, const char *path, fh_status status,
                      const char *why)
{
    bool none = false;

    if (atomic_compare_exchange_strong(&c->failed, &none, true))
        snprintf(c->why, sizeof(c->why), "%s %s: %s: %s", doing, path, fh_strstatus(status), why);
    return false;
}

static bool hand_reserve(struct hand *h, size_t size)
{
    uint8_t *grown;

    if (h->room >= size)
        return true;
    if ((grown = realloc(h->buf, size)) == NULL)
        return false;
    h->buf = grown;
    h->room = size;
    return true;
}

/* Reads at most file->bytes; what has become shorter is that much shorter. False: it is gone. */
static bool hand_read(struct hand *h, struct fh_file *file)
{
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    size_t have = 0;
    ssize_t got = 1;

    if (fd < 0)
        return false;
    while (have < file->bytes && got > 0) {
        got = read(fd, h->buf + have, file->bytes - have);
        if (got > 0)
            have += (size_t)got;
    }
    close(fd);
    file->bytes = have;
    return have > 0;
}

static bool page_is_zero(const uint8_t *page)
{
    for (size_t i = 0; i < PAGE; i++)
        if (page[i] != 0)
            return false;
    return true;
}

/* Keeps bytes of some whole pages: within one page each, and not of one that costs no memory. */
static void file_sample(struct fh_file *file, const uint8_t *bytes, uint64_t seed)
{
    struct fh_random r = {seed ^ file->inode};

    if (file->bytes < LARGE_BYTES)
        return;
    if ((file->samples = calloc(FH_SAMPLES, sizeof(*file->samples))) == NULL)
        return;
    for (uint32_t i = 0; i < FH_SAMPLES; i++) {
        /* A stripe of the file for each, so that no two lie near each other. */
        uint64_t pages = file->bytes / PAGE / FH_SAMPLES;
        uint64_t page = pages * i + fh_random_below(&r, pages);
        struct fh_sample *s = &file->samples[file->sample_count];

        if (page_is_zero(bytes + page * PAGE))
            continue;
        s->offset = page * PAGE + fh_random_below(&r, PAGE - FH_SAMPLE_BYTES);
        memcpy(s->bytes, bytes + s->offset, FH_SAMPLE_BYTES);
        file->sample_count++;
    }
}

static bool digest_of(const uint8_t *bytes, size_t size, uint8_t out[FH_DIGEST_BYTES])
{
    return EVP_Digest(bytes, size, out, NULL, EVP_sha256(), NULL) == 1;
}

static bool task_store(struct hand *h, struct fh_file *file)
{
    fh_status status;

    if (!hand_reserve(h, file->bytes))
        return crew_fail(h->crew, "reading", file->path, FH_NO_MEMORY, "malloc failed");
    if (!hand_read(h, file))
        return true;
    if (!digest_of(h->buf, file->bytes, file->digest))
        return crew_fail(h->crew, "hashing", file->path, FH_NO_MEMORY, "no SHA-256");
    file_sample(file, h->buf, h->crew->seed);
    status = fh_put(h->client, file->name, strlen(file->name), h->buf, file->bytes, NULL, NULL);
    if (status != FH_OK)
        return crew_fail(h->crew, "storing", file->path, status, fh_errmsg(h->client));
    file->stored = true;
    return true;
}

static void file_is_wrong(struct hand *h, const struct fh_file *file, size_t got, uint64_t total)
{
    if (atomic_fetch_add(&h->crew->wrong, 1) == 0)
        fprintf(stderr,
                "\nfarheap-demo: WRONG: %s: %zu of %llu bytes came back, %llu were stored%s\n",
                file->path, got, (unsigned long long)total, (unsigned long long)file->bytes,
                got == file->bytes ? ", and their SHA-256 differs" : "");
}

static bool task_verify(struct hand *h, struct fh_file *file)
{
    uint8_t digest[FH_DIGEST_BYTES];
    uint64_t total = 0;
    size_t got = 0;
    fh_status status;

    if (!file->stored)
        return true;
    if (!hand_reserve(h, file->bytes))
        return crew_fail(h->crew, "getting", file->path, FH_NO_MEMORY, "malloc failed");
    /* Not what an earlier file left there may be taken for this one. */
    memset(h->buf, 0xa5, file->bytes);
    status =
        fh_get(h->client, file->name, strlen(file->name), 0, h->buf, file->bytes, &got, &total);
    if (status != FH_OK)
        return crew_fail(h->crew, "getting", file->path, status, fh_errmsg(h->client));
    if (!digest_of(h->buf, got, digest))
        return crew_fail(h->crew, "hashing", file->path, FH_NO_MEMORY, "no SHA-256");
    if (got != file->bytes || total != file->bytes ||
        memcmp(digest, file->digest, sizeof(digest)) != 0)
        file_is_wrong(h, file, got, total);
    return true;
}

static void *hand_main(void *argument)
{
    struct hand *h = argument;
    struct fh_crew *c = h->crew;
    fh_status status = fh_open(c->url, NULL, &h->client);

    if (status != FH_OK)
        crew_fail(c, "connecting to", c->url, status,
                  h->client != NULL ? fh_errmsg(h->client) : "out of memory");
    while (!atomic_load(&c->failed)) {
        size_t i = atomic_fetch_add(&c->next, 1);

        if (i >= c->files->count || !h->task(h, &c->files->files[i]))
            break;
        atomic_fetch_add(&c->done_files, 1);
        atomic_fetch_add(&c->done_bytes, c->files->files[i].bytes);
    }
    fh_close(h->client);
    free(h->buf);
    atomic_store(&h->finished, true);
    return NULL;
}

/* A bar on a terminal, ten times a second; else a line for each tenth. */
static void progress_show(struct fh_crew *c, const char *word, unsigned *tenth)
{
    static const char bar[] = "####################--------------------";
    uint64_t bytes = atomic_load(&c->done_bytes);
    unsigned percent = c->files->bytes == 0 ? 100 : (unsigned)(bytes * 100 / c->files->bytes);
    char have[FH_UNITS_TEXT];
    char all[FH_UNITS_TEXT];

    if (percent > 100)
        percent = 100;
    fh_units_show_size(have, bytes);
    fh_units_show_size(all, c->files->bytes);
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K%s  %s of %s  %3u%% [%.20s]", word, have, all, percent,
                bar + 20 - percent / 5);
    } else if (percent / 10 > *tenth) {
        *tenth = percent / 10;
        fprintf(stderr, "%s %3u%%  %s of %s\n", word, percent, have, all);
    }
}

static void crew_attend(struct fh_crew *c, const char *word, struct hand *hands, size_t count)
{
    const struct timespec tick = {.tv_nsec = 10000000};
    unsigned tenth = 0;

    for (size_t i = 0, ticks = 0; i < count;) {
        if (ticks++ % 10 == 0)
            progress_show(c, word, &tenth);
        if (atomic_load(&hands[i].finished))
            i++;
        else
            nanosleep(&tick, NULL);
    }
    progress_show(c, word, &tenth);
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

static bool crew_run(struct fh_crew *c, const char *word,
                     bool (*task)(struct hand *, struct fh_file *))
{
    pthread_t threads[FH_CREW_THREADS];
    struct hand hands[FH_CREW_THREADS];
    size_t started = 0;

    atomic_store(&c->next, 0);
    atomic_store(&c->done_files, 0);
    atomic_store(&c->done_bytes, 0);
    for (; started < FH_CREW_THREADS; started++) {
        hands[started] = (struct hand){.crew = c, .task = task};
        if (pthread_create(&threads[started], NULL, hand_main, &hands[started]) != 0)
            break;
    }
    if (started == 0)
        return crew_fail(c, "starting", "threads", FH_NO_MEMORY, "pthread_create failed");
    crew_attend(c, word, hands, started);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    return !atomic_load(&c->failed);
}

bool fh_crew_store(struct fh_crew *c)
{
    return crew_run(c, "storing", task_store);
}

bool fh_crew_verify(struct fh_crew *c)
{
    return crew_run(c, "reading back", task_verify);
}
