/*
 * metrics: what the server counts, and the text that Prometheus reads.
 *
 * Each thread counts for itself, in plain numbers; a scrape asks every thread for a copy, so
 * nothing is shared and nothing is atomic.
 *
 * Units      as the field names say.
 * Ownership  counters belong to their thread; figures are a copy, whose owner frees nothing in it.
 * Threads    one per struct.
 */
#ifndef FH_SERVER_METRICS_H
#define FH_SERVER_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "alloc/buddy_systems.h"
#include "alloc/slab.h"
#include "alloc/zone.h"
#include "proto/status.h"

/* X(NAME, "label") by the order of the protocol's operations. */
#define FH_OP_TABLE(X)                                                                             \
    X(HELLO, "hello")                                                                              \
    X(PING, "ping")                                                                                \
    X(INFO, "info")                                                                                \
    X(TOPOLOGY, "topology")                                                                        \
    X(ALLOC, "alloc")                                                                              \
    X(FREE, "free")                                                                                \
    X(RESIZE, "resize")                                                                            \
    X(READ, "read")                                                                                \
    X(WRITE, "write")                                                                              \
    X(ZERO, "zero")                                                                                \
    X(COMPARE_SWAP, "compare_swap")                                                                \
    X(FETCH_ADD, "fetch_add")                                                                      \
    X(STAT, "stat")                                                                                \
    X(ADVISE, "advise")                                                                            \
    X(READ_RANGES, "read_ranges")                                                                  \
    X(WRITE_RANGES, "write_ranges")                                                                \
    X(PUT, "put")                                                                                  \
    X(GET, "get")                                                                                  \
    X(LOOKUP, "lookup")                                                                            \
    X(DELETE, "delete")                                                                            \
    X(LIST, "list")                                                                                \
    X(CACHE_CREATE, "cache_create")                                                                \
    X(CACHE_DESTROY, "cache_destroy")                                                              \
    X(OPEN_FILE, "open_file")                                                                      \
    X(LIST_FILES, "list_files")                                                                    \
    X(SYNC, "sync")

enum fh_op_code {
#define FH_OP_ENUM(name, label) FH_OP_##name,
    FH_OP_TABLE(FH_OP_ENUM)
#undef FH_OP_ENUM
        FH_OP_CODES
};

/* Why a connection ended: X(NAME, "label", the peer broke the protocol). */
#define FH_CLOSE_TABLE(X)                                                                          \
    X(PEER, "closed_by_peer", false)                                                               \
    X(RESET, "reset", false)                                                                       \
    X(FRAME, "frame_limits", true)                                                                 \
    X(HEAD, "head_malformed", true)                                                                \
    X(ORDER, "hello_out_of_order", true)                                                           \
    X(NO_HELLO, "handshake_timeout", true)                                                         \
    X(SLOW_FRAME, "frame_timeout", true)                                                           \
    X(NO_READER, "output_stalled", true)                                                           \
    X(TLS, "tls_failed", true)                                                                     \
    X(IDLE, "idle", false)                                                                         \
    X(MEMORY, "out_of_memory", false)                                                              \
    X(CUT_REPLY, "reply_cut_short", false)                                                         \
    X(DRAINED, "drained", false)                                                                   \
    X(STOPPED, "stopped", false)

enum fh_close_reason {
#define FH_CLOSE_ENUM(name, label, bad) FH_CLOSE_##name,
    FH_CLOSE_TABLE(FH_CLOSE_ENUM)
#undef FH_CLOSE_ENUM
        FH_CLOSE_REASONS
};

enum { FH_DURATION_BUCKETS = 16 }; /* bounded ones; the last of all is +Inf */

struct fh_durations {
    uint64_t buckets[FH_DURATION_BUCKETS + 1];
    uint64_t sum_ns;
};

/* Counted by a zone thread. */
struct fh_counters {
    uint64_t requests[FH_OP_CODES][FH_STATUS_COUNT];
    struct fh_durations durations[FH_OP_CODES];
    uint32_t this_turn[FH_OP_CODES]; /* ended in this turn without having waited */
    uint64_t closes[FH_CLOSE_REASONS];
    uint64_t received_bytes, sent_bytes;
    uint64_t tls_handshakes_ok, tls_handshakes_failed;
    uint64_t connections_total; /* that reached this zone */
    uint64_t connections_now;
    uint64_t output_queued_bytes; /* as of the copy */
    uint64_t in_progress;         /* requests begun and not answered, as of the copy */
    uint64_t turn_ns_worst;       /* longest turn of the last second that ended */
};

/* A zone at one moment. */
struct fh_figures {
    uint32_t zone;
    bool answered; /* the zone's thread filled this in */
    struct fh_counters counters;
    struct fh_zone_stats engine;
    uint64_t io_reads, io_writes, io_syncs, io_errors;
    uint32_t buddy_classes;
    struct fh_buddy_class_stats buddy[FH_BUDDY_CLASSES];
    /* By size, all tenants; slabs 0 = none. The last is the sum of all typed caches. */
    struct fh_slab_cache_stats slabs[FH_SLAB_SIZES + 1];
};

/* The memory budget, bytes; see struct fh_node_memory. */
struct fh_memory_figures {
    uint64_t configured, budget, most;
    uint64_t limit; /* UINT64_MAX: none */
    uint64_t lent;
    uint32_t pressure_permille; /* UINT32_MAX: the kernel does not tell */
};

/* What the main thread knows. */
struct fh_node_figures {
    const char *node;
    const char *io;
    bool tls;
    uint64_t uptime_ms, rss_bytes, cpu_ns, metadata_bytes;
    struct fh_memory_figures memory;
    uint64_t accepted[2]; /* plain, tls */
    uint64_t rejected;    /* over max-connections */
    uint64_t log_lines[4];
};

const char *fh_op_name(enum fh_op_code);
const char *fh_close_name(enum fh_close_reason);
bool fh_close_is_protocol_error(enum fh_close_reason);

/* `count` requests took this long. */
void fh_durations_add(struct fh_durations *, uint64_t ns, uint64_t count);
/* The requests of this turn took `ns`. */
void fh_counters_end_turn(struct fh_counters *, uint64_t ns);
/* Everything of a zone but its counters. */
void fh_figures_of_zone(struct fh_figures *, const struct fh_zone *);

/* Prometheus text, format 0.0.4. */
void fh_metrics_print(FILE *out, const struct fh_node_figures *, const struct fh_figures *zones,
                      uint32_t count);

#endif
