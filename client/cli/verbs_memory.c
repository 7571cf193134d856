/*
 * Theory.  The verbs that work by handle.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/sink.h"
#include "client/cli/transfer.h"
#include "client/cli/verb.h"

enum { WRITE_MAX = 64 << 20 }; /* what goes whole or not at all */

static int tell_handle(struct fh_tool *tool, fh_handle handle, uint64_t bytes)
{
    char text[FH_HANDLE_TEXT];
    json_t *out;

    if (tool->json) {
        out = json_object();
        fh_json_handle(out, handle);
        fh_json_u64(out, "bytes", bytes);
        return fh_tool_json(tool, out);
    }
    fh_handle_format(handle, text);
    puts(text);
    return FH_EXIT_OK;
}

static int tell_number(struct fh_tool *tool, const char *key, uint64_t value)
{
    json_t *out;

    if (tool->json) {
        out = json_object();
        fh_json_u64(out, key, value);
        return fh_tool_json(tool, out);
    }
    printf("%" PRIu64 "\n", value);
    return FH_EXIT_OK;
}

/* For verbs that have nothing to say: an empty document with --json. */
static int tell_done(struct fh_tool *tool)
{
    return tool->json ? fh_tool_json(tool, json_object()) : FH_EXIT_OK;
}

/* The public form, for messages. */
static const char *shown(const char *handle, char out[FH_HANDLE_TEXT])
{
    (void)snprintf(out, FH_HANDLE_TEXT, "%.*s", (int)strcspn(handle, "."), handle);
    return out;
}

/* Reads the first operand as a handle and connects. */
static int begin(struct fh_tool *tool, const struct fh_args *args, fh_handle *handle)
{
    if (!fh_tool_handle(tool, args->operands[0], handle))
        return FH_EXIT_USAGE;
    return fh_tool_connect(tool);
}

static int end(struct fh_tool *tool, const struct fh_args *args, fh_status status)
{
    char text[FH_HANDLE_TEXT];

    return status == FH_OK ? tell_done(tool)
                           : fh_tool_fail(tool, status, shown(args->operands[0], text));
}

static int verb_alloc(struct fh_tool *tool, const struct fh_args *args)
{
    fh_how how = {.size = sizeof(how), .cache = args->value[FH_ARG_CACHE]};
    fh_handle handle;
    fh_status status;
    uint64_t bytes;
    int code;

    if (!fh_operand_size(args->operands[0], "alloc", &bytes) ||
        !fh_args_time_ms(args, FH_ARG_TTL, &how.ttl_ms))
        return FH_EXIT_USAGE;
    how.flags = args->value[FH_ARG_DURABLE] != NULL ? FH_DURABLE : 0;
    if (how.cache != NULL)
        how.cache_size = strlen(args->value[FH_ARG_CACHE]);
    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    if ((status = fh_alloc(tool->client, bytes, &how, &handle)) != FH_OK)
        return fh_tool_fail(tool, status, args->operands[0]);
    return tell_handle(tool, handle, bytes);
}

static int verb_free(struct fh_tool *tool, const struct fh_args *args)
{
    char text[FH_HANDLE_TEXT];
    fh_handle handle;
    fh_status status;
    int code;

    for (int i = 0; i < args->count; i++) {
        if (!fh_tool_handle(tool, args->operands[i], &handle))
            return FH_EXIT_USAGE;
    }
    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    for (int i = 0; i < args->count; i++) {
        (void)fh_handle_parse(args->operands[i], &handle);
        if ((status = fh_free(tool->client, handle)) != FH_OK)
            return fh_tool_fail(tool, status, shown(args->operands[i], text));
    }
    return tell_done(tool);
}

static int verb_resize(struct fh_tool *tool, const struct fh_args *args)
{
    fh_handle handle;
    fh_status status;
    uint64_t bytes;
    int code;

    if (!fh_operand_size(args->operands[1], "resize", &bytes))
        return FH_EXIT_USAGE;
    if ((code = begin(tool, args, &handle)) != FH_EXIT_OK)
        return code;
    if ((status = fh_resize(tool->client, handle, bytes, NULL, &handle)) != FH_OK)
        return end(tool, args, status);
    return tell_handle(tool, handle, bytes);
}

