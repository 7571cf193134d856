/*
 * Theory.  A gate is read once, before the run, so that a misspelt one costs no minutes; it is held
 * against the tally of each target. A gate about an operation that never succeeded does not hold:
 * no latency is not a good latency.
 */
#include "client/bench/gate.h"

#include "client/bench/units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void gate_parse_op(const char **at, struct fh_gate *g)
{
    for (int op = 0; op < FH_OP_DELETE; op++) {
        const char *name = fh_op_name((enum fh_op)op);
        size_t size = strlen(name);

        if (strncmp(*at, name, size) != 0 || (*at)[size] != '.')
            continue;
        g->op = (enum fh_op)op;
        *at += size + 1;
        return;
    }
    g->op = FH_OPS;
}

static int gate_parse_percent(const char **at, struct fh_gate *g)
{
    char *end;

    if (**at != 'p' || (*at)[1] < '0' || (*at)[1] > '9')
        return -EINVAL;
    g->what = FH_GATE_PERCENTILE;
    g->percent = strtod(*at + 1, &end);
    *at = end;
    return g->percent > 0.0 && g->percent <= 100.0 ? 0 : -EINVAL;
}

static int gate_parse_what(const char **at, struct fh_gate *g)
{
    static const struct {
        const char *text;
        enum fh_gate_what what;
    } words[] = {{"mean", FH_GATE_MEAN},
                 {"max", FH_GATE_MAX},
                 {"ops", FH_GATE_OPS},
                 {"errors", FH_GATE_ERRORS}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strncmp(*at, words[i].text, strlen(words[i].text)) != 0)
            continue;
        g->what = words[i].what;
        *at += strlen(words[i].text);
        return 0;
    }
    return gate_parse_percent(at, g);
}

static int gate_parse_compare(const char **at, struct fh_gate *g)
{
    static const struct {
        const char *text;
        enum fh_gate_compare compare;
    } signs[] = {
        {"<=", FH_AT_MOST}, {">=", FH_AT_LEAST}, {"==", FH_EQUAL}, {"<", FH_LESS}, {">", FH_MORE}};

    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        if (strncmp(*at, signs[i].text, strlen(signs[i].text)) != 0)
            continue;
        g->compare = signs[i].compare;
        *at += strlen(signs[i].text);
        return 0;
    }
    return -EINVAL;
}

static bool gate_adds_up(const struct fh_gate *g)
{
    return g->what == FH_GATE_OPS || g->what == FH_GATE_ERRORS;
}

static int gate_parse_value(const char *at, struct fh_gate *g)
{
    uint64_t value;
    int rc = gate_adds_up(g) ? fh_units_count(at, &value) : fh_units_time(at, &value);

    if (rc == 0)
        g->value = (double)value;
    return rc;
}

int fh_gate_parse(const char *text, struct fh_gate *out)
{
    struct fh_gate g = {.text = text, .op = FH_OPS, .what = FH_GATE_RATE};
    const char *at = text;
    int rc;

    if (strcmp(text, "rate") == 0) {
        g.compare = FH_AT_LEAST;
        g.value = 99.0;
        *out = g;
        return 0;
    }
    gate_parse_op(&at, &g);
    if ((rc = gate_parse_what(&at, &g)) != 0 || (rc = gate_parse_compare(&at, &g)) != 0 ||
        (rc = gate_parse_value(at, &g)) != 0)
        return rc;
    *out = g;
    return 0;
}

static double gate_found_of(const struct fh_gate *g, const struct fh_tally *t, enum fh_op op)
{
    const struct fh_tally_op *o = &t->ops[op < FH_OPS ? op : 0];

    switch (g->what) {
    case FH_GATE_PERCENTILE:
        return (double)fh_hist_percentile(&o->latency, g->percent);
    case FH_GATE_MEAN:
        return fh_hist_mean(&o->latency);
    case FH_GATE_MAX:
        return (double)o->latency.max_ns;
    case FH_GATE_OPS:
        return t->elapsed_ns == 0 ? 0 : (double)o->latency.count * 1e9 / (double)t->elapsed_ns;
    case FH_GATE_ERRORS:
        return (double)o->failed;
    case FH_GATE_RATE:
        break;
    }
    return fh_tally_rate_percent(t);
}

static double gate_found(const struct fh_gate *g, const struct fh_tally *t)
{
    double sum = 0;
    double worst = 0;

    if (g->op != FH_OPS || g->what == FH_GATE_RATE)
        return gate_found_of(g, t, g->op);
    for (int op = 0; op < FH_OPS; op++) {
        double one = gate_found_of(g, t, (enum fh_op)op);

        sum += one;
        worst = one > worst ? one : worst;
    }
    return gate_adds_up(g) ? sum : worst;
}

bool fh_gate_holds(const struct fh_gate *g, const struct fh_tally *t, double *found)
{
    uint64_t ok = g->op != FH_OPS ? t->ops[g->op].latency.count : fh_tally_ok(t);

    *found = gate_found(g, t);
    if (g->what != FH_GATE_ERRORS && g->what != FH_GATE_RATE && ok == 0)
        return false;
    switch (g->compare) {
    case FH_LESS:
        return *found < g->value;
    case FH_AT_MOST:
        return *found <= g->value;
    case FH_MORE:
        return *found > g->value;
    case FH_AT_LEAST:
        return *found >= g->value;
    case FH_EQUAL:
        break;
    }
    return !(*found < g->value) && !(*found > g->value);
}

void fh_gate_show(const struct fh_gate *g, double value, char *out, size_t room)
{
    char text[FH_UNITS_TEXT];

    if (g->what == FH_GATE_RATE)
        snprintf(out, room, "%.1f%%", value);
    else if (gate_adds_up(g))
        snprintf(out, room, "%s", fh_units_show_count(text, (uint64_t)value));
    else
        snprintf(out, room, "%s", fh_units_show_time(text, value));
}
