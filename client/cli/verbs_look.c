/*
 * Theory.  The verbs that look inside render the server's own documents. A field that a server does
 * not tell is shown as 0 or left out: an older or newer server is no error.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/document.h"
#include "client/cli/table.h"
#include "client/cli/verb.h"

/* --- documents */

/* "memory.frames_used" -> that number; 0 when it is not there. */
static uint64_t number_at(const json_t *document, const char *path)
{
    char part[64];

    while (document != NULL) {
        size_t size = strcspn(path, ".");

        (void)snprintf(part, sizeof(part), "%.*s", (int)size, path);
        document = json_object_get(document, part);
        if (path[size] == '\0')
            break;
        path += size + 1;
    }
    if (json_is_real(document))
        return (uint64_t)json_real_value(document);
    return json_is_integer(document) ? (uint64_t)json_integer_value(document) : 0;
}

static const char *text_at(const json_t *document, const char *key)
{
    const char *text = json_string_value(json_object_get(document, key));

    return text != NULL ? text : "?";
}

/* Leaves in the list under `key` what is of the wanted zone; all of it when none was named. */
static bool zone_select(json_t *document, const char *key, const struct fh_args *args)
{
    json_t *list = json_object_get(document, key);
    uint64_t zone;

    if (!fh_args_number(args, FH_ARG_ZONE, &zone))
        return false;
    for (size_t i = json_array_size(list); args->value[FH_ARG_ZONE] != NULL && i-- > 0;)
        if (number_at(json_array_get(list, i), "zone") != zone)
            (void)json_array_remove(list, i);
    return true;
}

/* The document of a view that lists by zone; NULL after an error was told, the exit code in *code.
 */
static json_t *zones_fetch(struct fh_tool *tool, const struct fh_args *args, const char *view,
                           const char *key, int *code)
{
    json_t *document = fh_document_fetch(tool, view, code);

    if (document != NULL && !zone_select(document, key, args)) {
        json_decref(document);
        *code = FH_EXIT_USAGE;
        return NULL;
    }
    return document;
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0.0 : (double)part * 100.0 / (double)whole;
}

static void bar_print(double value)
{
    enum { WIDTH = 20 };

    putchar('[');
    for (int i = 0; i < WIDTH; i++)
        putchar((i + 0.5) * 100.0 / WIDTH < value ? '#' : '-');
    putchar(']');
}

/* --- info */

static void info_head(const json_t *d)
{
    uint64_t zones = number_at(d, "zones");

    printf("farheapd %s  node %s  up %s  %" PRIu64 " %s  io %s  TLS %s\n", text_at(d, "version"),
           text_at(d, "node"), fh_show_duration(number_at(d, "uptime_ms")).text, zones,
           zones == 1 ? "zone" : "zones", text_at(d, "io"),
           json_is_true(json_object_get(d, "tls")) ? "on" : "off");
}

static void info_memory(const json_t *d)
{
    uint64_t used = number_at(d, "memory.frames_used"), total = number_at(d, "memory.frames_total");
    double full = percent(used, total);

    printf("memory   %s of %s in frames  %.0f%% ", fh_show_size(used * 4096).text,
           fh_show_size(total * 4096).text, full);
    bar_print(full);
    printf("   %s %s %s of addresses\n", fh_show_count(number_at(d, "objects.count")).text,
           number_at(d, "objects.count") == 1 ? "object holds" : "objects hold",
           fh_show_size(number_at(d, "objects.bytes")).text);
}

/* Only where there is something to say: memory is not what was asked for. */
static void info_budget(const json_t *d)
{
    const char *state = text_at(json_object_get(d, "memory"), "budget_state");
    uint64_t asked = number_at(d, "memory.configured_bytes");
    uint64_t now = number_at(d, "memory.budget_bytes"), least = number_at(d, "memory.least_bytes");

    if (asked == 0 || (now == asked && strcmp(state, "steady") == 0))
        return;
    printf("budget   %s: %s of %s asked for", state, fh_show_size(now).text,
           fh_show_size(asked).text);
    if (strcmp(state, "stopped") == 0)
        printf("   what lives here needs %s", fh_show_size(least).text);
    if (number_at(d, "memory.limit_bytes") > 0)
        printf("   the control group allows %s",
               fh_show_size(number_at(d, "memory.limit_bytes")).text);
    putchar('\n');
}

