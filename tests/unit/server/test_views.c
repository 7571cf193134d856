#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc/io.h"
#include "server/metrics.h"
#include "server/page_map.h"
#include "server/session.h"
#include "server/views.h"

enum { MEMORY = 4 << 20, BIG = 300000 };

static struct fh_io *io;
static struct fh_zone zone;
static struct fh_counters counters;
static struct fh_config config;
static const struct fh_node_figures node = {.node = "n1",
                                            .io = "threads",
                                            .uptime_ms = 5000,
                                            .rss_bytes = 1 << 20,
                                            .cpu_ns = 1500,
                                            .memory = {.configured = 2 * MEMORY,
                                                       .budget = MEMORY,
                                                       .most = 4 * MEMORY,
                                                       .limit = UINT64_MAX,
                                                       .pressure_permille = 25},
                                            .accepted = {3, 1},
                                            .rejected = 2};

static void not_random(void *ctx, void *buf, size_t size)
{
    static uint8_t next = 1;
    uint8_t *to = buf;

    (void)ctx;
    while (size-- > 0)
        *to++ = next += 37;
}

static const char *no_env(const char *name)
{
    return strcmp(name, "HOME") == 0 ? "/home/somebody" : NULL;
}

/* One small object, and one large whose pages 2 and 3 are written. */
static void fill_zone(void)
{
    static uint8_t body[8192];
    struct fh_object_view small, large;
    struct fh_mutation m;

    memset(body, 7, sizeof body);
    memset(&m, 0, sizeof m);
    cr_assert_eq(fh_zone_alloc(&zone, FH_TENANT_DEFAULT, 100, 0, &small), 0);
    cr_assert_eq(fh_zone_alloc(&zone, FH_TENANT_DEFAULT, BIG, 0, &large), 0);
    m.kind = FH_MUTATE_WRITE;
    m.ref = large.ref;
    m.offset = 8192;
    m.body = body;
    m.size = sizeof body;
    cr_assert_eq(fh_zone_mutate(&zone, &m), 0);
}

static void setup(void)
{
    const struct fh_config_world world = {.env = no_env, .machine_bytes = 1 << 30};
    char *argv[] = {"farheapd", NULL};
    const struct fh_zone_opts opts = {
        .index = 5, .memory_bytes = MEMORY, .swap_dir = "/tmp", .random = not_random};

    cr_assert_eq(fh_io_threads_create(1, &io), 0);
    struct fh_zone_opts with_io = opts;
    with_io.io = io;
    cr_assert_eq(fh_zone_init(&zone, &with_io, 1000), 0);
    fh_config_init(&config);
    cr_assert(fh_config_load(&config, 1, argv, &world), "%s", config.problem);
    fill_zone();
    counters.requests[FH_OP_GET][FH_STATUS_OK] = 11;
    counters.requests[FH_OP_GET][FH_STATUS_STALE] = 2;
    counters.closes[FH_CLOSE_HEAD] = 4;
    counters.connections_now = 3;
    fh_durations_add(&counters.durations[FH_OP_GET], 20000, 11);
    fh_durations_add(&counters.durations[FH_OP_GET], UINT64_C(60000000000), 2);
}

static void teardown(void)
{
    fh_config_fini(&config);
    fh_zone_fini(&zone);
    fh_io_destroy(io);
}

TestSuite(views, .init = setup, .fini = teardown, .timeout = 30);

static json_t *render(const char *view)
{
    struct fh_view_answer *answers[2] = {fh_view_answer_create(view, &zone, &counters), NULL};
    cr_assert(answers[0]);
    char *text = fh_view_render(view, &node, &config, answers, 2);
    cr_assert(text);
    json_t *document = json_loads(text, 0, NULL);
    cr_assert(document, "%s", text);
    free(text);
    fh_view_answer_destroy(answers[0]);
    return document;
}

static json_int_t number(json_t *document, const char *section, const char *key)
{
    json_t *from = section ? json_object_get(document, section) : document;
    json_t *value = json_object_get(from, key);

    cr_assert(json_is_integer(value), "%s.%s", section ? section : "", key);
    return json_integer_value(value);
}

