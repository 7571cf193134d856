/*
 * Theory.  A client that could not be opened still exists, so that its message can be read; it is
 * marked unusable and only fh_errmsg and fh_close know it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/request.h"
#include "client/url.h"

/* Copies what the caller's struct has, so that a caller built against an older header works. */
static bool options_copy(const fh_options *options, fh_options *out)
{
    size_t size;

    memset(out, 0, sizeof(*out));
    if (options == NULL)
        return true;
    size = options->size < sizeof(*out) ? options->size : sizeof(*out);
    memcpy(out, options, size);
    return size >= sizeof(options->size);
}

static fh_status client_open(struct fh_client *c, const char *text, const fh_options *options)
{
    struct fh_zones_events events = c->zones.events;
    struct fh_url url;
    const char *why;
    fh_status status;

    if (text == NULL || fh_url_parse(text, &url, &why) != 0)
        return fh_client_fail(c, FH_INVALID, "%.200s: %s", text != NULL ? text : "no URL",
                              text != NULL ? why : "give one");
    c->request_timeout_ms = options->request_timeout_ms != 0 ? options->request_timeout_ms
                            : url.timeout_ms != 0            ? url.timeout_ms
                                                             : 5000;
    status = fh_zones_init(&c->zones, &url, options, events);
    if (status == FH_OK)
        status = fh_zones_start(&c->zones);
    if (status != FH_OK)
        return fh_client_fail(c, status, "%.200s: %s", text,
                              c->zones.why[0] != '\0' ? c->zones.why : fh_hint(status));
    c->usable = true;
    return FH_OK;
}

fh_status fh_open(const char *url, const fh_options *options, fh_client **out)
{
    struct fh_client *c = malloc(sizeof(*c));
    fh_options copy;

    *out = c;
    if (c == NULL)
        return FH_NO_MEMORY;
    fh_client_init(c);
    if (!options_copy(options, &copy))
        return fh_client_fail(c, FH_INVALID, "fh_options.size is not set");
    return client_open(c, url, &copy);
}

void fh_close(fh_client *c)
{
    if (c == NULL)
        return;
    fh_client_fini(c);
    free(c);
}

const char *fh_errmsg(const fh_client *c)
{
    return c != NULL ? c->message : fh_hint(FH_NO_MEMORY);
}

uint32_t fh_zones(const fh_client *c)
{
    return c->zones.count;
}

const char *fh_server_version(const fh_client *c)
{
    return c->zones.server;
}

fh_status fh_ping(fh_client *c, uint32_t zone)
{
    const struct fh_call call = {.kind = FH_CALL_PING};
    struct fh_answer answer;
    fh_status status = fh_zones_renew(&c->zones);

    if (status != FH_OK)
        return fh_client_fail(c, status, "no memory for the zones");
    if (zone >= c->zones.count)
        return fh_client_fail(c, FH_INVALID, "the node has zones 0 to %u", c->zones.count - 1);
    return fh_request_run(c, &call, zone, &answer);
}

fh_status fh_view(fh_client *c, const char *view, char **json, size_t *size)
{
    const struct fh_call call = {
        .kind = FH_CALL_INFO, .name = view, .name_size = strlen(view), .into_size = 0};
    struct fh_answer answer;
    uint32_t zone = 0;
    fh_status status = fh_zones_renew(&c->zones);

    *json = NULL;
    *size = 0;
    if (status != FH_OK)
        return fh_client_fail(c, status, "no memory for the zones");
    if ((status = fh_request_run(c, &call, zone, &answer)) != FH_OK) {
        free(answer.text);
        return status;
    }
    *json = answer.text;
    *size = answer.body_size;
    return FH_OK;
}
