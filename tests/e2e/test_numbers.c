/* What a server tells about itself adds up, and is the same wherever it is told. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/farheap.h"
#include "tests/support/wire/server_process.h"

#define PAGE UINT64_C(4096)
#define GIB  (UINT64_C(1) << 30)

enum { SMALL = 3000, MEDIUM = 60, LARGE = 4, TRIES = 1000 };
enum { INFO, ZONE_LIST, SLABS, BUDDY, PAGES, DOCUMENTS };

static const char *const verbs[DOCUMENTS] = {"info", "zones", "slabs", "buddy", "pages"};
static struct server_process server;
static char metrics[1 << 18];
static json_t *documents[DOCUMENTS];

static void setup(void)
{
    static const char *const flags[] = {"--zones=2", "--admin-listen=127.0.0.1:0",
                                        "--log-format=text", NULL};

    cr_assert_eq(server_process_start(&server, FARHEAPD, flags), 0, "see %s", server.log_path);
}

static void teardown(void)
{
    for (unsigned i = 0; i < DOCUMENTS; i++)
        json_decref(documents[i]);
    server_process_fini(&server);
}

TestSuite(numbers, .init = setup, .fini = teardown, .timeout = 300);

/* --- a load --- */

static void put(fh_client *client, const char *kind, unsigned i, size_t size)
{
    static uint8_t body[2 << 20];
    char name[32];
    int length = snprintf(name, sizeof(name), "%s-%u", kind, i);

    for (size_t b = 0; b < size; b += 64)
        body[b] = (uint8_t)(i + b / 64 + 1);
    cr_assert_eq(fh_put(client, name, (size_t)length, body, size, NULL, NULL), FH_OK, "%s: %s",
                 name, fh_errmsg(client));
}

static void drop(fh_client *client, const char *kind, unsigned i)
{
    char name[32];
    int length = snprintf(name, sizeof(name), "%s-%u", kind, i);

    cr_assert_eq(fh_delete(client, name, (size_t)length, NULL), FH_OK, "%s", name);
}

/* Slabs full, partial and empty, blocks, segments, more pages than frames, pages never written. */
static void load(void)
{
    const fh_options options = {.size = sizeof(options), .request_timeout_ms = 60000};
    fh_client *client;
    fh_handle handle;
    char url[64];

    (void)snprintf(url, sizeof(url), "farheap://127.0.0.1:%u/?timeout=100s", server.ports[0]);
    cr_assert_eq(fh_open(url, &options, &client), FH_OK);
    for (unsigned i = 0; i < SMALL; i++)
        put(client, "small", i, 20 + i % 1000);
    for (unsigned i = 0; i < MEDIUM; i++)
        put(client, "medium", i, 5000 + i * 3000);
    for (unsigned i = 0; i < LARGE; i++) {
        put(client, "large", i, 2 << 20);
        cr_assert_eq(fh_alloc(client, (300 + i) << 20, NULL, &handle), FH_OK);
        cr_assert_eq(fh_alloc(client, (1 + i) << 20, NULL, &handle), FH_OK);
        cr_assert_eq(fh_write(client, handle, 70000, "x", 1, NULL), FH_OK);
    }
    for (unsigned i = 1; i < MEDIUM; i += 9) {
        char name[32];
        int length = snprintf(name, sizeof(name), "medium-%u", i);
        cr_assert_eq(fh_advise_name(client, name, (size_t)length, FH_ADVICE_PIN, 0, 0), FH_OK, "%s",
                     fh_errmsg(client));
    }
    for (unsigned i = 0; i < SMALL; i += 3)
        drop(client, "small", i);
    for (unsigned i = 0; i < MEDIUM; i += 3)
        drop(client, "medium", i);
    fh_close(client);
}

/* --- what is told --- */

