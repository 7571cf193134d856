/*
 * Theory.  Heads and bodies are bounded, and the Host header must name this machine, so that
 * a web page of somebody else's cannot read from here through a browser. What changes something is a POST with
 * a header that such a page cannot send without asking first. What zones know is
 * gathered from them; meanwhile the request waits, and the loop goes on.
 *
 * Invariants
 *   [I1] each request is answered exactly once
 *   [I2] waiting is the number of requests whose gather is not home
 */
#include "admin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>

#include "budget.h"
#include "clock.h"
#include "console_files.h"

enum { HEADS_MAX = 8192, BODY_MAX = 65536, TIMEOUT_S = 10, VALUE_MAX = 64 };

static void answer(struct evhttp_request *request, int code, const char *type, const void *body,
                   size_t size)
{
    struct evkeyvalq *heads = evhttp_request_get_output_headers(request);
    struct evbuffer *buffer = evhttp_request_get_output_buffer(request);

    evhttp_add_header(heads, "Content-Type", type);
    evhttp_add_header(heads, "Cache-Control", "no-store");
    evhttp_add_header(heads, "X-Content-Type-Options", "nosniff");
    evhttp_add_header(heads, "Content-Security-Policy", "default-src 'self'");
    evbuffer_add(buffer, body, size);
    evhttp_send_reply(request, code, NULL, NULL);
}

static void answer_text(struct evhttp_request *request, int code, const char *type,
                        const char *text)
{
    answer(request, code, type, text, strlen(text));
}

static void answer_error(struct evhttp_request *request, int code, const char *name,
                         const char *message)
{
    char body[256];

    snprintf(body, sizeof body, "{\"error\":{\"code\":\"%s\",\"message\":\"%s\"}}\n", name,
             message);
    answer_text(request, code, "application/json", body);
}

/* --- documents of the zones --- */

struct admin_wait {
    struct fh_admin *admin;
    struct evhttp_request *request;
};

static void *metrics_text(const struct fh_node *node, const struct fh_gather *g, size_t *size)
{
    struct fh_figures *zones = calloc(g->count, sizeof *zones);
    struct fh_node_figures figures;
    char *text = NULL;
    uint32_t count = 0;

    FILE *out = zones ? open_memstream(&text, size) : NULL;
    if (out) {
        for (uint32_t i = 0; i < g->count; i++) {
            const struct fh_view_answer *a = g->parts[i].answer;
            if (a)
                zones[count++] = a->figures;
        }
        fh_node_figures_of(node, &figures);
        fh_metrics_print(out, &figures, zones, count);
        fclose(out);
    }
    free(zones);
    return text;
}

static void admin_there(struct fh_gather *g)
{
    struct admin_wait *wait = g->ctx;
    bool is_metrics = strcmp(g->view, "metrics") == 0;
    size_t size = 0;
    char *text = is_metrics ? metrics_text(wait->admin->node, g, &size)
                            : fh_node_render(wait->admin->node, g);

    wait->admin->waiting--;
    if (text)
        answer(wait->request, HTTP_OK,
               is_metrics ? "text/plain; version=0.0.4; charset=utf-8" : "application/json", text,
               is_metrics ? size : strlen(text));
    else
        answer_error(wait->request, 503, "NO_SPACE", "out of memory; try again");
    free(text);
    free(wait);
}

static void admin_gather(struct fh_admin *admin, struct evhttp_request *request, const char *view)
{
    struct admin_wait *wait = NULL;

    if (admin->waiting < FH_ADMIN_WAITING_MAX)
        wait = malloc(sizeof *wait);
    if (wait) {
        *wait = (struct admin_wait){admin, request};
        admin->waiting++;
        if (fh_node_ask(admin->node, admin_there, view, &admin->node->main, wait))
            return;
        admin->waiting--;
        free(wait);
    }
    answer_error(request, 503, "BUSY", "too many requests at once; try again");
}

/* --- routes --- */

