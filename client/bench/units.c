/*
 * Theory.  One parser for all: a decimal number, then a suffix from a table of factors. What does
 * not end exactly there, is negative, or does not fit 64 bits is refused.
 */
#include "client/bench/units.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct suffix {
    const char *text;
    double factor;
};

static const struct suffix size_suffixes[] = {
    {"", 1},         {"B", 1},     {"KiB", 1024},   {"MiB", 1048576},   {"GiB", 1073741824},
    {"TiB", 0x1p40}, {"k", 1e3},   {"M", 1e6},      {"m", 1e6},         {"g", 1e9},
    {"G", 1e9},      {"kb", 1024}, {"mb", 1048576}, {"gb", 1073741824}, {NULL, 0}};
static const struct suffix time_suffixes[] = {{"ns", 1},      {"us", 1e3}, {"ms", 1e6},
                                              {"s", 1e9},     {"m", 60e9}, {"h", 3600e9},
                                              {"d", 86400e9}, {NULL, 0}};
static const struct suffix count_suffixes[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {NULL, 0}};

static int units_parse(const struct suffix *table, const char *text, uint64_t *out)
{
    char *end;
    double number;

    if (text[0] < '0' || text[0] > '9' || (text[0] == '0' && (text[1] | 0x20) == 'x'))
        return -EINVAL;
    number = strtod(text, &end);
    for (; table->text != NULL; table++) {
        if (strcmp(end, table->text) != 0)
            continue;
        if (!(number * table->factor < 0x1p63))
            return -EINVAL;
        *out = (uint64_t)llround(number * table->factor);
        return 0;
    }
    return -EINVAL;
}

int fh_units_size(const char *text, uint64_t *bytes)
{
    return units_parse(size_suffixes, text, bytes);
}

int fh_units_time(const char *text, uint64_t *ns)
{
    return units_parse(time_suffixes, text, ns);
}

int fh_units_count(const char *text, uint64_t *count)
{
    return units_parse(count_suffixes, text, count);
}

const char *fh_units_show_size(char out[FH_UNITS_TEXT], uint64_t bytes)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    for (; value >= 1024.0 && unit < 4; unit++)
        value /= 1024.0;
    if (value == floor(value))
        snprintf(out, FH_UNITS_TEXT, "%.0f %s", value, names[unit]);
    else
        snprintf(out, FH_UNITS_TEXT, value < 10 ? "%.2f %s" : "%.1f %s", value, names[unit]);
    return out;
}

/* Three significant digits; the unit changes so that none is lost behind zeros. */
const char *fh_units_show_time(char out[FH_UNITS_TEXT], double ns)
{
    static const char *const names[] = {"us", "ms", "s"};
    double value = ns / 1e3;
    size_t unit = 0;

    for (; value >= 999.5 && unit < 2; unit++)
        value /= 1e3;
    snprintf(out, FH_UNITS_TEXT, "%.*f%s",
             value < 9.995   ? 2
             : value < 99.95 ? 1
                             : 0,
             value, names[unit]);
    return out;
}

const char *fh_units_show_count(char out[FH_UNITS_TEXT], uint64_t count)
{
    char digits[24];
    int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count);
    char *to = out;

    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *to++ = ' ';
        *to++ = digits[i];
    }
    *to = '\0';
    return out;
}