/* Only where something is pinned. */
static void info_pins(const json_t *d)
{
    uint64_t pinned = number_at(d, "memory.pages_pinned");

    if (pinned > 0)
        printf("pinned   %s of %s that may be\n", fh_show_size(pinned * 4096).text,
               fh_show_size(number_at(d, "memory.pages_pinned_max") * 4096).text);
}

static void info_below(const json_t *d)
{
    uint64_t failed = number_at(d, "pages.failed"), bad = number_at(d, "swap.quarantined_bytes");

    printf("below    %s of %s in swap   %s never written (cost nothing)",
           fh_show_size(number_at(d, "swap.used_bytes")).text,
           fh_show_size(number_at(d, "swap.total_bytes")).text,
           fh_show_size(number_at(d, "pages.nothing") * 4096).text);
    if (failed > 0)
        printf("   %s pages lost", fh_show_count(failed).text);
    if (bad > 0)
        printf("   %s of swap quarantined", fh_show_size(bad).text);
    putchar('\n');
}

static void info_faults(const json_t *d)
{
    printf("faults   %s first write   %s from swap   %s copy on write\n",
           fh_show_count(number_at(d, "faults.first_write")).text,
           fh_show_count(number_at(d, "faults.swap")).text,
           fh_show_count(number_at(d, "faults.copy_on_write")).text);
    printf("reclaim  %s clean   %s written to swap   %s found zero\n",
           fh_show_count(number_at(d, "reclaimed.clean")).text,
           fh_show_count(number_at(d, "reclaimed.dirty")).text,
           fh_show_count(number_at(d, "reclaimed.zero")).text);
}

/* Nothing where nothing was ever read from a file. */
static void info_files(const json_t *d)
{
    if (number_at(d, "files.open") + number_at(d, "files.read_bytes") == 0)
        return;
    printf("files    %s open   %s of them in memory, %s not written back   read %s, wrote %s\n",
           fh_show_count(number_at(d, "files.open")).text,
           fh_show_size((number_at(d, "files.frames_clean") + number_at(d, "files.frames_dirty")) *
                        4096)
               .text,
           fh_show_size(number_at(d, "files.frames_dirty") * 4096).text,
           fh_show_size(number_at(d, "files.read_bytes")).text,
           fh_show_size(number_at(d, "files.written_bytes")).text);
}

static void info_space(const json_t *d)
{
    uint64_t used = number_at(d, "slabs.used_objects"), unused = number_at(d, "slabs.free_objects");

    printf("space    %s %s   break %s   %s %s   largest free %s   slabs %.0f%% full\n",
           fh_show_count(number_at(d, "space.arenas")).text,
           number_at(d, "space.arenas") == 1 ? "arena" : "arenas",
           fh_show_size(number_at(d, "space.break_bytes")).text,
           fh_show_count(number_at(d, "space.segments")).text,
           number_at(d, "space.segments") == 1 ? "segment" : "segments",
           fh_show_size(number_at(d, "space.largest_free_bytes")).text,
           percent(used, used + unused));
}

static void info_state(const json_t *d)
{
    printf("process  %s resident: region %s, metadata %s\n",
           fh_show_size(number_at(d, "rss_bytes")).text,
           fh_show_size(number_at(d, "region_bytes")).text,
           fh_show_size(number_at(d, "metadata_bytes")).text);
    printf("work     %s requests   %s connections now, %s in all\n",
           fh_show_count(number_at(d, "requests.total")).text,
           fh_show_count(number_at(d, "connections.now")).text,
           fh_show_count(number_at(d, "connections.total")).text);
    printf("state    %s; %s requests parked, %s in all\n", text_at(d, "pressure"),
           fh_show_count(number_at(d, "requests.parked_now")).text,
           fh_show_count(number_at(d, "requests.parked_total")).text);
}

