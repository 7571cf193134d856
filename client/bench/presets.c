/*
 * Theory.  A named workload is nothing but a set of options, which options on the command line
 * replace one by one. a to f are the mixes of YCSB's core workloads; e's scan is a batch of gets,
 * as the store has no order of names, and f's read-modify-write is a get and a put.
 */
#include "client/bench/presets.h"

#include "client/bench/args.h"
#include "client/bench/units.h"

#include <errno.h>
#include <string.h>

struct preset {
    const char *name, *mix;
    const char *dist, *sizes, *touch; /* NULL: the default */
    uint32_t pipeline;                /* 0: the default, as below */
    double overcommit;
};

static const struct preset presets[] = {
    {"a", "get=50,put=50", NULL, NULL, NULL, 0, 0},
    {"b", "get=95,put=5", NULL, NULL, NULL, 0, 0},
    {"c", "get=100", NULL, NULL, NULL, 0, 0},
    {"d", "get=95,insert=5", "latest", NULL, NULL, 0, 0},
    {"e", "scan=95,insert=5", NULL, NULL, NULL, 0, 0},
    {"f", "get=50,rmw=50", NULL, NULL, NULL, 0, 0},
    {"raw-rw", "read=50,write=50", NULL, NULL, NULL, 0, 0},
    {"mixed", "get=80,put=20", NULL, "64:60,4KiB:30,64KiB:9,1MiB:1", NULL, 0, 0},
    {"pipeline", "get=100", NULL, "64", NULL, 64, 0},
    {"alloc-churn", "alloc=50,free=50", NULL, "64:50,256:20,1KiB:15,4KiB:10,64KiB:5", NULL, 0, 0},
    {"fault-storm", "fault=100", NULL, "64KiB", NULL, 0, 0},
    {"cold-read", "read=100", "uniform", "64KiB", "4KiB", 0, 4},
    {"evict-thrash", "read=50,write=50", "uniform", NULL, NULL, 0, 2},
};

int fh_presets_apply(struct fh_bench_options *o, const char *name)
{
    const struct preset *p = presets;
    const struct preset *end = presets + sizeof(presets) / sizeof(presets[0]);
    int rc;

    while (p < end && strcmp(p->name, name) != 0)
        p++;
    if (p == end)
        return -ENOENT;
    rc = fh_args_mix(o, p->mix);
    if (rc == 0 && p->dist != NULL)
        rc = fh_args_dist(&o->shape, p->dist);
    if (rc == 0 && p->sizes != NULL)
        rc = fh_args_sizes(&o->sizes, p->sizes);
    if (rc == 0 && p->touch != NULL)
        rc = fh_units_size(p->touch, &o->touch_bytes);
    if (p->pipeline > 0)
        o->pipeline = p->pipeline;
    o->overcommit = p->overcommit;
    o->workload = p->name;
    return rc;
}
