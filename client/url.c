/*
 * Theory.  A URL is cut from left to right: scheme, authority up to '/' or '?', query after '?'.
 * What is not understood is refused with a sentence, never skipped: a mistyped option that is
 * ignored would be found out in the worst moment.
 *
 * Invariants
 *   [I1] every string in the result ends with a NUL inside its array
 *   [I2] a result that is not local has 1 .. FH_URL_HOSTS_MAX hosts, each with a name and a port
 */
#include "client/url.h"

#include <errno.h>
#include <string.h>

#include "client/farheap.h"

static bool text_starts(const char *text, const char *prefix, const char **rest)
{
    size_t size = strlen(prefix);

    if (strncmp(text, prefix, size) != 0)
        return false;
    *rest = text + size;
    return true;
}

/* Reads digits of [text, end) up to `max`; false when there are none, others, or it is more. */
static bool digits_read(const char *text, const char *end, uint32_t max, uint32_t *out)
{
    uint64_t value = 0;

    if (text == end)
        return false;
    for (; text < end; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > max)
            return false;
    }
    *out = (uint32_t)value;
    return true;
}

static int port_parse(const char *text, const char *end, struct fh_url_host *host, const char **why)
{
    uint32_t port;

    if (!digits_read(text, end, 65535, &port) || port == 0 || end - text > 5) {
        *why = "the port must be 1 to 65535";
        return -EINVAL;
    }
    memcpy(host->port, text, (size_t)(end - text));
    host->port[end - text] = '\0';
    return 0;
}

/* Where the name of HOST, HOST:PORT or [ADDRESS]:PORT begins and ends; `after` is what follows. */
static bool host_split(const char **text, const char *end, const char **name_end,
                       const char **after)
{
    if (**text == '[') {
        (*text)++;
        *name_end = memchr(*text, ']', (size_t)(end - *text));
        if (*name_end == NULL)
            return false;
        *after = *name_end + 1;
    } else {
        *name_end = memchr(*text, ':', (size_t)(end - *text));
        if (*name_end == NULL)
            *name_end = end;
        *after = *name_end;
    }
    return *after == end || **after == ':';
}

static int host_parse(const char *text, const char *end, struct fh_url_host *host, const char **why)
{
    const char *name_end, *after;

    if (text == end || !host_split(&text, end, &name_end, &after) || name_end == text ||
        (size_t)(name_end - text) >= sizeof(host->name)) {
        *why = "a host is NAME, NAME:PORT or [ADDRESS]:PORT";
        return -EINVAL;
    }
    memcpy(host->name, text, (size_t)(name_end - text));
    host->name[name_end - text] = '\0';
    if (after != end)
        return port_parse(after + 1, end, host, why);
    memcpy(host->port, "7420", sizeof("7420"));
    _Static_assert(FH_DEFAULT_PORT == 7420, "the text above is the default port");
    return 0;
}

static int hosts_parse(const char *text, const char *end, struct fh_url *out, const char **why)
{
    for (;;) {
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *host_end = comma != NULL ? comma : end;
        int rc;

        if (out->host_count == FH_URL_HOSTS_MAX) {
            *why = "at most 8 hosts";
            return -EINVAL;
        }
        if ((rc = host_parse(text, host_end, &out->hosts[out->host_count], why)) != 0)
            return rc;
        out->host_count++;
        if (comma == NULL)
            return 0;
        text = comma + 1;
    }
}

static int path_parse(const char *text, const char *end, struct fh_url *out, const char **why)
{
    size_t size = (size_t)(end - text);

    if (size < 2 || *text != '/' || size >= sizeof(out->path)) {
        *why = "the path of a unix socket is absolute and at most 107 bytes";
        return -EINVAL;
    }
    memcpy(out->path, text, size);
    out->path[size] = '\0';
    return 0;
}

/* The milliseconds of a unit, 0 when it is none. */
static uint32_t unit_ms(const char *unit)
{
    if (strcmp(unit, "ms") == 0)
        return 1;
    if (strcmp(unit, "s") == 0)
        return 1000;
    if (strcmp(unit, "m") == 0)
        return 60 * 1000;
    return 0;
}

/* `timeout=` and a time of 1 ms to 24 hours. */
static int query_parse(const char *text, struct fh_url *out, const char **why)
{
    const uint32_t day_ms = 24 * 60 * 60 * 1000;
    const char *value, *unit;
    uint32_t number, scale;

    *why = "the only option is ?timeout=TIME, a time of up to 24 hours with ms, s or m";
    if (!text_starts(text, "timeout=", &value))
        return -EINVAL;
    unit = value + strspn(value, "0123456789");
    scale = unit_ms(unit);
    if (scale == 0 || !digits_read(value, unit, day_ms / scale, &number) || number == 0)
        return -EINVAL;
    out->timeout_ms = number * scale;
    return 0;
}

static bool scheme_parse(const char *text, struct fh_url *out, const char **rest)
{
    if (text_starts(text, "farheap://", rest))
        return true;
    if (text_starts(text, "farheaps://", rest))
        return out->secure = true;
    if (text_starts(text, "farheap+unix://", rest))
        return out->local = true;
    return false;
}

int fh_url_parse(const char *text, struct fh_url *out, const char **why)
{
    const char *end, *rest;
    int rc;

    memset(out, 0, sizeof(*out));
    if (!scheme_parse(text, out, &rest)) {
        *why = "a URL starts with farheap://, farheaps:// or farheap+unix://";
        return -EINVAL;
    }
    end = rest + strcspn(rest, out->local ? "?" : "/?");
    rc = out->local ? path_parse(rest, end, out, why) : hosts_parse(rest, end, out, why);
    if (rc != 0)
        return rc;
    if (*end == '/')
        end++;
    if (*end == '\0')
        return 0;
    if (*end != '?') {
        *why = "nothing but ?timeout=TIME may follow the host";
        return -EINVAL;
    }
    return query_parse(end + 1, out, why);
}
