/*
 * Theory.  The verbs that work by name. A name is what the shell passes: any bytes but NUL.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/sink.h"
#include "client/cli/table.h"
#include "client/cli/transfer.h"
#include "client/cli/verb.h"

enum { GET_FIRST = 256 << 10 }; /* objects up to this are got in one round trip */

static json_t *json_of_object(const char *name, const fh_info *info)
{
    json_t *out = json_object();

    fh_json_name(out, name, strlen(name));
    fh_json_handle(out, info->handle);
    fh_json_u64(out, "bytes", info->bytes);
    fh_json_u64(out, "version", info->version);
    fh_json_u64(out, "ttl_ms", info->ttl_ms);
    (void)json_object_set_new(out, "durable", json_boolean(info->durable));
    return out;
}

/* --- put */

static int put_tell(struct fh_tool *tool, const char *name, const fh_info *info)
{
    if (tool->json)
        return fh_tool_json(tool, json_of_object(name, info));
    if (tool->plain)
        printf("%s\t%" PRIu64 "\t%" PRIu64 "\n", name, info->bytes, info->version);
    else if (tool->verbose)
        fh_tool_say(tool, "%s  %s  version %" PRIu64, name, fh_show_size(info->bytes).text,
                    info->version);
    return FH_EXIT_OK;
}

static int verb_put(struct fh_tool *tool, const struct fh_args *args)
{
    const char *name = args->operands[0];
    const char *file = args->count > 1 ? args->operands[1] : "-";
    fh_how how = {.size = sizeof(how)};
    fh_info info = {.bytes = 0};
    int fd, code;

    if (!fh_args_time_ms(args, FH_ARG_TTL, &how.ttl_ms) ||
        !fh_args_number(args, FH_ARG_IF_VERSION, &how.if_version))
        return FH_EXIT_USAGE;
    how.flags = args->value[FH_ARG_IF_ABSENT] != NULL ? FH_IF_ABSENT : 0;
    if (how.flags != 0 && how.if_version != 0)
        return fh_tool_usage(tool, "--if-absent and --if-version exclude each other");
    if (args->value[FH_ARG_DURABLE] != NULL)
        how.flags |= FH_DURABLE;
    if ((fd = fh_source_open(file)) < 0)
        return fh_tool_fail_errno(tool, file, errno);
    if ((code = fh_tool_connect(tool)) == FH_EXIT_OK)
        code = fh_upload(tool, name, fd, &how, &info);
    (void)close(fd);
    return code == FH_EXIT_OK ? put_tell(tool, name, &info) : code;
}

/* --- get */

struct range {
    uint64_t first, last; /* inclusive; last UINT64_MAX = to the end */
};

/* "A-B" or "A-". */
static bool range_read(const char *text, struct range *out)
{
    char number[24];
    const char *dash = strchr(text, '-');

    *out = (struct range){0, UINT64_MAX};
    if (dash == NULL || dash == text || (size_t)(dash - text) >= sizeof(number))
        return false;
    memcpy(number, text, (size_t)(dash - text));
    number[dash - text] = '\0';
    if (!fh_operand_size(number, "range", &out->first))
        return false;
    if (dash[1] != '\0' && !fh_operand_size(dash + 1, "range", &out->last))
        return false;
    return out->first <= out->last;
}

/* How much of an object of `total` bytes the range holds. */
static uint64_t range_size(const struct range *range, uint64_t total)
{
    uint64_t end = range->last < total ? range->last + 1 : total;

    return range->first < end ? end - range->first : 0;
}

/* What one round trip brings; *size is what the range holds in all. */
static int get_first(struct fh_tool *tool, const char *name, const struct range *range, char *buf,
                     size_t *got, uint64_t *size)
{
    uint64_t want = range_size(range, UINT64_MAX), total;
    size_t cap = want < GET_FIRST ? (size_t)want : GET_FIRST;
    fh_status status =
        fh_get(tool->client, name, strlen(name), range->first, buf, cap, got, &total);

    if (status != FH_OK)
        return fh_tool_fail(tool, status, name);
    *size = range_size(range, total);
    return FH_EXIT_OK;
}

static int get_all(struct fh_tool *tool, const char *name, const struct range *range,
                   struct fh_sink *sink, uint64_t *size)
{
    static char buf[GET_FIRST];
    fh_status status;
    fh_info info;
    size_t got;
    int rc, code = get_first(tool, name, range, buf, &got, size);

