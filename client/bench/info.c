/*
 * Theory.  One short connection per question, so that the clients under test are not disturbed.
 */
#include "client/bench/info.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t info_number(const json_t *group, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(group, key));

    return value > 0 ? (uint64_t)value : 0;
}

static void info_text(const json_t *doc, const char *key, char *out, size_t room)
{
    const char *text = json_string_value(json_object_get(doc, key));

    snprintf(out, room, "%s", text != NULL ? text : "?");
}

static void info_take(const json_t *doc, struct fh_server_info *out)
{
    const json_t *faults = json_object_get(doc, "faults");
    const json_t *reclaimed = json_object_get(doc, "reclaimed");
    const json_t *memory = json_object_get(doc, "memory");

    info_text(doc, "version", out->version, sizeof(out->version));
    info_text(doc, "io", out->io, sizeof(out->io));
    out->zones = info_number(doc, "zones");
    out->rss_bytes = info_number(doc, "rss_bytes");
    out->cpu_ns = info_number(doc, "cpu_ns");
    out->faults_first_write = info_number(faults, "first_write");
    out->faults_swap = info_number(faults, "swap");
    out->faults_copy_on_write = info_number(faults, "copy_on_write");
    out->reclaimed = info_number(reclaimed, "clean") + info_number(reclaimed, "dirty") +
                     info_number(reclaimed, "zero");
    out->frames_used = info_number(memory, "frames_used");
    out->frames_total = info_number(memory, "frames_total");
    out->swap_used_bytes = info_number(json_object_get(doc, "swap"), "used_bytes");
}

bool fh_server_info_read(const char *url, const fh_options *options, struct fh_server_info *out)
{
    fh_client *client;
    json_t *doc = NULL;
    char *text;
    size_t size;

    memset(out, 0, sizeof(*out));
    if (fh_open(url, options, &client) == FH_OK && fh_view(client, "info", &text, &size) == FH_OK) {
        doc = json_loadb(text, size, 0, NULL);
        free(text);
    }
    fh_close(client);
    if (doc == NULL)
        return false;
    info_take(doc, out);
    json_decref(doc);
    return true;
}