static void info_print(const json_t *d)
{
    info_head(d);
    info_memory(d);
    info_budget(d);
    info_pins(d);
    info_below(d);
    info_faults(d);
    info_files(d);
    info_space(d);
    info_state(d);
}

/* Every number and text of the document as PATH, tab, value. */
static void plain_print(const json_t *object, const char *prefix)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        char path[128];

        (void)snprintf(path, sizeof(path), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", key);
        if (json_is_integer(value))
            printf("%s\t%" JSON_INTEGER_FORMAT "\n", path, json_integer_value(value));
        else if (json_is_string(value))
            printf("%s\t%s\n", path, json_string_value(value));
        else if (json_is_boolean(value))
            printf("%s\t%s\n", path, json_is_true(value) ? "true" : "false");
        else if (json_is_object(value) && prefix[0] == '\0')
            plain_print(value, path);
    }
}

static int verb_info(struct fh_tool *tool, const struct fh_args *args)
{
    json_t *document;
    int code;

    (void)args;
    if ((document = fh_document_fetch(tool, "info", &code)) == NULL)
        return code;
    if (tool->json)
        return fh_tool_json(tool, document);
    if (tool->plain)
        plain_print(document, "");
    else
        info_print(document);
    json_decref(document);
    return FH_EXIT_OK;
}

/* --- tables */

static int table_end(struct fh_tool *tool, struct fh_table *table, json_t *document)
{
    bool ok = fh_table_print(table, tool->plain);

    fh_table_fini(table);
    json_decref(document);
    return ok ? FH_EXIT_OK : fh_tool_fail_local(tool, FH_NO_MEMORY, NULL, "too many rows");
}

static void cell_size(struct fh_tool *tool, struct fh_table *table, uint64_t bytes)
{
    if (tool->plain)
        fh_table_cell(table, "%" PRIu64, bytes);
    else
        fh_table_cell(table, "%s", fh_show_size(bytes).text);
}

static void cell_count(struct fh_tool *tool, struct fh_table *table, uint64_t count)
{
    if (tool->plain)
        fh_table_cell(table, "%" PRIu64, count);
    else
        fh_table_cell(table, "%s", fh_show_count(count).text);
}

static int verb_zones(struct fh_tool *tool, const struct fh_args *args)
{
    static const struct fh_column columns[] = {{"ZONE", true}, {"MEMORY", true}, {"FREE%", true},
                                               {"SWAP", true}, {"USED", true},   {"OBJECTS", true},
                                               {"HOLD", true}, {"CONN", true},   {"PARKED", true}};
    struct fh_table table;
    json_t *document, *zone;
    size_t i;
    int code;

    if ((document = zones_fetch(tool, args, "zones", "zones", &code)) == NULL)
        return code;
    if (tool->json)
        return fh_tool_json(tool, document);
    fh_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    json_array_foreach(json_object_get(document, "zones"), i, zone)
    {
        fh_table_cell(&table, "%" PRIu64, number_at(zone, "zone"));
        cell_size(tool, &table, number_at(zone, "frames_total") * 4096);
        fh_table_cell(&table, "%.1f",
                      percent(number_at(zone, "frames_free"), number_at(zone, "frames_total")));
        cell_size(tool, &table, number_at(zone, "swap_total_bytes"));
        cell_size(tool, &table, number_at(zone, "swap_used_bytes"));
        cell_count(tool, &table, number_at(zone, "objects"));
        cell_size(tool, &table, number_at(zone, "object_bytes"));
        cell_count(tool, &table, number_at(zone, "connections"));
        cell_count(tool, &table, number_at(zone, "parked"));
    }
    return table_end(tool, &table, document);
}

/* Only typed caches have one. */
static const char *cache_name(const json_t *cache)
{
    return json_object_get(cache, "cache") != NULL ? text_at(cache, "cache") : "-";
}

