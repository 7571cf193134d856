/* libfarheap over TLS: the right certificate, the wrong ones, and a client that must show its own.
 */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/farheap.h"
#include "tests/support/wire/certificates.h"
#include "tests/support/wire/server_process.h"

static struct server_process server;
static char folder[] = "/tmp/farheap-tls-XXXXXX";

static void shell(const char *format, ...)
{
    char command[1024];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    cr_assert_eq(system(command), 0, "%s", command);
}

static char *file_in(const char *name)
{
    static char paths[8][64];
    static int turn;
    char *path = paths[turn++ % 8];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void make_certificates(void)
{
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(certificates_make(folder), 0, "see %s/log", folder);
}

static void serve(const char *more)
{
    char cert[128], tls_key[128], ca[128];
    const char *flags[] = {"--listen=127.0.0.1:0", cert, tls_key, ca, more, NULL};

    (void)snprintf(cert, sizeof(cert), "--tls-cert=%s", file_in("server.pem"));
    (void)snprintf(tls_key, sizeof(tls_key), "--tls-key=%s", file_in("server.key"));
    (void)snprintf(ca, sizeof(ca), "--tls-ca=%s", file_in("ca.pem"));
    cr_assert_eq(server_process_start(&server, FARHEAPD, flags), 0, "see %s", server.log_path);
}

static fh_status join(const char *scheme, const char *host, const fh_options *options,
                      fh_client **out)
{
    char url[128];

    (void)snprintf(url, sizeof(url), "%s://%s:%u/?timeout=100s", scheme, host, server.ports[0]);
    return fh_open(url, options, out);
}

static void teardown(void)
{
    server_process_fini(&server);
    shell("rm -rf %s", folder);
}

TestSuite(sdk_tls, .init = make_certificates, .fini = teardown, .timeout = 300);

Test(sdk_tls, bytes_of_all_sizes_travel)
{
    fh_options options = {.size = sizeof(options), .ca_file = file_in("ca.pem")};
    enum { SIZE = 3 << 20 };
    char *body = malloc(SIZE), *back = malloc(SIZE);
    fh_client *client;

    serve(NULL);
    cr_assert_eq(join("farheaps", "localhost", &options, &client), FH_OK, "%s", fh_errmsg(client));
    for (int i = 0; i < SIZE; i++)
        body[i] = (char)(i * 31 + (i >> 12));
    for (size_t size = 1; size <= SIZE; size = size * 7 + 1) {
        size_t got;

        cr_assert_eq(fh_put(client, "x", 1, body, size, NULL, NULL), FH_OK, "%zu: %s", size,
                     fh_errmsg(client));
        cr_assert_eq(fh_get(client, "x", 1, 0, back, SIZE, &got, NULL), FH_OK);
        cr_assert_eq(got, size);
        cr_assert_eq(memcmp(body, back, size), 0);
    }
    fh_close(client);
    free(body);
    free(back);
}

Test(sdk_tls, many_small_requests_in_flight_travel)
{
    fh_options options = {.size = sizeof(options), .ca_file = file_in("ca.pem")};
    enum { COUNT = 2000 };
    static fh_req *reqs[COUNT];
    fh_client *client;

    serve(NULL);
    cr_assert_eq(join("farheaps", "127.0.0.1", &options, &client), FH_OK, "%s", fh_errmsg(client));
    for (int i = 0; i < COUNT; i++) {
        char name[16];
        int size = snprintf(name, sizeof(name), "n%d", i);

        cr_assert_eq(fh_submit_put(client, name, (size_t)size, "12345678", 8, NULL, &reqs[i]),
                     FH_OK);
    }
    for (int i = 0; i < COUNT; i++) {
        fh_result result;

        cr_assert_eq(fh_wait(client, reqs[i], -1), FH_OK);
        fh_req_result(reqs[i], &result);
        cr_assert_eq(result.status, FH_OK, "%s", fh_errmsg(client));
        fh_req_free(reqs[i]);
    }
    fh_close(client);
}

Test(sdk_tls, a_certificate_that_does_not_fit_is_refused)
{
    fh_options wrong_ca = {.size = sizeof(wrong_ca), .ca_file = file_in("other.pem")};
    fh_options wrong_name = {
        .size = sizeof(wrong_name), .ca_file = file_in("ca.pem"), .server_name = "far.example"};
    fh_options right_name = {
        .size = sizeof(right_name), .ca_file = file_in("ca.pem"), .server_name = "localhost"};
    fh_options any = {.size = sizeof(any), .insecure = 1};
    fh_options no_file = {.size = sizeof(no_file), .ca_file = file_in("nothing.pem")};
    fh_client *client;

    serve(NULL);
    cr_assert_eq(join("farheaps", "localhost", &wrong_ca, &client), FH_CONNECTION);
    cr_assert_not_null(strstr(fh_errmsg(client), "certificate"), "%s", fh_errmsg(client));
    fh_close(client);
    cr_assert_eq(join("farheaps", "localhost", NULL, &client), FH_CONNECTION);
    fh_close(client);
    cr_assert_eq(join("farheaps", "localhost", &wrong_name, &client), FH_CONNECTION);
    cr_assert_not_null(strstr(fh_errmsg(client), "mismatch"), "%s", fh_errmsg(client));
    fh_close(client);
    cr_assert_eq(join("farheaps", "localhost", &no_file, &client), FH_INVALID);
    fh_close(client);
    cr_assert_eq(join("farheaps", "127.0.0.1", &right_name, &client), FH_OK, "%s",
                 fh_errmsg(client));
    fh_close(client);
    cr_assert_eq(join("farheaps", "localhost", &any, &client), FH_OK, "%s", fh_errmsg(client));
    fh_close(client);
}

Test(sdk_tls, plain_and_tls_do_not_mix)
{
    fh_options options = {.size = sizeof(options), .connect_timeout_ms = 2000};
    fh_client *client;

    serve(NULL);
    cr_assert_neq(join("farheap", "localhost", &options, &client), FH_OK);
    fh_close(client);
}

Test(sdk_tls, a_server_that_asks_for_a_certificate_gets_one)
{
    fh_options without = {.size = sizeof(without), .ca_file = file_in("ca.pem")};
    fh_options with = {.size = sizeof(with),
                       .ca_file = file_in("ca.pem"),
                       .cert_file = file_in("client.pem"),
                       .key_file = file_in("client.key")};
    fh_client *client;

    serve("--client-cert=require");
    cr_assert_neq(join("farheaps", "localhost", &without, &client), FH_OK);
    fh_close(client);
    cr_assert_eq(join("farheaps", "localhost", &with, &client), FH_OK, "%s", fh_errmsg(client));
    cr_assert_eq(fh_ping(client, 0), FH_OK);
    fh_close(client);
}