/* --at and --len; without --len the rest of the object. */
static int range_of(struct fh_tool *tool, const struct fh_args *args, fh_handle handle,
                    uint64_t *at, uint64_t *len)
{
    fh_status status;
    fh_info info;

    *at = 0;
    if (!fh_args_size(args, FH_ARG_AT, at) || !fh_args_size(args, FH_ARG_LEN, len))
        return FH_EXIT_USAGE;
    if (args->value[FH_ARG_LEN] != NULL)
        return FH_EXIT_OK;
    if ((status = fh_stat(tool->client, handle, &info)) != FH_OK)
        return end(tool, args, status);
    *len = info.bytes > *at ? info.bytes - *at : 0;
    return FH_EXIT_OK;
}

/* --- read */

static void hex_line(const unsigned char *bytes, size_t size, uint64_t address)
{
    printf("%08" PRIx64 " ", address);
    for (size_t i = 0; i < 16; i++) {
        if (i < size)
            printf(" %02x", bytes[i]);
        else
            printf("   ");
    }
    printf("  |");
    for (size_t i = 0; i < size; i++)
        putchar(bytes[i] >= 0x20 && bytes[i] < 0x7f ? bytes[i] : '.');
    printf("|\n");
}

static int read_hex(struct fh_tool *tool, const struct fh_args *args, fh_handle handle, uint64_t at,
                    uint64_t len)
{
    static unsigned char buf[64 << 10];

    while (len > 0) {
        size_t size = len < sizeof(buf) ? (size_t)len : sizeof(buf);
        fh_status status = fh_read(tool->client, handle, at, buf, size);

        if (status != FH_OK)
            return end(tool, args, status);
        for (size_t i = 0; i < size; i += 16)
            hex_line(buf + i, size - i < 16 ? size - i : 16, at + i);
        at += size;
        len -= size;
    }
    return FH_EXIT_OK;
}

static int read_tell(struct fh_tool *tool, const char *file, uint64_t len)
{
    json_t *out;

    if (!tool->json)
        return FH_EXIT_OK;
    out = json_object();
    (void)json_object_set_new(out, "file", json_string(file));
    fh_json_u64(out, "bytes", len);
    return fh_tool_json(tool, out);
}

static int read_into(struct fh_tool *tool, const struct fh_args *args, fh_handle handle,
                     uint64_t at, uint64_t len)
{
    const char *file = args->value[FH_ARG_OUTPUT];
    char text[FH_HANDLE_TEXT];
    struct fh_sink sink;
    int code = FH_EXIT_OK, rc = fh_sink_init(&sink, file);

    if (rc == 0) {
        code = fh_download(tool, shown(args->operands[0], text), handle, at, len, &sink);
        if (code == FH_EXIT_OK)
            rc = fh_sink_commit(&sink);
    }
    fh_sink_fini(&sink);
    if (rc != 0)
        return fh_tool_fail_errno(tool, file, -rc);
    return code == FH_EXIT_OK ? read_tell(tool, file, len) : code;
}

static int verb_read(struct fh_tool *tool, const struct fh_args *args)
{
    const char *file = args->value[FH_ARG_OUTPUT];
    bool hex = args->value[FH_ARG_HEX] != NULL;
    uint64_t at, len;
    fh_handle handle;
    int code;

    if (hex && file != NULL)
        return fh_tool_usage(tool, "--hex and -o exclude each other");
    if (tool->json && (file == NULL || strcmp(file, "-") == 0))
        return fh_tool_usage(tool, "--json needs -o FILE: stdout cannot hold both");
    if ((code = begin(tool, args, &handle)) != FH_EXIT_OK ||
        (code = range_of(tool, args, handle, &at, &len)) != FH_EXIT_OK)
        return code;
    return hex ? read_hex(tool, args, handle, at, len) : read_into(tool, args, handle, at, len);
}

/* --- write */

/* Reads up to WRITE_MAX bytes into memory that grows with them. */
static int body_read(int fd, const struct fh_interrupt *interrupt, char **body, size_t *cap,
                     size_t *size)
{
    *size = 0;
    for (;;) {
        size_t got;
        int rc;

        if (*size == *cap && *cap < WRITE_MAX) {
            size_t more = *cap == 0 ? 1 << 20 : *cap * 2;
            char *larger = realloc(*body, more);

            if (larger == NULL)
                return -ENOMEM;
            *body = larger;
            *cap = more;
        }
        rc = fh_source_read(fd, interrupt, *body + *size, *cap - *size, &got);
        *size += got;
        if (rc != 0 || *size < *cap || *cap == WRITE_MAX)
            return rc;
    }
}

