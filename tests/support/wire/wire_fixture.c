/*
 * Theory.  Being unharmed is shown by use: the bytes stored before the abuse are read back over the
 * connection that was there, and over a new one; both store more; then the server is told to end.
 */
#include "wire_fixture.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

enum { KEPT_SIZE = 300000, END_MS = 120000 };

static const char kept_name[] = "kept";

static void kept_fill(uint8_t *bytes)
{
    for (size_t i = 0; i < KEPT_SIZE; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 4096);
}

int wire_fixture_start(struct wire_fixture *f, const char *program, const char *const *flags)
{
    static uint8_t bytes[KEPT_SIZE];
    int rc;

    f->good.fd = -1;
    if ((rc = server_process_start(&f->server, program, flags)) != 0)
        return rc;
    if ((rc = wire_fixture_join(f, &f->good)) != 0)
        return rc < 0 ? rc : -EPROTO;
    kept_fill(bytes);
    rc = wire_client_put(&f->good, kept_name, bytes, sizeof bytes);
    return rc <= 0 ? rc : -EPROTO;
}

void wire_fixture_fini(struct wire_fixture *f)
{
    if (f->good.fd >= 0)
        wire_client_close(&f->good);
    server_process_fini(&f->server);
}

int wire_fixture_join(struct wire_fixture *f, struct wire_client *c)
{
    int rc = wire_client_connect(c, f->server.ports[0]);

    return rc != 0 ? rc : wire_client_hello(c, WIRE_ZONE_ANY);
}

static const char *harm_to(struct wire_client *c)
{
    static uint8_t bytes[KEPT_SIZE];

    kept_fill(bytes);
    if (wire_client_ping(c, "x", 1) != 0)
        return "no answer to a Ping";
    if (wire_client_get(c, kept_name, 0, 0) != 0)
        return "what was stored before cannot be read";
    if (c->body_size != KEPT_SIZE || memcmp(c->body, bytes, KEPT_SIZE) != 0)
        return "what was stored before has other bytes";
    if (wire_client_put(c, "later", bytes, 100) != 0)
        return "nothing can be stored";
    if (wire_client_get(c, "later", 0, 0) != 0 || c->body_size != 100)
        return "what was stored now cannot be read";
    return NULL;
}

const char *wire_fixture_harm(struct wire_fixture *f)
{
    struct wire_client fresh;
    const char *harm;

    if (!server_process_is_alive(&f->server))
        return "the server has ended";
    if ((harm = harm_to(&f->good)) != NULL)
        return harm;
    harm = wire_fixture_join(f, &fresh) == 0 ? harm_to(&fresh) : "a new connection is not served";
    wire_client_close(&fresh);
    if (harm)
        return harm;
    wire_client_close(&f->good);
    server_process_signal(&f->server, SIGTERM);
    if (server_process_wait(&f->server, END_MS) != 0)
        return "told to end, the server did not exit with 0";
    return NULL;
}
