/*
 * Theory.  Targets and processes can only be understood once all options are read, and some options
 * only make sense together: one pass over the whole, which says what is wrong in one line.
 */
#include "client/bench/parse.h"

#include "client/bench/args.h"
#include "client/bench/verify.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int fh_parse_refuse(const char *what, const char *value)
{
    fprintf(stderr, "farheap: bench: %s%s%s; try: farheap bench -h\n", what,
            value != NULL ? ": " : "", value != NULL ? value : "");
    return 2;
}

/* redis, then redis2, so that every target can be told from the others. */
static void target_label(const struct fh_bench_options *o, struct fh_target *t)
{
    unsigned same = 1;

    for (uint32_t i = 0; i < o->target_count; i++)
        same += o->targets[i].class == t->class;
    if (same == 1)
        snprintf(t->label, sizeof(t->label), "%s", t->class->name);
    else
        snprintf(t->label, sizeof(t->label), "%s%u", t->class->name, same);
}

static int target_add(struct fh_parse *p, const char *text)
{
    static const struct fh_driver_class *const classes[] = {&fh_driver_farheap,
                                                            &fh_driver_memcached, &fh_driver_redis};
    struct fh_target t = {0};
    size_t size = strcspn(text, "=");
    const char *address = text[size] == '=' ? text + size + 1 : NULL;
    bool plain;

    for (size_t i = 0; i < 3; i++)
        if (strlen(classes[i]->name) == size && strncmp(text, classes[i]->name, size) == 0)
            t.class = classes[i];
    if (t.class == NULL || (address == NULL && t.class != &fh_driver_farheap))
        return -EINVAL;
    if (address == NULL)
        address = p->url;
    if (*address == '\0' || strlen(address) > sizeof(t.address) - 16)
        return -EINVAL;
    plain = t.class == &fh_driver_farheap && strstr(address, "://") == NULL;
    snprintf(t.address, sizeof(t.address), "%s%s", plain ? "farheap://" : "", address);
    target_label(p->o, &t);
    p->o->targets[p->o->target_count++] = t;
    return 0;
}

static int pid_add(struct fh_bench_options *o, const char *text)
{
    const char *sign = strchr(text, '=');
    const char *number = sign != NULL ? sign + 1 : text;
    uint32_t pid;

    if (fh_args_u32(number, 1u << 30, &pid) != 0 || pid == 0)
        return -EINVAL;
    for (uint32_t i = 0; i < o->target_count; i++) {
        struct fh_target *t = &o->targets[i];
        size_t size = sign != NULL ? (size_t)(sign - text) : 0;

        if (sign != NULL && (strlen(t->label) != size || strncmp(t->label, text, size) != 0))
            continue;
        t->pid = (pid_t)pid;
        return 0;
    }
    return -EINVAL;
}

static int check_targets(struct fh_parse *p)
{
    struct fh_bench_options *o = p->o;

    for (uint32_t i = 0; i < p->target_count; i++)
        if (target_add(p, p->targets[i]) != 0)
            return fh_parse_refuse("not a target", p->targets[i]);
    if (o->target_count == 0 && target_add(p, "farheap") != 0)
        return fh_parse_refuse("not a URL", p->url);
    for (uint32_t i = 0; i < p->pid_count; i++)
        if (pid_add(o, p->pids[i]) != 0)
            return fh_parse_refuse("not the process of a target", p->pids[i]);
    for (uint32_t i = 0; i < o->target_count; i++)
        for (int op = 0; op < FH_OPS; op++)
            if (o->mix[op] > 0 && !(o->targets[i].class->ops & 1u << op))
                return fh_parse_refuse("the mix has what this target cannot do",
                                       o->targets[i].label);
    return 0;
}

static int check_verify(const struct fh_bench_options *o)
{
    double parts = o->mix[FH_OP_SCAN] > 0 ? o->scan_max : 1;

    if (!o->verify)
        return 0;
    for (uint32_t i = 0; i < o->sizes.count; i++)
        if (o->sizes.bytes[i] < FH_VERIFY_BYTES)
            return fh_parse_refuse("--verify needs objects of 24 bytes or more", NULL);
    if (o->touch_bytes % FH_VERIFY_PAGE != 0)
        return fh_parse_refuse("--verify with --touch: whole pages of 4KiB", NULL);
    if ((double)o->clients * o->pipeline * parts * (double)o->sizes.bytes_max > 0x1p31)
        return fh_parse_refuse(
            "--verify: clients x pipeline x size (x --scan-max) is over 2 GiB of buffers", NULL);
    return 0;
}

static int check_gates(const struct fh_bench_options *o)
{
    for (uint32_t i = 0; i < o->gate_count; i++) {
        const struct fh_gate *g = &o->gates[i];

        if (g->what == FH_GATE_RATE && !(o->rate > 0))
            return fh_parse_refuse("--assert rate needs -R", NULL);
        if (g->op != FH_OPS && o->mix[g->op] == 0)
            return fh_parse_refuse("--assert on an operation that is not in the mix", g->text);
    }
    return 0;
}

static int check_load(struct fh_parse *p)
{
    struct fh_bench_options *o = p->o;

    if (p->duration_given && o->requests > 0)
        return fh_parse_refuse("-d or -n, not both", NULL);
    if (o->ramp_by > 0 && (p->rate_given || o->requests > 0 || o->rounds > 0))
        return fh_parse_refuse("--ramp has its own rates and times: no -R, -n or --rounds", NULL);
    if (o->ramp_by > 0 && (o->ramp_to - o->rate) / o->ramp_by >= FH_STEPS_MAX)
        return fh_parse_refuse("--ramp has at most 200 steps", NULL);
    if (o->duration_ns == 0 || o->duration_ns > UINT64_C(7) * 86400 * 1000000000)
        return fh_parse_refuse("-d must be above 0 and at most 7 days", NULL);
    if (o->keys == 0 || o->keys > 1000000000)
        return fh_parse_refuse("--keys must be 1 to 10^9", NULL);
    if (o->clients == 0 || o->threads == 0 || o->pipeline == 0)
        return fh_parse_refuse("-c, -t and -P must be above 0", NULL);
    if (o->clients < o->threads)
        return fh_parse_refuse("-c must be at least -t: every thread has a connection", NULL);
    if (o->scan_max == 0 ||
        (o->mix[FH_OP_SCAN] > 0 && (double)o->clients * o->pipeline * o->scan_max > 4e6))
        return fh_parse_refuse("--scan-max must be above 0, and with -c and -P below 4 million",
                               NULL);
    if (o->overcommit > 0 && strncmp(o->targets[0].address, "farheap", 7) != 0)
        return fh_parse_refuse(
            "--overcommit asks the first target for its memory: only farheap tells", NULL);
    if (o->requests > 0 && !p->warmup_given)
        o->warmup_ns = 0;
    return 0;
}

int fh_parse_check(struct fh_parse *p)
{
    int rc = check_targets(p);

    if (rc == 0)
        rc = check_load(p);
    if (rc == 0)
        rc = check_verify(p->o);
    if (rc == 0)
        rc = check_gates(p->o);
    return rc;
}