    if (code != FH_EXIT_OK)
        return code;
    if (got == *size) {
        if ((rc = fh_sink_write(sink, buf, got)) == 0)
            return FH_EXIT_OK;
        return rc == -EPERM && sink->text_only
                   ? fh_tool_fail_local(tool, FH_INVALID, name,
                                        "binary data is not written to a terminal; use -o FILE, "
                                        "or -o - to do it anyway")
                   : fh_tool_fail_errno(tool, name, -rc);
    }
    if ((status = fh_lookup(tool->client, name, strlen(name), &info)) != FH_OK)
        return fh_tool_fail(tool, status, name);
    *size = range_size(range, info.bytes);
    return fh_download(tool, name, info.handle, range->first, *size, sink);
}

static int get_tell(struct fh_tool *tool, const char *name, const char *file, uint64_t size)
{
    json_t *out;

    if (!tool->json) {
        if (tool->verbose)
            fh_tool_say(tool, "%s  %s", name, fh_show_size(size).text);
        return FH_EXIT_OK;
    }
    out = json_object();
    fh_json_name(out, name, strlen(name));
    (void)json_object_set_new(out, "file", json_string(file));
    fh_json_u64(out, "bytes", size);
    return fh_tool_json(tool, out);
}

static int verb_get(struct fh_tool *tool, const struct fh_args *args)
{
    const char *name = args->operands[0], *file = args->value[FH_ARG_OUTPUT];
    struct range range = {0, UINT64_MAX};
    struct fh_sink sink;
    uint64_t size = 0;
    int rc, code;

    if (args->value[FH_ARG_RANGE] != NULL && !range_read(args->value[FH_ARG_RANGE], &range))
        return fh_tool_usage(tool, "--range is FIRST-LAST or FIRST-");
    if (tool->json && (file == NULL || strcmp(file, "-") == 0))
        return fh_tool_usage(tool, "--json needs -o FILE: stdout cannot hold both");
    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    if ((rc = fh_sink_init(&sink, file)) == 0) {
        code = get_all(tool, name, &range, &sink, &size);
        if (code == FH_EXIT_OK)
            rc = fh_sink_commit(&sink);
    }
    fh_sink_fini(&sink);
    if (rc != 0)
        return fh_tool_fail_errno(tool, file, -rc);
    return code == FH_EXIT_OK ? get_tell(tool, name, file, size) : code;
}

/* --- ls and rm --prefix: names are gathered first */

struct name_entry {
    char *name;
    size_t name_size;
    fh_info info;
};

struct names {
    struct name_entry *entries;
    size_t count, cap;
    uint64_t limit;
    bool failed;
};

static int names_add(void *context, const fh_entry *entry)
{
    struct names *names = context;
    struct name_entry *e;

    if (names->count == names->cap) {
        size_t cap = names->cap == 0 ? 256 : names->cap * 2;

        e = realloc(names->entries, cap * sizeof(*e));
        if ((names->failed = e == NULL))
            return 1;
        names->entries = e;
        names->cap = cap;
    }
    e = &names->entries[names->count];
    if ((e->name = malloc(entry->name_size + 1)) == NULL)
        return names->failed = true;
    memcpy(e->name, entry->name, entry->name_size);
    e->name[entry->name_size] = '\0';
    e->name_size = entry->name_size;
    e->info = (fh_info){.handle = entry->handle,
                        .bytes = entry->bytes,
                        .version = entry->version,
                        .ttl_ms = entry->ttl_ms,
                        .durable = entry->durable};
    return ++names->count == names->limit;
}

static int by_name(const void *a, const void *b)
{
    const struct name_entry *x = a, *y = b;
    size_t shorter = x->name_size < y->name_size ? x->name_size : y->name_size;
    int order = memcmp(x->name, y->name, shorter);

    return order != 0 ? order : (x->name_size > y->name_size) - (x->name_size < y->name_size);
}

static void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->entries[i].name);
    free(names->entries);
}

static int names_gather(struct fh_tool *tool, const char *prefix, struct names *names)
{
    fh_status status = fh_list(tool->client, prefix, strlen(prefix), names_add, names);

    if (status != FH_OK)
        return fh_tool_fail(tool, status, prefix);
    if (names->failed)
        return fh_tool_fail_local(tool, FH_NO_MEMORY, prefix, "too many names");
    if (names->count > 0)
        qsort(names->entries, names->count, sizeof(*names->entries), by_name);
    return FH_EXIT_OK;
}

