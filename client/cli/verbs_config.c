/*
 * Theory.  What is configured is read like every other view, over the data port. Changing it is for those who look
 * after the server, so it goes to the admin port, which listens on its own machine only.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/document.h"
#include "client/cli/http.h"
#include "client/cli/table.h"
#include "client/cli/verb.h"

enum { CONFIG_TIMEOUT_MS = 5000 };

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

static int config_list(struct fh_tool *tool)
{
    static const struct fh_column columns[] = {{"KEY", false}, {"VALUE", false}, {"FROM", false}};
    struct fh_table table;
    json_t *document, *row;
    size_t i;
    int code;

    if ((document = fh_document_fetch(tool, "config", &code)) == NULL)
        return code;
    if (tool->json)
        return fh_tool_json(tool, document);
    fh_table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
    json_array_foreach(json_object_get(document, "config"), i, row)
    {
        fh_table_cell(&table, "%s", text_at(row, "key"));
        fh_table_cell(&table, "%s", text_at(row, "value"));
        fh_table_cell(&table, "%s", text_at(row, "origin"));
    }
    bool ok = fh_table_print(&table, tool->plain);
    fh_table_fini(&table);
    json_decref(document);
    return ok ? FH_EXIT_OK : fh_tool_fail_local(tool, FH_NO_MEMORY, NULL, "too many rows");
}

static int config_get(struct fh_tool *tool, const char *key)
{
    json_t *document, *row;
    const json_t *found = NULL;
    size_t i;
    int code;

    if ((document = fh_document_fetch(tool, "config", &code)) == NULL)
        return code;
    json_array_foreach(json_object_get(document, "config"), i, row)
    {
        if (strcmp(text_at(row, "key"), key) == 0)
            found = row;
    }
    if (found == NULL)
        code = fh_tool_fail_local(tool, FH_NOT_FOUND, key,
                                  "the server has no such key; try: farheap config list");
    else if (tool->json)
        code = fh_tool_json(tool, json_deep_copy(found));
    else
        puts(text_at(found, "value"));
    json_decref(document);
    return code;
}

/* The answer of the admin port, good or not. */
static int config_answer(struct fh_tool *tool, const char *key, const struct fh_http_answer *answer)
{
    json_t *document = json_loads(answer->body, 0, NULL);
    json_int_t asked, now;
    int code;

    if (document == NULL)
        return fh_tool_fail_local(tool, FH_PROTOCOL, key, "the admin port sent no JSON document");
    if (answer->code != 200) {
        code = fh_tool_fail_local(tool, answer->code == 403 ? FH_PERMISSION : FH_INVALID, key,
                                  text_at(json_object_get(document, "error"), "message"));
        json_decref(document);
        return code;
    }
    if (tool->json)
        return fh_tool_json(tool, document);
    asked = json_integer_value(json_object_get(document, "configured_bytes"));
    now = json_integer_value(json_object_get(document, "budget_bytes"));
    fh_tool_say(tool, "memory: %s; farheap info tells how far it is",
                fh_show_size((uint64_t)asked).text);
    if (now < asked)
        fh_tool_say(tool, "memory: the control group leaves %s for now",
                    fh_show_size((uint64_t)now).text);
    json_decref(document);
    return FH_EXIT_OK;
}

static int config_set(struct fh_tool *tool, const struct fh_args *args)
{
    const char *key = args->operands[1], *value = args->operands[2];
    const char *address = args->value[FH_ARG_ADMIN];
    uint32_t timeout_ms = tool->options.request_timeout_ms;
    struct fh_http_answer answer;
    char message[256];
    int rc;

    if (strcmp(key, "memory") != 0)
        return fh_tool_fail_local(tool, FH_UNSUPPORTED, key,
                                  "only memory can be set while the server runs");
    if (address == NULL)
        address = getenv("FARHEAP_ADMIN");
    if (address == NULL || address[0] == '\0')
        address = "127.0.0.1:7421";
    rc = fh_http_post(address, "/api/v1/memory", value,
                      timeout_ms != 0 ? timeout_ms : CONFIG_TIMEOUT_MS, &answer);
    if (rc == -EINVAL)
        return fh_tool_usage(tool, "--admin: \"%s\" is no HOST:PORT", address);
    if (rc != 0) {
        (void)snprintf(
            message, sizeof(message),
            "admin port %.100s: %s; give the server's with --admin HOST:PORT, from its machine",
            address, strerror(-rc));
        return fh_tool_fail_local(tool, FH_CONNECTION, key, message);
    }
    return config_answer(tool, key, &answer);
}

static int verb_config(struct fh_tool *tool, const struct fh_args *args)
{
    const char *word = args->operands[0];

    if (strcmp(word, "set") != 0 && args->value[FH_ARG_ADMIN] != NULL)
        return fh_tool_usage(tool, "--admin is for set");
    if (strcmp(word, "list") == 0 && args->count == 1)
        return config_list(tool);
    if (strcmp(word, "get") == 0 && args->count == 2)
        return config_get(tool, args->operands[1]);
    if (strcmp(word, "set") == 0 && args->count == 3)
        return config_set(tool, args);
    return fh_tool_usage(tool, "it takes list, get KEY, or set KEY VALUE");
}

const struct fh_verb fh_verbs_config[] = {
    {"config", "list | get KEY | set memory SIZE [--admin HOST:PORT]",
     "what the server is configured to; set changes it while it runs", FH_ARG_BIT(ADMIN), 1, 3,
     verb_config},
    {.name = NULL},
};
