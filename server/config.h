/*
 * config: the one table of options: flag --KEY=VALUE, key in the file, FARHEAP_KEY in the
 * environment, default, help, farheap.conf and the `config` view. Flag beats environment beats file
 * beats default.
 *
 * Ownership  caller owns the struct; its texts live until fini.
 * Threads    written by the main thread before others start; read by all.
 * Errors     a message for people in `problem`, with key, file and line.
 */
#ifndef FH_SERVER_CONFIG_H
#define FH_SERVER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* X(field, "key", KIND, "default", least, most or "choices", "meaning").
 * Kinds: COUNT; SIZE in bytes; TIME in ms; SHARE in permille; MEMORY a size or a share of the
 * smaller of cgroup limit and physical memory; SWAP a size or auto; TEXT; CHOICE; LIST, which may
 * be repeated. */
#define FH_CONFIG_TABLE(X)                                                                         \
    X(listen, "listen", LIST, "127.0.0.1:7420,plain", 0, 0, "",                                    \
      "HOST:PORT or unix:PATH; TLS unless ,plain is written; repeatable")                          \
    X(zones, "zones", COUNT, "0", 0, 1024, "", "threads that own memory; 0 = allowed CPUs")        \
    X(buddy, "buddy", CHOICE, "binary", 0, 0, "binary|fibonacci|weighted|tertiary",                \
      "buddy system that cuts the address spaces")                                                 \
    X(memory, "memory", MEMORY, "80%", 1 << 20, UINT64_C(1) << 50, "",                             \
      "for pages: size, or percent of the smaller of cgroup memory.max and physical memory")       \
    X(memory_max, "memory-max", SWAP, "auto", 1 << 20, UINT64_C(1) << 50, "",                      \
      "most that memory may be set to while running: addresses only; auto = physical memory")      \
    X(memory_min, "memory-min", SHARE, "50%", 1, 1000, "",                                         \
      "share of memory below which memory-pressure does not shrink it")                            \
    X(memory_pressure, "memory-pressure", SHARE, "10%", 0, 1000, "",                               \
      "shrink memory while processes of the machine wait for theirs this share of the time; 0% = " \
      "never")                                                                                     \
    X(swap, "swap", TEXT, "", 0, 0, "",                                                            \
      "folder of the swap files, not a tmpfs; empty = the state folder")                           \
    X(swap_size, "swap-size", SWAP, "auto", 0, UINT64_C(1) << 54, "",                              \
      "reserved whole at start; auto = twice the memory, at most half of what is free; 0 = none")  \
    X(data_dir, "data-dir", TEXT, "", 0, 0, "",                                                    \
      "folder of durable objects, locked by one process; empty = none: durable is refused")        \
    X(io, "io", CHOICE, "auto", 0, 0, "auto|uring|threads", "how swap is read and written")        \
    X(io_threads, "io-threads", COUNT, "4", 1, 64, "", "threads per zone when io is threads")      \
    X(free_min, "free-min", SHARE, "1%", 1, 500, "",                                               \
      "free frames of a zone below which requests that need frames wait")                          \
    X(free_low, "free-low", SHARE, "4%", 1, 600, "", "free frames below which reclaim begins")     \
    X(free_high, "free-high", SHARE, "6%", 1, 700, "", "free frames at which reclaim ends")        \
    X(pin_limit, "pin-limit", SHARE, "25%", 0, 500, "",                                            \
      "share of memory that clients may pin; 0% = none")                                           \
    X(readahead_max, "readahead-max", COUNT, "64", 0, 64, "",                                      \
      "pages of the longest read-ahead for who reads in order; 0 = none")                          \
    X(copy_out_max, "copy-out-max", SIZE, "16KiB", 0, 65536, "",                                   \
      "longer reads are sent from frames without a copy")                                          \
    X(export, "export", LIST, "", 0, 0, "",                                                        \
      "NAME=DIR[,rw]: clients may open the files below DIR as NAME/PATH; repeatable")              \
    X(max_connections, "max-connections", COUNT, "4096", 1, 1000000, "",                           \
      "further ones are closed at once")                                                           \
    X(handshake_timeout, "handshake-timeout", TIME, "5s", 10, 3600000, "",                         \
      "from accept to Hello; absolute")                                                            \
    X(frame_timeout, "frame-timeout", TIME, "10s", 10, 3600000, "",                                \
      "from the first byte of a frame to its last, and again for each 256 KiB of body")            \
    X(idle_timeout, "idle-timeout", TIME, "5m", 10, 86400000 * UINT64_C(30), "",                   \
      "a connection without any traffic is closed")                                                \
    X(drain_timeout, "drain-timeout", TIME, "20s", 0, 3600000, "",                                 \
      "from SIGTERM to the end, whatever is still running")                                        \
    X(output_limit, "output-limit", SIZE, "4MiB", 65536, UINT64_C(1) << 30, "",                    \
      "output queued per connection above which its input is not read")                            \
    X(output_total, "output-total", SIZE, "64MiB", 1 << 20, UINT64_C(1) << 40, "",                 \
      "memory of all queued output above which a connection may queue 64 KiB only")                \
    X(max_body, "max-body", SIZE, "64MiB", 65536, 64 << 20, "", "largest body of one frame")       \
    X(tls_cert, "tls-cert", TEXT, "", 0, 0, "", "PEM file of the certificate chain")               \
    X(tls_key, "tls-key", TEXT, "", 0, 0, "", "PEM file of its key")                               \
    X(tls_ca, "tls-ca", TEXT, "", 0, 0, "", "PEM file of the authorities of client certificates")  \
    X(client_cert, "client-cert", CHOICE, "off", 0, 0, "off|optional|require",                     \
      "whether a client shows a certificate")                                                      \
    X(admin_listen, "admin-listen", TEXT, "127.0.0.1:7421", 0, 0, "",                              \
      "HOST:PORT of /metrics, /api and the console, loopback only; none = off")                    \
    X(log_level, "log-level", CHOICE, "info", 0, 0, "debug|info|warn|error",                       \
      "events below it are not logged")                                                            \
    X(log_format, "log-format", CHOICE, "auto", 0, 0, "auto|text|json",                            \
      "auto = text on a terminal, else JSON lines")                                                \
    X(node, "node", TEXT, "", 0, 0, "", "name of this node; empty = the host's")                   \
    X(debug_alloc, "debug-alloc", CHOICE, "off", 0, 0, "off|on",                                   \
      "watch red zones of small objects and poison freed ones; as a flag without a value: on")

