/*
 * output: what every verb shares: the client, how to speak (table, JSON, plain), errors and exit
 * codes. Data goes to stdout, words to stderr.
 *
 * Ownership  fh_tool_json takes the document over.
 * Errors     the functions that report return the exit code for main.
 */
#ifndef FH_CLI_OUTPUT_H
#define FH_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/farheap.h"

enum { FH_EXIT_OK = 0, FH_EXIT_FAILED = 1, FH_EXIT_USAGE = 2, FH_EXIT_INTERRUPTED = 130 };

struct fh_tool {
    const char *verb;
    const char *url;
    fh_options options;
    fh_client *client; /* NULL until fh_tool_connect */
    bool json, plain, quiet;
    bool verbose; /* put and get */
};

int fh_exit_of_status(fh_status);

/* Opens the client; 0 or the exit code. */
int fh_tool_connect(struct fh_tool *);

/* `farheap: VERB SUBJECT: STATUS: message; hint`, or its JSON; `subject` may be NULL. */
int fh_tool_fail(const struct fh_tool *, fh_status, const char *subject);
/* The same for what went wrong on this side of the wire. */
int fh_tool_fail_local(const struct fh_tool *, fh_status, const char *subject, const char *message);
int fh_tool_fail_errno(const struct fh_tool *, const char *subject, int error);
/* A wrong command line. */
int fh_tool_usage(const struct fh_tool *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Words for people on stderr, unless -q. */
void fh_tool_say(const struct fh_tool *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints {"schema":"farheap-VERB/1", ...} and gives it back to the heap; always FH_EXIT_OK. */
int fh_tool_json(const struct fh_tool *, json_t *document);
/* "name": text, or "name_hex" when it is not UTF-8. */
void fh_json_name(json_t *object, const void *name, size_t size);
void fh_json_handle(json_t *object, fh_handle handle);
void fh_json_u64(json_t *object, const char *key, uint64_t value);

/* A name for the eye: control bytes as '?' when `clean`. */
void fh_name_print(const void *name, size_t size, bool clean);

/* Reads a handle operand; complains and returns false. */
bool fh_tool_handle(const struct fh_tool *, const char *text, fh_handle *out);

/* 4096 -> "4 KiB"; several results may be used in one printf. */
struct fh_shown {
    char text[32];
};
struct fh_shown fh_show_size(uint64_t bytes);
struct fh_shown fh_show_count(uint64_t count);
struct fh_shown fh_show_duration(uint64_t ms);

#endif