static int write_all(struct fh_tool *tool, const struct fh_args *args, fh_handle handle, int fd,
                     uint64_t at)
{
    fh_how how = {.size = sizeof(how)};
    struct fh_interrupt interrupt;
    fh_status status = FH_OK;
    size_t cap = 0, size;
    char *body = NULL;
    int rc;

    if (!fh_args_number(args, FH_ARG_IF_VERSION, &how.if_version))
        return FH_EXIT_USAGE;
    fh_interrupt_init(&interrupt);
    do {
        rc = body_read(fd, &interrupt, &body, &cap, &size);
        if (rc == 0 && size > 0)
            status = fh_write(tool->client, handle, at, body, size, &how);
        at += size;
        how.if_version = 0;
    } while (rc == 0 && status == FH_OK && size == WRITE_MAX);
    fh_interrupt_fini(&interrupt);
    free(body);
    if (rc == -EINTR)
        return FH_EXIT_INTERRUPTED;
    return rc != 0 ? fh_tool_fail_errno(tool, "source", -rc) : end(tool, args, status);
}

static int verb_write(struct fh_tool *tool, const struct fh_args *args)
{
    const char *file = args->count > 1 ? args->operands[1] : "-";
    fh_handle handle;
    uint64_t at = 0;
    int fd, code;

    if (!fh_args_size(args, FH_ARG_AT, &at))
        return FH_EXIT_USAGE;
    if ((fd = fh_source_open(file)) < 0)
        return fh_tool_fail_errno(tool, file, errno);
    if ((code = begin(tool, args, &handle)) == FH_EXIT_OK)
        code = write_all(tool, args, handle, fd, at);
    (void)close(fd);
    return code;
}

static int verb_zero(struct fh_tool *tool, const struct fh_args *args)
{
    uint64_t at, len;
    fh_handle handle;
    int code;

    if ((code = begin(tool, args, &handle)) != FH_EXIT_OK ||
        (code = range_of(tool, args, handle, &at, &len)) != FH_EXIT_OK)
        return code;
    return end(tool, args, fh_zero(tool->client, handle, at, len));
}

/* --- atomics */

static int verb_cas(struct fh_tool *tool, const struct fh_args *args)
{
    uint64_t at = 0, expected, desired, seen;
    fh_handle handle;
    fh_status status;
    int code;

    if (!fh_args_size(args, FH_ARG_AT, &at) ||
        !fh_operand_number(args->operands[1], "OLD", &expected) ||
        !fh_operand_number(args->operands[2], "NEW", &desired))
        return FH_EXIT_USAGE;
    if ((code = begin(tool, args, &handle)) != FH_EXIT_OK)
        return code;
    status = fh_cas64(tool->client, handle, at, expected, desired, &seen);
    return status == FH_OK ? tell_number(tool, "before", seen) : end(tool, args, status);
}

/* A delta may be negative: it is added modulo 2^64. */
static bool delta_read(const char *text, uint64_t *delta)
{
    bool negative = text[0] == '-';

    if (!fh_operand_number(text + (negative ? 1 : 0), "DELTA", delta))
        return false;
    if (negative)
        *delta = 0 - *delta;
    return true;
}

static int verb_add(struct fh_tool *tool, const struct fh_args *args)
{
    uint64_t at = 0, delta, before;
    fh_handle handle;
    fh_status status;
    int code;

    if (!fh_args_size(args, FH_ARG_AT, &at) || !delta_read(args->operands[1], &delta))
        return FH_EXIT_USAGE;
    if ((code = begin(tool, args, &handle)) != FH_EXIT_OK)
        return code;
    status = fh_add64(tool->client, handle, at, delta, &before);
    return status == FH_OK ? tell_number(tool, "before", before) : end(tool, args, status);
}

/* --- stat, of a handle or a name */

static int stat_json(struct fh_tool *tool, const char *subject, bool by_name, const fh_info *info)
{
    json_t *out = json_object(), *pages = json_object();

    if (by_name)
        fh_json_name(out, subject, strlen(subject));
    fh_json_handle(out, info->handle);
    fh_json_u64(out, "bytes", info->bytes);
    fh_json_u64(out, "version", info->version);
    fh_json_u64(out, "ttl_ms", info->ttl_ms);
    (void)json_object_set_new(out, "sealed", json_boolean(info->sealed));
    (void)json_object_set_new(out, "small", json_boolean(info->small));
    (void)json_object_set_new(out, "file", json_boolean(info->file));
    (void)json_object_set_new(out, "writable", json_boolean(info->writable));
    (void)json_object_set_new(out, "durable", json_boolean(info->durable));
    fh_json_u64(pages, "frame", info->pages_frame);
    fh_json_u64(pages, "swap", info->pages_swap);
    fh_json_u64(pages, "nothing", info->pages_nothing);
    fh_json_u64(pages, "failed", info->pages_failed);
    fh_json_u64(pages, "file", info->pages_file);
    fh_json_u64(pages, "dirty", info->pages_dirty);
    fh_json_u64(pages, "pinned", info->pages_pinned);
    (void)json_object_set_new(out, "pages", pages);
    return fh_tool_json(tool, out);
}

