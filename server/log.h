/*
 * log: one line per event on stderr, as text or JSON, never more than a few per second of one kind.
 *
 * A message is a constant of ours or text made by us; what comes from outside goes into a field,
 * where control bytes and broken UTF-8 are escaped. Never a payload, a key or a token.
 *
 * Ownership  caller owns the struct; strings are copied before the call returns.
 * Threads    any thread; one mutex, one write(2) per line.
 * Errors     none: a line that cannot be written is lost.
 */
#ifndef FH_SERVER_LOG_H
#define FH_SERVER_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fh_log_level { FH_LOG_DEBUG, FH_LOG_INFO, FH_LOG_WARN, FH_LOG_ERROR, FH_LOG_LEVELS };
enum fh_log_format { FH_LOG_AUTO, FH_LOG_TEXT, FH_LOG_JSON };

enum { FH_LOG_LINE_MAX = 1024, FH_LOG_KINDS_MAX = 64, FH_LOG_PER_SECOND = 20 };

struct fh_log_kind {
    const char *message; /* events with the same message are of one kind */
    uint64_t second;     /* in which `count` were seen */
    uint32_t count;
    uint64_t suppressed; /* since the last line of this kind */
};

struct fh_log {
    int fd;
    bool json;
    enum fh_log_level level; /* below it nothing is written */
    pthread_mutex_t mutex;
    uint64_t lines[FH_LOG_LEVELS]; /* events, suppressed ones included */
    struct fh_log_kind kinds[FH_LOG_KINDS_MAX];
};

/* A key and its value: `text`, or `number` when text is NULL. */
struct fh_log_field {
    const char *key;
    const char *text;
    uint64_t number;
};

/* AUTO is text on a terminal and JSON elsewhere. */
void fh_log_init(struct fh_log *, int fd, enum fh_log_format, enum fh_log_level);
void fh_log_fini(struct fh_log *);

/* `second` is the clock by which lines are limited; 0 = never limited. */
void fh_log_write(struct fh_log *, uint64_t second, enum fh_log_level, const char *comp,
                  const char *message, const struct fh_log_field *fields, size_t count);
void fh_log_counts(struct fh_log *, uint64_t lines[FH_LOG_LEVELS]);
const char *fh_log_level_name(enum fh_log_level);

/* Formats one line with its newline into `line`; returns its size. */
size_t fh_log_format_line(char line[FH_LOG_LINE_MAX], bool json, enum fh_log_level,
                          const char *comp, const char *message, const struct fh_log_field *fields,
                          size_t count);

#define FH_TEXT(k, v)                                                                              \
    {                                                                                              \
        .key = (k), .text = (v)                                                                    \
    }
#define FH_NUM(k, v)                                                                               \
    {                                                                                              \
        .key = (k), .number = (uint64_t)(v)                                                        \
    }
/* FH_LOG(log, second, FH_LOG_INFO, "zone", "started", FH_NUM("zone", 1)); at least one field. */
#define FH_LOG(log, second, level, comp, message, ...)                                             \
    fh_log_write(log, second, level, comp, message, (const struct fh_log_field[]){__VA_ARGS__},    \
                 sizeof((const struct fh_log_field[]){__VA_ARGS__}) / sizeof(struct fh_log_field))

#endif