static int ls_json(struct fh_tool *tool, const struct names *names)
{
    json_t *out = json_object(), *list = json_array();

    for (size_t i = 0; i < names->count; i++) {
        const struct name_entry *e = &names->entries[i];
        json_t *entry = json_object();

        fh_json_name(entry, e->name, e->name_size);
        fh_json_handle(entry, e->info.handle);
        fh_json_u64(entry, "bytes", e->info.bytes);
        fh_json_u64(entry, "version", e->info.version);
        fh_json_u64(entry, "ttl_ms", e->info.ttl_ms);
        (void)json_object_set_new(entry, "durable", json_boolean(e->info.durable));
        (void)json_array_append_new(list, entry);
    }
    (void)json_object_set_new(out, "names", list);
    return fh_tool_json(tool, out);
}

static int ls_long(struct fh_tool *tool, const struct names *names)
{
    static const struct fh_column columns[] = {
        {"SIZE", true}, {"VERSION", true}, {"TTL", true}, {"NAME", false}, {"DURABLE", false}};
    struct fh_table table;
    bool ok;

    fh_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < names->count; i++) {
        const struct name_entry *e = &names->entries[i];

        if (tool->plain)
            fh_table_cell(&table, "%" PRIu64, e->info.bytes);
        else
            fh_table_cell(&table, "%s", fh_show_size(e->info.bytes).text);
        fh_table_cell(&table, "%" PRIu64, e->info.version);
        if (tool->plain)
            fh_table_cell(&table, "%" PRIu64, e->info.ttl_ms);
        else
            fh_table_cell(&table, "%s",
                          e->info.ttl_ms > 0 ? fh_show_duration(e->info.ttl_ms).text : "-");
        fh_table_cell(&table, "%s", e->name);
        fh_table_cell(&table, "%s", e->info.durable ? "yes" : "-");
    }
    ok = fh_table_print(&table, tool->plain);
    fh_table_fini(&table);
    return ok ? FH_EXIT_OK : fh_tool_fail_local(tool, FH_NO_MEMORY, NULL, "too many names");
}

static int ls_tell(struct fh_tool *tool, const struct fh_args *args, const struct names *names)
{
    bool clean = isatty(STDOUT_FILENO) == 1;

    if (tool->json)
        return ls_json(tool, names);
    if (args->value[FH_ARG_LONG] != NULL)
        return ls_long(tool, names);
    for (size_t i = 0; i < names->count; i++) {
        fh_name_print(names->entries[i].name, names->entries[i].name_size, clean);
        putchar('\n');
    }
    return FH_EXIT_OK;
}

static int verb_ls(struct fh_tool *tool, const struct fh_args *args)
{
    struct names names = {.limit = UINT64_MAX};
    int code;

    if (!fh_args_number(args, FH_ARG_LIMIT, &names.limit))
        return FH_EXIT_USAGE;
    if (names.limit == 0)
        return fh_tool_usage(tool, "--limit is at least 1");
    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    code = names_gather(tool, args->count > 0 ? args->operands[0] : "", &names);
    if (code == FH_EXIT_OK)
        code = ls_tell(tool, args, &names);
    names_fini(&names);
    return code;
}

/* --- rm */

