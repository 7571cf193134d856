#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/server.h"

static struct fh_config config;
static struct fh_server server;
static struct fh_log server_log;
static char dir[] = "/var/tmp/farheap-server-XXXXXX";
static char swap_flag[64];
static pthread_t thread;
static enum fh_exit ended;

static const char *no_env(const char *name)
{
    (void)name;
    return NULL;
}

/* Opens a server with these flags besides small sizes and ports of the kernel's choice. */
static enum fh_exit open_server(char *first, char *second)
{
    const struct fh_config_world world = {.env = no_env, .machine_bytes = 1 << 30};
    char *argv[] = {"farheapd",
                    swap_flag,
                    "--listen=127.0.0.1:0,plain",
                    "--admin-listen=127.0.0.1:0",
                    "--memory=4MiB",
                    "--swap-size=8MiB",
                    "--zones=2",
                    "--io=threads",
                    first,
                    second,
                    NULL};
    int argc = second ? 10 : first ? 9 : 8;

    fh_config_init(&config);
    cr_assert(fh_config_load(&config, argc, argv, &world), "%s", config.problem);
    fh_log_init(&server_log, 2, FH_LOG_TEXT, FH_LOG_ERROR);
    return fh_server_open(&server, &config, &server_log);
}

static void setup(void)
{
    cr_assert(mkdtemp(dir));
    snprintf(swap_flag, sizeof swap_flag, "--swap=%s", dir);
    signal(SIGPIPE, SIG_IGN);
}

static void teardown(void)
{
    fh_config_fini(&config);
    fh_log_fini(&server_log);
    rmdir(dir);
}

TestSuite(server, .init = setup, .fini = teardown, .timeout = 30);

static void *serve(void *arg)
{
    (void)arg;
    ended = fh_server_run(&server);
    fh_server_close(&server);
    return NULL;
}

static void start(void)
{
    cr_assert_eq(open_server(NULL, NULL), FH_EXIT_CLEAN);
    cr_assert_eq(pthread_create(&thread, NULL, serve, NULL), 0);
}

static void stop(void)
{
    kill(getpid(), SIGTERM);
    pthread_join(thread, NULL);
    cr_assert_eq(ended, FH_EXIT_CLEAN);
}

static int dial(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* Sends a request and returns the whole answer. */
static const char *ask(const char *method, const char *path, const char *host)
{
    static char answer[1 << 18];
    char request[512];
    size_t size = 0;
    ssize_t got;
    int fd = dial(fh_address_port(&server.admin.address));

    int length =
        snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
                 method, path, host);
    cr_assert_eq(write(fd, request, (size_t)length), (ssize_t)length);
    while ((got = read(fd, answer + size, sizeof answer - 1 - size)) > 0)
        size += (size_t)got;
    close(fd);
    answer[size] = 0;
    return answer;
}

static void assert_answer(const char *method, const char *path, const char *host,
                          const char *status, const char *word)
{
    const char *answer = ask(method, path, host);

    cr_assert_eq(strncmp(answer + 9, status, 3), 0, "%s %s: %.60s", method, path, answer);
    cr_assert(strstr(answer, word), "%s: no '%s' in %.300s", path, word, answer);
}

Test(server, the_admin_port_answers_what_it_should)
{
    start();
    assert_answer("GET", "/livez", "localhost", "200", "ok");
    assert_answer("GET", "/readyz?verbose", "127.0.0.1:7421", "200", "swap ok");
    assert_answer("GET", "/version", "localhost", "200", FARHEAP_VERSION);
    assert_answer("GET", "/metrics", "localhost", "200",
                  "farheap_frames{zone=\"1\",state=\"free\"}");
    assert_answer("GET", "/api/v1/info", "localhost", "200", "farheap-info/1");
    assert_answer("GET", "/api/v1/zones", "localhost", "200", "\"zone\":1");
    assert_answer("GET", "/api/v1/config", "localhost", "200", "\"swap-size\"");
    assert_answer("GET", "/ui/", "localhost", "200", "console.js");
    assert_answer("GET", "/ui/console.js", "localhost", "200", "refresh");
    assert_answer("GET", "/ui/map.js", "localhost", "200", "canvas");
    assert_answer("GET", "/ui/icon.svg", "localhost", "200", "image/svg+xml");
    assert_answer("GET", "/ui/", "localhost", "200", "default-src 'self'");
    stop();
}

Test(server, the_admin_port_refuses_what_it_should)
{
    static char long_path[10000];

    start();
    assert_answer("GET", "/nowhere", "localhost", "404", "NOT_FOUND");
    assert_answer("GET", "/livez", "evil.example", "403", "PERMISSION");
    assert_answer("GET", "/livez", "localhost.evil.example", "403", "PERMISSION");
    assert_answer("POST", "/livez", "localhost", "405", "UNSUPPORTED");
    assert_answer("DELETE", "/api/v1/info", "localhost", "405", "UNSUPPORTED");
    int fd = dial(fh_address_port(&server.admin.address));
    memset(long_path, 'x', sizeof long_path);
    cr_assert_gt(write(fd, "GET /livez HTTP/1.1\r\nX-Long: ", 29), 0);
    cr_assert_gt(write(fd, long_path, sizeof long_path), 0);
    cr_assert_gt(read(fd, long_path, sizeof long_path), 8, "told that it is too long");
    cr_assert_eq(memcmp(long_path + 9, "400", 3), 0, "%.40s", long_path);
    close(fd);
    stop();
}

Test(server, a_signal_drains_and_an_idle_connection_does_not_hinder_it)
{
    char byte;

    start();
    int fd = dial(fh_address_port(&server.listeners.items[0].address));
    stop();
    cr_assert_eq(read(fd, &byte, 1), 0, "closed by the server");
    close(fd);
}

static void assert_refused(char *first, enum fh_exit code)
{
    cr_assert_eq(open_server(first, NULL), code, "%s", first);
    fh_config_fini(&config);
    fh_log_fini(&server_log);
    config.listen.count = 0;
}

Test(server, each_way_to_fail_at_start_has_its_exit_code)
{
    char taken[64];
    struct fh_address any, bound;
    int fd;

    cr_assert_eq(fh_address_parse("127.0.0.1:0", &any), 0);
    cr_assert_eq(fh_address_listen(&any, &fd, &bound), 0);
    snprintf(taken, sizeof taken, "--admin-listen=127.0.0.1:%u", fh_address_port(&bound));
    assert_refused(taken, FH_EXIT_BIND);
    close(fd);
    assert_refused("--admin-listen=0.0.0.0:0", FH_EXIT_USAGE);
    assert_refused("--zones=64", FH_EXIT_USAGE); /* 64 KiB each are too few */
    assert_refused("--swap=/proc/nowhere", FH_EXIT_SWAP);
    assert_refused("--swap-size=4TiB", FH_EXIT_SWAP);
}
