/*
 * Theory.  A failed call is told in one line: verb, subject, status, what it means and what to do.
 * The server's sentence has both halves, joined by "; "; they are told apart for JSON.
 */
#include "client/cli/output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/bench/units.h"

int fh_exit_of_status(fh_status status)
{
    switch (status) {
    case FH_OK:
        return FH_EXIT_OK;
    case FH_NOT_FOUND:
    case FH_STALE:
        return 3;
    case FH_BUSY:
    case FH_TIMEOUT:
    case FH_DRAINING:
    case FH_CONNECTION:
    case FH_WRONG_ZONE:
        return 4;
    case FH_UNAUTHENTICATED:
    case FH_PERMISSION:
        return 5;
    case FH_NO_SPACE:
    case FH_QUOTA:
        return 6;
    case FH_DATA_LOST:
        return 7;
    case FH_EXISTS:
    case FH_CONFLICT:
        return 8;
    default:
        return FH_EXIT_FAILED;
    }
}

/* --- errors */

struct complaint {
    char message[320];
    char hint[160]; /* "" = none */
};

/* What follows "STATUS: " in the client's message, cut at "; " into message and hint. */
static void complaint_split(struct complaint *c, const char *sentence)
{
    const char *cut = strstr(sentence, "; ");

    if (cut == NULL) {
        (void)snprintf(c->message, sizeof(c->message), "%s", sentence);
        return;
    }
    (void)snprintf(c->message, sizeof(c->message), "%.*s", (int)(cut - sentence), sentence);
    (void)snprintf(c->hint, sizeof(c->hint), "%s", cut + 2);
}

static const char *sentence_of(const struct fh_tool *tool, fh_status status)
{
    const char *message = fh_errmsg(tool->client);
    const char *word = fh_strstatus(status);
    const char *found = strstr(message, word);

    if (found == NULL || strncmp(found + strlen(word), ": ", 2) != 0)
        return fh_hint(status);
    return found + strlen(word) + 2;
}

/* Where the message says nothing about what to do, the status does. */
static void complaint_complete(struct complaint *c, fh_status status)
{
    const char *cut = strstr(fh_hint(status), "; ");

    if (c->hint[0] == '\0' && cut != NULL)
        (void)snprintf(c->hint, sizeof(c->hint), "%s", cut + 2);
}

static int complaint_tell(const struct fh_tool *tool, fh_status status, const char *subject,
                          const struct complaint *c)
{
    const char *code = fh_strstatus(status);

    if (tool->json) {
        json_t *error = json_pack("{s:{s:s,s:s#,s:s}}", "error", "code", code, "message",
                                  c->message, (int)strlen(c->message), "hint", c->hint);

        if (error == NULL) /* the message is not UTF-8 */
            error = json_pack("{s:{s:s,s:s}}", "error", "code", code, "message", fh_hint(status));
        (void)json_dumpf(error, stderr, JSON_COMPACT);
        json_decref(error);
        fputc('\n', stderr);
    } else {
        fprintf(stderr, "farheap: %s%s%s: %s: %s%s%s\n", tool->verb, subject != NULL ? " " : "",
                subject != NULL ? subject : "", code, c->message, c->hint[0] != '\0' ? "; " : "",
                c->hint);
    }
    return fh_exit_of_status(status);
}

int fh_tool_fail(const struct fh_tool *tool, fh_status status, const char *subject)
{
    struct complaint c = {.hint = ""};
    const char *slash = subject != NULL ? strrchr(subject, '/') : NULL;

    complaint_split(&c, sentence_of(tool, status));
    complaint_complete(&c, status);
    if (status == FH_NOT_FOUND && slash != NULL && strcmp(tool->verb, "cache") != 0)
        (void)snprintf(c.hint, sizeof(c.hint), "try: farheap ls %.*s", (int)(slash + 1 - subject),
                       subject);
    return complaint_tell(tool, status, subject, &c);
}

int fh_tool_fail_local(const struct fh_tool *tool, fh_status status, const char *subject,
                       const char *message)
{
    struct complaint c = {.hint = ""};

    complaint_split(&c, message);
    return complaint_tell(tool, status, subject, &c);
}

