/*
 * Theory.  What is to become of an object's pages in memory: one verb for all that can be said, and
 * two short ones for the promise that is made most.
 */
#include <string.h>

#include "client/cli/args.h"
#include "client/cli/output.h"
#include "client/cli/verb.h"

static const struct {
    const char *word;
    fh_advice advice;
} words[] = {
    {"willneed", FH_ADVICE_WILLNEED}, {"cold", FH_ADVICE_COLD},
    {"dontneed", FH_ADVICE_DONTNEED}, {"pin", FH_ADVICE_PIN},
    {"unpin", FH_ADVICE_UNPIN},       {"sequential", FH_ADVICE_SEQUENTIAL},
    {"random", FH_ADVICE_RANDOM},     {"normal", FH_ADVICE_NORMAL},
};

static int advise(struct fh_tool *tool, const struct fh_args *args, fh_advice advice)
{
    const char *subject = args->operands[0];
    uint64_t at = 0, len = 0;
    fh_status status;
    fh_handle handle;
    int code;

    if (!fh_args_size(args, FH_ARG_AT, &at) || !fh_args_size(args, FH_ARG_LEN, &len))
        return FH_EXIT_USAGE;
    bool by_name = fh_handle_parse(subject, &handle) != FH_OK;
    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    status = by_name ? fh_advise_name(tool->client, subject, strlen(subject), advice, at, len)
                     : fh_advise(tool->client, handle, advice, at, len);
    if (status != FH_OK)
        return fh_tool_fail(tool, status, by_name ? subject : NULL);
    return tool->json ? fh_tool_json(tool, json_object()) : FH_EXIT_OK;
}

static int verb_advise(struct fh_tool *tool, const struct fh_args *args)
{
    const char *word = args->operands[1];

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i].word, word) == 0)
            return advise(tool, args, words[i].advice);
    return fh_tool_usage(tool,
                         "\"%s\" is none of willneed, cold, dontneed, pin, unpin, "
                         "sequential, random, normal",
                         word);
}

static int verb_pin(struct fh_tool *tool, const struct fh_args *args)
{
    return advise(tool, args, FH_ADVICE_PIN);
}

static int verb_unpin(struct fh_tool *tool, const struct fh_args *args)
{
    return advise(tool, args, FH_ADVICE_UNPIN);
}

const struct fh_verb fh_verbs_advise[] = {
    {"advise", "H|NAME WORD [--at N] [--len N]",
     "willneed: read in; cold, dontneed: out of memory later, now; sequential, random, normal: "
     "reads",
     FH_ARG_BIT(AT) | FH_ARG_BIT(LEN), 2, 2, verb_advise},
    {"pin", "H|NAME [--at N] [--len N]", "read in and keep in memory",
     FH_ARG_BIT(AT) | FH_ARG_BIT(LEN), 1, 1, verb_pin},
    {"unpin", "H|NAME [--at N] [--len N]", "need not be kept in memory any longer",
     FH_ARG_BIT(AT) | FH_ARG_BIT(LEN), 1, 1, verb_unpin},
    {.name = NULL},
};