Test(views, info_adds_up)
{
    json_t *d = render("info");

    cr_assert_str_eq(json_string_value(json_object_get(d, "schema")), "farheap-info/1");
    cr_assert_str_eq(json_string_value(json_object_get(d, "pressure")), "ok");
    cr_assert_eq(number(d, "memory", "frames_total"), MEMORY / 4096);
    cr_assert_eq(number(d, "memory", "frames_used"), 2);
    cr_assert_eq(number(d, "memory", "frames_clean") + number(d, "memory", "frames_dirty") +
                     number(d, "memory", "frames_held"),
                 2);
    cr_assert_eq(number(d, "objects", "count"), 2);
    cr_assert_eq(number(d, "objects", "bytes"), BIG + 100);
    cr_assert_eq(number(d, "pages", "frame"), 2);
    cr_assert_eq(number(d, "faults", "first_write"), 2);
    cr_assert_eq(number(d, "swap", "total_bytes"), 0);
    cr_assert_eq(number(d, "requests", "total"), 13);
    cr_assert_eq(number(d, "connections", "now"), 3);
    cr_assert_eq(number(d, "connections", "total"), 4);
    cr_assert_eq(number(d, "slabs", "used_objects"), 1);
    cr_assert_geq(number(d, "space", "used_bytes"), BIG);
    cr_assert_eq(number(d, NULL, "rss_bytes"), 1 << 20);
    cr_assert_eq(number(d, NULL, "cpu_ns"), 1500);
    cr_assert_gt(number(d, NULL, "metadata_bytes"), 0);
    json_decref(d);
}

Test(views, zones_and_slabs_and_buddy_have_their_rows)
{
    json_t *d = render("zones");
    json_t *row = json_array_get(json_object_get(d, "zones"), 0);

    cr_assert_eq(json_array_size(json_object_get(d, "zones")), 1u, "who did not answer has no row");
    cr_assert_eq(number(row, NULL, "zone"), 5);
    cr_assert_eq(number(row, NULL, "objects"), 2);
    json_decref(d);
    d = render("slabs");
    row = json_array_get(json_object_get(d, "caches"), 0);
    cr_assert_geq(number(row, NULL, "size"), 100);
    cr_assert_eq(number(row, NULL, "used"), 1);
    json_decref(d);
    d = render("buddy");
    row = json_array_get(json_object_get(d, "zones"), 0);
    cr_assert_eq(number(row, NULL, "arenas"), 1);
    cr_assert_gt(json_array_size(json_object_get(row, "classes")), 10u);
    json_decref(d);
}

static void make_cache(const char *name)
{
    cr_assert_eq(fh_zone_cache_create(&zone, FH_TENANT_DEFAULT,
                                      &(struct fh_cache_spec){.name = name,
                                                              .name_size = strlen(name),
                                                              .object_size = 100,
                                                              .alignment = 64,
                                                              .initial = "abc",
                                                              .initial_size = 3}),
                 0);
}

Test(views, a_typed_cache_has_a_row_with_its_name)
{
    struct fh_object_view typed;

    make_cache("point");
    make_cache("a\\ \xff\n");
    cr_assert_eq(fh_zone_alloc_typed(&zone, FH_TENANT_DEFAULT, "point", 5, 100, 0, &typed), 0);
    json_t *d = render("slabs");
    json_t *list = json_object_get(d, "caches");
    cr_assert_eq(json_array_size(list), 3u, "one of a size, two typed, one of them without a slab");
    cr_assert_null(json_object_get(json_array_get(list, 0), "cache"));
    json_t *row = json_array_get(list, 1);
    cr_assert_str_eq(json_string_value(json_object_get(row, "cache")), "point");
    cr_assert_eq(number(row, NULL, "size"), 128);
    cr_assert_eq(number(row, NULL, "object_size"), 100);
    cr_assert_eq(number(row, NULL, "alignment"), 64);
    cr_assert_eq(number(row, NULL, "initial_bytes"), 100);
    cr_assert_eq(number(row, NULL, "used"), 1);
    row = json_array_get(list, 2);
    cr_assert_str_eq(json_string_value(json_object_get(row, "cache")), "a\\x5c\\x20\\xff\\x0a");
    cr_assert_eq(number(row, NULL, "slabs"), 0);
    json_decref(d);
}

