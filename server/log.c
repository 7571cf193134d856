/*
 * Theory.  A line is built on the stack and written by one call, so lines of different threads do
 * not mix. Floods are cut by kind: within one second at most FH_LOG_PER_SECOND lines with the same
 * message appear, and the next one that does tells how many were left out.
 *
 * Invariants
 *   [I1] a line holds no byte below 0x20, no 0x7f and only valid UTF-8, before its one newline
 *   [I2] a line is at most FH_LOG_LINE_MAX bytes; what does not fit is cut, in JSON field by field
 */
#include "log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

enum { LOG_FIELDS_MAX = 16, LOG_VALUE_MAX = 256 };

struct log_line {
    char *bytes;
    size_t size, cap;
};

static void line_add(struct log_line *l, const char *text, size_t size)
{
    if (size > l->cap - l->size)
        size = l->cap - l->size;
    memcpy(l->bytes + l->size, text, size);
    l->size += size;
}

static void line_text(struct log_line *l, const char *text)
{
    line_add(l, text, strlen(text));
}

/* Bytes of the UTF-8 character that starts here, 0 when it is none. */
static size_t utf8_size(const uint8_t *s)
{
    size_t size = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

    if ((s[0] >= 0x80 && s[0] < 0xc2) || s[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return size;
}

/* The text with everything escaped that could end the value or the line. */
static void line_escaped(struct log_line *l, const char *text)
{
    const uint8_t *s = (const uint8_t *)text;
    const uint8_t *end = s + strlen(text);
    char code[8];

    if (end - s > LOG_VALUE_MAX)
        end = s + LOG_VALUE_MAX;
    while (s < end) {
        size_t size = utf8_size(s);
        if (size > (size_t)(end - s))
            break;
        if (size == 0 || *s < 0x20 || *s == 0x7f || *s == '"' || *s == '\\') {
            snprintf(code, sizeof code, "\\u%04x", (unsigned)*s);
            line_text(l, code);
            s++;
        } else {
            line_add(l, (const char *)s, size);
            s += size;
        }
    }
}

static bool text_needs_quotes(const char *text)
{
    for (const char *s = text; *s; s++)
        if ((unsigned char)*s <= 0x20 || *s == '"' || *s == '=' || *s == '\\')
            return true;
    return *text == 0;
}

static void line_field(struct log_line *l, bool json, const struct fh_log_field *f)
{
    char number[24];

    line_text(l, json ? ",\"" : " ");
    line_text(l, f->key);
    line_text(l, json ? "\":" : "=");
    if (!f->text) {
        snprintf(number, sizeof number, "%llu", (unsigned long long)f->number);
        line_text(l, number);
        return;
    }
    bool quoted = json || text_needs_quotes(f->text);
    line_text(l, quoted ? "\"" : "");
    line_escaped(l, f->text);
    line_text(l, quoted ? "\"" : "");
}

const char *fh_log_level_name(enum fh_log_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};

    return names[level];
}

static void line_start(struct log_line *l, bool json, enum fh_log_level level, const char *comp,
                       const char *message)
{
    char now[FH_CLOCK_TEXT_SIZE];

    fh_clock_print(now);
    line_text(l, json ? "{\"ts\":\"" : "");
    line_text(l, now);
    line_text(l, json ? "\",\"level\":\"" : " ");
    line_text(l, fh_log_level_name(level));
    line_text(l, json ? "\",\"comp\":\"" : " ");
    line_text(l, comp);
    line_text(l, json ? "\",\"msg\":\"" : ": ");
    line_escaped(l, message);
    line_text(l, json ? "\"" : "");
}

size_t fh_log_format_line(char line[FH_LOG_LINE_MAX], bool json, enum fh_log_level level,
                          const char *comp, const char *message, const struct fh_log_field *fields,
                          size_t count)
{
    struct log_line l = {.bytes = line, .cap = FH_LOG_LINE_MAX - 2};

    line_start(&l, json, level, comp, message);
    for (size_t i = 0; i < count && i < LOG_FIELDS_MAX; i++) {
        size_t before = l.size;
        line_field(&l, json, &fields[i]);
        if (json && l.size == l.cap) {
            l.size = before;
            break;
        }
    }
    l.cap = FH_LOG_LINE_MAX;
    line_text(&l, json ? "}\n" : "\n");
    return l.size;
}

void fh_log_init(struct fh_log *log, int fd, enum fh_log_format format, enum fh_log_level level)
{
    memset(log, 0, sizeof *log);
    log->fd = fd;
    log->json = format == FH_LOG_JSON || (format == FH_LOG_AUTO && !isatty(fd));
    log->level = level;
    pthread_mutex_init(&log->mutex, NULL);
}

void fh_log_fini(struct fh_log *log)
{
    pthread_mutex_destroy(&log->mutex);
}

/* The counter of a message; the last one is shared by what finds no room. */
static struct fh_log_kind *log_kind(struct fh_log *log, const char *message)
{
    size_t i = 0;

    while (i < FH_LOG_KINDS_MAX - 1 && log->kinds[i].message && log->kinds[i].message != message)
        i++;
    log->kinds[i].message = message;
    return &log->kinds[i];
}

/* Whether this event may be written; *suppressed tells how many were not before it. */
static bool log_admit(struct fh_log *log, uint64_t second, enum fh_log_level level,
                      const char *message, uint64_t *suppressed)
{
    struct fh_log_kind *kind;

    *suppressed = 0;
    log->lines[level]++;
    if (second == 0)
        return true;
    kind = log_kind(log, message);
    if (kind->second != second) {
        kind->second = second;
        kind->count = 0;
    }
    if (kind->count >= FH_LOG_PER_SECOND) {
        kind->suppressed++;
        return false;
    }
    kind->count++;
    *suppressed = kind->suppressed;
    kind->suppressed = 0;
    return true;
}

void fh_log_write(struct fh_log *log, uint64_t second, enum fh_log_level level, const char *comp,
                  const char *message, const struct fh_log_field *fields, size_t count)
{
    struct fh_log_field all[LOG_FIELDS_MAX];
    char line[FH_LOG_LINE_MAX];
    uint64_t suppressed;

    if (level < log->level)
        return;
    pthread_mutex_lock(&log->mutex);
    if (log_admit(log, second, level, message, &suppressed)) {
        if (count > LOG_FIELDS_MAX - 1)
            count = LOG_FIELDS_MAX - 1;
        for (size_t i = 0; i < count; i++)
            all[i] = fields[i];
        if (suppressed > 0)
            all[count++] = (struct fh_log_field)FH_NUM("suppressed", suppressed);
        size_t size = fh_log_format_line(line, log->json, level, comp, message, all, count);
        ssize_t written = write(log->fd, line, size);
        (void)written;
    }
    pthread_mutex_unlock(&log->mutex);
}

void fh_log_counts(struct fh_log *log, uint64_t lines[FH_LOG_LEVELS])
{
    pthread_mutex_lock(&log->mutex);
    memcpy(lines, log->lines, sizeof log->lines);
    pthread_mutex_unlock(&log->mutex);
}
