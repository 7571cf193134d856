/*
 * Theory.  Start goes up the floors: what the configuration asks for is checked against the
 * machine, then TLS, the budget and the zones with region and swap, the admin port, and last the listeners: no
 * client connects to what cannot serve. The end goes down in reverse.
 *
 * The first TERM or INT drains: listeners close, zones refuse new work, each tells when its last
 * connection has gone. When all have, or drain-timeout is over, the loop ends. A second signal ends
 * it at once.
 */
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "cgroup.h"
#include "clock.h"
#include "data_dir.h"
#include "machine.h"

enum { TMPFS_MAGIC_NUMBER = 0x01021994, PAGE_BYTES = 4096, BUFFERS_BYTES = 32 << 20 };

static enum fh_exit server_fail(struct fh_log *log, enum fh_exit code, const char *message,
                                const char *what)
{
    FH_LOG(log, 0, FH_LOG_ERROR, "main", message, FH_TEXT("what", what), FH_NUM("exit", code));
    return code;
}

/* --- what the configuration asks of the machine --- */

/* Makes the folder and those above it. */
static int make_folder(const char *path)
{
    char part[512];
    struct stat st;

    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return -ENAMETOOLONG;
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(part, 0755);
        *slash = '/';
    }
    if (mkdir(part, 0700) != 0 && errno != EEXIST)
        return -errno;
    if (stat(part, &st) != 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

/* Twice the memory, at most half of what is free there. */
static uint64_t swap_auto(const struct fh_config *config)
{
    struct statvfs fs;
    uint64_t wanted = config->memory * 2;

    if (statvfs(config->swap, &fs) != 0)
        return 0;
    uint64_t half = (uint64_t)fs.f_bavail * fs.f_frsize / 2;
    return wanted < half ? wanted : half;
}

static enum fh_exit server_size_swap(struct fh_server *s, const struct fh_config *config)
{
    struct statfs fs;
    uint64_t bytes = config->swap_size;

    if (bytes == 0)
        return FH_EXIT_CLEAN;
    int rc = make_folder(config->swap);
    if (rc != 0)
        return server_fail(s->node.log, FH_EXIT_SWAP, "swap folder unusable; see --swap",
                           strerror(-rc));
    if (statfs(config->swap, &fs) == 0 && fs.f_type == TMPFS_MAGIC_NUMBER)
        FH_LOG(s->node.log, 0, FH_LOG_WARN, "main",
               "swap lies on a tmpfs: it takes the memory it is to save",
               FH_TEXT("swap", config->swap));
    if (bytes == FH_SWAP_AUTO)
        bytes = swap_auto(config);
    s->node.zone_swap_bytes = bytes / s->node.zones / PAGE_BYTES * PAGE_BYTES;
    return FH_EXIT_CLEAN;
}

static struct fh_budget_how budget_how(const struct fh_node *node, const struct fh_config *config)
{
    uint64_t physical = fh_machine_physical_bytes();
    uint64_t most = config->memory_max != FH_SWAP_AUTO ? config->memory_max : physical;
    uint64_t books = fh_zone_thread_books_bytes(0, node->zone_swap_bytes);

    return (struct fh_budget_how){
        .configured = config->memory,
        .most = most > config->memory ? most : config->memory,
        .least_zone = fh_zone_thread_memory_min(),
        .beside = BUFFERS_BYTES + node->zones * books,
        .books_page =
            (uint32_t)(fh_zone_thread_books_bytes(PAGE_BYTES, node->zone_swap_bytes) - books),
        .pressure_permille = (uint32_t)config->memory_pressure,
        .least_permille = (uint32_t)config->memory_min,
        .root = "",
        .run_order = fh_zone_thread_order,
    };
}

static enum fh_exit server_size_memory(struct fh_server *s, const struct fh_config *config)
{
    struct fh_node *node = &s->node;
    struct fh_budget_how how = budget_how(node, config);
    uint64_t limit = fh_cgroup_limit_bytes("");
    char text[256];

    node->zone_memory_bytes = config->memory / node->zones / PAGE_BYTES * PAGE_BYTES;
    if (node->zone_memory_bytes < fh_zone_thread_memory_min()) {
        snprintf(text, sizeof text,
                 "a zone needs %llu bytes at least: raise memory, or fewer zones",
                 (unsigned long long)fh_zone_thread_memory_min());
        return server_fail(node->log, FH_EXIT_USAGE, "memory too small", text);
    }
    uint64_t within = fh_budget_within(&how, limit);
    if (config->memory > within) {
        snprintf(text, sizeof text,
                 "memory is %llu bytes; books, swap's included, and buffers need %llu besides; the "
                 "group allows %llu: set memory to %llu at most, or a smaller swap-size",
                 (unsigned long long)config->memory,
                 (unsigned long long)(how.beside + config->memory / PAGE_BYTES * how.books_page),
                 (unsigned long long)limit, (unsigned long long)within);
        return server_fail(node->log, FH_EXIT_REGION, "more than the control group allows", text);
    }
    if (fh_budget_init(&s->budget, node, &how) != 0)
        return server_fail(node->log, FH_EXIT_FAILED, "out of memory", "budget");
    s->has_budget = true;
    node->budget = &s->budget;
    return FH_EXIT_CLEAN;
}

/* Addresses for the most there may ever be; every zone may have a chunk that is not whole. */
static enum fh_exit server_map_region(struct fh_server *s)
{
    uint64_t chunks = (s->budget.how.most + FH_CHUNK_BYTES - 1) / FH_CHUNK_BYTES + s->node.zones;
    int rc = fh_zone_threads_map(&s->node, chunks * FH_CHUNK_BYTES);

    if (rc == 0)
        return FH_EXIT_CLEAN;
    return server_fail(s->node.log, FH_EXIT_REGION,
                       "cannot map the region; lower memory-max, or allow overcommit",
                       strerror(-rc));
}

/* --- TLS --- */

static bool listens_with_tls(const struct fh_config *config)
{
    for (unsigned i = 0; i < config->listen.count; i++)
        if (!strstr(config->listen.item[i], ",plain"))
            return true;
    return false;
}

static enum fh_exit server_open_tls(struct fh_server *s, const struct fh_config *config)
{
    char problem[FH_TLS_PROBLEM_SIZE];
    const struct fh_tls_opts opts = {
        .cert_file = config->tls_cert,
        .key_file = config->tls_key,
        .ca_file = config->client_cert == FH_CLIENT_CERT_OFF ? NULL : config->tls_ca,
        .require_client = config->client_cert == FH_CLIENT_CERT_REQUIRE,
    };

    if (!*config->tls_cert)
        return FH_EXIT_CLEAN;
    s->tls = fh_tls_context_create(&opts, problem);
    if (!s->tls)
        return server_fail(s->node.log, FH_EXIT_USAGE, "TLS files unusable", problem);
    s->node.tls = listens_with_tls(config);
    return FH_EXIT_CLEAN;
}

/* --- exports --- */

static enum fh_exit server_open_exports(struct fh_server *s, const struct fh_config *config)
{
    char problem[FH_EXPORT_PROBLEM_SIZE];
    int rc;

    if (config->export.count == 0)
        return FH_EXIT_CLEAN;
    if (!fh_exports_open(&s->exports, &config->export, problem))
        return server_fail(s->node.log, FH_EXIT_FILES, "export unusable", problem);
    if ((rc = fh_files_init(&s->files, &s->exports)) != 0)
        return server_fail(s->node.log, FH_EXIT_FAILED, "cannot start the thread of files",
                           strerror(-rc));
    s->node.files = &s->files;
    for (unsigned i = 0; i < s->exports.count; i++)
        FH_LOG(s->node.log, 0, FH_LOG_INFO, "main", "exporting",
               FH_TEXT("export", config->export.item[i]));
    return FH_EXIT_CLEAN;
}

static void server_close_exports(struct fh_server *s)
{
    if (s->node.files)
        fh_files_fini(s->node.files);
    s->node.files = NULL;
    fh_exports_close(&s->exports);
}

/* --- zones --- */

static void on_drained(struct fh_message *message, void *owner)
{
    struct fh_server *s = owner;

    (void)message;
    if (s && ++s->zones_drained == s->zones_started)
        event_base_loopbreak(s->base);
}

static void server_stop_zones(struct fh_server *s)
{
    while (s->zones_started > 0)
        fh_zone_thread_join(&s->zones[--s->zones_started]);
    fh_mailbox_close(&s->node.main);
    free(s->zones);
    free(s->node.mailboxes);
    fh_zone_threads_unmap(&s->node);
    if (s->has_budget)
        fh_budget_fini(&s->budget);
    s->zones = NULL;
    s->node.mailboxes = NULL;
}

static enum fh_exit server_lock_data(struct fh_server *s, const struct fh_config *config)
{
    if (!*config->data_dir)
        return FH_EXIT_CLEAN;
    int rc = fh_data_dir_lock(config->data_dir, &s->data_lock);
    if (rc == 0)
        return FH_EXIT_CLEAN;
    return server_fail(s->node.log, FH_EXIT_FILES, "data-dir unusable", fh_data_dir_problem(rc));
}

/* Signals are the main thread's: the others are started with all of them blocked. */
static enum fh_exit server_start_zones(struct fh_server *s)
{
    struct fh_node *node = &s->node;
    sigset_t all, before;
    int rc = 0;

    s->zones = calloc(node->zones, sizeof *s->zones);
    node->mailboxes = calloc(node->zones, sizeof(struct fh_mailbox *));
    if (!s->zones || !node->mailboxes)
        return server_fail(node->log, FH_EXIT_FAILED, "out of memory", "zones");
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (uint32_t i = 0; i < node->zones && rc == 0; i++) {
        rc = fh_zone_thread_start(&s->zones[i], node, i, on_drained);
        s->zones_started += rc == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        return FH_EXIT_CLEAN;
    if (node->data_failed)
        return server_fail(node->log, FH_EXIT_FILES, "data-dir unusable", fh_data_dir_problem(rc));
    if (rc == -ENOMEM)
        return server_fail(node->log, FH_EXIT_REGION, "cannot map the region", strerror(-rc));
    return server_fail(node->log, FH_EXIT_SWAP, "swap or its I/O unusable; see --swap, --io",
                       strerror(-rc));
}

/* --- signals and messages --- */

static void on_mail(evutil_socket_t fd, short what, void *arg)
{
    struct fh_server *s = arg;

    (void)fd;
    (void)what;
    fh_mailbox_run(&s->node.main, s);
}

static void on_budget(evutil_socket_t fd, short what, void *arg)
{
    struct fh_server *s = arg;

    (void)fd;
    (void)what;
    if (s->zones_started == s->node.zones)
        fh_budget_tick(&s->budget, fh_clock_ms_of(fh_clock_ns()));
}

static void on_drain_over(evutil_socket_t fd, short what, void *arg)
{
    struct fh_server *s = arg;

    (void)fd;
    (void)what;
    FH_LOG(s->node.log, 0, FH_LOG_WARN, "main", "drain-timeout is over: ending what still runs",
           FH_NUM("connections", atomic_load(&s->node.connections)));
    event_base_loopbreak(s->base);
}

static void server_drain(struct fh_server *s)
{
    uint64_t ms = s->node.config->drain_timeout;
    struct timeval timeout = {.tv_sec = (time_t)(ms / 1000),
                              .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    s->draining = true;
    s->admin.draining = true;
    fh_listeners_close(&s->listeners);
    FH_LOG(s->node.log, 0, FH_LOG_INFO, "main", "draining",
           FH_NUM("connections", atomic_load(&s->node.connections)));
    for (uint32_t i = 0; i < s->zones_started; i++)
        fh_zone_thread_drain(&s->zones[i]);
    evtimer_add(s->drain_event, &timeout);
}

static void on_end_signal(evutil_socket_t signal, short what, void *arg)
{
    struct fh_server *s = arg;

    (void)signal;
    (void)what;
    if (s->draining)
        event_base_loopbreak(s->base);
    else
        server_drain(s);
}

static void on_summary_signal(evutil_socket_t signal, short what, void *arg)
{
    struct fh_server *s = arg;

    (void)signal;
    (void)what;
    for (uint32_t i = 0; i < s->zones_started; i++)
        fh_zone_thread_summary(&s->zones[i]);
}

static enum fh_exit server_open_loop(struct fh_server *s)
{
    static const struct timeval budget_tick = {.tv_usec = FH_BUDGET_TICK_MS * 1000};

    if (fh_mailbox_init(&s->node.main) != 0 || !(s->base = event_base_new()))
        return server_fail(s->node.log, FH_EXIT_FAILED, "cannot start the loop", strerror(errno));
    s->mail_event = event_new(s->base, s->node.main.event_fd, EV_READ | EV_PERSIST, on_mail, s);
    s->drain_event = evtimer_new(s->base, on_drain_over, s);
    s->budget_event = event_new(s->base, -1, EV_PERSIST, on_budget, s);
    s->signals[0] = evsignal_new(s->base, SIGTERM, on_end_signal, s);
    s->signals[1] = evsignal_new(s->base, SIGINT, on_end_signal, s);
    s->signals[2] = evsignal_new(s->base, SIGUSR1, on_summary_signal, s);
    if (!s->mail_event || !s->drain_event || !s->budget_event || !s->signals[0] || !s->signals[1] ||
        !s->signals[2])
        return server_fail(s->node.log, FH_EXIT_FAILED, "out of memory", "events");
    event_add(s->mail_event, NULL);
    event_add(s->budget_event, &budget_tick);
    for (size_t i = 0; i < 3; i++)
        evsignal_add(s->signals[i], NULL);
    return FH_EXIT_CLEAN;
}

static void server_close_loop(struct fh_server *s)
{
    for (size_t i = 0; i < 3; i++)
        if (s->signals[i])
            event_free(s->signals[i]);
    if (s->drain_event)
        event_free(s->drain_event);
    if (s->budget_event)
        event_free(s->budget_event);
    if (s->mail_event)
        event_free(s->mail_event);
    if (s->base)
        event_base_free(s->base);
    fh_mailbox_fini(&s->node.main);
}

/* --- ports --- */

static enum fh_exit server_open_admin(struct fh_server *s, const struct fh_config *config)
{
    char address[FH_ADDRESS_TEXT_SIZE], message[FH_ADDRESS_TEXT_SIZE + 16];

    if (strcmp(config->admin_listen, "none") == 0)
        return FH_EXIT_CLEAN;
    int rc = fh_admin_open(&s->admin, &s->node, s->base, config->admin_listen);
    if (rc == -EACCES)
        return server_fail(s->node.log, FH_EXIT_USAGE,
                           "admin-listen: only loopback addresses are served without a token",
                           config->admin_listen);
    if (rc == -EINVAL)
        return server_fail(s->node.log, FH_EXIT_USAGE, "admin-listen: not HOST:PORT or none",
                           config->admin_listen);
    if (rc != 0)
        return server_fail(s->node.log, FH_EXIT_BIND, "cannot bind admin-listen", strerror(-rc));
    s->has_admin = true;
    fh_address_print(&s->admin.address, address);
    snprintf(message, sizeof message, "admin on %s", address);
    FH_LOG(s->node.log, 0, FH_LOG_INFO, "admin", message, FH_TEXT("console", "/ui/"));
    return FH_EXIT_CLEAN;
}

static enum fh_exit server_open_listeners(struct fh_server *s)
{
    const char *failed = "";
    char what[256];
    int rc = fh_listeners_open(&s->listeners, &s->node, s->base, s->tls, &failed);

    if (rc == 0)
        return FH_EXIT_CLEAN;
    snprintf(what, sizeof what, "%.128s: %s", failed, strerror(-rc));
    return server_fail(s->node.log, rc == -EINVAL ? FH_EXIT_USAGE : FH_EXIT_BIND, "cannot listen",
                       what);
}

/* Each connection needs a descriptor; main has raised the limit as far as it may. */
static void server_check_descriptors(const struct fh_node *node)
{
    enum { OTHERS = 64 }; /* listeners, loops, swap, catalog, admin */
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0 &&
        files.rlim_cur < node->config->max_connections + OTHERS)
        FH_LOG(node->log, 0, FH_LOG_WARN, "main",
               "fewer descriptors than max-connections: raise the limit (ulimit -Hn, LimitNOFILE)",
               FH_NUM("descriptors", files.rlim_cur),
               FH_NUM("max_connections", node->config->max_connections));
}

static void server_log_start(struct fh_server *s)
{
    const struct fh_node *node = &s->node;

    FH_LOG(node->log, 0, FH_LOG_INFO, "main", "farheapd " FARHEAP_VERSION " started",
           FH_NUM("zones", node->zones), FH_NUM("memory_bytes", s->budget.configured),
           FH_NUM("memory_max_bytes", s->budget.how.most),
           FH_NUM("swap_bytes", node->zone_swap_bytes * node->zones),
           FH_NUM("books_bytes_max",
                  node->zones *
                      fh_zone_thread_books_bytes(node->zone_memory_bytes, node->zone_swap_bytes)),
           FH_TEXT("io", node->io), FH_TEXT("swap", node->config->swap),
           FH_TEXT("node", node->config->node));
}

static enum fh_exit server_open_all(struct fh_server *s, const struct fh_config *config)
{
    enum fh_exit code;

    if ((code = server_open_loop(s)) != FH_EXIT_CLEAN ||
        (code = server_size_swap(s, config)) != FH_EXIT_CLEAN ||
        (code = server_size_memory(s, config)) != FH_EXIT_CLEAN ||
        (code = server_open_tls(s, config)) != FH_EXIT_CLEAN ||
        (code = server_open_exports(s, config)) != FH_EXIT_CLEAN ||
        (code = server_map_region(s)) != FH_EXIT_CLEAN ||
        (code = server_lock_data(s, config)) != FH_EXIT_CLEAN ||
        (code = server_start_zones(s)) != FH_EXIT_CLEAN)
        return code;
    server_log_start(s);
    server_check_descriptors(&s->node);
    if ((code = server_open_admin(s, config)) != FH_EXIT_CLEAN)
        return code;
    return server_open_listeners(s);
}

enum fh_exit fh_server_open(struct fh_server *s, const struct fh_config *config, struct fh_log *log)
{
    memset(s, 0, sizeof *s);
    s->node.config = config;
    s->node.log = log;
    s->node.started_ns = fh_clock_ns();
    s->node.wall_ms = fh_clock_wall_ms();
    s->data_lock = -1;
    s->node.zones = config->zones ? (uint32_t)config->zones : fh_machine_cpus();
    while (getrandom(&s->node.incarnation, sizeof s->node.incarnation, 0) < 0)
        ;
    enum fh_exit code = server_open_all(s, config);
    if (code != FH_EXIT_CLEAN)
        fh_server_close(s);
    return code;
}

enum fh_exit fh_server_run(struct fh_server *s)
{
    s->admin.ready = true;
    int rc = event_base_dispatch(s->base);
    FH_LOG(s->node.log, 0, FH_LOG_INFO, "main", "ended",
           FH_NUM("connections", atomic_load(&s->node.connections)));
    return rc < 0 ? FH_EXIT_FAILED : FH_EXIT_CLEAN;
}

void fh_server_close(struct fh_server *s)
{
    fh_listeners_close(&s->listeners);
    server_stop_zones(s);
    server_close_exports(s);
    if (s->has_admin)
        fh_admin_close(&s->admin);
    fh_data_dir_unlock(s->data_lock);
    fh_tls_context_destroy(s->tls);
    server_close_loop(s);
}
