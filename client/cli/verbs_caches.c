/*
 * Theory.  `farheap cache` has verbs of its own behind it. What the initial bytes are is read whole
 * before the server is asked: there are at most as many as an object has. `ls` renders the document
 * of the slabs, a row per name: sums over the zones, which all have a cache of that name.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/document.h"
#include "client/cli/table.h"
#include "client/cli/transfer.h"
#include "client/cli/verb.h"

enum { INITIAL_MAX = 32 * 1024 };

static int tell_done(struct fh_tool *tool, fh_status status, const char *name)
{
    if (status != FH_OK)
        return fh_tool_fail(tool, status, name);
    return tool->json ? fh_tool_json(tool, json_object()) : FH_EXIT_OK;
}

/* --- create */

/* The bytes of --initial; one more than fits is enough to see that it is too long. */
static int initial_read(struct fh_tool *tool, const char *file, char bytes[INITIAL_MAX + 1],
                        size_t *size)
{
    struct fh_interrupt interrupt;
    int fd, rc;

    *size = 0;
    if (file == NULL)
        return FH_EXIT_OK;
    if ((fd = fh_source_open(file)) < 0)
        return fh_tool_fail_errno(tool, file, errno);
    fh_interrupt_init(&interrupt);
    rc = fh_source_read(fd, &interrupt, bytes, INITIAL_MAX + 1, size);
    fh_interrupt_fini(&interrupt);
    (void)close(fd);
    if (rc == -EINTR)
        return FH_EXIT_INTERRUPTED;
    return rc != 0 ? fh_tool_fail_errno(tool, file, -rc) : FH_EXIT_OK;
}

static int cache_create(struct fh_tool *tool, const struct fh_args *args)
{
    static char initial[INITIAL_MAX + 1];
    const char *name = args->operands[1];
    uint64_t object_size, alignment = 0;
    size_t size;
    int code;

    if (args->count != 3)
        return fh_tool_usage(tool, "create takes: NAME SIZE");
    if (!fh_operand_size(args->operands[2], "SIZE", &object_size) ||
        !fh_args_size(args, FH_ARG_ALIGN, &alignment))
        return FH_EXIT_USAGE;
    if (alignment > UINT32_MAX)
        return fh_tool_usage(tool, "--align is a power of two up to 4096");
    if ((code = initial_read(tool, args->value[FH_ARG_INITIAL], initial, &size)) != FH_EXIT_OK ||
        (code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    return tell_done(tool,
                     fh_cache_create(tool->client, name, strlen(name), object_size,
                                     (uint32_t)alignment, initial, size),
                     name);
}

static int cache_destroy(struct fh_tool *tool, const struct fh_args *args)
{
    const char *name = args->operands[1];
    int code;

    if (args->count != 2)
        return fh_tool_usage(tool, "destroy takes: NAME");
    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    return tell_done(tool, fh_cache_destroy(tool->client, name, strlen(name)), name);
}

/* --- ls */

static json_int_t integer_at(const json_t *row, const char *key)
{
    return json_integer_value(json_object_get(row, key));
}

static void row_add(json_t *sum, const json_t *row, const char *key)
{
    (void)json_object_set_new(sum, key, json_integer(integer_at(sum, key) + integer_at(row, key)));
}

/* The row of a tenant's cache in the list of sums, made at its first zone. */
static json_t *sum_of(json_t *sums, const json_t *row)
{
    static const char *const same[] = {"cache", "tenant", "object_size", "alignment",
                                       "initial_bytes"};
    json_t *sum, *name = json_object_get(row, "cache");
    size_t i;

    json_array_foreach(sums, i, sum)
    {
        if (json_equal(json_object_get(sum, "cache"), name) &&
            integer_at(sum, "tenant") == integer_at(row, "tenant"))
            return sum;
    }
    sum = json_object();
    for (i = 0; i < sizeof(same) / sizeof(same[0]); i++)
        (void)json_object_set(sum, same[i], json_object_get(row, same[i]));
    (void)json_array_append_new(sums, sum);
    return sum;
}

/* Rows of the typed caches alone, zones summed up. */
static json_t *caches_of(const json_t *document)
{
    static const char *const summed[] = {"used", "slabs", "pages", "resident_pages"};
    json_t *sums = json_array(), *row;
    size_t i;

    json_array_foreach(json_object_get(document, "caches"), i, row)
    {
        if (json_object_get(row, "cache") == NULL)
            continue;
        json_t *sum = sum_of(sums, row);
        for (size_t k = 0; k < sizeof(summed) / sizeof(summed[0]); k++)
            row_add(sum, row, summed[k]);
        (void)json_object_set_new(sum, "zones", json_integer(integer_at(sum, "zones") + 1));
    }
    return sums;
}

static int caches_print(struct fh_tool *tool, const json_t *sums)
{
    static const struct fh_column columns[] = {{"CACHE", false}, {"SIZE", true},  {"ALIGN", true},
                                               {"ZONES", true},  {"USED", true},  {"SLABS", true},
                                               {"PAGES", true},  {"START", false}};
    static const char *const numbers[] = {"object_size", "alignment", "zones",
                                          "used",        "slabs",     "pages"};
    struct fh_table table;
    json_t *sum;
    size_t i;
    bool ok;

    fh_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    json_array_foreach(sums, i, sum)
    {
        const char *name = json_string_value(json_object_get(sum, "cache"));
        fh_table_cell(&table, "%s", name != NULL ? name : "?");
        for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]); k++)
            fh_table_cell(&table, "%" PRId64, (int64_t)integer_at(sum, numbers[k]));
        fh_table_cell(&table, "%s", integer_at(sum, "initial_bytes") > 0 ? "given" : "zeros");
    }
    ok = fh_table_print(&table, tool->plain);
    fh_table_fini(&table);
    return ok ? FH_EXIT_OK
              : fh_tool_fail_local(tool, FH_NO_MEMORY, NULL, "no memory for the table");
}

static int cache_list(struct fh_tool *tool, const struct fh_args *args)
{
    json_t *document, *sums, *out;
    int code;

    if (args->count != 1)
        return fh_tool_usage(tool, "ls takes no operands");
    if ((document = fh_document_fetch(tool, "slabs", &code)) == NULL)
        return code;
    sums = caches_of(document);
    json_decref(document);
    if (!tool->json) {
        code = caches_print(tool, sums);
        json_decref(sums);
        return code;
    }
    out = json_object();
    (void)json_object_set_new(out, "caches", sums);
    return fh_tool_json(tool, out);
}

static int verb_cache(struct fh_tool *tool, const struct fh_args *args)
{
    const char *word = args->operands[0];
    bool create = strcmp(word, "create") == 0;

    if (!create && (args->value[FH_ARG_ALIGN] != NULL || args->value[FH_ARG_INITIAL] != NULL))
        return fh_tool_usage(tool, "--align and --initial are for create");
    if (create)
        return cache_create(tool, args);
    if (strcmp(word, "destroy") == 0)
        return cache_destroy(tool, args);
    if (strcmp(word, "ls") == 0)
        return cache_list(tool, args);
    return fh_tool_usage(tool, "\"%s\" is none of create, destroy, ls", word);
}

const struct fh_verb fh_verbs_caches[] = {
    {"cache", "create NAME SIZE [--align N] [--initial FILE|-] | destroy NAME | ls",
     "caches of objects of one size, for alloc --cache", FH_ARG_BIT(ALIGN) | FH_ARG_BIT(INITIAL), 1,
     3, verb_cache},
    {.name = NULL},
};
