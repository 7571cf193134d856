/*
 * Theory.  All options of all verbs are in one table, so that an option means the same everywhere
 * and getopt_long needs one description. What a verb does not take is refused by name: an option
 * without effect would be a lie.
 */
#include "client/cli/args.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/bench/units.h"

enum { OPTION_BASE = 256 }; /* getopt's value of option i is OPTION_BASE + i */

static const char *const words[FH_ARGS] = {
#define WORD(name, word, letter, value) word,
    FH_ARG_TABLE(WORD)
#undef WORD
};

static const char letters[FH_ARGS] = {
#define LETTER(name, word, letter, value) letter,
    FH_ARG_TABLE(LETTER)
#undef LETTER
};

static const struct option options[] = {
#define OPTION(name, word, letter, value)                                                          \
    {word, (value) ? required_argument : no_argument, NULL, OPTION_BASE + FH_ARG_##name},
    FH_ARG_TABLE(OPTION)
#undef OPTION
        {NULL, 0, NULL, 0}};

/* '+' or '-' first, then each letter, with ':' behind those that take a value. */
static void letters_describe(char out[2 * FH_ARGS + 3], bool stop)
{
    char *to = out;

    if (stop)
        *to++ = '+';
    for (int i = 0; i < FH_ARGS; i++) {
        if (letters[i] == 0)
            continue;
        *to++ = letters[i];
        if (options[i].has_arg == required_argument)
            *to++ = ':';
    }
    *to = '\0';
}

static int arg_of_choice(int choice)
{
    if (choice >= OPTION_BASE)
        return choice - OPTION_BASE;
    for (int i = 0; i < FH_ARGS; i++) {
        if (letters[i] != 0 && letters[i] == choice)
            return i;
    }
    return -1;
}

bool fh_args_parse(struct fh_args *args, int argc, char **argv, uint64_t allowed, bool stop)
{
    char short_options[2 * FH_ARGS + 3];
    int choice;

    letters_describe(short_options, stop);
    optind = 0;
    while ((choice = getopt_long(argc, argv, short_options, options, NULL)) != -1) {
        int i = arg_of_choice(choice);

        if (i < 0)
            return false; /* getopt has said why */
        if ((allowed & UINT64_C(1) << i) == 0) {
            fprintf(stderr, "farheap: %s does not take --%s; see: farheap %s -h\n", argv[0],
                    words[i], argv[0]);
            return false;
        }
        args->value[i] = optarg != NULL ? optarg : "";
    }
    args->count = argc - optind;
    args->operands = argv + optind;
    return true;
}

/* --- values */

static bool number_read(const char *text, uint64_t *out)
{
    char *end;
    unsigned long long value;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    value = strtoull(text, &end, 0);
    if (errno != 0 || *end != '\0')
        return false;
    *out = value;
    return true;
}

/* Plain digits are exact to 64 bits; with a unit the number may have a fraction. */
static bool size_read(const char *text, uint64_t *out)
{
    return number_read(text, out) || fh_units_size(text, out) == 0;
}

static bool complain(const char *what, const char *text, const char *wanted)
{
    fprintf(stderr, "farheap: %s: \"%s\" is not %s\n", what, text, wanted);
    return false;
}

bool fh_operand_number(const char *text, const char *what, uint64_t *out)
{
    return number_read(text, out) || complain(what, text, "a number");
}

bool fh_operand_size(const char *text, const char *what, uint64_t *out)
{
    return size_read(text, out) || complain(what, text, "a size like 4096, 64KiB or 1GiB");
}

bool fh_args_number(const struct fh_args *args, enum fh_arg arg, uint64_t *out)
{
    return args->value[arg] == NULL || fh_operand_number(args->value[arg], options[arg].name, out);
}

bool fh_args_size(const struct fh_args *args, enum fh_arg arg, uint64_t *out)
{
    return args->value[arg] == NULL || fh_operand_size(args->value[arg], options[arg].name, out);
}

bool fh_args_time_ms(const struct fh_args *args, enum fh_arg arg, uint64_t *out)
{
    const char *text = args->value[arg];
    uint64_t ns;

    if (text == NULL)
        return true;
    if (fh_units_time(text, &ns) != 0 || ns < 1000000)
        return complain(options[arg].name, text, "a time of at least 1ms like 500ms, 2s or 1h");
    *out = ns / 1000000;
    return true;
}
