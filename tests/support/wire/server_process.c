/*
 * Theory.  The server tells its ports in its log, which is a file: nobody has to drain a pipe, and
 * a failed test leaves something to read. Waiting is polling every few milliseconds against a
 * deadline; a child that ends early is noticed at once.
 */
#include "server_process.h"
#include "tests/support/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FLAGS_MAX = 32, LOG_READ_MAX = 1 << 20, POLL_MS = 5, START_MS = 120000 };

static const char listening[] = "listening on 127.0.0.1:";

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* The log so far, NUL-terminated; the caller's to free. NULL when it cannot be read. */
static char *log_load(const struct server_process *s)
{
    char *text = calloc(1, LOG_READ_MAX + 1);
    FILE *f = fopen(s->log_path, "rb");

    if (text && f)
        text[fread(text, 1, LOG_READ_MAX, f)] = '\0';
    if (f)
        fclose(f);
    return text;
}

bool server_process_is_alive(struct server_process *s)
{
    if (s->pid == 0)
        return false;
    if (waitpid(s->pid, &s->status, WNOHANG) == s->pid) {
        s->pid = 0;
        s->ended = true;
    }
    return s->pid != 0;
}

static bool flags_hold(const char *const *flags, const char *key)
{
    for (; flags && *flags; flags++)
        if (strncmp(*flags, key, strlen(key)) == 0)
            return true;
    return false;
}

static unsigned flags_count_listeners(const char *const *flags)
{
    unsigned count = 0;

    for (; flags && *flags; flags++)
        count += strncmp(*flags, "--listen=127.0.0.1", 18) == 0;
    return count ? count : 1;
}

static void child_run(const struct server_process *s, char *const *argv)
{
    int log = open(s->log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);

    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes takes its server along */
    if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
        _exit(126);
    execv(argv[0], argv);
    _exit(127);
}

/* Reads the ports told so far. */
static void ports_load(struct server_process *s)
{
    char *text = log_load(s);
    const char *at = text;

    s->port_count = 0;
    while (at && s->port_count < SERVER_PORTS_MAX && (at = strstr(at, listening)) != NULL) {
        char *end;
        at += sizeof listening - 1;
        unsigned long port = strtoul(at, &end, 10);
        if (end != at && *end != '\0') /* not in the middle of being written */
            s->ports[s->port_count++] = (uint16_t)port;
    }
    free(text);
}

static int ports_wait(struct server_process *s, unsigned wanted)
{
    int64_t deadline = now_ms() + START_MS;

    while (now_ms() < deadline) {
        ports_load(s);
        if (s->port_count >= wanted)
            return 0;
        if (!server_process_is_alive(s))
            return -ECHILD;
        pause_ms(POLL_MS);
    }
    return -ETIMEDOUT;
}

static int folder_make(struct server_process *s)
{
    const char *base = getenv("FARHEAP_TEST_DIR"); /* for when /tmp is a tmpfs */

    snprintf(s->folder, sizeof s->folder, "%s/farheap-test-XXXXXX", base ? base : "/var/tmp");
    if (!mkdtemp(s->folder))
        return -errno;
    if ((size_t)snprintf(s->log_path, sizeof s->log_path, "%s/log", s->folder) >=
        sizeof s->log_path)
        return -ENAMETOOLONG;
    return 0;
}

int server_process_start(struct server_process *s, const char *program, const char *const *flags)
{
    char swap[SERVER_PATH_MAX + 16];
    const char *const defaults[] = {"--listen=127.0.0.1:0,plain",
                                    "--memory=16MiB",
                                    swap,
                                    "--swap-size=64MiB",
                                    "--zones=1",
                                    "--admin-listen=none",
                                    "--log-format=text",
                                    "--memory-pressure=0%",
                                    "--handshake-timeout=100s",
                                    "--frame-timeout=100s"};
    const char *argv[FLAGS_MAX + 1] = {program};
    unsigned count = 1;
    int rc;

    *s = (struct server_process){0};
    if ((rc = folder_make(s)) != 0)
        return rc;
    snprintf(swap, sizeof swap, "--swap=%s", s->folder);
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++) {
        char key[32] = "";
        size_t key_size = (size_t)(strchr(defaults[i], '=') - defaults[i]) + 1;
        memcpy(key, defaults[i], key_size);
        if (!flags_hold(flags, key))
            argv[count++] = defaults[i];
    }
    for (const char *const *f = flags; f && *f && count < FLAGS_MAX; f++)
        argv[count++] = *f;
    if ((s->pid = fork()) < 0) {
        s->pid = 0;
        return -errno;
    }
    if (s->pid == 0)
        child_run(s, (char *const *)argv);
    return ports_wait(s, flags_count_listeners(flags));
}

int server_process_signal(struct server_process *s, int signal_number)
{
    if (s->pid == 0)
        return -ESRCH;
    return kill(s->pid, signal_number) == 0 ? 0 : -errno;
}

int server_process_wait(struct server_process *s, int timeout_ms)
{
    int64_t deadline = now_ms() + timeout_ms;

    while (server_process_is_alive(s)) {
        if (now_ms() >= deadline)
            return -ETIMEDOUT;
        pause_ms(POLL_MS);
    }
    if (!s->ended)
        return -ESRCH;
    return WIFEXITED(s->status) ? WEXITSTATUS(s->status) : 128 + WTERMSIG(s->status);
}

size_t server_process_rss(const struct server_process *s)
{
    char path[64], line[256];
    size_t kib = 0;

    snprintf(path, sizeof path, "/proc/%d/status", (int)s->pid);
    FILE *f = s->pid ? fopen(path, "r") : NULL;
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtoul(line + 6, NULL, 10);
    fclose(f);
    return kib * 1024;
}

int server_process_sockets(const struct server_process *s)
{
    char path[64], target[64];
    struct dirent *entry;
    int count = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)s->pid);
    DIR *folder = s->pid ? opendir(path) : NULL;
    if (!folder)
        return -1;
    while ((entry = readdir(folder)) != NULL) {
        ssize_t size = readlinkat(dirfd(folder), entry->d_name, target, sizeof target);
        count += size > 7 && memcmp(target, "socket:", 7) == 0;
    }
    closedir(folder);
    return count;
}

bool server_process_log_has(const struct server_process *s, const char *text, int timeout_ms)
{
    int64_t deadline = now_ms() + timeout_ms;

    for (;;) {
        char *log = log_load(s);
        bool found = log && strstr(log, text);
        free(log);
        if (found || now_ms() >= deadline)
            return found;
        pause_ms(POLL_MS);
    }
}

void server_process_fini(struct server_process *s)
{
    if (server_process_is_alive(s)) {
        kill(s->pid, SIGKILL);
        server_process_wait(s, 10000);
    }
    if (s->folder[0] != '\0')
        folder_remove(s->folder);
    *s = (struct server_process){0};
}