static int stat_print(struct fh_tool *tool, const char *subject, const fh_info *info)
{
    if (tool->plain) {
        printf("%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%d\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
               "\t%" PRIu64 "\n",
               subject, info->bytes, info->version, info->ttl_ms, info->sealed, info->pages_frame,
               info->pages_swap, info->pages_nothing, info->pages_failed);
        return FH_EXIT_OK;
    }
    printf("object   %s\n", subject);
    printf("size     %s (%" PRIu64 " bytes)\n", fh_show_size(info->bytes).text, info->bytes);
    printf("version  %" PRIu64 "   %s%s%s\n", info->version, info->sealed ? "sealed" : "open",
           info->small ? "   shares its pages with small neighbours" : "",
           info->durable ? "   durable" : "");
    printf("lives    %s\n",
           info->ttl_ms > 0 ? fh_show_duration(info->ttl_ms).text : "until it is freed");
    printf("pages    %s in memory   %s in swap   %s never written   %s lost\n",
           fh_show_count(info->pages_frame).text, fh_show_count(info->pages_swap).text,
           fh_show_count(info->pages_nothing).text, fh_show_count(info->pages_failed).text);
    if (info->pages_pinned > 0)
        printf("pinned   %s pages stay in memory\n", fh_show_count(info->pages_pinned).text);
    if (info->file)
        printf("file     %s pages in the file only   %s not in it yet   %s\n",
               fh_show_count(info->pages_file).text, fh_show_count(info->pages_dirty).text,
               info->writable ? "open for writing" : "open for reading");
    return FH_EXIT_OK;
}

static int verb_stat(struct fh_tool *tool, const struct fh_args *args)
{
    const char *subject = args->operands[0];
    char text[FH_HANDLE_TEXT];
    fh_handle handle;
    bool by_name = fh_handle_parse(subject, &handle) != FH_OK;
    fh_status status;
    fh_info info;
    int code;

    if ((code = fh_tool_connect(tool)) != FH_EXIT_OK)
        return code;
    status = by_name ? fh_stat_name(tool->client, subject, strlen(subject), &info)
                     : fh_stat(tool->client, handle, &info);
    if (!by_name)
        subject = shown(subject, text);
    if (status != FH_OK)
        return fh_tool_fail(tool, status, subject);
    return tool->json ? stat_json(tool, subject, by_name, &info) : stat_print(tool, subject, &info);
}

const struct fh_verb fh_verbs_memory[] = {
    {"alloc", "SIZE [--ttl D] [--cache NAME|--durable]", "allocate an object, print its handle",
     FH_ARG_BIT(TTL) | FH_ARG_BIT(CACHE) | FH_ARG_BIT(DURABLE), 1, 1, verb_alloc},
    {"read", "H [--at N] [--len N] [-o FILE|-] [--hex]", "read bytes of an object",
     FH_ARG_BIT(AT) | FH_ARG_BIT(LEN) | FH_ARG_BIT(OUTPUT) | FH_ARG_BIT(HEX), 1, 1, verb_read},
    {"write", "H [FILE|-] [--at N] [--if-version V]", "write bytes into an object",
     FH_ARG_BIT(AT) | FH_ARG_BIT(IF_VERSION), 1, 2, verb_write},
    {"zero", "H [--at N] [--len N]", "make bytes zero and free their memory",
     FH_ARG_BIT(AT) | FH_ARG_BIT(LEN), 1, 1, verb_zero},
    {"resize", "H SIZE", "make an object longer or shorter, print its handle", 0, 2, 2,
     verb_resize},
    {"free", "H...", "free objects", 0, 1, -1, verb_free},
    {"cas", "H OLD NEW [--at N]", "swap 8 bytes if they are OLD, print what was there",
     FH_ARG_BIT(AT), 3, 3, verb_cas},
    {"add", "H DELTA [--at N]", "add to 8 bytes, print what was there (-- before a negative DELTA)",
     FH_ARG_BIT(AT), 2, 2, verb_add},
    {"stat", "H|NAME", "size, version and pages of an object", 0, 1, 1, verb_stat},
    {.name = NULL},
};
