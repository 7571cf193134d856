/*
 * Theory.  The verbs about the connection itself.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/verb.h"

enum { PING_INTERVAL_US = 1000000 };

static double clock_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

struct pings {
    uint64_t count;
    double total, least, most;
};

static void pings_add(struct pings *p, double ms)
{
    p->least = p->count == 0 || ms < p->least ? ms : p->least;
    p->most = ms > p->most ? ms : p->most;
    p->total += ms;
    p->count++;
}

static int pings_tell(struct fh_tool *tool, const struct pings *p)
{
    double mean = p->total / (double)p->count;

    if (tool->json)
        return fh_tool_json(tool, json_pack("{s:s,s:I,s:f,s:f,s:f}", "server",
                                            fh_server_version(tool->client), "count",
                                            (json_int_t)p->count, "min_ms", p->least, "mean_ms",
                                            mean, "max_ms", p->most));
    if (tool->plain)
        printf("%" PRIu64 "\t%.3f\t%.3f\t%.3f\n", p->count, p->least, mean, p->most);
    else if (p->count > 1 && !tool->quiet)
        printf("%" PRIu64 " answers   min %.3f ms   mean %.3f ms   max %.3f ms\n", p->count,
               p->least, mean, p->most);
    return FH_EXIT_OK;
}

/* Every zone in turn, so that a count of at least the zones sees all threads. */
static int verb_ping(struct fh_tool *tool, const struct fh_args *args)
{
    struct pings p = {.count = 0};
    uint64_t count = 1;
    int code;

    if (!fh_args_number(args, FH_ARG_COUNT, &count))
        return FH_EXIT_USAGE;
    if (count == 0)
        return fh_tool_usage(tool, "-c is at least 1");
    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    for (uint64_t i = 0; i < count; i++) {
        uint32_t zone = (uint32_t)(i % fh_zones(tool->client));
        double start = clock_ms();
        fh_status status = fh_ping(tool->client, zone);
        double ms = clock_ms() - start;

        if (status != FH_OK)
            return fh_tool_fail(tool, status, NULL);
        pings_add(&p, ms);
        if (!tool->quiet && !tool->json && !tool->plain) {
            printf("%s  zone %" PRIu32 "  %.3f ms\n", fh_server_version(tool->client), zone, ms);
            (void)fflush(stdout);
        }
        if (i + 1 < count)
            (void)usleep(PING_INTERVAL_US);
    }
    return pings_tell(tool, &p);
}

/* The client's version is known without a server; a server that does not answer is no error. */
static int verb_version(struct fh_tool *tool, const struct fh_args *args)
{
    bool reached;

    (void)args;
    reached = fh_open(tool->url, &tool->options, &tool->client) == FH_OK;
    if (tool->json)
        return fh_tool_json(tool, json_pack("{s:s,s:s?,s:s}", "client", fh_version(), "server",
                                            reached ? fh_server_version(tool->client) : NULL, "url",
                                            tool->url));
    printf(tool->plain ? "farheap\t%s\n" : "farheap %s\n", fh_version());
    if (reached)
        printf("%s at %s\n", fh_server_version(tool->client), tool->url);
    else
        fh_tool_say(tool, "no server: %s", fh_errmsg(tool->client));
    return FH_EXIT_OK;
}

const struct fh_verb fh_verbs_service[] = {
    {"ping", "[-c N]", "one round trip, or N, to the zones in turn", FH_ARG_BIT(COUNT), 0, 0,
     verb_ping},
    {"version", "", "versions of this tool and of the server", 0, 0, 0, verb_version},
    {.name = NULL},
};
