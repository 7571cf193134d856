/*
 * farheapd: reads its configuration, serves, ends.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "config.h"
#include "log.h"
#include "machine.h"
#include "server.h"

static const char *env_get(const char *name)
{
    return getenv(name);
}

/* Neither a core file nor a debugger of the same user sees the keys. As many descriptors as may be.
 */
static void process_set_up(void)
{
    struct rlimit none = {0, 0};
    struct rlimit files;

    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int serve(const struct fh_config *config)
{
    struct fh_server server;
    struct fh_log log;

    fh_log_init(&log, 2, (enum fh_log_format)config->log_format,
                (enum fh_log_level)config->log_level);
    enum fh_exit code = fh_server_open(&server, config, &log);
    if (code == FH_EXIT_CLEAN) {
        code = fh_server_run(&server);
        fh_server_close(&server);
    }
    fh_log_fini(&log);
    return (int)code;
}

static int run_verb(const struct fh_config *config)
{
    switch (config->verb) {
    case FH_VERB_CHECK:
        return FH_EXIT_CLEAN;
    case FH_VERB_PRINT:
        fh_config_print(config, stdout);
        return FH_EXIT_CLEAN;
    case FH_VERB_TEMPLATE:
        fh_config_print_template(stdout);
        return FH_EXIT_CLEAN;
    case FH_VERB_VERSION:
        puts("farheapd " FARHEAP_VERSION);
        return FH_EXIT_CLEAN;
    case FH_VERB_HELP:
        fh_config_print_help(stdout);
        return FH_EXIT_CLEAN;
    case FH_VERB_SERVE:
        break;
    }
    return serve(config);
}

int main(int argc, char **argv)
{
    const struct fh_config_world world = {.env = env_get,
                                          .machine_bytes = fh_machine_memory_bytes()};
    struct fh_config config;
    int code = FH_EXIT_USAGE;

    process_set_up();
    fh_config_init(&config);
    if (fh_config_load(&config, argc, argv, &world))
        code = run_verb(&config);
    else
        fprintf(stderr, "farheapd: %s\n", config.problem);
    fh_config_fini(&config);
    return code;
}
