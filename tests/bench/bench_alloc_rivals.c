/*
 * Theory.  A library is opened with its own names in front, so that its malloc does not become
 * ours. Debian's jemalloc wants more room for thread-local variables than a program that loads it
 * late has left over; glibc can be told to leave more, but only before the program starts. So when
 * that is missing the program starts itself once more with the tunable set.
 */
#include <dlfcn.h>
#include <unistd.h>

#include "tests/bench/bench_alloc_run.h"
#include "tests/bench/bench_alloc_sides.h"

#define TUNABLES "GLIBC_TUNABLES"
#define ROOM     "glibc.rtld.optional_static_tls=65536"

static struct side_rival rivals[SIDE_RIVALS] = {
    {.name = "mimalloc",
     .library = "libmimalloc.so.2",
     .take_name = "mi_malloc",
     .give_name = "mi_free"},
    {.name = "jemalloc", .library = "libjemalloc.so.2", .take_name = "malloc", .give_name = "free"},
};

/* A function's address comes as an object's. */
static void rival_bind(struct side_rival *r, void *library)
{
    void *take = dlsym(library, r->take_name), *give = dlsym(library, r->give_name);
    if (!take || !give)
        return;
    memcpy(&r->take, &take, sizeof(take));
    memcpy(&r->give, &give, sizeof(give));
}

void side_load_rivals(char **argv, FILE *out)
{
    for (uint32_t i = 0; i < SIDE_RIVALS; i++) {
        void *library = dlopen(rivals[i].library, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
        const char *why = library ? "" : dlerror();
        if (!library && strstr(why, "static TLS") && !getenv(TUNABLES)) {
            setenv(TUNABLES, ROOM, 1);
            execv("/proc/self/exe", argv);
        }
        if (library)
            rival_bind(&rivals[i], library);
        if (!rivals[i].take)
            fprintf(out, "%s is not compared: %s\n", rivals[i].name, why);
    }
}

static void rival_nothing(struct bench_side *side)
{
    (void)side;
}

static uint64_t rival_take(void *state, uint64_t bytes, uint64_t *what)
{
    const struct side_rival *r = state;
    void *block = r->take(bytes);
    *what = (uintptr_t)block;
    return block ? bytes : 0;
}

static void rival_give(void *state, uint64_t what)
{
    const struct side_rival *r = state;
    r->give((void *)(uintptr_t)what);
}

int side_rival(uint32_t index, struct bench_side *side)
{
    struct side_rival *r = &rivals[index];
    *side = (struct bench_side){.name = r->name,
                                .state = r,
                                .open = rival_nothing,
                                .close = rival_nothing,
                                .take = rival_take,
                                .give = rival_give,
                                .rival = r};
    return r->take != NULL;
}