static json_t *tell(const char *verb)
{
    char line[512];
    json_error_t error;
    FILE *tool;
    json_t *d;

    (void)snprintf(line, sizeof(line), "%s -u farheap://127.0.0.1:%u/?timeout=100s --json %s",
                   FARHEAP_TOOL, server.ports[0], verb);
    tool = popen(line, "r");
    cr_assert_not_null(tool);
    d = json_loadf(tool, 0, &error);
    cr_assert_eq(pclose(tool), 0, "%s", line);
    cr_assert_not_null(d, "%s: %s", verb, error.text);
    return d;
}

static unsigned admin_port(void)
{
    char line[1024];
    unsigned port = 0;
    FILE *log;

    cr_assert(server_process_log_has(&server, "admin on ", 100000));
    cr_assert_not_null(log = fopen(server.log_path, "r"));
    while (port == 0 && fgets(line, sizeof(line), log)) {
        const char *at = strstr(line, "admin on 127.0.0.1:");
        port = at ? (unsigned)strtoul(strchr(at, ':') + 1, NULL, 10) : 0;
    }
    (void)fclose(log);
    cr_assert_neq(port, 0u);
    return port;
}

static void tell_metrics(void)
{
    static const char get[] =
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)admin_port()),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    size_t size = 0;
    ssize_t got;

    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    cr_assert_eq(write(fd, get, sizeof(get) - 1), (ssize_t)sizeof(get) - 1);
    while ((got = read(fd, metrics + size, sizeof(metrics) - 1 - size)) > 0)
        size += (size_t)got;
    close(fd);
    metrics[size] = '\0';
    cr_assert_not_null(strstr(metrics, "200 OK"));
}

/* "slabs.pages" of a document or row. */
static uint64_t number(const json_t *from, const char *path)
{
    char part[64];
    size_t size = strcspn(path, ".");

    while (path[size] == '.') {
        (void)snprintf(part, sizeof(part), "%.*s", (int)size, path);
        from = json_object_get(from, part);
        path += size + 1;
        size = strcspn(path, ".");
    }
    const json_t *value = json_object_get(from, path);
    cr_assert(json_is_integer(value), "%s", path);
    return (uint64_t)json_integer_value(value);
}

static uint64_t info(const char *path)
{
    return number(documents[INFO], path);
}

/* The sum of a key over the rows of a list, times another key of the row unless that is NULL. */
static uint64_t sum_of(const json_t *list, const char *key, const char *times)
{
    uint64_t total = 0;
    size_t i;
    json_t *row;

    json_array_foreach((json_t *)(uintptr_t)list, i, row) total +=
        number(row, key) * (times ? number(row, times) : 1);
    return total;
}

static uint64_t sum(unsigned document, const char *list, const char *key)
{
    return sum_of(json_object_get(documents[document], list), key, NULL);
}

/* The sum of the lines of a family that have this label, or all of them when it is "". */
static uint64_t metric(const char *family, const char *label)
{
    size_t size = strlen(family);
    uint64_t total = 0;

    for (const char *line = metrics; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *end = line + strcspn(line, "\n"), *value = end;
        while (value > line && value[-1] != ' ')
            value--;
        if (strncmp(line, family, size) != 0 || (line[size] != '{' && line[size] != ' '))
            continue;
        const char *found = strstr(line, label);
        if (found && found < end)
            total += strtoull(value, NULL, 10);
    }
    return total;
}

static bool is_still(const json_t *before, const json_t *after)
{
    static const char *const fields[] = {"memory.frames_used", "pages.frame",  "pages.slot",
                                         "swap.used_bytes",    "slabs.count",  "slabs.empty",
                                         "space.used_bytes",   "space.arenas", "slabs.moves"};

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (number(before, fields[i]) != number(after, fields[i]))
            return false;
    return number(after, "slabs.empty") == 0; /* the idle sweep has been */
}

