/*
 * Keeps many requests in flight from one thread, and says how many a second that makes.
 *
 *   async URL [IN_FLIGHT [SECONDS [BYTES]]]
 */
#include <farheap.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { OBJECTS = 1000, NAME = 20 };

struct slot {
    char name[NAME + 1];
    char *buf;
};

static double seconds_now(void)
{
    struct timespec t;

    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int fail(const char *what, const fh_client *client)
{
    fprintf(stderr, "%s: %s\n", what, fh_errmsg(client));
    return 1;
}

static void name_of(char name[NAME + 1], unsigned object)
{
    snprintf(name, NAME + 1, "async/%014u", object);
}

/* Many puts in one call. */
static fh_status store(fh_client *client, size_t bytes)
{
    static char names[OBJECTS][NAME + 1];
    static fh_item items[OBJECTS];
    char *body = calloc(1, bytes);
    fh_status status;

    for (unsigned i = 0; i < OBJECTS; i++) {
        name_of(names[i], i);
        items[i] = (fh_item){.name = names[i], .name_size = NAME, .from = body, .size = bytes};
    }
    status = fh_put_many(client, items, OBJECTS, NULL);
    free(body);
    return status;
}

/* The slot is the request's tag: whoever gets the result knows which buffer it is about. */
static fh_status ask(fh_client *client, struct slot *slot, unsigned turn, size_t bytes)
{
    fh_status status;
    fh_req *req;

    name_of(slot->name, turn * 2654435761u % OBJECTS);
    status = fh_submit_get(client, slot->name, NAME, 0, slot->buf, bytes, &req);
    if (status == FH_OK)
        fh_req_tag(req, slot);
    return status;
}

static int run(fh_client *client, struct slot *slots, unsigned in_flight, double seconds,
               size_t bytes)
{
    double start = seconds_now();
    unsigned long done = 0;
    unsigned turn = 0;
    int more = 1;
    fh_result result;
    fh_req *req;

    for (; turn < in_flight; turn++)
        if (ask(client, &slots[turn], turn, bytes) != FH_OK)
            return fail("submit", client);
    /* Each answer makes room for the next request; a wait sends all that was submitted before. */
    while (fh_wait_any(client, &req, -1) == FH_OK) {
        fh_req_result(req, &result);
        fh_req_free(req);
        if (result.status != FH_OK)
            return fail("get", client);
        if (++done % 64 == 0)
            more = seconds_now() - start < seconds;
        if (more && ask(client, result.tag, turn++, bytes) != FH_OK)
            return fail("submit", client);
    }
    seconds = seconds_now() - start;
    printf("%lu gets of %zu bytes, %u in flight: %.0f a second\n", done, bytes, in_flight,
           (double)done / seconds);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned in_flight = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 64;
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 3;
    size_t bytes = argc > 4 ? strtoul(argv[4], NULL, 10) : 64;
    struct slot *slots = calloc(in_flight, sizeof(*slots));
    fh_client *client;
    int code;

    if (fh_open(argc > 1 ? argv[1] : "farheap://127.0.0.1:7420", NULL, &client) != FH_OK)
        return fail("open", client);
    if (store(client, bytes) != FH_OK)
        return fail("put", client);
    for (unsigned i = 0; i < in_flight; i++)
        slots[i].buf = malloc(bytes);
    code = run(client, slots, in_flight, seconds, bytes);
    for (unsigned i = 0; i < OBJECTS && code == 0; i++) {
        name_of(slots[0].name, i);
        (void)fh_delete(client, slots[0].name, NAME, NULL);
    }
    for (unsigned i = 0; i < in_flight; i++)
        free(slots[i].buf);
    free(slots);
    fh_close(client);
    return code;
}
