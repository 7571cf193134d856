#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "server/log.h"

TestSuite(log, .timeout = 10);

static char line[FH_LOG_LINE_MAX + 1];

static const char *format(bool json, const char *value)
{
    const struct fh_log_field fields[] = {FH_TEXT("who", value), FH_NUM("count", 7)};
    size_t size = fh_log_format_line(line, json, FH_LOG_WARN, "test", "it happened", fields, 2);

    cr_assert_leq(size, (size_t)FH_LOG_LINE_MAX);
    line[size] = 0;
    cr_assert_eq(line[size - 1], '\n');
    return line;
}

Test(log, a_text_line_ends_with_its_fields)
{
    cr_assert(strstr(format(false, "me"), " warn test: it happened who=me count=7\n"));
}

Test(log, a_value_cannot_end_its_line_or_its_quotes)
{
    const char *text = format(false, "a\nb\r\"c\" \x1b[2J\x7f=");

    cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1);
    cr_assert(strstr(text, "who=\"a\\u000ab\\u000d\\u0022c\\u0022 \\u001b[2J\\u007f=\" count=7"));
}

Test(log, broken_utf8_is_escaped_and_good_is_kept)
{
    cr_assert(strstr(format(false, "\xff\xc3\xa9\xc3"), "\\u00ff\xc3\xa9\\u00c3"));
    cr_assert(strstr(format(false, "\xc0\xaf\xed\xa0\x80"), "\\u00c0\\u00af\\u00ed"));
}

Test(log, a_json_line_is_json_whatever_is_in_it)
{
    char value[2000];

    for (unsigned i = 0; i < sizeof value - 1; i++)
        value[i] = (char)(1 + i % 255);
    value[sizeof value - 1] = 0;
    json_t *document = json_loads(format(true, value), 0, NULL);
    cr_assert(document);
    cr_assert_str_eq(json_string_value(json_object_get(document, "msg")), "it happened");
    json_decref(document);
    document = json_loads(format(true, "me"), 0, NULL);
    cr_assert_eq(json_integer_value(json_object_get(document, "count")), 7);
    json_decref(document);
}

static unsigned count_lines(int fd, const char *word)
{
    static char text[1 << 20];
    unsigned lines = 0;
    ssize_t size = pread(fd, text, sizeof text - 1, 0);

    cr_assert_geq(size, 0);
    text[size] = 0;
    for (const char *at = text; (at = strstr(at, word)); at++)
        lines++;
    return lines;
}

Test(log, a_flood_is_cut_and_the_rest_counted)
{
    char path[] = "/tmp/farheap-log-XXXXXX";
    int fd = mkstemp(path);
    uint64_t counts[FH_LOG_LEVELS];
    struct fh_log log;

    unlink(path);
    fh_log_init(&log, fd, FH_LOG_TEXT, FH_LOG_INFO);
    for (unsigned i = 0; i < 1000; i++)
        FH_LOG(&log, 5, FH_LOG_WARN, "test", "flood", FH_NUM("i", i));
    FH_LOG(&log, 5, FH_LOG_WARN, "test", "another", FH_NUM("i", 0));
    FH_LOG(&log, 5, FH_LOG_DEBUG, "test", "below the level", FH_NUM("i", 0));
    FH_LOG(&log, 6, FH_LOG_WARN, "test", "flood", FH_NUM("i", 1000));
    cr_assert_eq(count_lines(fd, "flood"), (unsigned)FH_LOG_PER_SECOND + 1);
    cr_assert_eq(count_lines(fd, "another"), 1u);
    cr_assert_eq(count_lines(fd, "below"), 0u);
    cr_assert_eq(count_lines(fd, "suppressed=980"), 1u);
    fh_log_counts(&log, counts);
    cr_assert_eq(counts[FH_LOG_WARN], 1002u);
    fh_log_fini(&log);
    close(fd);
}