static bool rm_agreed(size_t count, const char *prefix)
{
    char answer[8] = "";

    if (isatty(STDIN_FILENO) != 1)
        return false;
    fprintf(stderr, "farheap: delete %zu objects whose names start with \"%s\"? [y/N] ", count,
            prefix);
    return fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

static int rm_tell(struct fh_tool *tool, size_t deleted, bool dry)
{
    json_t *out;

    if (!tool->json)
        return FH_EXIT_OK;
    out = json_object();
    fh_json_u64(out, "deleted", deleted);
    (void)json_object_set_new(out, "dry_run", json_boolean(dry));
    return fh_tool_json(tool, out);
}

enum { RM_AT_ONCE = 256 };

/* Somebody else may have deleted a name since it was listed: that is what was wanted. */
static int rm_gathered(struct fh_tool *tool, const struct names *names)
{
    size_t deleted = 0;

    for (size_t done = 0; done < names->count;) {
        fh_item items[RM_AT_ONCE] = {{0}};
        size_t count = 0;

        for (; count < RM_AT_ONCE && done < names->count; count++, done++) {
            items[count].name = names->entries[done].name;
            items[count].name_size = names->entries[done].name_size;
        }
        (void)fh_delete_many(tool->client, items, count); /* each tells its own status */
        for (size_t i = 0; i < count; i++) {
            if (items[i].status == FH_OK)
                deleted++;
            else if (items[i].status != FH_NOT_FOUND)
                return fh_tool_fail(tool, items[i].status, items[i].name);
        }
    }
    return rm_tell(tool, deleted, false);
}

static int rm_prefix(struct fh_tool *tool, const struct fh_args *args, const char *prefix)
{
    struct names names = {.limit = UINT64_MAX};
    bool dry = args->value[FH_ARG_DRY_RUN] != NULL;
    int code = names_gather(tool, prefix, &names);

    if (code != FH_EXIT_OK) {
        names_fini(&names);
        return code;
    }
    for (size_t i = 0; dry && !tool->json && i < names.count; i++) {
        fh_name_print(names.entries[i].name, names.entries[i].name_size, false);
        putchar('\n');
    }
    if (dry)
        code = rm_tell(tool, names.count, true);
    else if (args->value[FH_ARG_FORCE] == NULL && !rm_agreed(names.count, prefix))
        code = fh_tool_usage(tool, "nothing deleted: --prefix asks on a terminal and needs -f "
                                   "elsewhere");
    else
        code = rm_gathered(tool, &names);
    names_fini(&names);
    return code;
}

static int rm_named(struct fh_tool *tool, const struct fh_args *args)
{
    bool dry = args->value[FH_ARG_DRY_RUN] != NULL;

    for (int i = 0; i < args->count; i++) {
        const char *name = args->operands[i];
        fh_info info;
        fh_status status = dry ? fh_lookup(tool->client, name, strlen(name), &info)
                               : fh_delete(tool->client, name, strlen(name), NULL);

        if (status == FH_NOT_FOUND && args->value[FH_ARG_FORCE] != NULL)
            continue;
        if (status != FH_OK)
            return fh_tool_fail(tool, status, name);
        if (dry && !tool->json)
            puts(name);
    }
    return rm_tell(tool, (size_t)args->count, dry);
}

static int verb_rm(struct fh_tool *tool, const struct fh_args *args)
{
    const char *prefix = args->value[FH_ARG_PREFIX];
    int code;

    if ((prefix != NULL) == (args->count > 0))
        return fh_tool_usage(tool, "give names, or --prefix");
    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    return prefix != NULL ? rm_prefix(tool, args, prefix) : rm_named(tool, args);
}

/* --- exists, lookup */

static int verb_exists(struct fh_tool *tool, const struct fh_args *args)
{
    const char *name = args->operands[0];
    fh_status status;
    fh_info info;
    json_t *out;
    int code;

    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    status = fh_lookup(tool->client, name, strlen(name), &info);
    if (status != FH_OK && status != FH_NOT_FOUND)
        return fh_tool_fail(tool, status, name);
    if (tool->json) {
        out = json_object();
        fh_json_name(out, name, strlen(name));
        (void)json_object_set_new(out, "exists", json_boolean(status == FH_OK));
        (void)fh_tool_json(tool, out);
    }
    return fh_exit_of_status(status);
}

static int verb_lookup(struct fh_tool *tool, const struct fh_args *args)
{
    const char *name = args->operands[0];
    char text[FH_HANDLE_TEXT];
    fh_status status;
    fh_info info;
    int code;

    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    if ((status = fh_lookup(tool->client, name, strlen(name), &info)) != FH_OK)
        return fh_tool_fail(tool, status, name);
    if (tool->json)
        return fh_tool_json(tool, json_of_object(name, &info));
    fh_handle_format(info.handle, text);
    puts(text);
    return FH_EXIT_OK;
}

const struct fh_verb fh_verbs_names[] = {
    {"put", "NAME [FILE|-] [--ttl D] [--if-absent|--if-version V] [--durable] [-v]",
     "store bytes under a name",
     FH_ARG_BIT(VERBOSE) | FH_ARG_BIT(TTL) | FH_ARG_BIT(IF_ABSENT) | FH_ARG_BIT(IF_VERSION) |
         FH_ARG_BIT(DURABLE),
     1, 2, verb_put},
    {"get", "NAME [-o FILE|-] [--range A-B] [-v]", "fetch what a name leads to",
     FH_ARG_BIT(VERBOSE) | FH_ARG_BIT(OUTPUT) | FH_ARG_BIT(RANGE), 1, 1, verb_get},
    {"ls", "[PREFIX] [-l] [--limit N]", "list names", FH_ARG_BIT(LONG) | FH_ARG_BIT(LIMIT), 0, 1,
     verb_ls},
    {"rm", "NAME... | --prefix P [-n] [-f]", "delete names and their objects",
     FH_ARG_BIT(PREFIX) | FH_ARG_BIT(DRY_RUN) | FH_ARG_BIT(FORCE), 0, -1, verb_rm},
    {"exists", "NAME", "exit 0 if the name leads to an object, 3 if not", 0, 1, 1, verb_exists},
    {"lookup", "NAME", "print the handle of a name's object", 0, 1, 1, verb_lookup},
    {.name = NULL},
};
