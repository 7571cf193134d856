/*
 * Theory.  Several places of one object at one moment: gather reads them one behind the other, patch
 * writes a text at each. A place is told as AT:LEN or AT:TEXT, AT in bytes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/args.h"
#include "client/cli/output.h"
#include "client/cli/sink.h"
#include "client/cli/verb.h"

enum { BYTES_MAX = 65536 };

/* The number before the colon, or the whole text; *rest is what is behind it. */
static bool number_read(const char *text, char end, uint64_t *out, const char **rest)
{
    char *after;

    errno = 0;
    *out = strtoull(text, &after, 10);
    *rest = after + 1;
    return text[0] >= '0' && text[0] <= '9' && errno == 0 && *after == end;
}

/* The places that the operands tell. `room`: that they are read into; NULL: they are texts. */
static bool places_read(struct fh_tool *tool, const struct fh_args *args, char *room,
                        fh_range *places, size_t *bytes)
{
    *bytes = 0;
    for (size_t i = 0; i + 1 < (size_t)args->count; i++) {
        const char *text = args->operands[i + 1], *rest;
        uint64_t len = 0;
        bool good = number_read(text, ':', &places[i].offset, &rest);
        if (good && room != NULL)
            good = number_read(rest, '\0', &len, &(const char *){NULL});
        else if (good)
            len = strlen(rest);
        if (!good || len > BYTES_MAX - *bytes) {
            (void)fh_tool_usage(tool, "\"%s\" is not %s, or too much", text,
                                room != NULL ? "AT:LEN in bytes" : "AT:TEXT");
            return false;
        }
        places[i].size = (size_t)len;
        places[i].from = rest;
        places[i].into = room != NULL ? room + *bytes : NULL;
        *bytes += (size_t)len;
    }
    return true;
}

static int sink_give(struct fh_tool *tool, const char *file, const char *bytes, size_t size)
{
    struct fh_sink sink;
    int rc = fh_sink_init(&sink, file);

    if (rc == 0 && (rc = fh_sink_write(&sink, bytes, size)) == 0)
        rc = fh_sink_commit(&sink);
    fh_sink_fini(&sink);
    return rc == 0 ? FH_EXIT_OK : fh_tool_fail_errno(tool, file, -rc);
}

static int verb_gather(struct fh_tool *tool, const struct fh_args *args)
{
    static char room[BYTES_MAX];
    const char *file = args->value[FH_ARG_OUTPUT];
    fh_range places[FH_RANGES_MAX];
    fh_status status;
    fh_handle handle;
    size_t bytes;
    int code;

    if (tool->json)
        return fh_tool_usage(tool, "gather writes bytes, not a document");
    if (!fh_tool_handle(tool, args->operands[0], &handle) ||
        !places_read(tool, args, room, places, &bytes))
        return FH_EXIT_USAGE;
    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    status = fh_read_ranges(tool->client, handle, places, (size_t)args->count - 1, NULL);
    return status == FH_OK ? sink_give(tool, file, room, bytes) : fh_tool_fail(tool, status, NULL);
}

static int verb_patch(struct fh_tool *tool, const struct fh_args *args)
{
    fh_how how = {.size = sizeof(how)};
    fh_range places[FH_RANGES_MAX];
    uint64_t version;
    fh_status status;
    fh_handle handle;
    size_t bytes;
    int code;

    if (!fh_args_number(args, FH_ARG_IF_VERSION, &how.if_version) ||
        !fh_tool_handle(tool, args->operands[0], &handle) ||
        !places_read(tool, args, NULL, places, &bytes))
        return FH_EXIT_USAGE;
    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    status = fh_write_ranges(tool->client, handle, places, (size_t)args->count - 1, &how, &version);
    if (status != FH_OK)
        return fh_tool_fail(tool, status, NULL);
    json_t *out = tool->json ? json_object() : NULL;
    if (out == NULL)
        return FH_EXIT_OK;
    fh_json_u64(out, "version", version);
    return fh_tool_json(tool, out);
}

const struct fh_verb fh_verbs_ranges[] = {
    {"gather", "H AT:LEN... [-o FILE|-]", "read places of an object as of one moment, in a row",
     FH_ARG_BIT(OUTPUT), 2, FH_RANGES_MAX + 1, verb_gather},
    {"patch", "H AT:TEXT... [--if-version V]", "write texts into an object at once, all or none",
     FH_ARG_BIT(IF_VERSION), 2, FH_RANGES_MAX + 1, verb_patch},
    {.name = NULL},
};
