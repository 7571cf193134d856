/*
 * The oracle of the crash tests: it works with durable objects while the server is killed, and knows
 * from its own log what was acknowledged. It shares no code with the server.
 *
 *   crash-oracle work URL LOG PREFIX KEYS SEED      puts and deletes until the server goes away
 *   crash-oracle once URL LOG PREFIX KEYS SEED N    N steps, then ends
 *   crash-oracle check URL LOG PREFIX KEYS          compares what is there with what the log allows
 *
 * Several may run at once, each with a prefix of names and a log of its own.
 *
 * The log has a line before each step and one after its answer; it is appended with one write per
 * line, so it is whole whenever the server dies. A step without an answer may have happened or not;
 * what check then finds is noted as the state from there on. Each object says in its bytes which
 * key and step it is of, page by page, so a mixed one shows.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/farheap.h"

enum { KEYS_MAX = 256, SIZE_MAX_BYTES = 300000, PAGE = 4096 };

static uint8_t body[SIZE_MAX_BYTES], back[SIZE_MAX_BYTES + 1];
static uint64_t random_state;
static const char *prefix = "";

static uint64_t random_next(void)
{
    uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* --- objects that tell what they are --- */

static size_t size_of(uint64_t step)
{
    switch (step % 4) {
    case 0:
        return 1 + step * 7919 % 200;
    case 1:
        return 4000 + step * 104729 % 300;
    case 2:
        return 60000 + step * 7919 % 20000;
    default:
        return 100 + step * 15485863 % (SIZE_MAX_BYTES - 100);
    }
}

static void body_fill(uint64_t key, uint64_t step, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        uint64_t word = (key << 40 ^ step) * UINT64_C(0x9e3779b97f4a7c15) + at / PAGE;
        body[at] = (uint8_t)(word >> (at % 8 * 8) ^ at / 8);
    }
}

static size_t name_of(uint64_t key, char name[32])
{
    return (size_t)snprintf(name, 32, "crash/%.8s/%" PRIu64, prefix, key);
}

/* --- the log: "KEY STEP begin|ok|found", step 0 = no object --- */

static void log_line(int fd, uint64_t key, uint64_t step, const char *word)
{
    char line[96];
    int size = snprintf(line, sizeof line, "%" PRIu64 " %" PRIu64 " %s\n", key, step, word);

    if (write(fd, line, (size_t)size) != size) {
        perror("crash-oracle: log");
        exit(2);
    }
}

struct key_state {
    uint64_t sure;    /* the last step that was acknowledged */
    uint64_t pending; /* begun since then */
    bool is_pending;
};
static struct key_state states[KEYS_MAX];
static uint64_t step_last;

static void log_read(const char *path)
{
    uint64_t key, step;
    char word[16];
    FILE *file = fopen(path, "re");

    while (file && fscanf(file, "%" SCNu64 " %" SCNu64 " %15s", &key, &step, word) == 3) {
        struct key_state *s = &states[key % KEYS_MAX];
        step_last = step > step_last ? step : step_last;
        if (strcmp(word, "begin") == 0) {
            s->pending = step;
            s->is_pending = true;
        } else {
            s->sure = step;
            s->is_pending = false;
        }
    }
    if (file)
        fclose(file);
}

static int log_open(FILE **out, const char *path)
{
    *out = fopen(path, "ae");
    if (!*out) {
        perror(path);
        exit(2);
    }
    return fileno(*out);
}

/* --- work --- */

static fh_status step_put(fh_client *client, uint64_t key, uint64_t step)
{
    const fh_how how = {.size = sizeof how, .flags = FH_DURABLE};
    size_t size = size_of(step);
    char name[32];

    body_fill(key, step, size);
    return fh_put(client, name, name_of(key, name), body, size, &how, NULL);
}

static fh_status step_delete(fh_client *client, uint64_t key)
{
    char name[32];
    fh_status status = fh_delete(client, name, name_of(key, name), NULL);

    return status == FH_NOT_FOUND ? FH_OK : status;
}

