/*
 * Theory.  Between two neighbouring classes with ratio r a log-uniform request x is rounded up to
 * the upper one; the mean of upper / x over that gap is (r - 1) / ln r. Over a whole range of gaps
 * the mean is sum(r - 1) / sum(ln r), whatever the sizes are:
 *
 *   binary     r = 2 everywhere                  1 / ln 2                 = 1.443
 *   fibonacci  r = 1.618                         0.618 / ln 1.618         = 1.284
 *   weighted   r = 3/2 and 4/3 in turn           (1/2 + 1/3) / ln 2       = 1.202    tertiary too
 *   slab       r = 9/8, 10/9 .. 16/15            sum of 1/8 .. 1/15 / ln 2 = 1.046
 *
 * For uniform sizes 1..n the sum of classes over the sum of requests swings with n. Where all
 * ratios are the same, x, it lies between 2x / (x + 1), at an n that is a class, and (x + 1) / 2
 * (Russell, SIAM J. Comput. 6(4) 1977). With the two ratios of weighted and tertiary the same
 * integral gives 7/6 and 1.227.
 */
#include "tests/support/sizes.h"

#include <math.h>

#include "alloc/assert.h"
#include "alloc/slab_run.h"

/* Uniform in (0, 1]. */
static double any_share(struct rng *r)
{
    return (double)((rng_next(r) >> 11) + 1) / 9007199254740992.0;
}

static uint32_t draw_uniform(struct rng *r)
{
    return (uint32_t)rng_between(r, 1, 512);
}

static uint32_t draw_exponential(struct rng *r)
{
    return (uint32_t)fmax(1, ceil(-64.0 * log(any_share(r))));
}

static uint32_t draw_log_uniform(struct rng *r)
{
    return (uint32_t)rng_log_uniform(r, 9);
}

/* Box and Muller 1958; sizes below 1 are next to impossible and become 1. */
static uint32_t draw_normal(struct rng *r)
{
    double radius = sqrt(-2 * log(any_share(r)));
    double x = 256 + 64 * radius * cos(6.283185307179586 * any_share(r));
    return (uint32_t)fmax(1, round(x));
}

const struct sizes_law sizes_laws[SIZES_LAWS] = {
    {"uniform", "uniform 1..512", draw_uniform},
    {"exponential", "exponential, mean 64", draw_exponential},
    {"log-uniform", "log-uniform 1..512", draw_log_uniform},
    {"normal", "normal 256 \302\261 64", draw_normal},
};

uint32_t sizes_log_uniform(struct rng *r, uint32_t low, uint32_t high)
{
    double x = low * exp((1 - any_share(r)) * log((double)high / low));
    return (uint32_t)fmin(floor(x) + 1, high);
}

/* What rounds a request up: the class of a buddy system, or of the slab when tables is NULL. */
struct rounder {
    const struct fh_buddy_tables *tables;
    struct fh_slab_size slab[FH_SLAB_SIZES];
};

static uint32_t rounder_class(const struct rounder *k, uint32_t size)
{
    return k->tables ? k->tables->size[fh_buddy_class_for(k->tables, size)]
                     : k->slab[fh_slab_size_index(size)].object_bytes;
}

static double mean_of_ratios(const struct rounder *k, struct rng r, uint32_t draws, uint32_t low,
                             uint32_t high)
{
    double sum = 0;
    for (uint32_t i = 0; i < draws; i++) {
        uint32_t size = sizes_log_uniform(&r, low, high);
        sum += (double)rounder_class(k, size) / size;
    }
    return sum / draws;
}

/* Sum of classes over sum of requests for 1..n: its extremes over n = low..high. */
static void extremes_of_uniform(const struct rounder *k, uint32_t low, uint32_t high, double *least,
                                double *greatest)
{
    uint64_t classes = 0, requests = 0;
    *least = HUGE_VAL;
    *greatest = 0;
    for (uint32_t n = 1; n <= high; n++) {
        classes += rounder_class(k, n);
        requests += n;
        double ratio = (double)classes / (double)requests;
        *least = n < low ? *least : fmin(*least, ratio);
        *greatest = n < low ? *greatest : fmax(*greatest, ratio);
    }
}

/* The rows of one system. */
static struct sizes_form *measure_buddy(struct sizes_form *form, const struct fh_buddy_system *s,
                                        struct rng r, uint32_t draws, struct rounder *k)
{
    static const struct {
        double mean, least, greatest;
        uint32_t low, high; /* classes of the system, some doublings apart */
    } theory[] = {
        {1.4427, 1.3333, 1.5, 256, 32768},
        {1.2843, 1.2361, 1.3090, 377, 28657},
        {1.2022, 1.1667, 1.2270, 256, 32768},
        {1.2022, 1.1667, 1.2270, 256, 32768},
    };
    struct fh_buddy_tables tables;
    uint32_t i = 0;
    double least, greatest;

    while (fh_buddy_system_at(i) != s)
        i++;
    fh_buddy_tables_init(&tables, s, FH_BUDDY_GRANULES_MAX);
    k->tables = &tables;
    extremes_of_uniform(k, 2048, theory[i].high, &least, &greatest);
    *form++ = (struct sizes_form){s->name, "log-uniform, mean of ratios",
                                  mean_of_ratios(k, r, draws, theory[i].low, theory[i].high),
                                  theory[i].mean, theory[i].mean};
    *form++ = (struct sizes_form){s->name, "uniform 1..n, least over n", least, theory[i].least,
                                  theory[i].greatest};
    *form++ = (struct sizes_form){s->name, "uniform 1..n, greatest over n", greatest,
                                  theory[i].least, theory[i].greatest};
    k->tables = NULL;
    return form;
}

void sizes_measure_forms(uint64_t seed, uint32_t draws, struct sizes_form forms[SIZES_FORMS])
{
    const struct fh_buddy_system *s;
    struct sizes_form *form = forms;
    struct rounder k = {0};

    for (uint32_t i = 0; (s = fh_buddy_system_at(i)) != NULL; i++)
        form = measure_buddy(form, s, (struct rng){seed}, draws, &k);
    for (uint32_t i = 0; i < FH_SLAB_SIZES; i++)
        fh_slab_size_init(&k.slab[i], i, 0);
    FH_ASSERT(form == forms + SIZES_FORMS - 1);
    *form = (struct sizes_form){
        "slab", "log-uniform, mean of ratios",
        mean_of_ratios(&k, (struct rng){seed}, draws, 256, FH_SLAB_SIZE_MAX), 1.0465, 1.0465};
}

bool sizes_form_agrees(const struct sizes_form *f, double tolerance)
{
    return f->measured >= f->low * (1 - tolerance) && f->measured <= f->high * (1 + tolerance);
}