static void get_livez(struct fh_admin *admin, struct evhttp_request *request)
{
    (void)admin;
    answer_text(request, HTTP_OK, "text/plain", "ok\n");
}

static void get_readyz(struct fh_admin *admin, struct evhttp_request *request)
{
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    bool ready = admin->ready && !admin->draining;
    char body[256];

    if (query && strcmp(query, "verbose") == 0)
        snprintf(body, sizeof body, "region %s\nswap %s\nlisteners %s\nnot draining %s\n%s\n",
                 admin->ready ? "ok" : "starting", admin->ready ? "ok" : "starting",
                 admin->ready && !admin->draining ? "ok" : "closed",
                 admin->draining ? "failed" : "ok", ready ? "ready" : "not ready");
    else
        snprintf(body, sizeof body, "%s", ready ? "ok\n" : "not ready\n");
    answer_text(request, ready ? HTTP_OK : 503, "text/plain", body);
}

static void get_version(struct fh_admin *admin, struct evhttp_request *request)
{
    (void)admin;
    answer_text(request, HTTP_OK, "application/json",
                "{\"schema\":\"farheap-version/1\",\"version\":\"" FARHEAP_VERSION "\"}\n");
}

static void get_root(struct fh_admin *admin, struct evhttp_request *request)
{
    (void)admin;
    evhttp_add_header(evhttp_request_get_output_headers(request), "Location", "/ui/");
    answer_text(request, 302, "text/plain", "see /ui/\n");
}

/* --- changes --- */

/* The body as text; false: it is empty or too long for a value. */
static bool body_value(struct evhttp_request *request, char value[VALUE_MAX])
{
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    size_t size = evbuffer_get_length(body);

    if (size == 0 || size >= VALUE_MAX || evbuffer_remove(body, value, size) != (int)size)
        return false;
    value[size] = 0;
    value[strcspn(value, "\r\n")] = 0;
    return strlen(value) > 0;
}

static void post_memory(struct fh_admin *admin, struct evhttp_request *request)
{
    struct fh_node *node = admin->node;
    struct fh_budget *budget = node->budget;
    char value[VALUE_MAX], text[256];
    uint64_t bytes;

    if (!body_value(request, value) || !fh_config_scan_memory(node->config, value, &bytes)) {
        answer_error(request, 400, "INVALID",
                     "the body is to be a size such as 512MiB or a share such as 80%");
        return;
    }
    if (fh_budget_set(budget, bytes) != 0) {
        snprintf(text, sizeof text,
                 "memory may be from %llu to %llu bytes here; more needs a larger memory-max at "
                 "the start",
                 (unsigned long long)(budget->how.least_zone * node->zones),
                 (unsigned long long)budget->how.most);
        answer_error(request, 400, "INVALID", text);
        return;
    }
    snprintf(text, sizeof text,
             "{\"schema\":\"farheap-memory/1\",\"configured_bytes\":%llu,\"budget_bytes\":%llu,"
             "\"max_bytes\":%llu}\n",
             (unsigned long long)budget->configured, (unsigned long long)budget->now,
             (unsigned long long)budget->how.most);
    answer_text(request, HTTP_OK, "application/json", text);
}

/* Whether a POST was answered, well or not. */
static bool post_is_answered(struct fh_admin *admin, struct evhttp_request *request,
                             const char *path)
{
    struct evkeyvalq *heads = evhttp_request_get_input_headers(request);

    if (!path || strcmp(path, "/api/v1/memory") != 0)
        return false;
    const char *wish = evhttp_find_header(heads, "X-Farheap-Request");
    if (!wish || strcmp(wish, "1") != 0)
        answer_error(request, 403, "PERMISSION",
                     "what changes something needs X-Farheap-Request: 1");
    else
        post_memory(admin, request);
    return true;
}

struct admin_route {
    const char *path;
    void (*get)(struct fh_admin *, struct evhttp_request *); /* NULL: `view` is gathered */
    const char *view;
};