/* Asks for everything, again and again until nothing moved between the first and the last answer. */
static void tell_all(void)
{
    for (unsigned tries = 0; tries < TRIES; tries++) {
        for (unsigned i = 0; i < DOCUMENTS; i++) {
            json_decref(documents[i]);
            documents[i] = tell(verbs[i]);
        }
        tell_metrics();
        json_t *again = tell("info");
        bool still = is_still(documents[INFO], again);
        json_decref(again);
        if (still)
            return;
        (void)usleep(100000);
    }
    cr_assert_fail("the server never comes to rest");
}

#define EQUAL(a, b)                                                                                \
    cr_assert_eq(a, b, "%s is %llu, %s is %llu", #a, (unsigned long long)(a), #b,                  \
                 (unsigned long long)(b))

static void frames_add_up(void)
{
    EQUAL(info("memory.frames_total") * PAGE, info("region_bytes"));
    EQUAL(info("memory.bytes"), info("region_bytes"));
    EQUAL(info("memory.frames_used") + info("memory.frames_free"), info("memory.frames_total"));
    EQUAL(sum(ZONE_LIST, "zones", "frames_total"), info("memory.frames_total"));
    EQUAL(sum(ZONE_LIST, "zones", "frames_free"), info("memory.frames_free"));
    EQUAL(info("memory.frames_clean") + info("memory.frames_dirty") + info("memory.frames_held") +
              info("files.frames_clean") + info("files.frames_dirty"),
          info("memory.frames_used"));
    EQUAL(sum(ZONE_LIST, "zones", "frames_clean") + sum(ZONE_LIST, "zones", "frames_dirty") +
              sum(ZONE_LIST, "zones", "frames_file_clean") +
              sum(ZONE_LIST, "zones", "frames_file_dirty") + sum(ZONE_LIST, "zones", "frames_held"),
          info("memory.frames_used"));
    EQUAL(sum(ZONE_LIST, "zones", "frames_pinned"), info("memory.frames_pinned"));
    EQUAL(sum(ZONE_LIST, "zones", "pages_pinned"), info("memory.pages_pinned"));
    EQUAL(metric("farheap_frames_pinned", ""), info("memory.frames_pinned"));
    EQUAL(metric("farheap_pages_pinned", ""), info("memory.pages_pinned"));
    EQUAL(info("memory.frames_pinned"), info("memory.pages_pinned"));
    EQUAL(metric("farheap_frames", ""), info("memory.frames_total"));
    EQUAL(metric("farheap_frames", "state=\"free\""), info("memory.frames_free"));
    EQUAL(metric("farheap_region_bytes", ""), info("region_bytes"));
}

static void pages_add_up(void)
{
    EQUAL(sum(PAGES, "zones", "pinned"), info("memory.frames_pinned"));
    EQUAL(sum(PAGES, "zones", "dirty") + sum(PAGES, "zones", "pinned"),
          metric("farheap_frames", "state=\"anon_dirty\""));
    EQUAL(sum(PAGES, "zones", "clean"), metric("farheap_frames", "state=\"anon_clean\""));
    EQUAL(sum(PAGES, "zones", "dirty") + sum(PAGES, "zones", "clean") +
              sum(PAGES, "zones", "pinned"),
          info("pages.frame"));
    EQUAL(sum(PAGES, "zones", "swap") + sum(PAGES, "zones", "reading"), info("pages.slot"));
    EQUAL(sum(PAGES, "zones", "failed"), info("pages.failed"));
    EQUAL(sum(PAGES, "zones", "nothing"), info("pages.nothing"));
    EQUAL(metric("farheap_pages", "state=\"frame\""), info("pages.frame"));
    EQUAL(metric("farheap_pages", "state=\"slot\"") + metric("farheap_pages", "state=\"reading\""),
          info("pages.slot"));
    EQUAL(
        (info("pages.frame") + info("pages.slot") + info("pages.failed") + info("pages.nothing")) *
            PAGE,
        info("space.used_bytes"));
    EQUAL(info("pages.slot") + sum(PAGES, "zones", "clean"), info("swap.used_bytes") / PAGE);
    EQUAL(metric("farheap_swap_slots", "state=\"used\""), info("swap.used_bytes") / PAGE);
    EQUAL(metric("farheap_swap_slots", ""), info("swap.total_bytes") / PAGE);
    EQUAL(sum(ZONE_LIST, "zones", "swap_used_bytes"), info("swap.used_bytes"));
    cr_assert_gt(info("memory.pages_pinned"), 0u);
    cr_assert_gt(info("pages.slot"), 0u, "the load is larger than memory");
}

