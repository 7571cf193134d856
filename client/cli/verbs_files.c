/*
 * Theory.  Files that the server exports: what there is, opening one as an object, and making sure
 * that what was written to it is in the file.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/cli/args.h"
#include "client/cli/output.h"
#include "client/cli/table.h"
#include "client/cli/verb.h"

/* --- open */

static int open_print(struct fh_tool *tool, const char *path, const fh_info *info)
{
    char text[FH_HANDLE_TEXT];

    if (tool->json) {
        json_t *out = json_object();
        fh_json_name(out, path, strlen(path));
        fh_json_handle(out, info->handle);
        fh_json_u64(out, "bytes", info->bytes);
        fh_json_u64(out, "version", info->version);
        (void)json_object_set_new(out, "writable", json_boolean(info->writable));
        return fh_tool_json(tool, out);
    }
    fh_handle_format(info->handle, text);
    printf("%s\n", text);
    fh_tool_say(tool, "%s, %s; free it when you are done", fh_show_size(info->bytes).text,
                info->writable ? "open for writing" : "open for reading");
    return FH_EXIT_OK;
}

static int file_open(struct fh_tool *tool, const struct fh_args *args)
{
    const char *path = args->operands[1];
    bool create = args->value[FH_ARG_CREATE] != NULL;
    bool write = args->value[FH_ARG_RW] != NULL || create;
    uint64_t size = 0;
    fh_info info;
    fh_status status;
    int code;

    if (args->count != 2)
        return fh_tool_usage(tool, "open takes: EXPORT/PATH");
    if (create != (args->value[FH_ARG_SIZE] != NULL))
        return fh_tool_usage(tool, "--create and --size go together");
    if (!fh_args_size(args, FH_ARG_SIZE, &size))
        return FH_EXIT_USAGE;
    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    status =
        fh_file_open(tool->client, path,
                     (write ? FH_FILE_WRITE : 0u) | (create ? FH_FILE_CREATE : 0u), size, &info);
    return status == FH_OK ? open_print(tool, path, &info) : fh_tool_fail(tool, status, path);
}

/* --- ls */

struct file_listing {
    struct fh_table table;
    json_t *json; /* NULL: the table */
};

static int entry_add(void *context, const fh_file_info *entry)
{
    struct file_listing *l = context;
    char name[FH_HANDLE_TEXT + 4096];
    size_t n = 0;

    if (l->json != NULL) {
        json_t *one = json_object();
        fh_json_name(one, entry->name, entry->name_size);
        (void)json_object_set_new(one, "folder", json_boolean(entry->folder));
        (void)json_object_set_new(one, "writable", json_boolean(entry->writable));
        fh_json_u64(one, "bytes", entry->bytes);
        (void)json_array_append_new(l->json, one);
        return 0;
    }
    for (const unsigned char *at = entry->name; n < entry->name_size && n + 1 < sizeof(name); n++)
        name[n] = at[n] < 0x20 || at[n] == 0x7f ? '?' : (char)at[n];
    name[n] = '\0';
    fh_table_cell(&l->table, "%s%s", name, entry->folder ? "/" : "");
    fh_table_cell(&l->table, "%s", entry->folder ? "" : fh_show_size(entry->bytes).text);
    fh_table_cell(&l->table, "%s", entry->writable ? "rw" : "r");
    return 0;
}

static int file_list(struct fh_tool *tool, const struct fh_args *args)
{
    static const struct fh_column columns[] = {{"NAME", false}, {"SIZE", true}, {"MAY", false}};
    const char *folder = args->count > 1 ? args->operands[1] : "";
    struct file_listing l = {.json = tool->json ? json_array() : NULL};
    fh_status status;
    bool ok = true;
    int code;

    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK) {
        json_decref(l.json);
        return code;
    }
    fh_table_init(&l.table, columns, sizeof(columns) / sizeof(columns[0]));
    status = fh_file_list(tool->client, folder, entry_add, &l);
    if (status == FH_OK && l.json == NULL)
        ok = fh_table_print(&l.table, tool->plain);
    fh_table_fini(&l.table);
    if (status != FH_OK) {
        json_decref(l.json);
        return fh_tool_fail(tool, status, folder);
    }
    if (!ok)
        return fh_tool_fail_local(tool, FH_NO_MEMORY, NULL, "no memory for the table");
    if (l.json == NULL)
        return FH_EXIT_OK;
    json_t *out = json_object();
    (void)json_object_set_new(out, "files", l.json);
    return fh_tool_json(tool, out);
}

static int verb_file(struct fh_tool *tool, const struct fh_args *args)
{
    const char *word = args->operands[0];
    bool open = strcmp(word, "open") == 0;

    if (open)
        return file_open(tool, args);
    if (args->value[FH_ARG_RW] != NULL || args->value[FH_ARG_CREATE] != NULL ||
        args->value[FH_ARG_SIZE] != NULL)
        return fh_tool_usage(tool, "--rw, --create and --size are for open");
    if (strcmp(word, "ls") == 0)
        return file_list(tool, args);
    return fh_tool_usage(tool, "\"%s\" is none of open, ls", word);
}

/* --- sync */

static int verb_sync(struct fh_tool *tool, const struct fh_args *args)
{
    const char *subject = args->operands[0];
    fh_handle handle;
    fh_info info;
    fh_status status = FH_OK;
    uint64_t at = 0, len = 0;
    int code;

    if (!fh_args_size(args, FH_ARG_AT, &at) || !fh_args_size(args, FH_ARG_LEN, &len))
        return FH_EXIT_USAGE;
    bool by_name = fh_handle_parse(subject, &handle) != FH_OK;
    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    if (by_name && (status = fh_lookup(tool->client, subject, strlen(subject), &info)) == FH_OK)
        handle = info.handle;
    if (status == FH_OK)
        status = fh_sync(tool->client, handle, at, len);
    if (status != FH_OK)
        return fh_tool_fail(tool, status, by_name ? subject : NULL);
    return tool->json ? fh_tool_json(tool, json_object()) : FH_EXIT_OK;
}

const struct fh_verb fh_verbs_files[] = {
    {"file", "open EXPORT/PATH [--rw] [--create --size N] | ls [EXPORT[/DIR]]",
     "open a file of the server as an object, tell its handle; tell which there are",
     FH_ARG_BIT(RW) | FH_ARG_BIT(CREATE) | FH_ARG_BIT(SIZE), 1, 2, verb_file},
    {"sync", "H|NAME [--at N] [--len N]", "what was written to the file's object is in the file",
     FH_ARG_BIT(AT) | FH_ARG_BIT(LEN), 1, 1, verb_sync},
    {.name = NULL},
};