static const struct admin_route routes[] = {
    {"/livez", get_livez, NULL},        {"/readyz", get_readyz, NULL},
    {"/version", get_version, NULL},    {"/", get_root, NULL},
    {"/metrics", NULL, "metrics"},      {"/api/v1/info", NULL, "info"},
    {"/api/v1/zones", NULL, "zones"},   {"/api/v1/slabs", NULL, "slabs"},
    {"/api/v1/buddy", NULL, "buddy"},   {"/api/v1/pages", NULL, "pages"},
    {"/api/v1/config", NULL, "config"},
};

static bool get_file(struct evhttp_request *request, const char *path)
{
    for (size_t i = 0; i < fh_console_file_count; i++) {
        const struct fh_console_file *file = &fh_console_files[i];
        if (strcmp(path, file->path) == 0) {
            answer(request, HTTP_OK, file->type, file->bytes, file->size);
            return true;
        }
    }
    return false;
}

/* Whether the Host header names this machine. */
static bool host_is_good(const struct fh_admin *admin, struct evhttp_request *request)
{
    const char *host = evhttp_find_header(evhttp_request_get_input_headers(request), "Host");
    char own[FH_ADDRESS_TEXT_SIZE];
    size_t size;

    if (!host)
        return true; /* HTTP/1.0 without one: no browser */
    fh_address_print(&admin->address, own);
    size = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    return strcmp(host, own) == 0 || (size == 9 && strncmp(host, "localhost", 9) == 0) ||
           (size == 9 && strncmp(host, "127.0.0.1", 9) == 0) ||
           (size == 5 && strncmp(host, "[::1]", 5) == 0);
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct fh_admin *admin = arg;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));

    if (!host_is_good(admin, request)) {
        answer_error(request, 403, "PERMISSION", "the Host header names another machine");
        return;
    }
    if (evhttp_request_get_command(request) == EVHTTP_REQ_POST &&
        post_is_answered(admin, request, path))
        return;
    if (evhttp_request_get_command(request) != EVHTTP_REQ_GET) {
        answer_error(request, 405, "UNSUPPORTED",
                     "only GET is served here, and POST of /api/v1/memory");
        return;
    }
    for (size_t i = 0; path && i < sizeof routes / sizeof routes[0]; i++) {
        if (strcmp(path, routes[i].path) != 0)
            continue;
        if (routes[i].get)
            routes[i].get(admin, request);
        else
            admin_gather(admin, request, routes[i].view);
        return;
    }
    if (!path || !get_file(request, path))
        answer_error(request, 404, "NOT_FOUND", "no such path; try /ui/, /metrics or /api/v1/info");
}

int fh_admin_open(struct fh_admin *admin, struct fh_node *node, struct event_base *base,
                  const char *listen)
{
    struct fh_address wanted;
    int fd, rc;

    *admin = (struct fh_admin){.node = node};
    if ((rc = fh_address_parse(listen, &wanted)) != 0)
        return rc;
    if (!fh_address_is_loopback(&wanted))
        return -EACCES;
    if ((rc = fh_address_listen(&wanted, &fd, &admin->address)) != 0)
        return rc;
    admin->http = evhttp_new(base);
    if (!admin->http || evhttp_accept_socket(admin->http, fd) != 0) {
        evutil_closesocket(fd);
        return -ENOMEM;
    }
    evhttp_set_max_headers_size(admin->http, HEADS_MAX);
    evhttp_set_max_body_size(admin->http, BODY_MAX);
    evhttp_set_timeout(admin->http, TIMEOUT_S);
    evhttp_set_allowed_methods(admin->http, UINT16_MAX); /* answered 405 by on_request */
    evhttp_set_gencb(admin->http, on_request, admin);
    return 0;
}

void fh_admin_close(struct fh_admin *admin)
{
    FH_ASSERT(admin->waiting == 0);
    if (admin->http)
        evhttp_free(admin->http);
    admin->http = NULL;
}