enum { FH_CONFIG_LIST_MAX = 16 };

struct fh_config_list {
    char *item[FH_CONFIG_LIST_MAX];
    unsigned count;
};

#define FH_CONFIG_TYPE_COUNT  uint64_t
#define FH_CONFIG_TYPE_SIZE   uint64_t
#define FH_CONFIG_TYPE_TIME   uint64_t
#define FH_CONFIG_TYPE_SHARE  uint64_t
#define FH_CONFIG_TYPE_MEMORY uint64_t
#define FH_CONFIG_TYPE_SWAP   uint64_t
#define FH_CONFIG_TYPE_CHOICE uint64_t
#define FH_CONFIG_TYPE_TEXT   char *
#define FH_CONFIG_TYPE_LIST   struct fh_config_list

#define FH_SWAP_AUTO UINT64_MAX /* of swap-size and memory-max */

enum fh_config_key {
#define FH_CONFIG_KEY(field, key, kind, text, least, most, choices, meaning) FH_KEY_##field,
    FH_CONFIG_TABLE(FH_CONFIG_KEY)
#undef FH_CONFIG_KEY
        FH_CONFIG_KEYS
};

enum fh_config_origin { FH_FROM_DEFAULT, FH_FROM_FILE, FH_FROM_ENVIRONMENT, FH_FROM_FLAG };

enum fh_config_io { FH_CONFIG_IO_AUTO, FH_CONFIG_IO_URING, FH_CONFIG_IO_THREADS };
enum fh_config_client_cert { FH_CLIENT_CERT_OFF, FH_CLIENT_CERT_OPTIONAL, FH_CLIENT_CERT_REQUIRE };

/* What the command line asks for besides serving. */
enum fh_config_verb {
    FH_VERB_SERVE,
    FH_VERB_CHECK,
    FH_VERB_PRINT,
    FH_VERB_TEMPLATE,
    FH_VERB_VERSION,
    FH_VERB_HELP
};

struct fh_config {
#define FH_CONFIG_FIELD(field, key, kind, text, least, most, choices, meaning)                     \
    FH_CONFIG_TYPE_##kind field;
    FH_CONFIG_TABLE(FH_CONFIG_FIELD)
#undef FH_CONFIG_FIELD
    enum fh_config_origin origin[FH_CONFIG_KEYS];
    char *text[FH_CONFIG_KEYS]; /* as it was written; of a list the items, a space between them */
    enum fh_config_verb verb;
    uint64_t machine_bytes; /* what a share of memory is taken of */
    char problem[512];      /* the first one found; empty = none */
};

/* What the outside says; a test gives its own. */
struct fh_config_world {
    const char *(*env)(const char *name); /* NULL when not set */
    uint64_t machine_bytes;               /* smaller of cgroup limit and physical memory */
};

void fh_config_init(struct fh_config *);
void fh_config_fini(struct fh_config *);

/* Reads flags, the file of -c, and the environment. False: `problem` tells. */
bool fh_config_load(struct fh_config *, int argc, char **argv, const struct fh_config_world *);

const char *fh_config_key_name(enum fh_config_key);
const char *fh_config_origin_name(enum fh_config_origin);
/* The effective value as text, e.g. "64KiB". */
void fh_config_value(const struct fh_config *, enum fh_config_key, char *text, size_t size);

/* `memory` as it may be written in the file, within its bounds; false: it is not. */
bool fh_config_scan_memory(const struct fh_config *, const char *text, uint64_t *out);

void fh_config_print(const struct fh_config *, FILE *out);
void fh_config_print_template(FILE *out);
void fh_config_print_help(FILE *out);

#endif