/* A quarter of the steps delete: then the state is step 0. */
static bool step_run(fh_client *client, int log, uint64_t keys, uint64_t step)
{
    uint64_t key = random_next() % keys;
    bool deletes = random_next() % 4 == 0;

    log_line(log, key, deletes ? 0 : step, "begin");
    fh_status status = deletes ? step_delete(client, key) : step_put(client, key, step);
    if (status == FH_OK)
        log_line(log, key, deletes ? 0 : step, "ok");
    return status == FH_OK;
}

static int work(const char *url, const char *path, uint64_t keys, uint64_t steps)
{
    const fh_options options = {.size = sizeof options};
    fh_client *client;
    FILE *file;
    int log = log_open(&file, path);
    uint64_t done = 0;

    if (fh_open(url, &options, &client) == FH_OK)
        while (done < steps && step_run(client, log, keys, ++step_last))
            done++;
    printf("%" PRIu64 " steps\n", done);
    if (done < steps)
        printf("then: %s\n", fh_errmsg(client));
    fh_close(client);
    fclose(file);
    return 0;
}

/* --- check --- */

/* The step that the object is of, 0 = there is none; false: wrong bytes. */
static bool key_found(fh_client *client, uint64_t key, const struct key_state *s, uint64_t *step)
{
    const uint64_t candidates[] = {s->sure, s->pending};
    char name[32];
    size_t got = 0;
    uint64_t total = 0;
    fh_status status = fh_get(client, name, name_of(key, name), 0, back, sizeof back, &got, &total);

    *step = 0;
    if (status == FH_NOT_FOUND)
        return true;
    if (status != FH_OK) {
        printf("%s: %s\n", name, fh_errmsg(client));
        return false;
    }
    for (int i = 0; i < 2; i++) {
        size_t size = size_of(candidates[i]);
        if (candidates[i] == 0 || got != size || total != size)
            continue;
        body_fill(key, candidates[i], size);
        if (memcmp(body, back, size) == 0) {
            *step = candidates[i];
            return true;
        }
    }
    printf("%s: %zu of %" PRIu64 " bytes that are neither step %" PRIu64 " nor %" PRIu64 "\n", name,
           got, total, s->sure, s->pending);
    return false;
}

static bool key_check(fh_client *client, int log, uint64_t key)
{
    struct key_state *s = &states[key];
    uint64_t step;

    if (!key_found(client, key, s, &step))
        return false;
    if (step == s->sure || (s->is_pending && step == s->pending)) {
        if (s->is_pending)
            log_line(log, key, step, "found");
        return true;
    }
    printf("%" PRIu64 ": step %" PRIu64 " was acknowledged, found %" PRIu64 "\n", key, s->sure,
           step);
    return false;
}

static int check(const char *url, const char *path, uint64_t keys)
{
    const fh_options options = {.size = sizeof options};
    fh_client *client;
    FILE *file;
    int log = log_open(&file, path);
    uint64_t wrong = 0, objects = 0;

    if (fh_open(url, &options, &client) != FH_OK) {
        printf("check: %s\n", fh_errmsg(client));
        fh_close(client);
        return 2;
    }
    for (uint64_t key = 0; key < keys; key++) {
        wrong += !key_check(client, log, key);
        objects += states[key].sure != 0;
    }
    fh_close(client);
    fclose(file);
    printf("%" PRIu64 " objects, %" PRIu64 " wrong\n", objects, wrong);
    return wrong > 0;
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "crash-oracle work|once|check URL LOG PREFIX KEYS [SEED [STEPS]]\n");
        return 2;
    }
    uint64_t keys = strtoull(argv[5], NULL, 0);
    uint64_t steps = argc > 7 ? strtoull(argv[7], NULL, 0) : UINT64_MAX;

    prefix = argv[4];
    random_state = argc > 6 ? strtoull(argv[6], NULL, 0) : 0;
    log_read(argv[3]);
    if (keys == 0 || keys > KEYS_MAX)
        return 2;
    return strcmp(argv[1], "check") == 0 ? check(argv[2], argv[3], keys)
                                         : work(argv[2], argv[3], keys, steps);
}
