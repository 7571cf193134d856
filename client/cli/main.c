/*
 * farheap: the command. Global options, a verb, its options and operands.
 *
 * Theory.  Options before the verb and behind it are the same table; the verb's own are only taken
 * behind it. `bench` is a program of its own: it gets the global options handed on and reads the
 * rest itself.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/bench/bench.h"
#include "client/bench/null.h"
#include "client/cli/args.h"
#include "client/cli/output.h"
#include "client/cli/verb.h"

enum { HANDED_MAX = 2 * FH_ARGS };

static const struct {
    const char *title;
    const struct fh_verb *verbs;
} families[] = {
    {"Names", fh_verbs_names},
    {"Memory (H is a handle)", fh_verbs_memory},
    {"Places of an object", fh_verbs_ranges},
    {"What is in memory", fh_verbs_advise},
    {"Typed caches", fh_verbs_caches},
    {"Files of the server", fh_verbs_files},
    {"Looking inside", fh_verbs_look},
    {"Configuration", fh_verbs_config},
    {"Service", fh_verbs_service},
};

enum { FAMILIES = sizeof(families) / sizeof(families[0]) };

static const char global_help[] =
    "Options of every verb:\n"
    "  -u, --url URL      farheap://HOST[:PORT][/?timeout=2s], farheaps://..., "
    "farheap+unix:///PATH\n"
    "                     (FARHEAP_URL; default farheap://127.0.0.1:7420)\n"
    "      --timeout D    for one request: 500ms, 2s, 1m; default 5s\n"
    "      --json         one JSON document; --plain: tab separated, no header\n"
    "  -q, --quiet        no words but errors\n"
    "      --cacert FILE  authorities of farheaps://; --cert FILE --key FILE: who I am\n"
    "      --sni NAME     the name in the server's certificate; --insecure: take any\n"
    "  -h, --help, --version\n"
    "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 not found, 4 no connection or time,\n"
    "  5 not allowed, 6 no space, 7 data lost, 8 exists or changed, 130 interrupted\n";

static const struct fh_verb *verb_find(const char *name)
{
    for (size_t f = 0; f < FAMILIES; f++) {
        for (const struct fh_verb *v = families[f].verbs; v->name != NULL; v++) {
            if (strcmp(v->name, name) == 0)
                return v;
        }
    }
    return NULL;
}

/* --- help */

/* A form too long for its column has its line to itself. */
static void help_line(const char *name, const char *form, const char *help)
{
    enum { FORM = 36 };
    int size = printf("  %-6s %s", name, form);

    if (size > FORM)
        printf("\n%*s  %s\n", FORM, "", help);
    else
        printf("%*s  %s\n", FORM - size, "", help);
}

static int help_all(void)
{
    printf("farheap %s: memory that jobs allocate on other machines\n"
           "farheap [OPTIONS] VERB [ARGUMENTS]\n",
           fh_version());
    for (size_t f = 0; f < FAMILIES; f++) {
        printf("\n%s:\n", families[f].title);
        for (const struct fh_verb *v = families[f].verbs; v->name != NULL; v++)
            help_line(v->name, v->form, v->help);
    }
    help_line("bench", "[OPTIONS]", "measure a server; see: farheap bench -h");
    help_line("help", "[VERB]", "this, or the form of one verb");
    printf("\n%s", global_help);
    return FH_EXIT_OK;
}

static int help_verb(const struct fh_verb *verb)
{
    printf("farheap %s%s%s\n  %s\n\n%s", verb->name, verb->form[0] != '\0' ? " " : "", verb->form,
           verb->help, global_help);
    return FH_EXIT_OK;
}

/* --- a verb that does not exist */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* How many letters to insert, drop or change from one word to the other; both are short. */
static size_t distance(const char *a, const char *b)
{
    enum { WORD_MAX = 16 };
    size_t row[WORD_MAX + 1], size_a = strlen(a), size_b = strlen(b);

    if (size_a > WORD_MAX || size_b > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= size_b; j++)
        row[j] = j;
    for (size_t i = 1; i <= size_a; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= size_b; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            row[j] = least(change, least(row[j], row[j - 1]) + 1);
        }
    }
    return row[size_b];
}

static int verb_unknown(const char *word)
{
    const char *best = NULL;
    size_t best_distance = 3;

    for (size_t f = 0; f < FAMILIES; f++) {
        for (const struct fh_verb *v = families[f].verbs; v->name != NULL; v++) {
            if (distance(word, v->name) < best_distance) {
                best_distance = distance(word, v->name);
                best = v->name;
            }
        }
    }
    if (distance(word, "bench") < best_distance)
        best = "bench";
    if (best != NULL)
        fprintf(stderr, "farheap: no verb \"%s\"; did you mean: farheap %s\n", word, best);
    else
        fprintf(stderr, "farheap: no verb \"%s\"; try: farheap -h\n", word);
    return FH_EXIT_USAGE;
}

/* --- the tool */

