/*
 * args: the options and operands of one command line. One table has all options; a verb names those
 * it takes.
 *
 * Ownership  strings point into argv and the environment.
 * Errors     parse prints one line to stderr and returns false: exit code 2.
 */
#ifndef FH_CLI_ARGS_H
#define FH_CLI_ARGS_H

#include <stdbool.h>
#include <stdint.h>

/* X(NAME, long option, letter or 0, takes a value) */
#define FH_ARG_TABLE(X)                                                                            \
    X(URL, "url", 'u', true)                                                                       \
    X(CACERT, "cacert", 0, true)                                                                   \
    X(CERT, "cert", 0, true)                                                                       \
    X(KEY, "key", 0, true)                                                                         \
    X(SNI, "sni", 0, true)                                                                         \
    X(INSECURE, "insecure", 0, false)                                                              \
    X(TIMEOUT, "timeout", 0, true)                                                                 \
    X(JSON, "json", 0, false)                                                                      \
    X(PLAIN, "plain", 0, false)                                                                    \
    X(QUIET, "quiet", 'q', false)                                                                  \
    X(HELP, "help", 'h', false)                                                                    \
    X(VERSION, "version", 0, false)                                                                \
    X(OUTPUT, "output", 'o', true)                                                                 \
    X(VERBOSE, "verbose", 'v', false)                                                              \
    X(RANGE, "range", 0, true)                                                                     \
    X(LIMIT, "limit", 0, true)                                                                     \
    X(LONG, "long", 'l', false)                                                                    \
    X(PREFIX, "prefix", 0, true)                                                                   \
    X(DRY_RUN, "dry-run", 'n', false)                                                              \
    X(FORCE, "force", 'f', false)                                                                  \
    X(TTL, "ttl", 0, true)                                                                         \
    X(DURABLE, "durable", 0, false)                                                                \
    X(IF_ABSENT, "if-absent", 0, false)                                                            \
    X(IF_VERSION, "if-version", 0, true)                                                           \
    X(AT, "at", 0, true)                                                                           \
    X(LEN, "len", 0, true)                                                                         \
    X(HEX, "hex", 0, false)                                                                        \
    X(COUNT, "count", 'c', true)                                                                   \
    X(ZONE, "zone", 0, true)                                                                       \
    X(MAP, "map", 0, false)                                                                        \
    X(CACHE, "cache", 0, true)                                                                     \
    X(ALIGN, "align", 0, true)                                                                     \
    X(INITIAL, "initial", 0, true)                                                                 \
    X(ADMIN, "admin", 0, true)                                                                     \
    X(RW, "rw", 0, false)                                                                          \
    X(CREATE, "create", 0, false)                                                                  \
    X(SIZE, "size", 0, true)

enum fh_arg {
#define FH_ARG_ENUM(name, word, letter, value) FH_ARG_##name,
    FH_ARG_TABLE(FH_ARG_ENUM)
#undef FH_ARG_ENUM
        FH_ARGS
};

#define FH_ARG_BIT(name) (UINT64_C(1) << FH_ARG_##name)

/* The options every verb takes. */
#define FH_ARGS_GLOBAL (FH_ARG_BIT(OUTPUT) - 1)

struct fh_args {
    const char *value[FH_ARGS]; /* NULL: not given; an option without a value has "" */
    int count;                  /* operands */
    char **operands;
};

/*
 * Takes options from argv[1] on into *args, refusing those that are not in `allowed`. With `stop`
 * the first operand ends it. Options already in *args stay unless given again.
 */
bool fh_args_parse(struct fh_args *args, int argc, char **argv, uint64_t allowed, bool stop);

/* The value of an option as a number, size or time; *out stays when it was not given. */
bool fh_args_number(const struct fh_args *, enum fh_arg, uint64_t *out);
bool fh_args_size(const struct fh_args *, enum fh_arg, uint64_t *out);
bool fh_args_time_ms(const struct fh_args *, enum fh_arg, uint64_t *out);

/* An operand of the command line; `what` is its name in the complaint. */
bool fh_operand_number(const char *text, const char *what, uint64_t *out);
bool fh_operand_size(const char *text, const char *what, uint64_t *out);

#endif
