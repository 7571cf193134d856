/*
 * Theory.  Lists are comma separated without blanks; an item is copied out before it is taken
 * apart. A list that ends in a comma, or has an item that is not understood, is refused as a whole.
 */
#include "client/bench/args.h"

#include "client/bench/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Takes the next item of a comma separated list into `item`; false at the end, or at what is too
 * long or has a comma behind it. */
static bool list_next(const char **at, char *item, size_t room)
{
    size_t size = strcspn(*at, ",");

    if (**at == '\0' || size >= room || ((*at)[size] == ',' && (*at)[size + 1] == '\0'))
        return false;
    memcpy(item, *at, size);
    item[size] = '\0';
    *at += size + ((*at)[size] == ',');
    return true;
}

int fh_args_u32(const char *text, uint64_t most, uint32_t *out)
{
    uint64_t value;

    if (fh_units_count(text, &value) != 0 || value > most)
        return -EINVAL;
    *out = (uint32_t)value;
    return 0;
}

static int parse_mix_item(struct fh_bench_options *o, char *item)
{
    char *value = strchr(item, '=');

    if (value == NULL)
        return -EINVAL;
    *value++ = '\0';
    for (int op = 0; op < FH_OP_DELETE; op++)
        if (strcmp(item, fh_op_name((enum fh_op)op)) == 0)
            return fh_args_u32(value, 1000000, &o->mix[op]);
    return -EINVAL;
}

int fh_args_mix(struct fh_bench_options *o, const char *text)
{
    uint64_t sum = 0;
    char item[32];

    memset(o->mix, 0, sizeof(o->mix));
    o->workload = "mix";
    while (list_next(&text, item, sizeof(item)))
        if (parse_mix_item(o, item) != 0)
            return -EINVAL;
    for (int op = 0; op < FH_OPS; op++)
        sum += o->mix[op];
    return *text == '\0' && sum > 0 ? 0 : -EINVAL;
}

static int parse_share(const char *text, char **end, double *out)
{
    *out = *text >= '0' && *text <= '9' ? strtod(text, end) : 0.0;
    return *out > 0.0 && *out <= 1.0 ? 0 : -EINVAL;
}

static int parse_hotspot(struct fh_dist_shape *s, const char *text)
{
    char *end;

    s->dist = FH_DIST_HOTSPOT;
    s->hot_keys = 0.2;
    s->hot_draws = 0.8;
    if (*text == '\0')
        return 0;
    if (*text != ':' || parse_share(text + 1, &end, &s->hot_keys) != 0 || *end != ':' ||
        parse_share(end + 1, &end, &s->hot_draws) != 0)
        return -EINVAL;
    return *end == '\0' ? 0 : -EINVAL;
}

static int parse_theta(struct fh_dist_shape *s, enum fh_dist dist, const char *text)
{
    char *end;

    s->dist = dist;
    s->theta = 0.99;
    if (*text == '\0')
        return 0;
    if (*text != ':')
        return -EINVAL;
    s->theta = strtod(text + 1, &end);
    return *end == '\0' && s->theta >= 0.01 && s->theta <= 10.0 ? 0 : -EINVAL;
}

int fh_args_dist(struct fh_dist_shape *s, const char *text)
{
    *s = (struct fh_dist_shape){.dist = FH_DIST_UNIFORM};
    if (strcmp(text, "uniform") == 0)
        return 0;
    s->dist = FH_DIST_SEQ;
    if (strcmp(text, "seq") == 0)
        return 0;
    if (strncmp(text, "zipf", 4) == 0)
        return parse_theta(s, FH_DIST_ZIPF, text + 4);
    if (strncmp(text, "latest", 6) == 0)
        return parse_theta(s, FH_DIST_LATEST, text + 6);
    if (strncmp(text, "hotspot", 7) == 0)
        return parse_hotspot(s, text + 7);
    return -EINVAL;
}

static int parse_size_item(struct fh_sizes *s, char *item)
{
    char *weight = strchr(item, ':');
    uint32_t i = s->count;

    if (i == FH_SIZES_MAX)
        return -EINVAL;
    s->weight[i] = 1;
    if (weight != NULL) {
        *weight++ = '\0';
        if (fh_args_u32(weight, 1000000, &s->weight[i]) != 0 || s->weight[i] == 0)
            return -EINVAL;
    }
    if (fh_units_size(item, &s->bytes[i]) != 0 || s->bytes[i] == 0 || s->bytes[i] > 64u << 20)
        return -EINVAL;
    s->weights += s->weight[i];
    if (s->bytes[i] > s->bytes_max)
        s->bytes_max = s->bytes[i];
    s->count++;
    return 0;
}