static bool tool_init(struct fh_tool *tool, const char *verb, const struct fh_args *args)
{
    uint64_t timeout_ms = 0;
    const char *url = getenv("FARHEAP_URL");

    *tool = (struct fh_tool){.verb = verb, .url = args->value[FH_ARG_URL]};
    if (tool->url == NULL)
        tool->url = url != NULL && url[0] != '\0' ? url : "farheap://127.0.0.1:7420";
    if (!fh_args_time_ms(args, FH_ARG_TIMEOUT, &timeout_ms))
        return false;
    tool->options = (fh_options){
        .size = sizeof(fh_options),
        .ca_file = args->value[FH_ARG_CACERT],
        .cert_file = args->value[FH_ARG_CERT],
        .key_file = args->value[FH_ARG_KEY],
        .server_name = args->value[FH_ARG_SNI],
        .insecure = args->value[FH_ARG_INSECURE] != NULL,
        .connect_timeout_ms = timeout_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)timeout_ms,
        .request_timeout_ms = timeout_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)timeout_ms,
        .agent = "farheap " FARHEAP_VERSION,
    };
    tool->json = args->value[FH_ARG_JSON] != NULL;
    tool->plain = args->value[FH_ARG_PLAIN] != NULL;
    tool->quiet = args->value[FH_ARG_QUIET] != NULL;
    tool->verbose = args->value[FH_ARG_VERBOSE] != NULL;
    return true;
}

static int verb_run(const struct fh_verb *verb, struct fh_args *args, int argc, char **argv)
{
    struct fh_tool tool;
    int code;

    if (!fh_args_parse(args, argc, argv, FH_ARGS_GLOBAL | verb->options, false))
        return FH_EXIT_USAGE;
    if (args->value[FH_ARG_HELP] != NULL)
        return help_verb(verb);
    if (args->count < verb->least || (verb->most >= 0 && args->count > verb->most)) {
        fprintf(stderr, "farheap: %s takes: farheap %s %s\n", verb->name, verb->name, verb->form);
        return FH_EXIT_USAGE;
    }
    if (!tool_init(&tool, verb->name, args))
        return FH_EXIT_USAGE;
    code = verb->run(&tool, args);
    fh_close(tool.client);
    if (fflush(stdout) != 0 && code == FH_EXIT_OK)
        return FH_EXIT_FAILED;
    return code;
}

/* --- bench */

/* The options before the verb, as the load tester spells them. */
static int bench_run(const struct fh_args *args, int argc, char **argv)
{
    static const struct {
        enum fh_arg arg;
        const char *word;
        bool value;
    } handed[] = {{FH_ARG_URL, "-u", true},
                  {FH_ARG_CACERT, "--cacert", true},
                  {FH_ARG_CERT, "--cert", true},
                  {FH_ARG_KEY, "--key", true},
                  {FH_ARG_SNI, "--sni", true},
                  {FH_ARG_INSECURE, "--insecure", false},
                  {FH_ARG_TIMEOUT, "--timeout", true},
                  {FH_ARG_QUIET, "-q", false}};
    char **all = calloc((size_t)argc + HANDED_MAX + 1, sizeof(*all));
    int count = 0, code;

    if (all == NULL)
        return FH_EXIT_FAILED;
    all[count++] = argv[0];
    for (size_t i = 0; i < sizeof(handed) / sizeof(handed[0]); i++) {
        if (args->value[handed[i].arg] == NULL)
            continue;
        all[count++] = (char *)(uintptr_t)handed[i].word;
        if (handed[i].value)
            all[count++] = (char *)(uintptr_t)args->value[handed[i].arg];
    }
    for (int i = 1; i < argc; i++)
        all[count++] = argv[i];
    code = fh_bench_main(count, all);
    free(all);
    return code;
}

static int help_run(int argc, char **argv)
{
    char *bench[] = {argv[0], (char[]){"-h"}, NULL};
    const struct fh_verb *verb;

    if (argc < 2 || argv[1][0] == '-' || strcmp(argv[1], "help") == 0)
        return help_all();
    if (strcmp(argv[1], "bench") == 0)
        return fh_bench_main(2, bench);
    if ((verb = verb_find(argv[1])) != NULL)
        return help_verb(verb);
    return verb_unknown(argv[1]);
}

int main(int argc, char **argv)
{
    struct fh_args args = {.count = 0};
    const struct fh_verb *verb;
    const char *word;

    if (!fh_args_parse(&args, argc, argv, FH_ARGS_GLOBAL, true))
        return FH_EXIT_USAGE;
    if (args.value[FH_ARG_VERSION] != NULL) {
        printf("farheap %s\n", fh_version());
        return FH_EXIT_OK;
    }
    if (args.value[FH_ARG_HELP] != NULL)
        return help_all();
    if (args.count == 0) {
        fputs("farheap: no verb; try: farheap -h\n", stderr);
        return FH_EXIT_USAGE;
    }
    argc = args.count;
    argv = args.operands;
    word = argv[0];
    if (strcmp(word, "help") == 0)
        return help_run(argc, argv);
    if (strcmp(word, "bench") == 0 && argc > 1 && strcmp(argv[1], "null") == 0)
        return fh_null_main(argc - 1, argv + 1);
    if (strcmp(word, "bench") == 0)
        return bench_run(&args, argc, argv);
    if ((verb = verb_find(word)) == NULL)
        return verb_unknown(word);
    return verb_run(verb, &args, argc, argv);
}
