/*
 * Theory.  A value is a decimal number and a unit from a table. Printing takes the largest unit
 * that divides the value, so what is printed reads back as the same number.
 */
#include "units.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t factor;
    bool exact_case;
};

static const struct unit size_units[] = {
    {"TiB", UINT64_C(1) << 40, false},
    {"GiB", UINT64_C(1) << 30, false},
    {"MiB", UINT64_C(1) << 20, false},
    {"KiB", UINT64_C(1) << 10, false},
    {"tb", UINT64_C(1) << 40, false},
    {"gb", UINT64_C(1) << 30, false},
    {"mb", UINT64_C(1) << 20, false},
    {"kb", UINT64_C(1) << 10, false},
    {"t", 1000000000000u, false},
    {"g", 1000000000u, false},
    {"M", 1000000, false},
    {"k", 1000, false},
    {"B", 1, true},
    {"", 1, true},
    {NULL, 0, false},
};

static const struct unit time_units[] = {
    {"d", 86400000, true}, {"h", 3600000, true}, {"m", 60000, true},
    {"s", 1000, true},     {"ms", 1, true},      {NULL, 0, false},
};

static bool scan_digits(const char **text, uint64_t *out)
{
    char *end;

    if (!isdigit((unsigned char)**text))
        return false;
    errno = 0;
    unsigned long long value = strtoull(*text, &end, 10);
    if (errno != 0)
        return false;
    *text = end;
    *out = value;
    return true;
}

static bool unit_is(const struct unit *u, const char *name)
{
    return (u->exact_case ? strcmp(u->name, name) : strcasecmp(u->name, name)) == 0;
}

static bool scan_unit(const struct unit *units, const char *text, uint64_t *out)
{
    uint64_t value;

    if (!scan_digits(&text, &value))
        return false;
    for (const struct unit *u = units; u->name; u++)
        if (unit_is(u, text))
            return !__builtin_mul_overflow(value, u->factor, out);
    return false;
}

bool fh_units_scan_count(const char *text, uint64_t *out)
{
    uint64_t value;

    if (!scan_digits(&text, &value) || *text)
        return false;
    *out = value;
    return true;
}

bool fh_units_scan_size(const char *text, uint64_t *out)
{
    uint64_t value;

    if (!scan_unit(size_units, text, &value))
        return false;
    *out = value;
    return true;
}

bool fh_units_scan_time(const char *text, uint64_t *out_ms)
{
    uint64_t value = 0;

    if (strcmp(text, "0") != 0 && !scan_unit(time_units, text, &value))
        return false;
    *out_ms = value;
    return true;
}

bool fh_units_scan_share(const char *text, uint64_t *out_permille)
{
    uint64_t whole, tenth = 0;

    if (!scan_digits(&text, &whole) || whole > 100)
        return false;
    if (*text == '.') {
        text++;
        if (!isdigit((unsigned char)*text))
            return false;
        tenth = (uint64_t)(*text++ - '0');
    }
    if (strcmp(text, "%") != 0 || whole * 10 + tenth > 1000)
        return false;
    *out_permille = whole * 10 + tenth;
    return true;
}

/* The first unit that divides the value; 0 is printed without one. */
static void print_unit(char *text, const struct unit *units, uint64_t value, const char *plain)
{
    for (const struct unit *u = units; u->name && value > 0; u++) {
        if (value % u->factor == 0) {
            snprintf(text, FH_UNITS_TEXT_SIZE, "%llu%s", (unsigned long long)(value / u->factor),
                     u->name);
            return;
        }
        if (u->factor == 1024)
            break;
    }
    snprintf(text, FH_UNITS_TEXT_SIZE, "%llu%s", (unsigned long long)value, value ? plain : "");
}

void fh_units_print_size(char text[FH_UNITS_TEXT_SIZE], uint64_t bytes)
{
    print_unit(text, size_units, bytes, "");
}

void fh_units_print_time(char text[FH_UNITS_TEXT_SIZE], uint64_t ms)
{
    print_unit(text, time_units, ms, "ms");
}

void fh_units_print_share(char text[FH_UNITS_TEXT_SIZE], uint64_t permille)
{
    if (permille % 10 == 0)
        snprintf(text, FH_UNITS_TEXT_SIZE, "%llu%%", (unsigned long long)(permille / 10));
    else
        snprintf(text, FH_UNITS_TEXT_SIZE, "%llu.%llu%%", (unsigned long long)(permille / 10),
                 (unsigned long long)(permille % 10));
}