/* A glyph per group, up to the last page that is anywhere and not beyond the break; a group with a
 * page of a state shows it, or a commoner one. */
static void maps_agree(void)
{
    static const char *const states[] = {"dirty", "clean", "swap"};
    json_t *list = json_object_get(documents[PAGES], "zones"), *zone;
    size_t i;

    json_array_foreach(list, i, zone)
    {
        const char *map = json_string_value(json_object_get(zone, "map"));
        uint64_t group = number(zone, "pages_per_glyph"), glyphs = strlen(map), in_use = 0;
        const json_t *buddy = json_array_get(json_object_get(documents[BUDDY], "zones"), i);

        cr_assert_eq(group & (group - 1), 0u);
        cr_assert_eq(strspn(map, ".#=FfsdrP!"), glyphs);
        cr_assert_eq(strchr(map, '!') != NULL, number(zone, "failed") > 0);
        for (size_t s = 0; s < sizeof(states) / sizeof(states[0]); s++)
            in_use += number(zone, states[s]);
        cr_assert_geq(glyphs * group, in_use, "zone %zu: all pages are on the map", i);
        cr_assert_lt(glyphs * group * PAGE, number(buddy, "break_bytes") + group * PAGE);
    }
}

static void slabs_add_up(void)
{
    json_t *list = json_object_get(documents[SLABS], "caches"), *row;
    size_t i;

    json_array_foreach(list, i, row)
    {
        EQUAL(number(row, "full") + number(row, "partial") + number(row, "empty"),
              number(row, "slabs"));
        EQUAL(number(row, "used") + number(row, "free"),
              number(row, "slabs") * number(row, "slab_objects"));
        EQUAL(number(row, "pages"), number(row, "slabs") * number(row, "slab_pages"));
        cr_assert_leq(number(row, "resident_pages"), number(row, "pages"));
    }
    EQUAL(sum(SLABS, "caches", "slabs"), info("slabs.count"));
    EQUAL(sum(SLABS, "caches", "used"), info("slabs.used_objects"));
    EQUAL(sum(SLABS, "caches", "free"), info("slabs.free_objects"));
    EQUAL(sum(SLABS, "caches", "pages"), info("slabs.pages"));
    EQUAL(sum(SLABS, "caches", "empty"), info("slabs.empty"));
    EQUAL(json_array_size(list), info("slabs.caches"));
    EQUAL(metric("farheap_slab_slabs", ""), info("slabs.count"));
    EQUAL(metric("farheap_slab_objects", "state=\"used\""), info("slabs.used_objects"));
    EQUAL(metric("farheap_slab_objects", "state=\"free\""), info("slabs.free_objects"));
    EQUAL(metric("farheap_slabs_reaped_total", ""), info("slabs.reaped"));
    EQUAL(sum(SLABS, "caches", "moves"), info("slabs.moves"));
    EQUAL(metric("farheap_moves_total", ""), info("slabs.moves"));
    EQUAL(metric("farheap_moves_refused_total", ""), info("slabs.moves_refused"));
    EQUAL(metric("farheap_slabs_compacted_total", ""), info("slabs.compacted"));
    EQUAL(metric("farheap_pages_compacted_total", ""), info("slabs.compacted_pages"));
    EQUAL(metric("farheap_moved_objects", ""), info("slabs.moved_objects"));
}