int fh_args_sizes(struct fh_sizes *s, const char *text)
{
    char item[48];

    *s = (struct fh_sizes){0};
    while (list_next(&text, item, sizeof(item)))
        if (parse_size_item(s, item) != 0)
            return -EINVAL;
    return *text == '\0' && s->count > 0 ? 0 : -EINVAL;
}

/* A-B; the smallest is the one size of the list, for the checks that look at it. */
int fh_args_size_range(struct fh_sizes *s, const char *text)
{
    const char *dash = strchr(text, '-');
    struct fh_sizes range = {.count = 1, .weight = {1}, .weights = 1, .is_range = true};
    char from[32];

    if (dash == NULL || (size_t)(dash - text) >= sizeof(from))
        return -EINVAL;
    memcpy(from, text, (size_t)(dash - text));
    from[dash - text] = '\0';
    if (fh_units_size(from, &range.bytes[0]) != 0 ||
        fh_units_size(dash + 1, &range.bytes_max) != 0 || range.bytes[0] == 0 ||
        range.bytes[0] > range.bytes_max || range.bytes_max > 64u << 20)
        return -EINVAL;
    *s = range;
    return 0;
}

static int parse_rate_item(const char **at, char end, double *out)
{
    size_t size = strcspn(*at, ":/");
    uint64_t rate;
    char item[24];

    if (size >= sizeof(item) || ((*at)[size] != end && (end != '\0' || (*at)[size] != '/')))
        return -EINVAL;
    memcpy(item, *at, size);
    item[size] = '\0';
    *at += size + ((*at)[size] != '\0');
    if (fh_units_count(item, &rate) != 0 || rate == 0)
        return -EINVAL;
    *out = (double)rate;
    return 0;
}

int fh_args_ramp(struct fh_bench_options *o, const char *text)
{
    o->ramp_step_ns = UINT64_C(5000000000);
    if (parse_rate_item(&text, ':', &o->rate) != 0 ||
        parse_rate_item(&text, ':', &o->ramp_to) != 0 ||
        parse_rate_item(&text, '\0', &o->ramp_by) != 0 || o->ramp_to < o->rate)
        return -EINVAL;
    if (*text != '\0' && fh_units_time(text, &o->ramp_step_ns) != 0)
        return -EINVAL;
    return o->ramp_step_ns > 0 ? 0 : -EINVAL;
}

int fh_args_gap(struct fh_bench_options *o, const char *text)
{
    o->gap_ns = 0;
    o->gap_file = NULL;
    if (strcmp(text, "none") == 0)
        return 0;
    if (strncmp(text, "sleep:", 6) == 0)
        return fh_units_time(text + 6, &o->gap_ns);
    if (strncmp(text, "file:", 5) != 0 || text[5] == '\0')
        return -EINVAL;
    o->gap_file = text + 5;
    return 0;
}

int fh_args_percents(struct fh_bench_options *o, const char *text)
{
    char item[16];

    o->percent_count = 0;
    while (list_next(&text, item, sizeof(item))) {
        char *end;
        double percent = strtod(item, &end);

        if (o->percent_count == FH_PERCENTS_MAX || *end != '\0' || end == item ||
            !(percent > 0.0 && percent <= 100.0))
            return -EINVAL;
        o->percents[o->percent_count++] = percent;
    }
    return *text == '\0' && o->percent_count > 0 ? 0 : -EINVAL;
}

uint64_t fh_sizes_of(const struct fh_sizes *s, uint64_t object, uint64_t seed)
{
    struct fh_random r = {seed ^ (object * UINT64_C(0x9e3779b97f4a7c15))};
    uint64_t draw;
    uint32_t i = 0;

    if (s->is_range)
        return s->bytes[0] + fh_random_below(&r, s->bytes_max - s->bytes[0] + 1);
    draw = fh_random_below(&r, s->weights);
    while (draw >= s->weight[i])
        draw -= s->weight[i++];
    return s->bytes[i];
}