static int verb_slabs(struct fh_tool *tool, const struct fh_args *args)
{
    static const struct fh_column columns[] = {
        {"ZONE", true},  {"CACHE", false}, {"SIZE", true}, {"SLABS", true}, {"FULL", true},
        {"PART", true},  {"EMPTY", true},  {"USED", true}, {"FREE", true},  {"FILL%", true},
        {"PAGES", true}, {"OUT", true},    {"MOVED", true}};
    struct fh_table table;
    json_t *document, *cache;
    size_t i;
    int code;

    if ((document = zones_fetch(tool, args, "slabs", "caches", &code)) == NULL)
        return code;
    if (tool->json)
        return fh_tool_json(tool, document);
    fh_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    json_array_foreach(json_object_get(document, "caches"), i, cache)
    {
        uint64_t used = number_at(cache, "used"), unused = number_at(cache, "free");
        uint64_t pages = number_at(cache, "pages"), resident = number_at(cache, "resident_pages");

        fh_table_cell(&table, "%" PRIu64, number_at(cache, "zone"));
        fh_table_cell(&table, "%s", cache_name(cache));
        fh_table_cell(&table, "%" PRIu64, number_at(cache, "size"));
        cell_count(tool, &table, number_at(cache, "slabs"));
        cell_count(tool, &table, number_at(cache, "full"));
        cell_count(tool, &table, number_at(cache, "partial"));
        cell_count(tool, &table, number_at(cache, "empty"));
        cell_count(tool, &table, used);
        cell_count(tool, &table, unused);
        fh_table_cell(&table, "%.0f", percent(used, used + unused));
        cell_count(tool, &table, pages);
        cell_count(tool, &table, pages > resident ? pages - resident : 0);
        cell_count(tool, &table, number_at(cache, "moves"));
    }
    return table_end(tool, &table, document);
}

static void buddy_zone_print(const json_t *zone)
{
    printf("zone %" PRIu64 "  space  %s  %s %s  break %s  %s %s  largest free %s\n",
           number_at(zone, "zone"), text_at(zone, "system"),
           fh_show_count(number_at(zone, "arenas")).text,
           number_at(zone, "arenas") == 1 ? "arena" : "arenas",
           fh_show_size(number_at(zone, "break_bytes")).text,
           fh_show_count(number_at(zone, "segments")).text,
           number_at(zone, "segments") == 1 ? "segment" : "segments",
           fh_show_size(number_at(zone, "largest_free_bytes")).text);
}

static void buddy_classes(struct fh_tool *tool, const json_t *zone, struct fh_table *table)
{
    json_t *class;
    size_t i;

    json_array_foreach(json_object_get(zone, "classes"), i, class)
    {
        uint64_t block = number_at(class, "block_bytes"), unused = number_at(class, "free");

        fh_table_cell(table, "%" PRIu64, number_at(zone, "zone"));
        fh_table_cell(table, "%" PRIu64, number_at(class, "class"));
        cell_size(tool, table, block);
        cell_count(tool, table, unused);
        cell_size(tool, table, block * unused);
        cell_count(tool, table, number_at(class, "splits"));
        cell_count(tool, table, number_at(class, "merges"));
    }
}

static int verb_buddy(struct fh_tool *tool, const struct fh_args *args)
{
    static const struct fh_column columns[] = {{"ZONE", true},  {"CLASS", true}, {"BLOCK", true},
                                               {"FREE", true},  {"BYTES", true}, {"SPLITS", true},
                                               {"MERGES", true}};
    struct fh_table table;
    json_t *document, *zone;
    size_t i;
    int code;

    if ((document = zones_fetch(tool, args, "buddy", "zones", &code)) == NULL)
        return code;
    if (tool->json)
        return fh_tool_json(tool, document);
    fh_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    json_array_foreach(json_object_get(document, "zones"), i, zone)
    {
        if (!tool->plain)
            buddy_zone_print(zone);
        buddy_classes(tool, zone, &table);
    }
    return table_end(tool, &table, document);
}

/* --- pages */