static void buddies_add_up(void)
{
    json_t *list = json_object_get(documents[BUDDY], "zones"), *zone;
    uint64_t largest = 0, blocks = 0;
    size_t i;

    json_array_foreach(list, i, zone)
    {
        const json_t *classes = json_object_get(zone, "classes");
        uint64_t free_bytes = sum_of(classes, "free", "block_bytes");
        uint64_t used_bytes = sum_of(classes, "used", "block_bytes");

        EQUAL(used_bytes, number(zone, "used_bytes"));
        EQUAL(used_bytes + free_bytes, number(zone, "arenas") * GIB);
        EQUAL(number(zone, "arenas") * GIB + number(zone, "segment_bytes"),
              number(zone, "break_bytes"));
        blocks += sum_of(classes, "used", NULL) + number(zone, "segments");
        if (number(zone, "largest_free_bytes") > largest)
            largest = number(zone, "largest_free_bytes");
        EQUAL(sum_of(classes, "free", NULL),
              metric("farheap_buddy_free_blocks", i == 0 ? "zone=\"0\"" : "zone=\"1\""));
    }
    EQUAL(largest, info("space.largest_free_bytes"));
    EQUAL(sum(BUDDY, "zones", "arenas"), info("space.arenas"));
    EQUAL(sum(BUDDY, "zones", "segments"), info("space.segments"));
    EQUAL(sum(BUDDY, "zones", "break_bytes"), info("space.break_bytes"));
    EQUAL(sum(BUDDY, "zones", "used_bytes") + sum(BUDDY, "zones", "segment_bytes"),
          info("space.used_bytes"));
    EQUAL(metric("farheap_space_bytes", ""), info("space.break_bytes"));
    EQUAL(blocks - info("slabs.count") + info("slabs.used_objects"), info("objects.count"));
    EQUAL(info("space.segments"), (uint64_t)LARGE);
}

static void objects_add_up(void)
{
    EQUAL(sum(ZONE_LIST, "zones", "objects"), info("objects.count"));
    EQUAL(sum(ZONE_LIST, "zones", "object_bytes"), info("objects.bytes"));
    EQUAL(metric("farheap_objects", ""), info("objects.count"));
    EQUAL(metric("farheap_object_bytes", ""), info("objects.bytes"));
    EQUAL(metric("farheap_names", ""), info("objects.names"));
    EQUAL(info("objects.names"), (uint64_t)(SMALL + MEDIUM) * 2 / 3 + LARGE);
    EQUAL(info("objects.count"), info("objects.names") + 2 * (uint64_t)LARGE);
}

Test(numbers, all_views_agree_under_load)
{
    load();
    tell_all();
    frames_add_up();
    pages_add_up();
    maps_agree();
    slabs_add_up();
    buddies_add_up();
    objects_add_up();
}

Test(numbers, all_views_agree_on_an_empty_server)
{
    tell_all();
    frames_add_up();
    slabs_add_up();
    EQUAL(info("memory.frames_used"), UINT64_C(0));
    EQUAL(info("objects.count"), UINT64_C(0));
    EQUAL(info("space.arenas"), UINT64_C(0));
    EQUAL(metric("farheap_pages", ""), UINT64_C(0));
}

Test(numbers, info_tells_break_arenas_segments_and_the_largest_run)
{
    char line[256], text[4096];
    FILE *tool;

    load();
    (void)snprintf(line, sizeof(line), "%s -u farheap://127.0.0.1:%u/?timeout=100s info",
                   FARHEAP_TOOL, server.ports[0]);
    cr_assert_not_null(tool = popen(line, "r"));
    text[fread(text, 1, sizeof(text) - 1, tool)] = '\0';
    cr_assert_eq(pclose(tool), 0);
    cr_assert_not_null(strstr(text, "2 arenas"), "%s", text);
    cr_assert_not_null(strstr(text, "break 6 GiB"), "%s", text);
    cr_assert_not_null(strstr(text, "4 segments"), "%s", text);
    cr_assert_not_null(strstr(text, "largest free "), "%s", text);
}
