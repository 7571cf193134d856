/*
 * Theory.  What is about the server and not about objects. Hello decides which zone a connection
 * talks to: when it is another one, nothing is answered here; the connection moves with the request
 * unread, and the other zone answers it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops_ask.h"

enum { AGENT_MAX = 64, PROTOCOL_VERSION = 1, ANY_ZONE_ON_WIRE = -1 };

static int hello_check(const struct fh_ask *ask)
{
    const Farheap__V1__Hello *m = ask->head->hello;

    if (ask->session->known || m->agent.len > AGENT_MAX)
        return -EINVAL;
    if (m->version != PROTOCOL_VERSION)
        return -EOPNOTSUPP;
    if (m->zone != (uint32_t)ANY_ZONE_ON_WIRE && m->zone >= ask->ops->zones)
        return -EINVAL;
    return 0;
}

int fh_ops_hello(struct fh_ask *ask)
{
    static const char server[] = "farheapd " FARHEAP_VERSION;
    const Farheap__V1__Hello *m = ask->head->hello;
    struct fh_reply_to to = fh_reply_to_ask(ask);
    fh_response_head response = FARHEAP__V1__RESPONSE__INIT;
    Farheap__V1__HelloResult result = FARHEAP__V1__HELLO_RESULT__INIT;
    int rc = hello_check(ask);

    if (rc != 0)
        return rc;
    if (m->zone != (uint32_t)ANY_ZONE_ON_WIRE && m->zone != ask->ops->zone_index) {
        ask->session->wants_zone = m->zone;
        return 0;
    }
    ask->session->known = true;
    ask->session->client_id = m->client_id;
    result.version = PROTOCOL_VERSION;
    result.zone = ask->ops->zone_index;
    result.zones = ask->ops->zones;
    result.incarnation = ask->ops->incarnation;
    result.body_max = (uint32_t)ask->ops->config->max_body;
    result.server.data = (uint8_t *)(uintptr_t)server;
    result.server.len = sizeof server - 1;
    response.result_case = FARHEAP__V1__RESPONSE__RESULT_HELLO;
    response.hello = &result;
    fh_reply_head(&to, &response, 0, 0);
    return 0;
}

int fh_ops_ping(struct fh_ask *ask)
{
    struct fh_reply_to to = fh_reply_to_ask(ask);
    fh_response_head response = FARHEAP__V1__RESPONSE__INIT;

    fh_reply_bytes(&to, &response, ask->body, ask->body_size);
    return 0;
}

int fh_ops_topology(struct fh_ask *ask)
{
    struct fh_reply_to to = fh_reply_to_ask(ask);
    fh_response_head response = FARHEAP__V1__RESPONSE__INIT;
    Farheap__V1__TopologyResult result = FARHEAP__V1__TOPOLOGY_RESULT__INIT;

    result.zones = ask->ops->zones;
    result.epoch = ask->ops->incarnation; /* zones change only with a restart */
    response.result_case = FARHEAP__V1__RESPONSE__RESULT_TOPOLOGY;
    response.topology = &result;
    fh_reply_head(&to, &response, 0, 0);
    return 0;
}

static bool view_is_known(const char *view)
{
    static const char *const names[] = {"info", "zones", "slabs", "buddy", "pages", "config"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], view) == 0)
            return true;
    return false;
}

int fh_ops_info(struct fh_ask *ask)
{
    const Farheap__V1__Info *m = ask->head->info;
    char view[FH_VIEW_NAME_MAX] = "info";

    if (m->view.len >= sizeof view)
        return -EINVAL;
    if (m->view.len > 0) {
        memcpy(view, m->view.data, m->view.len);
        view[m->view.len] = 0;
    }
    if (!view_is_known(view))
        return -EINVAL;
    struct fh_op *op = fh_op_create(ask, FH_OP_KIND_VIEW);
    if (!op)
        return -ENOMEM;
    op->view = ask->ops->ask_view(ask->ops->ctx, op, view);
    if (!op->view) {
        fh_op_destroy(op);
        return -ENOMEM;
    }
    op->parked = true;
    return -EINPROGRESS;
}

void fh_ops_view_done(struct fh_op *op, const char *body, size_t size, int rc)
{
    struct fh_reply_to to = fh_reply_to_op(op);
    fh_response_head response = FARHEAP__V1__RESPONSE__INIT;

    op->view = NULL;
    op->parked = false;
    op->session->wake(op->session);
    if (body && size <= op->ops->config->max_body)
        fh_reply_bytes(&to, &response, body, (uint32_t)size);
    else
        fh_reply_plain(&to, body ? -EFBIG : rc);
    fh_op_destroy(op);
}