Test(views, the_map_shows_the_written_pages)
{
    struct fh_page_map map;
    unsigned dirty = 0;

    fh_page_map_draw(&map, &zone);
    cr_assert_eq(map.pages_per_glyph, 1u);
    for (const char *glyph = map.glyphs; *glyph; glyph++)
        dirty += *glyph == '#';
    cr_assert_eq(dirty, 2u);
    cr_assert(strstr(map.glyphs, "##"));
    cr_assert_eq(map.pages[FH_PAGE_MAP_DIRTY], 2u);
    for (unsigned state = FH_PAGE_MAP_CLEAN; state < FH_PAGE_MAP_STATES; state++)
        cr_assert_eq(map.pages[state], 0u, "%s", fh_page_map_states[state]);
    cr_assert_geq(map.pages[FH_PAGE_MAP_NOTHING], BIG / 4096 - 2);
}

Test(views, config_tells_each_key_and_its_origin)
{
    json_t *d = render("config");
    json_t *list = json_object_get(d, "config");

    cr_assert_eq(json_array_size(list), (size_t)FH_CONFIG_KEYS);
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "origin")),
                     "default");
    json_decref(d);
}

/* --- metrics --- */

static char *metrics_text(void)
{
    struct fh_view_answer *a = fh_view_answer_create("metrics", &zone, &counters);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    fh_metrics_print(out, &node, &a->figures, 1);
    fclose(out);
    fh_view_answer_destroy(a);
    return text;
}

/* The number behind a line that begins like this; -1 = no such line. */
static long long metric(const char *text, const char *name)
{
    size_t size = strlen(name);

    for (const char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
        if (strncmp(line, name, size) == 0 && line[size] == ' ')
            return atoll(line + size);
    return -1;
}

Test(views, frames_of_the_metrics_sum_to_the_region)
{
    char *text = metrics_text();

    cr_assert_eq(metric(text, "farheap_frames{zone=\"5\",state=\"free\"}") +
                     metric(text, "farheap_frames{zone=\"5\",state=\"anon_clean\"}") +
                     metric(text, "farheap_frames{zone=\"5\",state=\"anon_dirty\"}") +
                     metric(text, "farheap_frames{zone=\"5\",state=\"held\"}"),
                 MEMORY / 4096);
    free(text);
}

Test(views, metrics_count_requests_and_their_durations)
{
    char *text = metrics_text();

    cr_assert_eq(metric(text, "farheap_requests_total{op=\"get\",status=\"OK\"}"), 11);
    cr_assert_eq(metric(text, "farheap_requests_total{op=\"get\",status=\"STALE\"}"), 2);
    cr_assert_eq(metric(text, "farheap_request_duration_seconds_bucket{op=\"get\",le=\"1e-05\"}"),
                 0);
    cr_assert_eq(metric(text, "farheap_request_duration_seconds_bucket{op=\"get\",le=\"2.5e-05\"}"),
                 11);
    cr_assert_eq(metric(text, "farheap_request_duration_seconds_bucket{op=\"get\",le=\"+Inf\"}"),
                 13);
    cr_assert_eq(metric(text, "farheap_request_duration_seconds_count{op=\"get\"}"), 13);
    cr_assert_eq(metric(text, "farheap_protocol_errors_total{reason=\"head_malformed\"}"), 4);
    cr_assert_eq(metric(text, "farheap_connections_total{listener=\"tls\"}"), 1);
    free(text);
}

Test(views, metrics_sum_up_the_typed_caches)
{
    struct fh_object_view typed;

    char *text = metrics_text();
    cr_assert_eq(metric(text, "farheap_slab_objects{cache=\"custom\",state=\"used\"}"), -1);
    free(text);
    make_cache("a");
    make_cache("b");
    cr_assert_eq(fh_zone_alloc_typed(&zone, FH_TENANT_DEFAULT, "a", 1, 100, 0, &typed), 0);
    cr_assert_eq(fh_zone_alloc_typed(&zone, FH_TENANT_DEFAULT, "b", 1, 100, 0, &typed), 0);
    text = metrics_text();
    cr_assert_eq(metric(text, "farheap_slab_objects{cache=\"custom\",state=\"used\"}"), 2);
    cr_assert_eq(metric(text, "farheap_slab_slabs{cache=\"custom\",state=\"partial\"}"), 2);
    cr_assert_eq(metric(text, "farheap_slab_objects{cache=\"104\",state=\"used\"}"), 1);
    free(text);
}

Test(views, promtool_accepts_the_metrics)
{
    if (system("command -v promtool >/dev/null") != 0)
        cr_skip_test("promtool is not installed");
    char *text = metrics_text();
    FILE *promtool = popen("promtool check metrics", "w");
    cr_assert(promtool);
    fputs(text, promtool);
    cr_assert_eq(pclose(promtool), 0);
    free(text);
}