int fh_tool_fail_errno(const struct fh_tool *tool, const char *subject, int error)
{
    return fh_tool_fail_local(tool, FH_IO_ERROR, subject, strerror(error));
}

int fh_tool_usage(const struct fh_tool *tool, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "farheap: %s: ", tool->verb);
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "; see: farheap %s -h\n", tool->verb);
    return FH_EXIT_USAGE;
}

void fh_tool_say(const struct fh_tool *tool, const char *format, ...)
{
    va_list arguments;

    if (tool->quiet)
        return;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

int fh_tool_connect(struct fh_tool *tool)
{
    fh_status status = fh_open(tool->url, &tool->options, &tool->client);

    if (status == FH_OK)
        return FH_EXIT_OK;
    return fh_tool_fail(tool, status, NULL);
}

/* --- JSON */

int fh_tool_json(const struct fh_tool *tool, json_t *document)
{
    char schema[64];

    (void)snprintf(schema, sizeof(schema), "farheap-%s/1", tool->verb);
    if (json_object_get(document, "schema") == NULL)
        (void)json_object_set_new(document, "schema", json_string(schema));
    (void)json_dumpf(document, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(document);
    return FH_EXIT_OK;
}

void fh_json_name(json_t *object, const void *name, size_t size)
{
    json_t *text = json_stringn(name, size);
    char *hex;

    if (text != NULL) {
        (void)json_object_set_new(object, "name", text);
        return;
    }
    if ((hex = malloc(size * 2 + 1)) == NULL)
        return;
    for (size_t i = 0; i < size; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", ((const unsigned char *)name)[i]);
    (void)json_object_set_new(object, "name_hex", json_string(hex));
    free(hex);
}

void fh_json_handle(json_t *object, fh_handle handle)
{
    char text[FH_HANDLE_TEXT];

    fh_handle_format(handle, text);
    (void)json_object_set_new(object, "handle", json_string(text));
}

/* Integers are exact: what does not fit jansson's signed 64 bits is text. */
void fh_json_u64(json_t *object, const char *key, uint64_t value)
{
    char text[24];

    if (value <= INT64_MAX) {
        (void)json_object_set_new(object, key, json_integer((json_int_t)value));
        return;
    }
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    (void)json_object_set_new(object, key, json_string(text));
}

/* --- words */

void fh_name_print(const void *name, size_t size, bool clean)
{
    const unsigned char *bytes = name;

    for (size_t i = 0; i < size; i++)
        putchar(clean && (bytes[i] < 0x20 || bytes[i] == 0x7f) ? '?' : bytes[i]);
}

bool fh_tool_handle(const struct fh_tool *tool, const char *text, fh_handle *out)
{
    if (fh_handle_parse(text, out) == FH_OK)
        return true;
    (void)fh_tool_usage(tool, "\"%.32s\" is not a handle: fh:ZONE:OFFSET.KEY, from alloc or lookup",
                        text);
    return false;
}

struct fh_shown fh_show_size(uint64_t bytes)
{
    struct fh_shown shown;

    (void)fh_units_show_size(shown.text, bytes);
    return shown;
}

struct fh_shown fh_show_count(uint64_t count)
{
    struct fh_shown shown;

    (void)fh_units_show_count(shown.text, count);
    return shown;
}

/* The two largest units: "3h12m", "45s". */
struct fh_shown fh_show_duration(uint64_t ms)
{
    struct fh_shown shown;
    uint64_t s = ms / 1000;

    if (s >= 86400)
        (void)snprintf(shown.text, sizeof(shown.text), "%" PRIu64 "d%" PRIu64 "h", s / 86400,
                       s / 3600 % 24);
    else if (s >= 3600)
        (void)snprintf(shown.text, sizeof(shown.text), "%" PRIu64 "h%02" PRIu64 "m", s / 3600,
                       s / 60 % 60);
    else if (s >= 60)
        (void)snprintf(shown.text, sizeof(shown.text), "%" PRIu64 "m%02" PRIu64 "s", s / 60,
                       s % 60);
    else if (s > 0)
        (void)snprintf(shown.text, sizeof(shown.text), "%" PRIu64 "s", s);
    else
        (void)snprintf(shown.text, sizeof(shown.text), "%" PRIu64 "ms", ms);
    return shown;
}
