/*
 * server_process: a real farheapd for end-to-end tests, on ports the kernel picks, in a folder of
 * its own, its log in a file there.
 *
 * Ownership  the caller owns the struct; fini kills the process if it still runs and removes the
 *            folder. Call fini from the suite's .fini: a failed assert leaves the test's body.
 * Threads    one owner.
 * Errors     negative errno; -ETIMEDOUT the server did not say in time where it listens, or did not
 *            end; -ECHILD it ended before it listened. What it said is in log_path.
 */
#ifndef FH_TESTS_SERVER_PROCESS_H
#define FH_TESTS_SERVER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SERVER_PORTS_MAX = 4, SERVER_PATH_MAX = 256 };

struct server_process {
    pid_t pid;                        /* 0 when none runs */
    bool ended;                       /* waited for: `status` holds */
    int status;                       /* as waitpid tells it */
    uint16_t ports[SERVER_PORTS_MAX]; /* of its listeners on 127.0.0.1, in the order of the log */
    unsigned port_count;
    char folder[SERVER_PATH_MAX]; /* temporary; swap lies here too */
    char log_path[SERVER_PATH_MAX];
};

/*
 * Starts `farheapd` (the path is FARHEAPD) with 16 MiB of memory, 64 MiB of swap in its folder, one
 * zone, a plain listener on 127.0.0.1, no admin port, deaf to pressure from outside and patient with a busy machine, then `flags`
 * (NULL-terminated; may be NULL). A flag given here replaces the default of the same key. Returns when it listens on as many
 * TCP ports as there are --listen flags.
 */
int server_process_start(struct server_process *, const char *program, const char *const *flags);

int server_process_signal(struct server_process *, int signal_number);

/* Waits until it ends: its exit code, 128 + the signal that ended it, or -ETIMEDOUT. */
int server_process_wait(struct server_process *, int timeout_ms);

/* True while it runs. */
bool server_process_is_alive(struct server_process *);

/* Resident memory in bytes as the kernel counts it; 0 when it does not run. */
size_t server_process_rss(const struct server_process *);

/* Sockets it has open, listeners included; -1 when it does not run. */
int server_process_sockets(const struct server_process *);

/* True when its log holds this text, waiting up to timeout_ms for it. */
bool server_process_log_has(const struct server_process *, const char *text, int timeout_ms);

void server_process_fini(struct server_process *);

#endif