/* 64 glyphs a line, with the page number of the first. */
static void map_print(const json_t *zone, bool plain)
{
    enum { WIDTH = 64 };
    const char *map = json_string_value(json_object_get(zone, "map"));
    uint64_t per_glyph = number_at(zone, "pages_per_glyph");
    size_t size = map != NULL ? strlen(map) : 0;

    if (plain) {
        printf("%" PRIu64 "\t%" PRIu64 "\t%s\n", number_at(zone, "zone"), per_glyph,
               map != NULL ? map : "");
        return;
    }
    printf("zone %" PRIu64 "   %" PRIu64 " %s per glyph\n", number_at(zone, "zone"), per_glyph,
           per_glyph == 1 ? "page" : "pages");
    for (size_t at = 0; at < size; at += WIDTH) {
        uint64_t page = at * per_glyph;

        printf("%04" PRIx64 " %04" PRIx64 "  %.*s\n", page >> 16, page & 0xffff, WIDTH, map + at);
    }
}

static int maps_print(struct fh_tool *tool, json_t *document)
{
    json_t *zone;
    size_t i;

    if (!tool->plain)
        puts(". nothing   # dirty   = clean, slot kept   F dirty file   f clean file   s in swap   "
             "d in its file   r reading   P pinned   ! failed");
    json_array_foreach(json_object_get(document, "zones"), i, zone)
    {
        map_print(zone, tool->plain);
    }
    json_decref(document);
    return FH_EXIT_OK;
}

static int pages_print(struct fh_tool *tool, json_t *document)
{
    static const struct fh_column columns[] = {
        {"ZONE", true},       {"PAGES", true},      {"DIRTY", true},  {"CLEAN", true},
        {"FILE DIRTY", true}, {"FILE CLEAN", true}, {"SWAP", true},   {"FILE", true},
        {"READING", true},    {"PINNED", true},     {"FAILED", true}, {"NOTHING", true}};
    static const char *const states[] = {"dirty", "clean",   "file_dirty", "file_clean", "swap",
                                         "file",  "reading", "pinned",     "failed",     "nothing"};
    enum { STATES = sizeof(states) / sizeof(states[0]) };
    struct fh_table table;
    json_t *zone;
    size_t i;

    fh_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    json_array_foreach(json_object_get(document, "zones"), i, zone)
    {
        uint64_t all = 0;

        for (int s = 0; s < STATES; s++)
            all += number_at(zone, states[s]);
        fh_table_cell(&table, "%" PRIu64, number_at(zone, "zone"));
        cell_count(tool, &table, all);
        for (int s = 0; s < STATES; s++)
            cell_count(tool, &table, number_at(zone, states[s]));
    }
    return table_end(tool, &table, document);
}

static int verb_pages(struct fh_tool *tool, const struct fh_args *args)
{
    json_t *document;
    int code;

    if ((document = zones_fetch(tool, args, "pages", "zones", &code)) == NULL)
        return code;
    if (tool->json)
        return fh_tool_json(tool, document);
    return args->value[FH_ARG_MAP] != NULL ? maps_print(tool, document)
                                           : pages_print(tool, document);
}

const struct fh_verb fh_verbs_look[] = {
    {"info", "", "what is in memory, what is below, what the server does", 0, 0, 0, verb_info},
    {"zones", "[--zone N]", "frames, swap, objects and connections of each zone", FH_ARG_BIT(ZONE),
     0, 0, verb_zones},
    {"slabs", "[--zone N]",
     "slab caches (OUT = pages in swap, MOVED = objects moved between slabs)", FH_ARG_BIT(ZONE), 0,
     0, verb_slabs},
    {"buddy", "[--zone N]", "free blocks of the spaces by class", FH_ARG_BIT(ZONE), 0, 0,
     verb_buddy},
    {"pages", "[--map] [--zone N]", "pages in use by state; --map draws them, a glyph per group",
     FH_ARG_BIT(ZONE) | FH_ARG_BIT(MAP), 0, 0, verb_pages},
    {.name = NULL},
};
